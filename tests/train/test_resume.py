"""A training that was stopped, or that crashed, goes on to the very same bytes."""

from __future__ import annotations

import json
import math
import pickletools
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import memlm.train.training as training_module
from memlm.errors import ConfigError, CorruptArtefactError, DivergedError, InputError, NotFoundError
from memlm.messages import in_language
from memlm.storage import seal_files, verify_folder, write_json
from memlm.train.config import DEFAULT_MINUTES, TrainConfig
from memlm.train.resume import check_options
from memlm.train.run import resume_run, start_run
from memlm.train.validation import HeldOutLoss, HeldOutText
from memlm.workspace import read_run

MADE_FROM = {"documents": "0" * 32, "tokenizer": "char"}
OUTCOME = ("model.safetensors", "config.json", "steps.jsonl", "tokenizer.json")


def _outcome(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in OUTCOME}


@pytest.fixture(scope="session")
def whole(store, small, tmp_path_factory):
    """Return what gives the files that an undisturbed training of a network writes."""

    @cache
    def outcome(network: str = "lstm") -> dict[str, bytes]:
        folder = tmp_path_factory.mktemp("whole") / "model"
        threads = torch.get_num_threads()
        _finish(start_run(folder, store, small(network=network), made_from=MADE_FROM))
        torch.set_num_threads(threads)
        return _outcome(folder)

    return outcome


def _checkpoints(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").glob("step-*"))


def _finish(run) -> None:
    for _ in run.steps():
        pass
    run.finish()


@pytest.fixture
def stop_at(store, tmp_path):
    """Return what trains up to a step, stops there as SIGTERM would make it, and saves."""

    def stop(config, step: int, name: str = "stopped") -> Path:
        run = start_run(tmp_path / name, store, config, made_from=MADE_FROM)
        for _ in run.steps(should_stop=lambda: run.training.step == step):
            pass
        run.finish(stopped_by="SIGTERM")
        return tmp_path / name

    return stop


@pytest.fixture
def crash_after(store, tmp_path, take_steps):
    """Return what trains up to a step and is then never heard of again."""

    def crash(config, step: int, name: str = "crashed") -> Path:
        take_steps(start_run(tmp_path / name, store, config, made_from=MADE_FROM), step)
        return tmp_path / name

    return crash


@pytest.mark.parametrize("network", ["lstm", "gru"])
@pytest.mark.parametrize("step", [0, 1, 5, 13, 23, 24])
def test_a_stopped_training_resumes_to_the_same_bytes(store, small, whole, stop_at, network, step):
    config = small(network=network)
    folder = stop_at(config, step)
    _finish(resume_run(folder, store, config))
    assert _outcome(folder) == whole(network)


def test_the_trainings_above_cross_an_epoch(store, small, tmp_path):
    run = start_run(tmp_path / "any", store, small(), made_from=MADE_FROM)
    steps = (run.facts.train_tokens // run.plan.batch_size - 1) // run.plan.sequence_length
    assert steps < run.plan.steps - 1


def test_a_training_stopped_three_times_resumes_to_the_same_bytes(store, small, whole, stop_at):
    folder = stop_at(small(), 3)
    for step in (9, 17):
        run = resume_run(folder, store, small())
        for _ in run.steps(should_stop=lambda run=run, step=step: run.training.step == step):
            pass
        run.finish(stopped_by="SIGINT")
    _finish(resume_run(folder, store, small()))
    assert _outcome(folder) == whole()


@pytest.mark.parametrize("step", [1, 5, 11, 23])
def test_a_crashed_training_resumes_to_the_same_bytes(store, small, whole, crash_after, step):
    config = small(checkpoint_every=5)
    folder = crash_after(config, step)
    run = resume_run(folder, store, config)
    assert run.training.step == step - step % 5
    _finish(run)
    assert _outcome(folder) == whole()


def test_a_log_whose_last_line_a_crash_cut_short_is_mended(store, small, whole, crash_after):
    config = small(checkpoint_every=5)
    folder = crash_after(config, 13)
    with (folder / "steps.jsonl").open("a", encoding="utf-8") as log:
        log.write('{"step": 99}\n{"step": 10, "nats_per')
    _finish(resume_run(folder, store, config))
    assert _outcome(folder) == whole()


def test_a_training_that_had_saved_nothing_begins_again(store, small, whole, crash_after):
    config = small(checkpoint_every=20)
    folder = crash_after(config, 7)
    run = resume_run(folder, store, config)
    assert run.training.step == 0
    _finish(run)
    assert _outcome(folder) == whole()


def test_two_trainings_with_one_seed_are_the_same_bytes(small, train, whole):
    assert _outcome(train(small())[0]) == whole()


def test_two_trainings_with_two_seeds_differ(small, train, whole):
    other = _outcome(train(small(seed=1))[0])
    assert other["model.safetensors"] != whole()["model.safetensors"]


def test_checkpoints_do_not_change_what_is_learned(small, train, whole):
    assert _outcome(train(small(checkpoint_every=1))[0]) == whole()


# -- checkpoints --------------------------------------------------------------------------------


def test_checkpoints_are_named_by_their_step_and_the_newest_two_are_kept(small, crash_after):
    folder = crash_after(small(checkpoint_every=4), 14)
    found = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert found == ["latest", "step-000008", "step-000012"]


def test_a_finished_training_keeps_no_checkpoints(small, train):
    folder, _ = train(small(checkpoint_every=4))
    assert not (folder / "checkpoints").exists()


def _flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES = [
    pytest.param("model.safetensors", _flip_a_bit, id="one bit of the weights"),
    pytest.param("optimizer.safetensors", _flip_a_bit, id="one bit of the optimizer"),
    pytest.param("state.safetensors", Path.unlink, id="the state gone"),
    pytest.param("state.json", lambda path: path.write_text("{}"), id="the numbers emptied"),
    pytest.param("manifest.json", Path.unlink, id="the manifest gone"),
    pytest.param("manifest.json", lambda path: path.write_text("{"), id="half a manifest"),
]


@pytest.mark.parametrize(("name", "damage"), DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_and_named(
    store, small, whole, crash_after, name, damage
):
    config = small(checkpoint_every=5)
    folder = crash_after(config, 16)
    damage(folder / "checkpoints" / "step-000015" / name)
    run = resume_run(folder, store, config)
    assert run.damaged_checkpoints == ("step-000015",)
    assert run.training.step == 10
    _finish(run)
    assert _outcome(folder) == whole()


@pytest.mark.parametrize(("name", "damage"), DAMAGES)
def test_if_every_checkpoint_is_damaged_that_is_said(store, small, crash_after, name, damage):
    folder = crash_after(small(checkpoint_every=5), 11)
    for checkpoint in _checkpoints(folder):
        damage(folder / "checkpoints" / checkpoint / name)
    with pytest.raises(CorruptArtefactError, match="step-000010"):
        resume_run(folder, store, small(checkpoint_every=5))


def test_what_a_training_writes_is_neither_pickle_nor_names_a_folder(small, crash_after, tmp_path):
    folder = crash_after(small(checkpoint_every=5), 6)
    written = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in written} == {"", ".json", ".jsonl", ".safetensors"}
    assert not any(str(tmp_path).encode() in path.read_bytes() for path in written)
    assert not any(_is_pickle(path.read_bytes()) for path in written)


def _is_pickle(data: bytes) -> bool:
    try:
        list(pickletools.genops(data))
    except Exception:  # whatever pickletools says of other files
        return False
    return True


def test_every_json_of_a_checkpoint_is_strict_json(small, stop_at):
    def refuse(name: str) -> None:
        raise AssertionError(name)

    for path in stop_at(small(), 0).rglob("*.json"):
        json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


# -- refusals -----------------------------------------------------------------------------------


def test_a_changed_option_is_refused_with_both_values(store, small, stop_at):
    folder = stop_at(small(), 3)
    with pytest.raises(ConfigError) as caught:
        resume_run(folder, store, small(hidden_width=13))
    assert caught.value.values["changes"] == "--hidden-width 12 -> 13"


def test_an_option_that_was_not_given_before_is_refused(store, small, stop_at):
    folder = stop_at(small(), 3)
    with pytest.raises(ConfigError, match="auto"):
        resume_run(folder, store, small(learning_rate=0.5))


def test_options_need_not_be_said_again(store, small, whole, stop_at):
    folder = stop_at(small(), 3)
    _finish(resume_run(folder, store, type(small())()))
    assert _outcome(folder) == whole()


def test_a_finished_training_cannot_be_resumed(store, small, train):
    folder, _ = train(small())
    with pytest.raises(NotFoundError, match="whole"):
        resume_run(folder, store, small())


def test_other_tokens_are_refused(store, small, stop_at, tmp_path):
    folder = stop_at(small(), 3)
    other = tmp_path / "tokens"
    shutil.copytree(store.folder, other)
    (other / "documents.txt").write_text("others\n", encoding="ascii")
    names = [path.name for path in other.iterdir() if path.name != "manifest.json"]
    seal_files(other, names, made_from={})
    with pytest.raises(InputError):
        resume_run(folder, type(store)(other), small())


def test_a_device_that_does_not_exist_leaves_no_folder(store, small, tmp_path):
    with pytest.raises(ConfigError, match="abacus"):
        start_run(tmp_path / "new", store, small(device="abacus"), made_from=MADE_FROM)
    assert not (tmp_path / "new").exists()


# -- what a run reports -------------------------------------------------------------------------


def _diverge_after(training, step: int, patch) -> None:
    plain = training_module.mean_loss

    def mean_loss(*given: object) -> tuple[torch.Tensor, object]:
        loss, state = plain(*given)
        return loss * (float("nan") if training.step == step else 1.0), state

    patch.setattr(training_module, "mean_loss", mean_loss)


def _explode_after(run, step: int, factor: float) -> DivergedError:
    def explode(taken) -> None:
        if taken.step == step:
            weights = run.training.network.weights()
            run.training.network.load_weights({n: w * factor for n, w in weights.items()})

    with pytest.raises(DivergedError) as caught:
        list(map(explode, run.steps()))
    return caught.value


def _largest(path: Path) -> float:
    return max(value.abs().max().item() for value in load_file(path).values())


@pytest.mark.parametrize("every", [1, 3, 100])
@pytest.mark.parametrize("factor", [1e4, 1e30], ids=["a loss that is absurd", "a loss beyond all"])
def test_divergence_keeps_no_exploded_weights_and_makes_a_model_of_the_best(
    store, small, tmp_path, every, factor
):
    config = small(steps=120, learning_rate=0.03, checkpoint_every=every)
    run = start_run(tmp_path / "model", store, config, made_from=MADE_FROM)
    error = _explode_after(run, 60, factor)
    folder = tmp_path / "model"
    for checkpoint in _checkpoints(folder):
        assert int(checkpoint[5:]) < 60
        assert _largest(folder / "checkpoints" / checkpoint / "model.safetensors") < 10
    assert len(_checkpoints(folder)) == (0 if every == 100 else 1)
    verify_folder(folder)
    assert _largest(folder / "model.safetensors") < 10
    found = read_run(folder)
    assert found["status"] == "diverged"
    assert found["results"]["best_step"] == run.training.best_step <= 60
    assert found["results"]["held_out_nats_per_character"] < 3
    assert "model" in error.hint
    assert f"step {run.training.best_step}" in error.hint


def test_a_checkpoint_that_is_left_is_the_one_that_latest_names(store, small, tmp_path):
    config = small(steps=120, checkpoint_every=5)
    run = start_run(tmp_path / "model", store, config, made_from=MADE_FROM)
    _explode_after(run, 60, 1e30)
    assert _checkpoints(tmp_path / "model") == ["step-000055"]
    latest = (tmp_path / "model" / "checkpoints" / "latest").read_text("ascii")
    assert latest == "step-000055\n"


def test_a_training_that_is_stopped_while_its_loss_is_absurd_keeps_what_was_good(
    store, small, tmp_path
):
    config = small(steps=120, checkpoint_every=5)
    run = start_run(tmp_path / "model", store, config, made_from=MADE_FROM)
    for step in run.steps(should_stop=lambda: run.training.step == 80):
        if step.step == 58:
            weights = run.training.network.weights()
            run.training.network.load_weights({name: w * 1e4 for name, w in weights.items()})
    run.finish(stopped_by="SIGINT")
    assert _checkpoints(tmp_path / "model") == ["step-000050", "step-000055", "step-000080"]
    assert resume_run(tmp_path / "model", store, config).training.steps_astray == 22


def test_divergence_at_once_says_that_nothing_is_kept(store, small, tmp_path):
    config = small(steps=120, learning_rate=1e9, checkpoint_every=1)
    run = start_run(tmp_path / "model", store, config, made_from=MADE_FROM)
    with in_language("en"), pytest.raises(DivergedError, match="Nothing of it is worth"):
        _finish(run)
    assert _checkpoints(tmp_path / "model") == []
    assert not (tmp_path / "model" / "manifest.json").exists()
    assert read_run(tmp_path / "model")["status"] == "diverged"


def test_a_best_that_is_worse_than_guessing_evenly_is_no_model(store, small, tmp_path):
    config = small(steps=120, learning_rate=100.0, checkpoint_every=100)
    run = start_run(tmp_path / "model", store, config, made_from=MADE_FROM)
    with pytest.raises(DivergedError) as caught:
        _finish(run)
    assert run.training.best_weights is not None
    assert caught.value.code == "loss_absurd"
    assert not (tmp_path / "model" / "manifest.json").exists()


def test_a_checkpoint_alone_is_named_where_nothing_was_validated(
    store, small, tmp_path, monkeypatch
):
    monkeypatch.setattr("memlm.train.run.TrainingRun.held_out", lambda run, tokens: None)
    run = start_run(tmp_path / "model", store, small(checkpoint_every=5), made_from=MADE_FROM)
    assert "step-000010" in _explode_after(run, 12, math.inf).hint
    assert not (tmp_path / "model" / "manifest.json").exists()


def test_a_model_of_an_earlier_stop_is_kept_where_the_training_diverges_later(
    store, small, stop_at, monkeypatch
):
    monkeypatch.setattr("memlm.train.run.TrainingRun.held_out", lambda run, tokens: None)
    folder = stop_at(small(), 5)
    before = _outcome(folder)["model.safetensors"]
    error = _explode_after(resume_run(folder, store, small()), 12, math.inf)
    assert "model" in error.hint
    assert _outcome(folder)["model.safetensors"] == before
    verify_folder(folder)


def test_weights_whose_validation_diverged_are_not_kept(store, small, whole, tmp_path, monkeypatch):
    config = small(checkpoint_every=5)
    run = start_run(tmp_path / "model", store, config, made_from=MADE_FROM)
    plain, spoilt = HeldOutText.loss, iter([math.inf])

    def diverge_when_validating(text: HeldOutText, network: object) -> HeldOutLoss:
        found = plain(text, network)
        if run.training.step == 12:
            return replace(found, nats=next(spoilt, found.nats))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(HeldOutText, "loss", diverge_when_validating)
        with pytest.raises(DivergedError):
            _finish(run)
    assert _checkpoints(tmp_path / "model") == ["step-000005", "step-000010"]
    verify_folder(tmp_path / "model")
    assert read_run(tmp_path / "model")["results"]["best_step"] < 12
    _finish(resume_run(tmp_path / "model", store, config))
    assert _outcome(tmp_path / "model") == whole()


def test_a_training_that_diverged_by_mischance_can_go_on(
    store, small, whole, tmp_path, monkeypatch
):
    run = start_run(tmp_path / "model", store, small(), made_from=MADE_FROM)
    with monkeypatch.context() as patch:
        _diverge_after(run.training, 6, patch)
        with pytest.raises(DivergedError):
            _finish(run)
    _finish(resume_run(tmp_path / "model", store, small()))
    assert _outcome(tmp_path / "model") == whole()


def test_the_best_weights_are_kept_where_they_are_clearly_better(store, small, tmp_path):
    run = start_run(tmp_path / "model", store, small(), made_from=MADE_FROM)
    for step in run.steps():
        if step.step == 12:
            best = run.training.network.weights()
            run.training.best_weights, run.training.best_step = best, 12
            run.training.best_loss = 0.01
    report = run.finish()
    assert report.best_step == 12
    kept = run.training.network.weights()
    assert all(kept[name].equal(best[name]) for name in best)


def test_the_last_weights_are_kept_where_the_best_are_hardly_better(store, small, tmp_path):
    run = start_run(tmp_path / "model", store, small(), made_from=MADE_FROM)
    for step in run.steps():
        last = step.held_out_loss
    run.training.best_loss, run.training.best_step = last * 0.999, 3
    assert run.finish().best_step == 24


def test_the_report_tells_what_was_done(store, small, train):
    _, report = train(small(network="gru"))
    assert (report.model, report.network, report.steps) == ("whole", "gru", 24)
    assert report.parameters > 0
    assert report.seconds > 0
    assert report.held_out_characters > 0
    assert report.held_out_nats_per_character > 0
    assert report.stopped_by is None


def test_a_training_stopped_before_its_first_step_claims_no_loss(store, small, tmp_path):
    run = start_run(tmp_path / "model", store, small(), made_from=MADE_FROM)
    list(run.steps(should_stop=lambda: True))
    assert run.finish(stopped_by="SIGTERM").train_nats_per_character is None


def test_the_log_holds_one_line_a_step_and_nothing_of_the_clock(small, train):
    folder, _ = train(small())
    lines = [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 25))
    names = {
        "step", "nats_per_token", "nats_per_character", "learning_rate",
        "held_out_nats_per_character",
    }  # fmt: skip
    assert all(set(line) == names for line in lines)


def test_run_json_says_what_the_model_was_made_from_and_how(small, train):
    folder, report = train(small())
    found = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert found["status"] == "finished"
    assert found["config"]["steps"] == 24
    assert found["plan"]["steps"] == 24
    assert found["machine"]["threads"] == 1
    assert found["results"]["steps"] == report.steps
    assert sum(found["labels"].values()) > 0


# -- the moment at which a model is put in place ------------------------------------------------


class _Killed(BaseException):
    """What comes after it never happens."""


@pytest.fixture
def dies_at(monkeypatch):
    """Return what finishes a training that dies where a function of `train/result.py` is called."""

    def finish(run, name: str) -> None:
        def die(*given: object, **named: object) -> None:
            raise _Killed

        for _ in run.steps():
            pass
        with monkeypatch.context() as patch:
            room = "origin" if name == "save_tensors" else "result"
            patch.setattr(f"memlm.train.{room}.{name}", die)
            with pytest.raises(_Killed):
                run.finish()

    return finish


@pytest.mark.parametrize(
    "place", ["save_tensors", "learned_documents", "seal_files", "delete_folder"]
)
def test_a_training_that_dies_while_it_is_finished_resumes_to_the_same_bytes(
    store, small, whole, tmp_path, dies_at, place
):
    dies_at(start_run(tmp_path / "model", store, small(), made_from=MADE_FROM), place)
    if place != "delete_folder":  # by then it is finished, checkpoints or not
        _finish(resume_run(tmp_path / "model", store, small()))
    assert _outcome(tmp_path / "model") == whole()
    verify_folder(tmp_path / "model")


@pytest.mark.parametrize("place", ["save_tensors", "learned_documents", "seal_files"])
def test_a_stopped_model_that_is_half_replaced_is_no_model(store, small, stop_at, dies_at, place):
    folder = stop_at(small(), 5)
    verify_folder(folder)
    dies_at(resume_run(folder, store, small()), place)
    assert not (folder / "manifest.json").exists()


def test_a_run_said_to_be_finished_that_has_no_model_can_be_resumed(
    store, small, whole, crash_after
):
    folder = crash_after(small(), 23)
    found = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    write_json(folder / "run.json", found | {"status": "finished"})
    _finish(resume_run(folder, store, small()))
    assert _outcome(folder) == whole()


def test_the_minutes_that_were_not_said_are_the_usual_ones(store):
    check_options(TrainConfig(minutes=DEFAULT_MINUTES), {}, store=store)
    for minutes, before in ((DEFAULT_MINUTES + 1, {}), (DEFAULT_MINUTES, {"steps": 9})):
        with pytest.raises(ConfigError, match="--minutes"):
            check_options(TrainConfig(minutes=minutes), before, store=store)
