"""`valuestack simulate`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import __version__
from .app import AsOf, Json, SiteName, app, begin, dated, emit, progress, results_folder, show, writable


@app.command()
def simulate(
    site_file: SiteName,
    scenarios: Annotated[
        int | None,
        typer.Option(
            "--scenarios", min=1, help="How many futures; default: as the site file says, else 1,000."
        ),
    ] = None,
    policies: Annotated[
        str | None,
        typer.Option("--policies", help="By commas: methods by letter (A, B, C) or policies by kind."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Of the futures: same seed, same futures.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for futures and report; default: results beside the site file."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes on this machine; default: one a core.")
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster", metavar="ADDRESS", help="A Dask scheduler instead, e.g. tcp://10.0.0.5:8786."
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            min=0.1,
            help="Begin no future that would not be done by then; the report tells how many are, and its error.",
        ),
    ] = None,
    as_of: AsOf = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Throw away futures of another simulation in the folder.")
    ] = False,
    as_json: Json = False,
) -> None:
    """How policies fare in thousands of futures.

    P10/P50/P90, what drives them, what they stand on, and which method to take. The same command goes on where it was
    stopped."""
    begin("simulate", as_json, locals())
    from ..process import status as steps
    from ..process.stacking import simulate as run
    from ..site.files import load

    started = time.perf_counter()
    site = dated(load(site_file), as_of)
    kinds = None if policies is None else run.policies_of(policies.split(","))
    if cluster is not None and workers is not None:
        from ..errors import InputError

        raise InputError(
            "--workers counts processes on this machine; a --cluster has workers of its own: leave one away"
        )
    folder = writable(out or results_folder(site))
    from ..process.stacking.outcome import outcome

    with progress(f"{site.name}: simulating") as step:

        def so_far(made: run.Simulation) -> None:
            step(f"so far {glance(outcome(site, made))}", None)

        try:
            made = run.simulate(
                site,
                folder,
                policies=kinds,
                scenarios=scenarios,
                seed=seed,
                workers=workers,
                cluster=cluster,
                fresh=fresh,
                minutes=minutes,
                progress=step,
                so_far=so_far,
            )
        except KeyboardInterrupt:
            typer.echo("stopped; what is done is kept, and the same command goes on from there", err=True)
            raise
        step("writing the report", None)
        from ..forecast.scenarios import describe
        from ..report import simulated_page

        found = outcome(site, made, inputs=describe(site.written.simulate.futures))
        paths = simulated_page.write(found, folder)
    steps.record(folder, site, ("data audit", "stacking"), __version__)
    if as_json:
        emit({**found.to_dict(), "files": [str(p) for p in paths]})
        return
    from ..report import terminal
    from ..report.simulated_terminal import simulated

    show(simulated(found))
    show(terminal.files(paths, time.perf_counter() - started))


def glance(found: Any) -> str:
    """Mean net a year of every policy with its error, on one line."""
    rows = [r for r in found.outcomes if r["of"] == "net a year"]
    # One future has no error yet.
    errors = [f" ± {r['mean ±_usd']:,.0f}" if found.futures > 1 else "" for r in rows]
    parts = [f"{r['policy']} ${r['mean_usd']:,.0f}{e}" for r, e in zip(rows, errors, strict=True)]
    return f"({found.futures:,} futures): " + ", ".join(parts)
