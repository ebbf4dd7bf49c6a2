"""`valuestack flexibility`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import __version__
from .app import Json, SiteName, app, begin, emit, progress, results_folder, show, writable


@app.command()
def flexibility(
    site_file: SiteName,
    questionnaire: Annotated[
        Path | None,
        typer.Option("--questionnaire", help="Write a workbook for the facility manager to fill in."),
    ] = None,
    answers: Annotated[
        Path | None,
        typer.Option("--answers", help="Read a filled-in workbook; shows the asset tables it makes."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Results folder, for `status`; default: beside the site file."),
    ] = None,
    as_json: Json = False,
) -> None:
    """What each asset and load can really do.

    In the hours that set the bill, within its limits; what it may earn; and answers to a recurring spike."""
    begin("flexibility", as_json, locals())
    from ..process import flexibility as step2
    from ..process import status as steps
    from ..process.stacking.meters import ready
    from ..site.files import load

    site = load(site_file)
    read = None if answers is None else step2.read_questionnaire(answers)
    if questionnaire is not None:
        writable(questionnaire.parent)
        step2.write_questionnaire(questionnaire, site.written.assets, site=site.name)
    with progress(site.name) as step:
        found = {m.name: step2.of_meter(ready(site, m, progress=step)) for m in site.meters}
    folder = writable(out or results_folder(site))
    steps.record(folder, site, ("data audit", "flexibility"), __version__)
    if as_json:
        emit(
            {
                "meters": {name: c.to_dict() for name, c in found.items()},
                "questionnaire": None if questionnaire is None else str(questionnaire),
                "answers": None
                if read is None
                else {"assets": list(read.tables), "changes": list(read.changes)},
            }
        )
        return
    from ..report import terminal

    for name, made in found.items():
        show(terminal.catalogue(name, made))
    if questionnaire is not None:
        typer.echo(
            f"wrote {questionnaire}: send it to whoever runs the plant, then give it back with --answers"
        )
    if read is not None:
        typer.echo("\n".join(read.changes) or "the answers change nothing")
