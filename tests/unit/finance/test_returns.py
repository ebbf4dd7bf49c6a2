"""Present value, rates and payback against numpy's roots and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuestack.errors import InputError
from valuestack.finance.returns import irr, irr_all, npv, payback_y, times


def test_textbook() -> None:
    """-1000, 500, 400, 300, 100: IRR 14.49 % (a standard example of corporate finance texts)."""
    assert irr([-1000, 500, 400, 300, 100]) == pytest.approx(0.144888, abs=1e-6)
    assert payback_y([-1000, 500, 400, 300, 100]) == pytest.approx(2 + 1 / 3)
    # discounted at 10 %: 454.5 + 330.6 = 785.1 after two years, 225.4 more in the third: 2 + 214.9 / 225.4
    assert payback_y([-1000, 500, 400, 300, 100], rate_frac=0.10) == pytest.approx(2.953, abs=1e-3)


def test_two_rates_are_both_found() -> None:
    """-100, 230, -132: worth nothing at 10 % and at 20 %."""
    assert irr_all([-100, 230, -132]) == pytest.approx((0.10, 0.20))
    assert irr([-100, 230, -132]) == pytest.approx(0.10)


@pytest.mark.parametrize("flows", [[0, 0], [-1, -2], [1, 2], [-100, 0, 0]])
def test_no_rate(flows: list[float]) -> None:
    assert irr(flows) is None


def test_payback_edges() -> None:
    assert payback_y([-1, 0.5]) is None
    assert payback_y([0, 5]) == 0.0
    # falls back below zero: the last crossing counts
    assert payback_y([-10, 20, -15, 10]) == pytest.approx(2.5)
    assert payback_y([-60, 120]) == pytest.approx(0.5)


def test_rates_far_out() -> None:
    assert irr([-1, 500]) == pytest.approx(499.0, rel=1e-9)
    assert irr([-100, 5]) == pytest.approx(-0.95)
    with pytest.raises(InputError, match="above -1"):
        npv([-1, 1], -1.0)


def test_mid_year() -> None:
    """A single flow at mid-year: -100, 121 at t = 0.5: (1.21)^2 - 1."""
    assert irr([-100, 121], times(2, "mid")) == pytest.approx(1.21**2 - 1)
    assert npv([-100, 121], 0.1, times(2, "mid")) == pytest.approx(-100 + 121 / 1.1**0.5)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.integers(-1000, 1000).map(float), min_size=2, max_size=12))
def test_against_polynomial_roots(flows: list[float]) -> None:
    """Every simple real root of the polynomial in 1/(1+r) inside the range is found, and every one found is a root."""
    c = np.array(flows)
    found = irr_all(c)
    for r in found:
        assert abs(npv(c, r)) <= 1e-6 * max(1.0, float(np.abs(c / (1 + r) ** np.arange(c.size)).max()))
    if not np.any(c):
        return
    roots = np.roots(c[::-1])
    real = np.unique(np.round(roots[np.abs(roots.imag) < 1e-9].real, 9))
    rates = [1 / v - 1 for v in real if 1 / 990 < v < 900]
    for r in rates:
        near = [q for q in rates if q != r and abs(np.log1p(q) - np.log1p(r)) < 0.02]
        slope = (npv(c, r + 1e-5 * (1 + r)) - npv(c, r - 1e-5 * (1 + r))) if r > -0.99 else 0.0
        if not near and abs(slope) > 1e-3 and npv(c, r - 0.005 * (1 + r)) * npv(c, r + 0.005 * (1 + r)) < 0:
            assert any(abs(q - r) < 1e-5 * (1 + abs(r)) for q in found), (r, found)
