"""Few-shot prompts: examples before what is asked, all in one pattern (Brown et al. 2020).

    INPUT            English: cat
    OUTPUT           Chinese: 猫
                                        one blank line between two
    INPUT            English: dog
    OUTPUT           Chinese: 狗

    PROMPT           English: moon
                     Chinese:           here the model goes on

What all inputs begin with (one word and a colon), and all outputs, is a *lead*: the prompt gets the
first, if it has it not, and the answer the second. The answer ends where the next example would
begin: with its line, or at a blank line where an output of the examples has several lines.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_LEAD = re.compile(r"[^\s:：]+[:：][^\S\n]?")
_BLANK_LINES = re.compile(r"\n\s*\n")


@dataclass(frozen=True)
class Shot:
    """An example: what is asked, and what is answered."""

    input: str
    output: str


@dataclass(frozen=True)
class FewShot:
    """Examples and what is asked, as one text."""

    prompt: str
    stop: str
    """What ends the answer."""


def parse_shots(text: str) -> list[Shot | None]:
    """Return the examples of a text, between blank lines; None for one of a single line.

    The last line of each is its output.
    """
    blocks = [block.strip("\n") for block in _BLANK_LINES.split(text.strip())]
    parts = [block.rpartition("\n") for block in blocks if block.strip()]
    return [Shot(asked, answer) if asked else None for asked, _, answer in parts]


def write_few_shot(shots: Sequence[Shot], prompt: str) -> FewShot:
    """Return the text that asks `prompt` in the pattern of the examples, of which there are some.

    >>> write_few_shot([Shot("2 + 2", "4"), Shot("3 + 4", "7")], "1 + 5")
    FewShot(prompt='2 + 2\\n4\\n\\n3 + 4\\n7\\n\\n1 + 5\\n', stop='\\n')
    """
    tidy = [Shot(_tidy(shot.input), _tidy(shot.output)) for shot in shots]
    asked = _tidy(prompt)
    lead = _lead([shot.input for shot in tidy])
    if not asked.startswith(lead.strip()):
        asked = lead + asked
    examples = "".join(f"{shot.input}\n{shot.output}\n\n" for shot in tidy)
    # Without the space at its end, which a tokenizer may have made part of the word behind it.
    opening = _lead([shot.output for shot in tidy]).rstrip()
    has_lines = any("\n" in shot.output for shot in tidy)
    return FewShot(f"{examples}{asked}\n{opening}", "\n\n" if has_lines else "\n")


def _tidy(text: str) -> str:
    """Return a text without what would look like the end of an example."""
    return _BLANK_LINES.sub("\n", text.strip())


def _lead(texts: Sequence[str]) -> str:
    """Return the word and colon that all texts begin with; nothing where there is none."""
    found = [match.group() if (match := _LEAD.match(text)) else "" for text in texts]
    return found[0] if len(set(found)) == 1 else ""
