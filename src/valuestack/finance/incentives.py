"""Credits and depreciation as dated rules: which rate, which table, on whose word.

    depreciable basis = cost x (1 - credit / 2),   bonus first, the rest by its MACRS table

IRC 48E and 168 as amended by Pub. L. 119-21; rows in data/incentives/*.toml with source and whether verified.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

from ..errors import InputError

SMALL_AC_KW = 1000.0  # below 1 MW AC the full rate asks for no prevailing wage, IRC 48E(a)(2)(B)


@cache
def rows(file: str, table: str, folder: str = "incentives") -> tuple[dict[str, Any], ...]:
    """Rows of one table of data/<folder>/<file>.toml."""
    path = files("valuestack") / "data" / folder / f"{file}.toml"
    return tuple(tomllib.loads(path.read_text(encoding="utf-8"))[table])


def unverified(row: dict[str, Any], what: str) -> tuple[str, ...]:
    """A sentence where a row was not verified, else nothing."""
    return () if row["verified"] else (f"{what}, not verified: {row['source']}",)


@dataclass(frozen=True, slots=True)
class Credit:
    """The investment credit of one technology: its rate, what it stands on, and why it is not more."""

    frac: float
    reasons: tuple[str, ...]
    assumptions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Project:
    """What decides a credit. begins: construction; placed: in service. foreign_free_frac: share of cost free of
    prohibited foreign entities, None = not known."""

    begins: date
    placed: date
    ac_kw: float | None = None
    prevailing_wage: bool = False
    domestic_content: bool = False
    energy_community: bool = False
    foreign_free_frac: float | None = None


def investment_credit(technology: str, project: Project) -> Credit:
    """The credit of a project under 48E: phase by the day construction begins, rate, adders, foreign content.

    Errors: InputError for a technology without rows or construction before 2025 (the older credit of section 48).
    """
    phases = [r for r in rows("itc", "phase") if r["technology"] == technology]
    if not phases:
        known = sorted({r["technology"] for r in rows("itc", "phase")})
        raise InputError(f"technology: no credit is known for {technology!r}; known: {', '.join(known)}")
    first = min(r["begins_from"] for r in phases)
    if project.begins < first:
        raise InputError(
            f"construction_date: {project.begins} is before {first}, when the older credit of section 48 held; "
            "write itc_frac yourself"
        )
    phase = next((r for r in phases if r["begins_from"] <= project.begins < r["begins_until"]), None)
    if phase is None:
        return Credit(0.0, (f"no credit for {technology} that begins construction on {project.begins}",), ())
    if "placed_until" in phase and project.placed >= phase["placed_until"]:
        why = f"{technology} begun on {project.begins} must be in service before {phase['placed_until']}"
        return Credit(0.0, (f"{why}; it is on {project.placed}",), ())
    refused, notes = _foreign(technology, project)
    if refused:
        return Credit(0.0, refused, notes)
    rate, parts, more = _rate(project)
    notes += more + unverified(phase, f"{technology} credit phase")
    reasons = (*parts, f"{phase['phase_frac']:.0%} of it for construction begun on {project.begins}")
    return Credit(rate * float(phase["phase_frac"]), reasons, notes)


def _rate(project: Project) -> tuple[float, tuple[str, ...], tuple[str, ...]]:
    table = {r["name"]: r for r in rows("itc", "rate")}
    small = project.ac_kw is not None and project.ac_kw < SMALL_AC_KW
    full = project.prevailing_wage or small
    row = table["full" if full else "base"]
    rate = float(row["frac"])
    why = "below 1 MW AC" if small else "prevailing wage met" if full else "prevailing wage not met"
    reasons = [f"{rate:.0%}: {why}"]
    notes = unverified(row, f"investment credit of {rate:.0%}")
    for name, there in (
        ("domestic content", project.domestic_content),
        ("energy community", project.energy_community),
    ):
        if there:
            adder = float(table[name]["frac"]) * (1.0 if full else 0.2)
            rate += adder
            reasons.append(f"{adder:.0%}: {name}")
            notes += unverified(table[name], f"adder of {adder:.0%} for {name}")
    return rate, tuple(reasons), notes


def _foreign(technology: str, project: Project) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Why the credit is refused for foreign content, and what is assumed of it."""
    if project.begins < date(2026, 1, 1):
        return (), ()
    table = sorted(
        (r for r in rows("itc", "material") if r["technology"] == technology), key=lambda r: int(r["year"])
    )
    row = next((r for r in reversed(table) if r["year"] <= project.begins.year), None)
    if row is None or (technology == "solar" and project.begins.year > table[-1]["year"]):
        return (), (f"{technology}: threshold of foreign content in {project.begins.year}, not verified",)
    least = float(row["least_frac"])
    if project.foreign_free_frac is None:
        return (), (
            f"{technology}: at least {least:.0%} of its cost is taken to be free of prohibited foreign entities, not "
            "verified for this equipment",
        )
    if project.foreign_free_frac < least:
        return (
            f"no credit: {project.foreign_free_frac:.0%} of the cost is free of prohibited foreign entities, "
            f"{least:.0%} is asked",
        ), ()
    return (), ()


def macrs(class_y: int) -> tuple[float, ...]:
    """Depreciation by year, half-year convention; sums to 1. InputError for a class without a table."""
    for row in rows("depreciation", "macrs"):
        if row["class_y"] == class_y:
            return tuple(float(x) for x in row["shares"])
    known = ", ".join(str(r["class_y"]) for r in rows("depreciation", "macrs"))
    raise InputError(f"macrs_class_y: no table for {class_y}-year property; there are {known}, or 0 for none")


def class_life(kind: str) -> tuple[int, tuple[str, ...]]:
    """Class life of an asset's kind where none is written, and the warning that goes with it."""
    table = {r["kind"]: r for r in rows("depreciation", "class")}
    row = table.get(kind, table["other"])
    return int(row["class_y"]), unverified(row, f"{kind}: {row['class_y']}-year property")


def bonus(acquired: date) -> tuple[float, tuple[str, ...]]:
    """Bonus share in the first year by the day of acquisition, 0 where no row holds, and what was not verified."""
    for row in rows("depreciation", "bonus"):
        if row["acquired_from"] <= acquired < row.get("acquired_until", date.max):
            frac = float(row["frac"])
            return frac, unverified(row, f"bonus depreciation of {frac:.0%}")
    return 0.0, (f"no bonus depreciation is known for property acquired on {acquired}; none is taken",)


def schedule(class_y: int, bonus_frac: float) -> tuple[float, ...]:
    """Depreciation by year as shares of the basis: bonus in year 1, the rest by the table.

    >>> schedule(5, 0.4)[:2]
    (0.52, 0.192)
    """
    if class_y == 0:
        return ()
    table = macrs(class_y)
    rest = 1 - bonus_frac
    return tuple(round(bonus_frac * (k == 0) + rest * share, 12) for k, share in enumerate(table))


def basis_reduction() -> float:
    """Share of the credit by which the depreciable basis is reduced."""
    return float(rows("itc", "basis")[0]["reduction_share"])
