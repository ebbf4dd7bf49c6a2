"""`valuestack audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import Json, Override, Point, Read, Tariff, Zone, app, begin, emit, progress, show, site_or_meter


@app.command()
def audit(
    file: Annotated[
        Path, typer.Argument(help="Meter file: Green Button XML, CSV, XLSX, Parquet, or a site file.")
    ],
    tz: Zone = None,
    tariff: Tariff = None,
    usage_point: Point = None,
    read: Read = None,
    override: Override = None,
    as_json: Json = False,
) -> None:
    """What the meter data are worth.

    Findings, repairs, profile, and the hours that set the bill."""
    begin("audit", as_json, locals())
    from ..process.stacking.meters import audit_meter

    site = site_or_meter(file, tz, tariff or "", usage_point, read, override)
    with progress("auditing") as step:
        results = {m.name: audit_meter(site, m, progress=step) for m in site.meters}
    if as_json:
        emit({"meters": {name: r.to_dict() for name, r in results.items()}})
        return
    from ..report import terminal

    for name, result in results.items():
        show(terminal.audit(name, result))
