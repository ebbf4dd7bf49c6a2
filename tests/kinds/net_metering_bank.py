"""Net metering with a kWh bank: a month that exports more than it imports carries kWh to the next; what is
left at the true-up earns a settlement rate. Paying now to bank for a dearer month is excluded by a binary.
"""

from collections.abc import Iterable, Sequence
from math import inf
from typing import ClassVar

import numpy as np

from tests.kinds.case import Case, PlainBattery, Quiet, entry, world
from valuestack.dispatch import Record, View, World
from valuestack.ledger import Entry
from valuestack.terms import Block, Carry, Measure, Payment, Term


class NetMeteringBank(Quiet):
    kind: ClassVar[str] = "net_metering_bank"
    name: str = "net metering"
    usd_per_kwh: tuple[float, float] = (0.10, 0.20)

    def terms(self, view: View) -> Sequence[Term]:
        month = view.horizon.month_id - view.horizon.month_id[0]
        return [
            Payment(
                self.name,
                "energy",
                Measure("net"),
                "sum",
                month,
                (Block(inf, np.array(self.usd_per_kwh)),),
                carry=Carry("kwh", np.array([1, -1]), settle_usd_per_unit=0.03),
                reason="monthly net with bank",
            )
        ]

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        bank = 0.0
        months = list(dict.fromkeys(record.timeline.month_id.tolist()))
        for m, price in zip(months, self.usd_per_kwh):
            kwh = float(record.net_kw[record.timeline.month_id == m].sum()) * record.timeline.step_h - bank
            bank = max(-kwh, 0.0)
            yield entry(self.name, f"energy {m}", -price * max(kwh, 0.0), quantity=kwh)
        yield entry(self.name, "true-up", 0.03 * bank, quantity=bank)


def case() -> Case:
    return Case(
        world([-60, 35, 10, 20], start="2018-04-30T22:00"),
        [NetMeteringBank()],
        [PlainBattery()],
        export_limit_kw=200.0,
    )
