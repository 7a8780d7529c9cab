"""Runs one case: makes its data, checks every tool's answer, then times the tools in turn, round by round."""

from __future__ import annotations

import hashlib
import os
import shutil
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import dumps, forms
from .agreement import Answer, check
from .cases import Case
from .failure import Failure
from .process import Run, measure
from .tools import COMPARED, OURS, TOOLS, Place, Tool, described, npu_diff

# What `--jobs` must not change.
JOBS = (1, 2, 7)


@dataclass(frozen=True)
class Bench:
    """What all cases share.

    Attributes:
        folder: for the data.
        python: interpreter of the environment of the other tools, where there is one.
        left_out: reasons by the names of tools that cannot run here.
        rounds: timed runs of each tool.
        has_jobs: npu-diff has the option `--jobs`.
        keep: the data stays.
        tell: takes lines of progress.
    """

    folder: Path
    python: Path | None
    left_out: dict[str, str]
    rounds: int
    has_jobs: bool
    keep: bool
    tell: Callable[[str], object]


@dataclass
class _Timed:
    """One tool in one case."""

    tool: Tool
    watched: Run
    runs: list[Run] = field(default_factory=list)


def run(case: Case, bench: Bench) -> dict[str, Any]:
    """Run a case and return its record.

    Raises:
        Failure: its data could not be made, or npu-diff itself could not compare it. Where another tool fails, the
            record says so, and has no figures of it.
    """
    folder = bench.folder / case.id.replace("/", "-")
    folder.mkdir()
    try:
        return _Rounds(case, bench, folder).run()
    finally:
        if not bench.keep:
            shutil.rmtree(folder)


class _Rounds:
    def __init__(self, case: Case, bench: Bench, folder: Path) -> None:
        self._case, self._bench, self._folder = case, bench, folder
        self._tools = [TOOLS[name] for name in case.tools if name not in bench.left_out]
        self._failed: dict[str, str] = {}
        self._formats = case.source.formats if case.source else ("", "")

    def run(self) -> dict[str, Any]:
        if self._case.source is not None:
            self._tell("making the data")
            dumps.write(self._case.source, self._folder)
            forms.make({tool.form for tool in self._tools if tool.form}, self._folder, self._bench.python)
            # What is written back later would be in the way of what is timed.
            os.sync()
        timed = self._check()
        same = self._same_bytes() if self._case.source is not None else None
        self._time(timed)
        return self._record([entry for entry in timed if entry.tool.name not in self._failed], same)

    def _check(self) -> list[_Timed]:
        """Run each tool once, watched; hold its answer to npu-diff's."""
        timed: list[_Timed] = []
        ours: Answer | None = None
        for tool in self._tools:
            self._tell(f"checking {tool.name}")
            with self._failing(tool):
                place = self._place()
                watched = self._measure(tool, place, place.output, watch=True)
                if tool.answer is not None:
                    answer = _read(tool, place)
                    if tool.name == OURS:
                        ours = answer
                    else:
                        assert ours is not None
                        check(answer, ours, tool.promise(self._formats))
                timed.append(_Timed(tool, watched))
        return timed

    def _same_bytes(self) -> dict[str, Any]:
        """Whether npu-diff prints the same bytes every time, whatever `--jobs`."""
        variants: list[tuple[str, ...]] = [(), ()]
        if self._bench.has_jobs:
            variants += [("--jobs", str(jobs)) for jobs in JOBS]
        place = self._place()
        digests: list[str] = []
        for options in variants:
            self._tell(f"same bytes {' '.join(options) or 'again'}")
            ran = measure(npu_diff(place, *options), place.output, self._errors)
            if ran.status not in COMPARED:
                raise self._ended(f"{OURS} {' '.join(options)}", ran.status)
            digests.append(hashlib.sha256(place.output.read_bytes()).hexdigest())
        return {
            "runs": [" ".join(options) or "default" for options in variants],
            "same": len(set(digests)) == 1,
            "bytes": place.output.stat().st_size,
        }

    def _time(self, timed: list[_Timed]) -> None:
        for number in range(self._bench.rounds):
            # Each round begins with another tool, so that none has always the same one before it.
            shift = number % len(timed)
            for entry in timed[shift:] + timed[:shift]:
                if entry.tool.name in self._failed:
                    continue
                with self._failing(entry.tool):
                    ran = self._measure(entry.tool, self._place(), Path(os.devnull))
                    entry.runs.append(ran)
                    seconds = f"{ran.seconds:.3f} s"
                    self._tell(f"round {number + 1} of {self._bench.rounds}: {entry.tool.name} {seconds}")

    def _measure(self, tool: Tool, place: Place, output: Path, *, watch: bool = False) -> Run:
        if tool.form is not None:
            warm(forms.files(tool.form, self._folder))
        ran = measure(tool.command(place), output, self._errors, watch=watch)
        if ran.status not in tool.statuses:
            raise self._ended(tool.name, ran.status)
        return ran

    def _place(self) -> Place:
        scratch = self._folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        return Place(self._folder, self._folder / "output", scratch, self._bench.python)

    @property
    def _errors(self) -> Path:
        return self._folder / "errors"

    def _ended(self, name: str, status: int) -> Failure:
        said = self._errors.read_text(errors="replace").strip()
        return Failure(
            f"{name} ended with {status}",
            facts=[("case", self._case.id), ("said", said[-1000:] or "nothing")],
            help="a negative number is a signal; -9 is mostly too little memory",
        )

    @contextmanager
    def _failing(self, tool: Tool) -> Iterator[None]:
        """Note why a tool failed, and let the others go on; npu-diff's failure ends the case."""
        try:
            yield
        except Failure as error:
            if tool.name == self._case.tools[0]:
                raise
            self._failed[tool.name] = str(error)
            self._tell(f"{tool.name} failed: {error}")

    def _tell(self, line: str) -> None:
        self._bench.tell(f"{self._case.id}: {line}")

    def _record(self, timed: list[_Timed], same: dict[str, Any] | None) -> dict[str, Any]:
        size = sum(path.stat().st_size for path in forms.files("arrow", self._folder)) if self._case.source else 0
        baseline = [ran.seconds for ran in timed[0].runs]
        return {
            "id": self._case.id,
            "bytes": size,
            "growth": self._case.growth,
            "tools": [
                {
                    "name": entry.tool.name,
                    "seconds": (seconds := [ran.seconds for ran in entry.runs]),
                    "medianSeconds": statistics.median(seconds),
                    "processorSeconds": [ran.processor for ran in entry.runs],
                    "peakBytes": max(ran.peak for ran in entry.runs),
                    "treeBytes": entry.watched.tree,
                    "times": ratios(seconds, baseline),
                    "checked": described(entry.tool, self._formats),
                }
                for entry in timed
            ],
            "failed": self._failed,
            "leftOut": {name: why for name, why in self._bench.left_out.items() if name in self._case.tools},
            "sameBytes": same,
        }


def _read(tool: Tool, place: Place) -> Answer:
    assert tool.answer is not None
    try:
        return tool.answer(place)
    except (ArithmeticError, LookupError, OSError, TypeError, ValueError) as error:
        raise Failure(
            "its answer cannot be read",
            facts=[(type(error).__name__, error), ("printed", place.output.read_text(errors="replace")[-300:])],
            help="see whether it is the locked version",
        ) from error


def ratios(seconds: Sequence[float], baseline: Sequence[float]) -> dict[str, float]:
    """Median, least and most of the times over the baseline's times, each of the same round."""
    each = [one / other for one, other in zip(seconds, baseline, strict=True)]
    return {"median": statistics.median(each), "least": min(each), "most": max(each)}


def warm(paths: Iterable[Path]) -> None:
    """Read files once, so that their pages are in memory."""
    buffer = bytearray(8 << 20)
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
