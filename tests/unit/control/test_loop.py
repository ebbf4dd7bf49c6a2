"""One loop: policies that cannot peek, a guard that cannot be passed, a compiled loop that is the loop."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuestack.assets.battery import Battery
from valuestack.control import loop
from valuestack.control.do_nothing import DoNothing
from valuestack.control.guard import guard_for, reachable_floor
from valuestack.control.policy import Policy, Setting
from valuestack.control.threshold import Threshold, windows_of
from valuestack.control.twin import NoForecast, Twin
from valuestack.dispatch import Plan, Series, View, World
from valuestack.errors import DataError, InputError
from valuestack.flows import Given, Store
from valuestack.terms import Block, Floor, Measure, Payment, Term
from valuestack.timeline import Kw, Timeline


def month(days: int = 10, start: str = "2019-03-05T00:00") -> Timeline:
    return Timeline(start=start, step_h=0.25, n=96 * days, tz="America/New_York")


def load(timeline: Timeline, seed: int) -> Kw:
    rng = np.random.default_rng(seed)
    return (
        100
        + 80 * ((timeline.hour >= 8) & (timeline.hour < 18))
        + 120 * (rng.random(timeline.n) < 0.08)
        + rng.normal(0, 6, timeline.n)
    )


def world(timeline: Timeline, kw: Kw) -> World:
    return World(timeline, {"load_kw": Series("load_kw", kw, "kW", -0.25)})


def tariff(timeline: Timeline, *, ratchet: bool = False) -> list[Term]:
    dear = (timeline.hour >= 14) & (timeline.hour < 19)
    period = timeline.month_id - timeline.month_id[0]
    floors = (
        Floor(0, least=150.0),
        *(Floor(m, share=0.8, of_windows=tuple(range(m))) for m in range(1, int(period[-1]) + 1)),
    )
    return [
        Payment(
            "u",
            "energy",
            Measure("import"),
            "each",
            np.zeros(timeline.n, dtype=np.int64),
            (Block(inf, 0.1 + 0.1 * dear),),
        ),
        Payment(
            "u",
            "flat",
            Measure("import"),
            "max",
            period,
            (Block(inf, 20.0),),
            floors=floors if ratchet else (),
        ),
        Payment("u", "timed", Measure("import"), "max", np.where(dear, period, -1), (Block(inf, 10.0),)),
    ]


def battery(**more: float) -> Battery:
    return Battery(**{"power_kw": 80, "energy_kwh": 160, "round_trip_efficiency_frac": 0.88, **more})  # type: ignore[arg-type]


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 100_000),
    days=st.integers(2, 9),
    ratchet=st.booleans(),
    relearn=st.sampled_from([1, 7]),
    cap=st.sampled_from([inf, 260.0]),
    idle=st.sampled_from([0.0, 1.0]),
)
def test_compiled_loop_is_the_loop(
    seed: int, days: int, ratchet: bool, relearn: int, cap: float, idle: float
) -> None:
    timeline = month(days, "2019-03-27T00:00")
    kw, asset = load(timeline, seed), battery(idle_kw=idle)
    terms = tariff(timeline, ratchet=ratchet)

    def run(compiled: bool) -> tuple[Kw, Kw]:
        policy = Threshold(days=3, min_days=1, relearn_days=relearn)
        record = loop.run(world(timeline, kw), [asset], policy, terms, import_limit_kw=cap, compiled=compiled)
        return record.net_kw, record.stored_kwh["battery"]

    for a, b in zip(run(True), run(False), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "policy", [DoNothing(), Threshold(days=3, min_days=1)], ids=["do_nothing", "threshold"]
)
@pytest.mark.parametrize("compiled", [True, False])
def test_the_future_never_reaches_the_past(policy: Policy, compiled: bool) -> None:
    timeline = month(8)
    kw, cut = load(timeline, 7), 96 * 5 + 30
    other = kw.copy()
    other[cut:] = 10 * np.arange(timeline.n - cut)
    one = loop.run(world(timeline, kw), [battery()], policy, tariff(timeline), compiled=compiled)
    two = loop.run(world(timeline, other), [battery()], policy, tariff(timeline), compiled=compiled)
    assert np.array_equal(one.asset_kw["battery"][:cut], two.asset_kw["battery"][:cut])


def test_threshold_lowers_the_peak_of_a_load_with_habits() -> None:
    timeline = month(60, "2019-02-01T00:00")
    kw = load(timeline, 3)
    record = loop.run(world(timeline, kw), [battery()], Threshold(), tariff(timeline))
    later = timeline.month_id > timeline.month_id[0]
    assert record.net_kw[later].max() < 0.93 * kw[later].max()
    assert (record.net_kw >= -1e-9).all(), "nothing may be fed in"


def test_do_nothing_does_nothing_in_every_lane() -> None:
    timeline = month(2)
    kw = np.stack([load(timeline, s) for s in range(3)])
    record = loop.run(world(timeline, kw), [battery()], DoNothing())
    assert np.array_equal(record.net_kw, kw) and record.stored_kwh["battery"].shape == (3, timeline.n)


class Garbage:
    """A policy that asks for anything at all."""

    kind = "garbage"

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def prepare(self, setting: Setting) -> None:
        """Nothing."""

    def decide(self, view: View) -> Plan:
        """Numbers that are none, or are absurd."""
        return Plan({"battery": self.rng.choice([np.nan, inf, -inf, 1e9, -1e9, 0.0, 30.0, -30.0])})


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 100_000), reserve=st.floats(0.0, 0.8), rise=st.integers(10, 150))
def test_no_garbage_passes_the_guard(seed: int, reserve: float, rise: int) -> None:
    timeline = month(2)
    kw, asset = load(timeline, seed), battery(soc_start_frac=0.5, idle_kw=2.0)
    floor = np.where(np.arange(timeline.n + 1) >= rise, reserve * 160.0, 0.0)
    viable = asset.start_kwh >= reachable_floor(floor, 80, np.sqrt(0.88), 0.25, 8.0)[0]
    record = loop.run(
        world(timeline, kw), [asset], Garbage(seed), import_limit_kw=450.0, reserve_kwh={"battery": floor}
    )
    assert (record.net_kw >= -1e-6).all() and (record.net_kw <= 450 + 1e-6).all()
    if viable:
        assert (record.stored_kwh["battery"] >= floor[1:] - 1e-6).all()


def test_from_a_start_that_cannot_hold_the_reserve_it_restores_at_full_power() -> None:
    timeline = month(1)
    asset = battery(soc_start_frac=0.1)
    floor = np.full(timeline.n + 1, 120.0)
    notes: list[str] = []
    record = loop.run(
        world(timeline, np.full(96, 50.0)), [asset], DoNothing(), reserve_kwh={"battery": floor}, notes=notes
    )
    assert notes[0].startswith(
        "battery is 104.0 kWh below what its reserve asks for at 2019-03-05T00:00:00-05:00"
    )
    assert "after 1.4 h" in notes[0] and "changed setpoints" in notes[1]
    gain = 80 * np.sqrt(0.88)
    steps = int((120 - 16) // (gain * 0.25))
    assert record.asset_kw["battery"][:steps] == pytest.approx(80.0)
    store = Store(
        "battery",
        np.full(96, 80.0),
        np.full(96, 80.0),
        np.full(97, 8.0),
        np.full(97, 160.0),
        16.0,
        float(np.sqrt(0.88)),
        0.9,
    )
    guard = guard_for([store], 96, 0.25, inf, 0.0, {"battery": floor})
    assert guard.hours_to_floor("battery", 0, 16.0) == pytest.approx((120 - 16) / gain)
    assert guard.hours_to_floor("battery", 0, 130.0) == 0.0


def test_rising_floor_is_walked_back() -> None:
    floor = reachable_floor(np.array([0.0, 0, 0, 50, 0]), 10.0, 1.0, 1.0, 5.0)
    assert floor.tolist() == [20.0, 30.0, 40.0, 50.0, 5.0]


def test_a_rule_has_no_forecast_and_bad_options_are_named() -> None:
    with pytest.raises(DataError, match="no forecast of load_kw"):
        NoForecast().series("load_kw", first=0, n=1, as_of=0)
    with pytest.raises(InputError, match=r"days = 0"):
        Threshold(days=0)


def test_without_telemetry_the_policy_sees_the_interval_before() -> None:
    timeline = month(1)
    twin = Twin(world(timeline, np.arange(96.0)), [battery()], telemetry=False)
    twin.apply({})
    twin.apply({})
    assert twin.read().now["base_kw"].tolist() == [1.0]


def test_compiled_loop_says_the_same_of_a_reserve_and_runs_every_lane() -> None:
    timeline = month(9)
    kw = np.stack([load(timeline, s) for s in range(3)])
    floor = np.where(np.arange(timeline.n + 1) >= 400, 140.0, 0.0)
    told: list[list[str]] = [[], []]
    runs = [
        loop.run(
            world(timeline, kw),
            [battery(soc_start_frac=0.1)],
            Threshold(),
            tariff(timeline),
            compiled=c,
            reserve_kwh={"battery": floor},
            notes=told[i],
        )
        for i, c in enumerate((True, False))
    ]
    assert np.array_equal(runs[0].net_kw, runs[1].net_kw) and runs[0].net_kw.shape == kw.shape
    assert np.array_equal(runs[0].stored_kwh["battery"], runs[1].stored_kwh["battery"])
    assert (runs[0].stored_kwh["battery"][:, 400:] >= 140 - 1e-6).all()
    single = loop.run(
        world(timeline, kw[1]),
        [battery(soc_start_frac=0.1)],
        Threshold(),
        tariff(timeline),
        reserve_kwh={"battery": floor},
    )
    assert np.array_equal(single.net_kw, runs[0].net_kw[1])
    assert not any("below what its reserve" in x for x in told[0] + told[1])


@pytest.mark.slow
def test_a_year_of_both_loops_is_one() -> None:
    """A whole year by quarter-hours, with everything: ratchet, three families, idle draw, import limit, clocks."""
    timeline = Timeline(start="2019-01-01T00:00", step_h=0.25, n=35040, tz="America/New_York")
    kw = load(timeline, 11) * (1 + 0.3 * np.sin(timeline.month / 6 * np.pi))
    shoulder = np.where((timeline.hour >= 10) & (timeline.weekday < 5), timeline.month - 1, -1)
    terms = [*tariff(timeline, ratchet=True),
             Payment("u", "shoulder", Measure("import"), "max", shoulder, (Block(inf, 4.0),))]  # fmt: skip
    made = [
        loop.run(
            world(timeline, kw), [battery(idle_kw=0.7)], Threshold(), terms, import_limit_kw=300.0, compiled=c
        )
        for c in (True, False)
    ]
    assert np.array_equal(made[0].net_kw, made[1].net_kw)
    assert np.array_equal(made[0].stored_kwh["battery"], made[1].stored_kwh["battery"])


def test_energy_only_tariff_is_traded_and_both_loops_agree() -> None:
    timeline = month(6)
    kw = load(timeline, 5)
    energy = tariff(timeline)[:1]
    made = [
        loop.run(world(timeline, kw), [battery()], Threshold(), energy, compiled=c) for c in (True, False)
    ]
    assert np.array_equal(made[0].net_kw, made[1].net_kw)
    price = 0.1 + 0.1 * ((timeline.hour >= 14) & (timeline.hour < 19))
    before, after = price @ kw * 0.25, price @ made[0].net_kw * 0.25
    delivered = (160 - 8) * np.sqrt(0.88)
    a_day = 0.2 * delivered - 0.1 * delivered / 0.88
    stock = (160 - 84) / np.sqrt(0.88) * 0.1  # filled from the middle of its window, and full at the end
    assert before - after == pytest.approx(6 * a_day - stock, abs=0.01), "a full swing each day"
    assert (made[0].net_kw >= -1e-9).all()


def test_two_stores_share_the_work() -> None:
    timeline = month(40, "2019-02-01T00:00")
    kw = load(timeline, 2)
    two = [battery(name="a", power_kw=50, energy_kwh=100), battery(name="b", power_kw=30, energy_kwh=60)]
    one = loop.run(world(timeline, kw), [battery()], Threshold(), tariff(timeline))
    both = loop.run(world(timeline, kw), two, Threshold(), tariff(timeline))
    later = timeline.month_id > timeline.month_id[0]
    assert both.net_kw[later].max() < 1.05 * one.net_kw[later].max()
    assert both.net_kw == pytest.approx(kw + both.asset_kw["a"] + both.asset_kw["b"])


class Sun:
    """Generation that is given, and may be cut."""

    kind, name = "sun", "sun"

    def __init__(self, kw: Kw, curtailable: bool) -> None:
        self.kw, self.curtailable = kw, curtailable

    def initial_state(self) -> None:
        """Nothing."""

    def belief(self, view: View) -> Given:
        """All of it."""
        return Given(self.name, -self.kw[view.k : view.k + view.n], curtailable=self.curtailable)


@pytest.mark.parametrize("compiled", [True, False])
def test_what_may_not_flow_out_is_cut_after_the_store_took_its_part(compiled: bool) -> None:
    timeline = month(3)
    kw = load(timeline, 1)
    sun = 400.0 * ((timeline.hour >= 10) & (timeline.hour < 15))
    record = loop.run(
        world(timeline, kw), [Sun(sun, True), battery(soc_start_frac=0.1)], Threshold(), tariff(timeline),
        export_limit_kw=20.0, compiled=compiled,
    )  # fmt: skip
    assert record.net_kw.min() == pytest.approx(-20.0)
    total = kw + record.asset_kw["sun"] + record.asset_kw["battery"]
    assert record.net_kw == pytest.approx(total) and (record.asset_kw["sun"] <= 1e-9).all()
    assert record.asset_kw["battery"][sun > 0].max() == pytest.approx(80.0), "surplus is stored first"
    free = loop.run(world(timeline, kw), [Sun(sun, False)], DoNothing(), export_limit_kw=20.0)
    assert free.net_kw.min() < -100, "what cannot be cut flows"


def test_it_gives_way_early_rather_than_lose_all() -> None:
    """Days of 300 kW for two hours teach a level of 220 kW (160 kWh over 2 h). Then they come with 340 kW: held
    hard, the store is empty after 80 minutes and 340 kW are billed; the best possible is 260 kW."""
    timeline = month(20, "2019-04-01T00:00")
    high = np.where(timeline.day - timeline.day[0] >= 14, 340.0, 300.0)
    at = (timeline.weekday < 5) & (timeline.hour >= 13) & (timeline.hour < 15)
    weeks = (timeline.day - timeline.day[0]) // 7
    terms: list[Term] = [Payment("u", "flat", Measure("import"), "max", weeks, (Block(inf, 20.0),))]
    asset = battery(power_kw=160.0, round_trip_efficiency_frac=1.0, soc_start_frac=1.0, soc_min_frac=0.0)
    record = loop.run(world(timeline, np.where(at, high, 100.0)), [asset], Threshold(), terms)
    first, second, third = (record.net_kw[weeks == w].max() for w in range(3))
    assert first == 300.0, "on the first day nothing is known"
    assert second == pytest.approx(220.0, abs=0.5)
    assert 260.0 - 1e-6 <= third < 275.0


def test_what_is_free_is_not_defended() -> None:
    timeline = month(10, "2019-03-01T00:00")
    window = np.where((timeline.hour >= 8) & (timeline.hour < 18), 0, 1)
    priced = Payment("u", "d", Measure("import"), "max", window, (Block(inf, np.array([10.0, 0.0])),))
    found = windows_of([priced], timeline)
    assert set(np.unique(found.window)) == {-1, 0} and found.price_usd_per_kw.tolist() == [10.0, 0.0]
    assert (found.ahead[0][:864] == 0).all() and found.ahead[0][-1] == -1
    assert found.slots[0, 0, 32:72].all() and not found.slots[0, 0, :32].any() and not found.slots[1].any()


def test_a_reserve_that_cannot_be_is_refused_by_name() -> None:
    timeline = month(1)
    for reserve, says in (
        ({"nobody": np.zeros(97)}, "no such store; there is battery"),
        ({"battery": np.zeros(96)}, "give 97 energies"),
        ({"battery": np.full(97, 500.0)}, "more than it can hold"),
        ({"battery": np.full(97, np.nan)}, "not a number"),
    ):
        with pytest.raises(InputError, match=says):
            loop.run(world(timeline, np.full(96, 50.0)), [battery()], DoNothing(), reserve_kwh=reserve)


def test_late_telemetry_costs_but_stays_within_the_limits() -> None:
    timeline = month(40, "2019-02-01T00:00")
    kw = load(timeline, 4)
    late = loop.run(world(timeline, kw), [battery()], Threshold(), tariff(timeline), telemetry=False)
    prompt = loop.run(world(timeline, kw), [battery()], Threshold(), tariff(timeline))
    assert (late.net_kw >= -1e-9).all()
    assert not np.array_equal(late.net_kw, prompt.net_kw)
    later = timeline.month_id > timeline.month_id[0]
    assert prompt.net_kw[later].max() <= late.net_kw[later].max() + 1e-9
