"""A deliberately naive bill: plain Python, one interval after the other, written from the tariff's words alone.

It reads the tariff file's mapping, not our items, and shares no code with the engine. Slow and obvious.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from random import Random
from typing import Any

Month = tuple[int, int]


def random_rate(seed: int) -> dict[str, Any]:
    """A tariff of our own form with tiers, windows, ratchets, minima, export credit: whatever the seed says."""
    r = Random(seed)
    unit = r.choice(["kWh", "kWh", "kWh daily", "kWh/kW", "kWh/kW daily"])
    tops = sorted(
        r.sample(
            {
                "kWh": [900, 3000, 9000, 20000],
                "kWh daily": [50, 200, 600, 1500],
                "kWh/kW": [30, 90, 200, 400],
                "kWh/kW daily": [1, 4, 8, 15],
            }[unit],
            r.randint(0, 2),
        )
    )
    steps = [round(r.uniform(-0.04, 0.06), 4) for _ in tops]
    alike = r.random() < 0.5
    periods = []
    for _ in range(r.randint(1, 3)):
        price = round(r.uniform(0.05, 0.3), 4)
        own = steps if alike else [round(r.uniform(-0.04, 0.06), 4) for _ in tops]
        prices = [price, *(round(price + s, 4) for s in own)]
        periods.append(
            {
                "tiers": [
                    {"usd_per_kwh": p, "upto": u, "unit": unit}
                    for p, u in zip(prices, [*tops, None], strict=True)
                ]
            }
        )
    items: list[dict[str, Any]] = [
        {"kind": "energy", "periods": periods, **_schedules(r, len(periods))},
        {"kind": "fixed", "usd": round(r.uniform(0, 300), 2), "per": r.choice(["day", "month"])},
    ]
    if r.random() < 0.8:
        flat = {
            "kind": "demand",
            "name": "flat",
            "periods": _demand(r, 2),
            "months": [r.randint(0, 1) for _ in range(12)],
            "window_min": r.choice([None, 60, 120]),
        }
        if r.random() < 0.6:
            flat["ratchet"] = {"share_frac": r.choice([0.5, 0.8, 1.0]), "months": r.choice([1, 3, 11])}
            if r.random() < 0.5:
                flat["ratchet"] |= {"months": 11, "only_months": sorted(r.sample(range(1, 13), 4))}
        items.insert(r.randint(0, 2), flat)
    if r.random() < 0.6:
        n = r.randint(1, 3)
        items.append({"kind": "demand", "name": "timed", "periods": _demand(r, n), **_schedules(r, n)})
    if r.random() < 0.4:
        items.append({"kind": "export", "usd_per_kwh": [round(r.uniform(0, 0.1), 4)], **_schedules(r, 1)})
    if r.random() < 0.5:
        items.append({"kind": "minimum", "usd": round(r.uniform(100, 3000), 2), "per": "month"})
    if r.random() < 0.4:
        items.append({"kind": "tax", "name": "city", "share_frac": round(r.uniform(0.01, 0.2), 4)})
    return {
        "name": f"random {seed}",
        "source": "drawn",
        "verified": True,
        "holidays": ["2018-07-04"],
        "items": items,
    }


def _schedules(r: Random, n: int) -> dict[str, Any]:
    def rows() -> list[list[int]]:
        winter, summer = ([r.randrange(n) for _ in range(24)] for _ in range(2))
        begin = r.randint(5, 8)
        return [summer if begin <= m < begin + 4 else winter for m in range(1, 13)]

    return {"weekday": rows(), "weekend": rows()}


def _demand(r: Random, n: int) -> list[dict[str, Any]]:
    out = []
    for _ in range(n):
        tops = sorted(r.sample([20, 60, 120], r.randint(0, 2)))
        out.append(
            {"tiers": [{"usd_per_unit": round(r.uniform(0, 20), 3), "upto": u} for u in [*tops, None]]}
        )
    return out


def ladder(q: float, tiers: list[dict[str, Any]], price: str, scale: float = 1.0) -> float:
    """Charge of q over cumulative tiers, unit by unit of bound."""
    usd, low = 0.0, 0.0
    for t in tiers:
        high = float("inf") if t["upto"] is None else t["upto"] * scale
        if high < low:
            high = low
        if q > low:
            usd += t[price] * (min(q, high) - low)
        low = high
    return usd


class Plain:
    """The bill of one tariff mapping over a timeline."""

    def __init__(
        self,
        rate: dict[str, Any],
        timeline: Any,
        net_kw: Any,
        cycles: list[tuple[date, date]] | None,
        history: dict[str, float] | None,
    ) -> None:
        self.rate, self.t, self.kw = rate, timeline, [float(v) for v in net_kw]
        self.h = timeline.step_h
        self.when = [timeline.when(k) for k in range(timeline.n)]
        self.history = history or {}
        self.holidays = {date.fromisoformat(d) for d in rate["holidays"]}
        days = [w.date() for w in self.when]
        self.cycles = cycles or [self._month(y, m) for y, m in sorted({(d.year, d.month) for d in days})]
        self.of: dict[int, list[int]] = defaultdict(list)
        for k, d in enumerate(days):
            self.of[next(i for i, (a, b) in enumerate(self.cycles) if a <= d < b)].append(k)

    @staticmethod
    def _month(y: int, m: int) -> tuple[date, date]:
        return date(y, m, 1), date(y + m // 12, m % 12 + 1, 1)

    def length(self, c: int) -> int:
        return (self.cycles[c][1] - self.cycles[c][0]).days

    def covered(self, c: int) -> float:
        return min(1.0, round(len(self.of[c]) * self.h / 24) / self.length(c))

    def bill_month(self, c: int) -> Month:
        middle = self.cycles[c][0] + timedelta(days=(self.length(c) - 1) // 2)
        return middle.year, middle.month

    def period(self, item: dict[str, Any], k: int) -> int:
        w = self.when[k]
        off = w.weekday() >= 5 or w.date() in self.holidays
        return int(item["weekend" if off else "weekday"][w.month - 1][w.hour])

    def total_usd(self) -> float:
        return sum(self._cycle(c) for c in range(len(self.cycles)) if self.of[c])

    def _cycle(self, c: int) -> float:
        kinds: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for item in self.rate["items"]:
            kinds[item["kind"]].append(item)
        usd, billed = 0.0, None
        for item in kinds["fixed"]:
            usd += item["usd"] * self.covered(c) * (self.length(c) if item["per"] == "day" else 1)
        for item in kinds["demand"]:
            charge, kw = self._demand(item, c)
            usd += charge
            if billed is None or "months" in item:
                billed = kw
        if billed is None:
            billed = max(max(0.0, self.kw[k]) for k in self.of[c])
        for item in kinds["energy"]:
            usd += self._energy(item, c, billed)
        for item in kinds["export"]:
            for k in self.of[c]:
                usd -= max(0.0, -self.kw[k]) * self.h * item["usd_per_kwh"][0]
        for item in kinds["minimum"]:
            usd = max(usd, item["usd"] * self.covered(c))
        return usd * (1 + sum(item["share_frac"] for item in kinds["tax"]))

    def _energy(self, item: dict[str, Any], c: int, billed_kw: float) -> float:
        kwh: dict[int, float] = defaultdict(float)
        for k in self.of[c]:
            kwh[self.period(item, k)] += max(0.0, self.kw[k]) * self.h
        total = sum(kwh.values())
        if total <= 0:
            return 0.0
        usd = 0.0
        for p, mine in kwh.items():
            tiers = item["periods"][p]["tiers"]
            scale = self.covered(c)
            if tiers[0]["unit"].startswith("kWh/kW"):
                scale *= billed_kw
            if tiers[0]["unit"].endswith("daily"):
                scale *= self.length(c)
            usd += ladder(total, tiers, "usd_per_kwh", scale) * mine / total
        return usd

    def _peak(self, item: dict[str, Any], c: int, p: int | None) -> float | None:
        """Highest mean over the demand window in a cycle and period."""
        window = item.get("window_min") or self.h * 60
        blocks: dict[Any, list[float]] = defaultdict(list)
        for k, w in enumerate(self.when):
            key = (w.date(), int((w.hour * 60 + w.minute) // window), w.utcoffset())
            blocks[key].append(max(0.0, self.kw[k]))
        top = None
        for k in self.of[c]:
            if p is not None and self.period(item, k) != p:
                continue
            w = self.when[k]
            values = blocks[(w.date(), int((w.hour * 60 + w.minute) // window), w.utcoffset())]
            mean = sum(values) / len(values)
            top = mean if top is None else max(top, mean)
        return top

    def _looks_back(self, item: dict[str, Any], c: int) -> float:
        rule = item["ratchet"]
        y, m = self.bill_month(c)
        least = 0.0
        for back in range(1, rule["months"] + 1):
            month = ((y * 12 + m - 1 - back) // 12, (m - 1 - back) % 12 + 1)
            if "only_months" in rule and month[1] not in rule["only_months"]:
                continue
            inside = [i for i in range(len(self.cycles)) if self.bill_month(i) == month]
            for i in inside:
                if i < c and self.of[i]:
                    least = max(least, self._peak(item, i, None) or 0.0)
            if not inside:
                least = max(least, self.history.get(f"{month[0]}-{month[1]:02}", 0.0))
        return least * rule["share_frac"]

    def _demand(self, item: dict[str, Any], c: int) -> tuple[float, float]:
        days = [self.cycles[c][0] + timedelta(days=i) for i in range(self.length(c))]
        if "months" in item:
            kw = self._peak(item, c, None) or 0.0
            if item.get("ratchet"):
                kw = max(kw, self._looks_back(item, c))
            usd = sum(
                ladder(kw, item["periods"][item["months"][d.month - 1]]["tiers"], "usd_per_unit")
                for d in days
            )
            return usd / len(days) * self.covered(c), kw
        usd, highest = 0.0, 0.0
        for p, period in enumerate(item["periods"]):
            peak = self._peak(item, c, p)
            if peak is None:
                continue
            in_force = [d for d in days if p in item["weekday"][d.month - 1] + item["weekend"][d.month - 1]]
            usd += ladder(peak, period["tiers"], "usd_per_unit") * len(in_force) / len(days) * self.covered(c)
            highest = max(highest, peak)
        return usd, highest
