"""Virtual battery: loads behind thermostats as one store with dissipation, whatever they are.

    x' = -alpha x + u,   -n_down <= u <= n_up,   |x| <= C          u = deviation from baseline [kW, load sign]

Hao, Sanandaji, Poolla, Vincent, Aggregate Flexibility of Thermostatically Controlled Loads, IEEE Trans. Power
Systems 30(1), 2015 (x with the opposite sign there). For N like cooling loads with resistance R, capacitance B,
power P, coefficient of performance c, outdoor temperature O, set point T and dead band +-D:

    alpha = 1 / (R B),   P0 = N (O - T) / (c R) within 0 .. N P,   n_down = P0,   n_up = N P - P0,   C = N B D / c

Over an interval of length h, x+ = e^(-alpha h) x + g h u with g = (1 - e^(-alpha h)) / (alpha h); the store holds
x / g, so that its balance is exact. Truth is the same law.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from ..dispatch import Record, View, World
from ..errors import DataError, UnknownKind
from ..finding import Finding
from ..flows import Backup, Capability, Store
from ..ledger import Entry
from ..timeline import Kw, Timeline
from ._schedule import outdoors_c


@cache
def _published() -> dict[str, Any]:
    text = files("valuestack").joinpath("data", "thermal", "virtual-battery.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


class VirtualBattery(BaseModel):
    """Many loads behind thermostats as one store with dissipation.

    Give the battery itself (loss_per_h, up_kw, down_kw, capacity_kwh), or count loads of a kind: `load`, a name with
    published parameters, or resistance_k_per_kw, capacitance_kwh_per_k, power_kw, cop, setpoint_c, deadband_k of
    one. loss_per_h: alpha. up_kw, down_kw: how far consumption may rise and fall. outdoor_c or weather (a SAM CSV
    year) stand in where the site knows no temperature. share_frac: of the loads that take part. usd_per_kwh: what a
    kWh of reduced consumption costs the owner. The meter's load contains the baseline.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: ClassVar[str] = "virtual_battery"
    name: str = "virtual_battery"
    what: str = ""
    loss_per_h: float | None = Field(default=None, ge=0)
    up_kw: float | None = Field(default=None, ge=0)
    down_kw: float | None = Field(default=None, ge=0)
    capacity_kwh: float | None = Field(default=None, gt=0)
    load: str | None = None
    count: int | None = Field(default=None, ge=1)
    resistance_k_per_kw: float | None = Field(default=None, gt=0)
    capacitance_kwh_per_k: float | None = Field(default=None, gt=0)
    power_kw: float | None = Field(default=None, gt=0)
    cop: float | None = Field(default=None, gt=0)
    setpoint_c: float | None = None
    deadband_k: float | None = Field(default=None, gt=0)
    share_frac: float = Field(default=1.0, gt=0, le=1)
    outdoor_c: float | None = None
    weather: str | None = None
    usd_per_kwh: float = Field(default=0.0, ge=0)
    approver: str = ""
    control_capex_usd: float = Field(default=0.0, ge=0)
    control_om_usd_per_y: float = Field(default=0.0, ge=0)
    protocols: tuple[str, ...] = ()
    telemetry_s: float | None = Field(default=None, gt=0)
    response_s: float | None = Field(default=None, ge=0)
    source: str = ""
    _kept: dict[str, Any] = PrivateAttr(default_factory=dict)

    OF_ONE: ClassVar[tuple[str, ...]] = (
        "resistance_k_per_kw",
        "capacitance_kwh_per_k",
        "power_kw",
        "cop",
        "setpoint_c",
        "deadband_k",
    )
    ITSELF: ClassVar[tuple[str, ...]] = ("loss_per_h", "up_kw", "down_kw", "capacity_kwh")

    @model_validator(mode="after")
    def _consistent(self) -> VirtualBattery:
        problems = []
        itself = [k for k in self.ITSELF if getattr(self, k) is not None]
        if itself and (self.count is not None or self.load is not None):
            problems.append(f"{', '.join(itself)}: give the battery itself or a count of loads, not both")
        elif itself and len(itself) < len(self.ITSELF):
            problems.append(
                f"{', '.join(k for k in self.ITSELF if k not in itself)}: missing; a battery needs all four"
            )
        elif not itself and self.count is None:
            problems.append(f"count: missing; give it with `load`, or {', '.join(self.ITSELF)}")
        if self.load is not None and self.load not in _published()["loads"]:
            problems.append(
                str(UnknownKind("load with published parameters", self.load, _published()["loads"]))
            )
        elif self.count is not None and self.load is None:
            missing = [k for k in self.OF_ONE if getattr(self, k) is None]
            if missing:
                problems.append(f"{', '.join(missing)}: missing; give them, or `load`")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Defaults taken."""
        out = []
        if self.load is not None:
            data = _published()
            word = "" if data["verified"] else ", not verified"
            out.append(
                f"{self.name}: parameters of one {self.load.replace('_', ' ')} from {data['source']}{word}"
            )
        if self.count is not None:
            out.append(f"{self.name}: {self.count} like loads behave as one store with dissipation")
        return tuple(out)

    def of_one(self, key: str) -> float:
        """A parameter of one load: as given, else as published."""
        given = getattr(self, key)
        return float(_published()["loads"][self.load][key] if given is None else given)

    def _outdoors(self, timeline: Timeline, known: Kw | None) -> Kw:
        return outdoors_c(self.name, timeline, known, self.weather, self.outdoor_c)

    def parameters(self, timeline: Timeline, temperature_c: Kw | None = None) -> tuple[float, Kw, Kw, float]:
        """alpha [1/h], n_up and n_down [kW, (n,)], C [kWh]."""
        n = timeline.n
        if self.count is None:
            return (
                float(self.loss_per_h or 0.0),
                np.full(n, self.up_kw),
                np.full(n, self.down_kw),
                float(self.capacity_kwh or 0.0),
            )
        outdoor = self._outdoors(timeline, temperature_c)
        many = self.count * self.share_frac
        resistance, cop = self.of_one("resistance_k_per_kw"), self.of_one("cop")
        whole = many * self.of_one("power_kw")
        base = np.clip(many * (outdoor - self.of_one("setpoint_c")) / (cop * resistance), 0.0, whole)
        capacity = many * self.of_one("capacitance_kwh_per_k") * self.of_one("deadband_k") / cop
        return 1 / (resistance * self.of_one("capacitance_kwh_per_k")), whole - base, base, capacity

    @staticmethod
    def held_frac(alpha: float, step_h: float) -> float:
        """g: what an interval's energy is worth at its end, (1 - e^(-alpha h)) / (alpha h)."""
        return 1.0 if alpha == 0 else float(-np.expm1(-alpha * step_h) / (alpha * step_h))

    # --- Asset -----------------------------------------------------------------------------------

    def initial_state(self) -> Kw:
        """At the set points: nothing stored, nothing owed [kWh], (1,)."""
        return np.zeros(1)

    def belief(self, view: View) -> Store:
        """The store over the view's horizon; energies below zero are owed."""
        known = None
        if self.count is not None:
            try:
                known = np.atleast_2d(view.series("temperature_c"))[0]
            except DataError:
                known = None
        alpha, up, down, capacity = self.parameters(view.horizon, known)
        n, h = view.n, view.horizon.step_h
        room = np.full(n + 1, capacity / self.held_frac(alpha, h))
        return Store(
            name=self.name,
            charge_max_kw=up,
            discharge_max_kw=down,
            energy_min_kwh=-room,
            energy_max_kwh=room,
            energy_start_kwh=float(np.asarray(view.asset_state[self.name]).ravel()[0]),
            energy_end_min_kwh=0.0 if view.k + n == view.timeline.n else -np.inf,
            loss_frac_per_h=float(-np.expm1(-alpha)),
            wear_usd_per_kwh=self.usd_per_kwh,
        )

    def step(self, state: Kw, setpoint_kw: Kw, world: World, k: int) -> tuple[Kw, Kw]:
        """Truth: the same law, within its bounds; what it cannot hold it does not take."""
        kept = self._kept.get("world")
        if kept is None or kept[0] is not world:
            made = self.parameters(world.timeline, world.get("temperature_c"))
            kept = self._kept["world"] = (world, made)
        alpha, up, down, capacity = kept[1]
        h = world.timeline.step_h
        room, keep = capacity / self.held_frac(alpha, h), float(np.exp(-alpha * h))
        left = state * keep
        power = np.clip(setpoint_kw, -down[..., k], up[..., k])
        power = np.clip(power, (-room - left) / h, (room - left) / h)
        return left + power * h, power

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        """What reduced consumption costs the owner."""
        kwh = float(np.maximum(-np.asarray(record.asset_kw[self.name]), 0.0).sum()) * record.timeline.step_h
        if not self.usd_per_kwh or not kwh:
            return []
        first, last = record.timeline.start.date(), record.timeline.when(record.timeline.n - 1).date()
        return [
            Entry(
                cycle=f"{first}/{last}",
                layer=0,
                stream=self.name,
                item="wear",
                counterparty="owner",
                quantity=kwh,
                unit="kWh",
                usd_per_unit=self.usd_per_kwh,
                usd=-self.usd_per_kwh * kwh,
                certainty="modelled",
                reason=f"{kwh:,.0f} kWh of consumption reduced",
            )
        ]

    def backup(self, state: Any) -> Backup | None:
        """Nothing: it gives no power."""
        return None

    def doubts(self, timeline: Timeline, load_kw: Kw, temperature_c: Kw | None) -> Iterable[Finding]:
        """What of it contradicts the meter."""
        known = None if temperature_c is None else np.atleast_2d(temperature_c)[0]
        _, _, down, _ = self.parameters(timeline, known)
        over = np.flatnonzero(down > np.maximum(load_kw, 0.0) + 1e-6)
        if over.size:
            k = int(over[0])
            yield Finding(
                "baseline_above_load",
                "error",
                f"{self.name} could draw {down[k]:,.0f} kW less where the site draws {load_kw[k]:,.0f} kW",
                where=timeline.when(k).isoformat(),
                count=int(over.size),
                remedy="check count and the parameters of one load, and whether this meter feeds them",
            )

    def capability(self) -> Capability:
        """What a programme may ask of it: as long as its capacity lasts at full reduction."""
        one = Timeline("2025-01-01", 1.0, 1, "UTC")
        try:
            _, _, down, capacity = self.parameters(one)
            hours = capacity / float(down[0]) if down[0] > 0 else 0.0
        except DataError:
            hours = 0.0
        return Capability(
            protocols=self.protocols,
            telemetry_s=self.telemetry_s,
            response_s=self.response_s,
            max_duration_h=hours,
        )
