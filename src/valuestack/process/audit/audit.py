"""The audit of one meter: readings in, a repaired load with marks, findings with dollars, a verdict out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, Disqualified, InputError
from ...finding import Finding
from ...sources.source import Channel, MeterTable
from ...terms import Term
from ...timeline import Ints, Kw, Timeline
from . import billed as bills
from . import faults
from . import filled as made_up
from .clock import active_hour, clock_move
from .grid import Regular, common, placed, regular, say, timeline_of
from .jumps import jumps
from .profile import Profile, profile
from .repair import LONGEST_DAYS, MOST_FRAC, Gap, fill

Price = Callable[[Timeline, Kw], float]
YEAR_DAYS = 360


@dataclass(frozen=True, slots=True, eq=False)
class Audit:
    """A meter after the audit. net_kw = import_kw - export_kw; native_load_kw without existing PV or battery;
    quality: 0 metered, 1 repaired or estimated. verdict: 'pass', 'pass with warnings', 'needs an answer',
    'disqualified' or 'overridden'."""

    name: str
    timeline: Timeline
    net_kw: Kw
    import_kw: Kw
    export_kw: Kw
    net_kvar: Kw | None
    quality: NDArray[np.int64]
    findings: tuple[Finding, ...]
    verdict: str
    mapping: dict[str, Any]
    profile: Profile
    repaired: tuple[Gap, ...] = ()
    reasons: tuple[str, ...] = ()
    native_load_kw: Kw | None = None

    @property
    def usable(self) -> bool:
        """Whether results may stand on it."""
        return self.verdict != "disqualified"

    def require(self) -> Audit:
        """Itself, or Disqualified with the reasons and how to override."""
        if not self.usable:
            raise Disqualified(
                f"{self.name}: the data cannot carry a result: {'; '.join(self.reasons)}. Mend the file, or "
                'write `override = "why"` for this meter (--override WHY) to use it all the same'
            )
        return self

    def lines(self) -> list[str]:
        """The audit in a few sentences."""
        p, t = self.profile, self.timeline
        out = [
            f"verdict: {self.verdict}" + (f" ({'; '.join(self.reasons)})" if self.reasons else ""),
            f"{t.n:,} intervals of {60 * t.step_h:g} minutes from {t.start:%Y-%m-%d %H:%M} to "
            f"{t.end:%Y-%m-%d %H:%M} ({t.tz}); "
            f"{int((self.quality > 0).sum()):,} repaired or estimated",
            f"{p.energy_kwh:,.0f} kWh, peak {p.peak_kw:,.1f} kW, load factor {p.load_factor:.2f}, "
            f"base {p.base_kw:,.1f} kW",
        ]
        out.append(f"recurring: {p.spike}" if p.spike is not None else "no recurring spike")
        if p.bill_hours:
            hours = sum(b.hours for b in p.bill_hours)
            usd = sum(b.usd for b in p.bill_hours)
            out.append(
                f"{hours:,.1f} hours set the bill: capping the load in just these by a tenth of each peak takes "
                f"${usd:,.0f} off its demand charges"
            )
        return out

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without interval series."""
        return {
            "meter": self.name,
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "timeline": self.timeline.to_dict(),
            "repaired_intervals": int((self.quality > 0).sum()),
            "mapping": dict(self.mapping),
            "findings": [f.to_dict() for f in self.findings],
            "profile": self.profile.to_dict(),
        }


@dataclass(slots=True, eq=False)
class _Work:
    """An audit in the making."""

    timeline: Timeline
    free_day: NDArray[np.bool_]
    findings: list[Finding] = field(default_factory=list)
    worst: list[tuple[int, Kw]] = field(default_factory=list)
    exports: NDArray[np.bool_] | None = None

    def note(self, finding: Finding, worst_kw: Kw | None = None) -> None:
        """A finding, and the series of the worst admissible reading, to be priced later."""
        if worst_kw is not None:
            self.worst.append((len(self.findings), worst_kw))
        self.findings.append(finding)


def audit(
    table: MeterTable,
    *,
    tz: str | None = None,
    usage_point: str | None = None,
    holidays: Iterable[date] = (),
    bill: Price | None = None,
    billed: Sequence[Any] = (),
    override: str | None = None,
    terms: Callable[[Timeline], Sequence[Term]] | None = None,
    spikes: bool = True,
    name: str = "meter",
) -> Audit:
    """Audit one meter.

    table: as read. tz: zone of the site (else that of the file). usage_point: which, where there are several.
    bill: prices a net load on a timeline, for dollars at stake. billed: totals with from_date, until_date and
    energy_kwh or peak_kw, which decide doubtful readings. override: why disqualified data are used all the
    same. terms: the tariff's terms on a timeline, for the hours that set the bill.
    Errors: InputError (no zone, several usage points), DataError (no series in the file).
    """
    zone = tz or table.tz
    if zone is None:
        raise InputError(
            f"{table.file}: the file names no time zone; say which, e.g. tz = 'America/New_York' (--tz)"
        )
    findings = list(table.findings)
    channels = _choose(table, usage_point)
    channels = [bills.decide_unit(c, billed, zone, findings) for c in channels]
    series = [regular(c, zone, findings) for c in channels]
    power = [s for s in series if s.channel.quantity not in ("kvar", "kvarh", "kva")]
    step, first, n = common(power)
    timeline = timeline_of(step, first, n, zone)
    free_day = (timeline.weekday >= 5) | timeline.on_dates(tuple(holidays))
    work = _Work(timeline, free_day, findings)
    work.exports = _exports(power, first, n)
    parts = {"import": np.zeros(n), "export": np.zeros(n)}
    quality = np.zeros(n, dtype=np.int64)
    gaps: list[Gap] = []
    for s in power:
        kw, flag, filled = _mend(work, s, first, n, billed)
        gaps += filled
        quality = np.maximum(quality, flag)
        side = "export" if s.channel.flow in ("received", "generation") else "import"
        if s.channel.flow == "net":
            parts["import"] += np.maximum(kw, 0)
            parts["export"] += np.maximum(-kw, 0)
        else:
            parts[side] += kw
    factor = bills.whole_factor(timeline, parts["import"], billed)
    parts = {side: kw * factor for side, kw in parts.items()}
    work.worst = [(k, kw * factor) for k, kw in work.worst]
    net = parts["import"] - parts["export"]
    _span(work, zone)
    _labels(work, power, zone, net)
    _marked_peaks(work, net, quality)
    model = table.mapping.get("kind") == "load_model"
    for told in bills.notes(timeline, parts["import"], billed, factor, model):
        work.note(told)
    reasons = _reasons(work, quality, gaps)
    priced = _price(work, net, bill)
    verdict = _verdict(priced, reasons, override)
    kvar = _kvar(series, first, n, step)
    kvar = None if kvar is None else kvar * factor
    asked = terms(timeline) if terms is not None else ()
    return Audit(
        name,
        timeline,
        net,
        parts["import"],
        parts["export"],
        kvar,
        quality,
        tuple(sorted(priced, key=lambda f: -(f.at_stake_usd or 0.0))),
        verdict,
        dict(table.mapping),
        profile(timeline, net, free_day, terms=asked, spikes=spikes),
        tuple(gaps),
        tuple(reasons),
        net,
    )


def _choose(table: MeterTable, usage_point: str | None) -> list[Channel]:
    electric = [c for c in table.channels if c.flow != "other"]
    points = list(dict.fromkeys(c.usage_point for c in electric))
    if not electric:
        raise DataError(
            f"{table.file}: holds no electricity readings (channels: "
            f"{', '.join(c.name or c.flow for c in table.channels) or 'none'})"
        )
    if usage_point is not None:
        electric = [c for c in electric if c.usage_point == usage_point]
        if not electric:
            raise InputError(
                f"usage_point: {usage_point!r} is not in {table.file}; it has {', '.join(map(repr, points))}"
            )
    elif len(points) > 1:
        raise InputError(
            f"{table.file}: holds {len(points)} usage points ({', '.join(map(repr, points))}); say which with "
            "usage_point = '...' (--usage-point)"
        )
    flows = {c.flow for c in electric}
    if "net" in flows and flows & {"delivered", "received"}:
        electric = [c for c in electric if c.flow != "net"]
    return [c for c in electric if c.value.size and np.isfinite(c.value).any()] or _nothing(table)


def _nothing(table: MeterTable) -> list[Channel]:
    raise DataError(f"{table.file}: no reading in it is a number")


def _mend(work: _Work, s: Regular, first: int, n: int, billed: Sequence[Any]) -> tuple[Kw, Ints, list[Gap]]:
    """One channel: find faults, take out what cannot be believed, fill, and mark."""
    t = work.timeline
    kw = placed(s.kw, s, first, n, np.nan)
    flag = placed(s.flag, s, first, n, 0).astype(np.int64)
    raw = kw.copy()
    label = s.channel.name or s.channel.flow
    if (flag > 0).any() and not any(
        f.kind in ("duplicate_contradicting", "resolution") for f in work.findings
    ):
        work.note(
            Finding(
                "estimated",
                "warning",
                f"{int((flag > 0).sum())} readings are flagged as estimated",
                label,
                int((flag > 0).sum()),
                "kept and marked",
            )
        )
    kw = _forward(work, label, kw) if s.channel.flow in ("delivered", "received", "generation") else kw
    kw, raw = _scaled(work, label, kw, raw, billed, s.channel.flow)
    bad, kept = _faults(t, kw, work.exports if s.channel.flow == "delivered" else None)
    for f, _ in bad:
        kw[f.first : f.first + f.n] = np.nan
    noted = _note_faults(work, bad, label, "taken out and filled from similar days")
    _note_faults(work, kept, label, "kept and marked as estimated: peaks inside are not metered")
    for f, _ in kept:
        flag[f.first : f.first + f.n] = 1
    missing = ~np.isfinite(kw)
    filled, gaps = fill(t, kw, work.free_day)
    for index, found in noted:
        as_metered = filled.copy()
        for f in found:
            as_metered[f.first : f.first + f.n] = raw[f.first : f.first + f.n]
        work.worst.append((index, as_metered))
    holes = ~np.isfinite(raw)
    if holes.any():
        _note_gaps(work, label, holes, filled, t)
    flag = np.where(missing, 1, flag)
    if s.other:
        worst = filled.copy()
        for k, value in s.other.items():
            at = (s.start_s - first) // s.step_s + k
            worst[at] = max(worst[at], value)
        told = next((i for i, f in enumerate(work.findings) if f.kind == "duplicate_contradicting"), None)
        if told is not None:
            work.worst.append((told, worst))
    _clock(work, filled, label)
    return filled, flag, gaps


def _forward(work: _Work, label: str, kw: Kw) -> Kw:
    """A channel that counts one way, without its readings below zero."""
    t, below = work.timeline, faults.negatives(kw)
    if not below.any():
        return kw
    work.note(
        Finding(
            "negative",
            "warning",
            f"{int(below.sum())} readings below zero on a channel that only counts one way, as low as "
            f"{np.nanmin(kw):,.1f} kW",
            f"{label}, first at {say(t.utc_s[np.flatnonzero(below)[0]], t.tz)}",
            int(below.sum()),
            "taken out and filled",
            remedy="if the meter nets export, say --read flow=net",
        )
    )
    return np.where(below, np.nan, kw)


def _exports(power: Sequence[Regular], first: int, n: int) -> NDArray[np.bool_]:
    """Where the meter counts what it sends out: its import is honestly zero there, (n,)."""
    out = np.zeros(n, dtype=bool)
    for s in power:
        if s.channel.flow == "received":
            out |= placed(s.kw, s, first, n, 0.0) > 0
    return out


def _faults(
    t: Timeline, kw: Kw, exports: NDArray[np.bool_] | None
) -> tuple[list[tuple[faults.Fault, str]], list[tuple[faults.Fault, str]]]:
    """Stretches that cannot be believed, and those that somebody estimated, each with its words."""
    bad = [(f, "a spike that nothing else in the data comes near") for f in faults.outliers(kw)]
    clean = _without(kw, bad)
    kept = [
        (f, "every interval of an hour or half-hour holds the same value: a coarser reading spread flat")
        for f in made_up.spread(t, clean)
    ]
    kept += [
        (f, "days equal to earlier ones to the last digit: copied by somebody")
        for f in made_up.copies(t, clean)
    ]
    rest = _without(clean, kept)
    bad += [(f, "one value repeated to the last digit") for f in faults.stuck(t, rest)]
    bad += [(f, "zero in a load that otherwise never comes near it") for f in faults.zeros(t, rest, exports)]
    bad += [(f, "readings on a straight line: filled by somebody") for f in made_up.lines(t, rest)]
    return bad, kept


def _without(kw: Kw, found: Sequence[tuple[faults.Fault, str]]) -> Kw:
    out = kw.copy()
    for f, _ in found:
        out[f.first : f.first + f.n] = np.nan
    return out


def _scaled(work: _Work, label: str, kw: Kw, raw: Kw, billed: Sequence[Any], flow: str) -> tuple[Kw, Kw]:
    """Readings and readings as metered, stretches on another multiplier brought to the level of the rest,
    unless a bill says that they are real."""
    t, as_metered = work.timeline, kw
    for f in jumps(t, kw, work.free_day):
        part = slice(f.first, f.first + f.n)
        says = bills.side(t, as_metered, f, billed)
        if says != "real":
            kw, raw = kw.copy(), raw.copy()
            kw[part] = kw[part] / f.factor
            raw[part] = raw[part] / f.factor
        work.note(
            Finding(
                "multiplier_jump",
                "question" if says is None else "info" if says == "real" else "warning",
                f"the whole daily shape is {f.note} that of the rest: a multiplier, a transformer ratio or kW for kWh",
                f"{label}, {say(t.utc_s[f.first], t.tz)} to {say(t.utc_s[f.first + f.n - 1], t.tz)}",
                f.n,
                "left as it is: a billed total confirms it" if says == "real" else f"divided by {f.factor:g}",
                remedy="" if says else "give the billed kWh of this stretch, or check its multiplier",
            ),
            np.nan_to_num(as_metered) if flow != "received" and says is None else None,
        )
    return kw, raw


def _note_faults(
    work: _Work, found: Sequence[tuple[faults.Fault, str]], label: str, done: str
) -> list[tuple[int, list[faults.Fault]]]:
    """One finding a kind; returns the findings' numbers with their stretches."""
    t = work.timeline
    groups: dict[tuple[str, str], list[faults.Fault]] = {}
    noted: list[tuple[int, list[faults.Fault]]] = []
    for f, words in found:
        groups.setdefault((f.kind, words), []).append(f)
    for (kind, words), alike in groups.items():
        noted.append((len(work.findings), alike))
        total = sum(f.n for f in alike)
        longest = max(alike, key=lambda f: f.n)
        where = f"{label}, first at {say(t.utc_s[alike[0].first], t.tz)}"
        if len(alike) > 1 or longest.n > 1:
            where += f", longest {longest.n * t.step_h:,.1f} h from {say(t.utc_s[longest.first], t.tz)}"
        shown = ", ".join(dict.fromkeys(f.note for f in alike[:3] if f.note))
        work.note(
            Finding(
                kind,
                "warning",
                f"{words}{f' ({shown})' if shown else ''}: {total} intervals in {len(alike)} stretches",
                where,
                total,
                done,
                remedy="if it is real, say so with an override",
            )
        )
    return noted


def _note_gaps(work: _Work, label: str, holes: NDArray[np.bool_], filled: Kw, t: Timeline) -> None:
    from .repair import runs

    found = runs(holes)
    longest = max(found, key=lambda g: g[1])
    worst = filled.copy()
    # The worst that may have stood in a gap is the highest load of the same clock slots within four weeks.
    slot = t.local_s % 86400 // t.step_s
    for a, n in found:
        near = slice(max(0, a - round(28 * 24 / t.step_h)), min(t.n, a + n + round(28 * 24 / t.step_h)))
        for s in np.unique(slot[a : a + n]):
            mine = slot[near] == s
            worst[a : a + n][slot[a : a + n] == s] = filled[near][mine].max()
    work.note(
        Finding(
            "gap",
            "warning",
            f"{int(holes.sum())} intervals are missing in {len(found)} gaps",
            f"{label}, first at {say(t.utc_s[found[0][0]], t.tz)}, longest {longest[1] * t.step_h:,.2f} h from "
            f"{say(t.utc_s[longest[0]], t.tz)}",
            int(holes.sum()),
            "up to 2 h by a straight line, longer from similar days; marked",
        ),
        worst,
    )


def _clock(work: _Work, kw: Kw, label: str) -> None:
    """The daily shape must not move when the clock changes."""
    t = work.timeline
    move = clock_move(t, kw)
    if move is None:
        return
    what = (
        f"the daily shape moves by {abs(move.hours):.1f} h against the wall clock at every clock change: the labels "
        "follow another clock (standard time, UTC or another zone)"
        if not move.rule
        else f"{t.tz} has no summer time, but the daily shape moves by {abs(move.hours):.1f} h where the clocks of "
        f"{move.rule} change: the site keeps summer time"
    )
    work.note(
        Finding(
            "clock_shift",
            "question",
            what,
            label,
            t.n,
            "",
            remedy="check the zone: for labels in standard time all year a fixed one such as Etc/GMT+8, "
            "for a site that keeps summer time its own, such as America/Chicago",
        ),
        np.roll(kw, round(1 / t.step_h)),
    )


def _labels(work: _Work, power: Sequence[Regular], tz: str, net: Kw) -> None:
    """What labels leave open: start or end of the interval, standard time or UTC."""
    unsaid = [s for s in power if s.channel.label == "unknown"]
    if unsaid and not any(f.kind == "label" for f in work.findings):
        work.note(
            Finding(
                "label",
                "question",
                "the file does not say whether a time marks the start or the end of its interval",
                unsaid[0].channel.name or unsaid[0].channel.flow,
                work.timeline.n,
                "read as the start",
                remedy="say --read label=start or --read label=end",
            ),
            np.roll(net, 1),
        )
    if not any(f.kind == "standard_time" for f in work.findings):
        return
    hour, strength = active_hour(work.timeline, net)
    offset_h = float((work.timeline.local_s - work.timeline.utc_s).min()) / 3600
    as_utc = (hour + offset_h) % 24
    if strength > 0.1 and not 9 <= hour <= 16.5 and 8 <= as_utc <= 18:
        work.note(
            Finding(
                "labels_utc",
                "question",
                f"read as standard time the load is drawn around {hour:.0f}:00, read as UTC around {as_utc:.0f}:00: "
                "the labels may be UTC",
                "whole file",
                work.timeline.n,
                "read as standard time",
                remedy="say --read clock=utc, or clock=wall to keep this reading",
            ),
            np.roll(net, round(offset_h / work.timeline.step_h)),
        )


def _span(work: _Work, tz: str) -> None:
    t = work.timeline
    days = t.hours / 24
    if days < YEAR_DAYS:
        work.note(
            Finding(
                "short_span",
                "warning",
                f"the data span {days:,.0f} days, less than a year: seasons are missing",
                f"{t.start:%Y-%m-%d} to {t.end:%Y-%m-%d}",
                t.n,
                remedy="get twelve months before money depends on it",
            )
        )


def _marked_peaks(work: _Work, net: Kw, quality: Ints) -> None:
    """Months whose highest interval is repaired: no peak is billed on an invented value unmarked."""
    t = work.timeline
    rows = []
    for m in np.unique(t.month_id):
        mine = np.flatnonzero(t.month_id == m)
        k = int(mine[np.argmax(net[mine])])
        metered = mine[quality[mine] == 0]
        if quality[k] and metered.size:
            rows.append(
                f"{np.datetime64(int(m), 'M')}: {net[k]:,.1f} kW repaired, {net[metered].max():,.1f} kW metered"
            )
        elif quality[k]:
            rows.append(f"{np.datetime64(int(m), 'M')}: wholly repaired")
    if rows:
        capped = net.copy()
        for m in np.unique(t.month_id):
            mine = t.month_id == m
            metered = mine & (quality == 0)
            if metered.any():
                capped[mine] = np.minimum(capped[mine], net[metered].max())
        work.note(
            Finding(
                "repaired_peak",
                "warning",
                f"the peak of {len(rows)} months stands on a repaired value",
                "; ".join(rows),
                len(rows),
                "billed as repaired, and marked",
                remedy="ask the utility for the billed demand of these months",
            ),
            capped,
        )


def _reasons(work: _Work, quality: Ints, gaps: Sequence[Gap]) -> list[str]:
    t, out = work.timeline, []
    share = float((quality > 0).mean())
    if share > MOST_FRAC:
        out.append(f"{share:.0%} of the intervals are repaired or estimated, more than {MOST_FRAC:.0%}")
    longest = max((g.n for g in gaps), default=0) * t.step_h / 24
    if longest > LONGEST_DAYS:
        out.append(f"one stretch of {longest:,.0f} days has no usable reading, more than {LONGEST_DAYS:g}")
    return out


def _price(work: _Work, net: Kw, bill: Price | None) -> list[Finding]:
    """Findings with the dollars that hang on them: bill of the worst admissible reading less bill as repaired."""
    if bill is None or not work.worst:
        return work.findings
    base = bill(work.timeline, net)
    out = list(work.findings)
    for index, series in work.worst:
        stake = abs(bill(work.timeline, np.nan_to_num(series)) - base)
        out[index] = replace(out[index], at_stake_usd=max(stake, out[index].at_stake_usd or 0.0))
    return out


def _verdict(findings: Sequence[Finding], reasons: Sequence[str], override: str | None) -> str:
    if reasons:
        return "overridden" if override else "disqualified"
    kinds = {f.severity for f in findings}
    if "question" in kinds:
        return "needs an answer"
    return "pass with warnings" if kinds & {"warning", "error"} else "pass"


def _kvar(series: Sequence[Regular], first: int, n: int, step: int) -> Kw | None:
    """Reactive power on the meter's grid: delivered less received; gaps take the neighbour's value."""
    rows = [s for s in series if s.channel.quantity in ("kvar", "kvarh") and s.step_s == step]
    if not rows:
        return None
    out = np.zeros(n)
    for s in rows:
        begin = (s.start_s - first) // step
        good = np.flatnonzero(np.isfinite(s.kw)) + begin
        good = good[(good >= 0) & (good < n)]
        if good.size:
            values = np.interp(np.arange(n), good, s.kw[good - begin])
            out += -values if s.channel.flow in ("received", "generation") else values
    return out
