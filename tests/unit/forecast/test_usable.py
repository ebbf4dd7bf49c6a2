"""Answers that cannot be used: what stands in, that it is said, and that moment by moment is all at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuestack.dispatch import Foresight, Series, World
from valuestack.forecast.forecaster import issued
from valuestack.forecast.persistence import Persistence
from valuestack.forecast.usable import MOST, SoundBelief, Usable, usable_rows
from valuestack.timeline import Kw, Timeline

T = Timeline(
    start="2026-10-30T00:00", step_h=1.0, n=24 * 5 + 1, tz="America/New_York"
)  # the clock is set back
LOAD = 100.0 + np.arange(T.n)


@dataclass(frozen=True)
class Failing:
    """Persistence that fails where `fails` says so. rolls: whether it answers for all moments at once."""

    fails: Any
    kind: ClassVar[str] = "failing"

    def predict(self, past: Kw, timeline: Timeline, n: int) -> Any:
        """See Forecaster."""
        return self.fails(past.size, Persistence(1).predict(past, timeline, n))


class Rolling(Failing):
    """The same, all at once."""

    def rolling(self, values: Kw, timeline: Timeline, n: int, *, first: int = 0) -> Kw:
        """See Persistence."""
        rows = Persistence(1).rolling(values, timeline, n, first=first)
        for i in range(rows.shape[0]):
            m = min(n, timeline.n - first - i)
            if m > 0:
                rows[i, :m] = self.fails(first + i, rows[i, :m].copy())
        return rows


def test_the_last_load_of_that_clock_time_stands_in_else_the_present_one() -> None:
    work = Usable(Failing(lambda k, row: np.full(row.size, np.nan)), T, 30)
    early = work.issue(LOAD[:6])
    assert (early[:18] == 105.0).all(), "no load of these hours is known yet"
    assert early[18:24].tolist() == LOAD[:6].tolist() and early[24:].tolist() == [105.0] * 6
    later = work.issue(LOAD[:48])
    clock = T.local_s // 3600 % 24
    assert later.tolist() == [LOAD[24 + h] for h in clock[48:78]], "one o'clock comes twice that night"
    assert (work.mended, work.since) == (2, 6)


def test_nothing_is_touched_where_numbers_came() -> None:
    rows, times, since = usable_rows(Persistence(1), LOAD, T, 30)
    assert np.array_equal(rows, issued(Persistence(1), LOAD, T, 30), equal_nan=True)
    assert (times, since) == (0, -1) and np.isnan(rows[-1]).all(), "beyond the timeline nothing is said"


ODD = (np.nan, np.inf, -np.inf, 2 * MOST, -2 * MOST)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6), n=st.integers(1, 40), share=st.sampled_from([0.1, 0.6]), rolls=st.booleans()
)
def test_one_after_the_other_is_all_at_once(seed: int, n: int, share: float, rolls: bool) -> None:
    def fails(k: int, row: Kw) -> Kw:
        rng = np.random.default_rng((seed, k))
        good = rng.random(row.size) >= share * (rng.random() < 0.5)
        return np.where(good, row, rng.choice(ODD, row.size))

    method = (Rolling if rolls else Failing)(fails)
    load = np.random.default_rng(seed).uniform(0, 200, T.n)
    load[:2] = np.nan, 50.0
    rows, times, since = usable_rows(method, load, T, n)
    work = Usable(method, T, n)
    for k in range(T.n):
        row = work.issue(load[: k + 1])
        assert np.array_equal(row, rows[k], equal_nan=True)
        m = min(n, T.n - 1 - k)
        assert np.isfinite(row[:m]).all() and np.isnan(row[m:]).all()
    assert (work.mended, work.since) == (times, since)


@pytest.mark.parametrize("answer", [np.ones(3), np.ones(99), 5.0, "no data", np.ones((2, 2)), [], None])
def test_an_answer_of_another_shape_is_no_answer(answer: Any) -> None:
    method = Failing(lambda k, row: answer)
    row = Usable(method, T, 8).issue(LOAD[:30])
    said = np.ravel(answer)[:8] if isinstance(answer, np.ndarray) and answer.ndim == 1 else np.zeros(0)
    assert row[: said.size].tolist() == said.tolist()
    assert row[said.size :].tolist() == LOAD[6 + said.size : 14].tolist()
    assert np.array_equal(usable_rows(method, LOAD, T, 8)[0][29], row)


@dataclass(frozen=True)
class Says:
    """A belief that says what it is told to."""

    what: Any

    def series(self, name: str, *, first: int, n: int, as_of: int) -> Any:
        """See Belief."""
        return self.what


def test_a_belief_holds_the_last_number_and_is_counted() -> None:
    odd = np.array([np.nan, 3.0, np.inf, 5.0, 1e9, np.nan])
    belief = SoundBelief(Says(odd))
    assert belief.series("usd", first=4, n=6, as_of=4).tolist() == [3.0, 3.0, 3.0, 5.0, 5.0, 5.0]
    assert belief.series("usd", first=4, n=7, as_of=9).tolist() == [3.0, 3.0, 3.0, 5.0, 5.0, 5.0, 5.0]
    assert belief.mended == {"usd": (2, 4)}
    both = SoundBelief(Says(np.array([odd, np.ones(6)])))
    assert both.series("usd", first=0, n=6, as_of=0)[1].tolist() == [1.0] * 6
    assert SoundBelief(Says(np.full(4, np.nan))).series("x", first=0, n=4, as_of=0).tolist() == [0.0] * 4
    good = np.array([1.0, 2.0])
    assert np.array_equal(SoundBelief(Says(good)).series("x", first=0, n=2, as_of=0), good)


def test_foresight_is_left_alone() -> None:
    known = Foresight(World(T, {"load_kw": Series("load_kw", LOAD, "kW")}))
    assert SoundBelief.of(known) is known
