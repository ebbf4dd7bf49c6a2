"""Stores as policies see them: what is offered, and whether a compiled loop may take it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dispatch import View
from ..flows import Store


def offered(assets: Sequence[Any], view: View) -> list[Store]:
    """What assets with a state offer over the whole timeline, as far as they are stores."""
    whole = View(view.timeline, 0, view.timeline.n, view.belief, view.asset_state)
    offers = [a.belief(whole) for a in assets if view.asset_state.get(a.name) is not None]
    return [o for o in offers if isinstance(o, Store)]


def constant(s: Store) -> bool:
    """Whether a store's limits are the same in every interval and it loses nothing by itself."""
    rows = [s.charge_max_kw, s.discharge_max_kw, s.energy_min_kwh, s.energy_max_kwh]
    rows += [] if s.aux_kw is None else [s.aux_kw]
    plain = s.loss_frac_per_h == 0 and s.drain_kw is None
    return plain and all(float(np.ptp(r)) == 0 for r in rows)
