"""Compiled side of fixed_threshold.py: the level that a month could have held, and years of one store in lanes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from .guard_kernel import SIDE, carried_out, guarded_kw

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

_BISECTIONS = 12  # to a 4,000th of the store's power


@njit(cache=True, error_model="numpy")
def _holds(level: float, base_kw: Floats, store: Floats, h: float) -> bool:
    """Whether a store that starts full could have kept the load at the level."""
    power_kw, charge_kw, room_kwh, ec, ed = store[0], store[1], store[2], store[3], store[4]
    energy, out, into = room_kwh, h / ed, h * ec
    for t in range(base_kw.size):
        over = base_kw[t] - level
        if over > 0.0:
            energy -= over * out
            if over > power_kw or energy < -1e-9:
                return False
        else:
            energy = min(room_kwh, energy + min(charge_kw, -over) * into)
    return True


@njit(cache=True, error_model="numpy")
def holdable_kw(base_kw: Floats, store: Floats, h: float) -> float:
    """The lowest level at which the store could have kept the load. store (5,): discharge and charge power, energy,
    efficiencies."""
    high = base_kw.max()
    low = max(high - store[0], 0.0)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if _holds(middle, base_kw, store, h):
            high = middle
        else:
            low = middle
    return float(high)


@njit(cache=True, error_model="numpy")
def wished_kw(
    base: float,
    limit: float,
    margin: float,
    energy: float,
    low: float,
    high: float,
    power_kw: float,
    charge_kw: float,
    ec: float,
    ed: float,
    h: float,
) -> float:
    """Serve what exceeds the level, recharge below it, less a margin; rest while there is none."""
    if limit == np.inf:
        return 0.0
    if base > limit:
        return -min(base - limit, min(max((energy - low) * ed / h, 0.0), power_kw))
    return min(max(limit * (1.0 - margin) - base, 0.0), min(max((high - energy) / (ec * h), 0.0), charge_kw))


@njit(cache=True, error_model="numpy")
def closed_loop(
    base_kw: Floats,
    begins: Ints,
    limit: float,
    learns: bool,
    margin: float,
    guard_floor: Floats,
    most_import: Floats,
    most_export: Floats,
    store: Floats,
    low: float,
    high: float,
    start: float,
    h: float,
    power: Floats,
    stored: Floats,
) -> int:
    """Fill power and energy at interval ends, (lanes, n) each; in how many intervals the guard changed a setpoint.

    base_kw (lanes, n): net load with idle draw, store at rest. begins: first interval of each month.
    """
    power_kw, charge_kw, ec, ed = store[0], store[1], store[3], store[4]
    energies, levels, changed = np.empty(SIDE), np.empty(SIDE), 0
    for begin in range(0, base_kw.shape[0], SIDE):
        lanes, month = min(SIDE, base_kw.shape[0] - begin), 0
        energies[:], levels[:] = start, limit
        for k in range(base_kw.shape[1]):
            if month < begins.size and begins[month] == k:
                for j in range(lanes if learns and month > 0 else 0):
                    levels[j] = holdable_kw(base_kw[begin + j, begins[month - 1] : k], store, h)
                month += 1
            for j in range(lanes):
                base, energy = base_kw[begin + j, k], energies[j]
                wish = wished_kw(base, levels[j], margin, energy, low, high, power_kw, charge_kw, ec, ed, h)
                q = guarded_kw(
                    wish, base, energy, guard_floor[k + 1], high, power_kw, charge_kw, ec, ed, h, most_import[k],
                    most_export[k],
                )  # fmt: skip
                if abs(q - wish) > 1e-9:
                    changed += 1
                q, energy = carried_out(q, energy, low, high, power_kw, charge_kw, ec, ed, h)
                power[begin + j, k], stored[begin + j, k], energies[j] = q, energy, energy
    return changed
