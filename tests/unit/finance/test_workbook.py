"""The workbook recomputes to the pro forma's numbers, as written and after its inputs are changed."""

from __future__ import annotations

import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.unit.finance.cells import Sheets
from valuestack.finance.finance import Finance, Value
from valuestack.finance.proforma import CashFlow, cash_flow
from valuestack.finance.workbook import letters, save

BASE: dict[str, Any] = {
    "start_date": date(2026, 7, 1),
    "analysis_years": 12,
    "discount_frac": 0.08,
    "inflation_frac": 0.025,
    "electricity": {"frac_per_y": 0.03, "base_year": 2025},
    "market": {"frac_per_y": 0.01},
    "om": {"frac_per_y": 0.025, "growth_before_year_1": True},
    "tax": {"federal_frac": 0.21, "state_frac": 0.06},
    "capex": [
        {"name": "battery", "usd_per_kw": 300.0, "size_kw": 500.0, "usd_per_kwh": 350.0, "size_kwh": 1000.0,
         "itc_frac": 0.3, "macrs_class_y": 5, "bonus_frac": 0.4, "rebate_usd": 20_000.0, "salvage_frac": 0.05},
        {"name": "controls", "usd": 30_000.0, "macrs_class_y": 7, "bonus_frac": 0.0},
    ],
    "running": [{"name": "service", "usd_per_y": 9_000.0, "usd_per_kwh": 0.002, "kwh_per_y": 400_000.0}],
    "replacements": [{"name": "inverter", "usd": 40_000.0, "year": 10}],
    "wear": {"fade_frac_per_y": 0.02, "value_share_frac": 0.8, "strategy": "augment", "energy_kwh": 1000.0,
             "usd_per_kwh": 150.0},
    "streams": {"regulation": {"start_month": 16, "ramp_frac": [0.5, 1.0], "end_year": 11, "p90_frac": 0.6}},
}  # fmt: skip
VALUES = (
    Value("tariff", 1, 70_000.0, "contractual"),
    Value("outage cost", 2, 15_000.0, "modelled"),
    Value("regulation", 3, 45_000.0, "market"),
)
CASES: dict[str, dict[str, Any]] = {
    "own": {},
    "mid-year": {"timing": "mid"},
    "loan": {"debt": {"rate_frac": 0.065, "years": 8, "share_frac": 0.5, "fee_frac": 0.015}},
    "sized": {"debt": {"rate_frac": 0.065, "years": 8, "coverage_frac": 1.35, "market_coverage_frac": 1.9}},
    "ppa": {"third_party": {"form": "ppa", "usd_per_kwh": 0.15, "kwh_per_y": 400_000.0, "growth_frac_per_y": 0.02,
                            "host_discount_frac": 0.06, "host_tax": {"federal_frac": 0.0}},
            "debt": {"rate_frac": 0.05, "years": 6, "coverage_frac": 1.3}},
    "lease": {"third_party": {"form": "lease", "usd_per_y": 90_000.0, "years": 7, "buyout_usd": 100_000.0}},
    "shared": {"third_party": {"form": "shared_savings", "share_frac": 0.8, "layers": [1, 3]},
               "debt": {"rate_frac": 0.0, "years": 6, "coverage_frac": 1.3}},
    "never": {"capex": [{"name": "battery", "usd": 5e6}], "tax": {"exempt": True}},
}  # fmt: skip
RESULTS = {
    "NPV to the owner": "npv_usd",
    "NPV without debt": "project_npv_usd",
    "IRR of the owner": "irr_frac",
    "IRR without debt": "project_irr_frac",
    "simple payback [y]": "payback_y",
    "discounted payback [y]": "discounted_payback_y",
}


def made(more: dict[str, Any], share: float = 1.0) -> CashFlow:
    return cash_flow(Finance.model_validate({**BASE, **more}), VALUES, dispatch_share_frac=share)


def agrees(sheets: Sheets, flow: CashFlow) -> None:
    """Every line and every result of the workbook is the pro forma's."""
    third = flow.finance.third_party is not None
    for name, line in flow.lines.items():
        label = name.removeprefix("host ") if name.startswith("host L") else name
        if name in ("host payments", "host costs and salvage", "replacement and augmentation"):
            continue  # said by other rows
        if name.startswith("running/") and third and flow.finance.third_party.years:  # type: ignore[union-attr]
            continue  # the sheet shows everybody's
        assert sheets.row("Years", label) == pytest.approx(line.tolist(), abs=1e-6), name
    assert sheets.row("Years", "owner after tax") == pytest.approx(flow.owner_usd.tolist(), abs=1e-6)
    assert sheets.row("Years", "owner after tax, real") == pytest.approx(flow.real_usd.tolist(), abs=1e-6)
    if third:
        assert sheets.row("Years", "host after tax") == pytest.approx(flow.host_usd.tolist(), abs=1e-6)
        host = sheets.value("Result", f"B{sheets.find('Result', 'NPV to the host')}")
        assert host == pytest.approx(flow.host_npv_usd, abs=1e-4)
    for label, attribute in RESULTS.items():
        got, mine = sheets.value("Result", f"B{sheets.find('Result', label)}"), getattr(flow, attribute)
        if mine is None:
            assert got in ("none", "never"), label
        else:
            assert got == pytest.approx(mine, rel=1e-6, abs=1e-6), label


@pytest.mark.parametrize("name", CASES)
def test_formulas_recompute_to_the_same_numbers(name: str, tmp_path: Path) -> None:
    path = tmp_path / "proforma.xlsx"
    save(made(CASES[name]), path)
    agrees(Sheets(path), made(CASES[name]))


@pytest.mark.parametrize("name", ["own", "sized", "lease", "shared"])
def test_changed_inputs_flow_through(name: str, tmp_path: Path) -> None:
    """Discount rate, dispatch share, a price, growth and tax are changed on the sheets: the same as a new pro forma."""
    path = tmp_path / "proforma.xlsx"
    save(made(CASES[name]), path)
    sheets = Sheets(path)
    sheets.set("Inputs", "discount rate, nominal", 0.11)
    sheets.set("Inputs", "share of dispatch value realised", 0.8)
    sheets.set("Inputs", "federal tax", 0.35)
    if "third_party" in CASES[name]:
        sheets.set("Inputs", "host's federal tax", 0.35)
        sheets.set("Inputs", "host's discount rate, nominal", 0.11)
    sheets.set("Capex", "controls", 60_000.0)
    sheets.set("Streams", "L1 tariff", 0.045, "D")
    changed = {
        **CASES[name],
        "discount_frac": 0.11,
        "tax": {"federal_frac": 0.35, "state_frac": 0.06},
        "capex": [BASE["capex"][0], {**BASE["capex"][1], "usd": 60_000.0}],
        "electricity": {"frac_per_y": 0.045, "base_year": 2025},
    }
    agrees(sheets, made(changed, 0.8))


def test_every_result_is_a_formula_with_its_value_beside_it(tmp_path: Path) -> None:
    import openpyxl

    path, flow = tmp_path / "proforma.xlsx", made({})
    save(flow, path)
    formulas = openpyxl.load_workbook(path)["Result"]
    cached = openpyxl.load_workbook(path, data_only=True)["Result"]
    for row in range(2, 8):
        assert str(formulas.cell(row, 2).value).startswith("=")
    assert cached.cell(2, 2).value == pytest.approx(flow.npv_usd)
    years = openpyxl.load_workbook(path)["Years"]
    assert all(str(c.value).startswith("=") for c in years[years.max_row][2:])


def test_texts_of_a_site_are_never_formulas(tmp_path: Path) -> None:
    path = tmp_path / "proforma.xlsx"
    item = {"name": "=1+1", "usd": 100.0}
    save(cash_flow(Finance.model_validate({**BASE, "capex": [item], "streams": {}}), VALUES), path)
    with zipfile.ZipFile(path) as book:
        sheets = [book.read(n).decode() for n in book.namelist() if n.startswith("xl/worksheets/")]
        texts = book.read("xl/sharedStrings.xml").decode()
    assert not any("<f>1+1</f>" in s for s in sheets) and "=1+1" in texts


def test_column_letters() -> None:
    assert [letters(k) for k in (0, 25, 26, 701, 702)] == ["A", "Z", "AA", "ZZ", "AAA"]
