"""Power-factor correction: textbook kvar, bank and inverter by hand, and a bill of excess kvar."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuestack.errors import InputError
from valuestack.streams.resilience.correction import (
    BankPrice,
    annuity,
    banked,
    by_inverter,
    inverter_vars,
    needed_kvar,
    rank,
    resonance_order,
    size_bank,
)
from valuestack.timeline import Kw

KW = np.array([100.0, 400.0, 400.0, 200.0])
KVAR = np.array([80.0, 300.0, 300.0, 150.0])
BANK = BankPrice(step_kvar=50.0, capex_usd_per_kvar=40.0, capex_usd=1000.0, life_y=15.0)


def bill(kw: Kw, kvar: Kw) -> float:
    """60 USD for each kvar of the peak above half of the peak kW, and a kWh price."""
    return 60.0 * max(0.0, float(kvar.max()) - 0.5 * float(kw.max())) + 0.1 * float(kw.sum())


def test_textbook_kvar() -> None:
    # 100 kW from 0.80 to 0.95: 100 (0.7500 - 0.3287) = 42.1 kvar
    assert needed_kvar(100.0, 0.80, 0.95) == pytest.approx(42.13, abs=0.01)
    assert needed_kvar(100.0, 0.95, 0.80) == 0.0
    with pytest.raises(InputError, match=r"power_factor = 1\.2"):
        needed_kvar(100.0, 1.2, 0.95)


def test_bank_switches_whole_steps_and_never_leads() -> None:
    assert banked(KVAR, 200.0, 50.0).tolist() == [30.0, 100.0, 100.0, 0.0]
    assert banked(np.array([-20.0, 49.0]), 200.0, 50.0).tolist() == [-20.0, 49.0]


def test_inverter_gives_what_its_circle_leaves() -> None:
    # sqrt(250^2 - 200^2) = 150; sqrt(250^2 - 250^2) = 0
    left = by_inverter(KVAR, np.array([0.0, -200.0, 250.0, 200.0]), 250.0)
    assert left.tolist() == [0.0, 150.0, 300.0, 0.0]
    assert by_inverter(np.array([-90.0]), np.zeros(1), 50.0).tolist() == [-40.0]


def test_the_best_size_is_the_one_that_the_bill_stops_paying_for() -> None:
    ranked = size_bank(KW, KVAR, bill, BANK, years=1.0, rate_frac=0.06)
    assert len(ranked) == 6 and ranked[0].kvar == 100.0, "300 kvar less half of 400 kW"
    best = ranked[0]
    assert best.saving_usd_per_y == pytest.approx(6000.0) and best.capex_usd == 5000.0
    assert best.payback_y == pytest.approx(5 / 6)
    assert best.npv_usd == pytest.approx(6000 * (1 - 1.06**-15) / 0.06 - 5000)
    assert "not checked" in best.notes[0]


def test_vars_that_are_there_against_a_bank() -> None:
    vars_ = inverter_vars(
        KW, KVAR, bill, np.zeros(4), 120.0, years=1.0, rate_frac=0.06, life_y=15.0, loss_frac=0.02
    )
    assert vars_.saving_usd_per_y == pytest.approx(
        60 * (100 - max(0, 180 - 0.5 * (400 + 2.4))) - 0.1 * 0.02 * (80 + 3 * 120), abs=1e-6
    )
    assert vars_.capex_usd == 0 and vars_.payback_y == 0
    ranked = rank([*size_bank(KW, KVAR, bill, BANK, years=1.0, rate_frac=0.06), vars_])
    assert ranked[0] is vars_
    never = rank(
        [*size_bank(KW, np.zeros(4), bill, BANK, years=1.0, rate_frac=0.06, largest_kvar=50.0), vars_]
    )
    assert never[-1].payback_y == inf


def test_resonance_is_named() -> None:
    # 5 MVA against 200 kvar: sqrt(25) = 5
    assert resonance_order(5000.0, 200.0) == pytest.approx(5.0)
    found = size_bank(KW, KVAR, bill, BANK, years=1.0, rate_frac=0.06, short_circuit_kva=5000.0)
    notes = {c.kvar: c.notes for c in found}
    assert "order 5.0, near 5" in notes[200.0][0] and notes[300.0] == ()


@settings(max_examples=40, deadline=None)
@given(
    kvar=st.lists(st.floats(-100, 400), min_size=1, max_size=20),
    size=st.integers(1, 8),
    rating=st.floats(1, 300),
)
def test_correction_never_raises_reactive_load(kvar: list[float], size: int, rating: float) -> None:
    q = np.array(kvar)
    for left in (banked(q, 50.0 * size, 50.0), by_inverter(q, np.zeros(q.size), rating)):
        assert (np.abs(left) <= np.abs(q) + 1e-6).all()


def test_annuity_and_bad_input() -> None:
    assert annuity(0.0, 10) == 10 and annuity(0.1, 2) == pytest.approx(1 / 1.1 + 1 / 1.21)
    with pytest.raises(InputError, match="one series each"):
        size_bank(KW, KVAR[:2], bill, BANK, years=1.0, rate_frac=0.06)
    with pytest.raises(InputError, match="years = 0"):
        size_bank(KW, KVAR, bill, BANK, years=0.0, rate_frac=0.06)
