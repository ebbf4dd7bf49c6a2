"""Each size as one more column: plan and sizes in one solve."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from ...solve.problem import Affine, Columns, Floats, Problem, Rows
from .affine import Slope
from .axis import Axis, Sized, Sizes, capacity_usd

if TYPE_CHECKING:
    from .problem import Joint


def by_columns(
    whole: Joint, axes: Sequence[Axis], line: tuple[Floats, float] | None, held: Sizes | None
) -> Sized:
    """Each size a column, one solve."""
    from ...solve.highs import Options, Warm

    problem = deepcopy(whole.made.problem)
    columns = _with_sizes(problem, axes, whole.slopes, set(whole.made.parts))
    for a, c in zip(axes, columns):
        if held is not None:
            c.lower[:] = c.upper[:] = held[a.name]
    if line is not None:
        cols = np.array([c.first for c in columns], dtype=np.int64)
        paid = Affine(np.zeros(1), np.zeros(cols.size, dtype=np.int64), cols, line[0])
        problem.add_rows("spend", paid, owner="sizing", lower=line[1], upper=line[1])
    arrays = problem.arrays()
    options = Options(gap=whole.gap, time_limit_s=whole.time_limit_s, progress=whole.progress)
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
        worth = {a.name: float(pull[c.first] - s.offset) for a, c, s in zip(axes, columns, whole.slopes)}
    return Sized(
        size,
        solution.objective,
        solution.lower_bound - whole.made.slack_usd,
        capacity_usd(axes, size),
        "HiGHS",
        worth,
        solution.proved,
        f"sizes and plan in one problem of {arrays.cost.size:,} columns and {arrays.row_lower.size:,} rows by HiGHS",
    )


def _with_sizes(
    problem: Problem, axes: Sequence[Axis], slopes: Sequence[Slope], assets: set[str]
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
    problem: Problem, r: Rows, axes: Sequence[Axis], slopes: Sequence[Slope], cols: Sequence[int]
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
    slopes: Sequence[Slope],
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
