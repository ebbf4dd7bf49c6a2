"""Hourly pricing by the utility: all energy at the hour's price, or what departs from a baseline load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from ...errors import DataError
from ...ledger import Entry
from ...registry import find
from ...terms import Block, Measure, Payment, Term
from ...timeline import Kw
from ._clause import Clause
from .item import Decided, Item, Metered, charge_in_order


class HourlyPrice(Clause):
    """one_part: sum of (price_t + adder) x (1 + loss) x kWh_t
    two_part: bill of the baseline load on the base items + sum of (price_t + adder)(1 + loss)(kW_t - CBL_t) h

    CBL, the customer baseline load: 12 x 24 weekday and off-day kW, or facts.more['cbl_kw'], (n,). Below it,
    energy is sold back at the hour's price. base: the items of the standard tariff, as written in a tariff
    file, that the CBL is billed on (Georgia Power RTP and its kind). Prices are facts [USD/kWh].
    Worked: CBL bill 5,000.00 USD; one hour 200 kW above at 0.30, one 100 kW below at 0.05: 5,055.00 USD.
    """

    kind: Literal["hourly_price"] = "hourly_price"
    form: Literal["one_part", "two_part"] = "one_part"
    adder_usd_per_kwh: float = 0.0
    loss_frac: float = Field(default=0.0, ge=0, lt=0.5)
    price_name: str = "energy"
    cbl_weekday_kw: tuple[tuple[float, ...], ...] = ()
    cbl_off_day_kw: tuple[tuple[float, ...], ...] = ()
    base: tuple[dict[str, Any], ...] = ()
    stage: ClassVar[int] = 0

    @model_validator(mode="after")
    def _shapes(self) -> HourlyPrice:
        for key in ("cbl_weekday_kw", "cbl_off_day_kw"):
            rows = getattr(self, key)
            if rows and (len(rows) != 12 or any(len(r) != 24 for r in rows)):
                raise ValueError(f"{key}: 12 months of 24 hourly kW")
        if bool(self.cbl_weekday_kw) != bool(self.cbl_off_day_kw):
            raise ValueError("give both cbl_weekday_kw and cbl_off_day_kw, or neither")
        if (self.form == "two_part") != bool(self.base):
            raise ValueError(
                "base: the items on which the baseline load is billed; two_part needs them, one_part not"
            )
        self.items()
        return self

    def items(self) -> list[Item]:
        """Base items, validated, in order of their stage."""
        made = [find("streams.retail", str(b.get("kind", ""))).model_validate(b) for b in self.base]
        return sorted(made, key=lambda i: (i.stage, i.waits))

    def needs(self) -> Any:
        """Prices, and what the base items need."""
        return tuple(dict.fromkeys(["prices", *(n for i in self.items() for n in i.needs())]))

    def _prices(self, facts: Any, n: int) -> Kw:
        found = facts.prices
        if isinstance(found, Mapping):
            found = found.get(self.price_name)
        if found is None:
            raise DataError(
                f"{self.label}: no prices called {self.price_name!r}; give facts.prices in USD/kWh"
            )
        values = np.asarray(found, dtype=float)
        if values.shape != (n,) or not np.isfinite(values).all():
            raise DataError(f"{self.label}: prices of shape {values.shape} should be {n} finite values")
        return (values + self.adder_usd_per_kwh) * (1 + self.loss_frac)

    def cbl_kw(self, source: Metered | Decided) -> Kw:
        """Baseline load, (n,)."""
        t = source.timeline
        if not self.cbl_weekday_kw:
            given = source.facts.more.get("cbl_kw")
            if given is None:
                raise DataError(
                    f"{self.label}: the baseline load is not known; write it as cbl_weekday_kw and "
                    "cbl_off_day_kw, or give facts.more['cbl_kw']"
                )
            return np.array(np.broadcast_to(np.asarray(given, dtype=float), (t.n,)))
        cell = (t.month - 1) * 24 + t.hour
        on, off = (
            np.asarray(r, dtype=float).ravel()[cell] for r in (self.cbl_weekday_kw, self.cbl_off_day_kw)
        )
        return np.asarray(np.where(source.calendar.off_day, off, on), dtype=np.float64)

    def charge(self, metered: Metered) -> list[Entry]:
        """See Item."""
        self.say(metered)
        t, c = metered.timeline, metered.cycles
        on = self.metered_in(metered)
        price = self._prices(metered.facts, t.n)
        cbl = self.cbl_kw(metered) if self.form == "two_part" else np.zeros(t.n)
        kwh = np.where(on, (metered.import_kw - cbl) * t.step_h, 0.0)
        quantity, usd = c.sums(kwh), c.sums(kwh * price)
        what = "energy" if self.form == "one_part" else "deviation from baseline"
        out = self._baseline(metered, cbl) if self.form == "two_part" else []
        return out + [
            metered.entry(
                i,
                f"{self.label}/{what}",
                quantity[i],
                "kWh",
                usd[i] / quantity[i] if abs(quantity[i]) > 1e-9 else None,
                usd[i],
                reason="each interval at its own price",
            )
            for i in range(c.n)
            if quantity[i] or usd[i]
        ]

    def _baseline(self, metered: Metered, cbl: Kw) -> list[Entry]:
        inner = Metered(
            timeline=metered.timeline,
            net_kw=cbl,
            net_kvar=None,
            cycles=metered.cycles,
            calendar=metered.calendar,
            facts=metered.facts,
            history=metered.history,
            tariff=metered.tariff,
            counterparty=metered.counterparty,
            assumptions=metered.assumptions,
            in_force_frac=metered.in_force_frac,
            counted=metered.counted,
        )
        return [
            replace(e, item=f"{self.label}/baseline {e.item}", reason=f"of the baseline load: {e.reason}")
            for e in charge_in_order(self.items(), inner)
        ]

    def terms(self, decided: Decided) -> list[Term]:
        """One price an interval, on import or its difference to the baseline; the baseline's bill is sunk."""
        t = decided.timeline
        price, window = (
            self._prices(decided.facts, t.n) * decided.multiplier,
            np.where(self.in_force(t), 0, -1),
        )
        if self.form == "one_part":
            return [
                Payment(
                    decided.tariff,
                    f"{self.label} energy",
                    Measure("import"),
                    "each",
                    window,
                    (Block(inf, price),),
                    reason="hourly price",
                )
            ]
        # measured as baseline - import, hence the sign
        return [
            Payment(
                decided.tariff,
                f"{self.label} deviation",
                Measure("import", reference_kw=self.cbl_kw(decided)),
                "each",
                window,
                (Block(inf, -price),),
                reason="hourly price on what departs from the baseline",
            )
        ]
