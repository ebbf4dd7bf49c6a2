"""Faults of the twelve listed kinds put into complete site-years, and what an audit must say of each.

A fault is found if the audit has a finding of an expected kind that the faultless year has not, and if what it
did answers the fault: the intervals are marked as repaired, or the load is what it was before the fault, or the
audit asks. `evident` says for each year whether the file or the data can show the fault at all; it looks at the
faultless year and the size of the fault only, never at the detection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date

import numpy as np
from numpy.typing import NDArray

from valuestack.process.audit import Audit, audit
from valuestack.process.audit.clock import active_hour
from valuestack.site.site import BilledTotal
from valuestack.sources.source import ESTIMATED, MeterTable
from valuestack.timeline import Kw

from .loads import SiteYear, channel, read, table

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Injected:
    """A file with a fault. kinds: findings that name it. marked: intervals of the year that must not pass as
    metered. restored: whether the audited load must be the faultless one (within 0.5 %). ask: whether an open
    question is the right answer."""

    fault: str
    size: str
    table: MeterTable
    kinds: tuple[str, ...]
    marked: Mask | None = None
    restored: bool = False
    ask: bool = False
    tz: str | None = None
    billed: tuple[BilledTotal, ...] = ()
    within: tuple[int, int] | None = None
    free: Mask | None = field(default=None)


def found(site: SiteYear, case: Injected, known: frozenset[tuple[str, str]] = frozenset()) -> bool:
    """Whether the audit of the file says what was done to it. known: (kind, where) of the faultless year."""
    return judge(
        site, case, audit(case.table, tz=case.tz or site.tz, billed=case.billed, spikes=False), known
    )


def judge(site: SiteYear, case: Injected, made: Audit, known: frozenset[tuple[str, str]]) -> bool:
    named = [f for f in made.findings if f.kind in case.kinds and (f.kind, f.where) not in known]
    if not named:
        return False
    if case.ask:
        return made.verdict in ("needs an answer", "disqualified")
    at = (made.timeline.utc_s - site.timeline.utc_s[0]) // site.step_s
    inside = (at >= 0) & (at < site.timeline.n)
    if case.marked is not None:
        flagged = np.zeros(site.timeline.n, dtype=bool)
        flagged[at[inside]] = made.quality[inside] > 0
        if flagged[case.marked].mean() < 0.9:
            return False
    if case.restored:
        back = np.full(site.timeline.n, np.nan)
        back[at[inside]] = made.net_kw[inside]
        right = np.abs(back - site.kw) <= 0.005 * np.abs(site.kw) + 1e-6
        if right.mean() < 0.99:
            return False
    return True


def bills(site: SiteYear, kw: Kw | None = None) -> tuple[BilledTotal, ...]:
    """Billed energy and peak of each whole month."""
    kw = site.kw if kw is None else kw
    t = site.timeline
    out = []
    for m in np.unique(t.month_id):
        mine = t.month_id == m
        a = np.datetime64(int(m), "M").astype("datetime64[D]").astype(date)
        z = np.datetime64(int(m) + 1, "M").astype("datetime64[D]").astype(date)
        energy = float(kw[mine].sum()) * t.step_h
        out.append(BilledTotal(from_date=a, until_date=z, energy_kwh=energy, peak_kw=float(kw[mine].max())))
    return tuple(out)


def _stretch(site: SiteYear, rng: np.random.Generator, n: int) -> slice:
    """n intervals well inside the year, away from its clock changes by two hours."""
    a = int(rng.integers(10 * site.per_day, site.timeline.n - n - 10 * site.per_day))
    return slice(a, a + n)


def _days(site: SiteYear, rng: np.random.Generator, days: int) -> slice:
    """Whole local days."""
    t = site.timeline
    first = int(rng.integers(20, 365 - days - 20))
    a = int(np.searchsorted(t.day, t.day[0] + first))
    return slice(a, int(np.searchsorted(t.day, t.day[0] + first + days)))


def _mask(site: SiteYear, part: slice) -> Mask:
    out = np.zeros(site.timeline.n, dtype=bool)
    out[part] = True
    return out


def _put(site: SiteYear, part: slice, value: Kw | float) -> MeterTable:
    kw = site.kw.copy()
    kw[part] = value
    return table(channel(site.timeline.utc_s, kw))


# ---- the twelve kinds -----------------------------------------------------------------------------------


def gaps(site: SiteYear, rng: np.random.Generator) -> Iterator[Injected]:
    for size, n in (("1 interval", 1), ("3 h", 3), ("1 day", 24), ("6 days", 144), ("30 days", 720)):
        part = _stretch(site, rng, 1 if n == 1 else round(n / site.timeline.step_h))
        keep = ~_mask(site, part)
        blank = site.kw.copy()
        blank[part] = np.nan
        t = site.timeline.utc_s
        yield Injected(
            "gap", f"{size}, rows left out", table(channel(t[keep], site.kw[keep])), ("gap",), ~keep
        )
        yield Injected("gap", f"{size}, cells empty", table(channel(t, blank)), ("gap",), ~keep)


def duplicates(site: SiteYear, rng: np.random.Generator) -> Iterator[Injected]:
    t = site.timeline.utc_s
    for size, n in (("1 interval", 1), ("1 day", site.per_day), ("1 month", 30 * site.per_day)):
        part = _stretch(site, rng, n)
        again = np.concatenate((t, t[part]))
        same = table(channel(again, np.concatenate((site.kw, site.kw[part]))))
        yield Injected("duplicate", f"{size} twice", same, ("duplicate",), restored=True)
        other = table(channel(again, np.concatenate((site.kw, 1.1 * site.kw[part] + 1))))
        yield Injected(
            "duplicate", f"{size} twice, unlike", other, ("duplicate_contradicting",), _mask(site, part)
        )
        order = np.sort(np.concatenate((np.arange(t.size), np.arange(part.start, part.stop))))
        yield Injected(
            "duplicate",
            f"{size} row by row",
            table(channel(t[order], site.kw[order])),
            ("duplicate",),
            restored=True,
        )


def clock(site: SiteYear, rng: np.random.Generator) -> Iterator[Injected]:
    """Labels on a clock that is not the site's."""
    t = site.timeline
    offset = t.local_s - t.utc_s
    standard, summer = int(offset.min()), int(offset.max())
    yield Injected(
        "wrong clock", "standard time all year",
        table(channel(t.utc_s + standard, site.kw, clock="wall")), ("standard_time", "labels_utc"), restored=True,
    )  # fmt: skip
    hour, strength = active_hour(t, site.kw)
    if strength > 0.1 and 9 <= hour <= 17 and standard <= -4 * 3600:
        made = table(channel(t.utc_s, site.kw, clock="wall"))
        yield Injected("wrong clock", "UTC taken for wall clock", made, ("labels_utc",), ask=True)
    if not moves_visibly(site):
        return
    kinds = ("clock_shift",)
    # Standard time taken for wall-clock time by whoever turned it into UTC.
    twice = t.utc_s + np.where(offset == summer, summer - standard, 0)
    yield Injected("wrong clock", "summer an hour late", table(channel(twice, site.kw)), kinds, ask=True)
    early = t.utc_s - np.where(offset == summer, summer - standard, 0)
    yield Injected("wrong clock", "summer an hour early", table(channel(early, site.kw)), kinds, ask=True)
    fixed = f"Etc/GMT{-standard // 3600:+d}"
    yield Injected(
        "wrong clock", "zone without summer time", table(channel(t.utc_s, site.kw)), kinds, ask=True, tz=fixed
    )


def moves_visibly(site: SiteYear) -> bool:
    """Whether an hour's shift of the working day stands out from what working days differ by anyway.

    Squared distance of the mean day to itself an hour on, against the squared scatter of the mean of fifteen
    days, over the weeks around the clock changes: at least 2.5 : 1 at each.
    """
    t = site.timeline
    per = site.per_day
    for k in np.flatnonzero(np.diff(t.local_s - t.utc_s)):
        for a, z in ((k - 21 * per, k), (k + 1, k + 1 + 21 * per)):
            part = slice(max(0, int(a)), int(z))
            slot = t.local_s[part] % 86400 // t.step_s
            day = t.day[part] - t.day[part][0]
            rows = np.full((int(day[-1]) + 1, per), np.nan)
            rows[day, slot] = site.kw[part]
            work = np.zeros(rows.shape[0], dtype=bool)
            work[day] = t.weekday[part] < 5
            rows = rows[work & np.isfinite(rows).all(axis=1)]
            if rows.shape[0] < 5:
                return False
            rows = rows - rows.mean(axis=1, keepdims=True)
            mean = rows.mean(axis=0)
            moved = min(((mean - np.roll(mean, s)) ** 2).sum() for s in (-3600 // t.step_s, 3600 // t.step_s))
            if moved < 2.5 * ((rows - mean) ** 2).sum() / rows.shape[0] / rows.shape[0]:
                return False
            if moved < 0.5 * ((rows - mean) ** 2).sum() / rows.shape[0]:
                return False
    return True


def scale(site: SiteYear, rng: np.random.Generator) -> Iterator[Injected]:
    """kW for kWh, and multipliers that jump."""
    t = site.timeline
    jump = ("multiplier_jump",)
    if has_days(site, 1.5):
        for factor in (40.0, 0.1, 2.0, 0.5) if has_days(site, 1.6, 7) else (40.0, 0.1):
            for days in (3, 21, 90):
                part = _days(site, rng, days)
                made = _put(site, part, site.kw[part] * factor)
                yield Injected("scale", f"x {factor:g} for {days} days", made, jump, restored=True)
        if t.step_h < 1:
            part = _days(site, rng, 31)
            made = _put(site, part, site.kw[part] * t.step_h)
            yield Injected("scale", "kWh among kW for a month", made, jump, restored=True)
        last = slice(round(0.6 * t.n) // site.per_day * site.per_day, t.n)
        yield Injected("scale", "x 80 from August on", _put(site, last, 80 * site.kw[last]), jump, ask=True)
    unsaid = table(channel(t.utc_s, site.kw * t.step_h, quantity="unknown"))
    if t.step_h < 1:
        yield Injected("scale", "no unit", unsaid, ("unit",), ask=True)
        yield Injected("scale", "no unit, billed", unsaid, ("unit",), restored=True, billed=bills(site)[2:5])
    for factor in (1 / 60, 20.0):
        made = table(channel(t.utc_s, site.kw * factor))
        yield Injected("scale", f"x {factor:.3g} throughout", made, ("multiplier_unproven",), ask=True)
        yield Injected(
            "scale",
            f"x {factor:.3g} throughout, billed",
            made,
            ("multiplier",),
            restored=True,
            billed=bills(site)[2:5],
        )


def has_days(site: SiteYear, most: float, days: int = 0) -> bool:
    """Whether the load is steady enough for a multiplier to stand out: the medians of neighbouring weeks stay
    within a factor `most`; with days = 7, those of all days and the same weekday a week on do so in 19 of 20."""
    size = site.per_day * (1 if days else 7)
    level = np.median(site.kw[: site.timeline.n // size * size].reshape(-1, size), axis=1)
    if not (level > 0).all():
        return False
    moves = np.abs(np.log(level[days or 1 :] / level[: -(days or 1)]))
    return bool(np.quantile(moves, 0.95 if days else 1.0) < np.log(most))


def end_labels(site: SiteYear, rng: np.random.Generator) -> Iterator[Injected]:
    t = site.timeline
    said = table(channel(t.utc_s + t.step_s, site.kw, label="end"))
    yield Injected("end labels", "stated", said, ("interval_end_labels",), restored=True)
    silent = table(channel(t.utc_s + t.step_s, site.kw, label="unknown"))
    yield Injected("end labels", "not stated", silent, ("label",), ask=True)


def stuck(site: SiteYear, rng: np.random.Generator) -> Iterator[Injected]:
    hours = (6, 12, 24, 168, 1080) if site.step_s <= 1800 else (14, 24, 168, 1080)
    for h in hours:
        part = _stretch(site, rng, round(h / site.timeline.step_h))
        value = site.kw[part.start]
        # A value at which the load stands honestly for hours is no evidence.
        if _longest(site.kw == value) * site.timeline.step_h > 0.25 * h and h < 300:
            continue
        yield Injected("stuck meter", f"{h} h", _put(site, part, value), ("stuck_meter",), _mask(site, part))


def _longest(mask: Mask) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    return int((edges[1::2] - edges[::2]).max()) if edges.size else 0


def zeros(site: SiteYear, rng: np.random.Generator) -> Iterator[Injected]:
    """Only in loads that are never near zero: elsewhere a zero says nothing."""
    if float(np.quantile(site.kw, 0.005)) < 0.05 * float(np.median(site.kw)):
        return
    for size, n in (("1 interval", 1), ("4 h", 4), ("2 days", 48), ("14 days", 336)):
        part = _stretch(site, rng, 1 if n == 1 else round(n / site.timeline.step_h))
        yield Injected("zeros", size, _put(site, part, 0.0), ("zeros",), _mask(site, part))


def negatives(site: SiteYear, rng: np.random.Generator) -> Iterator[Injected]:
    for size, n in (("1 interval", 1), ("12 intervals", 12), ("1 day", site.per_day)):
        part = _stretch(site, rng, n)
        yield Injected(
            "negative", size, _put(site, part, -site.kw[part] - 0.1), ("negative",), _mask(site, part)
        )


def outliers(site: SiteYear, rng: np.random.Generator) -> Iterator[Injected]:
    top = float(site.kw.max())
    for factor in (3.0, 8.0, 60.0):
        for count in (1, 4, 15):
            at = rng.choice(np.arange(100, site.timeline.n - 100, 5), count, replace=False)
            kw = site.kw.copy()
            kw[at] = top * factor * rng.uniform(0.9, 1.6, count)
            mask = np.zeros(kw.size, dtype=bool)
            mask[at] = True
            yield Injected(
                "outlier",
                f"{count} at {factor:g} x the peak",
                table(channel(site.timeline.utc_s, kw)),
                ("outlier",),
                mask,
            )
    at = rng.choice(np.arange(100, site.timeline.n - 100, 50), 6, replace=False)
    kw = site.kw.copy()
    kw[at] = top * np.array([3.0, 7.0, 16.0, 40.0, 100.0, 1000.0])
    mask = np.zeros(kw.size, dtype=bool)
    mask[at] = True
    yield Injected("outlier", "6 of all heights", table(channel(site.timeline.utc_s, kw)), ("outlier",), mask)


def estimated(site: SiteYear, rng: np.random.Generator) -> Iterator[Injected]:
    """Reads that the file flags; and days that somebody filled without saying so."""
    t = site.timeline
    for size, n in (("1 interval", 1), ("1 day", site.per_day), ("20 days", 20 * site.per_day)):
        part = _stretch(site, rng, n)
        flags = np.zeros(t.n, dtype=np.int64)
        flags[part] = ESTIMATED
        kw = site.kw.copy()
        kw[part] = kw[part].mean()
        yield Injected(
            "estimated",
            f"{size}, flagged",
            table(channel(t.utc_s, kw, quality=flags)),
            ("estimated",),
            _mask(site, part),
        )
    for size, days in (("1 day", 1), ("5 days", 5)):
        part = _stretch(site, rng, days * site.per_day)
        line = np.linspace(
            site.kw[part.start - 1], 1.07 * site.kw[part.stop] + 1, part.stop - part.start + 2
        )[1:-1]
        yield Injected(
            "estimated",
            f"{size} on a line, not flagged",
            _put(site, part, line),
            ("filled_flat",),
            _mask(site, part),
        )
    if distinct(site):
        for days in (2, 7):
            part = _days(site, rng, days)
            n = part.stop - part.start
            source = site.kw[part.start - 7 * site.per_day : part.start - 7 * site.per_day + n]
            yield Injected(
                "estimated",
                f"{days} days copied from the week before",
                _put(site, part, source),
                ("copied",),
                _mask(site, part),
            )


def distinct(site: SiteYear) -> bool:
    """Whether two days are never the same to the last digit: simulated schedules repeat themselves."""
    rows = site.kw[: site.timeline.n // site.per_day * site.per_day].reshape(-1, site.per_day)
    far = min(
        float((rows[7:] != rows[:-7]).mean(axis=1).min()), float((rows[1:] != rows[:-1]).mean(axis=1).min())
    )
    return far > 0.3


def resolution(site: SiteYear, rng: np.random.Generator) -> Iterator[Injected]:
    """A stretch at a coarser interval: with lengths stated, without, and spread flat."""
    t = site.timeline
    for coarse_s in (1800, 3600):
        if coarse_s <= site.step_s:
            continue
        k = coarse_s // site.step_s
        for days in (2, 30, 150):
            part = _days(site, rng, days)
            part = slice(part.start, part.stop - (part.stop - part.start) % k)
            mean = site.kw[part].reshape(-1, k).mean(axis=1)
            label = np.concatenate((t.utc_s[: part.start], t.utc_s[part][::k], t.utc_s[part.stop :]))
            power = np.concatenate((site.kw[: part.start], mean, site.kw[part.stop :]))
            length = np.full(label.size, site.step_s)
            length[part.start : part.start + mean.size] = coarse_s
            name, mask = f"{days} days at {coarse_s // 60} min", _mask(site, part)
            kinds = ("resolution",)
            yield Injected("resolution", name, table(channel(label, power)), kinds, mask)
            energy = power * length / 3600
            said = channel(label, energy, quantity="kwh", duration_s=length)
            yield Injected("resolution", f"{name}, stated, kWh", table(said), kinds, mask)
            yield Injected(
                "resolution", f"{name}, kWh", table(channel(label, energy, quantity="kwh")), kinds, mask
            )
            spread = _put(site, part, np.repeat(mean, k))
            if np.mean(np.diff(site.kw) == 0) < 0.2:
                yield Injected("resolution", f"{name}, spread flat", spread, kinds, mask)


def short_span(site: SiteYear, rng: np.random.Generator) -> Iterator[Injected]:
    for days in (40, 181, 330):
        part = _days(site, rng, min(days, 320)) if days < 320 else slice(0, 330 * site.per_day)
        made = table(channel(site.timeline.utc_s[part], site.kw[part]))
        yield Injected("short span", f"{days} days", made, ("short_span",))


KINDS: dict[str, Callable[[SiteYear, np.random.Generator], Iterator[Injected]]] = {
    "gap": gaps,
    "duplicate": duplicates,
    "wrong clock": clock,
    "scale": scale,
    "end labels": end_labels,
    "stuck meter": stuck,
    "zeros": zeros,
    "negative": negatives,
    "outlier": outliers,
    "estimated": estimated,
    "resolution": resolution,
    "short span": short_span,
}


def recall(sites: Iterable[SiteYear], seed: int) -> tuple[dict[str, tuple[int, int]], list[str]]:
    """Found and injected by kind, and what was missed, over all sites."""
    hit = {kind: [0, 0] for kind in KINDS}
    missed = []
    for site in sites:
        base = known(audit(read(site), tz=site.tz, spikes=False))
        for kind, cases in KINDS.items():
            rng = np.random.default_rng([seed, *f"{site.name} {kind}".encode()])
            for case in cases(site, rng):
                hit[kind][1] += 1
                if found(site, case, base):
                    hit[kind][0] += 1
                else:
                    missed.append(f"{kind}: {case.size} on {site.name}")
    return {k: (a, b) for k, (a, b) in hit.items()}, missed


def alarms(made: Audit) -> list[str]:
    """Findings that accuse faultless data. The standing question for a bill's total accuses nothing."""
    return [f.kind for f in made.findings if f.severity != "info" and f.kind != "multiplier_unproven"]


def known(made: Audit) -> frozenset[tuple[str, str]]:
    """What the faultless year already shows."""
    return frozenset((f.kind, f.where) for f in made.findings if f.kind != "multiplier_unproven")
