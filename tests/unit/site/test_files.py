"""Site files: everything wrong is found at once, with file, key and near names; examples load."""

from __future__ import annotations

import copy
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from valuestack.errors import InputError
from valuestack.site import files
from valuestack.site.draft import draft

RATE = "pge-b-20-secondary"


def written(**changes: Any) -> dict[str, Any]:
    site: dict[str, Any] = {
        "name": "s",
        "tz": "America/Los_Angeles",
        "meters": [
            {
                "name": "m",
                "data": "jobbing-foundry",
                "tariffs": [{"tariff": RATE}],
                "facts": {"power_factor_frac": 0.9},
            }
        ],
    }
    return copy.deepcopy(site) | changes


def meter(**changes: Any) -> dict[str, Any]:
    site = written()
    site["meters"][0] |= changes
    return site


def complaint(site: Any) -> str:
    with pytest.raises(InputError) as e:
        files.load(site)
    return str(e.value)


@pytest.mark.parametrize("name", files.shipped("sites"))
def test_every_example_loads_by_name(name: str) -> None:
    site = files.load(name)
    assert site.name == name and site.path is not None and site.meters and site.path in site.files
    assert all(f.is_file() for f in site.files)


def test_a_site_may_be_a_mapping() -> None:
    site = files.load(written())
    assert site.path is None and site.meter("m").tariffs[0].tariff.name == RATE
    assert site.meter("m").export_limit_kw == 0 and site.meter("m").import_limit_kw == float("inf")


def test_all_problems_are_reported_together_with_their_keys() -> None:
    site = written(tz="America/Los Angeles", assets=[{"kind": "batery"}, {"name": "x"}], colour="red")
    text = complaint({k: v for k, v in site.items() if k != "colour"})
    assert "tz" in text and "America/Los_Angeles" in text
    site["tz"] = "America/Los_Angeles"
    assert "colour: no such key" in complaint(site)
    del site["colour"]
    site["meters"][0] |= {
        "data": "jobbing-fondry",
        "tariffs": [{"tariff": "pge-b-20-secundary"}],
        "facts": {"holidays": "no.csv"},
    }
    text = complaint(site)
    for part in (
        "assets[0]",
        "batery",
        "assets[1].kind: is missing",
        "meters[0].data",
        "did you mean 'jobbing-foundry'",
        "meters[0].tariffs[0].tariff",
        "pge-b-20-secondary",
        "meters[0].facts.holidays",
    ):
        assert part in text, part


def test_a_misspelt_key_gets_its_near_name() -> None:
    assert "meters[0].tarifs: no such key; did you mean tariffs?" in complaint(meter(tarifs=[]))
    assert "study.polcy: no such key; did you mean policy" in complaint(written(study={"polcy": "x"}))
    assert "at least 1 item" not in complaint(meter(tarifs=[])), (
        "what follows from the first mistake is not one"
    )


def test_a_missing_key_is_named() -> None:
    site = written()
    del site["meters"][0]["data"], site["tz"]
    text = complaint(site)
    assert "meters[0].data: is missing" in text and "tz: is missing" in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"facts": {"power_factor_frac": 90}}, "meters[0].facts.power_factor_frac"),
        ({"history": [{"month": "2020-13", "peak_kw": 5}]}, "meters[0].history[0].month"),
        ({"interconnection": {"export_limit_kw": 5}}, "export_allowed = false"),
        ({"read_dates": ["2021-02-01"]}, "at least two dates"),
        ({"read_dates": ["2021-02-01", "2021-01-01"]}, "ascending"),
        ({"read_dates": "none.csv"}, "no file 'none.csv'"),
        (
            {"tariffs": [{"tariff": RATE, "from_date": "2021-02-01", "until_date": "2021-01-01"}]},
            "is not after",
        ),
        ({"tariffs": [{"tariff": RATE}, {"tariff": RATE}]}, "in force on the same days"),
        (
            {
                "tariffs": [
                    {"tariff": RATE, "until_date": "2021-02-01"},
                    {"tariff": RATE, "from_date": "2021-03-01"},
                ]
            },
            "no tariff from 2021-02-01 to 2021-03-01",
        ),
    ],
)
def test_what_a_meter_may_not_be(change: dict[str, Any], words: str) -> None:
    assert words in complaint(meter(**change))


def test_two_meters_need_two_names_and_assets_a_meter() -> None:
    two = written()
    two["meters"] = [two["meters"][0], two["meters"][0]]
    assert "is the name of 2 meters" in complaint(two)
    two["meters"][1] = two["meters"][1] | {"name": "n"}
    assert "assets[0].meter: is missing; write one of 'm', 'n'" in complaint(
        two | {"assets": [{"kind": "x"}]}
    )


def test_an_unknown_policy_names_the_known_and_never_a_plant() -> None:
    text = complaint(written(study={"policy": "twin"}))
    assert "no policy is called 'twin'" in text and "threshold" in text


def test_versions_are_ordered_and_may_be_open_at_both_ends() -> None:
    site = files.load(
        meter(
            tariffs=[
                {"tariff": RATE, "from_date": "2021-06-01"},
                {"tariff": "pge-b-19-secondary", "until_date": "2021-06-01"},
            ]
        )
    )
    assert [v.name for v in site.meters[0].tariffs] == ["pge-b-19-secondary", RATE]


def test_files_beside_the_site_are_found_and_counted(tmp_path: Path) -> None:
    (tmp_path / "load.csv").write_text("time,kW\n2021-01-01 00:00,5\n")
    (tmp_path / "events.csv").write_text("start\n# called\n2021-07-01T16:00\n2021-08-02\n")
    (tmp_path / "prices.csv").write_text("start,usd_per_kwh\n2021-01-01T00:00,0.05\n2021-01-01T01:00,0.07\n")
    (tmp_path / "reads.csv").write_text("read\n2021-01-05\n2021-02-04\n")
    text = f"""
name = "s"
tz = "America/Los_Angeles"
[[meters]]
data = "load.csv"
read_dates = "reads.csv"
tariffs = [{{ tariff = "{RATE}" }}]
facts = {{ cpp_events = "events.csv", prices = "prices.csv", holidays = [2021-07-05] }}
"""
    (tmp_path / "site.toml").write_text(text)
    site = files.load(tmp_path)  # the folder is enough
    (m,) = site.meters
    assert m.data == tmp_path / "load.csv" and m.cycles == (date(2021, 1, 5), date(2021, 2, 4))
    called = m.facts["cpp_events"]
    assert called[1] == date(2021, 8, 2) and isinstance(called[0], datetime) and called[0].tzinfo is not None
    assert [p for _, p in m.facts["prices"]] == [0.05, 0.07] and m.facts["holidays"] == (date(2021, 7, 5),)
    assert {"site.toml", "load.csv", "events.csv", "prices.csv", "reads.csv"} <= {f.name for f in site.files}


def test_rows_that_are_no_prices_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.csv").write_text("2021-01-01T00:00,0.05\n2021-01-01T01:00,cheap\n2021-03-14T02:30,0.1\n")
    text = complaint(meter(facts={"prices": "p.csv"}))
    assert "row 2" in text and "row 3" in text and "does not exist" in text


@pytest.mark.parametrize(
    ("body", "words"),
    [(b"name = ", "not valid TOML"), (b"name = '\xff'", "not UTF-8"), (b"", "tz: is missing")],
)
def test_a_file_that_is_no_site(tmp_path: Path, body: bytes, words: str) -> None:
    path = tmp_path / "site.toml"
    path.write_bytes(body)
    text = complaint(path)
    assert words in text and "site.toml" in text


def test_a_folder_without_a_site_says_how_to_make_one(tmp_path: Path) -> None:
    assert "valuestack init" in complaint(tmp_path)


def test_a_meter_file_alone_makes_a_site() -> None:
    site = files.around_meter(Path("jobbing-foundry"), tz=None, tariff=RATE)
    assert site.tz == "America/Los_Angeles" and site.meters[0].tariffs[0].name == RATE
    assert not files.around_meter(Path("jobbing-foundry"), tz="UTC", tariff=None).meters[0].tariffs


def test_a_meter_file_that_does_not_say_its_zone_is_asked_for_it(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("time,kW\n" + "".join(f"2021-01-01 {h:02d}:00,5.0\n" for h in range(24)))
    with pytest.raises(InputError, match="give --tz"):
        files.around_meter(tmp_path / "m.csv", tz=None, tariff=RATE)


def test_a_draft_loads_as_it_is_written(tmp_path: Path) -> None:
    text = draft(Path("jobbing-foundry"), RATE, tz=None, name=None, beside=tmp_path)
    (tmp_path / "site.toml").write_text(text)
    site = files.load(tmp_path / "site.toml")
    (battery,) = site.meters[0].assets
    assert site.name == "jobbing-foundry" and battery.power_kw == pytest.approx(510, abs=20)
    assert battery.energy_kwh == 2 * battery.power_kw


def test_every_line_that_the_draft_comments_out_is_valid(tmp_path: Path) -> None:
    """Uncommented line by line, the examples in a draft are keys of a site file."""
    text = draft(Path("jobbing-foundry"), RATE, tz="America/Los_Angeles", name="x", beside=tmp_path)
    lines = []
    for line in text.splitlines():
        bare = line.removeprefix("# ")
        if (
            line.startswith("# ")
            and (bare.startswith("[") or " = " in bare)
            and "unit" not in bare
            and "read]" not in bare
        ):
            lines.append(bare)
        elif not line.startswith("#"):
            lines.append(line)
    (tmp_path / "events.csv").write_text("2025-07-01\n")
    (tmp_path / "prices.csv").write_text("2025-07-01T00:00,0.1\n2025-07-01T01:00,0.1\n")
    body = "\n".join(lines).replace("from_date = 2025-01-01\nuntil_date = 2026-01-01\n", "")
    (tmp_path / "site.toml").write_text(body)
    site = files.load(tmp_path / "site.toml")
    assert site.written.economics.capex_usd == 450000 and site.meters[0].written.history[0].peak_kw == 1510
    assert site.meters[0].export_limit_kw == 200 and site.written.meters[0].billed[0].energy_kwh == 412345


def test_a_date_that_does_not_exist_is_named_by_its_place() -> None:
    text = complaint(meter(facts={"cpp_events": ["2021-13-01T00:00"]}))
    assert "meters[0].facts.cpp_events[0]" in text and "valid string" not in text
