"""Sizes as decisions: the best kW and kWh in the same problem as the plan, and what the next unit is worth.

    minimise  payments + cost of operation + sum over sizes of (cost of a unit x size)

Where offers and terms are affine in the sizes, so are the bounds of the compiled problem, and the matrix stays as it
is. Then each size is one more column, whose coefficients are the slopes of those bounds, and one solve finds plan and
sizes together; that the shapes are affine is tested on what assets and streams state at several sizes, and a
problem whose coefficients move with a size (an engine's least load) is refused in words. `search` takes those: a
bounded search over the value that each size has by itself.

The value of the next unit is the sensitivity of the least cost to the size (Boyd and Vandenberghe, Convex
Optimization, section 5.6): with row duals y, bounds r(s) = r0 + R s and offset o(s) = o0 + o's it is R'y - o'.

Every plan in here knows the future: what it says of a size is a bound. Money is settled elsewhere, from the record of
a plan at the size found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, fields, is_dataclass, replace
from itertools import product
from math import inf
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import InfeasibleError, InputError, SolverError
from ..flows import Offer
from ..solve.problem import Affine, Arrays, Columns, Floats, Mask, Problem, Rows
from ..terms import Term
from ..timeline import Timeline
from .compile import Compiled, compile_problem
from .staged import LARGE, stages

if TYPE_CHECKING:
    from ..solve.highs import Progress

Sizes = Mapping[str, float]
Method = Literal["auto", "columns", "cuts"]
Model = Callable[[Sizes], tuple[Sequence[Offer], Sequence[Term]]]
STEP = 2.0**-7  # of the greatest size: slopes are exact, so the step only has to keep the structure
AFFINE = 1e-7  # relative: how far what is stated at a middle size may lie off the line
ROUNDING = 1e-6  # kW, kWh: by which bounds that meet at a size may cross
MANY = 1_200  # columns: from here on plan and sizes are taken apart, where that can be
CUTS = 60  # at most: so many plans at held sizes
LEVEL = 0.3  # of the way from the proved bound to the best, where the next sizes are looked for
LOW = 2.0**-7  # of the greatest size: the least at which a model is asked, since nothing is built at zero


@dataclass(frozen=True, slots=True)
class Axis:
    """One size to decide. name: unique, such as 'battery.kwh'; lower, upper: its range; usd_per_unit: what a unit
    costs over the horizon, in the money of the objective."""

    name: str
    upper: float
    usd_per_unit: float
    lower: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.lower <= self.upper < inf or self.upper <= 0:
            raise InputError(
                f"{self.name}: a size from {self.lower:g} to {self.upper:g}; give a finite range above zero"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Sized:
    """The best sizes found.

    size: by axis. cost_usd: least cost over the horizon with the sizes' own cost in it; lower_bound_usd: no sizes and
    plan within the axes cost less. capacity_usd: the sizes' own cost. next_usd: by axis, what one more unit would
    save in operation over the horizon; empty where integers rule or a search found the sizes. method, why: how.
    proved: the gap asked for was reached. tried: sizes and cost that a search looked at.
    """

    size: Mapping[str, float]
    cost_usd: float
    lower_bound_usd: float
    capacity_usd: float
    method: str
    next_usd: Mapping[str, float] = field(default_factory=dict)
    proved: bool = True
    why: str = ""
    tried: tuple[tuple[Mapping[str, float], float], ...] = ()


def capacity_usd(axes: Sequence[Axis], size: Sizes) -> float:
    """What sizes cost over the horizon."""
    return float(sum(a.usd_per_unit * size[a.name] for a in axes))


# --- one problem -----------------------------------------------------------------------------------------


def joint(
    horizon: Timeline,
    load_kw: Floats,
    axes: Sequence[Axis],
    model: Model,
    *,
    load_kvar: Floats | None = None,
    import_limit_kw: float | Floats = inf,
    export_limit_kw: float | Floats = 0.0,
    gap: float = 1e-6,
    time_limit_s: float = inf,
    method: Method = "auto",
    progress: Progress | None = None,
) -> Joint | str:
    """The problem of plan and sizes together, or why it is not affine in its sizes.

    model: offers and terms at given sizes. gap: of the cost. method: 'columns' adds each size as a column and solves
    once, 'cuts' takes plan and sizes apart (linear problems only), 'auto' the one that is quicker. Charging and
    discharging at once is not excluded, so that where prices fall below zero the cost found is a relaxation.
    Errors: those of compile_problem.
    """
    if not axes:
        raise InputError("no size to decide; name at least one axis")
    high = {a.name: a.upper for a in axes}
    said = _not_affine(axes, model, high)
    if said is not None:
        return said

    def compiled(at: Sizes) -> Compiled:
        offers, terms = model(at)
        return compile_problem(
            horizon,
            load_kw,
            offers,
            terms,
            load_kvar=load_kvar,
            import_limit_kw=import_limit_kw,
            export_limit_kw=export_limit_kw,
            whole=True,
        )

    made = compiled(high)
    if made.discs:
        return "apparent power bounds it by circles, whose sides move with the size"
    base = made.problem.arrays()
    slopes: list[_Slope] = []
    for a in axes:
        other = compiled({**high, a.name: a.upper * (1 - STEP)}).problem.arrays()
        slope = _slope(base, other, a.upper * STEP)
        if isinstance(slope, str):
            return f"{a.name}: {slope}"
        slopes.append(slope)
    switched = made.problem.has_integers
    if method == "cuts" and switched:
        return "it has choices between yes and no"
    if method == "auto" and switched and made.problem.width >= LARGE:
        return "it has choices between yes and no over a long horizon"
    by_cuts = method == "cuts" or (method == "auto" and not switched and made.problem.width >= MANY)
    return Joint(made, base, tuple(axes), tuple(slopes), gap, time_limit_s, by_cuts, progress)


@dataclass(slots=True, eq=False)
class Joint:
    """A problem whose sizes are decisions, asked as often as wanted: for the best sizes, under other prices, at a
    given spend, or at held sizes. What its plans prove is kept from one question to the next."""

    made: Compiled
    base: Arrays
    axes: tuple[Axis, ...]
    slopes: tuple[_Slope, ...]
    gap: float
    time_limit_s: float
    by_cuts: bool
    progress: Progress | None
    cuts: list[_Cut] = field(default_factory=list)

    def best(
        self,
        usd_per_unit: Mapping[str, float] | None = None,
        spend: tuple[Mapping[str, float], float] | None = None,
    ) -> Sized:
        """The sizes of least cost. usd_per_unit: other costs of a unit over the horizon than the axes'. spend: (price
        of a unit by axis, sum): the sizes cost exactly this sum at these prices. Errors: SolverError."""
        axes = [
            Axis(a.name, a.upper, a.usd_per_unit if usd_per_unit is None else usd_per_unit[a.name], a.lower)
            for a in self.axes
        ]
        line = None
        if spend is not None:
            line = (np.array([spend[0][a.name] for a in axes]), spend[1])
            most = sum(v * a.upper for v, a in zip(line[0], axes))
            if not 0 <= line[1] <= most * (1 + 1e-12):
                raise InputError(
                    f"spend of {line[1]:,.2f} USD; sizes within their ranges cost up to {most:,.2f}"
                )
        return self._answer(axes, line)

    def at(self, size: Sizes) -> Sized:
        """The plan at held sizes: its cost, and what the next unit of each would save."""
        return self._answer([Axis(a.name, a.upper, a.usd_per_unit, a.lower) for a in self.axes], None, size)

    def _answer(
        self, axes: Sequence[Axis], line: tuple[Floats, float] | None, held: Sizes | None = None
    ) -> Sized:
        if self.by_cuts:
            return _by_cuts(self, axes, line, held)
        return _by_columns(self, axes, line, held)


def _by_columns(
    self: Joint, axes: Sequence[Axis], line: tuple[Floats, float] | None, held: Sizes | None
) -> Sized:
    """Each size a column, one solve."""
    from ..solve.highs import Options, Warm

    problem = deepcopy(self.made.problem)
    columns = _with_sizes(problem, axes, self.slopes, set(self.made.parts))
    for a, c in zip(axes, columns):
        if held is not None:
            c.lower[:] = c.upper[:] = held[a.name]
    if line is not None:
        cols = np.array([c.first for c in columns], dtype=np.int64)
        paid = Affine(np.zeros(1), np.zeros(cols.size, dtype=np.int64), cols, line[0])
        problem.add_rows("spend", paid, owner="sizing", lower=line[1], upper=line[1])
    arrays = problem.arrays()
    options = Options(gap=self.gap, time_limit_s=self.time_limit_s, progress=self.progress)
    solution = Warm(problem, options).run()
    x, duals = solution.x, solution.row_dual
    size = {a.name: float(np.clip(x[c.first], a.lower, a.upper)) for a, c in zip(axes, columns)}
    worth: dict[str, float] = {}
    if duals is not None:
        if line is not None:
            duals = np.where(np.arange(duals.size) == duals.size - 1, 0.0, duals)
        pull = np.bincount(
            arrays.index,
            weights=arrays.value * np.repeat(duals, np.diff(arrays.start)),
            minlength=arrays.cost.size,
        )
        worth = {a.name: float(pull[c.first] - s.offset) for a, c, s in zip(axes, columns, self.slopes)}
    return Sized(
        size,
        solution.objective,
        solution.lower_bound - self.made.slack_usd,
        capacity_usd(axes, size),
        "HiGHS",
        worth,
        solution.proved,
        f"sizes and plan in one problem of {arrays.cost.size:,} columns and {arrays.row_lower.size:,} rows by HiGHS",
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Slope:
    """How bounds and offset move with one size."""

    lower: Floats
    upper: Floats
    row_lower: Floats
    row_upper: Floats
    offset: float


def _slope(a: Arrays, b: Arrays, step: float) -> _Slope | str:
    """Slopes of the bounds of problem `a` against `b`, whose size is smaller by `step`; or why there are none."""
    same = a.cost.shape == b.cost.shape and a.row_lower.shape == b.row_lower.shape
    if not same or a.index.shape != b.index.shape or not np.array_equal(a.index, b.index):
        return "which rows and columns there are depends on the size"
    if (
        not np.allclose(a.value, b.value, rtol=1e-12, atol=0.0)
        or not np.array_equal(a.start, b.start)
        or not np.array_equal(a.integer, b.integer)
    ):
        return "coefficients of the problem move with the size"
    if not np.allclose(a.cost, b.cost, rtol=1e-12, atol=1e-15):
        return "prices of the problem move with the size"
    found = []
    for one, two in (
        (a.lower, b.lower),
        (a.upper, b.upper),
        (a.row_lower, b.row_lower),
        (a.row_upper, b.row_upper),
    ):
        if not np.array_equal(np.isfinite(one), np.isfinite(two)):
            return "which limits there are depends on the size"
        fine = np.isfinite(one)
        slope = np.zeros(one.size)
        slope[fine] = (one[fine] - two[fine]) / step
        # What rounding leaves of equal numbers is no slope.
        slope[np.abs(slope) * step < 1e-13 * (1 + np.abs(np.where(fine, one, 0.0)))] = 0.0
        found.append(slope)
    return _Slope(found[0], found[1], found[2], found[3], (a.offset - b.offset) / step)


def _with_sizes(
    problem: Problem, axes: Sequence[Axis], slopes: Sequence[_Slope], assets: set[str]
) -> list[Columns]:
    """Columns of the sizes, and every bound that moves with them as a row that holds them."""
    blocks = list(problem.columns)
    rows = list(problem.rows)
    first = problem.width
    cols = [
        int(
            problem.add_columns(
                f"size {a.name}",
                1,
                owner="sizing",
                cost=a.usd_per_unit + s.offset,
                lower=a.lower,
                upper=a.upper,
            )[0]
        )
        for a, s in zip(axes, slopes)
    ]
    problem.offset -= sum(s.offset * a.upper for a, s in zip(axes, slopes))
    for r in rows:
        _row_block(problem, r, axes, slopes, cols)
    for block in blocks:
        _column_block(problem, block, axes, slopes, cols, owned=block.owner in assets)
    return [b for b in problem.columns if b.first >= first and b.name.startswith("size ")]


def _row_block(
    problem: Problem, r: Rows, axes: Sequence[Axis], slopes: Sequence[_Slope], cols: Sequence[int]
) -> None:
    at = slice(r.first, r.first + r.n)
    low = np.array([s.row_lower[at] for s in slopes])
    high = np.array([s.row_upper[at] for s in slopes])
    if not low.any() and not high.any():
        return
    # A bound that is not there has no slope; a row bounded on both sides by different slopes becomes two.
    has_low, has_high = np.isfinite(r.lower), np.isfinite(r.upper)
    apart = np.flatnonzero(has_low & has_high & (np.abs(low - high) > 1e-12 * (1 + np.abs(low))).any(axis=0))
    if apart.size:
        body = Affine(np.zeros(r.n), r.row, r.col, r.coef).take(apart)
        upper = r.upper[apart].copy()
        for a, h, c in zip(axes, high[:, apart], cols):
            body = body - Affine(np.zeros(apart.size), np.arange(apart.size), np.full(apart.size, c), h)
            upper -= h * a.upper
        problem.add_rows(f"{r.name}, at most", body, owner=r.owner, upper=upper)
        r.upper[apart] = inf
        has_high = np.isfinite(r.upper)
    slope = np.where(has_low, low, high)
    for a, s, c in zip(axes, slope, cols):
        on = np.flatnonzero(s)
        if not on.size:
            continue
        r.row = np.concatenate((r.row, on))
        r.col = np.concatenate((r.col, np.full(on.size, c, dtype=np.int64)))
        r.coef = np.concatenate((r.coef, -s[on]))
        r.lower[on] -= s[on] * a.upper
        r.upper[on] -= s[on] * a.upper
    order = np.argsort(r.row, kind="stable")
    r.row, r.col, r.coef = r.row[order], r.col[order], r.coef[order]


def _column_block(
    problem: Problem,
    block: Columns,
    axes: Sequence[Axis],
    slopes: Sequence[_Slope],
    cols: Sequence[int],
    *,
    owned: bool,
) -> None:
    """Bounds of an asset's columns become rows; others follow from rows and are only kept wide enough."""
    at = slice(block.first, block.first + block.n)
    for side in ("upper", "lower"):
        slope = np.array([getattr(s, side)[at] for s in slopes])
        moves = np.flatnonzero(slope.any(axis=0))
        if not moves.size:
            continue
        bound = getattr(block, side)
        if owned:
            body = Affine.of(block.cols[moves])
            limit = bound[moves].copy()
            for a, s, c in zip(axes, slope[:, moves], cols):
                body = body - Affine(np.zeros(moves.size), np.arange(moves.size), np.full(moves.size, c), s)
                limit -= s * a.upper
            name = f"{block.name} by size, {side}"
            if side == "upper":
                problem.add_rows(name, body, owner=block.owner, upper=limit)
            else:
                problem.add_rows(name, body, owner=block.owner, lower=limit)
        if side == "upper":
            block.upper[moves] = np.where(owned & (slope[:, moves] >= 0).all(axis=0), bound[moves], inf)
        else:
            span = np.array([a.upper for a in axes])[:, None]
            block.lower[moves] = bound[moves] - (np.abs(slope[:, moves]) * span).sum(axis=0)


@dataclass(frozen=True, slots=True, eq=False)
class _Cut:
    """What duals found at sizes `at` prove of all sizes: cost of operation >= usd + slope (s - at), (axes,). plan_usd:
    what the plan found there costs."""

    at: Floats
    usd: float
    slope: Floats
    plan_usd: float


def _by_cuts(
    self: Joint, axes: Sequence[Axis], line: tuple[Floats, float] | None, held: Sizes | None
) -> Sized:
    """The same problem taken apart: the plan at held sizes by the interior point, the sizes by what its duals prove.

    Least cost is convex in the sizes. Row duals y of a plan at sizes s give, for every s,
    sum_i min(y_i row_i(s)) + sum_j min((c - A'y)_j x_j(s)), which is affine in s and below the least cost (Benders
    1962, doi:10.1007/BF01386316). The next sizes are those nearest to the best so far on a level between the two
    bounds (Lemarechal, Nemirovskii and Nesterov 1995, doi:10.1007/BF01585555), so that steps do not swing.
    """
    fee = np.array([a.usd_per_unit for a in axes])
    box = _Box(np.array([a.lower for a in axes]), np.array([a.upper for a in axes]), line)
    if held is not None:
        point = np.array([held[a.name] for a in axes])
        usd, cut = _plan(self, point)
        self.cuts.append(cut)
        return _cut_answer(self, axes, fee, cut, usd + fee @ point, cut.usd + float(fee @ point), 1)
    best_usd, best, floor = inf, None, -inf
    for c in self.cuts:  # plans of earlier questions are plans of this one
        if box.holds(c.at) and c.plan_usd + fee @ c.at < best_usd:
            best_usd, best = float(c.plan_usd + fee @ c.at), c
    at = None if self.cuts else box.nearest([], fee, 0.25 * box.top, 0.0)
    asked = 0
    for asked in range(CUTS + 1):
        if at is None:
            floor, least = box.least(self.cuts, fee)
            near = best is not None and best_usd - floor <= self.gap * max(abs(best_usd), 1.0)
            if near or asked == CUTS:
                break
            if best is not None:
                at = box.nearest(self.cuts, fee, best.at, floor + LEVEL * (best_usd - floor))
            if at is None or any(np.abs(c.at - at).max() < 1e-9 * (1 + box.top.max()) for c in self.cuts):
                at = least
        usd, cut = _plan(self, at)
        self.cuts.append(cut)
        if usd + fee @ at < best_usd:
            best_usd, best = float(usd + fee @ at), cut
        at = None
        if self.progress is not None:
            self.progress(min(1.0, asked / CUTS), (best_usd - floor) / max(abs(best_usd), 1.0))
    assert best is not None
    return _cut_answer(self, axes, fee, best, best_usd, floor, asked)


def _cut_answer(
    self: Joint, axes: Sequence[Axis], fee: Floats, best: _Cut, usd: float, floor: float, asked: int
) -> Sized:
    size = {a.name: float(v) for a, v in zip(axes, best.at)}
    return Sized(
        size,
        float(usd),
        floor - self.made.slack_usd,
        capacity_usd(axes, size),
        "interior point with cuts",
        {a.name: -float(g) for a, g in zip(axes, best.slope)},
        usd - floor <= 2 * self.gap * max(abs(usd), 1.0),
        f"sizes and plan in one problem of {self.base.cost.size + len(axes):,} columns, by the interior point at "
        f"{asked} sizes whose duals bound all others",
        tuple(
            ({a.name: float(v) for a, v in zip(axes, c.at)}, float(c.plan_usd + fee @ c.at))
            for c in self.cuts
        ),
    )


def _plan(self: Joint, s: Floats) -> tuple[float, _Cut]:
    """Least cost of operation at held sizes, and what its duals prove of others. Where the interior point gives up the
    general solver answers."""
    from ..solve.interior_point import solve

    base, top = self.base, np.array([a.upper for a in self.axes])
    owned = np.concatenate(
        [
            np.full(c.n, c.owner in self.made.parts)
            for c in self.made.problem.columns
            if c.first < base.cost.size
        ]
    )
    lower_by = np.where(owned, np.array([x.lower for x in self.slopes]), 0.0)
    upper_by = np.where(owned, np.array([x.upper for x in self.slopes]), 0.0)
    low_by, up_by = (np.array([getattr(x, k) for x in self.slopes]) for k in ("row_lower", "row_upper"))
    offset_by = np.array([x.offset for x in self.slopes])
    loose_low, loose_up = _loosened(base, self.axes, self.slopes, owned)
    less = top - s
    upper, lower = loose_up - less @ upper_by, loose_low - less @ lower_by
    at = replace(
        base,
        lower=np.where((lower > upper) & (lower < upper + ROUNDING), upper, lower),
        upper=upper,
        row_lower=base.row_lower - less @ low_by,
        row_upper=base.row_upper - less @ up_by,
        offset=base.offset - float(less @ offset_by),
    )
    found: Any = solve(at, stages(self.made), gap=0.2 * self.gap)
    if isinstance(found, str):
        found = _general(at)
    y = found.row_dual
    of = np.repeat(np.arange(base.row_lower.size), np.diff(base.start))
    d = base.cost - np.bincount(base.index, weights=base.value * y[of], minlength=base.cost.size)
    slope = (
        low_by @ np.maximum(y, 0.0)
        + up_by @ np.minimum(y, 0.0)
        + lower_by @ np.maximum(d, 0.0)
        + upper_by @ np.minimum(d, 0.0)
        + offset_by
    )
    return found.objective, _Cut(s, found.lower_bound, slope, found.objective)


def _general(a: Arrays) -> Any:
    """The same plan by HiGHS."""
    from ..solve.highs import Options, Warm

    problem = Problem()
    cols = problem.add_columns("x", a.cost.size, owner="sizing", cost=a.cost, lower=a.lower, upper=a.upper)
    of = np.repeat(np.arange(a.row_lower.size), np.diff(a.start))
    rows = Affine(np.zeros(a.row_lower.size), of, cols[a.index], a.value)
    problem.add_rows("rows", rows, owner="sizing", lower=a.row_lower, upper=a.row_upper)
    problem.offset = a.offset
    return Warm(problem, Options()).run()


@dataclass(frozen=True, slots=True, eq=False)
class _Box:
    """Where sizes may lie: bottom..top, and on a line of given spend where there is one."""

    bottom: Floats
    top: Floats
    line: tuple[Floats, float] | None

    def holds(self, s: Floats) -> bool:
        """Whether these sizes are allowed."""
        inside = bool((s >= self.bottom - 1e-9).all() and (s <= self.top + 1e-9).all())
        if self.line is None:
            return inside
        return inside and bool(abs(self.line[0] @ s - self.line[1]) <= 1e-6 * (1 + self.line[1]))

    def _solve(self, rows: Floats, upper: Floats, least: float) -> tuple[Floats, float] | None:
        """Sizes and the last column at its least, under rows @ (sizes, last) <= upper; None where there are none."""
        from ..solve.highs import Options, Warm

        problem, k = Problem(), self.bottom.size
        sizes = problem.add_columns("sizes", k, owner="sizing", lower=self.bottom, upper=self.top)
        last = problem.add_columns("last", 1, owner="sizing", cost=1.0, lower=least)
        cols = np.concatenate((sizes, last))
        at, of = np.nonzero(rows)
        body = Affine(np.zeros(len(rows)), at.astype(np.int64), cols[of], rows[at, of])
        problem.add_rows("cuts", body, owner="sizing", upper=upper)
        if self.line is not None:
            spent = Affine(np.zeros(1), np.zeros(k, dtype=np.int64), sizes, self.line[0])
            problem.add_rows("spend", spent, owner="sizing", lower=self.line[1], upper=self.line[1])
        try:
            found = Warm(problem, Options()).run()
        except InfeasibleError:
            return None
        return np.clip(found.x[:k], self.bottom, self.top), found.objective

    def least(self, cuts: Sequence[_Cut], fee: Floats) -> tuple[float, Floats]:
        """Least value of the highest cut with the sizes' cost, and where."""
        rows = np.array([[*(c.slope + fee), -1.0] for c in cuts])
        made = self._solve(rows, np.array([float(c.slope @ c.at - c.usd) for c in cuts]), -inf)
        if made is None:
            raise SolverError("no sizes within their ranges meet the spend asked for")
        return made[1], made[0]

    def nearest(self, cuts: Sequence[_Cut], fee: Floats, centre: Floats, level: float) -> Floats | None:
        """The sizes nearest to a centre (in shares of their ranges) at which no cut is above the level."""
        k, span = self.bottom.size, np.where(self.top > self.bottom, self.top - self.bottom, 1.0)
        near = np.vstack((np.eye(k), -np.eye(k)))
        rows = np.array([[*(c.slope + fee), 0.0] for c in cuts]).reshape(len(cuts), k + 1)
        upper = [float(level + c.slope @ c.at - c.usd) for c in cuts]
        made = self._solve(
            np.vstack((rows, np.column_stack((near, -np.tile(span, 2))))),
            np.array([*upper, *centre, *-centre]),
            0.0,
        )
        return None if made is None else made[0]


def _loosened(
    base: Arrays, axes: Sequence[Axis], slopes: Sequence[_Slope], owned: Mask
) -> tuple[Floats, Floats]:
    """Bounds of columns that no asset owns follow from rows: they are widened until they cannot bind, so that what
    they prove is proved by the rows."""
    low, up = base.lower.copy(), base.upper.copy()
    for a, s in zip(axes, slopes):
        low -= np.where(owned, 0.0, np.abs(s.lower) * a.upper)
        up[~owned & (s.upper != 0)] = inf
    return low, up


def _not_affine(axes: Sequence[Axis], model: Model, high: Sizes) -> str | None:
    """Why what assets and streams state is not affine in the sizes, or None.

    Stated at the greatest sizes, at each axis small, at all small and in the middle: f is affine where
    f(middle) = mean of f(high) and f(low), and f(low) = f(high) + sum of the axes' own changes.
    """
    low = {a.name: max(a.lower, LOW * a.upper) for a in axes}
    free = [a for a in axes if low[a.name] < high[a.name]]
    if not free:
        return None
    middle = {n: 0.5 * (low[n] + high[n]) for n in high}
    top, bottom, half = (_numbers(model(at)) for at in (high, low, middle))
    alone = {a.name: _numbers(model({**high, a.name: low[a.name]})) for a in free}
    for where, value in top.items():
        others = [bottom.get(where), half.get(where), *(v.get(where) for v in alone.values())]
        if any(o is None or o.shape != value.shape for o in others):
            return f"{where} depends on the size"
        fine = np.isfinite(value)
        if any(not np.array_equal(np.isfinite(o), fine) for o in others if o is not None):
            return f"{where} is a limit at some sizes only"
        at_low, at_half = bottom[where][fine], half[where][fine]
        v = value[fine]
        scale = AFFINE * (1 + np.maximum(np.abs(v), np.abs(at_low)))
        own = sum((n[where][fine] - v for n in alone.values()), np.zeros(v.size))
        if (np.abs(at_half - 0.5 * (v + at_low)) > scale).any() or (np.abs(v + own - at_low) > scale).any():
            return f"{where} is not affine in the size"
    if any(len(n) != len(top) for n in (bottom, half, *alone.values())):
        return "what is offered or asked depends on the size"
    return None


def _numbers(stated: tuple[Sequence[Offer], Sequence[Term]]) -> dict[str, Floats]:
    """Every number in offers and terms by its place."""
    out: dict[str, Floats] = {}

    def walk(value: Any, where: str) -> None:
        if value is None or isinstance(value, (str, bool)) or callable(value):
            return
        if isinstance(value, (int, float)):
            out[where] = np.array([float(value)])
        elif isinstance(value, np.ndarray):
            out[where] = np.asarray(value, dtype=np.float64).ravel()
        elif is_dataclass(value) and not isinstance(value, type):
            for f in fields(value):
                walk(getattr(value, f.name), f"{where}.{f.name}")
        elif isinstance(value, Mapping):
            for k, v in value.items():
                walk(v, f"{where}.{k}")
        elif isinstance(value, (tuple, list)):
            for k, v in enumerate(value):
                walk(v, f"{where}[{k}]")

    offers, terms = stated
    for o in offers:
        walk(o, o.name)
    for k, t in enumerate(terms):
        walk(t, f"{t.owner}, {t.name} ({k})")
    return out


# --- a search over sizes ---------------------------------------------------------------------------------


def search(
    axes: Sequence[Axis],
    cost_usd: Callable[[Sizes], float],
    *,
    start: Sequence[Sizes] = (),
    most: int = 60,
    tolerance: float = 0.01,
    grid: int = 3,
    reason: str = "",
) -> Sized:
    """The best sizes of those that a bounded search looks at, where the problem is not affine in them.

    cost_usd: least cost over the horizon at given sizes, with the sizes' own cost in it, inf where they cannot be had.
    A grid of `grid` sizes an axis and `start` are looked at first, so the answer is never worse than these. From the
    best, steps along each axis and along the last progress are tried and halved where none helps (pattern search:
    Hooke and Jeeves 1961, doi:10.1145/321062.321069), until they are below `tolerance` of the ranges or `most` values
    were asked for. It may end in a local optimum: nothing bounds what lies elsewhere, and lower_bound_usd is -inf.
    Errors: InfeasibleError where no size looked at can be had.
    """
    tried: dict[tuple[float, ...], float] = {}
    low = np.array([a.lower for a in axes])
    high = np.array([a.upper for a in axes])
    free = np.flatnonzero(high > low)

    def ask(at: Floats) -> float:
        key = tuple(float(f"{v:.9g}") for v in np.clip(at, low, high))
        if key not in tried:
            if len(tried) >= most:
                return inf
            tried[key] = float(cost_usd({a.name: v for a, v in zip(axes, key)}))
            if np.isnan(tried[key]):
                raise SolverError(f"sizes {key} have a cost that is no number")
        return tried[key]

    for point in start:
        ask(np.array([point[a.name] for a in axes]))
    for tick in product(*(np.linspace(lo, h, grid if h > lo else 1) for lo, h in zip(low, high))):
        ask(np.array(tick))
    if min(tried.values()) == inf:
        raise InfeasibleError("no size within the range can be had; widen the range", owners=["sizing"])
    now = np.array(min(tried, key=lambda k: tried[k]))
    step = 0.5 / max(1, grid - 1)
    while step >= tolerance and len(tried) < most and free.size:
        was, usd = now, ask(now)
        for j in free:
            for sign in (1.0, -1.0):
                at = now.copy()
                at[j] = np.clip(at[j] + sign * step * (high[j] - low[j]), low[j], high[j])
                if ask(at) < usd:
                    now, usd = at, ask(at)
                    break
        if (now == was).all():
            step /= 2
        elif ask(2 * now - was) < usd:
            now = np.clip(2 * now - was, low, high)
    best = min(tried, key=lambda k: tried[k])
    size = {a.name: v for a, v in zip(axes, best)}
    return Sized(
        size,
        tried[best],
        -inf,
        capacity_usd(axes, size),
        "search",
        proved=False,
        why=f"a bounded search over {len(tried)} sizes" + (f": {reason}" if reason else ""),
        tried=tuple(({a.name: v for a, v in zip(axes, k)}, c) for k, c in tried.items()),
    )
