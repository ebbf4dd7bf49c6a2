"""The load model: same file, same readings; each part does what it says; mistakes are named."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from valuestack.errors import InputError
from valuestack.site.files import shipped
from valuestack.sources.load_model import LoadModel, parse, run

LOADS = shipped("loads", ".toml")


def model(**changes: Any) -> dict[str, Any]:
    """A fortnight of the simplest plant, Monday first."""
    base: dict[str, Any] = {
        "name": "test",
        "what": "a test plant",
        "tz": "America/Chicago",
        "start": "2019-01-07",
        "days": 14,
        "seed": 3,
        "base": {"kw": 100.0},
        "sources": {"base": "a choice", "calendar": "a choice"},
    }
    merged = base | changes
    for kind in ("shifts", "batches"):
        for part in merged.get(kind, ()):
            merged["sources"] = merged["sources"] | {f"{kind}.{part['name']}": "a choice"}
    if "cooling" in merged:
        merged["sources"] = merged["sources"] | {"cooling": "a choice"}
    return merged


def kw(**changes: Any) -> np.ndarray[Any, Any]:
    return run(parse(model(**changes), "test")).reshape(14, 96)


def test_base_alone_is_flat() -> None:
    assert np.all(kw() == 100.0)


def test_a_shift_runs_on_its_days_and_hours() -> None:
    day = {"name": "day", "kw": 50.0, "days": ["mon", "tue"], "from_h": 6.0, "to_h": 14.0}
    series = kw(shifts=[day])
    assert np.all(series[0, 24:56] == 150) and np.all(series[0, :24] == 100) and np.all(series[0, 56:] == 100)
    assert np.all(series[2:7] == 100) and np.all(series[7:9, 24:56] == 150)


def test_a_season_is_kept() -> None:
    """The fortnight begins on 7 January."""
    day = {"name": "day", "kw": 50.0, "days": ["mon", "tue"], "from_h": 6.0, "to_h": 14.0, "months": [1]}
    assert kw(shifts=[day])[0].max() == 150
    assert kw(shifts=[{**day, "months": [2, 12]}]).max() == 100


def test_a_night_shift_runs_past_midnight() -> None:
    night = {"name": "night", "kw": 50.0, "days": ["fri"], "from_h": 22.0, "to_h": 6.0}
    series = kw(shifts=[night])
    assert np.all(series[4, 88:] == 150) and np.all(series[5, :24] == 150) and np.all(series[5, 24:] == 100)


def test_batches_come_in_heats_that_keep_their_energy() -> None:
    heat = {
        "name": "furnace",
        "kw": 600.0,
        "duration_min": 20.0,
        "pause_min": 40.0,
        "days": ["mon"],
        "from_h": 8.0,
        "to_h": 12.0,
    }
    series = kw(batches=[heat])
    # four heats of 20 minutes: 4 x 200 kWh
    assert (series[0] - 100).sum() / 4 == pytest.approx(800.0)
    assert series[0].max() == 700.0 and np.all(series[1:7] == 100)


def test_a_heat_ends_with_the_working_day() -> None:
    heat = {
        "name": "furnace",
        "kw": 600.0,
        "duration_min": 60.0,
        "pause_min": 0.0,
        "hold_kw": 5.0,
        "days": ["mon"],
        "from_h": 8.0,
        "to_h": 8.5,
    }
    assert (kw(batches=[heat])[0] - 100).sum() / 4 == pytest.approx(300.0)


def test_holidays_and_shutdowns_stop_shifts_and_batches() -> None:
    day = {"name": "day", "kw": 50.0, "days": ["mon", "tue", "wed"], "from_h": 6.0, "to_h": 14.0}
    off = {"holidays": ["2019-01-07"], "shutdowns": [["2019-01-14", "2019-01-15"]]}
    series = kw(shifts=[day], calendar=off)
    assert [bool((d > 100).any()) for d in series[[0, 1, 7, 8, 9]]] == [False, True, False, False, True]


def test_a_holiday_leaves_other_days_as_they_were() -> None:
    heat = {
        "name": "furnace",
        "kw": 600.0,
        "duration_min": 20.0,
        "pause_min": 40.0,
        "days": ["mon", "tue"],
        "from_h": 8.0,
        "to_h": 12.0,
        "kw_sd_frac": 0.1,
        "duration_sd_frac": 0.2,
    }
    with_it, without = kw(batches=[heat]), kw(batches=[heat], calendar={"holidays": ["2019-01-07"]})
    assert np.array_equal(with_it[1:], without[1:]) and not np.array_equal(with_it[0], without[0])


def test_cooling_peaks_when_it_says() -> None:
    series = kw(
        cooling={"kw": 40.0, "hottest_day": 10, "hottest_h": 15.0, "winter_frac": 0.0, "night_frac": 0.0}
    )
    day, quarter = np.unravel_index(series.argmax(), series.shape)
    assert day == 3 and quarter in (59, 60) and series.max() == pytest.approx(140.0, abs=0.1)


def test_the_same_seed_gives_the_same_readings_and_another_others() -> None:
    assert np.array_equal(
        kw(base={"kw": 100.0, "ripple_frac": 0.1}), kw(base={"kw": 100.0, "ripple_frac": 0.1})
    )
    assert not np.array_equal(
        kw(base={"kw": 100.0, "ripple_frac": 0.1}), kw(base={"kw": 100.0, "ripple_frac": 0.1}, seed=4)
    )


def test_a_day_of_a_clock_change_has_its_own_length() -> None:
    made = parse(model(start="2019-03-10", days=1), "test")
    assert run(made).size == made.timeline.n == 92


def test_mistakes_are_named_together() -> None:
    with pytest.raises(InputError) as e:
        parse(model(base={"kw": -1.0}, seed="x", colour="blue"), "plant.toml")
    for part in ("base.kw", "seed", "colour", "plant.toml"):
        assert part in str(e.value)


def test_every_number_says_where_it_comes_from() -> None:
    with pytest.raises(InputError, match=r"lacks where these come from: base"):
        parse(model(sources={"calendar": "a choice"}), "test")
    with pytest.raises(InputError, match=r"names no number of this file: batches.oven"):
        parse(model(sources={"base": "x", "calendar": "x", "batches.oven": "x"}), "test")


def test_a_shutdown_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(InputError, match="ends before it begins"):
        parse(model(calendar={"shutdowns": [["2019-02-02", "2019-02-01"]]}), "test")


@pytest.mark.parametrize("name", LOADS)
def test_shipped_models_are_read_as_meters(name: str) -> None:
    table = LoadModel().fetch(str(LOADS[name]), days=40)
    (channel,) = table.channels
    assert channel.duration_s is not None
    assert (
        channel.value.size * int(channel.duration_s[0]) == 40 * 86400
        and np.isfinite(channel.value).all()
        and channel.value.min() > 0
    )
    assert table.findings[0].kind == "load_model" and "nobody metered" in table.findings[0].what
    assert LoadModel().sniff(str(LOADS[name]))


@pytest.mark.parametrize(("name", "low_kw", "high_kw", "at_night"), [
    ("data-centre", 7700, 8300, None),
    ("food-plant", 2000, 2500, False),
    ("pharma-cold-store", 600, 800, None),
    ("ski-resort", 2800, 3500, True),
    ("manufacturer", 2300, 2800, False),
    ("corner-shop", 85, 110, False),
    ("corporate-campus", 1800, 2200, False),
])  # fmt: skip
def test_plants_are_what_their_texts_say(
    name: str, low_kw: float, high_kw: float, at_night: bool | None
) -> None:
    made = parse(tomllib.loads(LOADS[name].read_text(encoding="utf-8")), name)
    series, t = run(made), made.timeline
    assert low_kw <= series.max() <= high_kw
    if at_night is not None:
        hour = t.hour[int(np.argmax(series))]
        assert (hour >= 21 or hour < 7) == at_night


def test_the_cold_store_spikes_every_four_hours() -> None:
    made = parse(tomllib.loads(LOADS["pharma-cold-store"].read_text(encoding="utf-8")), "store")
    series = run(made)[:96]
    starts = np.flatnonzero(np.diff(series) > 150)
    assert starts.size >= 5 and np.all(np.abs(np.diff(starts) - 16) <= 1)


def test_the_foundry_is_the_plant_that_its_text_describes() -> None:
    """About 1.8 MW; the furnace alone makes the spikes; it stops at weekends and over Christmas."""
    written = tomllib.loads(LOADS["jobbing-foundry"].read_text(encoding="utf-8"))
    made = parse(written, "foundry")
    series, t = run(made), made.timeline
    assert 1600 <= series.max() <= 2000
    idle = parse(written | {"batches": [b | {"kw": 0.0} for b in written["batches"]]}, "idle")
    assert run(idle).max() < 0.5 * series.max()
    assert series[t.weekday == 6].max() < 0.3 * series.max()


def test_a_meter_file_is_no_load_model(tmp_path: Path) -> None:
    for name, text in (("a.toml", 'name = "site"\n'), ("b.csv", "a,b\n"), ("c.toml", "[[[")):
        (tmp_path / name).write_text(text)
        assert not LoadModel().sniff(str(tmp_path / name))
    with pytest.raises(InputError, match="not a TOML file"):
        LoadModel().fetch(str(tmp_path / "c.toml"))
    with pytest.raises(InputError, match="cannot be read"):
        LoadModel().fetch(str(tmp_path / "none.toml"))
