"""What each method stands to lose by: missed calls, errors of its forecast, wear, leaving its contracts."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....finance.risk import exceeded
from ....site.site import Site
from .concentration import pairs, served
from .sample import Sample


def risk_row(name: str, kind: str, s: Sample, site: Site) -> dict[str, Any]:
    """What each method stands to lose by: missed calls, errors of its forecast, wear, and leaving its contracts."""
    called = served(s, [p for p in pairs(s) if s.figure_per_y(*p, "missed") is not None])
    wear = np.maximum(-s["wear_usd"] / s["span_y"], 0.0)
    row: dict[str, Any] = {
        "policy": name,
        "missed calls_per_y": called["missed_per_y"],
        "of calls_per_y": called["calls_per_y"],
        **_forecast_error(s),
        "wear_usd_per_y": float(wear.mean()),
        "wear P10_usd_per_y": exceeded(wear, 0.1),
        "full cycles_per_y": round(float((s["full_cycles"] / s["span_y"]).mean()), 1),
        "changes a day": round(float(s["changes_per_day"].mean()), 1),
    }
    return {**row, **_leaving(kind, site)}


def _forecast_error(s: Sample) -> dict[str, Any]:
    """Share of the perfect-foresight saving on the tariff that is lost, in the futures that were solved with it."""
    bound = s.columns.get("bound_usd")
    if bound is None or np.isnan(bound).all():
        return {"foresight lost_frac": None}
    at = np.isfinite(bound)
    net = (s["layer 1_usd"] + s["operation_usd"])[at]
    whole = float(bound[at].sum())
    return {
        "foresight lost_frac": 1 - float(net.sum()) / whole if whole > 0.005 else None,
        "foresight in futures": int(at.sum()),
    }


def _leaving(kind: str, site: Site) -> dict[str, Any]:
    """What it costs in the first year to leave the contracts that a policy serves."""
    from ....site.files import policy_class

    if not getattr(policy_class(kind), "answers", False):
        return {"cost to leave": "none"}
    contracts = site.written.contracts
    if not contracts:
        return {"cost to leave": "not known: no contract is given"}
    known = {
        c.name: None if c.term is None or not c.term.exit_usd else c.term.exit_cost_usd(1) for c in contracts
    }
    if unknown := [k for k, v in known.items() if v is None]:
        return {"cost to leave": f"not stated by {', '.join(unknown)}"}
    return {"cost to leave": f"${sum(v for v in known.values() if v is not None):,.0f} in year 1"}
