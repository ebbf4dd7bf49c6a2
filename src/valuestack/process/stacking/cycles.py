"""Cycles a year of each store of a stacked plan: what one more earns, and what it wears.

Engines run as the plan runs them, so that what is left moves with the wear price alone and is soon solved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ...errors import ValuestackError
from ...flows import Offer, Store, Unit
from ...terms import Term
from .budget import LEAST_S, Budget
from .cases import Run, held_at, offers_of
from .meters import Step

if TYPE_CHECKING:
    from ...stack.cycling import Cycling
    from .layers import Placed

GAP = 1e-5  # relative: marginals are differences of near sums


def of_stores(
    at: Sequence[Placed], runs: Sequence[Run], budget: Budget, progress: Step
) -> dict[str, Cycling]:
    """By name of each store with a flat wear price that the plan cycles. Where the time of the study has run out, or a
    plan cannot be made, the store is left out."""
    from ...stack.cycling import MULTIPLES, cycling

    out: dict[str, Cycling] = {}
    for p, run in zip(at, runs, strict=True):
        for name, wear in run.wear.items():
            offers, terms, notes = asked(p, run)
            store = next((o for o in offers if o.name == name), None)
            if not isinstance(store, Store) or store.wear_segments or wear.price_usd_per_kwh <= 0:
                continue
            if wear.throughput_kwh <= 0 or budget.left_s < len(MULTIPLES) * LEAST_S:
                continue
            progress(f"cycles a year of {name}", None)
            m = p.ready
            try:
                out[name] = cycling(
                    m.timeline,
                    m.load_kw,
                    offers,
                    terms,
                    name,
                    notes=notes,
                    load_kvar=m.load_kvar,
                    import_limit_kw=m.meter.import_limit_kw,
                    export_limit_kw=m.meter.export_limit_kw,
                    gap=GAP,
                    time_limit_s=budget.left_s / len(MULTIPLES),
                )
            except ValuestackError as e:
                progress(f"no curve of the cycles of {name}: {e}", None)
    return out


def asked(p: Placed, run: Run) -> tuple[list[Offer], list[Term], tuple[str, ...]]:
    """Offers at the plan's wear prices with engines as they run in it, and what is then still asked of the others."""
    m = p.ready
    everything = (*m.existing, *m.new)
    view = m.view(everything, p.streams)
    terms: list[Term] = [*m.stream.terms(view), *(t for s in p.streams for t in s.terms(view))]
    offers: list[Offer] = [
        replace(o, wear_usd_per_kwh=run.wear[o.name].price_usd_per_kwh)
        if isinstance(o, Store) and o.name in run.wear
        else o
        for o in offers_of(m)
    ]
    engines = [o.name for o in offers if isinstance(o, Unit)]
    if not engines:
        return offers, terms, ()
    as_run = {name: np.asarray(run.record.asset_kw[name], dtype=float) for name in engines}
    held, left = held_at(offers, terms, as_run)
    return held, left, (f"{', '.join(engines)} as in the plan of all layers",)
