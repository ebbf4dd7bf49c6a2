"""Compiled side of guard.py and of a plain store: its projection and its step, for the closed loops of policies."""

from __future__ import annotations

from numba import njit

# Lanes that a rule's loop runs side by side: a step waits for the division of the one before, so that one lane alone
# leaves much of a core idle. Eight or sixteen gain nothing more.
SIDE = 4


@njit(cache=True)
def guarded_kw(
    wish: float,
    base: float,
    energy: float,
    floor: float,
    high: float,
    power_kw: float,
    charge_kw: float,
    ec: float,
    ed: float,
    h: float,
    most_import: float,
    most_export: float,
) -> float:
    """The guard's projection for one store; see guard.py."""
    can_in = min(charge_kw, max(high - energy, 0.0) / (ec * h))
    spare = energy - floor
    can_out = min(max(spare * ed / h, 0.0), power_kw)
    must_in = min(max(-spare, 0.0) / (ec * h), can_in)
    most = min(max(most_import - base, -can_out), can_in)
    least = min(max(-most_export - base, -can_out), most)
    power = min(max(min(max(wish, -can_out), can_in), least), most)
    if must_in > 0.0:
        power = max(power, min(must_in, max(most, 0.0)))
    return float(power)


@njit(cache=True)
def carried_out(
    power: float,
    energy: float,
    low: float,
    high: float,
    power_kw: float,
    charge_kw: float,
    ec: float,
    ed: float,
    h: float,
) -> tuple[float, float]:
    """What a store does with a setpoint, and its energy after it: the truth of a battery of constant efficiencies."""
    q = min(max(power, -power_kw), charge_kw)
    q = min(max(q, -max(energy - low, 0.0) * ed / h), max(high - energy, 0.0) / (ec * h))
    return q, energy + (q * ec if q > 0.0 else q / ed) * h
