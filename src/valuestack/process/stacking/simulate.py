"""Thousands of futures: each a whole year run interval by interval under each policy, and settled.

A future changes what the world does (load, sun, prices, calls, outages, rules), never what a policy may know: policies
run in the same loop, behind the same guard, as in a study. The futures of a chunk are lanes of one loop, as far as a
policy decides for lanes; each lane is settled by itself. Rows go to Parquet parts, one a chunk, written whole or not at
all; a run that was stopped goes on where it was, and a part is the same wherever and whenever it is computed.

A row holds, beside its sums, what each stream brought and did under `layer | stream | figure`:

    1 | tariff of main | contractual_usd      settled money by certainty class; usd > 0 is money to the owner
    3 | regulation | calls, missed, service_h, throughput_kwh, staff_h
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from math import fsum
from pathlib import Path
from typing import Any

import numpy as np

from ...control.changes import entries as changes_cost
from ...control.changes import moved_per_day
from ...control.stores import beside
from ...dispatch import Record, View, World
from ...errors import InputError, StoreError
from ...flows import Given, Store
from ...forecast.scenarios import Future, Scenarios
from ...ledger import Entry
from ...site.contract import Contract
from ...site.files import load, policy_class
from ...site.site import NamedSeries, Site
from ...timeline import Kw, Timeline
from . import layers
from .executors import run_here, run_on_cluster
from .meters import Ready, Step, quiet, ready

# Control methods by their letter; one without a policy is refused by name.
METHODS = {"A": "utility_first", "B": "dynamic", "C": "aggregator_primary"}
MANIFEST = "simulation.json"
SCHEMA = 2  # of the rows; parts of another one are refused
MOST = 300_000  # intervals of all lanes that are run at once: bounds memory
SPARSE_H = 13.0  # outages are tried so far apart: prime to 24, so that every hour of the day has its turn
BASE = (
    "base: "  # in front of what a policy that answers calls brings where nobody calls: layers 1 and 2 alone
)
PRICE = "tariff price "  # in front of the name of an hourly price that only the tariff has
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
        return replace(offer, net_kw=self._net_kw[..., view.k : view.k + view.n])

    def step(self, state: Any, setpoint_kw: Kw, world: World, k: int) -> tuple[Any, Kw]:
        """It generates what this future gives; a setpoint can only cut it."""
        made = self._net_kw[..., k]
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
    terms: tuple[Any, ...]
    resting: Mapping[str, Resting]
    priced: Mapping[str, str]  # hourly prices that the tariff bills by ('' = the one) -> series of a future
    moved: bool = False  # whether a decision moves more than one store

    @classmethod
    def of(cls, site: Site, m: Ready, as_of: date) -> Bench:
        """Set up a meter."""
        place = layers.placed(site, m, as_of, lenient=site.written.then is not None)
        place = replace(place, streams=tuple(_sparse(s) for s in place.streams))
        view = m.view((*m.existing, *m.new), place.streams)
        offers = {a.name: a.belief(view) for a in (*m.existing, *m.new)}
        given = {name: np.asarray(o.net_kw) for name, o in offers.items() if isinstance(o, Given)}
        series = {name: s.values for name, s in m.world.series.items()}
        series |= {ASSET + name: kw for name, kw in given.items()}
        priced, prices = _prices(m)
        series |= prices
        scenarios = Scenarios(m.timeline, series, site.written.simulate.futures, _known(place.streams))
        terms, still = tuple(m.stream.terms(view)), resting(m, offers)
        moves = bool(beside(offers))
        return cls(site, m, place, scenarios, _compiled(m), given, terms, still, priced, moves)

    def under(self, future: Future) -> Bench:
        """The bench with the hourly prices of a future in its tariff; itself where it bills by none."""
        if not self.priced:
            return self
        inputs = self.ready.bill_inputs
        drawn = {name: future.series[series] for name, series in self.priced.items()}
        facts = replace(inputs["facts"], prices=drawn.get("", drawn))
        m = replace(self.ready, bill_inputs={**inputs, "facts": facts})
        view = m.view((*m.existing, *m.new), self.place.streams)
        return replace(self, ready=m, compiled=_compiled(m), terms=tuple(m.stream.terms(view)))

    def world(self, futures: Sequence[Future]) -> World:
        """The world of a future, or of several as lanes, (lanes, n)."""
        series = {
            n: replace(s, values=_lanes([f.series[n] for f in futures]))
            for n, s in self.ready.world.series.items()
        }
        return World(self.ready.timeline, series)

    def assets(self, futures: Sequence[Future], which: Iterable[Any]) -> tuple[Any, ...]:
        """Assets with what these futures let them generate."""
        return tuple(
            Drawn(a, _lanes([f.series[ASSET + a.name] for f in futures])) if a.name in self.given else a
            for a in which
        )

    def streams(self, future: Future) -> tuple[Any, ...]:
        """The streams with the calls of a future."""
        return tuple(
            called(s, future.calls[s.name], self.ready.timeline) if s.name in future.calls else s
            for s in self.place.streams
        )

    def bill_usd(self, net_kw: Kw, kvar: Kw | None) -> float:
        """Amount due of a net load."""
        if kvar is None:
            return float(self.compiled.total_usd(net_kw))
        return float(self.ready.settle(net_kw, kvar).total_usd)

    def rows(self, numbers: Sequence[int], policies: Sequence[str], seed: int) -> list[Row]:
        """One row a policy and future, by future, then by policy."""
        out: list[Row] = []
        # An hourly price differs between futures: then bill and terms are of one at a time.
        at_once = 1 if self.priced else max(1, MOST // self.ready.timeline.n)
        for i in range(0, len(numbers), at_once):
            futures = [self.scenarios.draw(k, seed) for k in numbers[i : i + at_once]]
            out += self.under(futures[0])._block(futures, policies, seed)
        return out

    def _block(self, futures: Sequence[Future], policies: Sequence[str], seed: int) -> list[Row]:
        worlds = [self.world([f]) for f in futures]
        idle = [
            w["load_kw"]
            + sum(
                (f.series[ASSET + a.name] for a in self.ready.existing if a.name in self.given),
                np.zeros(w.timeline.n),
            )
            for f, w in zip(futures, worlds)
        ]
        before = [self.bill_usd(kw, w.get("load_kvar")) for kw, w in zip(idle, worlds)]
        found: list[list[Row]] = [[] for _ in futures]
        settled: dict[Any, list[Row]] = {}  # by what fixes the decisions of those that then decide alike
        ahead = self.site.written.simulate.foresight
        known = {f.number: self.bound_usd(f, usd) for f, usd in zip(futures, before) if f.number < ahead}
        for kind in policies:
            began = time.process_time()

            def told(answering: bool, kind: str = kind) -> list[Row]:
                """Settled figures of each future; once for policies that decide alike."""
                whole = self._whole(kind, answering)
                alike = None if whole else getattr(self._policy(kind, False), "on_tariff", None)
                if alike is not None and alike in settled:
                    return settled[alike]
                records = self.run(kind, futures, answering=answering)
                rows = [
                    self._row(r, worlds[i], f, before[i], idle[i], seed)
                    for i, (f, r) in enumerate(zip(futures, records, strict=True))
                ]
                return rows if alike is None else settled.setdefault(alike, rows)

            rows = told(True)
            # What layers 1 and 2 bring by themselves, where it would do otherwise without the others.
            if self._answers(kind) and not all(s.layer <= 2 for s in self.place.streams):
                rows = [
                    {**row, **{BASE + k: v for k, v in base.items() if is_base(k)}}
                    for row, base in zip(rows, told(False), strict=True)
                ]
            each_s = (time.process_time() - began) / len(futures)
            for i, (f, row) in enumerate(zip(futures, rows, strict=True)):
                found[i].append(
                    {
                        "future": f.number,
                        "policy": kind,
                        **row,
                        **({"bound_usd": bound} if (bound := known.get(f.number)) is not None else {}),
                        **{f"driver: {k}": v for k, v in f.drivers.items()},
                        "cpu_s": each_s,
                    }
                )
        return [row for rows in found for row in rows]

    def _answers(self, kind: str) -> bool:
        """Whether a policy answers calls and there is anything in the streams that it heeds: whoever says nothing of
        it heeds all of them."""
        policy, streams = policy_class(kind), self.place.streams
        if not streams or not getattr(policy, "answers", False):
            return False
        heeds = getattr(policy, "heeds", None)
        return (
            heeds is None
            or any(hasattr(s, "calls") for s in streams)
            or ("reserve" in heeds and bool(layers.reserve_kwh(self.place)))
        )

    def _whole(self, kind: str, answering: bool) -> bool:
        """Whether a policy runs one future at a time: it answers calls, or plans more than a store."""
        if answering and self._answers(kind):
            return True
        return self.moved and getattr(policy_class(kind), "moves_all", False)

    def _policy(self, kind: str, answers: bool) -> Any:
        """A policy with its options of this site, fresh."""
        options = self.site.written
        given = dict(options.simulate.policy_options.get(kind, {}))
        if kind == options.study.policy:
            given = {**options.study.policy_options, **given}
        if (
            kind == METHODS["C"]
            and "contract" not in given
            and (contract := commanded(self.site)) is not None
        ):
            given["contract"] = contract
        return policy_class(kind)(**(_unnoted(kind, given) if answers else given))

    def run(self, kind: str, futures: Sequence[Future], *, answering: bool = True) -> list[Record]:
        """A policy in the loop in each future: all as lanes of one loop, or one by one where it answers calls.

        answering: False = as if nobody called.
        """
        answers = answering and self._answers(kind)
        whole = self._whole(kind, answering)
        if whole and len(futures) > 1:
            return [r for f in futures for r in self.run(kind, [f], answering=answering)]
        from ...control.loop import run
        from ...forecast.forecaster import Believed
        from ...forecast.similar_day import SimilarDay

        m, options, world = self.ready, self.site.written, self.world(futures)
        policy = self._policy(kind, answers)
        still = self._still(policy, whole)
        record = run(
            world,
            [a for a in self.assets(futures, (*m.existing, *m.new)) if a.name not in still],
            policy,
            list(self.terms),
            import_limit_kw=m.meter.import_limit_kw,
            export_limit_kw=m.meter.export_limit_kw,
            telemetry=options.study.telemetry,
            reserve_kwh=layers.reserve_kwh(self.place) or None,
            streams=self.streams(futures[0]) if answers else (),
            setpoints=options.setpoints,
            # What is not published yet is forecast from what was; whoever answers no calls asks for the load alone.
            belief=Believed(world, {name: SimilarDay() for name in world.series}) if whole else None,
        )
        records = [lane_of(record, i) for i in range(len(futures))] if len(futures) > 1 else [record]
        for name, r in still.items():
            records = [
                replace(x, asset_kw={**x.asset_kw, name: r.power_kw}, extra={**x.extra, **r.extra})
                for x in records
            ]
        if answers:
            return records
        return [self._unanswered(r, f) for r, f in zip(records, futures, strict=True)]

    def _still(self, policy: Any, whole: bool) -> Mapping[str, Resting]:
        """What rests and may stay out of the loop of a policy that moves stores and nothing else, unless a stream that
        it listens to asks for its state."""
        if not hasattr(policy, "kernel") or (whole and getattr(policy, "moves_all", False)):
            return {}
        if not whole or getattr(policy, "heeds", None) == ("calls",):
            return self.resting
        read = {name for s in self.place.streams for name in getattr(plain(s), "watched", ())}
        return {name: r for name, r in self.resting.items() if name not in read}

    def bound_usd(self, future: Future, before: float) -> float | None:
        """What the assets would save on the tariff in a future that is known ahead, less wear; None where engines or
        processes make that a matter of integers."""
        from .cases import bound_run

        m, world = self.ready, self.world([future])
        existing, new = (self.assets([future], which) for which in (m.existing, m.new))
        drawn = replace(
            m,
            load_kw=world["load_kw"],
            load_kvar=world.get("load_kvar"),
            world=world,
            existing=existing,
            new=new,
        )
        view = drawn.view((*existing, *new), self.place.streams)
        if not all(isinstance(a.belief(view), (Given, Store)) for a in (*existing, *new)):
            return None
        run = bound_run(drawn, rounds=1, terms=[*self.terms, *layers.floors(self.place)])
        kvar = run.record.net_kvar if run.record.net_kvar is not None else world.get("load_kvar")
        return before - self.bill_usd(np.asarray(run.record.net_kw), kvar) + run.operation.total_usd

    def _unanswered(self, record: Record, future: Future) -> Record:
        """The record of a policy that answers no calls: it refused them all."""
        from ...control.calls import Desk, calls_of

        calls = calls_of(self.streams(future), self.world([future]), list(record.stored_kwh), [])
        said = Desk(calls, record.timeline).extra() if calls else {}
        return replace(record, extra={**record.extra, **said})

    def _row(
        self, record: Record, world: World, future: Future, before: float, idle_kw: Kw, seed: int
    ) -> Row:
        m = self.ready
        net_kvar = record.net_kvar if record.net_kvar is not None else world.get("load_kvar")
        bill = self.bill_usd(np.asarray(record.net_kw), net_kvar)
        entries = [e for a in m.new for e in a.settle(record, world)]
        entries += changes_cost(record, self.site.written.setpoints)
        worn = [a.worn(record) for a in m.new if hasattr(a, "worn") and a.name in record.stored_kwh]
        throughput = fsum(w.throughput_kwh for w in worn)
        by_stream = self._services(record, world, future, idle_kw, throughput, seed)
        tariff = f"1 | {m.stream.name} | "
        served = fsum(v for k, v in by_stream.items() if k.endswith("| throughput_kwh"))
        by_stream[tariff + "contractual_usd"] = before - bill
        by_stream[tariff + "throughput_kwh"] = max(0.0, throughput - served)
        by_stream[tariff + "service_h"] = moved_h(record, m.timeline)
        by_layer: dict[int, list[float]] = {1: []}
        for key, value in by_stream.items():
            layer, _, figure = split(key)
            if figure.endswith("_usd"):
                by_layer.setdefault(layer, []).append(value)
        operation = fsum(e.usd for e in entries)
        sums = {layer: fsum(v) for layer, v in by_layer.items()}
        return {
            "before_usd": before,
            "bill_usd": bill,
            "operation_usd": operation,
            "wear_usd": fsum(e.usd for e in entries if e.item.split("/")[0] == "wear"),
            "total_usd": fsum((*sums.values(), operation)),
            **{f"layer {k}_usd": v for k, v in sorted(sums.items())},
            **dict(sorted(by_stream.items())),
            "throughput_kwh": throughput,
            "full_cycles": fsum(w.full_cycles for w in worn),
            "peak_kw": float(np.max(record.net_kw)),
            "changes_per_day": moved_per_day(record),
            "span_y": m.timeline.hours / 8760.0,
        }

    def _services(
        self, record: Record, world: World, future: Future, idle_kw: Kw, throughput_kwh: float, seed: int
    ) -> dict[str, float]:
        """Settled money and service of layers 2 to 4 by stream; a rule that changed weighs what is settled after."""
        out: dict[str, float] = {}
        rules = {r.name: r for r in self.site.written.simulate.futures.rules}
        for stream in self.streams(future):
            falls = [
                (self.ready.timeline.when(k).date(), rules[name].factor)
                for name, k in future.rules.items()
                if stream.name in rules[name].of
            ]
            money: dict[tuple[int, str], list[float]] = {}
            for e in self._settled(stream, record, world, future, seed):
                weight = 1.0
                for day, factor in falls:
                    weight *= weighed(e, day, factor)
                money.setdefault((e.layer, e.certainty), []).append(weight * e.usd)
            for (layer, certainty), usd in money.items():
                out[f"{layer} | {stream.name} | {certainty}_usd"] = fsum(usd)
            did = service_of(stream, record, world, idle_kw, throughput_kwh)
            out |= {f"{stream.layer} | {stream.name} | {k}": v for k, v in did.items()}
        return out

    def _settled(
        self, stream: Any, record: Record, world: World, future: Future, seed: int
    ) -> Iterable[Entry]:
        """Entries of a stream; outages as they are drawn in this future, where they are."""
        inner = plain(stream)
        if self.site.written.simulate.futures.outages == "expected" or not hasattr(
            inner, "scenario_costs_usd"
        ):
            return list(stream.settle(record, world))
        drawn = outage_seed(seed, future.number)
        without, with_it = inner.scenario_costs_usd(record, 1, drawn, world)
        came = inner.model.sample(record.timeline, 1, drawn)
        future.drivers.setdefault("outage hours", float(came.hours.sum()))
        usd = float(without[0] - with_it[0])
        t = record.timeline
        cycle = f"{t.start.date()}/{t.when(t.n - 1).date()}"
        return [
            Entry(
                cycle, inner.layer, stream.name, "outages avoided", "owner", float(came.hours.size), "outages drawn",
                None, usd, certainty=inner.certainty, status="provisional", reason="cost of the outages of this future",
            )
        ]  # fmt: skip


# --- parts of it -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Resting:
    """What nobody starts or calls: no power in any interval, and what it says of itself (fuel burnt in tests)."""

    power_kw: Kw
    extra: Mapping[str, Kw]


def resting(m: Ready, offers: Mapping[str, Any]) -> dict[str, Resting]:
    """Assets of a meter that rest, and touch neither power nor vars, unless a policy moves them, by name. Their course
    hangs on the calendar alone, so it is the same in every future; where the grid may be lost it is not."""
    from ...control.do_nothing import DoNothing
    from ...control.loop import run

    out: dict[str, Resting] = {}
    if "grid_present" in m.world.series:
        return out
    for a in (*m.existing, *m.new):
        offer = offers[a.name]
        if not getattr(a, "rests", False) or getattr(offer, "rating_kva", None) or hasattr(a, "drawn_kvar"):
            continue
        record = run(m.world, [a], DoNothing())
        power = np.asarray(record.asset_kw[a.name])
        if not power.any():
            out[a.name] = Resting(power, dict(record.extra))
    return out


def commanded(site: Site) -> Contract | None:
    """The contract of a site under which method C commands, where none is named in its options; None without one.

    Errors: InputError where it cannot be told which of several.
    """
    contracts = site.written.contracts
    if len(contracts) > 1:
        raise InputError(
            f"method C commands under one contract and {site.name} has {', '.join(c.name for c in contracts)}; give "
            "the one that is meant as simulate.policy_options.aggregator_primary.contract"
        )
    return contracts[0] if contracts else None


def _unnoted(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a policy that keeps no log of its answers, which nobody reads here; see UtilityFirst."""
    if kind == METHODS["A"]:
        return {"noting": False, **given}
    if kind == METHODS["B"]:
        return {**given, "layers": {"noting": False, **given.get("layers", {})}}
    return dict(given)


def _prices(m: Ready) -> tuple[dict[str, str], dict[str, Kw]]:
    """Hourly prices of a tariff: their names with the series of a future that they are taken from, and those series
    that the site does not have anyway."""
    prices = m.bill_inputs["facts"].prices
    if prices is None:
        return {}, {}
    named = m.meter.facts.get("prices")
    if isinstance(named, NamedSeries) and named.written.name in m.world.series:
        return {"": named.written.name}, {}
    by_name = dict(prices) if isinstance(prices, Mapping) else {"": prices}
    return {k: PRICE + k for k in by_name}, {PRICE + k: np.asarray(v) for k, v in by_name.items()}


def _compiled(m: Ready) -> Any:
    """The tariff compiled for many bills."""
    from ...streams.retail.compiled import CompiledTariff

    inputs = m.bill_inputs
    return CompiledTariff.of(
        m.tariff, m.timeline, inputs["facts"], cycles=inputs["cycles"], history=inputs["history"]
    )


def _lanes(values: Sequence[Kw]) -> Kw:
    return np.asarray(values[0]) if len(values) == 1 else np.stack(values)


def lane_of(record: Record, i: int) -> Record:
    """One lane of a record of several; what has no lanes is of all of them."""

    def cut(kw: Any) -> Any:
        return kw[i] if isinstance(kw, np.ndarray) and kw.ndim == 2 else kw

    def each(by: Mapping[str, Kw]) -> dict[str, Kw]:
        return {k: cut(v) for k, v in by.items()}

    return replace(
        record,
        net_kw=cut(record.net_kw),
        net_kvar=cut(record.net_kvar),
        asset_kw=each(record.asset_kw),
        stored_kwh=each(record.stored_kwh),
        commands_kw=each(record.commands_kw),
        extra=each(record.extra),
    )


def plain(stream: Any) -> Any:
    """A stream without the contract around it."""
    while hasattr(stream, "inner"):
        stream = stream.inner
    return stream


def _around(stream: Any, change: Callable[[Any], Any]) -> Any:
    """A stream changed inside the contract around it."""
    if hasattr(stream, "inner"):
        return replace(stream, inner=_around(stream.inner, change))
    return change(stream)


def _sparse(stream: Any) -> Any:
    """The value of outages from fewer starts: a thousand futures average over starts anyway."""

    def change(s: Any) -> Any:
        if not hasattr(s, "starts_every_h"):
            return s
        return s.model_copy(update={"starts_every_h": max(s.starts_every_h, SPARSE_H)})

    return _around(stream, change)


def _known(streams: Iterable[Any]) -> dict[str, bool]:
    """Streams that futures may name: whether calls may be drawn for them."""
    return {s.name: "events" in getattr(type(plain(s)), "model_fields", {}) for s in streams}


def called(stream: Any, calls: Sequence[tuple[int, int]], t: Timeline) -> Any:
    """A stream with the calls of a future: (first interval, intervals) each."""
    from ...streams.grid.enrolment import Call

    events = tuple(Call(start=t.when(k), hours=n * t.step_h) for k, n in calls)
    return _around(stream, lambda s: s.model_copy(update={"events": events}))


def outage_seed(seed: int, number: int) -> int:
    """The seed of the outages of a future: the same under every policy."""
    return int(np.random.SeedSequence(seed, spawn_key=(number, 1)).generate_state(1)[0])


def split(key: str) -> tuple[int, str, str]:
    """(layer, stream, figure) of a column `layer | stream | figure`."""
    layer, _, rest = key.partition(" | ")
    stream, _, figure = rest.rpartition(" | ")
    return int(layer), stream, figure


def is_stream(key: str) -> bool:
    """Whether a column is a figure of one stream."""
    return key[:1].isdigit() and key[1:4] == " | "


def is_base(key: str) -> bool:
    """Whether a column is money of layers 1 or 2, or a cost of operation."""
    money = is_stream(key) and key.endswith("_usd") and split(key)[0] <= 2
    return money or key in ("operation_usd", "wear_usd")


def moved_h(record: Record, timeline: Timeline, deadband_kw: float = 0.1) -> float:
    """Hours in which a store moves."""
    moving = np.zeros(timeline.n, dtype=bool)
    for name in record.stored_kwh:
        moving |= np.abs(np.asarray(record.asset_kw[name])) > deadband_kw
    return float(moving.sum()) * timeline.step_h


def service_of(
    stream: Any, record: Record, world: World, idle_kw: Kw, throughput_kwh: float
) -> dict[str, float]:
    """What a stream asked of the site over a record, as far as it says: calls, those missed, hours of service, energy
    moved for it, staff hours of its cost to serve.

    A call is missed where nothing was done about it: the net load fell by less than 1 % of what was asked (less than
    1 kW where no amount was). throughput_kwh: what stores gave in calls, and of awards what was called, as a share of
    all that they gave, of the throughput of the record.
    """
    t, inner, out = record.timeline, plain(stream), {}
    given = np.zeros(t.n)
    for name in record.stored_kwh:
        given += np.maximum(-np.asarray(record.asset_kw[name]), 0.0)
    total, mine = float(given.sum()), 0.0
    calls = list(stream.calls(world, t)) if hasattr(stream, "calls") else []
    events = [c for c in calls if not c.claim]
    held = {c.claim: np.asarray(record.extra[c.claim]) for c in calls if c.claim and c.claim in record.extra}
    if calls:
        cut = idle_kw - np.asarray(record.net_kw)
        least = [0.01 * c.kw if np.isfinite(c.kw) else 1.0 for c in events]
        missed = [float(cut[c.span].mean()) < most for c, most in zip(events, least, strict=True)]
        serving = np.zeros(t.n, dtype=bool)
        for c, gone in zip(events, missed, strict=True):
            if not gone:
                serving[c.span] = True
        mine += float(given[serving].sum())
        for kw in held.values():
            serving |= kw > 0
        out = {"service_h": float(serving.sum()) * t.step_h}
        if events or not held:
            out |= {"calls": float(len(events)), "missed": float(sum(missed))}
        for c in {c.claim: c for c in calls if c.claim}.values():
            mine += float(held.get(c.claim, np.zeros(1)).sum()) * c.up_frac
        out["throughput_kwh"] = throughput_kwh * min(1.0, mine / total) if total > 0 else 0.0
    elif hasattr(inner, "outages_per_y"):
        years = t.hours / 8760.0
        out = {
            "calls": inner.outages_per_y * years,
            "service_h": inner.outages_per_y * inner.model.mean_h * years,
        }
    cost = getattr(inner, "cost", None)
    fixed, each = getattr(cost, "staff_h_per_y", 0.0), getattr(cost, "staff_h_per_event", 0.0)
    if fixed or each:  # none stated is not none needed
        out["staff_h"] = fixed * t.hours / 8760.0 + each * out.get("calls", 0.0)
    return out


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
    by_meter = [b.rows(job.numbers(chunk), job.policies, job.seed) for b in benches]
    return [added(rows) for rows in zip(*by_meter, strict=True)]


def added(rows: Sequence[Row]) -> Row:
    """Rows of the meters of one site as one: what is counted adds up, what is drawn is drawn once."""
    if len(rows) == 1:
        return rows[0]
    out = dict(rows[0])
    for row in rows[1:]:
        for key, value in row.items():
            if key in ("future", "policy", "span_y") or key.startswith("driver: "):
                out.setdefault(key, value)
            else:
                out[key] = out.get(key, 0.0) + value
    if not all("bound_usd" in row for row in rows):
        out.pop("bound_usd", None)  # that of one meter alone is none of the site
    return out


# --- the run ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Simulation:
    """What was run, and its rows: one a future and policy."""

    job: Job
    rows: list[Row]


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
    minutes: float | None = None,
    progress: Step = quiet,
    so_far: Callable[[Simulation], None] | None = None,
) -> Simulation:
    """Run the futures of a site, or the rest of them.

    folder: where parts are kept. fresh: throw away what is there. so_far: called with what is there now and then.
    minutes: no future begins that would not be done by then, as long as the slowest took so far. The futures that are
    done are the first of all, drawn independently, so they are a fair sample; the report says how many, with its error.
    Errors: InputError where the folder holds another simulation; StoreError where a part cannot be written (what is
    there stays, and the same command goes on).
    """
    began = time.monotonic()
    options = site.written.simulate
    meters = [ready(site, m, progress=progress) for m in site.meters]
    job = Job(
        site=str(site.path) if site.path is not None else site.to_dict(),
        as_of=layers.day_of_rules(site, meters),
        policies=policies_of(policies or options.policies),
        count=scenarios or options.scenarios,
        size=_size(folder, options.chunk, minutes, fresh),
        seed=options.seed if seed is None else seed,
    )
    for m in meters:  # what cannot be set up is said before any worker is started
        Bench.of(site, m, job.as_of)
    if METHODS["C"] in job.policies and "contract" not in options.policy_options.get(METHODS["C"], {}):
        commanded(site)
    parts = _parts(folder, site, job, fresh)
    missing = [i for i in range(job.chunks) if not _whole(_part(parts, i), job, i)]
    done = job.count - sum(len(job.numbers(i)) for i in missing)
    there = f", {done:,} are there already" if done else ""
    progress(f"{job.count:,} futures x {len(job.policies)} policies{there}", done / job.count)
    slowest_s = 0.0

    def in_time() -> bool:  # one chunk is begun whatever the time
        return not slowest_s or time.monotonic() - began + slowest_s <= 60 * (minutes or 0)

    go_on = None if minutes is None else in_time
    if cluster is not None:
        results = run_on_cluster(cluster, ClusterWork(job), missing, go_on)
    else:
        results = run_here(work, missing, workers=workers, prepare=prepare, given=(job,), go_on=go_on)
    first, before, written = time.monotonic(), done, 0
    for number, rows in results:
        slowest_s = max(slowest_s, fsum(r["cpu_s"] for r in rows))
        _write(_part(parts, number), rows)
        done, written = done + len(job.numbers(number)), written + 1
        progress(
            f"{done:,} of {job.count:,} futures{_pace(done - before, job.count - done, first)}",
            done / job.count,
        )
        if so_far is not None and done < job.count and (written & (written - 1)) == 0:
            so_far(Simulation(job, read(parts, job)))
    return Simulation(job, read(parts, job))


def _size(folder: Path, chunk: int, minutes: float | None, fresh: bool) -> int:
    """Futures of a chunk: one where time is short, so that nothing long is left half done; as before where parts are
    there already, so that a run goes on with or without a limit of time."""
    try:
        held = json.loads((folder / "futures" / MANIFEST).read_text(encoding="utf-8"))["chunk"]
    except (OSError, ValueError, KeyError, TypeError):
        held = None
    if not fresh and held in (1, chunk):
        return int(held)
    return chunk if minutes is None else 1


def _pace(done: int, left: int, began: float) -> str:
    """', 3.1 a second, 5 min left'."""
    rate = done / max(time.monotonic() - began, 1e-6)
    left_s = left / rate
    word = (
        f"{left_s:.0f} s"
        if left_s < 90
        else f"{left_s / 60:.0f} min"
        if left_s < 5400
        else f"{left_s / 3600:.1f} h"
    )
    return f", {rate:.2g} a second" + (f", {word} left" if left else "")


def _whole(path: Path, job: Job, chunk: int) -> bool:
    """Whether a part holds every future that this job asks of its chunk: one of a smaller job may not."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return path.is_file() and int(pq.ParquetFile(path).metadata.num_rows) >= len(
            job.numbers(chunk)
        ) * len(job.policies)
    except (OSError, pa.ArrowInvalid):
        return False  # a part that cannot be read is computed again


def _parts(folder: Path, site: Site, job: Job, fresh: bool) -> Path:
    """The folder of parts of exactly this simulation."""
    from ... import __version__
    from ..status import inputs

    parts = folder / "futures"
    stamp = {
        "schema": SCHEMA,
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
            if not fresh and held.get("schema") != SCHEMA:
                raise InputError(
                    f"{parts}: its parts have rows of schema {held.get('schema', 1)}, this version writes {SCHEMA}; "
                    "give --fresh to compute them anew, or another --out"
                )
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
        # A column for each key of any row: what a row does not hold is null.
        keys = list(dict.fromkeys(k for row in rows for k in row))
        table = pa.table({k: [row.get(k) for row in rows] for k in keys})
        pq.write_table(table, beside, compression="zstd")
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
        out += [
            {k: v for k, v in row.items() if v is not None} for row in pq.ParquetFile(path).read().to_pylist()
        ]
    if job is not None:
        out = [r for r in out if r["future"] < job.count]
    return out
