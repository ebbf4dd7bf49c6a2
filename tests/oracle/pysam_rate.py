"""A URDB record in the inputs of SAM's Utilityrate5, mapped by us: SAM's own converter has faults (see the tests)."""

from __future__ import annotations

from typing import Any

import numpy as np

UNITS = {None: 0, "kWh": 0, "kWh/kW": 1, "kWh daily": 2, "kWh/kW daily": 3}
TOP = 1e38


def outside(r: dict[str, Any]) -> list[str]:
    """Why a record lies outside what Utilityrate5 models; [] = inside.

    Written from SAM's documentation of its inputs: kW demand only, no reactive, coincident or fuel
    adjustment charges, no window other than the interval, a ratchet on flat demand alone; buy-all-sell-all and
    tiers without bounds apart.
    """
    why = []
    for key in ("flatdemandunit", "demandrateunit"):
        structure = "flatdemandstructure" if key.startswith("flat") else "demandratestructure"
        if structure in r and r.get(key, "kW") != "kW":
            why.append(key)
    why += [
        k
        for k in (
            "coincidentratestructure",
            "demandreactivepowercharge",
            "fueladjustmentsmonthly",
            "demandwindow",
            "fixedchargeeaaddl",
        )
        if r.get(k)
    ]
    if ratchet(r) and (r.get("demandratestructure") or not r.get("flatdemandstructure")):
        why.append("lookbackpercent: SAM ratchets timed demand with the flat one")
    if r.get("dgrules") == "Buy All Sell All":
        why.append("dgrules")
    if r.get("fixedchargeunits", "$/month") != "$/month":
        why.append("fixedchargeunits: SAM takes a month as 365 / 12 days")
    for key in ("energyratestructure", "flatdemandstructure", "demandratestructure"):
        for tiers in r.get(key) or []:
            tops = [t.get("max") for t in tiers[:-1]]
            units = {t.get("unit") for t in tiers}
            if any(t is None for t in tops) or tops != sorted(set(tops)):
                why.append(f"{key}: bounds")
            if key == "energyratestructure" and len(units) > 1:
                why.append("energyratestructure: several units in one ladder")
    why += _timed_bounds(r)
    hours_use = any("kWh/kW" in str(t.get("unit")) for p in r["energyratestructure"] for t in p)
    if hours_use and "flatdemandstructure" not in r:
        why.append("kWh/kW tiers without a flat demand charge")
    return why


def _timed_bounds(r: dict[str, Any]) -> list[str]:
    timed = r.get("demandratestructure") or []
    for key in ("demandweekdayschedule", "demandweekendschedule"):
        for row in r[key] if timed else ():
            if len({tuple(t.get("max") for t in timed[p][:-1]) for p in row}) > 1:
                return [
                    "demandratestructure: bounds differ between the periods of a month, which SAM refuses"
                ]
    return []


def annual_usd(r: dict[str, Any], load_kw: Any) -> float:
    """Bill of a year of hours that begins on a Monday, without generation, by Utilityrate5 [USD]."""
    import PySAM.Utilityrate5 as utilityrate5

    m = utilityrate5.new()
    e = m.ElectricityRates
    m.Lifetime.analysis_period, m.Lifetime.inflation_rate = 1, 0.0
    m.Lifetime.system_use_lifetime_output = 0
    m.SystemOutput.degradation, m.SystemOutput.gen = [0.0], [0.0] * len(load_kw)
    m.Load.load = list(np.asarray(load_kw, dtype=float))
    e.en_electricity_rates, e.rate_escalation = 1, [0.0]
    e.ur_metering_option, e.ur_sell_eq_buy, e.TOU_demand_single_peak = 2, 0, 0
    e.ur_nm_credit_month, e.ur_nm_credit_rollover, e.ur_nm_yearend_sell_rate = 11, 0, 0.0
    e.ur_en_ts_buy_rate = e.ur_en_ts_sell_rate = 0
    e.ur_monthly_fixed_charge = float(r.get("fixedchargefirstmeter") or 0.0)
    least, unit = float(r.get("mincharge") or 0.0), r.get("minchargeunits", "$/month")
    e.ur_monthly_min_charge = least if unit == "$/month" else 0.0
    e.ur_annual_min_charge = least if unit == "$/year" else 0.0
    e.ur_ec_sched_weekday = [[v + 1 for v in row] for row in r["energyweekdayschedule"]]
    e.ur_ec_sched_weekend = [[v + 1 for v in row] for row in r["energyweekendschedule"]]
    e.ur_ec_tou_mat = [
        [
            p + 1,
            t + 1,
            TOP if t == len(tiers) - 1 else tier["max"],
            UNITS[tier.get("unit")],
            (tier.get("rate") or 0.0) + (tier.get("adj") or 0.0),
            0.0,
        ]
        for p, tiers in enumerate(r["energyratestructure"])
        for t, tier in enumerate(tiers)
    ]
    flat, timed = r.get("flatdemandstructure"), r.get("demandratestructure")
    e.ur_dc_enable = 1
    months_back, flags = ratchet(r) or (0, [])
    e.ur_enable_billing_demand = int(months_back > 0)
    if months_back:
        e.ur_billing_demand_minimum = 0.0
        e.ur_billing_demand_lookback_period = months_back
        e.ur_billing_demand_lookback_percentages = [[100.0 * r["lookbackpercent"] * f, 1] for f in flags]
        e.ur_dc_billing_demand_periods = [[1, 1]]
        e.ur_yearzero_usage_peaks = [0.0] * 12  # no history: it counts a year ago as within 11 months

    def price(tier: dict[str, Any]) -> float:
        return (tier.get("rate") or 0.0) + (tier.get("adj") or 0.0)

    if flat:
        e.ur_dc_flat_mat = [
            [month, t + 1, TOP if t == len(flat[p]) - 1 else tier["max"], price(tier)]
            for month, p in enumerate(r["flatdemandmonths"])
            for t, tier in enumerate(flat[p])
        ]
    else:
        e.ur_dc_flat_mat = [[month, 1, TOP, 0.0] for month in range(12)]
    if timed:
        e.ur_dc_sched_weekday = [[v + 1 for v in row] for row in r["demandweekdayschedule"]]
        e.ur_dc_sched_weekend = [[v + 1 for v in row] for row in r["demandweekendschedule"]]
        e.ur_dc_tou_mat = [
            [p + 1, t + 1, TOP if t == len(tiers) - 1 else tier["max"], price(tier)]
            for p, tiers in enumerate(timed)
            for t, tier in enumerate(tiers)
        ]
    else:
        e.ur_dc_sched_weekday = e.ur_dc_sched_weekend = [[1] * 24] * 12
        e.ur_dc_tou_mat = [[1, 1, TOP, 0.0]]
    m.execute()
    return float(
        m.Outputs.utility_bill_wo_sys_year1
        if hasattr(m.Outputs, "utility_bill_wo_sys_year1")
        else m.Outputs.utility_bill_wo_sys[1]
    )


def ratchet(r: dict[str, Any]) -> tuple[int, list[float]] | None:
    """Months looked back on and which calendar months count, None = no ratchet."""
    if not r.get("lookbackpercent"):
        return None
    if r.get("lookbackrange"):
        return int(r["lookbackrange"]), [1.0] * 12
    flags = [float(bool(f)) for f in r.get("lookbackmonths") or []]
    return 11, flags if any(flags) else [1.0] * 12


def ladders_differ(r: dict[str, Any]) -> bool:
    """Whether the steps of the energy tiers differ between periods, so that it matters how they share them."""
    steps = {
        tuple(
            (
                t.get("max"),
                t.get("unit"),
                round(
                    (t.get("rate") or 0)
                    + (t.get("adj") or 0)
                    - (p[0].get("rate") or 0)
                    - (p[0].get("adj") or 0),
                    9,
                ),
            )
            for t in p
        )
        for p in r["energyratestructure"]
    }
    return len(steps) > 1


def features(r: dict[str, Any]) -> tuple[str, ...]:
    """What a stratified draw tells apart."""
    tiers = list(r["energyratestructure"])
    out = []
    if any(len(p) > 1 for p in tiers):
        units = {str(t.get("unit")) for p in tiers for t in p}
        out.append(
            "hours-use"
            if any("/kW" in u for u in units)
            else "daily tiers"
            if any("daily" in u for u in units)
            else "tiers"
        )
    if len({v for row in r["energyweekdayschedule"] for v in row}) > 1:
        out.append("energy by time or season")
    if r.get("flatdemandstructure"):
        out.append("flat demand" + (" tiers" if any(len(p) > 1 for p in r["flatdemandstructure"]) else ""))
    if r.get("demandratestructure"):
        out.append("timed demand" + (" tiers" if any(len(p) > 1 for p in r["demandratestructure"]) else ""))
    if ratchet(r):
        out.append("ratchet")
    if r.get("mincharge"):
        out.append("minimum")
    return tuple(out)
