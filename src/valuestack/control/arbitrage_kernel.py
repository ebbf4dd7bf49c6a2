"""Compiled side of arbitrage.py: which hours sell, which buy, and what to hold for a dearer one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

Floats = np.ndarray[Any, np.dtype[np.float64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]


@njit(cache=True)
def trade(
    price: Floats, ahead: int, power_kw: float, energy_kwh: float, ec: float, ed: float, wear: float, h: float
) -> tuple[Bools, Bools, Floats]:
    """See arbitrage.hours_of; `ahead` intervals of price are known."""
    n = price.size
    sell, buy, hold = np.zeros(n, np.bool_), np.zeros(n, np.bool_), np.zeros(n)
    for k in range(n):
        low = np.inf
        for j in range(k + 1, min(n, k + 1 + ahead)):
            low = min(low, price[j])
        sell[k] = price[k] - low / (ec * ed) - wear > 1e-6
    next_sale = n + ahead
    for k in range(n - 1, -1, -1):
        if sell[k]:
            next_sale = k
            continue
        buy[k] = True
        if next_sale - k <= ahead:
            for j in range(k + 1, next_sale):
                if price[j] < price[k] - 1e-9:
                    buy[k] = False
                    break
    for k in range(n):
        for j in range(k + 1, min(n, k + 1 + ahead)):
            if buy[j] or hold[k] >= energy_kwh:
                break
            if sell[j] and price[j] > price[k] + 1e-9:
                hold[k] = min(energy_kwh, hold[k] + power_kw * h / ed)
    return sell, buy, hold


@njit(cache=True)
def traded_kw(
    wish: float,
    base: float,
    energy: float,
    low: float,
    keep: float,
    sell: bool,
    buy: bool,
    hold: float,
    power_kw: float,
    ec: float,
    ed: float,
    h: float,
) -> float:
    """A demand rule's setpoint with trade beside it (load sign).

    wish: the setpoint that demand alone asks for, > 0 charges. base: net load without the store. energy, low:
    in store and its floor. keep: energy above `low` that demand needs after this interval. hold: see trade.
    Selling takes only what neither needs and never feeds in; buying waits for its hour unless demand lacks
    energy or the power would flow out otherwise.
    """
    if sell:
        spare = (energy - low - max(keep, hold)) * ed / h
        out = min(min(spare, power_kw), base)
        if out > 0.0:
            return min(wish, -out)
    if wish > 0.0 and not buy:
        return min(wish, max(max((keep - energy + low) / (ec * h), -base), 0.0))
    return wish
