"""The grid of sizes: its axes, its knee, and the same answer from workers as from here."""

from __future__ import annotations

import math

import numpy as np
import pytest

from valuestack.process.stacking.sizes import axes, grid, knee
from valuestack.site.site import Economics, SizeOptions

POWERS, ENERGIES = (100.0, 200.0, 300.0, 400.0, 500.0), (200.0, 400.0, 600.0, 800.0, 1000.0)


def saving(cell: tuple[float, float]) -> tuple[float, float]:
    """Full use up to 300 kW and 600 kWh, little beyond."""
    kw, kwh = cell
    return 100 * min(kw, 300) + 50 * min(kwh, 600) + 0.5 * (kw + kwh), math.nan


def table() -> np.ndarray:
    return np.array([[saving((p, e))[0] for e in ENERGIES] for p in POWERS])


def test_default_axes_are_25_sizes_around_the_present_one() -> None:
    powers, energies = axes(SizeOptions(), 500, 1000)
    assert len(powers) * len(energies) == 25 and 500 in powers and 1000 in energies


def test_written_axes_are_used_in_order() -> None:
    assert axes(SizeOptions(power_kw=(200, 100), energy_kwh=(5, 1)), 1, 1) == ((100, 200), (1, 5))


def test_knee_is_where_the_gain_ends() -> None:
    place, why = knee(POWERS, ENERGIES, table(), Economics())
    assert place == (2, 2) and "distinctly less" in why


def test_knee_with_prices_is_the_most_money_a_year() -> None:
    economics = Economics(capex_usd_per_kw=300, capex_usd_per_kwh=400, life_y=10)
    place, why = knee(POWERS, ENERGIES, table(), economics)
    net = table() - (300 * np.array(POWERS)[:, None] + 400 * np.array(ENERGIES)) / 10
    assert place == np.unravel_index(net.argmax(), net.shape) and "most money" in why


def test_no_size_earns_its_cost() -> None:
    place, why = knee(POWERS, ENERGIES, table(), Economics(capex_usd_per_kwh=1e6, life_y=10))
    assert place is None and "no size of the grid earns its cost" in why


def test_nothing_saved_has_no_knee() -> None:
    assert knee(POWERS, ENERGIES, np.zeros((5, 5)), Economics()) == (None, "no size saves anything")


def test_a_knee_at_the_edge_says_so() -> None:
    rising = np.outer(np.ones(5), [1.0, 2.0, 3.0, 4.0, 10.0]) * 100
    economics = Economics(capex_usd_per_kwh=0.001, life_y=10)
    place, why = knee(POWERS, ENERGIES, rising, economics)
    assert place is not None and place[1] == 4 and "edge of the grid" in why


@pytest.mark.parametrize("jobs", [1, 2])
def test_workers_give_what_one_process_gives(jobs: int) -> None:
    seen: list[float] = []
    made = grid(
        "battery",
        (POWERS, ENERGIES),
        saving,
        Economics(),
        realised=False,
        jobs=jobs,
        progress=lambda _, share: seen.append(share or 0.0),
    )
    assert np.array_equal(made.bound_usd_per_y, table()) and made.realised_usd_per_y is None
    assert made.knee == (2, 2) and seen[-1] == 1.0 and seen == sorted(seen)
