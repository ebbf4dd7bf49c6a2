"""Standby service for sites that generate: a reservation, the demand used each day, and backup energy."""

from __future__ import annotations

from math import inf
from typing import ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ...ledger import Entry
from ...terms import Block, Measure, Payment, Term
from ...timeline import Ints
from ._clause import Clause, Hours, Mask, numbered, top_by
from .item import Decided, Metered


class DailyDemand(BaseModel):
    """As-used demand: each day's highest mean within `hours` costs usd_per_kw_day."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    hours: Hours
    usd_per_kw_day: float
    name: str = ""
    window_min: float | None = Field(default=None, gt=0)


class Standby(Clause):
    """usd = reservation x contract kW x months + sum over days of usd_per_kw_day x P_day + backup x kWh above

    P_day: the day's highest mean within the hours of each DailyDemand. Backup energy is what is drawn above
    supplemental_kw, the part of the load that another schedule serves. A battery alone seldom brings a site
    under such a schedule; generators do.
    Worked: 2.00 USD/kW on 500 kW contracted = 1,000.00 USD a month; 0.50 USD/kW-day on days of 100 and 300 kW
    = 200.00 USD.
    """

    kind: Literal["standby"] = "standby"
    contract_kw: float = Field(ge=0)
    reservation_usd_per_kw_month: float = Field(default=0.0, ge=0)
    daily_demand: tuple[DailyDemand, ...] = ()
    backup_usd_per_kwh: float | None = None
    supplemental_kw: float = Field(default=0.0, ge=0)
    stage: ClassVar[int] = 0

    def charge(self, metered: Metered) -> list[Entry]:
        """See Item."""
        self.say(metered)
        c, t = metered.cycles, metered.timeline
        months, out = self.months_in_force(metered), []
        for i in range(c.n):
            if self.reservation_usd_per_kw_month and months[i]:
                out.append(
                    metered.entry(
                        i,
                        f"{self.label}/reservation",
                        self.contract_kw * months[i],
                        "kW",
                        self.reservation_usd_per_kw_month,
                        self.contract_kw * months[i] * self.reservation_usd_per_kw_month,
                        reason=f"{self.contract_kw:g} kW contracted",
                    )
                )
        for k, daily in enumerate(self.daily_demand):
            mask = self.in_force(t) & daily.hours.mask(metered.calendar)
            day = t.day - t.day[0]
            top, at = top_by(
                day, metered.averaged(metered.import_kw, daily.window_min), int(day[-1]) + 1, mask
            )
            seen = at >= 0
            summed = np.bincount(c.index[at[seen]], weights=top[seen], minlength=c.n)
            out += [
                metered.entry(
                    i,
                    f"{self.label}/{daily.name or f'daily demand {k + 1}'}",
                    summed[i],
                    "kW-day",
                    daily.usd_per_kw_day,
                    summed[i] * daily.usd_per_kw_day,
                    reason="sum of each day's highest mean",
                )
                for i in range(c.n)
                if summed[i]
            ]
        if self.backup_usd_per_kwh:
            over = np.where(self.in_force(t), np.maximum(metered.import_kw - self.supplemental_kw, 0.0), 0.0)
            kwh = c.sums(over * t.step_h)
            out += [
                metered.entry(
                    i,
                    f"{self.label}/backup energy",
                    kwh[i],
                    "kWh",
                    self.backup_usd_per_kwh,
                    kwh[i] * self.backup_usd_per_kwh,
                    reason=f"kWh above {self.supplemental_kw:g} kW",
                )
                for i in range(c.n)
                if kwh[i]
            ]
        return out

    def terms(self, decided: Decided) -> list[Term]:
        """Daily peaks and the energy above the supplemental load; the reservation is sunk."""
        t, m = decided.timeline, decided.multiplier
        on, out = self.in_force(t), []
        for k, daily in enumerate(self.daily_demand):
            mask: Mask = on & daily.hours.mask(decided.calendar)
            window: Ints = numbered(np.where(mask, t.day - t.day[0], -1))
            if window.max(initial=-1) >= 0:
                wide = daily.window_min is not None and daily.window_min / 60 > t.step_h + 1e-9
                out.append(
                    Payment(
                        decided.tariff,
                        f"{self.label} {daily.name or f'daily demand {k + 1}'}",
                        Measure("import", average_h=(daily.window_min or 0) / 60 if wide else None),
                        "max",
                        window,
                        (Block(inf, daily.usd_per_kw_day * m),),
                        reason="as-used daily demand",
                    )
                )
        if self.backup_usd_per_kwh:
            free = self.supplemental_kw * t.step_h
            blocks = ((Block(free, 0.0),) if free else ()) + (Block(inf, self.backup_usd_per_kwh * m),)
            out.append(
                Payment(
                    decided.tariff,
                    f"{self.label} backup energy",
                    Measure("import"),
                    "each",
                    np.where(on, 0, -1),
                    blocks,
                    reason="backup energy above the supplemental load",
                )
            )
        return list(out)
