"""Ledger: every dollar with its stream, layer, counterparty, quantity, certainty and reason.

`usd > 0` is money to the owner of the site; a bill is a ledger of negative entries. Entries are made
only by `settle` from metered intervals, never read off an optimiser's objective.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from math import fsum
from typing import Any

LAYERS: dict[int, str] = {
    0: "cost of operation",
    1: "retail tariff",
    2: "resilience and power quality",
    3: "grid services",
    4: "environmental attributes",
}
CERTAINTIES = ("contractual", "metered", "market", "modelled")
STATUSES = ("settled", "provisional", "bound")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of money.

    cycle: billing cycle or settlement period, '2018-07' or '2018-06-14/2018-07-15'.
    layer: 0..4, see LAYERS. stream: name of the value stream or asset. item: line within it, such as
    'demand/summer peak'. counterparty: who pays or is paid. quantity [unit] x usd_per_unit is the
    reason for usd where a single rate applies (usd_per_unit None where it does not).
    when: ISO time that set the quantity (the billed peak), or ''. certainty: contractual, metered,
    market or modelled. status: settled, provisional or bound. reason: one sentence a person can check.
    """

    cycle: str
    layer: int
    stream: str
    item: str
    counterparty: str
    quantity: float
    unit: str
    usd_per_unit: float | None
    usd: float
    when: str = ""
    certainty: str = "contractual"
    status: str = "settled"
    reason: str = ""

    @property
    def key(self) -> tuple[str, int, str, str]:
        """What two ledgers are compared by: cycle, layer, stream, item."""
        return (self.cycle, self.layer, self.stream, self.item)


@dataclass(frozen=True, slots=True)
class Ledger:
    """An ordered, immutable list of entries with exact sums."""

    entries: tuple[Entry, ...] = field(default=())

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Ledger:
        """A ledger of `entries`."""
        return cls(tuple(entries))

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __add__(self, other: Ledger) -> Ledger:
        return Ledger(self.entries + other.entries)

    @property
    def total_usd(self) -> float:
        """Net money to the owner [USD]."""
        return fsum(e.usd for e in self.entries)

    def where(self, test: Callable[[Entry], bool]) -> Ledger:
        """The entries for which `test` holds."""
        return Ledger(tuple(e for e in self.entries if test(e)))

    def by(self, *names: str) -> dict[tuple[Any, ...], float]:
        """Sums of usd grouped by entry fields, in order of first appearance."""
        groups: dict[tuple[Any, ...], list[float]] = {}
        for e in self.entries:
            groups.setdefault(tuple(getattr(e, n) for n in names), []).append(e.usd)
        return {k: fsum(v) for k, v in groups.items()}

    def to_list(self) -> list[dict[str, Any]]:
        """Plain values for JSON."""
        return [asdict(e) for e in self.entries]


@dataclass(frozen=True, slots=True)
class Change:
    """What one item came to before and after; `usd` = after - before (money to the owner)."""

    layer: int
    stream: str
    item: str
    before_usd: float
    after_usd: float

    @property
    def usd(self) -> float:
        return self.after_usd - self.before_usd


def difference(
    before: Ledger, after: Ledger, *, by: Sequence[str] = ("layer", "stream", "item")
) -> list[Change]:
    """Attribution of a saving: settled items after minus before, summing exactly to the whole.

    `by` must begin with layer, stream, item; items are paired over all cycles.
    """
    a, b = before.by(*by), after.by(*by)
    keys = list(a) + [k for k in b if k not in a]
    return [Change(int(k[0]), str(k[1]), str(k[2]), a.get(k, 0.0), b.get(k, 0.0)) for k in keys]
