"""Rows of a simulation as arrays: the futures of one policy, their spread, and how far it has converged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np

from ....finance.risk import cvar_usd, exceeded, standard_error
from ....timeline import Kw
from ..simulate import BASE, Row, is_stream, split

TAIL_FRAC = 0.05
DRAWS = 400  # of the bootstrap
WITHIN_FRAC = 0.01  # of the mean: an error below it counts as converged
RUNNING = "fuel, starts and upkeep"
Key = tuple[int, str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """The futures of one policy, in order of their numbers: figures by column, (futures,) each; what a row does not
    hold is zero for money and NaN for the rest."""

    policy: str
    columns: Mapping[str, Kw]

    def __getitem__(self, key: str) -> Kw:
        return self.columns[key]

    @property
    def net_usd_per_y(self) -> Kw:
        """Settled value of all layers less wear, fuel and starts, a year."""
        return np.asarray(self["total_usd"] / self["span_y"])

    @property
    def drivers(self) -> dict[str, Kw]:
        """What was drawn, by name."""
        return {k.removeprefix("driver: "): v for k, v in self.columns.items() if k.startswith("driver: ")}

    def money_usd_per_y(self, under: str = "") -> dict[Key, Kw]:
        """Settled money a year by (layer, stream, certainty), wear aside; what runs the assets as layer 0. under: of
        the columns that begin so."""
        out: dict[Key, Kw] = {}
        for column, values in self.columns.items():
            key = column.removeprefix(under)
            if column.startswith(under) and is_stream(key):
                layer, stream, figure = split(key)
                if figure.endswith("_usd"):
                    out[(layer, stream, figure.removesuffix("_usd"))] = values / self["span_y"]
        running = (self[f"{under}operation_usd"] - self[f"{under}wear_usd"]) / self["span_y"]
        if np.abs(running).max(initial=0.0) > 0.005:
            out[(0, RUNNING, "metered")] = running
        return dict(sorted(out.items()))

    def base_usd_per_y(self) -> dict[Key, Kw]:
        """Money of layers 1 and 2, and of running the assets: as run without the other layers where the policy answers
        calls, else cut out of the whole, which is the same for a policy that does not see them."""
        if f"{BASE}operation_usd" in self.columns:
            return self.money_usd_per_y(BASE)
        return {k: v for k, v in self.money_usd_per_y().items() if k[0] <= 2}

    def figure_per_y(self, layer: int, stream: str, name: str) -> Kw | None:
        """A figure of a stream a year, (futures,); None where it says nothing of the kind."""
        values = self.columns.get(f"{layer} | {stream} | {name}")
        return None if values is None or np.isnan(values).all() else np.nan_to_num(values) / self["span_y"]


def samples(rows: Sequence[Row]) -> dict[str, Sample]:
    """Rows by policy, those futures that every policy has."""
    kinds = list(dict.fromkeys(r["policy"] for r in rows))
    numbers = (
        set.intersection(*({r["future"] for r in rows if r["policy"] == k} for k in kinds))
        if kinds
        else set()
    )
    out = {}
    for kind in kinds:
        mine = sorted(
            (r for r in rows if r["policy"] == kind and r["future"] in numbers),
            key=lambda r: int(r["future"]),
        )
        keys = list(dict.fromkeys(k for r in mine for k in r if k != "policy"))
        columns = {
            k: np.array(
                [r.get(k, 0.0 if k.endswith("_usd") or k.startswith("driver: ") else np.nan) for r in mine],
                float,
            )
            for k in keys
        }
        out[kind] = Sample(kind, columns)
    return out


def spread_row(usd: Kw, seed: int) -> dict[str, float]:
    """Mean, P10, P50, P90 and CVaR of outcomes, each with its Monte Carlo error."""
    rng = np.random.default_rng(seed)
    again = np.sort(usd[rng.integers(0, usd.size, (DRAWS, usd.size))], axis=1)
    tail = max(1, round(TAIL_FRAC * usd.size))

    def error(of: Kw) -> float:
        return float(of.std(ddof=1)) if usd.size > 1 else inf

    out: dict[str, float] = {"mean": float(usd.mean()), "mean ±": standard_error(usd)}
    for name, share in (("P10", 0.1), ("P50", 0.5), ("P90", 0.9)):
        out[name] = exceeded(usd, share)
        out[f"{name} ±"] = error(np.quantile(again, 1 - share, axis=1))
    out["CVaR 5 %"] = cvar_usd(usd, TAIL_FRAC)
    out["CVaR 5 % ±"] = error(again[:, :tail].mean(axis=1))
    out["below zero_frac"] = float((usd < 0).mean())
    return out


def convergence(usd: Kw) -> list[dict[str, Any]]:
    """Mean and its error over the first 10, 20, 50, ... futures, and how many an error of 1 % would take."""
    steps = [k * 10**p for p in range(1, 7) for k in (1, 2, 5) if k * 10**p < usd.size]
    out = []
    for n in (*steps, usd.size):
        mean, error = float(usd[:n].mean()), standard_error(usd[:n])
        off = error / abs(mean) if abs(mean) > 0.005 else None
        need = None if off is None or not np.isfinite(off) else int(np.ceil(n * (off / WITHIN_FRAC) ** 2))
        out.append(
            {
                "futures": int(n),
                "mean_usd_per_y": mean,
                "error_usd": error,
                "error_frac": off,
                f"needed for {WITHIN_FRAC:.0%}": need,
            }
        )
    return out
