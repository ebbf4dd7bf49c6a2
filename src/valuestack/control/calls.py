"""Desk: where calls of markets meet a policy, and where its answers become what is held, recorded and settled.

A call is shown from the moment at which it is public, never earlier. An answer counts from its `known` to its `answer`
interval and is final. An event that was accepted is a promise: what was delivered is metered and settled by the stream.
An award is held interval by interval by the stores named: what their power, their energy above the reserve and the
interconnection cannot stand behind is not held, and earns nothing. Its mean call moves the meter, and the energy
that goes out and in within an interval costs the store its losses:

    net(t) = plan + down - up,   loss(t) = min(in, out) (1 / eta_d - eta_c),   in = charge + down, out = discharge + up

with up, down = award x mean share called. So the simulated store follows the balance that the plan assumed
(stack/offers.py). Claims that may share are held by the same kW (sharing.py). Headroom that a policy keeps ready comes
before awards. Records under `extra`: the held kW by claim 'owner/name', 'owner/name awarded' of awards, 'owner/name
asked' of what is kept ready, 'stream/accepted' and 'stream/promised' of events, 'asset/called up' and 'asset/called
down' [kW].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..dispatch import Call, Plan, View, World
from ..errors import InputError
from ..timeline import Kw, Timeline
from .guard import Guard, StoreLimits
from .sharing import Families, Side
from .twin import Twin


def calls_of(streams: Iterable[Any], world: World, stores: Sequence[str], notes: list[str]) -> list[Call]:
    """The calls of all streams that have any, by the moment at which they are public. Awards that no store serves are
    left out, and said."""
    out: list[Call] = []
    for s in streams:
        for c in s.calls(world, world.timeline) if hasattr(s, "calls") else ():
            if c.claim and not any(a in stores for a in c.assets):
                names = ", ".join(c.assets)
                said = f"{c.stream}: awards are held by stores in this loop, and {names} is none; not offered"
                if said not in notes:
                    notes.append(said)
                continue
            out.append(c)
    keys = [c.key for c in out]
    if len(set(keys)) < len(keys):
        twice = next(k for k in keys if keys.count(k) > 1)
        raise InputError(f"calls: {twice!r} comes twice; give each stream of a site a name of its own")
    return sorted(out, key=lambda c: (c.known, c.first, c.key))


class Desk:
    """Calls, answers and what is held of them, over one run of one lane."""

    def __init__(self, calls: Sequence[Call], timeline: Timeline) -> None:
        self.calls, self.timeline = list(calls), timeline
        self.answers: dict[str, Kw] = {}
        self.short = 0  # intervals in which an award could not be held in full
        self.unready = 0  # intervals in which headroom to be kept ready was not there in full
        self.families = Families()
        self._next = 0
        self._open: list[Call] = []
        self._said: dict[str, int] = {}
        n = timeline.n
        self._held = {c.claim: np.zeros(n) for c in self.calls if c.claim}
        self._awarded = {name: np.zeros(n) for name in self._held}
        self._taken = {c.stream: np.zeros(n) for c in self.calls if not c.claim}
        self._promised = {name: np.zeros(n) for name in self._taken}
        self._moved: dict[str, Kw] = {}
        self._ready: dict[str, Kw] = {}
        self._asked: dict[str, Kw] = {}
        self._claims: dict[str, Call] = {c.claim: c for c in self.calls if c.claim}

    def public(self, k: int) -> tuple[Call, ...]:
        """Calls that are known when interval k begins and are not over."""
        while self._next < len(self.calls) and self.calls[self._next].known <= k:
            self._open.append(self.calls[self._next])
            self._next += 1
        self._open = [c for c in self._open if c.first + c.n > k]
        return tuple(self._open)

    def show(self, view: View) -> View:
        """Put what is public into a view."""
        view.calls, view.answers = self.public(view.k), self.answers
        return view

    def quiet_until(self, k: int) -> int:
        """The interval up to which, from k on, nothing new is public, nothing waits for an answer and no award is to be
        held; k where that is not so now."""
        coming = self.calls[self._next].known if self._next < len(self.calls) else self.timeline.n
        if coming <= k or any(c.key not in self.answers for c in self._open if c.first + c.n > k):
            return k
        for kw in self._awarded.values():
            held = kw[k:coming] > 0
            if held.any():
                coming = k + int(np.argmax(held))
        return coming

    def take(self, k: int, plan: Plan) -> None:
        """The answers of a plan made at k. What is no number counts as nothing; calls that are over the time to answer
        stay as they are."""
        for c in self._open:
            if c.key in self.answers:
                continue
            if k <= c.answer and (c.key in plan.accepted or c.key in plan.awards_kw):
                self._settle_answer(c, k, plan.awards_kw.get(c.key, c.kw))
            elif k >= c.answer:
                self._settle_answer(c, k, 0.0)

    def _settle_answer(self, c: Call, k: int, kw: Any) -> None:
        asked = np.asarray(kw, dtype=float)
        if asked.shape not in ((), (c.n,)):
            raise InputError(f"{c.key}: an answer of shape {asked.shape}; give one number or ({c.n},)")
        given = np.where(np.isfinite(asked), asked, np.where(asked > 0, c.kw, 0.0))
        given = np.where(np.isfinite(given), np.clip(given, 0.0, c.kw), 0.0)
        given = np.array(np.broadcast_to(np.where(given < c.least_kw - 1e-9, 0.0, given), c.n), dtype=float)
        if c.block > 1:  # constant over its blocks: what is promised in all of them
            edges = np.arange(0, c.n, c.block)
            given = np.repeat(np.minimum.reduceat(given, edges), np.diff(np.append(edges, c.n)))
        given[: max(0, k - c.first)] = 0.0
        self.answers[c.key], self._said[c.key] = given, k
        if c.claim:
            self._awarded[c.claim][c.span] = given
        else:
            self._taken[c.stream][c.span] = np.maximum(self._taken[c.stream][c.span], given > 0)
            self._promised[c.stream][c.span] += given

    # --- awards ----------------------------------------------------------------------------------

    def hold(
        self,
        k: int,
        twin: Twin,
        guard: Guard,
        planned_kw: Mapping[str, Any],
        standing: Iterable[tuple[Call, float]] = (),
    ) -> dict[str, Any] | None:
        """Setpoints with the mean call of the awards that can be held in interval k, None where nothing is called.
        planned_kw: guarded setpoints. standing: headroom that is kept ready, with its kW; it comes before awards, and
        nothing of it is called.

        The store's losses of going to and fro are taken from its state here.
        """
        out = dict(planned_kw)
        rooms: dict[str, _Room] = {}
        site = _Site.of(k, twin, guard, out)
        for c, kw in standing:
            n = self.timeline.n
            held = self._hold(c, kw, k, twin, guard, out, rooms, site) if kw > 0 else 0.0
            self._ready.setdefault(c.claim, np.zeros(n))[k] = held
            self._asked.setdefault(c.claim, np.zeros(n))[k] = kw
            self.unready += held < kw - 1e-3
        for name, awarded in self._awarded.items():
            kw = float(awarded[k])
            if kw <= 0:
                continue
            held = self._hold(self._claims[name], kw, k, twin, guard, out, rooms, site)
            self._held[name][k] = held
            self.short += held < kw - 1e-6
        return self._moving(k, twin, out, rooms)

    def _hold(
        self,
        c: Call,
        kw: float,
        k: int,
        twin: Twin,
        guard: Guard,
        planned_kw: Mapping[str, Any],
        rooms: dict[str, _Room],
        site: _Site,
    ) -> float:
        """What its stores can hold of kw, one after the other."""
        held, family = 0.0, self.families.of(c)
        for asset in c.assets:
            if asset not in guard.stores:
                continue
            if asset not in rooms:
                rooms[asset] = _Room.of(asset, k, twin, guard, planned_kw)
            held += rooms[asset].take(c, family, kw - held, site)
            if held >= kw - 1e-9:
                break
        return held

    def _moving(
        self, k: int, twin: Twin, out: dict[str, Any], rooms: Mapping[str, _Room]
    ) -> dict[str, Any] | None:
        moved = False
        for asset, room in rooms.items():
            if not (room.up_kw or room.down_kw):
                continue
            moved = True
            twin.state[asset] = twin.state[asset] - room.loss_kwh()
            self._moved.setdefault(f"{asset}/called up", np.zeros(self.timeline.n))[k] = room.up_kw
            self._moved.setdefault(f"{asset}/called down", np.zeros(self.timeline.n))[k] = room.down_kw
            out[asset] = np.asarray(out.get(asset, 0.0), dtype=float) + room.down_kw - room.up_kw
        return out if moved else None

    def extra(self) -> dict[str, Kw]:
        """What stands in the record: see the head of this file."""
        return {
            **self._held,
            **{f"{name} awarded": kw for name, kw in self._awarded.items()},
            **self._ready,
            **{f"{name} asked": kw for name, kw in self._asked.items()},
            **{f"{name}/accepted": on for name, on in self._taken.items()},
            **{f"{name}/promised": kw for name, kw in self._promised.items()},
            **self._moved,
        }

    def sentences(self) -> list[str]:
        """What became of the calls, for a person."""
        events = [c for c in self.calls if not c.claim]
        taken = sum(bool(self.answers.get(c.key, np.zeros(1)).any()) for c in events)
        out = [f"{taken} of {len(events)} calls were accepted"] if events else []
        if self.short:
            out.append(f"awards could not be held in full in {self.short:,} intervals, and earned less there")
        if self.unready:
            out.append(f"headroom to be kept ready was not there in full in {self.unready:,} intervals")
        return out


class _Site:
    """What the interconnection still lets a full call move, in one interval."""

    def __init__(self, up_kw: float, down_kw: float, step_h: float) -> None:
        self.up, self.down = Side(up_kw, step_h), Side(down_kw, step_h)

    @classmethod
    def of(cls, k: int, twin: Twin, guard: Guard, planned_kw: Mapping[str, Any]) -> _Site:
        """The room beside guarded setpoints."""
        moves = sum(_one(w) for other, w in planned_kw.items() if other not in guard.given)
        net = float(twin.base_kw[0, k]) + moves
        up, down = net + float(guard.export_limit_kw[k]), float(guard.import_limit_kw[k]) - net
        return cls(max(0.0, up), max(0.0, down), guard.step_h)


class _Room:
    """What a store could still give and take on call in one interval, beside what it is asked for already."""

    def __init__(self, s: StoreLimits, energy: float, planned: float, step_h: float, low_kwh: float) -> None:
        self.s, self.h, self.planned, self.energy, self.low = s, step_h, planned, energy, low_kwh
        self.up_kw = self.down_kw = 0.0
        self.up, self.down = Side(0.0, step_h, 0.0), Side(0.0, step_h, 0.0)

    @classmethod
    def of(cls, name: str, k: int, twin: Twin, guard: Guard, planned_kw: Mapping[str, Any]) -> _Room:
        """The room beside guarded setpoints."""
        s, h = guard.stores[name], guard.step_h
        energy, p = float(twin.state[name][0]), _one(planned_kw.get(name, 0.0))
        room = cls(s, energy, p, h, float(s.floor_kwh[k + 1]))
        after = energy + (p * s.charge_efficiency_frac if p > 0 else p / s.discharge_efficiency_frac) * h
        up_kwh = max(0.0, min(energy, after) - room.low) * s.discharge_efficiency_frac
        down_kwh = max(0.0, float(s.high_kwh[k + 1]) - max(energy, after)) / s.charge_efficiency_frac
        room.up = Side(float(s.discharge_kw[k]) + p, h, up_kwh)
        room.down = Side(float(s.charge_kw[k]) - p, h, down_kwh)
        return room

    def take(self, c: Call, family: int, kw: float, site: _Site) -> float:
        """Hold as much of kw as there is room for; the mean call of it is noted."""
        most = kw
        sides = [(self.up, site.up, c.up_frac)] if c.direction != "down" else []
        sides += [(self.down, site.down, c.down_frac)] if c.direction != "up" else []
        for mine, meter, frac in sides:
            most = min(most, mine.most_kw(family, c.claim, c.sustain_h, frac))
            most = min(most, meter.most_kw(family, c.claim, 0.0, frac))
        held = max(0.0, most)
        for mine, meter, frac in sides:
            mine.take(family, c.claim, held, c.sustain_h, frac)
            meter.take(family, c.claim, held, 0.0, frac)
        self.up_kw += held * c.up_frac * (c.direction != "down")
        self.down_kw += held * c.down_frac * (c.direction != "up")
        return held

    def loss_kwh(self) -> float:
        """Losses of what goes in and out within the interval, never more than what stands above the floor."""
        into, out = max(self.planned, 0.0) + self.down_kw, max(-self.planned, 0.0) + self.up_kw
        s = self.s
        lost = min(into, out) * (1 / s.discharge_efficiency_frac - s.charge_efficiency_frac) * self.h
        return min(lost, max(0.0, self.energy - self.low))


def _one(kw: Any) -> float:
    """The one lane of a setpoint."""
    return float(np.ravel(np.asarray(kw, dtype=float))[0])
