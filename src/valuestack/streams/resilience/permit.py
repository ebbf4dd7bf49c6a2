"""The hours that an air permit leaves, stated as limits: an engine states no terms, so a stream does it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, PrivateAttr

from ...dispatch import Record, View, World
from ...flows import RunLimit
from ...ledger import Entry
from ...terms import Limit, Measure, Term
from ..stream import Place


class Permit(BaseModel):
    """Hours a calendar year of every asset that offers `run_limits()`: dispatch + tests + hours used <= the permit.

    It holds no data of its own. Hours run before the horizon are counted by `observe`; scheduled tests of the year
    (`test_h(timeline)` of the asset) are set aside first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str] = "permit"
    layer: ClassVar[int] = 2
    certainty: ClassVar[str] = "contractual"
    name: str = "air permit"
    _of: tuple[tuple[Any, RunLimit], ...] = PrivateAttr(default=())

    def bind(self, place: Place) -> Permit:
        """The permit made ready for the engines of a site."""
        bound = self.model_copy()
        bound._of = tuple((a, r) for a in place.assets for r in getattr(a, "run_limits", tuple)())
        return bound

    def initial_state(self) -> Mapping[tuple[str, int], float]:
        """Hours run by (asset, calendar year): none yet; hours used before are the permit's own figure."""
        return {}

    def observe(
        self, state: Mapping[tuple[str, int], float], record: Record, k: int
    ) -> Mapping[tuple[str, int], float]:
        """Hours run once interval k is closed; of several lanes the most."""
        new, t = dict(state), record.timeline
        for asset, _ in self._of:
            power = record.asset_kw.get(asset.name)
            if power is not None and float(np.min(power[..., k])) < -1e-6:
                key = (asset.name, int(t.year[k]))
                new[key] = new.get(key, 0.0) + t.step_h
        return new

    def terms(self, view: View) -> Sequence[Term]:
        """One limit an engine, its windows the calendar years of the horizon."""
        t, whole = view.horizon, view.timeline
        state: Mapping[tuple[str, int], float] = view.stream_state.get(self.name) or {}
        years = np.unique(t.year)
        out: list[Term] = []
        for asset, limit in self._of:
            tests = getattr(asset, "test_h", None)
            set_aside = np.zeros(whole.n) if tests is None else np.asarray(tests(whole), dtype=float)
            so_far, most = np.zeros(years.size), np.zeros(years.size)
            for i, year in enumerate(years.tolist()):
                used = limit.used_h if year == int(whole.year[0]) else 0.0
                so_far[i] = used + state.get((asset.name, int(year)), 0.0)
                left = limit.hours_per_y - float(set_aside[whole.year == year].sum())
                most[i] = max(left, so_far[i])  # what is over cannot be undone: then it may not run at all
            out.append(
                Limit(
                    self.name,
                    f"{asset.name} {limit.name}",
                    Measure("run", asset=asset.name),
                    "sum",
                    upper=most,
                    window=np.searchsorted(years, t.year),
                    so_far=so_far,
                    priority=1,
                    reason=limit.reason,
                )
            )
        return out

    def settle(self, record: Record, world: World) -> Iterable[Entry]:
        """A permit costs nothing by itself."""
        return ()
