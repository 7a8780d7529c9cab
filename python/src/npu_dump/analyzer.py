"""Finds `npu-diff`, the analyzer, and has it compare a candidate with its reference in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import DumpError

VERDICTS = {0: "pass", 1: "fail", 3: "inconclusive"}
_COULD_NOT = 2
# Where it is built in the repository that this package lies in.
_BUILT = Path(__file__).parents[3] / "dist" / "cli" / "main.js"


class ComparisonError(Exception):
    """Nothing can be said about a candidate: it could not be captured, or not be compared. Three parts say why."""


@dataclass(frozen=True)
class Comparison:
    """What `npu-diff` answered.

    Attributes:
        verdict: ``pass``, ``fail`` or ``inconclusive``.
        text: the report for people.
        result: the report for machines, as ``npu-diff schema`` describes it.
        folder: where ``report.html``, ``report.md`` and ``result.json`` are.
    """

    verdict: str
    text: str
    result: dict[str, Any]
    folder: Path


def find_analyzer(named: Mapping[str, str | None]) -> list[str]:
    """Return the words of a command line that `npu-diff` begins with.

    Args:
        named: where somebody may have said where it is, the first that did counts; then come ``PATH`` and the
            repository of this package. A path to JavaScript is run by Node.

    Raises:
        DumpError: what was named is not there, nothing is found, or Node is absent.
    """
    for place, path in named.items():
        if path:
            found = shutil.which(path) or (path if Path(path).is_file() else None)
            if found is None:
                raise _absent([(place, path), ("found", "no such program")])
            return _command(found)
    found = shutil.which("npu-diff") or (str(_BUILT) if _BUILT.is_file() else None)
    if found is None:
        raise _absent([("named", "not by " + ", ".join(named)), ("PATH", "no npu-diff")])
    return _command(found)


def _command(path: str) -> list[str]:
    if not path.endswith((".js", ".mjs")):
        return [path]
    node = shutil.which("node")
    if node is None:
        raise DumpError(
            "node-absent",
            "npu-diff runs on Node, which is not there",
            facts=[("npu-diff", path), ("PATH", "no node")],
            help="install Node 20.19 or newer",
        )
    return [node, path]


def _absent(facts: Sequence[tuple[str, object]]) -> DumpError:
    return DumpError(
        "analyzer-absent",
        "npu-diff, which compares the dumps, is not found",
        facts=facts,
        help="install it: npm ci && npm run build && npm link in the repository of npu-diff; or say where it is: "
        "npu_diff in pytest's configuration, or the variable NPU_DIFF, naming its dist/cli/main.js",
    )


def compare(
    analyzer: Sequence[str], reference: Path, candidate: Path, folder: Path, options: Sequence[str]
) -> Comparison:
    """Compare two dumps; what was written to ``folder`` before is replaced.

    Args:
        analyzer: from `find_analyzer`.
        reference: a dump, or a reference set.
        candidate: a dump.
        folder: for the reports; it exists.
        options: further words of the command line.

    Raises:
        ComparisonError: no verdict was reached.
    """
    reports = {name: folder / name for name in ("result.json", "report.md", "report.html")}
    for path in reports.values():
        path.unlink(missing_ok=True)
    outputs = [f"--output={path}" for path in reports.values()]
    command = [*analyzer, "compare", str(reference), str(candidate), *options, *outputs, "--color=never"]
    try:
        # An argument list, no shell: names of files are only names.
        ended = subprocess.run(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=_environment(),
            check=False,
        )
    except OSError as error:
        raise ComparisonError(str(_no_verdict(command[0], error.strerror or str(error)))) from error
    if ended.returncode == _COULD_NOT and ended.stderr.strip():
        raise ComparisonError(ended.stderr.strip())
    result = _result(reports["result.json"])
    verdict = VERDICTS.get(ended.returncode)
    # An exit code alone may come from anything that is called npu-diff.
    if verdict is None or result.get("verdict") != verdict:
        said = (ended.stderr.strip().split("\n") or [""])[-1]
        raise ComparisonError(str(_no_verdict(f"exit code {ended.returncode}", said or "nothing on standard error")))
    return Comparison(verdict, ended.stdout.rstrip(), result, folder)


def _environment() -> dict[str, str]:
    """Return the environment without what changes a verdict or a report behind the test's back.

    In a CI the analyzer annotates what fails; here that is the test's to say, which may expect a failure.
    """
    foreign = ("NPU_DIFF_", "GITHUB_")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def _result(path: Path) -> dict[str, Any]:
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return result if isinstance(result, dict) else {}


def _no_verdict(program: str, said: str) -> DumpError:
    return DumpError(
        "analyzer-failed",
        "npu-diff ended without a verdict",
        facts=[("npu-diff", program), ("said", said)],
        help="run npu-diff compare on the same files by hand, and check that the program is npu-diff",
    )
