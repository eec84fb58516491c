"""`memlm trace`: files, folders, standard input, folding, the page, and mistakes."""

from __future__ import annotations

import json

import pytest

SAID = "The Quick BROWN fox jumped over ninety lazy crocodiles."


@pytest.fixture
def known(memlm, tmp_path):
    """Return a workspace whose one document says something."""
    file = tmp_path / "known.txt"
    file.write_text(f"Before it. {SAID} After it.\n", "utf-8")
    assert memlm("collect", tmp_path / "ws", file).code == 0
    return tmp_path / "ws"


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a text, a table, a page, and something that is no text."""
    place = tmp_path / "to trace"
    (place / "deep").mkdir(parents=True)
    (place / "b.txt").write_text(SAID, "utf-8")
    (place / "deep" / "a.txt").write_text("zzz", "utf-8")
    rows = ["text,label", f"{SAID},x", "qqq,y"]
    (place / "c.csv").write_text("\n".join(rows) + "\n", "utf-8")
    (place / "picture.png").write_bytes(bytes(range(256)))
    return place


def recited(found):
    return {part["file"]: part["recited_share"] for part in found["files"]}


def test_folder_is_traced_file_by_file_and_table_row_by_row(memlm, known, folder):
    found = memlm("trace", known, folder, "--json").json
    assert recited(found) == {
        f"{folder}/b.txt": 1.0,
        f"{folder}/c.csv:2": 1.0,
        f"{folder}/c.csv:3": 0.0,
        f"{folder}/deep/a.txt": 0.0,
    }
    assert [one["source"] for one in found["rejected"]] == [f"{folder}/picture.png"]
    assert {span["file"] for span in found["spans"]} == {f"{folder}/b.txt", f"{folder}/c.csv:2"}


def test_what_cannot_be_read_in_a_folder_is_told(memlm, known, folder):
    done = memlm("trace", known, folder)
    assert done.code == 0
    assert f"{folder}/picture.png: " in done.err
    assert "All texts together" in done.out


def test_files_folders_standard_input_and_a_text_go_together(memlm, known, folder, say):
    say("vvv")
    words = ("trace", known, folder / "b.txt", "-", folder / "deep", "--text", SAID, "--json")
    assert recited(memlm(*words).json) == {
        f"{folder}/b.txt": 1.0, "-": 0.0, f"{folder}/deep/a.txt": 0.0, "--text": 1.0,
    }  # fmt: skip


def test_file_that_is_named_twice_counts_twice(memlm, known, folder):
    found = memlm("trace", known, folder / "b.txt", folder / "b.txt", "--json").json
    assert found["characters"] == 2 * len(SAID)
    assert len(found["files"]) == 2


def test_file_of_an_ending_that_is_unknown_is_one_text(memlm, known, tmp_path):
    (tmp_path / "code.xyz").write_text(SAID, "utf-8")
    assert memlm("trace", known, tmp_path / "code.xyz", "--json").json["recited_share"] == 1.0


def test_markup_is_not_traced(memlm, known, tmp_path):
    pytest.importorskip("trafilatura")
    words = f"<html><body><article><p>{SAID} " + f"{SAID} " * 5 + "</p></article></body></html>"
    (tmp_path / "page.html").write_text(words, "utf-8")
    found = memlm("trace", known, tmp_path / "page.html", "--json").json
    assert found["recited_share"] > 0.95


# -- folding ------------------------------------------------------------------------------------


def test_folding_finds_what_differs_in_case_and_says_so(memlm, known):
    words = ("trace", known, "--text", SAID.upper())
    assert memlm(*words, "--json").json["recited_share"] < 0.5
    found = memlm(*words, "--fold", "case", "--json").json
    assert (found["recited_share"], found["folded"]) == (1.0, ["case"])
    assert "Not told apart: small and capital letters." in memlm(*words, "--fold", "case").out


def test_places_of_folded_spans_are_places_of_the_texts_themselves(memlm, tmp_path):
    document = "开头。\n\n　　床前明月光，疑是\n　　地上霜。举头望明月，低头思故乡。 Ｔｈｅ END"
    (tmp_path / "poem.txt").write_text(document, "utf-8")
    memlm("collect", tmp_path / "ws", tmp_path / "poem.txt")
    text = "他说:床前 明月光,疑是地上霜。举头望明月,低头思故乡。the end!"
    found = memlm(
        "trace", tmp_path / "ws", "--text", text, "--fold", "space,width,case", "--json"
    ).json
    (span,) = [span for span in found["spans"] if span["kind"] == "recited"]
    assert span["text"] == text[3:-1] == text[span["start"] : span["end"]]
    (source,) = span["sources"]
    assert document[source["start"] : source["end"]] == document[7:]


def test_folded_index_follows_the_documents(memlm, known, tmp_path):
    words = ("trace", known, "--text", "A NEW SENTENCE ABOUT THE RAIN", "--fold", "case", "--json")
    assert memlm(*words).json["recited_share"] == 0.0
    (tmp_path / "more.txt").write_text("a new sentence about the rain", "utf-8")
    memlm("collect", known, tmp_path / "more.txt")
    assert memlm(*words).json["recited_share"] == 1.0


def test_pruned_text_leaves_the_folded_index_and_the_page(memlm, known, tmp_path):
    memlm("trace", known, "--text", SAID, "--fold", "case")
    assert (known / "trace.html").exists()
    assert list((known / "index").glob("characters-folded-*"))
    (tmp_path / "known.txt").unlink()
    assert memlm("collect", known, tmp_path / "known.txt", "--prune", "--yes").code == 0
    assert not (known / "trace.html").exists()
    assert not list((known / "index").glob("characters-folded-*"))
    held = b"".join(path.read_bytes() for path in known.rglob("*") if path.is_file())
    assert b"crocodiles" not in held


# -- the page -----------------------------------------------------------------------------------


def test_page_lies_in_the_workspace(memlm, known):
    done = memlm("trace", known, "--text", SAID)
    assert str(known / "trace.html") in done.out
    page = (known / "trace.html").read_text("utf-8")
    assert "After it." in page  # what stands around the source


def test_page_lies_where_it_is_told(memlm, known, tmp_path):
    found = memlm("trace", known, "--text", SAID, "--to", tmp_path / "p.html", "--json").json
    assert found["page"] == str(tmp_path / "p.html")
    assert (tmp_path / "p.html").exists()
    assert not (known / "trace.html").exists()


def test_programs_get_no_page_that_they_did_not_ask_for(memlm, known):
    assert "page" not in memlm("trace", known, "--text", SAID, "--json").json
    assert not (known / "trace.html").exists()


def test_page_that_cannot_be_written_is_told_and_no_mistake(memlm, known, monkeypatch):
    from memlm.errors import ResourceError

    def full(*args, **options):
        raise ResourceError("cannot_write", path="trace.html", reason="no space")

    monkeypatch.setattr("memlm.workflow.showing.new_file", full)
    done = memlm("trace", known, "--text", SAID)
    assert (done.code, "No page was written" in done.err) == (0, True)
    assert memlm("trace", known, "--text", SAID, "--to", known / "p.html").code == 4


def test_trace_goes_without_a_page_where_jinja2_is_missing(memlm, known, monkeypatch):
    from memlm.errors import MissingExtraError

    def lacks(*args, **values):
        raise MissingExtraError("extra_missing", package="jinja2", extra="pages")

    monkeypatch.setattr("memlm.pages.trace.render_page", lacks)
    done = memlm("trace", known, "--text", SAID)
    assert (done.code, "memlm[pages]" in done.err) == (0, True)


# -- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(["--text", "a", "--fold", "colour"], "choice_unknown", id="fold"),
        pytest.param(["--text", "a", "--to", "WS"], "place_taken", id="place"),
        pytest.param(["nowhere"], "source_missing", id="no file"),
        pytest.param(["EMPTY"], "nothing_to_trace", id="an empty folder"),
        pytest.param(["WS"], "is_workspace", id="a workspace"),
    ],
)
def test_mistake_of_the_user_is_named(memlm, known, tmp_path, words, code):
    (tmp_path / "empty").mkdir()
    places = {"WS": known, "EMPTY": tmp_path / "empty"}
    found = memlm("trace", known, *(places.get(word, word) for word in words), "--json")
    assert (found.code, found.error["code"]) == (2, code)


def test_folder_without_any_text_says_why(memlm, known, tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(bytes(range(256)))
    found = memlm("trace", known, tmp_path / "pictures", "--json")
    assert (found.code, found.error["code"]) == (2, "nothing_readable")
    assert "a.png" in found.error["message"]


def test_generated_text_carries_its_shares_only_where_there_are_any(memlm, trained):
    found = memlm("generate", trained, "the", "--tokens", "5", "--trace", "--json").json
    assert found["shares"] == []
    assert "excerpts" not in json.dumps(found)
