"""Compiled side of tou_schedule.py: years of one store by the clock, in lanes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from .guard_kernel import SIDE, carried_out, guarded_kw

Floats = np.ndarray[Any, np.dtype[np.float64]]


@njit(cache=True, error_model="numpy")
def closed_loop(
    base_kw: Floats,
    wish_kw: Floats,
    guard_floor: Floats,
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
    power: Floats,
    stored: Floats,
) -> int:
    """Fill power and energy at interval ends, (lanes, n) each; in how many intervals the guard changed a setpoint.

    wish_kw (n,): what the clock says, load sign. base_kw (lanes, n): net load with idle draw, store at rest.
    """
    energies, changed = np.empty(SIDE), 0
    for begin in range(0, base_kw.shape[0], SIDE):
        energies[:] = start
        for k in range(base_kw.shape[1]):
            for j in range(min(SIDE, base_kw.shape[0] - begin)):
                i = begin + j
                wish = clocked_kw(wish_kw[k], base_kw[i, k])
                q = guarded_kw(
                    wish, base_kw[i, k], energies[j], guard_floor[k + 1], high, power_kw, charge_kw, ec, ed, h,
                    most_import[k], most_export[k],
                )  # fmt: skip
                if abs(q - wish) > 1e-9:
                    changed += 1
                q, energy = carried_out(q, energies[j], low, high, power_kw, charge_kw, ec, ed, h)
                power[i, k], stored[i, k], energies[j] = q, energy, energy
    return changed


@njit(cache=True, error_model="numpy")
def clocked_kw(wish: float, base: float) -> float:
    """The clock's setpoint, which feeds nothing in."""
    return float(max(wish, -max(base, 0.0))) if wish < 0.0 else wish
