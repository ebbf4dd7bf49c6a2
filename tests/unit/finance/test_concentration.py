"""One market under an investment: against the pro forma by hand, brute force, and the map that the docs print."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuestack.errors import InputError
from valuestack.finance import concentration as c
from valuestack.finance.finance import Finance, Value
from valuestack.finance.proforma import cash_flow

PAGE = Path(__file__).resolve().parents[3] / "docs" / "explanation" / "warnings.md"
PLAIN = Finance.model_validate(
    {
        "start_date": "2026-01-01",
        "discount_frac": 0.07,
        "inflation_frac": 0.0,
        "analysis_years": 20,
        "capex": [{"name": "portfolio", "usd": 1e6, "macrs_class_y": 0}],
        "tax": {"exempt": True},
    }
)
# The portfolio of the page: REopt's conventions, a million of equipment without credit, promised 12 %.
PORTFOLIO = Finance.model_validate(
    {
        "preset": "reopt",
        "start_date": "2026-01-01",
        "capex": [{"name": "portfolio", "usd": 1e6, "macrs_class_y": 5}],
    }
)
SHARES, YEAR, PROMISED = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), 3, 0.12


@settings(max_examples=40, deadline=None)
@given(share=st.floats(0, 1), left=st.floats(0, 1), year=st.integers(0, 20), usd=st.floats(1e4, 5e5))
def test_a_collapse_is_an_annuity_cut_short(share: float, left: float, year: int, usd: float) -> None:
    """Without tax and escalation: -K + V a(20) - V share (1 - left) (a(20) - a(year)), a = annuity factor."""

    def a(n: int) -> float:
        return sum(1.07**-t for t in range(1, n + 1))

    found = c.collapsed(PLAIN, c.split(usd, share), c.MARKET, left_frac=left, year=year)
    want = -1e6 + usd * a(20) - usd * share * (1 - left) * (a(20) - a(year))
    assert found.npv_usd == pytest.approx(want, abs=1e-4)


def test_nothing_changes_where_all_is_left_and_other_streams_never_do() -> None:
    values = c.split(150_000.0, 0.4)
    same = c.collapsed(PORTFOLIO, values, c.MARKET, left_frac=1.0, year=3)
    assert same.npv_usd == pytest.approx(cash_flow(PORTFOLIO, values).npv_usd)
    fallen = c.collapsed(PORTFOLIO, values, c.MARKET, left_frac=0.2, year=3)
    np.testing.assert_array_equal(fallen.lines["L1 base"], same.lines["L1 base"])


def test_the_most_share_is_where_nothing_is_left() -> None:
    usd = c.promised_usd_per_y(PORTFOLIO, PROMISED)
    assert cash_flow(PORTFOLIO, c.split(usd, 1.0)).irr_frac == pytest.approx(PROMISED, abs=1e-6)
    share = c.most_share(PORTFOLIO, usd, left_frac=0.2, year=YEAR)
    assert 0 < share < 1
    npv = c.share_map(PORTFOLIO, usd, shares=(share,), lefts_frac=(0.2,), year=YEAR)[0, 0]
    assert npv == pytest.approx(0.0, abs=1.0)
    assert c.most_share(PORTFOLIO, usd, left_frac=1.0, year=YEAR) == 1.0


def test_sites_in_one_market_are_one_bet() -> None:
    """Against drawn collapses: many independent markets, and many sites in one."""
    rng = np.random.default_rng(0)
    for markets, p, left in ((1, 0.1, 0.2), (4, 0.1, 0.2), (10, 0.3, 0.0)):
        lost = (rng.random((200_000, markets)) < p).mean(axis=1) * (1 - left)
        worst = np.sort(lost)[::-1][: int(0.05 * lost.size)].mean()
        assert c.tail_lost_frac(markets, p, left) == pytest.approx(worst, abs=0.005)
    assert c.tail_lost_frac(1, 0.05, 0.0) == pytest.approx(1.0)
    assert c.tail_lost_frac(8, 0.05, 0.0) < 0.4


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="no value belongs"):
        c.collapsed(PLAIN, [Value("tariff", 1, 1.0, "contractual")], "credits", left_frac=0.5, year=1)
    with pytest.raises(InputError, match="left_frac"):
        c.collapsed(PLAIN, c.split(1.0, 0.5), c.MARKET, left_frac=1.5, year=1)


def documented() -> float:
    """Credit price of October 2023 over that of April 2019, as printed on the pages that the data name."""
    text = files("valuestack").joinpath("data", "environment", "lcfs.toml").read_text(encoding="utf-8")
    rows = {str(r["valid_from"]): float(r["usd_per_credit"]) for r in tomllib.loads(text)["price"]}
    return rows["2023-10-31"] / rows["2019-04-12"]


def table_of_the_page() -> list[str]:
    """The map as the page prints it: NPV for each dollar invested."""
    lefts = (1.0, 0.75, 0.5, documented(), 0.225, 0.0)
    usd = c.promised_usd_per_y(PORTFOLIO, PROMISED)
    npv = c.share_map(PORTFOLIO, usd, shares=SHARES, lefts_frac=lefts, year=YEAR) / PORTFOLIO.capex_usd
    most = [c.most_share(PORTFOLIO, usd, left_frac=f, year=YEAR) for f in lefts]
    head = ["100 %", "75 %", "50 %", f"{documented():.0%} (a)".replace("%", " %"), "20 to 25 % (b)", "0 %"]
    rows = ["| share of value on the market | " + " | ".join(head) + " |", "|---|" + "---|" * len(head)]
    for s, line in zip(SHARES, npv):
        mark = " (c)" if s == 1.0 else ""
        rows.append(f"| {s * 100:.0f} %{mark} | " + " | ".join(f"{v + 0.0:+.2f}" for v in line) + " |")
    rows.append("| most that leaves an NPV of zero | " + " | ".join(f"{m * 100:.0f} %" for m in most) + " |")
    return rows


def test_the_page_prints_what_is_computed() -> None:
    found = re.search(
        r"<!-- concentration map -->\n(.*?)\n\n", PAGE.read_text(encoding="utf-8") + "\n\n", re.S
    )
    assert found is not None and found[1].splitlines() == table_of_the_page()


def test_the_page_prints_the_tail() -> None:
    found = re.search(
        r"<!-- concentration tail -->\n(.*?)\n\n", PAGE.read_text(encoding="utf-8") + "\n\n", re.S
    )
    assert found is not None and found[1].splitlines() == tail_of_the_page()


def tail_of_the_page() -> list[str]:
    """Share of value lost in the worst twentieth of cases."""
    rows = ["| chance that a market collapses | 1 market | 2 | 4 | 8 | 16 |", "|---|---|---|---|---|---|"]
    for p in (0.02, 0.05, 0.1, 0.2):
        lost = [c.tail_lost_frac(n, p, 0.225) for n in (1, 2, 4, 8, 16)]
        rows.append(f"| {p * 100:.0f} % | " + " | ".join(f"{v * 100:.0f} %" for v in lost) + " |")
    return rows
