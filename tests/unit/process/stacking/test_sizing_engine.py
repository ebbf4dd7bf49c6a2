"""The size of an engine by search, judged by brute force over a grid of sizes, each planned and settled by itself.

Least load, the cost of a start and a fixed price make NPV anything but concave in the size; what is found must be the
best of the grid all the same, within the tolerance stated here.
"""

from __future__ import annotations

import copy
import tomllib
from datetime import date
from math import fsum
from typing import Any

import numpy as np
import pytest

from valuestack.process.stacking.meters import ready
from valuestack.process.stacking.sizing import engine as searched
from valuestack.process.stacking.sizing import size
from valuestack.process.stacking.sizing.case import Case, case_of
from valuestack.process.stacking.sizing.engine import engine
from valuestack.process.stacking.sizing.settled import settled
from valuestack.report.sized import Outcome
from valuestack.site.files import load, shipped
from valuestack.site.vendors import load_vendors

pytestmark = pytest.mark.slow

FIRST: dict[str, Any] = tomllib.loads(shipped("sites")["first-story"].read_text(encoding="utf-8"))
WITHIN = 0.01  # of the best NPV of the grid: how much the pick may lie below it
GRID = np.linspace(0.05, 1.0, 20)  # of the range

# What makes the curve of NPV over size bend: a least load, a start, a fuel curve with an idle draw, dear fuel.
ENGINES: dict[str, dict[str, Any]] = {
    "plain": {"fuel_usd_per_gal": 0.9},
    "least load": {"fuel_usd_per_gal": 1.0, "min_load_frac": 0.5},
    "starts cost": {"fuel_usd_per_gal": 1.0, "min_load_frac": 0.3, "start_usd": 40.0, "om_usd_per_h": 6.0},
    "idles": {
        "fuel_usd_per_gal": 0.8,
        "min_load_frac": 0.3,
        "fuel_curve": [{"load_frac": 0.25, "gal_per_h": 9.0}, {"load_frac": 1.0, "gal_per_h": 26.0}],
    },
    "a tank": {"fuel_usd_per_gal": 0.9, "tank_gal": 900.0, "keep_gal": 300.0},
}


def site(**more: Any) -> dict[str, Any]:
    """Six days of the first story, its battery replaced by an engine that may run for money."""
    out = copy.deepcopy(FIRST)
    out["study"] = {"first_date": date(2021, 6, 7), "until_date": date(2021, 6, 13), "wear_rounds": 2}
    out["economics"] = {"life_y": 15.0}
    written = {"kind": "generator", "name": "engine", "rated_kw": 350.0, "permit": "non_emergency"}
    out["assets"] = [{**written, **more}]
    return out


def case_for(usd_per_kw: float = 420.0, usd: float = 15000.0, **more: Any) -> tuple[Case, Any]:
    price = {
        "kind": "generator",
        "usd": usd,
        "usd_per_kw": usd_per_kw,
        "om_frac_per_y": 0.01,
        "source": "test",
    }
    vendors = load_vendors({"as_of": date(2026, 3, 1), "source": "test", "prices": [price]})
    case, assets, _ = case_of(load(site(**more)), vendors, lambda *_: None)
    return case, next(a for a in assets if a.kind == "generator")


def npv_of(case: Case, a: Any, kw: float) -> float:
    found = settled(case, [a.with_size(kw)], "grid").npv_usd
    assert found is not None
    return found


@pytest.mark.parametrize("name", ENGINES)
def test_the_pick_is_the_best_of_a_grid_of_settled_sizes(name: str) -> None:
    case, a = case_for(**ENGINES[name])
    picked = engine(case, a)
    grid = [npv_of(case, a, float(share) * 700.0) for share in GRID]
    best = max(0.0, *grid)
    assert picked.npv_usd is not None and best > 0, "the case has something to find"
    assert 0 < picked.sizes["engine"]["kw"] <= 700.0
    assert picked.npv_usd >= best - WITHIN * best
    assert picked.notes or picked.sizes["engine"]["kw"] < 699.0, "an end of the range is said to be one"


def test_the_pick_is_settled_from_its_own_record_and_the_bill_of_fuel() -> None:
    """Bill from the tariff, fuel from the engine's curve at what was metered: no figure of the plan's objective."""
    case, a = case_for(**ENGINES["starts cost"])
    made = engine(case, a)
    at = a.with_size(made.sizes["engine"]["kw"])
    m = ready(case.site, case.site.meters[0])
    bill = m.settle(m.before_kw).total_usd - m.settle(made.run.record.net_kw).total_usd
    assert made.saving_usd_per_y * case.span_y == pytest.approx(bill, abs=1e-6)
    out = -np.asarray(made.run.record.asset_kw["engine"])
    on = out > 1e-6
    starts = int(on[0]) + int((on[1:] & ~on[:-1]).sum())
    usd = fsum(
        (
            float(at.burn_per_h(out).sum()) * 0.25 * at.fuel_price,
            float(on.sum()) * 0.25 * at.om_usd_per_h,
            starts * at.start_usd,
        )
    )
    assert made.running_usd_per_y * case.span_y == pytest.approx(usd, rel=1e-6)
    assert out[on].min() >= at.least_kw - 1e-4
    np.testing.assert_allclose(made.run.record.net_kw, m.before_kw - out, atol=1e-6)


def test_where_no_size_pays_nothing_is_bought_and_the_nearest_is_named() -> None:
    case, a = case_for(fuel_usd_per_gal=6.0, usd_per_kw=25000.0)
    made = engine(case, a)
    assert (made.npv_usd, made.capex_usd, made.sizes) == (0.0, 0.0, {"engine": {"kw": 0.0}})
    assert "no size earns its cost" in made.how and "the nearest is" in made.how
    assert all(npv_of(case, a, kw) < 0 for kw in (35.0, 175.0, 700.0))


def test_a_permit_that_forbids_dispatch_earns_nothing_on_the_bill() -> None:
    case, a = case_for(fuel_usd_per_gal=0.5, permit="emergency")
    assert engine(case, a).sizes == {"engine": {"kw": 0.0}}


def test_a_cheaper_engine_or_cheaper_fuel_is_never_worth_less() -> None:
    """A law of any best size: a price that falls cannot take present value away (within the search's tolerance)."""

    def best(**more: Any) -> float:
        case, a = case_for(**{"fuel_usd_per_gal": 1.2, "min_load_frac": 0.3, **more})
        return engine(case, a).npv_usd or 0.0

    base = best()
    assert base > 0
    for cheaper in ({"usd_per_kw": 300.0}, {"fuel_usd_per_gal": 0.9}, {"min_load_frac": 0.0}, {"usd": 0.0}):
        assert best(**cheaper) >= base * (1 - WITHIN), cheaper


def test_a_size_without_a_plan_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A keep of fuel that only some sizes can hold must not end the search."""
    from valuestack.errors import InfeasibleError

    case, a = case_for(**ENGINES["plain"])

    def some(case: Case, assets: Any, name: str, **more: Any) -> Outcome:
        if assets[0].total_kw > 300.0:
            raise InfeasibleError("no plan", owners=["test"])
        return settled(case, assets, name, **more)

    monkeypatch.setattr(searched, "settled", some)
    made = engine(case, a)
    assert 0 < made.sizes["engine"]["kw"] <= 300.0
    assert made.npv_usd is not None and made.npv_usd >= 0.99 * max(
        npv_of(case, a, kw) for kw in (50.0, 150.0, 250.0)
    )


def test_everything_together_is_settled_and_never_worth_less_than_stores_and_loads_alone() -> None:
    out = site(**ENGINES["least load"])
    out["assets"] = [*FIRST["assets"], *out["assets"]]
    lines = [
        {"kind": "generator", "usd_per_kw": 9000.0, "max_kw": 1600.0, "source": "test"},
        {"kind": "battery", "usd_per_kw": 600.0, "usd_per_kwh": 700.0, "source": "test"},
    ]
    vendors = load_vendors({"as_of": date(2026, 3, 1), "source": "test", "prices": lines})
    found = size(out, vendors, granularity=False, frontier=False)
    by = {o.name: o for o in found.alone}
    whole = by["battery + engine"]
    assert whole.npv_usd is not None and by["battery"].npv_usd is not None
    assert whole.npv_usd >= by["battery"].npv_usd - 1.0
    # Nothing of a grid around it is better by more than the search may miss.
    case, assets, _ = case_of(load(out), vendors, lambda *_: None)
    case.wear_price.update({k: w.counted_usd / w.throughput_kwh for k, w in by["battery"].run.wear.items()})
    b, e = (next(a for a in assets if a.kind == k) for k in ("battery", "generator"))
    for kw in (40.0, 150.0, 300.0):
        for share in (0.5, 1.0):
            size_b = (
                whole.sizes["battery"]
                if whole.sizes["battery"].get("kwh")
                else by["battery"].sizes["battery"]
            )
            other = settled(
                case, [b.with_size(share * size_b["kw"], share * size_b["kwh"]), e.with_size(kw)], "grid"
            )
            assert other.npv_usd is not None and other.npv_usd <= whole.npv_usd * 1.02 + 1.0
