"""How often a plant is told something new: between a policy and the guard.

A setpoint is held until the policy's wish leaves it by more than the deadband and the dwell is over. Where only so many
changes a day are allowed (local days), they are spent where they are worth most:

    at once     where less is wished and what stands would set a new peak: above what was metered in the calendar month
                and above what the policy defends, the net load that it wished for when it last discharged
    in time     where the energy that was wished and not done exceeds an hour of the stride; the last quarter of the
                day's changes is kept for peaks, and for ending a discharge;
                the last of a day never leaves a store charging

The stride [kW] is the least with which each of the last seven busy days, those whose wishes asked for more changes
than are allowed, would have kept to nine tenths of them; it is found anew after every such day. So it knows the past
alone, and a limit that never binds changes nothing. Quiet days teach nothing: a policy that gave a month up asks for
little until the next. What a policy does not get done it must answer for: none of them plans for the limit.

The guard has the last word: what it does to a setpoint for the sake of a limit or the reserve happens, and is counted
apart. Where no limit is set nothing here runs, and every record is what it was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from math import ceil, inf
from typing import Any

import numpy as np

from ..dispatch import Record
from ..ledger import Entry
from ..site.site import Setpoints
from ..timeline import Kw, Timeline

LEARNT_DAYS, AIM_FRAC, KEPT_FRAC = 7, 0.9, 0.25
MOVED_KW = 0.1  # a step of metered power above this counts as a change
CHANGED, FORCED = "setpoint changed", "setpoint forced"


class Damper:
    """Holds setpoints between changes over one run, (lanes,) at a time.

    names: what is told setpoints.
    """

    def __init__(self, rules: Setpoints, timeline: Timeline, names: Iterable[str], lanes: int) -> None:
        self.rules, self.timeline, self.lanes = rules, timeline, lanes
        n = timeline.n
        self.dwell = max(0, ceil(rules.min_dwell_h / timeline.step_h - 1e-9))
        most = rules.max_changes_per_day
        self.most = inf if most is None else float(most)
        self.spare = 0.0 if most is None else float(ceil(KEPT_FRAC * most)) if most > 1 else 0.0
        day, month = timeline.local_date, timeline.month_id
        self._new_day = np.concatenate(([True], day[1:] != day[:-1]))
        self._new_month = np.concatenate(([True], month[1:] != month[:-1]))
        self._days: list[int] = []  # where the days so far begin
        self._peak, self._level = np.full(lanes, -inf), np.full(lanes, -inf)
        self._names = list(names)
        self._wish = {a: np.zeros((lanes, n)) for a in self._names} if most is not None else {}
        self._base = np.zeros((lanes, n)) if most is not None else None
        self._peaks = np.zeros((lanes, n)) if most is not None else None
        self._last = {a: np.zeros(lanes) for a in self._names}
        self._sent = {a: np.zeros(lanes) for a in self._names}
        self._debt = {a: np.zeros(lanes) for a in self._names}
        self._stride = {a: np.zeros(lanes) for a in self._names}
        self._busy = {a: [deque[float](maxlen=LEARNT_DAYS) for _ in range(lanes)] for a in self._names}
        self._since = {a: np.full(lanes, self.dwell, dtype=np.int64) for a in self._names}
        self._used = {a: np.zeros(lanes, dtype=np.int64) for a in self._names}
        self.changed = {a: np.zeros((lanes, n)) for a in self._names}
        self.forced = {a: np.zeros((lanes, n)) for a in self._names}

    def damp(
        self, k: int, wishes: Mapping[str, Any], base_kw: Kw, net_before_kw: Kw | None
    ) -> dict[str, Any]:
        """Setpoints of interval k from what a policy wishes. What has no setpoint here passes unchanged.

        base_kw: net load if all of them rested, as the policy sees it; net_before_kw: of the interval before.
        """
        from .changes_kernel import held_kw

        self._turn(k, net_before_kw)
        out = dict(wishes)
        beside = np.asarray(base_kw, dtype=float) + sum(self._last.values(), np.zeros(self.lanes))
        h, rules = self.timeline.step_h, self.rules
        known = np.maximum(self._peak, self._level)
        for name in self._names:
            asked = np.asarray(wishes.get(name, 0.0), dtype=float)
            wish = np.broadcast_to(np.where(np.isfinite(asked), asked, 0.0), self.lanes)
            last, command = self._last[name], np.empty(self.lanes)
            base = beside - last
            for i in range(self.lanes):
                command[i], self._debt[name][i], changed = held_kw(
                    wish[i], base[i], known[i], last[i], self._debt[name][i], self._since[name][i],
                    self._used[name][i], self._stride[name][i], rules.deadband_kw, self.dwell, self.most, self.spare, h,
                )  # fmt: skip
                self.changed[name][i, k] = changed
            on = self.changed[name][:, k] > 0
            self._used[name] += on
            self._since[name] = np.where(on, 1, self._since[name] + 1)
            if name in self._wish:
                self._wish[name][:, k] = wish
            self._level = np.where(wish < 0.0, base + wish, self._level)
            beside = base + command
            self._last[name] = command
            out[name] = command
        if self._base is not None and self._peaks is not None:
            self._base[:, k], self._peaks[:, k] = base_kw, known
        return out

    def _turn(self, k: int, net_before_kw: Kw | None) -> None:
        """What the interval before left behind; a new day, a new month."""
        if net_before_kw is not None:
            self._peak = np.maximum(self._peak, net_before_kw)
        if self._new_month[k]:
            self._peak = np.full(self.lanes, -inf)
        if not self._new_day[k]:
            return
        for used in self._used.values():
            used[:] = 0
        if self.most < inf and self._days:
            self._learn(k)
        self._days.append(k)

    def _learn(self, k: int) -> None:
        """Whether the day that ended before k was busy, and what its stride would have been."""
        from .changes_kernel import changes_of, stride_of

        assert self._base is not None and self._peaks is not None
        span, rules, h = slice(self._days[-1], k), self.rules, self.timeline.step_h
        for name, wish in self._wish.items():
            for i in range(self.lanes):
                seen, base, peak = wish[i, span], self._base[i, span], self._peaks[i, span]
                if changes_of(seen, base, peak, 0.0, rules.deadband_kw, self.dwell, h) <= self.most:
                    continue
                most_kw = 2 * float(np.abs(seen).max())
                found = stride_of(
                    seen, base, peak, AIM_FRAC * self.most, most_kw, rules.deadband_kw, self.dwell, h
                )
                self._busy[name][i].append(found)
                self._stride[name][i] = max(self._busy[name][i])

    def note(self, k: int, asked: Mapping[str, Any], sent: Mapping[str, Any]) -> None:
        """What the guard made of it: a setpoint that it moved to something new is forced."""
        for name in self._names:
            now = np.broadcast_to(np.asarray(sent.get(name, 0.0), dtype=float), self.lanes)
            other = np.abs(now - np.asarray(asked.get(name, 0.0), dtype=float)) > 1e-9
            self.forced[name][:, k] = other & (np.abs(now - self._sent[name]) > 1e-9)
            self._sent[name] = np.array(now)

    def extra(self) -> dict[str, Kw]:
        """'asset/setpoint changed' and 'asset/setpoint forced', 0 or 1 an interval; one lane comes as (n,)."""
        rows = {f"{a}/{CHANGED}": kw for a, kw in self.changed.items()} | {
            f"{a}/{FORCED}": kw for a, kw in self.forced.items()
        }
        return {k: v if self.lanes > 1 else v[0] for k, v in rows.items()}


def moved_per_day(record: Record, names: Iterable[str] | None = None) -> float:
    """Changes of metered power a day, of `names` or of all stores: what a maintainer would count, whoever caused it."""
    steps = 0
    for name in record.stored_kwh if names is None else names:
        steps += int((np.abs(np.diff(np.asarray(record.asset_kw[name]))) > MOVED_KW).sum())
    return steps / (record.timeline.hours / 24)


def entries(record: Record, rules: Setpoints) -> Iterable[Entry]:
    """What the changes of a run cost, forced ones included; nothing where the record holds none or they are free."""
    if not rules.change_cost_usd:
        return
    t = record.timeline
    cycle = f"{t.start.date()}/{t.when(t.n - 1).date()}"
    for key, changed in record.extra.items():
        name, _, what = key.rpartition("/")
        if what != CHANGED:
            continue
        chosen, forced = float(np.sum(changed)), float(np.sum(record.extra[f"{name}/{FORCED}"]))
        if chosen + forced:
            yield Entry(
                cycle, 0, name, "setpoint changes", "owner", chosen + forced, "change", -rules.change_cost_usd,
                -(chosen + forced) * rules.change_cost_usd, certainty="modelled",
                reason=f"{chosen:,.0f} asked by the policy, {forced:,.0f} forced by limits",
            )  # fmt: skip
