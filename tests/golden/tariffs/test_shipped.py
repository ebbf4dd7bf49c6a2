"""Every shipped tariff loads, names its source, bills a load, and says what about it is not verified."""

from __future__ import annotations

import json
from importlib.resources import files

import numpy as np
import pytest

from valuestack.streams.retail.bill import bill
from valuestack.streams.retail.facts import BillFacts
from valuestack.streams.retail.tariff import load_tariff, shipped_tariffs
from valuestack.timeline import Timeline

T = Timeline(start="2019-01-01T00:00", step_h=1.0, n=8760, tz="America/Los_Angeles")
FACTS = BillFacts(
    power_factor=0.9,
    cpp_events=["2019-07-10"],
    prices=np.full(T.n, 0.05),
    coincident_hours=[f"2019-{m:02d}-15T16:00" for m in range(1, 13)],
)
KW = 800 + 300 * np.sin((T.hour - 8) / 24 * 2 * np.pi)


@pytest.mark.parametrize("name", shipped_tariffs())
def test_a_shipped_tariff_is_sourced_dated_and_billed(name: str) -> None:
    tariff = load_tariff(name)
    assert (
        tariff.name == name and tariff.source.startswith("https://") and tariff.source_date and tariff.utility
    )
    made = bill(tariff, T, KW, facts=FACTS)
    assert 0.02 < made.total_usd / KW.sum() < 0.6  # USD/kWh of a real C&I bill
    for item in tariff.items:
        if getattr(item, "verified", True) is False:
            assert any(item.note in a for a in made.assumptions), item.note
    raw = json.loads(
        files("valuestack").joinpath("data", "tariffs", f"{name}.json").read_text(encoding="utf-8")
    )
    assert "verified" in raw and any("CC0" in n for n in raw["notes"])


def test_the_kinds_that_must_be_there_are_there() -> None:
    tariffs = {n: load_tariff(n) for n in shipped_tariffs()}
    items = [i for t in tariffs.values() for i in t.items]
    assert len(tariffs) >= 10
    assert any(i.kind == "critical_peak" for i in items)
    assert any(i.kind == "demand" and i.ratchet is not None for i in items)
    assert any(i.kind == "power_factor" for i in items)
    assert any(i.kind == "energy" and i.by_demand for i in items)
    assert any(i.kind == "supply" for i in items)


def test_sdge_demand_charges_by_hand() -> None:
    # URDB 6772f0268322c2ebdc04e77e: 30.63 flat; 30.80 + 14.81 on-peak June to October, 32.93 otherwise, USD/kW
    made = bill(load_tariff("sdge-al-tou-over-500kw"), T, np.full(T.n, 1000.0), facts=FACTS)
    demand = -sum(e.usd for e in made.ledger if e.item.startswith("demand"))
    assert demand == pytest.approx(12 * 30630 + 5 * 45610 + 7 * 32930, abs=0.01)


def test_dte_hours_use_by_hand() -> None:
    # URDB 5d9502ee5457a3912e61b9f2: 200 kWh per kW at 0.04384, the rest at 0.03384, both + 0.003417 USD/kWh
    made = bill(load_tariff("dte-d4-large-general"), T, np.full(T.n, 1000.0), facts=FACTS)
    july = -sum(e.usd for e in made.ledger if e.item.startswith("energy") and e.cycle == "2019-07")
    assert july == pytest.approx(200_000 * 0.047257 + 544_000 * 0.037257, abs=0.01)
