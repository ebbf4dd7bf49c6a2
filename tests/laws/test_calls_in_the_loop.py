"""Methods A and B with calls: no future reaches the past, and what is promised never breaks what must hold."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.control.test_calls import regulation, response
from tests.unit.control.test_loop import battery, load, tariff, world
from valuestack.control import loop
from valuestack.control.aggregator_primary import AggregatorPrimary
from valuestack.control.dynamic import Dynamic
from valuestack.control.guard import reachable_floor
from valuestack.control.policy import Setting
from valuestack.control.promises import belief_of
from valuestack.control.utility_first import UtilityFirst
from valuestack.dispatch import Plan, View
from valuestack.streams.grid.enrolment import Call as Event
from valuestack.streams.grid.regulation import Regulation
from valuestack.timeline import Timeline

pytestmark = pytest.mark.slow

T = Timeline(start="2026-11-09T00:00", step_h=0.25, n=96 * 6, tz="America/New_York")
EVENTS = (
    Event(start="2026-11-12T17:00", hours=2.0, notice_h=20.0),
    Event(start="2026-11-14T17:00", hours=1.0, notice_h=20.0),
)
METHODS = {
    "A": lambda: UtilityFirst(weighed=2, least_days=0, parts=1, group_h=4.0),
    "B": lambda: Dynamic(layers={"weighed": 2, "least_days": 0, "parts": 1, "group_h": 4.0}),
}


@pytest.mark.parametrize("method", list(METHODS))
def test_the_future_never_reaches_a_decision(method: str) -> None:
    """Other loads and other calls from the cut on: setpoints, awards and answers before it are the same to the bit."""
    cut = 96 * 4 + 37
    kw = load(T, 5)
    other = kw.copy()
    other[cut:] = 40.0 + np.arange(T.n - cut) % 50
    seen = []
    for series, events in ((kw, EVENTS), (other, EVENTS[:1])):
        streams = [response(events=events), regulation()]
        w = world(T, series)
        policy = METHODS[method]()
        record = loop.run(w, [battery()], policy, tariff(T), streams=streams, belief=belief_of(w, streams))
        held = record.extra["regulation/up"][:cut], record.extra["regulation/down"][:cut]
        told = [(d.key, d.accepted, d.net_usd) for d in policy.decisions if d.when < T.when(cut)]
        seen.append((record.asset_kw["battery"][:cut], *held, told))
    for a, b in zip(seen[0][:3], seen[1][:3], strict=True):
        assert np.array_equal(a, b)
    assert seen[0][3] == seen[1][3] and seen[0][3], "decisions were made before the cut"


class Wild:
    """Answers and asks for anything at all, as an aggregator might."""

    kind: ClassVar[str] = "wild"
    answers: ClassVar[bool] = True

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def prepare(self, setting: Setting) -> None:
        """Nothing."""

    def decide(self, view: View) -> Plan:
        """No number, or an absurd one."""
        odd = [np.nan, np.inf, -np.inf, 1e9, -1e9, 0.0, 20.0, 60.0]
        awards: dict[str, Any] = {c.key: self.rng.choice(odd) for c in view.calls}
        some = tuple(c.key for c in view.calls if self.rng.random() < 0.5)
        return Plan({"battery": self.rng.choice(odd)}, awards_kw=awards, accepted=some)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 100_000),
    reserve=st.floats(0.0, 0.8),
    start=st.floats(0.05, 1.0),
    up=st.floats(0.0, 0.5),
    down=st.floats(0.0, 0.5),
    cap=st.sampled_from([np.inf, 340.0]),
)
def test_reserve_limits_and_export_hold_whatever_is_promised(
    seed: int, reserve: float, start: float, up: float, down: float, cap: float
) -> None:
    t = T.part(0, 96 * 3)
    kw = load(t, seed)
    asset = battery(soc_start_frac=start)
    low, high = asset.window_kwh
    floor = np.full(t.n + 1, low)
    floor[100:] = low + reserve * (high - low)
    streams = [
        regulation(signal_up_frac=up, signal_down_frac=down, sustain_h=0.0),
        response(events=EVENTS[:1]),
    ]
    record = loop.run(
        world(t, kw),
        [asset],
        Wild(seed),
        streams=streams,
        reserve_kwh={"battery": floor},
        import_limit_kw=cap,
    )
    stored, power = record.stored_kwh["battery"], record.asset_kw["battery"]
    ec = asset.efficiencies[0]
    assert np.isfinite(power).all() and (np.abs(power) <= 80 + 1e-6).all()
    assert (stored >= low - 1e-6).all() and (stored <= high + 1e-6).all()
    assert (record.net_kw >= np.minimum(kw, 0.0) - 1e-6).all(), "nothing is fed in"
    assert (record.net_kw <= np.maximum(kw, cap) + 1e-6).all()
    walked = reachable_floor(floor, asset.charge_kw, ec, t.step_h, low)
    before = np.concatenate(([asset.start_kwh], stored))
    under = before < walked - 1e-6
    if cap == np.inf:
        first = int(np.argmin(under))
        assert not under[first:].any(), "once viable, the reserve stays kept"
        full = np.minimum(asset.charge_kw, (high - before[:-1]) / ec / t.step_h)
        lost = walked[1:] > before[:-1] + full * ec * t.step_h + 1e-6
        assert (power[lost] >= full[lost] - 1e-6).all(), "full power while the floor is out of reach"
    for name in ("regulation/up", "regulation/down"):
        held, awarded = record.extra[name], record.extra[f"{name} awarded"]
        assert (held >= 0).all() and (held <= awarded + 1e-9).all() and (awarded <= 60.0 + 1e-9).all()


class Counted(UtilityFirst):
    """Method A that counts the intervals that its compiled stretches carried out."""

    done = 0

    def stretch(self, twin: Any, guard: Any, until: int) -> bool:
        """The same."""
        before, went = twin.k, super().stretch(twin, guard, until)
        self.done += twin.k - before
        return went


class LastDay(Regulation):
    """Regulation that is offered on the last day alone, so that there are hours without an award."""

    def calls(self, world: Any, timeline: Timeline) -> Any:
        """The last day's."""
        return (c for c in super().calls(world, timeline) if c.first >= timeline.n - 96)


def _methods(seed: int) -> list[Any]:
    contract = {
        "name": "deal",
        "counterparty": "aggregator",
        "streams": ["*"],
        "dispatch": {"soc_min_frac": 0.2, "soc_max_frac": 0.9, "max_events_per_y": 1 + seed % 2},
    }
    return [
        Counted(weighed=2, least_days=0, parts=1, group_h=4.0),
        METHODS["B"](),
        AggregatorPrimary(contract),
        AggregatorPrimary(),
    ]


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 100_000),
    days=st.lists(st.integers(1, 5), min_size=0, max_size=2, unique=True),
    awards=st.booleans(),
    reserve=st.floats(0.0, 0.5),
    cap=st.sampled_from([np.inf, 330.0]),
)
def test_compiled_stretches_are_the_loop(
    seed: int, days: list[int], awards: bool, reserve: float, cap: float
) -> None:
    """Where nobody calls a policy's own loop runs: record and notes are those of the plain loop, to the bit."""
    kw = load(T, seed)
    events = [Event(start=f"2026-11-{9 + d:02d}T17:00", hours=1.0 + seed % 3, notice_h=20.0) for d in days]
    asset = battery(idle_kw=1.5)
    floor = np.full(T.n + 1, reserve * asset.window_kwh[1])
    for make in range(4):
        records, notes = [], []
        for compiled in (True, False):
            some = [LastDay(**regulation().model_dump())] if awards else []
            streams = [response(events=tuple(events)), *some]
            w, said, policy = world(T, kw), list[str](), _methods(seed)[make]
            records.append(
                loop.run(
                    w, [asset], policy, tariff(T), streams=streams, belief=belief_of(w, streams), notes=said,
                    reserve_kwh={"battery": floor}, import_limit_kw=cap, compiled=compiled,
                )
            )  # fmt: skip
            notes.append(said)
            if isinstance(policy, Counted):
                assert (policy.done > 96) == compiled, "much of the span has no call"
        one, other = records
        assert np.array_equal(one.net_kw, other.net_kw) and notes[0] == notes[1]
        assert np.array_equal(one.stored_kwh["battery"], other.stored_kwh["battery"])
        assert one.extra.keys() == other.extra.keys()
        assert all(np.array_equal(one.extra[k], other.extra[k]) for k in one.extra)
