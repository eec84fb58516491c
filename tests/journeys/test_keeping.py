"""A training under way is safe from whoever keeps house, and a renamed one goes on."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

import memlm as library
from memlm.errors import InputError

TRAINING = (
    "--steps", "250", "--hidden-width", "8", "--embedding-width", "8", "--batch-size", "2",
    "--sequence-length", "16", "--threads", "1", "--device", "cpu", "--checkpoint-every", "10",
)  # fmt: skip
OUTCOME = ("model.safetensors", "steps.jsonl", "config.json", "tokenizer.json")


def _wait_for_a_checkpoint(folder, process):
    until = time.monotonic() + 60
    while not list((folder / "checkpoints").glob("step-*[0-9]")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.005)


def _outcome(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in OUTCOME}


def test_a_model_in_training_cannot_be_deleted_and_a_renamed_one_ends_the_same(
    memlm, start, corpus, tmp_path
):
    ws = tmp_path / "ws"
    memlm("train", ws, corpus, *TRAINING, "--name", "whole")
    process = start("train", ws, *TRAINING, "--name", "half")
    _wait_for_a_checkpoint(ws / "models" / "half", process)
    busy = memlm("models", ws, "--delete", "half", "--yes", code=2)
    assert busy["error"]["code"] == "workspace_busy"
    with pytest.raises(InputError):
        library.prune_checkpoints(ws)
    assert [one["model"] for one in memlm("models", ws)["models"]] == ["whole", "half"]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)

    library.rename_model(ws, "half", "other")
    assert memlm("train", ws, "--resume", "--name", "other")["model"] == "other"
    assert _outcome(ws / "models" / "other") == _outcome(ws / "models" / "whole")
    freed = library.delete_model(ws, "whole")
    assert freed > 1000
    (left,) = library.describe_models(ws)
    assert (left["model"], left["status"], left["checkpoints"]) == ("other", "finished", 0)
    assert memlm("generate", ws, "the", "--tokens", "4")["model"] == "other"
