"""A sizing in the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from . import tables, terminal
from .result import BOUND_LABEL
from .sized import Sizing, ranked
from .sizing_page import enrolment_table, flip_table, granularity_table, option_table, unit_table


def sizing(found: Sizing) -> RenderableType:
    """Sentences first, then the tables of the page."""
    parts: list[RenderableType] = [*terminal.head(found.head)]
    parts += [Text(s) for s in found.sentences]
    parts += ["", terminal.rows(f"options ({BOUND_LABEL})", option_table(ranked(found.alone)), left=2)]
    if found.vendors:
        parts += ["", terminal.rows("options quoted", option_table(ranked(found.vendors)), left=2)]
    if found.frontier:
        parts += ["", terminal.rows("best battery at each spend", option_table(found.frontier), left=2)]
    if found.next_units:
        parts += ["", terminal.rows("the next unit", unit_table(found), left=3)]
    if found.enrolment:
        parts += ["", terminal.rows("kW to enrol", enrolment_table(found, short=True), left=2)]
        parts += [
            Text(f"{r['programme']}, {r['beside']}: limited by {r['limited_by']}") for r in found.enrolment
        ]
    if found.granularity:
        parts += ["", terminal.rows("what finer data are worth", granularity_table(found), left=2)]
    if found.moving is not None and found.moving.get("flip"):
        parts += ["", terminal.rows("battery price at which it overtakes moving load", flip_table(found))]
    if found.spec:
        parts += ["", terminal.rows("specification sheet", tables.of_rows(found.spec), left=3)]
    loose = [a for a in found.assumptions if not a.verified]
    parts += ["", Text(f"{len(found.assumptions)} assumptions, {len(loose)} of them not verified")]
    parts += [terminal.assumptions(loose, limit=8)] if loose else []
    return Group(*parts, "", terminal.findings([f for f in found.findings if f.severity != "info"], limit=8))
