"""Critical-peak pricing: a few days a year at a high price, paid for by credits the rest of the season."""

from __future__ import annotations

from datetime import date, datetime
from math import inf
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ...errors import DataError, InputError
from ...ledger import Entry
from ...terms import Block, Measure, Payment, Term
from ...timeline import Ints, Timeline, localise
from ._clause import ALL_MONTHS, Clause, Hours, Mask, numbered, top_by
from .item import Decided, Metered


class Credit(BaseModel):
    """What the season earns: `usd` (> 0) per kW of the peak within `hours`, or per kWh outside events.

    above_reservation: only the part above the capacity reservation level earns it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    per: Literal["kW", "kWh"]
    usd: float = Field(ge=0)
    hours: Hours = Hours()
    name: str = ""
    above_reservation: bool = True
    window_min: float | None = Field(default=None, gt=0)


class CriticalPeak(Clause):
    """charge = adder x sum over event hours of (kW - CRL)+ h + reservation price x CRL - credits.

    credits = usd_per_kw x (P - CRL)+, P the cycle's peak within the credit's hours; usd_per_kwh x kWh outside
    events. CRL = capacity_reservation_kw, chosen by the customer, paid in `reservation_months` and free of
    the adder. `window` gives the hours of an event that is known by its date only. Events are facts
    (dates, start times, or start and end): without them the tariff cannot be billed; an empty list says that
    none was called. max_events, notice_h and bill_protection_months are kept for dispatch and disclosure.

    Worked: 1.37453 USD/kWh, one event of 4 h at 500 kW, nothing reserved: 2,749.06 USD; a summer month with
    an on-peak demand of 480 kW earns 480 x 11.93 = 5,726.40 USD (SCE TOU-8 CPP of June 2018, URDB
    5b5946fb5457a39e3b26b8f8).
    """

    kind: Literal["critical_peak"] = "critical_peak"
    adder_usd_per_kwh: float
    window: Hours
    capacity_reservation_kw: float = Field(default=0.0, ge=0)
    reservation_usd_per_kw_month: float = Field(default=0.0, ge=0)
    reservation_months: tuple[int, ...] = ALL_MONTHS
    credits: tuple[Credit, ...] = ()
    min_events: int | None = None
    max_events: int | None = None
    notice_h: float | None = None
    bill_protection_months: int = 0
    stage: ClassVar[int] = 0

    def needs(self) -> Any:
        """Events."""
        return ("cpp_events",)

    def events(self, calendar: Any, facts: Any) -> Mask:
        """True in event intervals, (n,)."""
        if facts.cpp_events is None:
            raise DataError(
                f"{self.label}: critical-peak events are not known; give cpp_events (an empty list "
                "says that none was called)"
            )
        t: Timeline = calendar.timeline
        found = np.zeros(t.n, dtype=bool)
        for e in facts.cpp_events:
            found |= _event(t, e, self.window)
        return np.asarray(found & self.in_force(t))

    def charge(self, metered: Metered) -> list[Entry]:
        """See Item."""
        self.say(metered)
        events = self.events(metered.calendar, metered.facts)
        self._disclose(metered, events)
        c, h, crl = metered.cycles, metered.timeline.step_h, self.capacity_reservation_kw
        above = np.maximum(metered.import_kw - crl, 0.0)
        kwh = c.sums(np.where(events, above * h, 0.0))
        out = [
            metered.entry(
                i,
                f"{self.label}/events",
                kwh[i],
                "kWh",
                self.adder_usd_per_kwh,
                kwh[i] * self.adder_usd_per_kwh,
                reason=f"kWh above {crl:g} kW in event hours",
            )
            for i in range(c.n)
            if kwh[i]
        ]
        if crl and self.reservation_usd_per_kw_month:
            months = self.months_in_force(metered, self.reservation_months)
            out += [
                metered.entry(
                    i,
                    f"{self.label}/capacity reservation",
                    crl * months[i],
                    "kW",
                    self.reservation_usd_per_kw_month,
                    crl * months[i] * self.reservation_usd_per_kw_month,
                    reason=f"{crl:g} kW reserved",
                )
                for i in range(c.n)
                if months[i]
            ]
        for credit in self.credits:
            out += self._credit(metered, credit, events)
        return out

    def _disclose(self, metered: Metered, events: Mask) -> None:
        if not events.any():
            metered.assume(f"{self.label}: no critical-peak event in this time")
        for year in np.unique(metered.timeline.year):
            called = np.unique(metered.timeline.day[events & (metered.timeline.year == year)]).size
            if self.max_events is not None and called > self.max_events:
                metered.assume(
                    f"{self.label}: {called} event days in {year}, the tariff allows {self.max_events}"
                )
        if self.bill_protection_months:
            metered.assume(
                f"{self.label}: bill protection of the first {self.bill_protection_months} months is not "
                "applied; it pays back what the year exceeds the bill without this option"
            )

    def _credit(self, metered: Metered, credit: Credit, events: Mask) -> list[Entry]:
        c = metered.cycles
        counted = credit.hours.mask(metered.calendar) & self.metered_in(metered)
        crl = self.capacity_reservation_kw if credit.above_reservation else 0.0
        name = f"{self.label}/{credit.name or ('demand credit' if credit.per == 'kW' else 'energy credit')}"
        if credit.per == "kW":
            top, at = top_by(c.index, metered.averaged(metered.import_kw, credit.window_min), c.n, counted)
            amount = np.maximum(top - crl, 0.0)
            if metered.counted is not None and metered.in_force_frac is not None:
                amount = amount * metered.in_force_frac  # a month's price on a part of the month
        else:
            quiet = np.maximum(metered.import_kw - crl, 0.0) * metered.timeline.step_h
            amount, at = c.sums(np.where(counted & ~events, quiet, 0.0)), np.full(c.n, -1)
        return [
            metered.entry(
                i,
                name,
                amount[i],
                credit.per,
                -credit.usd,
                -credit.usd * amount[i],
                when=int(at[i]) if at[i] >= 0 else None,
                reason=f"credit above {crl:g} kW reserved",
            )
            for i in range(c.n)
            if amount[i]
        ]

    def terms(self, decided: Decided) -> list[Term]:
        """Events: a price an interval above the reserved kWh. Credits: negative prices, exact with the demand
        and energy charges that they reduce."""
        t, h, m = decided.timeline, decided.timeline.step_h, decided.multiplier
        crl = self.capacity_reservation_kw
        events = self.events(decided.calendar, decided.facts)
        out: list[Term] = []

        def part(
            name: str, over: Any, mask: Mask, index: Ints, free: float, usd: float, window_h: Any = None
        ) -> None:
            if not mask.any() or usd == 0:
                return
            blocks = ((Block(free, 0.0),) if free else ()) + (Block(inf, usd * m),)
            out.append(
                Payment(
                    decided.tariff,
                    f"{self.label} {name}",
                    Measure("import", average_h=window_h),
                    over,
                    numbered(np.where(mask, index, -1)),
                    blocks,
                    reason=f"{name} of critical-peak pricing",
                )
            )

        part("events", "each", events, np.zeros(t.n, dtype=np.int64), crl * h, self.adder_usd_per_kwh)
        for k, credit in enumerate(self.credits):
            mask = credit.hours.mask(decided.calendar) & self.in_force(t)
            free = crl if credit.above_reservation else 0.0
            if credit.per == "kW":
                window_h = (
                    credit.window_min / 60
                    if credit.window_min and credit.window_min / 60 > h + 1e-9
                    else None
                )
                part(f"demand credit {k}", "max", mask, decided.cycles.index, free, -credit.usd, window_h)
            else:
                part(
                    f"energy credit {k}",
                    "each",
                    mask & ~events,
                    np.zeros(t.n, dtype=np.int64),
                    free * h,
                    -credit.usd,
                )
        return out


def _event(t: Timeline, e: Any, window: Hours) -> Mask:
    """Intervals of one event: a date, a start time, or a pair of start and end."""
    if isinstance(e, (tuple, list)) and len(e) == 2:
        start, end = (localise(x, t.tz, where="facts.cpp_events") for x in e)
        return np.asarray((t.utc_s >= start.timestamp()) & (t.utc_s < end.timestamp()))
    if isinstance(e, str) and len(e) == 10:
        e = date.fromisoformat(e)
    if isinstance(e, str):
        e = localise(e, t.tz, where="facts.cpp_events")
    if isinstance(e, datetime):
        start = localise(e, t.tz, where="facts.cpp_events")
        from_min, day = float(start.hour * 60 + start.minute), start.date()
    elif isinstance(e, date):
        from_min, day = window.from_h * 60, e
    else:
        raise InputError(f"facts.cpp_events: {e!r} is neither a date nor a time nor a pair of times")
    return np.asarray(
        (t.day == (day - date(1970, 1, 1)).days)
        & (t.minute_of_day >= from_min)
        & (t.minute_of_day < window.to_h * 60)
    )
