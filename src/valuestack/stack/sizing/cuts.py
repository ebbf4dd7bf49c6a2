"""Plan and sizes taken apart: plans at held sizes, whose duals bound all other sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InfeasibleError, SolverError
from ...solve.problem import Affine, Arrays, Floats, Mask, Problem
from ..staged import stages
from .affine import Slope
from .axis import Axis, Sized, Sizes, capacity_usd

if TYPE_CHECKING:
    from .problem import Joint

ROUNDING = 1e-6  # kW, kWh: by which bounds that meet at a size may cross
CUTS = 60  # at most: so many plans at held sizes
LEVEL = 0.3  # of the way from the proved bound to the best, where the next sizes are looked for


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """What duals found at sizes `at` prove of all sizes: cost of operation >= usd + slope (s - at), (axes,). plan_usd:
    what the plan found there costs."""

    at: Floats
    usd: float
    slope: Floats
    plan_usd: float


def by_cuts(
    whole: Joint, axes: Sequence[Axis], line: tuple[Floats, float] | None, held: Sizes | None
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
        usd, cut = _plan(whole, point)
        whole.cuts.append(cut)
        return _cut_answer(whole, axes, fee, cut, usd + fee @ point, cut.usd + float(fee @ point), 1)
    best_usd, best, floor = inf, None, -inf
    for c in whole.cuts:  # plans of earlier questions are plans of this one
        if box.holds(c.at) and c.plan_usd + fee @ c.at < best_usd:
            best_usd, best = float(c.plan_usd + fee @ c.at), c
    at = None if whole.cuts else box.nearest([], fee, 0.25 * box.top, 0.0)
    asked = 0
    for asked in range(CUTS + 1):
        if at is None:
            floor, least = box.least(whole.cuts, fee)
            near = best is not None and best_usd - floor <= whole.gap * max(abs(best_usd), 1.0)
            if near or asked == CUTS:
                break
            if best is not None:
                at = box.nearest(whole.cuts, fee, best.at, floor + LEVEL * (best_usd - floor))
            if at is None or any(np.abs(c.at - at).max() < 1e-9 * (1 + box.top.max()) for c in whole.cuts):
                at = least
        usd, cut = _plan(whole, at)
        whole.cuts.append(cut)
        if usd + fee @ at < best_usd:
            best_usd, best = float(usd + fee @ at), cut
        at = None
        if whole.progress is not None:
            whole.progress(min(1.0, asked / CUTS), (best_usd - floor) / max(abs(best_usd), 1.0))
    assert best is not None
    return _cut_answer(whole, axes, fee, best, best_usd, floor, asked)


def _cut_answer(
    whole: Joint, axes: Sequence[Axis], fee: Floats, best: Cut, usd: float, floor: float, asked: int
) -> Sized:
    size = {a.name: float(v) for a, v in zip(axes, best.at)}
    return Sized(
        size,
        float(usd),
        floor - whole.made.slack_usd,
        capacity_usd(axes, size),
        "interior point with cuts",
        {a.name: -float(g) for a, g in zip(axes, best.slope)},
        usd - floor <= 2 * whole.gap * max(abs(usd), 1.0),
        f"sizes and plan in one problem of {whole.base.cost.size + len(axes):,} columns, by the interior point at "
        f"{asked} sizes whose duals bound all others",
        tuple(
            ({a.name: float(v) for a, v in zip(axes, c.at)}, float(c.plan_usd + fee @ c.at))
            for c in whole.cuts
        ),
    )


def _plan(whole: Joint, s: Floats) -> tuple[float, Cut]:
    """Least cost of operation at held sizes, and what its duals prove of others. Where the interior point gives up the
    general solver answers."""
    from ...solve.interior_point import solve

    base, top = whole.base, np.array([a.upper for a in whole.axes])
    owned = np.concatenate(
        [
            np.full(c.n, c.owner in whole.made.parts)
            for c in whole.made.problem.columns
            if c.first < base.cost.size
        ]
    )
    lower_by = np.where(owned, np.array([x.lower for x in whole.slopes]), 0.0)
    upper_by = np.where(owned, np.array([x.upper for x in whole.slopes]), 0.0)
    low_by, up_by = (np.array([getattr(x, k) for x in whole.slopes]) for k in ("row_lower", "row_upper"))
    offset_by = np.array([x.offset for x in whole.slopes])
    loose_low, loose_up = _loosened(base, whole.axes, whole.slopes, owned)
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
    found: Any = solve(at, stages(whole.made), gap=0.2 * whole.gap)
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
    return found.objective, Cut(s, found.lower_bound, slope, found.objective)


def _general(a: Arrays) -> Any:
    """The same plan by HiGHS."""
    from ...solve.highs import Options, Warm

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
        from ...solve.highs import Options, Warm

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

    def least(self, cuts: Sequence[Cut], fee: Floats) -> tuple[float, Floats]:
        """Least value of the highest cut with the sizes' cost, and where."""
        rows = np.array([[*(c.slope + fee), -1.0] for c in cuts])
        made = self._solve(rows, np.array([float(c.slope @ c.at - c.usd) for c in cuts]), -inf)
        if made is None:
            raise SolverError("no sizes within their ranges meet the spend asked for")
        return made[1], made[0]

    def nearest(self, cuts: Sequence[Cut], fee: Floats, centre: Floats, level: float) -> Floats | None:
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
    base: Arrays, axes: Sequence[Axis], slopes: Sequence[Slope], owned: Mask
) -> tuple[Floats, Floats]:
    """Bounds of columns that no asset owns follow from rows: they are widened until they cannot bind, so that what
    they prove is proved by the rows."""
    low, up = base.lower.copy(), base.upper.copy()
    for a, s in zip(axes, slopes):
        low -= np.where(owned, 0.0, np.abs(s.lower) * a.upper)
        up[~owned & (s.upper != 0)] = inf
    return low, up
