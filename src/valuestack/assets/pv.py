"""Photovoltaics: what is generated, from a metered or modelled series, or from weather by pvlib.

From weather (the `pv` extra): PVWatts DC and AC models with Perez transposition and the Faiman cell temperature,
as pvlib implements them (pvlib.readthedocs.io): dc = capacity x Epoa/1000 x (1 + gamma (Tc - 25)) x (1 - loss).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from ..dispatch import Record, View, World
from ..errors import DataError, InputError
from ..flows import Backup, Given
from ..ledger import Entry
from ..timeline import Kw, Timeline
from ._schedule import IntervalFile, typical_year

# PVWatts defaults (Dobos, PVWatts Version 5 Manual, NREL/TP-6A20-62641, 2014).
INVERTER_EFFICIENCY_FRAC = 0.96
DC_PER_AC = 1.1


class Pv(BaseModel):
    """Solar behind the meter.

    Give one of: `file`, generation in kW or kWh by interval (read like a meter file); `weather`, a SAM CSV weather
    year, with dc_kw, tilt_deg, azimuth_deg (180 = south); or `yield_kwh_per_kw`, what each month gives per kW of
    dc_kw, laid on the days by the sun's path at latitude_deg, longitude_deg (east positive), with days that differ by
    day_sd_frac (seeded). scale multiplies the series. ac_kw: inverter;
    loss_frac: wiring, soiling, mismatch; curtailable: generation may be cut.
    inverter_kva: apparent power of an inverter that also gives vars, beside the power, inside its circle.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: ClassVar[str] = "pv"
    name: str = "pv"
    file: str | None = None
    weather: str | None = None
    yield_kwh_per_kw: tuple[float, ...] | None = Field(default=None, min_length=12, max_length=12)
    yield_source: str = ""
    latitude_deg: float | None = Field(default=None, ge=-66, le=66)
    longitude_deg: float | None = Field(default=None, ge=-180, le=180)
    day_sd_frac: float = Field(default=0.0, ge=0, le=1)
    seed: int = Field(default=0, ge=0)
    scale: float = Field(default=1.0, gt=0)
    dc_kw: float | None = Field(default=None, gt=0)
    ac_kw: float | None = Field(default=None, gt=0)
    tilt_deg: float = Field(default=20.0, ge=0, le=90)
    azimuth_deg: float = Field(default=180.0, ge=0, le=360)
    loss_frac: float = Field(default=0.14, ge=0, lt=1)
    temperature_per_c: float = -0.0037
    curtailable: bool = False
    inverter_kva: float | None = Field(default=None, gt=0)
    _kept: dict[int, Kw] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _one_source(self) -> Pv:
        if sum(x is not None for x in (self.file, self.weather, self.yield_kwh_per_kw)) != 1:
            raise ValueError(
                "give one of `file` (generation), `weather` (a weather year) or `yield_kwh_per_kw` (12 months)"
            )
        if self.file is None and self.dc_kw is None:
            raise ValueError("dc_kw: missing; weather and yields need the size of the array")
        if self.yield_kwh_per_kw is not None:
            if self.latitude_deg is None or self.longitude_deg is None:
                raise ValueError("latitude_deg and longitude_deg: missing; the sun's path needs them")
            if min(self.yield_kwh_per_kw) < 0:
                raise ValueError("yield_kwh_per_kw: a month's yield is below zero")
        return self

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Defaults taken."""
        if self.yield_kwh_per_kw is not None:
            source = self.yield_source or "no source given (not verified)"
            return (
                f"{self.name}: {sum(self.yield_kwh_per_kw):,.0f} kWh a year and kW, month by month ({source}), laid "
                f"on the hours by the clear sun's path; days differ by {self.day_sd_frac:.0%} (seed {self.seed})",
            )
        if self.weather is None:
            return ()
        inverter = "" if self.ac_kw is not None else f" of dc_kw / {DC_PER_AC:g}"
        return (
            f"{self.name}: generation modelled from weather by pvlib, tilt {self.tilt_deg:g} deg, azimuth "
            f"{self.azimuth_deg:g} deg, losses {self.loss_frac:.0%}, an inverter{inverter} with "
            f"{INVERTER_EFFICIENCY_FRAC:.0%} efficiency, a typical year laid on the study's dates",
        )

    def initial_state(self) -> None:
        """Nothing is remembered."""
        return

    def generation_kw(self, timeline: Timeline) -> Kw:
        """Generation over a timeline, (n,), >= 0."""
        key = hash((timeline.start, timeline.n, timeline.step_s, timeline.tz))
        if key not in self._kept:
            if self.yield_kwh_per_kw is not None:
                made = self._from_yield(timeline)
            else:
                made = self._series.on(timeline) if self.file is not None else self._from_weather(timeline)
            made = np.maximum(made * self.scale, 0.0)
            self._kept[key] = made if self.ac_kw is None else np.minimum(made, self.ac_kw)
        return self._kept[key]

    def belief(self, view: View) -> Given:
        """Generation as given, over the view's horizon."""
        whole = self.generation_kw(view.timeline)
        made = whole[view.k : view.k + view.n]
        if self.inverter_kva is not None and float(made.max(initial=0.0)) > self.inverter_kva:
            raise DataError(
                f"{self.name}: generates {float(made.max()):,.1f} kW, more than inverter_kva = "
                f"{self.inverter_kva:g}; give the inverter's rating, or cap the series with ac_kw"
            )
        return Given(self.name, -made, curtailable=self.curtailable, rating_kva=self.inverter_kva)

    def with_size(self, dc_kw: float) -> Pv:
        """The same array in another size; inverter and series scale with it. Errors: InputError without dc_kw."""
        if self.dc_kw is None:
            raise InputError(f"{self.name}: dc_kw is not given, so its series has no size; give dc_kw")
        by = dc_kw / self.dc_kw
        change = {
            "dc_kw": dc_kw,
            "ac_kw": None if self.ac_kw is None else self.ac_kw * by,
            "inverter_kva": None if self.inverter_kva is None else self.inverter_kva * by,
            "scale": self.scale * (by if self.file is not None else 1.0),
        }
        return Pv.model_validate({**self.model_dump(), **change})

    def step(self, state: Any, setpoint_kw: Kw, world: World, k: int) -> tuple[Any, Kw]:
        """It generates what the sun gives; a setpoint can only cut it."""
        made = -self.generation_kw(world.timeline)[k]
        power = (
            np.maximum(setpoint_kw, made)
            if self.curtailable
            else np.full_like(np.asarray(setpoint_kw, dtype=float), made)
        )
        return state, np.minimum(power, 0.0)

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        """No cost of operation by the kWh."""
        return []

    def backup(self, state: Any) -> Backup | None:
        """Nothing that can be counted on."""
        return None

    # --- where generation comes from -------------------------------------------------------------

    @cached_property
    def _series(self) -> IntervalFile:
        return IntervalFile(self.name, str(self.file), ("generation", "received"))

    def _from_yield(self, timeline: Timeline) -> Kw:
        """The month's yield spread by the clear sun on the array; every day of a month has its own factor."""
        sun = clear_sun_frac(
            timeline,
            float(self.latitude_deg or 0),
            float(self.longitude_deg or 0),
            self.tilt_deg,
            self.azimuth_deg,
        )
        days = timeline.day - timeline.day[0]
        rng = np.random.default_rng(self.seed)
        sun = sun * np.clip(rng.normal(1.0, self.day_sd_frac, int(days[-1]) + 1), 0.05, 1.5)[days]
        out = np.zeros(timeline.n)
        most = self.ac_kw if self.ac_kw is not None else float(self.dc_kw or 0.0) / DC_PER_AC
        for month in np.unique(timeline.month_id):
            at = timeline.month_id == month
            first, last = (np.datetime64(int(month) + k, "M").astype("datetime64[D]") for k in (0, 1))
            # A month that the span cuts yields its part of the month.
            part = min(np.unique(timeline.day[at]).size / float((last - first).astype(int)), 1.0)
            kwh = float(self.dc_kw or 0.0) * (self.yield_kwh_per_kw or ())[int(month) % 12] * part
            made = sun[at]
            for _ in range(
                20
            ):  # what the inverter cuts is made in other hours, so that the month yields what it does
                total = float(made.sum()) * timeline.step_h
                if total <= 0 or abs(kwh / total - 1) < 1e-9:
                    break
                made = np.minimum(made * (kwh / total), most)
            out[at] = made
        return out

    def _from_weather(self, timeline: Timeline) -> Kw:
        from ..sources.weather import Weather, plane_of_array

        year = Weather().fetch(str(self.weather))
        try:
            plane, cell = plane_of_array(year, self.tilt_deg, self.azimuth_deg)
        except ImportError as e:
            raise DataError(
                f"{self.name}: modelling from weather needs pvlib; install valuestack[pv], or give `file`"
            ) from e
        dc = (
            float(self.dc_kw or 0.0)
            * plane
            / 1000
            * (1 + self.temperature_per_c * (cell - 25))
            * (1 - self.loss_frac)
        )
        ac = self.ac_kw if self.ac_kw is not None else float(self.dc_kw or 0.0) / DC_PER_AC
        out = np.clip(INVERTER_EFFICIENCY_FRAC * dc, 0.0, ac)
        return typical_year(out, year.step_h, year.utc_offset_h, timeline)


def clear_sun_frac(
    timeline: Timeline, latitude_deg: float, longitude_deg: float, tilt_deg: float, azimuth_deg: float
) -> Kw:
    """Sun on a plane under a clear sky as a share of the solar constant, (n,), at the middle of each interval.

    Declination by Cooper, hour angle by the equation of time, beam through air mass m as 0.7^(m^0.678) (Meinel),
    diffuse a tenth of it: Duffie and Beckman, Solar Engineering of Thermal Processes, ch. 1 and 2.
    """
    middle_s = timeline.utc_s + timeline.step_s / 2
    utc_day = middle_s / 86400.0
    day = (
        timeline.day - timeline.local_date.astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64)
    ) + 1.0
    turn = 2 * np.pi * (day - 1) / 365.0
    equation_h = (
        229.2
        / 60
        * (
            0.000075
            + 0.001868 * np.cos(turn)
            - 0.032077 * np.sin(turn)
            - 0.014615 * np.cos(2 * turn)
            - 0.04089 * np.sin(2 * turn)
        )
    )
    solar_h = (utc_day % 1.0) * 24 + longitude_deg / 15 + equation_h
    hour_angle = np.radians(15 * (solar_h - 12))
    declination = np.radians(23.45) * np.sin(2 * np.pi * (284 + day) / 365)
    phi, beta, gamma = np.radians(latitude_deg), np.radians(tilt_deg), np.radians(azimuth_deg - 180)
    height = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(hour_angle)
    plane = (
        np.sin(declination) * np.sin(phi) * np.cos(beta)
        - np.sin(declination) * np.cos(phi) * np.sin(beta) * np.cos(gamma)
        + np.cos(declination) * np.cos(phi) * np.cos(beta) * np.cos(hour_angle)
        + np.cos(declination) * np.sin(phi) * np.sin(beta) * np.cos(gamma) * np.cos(hour_angle)
        + np.cos(declination) * np.sin(beta) * np.sin(gamma) * np.sin(hour_angle)
    )
    up = height > 0.02
    mass = 1 / np.where(up, height, 1.0)
    beam = 0.7 ** (mass**0.678)
    out = np.where(up, beam * np.maximum(plane, 0.0) + 0.1 * beam * height * (1 + np.cos(beta)) / 2, 0.0)
    return np.asarray(out, dtype=np.float64)
