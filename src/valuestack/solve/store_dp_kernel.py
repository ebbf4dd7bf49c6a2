"""Compiled slope-trick dynamic programme of one store; see store_dp.py for the method. Imported lazily.

The cost-to-go is a convex piecewise linear function of the stored energy, kept as ascending (slope, length)
pairs on a domain. One step is an infimal convolution with the step's own convex pieces, a sorted merge.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

PIECES = 4  # an interval's net load bends at 0, at the cap and at the load alone
SLOPE_EPS = 1e-12
WALKS = 200


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
    each interval; least and greatest change and the cost at the least (n,); marginal values (n,)."""

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


def scratch_of(n: int) -> Scratch:
    """Room for a walk of n intervals."""
    slope, length, levels = (np.empty(n * PIECES) for _ in range(3))
    least, most, usd, y_low, y_high, y = (np.empty(n) for _ in range(6))
    first = np.empty(n + 1, dtype=np.int64)
    return Scratch(slope, length, levels, first, least, most, usd, y_low, y_high, y)


@njit(cache=True, error_model="numpy")
def _side(
    begin: float,
    end: float,
    cap: float,
    buy: float,
    sell: float,
    big: float,
    worth: float,
    less: float,
    energy: float,
    slope: Floats,
    length: Floats,
    count: int,
) -> int:
    """Pieces of net load from `begin` to `end`: sell | buy at 0, buy | buy + big at the cap.

    worth: kWh at the meter per kWh stored; less: wear taken off the price; energy: kWh stored per kW of net.
    """
    at = begin
    if at < 0.0 and at < end:
        top = min(end, 0.0)
        slope[count], length[count] = (sell - less) * worth, (top - at) * energy
        count += 1
        at = top
    if at < cap and at < end:
        top = min(end, cap)
        slope[count], length[count] = (buy - less) * worth, (top - at) * energy
        count += 1
        at = top
    if at < end:
        slope[count], length[count] = (buy + big - less) * worth, (end - at) * energy
        count += 1
    return count


@njit(cache=True, error_model="numpy")
def _lay(p: Walk, cap: Floats, scratch: Scratch) -> int:
    """The pieces of every interval; OK (-1), or the first interval in which no power is allowed."""
    load, buy, sell, charge, discharge = p.load, p.buy, p.sell, p.charge, p.discharge
    most_import, most_export = p.most_import, p.most_export
    h, ec, ed, wear, big = p.h, p.ec, p.ed, p.wear, p.big
    slope, length, first = scratch.slope, scratch.length, scratch.first
    least, most, usd = scratch.least, scratch.most, scratch.usd
    into, out, per_kw = h * ec, h / ed, 1.0 / ec
    count = 0
    first[0] = 0
    for t in range(load.size):
        at, limit, price, gain = load[t], cap[t], buy[t], sell[t]
        low_net, high_net = at - discharge[t], at + charge[t]
        if low_net < -most_export[t]:
            low_net = -most_export[t]
        if high_net > most_import[t]:
            high_net = most_import[t]
        if low_net > high_net:
            if low_net > high_net + 1e-9 * max(1.0, abs(low_net)):
                return t
            low_net = high_net
        cost = h * (price * low_net if low_net > 0.0 else gain * low_net)
        if low_net > limit:
            cost += h * big * (low_net - limit)
        if low_net < at:
            count = _side(
                low_net, min(at, high_net), limit, price, gain, big, ed, wear, out, slope, length, count
            )
            x = (low_net - at) * out
            cost += h * wear * (at - low_net)
        else:
            x = (low_net - at) * into
        if high_net > at:
            begin = max(at, low_net)
            count = _side(begin, high_net, limit, price, gain, big, per_kw, 0.0, into, slope, length, count)
        first[t + 1], least[t], usd[t] = count, x, cost
        for k in range(first[t], count):
            x += length[k]
        most[t] = x
    return -1


@njit(cache=True, error_model="numpy")
def _merge(
    s_old: Floats,
    l_old: Floats,
    m: int,
    slope: Floats,
    length: Floats,
    first: int,
    end: int,
    s_new: Floats,
    l_new: Floats,
) -> int:
    """Infimal convolution: the cost-to-go's pieces and the step's own, mirrored, in one ascending list."""
    i, k, size = 0, end - 1, 0
    while i < m or k >= first:
        if k < first or (i < m and s_old[i] <= -slope[k]):
            s, ln = s_old[i], l_old[i]
            i += 1
        else:
            s, ln = -slope[k], length[k]
            k -= 1
        if size > 0 and s - s_new[size - 1] <= SLOPE_EPS:
            l_new[size - 1] += ln
        else:
            s_new[size], l_new[size] = s, ln
            size += 1
    return size


@njit(cache=True, error_model="numpy")
def _clip(
    s_new: Floats,
    l_new: Floats,
    size: int,
    left: float,
    right: float,
    lo: float,
    hi: float,
    s_old: Floats,
    l_old: Floats,
) -> tuple[int, float, float]:
    """Cut the domain [left, right] to [lo, hi]; the pieces that stay go to the old buffers."""
    i, j = 0, size
    if lo > left:
        cut, left = lo - left, lo
        while i < size and l_new[i] <= cut:
            cut -= l_new[i]
            i += 1
        if i < size:
            l_new[i] -= cut
    if right > hi:
        cut, right = right - hi, hi
        while j > i and l_new[j - 1] <= cut:
            cut -= l_new[j - 1]
            j -= 1
        if j > i:
            l_new[j - 1] -= cut
    for q in range(i, j):
        s_old[q - i], l_old[q - i] = s_new[q], l_new[q]
    return j - i, left, max(left, right)


@njit(cache=True, error_model="numpy")
def _backward(p: Walk, scratch: Scratch, levels: Floats) -> int:
    """Base-stock levels of every step and piece; -1, or the interval before which no path exists. Of equally cheap
    walks the one is meant that has most in store at every time."""
    low, high, drain, eps = p.low, p.high, p.drain, p.energy_eps
    slope, length, first = scratch.slope, scratch.length, scratch.first
    least, most = scratch.least, scratch.most
    room = 512
    s_old, l_old, s_new, l_new = np.empty(room), np.empty(room), np.empty(room), np.empty(room)
    left, right = p.end_low, p.end_high
    if left > right:
        return p.load.size
    s_old[0], l_old[0] = -p.end_value, right - left
    m = 1 if right > left else 0
    for t in range(p.load.size - 1, -1, -1):
        # Where the marginal cost-to-go passes each piece's slope.
        j, at = 0, left
        for k in range(first[t + 1] - 1, first[t] - 1, -1):
            edge = -slope[k] + SLOPE_EPS
            while j < m and s_old[j] < edge:
                at += l_old[j]
                j += 1
            levels[k] = at
        if m + PIECES > room:
            room *= 4
            s_more, l_more = np.empty(room), np.empty(room)
            s_more[:m], l_more[:m] = s_old[:m], l_old[:m]
            s_old, l_old, s_new, l_new = s_more, l_more, np.empty(room), np.empty(room)
        m = _merge(s_old, l_old, m, slope, length, first[t], first[t + 1], s_new, l_new)
        # The drain leaves whatever is decided: e' = e + x - drain.
        left, right = left - most[t] + drain[t], right - least[t] + drain[t]
        lo, hi = (p.start, p.start) if t == 0 else (low[t], high[t])
        if left > hi + eps or right < lo - eps or lo > hi:
            return t
        m, left, right = _clip(s_new, l_new, m, left, right, lo, hi, s_old, l_old)
    return -1


@njit(cache=True, error_model="numpy")
def _forward(
    p: Walk, scratch: Scratch, levels: Floats, power: Floats, stored: Floats, y_low: Floats, y_high: Floats
) -> float:
    """The path, its cost without overflow, and per step the marginal values for which it is optimal."""
    load, buy, sell = p.load, p.buy, p.sell
    low, high, drain = p.low, p.high, p.drain
    h, ec, ed, wear, eps = p.h, p.ec, p.ed, p.wear, p.energy_eps
    slope, length, first = scratch.slope, scratch.length, scratch.first
    least, most = scratch.least, scratch.most
    n, cost, energy = load.size, 0.0, p.start
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
        q = x / (ec * h) if x > 0.0 else x * ed / h
        net = load[t] + q
        cost += h * (buy[t] * net if net > 0.0 else sell[t] * net)
        if q < 0.0:
            cost -= h * wear * q
        power[t], stored[t], y_low[t], y_high[t] = q, after, below, above
        energy = after
    return cost


@njit(cache=True, error_model="numpy")
def _inside(low: float, high: float, wish: float) -> float:
    """The number of [low, high] nearest to a wish."""
    if low > high:
        return 0.5 * (low + high)
    return min(max(wish, low), high)


@njit(cache=True, error_model="numpy")
def _values(p: Walk, stored: Floats, y_low: Floats, y_high: Floats, y: Floats) -> None:
    """One consistent path of marginal values of energy: constant, but rising over a full store and falling over
    an empty one. y_low, y_high are narrowed on the way."""
    n, eps, low, high = stored.size, p.energy_eps, p.low, p.high
    a, b = y_low[0], y_high[0]
    for t in range(1, n):
        if stored[t - 1] >= high[t] - eps:
            b = np.inf
        if stored[t - 1] <= low[t] + eps:
            a = -np.inf
        a, b = max(a, y_low[t]), min(b, y_high[t])
        if a > b:
            a = b = 0.5 * (a + b)
        y_low[t], y_high[t] = a, b
    later = p.end_value
    for t in range(n - 1, -1, -1):
        lo, hi = (low[t + 1], high[t + 1]) if t < n - 1 else (p.end_low, p.end_high)
        full, empty = stored[t] >= hi - eps, stored[t] <= lo + eps
        a, b = y_low[t], y_high[t]
        if full and not empty:
            b = min(b, later)
        elif empty and not full:
            a = max(a, later)
        later = _inside(a, b, later)
        y[t] = later


@njit(cache=True, error_model="numpy")
def _bounds(
    p: Walk, cap: Floats, binding: Ints, scratch: Scratch, y: Floats, a: int, b: int, by_cap: Floats
) -> float:
    """Least of a stretch's cost less what y pays for the energy stored, at all caps 0 by its slopes by_cap (w,).

    Each interval by itself: the least over its change x of cost(x, cap) - y (x - drain), and over the energy
    held at each boundary of (y before - y after) e; so it is a lower bound whatever y may be.
    """
    load, buy, charge, discharge = p.load, p.buy, p.charge, p.discharge
    most_import, most_export, low, high, drain = p.most_import, p.most_export, p.low, p.high, p.drain
    h, ec, ed, wear, big = p.h, p.ec, p.ed, p.wear, p.big
    slope, length, first = scratch.slope, scratch.length, scratch.first
    least, usd = scratch.least, scratch.usd
    total = 0.0
    for t in range(a, b):
        v = y[t]
        total += usd[t] - v * (least[t] - drain[t])
        for k in range(first[t], first[t + 1]):
            if slope[k] >= v:
                break
            total += (slope[k] - v) * length[k]
        if t > a:
            step = y[t - 1] - v
            total += step * (low[t] if step > 0.0 else high[t])
        w, limit = binding[t], cap[t]
        if w < 0:
            continue
        if limit < max(load[t] - discharge[t], -most_export[t]):
            g = -big
        elif limit >= min(load[t] + charge[t], most_import[t]):
            continue
        else:
            # The least overflow price at which the value of energy does not ask for more than the cap.
            over = v * ec - buy[t] if limit >= load[t] else v / ed + wear - buy[t]
            g = -min(max(over, 0.0), big)
        if g != 0.0:
            by_cap[w] += g * h
            total -= g * h * limit
    return total


@njit(cache=True, error_model="numpy")
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
    n, families = p.load.size, window.shape[0]
    cap, binding = np.full(n, 1e15), np.full(n, -1)
    for f in range(families):
        for t in range(n):
            w = window[f, t]
            if w >= 0 and caps[w] < cap[t]:
                cap[t], binding[t] = caps[w], w
    wrong = _lay(p, cap, scratch)
    if wrong >= 0:
        return wrong, 0.0
    levels, y_low, y_high, y = scratch.levels, scratch.y_low, scratch.y_high, scratch.y
    wrong = _backward(p, scratch, levels)
    if wrong >= 0:
        return wrong, 0.0
    cost = _forward(p, scratch, levels, power, stored, y_low, y_high) - p.end_value * stored[n - 1]
    _values(p, stored, y_low, y_high, y)
    load = p.load
    for f in range(families):
        for t in range(n):
            w = window[f, t]
            if w >= 0:
                peaks[w] = max(peaks[w], load[t] + power[t])
    by_cap[:] = 0.0
    for m in range(edges.size - 1):
        a, b = edges[m], edges[m + 1]
        constant[m] = _bounds(p, cap, binding, scratch, y, a, b, by_cap[m])
        by_start[m], by_end[m] = -y[a], y[b - 1]
    return -1, cost


@njit(cache=True, error_model="numpy")
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


@njit(cache=True, error_model="numpy")
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


@njit(cache=True, error_model="numpy")
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


@njit(cache=True, error_model="numpy")
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
    w, n = held.size, p.load.size
    edges = np.array([0, n])
    constant, by_start, by_end, by_cap = np.empty(1), np.empty(1), np.empty(1), np.empty((1, w))
    caps, peaks = first.copy(), np.empty(w)
    cut, right = np.empty((WALKS, w + 1)), np.empty(WALKS)
    basis, inverse, x, prices = -np.arange(w + 1), np.eye(w + 1), np.empty(w + 1), np.empty(w + 1)
    x[0] = 1.0
    x[1:] = price
    upper, lower, cuts, walks, since = np.inf, -np.inf, 1, 0, 0
    while walks < WALKS - 1 and since < stall:
        walks += 1
        peaks[:] = held
        wrong, usd = evaluate(
            p, window, caps, edges, scratch, power, stored, constant, by_start, by_end, by_cap, peaks
        )
        if wrong >= 0:
            return wrong, 0.0, 0.0, walks
        for k in range(w):
            usd += price[k] * (peaks[k] - held[k])
        if usd < upper - gap:
            since = 0
        elif walks > 2:
            since += 1
        if usd < upper:
            upper = usd
            best[:] = power
        slope = by_end[0] - p.end_value
        floor = constant[0] + by_start[0] * p.start + slope * (p.end_low if slope > 0.0 else p.end_high)
        enough = True
        for k in range(w):
            floor += by_cap[0, k] * held[k]
            enough = enough and price[k] + by_cap[0, k] >= 0.0
        if walks == 2:  # without caps: the cut that the master begins with
            i = 0
        else:
            i, cuts = cuts, cuts + 1
        right[i] = floor
        cut[i, 0] = 1.0
        cut[i, 1:] = -by_cap[0]
        if enough:
            lower = max(lower, floor)
        if walks > 1:
            _master(cut, right, cuts, basis, inverse, x, prices)
            total = prices[0]
            for k in range(w):
                total += price[k] * prices[k + 1]
            lower = max(lower, total)
        if upper - lower <= gap:
            break
        for k in range(w):
            caps[k] = 1e12 if walks == 1 else held[k] + prices[k + 1]
    return -1, upper, lower, walks


@njit(cache=True, error_model="numpy")
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
