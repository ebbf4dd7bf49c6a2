"""Thermal load: a cold store of two nodes, air and goods, that can be chilled ahead and left alone for hours.

Belief, linear in the deviation x of air and goods from the set point and in the deviation d of compressor power
from the baseline P0 that just holds it (which the site's load contains):

    C_a x_a' = -(UA + U_p + beta COP P0) x_a + U_p x_p - k d + f,      C_p x_p' = U_p (x_a - x_p)
    P0 = (UA (O - T) + heat) / COP(O, T) within 0 .. compressor_kw,    f = the heat that P0 does not cover

beta = d ln COP / dT at the set point; k = COP midway to the lower bound for d > 0 and midway to the upper one for
d < 0. Each interval is discretised exactly (matrix exponential). Truth is another model: minute by minute, the
COP at the temperature of the moment, compressors that rest and restart one by one (`thermal_load_kernel`).

Margins: what the air warms while the compressors start, and from there the least, in steps of 0.05 K, with which trial
days in the finer model keep to the bounds without the thermostat overruling anything, at the horizon's hottest and
coldest hour and at its greatest heat: as warm as the belief allows (off, then held at the bound) for a stretch, as
cold as it allows for another, and again, in stretches of half an hour to six; a quarter and one step on top.

Source of the nodes: a lumped two-capacity model, ASHRAE Handbook Refrigeration (2018), chapters 19 and 24; COP as a
constant share of Carnot's between evaporating and condensing temperature.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from math import inf
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from ..dispatch import Record, View, World
from ..errors import DataError, InputError, UnknownKind
from ..finding import Finding
from ..flows import Backup, Capability, Custom, Formulated
from ..ledger import Entry
from ..solve.problem import Affine, Problem
from ..timeline import Ints, Kw, Timeline
from ._schedule import HeatWindow, heat_kw, outdoors_c

KJ_PER_KWH = 3600.0
TRIAL_H, MARGIN_STEP_K = 24.0, 0.05
# Hours as warm, then as cold as the belief allows, in turn.
TRIALS_H = ((1.0, 1.0), (2.0, 2.0), (6.0, 6.0), (3.0, 1.0), (1.0, 3.0), (0.5, 2.0), (4.0, 0.5))
SURE_FRAC = 0.25  # on top of what the trials found: a plan may do what no trial did
SUBSTEP_S = 60


@dataclass(frozen=True, slots=True)
class Product:
    """Thermal data of what is stored: specific heat above and below freezing, freezing point, latent heat."""

    above_kwh_per_kg_k: float
    below_kwh_per_kg_k: float
    freezing_c: float
    latent_kwh_per_kg: float
    zone_k: float


@cache
def products() -> dict[str, Product]:
    """Products with published thermal data, by name."""
    text = files("valuestack").joinpath("data", "thermal", "products.toml").read_text(encoding="utf-8")
    data = tomllib.loads(text)
    return {
        name: Product(
            p["above"] / KJ_PER_KWH,
            p["below"] / KJ_PER_KWH,
            p["freezing_c"],
            p["latent"] / KJ_PER_KWH,
            data["freezing_zone_k"],
        )
        for name, p in data["products"].items()
    }


@dataclass(frozen=True, slots=True, eq=False)
class Cold:
    """State of a cold store: temps_c (lanes, 4) air and goods [C], hours since any start, the thermostat's word;
    clock_h (lanes, units, 3): on, hours since start, hours since stop. power_kw, overruled_h, starts and the
    extremes of air and goods [C] of the last interval, (lanes,)."""

    temps_c: Kw
    clock_h: Kw
    power_kw: Kw
    overruled_h: Kw
    starts: Ints
    extremes_c: Kw

    def for_lanes(self, lanes: int) -> Cold:
        """The same for so many lanes."""
        return Cold(*(np.repeat(getattr(self, f), lanes, axis=0) for f in self.__dataclass_fields__))


@dataclass(frozen=True, slots=True, eq=False)
class Weather:
    """What a store meets over a horizon, (n,): outdoor temperature, heat let in, baseline power, uncovered heat."""

    outdoor_c: Kw
    heat_kw: Kw
    base_kw: Kw
    uncovered_kw: Kw


@dataclass(frozen=True, slots=True)
class Margins:
    """Kelvin kept off each bound: air above and below, goods above and below."""

    air_top_k: float = 0.0
    air_low_k: float = 0.0
    goods_top_k: float = 0.0
    goods_low_k: float = 0.0


class ThermalLoad(BaseModel):
    """A cold store and its compressors.

    ua_kw_per_k: heat through the envelope; heat: doors, people, product and process by the clock [thermal kW].
    air_kwh_per_k: capacity of air, racks and lining; product_kg of `product` (a name with published data) or
    product_kwh_per_k: capacity of the goods, which exchange product_ua_kw_per_k with the air.

    setpoint_c; air_min_c .. air_max_c and product_min_c .. product_max_c (by default the air's): bounds at all times.
    Goods must stay on one side of their freezing zone, where latent heat would make nonsense of temperature.

    compressor_kw: electrical, all `units` together, capacity-controlled down to turndown_frac; cop at cop_outdoor_c
    and cop_air_c, elsewhere the same share of Carnot's with the approaches. min_off_h, starts_per_h of a unit;
    stagger_h between two starts, so that the restart sets no peak.

    outdoor_c or weather (a SAM CSV year) stand in where the site knows no temperature. margin_k: kept off every
    bound, instead of the margin found by trial. sustain_h: from any moment the compressors could rest so long
    within bounds, which is what a promise of headroom needs; 0 = none may stand on it. notice_h, approver,
    protocols, telemetry_s, response_s: what a programme asks about. control_capex_usd, control_om_usd_per_y: hardware
    and its upkeep.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: ClassVar[str] = "thermal_load"
    name: str = "thermal_load"
    what: str = ""
    ua_kw_per_k: float = Field(gt=0)
    air_kwh_per_k: float = Field(gt=0)
    product_ua_kw_per_k: float = Field(gt=0)
    product: str | None = None
    product_kg: float | None = Field(default=None, gt=0)
    product_kwh_per_k: float | None = Field(default=None, gt=0)
    setpoint_c: float
    air_min_c: float
    air_max_c: float
    product_min_c: float | None = None
    product_max_c: float | None = None
    compressor_kw: float = Field(gt=0)
    units: int = Field(default=1, ge=1, le=50)
    turndown_frac: float = Field(default=0.25, ge=0, le=1)
    cop: float = Field(gt=0)
    cop_outdoor_c: float = 35.0
    cop_air_c: float | None = None
    evaporator_approach_k: float = Field(default=7.0, gt=0)
    condenser_approach_k: float = Field(default=11.0, gt=0)
    condensing_min_c: float = 20.0
    min_off_h: float = Field(default=0.25, ge=0)
    starts_per_h: float = Field(default=4.0, gt=0)
    stagger_h: float = Field(default=0.0, ge=0)
    heat: tuple[HeatWindow, ...] = ()
    outdoor_c: float | None = None
    weather: str | None = None
    margin_k: float | None = Field(default=None, ge=0)
    sustain_h: float = Field(default=0.0, ge=0)
    notice_h: float = Field(default=0.0, ge=0)
    control_capex_usd: float = Field(default=0.0, ge=0)
    control_om_usd_per_y: float = Field(default=0.0, ge=0)
    approver: str = ""
    protocols: tuple[str, ...] = ()
    telemetry_s: float | None = Field(default=None, gt=0)
    response_s: float | None = Field(default=None, ge=0)
    source: str = ""
    _kept: dict[Any, Any] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> ThermalLoad:
        problems = []
        if not self.air_min_c < self.setpoint_c < self.air_max_c:
            problems.append(
                f"setpoint_c = {self.setpoint_c:g} must lie between air_min_c = {self.air_min_c:g} and air_max_c = "
                f"{self.air_max_c:g}"
            )
        low, high = self.goods_c
        if not low < self.setpoint_c < high:
            problems.append(
                f"setpoint_c = {self.setpoint_c:g} must lie between product_min_c = {low:g} and product_max_c = "
                f"{high:g}"
            )
        if self.product is not None and self.product not in products():
            problems.append(str(UnknownKind("product", self.product, products())))
        elif self.product_kwh_per_k is None and (self.product is None or self.product_kg is None):
            problems.append("product_kwh_per_k: give it, or product and product_kg")
        elif self.product_kwh_per_k is not None and self.product_kg is not None:
            problems.append("product_kwh_per_k: give it or product_kg, not both")
        else:
            problems += self._zone_problems()
        if self.cop_c <= self.evaporating_floor_c:
            problems.append(f"cop_air_c = {self.cop_c:g} is no temperature of a store")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _zone_problems(self) -> list[str]:
        if self.product is None:
            return []
        p, (low, high) = products()[self.product], self.goods_c
        if low < p.freezing_c and high > p.freezing_c - p.zone_k:
            return [
                f"{self.product} freezes between {p.freezing_c - p.zone_k:g} and {p.freezing_c:g} C; product_min_c = "
                f"{low:g} .. product_max_c = {high:g} reaches into that zone, where latent heat rules; keep the "
                "goods on one side of it"
            ]
        return []

    # --- derived ---------------------------------------------------------------------------------

    evaporating_floor_c: ClassVar[float] = -200.0

    @property
    def goods_c(self) -> tuple[float, float]:
        """Lowest and highest temperature of the goods [C]."""
        low = self.air_min_c if self.product_min_c is None else self.product_min_c
        return low, self.air_max_c if self.product_max_c is None else self.product_max_c

    @property
    def cop_c(self) -> float:
        """Air temperature at which `cop` holds [C]."""
        return self.setpoint_c if self.cop_air_c is None else self.cop_air_c

    @cached_property
    def goods_kwh_per_k(self) -> float:
        """Thermal capacity of the goods on their side of freezing."""
        if self.product_kwh_per_k is not None:
            return self.product_kwh_per_k
        p = products()[str(self.product)]
        each = p.below_kwh_per_kg_k if self.setpoint_c < p.freezing_c else p.above_kwh_per_kg_k
        return float(self.product_kg or 0.0) * each

    @property
    def unit_kw(self) -> float:
        """Electrical power of one unit."""
        return self.compressor_kw / self.units

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Defaults taken."""
        given, out = self.model_fields_set, []
        for keys, words in (
            (
                ("evaporator_approach_k", "condenser_approach_k", "condensing_min_c"),
                "approaches of the exchangers",
            ),
            (("min_off_h", "starts_per_h"), "rest and starts an hour of a compressor"),
            (("turndown_frac",), "part load of a compressor"),
        ):
            if not given.intersection(keys):
                values = ", ".join(f"{k} = {getattr(self, k):g}" for k in keys)
                out.append(f"{self.name}: {words} by habit of the trade, not verified: {values}")
        if self.product is not None:
            p = products()[self.product]
            out.append(
                f"{self.name}: {self.product} by published data; its freezing zone of {p.zone_k:g} K below "
                f"{p.freezing_c:g} C is practice, not verified"
            )
        if self.margin_k is None:
            out.append(
                f"{self.name}: margins off the temperature bounds are found by trial against the finer model"
            )
        out.append(
            f"{self.name}: the meter's load contains the power that holds {self.setpoint_c:g} C, as modelled"
        )
        return tuple(out)

    @cached_property
    def _parameters(self) -> Kw:
        from . import thermal_load_kernel as kernel

        p = np.zeros(kernel.WIDTH)
        p[kernel.UA], p[kernel.CA] = self.ua_kw_per_k, self.air_kwh_per_k
        p[kernel.UP], p[kernel.CP] = self.product_ua_kw_per_k, self.goods_kwh_per_k
        p[kernel.APPROACH_E], p[kernel.APPROACH_C] = self.evaporator_approach_k, self.condenser_approach_k
        p[kernel.CONDENSING_LEAST], p[kernel.COP_SCALE] = self.condensing_min_c, 1.0
        p[kernel.COP_SCALE] = self.cop / kernel.cop(p, self.cop_outdoor_c, self.cop_c)
        p[kernel.UNIT_KW], p[kernel.TURNDOWN] = self.unit_kw, self.turndown_frac
        p[kernel.MIN_OFF_H], p[kernel.BETWEEN_H] = self.min_off_h, 1 / self.starts_per_h
        p[kernel.STAGGER_H] = self.stagger_h
        p[kernel.AIR_MIN], p[kernel.AIR_MAX] = self.air_min_c, self.air_max_c
        p[kernel.GOODS_MIN], p[kernel.GOODS_MAX] = self.goods_c
        p[kernel.SETPOINT], p[kernel.SAFE] = self.setpoint_c, 1.0
        return p

    def cop_at(self, outdoor_c: Kw | float, air_c: Kw | float) -> Kw:
        """Electrical coefficient of performance at outdoor and air temperatures."""
        zero = 273.15
        condensing = (
            np.maximum(np.asarray(outdoor_c) + self.condenser_approach_k, self.condensing_min_c) + zero
        )
        evaporating = np.asarray(air_c) - self.evaporator_approach_k + zero
        from . import thermal_load_kernel as kernel

        scale = self._parameters[kernel.COP_SCALE]
        return np.asarray(scale * evaporating / np.maximum(condensing - evaporating, 5.0))

    def _outdoors(self, timeline: Timeline, known: Kw | None) -> Kw:
        return outdoors_c(self.name, timeline, known, self.weather, self.outdoor_c)

    def weather_on(self, timeline: Timeline, temperature_c: Kw | None = None) -> Weather:
        """Temperatures, heat and baseline over a timeline, (n,) or (lanes, n)."""
        outdoor = self._outdoors(timeline, temperature_c)
        heat = heat_kw(self.heat, timeline)
        need = self.ua_kw_per_k * (outdoor - self.setpoint_c) + heat
        at_set = self.cop_at(outdoor, self.setpoint_c)
        base = np.clip(need / at_set, 0.0, self.compressor_kw)
        uncovered = np.where((base > 0) & (base < self.compressor_kw), 0.0, need - base * at_set)
        return Weather(outdoor, heat, base, uncovered)

    # --- belief ----------------------------------------------------------------------------------

    def discrete(self, w: Weather, step_h: float) -> tuple[Kw, Kw]:
        """Transition (n, 2, 2) of the deviations over one interval, and the response (n, 2) to 1 kW of heat in the
        air, exactly: Phi = exp(A h), Gamma = A^-1 (Phi - 1) B."""
        beta = (1 / (self.setpoint_c - self.evaporator_approach_k + 273.15)) + 1 / self._lift_k(w.outdoor_c)
        leak = self.ua_kw_per_k + beta * self.cop_at(w.outdoor_c, self.setpoint_c) * w.base_kw
        up, ca, cp = self.product_ua_kw_per_k, self.air_kwh_per_k, self.goods_kwh_per_k
        a, b = -(leak + up) / ca, np.full_like(leak, up / ca)
        c, d = np.full_like(leak, up / cp), np.full_like(leak, -up / cp)
        # 2 x 2: exp(A h) = e^(m h) (cosh(q h) I + sinh(q h) / q (A - m I)); eigenvalues of A are real and negative
        m = 0.5 * (a + d)
        q = np.sqrt(0.25 * (a - d) ** 2 + b * c)
        even, odd = np.exp(m * step_h) * np.cosh(q * step_h), np.exp(m * step_h) * np.sinh(q * step_h) / q
        phi = np.empty((*leak.shape, 2, 2))
        phi[..., 0, 0], phi[..., 0, 1] = even + odd * (a - m), odd * b
        phi[..., 1, 0], phi[..., 1, 1] = odd * c, even + odd * (d - m)
        det = a * d - b * c
        x, y = (phi[..., 0, 0] - 1) / ca, phi[..., 1, 0] / ca
        gamma = np.stack(((d * x - b * y) / det, (-c * x + a * y) / det), axis=-1)
        return phi, gamma

    def _lift_k(self, outdoor_c: Kw) -> Kw:
        condensing = np.maximum(outdoor_c + self.condenser_approach_k, self.condensing_min_c)
        return np.maximum(condensing - self.setpoint_c + self.evaporator_approach_k, 5.0)

    def gains(self, w: Weather) -> tuple[Kw, Kw]:
        """Cooling per kW above and per kW below the baseline, (n,) each."""
        more = self.cop_at(w.outdoor_c, 0.5 * (self.setpoint_c + self.air_min_c))
        return more, self.cop_at(w.outdoor_c, 0.5 * (self.setpoint_c + self.air_max_c))

    def rise_kw(self, step_h: float) -> float:
        """Most by which power may rise from one interval to the next, starts one by one [kW]; inf = at once."""
        if self.stagger_h * self.units <= 0 or self.stagger_h * (self.units - 1) < step_h:
            return inf
        return max(1.0, step_h / self.stagger_h) * self.unit_kw

    def margins(self, w: Weather, step_h: float) -> Margins:
        """What the belief keeps off each bound [K], by trial at the hottest and coldest hours of a horizon."""
        if self.margin_k is not None:
            return Margins(*(self.margin_k,) * 4)
        worst = [0.0] * 4
        for k in {int(np.argmax(w.outdoor_c)), int(np.argmin(w.outdoor_c)), int(np.argmax(w.heat_kw))}:
            key = (round(float(w.outdoor_c[k])), round(float(w.heat_kw[k]), 1), step_h)
            if key not in self._kept:
                self._kept[key] = self._trial(float(w.outdoor_c[k]), float(w.heat_kw[k]), step_h)
            worst = [max(a, b) for a, b in zip(worst, self._kept[key], strict=True)]
        found = Margins(*worst)
        low, high = self.goods_c
        if (
            self.setpoint_c + found.air_top_k >= self.air_max_c
            or self.setpoint_c - found.air_low_k <= self.air_min_c
            or self.setpoint_c + found.goods_top_k >= high
            or self.setpoint_c - found.goods_low_k <= low
        ):
            raise InputError(
                f"{self.name}: the temperature bounds are too narrow for intervals of {step_h:g} h (margins "
                f"{found.air_top_k:.2f} K above and {found.air_low_k:.2f} K below in the air, {found.goods_top_k:.2f} "
                f"and {found.goods_low_k:.2f} K in the goods); widen them, shorten min_off_h, or set margin_k"
            )
        return found

    def _trial(self, outdoor_c: float, heat: float, step_h: float) -> list[float]:
        need = self.ua_kw_per_k * (outdoor_c - self.setpoint_c) + heat
        at_set = float(self.cop_at(outdoor_c, self.setpoint_c))
        base = float(np.clip(need / at_set, 0.0, self.compressor_kw))
        one = np.ones(1)
        w = Weather(outdoor_c * one, heat * one, base * one, (need - base * at_set) * one)
        phi, gamma = (x[0] for x in self.discrete(w, step_h))
        more, less = (float(g[0]) for g in self.gains(w))
        trial = _Trial(self, outdoor_c, heat, base, phi, gamma, more, less, float(w.uncovered_kw[0]), step_h)
        return trial.margins()

    def _substeps(self, step_h: float) -> int:
        return max(1, round(step_h * 3600 / SUBSTEP_S))

    def hours_off(self, outdoor_c: float, heat: float = 0.0, *, chilled: bool = False) -> float:
        """How long the compressors can rest before a bound is reached, in the finer model [h], at most a day.
        chilled: from the lowest allowed temperatures instead of the set point."""
        from . import thermal_load_kernel as kernel

        p = self._parameters.copy()
        p[kernel.SAFE] = 0.0
        temps, clock = self._fresh(1)
        if chilled:
            temps[0, 0], temps[0, 1] = self.air_min_c, max(self.goods_c[0], self.air_min_c)
        for minute in range(24 * 60):
            _, top_a, _, top_g, _, _, _ = kernel.interval(
                p, outdoor_c, heat, -1.0, 0.0, temps[0], clock[0], 1 / 60, 1
            )
            if top_a > self.air_max_c or top_g > self.goods_c[1]:
                return minute / 60
        return 24.0

    def chill_kwh(self, outdoor_c: float) -> float:
        """Electrical energy to bring the goods from the set point to their lowest temperature:
        E = C dT / COP, COP at the set point."""
        low = max(self.goods_c[0], self.air_min_c)
        return float(self.goods_kwh_per_k * (self.setpoint_c - low) / self.cop_at(outdoor_c, self.setpoint_c))

    # --- Asset -----------------------------------------------------------------------------------

    def _fresh(self, lanes: int) -> tuple[Kw, Kw]:
        temps = np.tile(np.array([self.setpoint_c, self.setpoint_c, 24.0, 0.0]), (lanes, 1))
        clock = np.tile(np.array([1.0, 24.0, 24.0]), (lanes, self.units, 1))
        return temps, clock

    def initial_state(self) -> Cold:
        """At the set point, compressors running."""
        temps, clock = self._fresh(1)
        none = np.zeros(1)
        extremes = np.full((1, 4), self.setpoint_c)
        return Cold(temps, clock, np.full(1, np.nan), none, none.astype(np.int64), extremes)

    def belief(self, view: View) -> Custom:
        """What may be planned over the view's horizon, from the temperatures in the state of the first lane."""
        try:
            known: Kw | None = np.atleast_2d(view.series("temperature_c"))[0]
        except DataError:
            known = None
        horizon = view.horizon
        w = self.weather_on(horizon, known)
        state: Cold = view.asset_state[self.name]

        def formulate(problem: Problem, step_h: float) -> Formulated:
            return _Writer(self, problem, w, step_h, state).written()

        return Custom(self.name, formulate)

    def step(self, state: Cold, setpoint_kw: Kw, world: World, k: int) -> tuple[Cold, Kw]:
        """Truth: a minute at a time, the thermostat above whatever is asked. Power is the deviation from baseline."""
        from . import thermal_load_kernel as kernel

        w, h = self._true(world), world.timeline.step_h
        wish = np.atleast_1d(np.asarray(setpoint_kw, dtype=float))
        lanes = state.temps_c.shape[0]
        wish = np.broadcast_to(wish, (lanes,))
        temps, clock = state.temps_c.copy(), state.clock_h.copy()
        out = np.zeros((7, lanes))
        base = np.broadcast_to(w.base_kw[..., k], (lanes,))
        outdoor = np.broadcast_to(w.outdoor_c[..., k], (lanes,))
        for lane in range(lanes):
            asked = min(max(base[lane] + wish[lane], 0.0), self.compressor_kw)
            out[:, lane] = kernel.interval(
                self._parameters,
                outdoor[lane],
                w.heat_kw[k],
                base[lane],
                asked,
                temps[lane],
                clock[lane],
                h,
                self._substeps(h),
            )
        return Cold(temps, clock, out[0], out[5], out[6].astype(np.int64), out[1:5].T.copy()), out[0] - base

    def _true(self, world: World) -> Weather:
        kept = self._kept.get("world")
        if kept is None or kept[0] is not world:
            kept = self._kept["world"] = (world, self.weather_on(world.timeline, world.get("temperature_c")))
        found: Weather = kept[1]
        return found

    def report(self, state: Cold) -> Mapping[str, Kw]:
        """For the record: temperatures at the interval's end and at its extremes, hours overruled, starts."""
        return {
            "air_c": state.temps_c[:, 0],
            "product_c": state.temps_c[:, 1],
            "air_top_c": state.extremes_c[:, 0],
            "air_low_c": state.extremes_c[:, 1],
            "product_top_c": state.extremes_c[:, 2],
            "product_low_c": state.extremes_c[:, 3],
            "overruled_h": state.overruled_h,
            "starts": state.starts.astype(float),
        }

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        """Nothing by the kWh: what it draws is on the bill."""
        return []

    def backup(self, state: Any) -> Backup | None:
        """Nothing: it gives no power."""
        return None

    def doubts(self, timeline: Timeline, load_kw: Kw, temperature_c: Kw | None) -> Iterable[Finding]:
        """What of it contradicts the meter or cannot be."""
        known = None if temperature_c is None else np.atleast_2d(temperature_c)[0]
        w = self.weather_on(timeline, known)
        over = np.flatnonzero(w.base_kw > np.maximum(load_kw, 0.0) + 1e-6)
        if over.size:
            k = int(over[0])
            yield Finding(
                "baseline_above_load",
                "error",
                f"{self.name} would need {w.base_kw[k]:,.0f} kW to hold {self.setpoint_c:g} C where the site draws "
                f"{load_kw[k]:,.0f} kW",
                where=timeline.when(k).isoformat(),
                count=int(over.size),
                remedy="check ua_kw_per_k, heat and cop, and whether this meter feeds it",
            )
        warm = np.flatnonzero(w.uncovered_kw > 1e-6)
        if warm.size:
            k = int(warm[0])
            yield Finding(
                "too_small",
                "error",
                f"{self.name}: {self.compressor_kw:g} kW of compressors do not hold {self.setpoint_c:g} C at "
                f"{w.outdoor_c[k]:.0f} C outdoors; {w.uncovered_kw[k]:,.0f} kW of heat are left",
                where=timeline.when(k).isoformat(),
                count=int(warm.size),
                remedy="check compressor_kw, cop and ua_kw_per_k",
            )

    def capability(self) -> Capability:
        """What a programme may ask of it: as long as the compressors can rest in the heat of the day."""
        outdoor = self.cop_outdoor_c if self.outdoor_c is None else self.outdoor_c
        heat = sum(h.heat_kw for h in self.heat)
        return Capability(
            protocols=self.protocols,
            telemetry_s=self.telemetry_s,
            response_s=self.response_s,
            notice_h=self.notice_h,
            max_duration_h=self.sustain_h or self.hours_off(outdoor, heat),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    """Days in one weather: as warm as believed possible for a stretch, as cold as possible for the next."""

    store: ThermalLoad
    outdoor_c: float
    heat: float
    base: float
    phi: Kw
    gamma: Kw
    more: float
    less: float
    uncovered: float
    step_h: float

    def margins(self) -> list[float]:
        """Least margins, in steps, with which truth keeps to the bounds and the thermostat overrules nothing."""
        s, room = self.store, [self._late_k(), 0.0, 0.0, 0.0]
        limits = (
            s.air_max_c - s.setpoint_c,
            s.setpoint_c - s.air_min_c,
            s.goods_c[1] - s.setpoint_c,
            s.setpoint_c - s.goods_c[0],
        )
        for _ in range(400):
            days = [self._day(room, stretch) for stretch in TRIALS_H]
            beyond = [max(d[0][i] for d in days) for i in range(4)]
            word = [any(d[1][i] for d in days) for i in (0, 1)]
            grown = [m + max(MARGIN_STEP_K, b) if b > 1e-9 else m for m, b in zip(room, beyond, strict=True)]
            for i in (0, 1):
                if word[i] and grown[i] == room[i]:
                    grown[i] += MARGIN_STEP_K
            if grown == room or any(m >= at for m, at in zip(grown, limits, strict=True)):
                return [m * (1 + SURE_FRAC) + MARGIN_STEP_K for m in grown]
            room = grown
        return room

    def _late_k(self) -> float:
        """By how much the air warms at its upper bound until as many compressors have started as hold it [K]."""
        s = self.store
        goods = min(s.goods_c[1], s.air_max_c)
        heat = s.ua_kw_per_k * (self.outdoor_c - s.air_max_c) + s.product_ua_kw_per_k * (goods - s.air_max_c)
        rate = max(heat + self.heat, 0.0) / s.air_kwh_per_k
        starts = max(0, int(np.ceil(self.base / s.unit_kw - 1e-9)) - 1)
        return rate * (s.stagger_h * starts + max(0.0, s.min_off_h - self.step_h) + 2 * SUBSTEP_S / 3600)

    def _day(self, room: list[float], stretch_h: tuple[float, float]) -> tuple[list[float], list[bool]]:
        """How far truth went beyond the bounds [K], and whether the thermostat spoke at the top and at the bottom."""
        from . import thermal_load_kernel as kernel

        s, h = self.store, self.step_h
        top = np.array([s.air_max_c - room[0], s.goods_c[1] - room[2]]) - s.setpoint_c
        low = np.array([s.air_min_c + room[1], s.goods_c[0] + room[3]]) - s.setpoint_c
        temps, clock = s._fresh(1)
        x, kw, rise = np.zeros(2), self.base, s.rise_kw(h)
        beyond, word = [0.0] * 4, [False, False]
        for t in range(round(TRIAL_H / h)):
            chilling = (t * h) % sum(stretch_h) >= stretch_h[0] - 1e-9
            still = self.phi @ x
            heat = float(
                ((low - still) / self.gamma).max() if chilling else ((top - still) / self.gamma).min()
            )
            more = (self.uncovered - heat) / (self.more if heat < self.uncovered else self.less)
            kw = float(np.clip(self.base + more, 0.0, min(s.compressor_kw, kw + rise)))
            d = kw - self.base
            x = still + self.gamma * (self.uncovered - (self.more if d > 0 else self.less) * d)
            _, top_a, low_a, top_g, low_g, overruled, _ = kernel.interval(
                s._parameters, self.outdoor_c, self.heat, self.base, kw, temps[0], clock[0], h, s._substeps(h)
            )
            out = (top_a - s.air_max_c, s.air_min_c - low_a, top_g - s.goods_c[1], s.goods_c[0] - low_g)
            beyond = [max(a, float(b)) for a, b in zip(beyond, out, strict=True)]
            if overruled > 0:
                word[int(temps[0, 0] < s.setpoint_c)] = True
        return beyond, word


class _Writer:
    """Columns and rows of one cold store over one horizon."""

    def __init__(self, store: ThermalLoad, problem: Problem, w: Weather, step_h: float, state: Cold) -> None:
        self.store, self.problem, self.w, self.h = store, problem, w, step_h
        self.n = w.base_kw.size
        self.phi, self.gamma = store.discrete(w, step_h)
        self.more, self.less = store.gains(w)
        self.x0 = state.temps_c[0, :2] - store.setpoint_c
        last = float(state.power_kw[0])
        self.last_kw = float(w.base_kw[0]) if np.isnan(last) else last
        rise = store.rise_kw(step_h)
        # Where the baseline itself rises faster than starts one by one allow, it may.
        self.rise = np.maximum(rise, np.diff(w.base_kw, prepend=w.base_kw[0]))

    def written(self) -> Formulated:
        """The whole of it."""
        s, n, name = self.store, self.n, self.store.name
        add = self.problem.add_columns
        base = self.w.base_kw
        up = Affine.of(add(f"{name}.more", n, owner=name, upper=s.compressor_kw - base))
        down = Affine.of(add(f"{name}.less", n, owner=name, upper=base))
        low, top = self._bounds()
        air = Affine.of(add(f"{name}.air", n, owner=name, lower=low[:, 0], upper=top[:, 0]))
        goods = Affine.of(add(f"{name}.goods", n, owner=name, lower=low[:, 1], upper=top[:, 1]))
        was_air, was_goods = self._before(air, self.x0[0]), self._before(goods, self.x0[1])
        heat = (down.times(self.less) - up.times(self.more)).plus(self.w.uncovered_kw)
        for i, (node, expr) in enumerate((("air", air), ("goods", goods))):
            ahead = was_air.times(self.phi[:, i, 0]) + was_goods.times(self.phi[:, i, 1])
            ahead = ahead + heat.times(self.gamma[:, i])
            self.problem.add_rows(f"{name}.{node}", expr - ahead, owner=name, lower=0.0, upper=0.0)
        net = up - down
        if np.isfinite(self.rise).all():
            power = net.plus(base)
            self.problem.add_rows(
                f"{name}.restart", power - self._before(power, self.last_kw), owner=name, upper=self.rise
            )
        content = air.times(s.air_kwh_per_k) + goods.times(s.goods_kwh_per_k)
        self.problem.add_rows(
            f"{name}.cold returned",
            content.take(np.array([n - 1])),
            owner=name,
            upper=max(0.0, float(self.run[-1] @ np.array([s.air_kwh_per_k, s.goods_kwh_per_k]))),
        )
        room = self._sustained(air, goods, top) if s.sustain_h > 0 else None
        return Formulated(net, room_up=None if room is None else net.plus(base))

    def _sustained(self, air: Affine, goods: Affine, top: Kw) -> bool:
        """From the end of every interval the compressors could rest for sustain_h."""
        s, n = self.store, self.n
        phi, gamma = s.discrete(self.w, s.sustain_h)
        after = np.minimum(np.arange(1, n + 1), n - 1)
        warm = (self.w.uncovered_kw + self.less * self.w.base_kw)[after]
        phi, gamma = phi[after], gamma[after]
        for i, node in enumerate(("air", "goods")):
            ahead = air.times(phi[:, i, 0]) + goods.times(phi[:, i, 1])
            room = top[:, i] - gamma[:, i] * warm
            idle = phi[:, i, 0] * self.run[:, 0] + phi[:, i, 1] * self.run[:, 1]
            self.problem.add_rows(
                f"{s.name}.{node} could rest", ahead, owner=s.name, upper=np.maximum(room, idle)
            )
        return True

    def _bounds(self) -> tuple[Kw, Kw]:
        """Lowest and highest deviation of air and goods at interval ends, (n, 2): the bounds less the margins, or
        where even the baseline does not keep to them, what the baseline gives."""
        s, m = self.store, self.store.margins(self.w, self.h)
        top = np.array([s.air_max_c - m.air_top_k, s.goods_c[1] - m.goods_top_k]) - s.setpoint_c
        low = np.array([s.air_min_c + m.air_low_k, s.goods_c[0] + m.goods_low_k]) - s.setpoint_c
        self.run = self._baseline_run()
        return np.minimum(low, self.run - 1e-9), np.maximum(top, self.run + 1e-9)

    def _baseline_run(self) -> Kw:
        """Deviations at interval ends if power goes to the baseline as fast as it may, (n, 2)."""
        x, kw, out = self.x0, self.last_kw, np.empty((self.n, 2))
        for t in range(self.n):
            kw = min(float(self.w.base_kw[t]), kw + float(self.rise[t]))
            short = float(self.w.base_kw[t]) - kw
            x = self.phi[t] @ x + self.gamma[t] * (self.w.uncovered_kw[t] + self.less[t] * short)
            out[t] = x
        return out

    def _before(self, expr: Affine, first: float) -> Affine:
        """The expression of the interval before."""
        into = np.arange(1, self.n + 1, dtype=np.int64)
        into[-1] = -1
        start = np.zeros(self.n)
        start[0] = first
        return expr.gather(into, self.n).plus(start)
