"""The cold store as it is: two nodes with a coefficient of performance that follows the evaporator, compressors
that start one after another and rest between starts, minute by minute with Runge-Kutta steps of fourth order.

    C_a dA/dt = UA (O - A) + U_p (G - A) + heat - P COP(O, A)        A air, G goods, O outdoors [C]
    C_p dG/dt = U_p (A - G)
    COP(O, A) = c Te / (Tc - Te),  Te = A - approach_e,  Tc = max(O + approach_c, least condensing)   [K]
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ZERO_K = 273.15
# Places in the parameter vector.
UA, CA, UP, CP, COP_SCALE, APPROACH_E, APPROACH_C, CONDENSING_LEAST = 0, 1, 2, 3, 4, 5, 6, 7
UNIT_KW, TURNDOWN, MIN_OFF_H, BETWEEN_H, STAGGER_H = 8, 9, 10, 11, 12
AIR_MIN, AIR_MAX, GOODS_MIN, GOODS_MAX, SETPOINT, SAFE = 13, 14, 15, 16, 17, 18
WIDTH = 19


@njit(cache=True)
def cop(p: Floats, outdoor_c: float, air_c: float) -> float:
    """Electrical coefficient of performance."""
    evaporating = air_c - p[APPROACH_E] + ZERO_K
    condensing = max(outdoor_c + p[APPROACH_C], p[CONDENSING_LEAST]) + ZERO_K
    return float(p[COP_SCALE] * evaporating / max(condensing - evaporating, 5.0))


@njit(cache=True)
def _slope(p: Floats, outdoor_c: float, heat_kw: float, kw: float, air: float, goods: float) -> Any:
    cooling = kw * cop(p, outdoor_c, air)
    exchange = p[UP] * (goods - air)
    return (p[UA] * (outdoor_c - air) + exchange + heat_kw - cooling) / p[CA], -exchange / p[CP]


@njit(cache=True)
def _rk4(p: Floats, outdoor_c: float, heat_kw: float, kw: float, air: float, goods: float, h: float) -> Any:
    a1, g1 = _slope(p, outdoor_c, heat_kw, kw, air, goods)
    a2, g2 = _slope(p, outdoor_c, heat_kw, kw, air + 0.5 * h * a1, goods + 0.5 * h * g1)
    a3, g3 = _slope(p, outdoor_c, heat_kw, kw, air + 0.5 * h * a2, goods + 0.5 * h * g2)
    a4, g4 = _slope(p, outdoor_c, heat_kw, kw, air + h * a3, goods + h * g3)
    return air + h * (a1 + 2 * a2 + 2 * a3 + a4) / 6, goods + h * (g1 + 2 * g2 + 2 * g3 + g4) / 6


@njit(cache=True)
def _goods_ahead(
    p: Floats, outdoor_c: float, heat_kw: float, full_kw: float, wait_h: float, air: float, goods: float
) -> Any:
    """Where the goods would get if the compressors did all they can from now on, and if they did nothing: they
    follow until the air has passed them."""
    heat = p[UA] * (outdoor_c - air) + heat_kw
    rate = p[UP] * (air - goods) / p[CP]
    if rate > 0:
        turn = (air - goods) * p[CA] / max(full_kw * cop(p, outdoor_c, air) - heat, 1e-3 * p[CA])
        return goods + rate * (wait_h + turn), goods
    turn = (goods - air) * p[CA] / max(heat, 1e-3 * p[CA])
    return goods, goods + rate * min(turn, 2.0)


@njit(cache=True)
def _wanted(
    p: Floats, air: float, goods_top: float, goods_low: float, rate: float, wait_h: float, latch: int
) -> int:
    """The thermostat's word: 1 = everything on, -1 = everything off, 0 = as asked. It acts early enough for the
    compressors' rest and for goods that lag, and stays at its word until the air is half-way back."""
    warm = 0.5 * (p[SETPOINT] + min(p[AIR_MAX], p[GOODS_MAX]))
    cool = 0.5 * (p[SETPOINT] + max(p[AIR_MIN], p[GOODS_MIN]))
    if latch == 1 and (air > warm or goods_top >= p[GOODS_MAX]):
        return 1
    if latch == -1 and (air < cool or goods_low <= p[GOODS_MIN]):
        return -1
    if air + max(rate, 0.0) * wait_h >= p[AIR_MAX] or goods_top >= p[GOODS_MAX]:
        return 1
    if air <= p[AIR_MIN] or goods_low <= p[GOODS_MIN]:
        return -1
    return 0


@njit(cache=True)
def _set_units(p: Floats, kw: float, hold: bool, clock: Floats, since_any: float) -> float:
    """Stop what is too many, start what is needed and may; clock: (units, 3) on, since start, since stop [h].
    Returns hours since any start."""
    units, unit = clock.shape[0], p[UNIT_KW]
    running = 0
    for i in range(units):
        running += int(clock[i, 0] > 0.5)
    floor = p[TURNDOWN] * unit
    while running > 0 and not hold and kw < running * floor and (running > 1 or kw < 0.5 * floor):
        for i in range(units - 1, -1, -1):
            if clock[i, 0] > 0.5:
                clock[i, 0], clock[i, 2] = 0.0, 0.0
                running -= 1
                break
    while running < units and kw > running * unit + 1e-9 and kw >= 0.5 * floor and since_any >= p[STAGGER_H]:
        started = False
        for i in range(units):
            rested = clock[i, 2] >= p[MIN_OFF_H] - 1e-9 and clock[i, 1] >= p[BETWEEN_H] - 1e-9
            if clock[i, 0] < 0.5 and rested:
                clock[i, 0], clock[i, 1] = 1.0, 0.0
                running, started, since_any = running + 1, True, 0.0
                break
        if not started:
            break
    return since_any


@njit(cache=True)
def interval(
    p: Floats,
    outdoor_c: float,
    heat_kw: float,
    base_kw: float,
    asked_kw: float,
    temps: Floats,
    clock: Floats,
    step_h: float,
    substeps: int,
) -> Any:
    """One interval of one lane. temps: (4,) air, goods, hours since any start, latch, changed in place.

    Returns mean power [kW], highest and lowest air, highest and lowest goods [C], hours in which the thermostat
    overruled what was asked, and starts."""
    dt, unit = step_h / substeps, p[UNIT_KW]
    hold = abs(asked_kw - base_kw) <= 1e-9
    energy, overruled, starts = 0.0, 0.0, 0
    top_a, low_a, top_g, low_g = temps[0], temps[0], temps[1], temps[1]
    rate, kw = _slope(p, outdoor_c, heat_kw, 0.0, temps[0], temps[1])[0], 0.0
    for _ in range(substeps):
        wait = 0.0
        running = 0
        for i in range(clock.shape[0]):
            running += int(clock[i, 0] > 0.5)
        if running == 0:
            wait = 1e9
            for i in range(clock.shape[0]):
                wait = min(wait, max(p[MIN_OFF_H] - clock[i, 2], p[BETWEEN_H] - clock[i, 1], 0.0))
        needed = int(np.ceil(base_kw / unit - 1e-9))
        wait += p[STAGGER_H] * max(0, needed - running - 1) + dt
        word = 0
        if p[SAFE] > 0.5:
            full = unit * clock.shape[0]
            top, low = _goods_ahead(p, outdoor_c, heat_kw, full, wait, temps[0], temps[1])
            word = _wanted(p, temps[0], top, low, rate, wait, int(temps[3]))
        temps[3] = word
        target = asked_kw
        if word == 1:
            target = max(asked_kw, unit * clock.shape[0])
        elif word == -1:
            target = 0.0
        overruled += dt if target != asked_kw else 0.0
        steady = hold and word == 0
        since = _set_units(p, target, steady, clock, temps[2])
        starts += int(since < temps[2])
        temps[2] = since
        running = 0
        for i in range(clock.shape[0]):
            running += int(clock[i, 0] > 0.5)
        kw = min(target, running * unit)
        if steady and base_kw < 0.5 * p[TURNDOWN] * unit:
            kw = base_kw  # the thermostat's own short runs, taken at their mean
        elif not steady:
            kw = max(kw, running * p[TURNDOWN] * unit)
        before = temps[0]
        temps[0], temps[1] = _rk4(p, outdoor_c, heat_kw, kw, temps[0], temps[1], dt)
        rate = (temps[0] - before) / dt
        energy += kw * dt
        temps[2] += dt
        for i in range(clock.shape[0]):
            clock[i, 1] += dt
            clock[i, 2] += dt
        top_a, low_a = max(top_a, temps[0]), min(low_a, temps[0])
        top_g, low_g = max(top_g, temps[1]), min(low_g, temps[1])
    return energy / step_h, top_a, low_a, top_g, low_g, overruled, starts
