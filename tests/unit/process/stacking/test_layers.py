"""All layers in one plan: sums, laws of sets, programmes that exclude each other, reports of single rooms."""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from math import fsum
from typing import Any

import pytest

import valuestack as vs
from valuestack.errors import InputError
from valuestack.report import page

SPAN = {"first_date": date(2025, 7, 8), "until_date": date(2025, 7, 18)}
BATTERY = {"kind": "battery", "name": "battery", "power_kw": 300.0, "energy_kwh": 600.0}


def written(**more: Any) -> dict[str, Any]:
    """Ten days of the cold store with a battery."""
    base: dict[str, Any] = {
        "name": "store",
        "tz": "America/New_York",
        "state": "FL",
        "as_of": date(2026, 11, 1),
        "meters": [
            {
                "name": "store",
                "data": "pharma-cold-store",
                "tariffs": [{"tariff": "fpl-gsldt-1"}],
                "facts": {"power_factor_frac": 0.92},
            }
        ],
        "assets": [BATTERY],
        "study": SPAN,
    }
    return {**base, **more}


def deal(**more: Any) -> dict[str, Any]:
    return {
        "kind": "bilateral",
        "name": "deal",
        "source": "test",
        "valid_from": date(2020, 1, 1),
        "capacity_kw": 200.0,
        "fixed_usd_per_kw_month": 9.0,
        "firm_kw": 250.0,
        "penalty_usd_per_kwh": 1.0,
        "windows": [{"from_h": 16.0, "to_h": 20.0}],
        "events": [{"start": "2025-07-10T16:00", "hours": 3.0}],
        **more,
    }


HOURLY = {
    "name": "halls",
    "data": "data-centre",
    "tariffs": [{"tariff": "dominion-gs-3"}],
    "facts": {"power_factor_frac": 0.95},
}
OUTAGE = {
    "kind": "outage",
    "name": "outages",
    "damage": "ice-1-medium-large",
    "critical": {"kw": 100.0},
    "starts_every_h": 6.0,
}
RESERVE = {
    "kind": "reserve",
    "name": "reserve",
    "hours": 1.0,
    "critical": {"kw": 200.0},
    "uninterrupted": False,
}


@pytest.fixture(scope="module")
def study() -> Any:
    return vs.study(written(streams=[OUTAGE, RESERVE, deal()]))


def test_sets_shares_and_ledger_agree(study: Any) -> None:
    (stack,) = study.stacks
    assert stack.layers == (1, 2, 3) and len(stack.subsets) == 8
    assert fsum(stack.shares_usd.values()) == pytest.approx(stack.whole.total_usd, abs=1e-6)
    assert fsum(e.usd for e in stack.services if e.layer == 3) == pytest.approx(stack.whole.layer_usd(3))


def test_the_whole_is_at_most_the_singles_and_their_common_cost(study: Any) -> None:
    """Each stream alone could follow the stacked plan: v(N) <= sum v(i) + (k - 1) C."""
    (stack,) = study.stacks
    common = -stack.whole.operation_usd
    most = stack.singles_usd + (len(stack.layers) - 1) * common
    assert stack.whole.total_usd <= most + 0.01 * abs(most)


def test_a_further_stream_never_lowers_the_whole(study: Any) -> None:
    """Where it only offers: an optional deal may be left alone. (A reserve is no offer, it is a duty.)"""
    (stack,) = study.stacks
    for smaller, larger in pairwise([(1,), (1, 3)]):
        a, b = stack.subsets[smaller].total_usd, stack.subsets[larger].total_usd
        assert b >= a - 0.01 * abs(a)


def test_the_reserve_stands_in_every_case_and_is_walked(study: Any) -> None:
    (stack,) = study.stacks
    floor = 200.0 / stack.case.records["store"].timeline.step_h
    assert floor > 0
    report = stack.extra["reserve"]
    assert report.check.starts == stack.case.records["store"].timeline.n and not report.check.breaches
    assert "0 would not have been carried" in report.sentences[0]
    least = 200.0 * 1.0
    for case in (study.realised, study.bound, stack.case):
        stored = case.records["store"].stored_kwh["battery"]
        low = 0.05 * 600.0  # what the battery never gives
        assert float(stored.min()) >= low + least * 0.99, case.name


def test_outages_are_reported_with_what_stacking_costs(study: Any) -> None:
    (stack,) = study.stacks
    report = stack.extra["outages"]
    assert report.avoided.outages_per_y > 0.5 and report.stacking_usd >= -1e-6
    rows = report.tables()["Survival by length of the outage"]
    shares = [r["survived_frac"] for r in rows]
    assert shares == sorted(shares, reverse=True) and 0 <= shares[-1] <= 1
    coarse = (
        vs.study(written(meters=[dict(HOURLY)], streams=[OUTAGE], tz="America/New_York"))
        .stacks[0]
        .extra["outages"]
    )
    rows = coarse.tables()["Survival by length of the outage"]
    assert rows[0]["length_h"] == 1.0, "no outage is shorter than the interval that it is walked in"
    shares = [r["survived_frac"] for r in rows]
    assert shares == sorted(shares, reverse=True)
    text = page.render(study)
    assert "price of stacking in resilience" in text and "would not have been carried" in text


def test_a_programme_that_the_tariff_excludes_is_refused_by_name() -> None:
    plant = {
        "name": "plant",
        "data": "food-plant",
        "tariffs": [{"tariff": "sce-tou-8-cpp-under-2kv-2018"}],
        "facts": {"power_factor_frac": 0.9, "cpp_events": [date(2025, 7, 15)]},
    }
    elrp = {"kind": "demand_response", "name": "elrp", "product": "elrp", "events": []}
    site = written(
        name="plant",
        tz="America/Los_Angeles",
        iso="CAISO",
        state="CA",
        utility="SCE",
        meters=[plant],
        streams=[elrp],
    )
    with pytest.raises(InputError, match=r"may not stand beside critical peak.*drop elrp or tariff of plant"):
        vs.study(site)
    # Where a site asks for the rules of then and now, what these exclude is named and left out, not kept.
    for stack in vs.study({**site, "then": date(2023, 7, 1)}).stacks:
        assert stack.layers == (1,) and "elrp" not in {name for _, name in stack.whole.by_stream}
        assert any("may not stand beside critical peak" in r for r in stack.refused)


def test_three_who_share_more_than_there_is_are_refused() -> None:
    solar = {
        "kind": "pv", "name": "solar", "dc_kw": 50.0, "latitude_deg": 28.0, "longitude_deg": -81.0,
        "yield_kwh_per_kw": [100.0] * 12,
    }  # fmt: skip
    claims = [
        {"kind": "rec", "name": f"rec {k}", "assets": ["solar"], "share_frac": 0.4, "usd_per_mwh": 3.0}
        for k in range(3)
    ]
    with pytest.raises(InputError, match="120% of it is claimed"):
        vs.study(written(assets=[solar], streams=claims))


def test_clauses_that_nothing_acts_on_are_named() -> None:
    contract = {
        "name": "share",
        "streams": ["deal"],
        "revenue": {"owner_frac": 0.7},
        "dispatch": {"max_cycles_per_y": 100.0},
        "telemetry_s": 4.0,
    }
    (stack,) = vs.study(written(streams=[deal()], contracts=[contract])).stacks
    said = [a.what for a in stack.assumptions if "nothing acts on it" in a.what]
    assert len(said) == 1 and "dispatch" in said[0] and "telemetry_s" in said[0] and "revenue" not in said[0]


def test_a_size_that_cannot_hold_the_reserve_is_not_compared() -> None:
    sizes = {"power_kw": [300.0], "energy_kwh": [150.0, 600.0]}
    site = written(streams=[RESERVE], study={**SPAN, "sizes": sizes})
    grid = vs.study(site, sizes=True).sizes
    assert grid is not None
    small, large = grid.bound_usd_per_y[0]
    assert small != small and large == large
