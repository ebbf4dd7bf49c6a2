"""Contract demand: a minimum billed demand, and a minimum take of energy."""

from __future__ import annotations

from math import inf
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from ...ledger import Entry
from ...terms import Block, Floor, Measure, Payment, Term
from ._clause import Clause, charged, numbered, top_by
from .item import Decided, Metered


class ContractDemand(Clause):
    """usd = usd_per_kw x (share_frac x contract_kw - B)+ + usd_per_kwh x (least kWh - E)+

    B: billed demand of the cycle (after ratchet); E: its import kWh. usd_per_kw None: what the flat demand
    charge costs per kW in that cycle. least kWh = min_kwh_per_month, or min_load_factor_frac x contract_kw x
    hours; both are prorated in a cycle that the data cover in part.
    Worked: 80 % of 1,000 kW contracted, 650 kW billed, 12.00 USD/kW: 150 kW more, 1,800.00 USD.
    """

    kind: Literal["contract_demand"] = "contract_demand"
    contract_kw: float = Field(gt=0)
    share_frac: float = Field(default=1.0, gt=0, le=1)
    usd_per_kw: float | None = Field(default=None, ge=0)
    min_kwh_per_month: float | None = Field(default=None, ge=0)
    min_load_factor_frac: float | None = Field(default=None, ge=0, le=1)
    usd_per_kwh: float | None = Field(default=None, ge=0)
    window_min: float | None = Field(default=None, gt=0)
    stage: ClassVar[int] = 1

    @model_validator(mode="after")
    def _take(self) -> ContractDemand:
        take = [x for x in (self.min_kwh_per_month, self.min_load_factor_frac) if x is not None]
        if len(take) > 1 or bool(take) != (self.usd_per_kwh is not None):
            raise ValueError(
                "a minimum take needs usd_per_kwh and one of min_kwh_per_month, min_load_factor_frac"
            )
        return self

    @property
    def least_kw(self) -> float:
        """Least billed demand."""
        return self.share_frac * self.contract_kw

    def charge(self, metered: Metered) -> list[Entry]:
        """See Item."""
        self.say(metered)
        c = metered.cycles
        on, out = self.months_in_force(metered), []
        own, _ = top_by(c.index, metered.averaged(metered.import_kw, self.window_min), c.n)
        billed = metered.billed_kw if metered.billed_kw is not None else own
        kwh = c.sums(
            np.where(self.in_force(metered.timeline), metered.import_kw, 0.0) * metered.timeline.step_h
        )
        for i in range(c.n):
            short = max(0.0, self.least_kw - float(billed[i]))
            rate = self._rate(metered, i)
            if short and on[i] and rate:
                out.append(
                    metered.entry(
                        i,
                        f"{self.label}/minimum demand",
                        short,
                        "kW",
                        rate,
                        short * rate * on[i],
                        reason=f"{self.least_kw:,.2f} kW contracted, {billed[i]:,.2f} kW billed",
                    )
                )
            least = self._least_kwh(float(on[i]), float(c.days[i]))
            if least > kwh[i]:
                out.append(
                    metered.entry(
                        i,
                        f"{self.label}/minimum take",
                        least - kwh[i],
                        "kWh",
                        self.usd_per_kwh,
                        (least - kwh[i]) * (self.usd_per_kwh or 0.0),
                        reason=f"{least:,.0f} kWh to be taken, {kwh[i]:,.0f} kWh drawn",
                    )
                )
        return out

    def _least_kwh(self, share: float, days: float) -> float:
        if self.min_load_factor_frac is not None:
            return self.min_load_factor_frac * self.contract_kw * 24 * days * share
        return (self.min_kwh_per_month or 0.0) * share

    def _rate(self, metered: Metered, i: int) -> float:
        """USD per kW not drawn: stated, or of the largest flat demand charge of the cycle."""
        if self.usd_per_kw is not None:
            return self.usd_per_kw
        lines = [e for e in charged(metered.entries, metered.cycles.names[i], ("demand",)) if e.usd_per_unit]
        if not lines:
            return 0.0
        top = max(lines, key=lambda e: e.quantity)
        metered.assume(f"{self.label}: kW short of the contract cost what {top.item} costs")
        return float(top.usd_per_unit or 0.0)

    def terms(self, decided: Decided) -> list[Term]:
        """r (least - P)+ as r max(P, least) - r P, exact with the demand charge it stands beside and without
        a ratchet; the minimum take as a price that holds below it, less a constant."""
        t, m = decided.timeline, decided.multiplier
        on = self.in_force(t)
        window = numbered(np.where(on, decided.cycles.index, -1))
        n = int(window.max(initial=-1)) + 1
        if n == 0:
            return []
        out: list[Term] = []
        if self.usd_per_kw:
            wide = self.window_min is not None and self.window_min / 60 > t.step_h + 1e-9
            measure = Measure("import", average_h=(self.window_min or 0) / 60 if wide else None)
            rate, floors = self.usd_per_kw * m, tuple(Floor(w, least=self.least_kw) for w in range(n))
            why = "contract demand: kW below the minimum are billed"
            out = [
                Payment(
                    decided.tariff,
                    f"{self.label} floor",
                    measure,
                    "max",
                    window,
                    (Block(inf, rate),),
                    why,
                    floors=floors,
                ),
                Payment(
                    decided.tariff, f"{self.label} drawn", measure, "max", window, (Block(inf, -rate),), why
                ),
            ]
        if self.usd_per_kwh:
            days = decided.cycles.days * decided.cycles.covered_frac
            least = np.array(
                [
                    self._least_kwh(1.0 if self.min_load_factor_frac is not None else f, d)
                    for f, d in zip(decided.cycles.covered_frac, days, strict=True)
                ]
            )[np.unique(decided.cycles.index[on])]
            rate = self.usd_per_kwh * m
            why = "minimum take: kWh below it are billed as if drawn"
            floors = tuple(Floor(w, least=float(least[w])) for w in range(n))
            out += [
                Payment(
                    decided.tariff,
                    f"{self.label} take",
                    Measure("import"),
                    "sum",
                    window,
                    (Block(inf, rate),),
                    why,
                    floors=floors,
                ),
                Payment(
                    decided.tariff,
                    f"{self.label} taken",
                    Measure("import"),
                    "sum",
                    window,
                    (Block(inf, -rate),),
                    why,
                ),
            ]
        return out
