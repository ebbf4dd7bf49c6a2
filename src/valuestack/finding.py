"""Finding: one observation about data, a tariff or a site, with its place, count and dollars."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["info", "warning", "error", "question"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One observation that a person should see.

    kind: short stable slug, such as 'gap' or 'stuck_meter'. severity: info, warning, error, or
    question (the tool cannot decide and asks). what: the observation with its value. where: file and
    key, or the times concerned. count: how many intervals, rows or clauses. done: what was done about
    it, '' if nothing. at_stake_usd: dollars that hang on it, None where it was not or cannot be priced.
    remedy: what the person can do.
    """

    kind: str
    severity: Severity
    what: str
    where: str = ""
    count: int = 1
    done: str = ""
    at_stake_usd: float | None = None
    remedy: str = ""

    def __str__(self) -> str:
        parts = [self.what]
        if self.where:
            parts.append(f"({self.where})")
        if self.done:
            parts.append(f"-> {self.done}")
        return " ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)
