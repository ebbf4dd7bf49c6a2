"""Battery: one law of energy in belief and truth, clear refusals, wear and warranty by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from valuestack.assets.battery import Battery
from valuestack.assets.wear.warranty import Warranty
from valuestack.dispatch import Foresight, Record, Series, View, World
from valuestack.timeline import Timeline

TIME = Timeline(start="2019-01-01T00:00", step_h=0.25, n=96, tz="UTC")
WORLD = World(TIME, {"load_kw": Series("load_kw", np.full(96, 100.0), "kW")})


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"soc_min_frac": 0.9, "soc_max_frac": 0.5}, "leaves no window"),
        ({"power_kw": -1}, "power_kw"),
        ({"energy_kwh": 0}, "energy_kwh"),
        ({"charge_efficiency_frac": 1.2, "discharge_efficiency_frac": 0.9}, "charge_efficiency_frac"),
        (
            {
                "round_trip_efficiency_frac": 0.9,
                "charge_efficiency_frac": 0.9,
                "discharge_efficiency_frac": 0.9,
            },
            "not both",
        ),
        ({"charge_efficiency_frac": 0.9}, "give both"),
        ({"soc_start_frac": 0.01, "soc_min_frac": 0.1}, "soc_start_frac"),
        ({"inverter_kva": 10}, "inverter_kva"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_is_refused_by_key(bad: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Battery(**{"power_kw": 100, "energy_kwh": 200, **bad})


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), lanes=st.integers(1, 4), ec=st.floats(0.7, 1), ed=st.floats(0.7, 1))
def test_truth_keeps_energy_and_limits_under_any_setpoint(
    seed: int, lanes: int, ec: float, ed: float
) -> None:
    battery = Battery(
        power_kw=60,
        charge_power_kw=40,
        energy_kwh=100,
        soc_min_frac=0.1,
        soc_max_frac=0.9,
        idle_kw=1.5,
        charge_efficiency_frac=ec,
        discharge_efficiency_frac=ed,
    )
    rng = np.random.default_rng(seed)
    energy = np.full(lanes, battery.start_kwh)
    for k in range(96):
        before = energy
        energy, power = battery.step(before, rng.normal(0, 80, lanes), WORLD, k)
        moved = power - 1.5
        assert (moved <= 40 + 1e-9).all() and (moved >= -60 - 1e-9).all()
        assert (energy >= 10 - 1e-9).all() and (energy <= 90 + 1e-9).all()
        np.testing.assert_allclose(
            energy - before, np.where(moved > 0, moved * ec, moved / ed) * 0.25, atol=1e-9
        )


def test_belief_is_what_truth_does() -> None:
    battery = Battery(power_kw=60, energy_kwh=100, round_trip_efficiency_frac=0.81, idle_kw=2.0)
    view = View(TIME, 0, 96, Foresight(WORLD), {"battery": battery.initial_state()})
    store = battery.belief(view)
    assert store.charge_efficiency_frac == pytest.approx(
        0.9
    ) and store.discharge_efficiency_frac == pytest.approx(0.9)
    assert store.aux_kw is not None and store.aux_kw[0] == 2.0
    assert store.energy_end_min_kwh == store.energy_start_kwh == battery.start_kwh == pytest.approx(52.5)
    part = battery.belief(View(TIME, 0, 48, Foresight(WORLD), {"battery": battery.initial_state()}))
    assert part.energy_end_min_kwh == -np.inf, "only the end of the whole span is tied"
    assert battery.assumptions and "split evenly" in battery.assumptions[0]


def record(battery: Battery, power: np.ndarray) -> Record:
    energy, stored = battery.initial_state(), []
    for k in range(96):
        energy, _ = battery.step(energy, power[k : k + 1], WORLD, k)
        stored.append(float(energy[0]))
    return Record(TIME, np.zeros(96), asset_kw={"battery": power}, stored_kwh={"battery": np.array(stored)})


def test_wear_of_one_deep_cycle_by_hand() -> None:
    battery = Battery(
        power_kw=100,
        energy_kwh=100,
        soc_min_frac=0.0,
        soc_start_frac=1.0,
        charge_efficiency_frac=1.0,
        discharge_efficiency_frac=1.0,
        replacement_usd_per_kwh=300,
        wear_model="nmc-xu-2018",
        warranty=Warranty(years=10, cycles_per_y=365, throughput_mwh=1000),
    )
    power = np.zeros(96)
    power[:4], power[8:12] = -100.0, 100.0
    worn = battery.worn(record(battery, power))
    assert worn.throughput_kwh == pytest.approx(100.0) and worn.full_cycles == pytest.approx(1.0)
    assert worn.life_used_frac == pytest.approx(5.24e-4), "two half cycles of depth 1"
    assert worn.counted_usd == pytest.approx(300 * 100 * 5.24e-4)
    uses = {u.name: u for u in worn.uses}
    assert uses["full cycles"].used_per_y == pytest.approx(365.0) and uses["full cycles"].limit == 365
    assert uses["energy discharged"].limit == pytest.approx(100.0)
    assert uses["energy discharged"].years_to_limit == pytest.approx(1000 / 36.5)
    entry = next(iter(battery.settle(record(battery, power), WORLD)))
    assert entry.layer == 0 and entry.usd == pytest.approx(-15.72) and entry.certainty == "modelled"


def test_first_guess_of_the_wear_price_is_that_of_full_cycles() -> None:
    battery = Battery(
        power_kw=100,
        energy_kwh=200,
        soc_min_frac=0.0,
        replacement_usd_per_kwh=300,
        wear_model="nmc-xu-2018",
        charge_efficiency_frac=0.95,
        discharge_efficiency_frac=0.95,
    )
    assert battery.wear_usd_per_kwh == pytest.approx(300 * 5.24e-4 / 0.95)


def test_size_scales_power_with_its_inverter() -> None:
    big = Battery(power_kw=100, energy_kwh=200, inverter_kva=110, charge_power_kw=50).with_size(200, 500)
    assert (big.power_kw, big.energy_kwh, big.inverter_kva, big.charge_kw) == (200, 500, 220, 100)


def test_backup_is_the_energy_above_the_window() -> None:
    battery = Battery(
        power_kw=100,
        energy_kwh=200,
        soc_min_frac=0.1,
        charge_efficiency_frac=0.9,
        discharge_efficiency_frac=0.9,
    )
    offer = battery.backup(np.array([120.0]))
    assert offer.kw == 100 and offer.kwh == pytest.approx(90.0)


CURVE = (
    {"power_frac": 0.1, "charge_efficiency_frac": 0.80, "discharge_efficiency_frac": 0.82},
    {"power_frac": 0.5, "charge_efficiency_frac": 0.95, "discharge_efficiency_frac": 0.95},
    {"power_frac": 1.0, "charge_efficiency_frac": 0.92, "discharge_efficiency_frac": 0.91},
)


def curved(**more: object) -> Battery:
    return Battery.model_validate({"power_kw": 60, "energy_kwh": 100, "efficiency_curve": CURVE, **more})


def test_curve_by_hand() -> None:
    """30 of 60 kW are half power: 0.95 each way; 6 kW are a tenth: 0.80 in, 0.82 out; 45 kW lie between."""
    battery = curved(soc_min_frac=0.0)
    for power, moved in (
        (30.0, 30 * 0.95),
        (6.0, 6 * 0.80),
        (-30.0, -30 / 0.95),
        (-45.0, -45 / 0.93),
        (3.0, 3 * 0.8),
    ):
        energy, got = battery.step(np.array([50.0]), np.array([power]), WORLD, 0)
        assert got[0] == power and energy[0] == pytest.approx(50 + moved * 0.25)
    ec, ed = battery.efficiencies
    assert 0.92 < ec < 0.95 and 0.91 < ed < 0.95 and "constant" in battery.assumptions[0]
    assert battery.with_size(120, 200).efficiency_curve == battery.efficiency_curve
    assert not battery.truth_is_belief and Battery(power_kw=1, energy_kwh=1).truth_is_belief


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_curve_never_leaves_the_window_and_believed_loss_is_the_mean_of_the_curve(seed: int) -> None:
    battery = curved(soc_min_frac=0.1, soc_max_frac=0.9)
    rng, energy = np.random.default_rng(seed), np.array([50.0, 11.0, 89.0])
    for k in range(96):
        before = energy
        energy, power = battery.step(before, rng.normal(0, 80, 3), WORLD, k)
        assert (energy >= 10 - 1e-9).all() and (energy <= 90 + 1e-9).all()
        stored = (energy - before) / 0.25
        assert (stored <= np.maximum(power, 0) * 0.95 + 1e-6).all(), "no better than its best point"
        assert (stored <= power + 1e-9).all(), "something is always lost"
    at = np.linspace(0, 60, 2001)
    room = np.full(2001, 1e9)
    _, into = battery._along_curve(at, room, room)
    assert into.sum() == pytest.approx(at.sum() * battery.efficiencies[0], rel=1e-3)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"round_trip_efficiency_frac": 0.9}, "not both"),
        ({"efficiency_curve": CURVE[::-1]}, "power_frac must rise"),
        (
            {
                "efficiency_curve": [
                    {"power_frac": 0.5, "charge_efficiency_frac": 0.95, "discharge_efficiency_frac": 0.95},
                    {"power_frac": 1.0, "charge_efficiency_frac": 0.3, "discharge_efficiency_frac": 0.3},
                ]
            },
            "more power would move less",
        ),
    ],
)
def test_curves_that_cannot_be_are_refused(bad: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        curved(**bad)


def test_every_limit_of_the_warranty_is_metered() -> None:
    limits = Warranty(years=10, cycles_per_y=365, cycles_per_day=1, throughput_mwh=400, mean_soc_frac=0.6,
                      min_soc_frac=0.1, max_kw_per_kwh=0.5, min_capacity_frac=0.7)  # fmt: skip
    battery = Battery(
        power_kw=100,
        energy_kwh=100,
        soc_min_frac=0.1,
        soc_start_frac=1.0,
        round_trip_efficiency_frac=1.0,
        warranty=limits,
    )
    power = np.zeros(96)
    power[:2], power[8:10] = -100.0, 100.0
    worn = battery.worn(record(battery, power))
    uses = {u.name: (u.used_per_y, u.limit) for u in worn.uses}
    assert uses["highest power over energy"] == (pytest.approx(1.0), 0.5), "one C where half is warranted"
    assert uses["full cycles a day, mean"] == (pytest.approx(0.5), 1.0)
    lost, allowed = uses["capacity lost after 10 years"]
    assert allowed == pytest.approx(0.3) and 0.3 < lost < 0.45, "resting full wears: over the warranted loss"
    assert lost > worn.fade_frac_per_y
    assert "capacity lost after 10 years" not in {u.name for u in Battery(power_kw=1, energy_kwh=1).worn(
        record(Battery(power_kw=1, energy_kwh=1), np.zeros(96))).uses}  # fmt: skip


def test_a_warranty_that_the_window_leaves_or_that_has_no_term_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"below warranty\.min_soc_frac = 0\.2"):
        Battery(power_kw=1, energy_kwh=1, soc_min_frac=0.1, warranty=Warranty(min_soc_frac=0.2))
    with pytest.raises(ValidationError, match="throughput_mwh is over the warranty's term"):
        Warranty(throughput_mwh=10)
    with pytest.raises(ValidationError, match="min_capacity_frac is over the warranty's term"):
        Warranty(min_capacity_frac=0.7)


def test_fade_outside_the_tested_range_is_said_with_the_wear() -> None:
    cold = Battery(power_kw=100, energy_kwh=100, temperature_c=-20.0, round_trip_efficiency_frac=1.0)
    found = cold.worn(record(cold, np.zeros(96))).findings
    assert [f.kind for f in found] == ["wear_extrapolated"] and "-20" in found[0].what
