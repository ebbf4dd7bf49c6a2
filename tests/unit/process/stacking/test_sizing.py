"""Sizes of a site: no grid point and no quote of the same price is better, and money comes from the record."""

from __future__ import annotations

import copy
import tomllib
from datetime import date
from itertools import pairwise
from math import fsum
from typing import Any

import numpy as np
import pytest

from valuestack.errors import InputError
from valuestack.process.stacking.meters import ready
from valuestack.process.stacking.sizing import size
from valuestack.process.stacking.sizing.granularity import from_bills, from_hours
from valuestack.report.sized import Sizing
from valuestack.site.files import load, shipped
from valuestack.site.vendors import Vendors, generic, load_vendors
from valuestack.timeline import Timeline

pytestmark = pytest.mark.slow

FIRST: dict[str, Any] = tomllib.loads(shipped("sites")["first-story"].read_text(encoding="utf-8"))
PER_KW, PER_KWH = 600.0, 700.0


def site() -> dict[str, Any]:
    """Two weeks of the first story at prices that leave the best size inside its range."""
    out = copy.deepcopy(FIRST)
    out["study"] = {"first_date": date(2021, 6, 7), "until_date": date(2021, 6, 21), "wear_rounds": 2}
    out["economics"] = {"capex_usd_per_kw": PER_KW, "capex_usd_per_kwh": PER_KWH, "life_y": 10.0}
    return out


def quoted() -> Vendors:
    """A grid of sizes as somebody would sell them at the very same prices."""
    like = {
        "round_trip_efficiency_frac": 0.8986,
        "soc_min_frac": 0.2,
        "replacement_usd_per_kwh": 253.0,
        "source": "test",
    }
    sizes = [(kw, kwh) for kw in (100.0, 300.0, 600.0) for kwh in (150.0, 400.0, 900.0)]
    options = [
        {"name": f"{p:g}/{e:g}", "power_kw": p, "energy_kwh": e, "usd": PER_KW * p + PER_KWH * e, **like}
        for p, e in sizes
    ]
    options[0]["units_max"] = 2
    return load_vendors({"as_of": date(2026, 3, 1), "source": "test", "options": options})


@pytest.fixture(scope="module")
def found() -> Sizing:
    return size(site(), quoted())


def test_the_best_size_beats_every_quote_at_the_same_price(found: Sizing) -> None:
    best = found.optimum
    assert best is not None and best.npv_usd is not None and best.npv_usd > 0
    size_ = best.sizes["battery"]
    peak = float(ready(load(site()), load(site()).meters[0]).before_kw.max())
    assert 1 < size_["kw"] < peak and 1 < size_["kwh"] < 6 * peak
    assert len(found.vendors) == 10
    for o in found.vendors:
        # Wear is priced a little otherwise at another size, which may be worth a few dollars.
        assert o.npv_usd is not None and o.npv_usd <= best.npv_usd + 0.005 * abs(best.npv_usd)


def test_saving_is_settled_from_the_record_and_npv_from_the_saving(found: Sizing) -> None:
    best = found.optimum
    assert best is not None
    m = ready(load(site()), load(site()).meters[0])
    before = m.settle(m.before_kw).total_usd
    after = m.settle(best.run.record.net_kw).total_usd
    assert best.saving_usd_per_y * found.span_y == pytest.approx(before - after, abs=1e-6)
    counted = best.run.wear["battery"].counted_usd
    assert best.wear_usd_per_y * found.span_y == pytest.approx(counted, abs=1e-6)
    # Ten years by hand: REopt's conventions, the credit a year after, full write-off less half of it.
    f = best.flow.finance
    rate, tax = f.nominal, f.tax.combined
    grown = [(1 + f.electricity.frac_per_y) ** t for t in range(1, 11)]
    worth = [(1 + rate) ** -t for t in range(1, 11)]
    lines = best.flow.lines
    value = fsum((1 - tax) * best.saving_usd_per_y * g * w for g, w in zip(grown, worth))
    wear = fsum((1 - tax) * best.wear_usd_per_y * w for w in worth)
    credit = fsum(float(c) * (1 + rate) ** -k for k, c in enumerate(lines["investment credit"]))
    assert best.capex_usd is not None
    depreciation = tax * fsum(
        part * (best.capex_usd - credit * (1 + rate) / 2) * w for part, w in zip(_written_off(best), worth)
    )
    assert best.npv_usd == pytest.approx(value - wear - best.capex_usd + credit + depreciation, rel=1e-6)


def _written_off(best: Any) -> list[float]:
    """Share of the basis written off in each year, read off the tax line."""
    f, lines = best.flow.finance, best.flow.lines
    income = np.zeros(f.analysis_years + 1)
    for name, values in lines.items():
        if name.startswith(("L0", "L1", "running/", "replacement")):
            income = income + np.asarray(values)
    taxed = -(np.asarray(lines["federal tax"]) + np.asarray(lines["state tax"]))
    off = income - taxed / f.tax.combined
    basis = best.capex_usd - 0.5 * float(np.sum(lines["investment credit"]))
    share = (off / basis)[1:]
    assert share.sum() == pytest.approx(1.0, rel=1e-6) and (share > -1e-9).all()
    return [float(v) for v in share]


def test_the_frontier_bends_and_every_point_keeps_its_spend(found: Sizing) -> None:
    points = sorted((o.capex_usd or 0.0, o.saving_usd_per_y - o.wear_usd_per_y) for o in found.frontier)
    assert len(points) >= 4
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(points)]
    # More capital saves more at a falling rate: a bound is concave in what is spent (wear is counted, not priced).
    assert all(later <= earlier + 0.02 * abs(earlier) + 1e-3 for earlier, later in pairwise(slopes))
    assert found.optimum is not None
    assert points[-1][0] == pytest.approx(2 * (found.optimum.capex_usd or 0.0), rel=1e-3)


def test_the_next_unit_is_worth_its_price_where_the_optimum_lies(found: Sizing) -> None:
    at = {r["next"]: r for r in found.next_units if r["at"] == "the optimum"}
    for r in at.values():
        assert r["next_percent_saves_usd_per_y"] <= r["costs_usd_per_y"] * 1.02 + 0.05
        assert r["saves_usd_per_y"] >= r["next_percent_saves_usd_per_y"] - 0.05


def test_every_granularity_is_settled_on_the_same_readings(found: Sizing) -> None:
    names = [r["sized from"] for r in found.granularity]
    assert names == ["twelve bills", "hourly means", "15-minute data"]
    assert found.granularity[-1]["worth of knowing more_usd"] == 0.0
    for r in found.granularity[:-1]:
        assert r["worth of knowing more_usd"] >= -0.005 * abs(
            found.granularity[-1]["NPV on the finest data_usd"]
        )


def test_the_sheet_says_what_to_ask_of_a_vendor(found: Sizing) -> None:
    asked = {r["item"] for r in found.spec}
    assert {"power", "energy", "efficiency", "cycles", "throughput", "warranty: full cycles"} <= asked


def test_ranking_is_by_npv_for_a_dollar(found: Sizing) -> None:
    per = [o["npv_per_usd"] for o in found.to_dict()["vendors"]]
    assert per == sorted(per, reverse=True)
    assert "perfect foresight" in found.to_dict()["status"]


def test_bills_keep_energy_and_peak_and_hours_keep_energy() -> None:
    t = Timeline(start="2025-01-01T00:00", step_h=0.25, n=96 * 59, tz="America/Chicago")
    rng = np.random.default_rng(2)
    for spiky in (0.0, 400.0):
        kw = 50 + 40 * (t.hour > 8) * (t.hour < 17) + spiky * (rng.random(t.n) > 0.999)
        shaped, means = from_bills(t, kw), from_hours(t, kw)
        for month in np.unique(t.month_id):
            at = t.month_id == month
            assert shaped[at].max() == pytest.approx(kw[at].max(), rel=1e-9)
            assert shaped[at].sum() == pytest.approx(kw[at].sum(), rel=1e-6)
        assert shaped.min() >= 0
        assert means.sum() == pytest.approx(kw.sum()) and means.max() <= kw.max() + 1e-9
        assert np.ptp(means.reshape(-1, 4), axis=1).max() == 0


def test_vendors_say_everything_that_is_wrong_at_once() -> None:
    bad = {
        "as_of": date(2026, 1, 1),
        "options": [{"name": "a", "power": 3, "usd": -1}],
        "prices": [{"kind": "pv"}],
    }
    with pytest.raises(InputError) as e:
        load_vendors(bad)
    said = "\n".join(e.value.problems)
    for word in ("power_kw", "energy_kwh", "usd", "source", "no such key"):
        assert word in said
    with pytest.raises(InputError, match="no such file of vendor options"):
        load_vendors("nowhere.toml")


def test_shipped_prices_name_their_source_and_quotes_go_stale() -> None:
    assert all(p.source for p in generic().prices)
    old = quoted().model_copy(update={"valid_until": date(2026, 4, 1)})
    assert old.stale(date(2026, 5, 1)) and not old.stale(date(2026, 3, 15))


def test_a_site_without_anything_to_size_is_told_so() -> None:
    out = site()
    out["assets"] = [
        {"kind": "battery", "name": "there", "power_kw": 10.0, "energy_kwh": 20.0, "existing": True}
    ]
    with pytest.raises(InputError):
        size(out)


def test_the_optimum_reads_under_reopts_names(found: Sizing) -> None:
    assert found.reopt is not None and found.optimum is not None
    assert found.reopt["Financial"]["npv"] == found.optimum.npv_usd
    assert found.reopt["ElectricStorage"]["size_kwh"] == found.optimum.sizes["battery"]["kwh"]


@pytest.mark.slow
def test_moving_load_is_laid_beside_a_battery_and_the_order_turns_at_some_price() -> None:
    out = site()
    out["assets"] = [
        *out["assets"],
        {
            "kind": "flexible_load",
            "name": "mill",
            "what": "a mill that can wait",
            "shed_kw": 150.0,
            "recovery_frac": 1.0,
            "recovery_h": 6.0,
            "recovery_max_kw": 150.0,
            "control_capex_usd": 60000.0,
            "control_om_usd_per_y": 1000.0,
        },
    ]
    found = size(out, granularity=False, frontier=False)
    moving = found.moving
    assert (
        moving is not None
        and moving["load"]["name"] == "mill"
        and 0 < moving["load"]["moved_kw"] <= 150.0 + 1e-6
    )
    load, buy = moving["load"], moving["battery"]
    assert moving["capital_ratio"] == pytest.approx(buy["capex_usd"] / load["capex_usd"])
    assert moving["saving_ratio"] == pytest.approx(buy["saving_usd_per_y"] / load["saving_usd_per_y"])
    for what, flip in moving["flip"].items():
        times = flip["price_times"]
        if times is None:
            assert flip["why"]
            continue
        target = load["npv_usd"] if what == "by NPV" else load["npv_per_usd"]
        reached = flip["npv_usd"] if what == "by NPV" else flip["npv_usd"] / flip["capex_usd"]
        assert 0.02 <= times < 1 and reached >= target
        assert flip["usd_per_kw"] == pytest.approx(times * PER_KW)
