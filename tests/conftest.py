"""What tests of several rooms share."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("memlm", deadline=None, max_examples=40, derandomize=True)
settings.load_profile("memlm")

# A shell starts what runs in its background deaf to Ctrl-C, and so would be what the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _nobody_waits_for_the_disk() -> Iterator[None]:
    """Flushing to the disk takes half the time of these tests, and no test cuts the power."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The development data, which lies beside the checkout and is not part of it."""
    folder = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the development data is not beside this checkout")
    return folder


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder of three small texts and a table of four rows with labels."""
    folder = tmp_path / "corpus"
    (folder / "deep").mkdir(parents=True)
    (folder / "one.txt").write_text("The lamp was lit.\nNobody came.\n", encoding="utf-8")
    (folder / "deep" / "two.md").write_text("# 灯\n\n夜里没有人来。\n", encoding="utf-8")
    (folder / "three.txt").write_text("A third text, of one line.\n", encoding="utf-8")
    rows = ["text,label", "good film,yes", "bad film,no", "好电影,yes", "坏电影,no"]
    (folder / "rows.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def foreign_models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return what makes a tiny model of the Hugging Face kind, once: its kind -> its folder.

    GPT-2 has a byte-level tokenizer and one token for beginning and end; the others have BOS and
    EOS, and pieces with byte fallback; `plain` is a GPT-2 with neither.
    """
    pytest.importorskip("transformers")
    from foreign_makers import save_model

    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp("foreign") / f"tiny-{kind}"
            save_model(made[kind], kind)
        return made[kind]

    return make
