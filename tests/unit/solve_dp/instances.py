"""Random small problems of one store, and the same as an LP written down by itself for another entry to HiGHS."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import numpy as np

from valuestack.solve.store_dp import StoreProblem

Rng = np.random.Generator


def problem(rng: Rng, n: int, *, stretches: int = 1, plain: bool = False) -> StoreProblem:
    """A random problem that has a plan: every shape the programme takes. plain: one price a window, no shares."""
    energy = float(rng.uniform(20, 400))
    power = float(rng.uniform(5, 120))
    load = rng.uniform(0, 200) + rng.gamma(1.5, 30.0, n)
    kind = rng.integers(0, 4)
    if kind == 1:  # a stuck meter
        load[n // 3 :] = float(rng.uniform(20, 200))
    if kind == 2:  # coarse readings
        load = np.round(load / 20) * 20
    feeds = bool(rng.random() < 0.4)
    if feeds:
        load -= rng.uniform(0, 250) * (rng.random(n) < 0.4)
    buy = rng.choice([0.0, 0.05, 0.1, 0.3], n) if rng.random() < 0.5 else rng.uniform(0, 0.4, n)
    low = np.full(n + 1, 0.1 * energy)
    if rng.random() < 0.3:  # a reserve that comes and goes
        low[n // 2 : n // 2 + 5] = 0.3 * energy
    half = np.where(np.arange(n) < n // 2, 0, 1)
    rows = [half if stretches > 1 else np.zeros(n, dtype=np.int64)]
    if rng.random() < 0.7:
        at = 1 + int(rows[0].max())
        rows.append(np.where(np.arange(n) % 24 > 15, at, -1))
    if rng.random() < 0.3:
        at = 1 + max(int(r.max()) for r in rows)
        rows.append(np.where(rng.random(n) < 0.2, at, -1))
    w = 1 + max(int(r.max()) for r in rows)
    tiers, least, share, of = [], np.zeros(w), np.zeros(w), [()] * w
    for i in range(w):
        first = float(rng.uniform(0, 25))
        more = not plain and rng.random() < 0.3
        tiers.append(((100.0, first), (inf, 1.5 * first)) if more else ((inf, first),))
        least[i] = float(rng.uniform(0, 200)) if rng.random() < 0.3 else 0.0
        if not plain and i and rng.random() < 0.4:
            share[i], of[i] = float(rng.uniform(0.3, 1)), tuple(range(i))
    return StoreProblem(
        h=float(rng.choice([0.25, 0.5, 1.0])),
        load=load,
        buy=buy,
        sell=np.minimum(buy, float(rng.uniform(0, 0.1))) if feeds else 0.0 * buy,
        charge=np.full(n, power),
        discharge=power * (1 - 0.5 * (rng.random(n) < 0.1)),
        ec=float(rng.uniform(0.75, 1)),
        ed=float(rng.uniform(0.75, 1)),
        wear=float(rng.choice([0.0, 0.02])),
        low=low,
        high=np.full(n + 1, energy),
        start=float(rng.uniform(0.4, 1)) * energy,
        end_min=float(rng.choice([-inf, 0.4 * energy])),
        end_value=float(rng.choice([0.0, 0.1])),
        drain=np.full(n, float(rng.choice([0.0, 0.001 * energy]))),
        most_import=np.full(n, inf if rng.random() < 0.7 else float(load.max()) + 10.0),
        most_export=np.full(n, inf if feeds else 0.0),
        window=np.array(rows, dtype=np.int64),
        tiers=tiers,
        least=least,
        share=share,
        of=of,
        stretch=half if stretches > 1 else np.zeros(n, dtype=np.int64),
        so_far=np.where(rng.random(w) < 0.3, 80.0, 0.0),
    )


def by_lp(p: StoreProblem, caps: np.ndarray[Any, Any] | None = None, big: float = 0.0) -> float:
    """Least cost by a general solver, import and export told apart by their prices.

    caps: fixed peaks instead of priced ones; what lies above the lowest of an interval costs `big` a kWh.
    """
    from scipy.optimize import linprog
    from scipy.sparse import coo_array, eye_array, hstack, vstack

    n, w = p.load.size, p.windows
    one, none = eye_array(n, format="csr"), coo_array((n, n))
    # columns: charge, discharge, energy at ends, import, export, over | peaks, billed tiers
    tier = [(i, k) for i, t in enumerate(p.tiers) for k in range(len(t))]
    more = 0 if caps is not None else w + len(tier)
    wide = 6 * n + more
    step = eye_array(n, format="csr") - eye_array(n, k=-1, format="csr")
    balance = hstack([-p.ec * p.h * one, p.h / p.ed * one, step, none, none, none])
    right = -p.drain.astype(float)
    right[0] += p.start
    meter = hstack([one, -one, none, -one, one, none])
    equal = hstack([vstack([balance, meter]), coo_array((2 * n, more))]).tocsr()
    rows, limits = [], []

    def row(entries: dict[int, float], upper: float) -> None:
        rows.append((np.array(list(entries)), np.array(list(entries.values()))))
        limits.append(upper)

    if caps is not None:
        for f in p.window:
            for t in np.flatnonzero(f >= 0):
                row({3 * n + t: 1.0, 5 * n + t: -1.0}, float(caps[f[t]]))
    else:
        for f in p.window:
            for t in np.flatnonzero(f >= 0):
                row({3 * n + t: 1.0, 6 * n + int(f[t]): -1.0}, 0.0)
        for i in range(w):
            mine = {6 * n + w + j: -1.0 for j, (window, _) in enumerate(tier) if window == i}
            row({**mine, 6 * n + i: 1.0}, 0.0)
            row(mine, -float(p.least[i]))
            for j in p.of[i]:
                row({**mine, 6 * n + j: float(p.share[i])}, 0.0)
    prices = [p.tiers[i][k][1] for i, k in tier] if caps is None else []
    width = [p.tiers[i][k][0] - (p.tiers[i][k - 1][0] if k else 0.0) for i, k in tier] if caps is None else []
    worth = np.zeros(n)
    worth[-1] = -p.end_value
    cost = np.concatenate(
        (np.zeros(n), np.full(n, p.wear * p.h), worth, p.buy * p.h, -p.sell * p.h, np.full(n, big * p.h))
    )
    low = p.low[1:].copy()
    low[-1] = max(low[-1], p.end_min)
    lower = np.concatenate((np.zeros(2 * n), low, np.zeros(3 * n)))
    upper = np.concatenate((p.charge, p.discharge, p.high[1:], p.most_import, p.most_export, np.full(n, inf)))
    if caps is None:
        cost = np.concatenate((cost, np.zeros(w), prices))
        lower = np.concatenate((lower, p.held, np.zeros(len(tier))))
        upper = np.concatenate((upper, np.full(w, inf), width))
    height = len(rows)
    at = np.repeat(np.arange(height), [i.size for i, _ in rows])
    matrix = coo_array(
        (np.concatenate([v for _, v in rows]), (at, np.concatenate([i for i, _ in rows]))),
        shape=(height, wide),
    )
    rhs = np.concatenate((right, -p.load))
    answer = linprog(
        cost, matrix.tocsr(), limits, equal, rhs, np.column_stack((lower, upper)), method="highs-ds"
    )
    assert answer.status == 0, answer.message
    return float(answer.fun)


def shorter(p: StoreProblem, first: int, end: int, start: float, final: float) -> StoreProblem:
    """One stretch of a problem by itself, between two energies."""
    s, e = slice(first, end), slice(first, end + 1)
    low, high = p.low[e].copy(), p.high[e].copy()
    low[-1] = high[-1] = final
    return replace(
        p,
        **{
            k: getattr(p, k)[s]
            for k in ("load", "buy", "sell", "charge", "discharge", "drain", "most_import")
        },
        most_export=p.most_export[s],
        low=low,
        high=high,
        start=start,
        end_min=-inf,
        end_value=0.0,
        window=p.window[:, s],
        stretch=np.zeros(end - first, dtype=np.int64),
    )
