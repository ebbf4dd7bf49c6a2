"""Tariffs ranked for a meter of a site, with its assets or without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ValuestackError
from ...finding import Finding
from ...report.result import BOUND_LABEL
from ...site.files import find_tariff, shipped
from ...site.site import Site, SiteMeter, TariffVersion
from ...timeline import Kw
from .cases import bound_run
from .meters import Ready, Step, quiet, ready


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Candidates for one meter: as metered, and with the assets following each tariff (the bound)."""

    meter: str
    head: tuple[str, ...]
    alone: tuple[Any, ...]
    with_assets: tuple[Any, ...] = ()
    findings: tuple[Finding, ...] = ()
    note: str = ""

    def rows(self) -> list[dict[str, Any]]:
        """One row a tariff, in the order of what the owner would pay."""
        shaved = {r.tariff: r for r in self.with_assets}
        out = []
        for r in self.with_assets or self.alone:
            bare = next(a for a in self.alone if a.tariff == r.tariff)
            after = shaved.get(r.tariff)
            out.append(
                {
                    "tariff": r.tariff,
                    "usd_per_y": bare.usd_per_y,
                    "eligible": bare.eligible,
                    "reason": (after.reason if after is not None and after.reason else bare.reason),
                    "with_battery_usd": None if after is None else after.usd_per_y,
                    "eligible_with_battery": None if after is None else after.eligible,
                }
            )
        return out

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "meter": self.meter,
            "head": list(self.head),
            "note": self.note,
            "rows": self.rows(),
            "with_battery": BOUND_LABEL if self.with_assets else None,
            "alone": [r.to_dict() for r in self.alone],
            "with_assets": [r.to_dict() for r in self.with_assets],
        }


def rank(
    site: Site,
    meter: SiteMeter,
    candidates: Sequence[str],
    *,
    every: bool = False,
    with_battery: bool = False,
    progress: Step = quiet,
) -> Ranking:
    """Rank `candidates` (names or files) for one meter of a site.

    candidates: none = the shipped tariffs of the utility that serves the meter, or all where it names no
    tariff; every: all in any case.

    with_battery: also with the meter's assets dispatched on each tariff with perfect foresight.
    """
    from ...streams.retail.rank import rank_tariffs
    from ...streams.retail.tariff import load_tariff

    folder = site.path.parent if site.path else Path()
    paths = {c: find_tariff(c, folder) for c in candidates} or shipped("tariffs")
    tariffs = {name: load_tariff(p) for name, p in paths.items()}
    note = ""
    if not candidates and meter.tariffs and not every:
        utility = meter.tariffs[-1].tariff.utility
        tariffs = {n: t for n, t in tariffs.items() if t.utility == utility} or tariffs
        note = f"the shipped tariffs of {utility}; --all ranks every shipped tariff, --tariff names others"
    # A rank stands on metered data; the tariff that the site has today only gives the facts their owner.
    only = next(iter(tariffs.items()))
    made = ready(site, meter if meter.tariffs else _on(meter, *only), progress=progress)
    progress("ranking", None)
    inputs = dict(made.bill_inputs)
    alone = rank_tariffs(tariffs, made.timeline, made.before_kw, made.load_kvar, **inputs)
    shaved: list[Any] = []
    if with_battery:
        names = {id(t): n for n, t in tariffs.items()}

        def follow(tariff: Any) -> Kw:
            progress(f"battery on {names[id(tariff)]}", None)
            return _bound_kw(replace(made, meter=_on(meter, names[id(tariff)], tariff)))

        shaved = rank_tariffs(
            tariffs, made.timeline, made.before_kw, made.load_kvar, **inputs, net_kw_for=follow
        )
    return Ranking(meter.name, made.head, tuple(alone), tuple(shaved), made.audited.findings, note)


def _on(meter: SiteMeter, name: str, tariff: Any) -> SiteMeter:
    """The meter on another tariff."""
    return replace(meter, tariffs=(TariffVersion(tariff, None, None, name, None),))


def _bound_kw(made: Ready) -> Kw:
    """Net load of the bound; an error of the solver is that tariff's own."""
    from ...errors import InputError

    try:
        return np.asarray(bound_run(made, rounds=0).record.net_kw)
    except ValuestackError as e:
        raise InputError(f"no plan on this tariff: {e}") from e
