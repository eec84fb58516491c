"""What was chosen for a model that learns while it reads, on disk beside it.

models/<name>/adapt/  adapt.json            what was chosen, and every trial
                      squares.safetensors   mean squared gradient of each weight

The folder is made from the weights, by their hash: those of another training make it stale.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from memlm.errors import CorruptArtefactError
from memlm.storage import is_sealed, new_folder, read_json, read_manifest, verify_folder
from memlm.train.adapt import AdaptConfig


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What one configuration costs on held-out text."""

    config: AdaptConfig
    nats_per_token: float


@dataclass(frozen=True, kw_only=True)
class Adaptation:
    """How a model learns while it reads, and how that was chosen."""

    config: AdaptConfig
    squares: dict[str, Tensor]
    trials: tuple[Trial, ...] = ()
    """Empty where there was too little held-out text: then `config` is the default."""
    tokens: int = 0
    """Of held-out text, that each trial read."""
    frozen_nats_per_token: float | None = None
    """What the frozen model costs on the same text."""

    @property
    def nats_per_token(self) -> float | None:
        """What the chosen configuration costs on the held-out text."""
        costs = (trial.nats_per_token for trial in self.trials if trial.config == self.config)
        return next(costs, None)


def save_adaptation(folder: Path, adaptation: Adaptation, *, weights_hash: str) -> None:
    """Write what was chosen for the model in `folder`."""
    with new_folder(_place(folder), made_from={"weights": weights_hash}) as temporary:
        said = {
            "config": asdict(adaptation.config),
            "held_out_tokens": adaptation.tokens,
            "frozen_nats_per_token": adaptation.frozen_nats_per_token,
            "trials": [
                asdict(trial.config) | {"nats_per_token": _finite(trial.nats_per_token)}
                for trial in adaptation.trials
            ],
        }
        text = json.dumps(said, indent=1, allow_nan=False)
        (temporary / "adapt.json").write_text(text + "\n", encoding="utf-8")
        squares = {name: value.cpu().contiguous() for name, value in adaptation.squares.items()}
        save_file(squares, temporary / "squares.safetensors")


def load_adaptation(folder: Path, *, weights_hash: str) -> Adaptation | None:
    """Return what was chosen for the model in `folder`; None if nothing was, for these weights.

    Raises CorruptArtefactError if the files are no longer as they were written.
    """
    path = _place(folder)
    if not is_sealed(path) or read_manifest(path)["made_from"] != {"weights": weights_hash}:
        return None
    verify_folder(path)
    said = read_json(path / "adapt.json")
    try:
        return Adaptation(
            config=AdaptConfig(**said["config"]),
            squares=load_file(path / "squares.safetensors"),
            tokens=said["held_out_tokens"],
            frozen_nats_per_token=said["frozen_nats_per_token"],
            trials=tuple(_trial(fields) for fields in said["trials"]),
        )
    except (KeyError, TypeError) as error:
        raise CorruptArtefactError("artefact_unreadable", path=path / "adapt.json") from error


def _place(folder: Path) -> Path:
    return folder / "adapt"


def _finite(nats: float) -> float | None:
    return nats if math.isfinite(nats) else None


def _trial(fields: dict[str, object]) -> Trial:
    nats = fields.pop("nats_per_token")
    config = AdaptConfig(**fields)  # type: ignore[arg-type]  # JSON
    return Trial(config=config, nats_per_token=nats if isinstance(nats, float) else math.inf)
