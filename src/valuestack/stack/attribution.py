"""Whose money it is: a stack's value over its layers or streams, exact to the cent.

A plan solved with only some players' streams is settled by all; its worth is v(S). Then

    Shapley     phi_i = sum over S without i of |S|! (k - |S| - 1)! / k! (v(S + i) - v(S))
    dividend    d(S)  = sum over T in S of (-1)^(|S| - |T|) (v(T) - v(none))
    conflict    c(row, column) = what column's entries come to alone - beside row   [USD]

where sum_i phi_i = v(N) - v(none), and the d(S) of groups of two and more sum to the stack less its singles
(Shapley 1953; Harsanyi 1963, doi:10.2307/2525487.) A dividend above zero is synergy, below zero conflict. Four
layers ask for 16 plans, which the caller solves; nothing is solved here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import factorial, floor, fsum
from typing import TypeVar

from ..ledger import Ledger, difference

Player = Hashable
P = TypeVar("P", bound=Hashable)
I = TypeVar("I", bound=Hashable)
Settled = Callable[[frozenset[Player]], Ledger]


@dataclass(frozen=True, slots=True)
class Item:
    """One settled item's part of its player's share. stream, item as in the ledger; usd: with the stack minus
    without; item 'moved by others' is what the share takes from, or gives to, entries of other players."""

    stream: str
    item: str
    usd: float


@dataclass(frozen=True, slots=True)
class Share:
    """One player's part: shapley_usd of the whole; alone_usd: stacked with nobody; last_usd: what the stack would
    lose without it; items sum to shapley_usd. All rounded to the cent, sums exact."""

    player: Player
    shapley_usd: float
    alone_usd: float
    last_usd: float
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Dividend:
    """What a group of players is worth together beyond all its parts: above zero synergy, below zero conflict."""

    players: tuple[Player, ...]
    usd: float

    def __str__(self) -> str:
        kind = "synergy" if self.usd >= 0 else "conflict"
        return f"{kind} of {' + '.join(map(str, self.players))}: {self.usd:,.2f} USD"


@dataclass(frozen=True, slots=True)
class Attribution:
    """A stack's value by player.

    total_usd: v(all) - v(none) = sum of shares. singles_usd: sum of what each is worth alone. dividends: by group
    of two and more, largest first; they sum to total - singles. conflict_usd: (row, column) -> what serving row
    costs column. values_usd: v(S) of every subset.
    """

    total_usd: float
    singles_usd: float
    shares: tuple[Share, ...]
    dividends: tuple[Dividend, ...]
    conflict_usd: Mapping[tuple[Player, Player], float]
    values_usd: Mapping[frozenset[Player], float]

    def most_usd(self, common_cost_usd: float) -> float:
        """The law of stacking: values of plans that each is optimal for its own player never sum to less than
        this allows, stack <= singles + (k - 1) x the common cost of the stacked plan [USD]."""
        return self.singles_usd + (len(self.shares) - 1) * common_cost_usd


def subsets(players: Sequence[Player]) -> Iterator[frozenset[Player]]:
    """All subsets, smaller ones first."""
    for k in range(len(players) + 1):
        yield from (frozenset(c) for c in combinations(players, k))


def shapley(values_usd: Mapping[frozenset[Player], float], players: Sequence[Player]) -> dict[Player, float]:
    """Shapley value of each player.

    >>> v = {frozenset(): 0.0, frozenset("a"): 1.0, frozenset("b"): 2.0, frozenset("ab"): 5.0}
    >>> shapley(v, "ab")
    {'a': 2.0, 'b': 3.0}
    """
    k = len(players)
    weight = [factorial(s) * factorial(k - s - 1) / factorial(k) for s in range(k)]
    return {
        p: fsum(
            weight[len(s)] * (values_usd[s | {p}] - values_usd[s]) for s in subsets(players) if p not in s
        )
        for p in players
    }


def item_shares(
    money_usd: Mapping[frozenset[P], Mapping[I, float]], players: Sequence[P]
) -> dict[P, dict[I, float]]:
    """Of what each player's Shapley value is made: the Shapley value of every item's money by itself.

    money_usd: by subset, what each item comes to (an item that is not there counts nothing). The Shapley value is
    linear in the game (Shapley 1953, axiom of additivity), so the items of a player sum to its share exactly. An
    item of another player shows what this one's being there moves in it.

    >>> m = {frozenset(): {}, frozenset("a"): {"x": 4.0}, frozenset("b"): {"y": 2.0},
    ...      frozenset("ab"): {"x": 3.0, "y": 2.0}}
    >>> item_shares(m, "ab")
    {'a': {'x': 3.5, 'y': 0.0}, 'b': {'x': -0.5, 'y': 2.0}}
    """
    items = list(dict.fromkeys(i for money in money_usd.values() for i in money))
    out: dict[P, dict[I, float]] = {p: {} for p in players}
    for item in items:
        game = {frozenset[Player](s): money.get(item, 0.0) for s, money in money_usd.items()}
        found = shapley(game, players)
        for player in players:
            out[player][item] = found[player]
    return out


def dividends(
    values_usd: Mapping[frozenset[Player], float], players: Sequence[Player]
) -> tuple[Dividend, ...]:
    """Harsanyi dividends of all groups of two and more, largest first.

    >>> v = {frozenset(): 0.0, frozenset("a"): 1.0, frozenset("b"): 2.0, frozenset("ab"): 5.0}
    >>> print(*dividends(v, "ab"))
    synergy of a + b: 2.00 USD
    """
    out = []
    for group in subsets(players):
        if len(group) > 1:
            mine = [p for p in players if p in group]
            usd = fsum((-1) ** (len(group) - len(t)) * values_usd[t] for t in subsets(mine))
            out.append(Dividend(tuple(mine), usd))
    return tuple(sorted(out, key=lambda d: -abs(d.usd)))


def cents(parts_usd: Sequence[float], total_usd: float) -> list[float]:
    """The parts in whole cents that sum to the total in whole cents: largest remainders get the odd ones.

    >>> cents([1.0 / 3] * 3, 1.0)
    [0.34, 0.33, 0.33]
    """
    scaled = [100.0 * p for p in parts_usd]
    whole = [floor(s) for s in scaled]
    left = round(100.0 * round(total_usd, 2)) - sum(whole)
    order = sorted(range(len(parts_usd)), key=lambda i: whole[i] - scaled[i])
    for k in range(abs(left)):
        whole[order[k % len(order)]] += 1 if left > 0 else -1
    return [w / 100.0 for w in whole]


def attribute(settled: Settled, players: Sequence[Player], *, by: str = "layer") -> Attribution:
    """Shares, synergies and conflicts of a stack.

    settled: ledger of the plan solved with only these players' streams, settled by all streams; called once for
    every subset. players: layers or streams. by: the field of an Entry that names its player, 'layer' or
    'stream'.
    """
    ledgers = {s: settled(s) for s in subsets(players)}
    values = {s: ledger.total_usd for s, ledger in ledgers.items()}
    none, everyone = frozenset[Player](), frozenset(players)
    total = round(values[everyone] - values[none], 2)
    exact = shapley(values, players)
    rounded = dict(zip(players, cents([exact[p] for p in players], total)))
    shares = tuple(
        Share(
            p,
            rounded[p],
            round(values[frozenset({p})] - values[none], 2),
            round(values[everyone] - values[everyone - {p}], 2),
            _items(ledgers[none], ledgers[everyone], p, by, rounded[p]),
        )
        for p in players
    )
    singles = fsum(values[frozenset({p})] - values[none] for p in players)
    conflict = {
        (row, column): _of(ledgers[frozenset({column})], column, by)
        - _of(ledgers[frozenset({row, column})], column, by)
        for row in players
        for column in players
        if row != column
    }
    return Attribution(total, singles, shares, dividends(values, players), conflict, values)


def _of(ledger: Ledger, player: Player, by: str) -> float:
    return ledger.where(lambda e: getattr(e, by) == player).total_usd


def _items(before: Ledger, after: Ledger, player: Player, by: str, share_usd: float) -> tuple[Item, ...]:
    """Settled changes of a player's own entries, and one line for what they lack of its share."""
    changes = [
        c
        for c in difference(before, after)
        if (c.layer if by == "layer" else c.stream) == player and abs(c.usd) >= 0.005
    ]
    rest = share_usd - fsum(c.usd for c in changes)
    usd = cents([*(c.usd for c in changes), rest], share_usd)
    items = [Item(c.stream, c.item, u) for c, u in zip(changes, usd)]
    if abs(usd[-1]) >= 0.005:
        items.append(Item("", "moved by others", usd[-1]))
    return tuple(items)
