"""Sites that contradict themselves, through the command line: owner, clause and remedy in one message, exit code 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.test_bad_input import folder, told  # noqa: F401 (a fixture)

Capture = pytest.CaptureFixture[str]

HEAD = """
name = "x"
tz = "America/Los_Angeles"
iso = "CAISO"
state = "CA"
utility = "PG&E"
as_of = 2026-07-01
[[meters]]
name = "m"
data = "load.csv"
[[meters.tariffs]]
tariff = "flat.json"
[[assets]]
kind = "battery"
name = "battery"
power_kw = 100.0
energy_kwh = 200.0
"""
ENGINE = """
[[assets]]
kind = "generator"
name = "engine"
rated_kw = 200.0
permit = "emergency"
tank_gal = 500.0
"""
ELRP = """
[[streams]]
kind = "demand_response"
name = "emergency reduction"
product = "elrp"
assets = ["battery"]
events = []
"""
PROXY = """
[[streams]]
kind = "demand_response"
name = "proxy resource"
product = "caiso-pdr"
assets = ["battery"]
energy_usd_per_kwh = 0.1
net_benefits_usd_per_kwh = 0.05
events = []
aggregated = true
"""
BASE_INTERRUPTIBLE = """
[[streams]]
kind = "demand_response"
name = "interruptible"
product = "bip-pge"
assets = ["engine"]
firm_kw = 50.0
nomination_kw = 100.0
capacity_usd_per_kw_month = 9.0
shortfall_usd_per_kwh = 2.0
events = []
"""
ACROSS_THE_METER = """
[[streams]]
kind = "demand_response"
name = "virtual plant"
assets = ["battery"]
events = []
[streams.product]
name = "export-programme"
version = "test"
title = "Programme that buys exports"
kind = "demand_response"
market = "CPUC"
valid_from = 2020-01-01
export = "required"
[streams.product.demand_response]
measure = "baseline"
baseline = "caiso-10-of-10"
energy = "fixed"
energy_usd_per_kwh = 1.0
[[streams.product.sources]]
figures = ["export", "valid_from", "demand_response"]
source = "made for this test"
verified = false
"""
OUTAGE = """
[[streams]]
kind = "outage"
name = "outages"
[streams.critical]
kw = 50.0
[streams.damage]
name = "mine"
points = [[-1.0, 500.0], [4.0, 9000.0]]
source = "test"
"""


def refused(capsys: Capture, at: Path, text: str) -> str:
    """What the study says of a site that it refuses."""
    (at / "site.toml").write_text(HEAD + text)
    code, out, err = told(capsys, "study", str(at / "site.toml"), "--out", str(at / "out"))
    assert code == 2, out + err
    assert not (at / "out" / "report.html").exists()
    return " ".join((out + err).split())


def test_programmes_that_exclude_each_other(capsys: Capture, folder: Path) -> None:  # noqa: F811
    said = refused(capsys, folder, ELRP + PROXY)
    assert "emergency reduction" in said and "proxy resource" in said  # the owners
    assert "bans caiso-pdr" in said  # the clause
    assert "drop emergency reduction or proxy resource" in said or "drop proxy resource" in said  # the remedy


def test_an_emergency_engine_in_a_paid_programme(capsys: Capture, folder: Path) -> None:  # noqa: F811
    said = refused(capsys, folder, ENGINE + BASE_INTERRUPTIBLE)
    assert "interruptible" in said and "engine may not be paid for running" in said
    assert "emergency_only_generators_allowed = false" in said
    assert "leave it out of assets" in said and "permit it for non-emergency use" in said


def test_a_product_that_buys_exports_on_a_site_that_may_not_export(
    capsys: Capture,
    folder: Path,  # noqa: F811
) -> None:
    said = refused(capsys, folder, ACROSS_THE_METER)
    assert (
        "virtual plant" in said
        and "export: Programme that buys exports pays for power across the meter" in said
    )
    assert "interconnection.export_limit_kw" in said


def test_an_outage_cost_with_negative_hours(capsys: Capture, folder: Path) -> None:  # noqa: F811
    said = refused(capsys, folder, OUTAGE)
    assert "outages" in said and "points.0: -1 h" in said and "check the sign" in said


def test_a_deal_that_sells_the_same_kilowatts_twice(capsys: Capture, folder: Path) -> None:  # noqa: F811
    deal = """
[[streams]]
kind = "bilateral"
name = "deal {0}"
source = "contract {0}"
valid_from = 2020-01-01
capacity_kw = 50.0
fixed_usd_per_kw_month = 3.0
firm_kw = 100.0
assets = ["battery"]
"""
    said = refused(capsys, folder, deal.format("a") + deal.format("b"))
    assert "deal a" in said and "deal b" in said and "may not be sold twice as capacity" in said
    assert "different assets, or drop one" in said


def test_all_of_them_at_once_are_told_at_once(capsys: Capture, folder: Path) -> None:  # noqa: F811
    said = refused(capsys, folder, ENGINE + BASE_INTERRUPTIBLE + ACROSS_THE_METER)
    assert "interruptible" in said and "virtual plant" in said


def test_an_impossible_site_is_told_by_name_owner_and_time_and_still_planned(
    capsys: Capture,
    folder: Path,  # noqa: F811
) -> None:
    """Not a refusal: limits give way at a stated price, and that stands above every figure."""
    limit = "[meters.interconnection]\nimport_limit_kw = 50.0\n[[assets]]"
    days = "[study]\nfirst_date = 2021-05-10\nuntil_date = 2021-05-13\n"
    (folder / "site.toml").write_text(HEAD.replace("[[assets]]", limit) + days)
    code, out, err = told(
        capsys, "study", str(folder / "site.toml"), "--out", str(folder / "out"), "--formats", "json"
    )
    assert code == 0, out + err
    said = " ".join(out.replace("│", " ").split())
    assert "no plan meets every requirement of this site: limits of interconnection, battery gave way" in said
    report = json.loads((folder / "out" / "report.json").read_text(encoding="utf-8"))
    (clash,) = report["conflicts"]
    assert (
        clash["meter"] == "m" and "lets 50 kW in" in clash["what"] and clash["when"].startswith("2021-05-10")
    )
    assert report["relaxed"][0]["owner"] == "interconnection" and report["relaxed"][0]["most"] > 0
