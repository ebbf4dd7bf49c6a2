"""A sparse linear or mixed-integer problem built from numpy blocks, every block with its owner.

    minimise  cost @ x + offset   subject to  row_lower <= A x <= row_upper,  lower <= x <= upper

Columns and rows are added in named blocks, so that an infeasibility can be traced to whoever asked, and a
problem of a few intervals reads as a text (`text`). Blocks can be changed in place before a warm re-solve.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
MANY = 4_096  # entries: from there on compiled loops pay for being loaded
ROUNDED = 1e-7  # of a row, in its own unit: what a plan may lack of it, as the general solver lets it
TIGHT = 1e-6  # of a column, in its own unit: bounds nearer to each other have no inside to walk through
_NONE_I: Ints = np.zeros(0, dtype=np.int64)
_NONE_F: Floats = np.zeros(0)


def filled(value: ArrayLike, n: int) -> Floats:
    """`value` as a fresh float array of shape (n,)."""
    return np.array(np.broadcast_to(np.asarray(value, dtype=np.float64), (n,)))


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """A vector of affine expressions: const + M x, with M as triplets (row, col, coef); shape (n,)."""

    const: Floats
    row: Ints = field(default_factory=lambda: _NONE_I)
    col: Ints = field(default_factory=lambda: _NONE_I)
    coef: Floats = field(default_factory=lambda: _NONE_F)

    @classmethod
    def of(cls, cols: Ints, coef: ArrayLike = 1.0, const: ArrayLike = 0.0) -> Affine:
        """coef * x[cols] + const, elementwise."""
        n = cols.size
        return cls(filled(const, n), np.arange(n, dtype=np.int64), cols, filled(coef, n))

    @property
    def n(self) -> int:
        """Number of expressions."""
        return self.const.size

    @property
    def fixed(self) -> bool:
        """True where no decision enters."""
        return self.col.size == 0

    def __add__(self, other: Affine) -> Affine:
        if other.fixed:
            return Affine(self.const + other.const, self.row, self.col, self.coef)
        if self.fixed:
            return Affine(self.const + other.const, other.row, other.col, other.coef)
        return Affine(
            self.const + other.const,
            np.concatenate((self.row, other.row)),
            np.concatenate((self.col, other.col)),
            np.concatenate((self.coef, other.coef)),
        )

    def __sub__(self, other: Affine) -> Affine:
        return self + other.times(-1.0)

    def plus(self, const: ArrayLike) -> Affine:
        """The same with a constant added."""
        return Affine(self.const + np.asarray(const, dtype=np.float64), self.row, self.col, self.coef)

    def times(self, factor: ArrayLike) -> Affine:
        """Each expression times a factor (one number, or one an expression)."""
        f = filled(factor, self.n)
        coef = self.coef * f[self.row]
        keep = coef != 0.0
        return Affine(self.const * f, self.row[keep], self.col[keep], coef[keep])

    def gather(self, into: Ints, n: int, weight: ArrayLike = 1.0) -> Affine:
        """Sum of weight * expression by target: expression i is added to target into[i]; -1 drops it."""
        w = np.where(into < 0, 0.0, filled(weight, self.n))
        target = np.maximum(into, 0)
        const = np.bincount(target, weights=w * self.const, minlength=n) if self.n else np.zeros(n)
        coef = self.coef * w[self.row]
        keep = coef != 0.0
        return Affine(const[:n].astype(np.float64), target[self.row[keep]], self.col[keep], coef[keep])

    def take(self, where: Ints) -> Affine:
        """The expressions numbered `where` (each at most once), in that order."""
        into = np.full(self.n, -1, dtype=np.int64)
        into[where] = np.arange(where.size)
        target = into[self.row]
        keep = target >= 0
        return Affine(self.const[where], target[keep], self.col[keep], self.coef[keep])

    def mixed(self, row: Ints, col: Ints, weight: Floats, n: int) -> Affine:
        """W @ self for a sparse matrix W (n, self.n) given as triplets."""
        order = np.argsort(self.row, kind="stable")
        begins = np.searchsorted(self.row[order], np.arange(self.n + 1))
        counts = (begins[1:] - begins[:-1])[col]
        first = np.repeat(begins[:-1][col] - np.cumsum(counts) + counts, counts)
        at = order[first + np.arange(counts.sum())]
        const = np.bincount(row, weights=weight * self.const[col], minlength=n)[:n].astype(np.float64)
        return Affine(const, np.repeat(row, counts), self.col[at], self.coef[at] * np.repeat(weight, counts))

    def value(self, x: Floats) -> Floats:
        """Values at a solution x, shape (n,)."""
        if self.fixed:
            return self.const.copy()
        return self.const + np.bincount(self.row, weights=self.coef * x[self.col], minlength=self.n)

    def merged(self) -> Affine:
        """The same with rows sorted and each (row, col) at most once."""
        if self.row.size < 2:
            return self
        if self.row.size > MANY:
            from .sparse_kernel import merged, ordered

            if ordered(self.row, self.col):
                return self
            return Affine(self.const, *merged(self.row, self.col, self.coef, self.n))
        width = int(self.col.max()) + 1
        key = self.row * width + self.col
        if not (np.diff(key) > 0).all():
            order = np.argsort(key, kind="stable")
            key = key[order]
            begins = np.flatnonzero(np.concatenate(([True], np.diff(key) > 0)))
            coef = np.add.reduceat(self.coef[order], begins)
            keep = coef != 0.0
            key = key[begins][keep]
            return Affine(self.const, key // width, key % width, coef[keep])
        return self


def stacked(parts: Sequence[Affine]) -> Affine:
    """The expressions of all parts, one after another."""
    shift = np.cumsum([0, *(p.n for p in parts)])
    return Affine(
        np.concatenate([p.const for p in parts]),
        np.concatenate([p.row + s for p, s in zip(parts, shift)]),
        np.concatenate([p.col for p in parts]),
        np.concatenate([p.coef for p in parts]),
    )


@dataclass(slots=True, eq=False)
class Columns:
    """A named block of columns. `cost`, `lower`, `upper` may be changed in place."""

    name: str
    owner: str
    first: int
    cost: Floats
    lower: Floats
    upper: Floats
    integer: bool = False

    @property
    def n(self) -> int:
        return self.cost.size

    @property
    def cols(self) -> Ints:
        """Column numbers, shape (n,)."""
        return np.arange(self.first, self.first + self.n, dtype=np.int64)


@dataclass(slots=True, eq=False)
class Rows:
    """A named block of rows lower <= expr <= upper; constants of the expression stand in the bounds."""

    name: str
    owner: str
    first: int
    row: Ints
    col: Ints
    coef: Floats
    lower: Floats
    upper: Floats

    @property
    def n(self) -> int:
        return self.lower.size


@dataclass(frozen=True, slots=True, eq=False)
class Arrays:
    """The whole problem as arrays; the matrix row-wise (CSR)."""

    cost: Floats
    lower: Floats
    upper: Floats
    integer: Mask
    row_lower: Floats
    row_upper: Floats
    start: Ints
    index: Ints
    value: Floats
    offset: float


def left_to(a: Arrays, free: Mask, x: Floats) -> tuple[Arrays, Ints, Ints]:
    """What is left of a problem for its columns `free`, (columns,), all others as in x; numbers of its rows and columns

    Rows that x breaks by rounding alone are eased to where it stands; columns to which rows of theirs alone leave no
    room stay where they are."""
    from .sparse_kernel import touching

    kept = touching(a.start, a.index, free)
    rows, columns = np.flatnonzero(kept), np.flatnonzero(free)
    counts = np.diff(a.start)
    entry = np.flatnonzero(np.repeat(kept, counts))
    row, index, value = np.repeat(np.arange(rows.size), counts[rows]), a.index[entry], a.value[entry]
    mine = free[index]
    part = value * x[index]
    moved = np.bincount(row[~mine], part[~mine], rows.size)
    stands = np.bincount(row[mine], part[mine], rows.size)
    below, above = a.row_lower[rows] - moved, a.row_upper[rows] - moved
    loose = below < above
    low_by, high_by = loose & (stands >= below - ROUNDED), loose & (stands <= above + ROUNDED)
    below[low_by] = np.minimum(below, stands)[low_by]
    above[high_by] = np.maximum(above, stands)[high_by]
    start = np.zeros(rows.size + 1, dtype=np.int64)
    np.cumsum(np.bincount(row[mine], minlength=rows.size), out=start[1:])
    index, value = (np.cumsum(free) - 1)[index[mine]], value[mine]
    least, most = a.lower[columns], a.upper[columns]
    low, high = least.copy(), most.copy()
    one = np.flatnonzero(np.diff(start) == 1)
    j, by = index[start[one]], value[start[one]]
    ends = below[one] / by, above[one] / by
    np.maximum.at(least, j, np.where(by > 0, *ends))
    np.minimum.at(most, j, np.where(by > 0, *ends[::-1]))
    tight = most - least <= TIGHT
    low[tight] = high[tight] = x[columns][tight]
    offset = a.offset + float(a.cost[~free] @ x[~free])
    left = Arrays(a.cost[columns], low, high, a.integer[columns], below, above, start, index, value, offset)
    return left, rows, columns


class Problem:
    """Builder of a sparse LP or MILP. Costs are to be minimised."""

    def __init__(self) -> None:
        self.columns: list[Columns] = []
        self.rows: list[Rows] = []
        self.offset = 0.0
        # True: rows that column bounds make idle are kept, so that bounds may change later.
        self.whole = False
        self._width = 0
        self._height = 0
        self._costs: list[tuple[Ints, Floats]] = []

    @property
    def width(self) -> int:
        """Number of columns."""
        return self._width

    @property
    def height(self) -> int:
        """Number of rows."""
        return self._height

    @property
    def nonzeros(self) -> int:
        """Number of matrix entries."""
        return sum(r.col.size for r in self.rows)

    @property
    def has_integers(self) -> bool:
        """True for a mixed-integer problem."""
        return any(c.integer and bool((c.upper > c.lower).any()) for c in self.columns)

    def add_columns(
        self,
        name: str,
        n: int,
        *,
        owner: str,
        cost: ArrayLike = 0.0,
        lower: ArrayLike = 0.0,
        upper: ArrayLike = inf,
        integer: bool = False,
    ) -> Ints:
        """A block of n decisions; returns their column numbers (n,)."""
        block = Columns(
            name, owner, self._width, filled(cost, n), filled(lower, n), filled(upper, n), integer
        )
        self.columns.append(block)
        self._width += n
        return block.cols

    def add_rows(
        self, name: str, expr: Affine, *, owner: str, lower: ArrayLike = -inf, upper: ArrayLike = inf
    ) -> Rows:
        """A block of rows lower <= expr <= upper; returns it for later changes in place."""
        e = expr.merged()
        block = Rows(
            name,
            owner,
            self._height,
            e.row,
            e.col,
            e.coef,
            filled(lower, e.n) - e.const,
            filled(upper, e.n) - e.const,
        )
        self.rows.append(block)
        self._height += e.n
        return block

    def add_cost(self, expr: Affine) -> None:
        """Add the sum of the expressions to the objective."""
        self.offset += float(expr.const.sum())
        if not expr.fixed:
            self._costs.append((expr.col, expr.coef))

    def _settle_costs(self) -> None:
        if not self._costs:
            return
        col = np.concatenate([c for c, _ in self._costs])
        coef = np.concatenate([v for _, v in self._costs])
        total = np.bincount(col, weights=coef, minlength=self._width)
        for block in self.columns:
            block.cost += total[block.first : block.first + block.n]
        self._costs.clear()

    def cost(self) -> Floats:
        """Objective coefficients of all columns."""
        self._settle_costs()
        return np.concatenate([c.cost for c in self.columns]) if self.columns else _NONE_F

    def bounds(self) -> tuple[Floats, Floats]:
        """Lower and upper bounds of all columns."""
        if not self.columns:
            return _NONE_F, _NONE_F
        return np.concatenate([c.lower for c in self.columns]), np.concatenate(
            [c.upper for c in self.columns]
        )

    def reach(self, expr: Affine) -> tuple[Floats, Floats]:
        """Least and greatest value of each expression that the column bounds admit."""
        low, high = self.bounds()
        if expr.fixed:
            return expr.const.copy(), expr.const.copy()
        e = expr.merged()
        if e.row.size > MANY:
            from .sparse_kernel import reach

            return reach(e.const, e.row, e.col, e.coef, low, high)
        up = e.coef > 0
        least = e.coef * np.where(up, low[e.col], high[e.col])
        most = e.coef * np.where(up, high[e.col], low[e.col])
        return (
            e.const + np.bincount(e.row, weights=least, minlength=e.n),
            e.const + np.bincount(e.row, weights=most, minlength=e.n),
        )

    def arrays(self) -> Arrays:
        """Everything that a solver needs."""
        self._settle_costs()
        low, high = self.bounds()
        cat = np.concatenate
        counts = [np.bincount(r.row, minlength=r.n) for r in self.rows]
        start = np.zeros(self._height + 1, dtype=np.int64)
        if self.rows:
            np.cumsum(cat(counts), out=start[1:])
        integer = [np.full(c.n, c.integer) for c in self.columns]
        return Arrays(
            cost=self.cost(),
            lower=low,
            upper=high,
            integer=cat(integer) if integer else np.zeros(0, dtype=bool),
            row_lower=cat([r.lower for r in self.rows]) if self.rows else _NONE_F,
            row_upper=cat([r.upper for r in self.rows]) if self.rows else _NONE_F,
            start=start,
            index=cat([r.col for r in self.rows]) if self.rows else _NONE_I,
            value=cat([r.coef for r in self.rows]) if self.rows else _NONE_F,
            offset=self.offset,
        )

    def column_owner(self, col: int) -> str:
        """Who added column `col`."""
        return next(c.owner for c in self.columns if c.first <= col < c.first + c.n)

    def row_block(self, row: int) -> Rows:
        """The block that holds row `row`."""
        return next(r for r in self.rows if r.first <= row < r.first + r.n)

    def text(self) -> str:
        """Canonical listing for golden tests: every cost, row and bound by name, six significant digits."""
        return "\n".join(_listing(self)) + "\n"


def _number(value: float) -> str:
    if value == inf:
        return "inf"
    if value == -inf:
        return "-inf"
    text = f"{value:.6g}"
    return "0" if float(text) == 0.0 or abs(value) < 1e-12 else text


def _sum(names: Sequence[str], coefs: Sequence[float]) -> str:
    parts = []
    for name, coef in zip(names, coefs):
        size = _number(abs(coef))
        sign = "-" if coef < 0 else "+"
        parts.append(f"{sign} {name}" if size == "1" else f"{sign} {size} {name}")
    return " ".join(parts).removeprefix("+ ") or "0"


def _span(low: float, middle: str, high: float) -> str:
    if low == high:
        return f"{middle} = {_number(low)}"
    if low == -inf:
        return f"{middle} <= {_number(high)}"
    if high == inf:
        return f"{middle} >= {_number(low)}"
    return f"{_number(low)} <= {middle} <= {_number(high)}"


def _listing(problem: Problem) -> Iterator[str]:
    name = [f"{c.name}[{i}]" for c in problem.columns for i in range(c.n)]
    cost = problem.cost()
    yield "minimise"
    yield f"  {_number(problem.offset)}"
    for k in np.flatnonzero(np.abs(cost) > 1e-12):
        yield f"  {'-' if cost[k] < 0 else '+'} {_number(abs(float(cost[k])))} {name[k]}"
    yield "subject to"
    for block in problem.rows:
        for i in range(block.n):
            mine = block.row == i
            left = _sum([name[c] for c in block.col[mine]], block.coef[mine].tolist())
            yield f"  {block.name}[{i}] ({block.owner}): {_span(block.lower[i], left, block.upper[i])}"
    yield "with"
    for cols in problem.columns:
        for i in range(cols.n):
            kind = " integer" if cols.integer else ""
            span = _span(float(cols.lower[i]), f"{cols.name}[{i}]", float(cols.upper[i]))
            free = cols.lower[i] == -inf and cols.upper[i] == inf
            yield f"  {cols.name}[{i}] free{kind}" if free else f"  {span}{kind}"
