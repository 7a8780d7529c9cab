"""The proof of what a capture survives, with a few runs of each kind; `bench/survival` does hundreds."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[2] / "bench" / "survival"


def test_signals_and_full_disks_leave_nothing_incomplete_that_looks_complete() -> None:
    runs = {"--kills": 12, "--interrupts": 8, "--full-disks": 4}
    arguments = [str(part) for pair in runs.items() for part in pair]
    done = subprocess.run(
        [sys.executable, BENCH, *arguments], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = dict(re.findall(r"(?m)^(\S+(?: \S+)?) +(.+)$", done.stdout))
    assert told["SIGKILL"].startswith("12 runs: ")
    assert told["Ctrl-C"].startswith("8 runs: ")
    # Where no disk can be made, a limit on the size of files stands in for it; that works everywhere.
    assert told["file limit"].startswith("4 runs: ")
    assert int(re.findall(r"(\d+) whole record batches", told["file limit"])[0]) > 0
    assert told["full disk"].startswith(("4 runs: ", "not run: "))
