"""Figures of a simulation as SVG text: outcomes, drivers, layers, convergence. No figure computes money."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..timeline import Kw
from .figures import AFTER, BAD, BEFORE, BOUND, GOOD, INK, MUTED, STACK, _figure, _usd
from .tables import show_usd


def outcomes(values: Mapping[str, Kw], title: str) -> str:
    """Distribution of outcomes, one row a policy: every future as a point, P90 to P10 as a bar, P50 as a mark."""
    names = list(values)
    rng = np.random.default_rng(0)  # only scatters the points off the line
    with _figure(9.0, 0.9 + 0.85 * len(names)) as (figure, out):
        ax = figure.subplots()
        for i, name in enumerate(names):
            usd, colour, y = np.asarray(values[name]), STACK[i % len(STACK)], len(names) - 1 - i
            shown = usd if usd.size <= 600 else usd[:: -(-usd.size // 600)]
            ax.scatter(shown, y + rng.uniform(-0.3, -0.08, shown.size), s=5, color=colour, alpha=0.35, lw=0)
            p90, p50, p10 = (float(np.quantile(usd, q)) for q in (0.1, 0.5, 0.9))
            ax.plot([p90, p10], [y + 0.14] * 2, color=colour, lw=7, solid_capstyle="butt", alpha=0.55)
            ax.plot([p50] * 2, [y + 0.02, y + 0.26], color=INK, lw=2)
            ax.annotate(
                show_usd(p50),
                (p50, y + 0.3),
                ha="center",
                va="bottom",
                fontsize=9,
                color=INK,
                annotation_clip=False,
            )
        if ax.get_xlim()[0] < 0 < ax.get_xlim()[1]:
            ax.axvline(0, color=MUTED, lw=1)
        ax.set(yticks=range(len(names)), yticklabels=names[::-1], title=title, ylim=(-0.5, len(names) - 0.35))
        ax.grid(axis="y", visible=False)
        _usd(ax, "x")
    return out[0]


def tornado(rows: Sequence[Mapping[str, Any]], mean_usd: float, most: int = 9) -> str:
    """Widest drivers first: net at the low and the high end of each; the unexplained rest hatched about the mean."""
    shown = list(rows)[:most]
    with _figure(9.0, 1.0 + 0.42 * len(shown)) as (figure, out):
        ax = figure.subplots()
        for i, row in enumerate(shown):
            y = len(shown) - 1 - i
            low, high = row.get("net at from_usd_per_y"), row.get("net at to_usd_per_y")
            if low is None or high is None:
                half = float(row["width_usd_per_y"]) / 2
                ax.barh(
                    y,
                    2 * half,
                    left=mean_usd - half,
                    height=0.55,
                    color="none",
                    edgecolor=BEFORE,
                    hatch="////",
                    lw=0.6,
                )
                continue
            for end, colour in ((float(low), BOUND), (float(high), AFTER)):
                ax.barh(y, end - mean_usd, left=mean_usd, height=0.55, color=colour)
            error = float(row.get("error_usd") or 0.0)
            if np.isfinite(error):
                ax.errorbar(float(high), y, xerr=error, color=INK, lw=1, capsize=2)
            for end, value in ((float(low), row["from"]), (float(high), row["to"])):
                ax.annotate(
                    f"{value:.3g}", (end, y), xytext=(4 if end >= mean_usd else -4, 9), textcoords="offset points",
                    ha="left" if end >= mean_usd else "right", va="center", fontsize=8, color=MUTED,
                )  # fmt: skip
        ax.axvline(mean_usd, color=INK, lw=1)
        labels = [str(r["driver"]) for r in shown]
        ax.set(
            yticks=range(len(shown)),
            yticklabels=labels[::-1],
            title="net a year where a driver comes low (orange) or high (blue)",
        )
        ax.grid(axis="y", visible=False)
        ax.margins(x=0.12)
        _usd(ax, "x")
    return out[0]


def layers(rows: Sequence[Mapping[str, Any]]) -> str:
    """Mean of each layer with P90 to P10, one group a layer, one bar a policy."""
    names = list(dict.fromkeys(str(r["layer"]) for r in rows))
    policies = list(dict.fromkeys(str(r["policy"]) for r in rows))
    by = {(str(r["layer"]), str(r["policy"])): r for r in rows}
    width = 0.8 / max(len(policies), 1)
    with _figure(9.0, 3.4) as (figure, out):
        ax = figure.subplots()
        for j, policy in enumerate(policies):
            for i, layer in enumerate(names):
                row = by.get((layer, policy))
                if row is None:
                    continue
                x, mean = i + (j - (len(policies) - 1) / 2) * width, float(row["mean_usd_per_y"])
                ax.bar(x, mean, width * 0.92, color=STACK[j % len(STACK)], label=policy if i == 0 else None)
                ends = float(row["P90_usd_per_y"]), float(row["P10_usd_per_y"])
                ax.plot([x, x], ends, color=INK, lw=1.3, marker="_", ms=5)
        ax.axhline(0, color=MUTED, lw=1)
        ax.set(xticks=range(len(names)), title="mean a year, line from P90 to P10")
        ax.set_xticklabels([n.replace(" and ", "\nand ") for n in names])
        ax.grid(axis="x", visible=False)
        ax.legend()
        _usd(ax)
    return out[0]


def running_mean(values: Mapping[str, Kw]) -> str:
    """Mean over the first futures with twice its error, one line a policy."""
    with _figure(9.0, 2.6) as (figure, out):
        ax = figure.subplots()
        for i, (name, usd) in enumerate(values.items()):
            n = np.unique(np.geomspace(min(5, usd.size), usd.size, 80).astype(int))
            mean = np.array([usd[:k].mean() for k in n])
            error = np.array([usd[:k].std(ddof=1) / np.sqrt(k) if k > 1 else 0.0 for k in n])
            colour = STACK[i % len(STACK)]
            ax.plot(n, mean, color=colour, lw=1.6, label=name)
            ax.fill_between(n, mean - 2 * error, mean + 2 * error, color=colour, alpha=0.18, lw=0)
        ax.set(xlabel="futures", title="mean net a year and twice its error")
        ax.legend(loc="upper right")
        _usd(ax)
    return out[0]


def margin(gap: Kw, best: str, second: str) -> str:
    """How far the best is ahead of the second, future by future."""
    with _figure(9.0, 2.3) as (figure, out):
        ax = figure.subplots()
        bins = np.histogram_bin_edges(gap, bins=min(40, max(8, gap.size // 8)))
        for part, colour in ((gap[gap >= 0], GOOD), (gap[gap < 0], BAD)):
            if part.size:
                ax.hist(part, bins=bins, color=colour, alpha=0.75)
        ax.axvline(float(gap.mean()), color=INK, lw=1.4)
        if ax.get_xlim()[0] < 0 < ax.get_xlim()[1]:
            ax.axvline(0, color=MUTED, lw=1)
        ax.set(title=f"{best} ahead of {second}, net a year", ylabel="futures")
        ax.yaxis.get_major_locator().set_params(integer=True)
        _usd(ax, "x")
    return out[0]
