"""Outputs under REopt's names, by hand on two intervals; lcc_bau - lcc is the NPV."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from valuestack.dispatch import Record
from valuestack.finance.finance import Finance, Value
from valuestack.finance.lcc import present_worth
from valuestack.finance.proforma import cash_flow
from valuestack.finance.reopt_outputs import reopt_outputs
from valuestack.ledger import Entry, Ledger
from valuestack.timeline import Timeline


def line(item: str, usd: float, layer: int = 1) -> Entry:
    return Entry("2017", layer, "tariff", item, "utility", 0.0, "", None, usd)


def test_names_and_figures() -> None:
    t = Timeline("2017-01-01T00:00", 1.0, 8760, "Etc/GMT+8")
    n = t.n
    record = Record(
        t,
        np.full(n, 10.0),
        asset_kw={"bess": np.tile([2.0, -1.0], n // 2), "pv": np.full(n, -3.0), "gen": np.full(n, -1.0)},
        stored_kwh={"bess": np.full(n, 4.0)},
        extra={"gen/fuel_gal": np.full(n, 0.1)},
    )
    bau = Ledger.of([line("energy/flat", -1000.0), line("demand/monthly", -500.0), line("wear", -9.0, 0)])
    bill = Ledger.of([line("energy/flat", -900.0), line("demand/monthly", -300.0), line("fixed", -20.0)])
    written = {
        "preset": "reopt",
        "start_date": date(2026, 1, 1),
        "capex": [{"name": "b", "usd": 1000.0, "macrs_class_y": 0}],
    }
    finance = Finance.model_validate(written)
    flow = cash_flow(finance, [Value("tariff", 1, 1500.0 - 1220.0)])
    out = reopt_outputs(
        flow,
        bill,
        bau,
        record,
        sizes={"bess": {"kw": 5.0, "kwh": 8.0}},
        generators={"pv": "PV", "gen": "Generator"},
    )
    money = out["Financial"]
    assert money["npv"] == flow.npv_usd and money["lcc_bau"] - money["lcc"] == pytest.approx(flow.npv_usd)
    pwf = present_worth(25, 0.0166, 0.0624)
    assert money["lcc_bau"] == pytest.approx(0.74 * 1500 * pwf)
    assert money["lifecycle_elecbill_after_tax"] == pytest.approx(0.74 * 1220 * pwf)
    # LCC by its parts: capital + bill (nothing else is here)
    assert money["lcc"] == pytest.approx(1000 + 0.74 * 1220 * pwf)
    tariff = out["ElectricTariff"]
    assert (tariff["year_one_bill_before_tax"], tariff["year_one_bill_before_tax_bau"]) == (1220.0, 1500.0)
    assert (tariff["year_one_energy_cost_before_tax"], tariff["year_one_demand_cost_before_tax_bau"]) == (
        900.0,
        500.0,
    )
    assert out["ElectricUtility"]["annual_energy_supplied_kwh"] == pytest.approx(87_600)
    assert (
        out["ElectricStorage"]["soc_series_fraction"][0] == 0.5 and out["ElectricStorage"]["size_kwh"] == 8.0
    )
    assert out["ElectricStorage"]["storage_to_load_series_kw"][:2] == [0.0, 1.0]
    assert out["PV"]["year_one_energy_produced_kwh"] == pytest.approx(3 * 8760)
    assert out["Generator"]["annual_fuel_consumption_gal"] == pytest.approx(876.0)
