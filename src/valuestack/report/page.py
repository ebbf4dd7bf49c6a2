"""The report of a study: one self-contained HTML page, a workbook, JSON and interval rows.

Nothing here computes money: dollars, kilowatts and dates are read from settled entries and records.
Files are written whole or not at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from importlib.resources import files
from importlib.util import find_spec
from math import fsum
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, UnknownKind
from ..ledger import Change, Entry
from . import figures, stack_page, tables
from .parts import Card, Part, Section, figure, table, text
from .result import BOUND_LABEL, Case, Comparison, MeterData, Study
from .tables import Column, Table, show_percent, show_usd

FORMATS = ("html", "json", "xlsx", "parquet", "csv")
DEFAULT_FORMATS = ("html", "json", "xlsx", "parquet")
# What each format is drawn with; all of it comes with the extra `report`.
NEEDS: Mapping[str, tuple[str, ...]] = {"html": ("matplotlib", "jinja2"), "xlsx": ("xlsxwriter",)}


def check_formats(names: Iterable[str]) -> None:
    """Refuse a format that is unknown, or whose packages are not installed, before anything is computed."""
    asked = list(names)
    lacking: dict[str, None] = {}
    for name in asked:
        if name not in FORMATS:
            raise UnknownKind("report format", name, FORMATS, where="--formats")
        lacking |= dict.fromkeys(p for p in NEEDS.get(name, ()) if find_spec(p) is None)
    if lacking:
        free = [f for f in FORMATS if f not in NEEDS]
        raise InputError(
            f"--formats {','.join(asked)}: {', '.join(lacking)} is not installed; install valuestack[report], "
            f"or ask for {', '.join(free)} only"
        )


# --- what the settled entries say --------------------------------------------------------------------


def _cycles(study: Study) -> list[str]:
    return list(dict.fromkeys(e.cycle for e in study.before.ledger))


def _component(item: str) -> str:
    return _plain(item.split("/", 1)[0])


def _plain(item: str) -> str:
    """An item of the ledger as a reader says it: 'power_factor/adjustment' is 'power factor: adjustment'."""
    return item.replace("_", " ").replace("/", ": ", 1)


def _prices(case: Case) -> dict[tuple[str, str], str]:
    """By stream and item: the prices it was billed at and the cycles in which it was, to tell periods apart."""
    rates: dict[tuple[str, str], dict[str, None]] = {}
    cycles: dict[tuple[str, str], list[str]] = {}
    order = {c: i for i, c in enumerate(dict.fromkeys(e.cycle for e in case.ledger))}
    for e in case.ledger:
        key = (e.stream, e.item)
        if e.usd:
            cycles.setdefault(key, []).append(e.cycle)
            if e.usd_per_unit is not None:
                rates.setdefault(key, {})[f"{Column('', 'rate').show(e.usd_per_unit)} $/{_one(e.unit)}"] = (
                    None
                )
    out = {}
    for key, mine in cycles.items():
        said = list(rates.get(key, ()))
        price = said[0] if len(said) == 1 else f"{said[0]} to {said[-1]}" if said else ""
        out[key] = ", ".join(p for p in (price, _runs(sorted({order[c] for c in mine}), list(order))) if p)
    return out


def _one(unit: str) -> str:
    return {"days": "day", "months": "month", "meters": "meter", "years": "year"}.get(unit, unit)


def _runs(at: Sequence[int], cycles: Sequence[str]) -> str:
    """'2021-06 to 2021-09' of the indices of cycles; nothing where all are meant."""
    if len(at) == len(cycles):
        return ""
    runs: list[list[int]] = []
    for i in at:
        if runs and i == runs[-1][-1] + 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    return ", ".join(cycles[r[0]] if len(r) == 1 else f"{cycles[r[0]]} to {cycles[r[-1]]}" for r in runs)


def _by_component(case: Case, cycles: Sequence[str]) -> dict[str, list[float]]:
    """Amount due by component and cycle."""
    sums: dict[str, dict[str, list[float]]] = {}
    for e in case.ledger:
        sums.setdefault(_component(e.item), {}).setdefault(e.cycle, []).append(-e.usd)
    return {
        c: [fsum(by.get(cycle, ())) for cycle in cycles]
        for c, by in sums.items()
        if any(abs(fsum(v)) > 0.005 for v in by.values())
    }


def _peaks(case: Case) -> dict[tuple[str, str, str], Entry]:
    """Entries that a peak sets: those with a time and a power as quantity."""
    return {
        (e.cycle, e.stream, e.item): e
        for e in case.ledger
        if e.when and e.unit.split("-")[0].split(" ")[0] in ("kW", "kVA", "kvar", "hp")
    }


def _peak_table(study: Study) -> Table:
    after, best = _peaks(study.realised), _peaks(study.bound)
    columns = (
        Column("cycle"),
        Column("item"),
        Column("unit"),
        Column("before", "kw"),
        Column("set on"),
        Column("realised", "kw"),
        Column("set on"),
        Column("bound", "kw"),
        Column("$ a unit", "rate"),
        Column("saved", "usd_cents"),
    )
    rows = []
    for key, e in _peaks(study.before).items():
        a, b = after.get(key), best.get(key)
        rows.append(
            (
                e.cycle,
                _plain(e.item),
                e.unit,
                e.quantity,
                _moment(e.when),
                a.quantity if a else None,
                _moment(a.when) if a else "",
                b.quantity if b else None,
                e.usd_per_unit,
                a.usd - e.usd if a else None,
            )
        )
    return Table(columns, tuple(rows))


def _moment(iso: str) -> str:
    try:
        return datetime.fromisoformat(iso).strftime("%a %d %b %H:%M")
    except ValueError:
        return iso


def _monthly_peaks(study: Study, cycles: Sequence[str]) -> dict[str, list[float]]:
    def highest(case: Case) -> list[float]:
        top = dict.fromkeys(cycles, 0.0)
        for (cycle, _, _), e in _peaks(case).items():
            if e.unit.startswith("kW"):
                top[cycle] = max(top.get(cycle, 0.0), e.quantity)
        return [top[c] for c in cycles]

    return {
        "before": highest(study.before),
        "realised": highest(study.realised),
        "bound (perfect foresight)": highest(study.bound),
    }


# --- sections ----------------------------------------------------------------------------------------


def _cards(study: Study) -> list[Card]:
    realised, bound = study.realised_saving_usd, study.bound_saving_usd
    per_y = 1.0 / study.span_y
    before_kw = sum(float(r.net_kw.max()) for r in study.before.records.values())
    after_kw = sum(float(r.net_kw.max()) for r in study.realised.records.values())
    capture = study.capture_frac
    less = show_percent(1 - after_kw / before_kw) if before_kw > 0 else "-"
    cards = [
        Card(
            "Realised saving a year",
            show_usd(realised * per_y),
            "bill before less bill after, with only what could have been known",
            "head",
        ),
        Card(
            "Upper bound a year",
            show_usd(bound * per_y),
            "perfect foresight; no controller can reach it",
            "bound",
        ),
        Card(
            "Capture",
            "-" if capture is None else show_percent(capture),
            study.capture_reason or "realised share of the bound, net of wear",
        ),
        Card(
            "Highest metered load",
            f"{after_kw:,.0f} kW",
            f"{before_kw:,.0f} kW before: {less} less",
        ),
        Card(
            "Wear a year",
            show_usd(study.realised.wear_usd * per_y),
            "counted cycle by cycle, not paid in cash",
        ),
    ]
    for p in study.payback:
        if p.case == "realised":
            cards.append(
                Card(
                    "Simple payback",
                    "never" if p.years is None else f"{p.years:,.1f} years",
                    p.reason or f"{show_usd(p.capex_usd)} of capital, realised saving",
                )
            )
    return cards


def _lead(study: Study) -> str:
    realised, share = study.realised_saving_usd, 0.0
    if study.before.bill_usd:
        share = realised / study.before.bill_usd
    ranked = sorted(study.changes(), key=lambda c: -abs(c.usd))[:2]
    policy = study.realised.method or "chosen"
    parts = " and ".join(f"{show_usd(c.usd)} on {_plain(c.item)}" for c in ranked if abs(c.usd) > 0.005)
    months = round(12 * study.span_y)
    return (
        f"Over {months} months the bill is {show_usd(study.before.bill_usd)} before and "
        f"{show_usd(study.realised.bill_usd)} with the assets run by the {policy} policy: "
        f"{show_usd(realised)} or {show_percent(share)} less" + (f", of which {parts}." if parts else ".")
    )


def _claims(study: Study) -> Section | None:
    """Each claimed figure beside the plan of all layers, then and now, and beside what the tariff alone gives."""
    if not study.claims:
        return None
    columns = claim_columns(study)
    parts: list[Part] = []
    for claim, source in dict.fromkeys((c.claim, c.source) for c in study.claims):
        mine = [c for c in study.claims if (c.claim, c.source) == (claim, source)]
        rows = [(c.what, *(_amount(getattr(c, k), c.unit) for k in columns)) for c in mine]
        heads = (Column("what"), *(Column(title, "number") for title in columns.values()))
        parts += [
            text(f"Claim: {claim} ({source})"),
            table(Table(heads, tuple(rows)), note=_columns_note(columns)),
        ]
        parts += [text(b, "small") for b in dict.fromkeys(b for c in mine for b in c.because)]
        parts += [_steps(c, columns) for c in mine if len(c.steps) > 1]
    return Section("claim", "From the claim to this result", tuple(parts))


def _columns_note(columns: Mapping[str, str]) -> str:
    """What the columns of a claim's table stand on."""
    out = []
    if "now" in columns:
        days = "the rules of the claim's day and of today" if "then" in columns else "today's rules"
        out.append(
            f"{' and '.join(k for k in ('then', 'now') if k in columns)}: all layers in one plan, under {days}"
        )
    if "realised" in columns:
        out.append("realised and bound: on the tariff alone")
    return "; ".join([*out, "all but realised with perfect foresight"])


def claim_columns(study: Study) -> dict[str, str]:
    """Columns of a claim's table, by attribute of a comparison: those in which any figure has a value."""
    days = [f" ({s.as_of:%Y-%m-%d})" for s in study.stacks] + ["", ""]
    every = {
        "claimed": "claimed",
        "then": f"then{days[1]}",
        "now": f"now{days[0]}",
        "realised": "realised",
        "bound": "bound",
    }
    return {
        k: v
        for k, v in every.items()
        if k == "claimed" or any(getattr(c, k) is not None for c in study.claims)
    }


def _steps(c: Comparison, columns: Mapping[str, str]) -> Part:
    """Of what then and now are made: the bridge from the claim to them."""
    shown = [k for k in ("then", "now") if k in columns]
    rows = [(s.what, *(_amount(getattr(s, k), c.unit) for k in shown)) for s in c.steps]
    rows.append((c.what, *(_amount(getattr(c, k), c.unit) for k in shown)))
    if c.claimed is not None:
        off = [None if getattr(c, k) is None else getattr(c, k) - c.claimed for k in shown]
        rows.append(("less the claim", *(_amount(v, c.unit) for v in off)))
    heads = (Column("part"), *(Column(columns[k], "number") for k in shown))
    return table(Table(heads, tuple(rows)), f"Of what it is made: {c.what}")


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    form = {"USD": "usd", "frac": "percent"}.get(unit.split("/")[0].split(" ")[0])
    if unit == "years":
        return f"{value:,.1f} years"
    shown = Column("", form or "number").show(value)
    return shown if form else f"{shown} {unit}"


def _data(study: Study) -> Section:
    parts: list[Part] = []
    columns = (
        Column("meter"),
        Column("from"),
        Column("to"),
        Column("intervals", "kwh"),
        Column("energy, kWh", "kwh"),
        Column("peak, kW", "kw"),
        Column("load factor", "percent"),
        Column("repaired", "kwh"),
        Column("verdict"),
    )
    rows = []
    for m in study.meters:
        t, kw = m.timeline, m.before_kw
        repaired = int((m.quality > 0).sum()) if m.quality is not None else 0
        peak = float(kw.max())
        verdict = str(m.audit.verdict) if m.audit is not None else "load model, not a meter"
        rows.append(
            (
                m.name,
                t.start.strftime("%Y-%m-%d %H:%M"),
                t.end.strftime("%Y-%m-%d %H:%M"),
                float(t.n),
                float(kw.sum()) * t.step_h,
                peak,
                float(kw.mean()) / peak if peak > 0 else None,
                float(repaired),
                verdict,
            )
        )
    parts.append(table(Table(columns, tuple(rows))))
    for m in study.meters:
        parts.append(text(f"{m.name}: {m.source}; tariff {', '.join(m.tariffs)}", "muted small"))
        if m.quality is not None and (m.quality > 0).any():
            parts.append(
                figure(
                    figures.quality_strip(m.timeline, m.quality),
                    "Share of each day that was repaired or estimated: green none, red all.",
                )
            )
    found = _short(tables.findings(f for f in study.findings if f.kind != "method"))
    if found.rows:
        priced = any(c.title == "at stake" for c in found.columns)
        note = "At stake: bill of the worst admissible reading less bill as repaired." if priced else ""
        parts.append(table(found, "Findings", note))
    else:
        parts.append(text("No findings: nothing in the data or the tariff gave reason for doubt."))
    return Section("data", "Data", tuple(parts))


def _short(rows: Table) -> Table:
    """Without columns in which nothing stands, and with files by their name alone."""
    kept = [j for j in range(len(rows.columns)) if any(r[j] not in (None, "") for r in rows.rows)]
    body = (tuple(_file_name(r[j]) if isinstance(r[j], str) else r[j] for j in kept) for r in rows.rows)
    return Table(tuple(rows.columns[j] for j in kept), tuple(body), rows.sum_row)


def _file_name(words: str) -> str:
    return re.sub(r"(?<![\w:/.])(?:~|[A-Za-z]:)?[\\/](?:[^\s\\/:]+[\\/])+(?=[^\s\\/:]+\.\w)", "", words)


def _bill(study: Study) -> Section:
    cycles = _cycles(study)
    before, after = _by_component(study.before, cycles), _by_component(study.realised, cycles)
    bound = {(c.layer, c.stream, c.item): c for c in study.changes(study.bound)}
    changes = study.changes()
    many = len({c.stream for c in changes}) > 1
    columns = (
        *((Column("stream"),) if many else ()),
        Column("item"),
        Column("price and cycles"),
        Column("before", "usd_cents"),
        Column("realised", "usd_cents"),
        Column("saving", "usd_cents"),
        Column("saving of the bound", "usd_cents"),
    )

    def best(c: Change) -> float:
        other = bound.get((c.layer, c.stream, c.item))
        return other.usd if other else 0.0

    prices = _prices(study.before)
    rows = [
        (
            *((c.stream,) if many else ()),
            _plain(c.item),
            prices.get((c.stream, c.item), ""),
            -c.before_usd,
            -c.after_usd,
            c.usd,
            best(c),
        )
        for c in sorted(changes, key=lambda c: (c.layer, c.stream, c.item))
    ]
    sums = (
        *(("",) if many else ()),
        "amount due",
        "",
        study.before.bill_usd,
        study.realised.bill_usd,
        study.realised_saving_usd,
        study.bound_saving_usd,
    )
    notable = [c for c in sorted(changes, key=lambda c: -c.usd) if abs(c.usd) > 0.005]
    parts = [
        table(
            Table(columns, (*rows, sums), sum_row=True),
            note="Each figure is settled from metered intervals by the tariff's rule; the sums are exact. "
            f"The bound is an {BOUND_LABEL}.",
        ),
        figure(
            figures.monthly_bill(cycles, before, after),
            "Amount due by billing cycle and component: pale bars before, full bars realised.",
        ),
        _by_cycle(cycles, before, after),
    ]
    if notable:
        parts.append(
            figure(
                figures.waterfall(
                    ("bill before", study.before.bill_usd),
                    _largest([(_plain(c.item), c.usd) for c in notable]),
                    ("bill realised", study.realised.bill_usd),
                ),
                "From the bill before to the bill realised, item by item; green lowers the bill, red raises it.",
            )
        )
    return Section("bill", "The bill, item by item", tuple(parts))


def _by_cycle(cycles: Sequence[str], before: dict[str, list[float]], after: dict[str, list[float]]) -> Part:
    """Amount due by cycle and component, before and realised, as figures."""
    names = list(dict.fromkeys((*before, *after)))
    columns = [Column("cycle")]
    for name in names:
        columns += [Column(f"{name}, before", "usd"), Column("realised", "usd")]
    columns += [Column("all, before", "usd"), Column("realised", "usd")]
    nothing = [0.0] * len(cycles)

    def line(i: int) -> list[float]:
        pairs = [(before.get(n, nothing)[i], after.get(n, nothing)[i]) for n in names]
        return [v for p in pairs for v in p] + [fsum(p[0] for p in pairs), fsum(p[1] for p in pairs)]

    rows = [(cycle, *line(i)) for i, cycle in enumerate(cycles)]
    total = ("sum", *(fsum(column) for column in zip(*(r[1:] for r in rows), strict=True)))
    return table(
        Table(tuple(columns), (*rows, total), sum_row=True), "Amount due by cycle and component", folded=True
    )


def _largest(changes: Sequence[tuple[str, float]], most: int = 9) -> list[tuple[str, float]]:
    """The largest changes in their order, the others in one bar, so that the picture can be read."""
    if len(changes) <= most:
        return list(changes)
    kept = sorted(changes, key=lambda c: -abs(c[1]))[: most - 1]
    rest = [c for c in changes if c not in kept]
    shown = [c for c in changes if c in kept]
    return [*shown, (f"{len(rest)} smaller items", fsum(usd for _, usd in rest))]


def _peak_section(study: Study) -> Section:
    rows = _peak_table(study)
    if not rows.rows:
        return Section(
            "peaks", "Peaks", (text("This tariff bills no peak: there is no demand charge in it."),)
        )
    cycles = _cycles(study)
    return Section(
        "peaks",
        "Peaks",
        (
            figure(
                figures.monthly_peaks(cycles, _monthly_peaks(study, cycles)),
                "Highest billed demand of each cycle.",
            ),
            table(rows, "Every billed peak: when it was set before and after", folded=len(rows.rows) > 14),
        ),
    )


def _first_of_week(m: MeterData, k: int, n: int) -> int:
    """First interval of the n-interval window around k that starts at a local midnight."""
    midnight = np.flatnonzero(m.timeline.minute_of_day[: k + 1] == 0)
    back = int(midnight[max(0, midnight.size - 4)]) if midnight.size else 0
    return max(0, min(back, m.timeline.n - n))


def _index(m: MeterData, iso: str) -> int | None:
    try:
        return m.timeline.index(iso)
    except InputError:
        return None


def _weeks(study: Study, m: MeterData) -> list[tuple[str, int]]:
    """The two weeks worth looking at: (caption, first interval)."""
    after = _peaks(study.realised)
    n = min(m.timeline.n, round(168 / m.timeline.step_h))
    gains = sorted(
        ((after[key].usd - e.usd, key, e) for key, e in _peaks(study.before).items() if key in after),
        key=lambda g: -g[0],
    )
    weeks: list[tuple[str, int]] = []
    if gains and gains[0][0] > 0.005:
        gain, (cycle, _, item), entry = gains[0]
        k = _index(m, entry.when)
        if k is not None:
            weeks.append(
                (
                    f"The week of the highest saving: {_plain(item)} of {cycle} fell by {show_usd(gain)}; "
                    f"the peak before stood on {_moment(entry.when)}.",
                    _first_of_week(m, k, n),
                )
            )
    hardest = int(np.argmax(study.realised.records[m.name].net_kw))
    weeks.append(
        (
            f"The week of the hardest peak: the highest load left after the assets had done what they could, "
            f"{study.realised.records[m.name].net_kw[hardest]:,.0f} kW on "
            f"{m.timeline.when(hardest).strftime('%a %d %b %H:%M')}.",
            _first_of_week(m, hardest, n),
        )
    )
    return weeks


def _load(study: Study) -> Section:
    parts: list[Part] = []
    for m in study.meters:
        if len(study.meters) > 1:
            parts.append(Part("heading", text=m.name))
        before, after = m.before_kw, study.realised.records[m.name].net_kw
        best = study.bound.records[m.name].net_kw
        parts.append(
            figure(
                figures.load_duration(
                    {"before": before, "realised": after, "bound (perfect foresight)": best},
                    m.timeline.step_h,
                ),
                "Load duration: for how many hours each load is exceeded.",
            )
        )
        parts.append(
            figure(
                figures.heat_maps(m.timeline, {"before": before, "realised": after}),
                "Hour of day by date; white where the clock skips an hour.",
            )
        )
        record = study.realised.records[m.name]
        stored = _stored(record.stored_kwh)
        for caption, first in _weeks(study, m):
            n = min(m.timeline.n - first, round(168 / m.timeline.step_h))
            parts.append(
                figure(
                    figures.week(
                        m.timeline,
                        first,
                        n,
                        before_kw=before,
                        after_kw=after,
                        bound_kw=best,
                        stored_kwh=stored,
                        energy_kwh=None if stored is None else float(stored.max()) * 1.05,
                    ),
                    caption,
                )
            )
    return Section("load", "The load, before and after", tuple(parts))


def _stored(by_asset: Any) -> np.ndarray[Any, Any] | None:
    series = [np.asarray(v) for v in by_asset.values()]
    return np.sum(series, axis=0) if series else None


def _wear(study: Study) -> Section | None:
    if not study.realised.wear:
        return None
    columns = (
        Column("asset"),
        Column("case"),
        Column("discharged, kWh", "kwh"),
        Column("full cycles", "kw"),
        Column("setpoint changes a day", "number"),
        Column("wear price, $/kWh", "rate"),
        Column("wear priced", "usd_cents"),
        Column("wear counted", "usd_cents"),
        Column("difference", "percent"),
        Column("capacity lost in year 1", "percent"),
    )
    rows, bars = [], []
    for case in (study.realised, study.bound):
        for w in case.wear.values():
            rows.append(
                (
                    w.asset,
                    "bound (perfect foresight)" if case is study.bound else case.name,
                    w.throughput_kwh,
                    w.full_cycles,
                    round(w.changes_per_day, 1),
                    w.price_usd_per_kwh,
                    w.priced_usd,
                    w.counted_usd,
                    w.difference_frac,
                    w.fade_frac_per_y,
                )
            )
            if case is study.realised:
                bars += [(u.name, u.used_per_y, u.limit, u.unit) for u in w.warranty if u.limit]
    parts = [
        table(
            Table(columns, tuple(rows)),
            note="Priced: what the plan was told a kWh of discharge costs in wear. Counted: rainflow on the "
            "metered state of charge, at replacement cost. Capacity is lost by cycling and by the calendar, at "
            "the state of charge and temperature of the record; the first year is the steepest.",
        )
    ]
    uses = _warranty_table(study)
    if uses.rows:
        parts.append(table(uses, "Use at the realised case's yearly rate against the warranty"))
    if bars:
        parts.append(
            figure(
                figures.gauges([(a, b, float(c), d) for a, b, c, d in bars]),
                "Realised use a year against what the warranty allows; red is over.",
            )
        )
    else:
        parts.append(text("No warranty limits were given, so none are checked.", "muted"))
    return Section("wear", "Wear and warranty", tuple(parts))


def _warranty_table(study: Study) -> Table:
    """Every meter of the warranty, limited or not."""
    columns = (
        Column("asset"),
        Column("meter"),
        Column("used", "number"),
        Column("allowed", "number"),
        Column("unit"),
        Column("share of what is allowed", "percent"),
        Column("years until the limit", "kw"),
    )
    rows = tuple(
        (w.asset, u.name, u.used_per_y, u.limit, u.unit, u.share_frac, u.years_to_limit)
        for w in study.realised.wear.values()
        for u in w.warranty
    )
    return _short(Table(columns, rows))


def _sizes(study: Study) -> Section | None:
    grid = study.sizes
    if grid is None:
        return None
    knee = None if grid.knee is None else (grid.power_kw[grid.knee[0]], grid.energy_kwh[grid.knee[1]])
    chosen = _written_size(study, grid.asset)
    parts = [
        figure(
            figures.size_grid(
                grid.power_kw, grid.energy_kwh, grid.bound_usd_per_y, knee, chosen, "bound, $1,000 a year"
            ),
            f"Upper bound of the yearly saving by size (perfect foresight), net of wear, $1,000. "
            f"{grid.why[:1].upper()}{grid.why[1:]}.",
        )
    ]
    if grid.realised_usd_per_y is not None:
        parts.append(
            figure(
                figures.size_grid(
                    grid.power_kw,
                    grid.energy_kwh,
                    grid.realised_usd_per_y,
                    knee,
                    chosen,
                    "realised, $1,000 a year",
                ),
                "Realised yearly saving by size, net of wear, $1,000.",
            )
        )
    return Section("sizes", "Other sizes", tuple(parts))


def _change_limits(study: Study) -> Section | None:
    if not study.change_limits:
        return None
    now = sum(w.changes_per_day for w in study.realised.wear.values())
    note = (
        f"The realised case run again under each limit; as it is, power changes {now:.1f} times a day. Metered: "
        "changes of power, those included that a full or empty store or a limit of the service forces."
    )
    return Section(
        "setpoints",
        "What a limit of setpoint changes costs",
        (table(tables.change_limits(study.change_limits), note=note),),
    )


def _written_size(study: Study, asset: str) -> tuple[float, float] | None:
    """(kW, kWh) of the asset as the site file gives it."""
    for written in study.site.get("assets", ()):
        if isinstance(written, Mapping) and written.get("name", written.get("kind")) == asset:
            kw, kwh = written.get("power_kw"), written.get("energy_kwh")
            return (float(kw), float(kwh)) if kw and kwh else None
    return None


def _payback(study: Study) -> Section | None:
    if not study.payback:
        return None
    pay = Table(
        (
            Column("case"),
            Column("capital", "usd"),
            Column("O&M a year", "usd"),
            Column("saving a year", "usd"),
            Column("payback, years", "kw"),
            Column("why"),
        ),
        tuple(
            (p.case, p.capex_usd, p.om_usd_per_y, p.saving_usd_per_y, p.years, p.reason)
            for p in study.payback
        ),
    )
    words = (
        "Simple payback = capital / (saving a year less operation and maintenance a year). It discounts nothing, "
        "and takes off neither wear nor capacity lost."
    )
    return Section("payback", "Cost and simple payback", (table(_short(pay)), text(words, "muted small")))


def _assumptions(study: Study) -> Section:
    columns = (Column("", "tag"), Column("assumption"), Column("value"), Column("where"), Column("source"))
    ordered = sorted(study.assumptions, key=lambda a: a.verified)
    rows = tuple(
        ("stated" if a.verified else "unverified", a.what, a.value, a.where, a.source) for a in ordered
    )
    parts = [
        table(
            _short(Table(columns, rows)),
            note="Unverified: no reachable source states it; check it before money depends on it.",
        )
    ]
    return Section("assumptions", "Assumptions and sources", tuple(parts))


def _method(study: Study) -> Section:
    gap = study.gap_frac
    words = [
        "Realised: the policy is run interval by interval against a simulated plant; it sees closed "
        "intervals, the calendar, the tariff and the load of the running interval as fast telemetry gives "
        "it, and nothing of the future.",
        f"Bound: the whole span solved at once with the future known ({study.bound.method}). "
        f"It is an {BOUND_LABEL}; "
        + (
            "no saving to relate a gap to."
            if gap is None
            else f"its own optimality gap is {gap:.1e} of the saving (upper less lower bound of the problem)."
        ),
        "Money: every dollar is settled by the bill engine from metered intervals, never read off an "
        "optimiser.",
    ]
    words += [f"How it was solved: {f.what}." for f in study.findings if f.kind == "method"]
    parts = [text(w) for w in words]
    for case in (study.before, study.realised):
        parts.append(table(tables.ledger(case.ledger), f"Ledger, {case.label or case.name}", folded=True))
    return Section("method", "Method and ledger", tuple(parts))


def render(study: Study, *, made: str = "") -> str:
    """The page as HTML text: no network, no script, every picture inline."""
    from jinja2 import Environment

    found = (
        _claims(study),
        stack_page.conflicts(study),
        *stack_page.sections(study.stacks),
        _data(study),
        _bill(study),
        _peak_section(study),
        _load(study),
        _wear(study),
        _change_limits(study),
        _sizes(study),
        _payback(study),
        _assumptions(study),
        _method(study),
    )
    sections = [s for s in found if s is not None]
    template = files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True)
    subtitle = [
        f"{m.name}: {m.timeline.start:%d %B %Y} to {m.timeline.end:%d %B %Y}, "
        f"{60 * m.timeline.step_h:g}-minute intervals, {m.timeline.tz}; tariff {', '.join(m.tariffs)}"
        for m in study.meters
    ]
    return environment.from_string(template).render(
        title=study.name,
        subtitle=[str(study.site["what"]), *subtitle] if study.site.get("what") else subtitle,
        warnings=study.head,
        cards=[*_cards(study), *stack_page.cards(study.stacks)],
        lead=_lead(study),
        sections=sections,
        made=made or f"valuestack study, {datetime.now():%d %B %Y}",
    )


# --- files -------------------------------------------------------------------------------------------


def interval_rows(study: Study, m: MeterData) -> dict[str, np.ndarray[Any, Any]]:
    """Columns of the interval table of one meter; every series has shape (n,)."""
    columns: dict[str, np.ndarray[Any, Any]] = {
        "start_utc": m.timeline.utc_s.astype("datetime64[s]"),
        "start_local": m.timeline.local_s.astype("datetime64[s]"),
        "load_kw": m.load_kw,
        "before_net_kw": m.before_kw,
    }
    for case in (study.realised, study.bound):
        record = case.records[m.name]
        columns[f"{case.name}_net_kw"] = record.net_kw
        for asset, kw in record.asset_kw.items():
            columns[f"{case.name}_{asset}_kw"] = kw
        for asset, kwh in record.stored_kwh.items():
            columns[f"{case.name}_{asset}_stored_kwh"] = np.asarray(kwh)[-m.timeline.n :]
    if m.quality is not None:
        columns["quality"] = m.quality
    return columns


def check_folder(folder: Path | str) -> Path:
    """The folder, made if need be and proven writable, before any work is done."""
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as e:
        raise InputError(
            f"output folder {path}: cannot be written ({e.strerror or e}); name another with --out"
        ) from e
    return path


def _whole(path: Path, fill: Callable[[Path], None]) -> Path:
    """Write beside the target and move it into place, so that no half-written file is ever seen."""
    part = path.with_name(f".{path.name}.part")
    try:
        fill(part)
        part.replace(path)
    except OSError as e:
        raise InputError(
            f"{path}: cannot be written ({e.strerror or e}); free some space or name another folder"
        ) from e
    finally:
        part.unlink(missing_ok=True)
    return path


def _interval_file(study: Study, m: MeterData, form: str) -> Callable[[Path], None]:
    def fill(path: Path) -> None:
        import pyarrow as pa

        rows = pa.table(interval_rows(study, m))
        if form == "parquet":
            import pyarrow.parquet as pq

            pq.write_table(rows, path, compression="zstd")
        else:
            from pyarrow import csv

            csv.write_csv(rows, path)

    return fill


def write(
    study: Study, folder: Path | str, formats: Iterable[str] = DEFAULT_FORMATS, *, made: str = ""
) -> list[Path]:
    """Write the report in each of `formats` and return the paths, the page first.

    html: report.html; json: report.json; xlsx: report.xlsx (tables) and, where the site has a pro forma,
    pro-forma.xlsx (live formulas); parquet, csv: intervals-<meter>.
    """
    wanted = list(dict.fromkeys(formats))
    check_formats(wanted)
    out = check_folder(folder)
    paths: list[Path] = []
    if "html" in wanted:
        page = render(study, made=made)
        paths.append(_whole(out / "report.html", lambda p: _put(p, page)))
    if "json" in wanted:
        body = json.dumps(study.to_dict(), indent=1, default=str, allow_nan=False)
        paths.append(_whole(out / "report.json", lambda p: _put(p, body)))
    if "xlsx" in wanted:
        from .workbook import save

        paths.append(_whole(out / "report.xlsx", lambda p: save(study, p)))
        for stack in study.stacks[:1]:
            for found in stack.extra.values():
                if hasattr(found, "flow"):  # a pro forma, with formulas that can be changed
                    from ..finance.workbook import save as save_flow

                    paths.append(_whole(out / "pro-forma.xlsx", partial(save_flow, found.flow)))
    for m in study.meters:
        for form in ("parquet", "csv"):
            if form in wanted:
                name = "".join(c if c.isalnum() else "-" for c in m.name)
                paths.append(_whole(out / f"intervals-{name}.{form}", _interval_file(study, m, form)))
    return paths


def _put(path: Path, body: str) -> None:
    path.write_text(body, encoding="utf-8")


def workbook_sheets(study: Study) -> list[tuple[str, Table]]:
    """The tables of the report by sheet name, for the workbook."""
    cycles = _cycles(study)
    monthly = {
        name: _by_component(case, cycles)
        for name, case in (("before", study.before), ("realised", study.realised), ("bound", study.bound))
    }
    columns = [Column("cycle")]
    series: list[list[float]] = []
    for name, components in monthly.items():
        for component, usd in components.items():
            columns.append(Column(f"{name}: {component}", "usd_cents"))
            series.append(usd)
    by_cycle = tuple((cycle, *(s[i] for s in series)) for i, cycle in enumerate(cycles))
    summary = Table(
        (Column("figure"), Column("value"), Column("note")),
        tuple((c.name, c.value, c.note) for c in _cards(study)) + tuple(("note", h, "") for h in study.head),
    )
    parts = {s.title: s for s in (_wear_rows(study), _assumption_rows(study))}
    return [
        ("Summary", summary),
        ("By item", tables.changes(study.changes())),
        ("By item, bound", tables.changes(study.changes(study.bound), after="bound")),
        ("By cycle", Table(tuple(columns), by_cycle)),
        *stack_page.sheets(study.stacks),
        ("Peaks", _peak_table(study)),
        *((title, s.table) for title, s in parts.items() if s.table is not None),
        *((title, rows) for title, rows in _more_sheets(study) if rows.rows),
        ("Findings", tables.findings(study.findings)),
        ("Ledger before", tables.ledger(study.before.ledger)),
        ("Ledger realised", tables.ledger(study.realised.ledger)),
        ("Ledger bound", tables.ledger(study.bound.ledger)),
    ]


def _more_sheets(study: Study) -> list[tuple[str, Table]]:
    """Claim, payback, warranty and sizes, where the study has them."""
    claim = Table(
        (
            Column("claim"),
            Column("source"),
            Column("what"),
            Column("unit"),
            *(Column(c, "number") for c in ("claimed", "then", "now", "realised", "bound")),
        ),
        tuple(
            (c.claim, c.source, c.what, c.unit, c.claimed, c.then, c.now, c.realised, c.bound)
            for c in study.claims
        ),
    )
    steps = Table(
        (Column("of"), Column("part"), Column("unit"), Column("then", "number"), Column("now", "number")),
        tuple((c.what, s.what, c.unit, s.then, s.now) for c in study.claims for s in c.steps),
    )
    paid = _payback(study)
    grid = study.sizes
    sheets = [
        ("Claim", claim),
        ("Claim, parts", steps),
        ("Payback", (paid.parts[0].table if paid else None) or Table(())),
        ("Warranty", _warranty_table(study)),
        ("Setpoint changes", tables.change_limits(study.change_limits)),
    ]
    if grid is not None:
        real = grid.realised_usd_per_y
        columns = (
            Column("power, kW", "kw"),
            Column("energy, kWh", "kwh"),
            Column("bound, USD a year", "usd"),
            Column("realised, USD a year", "usd"),
            Column("mark"),
        )
        rows = tuple(
            (
                kw,
                kwh,
                float(grid.bound_usd_per_y[i, j]),
                None if real is None else float(real[i, j]),
                "knee" if grid.knee == (i, j) else "",
            )
            for i, kw in enumerate(grid.power_kw)
            for j, kwh in enumerate(grid.energy_kwh)
        )
        sheets.append(("Sizes", Table(columns, rows)))
    return sheets


def _wear_rows(study: Study) -> Part:
    section = _wear(study)
    return Part("table", table=section.parts[0].table if section else None, title="Wear")


def _assumption_rows(study: Study) -> Part:
    section = _assumptions(study)
    return Part("table", table=section.parts[-1].table, title="Assumptions")
