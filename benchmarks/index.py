"""The index beside tokengrams and infini-gram: equal answers on every query, and how fast.

    python benchmarks/index.py [tokens bytes spans removal cold growth] [--data FOLDER] [--mb 100]

    tokens    build, bytes a position, batched counts and next counts of token ids: tokengrams
    bytes     build, counts at the longest suffix for each place of a text: infini-gram
    spans     all maximal spans of 1,000 bytes over `--mb` megabytes: infini-gram's `attribute`
    removal   one document of 10 kB, and ten of 1 kB far apart, taken out of `--mb` megabytes
    cold      the first answers of a fresh process: in numpy, compiled before, never compiled
    growth    build, memory, and questions from 1 MB to `--mb`; minutes

Each part builds all engines on the same symbols in one run on one core (the process binds itself)
and asserts that every answer of ours is the peer's. Seconds are of the processor, children
included, since machines are shared; removal and cold starts are of the clock, too. Text is that of
the development data, and, beyond it, words drawn from it. Needs `memlm[bench]`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from texts import data_beside_checkout, read_text

from memlm.index import (
    Entry,
    SegmentEntry,
    SuffixIndex,
    maximal_matches,
    open_index,
    refresh_index,
    suffix_index,
)

BYTE_VALUES = 250  # UTF-8 has none above 0xF4
VOCABULARY = 4096
QUERIES = 20_000
_TEXT = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".md", ".xml")
_Answer = TypeVar("_Answer")


# -- measuring ----------------------------------------------------------------------------------


def used_seconds() -> float:
    """Return the processor time of this process and of all its finished children."""
    kinds = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return sum(use.ru_utime + use.ru_stime for use in map(resource.getrusage, kinds))


def timed(work: Callable[[], _Answer], repeat: int = 1) -> tuple[_Answer, float]:
    """Return what `work` returns, and the fewest seconds of `repeat` times."""
    seconds = []
    for _ in range(repeat):
        before = used_seconds()
        answer = work()
        seconds.append(used_seconds() - before)
    return answer, min(seconds)


def show(**columns: object) -> None:
    values = {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in columns.items()
    }
    print(json.dumps(values, ensure_ascii=False), flush=True)


def compare(what: str, unit: str, ours: float, peer: float, name: str, aim: str) -> None:
    """Print one row of the table: both in `unit`, and how many times as good ours is."""
    ratio = ours / peer if unit.endswith("/s") else peer / ours
    show(what=what, unit=unit, memlm=ours, **{name: peer}, times=ratio, aim=aim)


# -- texts and engines --------------------------------------------------------------------------


def all_text(data: Path) -> bytes:
    """Return every text of the development data, end to end, as UTF-8."""
    found = []
    for path in sorted(data.rglob("*")):
        if path.suffix in _TEXT:
            found.append(path.read_bytes())
        elif path.suffix == ".gz" and "images" not in path.parts:
            found.append(gzip.decompress(path.read_bytes()))
        elif path.suffix == ".zip" and "images" not in path.parts:
            with zipfile.ZipFile(path) as held:
                names = [
                    n for n in held.namelist() if n.endswith((".txt", ".json", ".csv", ".xml"))
                ]
                found += [held.read(name) for name in names]
    text = b"\n".join(found).decode("utf-8", "ignore")
    return text.replace("\x00", "").encode("utf-8", "ignore")


def text_of(data: Path, size: int) -> bytes:
    """Return `size` bytes: the development data, then words drawn from War and Peace."""
    real = all_text(data)[:size]
    show(text="development data", bytes=len(real), of=size)
    draw = np.random.default_rng(0)
    words = np.array(read_text("en", data).split())
    parts, missing = [real], size - len(real)
    while missing > 0:
        part = " ".join(draw.choice(words, 1_000_000).tolist()).encode("utf-8")[:missing]
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def build(
    folder: Path, entries: dict[str, np.ndarray], vocabulary_size: int, layout: str = "fast"
) -> SuffixIndex:
    def read(keys: Iterable[str]) -> Iterator[SegmentEntry]:
        return (SegmentEntry(key, key, entries[key]) for key in keys)

    refresh_index(
        folder,
        digest=str(len(entries)),
        entries={key: Entry(key, len(ids)) for key, ids in entries.items()},
        read=read,
        vocabulary_size=vocabulary_size,
        layout=layout,  # type: ignore[arg-type]
    )
    return open_index(folder, contents=False)


def build_infini_gram(folder: Path, text: bytes) -> Any:  # Any: the peer has no types here
    """Build and open the peer's index of bytes; its tokens are the bytes themselves."""
    from infini_gram.engine import InfiniGramEngine

    folder.mkdir()
    (folder / "tokenized.0").write_bytes(b"\xff" + text)
    (folder / "offset.0").write_bytes(np.zeros(1, np.uint64).tobytes())
    command = [
        sys.executable, "-m", "infini_gram.indexing", "--data_dir", str(folder), "--save_dir",
        str(folder), "--token_dtype", "u8", "--cpus", "1", "--mem", "4",
        "--ulimit", str(resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
    ]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return InfiniGramEngine(
        index_dir=str(folder), eos_token_id=254, vocab_size=255, token_dtype="u8",
        max_support=1 << 40,
    )  # fmt: skip


def draw_queries(ids: np.ndarray, number: int, longest: int) -> list[np.ndarray]:
    """Return stretches of the ids, each spoilt at its end one time in ten."""
    draw = np.random.default_rng(1)
    starts = draw.integers(0, len(ids) - longest, number)
    lengths = draw.integers(1, longest + 1, number)
    queries = [ids[a : a + n].copy() for a, n in zip(starts, lengths, strict=True)]
    for number in range(0, len(queries), 10):
        queries[number][-1] = ids[draw.integers(0, len(ids))]
    return queries


def dense(found: suffix_index.NextCounts, row: int, size: int) -> np.ndarray:
    counts = np.zeros(size, np.int64)
    own = slice(found.offsets[row], found.offsets[row + 1])
    counts[found.symbols[own]] = found.counts[own]
    return counts


# -- parts --------------------------------------------------------------------------------------


def tokens(data: Path, work: Path, size: int) -> None:
    """Token ids against tokengrams."""
    import tokengrams

    from memlm.prepare.vocabulary import learn_tokenizer

    text = read_text("en", data) + read_text("shakespeare", data)
    tokenizer = learn_tokenizer("bpe", [text], size=VOCABULARY, labels=())
    ids = np.asarray(tokenizer.encode(text).ids).astype(np.uint16)
    ids.tofile(work / "ids.bin")
    index, ours = timed(lambda: build(work / "ours", {"all": ids}, VOCABULARY))
    peer, theirs = timed(
        lambda: tokengrams.MemmapIndex.build(
            str(work / "ids.bin"), str(work / "peer.idx"), vocab=VOCABULARY
        )
    )
    rates = len(ids) / ours / 1e6, len(ids) / theirs / 1e6
    compare(f"build, {len(ids)} tokens", "Mtokens/s", *rates, "tokengrams", ">= 3")
    compact = build(work / "compact", {"all": ids}, VOCABULARY, "compact")
    for name, one in (("compact", compact), ("fast", index)):
        files = ("suffixes.bin", "keys.bin")
        held = [segment.folder / file for segment in one.segments for file in files]
        bytes_held = sum(file.stat().st_size for file in held if file.exists())
        theirs = (work / "peer.idx").stat().st_size / len(ids)
        aim = "<= 4" if name == "compact" else "<= 9"
        show(what=f"bytes a position, {name}, beside the symbols", memlm=bytes_held / len(ids),
             tokengrams=theirs, aim=aim)  # fmt: skip
    queries = draw_queries(ids, QUERIES, 8)
    lists = [query.tolist() for query in queries]
    suffix_index.WORTH_COMPILING = 0
    index.next_counts(queries[:1])
    wanted, theirs = timed(lambda: [peer.count(one) for one in lists])
    for name, one in (("fast", index), ("compact", compact)):
        found, ours = timed(lambda one=one: one.counts(queries), 3)
        assert found.tolist() == wanted
        each = ours / QUERIES * 1e6, theirs / QUERIES * 1e6
        compare(f"count, {name} layout", "us each", *each, "tokengrams", ">= 10")
    for name, some in (("1 to 8 tokens", queries), ("3 to 8", [q for q in queries if len(q) > 2])):
        many, ours = timed(lambda some=some: index.next_counts(some), 3)
        listed = [query.tolist() for query in some[:2000]]
        wanted_next, theirs = timed(lambda listed=listed: peer.batch_count_next(listed))
        for row, counts in enumerate(wanted_next):
            assert np.array_equal(dense(many, row, len(counts)), counts)
        each = ours / len(some) * 1e6, theirs / len(listed) * 1e6
        compare(f"next counts after {name}", "us each", *each, "tokengrams", ">= 10")


def bytes_part(data: Path, work: Path, size: int) -> None:
    """Bytes against infini-gram."""
    text = read_text("en", data).encode() + read_text("shakespeare", data).encode()
    known, question = text[:-4000], np.frombuffer(text[-4000:-2000], np.uint8)
    entries = {"all": np.frombuffer(known, np.uint8)}
    index, ours = timed(lambda: build(work / "ours", entries, BYTE_VALUES))
    peer, theirs = timed(lambda: build_infini_gram(work / "peer", known))
    rates = len(known) / ours / 1e6, len(known) / theirs / 1e6
    compare(f"build, {len(known)} bytes", "MB/s", *rates, "infini_gram", ">= 5")
    suffix_index.WORTH_COMPILING = 0
    index.longest_suffixes(question[:10])
    found, ours = timed(lambda: index.longest_suffixes(question), 3)
    ids = question.tolist()
    places = range(len(ids))
    wanted, theirs = timed(lambda: [peer.infgram_ntd(prompt_ids=ids[: at + 1]) for at in places])
    for at, answer in enumerate(wanted):
        counts = {
            token: one["cont_cnt"]
            for token, one in answer["result_by_token_id"].items()
            if token < BYTE_VALUES
        }
        own = slice(found.following.offsets[at], found.following.offsets[at + 1])
        symbols, numbers = found.following.symbols[own], found.following.counts[own]
        assert answer["suffix_len"] == found.lengths[at]
        assert dict(zip(symbols.tolist(), numbers.tolist(), strict=True)) == counts
    each = ours / len(ids) * 1e6, theirs / len(ids) * 1e6
    compare("counts at the longest suffix, each place", "us each", *each, "infini_gram",
            "<= 25 us, >= 100")  # fmt: skip


def spans(data: Path, work: Path, size: int) -> None:
    """All maximal spans of 1,000 bytes of each kind of text."""
    text = text_of(data, size)
    held_back = np.frombuffer(text[: 1 << 20], np.uint8)
    known = np.frombuffer(text[1 << 20 :], np.uint8)
    pieces = {str(n): known[n : n + 1_000_000] for n in range(0, len(known), 1_000_000)}
    index, ours = timed(lambda: build(work / "ours", pieces, BYTE_VALUES))
    show(what="build", mb=size / 1e6, seconds=ours, segments=len(index.segments))
    peer = None
    if size <= 20_000_000:
        peer, theirs = timed(lambda: build_infini_gram(work / "peer", known.tobytes()))
        show(what="build, infini_gram", seconds=theirs)
    suffix_index.WORTH_COMPILING = 0
    list(maximal_matches(index, held_back[:10]))
    draw = np.random.default_rng(2)
    questions = {
        "text from elsewhere": held_back[5000:6000],
        "made of its own words": np.concatenate(
            [known[at : at + 20] for at in draw.integers(0, len(known) - 20, 50)]
        ),
        "copied": known[500_000:501_000],
    }
    for name, question in questions.items():
        found, ours = timed(lambda question=question: list(maximal_matches(index, question)), 5)
        show(what=f"maximal spans of 1,000 bytes, {name}", ms=ours * 1e3, spans=len(found),
             aim="< 5 ms")  # fmt: skip
        if peer is not None:
            answer, theirs = timed(
                lambda question=question: peer.attribute(
                    input_ids=question.tolist(), delim_ids=[], min_len=1, max_cnt=1 << 40,
                    enforce_bow=False,
                )
            )  # fmt: skip
            assert [(s["l"], s["r"]) for s in answer["spans"]] == [(m.start, m.end) for m in found]
            compare(f"the same, {name}", "ms", ours * 1e3, theirs * 1e3, "infini_gram", "")


def removal(data: Path, work: Path, size: int) -> None:
    """Take 10 kB out, exactly, when it returns."""
    text = np.frombuffer(text_of(data, size), np.uint8)
    for length, number in ((10_000, 1), (1000, 10)):
        entries = {str(n): text[n : n + length] for n in range(0, size, length)}
        folder = work / f"of-{length}"
        build(folder, entries, BYTE_VALUES)
        for _ in range(3):
            left = list(entries)
            step = len(left) // number
            gone = {left[step // 2 + n * step] for n in range(number)}
            entries = {key: ids for key, ids in entries.items() if key not in gone}
            started = time.perf_counter()
            index, used = timed(lambda f=folder, left=entries: build(f, left, BYTE_VALUES))
            show(what=f"removal of {number} of {length} bytes from {size / 1e6:.0f} MB",
                 seconds=time.perf_counter() - started, processor_seconds=used,
                 segments=len(index.segments), aim="<= 1 s")  # fmt: skip
        shutil.rmtree(folder)


_COLD = """
import sys, time
started = time.perf_counter()
import numpy as np
from pathlib import Path
from memlm.index import open_index, suffix_index
imported = time.perf_counter()
suffix_index.WORTH_COMPILING = int(sys.argv[2])
index = open_index(Path(sys.argv[1]))
opened = time.perf_counter()
index.longest_suffixes(np.frombuffer(b"To be, or not to be: that is the question", np.uint8))
print(imported - started, opened - imported, time.perf_counter() - opened)
"""


def cold(data: Path, work: Path, size: int) -> None:
    """The first answers of a fresh process."""
    text = np.frombuffer(read_text("shakespeare", data).encode(), np.uint8)
    build(work / "index", {"all": text}, BYTE_VALUES)
    ways = (("numpy", 1 << 60), ("never compiled", 0), ("compiled before", 0))
    for name, threshold in ways:
        command = [sys.executable, "-c", _COLD, str(work / "index"), str(threshold)]
        environment = os.environ | {"NUMBA_CACHE_DIR": str(work / "compiled")}
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        imported, opened, answered = map(float, done.stdout.split())
        show(what=f"fresh process, {name}", import_seconds=imported, open_seconds=opened,
             first_answer_seconds=answered)  # fmt: skip


def growth(data: Path, work: Path, size: int) -> None:
    """Build, memory and questions for texts of more and more megabytes, each in its own process."""
    sizes = [mb for mb in (1, 3, 10, 30, 100, 300, 1000) if mb * 1_000_000 <= size]
    (work / "text").write_bytes(text_of(data, max(sizes) * 1_000_000))
    for mb in sizes:
        command = [sys.executable, __file__, "grown", "--data", str(work), "--mb", str(mb)]
        subprocess.run(command, check=True)


def peak_mb() -> float:
    """Return the most memory of this process so far, pages of mapped files included. Linux only."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1e3


def grown(data: Path, work: Path, size: int) -> None:
    """One size of `growth`, whose folder is given as `data`."""
    text = np.memmap(data / "text", np.uint8, "r")[:size].view(np.ndarray)
    before = peak_mb()
    entries = {str(n): text[n : n + 100_000] for n in range(0, size, 100_000)}
    index, seconds = timed(lambda: build(work / "index", entries, BYTE_VALUES))
    peak = peak_mb() - before
    suffix_index.WORTH_COMPILING = 0
    queries = draw_queries(text, QUERIES, 20)
    index.counts(queries[:1])
    list(maximal_matches(index, queries[0]))
    _, count = timed(lambda: index.counts(queries), 3)
    question = np.concatenate(queries)[:1000]
    _, follow = timed(lambda: list(maximal_matches(index, question)), 3)
    show(mb=size / 1e6, build_seconds=seconds, mb_per_second=size / 1e6 / seconds,
         peak_mb=peak, segments=len(index.segments), count_us=count / QUERIES * 1e6,
         spans_ms=follow * 1e3)  # fmt: skip


PARTS = {
    "tokens": tokens, "bytes": bytes_part, "spans": spans, "removal": removal, "cold": cold,
    "growth": growth, "grown": grown,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["tokens", "bytes", "cold"], metavar="PART")
    parser.add_argument("--data", type=Path, default=data_beside_checkout())
    parser.add_argument("--mb", type=int, default=100)
    wish = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for part in wish.parts:
        show(part=part, load=round(os.getloadavg()[0], 1))
        with tempfile.TemporaryDirectory() as work:
            PARTS[part](wish.data, Path(work), wish.mb * 1_000_000)


if __name__ == "__main__":
    main()
