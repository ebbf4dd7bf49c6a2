"""Large plans with switches: the relaxation proves a bound, its switches rounded make plans, the best is kept.

1. The linear relaxation by the interior point. Its dual values prove a bound for the plan with switches too.
2. Units run where the relaxation runs them by more than a threshold, runs and pauses prolonged to their least
   times; awards with a least size are held where the relaxation holds half of it; where a maximum earns, the block
   that is to set it is one that stands highest in the relaxation, or could. With all switches set, what is left is
   linear again: a plan. Several thresholds are tried. Months hardly know of each other, so that one plan of the
   year tells what its switches cost in each: the best of every month are put together and tried, too.
3. While the gap is too wide, units stop where the best plan holds them near their least, and months are put together
   anew.
4. While the gap is still too wide, stretches of the year get their switches back and are solved by the general
   solver with all else of the switches as they stand, the costliest stretch first.

The gap told is that of the best plan against the proved bound, so nothing rests on the rounding being good.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InfeasibleError, SolverError
from ..flows import Unit
from ..solve.problem import Arrays, Columns, Floats, Mask, Rows
from .compile import Compiled
from .offers import steps
from .staged import NOISE, cost_usd, stages, tidied

if TYPE_CHECKING:
    from ..solve.highs import Progress
    from ..solve.interior_point import Answer

THRESHOLDS = (0.3, 0.15, 0.5, 0.06, 2.0)  # shares of a running unit; the last one turns all off
USED = (0.0, 0.5)  # shares of a unit's most below which a plan has little use of it
TRIMS = 3  # rounds of stopping units that are little used
STRETCH = 1_440  # intervals that get their switches back at a time
NEAR = 0.02  # of the gap asked for: gains below that are not worth another round
PASSES, PINNED = 20, 1e-9
SHARP = 1e-6  # relative
SHARE = 0.4  # of the time, at most, for one linear problem that the interior point does not take
TAKEN = " taken"
SET_BY, SET_BEFORE, ATTAINED, ONE = " set by", " set before", " attained", " one sets it"


@dataclass(slots=True, eq=False)
class _Best:
    """The best plan so far and the bound."""

    x: Floats | None = None
    usd: float = inf
    lower: float = -inf
    duals: Floats | None = None
    tried: int = 0

    @property
    def gap(self) -> float:
        return (self.usd - self.lower) / max(abs(self.usd), 1.0) if self.usd < inf else inf


class _Months:
    """The cheapest switches of each calendar month among all plans of the year so far.

    A column without an interval counts where its last row ends: a peak in its month. What a month leaves in the stores
    for the next is not priced, so that what is put together is a guess, tried like any other.
    """

    def __init__(self, compiled: Compiled, a: Arrays) -> None:
        at = stages(compiled)
        of = np.repeat(np.arange(a.row_lower.size), np.diff(a.start))
        for _ in range(3):
            last = np.full(a.row_lower.size, -1, dtype=np.int64)
            np.maximum.at(last, of, at[a.index])
            own = np.full(at.size, -1, dtype=np.int64)
            np.maximum.at(own, a.index, last[of])
            at = np.where(at < 0, own, at)
        month = compiled.horizon.month_id
        self._month = (month - month[0])[at]
        self._cost = a.cost
        self._usd = np.full(int(month[-1] - month[0]) + 1, inf)
        self.low, self.high = a.lower.copy(), a.upper.copy()

    @property
    def usd(self) -> float:
        """What the year would cost if months were alone, without the constant of the problem."""
        return float(self._usd.sum())

    def note(self, x: Floats, fixed: Arrays) -> None:
        """A plan and the switches that it was made under."""
        usd = np.bincount(self._month, self._cost * x, self._usd.size)
        better = usd < self._usd
        self._usd = np.minimum(usd, self._usd)
        mine = better[self._month] & fixed.integer & (fixed.lower == fixed.upper)
        self.low[mine] = self.high[mine] = fixed.lower[mine]


def suits(compiled: Compiled) -> str | None:
    """Why switches cannot be rounded here, or None where they can."""
    if compiled.discs:
        return "apparent power bounds it by circles"
    for block in _switches(compiled):
        if block.name.endswith((TAKEN, SET_BY, SET_BEFORE)) or _unit_of(compiled, block) is not None:
            continue
        return f"{block.name} of {block.owner} is a choice that is not rounded"
    return None


def by_relaxing(
    compiled: Compiled, gap: float, time_limit_s: float = inf, progress: Progress | None = None
) -> tuple[Floats, Floats, float, str, bool] | str:
    """(x, row duals of the linear part, lower bound, how, whether the gap was reached), or why there is no plan."""
    began, a = time.monotonic(), compiled.problem.arrays()
    root = _linear(compiled, a, 0.1 * gap, SHARE * time_limit_s)
    if isinstance(root, str):
        return root
    best = _Best(lower=root.lower_bound)
    search = _Search(compiled, a, gap, time_limit_s, progress, began, best, _Months(compiled, a))
    stop = search.thresholds(root.x)
    if best.x is None:
        return "no pattern of switches that was tried has a plan"
    stop = stop or search.less_used()
    if not stop:
        for window in _stretches(compiled, root.x, best.x):
            _refine(compiled, a, best, window, gap, time_limit_s - (time.monotonic() - began))
            if search.told():
                break
    how = (
        f"interior point over {best.tried} patterns of switches; upper - lower bound "
        f"{best.usd - best.lower:.2f} USD, {best.gap:.1e} of the cost"
    )
    if best.gap < -NOISE:
        return f"the relaxation's bound stands {best.lower - best.usd:.3g} USD above a plan, so it is none"
    assert best.duals is not None
    return best.x, best.duals, min(best.lower, best.usd), how, best.gap <= gap


@dataclass(slots=True, eq=False)
class _Search:
    """Patterns of switches, each tried once; every step returns whether to stop."""

    compiled: Compiled
    a: Arrays
    gap: float
    time_limit_s: float
    progress: Progress | None
    began: float
    best: _Best
    months: _Months
    seen: set[bytes] = field(default_factory=set)

    def told(self) -> bool:
        """Report."""
        used, limit = time.monotonic() - self.began, self.time_limit_s
        if self.progress is not None:
            self.progress(min(1.0, used / limit) if limit < inf else 0.0, self.best.gap)
        return self.best.gap <= self.gap or used > limit

    def tried(self, fixed: Arrays) -> bool:
        """A plan with these switches."""
        key = fixed.lower[fixed.integer].tobytes()
        if key in self.seen:
            return False
        self.seen.add(key)
        seconds = SHARE * self.time_limit_s
        _try(self.compiled, fixed, self.best, self.months, 0.1 * self.gap, seconds)
        return self.told()

    def put_together(self) -> bool:
        """The best switches of every month."""
        return self.tried(replace(self.a, lower=self.months.low, upper=self.months.high))

    def thresholds(self, relaxed: Floats) -> bool:
        """Switches rounded; months are put together as soon as that promises the gap."""
        for threshold in THRESHOLDS:
            if self.tried(_rounded(self.compiled, self.a, relaxed, threshold)):
                return True
            off = self.months.usd + self.a.offset - self.best.lower
            if off <= self.gap * abs(self.best.lower) and self.put_together():
                return True
        return False

    def less_used(self) -> bool:
        """Units off where the best plan has little use of them, and months anew, while that pays."""
        best = self.best
        for _ in range(TRIMS):
            before = best.usd
            if self.put_together():
                return True
            for share in USED:
                assert best.x is not None
                if self.tried(_used(self.compiled, self.a, best.x, share)):
                    return True
            if best.usd >= before - NEAR * self.gap * abs(before):
                break
        return self.put_together()


def _switches(compiled: Compiled) -> Iterator[Columns]:
    loose = {f"{name}.charges" for name in compiled.excluded}
    for block in compiled.problem.columns:
        if block.integer and (block.upper > block.lower).any() and block.name not in loose:
            yield block


def _unit_of(compiled: Compiled, block: Columns) -> Unit | None:
    part = compiled.parts.get(block.name.removesuffix(".run"))
    return part.offer if part is not None and isinstance(part.offer, Unit) else None


def _linear(compiled: Compiled, a: Arrays, gap: float, seconds: float) -> Answer | str:
    """The linear problem by the interior point as sharply as it goes, or by the general solver where it does not."""
    from ..solve.highs import Options, solve_linear
    from ..solve.interior_point import Answer, solve

    found = solve(a, stages(compiled), gap=min(gap, SHARP))
    if isinstance(found, str) and gap > SHARP:
        found = solve(a, stages(compiled), gap=gap)
    if not isinstance(found, str) or seconds < 1.0:
        return found
    loose = replace(a, integer=np.zeros_like(a.integer))
    try:
        x, dual, usd = solve_linear(loose, Options(time_limit_s=seconds))
    except SolverError as e:
        return f"{found}; {e}"
    return Answer(x, dual, usd, usd, 0.0, 0)


def _try(compiled: Compiled, fixed: Arrays, best: _Best, months: _Months, gap: float, seconds: float) -> None:
    """A plan with these switches, kept where it is the best so far, and by month."""
    best.tried += 1
    found = _linear(compiled, _tightened(fixed), gap, seconds)
    if isinstance(found, str):
        return
    x = tidied(compiled, fixed, found.x)
    if isinstance(x, str):
        return
    usd = cost_usd(fixed, x)
    months.note(x, fixed)
    if usd < best.usd:
        best.x, best.usd, best.duals = x, usd, found.row_dual


def _tightened(a: Arrays) -> Arrays:
    """The same problem with bounds that rows of one decision left set: an engine that is off gives nothing, and a row
    that says so by leaving it no room has no interior to walk through."""
    low, up = a.lower.copy(), a.upper.copy()
    of = np.repeat(np.arange(a.row_lower.size), np.diff(a.start))
    known = np.zeros(a.row_lower.size, dtype=bool)
    for _ in range(PASSES):
        free = up[a.index] - low[a.index] > PINNED
        left = np.bincount(of[free], minlength=known.size)
        at = np.flatnonzero(free & (left[of] == 1) & ~known[of])
        if not at.size:
            break
        moved = np.bincount(of[~free], (a.value * low[a.index])[~free], known.size)
        row, j, by = of[at], a.index[at], a.value[at]
        known[row] = True
        below, above = (a.row_lower[row] - moved[row]) / by, (a.row_upper[row] - moved[row]) / by
        np.maximum.at(low, j, np.where(by > 0, below, above))
        np.minimum.at(up, j, np.where(by > 0, above, below))
        near = up - low <= PINNED * (1.0 + np.abs(low))
        crossed = near & (up - low >= -1e-7 * (1.0 + np.abs(low)))
        low[crossed] = up[crossed] = np.clip(low[crossed], a.lower[crossed], a.upper[crossed])
    return replace(a, lower=low, upper=up)


def _rounded(compiled: Compiled, a: Arrays, x: Floats, threshold: float) -> Arrays:
    """The problem with every switch set."""
    low, high = a.lower.copy(), a.upper.copy()
    for block in _switches(compiled):
        unit = _unit_of(compiled, block)
        relaxed = x[block.cols]
        if block.name.endswith((SET_BY, SET_BEFORE)):
            on = _setting(compiled, block, a, x, THRESHOLDS.index(threshold))
        elif unit is not None:
            on = _lasting(relaxed > threshold, block, unit, compiled.horizon.step_h)
        else:
            on = _held(compiled, block, x)
        low[block.cols] = high[block.cols] = np.clip(on.astype(float), block.lower, block.upper)
    return replace(a, lower=low, upper=high)


def _used(compiled: Compiled, a: Arrays, x: Floats, share: float) -> Arrays:
    """The problem with the switches of a plan, units off where it has little use of them: not above their least by more
    than rounding, nor above a share of their most."""
    low, high = a.lower.copy(), a.upper.copy()
    for block in _switches(compiled):
        unit, on = _unit_of(compiled, block), x[block.cols] > 0.5
        if unit is not None:
            kw = np.abs(compiled.parts[unit.name].setpoint.value(x))
            most = np.asarray(unit.max_kw, dtype=np.float64)
            on = _lasting(on & (kw > np.maximum(share * most, 1.01 * np.asarray(unit.min_kw))), block, unit,
                          compiled.horizon.step_h)  # fmt: skip
        low[block.cols] = high[block.cols] = np.clip(on.astype(float), block.lower, block.upper)
    return replace(a, lower=low, upper=high)


def _setting(compiled: Compiled, block: Columns, a: Arrays, x: Floats, attempt: int) -> Mask:
    """Which block of each window sets a maximum that earns, or what was there before where no block stands above it.

    attempt: 0, 2: the highest, second block of the relaxation; 1, 3: that which the assets could lift most; the last:
    what was there before, wherever that may be.
    """
    name = block.name.removesuffix(SET_BY).removesuffix(SET_BEFORE)
    rows = {r.name: r for r in compiled.problem.rows}
    columns = {c.name: c for c in compiled.problem.columns}
    by, before, one = columns[name + SET_BY], columns[name + SET_BEFORE], rows[name + ONE]
    attained, past = rows[name + ATTAINED], rows[f"{name}{ATTAINED} before"]
    # Rows read peak - block + switch x span <= span, and peak + switch x (high - was) <= high.
    constant = attained.upper - _spans(attained, by)
    was = past.upper - _spans(past, before)
    peak = columns[name]
    off = ~_of(attained, by) & ~_of(attained, peak)
    coef, col, row = attained.coef[off], attained.col[off], attained.row[off]
    height = constant - np.bincount(row, coef * x[col], attained.n)
    most = constant - np.bincount(row, np.minimum(coef * a.lower[col], coef * a.upper[col]), attained.n)
    window = np.full(by.n, -1, dtype=np.int64)
    mine = _of(one, by)
    window[one.col[mine] - by.first] = one.row[mine]
    chosen, earlier = np.zeros(by.n, dtype=bool), np.zeros(before.n, dtype=bool)
    for w in range(before.n):
        at = np.flatnonzero(window == w)
        last = attempt == len(THRESHOLDS) - 1
        if before.upper[w] > 0.5 and (last or not at.size or most[at].max() <= was[w]):
            earlier[w] = True
            continue
        order = at[np.argsort(-(most if attempt % 2 else height)[at], kind="stable")]
        chosen[order[min(attempt // 2, order.size - 1)]] = True
    return chosen if block.name.endswith(SET_BY) else earlier


def _of(rows: Rows, block: Columns) -> Mask:
    """Entries of rows that stand on a block's columns."""
    return np.asarray((rows.col >= block.first) & (rows.col < block.first + block.n))


def _spans(rows: Rows, switch: Columns) -> Floats:
    """Coefficient of each row's own switch, (rows,)."""
    mine = _of(rows, switch)
    return np.bincount(rows.row[mine], rows.coef[mine], rows.n).astype(np.float64)


def _held(compiled: Compiled, block: Columns, x: Floats) -> Mask:
    """Where the relaxation holds at least half of an award's least size."""
    rows = next(r for r in compiled.problem.rows if r.name == block.name.removesuffix(TAKEN) + " at least")
    mine = (rows.col >= block.first) & (rows.col < block.first + block.n)
    least = np.bincount(rows.row[mine], weights=-rows.coef[mine], minlength=rows.n)
    award = np.bincount(rows.row[~mine], weights=(rows.coef * x[rows.col])[~mine], minlength=rows.n)
    return np.asarray(award >= 0.5 * least)


def _lasting(on: Mask, block: Columns, unit: Unit, step_h: float) -> Mask:
    """Runs and pauses of at least their least times, within what the bounds of the switches allow."""
    up, down = steps(unit.min_up_h, step_h), steps(unit.min_down_h, step_h)
    out = on & (block.upper > 0.5) | (block.lower > 0.5)
    may = block.upper > 0.5
    for _ in range(4):
        before = out.copy()
        out = _filled(out, down, first=unit.running) & may
        out = _prolonged(out, up, may)
        if (out == before).all():
            break
    return out


def _edges(on: Mask) -> tuple[np.ndarray, np.ndarray]:
    """First intervals of runs, and those after their ends."""
    change = np.diff(np.concatenate(([False], on, [False])).astype(int))
    return np.flatnonzero(change == 1), np.flatnonzero(change == -1)


def _filled(on: Mask, down: int, *, first: bool) -> Mask:
    """Pauses shorter than `down` intervals are run through."""
    out = on.copy()
    starts, ends = _edges(on)
    for end, start in zip(ends[:-1], starts[1:]):
        if start - end < down:
            out[end:start] = True
    if first and starts.size and 0 < starts[0] < down:
        out[: starts[0]] = True
    return out


def _prolonged(on: Mask, up: int, may: Mask) -> Mask:
    """Runs shorter than `up` intervals go on; those that may not are dropped."""
    out = on.copy()
    for start, end in zip(*_edges(on)):
        if end - start < up and end < on.size:
            last = min(start + up, on.size)
            out[start:last] = bool(may[start:last].all())
    return out


def _stretches(compiled: Compiled, relaxed: Floats, x: Floats) -> Iterator[Mask]:
    """Parts of the horizon, those first in which rounding moved the units' output most."""
    n = compiled.horizon.n
    moved = np.zeros(n)
    for part in compiled.parts.values():
        if isinstance(part.offer, Unit) and part.run is not None:
            moved += np.abs(part.setpoint.value(x) - part.setpoint.value(relaxed))
            moved += np.abs(part.run.value(x) - part.run.value(relaxed))
    firsts = range(0, n, STRETCH)
    for first in sorted(firsts, key=lambda f: -float(moved[f : f + STRETCH].sum())):
        if moved[first : first + STRETCH].sum() > 0:
            yield (np.arange(n) >= first) & (np.arange(n) < first + STRETCH)


def _refine(compiled: Compiled, a: Arrays, best: _Best, window: Mask, gap: float, seconds: float) -> None:
    """Switches and flows inside a stretch anew by the general solver, all else as it stands."""
    from ..solve.highs import Options, solve_arrays

    if seconds <= 1.0:
        return
    assert best.x is not None
    stage = stages(compiled)
    n = window.size
    inside = np.zeros(stage.size, dtype=bool)
    known = stage >= 0
    inside[known] = window[stage[known]]
    own = np.flatnonzero(window)
    last = stage == own[-1]
    for part in compiled.parts.values():
        if part.stored is not None:
            inside[part.stored.col[last[part.stored.col]]] = own[-1] == n - 1  # what is handed on stays
    for award in compiled.held.awards.values():
        inside[award.col[window[award.row]]] = True
    free = inside | (~known & ~a.integer & ~_of_awards(compiled, stage.size))
    x = best.x
    low, high = np.where(free, a.lower, x), np.where(free, a.upper, x)
    try:
        found = solve_arrays(
            replace(a, lower=low, upper=high), Options(gap=0.1 * gap, time_limit_s=min(seconds, 20.0))
        )
    except (InfeasibleError, SolverError):
        return
    best.tried += 1
    y = tidied(compiled, a, np.where(a.integer, np.round(found), found))
    if isinstance(y, str):
        return
    usd = cost_usd(a, y)
    if usd < best.usd:
        best.x, best.usd = y, usd


def _of_awards(compiled: Compiled, width: int) -> Mask:
    out = np.zeros(width, dtype=bool)
    for award in compiled.held.awards.values():
        out[award.col] = True
    return out
