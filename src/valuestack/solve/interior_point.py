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

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from .problem import Arrays, Floats, Ints, Mask

if TYPE_CHECKING:
    from .interior_point_factor_kernel import Pattern
    from .interior_point_kernel import Programme, State

ITERATIONS = 100
STRETCH = 1_024  # places of K within which rows are sorted by kind
KINDS = 256  # of rows that are told apart; a plant has some ten
LONG = 24  # entries: rows with more are kept beside the sums, since each would fill a square
TUNE = (0.25, 1.57, 1.17, 0.36, 0.5, 0.57)  # of the starting point, see `begin`; found by random search
TRIES = 4  # ever closer, before giving up
RESIDUAL, DUAL_RESIDUAL = 1e-9, 1e-7  # scaled
SHARPER = 1e-2  # of the residual, where it left a row broken
BREACH = 1e-6  # of a row, in its own unit (kW, kWh, K): ten times what HiGHS, which judges the plans, lets a row lack
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
    """One-sided rows A x >= bound, then equations: each is `side` times row `of` of the live ones, which stand row-wise
    in start, index, value. row, weight: original row whose bound it is, and what its multiplier weighs there; other,
    other_weight: of an equation made of two rows the one that bounds it from above. part: 0 short, 1 long or without
    any stage, 2 equation."""

    start: Ints
    index: Ints
    value: Floats
    of: Ints
    side: Floats
    bound: Floats
    row: Ints
    weight: Floats
    other: Ints
    other_weight: Floats
    part: Ints
    alive: Mask

    def taken(self, order: Ints) -> None:
        """The same in another order."""
        for name in ("of", "side", "bound", "row", "weight", "other", "other_weight", "part"):
            setattr(self, name, getattr(self, name)[order])


class _No(Exception):
    """Why this method does not answer, on its way out."""


def solve(a: Arrays, stage: Ints, *, gap: float = 1e-7, breach: float = BREACH) -> Answer | str:
    """Optimum of the linear programme `a` (its integers relaxed) to within `gap` of the cost, or why not.

    stage: (columns,) the position in time of each column, -1 where it belongs to no single one (peaks, awards).
    gap: of the cost, or of what is at stake between the bounds where the cost nearly vanishes. breach: of any row, in
    its own unit, at most.
    """
    try:
        return _solve(a, stage, gap, breach)
    except _No as e:
        return str(e)


def _solve(a: Arrays, stage: Ints, gap: float, breach: float) -> Answer:
    from .interior_point_kernel import DONE, begin, follow

    low, up = _bounds(a)
    unit, usd = _scales(a, low, up)
    of = _in_units(a, low, up, unit)
    priced, low, up = a.cost * of, low / of, up / of
    rows = _rows(replace(a, value=a.value * of[a.index]), low, up, stage)
    programme, pattern, height, place = _programme(priced, low, up, rows, stage, unit, usd)
    state = begin(programme, pattern, np.array(TUNE))
    trace = np.zeros((ITERATIONS + 1, 6))
    best: Answer | None = None
    left, close, residual = ITERATIONS, 1e-3 * place.size, RESIDUAL
    # To a rough accuracy first, where the size of the cost shows; from there to what that size asks for, and closer
    # while the bound that the multipliers prove is not near enough.
    for k in range(1 + TRIES):
        status, used = follow(programme, pattern, state, left, close, DUAL_RESIDUAL, residual, trace)
        left -= used
        cost = float(programme.cost @ state.x)
        size = max(abs(cost + a.offset / (unit * usd)), 1e-6 * float(np.abs(programme.cost).sum()))
        if k or status != DONE:
            answer = _answer(a, low, up, rows, height, of, unit, usd, place, state, ITERATIONS - left)
            if answer.violation <= breach and (best is None or _off(answer) < _off(best)):
                best = answer
            if answer.violation > breach:  # what is small beside a scaled row is not beside a tall one
                residual *= SHARPER
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


def _rows(a: Arrays, low: Floats, up: Floats, stage: Ints) -> _Rows:
    """Rows with at least two decisions that no other row implies, each once."""
    from . import interior_point_rows_kernel as kernel

    fixed = _pinned(low, up)
    live, start, index, value, least, most, worst = kernel.live(
        a.start, a.index, a.value, a.row_lower, a.row_upper, low, fixed
    )
    if worst > 1e-6:
        raise _No("a row without any decision left cannot be met")
    by_least, f_least, by_most, f_most, timeless = kernel.distinct(
        start, index, value, least, most, stage >= 0, low, up, LONG
    )
    if (least > most + 1e-7 * (1 + np.abs(most))).any():
        raise _No("two limits on one quantity leave no room")
    most = np.maximum(least, most)
    equal = _pinned(least, most)
    below, above = np.flatnonzero(~equal & np.isfinite(least)), np.flatnonzero(~equal & np.isfinite(most))
    same = np.flatnonzero(equal)
    of = np.concatenate((below, above, same))
    long = (np.diff(start) > LONG) | timeless
    upper = np.concatenate((above, same))
    return _Rows(
        start=start,
        index=index,
        value=value,
        of=of,
        side=np.repeat([1.0, -1.0, 1.0], (below.size, above.size, same.size)),
        bound=np.concatenate((least[below], -most[above], least[same])),
        row=live[np.concatenate((by_least[below], by_most[above], by_least[same]))],
        weight=np.concatenate((1.0 / f_least[below], -1.0 / f_most[above], 1.0 / f_least[same])),
        other=live[np.concatenate((by_least[below], by_most[upper]))],
        other_weight=np.concatenate((1.0 / f_least[below], -1.0 / f_most[above], 1.0 / f_most[same])),
        part=np.where(
            np.repeat([False, True], (of.size - same.size, same.size)), 2, long[of].astype(np.int64)
        ),
        alive=equal | np.isfinite(least) | np.isfinite(most),
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


def _in_units(a: Arrays, low: Floats, up: Floats, unit: float) -> Floats:
    """What one of each column's own counts: the range of a switch is one unit of quantity, like what it switches. A row
    that weighs a switch by a power would else be tall, and broken by what is small beside it."""
    out, width = np.ones(a.cost.size), up - low
    loose = a.integer & np.isfinite(width) & (width > 0)
    out[loose] = width[loose] / unit
    return out


def _order(stage: Ints, rows: _Rows) -> tuple[Ints, Ints]:
    """Places in K of all columns and of the kept rows: by the last stage touched, then by how long.

    Columns of no stage come last of their time, those of a single row first and rows among them alone before the
    others: a sum over a window has no curvature of its own before its parts have given it some."""
    from .interior_point_factor_kernel import ranked, reach_in_time

    first, last, first_row, last_row, timeless, touched = reach_in_time(
        stage.astype(np.int64), rows.start, rows.index, rows.alive, LONG, _NEVER
    )
    kept = rows.of[rows.part > 0]
    when = np.concatenate((last, last_row[kept]))
    span = when - np.minimum(np.concatenate((first, first_row[kept])), when)
    column_kind = np.where(stage >= 0, 0, np.where(touched <= 1, 2, 4))
    kind = np.concatenate((column_kind, np.where(timeless[kept], 3, 1)))
    order = np.arange(kind.size)
    for key in (kind, np.where(kind > 1, 0, span), np.maximum(kind, 1), when + 1):
        order = ranked(order, key)
    place = np.empty(kind.size, dtype=np.int64)
    place[order] = np.arange(place.size)
    return place[: stage.size], place[stage.size :]


def _in_time(rows: _Rows, place: Ints, row_place: Ints) -> Ints:
    """Put the rows of each part in the order of K in place, so that a sweep stays near itself, and those of one kind
    together within a stretch, so that a loop knows its coefficients; places in K of the kept rows."""
    from .interior_point_factor_kernel import ranked
    from .interior_point_rows_kernel import kinds

    last = np.zeros(rows.of.size, dtype=np.int64)
    if rows.of.size:
        last = np.maximum.reduceat(place[rows.index], rows.start[:-1])[rows.of]
    last[rows.part > 0] = row_place
    kind = kinds(rows.start, rows.index, rows.value.view(np.int64), place, rows.alive, KINDS)[rows.of]
    kind = np.where(kind < KINDS, 2 * kind + (rows.side < 0), 2 * KINDS + np.diff(rows.start)[rows.of])
    order = np.arange(last.size)
    for key in (last, kind, last // STRETCH, rows.part):
        order = ranked(order, key)
    rows.taken(order)
    return last[order][rows.part > 0]


def _programme(
    cost: Floats, low: Floats, up: Floats, rows: _Rows, stage: Ints, unit: float, usd: float
) -> tuple[Programme, Pattern, Floats, Ints]:
    from . import interior_point_factor_kernel as factor
    from .interior_point_kernel import FAR, Programme
    from .interior_point_rows_kernel import arranged, runs

    place, row_place = _order(stage, rows)
    size = place.size + row_place.size
    kept = _in_time(rows, place, row_place).astype(np.uint32)
    bound, start, column, value, height = arranged(
        rows.of, rows.side, rows.bound, rows.start, rows.index, rows.value, place, unit
    )
    fixed = _pinned(low, up)
    has_low, has_up = np.isfinite(low) & ~fixed, np.isfinite(up) & ~fixed

    summed = int((rows.part == 0).sum())
    run, coef_at, coef = runs(start, value, summed)

    def spread(values: Floats, other: float) -> Floats:
        """By place in K."""
        out = np.full(size, other)
        out[place] = values
        return out

    programme = Programme(
        cost=spread(np.where(fixed, 0.0, cost / usd), 0.0),
        low=spread(np.where(has_low, low / unit, -FAR), -FAR),
        up=spread(np.where(has_up, up / unit, FAR), FAR),
        has_low=spread(has_low.astype(np.float64), 0.0),
        has_up=spread(has_up.astype(np.float64), 0.0),
        bound=bound,
        start=start,
        column=column,
        value=value,
        row_place=kept,
        summed=summed,
        unequal=int((rows.part < 2).sum()),
        run=run,
        coef_at=coef_at,
        coef=coef,
    )
    begin, below = factor.lower_part(size, start, column, kept, programme.summed)
    first, below = factor.elimination(size, begin, below)
    if below.size > WIDEST * size:
        raise _No("the columns hang together across time; no narrow order was found")
    at = factor.updates(first, below)
    entries, sums_at = factor.targets(first, below, start, column, value, kept, programme.summed)
    return programme, factor.Pattern(first, below, entries, sums_at, at, np.zeros(size)), height, place


# --- certificate -----------------------------------------------------------------------------------------


def _answer(
    a: Arrays,
    low: Floats,
    up: Floats,
    rows: _Rows,
    height: Floats,
    of: Floats,
    unit: float,
    usd: float,
    place: Ints,
    state: State,
    iterations: int,
) -> Answer:
    """The iterate in the problem's own units, judged from the original arrays alone. of: see `_in_units`."""
    from .sparse_kernel import activity

    x = np.clip(np.where(_pinned(low, up), low, state.x[place] * unit), low, up) * of
    low, up = low * of, up * of
    y = np.zeros(a.row_lower.size)
    own = np.concatenate((state.v, state.y)) * usd / height
    np.add.at(
        y, np.where(own >= 0, rows.row, rows.other), own * np.where(own >= 0, rows.weight, rows.other_weight)
    )
    stands = activity(a.start, a.index, a.value, x)
    broken = np.maximum(a.row_lower - stands, stands - a.row_upper)
    left = _left(a, y)
    lower = _proved(a, low, up, y, left)
    _hand_back(a, x, y, left)
    return Answer(x, y, float(a.cost @ x) + a.offset, lower, float(broken.max(initial=0.0)), iterations)


def proved(a: Arrays, low: Floats, up: Floats, y: Floats) -> float:
    """The lower bound that y proves; -inf where it leaves a column without bound to fall."""
    return _proved(a, low, up, y, _left(a, y))


def _proved(a: Arrays, low: Floats, up: Floats, y: Floats, left: Floats) -> float:
    """The same where it is known what y leaves of the costs."""
    up = np.where(np.isfinite(up), up, _implied_up(a, low, up, left < 0))
    side = np.where(left > 0, low, up)
    side[left == 0] = 0.0
    bound = np.where(y > 0, a.row_lower, a.row_upper)
    bound[y == 0] = 0.0
    if not (np.isfinite(side).all() and np.isfinite(bound).all()):
        return -inf
    return float(a.offset + y @ bound + left @ side)


def _left(a: Arrays, y: Floats) -> Floats:
    """What rows leave of each column's cost, (columns,)."""
    from .sparse_kernel import reduced

    return reduced(a.cost, a.start, a.index, a.value, y)


def _implied_up(a: Arrays, low: Floats, up: Floats, wanted: Mask) -> Floats:
    """For costly columns that only rise to meet rows: no optimum takes more than the hardest row asks at worst."""
    out = np.full(up.size, inf)
    sound = wanted & ~np.isfinite(up) & (a.cost >= 0)
    if not sound.any():
        return out
    entry = np.flatnonzero(sound[a.index])
    row = np.searchsorted(a.start, entry, side="right") - 1
    # Every row that holds the column, turned so that its entry is above zero, must be bounded below alone.
    other_side = np.where(a.value[entry] > 0, a.row_upper[row], -a.row_lower[row])
    sound[a.index[entry[np.isfinite(other_side)]]] = False
    kept = sound[a.index[entry]]
    entry, row = entry[kept], row[kept]
    rows = np.unique(row)  # the few that hold such a column: only they are looked at
    counts = a.start[rows + 1] - a.start[rows]
    whole = np.repeat(a.start[rows] - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    of, at = np.repeat(np.arange(rows.size), counts), np.searchsorted(whole, entry)
    index, value, turn = a.index[whole], a.value[whole], np.sign(a.value[entry])
    least = np.where(value > 0, value * low[index], value * up[index])
    most = np.where(value > 0, value * up[index], value * low[index])
    asks = np.where(turn > 0, a.row_lower[row], -a.row_upper[row])
    worst = np.where(turn > 0, _others(least, of, at, rows.size), -_others(most, of, at, rows.size))
    need = low.copy()
    np.maximum.at(need, a.index[entry], (asks - worst) / np.abs(a.value[entry]))
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


def _hand_back(a: Arrays, x: Floats, y: Floats, left: Floats) -> None:
    """Rows of one entry were column bounds: what is left of the column's cost at such a bound is theirs."""
    one = np.flatnonzero(np.diff(a.start) == 1)
    if not one.size:
        return
    entry = a.start[one]
    j, by = a.index[entry], a.value[entry]
    left = left[j]
    usd = left / by
    edge = np.where(usd > 0, a.row_lower[one], a.row_upper[one])
    near = np.isfinite(edge) & (np.abs(by * x[j] - edge) <= 1e-6 * (1 + np.abs(edge)))
    inside = np.where(left > 0, a.lower[j], a.upper[j])
    tighter = ~np.isfinite(inside) | (np.abs(x[j] - inside) > 1e-6 * (1 + np.abs(inside)))
    at = near & tighter
    _, first = np.unique(j[at], return_index=True)
    y[one[at][first]] += usd[at][first]
