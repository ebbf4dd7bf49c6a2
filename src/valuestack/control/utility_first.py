"""Utility-first (method A): the retail plan comes first; a call is taken only where the owner nets from it.

For each event or award asked, with the retail plan of the days ahead with and without serving it,

    net = owner's share of revenue - retail loss - wear - expected penalty - reserve value

in the mean over the forecast's errors on past days like these. retail loss is the difference of the two plans, each the
exact least cost on one store (solve/store_dp.py); the penalty is what those days miss of a promise. Of up to
`enumerate_upto` candidates every subset is tried; of more, each in the order of its own net while it still adds,
and then each that no longer pays beside the others is dropped. Every yes and no is kept with its numbers
(`decisions`), and `reprice` asks the same question again with what happened.

Generators and flexible loads rest under this method: it serves calls from its store.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any, ClassVar

import numpy as np

from ..dispatch import Call, Foresight, Record, View, World
from ..errors import InputError
from ..forecast.forecaster import Forecaster
from .answering import AnsweringHorizon, Candidate, Decision, Moment, Sums
from .horizon import _Lane
from .policy import Setting
from .promises import Pay, pay_of, price_of, short_view


class UtilityFirst(AnsweringHorizon):
    """Method A; see the head of this file, AnsweringHorizon for what it shares.

    levels: shares of what an event asks that are tried, one of them is promised; of an event that asks for no kW, of
    what the store can give so long. parts: an award is offered in so many equal parts, each taken by itself. group_h:
    hours of an award that are taken or refused together. least_usd: a net below this is no reason to say yes. noting:
    whether every yes and no is kept with its numbers, which takes a third of the time of a run and alters no answer.
    """

    kind: ClassVar[str] = "utility_first"
    heeds: ClassVar[tuple[str, ...]] = ("calls", "reserve")  # all that it looks at of streams

    def __init__(
        self,
        forecaster: Forecaster | None = None,
        *,
        levels: tuple[float, ...] = (1.0, 0.75, 0.5, 0.25),
        parts: int = 2,
        group_h: float = 1.0,
        least_usd: float = 1e-6,
        enumerate_upto: int = 6,
        noting: bool = True,
        **more: Any,
    ) -> None:
        super().__init__(forecaster, **more)
        problems = [f"levels holds {x!r}; shares above 0 and at most 1" for x in levels if not 0 < x <= 1]
        problems += [] if parts >= 1 else [f"parts = {parts!r}; at least 1"]
        problems += [] if enumerate_upto <= 12 else [f"enumerate_upto = {enumerate_upto!r}; at most 12"]
        problems += [] if group_h > 0 else [f"group_h = {group_h!r}; above 0"]
        if problems:
            raise InputError.collect("utility_first policy", problems)
        self.levels, self.parts, self.group_h = tuple(levels), int(parts), group_h
        self.least_usd, self.enumerate_upto, self.noting = least_usd, int(enumerate_upto), noting

    def prepare(self, setting: Setting) -> None:
        """See Policy."""
        super().prepare(setting)
        self._rounds: list[tuple[Moment, list[Candidate], list[Candidate], list[Pay], int]] = []

    # --- yes or no -------------------------------------------------------------------------------

    def weigh(self, view: View, lane: _Lane, moment: Moment, asked: list[Call]) -> list[Candidate]:
        """The subset of candidates that nets most."""
        pays = self._pays(view, lane, asked)
        # By the meter falls due what a programme calls by itself; what the owner would call himself only if he does.
        due = [r.pay for r in moment.running if r.pay is not None]
        due += [p for p in pays.values() if p.call.by_meter]
        candidates = self._awards(view, asked) + self._events(pays)
        if not candidates:
            return []
        kept = self._levelled(lane, moment, candidates, due)
        if len(kept) <= self.enumerate_upto:
            taken, best = self._all_subsets(lane, moment, kept, due)
        else:
            taken, best = self._in_turn(lane, moment, kept, due)
        if self.noting:
            self._note(view, lane, moment, kept, taken, best, due)
        return taken

    def _levelled(
        self, lane: _Lane, moment: Moment, candidates: list[Candidate], due: list[Pay]
    ) -> list[Candidate]:
        """Of each event the level that nets most by itself; awards as they are."""
        out: list[Candidate] = []
        best: dict[str, tuple[float, int]] = {}
        for c in candidates:
            if c.pay is None:
                out.append(c)
                continue
            net = self._worth(lane, moment, [c], due).net
            if c.call.key not in best:
                best[c.call.key] = (net, len(out))
                out.append(c)
            elif net > best[c.call.key][0] + 1e-9:
                at = best[c.call.key][1]
                best[c.call.key], out[at] = (net, at), c
        return out

    def _all_subsets(
        self, lane: _Lane, moment: Moment, kept: list[Candidate], due: list[Pay]
    ) -> tuple[list[Candidate], Sums]:
        taken: list[Candidate] = []
        best = self._worth(lane, moment, [], due)
        for size in range(1, len(kept) + 1):
            for subset in combinations(kept, size):
                found = self._worth(lane, moment, list(subset), due)
                if found.net > best.net + self.least_usd:
                    taken, best = list(subset), found
        return taken, best

    def _in_turn(
        self, lane: _Lane, moment: Moment, kept: list[Candidate], due: list[Pay]
    ) -> tuple[list[Candidate], Sums]:
        taken: list[Candidate] = []
        best = self._worth(lane, moment, [], due)
        alone = [(self._worth(lane, moment, [c], due).net - best.net, i) for i, c in enumerate(kept)]
        for net, i in sorted(alone, key=lambda x: (-x[0], x[1])):
            if net <= self.least_usd:
                break  # what does not pay by itself may pay beside others only by chance
            found = self._worth(lane, moment, [*taken, kept[i]], due)
            if found.net > best.net + self.least_usd:
                taken, best = [*taken, kept[i]], found
        for c in list(taken):
            rest = [t for t in taken if t is not c]
            found = self._worth(lane, moment, rest, due)
            if found.net > best.net + self.least_usd:
                taken, best = rest, found
        return taken, best

    # --- what is asked ---------------------------------------------------------------------------

    def _awards(self, view: View, asked: list[Call]) -> list[Candidate]:
        """Awards hour by hour and part by part, at most what the store's power and energy can stand behind."""
        out: list[Candidate] = []
        short, store, h = short_view(view, self._steps), self._stores[0], self.timeline.step_h
        span_kwh = float(store.energy_max_kwh[0] - store.energy_min_kwh[0])
        terms: dict[str, list[Any]] = {}
        for c in (c for c in asked if c.claim and store.name in c.assets):
            stream = next(s for s in self._streams if s.name == c.stream)
            terms.setdefault(c.stream, list(stream.terms(short)))
            price = price_of(c, terms[c.stream], short)
            most = [c.kw]
            if c.direction != "down":
                most.append(float(store.discharge_max_kw[0]))
            if c.direction != "up":
                most.append(float(store.charge_max_kw[0]))
            lasting = c.sustain_h / store.discharge_efficiency_frac * (c.direction != "down")
            lasting += c.sustain_h * store.charge_efficiency_frac * (c.direction != "up")
            if lasting > 0:
                most.append(span_kwh / lasting)
            kw = min(most) / self.parts
            if kw * self.parts < c.least_kw or kw <= 0:
                continue
            size = max(1, c.block, round(self.group_h / h / max(1, c.block)) * max(1, c.block))
            parts = self.parts if c.least_kw <= kw else 1
            for begin in range(0, c.n, size):
                n = min(size, c.n - begin, view.k + short.n - c.first - begin)
                if n <= 0:
                    continue
                row = np.full(n, kw * self.parts / parts)
                usd = float((price[begin : begin + n] * row).sum()) * h
                out += [Candidate(c, c.first + begin, row, usd) for _ in range(parts)]
        return out

    def _events(self, pays: dict[str, Pay]) -> list[Candidate]:
        out: list[Candidate] = []
        store, h = self._stores[0], self.timeline.step_h
        span_kwh = float(store.energy_max_kwh[0] - store.energy_min_kwh[0])
        for pay in pays.values():
            c, n = pay.call, pay.span.stop - pay.span.start
            can = min(float(store.discharge_max_kw[0]), span_kwh * store.discharge_efficiency_frac / (n * h))
            if pay.firm_kw is not None:
                out.append(Candidate(c, pay.span.start, np.full(n, can), 0.0, pay))
                continue
            for share in self.levels:
                kw = share * (c.kw if np.isfinite(c.kw) else can)
                if kw >= c.least_kw:
                    out.append(Candidate(c, pay.span.start, np.full(n, kw), 0.0, pay))
        return out

    # --- the log ---------------------------------------------------------------------------------

    def _note(
        self,
        view: View,
        lane: _Lane,
        moment: Moment,
        kept: list[Candidate],
        taken: list[Candidate],
        best: Sums,
        due: list[Pay],
    ) -> None:
        """Keep every yes and no with what it changes beside the others that were taken."""
        first = len(self.decisions)
        when = self.timeline.when(view.k)
        for c in kept:
            yes = any(c is t for t in taken)
            others = [t for t in taken if t is not c]
            without = self._worth(lane, moment, others, due) if yes else best
            with_it = best if yes else self._worth(lane, moment, [*taken, c], due)
            self.decisions.append(
                Decision(
                    key=c.call.key,
                    when=when,
                    first=c.first,
                    n=c.kw.size,
                    kw=float(c.kw.max()),
                    accepted=yes,
                    revenue_usd=with_it.revenue_usd - without.revenue_usd,
                    retail_loss_usd=with_it.retail_usd - without.retail_usd,
                    wear_usd=with_it.wear_usd - without.wear_usd,
                    penalty_usd=with_it.penalty_usd - without.penalty_usd,
                    reserve_usd=with_it.reserve_usd - without.reserve_usd,
                )
            )
        self._rounds.append(
            (replace(moment, promises=moment.promises.part(moment.k, moment.m)), kept, taken, due, first)
        )

    def reprice(self, world: World, record: Record) -> list[Decision]:
        """The decisions with their net on what happened: the same question with the load and the prices that came, from
        where things stood then. A hindsight by plan, not a settlement; to be asked after a run."""
        if not self._lanes:
            return self.decisions
        lane = self._lanes[0]
        known = lane.known
        peak, planned = known.peak.copy(), known.planned.copy()
        for moment, kept, taken, due, first in self._rounds:
            k, m = moment.k, moment.m
            known.peak[:], known.planned[:] = moment.peak_kw, moment.planned_kw
            then = replace(
                moment,
                loads_kw=known.base[None, k : k + m].copy(),
                blind_kw=known.base[None, k : k + m].copy(),
                promises=moment.promises.whole(),
                base_usd=None,
            )
            self.worth(lane, then, [], [])
            view = View(self.timeline, k, m, Foresight(world), then.states, record=record)
            came = self._came(view, [*kept, *(c for c in taken if c not in kept)], due)
            now = [came[id(t)] for t in taken]
            owed = [came[id(p)] for p in due]
            best = self._worth(lane, then, now, owed)
            for i, c in enumerate(kept):
                yes = any(c is t for t in taken)
                others = [came[id(t)] for t in taken if t is not c]
                other = self._worth(lane, then, others if yes else [*others, came[id(c)]], owed)
                net = best.net - other.net if yes else other.net - best.net
                self.decisions[first + i] = replace(self.decisions[first + i], hindsight_usd=net)
        known.peak[:], known.planned[:] = peak, planned
        return self.decisions

    def _came(self, view: View, candidates: list[Candidate], due: list[Pay]) -> dict[int, Any]:
        """Candidates and payments at what happened, by identity: prices and baselines that were only believed."""
        terms: dict[str, list[Any]] = {}
        load = (
            np.atleast_2d(view.record.net_kw)[0, view.k : view.k + view.n]
            if view.record is not None
            else None
        )
        out: dict[int, Any] = {}

        def said(c: Call) -> list[Any]:
            if c.stream not in terms:
                terms[c.stream] = list(next(s for s in self._streams if s.name == c.stream).terms(view))
            return terms[c.stream]

        for pay in [*due, *(c.pay for c in candidates if c.pay is not None)]:
            if id(pay) not in out:
                assert load is not None
                out[id(pay)] = pay_of(pay.call, said(pay.call), view, load) or pay
        for one in candidates:
            if one.pay is not None:
                out[id(one)] = replace(one, pay=out[id(one.pay)])
                continue
            at = one.first - one.call.first
            price = price_of(one.call, said(one.call), view)[at : at + one.kw.size]
            out[id(one)] = replace(one, usd=float((price * one.kw).sum()) * self.timeline.step_h)
        return out
