"""Items at other prices: what a utility that bills another version of the rate charges.

Each price of an item, named by the ledger item it makes, is multiplied by a factor; quantities, hours and bounds
stay. Prices that stand as monthly values beside the ladder (fuel adjustments) scale only where every period does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Fields that hold a price, by item kind; energy and demand keep theirs in the ladders of their periods.
PRICES: Mapping[str, tuple[str, ...]] = {
    "fixed": ("usd",),
    "rider": ("usd", "monthly_usd", "share_frac"),
    "tax": ("share_frac",),
}
LADDERS = ("energy", "demand", "coincident")


def labels(item: Any) -> tuple[str, ...]:
    """Names in the ledger of the charges whose prices `repriced` can scale."""
    if item.kind in LADDERS:
        return tuple(f"{item.kind}/{_period(item, p)}" for p in range(len(item.periods)))
    if item.kind == "fixed":
        return (f"fixed/{item.name or 'customer charge'}",)
    return (str(item.label),) if item.kind in PRICES else ()


def _period(item: Any, p: int) -> str:
    return str(item.label(p) if hasattr(item, "label") else item.periods[p].name or f"period {p}")


def repriced(item: Any, factors: Mapping[str, float]) -> Any:
    """The item with the prices of its charges multiplied by `factors` (by ledger name, 1 where none is given)."""
    mine = [factors.get(name, 1.0) for name in labels(item)]
    if all(f == 1.0 for f in mine):
        return item
    if item.kind in LADDERS:
        update: dict[str, Any] = {
            "periods": tuple(_scaled(p, f) for p, f in zip(item.periods, mine, strict=True))
        }
        monthly = getattr(item, "adjustment_usd_per_kwh", None)
        if monthly is not None and len(set(mine)) == 1:
            update["adjustment_usd_per_kwh"] = tuple(mine[0] * v for v in monthly)
        return item.model_copy(update=update)
    update = {}
    for key in PRICES[item.kind]:
        value = getattr(item, key, None)
        if value is not None:
            update[key] = tuple(mine[0] * v for v in value) if isinstance(value, tuple) else mine[0] * value
    return item.model_copy(update=update)


def _scaled(period: Any, factor: float) -> Any:
    def tier(t: Any) -> Any:
        keys = [k for k in ("usd_per_kwh", "usd_per_unit") if hasattr(t, k)]
        return t.model_copy(update={k: factor * getattr(t, k) for k in keys})

    return period.model_copy(update={"tiers": tuple(tier(t) for t in period.tiers)})
