"""Whatever a forecaster or a belief says, what must hold holds: floor, power, energy, interconnection, dwell. The plan
goes on, and the run says what could not be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.control.test_calls import regulation, response
from tests.unit.control.test_loop import battery, load, tariff, world
from tests.unit.control.test_shared_peaks import engine
from valuestack.control import loop
from valuestack.control.aggregator_primary import AggregatorPrimary
from valuestack.control.changes import CHANGED
from valuestack.control.dynamic import Dynamic
from valuestack.control.guard import reachable_floor
from valuestack.control.persistence_mpc import PersistenceMpc
from valuestack.control.promises import belief_of
from valuestack.control.utility_first import UtilityFirst
from valuestack.dispatch import Belief, Series, World
from valuestack.forecast.similar_day import SimilarDay
from valuestack.site.site import Setpoints
from valuestack.streams.grid.enrolment import Call as Event
from valuestack.streams.grid.regulation import Leg
from valuestack.timeline import Kw, Timeline

T = Timeline(start="2026-11-09T00:00", step_h=0.25, n=96 * 4, tz="America/New_York")
ODD = (np.nan, np.inf, -np.inf, 1e9, -1e9, 1e6, -1e6, 0.0)
SORTS = ("rows", "values", "stale", "short", "long", "one", "words", "negative")
UNUSABLE = ("rows", "values", "short", "one", "words")
SHARE = ("regulation/up",)
EVENTS = (
    Event(start="2026-11-11T17:00", hours=2.0, notice_h=20.0),
    Event(start="2026-11-12T12:00", hours=1.0),
)


@dataclass(frozen=True)
class Garbage:
    """Similar days, and now and then garbage of one sort. often: share of answers."""

    sort: str
    seed: int
    often: float
    kind: ClassVar[str] = "garbage"

    def predict(self, past: Kw, timeline: Timeline, n: int) -> Any:
        """Something else every time, by the moment alone."""
        rng = np.random.default_rng((self.seed, past.size))
        good = SimilarDay().predict(past, timeline, n)
        if rng.random() >= self.often:
            return good
        if self.sort == "rows":
            return np.full(n, rng.choice(ODD[:5]))
        if self.sort == "values":
            return np.where(rng.random(n) < 0.3, rng.choice(ODD, n), good)
        if self.sort == "stale":
            return np.resize(np.full(96, 137.0), n)
        if self.sort == "negative":
            return -30.0 * good
        return {"short": good[: n // 2], "long": np.append(good, good), "one": 5.0}.get(self.sort, "no data")


@dataclass(frozen=True)
class Poisoned:
    """A belief that is now and then poisoned."""

    inner: Belief
    seed: int
    often: float

    def series(self, name: str, *, first: int, n: int, as_of: int) -> Kw:
        """See Belief."""
        said = np.array(self.inner.series(name, first=first, n=n, as_of=as_of), dtype=float)
        rng = np.random.default_rng((self.seed, first, as_of))
        if rng.random() < self.often:
            said[..., rng.random(n) < 0.5] = rng.choice(ODD)
        return said


def commander(seed: int) -> AggregatorPrimary:
    """Method C under a counterparty whose wishes are anything at all."""
    rng = np.random.default_rng(seed)
    some = np.where(rng.random(T.n) < 0.5, rng.choice([*ODD, 40.0, -40.0], T.n), np.nan)
    awards = {f"regulation/{side}": rng.choice([*ODD, 20.0], T.n) for side in ("up", "down")}
    return AggregatorPrimary(setpoints_kw={"battery": some}, awards_kw=awards)


FEW: dict[str, Any] = {
    "weighed": 2,
    "least_days": 0,
    "parts": 1,
    "group_h": 6.0,
    "scenarios": 3,
    "horizon_h": 12.0,
}
FEW["ahead_h"] = 24.0


def priced(kw: Kw, seed: int) -> World:
    rng = np.random.default_rng(seed)
    usd = Series("rmccp", 0.02 + 0.05 * rng.random(T.n), "USD/kWh", 24.0)
    return World(T, {**world(T, kw).series, "rmccp": usd})


def method(which: str, forecaster: Any, seed: int) -> Any:
    if which == "A":
        return UtilityFirst(forecaster, **FEW)
    if which == "B":
        return Dynamic(forecaster, layers=FEW)
    if which == "B on the tariff":
        return Dynamic(forecaster, scenarios=3, reach_days=5)
    if which == "persistence":
        return PersistenceMpc(days=1)
    return commander(seed)


def check(record: Any, kw: Kw, asset: Any, floor: Kw, cap: float) -> None:
    """Limits hold in every interval; the reserve does once it was viable."""
    low, high = asset.window_kwh
    stored, power, net = record.stored_kwh["battery"], record.asset_kw["battery"], record.net_kw
    assert np.isfinite(power).all() and np.isfinite(stored).all() and np.isfinite(net).all()
    assert (np.abs(power) <= 80 + 1e-6).all()
    assert (stored >= low - 1e-6).all() and (stored <= high + 1e-6).all()
    assert (net >= np.minimum(kw, 0.0) - 1e-6).all(), "nothing is fed in"
    assert (net <= np.maximum(kw, cap) + 1e-6).all()
    before = np.concatenate(([asset.start_kwh], stored))
    walked = reachable_floor(floor, asset.charge_kw, asset.efficiencies[0], T.step_h, low)
    under = before < walked - 1e-6
    if cap == np.inf:
        assert not under[int(np.argmin(under)) :].any(), "once viable, the reserve stays kept"


MOST_A_DAY = st.sampled_from([None, 3, 12])
CASES: dict[str, Any] = {
    "seed": st.integers(0, 100_000),
    "sort": st.sampled_from(SORTS),
    "often": st.sampled_from([0.05, 0.5, 1.0]),
    "reserve": st.floats(0.0, 0.6),
    "start": st.floats(0.1, 1.0),
    "cap": st.sampled_from([np.inf, 340.0]),
}


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(
    which=st.sampled_from(["A", "B", "C"]),
    poison=st.sampled_from([0.0, 0.3, 1.0]),
    most=MOST_A_DAY,
    hold=st.sampled_from([0.0, 1.0]),
    **CASES,
)
def test_limits_hold_under_garbage_with_calls(
    which: str,
    poison: float,
    most: int | None,
    hold: float,
    seed: int,
    sort: str,
    often: float,
    reserve: float,
    start: float,
    cap: float,
) -> None:
    kw, asset = load(T, seed), battery(soc_start_frac=start)
    low, high = asset.window_kwh
    floor = np.full(T.n + 1, low)
    floor[100:] = low + reserve * (high - low)
    w = priced(kw, seed)
    streams = [
        regulation(
            up=Leg(capability_usd_per_kw_h="rmccp"), signal_up_frac=0.2, signal_down_frac=0.3, sustain_h=0.5
        ),
        response(events=EVENTS, assets=("battery",), hold_frac=hold, hold_h=1.0, may_share=SHARE),
    ]
    notes: list[str] = []
    record = loop.run(
        w,
        [asset],
        method(which, Garbage(sort, seed, often), seed),
        tariff(T),
        streams=streams,
        belief=Poisoned(belief_of(w, streams), seed, poison),
        reserve_kwh={"battery": floor},
        import_limit_kw=cap,
        notes=notes,
        setpoints=None if most is None else Setpoints(max_changes_per_day=most, min_dwell_h=1.0),
    )
    check(record, kw, asset, floor, cap)
    if most is not None:
        changed = np.flatnonzero(record.extra[f"battery/{CHANGED}"])
        assert np.bincount(T.day[changed] - T.day[0], minlength=1).max() <= most
        assert (np.diff(changed) >= 4).all(), "an hour's dwell"
    for name in ("regulation/up", "regulation/down"):
        held, awarded = record.extra[name], record.extra[f"{name} awarded"]
        assert (held >= 0).all() and (held <= awarded + 1e-9).all() and (awarded <= 60.0 + 1e-9).all()
    said = " ".join(notes)
    if which != "C":
        assert ("garbage forecast could not be used" in said) or sort not in UNUSABLE
        assert ("belief of" in said) or poison < 1.0


@pytest.mark.slow
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10**5), sort=st.sampled_from(SORTS), poison=st.sampled_from([0.0, 0.5]))
def test_limits_hold_under_garbage_beside_an_engine(seed: int, sort: str, poison: float) -> None:
    """All assets in one plan, which a solver is asked for: what it cannot solve is said, and the last plan goes on."""
    t, asset = T.part(0, 96 * 3), battery()
    kw = load(t, seed)
    w = world(t, kw)
    streams = [regulation(signal_up_frac=0.2, sustain_h=0.5), response(events=EVENTS[:1], nomination_kw=20.0)]
    policy = Dynamic(Garbage(sort, seed, 0.5), layers=FEW)
    notes: list[str] = []
    record = loop.run(
        w,
        [asset, engine()],
        policy,
        tariff(t),
        streams=streams,
        belief=Poisoned(belief_of(w, streams), seed, poison),
        import_limit_kw=340.0,
        notes=notes,
    )
    low, high = asset.window_kwh
    stored, made = record.stored_kwh["battery"], record.asset_kw["generator"]
    assert np.isfinite(record.net_kw).all() and np.isfinite(made).all()
    assert (made <= 1e-9).all() and (made >= -50.0 - 1e-6).all()
    assert (np.abs(record.asset_kw["battery"]) <= 80 + 1e-6).all()
    assert (stored >= low - 1e-6).all() and (stored <= high + 1e-6).all()
    assert (record.net_kw >= -1e-6).all() and (record.net_kw <= np.maximum(kw, 340.0) + 1e-6).all()
    assert any("garbage forecast could not be used" in n for n in notes) == (sort in UNUSABLE)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(which=st.sampled_from(["B on the tariff", "A", "persistence"]), telemetry=st.booleans(), **CASES)
def test_limits_hold_under_garbage_on_the_tariff(
    which: str, telemetry: bool, seed: int, sort: str, often: float, reserve: float, start: float, cap: float
) -> None:
    kw, asset = load(T, seed), battery(soc_start_frac=start)
    low, high = asset.window_kwh
    floor = np.full(T.n + 1, low)
    floor[100:] = low + reserve * (high - low)
    found = []
    for compiled in (True, False):
        notes: list[str] = []
        record = loop.run(
            world(T, kw),
            [asset],
            method(which, Garbage(sort, seed, often), seed),
            tariff(T),
            reserve_kwh={"battery": floor},
            import_limit_kw=cap,
            notes=notes,
            telemetry=telemetry,
            compiled=compiled,
        )
        check(record, kw, asset, floor, cap)
        said = [n for n in notes if "could not be used" in n]
        assert bool(said) == (sort in UNUSABLE and which != "persistence")
        found.append((np.asarray(record.net_kw), said))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=0, atol=1e-9)
    assert found[0][1] == found[1][1], "compiled or not, the run says the same"
