"""Asset: a thing that moves power. Two faces: what may be believed of it, and what it does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Protocol, runtime_checkable

from ..dispatch import Record, View, World
from ..flows import Backup, Offer
from ..ledger import Entry
from ..timeline import Kw


@runtime_checkable
class Asset(Protocol):
    """Anything behind the meter that moves power. One file a kind: `kind = "battery"` is battery.py.

    One with `rests = True` moves no power while it is asked for none, whatever the series of the world are.
    """

    kind: ClassVar[str]
    name: str

    def initial_state(self) -> Any:
        """State before the first interval (for one lane)."""
        ...

    def belief(self, view: View) -> Offer:
        """What the optimiser may assume over the view's horizon, from the asset's state in the view."""
        ...

    def step(self, state: Any, setpoint_kw: Kw, world: World, k: int) -> tuple[Any, Kw]:
        """Truth: what the machine does with a setpoint (load sign) in interval k, over all lanes.

        Returns the new state and the power at the meter [kW], shape (lanes,)."""
        ...

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        """Layer 0: wear, fuel, starts; the cost of having moved."""
        ...

    def backup(self, state: Any) -> Backup | None:
        """What it can do in an outage that starts from this state; None = nothing."""
        ...
