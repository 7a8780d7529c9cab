"""Looks at what a disturbed capture has left: with pyarrow, which has no code of ours, and with npu-diff repair."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from npu_dump import DumpError, load

ROOT = Path(__file__).resolve().parents[2]
REPAIR = [shutil.which("node") or "node", str(ROOT / "dist" / "cli" / "main.js"), "repair"]
MAGIC_BYTES = 8
END = "run.end"


class BrokenPromiseError(Exception):
    """What a disturbed capture has left is not what it should be."""


def require(condition: object, what: str) -> None:
    """Raise unless the condition holds."""
    if not condition:
        raise BrokenPromiseError(what)


@dataclass(frozen=True)
class Left:
    """What was left of a capture: ``nothing``, ``no whole batch``, ``partial`` or ``complete``; batches recovered."""

    state: str
    batches: int = 0


class Undisturbed:
    """The rows of the dump that nothing disturbed, in their order; all others must hold the same, or a beginning."""

    def __init__(self, path: Path) -> None:
        self.size = path.stat().st_size
        self._rows = [row for batch in file_batches(path) for row in rows_of(batch)]
        require(self._rows[-1]["name"] == END, "the undisturbed dump has no end")

    def check(self, path: Path) -> Left:
        """Check ``path`` and its ``.partial``, whichever there are, and return what was found."""
        if path.exists():
            self.check_complete(path)
            return Left("complete")
        partial = path.with_name(path.name + ".partial")
        return self._check_partial(partial) if partial.exists() else Left("nothing")

    def check_complete(self, path: Path) -> None:
        """A file that has the name of a dump is one, for our reader too, and holds all that it should."""
        require(looks_complete(path), f"{path.name} has the name of a dump, but no end")
        rows = [row for batch in file_batches(path) for row in rows_of(batch)]
        require(rows[:-1] == self._rows[:-1], f"{path.name} is named as complete and is not")
        require(rows[-1]["name"] == END and json.loads(rows[-1]["data"])["complete"] is True, "no end")
        require(len(load(path)) == len({_key(row) for row in self._rows[:-1]}), "our reader sees another dump")

    def _check_partial(self, partial: Path) -> Left:
        repaired = partial.with_name("repaired.arrow")
        if looks_complete(partial):
            # Ended between footer and rename.
            self.check_complete(partial)
            require(repair(partial, repaired) == 2, "repair made something of a whole file")
            return Left("complete")
        try:
            load(partial)
        except DumpError:
            pass
        else:
            require(condition=False, what=f"{partial.name} opens as complete and is not")
        batches = whole_batches(partial)
        rows = [row for batch in batches for row in rows_of(batch)]
        if rows and rows[-1]["name"] == END:
            require(rows[:-1] == self._rows[:-1], "run.end behind rows that are not all")
            batches, rows = batches[:-1], rows[:-1]
        require(rows == self._rows[: len(rows)], "whole batches hold other bytes than the undisturbed dump")
        code = repair(partial, repaired)
        if not batches:
            require(code == 2 and not repaired.exists(), "repair made a dump of nothing")
            return Left("no whole batch")
        require(code == 0, f"repair ended with {code}")
        found = file_batches(repaired)
        require(len(found) == len(batches) + 1, f"{len(batches)} whole batches, but {len(found) - 1} recovered")
        same = all(mine.equals(theirs) for mine, theirs in zip(batches, found, strict=False))
        require(same, "repair changed a batch")
        end = json.loads(rows_of(found[-1])[-1]["data"])
        require(end["repaired"]["batches"] == len(batches), "run.end counts other batches")
        repaired.unlink()
        return Left("partial", len(batches))


def file_batches(path: Path) -> list[pa.RecordBatch]:
    """The record batches that the footer of a whole file lists."""
    file = pa.ipc.open_file(pa.py_buffer(path.read_bytes()))
    return [file.get_batch(number) for number in range(file.num_record_batches)]


def looks_complete(path: Path) -> bool:
    """Whether a file has a footer and its last row is the end."""
    try:
        batches = file_batches(path)
    except (pa.ArrowException, OSError):
        return False
    return bool(batches) and rows_of(batches[-1])[-1]["name"] == END


def whole_batches(path: Path) -> list[pa.RecordBatch]:
    """The record batches in front of the first message that is cut, found by walking the messages from the start."""
    data = path.read_bytes()[MAGIC_BYTES:]
    try:
        messages = pa.ipc.MessageReader.open_stream(pa.py_buffer(data))
        schema = pa.ipc.read_schema(messages.read_next_message())
    except (StopIteration, pa.ArrowException, OSError):
        return []
    batches: list[pa.RecordBatch] = []
    while True:
        try:
            message = messages.read_next_message()
        except (StopIteration, pa.ArrowException, OSError):
            return batches
        batch = pa.ipc.read_record_batch(message, schema)
        batch.validate(full=True)
        batches.append(batch)


def rows_of(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """The rows of a batch; floats as they are written, so that NaN equals NaN."""
    rows = batch.to_pylist()
    for row in rows:
        row["stats"] = repr(row["stats"])
    return rows


def repair(partial: Path, output: Path) -> int:
    """Run npu-diff repair and return its exit code."""
    return subprocess.run([*REPAIR, partial, output], capture_output=True, timeout=120, check=False).returncode


def _key(row: dict[str, Any]) -> tuple[str, int, int]:
    return row["name"], row["sample"], row["step"]
