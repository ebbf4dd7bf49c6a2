"""Small records to settle: what was metered, without a plant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from valuestack.dispatch import Record, Series, World
from valuestack.timeline import Timeline


def metered(
    assets: Mapping[str, Sequence[float]],
    *,
    load_kw: Sequence[float] | float = 0.0,
    stores: Sequence[str] = (),
    start: str = "2024-01-31T22:00",
    step_h: float = 1.0,
    tz: str = "America/New_York",
    series: Mapping[str, tuple[Sequence[float], str]] | None = None,
    extra: Mapping[str, Sequence[float]] | None = None,
) -> tuple[Record, World]:
    """A record and its world: net = load + assets, load sign."""
    kw = {k: np.array(v, dtype=float) for k, v in assets.items()}
    n = next(iter(kw.values())).size
    t = Timeline(start, step_h, n, tz)
    load = np.broadcast_to(np.array(load_kw, dtype=float), (n,)).copy()
    net = load + np.sum(list(kw.values()), axis=0)
    all_series = {"load_kw": Series("load_kw", load, "kW")}
    for name, (values, unit) in (series or {}).items():
        all_series[name] = Series(name, np.array(values, dtype=float), unit)
    record = Record(
        t,
        net,
        asset_kw=kw,
        stored_kwh={s: np.zeros(n) for s in stores},
        extra={k: np.array(v, dtype=float) for k, v in (extra or {}).items()},
    )
    return record, World(t, all_series)
