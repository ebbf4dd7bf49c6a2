"""`valuestack import`."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .app import Json, Zone, app, begin, emit, show, writable


@app.command("import")
def import_(
    scenario: Annotated[Path, typer.Argument(metavar="SCENARIO.json", help="A REopt scenario.")],
    out: Annotated[
        Path, typer.Option("--out", help="Site file to write; its load and tariff are laid beside it.")
    ] = Path("site.toml"),
    tz: Zone = None,
    start: Annotated[
        str | None, typer.Option("--start", metavar="DATE", help="Day on which operation begins.")
    ] = None,
    size: Annotated[
        list[str] | None,
        typer.Option(
            "--size",
            metavar="KEY=NUMBER",
            help="Where the scenario leaves a range: PV.kw, ElectricStorage.kw, ElectricStorage.kwh, Generator.kw.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a site from a REopt scenario.

    What was assumed is said, every key that was not taken is named, and nothing is written over."""
    begin("import", as_json, locals())
    from ..sources.reopt import read_scenario

    made = read_scenario(scenario, tz=tz, start_date=_day(start), sizes=_sizes(size or ()), name=out.stem)
    writable(out.parent)
    path = made.write(out.parent, with_finance=True, file=out.name)
    files = [str(path), *(str(out.parent / name) for name in made.files)]
    if as_json:
        emit(
            {
                "file": str(path),
                "files": files,
                "unsupported": list(made.unsupported),
                "findings": [f.to_dict() for f in made.findings],
            }
        )
        return
    from ..report import terminal

    show(terminal.findings(made.findings, limit=100))
    left = f"{len(made.unsupported)} keys were not taken" if made.unsupported else "every key was taken"
    typer.echo(f"wrote {', '.join(files)}; {left}. Read it, then run `valuestack study {path}`")


def _day(written: str | None) -> date | None:
    if written is None:
        return None
    try:
        return date.fromisoformat(written)
    except ValueError as e:
        raise InputError(f"--start {written!r}: is no date; write it like 2026-01-01") from e


def _sizes(written: list[str] | tuple[str, ...]) -> dict[str, float]:
    out, problems = {}, []
    for item in written:
        key, _, value = item.partition("=")
        try:
            out[key.strip()] = float(value)
        except ValueError:
            problems.append(f"--size {item!r}: write KEY=NUMBER, for example --size ElectricStorage.kwh=800")
    if problems:
        raise InputError.collect("import", problems)
    return out
