"""In which encoding is this file? Found by evidence, never guessed silently.

A byte order mark decides. Else valid UTF-8 is UTF-8 (other encodings hardly ever are, by chance).
Else UTF-16 and GB18030 are tried, and taken only if what comes out looks like text: most characters
beyond ASCII must be the commonest hanzi (GB 2312 level 1), Chinese punctuation or Latin letters.
Anything else is refused, with the most likely name for the user to confirm.
"""

from __future__ import annotations

import codecs
from pathlib import Path

from memlm.errors import ConfigError, InputError

_SAMPLE_BYTES = 1 << 18
_BLOCK_BYTES = 1 << 20
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LEAST_PLAUSIBLE = 0.6
_MOST_CONTROLS = 0.01


def find_encoding(path: Path, *, wish: str | None = None) -> str:
    """Return the encoding in which the whole of `path` decodes.

    Raises InputError where none does (naming the first byte that is wrong) or where the content is
    not text, ConfigError if the encoding wished for does not exist.
    """
    with path.open("rb") as file:
        sample = file.read(_SAMPLE_BYTES)
    if wish is not None:
        return _check(path, _known(wish))
    for mark, encoding in _MARKS:
        if sample.startswith(mark):
            return _check(path, encoding)
    failure = _first_bad_byte(path, "utf-8")
    if failure is None and not _is_binary(sample.decode("utf-8", "ignore")):
        return "utf-8"
    if failure is not None and sample.isascii() and b"\0" not in sample:
        with path.open("rb") as file:  # what is to be judged comes later
            file.seek(failure)
            sample = file.read(_SAMPLE_BYTES)
    found = _most_plausible(path, sample)
    if found is not None:
        return found
    if failure is None or b"\0" in sample:
        raise InputError("not_text", path=path.name)
    raise InputError("undecodable", path=path.name, offset=failure, guess=_guess(sample))


def _known(name: str) -> str:
    try:
        info = codecs.lookup(name)
    except LookupError as error:
        raise ConfigError("encoding_unknown", encoding=name) from error
    if not info._is_text_encoding:
        raise ConfigError("encoding_unknown", encoding=name)
    return info.name


def _check(path: Path, encoding: str) -> str:
    failure = _first_bad_byte(path, encoding)
    if failure is not None:
        raise InputError("not_in_encoding", path=path.name, offset=failure, encoding=encoding)
    return encoding


def _first_bad_byte(path: Path, encoding: str) -> int | None:
    decoder = codecs.getincrementaldecoder(encoding)()
    position = 0
    with path.open("rb") as file:
        while True:
            block = file.read(_BLOCK_BYTES)
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                return max(0, position - pending + error.start)
            if not block:
                return None
            position += len(block)


def _most_plausible(path: Path, sample: bytes) -> str | None:
    best_score, best = _LEAST_PLAUSIBLE, None
    for encoding in ("gb18030", "utf-16-le", "utf-16-be"):
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            text = decoder.decode(sample)
        except UnicodeDecodeError:
            continue
        if not text or _is_binary(text):
            continue
        score = _plausibility(text)
        if score > best_score and _first_bad_byte(path, encoding) is None:
            best_score, best = score, encoding
    return best


def _plausibility(text: str) -> float:
    beyond_ascii = [character for character in text if character > "\x7f"]
    if not beyond_ascii:
        return 1.0
    return sum(map(_is_common, beyond_ascii)) / len(beyond_ascii)


def _is_common(character: str) -> bool:
    code = ord(character)
    if code < 0x250 or 0x2010 <= code <= 0x2027:  # Latin letters, dashes and quotes
        return True
    if 0x3000 <= code <= 0x303F or 0xFF00 <= code <= 0xFFEF:
        return True
    try:
        return 0xB0 <= character.encode("gb2312")[0] <= 0xD7
    except UnicodeEncodeError:
        return False


def _is_binary(text: str) -> bool:
    controls = sum(text.count(chr(code)) for code in range(32) if chr(code) not in "\t\n\r\f\x1a")
    return controls > _MOST_CONTROLS * len(text)


def _guess(sample: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(sample).best()
    if best is None:
        return "cp1252"
    # The code pages of Windows differ in few letters; the western one is by far the commonest.
    is_western = best.encoding.startswith("cp125") and _decodes(sample, "cp1252")
    return "cp1252" if is_western else best.encoding


def _decodes(sample: bytes, encoding: str) -> bool:
    try:
        sample.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
