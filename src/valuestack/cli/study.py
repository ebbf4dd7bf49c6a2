"""`valuestack study`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from ..site.site import Site


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
    changes: Annotated[
        str | None,
        typer.Option("--changes", help="Also at most so many setpoint changes a day, by commas: 4,24,96."),
    ] = None,
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
    site = _limited(dated(load(site_file), as_of), changes)
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


def _limited(site: Site, changes: str | None) -> Site:
    """The site with the limits of setpoint changes that are asked about."""
    if changes is None:
        return site
    from dataclasses import replace

    from ..errors import InputError

    words = [w.strip() for w in changes.split(",") if w.strip()]
    if not words or not all(w.isdecimal() and int(w) >= 1 for w in words):
        raise InputError(f"--changes {changes!r}: give whole numbers of at least 1 by commas, like 4,24,96")
    study = site.written.study.model_copy(update={"changes_per_day": tuple(map(int, words))})
    return replace(site, written=site.written.model_copy(update={"study": study}))
