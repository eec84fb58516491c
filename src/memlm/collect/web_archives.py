"""Web archives, WARC and ARC: every page that a crawler kept becomes one document.

Its key is its address, its position the number of its record. HTML gives its main text, plain text
itself. What is no page (requests, revisits, pictures, errors and redirections of the server) is
counted and said in one note per file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from memlm.collect.config import Reading
from memlm.collect.encoding import find_encoding
from memlm.collect.files import normalise_text
from memlm.collect.markup import extract_page_apart
from memlm.collect.page_encoding import codec_of
from memlm.collect.unpacking import Allowance, ByteStream, Unpacked, blocks_of
from memlm.collect.web_records import WebRecord, arc_records, media_type_of, warc_records
from memlm.errors import InputError, MemlmError, MissingExtraError
from memlm.records import SourceNote, SourceProblem, SourceText
from memlm.storage import scratch_file, scratch_folder

Item = SourceText | SourceProblem | SourceNote
_HTML = ("text/html", "application/xhtml+xml")
_PLAIN = "text/plain"
_WITH_TEXT = ("response", "resource", "conversion")
_NAMED_KINDS = 8
# What is wrong with the page itself, and not with the archive or the machine.
_OF_PAGES = ("page_without_text", "no_main_text")


def read_warc(path: Path, reading: Reading) -> Iterator[Item]:
    """Yield the pages of a WARC file, compressed or not."""
    yield from _read(path, reading, warc_records)


def read_arc(path: Path, reading: Reading) -> Iterator[Item]:
    """Yield the pages of an ARC file, compressed or not."""
    yield from _read(path, reading, arc_records)


def _read(
    path: Path,
    reading: Reading,
    records_of: Callable[[ByteStream], Iterator[WebRecord | InputError]],
) -> Iterator[Item]:
    allowance = reading.allowance
    if allowance is None:
        allowance = Allowance(reading.limits, packed_bytes=path.stat().st_size)
    with path.open("rb") as file:
        pieces = blocks_of(file)
        if path.suffix.lower() == ".gz":
            pieces = iter(Unpacked(file, ".gz", name=path.name, allowance=allowance))
        others: Counter[str] = Counter()
        is_empty, last_problem = True, 0
        for item in _read_records(records_of(ByteStream(pieces)), reading, allowance, others):
            is_empty = False
            if isinstance(item, SourceProblem) and item.position == last_problem:
                continue  # what cuts a record short may be met twice
            last_problem = item.position or 0 if isinstance(item, SourceProblem) else 0
            yield item
            if allowance.is_spent:
                break
    if not others and is_empty:
        raise InputError("file_empty", path=path.name)
    if others:
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in others.most_common(_NAMED_KINDS))
        values = {"path": path.name, "count": others.total(), "kinds": kinds}
        if is_empty:
            raise InputError("no_pages", **values)
        yield SourceNote(code="records_left", values=values)


def _read_records(
    records: Iterator[WebRecord | InputError],
    reading: Reading,
    allowance: Allowance,
    others: Counter[str],
) -> Iterator[Item]:
    """Yield the pages of all records; InputError if there is no first record."""
    number = 0
    try:
        for record in records:
            if not isinstance(record, InputError):
                number = record.number
                yield from _read_record(record, reading, allowance, others)
            elif number == 0:
                raise record
            else:
                yield _problem(record, record.values.get("number", number))
    except InputError as error:  # of the file: nothing after this record can be read
        if number == 0:
            raise
        yield _problem(error, number)


def _read_record(
    record: WebRecord, reading: Reading, allowance: Allowance, others: Counter[str]
) -> Iterator[Item]:
    """Yield the page of a record, or what is wrong with it; count what is none."""
    if record.kind not in _WITH_TEXT:
        others[record.kind] += 1
        return
    try:
        record.open_block()
        media_type, charset = media_type_of(record.headers)
        if record.status is not None and not 200 <= record.status < 300:
            others[f"HTTP {record.status}"] += 1
        elif media_type not in (*_HTML, _PLAIN):
            others[media_type or record.kind] += 1
        else:
            most = reading.limits.parsed_bytes
            data = record.body(most_bytes=most, allowance=allowance)
            if record.block.position < record.size_bytes and not record.headers.get(
                "transfer-encoding"
            ):
                raise InputError("record_cut_short", address=record.address)
            if media_type in _HTML:
                yield from _page(record, data, charset, reading)
            else:
                yield from _plain(record, data, charset, reading)
    except (InputError, MissingExtraError) as error:  # plain text can be read without it
        yield _problem(error, record.number)
    except (MemlmError, OSError, MemoryError):  # of the machine, not of this record
        raise
    except Exception as error:  # one odd record must not cost the others
        values = {"path": record.address, "kind": type(error).__name__}
        number = record.number
        yield SourceProblem(code="reader_failed", values=values, position=number, hides="here")


def _page(record: WebRecord, data: bytes, charset: str | None, reading: Reading) -> Iterator[Item]:
    page = extract_page_apart(
        data,
        reading,
        name=record.address,
        address=record.address or None,
        charset=charset,
    )
    yield from page.notes
    yield _as_text(record, page.text, page.fields)


def _plain(record: WebRecord, data: bytes, charset: str | None, reading: Reading) -> Iterator[Item]:
    text = _decode(data, charset)
    if text is None:
        with (
            scratch_folder() as own,
            scratch_file(reading.scratch or own, [data], ending="") as place,
        ):
            try:
                found = find_encoding(place, wish=reading.config.encoding)
            except InputError as error:
                values = {**error.values, "path": record.address}
                raise InputError(error.code, **values) from error
        text = data.decode(found.name, "ignore" if found.is_cut else "strict")
        if found.is_cut or found.is_doubtful:
            code = "character_cut" if found.is_cut else "encoding_doubtful"
            values = {"path": record.address, "encoding": found.name}
            yield SourceNote(code=code, values=values)
    if not text.strip():
        raise InputError("page_without_text", address=record.address)
    yield _as_text(record, text, {})


def _as_text(record: WebRecord, text: str, known: Mapping[str, str | None]) -> SourceText:
    fields = {"url": record.address, "crawled": record.date, **known}
    return SourceText(
        text=normalise_text(text),
        position=record.number,
        key=record.address or None,
        fields={name: value for name, value in fields.items() if value},
    )


def _decode(data: bytes, charset: str | None) -> str | None:
    """Return the text of a page; None where neither its bytes nor its server say the encoding.

    What is UTF-8 is UTF-8 whatever the server says: other encodings hardly ever are, by chance.
    """
    for codec in ("utf-8", codec_of(charset or "")):
        try:
            if codec:
                return data.decode(codec)
        except UnicodeError:
            continue
    return None


def _problem(error: MemlmError, number: int) -> SourceProblem:
    hides: Literal["here"] | None = None if error.code in _OF_PAGES else "here"
    return SourceProblem(code=error.code, values=error.values, position=number, hides=hides)
