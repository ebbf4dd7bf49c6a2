"""Holiday calendars of utilities and markets: which days are billed like a weekend.

A calendar is a data file `data/holidays/<name>.json`: days by rule (a date of the year, or the nth weekday
of a month), the rule for a day that falls on a weekend, source and date. A tariff names its calendar. URDB
has no field for one, so a bare URDB record is billed without holidays and the bill says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ...errors import InputError, UnknownKind

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class HolidayRule(BaseModel):
    """One holiday: `month` and `day`, or the `nth` `weekday` of `month` (-1 = the last).

    plus_days moves the result, so the Friday after Thanksgiving is nth 4, weekday 'thu', plus_days 1.
    from_year, to_year: first and last year in which it is kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    month: int = Field(ge=1, le=12)
    day: int | None = Field(default=None, ge=1, le=31)
    weekday: Weekday | None = None
    nth: int | None = Field(default=None, ge=-1, le=5)
    plus_days: int = 0
    from_year: int | None = None
    to_year: int | None = None

    @model_validator(mode="after")
    def _one_form(self) -> HolidayRule:
        by_rule = self.weekday is not None and self.nth not in (None, 0)
        if (self.day is not None) == by_rule or (self.day is not None and (self.weekday or self.nth)):
            raise ValueError(f"{self.name}: give either day, or weekday with nth (1..5, or -1 for the last)")
        if self.day is not None:
            date(2024, self.month, self.day)
        return self

    def on(self, year: int) -> date | None:
        """The date in `year` before any weekend rule; None in years without it."""
        if (self.from_year and year < self.from_year) or (self.to_year and year > self.to_year):
            return None
        try:
            if self.day is not None:
                found = date(year, self.month, self.day)
            else:
                found = self._nth(year)
        except ValueError:  # 29 February, or no fifth weekday
            return None
        return found + timedelta(days=self.plus_days)

    def _nth(self, year: int) -> date:
        assert self.weekday is not None and self.nth is not None
        wanted = WEEKDAYS.index(self.weekday)
        if self.nth == -1:
            last = date(year + self.month // 12, self.month % 12 + 1, 1) - timedelta(days=1)
            return last - timedelta(days=(last.weekday() - wanted) % 7)
        first = date(year, self.month, 1)
        found = first + timedelta(days=(wanted - first.weekday()) % 7 + 7 * (self.nth - 1))
        if found.month != self.month:
            raise ValueError("no such weekday")
        return found


class HolidayCalendar(BaseModel):
    """A named list of holiday rules with source and date.

    sunday: 'monday' adds the Monday after a fixed-date holiday on Sunday, 'stay' does not.
    saturday: 'friday' adds the Friday before one on Saturday, 'stay' does not. The day itself stays a
    holiday, too (it is a weekend day, which tariffs bill alike).

    >>> from datetime import date
    >>> date(2027, 7, 5) in calendar("pge").dates(2027), date(2026, 7, 3) in calendar("pge").dates(2026)
    (True, False)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    days: tuple[HolidayRule, ...]
    sunday: Literal["monday", "stay"]
    saturday: Literal["friday", "stay"]
    source: str
    retrieved: date
    verified: bool
    note: str = ""

    def named(self, year: int) -> dict[date, str]:
        """Holidays of the calendar year `year` with their names, observed days included."""
        found: dict[date, str] = {}
        # A 1 January on Saturday is observed in the year before.
        for y in (year - 1, year, year + 1):
            for rule in self.days:
                when = rule.on(y)
                if when is None:
                    continue
                for d in (when, self._observed(rule, when)):
                    if d is not None and d.year == year:
                        found.setdefault(d, rule.name if d == when else f"{rule.name} (observed)")
        return dict(sorted(found.items()))

    def _observed(self, rule: HolidayRule, when: date) -> date | None:
        if rule.day is None:
            return None
        if when.weekday() == 6 and self.sunday == "monday":
            return when + timedelta(days=1)
        if when.weekday() == 5 and self.saturday == "friday":
            return when - timedelta(days=1)
        return None

    def dates(self, *years: int) -> tuple[date, ...]:
        """All holidays of the given calendar years, sorted, observed days included."""
        return tuple(sorted(d for y in set(years) for d in self.named(y)))

    def between(self, first: date, last: date) -> tuple[date, ...]:
        """All holidays from `first` to `last`, both included."""
        return tuple(d for d in self.dates(*range(first.year, last.year + 1)) if first <= d <= last)

    def assumption(self) -> str:
        """What a bill must say about this calendar; '' where it is verified."""
        if self.verified:
            return ""
        return f"holiday calendar {self.name!r} is not verified ({self.note or self.source})"


def _folder() -> Traversable:
    return files("valuestack") / "data" / "holidays"


def calendars() -> list[str]:
    """Names of all shipped calendars, sorted."""
    return sorted(p.name[:-5] for p in _folder().iterdir() if p.name.endswith(".json"))


@cache
def calendar(name: str) -> HolidayCalendar:
    """The shipped calendar called `name`; UnknownKind with near names if there is none."""
    if name not in calendars():
        raise UnknownKind("holiday calendar", name, calendars())
    text = (_folder() / f"{name}.json").read_text(encoding="utf-8")
    return read_calendar(json.loads(text), where=f"holidays/{name}.json")


def read_calendar(raw: object, *, where: str = "holidays") -> HolidayCalendar:
    """A calendar from a mapping; an InputError names every wrong key."""
    try:
        return HolidayCalendar.model_validate(raw)
    except ValidationError as e:
        raise InputError.collect(
            where, [f"{'.'.join(map(str, x['loc'])) or 'file'}: {x['msg']}" for x in e.errors()]
        ) from e


def holiday_dates(name: str, years: Iterable[int]) -> tuple[date, ...]:
    """Holidays of the calendar `name` in `years`, sorted."""
    return calendar(name).dates(*years)
