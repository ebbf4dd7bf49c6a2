"""The command line itself: its options, errors, progress, output, and what the verbs share."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import __version__
from ..errors import DriverError, InputError, SolverError, StoreError, ValuestackError

if TYPE_CHECKING:
    from ..site.site import Site

app = typer.Typer(
    name="valuestack",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="What every electron behind a commercial meter is worth: audit the data, settle the bill, "
    "study what a battery would save, honestly and at most.",
)
Json = Annotated[
    bool, typer.Option("--json", help="One JSON object on standard output, inputs and defaults echoed.")
]
Zone = Annotated[str | None, typer.Option("--tz", help="Time zone of the meter, e.g. America/Los_Angeles.")]
Point = Annotated[
    str | None, typer.Option("--usage-point", help="Which usage point, where the file has several.")
]
Read = Annotated[
    list[str] | None,
    typer.Option(
        "--read", metavar="KEY=VALUE", help="How to read the file, instead of guessing; may be repeated."
    ),
]
Override = Annotated[
    str | None,
    typer.Option(
        "--override", metavar="WHY", help="Use data that the audit disqualifies; the reason is printed."
    ),
]
SiteName = Annotated[str, typer.Argument(metavar="SITE", help="Site file, its folder, or a shipped example.")]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", metavar="DATE", help="Day whose market rules and prices hold, e.g. 2026-11-01."),
]
Tariff = Annotated[str | None, typer.Option("--tariff", help="A shipped tariff by name, or a tariff file.")]


class _State:
    """What the options before the command said."""

    debug = False
    json = False
    command = ""
    inputs: Mapping[str, Any] = {}


def _version(value: bool) -> None:
    if value:
        typer.echo(f"valuestack {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    _State.debug = debug


def begin(command: str, as_json: bool, given: Mapping[str, Any]) -> None:
    _State.command, _State.json = command, as_json
    _State.inputs = {
        k: str(v) if isinstance(v, Path) else v
        for k, v in given.items()
        if k != "as_json" and not k.startswith("_")
    }


def site_or_meter(
    file: Path,
    tz: str | None,
    tariff: str | None,
    usage_point: str | None,
    read: Sequence[str] | None,
    override: str | None,
    power_factor: float | None = None,
) -> Site:
    """A site file as it is, or a site made around one meter file.

    tariff: None = a meter file must bring one; '' = none needed.
    """
    from ..site import files

    options = {
        "--tz": tz,
        "--usage-point": usage_point,
        "--read": read,
        "--override": override,
        "--power-factor": power_factor,
        "--tariff": tariff,
    }
    if (
        file.is_dir()
        or str(file) in files.shipped("sites")
        or (file.suffix == ".toml" and not files.is_load(file))
    ):
        if extra := [k for k, v in options.items() if v]:
            raise InputError(f"{', '.join(extra)}: for a site file, write this in the file instead")
        return files.load(str(file))
    if tariff is None:
        raise InputError(
            f"{file}: name the tariff: --tariff NAME (see `valuestack tariff list`) or --tariff FILE"
        )
    return files.around_meter(
        file,
        tz=tz,
        tariff=tariff or None,
        usage_point=usage_point,
        read=pairs(read or ()),
        override=override,
        power_factor_frac=power_factor,
    )


def pairs(items: Sequence[str]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for item in items:
        key, sign, value = item.partition("=")
        if not sign or not key.strip():
            raise InputError(f"--read {item!r}: write KEY=VALUE, for example --read unit=kwh")
        try:
            out[key.strip()] = json.loads(value)
        except ValueError:
            out[key.strip()] = value.strip()
    return out


def dated(site: Site, as_of: str | None) -> Site:
    """The site under the rules of another day, where one is asked for."""
    if as_of is None:
        return site
    from dataclasses import replace
    from datetime import date

    try:
        day = date.fromisoformat(as_of)
    except ValueError as e:
        raise InputError(f"--as-of {as_of!r}: is no date; write it like 2026-11-01") from e
    return replace(site, written=site.written.model_copy(update={"as_of": day}))


def results_folder(site: Site) -> Path:
    """Where a site's results lie by default: beside its file; for a shipped example in the working folder."""
    from ..site.files import DATA

    if site.path is None or DATA in site.path.resolve().parents:
        return Path(f"results-{site.name}")
    return (
        site.path.parent / "results"
        if site.path.stem == "site"
        else site.path.parent / f"results-{site.path.stem}"
    )


def writable(folder: Path) -> Path:
    """The folder, made if need be; refused before anything is computed if nothing can be written there."""
    import tempfile

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as e:
        raise InputError(
            f"{folder}: cannot be written to ({e.strerror or e}); choose another folder with --out"
        ) from e
    return folder


def check_formats(wanted: Sequence[str]) -> None:
    from ..report.page import FORMATS, check_formats

    if not wanted:
        raise InputError(f"--formats: is empty; name some of {', '.join(FORMATS)}")
    check_formats(wanted)


Step = Callable[[str, float | None], None]


@contextmanager
def progress(title: str) -> Iterator[Step]:
    """A live line on standard error where that is a terminal, else one line for each new step."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        with Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        ) as bar:
            task = bar.add_task(title, total=1.0)

            def show(what: str, share: float | None) -> None:
                bar.update(task, description=f"{title}: {what}")
                if share is not None:
                    bar.update(task, completed=share)

            yield show
        return
    last = [""]

    def say(what: str, share: float | None) -> None:
        if what != last[0]:
            last[0] = what
            print(f"{title}: {what}", file=sys.stderr, flush=True)

    yield say


def show(renderable: Any) -> None:
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 110, soft_wrap=False).print(renderable)


def plain(value: Any) -> Any:
    """Values that JSON can hold: no NaN, no infinity, no dates, no arrays."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


def emit(result: Mapping[str, Any] | None, error: Mapping[str, Any] | None = None) -> None:
    body: dict[str, Any] = {"command": _State.command, "version": __version__, "inputs": _State.inputs}
    body |= {"result": result} if error is None else {"error": error}
    print(json.dumps(plain(body), indent=1, allow_nan=False))


def fail(error: BaseException, code: int, message: str) -> int:
    if _State.json:
        emit(
            None,
            {
                "kind": type(error).__name__,
                "message": message,
                "problems": list(getattr(error, "problems", ())),
                "exit_code": code,
            },
        )
    if _State.debug:
        import traceback

        traceback.print_exception(error)
    print(message, file=sys.stderr)
    return code


def main(args: Sequence[str] | None = None) -> None:
    """Entry point of `valuestack`."""
    sys.exit(run(args))


def run(args: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code; errors become messages."""
    given = sys.argv[1:] if args is None else list(args)
    _State.debug, _State.json = "--debug" in given, "--json" in given
    _State.command, _State.inputs = "", {}
    try:
        code = app(args=given, standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except (SolverError, DriverError, StoreError) as e:
        return fail(e, 1, f"error: {e}")
    except ValuestackError as e:
        return fail(e, 2, f"error: {e}")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as with `| head`
        sys.stderr.close()
        return 0
    except Exception as e:
        if hasattr(e, "format_message"):  # a command line that typer cannot make sense of
            return fail(e, 2, f"error: {e.format_message()}; see `valuestack --help`")
        return fail(
            e,
            1,
            f"internal error: {type(e).__name__}: {e}\nThis is a fault of valuestack. Please report it "
            "with the command and its input; `valuestack --debug ...` shows where it happened.",
        )
