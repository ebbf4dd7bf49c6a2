"""Writes the maps on shares and wear in docs/explanation/warnings.md, and the examples of docs/explanation/offers.md.

    python -m tests.evidence.warnings_table [share] [spiky] [wear] [examples]

Every figure is of a run of the tool on a shipped site. The maps take the battery of the data centre alone: its engines
and its reserve are left out, so that what is seen is the tariff, the battery and the market.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from datetime import date
from math import fsum
from pathlib import Path
from typing import Any

from valuestack.process.contracts.offers import Compared, _Comparison, compare
from valuestack.process.contracts.plans import aggregator_run, base_run, owner_run
from valuestack.process.stacking.layers import day_of_rules, placed
from valuestack.process.stacking.meters import ready
from valuestack.site.files import load, shipped
from valuestack.site.offer import Offer, load_offer, with_offers

ROOT = Path(__file__).resolve().parents[2]
WARNINGS = ROOT / "docs" / "explanation" / "warnings.md"
OFFERS = ROOT / "docs" / "explanation" / "offers.md"
HOURS = (365.0, 1095.0, 2190.0, 4380.0, 8760.0)
LEVELS = (0.0, 1.0, 2.0, 4.0)
SIGNALS = (0.10, 0.25, 0.40)
ENERGIES = (1000.0, 2000.0, 4000.0)
CYCLES_PER_Y, YEARS = 365.0, 10.0  # of a usual commercial warranty: ten years, a cycle a day


def put(page: Path, mark: str, lines: Sequence[str]) -> None:
    """Put lines between a page's marks."""
    text = page.read_text(encoding="utf-8")
    head, rest = text.split(f"<!-- {mark} -->")
    _, tail = rest.split("<!-- end -->", 1)
    body = "\n".join(lines)
    page.write_text(f"{head}<!-- {mark} -->\n{body}\n<!-- end -->{tail}", encoding="utf-8")


def scaled(folder: Path, tariff: str, level: float) -> str:
    """A shipped tariff with its demand prices multiplied, as a file."""
    if level == 1.0:
        return tariff
    rate = json.loads(shipped("tariffs")[tariff].read_text(encoding="utf-8"))
    for structure in ("flatdemandstructure", "demandratestructure"):
        for period in rate["urdb"].get(structure, ()):
            for tier in period:
                tier["rate"] = tier.get("rate", 0.0) * level
                tier["adj"] = tier.get("adj", 0.0) * level
    path = folder / f"{tariff}-{level:g}.json"
    path.write_text(json.dumps(rate), encoding="utf-8")
    return str(path)


def site(
    folder: Path, *, level: float = 1.0, signal: float | None = None, energy_kwh: float | None = None
) -> Any:
    """The data centre with its battery and regulation alone. level: demand prices as a multiple of the tariff's;
    signal: mean call each way of the award; energy_kwh: of the battery, at the same power."""
    values = tomllib.loads(shipped("sites")["data-centre"].read_text(encoding="utf-8"))
    values["assets"] = [a for a in values["assets"] if a["kind"] == "battery"]
    values["streams"] = [s for s in values["streams"] if s["name"] == "regulation"]
    for key in ("finance", "then"):
        values.pop(key, None)
    if energy_kwh is not None:
        values["assets"][0]["energy_kwh"] = energy_kwh
    if signal is not None:
        values["streams"][0] |= {"signal_up_frac": signal, "signal_down_frac": signal}
    (used,) = values["meters"][0]["tariffs"]
    used["tariff"] = scaled(folder, used["tariff"], level)
    return load(values)


def spiky(folder: Path, *, level: float = 1.0) -> Any:
    """The jobbing foundry in July, with regulation at the shipped offers' prices."""
    values = tomllib.loads(shipped("sites")["first-story"].read_text(encoding="utf-8"))
    market = tomllib.loads(shipped("offers")["regulation-90"].read_text(encoding="utf-8"))
    values["study"] |= {"first_date": date(2021, 7, 1), "until_date": date(2021, 8, 1)}
    values |= {"streams": market["streams"], "series": market["series"]}
    (used,) = values["meters"][0]["tariffs"]
    used["tariff"] = scaled(folder, used["tariff"], level)
    for key in ("claim", "economics"):
        values.pop(key, None)
    return load(values)


def offer(name: str, share: float, **dispatch: Any) -> Offer:
    """A share of regulation with the battery at the aggregator's command."""
    contract = {
        "name": name,
        "streams": ["regulation"],
        "asset": "battery",
        "revenue": {"owner_frac": share},
        "dispatch": dispatch,
    }
    return load_offer({"name": name, "contracts": [contract]})


class Year:
    """One site, ready to be asked for nets."""

    def __init__(self, written: Any, offers: Sequence[Offer]) -> None:
        made = with_offers(written, offers)
        (m,) = [ready(made, x) for x in made.meters]
        self.at = [placed(made, m, day_of_rules(made, [m]), lenient=True)]
        self.base = base_run(self.at[0], ("regulation",), made.written.study.wear_rounds)
        self.c = _Comparison(self.at, [self.base], ("regulation",))

    def asked(self, o: Offer, who: str = "aggregator") -> tuple[float, float, Any]:
        """(more than no offer, bill more, plan) under a dispatcher [USD a year]."""
        maker = aggregator_run if who == "aggregator" else owner_run
        x = maker(self.at[0], o, self.base, self.c.prices)
        settled = [self.c._settle(self.at[0], x.run, o)]
        net = self.c.net_usd(settled, self.c._beside(o, settled))
        none = self.c.net_usd(self.c.settled, type(self.c.settled[0].services)())
        bill = fsum(s.bill.total_usd for s in settled) - fsum(s.bill.total_usd for s in self.c.settled)
        return net - none, bill, x


def share_map(
    folder: Path, make: Any, rate: str, hours: Sequence[float], levels: Sequence[float], per: str
) -> list[str]:
    """Owner's net under 90 % less that under 70 %, by hours of right and demand prices."""
    night = offer("nights", 0.7, from_h=22.0, to_h=6.0)
    lines = [
        f"| demand prices of {rate} | 70 %, nights only, against no offer | "
        + " | ".join(f"90 %, {h:,.0f} h a {per}" for h in hours)
        + " |",
        "|---|---|" + "---|" * len(hours),
    ]
    below = cells = 0
    for level in levels:
        y = Year(make(folder, level=level), [night])
        low, _, _ = y.asked(night)
        row = []
        for h in hours:
            more, _, _ = y.asked(offer(f"{h:g} h", 0.9, max_hours_per_y=h))
            row.append(more - low)
            cells += 1
            below += more < low
            print(f"{rate} x {level:g}, {h:g} h: 90 % {more:,.0f}, 70 % {low:,.0f}", flush=True)
        marked = " **(a)**" if level == 1.0 else ""
        lines.append(f"| x {level:g}{marked} | {money(low)} | " + " | ".join(map(money, row)) + " |")
    return [*lines, "", f"In {below} of {cells} cells the larger share leaves the owner less."]


def wear_map(folder: Path) -> list[str]:
    """Cycles, breach and the guarantee that would cover it, by duration and by what the signal asks."""
    lease = offer("lease", 0.0)
    lines = [
        "| battery, 1 MW | mean call of the award | owner's own cycles a year | under the aggregator | times as fast | "
        "a cycle a day over ten years is used up after | 365 cycles of a year after | capacity left after 5 years | "
        "guarantee that would cover it, USD a month |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for energy in ENERGIES:
        for signal in SIGNALS:
            y = Year(site(folder, signal=signal, energy_kwh=energy), [lease])
            more, bill, x = y.asked(lease)
            (battery,) = y.at[0].ready.new
            warranty = type(battery.warranty)(
                years=YEARS,
                cycles_per_y=CYCLES_PER_Y,
                throughput_mwh=CYCLES_PER_Y * YEARS * energy * battery.efficiencies[1] / 1000,
            )
            b = battery.model_copy(update={"warranty": warranty})
            own, theirs = b.worn(y.base.record), b.worn(x.run.record)
            terms = {t.name: t for t in b.spent(x.run.record).terms}
            left = b.capacity_after(x.run.record)(5.0)
            whole, year = terms["energy over the term"], terms["cycles a year"]
            marked = " **(b)**" if signal == 0.25 and energy == 4000.0 else ""
            lines.append(
                f"| {energy / 1000:g} h{marked} | {signal:.0%} | {own.full_cycles:,.0f} | {theirs.full_cycles:,.0f} | "
                f"{times(theirs.full_cycles, own.full_cycles)} | {years(whole.years_to_breach)} | "
                f"{days(year.years_to_breach)} | {left:.0%} | {money(-more / 12)} |"
            )
            print(lines[-1], f"bill {bill:,.0f}", flush=True)
    return lines


def examples(sites: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Rankings of the shipped offers on the shipped sites."""
    out: list[str] = []
    for name, offers in sites:
        began = time.process_time()
        found = compare(load(name), [load_offer(o) for o in offers])
        print(name, f"{time.process_time() - began:.0f} s", flush=True)
        out += ["", f"### {name}", "", *told(found)]
    return out[1:]


def told(found: Compared) -> list[str]:
    """One comparison as a table and its sentences."""
    y = found.span_y
    lines = [
        "| offer | who commands | more than no offer | market pays | aggregator | utility | wear | lost reserve | "
        "full cycles | share worth no offer |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for o in found.offers:
        for r in (o.ranked, o.other):
            s = r.split_usd
            even = "none is enough" if r.break_even_frac is None else f"{r.break_even_frac:.0%}"
            lines.append(
                f"| {o.name} | {r.dispatcher} | {money(r.more_usd / y)} | {money(r.gross_usd / y)} | "
                f"{money(s['aggregator'] / y)} | {money(s['utility'] / y)} | {money(s['wear'] / y)} | "
                f"{money(s['reserve'] / y)} | {fsum(w.full_cycles for w in r.wear) / y:,.0f} | {even} |"
            )
    own = fsum(w.full_cycles for w in found.none.wear) / y
    lines += ["", f"No offer nets {money(found.none.net_usd / y)} a year with {own:,.0f} full cycles."]
    lines += ["", *(f"- {s}" for s in found.said)]
    for o in found.offers:
        if o.ceded is not None:
            c = o.ceded
            day = next((s for s in c.survival if s.hours == 24.0), None)
            odds = (
                ""
                if day is None
                else f"; a day is survived with {day.before_frac:.2%} and {day.after_frac:.2%}"
            )
            broken = f"{sum(k.breaches_before for k in c.reserves):,} and {sum(k.breaches_after for k in c.reserves):,}"
            lines.append(
                f"- In the loop, {o.name} nets {money(c.kept_usd / y)} with the reserve kept and "
                f"{money(c.ceded_usd / y)} with it ceded; starts of an outage not carried: {broken}{odds}."
            )
    return lines


def money(usd: float) -> str:
    """'-$1,234'."""
    return f"{'-' if round(usd) < 0 else ''}${abs(usd):,.0f}"


def times(a: float, b: float) -> str:
    return f"{a / b:.1f} x" if b > 1 else f"from {b:.1f}"


def years(value: float | None) -> str:
    return "not in ten years" if value is None else f"{value:.1f} years"


def days(value: float | None) -> str:
    return "never" if value is None else f"{value * 365:.0f} days"


def main() -> None:
    wanted = set(sys.argv[1:]) or {"share", "spiky", "wear", "examples"}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        if "share" in wanted:
            put(WARNINGS, "share map", share_map(folder, site, "Dominion GS-3", HOURS, LEVELS, "year"))
        if "spiky" in wanted:
            month = (30.0, 90.0, 180.0, 360.0, 744.0)
            put(
                WARNINGS,
                "spiky map",
                share_map(folder, spiky, "PG&E B-20", month, (0.0, 0.5, 1.0, 2.0), "month"),
            )
        if "wear" in wanted:
            put(WARNINGS, "wear map", wear_map(folder))
    if "examples" in wanted:
        both = [
            ("first-story", ["regulation-90", "regulation-70"]),
            ("data-centre", ["battery-lease", "regulation-share"]),
        ]
        put(OFFERS, "measured", examples(both))


if __name__ == "__main__":
    main()
