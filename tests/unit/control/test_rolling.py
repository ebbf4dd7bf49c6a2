"""Policies that look ahead or at the clock: none peeks, each compiled loop is the loop, each does what it says."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.unit.control.test_loop import battery, load, month, tariff, world
from valuestack.assets.flexible_load import FlexibleLoad
from valuestack.control import loop
from valuestack.control.aggregator_primary import AggregatorPrimary
from valuestack.control.demand import unwoven, windows_of
from valuestack.control.do_nothing import DoNothing
from valuestack.control.dynamic import Dynamic
from valuestack.control.fixed_threshold import FixedThreshold
from valuestack.control.persistence_mpc import PersistenceMpc
from valuestack.control.policy import Policy, Setting
from valuestack.control.threshold import Threshold
from valuestack.control.tou_schedule import TouSchedule
from valuestack.control.twin import Twin
from valuestack.control.utility_first import UtilityFirst
from valuestack.dispatch import Record
from valuestack.errors import InputError
from valuestack.forecast.forecaster import Forecaster, issued, issuer
from valuestack.forecast.perfect import Perfect
from valuestack.forecast.persistence import Persistence
from valuestack.forecast.similar_day import SimilarDay
from valuestack.stack.value import Flows, worth
from valuestack.terms import Block, Measure, Payment, Term
from valuestack.timeline import Kw, Timeline

AHEAD = {
    "dynamic": lambda: Dynamic(),
    "dynamic, a plan every interval": lambda: Dynamic(plan_every_h=0.0),
    "dynamic, a plan every six hours": lambda: Dynamic(plan_every_h=6.0, replan_frac=0.2),
    "dynamic, few scenarios": lambda: Dynamic(scenarios=3, reach_days=6, cover_frac=0.6),
    "persistence_mpc": lambda: PersistenceMpc(),
    "tou_schedule": lambda: TouSchedule(),
    "utility_first": lambda: UtilityFirst(),
    "utility_first, near": lambda: UtilityFirst(horizon_h=12.0, ahead_h=20.0, scenarios=4, reach_days=9),
    "aggregator_primary": lambda: AggregatorPrimary(),
    "aggregator_primary over B": lambda: AggregatorPrimary(rest="dynamic"),
}


def woven(timeline: Timeline) -> list[Term]:
    """Peak and part-peak of each month in one payment, beside a flat charge: windows woven together."""
    period = timeline.month_id - timeline.month_id[0]
    peak = (timeline.hour >= 16) & (timeline.hour < 20) & (timeline.weekday < 5)
    part = (timeline.hour >= 9) & (timeline.hour < 16)
    window = np.where(peak, 2 * period, np.where(part, 2 * period + 1, -1))
    usd = np.array([18.0, 4.0] * (int(period[-1]) + 1))
    return [
        *tariff(timeline)[:2],
        Payment("u", "periods", Measure("import"), "max", window, (Block(inf, usd),)),
    ]


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 100_000),
    days=st.integers(2, 6),
    ratchet=st.booleans(),
    cap=st.sampled_from([inf, 260.0]),
    idle=st.sampled_from([0.0, 1.0]),
    which=st.sampled_from(list(AHEAD)),
    periods=st.booleans(),
)
def test_compiled_loop_is_the_loop(
    seed: int, days: int, ratchet: bool, cap: float, idle: float, which: str, periods: bool
) -> None:
    same(seed, days, ratchet, cap, idle, which, periods)


@pytest.mark.slow
def test_compiled_loop_is_the_loop_over_many_months() -> None:
    rng = np.random.default_rng(5)
    for i in range(50):
        days = 366 if i == 0 else int(rng.integers(9, 25))
        which = list(AHEAD)[i % 5]
        same(
            int(rng.integers(1e6)), days, i % 3 == 0, inf if i % 2 else 280.0, 0.5 * (i % 4), which, i % 5 < 3
        )


def same(seed: int, days: int, ratchet: bool, cap: float, idle: float, which: str, periods: bool) -> None:
    timeline = month(days, "2019-02-25T00:00")  # over a month's end and the clocks going forward
    kw, asset = load(timeline, seed), battery(idle_kw=idle)
    terms = woven(timeline) if periods else tariff(timeline, ratchet=ratchet)

    def run(compiled: bool) -> tuple[Kw, Kw]:
        record = loop.run(
            world(timeline, kw), [asset], AHEAD[which](), terms, import_limit_kw=cap, compiled=compiled
        )
        return record.net_kw, record.stored_kwh["battery"]

    for a, b in zip(run(True), run(False), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)


@pytest.mark.parametrize("which", ["utility_first", "utility_first, near", "aggregator_primary over B"])
def test_who_is_called_by_nobody_runs_compiled_to_the_last_bit(which: str) -> None:
    timeline = month(12, "2019-02-25T00:00")
    kw, asset, terms = load(timeline, 3), battery(idle_kw=0.5), tariff(timeline, ratchet=True)
    a, b = (
        loop.run(
            world(timeline, kw), [asset], AHEAD[which](), terms, import_limit_kw=260.0, compiled=compiled
        )
        for compiled in (True, False)
    )
    assert np.array_equal(a.net_kw, b.net_kw) and np.ptp(a.asset_kw["battery"]) > 1.0


@pytest.mark.parametrize("compiled", [True, False])
def test_a_is_b_where_there_is_nothing_beyond_the_tariff(compiled: bool) -> None:
    """So that in simulated futures the run of one is that of both, see `on_tariff`."""
    timeline, more = month(12, "2019-02-25T00:00"), {"scenarios": 7, "replan_frac": 0.2}
    kw, asset, terms = load(timeline, 3), battery(idle_kw=0.5), tariff(timeline, ratchet=True)
    a, b = UtilityFirst(ahead_h=40.0, levels=(1.0,), **more), Dynamic(**more)
    assert a.on_tariff == b.on_tariff != Dynamic().on_tariff and hash(a.on_tariff) == hash(b.on_tariff)
    nets = [
        loop.run(world(timeline, kw), [asset], p, terms, import_limit_kw=260.0, compiled=compiled).net_kw
        for p in (a, b)
    ]
    assert np.array_equal(*nets) and np.ptp(nets[0] - kw) > 1.0


def test_an_upper_limit_of_a_contract_is_left_to_the_loop() -> None:
    timeline = month(4, "2019-02-25T00:00")
    limited = AggregatorPrimary({"name": "c", "streams": ["x"], "dispatch": {"soc_max_frac": 0.5}})
    kw, asset, terms = load(timeline, 3), battery(), tariff(timeline)
    a, b = (
        loop.run(world(timeline, kw), [asset], p, terms).stored_kwh["battery"]
        for p in (limited, AggregatorPrimary())
    )
    assert np.max(a[4:]) < np.max(b[4:])


FORECASTERS: list[Forecaster] = [Persistence(), Persistence(days=1), SimilarDay()]
POLICIES: list[Any] = [DoNothing, Threshold, TouSchedule, PersistenceMpc, Dynamic]


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("forecaster", FORECASTERS, ids=["last week", "yesterday", "similar_day"])
def test_the_future_never_reaches_the_past_of_a_plan(forecaster: Forecaster, compiled: bool) -> None:
    peeks(Dynamic(forecaster), compiled)


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("make", POLICIES, ids=lambda p: str(p.kind))
def test_the_future_never_reaches_the_past(make: Any, compiled: bool) -> None:
    peeks(make(), compiled)


def peeks(policy: Policy, compiled: bool) -> None:
    timeline = month(9)
    kw, cut = load(timeline, 7), 96 * 6 + 30
    other = kw.copy()
    other[cut:] = 10 * np.arange(timeline.n - cut)
    one = loop.run(world(timeline, kw), [battery()], policy, woven(timeline), compiled=compiled)
    two = loop.run(world(timeline, other), [battery()], policy, woven(timeline), compiled=compiled)
    assert np.array_equal(one.asset_kw["battery"][:cut], two.asset_kw["battery"][:cut])
    if not isinstance(policy, (DoNothing, TouSchedule)):
        assert not np.array_equal(one.asset_kw["battery"], two.asset_kw["battery"])


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), first=st.integers(0, 96 * 9), n=st.sampled_from([4, 96, 192]))
def test_one_after_the_other_is_predict_to_the_bit(seed: int, first: int, n: int) -> None:
    timeline = month(45, "2019-02-10T00:00")
    kw = load(timeline, seed)
    for method in FORECASTERS:
        work = issuer(method, timeline, n)
        rows = issued(method, kw[: 96 * 33], timeline, n)
        for k in (first, first + 1, 96 * 20 + first, 96 * 33 - 1):
            m = min(n, timeline.n - k - 1)
            answer = work.issue(kw[: k + 1])
            assert np.array_equal(answer, rows[k], equal_nan=True)
            assert np.array_equal(answer[:m], method.predict(kw[: k + 1], timeline, m)) or n != m


def demand_usd(net_kw: Kw, terms: list[Term]) -> float:
    """What the windows' peaks cost."""
    total = 0.0
    for t in terms[1:]:
        assert isinstance(t, Payment)
        for w in range(t.windows):
            usd = np.broadcast_to(np.asarray(t.blocks[0].usd_per_unit, dtype=float), t.windows)
            total += float(usd[w]) * net_kw[t.window == w].max()
    return total


def test_foresight_keeps_nearly_all_and_its_errors_cost() -> None:
    timeline = month(40, "2019-05-01T00:00")
    kw = load(timeline, 3)
    terms = woven(timeline)

    def usd(policy: Policy) -> float:
        return demand_usd(np.asarray(loop.run(world(timeline, kw), [battery()], policy, terms).net_kw), terms)

    idle = usd(DoNothing())
    true = usd(Dynamic(Perfect(kw), scenarios=0))
    honest = usd(Dynamic())
    assert true < honest < idle
    assert idle - honest > 0.4 * (idle - true)


def test_errors_are_scaled_as_asked() -> None:
    timeline = month(30)
    kw = load(timeline, 1)
    k, own = 96 * 20 + 5, SimilarDay()
    plain = own.predict(kw[:k], timeline, 96)
    for scale in (0.5, 1.0, 2.0):
        made = Perfect(kw, own, scale)
        wanted = kw[k : k + 96] + scale * (plain - kw[k : k + 96])
        np.testing.assert_allclose(made.predict(kw[:k], timeline, 96), wanted)
        np.testing.assert_allclose(issued(made, kw, timeline, 96)[k - 1], wanted)
    assert np.array_equal(Perfect(kw).predict(kw[:k], timeline, 96), kw[k : k + 96])
    with pytest.raises(InputError, match="needs a forecaster"):
        Perfect(kw, None, 1.0)


def test_periods_of_one_charge_get_rows_of_their_own() -> None:
    timeline = month(70, "2019-05-01T00:00")
    before = windows_of(woven(timeline), timeline)
    after = unwoven(before)
    assert before.window.shape[0] == 2 and after.window.shape[0] == 3
    for row in after.window:
        numbers = row[row >= 0]
        assert (np.diff(numbers) >= 0).all() and len(set(numbers.tolist())) == 3
    for w in range(after.price_usd_per_kw.size):
        np.testing.assert_array_equal((before.window == w).any(axis=0), (after.window == w).any(axis=0))


def test_the_clock_sells_dear_and_buys_cheap_within_the_load() -> None:
    timeline = month(20)
    kw = np.full(timeline.n, 60.0)
    record = loop.run(world(timeline, kw), [battery()], TouSchedule(), tariff(timeline))
    power, dear = record.asset_kw["battery"], (timeline.hour >= 14) & (timeline.hour < 19)
    assert (power[dear] <= 0).all() and (power[~dear] >= 0).all()
    assert power[dear].sum() < -1000 and record.net_kw.min() >= -1e-9
    flat = [t for t in tariff(timeline) if isinstance(t, Payment) and t.name != "energy"]
    still = loop.run(world(timeline, kw), [battery()], TouSchedule(), flat)
    assert not np.asarray(still.asset_kw["battery"]).any()


def test_without_telemetry_it_plans_on_the_forecast_and_says_why() -> None:
    timeline = month(6)
    kw = load(timeline, 2)
    policy = Dynamic()
    record = loop.run(world(timeline, kw), [battery()], policy, tariff(timeline), telemetry=False)
    assert np.isfinite(record.net_kw).all()
    twin = Twin(world(timeline, kw), [battery()])
    policy.prepare(Setting(timeline, [battery()], tariff(timeline)))
    plan = policy.decide(twin.read())
    assert any("24 h" in s for s in plan.why) and any("peak so far" in s for s in plan.why)


def _between(planned: tuple[float, float], load_kw: float, cap_kw: float) -> float:
    """What the last plan (setpoint, net load) asks for under a peak of cap_kw, for a load that came."""
    from valuestack.control.dynamic_kernel import between

    policy, timeline = Dynamic(), month(2)
    policy.prepare(Setting(timeline, [battery()], tariff(timeline)))
    public = policy._make_public(Twin(world(timeline, load(timeline, 0)), [battery()]).stores[0])
    known = policy._lane().known
    k = 10
    known.peak[:], known.planned[:] = cap_kw, cap_kw
    known.since[0], known.plan[:, 2] = k - 2, planned
    return float(between(k, load_kw, 60.0, 60.0, inf, public, known))


@settings(deadline=None)
@given(
    planned=st.floats(-60, 60),
    was=st.floats(0, 200),
    load_kw=st.floats(0, 260),
    slack=st.floats(0, 50),
    bound=st.booleans(),
)
def test_between_plans_a_peak_is_held_and_all_else_goes_as_planned(
    planned: float, was: float, load_kw: float, slack: float, bound: bool
) -> None:
    assume(was + planned >= 0)  # no peak is below zero
    cap = was + planned + (0.0 if bound else slack + 1.0)
    wish = _between((planned, was + planned), load_kw, cap)
    assert -60 <= wish <= 60
    assert load_kw + wish <= max(cap, load_kw - 60.0) + 1e-9  # what power can hold is held
    if not bound and load_kw + planned <= cap:
        assert wish == pytest.approx(planned)
    if bound and planned <= 0:
        assert wish <= 0  # a load that came lower is no reason to fill
        assert wish >= min(0.0, cap - load_kw) - 1e-9  # and none to give more than the peak asks for
    if bound and planned > 0:
        assert load_kw + wish == pytest.approx(max(min(cap, load_kw + 60.0), load_kw - 60.0))


def test_a_plan_every_hour_keeps_what_a_plan_every_interval_keeps() -> None:
    """In the mean of months of spikes and noise no more than 2 % of the saving is lost."""
    timeline = month(40, "2019-05-01T00:00")
    terms, kept = woven(timeline), []
    for seed in range(6):
        kw = load(timeline, seed)
        idle, every, hourly = (
            demand_usd(np.asarray(loop.run(world(timeline, kw), [battery()], p, terms).net_kw), terms)
            for p in (DoNothing(), Dynamic(plan_every_h=0.0), Dynamic())
        )
        kept.append((idle - hourly) / (idle - every))
    assert float(np.mean(kept)) >= 0.98


def test_a_plan_that_goes_on_says_so() -> None:
    timeline = month(2)
    policy = Dynamic(Perfect(load(timeline, 2)), scenarios=0)
    policy.prepare(Setting(timeline, [battery()], tariff(timeline)))
    twin = Twin(world(timeline, load(timeline, 2)), [battery()])
    first = policy.decide(twin.read())
    twin.apply(dict(first.setpoints_kw))
    assert any("the plan of 00:00 goes on" in s for s in policy.decide(twin.read()).why)


def test_two_stores_and_bad_options_are_refused_in_words() -> None:
    with pytest.raises(InputError, match=r"horizon_h = 0.*\n.*cover_frac = 2"):
        Dynamic(horizon_h=0, cover_frac=2.0)
    timeline = month(3)
    two = [battery(), battery().model_copy(update={"name": "second"})]
    with pytest.raises(InputError, match="takes one store; the site has battery, second"):
        loop.run(world(timeline, load(timeline, 1)), two, PersistenceMpc(), tariff(timeline))


def test_more_than_one_store_is_planned_as_a_whole() -> None:
    """B takes a second store along: both move, and the bill is lower than with the larger alone."""
    timeline, one = month(10), battery()
    second = one.model_copy(update={"name": "second", "power_kw": one.power_kw / 2})
    terms, w = tariff(timeline), world(timeline, load(timeline, 1))
    with_one = loop.run(w, [one], Dynamic(), terms)
    with_two = loop.run(w, [one, second], Dynamic(), terms)
    assert all(np.ptp(with_two.asset_kw[name]) > 1 for name in ("battery", "second"))

    def usd(record: Record) -> float:
        flows = Flows(timeline, np.asarray(record.net_kw))
        return sum(worth(flows, terms).usd.values())

    assert usd(with_two) < usd(with_one)


def test_a_short_horizon_is_as_exact_as_a_long_one() -> None:
    """Room for a longer walk must not be read: the last day's plans cost what a walk with room of its own costs."""
    from valuestack.solve.store_dp_kernel import Walk, horizon, scratch_of

    rng = np.random.default_rng(4)
    for n in (1, 7, 95):
        load, price = 100 + 40 * rng.random(n), 0.1 + 0.1 * rng.random(n)
        zero, full = np.zeros(n), np.full(n, 1e9)
        kw, low, high = np.full(n, 30.0), np.zeros(n + 1), np.full(n + 1, 60.0)
        walk = Walk(
            *(0.25, load, price, zero, kw, kw, 0.94, 0.94, 0.0, 500.0, full, zero, low, high, zero),
            *(30.0, 0.0, 60.0, 0.15, 1e-9),
        )
        found = []
        for room in (n, n + 1, 200):
            best = np.zeros(n)
            scratch = scratch_of(room)
            for row in scratch:
                row[:] = 7  # what another walk left behind
            asked = (walk, np.zeros((1, n), dtype=np.int64), np.array([110.0]), np.array([20.0]), 1e-9)
            found.append(horizon(*asked, scratch, np.zeros(n), np.zeros(n), best)[1])
        assert np.ptp(found) <= 1e-9 * abs(found[0])


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 100_000),
    days=st.integers(20, 70),
    cap=st.sampled_from([inf, 260.0]),
    idle=st.sampled_from([0.0, 1.0]),
    limit=st.sampled_from([None, 150.0]),
)
def test_fixed_threshold_compiled_is_the_loop_and_never_peeks(
    seed: int, days: int, cap: float, idle: float, limit: float | None
) -> None:
    timeline = month(days, "2019-01-15T00:00")
    kw, asset = load(timeline, seed), battery(idle_kw=idle)
    lanes = np.stack((kw, 0.9 * kw))

    def run(values: Kw, compiled: bool) -> Any:
        return loop.run(
            world(timeline, values), [asset], FixedThreshold(limit), tariff(timeline), import_limit_kw=cap,
            compiled=compiled,
        )  # fmt: skip

    for a, b in zip(run(lanes, True).net_kw, run(lanes, False).net_kw, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)
    cut = timeline.n // 2 + 5
    torn = kw.copy()
    torn[cut:] = 5.0
    assert np.array_equal(run(kw, True).net_kw[:cut], run(torn, True).net_kw[:cut])


def test_fixed_threshold_holds_what_last_month_could_have_held() -> None:
    from valuestack.control.fixed_threshold_kernel import holdable_kw

    kw = np.tile(np.concatenate((np.full(8, 100.0), np.full(4, 200.0), np.full(84, 100.0))), 3)
    store = np.array([80.0, 80.0, 60.0, 1.0, 1.0])  # 60 kWh carry 60 kW through an hour's spike
    assert holdable_kw(kw, store, 0.25) == pytest.approx(140.0, abs=80 / 4000)
    with pytest.raises(InputError, match=r"limit_kw(.|\n)*margin_frac"):
        FixedThreshold(-1.0, margin_frac=2.0)


@pytest.mark.parametrize("make", [TouSchedule, FixedThreshold])
def test_rules_do_in_lanes_what_they_do_alone(make: Any) -> None:
    """To the bit, in more lanes than run side by side, and in a number that leaves some over."""
    timeline = month(40, "2019-02-25T00:00")
    many = np.stack([load(timeline, seed) * (1.0 + 0.03 * seed) for seed in range(6)])
    asset, terms = battery(idle_kw=0.5), tariff(timeline)

    def run(kw: Kw) -> Any:
        return loop.run(world(timeline, kw), [asset], make(), terms, import_limit_kw=280.0)

    together = run(many)
    for i, kw in enumerate(many):
        alone = run(kw)
        assert np.array_equal(together.net_kw[i], alone.net_kw) and np.ptp(alone.net_kw - kw) > 1.0
        assert np.array_equal(together.stored_kwh["battery"][i], alone.stored_kwh["battery"])


def test_what_several_lanes_leave_at_rest_is_said() -> None:
    """Beyond one store B plans one lane at a time; run with more it says what it did not move."""
    timeline = month(2)
    one = load(timeline, 1)
    notes: list[str] = []
    process = FlexibleLoad(name="drying", shed_kw=20.0, source="test")
    w = world(timeline, np.stack((one, one + 5.0)))
    record = loop.run(w, [battery(), process], Dynamic(), tariff(timeline), notes=notes)
    assert np.ptp(record.asset_kw["drying"]) == 0
    assert [n for n in notes if "drying: left at rest" in n]
    alone: list[str] = []
    loop.run(world(timeline, one), [battery(), process], Dynamic(), tariff(timeline), notes=alone)
    assert not [n for n in alone if "left at rest" in n]
