"""What an interruption costs the customer, by its length: a customer damage function, in pieces.

    C(d) = points(d) + usd_per_h d + sum of spoilage(d) + restart + usd_per_kwh x energy not served,   C(0) = 0

points runs from the momentary cost at 0 through the given points and on with the last slope; spoilage is nothing
until the hold time, then a step, or a ramp up to full_h (product that warms slowly). Dollars are as the source has
them, of the year it names.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib.resources import files
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from ...errors import InputError, UnknownKind
from ...timeline import Kw


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Spoilage(_Part):
    """Loss of product: nothing up to hold_h, `usd` from full_h on, a straight line between; no full_h = a step."""

    hold_h: float = Field(ge=0)
    usd: float = Field(ge=0)
    full_h: float | None = None

    @model_validator(mode="after")
    def _after_hold(self) -> Spoilage:
        if self.full_h is not None and self.full_h <= self.hold_h:
            raise ValueError(f"full_h = {self.full_h:g} must lie after hold_h = {self.hold_h:g}")
        return self


class DamageFunction(_Part):
    """Cost of one interruption [USD] by its length [h].

    momentary_usd: of any, however short; points: (hours, usd) of longer ones, whole cost of the event; usd_per_h and
    usd_per_kwh on top; restart_usd once where it lasts longer than restart_after_h. dollars_of: the year.
    """

    name: str = "damage"
    momentary_usd: float = Field(default=0.0, ge=0)
    points: tuple[tuple[float, float], ...] = ()
    usd_per_h: float = Field(default=0.0, ge=0)
    usd_per_kwh: float = Field(default=0.0, ge=0)
    spoilage: tuple[Spoilage, ...] = ()
    restart_usd: float = Field(default=0.0, ge=0)
    restart_after_h: float = Field(default=0.0, ge=0)
    dollars_of: int | None = None
    source: str = ""
    verified: bool = True

    @model_validator(mode="after")
    def _ascends(self) -> DamageFunction:
        problems, last_h, last_usd = [], 0.0, self.momentary_usd
        for i, (hours, usd) in enumerate(self.points):
            if hours < 0:
                problems.append(f"points.{i}: {hours:g} h; an outage lasts 0 hours or more, check the sign")
            elif hours <= last_h:
                problems.append(
                    f"points.{i}: {hours:g} h after {last_h:g} h; give hours that rise (0 is momentary_usd)"
                )
            if usd < last_usd:
                problems.append(
                    f"points.{i}: {usd:g} USD for {hours:g} h is less than {last_usd:g} USD for a shorter outage; "
                    "give the cost of the whole event"
                )
            last_h, last_usd = hours, usd
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def cost_usd(self, hours: ArrayLike, unserved_kwh: ArrayLike = 0.0) -> Kw:
        """Cost of interruptions of `hours`, same shape. Errors: InputError for hours or energy below zero.

        >>> DamageFunction(momentary_usd=100, points=((1.0, 500.0),), usd_per_kwh=2).cost_usd([0, 0.5, 2], 10.0)
        array([  0., 320., 920.])
        """
        d, kwh = np.asarray(hours, dtype=float), np.asarray(unserved_kwh, dtype=float)
        for what, values in (("hours", d), ("unserved_kwh", kwh)):
            if not (values >= 0).all():
                raise InputError(
                    f"{self.name}: {what} = {values.min():g}; an outage lasts 0 hours or more and leaves 0 kWh or more "
                    "unserved; check the sign"
                )
        at = np.array([0.0, *(h for h, _ in self.points)])
        usd = np.array([self.momentary_usd, *(u for _, u in self.points)])
        slope = (usd[-1] - usd[-2]) / (at[-1] - at[-2]) if at.size > 1 else 0.0
        total = np.interp(d, at, usd) + slope * np.maximum(d - at[-1], 0.0) + self.usd_per_h * d
        for s in self.spoilage:
            if s.full_h is None:
                total = total + np.where(d >= s.hold_h, s.usd, 0.0)
            else:
                total = total + s.usd * np.clip((d - s.hold_h) / (s.full_h - s.hold_h), 0.0, 1.0)
        total = total + np.where(d > self.restart_after_h, self.restart_usd, 0.0) + self.usd_per_kwh * kwh
        return np.asarray(np.where(d > 0, total, 0.0))

    @property
    def blip_usd(self) -> float:
        """Cost of the shortest interruption: while engines start, or a momentary one."""
        spoilt = sum(s.usd for s in self.spoilage if s.hold_h == 0 and s.full_h is None)
        return self.momentary_usd + spoilt + (self.restart_usd if self.restart_after_h == 0 else 0.0)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Where its figures come from."""
        out = []
        if not self.verified:
            out.append(f"damage: {self.name}: {self.source}; not verified")
        if self.dollars_of is not None:
            out.append(f"damage: {self.name}: in dollars of {self.dollars_of}, not carried to another year")
        if len(self.points) > 0:
            out.append(
                f"damage: {self.name}: beyond {self.points[-1][0]:g} h the cost goes on with its last slope"
            )
        return tuple(out)


Damage = Annotated[
    Annotated[str, Tag("name")] | Annotated[DamageFunction, Tag("function")],
    Discriminator(lambda v: "name" if isinstance(v, str) else "function"),
]


def shipped_damages() -> Sequence[str]:
    """Names of the damage functions that come with the library."""
    folder = files("valuestack").joinpath("data", "damage")
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))


def damage_of(written: str | DamageFunction, where: str = "damage") -> DamageFunction:
    """A damage function, or the shipped one of this name. Errors: UnknownKind with near names."""
    if isinstance(written, DamageFunction):
        return written
    if written not in shipped_damages():
        raise UnknownKind("damage function", written, shipped_damages(), where=where)
    text = files("valuestack").joinpath("data", "damage", f"{written}.toml").read_text(encoding="utf-8")
    try:
        return DamageFunction.model_validate(tomllib.loads(text))
    except ValidationError as e:
        raise InputError.collect(
            f"data/damage/{written}.toml", [f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in e.errors()]
        ) from e
