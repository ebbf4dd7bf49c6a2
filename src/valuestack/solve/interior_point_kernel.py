"""Kernels of the interior point: symbolic and numeric factorisation of a sparse quasidefinite matrix, and the
predictor-corrector loop.

The matrix is that of the Newton step after all slacks are eliminated,

    K = [ Theta_x + A_S' Theta_z A_S    A_L' ]
        [ A_L                          -D    ]

with short rows S summed into the upper left and equations and long rows L kept. Every symmetric order of a
quasidefinite matrix has a factorisation K = L D L' (Vanderbei 1995, doi:10.1137/0805005), so the order may
follow time alone: then L is as narrow as the state of the plant, and a year costs what a Riccati sweep costs.
All targets of the numeric phase are listed once, since the pattern never changes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
Places = np.ndarray[Any, np.dtype[np.uint32]]

DONE, STUCK, SPENT = 0, 1, 2
FAR = 1e30  # stands for a bound that is not there
SLIGHT = 1e-9  # regularisation of both kinds of pivots, scaled
BACK = 0.995
LOST = 1e-15  # of a diagonal entry: what is left of it below this is noise
FLOOR = 10.0  # times the residual asked for: what rounding may leave of rows that no step mends any more


class Programme(NamedTuple):
    """minimise c x subject to A x >= b for the first `unequal` rows, A x = b for the others, low <= x <= up.

    Rows `summed` and on, the equations among them, are kept in K; those before are summed in. Row-wise, in order of
    time. All of x stands in the order of K, where the places of kept rows hold columns without cost, bound and
    entry, so that no place is ever looked up. Where a column has no bound, low or up is `FAR` and has_low or
    has_up is 0, else 1. row_place: place in K of each kept row, in order.
    """

    cost: Floats
    low: Floats
    up: Floats
    has_low: Floats
    has_up: Floats
    bound: Floats
    start: Ints
    column: Places
    value: Floats
    row_place: Places
    summed: int
    unequal: int


class Pattern(NamedTuple):
    """Columns of L below the diagonal, and where the numeric phase adds what.

    fixed: entries of K that never change, in L's slots. sums_start (rows + 1,), sums_at, sums_by: for each summed
    row the slots (diagonal position p as -1 - p) and the products a_i a_j. update_at: slot of every product of
    two entries of a column of L, in order of elimination. own (n,): scratch, the diagonal of K before elimination.
    """

    first: Ints
    below: Places
    fixed: Floats
    sums_start: Ints
    sums_at: Places
    sums_by: Floats
    update_at: Places
    own: Floats


@njit(cache=True)
def elimination(n: int, begin: Ints, lower: Places) -> tuple[Ints, Places]:
    """Pattern of L from the strictly lower pattern of K by columns (sorted or not, repeats allowed)."""
    first = np.zeros(n + 1, np.int64)
    head = np.full(n, -1, np.int64)
    after = np.full(n, -1, np.int64)
    mark = np.full(n, -1, np.int64)
    room = max(4 * lower.size, 16)
    below = np.empty(room, np.uint32)
    top = 0
    for j in range(n):
        first[j] = top
        need = begin[j + 1] - begin[j]
        child = head[j]
        while child >= 0:
            need += first[child + 1] - first[child]
            child = after[child]
        while top + need > room:
            grown = np.empty(2 * room, np.uint32)
            grown[:top] = below[:top]
            below, room = grown, 2 * room
        mark[j] = j
        for e in range(begin[j], begin[j + 1]):
            i = lower[e]
            if mark[i] != j:
                mark[i] = j
                below[top] = i
                top += 1
        child = head[j]
        while child >= 0:
            for e in range(first[child], first[child + 1]):
                i = below[e]
                if mark[i] != j:
                    mark[i] = j
                    below[top] = i
                    top += 1
            child = after[child]
        first[j + 1] = top
        if top > first[j]:
            mine = below[first[j] : top]
            mine.sort()
            parent = mine[0]
            after[j] = head[parent]
            head[parent] = j
    return first, below[:top].copy()


@njit(cache=True)
def _slot(first: Ints, below: Places, row: Any, col: Any) -> Any:
    """Where L holds (row, col), row > col."""
    a, b = first[col], first[col + 1] - 1
    while a < b:
        mid = (a + b) >> 1
        if below[mid] < row:
            a = mid + 1
        else:
            b = mid
    return a


@njit(cache=True)
def updates(first: Ints, below: Places) -> Places:
    """Slots of all products of two entries of one column, in the order in which `factorise` makes them."""
    n = first.size - 1
    total = 0
    for j in range(n):
        k = first[j + 1] - first[j]
        total += k * (k - 1) // 2
    out = np.empty(total, np.uint32)
    at = 0
    for j in range(n):
        for b in range(first[j], first[j + 1]):
            col = below[b]
            e = first[col]
            for a in range(b + 1, first[j + 1]):
                row = below[a]
                while below[e] < row:
                    e += 1
                out[at] = e
                at += 1
    return out


@njit(cache=True)
def targets(p: Programme, first: Ints, below: Places) -> tuple[Floats, Ints, Places, Floats]:
    """Fixed entries, and slots and products of the summed rows."""
    fixed = np.zeros(below.size)
    start = np.zeros(p.summed + 1, np.int64)
    for i in range(p.summed):
        k = p.start[i + 1] - p.start[i]
        start[i + 1] = start[i] + k * (k + 1) // 2
    at, by = np.empty(start[p.summed], np.uint32), np.empty(start[p.summed])
    for i in range(p.summed):
        s = start[i]
        for e in range(p.start[i], p.start[i + 1]):
            for f in range(p.start[i], e + 1):
                a, b = np.int64(p.column[e]), np.int64(p.column[f])
                at[s] = below.size + a if a == b else _slot(first, below, max(a, b), min(a, b))
                by[s] = p.value[e] * p.value[f]
                s += 1
    for i in range(p.summed, p.start.size - 1):
        a = np.int64(p.row_place[i - p.summed])
        for e in range(p.start[i], p.start[i + 1]):
            b = np.int64(p.column[e])
            fixed[_slot(first, below, max(a, b), min(a, b))] = p.value[e]
    return fixed, start, at, by


@njit(cache=True, error_model="numpy")
def factorise(k: Pattern, work: Floats) -> int:
    """K = L D L' in place. work: entries below the diagonal in L's slots, then the diagonal, (slots + n,).

    Near the end weights differ by more than a number holds, and what should be left of a pivot is lost in what was
    taken from it. Such a pivot is given the size of the noise and the sign that it must have (as in Wright 1999,
    doi:10.1137/S1052623496304712): the step is short there, and the next iteration sees what it left. Returns how
    many were."""
    at, slots, lost = 0, k.below.size, 0
    for j in range(k.first.size - 1):
        a1 = k.first[j + 1]
        pivot, own = work[slots + j], k.own[j]
        if not pivot * own > LOST * own * own:
            pivot = LOST * own
            work[slots + j] = pivot
            lost += 1
        by = 1.0 / pivot
        for b in range(k.first[j], a1):
            raw = work[b]
            scaled = raw * by
            work[slots + k.below[b]] -= scaled * raw
            for a in range(b + 1, a1):
                work[k.update_at[at]] -= scaled * work[a]
                at += 1
            work[b] = scaled
    return lost


@njit(cache=True, error_model="numpy")
def substitute(k: Pattern, work: Floats, r: Floats) -> None:
    """r <- K^-1 r."""
    n, slots = k.first.size - 1, k.below.size
    for j in range(n):
        v = r[j]
        for e in range(k.first[j], k.first[j + 1]):
            r[k.below[e]] -= work[e] * v
    for j in range(n - 1, -1, -1):
        v = r[j] / work[slots + j]
        for e in range(k.first[j], k.first[j + 1]):
            v -= work[e] * r[k.below[e]]
        r[j] = v


class State(NamedTuple):
    """x with its room above the low and below the up bound and their multipliers wl, wu, all in the order of K;
    slack g and multiplier v of the unequal rows; y of equations.

    The rooms are kept beside x: as differences they would turn to nothing where a bound is large and near."""

    x: Floats
    sl: Floats
    su: Floats
    wl: Floats
    wu: Floats
    g: Floats
    v: Floats
    y: Floats


class Step(NamedTuple):
    """What a Newton step adds to x, wl, wu, g, v and y; rooms follow x."""

    x: Floats
    wl: Floats
    wu: Floats
    g: Floats
    v: Floats
    y: Floats


class Room(NamedTuple):
    """One over each slack, and multiplier over slack: of x's low and up bound, of the unequal rows."""

    low: Floats
    up: Floats
    g: Floats
    by_low: Floats
    by_up: Floats
    by_g: Floats


@njit(cache=True, error_model="numpy")
def _load(p: Programme, k: Pattern, s: State, room: Room, work: Floats) -> None:
    """K at this iterate, and the inverses of the slacks."""
    slots = k.below.size
    work[:slots] = k.fixed
    for j in range(s.x.size):
        low, up = p.has_low[j] / s.sl[j], p.has_up[j] / s.su[j]
        by_low, by_up = s.wl[j] * low, s.wu[j] * up
        room.low[j], room.up[j] = low, up
        room.by_low[j], room.by_up[j] = by_low, by_up
        work[slots + j] = SLIGHT + by_low + by_up
    for i in range(p.unequal):
        room.g[i] = 1.0 / s.g[i]
        room.by_g[i] = s.v[i] * room.g[i]
    for i in range(p.summed, p.bound.size):
        t = SLIGHT + s.g[i] / s.v[i] if i < p.unequal else SLIGHT
        work[slots + p.row_place[i - p.summed]] = -t
    for i in range(p.summed):
        t = room.by_g[i]
        for e in range(k.sums_start[i], k.sums_start[i + 1]):
            work[k.sums_at[e]] += t * k.sums_by[e]
    for j in range(s.x.size):
        k.own[j] = work[slots + j]


@njit(cache=True, error_model="numpy")
def residuals(p: Programme, s: State, rd: Floats, rp: Floats) -> tuple[float, float]:
    """rd = c - A'y - wl + wu, rp = A x - b - g; their greatest entries."""
    for j in range(s.x.size):
        rd[j] = p.cost[j] - s.wl[j] + s.wu[j]
    most_p = 0.0
    for i in range(p.bound.size):
        a = -p.bound[i]
        y = s.v[i] if i < p.unequal else s.y[i - p.unequal]
        for e in range(p.start[i], p.start[i + 1]):
            j = p.column[e]
            a += p.value[e] * s.x[j]
            rd[j] -= p.value[e] * y
        if i < p.unequal:
            a -= s.g[i]
        rp[i] = a
        most_p = max(most_p, abs(a))
    most_d = 0.0
    for j in range(s.x.size):
        most_d = max(most_d, abs(rd[j]))
    return most_d, most_p


@njit(cache=True, error_model="numpy")
def _direction(
    p: Programme, k: Pattern, s: State, room: Room, work: Floats, rd: Floats, rp: Floats, mu: float,
    second: Step, d: Step,
) -> None:  # fmt: skip
    """Newton step d towards slack x multiplier = mu - second."""
    n, mi, r = s.x.size, p.unequal, d.x
    for j in range(n):
        a = (mu - second.wl[j]) * room.low[j] - s.wl[j]
        b = (mu - second.wu[j]) * room.up[j] - s.wu[j]
        d.wl[j], d.wu[j] = a, b
        r[j] = a - b - rd[j]
    for i in range(mi):
        d.v[i] = (mu - second.v[i]) * room.g[i] - s.v[i]
    for i in range(p.summed, p.bound.size):
        a = d.v[i] * s.g[i] / s.v[i] if i < mi else 0.0
        r[p.row_place[i - p.summed]] = a - rp[i]
    for i in range(p.summed):
        a = d.v[i] - room.by_g[i] * rp[i]
        for e in range(p.start[i], p.start[i + 1]):
            r[p.column[e]] += p.value[e] * a
    substitute(k, work, r)
    for i in range(p.summed, p.bound.size):
        at = p.row_place[i - p.summed]
        if i < mi:
            d.v[i] = -r[at]
        else:
            d.y[i - mi] = -r[at]
        r[at] = 0.0
    for j in range(n):
        d.wl[j] -= room.by_low[j] * r[j]
        d.wu[j] += room.by_up[j] * r[j]
    for i in range(mi):
        a = rp[i]
        for e in range(p.start[i], p.start[i + 1]):
            a += p.value[e] * r[p.column[e]]
        d.g[i] = a
        if i < p.summed:
            d.v[i] -= room.by_g[i] * a


@njit(cache=True, error_model="numpy")
def _steps(p: Programme, s: State, room: Room, d: Step) -> tuple[float, float, float, float, float]:
    """Longest primal and dual steps that stay inside, and sums of complementarity by step:
    slack x multiplier after steps (a, b) = now + a first + b second + a b third."""
    one, two, three, primal, dual = 0.0, 0.0, 0.0, 1e-30, 1e-30
    for j in range(s.x.size):
        dx, dl, du = d.x[j], d.wl[j], d.wu[j]
        one += dx * (s.wl[j] - s.wu[j])
        two += p.has_low[j] * s.sl[j] * dl + p.has_up[j] * s.su[j] * du
        three += dx * (dl - du)
        primal = max(primal, -dx * room.low[j], dx * room.up[j])
        if -dl > dual * s.wl[j]:
            dual = -dl / s.wl[j] if p.has_low[j] > 0 else dual
        if -du > dual * s.wu[j]:
            dual = -du / s.wu[j] if p.has_up[j] > 0 else dual
    for i in range(p.unequal):
        dg, dv = d.g[i], d.v[i]
        one += dg * s.v[i]
        two += s.g[i] * dv
        three += dg * dv
        primal = max(primal, -dg * room.g[i])
        if -dv > dual * s.v[i]:
            dual = -dv / s.v[i]
    return 1.0 / primal, 1.0 / dual, one, two, three


@njit(cache=True, error_model="numpy")
def _total(p: Programme, s: State) -> float:
    """Sum of slack x multiplier."""
    total = 0.0
    for j in range(s.x.size):
        total += p.has_low[j] * s.wl[j] * s.sl[j] + p.has_up[j] * s.wu[j] * s.su[j]
    for i in range(p.unequal):
        total += s.g[i] * s.v[i]
    return total


@njit(cache=True, error_model="numpy")
def _move(s: State, d: Step, primal: float, dual: float) -> None:
    for j in range(s.x.size):
        a = primal * d.x[j]
        s.x[j] += a
        s.sl[j] += a
        s.su[j] -= a
        s.wl[j] += dual * d.wl[j]
        s.wu[j] += dual * d.wu[j]
    for i in range(s.g.size):
        s.g[i] += primal * d.g[i]
        s.v[i] += dual * d.v[i]
    for i in range(s.y.size):
        s.y[i] += dual * d.y[i]


@njit(cache=True, error_model="numpy")
def _nearest(p: Programme, k: Pattern, x: Floats, width: Floats) -> None:
    """Move x by least squares, weighted by the widths, onto the equations."""
    slots = k.below.size
    work, r = np.zeros(slots + x.size), np.zeros(x.size)
    work[:slots] = k.fixed
    for j in range(x.size):
        work[slots + j] = 1.0 / max(width[j], 1e-3) ** 2
    for i in range(p.summed, p.bound.size):
        work[slots + p.row_place[i - p.summed]] = -1e6 if i < p.unequal else -SLIGHT
    for i in range(p.unequal, p.bound.size):
        a = p.bound[i]
        for e in range(p.start[i], p.start[i + 1]):
            a -= p.value[e] * x[p.column[e]]
        r[p.row_place[i - p.summed]] = a
    k.own[:] = work[slots:]
    factorise(k, work)
    substitute(k, work, r)
    for j in range(x.size):
        x[j] += r[j]
    for i in range(p.row_place.size):
        x[p.row_place[i]] = 0.0


@njit(cache=True, error_model="numpy")
def begin(p: Programme, k: Pattern, tune: Floats) -> State:
    """A start inside all bounds that nearly keeps the equations: the middle of every box, moved onto them, pushed
    back inside; multipliers that centre it, and what is left of each column's cost on the bound that it points
    to. tune: (share of a box kept free, room of a row, mu, room at half-lines, place in a box, weight of costs)."""
    n, mi = p.cost.size, p.unequal
    x, g, v, y = np.zeros(n), np.zeros(mi), np.zeros(mi), np.zeros(p.bound.size - mi)
    wl, wu, width, room = np.zeros(n), np.zeros(n), np.ones(n), np.zeros(n)
    for j in range(n):
        both = p.has_low[j] * p.has_up[j] > 0
        width[j] = p.up[j] - p.low[j] if both else 1.0
        room[j] = tune[0] * width[j] if both else tune[3]
        if p.has_low[j] > 0:
            x[j] = p.low[j] + (tune[4] * width[j] if both else tune[3])
        elif p.has_up[j] > 0:
            x[j] = p.up[j] - tune[3]
    _nearest(p, k, x, width)
    for j in range(n):
        x[j] = min(max(x[j], p.low[j] + room[j]), p.up[j] - room[j])
    left = p.cost.copy()
    for i in range(mi):
        a = -p.bound[i]
        for e in range(p.start[i], p.start[i + 1]):
            a += p.value[e] * x[p.column[e]]
        g[i] = max(a, tune[1])
        v[i] = tune[2] / g[i]
        for e in range(p.start[i], p.start[i + 1]):
            left[p.column[e]] -= p.value[e] * v[i]
    sl, su = x - p.low, p.up - x
    for j in range(n):
        wl[j] = p.has_low[j] * (tune[2] / sl[j] + tune[5] * max(left[j], 0.0))
        wu[j] = p.has_up[j] * (tune[2] / su[j] + tune[5] * max(-left[j], 0.0))
    return State(x, sl, su, wl, wu, g, v, y)


@njit(cache=True, error_model="numpy")
def follow(
    p: Programme,
    k: Pattern,
    s: State,
    most: int,
    close_gap: float,
    close_dual: float,
    close_primal: float,
    trace: Floats,
) -> tuple[int, int]:
    """Mehrotra's predictor-corrector from `s` in place. close_gap: sum of complementarity to reach, in the unit of
    cost; close_dual, close_primal: greatest residuals, the latter up to FLOOR times that where a step no longer halves
    it: going on would only wear out the pivots. trace (most + 1, 6): that sum, residuals, steps, lost pivots.
    Returns (DONE, STUCK or SPENT, iterations)."""
    n, mi, m = s.x.size, p.unequal, p.bound.size
    work, rd, rp = np.empty(k.below.size + n), np.empty(n), np.empty(m)
    d = Step(np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(mi), np.zeros(mi), np.zeros(m - mi))
    second = Step(np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(mi), np.zeros(mi), np.zeros(m - mi))
    room = Room(np.empty(n), np.empty(n), np.empty(mi), np.empty(n), np.empty(n), np.empty(mi))
    pairs = mi + p.has_low.sum() + p.has_up.sum()
    short, before = 0, 0.0
    for it in range(most + 1):
        most_d, most_p = residuals(p, s, rd, rp)
        total = _total(p, s)
        trace[it, 0], trace[it, 1], trace[it, 2] = total, most_d, most_p
        if not (total < 1e30 and most_d < 1e30 and most_p < 1e30):
            return STUCK, it
        met = most_p <= close_primal or 0.5 * before <= most_p <= FLOOR * close_primal
        if total <= close_gap and most_d <= close_dual and met:
            return DONE, it
        before = most_p
        if it == most:
            break
        _load(p, k, s, room, work)
        trace[it, 5] = factorise(k, work)
        second.wl[:] = 0.0
        second.wu[:] = 0.0
        second.v[:] = 0.0
        _direction(p, k, s, room, work, rd, rp, 0.0, second, d)
        primal, dual, one, two, three = _steps(p, s, room, d)
        a, b = min(primal, 1.0), min(dual, 1.0)
        ahead = total + a * one + b * two + a * b * three
        sigma = min(max(ahead / total, 0.0), 1.0) ** 3
        for j in range(n):
            second.wl[j], second.wu[j] = d.x[j] * d.wl[j], -d.x[j] * d.wu[j]
        for i in range(mi):
            second.v[i] = d.g[i] * d.v[i]
        mu = sigma * total / pairs
        _direction(p, k, s, room, work, rd, rp, mu, second, d)
        primal, dual, one, two, three = _steps(p, s, room, d)
        primal, dual = min(BACK * primal, 1.0), min(BACK * dual, 1.0)
        trace[it, 3], trace[it, 4] = primal, dual
        short = short + 1 if max(primal, dual) < 1e-4 else 0
        if short > 3:
            return STUCK, it
        _move(s, d, primal, dual)
    return SPENT, most
