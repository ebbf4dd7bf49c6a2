"""Rolling horizon: what policies that plan a day ahead and carry out its first step have in common.

Causal: a policy is handed the load metered so far and the tariff's calendar; its forecaster is handed that past
alone. See dynamic.py for the method and store_dp.py for the plan.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Any, ClassVar

import numpy as np

from ..dispatch import Plan, Record, View
from ..errors import InputError
from ..flows import Store
from ..forecast.forecaster import Forecaster
from ..forecast.usable import LOAD_INSTEAD, Usable, sentence, usable_rows
from ..terms import Payment
from ..timeline import Kw, Timeline
from .arbitrage import energy_price_usd_per_kwh
from .demand import clock, flat, unwoven, windows_of
from .guard import Guard
from .policy import Setting
from .stores import idle_kw, lone, offered
from .twin import Twin


@dataclass(slots=True, eq=False)
class _Lane:
    """One lane: what it knows, room to think, and its forecaster at work. blind: the forecast of this interval could
    not be used. ahead: in a simulation, the forecasts of all intervals stand in `known` as they would be issued."""

    known: Any
    room: Any
    forecasts: Usable
    blind: bool = False
    ahead: bool = False


class RollingHorizon:
    """A plan of the day ahead, every interval anew, with a reserve against the errors of its forecast.

    forecaster: handed the net load without the store, known intervals only. See Dynamic for the rest.
    """

    kind: ClassVar[str] = ""

    def __init__(
        self,
        forecaster: Forecaster,
        *,
        horizon_h: float,
        scenarios: int,
        reach_days: int,
        cover_frac: float,
        surprises: float,
        tilt_usd_per_kwh: float,
        plan_every_h: float,
        replan_frac: float,
    ) -> None:
        checks = (
            ("horizon_h", horizon_h, 1 <= horizon_h <= 168, "1 to 168"),
            ("plan_every_h", plan_every_h, 0 <= plan_every_h <= max(1.0, horizon_h), "0 to horizon_h"),
            ("replan_frac", replan_frac, 0 <= replan_frac <= 1, "0 to 1"),
            ("scenarios", scenarios, 0 <= scenarios <= 200, "0 to 200"),
            ("reach_days", reach_days, reach_days >= 1, "at least 1"),
            ("cover_frac", cover_frac, 0 <= cover_frac <= 1, "0 to 1"),
            ("surprises", surprises, 0 <= surprises <= 10, "0 to 10"),
            ("tilt_usd_per_kwh", tilt_usd_per_kwh, 0 <= tilt_usd_per_kwh < 0.01, "at least 0 and below 0.01"),
        )
        problems = [f"{k} = {v!r}; it should be {want}" for k, v, ok, want in checks if not ok]
        if problems:
            raise InputError.collect(f"{self.kind} policy", problems)
        self.forecaster, self.cover_frac, self.surprises = forecaster, cover_frac, surprises
        self.horizon_h, self.scenarios, self.reach_days = horizon_h, int(scenarios), int(reach_days)
        self.tilt_usd_per_kwh = tilt_usd_per_kwh
        self.plan_every_h, self.replan_frac = plan_every_h, replan_frac

    @property
    def on_tariff(self) -> Hashable:
        """What fixes its decisions where there is nothing beyond the tariff: policies of equal ones then decide the
        same, so that the run of one is that of all."""
        return (
            self.forecaster,
            self.horizon_h,
            self.scenarios,
            self.reach_days,
            self.cover_frac,
            self.surprises,
            self.tilt_usd_per_kwh,
            self.plan_every_h,
            self.replan_frac,
        )

    def prepare(self, setting: Setting) -> None:
        """See Policy."""
        self._setting, self.timeline = setting, setting.timeline
        self.windows = unwoven(windows_of(setting.terms, setting.timeline))
        self._buy = energy_price_usd_per_kwh(setting.terms, setting.timeline)
        self._sell = export_price_usd_per_kwh(setting.terms, setting.timeline)
        self._assets = setting.assets
        self._steps = min(max(2, round(self.horizon_h / self.timeline.step_h)), self.timeline.n)
        self._lanes: list[_Lane] = []
        self._mended: list[tuple[int, int]] = []  # answers mended and since when, by lane of a compiled run
        self._stores: list[Store] = []
        self._public: Any = None
        self._begun = False

    # --- one interval ----------------------------------------------------------------------------

    def decide(self, view: View) -> Plan:
        """The first step of the best walk, weighed where it would set a new peak."""
        from .dynamic_kernel import decide_now, observe

        k, base = view.k, np.asarray(view.now["base_kw"], dtype=float)
        late = view.age_s.get("base_kw", 0.0) > 0
        if not self._begun:
            self._begun = True
            self._begin(view, base.size)
        if not self._stores:
            return Plan(setpoints_kw={})
        store, out = self._stores[0], np.zeros(base.size)
        net = None if k == 0 or view.record is None else np.atleast_2d(view.record.net_kw)[:, k - 1]
        energy = np.asarray(view.asset_state[store.name], dtype=float)
        for i, lane in enumerate(self._lanes):
            if net is not None:
                observe(k - 1, float(net[i]), self._public, lane.known)
            self._look(lane, k, float(base[i]), late)
            out[i] = decide_now(k, float(energy[i]), self._public, lane.known, lane.room)
        return Plan(setpoints_kw={store.name: out}, why=self._why(self._lanes[0], k))

    def _begin(self, view: View, lanes: int) -> None:
        self._stores = offered(self._assets, view)
        if len(self._stores) > 1:
            raise InputError(
                f"{self.kind} on the tariff takes one store; the site has {', '.join(s.name for s in self._stores)}"
            )
        if self._stores:
            self._public = self._make_public(self._stores[0])
            self._lanes = [self._lane() for _ in range(lanes)]

    def _look(self, lane: _Lane, k: int, base_kw: float, late: bool) -> None:
        """Take what is metered and lay the forecast behind it."""
        known, mended = lane.known, lane.forecasts.mended
        if lane.ahead:
            return
        if late:
            if k > 0:
                known.base[k - 1] = base_kw
            known.issued[k] = lane.forecasts.issue(known.base[:k])[: self._steps]
            known.base[k] = known.issued[k, 0]
        else:
            known.base[k] = base_kw
            known.issued[k, 0] = base_kw
            known.issued[k, 1:] = lane.forecasts.issue(known.base[: k + 1])[: self._steps - 1]
        lane.blind = lane.forecasts.mended > mended

    def _lane(self) -> _Lane:
        from .dynamic_kernel import Known, room_of

        ws, n = self.windows, self.timeline.n
        families, count = ws.window.shape[0], ws.price_usd_per_kw.size
        known = Known(
            base=np.zeros(n),
            issued=np.full((n, self._steps), np.nan),
            peak=np.zeros(count),
            planned=np.full(count, inf),
            plan=np.zeros((2, self._steps)),
            since=np.full(1, -1, dtype=np.int64),
        )
        room = room_of(self._steps, families, count, self.scenarios)
        return _Lane(known, room, Usable(self.forecaster, self.timeline, self._steps))

    def _make_public(self, s: Store) -> Any:
        from .dynamic_kernel import Public

        ws, tl, n = self.windows, self.timeline, self.timeline.n
        slot, free = clock(tl)
        of_from, of = flat(ws.floor_of)
        export = np.broadcast_to(np.asarray(self._setting.export_limit_kw, dtype=float), n)
        return Public(
            h=tl.step_h,
            window=ws.window,
            ahead=ws.ahead,
            price=ws.price_usd_per_kw,
            least=ws.floor_least,
            share=ws.floor_share,
            of_from=of_from,
            of=of,
            slot=slot,
            free=free,
            buy=self._buy,
            sell=np.minimum(self._sell, self._buy),
            value=_end_value(self._buy, tl, s.charge_efficiency_frac * s.discharge_efficiency_frac),
            most_import=np.array(np.broadcast_to(np.asarray(self._setting.import_limit_kw, dtype=float), n)),
            most_export=np.array(export),
            power=float(s.discharge_max_kw[0]),
            charge=float(s.charge_max_kw[0]),
            low=float(s.energy_min_kwh[0]),
            high=float(s.energy_max_kwh[0]),
            ec=s.charge_efficiency_frac,
            ed=s.discharge_efficiency_frac,
            wear=s.wear_usd_per_kwh,
            steps=self._steps,
            per_day=ws.slots.shape[2],
            each=max(1, round(self.plan_every_h / tl.step_h)),
            off=self.replan_frac * float(s.discharge_max_kw[0]),
            scenarios=self.scenarios,
            reach_days=self.reach_days,
            cover=self.cover_frac,
            surprises=self.surprises,
            tilt=self.tilt_usd_per_kwh,
        )

    def _why(self, lane: _Lane, k: int) -> tuple[str, ...]:
        told, known, open_now = lane.room.told, lane.known, self.windows.window[:, k]
        made = int(known.since[0])
        if 0 <= made < k:
            return (
                f"the plan of {self.timeline.when(made):%H:%M} goes on, its peaks held for the load that came",
            )
        out = [
            f"the least cost of the next {self._steps * self.timeline.step_h:g} h on the {self.forecaster.kind} "
            f"forecast, within {max(told[2] - told[3], 0.0):.2g} USD; a reserve for {self.cover_frac:.0%} of "
            f"{self.scenarios} days alike"
        ]
        if lane.blind:
            out.append(f"the {self.forecaster.kind} forecast could not be used; {LOAD_INSTEAD} stood in")
        held = [known.peak[w] for w in open_now if w >= 0]
        if held:
            planned = max(known.planned[w] for w in open_now if w >= 0)
            out.append(
                f"peak so far {min(held):,.0f} kW, planned {planned:,.0f} kW; days alike ask for "
                f"{told[0]:,.0f} kWh in store"
            )
        return tuple(out)

    # --- the whole run ---------------------------------------------------------------------------

    def kernel(self, twin: Twin, guard: Guard) -> Record | None:
        """The whole loop compiled, for one store of constant limits; None where the shapes do not allow it."""
        store = lone(twin)
        if store is None:
            return None
        self._public = self._make_public(store)
        power, stored = np.zeros_like(twin.base_kw), np.zeros_like(twin.base_kw)
        for i in range(power.shape[0]):
            power[i], stored[i], changed = self._run(twin.without_kw[i], twin.base_kw[i], store, guard)
            guard.note("limits", changed)
        guard.watch_run(store.name, np.concatenate((twin.start_kwh(store.name), stored), axis=1))
        return twin.carried_out(store.name, power, stored)

    def _issue_all(self, lane: _Lane, base_kw: Kw) -> None:
        """What is metered, and every forecast as it would have been issued."""
        lane.known.base[:] = base_kw
        lane.known.issued[:, 0] = base_kw
        rows, *mended = usable_rows(self.forecaster, base_kw, self.timeline, self._steps)
        lane.known.issued[:, 1:] = rows[:, :-1]
        self._mended.append((mended[0], mended[1]))

    def remarks(self) -> list[str]:
        """What was amiss in the run, for a person."""
        found = [*self._mended, *((lane.forecasts.mended, lane.forecasts.since) for lane in self._lanes)]
        times, since = sum(n for n, _ in found), min((at for n, at in found if n), default=0)
        if not times:
            return []
        return [
            sentence(f"the {self.forecaster.kind} forecast", times, self.timeline.when(since), LOAD_INSTEAD)
        ]

    def _run(self, without_kw: Kw, base_kw: Kw, store: Store, guard: Guard) -> tuple[Kw, Kw, int]:
        from .dynamic_kernel import closed_loop

        lane, limits = self._lane(), guard.stores[store.name]
        self._issue_all(lane, base_kw)
        found: tuple[Kw, Kw, int] = closed_loop(
            np.ascontiguousarray(without_kw),
            idle_kw(store),
            store.energy_start_kwh,
            self._public,
            lane.known,
            lane.room,
            limits.floor_kwh,
            guard.import_limit_kw.copy(),
            guard.export_limit_kw.copy(),
        )
        return found


def export_price_usd_per_kwh(terms: Any, timeline: Timeline) -> Kw:
    """What a kWh fed in earns in each interval, (n,), as the terms state it; net metering earns the import price."""
    out = np.zeros(timeline.n)
    for t in terms:
        if not isinstance(t, Payment) or t.over == "max" or t.measure.asset is not None:
            continue
        if t.measure.flow not in ("export", "net") or t.measure.reference_kw is not None:
            continue
        usd = np.asarray(t.blocks[0].usd_per_unit, dtype=float)
        if t.over == "sum" and usd.ndim:
            usd = np.where(t.window >= 0, usd[t.window], 0.0)
        sign = -1.0 if t.measure.flow == "export" else 1.0
        out += sign * t.weight * np.where(t.window >= 0, np.broadcast_to(usd, timeline.n), 0.0)
    return out


def _end_value(buy: Kw, timeline: Timeline, round_trip_frac: float) -> Kw:
    """Worth of a kWh left in store when the horizon ends: what the median hour of the day after asks for one, and a
    little more, so that the store fills where prices do not say when."""
    day = timeline.day - timeline.day[0]
    edges = np.searchsorted(day, np.arange(int(day[-1]) + 2))
    median = np.array([np.median(buy[a:b]) for a, b in pairwise(edges)])
    return np.asarray(np.append(median[1:], median[-1])[day] / round_trip_frac)
