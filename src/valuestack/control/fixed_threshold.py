"""Fixed threshold: one level at all hours; above it the store serves, below it the store fills. The plainest rule.

What a controller with a single setpoint does: it knows no window, no price and no forecast. The level is the one
that somebody sets (`limit_kw`) or, as a careful owner would set it on the first of each month, the lowest that the
store could have held over the month before; in the first month there is none, and the store rests. Where the load
of a month outgrows the level, the store runs empty and the whole peak is paid.
"""

from __future__ import annotations

from math import inf, isfinite
from typing import ClassVar

import numpy as np

from ..dispatch import Plan, Record, View
from ..errors import InputError
from ..flows import Store
from ..timeline import Kw
from .guard import Guard
from .policy import Setting
from .stores import lone, offered
from .twin import Twin


class FixedThreshold:
    """See the head of this file. limit_kw: the level, None = learnt month by month; margin_frac: recharge stays this
    share below it."""

    kind: ClassVar[str] = "fixed_threshold"

    def __init__(self, limit_kw: float | None = None, margin_frac: float = 0.02) -> None:
        problems = []
        if limit_kw is not None and not (isfinite(limit_kw) and limit_kw >= 0):
            problems.append(
                f"limit_kw = {limit_kw!r}; it should be a number of kW at or above 0, or left out"
            )
        if not 0 <= margin_frac < 1:
            problems.append(f"margin_frac = {margin_frac!r}; it should be at least 0 and below 1")
        if problems:
            raise InputError.collect("fixed threshold policy", problems)
        self.limit_kw, self.margin_frac = limit_kw, margin_frac

    def prepare(self, setting: Setting) -> None:
        """See Policy."""
        self.timeline, self._assets = setting.timeline, setting.assets
        self._begins = np.flatnonzero(np.diff(setting.timeline.month_id, prepend=-1)).astype(np.int64)
        self._stores: list[Store] | None = None
        self._limits: Kw = np.zeros(0)
        self._past: Kw = np.zeros((0, 0))

    def decide(self, view: View) -> Plan:
        """Serve what exceeds the level, recharge below it."""
        from .fixed_threshold_kernel import wished_kw

        k, base = view.k, np.asarray(view.now["base_kw"], dtype=float)
        late = view.age_s.get("base_kw", 0.0) > 0
        if self._stores is None:
            self._stores = offered(self._assets, view)
            self._past = np.zeros((base.size, self.timeline.n))
            self._limits = np.full(base.size, inf if self.limit_kw is None else self.limit_kw)
        if late and k > 0:
            self._past[:, k - 1] = base
        if self.limit_kw is None and self._stores:
            self._learn(k)
        self._past[:, k] = base
        h, out = self.timeline.step_h, {}
        for s in self._stores:
            low, high = float(s.energy_min_kwh[k + 1]), float(s.energy_max_kwh[k + 1])
            at = np.asarray(view.asset_state[s.name], dtype=float)
            power = np.array(
                [
                    wished_kw(
                        *(float(b), float(limit), self.margin_frac, float(e), low, high),
                        *(float(s.discharge_max_kw[k]), float(s.charge_max_kw[k])),
                        *(s.charge_efficiency_frac, s.discharge_efficiency_frac, h),
                    )
                    for b, limit, e in zip(base, self._limits, at)
                ]
            )
            out[s.name] = power
            base = base + power
        return Plan(setpoints_kw=out)

    def _learn(self, k: int) -> None:
        """On the first interval of a month: the level that the stores, as one, could have held over the last."""
        from .fixed_threshold_kernel import holdable_kw

        at = int(np.searchsorted(self._begins, k))
        if at == 0 or at >= self._begins.size or self._begins[at] != k:
            return
        store = _merged(self._stores or [])
        for i, past in enumerate(self._past):
            self._limits[i] = holdable_kw(past[self._begins[at - 1] : k], store, self.timeline.step_h)

    def lanes(self, twin: Twin, guard: Guard) -> tuple[Kw, Kw, int]:
        """Power and energy at interval ends of a block of lanes, (lanes, n) each, and what the guard changed."""
        from .fixed_threshold_kernel import closed_loop

        s = twin.stores[0]
        power, stored = np.empty_like(twin.base_kw), np.empty_like(twin.base_kw)
        changed = closed_loop(
            *(
                np.ascontiguousarray(twin.base_kw),
                self._begins,
                inf if self.limit_kw is None else self.limit_kw,
            ),
            *(self.limit_kw is None, self.margin_frac, guard.stores[s.name].floor_kwh),
            *(guard.import_limit_kw.copy(), guard.export_limit_kw.copy(), _merged([s])),
            *(float(s.energy_min_kwh[0]), float(s.energy_max_kwh[0]), s.energy_start_kwh),
            *(self.timeline.step_h, power, stored),
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


def _merged(stores: list[Store]) -> Kw:
    """Several stores as one: discharge and charge power, energy, energy-weighted efficiencies, (5,)."""
    energy = np.array([float(s.energy_max_kwh[0] - s.energy_min_kwh[0]) for s in stores])
    share = energy / max(float(energy.sum()), 1e-12)
    return np.array(
        [
            sum(float(s.discharge_max_kw[0]) for s in stores),
            sum(float(s.charge_max_kw[0]) for s in stores),
            float(energy.sum()),
            float(np.dot(share, [s.charge_efficiency_frac for s in stores])),
            float(np.dot(share, [s.discharge_efficiency_frac for s in stores])),
        ]
    )
