"""Measuring the documents of a workspace."""

import json

import pytest

from memlm.errors import MissingExtraError, NotFoundError
from memlm.messages import in_language, render
from memlm.survey import survey_workspace
from memlm.workflow import collect_documents, prepare_documents
from memlm.workspace import open_workspace


@pytest.fixture
def workspace(corpus, tmp_path):
    (corpus / "broken.txt").write_bytes(b"\0\1\2\0")
    collect_documents(tmp_path / "ws", corpus)
    prepare_documents(tmp_path / "ws")
    return open_workspace(tmp_path / "ws")


def test_page_and_figures_are_written_into_the_workspace(workspace):
    found = survey_workspace(workspace)
    assert found["page"] == "statistics.html"
    assert "</html>" in workspace.statistics_page.read_text("utf-8")
    assert json.loads(json.dumps(found)) == found
    assert (found["documents"], found["labels"]) == (7, {"no": 2, "yes": 2})


def test_what_could_not_be_read_is_counted_by_reason(workspace):
    with in_language("en"):
        (row,) = survey_workspace(workspace)["rejected"]
    assert (row["code"], row["count"]) == ("not_text", 1)
    assert "corpus/broken.txt" in row["example"]


def test_what_was_dropped_is_counted_by_reason(workspace, tmp_path):
    collect_documents(workspace, texts=["\x07\x07", "\x01"])
    prepare_documents(workspace)
    (row,) = survey_workspace(workspace)["dropped"]
    assert (row["step"], row["reason"], row["count"]) == ("clean", "empty", 2)


def test_every_tokenizer_says_what_it_costs(workspace):
    (row,) = survey_workspace(workspace)["tokenizers"]
    counts = json.loads((workspace.prepared(row["tokenizer"]) / "store.json").read_text())["counts"]
    assert row["tokens"] == sum(counts["tokens"].values())
    assert row["characters_per_token"] == counts["characters"] / row["tokens"]


def test_unchanged_documents_are_not_walked_again(workspace, monkeypatch):
    first = survey_workspace(workspace)
    monkeypatch.setattr("memlm.survey.measure_documents", None)
    assert survey_workspace(workspace) == first


def test_changed_documents_are_walked_again(workspace):
    survey_workspace(workspace)
    collect_documents(workspace, texts=["one more text"])
    assert survey_workspace(workspace)["documents"] == 8


def test_damaged_figures_are_measured_again(workspace):
    first = survey_workspace(workspace)
    workspace.statistics_file.write_text("{", "utf-8")
    assert survey_workspace(workspace) == first


def test_progress_reaches_the_end(workspace):
    seen = []
    survey_workspace(workspace, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] > 0


def test_workspace_without_documents_is_said(tmp_path):
    workspace = open_workspace(tmp_path / "ws", create=True)
    with pytest.raises(NotFoundError) as caught:
        survey_workspace(workspace)
    assert caught.value.code == "no_documents"


@pytest.mark.parametrize(("package", "extra"), [("jinja2", "pages"), ("HanTa", "words")])
def test_missing_package_is_named_before_anything_is_counted(
    workspace, monkeypatch, package, extra
):
    monkeypatch.setattr("memlm.runtime.is_installed", lambda name: name != package)
    with pytest.raises(MissingExtraError) as caught:
        survey_workspace(workspace)
    assert f"memlm[{extra}]" in caught.value.hint
    assert not workspace.statistics_page.exists()


def test_personal_data_is_counted_and_never_shown(workspace):
    collect_documents(workspace, texts=["Write to ada.lovelace@analytical-engine.org today."])
    assert survey_workspace(workspace)["personal_data"] == {"email": 1}
    for path in (workspace.statistics_page, workspace.statistics_file):
        assert "lovelace" not in path.read_text("utf-8")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_page_names_the_kinds_of_personal_data(workspace, language):
    collect_documents(workspace, texts=["Write to ada.lovelace@analytical-engine.org today."])
    with in_language(language):
        survey_workspace(workspace)
        assert render("personal.email") in workspace.statistics_page.read_text("utf-8")


def test_near_copies_that_were_left_out_are_counted(workspace):
    text = " ".join(f"word{number}" for number in range(300))
    collect_documents(workspace, texts=[text, text.replace("word7 ", "other ")])
    assert survey_workspace(workspace)["near_duplicates"] is None
    prepare_documents(workspace)
    assert survey_workspace(workspace)["near_duplicates"] == 1


def test_what_cleaning_took_out_of_documents_is_on_the_page(workspace):
    collect_documents(workspace, texts=["a text\x07 with a bell\x07 in it"])
    prepare_documents(workspace)
    with in_language("en"):
        (row,) = survey_workspace(workspace)["removed"]
        assert (row["reason"], row["count"]) == ("control", 2)
        page = workspace.statistics_page.read_text("utf-8")
    assert render("statistics.taken_out", reason=render("removed.control")) in page
