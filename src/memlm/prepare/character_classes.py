"""Does a text hold any character of a class? Answered for all of it at once, by a table.

A regular expression asks each character in turn, which took half of the time of cleaning; most
texts hold none of what the steps look for, and one look at the table says so.
"""

from __future__ import annotations

from functools import cache
from unicodedata import category

import numpy as np
import numpy.typing as npt

Ranges = tuple[tuple[int, int], ...]
HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
"""The hanzi of Unicode, as they stand between the brackets of a regular expression."""
_NUM_CODES = 0x110000
_NUM_MARKS = 0x1F000  # beyond these only selectors of variants are marks


def has_any(text: str, ranges: Ranges) -> bool:
    """Say whether any code point of `text` lies in `ranges`, ends included.

    A lone surrogate is a code point like the others.
    """
    if not text:
        return False
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    return bool(_table(ranges)[codes].any())


@cache
def mark_ranges() -> Ranges:
    """Return Unicode's categories Mn and Mc: what stands on a letter and goes on with its word."""
    codes = [code for code in range(0x300, _NUM_MARKS) if category(chr(code)) in ("Mn", "Mc")]
    lows = [code for code, before in zip(codes, [0, *codes], strict=False) if code != before + 1]
    highs = [code for code, after in zip(codes, [*codes[1:], 0], strict=True) if after != code + 1]
    return tuple(zip(lows, highs, strict=True))


@cache
def marks() -> str:
    """Return the same as it stands between the brackets of a regular expression."""
    return "".join(f"{chr(low)}-{chr(high)}" for low, high in mark_ranges())


@cache
def _table(ranges: Ranges) -> npt.NDArray[np.bool_]:
    table = np.zeros(_NUM_CODES, dtype=np.bool_)
    for low, high in ranges:
        table[low : high + 1] = True
    return table
