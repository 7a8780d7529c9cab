"""Reads an ONNX model without its weights. The file is not trusted: paths, sizes and what would grow are checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx
from google.protobuf.message import DecodeError
from onnx import inliner

from ..errors import DumpError
from ..hashing import combined_sha256
from .graph import stored_tensors, subgraphs, tensors_of_nodes

_GIB = 1 << 30
# More than any file of the format can have: it is one message of protobuf.
_MOST_BYTES = 2 * _GIB
_MOST_NODES = 1_000_000
_DEEPEST_CALLS = 64


@dataclass(frozen=True)
class Model:
    """A model as its file describes it.

    Attributes:
        proto: the model; the weights of other files are not in it. Its own functions are put where they are called.
        folder: where those files are.
        files: the model's file, and those of its weights.
        functions: how many functions of its own it had.
    """

    proto: onnx.ModelProto
    folder: Path
    files: tuple[Path, ...]
    functions: int

    def sha256(self, progress: Callable[[int, int], None] | None = None) -> dict[str, str]:
        """Return ``sha256`` of the model's file, and ``data_sha256`` of those of its weights, where there are any."""
        found = {"sha256": combined_sha256(self.files[:1], progress)}
        return found | ({"data_sha256": combined_sha256(self.files[1:], progress)} if self.files[1:] else {})


def load_model(path: Path) -> Model:
    """Read a model.

    Raises:
        DumpError: ``model-absent``, ``model-unreadable``, ``model-invalid``, or ``model-data``: weights that are not
            there, or not in the model's folder.
    """
    proto = onnx.ModelProto()
    try:
        if not path.is_file():
            raise _absent(path)
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise _invalid(path, f"{size} bytes, and the format ends at {_MOST_BYTES}")
        proto.ParseFromString(path.read_bytes())
    except OSError as error:
        raise DumpError(
            "model-unreadable",
            "the model cannot be read",
            facts=[("file", path), ("system", error.strerror or error)],
            help="check the path and the file's rights",
        ) from error
    except DecodeError as error:
        raise _invalid(path, "its bytes are no ONNX model, or are cut short") from error
    if not proto.graph.node or not proto.opset_import:
        raise _invalid(path, "it has no nodes" if proto.opset_import else "it names no operator set")
    folder = path.parent.resolve()
    data = _external(proto, folder)
    functions = len(proto.functions)
    if functions:
        _check_calls(proto, path)
        try:
            proto = inliner.inline_local_functions(proto)
        except Exception as error:
            raise _invalid(path, f"its functions cannot be put in place: {first_line(error)}") from error
    return Model(proto, folder, (path, *data), functions)


def first_line(error: BaseException) -> str:
    """Return the first line of an error of a library, at most 300 characters."""
    return (str(error).splitlines() or ["no reason given"])[0][:300]


def _external(proto: onnx.ModelProto, folder: Path) -> list[Path]:
    """Return the files of weights beside the model, sorted; each is a plain file in the model's folder."""
    sizes: dict[Path, int] = {}
    tensors: Iterator[onnx.TensorProto] = stored_tensors(proto.graph)
    for source in (tensors, *(tensors_of_nodes(function.node) for function in proto.functions)):
        for tensor in source:
            if tensor.data_location != onnx.TensorProto.EXTERNAL:
                continue
            entries = {entry.key: entry.value for entry in tensor.external_data}
            file = _inside(entries.get("location", ""), folder, tensor.name)
            size = sizes.setdefault(file, file.stat().st_size)
            numbers = [entries.get(key, "0") for key in ("offset", "length")]
            if not all(re.fullmatch(r"[0-9]{1,18}", text, re.ASCII) for text in numbers) or size < sum(
                map(int, numbers)
            ):
                raise DumpError(
                    "model-data",
                    "a weight lies beyond the end of its file",
                    facts=[
                        ("weight", f"{tensor.name}: offset {numbers[0]}, length {numbers[1]}"),
                        ("file", f"{file.name}, {size} bytes"),
                    ],
                    help="copy the model again, with all its files",
                )
    return sorted(sizes)


def _inside(location: str, folder: Path, weight: str) -> Path:
    posix, windows = PurePosixPath(location), PureWindowsPath(location)
    lexical = location and not (windows.drive or windows.root or posix.is_absolute() or ".." in windows.parts)
    try:
        file = (folder / location).resolve() if lexical else folder
        inside = bool(lexical) and file.is_relative_to(folder)
        present = inside and file.is_file()
    except (OSError, ValueError):
        file, inside, present = folder, bool(lexical), False
    if not inside:
        raise DumpError(
            "model-data",
            "the model wants weights from outside its folder",
            facts=[("weight", weight), ("file", location or "no name")],
            help="trust no such model; where links lead out of the folder, copy the files themselves into it",
        )
    if not present:
        raise DumpError(
            "model-data",
            "a file of the model's weights is absent",
            facts=[("weight", weight), ("file", location)],
            help="put it into the model's folder, under this name",
        )
    return file


def _check_calls(proto: onnx.ModelProto, path: Path) -> None:
    """Refuse functions that call themselves, or that would become too many nodes."""
    functions = {(function.domain, function.name, function.overload): function for function in proto.functions}
    sizes: dict[tuple[str, str, str], int] = {}

    def size(nodes: Sequence[onnx.NodeProto], depth: int) -> int:
        if depth > _DEEPEST_CALLS:
            raise _invalid(path, f"its functions call each other more than {_DEEPEST_CALLS} deep")
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type, node.overload)
            if key in functions and key not in sizes:
                sizes[key] = size(list(functions[key].node), depth + 1)
            total += 1 + sizes.get(key, 0) + sum(size(list(inner.node), depth + 1) for inner in subgraphs(node))
        return total

    count = size(list(proto.graph.node), 0)
    if count > _MOST_NODES:
        raise _invalid(path, f"with its functions in place it has {count} nodes; the most are {_MOST_NODES}")


def _absent(path: Path) -> DumpError:
    return DumpError(
        "model-absent",
        "the model is a folder" if path.is_dir() else "there is no such model",
        facts=[("model", path), ("expected", "a file in the ONNX format")],
        help="give the .onnx file",
    )


def _invalid(path: Path, reason: str) -> DumpError:
    return DumpError(
        "model-invalid",
        "the file is no ONNX model that can be run",
        facts=[("file", path.name), ("reason", reason)],
        help="export the model again, or copy it again from where it was made",
    )
