"""The sections of a page that show all layers in one plan; every figure is a perfect-foresight bound.

Nothing here computes money: it is read from the settled sets of layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum
from typing import Any

from ..ledger import LAYERS
from ..stack.cycling import Cycling
from . import figures, tables
from .parts import Card, Part, Section, figure, table, text
from .result import Study
from .stacked import REALISABLE_FRAC, ItemShare, Stack, Subset, clash_rows, relaxed_rows
from .tables import Column, Table, show_usd


def cards(stacks: Sequence[Stack]) -> list[Card]:
    """Headline of the stacked plan, none where there is none."""
    if not stacks:
        return []
    now = stacks[0]
    per_y = 1.0 / now.span_y
    return [
        Card(
            "All layers, bound, a year",
            show_usd(now.whole.total_usd * per_y),
            f"rules of {now.as_of:%d %B %Y}; at 60 % of it {show_usd(0.6 * now.whole.total_usd * per_y)}",
            "bound",
        )
    ]


def sections(stacks: Sequence[Stack]) -> list[Section]:
    """What the layers are worth together and alone, and what single rooms found."""
    if not stacks:
        return []
    now = stacks[0]
    out = [_layers(now), _shares(now), *_bridge(stacks), _meeting(now), *_cycling(now)]
    for name, found in now.extra.items():
        out.append(_extra(name, found))
    for title, rows in now.tables.items():
        out.append(Section(title.replace(" ", "-"), title, (table(tables.of_rows(rows)),)))
    return out


def conflicts(study: Study) -> Section | None:
    """What cannot be had, found before solving, and what gave way so that there is a plan; None where nothing is asked
    beyond a tariff and nothing of it is in the way."""
    if study.stacks:
        told = [(f"rules of {s.as_of:%d %B %Y}", s.conflicts, s.relaxed) for s in study.stacks]
    else:
        told = [("", study.conflicts, study.relaxed)]
    clashing, bent = any(c for _, c, _ in told), any(r for _, _, r in told)
    if not study.stacks and not clashing and not bent:
        return None
    parts: list[Part] = []
    if not clashing and not bent:
        parts.append(
            text(
                "Every requirement was held against the most that the assets can do for it before anything was solved: "
                "no conflict was found, and no limit had to give way in the plan."
            )
        )
    for when, found, relaxed in told:
        tail = f", {when}" if when else ""
        if found:
            parts.append(
                table(
                    tables.of_rows(clash_rows(found)),
                    f"Conflicts before solving{tail}",
                    "Each requirement by itself, against the most that the assets could do for it, nothing else asked.",
                )
            )
        if relaxed:
            parts.append(
                table(
                    tables.of_rows(relaxed_rows(relaxed)),
                    f"What gave way in the plan{tail}, dearest first",
                    "No plan meets every limit, so limits give way at a stated price, resilience and the "
                    "interconnection last. The price says who yields first; it is no money, and in no sum here.",
                )
            )
        elif found:
            parts.append(text(f"Nothing had to give way in the plan{tail}.", "small"))
    return Section("conflicts", "Conflicts before solving, and what gave way", tuple(parts))


def sheets(stacks: Sequence[Stack]) -> list[tuple[str, Table]]:
    """The same as sheets of the workbook."""
    out: list[tuple[str, Table]] = []
    for stack in stacks:
        day = f"{stack.as_of:%Y-%m-%d}"
        out += [
            (f"Layers {day}", layer_table(stack)),
            (f"Streams {day}", stream_table(stack)),
            (f"Sets of layers {day}", set_table(stack)),
            (f"Shares by item {day}", share_table(stack)),
            *((f"{title} {day}", rows) for title, rows in _way_sheets(stack)),
            *((f"Cycles of {name} {day}", cycle_table(stack, c)) for name, c in stack.cycling.items()),
            (f"Services {day}", tables.ledger(stack.services)),
        ]
        for name, found in stack.extra.items():
            out += [(f"{name} {title}", tables.of_rows(rows)) for title, rows in _tables_of(found)]
        out += [(title, tables.of_rows(rows)) for title, rows in stack.tables.items()]
    return out


def layer_table(stack: Stack) -> Table:
    """Each layer, USD a year: in the stacked plan, at shares of it, alone, and its share by Shapley."""
    per_y = 1.0 / stack.span_y
    columns = (
        Column("layer"),
        Column("in the plan", "usd"),
        *(Column(f"at {f:.0%}", "usd") for f in REALISABLE_FRAC[1:]),
        Column("alone", "usd"),
        Column("share of the whole", "usd"),
    )

    def row(name: str, value: float, alone: float | None, share: float | None) -> tuple[Any, ...]:
        return (name, *(value * f for f in REALISABLE_FRAC), alone, share)

    rows = [
        row(f"{r['layer']} {r['name']}", r["usd_per_y"], r["alone_usd_per_y"], r["share_usd_per_y"])
        for r in stack.layer_rows()
    ]
    if abs(stack.whole.operation_usd) > 0.005:
        rows.append((f"0 {LAYERS[0]}", stack.whole.operation_usd * per_y, None, None, None, None))
    rows.append(
        row(
            "whole, net",
            stack.whole.total_usd * per_y,
            stack.singles_usd * per_y,
            sum(stack.shares_usd.values()) * per_y,
        )
    )
    return Table(columns, tuple(rows))


def _way_sheets(stack: Stack) -> list[tuple[str, Table]]:
    found = [("Conflicts", clash_rows(stack.conflicts)), ("Gave way", relaxed_rows(stack.relaxed))]
    return [(title, tables.of_rows(rows)) for title, rows in found if rows]


def share_table(stack: Stack) -> Table:
    """Of what each layer's share is made, USD over the span; every sum is exact to the cent."""
    columns = (
        Column("layer"),
        Column("item"),
        Column("in the plan", "usd_cents"),
        Column("part of the share", "usd_cents"),
    )
    rows: list[tuple[Any, ...]] = []
    shares = stack.cent_shares_usd
    for layer in stack.layers:
        name = f"{layer} {LAYERS[layer]}"
        mine = [i for i in stack.items if i.layer == layer]
        many = len({i.stream for i in mine if i.own}) > 1 or layer > 1
        for i in sorted((i for i in mine if i.own), key=lambda i: -abs(i.share_usd)):
            if abs(i.share_usd) < 0.005 and abs(i.settled_usd or 0.0) < 0.005:
                continue
            rows.append((name, _said(i, many), i.settled_usd, i.share_usd))
        for other in sorted({i.of_layer for i in mine if not i.own}):
            moved = [i for i in mine if i.of_layer == other]
            usd = fsum(i.share_usd for i in moved)
            rows.append((name, f"moved in layer {other}, {LAYERS[other]}", None, usd))
        rows.append((name, "share of the layer", None, shares[layer]))
    rows.append(("whole", "value of the stacked plan, net", None, fsum(shares.values())))
    return Table(columns, tuple(rows), sum_row=True)


def _said(i: ItemShare, many: bool) -> str:
    item = i.item.replace("_", " ")
    return f"{i.stream}: {item}" if many else item


def cycle_table(stack: Stack, c: Cycling) -> Table:
    """Cycles a year, what they earn and wear a year, and what one more does."""
    per_y = 1.0 / stack.span_y
    return tables.of_rows(
        [
            {
                "cycles_a_year": float(n),
                "revenue_usd_per_y": float(r) * per_y,
                "wear_usd_per_y": float(w) * per_y,
                "one_more_earns_usd": None
                if k >= len(c.marginal_revenue_usd)
                else float(c.marginal_revenue_usd[k]) * per_y,
                "one_more_wears_usd": None
                if k >= len(c.marginal_wear_usd)
                else float(c.marginal_wear_usd[k]) * per_y,
            }
            for k, (n, r, w) in enumerate(zip(c.cycles_per_y, c.revenue_usd, c.wear_usd, strict=True))
        ]
    )


def stream_table(stack: Stack) -> Table:
    """Every stream of the stacked plan."""
    per_y = 1.0 / stack.span_y
    return tables.of_rows(
        [
            {"layer": layer, "stream": stream, "usd_per_y": usd * per_y}
            for (layer, stream), usd in sorted(stack.whole.by_stream.items())
        ]
    )


def set_table(stack: Stack) -> Table:
    """Every set of layers planned by itself, USD a year."""
    per_y = 1.0 / stack.span_y
    columns = (
        Column("set"),
        *(Column(f"layer {k}", "usd") for k in stack.layers),
        Column("wear, fuel, starts", "usd"),
        Column("value", "usd"),
        Column("best within"),
    )
    rows = tuple(
        (
            s.name,
            *(s.layer_usd(k) * per_y if k in s.layers else None for k in stack.layers),
            s.operation_usd * per_y,
            s.total_usd * per_y,
            _within(s),
        )
        for s in stack.subsets.values()
        if s.layers
    )
    return Table(columns, rows)


def _within(s: Subset) -> str:
    """How far the plan may be from the best."""
    bent = f"; limits that gave way: {s.relaxed}" if s.relaxed else ""
    if s.gap_frac is None or s.gap_usd is None:
        return f"not known: {s.plan_of}{bent}"
    return f"{s.gap_frac:.0e}, {show_usd(s.gap_usd)}{bent}"


def item_table(stack: Stack) -> Table:
    """Settled items of layers 2 to 4, with what they stand on."""
    per_y = 1.0 / stack.span_y
    sums: dict[tuple[int, str, str, str, str], float] = {}
    for e in stack.services:
        key = (e.layer, e.stream, e.item, e.counterparty, e.certainty)
        sums[key] = sums.get(key, 0.0) + e.usd
    return tables.of_rows(
        [
            {
                "layer": k[0],
                "stream": k[1],
                "item": k[2],
                "with": k[3],
                "certainty": k[4],
                "usd_per_y": v * per_y,
            }
            for k, v in sorted(sums.items())
        ]
    )


def _layers(stack: Stack) -> Section:
    per_y = 1.0 / stack.span_y
    steps = [(LAYERS[k], stack.whole.layer_usd(k) * per_y) for k in stack.layers]
    if abs(stack.whole.operation_usd) > 0.005:
        steps.append((LAYERS[0], stack.whole.operation_usd * per_y))
    parts: list[Part] = [
        text(
            f"One plan over all layers under the rules of {stack.as_of:%d %B %Y}, with perfect foresight: an upper "
            "bound, shown also at 80 and 60 % of it until simulation supplies a band of its own."
        ),
        figure(figures.build_up(steps, "whole"), "Value of the stacked plan by layer, USD a year"),
        table(layer_table(stack), "Layers, USD a year (bound)"),
    ]
    items = item_table(stack)
    if items.rows:
        parts.append(table(items, "What the layers beyond the tariff are made of", folded=True))
    parts += [text(r, "small") for r in stack.refused]
    return Section("layers", "All layers in one plan", tuple(parts))


def _shares(stack: Stack) -> Section:
    words = (
        "Each layer's share is the mean of what it adds over all orders in which the layers could join (Shapley), and "
        "the shares sum to the whole. Each is made of the layer's own items and of what its being in the plan moves in "
        "the items of others; the parts sum to the share to the cent. USD over the span of the data."
    )
    parts: list[Part] = [text(words), table(share_table(stack))]
    loose = [s.name for s in stack.subsets.values() if s.plan_of]
    if loose:
        parts.append(
            Part(
                "note",
                text=f"Time ran out before {', '.join(loose)} had a plan of their own; what stands for it is worth "
                "less than the best, so the shares are rougher than their cents. Raise study.time_limit_s.",
            )
        )
    return Section("shares", "Of what each layer's share is made", tuple(parts))


def _cycling(stack: Stack) -> list[Section]:
    if not stack.cycling:
        return []
    parts: list[Part] = []
    for name, c in stack.cycling.items():
        low = c.own_per_y
        said = (
            f"{name}: the plan gives {low:,.0f} full cycles a year, where one more earns just what it wears."
        )
        if c.notes:
            said += f" {'; '.join(c.notes)[:1].upper()}{'; '.join(c.notes)[1:]}."
        if not c.proved:
            said += " Not every plan was proven best in the time there was, so the steps are rough."
        parts += [
            text(said),
            figure(
                figures.cycling(
                    c.cycles_per_y,
                    c.marginal_revenue_usd / stack.span_y,
                    c.marginal_wear_usd / stack.span_y,
                    c.revenue_usd / stack.span_y,
                    c.wear_usd / stack.span_y,
                    c.own_per_y,
                ),
                "What one more cycle a year earns and wears (left), what all of them do against the fewest (right); "
                "planned at several wear prices with the future known, by the plans' own prices.",
            ),
            table(cycle_table(stack, c), f"Cycles of {name}", folded=True),
        ]
    return [Section("cycles", "How much cycling pays", tuple(parts))]


def _bridge(stacks: Sequence[Stack]) -> list[Section]:
    """The same site under the rules of then and of now."""
    if len(stacks) < 2:
        return []
    now, then = stacks[0], stacks[1]
    names = sorted({*now.whole.by_stream, *then.whole.by_stream})
    rows = [
        {
            "layer": layer,
            "stream": stream,
            f"then ({then.as_of:%Y})_usd_per_y": then.whole.by_stream.get((layer, stream), 0.0) / then.span_y,
            f"now ({now.as_of:%Y})_usd_per_y": now.whole.by_stream.get((layer, stream), 0.0) / now.span_y,
        }
        for layer, stream in names
    ]
    rows.append(
        {
            "layer": "",
            "stream": "whole, net of wear, fuel and starts",
            f"then ({then.as_of:%Y})_usd_per_y": then.whole.total_usd / then.span_y,
            f"now ({now.as_of:%Y})_usd_per_y": now.whole.total_usd / now.span_y,
        }
    )
    parts: list[Part] = [table(tables.of_rows(rows), "Stream by stream, USD a year (bounds)")]
    for stack, when in ((then, "then"), (now, "now")):
        parts += [text(f"Not allowed {when}: {r}", "small") for r in stack.refused]
    return [Section("then-now", "The rules of then and of now", tuple(parts))]


def _meeting(stack: Stack) -> Section:
    per_y = 1.0 / stack.span_y
    if abs(stack.synergy_usd) * per_y < 0.5:
        said = "they neither help nor hinder each other."
    else:
        gain = stack.synergy_usd > 0
        word = "gain from being together" if gain else "loss from wanting the same power and energy"
        said = (
            f"the difference of {show_usd(stack.synergy_usd * per_y)} is the {word}, and the cost of operation that "
            "they share."
        )
    parts: list[Part] = [
        text(
            f"Alone the layers promise {show_usd(stack.singles_usd * per_y)} a year; together they are worth "
            f"{show_usd(stack.whole.total_usd * per_y)}: {said}"
        ),
        table(set_table(stack), "Every set of layers, planned as if no other existed, USD a year (bound)"),
    ]
    rows = cost_of_serving(stack)
    if rows:
        parts.append(
            table(
                tables.of_rows(rows),
                "What serving the row costs the column, USD a year",
                "change of the column's settled money when the row's layer joins the plan of the two",
            )
        )
    return Section("meeting", "How the layers meet", tuple(parts))


def cost_of_serving(stack: Stack) -> list[dict[str, Any]]:
    """Conflict matrix: money of the column's layer alone less its money once the row's layer is planned too."""
    if len(stack.layers) < 2:
        return []
    per_y = 1.0 / stack.span_y
    out = []
    for row in stack.layers:
        cells: dict[str, Any] = {"serving": f"{row} {LAYERS[row]}"}
        for col in stack.layers:
            if row == col:
                cells[f"{LAYERS[col]}_usd_per_y"] = None
                continue
            pair = tuple(sorted((row, col)))
            alone, beside = stack.subsets[(col,)], stack.subsets[pair]
            cells[f"{LAYERS[col]}_usd_per_y"] = (alone.layer_usd(col) - beside.layer_usd(col)) * per_y
        out.append(cells)
    return out


def _tables_of(found: Any) -> list[tuple[str, Sequence[Mapping[str, Any]]]]:
    made = getattr(found, "tables", None)
    if made is None:
        return []
    return list((made() if callable(made) else made).items())


def _extra(name: str, found: Any) -> Section:
    """What a single room found: its sentences, then its tables."""
    parts: list[Part] = [text(str(s)) for s in getattr(found, "sentences", ())]
    parts += [figure(svg, caption) for caption, svg in getattr(found, "pictures", ())]
    parts += [table(tables.of_rows(rows), title) for title, rows in _tables_of(found)]
    return Section(name.replace(" ", "-"), name[:1].upper() + name[1:], tuple(parts))
