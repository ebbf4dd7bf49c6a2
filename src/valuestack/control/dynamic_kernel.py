"""Compiled dynamic optimisation: what is done now, and one store's closed loop. See dynamic.py for the method.

`decide_now` is the decision; the plain policy and the compiled loop call the very same one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from ..solve.store_dp_kernel import WALKS, Scratch, Walk, bare, bare_numbers, horizon_from, roomy
from .clock_kernel import days_back
from .guard_kernel import carried_out, guarded_kw

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

_FAR = 1e12


class Public(NamedTuple):
    """What is public before the first interval; see demand.Windows for the windows.

    buy, sell, most_import, most_export (n,). value (n,): worth of a kWh left in store at a horizon's end. steps of
    the horizon, intervals a day; each: intervals from a plan to the next, off: kW by which the load may be off the
    plan's until then; scenarios, and the days looked back for them; cover: share of them reserved for,
    surprises: what is reserved beyond what they ask for, see _surprise_kwh; tilt: what a later charge costs more, per
    interval.
    """

    h: float
    window: Ints
    ahead: Ints
    price: Floats
    least: Floats
    share: Floats
    of_from: Ints
    of: Ints
    slot: Ints
    free: Ints
    buy: Floats
    sell: Floats
    value: Floats
    most_import: Floats
    most_export: Floats
    power: float
    charge: float
    low: float
    high: float
    ec: float
    ed: float
    wear: float
    steps: int
    per_day: int
    each: int
    off: float
    scenarios: int
    reach_days: int
    cover: float
    surprises: float
    tilt: float


class Known(NamedTuple):
    """What one lane has learnt: base (n,) net load without the store, issued (n, steps) forecasts as they were
    made, peak (w,) of each window. Of the last plan: planned (w,) peaks; plan (2, steps) setpoints and net load [kW];
    since (1,) the interval it was made in, below 0 = plan anew."""

    base: Floats
    issued: Floats
    peak: Floats
    planned: Floats
    plan: Floats
    since: Ints


class Room(NamedTuple):
    """Scratch space of one lane's decisions, and `told`: the energy that days alike ask for, walks, bounds,
    windows."""

    walk: Scratch
    power: Floats
    stored: Floats
    best: Floats
    load: Floats
    buy: Floats
    rows: Ints
    ids: Ints
    low: Floats
    high: Floats
    zero: Floats
    kw_in: Floats
    kw_out: Floats
    most_in: Floats
    most_out: Floats
    sell: Floats
    drain: Floats
    caps: Floats
    days: Floats
    needs: Floats
    worst: Floats
    told: Floats
    held: Floats
    first: Floats
    price: Floats


def room_of(steps: int, families: int, windows: int, scenarios: int) -> Room:
    """Scratch space."""
    from ..solve.store_dp_kernel import scratch_of

    def row(n: int = steps) -> Floats:
        return np.zeros(n)

    at_most = max(1, windows)
    return Room(
        walk=scratch_of(steps),
        power=row(),
        stored=row(),
        best=row(),
        load=row(),
        buy=row(),
        rows=np.zeros((families, steps), np.int64),
        ids=np.zeros(at_most, np.int64),
        low=row(steps + 1),
        high=row(steps + 1),
        zero=row(),
        kw_in=row(),
        kw_out=row(),
        most_in=row(),
        most_out=row(),
        sell=row(),
        drain=row(),
        caps=row(),
        days=np.zeros((steps, scenarios)).T,  # side by side in memory: all days are worked out at once
        needs=np.zeros((steps + 1, scenarios)),
        worst=row(scenarios),
        told=row(5),
        held=row(at_most),
        first=row(at_most),
        price=row(at_most),
    )


@bare
def _free_kw(w: int, p: Public, peak: Floats) -> float:
    """What window w is billed whatever happens: its peak so far, a contract minimum, a share of earlier peaks."""
    past = 0.0
    for j in range(p.of_from[w], p.of_from[w + 1]):
        past = max(past, peak[p.of[j]])
    return float(max(peak[w], p.least[w], p.share[w] * past, 0.0))


# --- the day ahead as it may go ---------------------------------------------------------------------------


@bare
def _scenarios(p: Public, known: Known, room: Room, k: int, m: int) -> int:
    """Fill room.days with forecast + error of past days of this kind at this clock time, a row each; returns how
    many."""
    per_day = p.per_day
    found, d = 0, 1
    while found < p.scenarios and d <= p.reach_days:
        then = days_back(k, d, p.slot, per_day)
        if then < per_day:
            break
        if p.free[then] == p.free[k] and then + m <= k:
            row = known.issued[then]
            room.days[found, 0] = room.load[0]
            for j in range(1, m):
                room.days[found, j] = room.load[j] + known.base[then + j] - row[j]
            found += 1
        d += 1
    return found


@bare
def _needed_kwh(room: Room, found: int, m: int, p: Public) -> None:
    """Fill room.needs (m + 1, found) with the energy above the floor that must be in store at each boundary to hold
    room.caps on each of room.days, room.worst (found,) with the most of it. What exceeds the power cannot be held and
    is not asked for."""
    days, needs, worst = room.days, room.needs, room.worst
    power, charge, h, ec, ed = p.power, p.charge, p.h, p.ec, p.ed
    for s in range(found):
        needs[m, s], worst[s] = 0.0, 0.0
    for j in range(m - 1, -1, -1):
        cap = room.caps[j]
        for s in range(found):
            over = days[s, j] - cap
            # Both sides of the cap in one line of arithmetic: all days are worked out side by side.
            step = min(over, power) * h / ed if over > 0.0 else -min(-over, charge) * ec * h
            at = max(0.0, needs[j + 1, s] + step)
            needs[j, s] = at
            worst[s] = max(worst[s], at)


# --- now --------------------------------------------------------------------------------------------------


@bare
def _rows(p: Public, room: Room, k: int, m: int) -> int:
    """Windows of the horizon numbered anew, with their prices; returns how many."""
    count = 0
    for f in range(p.window.shape[0]):
        last = -1
        for j in range(m):
            w = p.window[f, k + j]
            if w < 0:
                room.rows[f, j] = -1
                continue
            if last < 0 or room.ids[last] != w:
                last = count
                room.ids[count], room.price[count] = w, p.price[w]
                count += 1
            room.rows[f, j] = last
    return count


@bare
def _hold(p: Public, known: Known, room: Room, k: int, m: int) -> None:
    """What each window of the horizon is billed anyway; the next cycle will see as much as this one has."""
    for f in range(p.window.shape[0]):
        now = p.ahead[f, k]
        for j in range(m):
            i = room.rows[f, j]
            if i >= 0 and (j == 0 or room.rows[f, j - 1] != i):
                w = room.ids[i]
                room.held[i] = _free_kw(w, p, known.peak)
                if w != now and now >= 0:
                    room.held[i] = max(room.held[i], _free_kw(now, p, known.peak))


@bare_numbers
def _most(needs: Floats, found: int, m: int, low: Floats) -> None:
    """Fill low (m + 1,) with the most of each row of needs, at least 0."""
    for j in range(m + 1):
        at = 0.0
        for s in range(found):
            at = max(at, needs[j, s])
        low[j] = at


@roomy
def _most_of_least(needs: Floats, worst: Floats, found: int, kept: int, m: int, low: Floats) -> None:
    """The same of the `kept` days that ask for least."""
    order = np.argsort(worst[:found])
    for j in range(m + 1):
        at = 0.0
        for i in range(kept):
            at = max(at, needs[j, order[i]])
        low[j] = at


@bare
def _surprise_kwh(p: Public, known: Known, k: int) -> float:
    """Energy for what the load may spring in one interval: `surprises` times the root mean square of what it came above
    its forecast of the interval before, over the last week, at most at full power [kWh]. Days alike show surprises at
    their clock time; the next one comes when it comes."""
    first = max(1, k - 7 * p.per_day)
    if p.surprises <= 0.0 or k <= first:
        return 0.0
    total = 0.0
    for t in range(first, k):
        over = known.base[t] - known.issued[t - 1, 1]
        if over > 0.0:
            total += over * over
    return float(min(p.surprises * np.sqrt(total / (k - first)), p.power) * p.h / p.ed)


@bare
def _reserve(p: Public, room: Room, m: int, found: int, cover: float, energy: float, more: float) -> float:
    """Fill room.low: least energy by interval for the share `cover` of the scenarios at room.caps, the worst left
    out, and `more` where they ask for any, as far as the caps let it be reached. Returns what they ask for now."""
    low, needs = room.low, room.needs
    _needed_kwh(room, found, m, p)
    kept = int(np.ceil(cover * found))
    if kept == found:
        _most(needs, found, m, low)
    else:
        _most_of_least(needs, room.worst, found, kept, m, low)
    at, span, asked = energy, p.high - p.low, low[0]
    for j in range(m + 1):
        if low[j] > 0.0:
            low[j] += more
    for j in range(m):
        over = room.load[j] - room.caps[j]
        most = min(p.charge, room.most_in[j] - room.load[j])
        if over > 0.0:
            at -= min(over, p.power) * p.h / p.ed
        else:
            at += max(0.0, min(-over, most)) * p.ec * p.h
        at = min(max(at, 0.0), span)
        low[j + 1] = p.low + min(low[j + 1], at) - 1e-9 * span
    for j in range(m + 1):
        low[j] = max(low[j], p.low)
    low[0] = p.low
    return float(asked)


@bare
def walk_of(p: Public, room: Room, k: int, m: int, count: int, energy: float) -> Walk:
    """The horizon as the plan sees it, of `count` windows; buying and selling prices are laid into room."""
    most = room.price[:count].sum()
    dear = 0.0
    for j in range(m):
        room.buy[j] = p.buy[k + j] + p.tilt * j
        room.sell[j] = min(p.sell[k + j], room.buy[j])
        dear = max(dear, abs(room.buy[j]))
    big = 1.25 * most / p.h + 2.0 * dear / p.ec + p.wear + 1.0
    return Walk(
        p.h, room.load[:m], room.buy[:m], room.sell[:m], room.kw_in[:m], room.kw_out[:m], p.ec, p.ed, p.wear, big,
        room.most_in[:m], room.most_out[:m], room.low[: m + 1], room.high[: m + 1], room.zero[:m], energy + p.low,
        p.low, p.high, p.value[k], 1e-9 * max(1.0, p.high),
    )  # fmt: skip


@bare
def _plan(p: Public, known: Known, room: Room, k: int, m: int, count: int, energy: float) -> bool:
    """The least-cost walk of the horizon into room.best; False where there is none."""
    walk, held, price = walk_of(p, room, k, m, count, energy), room.held, room.price
    for i in range(count):
        planned = known.planned[room.ids[i]]
        room.first[i] = max(held[i], planned) if planned < _FAR else held[i]
    gap = 1e-8 * max(1.0, price[:count].sum() * p.power)
    wrong, upper, lower, walks = horizon_from(
        walk, room.rows[:, :m], held[:count], room.first[:count], price[:count], gap, room.walk, room.power[:m],
        room.stored[:m], room.best[:m], WALKS,
    )  # fmt: skip
    room.told[1], room.told[2], room.told[3], room.told[4] = walks, upper, lower, count
    return bool(wrong < 0)


@bare
def decide_now(k: int, stored_kwh: float, p: Public, known: Known, room: Room) -> float:
    """The setpoint of interval k [kW, load sign]. known.base is read up to k, known.issued up to row k."""
    if 0 <= known.since[0] < k < known.since[0] + p.each:
        wish = between(k, known.issued[k, 0], p.charge, p.power, np.inf, p, known)
        if near_plan(k, known.issued[k, 0], wish, p, known):
            return wish
    m = min(p.steps, p.window.shape[1] - k)
    energy = min(max(stored_kwh - p.low, 0.0), p.high - p.low)
    for j in range(m):
        load = known.issued[k, j]
        room.load[j] = load
        room.kw_in[j], room.kw_out[j] = p.charge, p.power
        room.most_in[j] = max(p.most_import[k + j], load)
        room.most_out[j] = max(p.most_export[k + j], -load, 0.0)
        room.low[j], room.high[j] = p.low, p.high
    room.low[m], room.high[m] = p.low, p.high
    count = _rows(p, room, k, m)
    _hold(p, known, room, k, m)
    found = _scenarios(p, known, room, k, m) if count and p.scenarios else 0
    room.told[0] = 0.0
    if found:
        for j in range(m):
            room.caps[j] = np.inf
            for f in range(p.window.shape[0]):
                i = room.rows[f, j]
                if i >= 0:
                    room.caps[j] = min(room.caps[j], max(room.held[i], known.planned[room.ids[i]]))
        room.told[0] = _reserve(p, room, m, found, p.cover, energy, _surprise_kwh(p, known, k))
    done = _plan(p, known, room, k, m, count, energy)
    if found and not done:
        for j in range(m + 1):
            room.low[j] = p.low
        done = _plan(p, known, room, k, m, count, energy)
    _remember(p, known, room, k, m, count, done)
    return float(room.best[0]) if done else 0.0


@bare
def between(k: int, load: float, charge: float, power: float, most: float, p: Public, known: Known) -> float:
    """The setpoint of interval k by the last plan, for the load that came [kW]: what was planned to hold a peak holds
    it, neither more nor less, what fills the store up to one does; everything else goes as planned, below the peaks.
    charge, power: the store's, most: of net load [kW]."""
    j = k - known.since[0]
    cap = most
    for f in range(p.window.shape[0]):
        w = p.window[f, k]
        if w >= 0:
            cap = min(cap, max(_free_kw(w, p, known.peak), known.planned[w]))
    wish, room = known.plan[0, j], cap - load
    if known.plan[1, j] > cap - 1e-6 * max(1.0, abs(cap)):
        wish = room if wish > 0.0 else min(room, 0.0)
    return float(min(max(min(wish, room), -power), charge))


@bare
def near_plan(k: int, load: float, wish: float, p: Public, known: Known) -> bool:
    """Whether the last plan still fits: load as forecast, and what holds a peak no other than planned, tenfold."""
    j = k - known.since[0]
    came = load - (known.plan[1, j] - known.plan[0, j])
    return bool(abs(came) < p.off and abs(wish - known.plan[0, j]) < 0.1 * p.off)


@bare
def _remember(p: Public, known: Known, room: Room, k: int, m: int, count: int, done: bool) -> None:
    """The plan, for the intervals up to the next one, and the peaks that it comes to, for the reserve."""
    for i in range(count):
        known.planned[room.ids[i]] = 0.0
    known.since[0] = k if done else -1
    if not done:
        return
    if p.each > 1:
        for j in range(m):
            known.plan[0, j], known.plan[1, j] = room.best[j], room.load[j] + room.best[j]
    for f in range(p.window.shape[0]):
        for j in range(m):
            i = room.rows[f, j]
            if i >= 0:
                w = room.ids[i]
                known.planned[w] = max(known.planned[w], room.load[j] + room.best[j])


@bare
def observe(k: int, net_kw: float, p: Public, known: Known) -> None:
    """Peaks are those that were metered, whatever was asked for."""
    for f in range(p.window.shape[0]):
        w = p.window[f, k]
        if w >= 0:
            known.peak[w] = max(known.peak[w], net_kw)


@bare
def _run(
    without_kw: Floats,
    aux_kw: float,
    start: float,
    p: Public,
    known: Known,
    room: Room,
    guard_floor: Floats,
    most_import: Floats,
    most_export: Floats,
    power: Floats,
    stored: Floats,
) -> int:
    """`closed_loop` into power and stored (n,); returns in how many intervals the guard changed a setpoint."""
    h, ec, ed, energy, changed = p.h, p.ec, p.ed, start, 0
    for k in range(without_kw.size):
        wish = decide_now(k, energy, p, known, room)
        q = guarded_kw(
            wish, known.base[k], energy, guard_floor[k + 1], p.high, p.power, p.charge, ec, ed, h, most_import[k],
            most_export[k],
        )  # fmt: skip
        if abs(q - wish) > 1e-9:
            changed += 1
        q, energy = carried_out(q, energy, p.low, p.high, p.power, p.charge, ec, ed, h)
        power[k], stored[k] = q + aux_kw, energy
        observe(k, without_kw[k] + power[k], p, known)
    return changed


@njit(cache=True, error_model="numpy")
def closed_loop(
    without_kw: Floats,
    aux_kw: float,
    start: float,
    p: Public,
    known: Known,
    room: Room,
    guard_floor: Floats,
    most_import: Floats,
    most_export: Floats,
) -> tuple[Floats, Floats, int]:
    """Power at the meter with idle draw and energy at interval ends of one lane, (n,) each, and in how many
    intervals the guard changed a setpoint. known.base and known.issued are filled; each decision reads them up
    to its own interval only."""
    power, stored = np.zeros(without_kw.size), np.zeros(without_kw.size)
    changed = _run(
        without_kw, aux_kw, start, p, known, room, guard_floor, most_import, most_export, power, stored
    )
    return power, stored, changed
