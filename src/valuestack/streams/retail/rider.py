"""Riders: adjustments beside the base rates, per kWh, kW, month, day, or as a share of other charges."""

from __future__ import annotations

from math import inf
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from ...ledger import Entry
from ...terms import Block, Measure, Payment, Term
from ._clause import ALL_MONTHS, Clause, Hours, charged, matches, numbered, top_by
from .item import Decided, Metered


class Rider(Clause):
    """usd x quantity, or share_frac x the charges in applies_to; in force from valid_from until valid_until.

    per: 'kWh' drawn within `hours`; 'kW' highest mean within `hours`; 'billed kW' of the demand charge,
    ratchet included; 'month', 'day'; 'share' of charges named by item ('energy', 'demand/summer peak'; () =
    all so far). usd < 0 is a credit. monthly_usd: 12 values by calendar month in place of usd.
    Worked: 0.00114 USD/kWh on 200,000 kWh are 228.00 USD.
    """

    kind: Literal["rider"] = "rider"
    per: Literal["kWh", "kW", "billed kW", "month", "day", "share"]
    usd: float | None = None
    monthly_usd: tuple[float, ...] | None = None
    share_frac: float | None = None
    applies_to: tuple[str, ...] = ()
    hours: Hours = Hours()
    months: tuple[int, ...] = ALL_MONTHS
    window_min: float | None = Field(default=None, gt=0)
    stage: ClassVar[int] = 1

    @model_validator(mode="after")
    def _one_amount(self) -> Rider:
        given = [k for k in ("usd", "monthly_usd", "share_frac") if getattr(self, k) is not None]
        if len(given) != 1 or (self.per == "share") != (given == ["share_frac"]):
            raise ValueError("give share_frac where per = 'share', else either usd or monthly_usd")
        if self.monthly_usd is not None and len(self.monthly_usd) != 12:
            raise ValueError("monthly_usd: give 12 values")
        return self

    def _price(self, month: Any) -> Any:
        """Price by calendar month 1..12, 0 outside `months`."""
        by_month = np.array(self.monthly_usd if self.monthly_usd is not None else [self.usd or 0.0] * 12)
        return np.where(np.isin(month, self.months), by_month[np.asarray(month) - 1], 0.0)

    @property
    def by_interval(self) -> bool:
        """See Item: kWh belong to the version in force when they are drawn."""
        return self.per == "kWh"

    @property
    def prorate(self) -> Literal["intervals", "days", "derived"]:
        """See Item: a share of charges scales with them."""
        return "derived" if self.per == "share" else super().prorate

    def scales(self, item: str) -> float:
        """By which share this rider raises a charge named `item`."""

        return self.share_frac or 0.0 if self.per == "share" and matches(item, self.applies_to) else 0.0

    def charge(self, metered: Metered) -> list[Entry]:
        """See Item."""
        self.say(metered)
        if self.per == "share":
            return self._share(metered)
        c, t = metered.cycles, metered.timeline
        mask = self.in_force(t) & self.hours.mask(metered.calendar)
        at = np.full(c.n, -1)
        if self.per == "kWh":
            kwh = np.where(mask, metered.import_kw * t.step_h, 0.0)
            quantity, usd = c.sums(kwh), c.sums(kwh * self._price(t.month))
        elif self.per in ("month", "day"):
            share = self.months_in_force(metered, self.months)
            quantity = share * (c.days if self.per == "day" else 1.0)
            usd = quantity * self._price(c.month)
        else:
            if self.per == "billed kW" and metered.billed_kw is not None:
                quantity = metered.billed_kw * (self.months_in_force(metered) > 0)
            else:
                quantity, at = top_by(
                    c.index, metered.averaged(metered.import_kw, self.window_min), c.n, mask
                )
            # A demand rider of a month that the cycle touches in part weighs by its days.
            usd = quantity * np.array(
                [
                    self._price(t.month[c.index == i]).mean() if (c.index == i).any() else 0.0
                    for i in range(c.n)
                ]
            )
        return [
            metered.entry(
                i,
                self.label,
                quantity[i],
                self.per.split()[-1],
                usd[i] / quantity[i],
                usd[i],
                when=int(at[i]) if at[i] >= 0 else None,
                reason=f"rider per {self.per}",
            )
            for i in range(c.n)
            if quantity[i] and usd[i]
        ]

    def _share(self, metered: Metered) -> list[Entry]:
        share, out = self.months_in_force(metered, self.months), []
        for i, name in enumerate(metered.cycles.names):
            base = -sum(e.usd for e in charged(metered.entries, name, self.applies_to))
            # Prorated by the part of the metered cycle in which the rider is in force.
            part = share[i] / metered.cycles.covered_frac[i] if metered.cycles.covered_frac[i] else 0.0
            rate = (self.share_frac or 0.0) * part
            if base and rate:
                out.append(
                    metered.entry(
                        i,
                        self.label,
                        base,
                        "USD",
                        rate,
                        base * rate,
                        reason=f"{100 * rate:.4g} % of {', '.join(self.applies_to) or 'all charges'}",
                    )
                )
        return out

    def terms(self, decided: Decided) -> list[Term]:
        """kWh: a price an interval. kW: a Payment on the maximum. A share scales others' terms."""
        t = decided.timeline
        mask = self.in_force(t) & self.hours.mask(decided.calendar)
        price = self._price(t.month) * decided.multiplier
        if self.per == "kWh":
            return [
                Payment(
                    decided.tariff,
                    self.label,
                    Measure("import"),
                    "each",
                    np.where(mask, 0, -1),
                    (Block(inf, price),),
                    reason="rider per kWh",
                )
            ]
        if self.per in ("kW", "billed kW"):
            window = numbered(np.where(mask, decided.cycles.index, -1))
            if window.max(initial=-1) < 0:
                return []
            rates = np.array(
                [price[decided.cycles.index == c].mean() for c in np.unique(decided.cycles.index[mask])]
            )
            wide = self.window_min is not None and self.window_min / 60 > t.step_h + 1e-9
            return [
                Payment(
                    decided.tariff,
                    self.label,
                    Measure("import", average_h=(self.window_min or 0) / 60 if wide else None),
                    "max",
                    window,
                    (Block(inf, rates),),
                    reason=f"rider per {self.per}",
                    exact=self.per == "kW",
                )
            ]
        return []
