"""One suite over every seam: the protocols, the golden problem, settlement, and objective = settlement."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from math import fsum
from pathlib import Path

import pytest

from tests.kinds.case import Case, metered
from valuestack.assets.asset import Asset
from valuestack.stack.compile import Compiled, compile_problem
from valuestack.stack.optimise import Schedule, optimise_view
from valuestack.streams.stream import ValueStream

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "problems"
SEAMS = (
    "declining_tiers",
    "hours_use",
    "ratchet",
    "net_metering_bank",
    "capacity_reservation",
    "excess_kvar",
    "two_way_regulation",
    "own_baseline",
    "start_stop_generator",
    "resilience_reserve",
    "cold_store",
    "revenue_share",
    "regulation_split",
    "called_reduction",
    "capacity_assessment",
    "coincident_tag",
    "voltage_support",
    "rec_and_curtailment",
    "carbon_price",
    "smart_charging",
    "shifted_process",
    "prechilled_store",
)


@pytest.fixture(params=SEAMS)
def seam(request: pytest.FixtureRequest) -> tuple[str, Case]:
    build: Callable[[], Case] = import_module(f"tests.kinds.{request.param}").case
    return request.param, build()


def compiled(case: Case) -> Compiled:
    view = case.view()
    return compile_problem(
        view.horizon,
        view.series("load_kw"),
        [a.belief(view) for a in case.assets],
        [t for s in case.streams for t in s.terms(view)],
        load_kvar=view.series("load_kvar") if "load_kvar" in case.world.series else None,
        export_limit_kw=case.export_limit_kw,
    )


def solved(case: Case) -> Schedule:
    return optimise_view(
        case.view(), case.assets, case.streams, export_limit_kw=case.export_limit_kw, method="highs", gap=1e-9
    )


def test_speaks_the_public_protocols(seam: tuple[str, Case]) -> None:
    _, case = seam
    assert all(isinstance(a, Asset) for a in case.assets)
    assert all(isinstance(s, ValueStream) for s in case.streams)
    assert case.world.timeline.n <= 4


def test_problem_reads_as_the_golden_text(seam: tuple[str, Case]) -> None:
    name, case = seam
    text = (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")
    head = [line for line in text.splitlines() if line.startswith("#")]
    assert head, "a golden problem says what its maths is and where it comes from"
    body = "\n".join(line for line in text.splitlines() if not line.startswith("#")) + "\n"
    assert compiled(case).problem.text() == body


def test_objective_is_the_settlement_of_the_record(seam: tuple[str, Case]) -> None:
    _, case = seam
    found = solved(case)
    assert found.gap_usd == pytest.approx(0.0, abs=1e-5)
    assert fsum(found.term_usd.values()) == pytest.approx(found.objective_usd)
    record, view = metered(found), case.view()
    settled = []
    for s in case.streams:
        usd = fsum(e.usd for e in s.settle(record, case.world))
        if all(t.exact for t in s.terms(view)):
            stated = fsum(v for k, v in found.term_usd.items() if k.split("/")[0] == s.name)
            fixed = case.fixed_usd if s is case.streams[0] else 0.0
            assert -usd == pytest.approx(stated + fixed, abs=2e-5), s.name
        settled.append(usd)
    for a in case.assets:
        usd = fsum(e.usd for e in a.settle(record, case.world))
        stated = fsum(v for k, v in found.term_usd.items() if k.split("/")[0] == a.name)
        assert -usd == pytest.approx(stated, abs=1e-6), a.name


@pytest.mark.parametrize(
    "name",
    [
        "declining_tiers",
        "hours_use",
        "ratchet",
        "net_metering_bank",
        "capacity_reservation",
        "excess_kvar",
        "own_baseline",
    ],
)
def test_doing_nothing_is_never_cheaper(name: str) -> None:
    """With the asset taken away, the same streams cost at least as much."""
    case: Case = import_module(f"tests.kinds.{name}").case()
    idle = optimise_view(
        Case(case.world, case.streams, []).view(),
        [],
        case.streams,
        export_limit_kw=case.export_limit_kw,
        method="highs",
        gap=1e-9,
    )
    assert solved(case).objective_usd <= idle.objective_usd + 1e-6
