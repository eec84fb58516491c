"""Artefacts reach the disk whole or not at all, checksummed, by one writer at a time."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import memlm.storage as storage
from memlm.errors import CorruptArtefactError, InputError, NotFoundError, ResourceError
from memlm.storage import (
    WriterLock,
    changed_folder,
    clean_leftovers,
    delete_folder,
    hash_json,
    machine_errors,
    new_file,
    new_folder,
    read_json,
    read_manifest,
    reseal_files,
    retried,
    scratch_file,
    scratch_folder,
    seal_files,
    size_on_disk,
    verify_folder,
    write_json,
)

HEX = "0123456789abcdef" * 2


class Crash(BaseException):
    """Stands for the end of the process at this line."""


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def write_and_crash(path: Path) -> None:
    path.write_text("half")
    raise Crash


def make_artefact(path: Path, text: str = "old") -> Path:
    with new_folder(path, made_from={"documents": "abc"}) as temporary:
        (temporary / "data.bin").write_text(text)
        (temporary / "more.txt").write_text("more of it")
    return path


# -- files and folders --------------------------------------------------------------------------


def test_file_is_replaced_by_what_was_written(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"n": 1})
    write_json(tmp_path / "a.json", {"词": 2})
    assert read_json(tmp_path / "a.json") == {"词": 2}
    assert names(tmp_path) == ["a.json"]


def test_exception_while_writing_a_file_leaves_the_old_one(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(Crash), new_file(tmp_path / "a.json") as temporary:
        write_and_crash(temporary)
    assert read_json(tmp_path / "a.json") == 1
    assert names(tmp_path) == ["a.json"]


def test_value_that_json_lacks_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", float("nan"))
    assert read_json(tmp_path / "a.json") == 1


def test_exception_while_writing_a_folder_leaves_the_old_one(tmp_path: Path) -> None:
    artefact = make_artefact(tmp_path / "artefact")
    with pytest.raises(Crash), new_folder(artefact, made_from={}) as temporary:
        write_and_crash(temporary / "data.bin")
    assert (artefact / "data.bin").read_text() == "old"
    assert names(tmp_path) == ["artefact"]


def test_failed_exchange_of_folders_puts_the_old_one_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artefact = make_artefact(tmp_path / "artefact")
    rename = Path.rename

    def fail_for_new(self: Path, target: Path) -> Path:
        if ".tmp-" in self.name:
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_new)
    with pytest.raises(ResourceError), new_folder(artefact, made_from={}) as temporary:
        (temporary / "data.bin").write_text("new")
    assert (artefact / "data.bin").read_text() == "old"
    assert names(tmp_path) == ["artefact"]


def test_new_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    artefact = make_artefact(tmp_path / "artefact")
    with new_folder(artefact, made_from={}) as temporary:
        (temporary / "other.bin").write_text("new")
    assert names(artefact) == ["manifest.json", "other.bin"]
    assert names(tmp_path) == ["artefact"]


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"nothing\.json"):
        read_json(tmp_path / "nothing.json")


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b""], ids=["half", "no UTF-8", "empty"])
def test_json_that_is_none_is_corrupt(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(CorruptArtefactError):
        read_json(tmp_path / "a.json")


def test_hash_of_json_does_not_depend_on_the_order_of_keys() -> None:
    assert hash_json({"a": 1, "b": [2]}) == hash_json({"b": [2], "a": 1})
    assert hash_json({"a": 1, "b": [2]}) != hash_json({"a": 1, "b": [3]})


def test_size_counts_all_files_below(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a").write_bytes(b"12345")
    (tmp_path / "b").write_bytes(b"67")
    assert size_on_disk(tmp_path) == 7


def test_file_that_a_writer_replaces_meanwhile_has_no_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    real = Path.is_file
    monkeypatch.setattr(Path, "is_file", lambda path: path.name == "gone" or real(path))
    assert size_on_disk(tmp_path) == 5
    assert size_on_disk(tmp_path / "gone") == 0


# -- manifests ----------------------------------------------------------------------------------


def test_intact_folder_is_verified_and_says_what_it_was_made_from(tmp_path: Path) -> None:
    found = verify_folder(make_artefact(tmp_path / "artefact"))
    assert found["made_from"] == {"documents": "abc"}
    assert sorted(found["files"]) == ["data.bin", "more.txt"]


@pytest.mark.parametrize("name", ["data.bin", "more.txt", "manifest.json"])
def test_every_flipped_bit_is_detected(tmp_path: Path, name: str) -> None:
    artefact = make_artefact(tmp_path / "artefact")
    intact = (artefact / name).read_bytes()
    undetected = []
    for place in range(len(intact)):
        changed = bytearray(intact)
        changed[place] ^= 1 << (place % 8)
        (artefact / name).write_bytes(changed)
        try:
            verify_folder(artefact)
        except CorruptArtefactError:
            continue
        undetected.append(place)
    assert undetected == []


@pytest.mark.parametrize("name", ["data.bin", "more.txt", "manifest.json"])
def test_truncated_file_is_detected(tmp_path: Path, name: str) -> None:
    artefact = make_artefact(tmp_path / "artefact")
    os.truncate(artefact / name, (artefact / name).stat().st_size - 2)
    with pytest.raises(CorruptArtefactError, match=name.replace(".", r"\.")):
        verify_folder(artefact, contents=False)


@pytest.mark.parametrize("name", ["data.bin", "more.txt"])
def test_missing_file_of_an_artefact_is_detected(tmp_path: Path, name: str) -> None:
    artefact = make_artefact(tmp_path / "artefact")
    (artefact / name).unlink()
    with pytest.raises(CorruptArtefactError, match=name.replace(".", r"\.")):
        verify_folder(artefact, contents=False)


def test_sizes_alone_do_not_see_a_flipped_bit(tmp_path: Path) -> None:
    artefact = make_artefact(tmp_path / "artefact")
    (artefact / "data.bin").write_text("odd")
    assert verify_folder(artefact, contents=False)
    with pytest.raises(CorruptArtefactError):
        verify_folder(artefact)


def test_folder_without_manifest_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_manifest(tmp_path)


def test_only_the_named_files_of_a_grown_folder_are_sealed(tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("w")
    (tmp_path / "steps").write_text("1")
    seal_files(tmp_path, ["weights"], made_from={})
    (tmp_path / "steps").write_text("1 2")
    assert list(verify_folder(tmp_path)["files"]) == ["weights"]


# -- leftovers ----------------------------------------------------------------------------------


def test_unfinished_artefacts_of_a_crash_are_removed(tmp_path: Path) -> None:
    artefact = make_artefact(tmp_path / "artefact")
    (tmp_path / f"other.tmp-{HEX}").mkdir()
    (tmp_path / f"a.json.tmp-{HEX}").write_text("half")
    clean_leftovers(tmp_path)
    assert names(tmp_path) == [artefact.name]


def test_folder_that_lost_its_name_gets_it_back(tmp_path: Path) -> None:
    artefact = make_artefact(tmp_path / "artefact")
    artefact.rename(tmp_path / f"artefact.old-{HEX}")
    clean_leftovers(tmp_path)
    assert names(tmp_path) == ["artefact"]
    assert verify_folder(artefact)


def test_replaced_folder_that_was_not_yet_deleted_is_removed(tmp_path: Path) -> None:
    make_artefact(tmp_path / f"artefact.old-{HEX}", "old")
    artefact = make_artefact(tmp_path / "artefact", "new")
    clean_leftovers(tmp_path)
    assert names(tmp_path) == ["artefact"]
    assert (artefact / "data.bin").read_text() == "new"


def test_half_deleted_folder_never_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artefact = make_artefact(tmp_path / "artefact")

    def delete_half(folder: Path) -> None:
        (folder / "data.bin").unlink()
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", delete_half)
        with pytest.raises(Crash):
            delete_folder(artefact)
    clean_leftovers(tmp_path)
    assert names(tmp_path) == []


def test_deleting_a_folder_that_is_gone_is_no_error(tmp_path: Path) -> None:
    delete_folder(tmp_path / "nothing")
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["notes.tmp-1", "a.old-style", "b.tmp-", f".tmp-{HEX}x"])
def test_names_that_only_resemble_a_leftover_are_kept(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    clean_leftovers(tmp_path)
    assert names(tmp_path) == [name]


# -- scratch ------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_ours", [True, False], ids=["in a folder", "of the system"])
def test_scratch_folder_is_private_and_gone_afterwards(tmp_path: Path, is_ours: bool) -> None:
    with scratch_folder(tmp_path if is_ours else None) as folder:
        assert (folder.parent == tmp_path) == is_ours
        if os.name != "nt":
            assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "file").write_text("text")
    assert not folder.exists()


def test_scratch_folder_of_a_crash_is_a_leftover(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as folder:
        (folder / "file").write_text("text")
        clean_leftovers(tmp_path)
        assert names(tmp_path) == []


def test_scratch_file_is_private_and_gone_afterwards(tmp_path: Path) -> None:
    with scratch_file(tmp_path, [b"a ", b"text"], ending=".txt") as path:
        assert (path.parent, path.suffix, path.read_bytes()) == (tmp_path, ".txt", b"a text")
        if os.name != "nt":
            assert path.stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == []


def test_scratch_file_that_cannot_be_filled_is_gone(tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"half"
        raise Crash

    with pytest.raises(Crash), scratch_file(tmp_path, pieces(), ending=".txt"):
        pass
    assert names(tmp_path) == []


# -- the lock -----------------------------------------------------------------------------------

HOLD = (
    "import pathlib, sys, time\n"
    "from memlm.storage import WriterLock\n"
    "WriterLock.acquire(lock := WriterLock(pathlib.Path(sys.argv[1])))\n"
    "print('held', flush=True)\n"
    "time.sleep(60)\n"
)


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_who_has_patience_gets_the_lock_when_it_is_free(tmp_path: Path, holder) -> None:
    timer = threading.Timer(0.3, holder.kill)
    timer.start()
    lock = WriterLock(tmp_path / "lock")
    lock.acquire(patience_seconds=30)
    assert holder.wait(timeout=30) != 0  # it is free since the other is dead
    with pytest.raises(InputError):
        WriterLock(tmp_path / "lock").acquire()
    lock.release()
    timer.join()


def test_patience_ends(tmp_path: Path, holder) -> None:
    with pytest.raises(InputError):
        WriterLock(tmp_path / "lock").acquire(patience_seconds=0.1)


def test_second_process_is_refused_and_told_the_first(tmp_path: Path, holder) -> None:
    with pytest.raises(InputError) as caught:
        WriterLock(tmp_path / "lock").acquire()
    assert caught.value.code == "workspace_busy"
    assert caught.value.values["process"] == str(holder.pid)


def test_lock_of_a_killed_process_is_taken_over(tmp_path: Path, holder) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    lock = WriterLock(tmp_path / "lock")
    lock.acquire()
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    lock.release()


def test_released_lock_can_be_taken_again(tmp_path: Path) -> None:
    one, other = WriterLock(tmp_path / "lock"), WriterLock(tmp_path / "lock")
    one.acquire()
    with pytest.raises(InputError):
        other.acquire()
    one.release()
    other.acquire()
    other.release()


# -- the machine --------------------------------------------------------------------------------

MACHINE_ERRORS = [
    pytest.param(errno.ENOSPC, id="disk full"),
    pytest.param(errno.EDQUOT, id="quota"),
    pytest.param(errno.EACCES, id="not allowed"),
    pytest.param(errno.EROFS, id="read-only"),
    pytest.param(errno.EIO, id="broken disk"),
    pytest.param(errno.EMFILE, id="too many open files"),
]


@pytest.mark.parametrize("number", MACHINE_ERRORS)
def test_failed_flush_is_a_resource_error_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    write_json(tmp_path / "a.json", 1)

    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ResourceError) as caught:
        write_json(tmp_path / "a.json", 2)
    assert caught.value.exit_code == 4
    assert os.strerror(number) in str(caught.value)
    assert json.loads((tmp_path / "a.json").read_text()) == 1
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("number", MACHINE_ERRORS)
def test_error_inside_the_block_of_a_folder_is_a_resource_error(
    tmp_path: Path, number: int
) -> None:
    with pytest.raises(ResourceError), new_folder(tmp_path / "a", made_from={}):
        raise OSError(number, os.strerror(number))
    assert names(tmp_path) == []


def test_name_that_is_too_long_is_a_resource_error(tmp_path: Path) -> None:
    with pytest.raises(ResourceError):
        write_json(tmp_path / ("a" * 300), 1)


def test_our_own_mistakes_are_not_blamed_on_the_machine(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), new_file(tmp_path / "a"):
        tmp_path.write_text("a folder is no file")


# -- trying again -------------------------------------------------------------------------------


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were waited."""
    found: list[float] = []
    monkeypatch.setattr(storage.time, "sleep", found.append)
    return found


def failing(number: int, times: int) -> Callable[[], None]:
    """Return a write that fails so many times."""
    left = [times]

    def write() -> None:
        with machine_errors(Path("a")):
            left[0] -= 1
            if left[0] >= 0:
                raise OSError(number, os.strerror(number))

    return write


def test_write_that_fails_for_a_moment_is_repeated(waits: list[float]) -> None:
    retried(failing(errno.EIO, 2))
    assert len(waits) == 2


@pytest.mark.parametrize(
    ("number", "times"), [(errno.EIO, 3), (errno.ENOSPC, 0), (errno.EACCES, 0)], ids=str
)
def test_write_that_goes_on_failing_is_given_up(
    waits: list[float], number: int, times: int
) -> None:
    with pytest.raises(ResourceError):
        retried(failing(number, 9))
    assert len(waits) == times


# -- a folder that is changed all at once -------------------------------------------------------


@pytest.fixture(params=["links", "no links"])
def links(request, monkeypatch) -> None:
    """Some disks have links, others not."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    if request.param == "no links":
        monkeypatch.setattr(os, "link", refuse)


@pytest.mark.usefixtures("links")
def test_changed_folder_has_all_changes_and_all_that_was_not_changed(tmp_path):
    folder = make_artefact(tmp_path / "it")
    (folder / "deep").mkdir()
    (folder / "deep" / "file").write_text("deep")
    with changed_folder(folder) as changed:
        write_json(changed / "data.bin", "new")
        reseal_files(changed, ["data.bin"])
        assert (folder / "data.bin").read_text() == "old"
    assert read_json(folder / "data.bin") == "new"
    assert (folder / "more.txt").read_text() == "more of it"
    assert (folder / "deep" / "file").read_text() == "deep"
    assert verify_folder(folder)["made_from"] == {"documents": "abc"}
    assert names(tmp_path) == ["it"]


@pytest.mark.usefixtures("links")
def test_folder_is_as_it_was_where_its_change_fails(tmp_path):
    folder = make_artefact(tmp_path / "it")
    with pytest.raises(Crash), changed_folder(folder) as changed:
        write_and_crash(changed / "extra.txt")
    assert verify_folder(folder)
    assert not (folder / "extra.txt").exists()
    assert (folder / "data.bin").read_text() == "old"
    assert names(tmp_path) == ["it"]


def test_new_seal_hides_no_damage_to_other_files(tmp_path):
    folder = make_artefact(tmp_path / "it")
    (folder / "more.txt").write_text("less of it")
    write_json(folder / "data.bin", "new")
    reseal_files(folder, ["data.bin"])
    with pytest.raises(CorruptArtefactError) as caught:
        verify_folder(folder)
    assert caught.value.values["path"] == folder / "more.txt"
