"""The catalogue: every asset and load, what it could do in the hours that matter, and what is missing.

What an asset can give is not estimated: its own offer is solved for each of the days that set the bill, with every
kWh less at the meter in those hours worth the same and nothing else worth anything, so that notice, duration, state,
recovery and temperature bounds are all in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...dispatch import Foresight, Series, View, World
from ...errors import ValuestackError
from ...finding import Finding
from ...flows import Capability, Given
from ...terms import Block, Measure, Payment, Term
from ...timeline import Kw, Timeline
from ..audit.profile import CUT_FRAC
from .remedies import Remedy, RemedyOptions, remedies

Mask = NDArray[np.bool_]
HOURS_A_YEAR = 8760.0
DAYS_TRIED = 12  # of those that hold hours that matter, the ones with most of them
QUESTIONS = {
    "approver": "who agrees to a call?",
    "protocols": "which protocols does it speak (openadr_2_0b, modbus, dnp3)?",
    "telemetry_s": "how often does it report?",
    "response_s": "how long from signal to full response?",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One asset or load of the catalogue.

    mean_kw, most_kw: given in the hours that matter, over the days tried; covered_frac: share of those hours in which
    it gives at least nine tenths of its most. limits: what it is held to, as written. used_h, idle_h: a year, by the
    hours that matter or by a record. may_earn: None = not stated; why_not: the clause. value_usd_per_y: of mean_kw
    at the prices of those hours, an upper guide. error: why nothing could be said.
    """

    name: str
    kind: str
    what: str
    existing: bool
    limits: Mapping[str, Any]
    mean_kw: float
    most_kw: float
    covered_frac: float
    used_h: float
    idle_h: float
    may_earn: bool | None
    why_not: str
    notice_h: float | None
    response_s: float | None
    max_duration_h: float | None
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what has no end is None."""
        out = {k: getattr(self, k) for k in self.__dataclass_fields__}
        out["limits"] = dict(self.limits)
        return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in out.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """What of a meter's site can move. hours_h: how many hours a year set the bill; first: some of them."""

    meter: str
    timeline: Timeline
    hours_h: float
    first: tuple[str, ...]
    lines: tuple[Line, ...]
    findings: tuple[Finding, ...]
    remedies: tuple[Remedy, ...] = ()
    spike: str = ""
    assumptions: tuple[str, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """One row an asset for a terminal or a report."""
        return [
            {
                "asset": x.name,
                "kind": x.kind,
                "state": "there" if x.existing else "planned",
                "kW in the hours that matter": round(x.mean_kw, 1),
                "most kW": round(x.most_kw, 1),
                "hours covered": round(x.covered_frac, 3),
                "used h/y": round(x.used_h, 1),
                "idle h/y": round(x.idle_h, 1),
                "may earn": {True: "yes", False: f"no: {x.why_not}", None: "not stated"}[x.may_earn],
                "remark": x.error,
            }
            for x in self.lines
        ]

    def remedy_rows(self) -> list[dict[str, Any]]:
        """One row a remedy of the recurring spike, best first."""
        return [r.row() for r in self.remedies]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "meter": self.meter,
            "timeline": self.timeline.to_dict(),
            "hours_that_matter": self.hours_h,
            "first": list(self.first),
            "assets": [x.to_dict() for x in self.lines],
            "spike": self.spike,
            "remedies": [r.to_dict() for r in self.remedies],
            "findings": [f.to_dict() for f in self.findings],
            "assumptions": list(self.assumptions),
        }


def hours_that_matter(timeline: Timeline, kw: Kw, terms: Sequence[Term], cut_frac: float = CUT_FRAC) -> Mask:
    """Intervals in which a kW less lowers a demand charge: above (1 - cut) of each window's peak, (n,).

    Without any demand charge, the dearest tenth of the intervals by energy price; without terms, the highest
    hundredth of the load.
    """
    out = np.zeros(timeline.n, dtype=bool)
    energy = np.zeros(timeline.n)
    for t in terms:
        if not isinstance(t, Payment) or t.measure.asset or t.measure.flow not in ("import", "net"):
            continue
        price = np.asarray(t.blocks[-1].usd_per_unit, dtype=float)
        if t.over == "max":
            for w in range(t.windows):
                mine = np.flatnonzero(t.window == w)
                worth = float(np.broadcast_to(price, t.windows)[w])
                if mine.size and worth > 0 and kw[mine].max() > 0:
                    out[mine[kw[mine] > (1 - cut_frac) * kw[mine].max()]] = True
        elif price.ndim == 0 or price.size == timeline.n:
            energy += np.where(t.window >= 0, price, 0.0)
    if out.any():
        return out
    if np.ptp(energy) > 0:
        dearer = energy[energy > energy.min() + 1e-9]
        return np.asarray(energy >= max(float(np.quantile(energy, 0.9)), float(dearer.min())))
    return np.asarray(kw >= np.quantile(kw, 0.99))


def flexibility(
    assets: Sequence[Any],
    timeline: Timeline,
    load_kw: Kw,
    *,
    hours: Mask | None = None,
    terms: Sequence[Term] = (),
    world: World | None = None,
    existing: Iterable[str] = (),
    meter: str = "main",
    export_limit_kw: float = 0.0,
    used_kw: Mapping[str, Kw] | None = None,
) -> Catalogue:
    """The catalogue of a meter.

    assets: of any kind, by the Asset protocol. load_kw: (n,) native load. hours: (n,) True where it matters; by
    default the hours that set the bill by `terms`. world: with temperature_c, load_kvar... where the site knows
    them. existing: names of assets that are there already. used_kw: power by asset name, (n,), where it was
    metered or planned, for utilisation. Errors: InputError for series of the wrong length.
    """
    mask = hours_that_matter(timeline, load_kw, terms) if hours is None else np.asarray(hours, dtype=bool)
    made = world or World(timeline, {"load_kw": Series("load_kw", np.asarray(load_kw, dtype=float), "kW")})
    there, span_y = frozenset(existing), timeline.hours / HOURS_A_YEAR
    days = _days(timeline, mask)
    lines, findings = [], []
    for asset in assets:
        lines.append(_line(asset, made, mask, days, asset.name in there, export_limit_kw, used_kw or {}))
        findings += _doubts(asset, timeline, np.asarray(load_kw), made)
    findings += _together(assets, timeline, np.asarray(load_kw))
    at = np.flatnonzero(mask)
    strongest = np.sort(at[np.argsort(-np.asarray(load_kw)[at])[:5]])
    return Catalogue(
        meter=meter,
        timeline=timeline,
        hours_h=float(mask.sum()) * timeline.step_h / span_y,
        first=tuple(timeline.when(int(k)).isoformat() for k in strongest),
        lines=tuple(lines),
        findings=tuple(findings),
        assumptions=(
            f"what an asset gives is solved on {len(days)} days that hold the most of those hours, each from the "
            "asset's own state at its first hour and with the future of that day known: an upper bound",
        ),
    )


def of_meter(m: Any, *, options: RemedyOptions | None = None, battery: Any = None) -> Catalogue:
    """The catalogue of a meter that was made ready for a study (timeline, load_kw, world, assets, stream, settle,
    audit), with the remedies of its recurring spike. battery: to be tried against it, sized to the spike."""
    everything = (*m.existing, *m.new)
    terms = list(m.stream.terms(m.view(everything))) if m.meter.tariffs else []
    found = flexibility(
        everything,
        m.timeline,
        m.load_kw,
        terms=terms,
        world=m.world,
        existing=[a.name for a in m.existing],
        meter=m.name,
        export_limit_kw=m.meter.export_limit_kw,
    )

    def asked(first: int, n: int) -> list[Term]:
        view = m.view(everything)
        return list(m.stream.terms(replace(view, k=first, n=n)))

    spike = m.audited.audit.profile.spike
    if spike is None or not m.meter.tariffs:
        return found
    answers = remedies(
        m.timeline,
        m.before_kw,
        spike,
        lambda kw: float(m.settle(kw, m.load_kvar).total_usd),
        terms=asked,
        assets=m.new,
        battery=battery,
        options=options,
        world=m.world,
    )
    return replace(found, remedies=answers, spike=str(spike))


# --- one asset -------------------------------------------------------------------------------------------


def _days(timeline: Timeline, mask: Mask) -> list[tuple[int, int]]:
    """First interval and number of intervals of the days that hold the most hours that matter."""
    days, first, count = np.unique(timeline.day, return_index=True, return_counts=True)
    held = np.array([mask[a : a + n].sum() for a, n in zip(first, count, strict=True)])
    order = [int(i) for i in np.argsort(-held, kind="stable") if held[i] > 0][:DAYS_TRIED]
    del days
    return [(int(first[i]), int(count[i])) for i in sorted(order)]


def _line(
    asset: Any,
    world: World,
    mask: Mask,
    days: Sequence[tuple[int, int]],
    existing: bool,
    export_limit_kw: float,
    used_kw: Mapping[str, Kw],
) -> Line:
    t, error, given = world.timeline, "", np.zeros(0)
    try:
        given = np.concatenate(
            [_given(asset, world, mask, k, n, export_limit_kw) for k, n in days] or [given]
        )
    except ValuestackError as e:
        error = str(e).splitlines()[0]
    most = float(given.max(initial=0.0))
    year = HOURS_A_YEAR / t.hours
    active = np.abs(used_kw[asset.name]) > 1e-6 if asset.name in used_kw else mask
    used = float(active.sum()) * t.step_h * year
    offered = _capability(asset)
    return Line(
        name=asset.name,
        kind=asset.kind,
        what=str(getattr(asset, "what", "")),
        existing=existing,
        limits=_limits(asset),
        mean_kw=float(given.mean()) if given.size else 0.0,
        most_kw=most,
        covered_frac=float((given >= 0.9 * most).mean()) if most > 1e-6 else 0.0,
        used_h=used,
        idle_h=max(0.0, HOURS_A_YEAR - used),
        may_earn=None if offered is None else offered.paid_dispatch,
        why_not="" if offered is None else offered.why_not,
        notice_h=None if offered is None else offered.notice_h,
        response_s=None if offered is None else offered.response_s,
        max_duration_h=None if offered is None or offered.max_duration_h == inf else offered.max_duration_h,
        error=error,
    )


def _capability(asset: Any) -> Capability | None:
    if not hasattr(asset, "capability"):
        return None
    found: Capability = asset.capability()
    return found


def _limits(asset: Any) -> dict[str, Any]:
    """What was written of an asset, without what it left open."""
    if not hasattr(asset, "model_dump"):
        return {}
    dumped: dict[str, Any] = asset.model_dump(mode="json", exclude_unset=True)
    return {k: v for k, v in dumped.items() if k != "name"}


def _given(asset: Any, world: World, mask: Mask, k: int, n: int, export_limit_kw: float) -> Kw:
    """Power that an asset takes off the meter in the hours that matter of one day [kW]."""
    from ...stack.optimise import optimise

    view = View(world.timeline, k, n, Foresight(world), {asset.name: asset.initial_state()})
    offer = asset.belief(view)
    here = mask[k : k + n]
    if isinstance(offer, Given):
        return np.maximum(-offer.net_kw[here], 0.0)
    load = np.atleast_2d(world["load_kw"])[0, k : k + n]
    # A kWh elsewhere costs a little, so that nothing is moved for nothing; the higher the load and the earlier, the
    # more it is worth, so that no two plans tie.
    worth = 1 + 0.05 * load / max(float(load.max()), 1.0) - 0.01 * np.arange(n) / n
    price = np.where(here, worth, 0.01)
    asked = Payment(
        "asked", "reduction", Measure("net"), "each", np.zeros(n, dtype=np.int64), (Block(inf, price),)
    )
    plan = optimise(
        view.horizon, load, [offer], [asked], export_limit_kw=export_limit_kw, gap=1e-2, time_limit_s=10
    )
    return np.maximum((load - plan.net_kw)[here], 0.0)


# --- what is missing or contradictory --------------------------------------------------------------------


def _doubts(asset: Any, timeline: Timeline, load_kw: Kw, world: World) -> list[Finding]:
    out = []
    if hasattr(asset, "model_fields_set"):
        fields = type(asset).model_fields
        open_ = [q for key, q in QUESTIONS.items() if key in fields and not getattr(asset, key)]
        if open_:
            out.append(
                Finding(
                    "not_stated",
                    "question",
                    f"{asset.name}: {' '.join(open_)}",
                    where=f"asset {asset.name}",
                    count=len(open_),
                    remedy="send the questionnaire to whoever runs it",
                )
            )
    if hasattr(asset, "doubts"):
        try:
            out += list(asset.doubts(timeline, load_kw, world.get("temperature_c")))
        except ValuestackError as e:
            out.append(Finding("not_known", "question", str(e).splitlines()[0], where=f"asset {asset.name}"))
    return out


def _together(assets: Sequence[Any], timeline: Timeline, load_kw: Kw) -> list[Finding]:
    """Loads that together would shed more than there is."""
    total, names = np.zeros(timeline.n), []
    for asset in assets:
        if hasattr(asset, "available_kw"):
            try:
                total = total + asset.available_kw(timeline, load_kw)
            except ValuestackError:
                continue
            names.append(asset.name)
    over = np.flatnonzero(total > np.maximum(load_kw, 0.0) + 1e-6)
    if len(names) < 2 or not over.size:
        return []
    k = int(over[0])
    return [
        Finding(
            "more_than_there_is",
            "error",
            f"{', '.join(names)} together could shed {total[k]:,.0f} kW where the site draws {load_kw[k]:,.0f} kW",
            where=timeline.when(k).isoformat(),
            count=int(over.size),
            remedy="lower shed_kw, or narrow their windows",
        )
    ]
