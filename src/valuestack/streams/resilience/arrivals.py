"""When outages come and how long they last: a Poisson process with durations of two kinds, and momentaries.

Interruptions arrive at SAIFI a year, with lognormal durations of mean CAIDI = SAIDI / SAIFI; major events arrive by
themselves with a longer mean and a heavier tail. A lognormal of mean m and median M has sigma = sqrt(2 ln(m / M)).
The part of it between quantiles a and b has the mean m [Phi(sigma - z_a) - Phi(sigma - z_b)] / (b - a), so that the
nodes of `durations` keep the mean exactly. Momentaries (MAIFI) are counted apart; IEEE 1366 counts from five minutes.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import erf, log, sqrt
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from ...errors import InputError, UnknownKind
from ...timeline import Ints, Kw, Timeline

Sort = Literal["sustained", "major", "momentary"]
SORTS: tuple[Sort, ...] = ("sustained", "major", "momentary")
_PHI = np.vectorize(lambda z: 0.5 * (1.0 + erf(z / sqrt(2.0))))
_EDGES = np.linspace(-6.0, 6.0, 601)  # of the nodes, in standard deviations of log duration


@dataclass(frozen=True, slots=True, eq=False)
class Sampled:
    """Outages drawn over a timeline, sorted by scenario and time: scenario (m,), start_h after the first interval
    begins (m,), hours (m,), sort (m,) index into SORTS."""

    scenario: Ints
    start_h: Kw
    hours: Kw
    sort: Ints

    def grid_present(self, timeline: Timeline, scenarios: int) -> Kw:
        """1 where the grid is there, 0 in every interval that a sustained outage touches, (scenarios, n)."""
        out = np.ones((scenarios, timeline.n))
        first = np.floor(self.start_h / timeline.step_h + 1e-12).astype(np.int64)
        until = np.ceil((self.start_h + self.hours) / timeline.step_h - 1e-12).astype(np.int64)
        for lane, a, b, sort in zip(self.scenario, first, until, self.sort, strict=True):
            if SORTS[sort] != "momentary":
                out[lane, a:b] = 0.0
        return out


class OutageModel(BaseModel):
    """Outages of one customer.

    saifi_per_y: sustained interruptions a year without major events, caidi_h their mean length, median_h their median.
    major_per_y, major_mean_h, major_median_h: major events. momentary_per_y: MAIFI; None = not known, not valued.
    month_share_frac: relative frequency of January .. December; none = alike.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = "outages"
    saifi_per_y: float = Field(ge=0)
    caidi_h: float = Field(gt=0)
    median_h: float | None = Field(default=None, gt=0)
    major_per_y: float = Field(default=0.0, ge=0)
    major_mean_h: float | None = Field(default=None, gt=0)
    major_median_h: float | None = Field(default=None, gt=0)
    momentary_per_y: float | None = Field(default=None, ge=0)
    month_share_frac: tuple[float, ...] = ()
    source: str = ""
    verified: bool = True

    @model_validator(mode="after")
    def _consistent(self) -> OutageModel:
        problems = []
        if self.major_per_y > 0 and self.major_mean_h is None:
            problems.append("major_mean_h: missing; major events need a mean length")
        for key, median, mean in (
            ("median_h", self.median_h, self.caidi_h),
            ("major_median_h", self.major_median_h, self.major_mean_h),
        ):
            if median is not None and mean is not None and median > mean:
                problems.append(
                    f"{key} = {median:g}: durations are skewed, their median lies at or below the mean ({mean:g} h)"
                )
        share = self.month_share_frac
        if share and (len(share) != 12 or min(share) < 0 or sum(share) <= 0):
            problems.append("month_share_frac: give twelve numbers of 0 or more, not all of them 0")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def _kinds(self) -> tuple[tuple[float, float, float], ...]:
        """(rate a year, mean, median) of sustained and major interruptions."""
        d = defaults()
        median = self.caidi_h * d["median_frac"] if self.median_h is None else self.median_h
        out = [(self.saifi_per_y, self.caidi_h, median)]
        if self.major_per_y > 0 and self.major_mean_h is not None:
            m = self.major_median_h
            out.append(
                (
                    self.major_per_y,
                    self.major_mean_h,
                    self.major_mean_h * d["major_median_frac"] if m is None else m,
                )
            )
        return tuple(out)

    @property
    def rate_per_y(self) -> float:
        """Sustained interruptions a year, major ones with them."""
        return sum(r for r, _, _ in self._kinds)

    @property
    def mean_h(self) -> float:
        """Mean length of them."""
        return sum(r * m for r, m, _ in self._kinds) / self.rate_per_y if self.rate_per_y else 0.0

    def longer_frac(self, hours: float) -> float:
        """Share of interruptions that last longer than `hours`."""
        if hours <= 0:
            return 1.0
        total = 0.0
        for rate, mean, median in self._kinds:
            sigma = sqrt(2 * log(mean / median))
            total += (
                rate * float(_PHI((log(median) - log(hours)) / sigma)) if sigma else rate * (hours < mean)
            )
        return total / self.rate_per_y if self.rate_per_y else 0.0

    def durations(self) -> tuple[Kw, Kw]:
        """Nodes of the lengths: hours (m,) and how many a year are of each (m,); sum and mean are exact."""
        hours, rates = [], []
        for rate, mean, median in self._kinds:
            sigma = sqrt(2 * log(mean / median))
            if sigma == 0:
                hours.append(np.array([mean]))
                rates.append(np.array([rate]))
                continue
            z = np.concatenate(([-np.inf], _EDGES, [np.inf]))
            p = np.diff(_PHI(z))
            part = mean * -np.diff(_PHI(sigma - z))
            keep = p > 1e-15
            hours.append(part[keep] / p[keep])
            rates.append(rate * p[keep])
        return np.concatenate(hours), np.concatenate(rates)

    def month_weight(self, timeline: Timeline) -> Kw:
        """Frequency at each interval against that of the year, (n,)."""
        if not self.month_share_frac:
            return np.ones(timeline.n)
        share = np.array(self.month_share_frac)
        return np.asarray((12 * share / share.sum())[timeline.month - 1])

    def sample(self, timeline: Timeline, scenarios: int, seed: int) -> Sampled:
        """Outages over a timeline in so many scenarios, by a seeded generator: the same seed, the same outages.

        An outage may begin within another one; that is as rare as two in the same hours.
        """
        if scenarios < 1:
            raise InputError(f"scenarios = {scenarios}: draw at least one")
        rng = np.random.default_rng(seed)
        weight = self.month_weight(timeline)
        years = timeline.hours / 8760 * float(weight.mean())
        rows: list[tuple[Ints, Kw, Kw, Ints]] = []
        kinds: list[tuple[int, float, float, float]] = [(i, *k) for i, k in enumerate(self._kinds)]
        if self.momentary_per_y:
            kinds.append((2, self.momentary_per_y, 0.0, 0.0))
        for sort, rate, mean, median in kinds:
            counts = rng.poisson(rate * years, scenarios)
            m = int(counts.sum())
            at = rng.choice(timeline.n, size=m, p=weight / weight.sum()) + rng.random(m)
            sigma = sqrt(2 * log(mean / median)) if mean else 0.0
            hours = median * np.exp(sigma * rng.standard_normal(m))
            rows.append(
                (np.repeat(np.arange(scenarios), counts), at * timeline.step_h, hours, np.full(m, sort))
            )
        scenario, start, hours, sorts = (np.concatenate(c) for c in zip(*rows, strict=True))
        order = np.lexsort((start, scenario))
        return Sampled(scenario[order], start[order], hours[order], sorts[order])

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Where its figures come from."""
        out = []
        if self.source:
            out.append(f"outages: {self.source}" + ("" if self.verified else "; not verified"))
        if self.median_h is None or (self.major_per_y > 0 and self.major_median_h is None):
            d = defaults()
            out.append(
                f"outages: medians of {d['median_frac']:.2f} and, for major events, {d['major_median_frac']:.2f} of "
                "the mean length are a choice, not verified"
            )
        if self.momentary_per_y is None:
            out.append("outages: no rate of momentary interruptions is given; they are not valued")
        if not self.month_share_frac:
            out.append("outages: taken as equally likely at all times")
        return tuple(out)


Outages = Annotated[
    Annotated[str, Tag("name")] | Annotated[OutageModel, Tag("model")],
    Discriminator(lambda v: "name" if isinstance(v, str) else "model"),
]


@cache
def _table(name: str) -> dict[str, Any]:
    return tomllib.loads(
        files("valuestack").joinpath("data", "outages", f"{name}.toml").read_text(encoding="utf-8")
    )


def defaults() -> dict[str, float]:
    """Median over mean of durations where none is given, of sustained and of major interruptions; not verified."""
    data = _table("us-eia")
    return {k: float(data[k]) for k in ("median_frac", "major_median_frac")}


def shipped_outages() -> Sequence[str]:
    """Names of the outage models that come with the library."""
    folder = files("valuestack").joinpath("data", "outages")
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))


def outages_of(written: str | OutageModel, where: str = "outages", *, year: int | None = None) -> OutageModel:
    """An outage model, or the shipped one of this name: of one year, or of all its years pooled.

    Major events are what SAIDI and SAIFI with and without them differ by. Errors: UnknownKind; InputError for a year
    that the data do not hold.
    """
    if isinstance(written, OutageModel):
        return written
    if written not in shipped_outages():
        raise UnknownKind("outage model", written, shipped_outages(), where=where)
    data = _table(written)
    rows = [r for r in data["years"] if year is None or r["year"] == year]
    if not rows:
        known = [r["year"] for r in data["years"]]
        raise InputError(f"{where}: {written} has no year {year}; it has {min(known)} to {max(known)}")

    def mean(key: str) -> float:
        return float(np.mean([r[key] for r in rows]))

    saifi, saidi_h = mean("saifi_without_per_y"), mean("saidi_without_min") / 60
    major, major_h = mean("saifi_per_y") - saifi, mean("saidi_min") / 60 - saidi_h
    caidi_h, major_mean_h = saidi_h / saifi, major_h / major
    span = f"{rows[0]['year']}" if len(rows) == 1 else f"{rows[0]['year']} to {rows[-1]['year']}"
    return OutageModel(
        name=f"{written} {span}",
        saifi_per_y=saifi,
        caidi_h=caidi_h,
        median_h=caidi_h * data["median_frac"],
        major_per_y=major,
        major_mean_h=major_mean_h,
        major_median_h=major_mean_h * data["major_median_frac"],
        source=f"{data['source']}, {span}; the spread of durations is a choice",
        verified=bool(data["verified"]) and bool(data["spread_verified"]),
    )
