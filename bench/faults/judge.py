"""The analyzer, kept running: one process of Node for each process of the benchmark."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

SCRIPT = Path(__file__).with_name("judge.mjs")


class Judge:
    """Compares dumps, with and without forced references; see judge.mjs."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["node", SCRIPT],  # noqa: S607 - the Node that the repository's scripts run with
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Judge:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def compare(
        self, reference: Path, candidate: Path, floors: Sequence[Path], forced: Sequence[Path]
    ) -> dict[str, Any]:
        """Return what judge.mjs replies.

        Raises:
            RuntimeError: the dumps could not be compared, or the process has ended.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        request = {
            "reference": str(reference),
            "candidate": str(candidate),
            "floors": [str(path) for path in floors],
            "forced": [str(path) for path in forced],
        }
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the analyzer ended with {self._process.wait()}; is it built (npm run build)?")
        reply = json.loads(line)
        if "error" in reply:
            raise RuntimeError(reply["error"])
        return reply
