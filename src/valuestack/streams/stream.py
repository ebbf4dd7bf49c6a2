"""ValueStream: a reason to move power. Two faces: what it asks of a decision, and the settled money."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from math import inf
from typing import Any, ClassVar, Protocol, runtime_checkable

from ..dispatch import Record, View, World
from ..ledger import Entry
from ..terms import Term
from ..timeline import Timeline


@runtime_checkable
class ValueStream(Protocol):
    """One reason to move power. One file a kind, inside the room of its layer."""

    kind: ClassVar[str]
    layer: ClassVar[int]
    certainty: ClassVar[str]
    name: str

    def initial_state(self) -> Any:
        """State before the first interval: peaks, tier kWh, banks, counters, history."""
        ...

    def observe(self, state: Any, record: Record, k: int) -> Any:
        """State once interval k is closed in `record`."""
        ...

    def terms(self, view: View) -> Sequence[Term]:
        """What it asks of a decision over the view's horizon, from its state in the view."""
        ...

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        """Money, by the tariff's or market's own rule, from metered intervals."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where a stream stands, known before the first interval.

    A stream that depends on its site offers `bind(place)`, which returns itself made ready, or raises
    InputError with every clause that the site cannot meet (owner, clause, remedy). assets: by the Asset
    protocol only (`belief`, `backup`, `capability`); streams never import their classes. world: for facts that
    are known for all time (a calendar), not to look ahead. as_of: the day whose rules and prices hold. iso, state,
    utility: where the site stands, such as 'PJM', 'PA', 'PECO'; None = not stated.
    """

    timeline: Timeline
    assets: Sequence[Any]
    world: World
    import_limit_kw: float = inf
    export_limit_kw: float = 0.0
    as_of: date | None = None
    iso: str | None = None
    state: str | None = None
    utility: str | None = None
