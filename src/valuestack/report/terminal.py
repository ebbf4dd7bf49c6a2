"""What a command shows in the terminal: rich tables of findings, bills, studies, tariffs and steps.

Nothing is computed here but sums of settled entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..finding import Finding
from ..ledger import Ledger
from .result import BOUND_LABEL, Case, Study
from .stack_page import layer_table, stream_table
from .stacked import Stack
from .tables import Table as TableRows
from .tables import change_limits, of_rows

_COLOUR = {"error": "red", "warning": "yellow", "question": "magenta", "info": "cyan"}
# Columns whose cells are copied out of the terminal and must stay in one piece.
_WHOLE = ("name", "tariff", "cycle", "severity", "state", "when")
_ORDER = {"error": 0, "question": 1, "warning": 2, "info": 3}


def usd(value: float | None, places: int = 0) -> str:
    """'-$1,234' for money; '' for None."""
    if value is None:
        return ""
    return f"{'-' if round(value, places) < 0 else ''}${abs(value):,.{places}f}"


def _table(title: str, *columns: str, left: int = 1) -> Table:
    """A table whose first `left` columns are text and whose others are numbers."""
    table = Table(
        title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False
    )
    for i, c in enumerate(columns):
        table.add_column(c, justify="left" if i < left else "right", overflow="fold", no_wrap=c in _WHOLE)
    return table


def head(sentences: Sequence[str]) -> list[RenderableType]:
    """What must stand above every figure, or nothing."""
    if not sentences:
        return []
    return [
        Panel(Text("\n".join(sentences)), title="read this first", title_align="left", border_style="yellow")
    ]


def findings(found: Iterable[Finding], *, limit: int = 20) -> RenderableType:
    """Findings, gravest first."""
    ranked = sorted(found, key=lambda f: (_ORDER[f.severity], -(f.at_stake_usd or 0.0)))
    if not ranked:
        return Text("no findings")
    table = _table("findings", "severity", "what", "done / what to do", "count", "at stake", left=3)
    for f in ranked[:limit]:
        what = f"{f.what} ({f.where})" if f.where else f.what
        table.add_row(
            Text(f.severity, style=_COLOUR[f.severity]),
            Text(what),
            Text(f.done or f.remedy),
            f"{f.count:,}",
            usd(f.at_stake_usd),
        )
    if len(ranked) > limit:
        table.add_row("", Text(f"and {len(ranked) - limit} more; --json lists all"), "", "", "")
    return table


def audit(name: str, result: Any) -> RenderableType:
    """A meter's data quality and what sets its bill."""
    lines = [Text(line) for line in result.lines()]
    return Group(
        Text(f"meter {name}", style="bold"), *head(result.head), *lines, "", findings(result.findings)
    )


def _months(ledger: Ledger) -> list[str]:
    return list(dict.fromkeys(e.cycle for e in ledger))


def bill(name: str, settled: Any, above: Sequence[str] = ()) -> RenderableType:
    """A bill by item, and by cycle."""
    items = _table(f"bill of {name} by item", "item", "quantity", "unit", "USD")
    groups: dict[tuple[str, str], list[float]] = {}
    for e in settled.ledger:
        sums = groups.setdefault((e.item, e.unit), [0.0, 0.0])
        sums[0] += e.quantity
        sums[1] -= e.usd
    for (item, unit), (quantity, amount) in groups.items():
        # Demands of different cycles do not add up to anything; their money does.
        shown = f"{quantity:,.0f}" if unit in ("kWh", "kvarh", "therm") else ""
        items.add_row(Text(item), shown, unit if shown else "", usd(amount, 2))
    items.add_row(Text("amount due", style="bold"), "", "", Text(usd(settled.total_usd, 2), style="bold"))
    cycles = _table("by cycle", "cycle", "USD")
    for (cycle,), amount in settled.ledger.by("cycle").items():
        cycles.add_row(str(cycle), usd(-amount, 2))
    parts: list[RenderableType] = [*head(above), items, "", cycles]
    if settled.assumptions:
        parts += ["", assumptions(settled.assumptions)]
    if settled.findings:
        parts += ["", findings(settled.findings)]
    return Group(*parts)


def _assumption(a: Any) -> tuple[str, str, bool, str]:
    """what, value, verified, source of an Assumption, or of a sentence of a bill."""
    if isinstance(a, str):
        return a, "", "verified" not in a, ""
    return a.what, a.value, a.verified, a.source


def assumptions(made: Iterable[Any], *, limit: int = 12) -> RenderableType:
    """Assumptions, those not verified first."""
    rows = [_assumption(a) for a in made]
    rows.sort(key=lambda r: r[2])
    table = _table("assumptions", "what", "value", "source", left=3)
    for what, value, verified, source in rows[:limit]:
        table.add_row(
            Text(what),
            Text(value),
            Text(
                source if verified else f"NOT VERIFIED {source}".strip(), style="" if verified else "yellow"
            ),
        )
    if len(rows) > limit:
        table.add_row(Text(f"and {len(rows) - limit} more; the report and --json list all"), "", "")
    return table


def reconciled(compared: Any) -> RenderableType:
    """Expected, settled and paid, with the likely cause of each difference."""
    table = _table(
        "our bill against the utility's",
        "cycle",
        "item",
        "likely cause",
        "ours",
        "charged",
        "difference",
        left=3,
    )
    for row in compared.rows():
        table.add_row(
            *(Text(str(row[k])) for k in ("cycle", "item", "cause")),
            *(usd(row[k], 2) for k in ("expected_usd", "paid_usd", "difference_usd")),
        )
    return table


def _case_row(study: Study, case: Case) -> list[str]:
    per_y = 1 / study.span_y
    first = case is study.before
    return [
        usd(case.bill_usd * per_y),
        "" if first else usd(study.saving_usd(case) * per_y),
        usd(case.wear_usd * per_y) if case.wear else "",
        "" if first else usd(study.net_usd(case) * per_y),
        ", ".join(f"{r.net_kw.max():,.0f}" for r in case.records.values()),
    ]


def study(found: Study, *, items: int = 8) -> RenderableType:
    """The answer: three cases, what the saving is made of, and what it stands on."""
    cases = _table(
        f"{found.name}: {found.span_y:.2f} years of data, USD a year",
        "case",
        "bill",
        "saving",
        "wear",
        "saving net of wear",
        "peak kW",
    )
    for case in (found.before, found.realised, found.bound):
        cases.add_row(
            Text(case.label or case.name, style="bold" if case is found.realised else ""),
            *_case_row(found, case),
        )
    share = found.capture_frac
    line = found.capture_reason if share is None else f"realised / bound = {share:.1%} (net of wear)"
    if found.gap_frac is not None:
        line += f"; the bound is proven within {found.gap_frac:.1e} of its saving"
    changes = _table("what the realised saving is made of, USD a year", "item", "before", "after", "saving")
    ranked = sorted(found.changes(), key=lambda c: -abs(c.usd))
    per_y = 1 / found.span_y
    many = len({c.stream for c in ranked}) > 1
    for c in ranked[:items]:
        changes.add_row(
            Text(f"{c.stream}: {c.item}" if many else c.item),
            usd(-c.before_usd * per_y),
            usd(-c.after_usd * per_y),
            usd(c.usd * per_y),
        )
    if rest := ranked[items:]:
        changes.add_row(
            f"{len(rest)} other items",
            usd(-sum(c.before_usd for c in rest) * per_y),
            usd(-sum(c.after_usd for c in rest) * per_y),
            usd(sum(c.usd for c in rest) * per_y),
        )
    parts: list[RenderableType] = [
        *head(found.head),
        cases,
        Text(line),
        Text(f"the bound is an {BOUND_LABEL}"),
        "",
        changes,
    ]
    for p in found.payback:
        years = f"{p.years:.1f} years" if p.years is not None else "never"
        parts.append(Text(f"simple payback, {p.case}: {years}" + (f" ({p.reason})" if p.reason else "")))
    parts += _claims(found)
    for stack in found.stacks:
        parts += ["", _stack(stack)]
    if found.change_limits:
        parts += ["", rows("at most so many setpoint changes a day", change_limits(found.change_limits))]
    if found.sizes is not None:
        parts += ["", _sizes(found)]
    loose = [a for a in found.assumptions if not a.verified]
    parts += ["", Text(f"{len(found.assumptions)} assumptions, {len(loose)} of them not verified")]
    parts += [assumptions(loose, limit=6)] if loose else []
    grave = [f for f in found.findings if f.severity != "info"]
    return Group(*parts, "", findings(grave, limit=8))


def rows(title: str, made: TableRows, *, left: int = 1) -> RenderableType:
    """Any table of the report in the terminal."""
    shown = _table(title, *(c.title for c in made.columns), left=left)
    for row in made.rows:
        shown.add_row(*(Text(c.show(v)) for c, v in zip(made.columns, row, strict=True)))
    return shown


def catalogue(name: str, found: Any) -> RenderableType:
    """What of a meter's site can move, and answers to its recurring spike."""
    head_line = f"meter {name}: {found.hours_h:,.0f} hours a year set the bill"
    parts: list[RenderableType] = [Text(head_line, style="bold")]
    if found.lines:
        parts += ["", rows("assets and loads", of_rows(found.rows()), left=3)]
    if found.remedies:
        parts += ["", Text(found.spike), rows("answers to the spike", of_rows(found.remedy_rows()))]
    return Group(*parts, "", findings(found.findings))


def _stack(stack: Stack) -> RenderableType:
    """All layers in one plan."""
    parts: list[RenderableType] = [
        rows(f"all layers in one plan, rules of {stack.as_of} ({BOUND_LABEL})", layer_table(stack)),
        "",
        rows("streams, USD a year", stream_table(stack), left=2),
    ]
    parts += [Text(f"refused: {r}", style="yellow") for r in stack.refused]
    parts += [Text(f"conflict on {meter}: {c}", style="yellow") for meter, c in stack.conflicts]
    parts += [Text(f"gave way on {meter}: {r}", style="yellow") for meter, r in stack.relaxed]
    for found in stack.extra.values():
        parts += [Text(str(s)) for s in getattr(found, "sentences", ())]
    return Group(*parts)


def _claims(found: Study) -> list[RenderableType]:
    if not found.claims:
        return []
    shown = [
        k
        for k in ("claimed", "then", "now", "realised", "bound")
        if k == "claimed" or any(getattr(c, k) is not None for c in found.claims)
    ]
    table = _table(f"the claim: {found.claims[0].claim}", "what", *shown)
    for c in found.claims:
        table.add_row(Text(c.what), *(_amount(getattr(c, k), c.unit) for k in shown))
    because = dict.fromkeys(b for c in found.claims for b in c.because)
    return ["", table, *(Text(f"  because {b}") for b in because)]


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    if unit.startswith("USD"):
        return usd(value)
    return f"{value:.1%}" if unit == "frac" else f"{value:,.1f} {unit}"


def _sizes(found: Study) -> RenderableType:
    grid = found.sizes
    assert grid is not None
    table = _table(
        f"saving of the bound by size of {grid.asset}, net of wear, USD a year (knee in brackets)",
        "kW \\ kWh",
        *(f"{e:,.0f}" for e in grid.energy_kwh),
    )
    for i, kw in enumerate(grid.power_kw):
        cells = [
            "" if v != v else f"[{usd(v)}]" if grid.knee == (i, j) else usd(v)
            for j, v in enumerate(map(float, grid.bound_usd_per_y[i]))
        ]
        table.add_row(f"{kw:,.0f}", *(Text(c) for c in cells))
    return Group(table, Text(grid.why))


def files(paths: Sequence[Path], seconds: float) -> RenderableType:
    """Where the report lies."""
    return Text("\n" + "\n".join(f"wrote {p}" for p in paths) + f"\nin {seconds:.1f} s")


def steps(site: str, folder: Path, rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """The seven steps."""
    table = _table(f"{site}: the seven steps (results in {folder})", "step", "state", "when", "what", left=4)
    colour = {"done": "green", "stale": "yellow", "skipped": "yellow"}
    for s in rows:
        what = f"{s['what']} - {s['why']}" if s["why"] else s["what"]
        table.add_row(
            f"{s['number']} {s['name']}",
            Text(s["state"], style=colour.get(s["state"], "dim")),
            s["when"],
            Text(what),
        )
    return table


def tariff_list(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """The shipped tariffs."""
    table = _table("shipped tariffs", "name", "utility", "about", "from", "not verified", left=5)
    for r in rows:
        loose = ", ".join(r["unverified_items"]) if r["verified"] else "figures"
        table.add_row(
            *(Text(str(r[k] or "")) for k in ("name", "utility", "about", "valid_from")), Text(loose)
        )
    return table


def tariff(found: Any) -> RenderableType:
    """A tariff by item, with where it comes from."""
    table = _table(f"{found.name}: {found.utility}", "item", "name", "what it charges", left=3)
    for item in found.items:
        loose = getattr(item, "verified", True) is False
        for n, line in enumerate(_lines(item)):
            shown = Text(
                ("NOT VERIFIED: " if loose and n == 0 else "") + line, style="yellow" if loose else ""
            )
            table.add_row(item.kind if n == 0 else "", Text(item.name if n == 0 else ""), shown)
    dates = f"in force {found.valid_from or 'from the beginning'} to {found.valid_until or 'further notice'}"
    lines = [
        f"source: {found.source or 'none given'} ({found.source_date or 'no date'})",
        dates,
        *found.notes,
    ]
    e = found.eligibility
    if e is not None:
        bounds = {k: v for k, v in e.model_dump(exclude_none=True).items() if v != ""}
        lines.append("eligibility: " + ", ".join(f"{k} {v}" for k, v in bounds.items()))
    if needs := found.needs():
        lines.append("needs beyond the meter: " + ", ".join(needs))
    return Group(table, "", *(Text(line) for line in lines))


def _lines(item: Any) -> list[str]:
    """What an item charges: one line for its plain values, one for each period."""
    values = item.model_dump(exclude_defaults=True, exclude={"kind", "name", "verified"})
    periods = values.pop("periods", ())
    plain = {k: v for k, v in values.items() if k not in ("weekday", "weekend") and "schedule" not in k}
    lines = ["; ".join(f"{k} = {_short(v)}" for k, v in plain.items())] if plain else []
    for n, period in enumerate(periods):
        tiers = period.get("tiers", ()) if isinstance(period, Mapping) else ()
        steps = [", ".join(f"{k} {_short(v)}" for k, v in tier.items()) for tier in tiers]
        lines.append(f"period {n}: " + (" | ".join(steps) if steps else _short(period)))
    return lines or [""]


def _short(value: Any) -> str:
    """A value in one line: long lists by their length."""
    if isinstance(value, (list, tuple)) and len(str(value)) > 120:
        return f"({len(value)} values)"
    return str(value)


def ranking(name: str, ranked: Any) -> RenderableType:
    """Tariffs from the cheapest on; those refused after them with the reason."""
    battery = any(r.get("with_battery_usd") is not None for r in ranked.rows())
    table = _table(
        f"tariffs for {name}, USD a year",
        "tariff",
        "eligible / reason",
        "bill",
        *(["with battery (bound)"] if battery else []),
        left=2,
    )
    for r in ranked.rows():
        cells: list[RenderableType] = [
            Text(str(r["tariff"])),
            Text(str(r["reason"] or "eligible")),
            usd(r["usd_per_y"]),
        ]
        table.add_row(*cells, *([usd(r.get("with_battery_usd"))] if battery else []))
    return Group(*head(ranked.head), table, Text(ranked.note))
