"""Green Button (ESPI Atom XML, also .gz): usage points, channels, billing summaries, local time rules.

Source of the codes: NAESB REQ.21 ESPI schema (espiDerived.xsd): uom, flowDirection, accumulationBehaviour,
ReadingQuality, DstRuleType. Times are seconds since 1970 in UTC; cost is in 1e-5 of the currency.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import IO, Any, ClassVar, Literal

import numpy as np

from ..errors import InputError
from ..finding import Finding
from ..timeline import Ints, Kw, utc_offsets_s, zone
from .source import (
    ESTIMATED,
    INVALID,
    METERED,
    Channel,
    MeterTable,
    Noting,
    check_options,
    head_bytes,
    open_file,
)

Flow = Literal["delivered", "received", "net", "generation", "other"]
Quantity = Literal["kw", "kwh", "kvar", "kvarh", "kva", "register_kwh", "unknown"]

ELECTRIC: Mapping[int, tuple[str, Quantity]] = {
    72: ("Wh", "kwh"),
    38: ("W", "kw"),
    61: ("VA", "kva"),
    63: ("var", "kvar"),
    71: ("VAh", "kva"),
    73: ("varh", "kvarh"),
}
OTHER_UNITS: Mapping[int, str] = {
    0: "not applicable",
    5: "A",
    23: "degree C",
    29: "V",
    31: "J",
    33: "Hz",
    42: "m3",
    65: "power factor",
    100: "pulses",
    119: "ft3",
    122: "ft3 compensated",
    123: "ft3 uncompensated",
    125: "m3 compensated",
    126: "m3 uncompensated",
    128: "US gal",
    129: "imperial gal",
    132: "BTU",
    134: "L",
    169: "therm",
}
FLOWS: Mapping[int, Flow] = {1: "delivered", 19: "received", 4: "net"}
# Lagging and leading are directions only of reactive power.
REACTIVE_FLOWS: Mapping[int, Flow] = {**FLOWS, 2: "delivered", 3: "received"}
QUALITY: Mapping[int, int] = {
    0: METERED,
    11: METERED,
    14: METERED,
    17: METERED,
    18: METERED,
    19: METERED,
    7: ESTIMATED,
    8: ESTIMATED,
    9: ESTIMATED,
    12: ESTIMATED,
    13: ESTIMATED,
    15: ESTIMATED,
    10: INVALID,
    16: ESTIMATED,
}
REGISTERS = (1, 3, 9)
USD_CODES = (840, None)
# Zones tried against tzOffset and the daylight-saving rules, the largest of each offset first.
ZONES = (
    "America/New_York",
    "America/Chicago",
    "America/Denver",
    "America/Los_Angeles",
    "America/Phoenix",
    "America/Anchorage",
    "America/Halifax",
    "America/St_Johns",
    "America/Puerto_Rico",
    "Pacific/Honolulu",
    "Europe/London",
    "Europe/Berlin",
    "Europe/Athens",
    "Asia/Kolkata",
    "Asia/Seoul",
    "Australia/Sydney",
    "Australia/Brisbane",
    "Australia/Adelaide",
    "Australia/Perth",
    "Pacific/Auckland",
    "UTC",
)
DEFAULTS: Mapping[str, Any] = {
    "usage_points": None,
    "tz": None,
    "times": "utc",
    "multiplier": 1.0,
    "respace": True,
}


@dataclass(slots=True)
class _Block:
    up: str
    order: int
    start: int | None
    rows: list[tuple[int | None, int | None, float | None, int | None, int | None]]
    first: int


@dataclass(slots=True)
class _Feed:
    """Everything that the feed holds, before links are followed."""

    points: list[dict[str, Any]] = field(default_factory=list)
    readings: list[dict[str, Any]] = field(default_factory=list)
    types: list[dict[str, Any]] = field(default_factory=list)
    clocks: list[dict[str, Any]] = field(default_factory=list)
    summaries: list[dict[str, Any]] = field(default_factory=list)
    blocks: list[_Block] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


class GreenButton:
    """Reader of Green Button ESPI feeds."""

    kind: ClassVar[str] = "green_button"

    def sniff(self, path: str) -> bool:
        """Whether the head of the file is an Atom feed or an ESPI element."""
        head = head_bytes(path, 65536)
        if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
            head = head.decode("utf-16", "ignore").encode()
        head = head.removeprefix(b"\xef\xbb\xbf").lstrip()
        return head.startswith(b"<") and (head.startswith(b"<?xml") or b"espi" in head or b"<feed" in head)

    def fetch(self, path: str, **options: Any) -> MeterTable:
        """The channels of every usage point in the feed.

        options: usage_points (list of ids to keep), tz (IANA zone, overrides the file's), times ('utc', or
        'wall' where a utility wrote the local clock as epoch seconds), multiplier (factor on all values).
        respace (False keeps start times as written where those of a clock-change day are an hour astray).
        Errors: InputError where the file is not whole XML, holds entities, or no interval reading.
        """
        chosen = {**DEFAULTS, **check_options(path, options, DEFAULTS)}
        _check_choices(path, chosen)
        feed = _parse(path)
        if not feed.blocks:
            raise InputError(
                f"{path}: no IntervalReading in this feed; it may hold customer data or bills "
                "only: download the usage (energy interval) feed from the utility"
            )
        return _Assembly(path, feed, chosen).table()


def _check_choices(path: str, chosen: Mapping[str, Any]) -> None:
    problems = []
    if chosen["times"] not in ("utc", "wall"):
        problems.append(f"times: {chosen['times']!r}; write 'utc' or 'wall'")
    if chosen["tz"] is not None:
        try:
            zone(chosen["tz"])
        except InputError as e:
            problems.append(str(e))
    try:
        if not (np.isfinite(float(chosen["multiplier"])) and float(chosen["multiplier"]) != 0):
            problems.append(f"multiplier: {chosen['multiplier']!r}; give a number other than 0")
    except (TypeError, ValueError):
        problems.append(f"multiplier: {chosen['multiplier']!r} is not a number")
    if problems:
        raise InputError.collect(path, problems)


# --- the XML ------------------------------------------------------------------------------------------


def _parse(path: str) -> _Feed:
    from xml.etree.ElementTree import ParseError

    from defusedxml.common import DefusedXmlException

    try:
        with open_file(path) as stream:
            return _walk(stream)
    except DefusedXmlException as e:
        raise InputError(
            f"{path}: the XML declares a DTD or entities ({type(e).__name__}), which a Green "
            "Button feed never needs and which can be an attack; get a fresh download"
        ) from e
    except ParseError as e:
        line, column = e.position
        raise InputError(
            f"{path}: line {line}, column {column + 1}: {_reason(e)}; the file is cut off or "
            "damaged there: download it again, or end it after the last whole </entry> with "
            "</feed>"
        ) from e
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        raise InputError(f"{path}: the gzip file is cut off or damaged ({e}); download it again") from e
    except (LookupError, UnicodeDecodeError, ValueError) as e:
        raise InputError(f"{path}: this XML cannot be decoded ({e}); save it as UTF-8") from e


def _reason(e: Exception) -> str:
    return str(e).split(": line", maxsplit=1)[0]


def _walk(stream: IO[bytes]) -> _Feed:
    from defusedxml.ElementTree import iterparse

    feed = _Feed()
    names: dict[str, str] = {}
    blocks: list[_Block] = []
    rows: list[Any] = []
    count = 0
    for _, element in iterparse(stream, events=("end",), forbid_dtd=True):
        tag = element.tag
        name = names.get(tag)
        if name is None:
            name = names[tag] = tag.rsplit("}", 1)[-1]
        if name == "IntervalReading":
            count += 1
            rows.append(_reading(element, count, feed.unreadable))
            element.clear()
        elif name == "IntervalBlock":
            period = _child(element, "interval")
            start = None if period is None else _number(_text(period, "start"))
            blocks.append(
                _Block(
                    "",
                    len(feed.blocks) + len(blocks),
                    None if start is None else int(start),
                    rows,
                    count - len(rows),
                )
            )
            rows = []
            element.clear()
        elif name == "entry":
            _entry(element, feed, blocks)
            blocks = []
            element.clear()
    feed.blocks.extend(blocks)
    return feed


def _local(element: Any) -> str:
    return str(element.tag).rsplit("}", 1)[-1]


def _child(element: Any, name: str) -> Any:
    for c in element:
        if _local(c) == name:
            return c
    return None


def _text(element: Any, name: str) -> str | None:
    found = _child(element, name)
    return None if found is None or found.text is None else found.text.strip()


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is not None and np.isfinite(value) else None


def _reading(
    element: Any, ordinal: int, unreadable: list[str]
) -> tuple[int | None, int | None, float | None, int | None, int | None]:
    """start, duration, value, quality, cost of one IntervalReading."""
    start = duration = value = cost = quality = None
    for c in element:
        tag = c.tag
        if tag.endswith("timePeriod"):
            for p in c:
                if p.tag.endswith("start"):
                    start = _number(p.text)
                elif p.tag.endswith("duration"):
                    duration = _number(p.text)
        elif tag.endswith("value"):
            value = _number(c.text)
            if value is None:
                unreadable.append(f"reading {ordinal}: value {c.text!r}")
        elif tag.endswith("cost"):
            cost = _number(c.text)
        elif tag.endswith("ReadingQuality"):
            code = _number(_text(c, "quality"))
            # Several qualities may stand at one reading: the worst counts.
            found = ESTIMATED if code is None else QUALITY.get(int(code), ESTIMATED)
            quality = found if quality is None else max(quality, found)
    return (
        None if start is None else int(start),
        None if duration is None else int(duration),
        value,
        quality,
        None if cost is None else int(cost),
    )


def _links(entry: Any) -> tuple[str, str, list[str]]:
    self_, up, related = "", "", []
    for c in entry:
        if _local(c) == "link":
            rel, href = c.get("rel"), _path(c.get("href", ""))
            if rel == "self":
                self_ = href
            elif rel == "up":
                up = href
            elif rel == "related":
                related.append(href)
    return self_, up, related


def _path(href: str) -> str:
    """A link without host, query and outer slashes, so that absolute and relative ones compare."""
    href = href.strip().split("?", 1)[0]
    if "://" in href:
        href = href.split("://", 1)[1].partition("/")[2]
    return href.strip("/")


def _entry(element: Any, feed: _Feed, blocks: list[_Block]) -> None:
    self_, up, related = _links(element)
    title = _text(element, "title") or ""
    base = {"self": self_, "up": up, "related": related, "title": title}
    for block in blocks:
        block.up = up
    feed.blocks.extend(blocks)
    content = _child(element, "content")
    for item in () if content is None else content:
        name = _local(item)
        record = {**base, **_leaves(item)}
        if name == "UsagePoint":
            feed.points.append(record)
        elif name == "MeterReading":
            feed.readings.append(record)
        elif name == "ReadingType":
            feed.types.append(record)
        elif name == "LocalTimeParameters":
            feed.clocks.append(record)
        elif name in ("UsageSummary", "ElectricPowerUsageSummary"):
            feed.summaries.append(record)


def _point_path(link: str) -> str | None:
    """The part of a link up to the id of its usage point."""
    parts = link.split("/")
    for k, part in enumerate(parts[:-1]):
        if part.lower() == "usagepoint":
            return "/".join(parts[: k + 2])
    return None


def _leaves(element: Any, prefix: str = "") -> dict[str, str]:
    out: dict[str, str] = {}
    for c in element:
        key = prefix + _local(c)
        if len(c):
            out.update(_leaves(c, key + "."))
        elif c.text and c.text.strip():
            out[key] = c.text.strip()
    return out


# --- the links, and what they make of the numbers -----------------------------------------------------


@dataclass(slots=True)
class _Assembly(Noting):
    """Follows the links of one feed and makes channels, findings and cycles of it."""

    path: str
    feed: _Feed
    chosen: Mapping[str, Any]
    findings: list[Finding] = field(default_factory=list)
    costs_usd: dict[str, float] = field(default_factory=dict)

    def table(self) -> MeterTable:
        channels = []
        for reading, blocks in self._grouped():
            point = self._point(reading["self"] or reading["up"])
            keep = self.chosen["usage_points"]
            if keep is None or point in keep:
                channels.append(self._channel(reading, blocks, point))
        if not channels:
            known = sorted({self._point(r["self"] or r["up"]) for r, _ in self._grouped()})
            raise InputError(
                f"{self.path}: usage_points: none of {self.chosen['usage_points']!r} is in the "
                f"file; it holds {', '.join(known)}"
            )
        tz = self._zone(channels)
        if tz is not None and self.chosen["respace"]:
            channels = [self._respaced(c, tz) for c in channels]
        self._unreadable()
        mapping: dict[str, Any] = {
            "format": "green_button",
            "tz": tz,
            "times": self.chosen["times"],
            "respace": bool(self.chosen["respace"]),
            "multiplier": float(self.chosen["multiplier"]),
            "usage_points": self.chosen["usage_points"],
            "channels": [
                {
                    "name": c.name,
                    "usage_point": c.usage_point,
                    "flow": c.flow,
                    "quantity": c.quantity,
                    "label": c.label,
                    "readings": int(c.value.size),
                    "cost_usd": self.costs_usd.get(c.name),
                }
                for c in channels
            ],
            "local_time": [_clock_facts(c) for c in self.feed.clocks],
        }
        return MeterTable(
            file=self.path,
            channels=tuple(channels),
            mapping=mapping,
            tz=tz,
            findings=tuple(self.findings),
            billed=tuple(self._cycles()),
        )

    def _grouped(self) -> list[tuple[dict[str, Any], list[_Block]]]:
        """Blocks by the MeterReading whose link leads to them; in feed order where links fail."""
        readings = self.feed.readings or [{"self": "", "up": "", "related": [], "title": ""}]
        groups: list[list[_Block]] = [[] for _ in readings]
        lost = []
        for block in self.feed.blocks:
            k = next(
                (
                    k
                    for k, r in enumerate(readings)
                    if block.up
                    and (
                        block.up in r["related"]
                        or (r["self"] and (block.up + "/").startswith(r["self"] + "/"))
                    )
                ),
                None,
            )
            if k is None:
                lost.append(block)
                k = 0 if len(readings) == 1 else None
            if k is not None:
                groups[k].append(block)
        if lost and len(readings) > 1:
            # A block that no meter reading claims is kept under its own link rather than dropped.
            for up in dict.fromkeys(b.up for b in lost):
                readings = [*readings, {"self": up, "up": up, "related": [], "title": "unlinked"}]
                groups.append([b for b in lost if b.up == up])
            if not any(f.kind == "unlinked_block" for f in self.findings):
                self.note(
                    "unlinked_block",
                    "warning",
                    f"{len(lost)} interval blocks are linked to no meter reading",
                    count=len(lost),
                    done="kept as a channel of their own",
                )
        return [(r, g) for r, g in zip(readings, groups, strict=True) if g]

    def _point(self, link: str) -> str:
        """Id of the usage point that `link` lies under."""
        found = _point_path(link)
        up = link.rsplit("/", 1)[0]
        for p in self.feed.points if found is None else ():
            if link in p["related"] or up in p["related"]:
                found = p["self"]
        if found is None and len(self.feed.points) == 1:
            found = self.feed.points[0]["self"]
        if found is None:
            return link or "1"
        # The last part is the id, unless customers in one feed number their points alike.
        paths = {p["self"] for p in self.feed.points}
        short = found.rsplit("/", 1)[-1]
        alike = sum(1 for p in paths if p.rsplit("/", 1)[-1] == short)
        return str(found if alike > 1 else short) or "1"

    def _type(self, reading: dict[str, Any]) -> dict[str, Any]:
        """The ReadingType that a MeterReading is linked to."""
        types = self.feed.types
        for t in types:
            if t["self"] and t["self"] in reading["related"]:
                return t
        for t in types:
            if reading["self"] and t["up"] == reading["self"]:
                return t
        if len(types) == 1:
            return types[0]
        raise InputError(
            f"{self.path}: MeterReading {reading['self'] or '(without link)'}: no ReadingType is "
            f"linked to it ({len(types)} in the file), so its unit is unknown; download again"
        )

    def _channel(self, reading: dict[str, Any], blocks: list[_Block], point: str) -> Channel:
        kind = self._type(reading)
        start_s, duration_s, raw, quality, cost, place = self._columns(blocks, kind)
        name = f"{point}/{reading['self'].rsplit('/', 1)[-1] or '1'}"
        if reading["title"]:
            name += f" {reading['title']}"
        uom = int(_number(kind.get("uom")) or 0)
        power = int(_number(kind.get("powerOfTenMultiplier")) or 0)
        if not -24 <= power <= 24:
            raise InputError(
                f"{self.path}: {name}: powerOfTenMultiplier {power} is not a scale of this world"
            )
        value = raw * 10.0**power * float(self.chosen["multiplier"])
        quantity, flow = self._meaning(name, kind, uom, value)
        if quantity != "unknown":
            value = value / 1000.0
        if uom == 71:
            value = value / np.where(duration_s > 0, duration_s / 3600.0, np.nan)
            self.note(
                "unit_converted",
                "info",
                "VAh divided by the length of each interval",
                name,
                int(value.size),
                "read as mean kVA",
            )
        if np.isfinite(cost).any():
            self.costs_usd[name] = float(np.nansum(cost)) / 1e5
        clock: Literal["utc", "wall"] = "wall" if self.chosen["times"] == "wall" else "utc"
        return Channel(
            usage_point=point,
            flow=flow,
            quantity=quantity,
            label_s=start_s,
            clock=clock,
            label="start",
            value=value,
            duration_s=duration_s,
            quality=quality,
            place=place,
            name=name,
        )

    def _columns(self, blocks: list[_Block], kind: dict[str, Any]) -> tuple[Ints, Ints, Kw, Ints, Kw, Ints]:
        stated = _number(kind.get("intervalLength"))
        start, duration, value, quality, cost, place = [], [], [], [], [], []
        placed = timeless = 0
        for block in blocks:
            at = block.start
            for k, (s, d, v, q, c) in enumerate(block.rows):
                d = d if d is not None else (None if stated is None else int(stated))
                if s is None and at is not None and d is not None:
                    s, placed = at, placed + 1
                if s is None or not -(2**40) < s < 2**40:
                    timeless += 1
                    self.feed.unreadable.append(f"reading {block.first + k + 1}: no start time")
                    continue
                at = None if d is None else s + d
                start.append(s)
                duration.append(d or 0)
                value.append(np.nan if v is None else v)
                quality.append(METERED if q is None else q)
                cost.append(np.nan if c is None else c)
                place.append(block.first + k + 1)
        if placed:
            self.note(
                "time_derived",
                "warning",
                f"{placed} readings carry no start of their own",
                count=placed,
                done="placed one after another from the start of their block",
            )
        return (
            np.array(start, np.int64),
            np.array(duration, np.int64),
            np.array(value, float),
            np.array(quality, np.int64),
            np.array(cost, float),
            np.array(place, np.int64),
        )

    def _meaning(self, name: str, kind: dict[str, Any], uom: int, value: Kw) -> tuple[Quantity, Flow]:
        if uom not in ELECTRIC:
            what = OTHER_UNITS.get(uom, f"uom code {uom}")
            self.note(
                "not_electricity",
                "info",
                f"channel in {what}, commodity code {kind.get('commodity', 'not stated')}",
                name,
                int(value.size),
                "kept as flow 'other', values unscaled to kilo; not part of the load",
            )
            return "unknown", "other"
        quantity = ELECTRIC[uom][1]
        flow = self._flow(name, kind, quantity, value)
        behaviour = _number(kind.get("accumulationBehaviour"))
        if quantity == "kwh" and behaviour in REGISTERS:
            seen = value[np.isfinite(value)]
            rising = bool(
                seen.size < 2 or (np.diff(seen) >= 0).mean() > 0.99 or (np.diff(seen) <= 0).mean() > 0.99
            )
            if rising and (seen.size < 2 or float(np.ptp(seen)) > 0):
                quantity = "register_kwh"
            else:
                self.note(
                    "register_or_delta",
                    "warning",
                    "the file calls these meter stands "
                    f"(accumulationBehaviour {int(behaviour)}), but they do not rise",
                    name,
                    int(value.size),
                    "read as energy of each interval",
                )
        if behaviour == 12 and quantity in ("kw", "kva", "kvar"):
            self.note(
                "instantaneous",
                "warning",
                "values are instantaneous, not the mean of an interval",
                name,
                int(value.size),
                "read as if constant over the interval",
                "bill by this channel only where no energy channel exists",
            )
        qualifier = _number(kind.get("dataQualifier"))
        if qualifier in (8, 9):
            self.note(
                "not_a_mean",
                "warning",
                f"channel holds the {'max' if qualifier == 8 else 'min'}imum of each interval, not its mean",
                name,
                int(value.size),
                "kept as flow 'other'",
            )
            flow = "other"
        return quantity, flow

    def _flow(self, name: str, kind: dict[str, Any], quantity: Quantity, value: Kw) -> Flow:
        code = _number(kind.get("flowDirection"))
        table = REACTIVE_FLOWS if quantity in ("kvar", "kvarh") else FLOWS
        if code is not None and int(code) in table:
            return table[int(code)]
        if code in (None, 0):
            flow: Flow = "net" if bool((value < 0).any()) else "delivered"
            self.note(
                "flow_not_stated",
                "warning",
                "the file states no flow direction",
                name,
                int(value.size),
                f"read as {flow}, because values {'below 0 occur' if flow == 'net' else 'are never < 0'}",
            )
            return flow
        self.note(
            "flow_unusual",
            "question",
            f"flowDirection {int(code or 0)} is neither delivered (1), received (19) nor net (4)",
            name,
            int(value.size),
            "kept as flow 'other'",
            "ask the utility which register this is",
        )
        return "other"

    def _unreadable(self) -> None:
        bad = self.feed.unreadable
        if bad:
            shown = "; ".join(bad[:5]) + ("; ..." if len(bad) > 5 else "")
            self.note(
                "unreadable",
                "warning",
                f"{len(bad)} readings are not readable",
                shown,
                len(bad),
                "value kept as missing, or left out where no time stands",
            )

    # --- local time ---

    def _zone(self, channels: list[Channel]) -> str | None:
        stated: str | None = self.chosen["tz"]
        span = [c.label_s for c in channels if c.label_s.size]
        if not span:
            return stated
        first, last = min(int(s.min()) for s in span), max(int(s.max()) for s in span)
        tz = stated
        if stated is None:
            found = {
                _match(c, first, last) for c in self.feed.clocks if _number(c.get("tzOffset")) is not None
            }
            if not found:
                self.note(
                    "zone_not_stated",
                    "question",
                    "the file has no LocalTimeParameters",
                    done="times are UTC; days and months cannot be told yet",
                    remedy="give tz=, e.g. 'America/New_York'",
                )
                return None
            if len(found) > 1:
                self.note(
                    "zone_differs",
                    "question",
                    f"usage points state different zones: {', '.join(sorted(map(str, found)))}",
                    remedy="give tz=, or read one usage point",
                )
                return None
            tz = found.pop()
            rules = _clock_facts(self.feed.clocks[0])
            if tz is None:
                self.note(
                    "zone_unknown",
                    "question",
                    f"no known zone has tzOffset {rules['offset_h']:g} h with {rules['dst']}",
                    remedy="give tz=",
                )
                return None
            self.note(
                "zone_derived",
                "info",
                f"tzOffset {rules['offset_h']:g} h, {rules['dst']}",
                done=f"read as {tz}, whose clock has the same offset and changes in these years",
                remedy=f"give tz= if the site is elsewhere, e.g. another zone with the clock of {tz}",
            )
        self._check_midnights(str(tz))
        return tz

    def _check_midnights(self, tz: str) -> None:
        """Blocks that start at midnight show on which clock the seconds were written."""
        starts = np.array(sorted({b.start for b in self.feed.blocks if b.start is not None}), np.int64)
        if starts.size < 3 or self.chosen["times"] == "wall":
            return
        local = (starts + utc_offsets_s(starts, tz)) % 86400 == 0
        plain = starts % 86400 == 0
        if local.mean() >= 0.9:
            self.note(
                "zone_verified",
                "info",
                f"{int(local.sum())} of {starts.size} blocks start at midnight in {tz}",
                count=int(local.sum()),
            )
        elif plain.mean() >= 0.9:
            self.note(
                "epoch_is_local",
                "question",
                f"{int(plain.sum())} of {starts.size} blocks start at "
                f"midnight UTC, only {int(local.sum())} at midnight in {tz}: the utility may have written "
                "the local clock as if it were UTC",
                count=int(starts.size),
                done="read as UTC",
                remedy="times='wall' reads them as the local clock",
            )

    def _respaced(self, channel: Channel, tz: str) -> Channel:
        """Start times put right where a utility placed those of a clock-change day an hour astray.

        Proof: the readings in file order are exactly as many as fit between the first and the last start,
        only starts on days on which the clock of `tz` changes are off an even spacing, and by one hour.
        """
        start, step = channel.label_s, _commonest(channel.duration_s)
        if channel.clock != "utc" or start.size < 24 or not 0 < step <= 3600:
            return channel
        even = start[0] + step * np.arange(start.size, dtype=np.int64)
        astray = np.flatnonzero(even != start)
        if not astray.size or even[-1] != start[-1] or (np.abs(even - start)[astray] != 3600).any():
            return channel
        local = even + utc_offsets_s(even, tz)
        day = local // 86400
        length = np.bincount(day - day[0]) * step
        if (length[day[astray] - day[0]] == 86400).any():
            return channel
        dates = np.unique(day[astray]).astype("datetime64[D]")
        self.note(
            "clock_change_astray",
            "warning",
            f"{astray.size} readings on {', '.join(map(str, dates))} start an hour off an even spacing, "
            "while their number is right",
            channel.name,
            int(astray.size),
            "put back in file order, one after another",
            "respace=False keeps the times as written",
        )
        return replace(channel, label_s=even, duration_s=np.full(start.size, step, np.int64))

    # --- billing cycles ---

    def _cycles(self) -> Iterable[Mapping[str, Any]]:
        for s in self.feed.summaries:
            start, length = _number(s.get("billingPeriod.start")), _number(s.get("billingPeriod.duration"))
            if start is None or length is None:
                self.note(
                    "cycle_without_dates",
                    "info",
                    "a usage summary has no billing period",
                    s["self"],
                    done="left out",
                )
                continue
            currency = _number(s.get("currency"))
            out: dict[str, Any] = {
                "usage_point": self._point(s["up"] if "UsagePoint" in s["up"] else s["self"]),
                "cycle_start_utc": datetime.fromtimestamp(start, UTC).isoformat(),
                "cycle_end_utc": datetime.fromtimestamp(start + length, UTC).isoformat(),
                "currency": None if currency is None else int(currency),
            }
            unit = "usd" if currency in USD_CODES else f"currency_{int(currency or 0)}"
            for key, name in (
                ("billLastPeriod", "bill_last_period"),
                ("billToDate", "bill_to_date"),
                ("costAdditionalLastPeriod", "cost_additional_last_period"),
            ):
                amount = _number(s.get(key))
                if amount is not None:
                    out[f"{name}_{unit}"] = amount / 1e5
            for key, name in (
                ("overallConsumptionLastPeriod", "last_period_kwh"),
                ("currentBillingPeriodOverAllConsumption", "period_to_date_kwh"),
            ):
                amount = _number(s.get(f"{key}.value"))
                if amount is not None and _number(s.get(f"{key}.uom")) == 72:
                    out[name] = amount * 10.0 ** (_number(s.get(f"{key}.powerOfTenMultiplier")) or 0) / 1000.0
            yield out


def _commonest(values: Ints | None) -> int:
    if values is None or not values.size:
        return 0
    seen, counts = np.unique(values, return_counts=True)
    return int(seen[np.argmax(counts)])


# --- daylight-saving rules ----------------------------------------------------------------------------


def decode_dst_rule(rule: str) -> dict[str, int]:
    """The parts of an ESPI DstRuleType, a 32-bit map in hex.

    From the lowest bit: 12 bits seconds of the hour, 5 hour, 3 day of week (Monday 1 .. Sunday 7), 5 day of
    month, 3 operator (0 on that day of the month; 1 first such weekday on or after it; 2..6 first to fifth
    such weekday of the month; 7 last), 4 month.

    >>> decode_dst_rule("360E2000")["month"], decode_dst_rule("360E2000")["hour"]
    (3, 2)
    """
    bits = int(rule, 16)
    return {
        "second": bits & 0xFFF,
        "hour": bits >> 12 & 0x1F,
        "weekday": bits >> 17 & 7,
        "day": bits >> 20 & 0x1F,
        "operator": bits >> 25 & 7,
        "month": bits >> 28 & 0xF,
    }


def dst_date(rule: Mapping[str, int], year: int) -> date | None:
    """The local date on which a decoded rule falls in `year`; None where the rule names no day."""
    month, weekday, op = rule["month"], rule["weekday"], rule["operator"]
    try:
        first = date(year, month, rule["day"] or 1) if op <= 1 else date(year, month, 1)
    except ValueError:
        return None
    if op == 0:
        return first if rule["day"] else None
    if not weekday:
        return None
    hit = first + timedelta(days=(weekday - 1 - first.weekday()) % 7)
    if op == 1:
        return hit
    days = [hit + timedelta(days=7 * k) for k in range(5) if (hit + timedelta(days=7 * k)).month == month]
    if op == 7:
        return days[-1]
    return days[op - 2] if op - 2 < len(days) else None


def _rules(clock: Mapping[str, Any]) -> tuple[dict[str, int], dict[str, int]] | None:
    """Decoded start and end rule, or None where the clock does not change."""
    try:
        start, end = (decode_dst_rule(clock[k]) for k in ("dstStartRule", "dstEndRule"))
    except (KeyError, ValueError):
        return None
    changes = start["month"] and end["month"] and start != end and _number(clock.get("dstOffset"))
    return (start, end) if changes else None


def _clock_facts(clock: Mapping[str, Any]) -> dict[str, Any]:
    """LocalTimeParameters in plain values."""
    rules = _rules(clock)
    return {
        "offset_h": (_number(clock.get("tzOffset")) or 0.0) / 3600,
        "dst_offset_h": (_number(clock.get("dstOffset")) or 0.0) / 3600,
        "dst_start": rules and rules[0],
        "dst_end": rules and rules[1],
        "dst": (
            f"daylight saving from month {rules[0]['month']} to {rules[1]['month']}"
            if rules
            else "no daylight saving"
        ),
    }


def _match(clock: Mapping[str, Any], first_s: int, last_s: int) -> str | None:
    """The zone whose standard offset and clock changes are those stated, in the years of the data."""
    offset_s, rules = int(_number(clock.get("tzOffset")) or 0), _rules(clock)
    dst_s = int(_number(clock.get("dstOffset")) or 0)
    years = range(datetime.fromtimestamp(first_s, UTC).year, datetime.fromtimestamp(last_s, UTC).year + 1)
    if rules is None:
        hours = offset_s / 3600
        real = [z for z in ZONES if all(_same(z, s, offset_s) for s in _sample(years))]
        if real:
            return real[0]
        return f"Etc/GMT{-int(hours):+d}" if hours == int(hours) and -12 <= hours <= 14 else None
    checks: list[tuple[int, int]] = []
    for year in years:
        for rule, before, after in (
            (rules[0], offset_s, offset_s + dst_s),
            (rules[1], offset_s + dst_s, offset_s),
        ):
            day = dst_date(rule, year)
            if day is None:
                return None
            instant = (
                int(
                    (
                        datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=rule["hour"])
                    ).timestamp()
                )
                - before
            )
            # An hour of slack: the rule's hour is written in standard or in summer time.
            checks += [(instant - 7200, before), (instant + 7200, after)]
    return next((z for z in ZONES if all(_same(z, s, o) for s, o in checks)), None)


def _sample(years: Iterable[int]) -> list[int]:
    return [int(datetime(y, m, 15, tzinfo=UTC).timestamp()) for y in years for m in range(1, 13)]


def _same(tz: str, second: int, offset_s: int) -> bool:
    at = datetime.fromtimestamp(second, UTC).astimezone(zone(tz)).utcoffset()
    return at is not None and int(at.total_seconds()) == offset_s
