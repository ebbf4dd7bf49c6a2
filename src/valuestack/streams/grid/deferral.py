"""What putting off an upgrade of the utility's wires is worth, as figures that can be laid before the utility.

    overload in year y: hours and kWh in which load x (1 + g)^y stands above the rating
    an upgrade that costs C today and 1 + e more each year, put off from year a to year b, is worth
    PV = C [((1 + e) / (1 + r))^a - ((1 + e) / (1 + r))^b]

r the utility's discount rate, e the escalation of the cost. The reduction needed in year y is the highest overload;
a resource of so many kW and kWh carries the feeder as long as both the highest overload and the longest overload's
energy stay within it. Present worth of deferral as in Sandia SAND2010-0815 section 3.4 (recollected, not verified);
the formula is the difference of two discounted payments and needs no source.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from ...timeline import Kw, Timeline


@dataclass(frozen=True, slots=True)
class Year:
    """Year y of the growth: peak, hours above the rating, highest overload, energy of the longest overload day."""

    year: int
    peak_kw: float
    overload_hours: float
    overload_kw: float
    overload_kwh: float
    worst_day_kwh: float
    carried: bool


@dataclass(frozen=True, slots=True)
class Deferral:
    """Years until the upgrade is due without and with the resource, and what that is worth.

    due_y, deferred_until_y: first year in which the rating is not enough, alone and with the resource (the horizon
    where it always is). usd: present value; usd_per_kw_y: the same as a level payment a kW and year of the deferral.
    """

    years: tuple[Year, ...]
    due_y: int
    deferred_until_y: int
    usd: float
    usd_per_kw_y: float

    def rows(self) -> list[tuple[str, ...]]:
        """A table for a page: year, peak, hours above, highest overload, worst day, carried or not."""
        return [
            (
                str(y.year),
                f"{y.peak_kw:,.0f} kW",
                f"{y.overload_hours:,.1f} h",
                f"{y.overload_kw:,.0f} kW",
                f"{y.worst_day_kwh:,.0f} kWh",
                "no upgrade needed" if y.overload_kw <= 0 else "carried" if y.carried else "upgrade due",
            )
            for y in self.years
        ]


def present_value_usd(
    cost_usd: float, from_y: float, until_y: float, discount_frac: float, escalation_frac: float = 0.0
) -> float:
    """Present value of paying cost_usd (today's money) in year until_y instead of year from_y.

    >>> round(present_value_usd(1_000_000, 0, 1, 0.08), 2)
    74074.07
    """
    x = (1 + escalation_frac) / (1 + discount_frac)
    return float(cost_usd * (x**from_y - x**until_y))


def deferral(
    t: Timeline,
    feeder_kw: Kw,
    *,
    rating_kw: float,
    growth_frac_per_y: float,
    resource_kw: float,
    resource_kwh: float,
    cost_usd: float,
    discount_frac: float,
    escalation_frac: float = 0.0,
    horizon_y: int = 20,
) -> Deferral:
    """Deferral of an upgrade of `cost_usd` on a feeder of `rating_kw` by a resource of kW and kWh a day.

    feeder_kw: (n,) a year of the feeder's load. InputError for inputs that have no meaning.
    """
    load = np.asarray(feeder_kw, dtype=np.float64)
    problems = []
    if load.shape != (t.n,):
        problems.append(f"feeder_kw has shape {load.shape}, the timeline {t.n} intervals")
    if not rating_kw > 0:
        problems.append(f"rating_kw = {rating_kw!r} should be above 0")
    if not (cost_usd >= 0 and resource_kw >= 0 and resource_kwh >= 0):
        problems.append("cost_usd, resource_kw and resource_kwh should not be negative")
    if not (discount_frac > -1 and escalation_frac > -1 and growth_frac_per_y > -1):
        problems.append("discount_frac, escalation_frac and growth_frac_per_y should be shares above -1")
    if horizon_y < 1:
        problems.append(f"horizon_y = {horizon_y!r} should be at least 1 year")
    if problems:
        raise InputError.collect("deferral", problems)
    _, day = np.unique(t.day, return_inverse=True)
    years, due, until = [], horizon_y, horizon_y
    for y in range(horizon_y + 1):
        now = load * (1 + growth_frac_per_y) ** y
        above = np.maximum(now - rating_kw, 0.0)
        by_day = np.bincount(day, weights=above) * t.step_h
        top, worst = float(above.max()), float(by_day.max())
        carried = top <= resource_kw + 1e-9 and worst <= resource_kwh + 1e-9
        hours = float((above > 0).sum()) * t.step_h
        years.append(Year(y, float(now.max()), hours, top, float(by_day.sum()), worst, carried))
        if top > 0:
            due = min(due, y)
        if not carried:
            until = min(until, y)
    usd = present_value_usd(cost_usd, due, max(due, until), discount_frac, escalation_frac)
    span = max(0, until - due)
    annuity = sum((1 + discount_frac) ** -y for y in range(due, until))
    level = usd / annuity / resource_kw if span and resource_kw > 0 else 0.0
    return Deferral(tuple(years), due, max(due, until), usd, level)
