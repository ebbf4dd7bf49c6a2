"""`valuestack explain`."""

from __future__ import annotations

from typing import Annotated

import typer

from .app import Json, SiteName, app, begin, emit, progress


@app.command()
def explain(
    site_file: SiteName,
    when: Annotated[str, typer.Argument(help="Local start of an interval, e.g. 2025-07-14T17:00.")],
    asset: Annotated[str | None, typer.Option("--asset", help="Whose other setpoints are tried.")] = None,
    setpoint_kw: Annotated[
        list[float] | None, typer.Option("--kw", help="A setpoint to price, load sign; may be repeated.")
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=62, help="Length of the plan around it.")] = 7,
    as_json: Json = False,
) -> None:
    """Why a plan does what it does in one interval.

    What holds it, who prices it, and what the next best action costs. A plan with perfect foresight over some days."""
    begin("explain", as_json, locals())
    from ..process.stacking.reasons import explained
    from ..site.files import load

    with progress("explaining") as step:
        found = explained(
            load(site_file), when, asset=asset, also_kw=setpoint_kw or (), days=days, progress=step
        )
    if as_json:
        emit({"meters": {name: e.to_dict() for name, e in found.items()}})
        return
    for name, e in found.items():
        typer.echo("\n".join([f"meter {name}", *(f"  {s}" for s in e.sentences)]))
