"""`valuestack size`: a page, JSON that its reference describes, and mistakes told in one message."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from valuestack.cli import run

ROOT = Path(__file__).resolve().parents[3]
SITE = """
name = "small"
tz = "America/Los_Angeles"
[[meters]]
name = "plant"
data = "jobbing-foundry"
[[meters.tariffs]]
tariff = "pge-b-20-secondary"
[meters.facts]
power_factor_frac = 0.9
[[assets]]
kind = "battery"
name = "battery"
power_kw = 300.0
energy_kwh = 300.0
replacement_usd_per_kwh = 253.0
[study]
first_date = 2021-06-07
until_date = 2021-06-14
"""
VENDORS = """
as_of = 2026-03-01
source = "quote 17"
[[prices]]
kind = "battery"
usd_per_kw = 500.0
usd_per_kwh = 700.0
source = "quote 17"
[[options]]
name = "cube"
power_kw = 200.0
energy_kwh = 400.0
usd = 250000.0
round_trip_efficiency_frac = 0.9
source = "quote 17"
[options.warranty]
years = 10
cycles_per_y = 300
"""


def test_size_writes_a_page_and_the_json_that_is_described(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "site.toml").write_text(SITE, encoding="utf-8")
    (tmp_path / "vendors.toml").write_text(VENDORS, encoding="utf-8")
    out = tmp_path / "out"
    asked = ["size", str(tmp_path), "--vendors", str(tmp_path / "vendors.toml"), "--out", str(out), "--json"]
    assert run(asked) == 0
    found = json.loads(capsys.readouterr().out)["result"]
    html = (out / "sizing.html").read_text(encoding="utf-8")
    assert "cube" in html and "Specification sheet" in html and "perfect foresight" in html
    assert (
        "http" not in re.sub(r'xmlns(:\\w+)?="[^"]*"|"http://www.w3.org[^"]*"', "", html)
        or "<script" not in html
    )
    page = (ROOT / "docs" / "reference" / "json.md").read_text(encoding="utf-8")
    section = page.split("## `size`", 1)[1].split("\n## ", 1)[0]
    for key in found:
        assert f"`{key}`" in section, key
    for key in found["options"][0]:
        assert f"`{key}`" in section, key
    assert found["vendors"][0]["name"] == "cube"


@pytest.mark.parametrize(
    ("vendors", "words"),
    [
        ("as_of = 2026-03-01\n[[options]]\nname = 'x'\n", ["power_kw", "energy_kwh", "usd", "source"]),
        ("as_of = [", ["not valid TOML"]),
    ],
)
def test_mistakes_in_a_vendors_file_end_with_2_and_name_the_keys(
    vendors: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "site.toml").write_text(SITE, encoding="utf-8")
    (tmp_path / "v.toml").write_text(vendors, encoding="utf-8")
    asked = ["size", str(tmp_path), "--vendors", str(tmp_path / "v.toml"), "--out", str(tmp_path / "o")]
    assert run(asked) == 2
    said = capsys.readouterr().err
    assert all(w in said for w in words) and "Traceback" not in said


def test_a_site_that_is_not_there_ends_with_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["size", "nowhere", "--out", str(tmp_path)]) == 2
    assert "no such site file" in capsys.readouterr().err
