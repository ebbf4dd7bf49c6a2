"""Critical load: what must be carried when the grid is gone."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ...dispatch import World
from ...errors import InputError
from ...timeline import Kw


class CriticalLoad(BaseModel):
    """One of: a constant `kw`; a share `load_frac` of the site's load; a `series` of the world by name [kW].

    pv_frac: share of generation that happens by itself (PV) that is counted on in an outage; it needs an inverter
    that can run without the grid.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kw: float | None = Field(default=None, ge=0)
    load_frac: float | None = Field(default=None, gt=0, le=1)
    series: str | None = None
    pv_frac: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _one_form(self) -> CriticalLoad:
        if sum(v is not None for v in (self.kw, self.load_frac, self.series)) != 1:
            raise ValueError("give one of kw, load_frac and series")
        return self

    def of(self, world: World, owner: str) -> Kw:
        """Critical load over the world's timeline, (n,) [kW]; of several lanes the highest in each interval."""
        if self.kw is not None:
            return np.full(world.timeline.n, self.kw)
        name = self.series or "load_kw"
        found = world.get(name)
        if found is None:
            raise InputError(
                f"{owner}: critical.series = {name!r}: the world has no such series; it has "
                f"{', '.join(world.series)}"
            )
        values = np.atleast_2d(np.asarray(found, dtype=float)).max(axis=0) * (self.load_frac or 1.0)
        if not np.isfinite(values).all() or values.min() < 0:
            k = int(np.flatnonzero(~np.isfinite(values) | (values < 0))[0])
            raise InputError(
                f"{owner}: critical load is {values[k]:g} kW at {world.timeline.when(k).isoformat()}; "
                "give numbers of 0 or more"
            )
        return np.asarray(values)

    @property
    def what(self) -> str:
        """In words."""
        if self.kw is not None:
            return f"{self.kw:,.0f} kW"
        return f"{self.load_frac:.0%} of the load" if self.load_frac is not None else f"series {self.series}"
