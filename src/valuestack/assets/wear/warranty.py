"""The warranty as a ledger: what use spends of each of its terms, when a term is breached, and which terms to ask for.

Energy discharged counts at the meter; a full cycle is the rated energy once out of the store,
    cycles = discharged kWh / (discharge efficiency x rated kWh).
Within an interval whose mean power is plan + called down - called up, with calls of a market's signal going both ways,
    in = max(plan, 0) + called down,   out = max(-plan, 0) + called up,
as plans price it (stack/offers.py); where plan and call are of opposite sign this is the most that can have moved. What
goes in and out again within an interval is one cycle of that depth: by the convexity of cycle-depth ageing (arXiv
1707.04567) the dearest way to move that energy, and exact where depth does not matter.

Use repeats itself: a record is laid end to end from the first day of the warranty. Conditions that warranties set:
cycles a year and a day, mean and least state of charge, power over energy, energy over the term, capacity at its end
(DNV, battery capacity warranties; terms as sold for commercial sites).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ...errors import InputError
from ...timeline import Kw, Timeline
from .rainflow import Cycles

HOURS_A_YEAR = 8760.0
LOOKED_Y = 20.0  # how far ahead breaches are looked for where the warranty states no term


class Warranty(BaseModel):
    """What the maker warrants against; each limit is optional.

    years: the term; cycles_per_y, cycles_per_day: full equivalent cycles; throughput_mwh over the term, discharged
    at the meter; mean_soc_frac: highest allowed yearly mean; min_soc_frac: lowest allowed state of charge;
    max_kw_per_kwh: highest power over nameplate energy (C-rate); min_capacity_frac: what is warranted to be left
    at the end of the term.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    years: float | None = Field(default=None, gt=0)
    cycles_per_y: float | None = Field(default=None, gt=0)
    cycles_per_day: float | None = Field(default=None, gt=0)
    throughput_mwh: float | None = Field(default=None, gt=0)
    mean_soc_frac: float | None = Field(default=None, gt=0, le=1)
    min_soc_frac: float | None = Field(default=None, gt=0, lt=1)
    max_kw_per_kwh: float | None = Field(default=None, gt=0)
    min_capacity_frac: float | None = Field(default=None, gt=0, lt=1)

    @model_validator(mode="after")
    def _has_a_term(self) -> Warranty:
        for key in ("throughput_mwh", "min_capacity_frac"):
            if getattr(self, key) is not None and self.years is None:
                raise ValueError(f"{key} is over the warranty's term; give years too")
        return self


def moved_kw(power_kw: Kw, up_kw: Kw | float = 0.0, down_kw: Kw | float = 0.0) -> tuple[Kw, Kw]:
    """Power in and power out, each >= 0 [kW at the meter, means of the interval], of a net power with calls in it."""
    plan = np.asarray(power_kw, dtype=float) + up_kw - down_kw
    return np.maximum(plan, 0.0) + down_kw, np.maximum(-plan, 0.0) + up_kw


def within(
    in_kw: Kw, out_kw: Kw, soc_frac: Kw, efficiencies: tuple[float, float], step_h: float, left_kwh: float
) -> Cycles:
    """Cycles inside intervals, which a trace of interval ends does not show: one an interval that goes both ways."""
    there = np.minimum(in_kw * efficiencies[0], out_kw / efficiencies[1]) * step_h / left_kwh
    both = there > 1e-12
    return Cycles(there[both], np.asarray(soc_frac)[both], np.ones(int(both.sum())))


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """How one store was used, interval by interval. discharged_kw, most_kw: mean and highest mean power of an interval,
    >= 0; soc_frac: at interval ends; cycle_kwh: what is discharged at the meter in a full cycle."""

    timeline: Timeline
    discharged_kw: Kw
    most_kw: Kw
    soc_frac: Kw
    energy_kwh: float
    cycle_kwh: float

    @property
    def years(self) -> float:
        """Length of the trace in years."""
        return self.timeline.hours / HOURS_A_YEAR

    @property
    def cycles(self) -> Kw:
        """Full cycles of each interval, (n,)."""
        return self.discharged_kw * self.timeline.step_h / self.cycle_kwh


@dataclass(frozen=True, slots=True)
class YearUse:
    """One year of the warranty. begins: its first moment; capacity_frac: left at its end, None where not modelled."""

    year: int
    begins: datetime
    discharged_mwh: float
    cycles: float
    most_cycles_per_day: float
    mean_soc_frac: float
    min_soc_frac: float
    max_kw_per_kwh: float
    capacity_frac: float | None = None


@dataclass(frozen=True, slots=True)
class TermUse:
    """One term: its limit and what is used of it at this rate, when it is breached within the warranty (None = never)
    and years_to_breach from the first day. used_frac: of the limit, in the first year or over the term."""

    name: str
    unit: str
    limit: float
    used: float
    breach: datetime | None
    years_to_breach: float | None

    @property
    def used_frac(self) -> float:
        """Used over limit."""
        return self.used / self.limit


@dataclass(frozen=True, slots=True, eq=False)
class Spent:
    """The ledger of a warranty: years from the first day on, its terms, and how long the use was seen."""

    years: tuple[YearUse, ...]
    terms: tuple[TermUse, ...]
    term_y: float
    seen_y: float

    @property
    def first_breach(self) -> TermUse | None:
        """The term that is breached first."""
        broken = [t for t in self.terms if t.years_to_breach is not None]
        return min(broken, key=lambda t: t.years_to_breach or 0.0) if broken else None


@dataclass(frozen=True, slots=True)
class Asked:
    """Warranty terms that the use seen would keep in `quantile_frac` of years: what to ask the maker for.

    years_seen: how many years of use stand behind them; of fewer than ten a quantile says little beyond the highest.
    """

    quantile_frac: float
    years_seen: int
    term_y: float
    cycles_per_y: float
    cycles_per_day: float
    mwh_per_y: float
    throughput_mwh: float
    mean_soc_frac: float
    max_kw_per_kwh: float


def _laid(trace: Trace, years: float) -> int:
    """Intervals of so many years."""
    return round(years * HOURS_A_YEAR / trace.timeline.step_h)


def _tiled(values: Kw, n: int) -> Kw:
    return np.resize(np.asarray(values, dtype=float), n)


def _days(trace: Trace) -> tuple[np.ndarray[Any, Any], Kw]:
    """Number of the local day of each interval, from 0, and the cycles of each."""
    day = trace.timeline.day - trace.timeline.day[0]
    return day, np.bincount(day, weights=trace.cycles).astype(np.float64)


def year_uses(trace: Trace, years: float, capacity: Callable[[float], float] | None = None) -> list[YearUse]:
    """Use by year of the warranty, the trace laid end to end. capacity(years): capacity left after so long."""
    h, start, whole = trace.timeline.step_h, trace.timeline.start, ceil(years - 1e-9)
    _, by_day = _days(trace)
    out = []
    edges = [min(_laid(trace, y), _laid(trace, years)) for y in range(whole + 1)]
    kw, soc, most = (_tiled(v, edges[-1]) for v in (trace.discharged_kw, trace.soc_frac, trace.most_kw))
    days_in = _tiled(by_day, ceil(years * 365) + 1)
    for y in range(whole):
        part = slice(edges[y], edges[y + 1])
        mwh = float(kw[part].sum()) * h / 1000
        day_part = days_in[y * 365 : max(y * 365 + 1, min((y + 1) * 365, int(years * 365)))]
        end = min(y + 1.0, years)
        out.append(
            YearUse(
                y + 1,
                start + timedelta(hours=y * HOURS_A_YEAR),
                mwh,
                mwh * 1000 / trace.cycle_kwh,
                float(day_part.max()),
                float(soc[part].mean()),
                float(soc[part].min()),
                float(most[part].max()) / trace.energy_kwh,
                None if capacity is None else capacity(end),
            )
        )
    return out


def spent(trace: Trace, warranty: Warranty, capacity: Callable[[float], float] | None = None) -> Spent:
    """The ledger of a warranty under a use that repeats itself.

    capacity(years): share of the rated capacity left after so many years of this use; needed for its last term.
    Errors: InputError for a trace shorter than a day.
    """
    if trace.timeline.hours < 24:
        raise InputError("warranty: a use of less than a day says nothing of a year; give a longer record")
    term_y = LOOKED_Y if warranty.years is None else warranty.years
    years = year_uses(trace, term_y, capacity)
    found = [
        *_of_cycles(trace, warranty, years, term_y),
        *_of_energy(trace, warranty, term_y),
        *_of_soc(trace, warranty, years),
        *_of_power(trace, warranty),
        *_of_capacity(trace, warranty, term_y, capacity),
    ]
    return Spent(tuple(years), tuple(found), term_y, trace.years)


def _row(trace: Trace, name: str, unit: str, limit: float, used: float, hours: float | None) -> TermUse:
    when = None if hours is None else trace.timeline.start + timedelta(hours=hours)
    return TermUse(name, unit, limit, used, when, None if hours is None else hours / HOURS_A_YEAR)


def _of_cycles(trace: Trace, w: Warranty, years: Sequence[YearUse], term_y: float) -> list[TermUse]:
    out, h = [], trace.timeline.step_h
    if w.cycles_per_y is not None:
        hours = None
        over = next((y for y in years if y.cycles > w.cycles_per_y + 1e-9), None)
        if over is not None:
            first = _laid(trace, over.year - 1.0)
            mine = np.cumsum(_tiled(trace.cycles, _laid(trace, min(float(over.year), term_y)))[first:])
            hours = (first + int(np.argmax(mine > w.cycles_per_y + 1e-9)) + 1) * h
        out.append(_row(trace, "cycles a year", "cycles", w.cycles_per_y, years[0].cycles, hours))
    if w.cycles_per_day is not None:
        day, by_day = _days(trace)
        over_days = np.flatnonzero(by_day > w.cycles_per_day + 1e-9)
        hours = None if not over_days.size else float(np.searchsorted(day, over_days[0], "right")) * h
        if hours is not None and hours > term_y * HOURS_A_YEAR:
            hours = None
        out.append(_row(trace, "cycles a day", "cycles", w.cycles_per_day, float(by_day.max()), hours))
    return out


def _of_energy(trace: Trace, w: Warranty, term_y: float) -> list[TermUse]:
    if w.throughput_mwh is None:
        return []
    each = trace.discharged_kw * trace.timeline.step_h / 1000
    whole = np.cumsum(_tiled(each, _laid(trace, term_y)))
    over = np.flatnonzero(whole > w.throughput_mwh + 1e-12)
    hours = None if not over.size else (int(over[0]) + 1) * trace.timeline.step_h
    return [_row(trace, "energy over the term", "MWh", w.throughput_mwh, float(whole[-1]), hours)]


def _of_soc(trace: Trace, w: Warranty, years: Sequence[YearUse]) -> list[TermUse]:
    out = []
    if w.mean_soc_frac is not None:
        over = next((y for y in years if y.mean_soc_frac > w.mean_soc_frac + 1e-9), None)
        hours = None if over is None else over.year * HOURS_A_YEAR  # a year's mean is known at its end
        out.append(
            _row(trace, "mean state of charge", "of capacity", w.mean_soc_frac, years[0].mean_soc_frac, hours)
        )
    if w.min_soc_frac is not None:
        under = np.flatnonzero(trace.soc_frac < w.min_soc_frac - 1e-9)
        hours = None if not under.size else (int(under[0]) + 1) * trace.timeline.step_h
        least = float(trace.soc_frac.min())
        out.append(_row(trace, "least state of charge", "of capacity", w.min_soc_frac, least, hours))
    return out


def _of_power(trace: Trace, w: Warranty) -> list[TermUse]:
    if w.max_kw_per_kwh is None:
        return []
    rate = trace.most_kw / trace.energy_kwh
    over = np.flatnonzero(rate > w.max_kw_per_kwh + 1e-9)
    hours = None if not over.size else int(over[0]) * trace.timeline.step_h
    return [_row(trace, "power over energy", "kW per kWh", w.max_kw_per_kwh, float(rate.max()), hours)]


def _of_capacity(
    trace: Trace, w: Warranty, term_y: float, capacity: Callable[[float], float] | None
) -> list[TermUse]:
    """Capacity lost against what may be lost by the end of the term; too early a loss is dated to the month."""
    if w.min_capacity_frac is None or capacity is None:
        return []
    hours, low, high = None, 0.0, term_y
    lost = 1 - capacity(term_y)
    if 1 - lost < w.min_capacity_frac - 1e-12:
        while high - low > 1 / 12:
            middle = (low + high) / 2
            low, high = (low, middle) if capacity(middle) < w.min_capacity_frac else (middle, high)
        hours = high * HOURS_A_YEAR
    return [_row(trace, "capacity lost", "of rated", 1 - w.min_capacity_frac, lost, hours)]


def ask_for(traces: Sequence[Trace], *, term_y: float = 10.0, quantile_frac: float = 0.9) -> Asked:
    """The warranty terms to ask for: each the quantile over all years of all traces (futures, or years of a record).

    Errors: InputError where no trace is given, or none of at least half a year.
    """
    years: list[YearUse] = []
    for t in traces:
        if t.years >= 0.5:
            years += year_uses(t, max(1.0, float(int(t.years + 1e-9))))
    if not years:
        raise InputError("warranty: no use of at least half a year is given; terms of a year need one")

    def q(values: Sequence[float]) -> float:
        return float(np.quantile(np.array(values), quantile_frac))

    mwh = q([y.discharged_mwh for y in years])
    return Asked(
        quantile_frac=quantile_frac,
        years_seen=len(years),
        term_y=term_y,
        cycles_per_y=q([y.cycles for y in years]),
        cycles_per_day=q([y.most_cycles_per_day for y in years]),
        mwh_per_y=mwh,
        throughput_mwh=mwh * term_y,
        mean_soc_frac=q([y.mean_soc_frac for y in years]),
        max_kw_per_kwh=q([y.max_kw_per_kwh for y in years]),
    )
