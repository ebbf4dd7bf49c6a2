"""Life-cycle cost as REopt defines it, in closed form: the check on the year table under the preset 'reopt'.

    pwf(e, r) = sum_{n=1..N} ((1 + e) / (1 + r))^n          (growth in year 1)
    LCC = capital after incentives + (1 - tax) [pwf_om O&M + pwf_e bill + pwf_fuel fuel],   NPV = LCC_bau - LCC

NREL REopt.jl: src/core/utils.jl (annuity, effective_cost), src/core/reopt_inputs.jl (third_party_factor),
src/results/financial.jl (names). Credits and bonus at the end of year 1; replacement after tax in its year, left out
where it falls at or after the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import InputError
from .incentives import schedule


def present_worth(years: int, growth_frac: float, discount_frac: float) -> float:
    """Present worth factor with growth from year 1.

    >>> round(present_worth(25, 0.0166, 0.0624), 2), round(present_worth(10, 0.0, 0.0624), 2)
    (14.82, 7.28)
    """
    x = (1 + growth_frac) / (1 + discount_frac)
    return float(years) if x == 1 else x * (1 - x**years) / (1 - x)


def depreciation_worth(class_y: int, bonus_frac: float, discount_frac: float) -> float:
    """Present worth of a dollar of basis depreciated by its table, at year ends.

    >>> round(depreciation_worth(5, 0.0, 0.0624), 4)
    0.8475
    """
    return float(sum(s / (1 + discount_frac) ** (k + 1) for k, s in enumerate(schedule(class_y, bonus_frac))))


def effective_cost(
    usd: float,
    *,
    credit_frac: float,
    class_y: int,
    bonus_frac: float,
    tax_frac: float,
    discount_frac: float,
    years: int,
    basis_reduction_share: float = 0.5,
    rebate_usd: float = 0.0,
    replacements: Sequence[tuple[float, int]] = (),
) -> float:
    """What a cost of `usd` comes to after credit, depreciation and replacement (usd, year), not below zero [USD]."""
    basis = usd * (1 - basis_reduction_share * credit_frac)
    saved = tax_frac * basis * depreciation_worth(class_y, bonus_frac, discount_frac)
    saved += usd * credit_frac / (1 + discount_frac)
    again = sum(u * (1 - tax_frac) / (1 + discount_frac) ** y for u, y in replacements if y < years)
    return max(0.0, usd - saved + again - rebate_usd)


def third_party_factor(
    years: int,
    offtaker_discount_frac: float,
    owner_discount_frac: float,
    offtaker_tax_frac: float,
    owner_tax_frac: float,
) -> float:
    """Factor on capital and O&M where a third party owns and the offtaker pays for it over the years."""
    offtaker = present_worth(years, 0.0, offtaker_discount_frac) * (1 - offtaker_tax_frac)
    return offtaker / (present_worth(years, 0.0, owner_discount_frac) * (1 - owner_tax_frac))


@dataclass(frozen=True, slots=True)
class LifeCycle:
    """A life-cycle cost by component [USD], after tax, present value."""

    capital_usd: float
    om_usd: float
    bill_usd: float
    fuel_usd: float

    @property
    def lcc_usd(self) -> float:
        """Life-cycle cost."""
        return self.capital_usd + self.om_usd + self.bill_usd + self.fuel_usd


def life_cycle(
    *,
    capital_usd: float,
    om_usd_per_y: float,
    bill_usd_per_y: float,
    fuel_usd_per_y: float = 0.0,
    years: int,
    discount_frac: float,
    tax_frac: float,
    electricity_growth_frac: float,
    om_growth_frac: float,
    fuel_growth_frac: float = 0.0,
    third_party: float = 1.0,
) -> LifeCycle:
    """LCC of costs a year in money of the year before operation. capital_usd: as `effective_cost` gives it."""
    if years < 1:
        raise InputError(f"years: {years!r} should be at least 1")
    keep = 1 - tax_frac
    return LifeCycle(
        third_party * capital_usd,
        third_party * keep * om_usd_per_y * present_worth(years, om_growth_frac, discount_frac),
        keep * bill_usd_per_y * present_worth(years, electricity_growth_frac, discount_frac),
        keep * fuel_usd_per_y * present_worth(years, fuel_growth_frac, discount_frac),
    )
