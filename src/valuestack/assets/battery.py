"""Battery: what a person writes about it, what may be believed of it, what it does, what it wears.

Belief and truth share one law of energy in an interval of length h, with c, d >= 0 at the meter:
    E' = E + eta_c c h - d h / eta_d,   E_min <= E <= E_max
idle_kw is drawn at the meter at all times on top.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..dispatch import Record, View, World
from ..errors import InputError
from ..finding import Finding
from ..flows import Backup, Capability, Given, Store
from ..ledger import Entry
from ..timeline import Kw
from ._schedule import IntervalFile
from .wear.rainflow import Cycles, count
from .wear.stress import Stress, load_stress
from .wear.warranty import Spent, Trace, Warranty, moved_kw, spent, within

SEGMENTS = 8  # depth segments where wear = 'segments'; the error against rainflow falls with their number


@dataclass(frozen=True, slots=True)
class Use:
    """One warranty meter: used a year against its limit a year (None = not limited)."""

    name: str
    used_per_y: float
    limit: float | None
    unit: str
    years_to_limit: float | None = None


@dataclass(frozen=True, slots=True)
class Worn:
    """What a record did to the battery. life_used_frac by rainflow; counted_usd = replacement x life used;
    fade_frac_per_y: capacity lost in the first year by calendar and cycling, None if unknown. findings: where the
    fade leaves the range in which its source was fitted."""

    throughput_kwh: float
    full_cycles: float
    life_used_frac: float
    counted_usd: float
    fade_frac_per_y: float | None
    uses: tuple[Use, ...]
    findings: tuple[Finding, ...] = ()


class EfficiencyPoint(BaseModel):
    """One-way efficiencies at a share of the rated power, charging and discharging."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    power_frac: float = Field(ge=0, le=1)
    charge_efficiency_frac: float = Field(gt=0, le=1)
    discharge_efficiency_frac: float = Field(gt=0, le=1)


class SocPoint(BaseModel):
    """Losses at a state of charge as a multiple of those in its middle: a cell's resistance rises when nearly empty."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    soc_frac: float = Field(ge=0, le=1)
    charge_loss_factor: float = Field(ge=0, le=10)
    discharge_loss_factor: float = Field(ge=0, le=10)


class Battery(BaseModel):
    """A battery behind the meter.

    power_kw: discharge [kW at the meter]; charge_power_kw: if other. energy_kwh: nameplate; the window
    soc_min_frac..soc_max_frac of it is used. Give charge and discharge efficiencies one way, or
    round_trip_efficiency_frac, which is split evenly, or an efficiency_curve by rising share of power, which the
    simulated battery follows while plans believe the constant that loses as much over all powers alike. loss_by_soc,
    by rising state of charge, scales the simulated losses (1 - efficiency); plans believe its mean over the window.
    file: metered power by interval, charging positive, of a battery that is there already (existing = true).
    capacity_frac: what is left of the nameplate energy in this year of its life; `aged` finds it.
    replacement_usd_per_kwh prices wear by `wear`: 'flat' is one price per kWh discharged, 'segments' prices depth
    (arXiv 1707.04567), 'none' ignores it. wear_model: a shipped stress function.
    protocols, telemetry_s, response_s: what a programme asks about.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: ClassVar[str] = "battery"
    name: str = "battery"
    power_kw: float = Field(gt=0)
    charge_power_kw: float | None = Field(default=None, gt=0)
    energy_kwh: float = Field(gt=0)
    file: str | None = None
    soc_min_frac: float = Field(default=0.05, ge=0, le=1)
    soc_max_frac: float = Field(default=1.0, ge=0, le=1)
    soc_start_frac: float | None = Field(default=None, ge=0, le=1)
    soc_end_min_frac: float | None = Field(default=None, ge=0, le=1)
    charge_efficiency_frac: float | None = Field(default=None, gt=0, le=1)
    discharge_efficiency_frac: float | None = Field(default=None, gt=0, le=1)
    round_trip_efficiency_frac: float | None = Field(default=None, gt=0, le=1)
    efficiency_curve: tuple[EfficiencyPoint, ...] = ()
    loss_by_soc: tuple[SocPoint, ...] = ()
    capacity_frac: float = Field(default=1.0, gt=0, le=1)
    idle_kw: float = Field(default=0.0, ge=0)
    inverter_kva: float | None = Field(default=None, gt=0)
    temperature_c: float = 25.0
    replacement_usd_per_kwh: float = Field(default=0.0, ge=0)
    wear: Literal["flat", "segments", "none"] = "flat"
    wear_model: str = "lfp-sam"
    warranty: Warranty = Warranty()
    protocols: tuple[str, ...] = ()
    telemetry_s: float | None = Field(default=None, gt=0)
    response_s: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> Battery:
        problems = []
        if self.soc_min_frac >= self.soc_max_frac:
            problems.append(
                f"soc_min_frac = {self.soc_min_frac:g} leaves no window below soc_max_frac = {self.soc_max_frac:g}"
            )
        one_way = (self.charge_efficiency_frac, self.discharge_efficiency_frac)
        if self.round_trip_efficiency_frac is not None and any(e is not None for e in one_way):
            problems.append("round_trip_efficiency_frac: give it or the one-way efficiencies, not both")
        if (one_way[0] is None) != (one_way[1] is None):
            problems.append("charge_efficiency_frac and discharge_efficiency_frac: give both")
        problems += self._curve_problems() + self._soc_problems()
        warranted = self.warranty.min_soc_frac
        if warranted is not None and self.soc_min_frac < warranted:
            problems.append(
                f"soc_min_frac = {self.soc_min_frac:g} is below warranty.min_soc_frac = {warranted:g}; raise it, or "
                "the battery would leave its warranty by design"
            )
        for key in ("soc_start_frac", "soc_end_min_frac"):
            value = getattr(self, key)
            if value is not None and not self.soc_min_frac <= value <= self.soc_max_frac:
                problems.append(f"{key} = {value:g} lies outside soc_min_frac .. soc_max_frac")
        if self.inverter_kva is not None and self.inverter_kva < max(self.power_kw, self.charge_kw):
            key = "power_kw" if self.inverter_kva < self.power_kw else "charge_power_kw"
            problems.append(
                f"inverter_kva = {self.inverter_kva:g} is below {key} = {max(self.power_kw, self.charge_kw):g}"
            )
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _curve_problems(self) -> list[str]:
        points = self.efficiency_curve
        if not points:
            return []
        out = []
        constants = (
            self.charge_efficiency_frac,
            self.discharge_efficiency_frac,
            self.round_trip_efficiency_frac,
        )
        if any(e is not None for e in constants):
            out.append("efficiency_curve: give it or constant efficiencies, not both")
        share, into, from_store = (np.array(x) for x in self._curve)
        if np.any(np.diff(share) <= 0):
            return [*out, "efficiency_curve: power_frac must rise from point to point"]
        at = np.linspace(0.0, 1.0, 201)
        stored, taken = at * np.interp(at, share, into), at / np.interp(at, share, from_store)
        if np.any(np.diff(stored) <= 0) or np.any(np.diff(taken) <= 0):
            out.append(
                "efficiency_curve: falls so steeply that more power would move less energy; check its points"
            )
        return out

    def _soc_problems(self) -> list[str]:
        at = [p.soc_frac for p in self.loss_by_soc]
        if any(b <= a for a, b in pairwise(at)):
            return ["loss_by_soc: soc_frac must rise from point to point"]
        worst = max(
            (max(p.charge_loss_factor, p.discharge_loss_factor) for p in self.loss_by_soc), default=0.0
        )
        least = min(self._flat_efficiencies)
        if self.efficiency_curve:
            least = min(float(np.min(x)) for x in self._curve[1:])
        if worst * (1 - least) > 0.95:
            return [
                f"loss_by_soc: {worst:g} times the losses of an efficiency of {least:g} leaves next to nothing; check "
                "its points"
            ]
        return []

    # --- derived ---------------------------------------------------------------------------------

    @property
    def charge_kw(self) -> float:
        """Charging power [kW at the meter]."""
        return self.power_kw if self.charge_power_kw is None else self.charge_power_kw

    @property
    def efficiencies(self) -> tuple[float, float]:
        """One-way charge and discharge efficiency that plans believe; a missing figure is taken as 0.95 each way.

        Of a curve eta(p): integral p eta dp / integral p dp, and integral p dp / integral p / eta dp, over 0..1.
        """
        ec, ed = self._flat_efficiencies
        if not self.loss_by_soc:
            return ec, ed
        at = np.linspace(self.soc_min_frac, self.soc_max_frac, 201)
        more_in, more_out = self._loss_factors(at)
        return float(1 - (1 - ec) * more_in.mean()), float(1 / np.mean(1 / (1 - (1 - ed) * more_out)))

    def _loss_factors(self, soc_frac: Kw) -> tuple[Kw, Kw]:
        """How many times the losses of its middle a state of charge costs, in and out."""
        if not self.loss_by_soc:
            return np.ones_like(soc_frac), np.ones_like(soc_frac)
        at = [p.soc_frac for p in self.loss_by_soc]
        return (
            np.asarray(np.interp(soc_frac, at, [p.charge_loss_factor for p in self.loss_by_soc])),
            np.asarray(np.interp(soc_frac, at, [p.discharge_loss_factor for p in self.loss_by_soc])),
        )

    @cached_property
    def _flat_efficiencies(self) -> tuple[float, float]:
        """One-way efficiencies in the middle of the state of charge."""
        if self.efficiency_curve:
            share, into, from_store = self._curve
            at = np.linspace(0.0, 1.0, 2001)
            ec = (at * np.interp(at, share, into)).sum() / at.sum()
            return float(ec), float(at.sum() / (at / np.interp(at, share, from_store)).sum())
        if self.charge_efficiency_frac is not None and self.discharge_efficiency_frac is not None:
            return self.charge_efficiency_frac, self.discharge_efficiency_frac
        each = (
            0.95
            if self.round_trip_efficiency_frac is None
            else float(np.sqrt(self.round_trip_efficiency_frac))
        )
        return each, each

    @cached_property
    def _curve(self) -> tuple[Kw, Kw, Kw]:
        """Share of power, charge and discharge efficiency, (points,) each."""
        p = self.efficiency_curve
        return (
            np.array([x.power_frac for x in p]),
            np.array([x.charge_efficiency_frac for x in p]),
            np.array([x.discharge_efficiency_frac for x in p]),
        )

    @property
    def truth_is_belief(self) -> bool:
        """Whether `step` follows the very law that `belief` states, so that a compiled loop may stand for it."""
        return not (self.efficiency_curve or self.loss_by_soc)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Defaults taken."""
        out = []
        if self.efficiency_curve:
            ec, ed = self.efficiencies
            out.append(
                f"{self.name}: plans take its efficiency curve as constant, {ec:.4f} in and {ed:.4f} out"
            )
        elif self.charge_efficiency_frac is None:
            if self.round_trip_efficiency_frac is None:
                out.append(f"{self.name}: no efficiency is given; 95 % each way is taken")
            else:
                out.append(
                    f"{self.name}: the round-trip efficiency is split evenly, {self.efficiencies[0]:.4f} each way"
                )
        if self.loss_by_soc:
            out.append(
                f"{self.name}: plans take its losses at all states of charge as their mean over the window"
            )
        if self.soc_start_frac is None:
            out.append(f"{self.name}: starts in the middle of its window and must end there at least")
        stress = self.stress
        if self.wear != "none" and self.replacement_usd_per_kwh > 0 and not stress.verified:
            out.append(f"{self.name}: wear by {stress.name}, not verified: {stress.note}")
        if self.replacement_usd_per_kwh == 0 and self.wear != "none":
            out.append(f"{self.name}: no replacement_usd_per_kwh is given; wear costs nothing")
        return tuple(out)

    @property
    def window_kwh(self) -> tuple[float, float]:
        """Lowest and highest energy [kWh]."""
        left = self.left_kwh
        return self.soc_min_frac * left, self.soc_max_frac * left

    @property
    def left_kwh(self) -> float:
        """Energy it can hold at this age, of which states of charge are shares [kWh]."""
        return self.energy_kwh * self.capacity_frac

    @property
    def start_kwh(self) -> float:
        """Energy at the start [kWh]; the middle of the window unless soc_start_frac says otherwise."""
        low, high = self.window_kwh
        return (low + high) / 2 if self.soc_start_frac is None else self.soc_start_frac * self.left_kwh

    @cached_property
    def _metered(self) -> IntervalFile:
        """Its own meter: charging above zero, discharging below."""
        return IntervalFile(self.name, str(self.file), ("net", "delivered"))

    @cached_property
    def stress(self) -> Stress:
        """The wear model."""
        return load_stress(self.wear_model, where=f"asset {self.name}: wear_model")

    @property
    def wear_usd_per_kwh(self) -> float:
        """First guess of the flat wear price: of full cycles over the window [USD per kWh discharged]."""
        if self.wear != "flat" or self.replacement_usd_per_kwh == 0:
            return 0.0
        depth = self.soc_max_frac - self.soc_min_frac
        usd = self.replacement_usd_per_kwh * self.energy_kwh * float(self.stress.life_frac(depth))
        return usd / (depth * self.energy_kwh * self.efficiencies[1])

    # --- Asset -----------------------------------------------------------------------------------

    def initial_state(self) -> Kw:
        """Energy in store [kWh], (1,)."""
        return np.array([self.start_kwh])

    def belief(self, view: View) -> Store | Given:
        """The battery over the view's horizon, from the energy in its state (of the first lane); one whose power was
        metered did what it did."""
        if self.file is not None:
            return Given(self.name, self._metered.on(view.timeline)[view.k : view.k + view.n])
        n, (low, high) = view.n, self.window_kwh
        ec, ed = self.efficiencies
        energy = float(np.asarray(view.asset_state[self.name]).ravel()[0])
        end = self.start_kwh if self.soc_end_min_frac is None else self.soc_end_min_frac * self.left_kwh
        segments: tuple[tuple[float, float], ...] = ()
        if self.wear == "segments" and self.replacement_usd_per_kwh > 0:
            segments = self.stress.segments(SEGMENTS, self.replacement_usd_per_kwh, ed)
        return Store(
            name=self.name,
            charge_max_kw=np.full(n, self.charge_kw),
            discharge_max_kw=np.full(n, self.power_kw),
            energy_min_kwh=np.full(n + 1, low),
            energy_max_kwh=np.full(n + 1, high),
            energy_start_kwh=energy,
            charge_efficiency_frac=ec,
            discharge_efficiency_frac=ed,
            energy_end_min_kwh=end if view.k + n == view.timeline.n else -np.inf,
            aux_kw=np.full(n, self.idle_kw) if self.idle_kw else None,
            wear_usd_per_kwh=self.wear_usd_per_kwh,
            wear_segments=segments,
            inverter_kva=self.inverter_kva,
        )

    def step(self, state: Kw, setpoint_kw: Kw, world: World, k: int) -> tuple[Kw, Kw]:
        """Energy after interval k and power at the meter, (lanes,): the setpoint within power and energy."""
        h, (low, high) = world.timeline.step_h, self.window_kwh
        wish = np.clip(setpoint_kw, -self.power_kw, self.charge_kw)
        room, content = np.maximum(high - state, 0.0), np.maximum(state - low, 0.0)
        if self.efficiency_curve or self.loss_by_soc:
            power, moved = self._along_curve(wish, room / h, content / h, state / self.left_kwh)
            return np.clip(state + moved * h, low, high), power + self.idle_kw
        ec, ed = self.efficiencies
        power = np.clip(wish, -content * ed / h, room / (ec * h))
        energy = state + np.where(power > 0, power * ec, power / ed) * h
        return energy, power + self.idle_kw

    def _along_curve(
        self, wish: Kw, most_in_kw: Kw, most_out_kw: Kw, soc_frac: Kw | float = 0.5
    ) -> tuple[Kw, Kw]:
        """Power at the meter and into the store [kW] under the efficiency curve, at the losses of a state of charge."""
        flat, more = self._flat_efficiencies, self._loss_factors(np.asarray(soc_frac, dtype=float))
        share, into, from_store = self._curve if self.efficiency_curve else ([0.0], [flat[0]], [flat[1]])

        def moved(power: Kw) -> Kw:
            ec = 1 - (1 - np.interp(power / self.charge_kw, share, into)) * more[0]
            ed = 1 - (1 - np.interp(-power / self.power_kw, share, from_store)) * more[1]
            return np.asarray(np.where(power > 0, power * ec, power / ed))

        got = moved(wish)
        if np.all(got <= most_in_kw) and np.all(got >= -most_out_kw):
            return wish, got
        # More power moves more energy, so the share of the wish that just fits is found by halving.
        least, most = np.zeros_like(wish), np.ones_like(wish)
        for _ in range(60):
            middle = 0.5 * (least + most)
            got = moved(middle * wish)
            fits = (got <= most_in_kw) & (got >= -most_out_kw)
            least, most = np.where(fits, middle, least), np.where(fits, most, middle)
        return least * wish, moved(least * wish)

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        """Wear counted by rainflow on the metered state of charge, at replacement cost."""
        worn = self.worn(record)
        if self.wear == "none" or self.replacement_usd_per_kwh == 0:
            return []
        first, last = record.timeline.start.date(), record.timeline.when(record.timeline.n - 1).date()
        price = worn.counted_usd / worn.throughput_kwh if worn.throughput_kwh else None
        return [
            Entry(
                cycle=f"{first}/{last}",
                layer=0,
                stream=self.name,
                item="wear/cycling",
                counterparty="owner",
                quantity=worn.throughput_kwh,
                unit="kWh",
                usd_per_unit=price,
                usd=-worn.counted_usd,
                certainty="modelled",
                reason=f"{worn.full_cycles:,.1f} full cycles use {worn.life_used_frac:.3%} of its life "
                f"by {self.stress.name}; "
                f"replacement at ${self.replacement_usd_per_kwh:,.0f}/kWh",
            )
        ]

    def backup(self, state: Any) -> Backup:
        """What it can do in an outage from this state."""
        energy = float(np.asarray(state).ravel()[0])
        return Backup(
            self.name, kw=self.power_kw, kwh=max(0.0, energy - self.window_kwh[0]) * self.efficiencies[1]
        )

    def capability(self) -> Capability:
        """What a programme may ask of it; nothing forbids paying for a battery. Full power lasts as long as its
        window does from full."""
        low, high = self.window_kwh
        return Capability(
            protocols=self.protocols,
            telemetry_s=self.telemetry_s,
            response_s=self.response_s,
            max_duration_h=(high - low) * self.efficiencies[1] / self.power_kw,
        )

    # --- wear ------------------------------------------------------------------------------------

    def worn(self, record: Record) -> Worn:
        """What a record (one lane) did to the battery, with what a market's signal moved inside its intervals."""
        from .wear.fade import fade

        stored, h = np.asarray(record.stored_kwh[self.name], dtype=float), record.timeline.step_h
        into_kw, out_kw = self._moved_kw(record)
        soc = np.concatenate(([self.start_kwh], stored)) / self.left_kwh
        inside = self.inside(record)
        out_kwh = float(out_kw.sum() * h)
        used = self.stress.life_used_frac(count(soc) + inside) if self.wear != "none" else 0.0
        span_y = record.timeline.hours / 8760
        one = fade(self.stress, soc[1:], self.temperature_c, h, years=1.0, inside=inside)
        cycles = out_kwh / (self.energy_kwh * self.efficiencies[1])
        fastest = float(np.maximum(into_kw, out_kw).max()) / self.energy_kwh
        uses = self._uses(out_kwh / span_y, cycles / span_y, float(soc.mean()), fastest)
        return Worn(
            out_kwh,
            cycles,
            used,
            used * self.replacement_usd_per_kwh * self.energy_kwh,
            1 - one.capacity_frac,
            (*uses, *self._lost(record)),
            one.findings,
        )

    def _moved_kw(self, record: Record) -> tuple[Kw, Kw]:
        """Power in and out [kW], calls of a signal with them: 'called up' and 'called down' of the record's extra."""
        none = np.zeros(record.timeline.n)
        up, down = (
            np.asarray(record.extra.get(f"{self.name}/called {way}", none), dtype=float)
            for way in ("up", "down")
        )
        return moved_kw(np.asarray(record.asset_kw[self.name], dtype=float) - self.idle_kw, up, down)

    def inside(self, record: Record) -> Cycles:
        """Cycles within the intervals of a record (one lane), which its states of charge do not show."""
        into_kw, out_kw = self._moved_kw(record)
        soc = np.asarray(record.stored_kwh[self.name], dtype=float) / self.left_kwh
        return within(into_kw, out_kw, soc, self.efficiencies, record.timeline.step_h, self.left_kwh)

    def trace(self, record: Record) -> Trace:
        """Its use in a record (one lane), as a warranty counts it."""
        into_kw, out_kw = self._moved_kw(record)
        return Trace(
            record.timeline,
            out_kw,
            np.maximum(into_kw, out_kw),
            np.asarray(record.stored_kwh[self.name], dtype=float) / self.left_kwh,
            self.energy_kwh,
            self.energy_kwh * self.efficiencies[1],
        )

    def capacity_after(self, record: Record) -> Callable[[float], float]:
        """Share of the rated capacity left after so many years of the use in a record (one lane)."""
        from .wear.fade import fade

        soc, inside = (
            np.asarray(record.stored_kwh[self.name], dtype=float) / self.left_kwh,
            self.inside(record),
        )

        def left(years: float) -> float:
            return fade(
                self.stress, soc, self.temperature_c, record.timeline.step_h, years=years, inside=inside
            ).capacity_frac

        return left

    def spent(self, record: Record) -> Spent:
        """Its warranty as a ledger, were the use of a record (one lane) to go on; see wear/warranty.py."""
        return spent(self.trace(record), self.warranty, self.capacity_after(record))

    def _uses(
        self, out_kwh_per_y: float, cycles_per_y: float, mean_soc: float, kw_per_kwh: float
    ) -> tuple[Use, ...]:
        w = self.warranty
        a_year = None if w.throughput_mwh is None or w.years is None else w.throughput_mwh / w.years
        rows: list[tuple[str, float, float | None, str]] = [
            ("full cycles", cycles_per_y, w.cycles_per_y, "cycles a year"),
            ("full cycles a day, mean", cycles_per_y / 365, w.cycles_per_day, "cycles a day"),
            ("energy discharged", out_kwh_per_y / 1000, a_year, "MWh a year"),
            ("mean state of charge", mean_soc, w.mean_soc_frac, "of nameplate"),
            ("highest power over energy", kw_per_kwh, w.max_kw_per_kwh, "kW per kWh"),
        ]
        out = []
        for name, used, limit, unit in rows:
            years = None
            if name == "energy discharged" and w.throughput_mwh is not None and used > 0:
                years = w.throughput_mwh / used
            out.append(Use(name, used, limit, unit, years))
        return tuple(out)

    def _lost(self, record: Record) -> tuple[Use, ...]:
        """Capacity lost at the end of the warranty's term against what may be lost."""
        w = self.warranty
        if w.min_capacity_frac is None or w.years is None:
            return ()
        lost = 1 - self.capacity_after(record)(w.years)
        name = f"capacity lost after {w.years:g} years"
        return (Use(name, lost, 1 - w.min_capacity_frac, "of nameplate"),)

    def aged(self, record: Record, years: float) -> Battery:
        """The same battery after years of the use in a record (one lane): capacity by calendar and cycling fade.

        Errors: InputError where nothing would be left of it."""
        left = self.capacity_after(record)(years)
        if left <= 0:
            raise InputError(
                f"{self.name}: nothing of its capacity is left after {years:g} years of this use"
            )
        return Battery.model_validate({**self.model_dump(), "capacity_frac": min(1.0, left)})

    def with_size(self, power_kw: float, energy_kwh: float) -> Battery:
        """The same battery in another size; inverter and charge power scale with power."""
        scale = power_kw / self.power_kw
        change: Mapping[str, Any] = {
            "power_kw": power_kw,
            "energy_kwh": energy_kwh,
            "charge_power_kw": None if self.charge_power_kw is None else self.charge_power_kw * scale,
            "inverter_kva": None if self.inverter_kva is None else self.inverter_kva * scale,
        }
        return Battery.model_validate({**self.model_dump(), **change})
