"""Useless characters out: control characters, which nobody reads and every model would learn."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

# All of Unicode's category Cc but tab and line feed, and the zero-width no-break space.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff]")


def clean_text(text: str) -> tuple[str, npt.NDArray[np.int64] | None]:
    """Return the cleaned text and, for each of its code points, where it was in `text`.

    The second value is None where nothing was removed and every code point is where it was.
    """
    if _CONTROLS.search(text) is None:
        return text, None
    codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    is_control = (codes < 32) | ((codes >= 0x7F) & (codes <= 0x9F)) | (codes == 0xFEFF)
    is_control &= (codes != ord("\t")) & (codes != ord("\n"))
    return _CONTROLS.sub("", text), np.flatnonzero(~is_control)
