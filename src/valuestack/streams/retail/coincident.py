"""Coincident-peak charges: the site's load in the hours when the system peaked."""

from __future__ import annotations

from math import inf
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ...ledger import Entry
from ...terms import Block, Measure, Payment, Term
from .demand import DemandPeriod
from .item import Decided, Item, Metered, Schedule, tiered_usd


class Coincident(Item):
    """usd = sum over cycles and periods of T(mean kW over the cycle's system-peak hours of that period).

    The hours are facts that only the utility knows: `facts.coincident_hours`, start times. A cycle without
    such an hour is charged nothing and says so.
    """

    kind: Literal["coincident"] = "coincident"
    periods: tuple[DemandPeriod, ...] = Field(min_length=1)
    schedule: Schedule
    unit: Literal["kW", "kVA", "hp"] = "kW"
    stage: ClassVar[int] = 0

    def needs(self) -> Any:
        """The hours, and a power factor where kVA are billed."""
        return ("coincident_hours", "power_factor") if self.unit == "kVA" else ("coincident_hours",)

    def charge(self, metered: Metered) -> list[Entry]:
        """See Item."""
        hours = metered.facts.hours_mask("coincident_hours", metered.timeline)
        period = metered.calendar.periods(self.schedule, self.schedule)
        quantity = (
            metered.kva if self.unit == "kVA" else metered.import_kw / (0.7457 if self.unit == "hp" else 1.0)
        )
        out: list[Entry] = []
        silent = []
        for c in range(metered.cycles.n):
            here = hours & (metered.cycles.index == c)
            if not here.any():
                silent.append(metered.cycles.names[c])
            for p, ladder in enumerate(self.periods):
                mine = np.flatnonzero(here & (period == p))
                if mine.size == 0 or (ladder.free and len(self.periods) > 1):
                    continue
                kw = float(quantity[mine].mean())
                rates = np.array([t.usd_per_unit for t in ladder.tiers])
                upto = np.array([inf if t.upto is None else t.upto for t in ladder.tiers])
                usd = float(tiered_usd(np.array([kw]), upto, rates)[0])
                out.append(
                    metered.entry(
                        c,
                        f"coincident/{ladder.name or f'period {p}'}",
                        kw,
                        self.unit,
                        float(rates[0]) if len(rates) == 1 else None,
                        usd,
                        when=int(mine[0]),
                        reason=f"mean over {mine.size * metered.timeline.step_h:g} h of system peak",
                    )
                )
        if silent:
            metered.assume(
                f"coincident/{self.name or 'peak'}: no system-peak hour is given in {', '.join(silent)}; "
                "nothing is charged there"
            )
        return out

    def terms(self, decided: Decided) -> list[Term]:
        """A price on each interval of the hours: rate / (hours of the cycle and period). Exact for one tier."""
        hours = decided.facts.hours_mask("coincident_hours", decided.timeline)
        period = decided.calendar.periods(self.schedule, self.schedule)
        price = np.zeros(decided.timeline.n)
        for c in range(decided.cycles.n):
            for p, ladder in enumerate(self.periods):
                mine = hours & (decided.cycles.index == c) & (period == p)
                if mine.any():
                    price[mine] = ladder.tiers[0].usd_per_unit / (mine.sum() * decided.timeline.step_h)
        if not price.any():
            return []
        scale = 1 / 0.7457 if self.unit == "hp" else 1.0
        if self.unit == "kVA" and decided.facts.power_factor is not None:
            scale = 1 / float(np.mean(decided.facts.power_factor))
        one = all(len(p.tiers) == 1 for p in self.periods)
        return [
            Payment(
                decided.tariff,
                f"coincident{' ' + self.name if self.name else ''}",
                Measure("import"),
                "each",
                np.zeros(decided.timeline.n, dtype=np.int64),
                (Block(inf, price * scale * decided.multiplier),),
                exact=one and self.unit != "kVA",
                reason="load in the hours of system peak",
            )
        ]
