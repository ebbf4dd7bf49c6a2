"""Products: what a market or a programme buys, as data with dates and sources.

One file `data/products/*.toml` is one version of one product. `product(name, on)` picks the version in force on
a day and refuses, by name, what is not in force or not offered where the site stands. Every figure of a file
belongs to a `[[sources]]` entry that says where it was read and whether that could be verified; a price that no
source states is left to the user (`asks_for`), never filled in.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ...errors import InputError, UnknownKind
from ...timeline import Timeline

Mask = NDArray[np.bool_]
Kind = Literal["regulation", "demand_response", "capacity", "coincident_peak", "bilateral"]
ALL_MONTHS = tuple(range(1, 13))
IDENTITY = {"name", "version", "title", "kind", "market", "sources", "notes", "asks_for"}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Window(_Part):
    """Clock hours [from_h, to_h) on such days of such months; to_h below from_h runs past midnight."""

    name: str = ""
    months: tuple[int, ...] = ALL_MONTHS
    days: Literal["all", "weekdays", "weekends"] = "all"
    from_h: float = Field(default=0.0, ge=0, lt=24)
    to_h: float = Field(default=24.0, gt=0, le=24)

    @model_validator(mode="after")
    def _months_exist(self) -> Window:
        if not self.months or any(not 1 <= m <= 12 for m in self.months):
            raise ValueError(f"months: {self.months} should be calendar months 1..12")
        if self.from_h == self.to_h:
            raise ValueError(f"from_h and to_h are both {self.from_h:g}; the whole day is 0 to 24")
        return self

    def mask(self, t: Timeline, holidays: Sequence[date] = ()) -> Mask:
        """True in this window, (n,); holidays count as weekend."""
        hour = t.minute_of_day / 60
        if self.from_h < self.to_h:
            found = (hour >= self.from_h) & (hour < self.to_h)
        else:
            found = (hour >= self.from_h) | (hour < self.to_h)
        found &= np.isin(t.month, self.months)
        if self.days != "all":
            off = (t.weekday >= 5) | t.on_dates(holidays)
            found &= off if self.days == "weekends" else ~off
        return found


class Tests(_Part):
    """Tests a year: how many, how long each, and whether energy is paid in them."""

    per_y: int = Field(ge=0)
    hours: float = Field(gt=0)
    paid: bool = False


class Cost(_Part):
    """Cost to serve: certification, registries, telemetry, tests, reporting.

    usd a year = usd_per_y + staff_h_per_y x staff_usd_per_h, and an event (usd_per_event + staff_h_per_event x
    staff_usd_per_h), and usd_per_mwh of what is delivered.
    """

    usd_per_y: float = Field(default=0.0, ge=0)
    usd_per_event: float = Field(default=0.0, ge=0)
    usd_per_mwh: float = Field(default=0.0, ge=0)
    staff_h_per_y: float = Field(default=0.0, ge=0)
    staff_h_per_event: float = Field(default=0.0, ge=0)
    staff_usd_per_h: float = Field(default=0.0, ge=0)
    source: str = ""

    @model_validator(mode="after")
    def _staff_is_paid(self) -> Cost:
        if (self.staff_h_per_y or self.staff_h_per_event) and not self.staff_usd_per_h:
            raise ValueError("staff hours are given without staff_usd_per_h; give what an hour costs")
        return self

    @property
    def fixed_usd_per_y(self) -> float:
        """What a year costs before anything is delivered."""
        return self.usd_per_y + self.staff_h_per_y * self.staff_usd_per_h

    @property
    def event_usd(self) -> float:
        """What one call costs."""
        return self.usd_per_event + self.staff_h_per_event * self.staff_usd_per_h


class Price(_Part):
    """A dated price of an area: exactly one of the usd_ keys; [from_date, until_date), none = not stated."""

    from_date: date | None = None
    until_date: date | None = None
    area: str = ""
    usd_per_mw_day: float | None = Field(default=None, ge=0)
    usd_per_kw_month: float | None = Field(default=None, ge=0)
    usd_per_kw_y: float | None = Field(default=None, ge=0)
    usd_per_kwh: float | None = Field(default=None, ge=0)
    source: str
    verified: bool

    @model_validator(mode="after")
    def _one_unit(self) -> Price:
        given = [k for k in PRICE_KEYS if getattr(self, k) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give exactly one of {', '.join(PRICE_KEYS)}; given: {', '.join(given) or 'none'}"
            )
        return self

    def holds(self, on: date) -> bool:
        """Whether it is the price of that day."""
        return (self.from_date is None or self.from_date <= on) and (
            self.until_date is None or on < self.until_date
        )


PRICE_KEYS = ("usd_per_mw_day", "usd_per_kw_month", "usd_per_kw_y", "usd_per_kwh")


class Rating(_Part):
    """Effective load-carrying capability of a class of resources: UCAP = ICAP x elcc_frac; [from_date, until_date)."""

    resource: str
    from_date: date
    until_date: date
    elcc_frac: float = Field(gt=0, le=1)
    source: str
    verified: bool


class RegulationRule(_Part):
    """How regulation is held and paid.

    direction: 'both' is one award up and down, 'apart' two awards. credit of an interval =
    kW h [cap f(s; capability) + ratio perf f(s; performance)], f(s; k) = max(0, 1 - k (1 - s)) for a score s: k = 1
    is 'times the score', k = 0 'whatever the score', NYISO takes 1.1. Below forfeit_below_frac the interval earns
    nothing; a mean score over rolling_h award hours below disqualified_below_frac ends the awards. block_h: the award
    stays constant. sustain_h: energy that must stand behind it. signal_up_frac, signal_down_frac: energy asked
    per kW and hour. imports_only: nothing is paid while the meter does not import. score: how performance is scored.
    gate_h: hours before a day begins by which its awards are offered, none = not stated.
    """

    direction: Literal["both", "apart"]
    block_h: float = Field(gt=0)
    sustain_h: float = Field(default=0.0, ge=0)
    signal_up_frac: float = Field(default=0.25, ge=0, le=1)
    signal_down_frac: float = Field(default=0.25, ge=0, le=1)
    capability_lost_frac: float = Field(default=1.0, ge=0)
    performance_lost_frac: float = Field(default=1.0, ge=0)
    forfeit_below_frac: float = Field(default=0.0, ge=0, le=1)
    disqualified_below_frac: float = Field(default=0.0, ge=0, le=1)
    rolling_h: float = Field(default=100.0, gt=0)
    qualify_frac: float = Field(default=0.0, ge=0, le=1)
    score: Literal["classic", "precision", "none"] = "none"
    imports_only: bool = False
    gate_h: float | None = Field(default=None, ge=0, le=168)


class Step(_Part):
    """At performance `at_frac` of the nomination the share `pay_frac` of the capacity payment is due."""

    at_frac: float = Field(ge=0)
    pay_frac: float


class ResponseRule(_Part):
    """How demand response is measured and paid.

    measure: 'baseline' counts B - net, 'firm_service_level' charges what stands above the level in a call,
    'peak_load' counts tag - net (PJM capacity), 'coincident_load' counts the flat average coincident load - net.
    baseline: name of the shipped method. energy: 'fixed' price, 'market' (a series, at least
    energy_least_usd_per_kwh, and only at or above the net-benefits price where net_benefits), or 'none'.
    capacity: paid per kW and month of the season on the 'nomination' or the mean 'performance' in calls; 'none'.
    steps: payment by mean performance, linear between, the last holds on; none = in proportion up to all of it.
    paid_upto_frac: energy paid up to this multiple of the nomination. shortfall: whether a price a kWh falls due for
    what is missing in a call. stop_loss_frac: penalties stay within this multiple of a season's payment. self_called:
    the owner calls by price. netting: whether intervals of more load count against those of less. judged_on: whether
    all calls or only tests make up p. season_from_month: where a season is a whole year, the month in which it begins.
    """

    measure: Literal["baseline", "firm_service_level", "peak_load", "coincident_load"]
    baseline: str | None = None
    energy: Literal["none", "fixed", "market"] = "none"
    energy_usd_per_kwh: float | None = Field(default=None, ge=0)
    energy_least_usd_per_kwh: float = Field(default=0.0, ge=0)
    net_benefits: bool = False
    capacity: Literal["none", "nomination", "performance"] = "none"
    season_months: tuple[int, ...] = ALL_MONTHS
    steps: tuple[Step, ...] = ()
    paid_upto_frac: float | None = Field(default=None, gt=0)
    shortfall: bool = False
    stop_loss_frac: float | None = Field(default=None, ge=0)
    self_called: bool = False
    netting: Literal["event", "interval"] = "event"
    judged_on: Literal["calls", "tests"] = "calls"
    season_from_month: int = Field(default=1, ge=1, le=12)

    @model_validator(mode="after")
    def _whole(self) -> ResponseRule:
        if (self.measure == "baseline") != (self.baseline is not None):
            raise ValueError("a baseline name belongs to measure = 'baseline', and that needs one")
        at = [s.at_frac for s in self.steps]
        if at != sorted(at) or (at and at[0] != 0):
            raise ValueError("steps begin at at_frac = 0 and rise")
        if self.energy_usd_per_kwh is not None and self.energy != "fixed":
            raise ValueError("energy_usd_per_kwh belongs to energy = 'fixed'")
        return self


class CapacityRule(_Part):
    """UCAP = kW x elcc, paid a day. sustain_h: how long a call may last. shortfall:
    a price a kWh falls due for what is missing in a performance assessment; stop_loss_frac: within this
    multiple of a year's payment."""

    sustain_h: float = Field(default=0.0, ge=0)
    shortfall: bool = False
    stop_loss_frac: float | None = Field(default=None, ge=0)


class PeakRule(_Part):
    """A tag = sum over the `hits` system peaks of load / hits, billed in the year that begins at bills_from_month.

    per: 'season' takes the highest of the whole season, one a day; 'month' one of each month. hit_h: length of a hit.
    """

    hits: int = Field(gt=0)
    per: Literal["season", "month"]
    season_months: tuple[int, ...]
    hit_h: float = Field(gt=0)
    bills_from_month: int = Field(ge=1, le=12)
    feeds_nomination: bool = False


class Source(_Part):
    """Where the figures named were read; verified = False is shown wherever the product is used."""

    figures: tuple[str, ...] = Field(min_length=1)
    source: str
    source_date: date | None = None
    verified: bool
    note: str = ""


class Product(_Part):
    """One version of a product, in force on valid_from <= day < valid_to, none = not stated.

    iso, states, utilities: where it is offered; empty = not limited so. min_kw: least quantity; step_kw: enrolled
    in multiples of it, none = not stated; notice_h: least warning of a call; response_s: signal to full power;
    telemetry_s: longest interval between reports; protocols: one of them must be spoken. export: whether power
    across the meter counts. windows: when a call may come. bans: products, market kinds ('capacity') or tariff
    items ('critical_peak') that may not stand beside it; beside: those that may although both sell capacity.
    sells_capacity: the kW may not be sold as capacity elsewhere. asks_for: prices that the user must give.
    """

    name: str = Field(pattern=r"^[a-z0-9-]+$")
    version: str
    title: str
    kind: Kind
    market: str
    iso: str | None = None
    states: tuple[str, ...] = ()
    utilities: tuple[str, ...] = ()
    valid_from: date | None = None
    valid_to: date | None = None
    min_kw: float = Field(default=0.0, ge=0)
    step_kw: float | None = Field(default=None, gt=0)
    notice_h: float | None = Field(default=None, ge=0)
    response_s: float | None = Field(default=None, gt=0)
    telemetry_s: float | None = Field(default=None, gt=0)
    protocols: tuple[str, ...] = ()
    export: Literal["forbidden", "allowed", "required"] = "forbidden"
    emergency_only_generators_allowed: bool = False
    windows: tuple[Window, ...] = ()
    max_events_per_season: int | None = Field(default=None, gt=0)
    max_events_per_month: int | None = Field(default=None, gt=0)
    max_events_per_day: int | None = Field(default=None, gt=0)
    max_hours_per_y: float | None = Field(default=None, gt=0)
    max_hours_per_month: float | None = Field(default=None, gt=0)
    min_event_h: float | None = Field(default=None, gt=0)
    max_event_h: float | None = Field(default=None, gt=0)
    tests: Tests | None = None
    bans: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    sells_capacity: bool = False
    asks_for: tuple[str, ...] = ()
    regulation: RegulationRule | None = None
    demand_response: ResponseRule | None = None
    capacity: CapacityRule | None = None
    coincident_peak: PeakRule | None = None
    prices: tuple[Price, ...] = ()
    ratings: tuple[Rating, ...] = ()
    sources: tuple[Source, ...]
    notes: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Product:
        problems = []
        for kind in ("regulation", "demand_response", "capacity", "coincident_peak"):
            deal = kind == "demand_response" and self.kind == "bilateral"
            if (getattr(self, kind) is not None) != (self.kind == kind) and not deal:
                problems.append(f"kind = {self.kind!r} and a [{kind}] table must go together")
        if self.valid_to is not None and self.valid_from is not None and self.valid_to <= self.valid_from:
            problems.append(f"valid_to {self.valid_to} is not after valid_from {self.valid_from}")
        stated = set(_stated(self))
        named = [f for s in self.sources for f in s.figures]
        problems += [
            f"sources name {f!r}, which the file does not state" for f in named if not _covers(f, stated)
        ]
        problems += [
            f"{f} has no source"
            for f in sorted(stated)
            if not any(f == n or f.startswith(f"{n}.") for n in named)
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    # --- what is said of it ----------------------------------------------------------------------

    @property
    def label(self) -> str:
        """'pjm-regulation v2'."""
        return f"{self.name} {self.version}"

    @property
    def years(self) -> str:
        """Days in force, in words."""
        if self.valid_from is None:
            return "dates not stated" if self.valid_to is None else f"until {self.valid_to}, start not stated"
        return (
            f"from {self.valid_from} on"
            if self.valid_to is None
            else f"from {self.valid_from} to {self.valid_to}"
        )

    @property
    def place(self) -> str:
        """Where it is offered, in words."""
        parts = [*self.states, *self.utilities] or [self.iso or "anywhere"]
        return ", ".join(parts)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Every figure that could not be verified, with what is known of it."""
        out = []
        if self.valid_from is None:
            out.append(
                f"{self.label}: the day from which it holds is not stated, not verified for earlier years"
            )
        for s in self.sources:
            if not s.verified:
                why = f"; {s.note}" if s.note else ""
                out.append(f"{self.label}: {', '.join(s.figures)} not verified ({s.source}{why})")
        for p in self.prices:
            if not p.verified:
                key = next(k for k in PRICE_KEYS if getattr(p, k) is not None)
                since = f" from {p.from_date}" if p.from_date else ""
                out.append(f"{self.label}: {key} {getattr(p, key):g}{since} not verified ({p.source})")
        for r in self.ratings:
            if not r.verified:
                since = f"from {r.from_date}"
                out.append(
                    f"{self.label}: ELCC {r.elcc_frac:g} of {r.resource} {since} not verified ({r.source})"
                )
        return tuple(out)

    def in_force(self, on: date) -> bool:
        """Whether its rules hold on that day."""
        return (self.valid_from is None or self.valid_from <= on) and (
            self.valid_to is None or on < self.valid_to
        )

    def offered(
        self, *, iso: str | None = None, state: str | None = None, utility: str | None = None
    ) -> bool:
        """Whether it is offered there, as far as that is stated."""

        def fits(mine: Sequence[str], theirs: str | None) -> bool:
            return not mine or theirs is None or theirs.lower() in [m.lower() for m in mine]

        return (
            fits([self.iso] if self.iso else [], iso)
            and fits(self.states, state)
            and fits(self.utilities, utility)
        )

    def window(self, t: Timeline, holidays: Sequence[date] = ()) -> Mask:
        """True where a call may come, (n,); without windows always."""
        if not self.windows:
            return np.ones(t.n, dtype=np.bool_)
        return np.asarray(np.any([w.mask(t, holidays) for w in self.windows], axis=0))

    def price(self, key: str, on: date, area: str | None = None) -> Price | None:
        """The dated price of that unit and area on a day; without an area the first one listed."""
        for p in self.prices:
            if getattr(p, key) is not None and p.holds(on) and area in (None, p.area):
                return p
        return None

    def rating(self, resource: str | None, on: date) -> Rating | None:
        """The ELCC rating of a class of resources on a day."""
        return next(
            (r for r in self.ratings if r.resource == resource and r.from_date <= on < r.until_date), None
        )


def _stated(part: BaseModel, prefix: str = "") -> Iterator[str]:
    """Dotted names of what a file states, but identity and rows that carry their own source."""
    for key in part.model_fields_set:
        value = getattr(part, key)
        if not prefix and key in IDENTITY:
            continue
        if isinstance(value, tuple) and value and isinstance(value[0], (Price, Rating)):
            continue
        if isinstance(value, BaseModel):
            yield from _stated(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _covers(figure: str, stated: set[str]) -> bool:
    return any(s == figure or s.startswith(f"{figure}.") for s in stated)


@cache
def products() -> tuple[Product, ...]:
    """Every version of every shipped product, by name and date."""
    out, problems = [], []
    folder = files("valuestack").joinpath("data", "products")
    for f in sorted(folder.iterdir(), key=lambda f: f.name):
        if not f.name.endswith(".toml"):
            continue
        try:
            out.append(
                parse_product(tomllib.loads(f.read_text(encoding="utf-8")), where=f"data/products/{f.name}")
            )
        except InputError as e:
            problems += list(e.problems)
    if problems:
        raise InputError.collect("data/products", problems)
    return tuple(sorted(out, key=lambda p: (p.name, p.valid_from or date.min)))


def parse_product(table: dict[str, Any], *, where: str = "product") -> Product:
    """A product from a plain table, or one InputError with everything that is wrong in it."""
    try:
        return Product.model_validate(table)
    except ValidationError as e:
        raise InputError.collect(
            where, [f"{'.'.join(map(str, p['loc'])) or 'file'}: {p['msg']}" for p in e.errors()]
        ) from e


def product(
    name: str, on: date, *, iso: str | None = None, state: str | None = None, utility: str | None = None
) -> Product:
    """The version of `name` in force on a day where the site stands.

    Errors: UnknownKind for a name that no file holds; InputError outside its dates or its jurisdiction, with
    what is in force instead.
    """
    versions = [p for p in products() if p.name == name]
    if not versions:
        raise UnknownKind("product", name, {p.name for p in products()})
    there = {"iso": iso, "state": state, "utility": utility}
    dated = [p for p in versions if p.in_force(on)]
    if not dated:
        known = "; ".join(f"{p.version} {p.years}" for p in versions)
        raise InputError(
            f"{name} is not in force on {on} (versions: {known}); {_instead(on, there, versions[0].kind)}"
        )
    found = [p for p in dated if p.offered(**there)]
    if not found:
        where = ", ".join(f"{k} {v}" for k, v in there.items() if v)
        raise InputError(
            f"{name} is offered in {dated[-1].place}, not in {where}; {_instead(on, there, versions[0].kind)}"
        )
    if len(found) > 1:
        each = "; ".join(p.place for p in found)
        raise InputError(f"{name} differs by place ({each}); say where the site stands: utility = ...")
    return found[0]


def _instead(on: date, there: dict[str, str | None], kind: str) -> str:
    """What is in force there on that day, the same kind first."""
    known = [p for p in products() if p.in_force(on) and p.offered(**there)]
    names = list(dict.fromkeys(p.name for p in sorted(known, key=lambda p: p.kind != kind)))
    if not names:
        return f"no shipped product is in force there on {on}"
    return f"in force there on {on}: {', '.join(names)}"
