"""From readings as read to a regular series: labels to starts, wall clock to UTC, units to kW.

Everything that had to be decided on the way is a Finding: what the data themselves prove is decided and said,
what nothing proves is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from ...errors import DataError
from ...finding import Finding
from ...sources.source import ESTIMATED, INVALID, Channel
from ...timeline import Ints, Kw, Timeline, utc_offsets_s, zone

STEPS_S = (300, 600, 900, 1800, 3600)


@dataclass(slots=True, eq=False)
class Regular:
    """One channel on a regular grid. start_s: first start [s UTC]; kw: (n,) NaN where nothing was read;
    flag: (n,) 0 metered, 1 estimated or spread; other: values of contradicting duplicates by index."""

    channel: Channel
    step_s: int
    start_s: int
    kw: Kw
    flag: Ints
    other: dict[int, float] = field(default_factory=dict)

    @property
    def utc_s(self) -> Ints:
        """Start of each interval [s UTC], (n,)."""
        return self.start_s + self.step_s * np.arange(self.kw.size, dtype=np.int64)


def say(utc_s: float, tz: str) -> str:
    """A moment as a person reads it, in the site's zone."""
    return datetime.fromtimestamp(int(utc_s), UTC).astimezone(zone(tz)).strftime("%Y-%m-%d %H:%M")


def step_of(channel: Channel) -> int:
    """Interval length [s]: as stated, else the commonest distance of labels."""
    if channel.duration_s is not None and channel.duration_s.size:
        values, counts = np.unique(channel.duration_s, return_counts=True)
        step = int(values[np.argmax(counts)])
    else:
        gaps = np.diff(np.unique(channel.label_s))
        if gaps.size == 0:
            raise DataError(f"channel {channel.name or channel.flow}: one reading is no series")
        values, counts = np.unique(gaps, return_counts=True)
        step = int(values[np.argmax(counts)])
    if step not in STEPS_S:
        near = min(STEPS_S, key=lambda s: abs(s - step))
        raise DataError(
            f"channel {channel.name or channel.flow}: readings every {step / 60:g} minutes; intervals of 5, 10, 15, "
            f"30 or 60 minutes can be studied (nearest {near // 60}); export the interval data, not the "
            "daily or monthly totals"
        )
    return step


def to_utc(channel: Channel, tz: str, step_s: int, findings: list[Finding]) -> Ints:
    """Start of each reading [s UTC] in file order."""
    label = channel.label_s - (step_s if channel.label == "end" else 0)
    if channel.label == "end":
        findings.append(
            Finding(
                "interval_end_labels",
                "info",
                "labels mark the end of their interval",
                channel.name,
                label.size,
                "moved to the start",
            )
        )
    if channel.clock == "utc":
        return label
    return _wall_to_utc(label, tz, step_s, channel.name, findings)


def _changes(first: int, last: int, tz: str) -> list[tuple[int, int, int]]:
    """Clock changes between two wall times: (UTC second, offset before, offset after)."""
    hours = np.arange(first - 86400, last + 86400, 3600, dtype=np.int64)
    offset = utc_offsets_s(hours, tz)
    out = []
    for k in np.flatnonzero(np.diff(offset)):
        lo, hi = int(hours[k]), int(hours[k + 1])
        fine = utc_offsets_s(np.arange(lo, hi + 60, 60, dtype=np.int64), tz)
        at = int(np.flatnonzero(fine != fine[0])[0])
        out.append((lo + 60 * at, int(offset[k]), int(offset[k + 1])))
    return [c for c in out if first <= c[0] + c[1] <= last]


def _wall_to_utc(label: Ints, tz: str, step_s: int, name: str, findings: list[Finding]) -> Ints:
    """Wall-clock starts to UTC by the evidence of the clock changes in the data."""
    changes = _changes(int(label.min()), int(label.max()), tz)
    plain = (
        label - utc_offsets_s(np.sort(label), tz)[np.argsort(np.argsort(label, kind="stable"), kind="stable")]
    )
    if not changes:
        return _settle(label, plain, tz)
    per_hour = 3600 // step_s
    skipped_kept = doubled = single = 0
    for at, before, after in changes:
        wall = at + before
        size = abs(after - before)
        if after > before:
            inside = (label >= wall) & (label < wall + size)
            skipped_kept += int(inside.any())
        else:
            inside = (label >= wall - size) & (label < wall)
            count = int(inside.sum())
            doubled += int(count > per_hour * size / 3600)
            single += int(0 < count <= per_hour * size / 3600)
    where = f"{name or 'channel'}, {len(changes)} clock changes"
    if skipped_kept and not doubled:
        offset = min(c[1] for c in changes) if len(changes) > 1 else min(changes[0][1], changes[0][2])
        findings.append(
            Finding(
                "standard_time",
                "warning",
                "the hour that the clock skips in spring is in the data and no hour is doubled in autumn: the "
                f"labels are standard time (UTC{offset / 3600:+g}) all year",
                where,
                label.size,
                "read as standard time",
                remedy="if it is UTC, say --read clock=utc",
            )
        )
        return label - offset
    if skipped_kept and doubled:
        findings.append(
            Finding(
                "clock_contradiction",
                "warning",
                "the data hold both the hour that the clock skips and a doubled autumn hour",
                where,
                skipped_kept,
                "the skipped hour is read an hour later",
                remedy="ask the utility how it labels clock changes",
            )
        )
    elif single and not doubled:
        findings.append(
            Finding(
                "autumn_hour_once",
                "warning",
                "the autumn hour that happens twice is in the data once: an hour is missing",
                where,
                single,
                "filled as a gap",
                remedy="ask the utility for the missing hour",
            )
        )
    return _settle(label, _folded(label, changes), tz)


def _folded(label: Ints, changes: Sequence[tuple[int, int, int]]) -> Ints:
    """UTC by the offset in force, the second coming of an autumn label by the later offset."""
    out = label - changes[0][1]
    for at, before, after in changes:
        out = np.where(label >= at + max(before, after), label - after, out)
        if after < before:
            wall = at + before
            seen: set[int] = set()
            for k in np.flatnonzero((label >= wall - (before - after)) & (label < wall)):
                value = int(label[k])
                out[k] = value - (after if value in seen else before)
                seen.add(value)
    return out


def _settle(label: Ints, utc: Ints, tz: str) -> Ints:
    """One correction of the offset, for labels within an offset of a change; a skipped label moves on."""
    order = np.argsort(utc, kind="stable")
    offset = np.empty_like(utc)
    offset[order] = utc_offsets_s(utc[order], tz)
    wrong = utc + offset != label
    return np.where(wrong & (utc + offset > label), utc, np.where(wrong, label - offset, utc))


def to_kw(channel: Channel, step_s: int, tz: str, findings: list[Finding]) -> Kw:
    """Values as mean kW (or kvar) of their interval; a register becomes differences."""
    value = np.asarray(channel.value, dtype=np.float64).copy()
    if channel.quality is not None:
        value[np.asarray(channel.quality) == INVALID] = np.nan
    if channel.quantity in ("kwh", "kvarh"):
        length = np.full(value.size, step_s) if channel.duration_s is None else np.asarray(channel.duration_s)
        return value * 3600 / np.where(length > 0, length, step_s)
    if channel.quantity == "register_kwh":
        step = np.diff(value, prepend=np.nan) * 3600 / step_s
        findings.append(
            Finding(
                "register",
                "info",
                "the channel is a meter stand",
                channel.name,
                value.size,
                "differences are taken; the first interval has none",
            )
        )
        return np.roll(step, 0)
    return value


def regular(channel: Channel, tz: str, findings: list[Finding]) -> Regular:
    """A channel on its own grid, with duplicates and changes of resolution resolved and named."""
    step = step_of(channel)
    utc = to_utc(channel, tz, step, findings)
    kw = to_kw(channel, step, tz, findings)
    flag = np.zeros(kw.size, dtype=np.int64)
    if channel.quality is not None:
        flag[np.asarray(channel.quality) == ESTIMATED] = 1
    utc, kw, flag = _spread(channel, utc, kw, flag, step, tz, findings)
    start = int(utc.min())
    away = (utc - start) % step
    if away.any():
        findings.append(
            Finding(
                "off_grid",
                "warning",
                f"{int((away > 0).sum())} labels do not lie on the {step // 60}-minute grid",
                f"first at {say(utc[np.flatnonzero(away)[0]], tz)}",
                int((away > 0).sum()),
                "moved to the interval that holds them",
            )
        )
    index = (utc - start) // step
    out = Regular(
        channel,
        step,
        start,
        np.full(int(index.max()) + 1, np.nan),
        np.zeros(int(index.max()) + 1, dtype=np.int64),
    )
    order = np.argsort(index, kind="stable")
    index, kw, flag = index[order], kw[order], flag[order]
    good = np.isfinite(kw)
    out.kw[index[good]], out.flag[index[good]] = kw[good], flag[good]
    _duplicates(out, index, kw, tz, findings)
    return out


def _spread(
    channel: Channel, utc: Ints, kw: Kw, flag: Ints, step: int, tz: str, findings: list[Finding]
) -> tuple[Ints, Kw, Ints]:
    """Readings of a coarser resolution become flat intervals of the finest common one."""
    order = np.argsort(utc, kind="stable")
    gap = np.diff(utc[order])
    length = np.full(utc.size, step)
    if channel.duration_s is not None:
        length = np.asarray(channel.duration_s).copy()
    else:
        # A run of at least a day at one coarser distance is another resolution, not a series of gaps.
        for other in STEPS_S:
            if other <= step:
                continue
            same = np.concatenate((gap == other, [False]))
            edges = np.flatnonzero(np.diff(np.concatenate(([0], same.astype(int), [0]))))
            for a, b in zip(edges[::2], edges[1::2], strict=True):
                if (b - a) * other >= 86400:
                    length[order[a : b + 1]] = other
    coarse = length > step
    if not coarse.any():
        return utc, kw, flag
    times = (length // step).astype(np.int64)
    scale = np.where(
        coarse & (channel.quantity in ("kwh",)) & (channel.duration_s is None), step / length, 1.0
    )
    rep = np.repeat(np.arange(utc.size), times)
    inner = np.arange(rep.size) - np.repeat(np.cumsum(times) - times, times)
    first = utc[np.flatnonzero(coarse)[0]]
    findings.append(
        Finding(
            "resolution",
            "warning",
            f"{int(coarse.sum())} readings of {int(length[coarse].max()) // 60} minutes among "
            f"{step // 60}-minute ones",
            f"from {say(first, tz)}",
            int(coarse.sum()),
            "spread flat and marked as estimated: peaks inside them are understated",
            remedy="ask the utility for the finer readings",
        )
    )
    return utc[rep] + inner * step, (kw * scale)[rep], np.where(coarse, 1, flag)[rep]


def _duplicates(out: Regular, index: Ints, kw: Kw, tz: str, findings: list[Finding]) -> None:
    again = np.flatnonzero(np.diff(index) == 0) + 1
    if again.size == 0:
        return
    same = (
        np.isclose(kw[again], kw[again - 1], rtol=1e-6, atol=1e-9)
        | ~np.isfinite(kw[again])
        | ~np.isfinite(kw[again - 1])
    )
    moment = say(out.start_s + int(index[again[0]]) * out.step_s, tz)
    if same.any():
        findings.append(
            Finding(
                "duplicate",
                "info",
                f"{int(same.sum())} readings stand twice with the same value",
                f"first at {moment}",
                int(same.sum()),
                "kept once",
            )
        )
    if (~same).any():
        first = again[~same][0]
        findings.append(
            Finding(
                "duplicate_contradicting",
                "warning",
                f"{int((~same).sum())} intervals have two readings that differ, at first {kw[first - 1]:,.2f} and "
                f"{kw[first]:,.2f} kW",
                f"first at {say(out.start_s + int(index[first]) * out.step_s, tz)}",
                int((~same).sum()),
                "the later reading is kept and marked as estimated",
                remedy="ask the utility which one was billed",
            )
        )
        for k in again[~same]:
            out.other[int(index[k])] = float(kw[k - 1])
            out.flag[index[k]] = 1


def common(series: Sequence[Regular]) -> tuple[int, int, int]:
    """Step, first start and length that hold all series of one meter."""
    steps = {s.step_s for s in series}
    if len(steps) > 1:
        raise DataError(
            f"channels of {', '.join(f'{s // 60} minutes' for s in sorted(steps))} on one meter; export them alike"
        )
    step = steps.pop()
    first = min(s.start_s for s in series)
    last = max(s.start_s + s.step_s * s.kw.size for s in series)
    return step, first, (last - first) // step


def placed(values: Any, series: Regular, first: int, n: int, fill: float) -> Kw:
    """A series' values on the meter's grid, (n,)."""
    out = np.full(n, fill)
    at = (series.start_s - first) // series.step_s
    out[at : at + series.kw.size] = values
    return out


def timeline_of(step_s: int, first_s: int, n: int, tz: str) -> Timeline:
    """The meter's timeline."""
    return Timeline(start=datetime.fromtimestamp(first_s, UTC), step_h=step_s / 3600, n=n, tz=tz)
