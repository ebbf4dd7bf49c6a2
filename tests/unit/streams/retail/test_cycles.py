"""Billing cycles from calendar months and from read dates in every form; facts and the calendar."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import numpy as np
import pytest

import valuestack as vs
from valuestack.errors import DataError, InputError
from valuestack.streams.retail.cycles import make_cycles
from valuestack.streams.retail.facts import BillFacts, History
from valuestack.streams.retail.item import Calendar

from .written import demand, energy, hours, tariff, usd

T = hours(61, "2018-05-01T00:00")


def test_calendar_months() -> None:
    c = make_cycles(T)
    assert c.names == ("2018-05", "2018-06") and c.calendar and not c.partial
    assert c.days.tolist() == [31, 30] and c.month.tolist() == [5, 6]
    assert c.sums(np.ones(T.n)).tolist() == [744, 720]


def test_a_month_begun_is_covered_in_part() -> None:
    c = make_cycles(hours(31, "2018-05-17T00:00"))
    assert c.partial == ["2018-05", "2018-06"]
    assert c.covered_frac.tolist() == pytest.approx([15 / 31, 16 / 30])


@pytest.mark.parametrize(
    "cycles",
    [
        ["2018-04-20", "2018-05-20", "2018-06-20", "2018-07-20"],
        [date(2018, 4, 20), date(2018, 5, 20), date(2018, 6, 20), date(2018, 7, 20)],
        [datetime(2018, 5, 20, 9), "2018-04-20T08:00", "2018-07-20", "2018-06-20"],
        [("2018-04-20", "2018-05-20"), ("2018-05-20", "2018-06-20"), ("2018-06-20", "2018-07-20")],
        [{"cycle_start": "2018-06-20", "cycle_end": "2018-07-20"},
         {"cycle_start": "2018-04-20", "cycle_end": "2018-05-20"},
         {"cycle_start": "2018-05-20", "cycle_end": "2018-06-20"}],
    ],
    ids=["text", "dates", "unsorted", "pairs", "rows"],
)  # fmt: skip
def test_read_dates_in_every_form(cycles: Any) -> None:
    c = make_cycles(T, cycles)
    assert c.names == ("2018-04-20/2018-05-19", "2018-05-20/2018-06-19", "2018-06-20/2018-07-19")
    assert c.covered_frac.tolist() == pytest.approx([19 / 30, 1, 11 / 30])
    assert c.month.tolist() == [5, 6, 7]


@pytest.mark.parametrize(
    ("cycles", "said"),
    [
        ([("2018-04-20", "2018-05-20"), ("2018-05-22", "2018-07-20")], "must touch"),
        ([("2018-04-20", "2018-05-22"), ("2018-05-20", "2018-07-20")], "must touch"),
        ([("2018-05-20", "2018-04-20")], "ends before it begins"),
        (["2018-05-05", "2018-07-20"], "do not cover 2018-05-01"),
        (["2018-04-05", "2018-06-20"], "do not cover"),
        (["2018-04-05"], "at least two"),
        (["2018-04-05", ("2018-04-05", "2018-06-05")], "mixes"),
        ([("2018-04-05",)], "first day"),
        (["in May", "2018-07-01"], "in May"),
        ([4, 5], "not a date"),
        ([{"start": "2018-01-01"}], "not a date"),
    ],
)
def test_read_dates_that_cannot_be(cycles: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        make_cycles(T, cycles)


def test_a_bill_by_read_dates() -> None:
    """100 kW throughout; the whole cycle of 31 days: 74,400 kWh at 0.10 and 100 kW at 10."""
    found = vs.bill(tariff(energy(0.10), demand(10.0)), T, np.full(T.n, 100.0),
                    cycles=["2018-04-20", "2018-05-20", "2018-06-20", "2018-07-20"])  # fmt: skip
    assert usd(found, "energy", "2018-05-20/2018-06-19") == pytest.approx(7_440.0)
    assert usd(found, "demand", "2018-05-20/2018-06-19") == pytest.approx(1_000.0)
    assert usd(found, "demand", "2018-04-20/2018-05-19") == pytest.approx(1_000 * 19 / 30)
    assert any("covered in part" in a for a in found.assumptions)


def test_weekends_holidays_and_the_days_of_23_and_25_hours() -> None:
    la = vs.Timeline(start="2018-01-01T00:00", step_h=1.0, n=8760, tz="America/Los_Angeles")
    row = [0] * 8 + [1] * 12 + [0] * 4
    calendar = Calendar.of(la, [date(2018, 7, 4)])
    period = calendar.periods(tuple(map(tuple, [row] * 12)), tuple(map(tuple, [[0] * 24] * 12)))
    by_day = np.bincount(la.day - la.day[0], weights=period)
    dates = la.local_date[np.unique(la.day, return_index=True)[1]].astype("datetime64[D]")
    assert by_day[dates == np.datetime64("2018-07-04")] == [0] and by_day[
        dates == np.datetime64("2018-07-05")
    ] == [12]
    assert by_day[dates == np.datetime64("2018-07-07")] == [0]
    lengths = np.bincount(la.day - la.day[0])
    assert sorted(set(lengths.tolist())) == [23, 24, 25]
    assert by_day[dates == np.datetime64("2018-03-12")] == [12], "the clock, not the sun, sets the period"


def test_facts_and_history() -> None:
    with pytest.raises(InputError, match=r"90 % is written 0\.90"):
        BillFacts(power_factor=90)
    quarter = hours(2, "2018-05-01T00:00", step_h=0.25)
    mask = BillFacts(coincident_hours=["2018-05-01T16:00", "2019-01-01T00:00"]).hours_mask(
        "coincident_hours", quarter
    )
    assert np.flatnonzero(mask).tolist() == [64, 65, 66, 67]
    with pytest.raises(InputError, match="not a time"):
        BillFacts(coincident_hours=[16]).hours_mask("coincident_hours", quarter)
    for given in ({"2018-04": 7.0}, [{"month": "2018-04", "peak_kw": 7.0}], [("2018-04-30", 7.0)]):
        assert History.of(given).kw((2018 - 1970) * 12 + 3) == 7.0
    with pytest.raises(InputError, match=r"(?s)spring.*2018-04"):
        History.of({"spring": 1.0, "2018-04": -3.0})


def test_a_missing_fact_is_named_with_what_needs_it() -> None:
    system_peak = {
        "kind": "coincident",
        "periods": [{"tiers": [{"usd_per_unit": 5.0}]}],
        "schedule": [[0] * 24] * 12,
    }
    rate = tariff(energy(0.1), {"kind": "reactive", "usd_per_kvar": 0.5}, system_peak)
    with pytest.raises(DataError) as e:
        vs.bill(rate, T, np.ones(T.n))
    assert "reactive: needs power_factor" in str(e.value) and "coincident: needs coincident_hours" in str(
        e.value
    )


def test_bad_series_and_eligibility() -> None:
    rate = tariff(energy(0.1), eligibility={"peak_kw_min": 50.0, "peak_kw_max": 500.0})
    with pytest.raises(InputError, match="the timeline has 1464"):
        vs.bill(rate, T, np.ones(3))
    kw = np.full(T.n, 100.0)
    kw[5] = np.nan
    with pytest.raises(InputError, match="nan at 2018-05-01T05:00"):
        vs.bill(rate, T, kw)
    assert not vs.bill(rate, T, np.full(T.n, 100.0)).findings
    found = vs.bill(rate, T, np.where(T.month == 5, 20.0, 900.0)).findings
    assert [f.kind if hasattr(f, "kind") else f.check for f in found] == ["eligibility"] * 2
