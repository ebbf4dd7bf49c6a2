"""Compiled threshold policy: levels that the past could have held, when to give way, and one battery's loop.

`limit_now` is the decision; the plain policy and the compiled loop call the very same one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from .arbitrage_kernel import traded_kw
from .clock_kernel import days_back
from .guard_kernel import carried_out, guarded_kw

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

_BISECTIONS = 12  # to a 4,000th of the battery's power
_EXCHANGES = 4  # rounds in which windows trade levels, by a quarter of the power and then half of that
_NEGLIGIBLE_KWH = 1e-6
_REACH_DAYS = 35  # a past day like this one is looked for no further back


@njit(cache=True, error_model="numpy")
def _sets(slots: Bools, slot: Ints, free: Ints) -> Ints:
    """Which windows are open in each interval, (n,), bit f for window f."""
    of = np.zeros((2, slots.shape[2]), np.int64)
    for f in range(slots.shape[0]):
        for day in range(2):
            for s in range(slots.shape[2]):
                if slots[f, day, s]:
                    of[day, s] |= 1 << f
    out = np.empty(slot.size, np.int64)
    for t in range(slot.size):
        out[t] = of[free[t], slot[t]]
    return out


@njit(cache=True, error_model="numpy")
def _holds(level: Floats, base_kw: Floats, opened: Ints, caps: Floats, store: Floats, h: float) -> bool:
    """Whether a store that starts full could have kept every window at its level. opened: see _sets. caps (2^f,): room
    for the lowest level of each set of windows."""
    power_kw, charge_kw, room_kwh, ec, ed = store
    caps[0] = np.inf
    for f in range(level.size):
        for i in range(1 << f):
            caps[(1 << f) + i] = min(caps[i], level[f])
    energy = room_kwh
    for t in range(base_kw.size):
        over = base_kw[t] - caps[opened[t]]
        if over > 0.0:
            if over > power_kw or over * h / ed > energy + 1e-9:
                return False
            energy -= over * h / ed
        else:
            energy = min(room_kwh, energy + min(charge_kw, -over) * ec * h)
    return True


@njit(cache=True)
def _lower(
    level: Floats,
    f: int,
    least: float,
    base_kw: Floats,
    opened: Ints,
    caps: Floats,
    store: Floats,
    h: float,
) -> None:
    """Bring level f down as far as the others, as they stand, allow."""
    low, high = min(least, level[f]), level[f]
    for _ in range(_BISECTIONS):
        level[f] = 0.5 * (low + high)
        if _holds(level, base_kw, opened, caps, store, h):
            high = level[f]
        else:
            low = level[f]
    level[f] = high


@njit(cache=True)
def _exchange(
    best: Floats,
    best_usd: float,
    top: Floats,
    least: Floats,
    order: Ints,
    price: Floats,
    base_kw: Floats,
    opened: Ints,
    caps: Floats,
    store: Floats,
    h: float,
) -> None:
    """Let one level up by a step and all others down as far as they go; what is cheaper is kept in `best`."""
    n, step, level = best.size, 0.25, best.copy()
    for _ in range(_EXCHANGES):
        for up in range(n):
            for down in range(n):
                if up == down:
                    continue
                level[:] = best
                level[up] = min(top[up], level[up] + step * (top[up] - least[up]))
                _lower(level, down, least[down], base_kw, opened, caps, store, h)
                for f in order:
                    if f != down and f != up:
                        _lower(level, f, least[f], base_kw, opened, caps, store, h)
                _lower(level, up, least[up], base_kw, opened, caps, store, h)
                usd = (price * level).sum()
                if usd < best_usd - 1e-9:
                    best_usd, best[:] = usd, level
        step *= 0.5


@njit(cache=True)
def learnt_levels(
    price: Floats,
    slots: Bools,
    base_kw: Floats,
    slot: Ints,
    free: Ints,
    store: Floats,
    h: float,
) -> Floats:
    """Levels (families,) of least cost, price x level, that the store could have held together over the past.

    Each family in turn is served first and the others after it, dearest first; then pairs trade, see `_exchange`.
    """
    n = price.size
    top, opened, caps = np.zeros(n), _sets(slots, slot, free), np.empty(1 << n)
    for t in range(base_kw.size):
        for f in range(n):
            if slots[f, free[t], slot[t]] and base_kw[t] > top[f]:
                top[f] = base_kw[t]
    least, order = np.maximum(top - store[0], 0.0), np.argsort(-price)
    best, best_usd, level = top.copy(), np.inf, top.copy()
    for first in range(n):
        level[:] = top
        _lower(level, first, least[first], base_kw, opened, caps, store, h)
        for f in order:
            if f != first:
                _lower(level, f, least[f], base_kw, opened, caps, store, h)
        usd = (price * level).sum()
        if usd < best_usd:
            best_usd, best[:] = usd, level
    if n > 1:
        _exchange(best, best_usd, top, least, order, price, base_kw, opened, caps, store, h)
    return best


@njit(cache=True)
def _needed_kwh(caps: Floats, least: float, load_kw: Floats, store: Floats, h: float) -> float:
    """Energy that must be in store now to hold max(caps, least) over a day to come (recursion from its end)."""
    power_kw, charge_kw, _, ec, ed = store
    need = 0.0
    for j in range(load_kw.size - 1, -1, -1):
        over = load_kw[j] - max(caps[j], least)
        if over > 0.0:
            need += min(over, power_kw) * h / ed
        else:
            need = max(0.0, need - min(-over, charge_kw) * ec * h)
    return need


@njit(cache=True)
def _days_like_this(
    k: int,
    base_kw: Floats,
    slot: Ints,
    free: Ints,
    days: Floats,
    decay: float,
    hour_steps: int,
    reach_days: int,
) -> int:
    """Fill `days` with the next 24 h as the last days of this kind went on from this clock time, moved by how far
    the last hour lay from theirs, a difference that dies away; returns how many were found. Only what is past is
    read: on the day that the clock is set on, yesterday is not over yet at this time."""
    per_day = days.shape[1]
    found, d = 0, 1
    while found < days.shape[0] and k - d * per_day >= 0 and d <= reach_days:
        then = days_back(k, d, slot, per_day)
        if then >= 0 and then + per_day <= k and free[then] == free[k]:
            off, m = 0.0, 0
            for j in range(hour_steps):
                if then - j >= 0:
                    off += base_kw[k - j] - base_kw[then - j]
                    m += 1
            off /= m
            for j in range(per_day):
                days[found, j] = base_kw[then + j] + off
                off *= decay
            days[found, 0] = base_kw[k]
            found += 1
        d += 1
    return found


@njit(cache=True)
def _short(
    found: int,
    days: Floats,
    caps: Floats,
    least: float,
    energy_kwh: float,
    agree: float,
    store: Floats,
    h: float,
) -> bool:
    """Whether more than the agreed share of the days would empty the store at these caps."""
    empty = 0
    for i in range(found):
        if _needed_kwh(caps, least, days[i], store, h) > energy_kwh + _NEGLIGIBLE_KWH:
            empty += 1
    return empty >= agree * found - 1e-9 and empty > 0


@njit(cache=True)
def _open(
    k: int,
    base_kw: Floats,
    ahead: Ints,
    slots: Bools,
    price: Floats,
    floor_least: Floats,
    floor_share: Floats,
    of_from: Ints,
    of: Ints,
    slot: Ints,
    free: Ints,
    level: Floats,
    peak: Floats,
    begin: int,
    store: Floats,
    h: float,
) -> None:
    """Learn the levels of the windows that are open or come next from the past begin..k-1."""
    n = ahead.shape[0]
    now_slots, now_price = np.zeros((n, 2, slots.shape[2]), np.bool_), np.zeros(n)
    for f in range(n):
        w = ahead[f, k]
        if w >= 0:
            now_slots[f], now_price[f] = slots[w], price[w]
    found = learnt_levels(now_price, now_slots, base_kw[begin:k], slot[begin:k], free[begin:k], store, h)
    for f in range(n):
        w = ahead[f, k]
        if w >= 0:
            level[w] = max(found[f], peak[w], _free_kw(w, floor_least, floor_share, of_from, of, peak))


@njit(cache=True)
def _free_kw(w: int, least: Floats, share: Floats, of_from: Ints, of: Ints, peak: Floats) -> float:
    """What window w is billed whatever happens: a contract minimum, or a share of earlier peaks."""
    past = 0.0
    for j in range(of_from[w], of_from[w + 1]):
        past = max(past, peak[of[j]])
    return float(max(max(least[w], 0.0), share[w] * past))


@njit(cache=True)
def _give_way(
    k: int,
    load_kw: float,
    limit: float,
    energy_kwh: float,
    window: Ints,
    level: Floats,
    found: int,
    caps: Floats,
    days: Floats,
    agree: float,
    store: Floats,
    h: float,
) -> float:
    """The limit raised just so far that the store lasts, at most to the load; the limit itself where it lasts."""
    for j in range(caps.size):
        caps[j] = np.inf
        for f in range(window.shape[0]):
            w = window[f, k + j] if k + j < window.shape[1] else -1
            if w >= 0 and level[w] > -np.inf:
                caps[j] = min(caps[j], level[w])
    if not _short(found, days, caps, limit, energy_kwh, agree, store, h):
        return limit
    low, high = limit, load_kw
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if _short(found, days, caps, middle, energy_kwh, agree, store, h):
            low = middle
        else:
            high = middle
    return high


@njit(cache=True)
def limit_now(
    k: int,
    base_kw: Floats,
    energy_kwh: float,
    window: Ints,
    ahead: Ints,
    slots: Bools,
    price: Floats,
    floor_least: Floats,
    floor_share: Floats,
    of_from: Ints,
    of: Ints,
    slot: Ints,
    free: Ints,
    day: Ints,
    level: Floats,
    peak: Floats,
    learnt: Ints,
    caps: Floats,
    days: Floats,
    store: Floats,
    h: float,
    span: int,
    least_past: int,
    every_days: int,
    agree: float,
    decay: float,
    hour_steps: int,
) -> float:
    """Net load to stay at or below in interval k [kW], inf where no window is open.

    base_kw: (n,) net load without the store, of which 0..k are read. energy_kwh: usable energy in store. level,
    peak: (windows,) state, updated here; learnt: (1,) day on which levels were last learnt, -1 = never.
    """
    begin = max(0, k - span)
    due = learnt[0] < 0 or day[k] - learnt[0] >= every_days
    for f in range(window.shape[0]):
        w = window[f, k]
        due = due or (w >= 0 and level[w] == -np.inf)
    if due and k - begin >= least_past:
        _open(
            k, base_kw, ahead, slots, price, floor_least, floor_share, of_from, of, slot, free,
            level, peak, begin, store, h,
        )  # fmt: skip
        learnt[0] = day[k]
    limit = np.inf
    for f in range(window.shape[0]):
        w = window[f, k]
        if w >= 0:
            if level[w] == -np.inf:  # nothing is known yet: what is drawn at the start is the level
                level[w] = max(base_kw[k], _free_kw(w, floor_least, floor_share, of_from, of, peak))
            limit = min(limit, level[w])
    if learnt[0] < 0 or base_kw[k] <= limit:
        return float(limit)
    found = _days_like_this(k, base_kw, slot, free, days, decay, hour_steps, _REACH_DAYS)
    raised = _give_way(k, base_kw[k], limit, energy_kwh, window, level, found, caps, days, agree, store, h)
    for f in range(window.shape[0]):
        w = window[f, k]
        if w >= 0:
            level[w] = max(level[w], raised)
    return float(raised)


@njit(cache=True)
def wished_kw(
    excess: float, margin: float, energy: float, low: float, high: float, power_kw: float, charge_kw: float,
    ec: float, ed: float, h: float,
) -> float:  # fmt: skip
    """What demand alone asks of a store: serve the excess, recharge below the limit, less a margin."""
    if excess > 0.0:
        return -min(excess, min(max((energy - low) * ed / h, 0.0), power_kw))
    can_in = min(max((high - energy) / (ec * h), 0.0), charge_kw)
    return can_in if excess == -np.inf else min(max(-excess - margin * abs(excess), 0.0), can_in)


@njit(cache=True)
def stretch(
    first: int,
    until: int,
    drawn: Floats,
    base_kw: Floats,
    aux_kw: float,
    window: Ints,
    ahead: Ints,
    slots: Bools,
    price: Floats,
    floor_least: Floats,
    floor_share: Floats,
    of_from: Ints,
    of: Ints,
    slot: Ints,
    free: Ints,
    day: Ints,
    sell: Bools,
    buy: Bools,
    hold: Floats,
    keep: Floats,
    guard_floor: Floats,
    guard_high: Floats,
    most_import: Floats,
    most_export: Floats,
    power_kw: float,
    charge_kw: float,
    low: float,
    high: float,
    energy: float,
    ec: float,
    ed: float,
    h: float,
    span: int,
    least_past: int,
    every_days: int,
    scenarios: int,
    agree: float,
    decay: float,
    hour_steps: int,
    margin: float,
    level: Floats,
    peak: Floats,
    learnt: Ints,
    power: Floats,
    stored: Floats,
) -> int:
    """The loop from `first` up to `until` in one lane: power at the meter with idle draw and energy at interval ends,
    into power and stored, (until - first,) each; returns in how many intervals the guard changed a setpoint. drawn
    (n,): net load with the store at rest, base_kw (n,): without it. level, peak (windows,) and learnt (1,) go on."""
    caps, days = np.zeros(slots.shape[2]), np.zeros((scenarios, slots.shape[2]))
    store = np.array([power_kw, charge_kw, high - low, ec, ed])
    changed = 0
    for k in range(first, until):
        limit = limit_now(
            k, drawn, energy - low, window, ahead, slots, price, floor_least, floor_share, of_from, of, slot,
            free, day, level, peak, learnt, caps, days, store, h, span, least_past, every_days, agree, decay,
            hour_steps,
        )  # fmt: skip
        wish = wished_kw(drawn[k] - limit, margin, energy, low, high, power_kw, charge_kw, ec, ed, h)
        wish = traded_kw(wish, drawn[k], energy, low, keep[k], sell[k], buy[k], hold[k], power_kw, ec, ed, h)
        p = guarded_kw(
            wish, drawn[k], energy, guard_floor[k + 1], guard_high[k + 1], power_kw, charge_kw, ec, ed, h,
            most_import[k], most_export[k],
        )  # fmt: skip
        if abs(p - wish) > 1e-9:
            changed += 1
        p, energy = carried_out(p, energy, low, high, power_kw, charge_kw, ec, ed, h)
        power[k - first], stored[k - first] = p + aux_kw, energy
        net = base_kw[k] + power[k - first]
        for f in range(window.shape[0]):
            w = window[f, k]
            if w >= 0:
                level[w] = max(level[w], net)
                peak[w] = max(peak[w], net)
    return changed


@njit(cache=True)
def closed_loop(
    base_kw: Floats,
    aux_kw: float,
    window: Ints,
    ahead: Ints,
    slots: Bools,
    price: Floats,
    floor_least: Floats,
    floor_share: Floats,
    of_from: Ints,
    of: Ints,
    slot: Ints,
    free: Ints,
    day: Ints,
    sell: Bools,
    buy: Bools,
    hold: Floats,
    keep: Floats,
    guard_floor: Floats,
    guard_high: Floats,
    most_import: Floats,
    most_export: Floats,
    power_kw: float,
    charge_kw: float,
    low: float,
    high: float,
    start: float,
    ec: float,
    ed: float,
    h: float,
    span: int,
    least_past: int,
    every_days: int,
    scenarios: int,
    agree: float,
    decay: float,
    hour_steps: int,
    margin: float,
) -> tuple[Floats, Floats, int]:
    """Power at the meter with idle draw and energy at interval ends of one lane, (n,) each, and in how many
    intervals the guard changed a setpoint. base_kw: without the store."""
    n = base_kw.size
    power, stored = np.zeros(n), np.zeros(n)
    level, peak, learnt = np.full(price.size, -np.inf), np.zeros(price.size), np.full(1, -1, np.int64)
    changed = stretch(
        0, n, base_kw + aux_kw, base_kw, aux_kw, window, ahead, slots, price, floor_least, floor_share, of_from, of,
        slot, free, day, sell, buy, hold, keep, guard_floor, guard_high, most_import, most_export, power_kw, charge_kw,
        low, high, start, ec, ed, h, span, least_past, every_days, scenarios, agree, decay, hour_steps, margin, level,
        peak, learnt, power, stored,
    )  # fmt: skip
    return power, stored, changed
