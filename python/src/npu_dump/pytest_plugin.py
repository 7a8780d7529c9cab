"""A plugin of pytest: the fixture ``assert_matches`` holds a model to a reference dump.

::

    def test_port(assert_matches, model):
        assert_matches(model, "cpu.arrow", floor="floor.arrow")

torch is imported when a test asks for a comparison, not before. What could not be compared is counted as an error,
not as a failure.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from .analyzer import ComparisonError
from .errors import DumpError
from .matching import AssertMatches

__all__ = ["AssertMatches", "ComparisonError"]

# What CI systems set; the first two are those that pytest itself looks at.
_CI = ("CI", "BUILD_NUMBER", "TF_BUILD", "TEAMCITY_VERSION")
_OFF = ("", "0", "false")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options."""
    group = parser.getgroup("npu-diff", "comparing models with reference dumps")
    group.addoption(
        "--npu-diff-reports",
        metavar="DIR",
        help="keep each candidate's dump and its reports here, a folder for every comparison",
    )
    group.addoption(
        "--npu-diff-update",
        action="store_true",
        help="make references anew by the models under test, before they are compared; refused in a CI",
    )
    parser.addini("npu_diff", "program of npu-diff, or its dist/cli/main.js (default: $NPU_DIFF, else from PATH)")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to make references where nobody looks at them."""
    system = _ci(os.environ)
    if config.getoption("npu_diff_update") and system is not None:
        refused = DumpError(
            "update-in-ci",
            "references are not made in a CI: whatever the model computes would be right",
            facts=[("option", "--npu-diff-update"), ("CI", f"{system} is set")],
            help="make them where you can look at them, and commit them",
        )
        raise pytest.UsageError(str(refused))


def _ci(environment: Mapping[str, str]) -> str | None:
    return next((name for name in _CI if environment.get(name, "").lower() not in _OFF), None)


@pytest.fixture
def assert_matches(request: pytest.FixtureRequest, tmp_path: Path) -> AssertMatches:
    """Capture a model on a reference's inputs and fail unless it matches; see `AssertMatches`."""
    config = request.config
    kept: str | None = config.getoption("npu_diff_reports")
    base = tmp_path if kept is None else config.invocation_params.dir / kept / _slug(request.node.nodeid)
    calls = iter(range(1, 10**9))

    def reports() -> Path:
        folder = base / f"npu-diff-{next(calls)}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    return AssertMatches(
        folder=request.path.parent,
        reports=reports,
        update=bool(config.getoption("npu_diff_update")),
        analyzer={"the ini option npu_diff": _configured(config), "NPU_DIFF": os.environ.get("NPU_DIFF")},
        tell=lambda name, value: request.node.user_properties.append((name, str(value))),
    )


def _configured(config: pytest.Config) -> str | None:
    """Return what the configuration names; a path is relative to its file, a plain name is looked for on PATH."""
    given: str = config.getini("npu_diff")
    beside = config.rootpath / given
    return str(beside) if given and beside.is_file() else given or None


def _slug(nodeid: str) -> str:
    """Return a name for a folder, the same in every run and no other test's."""
    digest = hashlib.sha256(nodeid.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9]+', '-', nodeid).strip('-')[-80:]}-{digest}"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Iterator[None]:
    """Mark what could not be compared; that is no failure that a test may expect (xfail)."""
    report: Any = yield
    if call.excinfo is not None and call.excinfo.errisinstance(ComparisonError):
        report.outcome = "failed"
        report.npu_diff_error = True
        if hasattr(report, "wasxfail"):
            del report.wasxfail
    return report


def pytest_report_teststatus(report: pytest.TestReport | pytest.CollectReport) -> tuple[str, str, str] | None:
    """Count it as an error."""
    return ("error", "E", "ERROR") if getattr(report, "npu_diff_error", False) else None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say which references were made anew."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    made = {
        value
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == "npu_diff.updated"
    }
    if made:
        terminalreporter.section("npu-diff: references made anew, look at them before you commit them")
        for path in sorted(made):
            terminalreporter.write_line(path)
