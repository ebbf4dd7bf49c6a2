"""Critical-peak pricing with a capacity reservation: in event hours kWh above the reservation pay an adder,
and the billed peak above the reservation earns a credit. The credit alone is concave; with the demand charge
of another stream on the same measure the slopes are 18 and 18 - 6, and one binary is left.

usd = 0.9 sum_events (kWh - CRL h)+ - 6 (P - CRL)+ + 5 CRL (the reservation itself, which nothing moves)
"""

from collections.abc import Iterable, Sequence
from math import inf
from typing import ClassVar

import numpy as np

from tests.kinds.case import Case, FlatRate, PlainBattery, Quiet, entry, world
from valuestack.dispatch import Record, View, World
from valuestack.ledger import Entry
from valuestack.terms import Block, Measure, Payment, Term

RESERVED_KW = 40.0


class CapacityReservation(Quiet):
    kind: ClassVar[str] = "capacity_reservation"
    name: str = "critical peak"

    def terms(self, view: View) -> Sequence[Term]:
        event = np.where(view.horizon.hour >= 17, 0, -1)
        one = np.zeros(view.n, dtype=np.int64)
        return [
            Payment(
                self.name,
                "adder",
                Measure("import"),
                "each",
                event,
                (Block(RESERVED_KW * view.horizon.step_h, 0.0), Block(inf, 0.9)),
                reason="event energy",
            ),
            Payment(
                self.name,
                "credit",
                Measure("import"),
                "max",
                one,
                (Block(RESERVED_KW, 0.0), Block(inf, -6.0)),
                reason="credit on demand above the reservation",
            ),
        ]

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        net, h = np.maximum(record.net_kw, 0), record.timeline.step_h
        over = float(np.maximum(net[record.timeline.hour >= 17] - RESERVED_KW, 0).sum()) * h
        yield entry(self.name, "adder", -0.9 * over, quantity=over)
        yield entry(self.name, "credit", 6.0 * max(float(net.max()) - RESERVED_KW, 0.0), unit="kW")
        yield entry(self.name, "reservation", -5.0 * RESERVED_KW, quantity=RESERVED_KW, unit="kW")


def case() -> Case:
    return Case(
        world([60, 50, 80, 70]),
        [CapacityReservation(), FlatRate(usd_per_kw=18.0)],
        [PlainBattery()],
        fixed_usd=5.0 * RESERVED_KW,
    )
