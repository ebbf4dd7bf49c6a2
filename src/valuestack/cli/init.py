"""`valuestack init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .app import Json, Zone, app, begin, emit, writable


@app.command()
def init(
    meter: Annotated[Path, typer.Argument(help="Your meter file.")],
    tariff: Annotated[str, typer.Option("--tariff", help="A shipped tariff by name, or a tariff file.")],
    tz: Zone = None,
    out: Annotated[Path, typer.Option("--out", help="Site file to write.")] = Path("site.toml"),
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the site; default: the meter file's.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over an existing file.")] = False,
    as_json: Json = False,
) -> None:
    """Write a commented site file to start from."""
    begin("init", as_json, locals())
    from ..site.draft import draft

    if out.exists() and not force:
        raise InputError(f"{out}: exists already; choose another --out, or --force to write over it")
    writable(out.parent)
    text = draft(meter, tariff, tz=tz, name=name, beside=out.parent)
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as e:
        raise InputError(f"{out}: cannot be written ({e.strerror}); choose another --out") from e
    if as_json:
        emit({"file": str(out)})
        return
    typer.echo(f"wrote {out}: read it, set the battery, then run `valuestack study {out}`")
