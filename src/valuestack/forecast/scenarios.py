"""Futures: whole years that could come, drawn from one year that came.

    days       blocks of whole days, each taken from a near day of the same kind (weekday or weekend) within
               `near_days` of the same date in the year; every series of a day is taken together, so that load, sun,
               temperature and price stay as correlated as they were (block bootstrap of days: Kuensch 1989)
    level      load: growth drawn per future and steps that may come (a line bought or closed)
    price      around the taken days, a mean-reverting log-deviation from day to day, fitted on the series' own daily
               means (AR(1)), spikes of a Poisson number, and a level of the year (lognormal)
    calls      of a programme: a Poisson number a year, on days drawn among those on which a series is highest
    outages    drawn for each future from the site's outage model, or their expectation
    rules      each rule may change: from a drawn day on a price is multiplied by `factor` (0 = the market ends)

Future i of a seed is the same in whatever order and wherever it is drawn, and each thing in it is drawn by itself:
SeedSequence(seed, spawn_key=(i, crc32 of its name)).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal
from zlib import crc32

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..errors import InputError
from ..timeline import Ints, Kw, Timeline
from .forecaster import day_slots


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LoadFuture(_Part):
    """How load differs from year to year. growth_frac, growth_sd_frac: of the year's level; step_per_y: expected
    steps a year, each of step_frac of the mean load, up or down alike (down_frac of them down)."""

    growth_frac: float = Field(default=0.0, gt=-1)
    growth_sd_frac: float = Field(default=0.03, ge=0)
    step_per_y: float = Field(default=0.0, ge=0)
    step_frac: float = Field(default=0.1, ge=0)
    down_frac: float = Field(default=0.5, ge=0, le=1)


class PriceFuture(_Part):
    """How a price series differs. level_sd_frac: log-deviation of the year's level; the default is the one change of
    level that was measured for it, of six zones of New York and New England from 2019 to 2020 (log 0.50 to 0.61), so
    give that of your market where you know it. day_sd_frac, revert_frac: of the
    day-to-day deviation and the share of it that is lost a day; None = fitted on the series. spikes_per_y,
    spike_factor, spike_h: hours in which the price is multiplied, none by default (the days taken bring their own)."""

    level_sd_frac: float = Field(default=0.5, ge=0)
    day_sd_frac: float | None = Field(default=None, ge=0)
    revert_frac: float | None = Field(default=None, gt=0, le=1)
    spikes_per_y: float = Field(default=0.0, ge=0)
    spike_factor: float = Field(default=5.0, ge=0)
    spike_h: float = Field(default=2.0, gt=0)


class RuleFuture(_Part):
    """A rule that may change within the year. of: the series, or the streams, that it changes. per_y: probability.
    factor: what they are multiplied by from the day on (0 = the market ends, 1.2 = a revised price)."""

    name: str
    of: tuple[str, ...] = Field(min_length=1)
    per_y: float = Field(ge=0, le=1)
    factor: float = Field(default=0.0, ge=0)
    source: str = ""


class CallFuture(_Part):
    """Calls of a programme in place of those that the stream lists: a Poisson number of per_y, each of `hours` from
    `from_h` (local clock) on, on working days of `months` (none = all), at most one a day. on: a series on whose
    highest days they fall, the `top_frac` of those days by daily peak; none = any day. source: where the rate comes
    from."""

    per_y: float = Field(ge=0, le=366)
    hours: float = Field(default=2.0, gt=0, le=24)
    from_h: float = Field(default=16.0, ge=0, lt=24)
    months: tuple[int, ...] = ()
    on: str | None = None
    top_frac: float = Field(default=0.2, gt=0, le=1)
    source: str = ""


class Futures(_Part):
    """What may differ between futures, as a person writes it under [simulate.futures]. calls: by stream. outages: as
    they come in each future, or the expectation over all."""

    block_days: int = Field(default=7, ge=1, le=31)
    near_days: int = Field(default=21, ge=1, le=182)
    load: LoadFuture = LoadFuture()
    prices: dict[str, PriceFuture] = Field(default_factory=dict)
    calls: dict[str, CallFuture] = Field(default_factory=dict)
    outages: Literal["drawn", "expected"] = "drawn"
    rules: tuple[RuleFuture, ...] = ()

    @model_validator(mode="after")
    def _names(self) -> Futures:
        names = [r.name for r in self.rules]
        if len(set(names)) < len(names):
            raise ValueError("rules: a name is used twice; give each rule its own")
        return self


@dataclass(frozen=True, slots=True, eq=False)
class Future:
    """One year that could come. series: by name, (n,). drivers: the numbers that were drawn, by name, for a tornado.
    rules: (name, first interval) of each rule that changed. calls: (first interval, intervals) by stream."""

    number: int
    series: Mapping[str, Kw]
    drivers: dict[str, float]
    rules: Mapping[str, int] = field(default_factory=dict)
    calls: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Scenarios:
    """Draws futures of a timeline. series: what came, by name, (n,) each; prices are those named in `futures.prices`.

    known: streams that rules may name, and whether calls may be drawn for them.
    Errors: InputError for a price, a rule or calls that name nothing."""

    timeline: Timeline
    series: Mapping[str, Kw]
    futures: Futures = field(default_factory=Futures)
    known: Mapping[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = [
            f"prices.{name}: no series of this name; there is {', '.join(self.series)}"
            for name in self.futures.prices
            if name not in self.series
        ]
        problems += [
            f"rules.{r.name}: {name!r} is neither a series nor a stream of the site"
            for r in self.futures.rules
            for name in r.of
            if name not in self.series and name not in self.known
        ]
        able = [name for name, can in self.known.items() if can]
        for name, how in self.futures.calls.items():
            if name not in able:
                problems.append(
                    f"calls.{name}: no stream of this name takes calls; there is {', '.join(able) or 'none'}"
                )
            if how.on is not None and how.on not in self.series:
                problems.append(f"calls.{name}.on: no series {how.on!r}; there is {', '.join(self.series)}")
            if bad := [m for m in how.months if not 1 <= m <= 12]:
                problems.append(f"calls.{name}.months: {', '.join(map(str, bad))} is no month; write 1 to 12")
        if problems:
            raise InputError.collect("simulate.futures", problems)

    def draw(self, number: int, seed: int = 0) -> Future:
        """Future `number` of a seed."""

        def chance(*what: str) -> np.random.Generator:
            """Every thing has its own stream of chance: one that is added or changed leaves the others as they were."""
            key = (number, *(crc32(w.encode()) for w in what))
            return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))

        at = self._taken(chance("days"))
        drivers: dict[str, float] = {}
        out = {name: values[at] for name, values in self.series.items()}
        if "load_kw" in out:
            out["load_kw"] = out["load_kw"] * self._level(chance("load"), drivers)
        for name, how in self.futures.prices.items():
            out[name] = out[name] * self._price(chance("price", name), name, how, drivers)
        calls = {
            name: self._calls(chance("calls", name), name, how, out, drivers)
            for name, how in self.futures.calls.items()
        }
        rules: dict[str, int] = {}
        for rule in self.futures.rules:
            rules |= self._rule(chance("rule", rule.name), rule, out, drivers)
        return Future(number, out, drivers, rules, calls)

    # --- days ------------------------------------------------------------------------------------

    @cached_property
    def _days(self) -> tuple[Ints, Ints, Ints, Ints]:
        """Day and slot of each interval; interval by (day, slot), the skipped hour by the one before; kind of day."""
        day, slot, slots = day_slots(self.timeline)
        days = int(day[-1]) + 1
        table = np.full((days, slots), -1, dtype=np.int64)
        table[day[::-1], slot[::-1]] = np.arange(self.timeline.n - 1, -1, -1)
        for j in range(1, slots):  # what a clock skips, or a span cuts, is taken from the slot before
            table[:, j] = np.where(table[:, j] < 0, table[:, j - 1], table[:, j])
        for j in range(slots - 2, -1, -1):
            table[:, j] = np.where(table[:, j] < 0, table[:, j + 1], table[:, j])
        first = np.searchsorted(day, np.arange(days))
        kind = (self.timeline.weekday[first] >= 5).astype(np.int64)
        return day, slot, table, kind

    def _taken(self, rng: np.random.Generator) -> Ints:
        """Interval of the past that each interval of the future is taken from, (n,)."""
        day, slot, table, kind = self._days
        days, reach = kind.size, self.futures.near_days
        source = np.empty(days, dtype=np.int64)
        k = 0
        while k < days:
            shift = int(rng.integers(-reach, reach + 1))
            length = min(self.futures.block_days, days - k)
            source[k : k + length] = (k + shift + np.arange(length)) % days
            k += length
        # A working day is taken from a working day: the nearest of its kind to the one that was drawn.
        for wanted in (0, 1):
            pool = np.flatnonzero(kind == wanted)
            if not pool.size:
                continue
            mine = np.flatnonzero((kind == wanted) & (kind[source] != wanted))
            after = np.searchsorted(pool, source[mine])
            low, high = pool[np.maximum(after - 1, 0)], pool[np.minimum(after, pool.size - 1)]
            source[mine] = np.where(np.abs(source[mine] - low) <= np.abs(high - source[mine]), low, high)
        return np.asarray(table[source[day], slot])

    # --- levels ----------------------------------------------------------------------------------

    def _level(self, rng: np.random.Generator, drivers: dict[str, float]) -> Kw:
        how, n = self.futures.load, self.timeline.n
        growth = float(np.clip(rng.normal(how.growth_frac, how.growth_sd_frac), -0.9, 10.0))
        drivers["load level"] = growth
        level = np.full(n, 1.0 + growth)
        years = self.timeline.hours / 8760.0
        steps = int(rng.poisson(how.step_per_y * years))
        total = 0.0
        for _ in range(steps):
            begin = int(rng.integers(0, n))
            step = how.step_frac * (-1.0 if rng.random() < how.down_frac else 1.0)
            level[begin:] += step
            total += step * (n - begin) / n
        if how.step_per_y:
            drivers["load steps"] = total
        return np.asarray(np.maximum(level, 0.0))

    def _price(self, rng: np.random.Generator, name: str, how: PriceFuture, drivers: dict[str, float]) -> Kw:
        """Factor on a price, (n,): level of the year x day-to-day deviation x spikes; 1 in the mean."""
        day = self._days[0]
        days = int(day[-1]) + 1
        level = float(np.exp(rng.normal(-0.5 * how.level_sd_frac**2, how.level_sd_frac)))
        drivers[f"{name} level"] = level - 1.0
        sd, keep = self._fitted[name]
        sd = how.day_sd_frac if how.day_sd_frac is not None else sd
        keep = 1.0 - how.revert_frac if how.revert_frac is not None else keep
        noise, deviation = rng.normal(0.0, 1.0, days), np.zeros(days)
        for d in range(days):
            deviation[d] = keep * (deviation[d - 1] if d else 0.0) + sd * noise[d]
        spread = sd / max(np.sqrt(1 - keep**2), 1e-9)
        factor = level * np.exp(deviation - 0.5 * spread**2)[day]
        for _ in range(int(rng.poisson(how.spikes_per_y * self.timeline.hours / 8760.0))):
            k = int(rng.integers(0, self.timeline.n))
            factor[k : k + max(1, round(how.spike_h / self.timeline.step_h))] *= how.spike_factor
        return np.asarray(factor)

    @cached_property
    def _fitted(self) -> dict[str, tuple[float, float]]:
        """(sd of the daily innovation, share kept a day) of the log daily mean about its monthly mean, halved in size
        since the days that are taken already bring half of the variance of their neighbourhood."""
        day = self._days[0]
        first = np.searchsorted(day, np.arange(int(day[-1]) + 1))
        month = self.timeline.month_id[first]
        out = {}
        for name in self.futures.prices:
            mean = np.bincount(day, weights=self.series[name]) / np.bincount(day)
            if (mean <= 0).any() or mean.size < 30:
                out[name] = (0.0, 0.0)
                continue
            log = np.log(mean)
            for m in np.unique(month):
                log[month == m] -= log[month == m].mean()
            if float(log.std()) < 1e-9:
                out[name] = (0.0, 0.0)
                continue
            keep = float(np.clip(np.corrcoef(log[:-1], log[1:])[0, 1], 0.0, 0.98))
            out[name] = (float(log.std() * np.sqrt(1 - keep**2) * 0.5), keep)
        return out

    def _calls(
        self,
        rng: np.random.Generator,
        name: str,
        how: CallFuture,
        series: Mapping[str, Kw],
        drivers: dict[str, float],
    ) -> tuple[tuple[int, int], ...]:
        """(first interval, intervals) of the calls of a programme, in order."""
        t, (day, _, _, kind) = self.timeline, self._days
        first = np.searchsorted(day, np.arange(kind.size))
        months = how.months or tuple(range(1, 13))
        may = np.flatnonzero((kind == 0) & np.isin(t.month[first], months))
        if how.on is not None and may.size:
            high = np.maximum.reduceat(np.asarray(series[how.on], dtype=float), first)
            may = np.sort(
                may[np.argsort(-high[may], kind="stable")[: max(1, round(how.top_frac * may.size))]]
            )
        wanted = int(rng.poisson(how.per_y * t.hours / 8760.0))
        n = max(1, round(how.hours / t.step_h))
        out = []
        for d in sorted(rng.permutation(may)[:wanted].tolist()):
            until = first[d + 1] if d + 1 < kind.size else t.n
            at = first[d] + np.flatnonzero(t.minute_of_day[first[d] : until] >= 60 * how.from_h - 1e-6)
            if at.size and at[0] + n <= t.n:
                out.append((int(at[0]), n))
        drivers[f"calls of {name}"] = float(len(out))
        return tuple(out)

    def _rule(
        self, rng: np.random.Generator, rule: RuleFuture, series: dict[str, Kw], drivers: dict[str, float]
    ) -> dict[str, int]:
        """{name: first interval} where the rule changes, and the series changed from there on."""
        falls, when = rng.random() < rule.per_y, int(rng.integers(0, self.timeline.n))
        drivers[f"rule: {rule.name}"] = float(falls) * (1 - when / self.timeline.n)
        if not falls:
            return {}
        for name in rule.of:
            if name in series:
                series[name] = series[name].copy()
                series[name][when:] *= rule.factor
        return {rule.name: when}


def describe(futures: Futures) -> list[dict[str, Any]]:
    """What differs between futures, as rows for a table of inputs."""
    rows: list[dict[str, Any]] = [
        {"what": "days", "how": f"blocks of {futures.block_days} days from within {futures.near_days} days"},
        {
            "what": "load",
            "how": f"growth {futures.load.growth_frac:+.1%}, sd {futures.load.growth_sd_frac:.1%}, "
            f"{futures.load.step_per_y:g} steps a year of {futures.load.step_frac:.0%}",
        },
    ]
    rows += [
        {
            "what": name,
            "how": f"yearly level sd {p.level_sd_frac:.0%}, day to day as fitted or {p.day_sd_frac}",
        }
        for name, p in futures.prices.items()
    ]
    rows += [
        {
            "what": r.name,
            "how": f"{r.per_y:.0%} a year: x {r.factor:g} on {', '.join(r.of)}",
            "source": r.source,
        }
        for r in futures.rules
    ]
    return rows


def drivers_of(futures: Sequence[Future]) -> dict[str, Kw]:
    """Drawn numbers by name, (futures,) each."""
    names = list(dict.fromkeys(k for f in futures for k in f.drivers))
    return {name: np.array([f.drivers.get(name, 0.0) for f in futures]) for name in names}
