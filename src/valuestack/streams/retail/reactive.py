"""Reactive demand charge where a tariff only says so much a kvar; clauses with a formula are in power_factor."""

from __future__ import annotations

from math import inf
from typing import Any, ClassVar, Literal

import numpy as np

from ...ledger import Entry
from ...terms import Block, Measure, Payment, Term
from .item import Decided, Item, Metered


class Reactive(Item):
    """usd = usd_per_kvar x (kvar - free_kvar_per_kw x kW)+ at the interval of the cycle's highest kW.

    URDB gives a price and no formula: which kvar are billed is then an assumption, and stated as one.
    """

    kind: Literal["reactive"] = "reactive"
    usd_per_kvar: float
    free_kvar_per_kw: float = 0.0
    assumed: bool = False
    stage: ClassVar[int] = 1

    def needs(self) -> Any:
        """A power factor or metered kvar."""
        return ("power_factor",)

    def charge(self, metered: Metered) -> list[Entry]:
        """See Item."""
        if self.assumed:
            metered.assume(
                f"reactive charge of ${self.usd_per_kvar:g}/kvar: the record states no formula; billed on "
                "the kvar at the interval of the cycle's highest kW, none of it free"
            )
        kvar, out = np.maximum(metered.kvar, 0.0), []
        for c in range(metered.cycles.n):
            mine = np.flatnonzero(metered.cycles.index == c)
            k = int(mine[np.argmax(metered.import_kw[mine])])
            billed = max(0.0, float(kvar[k]) - self.free_kvar_per_kw * float(metered.import_kw[k]))
            out.append(
                metered.entry(
                    c,
                    f"reactive/{self.name or 'kvar'}",
                    billed,
                    "kvar",
                    self.usd_per_kvar,
                    billed * self.usd_per_kvar,
                    when=k,
                    reason=f"at {metered.import_kw[k]:,.1f} kW",
                )
            )
        return out

    def terms(self, decided: Decided) -> list[Term]:
        """With an average power factor kvar is a multiple of kW, so this is one more demand charge."""
        pf = decided.facts.power_factor
        if pf is None:
            return []
        ratio = float(np.mean(np.tan(np.arccos(np.asarray(pf, dtype=float)))))
        price = max(0.0, ratio - self.free_kvar_per_kw) * self.usd_per_kvar * decided.multiplier
        return [
            Payment(
                decided.tariff,
                f"reactive{' ' + self.name if self.name else ''}",
                Measure("import"),
                "max",
                decided.cycles.index,
                (Block(inf, price),),
                exact=np.ndim(pf) == 0,
                reason="kvar follow kW at the average power factor",
            )
        ]
