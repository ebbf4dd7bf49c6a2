"""Baselines: what the load would have been without the event; the ruler of demand-response money.

    B(h) = mean over the chosen days of load(h), then adjusted by what the event day showed before it
    reduction(h) = B(h) - metered(h)

Which days are eligible and chosen, and how far an adjustment may go, are data (`data/baselines/*.toml`,
each with source, date and whether it was verified); the arithmetic is here. A site that shaves its peaks
on ordinary days lowers its own baseline, and `own_weights` gives the plan the linear part of that.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib.resources import files
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ...errors import DataError, InputError, UnknownKind
from ...terms import OwnWeights
from ...timeline import Ints, Kw, Timeline

Bools = NDArray[np.bool_]


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Selection(_Rule):
    """Which days are averaged: `take` of the `of` most recent eligible days.

    pick: 'highest', 'middle' (equally many highest and lowest dropped) or 'all' of them by mean load over
    `rank_over` (the event's hours or the whole day); 'closest' takes the days whose load outside the event
    is nearest (least root mean square) to that of the event day; apart_h more hours before and after the event are
    left out of the comparison. lookback_days: how far back to search. low_usage_frac: days below this share of the
    mean of the candidates are passed over. smoothing_frac: instead of a plain mean, B = (1 - s) B + s load from
    eligible day to eligible day, begun with the mean of the oldest `of`.
    """

    take: int = Field(gt=0)
    of: int = Field(gt=0)
    pick: Literal["highest", "middle", "all", "closest"] = "all"
    rank_over: Literal["event", "day"] = "event"
    lookback_days: int = Field(default=45, gt=0)
    low_usage_frac: float = Field(default=0.0, ge=0, lt=1)
    apart_h: float = Field(default=0.0, ge=0)
    smoothing_frac: float | None = Field(default=None, gt=0, lt=1)

    @model_validator(mode="after")
    def _fits(self) -> Selection:
        if self.take > self.of:
            raise ValueError(f"take = {self.take} of = {self.of}: cannot take more days than there are")
        if self.pick == "middle" and (self.of - self.take) % 2:
            raise ValueError(
                f"pick = 'middle' drops as many high days as low ones: of - take = "
                f"{self.of - self.take} is odd"
            )
        if self.smoothing_frac is not None and (self.pick != "all" or self.take != self.of):
            raise ValueError("smoothing_frac runs over all eligible days: pick = 'all' and take = of")
        return self


class Adjustment(_Rule):
    """How the event day's own hours correct the mean.

    form: 'additive' adds mean(actual - B) of the window, 'ratio' multiplies by sum(actual) / sum(B).
    The window lasts `hours` and ends `gap_h` before the event (with `after_hours`, also that long
    beginning `after_gap_h` past its end). cap_frac: the correction stays within +-cap of B (None = no
    cap). up_only: it may only raise.
    """

    form: Literal["additive", "ratio"]
    hours: float = Field(gt=0)
    gap_h: float = Field(default=0.0, ge=0)
    after_hours: float = Field(default=0.0, ge=0)
    after_gap_h: float = Field(default=0.0, ge=0)
    cap_frac: float | None = Field(default=None, gt=0)
    up_only: bool = False


class SameDay(_Rule):
    """Mean of hours of the event day itself: `before_h` ending `skip_before_h` before the event and
    `after_h` beginning `skip_after_h` after it, one flat value."""

    before_h: float = Field(gt=0)
    skip_before_h: float = Field(default=0.0, ge=0)
    after_h: float = Field(default=0.0, ge=0)
    skip_after_h: float = Field(default=0.0, ge=0)


class Regression(_Rule):
    """For each hour of the day by itself, load = a + b x temperature fitted by least squares over the `days` most
    recent eligible days of the event day's type, read at the event day's temperature."""

    days: int = Field(ge=3)
    lookback_days: int = Field(default=90, gt=0)


class Baseline(_Rule):
    """One named baseline method.

    weekday and weekend: selection by the type of the event day (weekend None = as weekday). Instead of
    days, `same_day` uses hours of the event day and `regression` fits them to temperature. Levels that do not look at
    days (a firm service level, an average coincident load) are functions below.
    """

    name: str
    weekday: Selection | None = None
    weekend: Selection | None = None
    same_day: SameDay | None = None
    regression: Regression | None = None
    adjustment: Adjustment | None = None
    source: str
    source_date: date | None = None
    verified: bool
    notes: str = ""

    @model_validator(mode="after")
    def _one_method(self) -> Baseline:
        given = [m for m in (self.weekday, self.same_day, self.regression) if m is not None]
        if len(given) != 1:
            raise ValueError(
                "give either [weekday] (and [weekend]) days, or [same_day] hours, or a [regression]"
            )
        if self.adjustment is not None and self.same_day is not None:
            raise ValueError("[same_day] hours stand as they are; leave [adjustment] out")
        return self


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """One call: intervals first .. first + n - 1 of a timeline."""

    first: int
    n: int

    @property
    def span(self) -> slice:
        return slice(self.first, self.first + self.n)


@dataclass(frozen=True, slots=True, eq=False)
class BaselineResult:
    """B over the event [kW], (n,), with how it came about.

    unadjusted_kw (n,); adjustment_kw_or_ratio; capped: the cap bound it; days: the dates averaged (empty
    for same-day methods); rows: (days, n) interval numbers averaged, -1 where a clock change left none; weights: of
    each, None = equal.
    """

    kw: Kw
    unadjusted_kw: Kw
    adjustment: float
    capped: bool
    days: tuple[date, ...]
    rows: Ints
    notes: tuple[str, ...] = field(default=())
    weights: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """A baseline as it hangs on the series: B(row) = sum weight x net(col), adjustment included.

    row, col: interval numbers; exact: no change of the series changes the form; why: what might, else ''.
    """

    row: Ints
    col: Ints
    weight: NDArray[np.float64]
    exact: bool
    why: str = ""


def shipped() -> list[str]:
    """Names of the baseline files that come with the package."""
    folder = files("valuestack").joinpath("data", "baselines")
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))


def load_baseline(name: str) -> Baseline:
    """The shipped baseline `name` (file stem)."""
    if name not in shipped():
        raise UnknownKind("baseline", name, shipped())
    path = files("valuestack").joinpath("data", "baselines", f"{name}.toml")
    try:
        return Baseline.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as e:
        raise InputError.collect(
            f"data/baselines/{name}.toml", [f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in e.errors()]
        ) from e


class Ruler:
    """Baselines on one metered series, with the calendar looked up once.

    net_kw: (n,) metered, load sign. holidays: dates that count as weekend and are never eligible for a
    weekday. events: every event of the span; their days are never averaged. outages: further dates to
    pass over. quality: (n,) > 0 marks repaired intervals, whose days are passed over too. temperature_c: (n,) for
    regressions.
    """

    def __init__(
        self,
        timeline: Timeline,
        net_kw: Kw,
        events: Sequence[Event] = (),
        *,
        holidays: Iterable[date] = (),
        outages: Iterable[date] = (),
        quality: NDArray[np.int64] | None = None,
        temperature_c: Kw | None = None,
    ) -> None:
        if net_kw.shape != (timeline.n,):
            raise DataError(f"net_kw has shape {net_kw.shape}, the timeline {timeline.n} intervals")
        self.timeline, self.net_kw, self.temperature_c = timeline, net_kw, temperature_c
        self._day = timeline.day - timeline.day[0]
        self._slot = timeline.local_s % 86400 // timeline.step_s
        days, slots = int(self._day[-1]) + 1, 86400 // timeline.step_s
        self._row = np.full((days, slots), -1, dtype=np.int64)
        self._row[self._day[::-1], self._slot[::-1]] = np.arange(timeline.n)[::-1]
        numbers = np.arange(days) + timeline.day[0]
        off = np.array([(d - date(1970, 1, 1)).days for d in holidays], dtype=np.int64)
        self._weekend: Bools = ((numbers + 3) % 7 >= 5) | np.isin(numbers, off)
        self._barred: Bools = np.zeros(days, dtype=np.bool_)
        for event in events:
            self._barred[np.unique(self._day[event.span])] = True
        out = np.array([(d - date(1970, 1, 1)).days for d in outages], dtype=np.int64)
        self._barred |= np.isin(numbers, out)
        if quality is not None:
            self._barred[np.unique(self._day[quality > 0])] = True
        complete = (self._row >= 0).sum(axis=1) >= slots - round(3600 / timeline.step_s)
        self._barred |= ~complete  # a day cut off by the span; a 23-hour day is complete

    def baseline(self, rule: Baseline, event: Event) -> BaselineResult:
        """B of one event by `rule`; DataError if too few eligible days precede it."""
        if rule.same_day is not None:
            return self._same_day(rule, rule.same_day, event)
        chosen, share, notes = self._days(rule, event)
        rows, weights = self._rows(rule, chosen, share, np.arange(event.first, event.first + event.n))
        flat = _mean_rows(self.net_kw, rows, weights)
        factor, capped = 0.0, False
        kw = flat
        if rule.adjustment is not None:
            window = self._adjusting(rule.adjustment, event)
            base = _mean_rows(self.net_kw, *self._rows(rule, chosen, share, window))
            kw, factor, capped = _adjusted(rule.adjustment, flat, self.net_kw[window], base)
        dates = tuple(_date(int(d) + int(self.timeline.day[0])) for d in chosen)
        return BaselineResult(kw, flat, factor, capped, dates, rows, tuple(notes), weights)

    def own_weights(self, result: BaselineResult, event: Event) -> OwnWeights:
        """The unadjusted baseline as weights on the series itself: B(row) = sum weight x net(col)."""
        there, share = _shares(result.rows, result.weights)
        _, at = np.nonzero(there)
        return OwnWeights(row=event.first + at, col=result.rows[there], weight=share[there])

    def linear(self, rule: Baseline, event: Event) -> Linear:
        """The whole baseline as weights on the series, adjustment included, at the days chosen now.

        Exact where no choice hangs on the load: all days, same-day hours or a regression, unadjusted or with an
        uncapped additive adjustment. Elsewhere it holds as long as the same days are chosen and the same cap binds.
        """
        result = self.baseline(rule, event)
        own = self.own_weights(result, event)
        row, col, weight = [own.row], [own.col], [own.weight]
        why = ""
        if rule.weekday is not None:
            chosen = rule.weekend if rule.weekend is not None and self._off(event) else rule.weekday
            if chosen.pick != "all" or chosen.low_usage_frac:
                why = "days are chosen by load"
        adj = rule.adjustment
        if adj is None:
            return Linear(own.row, own.col, own.weight, not why, why)
        window = self._adjusting(adj, event)
        rows, weights = self._rows(rule, *self._days(rule, event)[:2], window)
        base = _mean_rows(self.net_kw, rows, weights)
        if adj.form == "ratio":
            weight[0] = own.weight * float(np.clip(_ratio(self.net_kw[window], base), *_ratio_limits(adj)))
            why = why or "a ratio adjustment is held at its expected value"
        elif result.capped or (adj.up_only and result.adjustment < 0):
            cap = 0.0 if adj.up_only and result.adjustment < 0 else (adj.cap_frac or 0.0)
            weight[0] = own.weight * (1 + np.sign(result.adjustment) * cap)
            why = why or "the cap of the adjustment binds"
        else:
            there, share = _shares(rows, weights)
            col_w = np.concatenate((window, rows[there]))
            add = np.concatenate((np.ones(window.size), -share[there])) / window.size
            row.append(np.repeat(np.arange(event.first, event.first + event.n), col_w.size))
            col.append(np.tile(col_w, event.n))
            weight.append(np.tile(add, event.n))
            if adj.cap_frac is not None or adj.up_only:
                why = why or "the adjustment may reach its cap"
        return Linear(np.concatenate(row), np.concatenate(col), np.concatenate(weight), not why, why)

    # --- choosing days ---------------------------------------------------------------------------

    def _off(self, event: Event) -> bool:
        return bool(self._weekend[self._day[event.first]])

    def _pool(self, day: int, lookback_days: int, alike: bool) -> Ints:
        """Eligible days before `day`, most recent first; alike: of its own type only."""
        pool = np.arange(max(0, day - lookback_days), day)
        pool = pool[~self._barred[pool]]
        if alike:
            pool = pool[self._weekend[pool] == self._weekend[day]]
        return pool[::-1]

    def _days(self, rule: Baseline, event: Event) -> tuple[Ints, Kw | None, list[str]]:
        """Days that the baseline stands on, their weights where unequal, and notes."""
        day = int(self._day[event.first])
        if rule.regression is not None:
            pool = self._pool(day, rule.regression.lookback_days, True)
            pool = pool[(self._row[pool] >= 0).all(axis=1)][: rule.regression.days]
            if pool.size < rule.regression.days:
                self._too_few(rule, event, rule.regression.days, rule.regression.lookback_days, pool.size)
            return pool, None, []
        chosen, notes = self._choose(rule, event, day)
        selection = rule.weekend if self._off(event) and rule.weekend is not None else rule.weekday
        assert selection is not None
        s = selection.smoothing_frac
        if s is None:
            return chosen, None, notes
        new = np.arange(max(0, chosen.size - selection.of))
        first = np.full(min(selection.of, chosen.size), (1 - s) ** new.size / min(selection.of, chosen.size))
        return chosen, np.concatenate((s * (1 - s) ** new, first)), notes

    def _rows(
        self, rule: Baseline, chosen: Ints, share: Kw | None, intervals: Ints
    ) -> tuple[Ints, NDArray[np.float64] | None]:
        """Intervals of the chosen days that stand for `intervals` of the event day, and their weights."""
        rows = self._row[chosen][:, self._slot[intervals]]
        if rule.regression is None:
            return rows, None if share is None else np.repeat(share[:, None], intervals.size, axis=1)
        if self.temperature_c is None:
            raise DataError(
                f"{rule.name}: a regression needs temperature_c; give the ruler a temperature series"
            )
        weights = np.empty(rows.shape)
        for j, k in enumerate(intervals):
            x = np.column_stack((np.ones(chosen.size), self.temperature_c[rows[:, j]]))
            weights[:, j] = np.array([1.0, self.temperature_c[k]]) @ np.linalg.pinv(x)
        return rows, weights

    def _too_few(self, rule: Baseline, event: Event, need: int, lookback_days: int, found: int) -> None:
        when = self.timeline.when(event.first).isoformat()
        raise DataError(
            f"event of {when}: {rule.name} needs {need} eligible days in the {lookback_days} days before and finds "
            f"{found}; give a longer history or choose another baseline"
        )

    def _choose(self, rule: Baseline, event: Event, day: int) -> tuple[Ints, list[str]]:
        weekend = bool(self._weekend[day])
        selection = rule.weekend if weekend and rule.weekend is not None else rule.weekday
        assert selection is not None
        pool = self._pool(day, selection.lookback_days, rule.weekend is not None or not weekend)
        slots = self._slot[event.span]
        level = np.array([self._level(int(d), slots, selection.rank_over) for d in pool])
        if selection.low_usage_frac and level.size:
            keep = level >= selection.low_usage_frac * level[: selection.of].mean()
            pool, level = pool[keep], level[keep]
        if selection.smoothing_frac is None:
            pool, level = pool[: selection.of], level[: selection.of]
        notes = []
        if pool.size < selection.of:
            if pool.size < selection.take:
                self._too_few(rule, event, selection.take, selection.lookback_days, pool.size)
            notes.append(f"only {pool.size} of {selection.of} eligible days were found")
        return pool[self._pick(selection, level, pool, event, day)], notes

    def _pick(self, selection: Selection, level: Kw, pool: Ints, event: Event, day: int) -> Ints:
        if selection.smoothing_frac is not None:
            return np.arange(pool.size)
        take = min(selection.take, pool.size)
        if selection.pick == "closest":
            apart = round(selection.apart_h / self.timeline.step_h)
            around = self._window(event.first - apart, event.n * self.timeline.step_h + 2 * selection.apart_h)
            slots = np.setdiff1d(np.arange(self._row.shape[1]), self._slot[around])
            mine = self._values(day, slots)
            gap = [np.nanmean((self._values(int(d), slots) - mine) ** 2) for d in pool]
            return np.sort(np.argsort(gap, kind="stable")[:take])
        if selection.pick == "all":
            return np.arange(take)
        order = np.argsort(-level, kind="stable")
        if selection.pick == "middle":
            drop = (pool.size - take) // 2
            return np.sort(order[drop : drop + take])
        return np.sort(order[:take])

    def _values(self, day: int, slots: Ints) -> Kw:
        rows = self._row[day, slots]
        return np.where(rows >= 0, self.net_kw[rows], np.nan)

    def _level(self, day: int, slots: Ints, over: str) -> float:
        return float(
            np.nanmean(self._values(day, slots if over == "event" else np.arange(self._row.shape[1])))
        )

    # --- the event day's own hours ---------------------------------------------------------------

    def _window(self, first: float, hours: float) -> Ints:
        """Intervals from `first` (interval number, may be outside the span) lasting `hours`."""
        step_h = self.timeline.step_h
        begin = round(first)
        width = max(1, round(hours / step_h)) if hours > 0 else 0  # never less than one interval of the meter
        span = np.arange(begin, begin + width)
        return span[(span >= 0) & (span < self.timeline.n)]

    def _adjusting(self, rule: Adjustment, event: Event) -> Ints:
        """Intervals of the event day that the adjustment looks at."""
        step_h = self.timeline.step_h
        before = self._window(event.first - (rule.gap_h + rule.hours) / step_h, rule.hours)
        after = self._window(event.first + event.n + rule.after_gap_h / step_h, rule.after_hours)
        window = np.concatenate((before, after))
        if window.size == 0:
            raise DataError(
                f"event of {self.timeline.when(event.first).isoformat()}: the adjustment window lies "
                "outside the data"
            )
        return window

    def _same_day(self, rule: Baseline, hours: SameDay, event: Event) -> BaselineResult:
        step_h = self.timeline.step_h
        before = self._window(event.first - (hours.skip_before_h + hours.before_h) / step_h, hours.before_h)
        after = self._window(event.first + event.n + hours.skip_after_h / step_h, hours.after_h)
        window = np.concatenate((before, after))
        if window.size == 0:
            raise DataError(
                f"event of {self.timeline.when(event.first).isoformat()}: {rule.name} finds no hours "
                "around it in the data"
            )
        level = float(self.net_kw[window].mean())
        rows = np.repeat(window[:, None], event.n, axis=1)
        kw = np.full(event.n, level)
        return BaselineResult(kw, kw, 0.0, False, (), rows)


def firm_service_level(firm_kw: float, event: Event) -> BaselineResult:
    """A constant: the reduction is measured from a level the customer promised to stay below."""
    kw = np.full(event.n, float(firm_kw))
    return BaselineResult(kw, kw, 0.0, False, (), np.empty((0, event.n), dtype=np.int64))


@dataclass(frozen=True, slots=True)
class Quality:
    """How well a baseline does on days without an event.

    rrmse_frac = sqrt(mean((B - a)^2)) / mean(a); bias_frac = sum(B - a) / sum(a). refused: placebo events
    for which the method found too few days.
    """

    placebos: int
    refused: int
    rrmse_frac: float
    bias_frac: float


def judge(ruler: Ruler, rule: Baseline, placebos: Sequence[Event]) -> Quality:
    """RRMSE and bias of `rule` over placebo events: times like real events when nothing was called."""
    b, a, refused = [], [], 0
    for event in placebos:
        try:
            b.append(ruler.baseline(rule, event).kw)
        except DataError:
            refused += 1
            continue
        a.append(ruler.net_kw[event.span])
    if not b:
        raise DataError(f"{rule.name}: no placebo event of {len(placebos)} has enough days before it")
    base, actual = np.concatenate(b), np.concatenate(a)
    mean = float(actual.mean())
    return Quality(
        len(b),
        refused,
        float(np.sqrt(((base - actual) ** 2).mean()) / mean),
        float((base - actual).sum() / actual.sum()),
    )


def average_coincident_load(t: Timeline, net_kw: Kw, peak_hours: Sequence[int], take: int = 20) -> float:
    """Mean of the `take` highest hourly loads in the given hours of system peak [kW]: NYISO's ACL is the mean of
    the site's top 20 in the 40 peak hours of the same season a year before, a flat baseline.

    peak_hours: interval numbers in which each hour begins. Source: Enel X, NYISO special case resources.
    """
    n = max(1, round(1 / t.step_h))
    levels = np.array([float(net_kw[k : k + n].mean()) for k in peak_hours if k >= 0 and k + n <= t.n])
    if levels.size < take:
        raise DataError(
            f"an average coincident load needs {take} peak hours inside the data and finds {levels.size}"
        )
    return float(np.sort(levels)[-take:].mean())


def _adjusted(rule: Adjustment, flat: Kw, actual: Kw, base: Kw) -> tuple[Kw, float, bool]:
    """Baseline after the adjustment, the raw shift [kW] or ratio, and whether a cap bound it."""
    if rule.form == "additive":
        shift = float((actual - base).mean())
        limit = np.inf if rule.cap_frac is None else rule.cap_frac * np.abs(flat)
        step = np.clip(max(shift, 0.0) if rule.up_only else shift, -limit, limit)
        return flat + step, shift, bool(np.any(np.abs(shift) > limit))
    ratio = _ratio(actual, base)
    used = float(np.clip(ratio, *_ratio_limits(rule)))
    return flat * used, ratio, used != ratio


def _ratio(actual: Kw, base: Kw) -> float:
    total = float(base.sum())
    return float(actual.sum()) / total if total > 0 else 1.0


def _ratio_limits(rule: Adjustment) -> tuple[float, float]:
    low = 1.0 if rule.up_only else (0.0 if rule.cap_frac is None else 1 - rule.cap_frac)
    return low, np.inf if rule.cap_frac is None else 1 + rule.cap_frac


def _shares(rows: Ints, weights: NDArray[np.float64] | None) -> tuple[Bools, NDArray[np.float64]]:
    """Which rows are there, and the share of each; equal shares and given ones sum to one over what is there."""
    there = rows >= 0
    if weights is None:
        return there, np.where(there, 1.0 / np.maximum(1, there.sum(axis=0)), 0.0)
    held = np.where(there, weights, 0.0)
    total = held.sum(axis=0)
    return there, held / np.where(total != 0, total, 1.0)


def _mean_rows(net_kw: Kw, rows: Ints, weights: NDArray[np.float64] | None = None) -> Kw:
    there, share = _shares(rows, weights)
    return np.asarray((np.where(there, net_kw[rows], 0.0) * share).sum(axis=0))


def _date(number: int) -> date:
    return date.fromordinal(date(1970, 1, 1).toordinal() + number)
