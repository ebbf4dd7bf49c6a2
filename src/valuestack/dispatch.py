"""What happens, what is known, what is decided, what was metered.

World    named series as they happen; only plants and settlement read it
View     what is known at one moment, for policies; cannot reach past its own moment
Plan     what a policy decided, with its expectation and its reasons
Record   what was metered and commanded; the only ground of settlement
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal, Protocol

import numpy as np

from .errors import DataError, InputError
from .ledger import Ledger
from .timeline import Kw, Timeline


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Values over a timeline, (n,) or (scenarios, n), with unit and time of publication.

    lead_h: how long before its interval *starts* a value is published; 24 for a day-ahead price,
    0 for a calendar fact at its start, minus the step for a meter read at its interval's end.
    None = known for all time (a tariff calendar).
    """

    name: str
    values: Kw
    unit: str
    lead_h: float | None = 0.0


@dataclass(frozen=True, eq=False)
class World:
    """Everything that happens over a timeline, known to no one in advance.

    series: by name: load_kw, load_kvar, pv_kw, temperature_c, prices, grid_present...
    All series have n values along their last axis; `load_kw` is native load before any asset.
    """

    timeline: Timeline
    series: Mapping[str, Series]

    def __post_init__(self) -> None:
        bad = [
            f"series {s.name!r} has {s.values.shape[-1]} values, the timeline {self.timeline.n}"
            for s in self.series.values()
            if s.values.shape[-1] != self.timeline.n
        ]
        if bad:
            raise InputError.collect("world", bad)

    def __getitem__(self, name: str) -> Kw:
        try:
            return self.series[name].values
        except KeyError:
            raise DataError(f"the world holds no series {name!r}; it has {', '.join(self.series)}") from None

    def get(self, name: str) -> Kw | None:
        """Values of a series, or None where the world does not hold it."""
        found = self.series.get(name)
        return None if found is None else found.values


class Belief(Protocol):
    """Whoever answers for the future: a forecaster, or the world itself for a perfect-foresight bound."""

    def series(self, name: str, *, first: int, n: int, as_of: int) -> Kw:
        """Believed values of intervals first .. first + n - 1, knowing only what was public when interval
        `as_of` began, shape (n,) or (scenarios, n)."""
        ...


@dataclass(frozen=True, slots=True)
class Foresight:
    """Belief that reads the world: for bounds only, and labelled so wherever it is used."""

    world: World

    def series(self, name: str, *, first: int, n: int, as_of: int) -> Kw:
        return self.world[name][..., first : first + n]


@dataclass(slots=True, eq=False)
class Record:
    """What was metered or commanded, interval by interval; arrays end at the last closed interval.

    net_kw: (n,) or (scenarios, n) at the meter, load sign. net_kvar likewise or None. asset_kw: by asset
    name, load sign (a battery that charges is positive). stored_kwh: by store name, energy at interval
    ends. commands_kw: what was sent to each asset. extra: fuel_gal, run, awards by 'asset/name'.
    quality: (n,) 0 = metered, 1 = repaired or estimated, or None for all metered.
    """

    timeline: Timeline
    net_kw: Kw
    net_kvar: Kw | None = None
    asset_kw: Mapping[str, Kw] = field(default_factory=dict)
    stored_kwh: Mapping[str, Kw] = field(default_factory=dict)
    commands_kw: Mapping[str, Kw] = field(default_factory=dict)
    extra: Mapping[str, Kw] = field(default_factory=dict)
    quality: np.ndarray[Any, Any] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """What a market or a programme asks of a site: an event, or awards of a day that may be offered for.

    It covers intervals first .. first + n - 1 of the timeline, is public from the beginning of interval `known` on and
    may be answered until that of `answer`; who does not answer refuses. direction: 'up' = less net load. kw: what is
    asked (inf = as much as the site likes), or the most that may be offered; least_kw: less counts as nothing.
    block: intervals over which an award is constant, 0 = an event. claim: 'owner/name' under which an award is settled,
    '' for an event. assets: who serves it, () = whoever can. mandatory: the refusal costs penalty_usd_per_kwh as well
    (gross), which is otherwise due only on what was accepted and is missing. by_meter: what an event pays is settled
    from the meter even where it was refused; False = it then does not take place.
    Of an award: sustain_h of energy stand behind it, and up_frac, down_frac of it are called in the mean; the billed
    peak sees exposure_frac; may_share names claims that may hold the same kW (terms.Claim).
    """

    stream: str
    name: str
    first: int
    n: int
    known: int
    answer: int
    direction: Literal["up", "down", "both"] = "up"
    kw: float = inf
    least_kw: float = 0.0
    block: int = 0
    claim: str = ""
    assets: tuple[str, ...] = ()
    mandatory: bool = False
    penalty_usd_per_kwh: float = 0.0
    sustain_h: float = 0.0
    up_frac: float = 0.0
    down_frac: float = 0.0
    exposure_frac: float = 0.0
    may_share: tuple[str, ...] = ()
    by_meter: bool = True

    @property
    def key(self) -> str:
        """'stream/name', by which plans answer."""
        return f"{self.stream}/{self.name}"

    @property
    def span(self) -> slice:
        """Its intervals."""
        return slice(self.first, self.first + self.n)


@dataclass(slots=True, eq=False)
class View:
    """What is known when interval `k` of `timeline` begins. Policies read nothing else.

    n: how many intervals from k on the decision may look at. belief: answers for those intervals.
    now: measured at this moment by name (load_kw as metered inside the running interval by fast
    telemetry, where the plant has it). record: closed intervals 0..k-1 are valid, later ones are not to
    be read (`past` cuts them off). asset_state, stream_state: by name. age_s: age of each channel. calls: those that
    are public and not over; answers: kW promised to each call that was answered, (its n,), zeros = refused.
    """

    timeline: Timeline
    k: int
    n: int
    belief: Belief
    asset_state: Mapping[str, Any]
    stream_state: Mapping[str, Any] = field(default_factory=dict)
    now: Mapping[str, Any] = field(default_factory=dict)
    record: Record | None = None
    age_s: Mapping[str, float] = field(default_factory=dict)
    calls: tuple[Call, ...] = ()
    answers: Mapping[str, Kw] = field(default_factory=dict)

    def series(self, name: str) -> Kw:
        """Believed values over the horizon, shape (n,) or (scenarios, n)."""
        return self.belief.series(name, first=self.k, n=self.n, as_of=self.k)

    @property
    def horizon(self) -> Timeline:
        """The intervals that the decision covers."""
        return (
            self.timeline if self.k == 0 and self.n == self.timeline.n else self.timeline.part(self.k, self.n)
        )


@dataclass(slots=True, eq=False)
class Plan:
    """What was decided: setpoints_kw by asset, load sign, the first one is for interval k.

    Values are scalars or (lanes,) for the running interval in the loop, (n,) for a whole horizon.
    awards_kw: by claim 'owner/name' over a horizon; in the loop by the key of a call, kW promised to it, a number or
    (its n,), 0 = refused. accepted: keys of calls taken at all that they ask. expected: money expected, marked
    'bound' or 'provisional', never a settlement. why: sentences for a person. lower_bound_usd,
    objective_usd: of the problem solved, where one was.
    """

    setpoints_kw: Mapping[str, Any]
    awards_kw: Mapping[str, Any] = field(default_factory=dict)
    accepted: tuple[str, ...] = ()
    expected: Ledger = field(default_factory=Ledger)
    why: tuple[str, ...] = ()
    objective_usd: float | None = None
    lower_bound_usd: float | None = None
    duals: Mapping[str, Any] = field(default_factory=dict)
