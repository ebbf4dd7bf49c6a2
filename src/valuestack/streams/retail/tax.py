"""Taxes and fees as a share of other charges of the bill."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ...ledger import Entry
from ._clause import Clause, charged, matches
from .item import Metered


class Tax(Clause):
    """usd = share_frac x sum of the charges in applies_to, less those in exempt; credits lower the base.

    applies_to, exempt: items in full ('energy/summer on-peak') or by first part ('energy'); () = all. Taxes
    do not tax each other. Worked: 7.25 % of 1,000.00 USD is 72.50 USD.
    """

    kind: Literal["tax"] = "tax"
    share_frac: float = Field(ge=0, lt=1)
    applies_to: tuple[str, ...] = ()
    exempt: tuple[str, ...] = ()
    stage: ClassVar[int] = 3

    def taxed(self, item: str) -> bool:
        """Whether a charge named `item` is taxed."""
        return (
            item.split("/")[0] != "tax"
            and matches(item, self.applies_to)
            and not (self.exempt and matches(item, self.exempt))
        )

    def scales(self, item: str) -> float:
        """By which share this tax raises a charge named `item`."""
        return self.share_frac if self.taxed(item) else 0.0

    def charge(self, metered: Metered) -> list[Entry]:
        """See Item."""
        self.say(metered)
        in_force, out = self.months_in_force(metered), []
        for i, name in enumerate(metered.cycles.names):
            base = -sum(e.usd for e in charged(metered.entries, name, ()) if self.taxed(e.item))
            covered = metered.cycles.covered_frac[i]
            rate = self.share_frac * (in_force[i] / covered if covered else 0.0)
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
