"""The compiler against problems written by hand for another solver (scipy), its integers by enumeration.

Nothing of the compiler is used on the other side: a concave tariff is the cheapest of its affine pieces, a
price that pays for import and export at once is settled by trying every pattern of directions, and a unit by
trying every pattern of running. All agree to 1e-6.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from math import inf

import numpy as np
import pytest
from scipy.optimize import linprog

from valuestack.flows import Store, Unit
from valuestack.stack.optimise import optimise
from valuestack.terms import Block, HoursUse, Measure, Payment, Term
from valuestack.timeline import Kw, Timeline

N = 4
EC, ED, WEAR = 0.94, 0.92, 0.015
POWER, ENERGY, START = 40.0, 80.0, 35.0


@dataclass
class ByHand:
    """Columns c, d, s, import, export (N each), the peak M; rows as dense lists for linprog."""

    load: Kw
    cost: Kw = field(default_factory=lambda: np.zeros(5 * N + 1))
    eq: list[Kw] = field(default_factory=list)
    eq_to: list[float] = field(default_factory=list)
    ub: list[Kw] = field(default_factory=list)
    ub_to: list[float] = field(default_factory=list)
    bounds: list[tuple[float, float | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bounds = (
            [(0, POWER)] * (2 * N)
            + [(0, ENERGY)] * (N - 1)
            + [(START, ENERGY)]
            + [(0, None)] * (2 * N)
            + [(0, None)]
        )
        self.cost[N : 2 * N] = WEAR
        for t in range(N):
            row = np.zeros(5 * N + 1)
            row[2 * N + t], row[t], row[N + t] = 1.0, -EC, 1 / ED
            if t:
                row[2 * N + t - 1] = -1.0
            self.equal(row, START if t == 0 else 0.0)
            meter = np.zeros(5 * N + 1)
            meter[3 * N + t], meter[4 * N + t], meter[t], meter[N + t] = 1.0, -1.0, -1.0, 1.0
            self.equal(meter, float(self.load[t]))
            peak = np.zeros(5 * N + 1)
            peak[3 * N + t], peak[-1] = 1.0, -1.0
            self.under(peak, 0.0)

    def equal(self, row: Kw, to: float) -> None:
        self.eq.append(row)
        self.eq_to.append(to)

    def under(self, row: Kw, to: float) -> None:
        self.ub.append(row)
        self.ub_to.append(to)

    def least(
        self, *, cost: Kw | None = None, bounds: list[tuple[float, float | None]] | None = None
    ) -> float:
        found = linprog(
            self.cost if cost is None else cost,
            A_ub=np.array(self.ub),
            b_ub=self.ub_to,
            A_eq=np.array(self.eq),
            b_eq=self.eq_to,
            bounds=bounds or self.bounds,
            method="highs-ipm",
        )
        return float(found.fun) if found.status == 0 else inf


def horizon() -> Timeline:
    return Timeline(start="2018-05-01T00:00", step_h=1.0, n=N, tz="America/New_York")


def store() -> Store:
    return Store(
        "battery",
        np.full(N, POWER),
        np.full(N, POWER),
        np.zeros(N + 1),
        np.full(N + 1, ENERGY),
        START,
        EC,
        ED,
        energy_end_min_kwh=START,
        wear_usd_per_kwh=WEAR,
    )


def paid(over: str, blocks: tuple[Block, ...], flow: str = "import", name: str = "") -> Payment:
    one = np.zeros(N, dtype=np.int64)
    return Payment("t", name or over, Measure(flow), over, one, blocks)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(12))
def test_energy_and_demand(seed: int) -> None:
    rng = np.random.default_rng(seed)
    load, price, kw = rng.uniform(10, 90, N), rng.uniform(0.05, 0.4, N), float(rng.uniform(0, 3))
    hand = ByHand(load)
    hand.cost[3 * N : 4 * N] = price
    hand.cost[-1] = kw
    shut = [*hand.bounds[: 4 * N], *[(0.0, 0.0)] * N, hand.bounds[-1]]
    terms: list[Term] = [paid("each", (Block(inf, price),)), paid("max", (Block(inf, kw),))]
    found = optimise(horizon(), load, [store()], terms, method="highs")
    assert found.objective_usd == pytest.approx(hand.least(bounds=shut), abs=1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_declining_tiers_are_the_cheapest_of_their_affine_pieces(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    load, price, kw = rng.uniform(30, 90, N), rng.uniform(0.0, 0.3, N), float(rng.uniform(0, 1))
    prices = np.sort(rng.uniform(0.02, 0.5, 3))[::-1]
    bounds = np.sort(rng.uniform(150, 300, 2))
    hand = ByHand(load)
    shut = [*hand.bounds[: 4 * N], *[(0.0, 0.0)] * N, hand.bounds[-1]]
    best, fixed = inf, 0.0
    for k, unit in enumerate(prices):
        if k:
            fixed += (prices[k - 1] - unit) * bounds[k - 1]
        cost = hand.cost.copy()
        cost[3 * N : 4 * N] = price + unit
        cost[-1] = kw
        best = min(best, hand.least(cost=cost, bounds=shut) + fixed)
    blocks = (Block(bounds[0], prices[0]), Block(bounds[1], prices[1]), Block(inf, prices[2]))
    terms: list[Term] = [
        paid("each", (Block(inf, price),)),
        paid("max", (Block(inf, kw),)),
        paid("sum", blocks),
    ]
    found = optimise(horizon(), load, [store()], terms, method="highs", gap=1e-10)
    assert found.objective_usd == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_hours_use_is_the_cheaper_of_its_two_pieces(seed: int) -> None:
    rng = np.random.default_rng(200 + seed)
    load, price = rng.uniform(5, 90, N), rng.uniform(0.0, 0.3, N)
    first, second, hours, kw = 0.3, 0.1, float(rng.uniform(1.5, 3.5)), 0.5
    hand = ByHand(load)
    shut = [*hand.bounds[: 4 * N], *[(0.0, 0.0)] * N, hand.bounds[-1]]
    best = inf
    for unit, on_peak in ((first, 0.0), (second, (first - second) * hours)):
        cost = hand.cost.copy()
        cost[3 * N : 4 * N] = price + unit
        cost[-1] = kw + on_peak
        best = min(best, hand.least(cost=cost, bounds=shut))
    terms: list[Term] = [
        paid("each", (Block(inf, price),)),
        paid("max", (Block(inf, kw),), name="kw"),
        paid("sum", (Block(HoursUse(hours, "kw"), first), Block(inf, second))),
    ]
    found = optimise(horizon(), load, [store()], terms, method="highs", gap=1e-10)
    assert found.objective_usd == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_export_dearer_than_import_by_every_pattern(seed: int) -> None:
    """Directions of the meter and of the battery, 4^N patterns, where prices may pay for both at once."""
    rng = np.random.default_rng(300 + seed)
    load, price, sell = rng.uniform(-60, 60, N), rng.uniform(-0.2, 0.2, N), rng.uniform(0.0, 0.4, N)
    hand = ByHand(load)
    hand.cost[3 * N : 4 * N], hand.cost[4 * N : 5 * N] = price, -sell
    cap = 100.0
    best = inf
    for pattern in product((0, 1, 2, 3), repeat=N):
        bounds = list(hand.bounds)
        for t, way in enumerate(pattern):
            bounds[t if way & 1 else N + t] = (0.0, 0.0)
            bounds[3 * N + t], bounds[4 * N + t] = (
                ((0.0, 0.0), (0.0, cap)) if way & 2 else ((0.0, None), (0.0, 0.0))
            )
        best = min(best, hand.least(bounds=bounds))
    terms: list[Term] = [
        paid("each", (Block(inf, price),), name="buy"),
        paid("each", (Block(inf, -sell),), flow="export", name="sell"),
    ]
    found = optimise(horizon(), load, [store()], terms, method="highs", gap=1e-10, export_limit_kw=cap)
    assert found.objective_usd == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_a_unit_by_every_pattern_of_running(seed: int) -> None:
    """Output of a running unit is chosen interval by interval here, so each pattern has a formula."""
    rng = np.random.default_rng(400 + seed)
    load, price = rng.uniform(50, 120, N), rng.uniform(0.1, 0.6, N)
    low, high, start_usd, run_usd, fuel = 15.0, 45.0, float(rng.uniform(0, 8)), 1.0, 0.25
    best = inf
    for pattern in product((0, 1), repeat=N):
        on = np.array((0, *pattern))
        starts = np.flatnonzero(np.diff(on) == 1)
        if any(
            len(run) < 2 and s + len(run) < N
            for s in starts
            for run in ["".join(map(str, pattern[s:])).split("0")[0]]
        ):
            continue  # minimum up time of 2 h, cut off by the end of the horizon
        stops = np.flatnonzero(np.diff(on) == -1)
        if any(0 < t - s < 2 for s in stops for t in starts if t > s):
            continue  # minimum down time of 2 h
        output = np.where(on[1:] == 1, np.where(price > fuel, high, low), 0.0)
        best = min(
            best,
            float((load - output) @ price + fuel * output.sum())
            + start_usd * len(starts)
            + run_usd * on[1:].sum(),
        )
    unit = Unit(
        "gen",
        np.full(N, low),
        np.full(N, high),
        start_usd=start_usd,
        usd_per_h=run_usd,
        fuel_pieces=((inf, fuel),),
        fuel_usd_per_gal=1.0,
        min_up_h=2.0,
        min_down_h=2.0,
    )
    found = optimise(horizon(), load, [unit], [paid("each", (Block(inf, price),))], method="highs", gap=1e-10)
    assert found.objective_usd == pytest.approx(best, abs=1e-6)
