"""Figures as SVG text: each function takes plain series and returns one self-contained `<svg>`.

No figure computes money: dollars arrive settled. Drawn with matplotlib without pyplot, so that no
display and no global state is touched.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..timeline import Kw, Timeline

INK, MUTED, GRID = "#1d2733", "#66727f", "#e3e8ed"
BEFORE, AFTER, BOUND = "#8a97a5", "#0b6e99", "#d9822b"
GOOD, BAD, CHARGE, DISCHARGE, STORED = "#2e7d4f", "#b3362b", "#5b8def", "#2e7d4f", "#7a4fa3"
STACK = ("#0b6e99", "#d9822b", "#7a4fa3", "#2e7d4f", "#b3362b", "#8a97a5", "#c2a83e", "#4aa3a2", "#9c6b4e")

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "valuestack",
    "font.size": 10.5,
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica Neue", "Arial", "DejaVu Sans"],
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


@contextmanager
def _figure(width_in: float, height_in: float) -> Iterator[tuple[Any, list[str]]]:
    """A figure in the house style; its SVG text is left in the list on exit."""
    import logging

    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # a missing Helvetica is no news
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    out: list[str] = []
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        yield figure, out
        buffer = io.StringIO()
        # print_svg draws once, where savefig first draws without output: half the time of a page
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    svg = text[text.index("<svg") :]
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r'\1 class="figure" role="img"', svg, count=1)
    out.append(svg)


def _usd(ax: Any, axis: str = "y") -> None:
    from matplotlib.ticker import FuncFormatter

    def money(value: float, _: int) -> str:
        sign = "-" if value < -0.5 else ""
        return f"{sign}${abs(value):,.0f}"

    (ax.yaxis if axis == "y" else ax.xaxis).set_major_formatter(FuncFormatter(money))


def _thousands(ax: Any, axis: str = "y") -> None:
    from matplotlib.ticker import FuncFormatter

    (ax.yaxis if axis == "y" else ax.xaxis).set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}"))


def day_matrix(timeline: Timeline, net_kw: Kw) -> tuple[Kw, np.ndarray[Any, Any]]:
    """Values by clock time and day, (steps a day, days), with the local dates (datetime64[D]).

    An hour that the clock skips is NaN, one that it repeats is the mean of both.
    """
    per_day = 86400 // timeline.step_s
    column = timeline.day - timeline.day[0]
    row = timeline.local_s % 86400 // timeline.step_s
    flat = row * (int(column[-1]) + 1) + column
    size = per_day * (int(column[-1]) + 1)
    total = np.bincount(flat, weights=net_kw, minlength=size)
    count = np.bincount(flat, minlength=size)
    with np.errstate(invalid="ignore", divide="ignore"):
        matrix = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    days = np.arange(int(column[-1]) + 1) + timeline.day[0]
    return matrix.reshape(per_day, -1), days.astype("datetime64[D]")


def load_duration(curves: Mapping[str, Kw], step_h: float) -> str:
    """Load duration: kW against hours exceeded, one line a case; the top 5 % enlarged beside it."""
    colours = dict(zip(curves, (BEFORE, AFTER, BOUND), strict=False))
    with _figure(9.0, 3.1) as (figure, out):
        whole, top = figure.subplots(1, 2, width_ratios=(1.35, 1))
        for name, kw in curves.items():
            ordered = np.sort(kw)[::-1]
            hours = (np.arange(ordered.size) + 0.5) * step_h
            cut = max(2, int(0.05 * ordered.size))
            tail = np.unique(np.linspace(cut, ordered.size - 1, 300).astype(int))
            head = np.arange(cut) if cut <= 1800 else np.unique(np.linspace(0, cut - 1, 1800).astype(int))
            pick = np.concatenate((head, tail))
            whole.plot(hours[pick], ordered[pick], color=colours[name], lw=1.7, label=name)
            top.plot(hours[head], ordered[head], color=colours[name], lw=1.9, label=name)
        whole.set(title="All hours", xlabel="hours exceeded", ylabel="net load, kW")
        top.set(title="The highest 5 % of hours", xlabel="hours exceeded", ylabel="net load, kW")
        whole.legend()
        for ax in (whole, top):
            _thousands(ax)
            _thousands(ax, "x")
            ax.margins(x=0.01)
    return out[0]


def heat_maps(timeline: Timeline, panels: Mapping[str, Kw]) -> str:
    """Hour of day by date, one panel a series, all on one colour scale."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num

    matrices = {name: day_matrix(timeline, kw) for name, kw in panels.items()}
    low = min(0.0, *(float(np.nanmin(m)) for m, _ in matrices.values()))
    high = max(float(np.nanmax(m)) for m, _ in matrices.values())
    with _figure(9.0, 2.35 * len(panels)) as (figure, out):
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        image = None
        for ax, (name, (matrix, days)) in zip(axes, matrices.items(), strict=True):
            first, last = date2num(days[0]), date2num(days[-1]) + 1
            image = ax.imshow(
                matrix,
                aspect="auto",
                origin="lower",
                cmap="cividis",
                vmin=low,
                vmax=high,
                extent=(first, last, 0, 24),
                interpolation="nearest",
            )
            ax.set(title=name, ylabel="hour of day", yticks=(0, 6, 12, 18, 24))
            ax.grid(False)
            locator = AutoDateLocator(maxticks=13)
            ax.xaxis_date()
            ax.xaxis.set_major_locator(locator)
            ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        if image is not None:
            bar = figure.colorbar(image, ax=list(axes), label="net load, kW", pad=0.01, fraction=0.025)
            _thousands(bar.ax)
    return out[0]


def week(
    timeline: Timeline,
    first: int,
    n: int,
    *,
    before_kw: Kw,
    after_kw: Kw,
    stored_kwh: Kw | None = None,
    energy_kwh: float | None = None,
    bound_kw: Kw | None = None,
) -> str:
    """Net load before and after over `n` intervals, with the energy in store below."""
    from matplotlib.dates import ConciseDateFormatter, DayLocator

    part = slice(first, first + n)
    clock = timeline.local_s[part].astype("datetime64[s]")
    with _figure(9.0, 4.1 if stored_kwh is not None else 2.9) as (figure, out):
        if stored_kwh is not None:
            ax, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.6, 1))
        else:
            ax, below = figure.subplots(), None
        # Both areas over all intervals: a selection would drop every run of one interval.
        for other, colour, label in (
            (np.maximum(before_kw[part], after_kw[part]), DISCHARGE, "discharging"),
            (np.minimum(before_kw[part], after_kw[part]), CHARGE, "charging"),
        ):
            ax.fill_between(
                clock, after_kw[part], other, step="post", lw=0, alpha=0.5, color=colour, label=label
            )
        ax.step(clock, before_kw[part], where="post", color=BEFORE, lw=1.0, label="before")
        if bound_kw is not None:
            ax.step(
                clock,
                bound_kw[part],
                where="post",
                color=BOUND,
                lw=1.0,
                ls=(0, (4, 2)),
                label="bound (perfect foresight)",
            )
        ax.step(clock, after_kw[part], where="post", color=AFTER, lw=1.2, label="realised")
        ax.set_ylabel("net load, kW")
        _thousands(ax)
        ax.legend(ncols=5, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.1)
        last = ax
        if below is not None and stored_kwh is not None:
            below.fill_between(clock, stored_kwh[part], step="post", color=STORED, alpha=0.35, lw=0)
            below.set_ylabel("stored, kWh")
            below.set_ylim(0, energy_kwh or None)
            _thousands(below)
            below.margins(x=0)
            last = below
        locator = DayLocator()
        last.xaxis.set_major_locator(locator)
        last.xaxis.set_major_formatter(
            ConciseDateFormatter(locator, formats=["%Y", "%b", "%a %d", "%H:%M", "%H:%M", "%S"])
        )
        ax.margins(x=0)
    return out[0]


def waterfall(start: tuple[str, float], changes: Sequence[tuple[str, float]], end: tuple[str, float]) -> str:
    """From the bill before to the bill after, item by item; `changes` are savings (> 0 lowers the bill).

    Where the steps are small beside the bills the axis starts above zero, and says so.
    """
    names = [start[0], *(name for name, _ in changes), end[0]]
    levels = np.concatenate(([start[1]], start[1] - np.cumsum([usd for _, usd in changes])))
    low, high = float(min(levels.min(), end[1])), float(max(levels.max(), end[1]))
    floor = _floor(low, high)
    reach = max(high - floor, 1.0)
    with _figure(9.0, 0.36 * len(names) + 0.9) as (figure, out):
        ax = figure.subplots()
        ax.barh(0, start[1] - floor, left=floor, color=BEFORE, height=0.62)
        for row, (_, saving) in enumerate(changes, start=1):
            level = float(levels[row - 1])
            ax.barh(row, -saving, left=level, color=GOOD if saving >= 0 else BAD, height=0.62)
            ax.plot((level, level), (row - 0.69, row - 0.31), color=MUTED, lw=0.8)
        ax.barh(len(names) - 1, end[1] - floor, left=floor, color=AFTER, height=0.62)
        labels = [(0, start[1], f"${start[1]:,.0f}")]
        for row, (_, saving) in enumerate(changes, start=1):
            right = float(max(levels[row - 1], levels[row]))
            labels.append((row, right, f"{'-' if saving >= 0 else '+'}${abs(saving):,.0f}"))
        labels.append((len(names) - 1, end[1], f"${end[1]:,.0f}"))
        for row, x, text in labels:
            ax.text(x + 0.008 * reach, row, text, va="center", fontsize=9.5)
        ax.set_yticks(range(len(names)), names)
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        ax.set_xlim(floor, high + 0.14 * reach)
        if floor:
            ax.set_xlabel(f"amount due, USD; the axis starts at ${floor:,.0f}")
        else:
            ax.set_xlabel("amount due, USD")
        _usd(ax, "x")
    return out[0]


def build_up(steps: Sequence[tuple[str, float]], whole: str) -> str:
    """Parts that add up to a whole, largest room for their names; gains and costs in their colours."""
    names = [*(n for n, _ in steps), whole]
    levels = np.concatenate(([0.0], np.cumsum([usd for _, usd in steps])))
    low, high = float(min(levels.min(), 0.0)), float(max(levels.max(), 0.0))
    reach = max(high - low, 1.0)
    with _figure(9.0, 0.42 * len(names) + 0.8) as (figure, out):
        ax = figure.subplots()
        for row, (_, usd) in enumerate(steps):
            ax.barh(row, usd, left=float(levels[row]), color=GOOD if usd >= 0 else BAD, height=0.62)
            right = float(max(levels[row], levels[row + 1]))
            ax.text(
                right + 0.01 * reach,
                row,
                f"{'+' if usd >= 0 else '-'}${abs(usd):,.0f}",
                va="center",
                fontsize=9.5,
            )
        last, total = len(names) - 1, float(levels[-1])
        ax.barh(last, total, color=AFTER, height=0.62)
        ax.text(
            max(total, 0.0) + 0.01 * reach,
            last,
            f"{'-' if total < 0 else ''}${abs(total):,.0f}",
            va="center",
            fontsize=9.5,
        )
        ax.axvline(0, color=MUTED, lw=0.8)
        ax.set_yticks(range(len(names)), names)
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        ax.set_xlim(low - 0.02 * reach, high + 0.16 * reach)
        ax.set_xlabel("USD a year")
        _usd(ax, "x")
    return out[0]


def cycling(
    cycles: Sequence[float] | np.ndarray[Any, Any],
    more_usd: np.ndarray[Any, Any],
    wear_usd: np.ndarray[Any, Any],
    revenue_usd: np.ndarray[Any, Any],
    worn_usd: np.ndarray[Any, Any],
    own: float,
) -> str:
    """Marginal revenue and wear over cycles a year with their crossing, and the sums of both. cycles, revenue_usd,
    worn_usd: (k,); more_usd, wear_usd: (k - 1,) between neighbours."""
    x = np.asarray(cycles, dtype=float)
    with _figure(9.0, 3.2) as (figure, out):
        left, right = figure.subplots(1, 2)
        left.stairs(more_usd, x, color=AFTER, lw=2.0, label="one more cycle earns", baseline=None)
        left.stairs(wear_usd, x, color=BAD, lw=1.8, label="one more cycle wears", baseline=None)
        right.plot(x, revenue_usd, color=AFTER, lw=1.9, marker="o", ms=3.5, label="revenue")
        right.plot(x, worn_usd, color=BAD, lw=1.8, label="wear")
        right.plot(x, revenue_usd - worn_usd, color=GOOD, lw=1.8, ls="--", label="revenue less wear")
        for ax in (left, right):
            ax.axvline(own, color=MUTED, lw=1.0, ls=":", label=f"the plan: {own:,.0f}")
            ax.set_xlabel("full cycles a year")
            _usd(ax)
            _thousands(ax, "x")
            ax.set_ylim(bottom=0.0)
            ax.legend()
        if more_usd.size:
            # the first cycles may earn so much that nothing else could be read
            left.set_ylim(0.0, float(min(more_usd.max(), 6.0 * max(wear_usd.max(), 1e-9))) * 1.08)
        left.set(title="One more cycle", ylabel="USD a cycle")
        right.set(title="All cycles", ylabel="USD a year")
    return out[0]


def _floor(low: float, high: float) -> float:
    """Where an axis of bills starts: at zero, or at a round figure below them if their steps are small."""
    if low <= 0 or high - low > 0.35 * high:
        return min(0.0, low)
    step = 10.0 ** np.floor(np.log10(max(high - low, 1.0)))
    return float(max(0.0, np.floor((low - (high - low)) / step) * step))


def monthly_peaks(months: Sequence[str], peaks: Mapping[str, Sequence[float]], unit: str = "kW") -> str:
    """Billed peak by month, a bar a case."""
    colours = (BEFORE, AFTER, BOUND)
    with _figure(9.0, 2.6) as (figure, out):
        ax = figure.subplots()
        width = 0.8 / max(1, len(peaks))
        for j, (name, values) in enumerate(peaks.items()):
            x = np.arange(len(months)) + (j - (len(peaks) - 1) / 2) * width
            ax.bar(x, values, width=0.92 * width, color=colours[j % 3], label=name)
        _month_axis(ax, months)
        ax.set_ylabel(f"billed peak, {unit}")
        _thousands(ax)
        ax.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.1)
    return out[0]


def _month_axis(ax: Any, months: Sequence[str]) -> None:
    stride = max(1, len(months) // 14)
    ax.set_xticks(
        range(0, len(months), stride),
        [months[i] for i in range(0, len(months), stride)],
        rotation=0 if len(months) <= 13 else 30,
        fontsize=9,
    )
    ax.grid(axis="x", visible=False)


def _pale(colour: str, share: float = 0.5) -> str:
    """The colour mixed with white, so that no grid line shows through it."""
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 - share * (255 - p)):02x}" for p in parts)


def monthly_bill(
    months: Sequence[str], before: Mapping[str, Sequence[float]], after: Mapping[str, Sequence[float]]
) -> str:
    """Amount due by month and component: left bar before, right bar realised."""
    names = list(dict.fromkeys((*before, *after)))
    with _figure(9.0, 3.1) as (figure, out):
        ax = figure.subplots()
        for offset, case in ((-0.21, before), (0.21, after)):
            up, down = np.zeros(len(months)), np.zeros(len(months))
            for j, name in enumerate(names):
                usd = np.asarray(case.get(name, np.zeros(len(months))), dtype=float)
                base = np.where(usd >= 0, up, down)
                ax.bar(
                    np.arange(len(months)) + offset,
                    usd,
                    width=0.38,
                    bottom=base,
                    color=_pale(STACK[j % len(STACK)]) if case is before else STACK[j % len(STACK)],
                    label=None if case is before else name,
                    lw=0,
                )
                up, down = up + np.maximum(usd, 0), down + np.minimum(usd, 0)
        _month_axis(ax, months)
        _usd(ax)
        ax.set_ylabel("amount due, USD")
        ax.legend(ncols=min(5, len(names)), loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.1)
    return out[0]


def size_grid(
    power_kw: Sequence[float],
    energy_kwh: Sequence[float],
    usd_per_y: np.ndarray[Any, Any],
    knee: tuple[float, float] | None,
    chosen: tuple[float, float] | None,
    label: str,
) -> str:
    """Yearly saving by battery size, (power, energy), with the knee and the size studied marked."""
    from matplotlib.patches import Rectangle

    with _figure(9.0, 3.4) as (figure, out):
        ax = figure.subplots()
        image = ax.imshow(usd_per_y.T / 1000, origin="lower", aspect="auto", cmap="YlGnBu")
        ax.set_xticks(range(len(power_kw)), [f"{p:,.0f}" for p in power_kw])
        ax.set_yticks(range(len(energy_kwh)), [f"{e:,.0f}" for e in energy_kwh])
        ax.set(xlabel="power, kW", ylabel="energy, kWh")
        ax.grid(False)
        marked = {p: t for p, t in ((chosen, "studied"), (knee, "knee")) if p is not None}
        middle = (np.nanmin(usd_per_y) + np.nanmax(usd_per_y)) / 2
        for i in range(len(power_kw)):
            for j in range(len(energy_kwh)):
                if np.isfinite(usd_per_y[i, j]):
                    mark = next((t for p, t in marked.items() if p == (power_kw[i], energy_kwh[j])), "")
                    ax.text(
                        i,
                        j,
                        f"{usd_per_y[i, j] / 1000:,.1f}" + (f"\n{mark}" if mark else ""),
                        fontweight="bold" if mark else "normal",
                        ha="center",
                        va="center",
                        fontsize=8.5,
                        color="white" if usd_per_y[i, j] > middle else INK,
                    )
        for point, colour in ((chosen, BOUND), (knee, BAD)):
            if point is not None:
                x = float(np.interp(point[0], power_kw, range(len(power_kw))))
                y = float(np.interp(point[1], energy_kwh, range(len(energy_kwh))))
                ax.add_patch(
                    Rectangle((x - 0.49, y - 0.48), 0.98, 0.96, fill=False, edgecolor=colour, linewidth=2.4)
                )
        figure.colorbar(image, ax=ax, label=label, pad=0.01, fraction=0.03)
    return out[0]


def gauges(rows: Sequence[tuple[str, float, float, str]]) -> str:
    """Used against allowed, one bar a row: (name, used, allowed, unit); over 100 % is red."""
    with _figure(9.0, 0.42 * len(rows) + 0.5) as (figure, out):
        ax = figure.subplots()
        for row, (_, used, allowed, unit) in enumerate(rows):
            share = used / allowed if allowed else 0.0
            ax.barh(row, 1.0, color=GRID, height=0.56)
            ax.barh(row, min(share, 1.25), color=BAD if share > 1 else AFTER, height=0.56)
            ax.text(
                1.28,
                row,
                f"{used:,.4g} of {allowed:,.4g} {unit} ({100 * share:.0f} %)",
                va="center",
                fontsize=9.5,
            )
        ax.set_yticks(range(len(rows)), [r[0] for r in rows])
        ax.set_xlim(0, 2.0)
        ax.set_xticks([])
        ax.invert_yaxis()
        ax.grid(False)
        ax.spines[["bottom", "left"]].set_visible(False)
    return out[0]


def quality_strip(timeline: Timeline, quality: np.ndarray[Any, Any]) -> str:
    """Share of repaired or estimated intervals by day, as a strip over the span."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num

    column = timeline.day - timeline.day[0]
    share = np.bincount(column, weights=(quality > 0).astype(float)) / np.bincount(column)
    days = (np.arange(share.size) + timeline.day[0]).astype("datetime64[D]")
    with _figure(9.0, 0.85) as (figure, out):
        ax = figure.subplots()
        ax.imshow(
            share[None, :],
            aspect="auto",
            cmap="RdYlGn_r",
            vmin=0,
            vmax=1,
            extent=(date2num(days[0]), date2num(days[-1]) + 1, 0, 1),
            interpolation="nearest",
        )
        ax.set_yticks([])
        ax.xaxis_date()
        locator = AutoDateLocator(maxticks=13)
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        ax.grid(False)
        ax.spines[:].set_visible(False)
    return out[0]
