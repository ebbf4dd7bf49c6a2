"""A grid of battery sizes: the saving of the bound over power and energy, with the knee marked.

The bound ranks sizes, because it does not depend on how well a policy is tuned to one size; where asked, the
realised saving is computed beside it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np

from ...errors import InputError
from ...report.result import SizeGrid
from ...site.site import Economics, SizeOptions
from . import layers
from .cases import bound_run, prices_of, realised_run, terms_of

Step = Callable[[str, float | None], None]
STEPS = (0.25, 0.5, 1.0, 1.5, 2.0)
Cell = tuple[float, float]
Floats = np.ndarray[Any, np.dtype[np.float64]]


def axes(
    options: SizeOptions, power_kw: float, energy_kwh: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Powers and energies of the grid: as written, else 0.25 to 2 times the present battery's."""
    powers = options.power_kw or tuple(round(power_kw * s, 3) for s in STEPS)
    energies = options.energy_kwh or tuple(round(energy_kwh * s, 3) for s in STEPS)
    return tuple(sorted(powers)), tuple(sorted(energies))


def grid(
    asset: str,
    axes_kw_kwh: tuple[tuple[float, ...], tuple[float, ...]],
    run: Callable[[Cell], tuple[float, float]],
    economics: Economics,
    *,
    realised: bool,
    progress: Step | None = None,
    jobs: int | None = None,
) -> SizeGrid:
    """Saving of every size, USD a year net of wear; `run((kw, kwh))` gives (bound, realised or NaN).

    run must be picklable; it is called in worker processes where that is quicker than here.
    """
    powers, energies = axes_kw_kwh
    cells = [(p, e) for p in powers for e in energies]
    found = _map(run, cells, progress, jobs)
    shape = (len(powers), len(energies))
    bound = np.array([f[0] for f in found], dtype=np.float64).reshape(shape)
    real = np.array([f[1] for f in found], dtype=np.float64).reshape(shape) if realised else None
    place, why = knee(powers, energies, bound, economics)
    return SizeGrid(
        asset=asset,
        power_kw=powers,
        energy_kwh=energies,
        bound_usd_per_y=bound,
        realised_usd_per_y=real,
        knee=place,
        why=why,
    )


def _map(
    run: Callable[[Cell], tuple[float, float]], cells: Sequence[Cell], progress: Step | None, jobs: int | None
) -> list[tuple[float, float]]:
    """Results in order. The first is run here and timed: workers cost a second or two to start."""

    def tell(done: int) -> None:
        if progress:
            progress("sizes", done / len(cells))

    started = time.perf_counter()
    out = [run(cells[0])]
    ahead_s = (time.perf_counter() - started) * (len(cells) - 1)
    tell(1)
    workers = min(jobs or os.cpu_count() or 1, len(cells) - 1)
    if workers > 1 and (jobs is not None or ahead_s > 6.0):
        with ProcessPoolExecutor(max_workers=workers) as pool:
            for result in pool.map(run, cells[1:]):
                out.append(result)
                tell(len(out))
    else:
        for cell in cells[1:]:
            out.append(run(cell))
            tell(len(out))
    return out


def knee(
    powers: Sequence[float], energies: Sequence[float], saving: Floats, economics: Economics
) -> tuple[tuple[int, int] | None, str]:
    """The marked size and why.

    With prices per kW and kWh: the size of the most money a year, saving - capex / life - om. Without: the
    point of the frontier saving(energy) that lies highest above the straight line from its first to its
    last point (both axes scaled to 1), at the least power that loses at most 2 % of that energy's best.
    """
    if not np.isfinite(saving).any() or float(np.nanmax(saving)) <= 0:
        return None, "no size saves anything"
    per_kw, per_kwh, life = economics.capex_usd_per_kw, economics.capex_usd_per_kwh, economics.life_y
    if (per_kw or per_kwh) and life:
        capex = (per_kw or 0.0) * np.array(powers)[:, None] + (per_kwh or 0.0) * np.array(energies)[None, :]
        net = np.where(np.isfinite(saving), saving, -np.inf) - capex / life - economics.om_usd_per_y
        i, j = (int(k) for k in np.unravel_index(int(net.argmax()), net.shape))
        if net[i, j] <= 0:
            return None, (
                f"at ${per_kw or 0:,.0f}/kW and ${per_kwh or 0:,.0f}/kWh over {life:g} years no size of "
                "the grid earns its cost, even with perfect foresight"
            )
        return (i, j), (
            f"most money a year: ${net[i, j]:,.0f} after ${capex[i, j] / life:,.0f} of capex spread over "
            f"{life:g} years and ${economics.om_usd_per_y:,.0f} of O&M, taken alike for every size"
            + _edge(i, j, saving.shape)
        )
    known = np.where(np.isfinite(saving), saving, -np.inf)
    best = np.maximum.accumulate(known.max(axis=0))
    best = np.where(np.isfinite(best), best, 0.0)  # nothing is saved by a size that cannot be had
    x, y = _scaled(np.asarray(energies, dtype=np.float64)), _scaled(best)
    j = int(np.argmax(y - x))
    column = known[:, j]
    i = int(np.flatnonzero(column >= 0.98 * column.max())[0])
    return (i, j), (
        "no prices per kW and kWh are given: the size after which a further kWh earns distinctly less, "
        "at the least power that keeps 98 % of its saving" + _edge(i, j, saving.shape)
    )


def _scaled(values: Floats) -> Floats:
    span = values[-1] - values[0]
    return (values - values[0]) / span if span > 0 else np.zeros_like(values)


def _edge(i: int, j: int, shape: tuple[int, ...]) -> str:
    at_edge = i in (0, shape[0] - 1) or j in (0, shape[1] - 1)
    return "; it lies at the edge of the grid, so look beyond it" if at_edge else ""


@dataclass(frozen=True, slots=True, eq=False)
class AtSize:
    """The saving of one meter with its store at another size, by bill and priced wear. Picklable."""

    site: Any
    meter: Any
    asset: Any
    prices: dict[str, float]
    before_usd: float
    per_y: float
    realised: bool
    as_of: date
    refused: int

    def __call__(self, cell: Cell) -> tuple[float, float]:
        """(bound, realised or NaN) saving of (kW, kWh) [USD a year], net of wear, with the site's reserve held; NaN
        where a size cannot hold it."""

        sized = resized(self.asset, *cell)
        meter = replace(self.meter, new=tuple(sized if a is self.asset else a for a in self.meter.new))
        place = layers.placed(self.site, meter, self.as_of, lenient=True)
        if len(place.refused) > self.refused:
            return float("nan"), float(
                "nan"
            )  # a size that cannot hold what the others can is no size to compare
        terms = [*terms_of(meter), *layers.floors(place)]
        run = bound_run(meter, rounds=0, price_usd_per_kwh=self.prices, terms=terms)
        best = self._net(meter, run)
        if not self.realised:
            return best, float("nan")
        return best, self._net(meter, realised_run(self.site, meter, None, layers.reserve_kwh(place)))

    def _net(self, meter: Any, run: Any) -> float:
        """Bill saving less wear at the study's price per kWh, which sizes share."""
        bill = meter.settle(run.record.net_kw, run.record.net_kvar)
        wear = sum(self.prices.get(w.asset, 0.0) * w.throughput_kwh for w in run.wear.values())
        return float(self.per_y * (self.before_usd - bill.total_usd - wear))


def resized(asset: Any, power_kw: float, energy_kwh: float) -> Any:
    """The same asset with another power and energy; InputError where its kind has no size."""
    if not hasattr(asset, "with_size"):
        raise InputError(f"{asset.name}: this kind of asset cannot be sized")
    return asset.with_size(power_kw, energy_kwh)


def of_site(
    site: Any, meters: Sequence[Any], runs: Sequence[Any], *, progress: Step | None = None
) -> SizeGrid:
    """The grid of the site's first store; InputError where it has none. runs: the bound's, for wear prices."""
    for m, run in zip(meters, runs):
        for asset in m.new:
            if asset.name in run.wear:
                options = site.written.study.sizes
                prices = prices_of(run)
                at = AtSize(
                    site,
                    m,
                    asset,
                    prices,
                    m.settle(m.before_kw, m.load_kvar).total_usd,
                    8760.0 / m.timeline.hours,
                    options.realised,
                    (day := layers.day_of_rules(site, meters)),
                    len(layers.placed(site, m, day, lenient=True).refused),
                )
                return grid(
                    asset.name,
                    axes(options, asset.power_kw, asset.energy_kwh),
                    at,
                    site.written.economics,
                    realised=options.realised,
                    progress=progress,
                )
    raise InputError('sizes: the site has no store to size; add [[assets]] with kind = "battery"')
