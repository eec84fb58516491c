"""Raw folder to token store, beside `datasets` + `tokenizers` + `datasketch` doing the same work.

    python benchmarks/preparing.py [--mb 100] [--repeat 3] [--data FOLDER]

Both sides read JSON lines, normalise (NFC, control characters out), drop exact and near copies
(shingles of three words, 128 minima, Jaccard 0.64) and cut into the tokens of one byte-level BPE of
4,096, learned before the clock starts; both may use two processes. memlm also stores every document
in its database, finds its encoding, keeps the place of every token and checksums all it writes.
Checked on every run: the ids of each document that both kept are identical; the kept sets agree.
The text: sentences of the development data's books, English and Chinese three to one, shuffled into
documents of 2,000 characters, 5 % of them copies (half exact, half with 2 % of the words changed).
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
import statistics
import tempfile
import time
import unicodedata
from pathlib import Path

import numpy as np
from texts import data_beside_checkout

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
PROCESSES = 2
THRESHOLD = 0.64
ENGLISH = ("warandpeace_raw.txt.gz", "sherlock_holmes_pg1661.txt.gz",
           "pride_and_prejudice_pg1342.txt.gz")  # fmt: skip
CHINESE = ("hongloumeng.txt.gz", "xiyouji.txt.gz")
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff]")
WORD = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|[^\W_\u3400-\u9fff\uf900-\ufaff]+")


def make_folder(data: Path, folder: Path, size_bytes: int) -> int:
    """Write the raw folder; return the number of documents."""
    draw = random.Random(0)
    english, chinese = (
        [found for name in names for found in sentences(data / folder_name / name, end)]
        for folder_name, names, end in (
            ("en-books", ENGLISH, r"(?<=[.!?])\s+"), ("zh-novels", CHINESE, r"(?<=[。！？])"),
        )
    )  # fmt: skip
    texts, size = [], 0
    while size < size_bytes:
        is_english = draw.random() < 0.75
        texts.append(make_text(draw, english if is_english else chinese, " " if is_english else ""))
        size += len(texts[-1].encode())
    num_copies = len(texts) // 20
    for number in range(num_copies):
        original = draw.choice(texts[:-num_copies])
        texts[-1 - number] = original if number % 2 else change(draw, original, 0.02)
    draw.shuffle(texts)
    folder.mkdir()
    for part in range(4):
        with (folder / f"part-{part}.jsonl").open("w", encoding="utf-8") as file:
            for number in range(part, len(texts), 4):
                row = {"id": number, "text": texts[number]}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return len(texts)


def sentences(path: Path, end: str) -> list[str]:
    """Return the sentences of a book."""
    text = gzip.decompress(path.read_bytes()).decode("utf-8-sig")
    found = [" ".join(sentence.split()) for sentence in re.split(end, text)]
    return [sentence for sentence in found if len(sentence) > 8]


def make_text(draw: random.Random, pool: list[str], glue: str) -> str:
    """Return 2,000 characters of sentences."""
    text = ""
    while len(text) < 2000:
        text += draw.choice(pool) + glue
    return text[:2000]


def change(draw: random.Random, text: str, share: float) -> str:
    """Return the text with some of its words replaced by others of its words."""
    places = [match.span() for match in WORD.finditer(text)]
    words = [text[start:end] for start, end in places]
    for start, end in sorted(draw.sample(places, int(len(places) * share)), reverse=True):
        text = text[:start] + draw.choice(words) + text[end:]
    return text


def learn_tokenizer(raw: Path, path: Path) -> None:
    """Learn the BPE that both sides cut with, from the first part."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    library = Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4096, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    with (raw / "part-0.jsonl").open(encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for _, line in zip(range(2000), file, strict=False)]
    library.train_from_iterator(texts, trainer=trainer)
    library.save(str(path))


def run_memlm(raw: Path, tokenizer: Path, folder: Path) -> dict[int, np.ndarray]:
    """Collect and prepare; return the ids of each document that was kept."""
    import memlm

    memlm.collect_documents(folder / "ws", raw)
    memlm.prepare_documents(
        folder / "ws",
        config=memlm.PrepareConfig(tokenizer=str(tokenizer)),
        cleaning=memlm.CleanConfig(without=WITHOUT),
        processes=PROCESSES,
    )
    return {}


def read_memlm(folder: Path) -> dict[int, list[int]]:
    """Return the ids that memlm cut, by the number of the row."""
    import memlm
    from memlm.prepare import TokenStore

    (prepared,) = (folder / "ws" / "prepared").iterdir()
    store = TokenStore(prepared)
    rows = {}
    with memlm.DocumentStore(folder / "ws" / "documents.sqlite") as documents:
        numbers = {}
        for document in documents:
            part, line = re.search(r"part-(\d)\.jsonl:(\d+)", document.source).groups()
            numbers[document.id] = (int(line) - 1) * 4 + int(part)
    for unit in store.units:
        ids = store.tokens[int(unit["token_start"]) : int(unit["token_end"])]
        name = store.document_ids[int(unit["document"])]
        rows[numbers[name]] = (ids[ids >= store.tokenizer.num_specials].astype(np.int64)
                               - store.tokenizer.num_specials).tolist()  # fmt: skip
    return rows


def tidy(batch: dict) -> dict:
    """NFC, and control characters out."""
    return {"text": [CONTROLS.sub("", unicodedata.normalize("NFC", t)) for t in batch["text"]]}


def sign(batch: dict) -> dict:
    """The minima of each text."""
    from datasketch import MinHash

    signatures = []
    for text in batch["text"]:
        words = [word.lower() for word in WORD.findall(text)]
        shingles = {" ".join(words[n : n + 3]).encode() for n in range(max(1, len(words) - 2))}
        signature = MinHash(num_perm=128, seed=1)
        signature.update_batch(shingles)
        signatures.append(signature.hashvalues)
    return {"signature": signatures}


def run_peer(raw: Path, tokenizer: Path, folder: Path) -> Path:
    """The same with `datasets`, `datasketch` and `tokenizers`."""
    import datasets
    from datasketch import MinHash, MinHashLSH
    from tokenizers import Tokenizer

    datasets.disable_progress_bars()
    files = sorted(map(str, raw.glob("*.jsonl")))
    held = datasets.load_dataset(
        "json", data_files=files, split="train", cache_dir=str(folder / "cache")
    )
    held = held.map(tidy, batched=True, num_proc=PROCESSES)
    seen: set[str] = set()
    keep = []
    for number, text in enumerate(held["text"]):
        if text not in seen:
            seen.add(text)
            keep.append(number)
    held = held.select(keep)
    held = held.map(sign, batched=True, num_proc=PROCESSES)
    index = MinHashLSH(threshold=THRESHOLD, num_perm=128)
    scheme = MinHash(num_perm=128, seed=1).scheme
    signatures, keep = {}, []
    for number, values in enumerate(held.with_format("numpy")["signature"]):
        signature = MinHash(num_perm=128, seed=1, hashvalues=values, scheme=scheme)
        near = index.query(signature)
        if any(signatures[key].jaccard(signature) >= THRESHOLD for key in near):
            continue
        signatures[number] = signature
        index.insert(number, signature)
        keep.append(number)
    held = held.select(keep).remove_columns("signature")
    library = Tokenizer.from_file(str(tokenizer))

    def cut(batch: dict) -> dict:
        found = library.encode_batch_fast(batch["text"], add_special_tokens=False)
        return {"ids": [one.ids for one in found]}

    held = held.map(cut, batched=True)  # the library itself works on both cores
    held.select_columns(["id", "ids"]).save_to_disk(str(folder / "out"))
    return folder / "out"


def read_peer(folder: Path) -> dict[int, list[int]]:
    """Return the ids that the peer cut, by the number of the row."""
    import datasets

    held = datasets.load_from_disk(str(folder / "out"))
    return dict(zip(held["id"], held["ids"], strict=True))


WITHOUT = ("repeats",)  # which the peer does not look for


def main() -> None:
    """Run both sides and print one JSON line a run, then the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=data_beside_checkout())
    parser.add_argument("--mb", type=float, default=100)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw"
        num = make_folder(options.data, raw, int(options.mb * 1e6))
        learn_tokenizer(raw, Path(folder) / "tokenizer.json")
        for number in range(options.repeat):
            seconds, kept = {}, {}
            for name, run, read in (
                ("memlm", run_memlm, read_memlm), ("peer", run_peer, read_peer),
            ):  # fmt: skip
                with tempfile.TemporaryDirectory() as own:
                    started = time.perf_counter()
                    run(raw, Path(folder) / "tokenizer.json", Path(own))
                    seconds[name] = time.perf_counter() - started
                    kept[name] = read(Path(own))
            both = kept["memlm"].keys() & kept["peer"].keys()
            either = kept["memlm"].keys() | kept["peer"].keys()
            ratios.append(seconds["peer"] / seconds["memlm"])
            line = {
                "run": number, "load_before": os.getloadavg()[0], "documents": num,
                "memlm_seconds": seconds["memlm"], "peer_seconds": seconds["peer"],
                "memlm_mb_per_second": options.mb / seconds["memlm"], "ratio": ratios[-1],
                "kept_jaccard": len(both) / len(either),
                "kept": {name: len(ids) for name, ids in kept.items()},
                "ids_identical": all(kept["memlm"][n] == kept["peer"][n] for n in both),
            }  # fmt: skip
            print(json.dumps(line), flush=True)
    print(json.dumps({"median_ratio": statistics.median(ratios), "runs": len(ratios)}))


if __name__ == "__main__":
    main()
