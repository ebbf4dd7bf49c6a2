"""Payback and claims follow from settled cases and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.report.study import hand_study
from valuestack.process.stacking.verdicts import billed_peak_cut_frac, claims, payback
from valuestack.site.site import Claim, Economics

STUDY = hand_study()


def test_payback_is_capex_over_saving_less_om() -> None:
    economics = Economics(capex_usd=100_000, om_usd_per_y=1_000, life_y=15)
    realised, bound = payback(STUDY, economics)
    saving = STUDY.realised_saving_usd / STUDY.span_y
    assert realised.years == pytest.approx(100_000 / (saving - 1_000)) and realised.case == "realised"
    assert bound.case == "bound" and bound.years is not None and bound.years <= (realised.years or 1e9)


def test_no_capex_no_payback() -> None:
    assert payback(STUDY, Economics()) == ()


def test_a_saving_that_does_not_cover_om_never_pays_back() -> None:
    (realised, _) = payback(STUDY, Economics(capex_usd=1, om_usd_per_y=1e9))
    assert realised.years is None and "does not cover" in realised.reason


def test_longer_than_its_life_is_said() -> None:
    (realised, _) = payback(STUDY, Economics(capex_usd=1e9, life_y=10))
    assert "longer than its life of 10 years" in realised.reason


def test_nothing_drawn_has_no_cut() -> None:
    empty = replace(STUDY.before, records={})
    assert billed_peak_cut_frac(empty, empty) is None
    assert billed_peak_cut_frac(STUDY.before, STUDY.before) == 0


def test_a_claim_stands_beside_what_was_found() -> None:
    claim = Claim(text="it saves a lot", source="somebody", saving_usd_per_y=120_000, peak_cut_frac=0.3)
    usd, cut = claims(STUDY, claim)
    assert usd.claimed == 120_000 and usd.realised == STUDY.realised_saving_usd / STUDY.span_y
    assert usd.bound == STUDY.bound_saving_usd / STUDY.span_y and usd.claim == "it saves a lot"
    assert cut.unit == "frac" and cut.realised is not None and cut.bound is not None
    assert usd.because and any("demand charges fall by" in b for b in usd.because)


def test_a_claim_without_figures_compares_nothing() -> None:
    assert claims(STUDY, Claim(text="x", source="y")) == () and claims(STUDY, None) == ()
