"""Certificates against a negative export price: each MWh that solar generates earns a certificate, so it is cut only
where giving it away costs more than the certificate brings; the battery's discharge earns none.

usd = -sum_t (price_t - issuance)/1000 x 0.6 generation_t; the fixed cost of the registry is settled, not stated
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar

import numpy as np

from tests.kinds.case import Case, PlainBattery, Quiet, entry, world
from valuestack.dispatch import Record, Series, View, World
from valuestack.flows import Backup, Given, Offer
from valuestack.ledger import Entry
from valuestack.streams.environment.environment import CostToServe
from valuestack.streams.environment.rec import Rec
from valuestack.streams.stream import Place
from valuestack.terms import Block, Measure, Payment, Term
from valuestack.timeline import Kw

GENERATION_KW = (0.0, 100.0, 160.0, 40.0)
EXPORT_USD_PER_KWH = (0.02, -0.05, -0.01, 0.02)
REGISTRY_USD_PER_Y = 876.0


@dataclass
class Solar:
    """Solar that may be cut."""

    kind: ClassVar[str] = "solar"
    name: str = "solar"

    def initial_state(self) -> Any:
        return None

    def belief(self, view: View) -> Offer:
        return Given(self.name, -np.array(GENERATION_KW)[view.k : view.k + view.n], curtailable=True)

    def step(self, state: Any, setpoint_kw: Kw, world: World, k: int) -> tuple[Any, Kw]:
        return state, np.clip(setpoint_kw, -GENERATION_KW[k], 0.0)

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        return []

    def backup(self, state: Any) -> Backup | None:
        return None


class NetPrice(Quiet):
    kind: ClassVar[str] = "net_price"
    name: str = "energy"

    def terms(self, view: View) -> Sequence[Term]:
        one = np.zeros(view.n, dtype=np.int64)
        sell = (Block(inf, -np.array(EXPORT_USD_PER_KWH)),)
        return [
            Payment(self.name, "buy", Measure("import"), "each", one, (Block(inf, 0.12),), reason="retail"),
            Payment(self.name, "sell", Measure("export"), "each", one, sell, reason="export"),
        ]

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        drawn, given = np.maximum(record.net_kw, 0), np.maximum(-record.net_kw, 0)
        yield entry(self.name, "buy", -0.12 * float(drawn.sum()))
        yield entry(self.name, "sell", float(given @ np.array(EXPORT_USD_PER_KWH)))


def case() -> Case:
    around = world([20, 10, 30, 30], start="2024-06-03T10:00")
    price = Series("rec price", np.array([30.0, 20.0, 25.0, 30.0]), "USD/MWh")
    around = World(around.timeline, {**around.series, "rec price": price})
    assets = [Solar(), PlainBattery(power_kw=30.0, energy_kwh=60.0, start_kwh=20.0)]
    rec = Rec(
        usd_per_mwh="rec price",
        share_frac=0.6,
        whole=False,
        cost=CostToServe(usd_per_y=REGISTRY_USD_PER_Y, usd_per_mwh=1.0),
    ).bind(Place(around.timeline, assets, around, export_limit_kw=150.0))
    return Case(
        around,
        [rec, NetPrice()],
        assets,
        export_limit_kw=150.0,
        fixed_usd=REGISTRY_USD_PER_Y * 4 / 8760,
    )
