"""Thousands of futures: each a whole year run interval by interval under each policy, and settled.

A future changes what the world does (load, sun, prices, rules), never what a policy may know: policies run in the
same loop, behind the same guard, as in a study. Rows go to Parquet parts, one a chunk, written whole or not at all;
a run that was stopped goes on where it was, and a part is the same wherever and whenever it is computed.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from math import fsum
from pathlib import Path
from typing import Any

import numpy as np

from ...dispatch import Foresight, Record, View, World
from ...errors import InputError, StoreError
from ...flows import Given
from ...forecast.scenarios import Future, Scenarios
from ...ledger import Entry
from ...site.files import load, policy_class
from ...site.site import Site
from ...timeline import Kw, Timeline
from . import layers
from .executors import run_here, run_on_cluster
from .meters import Ready, Step, quiet, ready

METHODS = {"B": "dynamic"}  # control methods by their letter, as far as there are policies for them
MANIFEST = "simulation.json"
ASSET = "asset: "  # in front of the name of what generates by itself, among the series of a future
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that a worker needs to know. site: path or name of a shipped site, or its values. as_of: day of the
    rules. policies: kinds. chunk i holds futures i x size up to the count."""

    site: Any
    as_of: date
    policies: tuple[str, ...]
    count: int
    size: int
    seed: int

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return -(-self.count // self.size)

    def numbers(self, chunk: int) -> range:
        """The futures of a chunk."""
        return range(chunk * self.size, min((chunk + 1) * self.size, self.count))


def policies_of(wanted: Sequence[str]) -> tuple[str, ...]:
    """Kinds of policies from what a person writes: kinds, or methods by their letter; each once, in order."""
    kinds = [METHODS.get(w.strip().upper(), w.strip()) for w in wanted if w.strip()]
    for kind in kinds:
        policy_class(kind)
    if not kinds:
        raise InputError("policies: none is named; give for example B,threshold")
    return tuple(dict.fromkeys(kinds))


# --- one future ------------------------------------------------------------------------------------------


class Drawn:
    """An asset that generates by itself, with the generation of a future in place of its own."""

    def __init__(self, asset: Any, net_kw: Kw) -> None:
        self._asset, self._net_kw = asset, net_kw
        self.name, self.kind = asset.name, asset.kind

    def __getattr__(self, name: str) -> Any:
        return getattr(self._asset, name)

    def belief(self, view: View) -> Given:
        """What is given in this future, over the view's horizon."""
        offer: Given = self._asset.belief(view)
        return replace(offer, net_kw=self._net_kw[view.k : view.k + view.n])

    def step(self, state: Any, setpoint_kw: Kw, world: World, k: int) -> tuple[Any, Kw]:
        """It generates what this future gives; a setpoint can only cut it."""
        made = self._net_kw[k]
        wish = np.asarray(setpoint_kw, dtype=float)
        power = (
            np.maximum(wish, made) if getattr(self._asset, "curtailable", False) else np.full_like(wish, made)
        )
        return state, np.minimum(power, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """One meter set up once for all futures: its scenarios, its compiled bill, its streams in their place."""

    site: Site
    ready: Ready
    place: layers.Placed
    scenarios: Scenarios
    compiled: Any
    given: Mapping[str, Kw]

    @classmethod
    def of(cls, site: Site, m: Ready, as_of: date) -> Bench:
        """Set up a meter."""
        from ...streams.retail.compiled import CompiledTariff

        place = layers.placed(site, m, as_of, lenient=site.written.then is not None)
        view = m.view((*m.existing, *m.new), place.streams)
        offers = {a.name: a.belief(view) for a in (*m.existing, *m.new)}
        given = {name: np.asarray(o.net_kw) for name, o in offers.items() if isinstance(o, Given)}
        series = {name: s.values for name, s in m.world.series.items()}
        series |= {ASSET + name: kw for name, kw in given.items()}
        known = frozenset(s.name for s in place.streams)
        scenarios = Scenarios(m.timeline, series, site.written.simulate.futures, known)
        inputs = m.bill_inputs
        compiled = CompiledTariff.of(
            m.tariff, m.timeline, inputs["facts"], cycles=inputs["cycles"], history=inputs["history"]
        )
        return cls(site, m, place, scenarios, compiled, given)

    def world(self, future: Future) -> World:
        """The world of a future."""
        m = self.ready
        series = {n: replace(s, values=future.series[n]) for n, s in m.world.series.items()}
        return World(m.timeline, series)

    def assets(self, future: Future, which: Iterable[Any]) -> tuple[Any, ...]:
        """Assets with what this future lets them generate."""
        return tuple(Drawn(a, future.series[ASSET + a.name]) if a.name in self.given else a for a in which)

    def bill_usd(self, net_kw: Kw, kvar: Kw | None) -> float:
        """Amount due of a net load."""
        if kvar is None:
            return float(self.compiled.total_usd(net_kw))
        return float(self.ready.settle(net_kw, kvar).total_usd)

    def rows(self, number: int, policies: Sequence[str], seed: int) -> Iterator[Row]:
        """One row a policy for one future."""
        future = self.scenarios.draw(number, seed)
        world = self.world(future)
        existing = self.assets(future, self.ready.existing)
        kvar = world.get("load_kvar")
        idle = world["load_kw"] + sum(
            (future.series[ASSET + a.name] for a in existing), np.zeros(world.timeline.n)
        )
        before = self.bill_usd(idle, kvar)
        for kind in policies:
            began = time.process_time()
            record = self.run(kind, future, world)
            row = self._row(record, world, future, before, kvar)
            yield {
                "future": number,
                "policy": kind,
                **row,
                **{f"driver: {k}": v for k, v in future.drivers.items()},
                "cpu_s": time.process_time() - began,
            }

    def run(self, kind: str, future: Future, world: World) -> Record:
        """A policy in the loop, in one future."""
        from ...control.loop import run

        m, options = self.ready, self.site.written
        assets = self.assets(future, (*m.existing, *m.new))
        given = dict(options.simulate.policy_options.get(kind, {}))
        if kind == options.study.policy:
            given = {**options.study.policy_options, **given}
        view = View(
            m.timeline,
            0,
            m.timeline.n,
            Foresight(world),
            {a.name: a.initial_state() for a in assets},
            {s.name: s.initial_state() for s in self.place.streams},
        )
        return run(
            world,
            assets,
            policy_class(kind)(**given),
            list(m.stream.terms(view)),
            import_limit_kw=m.meter.import_limit_kw,
            export_limit_kw=m.meter.export_limit_kw,
            telemetry=options.study.telemetry,
            reserve_kwh=layers.reserve_kwh(self.place) or None,
        )

    def _row(self, record: Record, world: World, future: Future, before: float, kvar: Kw | None) -> Row:
        m = self.ready
        net_kvar = record.net_kvar if record.net_kvar is not None else kvar
        bill = self.bill_usd(np.asarray(record.net_kw), net_kvar)
        by_stream = self._services(record, world, future)
        operation = fsum(e.usd for a in m.new for e in a.settle(record, world))
        worn = [a.worn(record) for a in m.new if hasattr(a, "worn") and a.name in record.stored_kwh]
        by_layer = {1: before - bill}
        for (layer, _), usd in by_stream.items():
            by_layer[layer] = by_layer.get(layer, 0.0) + usd
        return {
            "before_usd": before,
            "bill_usd": bill,
            "operation_usd": operation,
            "total_usd": fsum((*by_layer.values(), operation)),
            **{f"layer {k}_usd": v for k, v in sorted(by_layer.items())},
            **{f"stream: {name}_usd": v for (_, name), v in by_stream.items()},
            "throughput_kwh": fsum(w.throughput_kwh for w in worn),
            "full_cycles": fsum(w.full_cycles for w in worn),
            "peak_kw": float(np.max(record.net_kw)),
            "changes_per_day": changes_per_day(record, m.timeline),
        }

    def _services(self, record: Record, world: World, future: Future) -> dict[tuple[int, str], float]:
        """Settled money of layers 2 to 4 by stream; a rule that changed weighs what is settled after it."""
        money: dict[tuple[int, str], list[float]] = {}
        rules = {r.name: r for r in self.site.written.simulate.futures.rules}
        for stream in self.place.streams:
            falls = [
                (self.ready.timeline.when(k).date(), rules[name].factor)
                for name, k in future.rules.items()
                if stream.name in rules[name].of
            ]
            for e in stream.settle(record, world):
                weight = 1.0
                for day, factor in falls:
                    weight *= weighed(e, day, factor)
                money.setdefault((e.layer, stream.name), []).append(weight * e.usd)
        return {k: fsum(v) for k, v in money.items()}


def weighed(e: Entry, day: date, factor: float) -> float:
    """Share of an entry that is left where its rule changes to `factor` on a day: by the days of its cycle. Costs of
    serving a market stay what they are."""
    if e.usd < 0:
        return 1.0
    first, until = days_of(e.cycle)
    if until <= day:
        return 1.0
    if first >= day:
        return factor
    after = (until - day).days / max((until - first).days, 1)
    return 1.0 - after * (1.0 - factor)


def days_of(cycle: str) -> tuple[date, date]:
    """First day, and first day after, of a settlement period: '2018', '2018-07', '2018-07-02' or 'first/last'."""
    first, slash, last = cycle.partition("/")
    if slash:
        return date.fromisoformat(first[:10]), date.fromisoformat(last[:10])
    parts = [int(p) for p in first[:10].split("-")]
    if len(parts) == 1:
        return date(parts[0], 1, 1), date(parts[0] + 1, 1, 1)
    if len(parts) == 2:
        y, m = parts
        return date(y, m, 1), date(y + m // 12, m % 12 + 1, 1)
    day = date(*parts)
    return day, date.fromordinal(day.toordinal() + 1)


def changes_per_day(record: Record, timeline: Timeline, deadband_kw: float = 0.1) -> float:
    """Changes of setpoint a day over all assets that are dispatched: steps of power above the deadband."""
    total = 0
    for name in record.stored_kwh:
        power = np.asarray(record.asset_kw[name])
        total += int((np.abs(np.diff(power)) > deadband_kw).sum())
    return total / (timeline.hours / 24)


# --- chunks ----------------------------------------------------------------------------------------------

_benches: list[Bench] = []
_job: list[Job] = []


def prepare(job: Job) -> None:
    """Set up a worker: the site is read and audited once."""
    _benches.clear()
    _job[:] = [job]
    site = load(job.site)
    _benches.extend(Bench.of(site, ready(site, m), job.as_of) for m in site.meters)


def work(chunk: int) -> list[Row]:
    """Rows of one chunk, in a worker that was prepared."""
    (job,) = _job
    return rows_of(job, _benches, chunk)


@dataclass(frozen=True, slots=True)
class ClusterWork:
    """The same where workers are not prepared: each prepares itself at its first chunk of this job."""

    job: Job

    def __call__(self, chunk: int) -> list[Row]:
        if not _job or _job[0] != self.job:
            prepare(self.job)
        return work(chunk)


def rows_of(job: Job, benches: Sequence[Bench], chunk: int) -> list[Row]:
    """Rows of one chunk; meters of a site are added up."""
    out: list[Row] = []
    for number in job.numbers(chunk):
        by_meter = [list(b.rows(number, job.policies, job.seed)) for b in benches]
        out += [added(rows) for rows in zip(*by_meter, strict=True)]
    return out


def added(rows: Sequence[Row]) -> Row:
    """Rows of the meters of one site as one: what is counted adds up, what is drawn is drawn once."""
    if len(rows) == 1:
        return rows[0]
    out = dict(rows[0])
    for row in rows[1:]:
        for key, value in row.items():
            if key in ("future", "policy") or key.startswith("driver: "):
                out.setdefault(key, value)
            else:
                out[key] = out.get(key, 0.0) + value
    return out


# --- the run ---------------------------------------------------------------------------------------------


def simulate(
    site: Site,
    folder: Path,
    *,
    policies: Sequence[str] | None = None,
    scenarios: int | None = None,
    seed: int | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    fresh: bool = False,
    progress: Step = quiet,
    so_far: Callable[[list[Row]], None] | None = None,
) -> list[Row]:
    """Run the futures of a site, or the rest of them, and return one row a future and policy.

    folder: where parts are kept. fresh: throw away what is there. so_far: called with all rows now and then.
    Errors: InputError where the folder holds another simulation; StoreError where a part cannot be written (what is
    there stays, and the same command goes on).
    """
    options = site.written.simulate
    meters = [ready(site, m, progress=progress) for m in site.meters]
    job = Job(
        site=str(site.path) if site.path is not None else site.to_dict(),
        as_of=layers.day_of_rules(site, meters),
        policies=policies_of(policies or options.policies),
        count=scenarios or options.scenarios,
        size=options.chunk,
        seed=options.seed if seed is None else seed,
    )
    for m in meters:  # what cannot be set up is said before any worker is started
        Bench.of(site, m, job.as_of)
    parts = _parts(folder, site, job, fresh)
    missing = [i for i in range(job.chunks) if not _part(parts, i).exists()]
    done = job.chunks - len(missing)
    progress(f"{job.count:,} futures x {len(job.policies)} policies", done / job.chunks)
    if cluster is not None:
        results = run_on_cluster(cluster, ClusterWork(job), missing)
    else:
        results = run_here(work, missing, workers=workers, prepare=prepare, given=(job,))
    for number, rows in results:
        _write(_part(parts, number), rows)
        done += 1
        progress(f"{done * job.size:,} of {job.count:,} futures", min(1.0, done / job.chunks))
        if so_far is not None and (done & (done - 1)) == 0:
            so_far(read(parts, job))
    return read(parts, job)


def _parts(folder: Path, site: Site, job: Job, fresh: bool) -> Path:
    """The folder of parts of exactly this simulation."""
    from ... import __version__
    from ..status import inputs

    parts = folder / "futures"
    stamp = {
        "version": __version__,
        "inputs": hashlib.sha256(json.dumps(inputs(site), sort_keys=True).encode()).hexdigest(),
        "as_of": job.as_of.isoformat(),
        "policies": list(job.policies),
        "seed": job.seed,
        "chunk": job.size,
    }
    path = parts / MANIFEST
    try:
        parts.mkdir(parents=True, exist_ok=True)
        held = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        if held is not None and held != stamp:
            differs = ", ".join(k for k in stamp if held.get(k) != stamp[k])
            if not fresh:
                raise InputError(
                    f"{parts}: holds another simulation (other {differs}); give --fresh to throw it away, or another "
                    "--out"
                )
            held = None
        if held is None or fresh:
            for old in parts.glob("part-*.parquet"):
                old.unlink()
            path.write_text(json.dumps(stamp, indent=1), encoding="utf-8")
    except (OSError, ValueError) as e:
        raise StoreError(f"{parts}: cannot be used ({e}); choose another --out") from e
    return parts


def _part(parts: Path, number: int) -> Path:
    return parts / f"part-{number:05d}.parquet"


def _write(path: Path, rows: Sequence[Row]) -> None:
    """A part, whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    beside = path.with_suffix(".writing")
    try:
        pq.write_table(pa.Table.from_pylist(list(rows)), beside, compression="zstd")
        beside.replace(path)
    except OSError as e:
        beside.unlink(missing_ok=True)
        raise StoreError(
            f"{path}: cannot be written ({e.strerror or e}); free some space and give the same command again: what is "
            "done is kept"
        ) from e


def read(parts: Path, job: Job | None = None) -> list[Row]:
    """Rows of every part that is there, by future and policy; those of a larger earlier run are cut to `job`."""
    import pyarrow.parquet as pq

    out: list[Row] = []
    for path in sorted(parts.glob("part-*.parquet")):
        out += pq.read_table(path).to_pylist()
    if job is not None:
        out = [r for r in out if r["future"] < job.count]
    return out
