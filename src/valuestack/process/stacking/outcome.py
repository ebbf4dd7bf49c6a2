"""Outcome of simulated futures: how good, how sure, what drives it, what it stands on, and which method to take.

Pure functions of the rows that `simulate` writes (see there) and of the pro forma. A row's money is that of the span of
the data; a year is that over span_y. All comparisons of policies are paired: the same futures under each.

    P10, P50, P90  exceeded in one, five, nine of ten futures (P90 is the careful one)
    CVaR           mean of the worst 5 % of futures (finance/risk.py)
    error          of a mean s / sqrt(S); of P10, P50, P90 and CVaR by bootstrap over futures (Efron 1979), seeded
    NPV            is affine in the yearly value of each stream, so each stream's weight in each year is found once by
                   running the pro forma with a dollar more of it; `repeated` = a future's year comes every year,
                   `mixed` = each year of the life is another future. What persists (a market that ended) is as in the
                   first, what does not (weather, outages) as in the second: the truth lies between.
    drivers        regression of net on all drawn numbers together, by least squares; a bar runs from the driver's P10
                   to its P90. What is the same in nine of ten futures (a rule that may change) has a bar between the
                   conditional means without and with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum, inf, sqrt
from typing import Any

import numpy as np

from ...errors import InputError
from ...finance.finance import Finance, Value
from ...finance.nested import flow_of
from ...finance.risk import (
    Base,
    base_layers,
    contractual_share,
    cvar_usd,
    exceeded,
    herfindahl,
    standard_error,
)
from ...ledger import LAYERS
from ...report.simulated import Simulated, Verdict
from ...report.tables import show_usd
from ...site.site import Economics, Site
from ...timeline import Kw
from .simulate import BASE, METHODS, Row, Simulation, is_stream, split

TAIL_FRAC = 0.05
DRAWS = 400  # of the bootstrap
LIVES = 2000  # of mixed years
WITHIN_FRAC = 0.01  # of the mean: an error below it counts as converged
RUNNING = "fuel, starts and upkeep"
IDLE = "do_nothing"
Key = tuple[int, str, str]


# --- rows as arrays --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """The futures of one policy, in order of their numbers: figures by column, (futures,) each; what a row does not
    hold is zero for money and NaN for the rest."""

    policy: str
    columns: Mapping[str, Kw]

    def __getitem__(self, key: str) -> Kw:
        return self.columns[key]

    @property
    def net_usd_per_y(self) -> Kw:
        """Settled value of all layers less wear, fuel and starts, a year."""
        return np.asarray(self["total_usd"] / self["span_y"])

    @property
    def drivers(self) -> dict[str, Kw]:
        """What was drawn, by name."""
        return {k.removeprefix("driver: "): v for k, v in self.columns.items() if k.startswith("driver: ")}

    def money_usd_per_y(self, under: str = "") -> dict[Key, Kw]:
        """Settled money a year by (layer, stream, certainty), wear aside; what runs the assets as layer 0. under: of
        the columns that begin so."""
        out: dict[Key, Kw] = {}
        for column, values in self.columns.items():
            key = column.removeprefix(under)
            if column.startswith(under) and is_stream(key):
                layer, stream, figure = split(key)
                if figure.endswith("_usd"):
                    out[(layer, stream, figure.removesuffix("_usd"))] = values / self["span_y"]
        running = (self[f"{under}operation_usd"] - self[f"{under}wear_usd"]) / self["span_y"]
        if np.abs(running).max(initial=0.0) > 0.005:
            out[(0, RUNNING, "metered")] = running
        return dict(sorted(out.items()))

    def base_usd_per_y(self) -> dict[Key, Kw]:
        """Money of layers 1 and 2, and of running the assets: as run without the other layers where the policy answers
        calls, else cut out of the whole, which is the same for a policy that does not see them."""
        if f"{BASE}operation_usd" in self.columns:
            return self.money_usd_per_y(BASE)
        return {k: v for k, v in self.money_usd_per_y().items() if k[0] <= 2}

    def figure_per_y(self, layer: int, stream: str, name: str) -> Kw | None:
        """A figure of a stream a year, (futures,); None where it says nothing of the kind."""
        values = self.columns.get(f"{layer} | {stream} | {name}")
        return None if values is None or np.isnan(values).all() else np.nan_to_num(values) / self["span_y"]


def samples(rows: Sequence[Row]) -> dict[str, Sample]:
    """Rows by policy, those futures that every policy has."""
    kinds = list(dict.fromkeys(r["policy"] for r in rows))
    numbers = (
        set.intersection(*({r["future"] for r in rows if r["policy"] == k} for k in kinds))
        if kinds
        else set()
    )
    out = {}
    for kind in kinds:
        mine = sorted(
            (r for r in rows if r["policy"] == kind and r["future"] in numbers),
            key=lambda r: int(r["future"]),
        )
        keys = list(dict.fromkeys(k for r in mine for k in r if k != "policy"))
        columns = {
            k: np.array(
                [r.get(k, 0.0 if k.endswith("_usd") or k.startswith("driver: ") else np.nan) for r in mine],
                float,
            )
            for k in keys
        }
        out[kind] = Sample(kind, columns)
    return out


def spread_row(usd: Kw, seed: int) -> dict[str, float]:
    """Mean, P10, P50, P90 and CVaR of outcomes, each with its Monte Carlo error."""
    rng = np.random.default_rng(seed)
    again = np.sort(usd[rng.integers(0, usd.size, (DRAWS, usd.size))], axis=1)
    tail = max(1, round(TAIL_FRAC * usd.size))

    def error(of: Kw) -> float:
        return float(of.std(ddof=1)) if usd.size > 1 else inf

    out: dict[str, float] = {"mean": float(usd.mean()), "mean ±": standard_error(usd)}
    for name, share in (("P10", 0.1), ("P50", 0.5), ("P90", 0.9)):
        out[name] = exceeded(usd, share)
        out[f"{name} ±"] = error(np.quantile(again, 1 - share, axis=1))
    out["CVaR 5 %"] = cvar_usd(usd, TAIL_FRAC)
    out["CVaR 5 % ±"] = error(again[:, :tail].mean(axis=1))
    out["below zero_frac"] = float((usd < 0).mean())
    return out


def convergence(usd: Kw) -> list[dict[str, Any]]:
    """Mean and its error over the first 10, 20, 50, ... futures, and how many an error of 1 % would take."""
    steps = [k * 10**p for p in range(1, 7) for k in (1, 2, 5) if k * 10**p < usd.size]
    out = []
    for n in (*steps, usd.size):
        mean, error = float(usd[:n].mean()), standard_error(usd[:n])
        off = error / abs(mean) if abs(mean) > 0.005 else None
        need = None if off is None or not np.isfinite(off) else int(np.ceil(n * (off / WITHIN_FRAC) ** 2))
        out.append(
            {
                "futures": int(n),
                "mean_usd_per_y": mean,
                "error_usd": error,
                "error_frac": off,
                f"needed for {WITHIN_FRAC:.0%}": need,
            }
        )
    return out


# --- what drives it --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fit:
    """Least squares of an outcome on drivers: by name the slope and its error; explained_frac: R squared."""

    slopes: Mapping[str, tuple[float, float]]
    explained_frac: float


def fit(outcome: Kw, drivers: Mapping[str, Kw]) -> Fit:
    """Ordinary least squares with an intercept, errors from the residual variance; drivers that do not vary are left
    out, as are those that others make up (their slope would mean nothing)."""
    n = outcome.size
    moving = {k: v for k, v in drivers.items() if float(np.ptp(v)) > 1e-12}
    names: list[str] = []
    basis = [np.ones(n)]
    for name, v in moving.items():
        x = (v - v.mean()) / v.std()
        rest = x - np.column_stack(basis) @ np.linalg.lstsq(np.column_stack(basis), x, rcond=None)[0]
        if float(rest.std()) > 1e-6 and n > len(names) + 2:
            names.append(name)
            basis.append(x)
    design = np.column_stack(basis)
    beta = np.linalg.lstsq(design, outcome, rcond=None)[0]
    left = outcome - design @ beta
    free = n - design.shape[1]
    total = float(((outcome - outcome.mean()) ** 2).sum())
    noise = float((left**2).sum()) / free if free > 0 else inf
    covariance = (
        noise * np.linalg.pinv(design.T @ design) if np.isfinite(noise) else np.full((len(beta),) * 2, inf)
    )
    scale = {k: float(moving[k].std()) for k in names}
    slopes = {
        k: (float(beta[i + 1]) / scale[k], sqrt(max(float(covariance[i + 1, i + 1]), 0.0)) / scale[k])
        for i, k in enumerate(names)
    }
    return Fit(slopes, 1 - float((left**2).sum()) / total if total > 0 else 0.0)


def tornado(net: Kw, drivers: Mapping[str, Kw]) -> list[dict[str, Any]]:
    """One bar a driver, widest first, and what the drivers leave unexplained."""
    made = fit(net, drivers)
    out: list[dict[str, Any]] = []
    for name, v in drivers.items():
        if float(np.ptp(v)) <= 1e-12:
            continue
        low, high = float(np.quantile(v, 0.1)), float(np.quantile(v, 0.9))
        if high - low <= 1e-12:
            usual = float(np.median(v))
            other = np.abs(v - usual) > 1e-12
            a, b = net[~other], net[other]
            error = sqrt(standard_error(a) ** 2 + standard_error(b) ** 2) if b.size > 1 else inf
            ends = (usual, float(v[other].mean()), float(a.mean()), float(b.mean()), error)
            how = f"conditional means, {other.mean():.0%} of futures differ"
        elif name in made.slopes:
            slope, err = made.slopes[name]
            at = float(net.mean()) - slope * float(v.mean())
            ends = (low, high, at + slope * low, at + slope * high, err * (high - low))
            how = "regression, P10 to P90"
        else:
            continue
        out.append(
            {
                "driver": name,
                "from": ends[0],
                "to": ends[1],
                "net at from_usd_per_y": ends[2],
                "net at to_usd_per_y": ends[3],
                "width_usd_per_y": abs(ends[3] - ends[2]),
                "error_usd": ends[4],
                "how": how,
            }
        )
    out.sort(key=lambda r: -float(r["width_usd_per_y"]))
    if net.size > 2:
        unexplained = float(net.std(ddof=1)) * sqrt(max(0.0, 1 - made.explained_frac))
        out.append(
            {
                "driver": "which days come, and all else",
                "width_usd_per_y": 2 * 1.2816 * unexplained,
                "how": f"not explained by the drivers above ({1 - made.explained_frac:.0%} of the variance), "
                "P10 to P90 of a normal",
            }
        )
    return out


# --- money over the years --------------------------------------------------------------------------------


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
        return site.written.finance, ""
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


# --- the whole -------------------------------------------------------------------------------------------


def outcome(site: Site, made: Simulation, *, inputs: Sequence[Any] = ()) -> Simulated:
    """Everything that a report shows of the rows of a simulation, all of them or those that are there so far.
    inputs: what differs between futures, as rows."""
    job = made.job
    asked, seed, as_of, by = job.count, job.seed, job.as_of, samples(made.rows)
    if not by or not next(iter(by.values()))["future"].size:
        raise InputError(
            "simulation: no future has been run under every policy yet; run `valuestack simulate` first"
        )
    finance, said = finance_of(site, as_of)
    money = {k: s.money_usd_per_y() for k, s in by.items()}
    keys = sorted({key for k, s in by.items() for key in (*money[k], *s.base_usd_per_y())})
    worth = None if finance is None else weights(_planned(finance, keys), keys)
    npv = {} if worth is None else {k: worth.repeated(m) for k, m in money.items()}
    names = {k: name_of(k) for k in by}
    bases = {k: _base(worth, s, money[k]) for k, s in by.items()} if worth is not None else {}
    verdict = recommendation(by, money)
    first = next(iter(by.values()))
    head = []
    if first["future"].size < asked:
        head.append(
            f"Partial: {first['future'].size:,} of {asked:,} futures; give the same command again for the rest."
        )
    head += _unlimited(site, by)
    shown = verdict.best if verdict is not None else next(iter(by))
    for kind, base in bases.items():
        if not base.passes and kind in (shown, "dynamic"):
            carried = float(npv[kind].mean()) > 0
            head.append(
                f"BASE LAYERS FAIL under {names[kind]}: {base.verdict}. "
                + (
                    "The investment stands on grid services or attributes, whose rules and prices can change."
                    if carried
                    else "Nor do all layers together."
                )
            )
    if worth is None:
        head.append(f"Whether the base layers carry the investment is not known: {said}.")
    return Simulated(
        site=site.name,
        what=site.written.what,
        futures=int(first["future"].size),
        asked=asked,
        seed=seed,
        as_of=str(as_of),
        policies=tuple(by),
        names=names,
        head=tuple(head),
        net_usd_per_y={k: s.net_usd_per_y for k, s in by.items()},
        npv_usd=npv,
        outcomes=_outcomes(by, npv, worth, money, names, seed),
        convergence=[{"policy": names[k], **r} for k, s in by.items() for r in convergence(s.net_usd_per_y)],
        tornado=[
            {"policy": names[k], **r} for k, s in by.items() for r in tornado(s.net_usd_per_y, s.drivers)
        ],
        layers=[r for k, s in by.items() for r in layer_rows(names[k], s, money[k])],
        streams=[r for k, s in by.items() for r in stream_rows(names[k], s, money[k])],
        concentration=[concentration_row(names[k], money[k]) for k in by],
        base=[
            {
                "policy": names[k],
                "verdict": "pass" if b.passes else "FAIL",
                "NPV of layers 1 and 2_usd": b.npv_usd,
                "NPV of all layers_usd": float(npv[k].mean()),
                "below zero_frac": float((worth.repeated(by[k].base_usd_per_y()) < 0).mean()),
                "in words": b.verdict,
            }
            for k, b in bases.items()
            if worth is not None
        ],
        stress=[r for k, s in by.items() for r in stress_rows(names[k], s, money[k], worth)],
        risk=[risk_row(names[k], k, s, site) for k, s in by.items()],
        verdict=verdict,
        inputs=list(inputs),
        methods=_methods(worth is not None),
        assumptions=tuple(
            x
            for x in (said if worth is not None else "", *(() if finance is None else finance.assumptions))
            if x
        ),
        cpu_s={names[k]: float(np.nansum(s["cpu_s"])) for k, s in by.items()},
    )


def _unlimited(site: Site, by: Mapping[str, Sample]) -> list[str]:
    """What must be said where method C commanded with no contract written."""
    kind = METHODS["C"]
    options = site.written.simulate.policy_options.get(kind, {})
    earned = kind in by and any(
        k[0] == 3 and np.abs(usd).max() > 0.005 for k, usd in by[kind].money_usd_per_y().items()
    )
    if not earned or options.get("contract") is not None or site.written.contracts:
        return []
    return [
        "No contract is written, so under C an aggregator commands whenever it likes and pays the owner all that the "
        "market pays. Real offers keep a share and set limits: add [[contracts]] before you choose C by these figures."
    ]


def name_of(kind: str) -> str:
    """'B: dynamic' for a method with a letter, else the kind."""
    letter = next((a for a, k in METHODS.items() if k == kind), None)
    plain = kind.replace("_", " ")
    return plain if letter is None else f"{letter}: {plain}"


def _planned(finance: Finance, keys: Sequence[Key]) -> Finance:
    """Plans of streams that brought nothing in any future are put aside."""
    there = {k[1] for k in keys}
    return finance.model_copy(update={"streams": {k: p for k, p in finance.streams.items() if k in there}})


def _outcomes(
    by: Mapping[str, Sample],
    npv: Mapping[str, Kw],
    worth: Weights | None,
    money: Mapping[str, Mapping[Key, Kw]],
    names: Mapping[str, str],
    seed: int,
) -> list[dict[str, Any]]:
    out = []
    for kind, s in by.items():
        out.append({"policy": names[kind], "of": "net a year", **_usd(spread_row(s.net_usd_per_y, seed))})
        if worth is not None:
            out.append({"policy": names[kind], "of": "NPV, repeated", **_usd(spread_row(npv[kind], seed))})
            mixed = worth.mixed(money[kind], seed)
            out.append(
                {"policy": names[kind], "of": "NPV, mixed", **_usd(_lives_row(mixed, s, worth, money[kind]))}
            )
    return out


def _lives_row(usd: Kw, s: Sample, worth: Weights, money: Mapping[Key, Kw]) -> dict[str, float]:
    """Spread of mixed lives. Their mean is as unsure as the futures that they were drawn from, whatever their "
    "number."""
    out = {"mean": float(usd.mean()), "mean ±": standard_error(worth.repeated(money))}
    out |= {name: exceeded(usd, share) for name, share in (("P10", 0.1), ("P50", 0.5), ("P90", 0.9))}
    out["CVaR 5 %"], out["below zero_frac"] = cvar_usd(usd, TAIL_FRAC), float((usd < 0).mean())
    return out


def _usd(row: Mapping[str, float]) -> dict[str, float]:
    return {k if k.endswith("_frac") else f"{k}_usd": v for k, v in row.items()}


def _base(worth: Weights, s: Sample, money: Mapping[Key, Kw]) -> Base:
    mean = [Value(k[1], k[0], float(v.mean()), k[2]) for k, v in money.items()]
    return base_layers(float(worth.repeated(s.base_usd_per_y()).mean()), mean)


# --- layers, streams, concentration ----------------------------------------------------------------------


def _certainty(parts: Mapping[str, float]) -> str:
    """'contractual', or 'market 80 %, modelled 20 %' by size of the money of each class."""
    total = sum(abs(v) for v in parts.values())
    if total <= 0.005:
        return ", ".join(parts)
    ranked = sorted(((abs(v) / total, k) for k, v in parts.items()), reverse=True)
    if ranked[0][0] > 0.995:
        return ranked[0][1]
    return ", ".join(f"{k} {share:.0%}" for share, k in ranked if share >= 0.005)


def _spread3(usd: Kw) -> dict[str, float]:
    return {f"{n}_usd_per_y": exceeded(usd, q) for n, q in (("P10", 0.1), ("P50", 0.5), ("P90", 0.9))}


def _served(s: Sample, pairs: Sequence[tuple[int, str]]) -> dict[str, float | None]:
    """Mean calls, missed calls, hours of service, throughput and staff hours a year; None where no stream says."""
    out: dict[str, float | None] = {}
    for name, title in (
        ("calls", "calls_per_y"),
        ("missed", "missed_per_y"),
        ("service_h", "hours_per_y"),
        ("throughput_kwh", "throughput_kwh_per_y"),
        ("staff_h", "staff hours_per_y"),
    ):
        found = [v for layer, stream in pairs if (v := s.figure_per_y(layer, stream, name)) is not None]
        out[title] = round(float(np.sum(found, axis=0).mean()), 2) if found else None
    return out


def _pairs(s: Sample, layer: int | None = None) -> list[tuple[int, str]]:
    found = {split(k)[:2] for k in s.columns if is_stream(k)}
    return sorted(p for p in found if layer is None or p[0] == layer)


def layer_rows(name: str, s: Sample, money: Mapping[Key, Kw]) -> list[dict[str, Any]]:
    """One row a layer; the last one is the cost of operation, wear with it."""
    out = []
    for layer in sorted({p[0] for p in _pairs(s)}):
        mine = {k: v for k, v in money.items() if k[0] == layer}
        total = np.sum(list(mine.values()), axis=0) if mine else np.zeros(s["span_y"].size)
        parts: dict[str, float] = {}
        for (_, _, certainty), v in mine.items():
            parts[certainty] = parts.get(certainty, 0.0) + float(np.abs(v).mean())
        out.append(
            {
                "policy": name,
                "layer": f"{layer} {LAYERS[layer]}",
                "mean_usd_per_y": float(total.mean()),
                **_spread3(total),
                "certainty": _certainty(parts),
                **_served(s, _pairs(s, layer)),
            }
        )
    operation = s["operation_usd"] / s["span_y"]
    out.append(
        {
            "policy": name,
            "layer": f"0 {LAYERS[0]}",
            "mean_usd_per_y": float(operation.mean()),
            **_spread3(operation),
            "certainty": "modelled wear, metered fuel"
            if (0, RUNNING, "metered") in money
            else "modelled wear",
        }
    )
    return out


def stream_rows(name: str, s: Sample, money: Mapping[Key, Kw]) -> list[dict[str, Any]]:
    """One row a stream."""
    out = []
    for layer, stream in _pairs(s):
        mine = {k[2]: v for k, v in money.items() if k[:2] == (layer, stream)}
        total = np.sum(list(mine.values()), axis=0) if mine else np.zeros(s["span_y"].size)
        out.append(
            {
                "policy": name,
                "layer": layer,
                "stream": stream,
                "mean_usd_per_y": float(total.mean()),
                **_spread3(total),
                "certainty": _certainty({k: float(np.abs(v).mean()) for k, v in mine.items()}),
                **_served(s, [(layer, stream)]),
            }
        )
    return out


def concentration_row(name: str, money: Mapping[Key, Kw]) -> dict[str, Any]:
    """Herfindahl index of mean values by stream, the contractual share, and the largest."""
    values = [Value(k[1], k[0], float(v.mean()), k[2]) for k, v in money.items()]
    sums: dict[str, float] = {}
    for v in values:
        sums[v.stream] = sums.get(v.stream, 0.0) + v.usd_per_y
    gains = {k: v for k, v in sums.items() if v > 0}
    top = max(gains, key=lambda k: gains[k], default="nothing")
    return {
        "policy": name,
        "Herfindahl index": round(herfindahl(values), 3),
        "contractual_frac": contractual_share(values),
        "largest stream": top,
        "its share_frac": gains[top] / fsum(gains.values()) if gains else 0.0,
    }


# --- stress, risk, recommendation ------------------------------------------------------------------------


def stress_rows(name: str, s: Sample, money: Mapping[Key, Kw], worth: Weights | None) -> list[dict[str, Any]]:
    """Each stream of layers 3 and 4 brings nothing any more, its costs stay, and dispatch goes on as it was; then all
    of them at once. Exact where the policy does not look at the price; one that does would lose no more than this."""
    earning = {k[:2] for k, v in money.items() if float(v.max(initial=0.0)) > 0.005}
    upper = [p for p in _pairs(s) if p[0] >= 3 and p in earning]
    cases = {f"{stream} pays nothing": {(layer, stream)} for layer, stream in upper}
    if len(upper) > 1:
        cases["layers 3 and 4 pay nothing"] = set(upper)
    out = []
    for title, gone in cases.items():
        left = {k: np.minimum(v, 0.0) if k[:2] in gone else v for k, v in money.items()}
        lost = np.sum([v - left[k] for k, v in money.items()], axis=0)
        net = s.net_usd_per_y - lost
        row = {
            "policy": name,
            "stress": title,
            "lost_usd_per_y": float(lost.mean()),
            "net left_usd_per_y": float(net.mean()),
            "P90 left_usd_per_y": exceeded(net, 0.9),
            "layers hit": ", ".join(str(k) for k in sorted({g[0] for g in gone})),
        }
        if worth is not None:
            npv = worth.repeated(left)
            row |= {"NPV left_usd": float(npv.mean()), "NPV below zero_frac": float((npv < 0).mean())}
        out.append(row)
    return out


def risk_row(name: str, kind: str, s: Sample, site: Site) -> dict[str, Any]:
    """What each method stands to lose by: missed calls, errors of its forecast, wear, and leaving its contracts."""
    called = _served(s, [p for p in _pairs(s) if s.figure_per_y(*p, "missed") is not None])
    wear = np.maximum(-s["wear_usd"] / s["span_y"], 0.0)
    row: dict[str, Any] = {
        "policy": name,
        "missed calls_per_y": called["missed_per_y"],
        "of calls_per_y": called["calls_per_y"],
        **_forecast_error(s),
        "wear_usd_per_y": float(wear.mean()),
        "wear P10_usd_per_y": exceeded(wear, 0.1),
        "full cycles_per_y": round(float((s["full_cycles"] / s["span_y"]).mean()), 1),
        "changes a day": round(float(s["changes_per_day"].mean()), 1),
    }
    return {**row, **_leaving(kind, site)}


def _forecast_error(s: Sample) -> dict[str, Any]:
    """Share of the perfect-foresight saving on the tariff that is lost, in the futures that were solved with it."""
    bound = s.columns.get("bound_usd")
    if bound is None or np.isnan(bound).all():
        return {"foresight lost_frac": None}
    at = np.isfinite(bound)
    net = (s["layer 1_usd"] + s["operation_usd"])[at]
    whole = float(bound[at].sum())
    return {
        "foresight lost_frac": 1 - float(net.sum()) / whole if whole > 0.005 else None,
        "foresight in futures": int(at.sum()),
    }


def _leaving(kind: str, site: Site) -> dict[str, Any]:
    """What it costs in the first year to leave the contracts that a policy serves."""
    from ...site.files import policy_class

    if not getattr(policy_class(kind), "answers", False):
        return {"cost to leave": "none"}
    contracts = site.written.contracts
    if not contracts:
        return {"cost to leave": "not known: no contract is given"}
    known = {
        c.name: None if c.term is None or not c.term.exit_usd else c.term.exit_cost_usd(1) for c in contracts
    }
    if unknown := [k for k, v in known.items() if v is None]:
        return {"cost to leave": f"not stated by {', '.join(unknown)}"}
    return {"cost to leave": f"${sum(v for v in known.values() if v is not None):,.0f} in year 1"}


def recommendation(by: Mapping[str, Sample], money: Mapping[str, Mapping[Key, Kw]]) -> Verdict | None:
    """The method with the highest mean net, by how much, and what would flip it; None with fewer than two policies or
    futures: one future has no error.

    Candidates are the policies that are methods A, B and C where two of them ran, else all but doing nothing; the best
    is held against the next, and against doing nothing where only one is left.
    """
    methods = [k for k in by if k in METHODS.values()]
    pool = methods if len(methods) > 1 else [k for k in by if k != IDLE]
    if len(pool) < 2 and IDLE in by:
        pool.append(IDLE)
    if len(pool) < 2 or by[pool[0]]["future"].size < 2:
        return None
    ranked = sorted(pool, key=lambda k: -float(by[k].net_usd_per_y.mean()))
    a, b = ranked[0], ranked[1]
    gap = by[a].net_usd_per_y - by[b].net_usd_per_y
    margin, error = float(gap.mean()), standard_error(gap)
    sure = margin > 2 * error
    idle = IDLE in by and float((by[a].net_usd_per_y - by[IDLE].net_usd_per_y).mean()) <= 0 and a != IDLE
    words = (
        f"{name_of(a)} nets {show_usd(margin)} ± {error:,.0f} a year more than {name_of(b)} (mean of {gap.size:,} "
        "paired futures, "
        f"± one standard error) and is ahead in {(gap > 0).mean():.0%} of them"
    )
    words += "." if sure else "; that is within its error, so either may be taken."
    if idle:
        words += " Doing nothing nets no less: none of them earns what it wears."
    return Verdict(
        a, b, margin, error, float((gap > 0).mean()), sure, words, tuple(_flips(by, money, a, b, gap))
    )


def _flips(
    by: Mapping[str, Sample], money: Mapping[str, Mapping[Key, Kw]], a: str, b: str, gap: Kw
) -> list[str]:
    """What would make the second the first: a layer that brought less, wear that cost more, a driver that came
    differently, a careful owner. By the rows as they are: no policy is run anew."""
    out, margin = [], float(gap.mean())
    parts: dict[str, float] = {}
    for layer in sorted({k[0] for k in (*money[a], *money[b])}):
        sums = [float(np.sum([v.mean() for k, v in money[p].items() if k[0] == layer])) for p in (a, b)]
        parts[f"what layer {layer} ({LAYERS[layer]}) brings"] = sums[0] - sums[1]
    wear = [float((by[p]["wear_usd"] / by[p]["span_y"]).mean()) for p in (a, b)]
    parts["the price of wear"] = wear[0] - wear[1]
    for what, usd in sorted(parts.items(), key=lambda kv: -abs(kv[1])):
        if abs(usd) <= 0.01 * abs(margin) or margin <= 0:
            continue
        factor = 1 - margin / usd
        if 0 <= factor <= 5:
            out.append(
                f"{what} were {factor:.2f} times as much as now (it makes {show_usd(usd)} of the margin), with "
                "dispatch as it is"
            )
    made = fit(gap, by[a].drivers)
    for name, (slope, err) in made.slopes.items():
        v = by[a].drivers[name]
        if abs(slope) <= 2 * err:
            continue
        at = float(v.mean()) - margin / slope
        low, high = float(np.quantile(v, 0.01)), float(np.quantile(v, 0.99))
        if low <= at <= high:
            side = "above" if slope < 0 else "below"
            out.append(f"{name} came {side} {at:.3g} (its mean is {float(v.mean()):.3g}; by regression)")
    tails = [cvar_usd(by[p].net_usd_per_y, TAIL_FRAC) for p in (a, b)]
    if tails[1] > tails[0]:
        out.append(
            f"the worst 5 % of futures were to decide: there {name_of(b)} nets {show_usd(tails[1])}, {name_of(a)} "
            f"{show_usd(tails[0])}"
        )
    return out


def _methods(npv: bool) -> tuple[str, ...]:
    out = [
        "Every future is a whole year of intervals, run by the policy through the guard against the simulated site and "
        "settled by each stream's own rule; policies see only what was public at the time.",
        "P10, P50 and P90 are exceeded in one, five and nine of ten futures; CVaR is the mean of the worst 5 %. "
        "± is one Monte Carlo standard error: s / sqrt(n) of a mean, of the others a bootstrap over futures with "
        f"{DRAWS} draws.",
        "Policies are compared future by future, under the same drawn year.",
        "Bars of the tornado: regression of net on all drawn numbers together, from each driver's P10 to its P90; "
        "conditional means where nine of ten futures agree.",
        "Calls, hours, throughput and staff hours are means a year; a blank says that the stream, or its cost to "
        "serve, states none. A call is missed where the site did nothing about it.",
        "Layers 1 and 2 alone: a policy that answers calls is run once more as if nobody called; of any other the "
        "streams of layers 3 and 4 are taken out of the settled rows, which it did not look at.",
        "What not knowing the future costs: saving on the tariff less wear against the same with the future known, in "
        "the first futures (simulate.foresight of them); blank where engines or processes make that bound slow.",
    ]
    if npv:
        out.append(
            "NPV, repeated: a future's year comes every year of the analysis, so whatever was drawn persists. NPV, "
            f"mixed: each year is another future ({LIVES:,} lives). The truth lies between: a market that ended stays "
            "ended, an outage does not come back. Wear is in it only as what the pro forma replaces."
        )
    return tuple(out)
