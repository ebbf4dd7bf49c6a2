"""The tables of a study as an XLSX workbook; interval rows go to Parquet or CSV instead."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from pathlib import Path
from typing import Any

from .result import Study
from .tables import Column, Table

_FORMATS = {
    "usd": "$#,##0",
    "usd_cents": "$#,##0.00",
    "kw": "#,##0.0",
    "kwh": "#,##0",
    "number": "General",
    "rate": "0.00000",
    "percent": "0.0%",
}


def save(study: Study, path: Path) -> None:
    """Write the workbook of a study to `path`."""
    from .page import workbook_sheets

    save_sheets(workbook_sheets(study), path)


def save_sheets(sheets: Iterable[tuple[str, Table]], path: Path) -> None:
    """Write tables to `path`: one sheet a table, money as numbers, sums as live formulas."""
    import xlsxwriter

    # Text cells come from people's files: never read them as formulas or links.
    options = {"strings_to_formulas": False, "strings_to_urls": False, "nan_inf_to_errors": True}
    with xlsxwriter.Workbook(path, options) as book:
        styles = {form: book.add_format({"num_format": code}) for form, code in _FORMATS.items()}
        head = book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"})
        bold = {
            form: book.add_format({"num_format": code, "bold": True, "top": 1})
            for form, code in _FORMATS.items()
        }
        taken: set[str] = set()
        for name, rows in sheets:
            _sheet(book.add_worksheet(_unique(name, taken)), rows, head, styles, bold)


def _unique(name: str, taken: set[str]) -> str:
    """A sheet name that a workbook takes: at most 31 characters, none of []:*?/\\, each once whatever its case."""
    plain = "".join("-" if c in "[]:*?/\\" else c for c in name).strip("'") or "sheet"
    made, n = plain[:31], 1
    while made.lower() in taken:
        n += 1
        made = f"{plain[: 31 - len(str(n)) - 1]} {n}"
    taken.add(made.lower())
    return made


def _sheet(sheet: Any, table: Table, head: Any, styles: dict[str, Any], bold: dict[str, Any]) -> None:
    for j, column in enumerate(table.columns):
        sheet.write_string(0, j, column.title or "kind", head)
        sheet.set_column(j, j, _width(table, j, column))
    for i, row in enumerate(table.rows, start=1):
        last = table.sum_row and i == len(table.rows)
        for j, (column, value) in enumerate(zip(table.columns, row, strict=True)):
            _cell(sheet, i, j, column, value, (bold if last else styles).get(column.form), live_sum=last)
    sheet.freeze_panes(1, 0)


def _cell(sheet: Any, i: int, j: int, column: Column, value: Any, style: Any, *, live_sum: bool) -> None:
    if value is None:
        return
    if isinstance(value, str) or not column.numeric:
        sheet.write_string(i, j, str(value))
    elif not isfinite(value):
        return
    elif live_sum and i > 1:
        letter = chr(ord("A") + j)  # sums stand in the first columns only
        sheet.write_formula(i, j, f"=SUM({letter}2:{letter}{i})", style, float(value))
    else:
        sheet.write_number(i, j, float(value), style)


def _width(table: Table, j: int, column: Column) -> float:
    longest = max((len(column.show(r[j])) for r in table.rows[:400]), default=0)
    return min(60.0, max(9.0, len(column.title) * 0.9, longest + 1.5))
