"""Why a site's plan does what it does in one interval: some days around it, all layers, perfect foresight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ...dispatch import Foresight, View
from ...errors import InputError
from ...site.site import Site
from . import layers
from .meters import Step, quiet, ready


def explained(
    site: Site,
    when: str,
    *,
    asset: str | None = None,
    also_kw: Sequence[float] = (),
    days: int = 7,
    progress: Step = quiet,
) -> dict[str, Any]:
    """An Explanation by meter of the interval that holds `when` (local to the site).

    days: length of the plan, the interval in its middle; the plan knows these days and no others, and begins with
    the stores as they start the study. asset: whose other setpoints are tried; also_kw: setpoints to price besides.
    Errors: InputError for a time outside the data or an unknown asset.
    """
    from ...stack.explain import Explainer

    out: dict[str, Any] = {}
    for meter in site.meters:
        m = ready(site, meter, progress=progress)
        t = m.timeline
        k = t.index(when)
        n = min(t.n, round(days * 24 / t.step_h))
        first = min(max(0, k - n // 2), t.n - n)
        everything = (*m.existing, *m.new)
        if not everything:
            raise InputError(f"{m.name}: has no asset, so there is no plan to explain; add [[assets]]")
        place = layers.placed(site, m, layers.day_of_rules(site, [m]), lenient=site.written.then is not None)
        whole = m.view(everything, place.streams)
        view = View(t, first, n, Foresight(m.world), whole.asset_state, whole.stream_state)
        span = replace(whole, k=first, n=n)
        offers = [a.belief(span) for a in everything]
        terms = [*m.stream.terms(view), *(x for s in place.streams for x in s.terms(view))]
        progress(f"solving {days} days of {m.name}", None)
        made = Explainer(
            view.horizon,
            m.load_kw[first : first + n],
            offers,
            terms,
            load_kvar=None if m.load_kvar is None else m.load_kvar[first : first + n],
            import_limit_kw=m.meter.import_limit_kw,
            export_limit_kw=m.meter.export_limit_kw,
        )
        out[m.name] = made.at(k - first, asset, also_kw=also_kw)
    return out
