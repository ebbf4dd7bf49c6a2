"""Rows of actual bills, and cycle read dates, from CSV, XLSX or Parquet: plain mappings out.

A bill row has cycle_start, cycle_end, item, quantity, unit, usd; a cycle row only the two dates (and, where
stated, kWh, kW and USD). Column names are recognised by words and can be given outright.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..errors import InputError
from . import cells
from .cells import BAD
from .source import check_options, head_bytes

FIELDS: Mapping[str, re.Pattern[str]] = {
    "cycle_start": re.compile(r"start|begin|from|previous read|prior read|since", re.I),
    "cycle_end": re.compile(
        r"end|\bto\b|through|until|read date|current read|bill(ing)? date|service to", re.I
    ),
    "item": re.compile(r"item|component|line|descri|charge type|charge name|label|what", re.I),
    "quantity": re.compile(
        r"quantity|qty|units billed|amount of use|billed (kwh|kw)|usage|determinant", re.I
    ),
    "unit": re.compile(r"^unit$|^units$|uom|unit of", re.I),
    "usd": re.compile(r"usd|\$|dollar|amount|cost|charge|total|paid|due", re.I),
    "kwh": re.compile(r"kwh", re.I),
    "kw": re.compile(r"\bkw\b|demand", re.I),
    "meter": re.compile(r"meter|account|esi ?id|premise", re.I),
}
TOTAL = re.compile(r"^\s*((sub|grand)[\s-]*)?(total|amount due|balance due)\b", re.I)
OPTIONS: Mapping[str, Any] = {
    "columns": None,
    "date_order": None,
    "decimal": None,
    "header_row": None,
    "delimiter": None,
    "encoding": None,
    "sheet": None,
}


def read_bill(path: str | Path, **options: Any) -> tuple[Mapping[str, Any], ...]:
    """Rows of an actual bill: cycle_start, cycle_end (as the bill writes them), item, quantity, unit, usd.

    quantity and unit are None where the row states none. place: line in the file. Rows of totals are not
    items: they are held against the sum of the rows and left out, but for cycles of which nothing else is
    listed. options: columns (mapping of those names to the file's), date_order, decimal, header_row,
    delimiter, encoding, sheet.
    Errors: InputError with every row at fault.
    """
    rows = _rows(
        str(path), options, ("cycle_start", "cycle_end", "item", "usd"), ("quantity", "unit", "meter")
    )
    return tuple(rows)


def read_cycles(path: str | Path, **options: Any) -> tuple[Mapping[str, Any], ...]:
    """Cycle read dates: cycle_start, cycle_end, and kwh, kw, usd where stated; sorted by start.

    A cycle runs from the start of its first day to the start of its end day. A file that states only one
    read date a row gives the cycles between successive dates. Errors: overlapping or empty cycles.
    """
    name = str(path)
    try:
        rows = _rows(name, options, ("cycle_start", "cycle_end"), ("kwh", "kw", "usd", "meter"))
    except _OneDate as only:
        rows = _between(name, only.rows)
    rows.sort(key=lambda r: (str(r.get("meter") or ""), r["cycle_start"]))
    problems = [
        f"line {b['place']}: the cycle from {b['cycle_start']} overlaps the one to {a['cycle_end']} "
        f"(line {a['place']})"
        for a, b in pairwise(rows)
        if a.get("meter") == b.get("meter") and b["cycle_start"] < a["cycle_end"] - timedelta(days=1)
    ]
    if problems:
        raise InputError.collect(name, problems)
    return tuple(rows)


class _OneDate(Exception):
    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows


def _between(path: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cycles between successive read dates; the first date only opens the first cycle."""
    rows = sorted(rows, key=lambda r: (str(r.get("meter") or ""), r["read"]))
    pairs = [(a, b) for a, b in pairwise(rows) if a.get("meter") == b.get("meter")]
    if not pairs:
        raise InputError(
            f"{path}: one read date makes no cycle; give at least two, or cycle_start and cycle_end"
        )
    return [
        {**{k: v for k, v in b.items() if k != "read"}, "cycle_start": a["read"], "cycle_end": b["read"]}
        for a, b in pairs
    ]


def _rows(
    path: str, options: Mapping[str, Any], needed: Sequence[str], wanted: Sequence[str]
) -> list[dict[str, Any]]:
    chosen = {**OPTIONS, **check_options(path, options, OPTIONS)}
    grid = _grid(path, chosen)
    at = 0
    if chosen["header_row"] is not None:
        found = [k for k, n in enumerate(grid.line) if n == chosen["header_row"]]
        if not found:
            raise InputError(f"{path}: header_row: line {chosen['header_row']} is not in the file")
        at = found[0]
    else:
        at = max(range(min(len(grid.rows), 30)), key=lambda k: (_likeness(grid.rows[k], needed), -k))
    header = [str(c).strip() if c is not None else "" for c in grid.rows[at]]
    named = _named(path, header, chosen["columns"], (*needed, *wanted))
    if set(needed) == {"cycle_start", "cycle_end"} and len({"cycle_start", "cycle_end"} & set(named)) == 1:
        only = named.get("cycle_start", named.get("cycle_end", 0))
        body = _read(
            path, grid, at, {"read": only, **{k: v for k, v in named.items() if k in wanted}}, chosen
        )
        raise _OneDate(body)
    missing = [n for n in needed if n not in named]
    if missing:
        raise InputError(
            f"{path}: no column for {', '.join(missing)}; the file has "
            f"{', '.join(h for h in header if h)}. Name them so, or give columns={{{missing[0]!r}: '...'}}"
        )
    return _read(path, grid, at, named, chosen)


def _likeness(row: Sequence[Any], needed: Sequence[str]) -> int:
    texts = [str(c) for c in row if isinstance(c, str)]
    return sum(any(FIELDS[n].search(t) for t in texts) for n in needed) if len(texts) >= 1 else 0


def _grid(path: str, chosen: Mapping[str, Any]) -> Any:
    from . import csv_meter, parquet_meter, xlsx_meter

    head = head_bytes(path, 8)
    if head.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        return xlsx_meter.read_sheet(path, chosen["sheet"])
    if head.startswith(b"PAR1"):
        return parquet_meter.read_table(path)
    return csv_meter.read_text(path, chosen["delimiter"], chosen["encoding"])


def _named(
    path: str, header: list[str], given: Mapping[str, str] | None, fields: Sequence[str]
) -> dict[str, int]:
    """Field -> column; exact names first, then words, each column used once."""
    out: dict[str, int] = {}
    lower = [h.lower().replace(" ", "_") for h in header]
    problems = []
    for name, column in (given or {}).items():
        if name not in fields:
            problems.append(f"columns: {name!r} is not a field; fields: {', '.join(fields)}")
        elif str(column).lower().replace(" ", "_") not in lower:
            problems.append(f"columns: no column {column!r} for {name}; the file has {', '.join(header)}")
        else:
            out[name] = lower.index(str(column).lower().replace(" ", "_"))
    if problems:
        raise InputError.collect(path, problems)
    for name in fields:
        if name not in out and name in lower:
            out[name] = lower.index(name)
    for name in fields:
        if name in out:
            continue
        for k, h in enumerate(header):
            if h and k not in out.values() and FIELDS[name].search(h.replace("_", " ")):
                out[name] = k
                break
    return out


def _read(
    path: str, grid: Any, at: int, named: Mapping[str, int], chosen: Mapping[str, Any]
) -> list[dict[str, Any]]:
    body = [(grid.line[k], grid.rows[k]) for k in range(at + 1, len(grid.rows))]
    dates = [n for n in ("cycle_start", "cycle_end", "read") if n in named]
    column = {n: [r[c] if c < len(r) else None for _, r in body] for n, c in named.items()}
    order = chosen["date_order"]
    if order is None:
        guess = cells.guess_order(c for n in dates for c in column[n])
        if not guess.certain and len(body):
            guess = _by_length(column, dates) or guess
        if not guess.certain:
            raise InputError(
                f"{path}: the dates may be day or month first ({guess.why}); give date_order='mdy' or 'dmy'"
            )
        order = guess.order
    days = {n: cells.read_stamps(column[n], None, order).second for n in dates}
    out: list[dict[str, Any]] = []
    totals: list[dict[str, Any]] = []
    problems: list[str] = []
    for k, (line, row) in enumerate(body):
        if all(cells.is_empty(c) for c in row):
            continue
        record: dict[str, Any] = {"place": int(line)}
        total = any(isinstance(c, str) and TOTAL.match(c) for c in row)
        undated = total and all(days[n][k] == BAD for n in dates)
        for n in named:
            if not (undated and n in dates):
                record[n] = _value(n, column[n][k], days.get(n), k, chosen["decimal"], line, problems)
        if total:
            problems.extend(_total_at_odds(record, out))
            totals.append(record)
            continue
        if (
            record.get("cycle_start")
            and record.get("cycle_end")
            and record["cycle_end"] <= record["cycle_start"]
        ):
            problems.append(
                f"line {line}: cycle_end {record['cycle_end']} is not after {record['cycle_start']}"
            )
        out.append(record)
    if problems:
        raise InputError.collect(path, problems)
    if "item" in named:
        out += _alone(totals, out)
    if not out:
        raise InputError(f"{path}: no rows below the header on line {grid.line[at]}")
    return out


def _alone(totals: Sequence[dict[str, Any]], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Totals of cycles of which the file lists no items: all that is known of such a bill."""
    listed = {(r.get("cycle_start"), r.get("cycle_end")) for r in rows}
    dated = [t for t in totals if t.get("cycle_start") and t.get("cycle_end")]
    return [t for t in dated if (t["cycle_start"], t["cycle_end"]) not in listed]


def _total_at_odds(total: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A problem where a row of totals differs from the sum of the rows above it (of its cycle, if dated)."""
    stated = total.get("usd")
    cycle = (total.get("cycle_start"), total.get("cycle_end"))
    parts = [
        r["usd"]
        for r in rows
        if r.get("usd") is not None
        and (cycle[0] is None or (r.get("cycle_start"), r.get("cycle_end")) == cycle)
    ]
    if stated is None or not parts or abs(sum(parts) - stated) < 0.005 + 0.005 * len(parts):
        return []
    return [
        f"line {total['place']}: the total states {stated:.2f} USD, the rows above come to {sum(parts):.2f}; "
        "add the missing row, or remove the total"
    ]


def _by_length(column: Mapping[str, Sequence[Any]], dates: Sequence[str]) -> cells.OrderGuess | None:
    """The date order under which every cycle lasts 20 to 100 days, if only one does."""
    if len(dates) < 2:
        return None
    fits: list[cells.Order] = []
    orders: tuple[cells.Order, ...] = ("mdy", "dmy")
    for order in orders:
        a, b = (cells.read_stamps(column[n], None, order).second for n in dates[:2])
        both = (a != BAD) & (b != BAD)
        length = (b - a)[both] / 86400
        if length.size and ((length >= 20) & (length <= 100)).all():
            fits.append(order)
    if len(fits) != 1:
        return None
    return cells.OrderGuess(fits[0], True, "only this order makes cycles of 20 to 100 days")


def _value(
    name: str, cell: Any, days: Any, k: int, decimal: str | None, line: int, problems: list[str]
) -> Any:
    if days is not None:
        if days[k] == BAD:
            problems.append(f"line {line}: {name} {cell!r} is not a date; write it like 2018-01-31")
            return None
        return date(1970, 1, 1) + timedelta(days=int(days[k]) // 86400)
    if name in ("quantity", "usd", "kwh", "kw"):
        if cells.is_empty(cell):
            if name == "usd":
                problems.append(f"line {line}: usd is empty; write 0 where nothing was charged")
            return None
        value = cells.number(str(cell), decimal or ".") if not isinstance(cell, (int, float)) else float(cell)
        if value is None:
            problems.append(f"line {line}: {name} {cell!r} is not a number")
        return value
    return None if cells.is_empty(cell) else str(cell).strip()
