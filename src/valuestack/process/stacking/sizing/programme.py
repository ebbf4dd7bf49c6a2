"""Programmes on offer: how many kW a site may enrol in each, beside given assets, and why no more.

    deliverable(t) = L (R(t) - max(m(t) - S(t), -export limit)),   held = min over the window of deliverable(t)

R: the level from which a programme counts (tag, average coincident load, firm level plus nomination as written, or the
net load where it is a baseline), m: net load without the asset, S: power that the serving assets hold for one call,
L: loss factor. A store holds the lesser of its power and what it keeps above its floor, over the length of a call; an
engine its rating (planned maintenance and fuel are judged by the plan, not here). Of assets that write their own rows
(moved loads) nothing is counted. A commitment of one asset (`capacity`) is held by that asset's own S.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import ceil, floor, inf
from typing import Any

import numpy as np

from ....errors import InputError
from ....flows import Given, Store, Unit
from ....streams.grid.enrolment import contradictions
from ....timeline import Kw, Timeline
from .. import layers
from ..cases import offers_of
from .case import Case

STEP_KW = 1.0  # whole kW, where a product states no step
SMALL_KW = 1e-6  # a nomination that stands for none


@dataclass(frozen=True, slots=True, eq=False)
class Programme:
    """A programme on offer. stream: bound, as written. written_kw: enrolled there. least_kw, step_kw: of the product
    (no least through an aggregator). held_kw: what these assets hold at every hour of its window. most_kw: the lesser
    of that and the stream's own max_kw, in steps. refused: why nothing may be enrolled, '' if something may."""

    stream: Any
    title: str
    written_kw: float
    least_kw: float
    step_kw: float
    held_kw: float
    most_kw: float
    refused: str = ""

    @property
    def name(self) -> str:
        return str(self.stream.name)

    def snapped(self, kw: float) -> float:
        """The enrolment that may be had next to so many kW: none, or at least the least, in steps, as written, or the
        most."""
        if self.refused:
            return 0.0
        if abs(kw - self.written_kw) < 1e-6:
            return self.written_kw
        down = floor(kw / self.step_kw + 1e-9) * self.step_kw
        if down >= self.least_kw:
            return down
        return self.lowest_kw if kw >= self.lowest_kw / 2 and self.lowest_kw <= self.most_kw else 0.0

    @property
    def lowest_kw(self) -> float:
        """The least that is more than none."""
        return max(1.0, ceil(self.least_kw / self.step_kw - 1e-9)) * self.step_kw


def enrollable(stream: Any) -> bool:
    """Whether a stream promises kW that a site may choose."""
    return hasattr(stream, "enrolled_at") and getattr(stream, "offered_kw", None) is not None


def programmes(case: Case, assets: Sequence[Any]) -> list[Programme]:
    """Programmes of the meter beside these assets, those that may not be joined with the reason."""
    if not any(enrollable(s) for s in case.m.meter.streams):
        return []
    p = case.on(assets)
    tariff = [p.ready.stream]
    out = []
    for s in case.m.meter.streams:
        if not enrollable(s):
            continue
        try:
            # Its size is what is asked: the least quantity is judged at the size found, not at the one written.
            bound = s.model_copy(update={"aggregated": True}).bind(p.place)
            bound = bound.model_copy(update={"aggregated": s.aggregated})
        except InputError as e:
            out.append(Programme(s, s.name, s.offered_kw, 0.0, STEP_KW, 0.0, 0.0, "; ".join(e.problems)))
            continue
        made = _offered(case, p, bound, s)
        banned = layers.contradictions(bound, tariff)
        out.append(replace(made, refused=banned[0]) if banned else made)
    return out


def _offered(case: Case, p: layers.Placed, bound: Any, written: Any) -> Programme:
    t = p.ready.timeline
    rules = bound.rules(t)
    least = 0.0 if written.aggregated else rules.min_kw
    step = rules.step_kw or STEP_KW
    held = held_kw(case, p, bound)
    cap = min(held, bound.max_kw or inf)
    most = max(0.0, floor(cap / step + 1e-9) * step)
    why = ""
    if most < max(least, step):
        by = "max_kw" if cap < held else "what these assets hold at every hour of its window"
        why = f"{rules.title} takes no less than {max(least, step):,.0f} kW, and {by} is {cap:,.0f} kW; " + (
            "raise max_kw" if cap < held else "add power or energy, or enrol through an aggregator"
        )
    return Programme(bound, rules.title, written.offered_kw, least, step, held, most, why)


def held_kw(case: Case, p: layers.Placed, stream: Any) -> float:
    """What the serving assets hold at every hour in which the programme may call [kW, at its own meter]."""
    m, t = p.ready, p.ready.timeline
    rules = stream.rules(t)
    can, hours = np.zeros(t.n), call_h(case, stream, t)
    floors = layers.reserve_kwh(p)
    net = np.array(m.before_kw, dtype=float)
    new = {a.name for a in m.new}
    for o in offers_of(m):
        if isinstance(o, Given):
            net += o.net_kw if o.name in new else 0.0
        elif not stream.assets or o.name in stream.assets:
            can += _power(o, hours, floors.get(o.name), t.n)
    window = rules.window(t, stream.days_off(t))
    if not window.any():
        return 0.0
    if rules.kind == "capacity":
        return float(np.min(can[window]))
    loss = stream.loss_frac
    level = stream.counted_from_kw
    from_kw = net if level is None else np.full(t.n, level / loss)
    if stream.drop_kw is not None:  # a guaranteed drop counts from the lesser of tag and baseline
        from_kw = np.minimum(from_kw, net)
    least = np.maximum(net - can, -np.asarray(m.meter.export_limit_kw))
    return max(0.0, float(np.min((loss * (from_kw - least))[window])))


def _power(o: Any, hours: float, floor_kwh: Kw | None, n: int) -> Kw:
    if isinstance(o, Store):
        low = np.asarray(o.energy_min_kwh)
        low = low if floor_kwh is None else np.maximum(low, floor_kwh)
        kept = np.maximum(np.asarray(o.energy_max_kwh) - low, 0.0)[:n] * o.discharge_efficiency_frac
        power = np.broadcast_to(np.asarray(o.discharge_max_kw, dtype=float), (n,))
        return np.minimum(power, kept / hours) if hours else power
    if isinstance(o, Unit) and o.sign < 0:
        return np.full(n, float(np.max(o.max_kw)))
    return np.zeros(n)


def call_h(case: Case, stream: Any, t: Timeline) -> float:
    """Hours for which a promise must be kept: the longest of the product's calls, tests and sustained hours, the
    stream's own and the calls of the data; 0 where none is stated."""
    rules = stream.rules(t)
    told = [c.n * t.step_h for c in stream.calls_of(case.m.world, t)]
    hours = [rules.max_event_h, rules.min_event_h, stream.hold_h, rules.tests and rules.tests.hours]
    hours.append(rules.capacity.sustain_h if rules.capacity is not None else None)
    return max([h for h in hours if h] + told, default=0.0)


def enrolled(case: Case, kw: Mapping[str, float], *, aggregated: bool = False) -> Case:
    """The case with these enrolments by stream name; a programme of none is left. aggregated: least quantities do not
    bind, as in a problem whose decisions they are."""
    out = []
    for s in case.m.meter.streams:
        if s.name in kw and enrollable(s):
            if kw[s.name] < SMALL_KW / 2:
                continue
            s = s.enrolled_at(kw[s.name])
            s = s.model_copy(update={"aggregated": True}) if aggregated else s
        out.append(s)
    return replace(case, m=replace(case.m, meter=replace(case.m.meter, streams=tuple(out))))


def sold_twice(at: Sequence[Programme], kw: Mapping[str, float], t: Timeline) -> str:
    """Why these enrolments may not stand together: a ban, or more kW promised than the assets that serve both hold;
    '' if they may. Programmes of which one names the other in `beside` may take the same kW by their own rules."""
    for a, b in combinations([p for p in at if kw[p.name] > 0], 2):
        said = contradictions([a.stream, b.stream], t)
        if said:
            return str(said[0])
        if not set(a.stream.assets) & set(b.stream.assets):
            continue
        mine, theirs = a.stream.rules(t), b.stream.rules(t)
        if theirs.name in mine.beside or mine.name in theirs.beside:
            continue
        most = max(a.held_kw, b.held_kw, a.written_kw, b.written_kw)
        if kw[a.name] + kw[b.name] > most * (1 + 1e-9):
            return f"{a.name} and {b.name} together promise more than the {most:,.0f} kW that serve both"
    return ""
