"""Hands cases to processes, and keeps their records in one file that a later run goes on from."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from .cases import Case
from .models import train, untrained
from .worker import work

RECORDS = "records.jsonl"
# Cases that share one making of reference and floors.
_TOGETHER = 16


class Records:
    """The records of a run, in a file to which lines are added whole.

    Args:
        folder: where the file is, or will be. What a run that was cut off left half written is taken away.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / RECORDS
        self.done: set[str] = set()
        if self._path.exists():
            content = self._path.read_bytes()
            whole = content[: content.rfind(b"\n") + 1]
            if whole != content:
                os.truncate(self._path, len(whole))
            # What failed to run is tried again; of two records of a case the last one counts.
            for line in whole.splitlines():
                record = json.loads(line)
                (self.done.discard if "error" in record else self.done.add)(record["id"])

    def add(self, record: dict[str, Any]) -> None:
        """Write a record, in one piece."""
        line = f"{json.dumps(_finite(record), allow_nan=False)}\n".encode()
        with self._path.open("ab", buffering=0) as file:
            file.write(line)


def _finite(value: Any) -> Any:
    """Return a value of JSON, which has no numbers for NaN and infinities: they become strings."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    return value


class Process:
    """A process that runs cases.

    Args:
        scratch: a folder for its dumps.
    """

    def __init__(self, scratch: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(theirs, scratch), daemon=True)
        self._process.start()
        theirs.close()
        self.left: deque[str] = deque()

    def give(self, ids: Sequence[str]) -> None:
        """Let it run these cases of one group."""
        self.left = deque(ids)
        self.connection.send(list(ids))

    def end(self) -> int | None:
        """Let it end; return its exit status."""
        self.connection.close()
        self._process.join()
        return self._process.exitcode


def run(cases: Sequence[Case], folder: Path, jobs: int) -> Iterator[dict[str, Any]]:
    """Run the cases that have no record in the folder yet, and yield each record when it is written.

    Args:
        cases: those to run.
        folder: of the records.
        jobs: processes.
    """
    records = Records(folder)
    groups = deque(_groups([case for case in cases if case.id not in records.done]))
    scratch = folder / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    processes: dict[Connection, Process] = {}

    def start() -> None:
        process = Process(scratch)
        processes[process.connection] = process
        process.give(groups.popleft())

    try:
        while groups or processes:
            while groups and len(processes) < jobs:
                start()
            for connection in wait(list(processes)):
                assert isinstance(connection, Connection)
                process = processes[connection]
                try:
                    record = connection.recv()
                except (EOFError, ConnectionResetError):
                    del processes[connection]
                    # The process is gone, and with it the case that it was at.
                    record = {"id": process.left.popleft(), "error": f"its process ended with {process.end()}"}
                    if process.left:
                        groups.appendleft(list(process.left))
                if record is not None:
                    if process.left and process.left[0] == record["id"]:
                        process.left.popleft()
                    records.add(record)
                    yield record
                elif groups:
                    process.give(groups.popleft())
                else:
                    del processes[connection]
                    process.end()
    finally:
        for process in processes.values():
            process.end()
        shutil.rmtree(scratch, ignore_errors=True)


def prepare(cases: Sequence[Case], jobs: int) -> Iterator[str]:
    """Train the tiny models that the cases need and that are not there yet; yield the name of each when it is.

    Args:
        cases: those that will run.
        jobs: processes.
    """
    names = untrained(case.model for case in cases)
    if not names:
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from (name for name, _ in zip(names, pool.imap(train, names), strict=True))


def _groups(cases: Sequence[Case]) -> Iterator[list[str]]:
    """Yield the ids of cases of one group, a few at a time; the costly ones first, so that no process ends alone."""
    groups: dict[tuple[str, str, str], list[Case]] = {}
    for case in cases:
        groups.setdefault(case.group, []).append(case)
    for group in sorted(groups.values(), key=lambda group: not group[0].model.large):
        ids = [case.id for case in group]
        for start in range(0, len(ids), _TOGETHER):
            yield ids[start : start + _TOGETHER]


class Progress:
    """Tells on stderr how far a run is, at most once in some seconds.

    Args:
        total: cases to run.
    """

    _EVERY = 5.0

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = self._errors = 0
        self._started = time.monotonic()
        self._told = 0.0

    def step(self, record: dict[str, Any]) -> None:
        """Count a record."""
        self._done += 1
        self._errors += "error" in record
        now = time.monotonic()
        if now - self._told < self._EVERY and self._done < self._total:
            return
        self._told = now
        spent = now - self._started
        left = spent / self._done * (self._total - self._done)
        line = (
            f"{self._done} of {self._total} cases, {_clock(spent)}, {_clock(left)} to go, {self._errors} did not run"
        )
        sys.stderr.write(f"{line}  {record['id']}\n")


def _clock(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02d} h"
