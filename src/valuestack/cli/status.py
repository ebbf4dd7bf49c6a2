"""`valuestack status`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import __version__
from .app import Json, SiteName, app, begin, emit, results_folder, show


@app.command()
def status(
    site_file: SiteName,
    results: Annotated[Path | None, typer.Option("--results", help="Results folder of its studies.")] = None,
    as_json: Json = False,
) -> None:
    """Where a site stands in the seven steps."""
    begin("status", as_json, locals())
    from ..process.status import status as look
    from ..site.files import load

    site = load(site_file)
    folder = results or results_folder(site)
    found = look(site, folder, __version__)
    if as_json:
        emit({"site": site.name, "results": str(folder), "steps": [s.to_dict() for s in found]})
        return
    from ..report import terminal

    show(terminal.steps(site.name, folder, [s.to_dict() for s in found]))
