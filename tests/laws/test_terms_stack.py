"""The same laws on a whole stack: two stores (one with depth segments), curtailable PV, a shared claim."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.laws.instances import draw
from valuestack.flows import Given, Offer
from valuestack.stack.compile import compile_problem
from valuestack.stack.optimise import optimise, solve_compiled
from valuestack.terms import Claim, Term


def stack(seed: int) -> tuple[list[Offer], list[Term]]:
    i, rng = draw(seed), np.random.default_rng(seed)
    n = i.horizon.n
    second = replace(
        i.store,
        name="second",
        energy_start_kwh=10.0,
        energy_end_min_kwh=-inf,
        wear_segments=((0.4, 0.01), (0.6, 0.05)),
    )
    pv = Given("pv", -np.round(rng.uniform(0, 30, n), 1), curtailable=True)
    claim = Claim(
        "iso",
        "regulation",
        ("up", "down", "both")[seed % 3],  # type: ignore[arg-type]
        np.round(rng.uniform(-0.01, 0.1, n), 3),
        ("battery", "second"),
        min_kw=float(rng.choice([0, 5])),
        sustain_h=0.5,
        throughput_up_frac=0.1,
        throughput_down_frac=0.1,
        exposure_frac=0.05,
    )
    return [i.store, second, pv], [*i.terms, claim]


@settings(max_examples=25, deadline=None)
@given(st.integers(min_value=0, max_value=10**6))
def test_objective_is_worth_and_the_gap_closes(seed: int) -> None:
    i = draw(seed)
    offers, terms = stack(seed)
    compiled = compile_problem(i.horizon, i.load_kw, offers, terms, export_limit_kw=i.export_limit_kw)
    solution = solve_compiled(compiled)
    worth = compiled.worth(solution.x)
    assert worth.total_usd == pytest.approx(solution.objective, abs=1e-5 + compiled.slack_usd)
    found = optimise(
        i.horizon, i.load_kw, offers, terms, export_limit_kw=i.export_limit_kw, method="highs", gap=1e-9
    )
    assert -1e-5 <= found.gap_usd <= 1e-4 + compiled.slack_usd
    assert found.net_kw.min() >= -i.export_limit_kw - 1e-6
    for flows in (found.flows.assets[n] for n in ("battery", "second")):  # type: ignore[union-attr]
        assert np.minimum(flows["charge"], flows["discharge"]).max() < 1e-5
