"""Rights: in which intervals a counterparty may command under the dispatch clauses of a contract, and how much.

Events are runs of commanded intervals; the year of the contract begins with the first interval and has 365 days; a
cycle is `cycle_kwh` discharged at the meter by its commands. `Meter` grants commands in whatever order they come, so
that no sequence of them can break a clause; `breaches` reads the same clauses off a record by itself, and `best` finds
the hours that a counterparty would choose:

    max  sum of value over chosen blocks,   chosen blocks in at most N runs of at most D hours, R hours apart,
         at most H hours in a year                              (dynamic programme over runs; H by a price of hours)
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..timeline import Kw, Timeline
from .contract import Dispatch

Mask = NDArray[np.bool_]
YEAR_H = 8760.0
PRICINGS = 40  # halvings of the price of an hour
SLACK = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Rights:
    """The dispatch clauses on a timeline. cycle_kwh: discharged at the meter in a full cycle of the asset, inf where
    the contract names no store."""

    dispatch: Dispatch
    timeline: Timeline
    cycle_kwh: float = inf

    @property
    def open(self) -> Mask:
        """Intervals within the hours of the day that are written, (n,). from_h above to_h runs over midnight."""
        d, t = self.dispatch, self.timeline
        hour = (t.local_s % 86400) / 3600
        if d.from_h < d.to_h:
            return np.asarray((hour >= d.from_h - SLACK) & (hour + t.step_h <= d.to_h + SLACK))
        ends = hour + t.step_h
        return np.asarray((hour >= d.from_h - SLACK) | (ends <= d.to_h + SLACK))

    @property
    def year(self) -> NDArray[np.int64]:
        """Year of the contract of each interval, from 0, (n,)."""
        k = np.arange(self.timeline.n)
        return np.asarray((k * self.timeline.step_h + SLACK) // YEAR_H, dtype=np.int64)

    @property
    def rest_steps(self) -> int:
        """Intervals between two events: as written, and one at least, for else they were one."""
        return max(1, ceil(self.dispatch.min_rest_h / self.timeline.step_h - SLACK))

    @property
    def most_steps(self) -> int | None:
        """Intervals of the longest event, None = no limit is written."""
        most = self.dispatch.max_hours_per_event
        return None if most is None else floor(most / self.timeline.step_h + SLACK)

    def hours_left(self, kw: float, out_frac: float) -> float:
        """Hours a year that the cap of hours and that of cycles leave to commands of kw whose mean call is out_frac."""
        d = self.dispatch
        hours = inf if d.max_hours_per_y is None else d.max_hours_per_y
        rate = kw * out_frac
        if d.max_cycles_per_y is not None and rate > 0 and self.cycle_kwh < inf:
            hours = min(hours, d.max_cycles_per_y * self.cycle_kwh / rate)
        return hours

    def best(self, value: Kw, *, kw: float, out_frac: float = 0.0, block_h: float | None = None) -> Mask:
        """The intervals that a counterparty commands if `value` (n,) is what each earns at kw, (n,): the greatest sum
        within the clauses. block_h: commands last whole blocks. Cycles count at kw throughout."""
        t, d = self.timeline, self.dispatch
        block = np.arange(t.n) if block_h is None or block_h <= t.step_h else np.asarray(t.block(block_h))
        _, first, of, size = np.unique(block, return_index=True, return_inverse=True, return_counts=True)
        whole = np.bincount(of, weights=self.open) >= size - SLACK
        worth = np.where(whole, np.bincount(of, weights=value), -inf)
        worth = np.where(worth > 0, worth, -inf)
        b_h = t.step_h * float(np.median(size))
        if d.max_cycles_per_day is not None and kw * out_frac > 0 and self.cycle_kwh < inf:
            a_day = floor(d.max_cycles_per_day * self.cycle_kwh / (kw * out_frac * b_h) + SLACK)
            worth = _best_of_day(worth, np.asarray(t.day)[first], a_day)
        chosen = np.zeros(first.size, dtype=bool)
        most = self.hours_left(kw, out_frac)
        years = self.year[first]
        rest = max(1, ceil(self.rest_steps * t.step_h / b_h - SLACK))
        for y in np.unique(years):
            mine = np.flatnonzero(years == y)
            part = mine if not chosen.any() else mine[mine >= int(np.flatnonzero(chosen)[-1]) + 1 + rest]
            chosen[part] = self._chosen(worth[part], most, b_h, rest)
        return np.asarray(chosen[of])

    def _chosen(self, worth: Kw, hours: float, block_h: float, rest: int) -> Mask:
        """Blocks of one year."""
        d = self.dispatch
        budget = worth.size if hours == inf else floor(hours / block_h + SLACK)
        longest = (
            worth.size if d.max_hours_per_event is None else floor(d.max_hours_per_event / block_h + SLACK)
        )
        good = np.isfinite(worth)
        free = d.max_events_per_y is None and d.max_hours_per_event is None and d.min_rest_h == 0
        if free:
            order = np.argsort(np.where(good, -worth, inf), kind="stable")[: min(budget, int(good.sum()))]
            out = np.zeros(worth.size, dtype=bool)
            out[order] = True
            return out
        if budget < 1 or longest < 1:
            return np.zeros(worth.size, dtype=bool)
        events = -1 if d.max_events_per_y is None else d.max_events_per_y
        from .rights_kernel import runs

        def tried(price: float) -> Mask:
            return np.asarray(runs(np.where(good, worth - price, -1e18), longest, rest, events))

        chosen = tried(0.0)
        if int(chosen.sum()) <= budget:
            return chosen
        low, high = 0.0, float(worth[good].max())
        for _ in range(PRICINGS):
            price = (low + high) / 2
            made = tried(price)
            if int(made.sum()) <= budget:
                high, chosen = price, made
            else:
                low = price
        return chosen if int(chosen.sum()) <= budget else np.zeros(worth.size, dtype=bool)

    def meter(self) -> Meter:
        """A meter that has granted nothing yet."""
        return Meter(self)

    def breaches(self, commanded: Mask, out_kwh: Kw) -> list[str]:
        """Clauses that commands broke, read off what was commanded and discharged by it, (n,) each."""
        d, t, out = self.dispatch, self.timeline, []
        on = np.asarray(commanded, dtype=bool)
        if (on & ~self.open).any():
            out.append(f"commanded outside {d.from_h:g} to {d.to_h:g} h")
        edge = np.flatnonzero(np.diff(np.concatenate(([0], on.astype(np.int8), [0]))))
        begins, ends = edge[::2], edge[1::2]
        length = (ends - begins) * t.step_h
        if d.max_hours_per_event is not None and (length > d.max_hours_per_event + 1e-6).any():
            out.append(f"an event of {length.max():g} h; at most {d.max_hours_per_event:g}")
        gap = (begins[1:] - ends[:-1]) * t.step_h
        if d.min_rest_h and (gap < d.min_rest_h - 1e-6).any():
            out.append(f"a rest of {gap.min():g} h; at least {d.min_rest_h:g}")
        for y in np.unique(self.year):
            mine = self.year == y
            events, hours = int((self.year[begins] == y).sum()), float(on[mine].sum()) * t.step_h
            if d.max_events_per_y is not None and events > d.max_events_per_y:
                out.append(f"{events} events in year {y + 1}; at most {d.max_events_per_y}")
            if d.max_hours_per_y is not None and hours > d.max_hours_per_y + 1e-6:
                out.append(f"{hours:g} h in year {y + 1}; at most {d.max_hours_per_y:g}")
            cycles = float(np.asarray(out_kwh)[mine].sum()) / self.cycle_kwh
            if d.max_cycles_per_y is not None and cycles > d.max_cycles_per_y + 1e-6:
                out.append(f"{cycles:g} cycles in year {y + 1}; at most {d.max_cycles_per_y:g}")
        by_day = np.bincount(np.asarray(t.day) - int(t.day[0]), weights=out_kwh) / self.cycle_kwh
        if d.max_cycles_per_day is not None and (by_day > d.max_cycles_per_day + 1e-6).any():
            out.append(f"{by_day.max():g} cycles in a day; at most {d.max_cycles_per_day:g}")
        return out


def _best_of_day(worth: Kw, day: NDArray[Any], most: int) -> Kw:
    """Worth of the `most` best blocks of each day, -inf for the others."""
    order = np.lexsort((-worth, day))
    _, first = np.unique(day[order], return_index=True)
    rank = np.arange(order.size) - np.repeat(first, np.diff(np.append(first, order.size)))
    out = np.full(worth.size, -inf)
    keep = order[rank < most]
    out[keep] = worth[keep]
    return out


class Meter:
    """What was granted so far: on (n,), out_kwh (n,). Grants a command only as far as every clause still holds."""

    def __init__(self, rights: Rights) -> None:
        self.rights = rights
        n = rights.timeline.n
        self.on, self.out_kwh = np.zeros(n, dtype=bool), np.zeros(n)
        self.refused: dict[str, int] = {}
        self._open, self._year = rights.open, rights.year
        self._day = np.asarray(rights.timeline.day) - int(rights.timeline.day[0])
        years, days = int(self._year[-1]) + 1, int(self._day[-1]) + 1
        self._events, self._hours = np.zeros(years, dtype=np.int64), np.zeros(years)
        self._cycles_y, self._cycles_d = np.zeros(years), np.zeros(days)

    def grant(self, k: int, out_kwh: float) -> float | None:
        """Energy that a command of interval k may discharge, of out_kwh; None where it may not be given at all."""
        why = None if self.on[k] else self._refusal(k)
        room = self._cycle_room_kwh(k)
        if why is None and out_kwh > 0 and room <= 0:
            why = "cycles"
        if why is not None:
            self.refused[why] = self.refused.get(why, 0) + 1
            return None
        granted = min(max(out_kwh, 0.0), room)
        self._take(k, granted)
        return granted

    def _cycle_room_kwh(self, k: int) -> float:
        d, r = self.rights.dispatch, self.rights
        if r.cycle_kwh == inf:
            return inf
        left = inf
        if d.max_cycles_per_y is not None:
            left = min(left, d.max_cycles_per_y - self._cycles_y[self._year[k]])
        if d.max_cycles_per_day is not None:
            left = min(left, d.max_cycles_per_day - self._cycles_d[self._day[k]])
        return max(0.0, left) * r.cycle_kwh if left < inf else inf

    def _run(self, k: int) -> tuple[int, int]:
        """The run that k would be part of, [a, b)."""
        a, b = k, k + 1
        while a > 0 and self.on[a - 1]:
            a -= 1
        while b < self.on.size and self.on[b]:
            b += 1
        return a, b

    def _refusal(self, k: int) -> str | None:
        """Why a new commanded interval may not be; None where it may."""
        d, r = self.rights.dispatch, self.rights
        if not self._open[k]:
            return "hours of the day"
        rest = r.rest_steps if d.min_rest_h or r.most_steps is not None else 0
        if (
            rest or r.most_steps is not None
        ):  # a run may be as long as the year: it is walked only where it matters
            a, b = self._run(k)
            if r.most_steps is not None and b - a > r.most_steps:
                return "hours of an event"
            if rest and (self.on[max(0, a - rest) : a].any() or self.on[b : b + rest].any()):
                return "rest"
        y = self._year[k]
        if d.max_hours_per_y is not None and self._hours[y] + r.timeline.step_h > d.max_hours_per_y + SLACK:
            return "hours a year"
        if d.max_events_per_y is not None:
            for year, more in self._event_changes(k).items():
                if more > 0 and self._events[year] + more > d.max_events_per_y:
                    return "events a year"
        return None

    def _event_changes(self, k: int) -> dict[int, int]:
        """Events more or less by year if interval k joins its neighbours: an event is of the year it begins in."""
        out: dict[int, int] = {}
        if k + 1 < self.on.size and self.on[k + 1]:  # the run to the right begins no more by itself
            out[int(self._year[k + 1])] = out.get(int(self._year[k + 1]), 0) - 1
        if k == 0 or not self.on[k - 1]:
            out[int(self._year[k])] = out.get(int(self._year[k]), 0) + 1
        return out

    def _take(self, k: int, out_kwh: float) -> None:
        if not self.on[k]:
            for year, more in self._event_changes(k).items():
                self._events[year] += more
            self.on[k] = True
            self._hours[self._year[k]] += self.rights.timeline.step_h
        self.out_kwh[k] += out_kwh
        if self.rights.cycle_kwh < inf:
            self._cycles_y[self._year[k]] += out_kwh / self.rights.cycle_kwh
            self._cycles_d[self._day[k]] += out_kwh / self.rights.cycle_kwh
