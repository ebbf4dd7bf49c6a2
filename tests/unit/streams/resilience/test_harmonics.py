"""IEEE 519: the table's cells, TDD by hand, percentiles by counting."""

from __future__ import annotations

import numpy as np
import pytest

from valuestack.errors import InputError
from valuestack.streams.resilience.harmonics import demand_current_a, order_limit_frac, statistical, verdict


@pytest.mark.parametrize(
    ("ratio", "order", "percent"),
    # IEEE 519 table of current distortion limits, 120 V to 69 kV
    [
        (10, 5, 4.0),
        (19.9, 13, 2.0),
        (20, 5, 7.0),
        (49, 19, 2.5),
        (75, 29, 1.5),
        (500, 35, 1.0),
        (2000, 11, 7.0),
        (2000, 49, 1.4),
        (10, 4, 2.0),  # even, up to the sixth: half
        (10, 8, 4.0),  # even beyond: as the odd ones (2022)
    ],
)
def test_limits_of_single_orders(ratio: float, order: int, percent: float) -> None:
    assert order_limit_frac(order, ratio) == pytest.approx(percent / 100)


def test_total_demand_distortion_is_over_the_demand_current() -> None:
    # 30 A and 40 A are 50 A together; over IL = 1000 A they are 5 %, whatever flows at the moment
    found = verdict({5: 30.0, 7: 40.0}, short_circuit_a=15_000.0, demand_a=1000.0)
    assert found.tdd_frac == pytest.approx(0.05) and found.met
    rows = {r.order: r for r in found.rows}
    assert rows["7"].measured_frac == pytest.approx(0.04) and rows["7"].met, "exactly at its limit"
    assert not verdict({5: 30.0, 7: 40.1}, 15_000.0, 1000.0).met
    assert verdict({5: 30.0, 7: 40.1}, 30_000.0, 1000.0).met, "a stiffer supply allows more"


def test_demand_current() -> None:
    months = [900.0] * 6 + [1100.0] * 6
    assert demand_current_a(months, 480.0, 1.0) == pytest.approx(1000e3 / (3**0.5 * 480))
    with pytest.raises(InputError, match="3 values; give the maximum demand of each of twelve months"):
        demand_current_a([1.0, 2, 3], 480.0, 0.9)


def test_percentiles_by_counting() -> None:
    # a week of 10-minute values: 40 of 1008 (4 %) at 60 A, 20 (2 %) at 90 A, the others at 30 A; IL 1000 A, limit 4 %
    week = np.full((1008, 1), 30.0)
    week[:40], week[40:60] = 60.0, 90.0
    at_99, at_95 = statistical([5], week, "10 min", 15_000.0, 1000.0)
    assert at_99.rows[1].measured_frac == pytest.approx(0.09) and at_99.rows[1].limit_frac == pytest.approx(
        0.06
    )
    assert not at_99.met
    # 95 % of 1008 values: the 958th in order; 948 are at 30 A, so it is one of those at 60 A
    assert at_95.rows[1].measured_frac == pytest.approx(0.06) and not at_95.met
    calm = np.full((2016, 1), 30.0)
    calm[:10] = 500.0
    assert all(v.met for v in statistical([5], calm, "10 min", 15_000.0, 1000.0)), (
        "ten values of a week are 1 %"
    )
    (day,) = statistical([5], np.full((28_800, 1), 79.0), "3 s", 15_000.0, 1000.0)
    assert day.met and day.rows[1].limit_frac == pytest.approx(0.08)
    assert any("not verified" in n for n in day.notes)


def test_the_worst_week_counts() -> None:
    two = np.concatenate((np.full((1008, 1), 10.0), np.full((1008, 1), 50.0)))
    assert not statistical([5], two, "10 min", 15_000.0, 1000.0)[1].met


def test_much_generation_is_another_standards_matter() -> None:
    assert any("IEEE 1547" in n for n in verdict({5: 1.0}, 1e4, 1e3, der_frac=0.2).notes)
    assert not any("IEEE 1547" in n for n in verdict({5: 1.0}, 1e4, 1e3, der_frac=0.1).notes)


def test_bad_input() -> None:
    with pytest.raises(InputError, match="demand_a = 0"):
        verdict({5: 1.0}, 1e4, 0.0)
    with pytest.raises(InputError, match="Isc / IL = -1"):
        verdict({5: 1.0}, -1e3, 1e3)
    with pytest.raises(InputError, match="from 2 on"):
        verdict({1: 100.0}, 1e4, 1e3)
    with pytest.raises(InputError, match="orders 2 to 50"):
        verdict({51: 1.0}, 1e4, 1e3)
    with pytest.raises(InputError, match="-2 A; rms"):
        verdict({5: -2.0}, 1e4, 1e3)
    with pytest.raises(InputError, match="1 columns"):
        statistical([5], np.zeros((3, 2)), "3 s", 1e4, 1e3)
