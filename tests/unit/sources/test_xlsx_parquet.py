"""Workbooks and Parquet tables."""

from __future__ import annotations

from datetime import time
from pathlib import Path

import numpy as np
import pytest

from valuestack.errors import InputError
from valuestack.sources.source import read_meter

from .exports import truth, wall
from .test_csv_meter import agrees, kinds


def book(path: Path, sheets: dict[str, list[list[object]]]) -> Path:
    import openpyxl

    out = openpyxl.Workbook()
    out.remove(out.active)
    for name, rows in sheets.items():
        sheet = out.create_sheet(name)
        for row in rows:
            sheet.append(row)
    out.save(path)
    return path


def test_real_datetimes_and_a_cover_sheet(tmp_path: Path) -> None:
    t = truth(days=10)
    rows: list[list[object]] = [["Interval data"], [], ["Interval Start", "kWh", "Read Type"]]
    rows += [[wall(s), float(v), "Actual"] for s, v in zip(t.start_s, t.kwh)]
    path = book(tmp_path / "m.xlsx", {"Cover": [["ACME", 1]], "Data": rows})
    table = read_meter(path)
    agrees(table, t)
    assert table.mapping["sheet"] == "Data" and "sheet" in kinds(table) and kinds(table, "question") == []
    with pytest.raises(InputError, match="no sheet 'Dta'; sheets: Cover, Data"):
        read_meter(path, sheet="Dta")


def test_excel_serials_dates_with_times_and_texts(tmp_path: Path) -> None:
    t = truth(days=10)
    serial = [["Date Time", "kWh"], *([25569 + int(s) / 86400, float(v)] for s, v in zip(t.start_s, t.kwh))]
    agrees(read_meter(book(tmp_path / "a.xlsx", {"S": serial})), t)
    split: list[list[object]] = [["Date", "Time", "kWh"]]
    split += [
        [wall(s).date(), time(wall(s).hour, wall(s).minute), float(v)] for s, v in zip(t.start_s, t.kwh)
    ]
    agrees(read_meter(book(tmp_path / "b.xlsx", {"S": split})), t)
    texts = [
        ["Date", "Time", "kWh"],
        *([f"{wall(s):%Y-%m-%d}", f"{wall(s):%I:%M %p}", f"{v}"] for s, v in zip(t.start_s, t.kwh)),
    ]
    agrees(read_meter(book(tmp_path / "c.xlsx", {"S": texts})), t)


def test_wide_workbook(tmp_path: Path) -> None:
    t = truth(days=10)
    head: list[object] = ["Date", *(time(k // 4, k % 4 * 15) for k in range(96))]
    rows = [[wall(t.start_s[96 * d]), *map(float, t.kwh[96 * d : 96 * d + 96])] for d in range(10)]
    agrees(read_meter(book(tmp_path / "m.xlsx", {"S": [head, *rows]}), unit="kWh"), t)


def test_bad_workbooks(tmp_path: Path) -> None:
    (tmp_path / "cut.xlsx").write_bytes(book(tmp_path / "m.xlsx", {"S": [["a", 1]]}).read_bytes()[:900])
    with pytest.raises(InputError, match="not a whole XLSX"):
        read_meter(tmp_path / "cut.xlsx")
    (tmp_path / "old.xls").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    with pytest.raises(InputError, match=r"old \.xls"):
        read_meter(tmp_path / "old.xls")
    with pytest.raises(InputError, match="is empty"):
        read_meter(book(tmp_path / "none.xlsx", {"S": []}))


@pytest.mark.parametrize("zoned", [None, "UTC", "America/New_York"])
def test_parquet(zoned: str | None, tmp_path: Path) -> None:
    import pandas as pd

    t = truth(days=10)
    when = pd.to_datetime(t.start_s, unit="s")
    frame = pd.DataFrame(
        {
            "ts": when if zoned is None else when.tz_localize("UTC").tz_convert(zoned),
            "kwh": t.kwh,
            "note": "x",
        }
    )
    frame.loc[3, "kwh"] = np.nan
    frame.to_parquet(tmp_path / "m.parquet")
    table = read_meter(tmp_path / "m.parquet")
    c = table.channels[0]
    assert c.clock == ("wall" if zoned is None else "utc") and c.quantity == "kwh"
    np.testing.assert_array_equal(c.label_s, t.start_s)
    assert np.isnan(c.value[3]) and c.value[4] == t.kwh[4]


def test_bad_parquet(tmp_path: Path) -> None:
    (tmp_path / "m.parquet").write_bytes(b"PAR1" + bytes(100))
    with pytest.raises(InputError, match="not a whole Parquet"):
        read_meter(tmp_path / "m.parquet")
