"""`valuestack import`: a REopt scenario becomes a site that loads; nothing is dropped unsaid or written over."""

from __future__ import annotations

import json
from math import pi, sin
from pathlib import Path

import pytest

from valuestack.cli import run
from valuestack.site.files import load

SCENARIO = {
    "Site": {"longitude": -118.1, "latitude": 34.6, "land_acres": 1.0},
    "ElectricLoad": {
        "loads_kw": [100 + 50 * sin(2 * pi * (k % 24 - 9) / 24) for k in range(8760)],
        "year": 2017,
    },
    "ElectricTariff": {"blended_annual_energy_rate": 0.12, "blended_annual_demand_rate": 15.0},
    "ElectricStorage": {
        "min_kw": 0.0,
        "max_kw": 1.0e9,
        "min_kwh": 110.0,
        "max_kwh": 110.0,
        "installed_cost_per_kw": 910.0,
        "installed_cost_per_kwh": 455.0,
    },
    "Financial": {"offtaker_discount_rate_fraction": 0.081, "analysis_years": 20},
}


def test_a_scenario_is_a_site_with_its_pro_forma(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = tmp_path / "scenario.json"
    written.write_text(json.dumps(SCENARIO), encoding="utf-8")
    out = tmp_path / "mine" / "plant.toml"
    asked = ["import", str(written), "--out", str(out), "--size", "ElectricStorage.kw=55", "--json"]
    assert run(asked) == 0
    found = json.loads(capsys.readouterr().out)["result"]
    assert found["file"] == str(out) and "Site.land_acres" in found["unsupported"]
    site = load(out)
    (battery,) = site.meters[0].assets
    assert (battery.power_kw, battery.energy_kwh) == (55.0, 110.0)
    assert site.written.finance is not None
    assert site.written.finance.capex_usd == pytest.approx(910 * 55 + 455 * 110)
    page = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "json.md").read_text(
        encoding="utf-8"
    )
    section = page.split("## `import`", 1)[1].split("\n## ", 1)[0]
    assert all(f"`{key}`" in section for key in found)
    before = out.read_text(encoding="utf-8")
    assert run(asked[:-1]) == 2  # nothing is written over
    assert "already" in capsys.readouterr().err and out.read_text(encoding="utf-8") == before


@pytest.mark.parametrize("more", [["--size", "ElectricStorage.kw"], ["--start", "spring"], []])
def test_mistakes_end_with_2(more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = tmp_path / "scenario.json"
    written.write_text("{}" if not more else json.dumps(SCENARIO), encoding="utf-8")
    assert run(["import", str(written), "--out", str(tmp_path / "x" / "site.toml"), *more]) == 2
    said = capsys.readouterr().err
    assert said and "Traceback" not in said
