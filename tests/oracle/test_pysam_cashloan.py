"""The pro forma against NREL SAM's Cashloan: the same savings, O&M, loan, credit, MACRS and taxes give the same flows.

SAM taxes a business on its savings as deductions lost, takes the credit in year 1, reduces both bases by half of it,
and deducts state tax from federal income: the conventions of this pro forma with flows at year ends.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from tests.conftest import Notebook
from valuestack.finance.finance import Finance, Value
from valuestack.finance.proforma import cash_flow

YEARS, COST_USD, SAVING_USD, OM_USD = 12, 500_000.0, 90_000.0, 8_000.0


def cashloan(state_frac: float, share_frac: float) -> tuple[list[float], float]:
    """SAM's after-tax flows and NPV."""
    import PySAM.Cashloan as Cashloan
    import PySAM.Utilityrate5 as Utilityrate5

    # Cashloan wants a utility bill beside the savings that it is given: an empty one, whose owner must outlive it.
    rate = Utilityrate5.default("PVWattsCommercial")
    idle: dict[str, Any] = {
        "gen": [0.0] * 8760,
        "load": [1.0] * 8760,
        "analysis_period": YEARS,
        "inflation_rate": 2.5,
        "degradation": [0.0],
        "load_escalation": [0.0],
        "rate_escalation": [0.0],
        "system_use_lifetime_output": 0,
    }
    for key, value in idle.items():
        rate.value(key, value)
    rate.execute(0)
    model = Cashloan.from_existing(rate)
    groups = (
        "FinancialParameters",
        "Depreciation",
        "TaxCreditIncentives",
        "SystemCosts",
        "PaymentIncentives",
        "LandLease",
    )
    preset = Cashloan.default("PVWattsCommercial").export()
    model.assign({k: v for k, v in preset.items() if k in groups})
    given: dict[str, Any] = {
        "analysis_period": YEARS,
        "market": 1,
        "mortgage": 0,
        "debt_fraction": share_frac * 100,
        "loan_rate": 6.0,
        "loan_term": 8,
        "inflation_rate": 2.5,
        "real_discount_rate": 5.0,
        "federal_tax_rate": [21.0],
        "state_tax_rate": [state_frac * 100],
        "total_installed_cost": COST_USD,
        "system_capacity": 100.0,
        "om_fixed": [OM_USD],
        "itc_fed_percent": [30.0],
        "itc_fed_percent_maxvalue": [1e38],
        "depr_fed_type": 1,
        "depr_sta_type": 1,
        "annual_energy_value": [0.0] + [SAVING_USD * 1.03**k for k in range(YEARS)],
        "gen_purchases": [0.0] * 8760,
    }
    zero = (
        "insurance_rate property_tax_rate prop_tax_cost_assessed_percent salvage_percentage om_fixed_escal "
        "ibi_fed_amount cbi_fed_amount system_use_lifetime_output"
    )
    none = (
        "om_capacity om_production degradation itc_fed_amount itc_sta_percent itc_sta_amount ptc_fed_amount "
        "ptc_sta_amount"
    )
    given |= dict.fromkeys(zero.split(), 0.0) | {k: [0.0] for k in none.split()}
    for key, value in given.items():
        model.value(key, value)
    model.execute(0)
    return list(model.Outputs.cf_after_tax_cash_flow), float(model.Outputs.npv)


@pytest.mark.parametrize("state_frac", [0.0, 0.07])
@pytest.mark.parametrize("share_frac", [0.0, 0.6])
def test_flows_and_npv_are_sams(state_frac: float, share_frac: float, evidence: Notebook) -> None:
    written: dict[str, Any] = {
        "start_date": date(2026, 1, 1),
        "analysis_years": YEARS,
        "discount_real_frac": 0.05,
        "inflation_frac": 0.025,
        "debt": {"rate_frac": 0.06, "years": 8, "share_frac": share_frac} if share_frac else None,
        "electricity": {"frac_per_y": 0.03},
        "om": {"frac_per_y": 0.025},  # SAM's O&M grows with inflation
        "tax": {"federal_frac": 0.21, "state_frac": state_frac},
        "running": [{"name": "om", "usd_per_y": OM_USD}],
        "capex": [{"name": "plant", "usd": COST_USD, "itc_frac": 0.3, "macrs_class_y": 5, "bonus_frac": 0.0}],
    }
    mine = cash_flow(Finance.model_validate(written), [Value("tariff", 1, SAVING_USD, "contractual")])
    flows, npv_usd = cashloan(state_frac, share_frac)
    worst = max(abs(a - b) for a, b in zip(mine.owner_usd.tolist(), flows))
    evidence(
        "pro forma against SAM's Cashloan",
        state_frac=state_frac,
        debt_share_frac=share_frac,
        worst_flow_usd=worst,
        npv_difference_usd=abs(mine.npv_usd - npv_usd),
    )
    assert mine.owner_usd.tolist() == pytest.approx(flows, abs=0.005)
    assert mine.npv_usd == pytest.approx(npv_usd, abs=0.01)
