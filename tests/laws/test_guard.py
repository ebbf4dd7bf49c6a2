"""The guard under any setpoint at all: what must hold always, what must hold where it can, and that it keeps out."""

from __future__ import annotations

from math import inf

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from valuestack.control.guard import Guard, guard_for, reachable_floor
from valuestack.flows import Store
from valuestack.timeline import Kw

N, STEP_H = 24, 0.25

stores = st.builds(
    lambda kw_in, kw_out, low, span, ec, ed: Store(
        "b", np.full(N, kw_in), np.full(N, kw_out), np.full(N + 1, low), np.full(N + 1, low + span), low + span / 2,
        ec, ed,
    ),
    st.floats(5, 80), st.floats(5, 80), st.floats(0, 30), st.floats(5, 150), st.floats(0.7, 1), st.floats(0.7, 1),
)  # fmt: skip
wishes = st.lists(
    st.sampled_from([np.nan, inf, -inf, 1e12, -1e12, 0.0]) | st.floats(-100, 100), min_size=N, max_size=N
)
loads = st.lists(st.floats(-60, 150), min_size=N, max_size=N)
shares = st.lists(st.floats(0, 1), min_size=N + 1, max_size=N + 1)


def walk(guard: Guard, store: Store, load: list[float], wish: list[float], start_kwh: float) -> tuple[Kw, Kw]:
    """Guarded power (n,) and energy at boundaries (n + 1,)."""
    power, energy = np.zeros(N), np.full(N + 1, start_kwh)
    for k in range(N):
        got = guard.project(k, np.array([load[k]]), {"b": energy[k : k + 1]}, {"b": np.array([wish[k]])})
        p = power[k] = float(got["b"][0])
        moved = p * store.charge_efficiency_frac if p > 0 else p / store.discharge_efficiency_frac
        energy[k + 1] = energy[k] + moved * STEP_H
    return power, energy


@settings(max_examples=60, deadline=None)
@given(store=stores, load=loads, wish=wishes, floor=shares, most_in=st.floats(50, 200), most_out=st.floats(0, 50),
       begin=st.floats(0, 1))  # fmt: skip
def test_asset_and_interconnection_hold_under_anything(
    store: Store, load: list[float], wish: list[float], floor: list[float],
    most_in: float, most_out: float, begin: float,
) -> None:  # fmt: skip
    low, high = store.energy_min_kwh[0], store.energy_max_kwh[0]
    reserve = low + np.array(floor) * (high - low)
    guard = guard_for([store], N, STEP_H, most_in, most_out, {"b": reserve})
    power, energy = walk(guard, store, load, wish, low + begin * (high - low))
    assert np.isfinite(power).all()
    assert (power <= store.charge_max_kw + 1e-9).all() and (power >= -store.discharge_max_kw - 1e-9).all()
    assert (energy >= low - 1e-6).all() and (energy <= high + 1e-6).all()
    # The store never breaks a limit that the site alone would keep, nor makes a broken one worse.
    net, alone = np.array(load) + power, np.array(load)
    assert (net <= np.maximum(most_in, alone) + 1e-6).all()
    exports = net < -most_out - 1e-6
    assert (power[exports] >= -1e-9).all() and (net[exports] >= alone[exports] - 1e-9).all()


@settings(max_examples=80, deadline=None)
@given(store=stores, load=loads, wish=wishes, floor=shares, most_in=st.floats(50, 200), most_out=st.floats(0, 50),
       begin=st.floats(0, 1))  # fmt: skip
def test_one_lane_is_any_lane_to_the_last_bit(
    store: Store, load: list[float], wish: list[float], floor: list[float],
    most_in: float, most_out: float, begin: float,
) -> None:  # fmt: skip
    """One lane is projected by compiled code, several by arrays."""
    low, high = store.energy_min_kwh[0], store.energy_max_kwh[0]
    reserve = low + np.array(floor) * (high - low)
    one, two = (guard_for([store], N, STEP_H, most_in, most_out, {"b": reserve}) for _ in range(2))
    energy = low + begin * (high - low)
    for k in range(N):
        a = one.project(k, np.array([load[k]]), {"b": np.array([energy])}, {"b": np.array([wish[k]])})["b"]
        b = two.project(k, np.full(2, load[k]), {"b": np.full(2, energy)}, {"b": np.full(2, wish[k])})["b"]
        assert a.shape == (1,) and (b == a[0]).all()
        p = float(a[0])
        energy += (
            p * store.charge_efficiency_frac if p > 0 else p / store.discharge_efficiency_frac
        ) * STEP_H
    assert one.interventions == two.interventions and one.below == two.below


@settings(max_examples=60, deadline=None)
@given(store=stores, load=loads, wish=wishes, floor=shares, begin=st.floats(0, 1))
def test_reserve_is_kept_where_it_can_be_and_won_back_where_it_cannot(
    store: Store, load: list[float], wish: list[float], floor: list[float], begin: float
) -> None:
    low, high = store.energy_min_kwh[0], store.energy_max_kwh[0]
    reserve = low + np.array(floor) * (high - low)
    start = low + begin * (high - low)
    walked = reachable_floor(reserve, store.charge_max_kw, store.charge_efficiency_frac, STEP_H, low)
    guard = guard_for([store], N, STEP_H, inf, inf, {"b": reserve})
    power, energy = walk(guard, store, load, wish, start)
    full = np.minimum(store.charge_max_kw, (high - energy[:-1]) / store.charge_efficiency_frac / STEP_H)
    lost = walked[1:] > energy[:-1] + full * store.charge_efficiency_frac * STEP_H + 1e-9
    assert (power[lost] >= full[lost] - 1e-6).all(), "full power while the floor is out of reach"
    back = np.flatnonzero(energy >= walked - 1e-6)
    if not back.size:
        assert lost.all()
        return
    assert (energy[back[0] :] >= reserve[back[0] :] - 1e-6).all(), "once viable, always viable"
    hours = guard.hours_to_floor("b", 0, start)
    assert hours == 0.0 or back[0] > 0
    assert (back[0] - 1) * STEP_H - 1e-6 <= hours <= back[0] * STEP_H + 1e-6, "it says when it is back"


@settings(max_examples=60, deadline=None)
@given(store=stores, load=loads, wish=wishes, floor=shares, most_in=st.floats(50, 200), most_out=st.floats(0, 50),
       begin=st.floats(0, 1))  # fmt: skip
def test_what_is_allowed_passes_unchanged(
    store: Store, load: list[float], wish: list[float], floor: list[float],
    most_in: float, most_out: float, begin: float,
) -> None:  # fmt: skip
    low, high = store.energy_min_kwh[0], store.energy_max_kwh[0]
    reserve = low + np.array(floor) * (high - low)
    start = low + begin * (high - low)
    once, _ = walk(guard_for([store], N, STEP_H, most_in, most_out, {"b": reserve}), store, load, wish, start)
    again = guard_for([store], N, STEP_H, most_in, most_out, {"b": reserve})
    twice, _ = walk(again, store, load, once.tolist(), start)
    np.testing.assert_allclose(twice, once, atol=1e-6)


@settings(max_examples=100, deadline=None)
@given(floor=shares, charge=st.floats(1, 80))
def test_floor_is_the_least_from_which_all_later_floors_are_reached(
    floor: list[float], charge: float
) -> None:
    asked = 100 * np.array(floor)
    found = reachable_floor(asked, charge, 0.9, STEP_H, 10.0)
    gain = charge * 0.9 * STEP_H
    for t in range(N + 1):
        needed = [asked[u] - gain * (u - t) for u in range(t, N + 1)]
        lifted = [10.0 - gain * (u - t) for u in range(t, N + 1)]
        assert abs(found[t] - max([*needed, *lifted])) < 1e-9
