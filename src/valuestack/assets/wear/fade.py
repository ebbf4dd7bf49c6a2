"""Capacity fade: calendar ageing by state of charge and temperature, and cycling.

Calendar, as NREL SAM models it (ssc, lib_battery_lifetime_calendar_cycle):
    k = a exp(b (1/T - 1/296)) exp(c (s/T - 1/296)),   q = q0 - k sqrt(t),   T in K, s = state of charge, t in days
for varying conditions in steps: loss L with L = k sqrt(t) grows by  dL = k^2 / (2 L) dt.
Cycling, where the source gives curves C(depth, N) of capacity against cycles, as SAM adds them up: the N-th
cycle, of depth d, costs max(0, C(d, N) - C(d, N + 1)), C linear between curves, 1 at depth 0, and extended in a
straight line beyond the last test. Without curves: (1 - end_of_life) x sum n Phi(depth).
The losses of calendar and cycling add up, as SAM does since it left the lower of the two (ssc, 2025).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...finding import Finding
from ...timeline import Kw
from .rainflow import Cycles, Rainflow, count
from .stress import Curve, Stress


@dataclass(frozen=True, slots=True)
class Fade:
    """Capacity left after `years` as a share of the rated one: by calendar alone, by cycling alone, by both.

    findings: where the trace leaves the range in which the source fitted.
    """

    years: float
    calendar_frac: float
    cycling_frac: float
    capacity_frac: float
    findings: tuple[Finding, ...] = ()


def calendar_capacity_frac(
    stress: Stress, soc_frac: Kw, temperature_c: Kw | float, step_h: float, repeats: float = 1.0
) -> float:
    """Calendar capacity after a trace (n,) that is repeated `repeats` times, at most 1."""
    if stress.calendar is None:
        return 1.0
    c = stress.calendar
    kelvin = np.broadcast_to(np.asarray(temperature_c, dtype=float) + 273.15, soc_frac.shape)
    k = c["a"] * np.exp(c["b"] * (1 / kelvin - 1 / 296)) * np.exp(c["c"] * (soc_frac / kelvin - 1 / 296))
    # L dL = k^2 / 2 dt integrates in closed form: L^2 = sum k^2 dt over the trace.
    loss = np.sqrt(repeats * float((k**2).sum()) * step_h / 24)
    return min(1.0, float(c["q0"] - loss))


def fade(
    stress: Stress,
    soc_frac: Kw,
    temperature_c: Kw | float,
    step_h: float,
    *,
    years: float,
    inside: Cycles | None = None,
) -> Fade:
    """Fade after `years` of a trace of state of charge (n,) that repeats itself. inside: cycles within its intervals,
    which it does not show."""
    if not years > 0:
        raise InputError(f"years: {years!r} should be above 0")
    span_y = soc_frac.size * step_h / 8760
    repeats = years / span_y
    calendar = calendar_capacity_frac(stress, soc_frac, temperature_c, step_h, repeats)
    findings = _outside(stress, soc_frac, temperature_c)
    if stress.curves:
        cycling, beyond = _by_curves(stress.curves, soc_frac, repeats, inside)
        findings += _beyond(stress, beyond)
    else:
        all_cycles = count(soc_frac) if inside is None else count(soc_frac) + inside
        cycling = 1 - (1 - stress.end_of_life_frac) * stress.life_used_frac(all_cycles) * repeats
    return Fade(years, calendar, cycling, max(0.0, calendar + cycling - 1), findings)


def _by_curves(
    curves: tuple[Curve, ...], soc_frac: Kw, repeats: float, inside: Cycles | None = None
) -> tuple[float, float]:
    """Capacity by cycling after a trace that is repeated, and the share of its cost past the last tested cycle.

    The residue is carried over the seams; of a broken last repeat the cost is taken by its share.
    """
    counter, lost, seen, past, done = Rainflow(), 0.0, 0.0, 0.0, 0
    while done < repeats:
        before = counter.closed.range_.size
        counter.push(soc_frac)
        new = Cycles(
            *(x[before:] for x in (counter.closed.range_, counter.closed.mean, counter.closed.count))
        )
        if inside is not None:
            new = new + inside
        if done + 1 >= repeats:
            new = new + counter.residue()
        cost, tested = _cost(curves, new, seen)
        share = min(1.0, repeats - done)
        lost += share * float(cost.sum())
        past += share * float(cost[~tested].sum())
        seen += share * float(new.count.sum())
        done += 1
    return curves[0].capacity_frac[0] - lost, past / lost if lost > 0 else 0.0


def _cost(curves: tuple[Curve, ...], cycles: Cycles, seen: float) -> tuple[Kw, NDArray[np.bool_]]:
    """Capacity that each cycle costs after `seen` earlier ones, and whether the curves were tested that far."""
    after = seen + np.cumsum(cycles.count)
    before, depth = after - cycles.count, np.clip(cycles.range_, 0.0, 1.0)
    drop = np.array([_left(c, before) - _left(c, after) for c in curves])
    drop = np.vstack((np.zeros(depth.size), drop))
    at = np.concatenate(([0.0], [c.depth_frac for c in curves]))
    upper = np.clip(np.searchsorted(at, depth), 1, at.size - 1)
    weight = (depth - at[upper - 1]) / (at[upper] - at[upper - 1])
    rows = np.arange(depth.size)
    cost = (1 - weight) * drop[upper - 1, rows] + weight * drop[upper, rows]
    tested = after <= np.array([c.cycles[-1] for c in curves])[upper - 1]
    return np.maximum(cost, 0.0), tested


def _left(curve: Curve, cycles: Kw) -> Kw:
    n, left = np.asarray(curve.cycles), np.asarray(curve.capacity_frac)
    slope = min(0.0, float((left[-1] - left[-2]) / (n[-1] - n[-2])))
    return np.asarray(np.interp(cycles, n, left) + slope * np.maximum(cycles - n[-1], 0.0))


def _beyond(stress: Stress, share: float) -> tuple[Finding, ...]:
    if share <= 0.01:
        return ()
    return (
        Finding(
            "wear_extrapolated",
            "warning",
            f"{share:.0%} of the cycling fade lies beyond the last cycle to which {stress.name} was tested; "
            "its curves are extended in a straight line there",
            remedy="take the fade as a guess",
        ),
    )


def _outside(stress: Stress, soc_frac: Kw, temperature_c: Kw | float) -> tuple[Finding, ...]:
    out = []
    t = np.atleast_1d(np.asarray(temperature_c, dtype=float))
    if stress.temperature_c is not None and (
        t.min() < stress.temperature_c[0] or t.max() > stress.temperature_c[1]
    ):
        out.append(
            Finding(
                "wear_extrapolated",
                "warning",
                f"temperatures of {t.min():.0f} to {t.max():.0f} C lie outside the {stress.temperature_c[0]:.0f} to "
                f"{stress.temperature_c[1]:.0f} C in which {stress.name} was fitted",
                remedy="take the fade as a guess",
            )
        )
    swing = float(np.ptp(soc_frac)) if soc_frac.size else 0.0
    if stress.depth_frac is not None and 0 < swing < stress.depth_frac[0]:
        out.append(
            Finding(
                "wear_extrapolated",
                "warning",
                f"swings of at most {swing:.0%} are shallower than the {stress.depth_frac[0]:.0%} from which on "
                f"{stress.name} was fitted",
                remedy="take the fade as a guess",
            )
        )
    return tuple(out)
