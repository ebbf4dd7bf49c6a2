"""Tariffs in every shape in which they are handed over, and refusals that name the field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import valuestack as vs
from valuestack.errors import InputError, UnknownKind

from .written import ALL_ONE, demand, energy, hours, tariff

T = hours(31, "2018-05-01T00:00")
KW = np.full(T.n, 100.0)
RECORD: dict[str, Any] = {
    "label": "l", "utility": "u", "name": "n", "energyratestructure": [[{"rate": 0.08, "adj": 0.02, "unit": "kWh"}]],
    "energyweekdayschedule": ALL_ONE, "energyweekendschedule": ALL_ONE, "flatdemandstructure": [[{"rate": 10.0}]],
    "flatdemandmonths": [0] * 12, "flatdemandunit": "kW", "fixedchargefirstmeter": 60.0, "fixedchargeunits": "$/month",
}  # fmt: skip
DUE = 7_440.0 + 1_000.0 + 60.0


@pytest.mark.parametrize("wrap", [lambda r: r, lambda r: {"items": [r]}], ids=["bare", "items"])
def test_a_urdb_record_as_mapping_and_as_file(wrap: Any, tmp_path: Path) -> None:
    assert vs.bill(vs.load_tariff(wrap(RECORD)), T, KW).total_usd == pytest.approx(DUE)
    (tmp_path / "r.json").write_text("\ufeff" + json.dumps(wrap(RECORD)), encoding="utf-8")
    assert vs.bill(vs.load_tariff(tmp_path / "r.json"), T, KW).total_usd == pytest.approx(DUE)


def test_a_wrapped_record_with_items_of_its_own() -> None:
    own = {"name": "ours", "source": "s", "verified": True, "urdb": RECORD,
           "items": [{"kind": "tax", "name": "city", "share_frac": 0.1}]}  # fmt: skip
    found = vs.load_tariff(own)
    assert found.name == "ours" and vs.bill(found, T, KW).total_usd == pytest.approx(1.1 * DUE)


def test_camel_case_keys_and_both_names_of_the_coincident_schedule() -> None:
    camel = {**RECORD, "lookbackPercent": 0.8, "lookbackRange": 11}
    lower = {**RECORD, "lookbackpercent": 0.8, "lookbackrange": 11}
    assert vs.load_tariff(camel).items == vs.load_tariff(lower).items
    peak = {"coincidentratestructure": [[{"rate": 5.0}]], "coincidentrateunit": "kW"}
    one, other = (
        vs.load_tariff({**RECORD, **peak, k: ALL_ONE})
        for k in ("coincidentrateschedule", "coincidentschedule")
    )
    assert one.items == other.items
    assert "coincident_hours" in one.needs()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"energyweekdayschedule": [[1] * 24] * 12}, "energyweekdayschedule"),
        ({"flatdemandmonths": [2] * 12}, "flatdemandmonths"),
        ({"energyweekendschedule": [[0] * 23] * 12}, "energyweekendschedule"),
    ],
)  # fmt: skip
def test_a_record_that_cannot_be_is_refused_by_field(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as e:
        vs.load_tariff({**RECORD, **change})
    assert said in str(e.value)


def test_all_problems_at_once_with_their_keys() -> None:
    bad = [
        {**energy(0.1), "prices": 1},
        demand(10.0, months=[7] * 12),
        {"kind": "fixed"},
        {"kind": "enregy"},
        5,
    ]
    with pytest.raises(InputError) as e:
        tariff(*bad, colour="red")  # type: ignore[arg-type]
    text = str(e.value)
    for said in ("items[0]", "prices", "items[1]", "months", "items[2]", "usd: missing", "items[3]", "items[4]",
                 "colour"):  # fmt: skip
        assert said in text, said


def test_files_that_are_no_tariff(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{1", encoding="utf-8")
    (tmp_path / "b.json").write_text("[]", encoding="utf-8")
    for name, said in (
        ("a.json", "not JSON at line 1"),
        ("b.json", "a tariff is a JSON object"),
        ("c.json", "cannot be read"),
    ):
        with pytest.raises(InputError, match=said):
            vs.load_tariff(tmp_path / name)
    with pytest.raises(UnknownKind, match="pge-b-19-secondary"):
        vs.load_tariff("pge-b-19-secondry")
    with pytest.raises(InputError, match="holds 2 rates"):
        vs.load_tariff({"items": [RECORD, RECORD]})
