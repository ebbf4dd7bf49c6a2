"""Cells of a table as people and meters write them: times, numbers and flags, column by column.

A column is a sequence of str, float, int, datetime, date, time or None. Nothing here knows what a column
means; `columns.py` guesses that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..timeline import Ints, Kw

Cell = Any
Order = Literal["ymd", "dmy", "mdy"]
KindOfCell = Literal["empty", "stamp", "date", "time", "number", "text"]

EMPTY = frozenset(
    {"", "-", "--", "n/a", "na", "#n/a", "nan", "null", "none", "nil", ".", "?", "missing", "#value!"}
)
MONTHS = {
    m: k + 1
    for k, m in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
    )
}
ABBREVIATIONS_H = {
    "UTC": 0,
    "GMT": 0,
    "Z": 0,
    "EST": -5,
    "EDT": -4,
    "CST": -6,
    "CDT": -5,
    "MST": -7,
    "MDT": -6,
    "PST": -8,
    "PDT": -7,
    "AKST": -9,
    "AKDT": -8,
    "HST": -10,
    "AST": -4,
    "ADT": -3,
}
BAD = np.iinfo(np.int64).min
"""Stands in integer columns where no time could be read."""

_CLOCK = r"\d{1,2}[:h]\d{2}(?:[:.]\d{2}(?:[.,]\d+)?)?\s*(?:[AaPp]\.?\s?[Mm]\.?)?|\d{1,2}\s*[AaPp]\.?[Mm]\.?"
_OFFSET = r"Z|UTC|GMT|A?K?[ECMPHA][SD]T|(?:UTC|GMT)?[+-]\d{2}(?::?\d{2})?"
_STAMP = re.compile(
    rf"^(?P<date>\S.*?)(?:(?:T|[\s,;]+|(?<=\d{{4}}):)(?P<time>{_CLOCK})\s*(?P<off>{_OFFSET})?)?$"
)
_TIME = re.compile(r"^(\d{1,2})(?:[:.h](\d{2}))?(?:[:.](\d{2})(?:[.,]\d+)?)?\s*(?:([AaPp])\.?\s?[Mm]\.?)?$")
_TIME_LIKE = re.compile(rf"^(?:{_CLOCK})\s*(?:{_OFFSET})?$")
_NUMERIC_DATE = re.compile(r"^(\d{1,4})\s*[/.\-]\s*(\d{1,2})\s*[/.\-]\s*(\d{1,4})$")
_COMPACT = re.compile(r"^(\d{4})(\d{2})(\d{2})$")
_COMPACT_STAMP = re.compile(r"^(\d{8})[ T]?(\d{2})(\d{2})(\d{2})?$")
_DAY_NAME = re.compile(r"^(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+", re.I)
_DMONY = re.compile(r"^(\d{1,2})[\s\-/.]*([A-Za-z]{3,9})\.?[\s\-/.,]*(\d{4}|\d{2})$")
_MONDY = re.compile(r"^([A-Za-z]{3,9})\.?[\s\-/.]*(\d{1,2}),?[\s\-/.]+(\d{4}|\d{2})$")
_RANGE = re.compile(r"^(.*?\d.*?)\s+(?:to|-|–|until|till)\s+(.*\d.*)$", re.I)
_NUMBER = re.compile(r"^[+-]?(?:\d[\d.,'\s\u00a0\u202f]*|[.,]\d+)(?:[eE][+-]?\d+)?-?$")


def is_empty(cell: Cell) -> bool:
    """Whether the cell says nothing: None, NaN, blank, or a word such as N/A."""
    if cell is None:
        return True
    if isinstance(cell, str):
        return cell.strip().lower() in EMPTY
    return isinstance(cell, float) and cell != cell


def kind_of(cell: Cell) -> KindOfCell:
    """What one cell looks like by itself."""
    if is_empty(cell):
        return "empty"
    if isinstance(cell, bool):
        return "text"
    if isinstance(cell, (int, float, np.number)):
        return "number"
    if isinstance(cell, datetime):
        return "stamp"
    if isinstance(cell, date):
        return "date"
    if isinstance(cell, time):
        return "time"
    return _kind_of_text(str(cell).strip())


def _kind_of_text(text: str) -> KindOfCell:
    if _TIME_LIKE.match(text):
        return "time"
    halves = _RANGE.match(text)
    if halves and _kind_of_text(halves[1]) == "stamp":
        return "stamp"
    if _COMPACT_STAMP.match(text) and _year_like(text):
        return "stamp"
    found = _STAMP.match(text)
    if found and split_date(found["date"]) is not None:
        if _COMPACT.match(text):
            return "number"
        return "stamp" if found["time"] else "date"
    if number(text) is not None:
        return "number"
    return "text"


def _year_like(text: str) -> bool:
    return text[:2] in ("19", "20") and "01" <= text[4:6] <= "12" and "01" <= text[6:8] <= "31"


# --- dates and times ----------------------------------------------------------------------------------


def split_date(text: str) -> tuple[int, int, int, str] | None:
    """The three numbers of a date as written, and 'ymd' or 'named' where their order is certain, else ''."""
    text = _DAY_NAME.sub("", text.strip())
    found = _NUMERIC_DATE.match(text)
    if found:
        a, b, c = int(found[1]), int(found[2]), int(found[3])
        if len(found[1]) == 4:
            return (a, b, c, "ymd") if 1 <= b <= 12 and 1 <= c <= 31 else None
        if len(found[1]) > 2 or len(found[3]) not in (2, 4):
            return None
        return (a, b, c, "") if 1 <= a <= 31 and 1 <= b <= 31 and (a <= 12 or b <= 12) else None
    found = _COMPACT.match(text)
    if found:
        return (int(found[1]), int(found[2]), int(found[3]), "ymd") if _year_like(text) else None
    for pattern, d, m in ((_DMONY, 1, 2), (_MONDY, 2, 1)):
        found = pattern.match(text)
        if found and found[m][:3].lower() in MONTHS:
            return _year(int(found[3])), MONTHS[found[m][:3].lower()], int(found[d]), "ymd"
    return None


def _year(y: int) -> int:
    return y + 2000 if y < 70 else y + 1900 if y < 100 else y


def day_number(text: str, order: Order) -> int | None:
    """Days since 1970 of a written date, None where it is none."""
    parts = split_date(text)
    if parts is None:
        return None
    a, b, c, certain = parts
    y, m, d = (a, b, c) if certain else (_year(c), b, a) if order == "dmy" else (_year(c), a, b)
    if order == "ymd" and not certain:
        y, m, d = _year(a), b, c
    try:
        return date(y, m, d).toordinal() - 719163
    except ValueError:
        return None


def second_of_day(text: str) -> int | None:
    """Seconds after midnight of a written time (24:00 is 86400), None where it is none."""
    text = text.strip()
    found = _TIME.match(text)
    if not found:
        return None
    digits = found[1]
    h, m, s, half = int(digits), int(found[2] or 0), int(found[3] or 0), found[4]
    if half:
        if not 1 <= h <= 12:
            return None
        h = h % 12 + (12 if half in "pP" else 0)
    if m > 59 or s > 59 or h > 24 or (h == 24 and (m or s)):
        return None
    return h * 3600 + m * 60 + s


def offset_s(text: str) -> int | None:
    """Seconds east of UTC of a written offset or US zone abbreviation."""
    text = text.strip()
    if text in ABBREVIATIONS_H:
        return ABBREVIATIONS_H[text] * 3600
    found = re.match(r"^(?:UTC|GMT)?([+-])(\d{2}):?(\d{2})?$", text)
    if not found:
        return None
    return (int(found[2]) * 3600 + int(found[3] or 0) * 60) * (-1 if found[1] == "-" else 1)


@dataclass(frozen=True, slots=True)
class Stamps:
    """A parsed column of times. second: on the wall or UTC, BAD where unreadable. has_offset: the cell named
    its offset, `second` is then UTC. end_s: second time of a range cell, BAD where there is none."""

    second: Ints
    has_offset: NDArray[np.bool_]
    midnight24: int
    end_s: Ints | None = None


def read_stamps(
    dates: Sequence[Cell],
    times: Sequence[Cell] | None,
    order: Order,
    *,
    hours: Literal["clock", "hhmm", "hour", "hour_ending"] = "clock",
) -> Stamps:
    """Column(s) of dates and times as seconds since 1970.

    hours: how a `times` cell that is a bare number is meant: 'hhmm' (0015), or the 'hour' of the day.
    """
    reader = _StampReader(order, hours)
    n = len(dates)
    second = np.full(n, BAD, np.int64)
    offset = np.zeros(n, np.bool_)
    ends: dict[int, int] = {}
    twenty_four = 0
    for k, cell in enumerate(dates):
        if times is None:
            day_s, clock_s, off, end_s = reader.span(cell)
            if end_s is not None:
                ends[k] = end_s
        else:
            day_s, clock_s, off = reader.day_and_time(cell, times[k])
        if day_s is None:
            continue
        twenty_four += clock_s == 86400
        offset[k] = off is not None
        second[k] = day_s + clock_s - (off or 0)
    end = None
    if ends:
        end = np.full(n, BAD, np.int64)
        end[list(ends)] = list(ends.values())
    return Stamps(second, offset, twenty_four, end)


_Stamp = tuple[int | None, int, int | None]
_NO_STAMP: _Stamp = (None, 0, None)


class _StampReader:
    """Reads stamps one by one; dates and times of day recur, so each is understood once."""

    def __init__(self, order: Order, hours: str) -> None:
        self.order: Order = order
        self.hours = hours
        self.days: dict[str, int | None] = {}
        self.seconds: dict[str, int | None] = {}
        self.cells: dict[Cell, _Stamp] = {}
        self.clocks: dict[Cell, tuple[int | None, int | None]] = {}

    def span(self, cell: Cell) -> tuple[int | None, int, int | None, int | None]:
        """(midnight or None, seconds of the day, offset or None, end or None) of a stamp or of a range."""
        if type(cell) is not str:
            return (*_typed_stamp(cell), None)
        got = self.text(cell)
        if got[0] is not None:
            return (*got, None)
        both = _RANGE.match(cell.strip())
        if not both:
            return (*got, None)
        day_s, clock_s, off = self.text(both[1])
        if day_s is None:
            return (*_NO_STAMP, None)
        last_day_s, last_s, _ = self.text(both[2])
        if last_day_s is None:
            only = second_of_day(both[2])
            if only is None:
                return day_s, clock_s, off, None
            last_day_s, last_s = day_s + (86400 if only <= clock_s else 0), only
        return day_s, clock_s, off, last_day_s + last_s - (off or 0)

    def day_and_time(self, cell: Cell, clock: Cell) -> _Stamp:
        """A date and a time of day that stand in two columns."""
        if cell in self.cells:
            day_s, _, off = self.cells[cell]
        else:
            day_s, _, off = self.cells[cell] = (
                self.text(cell) if isinstance(cell, str) else _typed_stamp(cell)
            )
        if day_s is None:
            return _NO_STAMP
        if clock in self.clocks:
            at, east = self.clocks[clock]
        else:
            at, east = self.clocks[clock] = _clock_cell(clock, self.hours), _clock_offset(clock)
        return _NO_STAMP if at is None else (day_s, at, east if off is None else off)

    def text(self, text: str) -> _Stamp:
        """(midnight or None, seconds of the day, offset or None) of a written stamp."""
        text = text.strip()
        compact = _COMPACT_STAMP.match(text)
        if compact and _year_like(text):
            text = f"{compact[1]} {compact[2]}:{compact[3]}:{compact[4] or '00'}"
        found = _STAMP.match(text)
        if not found:
            return _NO_STAMP
        head, clock, off = found["date"], found["time"], found["off"]
        if head in self.days:
            day = self.days[head]
        else:
            day = self.days[head] = day_number(head, self.order)
        if day is None:
            bare = number(text) if not clock else None
            return _NO_STAMP if bare is None else _numeric_stamp(bare)
        at: int | None = 0
        if clock:
            if clock in self.seconds:
                at = self.seconds[clock]
            else:
                at = self.seconds[clock] = second_of_day(clock)
        if at is None:
            return _NO_STAMP
        return day * 86400, at, offset_s(off) if off else None


def _typed_stamp(cell: Cell) -> tuple[int | None, int, int | None]:
    if isinstance(cell, datetime):
        if cell.tzinfo is not None:
            whole = round(cell.timestamp())
            return whole - whole % 86400, whole % 86400, 0
        whole = round(cell.replace(tzinfo=UTC).timestamp())
        return whole - whole % 86400, whole % 86400, None
    if isinstance(cell, date):
        return (cell.toordinal() - 719163) * 86400, 0, None
    if isinstance(cell, (int, float, np.number)) and not isinstance(cell, bool):
        return _numeric_stamp(float(cell))
    return None, 0, None


def _numeric_stamp(value: float) -> tuple[int | None, int, int | None]:
    """An Excel serial day, an epoch in seconds or milliseconds, or a compact date, by its size."""
    if not np.isfinite(value):
        return None, 0, None
    if 20000 <= value < 80000:
        whole = round((value - 25569) * 86400)
        return whole - whole % 86400, whole % 86400, None
    if 19000101 <= value < 22000000 and value == int(value):
        day = day_number(str(int(value)), "ymd")
        return (None if day is None else day * 86400), 0, None
    if 4e8 <= value < 4e9:
        return int(value) // 86400 * 86400, int(value) % 86400, 0
    if 4e11 <= value < 4e12:
        return int(value / 1000) // 86400 * 86400, int(value / 1000) % 86400, 0
    return None, 0, None


def _clock_cell(cell: Cell, hours: str) -> int | None:
    """Seconds of the day of a cell in a column of times."""
    if isinstance(cell, datetime):
        return round((cell - cell.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds())
    if isinstance(cell, time):
        return cell.hour * 3600 + cell.minute * 60 + cell.second + round(cell.microsecond / 1e6)
    if is_empty(cell):
        return None
    text = str(cell).strip()
    if hours != "clock" or not isinstance(cell, str):
        value = number(text)
        if value is not None:
            return _numeric_clock(value, hours, text)
    found = re.match(rf"^(.*?)\s*(?:{_OFFSET})?$", text)
    return second_of_day(found[1] if found else text)


def _clock_offset(cell: Cell) -> int | None:
    """Offset from UTC that a cell in a column of times names, such as '00:15 EST'."""
    found = (
        re.search(rf"\d\s*(?:[AaPp][Mm])?\s*({_OFFSET})$", cell.strip()) if isinstance(cell, str) else None
    )
    return offset_s(found[1]) if found else None


def _numeric_clock(value: float, hours: str, text: str) -> int | None:
    if 0 <= value < 1 and hours == "clock":
        return round(value * 86400)
    if value != int(value) or value < 0:
        return second_of_day(text)
    whole = int(value)
    if hours in ("hour", "hour_ending"):
        return whole * 3600 if whole <= 24 else None
    h, m = divmod(whole, 100)
    return h * 3600 + m * 60 if m < 60 and (h < 24 or (h == 24 and not m)) else None


@dataclass(frozen=True, slots=True)
class OrderGuess:
    """order: how the dates are meant. certain: whether the data prove it. why: the evidence, in words."""

    order: Order
    certain: bool
    why: str


def guess_order(cells: Iterable[Cell]) -> OrderGuess:
    """Day first, month first or year first, from all dates in a column, in file order.

    Proof is a day above 12, or that only one reading makes the dates follow one another day by day.
    """
    heads: dict[str, None] = {}
    seen: dict[str, None] = {}
    for cell in cells:
        if type(cell) is str and cell not in seen:
            text = cell.strip()
            seen[cell] = None
            both = _RANGE.match(text)
            found = _STAMP.match(both[1] if both else text)
            if found:
                heads[found["date"]] = None
    parts = [p for p in map(split_date, heads) if p is not None]
    if not parts or all(p[3] for p in parts):
        return OrderGuess("ymd", True, "the year stands first, or the month is named, or the cells are dates")
    loose = [p for p in parts if not p[3]]
    first, second = max(p[0] for p in loose), max(p[1] for p in loose)
    if first > 12 >= second:
        return OrderGuess("dmy", True, f"the first number reaches {first}")
    if second > 12 >= first:
        return OrderGuess("mdy", True, f"the second number reaches {second}")
    if first > 12 and second > 12:
        day_first = sum(p[0] > 12 for p in loose) >= sum(p[1] > 12 for p in loose)
        return OrderGuess(
            "dmy" if day_first else "mdy",
            False,
            f"both numbers exceed 12 (first up to {first}, second up to {second})",
        )
    broken = {o: _broken_steps(list(heads), o) for o in ("dmy", "mdy")}
    if len(loose) >= 3 and min(broken.values()) == 0 < max(broken.values()):
        order: Order = "dmy" if broken["dmy"] == 0 else "mdy"
        return OrderGuess(
            order,
            True,
            f"only {'day' if order == 'dmy' else 'month'} first makes the "
            f"{len(loose)} dates follow day by day",
        )
    return OrderGuess("mdy", False, "no day exceeds 12, and the order of the dates proves nothing")


def _broken_steps(heads: Sequence[str], order: Order) -> int:
    days = [d for d in (day_number(h, order) for h in heads) if d is not None]
    return sum(abs(b - a) > 1 for a, b in pairwise(days))


# --- numbers ------------------------------------------------------------------------------------------


def number(text: str, decimal: str = ".") -> float | None:
    """One number as written, thousands separators, brackets and a trailing minus allowed; else None."""
    text = text.strip().replace("\u2212", "-")
    if text[:1] == "(" and text[-1:] == ")":
        text = "-" + text[1:-1]
    text = text.lstrip("$€£'")
    if not _NUMBER.match(text):
        return None
    text = re.sub(r"['\s\u00a0\u202f]", "", text)
    if text.endswith("-"):
        text = "-" + text[:-1]
    other = "," if decimal == "." else "."
    text = text.replace(other, "")
    if decimal != ".":
        text = text.replace(decimal, ".")
    try:
        return float(text)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class DecimalGuess:
    """decimal: '.' or ','. certain, why: as in OrderGuess."""

    decimal: str
    certain: bool
    why: str


def guess_decimal(cells: Iterable[Cell], delimiter: str) -> DecimalGuess:
    """Decimal point or comma, from all texts that hold a comma."""
    commas = dots = 0
    for cell in cells:
        if type(cell) is not str or ("," not in cell and cell.count(".") < 2):
            dots += type(cell) is str and "." in cell
            continue
        text = cell.strip().lstrip("+-($€£").rstrip(")-")
        c, d = text.rfind(","), text.rfind(".")
        if c >= 0 and d >= 0:
            mark = "," if c > d else "."
            return DecimalGuess(mark, True, f"{cell.strip()!r} holds both marks")
        if d >= 0:
            return DecimalGuess(",", True, f"{cell.strip()!r} groups thousands by points")
        groups = text.split(",")
        whole = all(len(g) == 3 for g in groups[1:])
        if not whole or groups[0] in ("0", "") or len(groups[0]) > 3:
            return DecimalGuess(",", True, f"{cell.strip()!r} cannot hold a thousands comma")
        if len(groups) > 2:
            return DecimalGuess(".", True, f"{cell.strip()!r} groups thousands by commas")
        commas += 1
    if not commas:
        return DecimalGuess(".", True, "no comma stands in a number")
    if dots:
        return DecimalGuess(".", True, "other numbers of the column hold a decimal point")
    guess = "," if delimiter == ";" else "."
    return DecimalGuess(guess, False, f"{commas} numbers hold one comma before three digits, none shows more")


def read_numbers(cells: Sequence[Cell], decimal: str = ".") -> tuple[Kw, Ints]:
    """A column as floats (NaN where empty or unreadable) and the positions of unreadable, non-empty cells."""
    if decimal == ".":
        try:
            plain = np.array(cells, dtype=np.float64)
            if plain.ndim == 1:
                plain[~np.isfinite(plain)] = np.nan
                return plain, np.zeros(0, np.int64)
        except (TypeError, ValueError):
            pass
    out = np.full(len(cells), np.nan)
    bad: list[int] = []
    for k, cell in enumerate(cells):
        if type(cell) is str:
            try:
                value = float(cell) if decimal == "." else number(cell, decimal)
            except ValueError:
                value = number(cell, decimal)
            if value is None or not np.isfinite(value):
                if not is_empty(cell):
                    bad.append(k)
            else:
                out[k] = value
        elif isinstance(cell, (int, float, np.number)) and not isinstance(cell, bool):
            out[k] = float(cell) if np.isfinite(cell) else np.nan
        elif cell is not None:
            bad.append(k)
    return out, np.array(bad, np.int64)
