"""The engine, its compiled path and its terms against a naive bill on random tariffs."""

from __future__ import annotations

from datetime import date
from math import inf
from typing import Any

import numpy as np
import pytest

from tests.oracle.plain_bill import Plain, random_rate
from valuestack.streams.retail.bill import bill
from valuestack.streams.retail.tariff import load_tariff
from valuestack.streams.retail.tariff_stream import state
from valuestack.terms import HoursUse, Minimum, Payment
from valuestack.timeline import Kw, Timeline

# The spring change of clocks, read dates, half an hour; a whole winter over the new year; a partial month.
SPANS: list[tuple[Timeline, list[tuple[date, date]] | None]] = [
    (Timeline(start="2018-03-01T00:00", step_h=1.0, n=24 * 61 - 1, tz="America/Los_Angeles"), None),
    (
        Timeline(start="2018-06-20T00:00", step_h=0.5, n=48 * 40, tz="Etc/GMT+8"),
        [(date(2018, 6, 11), date(2018, 7, 12)), (date(2018, 7, 12), date(2018, 8, 10))],
    ),
    (Timeline(start="2017-11-01T00:00", step_h=2.0, n=12 * 120, tz="Etc/GMT+8"), None),
    (Timeline(start="2018-10-25T00:00", step_h=1.0, n=24 * 14 + 1, tz="America/New_York"), None),
]
HISTORY = {
    "2017-02": 160.0,
    "2017-05": 90.0,
    "2017-07": 210.0,
    "2017-09": 120.0,
    "2018-01": 140.0,
    "2018-05": 75.0,
}


def load(timeline: Timeline, seed: int, *, exports: bool) -> Kw:
    rng = np.random.default_rng(seed)
    kw = 60 + 40 * np.sin(timeline.hour / 24 * 2 * np.pi) + rng.gamma(1.5, 15.0, timeline.n)
    return np.round(kw - (110 if exports else 0), 3)


@pytest.mark.parametrize("seed", range(60))
def test_bill_is_the_naive_bill(seed: int) -> None:
    timeline, cycles = SPANS[seed % len(SPANS)]
    rate = random_rate(seed)
    kw = load(timeline, seed, exports=seed % 3 == 0)
    made = bill(load_tariff(rate), timeline, kw, cycles=cycles, history=HISTORY)
    assert made.total_usd == pytest.approx(
        Plain(rate, timeline, kw, cycles, HISTORY).total_usd(), rel=1e-9, abs=1e-6
    )


@pytest.mark.parametrize("seed", range(60, 100))
def test_compiled_total_is_the_bill_and_says_when_it_is_not_fast(seed: int) -> None:
    timeline, cycles = SPANS[seed % len(SPANS)]
    tariff = load_tariff(random_rate(seed))
    compiled = tariff.compile(timeline, cycles=cycles, history=HISTORY)
    exact = state(tariff, timeline, cycles=cycles, history=HISTORY).exact
    assert compiled.fast == (not compiled.why)
    assert compiled.fast or not exact, compiled.why  # what terms say exactly is compiled
    loads = np.stack([load(timeline, 7 * seed + i, exports=i == 2) for i in range(4)])
    expected = [bill(tariff, timeline, kw, cycles=cycles, history=HISTORY).total_usd for kw in loads]
    assert compiled.totals_usd(loads) == pytest.approx(np.array(expected), rel=1e-9)


def test_most_random_tariffs_compile() -> None:
    timeline = SPANS[0][0]
    fast = [load_tariff(random_rate(s)).compile(timeline).fast for s in range(100, 130)]
    assert sum(fast) >= 15


def quantities(p: Payment, timeline: Timeline, kw: Kw, billed: dict[str, Any]) -> list[float]:
    """Billed quantity of each window of a payment, by the words of its definition."""
    flow = {"import": np.maximum(kw, 0), "export": np.maximum(-kw, 0), "net": kw}[p.measure.flow]
    if p.measure.average_h:
        block = timeline.block(p.measure.average_h)
        flow = (np.bincount(block, weights=flow) / np.bincount(block))[block]
    q = []
    for w in range(p.windows):
        mine = flow[p.window == w]
        q.append(float(max(mine.max(), 0.0) if p.over == "max" else mine.sum() * timeline.step_h))
    out = list(q)
    for f in p.floors:
        out[f.window] = max([out[f.window], f.least, *(f.share * q[k] for k in f.of_windows)])
    return out


def money(p: Payment, timeline: Timeline, kw: Kw, billed: dict[str, Any]) -> list[tuple[int, float]]:
    """(first interval, usd) of each window or interval."""
    if p.over == "each":
        flow = {"import": np.maximum(kw, 0), "export": np.maximum(-kw, 0), "net": kw}[p.measure.flow]
        price = np.broadcast_to(p.blocks[0].usd_per_unit, timeline.n)
        return [(k, float(flow[k] * timeline.step_h * price[k])) for k in np.flatnonzero(p.window >= 0)]
    out = []
    for w, q in enumerate(billed[p.name][1]):
        first, usd, low = int(np.flatnonzero(p.window == w)[0]), 0.0, 0.0
        for i, b in enumerate(p.blocks):
            upto: float
            if isinstance(b.upto, HoursUse):
                window, kws = billed[b.upto.of]
                upto = b.upto.hours * kws[window[first]]
            else:
                upto = float(np.broadcast_to(b.upto, p.windows)[w])
            upto = inf if i == len(p.blocks) - 1 else max(upto, low)
            usd += float(np.broadcast_to(b.usd_per_unit, p.windows)[w]) * max(0.0, min(q, upto) - low)
            low = upto
        out.append((first, usd))
    return out


@pytest.mark.parametrize("seed", range(130, 170))
def test_exact_terms_and_constant_are_the_bill(seed: int) -> None:
    timeline, cycles = SPANS[seed % len(SPANS)]
    tariff = load_tariff(random_rate(seed))
    stated = state(tariff, timeline, cycles=cycles, history=HISTORY)
    payments = [t for t in stated.terms if isinstance(t, Payment)]
    names = [p.name for p in payments]
    assert len(names) == len(set(names))
    assert {b.upto.of for p in payments for b in p.blocks if isinstance(b.upto, HoursUse)} <= set(names)
    if not stated.exact:
        return
    kw = load(timeline, seed, exports=False)
    billed: dict[str, Any] = {}
    for p in payments:
        if p.over != "each":
            billed[p.name] = (p.window, quantities(p, timeline, kw, billed))
    rows = [row for p in payments for row in money(p, timeline, kw, billed)]
    total = sum(usd for _, usd in rows) + float(stated.constant_usd.sum())
    for m in stated.terms:
        if isinstance(m, Minimum):
            for w in range(m.usd.size):
                total += max(0.0, float(m.usd[w]) - sum(usd for k, usd in rows if m.window[k] == w))
    made = bill(tariff, timeline, kw, cycles=cycles, history=HISTORY)
    assert total == pytest.approx(made.total_usd, rel=1e-9)
