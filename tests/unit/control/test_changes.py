"""How often a plant is told something new: what is promised of it under any policy, and what it costs."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from valuestack.assets.battery import Battery
from valuestack.control.changes import CHANGED, FORCED, entries, moved_per_day
from valuestack.control.loop import run
from valuestack.control.policy import Setting
from valuestack.control.threshold import Threshold
from valuestack.dispatch import Plan, Record, Series, View, World
from valuestack.site.site import Setpoints
from valuestack.timeline import Timeline

# Over the end of summer time: the second day has 25 hours.
DAYS = Timeline(start="2026-10-31T00:00", step_h=0.25, n=4 * (24 + 25 + 24), tz="America/New_York")
RESERVE_KWH, SERVICE_KW = 30.0, 260.0


class Wishes:
    """Asks for what it is told to, garbage included."""

    kind: ClassVar[str] = "wishes"

    def __init__(self, kw: list[float]) -> None:
        self.kw = np.resize(np.asarray(kw, dtype=float), DAYS.n)

    def prepare(self, setting: Setting) -> None:
        """Nothing to learn."""

    def decide(self, view: View) -> Plan:
        return Plan({"battery": self.kw[view.k]})


def battery() -> Battery:
    return Battery(power_kw=60.0, energy_kwh=160.0, round_trip_efficiency_frac=0.9, soc_start_frac=0.5)


def load_kw(seed: int = 0) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    return 150.0 + 40.0 * np.sin(np.arange(DAYS.n) / 96 * 2 * np.pi) + rng.uniform(0, 30, DAYS.n)


def held(policy: Any, rules: Setpoints | None, load: Any = None) -> Record:
    world = World(DAYS, {"load_kw": Series("load_kw", load_kw() if load is None else load, "kW", -0.25)})
    return run(
        world, [battery()], policy, import_limit_kw=SERVICE_KW, export_limit_kw=0.0,
        reserve_kwh={"battery": np.full(DAYS.n + 1, RESERVE_KWH)}, setpoints=rules,
    )  # fmt: skip


garbage = st.one_of(
    st.floats(-100, 100), st.sampled_from([0.0, 60.0, -60.0, float("nan"), float("inf"), 1e9])
)


@given(
    st.lists(garbage, min_size=5, max_size=60),
    st.one_of(st.none(), st.integers(1, 30)),
    st.sampled_from([0.0, 0.5, 1.1, 6.0]),
    st.sampled_from([0.0, 5.0, 40.0]),
    st.integers(0, 3),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_wished_the_limits_hold_and_so_do_those_of_safety(
    kw: list[float], most: int | None, dwell_h: float, deadband_kw: float, seed: int
) -> None:
    rules = Setpoints(
        max_changes_per_day=most, min_dwell_h=dwell_h, deadband_kw=deadband_kw, change_cost_usd=0.01
    )
    record = held(Wishes(kw), rules, load_kw(seed))
    on = np.asarray(record.extra[f"battery/{CHANGED}"]) > 0
    days = DAYS.local_date
    if most is not None:
        assert max(on[days == d].sum() for d in np.unique(days)) <= most
    at = np.flatnonzero(on)
    assert (np.diff(at) * DAYS.step_h >= dwell_h - 1e-9).all()
    # The plant moves only where it was told to, or where the guard had to.
    moved = np.abs(np.diff(record.asset_kw["battery"], prepend=0.0)) > 1e-6
    forced = np.asarray(record.extra[f"battery/{FORCED}"]) > 0
    let_go = np.concatenate(([False], forced[:-1]))  # back to what was asked, once nothing forces it
    stood = np.abs(record.asset_kw["battery"]) <= 60.0
    assert stood.all() and not (moved & ~on & ~forced & ~np.logical_or.accumulate(let_go)).any()
    assert record.stored_kwh["battery"].min() >= RESERVE_KWH - 1e-6
    assert record.net_kw.min() >= -1e-6 and record.net_kw.max() <= SERVICE_KW + 1e-6


@given(st.lists(garbage, min_size=5, max_size=60))
@settings(max_examples=20, deadline=None)
def test_a_change_that_only_costs_changes_nothing(kw: list[float]) -> None:
    free, priced = held(Wishes(kw), None), held(Wishes(kw), Setpoints(change_cost_usd=0.5))
    assert (free.net_kw == priced.net_kw).all()
    assert not any(CHANGED in k for k in free.extra), "where nothing is limited, nothing runs"
    assert held(Wishes(kw), Setpoints()).extra.keys() == free.extra.keys()


def test_a_loose_limit_changes_nothing_and_what_changes_cost_is_settled() -> None:
    kw = [0.0, 30.0, 30.0, -20.0, -20.0, -20.0, 0.0, 0.0]
    free, loose = held(Wishes(kw), None), held(Wishes(kw), Setpoints(max_changes_per_day=400))
    assert (free.net_kw == loose.net_kw).all()
    rules = Setpoints(change_cost_usd=0.5)
    record = held(Wishes(kw), rules)
    (entry,) = entries(record, rules)
    told = record.extra[f"battery/{CHANGED}"].sum() + record.extra[f"battery/{FORCED}"].sum()
    assert (
        entry.usd == -0.5 * told and entry.quantity == told and (entry.layer, entry.stream) == (0, "battery")
    )
    assert not list(entries(record, Setpoints())) and not list(entries(free, rules))


def test_less_than_the_deadband_is_not_passed_on() -> None:
    record = held(Wishes([0.0, 4.0, -4.0, 3.0, 20.0, 24.0, 17.0]), Setpoints(deadband_kw=5.0))
    power = record.asset_kw["battery"]
    assert set(np.round(power[:8], 9)) == {0.0, 20.0} and power[3] == 0.0 and power[6] == 20.0


def test_a_tighter_limit_moves_less_and_a_peak_comes_before_what_can_wait() -> None:
    load = np.full(DAYS.n, 150.0)
    load[40:44] = load[56:60] = 200.0
    many = np.where(load > 150.0, -50.0, np.where(np.arange(DAYS.n) % 2, 10.0, 5.0))
    rows = [
        held(Wishes(list(many)), None if m is None else Setpoints(max_changes_per_day=m), load)
        for m in (None, 24, 8)
    ]
    moves = [moved_per_day(r) for r in rows]
    assert moves[0] > moves[1] > moves[2]
    day = slice(0, 96)
    assert [float(r.net_kw[day].max()) for r in rows[:2]] == pytest.approx([160.0, 160.0], abs=6.0)


def test_limits_are_seen_by_every_lane_by_itself() -> None:
    loads = np.stack([load_kw(s) for s in range(3)])
    world = World(DAYS, {"load_kw": Series("load_kw", loads, "kW", -0.25)})
    rules = Setpoints(max_changes_per_day=6)
    together = run(world, [battery()], Threshold(), setpoints=rules)
    for i in range(3):
        alone = run(
            World(DAYS, {"load_kw": Series("load_kw", loads[i], "kW", -0.25)}),
            [battery()],
            Threshold(),
            setpoints=rules,
        )
        np.testing.assert_allclose(together.net_kw[i], alone.net_kw, atol=1e-9)
        assert (together.extra[f"battery/{CHANGED}"][i] == alone.extra[f"battery/{CHANGED}"]).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"deadband_kw": -1.0},
        {"min_dwell_h": 30.0},
        {"max_changes_per_day": 0},
        {"change_cost_usd": float("inf")},
        {"dwell": 1},
    ],
)
def test_a_wrong_limit_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Setpoints(**wrong)  # type: ignore[arg-type]
