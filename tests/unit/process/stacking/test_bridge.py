"""The bridge from a claim to then and to now: figures come from settled sets, parts sum to them, gaps are told."""

from __future__ import annotations

from datetime import date
from math import fsum
from typing import Any

import pytest

import valuestack as vs
from tests.unit.process.stacking.test_layers import BATTERY, deal, written
from valuestack.assets.flexible_load import FlexibleLoad
from valuestack.errors import InputError
from valuestack.finance.finance import Finance
from valuestack.process.stacking.bridge import FIGURES
from valuestack.process.stacking.investment import with_controls
from valuestack.report import page

OUTAGE = {
    "kind": "outage",
    "name": "outages",
    "damage": "cold-store-4h",
    "starts_every_h": 24.0,
    "critical": {"load_frac": 1.0},
}
FINANCE = {
    "preset": "reopt",
    "start_date": date(2026, 1, 1),
    "capex": [{"name": "battery", "kind": "battery", "usd": 400_000.0, "technology": "storage"}],
}
EVERY = {
    "text": "it does wonders",
    "source": "somebody",
    "saving_usd_per_y": 50_000.0,
    "grid_services_usd_per_y": 10_000.0,
    "payback_y": 3.0,
    "outage_usd": 2_800_000.0,
    "outage_h": 4.0,
    "premium_frac": 0.15,
    "also": ["peak_cut_frac", "resilience_npv_usd", "conflict_frac"],
}


def claimed(**more: Any) -> dict[str, Any]:
    """A deal that began after the claim's day, so that it is worth nothing then."""
    return written(
        then=date(2023, 7, 1),
        assets=[{**BATTERY, "soc_min_frac": 0.1}],
        streams=[OUTAGE, deal(valid_from=date(2025, 1, 1), valid_to=date(2030, 1, 1))],
        finance=FINANCE,
        claim=EVERY,
        **more,
    )


@pytest.fixture(scope="module")
def found() -> vs.Study:
    return vs.study(claimed())


def test_every_figure_claimed_is_answered_or_its_lack_is_told(found: vs.Study) -> None:
    by = {c.what: c for c in found.claims}
    assert set(by) == {f.what for f in FIGURES.values()}
    now, then = found.stacks
    saving = by[FIGURES["saving_usd_per_y"].what]
    assert saving.claimed == 50_000 and saving.realised == found.realised_saving_usd / found.span_y
    assert saving.now == now.whole.layer_usd(1) / now.span_y
    assert saving.then == then.whole.layer_usd(1) / then.span_y
    premium = by[FIGURES["premium_frac"].what]
    assert premium.now is None and any("no firm certificates" in b for b in premium.because)
    assert by[FIGURES["outage_usd"].what].now == pytest.approx(2_800_000, rel=0.05)
    assert by[FIGURES["conflict_frac"].what].claimed is None


def test_what_a_deal_is_worth_hangs_on_the_day(found: vs.Study) -> None:
    grid = next(c for c in found.claims if c.what == FIGURES["grid_services_usd_per_y"].what)
    assert grid.then is None and grid.now is not None and grid.now > 0
    assert any(b.startswith("then: not allowed: ") and "deal" in b for b in grid.because)
    assert any(b.startswith("then: nothing to set beside it") for b in grid.because)


def test_parts_sum_to_what_they_are_parts_of(found: vs.Study) -> None:
    shown = [c for c in found.claims if c.steps]
    assert {c.what for c in shown} >= {
        FIGURES[k].what for k in ("saving_usd_per_y", "grid_services_usd_per_y")
    }
    for c in shown:
        assert fsum(s.now or 0.0 for s in c.steps) == pytest.approx(
            c.now, abs=0.005 * len(c.steps) / found.span_y
        )


def test_two_days_with_the_same_rules_are_said_to_be_the_same() -> None:
    same = claimed()
    same["streams"] = [OUTAGE, deal()]
    found = vs.study(same)
    assert all(any("then and now are the same" in b for b in c.because) for c in found.claims)
    assert all(c.then == c.now for c in found.claims)


def test_the_page_carries_the_bridge(found: vs.Study) -> None:
    html = page.render(found)
    assert "then (2023-07-01)" in html and "under the rules of the claim" in html
    assert "less the claim" in html and "it does wonders" in html


@pytest.mark.parametrize(
    ("claim", "word"),
    [
        ({"outage_usd": 1.0}, "outage_h"),
        ({"outage_h": 4.0}, "outage_usd"),
        ({"saving_usd_per_y": 1.0, "also": ["saving_usd_per_y"]}, "leave it out of also"),
        ({"also": ["wonders"]}, "also"),
    ],
)
def test_a_claim_that_contradicts_itself_is_refused(claim: dict[str, Any], word: str) -> None:
    with pytest.raises(InputError, match=word):
        vs.load_site(written(claim={"text": "x", "source": "y", **claim}))


def test_a_series_that_nothing_reads_is_named() -> None:
    series = [{"name": "idle", "value": 1.0, "unit": "USD"}]
    found = vs.study(written(series=series))
    assert [f.where for f in found.findings if f.kind == "unread_series"] == ["series idle"]


def test_controls_of_what_moves_are_bought_and_kept_up_once() -> None:
    """What an asset says of its controls stands in the pro forma, unless the pro forma names it itself."""
    finance = Finance.model_validate({"preset": "reopt", "start_date": date(2026, 1, 1)})
    load = FlexibleLoad(
        name="drying", shed_kw=100.0, control_capex_usd=40_000.0, control_om_usd_per_y=2_000.0, source="test"
    )
    made = with_controls(finance, [load])
    assert [(c.name, c.usd) for c in made.capex] == [("controls of drying", 40_000.0)]
    assert [(r.name, r.usd_per_y) for r in made.running] == [("upkeep of drying", 2_000.0)]
    assert with_controls(made, [load]) == made
    assert with_controls(finance, []) == finance
