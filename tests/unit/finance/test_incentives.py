"""Credits and depreciation: dated rules, worked examples, and every reason for less."""

from __future__ import annotations

from datetime import date
from math import fsum

import pytest

from valuestack.errors import InputError
from valuestack.finance.incentives import (
    Project,
    bonus,
    class_life,
    investment_credit,
    macrs,
    rows,
    schedule,
)
from valuestack.finance.lcc import depreciation_worth, effective_cost, present_worth


def project(begins: str, placed: str = "2027-06-01", **more: object) -> Project:
    return Project(date.fromisoformat(begins), date.fromisoformat(placed), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("technology", "begins", "placed", "frac"),
    [
        ("storage", "2025-06-01", "2026-06-01", 0.30),
        ("storage", "2033-12-31", "2035-01-01", 0.30),
        ("storage", "2034-01-01", "2035-01-01", 0.225),
        ("storage", "2035-12-31", "2037-01-01", 0.15),
        ("storage", "2036-01-01", "2037-01-01", 0.0),
        ("solar", "2026-07-04", "2029-01-01", 0.30),
        ("solar", "2026-07-05", "2027-12-31", 0.30),
        ("solar", "2026-07-05", "2028-01-01", 0.0),
        ("solar", "2028-01-01", "2028-06-01", 0.0),
    ],
)
def test_phases_by_the_day_construction_begins(
    technology: str, begins: str, placed: str, frac: float
) -> None:
    got = investment_credit(technology, project(begins, placed, prevailing_wage=True))
    assert got.frac == pytest.approx(frac), got.reasons
    assert got.reasons


def test_rates_and_adders() -> None:
    at = "2025-06-01"
    assert investment_credit("storage", project(at)).frac == pytest.approx(0.06)
    assert investment_credit("storage", project(at, ac_kw=999.0)).frac == pytest.approx(0.30)
    assert investment_credit("storage", project(at, ac_kw=1000.0)).frac == pytest.approx(0.06)
    both = {"domestic_content": True, "energy_community": True}
    assert investment_credit("storage", project(at, prevailing_wage=True, **both)).frac == pytest.approx(0.5)
    low = investment_credit("storage", project(at, **both))
    assert low.frac == pytest.approx(0.10) and any("not verified" in a for a in low.assumptions)


def test_foreign_content_is_asked_from_2026_on() -> None:
    base = {"prevailing_wage": True}
    assert investment_credit("storage", project("2025-12-31", **base)).frac == 0.30
    open_ = investment_credit("storage", project("2026-02-01", **base))
    assert open_.frac == 0.30 and any(
        "prohibited foreign entities, not verified" in a for a in open_.assumptions
    )
    assert investment_credit("storage", project("2026-02-01", foreign_free_frac=0.54, **base)).frac == 0.0
    assert investment_credit("storage", project("2027-02-01", foreign_free_frac=0.60, **base)).frac == 0.30
    assert investment_credit("storage", project("2032-02-01", foreign_free_frac=0.74, **base)).frac == 0.0


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(InputError, match="section 48"):
        investment_credit("storage", project("2024-12-31"))
    with pytest.raises(InputError, match="known: solar, storage"):
        investment_credit("wind", project("2025-06-01"))
    with pytest.raises(InputError, match="no table for 6-year"):
        macrs(6)


@pytest.mark.parametrize("row", rows("depreciation", "macrs"), ids=lambda r: str(r["class_y"]))
def test_tables_are_whole_and_follow_their_method(row: dict[str, object]) -> None:
    """Half-year convention recomputed: declining balance (200 %, 150 % from 15 years on) until straight line is more"""
    years = int(row["class_y"])  # type: ignore[call-overload]
    shares = macrs(years)
    assert fsum(shares) == pytest.approx(1.0, abs=1e-9)
    rate, left = (1.5 if years >= 15 else 2.0) / years, 1.0
    for k, share in enumerate(shares[:-1]):
        factor = 0.5 if k == 0 else 1.0
        straight = left / (years - k + 0.5) if k else left / years
        by_hand = factor * max(rate * left, straight)
        assert share == pytest.approx(by_hand, abs=1.1e-4), (years, k)
        left -= by_hand


@pytest.mark.parametrize(
    ("years", "percent"),
    [
        (5, (20.00, 32.00, 19.20, 11.52, 11.52, 5.76)),
        (7, (14.29, 24.49, 17.49, 12.49, 8.93, 8.92, 8.93, 4.46)),
    ],
)
def test_the_published_half_year_tables(years: int, percent: tuple[float, ...]) -> None:
    """IRS Publication 946, appendix A, table A-1 (general depreciation system, half-year convention)."""
    assert [100 * share for share in macrs(years)] == pytest.approx(percent)


def test_worked_credit_and_depreciation() -> None:
    """A published example: $500,000 system, 26 % credit: basis 435,000; at 31 % depreciation saves 134,850 in all.
    The other: $100,000 and 26 %: basis 87,000, all of it in year 1 under 100 % bonus."""
    assert 500_000 * (1 - 0.26 / 2) == 435_000
    assert 0.31 * 435_000 * fsum(schedule(5, 0.0)) == pytest.approx(134_850)
    assert 100_000 * (1 - 0.26 / 2) * schedule(5, 1.0)[0] == pytest.approx(87_000)
    # effective cost by hand: 100,000 at 30 %, 100 % bonus, tax 26 %, 6.24 %: all at the end of year 1.
    by_hand = 100_000 - (30_000 + 0.26 * 85_000) / 1.0624
    got = effective_cost(
        100_000, credit_frac=0.3, class_y=5, bonus_frac=1.0, tax_frac=0.26, discount_frac=0.0624, years=25
    )
    assert got == pytest.approx(by_hand)


def test_factors_as_reopt_states_them() -> None:
    assert present_worth(25, 0.0166, 0.0624) == pytest.approx(14.82, abs=0.005)
    assert present_worth(10, 0.0166, 0.0624) == pytest.approx(7.91, abs=0.02)
    assert depreciation_worth(5, 0.0, 0.0624) == pytest.approx(0.8475, abs=5e-5)
    assert present_worth(7, 0.05, 0.05) == 7.0


def test_bonus_by_the_day_of_acquisition() -> None:
    assert bonus(date(2025, 1, 20)) == (1.0, ())
    frac, notes = bonus(date(2025, 1, 19))
    assert frac == 0.4 and "not verified" in notes[0]
    assert bonus(date(2019, 1, 1))[0] == 0.0
    life, warned = class_life("battery")
    assert life == 5 and "20-year" in warned[0]
    assert schedule(0, 1.0) == ()
