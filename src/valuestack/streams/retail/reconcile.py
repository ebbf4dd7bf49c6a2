"""Our bill against the utility's: expected, settled, paid, and the likely cause of each difference.

A cause is not guessed from the look of a difference. Each hypothesis (other read dates, another demand
window, a tax twice, ...) is *billed again*, and the one whose bill comes out as paid is named:

    residual(h, cycle) = sum over rows |settled under h - paid|;   named if residual <= rounding of the rows

A hypothesis with a fitted number (a multiplier, an unknown rider) needs more rows than numbers fitted. Where
none explains a cycle, the row says 'unexplained'; where two explain it equally, both are listed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, timedelta
from itertools import pairwise
from math import fsum, isfinite
from typing import Any

import numpy as np

from ...errors import InputError
from ...ledger import Entry, Ledger
from ...timeline import Kw, Timeline
from .repriced import labels, repriced

UNEXPLAINED = "unexplained"
SHARE = 0.02
TOTAL_WORDS = ("total", "amount due", "bill")
# Words that utilities print, by the first part of our item names.
WORDS: Mapping[str, tuple[str, ...]] = {
    "demand": ("demand", "facilities", "kw "),
    "energy": ("energy", "usage", "kwh", "consumption"),
    "fixed": ("fixed", "customer", "basic service", "meter charge"),
    "tax": ("tax",),
    "power_factor": ("power factor", "kva"),
    "reactive": ("reactive", "kvar"),
    "rider": ("rider", "surcharge", "adjustment"),
    "critical_peak": ("critical", "cpp", "event"),
    "minimum": ("minimum",),
    "export": ("export", "net metering", "credit"),
    "supply": ("supply", "generation"),
    "coincident": ("coincident", "capacity", "transmission"),
    "standby": ("standby", "reservation"),
}


@dataclass(frozen=True, slots=True)
class Paid:
    """One line of a utility's bill; usd > 0 is charged. Cycle: [cycle_start, cycle_end)."""

    cycle_start: date
    cycle_end: date
    item: str
    usd: float
    quantity: float | None = None
    unit: str = ""
    place: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """All that a bill is made from, as `bill` takes it; cycles are the read dates in order."""

    tariff: Any
    timeline: Timeline
    net_kw: Kw
    net_kvar: Kw | None = None
    history: Any = None
    cycles: tuple[date, ...] = ()
    facts: Any = None


@dataclass(frozen=True, slots=True, eq=False)
class Hypothesis:
    """One cause that may lie behind a difference.

    cause: its family, such as 'read dates'. words: for a person; at(cycle) instead where they depend on the
    cycle. change: the case as it may have been. amend: the ledger as it may have been charged. fitted: how
    many numbers were fitted to the bill. local: may hold for one cycle and not for the next.
    """

    cause: str
    words: str
    change: Callable[[Case], Case] | None = None
    amend: Callable[[Ledger], Ledger] | None = None
    fitted: int = 0
    local: bool = False
    at: Callable[[int], str] | None = None

    def said(self, cycle: int) -> str:
        """The words for one cycle."""
        return self.at(cycle) if self.at else self.words


@dataclass(frozen=True, slots=True)
class Row:
    """One item of one cycle: expected (the forecast, where one is given), settled (our bill), paid.

    difference_usd = paid - settled. cause: family, 'unexplained', or '' where they agree; words say more;
    explained_usd is what the row comes to under the cause; also: other causes that explain it equally.
    """

    cycle: str
    item: str
    unit: str
    settled_quantity: float | None
    paid_quantity: float | None
    expected_usd: float
    settled_usd: float
    paid_usd: float
    cause: str = ""
    words: str = ""
    explained_usd: float | None = None
    also: tuple[str, ...] = ()

    @property
    def difference_usd(self) -> float:
        return self.paid_usd - self.settled_usd


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """All rows, the hypotheses tested, and what was assumed in comparing."""

    lines: tuple[Row, ...]
    tested: int
    assumptions: tuple[str, ...] = ()

    @property
    def difference_usd(self) -> float:
        """Paid - settled over rows that are no totals (over totals where the file states nothing else)."""
        parts = [r for r in self.lines if not _is_total(r.item)] or list(self.lines)
        return fsum(r.difference_usd for r in parts)

    @property
    def causes(self) -> tuple[str, ...]:
        """Causes named, most frequent first."""
        named = [r.cause for r in self.lines if r.cause]
        return tuple(sorted(dict.fromkeys(named), key=lambda c: -named.count(c)))

    def rows(self) -> list[dict[str, Any]]:
        """Rows as plain values, difference included."""
        return [{**asdict(r), "difference_usd": r.difference_usd} for r in self.lines]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "rows": self.rows(),
            "difference_usd": self.difference_usd,
            "causes": list(self.causes),
            "tested": self.tested,
            "assumptions": list(self.assumptions),
        }


def read_paid(rows: Iterable[Mapping[str, Any]], *, where: str = "actual bill") -> tuple[Paid, ...]:
    """Lines from mappings with cycle_start, cycle_end, item, usd, and quantity and unit where stated."""
    out: list[Paid] = []
    problems: list[str] = []
    for n, row in enumerate(rows, 1):
        at = f"line {row.get('place') or n}"
        try:
            start, end = _day(row.get("cycle_start")), _day(row.get("cycle_end"))
            usd = float(row["usd"])
            quantity = None if row.get("quantity") in (None, "") else float(row["quantity"])
        except (KeyError, TypeError, ValueError) as e:
            problems.append(f"{at}: needs cycle_start, cycle_end (YYYY-MM-DD), item and usd ({e})")
            continue
        if end <= start:
            problems.append(f"{at}: cycle_end {end} is not after cycle_start {start}")
        elif not isfinite(usd):
            problems.append(f"{at}: usd {usd!r} is not a finite number")
        else:
            out.append(
                Paid(
                    start,
                    end,
                    str(row.get("item") or "total").strip(),
                    usd,
                    quantity,
                    str(row.get("unit") or "").strip(),
                    row.get("place"),
                )
            )
    if not out and not problems:
        problems.append("holds no lines")
    if problems:
        raise InputError.collect(where, problems)
    return tuple(out)


def _day(value: Any) -> date:
    return value if isinstance(value, date) else date.fromisoformat(str(value)[:10])


def reconcile(
    case: Case,
    paid: Iterable[Mapping[str, Any]] | Sequence[Paid],
    *,
    bill: Callable[[Case], Ledger] | None = None,
    versions: Mapping[str, Any] | None = None,
    expected: Ledger | None = None,
    extra: Sequence[Hypothesis] = (),
) -> Reconciliation:
    """Compare `case` billed by us with what was paid, and name the cause of each difference.

    paid: rows of the utility's bill (mappings or Paid). versions: other versions of the tariff by name.
    expected: an earlier forecast of the same cycles. extra: hypotheses to test besides the built-in ones.
    bill: how a case becomes a ledger; default is this package's own bill. Errors: InputError where no paid
    cycle lies inside the data.
    """
    lines = tuple(p if isinstance(p, Paid) else q for p, q in _both(paid))
    lines, notes = _exclusive_ends(lines)
    spans = _covered(lines, case.timeline, notes)
    lines = tuple(p for p in lines if (p.cycle_start, p.cycle_end) in spans)
    case = replace(case, cycles=_boundaries(spans, case.timeline))
    judge = _Judge(case, lines, spans, bill or _own_bill)
    found = judge.search(versions or {}, tuple(extra))
    forecast = judge.values(expected) if expected is not None else None
    return Reconciliation(tuple(judge.rows(found, forecast)), judge.tested, tuple(notes))


def _both(paid: Iterable[Any]) -> Iterator[tuple[Any, Paid]]:
    for k, p in enumerate(paid, 1):
        yield p, p if isinstance(p, Paid) else read_paid([{"place": k, **p}])[0]


def _own_bill(case: Case) -> Ledger:
    from .bill import bill

    made = bill(
        case.tariff,
        case.timeline,
        case.net_kw,
        case.net_kvar,
        history=case.history,
        cycles=case.cycles,
        facts=case.facts,
    )
    return made.ledger


def _exclusive_ends(lines: tuple[Paid, ...]) -> tuple[tuple[Paid, ...], list[str]]:
    """Bills print the last day as read day (excluded) or as last day (included); successive cycles tell."""
    ends, starts = {p.cycle_end for p in lines}, {p.cycle_start for p in lines}
    inclusive = sum(e + timedelta(days=1) in starts for e in ends)
    exclusive = sum(e in starts for e in ends)
    if inclusive > exclusive:
        moved = tuple(replace(p, cycle_end=p.cycle_end + timedelta(days=1)) for p in lines)
        return moved, [
            "cycle_end is read as the last day of a cycle, since the next one starts the day after"
        ]
    if exclusive == 0:
        return lines, [
            "cycle_end is taken as the read day, which belongs to the next cycle; one cycle alone cannot tell"
        ]
    return lines, []


def _covered(lines: tuple[Paid, ...], t: Timeline, notes: list[str]) -> list[tuple[date, date]]:
    first, last = t.start.date(), (t.end - timedelta(seconds=1)).date() + timedelta(days=1)
    spans = sorted({(p.cycle_start, p.cycle_end) for p in lines})
    inside = [s for s in spans if s[0] >= first and s[1] <= last]
    clash = [f"{a[0]}/{a[1]} and {b[0]}/{b[1]}" for a, b in pairwise(inside) if b[0] < a[1]]
    if clash:
        raise InputError.collect("actual bill", [f"cycles overlap: {c}" for c in clash])
    for s in spans:
        if s not in inside:
            notes.append(
                f"cycle {s[0]}/{s[1]} lies outside the meter data ({first} to {last}) and is left out"
            )
    if not inside:
        raise InputError(
            f"actual bill: no cycle lies inside the meter data, {first} to {last}; "
            "give bills of that time or more data"
        )
    return inside


def _boundaries(spans: Sequence[tuple[date, date]], t: Timeline) -> tuple[date, ...]:
    """Read dates: all ends and starts of the paid cycles, and the ends of the data beyond them."""
    first, last = t.start.date(), (t.end - timedelta(seconds=1)).date() + timedelta(days=1)
    return tuple(sorted({first, last, *(d for s in spans for d in s)}))


def _is_total(item: str) -> bool:
    return item.strip().lower().startswith(TOTAL_WORDS)


def _plain(text: str) -> str:
    return " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())


def _fits(entry: Entry, item: str) -> int:
    """How closely an entry answers to a printed item: 4 exact, 3 part, 2 by words, 1 total, 0 not."""
    ours, printed = _plain(entry.item), _plain(item)
    if _is_total(item):
        return 1
    if printed in (ours, _plain(f"{entry.stream} {entry.item}")):
        return 4
    if f" {ours} ".startswith(f" {printed} "):
        return 3
    head = entry.item.split("/")[0].strip().lower().replace(" ", "_")
    return 2 if any(w in f"{printed} " for w in WORDS.get(head, (head.replace("_", " "),))) else 0


@dataclass
class _Judge:
    """Holds the case, the paid lines and a cache of what each hypothesis comes to."""

    case: Case
    lines: tuple[Paid, ...]
    spans: list[tuple[date, date]]
    bill: Callable[[Case], Ledger]
    tested: int = 0
    base: Ledger = field(init=False)
    keys: list[tuple[int, str]] = field(init=False)

    def __post_init__(self) -> None:
        self.base = self.bill(self.case)
        self.paid: dict[tuple[int, str], Paid] = {}
        for p in self.lines:
            key = (self.spans.index((p.cycle_start, p.cycle_end)), p.item)
            if key in self.paid:
                old = self.paid[key]
                both = None if None in (old.quantity, p.quantity) else (old.quantity or 0) + (p.quantity or 0)
                p = replace(p, usd=old.usd + p.usd, quantity=both)
            self.paid[key] = p
        self.owner: dict[tuple[str, str], str] = {}
        self.keys = list(self.paid)
        self.ours = self.values(self.base)
        self.keys += [k for k in self.ours if k not in self.paid]

    def cycles_of(self, ledger: Ledger) -> dict[str, int]:
        """Which of the ledger's cycles stands for which paid cycle: the one that overlaps it most."""
        spans = {e.cycle: _span(e.cycle) for e in ledger if e.layer == 1}
        out: dict[str, int] = {}
        for k, mine in enumerate(self.spans):
            label = max(spans, key=lambda name: _overlap(mine, spans[name]), default="")
            if label and 2 * _overlap(mine, spans[label]) > (mine[1] - mine[0]).days:
                out[label] = k
        return out

    def cycle_of(self, entry: Entry) -> int | None:
        """The paid cycle in which an entry of our own bill counts."""
        return self.cycles_of(self.base).get(entry.cycle) if entry.layer == 1 else None

    def place(self, entry: Entry, k: int) -> list[str]:
        """Items of paid cycle k under which an entry counts: one line at most, and every total."""
        printed = [i for (c, i) in self.paid if c == k]
        scores = {i: _fits(entry, i) for i in printed}
        single = {i: s for i, s in scores.items() if s >= 2}
        own = [max(single, key=lambda i: (single[i], len(i)))] if single else []
        totals = [i for i, s in scores.items() if s == 1]
        if not own and len(totals) < len(printed):
            own = [entry.item]
        return own + totals

    def values(self, ledger: Ledger) -> dict[tuple[int, str], tuple[float, float, int, str]]:
        """(cycle, item) -> usd due, quantity, number of entries, unit."""
        parts: dict[tuple[int, str], list[Entry]] = {}
        where = self.cycles_of(ledger)
        for e in ledger:
            k = where.get(e.cycle, -1) if e.layer == 1 else -1
            for item in self.place(e, k) if k >= 0 else ():
                parts.setdefault((k, item), []).append(e)
        out = {}
        for key, entries in parts.items():
            units = {e.unit for e in entries}
            q = fsum(e.quantity for e in entries) if len(units) == 1 else float("nan")
            out[key] = (
                -fsum(e.usd for e in entries),
                q,
                len(entries),
                units.pop() if len(units) == 1 else "",
            )
        return out

    def tolerance(self, key: tuple[int, str]) -> float:
        """Each printed line is rounded to a cent, and so is each part of ours."""
        return 0.01 + 0.005 * self.ours.get(key, (0.0, 0.0, 1, ""))[2]

    def gaps(
        self, values: Mapping[tuple[int, str], tuple[float, float, int, str]]
    ) -> dict[tuple[int, str], float]:
        """Paid - settled by (cycle, item) of the rows compared."""
        return {
            k: (self.paid[k].usd if k in self.paid else 0.0) - values.get(k, (0.0,))[0] for k in self.keys
        }

    def residual(self, gaps: Mapping[tuple[int, str], float]) -> np.ndarray[Any, Any]:
        """Difference beyond rounding, by cycle [USD]."""
        out = np.zeros(len(self.spans))
        for key, gap in gaps.items():
            out[key[0]] += max(0.0, abs(gap) - self.tolerance(key))
        return out

    def off(self) -> np.ndarray[Any, Any]:
        return self.residual(self.gaps(self.ours))

    def try_(
        self, h: Hypothesis
    ) -> tuple[Ledger, dict[tuple[int, str], tuple[float, float, int, str]]] | None:
        """The ledger under a hypothesis; None where the case cannot be billed so."""
        self.tested += 1
        try:
            ledger = self.bill(h.change(self.case)) if h.change else self.base
        except InputError:
            return None
        ledger = h.amend(ledger) if h.amend else ledger
        return ledger, self.values(ledger)

    def search(self, versions: Mapping[str, Any], extra: tuple[Hypothesis, ...]) -> dict[int, _Finding]:
        """For each cycle that differs, the hypothesis that explains it best."""
        before = self.off()
        wrong = [int(k) for k in np.flatnonzero(before > 0)]
        if not wrong:
            return {}
        results = []
        for h in (*extra, *hypotheses(self, versions)):
            tried = self.try_(h)
            if tried is not None:
                results.append((h, tried[1], self.residual(self.gaps(tried[1]))))
        return {k: self._best(k, wrong, before, results) for k in wrong}

    def _best(self, k: int, wrong: list[int], before: np.ndarray[Any, Any], results: list[Any]) -> _Finding:
        """Of all that explain cycle k: what explains most cycles, breaks fewest, and fits fewest numbers."""
        informative = sum(1 for key in self.keys if key[0] in wrong)

        def merit(x: Any) -> tuple[int, int]:
            h, _, r = x
            explained = sum(bool(r[j] <= SHARE * before[j]) for j in wrong)
            broken = 0 if h.local else int(np.count_nonzero(r[before == 0] > 0))
            return explained - broken, -h.fitted

        usable = [x for x in results if informative > x[0].fitted]
        # First what is right to the rounding; then what leaves 2 % of the difference, and the row shows it.
        # One or two amounts come near many a hypothesis by chance: there only what is right to the rounding.
        printed = sum(key[0] == k for key in self.paid)
        share = SHARE if printed > 2 else 0.0
        full = [x for x in usable if x[2][k] <= 0] or [x for x in usable if x[2][k] <= share * before[k]]
        if not full:
            return _Finding(None, self.ours, ())
        full.sort(key=merit, reverse=True)
        best = full[0]
        also = [x[0].said(k) for x in full[1:] if x[0].cause != best[0].cause and merit(x) == merit(best)]
        return _Finding(best[0], best[1], tuple(dict.fromkeys(also)))

    def rows(self, found: Mapping[int, _Finding], forecast: Any) -> Iterator[Row]:
        """One row per cycle and item, in the order of time."""
        for key in sorted(self.keys, key=lambda k: k[0]):
            k, item = key
            usd, quantity, _, unit = self.ours.get(key, (0.0, float("nan"), 0, ""))
            paid = self.paid.get(key)
            paid_usd = paid.usd if paid else 0.0
            cause, words = "", ""
            explained: float | None = None
            also: tuple[str, ...] = ()
            if abs(paid_usd - usd) > self.tolerance(key):
                f = found.get(k, _Finding(None, self.ours, ()))
                cause, words = (
                    (f.hypothesis.cause, f.hypothesis.said(k)) if f.hypothesis else (UNEXPLAINED, "")
                )
                if f.hypothesis:
                    explained, also = f.values.get(key, (0.0,))[0], f.also
            a, b = self.spans[k]
            yield Row(
                f"{a}/{b - timedelta(days=1)}",
                item,
                (paid.unit if paid and paid.unit else unit),
                quantity if isfinite(quantity) else None,
                paid.quantity if paid else None,
                forecast.get(key, (0.0,))[0] if forecast is not None else usd,
                usd,
                paid_usd,
                cause,
                words,
                explained,
                also,
            )


@dataclass(frozen=True, slots=True, eq=False)
class _Finding:
    hypothesis: Hypothesis | None
    values: Mapping[tuple[int, str], Any]
    also: tuple[str, ...]


def _span(label: str) -> tuple[date, date]:
    """'2018-07' or '2018-06-14/2018-07-15' as [start, end)."""
    if "/" in label:
        a, b = label.split("/")
        return date.fromisoformat(a[:10]), date.fromisoformat(b[:10])
    y, m = int(label[:4]), int(label[5:7])
    return date(y, m, 1), date(y + m // 12, m % 12 + 1, 1)


def _overlap(a: tuple[date, date], b: tuple[date, date]) -> int:
    return max(0, (min(a[1], b[1]) - max(a[0], b[0])).days)


def hypotheses(judge: _Judge, versions: Mapping[str, Any]) -> Iterator[Hypothesis]:
    """Everything that is tested, the plainest first."""
    yield from _versions(versions)
    yield from _charges(judge)
    yield from _rates(judge)
    yield from _power_factors(judge)
    yield from _histories(judge)
    yield from _multipliers(judge)
    yield from _windows(judge)
    yield from _tiers(judge)
    yield from _clocks(judge)
    yield from _dates(judge)
    yield from _unlisted(judge)
    yield from _prices(judge)


def _versions(versions: Mapping[str, Any]) -> Iterator[Hypothesis]:
    for name, tariff in versions.items():
        yield Hypothesis(
            "tariff version",
            f"billed on the tariff version {name}",
            change=_with(_replaced, "tariff", tariff),
            local=True,
        )


def _times(test: Callable[[Entry], bool], factor: float) -> Callable[[Ledger], Ledger]:
    return lambda ledger: Ledger(
        tuple(replace(e, usd=e.usd * factor, quantity=e.quantity * factor) if test(e) else e for e in ledger)
    )


def _charges(judge: _Judge) -> Iterator[Hypothesis]:
    """Taxes and riders of our tariff that were not charged, or charged twice."""
    heads = dict.fromkeys(e.item for e in judge.base if e.item.split("/")[0] in ("tax", "rider"))
    for item in heads:
        family = item.split("/")[0]
        for factor, words in ((0.0, "was not charged"), (2.0, "was charged twice")):
            yield Hypothesis(family, f"{item} {words}", local=True, amend=_times(_is_item(item), factor))
    for family in ("tax", "rider"):
        if sum(i.split("/")[0] == family for i in heads) > 1:
            yield Hypothesis(
                family,
                f"no {family} at all was charged",
                local=True,
                amend=_times(_is_family(family), 0.0),
            )


def _ratio(judge: _Judge, item: str) -> float | None:
    """Paid over settled of a row over the cycles that differ in it, at least two of them; None where unknown."""
    wrong = [
        k
        for k in judge.keys
        if k[1] == item
        and k in judge.paid
        and abs(judge.ours.get(k, (0.0,))[0]) > 1.0
        and abs(judge.paid[k].usd - judge.ours[k][0]) > judge.tolerance(k)
    ]
    ours = fsum(judge.ours[k][0] for k in wrong)
    return fsum(judge.paid[k].usd for k in wrong) / ours if len(wrong) > 1 and ours else None


def _ratios(judge: _Judge, kinds: Sequence[str]) -> dict[str, float]:
    """Ratio by row of the tariff's items of these kinds; rows that several items share have none."""
    names = [n for t in _tariffs(judge.case) for i in t.items if i.kind in kinds for n in labels(i)]
    # A printed row may bear other words than our item: by the row under which the item's entries are compared.
    row = {e.item: judge.place(e, k)[0] for e in judge.base if (k := judge.cycle_of(e)) is not None}
    alone = [n for n in dict.fromkeys(names) if sum(r == row.get(n) for r in row.values()) == 1]
    found = {n: _ratio(judge, row[n]) for n in alone}
    return {n: r for n, r in found.items() if r is not None and r > 0}


def _rates(judge: _Judge) -> Iterator[Hypothesis]:
    """A tax or rider of our tariff at another rate; the bill is made anew, so that a tax on a rider follows."""
    for name, ratio in _ratios(judge, ("tax", "rider")).items():
        item = next(i for t in _tariffs(judge.case) for i in t.items if name in labels(i))
        yield Hypothesis(
            item.kind,
            f"{name} was charged at {_rate(item, ratio)}",
            change=_with(_edited, _at_prices({name: ratio})),
            fitted=1,
            local=True,
        )


def _rate(item: Any, ratio: float) -> str:
    if item.share_frac is not None:
        return f"{100 * ratio * item.share_frac:.4g} % instead of {100 * item.share_frac:.4g} %"
    if item.usd is not None:
        return f"{ratio * item.usd:.5g} USD/{item.per} instead of {item.usd:.5g}"
    return f"{ratio:.5g} times the rate that our tariff states"


def _prices(judge: _Judge) -> Iterator[Hypothesis]:
    """Every price that differs by a factor of its own, as another version of the rate would have it."""
    ratios = _ratios(judge, ("fixed", "demand", "energy", "coincident", "rider"))
    if any(not name.startswith("rider") for name in ratios):  # a rider alone is one rate that differs
        said = ", ".join(f"{name} at {r:.4g} times our price" for name, r in ratios.items())
        yield Hypothesis(
            "tariff version",
            f"billed at the prices of another version of the rate: {said}",
            change=_with(_edited, _at_prices(ratios)),
            fitted=len(ratios),
            local=True,
        )


def _at_prices(factors: Mapping[str, float]) -> Callable[[Any], Sequence[Any]]:
    return lambda item: (repriced(item, factors),)


def _with(make: Callable[..., Case], *args: Any) -> Callable[[Case], Case]:
    return lambda case: make(case, *args)


def _replaced(case: Case, key: str, value: Any) -> Case:
    return replace(case, **{key: value})


def _at_factor(case: Case, pf: float) -> Case:
    return replace(case, net_kvar=None, facts=replace(case.facts, power_factor=pf))


def _without(item: Any) -> Callable[[Any], Sequence[Any]]:
    return lambda x: () if x == item else (x,)


def _alone(item: Any) -> Callable[[Any], Sequence[Any]]:
    return lambda x: (x,) if x == item else ()


def _updated(items: Sequence[Any], **update: Any) -> Callable[[Any], Sequence[Any]]:
    return lambda x: (x.model_copy(update=update) if x in items else x,)


def _is_item(item: str) -> Callable[[Entry], bool]:
    return lambda e: e.item == item


def _is_family(family: str) -> Callable[[Entry], bool]:
    return lambda e: e.item.split("/")[0] == family


def _tariffs(case: Case) -> list[Any]:
    """The tariffs of a case: one, or one per version."""
    rows = case.tariff if isinstance(case.tariff, Sequence) else (case.tariff,)
    return [r if hasattr(r, "items") else r.tariff for r in rows]


def _items(case: Case, kind: str) -> list[Any]:
    return [i for t in _tariffs(case) for i in getattr(t, "items", ()) if getattr(i, "kind", "") == kind]


def _edited(case: Case, edit: Callable[[Any], Sequence[Any]]) -> Case:
    """The case with each item of each tariff replaced by what `edit` makes of it."""

    def one(t: Any) -> Any:
        return t.model_copy(update={"items": tuple(n for i in t.items for n in edit(i))})

    def version(row: Any) -> Any:
        return one(row) if hasattr(row, "items") else replace(row, tariff=one(row.tariff))

    rows = case.tariff
    return replace(case, tariff=[version(r) for r in rows] if isinstance(rows, Sequence) else version(rows))


def _power_factors(judge: _Judge) -> Iterator[Hypothesis]:
    """Another power factor than the one we know, or a clause left out; none of it where no item reads one."""
    case = judge.case
    reads = [i for t in _tariffs(case) for i in getattr(t, "items", ()) if "power_factor" in i.needs()]
    for item in reads:
        name = f"{item.kind}/{item.name}" if item.name else item.kind
        yield Hypothesis(
            "power factor",
            f"{name} was not charged",
            change=_with(_edited, _without(item)),
            local=True,
        )
    if not reads:
        yield from _kva(judge)
        return
    facts = case.facts
    if facts is None or not hasattr(facts, "power_factor"):
        return
    for percent in range(70, 101):
        pf = percent / 100
        yield Hypothesis(
            "power factor",
            f"billed at a power factor of {pf:.2f}",
            change=_with(_at_factor, pf),
        )


def _kva(judge: _Judge) -> Iterator[Hypothesis]:
    """Demand billed in kVA, or scaled to a power factor floor, though the tariff as we have it says kW."""
    off = judge.off() > 0
    demand = [k for k in judge.keys if off[k[0]] and _plain(k[1]).startswith("demand") and k in judge.paid]
    ratios = [judge.paid[k].usd / judge.ours[k][0] for k in demand if judge.ours.get(k, (0.0,))[0] > 0]
    if not ratios:
        return
    factor = float(np.median(ratios))
    if 1.005 < factor < 1.6:
        yield Hypothesis(
            "power factor",
            f"all demand is billed {factor:.4g} times as high, as kVA at PF {1 / factor:.3f} would be",
            amend=_times(lambda e: e.item.split("/")[0] == "demand", factor),
            fitted=1,
        )


def _histories(judge: _Judge) -> Iterator[Hypothesis]:
    """A ratchet that does not see earlier peaks, or sees one that we do not know."""
    case = judge.case
    ratchets = [i for i in _items(case, "demand") if i.ratchet is not None]
    if not ratchets:
        return
    from .facts import History

    known = History.of(case.history)
    if known.peak_kw:
        yield Hypothesis(
            "ratchet history",
            "earlier peaks did not enter the ratchet",
            change=lambda c: replace(c, history=None),
        )
    yield Hypothesis(
        "ratchet history",
        "the ratchet was not applied",
        change=_with(_edited, _updated(ratchets, ratchet=None)),
    )
    first = int(case.timeline.month_id[0])
    # One earlier peak in the month before the data reaches as far into them as any.
    month = str(np.datetime64(first - 1, "M"))
    here = known.peak_kw.get(month, 0.0)
    top = float(np.max(case.net_kw)) * 4 + here

    def with_peak(c: Case, kw: float) -> Case:
        return replace(c, history={**known.peak_kw, month: kw})

    kw = _solve(judge, with_peak, here, top)
    if kw is not None and kw > here + 0.01:
        yield Hypothesis(
            "ratchet history",
            f"the ratchet sees an earlier peak of {kw:,.1f} kW that our history lacks",
            fitted=1,
            change=_with(with_peak, kw),
        )


def _windows(judge: _Judge) -> Iterator[Hypothesis]:
    """Other averaging windows of the demand charges."""
    demand, step = _items(judge.case, "demand"), judge.case.timeline.step_h * 60
    now = {i.window_min or step for i in demand}
    for minutes in (5.0, 15.0, 30.0, 60.0):
        if minutes >= step - 1e-9 and abs(minutes / step - round(minutes / step)) < 1e-9 and now != {minutes}:
            yield Hypothesis(
                "window",
                f"demand was billed on {minutes:g}-minute means",
                change=_with(_edited, _updated(demand, window_min=minutes, sliding=False)),
            )
        if minutes > step + 1e-9 and abs(minutes / step - round(minutes / step)) < 1e-9:
            yield Hypothesis(
                "window",
                f"demand was billed on sliding {minutes:g}-minute means",
                change=_with(_edited, _updated(demand, window_min=minutes, sliding=True)),
            )


def _tiers(judge: _Judge) -> Iterator[Hypothesis]:
    """Tiers tested on each period's own energy in place of the cycle's total, or the first tier on all."""
    tiered = [i for i in _items(judge.case, "energy") if any(len(p.tiers) > 1 for p in i.periods)]
    if not tiered:
        return

    def first(item: Any) -> Sequence[Any]:
        if item not in tiered:
            return (item,)
        ones = tuple(
            p.model_copy(update={"tiers": (p.tiers[0].model_copy(update={"upto": None}),)})
            for p in item.periods
        )
        return (item.model_copy(update={"periods": ones}),)

    if len(_tariffs(judge.case)) == 1 and any(len(i.periods) > 1 and not i.by_demand for i in tiered):
        yield Hypothesis(
            "tier",
            "tiers were tested on each period by itself",
            amend=lambda ledger: _tiers_alone(judge, ledger),
        )
    yield Hypothesis("tier", "all energy was billed at the first tier", change=lambda c: _edited(c, first))


def _tiers_alone(judge: _Judge, ledger: Ledger) -> Ledger:
    """The ledger with each period's energy billed as if the cycle held nothing else."""
    from .bill import tariff_holidays
    from .item import Calendar

    case, tariff = judge.case, _tariffs(judge.case)[0]
    given = getattr(case.facts, "holidays", None)
    calendar = Calendar.of(
        case.timeline, given if given is not None else tariff_holidays(tariff, case.timeline)
    )
    energy = [i for i in _items(case, "energy") if not i.by_demand]
    entries = [
        e
        for e in ledger
        if not any(e.item == f"energy/{i.label(p)}" for i in energy for p in range(len(i.periods)))
    ]
    for item in energy:
        period = calendar.periods(item.weekday, item.weekend)
        only = _edited(case, _alone(item))
        for p in range(len(item.periods)):
            part = judge.bill(replace(only, net_kw=np.where(period == p, case.net_kw, 0.0)))
            entries += [e for e in part if e.item == f"energy/{item.label(p)}"]
    return Ledger(tuple(entries))


def _dates(judge: _Judge) -> Iterator[Hypothesis]:
    """Every cycle with its start and end moved by -3..3 days: 48 bills, alternate boundaries moved apart."""
    cycles = judge.case.cycles
    moves = sorted(
        ((a, b) for a in range(-3, 4) for b in range(-3, 4) if a or b),
        key=lambda m: (abs(m[0]) + abs(m[1]), m),
    )
    for even, odd in moves:
        moved = [
            min(max(d + timedelta(days=odd if k % 2 else even), cycles[0]), cycles[-1])
            for k, d in enumerate(cycles)
        ]
        # A first cycle that starts later leaves a stub of days before it, which is billed and not compared.
        moved = ([cycles[0]] if moved[0] > cycles[0] else []) + moved
        moved += [cycles[-1]] if moved[-1] < cycles[-1] else []
        if any(b <= a for a, b in pairwise(moved)):
            continue

        def words(k: int, even: int = even, odd: int = odd) -> str:
            start = odd if cycles.index(judge.spans[k][0]) % 2 else even
            end = odd if cycles.index(judge.spans[k][1]) % 2 else even
            said = [
                f"{what} {abs(d)} day{'s' if abs(d) > 1 else ''} {'later' if d > 0 else 'earlier'}"
                for what, d in (("started", start), ("ended", end))
                if d
            ]
            return "the meter was read on other days: the cycle " + " and ".join(said)

        yield Hypothesis(
            "read dates",
            "the meter was read on other days",
            at=words,
            local=True,
            change=_with(_replaced, "cycles", tuple(moved)),
        )


def _clocks(judge: _Judge) -> Iterator[Hypothesis]:
    """The clock of the meter runs in another zone, or does not follow summer time."""

    def rolled(c: Case, hours: float, where: np.ndarray[Any, Any] | None = None) -> Case:
        n = round(hours / c.timeline.step_h)
        at = np.clip(np.arange(c.timeline.n) - n, 0, c.timeline.n - 1)
        if where is not None:
            at = np.where(where, at, np.arange(c.timeline.n))
        return replace(c, net_kw=c.net_kw[at], net_kvar=None if c.net_kvar is None else c.net_kvar[at])

    offset = judge.case.timeline.local_s - judge.case.timeline.utc_s
    if offset.min() != offset.max():
        summer = offset == offset.max()
        for hours, words in (
            (-1, "standard time all year, one hour behind in summer"),
            (1, "one hour ahead in summer, as if summer time were counted twice"),
        ):
            yield Hypothesis(
                "zone",
                f"the utility's meter clock ran on {words}",
                change=_with(rolled, hours, summer),
            )
    for hours in (1, -1, 2, -2, 3, -3):
        way = "later" if hours > 0 else "earlier"
        yield Hypothesis(
            "zone",
            f"the readings are {abs(hours)} h {way} on the utility's clock",
            change=_with(rolled, hours),
        )


def _multipliers(judge: _Judge) -> Iterator[Hypothesis]:
    """kW against kWh, current and voltage transformers, and any other constant factor."""

    def times(c: Case, m: float) -> Case:
        return replace(c, net_kw=c.net_kw * m, net_kvar=None if c.net_kvar is None else c.net_kvar * m)

    step = judge.case.timeline.step_h
    known = {step: "kW were taken for kWh", 1 / step: "kWh were taken for kW"}
    for m in dict.fromkeys(
        [
            step,
            1 / step,
            2,
            0.5,
            3,
            10,
            0.1,
            20,
            30,
            40,
            60,
            80,
            100,
            0.01,
            120,
            160,
            200,
            1 / 20,
            1 / 40,
            1 / 60,
            1 / 80,
            1 / 120,
            1000,
            0.001,
        ]
    ):
        if abs(m - 1) > 1e-9:
            yield Hypothesis(
                "multiplier",
                known.get(m, f"the meter multiplier differs by a factor of {m:g}"),
                change=_with(times, m),
            )
    fitted = _solve(judge, times, 0.2, 5.0)
    if fitted is not None:
        yield Hypothesis(
            "multiplier",
            f"the readings differ by a factor of {fitted:.4g}",
            fitted=1,
            change=_with(times, fitted),
        )


def _solve(judge: _Judge, make: Callable[[Case, float], Case], lo: float, hi: float) -> float | None:
    """The x in [lo, hi] for which the cycles that differ come to what was paid (bills rise with x)."""
    off = set(np.flatnonzero(judge.off() > 0).tolist())

    def gap(x: float) -> float:
        judge.tested += 1
        gaps = judge.gaps(judge.values(judge.bill(make(judge.case, x))))
        return fsum(g for k, g in gaps.items() if k[0] in off)

    try:
        g_lo, g_hi = gap(lo), gap(hi)
        if g_lo * g_hi > 0:
            return None
        side = 0
        for _ in range(40):
            x = (lo * g_hi - hi * g_lo) / (g_hi - g_lo) if g_hi != g_lo else (lo + hi) / 2
            g = gap(x)
            if abs(g) < 1e-4 or abs(hi - lo) < 1e-9 * max(1.0, abs(hi)):
                return x
            if g * g_hi > 0:
                hi, g_hi = x, g
                g_lo, side = (g_lo / 2, -1) if side == -1 else (g_lo, -1)
            else:
                lo, g_lo = x, g
                g_hi, side = (g_hi / 2, 1) if side == 1 else (g_hi, 1)
        return x
    except InputError:
        return None


def _unlisted(judge: _Judge) -> Iterator[Hypothesis]:
    """A charge that our tariff does not state: so much per kWh, per kW, per month, or per dollar."""
    t, gaps, mine = judge.case.timeline, judge.gaps(judge.ours), judge.cycles_of(judge.base)
    bounds = [(_day_at(t, a), _day_at(t, b)) for a, b in judge.spans]
    kwh = np.array([float(np.maximum(judge.case.net_kw[i:j], 0).sum()) * t.step_h for i, j in bounds])
    kw = np.array([float(judge.case.net_kw[i:j].max(initial=0.0)) for i, j in bounds])
    usd = np.array(
        [-fsum(e.usd for e in judge.base if mine.get(e.cycle) == k) for k in range(len(judge.spans))]
    )
    for item in dict.fromkeys(i for _, i in judge.keys):
        label = "unlisted charge" if _is_total(item) else item
        gap = np.array([gaps.get((k, item), 0.0) for k in range(len(judge.spans))])
        tol = np.array([judge.tolerance((k, item)) for k in range(len(judge.spans))])
        wrong = np.abs(gap) > tol
        if not wrong.any():
            continue
        for family, x, unit in (
            ("tax", usd, "USD"),
            ("rider", kwh, "kWh"),
            ("rider", kw, "kW"),
            ("rider", np.ones_like(usd), "month"),
        ):
            # Weighted by the rounding of each row; only cycles that differ decide.
            rate = float((gap * x)[wrong].sum() / max((x * x)[wrong].sum(), 1e-12))
            words = (
                f"a charge of {100 * rate:.4g} % that the tariff does not state"
                if unit == "USD"
                else f"a charge of {rate:.4g} USD/{unit} that the tariff does not state"
            )
            yield Hypothesis(
                family,
                f"{label}: {words}",
                fitted=1,
                local=unit == "month",
                amend=_added(judge, label, rate * x),
            )
        if not _is_total(item) and all((k, item) not in judge.ours for k in range(len(judge.spans))):
            yield Hypothesis(
                _family(item),
                f"the bill lists {item!r}, which the tariff does not state",
                fitted=2,
                local=True,
                amend=_added(judge, label, gap),
            )


def _family(item: str) -> str:
    printed = f"{_plain(item)} "
    return next((h for h in ("tax",) if any(w in printed for w in WORDS[h])), "rider")


def _added(judge: _Judge, item: str, usd: np.ndarray[Any, Any]) -> Callable[[Ledger], Ledger]:
    extra = tuple(
        Entry(f"{a}/{b - timedelta(days=1)}", 1, "", item, "", float(v), "USD", None, -float(v))
        for (a, b), v in zip(judge.spans, usd, strict=True)
    )
    return lambda ledger: Ledger((*ledger.entries, *extra))


def _day_at(t: Timeline, d: date) -> int:
    """First interval on or after local midnight of d."""
    return int(np.searchsorted(t.day, (d - date(1970, 1, 1)).days, side="left"))
