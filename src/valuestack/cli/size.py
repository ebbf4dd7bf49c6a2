"""`valuestack size`."""

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
def size(
    site_file: SiteName,
    vendors: Annotated[
        str | None,
        typer.Option(
            "--vendors", metavar="FILE", help="Prices and quoted options, TOML; default: the shipped prices."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the page; default: results beside the site file."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave out the frontier and what finer data are worth.")
    ] = False,
    as_of: AsOf = None,
    as_json: Json = False,
) -> None:
    """Which sizes pay: the best kW and kWh, options beside one another, and what to ask of a vendor.

    Plans know the future: every figure is a bound, and bounds are compared with bounds."""
    begin("size", as_json, locals())
    from ..process import status as steps
    from ..site.files import load
    from ..site.vendors import load_vendors

    started = time.perf_counter()
    quoted = None if vendors is None else load_vendors(vendors)
    site = dated(load(site_file), as_of)
    folder = writable(out or results_folder(site))
    check_formats(["html", "json"])
    with progress(site.name) as step:
        from ..process.stacking.sizing import size as run

        found = run(site, quoted, progress=step, granularity=not quick, frontier=not quick)
        step("writing the page", None)
        from ..report import sizing_page

        paths = sizing_page.write(found, folder)
    steps.record(folder, site, ("data audit",), __version__)
    if as_json:
        emit({**found.to_dict(), "files": [str(p) for p in paths]})
        return
    from ..report import sizing_terminal, terminal

    show(sizing_terminal.sizing(found))
    show(terminal.files(paths, time.perf_counter() - started))
