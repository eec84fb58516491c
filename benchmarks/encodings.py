"""How often is the encoding of a file found, by its size? Real texts cut at random places.

    python benchmarks/encodings.py ../shared/data

Prints a table: of the pieces of each size, how many were read right, right but called doubtful,
wrong but called doubtful, wrong, and refused. The controls are in encodings that memlm does not
look for: reading them without a word would be the mistake.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

from memlm.collect.encoding import find_encoding
from memlm.errors import InputError

SIZES, PIECES = (200, 2_000, 20_000), 100
DECLARATIONS = {
    "French": ("fra.txt", "cp1252"),
    "German": ("deu_1901.txt", "cp1252"),
    "Spanish": ("spa.txt", "cp1252"),
    "Portuguese": ("por_PT.txt", "cp1252"),
    "Swedish": ("swe.txt", "cp1252"),
    "French, UTF-16": ("fra.txt", "utf-16-be"),
    "control: Czech": ("ces.txt", "cp1250"),
    "control: Polish": ("pol.txt", "cp1250"),
    "control: Turkish": ("tur.txt", "cp1254"),
    "control: Russian": ("rus.txt", "cp1251"),
    "control: Russian, KOI8-R": ("rus.txt", "koi8-r"),
    "control: Greek": ("ell_monotonic.txt", "cp1253"),
    "control: Japanese, EUC": ("jpn.txt", "euc-jp"),
    "control: Japanese, Shift-JIS": ("jpn.txt", "shift-jis"),
    "control: Korean": ("kor.txt", "euc-kr"),
}


def texts(data: Path) -> dict[str, tuple[str, str]]:
    """Return {name: (text, encoding)}."""
    with zipfile.ZipFile(data / "zh-poetry" / "chinese-poetry.zip") as poems:
        # The table of common hanzi was counted over other files of these poems, and other novels.
        names = [f"tang/poet.tang.{number}000.json" for number in range(6, 12)]
        found = [poem for name in names for poem in json.loads(poems.read(name))]
    traditional = "\n".join(line for poem in found for line in poem["paragraphs"])
    with gzip.open(data / "zh-novels" / "hongloumeng.txt.gz", "rt", encoding="utf-8") as file:
        simplified = file.read()
    table = {
        "traditional poems, Big5": (traditional, "big5"),
        "traditional poems, GB 18030": (traditional, "gb18030"),
        "simplified novel, GB 18030": (simplified, "gb18030"),
        "simplified novel, UTF-16": (simplified, "utf-16-le"),
    }
    with zipfile.ZipFile(data / "nlp" / "nltk" / "udhr2.zip") as declarations:
        for name, (file_name, encoding) in DECLARATIONS.items():
            table[name] = declarations.read(f"udhr2/{file_name}").decode("utf-8"), encoding
    return table


def judge(data: bytes, encoding: str, path: Path) -> str:
    """Return what became of one piece."""
    path.write_bytes(data)
    try:
        found = find_encoding(path)
    except InputError:
        return "refused"
    is_right = data.decode(found.name) == data.decode(encoding)
    return ("right" if is_right else "wrong") + (", doubtful" if found.is_doubtful else "")


def main(data: Path) -> None:
    generator = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        for name, (text, encoding) in texts(data).items():
            for size in SIZES:
                outcomes: Counter[str] = Counter()
                for _ in range(PIECES):
                    start = generator.randrange(max(1, len(text) - size // 2))
                    cut = text[start : start + size].encode(encoding, "ignore")[:size]
                    whole = cut.decode(encoding, "ignore").encode(encoding)
                    if not whole.isascii():
                        outcomes[judge(whole, encoding, Path(folder) / "piece.txt")] += 1
                shown = ", ".join(f"{what} {n}" for what, n in outcomes.most_common())
                print(f"{name:30} {size:6,} B  n = {outcomes.total():3}  {shown}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
