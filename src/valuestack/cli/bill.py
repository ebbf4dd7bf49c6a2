"""`valuestack bill`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InputError
from .app import Json, Override, Point, Read, Tariff, Zone, app, begin, emit, progress, show, site_or_meter


@app.command()
def bill(
    file: Annotated[Path, typer.Argument(help="Site file, shipped example, or meter file (then --tariff).")],
    tariff: Tariff = None,
    tz: Zone = None,
    usage_point: Point = None,
    read: Read = None,
    power_factor: Annotated[
        float | None,
        typer.Option("--power-factor", help="Average power factor, 0..1, where kvar is not metered."),
    ] = None,
    actual: Annotated[
        Path | None,
        typer.Option(
            "--actual", help="CSV of the utility's bills: cycle_start, cycle_end, item, quantity, unit, usd."
        ),
    ] = None,
    override: Override = None,
    as_json: Json = False,
) -> None:
    """What the bill is made of, cycle by cycle.

    With --actual: how it differs from what was charged, and the likely cause."""
    begin("bill", as_json, locals())
    from ..process.stacking.meters import ready

    site = site_or_meter(file, tz, tariff, usage_point, read, override, power_factor=power_factor)
    if actual is not None and len(site.meters) > 1:
        raise InputError("--actual compares one meter's bills; name a site with one meter")
    out: dict[str, Any] = {}
    shown: list[Any] = []
    from ..report import terminal

    with progress("billing") as step:
        for m in site.meters:
            made = ready(site, m, progress=step)
            settled = made.settle(made.before_kw)
            out[m.name] = {"head": list(made.head), **settled.to_dict()}
            shown.append(terminal.bill(m.name, settled, made.head))
            if actual is not None:
                compared = made.reconcile(actual)
                out[m.name]["actual"] = compared.to_dict()
                shown.append(terminal.reconciled(compared))
    if as_json:
        emit({"meters": out})
        return
    for part in shown:
        show(part)
