"""Stores as policies see them: what is offered, and whether a compiled loop may take it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..dispatch import View
from ..flows import Given, Store
from .twin import Twin


def offered(assets: Sequence[Any], view: View) -> list[Store]:
    """What assets with a state offer over the whole timeline, as far as they are stores."""
    whole = View(view.timeline, 0, view.timeline.n, view.belief, view.asset_state)
    offers = [a.belief(whole) for a in assets if view.asset_state.get(a.name) is not None]
    return [o for o in offers if isinstance(o, Store)]


def moved(assets: Sequence[Any], view: View) -> list[str]:
    """Names of assets, the largest store aside, of which a decision moves the power."""
    short = View(view.timeline, view.k, min(2, view.timeline.n - view.k), view.belief, view.asset_state)
    return beside({a.name: a.belief(short) for a in assets if view.asset_state.get(a.name) is not None})


def beside(offers: Mapping[str, Any]) -> list[str]:
    """Of offers by asset, those that a decision moves, the largest store aside."""
    free = {name: o for name, o in offers.items() if not isinstance(o, Given)}
    stores = [name for name, o in free.items() if isinstance(o, Store)]
    largest = max(stores, key=lambda k: float(np.max(free[k].discharge_max_kw)), default="")
    return [name for name in free if name != largest]


def idle_kw(s: Store) -> float:
    """What a store of constant limits draws at rest [kW]."""
    return 0.0 if s.aux_kw is None else float(s.aux_kw[0])


def constant(s: Store) -> bool:
    """Whether a store's limits are the same in every interval and it loses nothing by itself."""
    rows = [s.charge_max_kw, s.discharge_max_kw, s.energy_min_kwh, s.energy_max_kwh]
    rows += [] if s.aux_kw is None else [s.aux_kw]
    plain = s.loss_frac_per_h == 0 and s.drain_kw is None
    return plain and all(float(np.ptp(r)) == 0 for r in rows)


def lone(twin: Twin) -> Store | None:
    """The store of a twin that has nothing else to control and whose store keeps to its belief with the same limits in
    every interval: what a compiled loop may carry out. None elsewhere."""
    controlled = [a for a in twin.assets if a.name not in twin.given]
    if len(controlled) != 1 or len(twin.stores) != 1 or not constant(twin.stores[0]):
        return None
    return twin.stores[0] if getattr(controlled[0], "truth_is_belief", False) else None
