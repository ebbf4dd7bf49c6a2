"""HiGHS: the general solver and the judge of every faster one. The only file that knows it.

Dual simplex on one thread by default: on these problems it beat interior point, first-order and primal
simplex methods. Every status that HiGHS returns is checked, those of option setting too, since it runs
another algorithm without a word when an option is refused.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InfeasibleError, SolverError
from .problem import Affine, Arrays, Floats, Ints, Problem

Progress = Callable[[float, float], None]
"""Called at most five times a second with (share of the time limit used, relative gap); the gap is inf while
nothing is proved yet, and always for a linear problem."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to solve. gap: relative, for integers. time_limit_s: wall clock. presolve: choose, on or off."""

    gap: float = 1e-6
    time_limit_s: float = inf
    threads: int = 1
    solver: str = "simplex"
    presolve: str = "choose"
    progress: Progress | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """x (columns,), row_dual (rows,) and reduced_cost (columns,) of an LP, or None where integers rule.

    objective and lower_bound in the problem's unit; proved: the gap asked for was reached.
    """

    x: Floats
    objective: float
    lower_bound: float
    row_dual: Floats | None
    reduced_cost: Floats | None
    proved: bool = True
    iterations: int = 0

    @property
    def gap_frac(self) -> float:
        """(objective - lower bound) / max(|objective|, 1e-9)."""
        return (self.objective - self.lower_bound) / max(abs(self.objective), 1e-9)


def _ok(status: Any, what: str) -> None:
    import highspy

    if status == highspy.HighsStatus.kError:
        raise SolverError(f"HiGHS refused {what}; check the option or the numbers given to it")


@cache
def _mute_banner() -> None:
    """HiGHS prints a banner on file descriptor 1 when first made, before it can be told not to."""
    import highspy

    sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:
        return  # no standard output at all: nothing to protect
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            made: Any = highspy.Highs
            made()
            with suppress(OSError, AttributeError, TypeError):
                ctypes.CDLL(None).fflush(None)
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _fresh(options: Options) -> Any:
    import highspy

    _mute_banner()
    made: Any = highspy.Highs
    h = made()
    h.silent()
    settings: dict[str, Any] = {
        "threads": options.threads,
        "solver": options.solver,
        "presolve": options.presolve,
        "mip_rel_gap": options.gap,
        "mip_abs_gap": 0.0,
        "random_seed": 0,
    }
    if options.solver == "simplex":
        settings["simplex_strategy"] = 1  # dual
    if options.time_limit_s < inf:
        settings["time_limit"] = float(options.time_limit_s)
    for key, value in settings.items():
        if h.setOptionValue(key, value) != highspy.HighsStatus.kOk:
            raise SolverError(f"HiGHS refused option {key} = {value!r}; see its list of options")
    return h


def _lp(a: Arrays) -> Any:
    import highspy

    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = a.cost.size, a.row_lower.size
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = a.cost, a.lower, a.upper
    lp.row_lower_, lp.row_upper_ = a.row_lower, a.row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.num_col_, lp.a_matrix_.num_row_ = a.cost.size, a.row_lower.size
    lp.a_matrix_.start_, lp.a_matrix_.index_ = a.start.astype(np.int32), a.index.astype(np.int32)
    lp.a_matrix_.value_ = a.value
    lp.offset_ = a.offset
    if a.integer.any():
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        lp.integrality_ = [kinds[int(i)] for i in a.integer]
    return lp


@dataclass(slots=True, eq=False)
class Warm:
    """A problem held by HiGHS; costs and bounds change in place and the next run starts from the last basis.

    >>> p = Problem()
    >>> x = p.add_columns("x", 2, owner="doc", cost=[1.0, 2.0], upper=5.0)
    >>> _ = p.add_rows("need", Affine.of(x).gather(np.zeros(2, dtype=np.int64), 1), owner="doc", lower=6.0)
    >>> Warm(p).run().objective
    7.0
    """

    problem: Problem
    options: Options = field(default_factory=Options)
    _h: Any = None
    _integer: bool = False
    _told: bool = False
    _last: float = -inf

    def __post_init__(self) -> None:
        arrays = self.problem.arrays()
        bad = [
            what for what, v in (("cost", arrays.cost), ("matrix", arrays.value)) if not np.isfinite(v).all()
        ]
        bad += [
            what
            for what, v in (
                ("column bound", arrays.lower),
                ("column bound", arrays.upper),
                ("row bound", arrays.row_lower),
                ("row bound", arrays.row_upper),
            )
            if np.isnan(v).any()
        ]
        if bad:
            raise SolverError(
                f"the problem holds values that are not numbers: {', '.join(dict.fromkeys(bad))}; "
                "check load, prices and limits for NaN"
            )
        self._integer = self.problem.has_integers
        self._h = _fresh(self.options)
        _ok(self._h.passModel(_lp(arrays)), "the problem")

    def set_costs(self, cols: Ints, cost: Floats) -> None:
        """New objective coefficients of some columns."""
        _ok(self._h.changeColsCost(cols.size, cols.astype(np.int32), cost), "new costs")

    def set_column_bounds(self, cols: Ints, lower: Floats, upper: Floats) -> None:
        """New bounds of some columns."""
        _ok(self._h.changeColsBounds(cols.size, cols.astype(np.int32), lower, upper), "new column bounds")

    def set_row_bounds(self, rows: Ints, lower: Floats, upper: Floats) -> None:
        """New bounds of some rows."""
        _ok(self._h.changeRowsBounds(rows.size, rows.astype(np.int32), lower, upper), "new row bounds")

    def set_offset(self, offset: float) -> None:
        """New constant of the objective."""
        _ok(self._h.changeObjectiveOffset(offset), "a new offset")

    def add_rows(self, expr: Affine, lower: Floats, upper: Floats) -> None:
        """More rows lower <= expr <= upper (cuts); the problem's own listing does not show them."""
        e = expr.merged()
        start = np.searchsorted(e.row, np.arange(e.n)).astype(np.int32)
        _ok(
            self._h.addRows(
                e.n, lower - e.const, upper - e.const, e.col.size, start, e.col.astype(np.int32), e.coef
            ),
            "more rows",
        )

    def run(self) -> Solution:
        """Solve; InfeasibleError with owners, or SolverError, where there is no optimum."""
        import highspy

        h = self._h
        if self.options.progress is not None and not self._told:
            # The logging callback stays silent with the output off; the one for interrupts is always called.
            (h.cbMipInterrupt if self._integer else h.cbSimplexInterrupt).subscribe(self._report)
            self._told = True
        _ok(h.run(), "to run")
        status = h.getModelStatus()
        kinds = highspy.HighsModelStatus
        info = h.getInfo()
        if status == kinds.kModelEmpty:
            none = np.zeros(0)
            offset = self.problem.offset
            return Solution(none, offset, offset, np.zeros(self.problem.height), none)
        if status == kinds.kOptimal:
            return self._solution(h, info, proved=True)
        if status in (kinds.kTimeLimit, kinds.kInterrupt, kinds.kIterationLimit):
            if self._integer and abs(info.mip_gap) < inf and info.primal_solution_status == 2:
                return self._solution(h, info, proved=False)
            raise SolverError(
                f"HiGHS stopped ({h.modelStatusToString(status)}) after {h.getRunTime():.1f} s without "
                f"a plan; allow more than {self.options.time_limit_s:g} s"
            )
        if status == kinds.kInfeasible:
            raise infeasibility(self.problem)
        if status in (kinds.kUnbounded, kinds.kUnboundedOrInfeasible):
            raise _unbounded(self.problem)
        raise SolverError(f"HiGHS ended with {h.modelStatusToString(status)}")

    def _report(self, event: Any) -> None:
        out, limit = event.data_out, self.options.time_limit_s
        if self.options.progress is None or time.monotonic() - self._last < 0.2:
            return
        self._last = time.monotonic()
        used = min(1.0, out.running_time / limit) if limit < inf else 0.0
        self.options.progress(used, float(out.mip_gap) if self._integer else inf)

    def _solution(self, h: Any, info: Any, *, proved: bool) -> Solution:
        s = h.getSolution()
        objective = float(info.objective_function_value)
        if self._integer:
            bound = float(info.mip_dual_bound)
            return Solution(
                np.array(s.col_value),
                objective,
                min(bound, objective),
                None,
                None,
                proved,
                int(info.simplex_iteration_count),
            )
        return Solution(
            np.array(s.col_value),
            objective,
            objective,
            np.array(s.row_dual),
            np.array(s.col_dual),
            proved,
            int(info.simplex_iteration_count),
        )


def solve(problem: Problem, options: Options | None = None) -> Solution:
    """Optimum of `problem`; InfeasibleError names the owners in the way, SolverError anything else."""
    return Warm(problem, options or Options()).run()


def solve_arrays(arrays: Arrays, options: Options) -> Floats:
    """Best x of a problem given as arrays; SolverError where there is none within the limits."""
    import highspy

    h, status = _raw(arrays, options)
    good = status == highspy.HighsModelStatus.kOptimal or h.getInfo().primal_solution_status == 2
    if not good:
        raise SolverError(f"HiGHS ended with {h.modelStatusToString(status)}")
    return np.array(h.getSolution().col_value)


def solve_linear(arrays: Arrays, options: Options) -> tuple[Floats, Floats, float]:
    """(x, row duals, objective) of a linear problem given as arrays; SolverError where there is no optimum in time."""
    import highspy

    h, status = _raw(arrays, options)
    if status != highspy.HighsModelStatus.kOptimal:
        raise SolverError(f"HiGHS ended with {h.modelStatusToString(status)}")
    found = h.getSolution()
    return np.array(found.col_value), np.array(found.row_dual), float(h.getInfo().objective_function_value)


def _raw(arrays: Arrays, options: Options) -> tuple[Any, Any]:
    h = _fresh(options)
    _ok(h.passModel(_lp(arrays)), "the problem")
    _ok(h.run(), "to run")
    return h, h.getModelStatus()


def _elastic(a: Arrays, *, integer: bool) -> Arrays:
    """Every row may be broken at a price of 1 a unit; what breaks shows what cannot be had together."""
    m, n = a.row_lower.size, a.cost.size
    counts = np.diff(a.start)
    start = a.start + 2 * np.arange(m + 1)
    index, value = np.empty(start[-1], dtype=np.int64), np.empty(start[-1])
    old = np.repeat(start[:-1] - a.start[:-1], counts) + np.arange(a.index.size)
    index[old], value[old] = a.index, a.value
    for k, sign in ((1, -1.0), (2, 1.0)):
        at = start[1:] - k
        index[at], value[at] = n + (k - 1) * m + np.arange(m), sign
    more = 2 * m
    return Arrays(
        cost=np.concatenate((np.zeros(n), np.ones(more))),
        lower=np.concatenate((a.lower, np.zeros(more))),
        upper=np.concatenate((a.upper, np.full(more, inf))),
        integer=np.concatenate(
            (a.integer if integer else np.zeros(n, dtype=bool), np.zeros(more, dtype=bool))
        ),
        row_lower=a.row_lower,
        row_upper=a.row_upper,
        start=start,
        index=index,
        value=value,
        offset=0.0,
    )


def infeasibility(problem: Problem) -> InfeasibleError:
    """Who stands in the way: owners of the rows in a proof (dual ray) that no plan exists."""
    a = problem.arrays()
    crossed = np.flatnonzero(a.lower > a.upper)
    if crossed.size:
        owner = problem.column_owner(int(crossed[0]))
        return InfeasibleError(
            f"{owner}: least value above greatest ({a.lower[crossed[0]]:g} > "
            f"{a.upper[crossed[0]]:g}); correct its limits",
            owners=[owner],
        )
    h, _ = _raw(_elastic(a, integer=False), Options())
    if h.getInfo().objective_function_value > 1e-7:
        weight = np.abs(np.array(h.getSolution().row_dual))
    else:  # feasible without integrality: what breaks in the integer problem tells
        h, _ = _raw(_elastic(a, integer=True), Options(time_limit_s=30.0))
        x = np.array(h.getSolution().col_value)
        slack = x[a.cost.size :]
        weight = slack[: a.row_lower.size] + slack[a.row_lower.size :]
    rows = np.flatnonzero(weight > 1e-7)
    blocks = list(dict.fromkeys((b.owner, b.name) for b in (problem.row_block(int(r)) for r in rows[:2000])))
    owners = list(dict.fromkeys(owner for owner, _ in blocks))
    missing = float(h.getInfo().objective_function_value)
    listed = "; ".join(f"{owner} ({name})" for owner, name in blocks[:8])
    return InfeasibleError(
        f"no plan meets all limits: {listed or 'integer conditions'} cannot be met together "
        f"(they lack {missing:.4g} units in all); relax one of them or give it a price for breach",
        owners=owners,
    )


def _unbounded(problem: Problem) -> Exception:
    a = problem.arrays()
    zero = Arrays(
        np.zeros_like(a.cost),
        a.lower,
        a.upper,
        np.zeros_like(a.integer),
        a.row_lower,
        a.row_upper,
        a.start,
        a.index,
        a.value,
        0.0,
    )
    import highspy

    _, status = _raw(zero, Options())
    if status == highspy.HighsModelStatus.kInfeasible:
        return infeasibility(problem)
    loose = [
        i for i in np.flatnonzero(a.cost) if (a.upper[i] == inf if a.cost[i] < 0 else a.lower[i] == -inf)
    ]
    owners = list(dict.fromkeys(problem.column_owner(int(i)) for i in loose[:1000]))
    return SolverError(
        f"the cost falls without end; somebody earns on a quantity that nothing bounds "
        f"(look at {', '.join(owners) or 'every price'}): give it an upper limit or check its sign"
    )


class RowMaster:
    """A small LP that grows by rows `index . x >= lower` and is solved anew from its last basis: a cutting-plane
    master. cost, lower, upper: (columns,)."""

    def __init__(self, cost: Floats, lower: Floats, upper: Floats) -> None:
        import highspy

        self._h = _fresh(Options())
        for option, value in (
            ("presolve", "off"),
            ("primal_feasibility_tolerance", 1e-9),
            ("dual_feasibility_tolerance", 1e-9),
        ):
            _ok(self._h.setOptionValue(option, value), f"option {option}")
        n = cost.size
        empty = np.zeros(0)
        bound = highspy.kHighsInf
        _ok(
            self._h.addCols(
                n,
                np.asarray(cost, dtype=float),
                np.where(np.isinf(lower), -bound, lower),
                np.where(np.isinf(upper), bound, upper),
                0,
                np.zeros(n, dtype=np.int32),
                empty.astype(np.int32),
                empty,
            ),
            "columns",
        )
        self._infinite = bound

    def add(self, lower: float, index: Ints, value: Floats) -> None:
        """One more row."""
        _ok(
            self._h.addRow(
                float(lower),
                self._infinite,
                int(index.size),
                index.astype(np.int32),
                np.asarray(value, dtype=float),
            ),
            "a row",
        )

    def solve(self) -> tuple[Floats, float]:
        """Solution and objective; a numerically stuck basis is dropped once, then the tolerance is eased."""
        import highspy

        optimal = highspy.HighsModelStatus.kOptimal
        self._h.run()
        if self._h.getModelStatus() != optimal:
            _ok(self._h.clearSolver(), "a fresh basis")
            self._h.run()
        if self._h.getModelStatus() != optimal:
            for option in ("primal_feasibility_tolerance", "dual_feasibility_tolerance"):
                _ok(self._h.setOptionValue(option, 1e-7), f"option {option}")
            _ok(self._h.clearSolver(), "a fresh basis")
            self._h.run()
        status = self._h.getModelStatus()
        if status != optimal:
            raise SolverError(f"the master of the cuts ended as {self._h.modelStatusToString(status)}")
        return np.array(self._h.getSolution().col_value), float(self._h.getInfo().objective_function_value)
