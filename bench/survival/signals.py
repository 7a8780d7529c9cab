"""Ends captures by signals at random moments of their life, from before the file is made to after it got its name."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from child import SECONDS_TO_END, Child
from verify import Left, Undisturbed, require
from workload import Workload

# Where a capture is hit: at any moment; at any size of its file, which tells the same on a machine that is busy with
# other things; from the end of its block on; just before the rename, and just after it.
PLACES = (
    "life",
    "closing",
    "growing",
    "rename",
    "growing",
    "renamed",
    "life",
    "replacing",
    "growing",
    "closing",
    "growing",
    "growing",
)


def kill(
    workload: Workload, undisturbed: Undisturbed, folder: Path, runs: int, seed: int
) -> tuple[Counter[str], int]:
    """SIGKILL ``runs`` captures; return how often what was left, and how many record batches were recovered."""
    chance = random.Random(seed)  # noqa: S311 - moments, not secrets
    life, close = _durations(workload, folder)
    left: Counter[str] = Counter()
    recovered = 0
    for number in range(runs):
        place = PLACES[number % len(PLACES)]
        path = folder / f"kill{number}" / "a.arrow"
        path.parent.mkdir()
        old = _old_dump(workload, path) if place == "replacing" else None
        child = Child(lambda tell, path=path, place=place: _capture(workload, path, place, tell))
        child.wait_for_word()
        if place == "growing":
            _wait_for_bytes(path, chance.uniform(0, undisturbed.size))
        elif place in ("life", "replacing"):
            time.sleep(chance.uniform(0, life))
        elif place == "closing":
            child.wait_for_word()
            time.sleep(chance.uniform(0, 1.3 * close))
        if place not in ("rename", "renamed"):
            os.kill(child.pid, signal.SIGKILL)
        code = child.end()
        require(code in (0, -signal.SIGKILL), f"a capture ended with {code}")
        found = _check(undisturbed, path, old)
        require(place != "renamed" or found.state == "complete", "a rename was lost")
        left[found.state] += 1
        recovered += found.batches
    return left, recovered


def _wait_for_bytes(path: Path, size: float) -> None:
    """Return when the ``.partial`` has that many bytes, or the dump its name."""
    partial = path.with_name(path.name + ".partial")
    deadline = time.monotonic() + SECONDS_TO_END
    while time.monotonic() < deadline and not path.exists():
        # It may get its name between two looks.
        with suppress(FileNotFoundError):
            if partial.stat().st_size >= size:
                return
        time.sleep(0.0005)


def interrupt(workload: Workload, undisturbed: Undisturbed, folder: Path, runs: int, seed: int) -> Counter[str]:
    """Ctrl-C ``runs`` captures, which must end by themselves and leave no hook, thread or open file."""
    chance = random.Random(seed)  # noqa: S311 - moments, not secrets
    life, close = _durations(workload, folder)
    left: Counter[str] = Counter()
    for number in range(runs):
        path = folder / f"interrupt{number}" / "a.arrow"
        path.parent.mkdir()
        child = Child(lambda tell, path=path: _interrupted(workload, path, tell))
        child.wait_for_word()
        if number % 2:
            child.wait_for_word()
        time.sleep(chance.uniform(0, 1.3 * close if number % 2 else life))
        os.kill(child.pid, signal.SIGINT)
        code = child.end()
        require(code == 0, f"an interrupted capture ended with {code}")
        left[_check(undisturbed, path, None).state] += 1
    return left


def _check(undisturbed: Undisturbed, path: Path, old: bytes | None) -> Left:
    """Check what was left, and that a dump that was to be replaced is there until the new one has its name."""
    if old is not None:
        require(path.exists(), "the dump that was to be replaced is gone")
        if path.read_bytes() == old:
            path.unlink()
    return undisturbed.check(path)


def _old_dump(workload: Workload, path: Path) -> bytes:
    workload.capture(path)
    return path.read_bytes()


def _capture(workload: Workload, path: Path, place: str, tell: Callable[[], object]) -> list[str]:
    tell()
    if place in ("rename", "renamed"):
        _die_at("c_call" if place == "rename" else "c_return")
    workload.capture(path, overwrite=place == "replacing", closing=tell)
    return []


def _die_at(moment: str) -> None:
    """End this process right before it renames a file, or right after."""

    def watch(_: object, event: str, function: object) -> None:
        if event == moment and function in (os.replace, os.rename):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(watch)


def _interrupted(workload: Workload, path: Path, tell: Callable[[], object]) -> list[str]:
    try:
        try:
            tell()
            workload.capture(path, closing=tell)
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        pass
    return workload.faults()


def _durations(workload: Workload, folder: Path) -> tuple[float, float]:
    """Seconds of a capture in a process of its own, and of the part of it that follows the block."""
    lives: list[float] = []
    closes: list[float] = []
    for number in range(3):
        path = folder / f"timed{number}.arrow"
        child = Child(lambda tell, path=path: _capture(workload, path, "life", tell))
        child.wait_for_word()
        start = time.perf_counter()
        child.wait_for_word()
        closing = time.perf_counter()
        child.end()
        lives.append(time.perf_counter() - start)
        closes.append(time.perf_counter() - closing)
        path.unlink()
    return min(lives), min(closes)
