"""Compiled walk through one outage from each start, without chance; see backing.py for the equations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]


@njit(cache=True)
def _engines(
    take_kw: Floats, burn_gal: Floats, tank: Floats, at: int, run_frac: float
) -> tuple[float, float]:
    """Fuel of one step is taken from the tanks. Returns the mean power that the engines give while they are up, and
    the power that is left at the end of the step."""
    mean, last = 0.0, 0.0
    for g in range(take_kw.shape[0]):
        burn = burn_gal[g, at] * run_frac
        if burn <= tank[g] + 1e-9:
            tank[g] = max(tank[g] - burn, 0.0)
            mean += take_kw[g, at]
            last += take_kw[g, at]
        else:
            mean += take_kw[g, at] * tank[g] / burn
            tank[g] = 0.0
    return mean, last


@njit(cache=True)
def carry(
    need_kw: Floats,
    take_kw: Floats,
    burn_gal: Floats,
    starts: Ints,
    steps: int,
    step_h: float,
    fuel_gal: Floats,
    tank_gal: Floats,
    every_steps: Ints,
    truck_gal: Floats,
    start_h: float,
    ups_kw: float,
    ups_h: float,
    store_kwh: Floats,
    store_kw: float,
) -> tuple[Ints, Floats, Floats, Floats, Floats]:
    """Steps carried whole (starts,), kWh not served, kWh asked of the store, highest kW asked of it, and the same
    before the engines carry the load."""
    n, m, engines = need_kw.size, starts.size, take_kw.shape[0]
    carried = np.full(m, steps)
    short, asked, most, bridge = np.zeros(m), np.zeros(m), np.zeros(m), np.zeros(m)
    tank = np.zeros(engines)
    # A store that gives all it has in a step is no breach: floors are sums of the same numbers in another order.
    for s in range(m):
        for g in range(engines):
            tank[g] = fuel_gal[g, s]
        energy = store_kwh[s]
        at = starts[s] % n
        for j in range(steps):
            for g in range(engines):
                if j > 0 and every_steps[g] > 0 and j % every_steps[g] == 0:
                    tank[g] = min(tank[g] + truck_gal[g], tank_gal[g])
            need = need_kw[at]
            begin = j * step_h
            gap = min(max(start_h - begin, 0.0), step_h)
            covered = min(max(min(ups_h, start_h) - begin, 0.0), gap)
            run = step_h - gap
            mean, last = _engines(take_kw, burn_gal, tank, at, run / step_h)
            helped = min(ups_kw, need)
            ask = need * gap - helped * covered
            if run > 0.0:
                ask += max(need - mean, 0.0) * run
                most[s] = max(most[s], need - last)
            if gap > 0.0:
                kw = need if covered < gap - 1e-12 else need - helped
                bridge[s] = max(bridge[s], kw)
            asked[s] += ask
            can = min(store_kw * gap, need * gap - helped * covered)
            if run > 0.0:
                can += min(store_kw, max(need - mean, 0.0)) * run
            gave = min(can, energy)
            power = 0.0
            if run > 0.0:
                power = need - last
            if gap > 0.0:
                power = max(power, need if covered < gap - 1e-12 else need - helped)
            energy -= gave
            if ask - gave > 1e-6 * (1.0 + ask) or power > store_kw + 1e-6 * (1.0 + need):
                short[s] += max(ask - gave, 0.0)
                if carried[s] == steps:
                    carried[s] = j
            at += 1
            if at == n:
                at = 0
        most[s] = max(most[s], 0.0)
    return carried, short, asked, most, bridge
