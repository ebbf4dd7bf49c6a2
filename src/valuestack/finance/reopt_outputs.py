"""Results under REopt's names, so that a script that reads REopt's answer reads ours.

Names: NREL REopt.jl, src/results/*.jl (docs: nrel.github.io/REopt.jl/dev/reopt/outputs). A figure that REopt has and
this study has not is left out, never filled in. `lcc` and `lcc_bau` are by REopt's formula whatever the preset.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..dispatch import Record
from ..ledger import Ledger
from ..timeline import Kw
from .lcc import present_worth
from .proforma import CashFlow

HOURS_PER_YEAR = 8760.0


def reopt_outputs(
    flow: CashFlow,
    bill: Ledger,
    bill_bau: Ledger,
    record: Record,
    *,
    load_kw: Kw | None = None,
    sizes: Mapping[str, Mapping[str, float]] | None = None,
    generators: Mapping[str, str] | None = None,
) -> dict[str, dict[str, Any]]:
    """Financial, ElectricTariff, ElectricUtility, ElectricStorage, PV and Generator as REopt names them.

    bill, bill_bau: the settled tariff (layer 1) with and without the assets, of one record. record: what was metered,
    one lane. sizes: by asset, with kw and kwh. generators: REopt's section by asset name ('PV', 'Generator') for what
    generates; stores of the record are ElectricStorage. load_kw: native load, for the share of what was given to it.
    """
    years = record.timeline.hours / HOURS_PER_YEAR
    out: dict[str, dict[str, Any]] = {
        "Financial": _financial(flow, bill, bill_bau, years),
        "ElectricTariff": _tariff(flow, bill, bill_bau, years),
        "ElectricUtility": _utility(record, years),
    }
    sized = sizes or {}
    for name in record.stored_kwh:
        out[_section(out, "ElectricStorage", name)] = _storage(record, name, sized.get(name, {}))
    for name, section in (generators or {}).items():
        out[_section(out, section, name)] = _generation(record, name, section, sized.get(name, {}), years)
    if load_kw is not None:
        out["ElectricLoad"] = {
            "load_series_kw": np.asarray(load_kw, dtype=float).tolist(),
            "annual_calculated_kwh": float(np.sum(load_kw)) * record.timeline.step_h / years,
        }
    return out


def _section(out: Mapping[str, Any], section: str, name: str) -> str:
    """REopt has one of each; a second one carries its own name."""
    return section if section not in out else f"{section} {name}"


def _retail(ledger: Ledger, words: tuple[str, ...] | None = None) -> float:
    """Amount due of layer 1, of the items whose name holds one of `words` (None = all)."""
    return -sum(
        e.usd for e in ledger if e.layer == 1 and (words is None or any(w in e.item.lower() for w in words))
    )


def _financial(flow: CashFlow, bill: Ledger, bau: Ledger, years: float) -> dict[str, Any]:
    f, n = flow.finance, flow.finance.analysis_years
    keep = 1 - f.tax.combined
    growth = (1 + f.electricity.frac_per_y) ** (f.electricity.offset_y(f.start_date.year) - 1)
    factor = keep * growth * present_worth(n, f.electricity.frac_per_y, f.nominal)
    lcc_bau = factor * _retail(bau) / years
    worth = (1 + f.nominal) ** -flow.at_y
    om = -sum(float((v * worth).sum()) for k, v in flow.lines.items() if k.startswith("running/"))
    again = -float((flow.lines["replacement and augmentation"] * worth).sum())
    return {
        "npv": flow.npv_usd,
        "lcc": lcc_bau - flow.npv_usd,
        "lcc_bau": lcc_bau,
        "simple_payback_years": flow.payback_y,
        "internal_rate_of_return": flow.irr_frac,
        "initial_capital_costs": f.capex_usd,
        "lifecycle_om_costs_before_tax": om,
        "lifecycle_om_costs_after_tax": om * keep,
        "replacements_present_cost_after_tax": again * keep,
        "lifecycle_elecbill_after_tax": factor * _retail(bill) / years,
        "year_one_om_costs_before_tax": -sum(
            float(v[1]) for k, v in flow.lines.items() if k.startswith("running/")
        ),
    }


ITEMS = {
    "year_one_energy_cost_before_tax": ("energy",),
    "year_one_demand_cost_before_tax": ("demand",),
    "year_one_fixed_cost_before_tax": ("fixed", "customer"),
    "year_one_export_benefit_before_tax": ("export",),
}


def _tariff(flow: CashFlow, bill: Ledger, bau: Ledger, years: float) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for suffix, ledger in (("", bill), ("_bau", bau)):
        out[f"year_one_bill_before_tax{suffix}"] = _retail(ledger) / years
        out |= {f"{name}{suffix}": _retail(ledger, words) / years for name, words in ITEMS.items()}
    out["year_one_bill_after_tax"] = out["year_one_bill_before_tax"] * (1 - flow.finance.tax.combined)
    return out


def _utility(record: Record, years: float) -> dict[str, Any]:
    net, h = np.asarray(record.net_kw, dtype=float), record.timeline.step_h
    drawn = np.maximum(net, 0.0)
    return {
        "annual_energy_supplied_kwh": float(drawn.sum()) * h / years,
        "electric_to_site_series_kw": drawn.tolist(),
    }


def _storage(record: Record, name: str, size: Mapping[str, float]) -> dict[str, Any]:
    out: dict[str, Any] = {f"size_{k}": v for k, v in size.items()}
    given = np.maximum(-np.asarray(record.asset_kw[name], dtype=float), 0.0)
    out["storage_to_load_series_kw"] = given.tolist()
    if size.get("kwh"):
        out["soc_series_fraction"] = (np.asarray(record.stored_kwh[name], dtype=float) / size["kwh"]).tolist()
    return out


def _generation(
    record: Record, name: str, section: str, size: Mapping[str, float], years: float
) -> dict[str, Any]:
    made = np.maximum(-np.asarray(record.asset_kw[name], dtype=float), 0.0)
    kwh = float(made.sum()) * record.timeline.step_h / years
    out: dict[str, Any] = {f"size_{k}": v for k, v in size.items()}
    out["electricity_produced_series_kw"] = made.tolist()
    out["year_one_energy_produced_kwh" if section == "PV" else "annual_energy_produced_kwh"] = kwh
    fuel = record.extra.get(f"{name}/fuel_gal")
    if fuel is not None:
        out["annual_fuel_consumption_gal"] = float(np.sum(fuel)) / years
    return out
