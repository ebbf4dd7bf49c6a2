"""A contract that leaves the owner 70 % of regulation: it wraps the stream's terms and its entries, and the
stream knows nothing of it. The optimiser sees 70 % of the price, the ledger the gross and the share given up.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from tests.kinds.case import Case, FlatRate, PlainBattery, entry, world
from tests.kinds.two_way_regulation import TwoWayRegulation
from valuestack.dispatch import Record, View, World
from valuestack.ledger import Entry
from valuestack.streams.stream import ValueStream
from valuestack.terms import Claim, Payment, Term


def scaled(term: Term, share: float) -> Term:
    """The same term with its revenue or cost times `share`."""
    if isinstance(term, Claim):
        return replace(term, usd_per_kw_h=share * term.usd_per_kw_h)
    if isinstance(term, Payment):
        return replace(term, weight=share * term.weight)
    return term


@dataclass
class RevenueShare:
    kind: ClassVar[str] = "revenue_share"
    layer: ClassVar[int] = 3
    certainty: ClassVar[str] = "contractual"
    inner: ValueStream = field(default_factory=TwoWayRegulation)
    owner_frac: float = 0.7

    @property
    def name(self) -> str:
        return self.inner.name

    def initial_state(self) -> Any:
        return self.inner.initial_state()

    def observe(self, state: Any, record: Record, k: int) -> Any:
        return self.inner.observe(state, record, k)

    def terms(self, view: View) -> Sequence[Term]:
        return [scaled(t, self.owner_frac) for t in self.inner.terms(view)]

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        for e in self.inner.settle(record, world):
            yield e
            yield entry(
                e.stream, f"{e.item}, aggregator's share", -(1 - self.owner_frac) * e.usd, layer=e.layer
            )


def case() -> Case:
    return Case(
        world([60, 50, 80, 70]),
        [RevenueShare(), FlatRate(usd_per_kwh=(0.1, 0.15, 0.2, 0.1))],
        [PlainBattery(wear_usd_per_kwh=0.0)],
    )
