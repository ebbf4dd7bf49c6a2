"""Twin: a simulated site as a plant. What it lets be seen is what a real site would know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..dispatch import Belief, Record, View, World
from ..errors import DataError
from ..flows import Given, Store
from ..forecast.usable import SERIES_INSTEAD, SoundBelief, sentence
from ..timeline import Kw


class NoForecast:
    """A belief that answers for nothing: rule policies need no future, and this proves it."""

    def series(self, name: str, *, first: int, n: int, as_of: int) -> Kw:
        """Refuses."""
        raise DataError(f"this run has no forecast of {name}; give a belief, or a policy that needs none")


class Twin:
    """Runs the truth of the assets over a world, interval by interval, all lanes at once.

    without_kw: (lanes, n) load and what generates by itself; base_kw: that with the idle draw of the stores,
    which is what the site would draw if every store rested. telemetry: the policy sees now["base_kw"] of the
    running interval, as metering every minute or faster gives it (an upper limit of what such telemetry is worth:
    the mean of the interval is taken as known when it begins). Without it the policy sees that of the interval
    before, and age_s["base_kw"] says so.
    """

    def __init__(
        self,
        world: World,
        assets: Sequence[Any],
        *,
        belief: Belief | None = None,
        telemetry: bool = True,
        streams: Sequence[Any] = (),
        export_limit_kw: float | Kw = 0.0,
    ) -> None:
        self.world, self.timeline, self.assets = world, world.timeline, list(assets)
        self.telemetry, self.streams, self.k = telemetry, list(streams), 0
        load = np.atleast_2d(world["load_kw"])
        lanes, n = load.shape
        self.state = {a.name: _every_lane(a.initial_state(), lanes) for a in self.assets}
        view = View(self.timeline, 0, n, _Reads(world), dict(self.state))
        self.offers = {a.name: a.belief(view) for a in self.assets}
        self.without_kw = load.copy()
        self.given: dict[str, Kw] = {}
        for name, offer in self.offers.items():
            if isinstance(offer, Given):
                self.given[name] = np.array(np.broadcast_to(np.atleast_2d(offer.net_kw), load.shape))
                self.without_kw = self.without_kw + self.given[name]
        self.stores = [o for o in self.offers.values() if isinstance(o, Store)]
        self.base_kw = self.without_kw.copy()
        for o in self.stores:
            if o.aux_kw is not None:
                self.base_kw = self.base_kw + o.aux_kw
        self.inverters = [
            (o.name, float(r))
            for o in self.offers.values()
            if (r := o.inverter_kva if isinstance(o, Store) else getattr(o, "rating_kva", None)) is not None
        ]
        self._kvar = self._native_kvar()
        self._reports: dict[str, Kw] = {}
        # What may be cut is cut where the interconnection takes no more; the meter never sees it.
        self.may_cut = frozenset(
            o.name for o in self.offers.values() if isinstance(o, Given) and o.curtailable
        )
        self._export_limit_kw = np.broadcast_to(np.asarray(export_limit_kw, dtype=float), n)
        names = [a.name for a in self.assets if a.name not in self.given]
        self._net = self.without_kw.copy()
        self._power = {name: np.zeros((lanes, n)) for name in names}
        self._stored = {o.name: np.zeros((lanes, n)) for o in self.stores}
        self._stream_state = {s.name: s.initial_state() for s in self.streams}
        age = {} if telemetry else {"base_kw": float(self.timeline.step_s)}
        self._belief = SoundBelief.of(belief or NoForecast())
        self._view = View(self.timeline, 0, n, self._belief, self.state, self._stream_state, {}, None, age)
        self._record = self._as_record()
        self._view.record = self._record

    def sentences(self) -> list[str]:
        """What of the belief could not be used, for a person."""
        if not isinstance(self._belief, SoundBelief):
            return []
        return [
            sentence(f"the belief of {name}", times, self.timeline.when(since), SERIES_INSTEAD)
            for name, (times, since) in self._belief.mended.items()
        ]

    def _native_kvar(self) -> Kw | None:
        """Vars of the load and of what gives or draws them by itself, (lanes, n); None where nobody metered any."""
        load = self.world.get("load_kvar")
        given = [o.kvar for o in self.offers.values() if isinstance(o, Given) and o.kvar is not None]
        if load is None:
            return None
        total = np.array(np.broadcast_to(np.atleast_2d(load), self.without_kw.shape), dtype=float)
        for kvar in given:
            total = total + kvar
        return total

    def _give_vars(self, when: slice) -> None:
        """Inverters bring the meter's vars towards zero with what their circle leaves beside the power, in turn,
        after what draws or gives vars with its power (`drawn_kvar`)."""
        if self._kvar is None:
            return
        for asset in self.assets:
            if hasattr(asset, "drawn_kvar") and asset.name in self._power:
                self._kvar[:, when] += asset.drawn_kvar(self._power[asset.name][:, when])
        for name, rating_kva in self.inverters:
            power = self.given[name] if name in self.given else self._power[name]
            room = np.sqrt(np.maximum(rating_kva**2 - power[:, when] ** 2, 0.0))
            self._kvar[:, when] -= np.clip(self._kvar[:, when], -room, room)

    def _as_record(self) -> Record:
        return Record(
            self.timeline,
            self._net,
            net_kvar=self._kvar,
            asset_kw={**self._power, **self.given},
            stored_kwh=self._stored,
            extra=self._reports,
        )

    def read(self) -> View:
        """What is known when interval k begins."""
        k, view = self.k, self._view
        view.k, view.n = k, self.timeline.n - k
        view.now = {"base_kw": self.seen_base_kw}
        return view

    @property
    def seen_base_kw(self) -> Kw:
        """base_kw of interval k as far as telemetry shows it, (lanes,)."""
        return self.base_kw[:, self.k if self.telemetry else max(0, self.k - 1)]

    def net_kw(self, k: int) -> Kw:
        """What the meter showed in interval k, (lanes,)."""
        return self._net[:, k]

    def apply(self, setpoints_kw: Mapping[str, Any]) -> Mapping[str, Kw]:
        """Carry out setpoints in interval k; returns each asset's power at the meter."""
        k, done = self.k, {}
        for asset in self.assets:
            if asset.name in self.given:
                self._curtail(asset.name, setpoints_kw)
                continue
            wish = np.broadcast_to(
                np.asarray(setpoints_kw.get(asset.name, 0.0), dtype=float), self.base_kw.shape[:1]
            )
            self.state[asset.name], power = asset.step(self.state[asset.name], wish, self.world, k)
            self._power[asset.name][:, k] = power
            self._net[:, k] += power
            if asset.name in self._stored:
                self._stored[asset.name][:, k] = self.state[asset.name]
            self._note(asset)
            done[asset.name] = power
        self._cut(slice(k, k + 1))
        self._give_vars(slice(k, k + 1))
        for s in self.streams:
            self._stream_state[s.name] = s.observe(self._stream_state[s.name], self._record, k)
        self.k += 1
        return done

    def _curtail(self, name: str, setpoints_kw: Mapping[str, Any]) -> None:
        """Generation that may be cut is cut to its setpoint, where a plan gives one."""
        if name not in self.may_cut or name not in setpoints_kw:
            return
        wish = np.asarray(setpoints_kw[name], dtype=float)
        made = self.given[name][:, self.k]
        cut = np.where(np.isfinite(wish), np.clip(wish - made, 0.0, np.maximum(-made, 0.0)), 0.0)
        self.given[name][:, self.k] += cut
        self._net[:, self.k] += cut

    def _note(self, asset: Any) -> None:
        """What an asset says of its state at the end of the interval: temperatures, calls, fuel."""
        if not hasattr(asset, "report"):
            return
        for what, value in asset.report(self.state[asset.name]).items():
            rows = self._reports.setdefault(f"{asset.name}/{what}", np.zeros(self._net.shape))
            rows[:, self.k] = value

    def _cut(self, when: slice) -> None:
        """Cut generation that may be cut by what would flow out beyond the interconnection."""
        for name in (n for n in self.given if n in self.may_cut):
            over = np.maximum(-self._export_limit_kw[when] - self._net[:, when], 0.0)
            cut = np.minimum(over, np.maximum(-self.given[name][:, when], 0.0))
            self.given[name][:, when] += cut
            self._net[:, when] += cut

    def start_kwh(self, name: str) -> Kw:
        """Energy in a store before the first interval, (lanes, 1)."""
        start = next(o.energy_start_kwh for o in self.stores if o.name == name)
        return np.full((self.base_kw.shape[0], 1), start)

    def carried_out(self, name: str, power_kw: Kw, stored_kwh: Kw) -> Record:
        """The record of a whole run of one store that a compiled loop made, (lanes, n) each."""
        self._lay(name, slice(None), power_kw, stored_kwh)
        self.k = self.timeline.n
        return self.record()

    def go_on(self, name: str, power_kw: Kw, stored_kwh: Kw) -> None:
        """Take what a compiled loop made of one store in the intervals that come, (lanes, m) each, and stand after
        them; what else there is generates by itself."""
        first, last = self.k, self.k + power_kw.shape[1]
        self._lay(name, slice(first, last), power_kw, stored_kwh)
        self.state[name] = stored_kwh[:, -1].copy()
        for s in self.streams:
            for k in range(first, last):
                self._stream_state[s.name] = s.observe(self._stream_state[s.name], self._record, k)
        self.k = last

    def _lay(self, name: str, when: slice, power_kw: Kw, stored_kwh: Kw) -> None:
        self._power[name][:, when] = power_kw
        self._stored[name][:, when] = stored_kwh
        self._net[:, when] += power_kw
        self._cut(when)
        self._give_vars(when)

    def record(self) -> Record:
        """What was metered; one lane comes as (n,)."""
        if self.base_kw.shape[0] > 1:
            return self._record
        return Record(
            self.timeline,
            self._net[0],
            net_kvar=None if self._kvar is None else self._kvar[0],
            asset_kw=_only_lane({**self._power, **self.given}),
            stored_kwh=_only_lane(self._stored),
            extra=_only_lane(self._reports),
        )


def _every_lane(state: Any, lanes: int) -> Any:
    """An asset's initial state, which is that of one lane, for all of them; a state of many parts widens itself."""
    if hasattr(state, "for_lanes"):
        return state.for_lanes(lanes)
    one = isinstance(state, np.ndarray) and state.shape == (1,)
    return np.repeat(state, lanes) if one else state


def _only_lane(rows: Mapping[str, Kw]) -> dict[str, Kw]:
    return {name: values[0] for name, values in rows.items()}


class _Reads:
    """The world as belief, for assets that offer what is given (PV of a series)."""

    def __init__(self, world: World) -> None:
        self.world = world

    def series(self, name: str, *, first: int, n: int, as_of: int) -> Kw:
        return self.world[name][..., first : first + n]
