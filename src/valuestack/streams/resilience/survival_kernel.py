"""Compiled walk through an outage over unit states and store energy; see survival.py for the equations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]


@njit(cache=True)
def _split(mass: float, row: Floats, energy_kwh: float, per_bin: float, bins: int) -> None:
    """Put `mass` at `energy_kwh`, shared by the two nearest grid points so that the mean is kept."""
    if bins == 1:
        row[0] += mass
        return
    at = min(max(energy_kwh / per_bin, 0.0), bins - 1.0)
    low = min(int(at), bins - 2)
    up = at - low
    row[low] += mass * (1.0 - up)
    row[low + 1] += mass * up


@njit(cache=True)
def _fail(now: Floats, move: Floats, moved: Floats) -> None:
    """Units that fail in this step: moved = move' now."""
    moved[:] = 0.0
    for i in range(now.shape[0]):
        for k in range(now.shape[0]):
            if move[i, k] > 0.0:
                for b in range(now.shape[1]):
                    moved[k, b] += move[i, k] * now[i, b]


@njit(cache=True)
def _carry(
    moved: Floats,
    after: Floats,
    need_kw: float,
    step_h: float,
    capacity_kw: Floats,
    store_kw: float,
    store_kwh: float,
    charge_eff: float,
    discharge_eff: float,
) -> float:
    """Serve one step of load from units, then store; returns the probability still alive."""
    states, bins = moved.shape
    per_bin = store_kwh / (bins - 1) if bins > 1 else 1.0
    after[:] = 0.0
    alive = 0.0
    for i in range(states):
        short = need_kw - capacity_kw[i]
        for b in range(bins):
            mass = moved[i, b]
            if mass <= 0.0:
                continue
            energy = b * per_bin if bins > 1 else 0.0
            if short > 1e-9:
                if min(store_kw, energy * discharge_eff / step_h) + 1e-9 < short:
                    continue
                energy -= short * step_h / discharge_eff
            else:
                energy = min(store_kwh, energy + min(-short, store_kw) * charge_eff * step_h)
            alive += mass
            _split(mass, after[i], energy, per_bin, bins)
    return alive


@njit(cache=True)
def walk(
    load_kw: Floats,
    starts: Ints,
    steps: int,
    step_h: float,
    capacity_kw: Floats,
    first: Floats,
    move: Floats,
    lasts: Ints,
    start_kwh: Floats,
    store_kw: float,
    store_kwh: float,
    charge_eff: float,
    discharge_eff: float,
    bins: int,
) -> Floats:
    """Cumulative survival (starts, steps)."""
    states = capacity_kw.size
    out = np.zeros((starts.size, steps))
    now, moved, after = np.zeros((states, bins)), np.zeros((states, bins)), np.zeros((states, bins))
    for j in range(starts.size):
        now[:] = 0.0
        for i in range(states):
            _split(first[i], now[i], start_kwh[j], store_kwh / (bins - 1) if bins > 1 else 1.0, bins)
        for t in range(min(steps, lasts[j])):
            _fail(now, move, moved)
            alive = _carry(
                moved,
                after,
                load_kw[(starts[j] + t) % load_kw.size],
                step_h,
                capacity_kw,
                store_kw,
                store_kwh,
                charge_eff,
                discharge_eff,
            )
            out[j, t] = alive
            now[:] = after
            if alive <= 0.0:
                break
    return out
