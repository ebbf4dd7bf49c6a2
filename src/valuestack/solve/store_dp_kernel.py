"""Compiled slope-trick dynamic programme of one store; see store_dp.py for the method. Imported lazily.

The cost-to-go is a convex piecewise linear function of the stored energy, kept as ascending (slope, length)
pairs on a domain. One step is an infimal convolution with the step's own convex pieces, a sorted merge.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numba import njit

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
F = TypeVar("F", bound=Callable[..., Any])

PIECES = 4  # an interval's net load bends at 0, at the cap and at the load alone
SLOPE_EPS = 1e-12
WALKS = 200


class Compiled(Protocol):
    """A decorator that compiles and leaves types alone."""

    def __call__(self, function: F, /) -> F: ...


# Kernels that are called for each plan and allocate nothing do without numba's counts of references: each array of each
# argument would be counted at every call, atomically, which took a tenth of a year of plans.
_jit: Any = njit
bare: Compiled = _jit(cache=True, error_model="numpy", _nrt=False)
# The same where no number is none, so that a greatest is found side by side.
bare_numbers: Compiled = _jit(cache=True, error_model="numpy", _nrt=False, fastmath={"nnan", "nsz"})
# Allocates; said, since whoever is called by a bare one is taken for bare.
roomy: Compiled = _jit(cache=True, error_model="numpy", _nrt=True)


class Walk(NamedTuple):
    """What a walk through n intervals needs beside the caps; see StoreProblem. energy_eps: kWh that count as 0.
    end_low, end_high, end_value: where the walk may end, and the worth of what is left."""

    h: float
    load: Floats
    buy: Floats
    sell: Floats
    charge: Floats
    discharge: Floats
    ec: float
    ed: float
    wear: float
    big: float
    most_import: Floats
    most_export: Floats
    low: Floats
    high: Floats
    drain: Floats
    start: float
    end_low: float
    end_high: float
    end_value: float
    energy_eps: float


class Scratch(NamedTuple):
    """Room for one walk: the pieces of each interval's cost in the change of stored energy, packed, ascending
    in slope [cost per kWh stored], with lengths [kWh stored] and base-stock levels [kWh]; first (n + 1,) piece of
    each interval; least and greatest change and the cost at the least (n,); marginal values (n,); the lowest cap of
    each interval and its window (n,); the cost-to-go's pieces, ascending: slope, and where it ends;
    where the pieces of one interval go among them. Of a horizon that is
    one stretch: its edges, and its cut but for the caps (3, 1)."""

    slope: Floats
    length: Floats
    levels: Floats
    first: Ints
    least: Floats
    most: Floats
    usd: Floats
    y_low: Floats
    y_high: Floats
    y: Floats
    cap: Floats
    binding: Ints
    to_go_slope: Floats
    to_go_end: Floats
    where: Ints
    edges: Ints
    one: Floats


def scratch_of(n: int) -> Scratch:
    """Room for a walk of n intervals."""
    slope, length, levels = (np.empty(n * PIECES + 1) for _ in range(3))
    least, most, usd, y_low, y_high, y, cap = (np.empty(n) for _ in range(7))
    first, binding = np.empty(n + 1, dtype=np.int64), np.empty(n, dtype=np.int64)
    to_go = np.empty((2, n * PIECES + 2))
    return Scratch(
        slope,
        length,
        levels,
        first,
        least,
        most,
        usd,
        y_low,
        y_high,
        y,
        cap,
        binding,
        to_go[0],
        to_go[1],
        np.empty(PIECES, dtype=np.int64),
        np.zeros(2, dtype=np.int64),
        np.empty((3, 1)),
    )


@bare
def _bends(begin: float, end: float, cap: float) -> tuple[float, float]:
    """Where net load from `begin` to `end` passes 0 and the cap."""
    zero = min(max(begin, 0.0), end)
    return zero, min(max(zero, cap), end)


@bare
def _lay(p: Walk, window: Ints, caps: Floats, scratch: Scratch) -> int:
    """The lowest cap and the pieces of every interval; OK (-1), or the first interval in which no power is allowed."""
    load, buy, sell, charge, discharge = p.load, p.buy, p.sell, p.charge, p.discharge
    most_import, most_export = p.most_import, p.most_export
    h, ec, ed, wear, big = p.h, p.ec, p.ed, p.wear, p.big
    slope, length, first = scratch.slope, scratch.length, scratch.first
    least, most, usd, cap, binding = scratch.least, scratch.most, scratch.usd, scratch.cap, scratch.binding
    into, out, per_kw, families = h * ec, h / ed, 1.0 / ec, window.shape[0]
    count = 0
    first[0] = 0
    for t in range(load.size):
        limit, which = 1e15, -1
        for f in range(families):
            w = window[f, t]
            if w >= 0 and caps[w] < limit:
                limit, which = caps[w], w
        cap[t], binding[t] = limit, which
        at, price, gain = load[t], buy[t], sell[t]
        low_net, high_net = max(at - discharge[t], -most_export[t]), min(at + charge[t], most_import[t])
        if low_net > high_net:
            if low_net > high_net + 1e-9 * max(1.0, abs(low_net)):
                return t
            low_net = high_net
        over = max(low_net - limit, 0.0)
        cost = h * ((price if low_net > 0.0 else gain) * low_net + big * over)
        # Below the load it discharges, above it charges. A piece of no length is overwritten by the next one, which
        # costs less than asking; no function is called with arrays from within the loops, for each such call counts
        # its references, atomically.
        mid = min(max(at, low_net), high_net)
        zero, top = _bends(low_net, mid, limit)
        slope[count], length[count] = (gain - wear) * ed, (zero - low_net) * out
        count += zero > low_net
        slope[count], length[count] = (price - wear) * ed, (top - zero) * out
        count += top > zero
        slope[count], length[count] = (price + big - wear) * ed, (mid - top) * out
        count += mid > top
        zero, top = _bends(mid, high_net, limit)
        slope[count], length[count] = gain * per_kw, (zero - mid) * into
        count += zero > mid
        slope[count], length[count] = price * per_kw, (top - zero) * into
        count += top > zero
        slope[count], length[count] = (price + big) * per_kw, (high_net - top) * into
        count += high_net > top
        below, above = at - low_net, high_net - at
        least[t] = -below * out if below > 0.0 else -below * into
        most[t] = above * into if above > 0.0 else above * out
        usd[t], first[t + 1] = cost + h * wear * max(below, 0.0), count
    return -1


@bare
def _backward(p: Walk, scratch: Scratch, levels: Floats) -> int:
    """Base-stock levels of every step and piece; -1, or the interval before which no path exists. Of equally cheap
    walks the one is meant that has most in store at every time.

    The cost-to-go's pieces i .. j of s and `ends` are ascending; `ends` counts from `shift`, so that a step moves the
    whole without touching it. A step's own pieces, mirrored, are put in place from the right.
    """
    low, high, drain, eps = p.low, p.high, p.drain, p.energy_eps
    slope, length, first = scratch.slope, scratch.length, scratch.first
    least, most = scratch.least, scratch.most
    s, ends, where = scratch.to_go_slope, scratch.to_go_end, scratch.where
    left, right, shift = p.end_low, p.end_high, 0.0
    s[1], ends[0], ends[1] = (
        -p.end_value,
        left,
        right,
    )  # the domain begins where the piece before the first one ends
    i, j = 1, 1 + int(right > left)
    for t in range(p.load.size - 1, -1, -1):
        # Levels: where the marginal cost-to-go passes each piece's slope.
        at, fresh, longer, begin = i, 0, 0.0, first[t]
        for k in range(first[t + 1] - 1, begin - 1, -1):
            v = -slope[k]
            while at < j and s[at] < v + SLOPE_EPS:
                at += 1
            levels[k] = ends[at - 1] + shift
            longer += length[k]
            if at > i and v - s[at - 1] <= SLOPE_EPS:
                where[k - begin] = 1 - at  # it lengthens the piece before
            else:
                where[k - begin] = at
                fresh += 1
        # From the right each piece moves once: by the slots and by the lengths that come in before it.
        read, j = j, j + fresh
        write = j
        for k in range(begin, first[t + 1]):
            at = where[k - begin]
            until = at if at > 0 else -at
            while read > until:
                read -= 1
                write -= 1
                s[write], ends[write] = s[read], ends[read] + longer
            if at > 0:
                write -= 1
                s[write], ends[write] = -slope[k], levels[k] - shift + longer
            longer -= length[k]
        # The drain leaves whatever is decided: e' = e + x - drain.
        left, right, shift = (
            left - most[t] + drain[t],
            right - least[t] + drain[t],
            shift - most[t] + drain[t],
        )
        lo, hi = (p.start, p.start) if t == 0 else (low[t], high[t])
        if left > hi + eps or right < lo - eps or lo > hi:
            return t
        # Cut the domain [left, right] to [lo, hi].
        if lo > left:
            left = lo
            while i < j and ends[i] + shift <= lo:
                i += 1
            ends[i - 1] = lo - shift
        if right > hi:
            right = hi
            while j > i and ends[j - 2] + shift >= hi:
                j -= 1
            if j > i:
                ends[j - 1] = hi - shift
        right = max(left, right)
    return -1


@bare
def _forward(
    p: Walk, window: Ints, scratch: Scratch, levels: Floats, power: Floats, stored: Floats, peaks: Floats
) -> float:
    """The path and its cost without overflow; peaks (w,) rise to what it reaches.

    scratch.y_low, y_high are filled with the marginal values for which each step is optimal, narrowed to what the
    steps before allow: a value is constant, but may rise over a full store and fall over an empty one.
    """
    load, buy, sell, y_low, y_high = p.load, p.buy, p.sell, scratch.y_low, scratch.y_high
    low, high, drain = p.low, p.high, p.drain
    h, ec, ed, wear, eps = p.h, p.ec, p.ed, p.wear, p.energy_eps
    slope, length, first = scratch.slope, scratch.length, scratch.first
    least, most = scratch.least, scratch.most
    n, families, cost, energy = load.size, window.shape[0], 0.0, p.start
    into, out = 1.0 / (ec * h), ed / h
    value_low, value_high = -np.inf, np.inf
    for t in range(n):
        x, below, above = least[t], -np.inf, np.inf
        base = energy - drain[t]
        for k in range(first[t], first[t + 1]):
            ln = length[k]
            u = levels[k] - (base + x)
            u = 0.0 if u < 0.0 else (ln if u > ln else u)
            x += u
            if ln <= eps:
                continue
            if u > eps:
                below = slope[k]
            if u < ln - eps:
                above = slope[k]
                break
        lo, hi = (low[t + 1], high[t + 1]) if t < n - 1 else (p.end_low, p.end_high)
        after = min(max(base + x, lo), hi)
        x = min(max(after - base, least[t]), most[t])
        q = x * into if x > 0.0 else x * out
        net = load[t] + q
        cost += h * ((buy[t] if net > 0.0 else sell[t]) * net - wear * min(q, 0.0))
        power[t], stored[t] = q, after
        for f in range(families):
            w = window[f, t]
            if w >= 0 and net > peaks[w]:
                peaks[w] = net
        if t > 0:
            if energy >= high[t] - eps:
                value_high = np.inf
            if energy <= low[t] + eps:
                value_low = -np.inf
        value_low, value_high = max(value_low, below), min(value_high, above)
        if value_low > value_high:
            value_low = value_high = 0.5 * (value_low + value_high)
        y_low[t], y_high[t] = value_low, value_high
        energy = after
    return cost


@bare
def _values(p: Walk, scratch: Scratch, stored: Floats) -> None:
    """One consistent path of marginal values of energy into scratch.y, out of what _forward left possible."""
    n, eps, low, high = stored.size, p.energy_eps, p.low, p.high
    y_low, y_high, y = scratch.y_low, scratch.y_high, scratch.y
    later = p.end_value
    for t in range(n - 1, -1, -1):
        lo, hi = (low[t + 1], high[t + 1]) if t < n - 1 else (p.end_low, p.end_high)
        full, empty = stored[t] >= hi - eps, stored[t] <= lo + eps
        a, b = y_low[t], y_high[t]
        if full and not empty:
            b = min(b, later)
        elif empty and not full:
            a = max(a, later)
        later = 0.5 * (a + b) if a > b else min(max(a, later), b)
        y[t] = later


@bare
def _bounds(p: Walk, scratch: Scratch, a: int, b: int, by_cap: Floats) -> float:
    """Least of a stretch's cost less what scratch.y pays for the energy stored, at all caps 0 by its slopes by_cap
    (w,).

    Each interval by itself: the least over its change x of cost(x, cap) - y (x - drain), and over the energy
    held at each boundary of (y before - y after) e; so it is a lower bound whatever y may be.
    """
    load, buy, charge, discharge = p.load, p.buy, p.charge, p.discharge
    most_import, most_export, low, high, drain = p.most_import, p.most_export, p.low, p.high, p.drain
    h, ec, ed, wear, big = p.h, p.ec, p.ed, p.wear, p.big
    slope, length, first = scratch.slope, scratch.length, scratch.first
    least, usd, cap, binding, y = scratch.least, scratch.usd, scratch.cap, scratch.binding, scratch.y
    total, before = 0.0, y[a]
    for t in range(a, b):
        v = y[t]
        total += usd[t] - v * (least[t] - drain[t])
        for k in range(first[t], first[t + 1]):
            if slope[k] >= v:
                break
            total += (slope[k] - v) * length[k]
        step = before - v
        total += step * (low[t] if step > 0.0 else high[t])
        before = v
        w, limit = binding[t], cap[t]
        if w < 0 or limit >= min(load[t] + charge[t], most_import[t]):
            continue
        if limit < max(load[t] - discharge[t], -most_export[t]):
            over = big
        else:
            # The least overflow price at which the value of energy does not ask for more than the cap.
            over = min(max(v * ec - buy[t] if limit >= load[t] else v / ed + wear - buy[t], 0.0), big)
        by_cap[w] -= over * h
        total += over * h * limit
    return total


@bare
def evaluate(
    p: Walk,
    window: Ints,
    caps: Floats,
    edges: Ints,
    scratch: Scratch,
    power: Floats,
    stored: Floats,
    constant: Floats,
    by_start: Floats,
    by_end: Floats,
    by_cap: Floats,
    peaks: Floats,
) -> tuple[int, float]:
    """Best walk under caps and one cut for each stretch.

    window (f, n), caps (w,), edges (k + 1,) first interval of each stretch and n. Fills power (n,), stored
    (n,), peaks (w,) with what the walk reaches where that is higher, and by stretch m
        cost_m(M, s, s') >= constant[m] + by_cap[m] . M + by_start[m] s + by_end[m] s'.
    Returns -1 or the interval from which no walk exists, and the cost of energy, wear and what is left.
    """
    wrong = _lay(p, window, caps, scratch) if p.end_low <= p.end_high else p.load.size
    if wrong >= 0:
        return wrong, 0.0
    wrong = _backward(p, scratch, scratch.levels)
    if wrong >= 0:
        return wrong, 0.0
    usd = _forward(p, window, scratch, scratch.levels, power, stored, peaks)
    _values(p, scratch, stored)
    by_cap[:] = 0.0
    for m in range(edges.size - 1):
        a, b = edges[m], edges[m + 1]
        constant[m] = _bounds(p, scratch, a, b, by_cap[m])
        by_start[m], by_end[m] = -scratch.y[a], scratch.y[b - 1]
    return -1, usd - p.end_value * stored[-1]


@bare
def _entering(cut: Floats, right: Floats, cuts: int, prices: Floats) -> tuple[bool, int]:
    """Whether the master's prices break a cut or a sign, and the one they break most: i, or -k for m_k >= 0."""
    enter, most, found = 0, 1e-12 * (1.0 + abs(prices[0])), False
    for i in range(cuts):
        gain = right[i]
        for j in range(prices.size):
            gain -= prices[j] * cut[i, j]
        if gain > most:
            enter, most, found = i, gain, True
    for k in range(1, prices.size):
        if -prices[k] > most:
            enter, most, found = -k, -prices[k], True
    return found, enter


@roomy
def _pivot(column: Floats, enter: int, basis: Ints, inverse: Floats, x: Floats) -> bool:
    """Bring a column into the basis; False where it cannot come in."""
    leave, least = -1, np.inf
    for k in range(x.size):
        if column[k] > 1e-12 and x[k] / column[k] < least:
            leave, least = k, x[k] / column[k]
    if leave < 0:
        return False
    inverse[leave] /= column[leave]
    x[leave] /= column[leave]
    for k in range(x.size):
        if k != leave and column[k] != 0.0:
            inverse[k] -= column[k] * inverse[leave]
            x[k] = max(0.0, x[k] - column[k] * x[leave])
    basis[leave] = enter
    return True


@roomy
def _master(
    cut: Floats, right: Floats, cuts: int, basis: Ints, inverse: Floats, x: Floats, prices: Floats
) -> None:
    """prices = (theta, m) of  min rest . m + theta,  theta - g_i . m >= right_i,  m >= 0.

    Its dual, max right . lam with sum lam = 1, -sum lam g <= rest, by the primal simplex, from the basis of the
    round before: cut (cuts, w + 1) holds rows (1, -g_i), basis i for cut i and -k for the slack of m_k, x its
    values, inverse its inverse.
    """
    size = x.size
    column = np.empty(size)
    for _ in range(50 * size):
        prices[:] = 0.0
        for k in range(size):
            if basis[k] >= 0:
                prices += right[basis[k]] * inverse[k]
        found, enter = _entering(cut, right, cuts, prices)
        if not found:
            return
        for k in range(size):
            column[k] = inverse[k, -enter] if enter < 0 else (inverse[k] * cut[enter]).sum()
        if not _pivot(column, enter, basis, inverse, x):
            return


@roomy
def horizon_from(
    p: Walk,
    window: Ints,
    held: Floats,
    first: Floats,
    price: Floats,
    gap: float,
    scratch: Scratch,
    power: Floats,
    stored: Floats,
    best: Floats,
    stall: int,
) -> tuple[int, float, float, int]:
    """Least cost of a short horizon whose windows begin with a peak `held` (w,) that is billed anyway.

    first (w,): caps tried first, at least `held`; the nearer to the best ones, the fewer walks. price (w,) of each
    kW above `held`. Mostly one walk at the peaks held is the optimum; else cuts over the peaks.
    stall: walks without a better one after which the best so far is taken, unproven; WALKS = never.
    Fills best (n,) with the power found; scratch, power, stored are room. Returns -1 or the interval from which
    no walk exists, upper and lower bound of the cost above what the held peaks cost, and the number of walks.
    """
    w, edges, one = held.size, scratch.edges, scratch.one
    edges[0], edges[1] = 0, p.load.size
    rows = np.empty((3, w))
    caps, peaks, by_cap = rows[0], rows[1], rows[2:]
    caps[:], peaks[:] = first, held
    wrong, usd = evaluate(
        p, window, caps, edges, scratch, power, stored, one[0], one[1], one[2], by_cap, peaks
    )
    if wrong >= 0:
        return wrong, 0.0, 0.0, 1
    upper, lower = _with_peaks(usd, held, price, peaks), -np.inf
    floor, enough = _floor(p, held, price, one, by_cap[0])
    best[:] = power
    if enough:
        lower = floor
    if upper - lower <= gap:
        return -1, upper, lower, 1
    return _by_cuts(
        p, window, held, price, gap, scratch, power, stored, best, stall, rows, upper, lower, floor
    )


@bare
def _with_peaks(usd: float, held: Floats, price: Floats, peaks: Floats) -> float:
    """A cost with what peaks cost above those held."""
    for k in range(held.size):
        usd += price[k] * (peaks[k] - held[k])
    return usd


@bare
def _floor(p: Walk, held: Floats, price: Floats, one: Floats, by_cap: Floats) -> tuple[float, bool]:
    """A lower bound at the peaks held, by a walk's cut, and whether it rises with every peak: then it holds at all."""
    slope = one[2, 0] - p.end_value
    floor = one[0, 0] + one[1, 0] * p.start + slope * (p.end_low if slope > 0.0 else p.end_high)
    enough = True
    for k in range(held.size):
        floor += by_cap[k] * held[k]
        enough = enough and price[k] + by_cap[k] >= 0.0
    return floor, enough


@roomy
def _by_cuts(
    p: Walk,
    window: Ints,
    held: Floats,
    price: Floats,
    gap: float,
    scratch: Scratch,
    power: Floats,
    stored: Floats,
    best: Floats,
    stall: int,
    rows: Floats,
    upper: float,
    lower: float,
    floor: float,
) -> tuple[int, float, float, int]:
    """The rest of `horizon_from` after its first walk, which left its slopes by peak in rows[2]."""
    w, one = held.size, scratch.one
    caps, peaks, by_cap = rows[0], rows[1], rows[2:]
    cut, right = np.empty((WALKS, w + 1)), np.empty(WALKS)
    basis, inverse, x, prices = -np.arange(w + 1), np.eye(w + 1), np.empty(w + 1), np.empty(w + 1)
    x[0] = 1.0
    x[1:] = price
    right[1] = floor
    cut[1, 0] = 1.0
    cut[1, 1:] = -by_cap[0]
    caps[:] = 1e12
    cuts, walks, since = 2, 1, 0
    while walks < WALKS - 1 and since < stall:
        walks += 1
        peaks[:] = held
        wrong, usd = evaluate(
            p, window, caps, scratch.edges, scratch, power, stored, one[0], one[1], one[2], by_cap, peaks
        )
        if wrong >= 0:
            return wrong, 0.0, 0.0, walks
        usd = _with_peaks(usd, held, price, peaks)
        if usd < upper - gap:
            since = 0
        elif walks > 2:
            since += 1
        if usd < upper:
            upper = usd
            best[:] = power
        floor, enough = _floor(p, held, price, one, by_cap[0])
        if walks == 2:  # without caps: the cut that the master begins with
            i = 0
        else:
            i, cuts = cuts, cuts + 1
        right[i] = floor
        cut[i, 0] = 1.0
        cut[i, 1:] = -by_cap[0]
        if enough:
            lower = max(lower, floor)
        _master(cut, right, cuts, basis, inverse, x, prices)
        total = prices[0]
        for k in range(w):
            total += price[k] * prices[k + 1]
        lower = max(lower, total)
        if upper - lower <= gap:
            break
        for k in range(w):
            caps[k] = held[k] + prices[k + 1]
    return -1, upper, lower, walks


@roomy
def horizon(
    p: Walk,
    window: Ints,
    held: Floats,
    price: Floats,
    gap: float,
    scratch: Scratch,
    power: Floats,
    stored: Floats,
    best: Floats,
) -> tuple[int, float, float, int]:
    """`horizon_from` the peaks held."""
    return horizon_from(p, window, held, held, price, gap, scratch, power, stored, best, WALKS)
