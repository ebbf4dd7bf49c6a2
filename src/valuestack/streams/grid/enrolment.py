"""Enrolment: what every grid service shares. Rules in force, what a site must bring, cost to serve, break-even.

A stream of this layer names a product; its rules are those in force on `as_of`, or where none is given on the
days of the timeline, which must then lie within one version. Prices are numbers or names of world series.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from math import inf
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from ...dispatch import Foresight, Record, View, World
from ...errors import DataError, InputError
from ...flows import Capability
from ...ledger import Entry
from ...timeline import Ints, Kw, Timeline, epoch_s, localise
from ..stream import Place
from .product import Cost, Product, product

Amount = float | str
"""A number, or the name of a world series in the unit of the key."""

ENERGY_UNITS = ("USD/kWh", "USD/kW h", "USD/kW-h", "USD/kWh h")
Self = TypeVar("Self", bound="Enrolled")


class Enrolled(BaseModel):
    """What a person writes of every grid service.

    product: name of a shipped product, or the `Product` itself. as_of: the day whose rules and prices hold. iso, state,
    utility, area: where the site stands and the price area. assets: those that serve it, none = every asset of the
    site. aggregated: enrolled through an aggregator, whose whole meets the least size. cost: cost to serve.
    holidays: days that count as weekend; none = the federal ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: ClassVar[str] = ""
    layer: ClassVar[int] = 3
    certainty: ClassVar[str] = "market"
    counterparty: ClassVar[str] = "market"
    dispatches: ClassVar[bool] = True  # assets are paid for what they do, so a product's clauses bind them

    name: str
    product: str | Product
    as_of: date | None = None
    iso: str | None = None
    state: str | None = None
    utility: str | None = None
    area: str | None = None
    assets: tuple[str, ...] = ()
    aggregated: bool = False
    cost: Cost | None = None
    holidays: tuple[date, ...] | None = None
    _notes: tuple[str, ...] = PrivateAttr(default=())

    # --- rules -----------------------------------------------------------------------------------

    def rules(self, t: Timeline) -> Product:
        """The version of the product that holds for this span. InputError where none or more than one does."""
        on = self.as_of or t.start.date()
        if isinstance(self.product, Product):
            found = self.product
            if not found.in_force(on):
                raise InputError(
                    f"{self.name}: {found.label} is in force {found.years}, not on {on}; set as_of"
                )
        else:
            try:
                found = product(self.product, on, iso=self.iso, state=self.state, utility=self.utility)
            except InputError as e:
                raise InputError(f"{self.name}: {e}") from e
        if found.kind != self.kind:
            raise InputError(
                f"{self.name}: product {found.name!r} is a {found.kind}, not a {self.kind}; write kind = {found.kind!r}"
            )
        last = t.when(t.n - 1).date()
        if self.as_of is None and not found.in_force(last):
            raise InputError(
                f"{self.name}: {found.label} holds until {found.valid_to}, the span runs to {last}; split the span "
                f"there, or set as_of to take the rules of one day"
            )
        return found

    @property
    def offered_kw(self) -> float | None:
        """What is offered [kW], None where the plan decides."""
        return None

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Defaults taken, and every figure of the product that is not verified."""
        out = list(self._notes)
        if self.cost is None:
            out.append(
                f"{self.name}: no cost to serve is given; certification, telemetry, tests and staff count nothing"
            )
        out += self._unverified()
        return tuple(dict.fromkeys(out))

    def _unverified(self) -> tuple[str, ...]:
        """What the product's own file says of its figures, once it is known which version holds."""
        if isinstance(self.product, Product):
            return self.product.assumptions
        if self.as_of is None:
            return ()
        try:
            return product(
                self.product, self.as_of, iso=self.iso, state=self.state, utility=self.utility
            ).assumptions
        except InputError:
            return ()  # what is wrong with it is said where it is bound or asked for terms

    def days_off(self, t: Timeline) -> tuple[date, ...]:
        """Holidays of the span."""
        if self.holidays is not None:
            return self.holidays
        import holidays

        years = range(int(t.year[0]), int(t.year[-1]) + 1)
        return tuple(holidays.country_holidays("US", years=years))

    # --- binding ---------------------------------------------------------------------------------

    def bind(self: Self, place: Place) -> Self:
        """Itself at a site, with the rules of its day; InputError with every clause that the site cannot meet."""
        there = {k: getattr(self, k) or getattr(place, k) for k in ("iso", "state", "utility")}
        mine = self.model_copy(update={"as_of": self.as_of or place.as_of, **there})
        rules = mine.rules(place.timeline)
        known = [a.name for a in place.assets]
        problems = [
            f"assets names {n!r}, which is no asset here; there are {', '.join(known) or 'none'}"
            for n in self.assets
            if n not in known
        ]
        notes: list[str] = []
        serving = [a for a in place.assets if not self.assets or a.name in self.assets]
        problems += list(_site_clauses(mine, rules, place))
        for a in serving if self.dispatches else ():
            problems += list(_asset_clauses(rules, a, notes))
        problems += mine.own_clauses(rules, place)
        if problems:
            raise InputError.collect(f"stream {self.name} ({rules.label})", problems)
        if self.as_of is None and place.as_of is None:
            notes.append(f"{self.name}: rules of {place.timeline.start.date()}, the first day of the data")
        bound = mine.model_copy(
            update={
                "as_of": mine.as_of or place.timeline.start.date(),
                "assets": self.assets or tuple(a.name for a in serving),
            }
        )
        bound._notes = tuple(dict.fromkeys([*self._notes, *notes, *rules.assumptions]))
        return bound

    def own_clauses(self, rules: Product, place: Place) -> list[str]:
        """Further clauses of the kind that the site or the options cannot meet."""
        return []

    def contradicts(self, other: Any) -> list[str]:
        """What it says of another stream: bans of its product, and the same kW sold twice. See `contradictions`."""
        while hasattr(
            other, "inner"
        ):  # a contract around a stream changes nothing of what the stream may stand beside
            other = other.inner
        day = self.as_of or getattr(other, "as_of", None)
        if day is None:
            return []
        t = Timeline(start=day.isoformat(), step_h=1.0, n=1, tz="UTC")
        pair = sorted((self, other), key=lambda s: str(s.name))
        return [str(c) for c in contradictions(pair, t)]

    # --- ValueStream, where nothing is remembered ------------------------------------------------

    def initial_state(self) -> Any:
        """Nothing to remember: the record holds it."""
        return None

    def observe(self, state: Any, record: Record, k: int) -> Any:
        """See initial_state."""
        return state

    # --- cost to serve ---------------------------------------------------------------------------

    def cost_entries(self, t: Timeline, *, events: int = 0, delivered_kwh: float = 0.0) -> Iterator[Entry]:
        """What serving cost over the span: fixed by hours of a year, by event, by MWh delivered."""
        if self.cost is None:
            return
        rows = [
            ("fixed", t.hours / 8760, "y", self.cost.fixed_usd_per_y),
            ("events", float(events), "event", self.cost.event_usd),
            ("delivery", delivered_kwh / 1000, "MWh", self.cost.usd_per_mwh),
        ]
        for item, quantity, unit, price in rows:
            if price and quantity:
                yield Entry(
                    span(t),
                    self.layer,
                    self.name,
                    f"cost to serve/{item}",
                    "own cost",
                    quantity,
                    unit,
                    price,
                    -price * quantity,
                    certainty="modelled",
                    reason=f"cost to serve{': ' + self.cost.source if self.cost.source else ''}",
                )

    def break_even(
        self, usd_per_unit: float, unit: Literal["kW", "MWh"], *, events_per_y: float = 0.0
    ) -> float:
        """kW (at usd_per_unit a kW and year) or MWh a year at which revenue pays the cost to serve; inf if never.

        q = (fixed + events x cost an event) / (revenue a unit - cost a unit), cost a unit only of MWh.
        """
        if self.cost is None:
            return 0.0
        fixed = self.cost.fixed_usd_per_y + events_per_y * self.cost.event_usd
        margin = usd_per_unit - (self.cost.usd_per_mwh if unit == "MWh" else 0.0)
        if fixed == 0:
            return 0.0 if margin >= 0 else inf
        return fixed / margin if margin > 0 else inf

    def earned_break_even(self, entries: Iterable[Entry], t: Timeline) -> float | None:
        """Break-even of a settled span in units of its largest revenue line; None without revenue or cost."""
        lines = list(entries)
        income = [e for e in lines if e.usd > 0 and e.quantity > 0]
        if self.cost is None or not income:
            return None
        top = max(income, key=lambda e: e.usd)
        mine = [e for e in income if e.item == top.item]
        years = t.hours / 8760
        unit_usd = sum(e.usd for e in income) / sum(e.quantity for e in mine)
        spent = -sum(e.usd for e in lines if e.item.startswith("cost to serve"))
        return spent / years / unit_usd if unit_usd > 0 else inf


# --- clauses -----------------------------------------------------------------------------------------


def _site_clauses(stream: Enrolled, rules: Product, place: Place) -> Iterator[str]:
    if rules.export == "required" and place.export_limit_kw <= 0:
        yield (
            f"export: {rules.title} pays for power across the meter and this site may not export; agree an export "
            "limit with the utility (interconnection.export_limit_kw), or choose a product measured as load reduction"
        )
    offered = stream.offered_kw
    if offered is not None and offered < rules.min_kw and not stream.aggregated:
        yield (
            f"min_kw: {offered:g} kW offered, {rules.min_kw:g} kW is the least; offer more, or set "
            "aggregated = true if an aggregator enrols it with others"
        )


def _asset_clauses(rules: Product, asset: Any, notes: list[str]) -> Iterator[str]:
    """What a product asks of one asset. What the asset leaves open is a note, never a refusal."""
    ask = getattr(asset, "capability", None)
    can: Capability = ask() if ask is not None else Capability()
    if not can.paid_dispatch and not rules.emergency_only_generators_allowed:
        yield (
            f"emergency_only_generators_allowed = false: {asset.name} may not be paid for running"
            f"{' (' + can.why_not + ')' if can.why_not else ''}; leave it out of assets = [...], or permit it for "
            "non-emergency use"
        )
    if rules.notice_h is not None and can.notice_h > rules.notice_h:
        yield (
            f"notice_h: calls come {rules.notice_h:g} h ahead, {asset.name} needs {can.notice_h:g} h; leave it out of "
            "assets = [...] or choose a product with longer notice"
        )
    for key, asked, has in (
        ("response_s", rules.response_s, can.response_s),
        ("telemetry_s", rules.telemetry_s, can.telemetry_s),
    ):
        if asked is None:
            continue
        if has is None:
            notes.append(f"{asset.name}: {key} is not stated; {rules.label} asks for at most {asked:g} s")
        elif has > asked:
            yield f"{key}: {rules.label} asks for {asked:g} s or less, {asset.name} offers {has:g} s; make it faster"
    if rules.protocols and not can.protocols:
        notes.append(
            f"{asset.name}: protocols are not stated; {rules.label} asks for {' or '.join(rules.protocols)}"
        )
    elif rules.protocols and not set(rules.protocols) & {p.lower() for p in can.protocols}:
        yield (
            f"protocols: {rules.label} speaks {' or '.join(rules.protocols)}, {asset.name} only "
            f"{', '.join(can.protocols)}; add a gateway or leave it out of assets = [...]"
        )
    if rules.min_event_h is not None and can.max_duration_h < rules.min_event_h:
        yield (
            f"min_event_h: a call lasts {rules.min_event_h:g} h or more, {asset.name} can answer "
            f"{can.max_duration_h:g} h; leave it out of assets = [...]"
        )
    elif rules.max_event_h is not None and can.max_duration_h < rules.max_event_h:
        notes.append(
            f"{asset.name} can answer {can.max_duration_h:g} h of a call that may last {rules.max_event_h:g} h; what "
            "is missing then counts as not delivered"
        )


# --- contradictions ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two enrolments that may not stand beside each other: owners, the clause, what is wrong, what to do."""

    owners: tuple[str, str]
    clause: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{' and '.join(self.owners)}: {self.what} ({self.clause}); {self.remedy}"


def contradictions(streams: Sequence[Any], t: Timeline) -> list[Contradiction]:
    """Dual-enrolment bans, and the same kW sold twice as capacity, among streams of every layer.

    Streams of other layers are read by the names of what they bill (a tariff's items), never by their class.
    """
    out: list[Contradiction] = []
    rules = [s.rules(t) if isinstance(s, Enrolled) else None for s in streams]
    for i, (a, mine) in enumerate(zip(streams, rules)):
        for b, theirs in list(zip(streams, rules))[i + 1 :]:
            for s, r, other, o in ((a, mine, b, theirs), (b, theirs, a, mine)):
                hit = None if r is None else next((ban for ban in r.bans if ban in _words(other, o)), None)
                if r is not None and hit is not None:
                    out.append(
                        Contradiction(
                            (s.name, other.name),
                            f"{r.label} bans {hit}",
                            f"{r.title} may not stand beside {hit.replace('_', ' ')}",
                            f"drop {s.name} or {other.name}",
                        )
                    )
                    break
            if mine is not None and theirs is not None and _sold_twice(a, mine, b, theirs):
                out.append(
                    Contradiction(
                        (a.name, b.name),
                        f"{mine.label} and {theirs.label} both sell capacity",
                        "the same kW may not be sold twice as capacity",
                        f"give {a.name} and {b.name} different assets, or drop one",
                    )
                )
    return out


def _words(stream: Any, rules: Product | None) -> set[str]:
    """Names under which others may ban a stream."""
    if rules is not None:
        return {rules.name, rules.market.lower(), *(["capacity"] if rules.sells_capacity else [])}
    tariff = getattr(stream, "tariff", None)
    versions = tariff if isinstance(tariff, Sequence) else (tariff,)
    held = [getattr(v, "tariff", v) for v in versions]
    return {str(item.kind) for one in held for item in getattr(one, "items", ()) if hasattr(item, "kind")}


def _sold_twice(a: Enrolled, mine: Product, b: Enrolled, theirs: Product) -> bool:
    if not (mine.sells_capacity and theirs.sells_capacity):
        return False
    if theirs.name in mine.beside or mine.name in theirs.beside:
        return False
    return not a.assets or not b.assets or bool(set(a.assets) & set(b.assets))


# --- calls -------------------------------------------------------------------------------------------


class Call(BaseModel):
    """One call: local start time and length. test: a test. notice_h: if other than the product's."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    start: datetime | str
    hours: float = Field(gt=0)
    test: bool = False
    notice_h: float | None = Field(default=None, ge=0)


@dataclass(frozen=True, slots=True, eq=False)
class Called:
    """A call on a timeline: intervals first .. first + n - 1, and from which interval on it is known."""

    first: int
    n: int
    known: int
    test: bool = False

    @property
    def span(self) -> slice:
        return slice(self.first, self.first + self.n)


def calls_on(t: Timeline, calls: Sequence[Call], notice_h: float, where: str) -> list[Called]:
    """The calls that touch a timeline, in order; those that overlap are refused."""
    out = []
    for c in calls:
        start = localise(c.start, t.tz, where=f"{where}: events")
        first = (epoch_s(start) - epoch_s(t.start)) / t.step_s
        n = c.hours / t.step_h
        if abs(n - round(n)) > 1e-6 or abs(first - round(first)) > 1e-6:
            raise InputError(
                f"{where}: the event of {start.isoformat()} for {c.hours:g} h does not fit intervals of {t.step_h:g} h"
            )
        known = round(first) - round((notice_h if c.notice_h is None else c.notice_h) / t.step_h)
        low, high = max(0, round(first)), min(t.n, round(first) + round(n))
        if low < high:
            out.append(Called(low, high - low, known, c.test))
    out.sort(key=lambda c: c.first)
    for a, b in pairwise(out):
        if a.first + a.n > b.first:
            raise InputError(
                f"{where}: the events of {t.when(a.first).isoformat()} and {t.when(b.first).isoformat()} overlap"
            )
    return out


def runs_of(flag: Kw, first: int = 0) -> list[Called]:
    """Each run of intervals above one half as a call, numbered from `first`."""
    on = np.concatenate(([False], np.asarray(flag) > 0.5, [False]))
    edge = np.flatnonzero(on[1:] != on[:-1])
    return [Called(first + int(a), int(b - a), -(1 << 40)) for a, b in zip(edge[::2], edge[1::2])]


# --- amounts -----------------------------------------------------------------------------------------


def believed(amount: Amount, view: View) -> Kw:
    """An amount over the view's horizon, (n,)."""
    if isinstance(amount, str):
        return lane(view.series(amount), amount)
    return np.full(view.n, float(amount))


def happened(amount: Amount, world: World, n: int) -> Kw:
    """An amount over the first n intervals of the world, (n,)."""
    if isinstance(amount, str):
        return lane(world[amount], amount)[:n]
    return np.full(n, float(amount))


def lane(values: Kw, name: str) -> Kw:
    """One lane of a series."""
    if values.ndim == 2 and values.shape[0] == 1:
        return np.asarray(values[0], dtype=np.float64)
    if values.ndim != 1:
        raise DataError(f"{name}: {values.shape[0]} scenarios; settle or plan each lane by itself")
    return np.asarray(values, dtype=np.float64)


def series_clauses(
    place: Place, amounts: Mapping[str, Amount | None], units: Sequence[str] = ENERGY_UNITS
) -> list[str]:
    """What is wrong with the series that options name."""
    out = []
    for key, amount in amounts.items():
        if not isinstance(amount, str):
            continue
        found = place.world.series.get(amount)
        if found is None:
            out.append(f"{key}: the site has no series {amount!r}; it has {', '.join(place.world.series)}")
        elif units and found.unit not in units:
            out.append(f"{key}: series {amount!r} is in {found.unit}; convert it to {units[0]}")
    return out


def foreseen(view: View) -> bool:
    """Whether the view knows the future: a bound, never a forecast."""
    return isinstance(view.belief, Foresight)


# --- calendar ----------------------------------------------------------------------------------------


def span(t: Timeline) -> str:
    """'2026-06-01/2026-08-31', first and last day."""
    return f"{t.start.date()}/{t.when(t.n - 1).date()}"


def month_names(t: Timeline) -> tuple[list[str], Ints]:
    """Months of a timeline, 'YYYY-MM', and the month of each interval."""
    ids, index = np.unique(t.month_id, return_inverse=True)
    return [f"{i // 12 + 1970:04d}-{i % 12 + 1:02d}" for i in ids.tolist()], index.astype(np.int64)


def month_shares(t: Timeline, months: Sequence[int]) -> dict[str, float]:
    """Share of each calendar month in `months` that the timeline covers, by 'YYYY-MM'."""
    names, index = month_names(t)
    covered = np.bincount(index) * t.step_h
    out = {}
    for name, hours in zip(names, covered.tolist()):
        year, month = int(name[:4]), int(name[5:])
        if month in months:
            a = datetime(year, month, 1)
            b = datetime(year + month // 12, month % 12 + 1, 1)
            whole = (epoch_s(localise(b, t.tz)) - epoch_s(localise(a, t.tz))) / 3600
            out[name] = min(1.0, hours / whole)
    return out


def year_of(day: date, from_month: int) -> int:
    """Delivery year of a day: the calendar year in which it began."""
    return day.year if day.month >= from_month else day.year - 1
