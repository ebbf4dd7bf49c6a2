"""Changing any one input of a shipped example changes the output.

Each leaf of the site file and of its load model is changed, one at a time. What is a number, a date or a
choice must change the figures; what is only a label must be found in the output, word for word.
"""

from __future__ import annotations

import copy
import json
import tomllib
from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import valuestack as vs
from valuestack.site.files import find_tariff, shipped
from valuestack.sources.load_model import WEEKDAYS, parse, run

SITE, LOAD = "first-story", "jobbing-foundry"
SITE_FILE: dict[str, Any] = tomllib.loads(shipped("sites")[SITE].read_text(encoding="utf-8"))
LOAD_FILE: dict[str, Any] = tomllib.loads(shipped("loads")[LOAD].read_text(encoding="utf-8"))

Key = tuple[str | int, ...]

# Words for people; everything else must move a figure.
LABELS = ("name", "what", "source", "text")
# A month and a half: long enough for two billed peaks and for yesterday to teach the policy.
SHORT = {"first_date": date(2021, 5, 17), "until_date": date(2021, 7, 1)}


def leaves(tree: Any, key: Key = ()) -> Iterator[tuple[Key, Any]]:
    if isinstance(tree, dict):
        for k, v in tree.items():
            yield from leaves(v, (*key, k))
    elif isinstance(tree, list):
        for i, v in enumerate(tree):
            yield from leaves(v, (*key, i))
    else:
        yield key, tree


def at(tree: Any, key: Key) -> Any:
    for part in key:
        tree = tree[part]
    return tree


def changed(tree: dict[str, Any], key: Key, value: Any) -> dict[str, Any]:
    out = copy.deepcopy(tree)
    holder = at(out, key[:-1])
    holder[key[-1]] = value
    return out


def is_label(key: Key) -> bool:
    return key[-1] in LABELS or key[0] == "sources"


def other(key: Key, value: Any) -> Any:
    """Another value that the same key may have."""
    if key[-1] in CHOICES:
        return CHOICES[key[-1]]
    if key[-1] == "tz":
        return "America/Phoenix"  # no daylight saving time
    if isinstance(value, bool):
        return not value
    if isinstance(value, date):
        # a shutdown's last day may be the last of the data
        return value + timedelta(days=-1 if key[-3:-2] == ("shutdowns",) and key[-1] == 1 else 1)
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        # A quarter-hour meter knows other steps; shares stay within 0..1.
        if key[-1] == "step_h":
            return 0.5
        if str(key[-1]).endswith("_frac"):
            return value - 0.04 if value > 0.5 else value + 0.04
        return value * 0.9 if value else 1.0
    assert value in WEEKDAYS, f"{key}: say in CHOICES what else it may be"
    return "sun"


CHOICES: dict[Any, Any] = {
    "policy": "do_nothing",
    "tariff": "sce-tou-8-d-under-2kv",
    "wear_rounds": 0,  # more rounds than it takes to agree change nothing
    "kind": "no-such-kind",
    "meter": "no-such-meter",
}
# Keys that name something: another name must be refused, by name.
NAMES = ("kind", "meter")


def names(keys: list[Key]) -> list[str]:
    return [".".join(map(str, k)) for k in keys]


LOAD_KEYS = [k for k, _ in leaves(LOAD_FILE) if not is_label(k)]
SITE_KEYS = [k for k, _ in leaves(SITE_FILE) if not is_label(k)]


@cache
def compiled(timeline: vs.Timeline) -> Any:
    meter = SITE_FILE["meters"][0]
    tariff = vs.load_tariff(find_tariff(meter["tariffs"][0]["tariff"], shipped("sites")[SITE].parent))
    return tariff.compile(timeline, vs.BillFacts(power_factor=meter["facts"]["power_factor_frac"]))


def billed(load: dict[str, Any]) -> tuple[bytes, float]:
    """The plant's readings, and what a year of them costs."""
    model = parse(load, "load")
    series = run(model)
    return series.tobytes(), compiled(model.timeline).total_usd(series)


@cache
def billed_as_shipped() -> tuple[bytes, float]:
    return billed(LOAD_FILE)


@pytest.mark.parametrize("key", LOAD_KEYS, ids=names(LOAD_KEYS))
def test_every_number_of_the_load_model_moves_the_bill(key: Key) -> None:
    series, usd = billed(changed(LOAD_FILE, key, other(key, at(LOAD_FILE, key))))
    shipped_series, shipped_usd = billed_as_shipped()
    assert series != shipped_series, f"{key} changes no reading"
    assert abs(usd - shipped_usd) > 0.005, f"{key} changes the readings but not the bill"


def figures(site: dict[str, Any], *, sizes: bool = False) -> str:
    """Every figure of a short study of the site, as text."""
    short = copy.deepcopy(site)
    short.setdefault("study", {}).update({k: v for k, v in SHORT.items() if k not in short["study"]})
    if sizes:
        short["study"]["sizes"] = {"power_kw": [270.0, 540.0], "energy_kwh": [540.0, 1080.0]}
    out = vs.study(vs.load_site(short), sizes=sizes).to_dict()
    out.pop("seconds")
    out.pop("site")  # the echo of the input is no figure
    return json.dumps(out, default=str)


@cache
def as_shipped(sizes: bool) -> str:
    return figures(SITE_FILE, sizes=sizes)


@pytest.mark.slow
@pytest.mark.parametrize("key", SITE_KEYS, ids=names(SITE_KEYS))
def test_every_choice_of_the_site_file_changes_the_study(key: Key, tmp_path: Path) -> None:
    if key[-1] == "data":
        text = shipped("loads")[LOAD].read_text(encoding="utf-8").replace("seed = 1", "seed = 2")
        value: Any = str(tmp_path / "other.toml")
        Path(value).write_text(text, encoding="utf-8")
    else:
        value = other(key, at(SITE_FILE, key))
    if key[-1] in NAMES:
        with pytest.raises(vs.InputError, match=str(value)):
            figures(changed(SITE_FILE, key, value))
        return
    sizes = str(key[-1]).startswith("capex_usd_per_")  # these price the grid of sizes only
    assert figures(changed(SITE_FILE, key, value), sizes=sizes) != as_shipped(sizes), key


@pytest.mark.slow
def test_every_label_is_found_in_the_output() -> None:
    text = json.dumps(
        vs.study(vs.load_site(SITE_FILE | {"study": {**SITE_FILE.get("study", {}), **SHORT}})).to_dict(),
        default=str,
    )
    spoken = json.loads(text)
    words = "\n".join(str(v) for _, v in leaves(spoken))
    missing = [
        f"{'.'.join(map(str, k))} = {v!r}"
        for tree in (SITE_FILE, LOAD_FILE)
        for k, v in leaves(tree)
        if is_label(k) and str(v) not in words
    ]
    assert not missing, "labels that nobody would see:\n" + "\n".join(missing)


def test_the_harness_would_notice_an_idle_input() -> None:
    """A seed of a plant without chance changes nothing: the check above would fail on it."""
    quiet = {
        "name": "q",
        "what": "q",
        "tz": "UTC",
        "start": date(2019, 1, 1),
        "days": 2,
        "seed": 1,
        "base": {"kw": 5.0},
        "sources": {"base": "x", "calendar": "x"},
    }
    assert np.array_equal(run(parse(quiet, "q")), run(parse(quiet | {"seed": 2}, "q")))
