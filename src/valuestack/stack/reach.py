"""How far the assets can move the energy of a window: what tells a pinned tier from a live one.

A store takes in at most what fits and what its losses burn, and gives at most what it holds, in each run of
consecutive intervals of the window:

    greatest net = P T                              while eta_c P T <= room
                   (1 - eta_c eta_d) P T + eta_d room      beyond (charge and discharge in turn)
    least net    = -min(D T, eta_d held)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..flows import Store
from ..solve.problem import Floats, Ints, Mask, filled
from .meter import Meter
from .offers import Part


def sum_reach(meter: Meter, window: Ints, n: int) -> tuple[Floats, Floats] | None:
    """Least and greatest kWh of net load in each of n windows; None where an asset's energy is unknown."""
    low, high = np.zeros(n), np.zeros(n)
    rest = meter.net
    h = meter.horizon.step_h
    stores = [p for p in meter.parts.values() if isinstance(p.offer, Store)]
    if not stores:
        return None
    for part in stores:
        rest = rest - part.net
        assert isinstance(part.offer, Store)
        a, b = store_reach(part.offer, window, n, h, _called_reach(part, window, h))
        low, high = low + a, high + b
    least, most = meter.problem.reach(rest.merged())
    counted = np.flatnonzero(window >= 0)
    low += np.bincount(window[counted], weights=h * least[counted], minlength=n)[:n]
    high += np.bincount(window[counted], weights=h * most[counted], minlength=n)[:n]
    return low, high


def store_reach(
    o: Store, window: Ints, n: int, h: float, called: Floats | float = 0.0
) -> tuple[Floats, Floats]:
    """Least and greatest kWh that a store, with its auxiliary draw, adds to each of n windows.

    called: (runs,) energy that claims may call in each run of one window.
    """
    n_t = window.size
    run = _runs(window)
    fresh: Mask = np.concatenate(([True], window[1:] != window[:-1]))
    begins = np.flatnonzero(fresh)
    ends = np.concatenate((begins[1:], [n_t]))
    of = window[begins]

    def sums(values: ArrayLike) -> Floats:
        """Totals of an interval series by run."""
        return np.bincount(run, weights=filled(values, n_t)).astype(np.float64)

    charge, out = sums(np.asarray(o.charge_max_kw) * h), sums(np.asarray(o.discharge_max_kw) * h)
    low_e, high_e = np.asarray(o.energy_min_kwh, float).copy(), np.asarray(o.energy_max_kwh, float).copy()
    low_e[0] = high_e[0] = o.energy_start_kwh
    low_e[-1] = max(low_e[-1], o.energy_end_min_kwh)
    drain: Floats = np.zeros(n_t) if o.drain_kw is None else np.broadcast_to(o.drain_kw, n_t)
    gone: Floats = sums(drain * h + o.loss_frac_per_h * h * high_e.max())
    if o.loss_pieces:
        worst = o.loss_pieces[-1][1]
        gone = gone + worst * (charge + out)
    ec, ed = o.charge_efficiency_frac, o.discharge_efficiency_frac
    # at most from the lowest start to the highest end of the run, and back
    room = np.maximum(high_e[ends] - low_e[begins], 0.0) + gone
    held = np.maximum(high_e[begins] - low_e[ends], 0.0)
    most = np.where(ec * charge <= room, charge, (1 - ec * ed) * charge + ed * room)
    least = -np.minimum(out, ed * held)
    aux = sums(0.0 if o.aux_kw is None else o.aux_kw * h)
    keep = of >= 0
    low = np.bincount(of[keep], weights=(least + aux - called)[keep], minlength=n)
    high = np.bincount(of[keep], weights=(most + aux + called)[keep], minlength=n)
    return low[:n].astype(np.float64), high[:n].astype(np.float64)


def _runs(window: Ints) -> Ints:
    """Number of the run of equal windows that each interval belongs to."""
    return np.cumsum(np.concatenate(([True], window[1:] != window[:-1]))) - 1


def _called_reach(part: Part, window: Ints, h: float) -> Floats:
    """Energy that claims may call adds to both sides."""
    run = _runs(window)
    extra = (part.net - part.setpoint).merged()
    if extra.fixed:
        return np.zeros(int(run[-1]) + 1)
    size = np.bincount(extra.row, weights=np.abs(extra.coef), minlength=extra.n)
    return np.bincount(run, weights=size * h * _largest(part.offer)).astype(np.float64)


def _largest(offer: object) -> float:
    assert isinstance(offer, Store)
    return float(np.max(offer.charge_max_kw) + np.max(offer.discharge_max_kw))
