"""Wear over the years from the wear model: what a metered year, repeated, leaves of a store's capacity."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..assets.wear.fade import fade
from ..dispatch import Record
from ..errors import DataError, InputError
from ..finding import Finding
from .finance import Wear


def wear_of(asset: Any, record: Record, *, years: int, **upkeep: Any) -> tuple[Wear, tuple[Finding, ...]]:
    """Capacity left at the end of year 1..`years` of a new store that is used as in the record, year after year.

    asset: a store with a wear model (`stress`, `temperature_c`, `energy_kwh`). record: one lane. upkeep: what is done
    about it and at what cost, as in `Wear` (strategy, replace_at_frac, usd_per_kwh); energy_kwh is the asset's own.
    Findings: where the wear model leaves the range in which its source was fitted.
    Errors: InputError for an asset without a wear model; DataError where the record holds no state of charge of it.
    """
    missing = [k for k in ("stress", "temperature_c", "energy_kwh") if not hasattr(asset, k)]
    if missing:
        raise InputError(
            f"{asset.name}: has no {', '.join(missing)}; wear over the years is that of a battery"
        )
    if years < 1:
        raise InputError(f"years: {years!r} should be at least 1")
    if asset.name not in record.stored_kwh:
        raise DataError(f"{asset.name}: the record holds no state of charge of it")
    soc = np.asarray(record.stored_kwh[asset.name], dtype=float)
    if soc.ndim != 1:
        raise DataError(f"{asset.name}: its state of charge has shape {soc.shape}; take one lane")
    soc = soc / float(asset.energy_kwh)
    inside = asset.inside(record) if hasattr(asset, "inside") else None
    each = [
        fade(asset.stress, soc, asset.temperature_c, record.timeline.step_h, years=float(y), inside=inside)
        for y in range(1, years + 1)
    ]
    left = np.minimum.accumulate(np.clip([f.capacity_frac for f in each], 0.0, 1.0))
    energy = {"energy_kwh": float(asset.energy_kwh)} if "energy_kwh" not in upkeep else {}
    made = Wear.model_validate({"capacity_frac": tuple(left.tolist()), **energy, **upkeep})
    return made, tuple(dict.fromkeys(f for one in each for f in one.findings))
