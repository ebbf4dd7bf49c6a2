"""Arbitrage by rule: what a schedule of energy prices, known a day ahead, says of each hour."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..terms import Payment
from ..timeline import Kw, Timeline


@dataclass(frozen=True, slots=True, eq=False)
class Hours:
    """What each interval is good for, (n,): sell and buy; hold_kwh: to be kept in store for dearer sales."""

    sell: NDArray[np.bool_]
    buy: NDArray[np.bool_]
    hold_kwh: Kw

    @property
    def any(self) -> bool:
        """Whether any hour is worth a trade."""
        return bool(self.sell.any())


def energy_price_usd_per_kwh(terms: Iterable[Any], timeline: Timeline) -> Kw:
    """Price of one more kWh drawn in each interval, (n,), as the terms state it.

    Tiers: the last one, at which a large meter buys its next kWh; between hours of one tier ladder only
    differences matter. A payment on a baseline (reference - net) counts with its sign turned.
    """
    out = np.zeros(timeline.n)
    for t in terms:
        if not isinstance(t, Payment) or t.over == "max" or t.measure.asset is not None:
            continue
        if t.measure.flow not in ("import", "net"):
            continue
        usd = np.asarray(t.blocks[-1].usd_per_unit, dtype=float)
        if t.over == "sum" and usd.ndim:
            usd = np.where(t.window >= 0, usd[t.window], 0.0)
        sign = 1.0 if t.measure.reference_kw is None else -1.0
        out += sign * t.weight * np.where(t.window >= 0, np.broadcast_to(usd, timeline.n), 0.0)
    return out


def hours_of(
    price_usd_per_kwh: Kw,
    timeline: Timeline,
    *,
    power_kw: float,
    energy_kwh: float,
    charge_efficiency_frac: float,
    discharge_efficiency_frac: float,
    wear_usd_per_kwh: float = 0.0,
    known_h: float = 24.0,
) -> Hours:
    """What each interval is good for, from prices known `known_h` ahead: a published schedule, day-ahead prices.

    sell: price - lowest of the day ahead / (eta_c eta_d) - wear > 0. buy: no lower price before the next sale.
    hold_kwh: what dearer sales at full power can take before the next buying hour, at most the store.
    """
    from .arbitrage_kernel import trade

    sell, buy, hold = trade(
        np.ascontiguousarray(price_usd_per_kwh, dtype=np.float64),
        max(1, round(known_h / timeline.step_h)),
        power_kw,
        energy_kwh,
        charge_efficiency_frac,
        discharge_efficiency_frac,
        wear_usd_per_kwh,
        timeline.step_h,
    )
    return Hours(sell, buy, hold)
