"""The guard: the only door from a plan to a plant.

A setpoint is projected onto what is allowed now, in order of priority: what the asset can do; what the service
carries (a breaker that trips helps nobody); the energy that the reserve asks for (a floor that rises is reached
in time, because it is walked backwards at full charging power); what may be exported. It may exclude the plan
and zero as well: a store below its floor must charge, at all the power that is allowed. A setpoint that is not a
number is a request for nothing. Generation that may be cut is cut last, by the plant itself.

What it cannot promise: a load that leaves the service no room to recharge can keep a store below its floor; and
a store whose true efficiency is worse than believed may fall below it by the difference of one interval.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import inf, isfinite
from typing import Any

import numpy as np

from ..errors import InputError
from ..timeline import Kw


@dataclass(frozen=True, slots=True, eq=False)
class StoreLimits:
    """A store as the guard sees it. floor_kwh, high_kwh: (n + 1,) least and most energy at interval boundaries.

    charge_kw, discharge_kw: (n,) at the meter, >= 0; efficiencies one way."""

    name: str
    charge_kw: Kw
    discharge_kw: Kw
    floor_kwh: Kw
    high_kwh: Kw
    charge_efficiency_frac: float
    discharge_efficiency_frac: float


def reachable_floor(
    floor_kwh: Kw, charge_kw: float | Kw, charge_efficiency_frac: float, step_h: float, low_kwh: float | Kw
) -> Kw:
    """The least energy from which every later floor can still be reached at full charging power, (n + 1,).

    f'_t = max(f_t, f'_(t+1) - eta_c P_c h), walked backwards; never below low_kwh. charge_kw: number or (n,).
    """
    out = np.asarray(np.maximum(np.asarray(floor_kwh, dtype=float), low_kwh))
    gain = np.broadcast_to(np.asarray(charge_kw, dtype=float), out.size - 1) * charge_efficiency_frac * step_h
    ahead = np.concatenate(([0.0], np.cumsum(gain)))
    if np.ptp(out) == 0:
        return out
    return np.asarray(np.maximum(out, np.maximum.accumulate((out - ahead)[::-1])[::-1] + ahead))


@dataclass(slots=True, eq=False)
class Guard:
    """Projects setpoints onto the allowed set.

    stores: limits by store name. import_limit_kw, export_limit_kw: at the meter, (n,). interventions: in how
    many intervals it changed a setpoint, by reason. below: (interval, energy short [kWh], hours to be back) by
    store, of the first interval in which it was found below its floor. given: net power (lanes, n) of
    what generates by itself, which base_kw already holds; may_cut: those of them that a setpoint cuts.
    """

    stores: dict[str, StoreLimits]
    step_h: float
    import_limit_kw: Kw
    export_limit_kw: Kw
    interventions: dict[str, int] = field(default_factory=dict)
    below: dict[str, tuple[int, float, float]] = field(default_factory=dict)
    given: Mapping[str, Kw] = field(default_factory=dict)
    may_cut: frozenset[str] = frozenset()

    def project(
        self, k: int, base_kw: Any, energy_kwh: dict[str, Any], setpoints_kw: dict[str, Any]
    ) -> dict[str, Any]:
        """Allowed setpoints of interval k, by asset. base_kw: net load if every store rested, (lanes,).

        What is no store is taken first, as asked: generation is cut, and a load's draw beyond the service. Stores come
        in the order of the plan; a store that the plan does not name is asked for nothing.
        """
        out, room = {}, None
        for name, wish in setpoints_kw.items():
            if name in self.may_cut:
                room = np.asarray(base_kw, dtype=float) + 0.0 if room is None else room
                room = room + self._cut(k, name, wish)
            elif name not in self.stores and name not in self.given:
                room = np.asarray(base_kw, dtype=float) + 0.0 if room is None else room
                out[name] = self._drawn(k, room, wish)
                room = room + out[name]
        for name, wish in {**setpoints_kw, **{s: 0.0 for s in self.stores if s not in setpoints_kw}}.items():
            store = self.stores.get(name)
            if store is None:
                if name not in out:  # generation: the plant reads what is no number as no cut
                    out[name] = wish
                continue
            if room is None:
                room = np.asarray(base_kw, dtype=float) + 0.0
            power = self._one(store, k, room, energy_kwh[name], wish)
            out[name] = power
            room = room + power
        return out

    def _number(self, wish: Any) -> Any:
        good = np.isfinite(wish)
        if not np.all(good):
            self.note("not a number")
        return np.asarray(np.where(good, wish, 0.0))

    def _cut(self, k: int, name: str, wish: Any) -> Any:
        """By how much a setpoint cuts generation [kW]; what is no number cuts nothing."""
        made, asked = self.given[name][:, k], np.asarray(wish, dtype=float)
        return np.where(np.isfinite(asked), np.clip(asked - made, 0.0, np.maximum(-made, 0.0)), 0.0)

    def _drawn(self, k: int, room: Any, wish: Any) -> Any:
        """A setpoint of what is no store: its draw within what the service still carries."""
        asked = self._number(wish)
        power = np.minimum(asked, np.maximum(self.import_limit_kw[k] - room, np.minimum(asked, 0.0)))
        if np.any(np.abs(power - asked) > 1e-9):
            self.note("limits")
        return power

    def _one(self, s: StoreLimits, k: int, room: Any, energy: Any, wish: Any) -> Any:
        if np.shape(room) == np.shape(energy) == (1,) and np.size(wish) == 1:
            return self._one_lane(s, k, float(room[0]), energy, float(np.asarray(wish).item()))
        h = self.step_h
        asked = self._number(wish)
        can_in = np.minimum(
            s.charge_kw[k], np.maximum(s.high_kwh[k + 1] - energy, 0.0) / (s.charge_efficiency_frac * h)
        )
        spare = energy - s.floor_kwh[k + 1]
        can_out = np.clip(spare * s.discharge_efficiency_frac / h, 0.0, s.discharge_kw[k])
        must_in = np.minimum(np.maximum(-spare, 0.0) / (s.charge_efficiency_frac * h), can_in)
        if s.name not in self.below:
            self._watch(s, k, energy)
        most = np.clip(self.import_limit_kw[k] - room, -can_out, can_in)
        least = np.clip(-self.export_limit_kw[k] - room, -can_out, most)
        power = np.minimum(np.maximum(np.minimum(np.maximum(asked, -can_out), can_in), least), most)
        forced = np.minimum(must_in, np.maximum(most, 0.0))
        power = np.where(must_in > 0, np.maximum(power, forced), power)
        if np.any(np.abs(power - asked) > 1e-9):
            self.note("limits")
        return power

    def _one_lane(self, s: StoreLimits, k: int, room: float, energy: Any, wish: float) -> Kw:
        """The same for one lane, compiled: most loops have one, and arrays of one number cost ten times as much."""
        from .guard_kernel import guarded_kw

        asked = wish if isfinite(wish) else 0.0
        if asked != wish:
            self.note("not a number")
        if s.name not in self.below:
            self._watch(s, k, energy)
        power = guarded_kw(
            *(asked, room, float(energy[0]), s.floor_kwh[k + 1], s.high_kwh[k + 1]),
            *(
                s.discharge_kw[k],
                s.charge_kw[k],
                s.charge_efficiency_frac,
                s.discharge_efficiency_frac,
                self.step_h,
            ),
            *(self.import_limit_kw[k], self.export_limit_kw[k]),
        )
        if abs(power - asked) > 1e-9:
            self.note("limits")
        return np.array([power])

    def narrow(self, name: str, low_kwh: Kw, high_kwh: Kw) -> None:
        """Keep a store within energies at interval boundaries, (n + 1,), beside what it is kept to already. A floor is
        reached in time; above `high` it is not charged further, and nothing forces it down. Where the reserve asks for
        more than `high`, the reserve holds."""
        s = self.stores[name]
        gain = s.charge_efficiency_frac
        floor = reachable_floor(np.maximum(s.floor_kwh, low_kwh), s.charge_kw, gain, self.step_h, s.floor_kwh)
        high = np.maximum(np.minimum(s.high_kwh, high_kwh), floor)
        self.stores[name] = replace(
            s, floor_kwh=np.minimum(floor, s.high_kwh), high_kwh=np.minimum(high, s.high_kwh)
        )

    def note(self, what: str, times: int = 1) -> None:
        """Count interventions."""
        if times:
            self.interventions[what] = self.interventions.get(what, 0) + times

    def _watch(self, s: StoreLimits, k: int, energy_kwh: Any) -> None:
        """Note the first interval that begins below the floor."""
        least = float(np.min(energy_kwh))
        if least < s.floor_kwh[k] - 1e-6:
            back = self.hours_to_floor(s.name, k, least)
            self.below[s.name] = (k, float(s.floor_kwh[k]) - least, back)

    def watch_run(self, name: str, energy_kwh: Kw, first: int = 0) -> None:
        """The same for a run from interval `first` on, (lanes, m + 1) energies at interval boundaries."""
        s, m = self.stores[name], energy_kwh.shape[1] - 1
        if name in self.below:
            return
        floor = s.floor_kwh[first : first + m]
        under = np.flatnonzero(np.any(energy_kwh[:, :-1] < floor - 1e-6, axis=0))
        if under.size:
            self._watch(s, first + int(under[0]), energy_kwh[:, under[0]])

    def hours_to_floor(self, name: str, k: int, energy_kwh: float) -> float:
        """How long a store that holds energy_kwh at the start of interval k needs at full charging power until
        it is above its floor, which may rise meanwhile [h]; inf where it never is."""
        s = self.stores[name]
        gain = s.charge_kw[k:] * s.charge_efficiency_frac * self.step_h
        could = energy_kwh + np.concatenate(([0.0], np.cumsum(gain)))
        back = np.flatnonzero(could >= s.floor_kwh[k:] - 1e-9)
        if not back.size:
            return inf
        j = int(back[0])
        if j == 0:
            return 0.0
        part = (float(s.floor_kwh[k + j]) - float(could[j - 1])) / max(float(gain[j - 1]), 1e-12)
        return (j - 1 + min(max(part, 0.0), 1.0)) * self.step_h

    def sentences(self, when: Callable[[int], datetime]) -> list[str]:
        """What it did, for a person. when: start of an interval."""
        out = []
        for name, (k, short, hours) in self.below.items():
            back = (
                "never within this span" if hours == inf else f"after {hours:.1f} h of charging at full power"
            )
            out.append(
                f"{name} is {short:,.1f} kWh below what its reserve asks for at {when(k).isoformat()}; it is back "
                f"{back}, where the service leaves room"
            )
        for what, times in self.interventions.items():
            out.append(f"the guard changed setpoints in {times:,} intervals ({what})")
        return out


def guard_for(
    stores: list[Any],
    n: int,
    step_h: float,
    import_limit_kw: float | Kw,
    export_limit_kw: float | Kw,
    reserve_kwh: dict[str, Kw] | None = None,
) -> Guard:
    """A guard from offers (flows.Store) over n intervals; reserve_kwh: (n + 1,) floors by store.

    Errors: InputError for a reserve of an unknown store, of another length, or above what the store holds.
    """
    reserve_kwh = reserve_kwh or {}
    _check(stores, n, reserve_kwh)
    limits = {}
    for o in stores:
        low, high = np.asarray(o.energy_min_kwh, dtype=float), np.asarray(o.energy_max_kwh, dtype=float)
        asked = np.maximum(low, reserve_kwh[o.name]) if o.name in reserve_kwh else low
        charge = np.broadcast_to(np.asarray(o.charge_max_kw, dtype=float), n)
        discharge = np.broadcast_to(np.asarray(o.discharge_max_kw, dtype=float), n)
        floor = reachable_floor(asked, charge, o.charge_efficiency_frac, step_h, low)
        limits[o.name] = StoreLimits(
            o.name, charge, discharge, floor, high, o.charge_efficiency_frac, o.discharge_efficiency_frac
        )
    return Guard(
        limits,
        step_h,
        np.broadcast_to(np.asarray(import_limit_kw, dtype=float), n),
        np.broadcast_to(np.asarray(export_limit_kw, dtype=float), n),
    )


def _check(stores: list[Any], n: int, reserve_kwh: dict[str, Kw]) -> None:
    problems, by_name = [], {o.name: o for o in stores}
    for name, floor in reserve_kwh.items():
        if name not in by_name:
            problems.append(f"reserve of {name!r}: no such store; there is {', '.join(by_name) or 'none'}")
        elif np.shape(floor) != (n + 1,):
            problems.append(
                f"reserve of {name}: shape {np.shape(floor)}; give {n + 1} energies, one a boundary"
            )
        elif not np.all(np.isfinite(floor)):
            problems.append(f"reserve of {name}: holds what is not a number")
        elif np.any(floor > np.asarray(by_name[name].energy_max_kwh) + 1e-9):
            problems.append(
                f"reserve of {name}: {float(np.max(floor)):,.1f} kWh is more than it can hold "
                f"({float(np.max(by_name[name].energy_max_kwh)):,.1f} kWh)"
            )
    if problems:
        raise InputError.collect("guard", problems)
