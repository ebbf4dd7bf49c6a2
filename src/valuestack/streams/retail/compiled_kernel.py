"""Compiled bill: one pass over runs of constant price and window; see compiled.py.

Runs are reduced into cells (a month's peak hours are one cell), so that all else is a few dozen numbers. The
highest power is taken on the bits of the floats: of numbers that are not negative the greater one has the
greater bits, and integers can be compared several at a time where floats, which may be nan, cannot.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

_FAST = {"reassoc", "nsz", "contract"}  # sums may be reordered; nan stays nan


@njit(cache=True, fastmath=_FAST)
def _reduce(net_kw: Floats, bits: Ints) -> tuple[float, float, Any]:
    """Sum, sum of magnitudes, and bits of the highest value above zero, of one run."""
    net, size, top = 0.0, 0.0, np.int64(0)
    for k in range(net_kw.size):
        v = net_kw[k]
        net += v
        size += abs(v)
        top = max(top, bits[k])
    return net, size, top


@njit(cache=True)
def _cells(net_kw: Floats, bits: Ints, first: Ints, cell: Ints, net: Floats, size: Floats, top: Ints) -> None:
    """Every run into its cell."""
    for r in range(cell.size):
        n, s, t = _reduce(net_kw[first[r] : first[r + 1]], bits[first[r] : first[r + 1]])
        c = cell[r]
        net[c] += n
        size[c] += s
        top[c] = max(top[c], t)


@njit(cache=True)
def _blocks(net_kw: Floats, first: Ints, window: Ints, at: int, quantity: Floats) -> None:
    """Highest block mean of what is drawn, into the windows of one payment."""
    for b in range(window.size):
        if window[b] < 0:
            continue
        drawn = 0.0
        for k in range(first[b], first[b + 1]):
            drawn += net_kw[k] if net_kw[k] > 0.0 else 0.0
        mean = drawn / (first[b + 1] - first[b])
        if mean > quantity[at + window[b]]:
            quantity[at + window[b]] = mean


@njit(cache=True)
def _counted(
    drawn: float,
    fed: float,
    top: float,
    window: Ints,
    over_max: Ints,
    flow: Ints,
    first: Ints,
    quantity: Floats,
) -> None:
    """One cell into the windows in which it lies [kW, kWh]."""
    for j in range(over_max.size):
        if window[j] < 0:
            continue
        at = first[j] + window[j]
        if over_max[j]:
            quantity[at] = max(quantity[at], top)
        elif flow[j] == 0:
            quantity[at] += drawn
        elif flow[j] == 1:
            quantity[at] += fed
        else:
            quantity[at] += drawn - fed


@njit(cache=True)
def _floored(quantity: Floats, least: Floats, share: Floats, first: Ints, of: Ints) -> Floats:
    """Billed quantities: at least a contract's, or a share of other windows."""
    billed = quantity.copy()
    for at in range(quantity.size):
        past = 0.0
        for f in range(first[at], first[at + 1]):
            past = max(past, quantity[of[f]])
        billed[at] = max(quantity[at], least[at], share[at] * past)
    return billed


@njit(cache=True)
def _priced(
    at: int, billed: Floats, first: Ints, upto: Floats, hours: Floats, of: Ints, price: Floats
) -> float:
    """Charge of one window over its ladder; a bound may be hours of another window's billed kW."""
    q, low, usd = billed[at], 0.0, 0.0
    for t in range(first[at], first[at + 1]):
        bound = upto[t] if of[t] < 0 else hours[t] * billed[of[t]]
        if bound > low:
            usd += price[t] * max(0.0, min(q, bound) - low)
            low = bound
        if q <= low:
            break
    return usd


@njit(cache=True)
def total(net_kw: Floats, bits: Ints, step_h: float, at: Ints, ints: Ints, floats: Floats) -> float:
    """Charges of all terms [USD]; nan where a window that must not feed in more than it draws does.

    bits: net_kw seen as integers. ints, floats: the arrays of compiled.Program, in its order, one after the
    other; at: where each begins.
    """
    first, cell = ints[at[0] : at[1]], ints[at[1] : at[2]]
    over_max, flow = ints[at[3] : at[4]], ints[at[4] : at[5]]
    payments = over_max.size
    block_first, window_from = ints[at[5] : at[6]], ints[at[7] : at[8]]
    tier_from, tier_of = ints[at[8] : at[9]], ints[at[9] : at[10]]
    floor_from, floor_of = ints[at[10] : at[11]], ints[at[11] : at[12]]
    minimum_from = ints[at[14] : at[15]]
    o = at[16:]
    import_usd, export_usd = floats[o[0] : o[1]], floats[o[1] : o[2]]
    tier_upto, tier_hours, tier_usd = floats[o[2] : o[3]], floats[o[3] : o[4]], floats[o[4] : o[5]]
    floor_least, floor_share = floats[o[5] : o[6]], floats[o[6] : o[7]]
    minimum_usd = floats[o[7] : o[8]]
    cells, blocks, minima = import_usd.size, block_first.size - 1, minimum_from.size - 1
    cell_window = ints[at[2] : at[3]].reshape((cells, payments))
    block_window = ints[at[6] : at[7]].reshape((payments, blocks))
    cell_minimum = ints[at[12] : at[13]].reshape((cells, minima))
    net, size, top = np.zeros(cells), np.zeros(cells), np.zeros(cells, dtype=np.int64)
    _cells(net_kw, bits, first, cell, net, size, top)
    peak = top.view(np.float64)
    usd, charged, quantity = 0.0, np.zeros(minimum_usd.size), np.zeros(window_from[-1])
    for c in range(cells):
        drawn, fed = (size[c] + net[c]) * 0.5 * step_h, (size[c] - net[c]) * 0.5 * step_h
        here = import_usd[c] * drawn + export_usd[c] * fed
        usd += here
        for m in range(minima):
            charged[minimum_from[m] + cell_minimum[c, m]] += here
        _counted(drawn, fed, peak[c], cell_window[c], over_max, flow, window_from, quantity)
    for j in range(payments):
        _blocks(net_kw, block_first, block_window[j], window_from[j], quantity)
        if flow[j] == 3 and not (quantity[window_from[j] : window_from[j + 1]] >= 0.0).all():
            return np.nan
    billed = _floored(quantity, floor_least, floor_share, floor_from, floor_of)
    window_minimum = ints[at[13] : at[14]].reshape((minima, billed.size))
    for w in range(billed.size):
        here = _priced(w, billed, tier_from, tier_upto, tier_hours, tier_of, tier_usd)
        usd += here
        for m in range(minima):
            charged[minimum_from[m] + window_minimum[m, w]] += here
    for m in range(charged.size):
        usd += max(0.0, minimum_usd[m] - charged[m])
    return usd


@njit(cache=True)
def totals(net_kw: Floats, bits: Ints, step_h: float, at: Ints, ints: Ints, floats: Floats) -> Floats:
    """`total` of each row, (m,)."""
    out = np.empty(net_kw.shape[0])
    for i in range(out.size):
        out[i] = total(net_kw[i], bits[i], step_h, at, ints, floats)
    return out
