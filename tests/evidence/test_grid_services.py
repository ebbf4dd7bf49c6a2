"""Grid services on real prices and real calls: auction prices against their source, regulation of a month, a season's
calls. What haircuts do to a number is written down beside the number."""

from __future__ import annotations

import csv
from datetime import date
from math import fsum
from pathlib import Path

import numpy as np
import pytest

import valuestack as vs
from tests.conftest import Notebook
from tests.kinds.case import FlatRate, PlainBattery, metered
from valuestack.dispatch import Foresight, Record, Series, View, World
from valuestack.stack.optimise import optimise_view
from valuestack.streams.grid.demand_response import DemandResponse
from valuestack.streams.grid.enrolment import Call
from valuestack.streams.grid.product import Product, product, products
from valuestack.streams.grid.regulation import Leg, Regulation

pytestmark = pytest.mark.data


def test_auction_prices_are_those_of_their_source(data_dir: Path, evidence: Notebook) -> None:
    """Every auction price that a product ships is the one collected from public pages, or says that it is not."""
    with (data_dir / "price" / "pjm_rpm_bra_clearing_prices.csv").open(encoding="utf-8") as f:
        rows = {(r["delivery_year"][:4], r["lda"].replace("Rest of ", "")): r for r in csv.DictReader(f)}
    checked = 0
    for p in products():
        for price in p.prices:
            if price.usd_per_mw_day is None or not price.verified:
                continue
            assert price.from_date is not None
            row = rows[str(price.from_date.year), price.area]
            assert price.usd_per_mw_day == float(row["usd_per_mw_day_ucap"]), (p.label, price)
            checked += 1
    evidence("auction prices against the collected table", rows=checked)
    assert checked >= 10


def generic() -> Product:
    """Up and down with capacity prices alone: the rules shipped for paid mileage, without a place."""
    p = product("caiso-regulation", date(2026, 7, 1))
    return p.model_copy(update={"name": "generic-regulation", "iso": None, "states": ()})


def test_regulation_of_a_month_at_real_capacity_prices(data_dir: Path, evidence: Notebook) -> None:
    """A battery of 1 MW and 2 MWh behind 2 MW of load, July 2023 prices of regulation up and down in Texas."""
    import pandas as pd

    table = pd.read_parquet(data_dir / "price" / "ercot_as_mcpc_2023_07_hourly.parquet")
    t = vs.Timeline(start="2023-07-01T00:00", step_h=1.0, n=len(table), tz="America/Chicago")
    assert table.ts_utc.iloc[0].timestamp() == t.utc_s[0]
    up, down = (table[c].to_numpy(float) / 1000 for c in ("REG_UP", "REG_DOWN"))
    series = {"load_kw": (np.full(t.n, 2000.0), "kW"), "up": (up, "USD/kWh"), "down": (down, "USD/kWh")}
    w = World(t, {k: Series(k, v, u) for k, (v, u) in series.items()})
    battery = PlainBattery(power_kw=1000.0, energy_kwh=2000.0, start_kwh=1000.0, wear_usd_per_kwh=0.03)
    tariff = FlatRate(usd_per_kwh=np.full(t.n, 0.08).tolist(), usd_per_kw=10.0, exact=False)
    naive = {
        "signal_up_frac": 0.0,
        "signal_down_frac": 0.0,
        "exposure_frac": 0.0,
        "sustain_h": 0.0,
        "score_frac": 1.0,
    }
    sober = {"signal_up_frac": 0.15, "signal_down_frac": 0.10, "exposure_frac": 0.3, "score_frac": 0.9,
             "price_haircut_frac": 0.1, "untracked_frac": 0.05}  # fmt: skip
    net: dict[str, float] = {}
    for name, options in (("naive", naive), ("sober", sober)):
        stream = Regulation.model_validate(
            {
                "product": generic(),
                "as_of": date(2026, 7, 1),
                "assets": ("battery",),
                "up": Leg(capability_usd_per_kw_h="up"),
                "down": Leg(capability_usd_per_kw_h="down"),
                "aggregated": True,
            }
            | options
        )
        view = View(t, 0, t.n, Foresight(w), {"battery": 1000.0}, {})
        alone = optimise_view(view, [battery], [tariff], method="highs")
        found = optimise_view(view, [battery], [tariff, stream], method="highs")
        record = metered(found)
        settled = fsum(e.usd for e in stream.settle(record, w))
        by_hand = stream.kept_frac * float(
            record.extra["regulation/up"] @ up + record.extra["regulation/down"] @ down
        )
        assert settled == pytest.approx(by_hand), "capacity is paid whatever the score in this rule"
        net[name] = alone.objective_usd - found.objective_usd
        evidence(
            f"regulation of July 2023, {name}", settled_usd=round(settled), net_of_plan_usd=round(net[name])
        )
    assert 0 < net["sober"] < net["naive"], "wear, drift, exposure and haircuts only take away"


def test_a_season_of_real_calls(data_dir: Path, evidence: Notebook) -> None:
    """The days of 2025 on which load management was called in the whole of PJM, two hours from five each, on a steel
    mill's year laid on 2025: the money of each call is the reduction below the tag times the price."""
    import pandas as pd

    with (data_dir / "dr" / "dr_event_dates.csv").open(encoding="utf-8") as f:
        days = [
            r["date_local"]
            for r in csv.DictReader(f)
            if r["operator"] == "PJM" and r["area"] == "RTO" and r["date_local"].startswith("2025")
        ]
    kw = pd.read_parquet(data_dir / "load" / "steel_gwangyang_kr_2018_15min.parquet").kw.to_numpy(float)
    t = vs.Timeline(start="2025-01-01T00:00", step_h=0.25, n=kw.size, tz="America/New_York")
    w = World(
        t, {"load_kw": Series("load_kw", kw, "kW"), "lmp": Series("lmp", np.full(t.n, 0.25), "USD/kWh")}
    )
    tag, firm = float(np.quantile(kw, 0.95)), float(np.quantile(kw, 0.25))
    stream = DemandResponse(
        product="pjm-capacity-dr",
        as_of=date(2025, 7, 1),
        peak_load_kw=tag,
        firm_kw=firm,
        energy_usd_per_kwh="lmp",
        shortfall_usd_per_kwh=0.0,
        events=tuple(Call(start=f"{d}T17:00", hours=2) for d in days),
    )
    net = kw.copy()
    for d in days:
        k = t.index(f"{d}T17:00")
        net[k : k + 8] = np.minimum(net[k : k + 8], firm)
    out = list(stream.settle(Record(t, net), w))
    energy = [e for e in out if e.item == "events/energy"]
    assert len(energy) == len(days) >= 2
    for d, e in zip(days, energy):
        k = t.index(f"{d}T17:00")
        assert e.usd == pytest.approx(0.25 * max(0.0, float((tag - net[k : k + 8]).sum()) * 0.25))
    capacity = fsum(e.usd for e in out if e.item == "capacity")
    assert capacity == pytest.approx((tag - firm) * 269.92 / 1000 * 365 * 0.76, rel=1e-3)
    figures = {"nominated_kw": round(tag - firm), "energy_usd": round(fsum(e.usd for e in energy))}
    evidence("a season of load management", calls=len(days), capacity_usd=round(capacity), **figures)
