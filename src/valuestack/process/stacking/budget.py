"""Time to solve in, shared by every plan of a study, so that a site whose plans need switches ends when it was told.

Wall clock, from the first plan on. The bound may take `BOUND` of it, each set of layers `SET`; what one leaves over
the later ones may not need, and what they all need beyond the whole is shared among those still to come. A plan that
runs out of its time is the best one so far, and the gap that it reached is told.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

BOUND = 1 / 10  # of the whole, at most, for the bound
SET = 1 / 30  # of the whole, at most, for one set of layers
WHOLE = 2.0  # shares that the set of all layers takes, on which the others lean
LEAST_S = 1.0  # below this no solver says anything


@dataclass(slots=True)
class Budget:
    """Seconds of solving for a study. sets: plans of sets of layers that are still to come.

    >>> b = Budget(600.0, sets=4)
    >>> b.of_bound_s, b.of_set_s()
    (60.0, 20.0)
    """

    whole_s: float
    sets: int = 0
    began_s: float | None = field(default=None)

    def start(self) -> None:
        """From now on the time runs."""
        self.began_s = time.monotonic() if self.began_s is None else self.began_s

    @property
    def left_s(self) -> float:
        """What is left of it."""
        used = 0.0 if self.began_s is None else time.monotonic() - self.began_s
        return max(0.0, self.whole_s - used)

    @property
    def of_bound_s(self) -> float:
        """For the bound of one meter."""
        return max(LEAST_S, min(BOUND * self.whole_s, self.left_s))

    def of_set_s(self, shares: float = 1.0) -> float:
        """For one of the sets still to come; shares: how many of theirs it takes."""
        fair = shares * self.left_s / max(self.sets - 1 + shares, 1.0)
        return max(LEAST_S, min(shares * SET * self.whole_s, fair))
