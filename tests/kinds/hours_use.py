"""Hours-use tiers: the first 2 h of billed demand cost more per kWh, the rest less (kWh per kW blocks).

cost = 0.12 min(Q, 2 B) + 0.05 (Q - 2 B)+ + 4 B with B the billed kW of the same cycle (URDB unit 'kWh/kW').
"""

from collections.abc import Iterable, Sequence
from math import inf
from typing import ClassVar

import numpy as np

from tests.kinds.case import Case, PlainBattery, Quiet, entry, world
from valuestack.dispatch import Record, View, World
from valuestack.ledger import Entry
from valuestack.terms import Block, HoursUse, Measure, Payment, Term


class HoursUseRate(Quiet):
    kind: ClassVar[str] = "hours_use"
    name: str = "hours use"

    def terms(self, view: View) -> Sequence[Term]:
        one = np.zeros(view.n, dtype=np.int64)
        return [
            Payment(
                self.name, "demand", Measure("import"), "max", one, (Block(inf, 4.0),), reason="billed demand"
            ),
            Payment(
                self.name,
                "energy",
                Measure("import"),
                "sum",
                one,
                (Block(HoursUse(2.0, "demand"), 0.12), Block(inf, 0.05)),
                reason="kWh per kW of billed demand",
            ),
        ]

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        net = np.maximum(record.net_kw, 0)
        kw, kwh = float(net.max()), float(net.sum()) * record.timeline.step_h
        first = min(kwh, 2.0 * kw)
        yield entry(self.name, "demand", -4.0 * kw, quantity=kw, unit="kW")
        yield entry(self.name, "energy", -(0.12 * first + 0.05 * (kwh - first)), quantity=kwh)


def case() -> Case:
    return Case(world([20, 90, 10, 30]), [HoursUseRate()], [PlainBattery()])
