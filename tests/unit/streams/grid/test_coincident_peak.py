"""Tags by hand, their coupling with next year's nomination, and warnings."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pytest

from tests.unit.streams.grid.grid_case import Able, place, record, timeline, view, world
from valuestack.errors import InputError
from valuestack.flows import Capability
from valuestack.stack.value import Flows, worth
from valuestack.streams.grid.coincident_peak import CoincidentPeak
from valuestack.streams.grid.demand_response import DemandResponse
from valuestack.streams.grid.response import next_nomination
from valuestack.terms import Payment

NOW = date(2026, 7, 1)
HITS = tuple(f"2026-06-{d:02d}T17:00" for d in (10, 11, 12, 22, 23))


def five(**more: object) -> CoincidentPeak:
    parts: dict[str, object] = {"product": "pjm-5cp", "as_of": NOW, "peaks": HITS, "usd_per_kw_y": 120.0}
    return CoincidentPeak.model_validate(parts | more)


def test_five_peaks_weigh_a_fifth_each_and_are_billed_from_next_june() -> None:
    t = timeline(4 * 24 * 30, step_h=0.25)
    net = np.full(t.n, 700.0)
    for i, h in enumerate(HITS):
        net[t.index(h) : t.index(h) + 4] = [100 * i, 100 * i, 100 * i + 40, 100 * i + 40]
    (line,) = five(scale_frac=1.1).settle(record(t, net), world(t, net))
    tag = 1.1 * np.mean([20, 120, 220, 320, 420])
    assert line.quantity == pytest.approx(tag) and line.usd == pytest.approx(-120 * tag)
    assert (line.cycle, line.status) == ("2027-06", "provisional") and "5 of 5 peaks" in line.reason


def test_four_quarter_hours_of_texas() -> None:
    t = timeline(4 * 24 * 122, step_h=0.25, tz="America/Chicago")
    net = np.full(t.n, 300.0)
    hits = ("2026-06-20T16:45", "2026-07-15T17:00", "2026-08-12T16:30", "2026-09-05T17:15")
    net[t.index(hits[2])] = 0.0
    s = CoincidentPeak(product="ercot-4cp", as_of=NOW, peaks=hits, usd_per_kw_y=60.0)
    (line,) = s.settle(record(t, net), world(t, net))
    assert line.usd == pytest.approx(-60 * 225) and line.cycle == "2027-01"


def test_a_lower_tag_is_a_lower_nomination_next_year() -> None:
    t = timeline(24 * 30)

    def usd(kw: float) -> float:
        s = five(dr_usd_per_kw_y=80.0, firm_kw=400.0, loss_frac=1.05)
        return sum(e.usd for e in s.settle(record(t, kw), world(t, kw)))

    # Above the firm level a kW less of tag saves 120 and forgoes 80; below it saves all of 120.
    assert usd(999.0) - usd(1000.0) == pytest.approx(40.0)
    assert usd(399.0) - usd(400.0) == pytest.approx(120.0)
    dr = DemandResponse(
        product="pjm-capacity-dr", peak_load_kw=1000.0, firm_kw=400.0, loss_frac=1.05, events=()
    )
    assert next_nomination(dr, 900.0).nominated_kw == pytest.approx(1000 - 420 - 100)
    with pytest.raises(InputError, match="no nomination follows"):
        CoincidentPeak(product="ercot-4cp", as_of=NOW, peaks=(), usd_per_kw_y=1.0, dr_usd_per_kw_y=1.0).bind(
            place(world(t, 1.0), Able())
        )


def test_the_plan_of_a_bound_is_told_what_is_settled() -> None:
    t = timeline(24 * 30)
    rng = np.random.default_rng(5)
    net = rng.uniform(-50, 900, t.n)
    s = five(dr_usd_per_kw_y=80.0, firm_kw=200.0)
    w = world(t, 500.0)
    settled = sum(e.usd for e in s.settle(record(t, net), w))
    for k in (0, t.index(HITS[2]), t.index(HITS[3]) - 4):
        v = view(w, k=k, past=record(t, net))
        terms = s.terms(v)
        assert all(isinstance(x, Payment) and x.exact for x in terms)
        assert -worth(Flows(v.horizon, net[k:]), terms).total_usd == pytest.approx(settled)


def test_without_foresight_only_a_warning_moves_the_plan() -> None:
    t = timeline(24 * 30)
    w = world(t, 500.0, alarm=(np.where(t.hour == 17, 0.2, 0.0), ""))

    class Believer:
        def series(self, name: str, *, first: int, n: int, as_of: int) -> Any:
            return w[name][first : first + n]

    assert five().terms(view(w, belief=Believer())) == []
    (term,) = five(warning="alarm", dr_usd_per_kw_y=20.0).terms(view(w, belief=Believer()))
    assert isinstance(term, Payment) and not term.exact
    price = np.asarray(term.blocks[0].usd_per_unit)
    assert price[17] == pytest.approx(0.2 * 100 / 5) and price[16] == 0
    assert any("no warning series" in a for a in five().assumptions)


def test_a_tag_is_charged_whatever_stands_behind_the_meter() -> None:
    t = timeline(24 * 30)
    generator = Able(name="generator", can=Capability(paid_dispatch=False, why_not="emergency permit"))
    assert five().bind(place(world(t, 1.0), generator, iso="PJM")).iso == "PJM"


def test_peaks_as_a_series_and_wrong_peaks() -> None:
    t = timeline(24 * 30)
    flag = np.zeros(t.n)
    flag[[t.index(h) for h in HITS]] = 1
    w = world(t, 100.0, peak=(flag, ""))
    (line,) = five(peaks="peak").settle(record(t, 100.0), w)
    assert line.quantity == pytest.approx(100.0)
    with pytest.raises(InputError, match="6 peaks in 2026, a tag counts 5"):
        list(five(peaks=(*HITS, "2026-06-25T17:00")).settle(record(t, 100.0), w))
    with pytest.raises(InputError, match="fall on one day"):
        list(five(peaks=("2026-06-10T16:00", "2026-06-10T17:00")).settle(record(t, 100.0), w))
    with pytest.raises(InputError, match="lies outside months 6, 7, 8, 9"):
        late = timeline(24 * 30, start="2026-10-01T00:00")
        list(five(peaks=("2026-10-02T17:00",)).settle(record(late, 1.0), world(late, 1.0)))
    with pytest.raises(InputError, match="usd_per_kw_y: no price"):
        five(usd_per_kw_y=None).bind(place(w, Able()))
