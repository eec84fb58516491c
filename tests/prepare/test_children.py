"""Jobs in processes of our own: whatever happens to a child is said in the parent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from memlm.errors import CorruptArtefactError, ResourceError
from memlm.prepare import children
from memlm.prepare.children import ChildMistakeError, Job, run_jobs

STAND_IN = '''
"""Jobs for a test."""
import os, signal
from memlm.errors import CorruptArtefactError

def run_job(*, does, number=0):
    if does == "error":
        raise CorruptArtefactError("artefact_unreadable", path="somewhere")
    if does == "mistake":
        raise ValueError("the user's text")
    if does == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if does != "quiet":
        print("noise that is no answer")
    return {"square": number * number, "process": os.getpid()}
'''


@pytest.fixture
def _stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that children find: they inherit the search path, and the table from a file."""
    (tmp_path / "stand_in_jobs.py").write_text(STAND_IN, encoding="utf-8")
    site = "import memlm.prepare.children as c\nc._JOBS['test'] = 'stand_in_jobs'\n"
    (tmp_path / "sitecustomize.py").write_text(site, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(children._JOBS, "test", "stand_in_jobs")


def jobs(*does: str) -> list[Job]:
    return [Job("test", {"does": one, "number": n}, 1) for n, one in enumerate(does)]


@pytest.mark.usefixtures("_stand_in")
@pytest.mark.parametrize("processes", [1, 3])
def test_every_job_is_done_once(processes: int) -> None:
    found = dict(run_jobs(jobs(*["work"] * 7), processes=processes))
    assert {number: answer["square"] for number, answer in found.items()} == {
        number: number * number for number in range(7)
    }


@pytest.mark.usefixtures("_stand_in")
def test_jobs_are_shared_among_processes() -> None:
    found = dict(run_jobs(jobs(*["work"] * 6), processes=2))
    assert len({answer["process"] for answer in found.values()}) == 2


@pytest.mark.usefixtures("_stand_in")
@pytest.mark.parametrize("processes", [1, 2])
def test_error_of_a_child_is_raised_as_it_was(processes: int) -> None:
    with pytest.raises(CorruptArtefactError) as caught:
        dict(run_jobs(jobs("work", "error"), processes=processes))
    assert caught.value.values == {"path": "somewhere"}


@pytest.mark.usefixtures("_stand_in")
def test_mistake_of_a_child_carries_no_text() -> None:
    with pytest.raises(ChildMistakeError, match="ValueError in run_job") as caught:
        dict(run_jobs(jobs("mistake", "work"), processes=2))
    assert "text" not in str(caught.value)


@pytest.mark.usefixtures("_stand_in")
def test_death_of_a_child_is_said() -> None:
    with pytest.raises(ResourceError) as caught:
        dict(run_jobs(jobs("die", "work", "work"), processes=2))
    assert caught.value.code == "child_ended"


@pytest.mark.usefixtures("_stand_in")
def test_child_whose_parent_is_gone_ends_without_a_word() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "memlm.prepare"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        child.stdin.write(json.dumps({"kind": "test", "given": {"does": "quiet"}}).encode() + b"\n")
        child.stdin.close()
        assert child.stderr.read() == b""
    assert child.returncode == 0
