"""Declining kWh tiers on the cycle: concave, so the cheap tier must not be taken first.

cost = 0.14 min(Q, 250) + 0.06 (Q - 250)+; where the battery can carry Q across 250 kWh the problem needs one
binary z: o <= (Q - 250) + (250 - Q_min)(1 - z), o <= (Q_max - 250) z, o = (Q - 250)+; its relaxation is the
convex hull of the hinge over [Q_min, Q_max]. Block rate as in URDB energyratestructure (cycle total).
"""

from collections.abc import Iterable, Sequence
from math import inf
from typing import ClassVar

import numpy as np

from tests.kinds.case import Case, FlatRate, PlainBattery, Quiet, entry, world
from valuestack.dispatch import Record, View, World
from valuestack.ledger import Entry
from valuestack.terms import Block, Measure, Payment, Term


class DecliningTiers(Quiet):
    kind: ClassVar[str] = "declining_tiers"
    name: str = "tiers"

    def terms(self, view: View) -> Sequence[Term]:
        return [
            Payment(
                self.name,
                "energy",
                Measure("import"),
                "sum",
                np.zeros(view.n, dtype=np.int64),
                (Block(250.0, 0.14), Block(inf, 0.06)),
                reason="declining block rate",
            )
        ]

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        q = float(np.maximum(record.net_kw, 0).sum()) * record.timeline.step_h
        yield entry(self.name, "energy", -(0.14 * min(q, 250.0) + 0.06 * max(q - 250.0, 0.0)), quantity=q)


def case() -> Case:
    return Case(
        world([70, 60, 40, 78]),
        [DecliningTiers(), FlatRate(usd_per_kwh=(0.0, 0.05, 0.0, 0.4))],
        [PlainBattery()],
    )
