"""Laws of the one plan: contracts leave the reserve alone, a stack is worth at most its singles and their common cost,
shares come to the cent, the rebound of a load is billed, a certificate is never minted from discharge."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from math import fsum
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kinds.case import Case, FlatRate, PlainBattery, entry, metered, world
from tests.laws.test_grid_services import draw, regulation, response, solve
from tests.laws.test_reserve import Hostile, hostile
from tests.laws.test_reserve import N as HOURS
from tests.unit.streams.resilience.places import battery, place
from valuestack.assets.flexible_load import FlexibleLoad
from valuestack.assets.pv import Pv
from valuestack.control.twin import Twin
from valuestack.dispatch import Foresight, Record, View
from valuestack.ledger import Ledger
from valuestack.site.contract import Contract, contracted
from valuestack.stack.attribution import attribute
from valuestack.stack.optimise import optimise_view
from valuestack.streams.environment.environment import generated_kwh
from valuestack.streams.environment.rec import Rec
from valuestack.streams.resilience.reserve import Reserve
from valuestack.streams.stream import Place

CONTRACTS = (
    {"revenue": {"owner_frac": 0.0, "penalty_owner_frac": 1.0}},
    {"revenue": {"owner_frac": 1.0, "penalty_owner_frac": 0.0}},
    {"revenue": {"guaranteed_usd_per_month": 1e6}, "dispatch": {"soc_min_frac": 0.0, "priority": 1}},
    {"revenue": {"owner_frac": 0.7, "netting": True}, "wear": {"usd_per_mwh": 900.0}, "asset": "battery"},
    {
        "dispatch": {"max_cycles_per_y": 1e4},
        "override": {"causes": []},
        "exclusive": "asset",
        "cost_usd_per_y": 1e6,
    },
)


@settings(max_examples=25, deadline=None)
@given(
    load=st.lists(st.floats(5, 60), min_size=HOURS, max_size=HOURS),
    price=hostile,
    claim_usd=st.sampled_from([0.0, 500.0]),
    clauses=st.sampled_from(CONTRACTS),
    hours=st.sampled_from([1.0, 3.0]),
)
def test_no_contract_takes_the_reserve(
    load: list[float], price: list[float], claim_usd: float, clauses: dict[str, Any], hours: float
) -> None:
    """Whatever is agreed over a stream that pays for an empty store, the floor under it stands."""
    store = battery(70.0, 300.0, soc_end_min_frac=0.0, soc_start_frac=1.0)
    where = place(load, [store])
    bound = Reserve.model_validate(
        {"hours": hours, "critical": {"load_frac": 0.6}, "uninterrupted": False}
    ).bind(where)
    contract = Contract.model_validate({"name": "deal", "streams": ["hostile"], **clauses})
    stream = contracted(Hostile(price, claim_usd, ("battery",)), [contract], date(2021, 1, 1))
    assert stream.name == "hostile" and hasattr(stream, "contract")
    case = Case(where.world, [bound, stream], [store], export_limit_kw=1000.0)
    plan = optimise_view(case.view(), case.assets, case.streams, export_limit_kw=1000.0, method="highs")
    floors = bound.floors_kwh(where)["battery"]
    called = plan.awards_kw.get("hostile/up", np.zeros(HOURS)) / 0.8
    assert (plan.stored_kwh["battery"] - called >= floors[1:] - 1e-5).all()
    held = metered(plan)
    held.stored_kwh["battery"] = held.stored_kwh["battery"] + 1e-5  # the solver's own tolerance
    assert not bound.check(held).breaches


def _idle(w: Any, tariff: FlatRate) -> Mapping[str, float]:
    """What the load alone costs, by term."""
    view = View(w.timeline, 0, w.timeline.n, Foresight(w), {}, {tariff.name: None})
    return optimise_view(view, [], [tariff], method="highs").term_usd


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_stack_is_worth_at_most_its_singles_and_their_common_cost(seed: int) -> None:
    """v(N) <= sum v(i) + (k - 1) C, C the wear of the stacked plan: each stream alone could follow it. The shares that
    the ledgers of all eight sets give sum to the cent."""
    w, store, tariff = draw(seed)
    streams = {s.name: s for s in (tariff, regulation(seed), response())}
    before = _idle(w, tariff)

    def planned(names: frozenset[Any]) -> Ledger:
        """Each term's own money in the plan of these streams, the tariff's as its saving."""
        chosen = [streams[n] for n in streams if n in names]
        if not chosen:
            return Ledger()
        made = solve(w, store, chosen).term_usd
        saved = {k: made[k] - (before[k] if k.startswith("flat rate/") else 0.0) for k in made}
        return Ledger.of(
            entry(owner, item, -usd, layer=0 if owner == "battery" else 3)
            for (owner, _, item), usd in ((k.partition("/"), v) for k, v in saved.items())
        )

    found = attribute(planned, tuple(streams), by="stream")
    wear = -fsum(e.usd for e in planned(frozenset(streams)) if e.stream == "battery")
    assert found.total_usd <= found.most_usd(wear) + 0.01
    assert fsum(s.shapley_usd for s in found.shares) == pytest.approx(found.total_usd, abs=1e-6)
    for share in found.shares:
        assert fsum(i.usd for i in share.items) == pytest.approx(share.shapley_usd, abs=1e-6)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rebound_frac=st.sampled_from([0.0, 0.5, 1.0]),
    recovery_frac=st.sampled_from([0.5, 1.0]),
    usd_per_kw=st.sampled_from([0.2, 2.0, 9.0]),
)
def test_the_rebound_stands_in_the_billed_peak_of_plan_and_settlement(
    seed: int, rebound_frac: float, recovery_frac: float, usd_per_kw: float
) -> None:
    """What a call moves comes back into the meter: the peak that the plan pays for is the one that is metered."""
    rng = np.random.default_rng(seed)
    n = 8
    where = world([float(x) for x in rng.uniform(60, 120, n).round(1)])
    mill = FlexibleLoad.model_validate(
        {
            "name": "mill", "shed_kw": 40.0, "whole": True, "max_duration_h": 2.0, "calls_per_day": 1,
            "recovery_frac": recovery_frac, "recovery_h": 3.0,
            **({"rebound_frac": rebound_frac, "rebound_h": 1.0} if rebound_frac else {}),
        }
    )  # fmt: skip
    tariff = FlatRate(usd_per_kwh=rng.choice([0.05, 0.3, 2.0], n), usd_per_kw=usd_per_kw)
    case = Case(where, [tariff], [mill])
    plan = optimise_view(case.view(), case.assets, case.streams, method="highs", gap=1e-9)
    twin = Twin(where, [mill])
    for k in range(n):
        twin.apply({"mill": plan.setpoints_kw["mill"][k]})
    record = twin.record()
    np.testing.assert_allclose(record.net_kw, plan.net_kw, atol=1e-6)
    billed = {e.item: -e.usd for e in tariff.settle(record, where)}
    assert billed["demand"] == pytest.approx(plan.term_usd["flat rate/demand"], abs=1e-6)
    assert billed["energy"] == pytest.approx(plan.term_usd["flat rate/energy"], abs=1e-6)
    shed = np.maximum(-record.asset_kw["mill"], 0.0).sum()
    back = np.maximum(record.asset_kw["mill"], 0.0).sum()
    assert back >= recovery_frac * shed - 1e-6, "nothing that is owed is left out of the meter"
    assert billed["demand"] >= usd_per_kw * float((where["load_kw"] + record.asset_kw["mill"]).max()) - 1e-6


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    usd_per_mwh=st.sampled_from([5.0, 300.0, 5000.0]),
    grid=st.sampled_from([-0.5, 0.02, 0.4]),
)
def test_a_certificate_is_never_minted_from_discharge(seed: int, usd_per_mwh: float, grid: float) -> None:
    """However dear certificates and however cheap the grid's energy: the plan earns them on metered generation alone,
    and what a battery gives back earns none."""
    rng = np.random.default_rng(seed)
    where = world([float(x) for x in rng.uniform(20, 90, 6).round(1)], start="2021-06-21T09:00")
    solar = Pv.model_validate(
        {
            "name": "solar", "dc_kw": 60.0, "latitude_deg": 35.0, "longitude_deg": -118.0,
            "yield_kwh_per_kw": [120.0] * 12, "curtailable": True, "seed": seed % 100,
        }
    )  # fmt: skip
    store = PlainBattery(power_kw=80.0, energy_kwh=160.0, start_kwh=80.0)
    assets = [solar, store]
    rec = Rec(usd_per_mwh=usd_per_mwh, whole=False, source="law").bind(
        Place(where.timeline, assets, where, export_limit_kw=200.0)
    )
    assert rec.assets == ("solar",)
    tariff = FlatRate(usd_per_kwh=[grid] * 6)
    view = View(
        where.timeline, 0, 6, Foresight(where), {a.name: a.initial_state() for a in assets}, {"rec": None}
    )
    plan = optimise_view(view, assets, [tariff, rec], export_limit_kw=200.0, method="highs", gap=1e-9)
    record = metered(plan)
    made = float(generated_kwh(record, "solar", "law").sum())
    most = float(np.maximum(-solar.belief(view).net_kw, 0.0).sum())  # type: ignore[union-attr]
    assert made <= most + 1e-6
    earned = fsum(e.usd for e in rec.settle(record, where))
    assert earned == pytest.approx(made / 1000 * usd_per_mwh, abs=1e-6)
    idle = Record(record.timeline, record.net_kw, asset_kw={"solar": record.asset_kw["solar"]})
    assert fsum(e.usd for e in rec.settle(idle, where)) == pytest.approx(earned, abs=1e-9)
