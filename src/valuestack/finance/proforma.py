"""The pro forma: a year table by line for the owner, the host and everybody who is paid, and what it comes to.

    owner_t = receipts - running costs - replacement - debt service - tax + credit + salvage,  owner_0 = loan - capex
    federal tax = f (taxable - federal depreciation - state tax),   state tax = s (taxable - state depreciation)

Year 0 is the start of operation; flows of year t >= 1 stand at its end (or middle). All flows are nominal; real ones
are divided by (1 + inflation)^t, and real flows at the real rate are worth what nominal flows are at the nominal one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import InputError
from ..timeline import Kw
from .finance import BY_LAYER, Finance, StreamPlan, Tax, Value
from .incentives import Project, basis_reduction, bonus, class_life, investment_credit, schedule
from .returns import irr, irr_all, npv, payback_y, times

PARTIES = ("owner", "host", "lender", "tax authority", "suppliers", "rebate payer")


@dataclass(frozen=True, slots=True, eq=False)
class CashFlow:
    """A pro forma over years 0..N.

    lines: nominal, (N + 1,) each, positive = money to the owner of the assets (to the host where the name begins with
    'host '). owner, project, host: after-tax flows; project is the owner's without debt. parties: everybody's, which
    sum to what comes in from outside. coverage: cash flow before tax over debt service in the years that serve debt;
    value that is only modelled (an outage cost avoided) is no cash and does not count.
    """

    finance: Finance
    values: tuple[Value, ...]
    dispatch_share_frac: float
    lines: Mapping[str, Kw]
    owner_usd: Kw
    project_usd: Kw
    host_usd: Kw
    parties: Mapping[str, Kw]
    coverage: Mapping[int, float]
    loan_usd: float
    capacity_frac: Kw
    assumptions: tuple[str, ...] = field(default=())

    @property
    def at_y(self) -> Kw:
        """Times of the flows, (N + 1,)."""
        return times(self.owner_usd.size, self.finance.timing)

    @property
    def real_usd(self) -> Kw:
        """The owner's flows in money of the start, (N + 1,)."""
        return np.asarray(self.owner_usd / (1 + self.finance.inflation) ** self.at_y)

    @property
    def npv_usd(self) -> float:
        """Present value to the owner at the nominal rate."""
        return npv(self.owner_usd, self.finance.nominal, self.at_y)

    @property
    def project_npv_usd(self) -> float:
        """Present value without debt."""
        return npv(self.project_usd, self.finance.nominal, self.at_y)

    @property
    def host_npv_usd(self) -> float:
        """Present value to the host of the site at the host's rate (the owner's own, where the host owns)."""
        third = self.finance.third_party
        if third is None:
            return self.npv_usd
        rate = self.finance.nominal if third.host_discount_frac is None else third.host_discount_frac
        return npv(self.host_usd, rate, self.at_y)

    @property
    def irr_frac(self) -> float | None:
        """Internal rate of return of the owner; None where there is none."""
        return irr(self.owner_usd, self.at_y)

    @property
    def project_irr_frac(self) -> float | None:
        """Internal rate of return without debt."""
        return irr(self.project_usd, self.at_y)

    @property
    def payback_y(self) -> float | None:
        """Years until the flows after tax, without debt, have paid for themselves."""
        return payback_y(self.project_usd)

    @property
    def discounted_payback_y(self) -> float | None:
        """The same with flows discounted."""
        return payback_y(self.project_usd, self.at_y, self.finance.nominal)

    @property
    def lowest_coverage(self) -> float | None:
        """Least debt-service coverage of all years; None without debt."""
        return min(self.coverage.values(), default=None)

    def rows(self, *, real: bool = False) -> list[dict[str, Any]]:
        """The year table: one row a line with its value in each year, nominal or real."""
        scale = (1 + self.finance.inflation) ** self.at_y if real else np.ones(self.owner_usd.size)
        table = {**self.lines, "owner after tax": self.owner_usd}
        if self.finance.third_party is not None:
            table["host after tax"] = self.host_usd
        return [{"line": name, "usd": (v / scale).tolist()} for name, v in table.items()]

    def shares(self) -> dict[str, float]:
        """Who gets what: present value by party at the owner's nominal rate [USD]."""
        return {p: npv(v, self.finance.nominal, self.at_y) for p, v in self.parties.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        f = self.finance
        return {
            "npv_usd": self.npv_usd,
            "irr_frac": self.irr_frac,
            "project_npv_usd": self.project_npv_usd,
            "project_irr_frac": self.project_irr_frac,
            "host_npv_usd": self.host_npv_usd,
            "payback_y": self.payback_y,
            "discounted_payback_y": self.discounted_payback_y,
            "lowest_coverage": self.lowest_coverage,
            "coverage": dict(self.coverage),
            "loan_usd": self.loan_usd,
            "discount_nominal_frac": f.nominal,
            "discount_real_frac": f.real,
            "inflation_frac": f.inflation,
            "timing": f.timing,
            "nominal": self.rows(),
            "real": self.rows(real=True),
            "shares_usd": self.shares(),
            "assumptions": list(self.assumptions),
        }


# --- parts of it -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Ageing:
    """Capacity by year, mean of year 1..N (index 0 unused = 1), and what replacing and adding to it costs (N + 1,)."""

    capacity_frac: Kw
    cost_usd: Kw
    replaced: tuple[int, ...]
    notes: tuple[str, ...]


def ageing(finance: Finance) -> Ageing:
    """Capacity and its upkeep over the years by the wear written."""
    w, n = finance.wear, finance.analysis_years
    ends = [1.0]
    if w.fade_frac_per_y is not None:
        ends += [max(0.0, 1 - w.fade_frac_per_y * k) for k in range(1, n + 1)]
    elif w.capacity_frac:
        ends += list(w.capacity_frac)
        step = ends[-1] - ends[-2]
        ends += [max(0.0, ends[-1] + step * k) for k in range(1, n + 1)]
    else:
        ends += [1.0] * n
    notes: tuple[str, ...] = ()
    mean, cost, age = np.ones(n + 1), np.zeros(n + 1), 0
    replaced: list[int] = []
    for t in range(1, n + 1):
        low, high = ends[age + 1], ends[age]
        price = w.usd_per_kwh * w.energy_kwh * (1 + w.price_change_frac_per_y) ** t
        if w.strategy == "augment":
            mean[t] = 1 - (high - low) / 2
            cost[t] = price * (high - low) if t < n else 0.0
        else:
            mean[t] = (low + high) / 2
        age += 1
        due = w.strategy == "replace" and (
            age == w.replace_year if w.replace_year is not None else low <= (w.replace_at_frac or 0.0) + 1e-12
        )
        if due and t < n:
            cost[t], age = price, 0
            replaced.append(t)
    oldest = max(np.diff([0, *replaced, n]).tolist())
    if w.capacity_frac and w.strategy != "augment" and oldest > len(w.capacity_frac):
        notes = (
            f"finance: capacity is given for {len(w.capacity_frac)} years and goes on falling as in the last of them",
        )
    if w.strategy == "augment":
        notes += ("finance: added capacity is taken to age with the rest",)
    return Ageing(mean, cost, tuple(replaced), notes)


def growth(finance: Finance, name: Any) -> Kw:
    """Factor of years 0..N on figures in money of the escalator's base year, (N + 1,)."""
    e = finance.escalation(name)
    t = np.arange(finance.analysis_years + 1) - 1 + e.offset_y(finance.start_date.year)
    return np.asarray((1 + e.frac_per_y) ** t.astype(float))


def plan_of(finance: Finance, value: Value) -> StreamPlan:
    """The stream's plan with the defaults of its layer filled in."""
    written = finance.streams.get(value.stream, StreamPlan())
    filled: dict[str, Any] = {}
    if written.escalator is None:
        filled["escalator"] = BY_LAYER[value.layer]
    if written.follows_wear is None:
        filled["follows_wear"] = value.layer in (1, 2, 3)
    if written.follows_dispatch is None:
        filled["follows_dispatch"] = value.layer != 2
    return written.model_copy(update=filled)


def in_service(plan: StreamPlan, n: int) -> Kw:
    """Share of a full year's value that a stream is paid in years 0..N: months since its start, ramp, end."""
    t = np.arange(n + 1)
    months = np.clip(12 * t - (plan.start_month - 1), 0, 12) / 12
    out = np.where(t == 0, 0.0, months)
    if plan.ramp_frac:
        first = (plan.start_month - 1) // 12 + 1
        step = np.clip(t - first, 0, len(plan.ramp_frac) - 1)
        out = out * np.array(plan.ramp_frac)[step]
    if plan.end_year is not None:
        out = np.where(t > plan.end_year, 0.0, out)
    return np.asarray(out)


def value_lines(
    finance: Finance, values: Sequence[Value], capacity_frac: Kw, dispatch_share_frac: float
) -> dict[Value, Kw]:
    """What each stream pays in years 0..N."""
    n, out = finance.analysis_years, {}
    for v in values:
        p = plan_of(finance, v)
        kw = v.usd_per_y * growth(finance, p.escalator) * in_service(p, n)
        if p.follows_wear:
            kw = kw * (1 - finance.wear.value_share_frac * (1 - capacity_frac))
        if p.degradation_frac_per_y:
            kw = kw * (1 - p.degradation_frac_per_y) ** np.maximum(np.arange(n + 1) - 1, 0)
        if p.follows_dispatch:
            kw = kw * dispatch_share_frac
        out[v] = kw
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """Credit and depreciation of all capex: credit_usd, federal and state depreciation (N + 1,), salvage."""

    credit_usd: float
    federal_usd: Kw
    state_usd: Kw
    salvage_usd: float
    notes: tuple[str, ...]


def basis(finance: Finance) -> Basis:
    """Credits and depreciation by the dated rules or as written."""
    n = finance.analysis_years
    federal, state, credit, salvage = np.zeros(n + 1), np.zeros(n + 1), 0.0, 0.0
    notes: tuple[str, ...] = ()
    dated_bonus = bonus(finance.acquired_date or finance.start_date)
    for item in finance.capex:
        paid = item.cost_usd - item.rebate_usd
        rate = item.itc_frac or 0.0
        if item.technology is not None:
            found = investment_credit(item.technology, project_of(finance))
            rate = found.frac
            notes += tuple(f"{item.name}: {r}" for r in (*found.reasons, *found.assumptions))
        taken = paid * item.itc_share_frac * rate
        credit += taken
        salvage += item.salvage_frac * item.cost_usd
        class_y = item.macrs_class_y
        if class_y is None:
            class_y, warned = class_life(item.kind)
            notes += () if finance.tax.exempt else warned
        extra = item.bonus_frac
        if extra is None and class_y:
            extra, warned = dated_bonus
            notes += () if finance.tax.exempt else warned
        depreciable = paid - basis_reduction() * taken
        for into, share in ((federal, extra or 0.0), (state, (extra or 0.0) * finance.tax.state_bonus)):
            for k, part in enumerate(schedule(class_y, share)[:n], start=1):
                into[k] += depreciable * part
    if salvage:
        notes += ("finance: what is sold at the end has no tax basis left; all of it is income",)
    return Basis(credit, federal, state, salvage, tuple(dict.fromkeys(notes)))


def project_of(finance: Finance) -> Project:
    """What decides the dated credit."""
    return Project(
        begins=finance.construction_date or finance.start_date,
        placed=finance.start_date,
        ac_kw=finance.ac_kw,
        prevailing_wage=finance.prevailing_wage,
        domestic_content=finance.domestic_content,
        energy_community=finance.energy_community,
        foreign_free_frac=finance.foreign_free_frac,
    )


def level_payment(loan_usd: float, rate_frac: float, years: int) -> float:
    """Yearly payment of a loan with level payments: loan x i / (1 - (1 + i)^-n).

    >>> round(level_payment(1000, 0.05, 10), 4)
    129.5046
    """
    if rate_frac == 0:
        return loan_usd / years
    return loan_usd * rate_frac / (1 - (1 + rate_frac) ** -years)


def loan_size(finance: Finance, counted_usd: Kw, market_usd: Kw) -> float:
    """Size of the loan [USD]: as written, or the largest whose level service is covered in every year.

    service <= max(0, counted) / coverage + max(0, market) / market coverage, counted net of running costs.
    """
    debt = finance.debt
    if debt is None:
        return 0.0
    if debt.usd is not None:
        return debt.usd
    if debt.share_frac is not None:
        return debt.share_frac * finance.capex_usd
    assert debt.coverage_frac is not None
    span = slice(1, debt.years + 1)
    bearing = np.maximum(counted_usd[span], 0.0) / debt.coverage_frac
    if debt.market_coverage_frac is not None:
        bearing = bearing + np.maximum(market_usd[span], 0.0) / debt.market_coverage_frac
    per_usd = level_payment(1.0, debt.rate_frac, debt.years)
    return min(float(bearing.min()) / per_usd, finance.capex_usd)


def amortise(finance: Finance, loan_usd: float) -> tuple[Kw, Kw]:
    """Interest and principal by year, (N + 1,) each."""
    n, debt = finance.analysis_years, finance.debt
    interest, principal = np.zeros(n + 1), np.zeros(n + 1)
    if debt is None or loan_usd == 0:
        return interest, principal
    pay, left = level_payment(loan_usd, debt.rate_frac, debt.years), loan_usd
    for t in range(1, debt.years + 1):
        interest[t] = left * debt.rate_frac
        principal[t] = pay - interest[t]
        left -= principal[t]
    return interest, principal


def payment_to_third(finance: Finance, lines: Mapping[Value, Kw]) -> Kw:
    """What the host pays to the third party in years 0..N, buyout apart."""
    third, n = finance.third_party, finance.analysis_years
    if third is None:
        return np.zeros(n + 1)
    t = np.arange(n + 1)
    within = (t >= 1) & (t <= (third.years or n))
    grown = (1 + third.growth_frac_per_y) ** np.maximum(t - 1, 0)
    if third.form == "ppa":
        due = (third.usd_per_kwh or 0.0) * (third.kwh_per_y or 0.0) * grown
    elif third.form == "lease":
        due = (third.usd_per_y or 0.0) * grown
    else:
        saved = sum((kw for v, kw in lines.items() if v.layer in third.layers), np.zeros(n + 1))
        due = (third.share_frac or 0.0) * np.maximum(saved, 0.0)
    return np.where(within, due, 0.0)


def taxes(
    tax: Tax, income_usd: Kw, federal_depreciation_usd: Kw, state_depreciation_usd: Kw
) -> tuple[Kw, Kw]:
    """Federal and state tax by year, negative = saved elsewhere, (N + 1,) each."""
    state = tax.state * (income_usd - state_depreciation_usd)
    return tax.federal * (income_usd - federal_depreciation_usd - state), state


# --- the whole ----------------------------------------------------------------------------------------------


def cash_flow(
    finance: Finance,
    values: Sequence[Value] | Mapping[str, Value],
    *,
    dispatch_share_frac: float = 1.0,
) -> CashFlow:
    """The pro forma of annual values by stream.

    dispatch_share_frac: share of the value of streams that follow dispatch which is realised (1 = as settled).
    Errors: InputError for streams planned in `finance.streams` that no value belongs to.
    """
    given = tuple(values.values()) if isinstance(values, Mapping) else tuple(values)
    _known(finance, given)
    if not 0 <= dispatch_share_frac <= 1.5:
        raise InputError(f"dispatch_share_frac: {dispatch_share_frac!r} should lie between 0 and 1.5")
    n, aged, base = finance.analysis_years, ageing(finance), basis(finance)
    worth = value_lines(finance, given, aged.capacity_frac, dispatch_share_frac)
    pay = payment_to_third(finance, worth)
    third = finance.third_party
    buyout = np.zeros(n + 1)
    keeps = np.ones(n + 1)  # 1 where the owner of the assets is who owned them first
    if third is not None and third.years is not None:
        buyout[third.years] = third.buyout_usd
        keeps = (np.arange(n + 1) <= third.years).astype(float)
    running = {
        r.name: np.where(np.arange(n + 1) == 0, 0.0, -r.first_usd * growth(finance, r.escalator))
        for r in finance.running
    }
    renewed = -aged.cost_usd
    for r in finance.replacements:
        renewed[r.year] -= r.usd
    costs = np.sum(list(running.values()), axis=0) + renewed if running else renewed.copy()
    inflow = np.sum(list(worth.values()), axis=0) if worth else np.zeros(n + 1)
    salvage = np.zeros(n + 1)
    salvage[n] = base.salvage_usd
    receipts = inflow if third is None else pay + buyout
    own_salvage = salvage * keeps if third is not None else salvage
    own_costs = costs if third is None else costs * keeps
    loan = loan_size(finance, *_bearing(finance, worth, pay, own_costs))
    interest, principal = amortise(finance, loan)
    income = receipts + own_costs + own_salvage
    federal, state = taxes(finance.tax, income - interest, base.federal_usd, base.state_usd)
    bare_federal, bare_state = taxes(finance.tax, income, base.federal_usd, base.state_usd)
    credit = np.zeros(n + 1)
    credit[1] = base.credit_usd
    spent = np.zeros(n + 1)
    spent[0] = -(finance.capex_usd - sum(c.rebate_usd for c in finance.capex))
    lent = np.zeros(n + 1)
    fee = 0.0 if finance.debt is None else finance.debt.fee_frac * loan
    lent[0] = loan - fee
    project = spent + income + credit - bare_federal - bare_state
    owner = spent + lent + income + credit - interest - principal - federal - state
    host, host_tax = _host(finance, inflow, pay, buyout, costs * (1 - keeps), salvage * (1 - keeps))
    names = line_names(given)
    lines: dict[str, Kw] = {"capex less rebates": spent}
    lines |= (
        {names[v]: kw for v, kw in worth.items()}
        if third is None
        else {"third-party receipts": pay, "buyout": buyout}
    )
    lines |= {f"running/{k}": v * keeps for k, v in running.items()}
    lines |= {"replacement and augmentation": renewed * keeps, "salvage": own_salvage, "loan": lent}
    lines |= {"interest": -interest, "principal": -principal, "investment credit": credit}
    lines |= {"federal tax": -federal, "state tax": -state}
    if third is not None:
        lines |= {f"host {names[v]}": kw for v, kw in worth.items()}
        lines |= {
            "host payments": -(pay + buyout),
            "host costs and salvage": (costs + salvage) * (1 - keeps),
            "host tax": -host_tax,
        }
    rebate = np.zeros(n + 1)
    rebate[0] = -sum(c.rebate_usd for c in finance.capex)
    supplied = -costs
    supplied[0] += finance.capex_usd
    parties = {
        "owner": owner,
        "host": host,
        "lender": interest + principal - lent,
        "tax authority": federal + state + host_tax - credit,
        "suppliers": supplied,
        "rebate payer": rebate,
    }
    service = interest + principal
    unpaid = sum((kw for v, kw in worth.items() if v.certainty == "modelled"), np.zeros(n + 1))
    cover = (receipts + own_costs - (unpaid if third is None else 0.0))[1:]
    coverage = {t: float(cover[t - 1] / service[t]) for t in range(1, n + 1) if service[t] > 0}
    return CashFlow(
        finance, given, dispatch_share_frac, lines, owner, project, host, parties, coverage, loan,
        aged.capacity_frac, (*finance.assumptions, *base.notes, *aged.notes, *_debt_notes(finance, given)),
    )  # fmt: skip


def line_names(values: Sequence[Value]) -> dict[Value, str]:
    """Name of each value's line; certainty is added where a stream has two values in one layer."""
    short = [f"L{v.layer} {v.stream}" for v in values]
    return {v: s if short.count(s) == 1 else f"{s} ({v.certainty})" for v, s in zip(values, short)}


def _known(finance: Finance, values: Sequence[Value]) -> None:
    names = {v.stream for v in values}
    stray = sorted(set(finance.streams) - names)
    if stray:
        raise InputError(
            f"finance.streams: no value belongs to {', '.join(map(repr, stray))}; streams here are "
            f"{', '.join(sorted(names)) or 'none'}"
        )
    keys = [(v.stream, v.layer, v.certainty) for v in values]
    twice = sorted({k[0] for k in keys if keys.count(k) > 1})
    if twice:
        raise InputError(f"values: {', '.join(map(repr, twice))} stand twice in one layer; add them up")


def _bearing(finance: Finance, worth: Mapping[Value, Kw], pay: Kw, costs: Kw) -> tuple[Kw, Kw]:
    """Cash flow that debt may count on, net of costs, and income that is not contracted. What is only modelled, such
    as an outage cost avoided, pays no lender."""
    zero = np.zeros(finance.analysis_years + 1)
    third = finance.third_party
    if third is not None and third.form != "shared_savings":
        return pay + costs, zero
    share = 1.0 if third is None else third.share_frac or 0.0
    counted, market = zero.copy(), zero.copy()
    for v, kw in worth.items():
        if third is not None and v.layer not in third.layers:
            continue
        p90 = finance.streams.get(v.stream, StreamPlan()).p90_frac
        safe = share * kw * (1.0 if p90 is None else p90)
        if v.certainty == "contractual":
            counted = counted + safe
        elif v.certainty != "modelled":
            market = market + safe
    return counted + costs, market


def _host(finance: Finance, inflow: Kw, pay: Kw, buyout: Kw, costs: Kw, salvage: Kw) -> tuple[Kw, Kw]:
    """The host's flows after tax, and its tax. Where the host owns, it is the owner and this is nothing."""
    third = finance.third_party
    if third is None:
        return np.zeros(inflow.shape), np.zeros(inflow.shape)
    tax = finance.tax if third.host_tax is None else third.host_tax
    income = inflow - pay - buyout + costs + salvage
    federal, state = taxes(tax, income, np.zeros(inflow.shape), np.zeros(inflow.shape))
    return income - federal - state, federal + state


def _debt_notes(finance: Finance, values: Sequence[Value]) -> tuple[str, ...]:
    out = []
    soft = dict.fromkeys(v.stream for v in values if v.certainty == "modelled")
    if finance.debt is not None and soft:
        out.append(f"finance: debt counts nothing of {', '.join(soft)}, which is modelled and no cash")
    if finance.debt is not None and finance.debt.coverage_frac is not None:
        paid = [v.stream for v in values if v.certainty != "modelled"]
        bare = [name for name in paid if finance.streams.get(name, StreamPlan()).p90_frac is None]
        if bare:
            out.append(
                f"finance: debt counts {', '.join(dict.fromkeys(bare))} at the settled year, no P90 being given"
            )
    if finance.third_party is not None:
        if finance.third_party.host_discount_frac is None:
            out.append("finance: the host discounts at the owner's rate")
        if finance.third_party.buyout_usd:
            out.append(
                "finance: the buyout is deducted by the host in its year and is income of the third party"
            )
    return tuple(out)


def irrs(flow: CashFlow) -> tuple[float, ...]:
    """Every internal rate of return of the owner's flows; more than one says that none of them means much."""
    return irr_all(flow.owner_usd, flow.at_y)
