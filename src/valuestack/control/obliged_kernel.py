"""Compiled plan of a store that has promised: the day ahead at least cost beside what calls and awards ask.

The walk is that of dynamic_kernel.py, with a `Duty` laid over it. An award takes power and energy of the store away,
moves its energy and the meter by its mean call, and lies on top of the billed peak with what that sees. A promised
event caps the net load of its intervals. What cannot be kept gives way in this order: the reserve for days like
this one, the caps of events (each kWh above them then costs what it forfeits), the room of awards.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from ..solve.store_dp_kernel import Walk, bare, horizon_from
from .dynamic_kernel import (
    _FAR,
    Known,
    Public,
    Room,
    _hold,
    _remember,
    _reserve,
    _rows,
    _scenarios,
    _surprise_kwh,
    between,
    near_plan,
    observe,
)
from .guard_kernel import carried_out, guarded_kw

Floats = np.ndarray[Any, np.dtype[np.float64]]


class Duty(NamedTuple):
    """What is promised, over the timeline, (n,) and at boundaries (n + 1,).

    up, down: kW of room kept. need, spare: kWh that stay in store above its least, and free below its most. drift: kW
    at the meter by mean calls and by other assets, called: by mean calls alone. drain: kW that leave the store so.
    expose: kW that the billed peak sees beyond the meter. most: kW of net load at most, by events. fine: USD of each
    kWh above it. pay: USD that another kWh drawn costs beyond the tariff.
    """

    up: Floats
    down: Floats
    need: Floats
    spare: Floats
    drift: Floats
    called: Floats
    drain: Floats
    expose: Floats
    most: Floats
    fine: Floats
    pay: Floats


def duty_of(n: int) -> Duty:
    """Nothing promised over n intervals."""

    def row(size: int = n) -> Floats:
        return np.zeros(size)

    return Duty(
        up=row(),
        down=row(),
        need=row(n + 1),
        spare=row(n + 1),
        drift=row(),
        called=row(),
        drain=row(),
        expose=row(),
        most=np.full(n, np.inf),
        fine=row(),
        pay=row(),
    )


_OVER_KW = 1e-6
STALL = 4  # walks without a better one after which the best so far is taken: mostly the optimum long before cuts say so


@bare
def _lay(k: int, m: int, load: Floats, p: Public, d: Duty, room: Room) -> None:
    """The horizon's load and powers under the duty. load: (m,) net load without the store."""
    for j in range(m):
        t = k + j
        at = load[j] + d.drift[t] + d.expose[t]
        room.load[j] = at
        room.kw_in[j] = max(0.0, p.charge - d.down[t])
        room.kw_out[j] = max(0.0, p.power - d.up[t])
        room.most_in[j] = max(p.most_import[t], at)
        room.most_out[j] = max(p.most_export[t] - d.up[t] - d.expose[t], -at)


@bare
def _walked(
    k: int, m: int, p: Public, known: Known, room: Room, d: Duty, count: int, start: float, soft: int
) -> bool:
    """The least-cost walk into room.best. soft: 0 keeps room.low and every promise, 1 lets the reserve go, 2 the caps
    of events, 3 the room of awards."""
    most_usd = room.price[:count].sum()
    dear = 0.0
    drain = room.drain[:m]
    for j in range(m):
        drain[j] = d.drain[k + j] * p.h  # a walk takes kWh an interval
    if soft >= 3:
        drain = room.zero[:m]
        for j in range(m):
            t = k + j
            room.load[j] -= d.expose[t] + d.called[t]
            room.kw_in[j], room.kw_out[j] = p.charge, p.power
            room.most_in[j] = max(p.most_import[t], room.load[j])
            room.most_out[j] = max(p.most_export[t], -room.load[j], 0.0)
    for j in range(m):
        t = k + j
        if soft < 3 and (d.up[t] > p.power + _OVER_KW or d.down[t] > p.charge + _OVER_KW):
            return False  # more promised than the store can give or take
        room.buy[j] = p.buy[t] + d.pay[t] + p.tilt * j
        room.sell[j] = min(p.sell[t] + d.pay[t], room.buy[j])
        if d.most[t] < _FAR:
            if soft < 2:
                room.most_in[j] = min(room.most_in[j], d.most[t] + d.expose[t])
            else:
                room.most_in[j] = max(p.most_import[t], room.load[j])
                room.buy[j] += d.fine[t]
        dear = max(dear, abs(room.buy[j]))
    for j in range(m + 1):
        t = k + j
        if soft >= 1:
            room.low[j] = p.low
        room.high[j] = p.high
        if soft < 3:  # what days like this one ask for stands above what promises keep
            room.high[j] = p.high - d.spare[t]
            room.low[j] = min(room.low[j] + d.need[t], max(room.high[j], p.low + d.need[t]))
    big = 1.25 * most_usd / p.h + 2.0 * dear / p.ec + p.wear + 1.0
    end = room.low[m] if soft >= 1 else p.low + (0.0 if soft >= 3 else d.need[k + m])
    walk = Walk(
        p.h, room.load[:m], room.buy[:m], room.sell[:m], room.kw_in[:m], room.kw_out[:m], p.ec, p.ed, p.wear, big,
        room.most_in[:m], room.most_out[:m], room.low[: m + 1], room.high[: m + 1], drain, start,
        end, room.high[m], p.value[k], 1e-9 * max(1.0, p.high),
    )  # fmt: skip
    for i in range(count):
        planned = known.planned[room.ids[i]]
        room.first[i] = max(room.held[i], planned) if planned < _FAR else room.held[i]
    wrong, upper, lower, walks = horizon_from(
        walk, room.rows[:, :m], room.held[:count], room.first[:count], room.price[:count],
        1e-6 * max(1.0, most_usd * p.power), room.walk, room.power[:m], room.stored[:m], room.best[:m], STALL,
    )  # fmt: skip
    room.told[1], room.told[2], room.told[3] = walks, upper, lower
    return bool(wrong < 0)


@bare
def cost_ahead(
    k: int, m: int, stored_kwh: float, load: Floats, p: Public, known: Known, room: Room, d: Duty
) -> tuple[float, int]:
    """Least cost of m intervals from k on a load, above what the peaks held cost [USD], and how soft it had to be;
    (inf, 4) where there is no walk at all. The power found stands in room.best."""
    start = min(max(stored_kwh, p.low), p.high)
    _lay(k, m, load, p, d, room)
    count = _rows(p, room, k, m)
    _hold(p, known, room, k, m)
    for soft in range(1, 4):
        if _walked(k, m, p, known, room, d, count, start, soft):
            usd = room.told[2]
            for j in range(m):
                t = k + j
                price = p.buy[t] + d.pay[t] + p.tilt * j
                if soft < 3:  # what only the billed peak sees is no energy
                    usd -= price * d.expose[t] * p.h
                if soft >= 2 and d.most[t] < _FAR:  # what an event forfeits is counted with its pay
                    usd -= d.fine[t] * (room.load[j] + room.best[j]) * p.h
            return usd, soft
    return np.inf, 4


@bare
def rule_ahead(
    k: int, m: int, stored_kwh: float, load: Floats, p: Public, known: Known, room: Room, d: Duty
) -> float:
    """Cost of m intervals from k on where nothing is known ahead: the store serves what exceeds the peaks planned and
    fills below them [USD]. What a walk that knows its day pays less is foresight that no controller has."""
    _lay(k, m, load, p, d, room)
    count = _rows(p, room, k, m)
    _hold(p, known, room, k, m)
    peak = room.first  # as far as the last plan comes
    for i in range(count):
        planned = known.planned[room.ids[i]]
        peak[i] = max(room.held[i], planned) if planned < _FAR else room.held[i]
    at, usd = min(max(stored_kwh, p.low), p.high), 0.0
    for j in range(m):
        t = k + j
        cap = d.most[t] + d.expose[t]
        for f in range(p.window.shape[0]):
            i = room.rows[f, j]
            if i >= 0:
                cap = min(cap, peak[i])
        at = min(max(at - d.drain[t] * p.h, p.low), p.high)
        low = p.low + max(d.need[t], d.need[t + 1])
        high = p.high - max(d.spare[t], d.spare[t + 1])
        over = room.load[j] - cap
        if over > 0.0:
            q = -min(over, room.kw_out[j], max(at - low, 0.0) * p.ed / p.h, room.load[j] + room.most_out[j])
        else:
            q = min(-over, room.kw_in[j], max(high - at, 0.0) / (p.ec * p.h), room.most_in[j] - room.load[j])
        q = q if np.isfinite(q) else 0.0
        at += (q * p.ec if q > 0.0 else q / p.ed) * p.h
        net = room.load[j] + q
        for f in range(p.window.shape[0]):
            i = room.rows[f, j]
            if i >= 0 and net > peak[i]:
                usd += room.price[i] * (net - peak[i])
                peak[i] = net
        metered = net - d.expose[t]
        usd += p.h * (p.buy[t] + d.pay[t] if metered > 0.0 else p.sell[t] + d.pay[t]) * metered
        if q < 0.0:
            usd -= p.h * p.wear * q
    return float(usd - p.value[k] * at)


@njit(cache=True)
def cost_days(
    k: int,
    m: int,
    stored_kwh: float,
    loads: Floats,
    p: Public,
    known: Known,
    room: Room,
    d: Duty,
    power: Floats,
) -> tuple[Floats, int]:
    """`cost_ahead` of each of some loads (s, m), their powers into power (s, m), and how soft the hardest was; it ends
    at the first that cannot hold what is promised."""
    usd, most = np.zeros(loads.shape[0]), 0
    for s in range(loads.shape[0]):
        usd[s], soft = cost_ahead(k, m, stored_kwh, loads[s], p, known, room, d)
        most = max(most, soft)
        if soft >= 3:
            break
        for j in range(m):
            power[s, j] = room.best[j]
    return usd, most


@njit(cache=True)
def rule_days(
    k: int,
    m: int,
    stored_kwh: float,
    loads: Floats,
    most: Floats,
    p: Public,
    known: Known,
    room: Room,
    d: Duty,
) -> Floats:
    """`rule_ahead` of each of some loads (s, m) [USD]. most: (s, m) caps of events on each, (0, m) = none."""
    usd = np.empty(loads.shape[0])
    for s in range(loads.shape[0]):
        for j in range(m):
            d.most[k + j] = most[s, j] if most.shape[0] else np.inf
        usd[s] = rule_ahead(k, m, stored_kwh, loads[s], p, known, room, d)
    for j in range(m):
        d.most[k + j] = np.inf
    return usd


@bare
def shifted_ahead(k: int, m: int, p: Public, known: Known, loads: Floats) -> int:
    """Fill loads (s, m) with the forecast of k and the errors of forecasts that were issued at whatever clock time
    within reach, spread evenly over days and hours; returns how many. A spike comes when it comes: an hour that
    showed none on a few days at its own clock time has not thereby become safe."""
    last, first = k - m, max(p.per_day, k - p.reach_days * p.per_day)
    if last <= first:
        return 0
    step = max(1, (last - first) // loads.shape[0])
    while np.gcd(step, p.per_day) > 1:
        step -= 1
    found = 0
    while found < loads.shape[0] and last - found * step >= first:
        then = last - found * step
        loads[found, 0] = known.issued[k, 0]
        for j in range(1, m):
            loads[found, j] = known.issued[k, j] + known.base[then + j] - known.issued[then, j]
        found += 1
    return found


@bare
def scenarios_ahead(k: int, m: int, p: Public, known: Known, room: Room) -> int:
    """Fill room.days (scenarios, m) with days that may come from k on; returns how many."""
    for j in range(m):
        room.load[j] = known.issued[k, j]
    return int(_scenarios(p, known, room, k, m))


@bare
def decide_promised(k: int, stored_kwh: float, p: Public, known: Known, room: Room, d: Duty) -> float:
    """The setpoint of interval k [kW, load sign], beside which the mean calls of awards come."""
    if 0 <= known.since[0] < k < known.since[0] + p.each:
        at = known.issued[k, 0] + d.drift[k] + d.expose[k]
        charge, power = max(0.0, p.charge - d.down[k]), max(0.0, p.power - d.up[k])
        wish = between(k, at, charge, power, d.most[k] + d.expose[k], p, known)
        if near_plan(k, at, wish, p, known):
            return wish
    m = min(p.steps, p.window.shape[1] - k)
    start = min(max(stored_kwh, p.low), p.high)
    _lay(k, m, known.issued[k], p, d, room)
    count = _rows(p, room, k, m)
    _hold(p, known, room, k, m)
    events = False
    for j in range(m):
        events = events or d.most[k + j] < _FAR
    found = _scenarios(p, known, room, k, m) if (count or events) and p.scenarios else 0
    room.told[0] = 0.0
    room.told[4] = 0.0  # how soft the walk had to be
    done = False
    if found:
        for j in range(m):
            room.caps[j] = d.most[k + j] + d.expose[k + j]
            for f in range(p.window.shape[0]):
                i = room.rows[f, j]
                if i >= 0:
                    room.caps[j] = min(room.caps[j], max(room.held[i], known.planned[room.ids[i]]))
        room.told[0] = _reserve(
            p, room, m, found, p.cover, max(0.0, start - p.low - d.need[k]), _surprise_kwh(p, known, k)
        )
        done = _walked(k, m, p, known, room, d, count, start, 0)
    for soft in range(1, 4):
        if not done:
            done = _walked(k, m, p, known, room, d, count, start, soft)
            room.told[4] = soft
    _remember(p, known, room, k, m, count, done)
    return float(room.best[0]) if done else 0.0


@njit(cache=True, error_model="numpy")
def stretch(
    first: int,
    until: int,
    before_kw: float,
    without_kw: Floats,
    aux_kw: float,
    start_kwh: float,
    p: Public,
    known: Known,
    room: Room,
    d: Duty,
    guard_floor: Floats,
    guard_high: Floats,
    most_import: Floats,
    most_export: Floats,
) -> tuple[Floats, Floats, int]:
    """The loop from `first` up to `until` where nobody calls: power at the meter with idle draw and energy at interval
    ends, (until - first,) each, and in how many intervals the guard changed a setpoint. before_kw: metered in the
    interval before; guard_floor, guard_high: (n + 1,) of the guard. known.base and known.issued are filled; each
    decision reads them up to its own interval."""
    h, ec, ed, energy, changed = p.h, p.ec, p.ed, start_kwh, 0
    power, stored = np.zeros(until - first), np.zeros(until - first)
    observe(first - 1, before_kw, p, known)
    for k in range(first, until):
        wish = decide_promised(k, energy, p, known, room, d)
        q = guarded_kw(
            wish, known.base[k], energy, guard_floor[k + 1], guard_high[k + 1], p.power, p.charge, ec, ed, h,
            most_import[k], most_export[k],
        )  # fmt: skip
        if abs(q - wish) > 1e-9:
            changed += 1
        q, energy = carried_out(q, energy, p.low, p.high, p.power, p.charge, ec, ed, h)
        power[k - first], stored[k - first] = q + aux_kw, energy
        observe(k, without_kw[k] + power[k - first], p, known)
    return power, stored, changed
