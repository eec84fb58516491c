"""Several processes take the same steps as one, and end together."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import one_of_several
import pytest
import torch.distributed as dist
from safetensors.torch import load_file

from memlm.errors import ConfigError
from memlm.models import describe_network
from memlm.runtime import ProcessPlace, process_place
from memlm.storage import verify_folder
from memlm.train import TrainConfig
from memlm.train.distributed import Processes
from memlm.train.plan import TrainPlan
from memlm.train.run import resume_run, start_run
from memlm.train.schedule import Phase

PROGRAM = Path(one_of_several.__file__)
needs_gloo = pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available()),
    reason="this build of torch has no gloo",
)
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def in_processes(*todo: tuple[str, object], size: int = 2) -> list[list[Any]]:
    """Let several processes do some things; return of each thing what each process found."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": _free_port()}
    place |= {"WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
    begun = [
        subprocess.Popen(
            [sys.executable, "-W", "error", str(PROGRAM), json.dumps(todo)],
            env=os.environ
            | {"OMP_NUM_THREADS": "1", "RANK": str(rank), "LOCAL_RANK": str(rank)}
            | {name: str(value) for name, value in place.items()},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        for rank in range(size)
    ]
    try:
        said = [process.communicate(timeout=280) for process in begun]
    finally:
        for process in begun:
            process.kill()
    assert all(process.returncode == 0 for process in begun), said
    found = [json.loads(out.splitlines()[-1]) for out, _ in said]
    return [list(of_all) for of_all in zip(*found, strict=True)]


# -- the pieces ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("runs")
    return {name: home / name for name in ("whole", "stopped", "resumed")}


@pytest.fixture(scope="module")
def found(make_plan_of, plans, options, store, folders) -> dict[str, list[Any]]:
    """All that two processes find; starting them takes longer than what they do."""
    timed = _plan(make_plan_of, steps=None, minutes=0.05)
    plan = _plan(make_plan_of).to_json()
    places = {"store": str(store.folder), "config": options}
    whole, stopped, resumed = (places | {"folder": str(path)} for path in folders.values())
    todo = {
        "pieces": ("pieces", None),
        "steps": ("steps", plans),
        "decisions": ("decisions", {"plan": plan, "timed": timed.to_json()}),
        "whole": ("runs", whole | {"resumes": None, "stop": None}),
        "stopped": ("runs", stopped | {"resumes": None, "stop": 6}),
        "resumed": ("runs", resumed | {"resumes": str(folders["stopped"]), "stop": None}),
        "disagreement": ("disagreement", whole | {"plan": plan}),
    }
    return dict(zip(todo, in_processes(*todo.values()), strict=True))


@pytest.fixture
def pieces(found) -> list[dict[str, Any]]:
    return found["pieces"]


@needs_gloo
def test_every_lane_is_read_by_one_process(pieces):
    assert [found["lanes"] for found in pieces] == [[0, 2], [2, 5]]


@needs_gloo
def test_what_one_wishes_all_agree_to(pieces):
    assert [found["agreed"] for found in pieces] == [[False, True, True, True]] * 2


@needs_gloo
def test_what_each_gives_all_get_in_order(pieces):
    given = [{"text": "灯" * rank, "loss": 0.1 + rank, "none": None} for rank in range(2)]
    assert [found["gathered"] for found in pieces] == [given] * 2
    assert [found["broadcast"] for found in pieces] == ["first"] * 2


@needs_gloo
def test_the_state_of_all_lanes_is_put_together(pieces):
    assert all(found["state"] for found in pieces)
    assert [found["empty state"] for found in pieces] == [[1, 5, 0]] * 2


@needs_gloo
def test_gradients_are_summed_and_one_that_nobody_has_stays_none(pieces):
    for found in pieces:
        assert found["loss"] == 0.75
        assert found["gradients"] == [[3.0, 30.0], [3.0, 4.0], None]


@needs_gloo
@pytest.mark.parametrize("which", ["error of the first", "error of the second"])
def test_an_error_of_one_is_raised_by_all_and_said_by_the_first(pieces, which):
    values = {"path": "a.csv", "column": "灯", "found": "['b']"}
    error = {"error": "InputError", "code": "column_missing", "values": values}
    assert [found[which] for found in pieces] == [
        error | {"is_told": is_told} for is_told in (False, True)
    ]


@needs_gloo
def test_processes_that_cannot_work_together_are_refused(pieces):
    for found in pieces:
        assert found["too many"]["code"] == "processes_exceed_batch"
        assert found["other devices"]["code"] == "device_unknown"
        assert found["one GPU"]["code"] == "processes_one_gpu"
        assert found["after all"] == 0  # and the connection is still in order


@needs_gloo
def test_one_that_ends_without_a_word_does_not_let_the_other_wait():
    ((found, _),) = in_processes(("lone_end", None))
    assert (found["error"], found["code"]) == ("ResourceError", "process_lost")
    assert not found["is_told"]


@pytest.mark.parametrize("missing", ["RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"])
def test_without_all_that_torchrun_says_a_process_is_alone(monkeypatch, missing):
    for name in VARIABLES:
        monkeypatch.setenv(name, "1")
    assert process_place() == ProcessPlace(1, 1, 1, 1)
    monkeypatch.delenv(missing)
    assert process_place() == ProcessPlace()


@pytest.mark.parametrize("size", range(1, 8))
def test_lanes_are_shared_out_without_a_gap_and_nearly_evenly(size):
    for number in range(size, 20):
        found = [Processes(ProcessPlace(rank, size)).lanes(number) for rank in range(size)]
        assert [lanes.start for lanes in found] == [0, *(lanes.stop for lanes in found[:-1])]
        assert found[-1].stop == number
        assert {lanes.stop - lanes.start for lanes in found} <= {number // size, number // size + 1}


# -- steps --------------------------------------------------------------------------------------

KINDS = {
    "plain": {},
    "muon": {"optimizer": "muon", "accumulate": 2, "average_share": 0.4},
    "phases": {
        "phases": (
            Phase(share=0.5, batch_size=2, sequence_length=8, steps=5),
            Phase(share=0.5, batch_size=5, sequence_length=4, steps=5),
        )
    },
    "transformer": {"network": "transformer"},
    "rare clusters": {"cutoffs": (4, 8), "learning_rate": 0.003},
    "dropout": {"dropout": 0.3},
}


def _plan(make_plan_of, **changes: Any) -> TrainPlan:
    shape = {name: changes.pop(name) for name in ("dropout", "cutoffs") if name in changes}
    network = describe_network(
        changes.pop("network", "lstm"),
        vocabulary_size=12, embedding_width=8, hidden_width=16, layers=1, **shape,
    )  # fmt: skip
    return make_plan_of(batch_size=5, network=network, **changes)


@pytest.fixture(scope="module")
def plans(make_plan_of) -> dict[str, Any]:
    return {name: _plan(make_plan_of, **changes).to_json() for name, changes in KINDS.items()}


@pytest.fixture(scope="module")
def one(plans) -> dict[str, Any]:
    """What a process that is alone finds."""
    return json.loads(json.dumps(one_of_several.steps(Processes(), json.loads(json.dumps(plans)))))


@pytest.fixture
def two(found) -> list[dict[str, Any]]:
    return found["steps"]


@needs_gloo
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "dropout"])
def test_two_processes_find_the_losses_of_one(one, two, kind):
    for found in two:
        assert found[kind]["losses"][0] == pytest.approx(one[kind]["losses"][0], abs=1e-6)
        assert found[kind]["losses"] == pytest.approx(one[kind]["losses"], rel=1e-4)
        assert found[kind]["held out"] == pytest.approx(one[kind]["held out"], rel=1e-4)


@needs_gloo
@pytest.mark.parametrize("kind", KINDS)
def test_all_processes_have_the_same_weights_to_the_bit(two, kind):
    first, second = (found[kind] for found in two)
    for part in ("losses", "held out", "weights", "result", "best"):
        assert first[part] == second[part]


@needs_gloo
def test_each_process_drops_out_by_numbers_of_its_own(one, two):
    first, second = (found["dropout"] for found in two)
    assert first["dropout"] != second["dropout"]
    assert first["losses"] != one["dropout"]["losses"]


# -- decisions ----------------------------------------------------------------------------------


@pytest.fixture
def decided(found) -> list[dict[str, Any]]:
    return found["decisions"]


@needs_gloo
def test_a_wish_to_stop_of_one_stops_all_after_the_same_step(decided):
    assert [found["stopped"] for found in decided] == [4, 4]


@needs_gloo
def test_the_clock_of_the_first_settles_the_steps_of_all(decided):
    (settled, taken), second = (found["measured"] for found in decided)
    assert [settled, taken] == second
    assert settled == taken > 20  # by the clock of the second it would be a few


@needs_gloo
def test_a_number_that_is_none_in_one_ends_all_before_the_step(decided):
    for found in decided:
        assert found["diverged"]["code"] == "diverged"
        assert found["diverged"]["values"]["step"] == 4
        assert found["after"] == 3
    assert [found["diverged"]["is_told"] for found in decided] == [False, True]


# -- runs ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def options() -> dict[str, Any]:
    return {
        "steps": 14, "hidden_width": 12, "embedding_width": 8, "batch_size": 5, "threads": 1,
        "sequence_length": 32, "dropout": 0.2, "average_weights": 0.3, "device": "cpu",
        "checkpoint_every": 4,
    }  # fmt: skip


@needs_gloo
def test_a_run_of_two_ends_with_one_report_for_both(found):
    assert found["whole"][0] == found["whole"][1]
    assert [ended["steps"] for ended in found["whole"]] == [14, 14]
    assert [ended["steps"] for ended in found["stopped"]] == [6, 6]


@needs_gloo
def test_only_the_first_process_writes(found, folders):
    whole = folders["whole"]
    verify_folder(whole)
    steps = [json.loads(line)["step"] for line in (whole / "steps.jsonl").read_text().splitlines()]
    assert steps == [*range(1, 15)]
    assert sorted(path.name for path in whole.iterdir()) == [
        "config.json", "curves.svg", "documents.bin", "manifest.json", "model.safetensors",
        "run.json", "steps.jsonl", "tokenizer.json",
    ]  # fmt: skip


@needs_gloo
def test_a_checkpoint_has_the_lanes_and_generators_of_all(found, folders):
    state = load_file(folders["stopped"] / "checkpoints" / "step-000006" / "state.safetensors")
    assert state["carried.0"].shape[1] == 5
    assert not state["generator.dropout"].equal(state["generator.dropout.1"])


@needs_gloo
def test_as_many_processes_resume_to_the_same_bytes(found, folders):
    assert found["resumed"][0]["changes"] == ""
    for name in ("model.safetensors", "steps.jsonl"):
        assert (folders["resumed"] / name).read_bytes() == (folders["whole"] / name).read_bytes()


@needs_gloo
def test_one_process_goes_on_where_two_stopped_and_says_what_differs(
    found, folders, store, options, tmp_path
):
    folder = Path(shutil.copytree(folders["stopped"], tmp_path / "stopped"))
    with pytest.raises(ConfigError, match="processes 2 -> 1"):
        resume_run(folder, store, TrainConfig(**options), strict=True)
    run = resume_run(folder, store, TrainConfig(**options))
    assert run.machine_changes == "processes 2 -> 1"
    assert (run.training.step, run.training.carried[0].shape[1]) == (6, 5)
    assert [step.step for step in run.steps()] == [*range(7, 15)]
    assert run.finish().steps == 14


@needs_gloo
def test_a_process_that_sees_other_files_does_not_join(found):
    codes = [error["code"] for error in found["disagreement"]]
    assert codes == ["workspace_not_shared", "workspace_not_shared"]


@pytest.mark.parametrize("length", [{"steps": 9}, {"steps": None, "minutes": 0.1}], ids=str)
def test_more_processes_than_lanes_are_refused_before_there_is_a_folder(
    store, small, tmp_path, length
):
    processes = Processes(ProcessPlace(0, 9))
    with pytest.raises(ConfigError, match="--batch-size"):
        start_run(
            tmp_path / "model",
            store,
            small(batch_size=4, **length),
            made_from={},
            processes=processes,
        )
    assert not (tmp_path / "model").exists()


def test_processes_on_one_machine_share_its_cores(store, small, tmp_path, monkeypatch):
    monkeypatch.setattr("memlm.train.distributed.available_cores", lambda: 8)
    processes = Processes(ProcessPlace(0, 4, local_size=4))
    run = start_run(
        tmp_path / "model", store, small(threads=None), made_from={}, processes=processes
    )
    assert run.plan.threads == 2
