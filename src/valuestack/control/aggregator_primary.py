"""Aggregator-primary (method C): the counterparty commands within its contract, the owner's policy has what is left.

The counterparty answers every call of the streams that its contract names, with all that it may offer or with a
command sequence that is given, and commands the store while its awards and events run. Nothing reaches the plant but
through the contract and the guard:

    rights      hours of the day, events, hours, rest, cycles and notice, by `site.rights.Meter`; opt-outs as far as
                the contract grants them
    window      states of charge while it may command, as limits of the guard (`windows_kwh`)
    override    the owner takes the store back for a cause that the contract names, after its notice: it fills from
                then on at full power, awards are held only as far as nothing that it holds is spent on them, so none
                once it is full; the reserve is the guard's and is no policy's to spend

Between commands the store follows `rest`, a policy of the owner. While an award runs and nothing else is commanded, the
store is kept in the middle of what it may use, at the owner's cost of energy.

For the twin only: it refuses to be prepared for anything else. It serves calls from stores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from math import inf
from typing import Any, ClassVar, cast

import numpy as np
from pydantic import ValidationError

from ..dispatch import Call, Plan, Record, View
from ..errors import InputError
from ..flows import Store
from ..ledger import Entry
from ..site.contract import Cause, Contract
from ..site.rights import Meter, Rights
from ..timeline import Kw, Timeline, epoch_s
from .guard import Guard
from .policy import Policy, Setting
from .stores import offered
from .twin import Twin


@dataclass(frozen=True, slots=True)
class TakenBack:
    """The owner takes the store back: for what, from when (aware), and for how long."""

    cause: Cause
    start: datetime
    hours: float


class AggregatorPrimary:
    """Method C; see the head of this file.

    contract: whose rights hold, a Contract or its values; none = no limit is written. awards_kw: by claim
    'owner/name', kW wanted in each interval, (n,); none = all that each call may be offered. setpoints_kw: by store,
    commanded power (n,), not a number = no command. opt_outs: days on which the owner would rather not; taken_back: see
    TakenBack. rest, rest_options: the owner's policy between commands, by kind.
    """

    kind: ClassVar[str] = "aggregator_primary"
    answers: ClassVar[bool] = True
    twin_only: ClassVar[bool] = True
    heeds: ClassVar[tuple[str, ...]] = ("calls",)  # all that it looks at of streams

    def __init__(
        self,
        contract: Contract | Mapping[str, Any] | None = None,
        *,
        awards_kw: Mapping[str, Kw] | None = None,
        setpoints_kw: Mapping[str, Kw] | None = None,
        opt_outs: Sequence[date] = (),
        taken_back: Sequence[TakenBack] = (),
        rest: str = "threshold",
        rest_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.contract = _contract(contract)
        self.awards_kw = (
            None if awards_kw is None else {k: np.asarray(v, float) for k, v in awards_kw.items()}
        )
        self.setpoints_kw = {k: np.asarray(v, dtype=float) for k, v in (setpoints_kw or {}).items()}
        self.opt_outs, self.taken_back = tuple(opt_outs), tuple(taken_back)
        if rest == self.kind:
            raise InputError(f"rest = {rest!r}: what the owner does between commands is another policy")
        self.rest, self.rest_options = rest, dict(rest_options or {})

    # --- before the first interval ---------------------------------------------------------------

    def prepare(self, setting: Setting) -> None:
        """See Policy. Errors: InputError for a plant that is no twin, and for series of another length."""
        if not setting.simulated:
            raise InputError(
                "aggregator_primary: gives the command away, so it runs against the simulated twin only; for a live "
                "plant choose utility_first or dynamic"
            )
        t = self.timeline = setting.timeline
        given = {**(self.awards_kw or {}), **self.setpoints_kw}
        bad = [f"{k}: {v.shape}; the timeline needs ({t.n},)" for k, v in given.items() if v.shape != (t.n,)]
        if bad:
            raise InputError.collect("aggregator_primary: commands", bad)
        self._owner = _policy(self.rest, self.rest_options)
        self._owner.prepare(replace(setting, streams=()))
        self._assets = {a.name: a for a in setting.assets}
        self._store = self._which(setting)
        self.rights = Rights(self.contract.dispatch, t, self._cycle_kwh())
        self.meter: Meter = self.rights.meter()
        self._back, self.back_events = self._times_taken_back(t)
        self._runs_back = _runs(self._back)
        self._out, self.opted_days = self._days_opted(t)
        self._promised_kw = np.zeros(t.n)  # awards and events that it serves, together
        self._events: list[tuple[Call, Kw]] = []
        self._seen: set[str] = set()
        self.late = 0

    def _which(self, setting: Setting) -> Store | None:
        state = {a.name: a.initial_state() for a in setting.assets}
        view = View(setting.timeline, 0, setting.timeline.n, _Nothing(), state)
        stores = offered([a for a in setting.assets if not _reads_the_world(a)], view)
        named = [s for s in stores if self.contract.asset in (None, s.name)]
        if self.contract.asset is not None and not named:
            raise InputError(
                f"contract {self.contract.name}: asset = {self.contract.asset!r} is no store of this run; there are "
                f"{', '.join(s.name for s in stores) or 'none'}"
            )
        return named[0] if named else None

    def _cycle_kwh(self) -> float:
        """Energy discharged at the meter in a full cycle of the store."""
        s = self._store
        if s is None:
            return inf
        asset = self._assets[s.name]
        if hasattr(asset, "energy_kwh"):
            return float(asset.energy_kwh) * s.discharge_efficiency_frac
        return float(np.max(s.energy_max_kwh) - np.min(s.energy_min_kwh)) * s.discharge_efficiency_frac

    def _times_taken_back(self, t: Timeline) -> tuple[np.ndarray[Any, np.dtype[np.bool_]], int]:
        """Intervals in which the owner has the store back, and how often he took it."""
        on, count = np.zeros(t.n, dtype=bool), 0
        for b in self.taken_back:
            if b.cause not in self.contract.override.causes:
                continue
            first = (epoch_s(b.start) - epoch_s(t.start)) / t.step_s
            a = max(0, int(np.ceil(first + self.contract.override.notice_h / t.step_h - 1e-9)))
            until = min(t.n, int(np.ceil(first + b.hours / t.step_h - 1e-9)))
            if a < until:
                on[a:until] = True
                count += 1
        return on, count

    def _days_opted(self, t: Timeline) -> tuple[np.ndarray[Any, np.dtype[np.bool_]], list[date]]:
        """Intervals of the days that the owner may opt out of: as many a year of the contract as it grants."""
        days, on, taken = t.local_date, np.zeros(t.n, dtype=bool), []
        used: dict[int, int] = {}
        for day in sorted(set(self.opt_outs)):
            here = np.asarray(days == np.datetime64(day))
            if not here.any():
                continue
            year = int(self.rights.year[np.argmax(here)])
            if used.get(year, 0) < self.contract.dispatch.opt_outs_per_y:
                used[year] = used.get(year, 0) + 1
                on |= here
                taken.append(day)
        return on, taken

    def windows_kwh(self, view: View | None = None) -> dict[str, tuple[Kw, Kw]]:
        """What the guard keeps the store to. Before the first interval: the contract's states of charge while it may be
        commanded. Then, while the owner has it back: all that it holds by now."""
        s = self._store
        if s is None:
            return {}
        return self._contracted(s) if view is None else self._kept(s, view)

    def _contracted(self, s: Store) -> dict[str, tuple[Kw, Kw]]:
        d, t = self.contract.dispatch, self.timeline
        low, high = np.full(t.n + 1, -inf), np.full(t.n + 1, inf)
        full = float(np.max(s.energy_max_kwh))
        left = float(getattr(self._assets[s.name], "left_kwh", full))
        may = self._may()
        ends = np.concatenate(([False], may)) | np.concatenate((may, [False]))
        if d.soc_min_frac > 0:
            low[ends] = np.minimum(d.soc_min_frac * left, full)
        if d.soc_max_frac < 1:
            high[ends] = d.soc_max_frac * left
        for a, b in self._runs_back:  # at a it is still the contract's, which ends there
            low[a + 1 : b + 1], high[a + 1 : b + 1] = -inf, inf
        return {s.name: (low, high)}

    def _kept(self, s: Store, view: View) -> dict[str, tuple[Kw, Kw]]:
        run = next(((a, b) for a, b in self._runs_back if a <= view.k < b), None)
        if run is None:
            return {}
        low = np.full(self.timeline.n + 1, -inf)
        low[view.k + 1 : run[1] + 1] = float(np.min(np.asarray(view.asset_state[s.name])))
        return {s.name: (low, np.full(self.timeline.n + 1, inf))}

    def _may(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Intervals in which it may command, as far as that is known before the first."""
        if self.awards_kw is None:
            return self.rights.open
        wanted = np.zeros(self.timeline.n, dtype=bool)
        for kw in self.awards_kw.values():
            wanted |= kw > 0
        for kw in self.setpoints_kw.values():
            wanted |= np.isfinite(kw)
        return np.asarray(wanted & self.rights.open)

    # --- one interval ----------------------------------------------------------------------------

    def decide(self, view: View) -> Plan:
        """Answers to the calls of its streams, and the store's power: its own while it commands, else the owner's."""
        plan = self._owner.decide(view)
        answers = self._answers(view)
        k, s = view.k, self._store
        if s is None:
            return Plan(plan.setpoints_kw, awards_kw=answers)
        command = self._command(view, s)
        if command is None:
            return Plan(plan.setpoints_kw, awards_kw=answers, why=plan.why)
        why = f"{self.contract.counterparty} commands under {self.contract.name}"
        lanes = np.asarray(view.now["base_kw"]).shape
        return Plan(
            {**plan.setpoints_kw, s.name: np.full(lanes, command)},
            awards_kw=answers,
            why=(why, *(() if not self._back[k] else ("the owner has taken the store back",))),
        )

    def stretch(self, twin: Twin, guard: Guard, until: int) -> bool:
        """See Policy: the owner's own loop, where nothing is commanded or promised and the store is not taken back."""
        owner: Callable[[Twin, Guard, int], bool] | None = getattr(self._owner, "stretch", None)
        k = twin.k
        if owner is None or any(c.first <= k < c.first + c.n for c, _ in self._events):
            return False
        here = slice(k, min([until, *(c.first for c, _ in self._events if c.first > k)]))
        busy = self._back[here] | (self._promised_kw[here] > 0)
        if self._store is not None and self._store.name in self.setpoints_kw:
            busy |= np.isfinite(self.setpoints_kw[self._store.name][here])
        m = int(np.argmax(busy)) if busy.any() else busy.size
        return m > 0 and owner(twin, guard, k + m)

    def kernel(self, twin: Twin, guard: Guard) -> Record | None:
        """The owner's compiled loop, where nobody else has a say: no call (the loop sees to that), no command, no time
        taken back, no upper limit of the contract, which kernels do not know. None elsewhere."""
        capped = any(
            np.any(s.energy_max_kwh > guard.stores[s.name].high_kwh)
            for s in twin.stores
            if s.name in guard.stores
        )
        if self.setpoints_kw or self._back.any() or capped:
            return None
        compiled: Callable[[Twin, Guard], Record | None] | None = getattr(self._owner, "kernel", None)
        return None if compiled is None else compiled(twin, guard)

    def _answers(self, view: View) -> dict[str, Any]:
        """kW promised to every call that was not answered yet, zeros where it may not."""
        out: dict[str, Any] = {}
        for c in view.calls:
            if c.key in self._seen or view.k > c.answer:
                continue
            self._seen.add(c.key)
            mine = self.contract.streams == ("*",) or c.stream in self.contract.streams
            out[c.key] = self._granted(c, view.k) if mine else 0.0
        return out

    def _wanted(self, c: Call) -> Kw:
        s = self._store
        most = c.kw
        if s is not None:
            sides = [float(np.max(s.discharge_max_kw))] if c.direction != "down" else []
            sides += [float(np.max(s.charge_max_kw))] if c.direction != "up" else []
            most = min(most, *sides)
        if c.claim and self.awards_kw is not None:
            kw = self.awards_kw.get(c.claim)
            wanted = np.zeros(c.n) if kw is None else kw[c.span]
            return np.asarray(np.clip(np.where(np.isfinite(wanted), wanted, 0.0), 0.0, most))
        return np.full(c.n, most if np.isfinite(most) else 0.0)

    def _granted(self, c: Call, k: int) -> Kw:
        """What of a call the contract lets it answer, (its n,)."""
        t, out = self.timeline, np.zeros(c.n)
        wanted, d = self._wanted(c), self.contract.dispatch
        out_frac = c.up_frac if c.claim else 1.0
        for i in range(c.n):
            at = c.first + i
            if wanted[i] <= 0 or self._out[at]:
                continue
            if (at - k) * t.step_h < d.notice_h - 1e-9:
                self.late += 1
                continue
            kwh = float(wanted[i]) * out_frac * t.step_h
            granted = self.meter.grant(at, kwh)
            if granted is not None:
                out[i] = wanted[i] if kwh <= 0 else wanted[i] * granted / kwh
        self._promised_kw[c.span] += out
        if not c.claim and out.any():
            self._events.append((c, out))
        return out

    def _command(self, view: View, s: Store) -> float | None:
        """Power that it asks of the store in this interval; None where it commands nothing."""
        k, t = view.k, self.timeline
        if self._back[k]:
            return float(np.max(s.charge_max_kw))  # the owner fills it
        wanted = self.setpoints_kw.get(s.name)
        if wanted is not None and np.isfinite(wanted[k]) and not self._out[k]:
            p = float(wanted[k])
            granted = self.meter.grant(k, max(-p, 0.0) * t.step_h)
            if granted is not None:
                return p if p >= 0 else -granted / t.step_h
        energy = float(np.ravel(np.asarray(view.asset_state[s.name]))[0])
        for c, kw in self._events:
            if c.first <= k < c.first + c.n and kw[k - c.first] > 0:
                left_h = (c.first + c.n - k) * t.step_h
                usable = max(0.0, energy - self._least(s)) * s.discharge_efficiency_frac
                power = min(float(kw[k - c.first]), usable / left_h)
                return -power if c.direction != "down" else float(kw[k - c.first])
        if self._promised_kw[k] <= 0:
            return None
        middle = (self._least(s) + self._most(s)) / 2
        return max(0.0, (middle - energy) / (s.charge_efficiency_frac * t.step_h))

    def _least(self, s: Store) -> float:
        left = float(getattr(self._assets[s.name], "left_kwh", np.max(s.energy_max_kwh)))
        return max(float(np.min(s.energy_min_kwh)), self.contract.dispatch.soc_min_frac * left)

    def _most(self, s: Store) -> float:
        left = float(getattr(self._assets[s.name], "left_kwh", np.max(s.energy_max_kwh)))
        return min(float(np.max(s.energy_max_kwh)), self.contract.dispatch.soc_max_frac * left)

    # --- afterwards ------------------------------------------------------------------------------

    def remarks(self) -> list[str]:
        """The owner's own."""
        said = getattr(self._owner, "remarks", None)
        return [] if said is None else list(said())

    def entries(self) -> Iterable[Entry]:
        """What opting out and taking the store back cost the owner in the run."""
        c, t = self.contract, self.timeline
        cycle = f"{t.start:%Y-%m-%d}/{t.end:%Y-%m-%d}"
        rows = (
            ("opt-outs", len(self.opted_days), c.dispatch.opt_out_usd, "day"),
            ("taken back", self.back_events, c.override.usd_per_event, "event"),
        )
        for item, count, usd, unit in rows:
            if count and usd:
                yield Entry(
                    cycle,
                    3,
                    c.streams[0],
                    f"{c.name}/{item}",
                    c.counterparty,
                    float(count),
                    unit,
                    usd,
                    -usd * count,
                    certainty="contractual",
                    reason=f"{count} at {usd:,.2f} USD",
                )


def _contract(given: Contract | Mapping[str, Any] | None) -> Contract:
    if isinstance(given, Contract):
        return given
    if given is None:
        return Contract(name="no limits", streams=("*",))
    try:
        return Contract.model_validate(dict(given))
    except ValidationError as e:
        from ..site.files import explain

        raise InputError.collect("aggregator_primary: contract", explain(e, Contract)) from e


def _policy(kind: str, options: Mapping[str, Any]) -> Policy:
    from ..site.files import policy_class

    return cast(Policy, policy_class(kind)(**options))


def _runs(on: np.ndarray[Any, np.dtype[np.bool_]]) -> list[tuple[int, int]]:
    edge = np.flatnonzero(np.diff(np.concatenate(([0], on.astype(np.int8), [0]))))
    return [(int(a), int(b)) for a, b in zip(edge[::2], edge[1::2], strict=True)]


class _Nothing:
    """A belief for assets that need none to say what they are."""

    def series(self, name: str, *, first: int, n: int, as_of: int) -> Kw:
        return np.zeros(n)


def _reads_the_world(asset: Any) -> bool:
    """Whether it is no store: what generates reads its sun, and has no say here."""
    state = asset.initial_state()
    return not (isinstance(state, np.ndarray) and state.shape == (1,))
