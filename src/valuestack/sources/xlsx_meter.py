"""Workbooks of meters (.xlsx): the sheet with most readings, in any of the shapes of `columns`."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any, ClassVar

from ..errors import InputError
from ..finding import Finding
from .columns import OPTIONS, Grid, Row, read_grid
from .source import MeterTable, check_options, head_bytes, open_file

OWN: Mapping[str, Any] = {"sheet": None}


class XlsxMeter:
    """Reader of meter files in XLSX."""

    kind: ClassVar[str] = "xlsx_meter"

    def sniff(self, path: str) -> bool:
        """Whether the file is a zip package, as XLSX is."""
        return head_bytes(path, 4) == b"PK\x03\x04" or head_bytes(path, 8).startswith(b"\xd0\xcf\x11\xe0")

    def fetch(self, path: str, **options: Any) -> MeterTable:
        """The channels of one sheet. options: sheet (name or number from 1) and those of `columns`."""
        check_options(path, options, {**OPTIONS, **OWN})
        grid = read_sheet(path, options.get("sheet"))
        return read_grid(path, grid, {k: v for k, v in options.items() if k not in OWN}, OWN)


def read_sheet(path: str, sheet: str | int | None = None) -> Grid:
    """One sheet as a grid of typed cells; the largest where none is named."""
    import warnings

    import openpyxl

    with open_file(path) as stream:
        raw = stream.read()
    if raw.startswith(b"\xd0\xcf\x11\xe0"):
        raise InputError(f"{path}: an old .xls (or password-protected) workbook; save it as .xlsx or .csv")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(io.BytesIO(raw), read_only=True, data_only=True)
            sheets = {s.title: s for s in book.worksheets}
            name, sized = _choose(path, sheets, sheet)
            rows, line = _rows(sheets[name])
    except InputError:
        raise
    except (
        zipfile.BadZipFile,
        KeyError,
        ValueError,
        OSError,
        EOFError,
        SyntaxError,
        TypeError,
        AttributeError,
        IndexError,
        NotImplementedError,
        RuntimeError,
    ) as e:
        raise InputError(
            f"{path}: not a whole XLSX workbook ({type(e).__name__}: {e}); save it again from the "
            "spreadsheet program, or as CSV"
        ) from e
    if not rows:
        raise InputError(f"{path}: sheet {name!r} is empty; name another with sheet=: {', '.join(sheets)}")
    findings = []
    if sheet is None and len(sheets) > 1:
        findings.append(
            Finding(
                "sheet",
                "info",
                f"sheet {name!r} is read, the one with most rows of "
                f"{', '.join(f'{k} ({v})' for k, v in sized.items())}",
                path,
                len(sheets),
                remedy="sheet= names another",
            )
        )
    return Grid(rows=rows, line=line, facts={"format": "xlsx_meter", "sheet": name}, findings=findings)


def _choose(path: str, sheets: Mapping[str, Any], sheet: str | int | None) -> tuple[str, dict[str, int]]:
    names = list(sheets)
    if not names:
        raise InputError(f"{path}: the workbook holds no sheet of cells")
    if isinstance(sheet, int) and not isinstance(sheet, bool):
        if not 1 <= sheet <= len(names):
            raise InputError(f"{path}: sheet: {sheet}; the workbook holds {len(names)}: {', '.join(names)}")
        return names[sheet - 1], {}
    if sheet is not None:
        if sheet not in sheets:
            raise InputError(f"{path}: sheet: no sheet {sheet!r}; sheets: {', '.join(names)}")
        return str(sheet), {}
    sized = {n: _length(s) for n, s in sheets.items()} if len(names) > 1 else {names[0]: 1}
    return max(sized, key=lambda n: sized[n]), sized


def _length(sheet: Any) -> int:
    return sheet.max_row if sheet.max_row else sum(1 for _ in sheet.iter_rows(values_only=True))


def _rows(sheet: Any) -> tuple[list[Row], list[int]]:
    rows: list[Row] = []
    line: list[int] = []
    for k, row in enumerate(sheet.iter_rows(values_only=True), 1):
        if any(c is not None for c in row):
            rows.append(row)
            line.append(k)
    width = max((max((k + 1 for k, c in enumerate(r) if c is not None), default=0) for r in rows), default=0)
    return [r[:width] for r in rows], line
