"""In which encoding is this web page? What it says of itself is heard, and checked.

A byte order mark decides, then the user. Then bytes that are valid UTF-8 beyond ASCII are UTF-8,
whatever the page or its server say (other encodings hardly ever are, by chance). Then the server's
word, the page's `<meta charset>` or XML declaration, each only if the whole page decodes in it.
Names are read as browsers read them: `gb2312` is GB 18030, `iso-8859-1` is Windows-1252
(https://encoding.spec.whatwg.org). Where nothing is said, the letters are judged.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, replace

from memlm.errors import ConfigError, InputError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CHARSET = re.compile(rb"""(?:charset|encoding)\s{0,9}=\s{0,9}["']?\s{0,9}([\w.:-]{2,30})""", re.I)
_HEAD_BYTES = 4096
_AS_BROWSERS_DO = {
    "gb2312": "gb18030", "gbk": "gb18030", "ascii": "cp1252", "iso8859-1": "cp1252",
    "big5": "big5hkscs", "shift_jis": "cp932", "euc_kr": "cp949", "iso8859-9": "cp1254",
    "tis_620": "cp874",
}  # fmt: skip
_OF_SEVEN_BITS = ("iso2022", "hz")
OF_NO_FILE = (
    "undefined", "idna", "punycode", "unicode-escape", "raw-unicode-escape", "mbcs", "oem",
)  # fmt: skip
"""What Python calls encodings of text and no file is in; some raise errors of their own."""
_SAMPLE_BYTES = 20_000
_MOST_NULLS = 0.01
_MOST_BAD = 0.001


@dataclass(frozen=True)
class DecodedPage:
    """A page as text, and how it was decoded."""

    text: str
    encoding: str
    claimed: str | None = None
    """What the page or its server said, where that is not so."""
    is_guess: bool = False
    """Nobody said it, and it is not UTF-8."""
    bad_bytes: int = 0
    """Places that are damaged: they became U+FFFD."""


def decode_page(
    data: bytes, *, name: str, wish: str | None = None, charset: str | None = None
) -> DecodedPage:
    """Return a page as text. `wish` is the user's word, `charset` the server's.

    Raises InputError where the bytes are no text, or not in the encoding wished for.
    """
    found = _find(data, name, wish, charset)
    nulls = found.text.count("\0")
    if nulls > _MOST_NULLS * len(found.text):
        raise InputError("not_text", path=name)
    text = found.text.replace("\0", "\ufffd")
    return replace(found, text=text, bad_bytes=found.bad_bytes + nulls)


def codec_of(charset: str) -> str:
    """Return Python's name for an encoding as the web names it; empty where there is none such."""
    for name in (charset.strip(), charset.strip().lower().removeprefix("x-")):
        try:
            info = codecs.lookup(name)
        except (LookupError, ValueError):  # a ValueError for a name with a NUL in it
            continue
        if not info._is_text_encoding or info.name in OF_NO_FILE:
            return ""
        return _AS_BROWSERS_DO.get(info.name, info.name)
    return ""


def _find(data: bytes, name: str, wish: str | None, charset: str | None) -> DecodedPage:
    for mark, encoding in _MARKS:
        if data.startswith(mark) and wish is None:
            return _decode_marked(data.removeprefix(mark), encoding)
    if wish is not None:
        return _decode_as_wished(data, wish, name)
    claims = [one for one in (charset, _claim_of(data)) if one is not None]
    for claim in claims:
        # These are written in ASCII alone, and so would pass for UTF-8.
        if _codec(claim).startswith(_OF_SEVEN_BITS) and (text := _decode(data, _codec(claim))):
            return DecodedPage(text, _codec(claim))
    text = _decode(data, "utf-8")
    if text is not None:
        lies = not text.isascii() and claims and all(_codec(one) != "utf-8" for one in claims)
        return DecodedPage(text, "utf-8", claimed=claims[0] if lies else None)
    for claim in claims:
        text = _decode(data, _codec(claim))
        if text is not None:
            claimed = claims[0] if claim != claims[0] else None
            return DecodedPage(text, _codec(claim), claimed=claimed)
    return _decode_damaged(data, [_codec(one) for one in claims]) or _judge(data, claims, name)


def _decode_marked(data: bytes, encoding: str) -> DecodedPage:
    text = data.decode(encoding, "replace")
    return DecodedPage(text, encoding, bad_bytes=text.count("\ufffd"))


def _decode_as_wished(data: bytes, wish: str, name: str) -> DecodedPage:
    try:
        text = data.decode(wish)
    except UnicodeDecodeError as error:
        raise InputError("not_in_encoding", path=name, offset=error.start, encoding=wish) from error
    except (LookupError, ValueError) as error:  # `undefined`, `idna`: known, and of no use
        raise ConfigError("encoding_unknown", encoding=wish) from error
    return DecodedPage(text, wish)


def _decode_damaged(data: bytes, claims: list[str]) -> DecodedPage | None:
    """Return a page of which all but few bytes are as it says; pages are often patched together."""
    for encoding in [*claims, "utf-8"]:
        if encoding:
            text = data.decode(encoding, "replace")
            bad = text.count("\ufffd")
            beyond_ascii = sum(character > "\x7f" for character in text)
            if bad <= max(1, _MOST_BAD * len(text)) and 4 * bad < beyond_ascii:
                return DecodedPage(text, encoding, bad_bytes=bad)
    return None


def _judge(data: bytes, claims: list[str], name: str) -> DecodedPage:
    from charset_normalizer import from_bytes

    # Tags are ASCII in all of them, and drown what could be judged.
    words = b"\n".join(line for line in re.split(rb"[<>]", data) if not line.isascii())
    best = from_bytes(words[:_SAMPLE_BYTES]).best()
    encoding = _codec(best.encoding) if best is not None else ""
    text = _decode(data, encoding)
    if text is None:
        raise InputError("not_text", path=name)
    return DecodedPage(text, encoding, claimed=claims[0] if claims else None, is_guess=True)


def _claim_of(data: bytes) -> str | None:
    found = _CHARSET.search(data[:_HEAD_BYTES])
    return found[1].decode("ascii", "ignore") if found else None


def _codec(claim: str) -> str:
    """Return Python's name for what a page says; empty where there is no such encoding."""
    name = codec_of(claim)
    # A tag that could be read says that it is not so.
    return "utf-8" if name.startswith(("utf-16", "utf-32")) else name


def _decode(data: bytes, encoding: str) -> str | None:
    if not encoding:
        return None
    try:
        return data.decode(encoding)
    except UnicodeError:
        return None
