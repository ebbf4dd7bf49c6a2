"""Each clause by the worked number of its source, and by its edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from valuestack.errors import DataError, InputError
from valuestack.streams.retail.bill import Bill, bill
from valuestack.streams.retail.facts import BillFacts
from valuestack.streams.retail.rank import rank_tariffs
from valuestack.streams.retail.tariff import load_tariff
from valuestack.timeline import Timeline

T = Timeline(start="2019-07-01T00:00", step_h=0.25, n=96 * 31, tz="America/Los_Angeles")
FLAT = {"kind": "demand", "name": "all", "months": [0] * 12, "periods": [{"tiers": [{"usd_per_unit": 10.0}]}]}
FREE = {"kind": "fixed", "usd": 0.0}


def of(*items: dict[str, Any], kw: Any = 100.0, kvar: Any = None, t: Timeline = T, **facts: Any) -> Bill:
    tariff = load_tariff({"name": "t", "utility": "u", "source": "s", "verified": True, "items": list(items)})
    history = facts.pop("history", None)
    full = None if kvar is None else np.broadcast_to(np.asarray(kvar, dtype=float), (t.n,))
    return bill(
        tariff,
        t,
        np.broadcast_to(np.asarray(kw, dtype=float), (t.n,)),
        full,
        history=history,
        facts=BillFacts(**facts),
    )


def due(made: Bill, prefix: str) -> float:
    return -sum(e.usd for e in made.ledger if e.item.startswith(prefix))


def load(base: float, *spikes: tuple[int, float]) -> Any:
    kw = np.full(T.n, base)
    for k, value in spikes:
        kw[k] = value
    return kw


def pf(**clause: Any) -> dict[str, Any]:
    return {"kind": "power_factor", "name": "pf", **clause}


def test_orange_and_rockland_worked_example() -> None:
    # oru.com, "Calculating power factor": 1000 kW, 750 kvar -> 416.7 kvar, 166.68 USD
    clause = pf(
        method="excess_kvar", usd_per_unit=0.40, kvar_per_kw=1 / 3, no_charge_from=0.95, round_kvar=0.1
    )
    kvar = np.where(np.arange(T.n) == 5, 750.0, 0.0)
    assert due(of(clause, kw=load(500, (5, 1000)), kvar=kvar), "power_factor") == pytest.approx(
        166.68, abs=1e-9
    )
    assert due(of(clause, kw=1000, kvar=300), "power_factor") == 0.0


def test_floor_scales_the_demand_charge() -> None:
    # 800 kW at 0.80 with a floor of 0.90 is billed as 900 kW
    made = of(FLAT, pf(method="floor", floor_frac=0.90), kw=800, power_factor=0.80)
    assert -made.ledger.total_usd == pytest.approx(9000.0)
    priced = of(FREE, pf(method="floor", floor_frac=0.90, usd_per_unit=10.0), kw=800, kvar=600)
    assert due(priced, "power_factor") == pytest.approx(1000.0)


def test_sixty_two_percent_rule_remembers_the_kw_of_a_year() -> None:
    clause = pf(method="excess_kvar", usd_per_unit=1.0, kvar_per_kw=0.62, measured="maxima", memory_months=11)
    assert due(of(clause, kw=100, kvar=100), "power_factor") == pytest.approx(38.0)
    made = of(clause, kw=100, kvar=100, history={"2018-10": 150.0})
    assert due(made, "power_factor") == pytest.approx(7.0)
    assert any("memory" in a for a in made.assumptions)
    assert due(of(clause, kw=100, kvar=100, history={"2018-07": 150.0}), "power_factor") == pytest.approx(
        38.0
    )


def test_average_factor_per_point_and_maxima() -> None:
    energy = {
        "kind": "energy",
        "weekday": [[0] * 24] * 12,
        "weekend": [[0] * 24] * 12,
        "periods": [{"tiers": [{"usd_per_kwh": 0.1}]}],
    }
    made = of(
        energy,
        pf(method="average", floor_frac=0.90, share_per_point=0.01, applies_to=["energy"]),
        kw=100,
        power_factor=0.80,
    )
    assert due(made, "power_factor") == pytest.approx(0.10 * 0.1 * 100 * 744)
    point = pf(method="per_point", usd_per_unit=0.00005, floor_frac=0.85)
    assert due(of(point, power_factor=0.80), "power_factor") == pytest.approx(0.00005 * 5 * 74400)
    assert due(of(point, power_factor=0.95), "power_factor") == pytest.approx(-0.00005 * 10 * 74400)
    assert due(of(pf(method="max_kvar", usd_per_unit=0.6), kw=10, kvar=-50), "power_factor") == pytest.approx(
        30.0
    )
    assert due(of(pf(method="kva", usd_per_unit=2.0), kw=300, kvar=400), "power_factor") == pytest.approx(
        1000.0
    )


def test_shaving_kw_alone_worsens_the_billed_factor() -> None:
    clause = pf(method="floor", floor_frac=0.9, usd_per_unit=10.0)
    assert (
        due(of(clause, kw=400, kvar=600), "power_factor")
        > due(of(clause, kw=800, kvar=600), "power_factor")
        > 0
    )


def cpp(**more: Any) -> dict[str, Any]:
    return {
        "kind": "critical_peak",
        "adder_usd_per_kwh": 1.37453,
        "window": {"from_h": 14, "to_h": 18},
        **more,
    }


CREDIT = {
    "per": "kW",
    "usd": 11.93,
    "hours": {"from_h": 12, "to_h": 18, "days": "weekdays", "months": [6, 7, 8, 9]},
}


def test_critical_peak_charges_events_and_credits_the_season() -> None:
    # SCE TOU-8 CPP of June 2018: figures of URDB 5b5946fb5457a39e3b26b8f8
    made = of(cpp(credits=[CREDIT]), kw=500, cpp_events=["2019-07-10"])
    assert due(made, "critical_peak/events") == pytest.approx(4 * 500 * 1.37453)
    assert due(made, "critical_peak/demand") == pytest.approx(-500 * 11.93)
    half = of(
        cpp(credits=[CREDIT], capacity_reservation_kw=200, reservation_usd_per_kw_month=3.0),
        kw=500,
        cpp_events=["2019-07-10T16:00"],
    )
    assert due(half, "critical_peak/events") == pytest.approx(2 * 300 * 1.37453)
    assert due(half, "critical_peak/demand") == pytest.approx(-300 * 11.93)
    assert due(half, "critical_peak/capacity") == pytest.approx(600.0)
    pair = of(cpp(), kw=500, cpp_events=[("2019-07-10T10:00", "2019-07-10T10:30")])
    assert due(pair, "critical_peak/events") == pytest.approx(250 * 1.37453)


def test_critical_peak_without_events_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="cpp_events"):
        of(cpp())
    made = of(cpp(max_events=1), cpp_events=[])
    assert made.total_usd == 0 and any("no critical-peak event" in a for a in made.assumptions)
    over = of(cpp(max_events=1, bill_protection_months=12), cpp_events=["2019-07-10", "2019-07-11"])
    assert any("allows 1" in a for a in over.assumptions) and any("protection" in a for a in over.assumptions)


def supply(**more: Any) -> dict[str, Any]:
    return {"kind": "supply", "name": "s", **more}


def test_supply_forms() -> None:
    price = np.where(np.arange(T.n) % 2 == 0, 0.10, 0.02)
    assert due(of(supply(form="fixed", usd_per_kwh=0.05, loss_frac=0.04)), "supply") == pytest.approx(
        0.052 * 74400
    )
    index = of(supply(form="index", adder_usd_per_kwh=0.005), prices=price)
    assert due(index, "supply") == pytest.approx(0.065 * 74400)
    two = Timeline(start="2019-07-01T00:00", step_h=1.0, n=2, tz="America/Los_Angeles")
    block = of(
        supply(form="block", blocks=[{"kw": 100, "usd_per_kwh": 0.05}]),
        t=two,
        kw=[150, 80],
        prices=np.array([0.10, 0.02]),
    )
    assert due(block, "supply") == pytest.approx(14.60)
    band = supply(form="bandwidth", usd_per_kwh=0.05, band_frac=0.1, expected_kwh=[60000.0] * 12)
    flat = np.full(T.n, 0.08)
    assert due(of(band, prices=flat), "supply") == pytest.approx(66000 * 0.05 + 8400 * 0.08)
    low = {**band, "expected_kwh": [100000.0] * 12}
    assert due(of(low, prices=flat), "supply") == pytest.approx(74400 * 0.05 + 15600 * (0.05 - 0.08))
    tag = supply(
        form="fixed", usd_per_kwh=0.0, tags=[{"name": "capacity", "kw": 90, "usd_per_mw_day": 270.0}]
    )
    assert due(of(tag), "supply") == pytest.approx(0.27 * 90 * 31)
    with pytest.raises(DataError, match="prices"):
        of(supply(form="index"))
    with pytest.raises(DataError, match="capacity"):
        of(supply(form="fixed", usd_per_kwh=0.1, tags=[{"name": "capacity", "usd_per_kw_month": 5.0}]))


def test_riders_and_taxes() -> None:
    made = of(
        FLAT,
        {"kind": "rider", "name": "a", "per": "kWh", "usd": 0.00114},
        {"kind": "rider", "name": "b", "per": "share", "share_frac": 0.05, "applies_to": ["demand"]},
        {"kind": "rider", "name": "c", "per": "kW", "usd": 0.5},
        {"kind": "rider", "name": "d", "per": "month", "usd": 7.0},
        {"kind": "tax", "name": "x", "share_frac": 0.10, "exempt": ["rider/d"]},
        {"kind": "tax", "name": "y", "share_frac": 0.01, "applies_to": ["demand"]},
    )
    assert due(made, "rider/a") == pytest.approx(0.00114 * 74400)
    assert due(made, "rider/b") == pytest.approx(50.0)
    assert due(made, "rider/c") == pytest.approx(50.0) and due(made, "rider/d") == pytest.approx(7.0)
    assert due(made, "tax/x") == pytest.approx(0.10 * (1000 + 0.00114 * 74400 + 50 + 50))
    assert due(made, "tax/y") == pytest.approx(10.0)


def test_a_rider_holds_from_its_first_day_to_its_last() -> None:
    half = {
        "kind": "rider",
        "name": "a",
        "per": "kWh",
        "usd": 0.01,
        "valid_from": "2019-07-11",
        "valid_until": "2019-07-21",
    }
    assert due(of(FREE, half), "rider") == pytest.approx(0.01 * 100 * 240)
    month = {"kind": "rider", "name": "m", "per": "month", "usd": 31.0, "valid_until": "2019-07-11"}
    assert due(of(FREE, month), "rider") == pytest.approx(10.0)


def test_contract_demand_and_minimum_take() -> None:
    clause = {"kind": "contract_demand", "contract_kw": 1000, "share_frac": 0.8, "usd_per_kw": 12.0}
    assert due(of(clause, kw=650), "contract_demand") == pytest.approx(1800.0)
    assert due(of(clause, kw=900), "contract_demand") == 0.0
    same = {k: v for k, v in clause.items() if k != "usd_per_kw"}
    made = of(FLAT, same, kw=650)
    assert due(made, "contract_demand") == pytest.approx(1500.0) and any(
        "demand/flat" in a for a in made.assumptions
    )
    take = {"kind": "contract_demand", "contract_kw": 100, "min_load_factor_frac": 0.5, "usd_per_kwh": 0.05}
    assert due(of(take, kw=100), "contract_demand/minimum take") == 0.0
    assert due(of(take, kw=40), "contract_demand/minimum take") == pytest.approx(10 * 744 * 0.05)


def test_standby() -> None:
    clause = {
        "kind": "standby",
        "contract_kw": 500,
        "reservation_usd_per_kw_month": 2.0,
        "supplemental_kw": 100,
        "backup_usd_per_kwh": 0.2,
        "daily_demand": [{"hours": {"from_h": 8, "to_h": 22, "days": "weekdays"}, "usd_per_kw_day": 0.5}],
    }
    made = of(clause, kw=load(0.0, (40, 100), (96 + 40, 300), (96 * 2 + 4, 900)))
    assert due(made, "standby/reservation") == pytest.approx(1000.0)
    assert due(made, "standby/daily") == pytest.approx(200.0)  # 900 kW at 01:00 lies outside the hours
    assert due(made, "standby/backup") == pytest.approx(0.25 * (200 + 800) * 0.2)


def test_hourly_prices_in_one_and_two_parts() -> None:
    price = np.full(T.n, 0.04)
    one = {"kind": "hourly_price", "adder_usd_per_kwh": 0.01}
    assert due(of(one, prices=price), "hourly_price") == pytest.approx(0.05 * 74400)
    two = {
        "kind": "hourly_price",
        "form": "two_part",
        "cbl_weekday_kw": [[80.0] * 24] * 12,
        "cbl_off_day_kw": [[120.0] * 24] * 12,
        "base": [FLAT],
    }
    made = of(two, prices=price)
    weekdays = 23
    assert due(made, "hourly_price/baseline demand") == pytest.approx(1200.0)
    assert due(made, "hourly_price/deviation") == pytest.approx(
        0.04 * 24 * (20 * weekdays - 20 * (31 - weekdays))
    )


def test_unverified_clauses_stand_on_the_bill_and_need_a_note() -> None:
    made = of(
        FREE,
        {
            "kind": "rider",
            "name": "a",
            "per": "month",
            "usd": 1.0,
            "verified": False,
            "note": "the sheet is gone",
        },
    )
    assert any("the sheet is gone" in a for a in made.assumptions)
    with pytest.raises(InputError, match="note"):
        of(FREE, {"kind": "rider", "name": "a", "per": "month", "usd": 1.0, "verified": False})


@pytest.mark.parametrize(
    "item, says",
    [
        (pf(method="floor"), "floor_frac"),
        (supply(form="bandwidth"), "band_frac"),
        ({"kind": "rider", "per": "kWh"}, "usd"),
        ({"kind": "rider", "per": "share", "usd": 1.0}, "share_frac"),
        ({"kind": "contract_demand", "contract_kw": 10, "usd_per_kwh": 1.0}, "minimum take"),
        ({"kind": "hourly_price", "form": "two_part"}, "base"),
        ({"kind": "tax", "share_frac": 7.25}, "share_frac"),
        (cpp(window={"from_h": 18, "to_h": 14}), "to_h"),
    ],
)
def test_wrong_clauses_are_refused_by_key(item: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        of(item)


def test_ranking_orders_says_why_and_follows_the_battery() -> None:
    def tariff(name: str, rate: float, **more: Any) -> Any:
        demand = {**FLAT, "periods": [{"tiers": [{"usd_per_unit": rate}]}]}
        return load_tariff(
            {"name": name, "utility": "u", "source": "s", "verified": True, "items": [demand], **more}
        )

    small = tariff("small", 1.0, eligibility={"peak_kw_max": 50})
    needs = load_tariff({"name": "cpp", "source": "s", "items": [cpp()]})
    kw = np.full(T.n, 100.0)
    rows = rank_tariffs([tariff("dear", 9.0), small, needs, tariff("cheap", 5.0)], T, kw)
    assert [r.tariff for r in rows] == ["cheap", "dear", "small", "cpp"]
    assert rows[0].usd_per_y == pytest.approx(500 * 8760 / 744)
    assert not rows[2].eligible and "50" in rows[2].reason
    assert rows[3].total_usd is None and "cpp_events" in rows[3].reason
    shaved = rank_tariffs([small, tariff("cheap", 5.0)], T, kw, net_kw_for=lambda t: kw * 0.4)
    assert [r.tariff for r in shaved] == ["small", "cheap"] and shaved[0].eligible and shaved[0].changed
    with pytest.raises(InputError, match="net_kw"):
        rank_tariffs([small], T, kw * np.nan)
