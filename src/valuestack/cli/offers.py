"""`valuestack offers`."""

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
def offers(
    site_file: SiteName,
    offer_files: Annotated[
        list[str], typer.Argument(metavar="OFFER...", help="Offer files, or shipped examples.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the report; default: results beside the site file."),
    ] = None,
    as_of: AsOf = None,
    ceded: Annotated[
        bool,
        typer.Option(
            "--ceded/--no-ceded", help="Also the year in the loop with the site's reserve kept and ceded."
        ),
    ] = True,
    formats: Annotated[
        str, typer.Option("--formats", help="Of the report, by commas: html, json, xlsx.")
    ] = "html,json",
    as_json: Json = False,
) -> None:
    """Which offer of an aggregator leaves the owner most.

    Each replayed over the year, commanded by the owner and by the aggregator; no offer stands in the list."""
    begin("offers", as_json, locals())
    from ..process import status as steps
    from ..site.files import load
    from ..site.offer import load_offer

    started = time.perf_counter()
    site = dated(load(site_file), as_of)
    made = [load_offer(o) for o in offer_files]
    folder = writable(out or results_folder(site))
    wanted = [f.strip() for f in formats.split(",") if f.strip()]
    check_formats(wanted)
    with progress(f"{site.name}: offers") as step:
        from ..process.contracts.offers import compare

        found = compare(site, made, ceded=ceded, progress=step)
        step("writing the report", None)
        from ..report import offers_page

        paths = offers_page.write(found, folder, formats=wanted)
    steps.record(folder, site, ("contracts",), __version__)
    if as_json:
        emit({**found.to_dict(), "files": [str(p) for p in paths]})
        return
    from ..report import terminal
    from ..report.offers_terminal import compared

    show(compared(found))
    show(terminal.files(paths, time.perf_counter() - started))
