"""Runs the tests of ``test_npu*.py`` in a process of their own, whose torch has a stand-in NPU.

Naming PyTorch's spare device type cannot be taken back, and transformers looks for an NPU once: no other test must
run there. The first of these tests starts the process, with pytest inside, for all that were selected; each then
shows the report that came back.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from torch.utils import backend_registration

_ROOT = Path(__file__).parent
_REPORTS = "STANDIN_REPORTS"
_CHILD = pytest.StashKey[Path]()
_FOUND = pytest.StashKey["_Found"]()
_OMITTED = pytest.StashKey[list[str]]()
_LIMIT_S = 900
# Came with torch 2.10; below that a device type needs a compiled extension.
_MECHANISM = "_setup_privateuseone_for_python_backend"


@dataclass(frozen=True)
class _Found:
    """What the other process has left.

    Attributes:
        reports: of each test by its node id.
        output: its exit code and the end of what it printed.
    """

    reports: dict[str, list[pytest.TestReport]]
    output: str


def environment() -> dict[str, str]:
    """Return this process's environment with the stand-in on PYTHONPATH."""
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def pytest_configure(config: pytest.Config) -> None:
    # The variable is for this process alone, not for those that its tests start.
    reports = os.environ.pop(_REPORTS, None)
    if reports:
        config.stash[_CHILD] = Path(reports)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests out where torch cannot have a stand-in, and remember to say so."""
    if hasattr(backend_registration, _MECHANISM):
        return
    omitted = [item for item in items if _needs_npu(item)]
    items[:] = [item for item in items if not _needs_npu(item)]
    config.hook.pytest_deselected(items=omitted)
    config.stash[_OMITTED] = [item.nodeid for item in omitted]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    omitted = config.stash.get(_OMITTED, [])
    if omitted:
        terminalreporter.section("stand-in NPU")
        terminalreporter.line(
            f"OMITTED {len(omitted)} tests: torch {torch.__version__} has no torch.utils.backend_registration."
            f"{_MECHANISM}, so no device type can be made in Python"
        )
        for name in omitted:
            terminalreporter.line(f"OMITTED {name}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """Show the reports of a test that has run in the other process."""
    if not _needs_npu(item) or _CHILD in item.config.stash:
        return None
    if _FOUND not in item.config.stash:
        item.config.stash[_FOUND] = _run(item.session)
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    found = item.config.stash[_FOUND]
    reports = found.reports.get(item.nodeid, [])
    if not any(report.when == "teardown" for report in reports):
        reports = [*reports, _lost(item, found.output)]
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _run(session: pytest.Session) -> _Found:
    """Run the selected tests in the process with the stand-in."""
    items = [item for item in session.items if _needs_npu(item)]
    config = session.config
    names = [f"{item.path}::{item.nodeid.partition('::')[2]}" for item in items]
    quiet = ["-q", "--color=no", "-p", "no:cacheprovider", f"--rootdir={config.rootpath}"]
    reports: dict[str, list[pytest.TestReport]] = {}
    with TemporaryDirectory(prefix="npu-dump-standin-") as folder:
        file = Path(folder, "reports.jsonl")
        file.touch()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *quiet, *names],
            env={**environment(), _REPORTS: str(file)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=_LIMIT_S,
            check=False,
        )
        for line in file.read_text(encoding="utf-8").splitlines():
            report = config.hook.pytest_report_from_serializable(config=config, data=json.loads(line))
            reports.setdefault(report.nodeid, []).append(report)
    return _Found(reports, f"exit code {done.returncode}\n{done.stdout[-4000:]}")


def _lost(item: pytest.Item, output: str) -> pytest.TestReport:
    text = f"the process with the stand-in NPU did not get to the end of this test: {output}"
    return pytest.TestReport(item.nodeid, item.location, {}, "failed", text, "call")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """In the other process, write each report down."""
    report = yield
    file = item.config.stash.get(_CHILD, None)
    if file is not None:
        data = item.config.hook.pytest_report_to_serializable(config=item.config, report=report)
        with file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(data) + "\n")
    return report


def _needs_npu(item: pytest.Item) -> bool:
    return item.path.name.startswith("test_npu")
