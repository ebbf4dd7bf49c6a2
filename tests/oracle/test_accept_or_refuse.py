"""Method A against enumeration: of every subset of calls the best one, by an independent linear programme."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import inf
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog

from valuestack.assets.battery import Battery
from valuestack.control.policy import Setting
from valuestack.control.utility_first import UtilityFirst
from valuestack.dispatch import Call, Foresight, Series, View, World
from valuestack.forecast.perfect import Perfect
from valuestack.terms import Block, Claim, Measure, Payment, Term
from valuestack.timeline import Timeline

pytestmark = pytest.mark.slow

N, H = 10, 0.5
# What the walk of each plan may stand above its least cost, by `obliged_kernel`: a millionth of what the store's power
# is worth to the demand charge, a millionth of a dollar at least. The worth of a call is the difference of two plans.
WALK_GAP = 1e-6


@dataclass
class Told:
    """A stream of a few calls whose every figure is on the table."""

    name: str
    asked: Sequence[Call]
    made: Sequence[Term]

    def terms(self, view: View) -> Sequence[Term]:
        return self.made


@dataclass
class Instance:
    """Load, prices, battery and calls. events: (call, usd a kWh, reference); awards: (call, usd a kW and hour)."""

    load: Any
    buy: Any
    usd_per_kw: float
    battery: Battery
    events: list[tuple[Call, float, float]]
    awards: list[tuple[Call, float]]
    wear: float


def draw(rng: np.random.Generator) -> Instance:
    load = rng.uniform(40, 120, N).round(1)
    battery = Battery(
        power_kw=40.0,
        energy_kwh=float(rng.choice([60.0, 100.0])),
        soc_min_frac=0.0,
        soc_start_frac=0.6,
        charge_efficiency_frac=0.95,
        discharge_efficiency_frac=0.92,
    )
    events, awards = [], []
    for i in range(int(rng.integers(1, 4))):
        n = int(rng.integers(1, 3))
        first = int(rng.integers(1, N - n))
        if any(abs(first - c.first) < 3 for c, _, _ in events):
            continue
        call = Call(f"event {i}", f"e{i}", first, n, 0, 0, kw=float(rng.uniform(5, 20)), by_meter=False)
        events.append((call, float(rng.uniform(0.05, 1.5)), float(load[first : first + n].min())))
    for i in range(int(rng.integers(0, 3))):
        n = int(rng.integers(2, 5))
        first = int(rng.integers(1, N - n))
        side = ("up", "down", "both")[int(rng.integers(3))]
        call = Call(
            f"award {i}", f"a{i}", first, n, 0, 0, side, float(rng.uniform(5, 20)), block=n, claim=f"award {i}/kw",
            assets=("battery",), sustain_h=0.5, up_frac=0.2 * (side != "down"), down_frac=0.15 * (side != "up"),
            exposure_frac=0.7 * (side != "up"),
        )  # fmt: skip
        awards.append((call, float(rng.uniform(0.0, 0.6))))
    return Instance(load, rng.uniform(0.05, 0.4, N).round(3), float(rng.choice([0.0, 1.0, 4.0])), battery, events,
                    awards, 0.0)  # fmt: skip


def best_cost(one: Instance, taken: Iterable[int], end_value: float) -> float:
    """Cost of the best plan that serves the calls `taken` (events first), inf where there is none."""
    ec, ed, power, high = 0.95, 0.92, one.battery.power_kw, one.battery.energy_kwh
    calls = [c for c, _, _ in one.events] + [c for c, _ in one.awards]
    up, down, drift, drain, see, need, spare = (np.zeros(N) for _ in range(7))
    most, usd = np.full(N, inf), 0.0
    for i in taken:
        c = calls[i]
        if i < len(one.events):
            _, pay, reference = one.events[i]
            most[c.span] = np.minimum(most[c.span], reference - c.kw)
            usd += pay * c.kw * c.n * H
            continue
        usd += one.awards[i - len(one.events)][1] * c.kw * c.n * H
        a, b = c.kw * (c.direction != "down"), c.kw * (c.direction != "up")
        up[c.span] += a
        down[c.span] += b
        drift[c.span] += c.down_frac * b - c.up_frac * a
        drain[c.span] += c.up_frac * a / ed - c.down_frac * b * ec
        see[c.span] += c.exposure_frac * b
        need[c.span] += c.sustain_h * a / ed
        spare[c.span] += c.sustain_h * b * ec
    if (up > power).any() or (down > power).any():
        return inf
    load = one.load + drift
    # variables: charge, discharge, stored at the end of each interval, peak
    cost = np.concatenate((one.buy * H, -one.buy * H, np.zeros(N), [one.usd_per_kw]))
    cost[3 * N - 1] = -end_value
    rows, right = [], []
    for t in range(N):
        row = np.zeros(3 * N + 1)
        row[t], row[N + t], row[-1] = 1, -1, -1
        rows.append(row)
        right.append(-(load[t] + see[t]))
        flat = np.zeros(3 * N + 1)
        flat[t], flat[N + t] = 1, -1
        rows.append(flat)
        right.append(min(power - down[t], most[t] - load[t]))
        rows.append(-flat)  # room up, and no export on a full call
        right.append(min(power - up[t], max(load[t] - up[t], 0.0)))
    equal, of = [], []
    for t in range(N):
        row = np.zeros(3 * N + 1)
        row[t], row[N + t], row[2 * N + t] = -ec * H, H / ed, 1
        start = one.battery.start_kwh if t == 0 else 0.0
        if t:
            row[2 * N + t - 1] = -1
        equal.append(row)
        of.append(start - drain[t] * H)
    after = np.append(need[1:], 0.0), np.append(spare[1:], 0.0)
    bounds = [(0, power)] * (2 * N)
    bounds += [(max(need[t], after[0][t]), high - max(spare[t], after[1][t])) for t in range(N)]
    if any(a > b for a, b in bounds):
        return inf
    found = linprog(cost, rows, right, equal, of, [*bounds, (0, None)])
    return float(found.fun + (one.buy * load * H).sum() - usd) if found.success else inf


def decided(one: Instance) -> tuple[list[int], float, list[tuple[int, float]]]:
    """The calls that method A takes, the worth of a kWh left over that it believes, and the net that it noted."""
    t = Timeline("2026-06-01T00:00", H, N, "UTC")
    streams = []
    for c, pay, reference in one.events:
        window = np.full(N, -1, dtype=np.int64)
        window[c.span] = 0
        blocks = (Block(0.0, 0.0), Block(c.kw * H, -pay), Block(inf, 0.0))
        measure = Measure("net", reference_kw=np.full(N, reference))
        streams.append(
            Told(c.stream, [c], [Payment(c.stream, f"energy {c.name}", measure, "each", window, blocks)])
        )
    for c, pay in one.awards:
        both = Claim(c.stream, "kw", c.direction, np.full(N, pay), ("battery",))
        streams.append(Told(c.stream, [c], [both]))
    tariff: list[Term] = [
        Payment(
            "u", "energy", Measure("import"), "each", np.zeros(N, dtype=np.int64), (Block(inf, one.buy),)
        ),
        Payment(
            "u", "peak", Measure("import"), "max", np.zeros(N, dtype=np.int64), (Block(inf, one.usd_per_kw),)
        ),
    ]
    policy = UtilityFirst(
        Perfect(one.load), levels=(1.0,), parts=1, group_h=float(N), scenarios=0, tilt_usd_per_kwh=0.0
    )
    world = World(t, {"load_kw": Series("load_kw", one.load, "kW", -H)})
    policy.prepare(Setting(t, [one.battery], tariff, streams=streams))
    state = {"battery": one.battery.initial_state()}
    calls = tuple(c for s in streams for c in s.asked)
    view = View(t, 0, N, Foresight(world), state, now={"base_kw": one.load[:1]}, calls=calls)
    plan = policy.decide(view)
    keys = [c.key for c in calls]
    told = [(keys.index(d.key), d.net_usd) for d in policy.decisions]
    return [i for i, key in enumerate(keys) if key in plan.accepted], float(policy._public.value[0]), told


def check(seeds: Iterable[int]) -> tuple[int, int, int]:
    """Instances checked, calls taken and refused."""
    checked = yes = no = 0
    for seed in seeds:
        one = draw(np.random.default_rng(seed))
        count = len(one.events) + len(one.awards)
        taken, worth, told = decided(one)
        costs = {s: best_cost(one, s, worth) for r in range(count + 1) for s in combinations(range(count), r)}
        if inf in costs.values():
            continue  # a promise that cannot be kept is delivered in part, which no subset is
        best, near = min(costs.values()), 2 * WALK_GAP * max(1.0, one.usd_per_kw * one.battery.power_kw)
        assert costs[tuple(taken)] <= best + near, (seed, taken, costs)
        for d in told:
            i, rest = d[0], [t for t in taken if t != d[0]]
            gained = costs[tuple(rest)] - costs[tuple(sorted([*rest, i]))]
            assert abs(d[1] - gained) <= near, (seed, d, gained)
        checked, yes, no = checked + 1, yes + len(taken), no + count - len(taken)
    return checked, yes, no


def test_yes_and_no_are_those_of_enumeration() -> None:
    checked, yes, no = check(range(320))
    assert checked >= 200 and yes > 50 and no > 50
