"""An 80 % demand ratchet over a year end: January is billed at least 80 % of December's measured peak,
December at least 80 % of a history that is over.

B_m = max(P_m, 0.8 max_{k in lookback} P_k) (URDB lookbackpercent and lookbackrange).
"""

from collections.abc import Iterable, Sequence
from math import inf
from typing import Any, ClassVar

import numpy as np

from tests.kinds.case import Case, PlainBattery, Quiet, entry, world
from valuestack.dispatch import Record, View, World
from valuestack.ledger import Entry
from valuestack.terms import Block, Floor, Measure, Payment, Term


class Ratchet(Quiet):
    kind: ClassVar[str] = "ratchet"
    name: str = "ratchet"
    history_kw: float = 60.0

    def initial_state(self) -> Any:
        return {"peak_kw": self.history_kw}

    def terms(self, view: View) -> Sequence[Term]:
        month = view.horizon.month_id - view.horizon.month_id[0]
        least = 0.8 * view.stream_state[self.name]["peak_kw"]
        return [
            Payment(
                self.name,
                "demand",
                Measure("import"),
                "max",
                month,
                (Block(inf, 12.0),),
                floors=(
                    Floor(window=0, least=least),
                    Floor(window=1, least=least, share=0.8, of_windows=(0,)),
                ),
                reason="80 % look-back over the last eleven months",
            )
        ]

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        peaks = {"history": self.history_kw}
        for m in dict.fromkeys(record.timeline.month_id.tolist()):
            kw = float(np.maximum(record.net_kw[record.timeline.month_id == m], 0).max())
            billed = max(kw, 0.8 * max(peaks.values()))
            peaks[str(m)] = kw
            yield entry(self.name, f"demand {m}", -12.0 * billed, quantity=billed, unit="kW")


def case() -> Case:
    return Case(world([100, 40, 30, 45], start="2018-12-31T22:00"), [Ratchet()], [PlainBattery()])
