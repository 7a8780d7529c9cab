"""The program as tests run it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from npu_dump.cli import main

COMMAND = [sys.executable, "-m", "npu_dump"]


def program(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


def run(*arguments: object) -> int:
    """The program in this process, which has imported torch already."""
    return main(["run", *map(str, arguments)])


def told_error(capfd: pytest.CaptureFixture[str]) -> str:
    """What the program has said that could not do its work: an error of three parts, and nothing else."""
    out, err = capfd.readouterr()
    assert out == ""
    assert "Traceback" not in err
    lines = err.strip().split("\n")
    start = next(number for number, line in enumerate(lines) if line.startswith("error["))
    assert len(lines[start:]) >= 3
    assert lines[-1].startswith("  help: ")
    assert all(line.isprintable() for line in lines)
    return "\n".join(lines[start:])
