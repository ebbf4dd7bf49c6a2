"""The questionnaire goes out with every field of every kind and comes back as tables that the models accept."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from tests.unit.assets.test_thermal_load import FREEZER
from valuestack.errors import InputError
from valuestack.process.flexibility import read_questionnaire, write_questionnaire
from valuestack.process.flexibility.questionnaire import askable, questions
from valuestack.registry import find
from valuestack.site.files import asset_of

MILL: dict[str, Any] = {
    "kind": "flexible_load",
    "name": "mill",
    "meter": "main",
    "shed_kw": 120.0,
    "whole": True,
    "max_duration_h": 2.0,
    "windows": [{"days": "weekdays", "from_h": 6, "until_h": 18}],
}
STORE: dict[str, Any] = {"kind": "thermal_load", "meter": "main", **FREEZER}


def cells(path: Path, sheet: str, asset: str, field: str) -> Any:
    book = openpyxl.load_workbook(path)
    row = next(r for r in book[sheet].iter_rows(min_row=2) if r[0].value == asset and r[1].value == field)
    return book, row


def answer(path: Path, sheet: str, asset: str, field: str, value: Any) -> None:
    book, row = cells(path, sheet, asset, field)
    row[6].value = value
    book.save(path)


def test_every_field_of_every_model_is_asked_with_meaning_and_unit() -> None:
    assert {"flexible_load", "thermal_load", "battery", "pv", "virtual_battery", "capacitor_bank"} <= set(
        askable()
    )
    for kind in ("flexible_load", "thermal_load", "virtual_battery", "capacitor_bank"):
        asked = {q.field: q for q in questions(kind)}
        assert set(asked) == set(find("assets", kind).model_fields) - {"name"}
    asked = {q.field: q for q in questions("flexible_load")}
    assert asked["shed_kw"].unit == "kW" and "Give one of shed_kw" in asked["shed_kw"].meaning
    assert asked["usd_per_kwh"].unit == "USD per kWh" and asked["whole"].unit == "yes / no"
    assert asked["notice_h"].unit == "hours" and "from signal to answer" in asked["notice_h"].meaning
    assert {q.field: q for q in questions("thermal_load")}["ua_kw_per_k"].default == "required"


def test_out_and_back_without_an_answer_is_what_went_out(tmp_path: Path) -> None:
    path = tmp_path / "questions.xlsx"
    write_questionnaire(path, [MILL, STORE], site="plant")
    back = read_questionnaire(path)
    assert back.changes == ()
    tables = {t["name"]: t for t in back.tables}
    assert set(tables) == {"mill", "freezer"}
    for written in (MILL, STORE):
        got = tables[written["name"]]
        assert got["meter"] == "main" and got["kind"] == written["kind"]
        plain = {k: v for k, v in written.items() if k not in ("kind", "meter")}
        again = {k: v for k, v in got.items() if k not in ("kind", "meter")}
        assert asset_of(written["kind"], again) == asset_of(written["kind"], plain)
    parsed = tomllib.loads(back.to_toml())["assets"]
    assert [p["name"] for p in parsed] == [t["name"] for t in back.tables]
    assert parsed == [dict(t) for t in back.tables]


def test_answers_come_back_in_the_field_s_own_type(tmp_path: Path) -> None:
    path = tmp_path / "questions.xlsx"
    write_questionnaire(path, [MILL], only=["flexible_load"])
    answer(path, "flexible_load", "mill", "shed_kw", 90)
    answer(path, "flexible_load", "mill", "whole", "no")
    answer(path, "flexible_load", "mill", "max_duration_h", "-")
    answer(path, "flexible_load", "mill", "usd_per_kwh", "0,05")
    answer(path, "flexible_load", "mill", "calls_per_day", 2.0)
    answer(path, "flexible_load", "mill", "protocols", '["modbus"]')
    answer(path, "flexible_load", "mill", "approver", "shift leader")
    answer(path, "flexible_load", "mill", "existing", "yes")
    back = read_questionnaire(path)
    got = back.tables[0]
    assert (got["shed_kw"], got["whole"], got["usd_per_kwh"], got["calls_per_day"]) == (90, False, 0.05, 2)
    assert "max_duration_h" not in got and got["protocols"] == ["modbus"] and got["existing"] is True
    assert len(back.changes) == 8 and any("shed_kw was 120, is 90" in c for c in back.changes)


def test_a_new_machine_is_named_or_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "questions.xlsx"
    write_questionnaire(path, [], only=["flexible_load"])
    answer(path, "flexible_load", "(new)", "shed_kw", 40)
    with pytest.raises(InputError, match="give the new equipment a name"):
        read_questionnaire(path)
    book, row = cells(path, "flexible_load", "(new)", "meter")
    row[0].value = "pumps"
    book.save(path)
    assert read_questionnaire(path).tables[0] == {"kind": "flexible_load", "name": "pumps", "shed_kw": 40}


def test_all_problems_are_said_at_once_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "questions.xlsx"
    write_questionnaire(path, [MILL, STORE])
    answer(path, "flexible_load", "mill", "shed_kw", "a lot")
    answer(path, "flexible_load", "mill", "windows", "[nine to five]")
    answer(path, "thermal_load", "freezer", "setpoint_c", 12)
    answer(path, "thermal_load", "freezer", "product", "unobtainium")
    book = openpyxl.load_workbook(path)
    book["battery"]["B2"].value = "metre"
    book.create_sheet("notes")
    book.save(path)
    with pytest.raises(InputError) as e:
        read_questionnaire(path)
    text = "\n".join(e.value.problems)
    for said in ("a lot", "[nine to five]", "setpoint_c", "unobtainium", "'metre'", "'notes'", "cell G"):
        assert said in text, said
    with pytest.raises(InputError, match="cannot be read"):
        (tmp_path / "x.xlsx").write_text("no workbook")
        read_questionnaire(tmp_path / "x.xlsx")
    with pytest.raises(InputError, match="cannot be written"):
        write_questionnaire(tmp_path / "no" / "such.xlsx", [])
