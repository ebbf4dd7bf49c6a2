"""The example stream of the how-to page runs, and what it asks for is what it charges."""

from __future__ import annotations

import re
from math import fsum
from pathlib import Path
from typing import Any

import pytest

from tests.kinds.case import Case, PlainBattery, metered, world
from valuestack.stack.optimise import optimise_view
from valuestack.streams.stream import ValueStream

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "add-a-stream.md"


def stream() -> Any:
    found = re.search(r"<!-- tested -->\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert found is not None
    scope: dict[str, Any] = {"__name__": "how_to"}
    exec(compile(found[1], str(PAGE), "exec", dont_inherit=True), scope)
    return scope["CalledHours"]()


def test_the_example_is_a_stream_whose_objective_is_its_charge() -> None:
    made = stream()
    assert isinstance(made, ValueStream)
    case = Case(world([80, 80, 80, 80], start="2018-07-02T16:00"), [made], [PlainBattery()])
    plan = optimise_view(case.view(), case.assets, case.streams, method="highs", gap=1e-9)
    charged = -fsum(e.usd for e in made.settle(metered(plan), case.world))
    assert charged == pytest.approx(plan.term_usd["called hours/adder"], abs=1e-6)
    # 50 kWh stored, and 50 kW charged at 16:00 fill it: the called hours are relieved, and only they.
    assert charged < 0.5 * 160 - 20
    assert plan.net_kw[1] < 80 and plan.net_kw[2] < 80
