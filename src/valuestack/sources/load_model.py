"""Load model: a documented, seeded description of a plant, turned into the readings of a meter.

A load model is a TOML file: a base load, shifts, batch processes, weather-driven cooling, holidays. It
is run at one minute and averaged to the meter's interval, so that short spikes fall across interval
bounds as they do in life. The same file gives the same readings on every machine.

    load(t) = base + sum of shifts(t) + sum of batches(t) + cooling(t)          [kW]

It stands in for metered data in examples and tests and says so wherever it is used.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import InputError
from ..finding import Finding
from ..timeline import Ints, Kw, Timeline, zone
from .source import METERED, Channel, MeterTable

Frac = Annotated[float, Field(ge=0, le=1)]
Kws = Annotated[float, Field(ge=0)]
Month = Annotated[int, Field(ge=1, le=12)]
Months = Annotated[tuple[Month, ...], Field(min_length=1)]
ALL_MONTHS: tuple[int, ...] = tuple(range(1, 13))
HourOfDay = Annotated[float, Field(ge=0, le=24)]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[str, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Base(_Part):
    """What never stops. ripple_frac: standard deviation of the slow ripple on all steady loads."""

    kw: Kws
    ripple_frac: Frac = 0.0
    ripple_min: float = Field(default=30.0, ge=1, description="time between independent ripples [min]")


class Shift(_Part):
    """A steady load while people work: `kw` from `from_h` to `to_h` (24 = midnight; may run past it), in `months`."""

    name: str
    kw: Kws
    days: tuple[Weekday, ...]
    from_h: HourOfDay
    to_h: HourOfDay
    ramp_min: float = Field(default=0.0, ge=0, le=240)
    day_sd_frac: Frac = 0.0
    months: Months = ALL_MONTHS


class Batch(_Part):
    """A process that comes in heats: `kw` for duration_min, `hold_kw` for pause_min, again until `to_h`.

    *_sd_frac: relative standard deviation from heat to heat; start_sd_min: of the first start of a day;
    idle_day_frac: share of working days on which it does not run. months: of the year in which it runs.
    """

    name: str
    kw: Kws
    duration_min: float = Field(gt=0, le=720)
    pause_min: float = Field(ge=0, le=1440)
    days: tuple[Weekday, ...]
    from_h: HourOfDay
    to_h: HourOfDay
    hold_kw: Kws = 0.0
    kw_sd_frac: Frac = 0.0
    duration_sd_frac: Frac = 0.0
    pause_sd_frac: Frac = 0.0
    start_sd_min: float = Field(default=0.0, ge=0, le=240)
    idle_day_frac: Frac = 0.0
    months: Months = ALL_MONTHS


class Cooling(_Part):
    """Weather-driven load: kw x season(day) x daily(hour); both are raised cosines, 1 at their peak."""

    kw: Kws
    hottest_day: int = Field(default=205, ge=1, le=366, description="day of the year")
    hottest_h: HourOfDay = 16.0
    winter_frac: Frac = 0.0
    night_frac: Frac = 0.5


class Calendar(_Part):
    """Days on which no shift and no batch runs. shutdowns: first and last day of each."""

    holidays: tuple[date, ...] = ()
    shutdowns: tuple[tuple[date, date], ...] = ()

    @model_validator(mode="after")
    def _ordered(self) -> Calendar:
        for first, last in self.shutdowns:
            if last < first:
                raise ValueError(f"shutdown {first} .. {last} ends before it begins")
        return self


class LoadModelFile(_Part):
    """A load model as written. sources: for each number where it comes from, by its place in the file
    ('base.kw', 'batches.furnace.kw'); what has no published source says that it is a choice."""

    name: str
    what: str
    tz: str
    start: date
    days: int = Field(ge=1, le=3660)
    step_h: float = 0.25
    seed: int = Field(ge=0)
    base: Base
    shifts: tuple[Shift, ...] = ()
    batches: tuple[Batch, ...] = ()
    cooling: Cooling | None = None
    calendar: Calendar = Calendar()
    sources: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _sourced(self) -> LoadModelFile:
        places = set(self.places())
        stray = sorted(set(self.sources) - places)
        if stray:
            raise ValueError(f"sources names no number of this file: {', '.join(stray)}")
        missing = sorted(places - set(self.sources))
        if missing:
            raise ValueError(f"sources lacks where these come from: {', '.join(missing)}")
        return self

    def places(self) -> list[str]:
        """Every group of numbers that must say where it comes from."""
        return (
            ["base"]
            + [f"shifts.{s.name}" for s in self.shifts]
            + [f"batches.{b.name}" for b in self.batches]
            + (["cooling"] if self.cooling else [])
            + ["calendar"]
        )

    @property
    def timeline(self) -> Timeline:
        """The meter's intervals: `days` local days from `start`."""
        last = self.start + timedelta(days=self.days)
        a, b = (
            Timeline(start=f"{d.isoformat()}T00:00", step_h=self.step_h, n=1, tz=self.tz)
            for d in (self.start, last)
        )
        hours = (b.start.timestamp() - a.start.timestamp()) / 3600
        return Timeline(start=a.start, step_h=self.step_h, n=round(hours / self.step_h), tz=self.tz)


@dataclass(frozen=True, slots=True, eq=False)
class _Clock:
    """The minutes of a run on the wall clock."""

    minute_of_day: Ints
    day: Ints  # days since 1970, local
    weekday: Ints
    first: int
    days: int
    works: np.ndarray[Any, Any]  # (days,) bool


def _clock(model: LoadModelFile) -> _Clock:
    t = model.timeline
    minutes = Timeline(start=t.start, step_h=1 / 60, n=round(t.hours * 60), tz=t.tz)
    day = minutes.day
    first, days = int(day[0]), int(day[-1] - day[0]) + 1
    works = np.ones(days, dtype=bool)
    off = {(d - date(1970, 1, 1)).days for d in model.calendar.holidays}
    for a, b in model.calendar.shutdowns:
        off |= set(range((a - date(1970, 1, 1)).days, (b - date(1970, 1, 1)).days + 1))
    for d in off:
        if first <= d < first + days:
            works[d - first] = False
    return _Clock(minutes.minute_of_day, day, minutes.weekday, first, days, works)


def _rng(seed: int, name: str) -> np.random.Generator:
    """Each part draws from its own stream, so that a change in one leaves the others as they were."""
    return np.random.Generator(np.random.PCG64([seed, *name.encode()]))


def _ripple(n: int, sd_frac: float, every_min: float, rng: np.random.Generator) -> Kw:
    """Slow multiplicative ripple around 1: independent draws joined by straight lines, (n,)."""
    knots = rng.normal(1.0, sd_frac, int(n / every_min) + 2)
    return np.clip(np.interp(np.arange(n) / every_min, np.arange(knots.size), knots), 0.0, None)


def _shift(shift: Shift, clock: _Clock, seed: int) -> Kw:
    """Power of one shift at each minute, (n,): a trapezium of the working day, past midnight if need be."""
    draw = _rng(seed, "shift/" + shift.name).normal(1.0, shift.day_sd_frac, clock.days).clip(0.0)
    runs = _runs(shift.days, shift.months, clock)
    length = (shift.to_h - shift.from_h) % 24 or (24.0 if shift.to_h != shift.from_h else 0.0)
    out = np.zeros(clock.day.size)
    for back in (0, 1):  # yesterday's shift may run into this morning
        since_min = clock.minute_of_day + 1440 * back - shift.from_h * 60
        index = clock.day - clock.first - back
        known = (index >= 0) & (since_min >= 0) & (since_min < length * 60)
        k = index[known]
        up = np.minimum(since_min[known] + 0.5, length * 60 - since_min[known] - 0.5)
        ramp = np.minimum(1.0, up / shift.ramp_min) if shift.ramp_min else 1.0
        out[known] += shift.kw * ramp * draw[k] * runs[k]
    return out


def _runs(days: tuple[str, ...], months: tuple[int, ...], clock: _Clock) -> np.ndarray[Any, Any]:
    """Whether a process of these weekdays and months runs on each local day, (days,) bool."""
    day = clock.first + np.arange(clock.days)
    month = day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12 + 1
    return clock.works & np.isin((day + 3) % 7, [WEEKDAYS.index(d) for d in days]) & np.isin(month, months)


def _batch(batch: Batch, clock: _Clock, seed: int) -> Kw:
    """Power of one batch process at each minute, (n,)."""
    rng = _rng(seed, "batch/" + batch.name)
    idle = rng.random(clock.days) < batch.idle_day_frac
    runs = _runs(batch.days, batch.months, clock) & ~idle
    begins = np.searchsorted(clock.day, clock.first + np.arange(clock.days + 1))
    out = np.zeros(clock.day.size)
    for d in range(clock.days):
        # Drawn for every day, running or not, so that a holiday does not shift later days.
        draws = rng.normal(0.0, 1.0, (64, 3))
        if not runs[d]:
            continue
        a, b = int(begins[d]), int(begins[d + 1])
        at = a + batch.from_h * 60 + draws[0, 0] * batch.start_sd_min
        end = min(b, a + batch.to_h * 60)
        for power, length, pause in draws:
            on = max(1.0, batch.duration_min * (1 + batch.duration_sd_frac * length))
            off = max(0.0, batch.pause_min * (1 + batch.pause_sd_frac * pause))
            first, stop = max(a, round(at)), round(min(at + on, end))
            if first >= end:
                break
            out[first:stop] += max(0.0, batch.kw * (1 + batch.kw_sd_frac * power))
            out[stop : round(min(at + on + off, end))] += batch.hold_kw
            at += on + off
    return out


def _cooling(cooling: Cooling, clock: _Clock) -> Kw:
    """Cooling at each minute, (n,)."""
    day_of_year = (
        clock.day
        - clock.day.astype("datetime64[D]").astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64)
        + 1
    )
    season = 0.5 + 0.5 * np.cos(2 * np.pi * (day_of_year - cooling.hottest_day) / 365.25)
    daily = 0.5 + 0.5 * np.cos(2 * np.pi * (clock.minute_of_day / 60 - cooling.hottest_h) / 24)
    level = cooling.winter_frac + (1 - cooling.winter_frac) * season
    kw: Kw = cooling.kw * level * (cooling.night_frac + (1 - cooling.night_frac) * daily)
    return kw


def run(model: LoadModelFile) -> Kw:
    """Mean power of each interval of `model.timeline` [kW], shape (n,)."""
    clock = _clock(model)
    n = clock.day.size
    steady = np.full(n, model.base.kw)
    for shift in model.shifts:
        steady += _shift(shift, clock, model.seed)
    if model.cooling is not None:
        steady += _cooling(model.cooling, clock)
    steady *= _ripple(n, model.base.ripple_frac, model.base.ripple_min, _rng(model.seed, "ripple"))
    for batch in model.batches:
        steady += _batch(batch, clock, model.seed)
    per = round(model.step_h * 60)
    return np.asarray(steady.reshape(-1, per).mean(axis=1), dtype=np.float64)


def parse(written: Mapping[str, Any], where: str) -> LoadModelFile:
    """A load model from plain values, or one InputError with every problem."""
    try:
        model = LoadModelFile.model_validate(dict(written))
        zone(model.tz)
        if round(model.step_h * 60) not in (1, 5, 10, 15, 30, 60):
            raise InputError(f"step_h: {model.step_h!r}; meters record every 1, 5, 10, 15, 30 or 60 minutes")
    except ValidationError as e:
        raise InputError.collect(
            where, [f"{'.'.join(map(str, x['loc'])) or 'file'}: {x['msg']}" for x in e.errors()]
        ) from e
    except InputError as e:
        raise InputError.collect(where, e.problems) from e
    return model


class LoadModel:
    """Reads a load model file as if it were a meter file."""

    kind: ClassVar[str] = "load_model"

    def sniff(self, path: str) -> bool:
        """A TOML file with a base load and a seed."""
        p = Path(path)
        if p.suffix.lower() != ".toml" or not p.is_file():
            return False
        try:
            written = tomllib.loads(p.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError):
            return False
        return "base" in written and "seed" in written

    def fetch(self, path: str, **options: Any) -> MeterTable:
        """Run the model; `options` replace top-level values such as seed, start or days."""
        try:
            written = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as e:
            raise InputError(f"{path}: cannot be read ({e.strerror}); check the path") from e
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
            raise InputError(f"{path}: is not a TOML file: {e}") from e
        model = parse({**written, **options}, path)
        t = model.timeline
        channel = Channel(
            usage_point=model.name,
            flow="net",
            quantity="kw",
            label_s=t.utc_s,
            clock="utc",
            label="start",
            value=run(model),
            duration_s=np.full(t.n, t.step_s, dtype=np.int64),
            quality=np.full(t.n, METERED, dtype=np.int8),
            place=np.arange(t.n, dtype=np.int64),
            name=model.name,
        )
        finding = Finding(
            kind="load_model",
            severity="warning",
            where=path,
            what=f"these readings were made by the load model {model.name!r} (seed {model.seed}); "
            "nobody metered them",
            remedy="name the site's own meter file in `data` for a result that stands on measurement",
        )
        return MeterTable(
            file=path,
            channels=(channel,),
            tz=model.tz,
            findings=(finding,),
            mapping={
                "kind": self.kind,
                "model": model.name,
                "what": model.what,
                "seed": model.seed,
                "sources": dict(model.sources),
            },
        )
