"""Which of several tariffs costs least for a load, who may take it, and why the others cannot be billed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ...errors import DataError, InputError
from ...timeline import Kw, Timeline
from .bill import Bill, bill, check_series
from .facts import BillFacts
from .tariff import Tariff


@dataclass(frozen=True, slots=True)
class Ranked:
    """One tariff's place. total_usd and usd_per_y: None where it cannot be billed, and `reason` says why.

    eligible: whether the load stays inside the class in every cycle; reason says what does not. assumptions:
    what the bill took for granted. changed: whether the load was another than the one given (a battery).
    """

    tariff: str
    total_usd: float | None
    usd_per_y: float | None
    eligible: bool
    reason: str
    assumptions: tuple[str, ...] = ()
    changed: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; assumptions also as a count."""
        return {**asdict(self), "assumption_count": len(self.assumptions)}


def rank_tariffs(
    tariffs: Mapping[str, Tariff] | Iterable[Tariff],
    timeline: Timeline,
    net_kw: Kw,
    net_kvar: Kw | None = None,
    *,
    history: Any = None,
    cycles: Any = None,
    facts: BillFacts | None = None,
    net_kw_for: Callable[[Tariff], Kw] | None = None,
) -> list[Ranked]:
    """Rows from the cheapest eligible tariff on; then those not eligible; then those that cannot be billed.

    net_kw: (n,) as for `bill`. net_kw_for: the net load under a tariff, where assets follow it; eligibility
    is judged on that load: shaving may take a site out of its class. Years are of 8,760 hours.
    Errors: those that concern the load itself; whatever concerns one tariff stands in its row.
    """
    check_series("net_kw", net_kw, timeline)
    if net_kvar is not None:
        check_series("net_kvar", net_kvar, timeline)
    named = dict(tariffs) if isinstance(tariffs, Mapping) else {t.name: t for t in tariffs}
    rows = []
    for name, tariff in named.items():
        try:
            load = net_kw if net_kw_for is None else net_kw_for(tariff)
            made = bill(tariff, timeline, load, net_kvar, history=history, cycles=cycles, facts=facts)
        except (DataError, InputError) as e:
            rows.append(Ranked(name, None, None, False, str(e), changed=net_kw_for is not None))
            continue
        rows.append(_row(name, made, net_kw_for is not None))
    return sorted(rows, key=lambda r: (r.total_usd is None, not r.eligible, r.total_usd or 0.0, r.tariff))


def _row(name: str, made: Bill, changed: bool) -> Ranked:
    why = "; ".join(f.what for f in made.findings if f.kind == "eligibility")
    return Ranked(
        name,
        made.total_usd,
        made.total_usd * 8760 / made.timeline.hours,
        not why,
        why,
        made.assumptions,
        changed,
    )
