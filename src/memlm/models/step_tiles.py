"""Sums of products of a few rows of weights with a few vectors at once, held in registers.

numba's own loops keep so few sums that each number is used too seldom once it was fetched. Here the
loop over columns is laid down in the compiler's terms: for each row and vector sixteen partial
sums, each of every sixteenth product (of whole numbers, of every sixteenth pair), added up by
halves in the end. That order is the same for any number of rows and vectors, so that a token in a
block gets the very numbers that a single step would give it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_LANES = 16
FLOATS_AT_ONCE, WHOLE_AT_ONCE = _LANES, 2 * _LANES
"""Columns that a tile reads at once: as many as are left over it leaves out."""
_IN_A_ROW = 4
_LINE = 64
"""Bytes of a line of the cache."""
_INT, _FLOAT, _BYTES = ir.IntType(32), ir.FloatType(), ir.IntType(8).as_pointer()
_ONTO = ("contract",)  # a product and a sum may be one instruction; nothing changes its place
Term = Any  # Any: llvmlite has no types


def make_tile(
    rows: int, vectors: int, *, fetches_to: int = 0, in_turn: bool = False
) -> Any:  # Any: numba's own kind
    """Return `tile(weights, row, values, vector, sums)`, to be called in compiled code.

    It writes the sums of `rows` rows with `vectors` vectors, from `row` and `vector` on, to `sums`,
    (16,): one row after the other within each vector. Columns that are left over by the widest
    reads are left out. Rows that are read `in_turn` come as a stream from memory; read at once they
    do not, and `fetches_to` is how near to the processor those that come next are asked for, up to
    3, or 0.
    """

    @intrinsic
    def tile(typing: Any, weights: Any, row: Any, values: Any, vector: Any, sums: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, given: Any) -> Term:
            arrays = [
                context.make_array(signature.args[at])(context, builder, given[at])
                for at in (0, 2, 4)
            ]
            kind = _WholeTile if weights.dtype == types.int8 else _FloatTile
            kind(builder, context.get_value_type(types.intp)).write(
                arrays, (given[1], rows), (given[3], vectors), _How(fetches_to, in_turn)
            )
            return context.get_dummy_value()

        return types.void(weights, types.intp, values, types.intp, sums), generate

    return tile


class _How(NamedTuple):
    fetches_to: int
    in_turn: bool


class _FloatTile:
    """Lays down one tile of single precision."""

    sums, columns, size = ir.VectorType(_FLOAT, _LANES), FLOATS_AT_ONCE, 4

    def __init__(self, builder: Any, index: Any) -> None:
        self.build, self._index = builder, index

    def with_products(self, total: Term, weights: Term, values: Term) -> Term:
        return self.added(total, self.build.fmul(weights, values, flags=_ONTO))

    def added(self, first: Term, second: Term) -> Term:
        return self.build.fadd(first, second, flags=_ONTO)

    def write(
        self, arrays: list[Any], rows: tuple[Term, int], vectors: tuple[Term, int], how: _How
    ) -> None:
        build, (weights, values, sums) = self.build, arrays
        width = cgutils.unpack_tuple(build, weights.shape)[1]
        ours = self._begins(weights, width, *rows)
        others = self._begins(values, cgutils.unpack_tuple(build, values.shape)[1], *vectors)
        turns = [[begin] for begin in ours] if how.in_turn else [ours]
        totals = [self._totals(some, others, width, how) for some in turns]
        in_order = [one for vector in zip(*totals, strict=True) for one in vector]
        found = self._added_up(in_order if how.in_turn else totals[0])
        room = build.bitcast(sums.data, self.sums.as_pointer())
        build.store(found, room, align=4)

    def _totals(self, ours: list[Term], others: list[Term], width: Term, how: _How) -> list[Term]:
        """Return partial sums of all rows that begin at `ours`, for one vector after the other."""
        so_far = [ir.Constant(self.sums, None)] * (len(ours) * len(others))
        column = self._number(0)
        # Single sums wait for each other: the fewer other instructions, the more rows overlap.
        for times in (_IN_A_ROW, 1) if how.in_turn else (1,):
            column, so_far = self._loop((ours, others), (column, width), so_far, times, how)
        return so_far

    def _loop(
        self,
        begins: tuple[list[Term], list[Term]],
        span: tuple[Term, Term],
        so_far: list[Term],
        times: int,
        how: _How,
    ) -> tuple[Term, list[Term]]:
        """Add products to sums, some reads in a row as long as there are columns for all of them.

        Return the column that comes next, and the sums.
        """
        (ours, others), (start, width) = begins, span
        build, before = self.build, self.build.block
        head, body, end = (build.append_basic_block(name) for name in ("head", "body", "end"))
        build.branch(head)
        build.position_at_end(head)
        column = build.phi(self._index)
        totals = [build.phi(self.sums) for _ in so_far]
        after = build.add(column, self._number(times * self.columns))
        build.cbranch(build.icmp_signed("<=", after, width), body, end)
        build.position_at_end(body)
        if how.fetches_to:
            self._fetch(ours[0], build.add(column, width), len(ours), how.fetches_to)
        more = list(totals)
        for number in range(times):
            here = build.add(column, self._number(number * self.columns))
            some = [self._read(begin, here) for begin in ours]
            for at, begin in enumerate(others):
                other = self._read(begin, here)
                for place, one in enumerate(some, at * len(ours)):
                    more[place] = self.with_products(more[place], one, other)
        build.branch(head)
        befores, afters = [start, *so_far], [after, *more]
        for one, first, later in zip([column, *totals], befores, afters, strict=True):
            one.add_incoming(first, before)
            one.add_incoming(later, body)
        build.position_at_end(end)
        return column, totals

    def _number(self, value: int) -> Term:
        return ir.Constant(self._index, value)

    def _begins(self, array: Any, width: Term, first: Term, count: int) -> list[Term]:
        build = self.build
        numbers = [build.add(first, self._number(place)) for place in range(count)]
        return [build.gep(array.data, [build.mul(number, width)]) for number in numbers]

    def _read(self, begin: Term, column: Term) -> Term:
        place = self.build.gep(begin, [column])
        kind = ir.VectorType(begin.type.pointee, self.columns)
        return self.build.load(self.build.bitcast(place, kind.as_pointer()), align=1)

    def _fetch(self, begin: Term, column: Term, rows: int, to: int) -> None:
        """Ask for what lies behind `rows` rows, as many lines as are read of these."""
        build = self.build
        kind = ir.FunctionType(ir.VoidType(), [_BYTES, _INT, _INT, _INT])
        fetch = build.module.declare_intrinsic("llvm.prefetch", [_BYTES], kind)
        place = build.bitcast(build.gep(begin, [build.mul(column, self._number(rows))]), _BYTES)
        for line in range(0, rows * self.columns * self.size, _LINE):
            at = build.gep(place, [self._number(line)])
            build.call(fetch, [at, _INT(0), _INT(to), _INT(1)])  # to be read, soon, as data

    def _added_up(self, totals: list[Term]) -> Term:
        """Return the sums of all lanes of each, one after the other."""
        half = _LANES // 2
        while half:
            pairs = [(one, totals[at + 1 : at + 2] or [one]) for at, one in enumerate(totals)][::2]
            totals = [self._halved(first, second[0], half) for first, second in pairs]
            half //= 2
        return totals[0]

    def _halved(self, first: Term, second: Term, half: int) -> Term:
        """Add the halves of every 2 `half` lanes of two vectors; return what is left of both."""
        lower = [at + lane for at in range(0, 2 * _LANES, 2 * half) for lane in range(half)]
        parts = [
            self.build.shuffle_vector(first, second, _mask([lane + by for lane in lower]))
            for by in (0, half)
        ]
        return self.added(*parts)


class _WholeTile(_FloatTile):
    """Lays down one tile of whole numbers of 8 bits, times those of 16."""

    sums, columns, size = ir.VectorType(_INT, _LANES), WHOLE_AT_ONCE, 1

    def with_products(self, total: Term, weights: Term, values: Term) -> Term:
        # In these terms the compiler knows its one instruction for products of pairs.
        wide = ir.VectorType(_INT, self.columns)
        products = self.build.mul(self.build.sext(weights, wide), self.build.sext(values, wide))
        even, odd = (
            self.build.shuffle_vector(products, products, _mask(range(by, self.columns, 2)))
            for by in (0, 1)
        )
        return self.added(total, self.added(even, odd))

    def added(self, first: Term, second: Term) -> Term:
        return self.build.add(first, second)


def _mask(lanes: Any) -> Term:
    numbers = [_INT(lane) for lane in lanes]
    return ir.Constant(ir.VectorType(_INT, len(numbers)), numbers)
