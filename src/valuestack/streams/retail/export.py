"""Credit for energy fed to the grid."""

from __future__ import annotations

from math import inf
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from ...errors import DataError
from ...ledger import Entry
from ...terms import Block, Measure, Payment, Term
from ...timeline import Ints, Kw
from .item import Decided, Item, Metered, Schedule


class Export(Item):
    """usd = - sum over intervals of export x price of its period.

    netting 'interval' credits each metering interval; 'hour' nets import and export within the clock hour
    first; 'gross' credits all generation, which is then needed as a fact (buy all, sell all).
    """

    kind: Literal["export"] = "export"
    usd_per_kwh: tuple[float, ...] = Field(min_length=1)
    weekday: Schedule
    weekend: Schedule
    netting: Literal["interval", "hour", "gross"] = "interval"
    stage: ClassVar[int] = 0

    def charge(self, metered: Metered) -> list[Entry]:
        """See Item."""
        kw = self._kw(metered)
        if not kw.any():
            return []
        period = metered.calendar.periods(self.weekday, self.weekend)
        size, out = len(self.usd_per_kwh), []
        kwh = np.bincount(
            metered.cycles.index * size + period,
            weights=kw * metered.timeline.step_h,
            minlength=metered.cycles.n * size,
        ).reshape(-1, size)
        for c in range(metered.cycles.n):
            for p in range(size):
                if kwh[c, p] > 0:
                    price = self.usd_per_kwh[p]
                    out.append(
                        metered.entry(
                            c,
                            f"export/{self.name or f'period {p}'}",
                            kwh[c, p],
                            "kWh",
                            -price,
                            -price * kwh[c, p],
                            reason="credit for energy fed to the grid",
                        )
                    )
        return out

    def _kw(self, metered: Metered) -> Kw:
        if self.netting == "gross":
            generation = metered.facts.generation_kw
            if generation is None and metered.export_kw.any():
                raise DataError(
                    "buy all, sell all with exports needs gross generation: BillFacts(generation_kw=...)"
                )
            return np.zeros(metered.timeline.n) if generation is None else np.asarray(generation, dtype=float)
        if self.netting == "hour" and metered.timeline.step_h < 1:
            hour = metered.timeline.block(1.0)
            mean = np.bincount(hour, weights=metered.net_kw) / np.bincount(hour)
            return np.maximum(-mean, 0.0)[hour]
        return metered.export_kw

    def terms(self, decided: Decided) -> list[Term]:
        """A negative price on export, an interval at a time."""
        if self.netting == "gross" or not any(self.usd_per_kwh):
            return []
        period: Ints = decided.calendar.periods(self.weekday, self.weekend)
        price = -np.array(self.usd_per_kwh)[period] * decided.multiplier
        return [
            Payment(
                decided.tariff,
                f"export{' ' + self.name if self.name else ''}",
                Measure("export"),
                "each",
                np.zeros(decided.timeline.n, dtype=np.int64),
                (Block(inf, price),),
                exact=self.netting == "interval" or decided.timeline.step_h >= 1,
                reason="credit for energy fed to the grid",
            )
        ]
