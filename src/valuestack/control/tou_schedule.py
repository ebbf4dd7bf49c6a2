"""TOU schedule: charge in the cheap hours, discharge in the dear ones, by the clock; it looks at no load.

The baseline that many batteries ship with. Which hours sell and which buy follows from the energy prices alone, see
arbitrage.py. The store's energy is spread evenly over each block of selling hours, and won back evenly over each
block of buying hours, at most at full power; nothing is fed in. Demand charges are not looked at, so under a rate
without dear hours it rests.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..dispatch import Plan, Record, View
from ..flows import Store
from ..timeline import Kw
from .arbitrage import energy_price_usd_per_kwh, hours_of
from .guard import Guard
from .policy import Setting
from .stores import lone, offered
from .twin import Twin


class TouSchedule:
    """See the head of this file."""

    kind: ClassVar[str] = "tou_schedule"

    def prepare(self, setting: Setting) -> None:
        """See Policy."""
        self.timeline, self._assets = setting.timeline, setting.assets
        self._price_usd_per_kwh = energy_price_usd_per_kwh(setting.terms, setting.timeline)
        self._stores: list[Store] | None = None
        self._wish_kw: dict[str, Kw] = {}

    def decide(self, view: View) -> Plan:
        """What the clock says, at most the load."""
        from .tou_schedule_kernel import clocked_kw

        if self._stores is None:
            self._stores = offered(self._assets, view)
            self._wish_kw = {s.name: self._scheduled(s) for s in self._stores}
        base, out = np.asarray(view.now["base_kw"], dtype=float), {}
        for s in self._stores:
            power = np.array([clocked_kw(float(self._wish_kw[s.name][view.k]), float(b)) for b in base])
            out[s.name] = power
            base = base + power
        return Plan(setpoints_kw=out)

    def _scheduled(self, s: Store) -> Kw:
        """Setpoints by the clock (n,), load sign."""
        h, n = self.timeline.step_h, self.timeline.n
        energy = float(s.energy_max_kwh[0] - s.energy_min_kwh[0])
        t = hours_of(
            self._price_usd_per_kwh,
            self.timeline,
            power_kw=float(s.discharge_max_kw[0]),
            energy_kwh=energy,
            charge_efficiency_frac=s.charge_efficiency_frac,
            discharge_efficiency_frac=s.discharge_efficiency_frac,
            wear_usd_per_kwh=s.wear_usd_per_kwh,
        )
        out = np.zeros(n)
        for what, sign, kwh in (
            (t.sell, -1.0, energy * s.discharge_efficiency_frac),
            (t.buy & t.any, 1.0, energy / s.charge_efficiency_frac),
        ):
            edges = np.flatnonzero(np.diff(np.concatenate(([0], what.astype(np.int8), [0]))))
            for a, b in zip(edges[::2], edges[1::2]):
                out[a:b] = sign * kwh / ((b - a) * h)
        return np.clip(out, -s.discharge_max_kw, s.charge_max_kw)

    def lanes(self, twin: Twin, guard: Guard) -> tuple[Kw, Kw, int]:
        """Power and energy at interval ends of a block of lanes, (lanes, n) each, and what the guard changed."""
        from .tou_schedule_kernel import closed_loop

        s = twin.stores[0]
        power, stored = np.empty_like(twin.base_kw), np.empty_like(twin.base_kw)
        changed = closed_loop(
            *(np.ascontiguousarray(twin.base_kw), self._scheduled(s), guard.stores[s.name].floor_kwh),
            *(guard.import_limit_kw.copy(), guard.export_limit_kw.copy()),
            *(float(s.discharge_max_kw[0]), float(s.charge_max_kw[0])),
            *(float(s.energy_min_kwh[0]), float(s.energy_max_kwh[0]), s.energy_start_kwh),
            *(s.charge_efficiency_frac, s.discharge_efficiency_frac, self.timeline.step_h),
            *(power, stored),
        )
        return power, stored, changed

    def kernel(self, twin: Twin, guard: Guard) -> Record | None:
        """The whole loop compiled, for one store of constant limits; None where the shapes do not allow it."""
        s = lone(twin)
        if s is None:
            return None
        power, stored, changed = self.lanes(twin, guard)
        guard.note("limits", changed)
        guard.watch_run(s.name, np.concatenate((twin.start_kwh(s.name), stored), axis=1))
        if s.aux_kw is not None:
            power = power + s.aux_kw
        return twin.carried_out(s.name, power, stored)
