"""A primal-dual interior point for linear programmes that are long in time and narrow across it.

    minimise  c x   subject to  row_lower <= A x <= row_upper,  lower <= x <= upper

Columns are put in the order of the last stage that they touch: a store's energy for two intervals, an award for
its hour, a billed peak for its month. The factor of the Newton matrix in that order is as narrow as the state of
the plant, so an iteration costs a few hundred nanoseconds a stage, as a Riccati sweep does, and nothing has to be
known of what the rows mean. Mehrotra's predictor-corrector (1992, doi:10.1137/0802028); quasidefinite
factorisation without pivots (Vanderbei 1995, doi:10.1137/0805005).

The certificate does not rest on the iteration. For any y,

    sum_i min(y_i row_i) + sum_j min((c - A'y)_j x_j)  over all rows and columns within their bounds

is a lower bound, and the plan is checked row by row. A problem without a solution never converges; that is told
in words, never as a number, and the general solver says who stands in the way.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from .problem import Arrays, Floats, Ints, Mask

if TYPE_CHECKING:
    from .interior_point_kernel import Pattern, Programme, State

ITERATIONS = 100
LONG = 24  # entries: rows with more are kept beside the sums, since each would fill a square
TUNE = (0.021, 0.81, 0.6, 0.37, 0.5, 1.0)  # of the starting point, see `begin`; found by random search
TRIES = 4  # ever closer, before giving up
RESIDUAL, DUAL_RESIDUAL = 1e-9, 1e-7  # scaled
BREACH = 1e-5  # of a row, in its own unit
WIDEST = 40.0  # entries of L a column on average: wider problems are no chain in time
_NEVER = 1 << 60


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """x (columns,); row_dual (rows,) as HiGHS gives it: change of the objective by one unit of the row's bound.

    objective: c x + offset. lower_bound: proved by row_dual. violation: greatest breach of a row by x, in the
    row's own unit; columns lie within their bounds exactly. iterations: of the predictor-corrector.
    """

    x: Floats
    row_dual: Floats
    objective: float
    lower_bound: float
    violation: float
    iterations: int


@dataclass(slots=True, eq=False)
class _Rows:
    """One-sided rows A x >= bound, then equations; row-wise. row: original number, sign: -1 where it was turned.

    summed: how many short unequal rows come first; unequal: how many come before the equations."""

    bound: Floats
    start: Ints
    index: Ints
    value: Floats
    row: Ints
    sign: Floats
    other: Ints  # of an equation made of two rows: the one that bounds it from above, with its sign
    other_sign: Floats
    summed: int
    unequal: int

    @property
    def of(self) -> Ints:
        """Row of each entry."""
        return np.repeat(np.arange(self.bound.size), np.diff(self.start))


class _No(Exception):
    """Why this method does not answer, on its way out."""


def solve(a: Arrays, stage: Ints, *, gap: float = 1e-7) -> Answer | str:
    """Optimum of the linear programme `a` (its integers relaxed) to within `gap` of the cost, or why not.

    stage: (columns,) the position in time of each column, -1 where it belongs to no single one (peaks, awards).
    gap: of the cost, or of what is at stake between the bounds where the cost nearly vanishes.
    """
    try:
        return _solve(a, stage, gap)
    except _No as e:
        return str(e)


def _solve(a: Arrays, stage: Ints, gap: float) -> Answer:
    from .interior_point_kernel import DONE, begin, follow

    low, up = _bounds(a)
    unit, usd = _scales(a, low, up)
    rows = _rows(a, low, up, stage)
    programme, pattern, height, place = _programme(a.cost, low, up, rows, stage, unit, usd)
    state = begin(programme, pattern, np.array(TUNE))
    trace = np.zeros((ITERATIONS + 1, 6))
    best: Answer | None = None
    left, close = ITERATIONS, 1e-3 * place.size
    # To a rough accuracy first, where the size of the cost shows; from there to what that size asks for, and closer
    # while the bound that the multipliers prove is not near enough.
    for k in range(1 + TRIES):
        status, used = follow(programme, pattern, state, left, close, DUAL_RESIDUAL, RESIDUAL, trace)
        left -= used
        cost = float(programme.cost @ state.x)
        size = max(abs(cost + a.offset / (unit * usd)), 1e-6 * float(np.abs(programme.cost).sum()))
        if k or status != DONE:
            answer = _answer(a, low, up, rows, height, unit, usd, place, state, ITERATIONS - left)
            if answer.violation <= BREACH and (best is None or _off(answer) < _off(best)):
                best = answer
            if best is not None and _off(best) <= gap * size * unit * usd:
                return best
        if status != DONE:
            break
        close = min(0.3 * close, 0.5 * gap * size)
    if best is None or _off(best) > 1e-2 * size * unit * usd:
        raise _No("the interior point did not converge; the limits may leave no plan")
    raise _No(f"the interior point stopped at a gap of {_off(best):.3g} after {best.iterations} iterations")


def _off(answer: Answer) -> float:
    return answer.objective - answer.lower_bound


# --- rows ------------------------------------------------------------------------------------------------


def _bounds(a: Arrays) -> tuple[Floats, Floats]:
    """Column bounds with those that rows of a single entry set."""
    low, up = a.lower.copy(), a.upper.copy()
    one = np.flatnonzero(np.diff(a.start) == 1)
    entry = a.start[one]
    j, by = a.index[entry], a.value[entry]
    below, above = a.row_lower[one] / by, a.row_upper[one] / by
    np.maximum.at(low, j, np.where(by > 0, below, above))
    np.minimum.at(up, j, np.where(by > 0, above, below))
    if (low > up + 1e-9 * (1 + np.abs(up))).any():
        raise _No("the least value of a quantity lies above its greatest")
    return low, np.maximum(low, up)


def _pinned(low: Floats, up: Floats) -> Mask:
    """Where two finite bounds leave nothing between them."""
    out: Mask = np.isfinite(low) & np.isfinite(up)
    out[out] = up[out] - low[out] <= 1e-11 * (1 + np.abs(low[out]))
    return out


def _spread(start: Ints, counts: Ints) -> Ints:
    """start[i], start[i] + 1, ... counts[i] of them, for every i."""
    first = np.repeat(start - np.concatenate(([0], np.cumsum(counts)[:-1])), counts)
    return first + np.arange(first.size)


def _rows(a: Arrays, low: Floats, up: Floats, stage: Ints) -> _Rows:
    """Rows with at least two decisions, each once: those with equal entries keep the tightest bounds."""
    count = np.diff(a.start)
    live = np.flatnonzero(count > 1)
    fixed = _pinned(low, up)
    index, value, start, count = a.index, a.value, a.start[live], count[live]
    least, most = a.row_lower[live], a.row_upper[live]
    at = _spread(start, count)
    index, value = index[at], value[at]
    if fixed[index].any():
        gone = fixed[index]
        of = np.repeat(np.arange(live.size), count)
        moved = np.bincount(of[gone], weights=(value * low[index])[gone], minlength=live.size)
        least, most = least - moved, most - moved
        count = count - np.bincount(of[gone], minlength=live.size)
        index, value = index[~gone], value[~gone]
        _slack_rows(least[count == 0], most[count == 0])
        kept = count > 0
        live, least, most, count = live[kept], least[kept], most[kept], count[kept]
    start = np.concatenate(([0], np.cumsum(count)))
    head = np.sign(value[start[:-1]]) if live.size else np.zeros(0)
    reps, least, most = _once(index, value * np.repeat(head, count), start, least, most, head)
    timed = (stage[index] >= 0).astype(np.int64)
    timeless: Mask = np.add.reduceat(timed, start[:-1]) == 0 if live.size else np.zeros(0, dtype=bool)
    return _one_sided(live, reps, least, most, head, index, value, start, count, timeless)


def _slack_rows(least: Floats, most: Floats) -> None:
    if (least > 1e-6).any() or (most < -1e-6).any():
        raise _No("a row without any decision left cannot be met")


def _once(
    index: Ints, value: Floats, start: Ints, least: Floats, most: Floats, head: Floats
) -> tuple[tuple[Ints, Ints], Floats, Floats]:
    """Each kind of row once: numbers of the rows that set its least and its most, and these; entries as turned
    by head."""
    n = start.size - 1
    none = np.zeros(0, dtype=np.int64)
    if not n:
        return (none, none), np.zeros(0), np.zeros(0)
    random = np.random.default_rng(1).random((2, int(index.max()) + 1))
    key, proof = (np.add.reduceat(value * r[index], start[:-1]) for r in random)
    kinds, into = np.unique(key, return_inverse=True)
    turned_least = np.where(head > 0, least, -most)
    turned_most = np.where(head > 0, most, -least)
    low, high = np.full(kinds.size, -inf), np.full(kinds.size, inf)
    np.maximum.at(low, into, turned_least)
    np.minimum.at(high, into, turned_most)
    by_low, by_high = np.zeros(kinds.size, dtype=np.int64), np.zeros(kinds.size, dtype=np.int64)
    for by, mine in ((by_low, turned_least == low[into]), (by_high, turned_most == high[into])):
        at = np.flatnonzero(mine)
        by[into[at]] = at
    if (proof != proof[by_low][into]).any():
        raise _No("two different rows look alike to the interior point")
    if (low > high + 1e-7 * (1 + np.abs(high))).any():
        raise _No("two limits on one quantity leave no room")
    return (by_low, by_high), low, np.maximum(low, high)


def _one_sided(
    live: Ints,
    reps: tuple[Ints, Ints],
    least: Floats,
    most: Floats,
    head: Floats,
    index: Ints,
    value: Floats,
    start: Ints,
    count: Ints,
    timeless: Mask,
) -> _Rows:
    equal = _pinned(least, most)
    below = np.flatnonzero(~equal & np.isfinite(least))
    above = np.flatnonzero(~equal & np.isfinite(most))
    same = np.flatnonzero(equal)
    row = np.concatenate((reps[0][below], reps[1][above], reps[0][same]))
    other = np.concatenate((reps[0][below], reps[1][above], reps[1][same]))
    turn = np.concatenate((np.ones(below.size), -np.ones(above.size), np.ones(same.size)))
    bound = np.concatenate((least[below], -most[above], least[same]))
    is_equal = np.repeat([False, False, True], (below.size, above.size, same.size))
    sign = turn * head[row]
    long = (count[row] > LONG) | timeless[row]
    order = np.lexsort((row, count[row], np.where(is_equal, 2, np.where(long, 1, 0))))
    row, sign, bound, other, turn = row[order], sign[order], bound[order], other[order], turn[order]
    many = count[row]
    at = _spread(start[row], many)
    return _Rows(
        bound=bound,
        start=np.concatenate(([0], np.cumsum(many))).astype(np.int64),
        index=index[at],
        value=value[at] * np.repeat(sign, many),
        row=live[row],
        sign=sign,
        other=live[other],
        other_sign=turn * head[other],
        summed=int((~is_equal & ~long).sum()),
        unequal=int((~is_equal).sum()),
    )


# --- programme and pattern -------------------------------------------------------------------------------


def _scales(a: Arrays, low: Floats, up: Floats) -> tuple[float, float]:
    """A unit of quantity and of price in which most numbers are near one."""
    width = up - low
    boxes = width[np.isfinite(width) & (width > 0)]
    priced = np.abs(a.cost[a.cost != 0])
    if not boxes.size or not priced.size:
        raise _No("nothing is priced, or nothing is bounded")
    return float(np.median(boxes)), float(priced.mean())


def _order(stage: Ints, rows: _Rows) -> tuple[Ints, Ints]:
    """Places in K of all columns and of the kept rows: by the last stage touched, then by how long.

    Columns of no stage come last of their time, those of a single row first and rows among them alone before the
    others: a sum over a window has no curvature of its own before its parts have given it some."""
    n, m = stage.size, rows.bound.size
    of = rows.of
    known = stage[rows.index]
    last_row, first_row = np.full(m, -1, dtype=np.int64), np.full(m, _NEVER, dtype=np.int64)
    np.maximum.at(last_row, of, known)
    np.minimum.at(first_row, of, np.where(known < 0, _NEVER, known))
    last, first = stage.astype(np.int64), np.where(stage < 0, _NEVER, stage).astype(np.int64)
    # A long row is kept: it waits for its last column, but its columns need not wait for it, unless nothing else
    # gives them a time.
    short = (np.diff(rows.start) <= LONG)[of]
    timeless = last_row < 0
    for k in range(3):
        on = (last_row[of] >= 0) & (short if k == 0 else short | (last[rows.index] < 0))
        np.maximum.at(last, rows.index[on], last_row[of[on]])
        np.minimum.at(first, rows.index[on], first_row[of[on]])
        open_rows = last_row < 0
        if not open_rows.any():
            break
        on = open_rows[of]
        np.maximum.at(last_row, of[on], last[rows.index[on]])
        np.minimum.at(first_row, of[on], first[rows.index[on]])
    kept = slice(rows.summed, None)
    when = np.concatenate((last, last_row[kept]))
    span = when - np.minimum(np.concatenate((first, first_row[kept])), when)
    single = np.bincount(rows.index, minlength=n) <= 1
    column_kind = np.where(stage >= 0, 0, np.where(single, 2, 4))
    kind = np.concatenate((column_kind, np.where(timeless[kept], 3, 1)))
    place = np.empty(kind.size, dtype=np.int64)
    place[np.lexsort((kind, np.where(kind > 1, 0, span), np.maximum(kind, 1), when))] = np.arange(place.size)
    return place[:n], place[n:]


def _in_time(rows: _Rows, place: Ints, row_place: Ints) -> Ints:
    """Put the rows of each part in the order of K in place, so that a sweep stays near itself; their places in K."""
    last = np.concatenate(
        (np.maximum.reduceat(place[rows.index], rows.start[:-1])[: rows.summed], row_place)
        if rows.bound.size
        else (np.zeros(0, dtype=np.int64), row_place)
    )
    part = np.repeat([0, 1, 2], (rows.summed, rows.unequal - rows.summed, last.size - rows.unequal))
    order = np.lexsort((last, part))
    count = np.diff(rows.start)[order]
    at = _spread(rows.start[order], count)
    rows.index, rows.value = rows.index[at], rows.value[at]
    rows.start = np.concatenate(([0], np.cumsum(count))).astype(np.int64)
    rows.bound, rows.row, rows.sign = rows.bound[order], rows.row[order], rows.sign[order]
    rows.other, rows.other_sign = rows.other[order], rows.other_sign[order]
    return last[order][rows.summed :]


def _programme(
    cost: Floats, low: Floats, up: Floats, rows: _Rows, stage: Ints, unit: float, usd: float
) -> tuple[Programme, Pattern, Floats, Ints]:
    from . import interior_point_kernel as kernel

    place, row_place = _order(stage, rows)
    size = place.size + row_place.size
    row_place = _in_time(rows, place, row_place)
    height = np.maximum.reduceat(np.abs(rows.value), rows.start[:-1]) if rows.bound.size else np.zeros(0)
    fixed = _pinned(low, up)
    has_low, has_up = np.isfinite(low) & ~fixed, np.isfinite(up) & ~fixed

    def spread(values: Floats, other: float) -> Floats:
        """By place in K."""
        out = np.full(size, other)
        out[place] = values
        return out

    programme = kernel.Programme(
        cost=spread(np.where(fixed, 0.0, cost / usd), 0.0),
        low=spread(np.where(has_low, low / unit, -kernel.FAR), -kernel.FAR),
        up=spread(np.where(has_up, up / unit, kernel.FAR), kernel.FAR),
        has_low=spread(has_low.astype(np.float64), 0.0),
        has_up=spread(has_up.astype(np.float64), 0.0),
        bound=rows.bound / height / unit,
        start=rows.start,
        column=place[rows.index].astype(np.uint32),
        value=rows.value / height[rows.of],
        row_place=row_place.astype(np.uint32),
        summed=rows.summed,
        unequal=rows.unequal,
    )
    begin, below = _lower_part(programme, size)
    first, below = kernel.elimination(size, begin, below)
    if below.size > WIDEST * size:
        raise _No("the columns hang together across time; no narrow order was found")
    at = kernel.updates(first, below)
    fixed_entries, sums_start, sums_at, sums_by = kernel.targets(programme, first, below)
    pattern = kernel.Pattern(first, below, fixed_entries, sums_start, sums_at, sums_by, at, np.zeros(size))
    return programme, pattern, height, place


def _lower_part(p: Programme, size: int) -> tuple[Ints, np.ndarray[tuple[int], np.dtype[np.uint32]]]:
    """Rows below the diagonal of K by column, repeats and all."""
    count = np.diff(p.start)
    where = p.column.astype(np.int64)
    first = p.start[p.summed]
    kept = np.repeat(p.row_place.astype(np.int64), count[p.summed :])
    row, col = [np.maximum(kept, where[first:])], [np.minimum(kept, where[first:])]
    for k in np.unique(count[: p.summed]).tolist():
        mine = np.flatnonzero(count[: p.summed] == k)
        square = np.sort(where[p.start[mine][:, None] + np.arange(k)], axis=1)
        for i in range(k):
            for j in range(i + 1, k):
                row.append(square[:, j])
                col.append(square[:, i])
    rows, cols = np.concatenate(row), np.concatenate(col)
    order = np.argsort(cols, kind="stable")
    begin = np.concatenate(([0], np.cumsum(np.bincount(cols, minlength=size)))).astype(np.int64)
    return begin, rows[order].astype(np.uint32)


# --- certificate -----------------------------------------------------------------------------------------


def _answer(
    a: Arrays,
    low: Floats,
    up: Floats,
    rows: _Rows,
    height: Floats,
    unit: float,
    usd: float,
    place: Ints,
    state: State,
    iterations: int,
) -> Answer:
    """The iterate in the problem's own units, judged from the original arrays alone."""
    fixed = _pinned(low, up)
    x = np.clip(np.where(fixed, low, state.x[place] * unit), low, up)
    y = np.zeros(a.row_lower.size)
    own = np.concatenate((state.v, state.y)) * usd / height
    np.add.at(
        y, np.where(own >= 0, rows.row, rows.other), own * np.where(own >= 0, rows.sign, rows.other_sign)
    )
    of = np.repeat(np.arange(y.size), np.diff(a.start))
    activity = np.bincount(of, weights=a.value * x[a.index], minlength=y.size)
    broken = np.maximum(a.row_lower - activity, activity - a.row_upper)
    lower = proved(a, low, up, y)
    _hand_back(a, x, y)
    return Answer(x, y, float(a.cost @ x) + a.offset, lower, float(broken.max(initial=0.0)), iterations)


def proved(a: Arrays, low: Floats, up: Floats, y: Floats) -> float:
    """The lower bound that y proves; -inf where it leaves a column without bound to fall."""
    of = np.repeat(np.arange(y.size), np.diff(a.start))
    reduced = a.cost - np.bincount(a.index, weights=a.value * y[of], minlength=a.cost.size)
    up = np.where(np.isfinite(up), up, _implied_up(a, low, up, reduced < 0))
    side = np.where(reduced > 0, low, up)
    priced = np.where(reduced == 0, 0.0, reduced) != 0
    bound = np.where(y > 0, a.row_lower, a.row_upper)
    held = y != 0
    if not (np.isfinite(side[priced]).all() and np.isfinite(bound[held]).all()):
        return -inf
    return float(a.offset + (y[held] * bound[held]).sum() + (reduced[priced] * side[priced]).sum())


def _implied_up(a: Arrays, low: Floats, up: Floats, wanted: Mask) -> Floats:
    """For costly columns that only rise to meet rows: no optimum takes more than the hardest row asks at worst."""
    out = np.full(up.size, inf)
    sound = wanted & ~np.isfinite(up) & (a.cost >= 0)
    if not sound.any():
        return out
    of = np.repeat(np.arange(a.row_lower.size), np.diff(a.start))
    # Every row that holds the column, turned so that its entry is above zero, must be bounded below alone.
    turn = np.sign(a.value)
    other_side = np.where(turn > 0, a.row_upper[of], -a.row_lower[of])
    sound[a.index[np.isfinite(other_side)]] = False
    least = np.where(a.value > 0, a.value * low[a.index], a.value * up[a.index])
    most = np.where(a.value > 0, a.value * up[a.index], a.value * low[a.index])
    kept = np.flatnonzero(sound[a.index])
    rows = of[kept]
    asks = np.where(turn[kept] > 0, a.row_lower[rows], -a.row_upper[rows])
    worst = _others(least, of, kept, a.row_lower.size)
    worst = np.where(turn[kept] > 0, worst, -_others(most, of, kept, a.row_lower.size))
    need = low.copy()
    np.maximum.at(need, a.index[kept], (asks - worst) / np.abs(a.value[kept]))
    good = sound & np.isfinite(need)
    out[good] = need[good]
    return out


def _others(values: Floats, of: Ints, at: Ints, rows: int) -> Floats:
    """Sum of each row's values without the entry `at`, infinite where another entry is, (at,)."""
    finite = np.isfinite(values)
    total = np.bincount(of, weights=np.where(finite, values, 0.0), minlength=rows)
    loose = np.bincount(of, weights=(~finite).astype(float), minlength=rows)
    own = np.where(finite[at], values[at], 0.0)
    still = loose[of[at]] - ~finite[at]
    return np.where(still > 0, np.where(values[at] > 0, inf, -inf), total[of[at]] - own)


def _hand_back(a: Arrays, x: Floats, y: Floats) -> None:
    """Rows of one entry were column bounds: what is left of the column's cost at such a bound is theirs."""
    one = np.flatnonzero(np.diff(a.start) == 1)
    if not one.size:
        return
    of = np.repeat(np.arange(y.size), np.diff(a.start))
    reduced = a.cost - np.bincount(a.index, weights=a.value * y[of], minlength=a.cost.size)
    entry = a.start[one]
    j, by = a.index[entry], a.value[entry]
    usd = reduced[j] / by
    edge = np.where(usd > 0, a.row_lower[one], a.row_upper[one])
    near = np.isfinite(edge) & (np.abs(by * x[j] - edge) <= 1e-6 * (1 + np.abs(edge)))
    inside = np.where(reduced[j] > 0, a.lower[j], a.upper[j])
    tighter = ~np.isfinite(inside) | (np.abs(x[j] - inside) > 1e-6 * (1 + np.abs(inside)))
    at = near & tighter
    _, first = np.unique(j[at], return_index=True)
    y[one[at][first]] += usd[at][first]
