"""`valuestack study`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from .. import __version__
from .app import (
    AsOf,
    Json,
    SiteName,
    app,
    begin,
    check_formats,
    dated,
    emit,
    progress,
    results_folder,
    show,
    writable,
)


@app.command()
def study(
    site_file: SiteName,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the report; default: results beside the site file."),
    ] = None,
    sizes: Annotated[
        bool, typer.Option("--sizes", help="Also a grid of battery sizes with the knee marked.")
    ] = False,
    as_of: AsOf = None,
    formats: Annotated[
        str, typer.Option("--formats", help="Of the report, by commas: html, json, xlsx, parquet, csv.")
    ] = "html,json,xlsx,parquet",
    as_json: Json = False,
) -> None:
    """What the assets would save, and at most.

    Realised: with only what could have been known at the time. Bound: with perfect foresight."""
    begin("study", as_json, locals())
    from ..process import status as steps
    from ..site.files import load

    started = time.perf_counter()
    site = dated(load(site_file), as_of)
    folder = writable(out or results_folder(site))
    wanted = [f.strip() for f in formats.split(",") if f.strip()]
    check_formats(wanted)
    with progress(site.name) as step:
        from ..process.stacking.study import study as run

        found = run(site, progress=step, sizes=sizes)
        step("writing the report", None)
        from ..report import page

        paths = page.write(found, folder, formats=wanted)
    steps.record(folder, site, ("data audit", "stacking"), __version__)
    seconds = time.perf_counter() - started
    if as_json:
        emit({**found.to_dict(), "files": [str(p) for p in paths]})
        return
    from ..report import terminal

    show(terminal.study(found))
    show(terminal.files(paths, seconds))
