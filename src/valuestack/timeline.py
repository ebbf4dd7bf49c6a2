"""Timeline: the intervals of a study, in local civil time, safe across clock changes.

A time stamp marks the *start* of its interval. Intervals are equally long in elapsed time, so a
spring day in New York holds 92 quarter-hours and an autumn one 100. Schedules and holidays are read
on the local wall clock; billing cycles belong to the meter, not to the timeline.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

Kw = NDArray[np.float64]
"""A series of floats, shape (n,) or (scenarios, n). The unit stands in the variable's name."""

Ints = NDArray[np.int64]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def zone(tz: str) -> ZoneInfo:
    """The IANA zone called `tz`, or an InputError that says what a zone looks like."""
    try:
        return ZoneInfo(tz)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError) as e:
        raise InputError(
            f"tz: {tz!r} is not an IANA time zone; write one like 'America/Los_Angeles', "
            "or 'Etc/GMT+8' for a fixed UTC-8 clock without daylight saving"
        ) from e


def localise(wall: datetime | str, tz: str, *, where: str = "start") -> datetime:
    """A wall-clock time in `tz` made aware; an hour that the clock skips or repeats is refused.

    An aware datetime (or an ISO string with an offset) is converted to `tz` as it stands.
    """
    z = zone(tz)
    if isinstance(wall, str):
        try:
            wall = datetime.fromisoformat(wall)
        except ValueError as e:
            raise InputError(f"{where}: {wall!r} is not a time; write it like 2018-01-31T14:15") from e
    if wall.tzinfo is not None:
        return wall.astimezone(z)
    early, late = wall.replace(tzinfo=z, fold=0), wall.replace(tzinfo=z, fold=1)
    if early.utcoffset() == late.utcoffset():
        return early
    back = early.astimezone(UTC).astimezone(z).replace(tzinfo=None)
    if back != wall:
        raise InputError(
            f"{where}: {wall.isoformat()} does not exist in {tz} (the clock skips it); "
            "give a later time or an offset such as -07:00"
        )
    raise InputError(
        f"{where}: {wall.isoformat()} happens twice in {tz} (the clock is set back); "
        "add the offset, for example -07:00 for the first and -08:00 for the second"
    )


def epoch_s(when: datetime) -> int:
    """Seconds since 1970 in UTC of an aware datetime."""
    return int((when - _EPOCH) / timedelta(seconds=1))


def utc_offsets_s(utc_s: Ints, tz: str) -> Ints:
    """UTC offset in seconds at each of the sorted instants `utc_s`, shape (n,)."""
    z = zone(tz)

    def at(second: int) -> int:
        offset = datetime.fromtimestamp(second, UTC).astimezone(z).utcoffset()
        return int(offset.total_seconds()) if offset is not None else 0

    if utc_s.size == 0:
        return np.zeros(0, dtype=np.int64)
    first, last = int(utc_s[0]), int(utc_s[-1])
    # Zones change at most once in a fortnight in practice; Morocco's Ramadan clock is the tightest.
    marks = [*range(first, last, 7 * 86400), last]
    starts, values = [first], [at(first)]
    for a, b in pairwise(marks):
        va, vb = values[-1], at(b)
        if va != vb:
            lo, hi = a, b
            while hi - lo > 1:
                mid = (lo + hi) // 2
                lo, hi = (mid, hi) if at(mid) == va else (lo, mid)
            starts.append(hi)
            values.append(vb)
    where = np.searchsorted(np.array(starts), utc_s, side="right") - 1
    return np.array(values, dtype=np.int64)[where]


@dataclass(frozen=True)
class Timeline:
    """`n` intervals of `step_h` hours from `start`, read on the wall clock of zone `tz`.

    start: aware datetime, or wall clock in `tz` (string or naive datetime; refused where ambiguous).
    step_h: interval length [h]; a whole number of seconds, and a whole number of steps per hour or
    hours per step. n: number of intervals. tz: IANA name.

    >>> t = Timeline(start="2018-03-11T00:00", step_h=0.25, n=96, tz="America/Los_Angeles")
    >>> t.hour[8], t.when(8).isoformat()      # 02:00 does not exist on that day
    (np.int64(3), '2018-03-11T03:00:00-07:00')
    """

    start: datetime
    step_h: float
    n: int
    tz: str

    def __init__(self, start: datetime | str, step_h: float, n: int, tz: str) -> None:
        if not (isinstance(n, (int, np.integer)) and n > 0):
            raise InputError(f"n: {n!r} intervals; a timeline needs a whole number of at least 1")
        step_s = float(step_h) * 3600
        if not (0 < step_s <= 86400 and abs(step_s - round(step_s)) < 1e-6):
            raise InputError(f"step_h: {step_h!r}; intervals last from a second to a day, e.g. 0.25 or 1")
        if 86400 % round(step_s):
            raise InputError(f"step_h: {step_h!r} h does not divide a day; use e.g. 1/12, 0.25, 0.5 or 1")
        object.__setattr__(self, "start", localise(start, tz))
        object.__setattr__(self, "step_h", round(step_s) / 3600)
        object.__setattr__(self, "n", int(n))
        object.__setattr__(self, "tz", tz)

    @property
    def step_s(self) -> int:
        """Interval length [s]."""
        return round(self.step_h * 3600)

    @cached_property
    def utc_s(self) -> Ints:
        """Start of each interval [s since 1970 UTC], shape (n,)."""
        return epoch_s(self.start) + self.step_s * np.arange(self.n, dtype=np.int64)

    @cached_property
    def local_s(self) -> Ints:
        """Wall clock of each start as seconds since 1970-01-01 local, shape (n,)."""
        return self.utc_s + utc_offsets_s(self.utc_s, self.tz)

    @cached_property
    def day(self) -> Ints:
        """Local date of each interval as days since 1970-01-01, shape (n,)."""
        return self.local_s // 86400

    @cached_property
    def local_date(self) -> NDArray[np.datetime64]:
        """Local date of each interval (datetime64[D]), shape (n,)."""
        return self.day.astype("datetime64[D]")

    @cached_property
    def month_id(self) -> Ints:
        """Months since January 1970 of each interval's local date, shape (n,)."""
        days, where = np.unique(self.day, return_inverse=True)
        return days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)[where]

    @cached_property
    def month(self) -> Ints:
        """Local calendar month 1..12, shape (n,)."""
        return self.month_id % 12 + 1

    @cached_property
    def year(self) -> Ints:
        """Local calendar year, shape (n,)."""
        return self.month_id // 12 + 1970

    @cached_property
    def hour(self) -> Ints:
        """Local wall-clock hour 0..23 of the start, shape (n,)."""
        return self.local_s % 86400 // 3600

    @cached_property
    def minute_of_day(self) -> Ints:
        """Local wall-clock minute 0..1439 of the start, shape (n,)."""
        return self.local_s % 86400 // 60

    @cached_property
    def weekday(self) -> Ints:
        """Local day of the week, Monday 0 .. Sunday 6, shape (n,)."""
        return (self.day + 3) % 7

    @property
    def end(self) -> datetime:
        """End of the last interval, aware."""
        return self.when(self.n)

    @property
    def hours(self) -> float:
        """Total length [h]."""
        return self.n * self.step_h

    def when(self, k: int) -> datetime:
        """Start of interval `k` (k = n gives the end), aware, in the timeline's zone."""
        utc = datetime.fromtimestamp(epoch_s(self.start) + k * self.step_s, UTC)
        return utc.astimezone(zone(self.tz))

    def index(self, when: datetime | str) -> int:
        """Interval that holds `when`; refuses times outside."""
        k = (epoch_s(localise(when, self.tz, where="when")) - epoch_s(self.start)) // self.step_s
        if not 0 <= k < self.n:
            raise InputError(f"when: {when} lies outside {self.start.isoformat()} .. {self.end.isoformat()}")
        return int(k)

    def part(self, first: int, n: int) -> Timeline:
        """The `n` intervals from interval `first` on."""
        return Timeline(start=self.when(first), step_h=self.step_h, n=n, tz=self.tz)

    def block(self, block_h: float) -> Ints:
        """Clock-aligned block number of each interval, shape (n,); 30-minute blocks of quarter-hours.

        Blocks are aligned to the local midnight. `block_h` must be a multiple of the step.
        """
        block_s = round(block_h * 3600)
        if block_s < self.step_s or block_s % self.step_s:
            raise InputError(f"block of {block_h} h cannot be formed from intervals of {self.step_h} h")
        if block_s == self.step_s:
            return np.arange(self.n, dtype=np.int64)
        # Offsets are whole quarter-hours, so alignment on the wall clock is alignment in elapsed time.
        key = self.local_s // block_s
        fresh = np.concatenate(([True], (np.diff(key) != 0) | (np.diff(self.local_s) != self.step_s)))
        return np.cumsum(fresh, dtype=np.int64) - 1

    def on_dates(self, dates: Iterable[date]) -> NDArray[np.bool_]:
        """True where the local date is one of `dates`, shape (n,)."""
        wanted = np.array([(d - date(1970, 1, 1)).days for d in dates], dtype=np.int64)
        return np.isin(self.day, wanted)

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {"start": self.start.isoformat(), "step_h": self.step_h, "n": self.n, "tz": self.tz}
