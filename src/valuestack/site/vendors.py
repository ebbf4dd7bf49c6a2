"""What things cost: prices by size and options that somebody quoted, as a dated file that the user writes.

A price is a line: usd + usd_per_kw x kW + usd_per_kwh x kWh. An option is a thing as it is sold: its power, energy
and price stand, and everything that a plan or a warranty must know of it. Each file is of a day and says where its
figures come from; what was not checked is shown as such wherever it is used.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..assets.battery import Battery
from ..assets.wear.warranty import Warranty
from ..errors import InputError
from .files import DATA, explain, shipped

GENERIC = "generic"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, str_strip_whitespace=True)


class Price(_Part):
    """What a kind of asset costs at any size: usd + usd_per_kw x kW + usd_per_kwh x kWh, installed.

    asset: the one asset of the site that it is for; none = any of its kind. max_kw, max_kwh: the largest that can be
    had or that fits. om_frac_per_y: of that price a year, in money of the first year. technology: whose dated
    investment credit it may take. life_y: after so many years what is priced by the kWh is bought again at the same
    nominal price. asset_values: as a site would write the asset (efficiencies, limits), where it has none of its own;
    written as a table `asset`.
    """

    kind: Literal["battery", "pv", "generator"]
    name: str | None = None
    usd: float = Field(default=0.0, ge=0)
    usd_per_kw: float = Field(default=0.0, ge=0)
    usd_per_kwh: float = Field(default=0.0, ge=0)
    om_frac_per_y: float = Field(default=0.0, ge=0, lt=1)
    max_kw: float | None = Field(default=None, gt=0)
    max_kwh: float | None = Field(default=None, gt=0)
    life_y: int | None = Field(default=None, ge=1)
    technology: Literal["storage", "solar"] | None = None
    asset: dict[str, Any] = Field(default_factory=dict)
    source: str
    verified: bool = False

    @model_validator(mode="after")
    def _has_a_price(self) -> Price:
        if self.usd + self.usd_per_kw + self.usd_per_kwh == 0:
            raise ValueError(f"a price of {self.kind} needs usd, usd_per_kw or usd_per_kwh")
        if self.kind != "battery" and self.usd_per_kwh:
            raise ValueError(f"usd_per_kwh: a {self.kind} has no energy of its own")
        return self

    def capex_usd(self, kw: float, kwh: float = 0.0) -> float:
        """Price at a size; nothing costs nothing."""
        if kw <= 0 and kwh <= 0:
            return 0.0
        return self.usd + self.usd_per_kw * kw + self.usd_per_kwh * kwh

    @property
    def said(self) -> str:
        """The line in words."""
        parts = [f"${self.usd_per_kw:,.0f}/kW"] if self.usd_per_kw else []
        parts += [f"${self.usd_per_kwh:,.0f}/kWh"] if self.usd_per_kwh else []
        parts += [f"${self.usd:,.0f}"] if self.usd else []
        om = f", {self.om_frac_per_y:.1%} of it a year for upkeep" if self.om_frac_per_y else ""
        return " + ".join(parts) + om


class Option(_Part):
    """A battery as somebody sells it.

    usd: installed, all of it; om_usd_per_y. units_max: up to so many of them are tried. efficiencies, window,
    warranty, protocols, telemetry_s, response_s: as of a battery in a site file. life_y: calendar life, after which
    replacement_usd_per_kwh x energy is due. technology: none = no investment credit. source: quote, sheet, date.
    """

    name: str
    vendor: str = ""
    power_kw: float = Field(gt=0)
    energy_kwh: float = Field(gt=0)
    usd: float = Field(gt=0)
    om_usd_per_y: float = Field(default=0.0, ge=0)
    units_max: int = Field(default=1, ge=1, le=50)
    round_trip_efficiency_frac: float | None = Field(default=None, gt=0, le=1)
    charge_efficiency_frac: float | None = Field(default=None, gt=0, le=1)
    discharge_efficiency_frac: float | None = Field(default=None, gt=0, le=1)
    soc_min_frac: float = Field(default=0.0, ge=0, lt=1)
    soc_max_frac: float = Field(default=1.0, gt=0, le=1)
    idle_kw: float = Field(default=0.0, ge=0)
    replacement_usd_per_kwh: float = Field(default=0.0, ge=0)
    wear_model: str = "lfp-sam"
    life_y: int | None = Field(default=None, ge=1)
    technology: Literal["storage"] | None = "storage"
    warranty: Warranty = Warranty()
    protocols: tuple[str, ...] = ()
    telemetry_s: float | None = Field(default=None, gt=0)
    response_s: float | None = Field(default=None, ge=0)
    valid_until: date | None = None
    source: str
    verified: bool = False

    @model_validator(mode="after")
    def _is_a_battery(self) -> Option:
        self.battery("battery")
        return self

    def battery(self, name: str, units: int = 1) -> Battery:
        """The asset that so many of them make, under a name."""
        return Battery(
            name=name,
            power_kw=self.power_kw * units,
            energy_kwh=self.energy_kwh * units,
            round_trip_efficiency_frac=self.round_trip_efficiency_frac,
            charge_efficiency_frac=self.charge_efficiency_frac,
            discharge_efficiency_frac=self.discharge_efficiency_frac,
            soc_min_frac=self.soc_min_frac,
            soc_max_frac=self.soc_max_frac,
            idle_kw=self.idle_kw * units,
            replacement_usd_per_kwh=self.replacement_usd_per_kwh,
            wear_model=self.wear_model,
            warranty=self.warranty,
            protocols=self.protocols,
            telemetry_s=self.telemetry_s,
            response_s=self.response_s,
        )


class Vendors(_Part):
    """A file of prices and options. as_of: the day they are of; valid_until: the last day they hold; source: of all
    figures that name none of their own."""

    name: str = "vendors"
    as_of: date
    valid_until: date | None = None
    source: str = ""
    verified: bool = False
    prices: tuple[Price, ...] = ()
    options: tuple[Option, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Vendors:
        names = [o.name for o in self.options]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"options: {', '.join(map(repr, twice))} stand twice")
        lines = [(p.kind, p.name) for p in self.prices]
        twice = sorted({f"{k} {n or ''}".strip() for k, n in lines if lines.count((k, n)) > 1})
        if twice:
            raise ValueError(f"prices: two lines for {', '.join(twice)}; keep one")
        if self.valid_until is not None and self.valid_until < self.as_of:
            raise ValueError(f"valid_until {self.valid_until} is before as_of {self.as_of}")
        return self

    def price(self, kind: str, name: str) -> Price | None:
        """The line of an asset: its own, else that of its kind."""
        own = [p for p in self.prices if p.kind == kind and p.name == name]
        any_of = [p for p in self.prices if p.kind == kind and p.name is None]
        return next(iter([*own, *any_of]), None)

    def stale(self, on: date) -> tuple[str, ...]:
        """What no longer holds on a day, in words."""
        out = []
        if self.valid_until is not None and self.valid_until < on:
            out.append(f"{self.name}: its figures held until {self.valid_until}; it is {on}")
        out += [
            f"{o.name}: the quote held until {o.valid_until}; it is {on}"
            for o in self.options
            if o.valid_until is not None and o.valid_until < on
        ]
        return tuple(out)


def load_vendors(written: str | Path | Mapping[str, Any]) -> Vendors:
    """Vendors from a TOML file, the name of a shipped file, or a mapping of the same shape.

    Errors: InputError that lists every problem with its key.
    """
    where = "vendors" if isinstance(written, Mapping) else str(written)
    if isinstance(written, Mapping):
        values: dict[str, Any] = dict(written)
    else:
        path = Path(written)
        if not path.is_file():
            known = shipped("vendors", ".toml")
            if str(written) not in known:
                raise InputError(
                    f"{written}: no such file of vendor options; write one (see the how-to on sizing), or name a "
                    f"shipped one: {', '.join(known)}"
                )
            path = known[str(written)]
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError) as e:
            raise InputError(f"{path}: cannot be read ({e}); check the path and that it is UTF-8 text") from e
        except tomllib.TOMLDecodeError as e:
            raise InputError(f"{path}: is not valid TOML: {e}") from e
    try:
        return Vendors.model_validate(values)
    except ValidationError as e:
        raise InputError.collect(where, explain(e, Vendors)) from e


def generic() -> Vendors:
    """The shipped prices."""
    return load_vendors(DATA / "vendors" / f"{GENERIC}.toml")
