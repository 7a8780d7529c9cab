"""Measures whole processes: wall time, processor's time, and memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .failure import Failure

HELPER = Path(__file__).with_name("helper.py")
# Far beyond what any tool takes; a run that hangs ends all the same.
LIMIT_SECONDS = 3600
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PEAK_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Run:
    """What one run of a command took.

    Attributes:
        seconds: wall time from start to end.
        processor: seconds of the processor, of it and of the processes that it waited for.
        peak: most bytes resident at once, of the largest process among these. Pages of mapped files count.
        tree: most bytes resident at once, over it and all its descendants, pages that they share once for each;
            None where the run was not watched, or the system does not tell.
        status: exit code; negative: the signal that ended it.
    """

    seconds: float
    processor: float
    peak: int
    tree: int | None
    status: int


def measure(command: Sequence[str | Path], output: Path, errors: Path, *, watch: bool = False) -> Run:
    """Run a command and wait for it.

    Args:
        command: a program's absolute path and its arguments.
        output: file for its standard output; the null device swallows it.
        errors: file for its standard error.
        watch: look at the memory of the whole tree while it runs, which takes some time of the processor.

    Raises:
        Failure: it cannot be started, or does not end.
    """
    helper = [sys.executable, "-I", "-S", HELPER, output, errors, *command]
    process = subprocess.Popen(
        [str(part) for part in helper],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        tree = _watch(process) if watch else None
        said, complaint = process.communicate(timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        raise Failure(
            f"{Path(command[0]).name} does not end",
            facts=[("waited", f"{LIMIT_SECONDS} seconds"), ("command", " ".join(map(str, command)))],
            help="see whether the machine has enough memory",
        ) from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode != 0:
        raise Failure(
            f"{Path(command[0]).name} could not be run",
            facts=[("command", " ".join(map(str, command))), ("said", complaint.strip()[-500:])],
            help="see whether it is installed",
        )
    seconds, status, peak, processor = said.split()
    return Run(float(seconds), float(processor), int(peak) * _PEAK_UNIT, tree, int(status))


def _watch(process: subprocess.Popen[str]) -> int | None:
    """Look at the processes below the helper until it ends; return the most that they held at once."""
    if not Path(f"/proc/{process.pid}/task/{process.pid}/children").exists():
        return None
    most = 0
    started = time.monotonic()
    while process.poll() is None and time.monotonic() - started < LIMIT_SECONDS:
        most = max(most, sum(map(_resident, _descendants(process.pid))))
        time.sleep(0.01)
    return most


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in _listed(Path(f"/proc/{pid}/task")):
        children = [int(child) for child in _text(task / "children").split()]
        found += [process for child in children for process in (child, *_descendants(child))]
    return found


def _resident(pid: int) -> int:
    # Empty for one that has ended meanwhile.
    fields = _text(Path(f"/proc/{pid}/statm")).split()
    return int(fields[1]) * _PAGE if fields else 0


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
