"""Futures: the same wherever they are drawn, days kept whole and together, levels as written, rules that fall."""

from __future__ import annotations

import numpy as np
import pytest

from valuestack.errors import InputError
from valuestack.forecast.scenarios import CallFuture, Futures, LoadFuture, PriceFuture, RuleFuture, Scenarios
from valuestack.timeline import Timeline

YEAR = Timeline(start="2018-01-01T00:00", step_h=1.0, n=8760, tz="America/New_York")


def series() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    day = YEAR.day - YEAR.day[0]
    work = YEAR.weekday < 5
    heat = rng.normal(0, 1, int(day[-1]) + 1)[day]
    load = 100 + 80 * work * (YEAR.hour > 7) + 20 * heat + 0.001 * np.arange(YEAR.n)
    return {"load_kw": load, "lmp": 0.03 * np.exp(0.4 * heat), "day_of_data": day.astype(float)}


def still(**more: object) -> Futures:
    return Futures.model_validate({"load": LoadFuture(growth_sd_frac=0.0), **more})


def test_a_future_is_the_same_wherever_it_is_drawn() -> None:
    made = Scenarios(YEAR, series(), Futures(prices={"lmp": PriceFuture()}))
    a = [made.draw(i, seed=7).series["load_kw"] for i in (3, 1, 2)]
    b = Scenarios(YEAR, series(), Futures(prices={"lmp": PriceFuture()})).draw(1, seed=7).series["load_kw"]
    np.testing.assert_array_equal(a[1], b)
    assert not np.array_equal(a[0], a[2]) and not np.array_equal(b, made.draw(1, seed=8).series["load_kw"])


def test_days_are_taken_whole_of_the_same_kind_and_from_near() -> None:
    past = series()
    drawn = Scenarios(YEAR, past, still(near_days=10)).draw(0).series
    source = drawn["day_of_data"].astype(int)
    day = YEAR.day - YEAR.day[0]
    for d in range(int(day[-1]) + 1):
        assert np.unique(source[day == d]).size == 1, "one day of the past for one of the future"
    first = np.searchsorted(day, np.arange(int(day[-1]) + 1))
    weekend = YEAR.weekday[first] >= 5
    assert np.array_equal(weekend[source[first]], weekend)
    apart = np.abs(source[first] - np.arange(first.size))
    # a Wednesday is three days from the nearest weekend
    assert np.minimum(apart, first.size - apart).max() <= 10 + 3


def test_series_of_a_day_stay_together() -> None:
    past = series()
    drawn = Scenarios(YEAR, past, still()).draw(4).series
    at = drawn["day_of_data"].astype(int) * 24 + YEAR.hour
    plain = (
        (YEAR.month != 3) & (YEAR.month != 11) & (drawn["day_of_data"] > 80) & (drawn["day_of_data"] < 290)
    )
    # between the two clock changes one hour later by count; load and price come from the same hour of the past
    np.testing.assert_allclose(drawn["load_kw"][plain], past["load_kw"][at[plain] - 1], rtol=1e-12)
    np.testing.assert_allclose(drawn["lmp"][plain], past["lmp"][at[plain] - 1], rtol=1e-12)


def test_the_mean_of_many_futures_is_the_past() -> None:
    past = series()
    made = Scenarios(YEAR, past, Futures(prices={"lmp": PriceFuture(level_sd_frac=0.2)}))
    many = [made.draw(i) for i in range(120)]
    load = np.mean([f.series["load_kw"].mean() for f in many])
    price = np.array([f.series["lmp"].mean() for f in many])
    assert load == pytest.approx(past["load_kw"].mean(), rel=0.02)
    assert price.mean() == pytest.approx(past["lmp"].mean(), rel=0.06)
    assert 0.1 < price.std() / price.mean() < 0.35


def test_steps_and_growth_move_the_level() -> None:
    past = series()
    up = Scenarios(YEAR, past, Futures(load=LoadFuture(growth_frac=0.5, growth_sd_frac=0.0))).draw(0)
    same = Scenarios(YEAR, past, still()).draw(0)
    np.testing.assert_allclose(up.series["load_kw"], 1.5 * same.series["load_kw"])
    steps = LoadFuture(growth_sd_frac=0.0, step_per_y=5.0, step_frac=0.2, down_frac=0.0)
    assert Scenarios(YEAR, past, Futures(load=steps)).draw(0).drivers["load steps"] > 0


def test_a_market_that_ends_is_worth_nothing_from_then_on() -> None:
    end = RuleFuture(name="market ends", of=("lmp", "regulation"), per_y=1.0, factor=0.0)
    made = Scenarios(YEAR, series(), still(rules=[end]), known={"regulation": False}).draw(2)
    k = made.rules["market ends"]
    assert not made.series["lmp"][k:].any() and (made.series["lmp"][:k] > 0).all()
    with pytest.raises(InputError, match="neither a series nor a stream"):
        Scenarios(YEAR, series(), still(rules=[end]))
    with pytest.raises(InputError, match="no series of this name"):
        Scenarios(YEAR, series(), Futures(prices={"lnp": PriceFuture()}))


def test_rules_fall_as_often_as_they_say() -> None:
    rule = RuleFuture(name="r", of=("lmp",), per_y=0.3)
    made = Scenarios(YEAR, series(), still(rules=[rule]))
    share = np.mean([bool(made.draw(i).rules) for i in range(300)])
    assert 0.22 < share < 0.38


def test_calls_come_as_often_as_written_on_high_days_of_their_months() -> None:
    past = series()
    how = CallFuture(per_y=6.0, hours=3.0, from_h=17.0, months=(6, 7, 8), on="load_kw", top_frac=0.25)
    made = Scenarios(YEAR, past, still(calls={"programme": how}), known={"programme": True})
    many = [made.draw(i, seed=3) for i in range(150)]
    counts = np.array([len(f.calls["programme"]) for f in many])
    assert counts.mean() == pytest.approx(6.0, abs=0.8) and counts.var() == pytest.approx(6.0, rel=0.5)
    f = many[int(counts.argmax())]
    day = YEAR.day - YEAR.day[0]
    first = np.searchsorted(day, np.arange(365))
    peak = np.maximum.reduceat(f.series["load_kw"], first)
    may = np.flatnonzero(np.isin(YEAR.month[first], (6, 7, 8)) & (YEAR.weekday[first] < 5))
    for k, n in f.calls["programme"]:
        assert n == 3 and YEAR.hour[k] == 17 and day[k] in may
        assert (peak[may] > peak[day[k]]).mean() <= 0.25
    assert f.calls == made.draw(f.number, seed=3).calls and f.drivers["calls of programme"] == counts.max()


def test_calls_of_nobody_are_refused_with_who_there_is() -> None:
    wrong = still(calls={"programm": CallFuture(per_y=1, on="lode", months=(13,))})
    with pytest.raises(InputError, match=r"there is programme(.|\n)*no series 'lode'(.|\n)*13 is no month"):
        Scenarios(YEAR, series(), wrong, known={"programme": True, "regulation": False})
