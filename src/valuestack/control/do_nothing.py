"""Do nothing: every asset rests. The baseline of all baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..dispatch import Plan, Record, View
from .policy import Setting

if TYPE_CHECKING:
    from .guard import Guard
    from .twin import Twin


class DoNothing:
    """Asks for nothing, always: stores rest, what generates generates."""

    kind: ClassVar[str] = "do_nothing"

    def prepare(self, setting: Setting) -> None:
        """Nothing to learn."""

    def decide(self, view: View) -> Plan:
        """No setpoint for any asset."""
        return Plan(setpoints_kw={})

    def kernel(self, twin: Twin, guard: Guard) -> Record | None:
        """The whole loop at once where nothing forces a store to move and none loses energy by resting."""
        stores = {o.name: o for o in twin.stores}
        if not stores or [a.name for a in twin.assets if a.name not in twin.given] != list(stores):
            return None
        for name, o in stores.items():
            floor = guard.stores[name].floor_kwh
            if o.loss_frac_per_h or o.drain_kw is not None or float(np.max(floor)) > o.energy_start_kwh:
                return None
        base = twin.base_kw
        if np.any(base > guard.import_limit_kw) or np.any(base < -guard.export_limit_kw):
            return None
        record: Record | None = None
        for name, o in stores.items():
            rest = np.zeros_like(base) + (0.0 if o.aux_kw is None else o.aux_kw)
            record = twin.carried_out(name, rest, np.full_like(base, o.energy_start_kwh))
        return record
