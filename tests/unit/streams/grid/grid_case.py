"""A site for tests of grid services: a month of hours or quarters, series by name, a battery that says what it can."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.kinds.case import PlainBattery
from valuestack.dispatch import Foresight, Record, Series, View, World
from valuestack.flows import Capability
from valuestack.streams.grid.product import Product, Source
from valuestack.streams.stream import Place
from valuestack.timeline import Kw, Timeline


@dataclass
class Able(PlainBattery):
    """A battery that states its capability."""

    can: Capability = field(default_factory=Capability)

    def capability(self) -> Capability:
        return self.can


def timeline(
    n: int, start: str = "2026-06-01T00:00", step_h: float = 1.0, tz: str = "America/New_York"
) -> Timeline:
    return Timeline(start=start, step_h=step_h, n=n, tz=tz)


def world(t: Timeline, load_kw: Any, **series: tuple[Any, str]) -> World:
    """A world of a load and further series (values, unit)."""
    rows = {"load_kw": (load_kw, "kW")} | series
    return World(
        t,
        {
            k: Series(k, np.broadcast_to(np.asarray(v, dtype=float), (t.n,)).copy(), unit)
            for k, (v, unit) in rows.items()
        },
    )


def place(w: World, *assets: Any, **more: Any) -> Place:
    return Place(w.timeline, assets, w, **more)


def record(t: Timeline, net_kw: Any, **more: Any) -> Record:
    return Record(t, np.broadcast_to(np.asarray(net_kw, dtype=float), (t.n,)).copy(), **more)


def view(w: World, *assets: Any, k: int = 0, belief: Any = None, past: Record | None = None) -> View:
    return View(
        w.timeline,
        k,
        w.timeline.n - k,
        belief or Foresight(w),
        {a.name: a.initial_state() for a in assets},
        record=past,
    )


def changed(p: Product, **parts: Any) -> Product:
    """The product with other figures, whose source is the test."""
    mine = Source(figures=tuple(parts), source="written for this test", verified=True)
    return p.model_copy(update={**parts, "sources": (*p.sources, mine)})


def days(levels: Any, per_day: int = 24) -> Kw:
    """A load that is flat each day."""
    return np.repeat(np.asarray(levels, dtype=float), per_day)
