"""Minimum bills: the charges of a cycle, or of a year, come to at least so much."""

from __future__ import annotations

from math import fsum, inf
from typing import ClassVar, Literal

import numpy as np

from ...ledger import Entry
from ...terms import Minimum as MinimumTerm
from ...terms import Term
from ...timeline import Ints
from .cycles import Cycles
from .item import Decided, Item, Metered


class Minimum(Item):
    """usd = max(0, minimum - sum of earlier entries), by cycle ('month', 'day' x days) or true-up a year.

    Fixed charges count towards the minimum (SAM cmod_utilityrate5 applies them before the test). The yearly
    minimum is trued up in the last cycle of each calendar year that the data cover whole.
    """

    kind: Literal["minimum"] = "minimum"
    usd: float
    per: Literal["day", "month", "year"] = "month"
    stage: ClassVar[int] = 2

    def charge(self, metered: Metered) -> list[Entry]:
        """See Item."""
        cycles = metered.cycles
        sums: dict[str, list[float]] = {}
        for e in metered.entries:
            sums.setdefault(e.cycle, []).append(-e.usd)
        due = np.array([fsum(sums.get(name, ())) for name in cycles.names])
        out = []
        if self.per == "year":
            years = cycles.month_id // 12
            for y in np.unique(years):
                mine = np.flatnonzero(years == y)
                if not _whole_year(cycles, mine):
                    metered.assume(
                        f"the yearly minimum of ${self.usd:,.2f} is not applied to {int(y) + 1970}: the "
                        "data cover it in part"
                    )
                    continue
                least = self.usd * _in_force(metered, mine)
                gap = least - float(due[mine].sum())
                if gap > 0:
                    out.append(
                        metered.entry(
                            int(mine[-1]),
                            f"minimum/{self.name or 'annual'}",
                            1.0,
                            "year",
                            self.usd,
                            gap,
                            reason=f"charges of the year come to ${due[mine].sum():,.2f}, the minimum is ${least:,.2f}",
                        )
                    )
            return out
        for c in range(cycles.n):
            least = self.usd * (cycles.days[c] if self.per == "day" else 1.0) * metered.part_frac[c]
            if least - due[c] > 0:
                out.append(
                    metered.entry(
                        c,
                        f"minimum/{self.name or 'monthly'}",
                        1.0,
                        "month",
                        self.usd,
                        least - due[c],
                        reason=f"charges come to ${due[c]:,.2f}, the minimum is ${least:,.2f}",
                    )
                )
        return out

    def terms(self, decided: Decided) -> list[Term]:
        """The tariff states it with its members; see TariffStream.terms."""
        cycles = decided.cycles
        if self.per == "year":
            years = cycles.month_id // 12 - int(cycles.month_id[0] // 12)
            window = years[cycles.index]
            usd = np.zeros(int(years[-1]) + 1)
            for y in range(usd.size):
                mine = np.flatnonzero(years == y)
                usd[y] = self.usd * _in_force(decided, mine) if _whole_year(cycles, mine) else -inf
        else:
            window = cycles.index
            usd = self.usd * (cycles.days if self.per == "day" else 1.0) * decided.part_frac
        return [
            MinimumTerm(
                decided.tariff,
                f"minimum {self.per}",
                (),
                window,
                np.asarray(usd, dtype=float),
                reason="minimum bill",
            )
        ]


def _whole_year(cycles: Cycles, mine: Ints) -> bool:
    """Whether the cycles of one year cover it, to a cycle's length."""
    days = float((cycles.days * cycles.covered_frac)[mine].sum())
    return bool(cycles.covered_frac[mine].min() > 1 - 1e-9 and days > 365 - 16)


def _in_force(source: Metered | Decided, mine: Ints) -> float:
    """Share of the days of these cycles in which the tariff is in force."""
    if source.in_force_frac is None:
        return 1.0
    days = source.cycles.days[mine]
    return float((source.in_force_frac[mine] * days).sum() / days.sum())
