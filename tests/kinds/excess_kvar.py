"""Excess reactive demand, with an inverter that can give vars: r (Q_max - P_max / 3)+ beside a demand charge.

The clause of Orange & Rockland (calculation of power factor charges): 1/3 of the kW demand is free, the rest
0.40 USD a kvar. The inverter's circle sqrt(P^2 + Q^2) <= S is a polygon with tangents added where touched.
"""

from collections.abc import Iterable, Sequence
from math import inf
from typing import ClassVar

import numpy as np

from tests.kinds.case import Case, FlatRate, PlainBattery, Quiet, entry, world
from valuestack.dispatch import Record, View, World
from valuestack.ledger import Entry
from valuestack.terms import Block, HoursUse, Measure, Payment, Term


class ExcessKvar(Quiet):
    kind: ClassVar[str] = "excess_kvar"
    name: str = "reactive"

    def terms(self, view: View) -> Sequence[Term]:
        one = np.zeros(view.n, dtype=np.int64)
        return [
            Payment(self.name, "demand", Measure("import"), "max", one, (Block(inf, 9.0),), reason="demand"),
            Payment(
                self.name,
                "excess",
                Measure("kvar"),
                "max",
                one,
                (Block(HoursUse(1 / 3, "demand"), 0.0), Block(inf, 0.4)),
                so_far=np.zeros(1),
                reason="kvar above a third of the kW demand",
            ),
        ]

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        assert record.net_kvar is not None
        kw = float(np.maximum(record.net_kw, 0).max())
        kvar = float(np.maximum(record.net_kvar, 0).max())
        yield entry(self.name, "demand", -9.0 * kw, quantity=kw, unit="kW")
        yield entry(self.name, "excess", -0.4 * max(kvar - kw / 3, 0.0), quantity=kvar, unit="kvar")


def case() -> Case:
    return Case(
        world([90, 100], load_kvar=[85, 70]),
        [ExcessKvar(), FlatRate(usd_per_kwh=(0.1, 0.1))],
        [PlainBattery(inverter_kva=50.0)],
    )
