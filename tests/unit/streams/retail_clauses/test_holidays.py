"""Holiday calendars: shipped ones by their sources' own examples, rules by their edges."""

from __future__ import annotations

from datetime import date

import holidays as oracle
import pytest

from valuestack.errors import InputError, UnknownKind
from valuestack.streams.retail.holidays import calendar, calendars, holiday_dates, read_calendar


def test_nerc_2010_and_2011_are_those_that_nerc_published() -> None:
    # docstoc.com/docs/52814626, the list "Additional Off-peak Days" of the NERC Resources Subcommittee
    year = calendar("nerc").named(2010)
    for d in (
        date(2010, 1, 1),
        date(2010, 5, 31),
        date(2010, 7, 5),
        date(2010, 9, 6),
        date(2010, 11, 25),
        date(2010, 12, 25),
    ):
        assert d in year
    assert date(2010, 12, 24) not in year  # Saturday Christmas stays on Saturday
    assert date(2010, 12, 31) not in year  # and so does Saturday's New Year 2011
    assert date(2011, 5, 30) in calendar("nerc").named(2011)


def test_pge_moves_sundays_but_not_saturdays() -> None:
    # pge.com/tariffs/en/rate-information/tou-holidays.html
    days = calendar("pge").dates(2026, 2027)
    assert date(2027, 7, 5) in days and date(2026, 7, 3) not in days
    assert len(calendar("pge").days) == 8


def test_federal_equals_an_independent_calendar() -> None:
    years = range(1990, 2040)
    theirs = {d for d in oracle.country_holidays("US", years=years) if d.year in years}
    # one-off days by executive order are not rules, and the package does not hold them either
    assert set(holiday_dates("federal", years)) == theirs


def test_saturday_new_year_is_observed_in_the_year_before() -> None:
    assert date(2021, 12, 31) in calendar("federal").named(2021)


def test_between_cuts_at_both_ends() -> None:
    got = calendar("nerc").between(date(2018, 12, 25), date(2019, 1, 1))
    assert got == (date(2018, 12, 25), date(2019, 1, 1))


@pytest.mark.parametrize("name", calendars())
def test_every_calendar_names_source_and_is_honest(name: str) -> None:
    c = calendar(name)
    assert c.source and c.retrieved <= date.today() and c.name == name
    assert bool(c.assumption()) == (not c.verified)
    for y in range(2015, 2035):
        assert len(c.named(y)) >= len([r for r in c.days if r.on(y)]) > 0


def test_unknown_name_says_what_is_near() -> None:
    with pytest.raises(UnknownKind, match="did you mean"):
        calendar("pg")


@pytest.mark.parametrize(
    "rule, says",
    [
        ({"name": "x", "month": 13, "day": 1}, "month"),
        ({"name": "x", "month": 2, "day": 30}, "day"),
        ({"name": "x", "month": 2}, "either day"),
        ({"name": "x", "month": 2, "day": 1, "weekday": "mon", "nth": 1}, "either day"),
        ({"name": "x", "month": 2, "day": 1, "colour": "red"}, "colour"),
    ],
)
def test_wrong_rules_are_refused_by_key(rule: dict[str, object], says: str) -> None:
    raw = {
        "name": "t",
        "title": "t",
        "days": [rule],
        "sunday": "stay",
        "saturday": "stay",
        "source": "s",
        "retrieved": "2026-01-01",
        "verified": True,
    }
    with pytest.raises(InputError, match=says):
        read_calendar(raw)
