"""A meter made ready to be studied: read, audited, its native load rebuilt, and settled by its tariff.

Everything that the study knows of meter data passes through `ready`, so that no figure can stand on data
that were not audited.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ...dispatch import Foresight, Series, View, World
from ...errors import DataError, InputError
from ...finding import Finding
from ...flows import Given
from ...report.result import Assumption, MeterData
from ...site.files import is_load, read_table
from ...site.site import NamedSeries, Site, SiteMeter
from ...sources.source import MeterTable
from ...streams.retail.facts import BillFacts
from ...timeline import Kw, Timeline, epoch_s

Step = Callable[[str, float | None], None]


def quiet(_: str, __: float | None) -> None:
    """A progress that says nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Audited:
    """An audit with what must stand above it. source: what the readings are."""

    audit: Any
    head: tuple[str, ...]
    source: str
    table: MeterTable

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found, with the dollars at stake."""
        return tuple(self.audit.findings)

    def lines(self) -> list[str]:
        """The audit in a few sentences."""
        return [self.source, *self.audit.lines()]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"head": list(self.head), "source": self.source, **self.audit.to_dict()}


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """A meter ready for cases. load_kw: native load (n,); before_kw: net load with what exists already;
    load_kvar: (n,) or None. existing, new: assets that are behind the meter already, and those to study.
    bill_inputs: history, cycles and facts as `bill` takes them.
    """

    meter: SiteMeter
    timeline: Timeline
    load_kw: Kw
    before_kw: Kw
    load_kvar: Kw | None
    quality: np.ndarray[Any, Any] | None
    audited: Audited
    world: World
    existing: tuple[Any, ...]
    new: tuple[Any, ...]
    bill_inputs: Mapping[str, Any]
    assumptions: tuple[Assumption, ...] = ()

    @property
    def name(self) -> str:
        """The meter's name."""
        return self.meter.name

    @property
    def head(self) -> tuple[str, ...]:
        """What must stand above every figure of this meter."""
        return self.audited.head

    @property
    def data(self) -> MeterData:
        """The meter as reports show it."""
        return MeterData(
            name=self.name,
            timeline=self.timeline,
            load_kw=self.load_kw,
            before_kw=self.before_kw,
            tariffs=tuple(v.name for v in self.meter.tariffs),
            source=self.audited.source,
            quality=self.quality,
            audit=self.audited.audit,
        )

    @property
    def tariff(self) -> Any:
        """The tariff in force, or its versions with their days."""
        return tariff_of(self.meter)

    @property
    def stream(self) -> Any:
        """The tariff as a reason to move power: terms, and the settled bill."""
        from ...streams.retail.tariff_stream import TariffStream

        return TariffStream(self.tariff, self.timeline, name=f"tariff of {self.name}", **self.bill_inputs)

    def settle(self, net_kw: Kw, net_kvar: Kw | None = None) -> Any:
        """The Bill of a net load over the timeline, by the tariff's own rule."""
        from ...streams.retail.bill import bill

        return bill(self.tariff, self.timeline, net_kw, net_kvar, **self.bill_inputs)

    def view(self, assets: Sequence[Any], streams: Sequence[Any] = ()) -> View:
        """Perfect foresight over the whole timeline: for the bound only."""
        return View(
            timeline=self.timeline,
            k=0,
            n=self.timeline.n,
            belief=Foresight(self.world),
            asset_state={a.name: a.initial_state() for a in assets},
            stream_state={s.name: s.initial_state() for s in streams},
        )

    def reconcile(self, actual: Path) -> Any:
        """Our bill of the data against the utility's, with the likely cause of each difference."""
        from ...sources.bill_rows import read_bill
        from ...streams.retail.reconcile import Case, reconcile

        made = Case(
            tariff=self.tariff,
            timeline=self.timeline,
            net_kw=self.before_kw,
            net_kvar=self.load_kvar,
            **{**self.bill_inputs, "cycles": self.bill_inputs["cycles"] or ()},
        )
        return reconcile(made, read_bill(actual))


def tariff_of(meter: SiteMeter) -> Any:
    """What `bill` takes: the tariff, or its versions with their days; InputError where there is none."""
    if not meter.tariffs:
        raise InputError(f"{meter.name}: no tariff; add [[meters.tariffs]] to the site file or give --tariff")
    first = meter.tariffs[0]
    only = len(meter.tariffs) == 1 and first.from_date is None and first.until_date is None
    return first.tariff if only else meter.tariffs


def audit_meter(site: Site, meter: SiteMeter, *, progress: Step = quiet) -> Audited:
    """Read and audit one meter; findings are priced by its tariff where it names one."""
    from ..audit import audit

    progress(f"reading {meter.data.name}", None)
    table = read_table(meter.data, meter.written.read)
    progress(f"auditing {meter.name}", None)
    made = audit(table, tz=site.tz, **_audit_options(meter, table))
    return Audited(made, _head(meter, made), _source(meter, table), table)


def _audit_options(meter: SiteMeter, table: MeterTable) -> dict[str, Any]:
    """What the audit of a meter may know: billed totals, and its tariff where that can be billed."""
    out: dict[str, Any] = {
        "usage_point": meter.written.usage_point,
        "billed": meter.written.billed,
        "override": meter.written.override,
        "name": meter.name,
    }
    holidays = _holidays(meter, table)
    if holidays is not None:
        out["holidays"] = holidays
    if meter.tariffs and not _unknown(meter):
        tariff = tariff_of(meter)

        def inputs(timeline: Timeline) -> dict[str, Any]:
            return _bill_inputs(meter, timeline)

        def price(timeline: Timeline, net_kw: Kw) -> float:
            from ...streams.retail.bill import bill

            return float(bill(tariff, timeline, net_kw, **inputs(timeline)).total_usd)

        def terms(timeline: Timeline) -> Sequence[Any]:
            from ...streams.retail.tariff_stream import state

            return state(tariff, timeline, **inputs(timeline)).terms

        out |= {"bill": price, "terms": terms}
    return out


def _unknown(meter: SiteMeter) -> list[str]:
    """Facts that the meter's tariffs need and the site file does not give."""
    given = {
        "power_factor" if k == "power_factor_frac" else k for k, v in meter.facts.items() if v is not None
    }
    needed = dict.fromkeys(fact for v in meter.tariffs for fact in v.tariff.needs())
    return [fact for fact in needed if fact not in given]


def _holidays(meter: SiteMeter, table: MeterTable) -> Any:
    """Dates billed like a weekend over the years of the readings, or None."""
    if meter.facts.get("holidays") is not None:
        return meter.facts["holidays"]
    named = next((v.tariff.holidays for v in meter.tariffs if v.tariff.holidays is not None), None)
    if named is None or isinstance(named, tuple):
        return named
    from ...streams.retail.holidays import holiday_dates

    label_s = [c.label_s for c in table.channels if c.label_s.size]
    if not label_s:
        return None
    years = [datetime.fromtimestamp(int(f(s)), UTC).year for s in label_s for f in (np.min, np.max)]
    return holiday_dates(named, range(min(years), max(years) + 1))


def _bill_inputs(meter: SiteMeter, timeline: Timeline) -> dict[str, Any]:
    """history, cycles and facts as `bill` takes them."""
    return {
        "history": {h.month: h.peak_kw for h in meter.written.history},
        "cycles": meter.cycles,
        "facts": facts_of(meter, timeline),
    }


def _source(meter: SiteMeter, table: MeterTable) -> str:
    if not is_load(meter.data):
        return meter.data.name
    return f"load model {table.mapping['model']}, seed {table.mapping['seed']}: {table.mapping['what']}"


def _head(meter: SiteMeter, made: Any) -> tuple[str, ...]:
    out = []
    if is_load(meter.data):
        out.append(f"{meter.name}: the load is a documented model ({meter.data.stem}); nobody metered it")
    if made.verdict == "overridden":
        why = "; ".join(made.reasons)
        out.append(
            f"{meter.name}: the audit disqualifies these data ({why}); used all the same because: "
            f"{meter.written.override}"
        )
    if made.verdict == "disqualified":
        out.append(f"{meter.name}: these data cannot carry a result: {'; '.join(made.reasons)}")
    for f in made.findings:
        if f.severity == "question":
            out.append(
                f"{meter.name}: open question of the audit: {f.what}" + (f" ({f.remedy})" if f.remedy else "")
            )
    return tuple(out)


def ready(site: Site, meter: SiteMeter, *, progress: Step = quiet) -> Ready:
    """Read, audit and cut one meter to the span of the study, and rebuild its native load.

    Errors: Disqualified where the data cannot carry a result and no override is given.
    """
    tariff_of(meter)
    audited = audit_meter(site, meter, progress=progress)
    made = audited.audit.require()
    span = _span(site, made.timeline)
    timeline, before = made.timeline.part(span.start, span.stop - span.start), np.asarray(made.net_kw)[span]
    kvar = None if made.net_kvar is None else np.asarray(made.net_kvar)[span]
    quality = None if made.quality is None else np.asarray(made.quality)[span]
    existing = tuple(a for a in meter.assets if a.name in meter.existing)
    new = tuple(a for a in meter.assets if a.name not in meter.existing)
    metered = [a.name for a in new if a.kind == "battery" and a.file is not None]
    if metered:
        raise InputError(
            f"{', '.join(metered)}: `file` is what a battery did that is there already; write existing = true, or "
            "leave the file out to study it as new"
        )
    series = {"load_kw": Series("load_kw", before, "kW", lead_h=-timeline.step_h)}
    if kvar is not None:
        series["load_kvar"] = Series("load_kvar", kvar, "kvar", lead_h=-timeline.step_h)
    series |= _named_series(site, timeline)
    world = World(timeline=timeline, series=series)
    there = standing_kw(existing, world)
    alone = meter.written.readings == "load"
    load, before = (before, before + there) if alone else (before - there, before)
    if existing:
        native = Series("load_kw", load, "kW", lead_h=-timeline.step_h)
        world = World(timeline=timeline, series={**series, "load_kw": native})
    return Ready(
        meter=meter,
        timeline=timeline,
        load_kw=load,
        before_kw=before,
        load_kvar=kvar,
        quality=quality,
        audited=audited,
        world=world,
        existing=existing,
        new=new,
        bill_inputs=_bill_inputs(meter, timeline),
        assumptions=(*_assumptions(meter, audited), *_series_assumptions(site)),
    )


def _span(site: Site, timeline: Timeline) -> slice:
    """Intervals of the study's own span of days; InputError where none is left."""
    options = site.written.study
    first, until = 0, timeline.n
    days = timeline.local_date
    if options.first_date is not None:
        first = int(np.searchsorted(days, np.datetime64(options.first_date)))
    if options.until_date is not None:
        until = int(np.searchsorted(days, np.datetime64(options.until_date)))
    if until - first < 1:
        raise InputError(
            f"study: no data from {options.first_date or days[0]} to {options.until_date or days[-1]}; "
            f"the data run from {days[0]} to {days[-1]}"
        )
    return slice(first, until)


def standing_kw(existing: Sequence[Any], world: World) -> Kw:
    """What existing assets add to the net load, (n,) [kW]: less than zero where they generate."""
    out = np.zeros(world.timeline.n)
    for asset in existing:
        view = View(
            timeline=world.timeline,
            k=0,
            n=world.timeline.n,
            belief=Foresight(world),
            asset_state={asset.name: asset.initial_state()},
        )
        offer = asset.belief(view)
        if not isinstance(offer, Given):
            raise InputError(
                f"{asset.name}: existing = true, but what it did is not known; give its metered series to "
                "the audit, or study it as new"
            )
        out = out + offer.net_kw
    return out


def _named_series(site: Site, timeline: Timeline) -> dict[str, Series]:
    """The site's own series on the meter's timeline."""
    return {
        name: Series(name, values_of(s, timeline), s.written.unit, s.written.lead_h)
        for name, s in site.series.items()
    }


def values_of(series: NamedSeries, timeline: Timeline) -> Kw:
    """Value of each interval, (n,): from its file's rows, or its number shaped by month and hour."""
    written = series.written
    if series.rows is not None:
        return aligned(series.rows, timeline, f"series {written.name}")
    values = np.full(timeline.n, float(written.value or 0.0))
    if written.month_frac is not None:
        values = values * np.array(written.month_frac)[timeline.month - 1]
    if written.hour_frac is not None:
        values = values * np.array(written.hour_frac)[timeline.hour]
    return values


def _series_assumptions(site: Site) -> tuple[Assumption, ...]:
    """Where each series of the site comes from."""
    return tuple(
        Assumption(
            f"series {s.name}",
            s.file
            or f"{s.value:g} {s.unit}"
            + (", shaped by month and hour" if s.month_frac or s.hour_frac else ""),
            s.source,
            s.verified and bool(s.source),
            f"series {s.name}",
        )
        for s in site.written.series
    )


def facts_of(meter: SiteMeter, timeline: Timeline) -> BillFacts:
    """The site file's facts on the meter's timeline."""
    given = dict(meter.facts)
    prices = given.pop("prices", None)
    hourly: Kw | None = None
    if isinstance(prices, NamedSeries):
        hourly = values_of(prices, timeline)
    elif prices is not None:
        hourly = aligned(prices, timeline, f"{meter.name}.facts.prices")
    return BillFacts(
        power_factor=given.pop("power_factor_frac", None),
        **given,
        prices=hourly,
    )


def aligned(rows: Sequence[tuple[datetime, float]], timeline: Timeline, where: str) -> Kw:
    """Value of each interval from (start, value) rows, each valid until the next, (n,).

    Errors: DataError where the rows do not cover the timeline.
    """
    if len(rows) < 2:
        raise DataError(f"{where}: holds {len(rows)} values; a series is needed")
    ordered = sorted(rows)
    start_s = np.array([epoch_s(when) for when, _ in ordered])
    if (np.diff(start_s) == 0).any():
        k = int(np.flatnonzero(np.diff(start_s) == 0)[0])
        raise DataError(f"{where}: two values for {ordered[k][0].isoformat()}; keep one")
    step_s = int(np.median(np.diff(start_s)))
    at = np.searchsorted(start_s, timeline.utc_s, side="right") - 1
    bare = (at < 0) | (timeline.utc_s - start_s[np.maximum(at, 0)] >= step_s)
    if bare.any():
        k = int(np.flatnonzero(bare)[0])
        raise DataError(
            f"{where}: no value for {timeline.when(k).isoformat()} ({int(bare.sum())} intervals lack one); "
            "complete the file or shorten the study with first_date and until_date"
        )
    return np.array([usd for _, usd in ordered], dtype=np.float64)[at]


def _assumptions(meter: SiteMeter, audited: Audited) -> tuple[Assumption, ...]:
    """What was taken for granted about the meter itself."""
    out = []
    w = meter.written.interconnection
    if "interconnection" not in meter.written.model_fields_set:
        out.append(
            Assumption(
                "nothing may be exported to the grid",
                "export_allowed = false",
                "default",
                True,
                f"meter {meter.name}",
            )
        )
    elif w.export_allowed and w.export_limit_kw is None:
        out.append(Assumption("export is not limited in power", "", "default", True, f"meter {meter.name}"))
    for key, text in dict(audited.table.mapping.get("sources", {})).items():
        out.append(
            Assumption(f"load model: {key}", "", str(text), "choice" not in str(text), f"meter {meter.name}")
        )
    return tuple(out)
