"""One plan, explained: what cannot be had and what gave way, of what a share is made, what the reserve costs."""

from __future__ import annotations

import json
from datetime import date
from math import fsum, inf
from typing import Any

import pytest

import valuestack as vs
from tests.unit.process.stacking.test_layers import BATTERY, OUTAGE, RESERVE, deal, written
from valuestack.errors import SolverError
from valuestack.ledger import Entry
from valuestack.process.stacking import layers
from valuestack.process.stacking.budget import Budget
from valuestack.process.stacking.meters import ready
from valuestack.process.stacking.served import break_even
from valuestack.report import page, stack_page

WORN = {**BATTERY, "replacement_usd_per_kwh": 60.0, "soc_start_frac": 0.95}
CARBON = {
    "kind": "carbon", "name": "carbon", "average_kg_per_kwh": 0.4, "marginal_kg_per_kwh": 0.5, "source": "test",
}  # fmt: skip


@pytest.fixture(scope="module")
def study() -> Any:
    """A site whose streams can be had together."""
    cost = {"usd_per_y": 1200.0, "staff_h_per_y": 10.0, "staff_usd_per_h": 80.0, "source": "test"}
    return vs.study(written(assets=[WORN], streams=[OUTAGE, RESERVE, deal(cost=cost), CARBON]))


@pytest.fixture(scope="module")
def text(study: Any) -> str:
    return page.render(study)


@pytest.fixture(scope="module")
def torn() -> Any:
    """A deal that keeps 200 kW ready for four hours, and a reserve of most of the same battery."""
    reserve = {**RESERVE, "hours": 2.0}
    return vs.study(
        written(
            assets=[WORN],
            streams=[OUTAGE, reserve, deal(assets=["battery"], hold_frac=1.0, hold_h=4.0)],
            study={"first_date": date(2025, 7, 8), "until_date": date(2025, 7, 12)},
        )
    )


def test_streams_that_contradict_are_named_before_solving_by_owner_and_time(torn: Any) -> None:
    (stack,) = torn.stacks
    (meter, clash) = stack.conflicts[0]
    assert meter == "store" and clash.binding and set(clash.owners) == {"deal", "reserve", "battery"}
    assert clash.name == "deal/ready" and clash.when.startswith("2025-07-08T16:00")
    assert "842.1" in clash.what and clash.remedy  # 200 kW x 4 h / 0.95 of one-way efficiency
    (finding,) = [f for f in stack.findings if f.kind == "conflict"]
    assert finding.severity == "error" and "deal" in finding.where and "2025-07-08T16:00" in finding.what


def test_a_plan_exists_all_the_same_and_says_who_gave_way(torn: Any) -> None:
    (stack,) = torn.stacks
    assert [r.owner for _, r in stack.relaxed] == ["deal"], "resilience yields last"
    assert not stack.extra["reserve"].check.breaches
    ((_, bent),) = stack.relaxed
    assert bent.amount > 0 and bent.when.startswith("2025-07-08T16:00") and bent.usd_per_unit > 0
    assert any("gave way" in h and "deal" in h for h in torn.head)
    text = page.render(torn)
    assert "Conflicts before solving" in text and "What gave way in the plan" in text
    told = json.loads(json.dumps(torn.to_dict(), default=str, allow_nan=False))["stacks"][0]
    assert told["relaxed"][0]["owner"] == "deal" and told["conflicts"][0]["first_at"].startswith("2025-07-08")
    # what bending is priced at is no money: the whole is what its streams settle to
    assert stack.whole.total_usd == pytest.approx(
        fsum((*stack.whole.by_stream.values(), stack.whole.operation_usd)), abs=1e-6
    )


def test_an_impossible_meter_says_so_by_name_owner_and_time() -> None:
    """The service carries less than the load: no stream asks for anything, and the study still says it."""
    base = written(study={"first_date": date(2025, 7, 8), "until_date": date(2025, 7, 10)})
    meter = {**base["meters"][0], "interconnection": {"import_limit_kw": 20.0}}
    found = vs.study({**base, "meters": [meter]})
    (clash,) = [f for f in found.findings if f.kind == "conflict"]
    assert "interconnection" in clash.where and "lets 20 kW in" in clash.what and "2025-07-08" in clash.what
    assert any(r.owner == "interconnection" for _, r in found.relaxed)
    assert any("gave way" in h for h in found.head)
    section = stack_page.conflicts(found)
    assert section is not None and "What gave way in the plan, dearest first" in [
        p.title for p in section.parts
    ]


def test_where_all_can_be_had_it_is_said(study: Any, text: str) -> None:
    (stack,) = study.stacks
    assert not stack.conflicts and not stack.relaxed and not study.conflicts and not study.relaxed
    assert "no conflict was found, and no limit had to give way" in text


def test_items_of_each_share_sum_to_the_cent(study: Any) -> None:
    (stack,) = study.stacks
    shares = stack.cent_shares_usd
    assert round(fsum(shares.values()), 2) == round(stack.whole.total_usd, 2)
    for layer in stack.layers:
        parts = [i.share_usd for i in stack.items if i.layer == layer]
        assert round(fsum(parts), 2) == shares[layer]
        assert all(round(p, 2) == p for p in parts)
        settled = fsum(i.settled_usd for i in stack.items if i.layer == layer and i.own)
        assert settled == pytest.approx(stack.whole.layer_usd(layer), abs=1e-6)
    named = {(i.layer, i.stream, i.item) for i in stack.items if i.own}
    assert {
        (1, "tariff of store", "energy"),
        (1, "tariff of store", "demand"),
        (3, "deal", "capacity"),
    } <= named
    assert any(i.layer == 3 and i.of_layer == 1 for i in stack.items), (
        "what serving the market moves in the bill"
    )
    table = stack_page.share_table(stack)
    assert table.rows[-1][-1] == pytest.approx(stack.whole.total_usd, abs=0.005)


def test_the_reserve_has_a_price_and_no_breach(study: Any, text: str) -> None:
    (stack,) = study.stacks
    cost = stack.extra["cost of the reserve"]
    per_y = 1 / stack.span_y
    free, whole = stack.subsets[(1, 3, 4)], stack.whole
    other = fsum(whole.layer_usd(k) for k in (1, 3, 4)) + whole.operation_usd
    assert cost.premium_usd_per_y == pytest.approx((free.total_usd - other) * per_y)
    assert cost.premium_usd_per_y >= -(cost.within_usd_per_y or 0.0) - 1e-6 * abs(free.total_usd) * per_y
    (kept,) = cost.kept
    assert kept.breaches == 0 and kept.breaches_without > 0 and kept.starts == 960
    assert kept.survived_frac >= kept.survived_without_frac > 0
    assert "Cost of the reserve" in text and "without the reserve" in text


def test_carbon_keeps_its_two_questions_apart(study: Any) -> None:
    (stack,) = study.stacks
    report = stack.extra["carbon"]
    record, load = stack.case.records["store"], study.meters[0].load_kw
    h = record.timeline.step_h
    assert report.now.location_kg == pytest.approx(0.4 * record.net_kw.clip(0).sum() * h)
    assert report.before.location_kg == pytest.approx(0.4 * load.sum() * h)
    assert report.now.avoided_kg == pytest.approx(0.5 * (load - record.net_kw).sum() * h)
    titles = list(report.tables())
    assert "average" in titles[0] and "marginal" in titles[1]
    assert "24/7 score is not counted" in report.sentences[-1], "nothing carbon-free is named here"


def test_cost_to_serve_and_break_even_stand_on_the_page(study: Any, text: str) -> None:
    (stack,) = study.stacks
    (rows,) = stack.tables.values()
    row = next(r for r in rows if r["stream"] == "deal")
    assert row["of_it_fixed_usd_per_y"] == 2000.0
    assert row["cost_to_serve_usd_per_y"] == pytest.approx(2000.0)
    assert row["unit"] == "kW" and row["served"] == pytest.approx(200.0)
    # 2,000 USD a year over what a kW earns in one
    assert row["break_even"] == pytest.approx(2000.0 / (row["earned_usd_per_y"] / 200.0))
    assert "break-even" in text


def test_break_even_takes_the_cost_of_a_unit_off_its_price() -> None:
    def line(item: str, quantity: float, unit: str, usd: float) -> Entry:
        return Entry("2025-07", 4, "rec", item, "buyer", quantity, unit, None, usd)

    entries = [line("certificates/a", 100.0, "MWh", 3000.0), line("cost to serve/issuance", 100.0, "MWh", -500.0),
               line("cost to serve/fixed", 1.0, "y", -1500.0)]  # fmt: skip
    assert break_even(entries, 1.0) == (100.0, "MWh", pytest.approx(1500.0 / 25.0))
    assert break_even([line("certificates/a", 10.0, "MWh", 40.0), *entries[1:]], 1.0)[2] == inf
    assert break_even(entries[1:], 1.0) == (None, "", None)


def test_cycles_cross_at_the_plans_own_count(study: Any, text: str) -> None:
    (stack,) = study.stacks
    found = stack.cycling["battery"]
    assert found.own_per_y > 0
    assert found.crossing_per_y[0] == pytest.approx(found.own_per_y, rel=1e-3)
    assert "How much cycling pays" in text


def test_a_budget_is_shared_and_never_overdrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    budget = Budget(90.0, sets=3)
    budget.start()
    spent = 0.0
    for limit in (budget.of_bound_s, budget.of_set_s(2.0), budget.of_set_s(), budget.of_set_s()):
        spent += limit
        assert limit >= 1.0
    assert spent <= 90.0
    now[0] = 89.5
    assert budget.of_set_s() == 1.0 and budget.left_s == 0.5


def test_every_set_names_the_gap_that_it_reached(study: Any) -> None:
    (stack,) = study.stacks
    for s in stack.subsets.values():
        assert s.gap_usd is not None and s.gap_usd >= 0 and s.proved
    told = stack.to_dict()["subsets"][-1]
    assert {"gap_usd", "gap_frac", "proved", "limits_relaxed", "plan_of"} <= set(told)
    assert stack_page.set_table(stack).columns[-1].title == "best within"


def test_a_set_that_no_time_was_left_for_stands_on_the_plan_of_a_larger_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A plan of more layers keeps every limit of fewer, so it is one; that it is not the best is said."""
    real, asked = layers.bound_run, []

    def once(*args: Any, **options: Any) -> Any:
        asked.append(1)
        if len(asked) > 1:
            raise SolverError("out of time")
        return real(*args, **options)

    monkeypatch.setattr(layers, "bound_run", once)
    days = {"first_date": date(2025, 7, 8), "until_date": date(2025, 7, 10)}
    (stack,) = vs.study(written(streams=[OUTAGE, RESERVE, deal()], study=days)).stacks
    small = stack.subsets[(3,)]
    assert small.plan_of == "the plan of layers 1 + 2 + 3"
    assert small.gap_usd is None and not small.proved
    (said,) = [f for f in stack.findings if f.kind == "not_proved"]
    assert (
        "layers 3 not known, the plan of layers 1 + 2 + 3 stands for it" in said.what
        and "time_limit_s" in said.remedy
    )
    assert fsum(stack.shares_usd.values()) == pytest.approx(stack.whole.total_usd, abs=1e-6)


def test_a_loose_plan_gives_way_to_a_better_one_that_keeps_its_limits() -> None:
    """Sets then differ by their streams, not by what each search left undone; what would break a limit is not taken."""
    days = {"first_date": date(2025, 7, 8), "until_date": date(2025, 7, 11)}
    site = vs.load_site(written(streams=[RESERVE, deal()], study=days))
    p = layers.placed(site, ready(site, site.meters[0]), date(2026, 11, 1))
    view = p.ready.view(p.ready.new, p.streams)
    tariff, by_layer = list(p.ready.stream.terms(view)), {s.layer: s for s in p.streams}

    def planned(key: tuple[int, ...], gap_usd: float, like: Any = None) -> Any:
        streams = [s for s in p.streams if s.layer in key]
        terms = [*tariff, *(t for k in key if k != 1 for t in by_layer[k].terms(view))]
        run = layers.bound_run(p.ready, rounds=0, terms=terms) if like is None else like
        return layers._Planned(layers._of_streams(run, streams, p.ready), key, gap_usd=gap_usd)

    good = planned((1,), 0.0)
    poor = planned((1, 2), 0.0).run  # a reserve that is not asked of layer 1 alone costs it something
    worth = layers._Worth(p)
    lost = worth.usd(good.run, (1,)) - worth.usd(poor, (1,))
    assert lost > 1
    runs = {(1,): [planned((1,), 500.0, poor)], (1, 3): [planned((1, 3), 0.0, good.run)]}
    (mended,) = layers._exchanged([p], runs)[(1,)]
    assert worth.usd(mended.run, (1,)) == pytest.approx(worth.usd(good.run, (1,)))
    assert mended.gap_usd == pytest.approx(500.0 - lost) and not mended.of
    # The reserve is a limit: a plan made without it is none with it, however much it is worth.
    runs = {(1, 2): [planned((1, 2), 500.0, poor)], (1,): [good]}
    assert not layers._exchanged([p], runs)
    # A plan that is proven stands.
    assert not layers._exchanged([p], {(1,): [planned((1,), 0.5, poor)], (1, 3): [planned((1, 3), 0.0)]})
