"""What is left where streams of layers 3 and 4 pay nothing any more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ....finance.risk import exceeded
from ....timeline import Kw
from .concentration import pairs
from .sample import Key, Sample
from .worth import Weights


def stress_rows(name: str, s: Sample, money: Mapping[Key, Kw], worth: Weights | None) -> list[dict[str, Any]]:
    """Each stream of layers 3 and 4 brings nothing any more, its costs stay, and dispatch goes on as it was; then all
    of them at once. Exact where the policy does not look at the price; one that does would lose no more than this."""
    earning = {k[:2] for k, v in money.items() if float(v.max(initial=0.0)) > 0.005}
    upper = [p for p in pairs(s) if p[0] >= 3 and p in earning]
    cases = {f"{stream} pays nothing": {(layer, stream)} for layer, stream in upper}
    if len(upper) > 1:
        cases["layers 3 and 4 pay nothing"] = set(upper)
    out = []
    for title, gone in cases.items():
        left = {k: np.minimum(v, 0.0) if k[:2] in gone else v for k, v in money.items()}
        lost = np.sum([v - left[k] for k, v in money.items()], axis=0)
        net = s.net_usd_per_y - lost
        row = {
            "policy": name,
            "stress": title,
            "lost_usd_per_y": float(lost.mean()),
            "net left_usd_per_y": float(net.mean()),
            "P90 left_usd_per_y": exceeded(net, 0.9),
            "layers hit": ", ".join(str(k) for k in sorted({g[0] for g in gone})),
        }
        if worth is not None:
            npv = worth.repeated(left)
            row |= {"NPV left_usd": float(npv.mean()), "NPV below zero_frac": float((npv < 0).mean())}
        out.append(row)
    return out
