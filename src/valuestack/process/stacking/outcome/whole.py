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
from typing import Any

import numpy as np

from ....errors import InputError
from ....finance.finance import Finance
from ....finance.risk import cvar_usd, exceeded, standard_error
from ....report.simulated import Simulated
from ....site.site import Site
from ....timeline import Kw
from ..simulate import METHODS, Simulation
from .concentration import base_of, concentration_row, layer_rows, stream_rows
from .drivers import tornado
from .recommendation import name_of, recommendation
from .risks import risk_row
from .sample import DRAWS, TAIL_FRAC, Key, Sample, convergence, samples, spread_row
from .stress import stress_rows
from .worth import LIVES, Weights, finance_of, weights


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
    bases = {k: base_of(worth, s, money[k]) for k, s in by.items()} if worth is not None else {}
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
