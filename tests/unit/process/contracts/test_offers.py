"""Offers compared: every dollar goes to somebody, rights hold in the plan, a larger share may leave the owner less."""

from __future__ import annotations

import tomllib
from datetime import date
from math import fsum
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from valuestack.errors import InputError
from valuestack.process.contracts.offers import _at_share, compare
from valuestack.report.offered import BUCKETS, Compared, Replay
from valuestack.site.files import load, shipped
from valuestack.site.offer import Offer, load_offer, with_offers

pytestmark = pytest.mark.slow

SITE = "first-story"
WEEK = {"first_date": date(2021, 7, 5), "until_date": date(2021, 7, 12)}


def site(**more: Any) -> Any:
    values = tomllib.loads(shipped("sites")[SITE].read_text(encoding="utf-8"))
    values["study"] = {**values.get("study", {}), **WEEK}
    values["assets"][0]["warranty"] = {"years": 10.0, "cycles_per_y": 365.0, "throughput_mwh": 3000.0}
    values["streams"] = [
        {
            "kind": "outage",
            "name": "outages",
            "damage": "ice-1-medium-large",
            "starts_every_h": 24.0,
            "horizon_h": 24.0,
            "bins": 20,
            "critical": {"kw": 150.0},
        },
        {"kind": "reserve", "name": "1-hour reserve", "hours": 1.0, "critical": {"kw": 150.0}},
    ]
    return load({**values, **more})


def written(name: str) -> dict[str, Any]:
    return tomllib.loads(shipped("offers")[name].read_text(encoding="utf-8"))


def high() -> Offer:
    values = written("regulation-90")
    values["financier"] = {"name": "bank", "revenue_frac": 0.1, "usd_per_y": 5200.0}
    values["contracts"][0]["override"] = {"causes": ["safety"]}
    values["contracts"][0]["wear"] = {"usd_per_mwh": 5.0}
    return load_offer(values)


@pytest.fixture(scope="module")
def found() -> Compared:
    return compare(site(), [high(), load_offer(written("regulation-70"))])


def replays(found: Compared) -> list[Replay]:
    return [r for o in found.offers for r in (o.owner, o.aggregator)]


def test_every_gross_dollar_goes_to_somebody_to_the_cent(found: Compared) -> None:
    for r in replays(found):
        assert set(r.split_usd) == set(BUCKETS)
        assert fsum(r.split_usd.values()) == pytest.approx(r.gross_usd, abs=0.005)
        assert r.split_usd["owner"] == pytest.approx(r.more_usd, abs=0.005)
    assert any(r.gross_usd > 0 for r in replays(found))


def test_the_sums_are_those_of_the_ledger(found: Compared) -> None:
    """Net, aggregator and financier against the ledger of the replay, told apart by counterparty alone."""
    for o in found.offers:
        for r in (o.owner, o.aggregator):
            paid = fsum(e.usd for e in r.ledger)
            none = found.none
            more = (none.bill_usd - r.bill_usd) + (paid - none.ledger.total_usd)
            more += r.operation_usd - none.operation_usd
            assert r.more_usd == pytest.approx(more, abs=0.005)
            theirs = -fsum(e.usd for e in r.ledger if e.counterparty == "aggregator")
            bank = -fsum(e.usd for e in r.ledger if e.counterparty == "bank")
            assert r.split_usd["aggregator"] == pytest.approx(theirs, abs=0.005)
            assert r.split_usd["financier"] == pytest.approx(bank, abs=0.005)
            market = fsum(e.usd for e in r.ledger if e.counterparty == "system operator" and e.usd > 0)
            assert r.gross_usd == pytest.approx(market, abs=0.005)
    assert next(o for o in found.offers if o.share_frac == 0.9).aggregator.split_usd["financier"] > 0


def test_damage_is_the_bill_with_less_the_bill_without(found: Compared) -> None:
    for r in replays(found):
        assert fsum(r.damage.values()) == pytest.approx(r.bill_usd - found.none.bill_usd, abs=0.005)
        assert fsum(r.damage.values()) == pytest.approx(r.split_usd["utility"], abs=0.005)


def test_rights_hold_in_the_plan_of_the_counterparty(found: Compared) -> None:
    night = next(o for o in found.offers if o.share_frac == 0.7).aggregator
    assert night.gross_usd > 0
    assert 0 < night.commanded_h <= 8 * 7 + 1e-9
    assert not [n for r in replays(found) for n in r.notes if "at most" in n or "outside" in n]


def test_the_counterparty_earns_most_and_the_owner_nets_most_where_each_commands(found: Compared) -> None:
    wide = next(
        o for o in found.offers if o.share_frac == 0.9
    )  # no right of his is limited in time or cycles
    assert wide.aggregator.gross_usd >= wide.owner.gross_usd * 0.99
    for o in found.offers:
        assert o.owner.net_usd >= o.aggregator.net_usd
    # round the clock the bill pays for it: nine tenths leave the owner less than seven
    by = {o.share_frac: o.ranked for o in found.offers}
    assert by[0.9].gross_usd > by[0.7].gross_usd
    assert by[0.9].net_usd < by[0.7].net_usd
    assert any("leaves the owner" in s and "less than one of 70" in s for s in found.said)
    assert found.order[0][1].net_usd == max(r.net_usd for _, r in found.order)
    assert "no offer" in [n for n, _ in found.order]


def test_the_break_even_share_is_worth_no_offer() -> None:
    """A night offer without fixed costs: at the share stated, the same dispatch nets what no offer does."""
    values = written("regulation-70")
    values.pop("fees", None)
    values["streams"][0].pop("cost", None)
    values["contracts"][0].pop("term", None)
    offer = load_offer(values)
    bare = site(streams=[])
    one = compare(bare, [offer], ceded=False)
    r = one.offers[0].aggregator
    assert r.break_even_kw == 0.0 or r.break_even_kw is None
    if r.break_even_frac is None:  # the share of one is not enough: then one nets less than none
        assert compare(bare, [_at_share(offer, 1.0)], ceded=False).offers[0].aggregator.more_usd < 0
    elif r.break_even_frac > 0:
        again = compare(bare, [_at_share(offer, r.break_even_frac)], ceded=False)
        assert again.offers[0].aggregator.more_usd == pytest.approx(0.0, abs=0.01)


def test_wear_and_warranty_stand_beside_the_money(found: Compared) -> None:
    for r in replays(found):
        (w,) = r.wear
        assert {t.name for t in w.spent.terms} == {"cycles a year", "energy over the term"}
        for t in w.spent.terms:
            assert (t.breach is not None) == (t.used > t.limit)
    busy = next(o for o in found.offers if o.share_frac == 0.9).aggregator
    assert busy.wear[0].full_cycles > found.none.wear[0].full_cycles


def test_a_reserve_is_kept_by_the_clause_and_spent_without_it(found: Compared) -> None:
    by = {o.share_frac: o for o in found.offers}
    for o in found.offers:
        assert all(k.breaches_after == 0 for k in o.owner.reserves)
        assert o.ceded is not None and all(k.breaches_before == 0 for k in o.ceded.reserves)
    assert any("no cause for override" in n for n in by[0.9].aggregator.notes)
    odds = [s for s in by[0.9].aggregator.survival if s.hours == 1.0]
    assert odds and all(0 <= s.after_frac <= 1 for s in odds)


def test_the_guarantee_is_paid_whatever_happens() -> None:
    values = written("regulation-90")
    values["contracts"][0]["revenue"] = {
        "owner_frac": 0.0,
        "penalty_owner_frac": 0.0,
        "guaranteed_usd_per_month": 900.0,
    }
    one = compare(site(streams=[]), [load_offer(values)], ceded=False).offers[0]
    assert one.guaranteed_usd_per_y == 10800.0
    for r in (one.owner, one.aggregator):
        if r.gross_usd:
            kept = fsum(e.usd for e in r.ledger if "guarantee" in e.item)
            assert kept == pytest.approx(900.0, rel=0.01)


# --- what people write ----------------------------------------------------------------------------------


def test_every_mistake_of_every_offer_is_said_at_once() -> None:
    a, b = written("regulation-90"), written("regulation-90")
    a["contracts"][0]["streams"] = ["regulatoin"]
    a["contracts"][0]["asset"] = "batery"
    b["contracts"][0].pop("asset")
    b["contracts"][0]["dispatch"] = {"max_cycles_per_y": 10.0}
    with pytest.raises(InputError) as caught:
        with_offers(site(), [load_offer(a), load_offer(b)])
    text = str(caught.value)
    for said in ("did you mean 'regulation'", "'batery' is no asset", "count cycles of a store", "2 offers"):
        assert said in text


def test_an_unknown_key_names_its_neighbours(tmp_path: Path) -> None:
    path = tmp_path / "offer.toml"
    path.write_text(
        'name = "x"\n[[contracts]]\nname = "c"\nstreams = ["s"]\n[contracts.revenue]\nowner_share = 0.9\n'
    )
    with pytest.raises(InputError, match="did you mean owner_frac"):
        load_offer(path)
    with pytest.raises(InputError, match="did you mean the example 'regulation-90'"):
        load_offer("regulation-9")


def test_shipped_offers_fit_their_sites() -> None:
    for name in shipped("offers"):
        made = load_offer(name)
        home = "first-story" if made.streams else "data-centre"
        held = with_offers(load(home), [made])
        assert {s.name for m in held.meters for s in m.streams} >= set(made.covered)


def test_a_stream_that_the_rules_refuse_cannot_be_offered() -> None:
    values = written("regulation-90")
    values["streams"][0]["product"] = "pjm-regulation"
    with pytest.raises(InputError, match="cannot stand at this site"):
        compare(site(), [load_offer(values)])


def test_exit_costs_by_year() -> None:
    assert load_offer("regulation-90").exit_usd() == (60000.0, 45000.0, 30000.0, 15000.0, 15000.0)
    assert np.isclose(load_offer("regulation-70").years, 3.0)
