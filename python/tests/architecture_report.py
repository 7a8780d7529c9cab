"""A plugin of pytest: how many tests passed, in all and of each architecture, as JSON.

``pytest -p tests.architecture_report --architecture-report FILE``
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--architecture-report", type=Path, help="file for the outcome of each architecture")


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--architecture-report")
    if path is not None:
        config.pluginmanager.register(_Report(path))


class _Report:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._all: Counter[str] = Counter()
        self._by_architecture: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._left_out: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # Setting up and tearing down count where they do not pass.
        if report.when != "call" and report.passed:
            return
        self._all[report.outcome] += 1
        self._left_out[_file(report.nodeid)] += report.skipped
        for name, value in report.user_properties:
            if name == "architecture":
                self._by_architecture[str(value)][report.outcome] += 1

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._all[report.outcome] += report.failed

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self._left_out.update(_file(item.nodeid) for item in items)

    def pytest_sessionfinish(self) -> None:
        # Not before: the tests set what transformers reads when it is imported.
        import torch
        import transformers

        from .architectures import ARCHITECTURES, CATALOGUE

        outcome = {
            "torch": torch.__version__.partition("+")[0],
            "transformers": transformers.__version__,
            "passed": self._all["passed"],
            "failed": self._all["failed"],
            # Skipped or deselected, by file.
            "leftOut": {file: count for file, count in sorted(self._left_out.items()) if count},
            # Null where this version does not have it.
            "architectures": {name: self._count(name) if name in ARCHITECTURES else None for name in CATALOGUE},
        }
        self._path.write_text(json.dumps(outcome), encoding="utf-8")

    def _count(self, name: str) -> dict[str, int]:
        return {key: self._by_architecture[name][key] for key in ("passed", "failed")}


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]
