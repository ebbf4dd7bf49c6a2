"""The reserve against any price: from a viable start no plan goes below it, whatever else is asked, and every start of
the plan's record carries the critical load."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any, ClassVar

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kinds.case import Case, Quiet, metered
from tests.unit.streams.resilience.places import battery, engine, place
from valuestack.assets.generator import Refuelling
from valuestack.dispatch import Record, View, World
from valuestack.errors import InputError
from valuestack.ledger import Entry
from valuestack.stack.optimise import optimise_view
from valuestack.streams.resilience.reserve import Reserve
from valuestack.terms import Block, Claim, Measure, Payment, Term

N = 8
hostile = st.lists(st.sampled_from([-50.0, -1.0, 0.0, 0.3, 9.0, 900.0]), min_size=N, max_size=N)


class Hostile(Quiet):
    """Pays anything for an empty store: prices on import and export, headroom sold upward at any price."""

    kind: ClassVar[str] = "hostile"
    layer: ClassVar[int] = 3
    name: str = "hostile"

    def __init__(self, price: list[float], claim_usd: float, eligible: tuple[str, ...]) -> None:
        self.price, self.claim_usd, self.eligible = np.array(price), claim_usd, eligible

    def terms(self, view: View) -> Sequence[Term]:
        zero = np.zeros(view.n, dtype=np.int64)
        out: list[Term] = [
            Payment(self.name, "net", Measure("net"), "each", zero, (Block(inf, self.price),)),
            Payment(self.name, "peak", Measure("import"), "max", zero, (Block(inf, 400.0),)),
        ]
        if self.claim_usd:
            out.append(
                Claim(
                    self.name, "up", "up", np.full(view.n, self.claim_usd), self.eligible, max_kw=40.0,
                    sustain_h=1.0, throughput_up_frac=0.2,
                )
            )  # fmt: skip
        return out

    def settle(self, record: Record, world: World) -> Sequence[Entry]:
        return ()


@settings(max_examples=40, deadline=None)
@given(
    load=st.lists(st.floats(5, 60), min_size=N, max_size=N),
    price=hostile,
    claim_usd=st.sampled_from([0.0, 5.0, 500.0]),
    hours=st.sampled_from([1.0, 3.0, 6.0]),
    frac=st.sampled_from([0.3, 0.7]),
    basis=st.sampled_from(["worst", "next"]),
    begin=st.floats(0.0, 1.0),
)
def test_no_term_goes_below_the_reserve(
    load: list[float], price: list[float], claim_usd: float, hours: float, frac: float, basis: Any, begin: float
) -> None:  # fmt: skip
    full = battery(70.0, 300.0, soc_end_min_frac=0.0, soc_start_frac=1.0)
    where = place(load, [full])
    asked = {"hours": hours, "critical": {"load_frac": frac}, "basis": basis, "uninterrupted": False}
    try:
        first = Reserve.model_validate(asked).bind(where).floors_kwh(where)["battery"][0]
    except InputError as e:
        assert "can never be held" in str(e)
        return
    share = (first + begin * (300.0 - first)) / 300.0
    store = battery(70.0, 300.0, soc_end_min_frac=0.0, soc_start_frac=min(1.0, share + 1e-12))
    where = place(load, [store])
    bound = Reserve.model_validate(asked).bind(where)
    floors = bound.floors_kwh(where)["battery"]
    case = Case(
        where.world, [bound, Hostile(price, claim_usd, ("battery",))], [store], export_limit_kw=1000.0
    )
    plan = optimise_view(case.view(), case.assets, case.streams, export_limit_kw=1000.0, method="highs")
    assert (plan.stored_kwh["battery"] >= floors[1:] - 1e-5).all()
    if claim_usd:  # nor does a call that lasts as long as was promised
        called = plan.awards_kw["hostile/up"] * 1.0 / 0.8
        assert (plan.stored_kwh["battery"] - called >= floors[1:] - 1e-5).all()
        begin_kwh = np.concatenate(([300.0 * min(1.0, share + 1e-12)], plan.stored_kwh["battery"][:-1]))
        asked_kwh = np.concatenate((floors[:2].min(keepdims=True), floors[1:-1]))
        assert (begin_kwh - called >= asked_kwh - 1e-5).all()
    if basis == "worst":
        held = metered(plan)
        held.stored_kwh["battery"] = held.stored_kwh["battery"] + 1e-5  # the solver's own tolerance
        assert not bound.check(held).breaches


@settings(max_examples=15, deadline=None)
@given(price=hostile, tank=st.floats(30, 120), gal=st.floats(5, 60), every=st.sampled_from([3.0, 4.0]))
def test_fuel_sold_never_takes_the_reserve(price: list[float], tank: float, gal: float, every: float) -> None:
    made = engine(
        permit="non_emergency",
        tank_gal=tank,
        refuelling=Refuelling(every_h=every, gal=gal),
        fuel_usd_per_gal=1.0,
    )
    where = place([60.0] * N, [made])
    bound = Reserve(hours=4.0, critical={"load_frac": 1.0}, uninterrupted=False).bind(where)  # type: ignore[arg-type]
    floor = bound.fuel_floors_gal(where)["generator"]
    assert floor == np.float64(24.0) or abs(floor - 24.0) < 1e-9
    case = Case(where.world, [bound, Hostile(price, 0.0, ())], [made], export_limit_kw=1000.0)
    plan = optimise_view(case.view(), case.assets, case.streams, export_limit_kw=1000.0, method="highs")
    record = metered(plan)
    assert (made.tank_levels_gal(record) >= floor - 1e-5).all()
    assert not bound.check(record).breaches
    state = made.initial_state()
    for k in range(N):  # and the engine itself burns what the plan says
        state, _ = made.step(state, plan.setpoints_kw["generator"][k : k + 1], where.world, k)
        assert state.fuel_gal[0] >= floor - 1e-4


@settings(max_examples=40, deadline=None)
@given(
    load=st.lists(st.floats(0, 120), min_size=4, max_size=16),
    hours=st.sampled_from([1.0, 2.5, 6.0]),
    tank=st.floats(2, 100),
    step_h=st.sampled_from([0.5, 1.0]),
    start_s=st.sampled_from([0.0, 30.0]),
    several=st.booleans(),
)
def test_the_floor_is_what_the_check_needs_and_no_more(
    load: list[float], hours: float, tank: float, step_h: float, start_s: float, several: bool
) -> None:
    stores = [battery(130.0, 700.0, soc_start_frac=1.0)]
    if several:
        stores = [
            battery(70.0, 500.0, soc_start_frac=1.0),
            battery(80.0, 150.0, soc_start_frac=1.0, name="fast"),
        ]
    where = place(load, [engine(tank_gal=tank, start_s=start_s), *stores], step_h=step_h)
    try:
        bound = Reserve(hours=hours, critical={"load_frac": 1.0}).bind(where)  # type: ignore[arg-type]
    except InputError:
        return
    floors = bound.floors_kwh(where)

    def held(less_kwh: float) -> Record:
        n = where.timeline.n
        stored = {k: np.maximum(f[1:] - less_kwh, 0.0) + 1e-7 for k, f in floors.items()}
        power = {a.name: np.zeros(n) for a in where.assets}
        return Record(where.timeline, where.world["load_kw"], asset_kw=power, stored_kwh=stored)

    assert not bound.check(held(0.0)).breaches
    worst = bound._duty.asked_kwh if bound._duty is not None else np.zeros(1)
    if worst.max() > 1.0 and int(worst.argmax()) > 0 and tank > 100 * hours:
        assert bound.check(held(0.5)).breaches
