"""What the reserve costs: the plan of all layers beside the same plan without it.

    premium = money of every layer but 2, wear and fuel taken off, without the reserve - the same with it

Both are planned by the same streams; without layer 2 stores may empty and fuel may be burnt. Beside it stand what the
money buys: starts at which an outage of the reserve's hours would not be carried although nothing fails (none, with the
reserve in), and the probability of surviving one, failures included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...ledger import LAYERS
from ...report.stacked import Subset
from ...report.tables import show_percent, show_usd
from .cases import Run

if TYPE_CHECKING:
    from .layers import Placed


@dataclass(frozen=True, slots=True)
class Kept:
    """One reserve: its hours, starts tried, and with it and without it those that would not be carried, and the
    probability that an outage of its hours is survived, failures included (None where no stream models outages).
    at_first: breaches before a store that begins below its floor could reach it; no plan can help them."""

    name: str
    hours: float
    starts: int
    breaches: int
    breaches_without: int
    survived_frac: float | None
    survived_without_frac: float | None
    at_first: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class ReserveCost:
    """What the reserve costs a year in what the other layers earn. by_layer_usd_per_y: (with it, without it) by layer,
    0 = wear, fuel and starts. within_usd_per_y: how far the two plans together may be from the best ones."""

    by_layer_usd_per_y: dict[int, tuple[float, float]]
    within_usd_per_y: float | None
    kept: tuple[Kept, ...]

    @property
    def premium_usd_per_y(self) -> float:
        """Money forgone a year because of the reserve, net of wear, fuel and starts."""
        return sum(free - held for held, free in self.by_layer_usd_per_y.values())

    @property
    def market_usd_per_y(self) -> float:
        """Of it, what programmes and markets would have paid (layer 3)."""
        held, free = self.by_layer_usd_per_y.get(3, (0.0, 0.0))
        return free - held

    @property
    def sentences(self) -> tuple[str, ...]:
        """What a person reads first."""
        within = (
            ""
            if self.within_usd_per_y is None
            else f" (the two plans are proven best within {show_usd(self.within_usd_per_y)} together)"
        )
        out = [
            f"The reserve costs {show_usd(self.premium_usd_per_y)} a year of what the other layers would earn without "
            f"it{within}; {show_usd(self.market_usd_per_y)} of it is revenue of programmes and markets."
        ]
        for k in self.kept:
            odds = ""
            if k.survived_frac is not None and k.survived_without_frac is not None:
                odds = (
                    f" An outage as long is survived with probability {show_percent(k.survived_frac)}, failures "
                    f"included; without the reserve {show_percent(k.survived_without_frac)}."
                )
            out.append(
                f"{k.name}: of {k.starts:,} starts, with every market taken part in, {k.breaches:,} break the "
                f"deterministic {k.hours:g} h{_at_first(k)}; without the reserve {k.breaches_without:,} would.{odds}"
            )
        return tuple(out)

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Money by layer with and without it."""
        rows: list[dict[str, Any]] = [
            {
                "layer": f"{k} {LAYERS[k]}",
                "with_it_usd_per_y": held,
                "without_it_usd_per_y": free,
                "forgone_usd_per_y": free - held,
            }
            for k, (held, free) in sorted(self.by_layer_usd_per_y.items())
        ]
        rows.append(
            {
                "layer": "all but layer 2",
                "with_it_usd_per_y": sum(h for h, _ in self.by_layer_usd_per_y.values()),
                "without_it_usd_per_y": sum(f for _, f in self.by_layer_usd_per_y.values()),
                "forgone_usd_per_y": self.premium_usd_per_y,
            }
        )
        return {"The same plan with and without the reserve, USD a year (bounds)": rows}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "premium_usd_per_y": self.premium_usd_per_y,
            "market_usd_per_y": self.market_usd_per_y,
            "within_usd_per_y": self.within_usd_per_y,
            "by_layer": [
                {"layer": k, "with_usd_per_y": h, "without_usd_per_y": f}
                for k, (h, f) in sorted(self.by_layer_usd_per_y.items())
            ],
            "reserves": [
                {
                    "name": k.name,
                    "hours": k.hours,
                    "starts": k.starts,
                    "breaches": k.breaches,
                    "breaches_without": k.breaches_without,
                    "breaches_at_first": k.at_first,
                    "survived_frac": k.survived_frac,
                    "survived_without_frac": k.survived_without_frac,
                }
                for k in self.kept
            ],
        }


def _at_first(k: Kept) -> str:
    if not k.at_first:
        return ""
    which = "all" if k.at_first == k.breaches else f"{k.at_first:,}"
    return f" ({which} of them as the data begin, before stores that start below their floor can reach it)"


def reserve_cost(
    at: Sequence[Placed], whole: Sequence[Run], free: Sequence[Run], held: Subset, without: Subset
) -> ReserveCost | None:
    """The reserve's cost from the plan of all layers and that of all but layer 2; None where nothing is reserved."""
    kept = tuple(
        _kept(p, stream, a, b)
        for p, a, b in zip(at, whole, free, strict=True)
        for stream in p.streams
        if hasattr(stream, "floors_kwh")
    )
    if not kept:
        return None
    years = max(p.ready.timeline.hours for p in at) / 8760.0
    layers = [k for k in held.layers if k != 2]
    by_layer = {k: (held.layer_usd(k) / years, without.layer_usd(k) / years) for k in layers}
    by_layer[0] = (held.operation_usd / years, without.operation_usd / years)
    gaps = (held.gap_usd, without.gap_usd)
    within = None if gaps[0] is None or gaps[1] is None else (gaps[0] + gaps[1]) / years
    return ReserveCost(by_layer, within, kept)


def _kept(p: Placed, reserve: Any, with_it: Run, without: Run) -> Kept:
    world = p.ready.world
    a, b = (reserve.check(r.record, world) for r in (with_it, without))
    odds = [None, None]
    outage = next((s for s in p.streams if hasattr(s, "curves")), None)
    if outage is not None and a.hours <= outage.horizon_h:
        odds = [outage.curves(r.record, world).at(a.hours) for r in (with_it, without)]
    low = a.carried_h < a.hours - 1e-9
    first = int(np.argmin(low)) if low.any() and not low.all() else int(low.sum())
    return Kept(reserve.name, a.hours, a.starts, len(a.breaches), len(b.breaches), odds[0], odds[1], first)
