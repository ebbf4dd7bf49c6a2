"""Policies in closed loop: a year of plans against HiGHS kept warm, thousands of years of rules, the plain loop.

A plan is the least cost of the next 24 h from the state that the loop is in. HiGHS solves the very same problem, import
eliminated, held warm while it walks through 300 intervals of one month (its easiest case: the rows stay the same), and
anew at 400 intervals drawn over the year, whose answers the kernel is held to.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bench_bound import synthetic, tariff
from benchmarks.clock import Row, cpu_s
from valuestack.assets.battery import Battery
from valuestack.control import loop
from valuestack.control.do_nothing import DoNothing
from valuestack.control.dynamic import Dynamic
from valuestack.control.fixed_threshold import FixedThreshold
from valuestack.control.guard_kernel import carried_out
from valuestack.control.persistence_mpc import PersistenceMpc
from valuestack.control.policy import Policy, Setting
from valuestack.control.threshold import Threshold
from valuestack.control.tou_schedule import TouSchedule
from valuestack.control.twin import Twin
from valuestack.dispatch import Series, World
from valuestack.forecast.forecaster import issued
from valuestack.solve.highs import Warm
from valuestack.solve.problem import Affine, Problem, stacked
from valuestack.timeline import Kw, Timeline

LANES, SAMPLED, WALKED = 20, 400, 300
RULES: dict[str, Any] = {
    "do nothing": DoNothing,
    "time-of-use schedule": TouSchedule,
    "fixed threshold": FixedThreshold,
}


def year(step_h: float) -> Timeline:
    return Timeline(start="2018-01-01T00:00", step_h=step_h, n=round(8760 / step_h), tz="Etc/GMT+8")


def world(timeline: Timeline, kw: Kw) -> World:
    return World(timeline, {"load_kw": Series("load_kw", kw, "kW", -timeline.step_h)})


def battery(kw: Kw) -> Battery:
    size = 0.3 * float(kw.max())
    return Battery(power_kw=size, energy_kwh=4 * size, round_trip_efficiency_frac=0.88)


def lanes_of(timeline: Timeline, kw: Kw, lanes: int) -> Kw:
    """Different years of one site: its load at levels and with noise of its own, seeded."""
    rng = np.random.default_rng(5)
    noise = 1 + 0.02 * rng.standard_normal((lanes, timeline.n))
    return np.asarray(kw * noise * rng.uniform(0.9, 1.1, (lanes, 1)))


def run(data: Path | None) -> list[Row]:
    """Rows: plans of the day ahead in closed loop, rules in lanes, B in lanes, the plain loop."""
    quarter, hourly = year(0.25), year(1.0)
    clean = synthetic(quarter, "clean")
    cases = [("office", clean), ("spiky", synthetic(quarter, "spiky"))]
    if data is not None:
        import pandas as pd

        file = data / "load" / "reopt_madison_wi_recast2018_15min.parquet"
        cases.append(("plant", pd.read_parquet(file).kw.to_numpy(float)))
    rows = [_year_of_plans(name, quarter, kw, every_interval) for name, kw in cases]
    rows += [_follows(name, quarter, kw) for name, kw in cases]
    rows.append(_year_of_plans("office", quarter, clean, PersistenceMpc))
    rows.append(_rules(quarter, clean))
    rows += [_futures(hourly, synthetic(hourly, "clean")), _futures(quarter, clean)]
    return [*rows, *_plain(quarter, clean)]


# --- a year of plans --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Seen:
    """A plan as the loop met it: its walk, windows, held peaks and prices, and what the kernel says it costs."""

    walk: Any
    rows: Any
    held: Kw
    price: Kw
    usd: float


def _seen(timeline: Timeline, kw: Kw, policy: Any, wanted: Sequence[int]) -> list[_Seen]:
    """Run the loop by its parts and keep the plans of the wanted intervals."""
    from valuestack.control.dynamic_kernel import decide_now, observe, walk_of

    asset, terms, keep = battery(kw), tariff(timeline), set(wanted)
    twin = Twin(world(timeline, kw), [asset])
    policy.prepare(Setting(timeline, [asset], terms))
    store = twin.stores[0]
    p, lane = policy._make_public(store), policy._lane()
    known, room = lane.known, lane.room
    known.base[:] = kw
    known.issued[:, 0] = kw
    known.issued[:, 1:] = issued(policy.forecaster, kw, timeline, policy._steps)[:, :-1]
    energy, out = store.energy_start_kwh, []
    for k in range(max(keep) + 1):
        wish = decide_now(k, energy, p, known, room)
        if k in keep:
            m, count = min(p.steps, timeline.n - k), int(room.told[4])
            walk = walk_of(p, room, k, m, count, min(max(energy - p.low, 0.0), p.high - p.low))
            copied = type(walk)(*(x.copy() if isinstance(x, np.ndarray) else x for x in walk))
            out.append(
                _Seen(
                    copied,
                    room.rows[:, :m].copy(),
                    room.held[:count].copy(),
                    room.price[:count].copy(),
                    float(room.told[2]),
                )
            )
        q, energy = carried_out(wish, energy, p.low, p.high, p.power, p.charge, p.ec, p.ed, p.h)
        observe(k, kw[k] + q, p, known)
    return out


class _Lp:
    """The same plan as a linear programme, import eliminated: charge and discharge (n,), energy (n,), peaks (w,)."""

    def __init__(self, seen: _Seen) -> None:
        w, n = seen.walk, seen.walk.load.size
        p = self.problem = Problem()
        self.c = p.add_columns("charge", n, owner="store")
        self.d = p.add_columns("discharge", n, owner="store")
        self.e = p.add_columns("energy", n, owner="store")
        self.m = p.add_columns("peak", seen.held.size, owner="demand")
        net = Affine.of(self.c) + Affine.of(self.d, -1.0)
        before = Affine.of(self.e) + Affine(np.zeros(n), np.arange(1, n), self.e[:-1], np.full(n - 1, -1.0))
        flow = before + Affine.of(self.c, -w.ec * w.h) + Affine.of(self.d, w.h / w.ed)
        self.balance = p.add_rows("energy", flow, owner="store").first + np.arange(n)
        self.fed = p.add_rows("fed", net, owner="meter").first + np.arange(n)
        # A row for each window and interval; one that is not in the window is left free.
        over = [net + Affine(np.zeros(n), np.arange(n), np.full(n, m), np.full(n, -1.0)) for m in self.m]
        self.over = p.add_rows("peaks", stacked(over), owner="demand").first + np.arange(n * self.m.size)
        self.warm: Warm | None = None

    def usd(self, seen: _Seen) -> float:
        """Least cost of a plan of the same windows, above what the held peaks cost."""
        w, n = seen.walk, seen.walk.load.size
        if self.warm is None:
            self.warm = Warm(self.problem)
        warm, buy = self.warm, w.buy * w.h
        zero, far = np.zeros(n), np.full(n, inf)
        end = np.zeros(n)
        end[-1] = -w.end_value
        low, high = w.low[1:].copy(), w.high[1:].copy()
        low[-1], high[-1] = max(low[-1], w.end_low), min(high[-1], w.end_high)
        columns = np.concatenate((self.c, self.d, self.e, self.m))
        warm.set_costs(columns, np.concatenate((buy, w.wear * w.h - buy, end, seen.price)))
        warm.set_column_bounds(
            columns,
            np.concatenate((zero, zero, low, seen.held)),
            np.concatenate((w.charge, w.discharge, high, np.full(seen.held.size, inf))),
        )
        begin = zero.copy()
        begin[0] = w.start
        inside = np.array([(seen.rows == i).any(axis=0) for i in range(self.m.size)])
        over = np.where(inside, -w.load, inf).ravel()
        least = np.concatenate((begin, -w.load - w.most_export, np.full(over.size, -inf)))
        most = np.concatenate((begin, far, over))
        warm.set_row_bounds(np.concatenate((self.balance, self.fed, self.over)), least, most)
        found = warm.run().objective
        return float(found + (w.load * buy).sum() - (seen.held * seen.price).sum())


def every_interval() -> Dynamic:
    """Method B with a plan in each interval."""
    return Dynamic(plan_every_h=0.0)


def _follows(name: str, timeline: Timeline, kw: Kw) -> Row:
    """Method B as it comes, which follows a plan while it fits, beside a plan in each interval."""

    def spent(make: Callable[[], Policy]) -> float:
        return cpu_s(
            lambda: loop.run(world(timeline, kw), [battery(kw)], make(), tariff(timeline)), repeats=3
        )

    return Row(
        f"year of 15 min under B as it comes, {name}",
        spent(Dynamic),
        "B with a plan in each interval",
        spent(every_interval),
        note="a plan an hour, and at once where the load is off its forecast",
    )


def _year_of_plans(name: str, timeline: Timeline, kw: Kw, make: Callable[[], Any]) -> Row:
    seconds = cpu_s(lambda: loop.run(world(timeline, kw), [battery(kw)], make(), tariff(timeline)), repeats=3)
    first = 96 * 155  # June: all three charges run
    drawn = np.random.default_rng(11).choice(timeline.n - 96, SAMPLED, replace=False)
    walked = list(range(first, first + WALKED))
    seen = dict(zip(sorted({*drawn, *walked}), _seen(timeline, kw, make(), sorted({*drawn, *walked}))))
    off = 0.0
    for k in drawn:
        judged = _Lp(seen[k]).usd(seen[k])
        off = max(off, abs(seen[k].usd - judged) / max(1.0, abs(judged)))
    lp = _Lp(seen[first])
    lp.usd(seen[first])
    start = time.process_time()
    for k in walked:
        lp.usd(seen[k])
    theirs = (time.process_time() - start) / WALKED * timeline.n
    met = seconds <= 1.0 and theirs / seconds >= 40 and off <= 1e-6
    return Row(
        f"year of 15-minute plans, 24 h ahead: {make().kind}, {name}",
        seconds,
        "HiGHS dual simplex, warm",
        theirs,
        "<= 1 s and >= 40x, off by <= 1e-6",
        met,
        f"forecasts included; HiGHS scaled from {WALKED} solves; worst of {SAMPLED} off by {off:.1e}",
    )


# --- thousands of years -----------------------------------------------------------------------------------


def _rules(timeline: Timeline, kw: Kw) -> Row:
    """Three rules over a block of lanes, kernels alone, scaled to 1,000 years each; the whole loop in the note."""
    from valuestack.control.guard import guard_for

    many, asset, terms = lanes_of(timeline, kw, LANES), battery(kw), tariff(timeline)
    kernels, whole = 0.0, 0.0
    for make in RULES.values():
        twin = Twin(world(timeline, many), [asset])
        policy: Any = make()
        policy.prepare(Setting(timeline, [asset], terms))
        guard = guard_for(twin.stores, timeline.n, timeline.step_h, inf, 0.0, None)
        if hasattr(policy, "lanes"):
            kernels += cpu_s(
                lambda policy=policy, twin=twin, guard=guard: policy.lanes(twin, guard), repeats=3
            )
        whole += cpu_s(lambda make=make: loop.run(world(timeline, many), [asset], make(), terms), repeats=3)
    scale = 1000 / LANES
    return Row(
        f"1,000 years of 15 min x 3 rules ({', '.join(RULES)})",
        kernels * scale,
        "the whole loop, record and guard's watch included",
        whole * scale,
        "<= 2 s",
        kernels * scale <= 2.0,
        f"scaled from a block of {LANES} lanes; doing nothing has no loop to run",
    )


def _futures(timeline: Timeline, kw: Kw, lanes: int = 6) -> Row:
    """B over lanes that differ, scaled to 1,000 years on two cores."""
    many, terms = lanes_of(timeline, kw, lanes), tariff(timeline)
    one = cpu_s(lambda: loop.run(world(timeline, many), [battery(kw)], Dynamic(), terms), repeats=1) / lanes
    every = "hour" if timeline.step_h == 1 else "15 min"
    goal = timeline.step_h == 1
    return Row(
        f"1,000 years of B, planned every {every}",
        one * 1000,
        goal="<= 5 min on 2 cores" if goal else "",
        met=one * 500 <= 300 if goal else None,
        note=f"CPU of one core, scaled from {lanes} lanes: {one * 500:.0f} s on two; forecasts included",
    )


def _plain(timeline: Timeline, kw: Kw) -> list[Row]:
    """The loop interval by interval, without any kernel of it; a part of the year, scaled."""
    rows = []
    for make in (Dynamic, Threshold, TouSchedule):
        policy: Policy = make()
        asset, terms = battery(kw), tariff(timeline)
        twin = Twin(world(timeline, kw), [asset])
        seconds = _steps(twin, policy, Setting(timeline, [asset], terms))
        rows.append(
            Row(
                f"plain loop, a year of 15 min: {policy.kind}",
                seconds,
                goal="<= 10 s",
                met=seconds <= 10.0,
                note="scaled from 3,000 intervals after the first 1,000",
            )
        )
    return rows


def _steps(twin: Twin, policy: Policy, setting: Setting) -> float:
    from valuestack.control.guard import guard_for

    n = setting.timeline.n
    policy.prepare(setting)
    guard = guard_for(twin.stores, n, setting.timeline.step_h, inf, 0.0, None)
    guard.given, guard.may_cut = twin.given, twin.may_cut
    names, start = [o.name for o in twin.stores], 0.0
    for k in range(4000):
        if k == 1000:
            start = time.process_time()
        plan = policy.decide(twin.read())
        energy = {name: twin.state[name] for name in names}
        twin.apply(guard.project(k, twin.base_kw[:, k], energy, dict(plan.setpoints_kw)))
    return (time.process_time() - start) / 3000 * n
