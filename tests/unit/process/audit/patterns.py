"""Recurring spikes put on realistic base loads, and the same loads shuffled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from valuestack.timeline import Kw

from .loads import SiteYear, synthetic

# Bases on which a spike can be seen: the foundry's own heats are spikes without a period.
BASES = ("office", "shop", "school", "two shifts", "cold store", "hotel", "data hall")


@dataclass(frozen=True, eq=False)
class Planted:
    """A base load and the spike put on it."""

    site: SiteYear
    base_kw: Kw
    period_h: float
    duration_h: float
    height_kw: float
    phase_h: float
    jitter_h: float


def planted(seed: int, *, step_h: float = 0.25) -> Planted:
    """One pattern: period 1 to 24 h (at least twice its duration), 15 to 120 min long, from the load's mean to
    its peak high, starts that vary by up to two minutes, heights by a tenth, one in twenty left out.

    The spike is laid on at one minute and averaged to the meter's interval, as a meter does.
    """
    rng = np.random.default_rng([41, seed])
    site = synthetic(BASES[seed % len(BASES)], 1000 + seed, step_h=step_h)
    duration_min = float(rng.uniform(15, 120))
    period_h = float(np.exp(rng.uniform(np.log(max(1.0, 2 * duration_min / 60)), np.log(24.0))))
    height = float(rng.uniform(site.kw.mean(), max(site.kw.max(), 1.5 * site.kw.mean())))
    phase_h = float(rng.uniform(0, period_h))
    jitter_h = float(rng.uniform(0, 2 / 60))
    per = round(60 * step_h)
    minute = np.zeros(site.timeline.n * per)
    starts = np.arange(phase_h, site.timeline.hours - 3, period_h)
    starts = starts[rng.random(starts.size) > 0.05]
    for at in starts + rng.uniform(-jitter_h, jitter_h, starts.size):
        a = max(0, round(60 * at))
        minute[a : a + round(duration_min)] += height * rng.normal(1, 0.1)
    kw = site.kw + minute.reshape(-1, per).mean(axis=1)
    made = SiteYear(f"{site.name}, every {period_h:.2f} h", site.timeline, kw)
    return Planted(made, site.kw, period_h, duration_min / 60, height, phase_h, jitter_h)


def shuffled(site: SiteYear, seed: int) -> Kw:
    """The same intervals in another order: whatever recurred is gone."""
    return np.random.default_rng([43, seed]).permutation(site.kw)
