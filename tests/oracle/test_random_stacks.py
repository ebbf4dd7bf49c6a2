"""Two hundred small stacks, solved by hand: every pattern of switches enumerated, each a problem for
GLPK. A store, a unit, an award, tiers, a peak and limits meet in each, and in half of them an event that is paid
below a baseline of the plan's own; the compiler and HiGHS must agree to 1e-6.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from math import inf

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.oracle.glpk import Row, least_of
from valuestack.flows import Store, Unit
from valuestack.stack.optimise import optimise
from valuestack.terms import Block, Claim, Limit, Measure, OwnWeights, Payment, Term
from valuestack.timeline import Timeline

Floats = NDArray[np.float64]
N = 3
EC, ED, WEAR, POWER, ENERGY = 0.94, 0.9, 0.012, 40.0, 90.0
IMPORT_KW = 300.0


@dataclass
class Drawn:
    """Numbers of one stack."""

    load: Floats
    price: Floats
    kw_usd: float
    tiers: tuple[float, float, float]  # bound, first, second price
    start_kwh: float
    reserve_kwh: float
    reserve_usd: float | None
    throughput_kwh: float
    unit: tuple[float, float, float, float, float]  # least, most, start, hour, fuel
    starts: float
    side: str
    award_usd: Floats
    award: tuple[float, float]  # least, most
    sustain_h: float
    exposure: float
    called: tuple[float, float]  # up, down
    event: tuple[float, float]  # USD per kWh below the mean of the hours before, and up to how many


def draw(seed: int) -> Drawn:
    rng = np.random.default_rng(seed)
    up, down = rng.uniform(0, 0.2, 2)
    side = str(rng.choice(["up", "down", "both"]))
    return Drawn(
        load=rng.uniform(60, 140, N),
        price=rng.uniform(0.05, 0.4, N),
        kw_usd=float(rng.uniform(0, 2)),
        tiers=(float(rng.uniform(120, 330)), float(rng.uniform(0.02, 0.3)), float(rng.uniform(0.02, 0.3))),
        start_kwh=float(rng.uniform(31, 70)),
        reserve_kwh=float(rng.uniform(0, 30)),
        reserve_usd=float(rng.uniform(0.01, 0.5)) if rng.random() < 0.5 else None,
        throughput_kwh=float(rng.uniform(5, 80)),
        unit=(float(rng.uniform(5, 20)), float(rng.uniform(25, 45)), float(rng.uniform(0, 6)),
              float(rng.uniform(0, 2)), float(rng.uniform(0.1, 0.35))),
        starts=float(rng.choice([1.0, 2.0])),
        side=side,
        award_usd=rng.uniform(0.0, 0.12, N),
        award=(float(rng.uniform(3, 15)), float(rng.uniform(20, 60))),
        sustain_h=float(rng.uniform(0, 1)),
        exposure=float(rng.uniform(0, 0.3)),
        called=(float(up) if side != "down" else 0.0, float(down) if side != "up" else 0.0),
        event=(float(rng.uniform(0.1, 1.2)) if seed % 2 else 0.0, float(rng.uniform(5, 50))),
    )  # fmt: skip


@dataclass
class ByHand:
    """Columns c, d, s, g (N each), short (N), award, peak, q, e; and rows."""

    cost: Floats = field(default_factory=lambda: np.zeros(5 * N + 4))
    rows: list[Row] = field(default_factory=list)

    def row(self, coef: dict[int, float], way: str, to: float) -> None:
        self.rows.append((coef, way, to))

    def least(self) -> float:
        """Least cost with the store either charging or discharging: split where the relaxation does both."""
        usd, x = least_of(self.cost, self.rows)
        both = np.minimum(x[:N], x[N : 2 * N]) if usd < inf else np.zeros(N)
        if both.max() <= 1e-7:
            return usd
        t, kept, best = int(both.argmax()), list(self.rows), inf
        for shut in (t, N + t):
            self.rows = [*kept, ({shut: 1.0}, "<", 0.0)]
            best = min(best, self.least())
        self.rows = kept
        return best


def by_hand(d: Drawn, run: tuple[int, ...], taken: int, piece: int) -> float:
    """Least cost with this pattern of running, the award taken or not, and one affine piece of falling tiers."""
    p = ByHand()
    c, out, s, g, short = (range(i * N, (i + 1) * N) for i in range(5))
    award, peak, q = 5 * N, 5 * N + 1, 5 * N + 2
    least, most, start_usd, hour_usd, fuel = d.unit
    starts = sum(on and not was for was, on in zip((0, *run), run))
    if starts > d.starts:
        return inf
    fixed = starts * start_usd + sum(run) * hour_usd
    up, down = d.called
    p.cost[list(out)], p.cost[list(g)] = WEAR, fuel
    p.cost[award] = WEAR * up * N - float(d.award_usd.sum())
    p.cost[peak] = d.kw_usd
    for t in range(N):
        net = {c[t]: 1.0, out[t]: -1.0, g[t]: -1.0, award: down - up}
        p.cost[list(net)] += d.price[t] * np.array(list(net.values()))
        fixed += d.price[t] * d.load[t]
        p.row(dict(net), ">", -d.load[t])
        p.row(dict(net), "<", IMPORT_KW - d.load[t])
        p.row({**net, award: net[award] + d.exposure, peak: -1.0}, "<", -d.load[t])
        balance = {s[t]: 1.0, c[t]: -EC, out[t]: 1 / ED, award: up / ED - down * EC}
        if t:
            balance[s[t - 1]] = -1.0
        p.row(balance, "=", 0.0 if t else d.start_kwh)
        for col, cap in ((c[t], POWER), (out[t], POWER), (s[t], ENERGY)):
            p.row({col: 1.0}, "<", cap)
        p.row({g[t]: 1.0}, "<", most * run[t])
        p.row({g[t]: 1.0}, ">", least * run[t])
        if d.reserve_usd is None:
            p.row({s[t]: 1.0}, ">", d.reserve_kwh)
        else:
            p.row({s[t]: 1.0, short[t]: 1.0}, ">", d.reserve_kwh)
            p.cost[short[t]] = d.reserve_usd
        _rooms(p, d, t, c, out, s, net, award)
    p.row(dict.fromkeys(out, 1.0), "<", d.throughput_kwh)
    p.row({s[N - 1]: 1.0}, ">", d.start_kwh * 0.5)
    bound, first, second = d.tiers
    total = {
        **dict.fromkeys(c, 1.0),
        **dict.fromkeys(out, -1.0),
        **dict.fromkeys(g, -1.0),
        award: N * (down - up),
    }
    if second >= first:  # rising: q holds what lies beyond the bound
        p.row({**{k: -v for k, v in total.items()}, q: 1.0}, ">", float(d.load.sum()) - bound)
        p.cost[q] = second - first
        unit = first
    else:
        unit = second if piece else first
        fixed += (first - second) * bound * piece
    p.cost[list(total)] += unit * np.array(list(total.values()))
    fixed += unit * float(d.load.sum())
    fixed += _event(p, d, c, out, g)
    p.row({award: 1.0}, "<", d.award[1] * taken)
    p.row({award: 1.0}, ">", d.award[0] * taken)
    return p.least() + fixed


def _event(p: ByHand, d: Drawn, c: range, out: range, g: range) -> float:
    """Paid for the last hour below the mean of those before, nothing beyond a greatest reduction: e holds what lies
    beyond. The award is the same in every hour, so what it calls cancels. Returns what the load alone comes to."""
    usd, most = d.event
    if not usd:
        return 0.0
    weight = [1 / (N - 1)] * (N - 1) + [-1.0]
    reduction = {
        col[t]: sign * weight[t] for col, sign in ((c, 1.0), (out, -1.0), (g, -1.0)) for t in range(N)
    }
    alone = float(np.dot(weight, d.load))
    e = 5 * N + 3
    p.cost[list(reduction)] -= usd * np.array(list(reduction.values()))
    p.cost[e] = usd
    p.row({**{k: -v for k, v in reduction.items()}, e: 1.0}, ">", alone - most)
    return -usd * alone


def _rooms(
    p: ByHand, d: Drawn, t: int, c: range, out: range, s: range, net: dict[int, float], award: int
) -> None:
    """Power and energy kept for the award, and room at the meter for its call."""
    before = {s[t - 1]: 1.0} if t else {}
    start = 0.0 if t else d.start_kwh
    if d.side in ("up", "both"):
        p.row({c[t]: 1.0, out[t]: -1.0, award: -1.0}, ">", -POWER)
        kept = d.reserve_kwh if d.reserve_usd is None else 0.0  # a call may not eat a hard reserve
        p.row({s[t]: 1.0, award: -d.sustain_h / ED}, ">", kept)
        p.row({**before, award: -d.sustain_h / ED}, ">", kept - start)
        p.row({**net, award: net[award] - 1.0}, ">", -d.load[t])
    if d.side in ("down", "both"):
        p.row({c[t]: 1.0, out[t]: -1.0, award: 1.0}, "<", POWER)
        p.row({s[t]: 1.0, award: d.sustain_h * EC}, "<", ENERGY)
        p.row({**before, award: d.sustain_h * EC}, "<", ENERGY - start)
        p.row({**net, award: net[award] + 1.0}, "<", IMPORT_KW - d.load[t])


def compiled(d: Drawn) -> float:
    """The same by terms and offers."""
    one = np.zeros(N, dtype=np.int64)
    least, most, start_usd, hour_usd, fuel = d.unit
    store = Store("battery", np.full(N, POWER), np.full(N, POWER), np.zeros(N + 1), np.full(N + 1, ENERGY),
                  d.start_kwh, EC, ED, energy_end_min_kwh=0.5 * d.start_kwh, wear_usd_per_kwh=WEAR)  # fmt: skip
    unit = Unit("gen", np.full(N, least), np.full(N, most), start_usd=start_usd, usd_per_h=hour_usd,
                fuel_pieces=((inf, fuel),), fuel_usd_per_gal=1.0)  # fmt: skip
    bound, first, second = d.tiers
    terms: list[Term] = [
        Payment("utility", "energy", Measure("import"), "each", one, (Block(inf, d.price),)),
        Payment("utility", "demand", Measure("import"), "max", one, (Block(inf, d.kw_usd),)),
        Payment("utility", "tiers", Measure("import"), "sum", one, (Block(bound, first), Block(inf, second))),
        Claim("market", "capacity", d.side, d.award_usd, ("battery",), *d.award, block_h=float(N),  # type: ignore[arg-type]
              sustain_h=d.sustain_h, exposure_frac=d.exposure, throughput_up_frac=d.called[0],
              throughput_down_frac=d.called[1]),
        Limit("resilience", "reserve", Measure("stored", asset="battery"), "each", lower=d.reserve_kwh,
              breach_usd_per_unit=d.reserve_usd, priority=0),
        Limit("warranty", "throughput", Measure("discharge", asset="battery"), "sum", upper=d.throughput_kwh),
        Limit("permit", "starts", Measure("start", asset="gen"), "count", upper=d.starts),
    ]  # fmt: skip
    if d.event[0]:
        before = np.arange(N - 1)
        own = OwnWeights(np.full(N - 1, N - 1), before, np.full(N - 1, 1 / (N - 1)))
        window = np.where(np.arange(N) == N - 1, 0, -1)
        blocks = (Block(d.event[1], -d.event[0]), Block(inf, 0.0))
        terms.append(Payment("programme", "event", Measure("net", own=own), "sum", window, blocks))
    horizon = Timeline(start="2018-05-01T00:00", step_h=1.0, n=N, tz="Etc/GMT+5")
    found = optimise(
        horizon, d.load, [store, unit], terms, method="highs", gap=1e-11, import_limit_kw=IMPORT_KW
    )
    assert found.objective_usd - found.lower_bound_usd == pytest.approx(0.0, abs=1e-6)
    return found.objective_usd


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_two_hundred_stacks_agree_with_enumeration(block: int) -> None:
    for seed in range(20 * block, 20 * block + 20):
        d = draw(seed)
        pieces = (0, 1) if d.tiers[2] < d.tiers[1] else (0,)
        best = min(
            by_hand(d, run, taken, piece)
            for run in product((0, 1), repeat=N)
            for taken in (0, 1)
            for piece in pieces
        )
        assert compiled(d) == pytest.approx(best, abs=1e-6), f"stack {seed}"
