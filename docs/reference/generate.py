"""Writes the reference pages from the models that read the files: `python docs/reference/generate.py`.

A house test fails while a page differs from what this would write.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

HERE = Path(__file__).resolve().parent


def pages() -> dict[str, str]:
    """Text of every generated page by file name."""
    from valuestack.registry import find, kinds
    from valuestack.site.site import SiteFile
    from valuestack.sources.load_model import LoadModelFile
    from valuestack.streams.retail.tariff import Tariff, item_kinds

    out = {
        "site-file.md": _page("The site file", "What `valuestack study` reads: one TOML file.", [SiteFile]),
        "load-model.md": _page("The load model file", "A documented, seeded stand-in for a meter file.",
                               [LoadModelFile]),
    }
    assets = [find("assets", kind) for kind in kinds("assets")]
    models = [a for a in assets if isinstance(a, type) and issubclass(a, BaseModel)]
    if models:
        out["assets.md"] = _page(
            "Assets", "What may stand under `[[assets]]` of a site file, besides `kind` (the name in the heading), "
            "`meter` and `existing`.", models, titles=[getattr(m, "kind", m.__name__) for m in models])
    from valuestack.site.files import stream_class, stream_kinds

    streams = [stream_class(kind) for kind in stream_kinds()]
    models = [c for c in streams if isinstance(c, type) and issubclass(c, BaseModel)]
    if models:
        out["streams.md"] = _page(
            "Value streams", "What may stand under `[[streams]]` of a site file, besides `kind` (the name in the "
            "heading) and `meter`. The retail tariff is not among them: a meter names it.",
            models, titles=[getattr(m, "kind", m.__name__) for m in models])
    from valuestack.finance.finance import Finance

    out["finance.md"] = _page(
        "The pro forma", "What may be written of money over the years: capex, running costs, growth, wear, tax, debt, third "
        "parties. Rates and credits that are not written come from dated tables, each with its source.", [Finance])
    out["resilience-data.md"] = _resilience()
    out["products.md"] = _products()
    items = [find("streams.retail", kind) for kind in item_kinds()]
    out["tariff-items.md"] = _page(
        "Tariff items", "What may stand under `items` of a tariff file, each with its `kind` (the name in the heading). "
        "`Tariff` is the file itself.",
        [Tariff, *(i for i in items if isinstance(i, type) and issubclass(i, BaseModel))],
        titles=["Tariff", *item_kinds()])
    return out


def _resilience() -> str:
    """Shipped data of outages, damage, voltage curves and permits, each with its source."""
    from valuestack.assets.generator import shipped
    from valuestack.streams.resilience.arrivals import outages_of, shipped_outages
    from valuestack.streams.resilience.damage import damage_of, shipped_damages
    from valuestack.streams.resilience.power_quality import curve

    def said(verified: bool) -> str:
        return "yes" if verified else "**not verified**"

    lines = [
        "# Data of resilience and power quality", "",
        "What stands behind the kinds `outage`, `reserve`, `power_quality`, `permit` and the asset `generator` by name.",
        "", "*Generated from the data by `docs/reference/generate.py`.*", "",
        "## Damage functions", "", "| name | cost of 1, 4, 8 h [USD] | dollars of | source | verified |",
        "|---|---|---|---|---|",
    ]
    for name in shipped_damages():
        f = damage_of(name)
        costs = ", ".join(f"{c:,.0f}" for c in f.cost_usd([1.0, 4.0, 8.0]))
        lines.append(f"| `{name}` | {costs} | {f.dollars_of or ''} | {f.source} | {said(f.verified)} |")
    lines += ["", "## Outages", "", "| name | a year | mean [h] | major a year | their mean [h] | source | verified |",
              "|---|---|---|---|---|---|---|"]
    for name in shipped_outages():
        m = outages_of(name)
        lines.append(f"| `{name}` | {m.saifi_per_y:.2f} | {m.caidi_h:.2f} | {m.major_per_y:.2f} | "
                     f"{m.major_mean_h or 0:.1f} | {m.source} | {said(m.verified)} |")
    lines += ["", "## Voltage curves", "", "| name | sags ridden through | source | verified |", "|---|---|---|---|"]
    for name in ("itic", "semi-f47"):
        c = curve(name)
        sags = ", ".join(f"{v:.0%} for {s:g} s" for s, v in c.sag)
        lines.append(f"| `{name}` | {sags} | {c.source} | {said(c.verified)} |")
    lines += ["", "## Permit classes of generators", "", "| class | may be dispatched | source | verified |",
              "|---|---|---|---|"]
    for name, rule in shipped("permits").items():
        lines.append(f"| `{name}` | {'yes' if rule['may_dispatch'] else 'no: ' + rule['why_not']} | {rule['source']} | "
                     f"{said(rule['verified'])} |")
    reopt, engine = shipped("reopt"), shipped("engine")
    lines += ["", "## Defaults of an engine", "", "| key | value | source |", "|---|---|---|"]
    for data in (reopt, engine):
        note = data["source"] + ("" if data["verified"] else "; **not verified**")
        lines += [f"| `{k}` | {v:g} | {note} |" for k, v in data.items() if k not in ("source", "verified")]
    return "\n".join(lines) + "\n"


def _products() -> str:
    """Every shipped product with its figures, their sources and what is not verified."""
    from valuestack.streams.grid.product import Product, products

    parts = ["# Products of grid services", "", "What `product = \"...\"` may name in a stream of layer 3: one file a version "
             "in `data/products`. Figures marked *not verified* are recollected or could not be read; prices that no source "
             "states are asked of the user.", "", "*Generated from the data by `docs/reference/generate.py`.*", "",
             "| product | version | kind | in force | offered in | not verified |", "|---|---|---|---|---|---|"]
    for p in products():
        doubtful = sum(len(s.figures) for s in p.sources if not s.verified)
        parts.append(f"| [`{p.name}`](#{_anchor(p.label)}) | {p.version} | {p.kind} | {p.years} | {p.place} | {doubtful} figures |")
    for p in products():
        parts += ["", f"## {p.label}", "", f"{p.title}. {p.notes}".strip(), "", "| figure | value | source |", "|---|---|---|"]
        for s in p.sources:
            mark = "" if s.verified else " **not verified**"
            note = f" ({s.note})" if s.note else ""
            parts += [f"| `{f}` | {_value(p, f)} | {s.source}{note}{mark} |" for f in s.figures]
        for row in p.prices:
            key = next(k for k in ("usd_per_mw_day", "usd_per_kw_month", "usd_per_kw_y", "usd_per_kwh") if getattr(row, k) is not None)
            when = f"{row.from_date or '...'} to {row.until_date or '...'}"
            mark = "" if row.verified else " **not verified**"
            parts.append(f"| {key}, {row.area or 'everywhere'}, {when} | {getattr(row, key):g} | {row.source}{mark} |")
        for r in p.ratings:
            mark = "" if r.verified else " **not verified**"
            parts.append(f"| ELCC of {r.resource}, {r.from_date} to {r.until_date} | {r.elcc_frac:g} | {r.source}{mark} |")
        if p.asks_for:
            parts += ["", "Asked of the user: " + ", ".join(p.asks_for) + "."]
    schema = Product.model_json_schema()
    parts += ["", *_section("The product file", inspect.getdoc(Product) or "", schema)]
    for name, part in schema.get("$defs", {}).items():
        if part.get("type") == "object":
            parts += _section(name, part.get("description", ""), part)
    return "\n".join(parts).rstrip() + "\n"


def _anchor(title: str) -> str:
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c == "-")


def _value(product: Any, figure: str) -> str:
    value: Any = product
    for part in figure.split("."):
        value = getattr(value, part)
    rows = value if isinstance(value, tuple) else (value,)
    texts = [", ".join(f"{k} {v}" for k, v in r.model_dump(exclude_defaults=True).items()) if isinstance(r, BaseModel)
             else str(r) for r in rows]
    return "; ".join(texts).replace("|", "/")


def _page(title: str, about: str, models: list[type[BaseModel]], titles: list[str] | None = None) -> str:
    parts = [f"# {title}", "", about, "", "*Generated from the code by `docs/reference/generate.py`.*", ""]
    seen: set[str] = set()
    for i, model in enumerate(models):
        schema = model.model_json_schema(by_alias=True)
        defs = schema.get("$defs", {})
        parts += _section(titles[i] if titles else "Top level", inspect.getdoc(model) or "", schema)
        for name, part in defs.items():
            if name not in seen and part.get("type") == "object":
                seen.add(name)
                parts += _section(name, part.get("description", ""), part)
    return "\n".join(parts).rstrip() + "\n"


def _section(name: str, doc: str, schema: dict[str, Any]) -> list[str]:
    lines = [f"## {name}", "", doc.strip(), "", "| key | type | default | about |", "|---|---|---|---|"]
    required = set(schema.get("required", ()))
    for key, value in schema.get("properties", {}).items():
        default = "required" if key in required else f"`{_default(value.get('default'))}`"
        about = " ".join(str(value.get("description", "")).split())
        lines.append(f"| `{key}` | {_type(value)} | {default} | {about} |".replace("  ", " "))
    return [*lines, ""]


def _default(value: Any) -> str:
    if isinstance(value, dict):
        return "see its section" if value else "{}"
    if value is None or isinstance(value, bool):  # not by equality: 1.0 == True
        return str(value).lower()
    return str(value)


def _type(value: dict[str, Any]) -> str:
    if "$ref" in value:
        name = value["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in value or "oneOf" in value:
        forms = value.get("anyOf") or value["oneOf"]
        return " or ".join(dict.fromkeys(_type(v) for v in forms if v.get("type") != "null"))
    if "allOf" in value:
        return _type(value["allOf"][0])
    if "enum" in value:
        return " / ".join(f"`{v}`" for v in value["enum"])
    if value.get("type") == "array":
        items = value.get("items") or (value.get("prefixItems") or [{}])[0]
        return f"list of {_type(items)}"
    kind = {"object": "table", "boolean": "true / false"}.get(value.get("type", ""), value.get("type", "any"))
    kind = value.get("format", kind)
    bounds = [f"{sign} {value[k]:g}" for k, sign in (("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="),
                                                     ("exclusiveMaximum", "<")) if k in value]
    return f"{kind} {', '.join(bounds)}".strip()


def main() -> None:
    for name, text in pages().items():
        (HERE / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote docs/reference/{name}\n")


if __name__ == "__main__":
    main()
