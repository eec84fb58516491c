"""What a trace says beside its spans: the documents around them, and shares of tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from memlm.errors import InputError
from memlm.prepare import CleanConfig, PrepareConfig
from memlm.records import Rejected, SpanSource, TokenShare
from memlm.workflow import (
    collect_documents,
    prepare_documents,
    read_texts,
    trace_text,
    trace_texts,
    write_trace_page,
)

SAID = "please write to jane.smith@example.com before Friday, she said to the gardener"
DOCUMENT = f"{'Once. ' * 50}{SAID}{' Then.' * 50}"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    collect_documents(tmp_path / "ws", texts=[{"text": DOCUMENT, "id": "letter"}])
    return tmp_path / "ws"


def test_excerpt_has_what_stands_around_a_span(workspace: Path) -> None:
    found = trace_text(workspace, SAID)
    (excerpt,) = found.excerpts
    (source,) = found.spans[0].sources
    assert excerpt.document_id == source.document_id
    assert DOCUMENT[excerpt.start :].startswith(excerpt.text)
    assert excerpt.start <= source.start - 150
    assert excerpt.start + len(excerpt.text) >= source.end + 150


def test_documents_are_not_read_for_excerpts_that_nobody_wants(workspace: Path) -> None:
    (found,) = trace_texts(workspace, [SAID], with_excerpts=False)
    assert found.excerpts == ()
    assert found.recited_share == 1.0


def test_sources_of_shares_are_marked_and_shown_in_their_documents(workspace: Path) -> None:
    config = PrepareConfig(tokenizer="char")
    prepare_documents(workspace, config=config, cleaning=CleanConfig(redact=True))
    place = trace_text(workspace, SAID).spans[0].sources[0]
    bare = SpanSource(
        document_id=place.document_id, source=place.source, start=place.start, end=place.end
    )
    share = TokenShare(start=0, end=3, shares={"counts": 1.0}, sources=(bare,))
    (found,) = trace_texts(workspace, ["zzz"], shares=[(share,)], names=["what was written"])
    assert found.shares[0].sources[0].masked == ("email",)
    assert SAID in found.excerpts[0].text
    assert found.name == "what was written"


def test_page_that_has_no_place_is_told_before_it_is_made(workspace: Path) -> None:
    (workspace.parent / "folder").mkdir()
    with pytest.raises(InputError) as caught:
        write_trace_page(workspace, [], to=workspace.parent / "folder")
    assert caught.value.code == "place_taken"


def test_texts_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "c/d.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name, "utf-8")
    (tmp_path / "b.bin").write_bytes(bytes(256))
    found = list(read_texts(tmp_path))
    assert [Path(one.name).name for one in found if not isinstance(one, Rejected)] == [
        "a.txt", "b.txt", "d.md"
    ]  # fmt: skip
    assert [Path(one.source).name for one in found if isinstance(one, Rejected)] == ["b.bin"]


def test_empty_file_that_was_named_is_a_mistake_and_in_a_folder_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("", "utf-8")
    with pytest.raises(InputError):
        list(read_texts(tmp_path / "empty.txt"))
    (left_out,) = read_texts(tmp_path)
    assert isinstance(left_out, Rejected)


def test_reader_that_fails_costs_its_own_file_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from memlm.workflow import reading

    read = reading.read_file

    def fail(path: Path, how: object) -> object:
        if path.name == "odd.txt":
            raise ZeroDivisionError
        return read(path, how)

    monkeypatch.setattr(reading, "read_file", fail)
    for name in ("odd.txt", "sound.txt"):
        (tmp_path / name).write_text("words", "utf-8")
    one, other = read_texts(tmp_path)
    assert isinstance(one, Rejected)
    assert "words" not in one.reason
    assert not isinstance(other, Rejected)
