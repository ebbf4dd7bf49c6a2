"""Capacity by year is the wear model's own, year by year, and drives value and replacement in the pro forma."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from valuestack.assets.battery import Battery
from valuestack.assets.wear.fade import fade
from valuestack.dispatch import Record
from valuestack.errors import DataError, InputError
from valuestack.finance.finance import Finance, Value
from valuestack.finance.proforma import cash_flow
from valuestack.finance.wear import wear_of
from valuestack.timeline import Timeline


def cycled() -> tuple[Battery, Record]:
    """A year of hours, one cycle of 80 % a day."""
    t = Timeline("2019-01-01T00:00", 1.0, 8760, "Etc/GMT+8")
    battery = Battery(power_kw=100.0, energy_kwh=400.0, wear_model="nmc-xu-2018")
    stored = 200 + 160 * np.sin(2 * np.pi * np.arange(t.n) / 24)
    net = np.diff(np.concatenate(([stored[-1]], stored)))
    return battery, Record(t, net, asset_kw={"battery": net}, stored_kwh={"battery": stored})


def test_capacity_is_the_wear_models_and_drives_the_pro_forma() -> None:
    battery, record = cycled()
    made, _ = wear_of(battery, record, years=12, strategy="replace", replace_at_frac=0.8, usd_per_kwh=200.0)
    soc = record.stored_kwh["battery"] / 400.0
    for year in (1, 5, 12):
        one = fade(battery.stress, soc, 25.0, 1.0, years=float(year))
        assert made.capacity_frac[year - 1] == pytest.approx(max(0.0, one.capacity_frac))
    assert made.energy_kwh == 400.0 and made.capacity_frac[0] < 1
    finance = Finance(start_date=date(2026, 1, 1), analysis_years=12, discount_frac=0.08, wear=made)
    flow = cash_flow(finance, [Value("tariff", 1, 1000.0)])
    due = next(k for k, c in enumerate(made.capacity_frac, start=1) if c <= 0.8)
    assert flow.lines["replacement and augmentation"][due] == pytest.approx(-80_000.0)
    assert flow.lines["L1 tariff"][1] == pytest.approx(1000 * (1 + made.capacity_frac[0]) / 2)
    assert flow.lines["L1 tariff"][due + 1] == pytest.approx(flow.lines["L1 tariff"][1])


def test_what_has_no_wear_model_is_refused() -> None:
    battery, record = cycled()

    class Bare:
        name = "tank"

    with pytest.raises(InputError, match="has no stress"):
        wear_of(Bare(), record, years=3)
    with pytest.raises(DataError, match="no state of charge"):
        wear_of(battery.model_copy(update={"name": "other"}), record, years=3)
    with pytest.raises(InputError, match="at least 1"):
        wear_of(battery, record, years=0)
