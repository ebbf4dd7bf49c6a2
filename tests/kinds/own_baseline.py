"""Demand response paid below a baseline that holds the plan's own day before: charging less yesterday lowers
the baseline, and the plan knows it. Nothing is paid below zero nor beyond the nomination.

reduction = (earlier days' own net load in the event hour) - net;  usd = -0.3 clip(reduction kWh, 0, 360)
"""

from collections.abc import Iterable, Sequence
from math import inf
from typing import ClassVar

import numpy as np

from tests.kinds.case import Case, FlatRate, PlainBattery, Quiet, entry, world
from valuestack.dispatch import Record, View, World
from valuestack.ledger import Entry
from valuestack.terms import Block, Measure, OwnWeights, Payment, Term


class OwnBaseline(Quiet):
    kind: ClassVar[str] = "own_baseline"
    layer: ClassVar[int] = 3
    certainty: ClassVar[str] = "metered"
    name: str = "demand response"

    def terms(self, view: View) -> Sequence[Term]:
        own = OwnWeights(np.array([3]), np.array([1]), np.array([1.0]))
        return [
            Payment(
                self.name,
                "event",
                Measure("net", reference_kw=np.zeros(view.n), own=own),
                "sum",
                np.array([-1, -1, -1, 0]),
                (Block(0.0, 0.0), Block(360.0, -0.3), Block(inf, 0.0)),
                reason="reduction below the day before",
            )
        ]

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        kwh = float(record.net_kw[1] - record.net_kw[3]) * record.timeline.step_h
        yield entry(self.name, "event", 0.3 * float(np.clip(kwh, 0.0, 360.0)), layer=3, quantity=kwh)


def case() -> Case:
    return Case(
        world([40, 50, 45, 60], start="2018-07-02T00:00", step_h=12.0),
        [OwnBaseline(), FlatRate(usd_per_kwh=(0.1, 0.2, 0.1, 0.2))],
        [PlainBattery(power_kw=10.0, energy_kwh=300.0, start_kwh=100.0)],
    )
