"""Deferral value against cash flows written out year by year."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.streams.grid.grid_case import timeline
from valuestack.errors import InputError
from valuestack.streams.grid.deferral import deferral, present_value_usd

T = timeline(24 * 10)
FEEDER = 800.0 + 200.0 * (T.hour == 17)


def test_growth_overload_and_the_years_that_a_resource_carries() -> None:
    # 1000 kW grows 2 % a year; rating 1000: over from year 1. 1.02^5 = 1.104: 104 kW in year 5, 126 kW in year 6.
    d = deferral(
        T,
        FEEDER,
        rating_kw=1000.0,
        growth_frac_per_y=0.02,
        resource_kw=110.0,
        resource_kwh=400.0,
        cost_usd=1_000_000.0,
        discount_frac=0.08,
    )
    assert (d.due_y, d.deferred_until_y) == (1, 6)
    assert d.years[5].overload_kw == pytest.approx(1000 * 1.02**5 - 1000)
    assert d.years[5].overload_hours == 10.0 and d.years[5].worst_day_kwh == pytest.approx(
        d.years[5].overload_kw
    )
    assert d.usd == pytest.approx(1e6 * (1.08**-1 - 1.08**-6))
    level = sum(d.usd_per_kw_y * 110 * 1.08**-y for y in range(1, 6))
    assert level == pytest.approx(d.usd)
    assert (
        d.rows()[0][-1] == "no upgrade needed"
        and d.rows()[3][-1] == "carried"
        and d.rows()[6][-1] == "upgrade due"
    )


def test_energy_may_be_what_runs_out_first() -> None:
    more = {"rating_kw": 1000.0, "growth_frac_per_y": 0.02, "cost_usd": 1e6, "discount_frac": 0.08}
    broad = 600.0 + 400.0 * ((T.hour >= 14) & (T.hour < 20))
    short = deferral(T, broad, resource_kw=110.0, resource_kwh=250.0, **more)
    long = deferral(T, broad, resource_kw=110.0, resource_kwh=700.0, **more)
    assert (short.deferred_until_y, long.deferred_until_y) == (3, 6), "6 h x 40.4 kW = 242 kWh in year 2"
    none = deferral(T, broad, resource_kw=0.0, resource_kwh=0.0, **more)
    assert none.usd == 0 and none.usd_per_kw_y == 0


@settings(max_examples=40, deadline=None)
@given(
    a=st.integers(0, 10),
    more=st.integers(0, 10),
    r=st.floats(0.01, 0.2),
    e=st.floats(0, 0.05),
    cost=st.floats(1, 1e7),
)
def test_present_value_is_the_difference_of_two_discounted_payments(
    a: int, more: int, r: float, e: float, cost: float
) -> None:
    by_year = [0.0] * 30
    by_year[a] -= cost * (1 + e) ** a  # what is spared
    by_year[a + more] += cost * (1 + e) ** (a + more)  # what is paid later
    npv = sum(-usd / (1 + r) ** y for y, usd in enumerate(by_year))
    assert present_value_usd(cost, a, a + more, r, e) == pytest.approx(npv, abs=1e-6)


def test_inputs_without_meaning_are_refused_together() -> None:
    with pytest.raises(InputError) as e:
        deferral(
            T,
            np.zeros(3),
            rating_kw=0.0,
            growth_frac_per_y=0.02,
            resource_kw=-1.0,
            resource_kwh=0.0,
            cost_usd=1.0,
            discount_frac=0.08,
            horizon_y=0,
        )
    assert len(e.value.problems) == 4
