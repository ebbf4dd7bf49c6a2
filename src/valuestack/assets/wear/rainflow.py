"""Rainflow counting, ASTM E1049-85 section 5.4.4, with the residue carried from one call to the next.

Turning points go on a stack. With X the latest range and Y the one before: while X >= Y, Y is half a cycle if
it holds the first point of the history (which is dropped), else a whole one (both its points are dropped).
What stays on the stack at the end counts as half cycles. A restart at midnight would lose the deep cycles, so
the state is kept: counting in pieces equals counting at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ...timeline import Kw


@dataclass(frozen=True, slots=True, eq=False)
class Cycles:
    """Counted cycles: range_, mean (m,) in the unit of the history, count (m,) 0.5 or 1."""

    range_: Kw
    mean: Kw
    count: Kw

    def __add__(self, other: Cycles) -> Cycles:
        return Cycles(
            *(
                np.concatenate(p)
                for p in zip(
                    (self.range_, self.mean, self.count), (other.range_, other.mean, other.count), strict=True
                )
            )
        )


_NONE = Cycles(np.zeros(0), np.zeros(0), np.zeros(0))


@dataclass(slots=True)
class Rainflow:
    """A counter. stack: turning points not yet closed, the last one provisional; closed: cycles so far."""

    stack: Kw = field(default_factory=lambda: np.zeros(0))
    closed: Cycles = _NONE

    def push(self, history: Kw) -> None:
        """Go on with the next values of the history, (n,)."""
        from .rainflow_kernel import push

        stack, rows = push(np.ascontiguousarray(history, dtype=np.float64), self.stack)
        self.stack = stack
        self.closed = self.closed + Cycles(rows[:, 0], rows[:, 1], rows[:, 2])

    def cycles(self) -> Cycles:
        """All cycles if the history ended here: those closed, and the residue as half cycles."""
        return self.closed + self.residue()

    def residue(self) -> Cycles:
        """What an end of the history here would add to the closed cycles."""
        from .rainflow_kernel import finish

        rows = finish(self.stack)
        return Cycles(rows[:, 0], rows[:, 1], rows[:, 2])


def count(history: Kw) -> Cycles:
    """Cycles of a whole history, (n,)."""
    counter = Rainflow()
    counter.push(history)
    return counter.cycles()
