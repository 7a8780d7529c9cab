"""A checkpoint's safetensors: which file holds which tensor, and what is wrong with the files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from ..errors import DumpError
from .findings import Findings

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
# The index of the largest public checkpoints has about 10 MB.
_MAX_JSON = 256 << 20


class Checkpoint:
    """The safetensors of a folder, read tensor by tensor from mapped memory; a context manager.

    Which files count is decided as transformers decides it: ``model.safetensors``, else the index, else, for the
    loaders of others, every ``*.safetensors``.

    Attributes:
        folder: the folder.
        findings: shards that are absent or damaged, tensors that their shard lacks.
        lost: tensors that the index lists but that cannot be read, and why.
        bytes: size of all files that could be opened.
        files: how many these are.

    Raises:
        DumpError: the folder holds no safetensors, or an index that is none.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.findings = Findings()
        self.lost: dict[str, str] = {}
        self.bytes = self.files = 0
        self._stack = ExitStack()
        self._handles: dict[str, Any] = {}
        listed = self._listed()
        for file in sorted(set(listed.values()) if listed is not None else self._loose()):
            self._open(file, None if listed is None else {name for name, shard in listed.items() if shard == file})

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handles.clear()
        self._stack.close()

    @property
    def names(self) -> list[str]:
        """Names of all tensors that can be read, numbers in their natural order: layer 10 comes after layer 9."""
        return sorted(self._handles, key=natural)

    @property
    def complete(self) -> bool:
        """Whether every file is there and whole."""
        return not self.findings.sorted()

    def read(self, name: str) -> torch.Tensor:
        """Return a tensor on the CPU; its memory is the mapped file's, and must not be written.

        Raises:
            DumpError: this torch does not know the tensor's dtype, or the file is damaged.
        """
        try:
            return self._handles[name].get_tensor(name)
        except (SafetensorError, OSError, RuntimeError, AttributeError, TypeError, ValueError) as error:
            raise DumpError(
                "tensor-unreadable",
                "a tensor of the checkpoint cannot be read",
                facts=[("tensor", name), (type(error).__name__, first_line(error))],
                help="check the file, and that this torch knows the tensor's dtype",
            ) from error

    def _listed(self) -> dict[str, str] | None:
        """Return the file of each tensor as the index has it; None where there is no index to follow."""
        index = self.folder / INDEX
        if (self.folder / SINGLE).exists() or not index.is_file():
            return None
        listed = read_json(index).get("weight_map")
        if not isinstance(listed, dict) or not all(isinstance(shard, str) for shard in listed.values()):
            raise _unreadable(index, "weight_map is no table of file names")
        for shard in set(listed.values()):
            # A shard stands beside its index: a path would lead out of the folder.
            if Path(shard).name != shard or "\\" in shard or "\0" in shard:
                raise _unreadable(index, f"a shard's name is a path: {shard!r}")
        return listed

    def _loose(self) -> list[str]:
        if (self.folder / SINGLE).exists():
            return [SINGLE]
        files = sorted(path.name for path in self.folder.glob("*.safetensors"))
        if not files:
            pickled = sorted(path.name for path in self.folder.iterdir() if path.suffix in (".bin", ".pt", ".pth"))
            raise DumpError(
                "checkpoint-unsupported",
                "the folder holds no safetensors to compare with",
                facts=[("folder", self.folder.name), ("found", ", ".join(pickled[:4]) or "no weights at all")],
                help="save the model as safetensors; pickled weights are not read, since reading them can run code"
                if pickled
                else "give the folder that holds model.safetensors",
            )
        return files

    def _open(self, file: str, listed: set[str] | None) -> None:
        path = self.folder / file
        try:
            handle = self._stack.enter_context(safe_open(path, framework="pt"))
            held = set(handle.keys())
        except FileNotFoundError:
            self._lose(file, listed, "weights/shard-absent", "is absent", ("file", "none of that name"))
            return
        except (SafetensorError, OSError, ValueError) as error:
            size = path.stat().st_size if path.is_file() else 0
            reason = f"{size} bytes; {first_line(error)}"
            self._lose(file, listed, "weights/shard-damaged", "is damaged or cut short", ("file", reason))
            return
        self.files += 1
        self.bytes += path.stat().st_size
        for name in sorted((listed or set()) - held):
            self.lost[name] = f"the index lists it in {file}, which lacks it"
        for name in held if listed is None else held & listed:
            if name in self._handles:
                self.findings.not_compared(
                    [name],
                    "is in two files, and nothing says which one counts",
                    ("files", "both of one folder"),
                    ("index", "none"),
                )
            self._handles[name] = handle

    def _lose(self, file: str, listed: set[str] | None, rule: str, what: str, fact: tuple[str, str]) -> None:
        count = "none" if listed is None else f"lists {len(listed)} tensors in it"
        self.findings.add(rule, "error", [file], what, ("index", count), fact)
        for name in listed or ():
            self.lost[name] = f"the index lists it in {file}, which {what}"


def stored_dtypes(files: Iterable[Path]) -> list[str]:
    """Return the element types that weights are stored in, by safetensors' names; other files have none.

    Raises:
        DumpError: a safetensors file is damaged.
    """
    found: set[str] = set()
    for file in files:
        if file.suffix != ".safetensors":
            continue
        try:
            with safe_open(file, framework="np") as weights:
                found |= {str(weights.get_slice(name).get_dtype()) for name in list(weights.keys())}
        except (SafetensorError, OSError, ValueError) as error:
            raise _unreadable(file, first_line(error)) from error
    return sorted(found)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file.

    Raises:
        DumpError: the file cannot be read, is no JSON object, or is larger than 256 MiB.
    """
    try:
        if path.stat().st_size > _MAX_JSON:
            raise _unreadable(path, "it is larger than 256 MiB")
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, first_line(error)) from error
    if not isinstance(value, dict):
        raise _unreadable(path, "it is no JSON object")
    return value


def _unreadable(path: Path, reason: str) -> DumpError:
    return DumpError(
        "checkpoint-unreadable",
        f"{path.name} cannot be read",
        facts=[("folder", path.parent.name), ("reason", reason)],
        help="fetch or save the checkpoint anew",
    )


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return a sort key that puts numbers between dots in their natural order."""
    return [(0, int(part), "") if re.fullmatch(r"[0-9]{1,9}", part) else (1, 0, part) for part in name.split(".")]


def first_line(error: BaseException) -> str:
    """Return the first line of what an exception says."""
    return (str(error).splitlines() or ["no reason given"])[0]
