"""Kernels of the interior point: the predictor-corrector loop.

The matrix is that of the Newton step after all slacks are eliminated,

    K = [ Theta_x + A_S' Theta_z A_S    A_L' ]
        [ A_L                          -D    ]

with short rows S summed into the upper left and equations and long rows L kept.

An iteration reads the rows three times: `load` moves the iterate, builds K and the predictor's right side;
`predicted` finishes its step and scatters the corrector's right side, which is linear in the mu that is only known
afterwards; `corrected` finishes the step and gathers how it changes the residuals. Rows of one kind (the same
coefficients on other columns) stand together in runs, so that a run's coefficients are read once and stay in
registers; most rows have two to four entries, and their loops are written out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from .interior_point_factor_kernel import Factor, Pattern, backward, factorise, forward

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
Places = np.ndarray[Any, np.dtype[np.uint32]]

DONE, STUCK, SPENT = 0, 1, 2
FAR = 1e30  # stands for a bound that is not there
SLIGHT = 1e-9  # regularisation of both kinds of pivots, scaled
BACK = 0.997
PAGE, SKEW, HALF = 512, 24, 256  # numbers: of a page, between arrays, and half a page; see `_apart`
FLOOR = 10.0  # times the residual asked for: what rounding may leave of rows that no step mends any more


class Programme(NamedTuple):
    """minimise c x subject to A x >= b for the first `unequal` rows, A x = b for the others, low <= x <= up.

    Rows `summed` and on, the equations among them, are kept in K; those before are summed in. Row-wise, roughly in
    order of time. All of x stands in the order of K, where the places of kept rows hold columns without cost, bound
    and entry, so that no place is ever looked up. Where a column has no bound, low or up is `FAR` and has_low or
    has_up is 0, else 1. row_place: place in K of each kept row, in order.

    run (runs + 1,): first row of each run of summed rows of one kind; their coefficients, in the order of their
    entries, are coef from coef_at of the run on, as they stand in value too.
    """

    cost: Floats
    low: Floats
    up: Floats
    has_low: Floats
    has_up: Floats
    bound: Floats
    start: Ints
    column: Places
    value: Floats
    row_place: Places
    summed: int
    unequal: int
    run: Ints
    coef_at: Ints
    coef: Floats


class State(NamedTuple):
    """x with its room above the low and below the up bound and their multipliers wl, wu, all in the order of K;
    slack g and multiplier v of the unequal rows; y of equations.

    The rooms are kept beside x: as differences they would turn to nothing where a bound is large and near."""

    x: Floats
    sl: Floats
    su: Floats
    wl: Floats
    wu: Floats
    g: Floats
    v: Floats
    y: Floats


class Work(NamedTuple):
    """Scratch of the loop. rd = c - A'y - wl + wu, rp = A x - b - g; over_*: one over each slack, 0 where there is no
    bound; dx: right side, then step; by_one, by_mu: the corrector's right side is by_one + mu by_mu, by_one then holds
    its solution; d*: the step, drd that of rd at a full dual one; ax: A dx of the kept rows."""

    rd: Floats
    rp: Floats
    over_low: Floats
    over_up: Floats
    over_g: Floats
    dx: Floats
    by_one: Floats
    by_mu: Floats
    drd: Floats
    dwl: Floats
    dwu: Floats
    dg: Floats
    dv: Floats
    dy: Floats
    ax: Floats


@njit(cache=True, error_model="numpy")
def _rows_loaded(
    run: Ints, coef_at: Ints, coef: Floats, column: Places, sums_at: Places, g: Floats, v: Floats, rp: Floats,
    over_g: Floats, dg: Floats, dv: Floats, r: Floats, low: Floats, diagonal: Floats, primal: float, dual: float,
) -> tuple[float, float]:  # fmt: skip
    """`load` of the summed rows: their part of the sum of complementarity and their greatest residual."""
    total, most, stay, at, e = 0.0, 0.0, 1.0 - primal, 0, 0
    for q in range(run.size - 1):
        first, last, c = run[q], run[q + 1], coef_at[q]
        n = coef_at[q + 1] - c
        if n == 3:
            a0, a1, a2 = coef[c], coef[c + 1], coef[c + 2]
            a00, a11, a22 = a0 * a0, a1 * a1, a2 * a2
            a01, a02, a12 = a0 * a1, a0 * a2, a1 * a2
            for i in range(first, last):
                gi, vi, ri = g[i] + primal * dg[i], v[i] + dual * dv[i], rp[i] * stay
                by = 1.0 / gi
                t = vi * by
                b = -vi - t * ri
                g[i], v[i], rp[i], over_g[i] = gi, vi, ri, by
                total += gi * vi
                most = max(most, abs(ri))
                c0, c1, c2 = column[e], column[e + 1], column[e + 2]
                low[sums_at[at]] += t * a01
                low[sums_at[at + 1]] += t * a02
                low[sums_at[at + 2]] += t * a12
                diagonal[c0] += t * a00
                diagonal[c1] += t * a11
                diagonal[c2] += t * a22
                r[c0] += b * a0
                r[c1] += b * a1
                r[c2] += b * a2
                e += 3
                at += 3
        elif n == 2:
            a0, a1 = coef[c], coef[c + 1]
            a00, a11 = a0 * a0, a1 * a1
            a01 = a0 * a1
            for i in range(first, last):
                gi, vi, ri = g[i] + primal * dg[i], v[i] + dual * dv[i], rp[i] * stay
                by = 1.0 / gi
                t = vi * by
                b = -vi - t * ri
                g[i], v[i], rp[i], over_g[i] = gi, vi, ri, by
                total += gi * vi
                most = max(most, abs(ri))
                c0, c1 = column[e], column[e + 1]
                low[sums_at[at]] += t * a01
                diagonal[c0] += t * a00
                diagonal[c1] += t * a11
                r[c0] += b * a0
                r[c1] += b * a1
                e += 2
                at += 1
        elif n == 4:
            a0, a1, a2, a3 = coef[c], coef[c + 1], coef[c + 2], coef[c + 3]
            a00, a11, a22, a33 = a0 * a0, a1 * a1, a2 * a2, a3 * a3
            a01, a02, a12, a03, a13, a23 = a0 * a1, a0 * a2, a1 * a2, a0 * a3, a1 * a3, a2 * a3
            for i in range(first, last):
                gi, vi, ri = g[i] + primal * dg[i], v[i] + dual * dv[i], rp[i] * stay
                by = 1.0 / gi
                t = vi * by
                b = -vi - t * ri
                g[i], v[i], rp[i], over_g[i] = gi, vi, ri, by
                total += gi * vi
                most = max(most, abs(ri))
                c0, c1, c2, c3 = column[e], column[e + 1], column[e + 2], column[e + 3]
                low[sums_at[at]] += t * a01
                low[sums_at[at + 1]] += t * a02
                low[sums_at[at + 2]] += t * a12
                low[sums_at[at + 3]] += t * a03
                low[sums_at[at + 4]] += t * a13
                low[sums_at[at + 5]] += t * a23
                diagonal[c0] += t * a00
                diagonal[c1] += t * a11
                diagonal[c2] += t * a22
                diagonal[c3] += t * a33
                r[c0] += b * a0
                r[c1] += b * a1
                r[c2] += b * a2
                r[c3] += b * a3
                e += 4
                at += 6
        else:
            for i in range(first, last):
                gi, vi, ri = g[i] + primal * dg[i], v[i] + dual * dv[i], rp[i] * stay
                by = 1.0 / gi
                t = vi * by
                b = -vi - t * ri
                g[i], v[i], rp[i], over_g[i] = gi, vi, ri, by
                total += gi * vi
                most = max(most, abs(ri))
                for h in range(n):
                    j, ah = column[e + h], coef[c + h]
                    th = t * ah
                    for o in range(h):
                        low[sums_at[at]] += th * coef[c + o]
                        at += 1
                    diagonal[j] += th * ah
                    r[j] += b * ah
                e += n
    return total, most


@njit(cache=True, error_model="numpy")
def load(
    p: Programme, k: Pattern, s: State, w: Work, f: Factor, primal: float, dual: float
) -> tuple[float, float, float]:
    """Move by the step in `w`, then K, the inverses of the slacks and the predictor's right side; returns the sum of
    complementarity and the greatest residuals, dual and primal."""
    x, sl, su, wl, wu, g, v, y = s.x, s.sl, s.su, s.wl, s.wu, s.g, s.v, s.y
    rd, rp, over_low, over_up, over_g = w.rd, w.rp, w.over_low, w.over_up, w.over_g
    r, drd, dwl, dwu, dg, dv, ax, dy = w.dx, w.drd, w.dwl, w.dwu, w.dg, w.dv, w.ax, w.dy
    has_low, has_up = p.has_low, p.has_up
    low, diagonal = f.low, f.diagonal
    low[:] = k.fixed
    total, most_d = 0.0, 0.0
    for j in range(x.size):
        a = primal * r[j]
        x[j] += a
        lo, hi = sl[j] + a, su[j] - a
        ml, mu = wl[j] + dual * dwl[j], wu[j] + dual * dwu[j]
        d = rd[j] + dual * drd[j]
        sl[j], su[j], wl[j], wu[j], rd[j] = lo, hi, ml, mu, d
        total += ml * lo + mu * hi
        most_d = max(most_d, abs(d))
        lo, hi = has_low[j] / lo, has_up[j] / hi
        over_low[j], over_up[j] = lo, hi
        diagonal[j] = SLIGHT + ml * lo + mu * hi
        r[j] = mu - ml - d
    more, most_p = _rows_loaded(
        p.run, p.coef_at, p.coef, p.column, k.sums_at, g, v, rp, over_g, dg, dv, r, low, diagonal, primal, dual
    )  # fmt: skip
    total += more
    mi, stay = p.unequal, 1.0 - primal
    for i in range(p.summed, p.bound.size):
        c = p.row_place[i - p.summed]
        if i < mi:
            gi, vi, ri = g[i] + primal * dg[i], v[i] + dual * dv[i], rp[i] * stay
            g[i], v[i] = gi, vi
            total += gi * vi
            over_g[i] = 1.0 / gi
            diagonal[c] = -SLIGHT - gi / vi
            r[c] = -gi - ri
        else:
            y[i - mi] += dual * dy[i - mi]
            ri = rp[i] + primal * ax[i - p.summed]
            diagonal[c] = -SLIGHT
            r[c] = -ri
        rp[i] = ri
        most_p = max(most_p, abs(ri))
    k.own[:] = diagonal
    return total, most_d, most_p


@njit(cache=True, error_model="numpy")
def _kept(p: Programme, r: Floats, dv: Floats, dy: Floats, before: float) -> None:
    """Steps of the multipliers of kept rows out of a solution, beside `before` times what they were."""
    for i in range(p.summed, p.bound.size):
        c = p.row_place[i - p.summed]
        if i < p.unequal:
            dv[i] = before * dv[i] - r[c]
        else:
            k = i - p.unequal
            dy[k] = before * dy[k] - r[c]
        r[c] = 0.0


@njit(cache=True, error_model="numpy")
def _rows_predicted(
    run: Ints, coef_at: Ints, coef: Floats, column: Places, g: Floats, v: Floats, rp: Floats, over_g: Floats,
    r: Floats, r0: Floats, r1: Floats, dg: Floats, primal: float, dual: float,
) -> tuple[float, float, float, float, float]:  # fmt: skip
    """`predicted` of the summed rows: greatest shares of slack and multiplier that the step takes, from `primal` and
    `dual` on, and their part of the three sums."""
    one, two, three, e = 0.0, 0.0, 0.0, 0
    for q in range(run.size - 1):
        first, last, c = run[q], run[q + 1], coef_at[q]
        n = coef_at[q + 1] - c
        if n == 3:
            a0, a1, a2 = coef[c], coef[c + 1], coef[c + 2]
            for i in range(first, last):
                c0, c1, c2 = column[e], column[e + 1], column[e + 2]
                a = rp[i] + a0 * r[c0] + a1 * r[c1] + a2 * r[c2]
                vi, by = v[i], over_g[i]
                toward = -a * by
                b = vi * toward - vi
                dg[i] = a
                one += a * vi
                two += g[i] * b
                three += a * b
                primal = max(primal, toward)
                if -b > dual * vi:
                    dual = -b / vi
                b *= toward
                r0[c0] += a0 * b
                r1[c0] += a0 * by
                r0[c1] += a1 * b
                r1[c1] += a1 * by
                r0[c2] += a2 * b
                r1[c2] += a2 * by
                e += 3
        elif n == 2:
            a0, a1 = coef[c], coef[c + 1]
            for i in range(first, last):
                c0, c1 = column[e], column[e + 1]
                a = rp[i] + a0 * r[c0] + a1 * r[c1]
                vi, by = v[i], over_g[i]
                toward = -a * by
                b = vi * toward - vi
                dg[i] = a
                one += a * vi
                two += g[i] * b
                three += a * b
                primal = max(primal, toward)
                if -b > dual * vi:
                    dual = -b / vi
                b *= toward
                r0[c0] += a0 * b
                r1[c0] += a0 * by
                r0[c1] += a1 * b
                r1[c1] += a1 * by
                e += 2
        elif n == 4:
            a0, a1, a2, a3 = coef[c], coef[c + 1], coef[c + 2], coef[c + 3]
            for i in range(first, last):
                c0, c1, c2, c3 = column[e], column[e + 1], column[e + 2], column[e + 3]
                a = rp[i] + a0 * r[c0] + a1 * r[c1] + a2 * r[c2] + a3 * r[c3]
                vi, by = v[i], over_g[i]
                toward = -a * by
                b = vi * toward - vi
                dg[i] = a
                one += a * vi
                two += g[i] * b
                three += a * b
                primal = max(primal, toward)
                if -b > dual * vi:
                    dual = -b / vi
                b *= toward
                r0[c0] += a0 * b
                r1[c0] += a0 * by
                r0[c1] += a1 * b
                r1[c1] += a1 * by
                r0[c2] += a2 * b
                r1[c2] += a2 * by
                r0[c3] += a3 * b
                r1[c3] += a3 * by
                e += 4
        else:
            for i in range(first, last):
                a = rp[i]
                for h in range(n):
                    a += coef[c + h] * r[column[e + h]]
                vi, by = v[i], over_g[i]
                toward = -a * by
                b = vi * toward - vi
                dg[i] = a
                one += a * vi
                two += g[i] * b
                three += a * b
                primal = max(primal, toward)
                dual = max(dual, -b / vi)
                b *= toward
                for h in range(n):
                    j, ah = column[e + h], coef[c + h]
                    r0[j] += ah * b
                    r1[j] += ah * by
                e += n
    return primal, dual, one, two, three


@njit(cache=True, error_model="numpy")
def predicted(p: Programme, s: State, w: Work) -> tuple[float, float, float, float, float]:
    """The predictor from its solution in w.dx: longest primal and dual steps that stay inside, and sums of
    complementarity by step: slack x multiplier after steps (a, b) = now + a first + b second + a b third. Leaves
    Mehrotra's second-order term in by_one and what mu weighs in by_mu."""
    sl, su, wl, wu, g, v = s.sl, s.su, s.wl, s.wu, s.g, s.v
    rp, over_low, over_up, over_g = w.rp, w.over_low, w.over_up, w.over_g
    r, r0, r1, dg, dv, ax, dy = w.dx, w.by_one, w.by_mu, w.dg, w.dv, w.ax, w.dy
    one, two, three, primal, dual = 0.0, 0.0, 0.0, 1e-30, 1e-30
    mi, start, column, value = p.unequal, p.start, p.column, p.value
    _kept(p, r, dv, dy, 0.0)
    for j in range(r.size):
        dx, lo, hi, l, u = r[j], over_low[j], over_up[j], wl[j], wu[j]
        toward, away = -dx * lo, dx * hi
        a, b = l * toward - l, u * away - u
        one += dx * (l - u)
        two += sl[j] * a + su[j] * b
        three += dx * (a - b)
        primal = max(primal, toward, away)
        if -a > dual * l:
            dual = -a / l
        if -b > dual * u:
            dual = -b / u
        r1[j] = lo - hi
        r0[j] = a * toward - b * away
    primal, dual, first, second, third = _rows_predicted(
        p.run, p.coef_at, p.coef, column, g, v, rp, over_g, r, r0, r1, dg, primal, dual
    )
    one, two, three = one + first, two + second, three + third
    for i in range(p.summed, p.bound.size):
        a, c = 0.0, p.row_place[i - p.summed]
        for e in range(start[i], start[i + 1]):
            a += value[e] * r[column[e]]
        ax[i - p.summed] = a
        r0[c], r1[c] = 0.0, 0.0
        if i < mi:
            a += rp[i]
            vi, b = v[i], dv[i]
            dg[i] = a
            one += a * vi
            two += g[i] * b
            three += a * b
            primal = max(primal, -a * over_g[i])
            if -b > dual * vi:
                dual = -b / vi
            r0[c], r1[c] = -a * b / vi, 1.0 / vi
    return 1.0 / primal, 1.0 / dual, one, two, three


@njit(cache=True, error_model="numpy")
def _rows_corrected(
    run: Ints, coef_at: Ints, coef: Floats, column: Places, v: Floats, over_g: Floats, r0: Floats, drd: Floats,
    dg: Floats, dv: Floats, mu: float, primal: float, dual: float,
) -> tuple[float, float]:  # fmt: skip
    """`corrected` of the summed rows: greatest shares of slack and multiplier that the step takes, from `primal` and
    `dual` on."""
    e = 0
    for q in range(run.size - 1):
        first, last, c = run[q], run[q + 1], coef_at[q]
        n = coef_at[q + 1] - c
        if n == 3:
            a0, a1, a2 = coef[c], coef[c + 1], coef[c + 2]
            for i in range(first, last):
                c0, c1, c2 = column[e], column[e + 1], column[e + 2]
                a = a0 * r0[c0] + a1 * r0[c1] + a2 * r0[c2]
                vi, by, was = v[i], over_g[i], dg[i]
                toward = -was * by
                b = vi * toward - vi
                b += b * toward + by * (mu - vi * a)
                a += was
                dg[i], dv[i] = a, b
                primal = max(primal, -a * by)
                if -b > dual * vi:
                    dual = -b / vi
                drd[c0] -= a0 * b
                drd[c1] -= a1 * b
                drd[c2] -= a2 * b
                e += 3
        elif n == 2:
            a0, a1 = coef[c], coef[c + 1]
            for i in range(first, last):
                c0, c1 = column[e], column[e + 1]
                a = a0 * r0[c0] + a1 * r0[c1]
                vi, by, was = v[i], over_g[i], dg[i]
                toward = -was * by
                b = vi * toward - vi
                b += b * toward + by * (mu - vi * a)
                a += was
                dg[i], dv[i] = a, b
                primal = max(primal, -a * by)
                if -b > dual * vi:
                    dual = -b / vi
                drd[c0] -= a0 * b
                drd[c1] -= a1 * b
                e += 2
        elif n == 4:
            a0, a1, a2, a3 = coef[c], coef[c + 1], coef[c + 2], coef[c + 3]
            for i in range(first, last):
                c0, c1, c2, c3 = column[e], column[e + 1], column[e + 2], column[e + 3]
                a = a0 * r0[c0] + a1 * r0[c1] + a2 * r0[c2] + a3 * r0[c3]
                vi, by, was = v[i], over_g[i], dg[i]
                toward = -was * by
                b = vi * toward - vi
                b += b * toward + by * (mu - vi * a)
                a += was
                dg[i], dv[i] = a, b
                primal = max(primal, -a * by)
                if -b > dual * vi:
                    dual = -b / vi
                drd[c0] -= a0 * b
                drd[c1] -= a1 * b
                drd[c2] -= a2 * b
                drd[c3] -= a3 * b
                e += 4
        else:
            for i in range(first, last):
                a = 0.0
                for h in range(n):
                    a += coef[c + h] * r0[column[e + h]]
                vi, by, was = v[i], over_g[i], dg[i]
                toward = -was * by
                b = vi * toward - vi
                b += b * toward + by * (mu - vi * a)
                a += was
                dg[i], dv[i] = a, b
                primal = max(primal, -a * by)
                dual = max(dual, -b / vi)
                for h in range(n):
                    drd[column[e + h]] -= coef[c + h] * b
                e += n
    return primal, dual


@njit(cache=True, error_model="numpy")
def corrected(p: Programme, s: State, w: Work, mu: float) -> tuple[float, float]:
    """The whole step from the predictor in w.dx and what the corrector adds to it in by_one; the longest primal and
    dual steps that stay inside."""
    wl, wu, v = s.wl, s.wu, s.v
    over_low, over_up, over_g = w.over_low, w.over_up, w.over_g
    r, r0, drd, dwl, dwu, dg, dv, ax, dy = w.dx, w.by_one, w.drd, w.dwl, w.dwu, w.dg, w.dv, w.ax, w.dy
    primal, dual = 1e-30, 1e-30
    mi, start, column, value = p.unequal, p.start, p.column, p.value
    _kept(p, r0, dv, dy, 1.0)
    for j in range(r.size):
        was, lo, hi, l, u = r[j], over_low[j], over_up[j], wl[j], wu[j]
        dx = was + r0[j]
        toward, away = -was * lo, was * hi
        a = mu * lo - l * (dx * lo) - l + (l * toward - l) * toward
        b = mu * hi + u * (dx * hi) - u + (u * away - u) * away
        primal = max(primal, -dx * lo, dx * hi)
        if -a > dual * l:
            dual = -a / l
        if -b > dual * u:
            dual = -b / u
        r[j], dwl[j], dwu[j], drd[j] = dx, a, b, b - a
    primal, dual = _rows_corrected(
        p.run, p.coef_at, p.coef, column, v, over_g, r0, drd, dg, dv, mu, primal, dual
    )
    for i in range(p.summed, p.bound.size):
        a, b = 0.0, dv[i] if i < mi else dy[i - mi]
        for e in range(start[i], start[i + 1]):
            a += value[e] * r0[column[e]]
            drd[column[e]] -= value[e] * b
        ax[i - p.summed] += a
        if i < mi:
            dg[i] += a
            primal = max(primal, -dg[i] * over_g[i])
            if -b > dual * v[i]:
                dual = -b / v[i]
    return 1.0 / primal, 1.0 / dual


@njit(cache=True)
def _apart(count: int, n: int) -> tuple[Floats, int]:
    """Room for `count` arrays of n numbers and the distance from one to the next. A sweep reads a dozen arrays at
    once; on the same offset within a page they would all fall into one set of the nearest cache and drive each other
    out."""
    distance = ((n + HALF) // PAGE + 1) * PAGE + SKEW
    return np.zeros(count * distance), distance


@njit(cache=True)
def _work(n: int, unequal: int, equal: int, kept: int) -> Work:
    a, d = _apart(10, n)
    b, e = _apart(3, unequal)
    c, g = _apart(3, equal + unequal)
    return Work(
        a[:n], c[:equal + unequal], a[d : d + n], a[2 * d : 2 * d + n], b[:unequal], a[3 * d : 3 * d + n],
        a[4 * d : 4 * d + n], a[5 * d : 5 * d + n], a[6 * d : 6 * d + n], a[7 * d : 7 * d + n],
        a[8 * d : 8 * d + n], b[e : e + unequal], b[2 * e : 2 * e + unequal], c[g : g + equal],
        c[2 * g : 2 * g + kept],
    )  # fmt: skip


@njit(cache=True)
def _state(
    x: Floats, sl: Floats, su: Floats, wl: Floats, wu: Floats, g: Floats, v: Floats, y: Floats
) -> State:
    """The same numbers in arrays that lie well beside each other."""
    n, m = x.size, g.size
    a, d = _apart(5, n)
    b, e = _apart(2, m)
    for k, values in enumerate((x, sl, su, wl, wu)):
        a[k * d + HALF : k * d + HALF + n] = values
    b[HALF : HALF + m], b[e + HALF : e + HALF + m] = g, v
    s = HALF
    return State(
        a[s : s + n], a[s + d : s + d + n], a[s + 2 * d : s + 2 * d + n], a[s + 3 * d : s + 3 * d + n],
        a[s + 4 * d : s + 4 * d + n], b[s : s + m], b[s + e : s + e + m], y,
    )  # fmt: skip


@njit(cache=True, error_model="numpy")
def residuals(p: Programme, s: State, rd: Floats, rp: Floats) -> tuple[float, float]:
    """rd = c - A'y - wl + wu, rp = A x - b - g; their greatest entries."""
    for j in range(s.x.size):
        rd[j] = p.cost[j] - s.wl[j] + s.wu[j]
    most_p = 0.0
    for i in range(p.bound.size):
        a = -p.bound[i]
        y = s.v[i] if i < p.unequal else s.y[i - p.unequal]
        for e in range(p.start[i], p.start[i + 1]):
            j = p.column[e]
            a += p.value[e] * s.x[j]
            rd[j] -= p.value[e] * y
        if i < p.unequal:
            a -= s.g[i]
        rp[i] = a
        most_p = max(most_p, abs(a))
    most_d = 0.0
    for j in range(s.x.size):
        most_d = max(most_d, abs(rd[j]))
    return most_d, most_p


@njit(cache=True, error_model="numpy")
def _nearest(p: Programme, k: Pattern, x: Floats, width: Floats) -> None:
    """Move x by least squares, weighted by the widths, onto the equations."""
    f, r = Factor(k.fixed.copy(), np.empty(x.size)), np.zeros(x.size)
    for j in range(x.size):
        f.diagonal[j] = 1.0 / max(width[j], 1e-3) ** 2
    for i in range(p.summed, p.bound.size):
        f.diagonal[p.row_place[i - p.summed]] = -1e6 if i < p.unequal else -SLIGHT
    for i in range(p.unequal, p.bound.size):
        a = p.bound[i]
        for e in range(p.start[i], p.start[i + 1]):
            a -= p.value[e] * x[p.column[e]]
        r[p.row_place[i - p.summed]] = a
    k.own[:] = f.diagonal
    factorise(k, f, r)
    backward(k, f, r)
    for j in range(x.size):
        x[j] += r[j]
    for i in range(p.row_place.size):
        x[p.row_place[i]] = 0.0


@njit(cache=True, error_model="numpy")
def begin(p: Programme, k: Pattern, tune: Floats) -> State:
    """A start inside all bounds that nearly keeps the equations: the middle of every box, moved onto them, pushed
    back inside; multipliers that centre it, and what is left of each column's cost on the bound that it points
    to. tune: (share of a box kept free, room of a row, mu, room at half-lines, place in a box, weight of costs)."""
    n, mi = p.cost.size, p.unequal
    x, g, v, y = np.zeros(n), np.zeros(mi), np.zeros(mi), np.zeros(p.bound.size - mi)
    wl, wu, width, room = np.zeros(n), np.zeros(n), np.ones(n), np.zeros(n)
    for j in range(n):
        both = p.has_low[j] * p.has_up[j] > 0
        width[j] = p.up[j] - p.low[j] if both else 1.0
        room[j] = tune[0] * width[j] if both else tune[3]
        if p.has_low[j] > 0:
            x[j] = p.low[j] + (tune[4] * width[j] if both else tune[3])
        elif p.has_up[j] > 0:
            x[j] = p.up[j] - tune[3]
    _nearest(p, k, x, width)
    for j in range(n):
        x[j] = min(max(x[j], p.low[j] + room[j]), p.up[j] - room[j])
    left = p.cost.copy()
    for i in range(mi):
        a = -p.bound[i]
        for e in range(p.start[i], p.start[i + 1]):
            a += p.value[e] * x[p.column[e]]
        g[i] = max(a, tune[1])
        v[i] = tune[2] / g[i]
        for e in range(p.start[i], p.start[i + 1]):
            left[p.column[e]] -= p.value[e] * v[i]
    sl, su = x - p.low, p.up - x
    for j in range(n):
        wl[j] = p.has_low[j] * (tune[2] / sl[j] + tune[5] * max(left[j], 0.0))
        wu[j] = p.has_up[j] * (tune[2] / su[j] + tune[5] * max(-left[j], 0.0))
    return _state(x, sl, su, wl, wu, g, v, y)


@njit(cache=True, error_model="numpy")
def follow(
    p: Programme,
    k: Pattern,
    s: State,
    most: int,
    close_gap: float,
    close_dual: float,
    close_primal: float,
    trace: Floats,
) -> tuple[int, int]:
    """Mehrotra's predictor-corrector from `s` in place. close_gap: sum of complementarity to reach, in the unit of
    cost; close_dual, close_primal: greatest residuals, the latter up to FLOOR times that where a step no longer halves
    it: going on would only wear out the pivots. trace (most + 1, 6): that sum, residuals, steps, lost pivots.
    Returns (DONE, STUCK or SPENT, iterations)."""
    n, mi = s.x.size, p.unequal
    w, f = (
        _work(n, mi, p.bound.size - mi, p.bound.size - p.summed),
        Factor(np.empty(k.below.size), np.empty(n)),
    )
    pairs = mi + p.has_low.sum() + p.has_up.sum()
    short, before, primal, dual = 0, 0.0, 0.0, 0.0
    residuals(p, s, w.rd, w.rp)
    for it in range(most + 1):
        total, most_d, most_p = load(p, k, s, w, f, primal, dual)
        trace[it, 0], trace[it, 1], trace[it, 2] = total, most_d, most_p
        if not (total < 1e30 and most_d < 1e30 and most_p < 1e30):
            return STUCK, it
        met = most_p <= close_primal or 0.5 * before <= most_p <= FLOOR * close_primal
        if total <= close_gap and most_d <= close_dual and met:
            return DONE, it
        before = most_p
        if it == most:
            break
        trace[it, 5] = factorise(k, f, w.dx)
        backward(k, f, w.dx)
        primal, dual, one, two, three = predicted(p, s, w)
        a, b = min(primal, 1.0), min(dual, 1.0)
        ahead = total + a * one + b * two + a * b * three
        mu = min(max(ahead / total, 0.0), 1.0) ** 4 * total / pairs
        forward(k, f, w.by_one, w.by_mu, mu)
        backward(k, f, w.by_one)
        primal, dual = corrected(p, s, w, mu)
        primal, dual = min(BACK * primal, 1.0), min(BACK * dual, 1.0)
        trace[it, 3], trace[it, 4] = primal, dual
        short = short + 1 if max(primal, dual) < 1e-4 else 0
        if short > 3:
            return STUCK, it
    return SPENT, most
