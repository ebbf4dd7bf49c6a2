"""Where a clause calls a term exact, the term priced on a net load comes to what the clause settles."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
import pytest

from valuestack.streams.retail.bill import bill, tariff_holidays
from valuestack.streams.retail.cycles import make_cycles
from valuestack.streams.retail.facts import BillFacts, History
from valuestack.streams.retail.item import Calendar, Decided
from valuestack.streams.retail.tariff import load_tariff
from valuestack.terms import Payment
from valuestack.timeline import Timeline

T = Timeline(start="2019-06-20T00:00", step_h=0.25, n=96 * 25, tz="America/Los_Angeles")
HOURS = {"from_h": 12, "to_h": 18, "days": "weekdays"}
CLAUSES: list[dict[str, Any]] = [
    {
        "kind": "critical_peak",
        "adder_usd_per_kwh": 1.1,
        "window": {"from_h": 14, "to_h": 18},
        "capacity_reservation_kw": 90,
        "credits": [{"per": "kW", "usd": 9.0, "hours": HOURS}, {"per": "kWh", "usd": 0.02, "hours": HOURS}],
    },
    {
        "kind": "rider",
        "name": "a",
        "per": "kWh",
        "usd": 0.01,
        "valid_from": "2019-06-25",
        "valid_until": "2019-07-05",
    },
    {"kind": "rider", "name": "b", "per": "kW", "usd": 2.0, "window_min": 30},
    {"kind": "supply", "name": "f", "form": "fixed", "usd_per_kwh": 0.06, "loss_frac": 0.05},
    {"kind": "supply", "name": "i", "form": "index", "adder_usd_per_kwh": 0.003},
    {"kind": "contract_demand", "contract_kw": 400, "usd_per_kw": 5.0},
    {
        "kind": "standby",
        "contract_kw": 100,
        "supplemental_kw": 60,
        "backup_usd_per_kwh": 0.3,
        "daily_demand": [{"hours": HOURS, "usd_per_kw_day": 0.5}],
    },
    {"kind": "hourly_price"},
    {"kind": "power_factor", "name": "k", "method": "kva", "usd_per_unit": 3.0},
]


def priced(p: Payment, net_kw: Any, kvar: Any) -> float:
    """What a Payment comes to on a net load, straight from the words of its definition."""
    flow = {"import": np.maximum(net_kw, 0), "kva": np.hypot(np.maximum(net_kw, 0), kvar)}[p.measure.flow]
    if p.measure.reference_kw is not None:
        flow = p.measure.reference_kw - flow
    if p.measure.average_h:
        block = T.block(p.measure.average_h)
        flow = (np.bincount(block, weights=flow) / np.bincount(block))[block]
    groups = range(T.n) if p.over == "each" else range(p.windows)
    total = 0.0
    for g in groups:
        mine = np.array([g]) if p.over == "each" else np.flatnonzero(p.window == g)
        if p.over == "each" and p.window[g] < 0:
            continue
        q = flow[mine].max() if p.over == "max" else flow[mine].sum() * T.step_h
        for f in p.floors:
            q = max(q, f.least) if f.window == g else q
        low = 0.0
        for b in p.blocks:
            upto = float(np.broadcast_to(b.upto, (T.n,))[g]) if b.upto is not inf else inf
            price = np.asarray(b.usd_per_unit)
            rate = float(price if price.ndim == 0 else price[g])
            total += rate * (q if low == 0.0 and upto == inf else max(0.0, min(q, upto) - low))
            low = upto
    return total


@pytest.mark.parametrize("clause", CLAUSES, ids=lambda c: f"{c['kind']} {c.get('name', '')}")
def test_exact_terms_come_to_the_settlement(clause: dict[str, Any]) -> None:
    rng = np.random.default_rng(5)
    kw, kvar = rng.uniform(0, 300, T.n), rng.uniform(0, 150, T.n)
    facts = BillFacts(cpp_events=["2019-06-27", "2019-07-09"], prices=rng.uniform(-0.02, 0.2, T.n))
    tariff = load_tariff({"name": "t", "source": "s", "verified": True, "holidays": "pge", "items": [clause]})
    cycles = make_cycles(T, ["2019-06-20", "2019-07-04", "2019-07-15"])
    made = bill(tariff, T, kw, kvar, cycles=cycles, facts=facts)
    decided = Decided(T, cycles, Calendar.of(T, tariff_holidays(tariff, T)), facts, History(), "t")
    terms = tariff.items[0].terms(decided)
    assert terms and all(t.exact for t in terms)
    assert sum(priced(t, kw, kvar) for t in terms if isinstance(t, Payment)) == pytest.approx(
        made.total_usd, abs=1e-6
    )


def test_names_of_terms_are_unique_within_a_clause() -> None:
    facts = BillFacts(cpp_events=["2019-06-27"], prices=np.zeros(T.n))
    for clause in CLAUSES:
        tariff = load_tariff({"name": "t", "source": "s", "items": [clause]})
        decided = Decided(T, make_cycles(T), Calendar.of(T, None), facts, History(), "t")
        names = [t.name for t in tariff.items[0].terms(decided)]
        assert len(names) == len(set(names))
