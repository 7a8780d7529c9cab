"""The files of a reference set: what each is, and whether one that is there already is the one that is wanted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ._version import __version__
from .errors import DumpError
from .reader import DumpFile, load
from .tokens import Sample, Tokens, samples_of_dump

Role = Literal["reference", "floor", "forced"]

# What a mode stores of the logits, least first; a set that stores more will do.
_LEAST_FIRST = ("hidden", "topk", "full")


@dataclass(frozen=True)
class Part:
    """One file of a set.

    Attributes:
        role: ``reference``; ``floor``, the reference engine in the candidate's precision; ``forced``, the reference
            engine on the residual stream of the candidate or of a floor.
        dtype: its precision, as the format names it.
        number: which floor it is, or the floor of which it is the forced reference; 0 otherwise.
        floors: of a floor, how many its set has; None: not known yet.
        of: the dump that a forced reference replays.
    """

    role: Role
    dtype: str
    number: int = 0
    floors: int | None = None
    of: DumpFile | None = None

    @property
    def name(self) -> str:
        """The file's name; the analyzer goes by the metadata."""
        which = str(self.number)
        if self.of is not None and not self.number:
            which = _short(str(self.of.run["id"]))
        return "reference.arrow" if self.role == "reference" else f"{self.role}.{which}.arrow"

    @property
    def what(self) -> str:
        """What it is, in words."""
        if self.role == "forced" and self.of is not None:
            return f"the forced reference of {self.of.path.name}"
        return "the reference" if self.role == "reference" else f"floor {self.number}"

    @property
    def told(self) -> dict[str, Any]:
        """What the metadata says of it."""
        told: dict[str, Any] = {"role": self.role, "number": self.number}
        return told if self.floors is None else told | {"floors": self.floors}


@dataclass(frozen=True)
class Basis:
    """What all files of a set share.

    Attributes:
        samples: what was fed.
        hashes: of the model's files, as `provenance.file_hashes` gives them.
        precision: of the candidates that the set is for, and of its floors.
        logits: ``full``, ``topk`` or ``hidden``: the mode that stores the logits as the candidate does.
        top_k: tokens a row of mode ``topk``.
    """

    samples: Sequence[Sample]
    hashes: Mapping[str, str]
    precision: str
    logits: str
    top_k: int

    def there(self, folder: Path, part: Part) -> DumpFile | None:
        """Return the part that the folder holds; None where there is none, or one that must be made anew.

        Raises:
            DumpError: what is there belongs to another set, or is no dump.
        """
        path = folder / part.name
        if not path.exists():
            return None
        dump = load(path)
        self._refuse_other(dump, part)
        run = dump.run
        wanted = {
            "tool": {"name": "npu-dump", "version": __version__},
            "dtype": part.dtype,
            "set": part.told,
            "of": part.of.run["id"] if part.of else None,
        }
        told = _object(run, "capture", "set")
        if part.floors is None:
            told = {name: value for name, value in told.items() if name != "floors"}
        found = {
            "tool": run["tool"],
            "dtype": run["dtype"],
            "set": told,
            "of": _object(run, "capture", "replay_of").get("id"),
        }
        return dump if found == wanted and self._stores_enough(run) else None

    def _refuse_other(self, dump: DumpFile, part: Part) -> None:
        theirs = samples_of_dump(dump.path, steps=None)
        model = {name: _object(dump.run, "model").get(name) for name in self.hashes}
        if [_fed(sample) for sample in theirs] != [_fed(sample) for sample in self.samples]:
            raise _other("token ids", dump.path, _counts(theirs), _counts(self.samples))
        if model != dict(self.hashes):
            raise _other("weights or configuration", dump.path, _first(model), _first(self.hashes))
        if part.role == "floor" and dump.run["dtype"] != self.precision:
            raise _other("precision", dump.path, str(dump.run["dtype"]), self.precision)

    def _stores_enough(self, run: Mapping[str, Any]) -> bool:
        capture = _object(run, "capture")
        mode = capture.get("mode")
        if mode not in _LEAST_FIRST or _LEAST_FIRST.index(mode) < _LEAST_FIRST.index(self.logits):
            return False
        return mode != "topk" or self.logits != "topk" or capture.get("top_k") == self.top_k


def floors_told(floor: DumpFile | None) -> int:
    """Return how many floors the first one says that the set has; 2 where it does not, or is not there."""
    return 1 if floor and _object(floor.run, "capture", "set").get("floors") == 1 else 2


def logits_of(candidate: DumpFile) -> tuple[str, int]:
    """Return the mode that stores logits as a candidate does, and its ``top_k`` (0 for other modes)."""
    first = next(iter(candidate.samples()), 0)
    if ("topk_ids", first, 0) in candidate:
        shape = candidate["topk_ids", first, 0].shape
        return "topk", int(shape[1]) if len(shape) == 2 else 0
    return ("full" if ("logits", first, 0) in candidate else "hidden"), 0


def _fed(sample: Sample) -> tuple[Tokens, tuple[Tokens, ...]]:
    return sample.prefill, sample.steps


def _counts(samples: Sequence[Sample]) -> str:
    ids = [token for sample in samples for call in (sample.prefill, *sample.steps) for token in call.ids]
    digest = hashlib.sha256(" ".join(map(str, ids)).encode()).hexdigest()
    return f"{len(samples)} samples, {len(ids)} tokens, sha256 {digest[:12]}"


def _first(hashes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.removesuffix('_sha256')} {str(value)[:12]}" for name, value in sorted(hashes.items()))


def _other(what: str, path: Path, theirs: str, mine: str) -> DumpError:
    return DumpError(
        "reference-other",
        f"the folder holds a reference set of other {what}",
        facts=[("there", f"{path.name}   {theirs}"), ("wanted", mine)],
        help="give another folder, or make the whole set anew with --force",
    )


def _short(id_: str) -> str:
    """Return 12 characters for a file's name: the id is a stranger's text."""
    return id_[:12] if re.fullmatch(r"[0-9a-f]{12,}", id_) else hashlib.sha256(id_.encode()).hexdigest()[:12]


def _object(run: Mapping[str, Any], *path: str) -> dict[str, Any]:
    """Return an object of the metadata; an empty one where it is none."""
    value: Any = run
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, dict) else {}
