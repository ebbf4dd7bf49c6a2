"""Promises: what calls ask of one store, as the compiled plan reads it, and what they pay by the streams' own terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ..dispatch import Belief, Call, View, World
from ..errors import DataError
from ..flows import Store
from ..forecast.forecaster import Believed, Forecaster
from ..forecast.similar_day import SimilarDay
from ..terms import Block, Claim, HoursUse, Payment, Term
from ..timeline import Kw, Timeline
from .obliged_kernel import Duty, duty_of
from .sharing import Families


class Unannounced:
    """A forecast of calls that nobody announced: none."""

    kind: ClassVar[str] = "unannounced"

    def predict(self, past: Kw, timeline: Timeline, n: int) -> Kw:
        """Zeros."""
        return np.zeros(n)


def belief_of(world: World, streams: Sequence[Any], given: dict[str, Forecaster] | None = None) -> Belief:
    """What may be believed of a world: published values, and forecasts by similar days; calls only as announced."""
    by_name: dict[str, Forecaster] = {}
    for name in world.series:
        by_name[name] = SimilarDay()
    for s in streams:
        inner = s
        while hasattr(inner, "inner"):
            inner = inner.inner
        flag = getattr(inner, "events", None)
        if isinstance(flag, str):
            by_name[flag] = Unannounced()
    return Believed(world, {**by_name, **(given or {})})


# --- what a promise asks of the store --------------------------------------------------------------------


SLACK_KWH = 1e-6  # by which a walk may miss what charging can just bring
NOTHING = (1 << 40, -1)  # a range without a boundary


class Promises:
    """The Duty of one store, with promises laid on and taken off. floor_kwh: (n + 1,) what a reserve keeps above the
    store's least; promises stand above it.

    Claims that may share count as the largest of them (sharing.py). Headroom that is kept ready (`stand`) yields where
    it cannot be: below it, the store is asked for what charging brings (`within_reach`), and the event for which it was
    kept uses it up, from whose end on it is built up again.
    """

    def __init__(self, duty: Duty, store: Store, step_h: float, floor_kwh: Kw | None = None) -> None:
        self.duty, self.h = duty, step_h
        self.floor_kwh = np.zeros(duty.need.size) if floor_kwh is None else floor_kwh
        duty.need[:] = self.floor_kwh
        self.ec, self.ed = store.charge_efficiency_frac, store.discharge_efficiency_frac
        self._charge_kw = float(np.max(store.charge_max_kw))
        n = duty.up.size
        self._need, self._spare = np.zeros(n), np.zeros(n)
        self.families = Families()
        self._held: dict[int, dict[str, tuple[Call, Kw]]] = {}
        self.ready: dict[str, tuple[Call, Kw]] = {}
        self._bare = np.zeros(n)  # need of awards alone
        self._reach = np.full(n + 1, np.inf)  # most that can be in store
        self._gain = np.full(n, self._charge_kw * self.ec * step_h)  # most that an interval brings
        self._eased = NOTHING  # boundaries at which an event eased the need
        self._end = n  # of the horizon

    def award(self, c: Call, first: int, kw: Kw) -> None:
        """Lay an award of kw (m,) from interval `first` on; kw below zero takes it off."""
        d, at = self.duty, slice(first, first + kw.size)
        if c.direction != "down":
            d.drift[at] -= c.up_frac * kw
            d.called[at] -= c.up_frac * kw
            d.drain[at] += c.up_frac * kw / self.ed
        if c.direction != "up":
            d.drift[at] += c.down_frac * kw
            d.called[at] += c.down_frac * kw
            d.drain[at] -= c.down_frac * kw * self.ec
            d.expose[at] += c.exposure_frac * kw
        self._hold(c, at, kw)
        self._lay_kwh(first, first + kw.size)

    def stand(self, c: Call, first: int, kw: Kw) -> None:
        """Keep kw (m,) ready from interval `first` on, in place of what was kept there: room and energy, no call."""
        n = self.duty.up.size
        if c.claim not in self.ready:
            self.ready[c.claim] = c, np.zeros(n)
            self._lay_bare(slice(0, n))
        row = self.ready[c.claim][1]
        self._hold(c, slice(first, first + kw.size), kw - row[first : first + kw.size])
        row[first : first + kw.size] = kw
        self._lay_kwh(first, first + kw.size)

    def _hold(self, c: Call, at: slice, kw: Kw) -> None:
        """Power and energy of so much more; of a family that of its largest."""
        d, group = self.duty, self._held.setdefault(self.families.of(c), {})
        row = group.setdefault(c.claim, (c, np.zeros(d.up.size)))[1]
        if len(group) == 1:
            row[at] += kw
            if c.direction != "down":
                d.up[at] += kw
                self._need[at] += c.sustain_h * kw / self.ed
            if c.direction != "up":
                d.down[at] += kw
                self._spare[at] += c.sustain_h * kw * self.ec
        else:
            before = self._largest(group, "down", at), self._largest(group, "up", at)
            row[at] += kw
            after = self._largest(group, "down", at), self._largest(group, "up", at)
            d.up[at] += after[0][0] - before[0][0]
            d.down[at] += after[1][0] - before[1][0]
            self._need[at] += (after[0][1] - before[0][1]) / self.ed
            self._spare[at] += (after[1][1] - before[1][1]) * self.ec
        if self.ready:
            self._lay_bare(at)

    def _largest(
        self, group: Mapping[str, tuple[Call, Kw]], without: str, at: slice, awards: bool = False
    ) -> tuple[Kw, Kw]:
        """The largest kW and kWh of a family's members in one direction. awards: of those that are not kept ready."""
        kw = np.zeros(at.stop - at.start)
        kwh = np.zeros(at.stop - at.start)
        for c, row in group.values():
            if c.direction != without and not (awards and c.claim in self.ready):
                kw = np.maximum(kw, row[at])
                kwh = np.maximum(kwh, c.sustain_h * row[at])
        return kw, kwh

    def _lay_bare(self, at: slice) -> None:
        """The need of awards alone."""
        self._bare[at] = 0.0
        for group in self._held.values():
            self._bare[at] += self._largest(group, "down", at, awards=True)[1] / self.ed

    def _lay_kwh(self, first: int, until: int) -> None:
        """Energy at the boundaries of intervals, from that of the intervals on both sides."""
        at = slice(first, until + 1)
        self.duty.spare[at] = _both_sides(self._spare, first, until)
        self.duty.need[at] = self.floor_kwh[at] + _both_sides(self._need, first, until)
        if self.ready:
            self._yield(first, until, self._reach[at])

    def _yield(self, first: int, until: int, reach_kwh: Kw) -> None:
        """Ask for no more than can be there, but what awards ask."""
        at = slice(first, until + 1)
        bare = self.floor_kwh[at] + _both_sides(self._bare, first, until)
        self.duty.need[at] = np.maximum(
            np.minimum(self.duty.need[at], reach_kwh), np.minimum(bare, self.duty.need[at])
        )

    def within_reach(self, k: int, m: int, stored_kwh: float, most_in_kw: Kw) -> None:
        """Where headroom is kept ready, ask for no more than can be in store over m intervals from k on, where
        stored_kwh above the least are there now. most_in_kw: (m,) what may be drawn."""
        if not self.ready:
            return
        at, d = slice(k, k + m), self.duty
        self._gain[at] = (
            np.clip(most_in_kw, 0.0, np.maximum(self._charge_kw - d.down[at], 0.0)) * self.ec * self.h
        )
        self._reach[k : k + m + 1] = (
            stored_kwh + np.concatenate(([0.0], np.cumsum(self._gain[at]))) - SLACK_KWH
        )
        self._lay_kwh(k, k + m)

    def event(self, span: slice, most_kw: Kw, fine_usd_per_kwh: float, stream: str = "") -> None:
        """Cap the net load of an event; the lowest cap holds. stream: whose event; what it kept ready is used up."""
        d = self.duty
        d.most[span] = np.minimum(d.most[span], most_kw)
        d.fine[span] = np.maximum(d.fine[span], fine_usd_per_kwh)
        if any(c.stream == stream for c, _ in self.ready.values()):
            until = max(self._end, span.stop)
            brought = np.cumsum(self._gain[span.stop : until])
            again = np.concatenate((np.zeros(span.stop - span.start), brought)) - SLACK_KWH
            self._yield(span.start + 1, until, again)
            self._eased = min(self._eased[0], span.start + 1), max(self._eased[1], until)

    def clear(self, k: int, m: int) -> None:
        """No caps of events in m intervals from k on."""
        self.duty.most[k : k + m + 1], self.duty.fine[k : k + m + 1] = np.inf, 0.0
        first, until = self._eased
        if first <= until:
            self._lay_kwh(first, until)
            self._eased = NOTHING

    def ready_alone(self, k: int, m: int) -> Duty:
        """The duty of m intervals from k on with what is kept ready, and without any award."""
        d, at, n = self.duty, slice(k, k + m), self.duty.up.size
        groups: dict[int, dict[str, tuple[Call, Kw]]] = {}
        for key, held in self.ready.items():
            groups.setdefault(self.families.of(held[0]), {})[key] = held
        kw, kwh = np.zeros((2, n)), np.zeros((2, n))
        for group in groups.values():
            for i, without in enumerate(("down", "up")):
                largest = self._largest(group, without, at)
                kw[i, at] += largest[0]
                kwh[i, at] += largest[1]
        need, spare = d.need.copy(), d.spare.copy()
        here, floor = slice(k, k + m + 1), self.floor_kwh[k : k + m + 1]
        need[here] = np.minimum(
            floor + _both_sides(kwh[0] / self.ed, k, k + m), np.maximum(d.need[here], floor)
        )
        spare[here] = _both_sides(kwh[1] * self.ec, k, k + m)
        nothing = np.zeros(n)
        return d._replace(
            up=kw[0], down=kw[1], need=need, spare=spare, drift=d.drift - d.called, called=nothing, drain=nothing,
            expose=nothing,
        )  # fmt: skip

    def part(self, k: int, m: int) -> Part:
        """A copy of what is promised from k on, over m intervals."""
        rows = tuple(r[k : k + m + (r.size > self.duty.up.size)].copy() for r in self.duty)
        more = tuple(r[k : k + m].copy() for r in (self._need, self._spare, self._bare, self._gain))
        held = {
            f: {key: (c, row[k : k + m].copy()) for key, (c, row) in group.items()}
            for f, group in self._held.items()
        }
        return Part(self, k, rows, more, self._reach[k : k + m + 1].copy(), held)


def _both_sides(rows: Kw, first: int, until: int) -> Kw:
    """The greater of the intervals before and after each boundary from `first` to `until`, (until - first + 1,)."""
    padded = np.concatenate(([rows[first - 1] if first else 0.0], rows[first : until + 1], [0.0]))
    return np.asarray(np.maximum(padded[: until - first + 1], padded[1 : until - first + 2]))


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What was promised of a horizon at one moment."""

    of: Promises
    k: int
    rows: tuple[Kw, ...]
    more_kwh: tuple[Kw, ...]
    reach_kwh: Kw
    held: Mapping[int, Mapping[str, tuple[Call, Kw]]]

    def whole(self) -> Promises:
        """Promises over the timeline again, nothing beyond the horizon."""
        out, n = copy(self.of), self.of.duty.up.size
        out.duty = duty_of(n)
        out.duty.need[:] = self.of.floor_kwh
        for row, saved in zip(out.duty, self.rows):
            row[self.k : self.k + saved.size] = saved

        def again(saved: Kw, fill: float = 0.0, size: int = n) -> Kw:
            row = np.full(size, fill)
            row[self.k : self.k + saved.size] = saved
            return row

        out._need, out._spare, out._bare, out._gain = (again(saved) for saved in self.more_kwh)
        out._reach = again(self.reach_kwh, np.inf, n + 1)
        out._held = {
            f: {key: (c, again(kw)) for key, (c, kw) in group.items()} for f, group in self.held.items()
        }
        out.ready = {
            key: one for group in out._held.values() for key, one in group.items() if key in self.of.ready
        }
        out._eased = NOTHING
        return out


# --- what a promise pays ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Pay:
    """Payments of one event as functions of the net load in its intervals, at the owner's share.

    span: intervals of the timeline that are still to come. reference_kw: (m,) of the first payment that has one.
    netted: more load in one interval counts against less in another, so only the sum matters. done_kwh: what the
    event has brought already.
    """

    call: Call
    span: slice
    reference_kw: Kw | None
    firm_kw: float | None
    terms: tuple[tuple[Payment, Kw | None, float], ...]
    step_h: float
    netted: bool = True
    done_kwh: float = 0.0

    def most_kw(self, load_kw: Kw, kw: float, done_h: float = 0.0) -> Kw:
        """Most net load in each interval of the span that keeps a promise of kw, for a load (m,). Where intervals are
        netted, what is still missing is taken off the load evenly; else each stays below its own level."""
        if self.firm_kw is not None:
            return np.full(load_kw.size, self.firm_kw)
        if self.reference_kw is None:
            return load_kw - kw
        if not self.netted:
            return self.reference_kw - kw
        hours = load_kw.size * self.step_h
        missing = kw * (hours + done_h) - self.done_kwh
        return load_kw - max(
            0.0, (missing - float((self.reference_kw - load_kw).sum()) * self.step_h) / hours
        )

    def usd(self, net_kw: Kw, discharge_kw: Kw) -> tuple[float, float]:
        """Revenue and penalty of the event (penalty >= 0) for the net load and the store's discharge in its span."""
        revenue = penalty = 0.0
        for term, reference, so_far in self.terms:
            if reference is not None:
                q = (reference - net_kw) * self.step_h
            elif term.measure.asset is not None:
                q = discharge_kw * self.step_h
            else:
                q = np.maximum(net_kw, 0.0) * self.step_h
            missing = _is_penalty(term)
            if term.over == "each":
                usd = float(
                    sum(_cost(term.blocks, x if missing else max(x, 0.0), i) for i, x in enumerate(q))
                )
            else:
                total = so_far + float(q.sum())
                usd = _cost(term.blocks, total if missing else max(total, 0.0), 0)
            if missing and reference is None and term.measure.asset is None:
                penalty += usd  # above a firm level
            elif missing:
                # Stated as a reward of each kWh up to what was promised; what is missing is the rest of it.
                upto = term.blocks[0].upto
                assert not isinstance(upto, HoursUse)
                penalty += usd - _cost(term.blocks, float(np.max(upto)), 0)
            else:
                revenue -= usd
        return revenue, penalty

    def from_interval(self, k: int, net_kw: Kw | None) -> Pay:
        """The same event once the intervals before k are metered: what they brought is done."""
        first, was = max(k, self.call.first), self.span.start
        if first <= was or net_kw is None:
            return self
        gone, terms = first - was, []
        done = self.done_kwh
        for term, reference, so_far in self.terms:
            blocks = term.blocks
            if reference is not None:
                brought = float((reference[:gone] - net_kw[was:first]).sum()) * self.step_h
                done, so_far, reference = self.done_kwh + brought, so_far + brought, reference[gone:]
            if term.over == "each":
                blocks = tuple(Block(b.upto, _there(b.usd_per_unit, slice(gone, None))) for b in blocks)
            terms.append((replace(term, blocks=blocks), reference, so_far))
        base = None if self.reference_kw is None else self.reference_kw[gone:]
        return replace(
            self, span=slice(first, self.span.stop), reference_kw=base, terms=tuple(terms), done_kwh=done
        )

    @property
    def usd_per_kwh(self) -> float:
        """What a kWh that is missing forfeits, the mean over the event."""
        low = np.zeros(self.span.stop - self.span.start)
        if self.reference_kw is None:
            level = self.firm_kw or 0.0
            a, b = self.usd(low + level, low), self.usd(low + level + 1.0, low)
        else:
            a, b = self.usd(self.reference_kw - 1.0, low + 1.0), self.usd(self.reference_kw, low)
        kwh = low.size * self.step_h
        return max(0.0, ((a[0] - a[1]) - (b[0] - b[1])) / kwh) if kwh else 0.0


def _is_penalty(term: Payment) -> bool:
    return term.name.startswith(("shortfall", "above firm"))


def _cost(blocks: Sequence[Block], quantity: float, i: int) -> float:
    """Cost of a quantity by ascending blocks; below zero the first price holds on, beyond the last one the last."""

    def price(b: Block) -> float:
        usd = np.asarray(b.usd_per_unit, dtype=float)
        return float(usd if usd.ndim == 0 else usd[min(i, usd.size - 1)])

    if quantity <= 0:
        return quantity * price(blocks[0])
    usd = at = 0.0
    for j, b in enumerate(blocks):
        assert not isinstance(b.upto, HoursUse)
        upto = float(np.max(b.upto)) if j < len(blocks) - 1 else np.inf
        usd += max(0.0, min(quantity, upto) - at) * price(b)
        at = max(at, min(quantity, upto))
    return usd


def pay_of(c: Call, terms: Sequence[Term], view: View, forecast_kw: Kw) -> Pay | None:
    """What an event pays, from the terms of its stream over the view's horizon; None where they say nothing of it.
    forecast_kw: (n,) net load expected, for baselines that hang on intervals still to come."""
    k, first = view.k, max(c.first, view.k)
    span = slice(first, min(c.first + c.n, k + view.n))
    here = slice(first - k, span.stop - k)
    rows: list[tuple[Payment, Kw | None, float]] = []
    reference: Kw | None = None
    firm: float | None = None
    netted, done = True, 0.0
    for t in terms:
        if not isinstance(t, Payment) or t.owner != c.stream:
            continue
        named = t.name.endswith(c.name)
        above = t.name == "above firm level" and t.window[here].size and (t.window[here] >= 0).all()
        if not (named or above):
            continue
        base: Kw | None = None
        if t.measure.reference_kw is not None:
            whole = np.array(t.measure.reference_kw, dtype=float)
            if t.measure.own is not None:
                np.add.at(whole, t.measure.own.row, t.measure.own.weight * forecast_kw[t.measure.own.col])
            base = whole[here]
            reference = base
        blocks = t.blocks
        if t.over == "each":
            netted = False
            blocks = tuple(Block(b.upto, _there(b.usd_per_unit, here)) for b in blocks)
        if above:
            upto = blocks[0].upto
            assert not isinstance(upto, HoursUse)
            firm = float(np.max(upto)) / view.timeline.step_h
        so_far = 0.0 if t.so_far is None else float(t.so_far[0])
        done = so_far if base is not None else done
        one = Payment(t.owner, t.name, t.measure, t.over, t.window, blocks)
        rows.append((one, base, so_far))
    if not rows or span.stop <= span.start:
        return None
    return Pay(c, span, reference, firm, tuple(rows), view.timeline.step_h, netted, done)


def _there(usd: float | Kw, here: slice) -> float | Kw:
    price = np.asarray(usd, dtype=float)
    return float(price) if price.ndim == 0 else price[here]


def price_of(c: Call, terms: Sequence[Term], view: View) -> Kw:
    """What a kW of an award earns an hour in each interval of its call, at the owner's share, (c.n,); 0 beyond the
    horizon. DataError where the stream states no claim of that name."""
    for t in terms:
        if isinstance(t, Claim) and f"{t.owner}/{t.name}" == c.claim:
            out, at = np.zeros(c.n), c.first - view.k
            low, high = max(0, at), min(view.n, at + c.n)
            out[low - at : high - at] = np.broadcast_to(np.asarray(t.usd_per_kw_h, dtype=float), view.n)[
                low:high
            ]
            return out
    raise DataError(f"{c.key}: the stream states no claim {c.claim!r}")


def short_view(view: View, n: int) -> View:
    """The same view with a horizon of n intervals at most."""
    return View(
        view.timeline,
        view.k,
        min(n, view.timeline.n - view.k),
        view.belief,
        view.asset_state,
        view.stream_state,
        view.now,
        view.record,
        view.age_s,
        view.calls,
        view.answers,
    )
