"""The least cost of a year of one store under demand charges: slope-trick dynamic programme and a bundle of cuts.

With every window's cap M fixed, the dynamic programme in `store_dp_kernel` finds the best walk of the store
through the whole span. Its marginal values of energy y give one cut for each stretch of about a month,

    cost_m(M', s, s') >= sum_t [min_x f_t(x, M) - y_t (x - drain)] + sum_t min_e (y_(t-1) - y_t) e
                         + g . (M' - M) - y_first s + y_last s',

by Lagrangian duality, so that a cut is valid whatever y is and the bound does not rest on the walk being
optimal. The master LP over caps, boundary energies s and the stretches' costs bounds the whole from below, each
walk, billed at the peaks that it really reaches, from above:

    min  sum_w price_w(B_w) + sum_m cost_m - v s_end,    B_w >= M_w, least_w, share_w M_k

The hourly means are solved first where that is a relaxation: their cuts hold too and cost a quarter.
Caps are tried between the best walk's peaks and the master's (in-out), since plain cutting planes stall. Power
above a cap costs `big` a kWh of import, more than any cap is worth, so that every trial has a walk; per kWh
stored it would not be convex. Where neither bound moves, the master's own caps are tried, which always cut.
The certificate is upper - lower bound; tests hold it to a general solver all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import inf
from typing import Any

import numpy as np

from ..errors import InfeasibleError, SolverError

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

INWARD = 0.1
COARSE = 0.002  # of the saving: so near is the hourly problem solved first
ROUNDS = 300
CLOSE = 1e-7
FEW = 8


@dataclass(frozen=True, slots=True, eq=False)
class StoreProblem:
    """One store behind one meter, arrays only; n intervals of h hours.

    load (n,): net power without the store. buy, sell (n,): price of what is drawn and fed, sell <= buy.
    charge, discharge (n,) at the meter; ec, ed one-way efficiencies; wear per unit discharged. low, high
    (n + 1,) energy bounds; start; end_min; end_value per unit left. drain (n,): energy lost each interval.
    most_import, most_export (n,). window (f, n): window of each interval in each family, -1 none, numbered
    through. tiers: per window ((upto, price), ...) ascending in both. least, share, of: floors of what is
    billed: at least `least`, and `share` x the peak of each window in `of`. so_far (w,): peaks already
    measured. stretch: (n,) number of the stretch of each interval, ascending from 0: one cut a walk for each.
    """

    h: float
    load: Floats
    buy: Floats
    sell: Floats
    charge: Floats
    discharge: Floats
    ec: float
    ed: float
    wear: float
    low: Floats
    high: Floats
    start: float
    end_min: float
    end_value: float
    drain: Floats
    most_import: Floats
    most_export: Floats
    window: Ints
    tiers: Sequence[tuple[tuple[float, float], ...]]
    least: Floats
    share: Floats
    of: Sequence[tuple[int, ...]]
    stretch: Ints
    so_far: Floats | None = None

    @property
    def windows(self) -> int:
        """Number of windows."""
        return len(self.tiers)

    @property
    def held(self) -> Floats:
        """Peaks that stand before anything is decided, (w,)."""
        return np.zeros(self.windows) if self.so_far is None else np.maximum(self.so_far, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class StoreSolution:
    """power (n,) at the meter, stored (n,) at interval ends; upper, lower: bounds on the least cost; rounds."""

    power: Floats
    stored: Floats
    upper: float
    lower: float
    rounds: int
    gaps: tuple[float, ...] = field(default=())


def solve(problem: StoreProblem, *, gap: float = CLOSE) -> StoreSolution:
    """Least cost to within `gap` of what the store saves (at least 1e-9 of the cost).

    Errors: InfeasibleError where the energy bounds cannot be kept; SolverError where prices make the cost
    non-convex or the cuts do not close.
    """
    return _Bundle(problem, gap).run()


def plan(problem: StoreProblem, *, gap: float = 1e-6) -> StoreSolution:
    """Least cost of a short horizon from any state, to within `gap` in the unit of cost; windows begin with
    what is billed anyway (`least`, `so_far`).

    For a few windows with one price each and no share of others: a few walks of microseconds, without HiGHS.
    Others, and those that such plain cuts do not close, go to `solve`, whose gap is `CLOSE` of the saving.
    """
    p = problem
    if p.share.any() or p.windows > FEW or any(len(t) > 1 for t in p.tiers):
        return solve(p, gap=CLOSE)
    from .store_dp_kernel import horizon, scratch_of

    _check(p)
    price = np.array([t[0][1] for t in p.tiers])
    held = np.maximum(p.held, p.least)
    n = p.load.size
    power, stored, best = np.empty(n), np.empty(n), np.empty(n)
    walk = _walk(p, _big(p))
    wrong, upper, lower, rounds = horizon(
        walk, p.window, held, price, gap, scratch_of(n), power, stored, best
    )
    if wrong >= 0:
        raise _no_walk(wrong, n)
    if upper - lower > gap:
        return solve(p, gap=CLOSE)
    base = float(price @ held)
    return StoreSolution(best, stored_of(p, best), upper + base, lower + base, rounds)


def billed_usd(problem: StoreProblem, peaks: Floats) -> float:
    """Demand charges at given peaks (w,)."""
    usd = 0.0
    for w, tiers in enumerate(problem.tiers):
        billed = max(
            peaks[w], problem.least[w], problem.share[w] * max((peaks[k] for k in problem.of[w]), default=0.0)
        )
        low = 0.0
        for upto, price in tiers:
            if billed <= low:
                break
            usd += price * (min(billed, upto) - low)
            low = upto
    return float(usd)


def energy_usd(problem: StoreProblem, power: Floats) -> float:
    """Energy, export and wear of a dispatch (n,)."""
    net = problem.load + power
    return float(
        problem.h
        * (
            problem.buy * np.maximum(net, 0)
            - problem.sell * np.maximum(-net, 0)
            + problem.wear * np.maximum(-power, 0)
        ).sum()
    )


def peaks_of(problem: StoreProblem, net: Floats) -> Floats:
    """Highest net power of each window, at least what was measured before and 0, (w,)."""
    out = problem.held
    for row in problem.window:
        inside = row >= 0
        np.maximum.at(out, row[inside], net[inside])
    return out


def stored_of(problem: StoreProblem, power: Floats) -> Floats:
    """Energy at the end of each interval under a power (n,)."""
    gain = np.maximum(power, 0.0) * problem.ec + np.minimum(power, 0.0) / problem.ed
    return problem.start + np.cumsum(gain * problem.h - problem.drain)


def _check(p: StoreProblem) -> None:
    """Costs that are not convex in the change of stored energy would make every bound wrong."""
    may_feed = p.most_export > 0
    if (p.sell > p.buy + 1e-12)[may_feed].any():
        raise SolverError("what is fed earns more than what is drawn costs; the programme needs sell <= buy")
    for price, where in ((p.buy, ...), (p.sell, may_feed)):
        if ((price - p.wear) * p.ed > price / p.ec + 1e-12)[where].any():
            raise SolverError("burning energy pays: the programme needs (price - wear) ed <= price / ec")
    for tiers in p.tiers:
        if tiers[0][1] < 0 or any(b[1] < a[1] or b[0] < a[0] for a, b in pairwise(tiers)):
            raise SolverError("tiers of a window must ascend in bound and price, from 0")


def _no_walk(t: int, n: int) -> InfeasibleError:
    where = f"from interval {t} on" if t < n else "at the end"
    return InfeasibleError(
        f"the store cannot keep its energy bounds within its power and the interconnection {where}; "
        "widen its limits",
        owners=("store",),
    )


def _big(p: StoreProblem) -> float:
    """More than a kWh of import above all caps of an interval can be worth [cost per kWh]."""
    worth = np.array([tiers[-1][1] for tiers in p.tiers])
    own = worth.copy()
    for w, of in enumerate(p.of):
        for k in of:
            worth[k] += p.share[w] * own[w]
    most = 0.0
    if p.windows:
        most = float(sum(np.where(row >= 0, worth[row], 0.0) for row in p.window).max())  # type: ignore[union-attr]
    return 1.25 * most / p.h + 2.0 * float(np.abs(p.buy).max(initial=0.0)) / p.ec + p.wear + 1.0


def _walk(p: StoreProblem, big: float) -> Any:
    from .store_dp_kernel import Walk

    return Walk(
        h=float(p.h),
        load=_dense(p.load),
        buy=_dense(p.buy),
        sell=_dense(p.sell),
        charge=_dense(p.charge),
        discharge=_dense(p.discharge),
        ec=float(p.ec),
        ed=float(p.ed),
        wear=float(p.wear),
        big=big,
        most_import=_dense(p.most_import),
        most_export=_dense(p.most_export),
        low=_dense(p.low),
        high=_dense(p.high),
        drain=_dense(p.drain),
        start=float(p.start),
        end_low=max(float(p.low[-1]), float(p.end_min)),
        end_high=float(p.high[-1]),
        end_value=float(p.end_value),
        energy_eps=1e-9 * max(1.0, float(p.high.max())),
    )


def _dense(values: Floats) -> Floats:
    return np.ascontiguousarray(values, dtype=np.float64)


class _Walks:
    """Walks through a problem and the cuts that they give."""

    def __init__(self, p: StoreProblem, big: float) -> None:
        from .store_dp_kernel import scratch_of

        n, w = p.load.size, p.windows
        self.p = p
        self.edges = np.concatenate(([0], np.flatnonzero(np.diff(p.stretch)) + 1, [n])).astype(np.int64)
        self.k = self.edges.size - 1
        self.window = np.ascontiguousarray(p.window, dtype=np.int64).reshape(-1, n)
        self.walk, self.scratch = _walk(p, big), scratch_of(n)
        self.power, self.stored = np.zeros(n), np.zeros(n)
        self.constant, self.by_start, self.by_end = np.zeros(self.k), np.zeros(self.k), np.zeros(self.k)
        self.by_cap = np.zeros((self.k, w))

    def best(self, caps: Floats) -> tuple[float, Floats]:
        """True cost of the best walk under caps, with its own peaks (w,)."""
        from .store_dp_kernel import evaluate

        peaks = self.p.held
        wrong, usd = evaluate(
            self.walk,
            self.window,
            caps,
            self.edges,
            self.scratch,
            self.power,
            self.stored,
            self.constant,
            self.by_start,
            self.by_end,
            self.by_cap,
            peaks,
        )
        if wrong >= 0:
            raise _no_walk(wrong, self.p.load.size)
        return float(usd) + billed_usd(self.p, peaks), peaks

    def cut(self, master: Any) -> None:
        """cost_m - g.M - by_start s_m - by_end s_(m+1) >= constant, for every stretch."""
        w, k = self.p.windows, self.k
        for m in range(k):
            used = np.flatnonzero(self.by_cap[m])
            index = np.concatenate(([w + k + 1 + m], used, [w + m, w + m + 1]))
            value = np.concatenate(([1.0], -self.by_cap[m, used], [-self.by_start[m], -self.by_end[m]]))
            master.add(float(self.constant[m]), index, value)


def _coarser(p: StoreProblem) -> StoreProblem | None:
    """The same by the hour, where prices, windows and stretches are constant within each, else None.

    An interval's cost is convex in load and stored energy together, so hourly means cost no more than the hour's
    own intervals at any caps and energies: cuts of the coarse problem hold for the fine one. What cycling within
    the hour would burn is missing from the means, so their net load may fall below an export limit, at no gain.
    """
    n = p.load.size
    by = round(1.0 / p.h)
    if by < 2 or abs(by * p.h - 1.0) > 1e-9 or n % by:
        return None
    sell = np.where(p.most_export > 0, p.sell, np.minimum(p.buy, 0.0))
    for row in (p.buy, sell, p.stretch, *p.window):
        blocks = row.reshape(-1, by)
        if (blocks != blocks[:, :1]).any():
            return None

    def mean(values: Floats) -> Floats:
        out: Floats = np.asarray(values, dtype=np.float64).reshape(-1, by).mean(axis=1)
        return out

    return replace(
        p,
        h=p.h * by,
        load=mean(p.load),
        buy=p.buy[::by],
        sell=sell[::by],
        charge=mean(p.charge),
        discharge=mean(p.discharge),
        low=p.low[::by],
        high=p.high[::by],
        drain=by * mean(p.drain),
        most_import=mean(p.most_import),
        most_export=np.full(n // by, inf),
        window=p.window[:, ::by],
        stretch=p.stretch[::by],
    )


class _Bundle:
    """Cuts, master and trials. Columns of the master: caps M (w), energies s (k + 1), costs (k), tiers."""

    def __init__(self, p: StoreProblem, gap: float) -> None:
        _check(p)
        self.p, self.gap, self.big = p, gap, _big(p)
        self.fine = _Walks(p, self.big)
        self.alone = peaks_of(p, p.load)
        self.lower, self.upper = peaks_of(p, p.load - p.discharge), peaks_of(p, p.load + p.charge)
        self.master = self._master()

    def _master(self) -> Any:
        from .highs import RowMaster

        p, w, k = self.p, self.p.windows, self.fine.k
        tier_of: list[int] = []
        price: list[float] = []
        width: list[float] = []
        for i, tiers in enumerate(p.tiers):
            low = 0.0
            for upto, usd in tiers:
                tier_of.append(i)
                price.append(usd)
                width.append(upto - low)
                low = upto
        edges, walk = self.fine.edges, self.fine.walk
        energy_low, energy_high = p.low[edges].astype(float), p.high[edges].astype(float)
        energy_low[0] = energy_high[0] = p.start
        energy_low[-1] = walk.end_low
        energy_cost = np.zeros(k + 1)
        energy_cost[-1] = -p.end_value
        master = RowMaster(
            np.concatenate((np.zeros(w), energy_cost, np.ones(k), price)),
            np.concatenate((self.lower, energy_low, np.full(k, -inf), np.zeros(len(price)))),
            np.concatenate((self.upper, energy_high, np.full(k, inf), width)),
        )
        first, of = w + 2 * k + 1, np.array(tier_of, dtype=np.int64)
        for i in range(w):
            mine = first + np.flatnonzero(of == i)
            ones = np.ones(mine.size)
            master.add(0.0, np.append(mine, i), np.append(ones, -1.0))
            if p.least[i] > 0:
                master.add(float(p.least[i]), mine, ones)
            for j in p.of[i]:
                if p.share[i] > 0:
                    master.add(0.0, np.append(mine, j), np.append(ones, -p.share[i]))
        return master

    def run(self) -> StoreSolution:
        trial = np.clip(self.alone - 0.4 * float(self.p.discharge.max()), self.lower, self.upper)
        coarse = _coarser(self.p)
        if coarse is not None:
            trial = self._close(_Walks(coarse, self.big), trial, COARSE)[1]
        answer, _, rounds = self._close(self.fine, trial, self.gap)
        if answer is None:
            raise SolverError(f"the cuts do not close in {rounds} rounds")
        return answer

    def _close(self, walks: _Walks, trial: Floats, gap: float) -> tuple[StoreSolution | None, Floats, int]:
        """Rounds of trials until the gap is closed: the answer, the caps to try next and the rounds."""
        p = walks.p
        nothing = billed_usd(p, self.alone) + energy_usd(p, np.zeros(p.load.size))
        upper, lower, gaps = inf, -inf, []
        power, stored, best = walks.power, walks.stored, self.alone
        for rounds in range(1, ROUNDS + 1):
            usd, peaks = walks.best(trial)
            moved = usd < upper
            if moved:
                upper, best, power, stored = usd, peaks, walks.power.copy(), walks.stored.copy()
            walks.cut(self.master)
            x, bound = self.master.solve()
            moved, lower = moved or bound > lower, max(lower, bound)
            gaps.append(upper - lower)
            done = upper - lower <= max(gap * max(nothing - upper, 0.0), 1e-9 * abs(upper), 1e-9)
            inward = INWARD if moved and not done else 0.0
            trial = inward * best + (1.0 - inward) * x[: p.windows]
            if done:
                answer = StoreSolution(power, stored, upper, min(lower, upper), rounds, tuple(gaps))
                return answer, trial, rounds
        return None, trial, ROUNDS
