"""Power quality: what sags and swells cost, with and without ride-through.

An event of remaining voltage v for a time t trips the process if v lies below the sag curve at t, or above the swell
curve. Ride-through that can carry the load for t turns it into an event as long as its transfer. A trip costs what the
damage function says of the shortest interruption. Without a list of events nothing is valued, and that is said.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from math import inf
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from ...dispatch import Record, View, World
from ...errors import InputError
from ...ledger import Entry
from ...terms import Term
from ..stream import Place
from .backing import gather
from .critical import CriticalLoad
from .damage import Damage, damage_of


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Curve(BaseModel):
    """What equipment must ride through. sag: (up to seconds, least voltage) rising; swell: (up to seconds, highest
    voltage); shares of nominal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    what: str
    sag: tuple[tuple[float, float], ...]
    swell: tuple[tuple[float, float], ...]
    source: str
    verified: bool

    def tolerates(self, voltage_frac: float, duration_s: float) -> bool:
        """Whether equipment that meets the curve rides through an event."""
        if duration_s <= 0:
            return True
        least = next((v for upto, v in self.sag if duration_s <= upto), 0.0)
        most = next((v for upto, v in self.swell if duration_s <= upto), inf)
        return least <= voltage_frac <= most


def curve(name: Literal["itic", "semi-f47"]) -> Curve:
    """A shipped curve."""
    path = files("valuestack").joinpath("data", "power_quality", f"{name}.toml")
    return Curve.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))


class Event(_Part):
    """A sag or swell: voltage that remains, as a share of nominal (0 = an interruption), how long, how often a year."""

    voltage_frac: float = Field(ge=0, le=10)
    duration_s: float = Field(gt=0, le=60)
    per_y: float = Field(default=1.0, ge=0)


class RideThrough(_Part):
    """What carries the load through an event. kw: its power; none = that of the site's stores. hold_s: for how long;
    transfer_s: the load sees the event for so long before it takes over (0 = always in line)."""

    kw: float | None = Field(default=None, gt=0)
    hold_s: float = Field(gt=0)
    transfer_s: float = Field(default=0.0, ge=0)


@dataclass(frozen=True, slots=True)
class Trips:
    """Trips a year with and without ride-through, and what they cost [USD a year]; None where nothing is known."""

    events_per_y: float
    without_per_y: float
    with_per_y: float
    without_usd_per_y: float
    with_usd_per_y: float

    @property
    def avoided_usd_per_y(self) -> float:
        """What ride-through avoids in a year."""
        return self.without_usd_per_y - self.with_usd_per_y


class PowerQuality(_Part):
    """Sags and swells of a site, priced.

    events: what a monitor saw, or rates by class; observed_y: years in which the monitor saw them, each event then
    counts per_y / observed_y. tolerance: the curve that the equipment meets. damage: its cost of the shortest
    interruption is the cost of a trip. critical: what ride-through must carry.
    """

    kind: ClassVar[str] = "power_quality"
    layer: ClassVar[int] = 2
    certainty: ClassVar[str] = "modelled"
    name: str = "power quality"
    events: tuple[Event, ...] = ()
    observed_y: float = Field(default=1.0, gt=0)
    tolerance: Literal["itic", "semi-f47"] = "itic"
    damage: Damage
    critical: CriticalLoad
    ride_through: RideThrough | None = None
    _store_kw: float | None = PrivateAttr(default=None)
    _peak_kw: float | None = PrivateAttr(default=None)

    @field_validator("damage")
    @classmethod
    def _known(cls, value: Any) -> Any:
        try:
            damage_of(value, "")
        except InputError as e:
            raise ValueError(str(e)) from e
        return value

    @model_validator(mode="after")
    def _costs_something(self) -> PowerQuality:
        if self.events and damage_of(self.damage).blip_usd == 0:
            raise ValueError(
                f"damage: {damage_of(self.damage).name} has no cost of a short interruption; give momentary_usd or "
                "restart_usd, or leave the events out"
            )
        return self

    def bind(self, place: Place) -> PowerQuality:
        """Made ready for a site: its critical load, and the power of its stores where they ride through."""
        need = self.critical.of(place.world, self.name)
        backing = gather(place.timeline, place.assets, place.world, need)
        bound = self.model_copy()
        bound._store_kw, bound._peak_kw = backing.store_kw, float(need.max())
        if self.ride_through is not None:
            bound._check_power()
        return bound

    def _power_kw(self) -> float:
        assert self.ride_through is not None
        return self.ride_through.kw if self.ride_through.kw is not None else float(self._store_kw or 0.0)

    def _check_power(self) -> None:
        can = self._power_kw()
        if can <= 0:
            raise InputError(
                f"{self.name}: ride_through: the site has no store; give kw of a UPS, or leave it out"
            )

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What was taken, and what is not valued."""
        n = self.name
        if not self.events:
            return (f"{n}: no list of sags and no rates are given; power quality is not valued",)
        made = curve(self.tolerance)
        out = [f"{n}: equipment rides through what {made.name} asks ({made.source})"]
        out += [f"{n}: {a}" for a in damage_of(self.damage).assumptions]
        if self.ride_through is not None and self._peak_kw is not None:
            can = self._power_kw()
            if can < self._peak_kw:
                out.append(
                    f"{n}: ride-through of {can:,.0f} kW does not carry {self._peak_kw:,.0f} kW; it is not counted"
                )
        return tuple(out)

    def trips(self) -> Trips | None:
        """Trips and their cost; None where no events are given. Errors: InputError if not bound to its site."""
        if not self.events:
            return None
        if self._peak_kw is None:
            raise InputError(f"{self.name}: bind it to its site first: power_quality.bind(place)")
        made, usd = curve(self.tolerance), damage_of(self.damage).blip_usd
        r, rates = self.ride_through, [e.per_y / self.observed_y for e in self.events]
        helps = r is not None and self._power_kw() >= self._peak_kw - 1e-9
        bare = with_it = 0.0
        for e, rate in zip(self.events, rates, strict=True):
            seen_s = e.duration_s
            if helps and r is not None and e.duration_s <= r.hold_s:
                seen_s = min(seen_s, r.transfer_s)
            bare += rate * (not made.tolerates(e.voltage_frac, e.duration_s))
            with_it += rate * (not made.tolerates(e.voltage_frac, seen_s))
        return Trips(sum(rates), bare, with_it, bare * usd, with_it * usd)

    # --- ValueStream -----------------------------------------------------------------------------

    def initial_state(self) -> Any:
        """Nothing is remembered."""
        return None

    def observe(self, state: Any, record: Record, k: int) -> Any:
        """Nothing to remember."""
        return state

    def terms(self, view: View) -> Sequence[Term]:
        """None: a sag is over before any dispatch; the power that rides through it is the inverter's own."""
        return ()

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        """Trips avoided over the record: modelled. Nothing where no events are given."""
        found, t = self.trips(), record.timeline
        if found is None or self.ride_through is None:
            return
        years, avoided = t.hours / 8760, found.without_per_y - found.with_per_y
        yield Entry(
            f"{t.start.date()}/{t.when(t.n - 1).date()}",
            self.layer,
            self.name,
            "trips avoided",
            "owner",
            avoided * years,
            "trips",
            damage_of(self.damage).blip_usd,
            found.avoided_usd_per_y * years,
            certainty=self.certainty,
            status="provisional",
            reason=f"{found.events_per_y:g} events a year, of which {found.without_per_y:g} trip the process by "
            f"{curve(self.tolerance).name} and {found.with_per_y:g} with ride-through",
        )
