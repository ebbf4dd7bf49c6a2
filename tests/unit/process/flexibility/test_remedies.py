"""Answers to a spike of 45 minutes every four hours: settled, ranked, with their rebound."""

from __future__ import annotations

import numpy as np
import pytest

from valuestack.assets.battery import Battery
from valuestack.assets.flexible_load import FlexibleLoad
from valuestack.errors import InputError
from valuestack.process.audit.spikes import Pattern, find
from valuestack.process.flexibility import RemedyOptions, remedies
from valuestack.process.flexibility.remedies import spikes_of
from valuestack.timeline import Kw, Timeline

DAYS = 31
N = 96 * DAYS
T = Timeline("2021-07-01", 0.25, N, "UTC")
BEFORE = np.arange(N) % 16
SPIKE = (BEFORE >= 4) & (BEFORE < 7)
LOAD = 200.0 + 120.0 * SPIKE
PATTERN = Pattern(4.0, 0.75, 120.0, 1.0, DAYS * 6, DAYS * 6, 1.0)


def settle(net_kw: Kw) -> float:
    """A bill of its own: 20 USD a kW of the month's highest quarter-hour, 0.10 USD a kWh."""
    return 20.0 * float(net_kw.max()) + 0.1 * float(net_kw.sum()) * 0.25


def test_the_spikes_are_found_where_the_pattern_says() -> None:
    found = spikes_of(T, LOAD, PATTERN)
    assert len(found.events) == DAYS * 6
    np.testing.assert_allclose(found.excess_kw, 120.0 * SPIKE)
    np.testing.assert_allclose(found.floor_kw, 200.0)
    noisy = LOAD + np.random.default_rng(0).normal(0, 4, N)
    seen = find(T, noisy)
    assert seen is not None
    again = spikes_of(T, noisy, seen)
    assert again.excess_kw.sum() == pytest.approx(120.0 * SPIKE.sum(), rel=0.1)


def test_answers_are_settled_and_ranked() -> None:
    options = RemedyOptions(machines=3, shift_max_h=1.0, battery_usd_per_kw=900, battery_usd_per_kwh=250)
    battery = Battery(power_kw=1, energy_kwh=1, soc_min_frac=0.1, round_trip_efficiency_frac=0.9)
    found = {r.name: r for r in remedies(T, LOAD, PATTERN, settle, battery=battery, options=options)}
    year = 8760 / T.hours
    # Three machines of 40 kW in turn: the peak falls from 320 to 240, for no capital at all.
    stagger = found["stagger or interlock starts"]
    assert stagger.peak_after_kw == pytest.approx(240) and stagger.rebound_peak_kw == pytest.approx(240)
    assert stagger.saving_usd_per_y == pytest.approx(20 * 80 * year) and stagger.payback_y == 0
    # The same spikes at another hour are the same spikes.
    assert found["shift"].saving_usd_per_y == pytest.approx(0, abs=1e-6) and found["shift"].payback_y is None
    # A battery takes the whole spike and pays for its losses and its refill.
    best = found["battery"]
    refill = (best.rebound_peak_kw - 200) * 0.25
    assert 200 < best.peak_after_kw < 240 and refill > 0
    lost = 0.1 * 120 * 0.75 * 6 * DAYS * (1 / 0.9 - 1)
    assert best.saving_usd_per_y == pytest.approx((20 * (320 - best.peak_after_kw) - lost) * year, rel=0.02)
    assert best.cost_usd == pytest.approx(900 * 120 + 250 * 90 / np.sqrt(0.9) / 0.9, rel=1e-3)
    order = [r.name for r in remedies(T, LOAD, PATTERN, settle, battery=battery, options=options)]
    assert order == ["stagger or interlock starts", "battery", "shift"]
    assert all("scaled to a year" in " ".join(r.assumptions) for r in found.values())


def test_energy_is_kept_by_stagger_and_shift() -> None:
    seen: list[Kw] = []

    def keep(net_kw: Kw) -> float:
        seen.append(net_kw.copy())
        return settle(net_kw)

    remedies(T, LOAD, PATTERN, keep, options=RemedyOptions(machines=4))
    for after in seen:
        assert after.sum() == pytest.approx(LOAD.sum())


def test_a_shift_finds_the_hour_beside_another_peak() -> None:
    """A second load runs when the spike does at noon: two hours on both fit under a lower peak."""
    other = np.where((np.arange(N) % 96 >= 48) & (np.arange(N) % 96 < 60), 100.0, 0.0)
    assert (other[SPIKE] > 0).any()
    found = {r.name: r for r in remedies(T, LOAD + other, PATTERN, settle, options=RemedyOptions())}
    assert found["shift"].peak_after_kw == pytest.approx(320) and found["shift"].saving_usd_per_y > 0
    assert "later" in found["shift"].how or "earlier" in found["shift"].how


def test_a_flexible_load_of_the_site_is_planned_and_labelled_a_bound() -> None:
    from math import inf

    from valuestack.terms import Block, Measure, Payment, Term

    def terms(first: int, n: int) -> list[Term]:
        one = np.zeros(n, dtype=np.int64)
        return [
            Payment("t", "demand", Measure("import"), "max", one, (Block(inf, 20.0),)),
            Payment("t", "energy", Measure("import"), "each", one, (Block(inf, 0.1),)),
        ]

    load = FlexibleLoad(
        name="chiller", shed_kw=50, control_capex_usd=5000, control_om_usd_per_y=100, usd_per_kwh=0.01
    )
    found = {r.name: r for r in remedies(T, LOAD, PATTERN, settle, terms=terms, assets=[load])}
    flex = found["flex chiller"]
    assert flex.peak_after_kw == pytest.approx(270, abs=0.1) and "bound" in flex.label
    assert flex.cost_usd == 5000 and flex.payback_y is not None and flex.payback_y < 1


def test_a_load_without_the_spike_is_refused() -> None:
    with pytest.raises(InputError, match="no such spike"):
        remedies(T, np.full(N, 200.0), PATTERN, settle)
