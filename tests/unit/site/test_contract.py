"""A contract's arithmetic by hand, its entries against the gross, and the owner's share in the plan."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from math import fsum

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.kinds.case import Case, FlatRate, PlainBattery, metered, world
from tests.kinds.two_way_regulation import TwoWayRegulation
from valuestack.ledger import Entry
from valuestack.site.contract import Contract, Contracted, ContractTerm, Revenue, contracted, owner_usd
from valuestack.stack.optimise import optimise_view

SHARE = Contract(name="share", streams=("regulation",), revenue=Revenue(owner_frac=0.7))


@pytest.mark.parametrize(
    ("revenue", "penalty", "netting", "want"),
    [
        (1000.0, 0.0, False, 700.0),
        (1000.0, 200.0, False, 700.0 - 100.0),  # half of the penalty
        (1000.0, 200.0, True, 0.7 * 800.0),
        (200.0, 1000.0, True, 0.5 * -800.0),
    ],
)
def test_shares_by_hand(revenue: float, penalty: float, netting: bool, want: float) -> None:
    r = Revenue(owner_frac=0.7, penalty_owner_frac=0.5, netting=netting)
    assert owner_usd(r, revenue, penalty) == pytest.approx(want, abs=1e-12)


class Paid:
    """A stream that settles what it is told."""

    name, layer, certainty = "regulation", 3, "market"

    def __init__(self, *usd: float) -> None:
        self.usd = usd

    def settle(self, record: object, world: object) -> list[Entry]:
        return [
            Entry("2018-07", 3, self.name, "credit", "market", 1.0, "kW", None, u, certainty="market")
            for u in self.usd
        ]


def owners_usd(contract: Contract, *usd: float) -> tuple[float, float]:
    """(net to the owner, what the counterparty keeps) of one month."""
    made = list(Contracted(Paid(*usd), contract).settle(None, None))  # type: ignore[arg-type]
    return fsum(e.usd for e in made), -fsum(e.usd for e in made if e.counterparty == contract.counterparty)


@pytest.mark.parametrize(
    ("terms", "usd", "want"),
    [
        (Revenue(owner_frac=0.7), (1000.0, -100.0), 600.0),
        (Revenue(owner_frac=0.7, floor_usd_per_month=900.0), (1000.0,), 900.0),
        (Revenue(owner_frac=0.7, floor_usd_per_month=500.0), (1000.0,), 700.0),
        (Revenue(owner_frac=0.7, guaranteed_usd_per_month=400.0), (1000.0,), 400.0),
        (Revenue(owner_frac=0.7, guaranteed_usd_per_month=400.0, true_up=True), (1000.0,), 700.0),
        (Revenue(owner_frac=0.7, guaranteed_usd_per_month=400.0, true_up=True), (100.0,), 400.0),
    ],
)
def test_floors_and_guarantees(terms: Revenue, usd: tuple[float, ...], want: float) -> None:
    net, kept = owners_usd(replace_revenue(terms), *usd)
    assert net == pytest.approx(want) and net + kept == pytest.approx(sum(usd))


def replace_revenue(revenue: Revenue) -> Contract:
    return SHARE.model_copy(update={"revenue": revenue})


@given(
    st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=6),
    st.floats(0, 1),
    st.floats(0, 1),
    st.booleans(),
)
def test_what_is_paid_goes_to_somebody(usd: list[float], s: float, q: float, netting: bool) -> None:
    r = Revenue(owner_frac=s, penalty_owner_frac=q, netting=netting)
    net, kept = owners_usd(replace_revenue(r), *usd)
    assert net + kept == pytest.approx(sum(usd), abs=1e-6)
    gross_plus, gross_minus = sum(max(u, 0) for u in usd), sum(max(-u, 0) for u in usd)
    assert -gross_minus - 1e-6 <= net <= gross_plus + 1e-6


def test_the_plan_sees_the_owners_share() -> None:
    """The same award at a share of the price and at that price outright."""
    inner = TwoWayRegulation()
    flat, battery = FlatRate(usd_per_kwh=(0.1, 0.15, 0.2, 0.1)), PlainBattery(wear_usd_per_kwh=0.0)
    case = Case(world([60, 50, 80, 70]), [Contracted(inner, SHARE), flat], [battery])
    plan = optimise_view(case.view(), case.assets, case.streams, method="highs", gap=1e-9)
    gross = fsum(e.usd for e in inner.settle(metered(plan), case.world))
    net = fsum(e.usd for e in case.streams[0].settle(metered(plan), case.world))
    assert gross > 0 and net == pytest.approx(0.7 * gross)
    assert plan.term_usd["regulation/capacity"] == pytest.approx(-net)


def test_a_contract_holds_within_its_term() -> None:
    c = SHARE.model_copy(
        update={"term": ContractTerm(start=date(2026, 6, 1), years=3, exit_usd=(900.0, 500.0))}
    )
    stream = TwoWayRegulation()
    assert contracted(stream, [c], date(2026, 5, 31)) is stream
    assert isinstance(contracted(stream, [c], date(2026, 6, 1)), Contracted)
    assert contracted(stream, [c], date(2029, 6, 1)) is stream
    assert c.term is not None and [c.term.exit_cost_usd(y) for y in (1, 2, 3, 4)] == [
        900.0,
        500.0,
        500.0,
        0.0,
    ]


def test_two_contracts_share_one_after_the_other() -> None:
    outer = SHARE.model_copy(
        update={"name": "financier", "counterparty": "financier", "revenue": Revenue(owner_frac=0.5)}
    )
    made = contracted(Paid(1000.0), [outer, SHARE], date(2026, 1, 1))
    assert fsum(e.usd for e in made.settle(None, None)) == pytest.approx(350.0)


def test_contradictory_promises_are_refused() -> None:
    with pytest.raises(ValidationError, match="exclude each other"):
        Revenue(floor_usd_per_month=1.0, guaranteed_usd_per_month=2.0)
    with pytest.raises(ValidationError, match="belongs to guaranteed"):
        Revenue(true_up=True)


def test_prices_of_both_signs_keep_their_parts() -> None:
    class Priced:
        name = "regulation"

        def terms(self, view: object) -> list[object]:
            from valuestack.terms import Block, Measure, Payment

            return [
                Payment(
                    "regulation", "event", Measure("import"), "sum", np.zeros(4, dtype=np.int64),
                    (Block(10.0, -2.0), Block(np.inf, 4.0)),
                )
            ]  # fmt: skip

    c = replace_revenue(Revenue(owner_frac=0.7, penalty_owner_frac=0.25))
    (term,) = Contracted(Priced(), c).terms(None)  # type: ignore[arg-type]
    assert [b.usd_per_unit for b in term.blocks] == [-1.4, 1.0]  # type: ignore[union-attr]
    assert replace(term) is not term
