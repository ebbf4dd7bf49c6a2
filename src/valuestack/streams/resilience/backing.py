"""Backing: what stands behind the critical load of a site in an outage, and whether it carries it, without chance.

Engines share min(critical, their capacity) in proportion to their capacity, as long as their fuel lasts; the stores
give the rest. Until the slowest engine carries load (start_h), a UPS and the stores give all. No engine recharges a
store. With d_j what is asked of the stores in step j, H the horizon and eta the discharge efficiency,

    asked(t) = sum over the steps of t .. t + H of d_j h          carried if  asked(t) <= sum of (E - E_low) eta
                                                                  and       max d_j  <= sum of discharge kW

Energy in store and asked energy are both straight lines inside an interval, so boundaries speak for all starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf
from typing import Any

import numpy as np

from ...dispatch import Foresight, Record, View, World
from ...errors import InputError
from ...flows import Backup, Given, Store
from ...timeline import Ints, Kw, Timeline


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """A fuelled backup. kw: (n,) that can be counted on in each interval; burn of all its units by its pieces.
    dispatched: it may run for money while the grid is present, so its tank is not full by itself."""

    name: str
    backup: Backup
    kw: Kw
    dispatched: bool

    @property
    def unit_kw(self) -> float:
        return self.backup.kw / self.backup.units

    def burn_gal_per_h(self, output_kw: Kw) -> Kw:
        """Fuel an hour at an output, all units running."""
        out, low = np.full(np.shape(output_kw), self.backup.fuel_idle_gal_per_h), 0.0
        for upto, slope in self.backup.fuel_pieces:
            out = out + slope * np.clip(output_kw - low, 0.0, upto - low)
            low = upto
        return np.asarray(np.where(np.asarray(output_kw) > 1e-9, out, 0.0))


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """A store that can feed the critical load. kw: discharge; low_kwh, high_kwh: its window; aux_kw: idle draw."""

    name: str
    kw: float
    low_kwh: float
    high_kwh: float
    charge_efficiency_frac: float
    discharge_efficiency_frac: float
    start_kwh: float
    charge_max_kw: float
    aux_kw: float = 0.0

    @property
    def usable_kwh(self) -> float:
        """Delivered from full to empty."""
        return (self.high_kwh - self.low_kwh) * self.discharge_efficiency_frac


@dataclass(frozen=True, slots=True, eq=False)
class Backing:
    """Engines and stores of a site, and the critical load that is left for them, need_kw (n,), of a timeline.

    ups_kw, ups_h: a UPS of its own, for the time until the engines carry the load. held_frac: share of what the stores
    can deliver that may be counted on."""

    timeline: Timeline
    need_kw: Kw
    engines: tuple[Engine, ...]
    cells: tuple[Cell, ...]
    ups_kw: float = 0.0
    ups_h: float = 0.0
    held_frac: float = 1.0

    @property
    def start_h(self) -> float:
        """Hours until engines carry load; with none there is nothing to wait for."""
        return max((e.backup.start_h for e in self.engines if e.kw.any()), default=0.0)

    @property
    def capacity_kw(self) -> Kw:
        """Of all engines, (n,)."""
        return sum((e.kw for e in self.engines), np.zeros(self.timeline.n))

    @property
    def store_kw(self) -> float:
        return sum(c.kw for c in self.cells)

    def scaled(self, frac: float) -> Backing:
        """The same site with a share of the critical load."""
        return replace(self, need_kw=self.need_kw * frac)

    def shares(self) -> tuple[Kw, Kw]:
        """Power of each engine in each interval (engines, n) [kW] and its fuel of a whole step [gal]."""
        n, total = self.timeline.n, self.capacity_kw
        if not self.engines:
            return np.zeros((0, n)), np.zeros((0, n))
        served = np.minimum(self.need_kw, total)
        take = np.array([served * e.kw / np.maximum(total, 1e-12) for e in self.engines])
        burn = np.array(
            [e.burn_gal_per_h(p) * self.timeline.step_h for e, p in zip(self.engines, take, strict=True)]
        )
        return take, burn

    def steps(self, hours: float) -> int:
        """Whole intervals that make up `hours`."""
        return max(1, int(np.ceil(hours / self.timeline.step_h - 1e-9)))

    def fuel_needed_gal(self, hours: float) -> Kw:
        """Fuel that each engine must hold at each start to run for `hours`, trucks in the outage counted, (engines, n).

        Backwards over the spans between trucks: r = burn of the span + max(0, r - brought)."""
        n, steps = self.timeline.n, self.steps(hours)
        _, burn = self.shares()
        out = np.zeros((len(self.engines), n))
        starts = np.arange(n)
        for g, e in enumerate(self.engines):
            turns = 1 + steps // n + 1
            total = np.concatenate(([0.0], np.cumsum(np.tile(burn[g], turns))))
            every = every_steps(e.backup.refuel_every_h, self.timeline.step_h)
            cuts = [0, *(range(every, steps, every) if every else ()), steps]
            need = np.zeros(n)
            for a, b in reversed(list(pairwise(cuts))):
                left = np.maximum(need - e.backup.refuel_gal, 0.0) if b < steps else need
                need = total[starts + b] - total[starts + a] + left
            out[g] = need
        return out

    def carry(
        self, hours: float, fuel_gal: Kw, stored_kwh: Kw, starts: Ints | None = None
    ) -> tuple[Ints, Kw, Kw, Kw, Kw]:
        """Walk an outage of `hours` from each start, by default from every interval.

        fuel_gal: (engines, starts); stored_kwh: (starts,) that the stores can deliver. Returns steps carried, kWh not
        served, kWh asked of the stores, highest kW asked of them once engines run, and before that, (starts,) each."""
        from .carry_kernel import carry

        t = self.timeline
        begin = np.arange(t.n) if starts is None else np.asarray(starts, dtype=np.int64)
        take, burn = self.shares()
        every = np.array(
            [every_steps(e.backup.refuel_every_h, t.step_h) for e in self.engines], dtype=np.int64
        )
        return carry(
            np.ascontiguousarray(self.need_kw, dtype=np.float64),
            np.ascontiguousarray(take),
            np.ascontiguousarray(burn),
            begin,
            self.steps(hours),
            t.step_h,
            np.ascontiguousarray(fuel_gal, dtype=np.float64).reshape(len(self.engines), begin.size),
            np.array([e.backup.tank_gal for e in self.engines], dtype=np.float64),
            every,
            np.array([e.backup.refuel_gal for e in self.engines], dtype=np.float64),
            self.start_h,
            self.ups_kw,
            self.ups_h,
            np.ascontiguousarray(stored_kwh, dtype=np.float64),
            self.store_kw,
        )

    def full(self, starts: int) -> tuple[Kw, Kw]:
        """Fuel (engines, starts) and deliverable energy (starts,) of full tanks and stores."""
        tanks = np.array([e.backup.tank_gal for e in self.engines], dtype=float)
        return np.repeat(tanks[:, None], starts, axis=1), np.full(
            starts, sum(c.usable_kwh for c in self.cells)
        )

    def deliverable_kwh(self, stored_kwh: Mapping[str, Kw]) -> Kw:
        """What the stores can deliver from these energies."""
        total: Any = 0.0
        for c in self.cells:
            total = total + np.maximum(stored_kwh[c.name] - c.low_kwh, 0.0) * c.discharge_efficiency_frac
        return np.asarray(total)

    def split(self, asked_kwh: float, most_kw: float) -> dict[str, float] | None:
        """Share of each store in a duty of so many kWh and kW; None where they cannot do it together.

        Store i can take the share min(held x usable_i / asked, kw_i / most); together these must reach one."""
        can = {
            c.name: min(
                self.held_frac * c.usable_kwh / asked_kwh if asked_kwh > 1e-9 else inf,
                c.kw / most_kw if most_kw > 1e-9 else inf,
            )
            for c in self.cells
        }
        if asked_kwh <= 1e-9 and most_kw <= 1e-9:
            return {c.name: 0.0 for c in self.cells}
        total = sum(can.values())
        return None if total < 1 - 1e-9 else {k: v / total for k, v in can.items()}


def every_steps(hours: float, step_h: float) -> int:
    """A truck comes every so many steps, at the end of the step in which it is due; 0 = never."""
    return 0 if hours == inf else max(1, int(np.ceil(hours / step_h - 1e-9)))


def gather(
    timeline: Timeline,
    assets: Sequence[Any],
    world: World,
    critical_kw: Kw,
    *,
    pv_frac: float = 0.0,
    spare_units: int = 0,
    ups_kw: float = 0.0,
    ups_h: float = 0.0,
) -> Backing:
    """What the assets offer in an outage, by the Asset protocol alone.

    spare_units: so many of the largest engine units are not counted on (N + 1). Errors: InputError for more spare
    units than there are.
    """
    view = View(timeline, 0, timeline.n, Foresight(world), {a.name: a.initial_state() for a in assets})
    engines, cells, need = [], [], np.array(critical_kw, dtype=float)
    for a in assets:
        backup = a.backup(view.asset_state[a.name])
        if backup is None and not pv_frac:
            continue
        offer = a.belief(view)
        if backup is None:
            if isinstance(offer, Given):
                need = need - pv_frac * np.maximum(-np.asarray(offer.net_kw, dtype=float), 0.0)
        elif isinstance(offer, Store):
            cells.append(_cell(offer))
        else:
            engines.append(_engine(a, backup, timeline))
    need = np.maximum(need, 0.0) + sum(c.aux_kw for c in cells)
    kept = _without_spares(engines, spare_units)
    return Backing(timeline, need, tuple(kept), tuple(cells), ups_kw, ups_h)


def _without_spares(engines: list[Engine], spare_units: int) -> list[Engine]:
    units = sorted(
        ((e.unit_kw, g) for g, e in enumerate(engines) for _ in range(e.backup.units)), reverse=True
    )
    if spare_units > len(units):
        raise InputError(
            f"spare_units = {spare_units}: there are {len(units)} engine units; name at most those"
        )
    spared = [g for _, g in units[:spare_units]]
    return [replace(e, kw=np.maximum(e.kw - spared.count(g) * e.unit_kw, 0.0)) for g, e in enumerate(engines)]


def _engine(asset: Any, backup: Backup, timeline: Timeline) -> Engine:
    out, can = getattr(asset, "units_out", None), getattr(asset, "capability", None)
    down = np.zeros(timeline.n) if out is None else np.asarray(out(timeline), dtype=float)
    kw = (backup.units - down) * backup.kw / backup.units
    return Engine(backup.name, backup, kw, can is None or can().paid_dispatch)


def _cell(o: Store) -> Cell:
    return Cell(
        o.name,
        float(np.min(o.discharge_max_kw)),
        float(np.max(o.energy_min_kwh)),
        float(np.min(o.energy_max_kwh)),
        o.charge_efficiency_frac,
        o.discharge_efficiency_frac,
        o.energy_start_kwh,
        float(np.min(o.charge_max_kw)),
        0.0 if o.aux_kw is None else float(np.max(o.aux_kw)),
    )


def state_at_starts(backing: Backing, assets: Sequence[Any], record: Record) -> tuple[Kw, Kw]:
    """Fuel (engines, n) and deliverable energy of the stores (n,) at the start of each interval of a record.

    Fuel is metered as 'name/tank_gal' of the record, or follows from the output by the asset's own
    `tank_levels_gal(record)`; without either the tank is as it was at first."""
    n = record.timeline.n
    stored = {}
    for c in backing.cells:
        after = np.asarray(record.stored_kwh[c.name], dtype=float)
        stored[c.name] = np.concatenate(([c.start_kwh], after[:-1]))
    by_name = {a.name: a for a in assets}
    fuel = np.zeros((len(backing.engines), n))
    for g, e in enumerate(backing.engines):
        levels = getattr(by_name[e.name], "tank_levels_gal", None)
        fuel[g] = e.backup.fuel_gal if levels is None else np.asarray(levels(record), dtype=float)[:-1]
    energy = backing.deliverable_kwh(stored) if backing.cells else np.zeros(n)
    return fuel, np.broadcast_to(energy, (n,)).astype(float)
