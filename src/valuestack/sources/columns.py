"""Rows of cells -> channels: which column is what, guessed from words and data, every guess overridable.

The readers of delimited text, XLSX and Parquet hand over a `Grid`; `read_grid` finds the header, the layout
(long: a row a reading; wide: a row a day), times, values, units, direction and quality, and returns a
MeterTable whose `mapping` holds each guess under the name of the option that overrides it. A guess that
the data do not prove becomes a Finding of severity 'question'.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..finding import Finding
from ..timeline import Ints, Kw, utc_offsets_s, zone
from . import cells
from .cells import BAD, Cell
from .source import ESTIMATED, INVALID, METERED, Channel, MeterTable, Noting, check_options

Row = Sequence[Cell]
Bools = NDArray[np.bool_]

OPTIONS: Mapping[str, Any] = {
    "header_row": None,
    "layout": None,
    "time": None,
    "date_order": None,
    "hours": None,
    "label": None,
    "clock": None,
    "tz": None,
    "values": None,
    "unit": None,
    "flow": None,
    "multiplier": 1.0,
    "usage_point": None,
    "channel": None,
    "quality": None,
    "decimal": None,
    "dst_repeat": None,
    "interval_end": None,
}
"""The options of every reader of tables.

header_row: line of the header, 0 for none. layout: 'long' | 'wide'. time: the column of times, or the two of
date and time. date_order: 'dmy' | 'mdy' | 'ymd'. hours: how bare numbers in a time column are meant: 'hhmm',
'hour' or 'hour_ending'. label: 'start' | 'end'. clock: 'wall' | 'utc'. tz: IANA zone. values: column(s) of
values, or a mapping column -> unit. unit: one unit for all value columns, e.g. 'kWh', or a mapping column ->
unit. flow: one direction for all, or a mapping column or channel -> direction. multiplier: factor on all
values. usage_point: column(s) that tell meters apart. channel: column(s) that tell channels apart. quality:
column of read flags. decimal: '.' | ','. interval_end: column of times at which intervals end, where another
states their starts. dst_repeat: hour of day that an autumn day of a wide file repeats, where columns are only
numbered."""

UNITS: Mapping[str, tuple[str, float]] = {
    "kwh": ("kwh", 1.0),
    "wh": ("kwh", 1e-3),
    "mwh": ("kwh", 1e3),
    "kw": ("kw", 1.0),
    "w": ("kw", 1e-3),
    "mw": ("kw", 1e3),
    "kvarh": ("kvarh", 1.0),
    "varh": ("kvarh", 1e-3),
    "kvar": ("kvar", 1.0),
    "var": ("kvar", 1e-3),
    "kva": ("kva", 1.0),
    "va": ("kva", 1e-3),
    "mvarh": ("kvarh", 1e3),
    "mvar": ("kvar", 1e3),
    "mva": ("kva", 1e3),
}
_UNIT = re.compile(r"(?<![a-z0-9])(k|m)?(w|va|var)(\s?[·*.\- ]?\s?h|\s?hours?|\s?hrs?)?(?![a-z0-9])", re.I)
_LONG_UNIT = re.compile(
    r"\b(kilo|mega)?\s?-?(watt|volt-?amperes? reactive|volt-?ampere)s?[\s\-]?(hours?|hrs?)?\b", re.I
)
_IGNORED = (
    (re.compile(r"co2|carbon|emission|greenhouse", re.I), "emissions"),
    (re.compile(r"power.?factor|\bpf\b|cos.?phi", re.I), "power factor"),
    (re.compile(r"temp|deg ?[fc]\b|°[fc]|weather|humid|\b[hc]dd\b", re.I), "weather"),
    (re.compile(r"cost|\$|\busd\b|charge|price|amount|\brate\b|tariff|\beur\b|£|€", re.I), "money"),
    (re.compile(r"duration|interval ?(length|min|size)|minutes|\bnsm\b|seconds", re.I), "duration"),
    (re.compile(r"multiplier|ct.?ratio|pt.?ratio|\bk.?factor|meter constant", re.I), "multiplier"),
    (re.compile(r"volt(age|s)?\b|\bamps?\b|current \(a\)|\bhz\b|frequency", re.I), "electrical"),
    (re.compile(r"\b(ccf|mcf|therms?|ft3|m3|gal(lons?)?)\b", re.I), "gas or water"),
)
_ID = re.compile(
    r"meter|account|acct|premise|esi ?id|esiid|service ?(point|agreement|id)|\bsdp\b|\bsaid?\b|usage ?point|"
    r"\bmpan\b|\bnmi\b|\bpod\b|\bsite\b|location|building|device|\bname\b|address|customer|recorder",
    re.I,
)
_CHANNEL = re.compile(
    r"channel|register|direction|flow|\bunits?\b|\buom\b|measure|quantity|commodity|"
    r"consumption.?surplus|\btype\b",
    re.I,
)
_QUALITY = re.compile(r"qual|estimat|actual|status|flag|read ?type|valid|\bvee\b", re.I)
_DATE_WORD = re.compile(r"date|day|time|stamp|\bts\b|datum|fecha|period|interval|\bdt\b", re.I)
_HOUR_WORD = re.compile(r"hour|\bhe\b|\bhr\b|time|interval|period|\bhhmm\b", re.I)
_HE = re.compile(r"hour.?end|\bhe\b|\bhe\d", re.I)
_START = re.compile(r"start|begin|\bfrom\b", re.I)
_END = re.compile(r"\bend|ending|\bto\b|\bhe\b|until|_end|through", re.I)
_UTC = re.compile(r"\butc\b|\bgmt\b|zulu|epoch|unix", re.I)
_USAGE = re.compile(
    r"usage|consumption|demand|load|energy|power|value|reading|deliver|import|export|receiv|"
    r"generat|\bnet\b|quantity|total",
    re.I,
)
_REGISTER = re.compile(r"register|stand|cumulat|odometer|meter ?read|index|dial", re.I)
_RECEIVED = re.compile(r"receiv|export|surplus|sold|to.?grid|feed.?in|outflow|backfeed|\blead(ing)?\b", re.I)
_DELIVERED = re.compile(
    r"deliver|import|consum|usage|from.?grid|demand|inflow|purchas|\blag(ging)?\b|\bload\b|used", re.I
)
_NET = re.compile(r"\bnet\b", re.I)
_GENERATION = re.compile(r"generat|solar|\bpv\b|production|produced|inverter", re.I)
_FOOTER = re.compile(
    r"total|sum\b|average|\bavg|maximum|minimum|\bmax\b|\bmin\b|peak|end of|generated|copyright|"
    r"records|note|disclaimer|report|load factor",
    re.I,
)
_SLOT = re.compile(
    r"^(?:h|he|hr|hour|hour ending|interval|int|period|per|p|q|qh|hh|kwh|kw|value|val|v|block|reading|"
    r"usage|i|t)?[ \-#.:]*(\d{1,3})$",
    re.I,
)
QUALITY_WORDS: Mapping[str, int] = {
    **dict.fromkeys(
        (
            "a",
            "act",
            "actual",
            "valid",
            "v",
            "ok",
            "good",
            "g",
            "measured",
            "m",
            "metered",
            "normal",
            "raw",
            "r",
            "read",
            "verified",
            "validated",
            "complete",
            "final",
            "regular",
            "0",
            "true",
            "billed",
            "val",
        ),
        METERED,
    ),
    **dict.fromkeys(
        (
            "e",
            "est",
            "estimate",
            "estimated",
            "s",
            "sub",
            "substituted",
            "f",
            "edited",
            "manual",
            "interpolated",
            "calculated",
            "adjusted",
            "partial",
            "provisional",
            "p",
            "projected",
        ),
        ESTIMATED,
    ),
    **dict.fromkeys(
        (
            "n",
            "null",
            "invalid",
            "bad",
            "i",
            "missing",
            "error",
            "fail",
            "failed",
            "x",
            "outage",
            "suspect",
            "questionable",
        ),
        INVALID,
    ),
}


@dataclass(slots=True)
class Grid:
    """Rows of cells as the file has them. line: number of each row in the file, from 1. facts: how the file
    was opened (format, delimiter, encoding, sheet). named: whether rows[0] is certainly the header."""

    rows: list[Row]
    line: Sequence[int]
    facts: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    named: bool = False


def read_grid(
    path: str, grid: Grid, options: Mapping[str, Any], own: Mapping[str, Any] | None = None
) -> MeterTable:
    """The MeterTable of a grid. own: names and defaults of the options of the reader itself."""
    chosen = {**OPTIONS, **check_options(path, options, {**OPTIONS, **(own or {})})}
    _check_values(path, chosen)
    return _Reading(path, grid, chosen).table()


_CHOICES: Mapping[str, tuple[str, ...]] = {
    "layout": ("long", "wide"),
    "date_order": ("dmy", "mdy", "ymd"),
    "label": ("start", "end"),
    "clock": ("wall", "utc"),
    "decimal": (".", ","),
    "hours": ("clock", "hhmm", "hour", "hour_ending"),
}
FLOWS = ("delivered", "received", "net", "generation", "other")


def _check_values(path: str, chosen: Mapping[str, Any]) -> None:
    problems = [
        f"{k}: {chosen[k]!r}; write one of {', '.join(map(repr, v))}"
        for k, v in _CHOICES.items()
        if chosen[k] is not None and chosen[k] not in v
    ]
    if chosen["tz"] is not None:
        try:
            zone(chosen["tz"])
        except InputError as e:
            problems.append(str(e))
    unit = chosen["unit"]
    units = list(unit.values()) if isinstance(unit, Mapping) else [] if unit is None else [unit]
    if isinstance(chosen["values"], Mapping):
        units += [u for u in chosen["values"].values() if u is not None]
    problems += [
        f"unit: {u!r}; known: kWh, kW, Wh, W, MWh, MW, kVAr, kVArh, kVA, register_kWh"
        for u in units
        if u != "unknown" and _unit_named(str(u)) is None
    ]
    flows = chosen["flow"].values() if isinstance(chosen["flow"], Mapping) else [chosen["flow"]]
    problems += [
        f"flow: {f!r}; write one of {', '.join(FLOWS)}" for f in flows if f is not None and f not in FLOWS
    ]
    for name in ("multiplier", "header_row", "dst_repeat"):
        value = chosen[name]
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value)
        ):
            problems.append(f"{name}: {value!r} is not a number")
    if problems:
        raise InputError.collect(path, problems)


def _unit_named(text: str) -> tuple[str, float] | None:
    """(quantity, factor to kilo) of a unit as a person or a header cell writes it alone."""
    key = re.sub(r"[\s·*.\-]", "", text.strip().lower())
    if key in ("registerkwh", "register_kwh"):
        return "register_kwh", 1.0
    return UNITS.get(key)


def unit_in(text: str) -> tuple[str, float] | None:
    """The unit that a header names anywhere, such as 'Usage (kWh)' or 'Real energy in kilowatt-hours'."""
    text = text.replace("_", " ")
    found: list[str] = [f"{(m[1] or '')}{m[2]}{'h' if m[3] else ''}".lower() for m in _UNIT.finditer(text)]
    for m in _LONG_UNIT.finditer(text):
        scale = {"kilo": "k", "mega": "m", None: ""}[m[1].lower() if m[1] else None]
        base = "w" if m[2].lower() == "watt" else "var" if "reactive" in m[2].lower() else "va"
        found.append(scale + base + ("h" if m[3] else ""))
    # A bare W or VA is too short to trust where a fuller unit stands beside it.
    found.sort(key=len, reverse=True)
    return next((UNITS[u] for u in found if u in UNITS), None)


@dataclass(slots=True)
class _Column:
    name: str
    at: int
    kind: str
    words: str


def _words(name: str) -> str:
    """A header as words: underscores, dots and camel case taken apart."""
    name = re.sub(r"(?<=[a-z]{3})(?=[A-Z][a-z]{2})", " ", name.replace("_", " "))
    return re.sub(r"\s+", " ", name).strip()


@dataclass(slots=True)
class _Reading(Noting):
    """One pass over one grid; each step leaves what it decided in `mapping`."""

    path: str
    grid: Grid
    chosen: dict[str, Any]
    mapping: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    columns: list[_Column] = field(default_factory=list)
    data: list[Sequence[Cell]] = field(default_factory=list)
    line: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    preamble: str = ""

    # --- the steps ---

    def table(self) -> MeterTable:
        self.findings.extend(self.grid.findings)
        self.mapping.update(self.grid.facts)
        header, start = self._header()
        self._columns(header, start)
        layout = self.chosen["layout"] or ("wide" if self._slots() else "long")
        self.mapping["layout"] = layout
        channels = self._wide() if layout == "wide" else self._long()
        if not channels:
            raise InputError(
                f"{self.path}: no value could be read; name the columns with values= and time=. "
                f"Columns seen: {', '.join(c.name for c in self.columns)}"
            )
        tz = self._zone()
        self.mapping["multiplier"] = self.chosen["multiplier"]
        self.mapping["channels"] = [
            {
                "name": c.name,
                "usage_point": c.usage_point,
                "flow": c.flow,
                "quantity": c.quantity,
                "label": c.label,
                "clock": c.clock,
                "readings": int(c.value.size),
            }
            for c in channels
        ]
        return MeterTable(
            file=self.path,
            channels=tuple(channels),
            mapping=self.mapping,
            tz=tz,
            findings=tuple(self.findings),
        )

    def _zone(self) -> str | None:
        tz: str | None = self.chosen["tz"]
        self.mapping["tz"] = tz
        return tz

    # --- header and body ---

    def _header(self) -> tuple[list[str], int]:
        """Header names (empty where there is none) and the index of the first row of data."""
        rows = self.grid.rows
        given = self.chosen["header_row"]
        if self.grid.named:
            self.mapping["header_row"] = 1
            return [str(c) for c in rows[0]], 1
        if given is not None:
            if given == 0:
                self.mapping["header_row"] = 0
                return [], 0
            at = next((k for k, n in enumerate(self.grid.line) if n == given), None)
            if at is None:
                raise InputError(f"{self.path}: header_row: line {given} is not in the file, or is empty")
            self.mapping["header_row"] = given
            return [_text(c) for c in rows[at]], at + 1
        start = _first_data_row(rows)
        if start is None:
            shown = " | ".join(_text(c) for c in rows[0][:6]) if rows else ""
            raise InputError(
                f"{self.path}: no rows of times and numbers were found (first row: {shown!r}); if "
                "the file is right, name the header's line with header_row= and the columns with "
                "time= and values="
            )
        at = _header_above(rows, start)
        self.preamble = " ; ".join(
            " ".join(_text(c) for c in r if not cells.is_empty(c))
            for r in rows[: start if at is None else at]
        )
        if at is None:
            self.mapping["header_row"] = 0
            return [], start
        self.mapping["header_row"] = int(self.grid.line[at])
        if self.preamble:
            self.note(
                "preamble",
                "info",
                f"{at} rows stand before the header: {self.preamble[:120]!r}",
                f"lines {self.grid.line[0]}-{self.grid.line[at] - 1}",
                at,
                "read only for units",
            )
        names = [_text(c) for c in rows[at]]
        for below in range(at + 1, start):
            names = [f"{a} {_text(b)}".strip() for a, b in _zip_long(names, rows[below])]
        return names, start

    def _columns(self, header: list[str], start: int) -> None:
        rows = self.grid.rows[start:]
        lines = np.asarray(self.grid.line[start:], dtype=np.int64)
        width, rows = self._even(rows, lines)
        names = self._align(header, rows, width)
        seen: Counter[str] = Counter()
        for k, name in enumerate(names):
            name = name or f"column {k + 1}"
            seen[name] += 1
            unique = name if seen[name] == 1 else f"{name} ({seen[name]})"
            self.columns.append(_Column(unique, k, "", _words(name)))
        self.data = list(zip(*rows, strict=True))
        self.line = lines
        for c in self.columns:
            c.kind = _kind_of_column(self.data[c.at])

    def _even(self, rows: list[Row], lines: Ints) -> tuple[int, list[Row]]:
        """All rows of one width; how many were shorter or longer is noted."""
        lengths = Counter(map(len, rows))
        width = lengths.most_common(1)[0][0]
        if len(lengths) == 1:
            return width, rows
        trimmed: list[Row] = []
        odd_long, odd_short = [], []
        for k, row in enumerate(rows):
            n = len(row)
            if n > width:
                if any(not cells.is_empty(c) for c in row[width:]):
                    odd_long.append(k)
                row = row[:width]
            elif n < width:
                if any(not cells.is_empty(c) for c in row):
                    odd_short.append(k)
                row = [*row, *([None] * (width - n))]
            trimmed.append(row)
        for odd, word in ((odd_long, "more"), (odd_short, "fewer")):
            if odd:
                self.note(
                    "uneven_rows",
                    "warning",
                    f"{len(odd)} rows have {word} cells than the usual {width}",
                    _places(lines[odd]),
                    len(odd),
                    "surplus cells left out" if word == "more" else "missing cells read as empty",
                    "an unquoted thousands comma splits a number: check those lines"
                    if word == "more"
                    else "",
                )
        return width, trimmed

    def _align(self, header: list[str], rows: list[Row], width: int) -> list[str]:
        """Header names for each cell of the rows, also where the header does not match them."""
        if not header:
            return [""] * width
        while len(header) > width and not header[-1]:
            header = header[:-1]
        if len(header) == width:
            return header
        where = f"line {self.mapping['header_row']}"
        if len(header) == width - 1:
            sample = _sample(rows, 40)
            for k in range(width - 1):
                first = _common_kind(r[k] for r in sample)
                second = _common_kind(r[k + 1] for r in sample)
                named_time = k + 1 < len(header) and re.search(r"time|hour", header[k + 1], re.I)
                if first == "date" and second == "time" and not named_time:
                    self.note(
                        "header_mismatch",
                        "warning",
                        f"the header names {len(header)} columns, the rows "
                        f"hold {width}: {header[k]!r} is one column in the header, date and time in the "
                        "rows",
                        where,
                        done="a column 'time' was put in after it",
                    )
                    return [*header[: k + 1], "time", *header[k + 1 :]]
            if all(cells.is_empty(r[-1]) for r in sample):
                return [*header, ""]
        if len(header) > width:
            self.note(
                "header_mismatch",
                "warning",
                f"the header names {len(header)} columns, the rows hold {width}",
                where,
                done=f"names after {header[width - 1]!r} left out",
                remedy="check that names and values agree; header_row=0 reads without names",
            )
            return header[:width]
        self.note(
            "header_mismatch",
            "question",
            f"the header names {len(header)} columns, the rows hold {width}",
            where,
            done="names taken from the left, the rest numbered",
            remedy="name the columns with time= and values=, or read without names by header_row=0",
        )
        return header + [""] * (width - len(header))

    def _named(self, option: str, name: Any) -> _Column:
        """The column that an option names, by name or number from 1."""
        if isinstance(name, int) and not isinstance(name, bool) and 1 <= name <= len(self.columns):
            return self.columns[name - 1]
        plain = str(name).strip().lower()
        hit = [c for c in self.columns if c.name == name]
        hit = hit or [c for c in self.columns if c.name.strip().lower() == plain]
        if hit:
            return hit[0]
        import difflib

        names = [c.name for c in self.columns]
        near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"columns: {', '.join(names)}"
        raise InputError(f"{self.path}: {option}: no column {name!r}; {hint}")

    def _several(self, option: str) -> list[_Column]:
        given = self.chosen[option]
        listed = [given] if isinstance(given, (str, int)) else list(given)
        return [self._named(option, n) for n in listed]

    # --- times ---

    def _time_columns(self) -> tuple[_Column, _Column | None, _Column | None]:
        """Column of stamps or dates, column of times or None, column of interval ends or None."""
        if self.chosen["time"] is not None:
            named = self._several("time")
            if len(named) > 2:
                raise InputError(f"{self.path}: time: {len(named)} columns; name one, or date and time")
            end = self.chosen["interval_end"]
            last = None if end is None else self._named("interval_end", end)
            return named[0], named[1] if len(named) == 2 else None, last
        stamps = [c for c in self.columns if c.kind == "stamp"]
        dates = [c for c in self.columns if c.kind == "date"]
        times = [c for c in self.columns if c.kind == "time"]
        for c in self.columns:
            if c.kind == "number" and _DATE_WORD.search(c.words) and not unit_in(c.words):
                sort = _numeric_time(self.data[c.at])
                (stamps if sort == "stamp" else dates if sort == "date" else []).append(c)
        if times and stamps and all(_at_midnight(self.data[c.at]) for c in stamps):
            dates, stamps = stamps + dates, []
        if stamps:
            utc = [c for c in stamps if _UTC.search(c.words)]
            pool = utc or stamps
            first = next((c for c in pool if _START.search(c.words)), None) or next(
                (c for c in pool if not _END.search(c.words)), pool[0]
            )
            end = next((c for c in pool if c is not first and _END.search(c.words)), None)
            return first, None, end
        if not dates:
            raise InputError(
                f"{self.path}: no column of dates or times was found; name it with time=. Columns "
                f"seen: {', '.join(c.name for c in self.columns)}"
            )
        # A revision or billing date is not the day of the reading.
        day = next(
            (c for c in dates if not re.search(r"revis|bill|upload|creat|read on", c.words, re.I)), dates[0]
        )
        if not times:
            times = [
                c
                for c in self.columns
                if c.kind == "number"
                and c is not day
                and c not in dates
                and _HOUR_WORD.search(c.words)
                and not unit_in(c.words)
                and _hours_of(self.data[c.at], c)
            ]
        if not times:
            return day, None, None
        at = next((c for c in times if _START.search(c.words)), None) or times[0]
        end = next((c for c in times if c is not at and _END.search(c.words)), None)
        return day, at, end

    def _stamps(self, day: _Column, at: _Column | None) -> tuple[cells.Stamps, cells.OrderGuess]:
        guess = cells.guess_order(self.data[day.at])
        if self.chosen["date_order"]:
            guess = cells.OrderGuess(self.chosen["date_order"], True, "given")
        hours = self.chosen["hours"]
        if hours is None:
            hours = (
                "clock" if at is None or at.kind != "number" else _hours_of(self.data[at.at], at) or "clock"
            )
        stamps = cells.read_stamps(
            self.data[day.at], None if at is None else self.data[at.at], guess.order, hours=hours
        )
        self.mapping["time"] = day.name if at is None else [day.name, at.name]
        self.mapping["date_order"] = guess.order
        if at is not None and hours != "clock":
            self.mapping["hours"] = hours
        if not guess.certain:
            other = "dmy" if guess.order == "mdy" else "mdy"
            self.note(
                "date_order",
                "question",
                f"the dates in {day.name!r} may be day or month first: {guess.why}",
                done=f"read as {guess.order}",
                remedy=f"date_order={guess.order!r} or date_order={other!r}",
            )
        elif guess.order != "ymd" and guess.why != "given":
            self.note("date_order", "info", f"dates are read as {guess.order}: {guess.why}")
        return stamps, guess

    def _good_rows(self, second: Ints) -> Bools:
        """Which rows hold a time; the others are placed and named by what they are."""
        good: Bools = np.not_equal(second, BAD)
        groups: dict[str, list[int]] = {}
        header = {c.name.strip().lower() for c in self.columns}
        for k in np.flatnonzero(~good).tolist():
            row = [col[k] for col in self.data]
            texts = [_text(c).strip() for c in row if not cells.is_empty(c)]
            if not texts:
                sort = "blank_rows"
            elif sum(t.lower() in header for t in texts) >= max(2, len(texts) // 2):
                sort = "repeated_header"
            elif any(_FOOTER.search(t) for t in texts):
                sort = "footer"
            else:
                sort = "unreadable_time"
            groups.setdefault(sort, []).append(k)
        said = {
            "blank_rows": ("info", "blank rows"),
            "repeated_header": ("info", "repeated header rows"),
            "footer": ("info", "rows of totals or notes"),
            "unreadable_time": ("warning", "rows without a readable time"),
        }
        for sort, ks in groups.items():
            severity, words = said[sort]
            shown = (
                ""
                if sort == "blank_rows"
                else ": "
                + "; ".join(
                    " | ".join(_text(col[k]) for col in self.data if not cells.is_empty(col[k]))[:60]
                    for k in ks[:3]
                )
            )
            self.note(
                sort,
                severity,
                f"{len(ks)} {words}{shown}",
                _places(self.line[ks]),
                len(ks),
                "left out",
                "correct these lines, or give date_order=" if severity == "warning" else "",
            )
        if not good.any():
            raise InputError(
                f"{self.path}: no time could be read in {self.mapping['time']!r}; name the column "
                "with time=, or the order of its dates with date_order="
            )
        return good

    # --- long: a row a reading ---

    def _long(self) -> list[Channel]:
        day, at, end = self._time_columns()
        stamps, _ = self._stamps(day, at)
        good = self._good_rows(stamps.second)
        used = {c.at for c in (day, at, end) if c is not None}
        clock = self._clock(stamps, good, day, at)
        end_s = self._ends(day, at, end, stamps, good)
        quality_column = self._quality_column(used)
        groups = self._groups(used | ({quality_column.at} if quality_column else set()))
        values = self._value_columns(
            used | {c.at for c in groups} | ({quality_column.at} if quality_column else set())
        )
        keys = self._keys(groups)
        quality = None if quality_column is None else self._quality(quality_column)
        second = stamps.second
        label, second = self._label(day, at, end_s, stamps, good, keys)
        duration = None
        if end_s is not None:
            length = np.where((end_s != BAD) & good, end_s - second, 0)
            duration = np.where(length <= 0, length + 86400 if at is not None else 0, length).astype(np.int64)
        channels = []
        distinct = list(dict.fromkeys(keys)) if keys is not None else [("", "")]
        parsed = [self._numbers(c, good) for c in values]
        key_array = None if keys is None else _codes(keys, distinct)
        for g, (point, channel) in enumerate(distinct):
            mask = good if key_array is None else good & (key_array == g)
            if not mask.any():
                continue
            for column, value in zip(values, parsed, strict=True):
                channels.append(
                    self._channel(
                        column,
                        point,
                        channel,
                        len(values) > 1,
                        second[mask],
                        value[mask],
                        clock,
                        label,
                        None if duration is None else duration[mask],
                        None if quality is None else quality[mask],
                        self.line[mask],
                    )
                )
        return self._settle_flows(channels)

    def _ends(
        self, day: _Column, at: _Column | None, end: _Column | None, stamps: cells.Stamps, good: Bools
    ) -> Ints | None:
        if end is not None:
            times = None if at is None else self.data[end.at]
            source = self.data[end.at] if at is None else self.data[day.at]
            self.mapping["interval_end"] = end.name
            return cells.read_stamps(source, times, cast(Any, self.mapping["date_order"])).second
        return stamps.end_s

    def _clock(
        self, stamps: cells.Stamps, good: Bools, day: _Column, at: _Column | None
    ) -> Literal["utc", "wall"]:
        offset = stamps.has_offset[good]
        names = f"{day.words} {at.words if at else ''}"
        clock: Literal["utc", "wall"] = "utc" if offset.all() or _UTC.search(names) else "wall"
        if offset.any() and not offset.all():
            lines = self.line[good][~offset]
            raise InputError(
                f"{self.path}: {int(offset.sum())} times carry an offset and {int((~offset).sum())} do "
                f"not ({_places(lines)}); write all of them in one way"
            )
        if self.chosen["clock"]:
            clock = self.chosen["clock"]
        self.mapping["clock"] = clock
        return clock

    def _label(
        self,
        day: _Column,
        at: _Column | None,
        end_s: Ints | None,
        stamps: cells.Stamps,
        good: Bools,
        keys: Sequence[tuple[str, str]] | None,
    ) -> tuple[Literal["start", "end", "unknown"], Ints]:
        """Whether labels mark the start or the end, with the evidence; midnights moved where they carry the
        day just ended."""
        second = stamps.second
        series = (
            second[good] if keys is None else second[good & (_codes(keys, [keys[int(np.argmax(good))]]) == 0)]
        )
        step = _step(series)
        shifted = False
        if at is not None and step and not stamps.midnight24 and _midnight_of_day_before(series, step):
            midnight = good & (second % 86400 == 0)
            second = np.where(midnight, second + 86400, second)
            series = np.where(series % 86400 == 0, series + 86400, series)
            shifted = True
            self.note(
                "midnight_label",
                "info",
                f"00:00 stands after 23:xx with the same date in "
                f"{int(midnight.sum())} rows: it carries the day just ended",
                count=int(midnight.sum()),
                done="moved to the end of that day",
            )
        name = f"{day.words} {at.words if at else ''}"
        label, why = self._label_evidence(name, end_s, stamps, series, step, shifted)
        if self.chosen["label"]:
            label, why = self.chosen["label"], "given"
        self.mapping["label"] = label
        if label == "unknown":
            self.note(
                "label",
                "question",
                "the file does not say whether a time marks the start or the end of "
                "its interval, and its span does not show it",
                done="left open",
                remedy="label='start' or label='end'",
            )
        elif why != "given":
            self.note(
                "label",
                "info",
                f"times mark the {label} of the interval: {why}",
                remedy=f"label={'end' if label == 'start' else 'start'!r} if not",
            )
        return label, second

    def _label_evidence(
        self, name: str, end_s: Ints | None, stamps: cells.Stamps, series: Ints, step: int, shifted: bool
    ) -> tuple[Literal["start", "end", "unknown"], str]:
        if end_s is not None:
            return "start", "the file states the end of each interval as well"
        if shifted:
            return "end", "00:00 carries the date of the day just ended"
        if stamps.midnight24:
            return "end", f"24:00 is written {stamps.midnight24} times"
        if self.mapping.get("hours") == "hour_ending":
            return "end", "the column counts hours ending"
        if _START.search(name) and not _END.search(name):
            return "start", f"the header says so ({name.strip()})"
        if _END.search(name) and not _START.search(name):
            return "end", f"the header says so ({name.strip()})"
        if step and series.size > 2 and step < 86400:
            edge = np.array([series.min(), series.max()], np.int64)
            if self.mapping["clock"] == "utc":
                if self.chosen["tz"] is None:
                    return "unknown", ""
                edge = edge + utc_offsets_s(edge, self.chosen["tz"])
            first, last = (edge % 86400).tolist()
            if first == 0 and last == 86400 - step:
                return "start", "the file then holds whole days, from 00:00 to the last label before midnight"
            if first == step and last == 0:
                return "end", f"the file then holds whole days, from {_hhmm(first)} to 00:00"
        return "unknown", ""

    # --- columns of values ---

    def _value_columns(self, used: set[int]) -> list[_Column]:
        if self.chosen["values"] is not None:
            given = self.chosen["values"]
            names = list(given) if not isinstance(given, (str, int)) else [given]
            columns = [self._named("values", n) for n in names]
            self.mapping["values"] = [c.name for c in columns]
            return columns
        free = [c for c in self.columns if c.at not in used and c.kind == "number"]
        left_out: list[str] = []
        plain = []
        for c in free:
            why = _ignored(c.words)
            if why is None and not unit_in(c.words) and self._is_row_number(c):
                why = "row number"
            if why is None and not unit_in(c.words) and _ID.search(c.words) and not _REGISTER.search(c.words):
                why = "identifier"
            if why is None:
                plain.append(c)
            else:
                left_out.append(f"{c.name} ({why})")
                if why == "multiplier":
                    self._multiplier(c)
        with_unit = [c for c in plain if unit_in(c.words)]
        chosen = with_unit or [c for c in plain if _USAGE.search(c.words)] or plain
        left_out += [f"{c.name} (no unit)" for c in plain if c not in chosen]
        self.mapping["values"] = [c.name for c in chosen]
        if left_out:
            self.note(
                "columns_left_out",
                "info",
                f"columns not read as power or energy: {', '.join(left_out)}",
                count=len(left_out),
                remedy="name the wanted ones with values=",
            )
        flows = [_flow_in(c.words) for c in chosen]
        if len(chosen) > 1 and not with_unit and (None in flows or len(set(flows)) < len(flows)):
            self.note(
                "value_columns",
                "question",
                f"several columns may hold the load: {', '.join(c.name for c in chosen)}",
                count=len(chosen),
                done="all are read as channels",
                remedy="name the right one with values=",
            )
        return chosen

    def _multiplier(self, column: _Column) -> None:
        value, _ = cells.read_numbers(self.data[column.at])
        seen = np.unique(value[np.isfinite(value)])
        if seen.size and not (seen.size == 1 and seen[0] == 1):
            shown = ", ".join(f"{v:g}" for v in seen[:4])
            self.note(
                "multiplier",
                "question",
                f"column {column.name!r} states a multiplier of {shown}",
                done="values are read as if it were already in them",
                remedy=f"multiplier={seen[0]:g} if it is not, else multiplier=1",
            )

    def _numbers(self, column: _Column, good: Bools) -> Kw:
        raw = self.data[column.at]
        decimal = self.chosen["decimal"]
        if decimal is None:
            guess = cells.guess_decimal(
                (c for c, g in zip(raw, good.tolist(), strict=True) if g),
                str(self.grid.facts.get("delimiter", ",")),
            )
            decimal = guess.decimal
            if not guess.certain:
                other = "." if decimal == "," else ","
                self.note(
                    "decimal",
                    "question",
                    f"{column.name!r}: {guess.why}: thousands or decimals?",
                    done=f"{decimal!r} read as the decimal mark",
                    remedy=f"decimal={decimal!r} or {other!r}",
                )
            elif decimal == ",":
                self.note("decimal", "info", f"{column.name!r}: decimal comma, because {guess.why}")
        self.mapping.setdefault("decimal", decimal)
        value, bad = cells.read_numbers(raw, decimal)
        bad = bad[good[bad]]
        if bad.size:
            shown = ", ".join(repr(_text(raw[k])) for k in bad[:4].tolist())
            self.note(
                "unreadable_value",
                "warning",
                f"{bad.size} values of {column.name!r} are no numbers: {shown}",
                _places(self.line[bad]),
                int(bad.size),
                "kept as missing",
            )
        return value

    def _quality_column(self, used: set[int]) -> _Column | None:
        if self.chosen["quality"] is not None:
            found: _Column | None = self._named("quality", self.chosen["quality"])
        else:
            found = next(
                (
                    c
                    for c in self.columns
                    if c.at not in used
                    and _QUALITY.search(c.words)
                    and not unit_in(c.words)
                    and self._is_quality(c)
                ),
                None,
            )
        self.mapping["quality"] = None if found is None else found.name
        return found

    def _is_quality(self, column: _Column) -> bool:
        """Few values, and either the header leaves no doubt or most of them are known flags."""
        seen = _distinct(self.data[column.at], 60)
        if not seen or len(seen) > 40:
            return False
        known = sum(_quality_of(_text(v)) >= 0 for v in seen)
        return known * 2 >= len(seen) or bool(re.search(r"qual|estimat|\bvee\b", column.words, re.I))

    def _quality(self, column: _Column) -> Ints:
        codes: dict[str, int] = {}
        unknown: Counter[str] = Counter()
        out = np.zeros(len(self.line), np.int64)
        for k, cell in enumerate(self.data[column.at]):
            if cells.is_empty(cell):
                continue
            text = _text(cell)
            if text not in codes:
                codes[text] = _quality_of(text)
            code = codes[text]
            if code < 0:
                unknown[text] += 1
            else:
                out[k] = code
        if unknown:
            self.note(
                "quality_unknown",
                "question",
                f"flags of {column.name!r} that are not known: "
                + ", ".join(f"{t!r} ({n})" for t, n in unknown.most_common(6)),
                count=sum(unknown.values()),
                done="read as metered",
                remedy="ask the utility what they mean",
            )
        for code, word in ((ESTIMATED, "estimated"), (INVALID, "invalid")):
            n = int((out == code).sum())
            if n:
                self.note(
                    "flagged_reads",
                    "info",
                    f"{n} readings are flagged as {word}",
                    _places(self.line[out == code]),
                    n,
                )
        return out

    # --- columns that tell meters and channels apart ---

    def _groups(self, used: set[int]) -> list[_Column]:
        points = channels = None
        if self.chosen["usage_point"] is not None:
            points = self._several("usage_point")
        if self.chosen["channel"] is not None:
            channels = self._several("channel")
        free = [c for c in self.columns if c.at not in used and c.kind in ("text", "number")]
        if points is None:
            points = [
                c
                for c in free
                if _ID.search(c.words) and not (unit_in(c.words) or _ignored(c.words)) and self._is_id(c)
            ]
        if channels is None:
            channels = [c for c in free if c not in points and c.kind == "text" and self._is_channel(c)]
        several = [c for c in points if len(_distinct(self.data[c.at], 3)) > 1] or points[:1]
        self.mapping["usage_point"] = [c.name for c in several]
        self.mapping["channel"] = [c.name for c in channels]
        self._point_columns, self._channel_columns = several, channels
        return several + channels

    _point_columns: list[_Column] = field(default_factory=list)
    _channel_columns: list[_Column] = field(default_factory=list)

    def _is_id(self, column: _Column) -> bool:
        """Few values, each on many rows, and (where numbers) whole ones."""
        seen = _distinct(self.data[column.at], 400)
        if len(seen) > max(1, min(300, len(self.line) // 4)):
            return False
        return all(isinstance(v, (str, int)) or (isinstance(v, float) and v == int(v)) for v in seen)

    def _is_row_number(self, column: _Column) -> bool:
        value, _ = cells.read_numbers(self.data[column.at])
        return value.size > 2 and value[0] in (0, 1) and bool((np.diff(value) == 1).all())

    def _is_channel(self, column: _Column) -> bool:
        seen = [str(v) for v in _distinct(self.data[column.at], 20)]
        if not seen or len(seen) > 12:
            return False
        telling = all(_unit_named(v) or _flow_in(v) for v in seen)
        return telling or bool(
            _CHANNEL.search(column.words)
            and len(seen) > 1
            and any(_unit_named(v) or unit_in(v) or _flow_in(v) or "ch" in v.lower() for v in seen)
        )

    def _keys(self, groups: list[_Column]) -> list[tuple[str, str]] | None:
        if not groups:
            return None
        points = [self.data[c.at] for c in self._point_columns]
        channels = [self.data[c.at] for c in self._channel_columns]
        blank = [""] * len(self.line)
        left = _joined(points) if points else blank
        right = _joined(channels) if channels else blank
        return list(zip(left, right, strict=True))

    # --- channels ---

    def _channel(
        self,
        column: _Column,
        point: str,
        channel: str,
        several: bool,
        second: Ints,
        value: Kw,
        clock: Literal["utc", "wall"],
        label: Literal["start", "end", "unknown"],
        duration: Ints | None,
        quality: Ints | None,
        place: Ints,
    ) -> Channel:
        name = " ".join(p for p in (point, channel, column.name if several or not channel else "") if p)
        words = f"{column.words} {channel}".strip()
        quantity, factor = self._unit(column, point, channel, words, value)
        flow = self._flow(column, channel, words)
        scaled = value * (factor * float(self.chosen["multiplier"]))
        return Channel(
            usage_point=point or "meter",
            flow=flow,
            quantity=cast(Any, quantity),
            label_s=second,
            clock=clock,
            label=label,
            value=scaled,
            duration_s=duration,
            quality=quality,
            place=place,
            name=name or column.name,
        )

    def _unit(self, column: _Column, point: str, channel: str, words: str, value: Kw) -> tuple[str, float]:
        given = self.chosen["values"]
        named = given.get(column.name) if isinstance(given, Mapping) else None
        key = f"{column.name} {channel}".strip()
        unit = self.chosen["unit"]
        named = named or (unit.get(key, unit.get(column.name)) if isinstance(unit, Mapping) else unit)
        units = self.mapping.setdefault("unit", {})
        if named and named != "unknown":
            found = _unit_named(str(named))
            why = "given"
        else:
            found, why = unit_in(channel), f"channel {channel!r}"
            if found is None:
                found, why = unit_in(column.words), f"header {column.name!r}"
            if found is None:
                found, why = unit_in(point), f"meter {point!r}"
            if found is None and self.preamble:
                found, why = unit_in(self.preamble), "the rows before the header"
            if found is not None and not why.startswith("header"):
                self._once("unit_from", f"the unit of {column.name!r} is taken from {why}", remedy="unit=")
        if found is None:
            units[key] = "unknown"
            if not any(f.kind == "unit" and repr(key) in f.what for f in self.findings):
                self.note(
                    "unit",
                    "question",
                    f"no unit is stated for {key!r}: kW or kWh of the interval?",
                    done="left open",
                    remedy="unit='kW' or unit='kWh'; a bill's kWh total decides it",
                )
            return "unknown", 1.0
        quantity, factor = found
        if quantity == "kwh" and why != "given" and _REGISTER.search(words) and _rises(value):
            quantity = "register_kwh"
            self.note(
                "register",
                "info",
                f"{key!r} only rises: read as a meter stand",
                remedy="unit='kWh' if it holds the energy of each interval",
            )
        units[key] = next((u for u, meant in UNITS.items() if meant == (quantity, factor)), quantity)
        return quantity, factor

    def _flow(self, column: _Column, channel: str, words: str) -> Any:
        given = self.chosen["flow"]
        if isinstance(given, Mapping):
            given = given.get(column.name)
        found = given or _flow_in(channel) or _flow_in(column.words)
        if not found:
            self._once(
                "flow_not_stated",
                f"no direction is stated for {column.name!r}",
                done="read as delivered (import)",
                remedy="flow='net', 'received' or 'generation' if it is not",
            )
        return found or "delivered"

    def _once(self, kind: str, what: str, done: str = "", remedy: str = "") -> None:
        """An info that is said once, however many channels it concerns."""
        if not any(f.kind == kind and f.what == what for f in self.findings):
            self.note(kind, "info", what, done=done, remedy=remedy)

    def _settle_flows(self, channels: list[Channel]) -> list[Channel]:
        """Directions that only the data can tell: generation that is export, and values below zero."""
        from dataclasses import replace

        given = self.chosen["flow"]
        if isinstance(given, Mapping):
            names = {c.name for c in channels}
            for key in given:
                if key not in names:
                    self._named("flow", key)
            channels = [replace(c, flow=given.get(c.name, c.flow)) for c in channels]
        out = []
        for c in channels:
            if c.flow == "generation" and self.chosen["flow"] is None:
                mate = next(
                    (
                        m
                        for m in channels
                        if m.flow == "delivered"
                        and m.quantity == c.quantity
                        and m.usage_point == c.usage_point
                        and m.value.size == c.value.size
                    ),
                    None,
                )
                if mate is not None and not bool(((mate.value > 0) & (c.value > 0)).any()):
                    self.note(
                        "flow",
                        "info",
                        f"{c.name!r} is never above 0 together with {mate.name!r}: the two "
                        "registers of one meter",
                        done="read as received (export)",
                        remedy="flow={...: 'generation'} if it is a generator's own meter",
                    )
                    c = replace(c, flow="received")
                elif mate is not None:
                    self.note(
                        "flow",
                        "question",
                        f"{c.name!r} may be a generator's own meter or what was exported",
                        done="read as generation",
                        remedy="flow={...: 'received'} if exported",
                    )
            elif (
                c.flow == "delivered"
                and self.chosen["flow"] is None
                and c.quantity in ("kw", "kwh", "unknown")
            ):
                below = int((c.value < 0).sum())
                if below > 0.005 * c.value.size:
                    self.note(
                        "flow",
                        "question",
                        f"{below} values of {c.name!r} are below 0",
                        count=below,
                        done="read as net (below 0 = export)",
                        remedy="flow='net', or flow='delivered' if they are errors",
                    )
                    c = replace(c, flow="net")
            out.append(c)
        self.mapping["flow"] = {c.name: c.flow for c in out}
        return out

    # --- wide: a row a day ---

    def _slots(self) -> list[tuple[_Column, int | None, int | None]]:
        """Columns that are times of the day, each with its clock second or its index; empty if not wide."""
        found: list[tuple[_Column, int | None, int | None]] = []
        for c in self.columns:
            if c.kind not in ("number", "empty"):
                continue
            clock, index = _slot(c.words)
            if clock is not None or index is not None:
                found.append((c, clock, index))
        clocks = [f for f in found if f[1] is not None]
        best = clocks if len(clocks) >= 23 else [f for f in found if f[2] is not None]
        if len(best) >= 23:
            return best
        unnamed = [c for c in self.columns if c.name.startswith("column ") and c.kind in ("number", "empty")]
        if len(unnamed) in (24, 25, 48, 50, 96, 100, 288, 300) and any(
            c.kind in ("date", "stamp") for c in self.columns
        ):
            return [(c, None, k + 1) for k, c in enumerate(unnamed)]
        return []

    def _wide(self) -> list[Channel]:
        slots = self._slots()
        if self.chosen["values"] is not None:
            raise InputError(
                f"{self.path}: values: a file of one row a day takes its values from the columns of times of "
                "day; state what they hold with unit="
            )
        if not slots:
            raise InputError(
                f"{self.path}: layout 'wide' needs at least 23 columns named by time of day or "
                "number; see header_row="
            )
        used = {c.at for c, _, _ in slots}
        if self.chosen["time"] is not None:
            day = self._several("time")[0]
        else:
            day = next(
                (c for c in self.columns if c.kind in ("date", "stamp") and c.at not in used), None
            ) or next(
                (
                    c
                    for c in self.columns
                    if c.kind == "number"
                    and c.at not in used
                    and _DATE_WORD.search(c.words)
                    and _numeric_time(self.data[c.at])
                ),
                cast(Any, None),
            )
            if day is None:
                raise InputError(f"{self.path}: a row a day needs a column of dates; name it with time=")
        stamps, _ = self._stamps(day, None)
        good = self._good_rows(stamps.second)
        used |= {day.at}
        quality_column = self._quality_column(used)
        groups = self._groups(used | ({quality_column.at} if quality_column else set()))
        keys = self._keys(groups)
        per_row = None if quality_column is None else self._quality(quality_column)
        value = np.column_stack([self._numbers(c, good) for c, _, _ in slots])
        offset, label = self._slot_seconds(slots)
        second = np.where(good, stamps.second - stamps.second % 86400, 0)[:, None] + offset[None, :]
        keep = np.broadcast_to(good[:, None], value.shape).copy()
        if slots[0][1] is None:
            self._numbered_dst(value, second, keep, good)
        else:
            # Columns that exist only for clock changes are empty on every other day.
            keep &= ~(np.isnan(value) & _spare(offset)[None, :])
        self.mapping.update(
            value_columns=[slots[0][0].name, slots[-1][0].name],
            label=label,
            clock=self.chosen["clock"] or "wall",
        )
        whole = _Column(slots[0][0].name, slots[0][0].at, "number", "")
        channels = []
        distinct = list(dict.fromkeys(keys)) if keys is not None else [("", "")]
        codes = None if keys is None else _codes(keys, distinct)
        for g, (point, channel) in enumerate(distinct):
            mask = keep if codes is None else keep & (codes == g)[:, None]
            if mask.any():
                whole.words = slots[0][0].words if unit_in(slots[0][0].words) else ""
                whole.name = "values"
                channels.append(
                    self._channel(
                        whole,
                        point,
                        channel,
                        False,
                        second[mask],
                        value[mask],
                        self.mapping["clock"],
                        label,
                        None,
                        None if per_row is None else np.broadcast_to(per_row[:, None], value.shape)[mask],
                        np.broadcast_to(self.line[:, None], value.shape)[mask],
                    )
                )
        return self._settle_flows(channels)

    def _slot_seconds(
        self, slots: Sequence[tuple[_Column, int | None, int | None]]
    ) -> tuple[Ints, Literal["start", "end"]]:
        """Seconds after midnight of each column's label, and what the label marks."""
        if slots[0][1] is None:
            index = np.array([i for _, _, i in slots], np.int64)
            base = next(n for n in (1440, 288, 96, 48, 24, 23) if len(slots) >= n)
            step = 86400 // (24 if base == 23 else base)
            self.note(
                "label",
                "info",
                f"columns are numbered: number {index.min()} is read as the first interval "
                f"of the day, each {step // 60} min",
            )
            shift = step if self.chosen["label"] == "end" else 0
            return (index - index.min()) * step + shift, self.chosen["label"] or "start"
        seconds = np.array([s for _, s, _ in slots], np.int64)
        step = _step(seconds)
        first = int(seconds[0])
        label: Literal["start", "end"] = "end" if first == step else "start"
        if seconds[-1] == 0 and first != 0:
            seconds[-1] = 86400
        if self.chosen["label"]:
            label = self.chosen["label"]
        elif first in (0, step):
            self.note(
                "label", "info", f"the first column of the day is {_hhmm(first)}: times mark the {label}"
            )
        else:
            self.note(
                "label",
                "question",
                f"the first column of the day is {_hhmm(first)}: start or end?",
                done=f"read as {label}",
                remedy="label='start' or label='end'",
            )
        return seconds, label

    def _numbered_dst(self, value: Kw, second: Ints, keep: Bools, good: Bools) -> None:
        """Rows of numbered columns with an hour more or less: numbers count elapsed intervals."""
        n = value.shape[1]
        base = next(b for b in (1440, 288, 96, 48, 24, 23) if n >= b)
        base = 24 if base == 23 else base
        hour, step = base // 24, 86400 // base
        filled = ~np.isnan(value)
        extra = good & filled[:, base:].any(axis=1) if n > base else np.zeros(len(good), np.bool_)
        short = good & (~filled[:, max(base - hour, 0) :].any(axis=1)) & filled[:, : base - hour].all(axis=1)
        keep[:, base:] &= extra[:, None]
        if n > base + hour:
            keep[:, base + hour :] &= filled[:, base + hour :]
        days = second[:, 0] // 86400
        repeat = self.chosen["dst_repeat"]
        moved = []
        for k in np.flatnonzero(extra | short).tolist():
            change = self._change_s(int(days[k]), repeat, bool(extra[k]))
            if change is None:
                continue
            moved.append(k)
            later = np.arange(n) * step >= change
            second[k, later] += -3600 if extra[k] else 3600
            if short[k]:
                keep[k, base - hour :] = False
        if moved:
            self.note(
                "dst_columns",
                "info",
                f"{len(moved)} days hold an hour more or less than 24",
                _places(self.line[moved]),
                len(moved),
                "numbers counted as elapsed intervals across the clock change",
                "dst_repeat= or tz= tells where the clock changed" if not self.chosen["tz"] else "",
            )

    def _change_s(self, day: int, repeat: Any, extra: bool) -> int | None:
        """Elapsed seconds of the local day at which its clock changes; None if it cannot have changed."""
        tz = self.chosen["tz"]
        if tz is not None:
            instants = day * 86400 + np.arange(-14 * 3600, 38 * 3600, 900, dtype=np.int64)
            off = utc_offsets_s(instants, tz)
            jump = np.flatnonzero(np.diff(off))
            if not jump.size:
                return None
            at = int(instants[jump[0] + 1])
            return int(at + off[jump[0]] - day * 86400)
        if (day + 3) % 7 != 6 and repeat is None:
            return None
        # The clock of the US: at 02:00 the hour 01 repeats, or 02 is left out.
        hour = 1 if repeat is None else int(repeat)
        return (hour + 1) * 3600


# --- small judgements on rows and columns ---------------------------------------------------------------


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    if (
        isinstance(cell, float) and cell == int(cell)
        if isinstance(cell, float) and np.isfinite(cell)
        else False
    ):
        return str(int(cell))
    if hasattr(cell, "hour") and not hasattr(cell, "year"):
        return str(cell)[:8]
    return str(cell).strip()


def _zip_long(a: Sequence[str], b: Row) -> Iterable[tuple[str, Cell]]:
    n = max(len(a), len(b))
    return zip([*a, *[""] * (n - len(a))], [*b, *[None] * (n - len(b))], strict=True)


def _is_data(row: Row) -> bool:
    kinds = [cells.kind_of(c) for c in row]
    when = "stamp" in kinds or "date" in kinds
    return when and "number" in kinds


def _first_data_row(rows: Sequence[Row]) -> int | None:
    for test in (_is_data, _is_numeric_data):
        for k, row in enumerate(rows[:400]):
            if not test(row):
                continue
            after = [r for r in rows[k + 1 : k + 40] if any(not cells.is_empty(c) for c in r)][:5]
            if sum(map(test, after)) >= min(len(after), 4) * 0.75:
                return _walk_back(rows, k)
    return None


def _walk_back(rows: Sequence[Row], k: int) -> int:
    """First row of the run up to row `k` that has its time in the same cell; its value may be missing."""
    when = next((j for j, c in enumerate(rows[k]) if cells.kind_of(c) in ("stamp", "date")), None)
    while k and when is not None and when < len(rows[k - 1]):
        if cells.kind_of(rows[k - 1][when]) != cells.kind_of(rows[k][when]):
            break
        k -= 1
    return k


def _is_numeric_data(row: Row) -> bool:
    """A row whose times are plain numbers (Excel days, epochs, 20180101), or whose value is missing."""
    kinds = [cells.kind_of(c) for c in row]
    if "stamp" in kinds or "date" in kinds:
        return True
    numbers = [c for c, k in zip(row, kinds, strict=True) if k == "number"]
    return (
        len(numbers) >= 2 and cells._numeric_stamp(float(cells.number(str(numbers[0])) or 0))[0] is not None
    )


def _header_above(rows: Sequence[Row], start: int) -> int | None:
    for k in range(start - 1, -1, -1):
        full = [c for c in rows[k] if not cells.is_empty(c)]
        if len(full) < 2 and len(rows[start]) > 1:
            continue
        kinds = [cells.kind_of(c) for c in full]
        if kinds.count("number") == len(kinds) and len(kinds) < 23:
            continue
        if k and _units_only(full) and sum(not cells.is_empty(c) for c in rows[k - 1]) >= 2:
            return k - 1
        return k
    return None


def _units_only(full: Sequence[Cell]) -> bool:
    texts = [_text(c).strip("()[] ") for c in full]
    return all(
        _unit_named(t) or t.lower() in ("mm/dd/yyyy", "dd/mm/yyyy", "hh:mm", "yyyy-mm-dd", "%", "$")
        for t in texts
    )


def _sample(items: Sequence[Any], n: int) -> list[Any]:
    if len(items) <= n:
        return list(items)
    return [items[int(k)] for k in np.linspace(0, len(items) - 1, n)]


def _common_kind(some: Iterable[Cell]) -> str:
    kinds = Counter(k for k in map(cells.kind_of, some) if k != "empty")
    return kinds.most_common(1)[0][0] if kinds else "empty"


def _kind_of_column(column: Sequence[Cell]) -> str:
    some = _sample(column, 120)
    if all(cells.is_empty(c) for c in some):
        some = [c for c in column if not cells.is_empty(c)][:60]
    return _common_kind(some)


def _distinct(column: Sequence[Cell], most: int) -> list[Cell]:
    """Distinct non-empty cells, at most `most` + 1 of them, in file order."""
    seen = dict.fromkeys(column)
    out = []
    for cell in seen:
        if not cells.is_empty(cell):
            out.append(cell)
            if len(out) > most:
                break
    return out


def _joined(columns: Sequence[Sequence[Cell]]) -> list[str]:
    text: dict[Cell, str] = {}

    def of(cell: Cell) -> str:
        if cell not in text:
            text[cell] = _text(cell)
        return text[cell]

    if len(columns) == 1:
        return [of(c) for c in columns[0]]
    return [" ".join(of(c) for c in row) for row in zip(*columns, strict=True)]


def _codes(keys: Sequence[tuple[str, str]], distinct: Sequence[tuple[str, str]]) -> Ints:
    number = {k: n for n, k in enumerate(distinct)}
    return np.fromiter((number.get(k, -1) for k in keys), np.int64, len(keys))


def _ignored(words: str) -> str | None:
    if unit_in(words) and not re.search(r"\$|cost|price|charge|co2|per kwh|/kwh", words, re.I):
        return None
    return next((why for pattern, why in _IGNORED if pattern.search(words)), None)


def _flow_in(words: str) -> str | None:
    for pattern, flow in (
        (_NET, "net"),
        (_RECEIVED, "received"),
        (_GENERATION, "generation"),
        (_DELIVERED, "delivered"),
    ):
        if pattern.search(words):
            return flow
    return None


def _quality_of(text: str) -> int:
    key = text.strip().lower()
    if key in QUALITY_WORDS:
        return QUALITY_WORDS[key]
    first = re.split(r"[\s,;(/_-]+", key)[0]
    return QUALITY_WORDS.get(first, -1)


def _numeric_time(column: Sequence[Cell]) -> str | None:
    """'stamp' or 'date' where a column of numbers can only be Excel days, epochs or 20180101."""
    value, bad = cells.read_numbers(_sample(column, 200))
    value = value[np.isfinite(value)]
    if not value.size or bad.size > 0.1 * value.size:
        return None
    if ((value > 4e8) & (value < 4e9)).all() or ((value > 4e11) & (value < 4e12)).all():
        return "stamp"
    if ((value >= 19000101) & (value < 22000000)).all():
        return "date"
    if ((value >= 20000) & (value < 80000)).all():
        return "date" if (value == np.floor(value)).all() else "stamp"
    return None


def _hours_of(column: Sequence[Cell], c: _Column) -> str | None:
    """How a column of plain numbers tells the time of day; None where it does not."""
    value, bad = cells.read_numbers(column)
    value = value[np.isfinite(value)]
    if not value.size or bad.size > 0.1 * value.size:
        return None
    if ((value >= 0) & (value < 1)).all():
        return "clock"
    if (value != np.floor(value)).any() or value.min() < 0:
        return None
    if value.max() <= 24:
        ending = value.max() == 24 or (value.min() == 1 and _HE.search(c.words))
        return "hour_ending" if ending or _HE.search(c.words) else "hour"
    return "hhmm" if value.max() <= 2400 and (value % 100 < 60).all() else None


def _at_midnight(column: Sequence[Cell]) -> bool:
    stamps = cells.read_stamps(_sample(column, 60), None, "mdy").second
    seen = stamps[stamps != BAD]
    return bool(seen.size and (seen % 86400 == 0).all())


def _step(series: Ints) -> int:
    """The commonest distance between successive times [s]; 0 where there is none."""
    gaps = np.abs(np.diff(series))
    gaps = gaps[(gaps > 0) & (gaps <= 86400)]
    if not gaps.size:
        return 0
    values, counts = np.unique(gaps, return_counts=True)
    return int(values[np.argmax(counts)])


def _midnight_of_day_before(series: Ints, step: int) -> bool:
    """Whether nearly every 00:00 follows the last time of the very day whose date it bears."""
    where = np.flatnonzero(series % 86400 == 0)
    rising = where[where > 0]
    falling = where[where < series.size - 1]
    if where.size == 0 or step == 0 or step >= 86400:
        return False
    # Oldest first: 23:45 of the same date stands right before. Newest first: right after.
    up = series[rising - 1] - series[rising] == 86400 - step
    down = series[falling + 1] - series[falling] == 86400 - step
    return bool((up.size and up.mean() > 0.9) or (down.size and down.mean() > 0.9))


def _rises(value: Kw) -> bool:
    seen = value[np.isfinite(value)]
    if seen.size < 3:
        return False
    d = np.diff(seen)
    return bool(max((d >= 0).mean(), (d <= 0).mean()) > 0.99 and np.ptp(seen) > 0)


def _slot(words: str) -> tuple[int | None, int | None]:
    """(clock second, None) or (None, number) of a header that names a time of day; (None, None) if none."""
    text = re.sub(r"\(.*?\)|\bDST\b|\*|\bkwh\b|\bkw\b|\bkvarh?\b", "", words, flags=re.I).strip(" :-")
    text = re.split(r"\s+(?:-|to|–)\s+|(?<=\d)\s?-\s?(?=\d{1,2}:)", text)[0]
    if re.match(r"^\d{3,4}$", text) and int(text) % 100 < 60 and int(text) <= 2400 and (len(text) == 4):
        return int(text) // 100 * 3600 + int(text) % 100 * 60, None
    if ":" in text or re.search(r"\d\s*[ap]\.?m\.?$", text, re.I):
        found = re.search(r"\d{1,2}(?::\d{2}){0,2}\s*(?:[ap]\.?m\.?)?$", text, re.I)
        if found:
            return cells.second_of_day(found[0]), None
    found = _SLOT.match(text)
    return (None, int(found[1])) if found and int(found[1]) <= 1500 else (None, None)


def _spare(offset: Ints) -> Bools:
    """Columns whose time of day was already named by an earlier column."""
    _, first = np.unique(offset, return_index=True)
    spare = np.ones(offset.size, np.bool_)
    spare[first] = False
    return spare


def _hhmm(second: int) -> str:
    return f"{second // 3600:02d}:{second % 3600 // 60:02d}"


def _places(lines: Ints) -> str:
    shown = ", ".join(str(int(k)) for k in lines[:5])
    return f"line{'s' if len(lines) > 1 else ''} {shown}{', ...' if len(lines) > 5 else ''}"
