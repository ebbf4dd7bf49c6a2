"""Regulation beside spikes that nobody foresees: what is sold must pay for the peaks that the store then misses."""

from __future__ import annotations

from datetime import date
from math import inf
from typing import Any

import numpy as np
import pytest

from tests.unit.control.test_calls import regulation
from tests.unit.control.test_loop import battery, world
from valuestack.control import loop
from valuestack.control.promises import belief_of
from valuestack.control.utility_first import UtilityFirst
from valuestack.ledger import Ledger
from valuestack.terms import Block, Measure, Payment, Term
from valuestack.timeline import Kw, Timeline

DEMAND_USD_PER_KW = 30.0


def weeks(seed: int, spike_kw: float) -> tuple[Timeline, Kw]:
    """Six weeks of a day's hump with noise; one quarter-hour in a hundred draws spike_kw more."""
    timeline = Timeline(start="2026-10-01T00:00", step_h=0.25, n=96 * 42, tz="America/New_York")
    rng = np.random.default_rng(seed)
    hump = 60 * np.maximum(0.0, np.sin((timeline.hour - 6) / 12 * np.pi))
    noise = rng.normal(0, 3, timeline.n)
    return timeline, 200 + hump + noise + spike_kw * (rng.random(timeline.n) < 0.01)


def earned_and_bill_usd(timeline: Timeline, kw: Kw, streams: list[Any]) -> tuple[float, float]:
    """What the market paid, and the bill settled from the meter."""
    w, cycle = world(timeline, kw), timeline.month_id - timeline.month_id[0]
    price = np.where((timeline.hour >= 16) & (timeline.hour < 21), 0.2, 0.12)
    demand = np.full(int(cycle[-1]) + 1, DEMAND_USD_PER_KW)
    every = np.zeros(timeline.n, dtype=np.int64)
    terms: list[Term] = [
        Payment("u", "energy", Measure("import"), "each", every, (Block(inf, price),)),
        Payment("u", "demand", Measure("import"), "max", cycle, (Block(inf, demand),)),
    ]
    belief = belief_of(w, streams) if streams else None
    record = loop.run(w, [battery()], UtilityFirst(), terms, streams=streams, belief=belief)
    net = np.asarray(record.net_kw).ravel()
    peaks = sum(float(net[cycle == c].max()) for c in range(demand.size))
    bill = float((net.clip(0) * price).sum()) * 0.25 + DEMAND_USD_PER_KW * peaks
    return float(sum(Ledger.of(s.settle(record, w)).total_usd for s in streams)), bill


@pytest.mark.slow
@pytest.mark.parametrize(("spike_kw", "least_share"), [(120.0, 0.0), (0.0, 0.7)], ids=["spikes", "smooth"])
def test_regulation_pays_for_the_peaks_that_it_costs(spike_kw: float, least_share: float) -> None:
    """In the mean of seeds the owner is no poorer than by the tariff alone; without spikes most of it is kept."""
    earned, net = [], []
    for seed in range(3):
        timeline, kw = weeks(seed, spike_kw)
        _, alone = earned_and_bill_usd(timeline, kw, [])
        paid, bill = earned_and_bill_usd(timeline, kw, [regulation(as_of=date(2026, 10, 1))])
        earned.append(paid)
        net.append(paid + alone - bill)
    assert np.mean(earned) > 500
    assert np.mean(net) > least_share * np.mean(earned)
