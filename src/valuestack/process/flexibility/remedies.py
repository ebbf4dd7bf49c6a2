"""A recurring spike and what answers it: starts one after another, another time, cold ahead, a battery.

Every saving is the difference of two settled bills: that of the load as metered, and that of the load changed. The
rebound peak is the highest load in the hours into which the energy moved. Where an asset of the site is planned with
the future known, its saving is labelled a bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ...dispatch import Foresight, Series, View, World
from ...errors import InputError, ValuestackError
from ...terms import Term
from ...timeline import Kw, Timeline
from ..audit.spikes import Pattern

Settle = Callable[[Kw], float]
TermsOf = Callable[[int, int], Sequence[Term]]
HOURS_A_YEAR = 8760.0
SETTLED, BOUND = "settled on the metered load", "settled, planned with the future known: a bound"


class RemedyOptions(BaseModel):
    """What must be known of the machines behind a spike.

    machines: how many start together; shift_max_h: how far their start may be moved; interlock_usd, shift_usd: what
    a change of the sequence and of the clock costs; battery_usd_per_kw, battery_usd_per_kwh, battery_om_frac.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    machines: int = Field(default=2, ge=2, le=20)
    shift_max_h: float = Field(default=2.0, ge=0)
    interlock_usd: float = Field(default=0.0, ge=0)
    shift_usd: float = Field(default=0.0, ge=0)
    battery_usd_per_kw: float | None = Field(default=None, ge=0)
    battery_usd_per_kwh: float | None = Field(default=None, ge=0)


@dataclass(frozen=True, slots=True)
class Remedy:
    """One answer to a spike. saving_usd_per_y: difference of settled bills, scaled to a year; cost_usd: once;
    om_usd_per_y; rebound_peak_kw: highest load where the energy went; payback_y: None = never, or cost not known."""

    name: str
    how: str
    saving_usd_per_y: float
    cost_usd: float | None
    om_usd_per_y: float
    peak_before_kw: float
    peak_after_kw: float
    rebound_peak_kw: float
    payback_y: float | None
    label: str
    assumptions: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {k: getattr(self, k) for k in self.__dataclass_fields__} | {
            "assumptions": list(self.assumptions)
        }

    def row(self) -> dict[str, Any]:
        """One row of a table."""
        return {
            "remedy": self.name,
            "how": self.how,
            "saving USD/y": round(self.saving_usd_per_y, 2),
            "cost USD": None if self.cost_usd is None else round(self.cost_usd, 2),
            "peak kW": round(self.peak_after_kw, 1),
            "rebound peak kW": round(self.rebound_peak_kw, 1),
            "payback y": None if self.payback_y is None else round(self.payback_y, 2),
            "label": self.label,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Spikes:
    """The spikes of a load, found where the pattern says: (first, until) intervals, and the excess over what is
    drawn around them, (n,) kW."""

    events: tuple[tuple[int, int], ...]
    excess_kw: Kw
    floor_kw: Kw


def spikes_of(timeline: Timeline, kw: Kw, pattern: Pattern) -> Spikes:
    """Excess of each recurrence over the mean of as long a stretch on either side.

    A spike may come a little early or late: the stretch of its length with the most energy within a tenth of the
    period (at least one interval) around its hour is taken.
    """
    h, n = timeline.step_h, timeline.n
    length = max(1, round(pattern.duration_h / h))
    slack = max(1, round(0.1 * pattern.period_h / h))
    after_midnight = float(timeline.local_s[0] % 86400) / 3600
    first = (pattern.phase_h - after_midnight) % pattern.period_h
    sums = np.concatenate(([0.0], np.cumsum(kw)))
    excess, floor, events, until = np.zeros(n), kw.copy(), [], 0
    for j in range(int((n * h - first) / pattern.period_h) + 1):
        near = round((first + j * pattern.period_h) / h)
        starts = np.arange(max(until, near - slack), min(n - length, near + slack) + 1)
        if not starts.size:
            continue
        a = int(starts[np.argmax(sums[starts + length] - sums[starts])])
        b = a + length
        around = np.concatenate((kw[max(0, a - length) : a], kw[b : b + length]))
        base = float(around.mean()) if around.size else float(kw[a:b].min())
        over = np.maximum(kw[a:b] - base, 0.0)
        if over.max(initial=0.0) < 0.3 * pattern.height_kw:
            continue
        excess[a:b], until = over, b
        floor[a:b] = kw[a:b] - over
        events.append((a, b))
    return Spikes(tuple(events), excess, floor)


def remedies(
    timeline: Timeline,
    load_kw: Kw,
    spike: Pattern,
    settle: Settle,
    *,
    terms: TermsOf | None = None,
    assets: Sequence[Any] = (),
    battery: Any = None,
    options: RemedyOptions | None = None,
    world: World | None = None,
) -> tuple[Remedy, ...]:
    """Answers to a recurring spike, best first: by pay-back, then by saving; what saves nothing comes last.

    load_kw: (n,) as metered. settle: the bill in USD of a net load (n,). terms: what the tariff asks of the
    intervals first .. first + n - 1, by (first, n), to plan assets with; assets: flexible and thermal loads of the
    site. battery: a Battery whose other values are kept while it is sized
    to the spike; None = none is tried. Errors: InputError where no spike is found in the load.
    """
    o = options or RemedyOptions()
    kw = np.asarray(load_kw, dtype=float)
    found = spikes_of(timeline, kw, spike)
    if not found.events:
        raise InputError(
            f"{spike}: no such spike is in this load; audit the load that the pattern was found in"
        )
    made = _Answers(timeline, kw, spike, found, settle, settle(kw), o)
    out = [made.interlock()]
    if o.shift_max_h > 0:
        out += [r for r in [made.shifted()] if r is not None]
    if terms is not None:
        here = world or World(timeline, {"load_kw": Series("load_kw", kw, "kW")})
        out += [r for a in assets for r in [made.planned(a, here, terms)] if r is not None]
    if battery is not None:
        out.append(made.stored(battery))
    return tuple(
        sorted(out, key=lambda r: (inf if r.payback_y is None else r.payback_y, -r.saving_usd_per_y))
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Answers:
    timeline: Timeline
    kw: Kw
    spike: Pattern
    found: Spikes
    settle: Settle
    before_usd: float
    o: RemedyOptions

    def remedy(
        self,
        name: str,
        how: str,
        after_kw: Kw,
        cost_usd: float | None,
        *,
        om_usd_per_y: float = 0.0,
        operation_usd: float = 0.0,
        label: str = SETTLED,
        assumptions: tuple[str, ...] = (),
    ) -> Remedy:
        """Settled and laid beside the load as it was. operation_usd: what running it cost over the span."""
        span_y = self.timeline.hours / HOURS_A_YEAR
        saving = (self.before_usd - self.settle(after_kw) - operation_usd) / span_y
        net = saving - om_usd_per_y
        grown = after_kw > self.kw + 1e-9
        payback = None
        if cost_usd is not None and net > 0.005:
            payback = cost_usd / net
        notes = assumptions
        if span_y < 0.99:
            notes = (*notes, f"scaled to a year from {span_y * 12:.1f} months")
        return Remedy(
            name,
            how,
            saving,
            cost_usd,
            om_usd_per_y,
            float(self.kw.max()),
            float(after_kw.max()),
            float(after_kw[grown].max(initial=0.0)),
            payback,
            label,
            notes,
        )

    def interlock(self) -> Remedy:
        """Machines that start together start one after another: each takes its share of the spike, in turn."""
        m = self.o.machines
        after = self.found.floor_kw.copy()
        for a, b in self.found.events:
            for turn in range(m):
                self._lay(after, a + turn * (b - a), self.found.excess_kw[a:b] / m)
        minutes = 60 * self.spike.duration_h
        notes: tuple[str, ...] = (
            f"{m} machines alike start together (machines); each may wait {(m - 1) * minutes:.0f} minutes",
        )
        crowded = m * self.spike.duration_h > self.spike.period_h
        if crowded:
            notes = (*notes, "their turns run into the next spike")
        return self.remedy(
            "stagger or interlock starts",
            f"{m} machines one after another, {minutes:.0f} minutes apart",
            after,
            self.o.interlock_usd,
            assumptions=notes,
        )

    def _lay(self, after: Kw, first: int, kw: Kw) -> None:
        """Put power where it moved to; what would leave the data stays at their edge."""
        first = min(max(first, 0), after.size - kw.size)
        after[first : first + kw.size] += kw

    def shifted(self) -> Remedy | None:
        """The same delay or advance of every start that lowers the bill most."""
        step = max(self.timeline.step_h, self.o.shift_max_h / 8)
        best: tuple[float, float, Kw] | None = None
        for j in range(-int(self.o.shift_max_h / step + 1e-9), int(self.o.shift_max_h / step + 1e-9) + 1):
            by = round(j * step / self.timeline.step_h)
            if by == 0:
                continue
            after = self.found.floor_kw.copy()
            for a, b in self.found.events:
                self._lay(after, a + by, self.found.excess_kw[a:b])
            usd = self.settle(after)
            if best is None or usd < best[0]:
                best = (usd, by * self.timeline.step_h, after)
        if best is None:
            return None
        later = "later" if best[1] > 0 else "earlier"
        return self.remedy(
            "shift",
            f"every start {abs(best[1]):g} h {later}",
            best[2],
            self.o.shift_usd,
            assumptions=(f"the process allows a shift of up to {self.o.shift_max_h:g} h (shift_max_h)",),
        )

    def planned(self, asset: Any, world: World, terms: TermsOf) -> Remedy | None:
        """What a flexible or thermal load of the site does about it, planned with the future known."""
        try:
            net, operation_usd = plan_alone(asset, world, terms, self.kw)
        except ValuestackError:
            return None
        chills = hasattr(asset, "hours_off")
        return self.remedy(
            f"pre-cool ({asset.name})" if chills else f"flex {asset.name}",
            "chilled ahead, compressors rest at the spike" if chills else "called when it pays",
            net,
            float(getattr(asset, "control_capex_usd", 0.0)),
            om_usd_per_y=float(getattr(asset, "control_om_usd_per_y", 0.0)),
            operation_usd=operation_usd,
            label=BOUND,
        )

    def stored(self, battery: Any) -> Remedy:
        """A battery sized to the spike gives the excess and takes it back evenly between two spikes."""
        height = float(np.quantile([self.found.excess_kw[a:b].max() for a, b in self.found.events], 0.9))
        h, n = self.timeline.step_h, self.timeline.n
        longest = max(float(self.found.excess_kw[a:b].sum()) * h for a, b in self.found.events)
        ec, ed = battery.efficiencies
        window = battery.soc_max_frac - battery.soc_min_frac
        sized = battery.with_size(height, longest / ed / window)
        sized = sized.model_copy(update={"soc_start_frac": sized.soc_max_frac})
        rest = max(h, self.spike.period_h - 1.5 * self.spike.duration_h)
        refill_kw = longest / ed / ec / rest
        world = World(self.timeline, {"load_kw": Series("load_kw", self.kw, "kW")})
        wish = np.where(self.found.excess_kw > 0, -self.found.excess_kw, refill_kw)
        state, after = sized.initial_state(), self.kw.copy()
        stored, power = np.zeros(n), np.zeros(n)
        for k in range(n):
            state, moved = sized.step(state, wish[k : k + 1], world, k)
            stored[k], power[k] = state[0], moved[0]
        after += power
        o = self.o
        cost = None
        if o.battery_usd_per_kw is not None and o.battery_usd_per_kwh is not None:
            cost = o.battery_usd_per_kw * sized.power_kw + o.battery_usd_per_kwh * sized.energy_kwh
        notes = (
            ()
            if cost is not None
            else ("battery_usd_per_kw and battery_usd_per_kwh are not given: no pay-back",)
        )
        return self.remedy(
            "battery",
            f"{sized.power_kw:,.0f} kW, {sized.energy_kwh:,.0f} kWh, refilled at {refill_kw:,.0f} kW between spikes",
            after,
            cost,
            assumptions=(*notes, "full before the first spike; wear is left out, a study counts it"),
        )


def plan_alone(asset: Any, world: World, terms: TermsOf, load_kw: Kw) -> tuple[Kw, float]:
    """Net load of a site (n,) with one asset planned, and what its operation costs [USD].

    A span of more than two months is planned month by month, each from the asset's state at its set point: what
    is borrowed is returned within the month. Errors: whatever the plan raises.
    """
    from ...stack.optimise import optimise

    t = world.timeline
    cuts = [0, t.n]
    if t.hours > 24 * 62:
        cuts = [0, *(np.flatnonzero(np.diff(t.month_id)) + 1).tolist(), t.n]
    net, usd = np.empty(t.n), 0.0
    for first, until in pairwise(cuts):
        n = until - first
        horizon = t if n == t.n else t.part(first, n)
        part = World(
            horizon,
            {s.name: Series(s.name, s.values[..., first:until], s.unit) for s in world.series.values()},
        )
        view = View(horizon, 0, n, Foresight(part), {asset.name: asset.initial_state()})
        plan = optimise(
            horizon,
            np.asarray(load_kw[first:until]),
            [asset.belief(view)],
            list(terms(first, n)),
            gap=1e-3,
            time_limit_s=20.0,
        )
        net[first:until] = plan.net_kw
        usd += sum(v for k, v in plan.term_usd.items() if k.split("/")[0] == asset.name)
    return net, usd
