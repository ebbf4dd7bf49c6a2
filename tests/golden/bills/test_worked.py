"""Worked examples that others published or measured, each with its source."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import valuestack as vs

YEAR = vs.Timeline(start="2018-01-01T00:00", step_h=1.0, n=8760, tz="Etc/GMT+8")
ALL = [[0] * 24] * 12


def due(*items: dict[str, Any], kw: Any, **known: Any) -> Any:
    data = {
        "name": "worked",
        "source": "see the test",
        "verified": True,
        "holidays": [],
        "items": list(items),
    }
    return vs.bill(vs.load_tariff(data), YEAR, kw, **known)


def test_tiers_shared_by_periods() -> None:
    """PySAM Utilityrate5 7.1.1 bills 1,500 + 500 kWh, a first tier of 1,000 kWh at 0.10 and 0.30 above, at 400 USD."""
    peak = [[0] * 12 + [1] * 6 + [0] * 6] * 12
    ladder = {"tiers": [{"usd_per_kwh": 0.1, "upto": 1000.0}, {"usd_per_kwh": 0.3}]}
    kw = np.zeros(8760)
    kw[0:10], kw[12:17] = 150.0, 100.0
    found = due({"kind": "energy", "periods": [ladder, ladder], "weekday": peak, "weekend": ALL}, kw=kw)
    assert found.total_usd == pytest.approx(400.0)


def test_eighty_per_cent_look_back() -> None:
    """URDB lookbackPercent (openei.org/services/doc/rest/util_rates): B = max(P, 0.80 x highest of 11)."""
    item = {"kind": "demand", "periods": [{"tiers": [{"usd_per_unit": 10.0}]}], "months": [0] * 12,
            "ratchet": {"share_frac": 0.8, "months": 11}}  # fmt: skip
    flat = np.full(8760, 100.0)
    assert list(due(item, kw=flat).ledger.by("cycle").values()) == pytest.approx([-1_000.0] * 12)
    july = flat.copy()
    july[np.flatnonzero(YEAR.month == 7)[250]] = 200.0
    months = [-1_000.0] * 6 + [-2_000.0] + [-1_600.0] * 5
    assert list(due(item, kw=july).ledger.by("cycle").values()) == pytest.approx(months)


def test_orange_and_rockland_reactive_demand() -> None:
    """oru.com, 'Calculating power factor': 1,000 kW and 750 kvar are 416.7 kvar in excess, 166.68 USD."""
    item = {"kind": "power_factor", "method": "excess_kvar", "usd_per_unit": 0.40, "kvar_per_kw": 1 / 3,
            "no_charge_from": 0.95, "round_kvar": 0.1}  # fmt: skip
    found = due(item, kw=np.full(8760, 1_000.0), net_kvar=np.full(8760, 750.0))
    assert [round(e.usd, 2) for e in found.ledger] == [-166.68] * 12


def test_power_factor_floor() -> None:
    """foretaggroup.com, power factor clauses: 800 kW at 0.80 under a floor of 0.90 are billed as 900 kW."""
    demand = {"kind": "demand", "periods": [{"tiers": [{"usd_per_unit": 1.0}]}], "months": [0] * 12}
    floor = {"kind": "power_factor", "method": "floor", "floor_frac": 0.90}
    found = due(demand, floor, kw=np.full(8760, 800.0), net_kvar=np.full(8760, 600.0))
    assert found.total_usd == pytest.approx(12 * 900.0)
