"""What a limit of setpoint changes costs: the realised case run again under each, settled like itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import fsum
from typing import Any

import numpy as np

from ...control.changes import FORCED, moved_per_day
from ...report.result import ChangeLimit, Study
from ...site.site import Site
from .cases import Run, prices_of, realised_run
from .meters import Ready, Step, quiet


def of_site(
    site: Site,
    meters: Sequence[Ready],
    bounds: Sequence[Run],
    reserves_kwh: Sequence[Mapping[str, Any]],
    found: Study,
    *,
    progress: Step = quiet,
) -> Iterator[ChangeLimit]:
    """A row for every limit that the site asks about, tightest last. bounds: for wear prices; found: with the realised
    case as it is, which the loss is counted from; reserves_kwh: floors by meter."""
    asked = sorted(set(site.written.study.changes_per_day), reverse=True)
    for i, most in enumerate(asked):
        progress(f"at most {most} setpoint changes a day", i / len(asked))
        rules = site.written.setpoints.model_copy(update={"max_changes_per_day": most})
        runs = [
            realised_run(site, m, prices_of(b), floor, rules)
            for m, b, floor in zip(meters, bounds, reserves_kwh, strict=True)
        ]
        bills = [m.settle(r.record.net_kw, r.record.net_kvar).total_usd for m, r in zip(meters, runs)]
        saving = fsum(
            (
                found.before.bill_usd,
                *(-usd for usd in bills),
                *(r.operation.total_usd for r in runs),
                found.before.wear_usd,
            )
        )
        days = [m.timeline.hours / 24 for m in meters]
        forced = [
            fsum(float(np.sum(v)) for k, v in r.record.extra.items() if k.endswith(f"/{FORCED}"))
            for r in runs
        ]
        yield ChangeLimit(
            most_per_day=most,
            saving_usd_per_y=saving / found.span_y,
            lost_usd_per_y=(found.net_usd(found.realised) - saving) / found.span_y,
            changes_per_day=fsum(moved_per_day(r.record) for r in runs),
            forced_per_day=fsum(f / d for f, d in zip(forced, days)),
        )
