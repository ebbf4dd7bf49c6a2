"""Battery: losses by state of charge in truth, their mean in belief; what is left of it after years of use."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from valuestack.assets.battery import Battery
from valuestack.dispatch import Foresight, Record, Series, View, World
from valuestack.errors import InputError
from valuestack.timeline import Timeline

N = 96
TIME = Timeline("2019-01-01T00:00", 0.25, N, "UTC")
WORLD = World(TIME, {"load_kw": Series("load_kw", np.full(N, 100.0), "kW")})
NEARLY_EMPTY = [
    {"soc_frac": 0.1, "charge_loss_factor": 1.0, "discharge_loss_factor": 2.0},
    {"soc_frac": 0.3, "charge_loss_factor": 1.0, "discharge_loss_factor": 1.0},
]


def trace(battery: Battery, power_kw: Any) -> tuple[np.ndarray, np.ndarray]:
    state, stored, power = battery.initial_state(), [], []
    for k in range(N):
        state, kw = battery.step(state, np.array([power_kw[k]]), WORLD, k)
        stored.append(float(state[0]))
        power.append(float(kw[0]))
    return np.array(stored), np.array(power)


def test_losses_follow_the_state_of_charge_by_hand() -> None:
    battery = Battery(
        power_kw=40,
        energy_kwh=100,
        soc_min_frac=0.0,
        soc_start_frac=0.5,
        charge_efficiency_frac=0.9,
        discharge_efficiency_frac=0.9,
        loss_by_soc=NEARLY_EMPTY,
    )
    for soc, loss in ((0.5, 0.1), (0.2, 0.15), (0.1, 0.2)):
        after, power = battery.step(np.array([100 * soc]), np.array([-8.0]), WORLD, 0)
        assert power[0] == pytest.approx(-8.0)
        assert 100 * soc - after[0] == pytest.approx(8.0 * 0.25 / (1 - loss))
    assert not battery.truth_is_belief and "mean over the window" in " ".join(battery.assumptions)
    ec, ed = battery.efficiencies
    assert ec == pytest.approx(0.9) and 0.85 < ed < 0.9
    # Energy is kept: what left the store arrived at the meter but for the losses.
    stored, power = trace(battery, np.full(N, -20.0))
    assert stored[-1] == pytest.approx(0.0, abs=1e-6) and -power.sum() * 0.25 < 50 * 0.9


def test_capacity_left_moves_the_window_and_the_warranty_keeps_the_nameplate() -> None:
    new = Battery(power_kw=50, energy_kwh=200, soc_min_frac=0.1, round_trip_efficiency_frac=0.9)
    old = Battery.model_validate({**new.model_dump(), "capacity_frac": 0.8})
    assert old.window_kwh == (pytest.approx(16.0), pytest.approx(160.0))
    view = View(TIME, 0, N, Foresight(WORLD), {"battery": old.initial_state()})
    assert old.belief(view).energy_max_kwh[0] == pytest.approx(160.0)
    stored, _ = trace(old, np.where(np.arange(N) % 48 < 24, 50.0, -50.0))
    assert stored.max() == pytest.approx(160.0) and stored.min() == pytest.approx(16.0)
    assert old.energy_kwh == 200


def test_aged_is_the_fade_of_its_own_use() -> None:
    battery = Battery(
        power_kw=50, energy_kwh=100, round_trip_efficiency_frac=0.9, wear_model="lfp-linear", wear="flat"
    )
    stored, power = trace(battery, np.where(np.arange(N) % 48 < 24, 50.0, -50.0))
    record = Record(TIME, np.zeros(N), asset_kw={"battery": power}, stored_kwh={"battery": stored})
    one, five = battery.aged(record, 1.0), battery.aged(record, 5.0)
    assert 1 > one.capacity_frac > five.capacity_frac > 0.5
    worn = battery.worn(record)
    assert worn.fade_frac_per_y == pytest.approx(1 - one.capacity_frac)
    with pytest.raises(InputError, match="nothing of its capacity"):
        battery.aged(record, 200.0)


@pytest.mark.parametrize(
    ("points", "says"),
    [
        (NEARLY_EMPTY[::-1], "must rise"),
        ([{"soc_frac": 0.1, "charge_loss_factor": 10, "discharge_loss_factor": 10}], "next to nothing"),
    ],
)
def test_what_cannot_be_is_refused(points: Any, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Battery(power_kw=50, energy_kwh=100, round_trip_efficiency_frac=0.81, loss_by_soc=points)
