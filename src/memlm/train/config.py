"""What a person may say about a training; everything else is derived and printed."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from memlm.errors import ConfigError
from memlm.models import ATTENDING, block_kinds, check_heads
from memlm.runtime import check_device
from memlm.train.schedule import parse_phases

DEFAULT_MINUTES = 3.0
OptimizerKind = Literal["adamw", "muon"]
Precision = Literal["float32", "bf16"]
LossOn = Literal["target", "all"]
_AT_LEAST_ONE = (
    "embedding_width", "hidden_width", "layers", "heads", "batch_size", "sequence_length", "steps",
    "epochs", "checkpoint_every", "threads", "accumulate", "patience", "adapter_rank",
)  # fmt: skip
_SHARES = ("dropout", "weight_dropout", "average_weights")
_POSITIVE = ("minutes", "learning_rate", "muon_learning_rate", "clip_norm")
_EXCLUDING = (
    ("minutes", "steps", "epochs"), ("phases", "batch_size"), ("phases", "sequence_length"),
)  # fmt: skip
_OF_SHAPE = (
    "network", "embedding_width", "hidden_width", "layers", "residual", "heads",
    "attention_window", "adaptive_softmax",
)  # fmt: skip
_FEWEST_FOR_CLUSTERS = 4  # the first cluster is a quarter as wide as what is clustered


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How to train. One dial, `minutes`, is enough; the rest is chosen from the data."""

    name: str | None = None
    """Name of the model; lstm-1, lstm-2, ... if not given."""
    adapter: Literal["none", "lora"] = "none"
    """With --from: leave the weights as they are and learn a small change of them (LoRA)."""
    adapter_rank: int | None = None
    """Rank of that change; 16 if not given."""
    network: str = "auto"
    """auto, lstm, gru, lstm-attention, gru-attention, transformer, mixed; or lstm+attention+..."""
    minutes: float | None = None
    """Minutes of training, validation included (default 3)."""
    steps: int | None = None
    """Steps of training, instead of minutes; nothing depends on the clock then."""
    epochs: int | None = None
    """Times to read the text, instead of minutes."""
    embedding_width: int | None = None
    """Width of the token vectors."""
    hidden_width: int | None = None
    """Units of each recurrent layer, and width of every block with attention."""
    layers: int | None = None
    """Recurrent layers, or blocks of transformer and mixed; a+b has the blocks that it names."""
    residual: Literal["auto", "on", "off"] = "auto"
    """Let recurrent layers but the first add to their input; auto does so from three on."""
    heads: int | None = None
    """Heads of each attention block."""
    attention_window: int | None = None
    """Positions that attention sees (default 256); 0 sees all of the past, up to 1024."""
    loss_on: LossOn = "target"
    """Of a task's examples learn the target only, or all, the source too; all of other texts."""
    dropout: float | None = None
    """Share of units dropped while training, against learning by heart."""
    weight_dropout: float = 0.0
    """Share of the recurrent weights dropped while training (AWD-LSTM)."""
    adaptive_softmax: bool = False
    """Score rare words by clusters: faster for large vocabularies of words."""
    batch_size: int | None = None
    """Stretches of text read side by side."""
    sequence_length: int | None = None
    """Tokens between two updates (truncated back-propagation; the state is carried on)."""
    phases: str | None = None
    """Batches that change while training: SHARE:BATCHxLENGTH,... such as 0.3:8x16,0.7:16x64."""
    accumulate: int = 1
    """Groups of lanes that a batch is read in, one after the other, to spare memory."""
    learning_rate: float | None = None
    """Peak learning rate after warm-up."""
    optimizer: Literal["auto", "adamw", "muon"] = "auto"
    """AdamW for all weights, or Muon for the hidden matrices."""
    muon_learning_rate: float | None = None
    """Peak learning rate of the matrices that Muon learns."""
    schedule: Literal["auto", "linear", "cosine", "constant"] = "auto"
    """How the learning rate falls after warm-up; constant falls in the last fifth only."""
    weight_decay: float = 0.01
    """Decay of the weights, not of biases and norms; 0 makes AdamW Adam."""
    clip_norm: float = 1.0
    """Largest norm of the gradient."""
    average_weights: float = 0.0
    """Keep weights averaged over about this share of the steps so far; 0 keeps the last."""
    patience: int | None = None
    """End when so many validations in a row were no better, and keep the best weights."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """Arithmetic; auto times both on a GPU, and takes bf16 for LSTMs on a CPU that has it."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile the network with torch.compile; auto does so on a GPU where that is faster."""
    seed: int = 0
    """Seed of the first weights, the order of the text and dropout."""
    checkpoint_every: int | None = None
    """Steps between checkpoints; a tenth of the training if not given."""
    threads: int | None = None
    """Processor threads; all cores if not given, or one where that is as fast."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""

    def check(self) -> None:
        """Raise ConfigError where a value is impossible."""
        if self.network != "auto":
            block_kinds(self.network, 1)
        self._check_numbers()
        self._check_shape()
        check_device(self.device)
        if self.phases is not None:
            parse_phases(self.phases)
        for names in _EXCLUDING:
            given = [name for name in names if getattr(self, name)]
            if len(given) > 1:
                raise ConfigError("options_exclude", one=_option(given[0]), other=_option(given[1]))

    def _check_numbers(self) -> None:
        for name in _AT_LEAST_ONE:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError("value_too_small", option=_option(name), value=value, least=1)
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError("value_not_positive", option=_option(name), value=value)
        for name in _SHARES:
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise ConfigError("share_outside", option=_option(name), value=value)
        if self.attention_window is not None and self.attention_window < 0:
            raise ConfigError(
                "value_too_small", option="--attention-window", value=self.attention_window, least=0
            )
        if not 0 <= self.weight_decay < float("inf"):
            raise ConfigError(
                "value_not_positive", option="--weight-decay", value=self.weight_decay
            )

    def _check_shape(self) -> None:
        """Raise ConfigError where what was said of the network does not go together."""
        width = self.hidden_width
        if self.adaptive_softmax and width is not None and width < _FEWEST_FOR_CLUSTERS:
            other = f"--hidden-width {width}"
            raise ConfigError("option_idle", option="--adaptive-softmax", other=other)
        if self.network == "auto":
            return
        if self.network == "mixed" and self.layers == 1:
            raise ConfigError("value_too_small", option="--layers", value=1, least=2)
        for option, other in self.idle_options(self.network):
            raise ConfigError("option_idle", option=option, other=other)
        if width is not None:
            check_heads(block_kinds(self.network, 1), width=width, heads=self.heads or 0)

    def check_begun(self, *, is_foreign: bool) -> None:
        """Raise ConfigError for an option that a network which is there already has no use for."""
        given, idle = self.changed(), [*_OF_SHAPE]
        if is_foreign:
            idle += ["dropout", "weight_dropout"]
        if "adapter_rank" in given and self.adapter == "none":
            raise ConfigError("option_idle", option="--adapter-rank", other="--adapter none")
        for name in idle:
            if name in given:
                raise ConfigError("option_idle", option=_option(name), other="--from")
        if self.optimizer == "muon" and (is_foreign or self.adapter != "none"):
            raise ConfigError("option_idle", option="--optimizer muon", other="--from")

    def idle_options(self, network: str) -> list[tuple[str, str]]:
        """Return the options given that mean nothing to this network, each with what idles it."""
        first, *later = (kind in ATTENDING for kind in block_kinds(network, self.layers or 1))
        attends, recurs = any((first, *later)), not all((first, *later))
        named = f"--network {network}"
        stacked = f"{named} --layers {self.layers or 1}" if recurs and "+" not in network else named
        useless = {
            "layers": ("+" in network, named),
            "heads": (not attends, named),
            "attention_window": (not attends, named),
            "weight_dropout": (not recurs, named),
            "residual": (all(later) and self.residual == "on", stacked),
        }
        given = self.changed()
        return [
            (_option(name), other)
            for name, (is_useless, other) in useless.items()
            if is_useless and name in given
        ]

    def changed(self) -> dict[str, object]:
        """Return the values that differ from the defaults."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default
        }


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
