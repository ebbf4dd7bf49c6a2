"""Forecasters never peek, agree with themselves, and beat the naive one on a load with habits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuestack.dispatch import Series, World
from valuestack.errors import InputError
from valuestack.forecast.forecaster import Believed, Forecaster, day_slots, day_table
from valuestack.forecast.persistence import Persistence
from valuestack.forecast.score import coverage, pinball, score
from valuestack.forecast.similar_day import SimilarDay
from valuestack.timeline import Kw, Timeline

ALL: list[Forecaster] = [Persistence(), Persistence(days=1), SimilarDay()]


def habits(timeline: Timeline, seed: int = 0, noise: float = 15.0) -> Kw:
    rng = np.random.default_rng(seed)
    shape = 100 + 60 * np.clip(np.sin((timeline.hour - 6) / 12 * np.pi), 0, None)
    level = np.repeat(rng.normal(0, 25, timeline.n // 96 + 2), 96)[: timeline.n]
    return shape * np.where(timeline.weekday < 5, 1.0, 0.45) + level + rng.normal(0, noise, timeline.n)


def days(n: int, start: str = "2019-02-20T00:00") -> Timeline:
    return Timeline(start=start, step_h=0.25, n=96 * n, tz="America/New_York")


@pytest.mark.parametrize("forecaster", ALL, ids=lambda f: f"{f.kind}")
def test_future_never_changes_a_forecast(forecaster: Forecaster) -> None:
    timeline = days(60)
    load = habits(timeline)
    for k in (0, 1, 40, 96, 500, 96 * 30 + 17):
        honest = forecaster.predict(load[:k], timeline, 96)
        assert honest.shape == (96,) and np.isfinite(honest).all()
        assert np.array_equal(honest, forecaster.predict(load[:k].copy(), timeline, 96))


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), first=st.integers(0, 96 * 40))
def test_rolling_equals_predict_and_reads_no_future(seed: int, first: int) -> None:
    timeline = days(45)
    load = habits(timeline, seed)
    rows = SimilarDay().rolling(load[: first + 30], timeline, 96, first=first)
    disturbed = load[: first + 30].copy()
    disturbed[first + 10 :] = 1e6
    other = SimilarDay().rolling(disturbed, timeline, 96, first=first)
    assert np.array_equal(rows[:11], other[:11])
    for j in (0, 7, 30):
        np.testing.assert_allclose(
            rows[j], SimilarDay().predict(load[: first + j], timeline, 96), rtol=0, atol=1e-9
        )


def test_a_load_without_any_error_is_forecast_as_it_was() -> None:
    timeline = days(45)
    load = 200.0 + 50.0 * ((timeline.hour >= 9) & (timeline.hour < 17))
    np.testing.assert_allclose(SimilarDay().predict(load[: 96 * 40], timeline, 96), load[96 * 40 : 96 * 41])


@pytest.mark.parametrize("lag_days", (1, 7))
@pytest.mark.parametrize("n", (24, 30, 200))
def test_all_rows_of_persistence_equal_one_by_one(lag_days: int, n: int) -> None:
    timeline = Timeline(start="2018-01-01T00:00", step_h=1.0, n=500, tz="Etc/GMT+8")
    x, one = np.random.default_rng(n).normal(size=500), Persistence(lag_days)
    for first, total in ((0, 0), (0, 5), (1, 400), (10, 10), (30, 500), (200, 205), (499, 500)):
        rows = one.rolling(x[:total], timeline, n, first=first)
        for k in range(first, total + 1):
            m = min(n, timeline.n - k)
            assert np.array_equal(rows[k - first, :m], one.predict(x[:k], timeline, m))
            assert np.isnan(rows[k - first, m:]).all()


@pytest.mark.slow
def test_similar_day_beats_persistence_and_correction_helps() -> None:
    timeline = days(150)
    load = habits(timeline, seed=3)
    issued = range(96 * 100, 96 * 140, 7)

    def rated(forecaster: Forecaster) -> float:
        rows = np.array([forecaster.predict(load[:k], timeline, 96) for k in issued])
        return score(rows, np.array([load[k : k + 96] for k in issued])).nmae_frac

    naive, alike, plain = rated(Persistence()), rated(SimilarDay()), rated(SimilarDay(decay=0.0, share=0.0))
    assert alike < 0.85 * naive
    assert alike < plain


def test_first_day_holds_the_last_value() -> None:
    timeline = days(3)
    assert SimilarDay().predict(np.zeros(0), timeline, 4).tolist() == [0.0] * 4
    assert SimilarDay().predict(np.array([5.0, 7.0]), timeline, 3).tolist() == [7.0] * 3


def test_holidays_are_free_days() -> None:
    timeline = days(40)
    load = np.where(timeline.weekday < 5, 100.0, 10.0)
    k = 96 * 33  # a Monday
    assert timeline.weekday[k] == 0
    holiday = (int(timeline.day[k]),)
    assert SimilarDay(share=0.0, decay=0.0).predict(load[:k], timeline, 96).mean() == pytest.approx(100.0)
    assert SimilarDay(share=0.0, decay=0.0, holidays=holiday).predict(load[:k], timeline, 96).mean() < 50


def test_what_an_error_says_is_learnt_for_each_hour_and_class_of_day() -> None:
    """A day's level shows in the morning by a third of what it is in the afternoon, on working days alone."""
    timeline = days(120)
    rng = np.random.default_rng(5)
    level = np.repeat(rng.normal(0, 20, 120), 96)
    hour, free = timeline.hour, timeline.weekday >= 5
    grows = np.select([hour < 6, hour < 12, hour < 18], [0.0, 1.0, 3.0], 0.0) * ~free
    load = 200.0 + level * grows + rng.normal(0, 0.5, timeline.n)
    at = 96 * np.arange(60, 119) + 40  # ten o'clock
    missed = {}
    for name, method in (("own", SimilarDay()), ("blind", SimilarDay(pooled_days=1e9, other_frac=1.0))):
        rows = method.rolling(load, timeline, 96)[at]
        missed[name] = np.abs(rows - load[at[:, None] + np.arange(96)])
    noon = slice(10, 28)
    assert missed["own"][:, noon].mean() < 0.8 * missed["blind"][:, noon].mean()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_weights_are_those_of_a_regression_on_all_rows_at_once(seed: int) -> None:
    from valuestack.forecast.similar_day import _gains, _means, _spans
    from valuestack.forecast.similar_day_kernel import learn, weigh

    rng, timeline, n, method = np.random.default_rng(seed), days(16), 8, SimilarDay()
    values, base = rng.normal(size=timeline.n), np.full(timeline.n, 0.0)
    values[rng.integers(0, timeline.n, 5)] = np.nan
    spans = _spans(0.25)
    means = _means(values - base, spans)
    day, hour, free = method._clock(timeline)
    tuning, plain = method._tuning(0.25), method._plain(n, 0.25, spans.size)
    gains, out = _gains(spans.size, n), np.empty((spans.size, n))
    starts = np.flatnonzero(np.diff(day)) + 1
    for k in starts:
        learn(gains, values, base, means, hour, free, int(k), tuning)
    last = int(starts[-1])
    at, kind = int(rng.integers(24)), int(rng.integers(2))
    weigh(gains, at, kind, tuning, plain, out)

    rows = np.array([r for r in range(tuning.begin, last - n + 1) if np.isfinite(values[r : r + n]).all()])
    learnt_at = np.array([starts[starts >= r + n][0] for r in rows])
    fade = tuning.keep ** (day[last] - day[learnt_at])
    weight = np.where(hour[rows] == at, np.where(free[rows] == kind, 1.0, tuning.other), 0.0) * fade
    weight += tuning.pooled * fade / fade.sum()
    x, y = means[rows - 1], values[rows[:, None] + np.arange(n)]
    gram = (x * weight[:, None]).T @ x
    gram += tuning.ridge * np.trace(gram) / spans.size * np.eye(spans.size)
    fitted = np.linalg.solve(gram, (x * weight[:, None]).T @ y)
    np.testing.assert_allclose(out, tuning.share * fitted + (1 - tuning.share) * plain, atol=1e-9)


def test_belief_reads_what_is_public_and_forecasts_the_rest() -> None:
    timeline = days(20)
    load, price = habits(timeline), np.arange(timeline.n, dtype=float)
    world = World(
        timeline,
        {
            "load_kw": Series("load_kw", load, "kW", lead_h=-0.25),
            "calendar": Series("calendar", price, "", lead_h=None),
            "price": Series("price", price, "$/kWh", lead_h=24.0),
        },
    )
    belief = Believed(world, {"load_kw": Persistence(), "price": Persistence(days=1)})
    k = 96 * 10
    assert np.array_equal(belief.series("calendar", first=k, n=200, as_of=k), price[k : k + 200])
    ahead = belief.series("price", first=k, n=200, as_of=k)
    assert np.array_equal(ahead[:97], price[k : k + 97]), "a day ahead is published"
    assert not np.array_equal(ahead[97:], price[k + 97 : k + 200])
    assert np.array_equal(belief.series("load_kw", first=k, n=96, as_of=k), load[k - 672 : k - 576])
    assert np.array_equal(belief.series("load_kw", first=k - 4, n=4, as_of=k), load[k - 4 : k])
    with pytest.raises(InputError, match="has no forecaster"):
        Believed(world, {}).series("load_kw", first=k, n=2, as_of=k)


def test_scores_by_hand() -> None:
    s = score(np.array([[1.0, 3.0], [np.nan, 4.0]]), np.array([[2.0, 2.0], [5.0, 2.0]]))
    assert s.mean_kw == 2.0 and s.nmae_frac == pytest.approx((1 + 1 + 2) / 3 / 2)
    assert s.bias_frac == pytest.approx((-1 + 1 + 2) / 3 / 2)
    assert pinball(np.array([[1.0, 3.0]]), np.array([0.9]), np.array([2.0, 2.0])) == pytest.approx(
        (0.9 + 0.1) / 2
    )
    assert coverage(np.zeros(4), np.ones(4), np.array([-1.0, 0.5, 1.0, 2.0])) == 0.5


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    step_h=st.sampled_from((0.25, 1.0)),
    same=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    n=st.integers(2, 40),
)
def test_bases_are_the_weighted_means_that_they_are_said_to_be(
    seed: int, step_h: float, same: tuple[int, int], n: int
) -> None:
    """To the last bit, over days of 23 and 25 hours and with values missing."""
    rng = np.random.default_rng(seed)
    timeline = Timeline("2019-02-25T05:00", step_h=step_h, n=round(24 * n / step_h), tz="America/New_York")
    values = rng.normal(100.0, 30.0, timeline.n)
    values[rng.random(timeline.n) < 0.2] = np.nan
    method = SimilarDay(same_weekday=same[0], same_class=same[1])
    found = method._bases(values, timeline, timeline.n, 2)
    day, slot, slots = day_slots(timeline)
    table = day_table(values, day, slot, slots, int(day[-1]) + 1)
    working, weekday = method._kinds(timeline)
    for lag in (1, 2):
        for d in range(int(day[-1]) + 1):
            last = d - lag + 1
            here = np.flatnonzero(day == d)
            expected = np.full(here.size, np.nan)
            if last > 0:
                alike = np.flatnonzero(weekday[:last] == weekday[d])[-same[0] :]
                of_class = np.flatnonzero(working[:last] == working[d])[-same[1] :]
                rows, weight = (
                    np.append(alike, of_class),
                    np.repeat((1.0, method.class_weight), (alike.size, of_class.size)),
                )
                if rows.size == 0:
                    rows, weight = np.arange(max(0, last - 3), last), np.ones(min(3, last))
                there = np.isfinite(table[rows])
                mass = (there * weight[:, None]).sum(axis=0)
                total = (np.where(there, table[rows], 0.0) * weight[:, None]).sum(axis=0)
                expected = np.where(mass > 0, total / np.where(mass > 0, mass, 1.0), np.nan)[slot[here]]
                for t in np.flatnonzero(~np.isfinite(expected[1:])) + 1:
                    expected[t] = expected[t - 1]
            assert np.array_equal(found[lag - 1, here], expected, equal_nan=True)
