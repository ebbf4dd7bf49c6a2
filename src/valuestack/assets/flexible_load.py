"""Flexible load: a process that can be shed or shifted on call, with what a call costs and what comes after it.

In interval t of length h, with u in {0, 1} (in a call), s shed, r recovered, b rebound [kW], all >= 0:

    least u <= s <= available u,   r <= most (1 - u),   net = -s + r + b
    R_t = sum r h <= phi S_(t-1),   R_t >= phi S_(t-W)        S = sum s h; W = the recovery window
    b = kW after a call for as long as it lasts: rebound_kw + rebound_frac x what was shed at its end

and a call lasts from `min_duration_h` to `max_duration_h`, is followed by at least `min_on_h` (and the rebound)
of running, and is one of at most so many a day, week and year. net is the deviation from what the site's load
already contains. Belief and truth share these rules; the truth walks them interval by interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, inf
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from ..dispatch import Record, View, World
from ..errors import DataError, InputError
from ..finding import Finding
from ..flows import Backup, Capability, Custom, Formulated
from ..ledger import Entry
from ..solve.problem import Affine, Problem
from ..timeline import Ints, Kw, Timeline
from ._schedule import IntervalFile, Window

EPS_KW = 1e-7
LEAST_FRAC = 0.01  # of what is available: a call that sheds less is none
LONG = 1 << 30
# What a kWh is priced at that a call under way leaves unrecovered at the end of a horizon: so much that it
# happens only where nothing else is possible. It is no cost of operation and settles to nothing.
UNRECOVERED_USD_PER_KWH = 100.0


class ShedWindow(Window):
    """Hours in which the load can be shed, and by how much where it is not the load's own shed_kw or share_frac."""

    shed_kw: float | None = Field(default=None, gt=0)
    share_frac: float | None = Field(default=None, gt=0, le=1)


@dataclass(frozen=True, slots=True, eq=False)
class Calls:
    """State of a flexible load, (lanes,) each.

    in_call: intervals in the call under way, 0 = none; running: intervals since the last call; shed_kw: of the
    interval before; rebound_kw, rebound_left: draw after a call and for how many more intervals; day, week, year:
    the period counted and the calls in it; warned: intervals since a call was asked for, notice running.
    owed_kwh: (lanes, W) energy to be recovered by its deadline, None before the first call; late_kwh: recovered
    past it.
    """

    in_call: Ints
    running: Ints
    shed_kw: Kw
    rebound_kw: Kw
    rebound_left: Ints
    period: Ints
    calls: Ints
    warned: Ints
    owed_kwh: Kw | None
    late_kwh: Kw

    def for_lanes(self, lanes: int) -> Calls:
        """The same for so many lanes."""

        def wide(x: Any) -> Any:
            return None if x is None else np.repeat(x, lanes, axis=0)

        return Calls(*(wide(getattr(self, f)) for f in self.__dataclass_fields__))

    @property
    def owed_total_kwh(self) -> Kw:
        """Energy still to be recovered, (lanes,)."""
        return np.zeros(self.in_call.size) if self.owed_kwh is None else self.owed_kwh.sum(axis=1)


@dataclass(frozen=True, slots=True)
class Steps:
    """The load's times in whole intervals of a step."""

    least: int
    most: int
    running: int
    rebound: int
    recovery: int
    notice: int


class FlexibleLoad(BaseModel):
    """A load that can be shed, or shifted, on call.

    Give one of shed_kw, share_frac (of the meter's load) or series, a file of sheddable kW by interval; windows
    narrow it to hours, days and months and may set other kW in them. min_shed_kw: least shed in a call; whole: all
    that is available or nothing.

    notice_h: from signal to answer. ramp_kw_per_h: how fast the shed may change. min_duration_h, max_duration_h of a
    call; min_on_h: running between two calls; calls_per_day, calls_per_week, calls_per_y.

    recovery_frac: share of the shed energy that must be made up within recovery_h after it, at most recovery_max_kw
    (by default as much as can be shed); 0 = curtailed for good. rebound_kw, rebound_frac (of what was shed at the
    end of the call): drawn on top for rebound_h after each call.

    usd_per_call, usd_per_kwh shed: what it costs the owner. approver: who agrees to a call. control_capex_usd,
    control_om_usd_per_y: hardware and its upkeep. protocols, telemetry_s, response_s: what a programme asks about.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: ClassVar[str] = "flexible_load"
    rests: ClassVar[bool] = True
    name: str = "flexible_load"
    what: str = ""
    shed_kw: float | None = Field(default=None, gt=0)
    share_frac: float | None = Field(default=None, gt=0, le=1)
    series: str | None = None
    windows: tuple[ShedWindow, ...] = ()
    min_shed_kw: float = Field(default=0.0, ge=0)
    whole: bool = False
    notice_h: float = Field(default=0.0, ge=0)
    ramp_kw_per_h: float | None = Field(default=None, gt=0)
    min_duration_h: float = Field(default=0.0, ge=0)
    max_duration_h: float | None = Field(default=None, gt=0)
    min_on_h: float = Field(default=0.0, ge=0)
    calls_per_day: int | None = Field(default=None, ge=0)
    calls_per_week: int | None = Field(default=None, ge=0)
    calls_per_y: int | None = Field(default=None, ge=0)
    recovery_frac: float = Field(default=0.0, ge=0, le=2)
    recovery_h: float | None = Field(default=None, gt=0)
    recovery_max_kw: float | None = Field(default=None, gt=0)
    rebound_kw: float = Field(default=0.0, ge=0)
    rebound_frac: float = Field(default=0.0, ge=0, le=2)
    rebound_h: float = Field(default=0.0, ge=0)
    usd_per_call: float = Field(default=0.0, ge=0)
    usd_per_kwh: float = Field(default=0.0, ge=0)
    approver: str = ""
    control_capex_usd: float = Field(default=0.0, ge=0)
    control_om_usd_per_y: float = Field(default=0.0, ge=0)
    protocols: tuple[str, ...] = ()
    telemetry_s: float | None = Field(default=None, gt=0)
    response_s: float | None = Field(default=None, ge=0)
    source: str = ""
    _kept: dict[int, tuple[Timeline, Kw]] = PrivateAttr(default_factory=dict)
    _most_kw: float = PrivateAttr(default=0.0)

    @model_validator(mode="after")
    def _consistent(self) -> FlexibleLoad:
        problems = []
        given = [k for k in ("shed_kw", "share_frac", "series") if getattr(self, k) is not None]
        own = bool(self.windows) and all(w.shed_kw or w.share_frac for w in self.windows)
        if len(given) != 1 and not (own and not given):
            problems.append(
                f"give one of shed_kw, share_frac or series (found {', '.join(given) or 'none'}), or a shed_kw or "
                "share_frac in every window"
            )
        if self.max_duration_h is not None and self.min_duration_h > self.max_duration_h:
            problems.append(
                f"min_duration_h = {self.min_duration_h:g} is above max_duration_h = {self.max_duration_h:g}"
            )
        if self.recovery_frac > 0 and self.recovery_h is None:
            problems.append("recovery_h: within how many hours is the energy made up? recovery_frac needs it")
        if (self.rebound_kw > 0 or self.rebound_frac > 0) != (self.rebound_h > 0):
            problems.append("rebound_h and rebound_kw or rebound_frac: give the draw and how long it lasts")
        if self.shed_kw is not None and self.min_shed_kw > self.shed_kw:
            problems.append(f"min_shed_kw = {self.min_shed_kw:g} is above shed_kw = {self.shed_kw:g}")
        problems += self._count_problems()
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _count_problems(self) -> list[str]:
        out = []
        day, week, year = self.calls_per_day, self.calls_per_week, self.calls_per_y
        if day is not None and week is not None and day > week:
            out.append(f"calls_per_day = {day} is above calls_per_week = {week}")
        if week is not None and year is not None and week > year:
            out.append(f"calls_per_week = {week} is above calls_per_y = {year}")
        if self.min_duration_h * max(1, day or 1) + self.min_on_h * max(0, (day or 1) - 1) > 24:
            out.append(f"{day} calls a day of {self.min_duration_h:g} h do not fit into a day")
        return out

    # --- what it may do --------------------------------------------------------------------------

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Defaults taken."""
        out = []
        if self.recovery_frac > 0 and self.recovery_max_kw is None:
            out.append(f"{self.name}: makes up lost energy with at most the power that can be shed")
        if self.recovery_frac == 0:
            out.append(f"{self.name}: what is shed is not made up later (recovery_frac = 0)")
        if self.usd_per_call == 0 and self.usd_per_kwh == 0:
            out.append(f"{self.name}: no cost of a call is given; shedding costs nothing")
        if self.max_duration_h is None:
            out.append(f"{self.name}: no max_duration_h is given; a call may last as long as it is available")
        return tuple(out)

    @cached_property
    def _file(self) -> IntervalFile:
        return IntervalFile(self.name, str(self.series), ("delivered", "net", "generation"))

    def available_kw(self, timeline: Timeline, load_kw: Kw | None = None) -> Kw:
        """Sheddable power over a timeline [kW], (n,), or (lanes, n) for shares of a load_kw of that shape."""
        if self.series is not None:
            whole = np.maximum(self._file.on(timeline), 0.0)
        else:
            whole = np.full(timeline.n, self.shed_kw or 0.0)
            if self.share_frac is not None:
                whole = self.share_frac * self._load(load_kw)
        if not self.windows:
            return whole
        out = np.zeros(timeline.n)
        for w in self.windows:
            here = w.mask(timeline)
            kw = whole
            if w.shed_kw is not None:
                kw = np.full(timeline.n, w.shed_kw)
            elif w.share_frac is not None:
                kw = w.share_frac * self._load(load_kw)
            out = np.where(here, np.maximum(out, kw), out)
        return out

    def _load(self, load_kw: Kw | None) -> Kw:
        if load_kw is None:
            raise DataError(f"{self.name}: share_frac needs the meter's load, which is not known here")
        return np.maximum(load_kw, 0.0)

    def _shares(self) -> bool:
        return self.share_frac is not None or any(w.share_frac is not None for w in self.windows)

    def most_kw(self, available_kw: Kw) -> float:
        """Most that recovery may draw [kW]."""
        return float(available_kw.max(initial=0.0)) if self.recovery_max_kw is None else self.recovery_max_kw

    def least_kw(self, available_kw: Any) -> Any:
        """Least shed of a call [kW]: a call that sheds next to nothing is none."""
        if self.whole:
            return available_kw
        return np.maximum(np.minimum(self.min_shed_kw, available_kw), LEAST_FRAC * available_kw)

    def steps(self, step_h: float) -> Steps:
        """Times in intervals; least times are rounded up, longest times down.

        Errors: InputError where a longest time is shorter than one interval."""
        problems = []
        for key in ("max_duration_h", "recovery_h"):
            value = getattr(self, key)
            if value is not None and value < step_h - 1e-9:
                problems.append(f"{key} = {value:g} is shorter than the meter's interval of {step_h:g} h")
        if problems:
            raise InputError.collect(self.name, problems)

        def up(hours: float) -> int:
            return ceil(hours / step_h - 1e-9)

        def down(hours: float | None) -> int:
            return LONG if hours is None else int(hours / step_h + 1e-9)

        rebound = up(self.rebound_h)
        least, most = max(1, up(self.min_duration_h)), down(self.max_duration_h)
        if least > most:
            raise InputError(
                f"{self.name}: no whole number of {step_h:g} h intervals lies between min_duration_h = "
                f"{self.min_duration_h:g} and max_duration_h = {self.max_duration_h:g}"
            )
        return Steps(
            least, most, max(1, up(self.min_on_h), rebound), rebound, down(self.recovery_h), up(self.notice_h)
        )

    @property
    def linear(self) -> bool:
        """Whether nothing about it needs a yes or no: pure curtailment by the kWh."""
        counts = (self.calls_per_day, self.calls_per_week, self.calls_per_y, self.max_duration_h)
        plain = all(c is None for c in counts) and self.min_on_h == 0 and self.min_duration_h == 0
        return plain and not (
            self.recovery_frac or self.rebound_h or self.usd_per_call or self.min_shed_kw or self.whole
        )

    # --- Asset -----------------------------------------------------------------------------------

    def initial_state(self) -> Calls:
        """Running, nothing owed, no call yet."""
        zero, none = np.zeros(1), np.zeros(1, dtype=np.int64)
        return Calls(
            none,
            np.full(1, LONG),
            zero,
            zero,
            none,
            np.full((1, 3), -1, dtype=np.int64),
            np.zeros((1, 3), dtype=np.int64),
            none,
            None,
            zero,
        )

    def belief(self, view: View) -> Custom:
        """What may be planned over the view's horizon, from the state of the first lane."""
        load = np.atleast_2d(view.series("load_kw"))[0] if self._shares() else None
        horizon = view.horizon
        available = self.available_kw(horizon, load)
        state: Calls = view.asset_state[self.name]

        def formulate(problem: Problem, step_h: float) -> Formulated:
            return _Writer(self, problem, horizon, available, state).written()

        return Custom(self.name, formulate)

    def signals_kw(self, plan_kw: Kw, step_h: float) -> Kw:
        """The signals that make a plan (n,) happen: each call is asked for as long before as its notice says."""
        early = self.steps(step_h).notice
        out = plan_kw.copy()
        starts = np.flatnonzero((plan_kw < -EPS_KW) & ~(np.concatenate(([0.0], plan_kw[:-1])) < -EPS_KW))
        for k in starts:
            out[max(0, k - early) : k] = np.minimum(out[max(0, k - early) : k], plan_kw[k])
        return out

    def step(self, state: Calls, setpoint_kw: Kw, world: World, k: int) -> tuple[Calls, Kw]:
        """Truth: below zero asks for a shed, above zero for recovery; what the rules forbid does not happen, what
        they demand does. A setpoint holds the rebound, as the meter would see it. A call that needs notice is
        answered once it has been asked for so long."""
        s = self.steps(world.timeline.step_h)
        h = world.timeline.step_h
        available = self._true_kw(world)[..., k]
        c, wish = self._counted(state, world.timeline, k), np.asarray(setpoint_kw, dtype=float)
        asked = wish < -EPS_KW
        calling, warned = self._calling(c, asked, s, available > EPS_KW, h)
        ramp = inf if self.ramp_kw_per_h is None else self.ramp_kw_per_h * h
        shed = np.where(calling, np.clip(-wish, self.least_kw(available), available), 0.0)
        calling = calling | (c.in_call > 0) & (c.shed_kw > ramp + EPS_KW)  # a shed that can only fall slowly
        shed = np.clip(shed, np.maximum(c.shed_kw - ramp, 0.0), c.shed_kw + ramp)
        ended = (c.in_call > 0) & ~calling
        rebound_left = np.where(ended, s.rebound, c.rebound_left)
        rebound = np.where(ended, self.rebound_kw + self.rebound_frac * c.shed_kw, c.rebound_kw)
        drawn = np.where(rebound_left > 0, rebound, 0.0)
        owed, late, back = self._recover(c, np.where(calling, 0.0, 1.0), wish - drawn, shed, s, world)
        started = calling & (c.in_call == 0)
        return (
            Calls(
                np.where(calling, c.in_call + 1, 0),
                np.where(calling, 0, np.minimum(np.where(ended, 0, c.running) + 1, LONG)),
                shed,
                rebound,
                np.maximum(rebound_left - 1, 0),
                c.period,
                c.calls + started[:, None],
                warned,
                owed,
                late,
            ),
            -shed + back + drawn,
        )

    def _true_kw(self, world: World) -> Kw:
        key = id(world.timeline)
        kept = self._kept.get(key)
        if kept is None or kept[0] is not world.timeline:
            load = world["load_kw"] if self._shares() else None
            kept = self._kept[key] = (world.timeline, self.available_kw(world.timeline, load))
        self._most_kw = self.most_kw(kept[1])
        return kept[1]

    def _calling(self, c: Calls, asked: Any, s: Steps, there: Any, h: float) -> tuple[Any, Ints]:
        """Which lanes are in a call now, and how long each has been warned."""
        inside = c.in_call > 0
        warned = np.where(asked & ~inside, c.warned + 1, 0)
        free = ~inside & (c.running >= s.running) & (warned > s.notice)
        for j, cap in enumerate((self.calls_per_day, self.calls_per_week, self.calls_per_y)):
            if cap is not None:
                free &= c.calls[:, j] < cap
        if c.owed_kwh is not None:  # what is owed must still come back in time
            free &= self._behind_kwh(c.owed_kwh, s.least, h) < EPS_KW
            may = self._behind_kwh(c.owed_kwh, 1, h) < EPS_KW
        else:
            may = np.ones(inside.size, dtype=bool)
        held = inside & (c.in_call < s.least)
        calling = ((inside & (c.in_call < s.most) & may | free) & asked) | held
        return calling & there, warned

    def _behind_kwh(self, owed_kwh: Kw, wait: int, h: float) -> Kw:
        """Energy that would miss its deadline if nothing came back in the next `wait` intervals, (lanes,)."""
        could = self._most_kw * h * np.maximum(np.arange(1, owed_kwh.shape[1] + 1) - wait, 0)
        return np.asarray((np.cumsum(owed_kwh, axis=1) - could).max(axis=1))

    def _counted(self, state: Calls, timeline: Timeline, k: int) -> Calls:
        """The state with its counts of calls set back where a day, week or year has begun."""
        day = int(timeline.day[k])
        now = np.array([day, (day + 3) // 7, int(timeline.year[k])])
        fresh = state.period != now
        return replace(
            state,
            period=np.broadcast_to(now, state.period.shape).copy(),
            calls=np.where(fresh, 0, state.calls),
        )

    def _recover(
        self, c: Calls, may: Kw, wish: Kw, shed: Kw, s: Steps, world: World
    ) -> tuple[Kw | None, Kw, Kw]:
        """Energy owed after this interval by deadline, energy late so far, power drawn to make up [kW]."""
        lanes, h = c.in_call.size, world.timeline.step_h
        if self.recovery_frac == 0:
            return None, c.late_kwh, np.zeros(lanes)
        width = min(s.recovery, world.timeline.n)
        owed = np.zeros((lanes, width)) if c.owed_kwh is None else c.owed_kwh
        most_kw = self._most_kw
        forced = self._behind_kwh(owed, 1, h)
        energy = np.clip(np.maximum(wish * h, forced), 0.0, np.minimum(most_kw * h, owed.sum(axis=1))) * may
        before = np.concatenate((np.zeros((lanes, 1)), np.cumsum(owed, axis=1)), axis=1)
        left = np.diff(np.maximum(before - energy[:, None], 0.0), axis=1)
        late = left[:, 0]
        owed = np.concatenate((left[:, 1:], np.zeros((lanes, 1))), axis=1)
        owed[:, 0] += late
        owed[:, -1] += self.recovery_frac * shed * h
        return owed, c.late_kwh + late, energy / h

    def report(self, state: Calls) -> Mapping[str, Kw]:
        """For the record: whether it is in a call, whether one began, and what is still to be made up."""
        return {
            "run": (state.in_call > 0).astype(float),
            "start": (state.in_call == 1).astype(float),
            "owed_kwh": state.owed_total_kwh,
        }

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        """Calls and energy not used, at what they cost the owner; from the metered deviation."""
        net = np.asarray(record.asset_kw[self.name], dtype=float)
        shed = np.maximum(-net, 0.0)
        begun = record.extra.get(f"{self.name}/start")
        if begun is None:
            begun = np.maximum(np.diff(np.concatenate(([0.0], (shed > EPS_KW).astype(float)))), 0.0)
        calls = float(np.round(begun).sum())
        kwh = float(shed.sum()) * record.timeline.step_h
        first, last = record.timeline.start.date(), record.timeline.when(record.timeline.n - 1).date()
        for item, quantity, unit, price, reason in (
            ("calls", calls, "calls", self.usd_per_call, f"{calls:,.0f} calls"),
            ("energy not used", kwh, "kWh", self.usd_per_kwh, f"{kwh:,.0f} kWh shed"),
        ):
            if price and quantity:
                yield Entry(
                    cycle=f"{first}/{last}",
                    layer=0,
                    stream=self.name,
                    item=item,
                    counterparty="owner",
                    quantity=quantity,
                    unit=unit,
                    usd_per_unit=price,
                    usd=-price * quantity,
                    certainty="modelled",
                    reason=reason,
                )

    def backup(self, state: Any) -> Backup | None:
        """Nothing: in an outage a flexible load is left out of the critical load instead."""
        return None

    def doubts(self, timeline: Timeline, load_kw: Kw, temperature_c: Kw | None) -> Iterable[Finding]:
        """What of it contradicts the meter or cannot be."""
        available = self.available_kw(timeline, load_kw)
        over = np.flatnonzero(available > np.maximum(load_kw, 0.0) + 1e-6)
        if over.size:
            k = int(over[0])
            yield Finding(
                "more_than_there_is",
                "error",
                f"{self.name} could shed {available[k]:,.0f} kW where the site draws {load_kw[k]:,.0f} kW",
                where=timeline.when(k).isoformat(),
                count=int(over.size),
                remedy="lower shed_kw, or give its hours as windows or a series",
            )
        if not (available > EPS_KW).any():
            yield Finding(
                "never_available",
                "error",
                f"{self.name} is available in no interval of the data",
                where=f"asset {self.name}",
                remedy="check windows and months",
            )
        if self.recovery_frac > 0 and self.recovery_h is not None and self.max_duration_h is not None:
            needed = self.recovery_frac * self.max_duration_h * float(available.max(initial=0.0))
            could = self.most_kw(available) * self.recovery_h
            if needed > could + 1e-6:
                yield Finding(
                    "cannot_recover",
                    "error",
                    f"{self.name} owes {needed:,.0f} kWh after its longest call and can make up {could:,.0f} kWh in "
                    f"{self.recovery_h:g} h",
                    where=f"asset {self.name}",
                    remedy="raise recovery_h or recovery_max_kw, or lower max_duration_h",
                )

    def capability(self) -> Capability:
        """What a programme may ask of it."""
        return Capability(
            protocols=self.protocols,
            telemetry_s=self.telemetry_s,
            response_s=self.response_s,
            notice_h=self.notice_h,
            max_duration_h=inf if self.max_duration_h is None else self.max_duration_h,
        )


class _Writer:
    """Columns and rows of one flexible load over one horizon."""

    def __init__(
        self, load: FlexibleLoad, problem: Problem, horizon: Timeline, available_kw: Kw, state: Calls
    ) -> None:
        self.load, self.problem, self.horizon = load, problem, horizon
        self.n, self.h = horizon.n, horizon.step_h
        self.available = available_kw
        self.s = load.steps(horizon.step_h)
        self.c = load._counted(state, horizon, 0)
        self.inside = int(self.c.in_call[0])
        name = load.name
        self.name, self.there = name, (available_kw > EPS_KW).astype(float)

    def columns(self, what: str, **options: Any) -> Affine:
        return Affine.of(self.problem.add_columns(f"{self.name}.{what}", self.n, owner=self.name, **options))

    def rows(self, what: str, expr: Affine, **bounds: Any) -> None:
        if expr.n:
            self.problem.add_rows(f"{self.name}.{what}", expr, owner=self.name, **bounds)

    def written(self) -> Formulated:
        """The whole of it."""
        f = self.load
        if f.linear:
            shed = self.columns("shed", upper=self.available * self._noticed())
            self._ramp(shed)
            cost = shed.times(self.h * f.usd_per_kwh)
            return Formulated(
                shed.times(-1.0),
                room_up=shed.times(-1.0).plus(self.available),
                room_down=shed,
                costs=(("energy not used", cost),),
            )
        run, start = self._calls()
        shed = self._shed(run)
        net, unpaid = shed.times(-1.0), Affine(np.zeros(self.n))
        back = Affine(np.zeros(self.n))
        if f.recovery_frac > 0:
            back, unpaid = self._recovery(run, shed)
        net = net + back + self._rebound(run, start, shed)
        costs = [
            ("calls", start.times(f.usd_per_call)),
            ("energy not used", shed.times(self.h * f.usd_per_kwh)),
        ]
        if not unpaid.fixed:
            costs.append(("unrecovered", unpaid))
        return Formulated(
            net,
            run=run,
            start=start,
            room_up=shed.times(-1.0).plus(self.available),
            room_down=shed,
            costs=tuple(costs),
        )

    def _noticed(self) -> Kw:
        """0 in the intervals that no call can reach any more, for want of notice."""
        may = np.ones(self.n)
        if not self.inside:
            may[: max(0, self.s.notice - int(self.c.warned[0]))] = 0.0
        return may

    def _calls(self) -> tuple[Affine, Affine]:
        s, n = self.s, self.n
        low, may = np.zeros(n), self.there * self._noticed()
        if self.inside:
            low[: max(0, s.least - self.inside)] = 1.0
            low = np.minimum(low, np.cumprod(self.there))  # a call ends where nothing is available
        may[: s.running if self.inside else max(0, s.running - int(self.c.running[0]))] = 0.0
        run = self.columns("run", lower=low, upper=self.there, integer=True)
        start = self.columns("start", upper=may)
        was = self._before(run, float(self.inside > 0))
        self.rows("start", start - run + was, lower=0.0)
        self.rows("start runs", start - run, upper=0.0)
        self.rows("start once", start + was, upper=1.0)
        if s.least > 1:
            self.rows("least", self._recent(start, s.least) - run, upper=0.0)
        if s.most < n + self.inside:
            self._longest(run)
        if s.running > 1:
            late = np.arange(s.running, n, dtype=np.int64)
            between = self._recent(start, s.running).take(late) + run.take(late - s.running)
            self.rows("between", between, upper=1.0)
        self._caps(start)
        return run, start

    def _longest(self, run: Affine) -> None:
        s, n = self.s, self.n
        if s.most < n:
            late = np.arange(s.most, n, dtype=np.int64)
            self.rows("longest", self._recent(run, s.most + 1).take(late), upper=float(s.most))
        left = max(0, s.most - self.inside)
        if self.inside and left < n:
            upto = np.where(np.arange(n) <= left, 0, -1)
            self.rows("longest now", run.gather(upto, 1), upper=float(left))

    def _caps(self, start: Affine) -> None:
        day = self.horizon.day
        for j, (what, cap, key) in enumerate(
            (
                ("day", self.load.calls_per_day, day),
                ("week", self.load.calls_per_week, (day + 3) // 7),
                ("year", self.load.calls_per_y, self.horizon.year),
            )
        ):
            if cap is None:
                continue
            into = np.asarray(key - key[0], dtype=np.int64)
            groups = int(into[-1]) + 1
            upper = np.full(groups, float(cap))
            upper[0] = max(0, cap - int(self.c.calls[0, j]))
            self.rows(f"calls a {what}", start.gather(into, groups), upper=upper)

    def _shed(self, run: Affine) -> Affine:
        f = self.load
        if f.whole:
            shed = run.times(self.available)
        else:
            shed = self.columns("shed", upper=self.available)
            self.rows("shed", shed - run.times(self.available), upper=0.0)
            self.rows("shed least", shed - run.times(f.least_kw(self.available)), lower=0.0)
        self._ramp(shed)
        return shed

    def _ramp(self, shed: Affine) -> None:
        if self.load.ramp_kw_per_h is None:
            return
        step = self.load.ramp_kw_per_h * self.h
        was = self._before(shed, float(self.c.shed_kw[0]))
        self.rows("ramp", shed - was, lower=-step, upper=step)

    def _recovery(self, run: Affine, shed: Affine) -> tuple[Affine, Affine]:
        """Power that makes up, and the price of what a call at the very end of the horizon leaves over."""
        f, n, h = self.load, self.n, self.h
        most = f.most_kw(self.available) or float(self.c.shed_kw[0])
        back = self.columns("recovery", upper=most)
        self.rows("recovery", back + run.times(most), upper=most)
        owed = np.zeros(1) if self.c.owed_kwh is None else self.c.owed_kwh[0]
        done = self._sums("made up kwh", back.times(h))
        lost = self._sums("lost kwh", shed.times(h * f.recovery_frac))
        total = float(owed.sum())
        self.rows("recovery after", done - self._before(lost, 0.0), upper=total)
        due = np.full(n, total)
        due[: min(n, owed.size)] = np.cumsum(owed)[:n]
        held = max(0, self.s.least - self.inside) if self.inside else 0
        due = np.minimum(due, most * h * np.maximum(np.arange(1, n + 1) - held, 0))
        late = np.full(n, -1, dtype=np.int64)
        if self.s.recovery < n:
            late[: n - self.s.recovery] = np.arange(self.s.recovery, n)
        self.rows("recovery by", done - lost.gather(late, n), lower=due)
        left = Affine(np.zeros(n))
        last = (done - lost).take(np.array([n - 1]))
        if self.inside or total > 0:
            slack = self.problem.add_columns(f"{self.name}.unrecovered", 1, owner=self.name)
            last = last + Affine.of(slack)
            left = Affine.of(slack, UNRECOVERED_USD_PER_KWH).gather(np.array([n - 1]), n)
        self.rows("recovery whole", last, lower=total)
        return back, left

    def _rebound(self, run: Affine, start: Affine, shed: Affine) -> Affine:
        f, n, s = self.load, self.n, self.s
        if not s.rebound:
            return Affine(np.zeros(n))
        was_run, was_shed = (
            self._before(run, float(self.inside > 0)),
            self._before(shed, float(self.c.shed_kw[0])),
        )
        ended = was_run - run + start
        each = ended.times(f.rebound_kw)
        if f.rebound_frac > 0:
            most = np.concatenate(([float(self.c.shed_kw[0])], self.available[:-1]))
            if f.whole:
                at_end = ended.times(most)
            else:
                at_end = self.columns("shed at end", upper=most)
                self.rows("shed at end", at_end - was_shed + run.times(most), lower=0.0)
                self.rows("shed at end most", at_end - was_shed, upper=0.0)
                self.rows("shed at end once", at_end - ended.times(most), upper=0.0)
            each = each + at_end.times(f.rebound_frac)
        old = np.where(np.arange(n) < int(self.c.rebound_left[0]), float(self.c.rebound_kw[0]), 0.0)
        return self._recent(each, s.rebound).plus(old)

    def _before(self, expr: Affine, first: float) -> Affine:
        """The expression of the interval before."""
        into = np.arange(1, self.n + 1, dtype=np.int64)
        into[-1] = -1
        start = np.zeros(self.n)
        start[0] = first
        return expr.gather(into, self.n).plus(start)

    def _recent(self, expr: Affine, k: int) -> Affine:
        """Sum over the last k intervals, this one included."""
        k, t = min(k, self.n), np.arange(self.n, dtype=np.int64)
        row = np.concatenate([t[j:] for j in range(k)])
        col = np.concatenate([t[: self.n - j] for j in range(k)])
        return expr.mixed(row, col, np.ones(row.size), self.n)

    def _sums(self, what: str, expr: Affine) -> Affine:
        """Running total as columns, so that the rows that read it stay short."""
        total = self.columns(what, lower=-inf)
        self.rows(what, total - self._before(total, 0.0) - expr, lower=0.0, upper=0.0)
        return total
