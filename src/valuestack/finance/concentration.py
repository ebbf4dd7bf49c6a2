"""Concentration: what is left of an investment when one market that it stands on collapses.

A stream keeps `left_frac` of its value after year `year`; all else goes on. The pro forma is run as it is, so taxes,
debt and escalation follow. NPV is linear in the share of value that stands on the market, so the share at which nothing
is left is exact:

    NPV(share) = NPV(0) - share (NPV(0) - NPV(1))

A portfolio of sites that sell into one market is one bet, however many sites: they all lose together. Of `markets`
equal and independent ones, each collapsing with probability p, the number that does is binomial, and the mean of the
worst `tail_frac` follows exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

import numpy as np

from ..errors import InputError
from ..timeline import Kw
from .finance import Finance, StreamPlan, Value
from .proforma import CashFlow, cash_flow

BASE, MARKET, LOST = "base", "market", "market, until it collapses"


def collapsed(
    finance: Finance, values: Sequence[Value], stream: str, *, left_frac: float, year: int
) -> CashFlow:
    """The pro forma where `stream` keeps `left_frac` of its value after the end of year `year` (0 = never more).

    Errors: InputError for a stream that no value belongs to, or a share outside 0 to 1.
    """
    if not 0 <= left_frac <= 1:
        raise InputError(f"left_frac: {left_frac!r} should lie between 0 and 1")
    if stream not in {v.stream for v in values}:
        raise InputError(
            f"stream {stream!r}: no value belongs to it; there is {', '.join(v.stream for v in values)}"
        )
    gone = f"{stream}, until it collapses"
    kept = [
        v if v.stream != stream else Value(stream, v.layer, v.usd_per_y * left_frac, v.certainty)
        for v in values
    ]
    until = [
        Value(gone, v.layer, v.usd_per_y * (1 - left_frac), v.certainty) for v in values if v.stream == stream
    ]
    plan = finance.streams.get(stream, StreamPlan())
    last = year if plan.end_year is None else min(year, plan.end_year)
    if year < 1:
        return cash_flow(finance, kept)
    plans = {**finance.streams, gone: plan.model_copy(update={"end_year": last})}
    return cash_flow(finance.model_copy(update={"streams": plans}), [*kept, *until])


def promised_usd_per_y(finance: Finance, irr_frac: float, share: float = 1.0, *, layer: int = 4) -> float:
    """Value a year that earns the owner `irr_frac`, where `share` of it is of `layer` and the rest of layer 1."""
    low, high = 0.0, max(1.0, finance.capex_usd)
    for _ in range(200):
        middle = 0.5 * (low + high)
        found = cash_flow(finance, split(middle, share, layer=layer)).irr_frac
        low, high = (middle, high) if found is None or found < irr_frac else (low, middle)
        if high - low < 1e-9 * high:
            break
    return high


def split(usd_per_y: float, share: float, *, layer: int = 4) -> list[Value]:
    """A value of which `share` stands on one market and the rest on the tariff."""
    return [
        Value(BASE, 1, usd_per_y * (1 - share), "contractual"),
        Value(MARKET, layer, usd_per_y * share, "market"),
    ]


def share_map(
    finance: Finance,
    usd_per_y: float,
    *,
    shares: Sequence[float],
    lefts_frac: Sequence[float],
    year: int,
    layer: int = 4,
) -> Kw:
    """NPV to the owner, (shares, lefts), for each share of value on the market and what is left of its price."""
    return np.array(
        [
            [
                collapsed(finance, split(usd_per_y, s, layer=layer), MARKET, left_frac=f, year=year).npv_usd
                for f in lefts_frac
            ]
            for s in shares
        ]
    )


def most_share(finance: Finance, usd_per_y: float, *, left_frac: float, year: int, layer: int = 4) -> float:
    """Share of value on the market up to which the NPV stays at or above zero: 1 where a collapse of all of it leaves
    it there, 0 where there is nothing to lose."""
    none, whole = share_map(
        finance, usd_per_y, shares=(0.0, 1.0), lefts_frac=(left_frac,), year=year, layer=layer
    )[:, 0]
    if whole >= 0:
        return 1.0
    return float(min(1.0, max(0.0, none / (none - whole)))) if none > 0 else 0.0


def tail_lost_frac(markets: int, p: float, left_frac: float, tail_frac: float = 0.05) -> float:
    """Mean share of value lost in the worst `tail_frac` of cases, of `markets` equal and independent ones.

    >>> round(tail_lost_frac(1, 0.05, 0.2), 6)
    0.8
    """
    if markets < 1 or not 0 <= p <= 1 or not 0 < tail_frac <= 1:
        raise InputError("markets >= 1, p from 0 to 1, tail_frac above 0 up to 1")
    left, lost = tail_frac, 0.0
    for k in range(markets, -1, -1):
        taken = min(left, comb(markets, k) * p**k * (1 - p) ** (markets - k))
        lost += taken * (k / markets) * (1 - left_frac)
        left -= taken
    return lost / tail_frac
