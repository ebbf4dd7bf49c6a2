"""kW to enrol, judged by brute force: sites written anew at each enrolment of a grid, each planned and settled.

Payments by performance, charges above a firm level, least quantities and steps bend NPV over the kW enrolled; what is
found must be the best of the grid all the same, within the tolerance stated here, and never worse than as written.
"""

from __future__ import annotations

import copy
import json
import tomllib
from datetime import date
from math import inf
from typing import Any

import numpy as np
import pytest

from valuestack.errors import InfeasibleError
from valuestack.process.stacking.sizing import size
from valuestack.process.stacking.sizing.case import Case, case_of
from valuestack.process.stacking.sizing.enrolment import enrolment, joint, overpromised, sized_and_enrolled
from valuestack.process.stacking.sizing.optimum import ENROLLED
from valuestack.process.stacking.sizing.programme import enrolled, programmes, sold_twice
from valuestack.process.stacking.sizing.settled import settled
from valuestack.report.sized import Outcome
from valuestack.report.sizing_page import render
from valuestack.site.files import load, shipped

pytestmark = pytest.mark.slow

FIRST: dict[str, Any] = tomllib.loads(shipped("sites")["first-story"].read_text(encoding="utf-8"))
WITHIN = 0.01  # of the best NPV of the grid: how much the pick may lie below it

# A firm service level with what stands above it charged, and a special case resource with half again for what is
# missing. Each counts from 1,900 kW.
BIP: dict[str, Any] = {
    "kind": "demand_response",
    "name": "bip",
    "product": "bip-pge",
    "as_of": date(2026, 7, 1),
    "assets": ["battery"],
    "firm_kw": 1700.0,
    "nomination_kw": 200.0,
    "capacity_usd_per_kw_month": 9.0,
    "shortfall_usd_per_kwh": 6.0,
    "events": [{"start": "2021-06-08T14:00", "hours": 2.0}],
}
SCR: dict[str, Any] = {
    "kind": "demand_response",
    "name": "scr",
    "product": "nyiso-scr",
    "as_of": date(2026, 7, 1),
    "assets": ["battery"],
    "coincident_load_kw": 1900.0,
    "nomination_kw": 200.0,
    "capacity_usd_per_kw_month": 12.0,
    "energy_usd_per_kwh": 0.5,
    "events": [{"start": "2021-06-08T14:00", "hours": 2.0}, {"start": "2021-06-10T14:00", "hours": 2.0}],
}
KINDS = {"firm service level": BIP, "special case resource": SCR}


def at(stream: dict[str, Any], kw: float) -> dict[str, Any]:
    """The stream as a person would write another enrolment."""
    out = copy.deepcopy(stream)
    out["nomination_kw"] = kw
    if "firm_kw" in out:
        out["firm_kw"] = 1900.0 - kw
    return out


def site(*streams: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Six days of the first story with programmes."""
    out = copy.deepcopy(FIRST)
    out.pop("claim")
    out["study"] = {"first_date": date(2021, 6, 7), "until_date": date(2021, 6, 13), "wear_rounds": 2}
    out["streams"] = [copy.deepcopy(s) for s in streams]
    return out | more


def case_for(*streams: dict[str, Any], **more: Any) -> Case:
    return case_of(load(site(*streams, **more)), None, lambda *_: None)[0]


def npv_of(*streams: dict[str, Any]) -> float:
    case = case_for(*streams)
    try:
        found = settled(case, case.m.new, "grid").npv_usd
    except InfeasibleError:
        return -inf
    assert found is not None
    return found


def row(o: Outcome | None, name: str) -> dict[str, Any]:
    assert o is not None
    return dict(next(r for r in o.enrolment if r["programme"] == name))


# Kept headroom costs saving on the bill, so that NPV bends: nothing, something between and the most are all best once.
READY = {"hold_frac": 0.5, "hold_h": 1.0}
CASES = [
    (BIP | {"capacity_usd_per_kw_month": 1.0}, "most"),
    (BIP | READY | {"capacity_usd_per_kw_month": 23.3}, "between"),
    (BIP | READY | {"capacity_usd_per_kw_month": 12.0}, "nothing"),
    (SCR | READY | {"capacity_usd_per_kw_month": 22.0}, "between"),
    (SCR | {"capacity_usd_per_kw_month": 9.0}, "most"),
]


@pytest.mark.parametrize(("stream", "where"), CASES, ids=[f"{s['name']}, {w}" for s, w in CASES])
def test_the_pick_is_the_best_of_a_grid_of_settled_enrolments(stream: dict[str, Any], where: str) -> None:
    case = case_for(stream)
    made = enrolment(case, case.m.new, "battery")
    found = row(made, stream["name"])
    most = float(np.floor(found["held_kw"]))
    none = npv_of()
    grid = [none, *(npv_of(at(stream, kw)) for kw in np.linspace(100.0, most, 8))]
    spread = max(grid) - min(g for g in grid if g > -inf)
    assert made is not None and made.npv_usd is not None
    assert made.npv_usd >= max(grid) - WITHIN * spread
    assert made.npv_usd >= npv_of(stream) - 1e-6 * abs(none), "never worth less than as written"
    kw = found["enrolled_kw"]
    assert kw in (0.0, 200.0) or 100.0 <= kw <= most
    assert {"nothing": kw == 0.0, "between": 0 < kw < most, "most": kw == most}[where]
    if kw:  # its money is what a site written so settles
        assert made.npv_usd == pytest.approx(npv_of(at(stream, kw)), rel=1e-5)
    at_end = {"nothing": "earns is less", "between": "earns is less", "most": "hold at every hour"}[where]
    assert at_end in found["limited_by"]
    assert (found["next_kw_npv_usd"] > 0) == (where == "most")


def test_what_is_held_is_told_by_hand() -> None:
    """1,080 kWh from 20 % up, one way sqrt(0.8986): 864 x 0.948 = 819 kWh; over 6 h of a BIP call 136.5 kW, over 2 h
    409.5 kW; less the amount by which the highest load stands above the 1,900 kW that both count from."""
    case = case_for(BIP, SCR)
    kept = 1080.0 * 0.8 * 0.8986**0.5
    peak = float(np.max(case.m.before_kw))
    by_name = {p.name: p for p in programmes(case, case.m.new)}
    assert by_name["bip"].held_kw == pytest.approx(1900.0 - peak + kept / 6, rel=1e-9)
    assert by_name["scr"].held_kw == pytest.approx(1900.0 - peak + kept / 2, rel=1e-9)
    assert (by_name["bip"].least_kw, by_name["bip"].step_kw) == (100.0, 1.0)


def test_enrolments_snap_to_none_the_least_steps_and_the_most() -> None:
    case = case_for(BIP)
    (p,) = programmes(case, case.m.new)
    assert [p.snapped(kw) for kw in (0.0, 49.0, 51.0, 100.4, 200.0, 250.9)] == [0, 0, 100, 100, 200, 250]


def test_the_joint_problem_finds_what_the_grid_finds_and_no_enrolment_beats_its_bound() -> None:
    """Where terms are lines in the kW enrolled, one problem with the plan has them as a decision."""
    stream = BIP | READY | {"capacity_usd_per_kw_month": 23.3}
    case = case_for(stream)
    on_offer = programmes(case, case.m.new)
    found = joint(case, [], case.m.new, on_offer)
    assert found is not None and found.problem is not None and found.sized.proved
    kw = found.sized.size[f"bip.{ENROLLED}"]
    assert 100.0 < kw < on_offer[0].most_kw
    assert npv_of(at(stream, kw)) >= max(npv_of(at(stream, kw + d)) for d in (-40.0, 40.0))


def test_kw_are_not_promised_twice() -> None:
    """BIP and another that sells capacity exclude one another; two deals that do not share what serves both."""
    deal: dict[str, Any] = {
        "kind": "bilateral",
        "source": "by hand",
        "valid_from": date(2021, 1, 1),
        "firm_kw": 1700.0,
        "capacity_kw": 200.0,
        "fixed_usd_per_kw_month": 3.0,
        "penalty_usd_per_kwh": 6.0,
        "max_event_h": 2.0,
        "exclusive": False,
        "assets": ["battery"],
    }
    one, two = deal | {"name": "one"}, deal | {"name": "two", "fixed_usd_per_kw_month": 5.0}
    case = case_for(one, two)
    open_ = programmes(case, case.m.new)
    made = enrolment(case, case.m.new, "battery")
    most = open_[0].held_kw
    sold = {n: row(made, n)["enrolled_kw"] for n in ("one", "two")}
    assert sum(sold.values()) <= most + 1e-9
    assert sold["two"] >= 0.9 * most, "the dearer one takes the kW"
    assert "together promise more than" in row(made, "one")["limited_by"]
    both = case_for(BIP, SCR)
    open_ = programmes(both, both.m.new)
    assert "sold twice" in sold_twice(open_, {"bip": 100.0, "scr": 100.0}, both.m.timeline)
    assert sold_twice(open_, {"bip": 100.0, "scr": 0.0}, both.m.timeline) == ""
    picked = enrolment(both, both.m.new, "battery")
    assert 0.0 in (row(picked, "bip")["enrolled_kw"], row(picked, "scr")["enrolled_kw"])


def test_programmes_that_may_not_be_joined_are_named_with_the_reason() -> None:
    small = case_for(BIP | {"firm_kw": 1100.0, "nomination_kw": 100.0})
    (p,) = programmes(small, small.m.new)
    assert "takes no less than 100 kW" in p.refused and "hold at every hour" in p.refused
    made = enrolment(small, small.m.new, "battery", as_written=False)
    assert row(made, "bip")["enrolled_kw"] == 0.0
    assert row(made, "bip")["limited_by"].startswith(
        "not joined: PG&E Base Interruptible Program takes no less"
    )
    assert made is not None and any("bip: not joined" in n for n in made.notes)
    elsewhere = case_for(SCR, state="CA")
    (p,) = programmes(elsewhere, elsewhere.m.new)
    assert "nyiso-scr" in p.refused
    capped = case_for(BIP | {"max_kw": 50.0})
    (p,) = programmes(capped, capped.m.new)
    assert "max_kw is 50 kW" in p.refused and "raise max_kw" in p.refused


def test_no_more_is_enrolled_than_a_programme_counts_from_and_the_limit_says_so() -> None:
    nights: dict[str, Any] = {
        "kind": "bilateral",
        "name": "nights",
        "source": "by hand",
        "valid_from": date(2021, 1, 1),
        "firm_kw": 50.0,
        "capacity_kw": 100.0,
        "fixed_usd_per_kw_month": 3.0,
        "max_event_h": 1.0,
        "windows": [{"from_h": 1.0, "to_h": 3.0}],
    }
    case = case_for(nights)
    found = row(enrolment(case, case.m.new, "battery"), "nights")
    assert found["enrolled_kw"] == found["held_kw"] == pytest.approx(150.0)
    assert found["limited_by"] == "all of the 150 kW that it counts from: nothing is left to take away"
    capped = case_for(nights | {"max_kw": 120.0})
    found = row(enrolment(capped, capped.m.new, "battery"), "nights")
    assert (found["enrolled_kw"], found["limited_by"]) == (120.0, "max_kw of the stream, 120 kW")


def test_a_promise_beyond_what_is_held_is_told() -> None:
    case = case_for(at(BIP, 800.0))
    said = overpromised(case, settled(case, case.m.new, "battery"))
    assert said.startswith("bip promises 800 kW as written")


def test_sizes_searched_with_the_kw_enrolled_are_worth_no_less_than_the_options_they_start_from() -> None:
    stream = BIP | {"capacity_usd_per_kw_month": 40.0}
    case = case_for(stream)
    own = enrolment(case, case.m.new, "battery", as_written=False)
    assert own is not None and own.npv_usd is not None
    (made,) = sized_and_enrolled(case, case.m.new, [], [own])
    assert made.npv_usd is not None and made.npv_usd >= own.npv_usd - 1e-6 * abs(own.npv_usd)
    assert row(made, "bip")["enrolled_kw"] <= row(made, "bip")["held_kw"] + 1e-9


def test_a_case_without_programmes_has_none_to_size() -> None:
    case = case_for()
    assert programmes(case, case.m.new) == [] and enrolment(case, case.m.new, "battery") is None
    assert enrolled(case, {"nobody": 5.0}).m.meter.streams == ()


def test_the_report_holds_the_kw_to_enrol_and_is_worth_no_less_than_the_site_as_written() -> None:
    stream = BIP | {"capacity_usd_per_kw_month": 40.0}
    found = size(load(site(stream)), granularity=False, frontier=False)
    plain = found.to_dict()
    rows = plain["enrolment"]
    assert {r["programme"] for r in rows} == {"bip"} and all(r["limited_by"] for r in rows)
    written = next(o for o in found.alone if o.name == "battery as written")
    anew = next(o for o in found.alone if o.name == "all as written, enrolled anew")
    assert written.npv_usd is not None and anew.npv_usd is not None and found.best is not None
    assert anew.npv_usd >= written.npv_usd and (found.best.npv_usd or 0.0) >= anew.npv_usd
    assert plain["best"]["enrolment"] == [r for r in rows if r["beside"] == found.best.name]
    assert any(s.startswith("Enrol beside ") and "bip" in s for s in found.sentences)
    page = render(found)
    assert "kW to enrol" in page and "held at every hour" in page and rows[0]["limited_by"] in page
    assert json.loads(json.dumps(rows)) == rows
