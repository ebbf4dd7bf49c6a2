"""Shared fixtures: the folder of real data, and the notebook in which evidence is written down."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import settings

# What decides whether a change lands must be the same twice; everywhere else every run looks at new examples.
settings.register_profile("repeatable", derandomize=True, print_blob=True)
if os.environ.get("CI"):
    settings.load_profile("repeatable")

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--evidence", default=None, help="write figures as JSON lines to this file; a skip fails"
    )


def real_data() -> Path | None:
    """The folder of real data: $VALUESTACK_DATA, else ../shared/data beside the checkout."""
    named = os.environ.get("VALUESTACK_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def data_dir() -> Path:
    folder = real_data()
    if folder is None:
        pytest.skip("real data are not here: set VALUESTACK_DATA to their folder")
    return folder


class Notebook(Protocol):
    def __call__(self, topic: str, **figures: Any) -> None: ...


@pytest.fixture
def evidence(request: pytest.FixtureRequest) -> Notebook:
    """evidence("bill against PySAM", pairs=300, worst_usd=0.01): shown by `make evidence`."""
    path = request.config.getoption("--evidence")

    def note(topic: str, **figures: Any) -> None:
        print(topic, figures)
        if path:
            with Path(path).open("a", encoding="utf-8") as f:
                f.write(
                    json.dumps({"topic": topic, "test": request.node.nodeid, "figures": figures}, default=str)
                    + "\n"
                )

    return note


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if report.skipped and item.config.getoption("--evidence") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where evidence was asked for: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Any:
    """A module that skips itself as a whole counts as a skip, too."""
    report = yield
    if report.skipped and collector.config.getoption("--evidence"):
        report.outcome = "failed"
        report.longrepr = f"skipped where evidence was asked for: {report.longrepr}"
    return report
