"""The program as tests run it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

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
