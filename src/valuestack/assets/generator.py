"""Generator: engines with a fuel curve, a tank, a permit and a chance of not starting.

Fuel of one engine at load p is interpolated between points; plans take its convex lower envelope,

    fuel(p) = idle + sum of slopes x kW in each piece,   slopes ascending,

and an engine set runs its `units` together, sharing the load evenly, while the grid is present. In an outage each
unit is available and starts with probability availability x (1 - failure to start) and fails at 1 / MTTF an hour.
A permit class of which the rules forbid dispatch is a hard gate: then nothing is offered but what happens by itself.
Hours that a permit leaves are stated as terms by the stream `permit`, since an asset states no terms.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache, cached_property
from importlib.resources import files
from itertools import pairwise
from math import inf
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from ..dispatch import Record, View, World
from ..finding import Finding
from ..flows import Backup, Capability, Given, RunLimit, Unit
from ..ledger import Entry
from ..timeline import Kw, Timeline

PermitClass = Literal["emergency", "non_emergency", "natural_gas"]
PURPOSES = ("emergency", "test", "paid", "peak_shaving")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ON_KW = 1e-6  # less than this is standing still


@cache
def shipped(name: str) -> dict[str, Any]:
    """A data file of generators: 'permits' (rules by permit class), 'reopt' or 'engine' (defaults)."""
    text = files("valuestack").joinpath("data", "generators", f"{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FuelPoint(_Part):
    """Fuel of one engine at a load: load_frac of its rating, or kw; gal_per_h of liquid fuel, or therm_per_h of gas."""

    load_frac: float | None = Field(default=None, ge=0, le=1.2)
    kw: float | None = Field(default=None, ge=0)
    gal_per_h: float | None = Field(default=None, ge=0)
    therm_per_h: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _one_of_each(self) -> FuelPoint:
        if (self.load_frac is None) == (self.kw is None):
            raise ValueError("give load_frac or kw")
        if (self.gal_per_h is None) == (self.therm_per_h is None):
            raise ValueError("give gal_per_h or therm_per_h")
        return self

    @property
    def rate(self) -> float:
        """Fuel an hour, in gallons or therms."""
        return float(self.gal_per_h if self.gal_per_h is not None else self.therm_per_h or 0.0)


class Refuelling(_Part):
    """A contract: a truck comes every_h hours with up to `gal`. in_outage: it also comes in an outage, every_h after
    it began and every every_h from then on; otherwise an outage is survived on what is in the tank."""

    every_h: float = Field(gt=0)
    gal: float = Field(gt=0)
    in_outage: bool = False


class Maintenance(_Part):
    """Days on which `units` are taken apart: from first_date up to, not with, until_date. The set is not dispatched
    then; the other units still stand by for an outage."""

    first_date: date
    until_date: date
    units: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _ascends(self) -> Maintenance:
        if self.until_date <= self.first_date:
            raise ValueError(f"until_date {self.until_date} must be after first_date {self.first_date}")
        return self


class TestRun(_Part):
    """The monthly test of every unit on a load bank: on the nth weekday of the month, from `hour`, for `hours` at
    load_frac. It burns fuel and counts to the permit; the meter does not see it."""

    __test__ = False  # for pytest: the name is the field's own word, not a test

    nth: int = Field(default=1, ge=1, le=4)
    weekday: Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"] = "tue"
    hour: int = Field(default=9, ge=0, le=23)
    hours: float = Field(default=0.5, gt=0, le=24)
    load_frac: float = Field(default=0.3, gt=0, le=1)


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Of every lane, (lanes,): whether it runs, hours since it was last started or stopped, mean output of the last
    interval [kW], fuel in the usable tank [gal or therm]."""

    running: np.ndarray[Any, np.dtype[np.bool_]]
    in_state_h: Kw
    output_kw: Kw
    fuel_gal: Kw


class Generator(BaseModel):
    """Engines behind the meter.

    units of rated_kw each; min_load_frac of the rating is the least load. start_s: seconds from call to load;
    ramp_kw_per_min of the set; min_up_h, min_down_h. fuel_curve: points of one engine by rising load; none = a
    straight line through zero (REopt). tank_gal of all units together, of which usable_tank_frac can be drawn and
    tank_start_frac of that is there at the start; no tank_gal = no limit (pipeline). keep_gal: an interlock on the
    tank stops dispatch at so much usable fuel while the grid is present. fuel_usd_per_gal (for gas
    USD per therm), om_usd_per_h of one engine, start_usd of one engine.
    permit: what its air permit lets it do while the grid is present; permit_h_per_y: hours a calendar year of each
    engine that the site's own permit allows, used_h: of these used before the study. Failure rates are of one engine;
    common_cause_frac: share of failures that take all at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: ClassVar[str] = "generator"
    rests: ClassVar[bool] = True
    name: str = "generator"
    units: int = Field(default=1, ge=1, le=40)
    rated_kw: float = Field(gt=0)
    min_load_frac: float | None = Field(default=None, ge=0, le=1)
    start_s: float | None = Field(default=None, ge=0, le=3600)
    ramp_kw_per_min: float | None = Field(default=None, gt=0)
    min_up_h: float = Field(default=0.0, ge=0)
    min_down_h: float = Field(default=0.0, ge=0)
    fuel_curve: tuple[FuelPoint, ...] = ()
    tank_gal: float | None = Field(default=None, gt=0)
    usable_tank_frac: float | None = Field(default=None, gt=0, le=1)
    tank_start_frac: float = Field(default=1.0, ge=0, le=1)
    keep_gal: float = Field(default=0.0, ge=0)
    refuelling: Refuelling | None = None
    maintenance: tuple[Maintenance, ...] = ()
    test_run: TestRun | None = None
    permit: PermitClass
    permit_h_per_y: float | None = Field(default=None, ge=0)
    used_h: float = Field(default=0.0, ge=0)
    fuel_usd_per_gal: float | None = Field(default=None, ge=0)
    om_usd_per_h: float = Field(default=0.0, ge=0)
    start_usd: float = Field(default=0.0, ge=0)
    available_frac: float | None = Field(default=None, ge=0, le=1)
    start_failure_frac: float | None = Field(default=None, ge=0, le=1)
    mttf_h: float | None = Field(default=None, ge=1)
    common_cause_frac: float | None = Field(default=None, ge=0, le=1)
    _kept: dict[Any, tuple[Kw, Kw, Kw]] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Generator:
        problems = self._curve_problems()
        for i, m in enumerate(self.maintenance):
            if m.units > self.units:
                problems.append(
                    f"maintenance.{i}.units = {m.units}: there are {self.units}; name at most those"
                )
        if self.refuelling is not None and self.tank_gal is None:
            problems.append("refuelling: a truck needs a tank; give tank_gal too")
        if self.keep_gal > self.usable_gal or (self.keep_gal and self.tank_gal is None):
            held = "there is no tank" if self.tank_gal is None else f"the tank gives {self.usable_gal:g}"
            problems.append(f"keep_gal = {self.keep_gal:g}: {held}; keep less")
        if self.usable_tank_frac is not None and self.tank_gal is None:
            problems.append("usable_tank_frac: a share of what? give tank_gal too")
        if self.permit == "natural_gas" and not self.fuel_curve:
            problems.append("fuel_curve: missing; no default is known of a gas engine")
        tests_h, most_h = self.test_h_per_y, self.rule.get("test_h_per_y", inf)
        if self.permit_h_per_y is not None:
            most_h = min(most_h, self.permit_h_per_y)
        if tests_h > most_h:
            problems.append(
                f"test_run.hours: {tests_h:g} h of tests a year, the permit allows {most_h:g}; shorten the tests"
            )
        if self.permit == "emergency" and self.used_h > most_h:
            problems.append(f"used_h = {self.used_h:g}: an emergency engine has {most_h:g} h a year")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _curve_problems(self) -> list[str]:
        points, out = self.fuel_curve, []
        if len(points) == 1:
            out.append("fuel_curve: one point draws no curve; give two, or none")
        if len({p.gal_per_h is None for p in points}) > 1:
            out.append("fuel_curve: gallons and therms are mixed; give one of them")
        load = [p.kw if p.kw is not None else (p.load_frac or 0.0) * self.rated_kw for p in points]
        if any(a >= b for a, b in pairwise(load)):
            out.append("fuel_curve: load must rise from point to point")
        rate = [p.rate for p in points]
        if any(a > b for a, b in pairwise(rate)):
            out.append("fuel_curve: more load takes less fuel; check its points")
        if load and load[-1] > 1.2 * self.rated_kw:
            out.append(
                f"fuel_curve: {load[-1]:g} kW is beyond 120 % of rated_kw; points are of one engine, in kW"
            )
        return out

    # --- derived ---------------------------------------------------------------------------------

    @property
    def rule(self) -> Mapping[str, Any]:
        """What its permit class says, as dated data."""
        found: Mapping[str, Any] = shipped("permits")[self.permit]
        return found

    @property
    def may_dispatch(self) -> bool:
        """Whether it may run for money while the grid is present."""
        return bool(self.rule["may_dispatch"])

    @property
    def total_kw(self) -> float:
        """Rating of all units [kW]."""
        return self.units * self.rated_kw

    @property
    def fuel_unit(self) -> str:
        """'gal' or 'therm'."""
        return "therm" if self.fuel_curve and self.fuel_curve[0].therm_per_h is not None else "gal"

    @property
    def fuel_price(self) -> float:
        """USD per gallon or therm."""
        given = self.fuel_usd_per_gal
        return float(shipped("reopt")["fuel_usd_per_gal"]) if given is None else given

    @property
    def least_kw(self) -> float:
        """Least load of the whole set [kW]."""
        share = shipped("reopt")["min_load_frac"] if self.min_load_frac is None else self.min_load_frac
        return float(share) * self.total_kw

    @property
    def start_h(self) -> float:
        """Hours from call to load."""
        return float(shipped("engine")["start_s"] if self.start_s is None else self.start_s) / 3600

    @property
    def ramp_kw_per_h(self) -> float:
        """Ramp of the set [kW per hour], inf where none is stated."""
        return inf if self.ramp_kw_per_min is None else self.ramp_kw_per_min * 60

    @property
    def usable_gal(self) -> float:
        """What can be drawn from a full tank, of all units together; inf without a tank."""
        if self.tank_gal is None:
            return inf
        share = (
            shipped("engine")["usable_tank_frac"] if self.usable_tank_frac is None else self.usable_tank_frac
        )
        return self.tank_gal * float(share)

    @property
    def test_h_per_y(self) -> float:
        """Hours of tests of one engine in a year."""
        return 0.0 if self.test_run is None else 12 * self.test_run.hours

    @cached_property
    def _points(self) -> tuple[Kw, Kw]:
        """Load [kW of one engine] and fuel an hour at it, from zero load on; below the first point by its slope."""
        if not self.fuel_curve:
            d = shipped("reopt")
            slope = 1.0 / (d["efficiency_frac"] * d["fuel_kwh_per_gal"])
            return np.array([0.0, self.rated_kw]), np.array([0.0, slope * self.rated_kw])
        load = np.array(
            [p.kw if p.kw is not None else (p.load_frac or 0.0) * self.rated_kw for p in self.fuel_curve]
        )
        rate = np.array([p.rate for p in self.fuel_curve])
        if load[0] > 0:
            slope = (rate[1] - rate[0]) / (load[1] - load[0])
            load, rate = (
                np.concatenate(([0.0], load)),
                np.concatenate(([max(rate[0] - slope * load[0], 0.0)], rate)),
            )
        if load[-1] < self.rated_kw:
            slope = (rate[-1] - rate[-2]) / (load[-1] - load[-2])
            load = np.append(load, self.rated_kw)
            rate = np.append(rate, rate[-1] + slope * (self.rated_kw - load[-2]))
        return load, rate

    @cached_property
    def _envelope(self) -> tuple[Kw, Kw]:
        """The convex lower envelope of the points (Andrew's monotone chain, lower half)."""
        hull: list[tuple[float, float]] = []
        for x, y in zip(*(a.tolist() for a in self._points)):
            while len(hull) > 1:
                (x1, y1), (x2, y2) = hull[-2:]
                if (y2 - y1) * (x - x2) < (y - y2) * (x2 - x1):
                    break
                hull.pop()
            hull.append((x, y))
        return np.array([p[0] for p in hull]), np.array([p[1] for p in hull])

    @property
    def fuel_idle_per_h(self) -> float:
        """Fuel an hour of the whole set at zero load."""
        return float(self._envelope[1][0]) * self.units

    @property
    def fuel_pieces(self) -> tuple[tuple[float, float], ...]:
        """Marginal fuel per kWh of the whole set: ((up to kW, fuel per kWh), ...), ascending."""
        load, rate = self._envelope
        slope = np.diff(rate) / np.diff(load)
        return tuple(
            (inf if i == slope.size - 1 else float(load[i + 1]) * self.units, float(s))
            for i, s in enumerate(slope)
        )

    def burn_per_h(self, output_kw: Any) -> Kw:
        """Fuel an hour of the set at an output [kW], by the points as they are; 0 where it stands still."""
        output = np.asarray(output_kw, dtype=float)
        load, rate = self._points
        return np.asarray(
            np.where(output > ON_KW, self.units * np.interp(output / self.units, load, rate), 0.0)
        )

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What a person should see of it."""
        load, rate = self._points
        over = rate - np.interp(load, *self._envelope)
        out = []
        if over.max() > 1e-9 * max(rate.max(), 1.0):
            at = int(over.argmax())
            out.append(
                Finding(
                    "fuel_curve_not_convex",
                    "info",
                    f"its fuel curve is not convex: at {load[at]:g} kW it lies {over[at]:.3g} {self.fuel_unit}/h "
                    "above the line between its neighbours",
                    where=f"asset {self.name}: fuel_curve",
                    done="plans take the convex curve below it; settlement takes the points",
                )
            )
        return tuple(out)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Defaults taken."""
        reopt, engine, rule = shipped("reopt"), shipped("engine"), self.rule
        tank, several = self.tank_gal is not None, self.units > 1
        slope = 1 / (reopt["efficiency_frac"] * reopt["fuel_kwh_per_gal"])
        together = (
            "its units run together and share the load evenly when dispatched; write them as assets of their own "
            "to commit them one by one"
        )
        said = {
            f"fuel by a straight line, {slope:.4f} gal/kWh (REopt default)": not self.fuel_curve,
            f"fuel at ${reopt['fuel_usd_per_gal']:g}/gal (REopt default), not verified for this site": (
                self.fuel_usd_per_gal is None
            ),
            f"least load {reopt['min_load_frac']:.0%} of rating (REopt default)": self.min_load_frac is None,
            f"carries load {engine['start_s']:g} s after the call, not verified": self.start_s is None,
            "no ramp limit is given; none is taken": self.ramp_kw_per_min is None,
            "no tank is given; fuel is taken as unlimited": not tank,
            f"{engine['usable_tank_frac']:.0%} of the tank is usable, not verified": (
                tank and self.usable_tank_frac is None
            ),
            "no refuelling contract is given; what is burnt is not replaced": tank
            and self.refuelling is None,
            f"availability {reopt['available_frac']:g} (REopt default)": self.available_frac is None,
            f"fails to start with probability {reopt['start_failure_frac']:g} (REopt default)": (
                self.start_failure_frac is None
            ),
            f"runs {reopt['mttf_h']:g} h between failures (REopt default)": self.mttf_h is None,
            f"{engine['common_cause_frac']:.0%} of failures take all units at once, not verified": (
                several and self.common_cause_frac is None
            ),
            f"permit class {self.permit}: {rule['source']}; not verified": not rule["verified"],
            "no permit_h_per_y is given; its hours are not limited": (
                self.may_dispatch and self.permit_h_per_y is None
            ),
            together: several and self.may_dispatch,
            "no om_usd_per_h is given; running hours cost fuel only": self.om_usd_per_h == 0,
            "no test runs are given; none are counted": self.test_run is None,
        }
        return tuple(f"{self.name}: {what}" for what, there in said.items() if there)

    # --- calendar --------------------------------------------------------------------------------

    def available(self, timeline: Timeline) -> Kw:
        """1 where the set may be dispatched, 0 in maintenance and for a permit that forbids it, (n,)."""
        if not self.may_dispatch:
            return np.zeros(timeline.n)
        return np.asarray(self.units_out(timeline) == 0, dtype=float)

    def units_out(self, timeline: Timeline) -> Kw:
        """Units in maintenance in each interval, (n,)."""
        out = np.zeros(timeline.n)
        for m in self.maintenance:
            first, until = (np.datetime64(d) for d in (m.first_date, m.until_date))
            out += np.where((timeline.local_date >= first) & (timeline.local_date < until), m.units, 0)
        return np.minimum(out, self.units)

    def test_h(self, timeline: Timeline) -> Kw:
        """Hours of testing inside each interval, (n,), of each engine."""
        if self.test_run is None:
            return np.zeros(timeline.n)
        t = self.test_run
        of_month = (timeline.local_date - timeline.local_date.astype("datetime64[M]")).astype(np.int64)
        on = (timeline.weekday == WEEKDAYS.index(t.weekday)) & (of_month // 7 == t.nth - 1)
        begin = timeline.minute_of_day / 60
        overlap = np.minimum(begin + timeline.step_h, t.hour + t.hours) - np.maximum(begin, t.hour)
        return np.where(on, np.clip(overlap, 0.0, timeline.step_h), 0.0)

    def tests_gal(self, timeline: Timeline) -> Kw:
        """Fuel that scheduled tests of all units take in each interval, (n,)."""
        if self.test_run is None:
            return np.zeros(timeline.n)
        return self.test_h(timeline) * float(self.burn_per_h(self.test_run.load_frac * self.total_kw))

    def _of(self, timeline: Timeline) -> tuple[Kw, Kw, Kw]:
        """Availability, units out and fuel of tests over a timeline, (n,) each, kept for the next interval."""
        key = (timeline.start, timeline.n, timeline.step_s, timeline.tz)
        if key not in self._kept:
            self._kept.clear()
            self._kept[key] = (
                self.available(timeline), self.units_out(timeline), self.tests_gal(timeline),
            )  # fmt: skip
        return self._kept[key]

    def _delivery(self, timeline: Timeline, k: int) -> bool:
        """Whether the truck comes at the start of interval k: every every_h from the first interval on."""
        if self.refuelling is None or k == 0:
            return False
        every, h = self.refuelling.every_h, timeline.step_h
        return int(k * h / every + 1e-9) > int((k - 1) * h / every + 1e-9)

    # --- Asset -----------------------------------------------------------------------------------

    def initial_state(self) -> State:
        """Standing still for long, with what the tank holds at the start."""
        fuel = self.usable_gal if self.tank_gal is None else self.usable_gal * self.tank_start_frac
        return State(np.array([False]), np.array([inf]), np.zeros(1), np.array([fuel]))

    def belief(self, view: View) -> Unit | Given:
        """The set over the view's horizon. A permit that forbids dispatch offers nothing to decide: power of zero."""
        n = view.n
        if not self.may_dispatch:
            return Given(self.name, np.zeros(n))
        state: State = view.asset_state[self.name]
        return Unit(
            self.name,
            np.full(n, self.least_kw),
            np.full(n, self.total_kw),
            start_usd=self.start_usd * self.units,
            usd_per_h=self.om_usd_per_h * self.units,
            fuel_pieces=self.fuel_pieces,
            fuel_idle_gal_per_h=self.fuel_idle_per_h,
            fuel_usd_per_gal=self.fuel_price,
            min_up_h=self.min_up_h,
            min_down_h=self.min_down_h,
            ramp_kw_per_h=self.ramp_kw_per_h,
            running=bool(np.ravel(state.running)[0]),
            hours_in_state=self._bound_h(state),
            available=self.available(view.horizon) if self.maintenance else None,
            **self._tank_of(view, float(np.ravel(state.fuel_gal)[0])),
        )

    def _bound_h(self, state: State) -> float:
        """Hours in the state as they bind a plan: an engine that runs dry does not stay up for its minimum time."""
        hours, fuel = float(np.ravel(state.in_state_h)[0]), float(np.ravel(state.fuel_gal)[0]) - self.keep_gal
        left_h = self.min_up_h - hours
        if np.ravel(state.running)[0] and left_h > 0:
            least = float(self.burn_per_h(max(self.least_kw, 2 * ON_KW)))
            # the plan counts in whole intervals, which may be an hour longer
            return inf if fuel < least * (left_h + 1.0) else hours
        return hours

    def _tank_of(self, view: View, fuel_gal: float) -> dict[str, Any]:
        """The tank over the view's horizon: what is in it, which truck each interval comes after, fuel for tests."""
        if self.tank_gal is None:
            return {}
        brought, gal = self.refuel_normal(view.timeline)
        part = slice(view.k, view.k + view.n)
        # a truck that comes as interval k begins has not filled in yet when k is decided
        before = brought[view.k - 1] if view.k else 0.0
        start = min(fuel_gal + gal * (brought[view.k] - before), self.usable_gal)
        window = np.asarray(brought[part] - brought[view.k], dtype=np.int64)
        tests = np.bincount(window, self.tests_gal(view.timeline)[part])
        return {
            "tank_gal": self.usable_gal,
            "tank_start_gal": float(start),
            "keep_gal": self.keep_gal,
            "refuel_window": window,
            "refuel_gal": gal,
            "set_aside_gal": tests,
        }

    def step(self, state: State, setpoint_kw: Kw, world: World, k: int) -> tuple[State, Kw]:
        """What the engines do in interval k, all lanes: start delay, least load, ramp, minimum times, tank.

        A setpoint of no generation stops them once min_up_h is over; one below the least load runs at it. While the
        grid is there the permit and maintenance hold against any setpoint.
        """
        t, h = world.timeline, world.timeline.step_h
        fuel = np.array(state.fuel_gal, dtype=float)
        if self._delivery(t, k) and self.refuelling is not None:
            fuel = np.minimum(fuel + self.refuelling.gal, self.usable_gal)
        free, out, tests_gal = self._of(t)
        grid = world.get("grid_present")
        there = np.ones(1, dtype=bool) if grid is None else np.atleast_1d(grid[..., k]) > 0.5
        most = np.where(there, self.total_kw * free[k], (self.units - out[k]) * self.rated_kw)
        wish = np.minimum(np.maximum(-np.asarray(setpoint_kw, dtype=float), 0.0), most)
        fuel = np.maximum(fuel - tests_gal[k] * (wish <= ON_KW), 0.0)
        spare = np.maximum(fuel - np.where(there, self.keep_gal, 0.0), 0.0)
        must = state.running & (state.in_state_h < self.min_up_h - 1e-9) & (most > 0)
        may = (state.running | (state.in_state_h >= self.min_down_h - 1e-9)) & (spare > 1e-9) & (most > 0)
        on = ((wish > ON_KW) | must) & may
        fresh = on & ~state.running
        since = np.where(fresh, 0.0, np.where(state.running, state.in_state_h, 0.0))
        share = np.clip((since + h - self.start_h) / h, 0.0, 1.0)  # of the interval, carrying load
        least = np.minimum(self.least_kw, most)
        from_kw = np.where(state.running, state.output_kw, 0.0)
        level = np.minimum(np.maximum(wish, least), np.maximum(from_kw + self.ramp_kw_per_h * h, least))
        output = np.where(on, level * share, 0.0)
        burn = self.burn_per_h(np.where(on, level, 0.0)) * h * share
        enough = np.where(burn > spare, spare / np.maximum(burn, 1e-12), 1.0)
        output, fuel = output * enough, np.maximum(fuel - burn * enough, 0.0)
        kept = on == state.running
        new = State(
            np.asarray(on),
            np.where(kept, state.in_state_h + h, h),
            np.where(on, level, 0.0),
            fuel,
        )
        return new, -output

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        """Fuel, running and starts from the metered output; fuel metered as 'name/fuel_gal' is taken as it is.

        An interval with any output counts as run through, which is how an hour counter on a control panel reads.
        """
        t, price, unit = record.timeline, self.fuel_price, self.fuel_unit
        output = np.maximum(-np.asarray(record.asset_kw.get(self.name, np.zeros(t.n)), dtype=float), 0.0)
        on = output > ON_KW
        metered = record.extra.get(f"{self.name}/fuel_gal")
        fuel = float(self.burn_per_h(output).sum() * t.step_h if metered is None else np.sum(metered))
        starts = float(on[0]) + float((~on[:-1] & on[1:]).sum())
        hours = float(on.sum()) * t.step_h
        tests = float(self.tests_gal(t)[~on].sum())
        tests_h = float(self.test_h(t)[~on].sum())
        om, start = self.om_usd_per_h * self.units, self.start_usd * self.units
        rows = [
            ("fuel", fuel, unit, price, "metered" if metered is not None else "by its fuel curve"),
            ("running", hours, "h", om, f"hours in which {self.units} unit(s) ran"),
            ("starts", starts, "starts", start, "starts of the set"),
            ("tests/fuel", tests, unit, price, "monthly test runs"),
            ("tests/running", tests_h, "h", om, "monthly test runs"),
        ]
        cycle = f"{t.start.date()}/{t.when(t.n - 1).date()}"
        for item, quantity, unit_, each, why in rows:
            if quantity and each:
                yield Entry(
                    cycle, 0, self.name, item, "owner", quantity, unit_, each, -quantity * each,
                    certainty="metered", reason=why,
                )  # fmt: skip

    def backup(self, state: Any) -> Backup:
        """What it can do in an outage from this state."""
        reopt, engine = shipped("reopt"), shipped("engine")
        fuel = float(np.ravel(state.fuel_gal)[0]) if isinstance(state, State) else self.usable_gal

        def or_default(given: float | None, default: Any) -> float:
            return float(default if given is None else given)

        truck = self.refuelling if self.refuelling is not None and self.refuelling.in_outage else None
        return Backup(
            self.name,
            kw=self.total_kw,
            start_h=self.start_h,
            fuel_gal=fuel,
            fuel_pieces=self.fuel_pieces,
            fuel_idle_gal_per_h=self.fuel_idle_per_h,
            start_frac=1.0 - or_default(self.start_failure_frac, reopt["start_failure_frac"]),
            mttf_h=or_default(self.mttf_h, reopt["mttf_h"]),
            units=self.units,
            available_frac=or_default(self.available_frac, reopt["available_frac"]),
            common_cause_frac=or_default(self.common_cause_frac, engine["common_cause_frac"])
            if self.units > 1
            else 0.0,
            tank_gal=self.usable_gal,
            refuel_every_h=inf if truck is None else truck.every_h,
            refuel_gal=0.0 if truck is None else truck.gal,
        )

    # --- what others ask -------------------------------------------------------------------------

    def capability(self) -> Capability:
        """What a programme may ask of it; an emergency engine may not be paid, and the rule is named."""
        hours = inf if self.tank_gal is None else self.usable_gal / float(self.burn_per_h(self.total_kw))
        return Capability(
            response_s=self.start_h * 3600
            + (0.0 if self.ramp_kw_per_min is None else self.total_kw / self.ramp_kw_per_min * 60),
            max_duration_h=hours,
            paid_dispatch=self.may_dispatch,
            why_not=""
            if self.may_dispatch
            else f"{self.name}: {self.rule['why_not']}; {self.rule['remedy']}",
        )

    def run_limits(self) -> Sequence[RunLimit]:
        """Hours a calendar year that the permit lets each engine run while the grid is present, tests counted."""
        if not self.may_dispatch or self.permit_h_per_y is None:
            return ()
        return (
            RunLimit(
                "hours a year", self.permit_h_per_y, self.used_h, f"air permit of {self.name} ({self.permit})"
            ),
        )

    def refuel_normal(self, timeline: Timeline) -> tuple[Kw, float]:
        """Number of deliveries before each interval, (n,), and what one brings [gal], while the grid is present."""
        if self.refuelling is None:
            return np.zeros(timeline.n), 0.0
        k = np.arange(timeline.n) * timeline.step_h / self.refuelling.every_h
        return np.floor(k + 1e-9), self.refuelling.gal

    def tank_levels_gal(self, record: Record) -> Kw:
        """Usable fuel at interval boundaries, (n + 1,), from the metered output, tests and deliveries.

        Metered levels, 'name/tank_gal' of the record, (n,) at interval ends, are taken as they are.
        """
        t = record.timeline
        start = float(self.initial_state().fuel_gal[0])
        metered = record.extra.get(f"{self.name}/tank_gal")
        if metered is not None:
            return np.concatenate(([start], np.asarray(metered, dtype=float)))
        if self.tank_gal is None:
            return np.full(t.n + 1, inf)
        output = np.maximum(-np.asarray(record.asset_kw.get(self.name, np.zeros(t.n)), dtype=float), 0.0)
        metered = record.extra.get(f"{self.name}/fuel_gal")
        burn = self.burn_per_h(output) * t.step_h if metered is None else np.asarray(metered, dtype=float)
        burn = burn + np.where(output > ON_KW, 0.0, self.tests_gal(t))
        brought, gal = self.refuel_normal(t)
        level, out = start, np.empty(t.n + 1)
        out[0] = start
        for a in [0, *(np.flatnonzero(np.diff(brought) > 0) + 1).tolist()]:
            if a:
                level = min(level + gal, self.usable_gal)
            same = brought == brought[a]
            run = level - np.cumsum(burn[same])
            out[1:][same] = np.maximum(run, 0.0)
            level = float(out[1:][same][-1])
        return out

    def run_hours(self, record: Record, world: World) -> dict[tuple[int, str], float]:
        """Hours of each engine by (calendar year, purpose): emergency where the grid is gone (`grid_present` of the
        world), test by the calendar, paid where the record marks 'name/paid', else peak_shaving."""
        t = record.timeline
        on = np.asarray(record.asset_kw.get(self.name, np.zeros(t.n)), dtype=float) < -ON_KW
        grid = world.get("grid_present")
        gone = np.zeros(t.n, dtype=bool) if grid is None else np.ravel(grid) < 0.5
        paid = np.asarray(record.extra.get(f"{self.name}/paid", np.zeros(t.n))) > 0
        hours = {
            "emergency": on & gone,
            "paid": on & ~gone & paid,
            "peak_shaving": on & ~gone & ~paid,
        }
        out: dict[tuple[int, str], float] = {}
        for year in np.unique(t.year).tolist():
            mine = t.year == year
            for purpose in PURPOSES:
                if purpose == "test":
                    h = float(self.test_h(t)[mine & ~on].sum())
                else:
                    h = float((hours[purpose] & mine).sum()) * t.step_h
                out[(int(year), purpose)] = h
        return out

    def permit_findings(self, record: Record, world: World) -> tuple[Finding, ...]:
        """Where a record broke the permit: hours beyond it, or any dispatch of an engine that may not be dispatched."""
        hours, out = self.run_hours(record, world), []
        most = self.permit_h_per_y if self.may_dispatch else self.rule.get("test_h_per_y")
        for i, year in enumerate(sorted({y for y, _ in hours})):
            earned = hours[(year, "paid")] + hours[(year, "peak_shaving")]
            counted = earned + hours[(year, "test")] + (self.used_h if i == 0 else 0.0)
            if earned > 0 and not self.may_dispatch:
                what = f"{self.name} ran {earned:g} h for money in {year}: {self.rule['why_not']}"
                out.append(Finding("permit", "error", what, remedy=str(self.rule["remedy"])))
            if most is not None and counted > most + 1e-9:
                what = f"{self.name} ran {counted:g} h in {year} that count to its permit of {most:g} h"
                out.append(
                    Finding(
                        "permit",
                        "error",
                        what,
                        where=str(year),
                        remedy="run less, or have the permit changed",
                    )
                )
        return tuple(out)

    def with_size(self, rated_kw: float, units: int | None = None) -> Generator:
        """The same set in another size. What is stated for the size written scales with it: of each engine its fuel
        curve and the cost of an hour and of a start, of the set its ramp, tank, interlock and a truck's load."""
        scale = rated_kw / self.rated_kw
        points = tuple(
            {
                k: None if v is None else v * (1.0 if k == "load_frac" else scale)
                for k, v in p.model_dump().items()
            }
            for p in self.fuel_curve
        )
        count = self.units if units is None else units
        whole = scale * count / self.units
        truck = self.refuelling
        change = {
            "rated_kw": rated_kw,
            "units": count,
            "fuel_curve": points,
            "om_usd_per_h": self.om_usd_per_h * scale,
            "start_usd": self.start_usd * scale,
            "ramp_kw_per_min": None if self.ramp_kw_per_min is None else self.ramp_kw_per_min * whole,
            "tank_gal": None if self.tank_gal is None else self.tank_gal * whole,
            "keep_gal": self.keep_gal * whole,
            "refuelling": None if truck is None else {**truck.model_dump(), "gal": truck.gal * whole},
        }
        return Generator.model_validate({**self.model_dump(), **change})
