"""A tariff that changes inside a cycle: nothing is prorated twice, nothing is sold that was never bought."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pytest

import valuestack as vs
from valuestack.errors import InputError

from .written import FREE, demand, energy, hours, tariff, tiers, usd

CUT = date(2018, 6, 16)  # 15 of June's 30 days on either side
T = hours(30, "2018-06-01T00:00")


@dataclass
class Dated:
    tariff: Any
    from_date: date | None
    until_date: date | None


def split(*items: dict[str, Any]) -> list[Dated]:
    return [Dated(tariff(*items, name="old"), None, CUT), Dated(tariff(*items, name="new"), CUT, None)]


SHARE = {"kind": "rider", "name": "surcharge", "per": "share", "share_frac": 0.10, "applies_to": ["demand"]}
TAX = {"kind": "tax", "name": "city", "share_frac": 0.05}
FLOOR = {"kind": "power_factor", "method": "floor", "floor_frac": 0.90}
AVERAGE = {"kind": "power_factor", "method": "average", "floor_frac": 0.90, "share_per_point": 0.01}
PER_KW = {"kind": "rider", "name": "k", "per": "kW", "usd": 2.0}
PER_KWH = {"kind": "rider", "name": "e", "per": "kWh", "usd": 0.01}
MONTHLY = {"kind": "rider", "name": "m", "per": "month", "usd": 30.0}
KVAR = {"kind": "reactive", "usd_per_kvar": 0.5}
STANDBY = {"kind": "standby", "contract_kw": 100.0, "reservation_usd_per_kw_month": 2.0}
FIXED_PRICE = {
    "kind": "supply",
    "form": "fixed",
    "usd_per_kwh": 0.06,
    "tags": [{"name": "capacity", "kw": 50.0, "usd_per_kw_month": 4.0}],
}
BLOCK = {"kind": "supply", "form": "block", "blocks": [{"kw": 80.0, "usd_per_kwh": 0.05}]}
BAND = {
    "kind": "supply",
    "form": "bandwidth",
    "usd_per_kwh": 0.06,
    "band_frac": 0.1,
    "expected_kwh": [72_000.0] * 12,
}
TWO_PART = {
    "kind": "hourly_price",
    "form": "two_part",
    "cbl_weekday_kw": [[90.0] * 24] * 12,
    "cbl_off_day_kw": [[90.0] * 24] * 12,
    "base": [energy(0.08), demand(10.0), {"kind": "fixed", "usd": 100.0}],
}
CPP = {
    "kind": "critical_peak",
    "window": {"from_h": 16, "to_h": 21},
    "adder_usd_per_kwh": 0.9,
    "capacity_reservation_kw": 40.0,
    "reservation_usd_per_kw_month": 5.0,
    "credits": [{"name": "c", "per": "kW", "usd": 3.0}],
}


@pytest.mark.parametrize(
    "items",
    [
        [demand(10.0), SHARE], [demand(10.0), SHARE, TAX], [demand(10.0), FLOOR], [demand(10.0), AVERAGE],
        [energy(0.1), PER_KW, PER_KWH, MONTHLY, TAX], [KVAR, energy(0.1)], [STANDBY, energy(0.1)], [FIXED_PRICE],
        [BLOCK], [BAND], [TWO_PART], [energy(0.1), demand(8.0), CPP], [energy(0.1), {"kind": "minimum", "usd": 1e5}],
        [energy(periods=tiers((0.1, 20_000.0), (0.2, None)))],
        [demand(10.0), energy(periods=tiers((0.1, 200.0), (0.2, None), unit="kWh/kW"))],
        [energy(0.1), {"kind": "fixed", "usd": 99.0}, {"kind": "fixed", "usd": 3.0, "per": "day"}],
        [demand(10.0, daily=True)],
    ],
    ids=lambda items: "+".join(str(i.get("method", i.get("form", i["kind"]))) for i in items),
)  # fmt: skip
def test_an_unchanged_tariff_split_in_two_costs_what_it_costs_whole(items: list[dict[str, Any]]) -> None:
    kw = np.full(T.n, 100.0)
    facts = vs.BillFacts(power_factor=0.8, prices=np.full(T.n, 0.07), cpp_events=["2018-06-07", "2018-06-21"])
    whole = vs.bill(tariff(*items), T, kw, facts=facts).total_usd
    assert whole > 0
    assert vs.bill(split(*items), T, kw, facts=facts).total_usd == pytest.approx(whole, rel=1e-12)


def test_a_share_stands_once_on_what_is_prorated() -> None:
    """100 kW at 10 USD = 1,000; 10 % = 100, half of it in either version; before: 25 and 25."""
    both = vs.bill(split(demand(10.0), SHARE), T, np.full(T.n, 100.0))
    lines = [-e.usd for e in both.ledger if e.item == "rider/surcharge"]
    assert lines == pytest.approx([50.0, 50.0])


def test_block_supply_and_two_part_prices_sell_nothing_outside_the_versions_days() -> None:
    facts = vs.BillFacts(prices=np.full(T.n, 0.07))
    for item, what in ((BLOCK, "supply/balance at index"), (TWO_PART, "hourly_price/deviation")):
        found = vs.bill(split(item), T, np.full(T.n, 100.0), facts=facts)
        lines = [e for e in found.ledger if e.item.startswith(what)]
        above = 20.0 if item is BLOCK else 10.0
        assert [e.quantity for e in lines] == pytest.approx([above * 360] * 2)


def test_tier_bounds_take_the_versions_share_of_days() -> None:
    """36,000 kWh a half; 10,000 kWh of the first tier in each: 10,000 x 0.10 + 26,000 x 0.20 = 6,200."""
    found = vs.bill(split(energy(periods=tiers((0.10, 20_000.0), (0.20, None)))), T, np.full(T.n, 100.0))
    assert found.total_usd == pytest.approx(2 * 6_200.0)


def test_a_change_of_price_takes_hold_on_its_day() -> None:
    old, new = tariff(energy(0.10), demand(10.0), name="old"), tariff(energy(0.20), demand(16.0), name="new")
    kw = np.full(T.n, 100.0)
    found = vs.bill([Dated(old, None, CUT), Dated(new, CUT, None)], T, kw)
    assert usd(found, "energy") == pytest.approx(36_000 * 0.10 + 36_000 * 0.20)
    assert usd(found, "demand") == pytest.approx(500.0 + 800.0)
    assert any("50.0 %" in e.reason for e in found.ledger)


def test_versions_must_touch() -> None:
    gap = [Dated(tariff(FREE), None, CUT), Dated(tariff(FREE), date(2018, 6, 20), None)]
    with pytest.raises(InputError, match=r"no version.*2018-06-16.*96 intervals"):
        vs.bill(gap, T, np.zeros(T.n))
    twice = [Dated(tariff(FREE), None, CUT), Dated(tariff(FREE), date(2018, 6, 10), None)]
    with pytest.raises(InputError, match="more than one version"):
        vs.bill(twice, T, np.zeros(T.n))


def test_what_is_not_verified_is_said_once_by_tariff_and_by_item() -> None:
    clause = {
        "kind": "rider",
        "name": "fuel",
        "per": "kWh",
        "usd": 0.01,
        "verified": False,
        "note": "no sheet found",
    }
    found = vs.bill(
        tariff(energy(0.1), clause, verified=False, source="sheet 7"), T, np.full(T.n, 1.0)
    ).assumptions
    assert [a for a in found if "fuel" in a] == ["hand-made: rider/fuel is not verified: no sheet found"]
    assert len([a for a in found if "not every figure" in a]) == 1
    both = vs.bill(split(energy(0.1), clause), T, np.full(T.n, 1.0)).assumptions
    said = [f"{v}: rider/fuel is not verified: no sheet found" for v in ("old", "new")]
    assert [a for a in both if "fuel" in a] == said
