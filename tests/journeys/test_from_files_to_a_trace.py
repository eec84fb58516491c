"""The walk that the README shows: files, a model, a text, and where its words come from."""

from __future__ import annotations

import shutil

import pytest

FAST = (
    "--steps", "12", "--hidden-width", "12", "--embedding-width", "8", "--threads", "1",
    "--device", "cpu",
)  # fmt: skip


def test_from_files_to_a_traced_text(memlm, corpus, tmp_path):
    ws = tmp_path / "ws"
    trained = memlm("train", ws, corpus, *FAST)
    assert (trained["model"], trained["steps"]) == ("lstm-1", 12)

    written = memlm("generate", ws, "the cat", "--tokens", "40", "--trace", "--seed", "1")
    shares = [written[f"{kind}_share"] for kind in ("recited", "recombined", "new")]
    assert sum(shares) == pytest.approx(1)
    assert all(
        written["text"][span["start"] : span["end"]] == span["text"] for span in written["spans"]
    )

    scored = memlm("score", ws, corpus / "english.txt")
    assert 0 < scored["nats_per_character"] < 6

    traced = memlm("trace", ws, corpus / "deep" / "chinese.txt")
    assert traced["recited_share"] == 1

    evaluated = memlm("evaluate", ws, corpus / "labelled.csv")
    assert evaluated["accuracy"]["n"] == 40
    assert 0 <= evaluated["accuracy"]["low"] <= evaluated["accuracy"]["high"] <= 1

    info = memlm("info", ws)
    assert info["documents"]["documents"] == 82
    assert info["documents"]["labels"] == {"chinese": 20, "english": 20}
    assert [model["stale"] for model in info["models"]] == [False]


def test_a_copied_sentence_is_traced_to_its_file_and_place(memlm, corpus, tmp_path):
    memlm("collect", tmp_path / "ws", corpus)
    text = (corpus / "english.txt").read_text(encoding="utf-8")
    start = text.index("17: ")
    copied = text[start : start + 50]
    found = memlm("trace", tmp_path / "ws", "--text", f"zzz {copied} zzz")
    span = max(found["spans"], key=lambda span: span["end"] - span["start"])
    assert copied in span["text"]
    source = span["sources"][0]
    assert source["source"].endswith("english.txt")
    assert text[source["start"] : source["end"]] == span["text"]


def test_collecting_again_changes_nothing(memlm, corpus, tmp_path):
    ws = tmp_path / "ws"
    first = memlm("collect", ws, corpus)
    again = memlm("collect", ws, corpus)
    assert (first["documents_added"], again["documents_added"]) == (82, 0)
    assert again["documents_unchanged"] == 82
    assert (again["documents_changed"], again["documents_removed"]) == (0, 0)


def test_collecting_again_leaves_the_model_fresh(memlm, corpus, tmp_path):
    ws = tmp_path / "ws"
    memlm("train", ws, corpus, *FAST)
    memlm("collect", ws, corpus)
    info = memlm("info", ws)
    assert not any(part["stale"] for part in info["prepared"] + info["models"])


def test_a_changed_file_makes_everything_after_it_stale_until_it_is_done_again(
    memlm, corpus, tmp_path
):
    ws = tmp_path / "ws"
    memlm("train", ws, corpus, *FAST)
    memlm("trace", ws, "--text", "the cat")
    with (corpus / "english.txt").open("a", encoding="utf-8") as file:
        file.write("a new sentence about the rain\n")
    assert memlm("collect", ws, corpus)["documents_changed"] == 1

    info = memlm("info", ws)
    assert all(part["stale"] for part in [info["index"], *info["prepared"], *info["models"]])

    traced = memlm("trace", ws, "--text", "a new sentence about the rain")
    assert traced["recited_share"] == 1
    memlm("train", ws, *FAST)
    info = memlm("info", ws)
    states = {model["model"]: model["stale"] for model in info["models"]}
    assert states == {"lstm-1": True, "lstm-2": False}
    assert not info["index"]["stale"]
    assert not any(part["stale"] for part in info["prepared"])


def test_a_workspace_can_be_moved(memlm, corpus, tmp_path):
    memlm("train", tmp_path / "ws", corpus, *FAST)
    before = memlm("score", tmp_path / "ws", corpus / "english.txt")
    shutil.move(tmp_path / "ws", tmp_path / "elsewhere")
    after = memlm("score", tmp_path / "elsewhere", corpus / "english.txt")
    assert after == before


def test_nothing_in_a_workspace_names_the_place_it_lies_in(memlm, corpus, tmp_path):
    memlm("train", tmp_path / "ws", corpus, *FAST)
    memlm("trace", tmp_path / "ws", "--text", "the cat")
    places = (str(tmp_path).encode(), str(tmp_path).encode("utf-16-le"))
    for path in (tmp_path / "ws").rglob("*"):
        if path.is_file():
            assert not any(place in path.read_bytes() for place in places), path.name


def test_a_text_of_one_language_is_recognised_after_training(memlm, corpus, tmp_path):
    ws = tmp_path / "ws"
    longer = [word if word != "12" else "150" for word in FAST[:2]] + list(FAST[2:])
    memlm("train", ws, corpus / "labelled.csv", *longer, "--learning-rate", "0.02")
    found = memlm("evaluate", ws, corpus / "labelled.csv")
    assert found["accuracy"]["value"] > 0.9
    assert found["accuracy"]["low"] > found["accuracy"]["baseline"]


def test_training_predicts_held_out_text_better_than_chance(memlm, corpus, tmp_path):
    words = [word if word != "12" else "150" for word in FAST[:2]] + list(FAST[2:])
    text = corpus / "english.txt"
    found = memlm("train", tmp_path / "ws", text, *words, "--learning-rate", "0.02")
    scored = memlm("score", tmp_path / "ws", text)
    assert found["held_out_nats_per_character"] < 2
    assert scored["nats_per_character"] < scored["baseline_nats_per_character"] / 2
