"""Regulation held in both directions: an award needs power room up and down and half an hour of energy, its
expected calls pass through the store, and the billed peak sees a tenth of it. Paid per kW and hour held.
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np

from tests.kinds.case import Case, FlatRate, PlainBattery, Quiet, entry, world
from valuestack.dispatch import Record, View, World
from valuestack.ledger import Entry
from valuestack.terms import Claim, Term

PRICES = np.array([0.02, 0.05, 0.03, 0.01])


class TwoWayRegulation(Quiet):
    kind: ClassVar[str] = "two_way_regulation"
    layer: ClassVar[int] = 3
    certainty: ClassVar[str] = "market"
    name: str = "regulation"

    def terms(self, view: View) -> Sequence[Term]:
        return [
            Claim(
                self.name,
                "capacity",
                "both",
                PRICES[: view.n],
                ("battery",),
                min_kw=5.0,
                sustain_h=0.5,
                exposure_frac=0.1,
                throughput_up_frac=0.1,
                throughput_down_frac=0.1,
                reason="capacity held",
            )
        ]

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        held = record.extra[f"{self.name}/capacity"]
        yield entry(
            self.name,
            "capacity",
            float(held @ PRICES[: held.size]) * record.timeline.step_h,
            layer=3,
            quantity=float(held.sum()),
            unit="kW h",
        )


def case() -> Case:
    # The billed peak under calls, and wear of called energy, are expectations, not settlements.
    return Case(
        world([60, 50, 80, 70]),
        [TwoWayRegulation(), FlatRate(usd_per_kw=2.0, exact=False)],
        [PlainBattery(wear_usd_per_kwh=0.0)],
    )
