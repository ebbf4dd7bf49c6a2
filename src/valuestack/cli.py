"""The command line: `valuestack audit | bill | flexibility | study | explain | tariff | init | status`.

Exit codes: 0 done; 1 something failed inside (please report it); 2 something in what was given is wrong,
said in one message and without a traceback; 130 interrupted. With --json the result goes to standard output
as one JSON object {command, version, inputs, result} (or {..., error}) and nothing else does; progress and
messages go to standard error. Heavy imports happen inside the commands.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import __version__
from .errors import DriverError, InputError, SolverError, StoreError, ValuestackError

if TYPE_CHECKING:
    from .site.site import Site

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
tariffs = typer.Typer(no_args_is_help=True, help="List, show or rank tariffs.")
app.add_typer(tariffs, name="tariff")

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


@app.command()
def audit(
    file: Annotated[
        Path, typer.Argument(help="Meter file: Green Button XML, CSV, XLSX, Parquet, or a site file.")
    ],
    tz: Zone = None,
    tariff: Tariff = None,
    usage_point: Point = None,
    read: Read = None,
    override: Override = None,
    as_json: Json = False,
) -> None:
    """What the meter data are worth.

    Findings, repairs, profile, and the hours that set the bill."""
    _begin("audit", as_json, locals())
    from .process.stacking.meters import audit_meter

    site = _site_or_meter(file, tz, tariff or "", usage_point, read, override)
    with _progress("auditing") as step:
        results = {m.name: audit_meter(site, m, progress=step) for m in site.meters}
    if as_json:
        _emit({"meters": {name: r.to_dict() for name, r in results.items()}})
        return
    from .report import terminal

    for name, result in results.items():
        _print(terminal.audit(name, result))


@app.command()
def bill(
    file: Annotated[Path, typer.Argument(help="Site file, shipped example, or meter file (then --tariff).")],
    tariff: Tariff = None,
    tz: Zone = None,
    usage_point: Point = None,
    read: Read = None,
    power_factor: Annotated[
        float | None,
        typer.Option("--power-factor", help="Average power factor, 0..1, where kvar is not metered."),
    ] = None,
    actual: Annotated[
        Path | None,
        typer.Option(
            "--actual", help="CSV of the utility's bills: cycle_start, cycle_end, item, quantity, unit, usd."
        ),
    ] = None,
    override: Override = None,
    as_json: Json = False,
) -> None:
    """What the bill is made of, cycle by cycle.

    With --actual: how it differs from what was charged, and the likely cause."""
    _begin("bill", as_json, locals())
    from .process.stacking.meters import ready

    site = _site_or_meter(file, tz, tariff, usage_point, read, override, power_factor=power_factor)
    if actual is not None and len(site.meters) > 1:
        raise InputError("--actual compares one meter's bills; name a site with one meter")
    out: dict[str, Any] = {}
    shown: list[Any] = []
    from .report import terminal

    with _progress("billing") as step:
        for m in site.meters:
            made = ready(site, m, progress=step)
            settled = made.settle(made.before_kw)
            out[m.name] = {"head": list(made.head), **settled.to_dict()}
            shown.append(terminal.bill(m.name, settled, made.head))
            if actual is not None:
                compared = made.reconcile(actual)
                out[m.name]["actual"] = compared.to_dict()
                shown.append(terminal.reconciled(compared))
    if as_json:
        _emit({"meters": out})
        return
    for part in shown:
        _print(part)


@app.command()
def study(
    site_file: Annotated[
        str, typer.Argument(metavar="SITE", help="Site file, its folder, or a shipped example.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the report; default: results beside the site file."),
    ] = None,
    sizes: Annotated[
        bool, typer.Option("--sizes", help="Also a grid of battery sizes with the knee marked.")
    ] = False,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of", metavar="DATE", help="Day whose market rules and prices hold, e.g. 2026-11-01."
        ),
    ] = None,
    formats: Annotated[
        str, typer.Option("--formats", help="Of the report, by commas: html, json, xlsx, parquet, csv.")
    ] = "html,json,xlsx,parquet",
    as_json: Json = False,
) -> None:
    """What the assets would save, and at most.

    Realised: with only what could have been known at the time. Bound: with perfect foresight."""
    _begin("study", as_json, locals())
    from .process import status as steps
    from .site.files import load

    started = time.perf_counter()
    site = _dated(load(site_file), as_of)
    folder = _writable(out or _results(site))
    wanted = [f.strip() for f in formats.split(",") if f.strip()]
    _check_formats(wanted)
    with _progress(site.name) as step:
        from .process.stacking.study import study as run

        found = run(site, progress=step, sizes=sizes)
        step("writing the report", None)
        from .report import page

        paths = page.write(found, folder, formats=wanted)
    steps.record(folder, site, ("data audit", "stacking"), __version__)
    seconds = time.perf_counter() - started
    if as_json:
        _emit({**found.to_dict(), "files": [str(p) for p in paths]})
        return
    from .report import terminal

    _print(terminal.study(found))
    _print(terminal.files(paths, seconds))


@app.command()
def flexibility(
    site_file: Annotated[
        str, typer.Argument(metavar="SITE", help="Site file, its folder, or a shipped example.")
    ],
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
    _begin("flexibility", as_json, locals())
    from .process import flexibility as step2
    from .process import status as steps
    from .process.stacking.meters import ready
    from .site.files import load

    site = load(site_file)
    read = None if answers is None else step2.read_questionnaire(answers)
    if questionnaire is not None:
        _writable(questionnaire.parent)
        step2.write_questionnaire(questionnaire, site.written.assets, site=site.name)
    with _progress(site.name) as step:
        found = {m.name: step2.of_meter(ready(site, m, progress=step)) for m in site.meters}
    folder = _writable(out or _results(site))
    steps.record(folder, site, ("data audit", "flexibility"), __version__)
    if as_json:
        _emit(
            {
                "meters": {name: c.to_dict() for name, c in found.items()},
                "questionnaire": None if questionnaire is None else str(questionnaire),
                "answers": None
                if read is None
                else {"assets": list(read.tables), "changes": list(read.changes)},
            }
        )
        return
    from .report import terminal

    for name, made in found.items():
        _print(terminal.catalogue(name, made))
    if questionnaire is not None:
        typer.echo(
            f"wrote {questionnaire}: send it to whoever runs the plant, then give it back with --answers"
        )
    if read is not None:
        typer.echo("\n".join(read.changes) or "the answers change nothing")


@app.command()
def explain(
    site_file: Annotated[
        str, typer.Argument(metavar="SITE", help="Site file, its folder, or a shipped example.")
    ],
    when: Annotated[str, typer.Argument(help="Local start of an interval, e.g. 2025-07-14T17:00.")],
    asset: Annotated[str | None, typer.Option("--asset", help="Whose other setpoints are tried.")] = None,
    setpoint_kw: Annotated[
        list[float] | None, typer.Option("--kw", help="A setpoint to price, load sign; may be repeated.")
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=62, help="Length of the plan around it.")] = 7,
    as_json: Json = False,
) -> None:
    """Why a plan does what it does in one interval.

    What holds it, who prices it, and what the next best action costs. A plan with perfect foresight over some days."""
    _begin("explain", as_json, locals())
    from .process.stacking.reasons import explained
    from .site.files import load

    with _progress("explaining") as step:
        found = explained(
            load(site_file), when, asset=asset, also_kw=setpoint_kw or (), days=days, progress=step
        )
    if as_json:
        _emit({"meters": {name: e.to_dict() for name, e in found.items()}})
        return
    for name, e in found.items():
        typer.echo("\n".join([f"meter {name}", *(f"  {s}" for s in e.sentences)]))


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
    _begin("init", as_json, locals())
    from .site.draft import draft

    if out.exists() and not force:
        raise InputError(f"{out}: exists already; choose another --out, or --force to write over it")
    _writable(out.parent)
    text = draft(meter, tariff, tz=tz, name=name, beside=out.parent)
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as e:
        raise InputError(f"{out}: cannot be written ({e.strerror}); choose another --out") from e
    if as_json:
        _emit({"file": str(out)})
        return
    typer.echo(f"wrote {out}: read it, set the battery, then run `valuestack study {out}`")


@app.command()
def status(
    site_file: Annotated[
        str, typer.Argument(metavar="SITE", help="Site file, its folder, or a shipped example.")
    ],
    results: Annotated[Path | None, typer.Option("--results", help="Results folder of its studies.")] = None,
    as_json: Json = False,
) -> None:
    """Where a site stands in the seven steps."""
    _begin("status", as_json, locals())
    from .process.status import status as look
    from .site.files import load

    site = load(site_file)
    folder = results or _results(site)
    found = look(site, folder, __version__)
    if as_json:
        _emit({"site": site.name, "results": str(folder), "steps": [s.to_dict() for s in found]})
        return
    from .report import terminal

    _print(terminal.steps(site.name, folder, [s.to_dict() for s in found]))


@tariffs.command("list")
def tariff_list(as_json: Json = False) -> None:
    """The tariffs that come with valuestack."""
    _begin("tariff list", as_json, {})
    from .site.files import shipped
    from .streams.retail.tariff import load_tariff

    rows = [{"name": name, **_about(load_tariff(path))} for name, path in shipped("tariffs").items()]
    if as_json:
        _emit({"tariffs": rows})
        return
    from .report import terminal

    _print(terminal.tariff_list(rows))


@tariffs.command("show")
def tariff_show(
    tariff: Annotated[str, typer.Argument(help="A shipped tariff by name, or a tariff file.")],
    as_json: Json = False,
) -> None:
    """Every item of a tariff, with its source and what about it is not verified."""
    _begin("tariff show", as_json, locals())
    from .site.files import find_tariff
    from .streams.retail.tariff import load_tariff

    found = load_tariff(find_tariff(tariff, Path()))
    if as_json:
        _emit(found.model_dump(mode="json", serialize_as_any=True))
        return
    from .report import terminal

    _print(terminal.tariff(found))


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
    _begin("tariff rank", as_json, locals())
    from .process.stacking.ranking import rank

    site = _site_or_meter(file, tz, "", usage_point, read, override, power_factor=power_factor)
    with _progress("ranking") as step:
        ranked = {
            m.name: rank(site, m, candidates or [], every=every, with_battery=with_battery, progress=step)
            for m in site.meters
        }
    if as_json:
        _emit({"meters": {name: r.to_dict() for name, r in ranked.items()}})
        return
    from .report import terminal

    for name, r in ranked.items():
        _print(terminal.ranking(name, r))


# What the commands share


def _begin(command: str, as_json: bool, given: Mapping[str, Any]) -> None:
    _State.command, _State.json = command, as_json
    _State.inputs = {
        k: str(v) if isinstance(v, Path) else v
        for k, v in given.items()
        if k != "as_json" and not k.startswith("_")
    }


def _site_or_meter(
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
    from .site import files

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
        read=_pairs(read or ()),
        override=override,
        power_factor_frac=power_factor,
    )


def _pairs(items: Sequence[str]) -> dict[str, Any]:
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


def _dated(site: Site, as_of: str | None) -> Site:
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


def _results(site: Site) -> Path:
    """Where a site's results lie by default: beside its file; for a shipped example in the working folder."""
    from .site.files import DATA

    if site.path is None or DATA in site.path.resolve().parents:
        return Path(f"results-{site.name}")
    return (
        site.path.parent / "results"
        if site.path.stem == "site"
        else site.path.parent / f"results-{site.path.stem}"
    )


def _writable(folder: Path) -> Path:
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


def _check_formats(wanted: Sequence[str]) -> None:
    from .report.page import FORMATS, check_formats

    if not wanted:
        raise InputError(f"--formats: is empty; name some of {', '.join(FORMATS)}")
    check_formats(wanted)


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


Step = Callable[[str, float | None], None]


@contextmanager
def _progress(title: str) -> Iterator[Step]:
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


def _print(renderable: Any) -> None:
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 110, soft_wrap=False).print(renderable)


def _plain(value: Any) -> Any:
    """Values that JSON can hold: no NaN, no infinity, no dates, no arrays."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


def _emit(result: Mapping[str, Any] | None, error: Mapping[str, Any] | None = None) -> None:
    body: dict[str, Any] = {"command": _State.command, "version": __version__, "inputs": _State.inputs}
    body |= {"result": result} if error is None else {"error": error}
    print(json.dumps(_plain(body), indent=1, allow_nan=False))


def _fail(error: BaseException, code: int, message: str) -> int:
    if _State.json:
        _emit(
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
        return _fail(e, 1, f"error: {e}")
    except ValuestackError as e:
        return _fail(e, 2, f"error: {e}")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as with `| head`
        sys.stderr.close()
        return 0
    except Exception as e:
        if hasattr(e, "format_message"):  # a command line that typer cannot make sense of
            return _fail(e, 2, f"error: {e.format_message()}; see `valuestack --help`")
        return _fail(
            e,
            1,
            f"internal error: {type(e).__name__}: {e}\nThis is a fault of valuestack. Please report it "
            "with the command and its input; `valuestack --debug ...` shows where it happened.",
        )
