"""Every shipped site: it loads, all its layers run on ten days of its year, and what they settle adds up."""

from __future__ import annotations

import tomllib
from datetime import date, timedelta
from math import fsum, isfinite
from typing import Any

import pytest

import valuestack as vs
from valuestack.report import page
from valuestack.site.files import shipped

SITES = shipped("sites", ".toml")
LAYERED = [name for name in SITES if name != "first-story"]
DAYS = 10
FEWER = {"food-plant": 4}  # two nodes of a cold store beside curtailable solar are slow to plan


def short(name: str, **changes: Any) -> dict[str, Any]:
    """Ten days of July of a site, under today's rules alone: what these refuse is left out."""
    written = tomllib.loads(SITES[name].read_text(encoding="utf-8"))
    year = vs.load_site(name).meters[0]
    start = tomllib.loads(year.data.read_text(encoding="utf-8"))["start"]
    first = date(start.year, 7, 8)
    written["study"] = {
        **written.get("study", {}),
        "first_date": first,
        "until_date": first + timedelta(days=FEWER.get(name, DAYS)),
    }
    written.pop("then", None)
    # What stands for the rules of the story alone, and what the tariff's critical peaks exclude.
    written["streams"] = [
        x
        for x in written.get("streams", ())
        if x["name"] != "regulation, one award" and x.get("product") != "elrp"
    ]
    return {**written, **changes}


@pytest.mark.parametrize("name", list(SITES))
def test_every_site_loads_and_says_where_its_figures_come_from(name: str) -> None:
    site = vs.load_site(name)
    assert site.meters and site.written.what
    text = SITES[name].read_text(encoding="utf-8")
    assert "Chosen here" in text or "chosen here" in text, "what is a choice is said to be one"
    for s in site.written.series:
        assert s.source, f"{s.name} has no source"


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERED)
def test_all_layers_settle_and_add_up(name: str) -> None:
    study = vs.study(short(name))
    (stack,) = study.stacks
    whole = stack.whole
    assert isfinite(whole.total_usd)
    assert whole.total_usd == pytest.approx(fsum((*whole.by_stream.values(), whole.operation_usd)), abs=1e-6)
    assert fsum(stack.shares_usd.values()) == pytest.approx(whole.total_usd, abs=0.01), "shares are the whole"
    services = fsum(e.usd for e in stack.services)
    beyond = fsum(v for (layer, _), v in whole.by_stream.items() if layer != 1)
    assert services == pytest.approx(beyond, abs=1e-6)
    by_layer = fsum(stack.whole.layer_usd(layer) for layer in stack.layers)
    assert by_layer + whole.operation_usd == pytest.approx(whole.total_usd, abs=1e-6)
    assert "All layers in one plan" in page.render(study)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "table", "key", "value"),
    [
        ("corporate-campus", "streams", "premium_frac", 0.30),
        ("corporate-campus", "assets", "dc_kw", 1500.0),
        ("corner-shop", "assets", "energy_kwh", 60.0),
        ("ski-resort", "streams", "fixed_usd_per_kw_month", 5.0),
        ("manufacturer", "streams", "usd_per_mwh", 50.0),
        ("pharma-cold-store", "streams", "damage", "ice-1-medium-large"),
    ],
)
def test_an_input_of_a_layer_moves_its_money(name: str, table: str, key: str, value: Any) -> None:
    before = vs.study(short(name)).stacks[0].whole
    written = short(name)
    changed = False
    for entry in written[table]:
        if key in entry and not changed:
            entry[key], changed = value, True
    assert changed
    after = vs.study(written).stacks[0].whole
    assert after.by_stream != before.by_stream or after.operation_usd != before.operation_usd


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["utility_first", "dynamic"])
@pytest.mark.parametrize("name", ["ski-resort", "data-centre"])
def test_realised_stands_beside_a_bound_of_the_same(name: str, policy: str) -> None:
    """Whatever a policy could answer: the realised case is the tariff's, as its bound is, and does not beat it."""
    written = short(name)
    written["study"]["policy"] = policy
    study = vs.study(written)
    assert not study.realised.services, "nobody calls in a study"
    room = study.objective_usd - study.lower_bound_usd
    assert study.net_usd(study.realised) <= study.net_usd(study.bound) + room + 0.01
    assert study.capture_frac is not None and study.capture_frac <= 1.0 + 1e-6
