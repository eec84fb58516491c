"""Options: from a file, from the words, in two languages, and from standard input."""

from __future__ import annotations

import json

import pytest

from memlm.cli.app import COMMANDS


@pytest.fixture
def settings(tmp_path):
    """Return what writes a configuration file."""

    def write(text: str):
        path = tmp_path / "run.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


# -- --config -----------------------------------------------------------------------------------

FAST_TOML = """
steps = 3
hidden_width = 8
embedding-width = 8
threads = 1
device = "cpu"
"""


def test_a_configuration_file_gives_the_options(memlm, collected, settings):
    found = memlm("train", collected, "--config", settings(FAST_TOML), "--json")
    assert found.json["steps"] == 3


def test_a_table_holds_the_options_of_its_command(memlm, collected, settings):
    path = settings(f"[train]\n{FAST_TOML}\n[generate]\ntokens = 5\n")
    assert memlm("train", collected, f"--config={path}", "--json").json["steps"] == 3
    assert memlm("generate", collected, "the", "--config", path, "--json").json["tokens"] <= 5


def test_a_table_goes_before_what_stands_outside_it(memlm, collected, settings):
    path = settings(f"{FAST_TOML}\n[train]\nsteps = 2\n")
    assert memlm("train", collected, "--config", path, "--json").json["steps"] == 2


def test_a_flag_goes_before_the_file(memlm, collected, settings):
    path = settings(FAST_TOML)
    found = memlm("train", collected, "--config", path, "--steps", "1", "--json")
    assert found.json["steps"] == 1


def test_the_file_says_with_which_model_to_begin(memlm, collected, settings):
    memlm("train", collected, "--config", settings(FAST_TOML))
    path = settings('steps = 3\nthreads = 1\ndevice = "cpu"\nfrom = "lstm-1"\nadapter = "lora"\n')
    assert memlm("train", collected, "--config", path, "--json").json["model"] == "lstm-lora-1"
    run = json.loads((collected / "models" / "lstm-lora-1" / "run.json").read_text("utf-8"))
    assert run["origin"]["model"] == "lstm-1"
    assert run["plan"]["adapter_rank"] == 16


def test_a_flag_begins_with_another_model_than_the_file(memlm, collected, settings):
    path = settings('from = "nobody"\n')
    found = memlm("train", collected, "--config", path, "--json")
    assert (found.code, found.error["code"]) == (2, "model_missing")
    found = memlm("train", collected, "--config", path, "--from", "memory", "--json")
    assert (found.code, found.error["code"]) == (2, "origin_is_memory")


def test_what_the_file_says_is_saved_with_the_model(memlm, collected, settings):
    memlm("train", collected, "--config", settings(FAST_TOML))
    run = json.loads((collected / "models" / "lstm-1" / "run.json").read_text(encoding="utf-8"))
    assert run["config"]["hidden_width"] == 8


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("stepz = 3", id="outside a table"),
        pytest.param("[train]\nstepz = 3", id="in the table"),
        pytest.param("[trian]\nsteps = 3", id="a table of no command"),
        pytest.param("tokens = 3", id="an option of another command"),
    ],
)
def test_an_unknown_key_is_an_error(memlm, collected, settings, text):
    found = memlm("train", collected, "--config", settings(text), "--json")
    assert found.code == 2
    assert found.error["code"] == "option_unknown"
    assert not (collected / "models").exists()


def test_a_misspelt_key_is_answered_with_the_right_one(memlm, collected, settings):
    found = memlm("train", collected, "--config", settings("stepz = 3"), "--json")
    assert "--steps" in found.error["hint"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("steps = 'many'", id="words for a number"),
        pytest.param("steps = 0", id="too small"),
        pytest.param("network = 'abacus'", id="no such choice"),
    ],
)
def test_an_impossible_value_in_the_file_is_refused(memlm, collected, settings, text):
    assert memlm("train", collected, "--config", settings(text), "--json").code == 2


def test_a_file_that_is_no_toml_is_refused(memlm, collected, settings):
    found = memlm("train", collected, "--config", settings("steps : 3"), "--json")
    assert (found.code, found.error["code"]) == (2, "config_file_bad")


def test_an_option_named_like_a_command_is_no_table(memlm, trained, settings):
    path = settings("trace = true\ntokens = 5")
    found = memlm("generate", trained, "the", "--config", path, "--json")
    assert found.code == 0
    assert "recited_share" in found.json


def test_json_and_language_may_stand_in_the_file(memlm, trained, settings):
    path = settings("json = true\nlanguage = 'zh'")
    found = memlm("score", trained, "nowhere", "--config", path)
    assert found.error["code"] == "source_missing"
    assert "不存在" in found.error["message"]


def test_several_values_of_one_option_stand_in_a_list(memlm, trained, settings):
    path = settings("stop = ['a', 'e']\ntokens = 100")
    found = memlm("generate", trained, "the", "--config", path, "--json").json
    assert not set(found["text"]) & {"a", "e"}


# -- help ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_command_has_help_in_both_languages(memlm, command, language):
    found = memlm(command, "--help", "--language", language)
    has_chinese = any("\u4e00" <= character <= "\u9fff" for character in found.out)
    assert found.code == 0
    assert "--json" in found.out
    assert has_chinese == (language == "zh")


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"], ["--json"]], ids=str)
def test_memlm_alone_says_what_it_can_do(memlm, words):
    found = memlm(*words)
    assert found.code == 0
    assert all(command in found.out for command in COMMANDS)


@pytest.mark.parametrize("words", [["--language", "zh"], ["--language", "zh", "--help"]], ids=str)
def test_memlm_alone_says_it_in_chinese_too(memlm, words):
    found = memlm(*words)
    assert found.code == 0
    assert "工作区" in found.out or "模型" in found.out


def test_the_version_is_printed(memlm):
    found = memlm("--version")
    assert found.code == 0
    assert found.out.strip().count(".") == 2


@pytest.mark.parametrize("words", [["--language"], ["--config"], ["--debug", "--json"]], ids=str)
def test_options_without_a_command_end(memlm, words):
    assert memlm(*words).code in (0, 2)


@pytest.mark.parametrize("command", ["score", "evaluate"])
def test_the_file_is_an_argument_and_no_option(memlm, command):
    assert "--file" not in memlm(command, "--help").out.lower()


# -- standard input -----------------------------------------------------------------------------


def test_score_reads_standard_input(memlm, trained, sample, say):
    say(sample.read_text(encoding="utf-8"))
    found = memlm("score", trained, "-", "--json").json
    expected = memlm("score", trained, sample, "--json").json
    assert found["nats_per_character"] == expected["nats_per_character"]


def test_trace_reads_standard_input(memlm, trained, sample, say):
    say(sample.read_text(encoding="utf-8"))
    found = memlm("trace", trained, "-", "--json").json
    assert found == memlm("trace", trained, sample, "--json").json


@pytest.mark.parametrize("more", [[], ["-"]], ids=["no prompt", "a dash"])
def test_generate_takes_its_prompt_from_standard_input(memlm, trained, say, more):
    say("the cat\n")
    found = memlm("generate", trained, *more, "--tokens", "5", "--seed", "1", "--json").json
    expected = memlm("generate", trained, "the cat", "--tokens", "5", "--seed", "1", "--json").json
    assert (found["prompt"], found["text"]) == ("the cat", expected["text"])


@pytest.mark.parametrize("place", [2, 3], ids=["before the options", "behind them"])
def test_a_dash_may_stand_before_or_behind_options(memlm, trained, say, place):
    say("the cat sees")
    words = ["trace", trained, "--json"]
    words.insert(place, "-")
    assert memlm(*words).json["characters"] == 12


def test_a_dash_may_be_the_value_of_an_option(memlm, trained):
    assert memlm("trace", trained, "--text=-", "--json").json["characters"] == 1


def test_a_prompt_that_looks_like_an_option_stands_behind_two_dashes(memlm, trained):
    words = ("generate", trained, "--tokens", "3", "--json", "--", "--the")
    found = memlm(*words)
    assert found.code == 2  # the corpus has no hyphen
    assert found.error["code"] == "prompt_unknown"


def test_generate_writes_without_a_prompt_too(memlm, trained):
    found = memlm("generate", trained, "--tokens", "5", "--ignore-end", "--json").json
    assert (found["prompt"], found["tokens"]) == ("", 5)


def test_standard_input_that_is_no_text_is_refused(memlm, trained, monkeypatch):
    import io

    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe\xfd")))
    assert memlm("score", trained, "-", "--json").code == 2


def test_trace_takes_a_text_as_an_option(memlm, trained):
    found = memlm("trace", trained, "--text", "the cat sees the moon.", "--json").json
    assert found["characters"] == 22


def test_several_files_are_traced_as_one_and_each_by_itself(memlm, trained, sample, corpus):
    found = memlm("trace", trained, sample, corpus / "notes.txt", "--json").json
    shares = [found[f"{kind}_share"] for kind in ("recited", "recombined", "new")]
    assert sum(shares) == pytest.approx(1)
    assert found["characters"] == sum(part["characters"] for part in found["files"])


# -- generate -----------------------------------------------------------------------------------


def test_what_is_streamed_is_prompt_and_text(memlm, trained):
    words = ("generate", trained, "the cat", "--tokens", "30", "--seed", "4")
    text = memlm(*words, "--json").json["text"]
    assert memlm(*words).out == f"the cat{text}\n"


def test_a_seed_writes_the_same_again(memlm, trained):
    words = ("generate", trained, "the cat", "--seed", "4", "--json")
    assert memlm(*words).json["text"] == memlm(*words).json["text"]


def test_exactly_so_many_tokens_are_written(memlm, trained):
    words = ("generate", trained, "the", "--tokens", "33", "--ignore-end", "--json")
    assert memlm(*words).json["tokens"] == 33


def test_stops_are_normalised_as_text_is(memlm, trained):
    found = memlm("generate", trained, "the", "--stop", "e\u0301", "--json")
    assert found.code == 0


def test_several_samples_are_listed(memlm, trained):
    found = memlm("generate", trained, "the", "--samples", "3", "--tokens", "4", "--json").json
    assert len(found["samples"]) == 3
    assert found["text"] == found["samples"][0]["text"]


def test_a_label_is_followed_and_reported(memlm, trained):
    found = memlm("generate", trained, "--label", "zh", "--tokens", "4", "--json").json
    assert found["label"] == "zh"


def test_a_workspace_without_a_model_is_trained_first_and_that_is_said(memlm, collected, fast):
    found = memlm("generate", collected, "the", "--tokens", "4", *fast, "--json")
    assert found.json["model"] == "lstm-1"
    assert "There is no model yet" in found.err


def test_what_is_trained_first_takes_the_options_of_train(memlm, collected, fast):
    found = memlm("generate", collected, "a", *fast, "--tokenizer", "byte", "--json")
    assert found.json["model"] == "lstm-1"
    assert (collected / "prepared" / "byte").exists()


# -- train --------------------------------------------------------------------------------------


def test_a_second_training_gets_a_new_name(memlm, trained, fast):
    before = (trained / "models" / "lstm-1" / "model.safetensors").read_bytes()
    assert memlm("train", trained, *fast, "--seed", "1", "--json").json["model"] == "lstm-2"
    assert (trained / "models" / "lstm-1" / "model.safetensors").read_bytes() == before


def test_the_newest_model_answers_unless_another_is_named(memlm, trained, fast, sample):
    memlm("train", trained, *fast, "--name", "mine")
    assert memlm("score", trained, sample, "--json").json["model"] == "mine"
    named = memlm("score", trained, sample, "--model", "lstm-1", "--json").json
    assert named["model"] == "lstm-1"


def test_one_command_goes_from_files_to_a_model_in_the_time_given(memlm, corpus, tmp_path):
    words = ("train", tmp_path / "ws", corpus, "--minutes", "0.02", "--threads", "1")
    found = memlm(*words, "--hidden-width", "8", "--json")
    assert found.code == 0
    assert found.json["steps"] >= 1
    assert "Collected" in found.err


def test_with_steps_two_trainings_are_the_same_bytes(memlm, trained, fast):
    for name in ("one", "two"):
        memlm("train", trained, *fast, "--name", name)
    models = trained / "models"
    one, two = ((models / name / "model.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two


def test_a_stopped_training_says_how_to_go_on(memlm, trained, fast, monkeypatch):
    monkeypatch.setattr("memlm.runtime.SignalWatch.name", "SIGINT")
    found = memlm("train", trained, *fast)
    assert found.code == 130
    assert "--resume --name lstm-2" in found.err


def test_a_damaged_checkpoint_is_passed_over_and_that_is_said(memlm, trained, fast, monkeypatch):
    def crash(run: object, **named: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("memlm.train.run.TrainingRun.finish", crash)
        words = ("train", trained, *fast, "--checkpoint-every", "2", "--name", "mine")
        assert memlm(*words).code == 130
    newest = trained / "models" / "mine" / "checkpoints" / "step-000006"
    with (newest / "model.safetensors").open("ab") as file:
        file.write(b"!")
    found = memlm("train", trained, "--resume", "--json")
    assert "step-000006 is damaged" in found.err
    assert "Going on from step 4" in found.err
    assert found.json["steps"] == 8


def test_repeats_are_told_and_dropped_when_asked(memlm, tmp_path):
    notice = "This notice stands at the end of every page of the site. " * 3
    for number in range(4):
        text = "\n".join(f"Line {line * 7 + number * 1009} of {number}." for line in range(40))
        (tmp_path / f"{number}.txt").write_text(f"{text}\n{notice}", encoding="utf-8")
    memlm("collect", tmp_path / "ws", *sorted(tmp_path.glob("*.txt")))
    told = memlm("prepare", tmp_path / "ws", "--language", "en")
    assert "3 passages of at least 100 characters occurred before" in told.out
    assert "--drop-repeats drops them" in told.out
    found = memlm("prepare", tmp_path / "ws", "--drop-repeats", "--json").json
    assert found["repeated_passages"] == 3
    assert found["cut_characters"] >= 3 * len(notice.strip())
