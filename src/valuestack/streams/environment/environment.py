"""What the environmental streams share: metered generation, storage allocation, titles, dated facts, costs.

A certificate is minted from *metered generation* alone. A store moves it through time and loses part of it; it
never makes any. Each MWh generated has one title, which one owner may claim once.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from math import inf
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ...dispatch import Foresight, Record, View, World
from ...errors import ConflictError, DataError, InputError
from ...finding import Finding
from ...flows import Given, Offer, Store, Unit
from ...ledger import Entry
from ...timeline import Kw, Timeline
from ..stream import Place

KWH_PER_MWH = 1000.0
KG_PER_LB = 0.45359237  # exact by definition of the avoirdupois pound
MJ_PER_KWH = 3.6
HOURS_PER_YEAR = 8760.0


class Written(BaseModel):
    """What a person writes about an environmental stream."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Claimant(Written):
    """A stream that lays claim to generation. `titles` says to how much of what, and for which use."""

    @property
    def titles(self) -> tuple[Title, ...]:
        """The titles that it claims."""
        return ()

    def contradicts(self, other: Any) -> list[str]:
        """What it says of another stream: generation that the two claim more than once. Three claims that only
        together come to more than all are found by `contradictions` over all streams."""
        both = sorted(titles_of((self, other)), key=lambda t: (t.owner, t.asset, t.use))
        return [f"{f.what}; {f.remedy}" for f in contradictions(both)]


class CostToServe(Written):
    """What it costs to be in the programme: a fixed sum a year (certification, registry, audit, telemetry), one per
    MWh (issuance, transfer, retirement) and staff time."""

    usd_per_y: float = Field(default=0.0, ge=0)
    usd_per_mwh: float = Field(default=0.0, ge=0)
    staff_h_per_y: float = Field(default=0.0, ge=0)
    staff_usd_per_h: float = Field(default=0.0, ge=0)

    @property
    def fixed_usd_per_y(self) -> float:
        """Cost a year that no MWh moves."""
        return self.usd_per_y + self.staff_h_per_y * self.staff_usd_per_h

    def break_even_mwh(self, usd_per_mwh: float) -> float:
        """MWh a year at which a price of `usd_per_mwh` pays for the programme; inf where it never does."""
        margin = usd_per_mwh - self.usd_per_mwh
        if self.fixed_usd_per_y == 0:
            return 0.0 if margin >= 0 else inf
        return self.fixed_usd_per_y / margin if margin > 0 else inf

    def assumptions(self, name: str) -> tuple[str, ...]:
        """What is taken for granted of it."""
        if self.fixed_usd_per_y == 0 and self.usd_per_mwh == 0:
            return (f"{name}: no cost to serve is given; certification, registry and staff cost nothing",)
        return ()

    def entries(self, name: str, record: Record, mwh: float, cycle: str) -> Iterable[Entry]:
        """The cost of a record, fixed cost by its share of a year."""
        years = record.timeline.hours / HOURS_PER_YEAR
        if self.fixed_usd_per_y:
            yield Entry(
                cycle, 4, name, "cost to serve/fixed", "registry", years, "y", self.fixed_usd_per_y,
                -self.fixed_usd_per_y * years, reason="certification, registry and staff, by share of a year",
            )  # fmt: skip
        if self.usd_per_mwh and mwh:
            yield Entry(
                cycle, 4, name, "cost to serve/issuance", "registry", mwh, "MWh", self.usd_per_mwh,
                -self.usd_per_mwh * mwh, reason="issuance, transfer and retirement",
            )  # fmt: skip


# --- what is metered ---------------------------------------------------------------------------------------


def one_lane(values: Any, what: str) -> Kw:
    """A metered series of one lane, (n,); DataError for several lanes, which are settled one by one."""
    out = np.asarray(values, dtype=np.float64)
    if out.ndim == 2 and out.shape[0] == 1:
        out = out[0]
    if out.ndim != 1:
        raise DataError(f"{what}: has shape {out.shape}; settle one lane at a time")
    return out


def generated_kwh(record: Record, asset: str, owner: str) -> Kw:
    """Metered generation of one asset, (n,) kWh. A store is refused: its discharge is no generation."""
    if asset in record.stored_kwh:
        raise InputError(
            f"{owner}: assets: {asset!r} is a store; a certificate is never minted from discharge. "
            "Name the asset that generates"
        )
    if asset not in record.asset_kw:
        known = ", ".join(a for a in record.asset_kw if a not in record.stored_kwh) or "none"
        raise DataError(f"{owner}: the record holds no meter of {asset!r}; metered are {known}")
    net = one_lane(record.asset_kw[asset], asset)
    return np.maximum(-net, 0.0) * record.timeline.step_h


def cycle_of(record: Record) -> str:
    """First and last day of a record, as the cycle of an entry."""
    t = record.timeline
    return f"{t.start.date()}/{t.when(t.n - 1).date()}"


def months_of(timeline: Timeline) -> list[tuple[str, Kw]]:
    """Each local month of a timeline in order as ('2024-03', mask (n,))."""
    ids = timeline.month_id
    return [(f"{m // 12 + 1970}-{m % 12 + 1:02d}", ids == m) for m in np.unique(ids).tolist()]


def priced(value: float | str, world: World, owner: str, key: str) -> Kw:
    """A price or factor over the world's timeline, (n,): one number, or the world's series of that name."""
    if not isinstance(value, str):
        return np.full(world.timeline.n, float(value))
    found = world.get(value)
    if found is None:
        raise InputError(
            f"{owner}: {key}: the site has no series {value!r}; it has {', '.join(world.series)}. Add it as a "
            "series of the site, or write a number"
        )
    out = one_lane(found, f"{owner}: {key}: series {value!r}")
    if not np.all(np.isfinite(out)):
        k = int(np.flatnonzero(~np.isfinite(out))[0])
        raise DataError(
            f"{owner}: {key}: series {value!r} is no number at {world.timeline.when(k)}; complete it"
        )
    return out


def believed(value: float | str, view: View) -> float | Kw:
    """The same over a view's horizon: one number, or what is believed of the series, (n,)."""
    return view.series(value) if isinstance(value, str) else float(value)


_KG_PER_KWH = {
    "kg/kwh": 1.0, "kg_per_kwh": 1.0, "kg_co2e_per_kwh": 1.0, "kg/mwh": 1e-3, "kg_per_mwh": 1e-3, "t/mwh": 1.0,
    "lb/kwh": KG_PER_LB, "lb_per_kwh": KG_PER_LB, "lb/mwh": KG_PER_LB / 1000, "lb_per_mwh": KG_PER_LB / 1000,
    "g/kwh": 1e-3, "g_per_kwh": 1e-3,
}  # fmt: skip


def emission_scale(value: float | str | None, world: World, owner: str, key: str) -> float:
    """What one unit of an emission factor is in kg/kWh; a number is written in kg/kWh, a series says its unit."""
    if not isinstance(value, str) or value not in world.series:
        return 1.0
    unit = world.series[value].unit
    scale = _KG_PER_KWH.get(unit.strip().lower().replace(" ", "").replace("co2e", "").replace("co2", ""))
    if scale is None:
        raise InputError(
            f"{owner}: {key}: series {value!r} has unit {unit!r}, which is no emission factor; give kg/kWh, "
            "kg/MWh, lb/kWh or lb/MWh"
        )
    return scale


# --- where it stands ---------------------------------------------------------------------------------------


def offers(place: Place) -> dict[str, Offer | None]:
    """What each asset of a place offers, by name; None where it cannot say before the first interval."""
    t = place.timeline
    view = View(
        timeline=t,
        k=0,
        n=t.n,
        belief=Foresight(place.world),
        asset_state={a.name: a.initial_state() for a in place.assets},
    )
    return {a.name: a.belief(view) for a in place.assets}


def makes(offer: Offer | None) -> bool:
    """Whether an offer generates without burning fuel: power that happens, out of the site."""
    return isinstance(offer, Given) and bool(np.any(np.asarray(offer.net_kw) < 0))


def deliverable_kwh(store: Store) -> float:
    """What a store holds at the start, as it would come out at the meter [kWh]."""
    above = store.energy_start_kwh - float(store.energy_min_kwh[0])
    return max(0.0, above) * store.discharge_efficiency_frac


def generators(
    names: tuple[str, ...], found: Mapping[str, Offer | None], renewable_fuel: bool
) -> tuple[tuple[str, ...], list[str]]:
    """Assets whose generation may be certified, and what is wrong with the names given.

    names: none = every asset that generates without fuel.
    """
    if not names:
        out = tuple(n for n, o in found.items() if makes(o))
        return out, ([] if out else ["assets: nothing behind this meter generates without fuel"])
    problems = []
    for name in names:
        offer = found.get(name)
        if name not in found:
            problems.append(f"assets: {name!r} is no asset here; there are {', '.join(found) or 'none'}")
        elif isinstance(offer, Store):
            problems.append(
                f"assets: {name!r} is a store; a certificate is never minted from discharge. Name the asset that "
                "generates"
            )
        elif isinstance(offer, Unit) and not renewable_fuel:
            problems.append(
                f"assets: {name!r} burns fuel; set renewable_fuel = true if its fuel is certified renewable, or "
                "leave it out"
            )
        elif isinstance(offer, Given) and not makes(offer):
            problems.append(f"assets: {name!r} generates nothing in this span; leave it out")
    return names, problems


# --- title: one claim per MWh ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Title:
    """A claim to a share of what an asset generates. use: what for ('rec', 'firm certificate', 'own use').
    first, until: [first, until), None = open."""

    owner: str
    asset: str
    use: str
    share_frac: float
    first: date | None = None
    until: date | None = None

    def holds(self, day: date) -> bool:
        """Whether it claims what is generated on `day`."""
        return (self.first is None or day >= self.first) and (self.until is None or day < self.until)


def titles_of(streams: Iterable[Any]) -> list[Title]:
    """Every title that the streams claim, also inside a contract (streams without `titles` claim none)."""
    return [t for s in streams for t in getattr(_bare(s), "titles", ())]


def _bare(stream: Any) -> Any:
    """The stream itself, where a contract is wrapped around it."""
    while hasattr(stream, "inner") and not hasattr(stream, "titles"):
        stream = stream.inner
    return stream


def contradictions(titles: Sequence[Title]) -> tuple[Finding, ...]:
    """Generation that is claimed more than once, one finding an asset, at the first day on which it is."""
    out = []
    for asset in dict.fromkeys(t.asset for t in titles):
        mine = [t for t in titles if t.asset == asset]
        days = sorted({t.first or date.min for t in mine})
        for day in days:
            held = [t for t in mine if t.holds(day)]
            share = sum(t.share_frac for t in held)
            if share > 1 + 1e-9:
                who = ", ".join(f"{t.owner} ({t.use}, {t.share_frac:.0%})" for t in held)
                since = "" if day == date.min else f" from {day}"
                out.append(
                    Finding(
                        "double_claim",
                        "error",
                        f"each MWh of {asset} has one title, but {share:.0%} of it is claimed{since}: {who}",
                        where=", ".join(dict.fromkeys(t.owner for t in held)),
                        count=len(held),
                        remedy=f"lower share_frac until the claims on {asset} come to at most 100 %",
                    )
                )
                break
    return tuple(out)


def refuse_double_claims(streams: Iterable[Any]) -> None:
    """ConflictError, naming owners and shares, where generation is claimed more than once."""
    titles = titles_of(streams)
    found = contradictions(titles)
    if found:
        owners = tuple(dict.fromkeys(t.owner for t in titles if any(t.owner in f.where for f in found)))
        raise ConflictError(
            "; ".join(f"{f.what}. {f.remedy[0].upper()}{f.remedy[1:]}" for f in found), owners=owners
        )


def claimed_kwh(streams: Iterable[Any], record: Record, world: World) -> dict[str, Kw]:
    """Generation by asset, (n,) kWh, to which the streams laid claim in a record; at most what was metered."""
    out: dict[str, Kw] = {}
    for s in map(_bare, streams):
        if hasattr(s, "claims"):
            for asset, kwh in s.claims(record, world).items():
                out[asset] = out.get(asset, np.zeros(record.timeline.n)) + kwh
    return out


def span_share(timeline: Timeline, title: Title) -> Kw:
    """Share that a title claims in each interval, (n,)."""
    day = timeline.local_date
    inside = np.ones(timeline.n, dtype=bool)
    if title.first is not None:
        inside &= day >= np.datetime64(title.first)
    if title.until is not None:
        inside &= day < np.datetime64(title.until)
    return np.where(inside, title.share_frac, 0.0)


# --- storage ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Allocation:
    """Where each kWh generated went, (n,) each.

    direct: used as it was made; stored: taken into the store; surplus: neither. delivered: stored green energy given
    back where it was wanted; released: given back where it was not. held_kwh: still in the store at the end, as it
    would come out. efficiency_frac: out over in.

    sum(generation) = sum(direct + surplus) + (sum(delivered + released) + held) / efficiency
    """

    direct_kwh: Kw
    stored_kwh: Kw
    surplus_kwh: Kw
    delivered_kwh: Kw
    released_kwh: Kw
    held_kwh: float
    efficiency_frac: float

    @property
    def lost_kwh(self) -> float:
        """Green energy that the store has lost on what it gave back [kWh]: load, for which nothing is sold."""
        out = float(self.delivered_kwh.sum() + self.released_kwh.sum())
        return out * (1 / self.efficiency_frac - 1)


def allocate(
    generation_kwh: Kw,
    charge_kwh: Kw,
    discharge_kwh: Kw,
    wanted_kwh: Kw,
    efficiency_frac: float,
    *,
    start_kwh: float = 0.0,
) -> Allocation:
    """Follow green energy through a store, first in first out.

    Generation serves what is wanted first, then the store's charging; other charging is grey. What is charged waits
    in line as efficiency x charge and leaves in the order in which it came; discharge beyond the line is grey. So what
    is delivered is never above min(efficiency x charged green, discharged) [storage allocation of granular
    certificates, EnergyTag Granular Certificate Scheme Standard]. start_kwh: grey energy in the store before, as it
    would come out. All arrays (n,), kWh at the meter.
    """
    if not 0 < efficiency_frac <= 1:
        raise InputError(f"round_trip_efficiency_frac: {efficiency_frac!r} should lie above 0 and up to 1")
    direct = np.minimum(generation_kwh, wanted_kwh)
    stored = np.minimum(charge_kwh, generation_kwh - direct)
    surplus = generation_kwh - direct - stored
    grey = (charge_kwh - stored) * efficiency_frac
    green = stored * efficiency_frac
    from .allocation_kernel import first_in_first_out

    given, held = first_in_first_out(
        green, grey, np.asarray(discharge_kwh, dtype=np.float64), float(start_kwh)
    )
    delivered = np.minimum(given, wanted_kwh - direct)
    return Allocation(
        direct, stored, surplus, delivered, given - delivered, float(held), float(efficiency_frac)
    )


def store_flows(record: Record, names: Sequence[str], owner: str) -> tuple[Kw, Kw]:
    """Metered charge and discharge of the stores together, (n,) kWh each."""
    n, h = record.timeline.n, record.timeline.step_h
    charge, discharge = np.zeros(n), np.zeros(n)
    for name in names:
        if name not in record.asset_kw:
            raise DataError(f"{owner}: stores: the record holds no meter of {name!r}")
        net = one_lane(record.asset_kw[name], name)
        charge += np.maximum(net, 0.0) * h
        discharge += np.maximum(-net, 0.0) * h
    return charge, discharge


# --- dated facts --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fact:
    """One dated row of a data file: its values, validity [valid_from, valid_until), source, and whether verified."""

    values: Mapping[str, Any]
    valid_from: date | None
    valid_until: date | None
    source: str
    verified: bool
    note: str = ""

    def holds(self, day: date) -> bool:
        """Whether it is in force on `day`."""
        after = self.valid_from is None or day >= self.valid_from
        return after and (self.valid_until is None or day < self.valid_until)


@cache
def facts(file: str, table: str) -> tuple[Fact, ...]:
    """Rows of `table` in data/environment/<file>.toml."""
    path = files("valuestack") / "data" / "environment" / f"{file}.toml"
    rows = tomllib.loads(path.read_text(encoding="utf-8"))[table]
    own = ("valid_from", "valid_until", "source", "verified", "note")
    return tuple(
        Fact(
            {k: v for k, v in r.items() if k not in own},
            r.get("valid_from"),
            r.get("valid_until"),
            r["source"],
            bool(r["verified"]),
            r.get("note", ""),
        )
        for r in rows
    )


def in_force(rows: Iterable[Fact], day: date) -> Fact | None:
    """The row in force on `day`, None if none is."""
    return next((r for r in rows if r.holds(day)), None)
