"""Where the money comes from: layers, streams, how much hangs on one, and what layers 1 and 2 carry alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum
from typing import Any

import numpy as np

from ....finance.finance import Value
from ....finance.risk import Base, base_layers, contractual_share, exceeded, herfindahl
from ....ledger import LAYERS
from ....timeline import Kw
from ..simulate import is_stream, split
from .sample import RUNNING, Key, Sample
from .worth import Weights


def _certainty(parts: Mapping[str, float]) -> str:
    """'contractual', or 'market 80 %, modelled 20 %' by size of the money of each class."""
    total = sum(abs(v) for v in parts.values())
    if total <= 0.005:
        return ", ".join(parts)
    ranked = sorted(((abs(v) / total, k) for k, v in parts.items()), reverse=True)
    if ranked[0][0] > 0.995:
        return ranked[0][1]
    return ", ".join(f"{k} {share:.0%}" for share, k in ranked if share >= 0.005)


def _spread3(usd: Kw) -> dict[str, float]:
    return {f"{n}_usd_per_y": exceeded(usd, q) for n, q in (("P10", 0.1), ("P50", 0.5), ("P90", 0.9))}


def served(s: Sample, pairs: Sequence[tuple[int, str]]) -> dict[str, float | None]:
    """Mean calls, missed calls, hours of service, throughput and staff hours a year; None where no stream says."""
    out: dict[str, float | None] = {}
    for name, title in (
        ("calls", "calls_per_y"),
        ("missed", "missed_per_y"),
        ("service_h", "hours_per_y"),
        ("throughput_kwh", "throughput_kwh_per_y"),
        ("staff_h", "staff hours_per_y"),
    ):
        found = [v for layer, stream in pairs if (v := s.figure_per_y(layer, stream, name)) is not None]
        out[title] = round(float(np.sum(found, axis=0).mean()), 2) if found else None
    return out


def pairs(s: Sample, layer: int | None = None) -> list[tuple[int, str]]:
    """Layers and names of the streams that rows hold, of one layer or of all."""
    found = {split(k)[:2] for k in s.columns if is_stream(k)}
    return sorted(p for p in found if layer is None or p[0] == layer)


def layer_rows(name: str, s: Sample, money: Mapping[Key, Kw]) -> list[dict[str, Any]]:
    """One row a layer; the last one is the cost of operation, wear with it."""
    out = []
    for layer in sorted({p[0] for p in pairs(s)}):
        mine = {k: v for k, v in money.items() if k[0] == layer}
        total = np.sum(list(mine.values()), axis=0) if mine else np.zeros(s["span_y"].size)
        parts: dict[str, float] = {}
        for (_, _, certainty), v in mine.items():
            parts[certainty] = parts.get(certainty, 0.0) + float(np.abs(v).mean())
        out.append(
            {
                "policy": name,
                "layer": f"{layer} {LAYERS[layer]}",
                "mean_usd_per_y": float(total.mean()),
                **_spread3(total),
                "certainty": _certainty(parts),
                **served(s, pairs(s, layer)),
            }
        )
    operation = s["operation_usd"] / s["span_y"]
    out.append(
        {
            "policy": name,
            "layer": f"0 {LAYERS[0]}",
            "mean_usd_per_y": float(operation.mean()),
            **_spread3(operation),
            "certainty": "modelled wear, metered fuel"
            if (0, RUNNING, "metered") in money
            else "modelled wear",
        }
    )
    return out


def stream_rows(name: str, s: Sample, money: Mapping[Key, Kw]) -> list[dict[str, Any]]:
    """One row a stream."""
    out = []
    for layer, stream in pairs(s):
        mine = {k[2]: v for k, v in money.items() if k[:2] == (layer, stream)}
        total = np.sum(list(mine.values()), axis=0) if mine else np.zeros(s["span_y"].size)
        out.append(
            {
                "policy": name,
                "layer": layer,
                "stream": stream,
                "mean_usd_per_y": float(total.mean()),
                **_spread3(total),
                "certainty": _certainty({k: float(np.abs(v).mean()) for k, v in mine.items()}),
                **served(s, [(layer, stream)]),
            }
        )
    return out


def concentration_row(name: str, money: Mapping[Key, Kw]) -> dict[str, Any]:
    """Herfindahl index of mean values by stream, the contractual share, and the largest."""
    values = [Value(k[1], k[0], float(v.mean()), k[2]) for k, v in money.items()]
    sums: dict[str, float] = {}
    for v in values:
        sums[v.stream] = sums.get(v.stream, 0.0) + v.usd_per_y
    gains = {k: v for k, v in sums.items() if v > 0}
    top = max(gains, key=lambda k: gains[k], default="nothing")
    return {
        "policy": name,
        "Herfindahl index": round(herfindahl(values), 3),
        "contractual_frac": contractual_share(values),
        "largest stream": top,
        "its share_frac": gains[top] / fsum(gains.values()) if gains else 0.0,
    }


def base_of(worth: Weights, s: Sample, money: Mapping[Key, Kw]) -> Base:
    """Whether layers 1 and 2 alone carry the investment, by their mean NPV."""
    mean = [Value(k[1], k[0], float(v.mean()), k[2]) for k, v in money.items()]
    return base_layers(float(worth.repeated(s.base_usd_per_y()).mean()), mean)
