"""Sharing: kW that several may hold at once, counted as the plan counts them (stack/claims.py).

Claims that may share are a family. In one direction a family takes of a store, and of the interconnection,

    power   max(max_i a_i, sum_i u_i a_i),      energy   max(max_i s_i a_i, h sum_i u_i a_i)

a_i the kW held, s_i the hours that stand behind them, u_i the share of them that is called in the mean: the largest of
them, as in the plan, and never less than what is called in the interval. Families add up.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from ..dispatch import Call
from ..terms import families


class Member(NamedTuple):
    """Whoever holds headroom, see terms.Sharing."""

    owner: str
    name: str
    may_share: tuple[str, ...]

    @property
    def key(self) -> str:
        """'owner/name'."""
        return f"{self.owner}/{self.name}"


def member_of(c: Call) -> Member:
    """The claim under which an award is held."""
    return Member(c.stream, c.claim.removeprefix(f"{c.stream}/"), c.may_share)


class Families:
    """Numbers families as their members come. InputError as terms.families."""

    def __init__(self) -> None:
        self._members: list[Member] = []
        self._number: dict[str, int] = {}

    def of(self, c: Call) -> int:
        """The family of a call's claim."""
        found = self._number.get(c.claim)
        return self._join(member_of(c)) if found is None else found

    def _join(self, new: Member) -> int:
        self._members.append(new)
        mine = next(f for f in families(self._members) if new in f)
        known = [self._number[m.key] for m in mine if m.key in self._number]
        self._number[new.key] = known[0] if known else len(self._number)
        return self._number[new.key]


@dataclass(slots=True)
class _Part:
    """What one member of a family holds: kW, kWh that stand behind them, kW called in the mean."""

    kw: float = 0.0
    kwh: float = 0.0
    called_kw: float = 0.0


class Side:
    """Power and energy that are left in one direction of a store or of the meter, over one interval of step_h hours."""

    def __init__(self, left_kw: float, step_h: float, left_kwh: float = inf) -> None:
        self.left_kw, self.left_kwh, self.h = left_kw, left_kwh, step_h
        self._held: dict[int, dict[str, _Part]] = {}

    def _taken(self, family: int) -> tuple[float, float]:
        """Power and energy that a family takes."""
        parts = self._held.get(family)
        if not parts:
            return 0.0, 0.0
        called = sum(p.called_kw for p in parts.values())
        kw, kwh = max(p.kw for p in parts.values()), max(p.kwh for p in parts.values())
        return max(kw, called), max(kwh, called * self.h)

    def most_kw(self, family: int, key: str, sustain_h: float, called_frac: float) -> float:
        """How much more a member could hold."""
        parts = self._held.get(family, {})
        mine, (kw, kwh) = parts.get(key, _Part()), self._taken(family)
        others_kw = sum(p.called_kw for k, p in parts.items() if k != key)
        most, store = self.left_kw + kw, self.left_kwh + kwh
        if sustain_h > 0:
            most = min(most, store / sustain_h)
        if (called_h := called_frac * self.h) > 0:
            most = min(most, (self.left_kw + kw - others_kw) / called_frac)
            most = min(most, (store - others_kw * self.h) / called_h)
        return most - mine.kw

    def take(self, family: int, key: str, kw: float, sustain_h: float, called_frac: float) -> None:
        """Hold so much more for a member."""
        before = self._taken(family)
        mine = self._held.setdefault(family, {}).setdefault(key, _Part())
        mine.kw += kw
        mine.kwh += kw * sustain_h
        mine.called_kw += kw * called_frac
        after = self._taken(family)
        self.left_kw -= after[0] - before[0]
        self.left_kwh -= after[1] - before[1]
