"""Actual bills and cycle read dates."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from valuestack.errors import InputError
from valuestack.sources.bill_rows import read_bill, read_cycles

BILL = """cycle_start,cycle_end,item,quantity,unit,usd
2023-01-05,2023-02-03,Energy,"12,345",kWh,"1,234.50"
2023-01-05,2023-02-03,Demand,310.5,kW,6210.00
2023-01-05,2023-02-03,Customer charge,,,95
2023-01-05,2023-02-03,Total,,,7539.50
"""


def file(path: Path, text: str) -> Path:
    path = path / "bill.csv"
    path.write_text(text)
    return path


def test_bill_rows(tmp_path: Path) -> None:
    rows = read_bill(file(tmp_path, BILL))
    assert [r["item"] for r in rows] == ["Energy", "Demand", "Customer charge"]
    assert rows[0] == {
        "place": 2,
        "cycle_start": date(2023, 1, 5),
        "cycle_end": date(2023, 2, 3),
        "item": "Energy",
        "quantity": 12345.0,
        "unit": "kWh",
        "usd": 1234.5,
    }
    assert rows[2]["quantity"] is None and rows[2]["unit"] is None


def test_total_at_odds_and_other_faults_are_all_named(tmp_path: Path) -> None:
    bad = (
        BILL.replace("7539.50", "7639.50")
        .replace("6210.00", "much")
        .replace("2023-01-05,2023-02-03,Cust", "2023-02-05,2023-02-03,Cust")
    )
    with pytest.raises(InputError) as e:
        read_bill(file(tmp_path, bad))
    text = str(e.value)
    assert "line 3: usd 'much'" in text and "line 4: cycle_end" in text and "line 5: the total states" in text


def test_other_names(tmp_path: Path) -> None:
    text = "Service From;Service To;Charge Description;Amount ($)\n05.01.2023;03.02.2023;Energy;1234,50\n"
    with pytest.raises(InputError, match="date_order="):
        read_bill(file(tmp_path, text.replace("03.02.2023", "03.12.2023")))
    rows = read_bill(file(tmp_path, text), date_order="dmy", decimal=",")
    assert rows[0]["usd"] == 1234.5 and rows[0]["cycle_start"] == date(2023, 1, 5)
    # Only one order makes a cycle of a month.
    assert read_bill(file(tmp_path, text), decimal=",")[0]["cycle_end"] == date(2023, 2, 3)
    with pytest.raises(InputError, match="no column for item"):
        read_bill(file(tmp_path, "cycle_start,cycle_end,usd\n2023-01-05,2023-02-03,1\n"))
    with pytest.raises(InputError, match="no option 'colums'; did you mean columns"):
        read_bill(file(tmp_path, BILL), colums={})


def test_cycles(tmp_path: Path) -> None:
    rows = read_cycles(
        file(tmp_path, "cycle_start,cycle_end,kWh\n2023-02-03,2023-03-06,2\n2023-01-05,2023-02-03,1\n")
    )
    assert [r["kwh"] for r in rows] == [1.0, 2.0]
    rows = read_cycles(file(tmp_path, "Read Date\n01/05/2023\n02/03/2023\n03/16/2023\n"))
    assert [(r["cycle_start"], r["cycle_end"]) for r in rows] == [
        (date(2023, 1, 5), date(2023, 2, 3)),
        (date(2023, 2, 3), date(2023, 3, 16)),
    ]
    with pytest.raises(InputError, match="overlaps"):
        read_cycles(file(tmp_path, "cycle_start,cycle_end\n2023-01-05,2023-02-03\n2023-01-20,2023-03-06\n"))


def test_totals_alone_are_what_is_known_of_a_bill(tmp_path: Path) -> None:
    """A user who has only the amounts due compares those; a cycle with items keeps its total out."""
    path = tmp_path / "bills.csv"
    path.write_text(
        "cycle_start,cycle_end,item,quantity,unit,usd\n"
        "2021-02-01,2021-03-01,total,,,80000.00\n"
        "2021-03-01,2021-04-01,demand,,,50.00\n"
        "2021-03-01,2021-04-01,energy,,,31.00\n"
        "2021-03-01,2021-04-01,Total,,,81.00\n"
    )
    rows = read_bill(path)
    assert sorted((str(r["cycle_start"]), r["item"], r["usd"]) for r in rows) == [
        ("2021-02-01", "total", 80000.0),
        ("2021-03-01", "demand", 50.0),
        ("2021-03-01", "energy", 31.0),
    ]
