"""The programme of one store against an LP written down by itself, its cuts against the truth, and its answers."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from tests.unit.solve_dp.instances import by_lp, problem, shorter
from valuestack.errors import InfeasibleError, SolverError
from valuestack.solve.store_dp import (
    StoreProblem,
    StoreSolution,
    _big,
    _coarser,
    _walk,
    billed_usd,
    energy_usd,
    peaks_of,
    plan,
    solve,
    stored_of,
)


def keeps_its_limits(p: StoreProblem, s: StoreSolution) -> None:
    eps = 1e-7 * max(1.0, float(p.high.max()), float(np.abs(p.load).max()))
    assert (s.power <= p.charge + eps).all() and (s.power >= -p.discharge - eps).all()
    np.testing.assert_allclose(stored_of(p, s.power), s.stored, atol=10 * eps)
    assert (s.stored >= p.low[1:] - eps).all() and (s.stored <= p.high[1:] + eps).all()
    assert s.stored[-1] >= p.end_min - eps
    net = p.load + s.power
    assert (net <= p.most_import + eps).all() and (-net <= p.most_export + eps).all()
    usd = energy_usd(p, s.power) + billed_usd(p, peaks_of(p, net)) - p.end_value * s.stored[-1]
    assert usd == pytest.approx(s.upper, rel=1e-9, abs=1e-7), "the cost is that of the dispatch"


def solvable(rng: np.random.Generator, n: int, **shape: bool | int) -> tuple[StoreProblem, float]:
    """The next random problem that has a plan, with its least cost by the LP."""
    while True:
        p = problem(rng, n, **shape)
        try:
            return p, by_lp(p)
        except AssertionError:
            with pytest.raises(InfeasibleError):  # and the programme says so too
                solve(p)


@pytest.mark.parametrize("part", range(8))
def test_random_problems_cost_what_the_lp_says(part: int) -> None:
    rng = np.random.default_rng(100 + part)
    for case in range(25):
        p, judge = solvable(rng, int(rng.integers(8, 72)), stretches=1 + case % 2)
        if case % 5 == 0:
            p = hourly(rng, 4 * int(rng.integers(2, 24)))
            try:
                judge = by_lp(p)
            except AssertionError:
                continue
        s = solve(p)
        keeps_its_limits(p, s)
        scale = max(1.0, abs(judge))
        assert s.upper == pytest.approx(judge, abs=2e-6 * scale), (part, case)
        assert s.lower <= judge + 1e-8 * scale, (part, case, "a bound above the optimum is no bound")


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_400_random_states_of_a_short_horizon(part: int) -> None:
    """Any state of charge, any peaks so far: what a closed loop asks for."""
    rng = np.random.default_rng(200 + part)
    for case in range(50):
        p, judge = solvable(rng, int(rng.integers(8, 100)), plain=True)
        s = plan(p)
        keeps_its_limits(p, s)
        scale = max(1.0, abs(judge))
        assert s.upper == pytest.approx(judge, abs=1e-6 + 1e-8 * scale), (part, case)
        assert s.lower <= judge + 1e-8 * scale, (part, case)


def test_a_cut_lies_below_the_truth_everywhere() -> None:
    """Each stretch's cost by the LP at other caps and energies, overflow priced, is never below the cut."""
    from valuestack.solve.store_dp_kernel import evaluate, scratch_of

    rng = np.random.default_rng(7)
    checked = 0
    while checked < 150:
        n = int(rng.integers(12, 40))
        p = problem(rng, n, stretches=2)
        big, w = _big(p), p.windows
        edges = np.array([0, n // 2, n])
        low, high = peaks_of(p, p.load - p.discharge), peaks_of(p, p.load + p.charge)
        constant, by_start, by_end, by_cap = np.zeros(2), np.zeros(2), np.zeros(2), np.zeros((2, w))
        wrong, _ = evaluate(
            _walk(p, big),
            p.window,
            rng.uniform(low, high),
            edges,
            scratch_of(n),
            np.zeros(n),
            np.zeros(n),
            constant,
            by_start,
            by_end,
            by_cap,
            p.held,
        )
        if wrong >= 0:
            continue
        for m in range(2):
            caps, (s, e) = rng.uniform(low, high), rng.uniform(p.low.max(), p.high.min(), 2)
            part = shorter(p, int(edges[m]), int(edges[m + 1]), float(s), float(e))
            try:
                truth = by_lp(part, caps=caps, big=big)
            except AssertionError:
                continue  # that energy cannot be reached: its cost is infinite
            cut = constant[m] + by_cap[m] @ caps + by_start[m] * s + by_end[m] * e
            assert cut <= truth + 1e-7 * max(1.0, abs(truth))
            checked += 1


def hourly(rng: np.random.Generator, n: int) -> StoreProblem:
    """A random quarter-hourly problem whose prices and windows change by the hour only; half of them may not
    feed in a surplus that comes and goes within the hour."""
    p, four = problem(rng, n), np.arange(n) // 4 * 4
    buy = p.buy[four]
    p = replace(p, h=0.25, buy=buy, sell=np.minimum(p.sell[four], buy), window=p.window[:, four])
    if rng.random() < 0.5:
        return p
    load = np.where(rng.random(n) < 0.4, -0.9, 0.9) * p.charge * rng.random(n)
    return replace(p, load=load, sell=0 * buy, most_export=np.zeros(n), ec=0.6, ed=0.6)


def test_a_cut_of_the_hourly_means_lies_below_the_truth_of_the_quarters() -> None:
    from valuestack.solve.store_dp_kernel import evaluate, scratch_of

    rng = np.random.default_rng(9)
    checked = 0
    while checked < 100:
        n = 4 * int(rng.integers(3, 12))
        p = hourly(rng, n)
        coarse = _coarser(p)
        assert coarse is not None
        big, w = _big(p), p.windows
        low, high = peaks_of(p, p.load - p.discharge), peaks_of(p, p.load + p.charge)
        constant, by_start, by_end, by_cap = np.zeros(1), np.zeros(1), np.zeros(1), np.zeros((1, w))
        edges = np.array([0, n // 4])
        walk, held = _walk(coarse, big), p.held
        power, stored = np.zeros(n // 4), np.zeros(n // 4)
        wrong, _ = evaluate(
            walk,
            coarse.window,
            rng.uniform(low, high),
            edges,
            scratch_of(n // 4),
            power,
            stored,
            constant,
            by_start,
            by_end,
            by_cap,
            held,
        )
        for _ in range(3):
            caps, (s, e) = rng.uniform(low, high), rng.uniform(p.low.max(), p.high.min(), 2)
            try:
                truth = by_lp(shorter(p, 0, n, float(s), float(e)), caps=caps, big=big)
            except AssertionError:
                continue
            assert wrong < 0
            cut = constant[0] + by_cap[0] @ caps + by_start[0] * s + by_end[0] * e
            assert cut <= truth + 1e-7 * max(1.0, abs(truth))
            checked += 1


def test_a_cut_touches_the_truth_where_it_was_made() -> None:
    from valuestack.solve.store_dp_kernel import evaluate, scratch_of

    rng = np.random.default_rng(8)
    for _ in range(40):
        p, _ = solvable(rng, int(rng.integers(8, 60)))
        p = replace(p, end_min=float(p.low[-1]))
        n, big = p.load.size, _big(p)
        caps = rng.uniform(peaks_of(p, p.load - p.discharge), peaks_of(p, p.load + p.charge))
        constant, by_start, by_end, by_cap = np.zeros(1), np.zeros(1), np.zeros(1), np.zeros((1, p.windows))
        power, stored = np.zeros(n), np.zeros(n)
        wrong, usd = evaluate(
            _walk(p, big),
            p.window,
            caps,
            np.array([0, n]),
            scratch_of(n),
            power,
            stored,
            constant,
            by_start,
            by_end,
            by_cap,
            p.held,
        )
        assert wrong < 0
        cap = np.min([np.where(f >= 0, caps[f], inf) for f in p.window], axis=0)
        usd += big * p.h * float(np.maximum(p.load + power - cap, 0.0).sum())
        assert usd == pytest.approx(by_lp(p, caps=caps, big=big), rel=1e-8, abs=1e-6)
        end = (by_end[0] - p.end_value) * stored[-1]
        cut = constant[0] + by_cap[0] @ caps + by_start[0] * p.start + end
        assert cut == pytest.approx(usd, rel=1e-8, abs=1e-6)


def small(**changes: object) -> StoreProblem:
    n = 4
    p = StoreProblem(
        h=1.0,
        load=np.array([1.0, 1.0, 3.0, 1.0]),
        buy=np.full(n, 0.1),
        sell=np.zeros(n),
        charge=np.ones(n),
        discharge=np.ones(n),
        ec=1.0,
        ed=1.0,
        wear=0.0,
        low=np.zeros(n + 1),
        high=np.full(n + 1, 2.0),
        start=0.0,
        end_min=-inf,
        end_value=0.0,
        drain=np.zeros(n),
        most_import=np.full(n, inf),
        most_export=np.zeros(n),
        window=np.zeros((1, n), dtype=np.int64),
        tiers=[((inf, 10.0),)],
        least=np.zeros(1),
        share=np.zeros(1),
        of=[()],
        stretch=np.zeros(n, dtype=np.int64),
    )
    return replace(p, **changes)


def test_by_hand() -> None:
    # 1 kWh charged before the peak of 3 kW brings it to 2 kW: 10 x 2 + 0.1 x 6
    assert solve(small()).upper == pytest.approx(20.6)
    assert plan(small()).upper == pytest.approx(20.6)
    # billed at 2.5 kW anyway: the peak need not fall below
    assert solve(small(least=np.array([2.5]))).upper == pytest.approx(25.6)
    assert plan(small(so_far=np.array([2.5]))).upper == pytest.approx(25.6)
    # no window at all
    none = small(
        window=np.zeros((0, 4), dtype=np.int64), tiers=[], least=np.zeros(0), share=np.zeros(0), of=[]
    )
    assert solve(none).upper == pytest.approx(0.6)
    assert plan(none).upper == pytest.approx(0.6)


def test_a_ratchet_reaches_over_months() -> None:
    # the peak of the first month is billed at 80 % in the second: each kW shaved there counts twice
    two = np.array([[0, 0, 1, 1]])
    p = small(
        load=np.array([1.0, 3.0, 1.0, 1.0]),
        window=two,
        stretch=two[0],
        tiers=[((inf, 10.0),)] * 2,
        least=np.zeros(2),
        share=np.array([0.0, 0.8]),
        of=[(), (0,)],
    )
    assert solve(p).upper == pytest.approx(10 * 2 + 10 * 0.8 * 2 + 0.6)


@pytest.mark.parametrize(
    "changes",
    [
        {"low": np.full(5, 1.5), "high": np.full(5, 1.0)},
        {"end_min": 1.9, "charge": np.full(4, 0.1)},
        {"most_import": np.full(4, 0.5)},
        {"load": np.array([1.0, -5.0, 3.0, 1.0])},
        {"low": np.array([0.0, 2.0, 2.0, 0.0, 0.0])},
    ],
)
def test_what_has_no_plan_is_said(changes: dict[str, object]) -> None:
    for answer in (solve, plan):
        with pytest.raises(InfeasibleError, match="cannot keep"):
            answer(small(**changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"buy": np.full(4, -0.2), "ec": 0.9, "ed": 0.9}, "burning"),
        ({"sell": np.full(4, 0.2), "most_export": np.full(4, 5.0)}, "fed"),
        ({"tiers": [((2.0, 10.0), (inf, 5.0))]}, "ascend"),
        ({"tiers": [((inf, -5.0),)]}, "ascend"),
    ],
)
def test_what_is_not_convex_is_refused(changes: dict[str, object], words: str) -> None:
    for answer in (solve, plan):
        with pytest.raises(SolverError, match=words):
            answer(small(**changes))


def test_a_price_just_below_zero_is_still_convex_with_wear() -> None:
    p = small(buy=np.array([-0.01, 0.1, 0.1, 0.1]), ec=0.9, ed=0.9, wear=0.1)
    assert solve(p).upper == pytest.approx(by_lp(p), abs=2e-6)
    assert plan(p).upper == pytest.approx(by_lp(p), abs=2e-6)


def test_a_short_horizon_with_many_windows_is_solved_all_the_same() -> None:
    rng = np.random.default_rng(11)
    for _ in range(5):
        p, _ = solvable(rng, 72, plain=True)
        w = 12
        many = replace(
            p,
            window=np.arange(72)[None, :] // 6,
            tiers=[((inf, float(x)),) for x in rng.uniform(1, 20, w)],
            least=np.zeros(w),
            share=np.zeros(w),
            of=[()] * w,
            so_far=None,
        )
        judge = by_lp(many)
        assert plan(many).upper == pytest.approx(judge, abs=2e-6 * max(1.0, abs(judge)))
