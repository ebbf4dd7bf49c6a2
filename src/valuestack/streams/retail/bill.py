"""The bill: what a metered span costs by a tariff's own rule, every dollar in a ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from ...errors import DataError, InputError
from ...finding import Finding
from ...ledger import Entry, Ledger
from ...timeline import Kw, Timeline
from .cycles import Cycles, make_cycles
from .facts import BillFacts, History
from .item import Calendar, Metered, charge_in_order
from .tariff import Tariff

_ADVICE = {
    "power_factor": "give metered net_kvar, or BillFacts(power_factor=0.95)",
    "coincident_hours": "give the hours of system peak: BillFacts(coincident_hours=[...])",
    "cpp_events": "give the event days: BillFacts(cpp_events=[...]), or [] if none were called",
    "prices": "give hourly prices: BillFacts(prices=...)",
    "generation_kw": "give gross generation: BillFacts(generation_kw=...)",
}


@dataclass(frozen=True, slots=True)
class Version:
    """A tariff in force on days from_date <= day < until_date; None = open."""

    tariff: Tariff
    from_date: date | None = None
    until_date: date | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Bill:
    """A settled bill. total_usd: amount due = minus the sum of the entries, exactly."""

    tariff: str
    timeline: Timeline
    cycles: tuple[str, ...]
    ledger: Ledger
    assumptions: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def total_usd(self) -> float:
        """Amount due [USD]."""
        return -self.ledger.total_usd

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "tariff": self.tariff,
            "timeline": self.timeline.to_dict(),
            "cycles": list(self.cycles),
            "total_usd": self.total_usd,
            "entries": self.ledger.to_list(),
            "assumptions": list(self.assumptions),
            "findings": [f.to_dict() for f in self.findings],
        }


def versions_of(tariff: Any) -> tuple[Version, ...]:
    """Versions from one tariff, or from a sequence of tariffs or of objects with tariff, from_date, until_date."""
    rows = tariff if isinstance(tariff, Sequence) else (tariff,)
    out = []
    for row in rows:
        if isinstance(row, Tariff):
            out.append(
                Version(
                    row, row.valid_from if len(rows) > 1 else None, row.valid_until if len(rows) > 1 else None
                )
            )
        else:
            out.append(Version(row.tariff, row.from_date, row.until_date))
    if not out:
        raise InputError("tariff: none given")
    return tuple(out)


def bill(
    tariff: Tariff | Sequence[Any],
    timeline: Timeline,
    net_kw: Any,
    net_kvar: Any = None,
    *,
    history: Any = None,
    cycles: Any = None,
    facts: BillFacts | None = None,
) -> Bill:
    """Settle a metered net load by a tariff, or by the versions of it that were in force.

    net_kw: (n,) mean kW of each interval, > 0 drawn from the grid. net_kvar: (n,) or None. history: past
    peaks for ratchets, month 'YYYY-MM' -> kW. cycles: read dates (see `make_cycles`), else calendar months.
    facts: what the meter does not know. A tariff change inside a cycle is prorated: energy by metered
    intervals, everything else by days. Raises DataError naming each fact that is needed and missing, and
    InputError for series of the wrong length or with NaN.
    """
    facts = facts or BillFacts()
    kw = check_series("net_kw", net_kw, timeline)
    kvar = None if net_kvar is None else check_series("net_kvar", net_kvar, timeline)
    spans, past = make_cycles(timeline, cycles), History.of(history)
    parts = [_Part(v, timeline, kw, kvar, spans, past, facts) for v in versions_of(tariff)]
    _covered(parts, timeline)
    entries: list[Entry] = []
    assumptions: list[str] = []
    findings: list[Finding] = []
    for part in parts:
        entries += part.charge()
        assumptions += part.assumptions(spans, cycles is None)
        findings += part.findings()
    order = {name: i for i, name in enumerate(spans.names)}
    entries.sort(key=lambda e: order[e.cycle])
    return Bill(
        " / ".join(dict.fromkeys(p.version.tariff.name for p in parts)),
        timeline,
        spans.names,
        Ledger.of(entries),
        tuple(dict.fromkeys(assumptions)),
        tuple(findings),
    )


def check_series(name: str, values: Any, timeline: Timeline) -> Kw:
    """A float series of the timeline's length without NaN, or InputError."""
    kw = np.asarray(values, dtype=np.float64)
    if kw.shape != (timeline.n,):
        raise InputError(f"{name}: shape {kw.shape}, the timeline has {timeline.n} intervals")
    if not np.isfinite(kw).all():
        k = int(np.flatnonzero(~np.isfinite(kw))[0])
        raise InputError(
            f"{name}: {kw[k]} at {timeline.when(k).isoformat()} ({int((~np.isfinite(kw)).sum())} such "
            "values); audit and repair the data first"
        )
    return kw


def _covered(parts: list[_Part], timeline: Timeline) -> None:
    count = sum(p.mask.astype(int) for p in parts)
    bad = np.flatnonzero(np.atleast_1d(count) != 1)
    if bad.size:
        k = int(bad[0])
        what = "no version" if np.atleast_1d(count)[k] == 0 else "more than one version"
        raise InputError(
            f"tariff: {what} is in force at {timeline.when(k).isoformat()} ({bad.size} intervals); "
            "give from_date and until_date that touch"
        )


class _Part:
    """One version over its days of the span."""

    def __init__(
        self,
        version: Version,
        timeline: Timeline,
        kw: Kw,
        kvar: Kw | None,
        cycles: Cycles,
        past: History,
        facts: BillFacts,
    ) -> None:
        self.version, self.tariff = version, version.tariff
        self.timeline, self.cycles = timeline, cycles
        first = -(10**9) if version.from_date is None else version.from_date.toordinal() - 719163
        until = 10**9 if version.until_date is None else version.until_date.toordinal() - 719163
        self.mask = (timeline.day >= first) & (timeline.day < until)
        days = np.clip(np.minimum(cycles.until_day, until) - np.maximum(cycles.first_day, first), 0, None)
        self.share = days / cycles.days
        needed = {f: who for f, who in self.tariff.needs().items() if not _known(f, facts, kvar)}
        if needed and self.mask.any():
            raise DataError(
                f"{self.tariff.name} cannot be billed:\n"
                + "\n".join(
                    f"  - {', '.join(who)}: needs {fact}; {_ADVICE.get(fact, 'give it in BillFacts')}"
                    for fact, who in needed.items()
                )
            )
        holidays = facts.holidays if facts.holidays is not None else tariff_holidays(self.tariff, timeline)
        calendar = Calendar.of(timeline, holidays)
        name, who = self.tariff.name, self.tariff.counterparty or self.tariff.utility or "utility"
        self.whole = Metered(
            timeline, kw, kvar, cycles, calendar, facts, past, name, who, in_force_frac=self.share
        )
        if not self.mask.all():
            self.whole.counted = self.mask
        self.no_calendar = holidays is None

    def charge(self) -> list[Entry]:
        """Entries of every item in order, prorated where a cycle is shared with another version."""
        return charge_in_order(self.tariff.ordered, self.whole)

    def assumptions(self, cycles: Cycles, calendar_months: bool) -> list[str]:
        """What this bill took for granted."""
        out = [*self.tariff.stated, *self.whole.assumptions]
        if calendar_months:
            out.append("billing cycles are calendar months (no read dates were given)")
        if cycles.partial:
            out.append(
                f"cycles covered in part ({', '.join(cycles.partial)}): fixed and demand charges, tiers of "
                "energy and minimum bills are prorated by days"
            )
        if inside := self.outside():
            out.append(inside)
        if self.no_calendar:
            out.append(f"{self.tariff.name} names no holidays: every weekday is billed as a weekday")
        if not self.tariff.verified:
            out.append(
                f"{self.tariff.name}: not every figure was checked against its source "
                f"({self.tariff.source or 'none given'})"
            )
        return out

    def outside(self) -> str:
        """What to say of a single tariff that is billed on days on which it was not in force; '' if none."""
        first, until, days = self.tariff.valid_from, self.tariff.valid_until, self.timeline.local_date
        if self.version.from_date is not None or self.version.until_date is not None:
            return ""
        early = first is not None and days[0] < np.datetime64(first)
        late = until is not None and days[-1] > np.datetime64(until)
        if not (early or late):
            return ""
        return (
            f"{self.tariff.name} is dated {first or '...'} to {until or '...'}; {days[0]} to {days[-1]} is "
            "billed as if it were in force"
        )

    def findings(self) -> list[Finding]:
        """Eligibility of the billed series."""
        e = self.tariff.eligibility
        if e is None or not self.mask.any():
            return []
        top = np.zeros(self.cycles.n)
        np.maximum.at(top, self.cycles.index, self.whole.import_kw)
        whole = self.cycles.covered_frac > 1 - 1e-9
        energy = self.cycles.sums(self.whole.import_kw) * self.timeline.step_h
        out = []
        for values, low, high, unit in (
            (top, e.peak_kw_min, e.peak_kw_max, "kW"),
            (energy, e.energy_kwh_min, e.energy_kwh_max, "kWh"),
        ):
            rows = values if unit == "kW" else values[whole]
            for bound, bad, word in (
                (low, rows < (low if low is not None else -np.inf), "below"),
                (high, rows > (high if high is not None else np.inf), "above"),
            ):
                if bound is not None and bad.any():
                    worst = rows.min() if word == "below" else rows.max()
                    out.append(
                        Finding(
                            "eligibility",
                            "warning",
                            f"{self.tariff.name} is for {'at least' if word == 'below' else 'at most'} "
                            f"{bound:,.0f} {unit} a month; {int(bad.sum())} cycles are {word} it "
                            f"(as far as {worst:,.1f} {unit})",
                            where=f"tariff {self.tariff.name}",
                            count=int(bad.sum()),
                            remedy="ask the utility which class applies, and bill that one too"
                            + (f"; {e.text}" if e.text else ""),
                        )
                    )
        return out


def _known(fact: str, facts: BillFacts, kvar: Kw | None) -> bool:
    if fact == "power_factor":
        return kvar is not None or facts.power_factor is not None
    value = getattr(facts, fact, None)
    return value is not None or fact in facts.more


def tariff_holidays(tariff: Tariff, timeline: Timeline) -> Any:
    """Dates of the tariff's own calendar over the timeline, or None."""
    if tariff.holidays is None or isinstance(tariff.holidays, tuple):
        return tariff.holidays
    from .holidays import holiday_dates

    return holiday_dates(tariff.holidays, range(int(timeline.year[0]), int(timeline.year[-1]) + 1))
