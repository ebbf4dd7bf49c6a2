"""A simulation in the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from . import tables
from .simulated import Simulated
from .terminal import head, rows


def simulated(found: Simulated) -> RenderableType:
    """What a person wants first: the warnings, the recommendation, outcomes, base layers, layers of the best."""
    parts: list[RenderableType] = [*head(found.head)]
    if found.verdict is not None:
        parts += [Text(found.verdict.sentence, style="bold"), ""]
        parts += [Text(s) for s in found.verdict.turned]
    for of in dict.fromkeys(str(r["of"]) for r in found.outcomes):
        mine = [
            {k: v for k, v in r.items() if k != "of" and not k.endswith("±_usd")}
            for r in found.outcomes
            if r["of"] == of
        ]
        parts += ["", rows(f"{of}, {found.futures:,} futures", tables.of_rows(mine))]
    best = found.names[found.verdict.best if found.verdict is not None else found.policies[-1]]
    shown = [
        {
            k: r.get(k)
            for k in ("layer", "P10_usd_per_y", "P50_usd_per_y", "P90_usd_per_y", "certainty", "calls_per_y")
        }
        for r in found.layers
        if r["policy"] == best
    ]
    parts += ["", rows(f"layers under {best}", tables.of_rows(shown))]
    if found.base:
        mine = [{k: r[k] for k in ("policy", "verdict", "NPV of layers 1 and 2_usd")} for r in found.base]
        parts += ["", rows("layers 1 and 2 alone", tables.of_rows(mine))]
    return Group(*parts)
