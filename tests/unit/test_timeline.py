"""Local civil time: 23- and 25-hour days, leap years, ambiguous hours, clock-aligned blocks."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuestack.errors import InputError
from valuestack.timeline import Timeline, epoch_s, localise, utc_offsets_s, zone

ZONES = [
    "America/Los_Angeles",
    "America/New_York",
    "America/Phoenix",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Etc/GMT+8",
    "Africa/Casablanca",
    "UTC",
]


def test_spring_day_has_92_quarter_hours_and_autumn_100() -> None:
    year = Timeline(start="2018-01-01T00:00", step_h=0.25, n=35040, tz="America/New_York")
    days, counts = np.unique(year.local_date, return_counts=True)
    by_day = dict(zip(days.astype(str), counts, strict=True))
    assert by_day["2018-03-11"] == 92
    assert by_day["2018-11-04"] == 100
    assert sorted(set(counts)) == [92, 96, 100]
    assert year.end.isoformat() == "2019-01-01T00:00:00-05:00"


def test_leap_year() -> None:
    t = Timeline(start="2020-02-28T00:00", step_h=1, n=72, tz="America/Chicago")
    assert [str(d) for d in np.unique(t.local_date)] == ["2020-02-28", "2020-02-29", "2020-03-01"]


def test_skipped_hour_is_refused_with_advice() -> None:
    with pytest.raises(InputError, match=r"2018-03-11T02:30:00 does not exist in America/Los_Angeles"):
        localise("2018-03-11T02:30", "America/Los_Angeles")


def test_repeated_hour_is_refused_unless_an_offset_says_which() -> None:
    with pytest.raises(InputError, match="happens twice"):
        localise("2018-11-04T01:30", "America/Los_Angeles")
    first = localise("2018-11-04T01:30-07:00", "America/Los_Angeles")
    second = localise("2018-11-04T01:30-08:00", "America/Los_Angeles")
    assert epoch_s(second) - epoch_s(first) == 3600


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [
        ({"n": 0}, "n: 0"),
        ({"step_h": 0.0}, "step_h: 0.0"),
        ({"step_h": 0.7}, "does not divide a day"),
        ({"tz": "Pacific"}, "'Pacific' is not an IANA time zone"),
        ({"start": "yesterday"}, "'yesterday' is not a time"),
        ({"tz": "America/Nowhere"}, "IANA"),
    ],
)
def test_bad_input_names_the_value(kwargs: dict[str, object], says: str) -> None:
    good: dict[str, object] = {"start": "2018-01-01T00:00", "step_h": 1.0, "n": 24, "tz": "UTC"}
    with pytest.raises(InputError, match=says):
        Timeline(**{**good, **kwargs})  # type: ignore[arg-type]


def test_five_minutes_is_exact() -> None:
    t = Timeline(start="2018-01-01T00:00", step_h=1 / 12, n=12, tz="UTC")
    assert t.step_s == 300
    assert t.when(12) == datetime(2018, 1, 1, 1, tzinfo=UTC)


def test_blocks_follow_the_clock() -> None:
    t = Timeline(start="2018-01-01T00:15", step_h=0.25, n=6, tz="America/Denver")
    assert t.block(0.5).tolist() == [0, 1, 1, 2, 2, 3], "00:15 stands alone: its block began at 00:00"
    with pytest.raises(InputError, match=r"block of 0\.1 h"):
        t.block(0.1)
    autumn = Timeline(start="2018-11-04T00:00", step_h=0.25, n=100, tz="America/Denver")
    assert np.bincount(autumn.block(1.0)).tolist() == [4] * 25, "the hour that comes twice is two blocks"


def test_index_and_part_and_dates() -> None:
    t = Timeline(start="2018-01-01T00:00", step_h=1, n=48, tz="UTC")
    assert t.index("2018-01-02T03:59") == 27
    assert t.part(24, 24).start == t.when(24)
    assert t.on_dates([date(2018, 1, 2)]).sum() == 24
    with pytest.raises(InputError, match="lies outside"):
        t.index("2019-01-01T00:00")


@settings(max_examples=60, deadline=None)
@given(
    tz=st.sampled_from(ZONES),
    start=st.datetimes(datetime(2005, 1, 1), datetime(2035, 1, 1)),
    step_s=st.sampled_from([300, 900, 1800, 3600]),
)
def test_every_interval_agrees_with_the_zone_itself(tz: str, start: datetime, step_s: int) -> None:
    first = start.replace(minute=0, second=0, microsecond=0, tzinfo=UTC)
    t = Timeline(start=first, step_h=step_s / 3600, n=2000, tz=tz)
    for k in range(0, t.n, 97):
        wall = (first + timedelta(seconds=k * step_s)).astimezone(zone(tz))
        assert (t.year[k], t.month[k], t.hour[k], t.weekday[k], t.minute_of_day[k]) == (
            wall.year,
            wall.month,
            wall.hour,
            wall.weekday(),
            wall.hour * 60 + wall.minute,
        )
        assert t.when(k) == wall


@settings(max_examples=30, deadline=None)
@given(tz=st.sampled_from(ZONES), year=st.integers(2000, 2036))
def test_offsets_are_found_to_the_second(tz: str, year: int) -> None:
    begin = epoch_s(datetime(year, 1, 1, tzinfo=UTC))
    seconds = np.arange(begin, begin + 366 * 86400, 1800, dtype=np.int64)
    fast = utc_offsets_s(seconds, tz)
    for k in np.flatnonzero(np.diff(fast))[:8]:
        for j in (k, k + 1):
            wall = datetime.fromtimestamp(int(seconds[j]), UTC).astimezone(zone(tz))
            offset = wall.utcoffset()
            assert offset is not None and fast[j] == offset.total_seconds()
