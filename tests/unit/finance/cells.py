"""A small spreadsheet: reads the formulas of a workbook and works them out, independently of who wrote them.

Grammar: comparison of sums of products of powers; numbers, texts, references (Sheet!$A$1, 'Sheet name'!$A$1:$B$1),
and the functions SUM SUMPRODUCT MIN MAX IF IFERROR INDEX IRR. Unary minus binds tighter than ^, as in spreadsheets.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

TOKEN = re.compile(
    r"\s*(?:(?P<num>\d+\.?\d*(?:[eE][+-]?\d+)?)|(?P<text>\"[^\"]*\")"
    r"|(?P<ref>(?:'[^']+'!|[A-Za-z]+!)?\$?[A-Z]{1,3}\$?\d+(?::\$?[A-Z]{1,3}\$?\d+)?)"
    r"|(?P<name>[A-Z]+)(?=\()|(?P<op><=|>=|<>|[-+*/^(),<>=]))"
)


class Sheets:
    """Cells by sheet; `value` works one out, `set` overwrites an input."""

    def __init__(self, path: Path) -> None:
        import openpyxl

        book = openpyxl.load_workbook(path)
        self.cells: dict[str, dict[str, Any]] = {
            ws.title: {c.coordinate: c.value for row in ws.iter_rows() for c in row if c.value is not None}
            for ws in book.worksheets
        }
        self.known: dict[tuple[str, str], Any] = {}

    def find(self, sheet: str, label: str) -> int:
        """Row of a label in column A."""
        return next(
            int(k[1:]) for k, v in self.cells[sheet].items() if k[0] == "A" and k[1:].isdigit() and v == label
        )

    def set(self, sheet: str, label: str, value: float, column: str = "B") -> None:
        """Overwrite the input beside a label."""
        cell = f"{column}{self.find(sheet, label)}"
        assert isinstance(self.cells[sheet][cell], (int, float)), "only inputs are overwritten"
        self.cells[sheet][cell] = value
        self.known.clear()

    def row(self, sheet: str, label: str, first: str = "C") -> list[float]:
        """Values of a row from column `first` on."""
        number, out, col = self.find(sheet, label), [], _number(first)
        while f"{_letters(col)}{number}" in self.cells[sheet]:
            out.append(self.value(sheet, f"{_letters(col)}{number}"))
            col += 1
        return out

    def value(self, sheet: str, cell: str) -> Any:
        """What a cell comes to."""
        key = (sheet, cell)
        if key not in self.known:
            content = self.cells[sheet].get(cell, 0.0)
            if isinstance(content, str) and content.startswith("="):
                content = _Formula(self, sheet, content[1:]).read()
            self.known[key] = content
        return self.known[key]


class _Formula:
    def __init__(self, sheets: Sheets, sheet: str, text: str) -> None:
        self.sheets, self.sheet, self.at = sheets, sheet, 0
        self.tokens: list[tuple[str, str]] = []
        place = 0
        while place < len(text):
            found = TOKEN.match(text, place)
            assert found, f"cannot read {text[place:]!r}"
            kind = found.lastgroup
            assert kind is not None
            self.tokens.append((kind, found[kind]))
            place = found.end()

    def read(self) -> Any:
        out = self.comparison()
        assert self.at == len(self.tokens), self.tokens[self.at :]
        return out

    def peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def take(self) -> tuple[str, str]:
        self.at += 1
        return self.tokens[self.at - 1]

    def comparison(self) -> Any:
        left = self.sum()
        if self.peek() in ("<", ">", "<=", ">=", "=", "<>"):
            op, right = self.take()[1], self.sum()
            return {
                "<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right,
                "=": left == right, "<>": left != right,
            }[op]  # fmt: skip
        return left

    def sum(self) -> Any:
        out = self.product()
        while self.peek() in ("+", "-"):
            out = out + self.product() if self.take()[1] == "+" else out - self.product()
        return out

    def product(self) -> Any:
        out = self.power()
        while self.peek() in ("*", "/"):
            out = out * self.power() if self.take()[1] == "*" else out / self.power()
        return out

    def power(self) -> Any:
        out = self.atom()
        while self.peek() == "^":
            self.take()
            out = out ** self.atom()
        return out

    def atom(self) -> Any:
        kind, text = self.take()
        if text == "-":
            return -self.atom()
        if text == "(":
            out = self.comparison()
            assert self.take()[1] == ")"
            return out
        if kind == "num":
            return float(text)
        if kind == "text":
            return text[1:-1]
        if kind == "ref":
            return self.reference(text)
        assert kind == "name", text
        return self.function(text)

    def reference(self, text: str) -> Any:
        sheet, _, cells = text.rpartition("!")
        sheet = sheet.strip("'") or self.sheet
        ends = [e.replace("$", "") for e in cells.split(":")]
        if len(ends) == 1:
            return self.sheets.value(sheet, ends[0])
        (c1, r1), (c2, r2) = (re.fullmatch(r"([A-Z]+)(\d+)", e).groups() for e in ends)  # type: ignore[union-attr]
        return np.array(
            [
                self.sheets.value(sheet, f"{_letters(c)}{r}")
                for r in range(int(r1), int(r2) + 1)
                for c in range(_number(c1), _number(c2) + 1)
            ],
            dtype=float,
        )

    def function(self, name: str) -> Any:
        assert self.take()[1] == "("
        if name == "IF":  # only the branch that holds is worked out
            condition = self.comparison()
            self.take()
            return self.branch(bool(condition))
        if name == "IFERROR":
            start = self.at
            try:
                out = self.comparison()
                self.skip()
                return out
            except (ArithmeticError, ValueError):
                self.at = start
                self.skip_argument()
                self.take()
                out = self.comparison()
                self.take()
                return out
        args = [self.comparison()]
        while self.take()[1] == ",":
            args.append(self.comparison())
        return FUNCTIONS[name](*args)

    def branch(self, first: bool) -> Any:
        if first:
            out = self.comparison()
            self.skip()
            return out
        self.skip_argument()
        self.take()
        out = self.comparison()
        self.take()
        return out

    def skip_argument(self) -> None:
        """Past one argument, to its comma or closing bracket."""
        depth = 0
        while not (depth == 0 and self.peek() in (",", ")")):
            text = self.take()[1]
            depth += (text == "(") - (text == ")")

    def skip(self) -> None:
        """Past what is left of a call."""
        while self.peek() == ",":
            self.take()
            self.skip_argument()
        self.take()


def _irr(flows: Any) -> float:
    """By numpy's polynomial roots: the real one nearest to zero."""
    roots = np.roots(np.asarray(flows)[::-1])
    rates = [1 / r.real - 1 for r in roots if abs(r.imag) < 1e-7 and r.real > 0]
    if not rates:
        raise ValueError("no rate")
    return float(min(rates, key=abs))


FUNCTIONS = {
    "SUM": lambda *a: float(sum(np.sum(x) for x in a)),
    "SUMPRODUCT": lambda a, b: float(np.dot(a, b)),
    "MIN": lambda *a: float(min(np.min(x) for x in a)),
    "MAX": lambda *a: float(max(np.max(x) for x in a)),
    "INDEX": lambda a, k: float(a[int(k) - 1]),
    "IRR": _irr,
}


def _number(col: str) -> int:
    out = 0
    for ch in col:
        out = out * 26 + ord(ch) - 64
    return out


def _letters(number: int) -> str:
    out = ""
    while number:
        number, rest = divmod(number - 1, 26)
        out = chr(65 + rest) + out
    return out
