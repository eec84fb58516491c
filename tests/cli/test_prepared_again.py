"""What is not said when preparing again stays as it was; what is said is heard."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def prepare(memlm, collected):
    """Return what prepares, and returns how that was done."""

    def call(*words: str, code: int = 0) -> dict[str, object]:
        done = memlm("prepare", collected, *words, "--json")
        assert done.code == code, done.err
        if code:
            return done.error
        settings = json.loads((collected / "workspace.json").read_text(encoding="utf-8"))
        folder = collected / "prepared" / settings["tokenizer"]
        made_from = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["made_from"]
        return made_from["config"] | {
            "cleaning": made_from["cleaning"]["config"],
            "notes": done.err,
        }

    return call


def test_another_option_keeps_the_tokenizer(prepare):
    prepare("--tokenizer", "word", "--vocabulary-size", "50")
    found = prepare("--held-out-share", "0.2")
    assert (found["tokenizer"], found["vocabulary_size"]) == ("word", 50)
    assert found["held_out_share"] == 0.2


def test_another_tokenizer_keeps_the_split(prepare):
    prepare("--held-out-share", "0.2", "--sealed", "0.1", "--split-seed", "4")
    found = prepare("--tokenizer", "whitespace")
    assert (found["held_out_share"], found["sealed"], found["split_seed"]) == (0.2, 0.1, 4)


def test_another_tokenizer_does_not_keep_the_size_of_the_vocabulary(prepare):
    prepare("--tokenizer", "word", "--vocabulary-size", "50")
    assert prepare("--tokenizer", "char")["vocabulary_size"] is None


def test_auto_that_was_said_is_heard(prepare):
    prepare("--tokenizer", "word")
    assert prepare("--tokenizer", "auto")["tokenizer"] != "word"


@pytest.mark.parametrize(
    ("option", "name", "value"),
    [
        pytest.param(("--sealed", "0"), "sealed", 0.0, id="sealed"),
        pytest.param(("--split-seed", "0"), "split_seed", 0, id="seed"),
        pytest.param(("--split-by", "document"), "split_by", "document", id="split by"),
    ],
)
def test_a_value_that_is_the_default_is_heard(prepare, option, name, value):
    prepare("--sealed", "0.1", "--split-seed", "4", "--split-by", "file")
    assert prepare(*option)[name] == value


def test_nothing_said_changes_nothing(prepare):
    first = prepare("--tokenizer", "word", "--sealed", "0.1", "--redact", "--quality", "off")
    again = prepare()
    assert first | {"notes": ""} == again | {"notes": ""}


def test_another_step_of_cleaning_keeps_the_others(prepare):
    prepare("--simplify", "--quality", "off")
    found = prepare("--without", "boilerplate")["cleaning"]
    assert (found["simplify"], found["quality"]) == (True, "off")
    assert "boilerplate" in found["without"]


def test_quality_can_be_left_to_auto_again(prepare):
    prepare("--simplify", "--quality", "off")
    found = prepare("--quality", "auto")["cleaning"]
    assert (found["simplify"], found["quality"]) == (True, "auto")


@pytest.mark.parametrize("step", ["redact", "simplify", "remove-stop-words", "drop-repeats"])
def test_what_was_asked_can_be_taken_back(prepare, step):
    prepare(f"--{step}", "--quality", "off")
    found = prepare(f"--no-{step}")["cleaning"]
    assert (found[step.replace("-", "_")], found["quality"]) == (False, "off")


def test_a_step_of_the_default_is_switched_off_by_without_alone(memlm, collected):
    assert memlm("prepare", collected, "--no-repair", "--json").error["code"] == "option_unknown"


def test_tokens_that_are_not_masked_are_named_when_masking_is_asked_for(prepare):
    prepare("--tokenizer", "char")
    prepare("--tokenizer", "word")
    assert "not masked: char." in prepare("--redact")["notes"]
    assert "not masked" not in prepare()["notes"]


def test_tokens_that_were_prepared_masked_are_not_named(prepare):
    prepare("--tokenizer", "char", "--redact")
    assert "not masked" not in prepare("--tokenizer", "word", "--redact")["notes"]


def test_fresh_forgets_what_was_said_before(prepare):
    plain = prepare()
    prepare("--tokenizer", "word", "--sealed", "0.1", "--simplify", "--without", "boilerplate")
    assert prepare("--fresh") | {"notes": ""} == plain | {"notes": ""}


def test_shares_are_checked_together_with_those_of_last_time(prepare):
    prepare("--sealed", "0.6")
    assert prepare("--held-out-share", "0.6", code=2)["code"] == "share_outside"


def test_training_with_another_tokenizer_keeps_the_split(memlm, prepare, collected, fast):
    prepare("--sealed", "0.1")
    assert memlm("train", collected, *fast, "--tokenizer", "word").code == 0
    assert prepare()["sealed"] == 0.1


# -- what cannot be done as it was said ---------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "kept", "said"),
    [
        pytest.param(("--tokenizer", "bpe"), 259, "259", id="bpe"),  # and two labels
        pytest.param(("--tokenizer", "word"), 100, None, id="word"),
        pytest.param(("--tokenizer", "byte"), None, "byte", id="byte"),
    ],
)
def test_a_size_of_the_vocabulary_that_is_not_kept_to_is_said(prepare, words, kept, said):
    found = prepare(*words, "--vocabulary-size", "100")
    assert found["vocabulary_size"] == kept
    assert ("--vocabulary-size 100" in found["notes"]) is (said is not None)
    assert said is None or said in found["notes"]
    again = prepare()
    assert "--vocabulary-size" not in again["notes"]
    assert "Preparing" not in again["notes"]


def test_a_tokenizer_is_named_by_the_size_that_it_has(prepare, collected):
    prepare("--tokenizer", "bpe", "--vocabulary-size", "100")
    store = collected / "prepared" / "bpe-259" / "store.json"
    assert json.loads(store.read_text(encoding="utf-8"))["counts"]["vocabulary_size"] == 259


@pytest.mark.parametrize(
    "option", [("--batch-size", "640"), ("--sequence-length", "64000")], ids=lambda words: words[0]
)
def test_a_batch_that_the_text_is_too_small_for_is_said(memlm, collected, option):
    words = ("--steps", "1", "--hidden-width", "8", "--device", "cpu", "--threads", "1")
    done = memlm("train", collected, *words, *option)
    assert done.code == 0, done.err
    assert " ".join(option) in done.err
    assert " ".join(option) not in memlm("train", collected, *words).err
