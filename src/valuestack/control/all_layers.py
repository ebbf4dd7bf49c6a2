"""Method B over all layers: the plan of a day and more ahead with every stream's terms, its awards, and one step.

Plan     when calls are asked, when a day begins, and every `replan_h` where more than a store can move: one problem of
         all assets and all that the streams ask, on the forecast, from where things stand: energy, peaks reached,
         promises made. Its awards and events are proposals, its setpoints of other assets are followed.
         A demand charge is paid once for its cycle, but what holds a peak down (fuel, a process moved) is spent on
         every day that reaches it. So each kW of a day's peak costs the plan the charge shared among the days of the
         cycle to come that reach it, as days past did: full on top of all of them, little where every day comes by.
Weigh    proposals are tried whole and in part on days that may come (forecast and past errors), and the share that
         nets most is promised; what loses money on them is not.
Step     every interval the store's exact plan of the day ahead beside what is promised, as on the tariff alone; what
         other streams pay for each kWh drawn (carbon, a warned system peak) stands in its price.

The largest store is the one that is re-planned every interval; further stores, engines and loads follow the plan.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any, ClassVar

import numpy as np

from ..dispatch import Call, Plan, View
from ..errors import ConflictError, InfeasibleError, SolverError
from ..flows import Given, Store
from ..forecast.forecaster import Forecaster
from ..terms import Block, Claim, Measure, Payment, Term
from ..timeline import Kw
from .answering import Candidate, Moment
from .arbitrage import energy_price_usd_per_kwh
from .guard import Guard
from .horizon import _Lane
from .policy import Setting
from .promises import Pay, price_of, short_view
from .stores import offered
from .twin import Twin
from .utility_first import UtilityFirst

SHARES = (1.0, 0.75, 0.5, 0.25)
GAP, TIME_LIMIT_S = 5e-3, 2.0
TIERS = 8  # of a day's peak, where days past ended


class AllLayersHorizon(UtilityFirst):
    """Method B where streams beyond the tariff are; see the head of this file. replan_h: how often all assets are
    planned anew."""

    kind: ClassVar[str] = "dynamic"

    def __init__(self, forecaster: Forecaster | None = None, *, replan_h: float = 24.0, **more: Any) -> None:
        super().__init__(forecaster, **more)
        self.replan_h = replan_h

    def prepare(self, setting: Setting) -> None:
        """See Policy."""
        super().prepare(setting)
        n = self.timeline.n
        self._each = max(1, round(self.replan_h / self.timeline.step_h))
        self._planned, self._day, self._alone = -1, -1, False
        self._schedule: dict[str, Kw] = {}
        self._others_kw = np.zeros(n)
        self._proposed: list[Candidate] = []
        self._notes: tuple[str, ...] = ()
        self.failed = 0  # plans that no solver found; the last one goes on

    @property
    def _beyond(self) -> bool:
        return True

    def _find_stores(self, view: View) -> list[Store]:
        """The largest store, or one of nothing where the site has none."""
        found = sorted(offered(self._assets, view), key=lambda s: -float(np.max(s.discharge_max_kw)))
        n = view.timeline.n
        nothing = Store("", np.zeros(n), np.zeros(n), np.zeros(n + 1), np.zeros(n + 1), 0.0)
        self._main = found[0].name if found else ""
        return [found[0] if found else nothing]

    # --- one interval ----------------------------------------------------------------------------

    def stretch(self, twin: Twin, guard: Guard, until: int) -> bool:
        """See Policy: up to the end of the day, for which prices are laid when it begins."""
        day = self.timeline.day
        if not self._alone or int(day[twin.k]) != self._day:
            return False
        return super().stretch(twin, guard, min(until, int(np.searchsorted(day, self._day, side="right"))))

    def decide(self, view: View) -> Plan:
        """See the head of this file."""
        plan = super().decide(view)
        setpoints = {name: kw for name, kw in plan.setpoints_kw.items() if name}
        for name, row in self._schedule.items():
            setpoints[name] = np.array([row[view.k]])
        return replace(plan, setpoints_kw=setpoints, why=(*plan.why, *self._notes))

    def _before(self, view: View, lane: _Lane, energy: float, asked: list[Call]) -> None:
        """Plan all assets where it is time to."""
        k, day = view.k, int(self.timeline.day[view.k])
        moving = any(a.name != self._main and a.name in view.asset_state for a in self._movable(view))
        self._alone = not moving
        due = moving and (self._planned < 0 or k - self._planned >= self._each)
        if not (asked or due or day != self._day):
            return
        short = short_view(view, self._steps)
        terms = {s.name: list(s.terms(short)) for s in self._streams}
        self._day = day
        self._price(short, [t for said in terms.values() for t in said])
        lane.known.since[0] = -1  # prices, and what other assets draw, may be others now
        if asked or due:
            self._planned = k
            self._propose(short, lane, energy, asked, terms)

    def _movable(self, view: View) -> list[Any]:
        if not hasattr(self, "_moves"):
            short = short_view(view, 2)
            self._moves = [a for a in self._assets if not isinstance(a.belief(short), Given)]
        return self._moves

    def _price(self, short: View, terms: list[Term]) -> None:
        """What streams beyond the tariff pay or charge for another kWh drawn, interval by interval."""
        assert self._promises is not None
        k, n = short.k, short.n
        plain = [
            t
            for t in terms
            if isinstance(t, Payment) and t.over == "each" and t.measure.reference_kw is None and _plain(t)
        ]
        if not plain:
            return
        self._promises.duty.pay[k : k + n] = energy_price_usd_per_kwh(plain, short.horizon)

    # --- the plan of all assets ------------------------------------------------------------------

    def _propose(
        self, short: View, lane: _Lane, energy: float, asked: list[Call], terms: dict[str, list[Term]]
    ) -> None:
        from ..stack.optimise import optimise

        k, n = short.k, short.n
        assert self._promises is not None
        d = self._promises.duty
        load = np.nan_to_num(lane.known.issued[k, :n]) + d.drift[k : k + n] - self._others_kw[k : k + n]
        load = load + d.expose[k : k + n]
        offers: list[Any] = [self._store_now(k, n, energy)] if self._main else []
        offers += [a.belief(short) for a in self._movable(short) if a.name != self._main]
        names = {o.name for o in offers}
        stated = [*self._tariff_now(lane, k, n), *self._said(short, asked, terms, names)]
        self._proposed = []
        try:
            found = optimise(
                short.horizon,
                load,
                offers,
                stated,
                import_limit_kw=np.maximum(self._public.most_import[k : k + n], load),
                export_limit_kw=np.maximum(self._public.most_export[k : k + n], -load),
                gap=GAP,
                time_limit_s=TIME_LIMIT_S,
            )
        except (InfeasibleError, ConflictError, SolverError) as e:
            self.failed += 1
            self._notes = (f"no plan of all assets: {str(e).splitlines()[0]}; the last one goes on",)
            return
        self._notes = (
            f"all assets planned to {self.timeline.when(k + n - 1):%Y-%m-%d %H:%M}, {found.method}",
        )
        self._follow(found, k, n)
        net = np.asarray(found.net_kw) - d.expose[k : k + n]
        self._proposed = self._taken(short, asked, terms, found.awards_kw, net, lane)

    def _store_now(self, k: int, n: int, energy: float) -> Store:
        """The main store from where it stands, less what is promised of it."""
        assert self._promises is not None
        s, d, p = self._stores[0], self._promises.duty, self._public
        low, high = p.low + d.need[k : k + n + 1], p.high - d.spare[k : k + n + 1]
        at = min(max(energy, p.low), p.high)
        # From below its least, a store is asked for no more than charging can bring.
        reach = at + np.arange(n + 1) * p.charge * p.ec * p.h * 0.5
        return replace(
            s,
            charge_max_kw=np.maximum(0.0, p.charge - d.down[k : k + n]),
            discharge_max_kw=np.maximum(0.0, p.power - d.up[k : k + n]),
            energy_min_kwh=np.minimum(np.maximum(low, p.low), np.maximum(reach, p.low)),
            energy_max_kwh=np.maximum(high, at),
            energy_start_kwh=at,
            energy_end_min_kwh=-inf,
            end_value_usd_per_kwh=float(p.value[k]),
            drain_kw=d.drain[k : k + n].copy() if d.drain[k : k + n].any() else None,
            aux_kw=None,
            wear_segments=(),
        )

    def _tariff_now(self, lane: _Lane, k: int, n: int) -> list[Term]:
        """The tariff of the horizon as the store's own plan sees it: prices, and peaks that are paid already."""
        from .dynamic_kernel import _hold, _rows

        p, room = self._far, lane.room
        count = _rows(p, room, k, n)
        _hold(p, lane.known, room, k, n)
        all_in = np.zeros(n, dtype=np.int64)
        out: list[Term] = [
            Payment("tariff", "energy", Measure("import"), "each", all_in, (Block(inf, p.buy[k : k + n]),)),
            Payment("tariff", "export", Measure("export"), "each", all_in, (Block(inf, -p.sell[k : k + n]),)),
        ]
        held, price = room.held[:count].copy(), room.price[:count].copy()
        for f in range(p.window.shape[0]):
            row = room.rows[f, :n].copy()
            ids = np.unique(row[row >= 0])
            if ids.size:
                window = np.where(row >= 0, np.searchsorted(ids, row), -1)
                blocks = self._shared(lane, k, n, f, row, room.ids[:count][ids], price[ids], ids)
                out.append(
                    Payment(
                        "tariff", f"demand {f}", Measure("import"), "max", window, blocks, so_far=held[ids]
                    )
                )
        return out

    def _shared(
        self, lane: _Lane, k: int, n: int, family: int, row: Kw, windows: Any, price: Kw, rows: Any
    ) -> tuple[Block, ...]:
        """Tiers of the horizon's peak in each of some windows [USD/kW]: the charge shared among its days and those to
        come in the window that are expected to reach the tier. windows, rows: their numbers in the tariff and in row
        (n,).

        If d days of the horizon and e after it reach a kW and all give up to the same price for it, the cycle gives
        what costs the charge when the horizon gives charge x d / (d + e).
        """
        if self._alone:
            return (Block(inf, price),)
        tops, usd = np.empty((TIERS, price.size)), np.empty((TIERS + 1, price.size))
        for i, (w, r) in enumerate(zip(windows, rows, strict=True)):
            at = np.flatnonzero(row == r)
            _, begin = np.unique(self.timeline.day[k + at], return_index=True)
            near = np.maximum.reduceat(lane.known.issued[k, at], begin)
            peaks, weight = self._days_to_come(lane, k + int(at[-1]), k, family, int(w), float(near.max()))
            tops[:, i] = np.quantile(peaks, np.linspace(0.0, 1.0, TIERS)) if peaks.size else near.max()
            here = np.array([max(1, int((near >= top).sum())) for top in tops[:, i]])
            later = np.array([weight[peaks >= top].sum() for top in tops[:, i]])
            usd[:TIERS, i] = np.maximum.accumulate(price[i] * here / (here + later))
            usd[TIERS, i] = price[i]
        return (*(Block(top, at) for top, at in zip(tops, usd, strict=False)), Block(inf, usd[TIERS]))

    def _days_to_come(
        self, lane: _Lane, last: int, k: int, family: int, w: int, ahead_kw: float
    ) -> tuple[Kw, Kw]:
        """Peaks of past days in the hours of window w, and how many days in it after that of interval `last` each
        stands for. While none of a kind is known, the days ahead stand for all of it."""
        day, free, per_day = self.timeline.day, self._public.free, self._public.per_day
        coming = np.flatnonzero(self.windows.window[family, last:] == w) + last
        days, at = np.unique(day[coming], return_index=True)
        kinds = free[coming[at]][days > day[last]]
        since = max(0, k - self.reach_days * per_day)
        past = np.arange(since, k)
        past = past[self.windows.slots[w][free[past], self._public.slot[past]]]
        _, begin = np.unique(day[past], return_index=True)
        peak = np.maximum.reduceat(lane.known.base[past], begin) if past.size else np.zeros(0)
        kind = free[past[begin]] if past.size else np.zeros(0, dtype=np.int64)
        found, stands = [], []
        for x in (0, 1):
            alike = peak[kind == x] if (kind == x).any() else np.array([ahead_kw])
            found.append(alike)
            stands.append(np.full(alike.size, float((kinds == x).sum()) / alike.size))
        peaks, weight = np.concatenate(found), np.concatenate(stands)
        return peaks[weight > 0], weight[weight > 0]

    def _said(
        self, short: View, asked: list[Call], terms: dict[str, list[Term]], names: set[str]
    ) -> list[Term]:
        """What streams ask of this plan: awards only where they are asked, events only where they may come to pay."""
        k, n = short.k, short.n
        out: list[Term] = []
        refused = {
            c.key: c for c in short.calls if not c.claim and not c.by_meter and not _promised(short, c, asked)
        }
        for owner, said in terms.items():
            for t in said:
                if isinstance(t, Claim):
                    calls = [c for c in asked if c.claim == f"{t.owner}/{t.name}"]
                    when = np.zeros(n, dtype=bool)
                    for c in calls:
                        when[max(0, c.first - k) : max(0, min(n, c.first + c.n - k))] = True
                    if t.fixed_kw is None and when.any() and set(t.eligible) <= names:
                        out.append(replace(t, when=when))
                    continue
                asset = t.measure.asset if not hasattr(t, "members") else None
                if asset is not None and asset not in names:
                    continue  # what no decision moves
                if any(c.stream == owner and t.name.endswith(c.name) for c in refused.values()):
                    continue
                out.append(t)
        return out

    def _follow(self, found: Any, k: int, n: int) -> None:
        """Setpoints of the other assets from here on; what they draw is laid under the store's plan."""
        assert self._promises is not None
        total = np.zeros(n)
        flows = {} if found.flows is None else found.flows.assets
        for name, kw in found.setpoints_kw.items():
            if name == self._main:
                continue
            row = self._schedule.setdefault(name, np.zeros(self.timeline.n))
            row[k:], row[k : k + n] = 0.0, kw
            total += flows.get(name, {}).get("net", kw)
        drift = self._promises.duty.drift
        drift[k : k + n] += total - self._others_kw[k : k + n]
        drift[k + n :] -= self._others_kw[k + n :]
        self._others_kw[k : k + n], self._others_kw[k + n :] = total, 0.0

    # --- what is promised ------------------------------------------------------------------------

    def _taken(
        self,
        short: View,
        asked: list[Call],
        terms: dict[str, list[Term]],
        awards_kw: Any,
        net_kw: Kw,
        lane: _Lane,
    ) -> list[Candidate]:
        """What the plan would take of what is asked."""
        k, out = short.k, []
        for c in (c for c in asked if c.claim):
            kw = awards_kw.get(c.claim)
            at, until = c.first - k, min(short.n, c.first + c.n - k)
            if kw is None or until <= at or not np.any(kw[at:until] > 1e-6):
                continue
            row = np.asarray(kw[at:until], dtype=float).clip(0.0)
            price = price_of(c, terms[c.stream], short)[: row.size]
            usd = price * row * self.timeline.step_h
            out.append(Candidate(c, c.first, row, float(usd.sum()), each_usd=usd))
        for pay in self._pays(short, lane, [c for c in asked if not c.claim]).values():
            here = slice(pay.span.start - k, pay.span.stop - k)
            kw_each = self._delivered(pay, net_kw[here], lane.known.issued[k][here])
            if kw_each > 1e-6 and kw_each >= pay.call.least_kw:
                row = np.full(here.stop - here.start, min(kw_each, pay.call.kw))
                out.append(Candidate(pay.call, pay.span.start, row, 0.0, pay))
        return out

    def _delivered(self, pay: Pay, net_kw: Kw, load_kw: Kw) -> float:
        if pay.firm_kw is not None:
            return (
                float(np.maximum(load_kw - net_kw, 0.0).mean()) if net_kw.max() <= pay.firm_kw + 1e-6 else 0.0
            )
        reference = load_kw if pay.reference_kw is None else pay.reference_kw
        return max(0.0, float((reference - net_kw).mean()))

    def weigh(self, view: View, lane: _Lane, moment: Moment, asked: list[Call]) -> list[Candidate]:
        """The share of the proposals that nets most on the days that may come."""
        pays = self._pays(view, lane, asked)
        due = [r.pay for r in moment.running if r.pay is not None]
        due += [p for p in pays.values() if p.call.by_meter]
        best, taken = self.worth(lane, moment, [], due), list[Candidate]()
        whole = [c for p in self._proposed for c in self._hourly(p)]
        for share in SHARES if whole else ():
            some = [self._part(c, share) for c in whole]
            found = self._worth(lane, moment, some, due)
            if found.net > best.net + self.least_usd:
                taken, best = some, found
        for c in list(taken):
            rest = [t for t in taken if t is not c]
            found = self._worth(lane, moment, rest, due)
            if found.net > best.net + self.least_usd:
                taken, best = rest, found
        # What the plan left out, hour by hour, as far as it is offered.
        more = self._awards(view, asked) + self._levelled(lane, moment, self._events(pays), due)
        more = [c for c in more if c.pay is None or all(c.call.key != t.call.key for t in taken)]
        alone = [(self._worth(lane, moment, [*taken, c], due).net - best.net, i) for i, c in enumerate(more)]
        for net, i in sorted(alone, key=lambda x: (-x[0], x[1])):
            if net <= self.least_usd:
                break
            if _offered(taken, more[i]):
                found = self._worth(lane, moment, [*taken, more[i]], due)
                if found.net > best.net + self.least_usd:
                    taken, best = [*taken, more[i]], found
        asked_for = [*taken, *(c for c in more if all(c is not t for t in taken))]
        if asked_for:
            self._note(view, lane, moment, asked_for, taken, best, due)
        return taken

    def _hourly(self, c: Candidate) -> list[Candidate]:
        """A proposal of awards in pieces that are taken or refused by themselves; an event is one piece."""
        if c.pay is not None:
            return [c]
        block = max(1, c.call.block)
        size = max(1, round(self.group_h / self.timeline.step_h / block)) * block
        price = c.usd / max(float(c.kw.sum()), 1e-12)
        out = []
        for at in range(0, c.kw.size, size):
            kw = c.kw[at : at + size]
            if kw.any():
                usd = (
                    price * float(kw.sum()) if c.each_usd is None else float(c.each_usd[at : at + size].sum())
                )
                out.append(replace(c, first=c.first + at, kw=kw, usd=usd, each_usd=None))
        return out

    def _part(self, c: Candidate, share: float) -> Candidate:
        return replace(c, kw=c.kw * share, usd=c.usd * share)


def _plain(t: Payment) -> bool:
    return t.measure.asset is None and t.measure.flow in ("import", "net") and t.measure.own is None


def _promised(view: View, c: Call, asked: list[Call]) -> bool:
    """Whether a call was accepted, or may still be."""
    return any(c is a for a in asked) or bool(np.any(view.answers.get(c.key, 0.0)))


def _offered(taken: list[Candidate], one: Candidate) -> bool:
    """Whether a call still has room for so much more in every interval."""
    total = np.zeros(one.kw.size)
    for t in taken:
        if t.call.key == one.call.key:
            low, high = max(t.first, one.first), min(t.first + t.kw.size, one.first + one.kw.size)
            if low < high:
                total[low - one.first : high - one.first] += t.kw[low - t.first : high - t.first]
    return bool((total + one.kw <= one.call.kw + 1e-9).all())
