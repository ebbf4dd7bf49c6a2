"""The reserve: so much energy and fuel at all times that the critical load is carried through the next H hours.

With the deterministic outage of backing.py, asked(t) energy and most(t) power of the stores at each start t,

    floor of store i = E_low,i + share_i x asked / eta_i,   fuel of engine g >= gallons of its share of the H hours

stated as hard limits of the strongest priority on `stored`, and on the fuel that may be burnt between two trucks by
an engine that is dispatched for pay. basis 'worst' holds asked of the worst H hours of the span at all times; 'next'
follows the H hours to come as if they were known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import inf
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from ...dispatch import Record, View, World
from ...errors import InputError
from ...ledger import Entry, Ledger
from ...terms import Limit, Measure, Term
from ...timeline import Kw
from ..stream import Place
from .backing import Backing, Cell, Engine, gather, state_at_starts
from .critical import CriticalLoad

HALVINGS = 20  # of the share of the critical load that a site can carry: to a millionth


@dataclass(frozen=True, slots=True)
class Coverage:
    """Whether full stores and full tanks carry the critical load through the worst `hours` of the span.

    need_mwh, peak_kw: of the critical load in them. engine_kw, engine_mwh: what the engines can give in that time;
    store_mwh, store_kw: of the stores; bridge_kw: what stores and UPS give until the engines carry load. carry_frac:
    the greatest share of the critical load that is covered; carry_kw: that share of its peak. why: sentences.
    """

    covered: bool
    hours: float
    need_mwh: float
    peak_kw: float
    engine_kw: float
    engine_mwh: float
    store_mwh: float
    store_kw: float
    bridge_kw: float
    carry_frac: float
    carry_kw: float
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Breach:
    """An outage that would not be carried: when it begins, hours carried of those asked, kWh short in all of them."""

    start: datetime
    carried_h: float
    short_kwh: float


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """The reserve at every start of a record. carried_h, short_kwh: (n,); breaches: those short, in time order."""

    hours: float
    carried_h: Kw
    short_kwh: Kw
    breaches: tuple[Breach, ...]

    @property
    def starts(self) -> int:
        """How many starts were tried."""
        return int(self.carried_h.size)


@dataclass(frozen=True, slots=True, eq=False)
class ReserveReport:
    """The reserve walked at every start of a record."""

    check: Check
    covers: Coverage

    @property
    def sentences(self) -> tuple[str, ...]:
        """What a person reads first."""
        c = self.check
        worst = f"; the first at {c.breaches[0].start.isoformat()}" if c.breaches else ""
        return (
            f"An outage of {c.hours:g} h was begun at each of {c.starts:,} intervals from what stores and tanks held "
            f"there: {len(c.breaches):,} would not have been carried{worst}. Nothing fails in this walk.",
            *self.covers.why,
        )

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Starts that would not be carried, the first of them."""
        if not self.check.breaches:
            return {}
        rows = [
            {"start": b.start.isoformat(), "carried_h": b.carried_h, "short_kwh": b.short_kwh}
            for b in self.check.breaches[:20]
        ]
        return {"Starts that would not be carried": rows}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "hours": self.check.hours,
            "starts": self.check.starts,
            "breaches": len(self.check.breaches),
            "covered": self.covers.covered,
            "carry_frac": self.covers.carry_frac,
            "carry_kw": self.covers.carry_kw,
            **self.tables(),
        }


@dataclass(frozen=True, slots=True, eq=False)
class _Duty:
    """What the reserve asks. fuel_gal: floor of each engine; asked_kwh: (n,) of the stores at each start; most_kw;
    shares: of each store, None where the stores cannot do it; short_gal: whether a tank is too small."""

    fuel_gal: Kw
    asked_kwh: Kw
    most_kw: float
    shares: dict[str, float] | None


class Reserve(BaseModel):
    """Cover the next `hours` of critical load from store and fuel, at all times.

    spare_units: engine units not counted on (1 = N + 1). held_frac: at most this share of the stores' energy is held,
    the rest is left to other streams. uninterrupted: the load must not blink while the engines
    start; then stores and a UPS of ups_kw for ups_min bridge it. if_short: 'refuse' a reserve that can never be held,
    or 'hold_most': hold what share of the critical load can be held, and say so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: ClassVar[str] = "reserve"
    layer: ClassVar[int] = 2
    certainty: ClassVar[str] = "modelled"
    name: str = "reserve"
    hours: float = Field(gt=0, le=720)
    critical: CriticalLoad
    basis: Literal["worst", "next"] = "worst"
    spare_units: int = Field(default=0, ge=0)
    held_frac: float = Field(default=1.0, ge=0, le=1)
    uninterrupted: bool = True
    ups_kw: float = Field(default=0.0, ge=0)
    ups_min: float = Field(default=0.0, ge=0)
    if_short: Literal["refuse", "hold_most"] = "refuse"
    _place: Place | None = PrivateAttr(default=None)
    _held: Backing | None = PrivateAttr(default=None)
    _duty: _Duty | None = PrivateAttr(default=None)
    _covers: Coverage | None = PrivateAttr(default=None)

    # --- before the first interval ---------------------------------------------------------------

    def bind(self, place: Place) -> Reserve:
        """The reserve made ready for a site. Errors: InputError for one that can never be held, with what could be."""
        whole = self.backing(place)
        found = self._coverage(whole)
        if not found.covered and (self.if_short == "refuse" or found.carry_frac <= 0):
            raise InputError(
                f"{self.name}: hours = {self.hours:g}: the reserve can never be held. {' '.join(found.why)} "
                "Lower the critical load or the hours, add engines, fuel or storage, or say "
                "if_short = 'hold_most' to hold what can be held"
            )
        bound = self.model_copy()
        bound._place, bound._covers = place, found
        bound._held = whole if found.covered else whole.scaled(found.carry_frac)
        bound._duty = self._duty_of(bound._held)
        return bound

    def backing(self, place: Place) -> Backing:
        """What stands behind the critical load of a site."""
        critical = self.critical.of(place.world, self.name)
        try:
            found = gather(
                place.timeline,
                place.assets,
                place.world,
                critical,
                pv_frac=self.critical.pv_frac,
                spare_units=self.spare_units,
                ups_kw=self.ups_kw if self.uninterrupted else inf,
                ups_h=self.ups_min / 60 if self.uninterrupted else inf,
            )
            return replace(found, held_frac=self.held_frac)
        except InputError as e:
            raise InputError(f"{self.name}: {e}") from e

    def coverage(self, place: Place) -> Coverage:
        """Whether the site can cover the critical load at all, and which share of it it could."""
        return self._coverage(self.backing(place))

    def _duty_of(self, backing: Backing) -> _Duty:
        n = backing.timeline.n
        tanks = np.array([e.backup.tank_gal for e in backing.engines], dtype=float)
        needed = backing.fuel_needed_gal(self.hours)
        fuel = np.minimum(needed.max(axis=1, initial=0.0), tanks) if tanks.size else tanks
        _, _, asked, most, bridge = backing.carry(
            self.hours, np.repeat(fuel[:, None], n, axis=1), np.full(n, inf)
        )
        power = float(max(most.max(), bridge.max()))
        return _Duty(fuel, asked, power, backing.split(float(asked.max()), power))

    def _coverage(self, backing: Backing) -> Coverage:
        def held(frac: float) -> bool:
            return self._duty_of(backing.scaled(frac)).shares is not None

        covered = held(1.0)
        least, most = (1.0, 1.0) if covered else (0.0, 1.0)
        if not covered:
            for _ in range(HALVINGS):
                middle = 0.5 * (least + most)
                least, most = (middle, most) if held(middle) else (least, middle)
        return self._told(backing, covered, least)

    def _told(self, backing: Backing, covered: bool, frac: float) -> Coverage:
        t, steps = backing.timeline, backing.steps(self.hours)
        around = np.concatenate((backing.need_kw, np.resize(backing.need_kw, steps)))
        total = np.concatenate(([0.0], np.cumsum(around))) * t.step_h
        need_mwh = float((total[steps : steps + t.n] - total[: t.n]).max()) / 1000
        peak, engines = float(backing.need_kw.max()), backing.engines
        engine_kw = float(backing.capacity_kw.min()) if engines else 0.0
        lasts = [_hours_of_fuel(e) for e in engines]
        engine_mwh = (
            sum(float(e.kw.min()) * min(self.hours, h) for e, h in zip(engines, lasts, strict=True)) / 1000
        )
        store_mwh = sum(c.usable_kwh for c in backing.cells) / 1000
        bridge_kw = backing.store_kw + min(self.ups_kw, peak if self.ups_min > 0 else 0.0)
        may_be_held = "" if self.held_frac == 1 else f", of which {self.held_frac:.0%} may be held"
        why = [
            f"{self.hours:g} h of at most {peak:,.0f} kW ({self.critical.what}) = {need_mwh:,.1f} MWh; engines of "
            f"{engine_kw:,.0f} kW can give {engine_mwh:,.1f} MWh in that time and stores {store_mwh:,.1f} MWh at "
            f"{backing.store_kw:,.0f} kW{may_be_held}."
        ]
        if engines and min(lasts) < self.hours - 1e-9:
            why.append(f"Fuel lasts {min(lasts):,.1f} h at full load.")
        if self.uninterrupted and backing.start_h > 0 and bridge_kw < peak - 1e-6:
            why.append(
                f"Until the engines carry load ({backing.start_h * 3600:,.0f} s) stores and UPS must bridge "
                f"{peak:,.0f} kW and can give {bridge_kw:,.0f} kW."
            )
        if not covered:
            why.append(f"What can be carried is {frac * peak:,.0f} kW, {frac:.1%} of the critical load.")
        return Coverage(
            covered, self.hours, need_mwh, peak, engine_kw, engine_mwh, store_mwh, backing.store_kw, bridge_kw,
            frac, frac * peak, tuple(why),
        )  # fmt: skip

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What was taken, and what is held where not all can be."""
        n, out = self.name, []
        if self.basis == "next":
            out.append(f"{n}: follows the critical load to come as if it were known")
        else:
            out.append(f"{n}: the worst {self.hours:g} h of the span are held at all times")
        out.append(
            f"{n}: in an outage no engine recharges a store, surplus generation is not kept, and the stores do not "
            "stretch the fuel"
        )
        if self.held_frac < 1:
            out.append(f"{n}: at most {self.held_frac:.0%} of the stores' energy is held for it")
        if not self.uninterrupted:
            out.append(f"{n}: the load may be without power until the engines carry it")
        if self.critical.pv_frac == 0:
            out.append(f"{n}: generation by the sun is not counted on in an outage")
        if self._covers is not None and not self._covers.covered:
            out.append(f"{n}: {' '.join(self._covers.why)} This share is held, not all")
        return tuple(out)

    # --- ValueStream -----------------------------------------------------------------------------

    def initial_state(self) -> Any:
        """Nothing is remembered: stores and tanks carry their own state."""
        return None

    def observe(self, state: Any, record: Record, k: int) -> Any:
        """Nothing to remember."""
        return state

    def floors_kwh(self, place: Place) -> dict[str, Kw]:
        """Floor of each store at interval boundaries, (n + 1,), as the guard takes it."""
        bound = self if self._place is place and self._duty is not None else self.bind(place)
        assert bound._held is not None
        return {c.name: bound._floor(c) for c in bound._held.cells}

    def fuel_floors_gal(self, place: Place) -> dict[str, float]:
        """Fuel that each engine's usable tank must hold at all times."""
        bound = self if self._place is place and self._duty is not None else self.bind(place)
        assert bound._held is not None and bound._duty is not None
        return {e.name: float(f) for e, f in zip(bound._held.engines, bound._duty.fuel_gal, strict=True)}

    def _floor(self, cell: Cell) -> Kw:
        assert self._duty is not None and self._duty.shares is not None
        asked = self._duty.asked_kwh
        asked = np.full(asked.size + 1, asked.max()) if self.basis == "worst" else np.append(asked, asked[0])
        floor = cell.low_kwh + self._duty.shares[cell.name] * asked / cell.discharge_efficiency_frac
        # shares are found to a billionth; a floor a hair above what the store holds would be no plan at all
        return np.minimum(floor, cell.high_kwh)

    def terms(self, view: View) -> Sequence[Term]:
        """A hard floor under every store, and under the fuel of every engine that may be dispatched."""
        place, held = self._place, self._held
        if place is None or held is None:
            raise InputError(f"{self.name}: bind it to its site first: reserve.bind(place)")
        out: list[Term] = []
        for cell in held.cells:
            floor = self._floor(cell)[view.k : view.k + view.n + 1]
            asset = next(a for a in place.assets if a.name == cell.name)
            out.append(
                Limit(
                    self.name,
                    f"{self.hours:g} h in {cell.name}",
                    Measure("stored", asset=cell.name),
                    "each",
                    lower=_reached(floor, asset.belief(view), view, place.import_limit_kw)[1:],
                    priority=0,
                    reason=f"covers {self.critical.what} for {self.hours:g} h",
                )
            )
        return [*out, *self._fuel_limits(view)]

    @property
    def watched(self) -> tuple[str, ...]:
        """Names of assets whose state its terms read: engines that may burn fuel between trucks."""
        engines = () if self._held is None else self._held.engines
        return tuple(e.name for e in engines if e.dispatched and e.backup.tank_gal < inf)

    def _fuel_limits(self, view: View) -> list[Term]:
        """Fuel burnt between trucks leaves the floor in the tank: level - floor at first, then what a truck brings."""
        assert self._place is not None and self._held is not None and self._duty is not None
        out: list[Term] = []
        by_name = {a.name: a for a in self._place.assets}
        for e, floor in zip(self._held.engines, self._duty.fuel_gal, strict=True):
            full = e.backup.tank_gal
            if e.name not in self.watched:
                continue
            asset = by_name[e.name]
            now = float(asset.backup(view.asset_state[e.name]).fuel_gal)
            refuel, tests = getattr(asset, "refuel_normal", None), getattr(asset, "tests_gal", None)
            brought, gal = (np.zeros(view.timeline.n), 0.0) if refuel is None else refuel(view.timeline)
            part = slice(view.k, view.k + view.n)
            if view.k and brought[view.k] > brought[view.k - 1]:  # a truck that comes as this interval begins
                now = min(now + gal, full)
            window = np.asarray(brought[part] - brought[view.k], dtype=np.int64)
            periods = int(window.max()) + 1
            allowed = np.full(periods, max(0.0, min(full - floor, gal)))
            allowed[0] = max(0.0, now - floor)
            if tests is not None:
                set_aside = np.asarray(tests(view.timeline), dtype=float)[part]
                allowed = np.maximum(allowed - np.bincount(window, set_aside, periods), 0.0)
            out.append(
                Limit(
                    self.name,
                    f"fuel of {e.name}",
                    Measure("fuel_gal", asset=e.name),
                    "sum",
                    upper=allowed,
                    window=window,
                    priority=0,
                    reason=f"{floor:,.0f} gal stay in the tank for {self.hours:g} h of outage",
                )
            )
        return out

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        """A reserve earns nothing by itself; what it is worth is the stream `outage`'s to say."""
        return ()

    # --- afterwards ------------------------------------------------------------------------------

    def report(self, record: Record, world: World) -> ReserveReport:
        """What a person wants to see of a dispatched record."""
        found = self.check(record, world)
        assert self._covers is not None
        return ReserveReport(found, self._covers)

    def check(self, record: Record, world: World | None = None) -> Check:
        """Walk an outage of `hours` from every start of a record, from what stores and tanks held there.

        world: of the record, where its critical load is another than that of the site. Power is tested as well as
        energy, and the bridge until the engines carry load. Starts whose hours run beyond the record meet its
        beginning again.
        """
        if self._place is None or self._held is None or self._covers is None:
            raise InputError(f"{self.name}: bind it to its site first: reserve.bind(place)")
        backing = self._held
        if world is not None and world is not self._place.world:
            there = Place(record.timeline, self._place.assets, world)
            backing = self.backing(there).scaled(1.0 if self._covers.covered else self._covers.carry_frac)
        fuel, stored = state_at_starts(backing, self._place.assets, record)
        steps, short, *_ = backing.carry(self.hours, fuel, stored)
        t, whole = record.timeline, backing.steps(self.hours)
        bad = np.flatnonzero(steps < whole)
        breaches = tuple(
            Breach(t.when(int(k)), float(steps[k]) * t.step_h, float(short[k])) for k in bad.tolist()
        )
        return Check(self.hours, np.asarray(steps * t.step_h), short, breaches)


def premium_usd(free: Ledger, held: Ledger) -> float:
    """What the reserve costs: money of all layers but resilience, without the reserve less with it [USD].

    free, held: settled ledgers of the same site and span, dispatched without and with the reserve.
    """
    return free.where(lambda e: e.layer != 2).total_usd - held.where(lambda e: e.layer != 2).total_usd


def _hours_of_fuel(engine: Engine) -> float:
    """Hours at full load on a full tank and what trucks bring in an outage; inf where it never ends."""
    b = engine.backup
    brought = b.refuel_gal / b.refuel_every_h if b.refuel_gal else 0.0
    net = float(engine.burn_gal_per_h(np.array(b.kw))) - brought
    return inf if b.tank_gal == inf or net <= 0 else b.tank_gal / net


def _reached(floor: Kw, offer: Any, view: View, import_limit_kw: float) -> Kw:
    """The floor, or from a start below it what charging at full power reaches of it, (n + 1,)."""
    energy = float(offer.energy_start_kwh)
    if energy >= floor[0] - 1e-9 and np.ptp(floor) == 0:
        return floor
    h = view.timeline.step_h
    charge = np.broadcast_to(np.asarray(offer.charge_max_kw, dtype=float), view.n)
    if import_limit_kw < inf:
        load = np.atleast_2d(view.series("load_kw")).max(axis=0)
        charge = np.minimum(charge, np.maximum(import_limit_kw - load, 0.0))
    drain = 0.0 if offer.drain_kw is None else np.broadcast_to(offer.drain_kw, view.n)
    gain = ((charge * offer.charge_efficiency_frac - drain) * h).tolist()
    keep, out = (1.0 - offer.loss_frac_per_h) ** h, [energy]
    for more, high in zip(gain, np.asarray(offer.energy_max_kwh[1:], dtype=float).tolist(), strict=True):
        energy = min(energy * keep + more, high)
        out.append(energy)
    return np.asarray(np.minimum(floor, np.array(out)))
