"""`memlm demo`: the same walk for people and for programs, and how it ends when it is stopped."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def short_texts(tmp_path, monkeypatch) -> None:
    """Put a few lines where the texts of the package lie."""
    folder = tmp_path / "package" / "demo_text"
    for name in ("alice", "time-machine"):
        (folder / name).mkdir(parents=True)
        (folder / name / "text.txt").write_text(f"Alice has a {name}. 春眠。\n" * 40, "utf-8")
    (folder / "tang-poems.jsonl").write_text('{"text": "春眠不觉晓。"}\n', "utf-8")
    monkeypatch.setattr("memlm.cli.demo.files", lambda package: tmp_path / "package")
    monkeypatch.setattr("memlm.cli.demo._TOKENS", 5)


@pytest.fixture
def demo(memlm, short_texts, tmp_path):
    """Return what runs the demo."""

    def call(*words: str):
        return memlm("demo", tmp_path / "demo", "--minutes", "0.005", *words)

    return call


FORMS = pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])


@FORMS
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_demo_that_is_stopped_ends_as_such_with_what_was_finished(
    demo, monkeypatch, tmp_path, form, name, code
):
    monkeypatch.setattr("memlm.runtime.SignalWatch.name", name)
    done = demo(*form)
    assert done.code == code, done.err
    assert (tmp_path / "demo" / "models" / "lstm-1" / "checkpoints").is_dir()
    if form:
        assert done.json["stopped_by"] == name
        assert done.json["trace"]["spans"] is not None
        assert "generated" not in done.json
    else:
        assert "--resume" in done.err


@FORMS
@pytest.mark.parametrize("minutes", ["-1", "0", "nan"])
def test_impossible_minutes_are_refused_before_any_work(memlm, tmp_path, form, minutes):
    done = memlm("demo", tmp_path / "demo", f"--minutes={minutes}", *form)
    assert done.code == 2
    assert "--minutes" in done.out + done.err
    assert not (tmp_path / "demo").exists()


@FORMS
def test_a_second_demo_uses_the_model_of_the_first(demo, tmp_path, form):
    assert demo().code == 0
    done = demo(*form)
    assert done.code == 0, done.err
    assert [path.name for path in Path(tmp_path / "demo" / "models").iterdir()] == ["lstm-1"]
