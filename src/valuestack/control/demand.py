"""Demand windows: where, when and at what price a tariff's terms charge for the highest load. Policies share it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..terms import Payment
from ..timeline import Ints, Kw, Timeline


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Demand windows of all terms, as rows. window: (f, n) window of each interval in each family, numbered
    through all families, -1 = none; ahead: (f, n) the window open now or next to open; slots: (windows, 2, slots
    a day) clock slots on working and free days in which the window counts; price_usd_per_kw: (windows,);
    floor_least: (windows,) kW that are free whatever happens; floor_share and floor_of: share of the peaks of
    earlier windows that is free too.
    """

    window: Ints
    ahead: Ints
    slots: NDArray[np.bool_]
    price_usd_per_kw: Kw
    floor_least: Kw
    floor_share: Kw
    floor_of: tuple[tuple[int, ...], ...]


def windows_of(terms: Any, timeline: Timeline) -> Windows:
    """The demand windows that cost money, as a tariff's terms state them."""
    peaks = [t for t in terms if _is_demand(t)]
    total = sum(p.windows for p in peaks)
    rows: list[Ints] = []
    of: list[tuple[int, ...]] = [()] * total
    price, least, share, at = np.zeros(total), np.zeros(total), np.zeros(total), 0
    slot, free = clock(timeline)
    slots = np.zeros((total, 2, 86400 // timeline.step_s), dtype=np.bool_)
    for p in peaks:
        price[at : at + p.windows] = _price(p)
        row = np.where(p.window >= 0, p.window + at, -1)
        row = np.where((row >= 0) & (price[row] > 0), row, -1)  # what is free needs no defence
        rows.append(row)
        inside = row >= 0
        slots[row[inside], free[inside], slot[inside]] = True
        for f in p.floors:
            if f.of is None:
                least[at + f.window] = max(least[at + f.window], f.least)
                share[at + f.window] = f.share
                of[at + f.window] = tuple(at + w for w in f.of_windows)
        at += p.windows
    window = np.array(rows, dtype=np.int64).reshape(len(rows), timeline.n)
    return Windows(window, _ahead(window), slots, price, least, share, tuple(of))


def unwoven(windows: Windows) -> Windows:
    """The same windows in rows in which each ends before the next begins.

    A tariff's charge by period has the windows of one cycle woven together (peak, part-peak); here each period has
    a row of its own, so that the window next to open in a row is the same period's. Rows are filled by likeness of
    clock slots.
    """
    spans = []
    for f, row in enumerate(windows.window):
        for w in np.unique(row[row >= 0]):
            at = np.flatnonzero(row == w)
            spans.append((int(at[0]), int(at[-1]), f, int(w)))
    ends: list[int] = []
    latest: list[tuple[int, int]] = []
    rows: list[Ints] = []
    for first, last, f, w in sorted(spans):
        fits = [r for r, end in enumerate(ends) if end < first and latest[r][0] == f]
        if not fits:
            fits = [len(rows)]
            rows.append(np.full(windows.window.shape[1], -1, dtype=np.int64))
            ends.append(-1)
            latest.append((f, w))
        r = max(fits, key=lambda r: int((windows.slots[latest[r][1]] & windows.slots[w]).sum()))
        rows[r][windows.window[f] == w] = w
        ends[r], latest[r] = last, (f, w)
    window = np.array(rows, dtype=np.int64).reshape(len(rows), windows.window.shape[1])
    return replace(windows, window=window, ahead=_ahead(window))


def _is_demand(term: Any) -> bool:
    return (
        isinstance(term, Payment)
        and term.over == "max"
        and term.measure.asset is None
        and term.measure.reference_kw is None
        and term.measure.flow in ("import", "net")
        and term.windows > 0
        and bool((_price(term) > 0).any())
    )


def _price(p: Payment) -> Kw:
    """Dearest tier of each window [USD/kW], weighted by the chance that it falls due."""
    tiers = [np.broadcast_to(np.asarray(b.usd_per_unit, dtype=float), p.windows) for b in p.blocks]
    return np.asarray(p.weight * np.max(tiers, axis=0))


def clock(timeline: Timeline) -> tuple[Ints, Ints]:
    """Clock slot of each interval, and 1 on weekends, (n,) each."""
    return timeline.local_s % 86400 // timeline.step_s, (timeline.weekday >= 5).astype(np.int64)


def _ahead(window: Ints) -> Ints:
    """The window of each interval or, where there is none, the next one of its row; -1 after the last."""
    n = window.shape[1]
    at = np.where(window >= 0, np.arange(n), n)
    following = np.minimum.accumulate(at[:, ::-1], axis=1)[:, ::-1]
    padded = np.concatenate((window, np.full((window.shape[0], 1), -1, dtype=np.int64)), axis=1)
    return np.ascontiguousarray(np.take_along_axis(padded, following, axis=1))


def near(window: Ints, steps: int) -> NDArray[np.bool_]:
    """Where a demand window is open now or within so many intervals, (n,)."""
    n = window.shape[1]
    at = np.where((window >= 0).any(axis=0), np.arange(n), n + steps)
    return np.asarray(np.minimum.accumulate(at[::-1])[::-1] - np.arange(n) <= steps)


def flat(floor_of: tuple[tuple[int, ...], ...]) -> tuple[Ints, Ints]:
    """Lists of windows end to end: where each begins, and the windows."""
    begins = np.concatenate(([0], np.cumsum([len(o) for o in floor_of]))).astype(np.int64)
    return begins, np.array([w for o in floor_of for w in o], dtype=np.int64)
