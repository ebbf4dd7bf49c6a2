"""What a seam is tried on: a few intervals, who is there, and a plain battery and tariff to go with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, ClassVar

import numpy as np

from valuestack.assets.asset import Asset
from valuestack.dispatch import Foresight, Record, Series, View, World
from valuestack.flows import Backup, Offer, Store
from valuestack.ledger import Entry
from valuestack.stack.optimise import Schedule
from valuestack.streams.stream import ValueStream
from valuestack.terms import Block, Measure, Payment, Term
from valuestack.timeline import Kw, Timeline


@dataclass
class Case:
    """One seam. fixed_usd: charges that no decision moves, settled but in no term."""

    world: World
    streams: Sequence[ValueStream]
    assets: Sequence[Asset]
    export_limit_kw: float = 0.0
    fixed_usd: float = 0.0

    def view(self) -> View:
        t = self.world.timeline
        return View(
            timeline=t,
            k=0,
            n=t.n,
            belief=Foresight(self.world),
            asset_state={a.name: a.initial_state() for a in self.assets},
            stream_state={s.name: s.initial_state() for s in self.streams},
        )


def world(
    load_kw: Sequence[float],
    *,
    start: str = "2018-07-02T15:00",
    step_h: float = 1.0,
    load_kvar: Sequence[float] | None = None,
) -> World:
    series = {"load_kw": Series("load_kw", np.array(load_kw, dtype=float), "kW")}
    if load_kvar is not None:
        series["load_kvar"] = Series("load_kvar", np.array(load_kvar, dtype=float), "kvar")
    return World(Timeline(start=start, step_h=step_h, n=len(load_kw), tz="America/Los_Angeles"), series)


def metered(schedule: Schedule) -> Record:
    """The record of a plant that did exactly what was planned."""
    flows = schedule.flows
    assert flows is not None
    extra = {f"{name}/{flow}": v for name, f in flows.assets.items() for flow, v in f.items()}
    return Record(
        schedule.timeline,
        schedule.net_kw,
        schedule.net_kvar,
        asset_kw={name: f["net"] for name, f in flows.assets.items()},
        stored_kwh=schedule.stored_kwh,
        extra={**extra, **schedule.awards_kw},
    )


def entry(
    stream: str, item: str, usd: float, *, layer: int = 1, quantity: float = 0.0, unit: str = "kWh"
) -> Entry:
    """One settled line; usd > 0 is money to the owner."""
    return Entry("2018-07", layer, stream, item, "utility", quantity, unit, None, usd)


class Quiet:
    """What streams of a few intervals share: nothing was before, nothing is remembered."""

    kind: ClassVar[str] = "quiet"
    layer: ClassVar[int] = 1
    certainty: ClassVar[str] = "contractual"
    name: str = "quiet"

    def initial_state(self) -> Any:
        return None

    def observe(self, state: Any, record: Record, k: int) -> Any:
        return state


@dataclass
class FlatRate(Quiet):
    """One energy price an interval and one demand price: the plainest tariff."""

    kind: ClassVar[str] = "flat_rate"
    usd_per_kwh: Sequence[float] = (0.1, 0.1, 0.1, 0.1)
    usd_per_kw: float = 0.0
    exact: bool = True
    name: str = "flat rate"

    def terms(self, view: View) -> Sequence[Term]:
        one = np.zeros(view.n, dtype=np.int64)
        energy = Payment(
            self.name,
            "energy",
            Measure("import"),
            "each",
            one,
            (Block(inf, np.array(self.usd_per_kwh)),),
            reason="energy price",
        )
        if not self.usd_per_kw:
            return [energy]
        return [
            energy,
            Payment(
                self.name,
                "demand",
                Measure("import"),
                "max",
                one,
                (Block(inf, self.usd_per_kw),),
                reason="demand price",
                exact=self.exact,
            ),
        ]

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        net = np.maximum(record.net_kw, 0.0)
        yield entry(self.name, "energy", -float(net @ np.array(self.usd_per_kwh)) * record.timeline.step_h)
        if self.usd_per_kw:
            yield entry(self.name, "demand", -self.usd_per_kw * float(net.max()), unit="kW")


@dataclass
class PlainBattery:
    """A battery of one efficiency each way and a price of wear."""

    kind: ClassVar[str] = "plain_battery"
    name: str = "battery"
    power_kw: float = 50.0
    energy_kwh: float = 100.0
    start_kwh: float = 50.0
    wear_usd_per_kwh: float = 0.01
    inverter_kva: float | None = None
    more: dict[str, Any] = field(default_factory=dict)

    def initial_state(self) -> float:
        return self.start_kwh

    def belief(self, view: View) -> Offer:
        n = view.n
        return Store(
            self.name,
            np.full(n, self.power_kw),
            np.full(n, self.power_kw),
            np.zeros(n + 1),
            np.full(n + 1, self.energy_kwh),
            float(view.asset_state[self.name]),
            0.95,
            0.95,
            energy_end_min_kwh=self.start_kwh,
            wear_usd_per_kwh=self.wear_usd_per_kwh,
            inverter_kva=self.inverter_kva,
            **self.more,
        )

    def step(self, state: Any, setpoint_kw: Kw, world: World, k: int) -> tuple[Any, Kw]:
        gain = np.maximum(setpoint_kw, 0) * 0.95 - np.maximum(-setpoint_kw, 0) / 0.95
        return state + gain * world.timeline.step_h, setpoint_kw

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        out = float(np.maximum(-record.asset_kw[self.name], 0.0).sum()) * record.timeline.step_h
        yield entry(self.name, "wear", -self.wear_usd_per_kwh * out, layer=0, quantity=out)

    def backup(self, state: Any) -> Backup | None:
        return Backup(self.name, self.power_kw, float(state))
