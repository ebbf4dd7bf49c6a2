"""The site as written: what has no size to decide alone, what has one at its written size, and all together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....errors import ValuestackError
from ....report.sized import Outcome
from ..meters import Step
from .case import Case
from .engine import engine
from .settled import settled


def as_written(
    case: Case, assets: Sequence[Any], sizable: Sequence[Any], notes: list[str], step: Step
) -> list[Outcome]:
    """What has no size to decide, alone; what has one, as written; and the whole site as written."""
    out: list[Outcome] = []
    for a in assets:
        if a not in sizable:
            step(f"{a.name} alone", None)
            out += _fixed_alone(case, a, notes)
    for a in (a for a in case.m.new if a in sizable or (a.kind == "generator" and a.name in case.prices)):
        step(f"{a.name} as written", None)
        try:
            out.append(settled(case, [a], f"{a.name} as written", how="the size in the site file"))
        except ValuestackError as e:
            notes.append(f"{a.name} as written has no plan by itself: {str(e).splitlines()[0]}")
    if len(case.m.new) > 1:
        step("all of the site's assets as written", None)
        try:
            out.append(settled(case, case.m.new, "all as written", how="every asset in the site file"))
        except ValuestackError as e:
            notes.append(f"all assets as written have no plan here: {str(e).splitlines()[0]}")
    return out


def _fixed_alone(case: Case, a: Any, notes: list[str]) -> list[Outcome]:
    """An asset by itself: an engine at its best size, moved load as its process allows."""
    try:
        if a.kind == "generator" and a.name in case.prices:
            return [engine(case, a)]
        return [settled(case, [a], a.name, how="as written: what its process allows, called when it pays")]
    except ValuestackError as e:
        notes.append(f"{a.name} alone has no plan: {str(e).splitlines()[0]}")
        return []
