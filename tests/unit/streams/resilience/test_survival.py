"""Survival against worked numbers, against plain enumeration, and against simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuestack.errors import InputError
from valuestack.streams.resilience.survival import Group, Held, fuel_steps, states, survive

CONSTANT = np.full(24, 100.0)
FIRST = np.array([0])


@pytest.mark.parametrize(
    ("units", "needed", "hours", "expected"),
    # Defaults OA 0.995, FTS 0.0094, MTTF 1100 h of NREL/REopt.jl; figures computed from its equations.
    [
        (1, 1, 24, 0.964),
        (1, 1, 48, 0.944),
        (1, 1, 96, 0.903),
        (2, 1, 48, 0.9968),
        (2, 2, 48, 0.890),
        (3, 2, 48, 0.991),
        (5, 4, 48, 0.972),
    ],
)
def test_worked_numbers(units: int, needed: int, hours: int, expected: float) -> None:
    group = Group("diesel", units, 100.0 / needed)
    found = survive(CONSTANT, [group], step_h=1.0, horizon_h=hours, starts=FIRST).at(hours)
    assert found == pytest.approx(expected, abs=1e-3 if expected < 0.99 else 5e-4)


def test_single_unit_in_closed_form() -> None:
    found = survive(CONSTANT, [Group("g", 1, 100.0)], step_h=1.0, horizon_h=96, starts=FIRST).cumulative[0]
    expected = 0.995 * (1 - 0.0094) * (1 - 1 / 1100) ** np.arange(1, 97)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_battery_alone_carries_what_it_holds() -> None:
    held = Held(100.0, 400.0, np.array([250.0, 90.0]), 1.0, 1.0, 1.0)
    found = survive(CONSTANT, [], step_h=1.0, horizon_h=4, held=held, starts=np.array([0, 5]), bins=400)
    np.testing.assert_allclose(found.cumulative, [[1, 1, 0, 0], [0, 0, 0, 0]], atol=1e-12)


def test_surplus_recharges_the_store() -> None:
    load = np.array([-50.0, 50.0, 50.0])
    held = Held(50.0, 100.0, np.array([50.0]), 1.0, 1.0, 1.0)
    found = survive(load, [], step_h=1.0, horizon_h=3, held=held, starts=FIRST, bins=100)
    np.testing.assert_allclose(found.cumulative[0], [1, 1, 1])


def test_against_simulation() -> None:
    rng = np.random.default_rng(11)
    load = rng.uniform(60, 160, 48)
    groups = [Group("a", 2, 60.0, 0.9, 0.1, 20.0), Group("b", 1, 50.0, 0.8, 0.05, 15.0)]
    held = Held(40.0, 80.0, np.array([60.0]), 0.9, 0.9, 1.0)
    exact = survive(load, groups, step_h=1.0, horizon_h=12, held=held, starts=FIRST, bins=1600).cumulative[0]
    runs, alive = 40_000, np.ones(40_000, dtype=bool)
    units = [rng.binomial(g.count, g.available_frac * (1 - g.start_failure_frac), runs) for g in groups]
    energy = np.full(runs, 60.0)
    for t in range(12):
        units = [rng.binomial(u, 1 - 1 / g.mttf_h) for u, g in zip(units, groups, strict=True)]
        short = load[t] - sum(u * g.kw for u, g in zip(units, groups, strict=True))
        can = np.minimum(40.0, energy * 0.9)
        alive &= (short <= 0) | (can >= short)
        energy = np.where(
            short > 0, energy - short / 0.9, np.minimum(80.0, energy + np.minimum(-short, 40.0) * 0.9)
        )
        assert exact[t] == pytest.approx(alive.mean(), abs=4 * 0.5 / np.sqrt(runs) + 0.004)


@settings(max_examples=30, deadline=None)
@given(
    counts=st.lists(st.integers(0, 3), min_size=1, max_size=3),
    beta=st.floats(0, 0.2),
    step_h=st.sampled_from([0.25, 1.0]),
)
def test_probabilities_sum_to_one_and_more_is_never_worse(
    counts: list[int], beta: float, step_h: float
) -> None:
    groups = [Group(f"g{i}", c, 40.0) for i, c in enumerate(counts)]
    _, start, move = states(groups, step_h, beta)
    assert start.sum() == pytest.approx(1.0) and np.allclose(move.sum(axis=1), 1.0)
    fewer = survive(CONSTANT, groups, step_h=step_h, horizon_h=8, starts=FIRST, common_cause_frac=beta)
    more = survive(
        CONSTANT,
        [*groups, Group("x", 1, 40.0)],
        step_h=step_h,
        horizon_h=8,
        starts=FIRST,
        common_cause_frac=beta,
    )
    assert (np.diff(fewer.cumulative[0]) <= 1e-12).all()
    if beta == 0:
        assert (more.cumulative >= fewer.cumulative - 1e-12).all()


def test_common_cause_takes_the_gain_of_redundancy() -> None:
    pair = [Group("g", 2, 100.0)]
    alone = survive(CONSTANT, pair, step_h=1.0, horizon_h=48, starts=FIRST).at(48)
    shared = survive(CONSTANT, pair, step_h=1.0, horizon_h=48, starts=FIRST, common_cause_frac=0.1).at(48)
    assert shared < alone - 0.003


def test_fuel_ends_it() -> None:
    starts = np.array([0, 3])
    lasts = fuel_steps(
        CONSTANT, starts, 96, step_h=1.0, fuel_gal=100.0, slope_gal_per_kwh=0.08, idle_gal_per_h=2.0
    )
    assert lasts.tolist() == [10, 10], "10 gallons an hour"
    found = survive(
        CONSTANT, [Group("g", 1, 100.0)], step_h=1.0, horizon_h=24, starts=starts, fuel_steps=lasts
    )
    assert found.cumulative[0, 9] > 0 and found.cumulative[0, 10] == 0


def test_bad_input() -> None:
    with pytest.raises(InputError, match="start_failure_frac = 2"):
        Group("g", 1, 10.0, start_failure_frac=2)
    with pytest.raises(InputError, match="shorter than one interval"):
        survive(CONSTANT, [], step_h=1.0, horizon_h=0.1)
    with pytest.raises(InputError, match="1 values for 24 starts"):
        survive(CONSTANT, [], step_h=1.0, horizon_h=2, held=Held(1.0, 1.0, np.zeros(1)))
