"""A store that charges or discharges: rows that tell its two ways apart cut no plan, and bring the relaxation near."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import numpy as np
import pytest

from valuestack.flows import Given, Offer, Store
from valuestack.solve.highs import Options, solve_arrays
from valuestack.solve.problem import Arrays, left_to
from valuestack.stack import compile as compiling
from valuestack.stack.compile import Compiled, compile_problem
from valuestack.stack.exclusive import choices
from valuestack.terms import Block, Claim, Limit, Measure, OwnWeights, Payment, Term
from valuestack.timeline import Timeline

SEEDS = range(18)


def drawn(seed: int) -> dict[str, Any]:
    """A small stack in which burning energy pays at times: prices below zero, and a baseline of the plan's own. Stores
    of every kind, claims of every direction, export or none."""
    rng = np.random.default_rng(seed)
    n, h = 20, (0.25, 0.5, 1.0)[seed % 3]
    load = np.maximum(rng.uniform(0, 40) + 20 * rng.normal(size=n), -30.0 * (seed % 4 == 0))
    load[rng.random(n) < 0.15] = 0.0

    def store(name: str, kw: float, kwh: float, kind: int) -> Store:
        more: dict[str, Any] = (
            {"wear_segments": ((0.3, 0.01), (0.7, 0.04))} if kind == 1 else {"wear_usd_per_kwh": 0.02}
        )
        if kind == 2:
            more |= {"loss_frac_per_h": 0.004, "aux_kw": np.full(n, 1.5), "drain_kw": np.full(n, 0.7)}
        if kind == 3:
            more |= {"loss_pieces": ((0.5 * kw, 0.02), (inf, 0.05))}
        high = np.full(n + 1, kwh)
        high[8:11] *= 0.8
        return Store(name, np.full(n, kw), np.full(n, 0.8 * kw), np.full(n + 1, 0.05 * kwh), high, 0.4 * kwh,
                     float(rng.uniform(0.85, 0.99)), float(rng.uniform(0.85, 0.99)), 0.1 * kwh, **more)  # fmt: skip

    offers: list[Offer] = [
        store("battery", float(rng.uniform(30, 100)), float(rng.uniform(40, 90)), seed % 5)
    ]
    if seed % 6 == 5:
        offers.append(store("second", 30.0, 50.0, 0))
    if seed % 3 == 1:
        offers.append(Given("pv", -rng.uniform(0, 70, n), curtailable=True))
    every, price = np.zeros(n, dtype=np.int64), rng.uniform(0.0, 0.3, n)
    price[5:14] -= 0.4
    at = np.arange(n - 5, n - 2)
    own = OwnWeights(np.repeat(at, 2), np.concatenate([[t - 6, t - 12] for t in at]), np.full(6, 0.5))
    terms: list[Term] = [
        Payment("u", "energy", Measure("import"), "each", every, (Block(inf, price),)),
        Payment("u", "flat", Measure("import"), "max", every, (Block(inf, float(rng.uniform(0, 3))),)),
        Payment("p", "event", Measure("net", own=own), "sum", np.where(np.isin(np.arange(n), at), 0, -1),
                (Block(40.0, -float(rng.uniform(0.5, 2))), Block(inf, 0.0))),
        Limit("r", "reserve", Measure("stored", asset="battery"), "each",
              lower=np.where(np.arange(n) % 7 > 3, 0.2, 0.1) * 60.0, priority=0),
    ]  # fmt: skip
    if seed % 4:
        side = ("both", "up", "down")[seed % 4 - 1]
        terms.append(Claim("m", "reg", side, rng.gamma(1, 0.02, n), ("battery",), block_h=1.0,
                           sustain_h=0.5 * (seed % 3), exposure_frac=0.1, throughput_up_frac=0.06,
                           throughput_down_frac=0.05))  # fmt: skip
    horizon = Timeline(start="2018-07-02T00:00", step_h=h, n=n, tz="America/Los_Angeles")
    limit = 50.0 if seed % 4 == 0 else 0.0
    return {"horizon": horizon, "load_kw": load, "offers": offers, "terms": terms, "export_limit_kw": limit}


def compiled(seed: int) -> Compiled:
    everywhere = np.ones(20, dtype=bool)
    return compile_problem(**drawn(seed), exclusive={"battery": everywhere, "second": everywhere})


def least(a: Arrays, *, whole: bool = True) -> float:
    a = a if whole else replace(a, integer=np.zeros_like(a.integer))
    x = solve_arrays(a, Options(gap=1e-9))
    return float(a.cost @ x) + a.offset


@pytest.mark.parametrize("seed", SEEDS)
def test_no_plan_costs_more_and_the_relaxation_no_less(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    a = compiled(seed).problem.arrays()
    monkeypatch.setattr(compiling, "sharpen", lambda *_: None)
    monkeypatch.setattr(compiling, "cap_discharge", lambda *_: None)
    plain = compiled(seed).problem.arrays()
    best = least(plain)
    assert least(a) == pytest.approx(best, abs=1e-6 * (1 + abs(best)))
    below, sharper = least(plain, whole=False), least(a, whole=False)
    assert below - 1e-7 * (1 + abs(best)) <= sharper <= best + 1e-7 * (1 + abs(best))


@pytest.mark.parametrize("seed", SEEDS)
def test_every_corner_of_the_plans_keeps_the_rows(seed: int) -> None:
    """Plans that are nearly best for random costs, found without the rows, keep them all."""
    c = compiled(seed)
    a = c.problem.arrays()
    told = np.zeros(a.row_lower.size, dtype=bool)
    for block in c.problem.rows:
        told[block.first : block.first + block.n] = " while " in block.name
    assert told.any()
    loose = replace(
        a, row_lower=np.where(told, -inf, a.row_lower), row_upper=np.where(told, inf, a.row_upper)
    )
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(told.size), np.diff(a.start))
    for _ in range(2):
        x = solve_arrays(
            replace(loose, cost=np.where(np.isfinite(a.upper), rng.normal(size=a.cost.size), 1.0)),
            Options(gap=1e-2),
        )
        stands = np.bincount(of, a.value * x[a.index], told.size)
        assert (stands[told] <= a.row_upper[told] + 1e-5).all()


def test_much_of_what_a_relaxation_gains_by_burning_is_taken_from_it() -> None:
    gained, lost = 0.0, 0.0
    for seed in (1, 5, 6, 10, 14, 17):
        a = compiled(seed).problem.arrays()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(compiling, "sharpen", lambda *_: None)
            patch.setattr(compiling, "cap_discharge", lambda *_: None)
            plain = compiled(seed).problem.arrays()
        best, below = least(plain), least(plain, whole=False)
        gained, lost = gained + least(a, whole=False) - below, lost + best - below
    assert lost > 5.0
    assert gained >= 0.6 * lost


def test_choices_name_the_intervals_of_their_columns() -> None:
    c = compiled(3)
    part = c.parts["battery"]
    cols, at = choices(c.problem, "battery", part)
    rows = next(r for r in c.problem.rows if r.name == "battery.charge or")
    assert part.charge is not None
    for k, (z, t) in enumerate(zip(cols, at)):
        assert {z, part.charge.col[t]} <= set(rows.col[rows.row == k])


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_left_for_some_columns_has_the_same_best(seed: int) -> None:
    a = compiled(seed).problem.arrays()
    a = replace(a, integer=np.zeros_like(a.integer))
    x = solve_arrays(a, Options())
    free = np.random.default_rng(seed).random(x.size) < 0.5
    left, rows, columns = left_to(a, free, x)
    assert columns.tolist() == np.flatnonzero(free).tolist()
    again = x.copy()
    again[columns] = solve_arrays(left, Options())
    usd = float(a.cost @ x) + a.offset
    assert float(left.cost @ again[columns]) + left.offset == pytest.approx(usd, abs=1e-5 * (1 + abs(usd)))
    of = np.repeat(np.arange(a.row_lower.size), np.diff(a.start))
    stands = np.bincount(of, a.value * again[a.index], a.row_lower.size)
    assert (np.maximum(a.row_lower - stands, stands - a.row_upper) <= 1e-5).all()
    assert set(of[free[a.index]]) == set(rows)
