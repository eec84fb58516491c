"""The real texts that benchmarks learn from, by short names."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

_PLACES = {
    "en": "en-books/warandpeace_raw.txt.gz",
    "zh": "zh-novels/hongloumeng.txt.gz",
    "sherlock": "en-books/sherlock_holmes_pg1661.txt.gz",
    "shakespeare": "tinyshakespeare/input.txt",
    "xiyouji": "zh-novels/xiyouji.txt.gz",
    "hotel": "text-label/zh-hotel/train.csv",
}


def data_beside_checkout() -> Path:
    """Return where the development data lies if `--data` does not say."""
    return Path(__file__).resolve().parents[2] / "shared" / "data"


def read_text(name: str, data: Path) -> str:
    """Return one of the texts, its lines ended by a newline alone."""
    if name == "inaugural":
        with zipfile.ZipFile(data / "nlp" / "nltk" / "inaugural.zip") as archive:
            speeches = sorted(file for file in archive.namelist() if file.endswith(".txt"))
            return "\n".join(archive.read(file).decode("latin-1") for file in speeches)
    path = _PLACES[name]
    raw = (data / path).read_bytes()
    text = (gzip.decompress(raw) if path.endswith(".gz") else raw).decode("utf-8-sig")
    return text.replace("\r\n", "\n")
