"""Demand response as products: capacity, economic and emergency programmes of markets and utilities.

Measurement, payment and what a plan sees of them are in `response`; the programme is data in `data/products`.
"""

from __future__ import annotations

from typing import ClassVar

from .response import Responding


class DemandResponse(Responding):
    """Enrolment in a demand-response product.

    events: calls (start, hours), or the name of a world series that is 1 in calls; none for a self-called product,
    which calls itself where the price stands at or above call_from_usd_per_kwh (and the net-benefits price).
    nomination_kw: what is promised; max_kw: the most that a sizing may promise. firm_kw: firm service level.
    peak_load_kw: last season's tag (PJM), from which the nomination follows as tag - firm x loss factor;
    winter_peak_load_kw, weather-adjusted, limits it where lower.
    drop_kw: instead, a guaranteed load drop (PJM), measured as the
    lesser of baseline - load and tag - load. coincident_load_kw: flat average coincident load (NYISO).
    Prices that the product leaves open: energy_usd_per_kwh, capacity_usd_per_kw_month (per kW nominated or performed;
    a season's price is divided by its months), shortfall_usd_per_kwh, net_benefits_usd_per_kwh. elcc_frac: UCAP of a
    nominated kW. test_frac: performance shown where no call came. hold_frac: share of the nomination kept ready in
    the whole window, for hold_h, by `assets`; may_share: claims that may hold the same kW. temperature: world series
    for regressions. method: a baseline of one's own, in place of the product's.
    forgo: whether a plan may end a call above its baseline, which is settled as nothing: a binary a call. Without it
    such a call counts as a loss in the plan, which then is convex and never better than what is settled.

    >>> DemandResponse(name="elrp", product="elrp", utility="PG&E", events=()).certainty
    'metered'
    """

    kind: ClassVar[str] = "demand_response"

    name: str = "demand response"
