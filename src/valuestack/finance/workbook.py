"""The pro forma as an XLSX with live formulas: change an input on its sheets and every figure follows.

Sheets: Inputs, Streams, Running, Capex (what is written, as numbers), Years (the year table, formulas only), Result.
Only SUM, SUMPRODUCT, MIN, MAX, IF, IFERROR, INDEX and IRR are used, so any spreadsheet recomputes it. Capacity by
year, replacement costs and depreciation tables are inputs: they come from the wear model and the dated tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..timeline import Kw
from .finance import Finance, StreamPlan, Value
from .incentives import basis_reduction, bonus, class_life, investment_credit, macrs
from .proforma import CashFlow, ageing, line_names, plan_of, project_of

FIRST_COLUMN = 2  # of year 0 on the sheet Years: A name, B unit


@dataclass(slots=True)
class _Cell:
    """A number, a text, or a formula (begins with '=') with the value that it has now."""

    content: Any
    now: Any = None
    form: str = "plain"


@dataclass(slots=True)
class _Book:
    """Cells by sheet, and where each input stands."""

    cells: dict[str, dict[tuple[int, int], _Cell]] = field(default_factory=dict)
    where: dict[str, str] = field(default_factory=dict)

    def put(self, sheet: str, row: int, col: int, content: Any, now: Any = None, form: str = "plain") -> str:
        """Write a cell; its absolute reference."""
        self.cells.setdefault(sheet, {})[row, col] = _Cell(content, now, form)
        return f"{sheet}!${letters(col)}${row + 1}"


def letters(col: int) -> str:
    """Column name of a number from 0.

    >>> letters(0), letters(27)
    ('A', 'AB')
    """
    out = ""
    col += 1
    while col:
        col, rest = divmod(col - 1, 26)
        out = chr(65 + rest) + out
    return out


def save(flow: CashFlow, path: Path) -> None:
    """Write the pro forma to `path` as a workbook with live formulas, each with the value it has now.

    Errors: DataError where xlsxwriter is not installed.
    """
    try:
        import xlsxwriter
    except ImportError as e:
        raise DataError("a workbook needs xlsxwriter; install valuestack[report]") from e
    made = build(flow)
    options = {"strings_to_formulas": False, "strings_to_urls": False, "nan_inf_to_errors": True}
    with xlsxwriter.Workbook(path, options) as book:
        forms = {
            "plain": book.add_format({}),
            "head": book.add_format({"bold": True, "bottom": 1}),
            "usd": book.add_format({"num_format": "$#,##0;[Red]-$#,##0"}),
            "total": book.add_format({"num_format": "$#,##0;[Red]-$#,##0", "bold": True, "top": 1}),
            "frac": book.add_format({"num_format": "0.00%"}),
            "number": book.add_format({"num_format": "General"}),
            "input": book.add_format({"num_format": "General", "font_color": "blue"}),
        }
        for name, cells in made.cells.items():
            sheet = book.add_worksheet(name)
            sheet.set_column(0, 0, 34)
            sheet.set_column(1, 40, 13)
            for (row, col), cell in cells.items():
                # The first column holds people's own words: never read them as formulas.
                if col and isinstance(cell.content, str) and cell.content.startswith("="):
                    sheet.write_formula(
                        row, col, cell.content, forms[cell.form], "" if cell.now is None else cell.now
                    )
                elif isinstance(cell.content, str):
                    sheet.write_string(row, col, cell.content, forms[cell.form])
                elif cell.content is not None:
                    sheet.write_number(row, col, float(cell.content), forms[cell.form])
            if name == "Years":
                sheet.freeze_panes(1, FIRST_COLUMN)


def build(flow: CashFlow) -> _Book:
    """Every cell of the workbook."""
    book = _Book()
    book.cells |= {name: {} for name in ("Result", "Inputs", "Streams", "Running", "Capex", "Years")}
    _inputs(book, flow)
    streams = _streams(book, flow)
    running = _running(book, flow.finance)
    capex = _capex(book, flow.finance)
    years = _Years(book, flow)
    years.head()
    years.table(streams, running, capex)
    _result(book, flow, years)
    return book


# --- inputs -------------------------------------------------------------------------------------------------


def _inputs(book: _Book, flow: CashFlow) -> None:
    f = flow.finance
    debt, third = f.debt, f.third_party
    rows: list[tuple[str, str, float, str]] = [
        ("discount", "discount rate, nominal", f.nominal, "frac"),
        ("inflation", "inflation a year", f.inflation, "frac"),
        ("mid", "1 = flows at mid-year, 0 = at year end", 1.0 if f.timing == "mid" else 0.0, "0/1"),
        ("federal", "federal tax", f.tax.federal, "frac"),
        ("state", "state tax", f.tax.state, "frac"),
        ("state_bonus", "state follows the federal bonus", float(f.tax.state_bonus), "0/1"),
        ("reduction", "basis reduction, share of the credit", basis_reduction(), "frac"),
        ("value_share", "share of value that follows capacity", f.wear.value_share_frac, "frac"),
        ("dispatch", "share of dispatch value realised", flow.dispatch_share_frac, "frac"),
    ]
    if debt is not None:
        rows += [
            ("loan_rate", "loan rate", debt.rate_frac, "frac"),
            ("loan_years", "loan term", float(debt.years), "y"),
            ("loan_fee", "loan fee", debt.fee_frac, "frac"),
        ]
        for key, label in (
            ("usd", "loan"),
            ("share_frac", "loan, share of capex"),
            ("coverage_frac", "coverage"),
        ):
            if getattr(debt, key) is not None:
                rows.append((f"loan_{key}", label, getattr(debt, key), "USD" if key == "usd" else "frac"))
        if debt.market_coverage_frac is not None:
            rows.append(
                (
                    "loan_market",
                    "coverage of income that is not contracted",
                    debt.market_coverage_frac,
                    "frac",
                )
            )
    if third is not None:
        tax = f.tax if third.host_tax is None else third.host_tax
        host = f.nominal if third.host_discount_frac is None else third.host_discount_frac
        rows += [
            ("third_years", "term of the third party", float(third.years or f.analysis_years), "y"),
            ("third_growth", "growth of its price", third.growth_frac_per_y, "frac"),
            ("buyout", "buyout", third.buyout_usd, "USD"),
            ("host_federal", "host's federal tax", tax.federal, "frac"),
            ("host_state", "host's state tax", tax.state, "frac"),
            ("host_discount", "host's discount rate, nominal", host, "frac"),
        ]
        price = {
            "ppa": [
                ("ppa_usd", "price per kWh", third.usd_per_kwh),
                ("ppa_kwh", "kWh a year", third.kwh_per_y),
            ],
            "lease": [("lease_usd", "rent a year", third.usd_per_y)],
            "shared_savings": [("third_share", "share of the savings", third.share_frac)],
        }[third.form]
        rows += [(k, label, float(v or 0.0), "") for k, label, v in price]
    for col, text in enumerate(("input", "value", "unit")):
        book.put("Inputs", 0, col, text, form="head")
    for row, (key, label, value, unit) in enumerate(rows, start=1):
        book.put("Inputs", row, 0, label)
        book.where[key] = book.put("Inputs", row, 1, value, form="input")
        book.put("Inputs", row, 2, unit)
    for row, text in enumerate(("what this stands on", *flow.assumptions), start=len(rows) + 2):
        book.put("Inputs", row, 0, text, form="head" if row == len(rows) + 2 else "plain")


@dataclass(frozen=True, slots=True)
class _Line:
    """A stream or a running cost with the references of its inputs."""

    name: str
    ref: dict[str, str]
    value: Value | None = None
    plan: StreamPlan | None = None


def _rows(
    book: _Book, sheet: str, columns: Sequence[str], table: Sequence[tuple[str, Sequence[Any]]]
) -> list[dict[str, str]]:
    """A sheet of inputs: one row each, references by column."""
    for col, text in enumerate(("name", *columns)):
        book.put(sheet, 0, col, text, form="head")
    out = []
    for row, (name, values) in enumerate(table, start=1):
        book.put(sheet, row, 0, name)
        out.append(
            {
                c: book.put(sheet, row, k, v, form="input")
                for k, (c, v) in enumerate(zip(columns, values), start=1)
            }
        )
    return out


def _streams(book: _Book, flow: CashFlow) -> list[_Line]:
    f, names = flow.finance, line_names(flow.values)
    columns = (
        "layer",
        "usd_per_y",
        "growth",
        "grown_y",
        "start_month",
        "end_year",
        "wear",
        "degradation",
        "dispatch",
        "p90",
    )
    plans = [plan_of(f, v) for v in flow.values]
    table = []
    for v, p in zip(flow.values, plans):
        assert p.escalator is not None
        e = f.escalation(p.escalator)
        table.append(
            (
                names[v],
                (
                    v.layer, v.usd_per_y, e.frac_per_y, e.offset_y(f.start_date.year), p.start_month,
                    f.analysis_years if p.end_year is None else p.end_year, float(bool(p.follows_wear)),
                    p.degradation_frac_per_y, float(bool(p.follows_dispatch)),
                    1.0 if p.p90_frac is None else p.p90_frac,
                ),
            )
        )  # fmt: skip
    refs = _rows(book, "Streams", columns, table)
    return [_Line(names[v], r, v, p) for v, r, p in zip(flow.values, refs, plans)]


def _running(book: _Book, f: Finance) -> list[_Line]:
    columns = ("usd_per_y", "usd_per_kwh", "kwh_per_y", "growth", "grown_y")
    table = []
    for r in f.running:
        e = f.escalation(r.escalator)
        table.append(
            (r.name, (r.usd_per_y, r.usd_per_kwh, r.kwh_per_y, e.frac_per_y, e.offset_y(f.start_date.year)))
        )
    return [_Line(r.name, ref) for r, ref in zip(f.running, _rows(book, "Running", columns, table))]


def _capex(book: _Book, f: Finance) -> list[tuple[_Line, tuple[float, ...]]]:
    """Items with the references of their inputs and results, and their depreciation table."""
    columns = ("cost", "rebate", "credit_rate", "credit_share", "bonus", "salvage")
    table, shares = [], []
    for c in f.capex:
        rate = c.itc_frac or 0.0
        if c.technology is not None:
            rate = investment_credit(c.technology, project_of(f)).frac
        class_y = class_life(c.kind)[0] if c.macrs_class_y is None else c.macrs_class_y
        extra = c.bonus_frac
        if extra is None:
            extra = bonus(f.acquired_date or f.start_date)[0] if class_y else 0.0
        shares.append(macrs(class_y) if class_y else ())
        table.append((c.name, (c.cost_usd, c.rebate_usd, rate, c.itc_share_frac, extra, c.salvage_frac)))
    out = []
    for row, ref in enumerate(_rows(book, "Capex", columns, table), start=1):
        paid = f"({ref['cost']}-{ref['rebate']})"
        cost, rebate, rate, share, *_ = table[row - 1][1]
        taken = (cost - rebate) * share * rate
        formula = f"={paid}*{ref['credit_share']}*{ref['credit_rate']}"
        ref["credit"] = book.put("Capex", row, len(columns) + 1, formula, taken, "usd")
        basis = f"={paid}-{book.where['reduction']}*{ref['credit']}"
        now = cost - rebate - basis_reduction() * taken
        ref["basis"] = book.put("Capex", row, len(columns) + 2, basis, now, "usd")
        out.append((_Line(f.capex[row - 1].name, ref), shares[row - 1]))
    book.put("Capex", 0, len(columns) + 1, "credit", form="head")
    book.put("Capex", 0, len(columns) + 2, "basis", form="head")
    return out


# --- the year table ------------------------------------------------------------------------------------------


class _Years:
    """The sheet Years: one row a line, one column a year, formulas by (t, column letter)."""

    def __init__(self, book: _Book, flow: CashFlow) -> None:
        self.book, self.flow, self.n = book, flow, flow.finance.analysis_years
        self.row = 0
        self.at: dict[str, int] = {}
        self.hands_over = False

    def head(self) -> None:
        """Year numbers and times."""
        self.book.put("Years", 0, 0, "USD, nominal", form="head")
        self.add("year", "y", lambda t, c: t, np.arange(self.n + 1.0), form="number")
        mid = self.book.where["mid"]
        self.add(
            "time",
            "y",
            lambda t, c: f"=MAX(0,{self.cell('year', t)}-0.5*{mid})",
            self.flow.at_y,
            form="number",
        )

    def cell(self, line: str, t: int) -> str:
        """Reference of a line in year t, on the same sheet."""
        return f"{letters(FIRST_COLUMN + t)}${self.at[line] + 1}"

    def range(self, line: str, first: int = 0) -> str:
        """Range of a line over years first..N, for the other sheets."""
        row = self.at[line] + 1
        return f"Years!${letters(FIRST_COLUMN + first)}${row}:${letters(FIRST_COLUMN + self.n)}${row}"

    def add(
        self,
        line: str,
        unit: str,
        formula: Callable[[int, str], Any],
        now: Kw | None = None,
        form: str = "usd",
    ) -> None:
        """A row: formula or number of each year, with the values it has now."""
        self.at[line] = self.row
        self.book.put("Years", self.row, 0, line, form="head" if form == "total" else "plain")
        self.book.put("Years", self.row, 1, unit)
        for t in range(self.n + 1):
            value = None if now is None else float(now[t])
            content = formula(t, letters(FIRST_COLUMN + t))
            self.book.put("Years", self.row, FIRST_COLUMN + t, content, value, form)
        self.row += 1

    def numbers(self, line: str, unit: str, values: Sequence[float] | Kw) -> None:
        """A row of inputs."""
        self.add(line, unit, lambda t, c: float(values[t]), form="input")

    def keeps(self, t: int) -> str:
        """1 while whoever owned first still owns."""
        return self.cell("owner still owns", t) if self.hands_over else "1"

    # The rows, in the order in which they need each other.

    def table(
        self, streams: list[_Line], running: list[_Line], capex: list[tuple[_Line, tuple[float, ...]]]
    ) -> None:
        """Every row from capacity to the discounted sums."""
        f, w = self.flow.finance, self.book.where
        third = f.third_party
        aged = ageing(f)
        renewed = aged.cost_usd.copy()
        for r in f.replacements:
            renewed[r.year] += r.usd
        self.numbers("capacity left, mean of the year", "frac", aged.capacity_frac)
        self.numbers("replacement and augmentation, cost", "USD", renewed)
        self.hands_over = third is not None and third.years is not None
        if self.hands_over:
            within = lambda t, c: f"=IF({self.cell('year', t)}<={w['third_years']},1,0)"  # noqa: E731
            self.add("owner still owns", "0/1", within, form="number")
        for s in streams:
            self._stream(s)
        self._running(running)
        self._capex(capex)
        self._third(streams)
        self._loan(streams)
        self._tax()
        self._flows()

    def _stream(self, s: _Line) -> None:
        assert s.plan is not None and s.value is not None
        r, w, year = s.ref, self.book.where, "year"
        ramp = ""
        if s.plan.ramp_frac:
            first = (s.plan.start_month - 1) // 12 + 1
            steps = np.clip(np.arange(self.n + 1) - first, 0, len(s.plan.ramp_frac) - 1)
            self.numbers(f"ramp of {s.name}", "frac", np.array(s.plan.ramp_frac)[steps])
            ramp = f"ramp of {s.name}"

        def formula(t: int, c: str) -> str:
            y = self.cell(year, t)
            months = f"IF({y}=0,0,MIN(12,MAX(0,12*{y}-({r['start_month']}-1)))/12)"
            if ramp:
                months += f"*{self.cell(ramp, t)}"
            capacity = self.cell("capacity left, mean of the year", t)
            return (
                f"={r['usd_per_y']}*(1+{r['growth']})^({y}-1+{r['grown_y']})*{months}*IF({y}>{r['end_year']},0,1)"
                f"*IF({r['wear']}=1,1-{w['value_share']}*(1-{capacity}),1)*(1-{r['degradation']})^MAX(0,{y}-1)"
                f"*IF({r['dispatch']}=1,{w['dispatch']},1)"
            )

        prefix = "" if self.flow.finance.third_party is None else "host "
        self.add(s.name, "USD", formula, self.flow.lines[prefix + s.name])

    def _running(self, running: list[_Line]) -> None:
        for line in running:
            r = line.ref

            def formula(t: int, c: str, r: dict[str, str] = r) -> str:
                y = self.cell("year", t)
                first = f"({r['usd_per_y']}+{r['usd_per_kwh']}*{r['kwh_per_y']})"
                return f"=IF({y}=0,0,(0-{first})*(1+{r['growth']})^({y}-1+{r['grown_y']}))"

            self.add(f"running/{line.name}", "USD", formula)
        names = [f"running/{x.name}" for x in running]

        def costs(t: int, c: str) -> str:
            parts = [self.cell(x, t) for x in names]
            parts.append(f"(0-{self.cell('replacement and augmentation, cost', t)})")
            return "=" + "+".join(parts)

        self.add("costs of everybody", "USD", costs)
        self.add(
            "costs of the owner", "USD", lambda t, c: f"={self.cell('costs of everybody', t)}*{self.keeps(t)}"
        )

    def _capex(self, capex: list[tuple[_Line, tuple[float, ...]]]) -> None:
        w = self.book.where
        for line, shares in capex:
            padded = np.zeros(self.n + 1)
            for k, share in enumerate(shares[: self.n], start=1):
                padded[k] = share
            self.numbers(f"table of {line.name}", "frac", padded)

        def depreciation(bonus_of: Callable[[_Line], str]) -> Callable[[int, str], str]:
            def formula(t: int, c: str) -> str:
                parts = []
                for line, shares in capex:
                    if shares and t:
                        extra, share = bonus_of(line), self.cell(f"table of {line.name}", t)
                        first = f"IF({self.cell('year', t)}=1,{extra},0)"
                        parts.append(f"{line.ref['basis']}*({first}+(1-{extra})*{share})")
                return "=" + ("+".join(parts) or "0")

            return formula

        self.add("federal depreciation", "USD", depreciation(lambda x: x.ref["bonus"]))
        self.add(
            "state depreciation", "USD", depreciation(lambda x: f"({x.ref['bonus']}*{w['state_bonus']})")
        )
        cost = "+".join(f"{x.ref['cost']}-{x.ref['rebate']}" for x, _ in capex) or "0"
        self.add(
            "capex less rebates",
            "USD",
            lambda t, c: f"=0-({cost})" if t == 0 else 0.0,
            self.flow.lines["capex less rebates"],
        )
        sold = "+".join(f"{x.ref['salvage']}*{x.ref['cost']}" for x, _ in capex) or "0"
        self.add("salvage of everybody", "USD", lambda t, c: f"={sold}" if t == self.n else 0.0)
        self.add(
            "salvage",
            "USD",
            lambda t, c: f"={self.cell('salvage of everybody', t)}*{self.keeps(t)}",
            self.flow.lines["salvage"],
        )
        credit = "+".join(x.ref["credit"] for x, _ in capex) or "0"
        self.add(
            "investment credit",
            "USD",
            lambda t, c: f"={credit}" if t == 1 else 0.0,
            self.flow.lines["investment credit"],
        )

    def _third(self, streams: list[_Line]) -> None:
        third, w = self.flow.finance.third_party, self.book.where

        def value(t: int, c: str) -> str:
            return "=" + ("+".join(self.cell(s.name, t) for s in streams) or "0")

        self.add("value of all streams", "USD", value)
        if third is None:
            self.add("receipts", "USD", lambda t, c: f"={self.cell('value of all streams', t)}")
            return

        def pay(t: int, c: str) -> str:
            y = self.cell("year", t)
            grown = f"(1+{w['third_growth']})^MAX(0,{y}-1)"
            if third.form == "ppa":
                due = f"{w['ppa_usd']}*{w['ppa_kwh']}*{grown}"
            elif third.form == "lease":
                due = f"{w['lease_usd']}*{grown}"
            else:
                shared = [self.cell(s.name, t) for s in streams if s.value and s.value.layer in third.layers]
                due = f"{w['third_share']}*MAX(0,{'+'.join(shared) or '0'})"
            return f"=IF({y}=0,0,IF({y}>{w['third_years']},0,{due}))"

        self.add("third-party receipts", "USD", pay, self.flow.lines["third-party receipts"])
        given = third.years is not None
        self.add(
            "buyout",
            "USD",
            lambda t, c: f"=IF({self.cell('year', t)}={w['third_years']},{w['buyout']},0)" if given else 0.0,
            self.flow.lines["buyout"],
        )
        self.add(
            "receipts",
            "USD",
            lambda t, c: f"={self.cell('third-party receipts', t)}+{self.cell('buyout', t)}",
        )

    def _loan(self, streams: list[_Line]) -> None:
        debt, w, flow = self.flow.finance.debt, self.book.where, self.flow
        if debt is None:
            for name in ("loan", "interest", "principal"):
                self.add(name, "USD", lambda t, c: 0.0, flow.lines[name])
            return
        rate, term = w["loan_rate"], w["loan_years"]
        per_usd = f"IF({rate}=0,1/{term},{rate}/(1-(1+{rate})^(0-{term})))"
        capex = "+".join(f"Capex!$B${k + 2}" for k in range(len(flow.finance.capex))) or "0"
        if debt.usd is not None:
            size = w["loan_usd"]
        elif debt.share_frac is not None:
            size = f"{w['loan_share_frac']}*({capex})"
        else:
            self._borne(streams)
            span = f"{self.cell('service that can be borne', 1)}:{self.cell('service that can be borne', debt.years)}"
            size = f"MIN(MIN({span})/({per_usd}),{capex})"
        self.add("loan taken", "USD", lambda t, c: f"={size}" if t == 0 else 0.0)
        loan = f"${letters(FIRST_COLUMN)}${self.at['loan taken'] + 1}"
        self.add(
            "loan", "USD", lambda t, c: f"={loan}*(1-{w['loan_fee']})" if t == 0 else 0.0, flow.lines["loan"]
        )
        # Balance, interest and principal stand in three rows that refer to the year before.
        at = {"owed": self.row, "interest": self.row + 1, "principal": self.row + 2}
        self.at |= at

        def owed(t: int, c: str) -> str:
            if t == 0:
                return f"={loan}"
            return f"={self.cell('owed', t - 1)}+{self.cell('principal', t)}"

        def serves(t: int) -> str:
            return f"{self.cell('year', t)}<={w['loan_years']}"

        def interest(t: int, c: str) -> Any:
            return f"=IF({serves(t)},0-{self.cell('owed', t - 1)}*{w['loan_rate']},0)" if t else 0.0

        def principal(t: int, c: str) -> Any:
            pay = f"{loan}*({per_usd})"
            return f"=IF({serves(t)},0-{pay}-{self.cell('interest', t)},0)" if t else 0.0

        self.add("owed", "USD", owed)
        self.add("interest", "USD", interest, flow.lines["interest"])
        self.add("principal", "USD", principal, flow.lines["principal"])

    def _borne(self, streams: list[_Line]) -> None:
        f, w = self.flow.finance, self.book.where
        third = f.third_party
        share = "1" if third is None or third.form != "shared_savings" else w["third_share"]
        mine = [s for s in streams if s.value and (third is None or s.value.layer in third.layers)]

        def part(t: int, contracted: bool) -> str:
            if third is not None and third.form != "shared_savings":
                return self.cell("third-party receipts", t) if contracted else "0"
            parts = [
                f"{share}*{self.cell(s.name, t)}*{s.ref['p90']}"
                for s in mine
                if s.value
                and s.value.certainty != "modelled"
                and (s.value.certainty == "contractual") == contracted
            ]
            return "+".join(parts) or "0"

        def formula(t: int, c: str) -> str:
            out = f"=MAX(0,{part(t, True)}+{self.cell('costs of the owner', t)})/{w['loan_coverage_frac']}"
            return out + (f"+MAX(0,{part(t, False)})/{w['loan_market']}" if "loan_market" in w else "")

        self.add("service that can be borne", "USD", formula)

    def _tax(self) -> None:
        flow = self.flow

        def income(t: int) -> str:
            return "+".join(self.cell(x, t) for x in ("receipts", "costs of the owner", "salvage"))

        self.add("income", "USD", lambda t, c: f"={income(t)}")
        self._tax_rows("", "interest", flow.lines["state tax"], flow.lines["federal tax"])
        self._tax_rows("project ", "", None, None)

    def _tax_rows(self, prefix: str, less: str, state_now: Kw | None, federal_now: Kw | None) -> None:
        w = self.book.where

        def base(t: int) -> str:
            return self.cell("income", t) + (f"+{self.cell(less, t)}" if less else "")

        def state(t: int, c: str) -> str:
            return f"=0-{w['state']}*({base(t)}-{self.cell('state depreciation', t)})"

        def federal(t: int, c: str) -> str:
            paid = self.cell(f"{prefix}state tax", t)
            return f"=0-{w['federal']}*({base(t)}-{self.cell('federal depreciation', t)}+{paid})"

        self.add(f"{prefix}state tax", "USD", state, state_now)
        self.add(f"{prefix}federal tax", "USD", federal, federal_now)

    def _flows(self) -> None:
        flow, w = self.flow, self.book.where
        own = (
            "capex less rebates",
            "loan",
            "income",
            "interest",
            "principal",
            "investment credit",
            "federal tax",
            "state tax",
        )
        bare = (
            "capex less rebates",
            "income",
            "investment credit",
            "project federal tax",
            "project state tax",
        )

        def total(names: Sequence[str]) -> Callable[[int, str], str]:
            return lambda t, c: "=" + "+".join(self.cell(x, t) for x in names)

        self.add("owner after tax", "USD", total(own), flow.owner_usd, "total")
        self.add("project after tax", "USD", total(bare), flow.project_usd, "total")
        if flow.finance.third_party is not None:
            self._host()
        factor = lambda t, c: f"=(1+{w['discount']})^(0-{self.cell('time', t)})"  # noqa: E731
        self.add("discount factor", "", factor, (1 + flow.finance.nominal) ** -flow.at_y, "number")
        real = lambda t, c: f"={self.cell('owner after tax', t)}/(1+{w['inflation']})^{self.cell('time', t)}"  # noqa: E731
        self.add("owner after tax, real", "USD", real, flow.real_usd)
        for name, line in (("sum", "{}"), ("discounted sum", "{}*{}")):

            def formula(t: int, c: str, name: str = name, line: str = line) -> str:
                here = line.format(self.cell("project after tax", t), self.cell("discount factor", t))
                return f"={here}" if t == 0 else f"={self.cell(name, t - 1)}+{here}"

            self.add(name, "USD", formula)

            def below(t: int, c: str, name: str = name) -> str:
                return f"=IF({self.cell(name, t)}<-0.000000001,{self.cell('year', t)},-1)"

            self.add(f"last year below zero, {name}", "", below, form="number")

    def _host(self) -> None:
        flow, w = self.flow, self.book.where

        def income(t: int, c: str) -> str:
            paid = f"{self.cell('value of all streams', t)}-{self.cell('receipts', t)}"
            own = f"({self.cell('costs of everybody', t)}+{self.cell('salvage of everybody', t)})*(1-{self.keeps(t)})"
            return f"={paid}+{own}"

        self.add("host income", "USD", income)
        tax = f"{w['host_state']}+{w['host_federal']}*(1-{w['host_state']})"
        self.add(
            "host tax",
            "USD",
            lambda t, c: f"=0-({tax})*{self.cell('host income', t)}",
            flow.lines["host tax"],
        )
        self.add(
            "host after tax",
            "USD",
            lambda t, c: f"={self.cell('host income', t)}+{self.cell('host tax', t)}",
            flow.host_usd,
            "total",
        )


# --- result ---------------------------------------------------------------------------------------------------


def _result(book: _Book, flow: CashFlow, years: _Years) -> None:
    w, n = book.where, years.n

    def back(name: str) -> str:
        last, line = f"MAX({years.range(f'last year below zero, {name}')})", years.range(name)
        step = f"INDEX({line},{last}+2)-INDEX({line},{last}+1)"
        return f'=IF({last}=-1,0,IF({last}={n},"never",{last}-INDEX({line},{last}+1)/({step})))'

    def rate(line: str) -> str:
        if flow.finance.timing == "end":
            return f'=IFERROR(IRR({years.range(line)}),"none")'
        return f'=IFERROR((1+IRR({_halves(book, years, line)}))^2-1,"none")'

    factor = years.range("discount factor")
    rows: list[tuple[str, str, Any, str]] = [
        ("NPV to the owner", f"=SUMPRODUCT({years.range('owner after tax')},{factor})", flow.npv_usd, "usd"),
        (
            "NPV without debt",
            f"=SUMPRODUCT({years.range('project after tax')},{factor})",
            flow.project_npv_usd,
            "usd",
        ),
        ("IRR of the owner", rate("owner after tax"), flow.irr_frac, "frac"),
        ("IRR without debt", rate("project after tax"), flow.project_irr_frac, "frac"),
        ("simple payback [y]", back("sum"), flow.payback_y, "number"),
        ("discounted payback [y]", back("discounted sum"), flow.discounted_payback_y, "number"),
        ("discount rate, real", f"=(1+{w['discount']})/(1+{w['inflation']})-1", flow.finance.real, "frac"),
    ]
    if flow.finance.third_party is not None:
        host = "+".join(
            f"Years!{years.cell('host after tax', t)}*(1+{w['host_discount']})^(0-Years!{years.cell('time', t)})"
            for t in range(n + 1)
        )
        rows.append(("NPV to the host", f"={host}", flow.host_npv_usd, "usd"))
    book.put("Result", 0, 0, "result", form="head")
    book.put("Result", 0, 1, "value", form="head")
    for row, (name, formula, now, form) in enumerate(rows, start=1):
        book.put("Result", row, 0, name)
        missing = "never" if "payback" in name else "none"
        book.put("Result", row, 1, formula, missing if now is None else now, form)
    note = "values a year come from plans with perfect foresight and are a bound until simulated"
    book.put("Result", len(rows) + 2, 0, note)


def _halves(book: _Book, years: _Years, line: str) -> str:
    """Mid-year flows laid on half-years, so that IRR reads them at their times; the range."""
    sheet = "Half years"
    row = len({r for r, _ in book.cells.get(sheet, {})})
    book.put(sheet, row, 0, line)
    for k in range(2 * years.n + 1):
        t, odd = (k + 1) // 2, k % 2 == 1
        content: Any = f"=Years!{years.cell(line, t)}" if odd or k == 0 else 0.0
        book.put(sheet, row, 1 + k, content)
    return f"'{sheet}'!$B${row + 1}:${letters(1 + 2 * years.n)}${row + 1}"
