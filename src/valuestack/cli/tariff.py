"""`valuestack tariff`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .app import Json, Override, Point, Read, Zone, app, begin, emit, progress, show, site_or_meter

tariffs = typer.Typer(no_args_is_help=True, help="List, show or rank tariffs.")
app.add_typer(tariffs, name="tariff")


@tariffs.command("list")
def tariff_list(as_json: Json = False) -> None:
    """The tariffs that come with valuestack."""
    begin("tariff list", as_json, {})
    from ..site.files import shipped
    from ..streams.retail.tariff import load_tariff

    rows = [{"name": name, **_about(load_tariff(path))} for name, path in shipped("tariffs").items()]
    if as_json:
        emit({"tariffs": rows})
        return
    from ..report import terminal

    show(terminal.tariff_list(rows))


@tariffs.command("show")
def tariff_show(
    tariff: Annotated[str, typer.Argument(help="A shipped tariff by name, or a tariff file.")],
    as_json: Json = False,
) -> None:
    """Every item of a tariff, with its source and what about it is not verified."""
    begin("tariff show", as_json, locals())
    from ..site.files import find_tariff
    from ..streams.retail.tariff import load_tariff

    found = load_tariff(find_tariff(tariff, Path()))
    if as_json:
        emit(found.model_dump(mode="json", serialize_as_any=True))
        return
    from ..report import terminal

    show(terminal.tariff(found))


@tariffs.command("rank")
def tariff_rank(
    file: Annotated[Path, typer.Argument(help="Site file, shipped example, or meter file.")],
    candidates: Annotated[
        list[str] | None, typer.Option("--tariff", help="Candidate; may be repeated.")
    ] = None,
    tz: Zone = None,
    usage_point: Point = None,
    read: Read = None,
    override: Override = None,
    power_factor: Annotated[
        float | None, typer.Option("--power-factor", help="Average power factor, 0..1.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every shipped tariff, not only those of the site's utility.")
    ] = False,
    with_battery: Annotated[
        bool,
        typer.Option(
            "--with-battery", help="Also with the site's assets dispatched on each tariff (the bound)."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Which tariff is cheapest for this meter.

    Who is not eligible, and why; with the battery or without.
    """
    begin("tariff rank", as_json, locals())
    from ..process.stacking.ranking import rank

    site = site_or_meter(file, tz, "", usage_point, read, override, power_factor=power_factor)
    with progress("ranking") as step:
        ranked = {
            m.name: rank(site, m, candidates or [], every=every, with_battery=with_battery, progress=step)
            for m in site.meters
        }
    if as_json:
        emit({"meters": {name: r.to_dict() for name, r in ranked.items()}})
        return
    from ..report import terminal

    for name, r in ranked.items():
        show(terminal.ranking(name, r))


def _about(tariff: Any) -> dict[str, Any]:
    """What a list says of a tariff."""
    return {
        "utility": tariff.utility,
        "about": tariff.notes[0] if tariff.notes else "",
        "valid_from": tariff.valid_from,
        "valid_until": tariff.valid_until,
        "verified": tariff.verified,
        "unverified_items": [
            f"{i.kind} {i.name}".strip() for i in tariff.items if getattr(i, "verified", True) is False
        ],
        "source": tariff.source,
    }
