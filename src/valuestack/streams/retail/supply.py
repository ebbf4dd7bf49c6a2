"""Supply: what a retailer charges for energy beside delivery: fixed, index, blocks, bandwidth."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ...errors import DataError
from ...ledger import Entry
from ...terms import Block, Measure, Payment, Term
from ...timeline import Kw
from ._clause import ALL_MONTHS, Clause, Hours
from .item import Decided, Metered


class Tag(BaseModel):
    """Capacity or transmission passed through: tag kW at usd_per_kw_month or usd_per_mw_day.

    kw: the tag (PLC, ICAP, NSPL); None = facts.more[name + '_kw']. The tag was set by past system peaks: no
    decision of this period moves it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    kw: float | None = Field(default=None, ge=0)
    usd_per_kw_month: float | None = None
    usd_per_mw_day: float | None = None
    months: tuple[int, ...] = ALL_MONTHS

    @model_validator(mode="after")
    def _one_price(self) -> Tag:
        if (self.usd_per_kw_month is None) == (self.usd_per_mw_day is None):
            raise ValueError(f"tag {self.name!r}: give either usd_per_kw_month or usd_per_mw_day")
        return self


class PowerBlock(BaseModel):
    """A purchased block: `kw` in `hours` at a fixed price."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kw: float = Field(ge=0)
    usd_per_kwh: float
    hours: Hours = Hours()


class Supply(Clause):
    """Energy at the meter grossed up by losses, L = import kW x (1 + loss_frac), priced by `form`:

    fixed       usd_per_kwh x L
    index       (price_t + adder) x L_t
    block       sum over blocks of fixed price x B_t + (price_t + adder) x (L_t - B_t): what a block exceeds
                the load is sold back at the index
    bandwidth   fixed price within (1 -+ band_frac) x expected_kwh; above, the excess at the index; below, the
                shortfall at fixed price less index (the supplier resells what was not taken). The index of a
                cycle is its mean weighted by the load. expected_kwh: by calendar month, as in the contract
    plus        tags: kW x price, passed through

    Prices are facts (BillFacts.prices [USD/kWh], or the series named price_name). Worked: 100 kW block at
    0.05, one hour at 150 kW and one at 80 kW, index 0.10 and 0.02: 10.00 + 5.00 - 0.40 = 14.60 USD.
    """

    kind: Literal["supply"] = "supply"
    form: Literal["fixed", "index", "block", "bandwidth"]
    usd_per_kwh: float | None = None
    adder_usd_per_kwh: float = 0.0
    loss_frac: float = Field(default=0.0, ge=0, lt=0.5)
    blocks: tuple[PowerBlock, ...] = ()
    expected_kwh: tuple[float, ...] = ()
    band_frac: float | None = Field(default=None, ge=0, lt=1)
    price_name: str = "energy"
    tags: tuple[Tag, ...] = ()
    stage: ClassVar[int] = 0

    @model_validator(mode="after")
    def _complete(self) -> Supply:
        lacking = []
        if self.form in ("fixed", "bandwidth") and self.usd_per_kwh is None:
            lacking.append("usd_per_kwh")
        if self.form == "block" and not self.blocks:
            lacking.append("blocks")
        if self.form == "bandwidth" and (len(self.expected_kwh) != 12 or self.band_frac is None):
            lacking.append("expected_kwh (12 values) and band_frac")
        if lacking:
            raise ValueError(f"form {self.form!r} needs {', '.join(lacking)}")
        return self

    def needs(self) -> Any:
        """Prices, unless the price is fixed."""
        return () if self.form == "fixed" else ("prices",)

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
        return values + self.adder_usd_per_kwh

    def charge(self, metered: Metered) -> list[Entry]:
        """See Item."""
        self.say(metered)
        c, t = metered.cycles, metered.timeline
        on = self.metered_in(metered)
        kwh = np.where(on, metered.import_kw * t.step_h * (1 + self.loss_frac), 0.0)
        out: list[Entry] = []
        if self.form == "fixed":
            out = self._lines(metered, "energy", c.sums(kwh), self.usd_per_kwh or 0.0, "fixed price")
        elif self.form == "index":
            usd = c.sums(kwh * self._prices(metered.facts, t.n))
            out = self._valued(
                metered, "energy", c.sums(kwh), usd, "market index of each interval plus adder"
            )
        elif self.form == "block":
            out = self._blocks(metered, kwh, on)
        else:
            out = self._band(metered, kwh)
        return out + [e for tag in self.tags for e in self._tag(metered, tag)]

    def _lines(self, m: Metered, what: str, kwh: Kw, rate: float, why: str) -> list[Entry]:
        return [
            m.entry(i, f"{self.label}/{what}", q, "kWh", rate, q * rate, reason=why)
            for i, q in enumerate(kwh)
            if q
        ]

    def _valued(self, m: Metered, what: str, kwh: Kw, usd: Kw, why: str) -> list[Entry]:
        return [
            m.entry(i, f"{self.label}/{what}", q, "kWh", usd[i] / q if q else None, usd[i], reason=why)
            for i, q in enumerate(kwh)
            if q or usd[i]
        ]

    def _block_kwh(self, source: Metered | Decided, on: Any) -> Kw:
        """Purchased kWh of each block and interval, (blocks, n)."""
        t = source.timeline
        return np.array(
            [np.where(on & b.hours.mask(source.calendar), b.kw * t.step_h, 0.0) for b in self.blocks]
        )

    def _blocks(self, metered: Metered, kwh: Kw, on: Any) -> list[Entry]:
        c, price = metered.cycles, self._prices(metered.facts, metered.timeline.n)
        bought, out = self._block_kwh(metered, on), []
        for k, block in enumerate(self.blocks):
            out += self._lines(
                metered, f"block {k + 1}", c.sums(bought[k]), block.usd_per_kwh, f"block of {block.kw:g} kW"
            )
        rest = kwh - bought.sum(axis=0)
        return out + self._valued(
            metered,
            "balance at index",
            c.sums(rest),
            c.sums(rest * price),
            "load less blocks, at the market index of each interval",
        )

    def _band(self, metered: Metered, kwh: Kw) -> list[Entry]:
        c, price = metered.cycles, self._prices(metered.facts, metered.timeline.n)
        used, usd = c.sums(kwh), c.sums(kwh * price)
        flat = c.sums(price) / np.maximum(np.bincount(c.index, minlength=c.n), 1)
        index = np.where(used > 0, usd / np.where(used > 0, used, 1.0), flat)
        expected = np.array(self.expected_kwh)[c.month - 1] * metered.part_frac
        band, fixed = self.band_frac or 0.0, self.usd_per_kwh or 0.0
        low, high = expected * (1 - band), expected * (1 + band)
        out = self._lines(metered, "energy", np.minimum(used, high), fixed, "fixed price within the band")
        over, under = np.maximum(used - high, 0.0), np.maximum(low - used, 0.0)
        out += self._valued(
            metered,
            "above the band",
            over,
            over * index,
            f"beyond {100 * band:g} % above expectation, at index",
        )
        return out + self._valued(
            metered,
            "below the band",
            under,
            under * (fixed - index),
            f"beyond {100 * band:g} % below expectation, at fixed price less index",
        )

    def _tag(self, metered: Metered, tag: Tag) -> list[Entry]:
        kw = tag.kw if tag.kw is not None else metered.facts.more.get(f"{tag.name}_kw")
        if kw is None:
            raise DataError(
                f"{self.label}: the {tag.name} tag is not known; write its kw, or give "
                f"facts.more[{tag.name + '_kw'!r}]"
            )
        share, out = self.months_in_force(metered, tag.months), []
        for i in range(metered.cycles.n):
            if tag.usd_per_kw_month is not None:
                rate, times, what = tag.usd_per_kw_month, share[i], "a month"
            else:
                rate, times, what = (
                    (tag.usd_per_mw_day or 0.0) / 1000,
                    share[i] * metered.cycles.days[i],
                    "a day",
                )
            if times:
                out.append(
                    metered.entry(
                        i,
                        f"{self.label}/{tag.name} tag",
                        float(kw) * times,
                        "kW",
                        rate,
                        float(kw) * times * rate,
                        reason=f"{float(kw):g} kW at {rate:.6g} USD/kW {what}",
                    )
                )
        return out

    def terms(self, decided: Decided) -> list[Term]:
        """A price an interval; exact but for a bandwidth, whose index depends on the load it weighs.

        Blocks and tags are sunk."""
        t, gross = decided.timeline, (1 + self.loss_frac) * decided.multiplier
        window = np.where(self.in_force(t), 0, -1)
        if self.form == "fixed":
            price: Any = np.full(t.n, (self.usd_per_kwh or 0.0) * gross)
        else:
            price = self._prices(decided.facts, t.n) * gross
        if self.form != "bandwidth":
            return [
                Payment(
                    decided.tariff,
                    f"{self.label} energy",
                    Measure("import"),
                    "each",
                    window,
                    (Block(inf, price),),
                    reason=f"supply, {self.form}",
                )
            ]
        c = decided.cycles
        index = c.sums(price) / np.maximum(np.bincount(c.index, minlength=c.n), 1)
        expected = np.array(self.expected_kwh)[c.month - 1] * c.covered_frac / (1 + self.loss_frac)
        band, fixed = self.band_frac or 0.0, (self.usd_per_kwh or 0.0) * gross
        return [
            Payment(
                decided.tariff,
                f"{self.label} energy",
                Measure("import"),
                "sum",
                np.where(window < 0, -1, c.index),
                (Block(expected * (1 - band), index), Block(expected * (1 + band), fixed), Block(inf, index)),
                reason="bandwidth on the cycle's kWh; its index is taken as the cycle's plain mean",
                exact=False,
            )
        ]
