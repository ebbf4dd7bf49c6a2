"""From a claim to what is found: each figure of a claim beside the plan of all layers, then and now.

A figure is read from settled sets of layers, nothing is planned here. `then` and `now` are the same plant under the
rules and prices of the claim's day and of today, both with perfect foresight; `realised` and `bound` of a study run on
the tariff. What a figure is made of (its steps) sums to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import fsum
from typing import Any

from ...ledger import LAYERS
from ...report.result import BridgeStep, Comparison, Study
from ...report.stacked import Stack
from ...site.site import Claim
from . import verdicts

GRID = 3


@dataclass(frozen=True, slots=True)
class Figure:
    """A quantity that a claim may name. of: its value in a stack, None where the site cannot answer; needs: what
    the site would have to hold for an answer; parts: of what it is made, by name, summing to it."""

    what: str
    unit: str
    needs: str
    of: Callable[[Stack, Claim, Study], float | None]
    parts: Callable[[Stack], dict[str, float]] = lambda _: {}


def bridged(found: Study, claim: Claim | None) -> tuple[Comparison, ...]:
    """The figures of a claim beside what was found. found.stacks: today's first, then those of the claim's day."""
    if claim is None:
        return ()
    layer1 = {c.what: c for c in verdicts.claims(found, claim)}
    stacks: Sequence[Stack] = found.stacks
    now = stacks[0] if stacks else None
    then = stacks[1] if len(stacks) > 1 else None
    same = then is not None and now is not None and _alike(then, now)
    out = []
    for name, figure in FIGURES.items():
        claimed = getattr(claim, name, None)
        if claimed is None and name not in claim.also:
            continue
        one = layer1.get(figure.what) or Comparison(
            claim.text, claim.source, figure.what, figure.unit, claimed, None, None
        )
        values = [None if s is None else figure.of(s, claim, found) for s in (then, now)]
        steps = _steps(figure, then, now)
        because = [*one.because, *_words(name, figure, claim, then, now, found)]
        if same:
            because.append(
                "then and now are the same: no rule or price that this site is paid or billed by changed between them"
            )
        out.append(
            replace(one, then=values[0], now=values[1], steps=steps, because=tuple(dict.fromkeys(because)))
        )
    return tuple(out)


def _alike(then: Stack, now: Stack) -> bool:
    """Whether the two days leave every stream's money where it was, to the cent."""
    names = {*then.whole.by_stream, *now.whole.by_stream}
    was, has = then.whole.by_stream, now.whole.by_stream
    return all(abs(was.get(k, 0.0) - has.get(k, 0.0)) < 0.005 for k in names) and then.refused == now.refused


def _steps(figure: Figure, then: Stack | None, now: Stack | None) -> tuple[BridgeStep, ...]:
    """Parts of then and now side by side, those of today first."""
    was = None if then is None else figure.parts(then)
    has = {} if now is None else figure.parts(now)
    names = dict.fromkeys((*has, *(was or {})))
    return tuple(BridgeStep(k, None if was is None else was.get(k, 0.0), has.get(k, 0.0)) for k in names)


def _words(
    name: str, figure: Figure, claim: Claim, then: Stack | None, now: Stack | None, found: Study
) -> list[str]:
    """What has to be said beside a figure."""
    said: dict[str, list[str]] = {}
    for stack, when in ((then, "then"), (now, "now")):
        if stack is None:
            continue
        value = figure.of(stack, claim, found)
        if name == "payback_y":
            said.setdefault(_pays(stack), []).append(when)
        elif value is None:
            said.setdefault(f"nothing to set beside it, for {figure.needs}", []).append(when)
        if name == "grid_services_usd_per_y":
            for r in stack.refused:
                said.setdefault(f"not allowed: {r}", []).append(when)
    out = [f"{' and '.join(when)}: {sentence}" for sentence, when in said.items()]
    if now is None:
        one = f"{figure.what}: the site names no stream beyond its tariff, so there is no plan of all layers"
        return [] if name in ("saving_usd_per_y", "peak_cut_frac") else [one]
    if name == "outage_usd":
        out.append(
            f"of an outage of {claim.outage_h:g} hours where nothing carries the load, by the damage function of the "
            "site file; what that is worth a year hangs on how often it happens"
        )
    return out


def _flow(stack: Stack) -> Any:
    made = stack.extra.get("investment")
    return None if made is None else made.flow


def _pays(stack: Stack) -> str:
    """How the capital comes back, in words."""
    flow = _flow(stack)
    if flow is None:
        return "no payback without [finance] in the site file"
    at_start, first = float(flow.project_usd[0]), float(flow.project_usd[1])
    years = flow.payback_y
    ends = (
        f"does not come back within {flow.finance.analysis_years} years"
        if years is None
        else f"is back after {years:.1f} years"
    )
    return (
        f"${-at_start:,.0f} at the start, ${first:,.0f} back in the first year (tax credits and depreciation in it), "
        f"and every year the bound: the capital {ends}"
    )


# Figures


def _peak_cut(stack: Stack, _: Claim, found: Study) -> float | None:
    return verdicts.billed_peak_cut_frac(found.before, stack.case)


def _bill_parts(stack: Stack) -> dict[str, float]:
    """Settled items of layer 1 in the plan of all layers, USD a year."""
    out: dict[str, list[float]] = {}
    for (layer, _, item), usd in stack.whole.by_item.items():
        if layer == 1:
            out.setdefault(item, []).append(usd)
    return {f"{k} of the bill": fsum(v) / stack.span_y for k, v in out.items() if abs(fsum(v)) >= 0.005}


def _grid_parts(stack: Stack) -> dict[str, float]:
    """What layer 3's share is made of: its own streams, and what it moves elsewhere, USD a year."""
    out: dict[str, list[float]] = {}
    for i in stack.items:
        if i.layer != GRID:
            continue
        if i.own:
            name = i.stream
        elif i.of_layer:
            name = f"moved in layer {i.of_layer}, {LAYERS[i.of_layer]}"
        else:
            name = "wear, fuel and starts"
        out.setdefault(name, []).append(i.share_usd)
    return {k: fsum(v) / stack.span_y for k, v in out.items()}


def _share(stack: Stack, _: Claim, __: Study) -> float | None:
    usd = stack.cent_shares_usd.get(GRID)
    return None if usd is None else usd / stack.span_y


def _resilience_npv(stack: Stack, _: Claim, __: Study) -> float | None:
    made = stack.extra.get("investment")
    rows = () if made is None else made.sets.rows
    return next((r.npv_usd for r in rows if r.name == "layer 2 alone" and r.dispatch_share_frac == 1.0), None)


def _conflict(stack: Stack, _: Claim, __: Study) -> float | None:
    return -stack.synergy_usd / stack.singles_usd if stack.singles_usd > 0 else None


def _outage(stack: Stack, claim: Claim, _: Study) -> float | None:
    found = [r for r in stack.extra.values() if hasattr(r, "outage_usd")]
    return fsum(r.outage_usd(claim.outage_h) for r in found) if found and claim.outage_h else None


def _premium(stack: Stack, _: Claim, __: Study) -> float | None:
    found = [r for r in stack.extra.values() if hasattr(r, "plain_usd")]
    plain = fsum(r.plain_usd for r in found)
    return fsum(r.firm_usd for r in found) / plain - 1.0 if plain > 0 else None


def _payback(stack: Stack, _: Claim, __: Study) -> float | None:
    flow = _flow(stack)
    years = None if flow is None else flow.payback_y
    return None if years is None else float(years)


FIGURES: dict[str, Figure] = {
    "saving_usd_per_y": Figure(
        verdicts.SAVING,
        "USD a year",
        "the site has no tariff",
        lambda s, _, __: s.whole.layer_usd(1) / s.span_y,
        _bill_parts,
    ),
    "peak_cut_frac": Figure(verdicts.PEAK_CUT, "frac", "nothing was drawn", _peak_cut),
    "grid_services_usd_per_y": Figure(
        "grid services a year, net of bill, wear and fuel",
        "USD a year",
        "no stream of layer 3 is allowed by the rules of the day",
        _share,
        _grid_parts,
    ),
    "payback_y": Figure("payback of the capital", "years", "it does not come back", _payback),
    "outage_usd": Figure("cost of one outage", "USD", "the site has no stream of kind outage", _outage),
    "resilience_npv_usd": Figure(
        "NPV of resilience alone", "USD", "the site has no layer 2, or no [finance]", _resilience_npv
    ),
    "conflict_frac": Figure(
        "lost where layers meet, of what they promise alone",
        "frac",
        "alone the layers promise nothing",
        _conflict,
    ),
    "premium_frac": Figure(
        "earned above plain certificates", "frac", "the site sells no firm certificates", _premium
    ),
}
