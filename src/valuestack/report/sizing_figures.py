"""The picture of a sizing: what more capital brings, as a line, with every option as a point."""

from __future__ import annotations

from .figures import AFTER, BAD, MUTED, _figure, _usd
from .sized import Sizing


def frontier(found: Sizing) -> str:
    """NPV over capital: best sizes at given spends joined, options and the best marked."""
    line = sorted((o.capex_usd, o.npv_usd) for o in found.frontier if o.capex_usd and o.npv_usd is not None)
    options = [o for o in (*found.alone, *found.vendors) if o.capex_usd and o.npv_usd is not None]
    with _figure(9.0, 3.8) as (figure, out):
        ax = figure.subplots()
        if line:
            ax.plot(
                *zip(*line, strict=True),
                color=AFTER,
                lw=2,
                marker="o",
                ms=4,
                label="best battery at each spend",
            )
        for o in options:
            ax.plot(o.capex_usd, o.npv_usd, "s", color=MUTED, ms=5)
            ax.annotate(
                o.name, (o.capex_usd, o.npv_usd), xytext=(5, 4), textcoords="offset points", fontsize=8.5
            )
        best = found.best
        if best is not None and best.capex_usd:
            ax.plot(best.capex_usd, best.npv_usd, "o", color=BAD, ms=9, mfc="none", mew=2, label="most NPV")
        ax.axhline(0.0, color=MUTED, lw=0.8)
        ax.set(xlabel="capital, USD", ylabel="NPV, USD (bound)")
        _usd(ax)
        _usd(ax, "x")
        if line or best is not None:
            ax.legend(loc="best")
    return out[0]
