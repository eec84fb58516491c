"""The records that describe any of our networks: a stack of blocks. No torch."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal, Self, get_args

from memlm.errors import ConfigError, CorruptArtefactError
from memlm.models.earlier import migrate_fields

BlockKind = Literal["lstm", "gru", "attention", "transformer"]
BLOCKS: tuple[BlockKind, ...] = get_args(BlockKind)
ATTENDING: tuple[BlockKind, ...] = ("attention", "transformer")
Precision = Literal["float32", "int8"]
"""How weights are stored where they are multiplied by one vector at a time."""
NETWORKS = ("lstm", "gru", "lstm-attention", "gru-attention", "transformer", "mixed")
"""Names of stacks; besides them, blocks joined by `+` name any other."""
LONGEST_PAST = 1024
"""Positions that attention sees where it sees all of the past: as many as `attend` can show."""

_GATES = {"lstm": 4, "gru": 3}
_HEAD_WIDTH = 32
_MOST_BLOCKS = 1000


@dataclass(frozen=True, kw_only=True)
class BlockConfig:
    """One block: it takes the stream of vectors and hands it on."""

    kind: BlockKind
    width: int
    """Units: the width of what the block hands on."""
    heads: int = 0
    """Attention heads; 0 in recurrent blocks."""
    window: int = 0
    """Positions that attention sees, the present one included; 0 is the `LONGEST_PAST`."""
    is_residual: bool = False
    """Whether a recurrent block adds to its input; the other kinds always do."""

    @property
    def attends(self) -> bool:
        """Whether the block looks back with attention."""
        return self.kind in ATTENDING

    @property
    def feed_forward_width(self) -> int:
        """Hidden units of a transformer block's gated feed-forward layer: as many weights as 4 D.

        A gated layer has three matrices where a plain one has two (Shazeer 2020), so two thirds of
        4 D, made even for the kernels' sake.
        """
        return -(-8 * self.width // 3 // 16) * 16

    def num_parameters(self, input_width: int) -> int:
        """Return the trainable parameters of the block behind an input of that width."""
        if not self.attends:
            return _GATES[self.kind] * self.width * (input_width + self.width + 2)
        # The norm before; queries, keys, values, output; the norms of a head's query and key.
        attention = self.width + 4 * self.width**2 + 2 * (self.width // self.heads)
        if self.kind == "attention":
            return attention
        return attention + self.width + 3 * self.width * self.feed_forward_width

    def is_possible(self, input_width: int) -> bool:
        """Say whether the fields, which may come from anybody's file, describe a block."""
        numbers = (self.width, self.heads, self.window)
        return (
            self.kind in BLOCKS
            and all(type(number) is int and number >= 0 for number in numbers)
            and self.width > 0
            and isinstance(self.is_residual, bool)
            and (not self.attends or (self.heads > 0 and self.width % (2 * self.heads) == 0))
            and (self.attends or self.heads == self.window == 0)
            and (not self.is_residual or (not self.attends and self.width == input_width))
        )


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """A network: embedding, a stack of blocks, output."""

    kind: str
    """What people call the stack: a name of `NETWORKS`, or its blocks joined by `+`."""
    vocabulary_size: int
    embedding_width: int
    blocks: tuple[BlockConfig, ...]
    dropout: float = 0.0
    """Share of units dropped while training: embedding, between blocks, output."""
    weight_dropout: float = 0.0
    """Share of a recurrent block's hidden-to-hidden weights dropped while training."""
    is_tied: bool = False
    """The output looks tokens up in the embedding's table; both have the same width then."""
    cutoffs: tuple[int, ...] = ()
    """Token ids at which the clusters of an adaptive softmax begin; none: a full softmax."""
    label_tokens: tuple[int, ...] = ()
    """Ids of the label tokens. The label in force is shown to the network at every step."""
    has_output_bias: bool = True
    """Whether a full output adds a bias to each token's score; Qwen3's has none."""

    @property
    def hidden_width(self) -> int:
        """Width of what the output layer is given."""
        return self.blocks[-1].width

    @property
    def layers(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @property
    def num_parameters(self) -> int:
        """Trainable parameters."""
        total = self.vocabulary_size * self.embedding_width + self._output_parameters()
        if self.label_tokens:
            total += (len(self.label_tokens) + 1) * (self.label_width + self.vocabulary_size)
        if self.has_entrance:
            total += self.input_width * self.blocks[0].width
        width = self.blocks[0].width if self.has_entrance else self.input_width
        for block in self.blocks:
            total += block.num_parameters(width)
            width = block.width
        return total + (width if self.has_last_norm else 0)

    @property
    def reach(self) -> int | None:
        """Tokens that can have an effect on what comes next; None: all, by a recurrent state.

        Each block that attends hands on what it has gathered from its window.
        """
        if not all(block.attends for block in self.blocks):
            return None
        return 1 + sum((block.window or LONGEST_PAST) - 1 for block in self.blocks)

    @property
    def label_width(self) -> int:
        """Width of the label's vector beside each token's; 0 without labels."""
        return max(8, self.embedding_width // 4) if self.label_tokens else 0

    @property
    def input_width(self) -> int:
        """Width of a token's and a label's vector together."""
        return self.embedding_width + self.label_width

    @property
    def has_entrance(self) -> bool:
        """Whether a matrix brings the input to the width of the first block, which adds to it."""
        first = self.blocks[0]
        return (first.attends or first.is_residual) and self.input_width != first.width

    @property
    def has_last_norm(self) -> bool:
        """Whether the stream, which blocks with attention only add to, is normed at its end."""
        return self.blocks[-1].attends

    @property
    def attends(self) -> bool:
        """Whether any block looks back with attention."""
        return any(block.attends for block in self.blocks)

    def _output_parameters(self) -> int:
        if not self.cutoffs:
            rows = (0 if self.is_tied else self.hidden_width) + self.has_output_bias
            return self.vocabulary_size * rows
        edges = (*self.cutoffs, self.vocabulary_size)
        total = self.hidden_width * (edges[0] + len(self.cutoffs))
        for number, (start, stop) in enumerate(pairwise(edges), start=1):
            narrow = int(self.hidden_width // 4**number)
            total += narrow * (self.hidden_width + stop - start)
        return total

    def to_json(self) -> dict[str, object]:
        """Return the fields as JSON."""
        return asdict(self) | {
            "blocks": [asdict(block) for block in self.blocks],
            "cutoffs": list(self.cutoffs),
            "label_tokens": list(self.label_tokens),
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any], *, path: object) -> Self:  # Any: JSON
        """Return the record that `to_json` described; CorruptArtefactError if it is none."""
        try:
            fields = migrate_fields(fields)
            lists = ("blocks", "cutoffs", "label_tokens")
            if not all(isinstance(fields[name], list) for name in lists):
                raise TypeError
            blocks = tuple(BlockConfig(**block) for block in fields["blocks"])
            numbers = {name: tuple(fields[name]) for name in lists[1:]}
            config = cls(**fields | numbers | {"blocks": blocks})
            is_possible = config._is_possible()
        except (TypeError, KeyError) as error:
            raise CorruptArtefactError("artefact_unreadable", path=path) from error
        if not is_possible:
            raise CorruptArtefactError("artefact_unreadable", path=path)
        return config

    def _is_possible(self) -> bool:
        """Say whether the fields, which may come from anybody's file, describe a network."""
        sizes = (self.vocabulary_size, self.embedding_width)
        return (
            isinstance(self.kind, str)
            and 0 < len(self.blocks) <= _MOST_BLOCKS
            and all(type(size) is int and size > 0 for size in sizes)
            and all(_is_share(share) for share in (self.dropout, self.weight_dropout))
            and self._blocks_fit()
            and isinstance(self.is_tied, bool)
            and isinstance(self.has_output_bias, bool)
            and (not self.is_tied or self.embedding_width == self.hidden_width)
            and self._output_fits()
        )

    def _blocks_fit(self) -> bool:
        width = self.blocks[0].width if self.has_entrance else self.input_width
        for block in self.blocks:
            if not block.is_possible(width) or (block.attends and block.width != width):
                return False
            width = block.width
        return True

    def _output_fits(self) -> bool:
        """Say whether labels and cutoffs are tokens, and of a kind that goes together."""
        inside = all(
            type(token) is int and 0 < token < self.vocabulary_size
            for token in (*self.label_tokens, *self.cutoffs)
        )
        rises = list(self.cutoffs) == sorted(set(self.cutoffs))
        rises = rises and self.hidden_width >= 4 ** len(self.cutoffs)  # each cluster is narrower
        return inside and rises and not (self.cutoffs and (self.is_tied or self.label_tokens))


def describe_network(
    kind: str,
    *,
    vocabulary_size: int,
    embedding_width: int,
    hidden_width: int,
    layers: int,
    heads: int = 0,
    window: int = 0,
    is_residual: bool = False,
    **more: Any,  # Any: the fields of NetworkConfig that have a default
) -> NetworkConfig:
    """Return the stack that a name stands for, `layers` of its blocks.

    Raises ConfigError where nothing has the name, or its heads do not share the width evenly.

    `lstm-attention` is `layers` LSTM blocks and one attention block over what they have handed on;
    `mixed` alternates LSTM and transformer blocks. Zero `heads` are as many as there is room for.
    Transformer blocks alone end as Qwen3 does, without an output bias: others can load them then.

    >>> describe_network("lstm+attention", vocabulary_size=9, embedding_width=4, hidden_width=8,
    ...                  layers=1).blocks[1].heads
    1
    """
    kinds = block_kinds(kind, layers)
    check_heads(kinds, width=hidden_width, heads=heads)
    blocks = tuple(
        BlockConfig(
            kind=name,
            width=hidden_width,
            heads=(heads or _fitting_heads(hidden_width)) if name in ATTENDING else 0,
            window=window if name in ATTENDING else 0,
            # The first has the vectors of the tokens below it, which nothing need hand on.
            is_residual=is_residual and number > 0 and name not in ATTENDING,
        )
        for number, name in enumerate(kinds)
    )
    is_like_qwen3 = set(kinds) == {"transformer"} and not more.get("label_tokens")
    return NetworkConfig(
        kind=kind,
        vocabulary_size=vocabulary_size,
        embedding_width=embedding_width,
        blocks=blocks,
        **{"has_output_bias": not is_like_qwen3} | more,
    )


def check_heads(kinds: Collection[BlockKind], *, width: int, heads: int = 0) -> None:
    """Raise ConfigError where blocks of these kinds cannot share a width among their heads.

    Rotary positions turn pairs, so that every head has an even share.
    """
    if not any(kind in ATTENDING for kind in kinds) or width % max(2, 2 * heads) == 0:
        return
    if width % 2:
        raise ConfigError("width_odd", value=width, fitting=max(2, width - 1))
    fitting = [number for number in range(1, width // 2 + 1) if width % (2 * number) == 0]
    nearest = min(fitting, key=lambda number: abs(number - heads))
    raise ConfigError(
        "heads_unfitting", value=heads, width=width, fitting=nearest, multiple=2 * heads
    )


def _fitting_heads(width: int) -> int:
    """Return how many heads an even width is shared among, none narrower than it need be."""
    most = max(1, width // _HEAD_WIDTH)
    return next(number for number in range(most, 0, -1) if width % (2 * number) == 0)


def block_kinds(kind: str, layers: int) -> list[BlockKind]:
    """Return the kinds of the blocks that a name stands for; ConfigError if it stands for none."""
    if kind == "mixed":
        return [("lstm", "transformer")[number % 2] for number in range(max(2, layers))]
    if kind in ("lstm-attention", "gru-attention"):
        return [*block_kinds(kind.partition("-")[0], layers), "attention"]
    named = kind.split("+")
    found = [block for name in named for block in BLOCKS if block == name]
    if len(found) != len(named) or kind == "attention":
        raise ConfigError("network_unknown", network=kind, known=", ".join(NETWORKS))
    return found * layers if len(found) == 1 else found


def _is_share(value: object) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool) and 0 <= value < 1
