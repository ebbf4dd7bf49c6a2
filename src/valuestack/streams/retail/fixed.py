"""Fixed charges: so much a day, month or year, whatever is used."""

from __future__ import annotations

from typing import ClassVar, Literal

from ...ledger import Entry
from .item import Item, Metered


class Fixed(Item):
    """usd x (days, share of the month, or share of the year) of the cycle.

    per: 'day' counts the days metered; 'month' is one a cycle, prorated by days in a cycle that the data
    cover in part; 'year' is days / 365 (366 in a leap year).
    """

    kind: Literal["fixed"] = "fixed"
    usd: float
    per: Literal["day", "month", "year"] = "month"
    stage: ClassVar[int] = 0

    def charge(self, metered: Metered) -> list[Entry]:
        """See Item."""
        c, out = metered.cycles, []
        for i in range(c.n):
            days = c.days[i] * c.covered_frac[i]
            if self.per == "day":
                quantity, unit = days, "days"
            elif self.per == "month":
                quantity, unit = c.covered_frac[i], "months"
            else:
                year = int(c.month_id[i]) // 12 + 1970
                leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
                quantity, unit = days / (366 if leap else 365), "years"
            out.append(
                metered.entry(
                    i,
                    f"fixed/{self.name or 'customer charge'}",
                    quantity,
                    unit,
                    self.usd,
                    quantity * self.usd,
                    reason=f"${self.usd:,.6g} a {self.per}",
                )
            )
        return out
