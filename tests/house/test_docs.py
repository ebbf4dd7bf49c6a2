"""Docs tell the truth: commands, options, make targets, links and generated pages exist."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from valuestack.cli import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
GENERATED = ROOT / "docs" / "reference" / "generate.py"


def commands(page: Path) -> Iterator[str]:
    """Lines of fenced blocks and inline code that call valuestack."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"```(?:bash|sh|console|text)?\n(.*?)```", text, flags=re.S):
        for line in block.replace("\\\n", " ").splitlines():
            line = line.strip().removeprefix("$ ")
            if line.startswith("valuestack "):
                yield line.split(" #")[0].split(" > ")[0].split(" | ")[0].split(" && ")[0]
    yield from re.findall(r"`(valuestack [a-z][^`]*)`", text)


def problem(command: str) -> str | None:
    """Why the command line does not exist, or None. Does not run it."""
    words = [w for w in shlex.split(command) if w not in ("...", "…")][1:]
    node: Any = get_command(app)
    while words and hasattr(node, "commands"):
        word = words.pop(0)
        if word.startswith("-"):
            if not any(word.split("=")[0] in p.opts for p in node.params) and word not in ("--help", "-h"):
                return f"{command}: no option {word}"
            continue
        if word not in node.commands:
            # `audit | bill | study` in prose names several
            return None if word == "|" else f"{command}: no command {word!r}"
        node = node.commands[word]
    known = {o for p in node.params for o in (*p.opts, *p.secondary_opts)} | {"--help", "-h"}
    unknown = [w for w in words if w.startswith("--") and w.split("=")[0] not in known]
    return f"{command}: no option {', '.join(unknown)}" if unknown else None


def test_the_check_can_fail() -> None:
    assert problem("valuestack stdy site.toml")
    assert problem("valuestack study site.toml --sizs")
    assert problem("valuestack tariff shw x")
    assert problem("valuestack study site.toml --sizes --out here") is None


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_of_the_docs_exist(page: Path) -> None:
    bad = [why for c in commands(page) if (why := problem(c))]
    assert not bad, "\n".join(bad)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_make_targets_of_the_docs_exist(page: Path) -> None:
    rules = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M))
    used = set(re.findall(r"`make ([a-z]+)", page.read_text(encoding="utf-8")))
    assert used <= rules, f"no such target: {used - rules}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_of_the_docs_lead_somewhere(page: Path) -> None:
    bad = []
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target and not (page.parent / target).exists():
            bad.append(target)
    assert not bad, bad


def test_readme_shows_every_command() -> None:
    """Once the README names commands at all, it names all of them."""
    shown = {c.split()[1] for c in commands(ROOT / "README.md")}
    assert shown >= set(get_command(app).commands), "README lacks some commands"


def generated() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("generate_reference", GENERATED)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.pages())


def test_reference_is_what_the_code_says() -> None:
    for name, text in generated().items():
        page = GENERATED.parent / name
        assert page.is_file(), f"run python docs/reference/generate.py: {name} is missing"
        assert page.read_text(encoding="utf-8") == text, (
            f"run python docs/reference/generate.py: {name} differs"
        )


def test_json_page_names_every_command() -> None:
    text = (ROOT / "docs" / "reference" / "json.md").read_text(encoding="utf-8")
    for name in get_command(app).commands:
        assert f"`{name}`" in text or f"`{name} " in text, f"json.md does not describe {name}"
