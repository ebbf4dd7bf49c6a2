"""Money over the years: NPV as an affine function of what each stream brings in each year."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....errors import InputError
from ....finance.finance import Finance, Value
from ....finance.nested import flow_of
from ....site.site import Economics, Site
from ....timeline import Kw
from ..investment import with_controls
from .sample import Key

LIVES = 2000  # of mixed years


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """NPV as an affine function of yearly values: fixed_usd + sum over streams and years of weight x value. by:
    (years,) by (layer, stream, certainty), the first year of operation first."""

    fixed_usd: float
    by: Mapping[Key, Kw]
    finance: Finance

    def repeated(self, money: Mapping[Key, Kw]) -> Kw:
        """NPV where every year brings what the future's year brought, (futures,)."""
        size = next(iter(money.values())).size if money else 0
        out = np.full(size, self.fixed_usd)
        for key, usd in money.items():
            out = out + float(self.by[key].sum()) * usd
        return np.asarray(out)

    def mixed(self, money: Mapping[Key, Kw], seed: int, lives: int = LIVES) -> Kw:
        """NPV of lives whose years are drawn from the futures one by one, (lives,)."""
        size = next(iter(money.values())).size if money else 0
        years = next(iter(self.by.values())).size if self.by else 0
        at = np.random.default_rng(seed).integers(0, max(size, 1), (lives, years))
        out = np.full(lives, self.fixed_usd)
        for key, usd in money.items():
            out = out + usd[at] @ self.by[key]
        return np.asarray(out)


def weights(finance: Finance, keys: Sequence[Key]) -> Weights:
    """Weights of each stream in each year, from the pro forma itself: with nothing, and with a dollar a year of each.

    Errors: InputError where the pro forma is not affine in them: debt sized by coverage, shared savings that stop at
    zero.
    """
    third = finance.third_party
    if finance.debt is not None and finance.debt.coverage_frac is not None:
        raise InputError(
            "finance.debt.coverage_frac: a loan sized by cash flow makes the NPV of a future no sum of its years; give "
            "usd or share_frac for simulations"
        )
    if third is not None and third.form == "shared_savings":
        raise InputError(
            "finance.third_party: shared savings stop at zero, so no simulation can be added up; use a lease"
        )

    def owner(usd: Mapping[Key, float]) -> tuple[Kw, Kw]:
        flow = flow_of(finance, [Value(k[1], k[0], usd.get(k, 0.0), k[2]) for k in keys])
        held = flow.owner_usd if third is None else flow.owner_usd + flow.host_usd
        return np.asarray(held), np.asarray((1 + finance.nominal) ** -flow.at_y)

    empty, discount = owner({})
    by = {k: ((owner({k: 1.0})[0] - empty) * discount)[1:] for k in keys}
    return Weights(float((empty * discount).sum()), by, finance)


def finance_of(site: Site, as_of: Any) -> tuple[Finance | None, str]:
    """The site's pro forma, or what its [economics] make by REopt's conventions, and what to say about that."""
    if site.written.finance is not None:
        new = [a for m in site.meters for a in m.assets if a.name not in m.existing]
        return with_controls(site.written.finance, new), ""
    e: Economics = site.written.economics
    if e.capex_usd is None:
        return None, "no NPV: the site file has neither [finance] nor economics.capex_usd"
    years = 25 if e.life_y is None else max(1, round(e.life_y))
    made = Finance.model_validate(
        {
            "preset": "reopt",
            "start_date": as_of,
            "analysis_years": years,
            "capex": [{"name": "assets", "usd": e.capex_usd}],
            "running": [{"name": "upkeep", "usd_per_y": e.om_usd_per_y}] if e.om_usd_per_y else [],
        }
    )
    return made, (
        f"NPV by the conventions of REopt ({made.nominal:.2%} nominal, tax of {made.tax.combined:.0%}) on "
        "[economics] over "
        f"{years} years, no credit taken and nothing replaced: the site file has no [finance]"
    )
