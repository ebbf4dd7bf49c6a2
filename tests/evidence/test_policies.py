"""Laws of policies on real cells: nothing beats the bound, B never loses to doing nothing; who wins against whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Notebook
from tests.evidence.cells import cell
from tests.evidence.forecast_table import CELLS as FORECAST_CELLS
from tests.evidence.forecast_table import RULES, bands_of, emulated
from valuestack.control.dynamic import Dynamic
from valuestack.control.persistence_mpc import PersistenceMpc
from valuestack.forecast.quantile_trees import QuantileTrees
from valuestack.forecast.similar_quantiles import SimilarQuantiles

pytestmark = [pytest.mark.data, pytest.mark.slow]
CELLS = (
    ("steel works", "pge-b-20-secondary", 2),
    ("plant near Madison", "coned-sc-9-rate-iii-nyc", 4),
    ("Hospital__Baltimore", "aps-e-32-l-tou-secondary", 2),
    ("Warehouse__Atlanta", "coned-sc-9-rate-iii-nyc", 2),
)
BASELINES: dict[str, Any] = {**RULES, "persistence MPC": PersistenceMpc}


def name(c: tuple[str, str, int]) -> str:
    return f"{c[0]}, {c[2]} h"


@pytest.mark.parametrize("which", CELLS, ids=name)
def test_no_policy_beats_the_bound_and_b_never_loses_to_nothing(
    which: tuple[str, str, int], data_dir: Path, evidence: Notebook
) -> None:
    c = cell(*which, data_dir)
    kept = {"B": c.kept(Dynamic()), **{k: c.kept(make()) for k, make in BASELINES.items()}}
    won = [k for k in BASELINES if kept["B"] >= kept[k]]
    evidence(
        f"share of the bound kept, {name(which)} on {which[1]}",
        **{k.replace(" ", "_"): round(v, 3) for k, v in kept.items()},
        b_keeps_at_least_as_much_as=won,
    )
    assert max(kept.values()) <= 1 + 1e-6, kept
    assert kept["B"] >= 0, kept
    assert kept["B"] > kept["persistence MPC"] and kept["B"] > kept["time-of-use schedule"], kept


def test_bands_hold_on_periods_not_seen(data_dir: Path, evidence: Notebook) -> None:
    """Seven to nine of ten values lie between the 10th and the 90th percentile, in the mean of the sites."""
    found: dict[str, list[float]] = {}
    for which in CELLS[:3]:
        c = cell(*which, data_dir)
        for method in (SimilarQuantiles(), QuantileTrees()):
            found.setdefault(method.kind, []).append(bands_of(c, method).coverage_frac)
    evidence(
        "share of values between the 10th and the 90th percentile, second half of the year",
        **{k: [round(x, 3) for x in v] for k, v in found.items()},
    )
    for shares in found.values():
        assert 0.7 <= float(np.mean(shares)) <= 0.9, found


def test_the_emulated_forecaster_costs_what_the_real_one_does(data_dir: Path, evidence: Notebook) -> None:
    """On five site-years, in the year of history and in futures drawn from it, by the mean of eight draws."""
    found = {which[0].replace(" ", "_"): emulated(cell(*which, data_dir)) for which in FORECAST_CELLS}
    told = "regret of B with an emulated forecaster beside that with the real one"
    evidence(f"{told}, the year of history", **{k: str(year) for k, (year, _) in found.items()})
    evidence(f"{told}, eight futures", **{k: str(futures) for k, (_, futures) in found.items()})
    assert max(abs(year.differs_frac) for year, _ in found.values()) <= 0.10, found
    assert max(abs(futures.differs_frac) for _, futures in found.values()) <= 0.10, found
