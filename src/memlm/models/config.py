"""The record that describes any of our networks. No torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, Self, get_args

from memlm.errors import CorruptArtefactError

NetworkKind = Literal["lstm", "gru"]
NETWORKS: tuple[NetworkKind, ...] = get_args(NetworkKind)
_GATES = {"lstm": 4, "gru": 3}


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """A recurrent network: embedding, `layers` recurrent layers, linear output."""

    kind: NetworkKind
    vocabulary_size: int
    embedding_width: int
    hidden_width: int
    layers: int
    dropout: float = 0.0
    """Share of units dropped while training: embedding, between layers, output."""
    is_tied: bool = False
    """The output looks tokens up in the embedding's table; both have the same width then."""
    label_tokens: tuple[int, ...] = ()
    """Ids of the label tokens. The label in force is shown to the network at every step."""

    @property
    def num_parameters(self) -> int:
        """Trainable parameters."""
        rows = _GATES[self.kind] * self.hidden_width
        first = rows * (self.input_width + self.hidden_width + 2)
        others = (self.layers - 1) * rows * (2 * self.hidden_width + 2)
        embeddings = self.vocabulary_size * self.embedding_width
        labels = 0
        if self.label_tokens:
            labels = (len(self.label_tokens) + 1) * (self.label_width + self.vocabulary_size)
        output = self.vocabulary_size * (1 if self.is_tied else self.hidden_width + 1)
        return first + others + embeddings + labels + output

    @property
    def label_width(self) -> int:
        """Width of the label's vector beside each token's; 0 without labels."""
        return max(8, self.embedding_width // 4) if self.label_tokens else 0

    @property
    def input_width(self) -> int:
        """Width of what the first recurrent layer is given."""
        return self.embedding_width + self.label_width

    def to_json(self) -> dict[str, object]:
        """Return the fields as JSON."""
        return asdict(self) | {"label_tokens": list(self.label_tokens)}

    @classmethod
    def from_json(cls, fields: dict[str, object], *, path: object) -> Self:
        """Return the record that `to_json` described; CorruptArtefactError if it is none."""
        try:
            labels = fields["label_tokens"]
            assert isinstance(labels, list)
            config = cls(**fields | {"label_tokens": tuple(labels)})  # type: ignore[arg-type]  # JSON
        except (TypeError, KeyError, AssertionError) as error:
            raise CorruptArtefactError("artefact_unreadable", path=path) from error
        if not config._is_possible():
            raise CorruptArtefactError("artefact_unreadable", path=path)
        return config

    def _is_possible(self) -> bool:
        """Say whether the fields, which may come from anybody's file, describe a network."""
        sizes = (self.vocabulary_size, self.embedding_width, self.hidden_width, self.layers)
        return (
            self.kind in NETWORKS
            and all(type(size) is int and size > 0 for size in sizes)
            and isinstance(self.dropout, float | int)
            and 0 <= self.dropout < 1
            and isinstance(self.is_tied, bool)
            and (not self.is_tied or self.embedding_width == self.hidden_width)
            and all(
                type(token) is int and 0 < token < self.vocabulary_size
                for token in self.label_tokens
            )
        )
