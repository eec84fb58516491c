"""Draw what `index.py growth` printed: build time, memory and questions over megabytes of text.

python benchmarks/index.py growth --mb 1000 > growth.jsonl
python benchmarks/plot_growth.py growth.jsonl growth.svg
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from matplotlib import pyplot

PANELS = {
    "build_seconds": "build, seconds of one core",
    "peak_mb": "memory at the peak, MB",
    "count_us": "one count, microseconds",
    "spans_ms": "spans of 1,000 bytes, milliseconds",
}


def main() -> None:
    lines = map(json.loads, Path(sys.argv[1]).read_text("utf-8").splitlines())
    rows = [line for line in lines if "build_seconds" in line]
    sizes = [row["mb"] for row in rows]
    figure, axes = pyplot.subplots(1, len(PANELS), figsize=(13, 3.2), layout="constrained")
    for panel, (key, title) in zip(axes, PANELS.items(), strict=True):
        panel.loglog(sizes, [row[key] for row in rows], "o-")
        for row in rows:
            panel.annotate(
                str(row["segments"]), (row["mb"], row[key]), xytext=(4, -10),
                textcoords="offset points", fontsize=7,
            )  # fmt: skip
        panel.set_title(title, fontsize=9)
        panel.set_xlabel("MB of text (small: segments)")
        panel.grid(visible=True, which="major", alpha=0.3)
    figure.savefig(sys.argv[2])


if __name__ == "__main__":
    main()
