"""Marginal and average kept apart; a battery may emit; scope 2 both ways; the 24/7 score by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.kinds.case import Case, FlatRate, PlainBattery
from tests.kinds.case import metered as planned
from tests.kinds.case import world as small_world
from tests.unit.streams.environment.records import metered
from valuestack.dispatch import Series, World
from valuestack.errors import ConflictError, InputError
from valuestack.stack.optimise import optimise_view
from valuestack.streams.environment.carbon import Carbon
from valuestack.streams.environment.environment import KG_PER_LB, refuse_double_claims
from valuestack.streams.environment.rec import Rec
from valuestack.streams.stream import Place, ValueStream


def test_avoided_is_marginal_and_inventory_is_average() -> None:
    """Load 10, 10; battery charges 4, gives 3. Marginal 0.5, 0.9: avoided -4 x 0.5 + 3 x 0.9 = 0.7. Average 0.3, 0.4:
    14 x 0.3 + 7 x 0.4 = 7.0."""
    record, world = metered(
        {"bess": [4.0, -3.0]},
        load_kw=[10.0, 10.0],
        stores=["bess"],
        series={"mer": ([0.5, 0.9], "kg/kWh"), "avg": ([0.3, 0.4], "kg/kWh")},
    )
    found = Carbon(marginal_kg_per_kwh="mer", average_kg_per_kwh="avg").inventory(record, world)
    assert found.avoided_kg == pytest.approx(0.7) and found.location_kg == pytest.approx(7.0)
    assert found.by_asset_kg["bess"] == pytest.approx(-0.7)


def test_a_battery_may_emit_by_its_losses_alone() -> None:
    record, world = metered({"bess": [10.0, -8.1]}, load_kw=[20.0, 20.0], stores=["bess"])
    found = Carbon(marginal_kg_per_kwh=0.5).inventory(record, world)
    assert found.by_asset_kg["bess"] == pytest.approx(0.5 * 1.9) and found.avoided_kg == pytest.approx(-0.95)


def test_pounds_are_converted_and_other_units_refused() -> None:
    record, world = metered({"pv": [-2.0]}, load_kw=[5.0], series={"avert": ([1.5], "lb/kWh")})
    found = Carbon(marginal_kg_per_kwh="avert").inventory(record, world)
    assert found.avoided_kg == pytest.approx(2 * 1.5 * KG_PER_LB)
    record, world = metered({"pv": [-2.0]}, load_kw=[5.0], series={"x": ([1.5], "USD/kWh")})
    with pytest.raises(InputError, match="no emission factor"):
        Carbon(marginal_kg_per_kwh="x").inventory(record, world)


def test_market_based_inventory_counts_sold_certificates_as_residual_mix() -> None:
    """Load 10, sun 6, import 4, residual 0.6. Certificates kept: 4 x 0.6; sold: (4 + 6) x 0.6; 5 bought: 5 x 0.6."""
    record, world = metered({"pv": [-6.0]}, load_kw=[10.0])
    base = {"average_kg_per_kwh": 0.4, "residual_kg_per_kwh": 0.6, "assets": ("pv",)}
    kept = Carbon(**base, retain_frac=1.0).inventory(record, world)  # type: ignore[arg-type]
    sold = Carbon(**base, retain_frac=0.0).inventory(record, world)  # type: ignore[arg-type]
    assert kept.market_kg == pytest.approx(2.4) and sold.market_kg == pytest.approx(6.0)
    assert kept.location_kg == sold.location_kg == pytest.approx(1.6)
    bought = Carbon(**base, certificates_mwh=0.005 * 8760).inventory(record, world)  # type: ignore[arg-type]
    assert bought.market_kg == pytest.approx(5 * 0.6)


def test_keeping_and_selling_the_same_certificate_is_refused() -> None:
    keep = Carbon(average_kg_per_kwh=0.4, assets=("pv",), retain_frac=0.5)
    refuse_double_claims([keep, Rec(assets=("pv",), usd_per_mwh=9.0, share_frac=0.5)])
    with pytest.raises(ConflictError, match="own use"):
        refuse_double_claims([keep, Rec(assets=("pv",), usd_per_mwh=9.0, share_frac=0.6)])


def test_score_by_hand() -> None:
    """Load 10 each of 4 hours; sun 30, 0, 5, 0; store takes 12 in hour 0, gives 9 in hour 1 (efficiency 0.75).
    Hourly: 10 + 9 + 5 + 0 = 24 of 40. Over the whole span: supply 30 - 12 + 9 + 5 = 32 of 40."""
    record, world = metered(
        {"pv": [-30.0, 0.0, -5.0, 0.0], "bess": [12.0, -9.0, 0.0, 0.0]}, load_kw=10.0, stores=["bess"]
    )
    found = Carbon(assets=("pv",), stores=("bess",), round_trip_efficiency_frac=0.75).inventory(record, world)
    assert found.score_frac == pytest.approx(24 / 40) and found.matched_year_frac == pytest.approx(32 / 40)
    with_grid = Carbon(assets=("pv",), grid_cfe_frac=0.5).inventory(*metered({"pv": [-4.0]}, load_kw=[10.0]))
    assert with_grid.score_frac == pytest.approx(0.7)


def test_fuel_burnt_on_site_is_scope_1() -> None:
    record, world = metered({"gen": [-10.0]}, load_kw=[10.0], extra={"gen/fuel_gal": [2.0]})
    assert Carbon().inventory(record, world).scope1_kg == pytest.approx(20.42)


def test_nothing_is_paid_unless_priced() -> None:
    record, world = metered({"pv": [-2.0]}, load_kw=[5.0])
    free = Carbon(marginal_kg_per_kwh=0.5, average_kg_per_kwh=0.4)
    assert list(free.settle(record, world)) == [] and isinstance(free, ValueStream)
    paid = Carbon(
        marginal_kg_per_kwh=0.5,
        average_kg_per_kwh=0.4,
        avoided_usd_per_t=100.0,
        offset_usd_per_t=20.0,
        offset_frac=0.5,
    )
    avoided, offsets = paid.settle(record, world)
    assert avoided.usd == pytest.approx(2 * 0.5 / 1000 * 100) and offsets.usd == pytest.approx(
        -3 * 0.4 / 1000 * 20 * 0.5
    )
    for bad, why in (({"avoided_usd_per_t": 1.0}, "marginal"), ({"offset_usd_per_t": 1.0}, "average")):
        with pytest.raises(ValueError, match=why):
            Carbon(**bad)  # type: ignore[arg-type]


def test_objective_is_settlement_with_factors_in_pounds() -> None:
    around = small_world([20, 60, 30, 40])
    series = dict(around.series)
    series["mer"] = Series("mer", np.array([800.0, 2400.0, 100.0, 1500.0]), "lb/MWh")
    series["avg"] = Series("avg", np.array([0.3, 0.4, 0.2, 0.5]), "kg/kWh")
    around = World(around.timeline, series)
    assets = [PlainBattery()]
    carbon = Carbon(
        marginal_kg_per_kwh="mer", average_kg_per_kwh="avg", avoided_usd_per_t=150.0, offset_usd_per_t=40.0
    ).bind(Place(around.timeline, assets, around))
    case = Case(around, [carbon, FlatRate()], assets)
    plan = optimise_view(case.view(), assets, case.streams, method="highs", gap=1e-9)
    settled = sum(e.usd for e in carbon.settle(planned(plan), around))
    stated = sum(v for k, v in plan.term_usd.items() if k.startswith("carbon/"))
    assert -settled == pytest.approx(stated, abs=1e-7)
    idle = optimise_view(Case(around, case.streams, []).view(), [], case.streams, method="highs", gap=1e-9)
    assert plan.objective_usd < idle.objective_usd - 0.1


def test_it_says_whose_emissions_it_covers_and_what_of_them_is_priced() -> None:
    record, world = metered({"bess": [1.0, -0.9]}, load_kw=5.0, stores=["bess"])
    inventory = Carbon(average_kg_per_kwh=0.2, source="by hand")
    said = inventory.report(record, world).sentences[0]
    assert "all that the meter draws" in said and "with bess as the plan runs them" in said
    assert "no asset is named whose certificates are kept" in said and "no dollar hangs on it" in said
    assert inventory.report(record, world).to_dict()["covers"] == said
    assert any("no assets are named" in a for a in inventory.assumptions)
    paid = Carbon(average_kg_per_kwh=0.2, offset_usd_per_t=30.0, offset_frac=0.5, source="by hand")
    assert "Priced: 50% of the location-based inventory at $30.00/t" in paid.report(record, world).covers


@pytest.mark.data
def test_one_region_of_marginal_rates_shows_a_battery_that_emits(data_dir: Path) -> None:
    """AVERT 2023: charging at night and giving by day avoids little where the margin is alike; losses then emit."""
    import pyarrow.parquet as pq

    table = pq.read_table(data_dir / "emissions" / "avert_2023_co2_lb_per_kwh_8760.parquet").to_pandas()
    region = next(c for c in table.columns if c != "Timestamp")
    rate = table[region].to_numpy(dtype=float)
    kw = np.tile(np.r_[np.full(4, 1.0), np.zeros(12), np.full(4, -0.81), np.zeros(4)], 365)
    record, world = metered(
        {"bess": kw.tolist()}, load_kw=5.0, stores=["bess"], start="2023-01-01T00:00", tz="Etc/GMT+5",
        series={"avert": (rate.tolist(), "lb/kWh")},
    )  # fmt: skip
    found = Carbon(marginal_kg_per_kwh="avert").inventory(record, world)
    by_hand = float((kw * rate).sum()) * KG_PER_LB
    assert found.by_asset_kg["bess"] == pytest.approx(by_hand) and by_hand > 0
