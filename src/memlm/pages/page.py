"""Turns a template and values into one HTML page that needs nothing but itself.

Whatever comes from a text is escaped (jinja2's autoescape is always on, and no template switches it
off): a document that holds `<script>` shows it and runs nothing. The page's own content policy
forbids every address and every script besides, should anything ever slip through; a page that has
a script of ours allows that one alone, by its hash. Characters that turn
the direction of writing are drawn, as on the terminal: with them a name could pose as another.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memlm import messages
from memlm.errors import MissingExtraError

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
_TURNS = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD)


def render_page(template: str, /, **values: Any) -> str:  # Any: whatever the template shows
    """Return the page that a template of `templates/` makes of these values.

    Its sentences are in the language in force: `t("key", name=value)` in a template is
    `messages.render`. Raises MissingExtraError where jinja2 is not installed.
    """
    page = _environment().get_template(template)
    return page.render(language=messages.current_language(), **values)


class Script(str):
    """A script of ours as a page may hold it, with the hash by which its policy allows it."""

    __slots__ = ()

    @property
    def digest(self) -> str:
        """What the policy calls it: its SHA-256."""
        found = hashlib.sha256(self.encode("utf-8")).digest()
        return "sha256-" + base64.b64encode(found).decode("ascii")

    def __html__(self) -> str:
        return f"<script>{self}</script>"


@cache
def page_script(name: str) -> Script:
    """Return a script of `templates/`."""
    return Script((TEMPLATES / name).read_text(encoding="utf-8"))


class Data(str):
    """JSON that a page holds for its script: data to a browser, which runs none of it."""

    __slots__ = ()

    def __html__(self) -> str:
        return f'<script type="application/json">{self}</script>'


def page_data(value: object) -> Data:
    """Return a value as JSON that no text in it can leave."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # Of JSON these three stand inside of strings only, where they may be spelt like this.
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Data(text.translate(_TURNS))


@cache
def _environment() -> Environment:
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise MissingExtraError("extra_missing", package="jinja2", extra="pages") from error
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_without_turns,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["t"] = messages.render
    environment.filters["count"] = "{:,}".format
    environment.filters["percent"] = "{:.1%}".format
    return environment


def _without_turns(value: object) -> object:
    # Markup is ours; what it took from texts holds words only.
    return value.translate(_TURNS) if type(value) is str else value
