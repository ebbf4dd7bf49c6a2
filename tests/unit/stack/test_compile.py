"""Each feature of offers and terms on a few intervals, against numbers worked out by hand or by the rule."""

from __future__ import annotations

from dataclasses import replace
from math import inf, sqrt
from typing import Any

import numpy as np
import pytest

from valuestack.errors import ConflictError, InfeasibleError, InputError
from valuestack.flows import Given, Offer, Store, Unit
from valuestack.stack.compile import compile_problem
from valuestack.stack.optimise import Schedule, optimise, solve_compiled
from valuestack.terms import Block, Claim, HoursUse, Limit, Measure, Minimum, Payment, Term
from valuestack.timeline import Kw, Timeline


def hours(n: int, step_h: float = 1.0) -> Timeline:
    return Timeline(start="2018-07-02T00:00", step_h=step_h, n=n, tz="America/Los_Angeles")


def store(n: int, **more: Any) -> Store:
    given: dict[str, Any] = {
        "name": "battery",
        "charge_max_kw": np.full(n, 10.0),
        "discharge_max_kw": np.full(n, 10.0),
        "energy_min_kwh": np.zeros(n + 1),
        "energy_max_kwh": np.full(n + 1, 20.0),
        "energy_start_kwh": 10.0,
    }
    return Store(**{**given, **more})


def price(usd: Any, n: int, flow: Any = "import", name: str = "energy") -> Payment:
    return Payment(
        "t", name, Measure(flow), "each", np.zeros(n, dtype=np.int64), (Block(inf, np.asarray(usd, float)),)
    )


def best(load: Any, offers: list[Offer], terms: list[Term], *, step_h: float = 1.0, **more: Any) -> Schedule:
    load = np.asarray(load, dtype=float)
    found = optimise(hours(load.size, step_h), load, offers, terms, method="highs", gap=1e-9, **more)
    compiled = compile_problem(hours(load.size, step_h), load, offers, terms, **more)
    solution = solve_compiled(compiled)
    assert compiled.worth(solution.x).total_usd == pytest.approx(
        solution.objective, abs=1e-4 + compiled.slack_usd
    )
    return found


def test_efficiencies_wear_and_standing_loss() -> None:
    o = store(
        2,
        charge_efficiency_frac=0.9,
        discharge_efficiency_frac=0.8,
        wear_usd_per_kwh=0.05,
        loss_frac_per_h=0.1,
        energy_start_kwh=0.0,
    )
    found = best([20, 20], [o], [price([0.1, 1.0], 2)])
    # 10 kW in: 9 kWh stored, 8.1 after an hour, 6.48 out
    assert found.setpoints_kw["battery"].tolist() == pytest.approx([10.0, -6.48])
    assert found.term_usd["battery/wear"] == pytest.approx(0.05 * 6.48)
    assert found.stored_kwh["battery"].tolist() == pytest.approx([9.0, 0.0])


def test_drain_and_auxiliary_load() -> None:
    o = store(2, drain_kw=np.full(2, 1.0), aux_kw=np.full(2, 0.5), energy_end_min_kwh=8.0)
    found = best([5, 5], [o], [price([0.1, 0.1], 2)])
    assert found.net_kw.tolist() == pytest.approx([5.5, 5.5])
    assert found.stored_kwh["battery"].tolist() == pytest.approx([9.0, 8.0])
    assert found.setpoints_kw["battery"].tolist() == pytest.approx([0.0, 0.0])


def test_loss_pieces_favour_slow_power() -> None:
    o = store(2, loss_pieces=((5.0, 0.0), (inf, 0.5)), energy_start_kwh=20.0, energy_max_kwh=np.full(3, 20.0))
    found = best([20, 20], [o], [price([0.2, 0.2], 2)])
    out = -found.setpoints_kw["battery"]
    # 20 kWh hold 10 + 10 kW only with losses 0.5 x 5 each: x + x + 0.5 (2 x - 10) = 20 -> x = 25 / 3
    assert out.sum() == pytest.approx(50 / 3)


def test_cycle_depth_segments_are_used_cheap_first() -> None:
    o = store(4, wear_segments=((0.5, 0.01), (0.5, 0.2)), energy_start_kwh=20.0, energy_end_min_kwh=20.0)
    shallow = best([30] * 4, [o], [price([0.5, 0.1, 0.5, 0.1], 4)])
    # two cycles of half depth, never into the deep segment
    assert shallow.term_usd["battery/wear"] == pytest.approx(0.01 * 20)
    deep = best([30] * 4, [o], [price([0.5, 0.5, 0.1, 0.1], 4)])
    assert deep.term_usd["battery/wear"] == pytest.approx(0.01 * 10 + 0.2 * 10)


def test_value_of_what_is_left_and_least_at_the_end() -> None:
    o = store(1, end_value_usd_per_kwh=0.3)
    assert best([20], [o], [price([0.2], 1)]).setpoints_kw["battery"].tolist() == pytest.approx([10.0])
    o = store(1, energy_end_min_kwh=7.0)
    assert best([20], [o], [price([0.2], 1)]).setpoints_kw["battery"].tolist() == pytest.approx([-3.0])


def test_no_export_unless_the_interconnection_lets_it() -> None:
    sell = price([-0.5], 1, "export", "sell")
    assert best([4], [store(1)], [price([0.1], 1), sell]).net_kw.tolist() == pytest.approx([0.0])
    found = best([4], [store(1)], [price([0.1], 1), sell], export_limit_kw=3.0)
    assert found.net_kw.tolist() == pytest.approx([-3.0])


def test_import_limit_and_its_owner_when_it_cannot_be_kept() -> None:
    found = best([18, 4], [store(2, energy_start_kwh=0.0)], [price([0.1, 0.1], 2)], import_limit_kw=20.0)
    assert found.net_kw.max() <= 20.0
    with pytest.raises(InfeasibleError) as e:
        best([35, 4], [store(2)], [price([0.1, 0.1], 2)], import_limit_kw=20.0)
    assert "interconnection" in e.value.owners


def test_load_that_exports_by_itself_needs_leave_to() -> None:
    with pytest.raises(InfeasibleError) as e:
        best([-30.0, 5.0], [store(2)], [price([0.1, 0.1], 2)])
    assert "interconnection" in e.value.owners
    assert best([-30.0, 5.0], [store(2)], [price([0.1, 0.1], 2)], export_limit_kw=50.0).net_kw[
        0
    ] == pytest.approx(-20)


def test_negative_prices_do_not_burn_energy_by_doing_both_at_once() -> None:
    o = store(3, charge_efficiency_frac=0.9, discharge_efficiency_frac=0.9, energy_start_kwh=20.0)
    found = best([5, 5, 5], [o], [price([-0.5, -0.5, 0.3], 3)])
    flows = found.flows
    assert flows is not None
    a = flows.assets["battery"]
    assert np.minimum(a["charge"], a["discharge"]).max() < 1e-6


def test_curtailing_pv_when_export_is_closed_or_costs() -> None:
    pv = Given("pv", np.array([-8.0, -2.0]), curtailable=True, curtail_usd_per_kwh=0.01)
    found = best([5, 5], [pv], [price([0.2, 0.2], 2)])
    assert found.setpoints_kw["pv"].tolist() == pytest.approx([-5.0, -2.0])
    assert found.term_usd["pv/curtailment"] == pytest.approx(0.03)


def test_thirty_minute_blocks_on_quarter_hours() -> None:
    demand = Payment(
        "t",
        "demand",
        Measure("import", average_h=0.5),
        "max",
        np.zeros(4, dtype=np.int64),
        (Block(inf, 10.0),),
    )
    o = store(4, energy_start_kwh=2.5, energy_max_kwh=np.full(5, 2.5))
    found = best([20, 40, 20, 20], [o], [demand], step_h=0.25)
    # the first half hour averages 30; 2.5 kWh take 5 kW off it, and the second is at 20
    assert found.objective_usd == pytest.approx(250.0)


def test_what_was_before_counts_and_is_shown_as_sunk() -> None:
    one = np.zeros(2, dtype=np.int64)
    demand = Payment(
        "t", "demand", Measure("import"), "max", one, (Block(inf, 3.0),), so_far=np.array([15.0])
    )
    tiers = Payment(
        "t",
        "tiers",
        Measure("import"),
        "sum",
        one,
        (Block(100.0, 0.1), Block(inf, 0.2)),
        so_far=np.array([95.0]),
    )
    found = best([20, 4], [store(2, energy_end_min_kwh=10.0)], [demand, tiers])
    assert found.net_kw.max() <= 15.0 + 1e-9
    assert found.sunk_usd == pytest.approx(45.0 + 9.5)
    assert found.objective_usd == pytest.approx(45.0 + 10.0 + 0.2 * (95 + 24 - 100))


def test_kva_demand_is_exact_and_the_inverter_stays_on_its_circle() -> None:
    n = 3
    demand = Payment("t", "kva", Measure("kva"), "max", np.zeros(n, dtype=np.int64), (Block(inf, 10.0),))
    o = store(n, inverter_kva=10.0, energy_end_min_kwh=10.0)
    found = best([30, 40, 30], [o], [demand, price([0.0] * n, n)], load_kvar=np.array([20.0, 30.0, 20.0]))
    assert found.net_kvar is not None
    billed = np.hypot(found.net_kw, found.net_kvar).max()
    # 10 kVA against the direction of (40, 30): 50 - 10
    assert billed == pytest.approx(40.0, abs=2e-3)
    assert found.objective_usd == pytest.approx(10.0 * billed, abs=1e-3)
    assert found.lower_bound_usd <= found.objective_usd + 1e-9
    flows = found.flows
    assert flows is not None
    a = flows.assets["battery"]
    assert np.hypot(a["charge"] - a["discharge"], a["kvar"]).max() <= 10.0 + 1e-3


def test_fixed_kvar_needs_no_inverter() -> None:
    demand = Payment("t", "kva", Measure("kva"), "max", np.zeros(2, dtype=np.int64), (Block(inf, 1.0),))
    found = best([30, 10], [store(2, energy_end_min_kwh=10.0)], [demand], load_kvar=np.array([5.0, 5.0]))
    # 10 kW off the first, back in the second
    assert found.objective_usd == pytest.approx(sqrt(20.0**2 + 5.0**2), abs=1e-4)


def test_minimum_bill_takes_away_the_reason_to_save() -> None:
    one = np.zeros(2, dtype=np.int64)
    demand = Payment("t", "demand", Measure("import"), "max", one, (Block(inf, 1.0),))
    found = best(
        [10, 2],
        [store(2, wear_usd_per_kwh=0.5)],
        [demand, Minimum("t", "minimum", ("demand",), one, np.array([9.0]))],
    )
    assert found.objective_usd == pytest.approx(9.0 + 0.5)
    assert found.term_usd["t/minimum"] == pytest.approx(0.0)


def test_claim_is_shared_and_needs_power_and_energy() -> None:
    n = 2
    a = store(n)
    b = store(n, name="second", energy_max_kwh=np.full(n + 1, 4.0), energy_start_kwh=4.0)
    claim = Claim("iso", "reserve", "up", np.full(n, 0.1), ("battery", "second"), sustain_h=1.0)
    found = best([50, 50], [a, b], [price([0.3, 0.3], n), claim])
    # energy is worth 0.3 once at the meter, held it is worth 0.1 an hour twice: give in the last hour only
    awarded = found.awards_kw["iso/reserve"]
    assert awarded[0] <= 14.0 + 1e-9
    held = best([50, 50], [a, b], [price([0.05, 0.05], n), claim])
    # 10 kWh and 4 kWh held for one hour, in both intervals
    assert held.awards_kw["iso/reserve"].tolist() == pytest.approx([14.0, 14.0])


def test_claims_that_may_share_hold_the_same_kw() -> None:
    n = 1
    first = Claim("iso", "spin", "up", np.array([0.1]), ("battery",))
    second = Claim("utility", "capacity", "up", np.array([0.2]), ("battery",))
    apart = best([50], [store(n)], [price([0.01], n), first, second])
    assert sum(v[0] for v in apart.awards_kw.values()) == pytest.approx(20.0)
    both = best([50], [store(n)], [price([0.01], n), first, replace(second, may_share=("spin",))])
    assert [v[0] for v in both.awards_kw.values()] == pytest.approx([20.0, 20.0])


def test_claim_blocks_hours_least_size_and_what_is_fixed() -> None:
    n = 4
    when = np.array([True, True, False, True])
    claim = Claim(
        "iso", "x", "both", np.array([0.1, -0.3, 0.1, 0.01]), ("battery",), block_h=2.0, when=when, min_kw=4.0
    )
    found = best([50] * n, [store(n)], [price([0.0] * n, n), claim])
    assert found.awards_kw["iso/x"].tolist() == pytest.approx([0.0, 0.0, 0.0, 10.0])
    fixed = replace(claim, fixed_kw=np.array([2.0, 2.0, 0.0, 0.0]))
    found = best([50] * n, [store(n)], [price([0.0] * n, n), fixed])
    assert found.term_usd["iso/x"] == pytest.approx(-(0.1 - 0.3) * 2)


def test_a_call_may_not_export_where_none_is_allowed() -> None:
    claim = Claim("iso", "x", "up", np.array([0.1]), ("battery",))
    assert best([4], [store(1)], [price([0.0], 1), claim]).awards_kw["iso/x"][0] <= 4.0 + 10.0
    found = best([4], [store(1, charge_max_kw=np.zeros(1))], [price([0.0], 1), claim])
    assert found.awards_kw["iso/x"].tolist() == pytest.approx([4.0])


def test_limits_of_every_kind() -> None:
    n = 3
    terms: list[Term] = [price([0.1, 0.5, 0.1], n)]

    def swing(*more: Term) -> Kw:
        return best([30] * n, [store(n, energy_end_min_kwh=10.0)], [*terms, *more]).setpoints_kw["battery"]

    assert swing()[1] == pytest.approx(-10.0)
    discharge = Measure("discharge", asset="battery")
    assert swing(Limit("w", "each", discharge, "each", upper=4.0))[1] == pytest.approx(-4.0)
    assert swing(Limit("w", "sum", discharge, "sum", upper=6.0))[1] == pytest.approx(-6.0)
    assert swing(Limit("w", "max", Measure("import"), "max", lower=38.0))[[0, 2]].max() >= 8.0 - 1e-6
    assert swing(Limit("w", "ramp", Measure("net"), "ramp", lower=-5.0, upper=5.0))[1] >= -5.0 - 1e-6
    assert swing(Limit("w", "floor", Measure("import"), "each", lower=25.0))[1] == pytest.approx(-5.0)
    assert swing(Limit("w", "reserve", Measure("stored", asset="battery"), "each", lower=3.0))[1] >= -10.0
    assert swing(Limit("w", "priced", discharge, "each", upper=4.0, breach_usd_per_unit=1.0))[
        1
    ] == pytest.approx(-4.0)
    assert swing(Limit("w", "priced", discharge, "each", upper=4.0, breach_usd_per_unit=0.1))[
        1
    ] == pytest.approx(-10.0)


def test_starts_are_counted() -> None:
    n = 4
    unit = Unit("gen", np.full(n, 10.0), np.full(n, 20.0), fuel_pieces=((inf, 0.2),), fuel_usd_per_gal=1.0)
    energy = price([0.9, 0.1, 0.9, 0.1], n)
    limit = Limit("permit", "starts", Measure("start", asset="gen"), "count", upper=1.0)
    free = best([50] * n, [unit], [energy])
    once = best([50] * n, [unit], [energy, limit])
    flows = once.flows
    assert free.flows is not None and flows is not None
    assert free.flows.assets["gen"]["start"].sum() == pytest.approx(2.0)
    assert flows.assets["gen"]["start"].sum() == pytest.approx(1.0)
    assert once.objective_usd > free.objective_usd


def test_unit_minimum_times_at_the_start_and_ramps() -> None:
    n = 3
    unit = Unit(
        "gen",
        np.full(n, 5.0),
        np.full(n, 20.0),
        min_up_h=3.0,
        running=True,
        hours_in_state=1.0,
        fuel_pieces=((inf, 1.0),),
        fuel_usd_per_gal=1.0,
        ramp_kw_per_h=6.0,
    )
    found = best([50] * n, [unit], [price([0.1, 0.1, 0.1], n)])
    # two more hours must be run at least power
    assert (-found.setpoints_kw["gen"]).tolist() == pytest.approx([5.0, 5.0, 0.0])
    found = best([50] * n, [replace(unit, running=False, hours_in_state=inf)], [price([3.0, 3.0, 3.0], n)])
    assert np.diff(-found.setpoints_kw["gen"]).max() <= 6.0 + 1e-6


def test_contradicting_limits_are_named_with_their_time_before_solving() -> None:
    stored = Measure("stored", asset="battery")
    terms: list[Term] = [
        price([0.1, 0.1], 2),
        Limit("resilience", "reserve", stored, "each", lower=15.0),
        Limit("warranty", "ceiling", stored, "each", upper=np.array([20.0, 12.0])),
    ]
    with pytest.raises(ConflictError, match="resilience asks for stored of at least 15") as e:
        best([5, 5], [store(2)], terms)
    assert e.value.owners == ("resilience", "warranty")
    assert e.value.times == ("2018-07-02T01:00:00-07:00",)


def test_unreachable_reserve_names_reserve_and_battery() -> None:
    reserve = Limit(
        "resilience", "reserve", Measure("stored", asset="battery"), "each", lower=np.array([20.0, 0.0])
    )
    with pytest.raises(InfeasibleError) as e:
        best([5, 5], [store(2, energy_start_kwh=0.0)], [price([0.1, 0.1], 2), reserve])
    assert set(e.value.owners) == {"battery", "resilience"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: best([1.0, np.nan], [store(2)], []), "interval 1"),
        (lambda: best([1.0, 1.0], [store(2), store(2)], []), "same name"),
        (lambda: best([1.0, 1.0], [store(3)], []), "boundaries"),
        (lambda: best([1.0], [store(1, energy_min_kwh=np.array([0.0, 30.0]))], []), "energy window is empty"),
        (lambda: best([1.0], [store(1, charge_efficiency_frac=1.2)], []), "efficiency"),
        (lambda: best([1.0], [store(1)], [price([0.1, 0.2], 1)]), "shape"),
        (lambda: best([1.0], [store(1)], [price([0.1], 1), price([0.1], 1)]), "given twice"),
        (
            lambda: best(
                [1.0], [store(1)], [Limit("x", "y", Measure("run", asset="battery"), "sum", upper=1.0)]
            ),
            "no flow",
        ),
        (
            lambda: best([1.0], [store(1)], [Limit("x", "y", Measure("net", asset="gen"), "sum", upper=1.0)]),
            "no asset",
        ),
        (lambda: best([1.0], [store(1)], [Claim("x", "y", "up", np.ones(1), ("gen",))]), "no asset"),
        (
            lambda: best(
                [1.0],
                [store(1)],
                [
                    Payment(
                        "x",
                        "y",
                        Measure("import"),
                        "sum",
                        np.zeros(1, dtype=np.int64),
                        (Block(HoursUse(1.0, "z"), 0.1), Block(inf, 0.0)),
                    )
                ],
            ),
            "no such payment",
        ),
        (
            lambda: best(
                [1.0], [store(1)], [Minimum("x", "y", ("z",), np.zeros(1, dtype=np.int64), np.ones(1))]
            ),
            "member",
        ),
    ],
)
def test_bad_input_says_what_and_where(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_pools_with_unequal_steps_keep_a_valid_bound() -> None:
    n = 4
    day = np.array([0, -1, 0, -1])
    night = np.array([-1, 0, -1, 0])
    pool: list[Term] = [
        Payment("t", "day", Measure("import"), "sum", day, (Block(60.0, 0.3), Block(inf, 0.2)), pool="cycle"),
        Payment(
            "t", "night", Measure("import"), "sum", night, (Block(60.0, 0.1), Block(inf, 0.08)), pool="cycle"
        ),
    ]
    found = best([30, 20, 30, 20], [store(n, energy_end_min_kwh=10.0)], pool)
    assert found.approximations
    day_kwh, night_kwh = found.net_kw[[0, 2]].sum(), found.net_kw[[1, 3]].sum()
    share = 60.0 / (day_kwh + night_kwh)
    rule = day_kwh * (share * 0.3 + (1 - share) * 0.2) + night_kwh * (share * 0.1 + (1 - share) * 0.08)
    assert found.objective_usd == pytest.approx(rule)
    assert found.lower_bound_usd <= rule
    assert rule - found.lower_bound_usd < 2.0


def test_plan_carries_setpoints_bound_and_value_of_stored_energy() -> None:
    found = best([20, 20], [store(2, discharge_efficiency_frac=0.9)], [price([0.1, 0.4], 2)])
    plan = found.plan()
    assert plan.lower_bound_usd == pytest.approx(found.objective_usd)
    assert plan.setpoints_kw["battery"][1] == pytest.approx(-9.0 - 0.9 * 1.1111111, abs=0.1)
    assert found.stored_value_usd_per_kwh["battery"].min() >= 0.0
