"""CPU time of one call, median of several, on one warm core."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Row:
    """One line of the table: what was timed, how long, against what, and the goal it is held to."""

    name: str
    seconds: float
    baseline: str = ""
    baseline_seconds: float | None = None
    goal: str = ""
    met: bool | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return None if self.baseline_seconds is None else self.baseline_seconds / self.seconds


def cpu_s(call: Callable[[], Any], *, repeats: int = 5, inner: int = 1) -> float:
    """Median CPU seconds of `call` over `repeats` rounds of `inner` calls, after one warm-up."""
    call()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        for _ in range(inner):
            call()
        times.append((time.process_time() - start) / inner)
    return median(times)
