"""Plant: what a policy is run against. The simulated twin, a shadow pilot and a live site are plants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from ..dispatch import View
from ..timeline import Kw


@runtime_checkable
class Plant(Protocol):
    """Reads the moment and carries out setpoints; the loop needs nothing else of it."""

    def read(self) -> View:
        """What is known now."""
        ...

    def apply(self, setpoints_kw: Mapping[str, Any]) -> Mapping[str, Kw]:
        """Carry out guarded setpoints for the running interval; what each asset really did [kW]."""
        ...
