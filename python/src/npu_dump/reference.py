"""`npu-dump reference`: everything that a candidate is judged by, in one folder."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from . import models
from .attention import by_two_attentions
from .contract import DTYPES
from .errors import DumpError
from .forecast import Forecast
from .inputs import Request, check_samples
from .modes import Modes
from .progress import Progress
from .reader import DumpFile, load
from .reference_set import Basis, Part, floors_told, logits_of
from .run import capture_samples, run_metadata
from .space import estimated_bytes, require_space
from .tokens import samples_of_dump

# Of the candidate's number format: of its floors, and of its reference, which must be finer.
_PRECISIONS = {
    "BF16": ("BF16", "F32"),
    "F16": ("F16", "F32"),
    "F32": ("F32", "F64"),
    # No CPU computes in 8 bits; the analyzer scales the floors.
    "F8_E4M3": ("BF16", "F32"),
    "F8_E5M2": ("BF16", "F32"),
}


@dataclass(frozen=True)
class ReferenceSet:
    """What a folder holds for a candidate.

    Attributes:
        folder: the set.
        reference: the reference.
        floors: one, or two by different attentions.
        forced: the candidate's forced reference; None where its residual stream cannot be replayed.
        forced_floors: those of the floors; none where the candidate has none.
        kept: paths of the files that were there already.
        samples: how many.
        tokens: of the prompts and all decode steps.
    """

    folder: Path
    reference: DumpFile
    floors: Sequence[DumpFile]
    forced: DumpFile | None
    forced_floors: Sequence[DumpFile]
    kept: frozenset[Path]
    samples: int
    tokens: int

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        parts = [self.reference, *self.floors, *([self.forced] if self.forced else []), *self.forced_floors]
        return {
            "path": str(self.folder),
            "reference": self._told(self.reference),
            "floors": [self._told(floor) for floor in self.floors],
            "forced": self._told(self.forced) if self.forced else None,
            "forced_floors": [self._told(forced) for forced in self.forced_floors],
            "samples": self.samples,
            "tokens": self.tokens,
            "bytes": sum(part.path.stat().st_size for part in parts),
        }

    def _told(self, part: DumpFile) -> dict[str, Any]:
        return {"path": str(part.path), "id": part.run["id"], "kept": part.path in self.kept}


def make_reference_set(request: Request, candidate: Path, progress: Progress) -> ReferenceSet:
    """Make what is missing of a candidate's reference set in the folder ``request.output``.

    Every file is whole or not there, so that an interrupted run goes on where it was.

    Args:
        request: ``model``, ``output``, and how the model is loaded and fed; ``force``: make all anew.
        candidate: the dump that will be judged.
        progress: told what is made, how much of it, and how long it will take.

    Raises:
        DumpError: anything that the caller can act on.
    """
    if request.threads:
        torch.set_num_threads(request.threads)
    maker = _Maker(request, candidate, progress)
    maker.announce()
    return maker.make()


class _Maker:
    """One set while it is made."""

    def __init__(self, request: Request, candidate: Path, progress: Progress) -> None:
        self._candidate = load(candidate)
        self._precision, self._finer = _precisions(self._candidate)
        self._source = models.locate(
            request.model, trust_remote_code=request.trust_remote_code, allow_download=request.allow_download
        )
        self._config = models.load_config(self._source).get_text_config()
        self._samples = samples_of_dump(candidate, steps=None)
        logits, top_k = logits_of(self._candidate)
        # What belongs to the set may be replaced: `there` refuses what does not.
        self._request = replace(request, tokens_from=candidate, mode=(logits,), top_k=top_k or 1, force=True)
        check_samples(self._samples, self._config, self._request)
        self._progress = progress
        # Its ids are given; the tokenizer is of no use.
        self._metadata = run_metadata(self._request, self._source, None, self._samples, progress)
        model = self._metadata["model"]
        hashes = {name: model[name] for name in ("weights_sha256", "config_sha256") if name in model}
        self._basis = Basis(self._samples, hashes, self._precision, logits, top_k)
        # Without the hash of the weights nothing says that a file is of this model.
        self._anew = request.force or "weights_sha256" not in hashes
        self._folder = _folder(request.output)
        self._kept: set[Path] = set()
        # Passes still to make, and the precisions whose time was told.
        self._left = 0
        self._timed: set[str] = set()

    def announce(self) -> None:
        """Say how many files are missing and how large they will be.

        Raises:
            DumpError: the disk has no room for them, or what is there belongs to another set.
        """
        floors = [self._there(part) for part in self._floor_parts()]
        forced = [Part("forced", self._finer, of=self._candidate)]
        forced += [Part("forced", self._finer, number, of=floor) for number, floor in enumerate(floors, 1) if floor]
        parts = [*self._floor_parts(), Part("reference", self._finer), *forced]
        missing = [part for part in parts if self._there(part) is None]
        # No forced reference is there of a floor that is not.
        missing += [Part("forced", self._finer) for floor in floors if floor is None]
        self._left = len(missing)
        space = require_space(self._folder, sum(map(self._bytes, missing)))
        tokens = sum(sample.length for sample in self._samples)
        all_ = 2 * len(floors) + 2
        fed = f"{len(self._samples)} samples, {tokens} tokens"
        self._progress.note(f"{self._left} of {all_} dumps to make; {fed}, {space}")

    def make(self) -> ReferenceSet:
        floors = self._floors()
        reference, forced, forced_floors = self._references(floors)
        return ReferenceSet(
            folder=self._folder,
            reference=reference,
            floors=floors,
            forced=forced,
            forced_floors=forced_floors,
            kept=frozenset(self._kept),
            samples=len(self._samples),
            tokens=sum(sample.length for sample in self._samples),
        )

    def _floor_parts(self) -> list[Part]:
        first = Part("floor", self._precision, 1)
        return [replace(first, number=number) for number in range(1, floors_told(self._there(first)) + 1)]

    def _floors(self) -> list[DumpFile]:
        there = [self._there(part) for part in self._floor_parts()]
        found = [floor for floor in there if floor]
        if len(found) == len(there):
            self._kept |= {floor.path for floor in found}
            return found
        longest = max((sample.ids for sample in self._samples), key=len)
        engines = by_two_attentions(lambda name: self._load(self._precision, name), longest)
        if len(engines) == 1:
            # The second one, and its forced reference.
            self._left -= 2
            self._progress.note("the model computes alike by every attention: there is one floor")
        return [
            self._made(Part("floor", self._precision, number, len(engines)), engine)
            for number, engine in enumerate(engines, 1)
        ]

    def _references(self, floors: Sequence[DumpFile]) -> tuple[DumpFile, DumpFile | None, list[DumpFile]]:
        """Return the reference, the forced reference of the candidate, and those of the floors."""
        engine = functools.cache(lambda: self._load(self._finer, None))
        reference = self._made(Part("reference", self._finer), engine)
        try:
            forced = self._made(Part("forced", self._finer, of=self._candidate), engine)
        except DumpError as error:
            if not error.code.startswith("replay-"):
                raise
            self._progress.note(
                f"warning: no forced reference, the candidate is judged as a plain pair: {error.what}"
            )
            for label, text in error.facts:
                self._progress.note(f"  {label}  {text}")
            return reference, None, []
        forced_floors = [
            self._made(Part("forced", self._finer, number, of=floor), engine)
            for number, floor in enumerate(floors, 1)
        ]
        return reference, forced, forced_floors

    def _there(self, part: Part) -> DumpFile | None:
        return None if self._anew else self._basis.there(self._folder, part)

    def _made(self, part: Part, engine: Callable[[], Any]) -> DumpFile:
        """Return a file of the set, captured from the engine's model where it is not there."""
        there = self._there(part)
        if there:
            self._kept.add(there.path)
            return there
        model = engine()
        self._progress.note(f"{part.name}: {part.dtype}, {part.what}")
        request = replace(self._request, output=self._folder / part.name, replay=part.of and part.of.path)
        progress = self._progress
        if part.dtype not in self._timed:
            self._timed.add(part.dtype)
            progress = Forecast(progress, [sample.length for sample in self._samples], self._left, part.dtype)
        self._left -= 1
        capture_samples(request, model, self._samples, self._metadata | {"capture": {"set": part.told}}, progress)
        return load(request.output)

    def _load(self, precision: str, attention: str | None) -> Any:
        return models.load_model(
            self._source,
            device=torch.device("cpu"),
            dtype=getattr(torch, DTYPES[precision].torch),
            attention=attention,
            note=self._progress.note,
        )

    def _bytes(self, part: Part) -> int:
        return estimated_bytes(
            self._config,
            sum(sample.length for sample in self._samples),
            sum(1 + len(sample.steps) for sample in self._samples),
            select=(),
            modes=Modes(self._request.mode),
            itemsize=DTYPES[part.dtype].itemsize,
            top_k=self._request.top_k,
        )


def _precisions(candidate: DumpFile) -> tuple[str, str]:
    """Return the precision of the candidate's floors, and that of its reference and forced references."""
    capture = candidate.run.get("capture")
    if isinstance(capture, dict) and capture.get("replay_of") is not None:
        raise DumpError(
            "reference-replay",
            "the candidate is a replay: what judges it are replays of the same dump",
            facts=[("file", candidate.path.name), ("capture.replay_of", str(capture["replay_of"])[:200])],
            help="give a run of its own, or make its floors with npu-dump replay",
        )
    found = _PRECISIONS.get(str(candidate.run["dtype"]))
    if found is None:
        raise DumpError(
            "reference-precision",
            "there is no finer number format to make a reference in",
            facts=[
                ("candidate", f"{candidate.path.name}   {candidate.run['dtype']!s}"[:200]),
                ("known", ", ".join(_PRECISIONS)),
            ],
            help="capture the candidate in one of these formats",
        )
    return found


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DumpError(
            "output-folder",
            "the folder of the reference set cannot be made",
            facts=[("folder", path), ("system", error.strerror or error)],
            help="give the path of a folder, or of one that can be made",
        ) from error
    return path
