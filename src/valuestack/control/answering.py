"""What policies that answer calls have in common: the plan of the day ahead beside what is promised.

The retail plan is that of method B on the tariff (dynamic.py), with its forecast and its reserve for days like this
one; promises lie on it as obliged_kernel.py says. A call is weighed when it comes, on the forecast and on days that
may come, with the same plan; how, is the policy's own matter (`weigh`). Where there is nothing beyond the tariff, the
plan is method B's and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from math import inf
from typing import Any, ClassVar

import numpy as np

from ..dispatch import Call, Plan, Record, View
from ..errors import InputError
from ..flows import Store
from ..forecast.forecaster import Forecaster
from ..forecast.similar_day import SimilarDay
from ..timeline import Kw
from .guard import Guard
from .horizon import RollingHorizon, _Lane
from .obliged_kernel import (
    cost_ahead,
    cost_days,
    decide_promised,
    duty_of,
    rule_days,
    scenarios_ahead,
    shifted_ahead,
)
from .policy import Setting
from .promises import Pay, Promises, pay_of, short_view
from .standing import Standing
from .stores import idle_kw, lone, offered
from .twin import Twin


@dataclass(frozen=True, slots=True)
class Decision:
    """One yes or no with its numbers, expected when it was said and in hindsight [USD, owner's share].

    kw promised (asked, where refused) in intervals first .. first + n - 1 of the call `key`. net = revenue - retail
    loss - wear - penalty - reserve value. hindsight_usd: the same net on the load that came, None before `reprice`.
    """

    key: str
    when: datetime
    first: int
    n: int
    kw: float
    accepted: bool
    revenue_usd: float
    retail_loss_usd: float
    wear_usd: float
    penalty_usd: float
    reserve_usd: float
    hindsight_usd: float | None = None

    @property
    def net_usd(self) -> float:
        """What the owner expected to net of it."""
        return self.revenue_usd - self.retail_loss_usd - self.wear_usd - self.penalty_usd - self.reserve_usd


@dataclass(frozen=True, slots=True)
class Hindsight:
    """Decisions re-priced with what happened [USD]: earned by yes; lost by yes; left on the table by no; rightly
    refused by no. All >= 0."""

    gained_usd: float
    regretted_usd: float
    left_usd: float
    rightly_refused_usd: float


def hindsight(decisions: list[Decision]) -> Hindsight:
    """Sums over decisions that were re-priced."""
    sums = [0.0, 0.0, 0.0, 0.0]
    for d in decisions:
        if d.hindsight_usd is not None:
            sums[(0 if d.accepted else 2) + (0 if d.hindsight_usd >= 0 else 1)] += abs(d.hindsight_usd)
    return Hindsight(*sums)


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """Something to say yes or no to: kw (m,) of an award, or of an event, from interval `first` on.

    usd: what the award earns if it is held, each_usd: in each interval; pay: what the event pays."""

    call: Call
    first: int
    kw: Kw
    usd: float = 0.0
    pay: Pay | None = None
    each_usd: Kw | None = None


@dataclass(slots=True, eq=False)
class Sums:
    """Expected money of the days ahead under some promises, costs positive [USD]."""

    retail_usd: float = 0.0
    wear_usd: float = 0.0
    revenue_usd: float = 0.0
    penalty_usd: float = 0.0
    reserve_usd: float = 0.0

    @property
    def net(self) -> float:
        """Money to the owner."""
        return self.revenue_usd - self.retail_usd - self.wear_usd - self.penalty_usd - self.reserve_usd


@dataclass(slots=True, eq=False)
class Moment:
    """Where things stand when calls are weighed: everything that the same question needs later, in hindsight.

    unsure: loads_kw are days that may come, of which a controller will not know which; blind_kw: (s, m) days on which a
    promise is laid under a rule that knows nothing ahead; base_usd: what no new promise costs by a plan that knows, and
    by rule on each of those. told: answers so far, with what was asked: parts of an award are alike, so the same is
    asked again."""

    k: int
    m: int
    energy_kwh: float
    peak_kw: Kw
    planned_kw: Kw
    loads_kw: Kw
    promises: Any
    states: dict[str, Any]
    unsure: bool = False
    base_usd: tuple[float, Kw] | None = None
    blind_kw: Kw = field(default_factory=lambda: np.zeros((0, 0)))
    running: list[Candidate] = field(default_factory=list)
    told: dict[Any, tuple[Any, Sums]] = field(init=False, default_factory=dict)


class AnsweringHorizon(RollingHorizon):
    """Base of policies that answer calls; see the head of this file.

    ahead_h: how far a call is weighed. weighed: days that may come on which a call is weighed, 0 = on the forecast
    alone; shifted: days with errors of whatever hour on which a rule bears it. least_days: while fewer of the former
    are known, what may be refused is refused: nobody could say what it costs. reserve_usd_per_kwh_h: what a kWh in
    store is worth an hour as backup, beyond the hard reserve.
    """

    answers: ClassVar[bool] = True

    def __init__(
        self,
        forecaster: Forecaster | None = None,
        *,
        horizon_h: float = 24.0,
        ahead_h: float = 36.0,
        scenarios: int = 20,
        reach_days: int = 35,
        cover_frac: float = 0.95,
        surprises: float = 2.0,
        tilt_usd_per_kwh: float = 2e-5,
        weighed: int = 6,
        shifted: int = 48,
        least_days: int = 3,
        reserve_usd_per_kwh_h: float = 0.0,
        plan_every_h: float = 1.0,
        replan_frac: float = 0.1,
    ) -> None:
        super().__init__(
            SimilarDay() if forecaster is None else forecaster,
            horizon_h=horizon_h,
            scenarios=scenarios,
            reach_days=reach_days,
            cover_frac=cover_frac,
            surprises=surprises,
            tilt_usd_per_kwh=tilt_usd_per_kwh,
            plan_every_h=plan_every_h,
            replan_frac=replan_frac,
        )
        self.ahead_h, self.weighed, self.shifted = max(ahead_h, horizon_h), int(weighed), max(1, int(shifted))
        self.least_days = min(int(least_days), self.weighed, self.scenarios)
        self.reserve_usd_per_kwh_h = reserve_usd_per_kwh_h

    def prepare(self, setting: Setting) -> None:
        """See Policy."""
        super().prepare(setting)
        self._near = self._steps
        self._streams = list(setting.streams)
        if self._beyond:  # calls are weighed further ahead than plans look
            self._steps = min(max(2, round(self.ahead_h / self.timeline.step_h)), self.timeline.n)
        self._promises: Promises | None = None
        self._standing: Standing | None = None
        self._running: list[Candidate] = []
        self._capped, self._nothing = False, np.zeros(self.timeline.n)
        self.decisions: list[Decision] = []

    def kernel(self, twin: Twin, guard: Guard) -> Record | None:
        """The compiled loop where nobody may call; calls are answered one by one."""
        return None if self._streams else super().kernel(twin, guard)

    @property
    def _beyond(self) -> bool:
        """Whether there is more to decide than one store's walk on the tariff."""
        return bool(self._streams)

    def _find_stores(self, view: View) -> list[Store]:
        return offered(self._assets, view)

    def _begin(self, view: View, lanes: int) -> None:
        if not self._beyond:
            super()._begin(view, lanes)
            return
        self._stores = self._find_stores(view)
        if len(self._stores) > 1:
            raise InputError(
                f"{self.kind} answers calls with one store; the site has {', '.join(s.name for s in self._stores)}"
            )
        if not self._stores:
            return
        self._public = self._make_public(self._stores[0])
        self._lanes = [self._lane() for _ in range(lanes)]
        self._far = self._public._replace(tilt=0.0)
        self._public = self._public._replace(steps=self._near)
        store = self._stores[0]
        floor = np.zeros(self.timeline.n + 1)
        if store.name in self._setting.floor_kwh:
            floor = np.maximum(self._setting.floor_kwh[store.name] - self._public.low, 0.0)
        self._promises = Promises(duty_of(self.timeline.n), store, self.timeline.step_h, floor)
        self._standing = Standing(self._streams, store, self._near, self._steps + self._public.per_day)

    # --- where nobody calls ----------------------------------------------------------------------

    def stretch(self, twin: Twin, guard: Guard, until: int) -> bool:
        """See Policy: the store's plan beside what is promised, compiled."""
        from .obliged_kernel import stretch

        p, store, k = self._promises, lone(twin), twin.k
        if store is None or p is None or self._standing is None or k == 0 or twin.base_kw.shape[0] > 1:
            return False
        if self._running or self._capped or p.ready or self._standing.asks:
            return False
        lane, limits = self._lanes[0], guard.stores[store.name]
        if not lane.ahead:
            self._issue_all(lane, twin.base_kw[0])
            lane.ahead, lane.forecasts.mended = True, 0  # those are counted with all of them
        power, stored, changed = stretch(
            k,
            until,
            float(twin.net_kw(k - 1)[0]),
            twin.without_kw[0],
            idle_kw(store),
            float(twin.state[store.name][0]),
            self._public,
            lane.known,
            lane.room,
            p.duty._replace(expose=self._nothing),
            limits.floor_kwh,
            limits.high_kwh,
            guard.import_limit_kw.copy(),
            guard.export_limit_kw.copy(),
        )
        guard.note("limits", changed)
        guard.watch_run(store.name, np.concatenate((twin.state[store.name], stored))[None, :], k)
        twin.go_on(store.name, power[None, :], stored[None, :])
        return True

    # --- one interval ----------------------------------------------------------------------------

    def decide(self, view: View) -> Plan:
        """Answers to the calls that came, and the first step of the best walk beside what is promised."""
        from .dynamic_kernel import observe

        if not self._beyond:
            return super().decide(view)
        k, base = view.k, np.asarray(view.now["base_kw"], dtype=float)
        late = view.age_s.get("base_kw", 0.0) > 0
        if not self._begun:
            self._begun = True
            self._begin(view, base.size)
        if not self._stores or self._promises is None:
            return Plan(setpoints_kw={})
        store, lane = self._stores[0], self._lanes[0]
        if k > 0 and view.record is not None:
            observe(k - 1, float(np.atleast_2d(view.record.net_kw)[0, k - 1]), self._public, lane.known)
        self._look(lane, k, float(base[0]), late)
        energy = float(np.asarray(view.asset_state.get(store.name, 0.0), dtype=float).ravel()[0])
        asked = [c for c in view.calls if c.key not in view.answers and self._due(c, k)]
        self._keep_ready(view, lane, energy)
        self._before(view, lane, energy, asked)
        awards = self._answer(view, lane, energy, asked) if asked else {}
        self._keep_events(view, lane)
        if asked or self._running:  # what is promised has changed, or what is missing of it
            lane.known.since[0] = -1
        # A full call lies on the peak when awards are weighed; from then on the meter shows what is called.
        duty = self._promises.duty._replace(expose=self._nothing)
        wish = decide_promised(k, energy, self._public, lane.known, lane.room, duty)
        if self._promises.ready and lane.room.told[4] >= 3:  # what stands ready does not go with awards
            duty = self._promises.ready_alone(k, min(self._steps, self.timeline.n - k))
            wish = decide_promised(k, energy, self._public, lane.known, lane.room, duty)
        return Plan(
            setpoints_kw={store.name: np.array([wish])},
            awards_kw=awards,
            accepted=tuple(key for key, kw in awards.items() if np.any(kw)),
            why=self._why(lane, k),
        )

    def _keep_ready(self, view: View, lane: _Lane, energy: float) -> None:
        """Lay the headroom that is to be kept ready, as far as it can be."""
        p = self._promises
        assert p is not None and self._standing is not None
        self._standing.lay(view, p)
        if p.ready:
            m = min(self._steps, self.timeline.n - view.k)
            here = slice(view.k, view.k + m)
            load = lane.known.issued[view.k, :m] + p.duty.drift[here]
            p.within_reach(view.k, m, energy - self._public.low, self._public.most_import[here] - load)
            self._keep_events(view, lane)

    def standing(self, k: int) -> list[tuple[Call, float]]:
        """Headroom that is to be kept ready in interval k."""
        ready = {} if self._promises is None else self._promises.ready
        return [(c, float(kw[k])) for c, kw in ready.values()]

    def remarks(self) -> list[str]:
        """See RollingHorizon."""
        return [*super().remarks(), *([] if self._standing is None else self._standing.sentences())]

    def _before(self, view: View, lane: _Lane, energy: float, asked: list[Call]) -> None:
        """What a policy does before it answers."""

    def _keep_events(self, view: View, lane: _Lane) -> None:
        """Cap the net load in the promised events of the horizon, by what is still missing of them."""
        k, p = view.k, self._promises
        assert p is not None
        self._running = [
            r for r in self._running if r.pay is not None and r.pay.call.first + r.pay.call.n > k
        ]
        if not self._running:
            if self._capped:
                p.clear(max(0, k - 1), min(self._steps, self.timeline.n - k))
                self._capped = False
            return
        self._capped = True
        p.clear(max(0, k - 1), min(self._steps, self.timeline.n - k))
        net = None if view.record is None else np.atleast_2d(view.record.net_kw)[0]
        for i, one in enumerate(self._running):
            assert one.pay is not None
            pay = one.pay.from_interval(k, net)
            one = self._running[i] = replace(one, pay=pay)
            row = lane.known.issued[k, pay.span.start - k : pay.span.stop - k]
            level = row[: pay.span.stop - pay.span.start] + p.duty.drift[pay.span]
            if level.size == pay.span.stop - pay.span.start and np.isfinite(level).all():
                p.event(pay.span, self._most_kw(one, level), pay.usd_per_kwh, pay.call.stream)

    def _due(self, c: Call, k: int) -> bool:
        """An answer counts still, and the call lies within sight or cannot wait."""
        return k <= c.answer and (c.first + c.n <= k + self._steps or k == c.answer)

    def _answer(self, view: View, lane: _Lane, energy: float, asked: list[Call]) -> dict[str, Kw]:
        """kW promised to each call, (its n,)."""
        out = {c.key: np.zeros(c.n) for c in asked}
        moment = self._moment(view, lane, energy)
        self.worth(lane, moment, [], [])  # what everything is compared with
        if len(moment.loads_kw) * moment.unsure < self.least_days:
            asked = [c for c in asked if c.mandatory]
        for one in self.weigh(view, lane, moment, asked):
            self._promise(one)
            c = one.call
            at = slice(one.first - c.first, one.first - c.first + one.kw.size)
            out[c.key][at] += one.kw
        return out

    def weigh(self, view: View, lane: _Lane, moment: Moment, asked: list[Call]) -> list[Candidate]:
        """What is promised of what is asked."""
        raise NotImplementedError

    def _promise(self, one: Candidate) -> None:
        assert self._promises is not None
        if one.pay is None:
            self._promises.award(one.call, one.first, one.kw)
        else:
            self._running.append(one)

    # --- what promises are worth -----------------------------------------------------------------

    def _moment(self, view: View, lane: _Lane, energy: float) -> Moment:
        assert self._promises is not None
        k = view.k
        m = min(self._steps, self.timeline.n - k)
        found = min(scenarios_ahead(k, m, self._far, lane.known, lane.room), self.weighed)
        rows = lane.room.days[:found, :m] if found else lane.known.issued[k : k + 1, :m]
        known = lane.known
        blind = np.empty((self.shifted if found else 0, m))
        blind = blind[: shifted_ahead(k, m, self._far, known, blind)] if found else blind
        return Moment(
            k,
            m,
            energy,
            known.peak.copy(),
            known.planned.copy(),
            np.array(rows),
            self._promises,
            {
                a.name: np.array(view.asset_state[a.name])
                for a in self._assets
                if a.name == self._stores[0].name
            },
            unsure=len(blind) > 0,
            blind_kw=blind,
            running=list(self._running),
        )

    def worth(self, lane: _Lane, moment: Moment, taken: list[Candidate], settled: list[Pay]) -> Sums:
        """Expected money under the promises of a moment and those `taken` beside them. settled: events whose payment
        falls due by the meter, whether they were accepted or not."""
        p, h = moment.promises, self.timeline.step_h
        out, k, m = Sums(), moment.k, moment.m
        rows = self._by_call([one for one in taken if one.pay is None], k, m)
        self._lay_all(p, rows, k, 1.0)
        events = [*moment.running, *(one for one in taken if one.pay is not None)]
        called = sum(c.up_frac * float(kw.sum()) for c, kw in rows) * h
        earned = sum(one.usd for one in taken if one.pay is None)
        share = 1.0 / len(moment.loads_kw)
        plain = not (events or settled or p.ready)
        if not (plain and self._add_days(lane, moment, out, earned, called)):
            for load in moment.loads_kw:
                if not self._add_day(
                    lane, moment, out, load, (rows, events, settled), (earned, called, share)
                ):
                    out.retail_usd = inf
                    break
        if moment.unsure and out.retail_usd < inf:
            by_rule = self._by_rule(lane, moment, events)
            if not taken and moment.base_usd is None:
                moment.base_usd = (out.retail_usd + out.wear_usd, by_rule)
            if (
                moment.base_usd is not None
            ):  # a walk knows its day: what a promise costs is no less than by rule
                more = by_rule - moment.base_usd[1]
                # A day worse than any that was seen counts as one of them.
                extra = float(more.sum() + more.max()) / (more.size + 1)
                out.retail_usd += max(0.0, extra - (out.retail_usd + out.wear_usd - moment.base_usd[0]))
        p.clear(k, m)
        self._lay_all(p, rows, k, -1.0)
        return out

    def _add_days(self, lane: _Lane, moment: Moment, out: Sums, earned: float, called: float) -> bool:
        """Add the money of all days at once, where no event is in play; False, and nothing added, where what is
        promised cannot be held on one of them."""
        p, h, store, k, m = moment.promises, self.timeline.step_h, self._stores[0], moment.k, moment.m
        p.clear(k, m)
        power = np.empty_like(moment.loads_kw)
        usd, soft = cost_days(
            k, m, moment.energy_kwh, moment.loads_kw, self._far, lane.known, lane.room, p.duty, power
        )
        if soft >= 3:
            return False
        out_kw = np.maximum(-power, 0.0)
        wear = float(out_kw.sum(axis=1).mean()) * h * store.wear_usd_per_kwh
        out.retail_usd += float(usd.mean()) - wear
        out.wear_usd += wear + called * store.wear_usd_per_kwh
        out.revenue_usd += earned
        if self.reserve_usd_per_kwh_h:
            gained = np.maximum(power, 0.0) * p.ec * h - out_kw * h / p.ed - p.duty.drain[k : k + m] * h
            stored = moment.energy_kwh + np.cumsum(gained, axis=1)
            out.reserve_usd -= self.reserve_usd_per_kwh_h * float(stored.sum(axis=1).mean()) * h
        return True

    def _add_day(
        self,
        lane: _Lane,
        moment: Moment,
        out: Sums,
        load: Kw,
        duties: tuple[list[tuple[Call, Kw]], list[Candidate], list[Pay]],
        money: tuple[float, float, float],
    ) -> bool:
        """Add a day's money, by its share; False where nothing can be done on it. duties: awards laid, events, payments
        that fall due; money: what awards earn, what they call [kWh], the day's share."""
        (rows, events, settled), (earned, called, share) = duties, money
        p, h, store, k, m = moment.promises, self.timeline.step_h, self._stores[0], moment.k, moment.m

        def cost(duty: Any) -> tuple[float, int]:
            found: tuple[float, int] = cost_ahead(
                k, m, moment.energy_kwh, load, self._far, lane.known, lane.room, duty
            )
            return found

        self._lay_events(p, events, load, k, m)
        usd, soft = cost(p.duty)
        held = soft < 3
        if not held and rows:  # on this day it is not held, and what was promised before it is
            self._lay_all(p, rows, k, -1.0)
            self._lay_events(p, events, load, k, m)
            usd, soft = cost(p.duty)
        if soft == 3 and p.ready:  # what stands ready does not go with awards
            usd, _ = cost(p.ready_alone(k, m))
        power, laid_kw = lane.room.best[:m].copy(), lane.room.load[:m].copy()
        if soft <= 3:
            out_kw = np.maximum(-power, 0.0)
            wear = float(out_kw.sum()) * h * store.wear_usd_per_kwh
            net = laid_kw - (p.duty.expose[k : k + m] if soft < 3 else 0.0) + power
            out.retail_usd += share * (usd - wear)
            out.wear_usd += share * (wear + called * store.wear_usd_per_kwh)
            out.revenue_usd += share * (earned if held else 0.0)  # what no walk can hold earns nothing
            for pay in settled:
                here = slice(pay.span.start - k, pay.span.stop - k)
                got = pay.usd(net[here], out_kw[here])
                out.revenue_usd += share * got[0]
                out.penalty_usd += share * got[1]
            if self.reserve_usd_per_kwh_h:
                stored = moment.energy_kwh + np.cumsum(
                    np.maximum(power, 0.0) * p.ec * h - out_kw * h / p.ed - p.duty.drain[k : k + m] * h
                )
                out.reserve_usd -= share * self.reserve_usd_per_kwh_h * float(stored.sum()) * h
        if not held:
            self._lay_all(p, rows, k, 1.0)
        return bool(soft <= 3)

    def _by_rule(self, lane: _Lane, moment: Moment, events: list[Candidate]) -> Kw:
        """What each blind day costs under what is laid, by a rule that knows nothing ahead [USD], (s,)."""
        p, k, m, days = moment.promises, moment.k, moment.m, moment.blind_kw
        most = np.full((len(days) if events else 0, m), inf)
        for one in events:
            assert one.pay is not None
            here = slice(one.pay.span.start - k, one.pay.span.stop - k)
            for row, load in zip(most, days, strict=True):
                level = load[here] + p.duty.drift[one.pay.span]
                row[here] = np.minimum(row[here], self._most_kw(one, level))
        found: Kw = rule_days(k, m, moment.energy_kwh, days, most, self._far, lane.known, lane.room, p.duty)
        return found

    def _lay_all(self, p: Promises, rows: list[tuple[Call, Kw]], k: int, sign: float) -> None:
        """Lay awards on, or take them off."""
        for c, kw in rows:
            p.award(c, k, sign * kw)

    def _lay_events(self, p: Promises, events: list[Candidate], load_kw: Kw, k: int, m: int) -> None:
        """The caps of events on a load from k on."""
        p.clear(k, m)
        for one in events:
            assert one.pay is not None
            here = slice(one.pay.span.start - k, one.pay.span.stop - k)
            level = load_kw[here] + p.duty.drift[one.pay.span]
            p.event(one.pay.span, self._most_kw(one, level), one.pay.usd_per_kwh, one.call.stream)

    def _worth(self, lane: _Lane, moment: Moment, taken: list[Candidate], due: list[Pay]) -> Sums:
        """`worth` with the events taken beside those that are due anyway."""
        # By what it depends on, in order, so that the answer is the same to the bit; what is named by its place in
        # memory is kept with the answer, so that nothing else can come to lie there.
        key = (
            tuple((c.call.key, c.first, id(c.kw), c.usd, id(c.pay)) for c in taken),
            tuple(id(d) for d in due),
        )
        if key not in moment.told:
            more = [c.pay for c in taken if c.pay is not None and all(c.pay is not d for d in due)]
            moment.told[key] = (list(taken), list(due)), self.worth(lane, moment, taken, [*due, *more])
        return moment.told[key][1]

    def _by_call(self, taken: list[Candidate], k: int, m: int) -> list[tuple[Call, Kw]]:
        """Awards of the same call added up over the horizon."""
        rows: dict[str, tuple[Call, Kw]] = {}
        for one in taken:
            if one.call.key not in rows:
                rows[one.call.key] = one.call, np.zeros(m)
            kw = rows[one.call.key][1]
            kw[one.first - k : one.first - k + one.kw.size] += one.kw
        return list(rows.values())

    def _most_kw(self, one: Candidate, load_kw: Kw) -> Kw:
        assert one.pay is not None
        done_h = (one.call.n * self.timeline.step_h) - load_kw.size * self.timeline.step_h
        return one.pay.most_kw(load_kw, float(one.kw[0]), done_h)

    def _pays(self, view: View, lane: _Lane, asked: list[Call]) -> dict[str, Pay]:
        """What the events asked pay, by key."""
        events = [c for c in asked if not c.claim]
        out: dict[str, Pay] = {}
        short = short_view(view, self._steps)
        forecast = lane.known.issued[view.k, : short.n]
        for name in dict.fromkeys(c.stream for c in events):
            stream = next(s for s in self._streams if s.name == name)
            terms = list(stream.terms(short))
            for c in events:
                pay = pay_of(c, terms, short, forecast) if c.stream == name else None
                if pay is not None:
                    out[c.key] = pay
        return out
