"""Figures of a comparison of offers, as SVG text; see figures.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .figures import AFTER, BAD, BEFORE, GOOD, INK, MUTED, STACK, _figure, _usd


def ranking(rows: Sequence[tuple[str, float, float | None]], none: float) -> str:
    """Net of the owner a year by offer, as ranked (bar) and under the other dispatcher (mark); a line at no offer."""
    with _figure(9.0, 0.5 * len(rows) + 1.0) as (figure, out):
        ax = figure.subplots()
        ends = [v for _, a, b in rows for v in (a, b) if v is not None]
        low, high = min(0.0, *ends), max(0.0, *ends)
        reach = max(high - low, 1.0)
        for row, (name, net, other) in enumerate(rows):
            colour = BEFORE if name == "no offer" else GOOD if net > none else BAD
            ax.barh(row, net, color=colour, height=0.56)
            ax.text(max(net, 0.0) + 0.01 * reach, row, f"${net:,.0f}", va="center", fontsize=9.5)
            if other is not None:
                ax.plot((other,), (row,), marker="D", ms=6, color=INK, ls="", zorder=3)
        ax.axvline(none, color=AFTER, lw=1.2, ls=(0, (4, 2)))
        ax.axvline(0, color=MUTED, lw=0.8)
        ax.set_yticks(range(len(rows)), [r[0] for r in rows])
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        ax.set_xlim(low - 0.02 * reach, high + 0.18 * reach)
        ax.set_xlabel("net to the owner, USD a year; dashed: no offer; diamond: the other dispatcher")
        _usd(ax, "x")
    return out[0]


def shares(rows: Sequence[tuple[str, Mapping[str, float]]]) -> str:
    """Where each gross dollar went, a bar an offer; what a bucket gave instead of took lies left of zero."""
    names = [
        n
        for n in dict.fromkeys(k for _, r in rows for k in r)
        if any(abs(r.get(n, 0.0)) > 0.005 for _, r in rows)
    ]
    with _figure(9.0, 0.55 * len(rows) + 1.5) as (figure, out):
        ax = figure.subplots()
        for row, (_, split) in enumerate(rows):
            right = left = 0.0
            for j, name in enumerate(names):
                value = split.get(name, 0.0)
                begin = right if value >= 0 else left
                ax.barh(
                    row,
                    value,
                    left=begin,
                    height=0.56,
                    color=STACK[j % len(STACK)],
                    label=name if row == 0 else None,
                )
                right, left = right + max(value, 0.0), left + min(value, 0.0)
        ax.axvline(0, color=MUTED, lw=0.8)
        ax.set_yticks(range(len(rows)), [r[0] for r in rows])
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        ax.set_xlabel("USD of each gross dollar")
        ax.legend(ncols=5, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.1)
    return out[0]


def damage(months: Sequence[str], by_offer: Mapping[str, Sequence[float]]) -> str:
    """Bill with the offer less bill without, by billing cycle."""
    with _figure(9.0, 2.8) as (figure, out):
        ax = figure.subplots()
        width = 0.8 / max(1, len(by_offer))
        for j, (name, values) in enumerate(by_offer.items()):
            x = np.arange(len(months)) + (j - (len(by_offer) - 1) / 2) * width
            ax.bar(x, values, width=0.92 * width, color=STACK[j % len(STACK)], label=name)
        ax.axhline(0, color=MUTED, lw=0.8)
        stride = max(1, len(months) // 14)
        ax.set_xticks(
            range(0, len(months), stride), [months[i] for i in range(0, len(months), stride)], fontsize=9
        )
        ax.grid(axis="x", visible=False)
        ax.set_ylabel("bill more, USD")
        _usd(ax)
        ax.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.1)
    return out[0]
