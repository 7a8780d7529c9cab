"""What a graph is fed: token ids and what follows from them by the names of its inputs, or arrays of a file."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from ..errors import DumpError
from ..tokens import Sample
from .session import Input, ort_value

_TYPES = {
    "tensor(bool)": "?",
    "tensor(double)": "<f8",
    "tensor(float)": "<f4",
    "tensor(float16)": "<f2",
    # By its bits: an empty cache is all that is fed of it.
    "tensor(bfloat16)": "<u2",
    **{
        f"tensor({sign}int{bits})": f"<{sign[:1] or 'i'}{bits // 8}" for sign in ("", "u") for bits in (8, 16, 32, 64)
    },
}
_CACHE = re.compile(r"past", re.IGNORECASE)
# Uncompressed bytes of one file of inputs.
_MOST_BYTES = 16 << 30


@dataclass(frozen=True)
class Feed:
    """One forward.

    Attributes:
        values: what goes into the graph, by the names of its inputs.
        stored: what the dump holds of it: token ids, positions, or the first array.
        texts: its prompt and the texts of its tokens, where they are known.
        ids: token ids of a prompt; None where arrays were given.
        tokens: how many tokens; None where it has none.
        expect: keywords that a good continuation contains.
    """

    values: dict[str, onnxruntime.OrtValue]
    stored: dict[str, np.ndarray]
    texts: dict[str, str] = field(default_factory=dict)
    ids: tuple[int, ...] | None = None
    tokens: int | None = None
    expect: tuple[str, ...] = ()


def feed_tokens(inputs: Sequence[Input], sample: Sample) -> Feed:
    """Return a forward over a prompt: its ids, a mask of ones, positions, and caches without a token.

    Raises:
        DumpError: ``input-unknown``: the graph must be fed something else, too; ``input-shape``: it is made for other
            lengths.
    """
    names = {item.name for item in inputs}
    if "input_ids" not in names:
        raise _unknown([item for item in inputs if item.name != "input_ids"], "it takes no input_ids")
    positions = sample.prefill
    if not positions.natural and "position_ids" not in names:
        raise DumpError(
            "input-unknown",
            "the sample's positions cannot be fed",
            facts=[("positions", f"{positions.positions[0]} to {positions.positions[-1]}"), ("input", "none")],
            help="export the model with position_ids, or capture the other side without them",
        )
    arrays = _following(inputs, np.array([sample.ids], "<i8"), np.array([positions.positions], "<i8"))
    _require(inputs, arrays)
    stored = {"input_ids": np.array(sample.ids, "<i8")}
    if not positions.natural:
        stored["position_ids"] = np.array(positions.positions, "<i8")
    texts = {"prompt": sample.prompt, "token_text": sample.tokens}
    return Feed(
        _values(inputs, arrays),
        stored,
        {name: text for name, text in texts.items() if text is not None},
        sample.ids,
        len(sample.ids),
        sample.expect,
    )


def feed_file(inputs: Sequence[Input], path: Path) -> Feed:
    """Return a forward over the arrays of an ``.npz`` file, named as the graph's inputs.

    Where ``input_ids`` of one prompt are among them, what follows from them need not be.

    Raises:
        DumpError: ``inputs-unreadable``, ``inputs-invalid``: an array is no input of the graph or of another type;
            ``input-unknown``: one is missing; ``input-shape``.
    """
    arrays = _load(path)
    known = {item.name: item for item in inputs}
    foreign = sorted(set(arrays) - set(known))
    if foreign:
        raise _invalid(path, "the graph has no such input", ("array", foreign[0]), ("inputs", ", ".join(known)))
    for name, array in arrays.items():
        wanted = _dtype(known[name])
        if array.dtype != wanted or known[name].type == "tensor(bfloat16)":
            raise _invalid(path, "an array has another type", ("array", f"{name}: {array.dtype}"), ("input", wanted))
    ids = arrays.get("input_ids")
    if ids is None:
        _require(inputs, arrays)
        first = next(item.name for item in inputs)
        return Feed(_values(inputs, arrays), {"input.0": arrays[first]})
    if ids.ndim != 2 or ids.shape[0] != 1 or not ids.size:
        raise _invalid(
            path, "input_ids are not those of one prompt", ("shape", list(ids.shape)), ("expected", "[1, tokens]")
        )
    if len(arrays) == 1:
        return feed_tokens(inputs, Sample(tuple(map(int, ids[0]))))
    counted = np.arange(ids.shape[1], dtype="<i8")[None]
    arrays = _following(inputs, ids.astype("<i8"), counted) | arrays
    _require(inputs, arrays)
    stored = {"input_ids": ids[0].astype("<i8")}
    positions = arrays.get("position_ids")
    if positions is not None and positions.shape == counted.shape and not np.array_equal(positions, counted):
        stored["position_ids"] = positions[0].astype("<i8")
    return Feed(_values(inputs, arrays), stored, tokens=ids.shape[1])


def _following(inputs: Sequence[Input], ids: np.ndarray, positions: np.ndarray) -> dict[str, np.ndarray]:
    """Return what can be fed of the inputs where these ids are; all of it for one prompt and nothing before it."""
    length = ids.shape[1]
    batch = next(item.shape[0] for item in inputs if item.name == "input_ids" and item.shape)
    arrays: dict[str, np.ndarray] = {
        "input_ids": ids,
        "attention_mask": np.ones((1, length)),
        "position_ids": positions,
        "token_type_ids": np.zeros((1, length)),
        "cache_position": np.arange(length),
        # Whether a merged decoder goes on from a cache, and of how many tokens logits are wanted: 0 is all.
        "use_cache_branch": np.zeros(1),
        "num_logits_to_keep": np.zeros(()),
        "logits_to_keep": np.zeros(()),
    }
    found: dict[str, np.ndarray] = {}
    for item in inputs:
        if item.name in arrays:
            found[item.name] = arrays[item.name].astype(_dtype(item))
        elif _CACHE.search(item.name) and len(item.shape) > 2 and item.type in _TYPES:
            shape = [
                length
                if isinstance(length, int)
                else int(length == batch if isinstance(length, str) and isinstance(batch, str) else axis == 0)
                for axis, length in enumerate(item.shape)
            ]
            # A cache of a length that the graph fixes holds tokens that nobody has computed.
            if 0 in shape:
                found[item.name] = np.zeros(shape, _dtype(item))
    return found


def _values(inputs: Sequence[Input], arrays: Mapping[str, np.ndarray]) -> dict[str, onnxruntime.OrtValue]:
    for item in inputs:
        shape = arrays[item.name].shape
        fits = len(shape) == len(item.shape) and all(
            not isinstance(wanted, int) or wanted == found for wanted, found in zip(item.shape, shape, strict=True)
        )
        if not fits:
            raise DumpError(
                "input-shape",
                "an input has another shape than the graph is made for",
                facts=[(item.name, list(shape)), ("graph", [wanted or "?" for wanted in item.shape])],
                help="export the model with dynamic axes, or feed what it is made for",
            )
    return {item.name: ort_value(arrays[item.name], item.type) for item in inputs}


def _require(inputs: Sequence[Input], arrays: Mapping[str, Any]) -> None:
    missing = [item for item in inputs if item.name not in arrays]
    if missing:
        raise _unknown(missing, ", ".join(item.name for item in inputs if item.name in arrays) or "nothing")


def _dtype(item: Input) -> np.dtype:
    known = _TYPES.get(item.type)
    if known is None:
        raise _unknown([item], "no type that arrays have")
    return np.dtype(known)


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        # Before anything is unpacked: a small file can hold very much.
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > _MOST_BYTES:
            raise _invalid(path, "it is too large", ("bytes", size), ("most", _MOST_BYTES))
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except OSError as error:
        raise DumpError(
            "inputs-unreadable",
            "the file of inputs cannot be read",
            facts=[("file", path), ("system", error.strerror or error)],
            help="check the path and the file's rights",
        ) from error
    except (ValueError, KeyError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise _invalid(path, "it is no .npz file of plain arrays", ("file", path.name), ("reason", reason)) from error


def _unknown(missing: Sequence[Input], fed: str) -> DumpError:
    wanted = ", ".join(f"{item.name} {item.type} {[length or '?' for length in item.shape]}" for item in missing[:4])
    more = f" and {len(missing) - 4} more" if len(missing) > 4 else ""
    return DumpError(
        "input-unknown",
        "the graph must be fed what does not follow from token ids",
        facts=[("inputs", wanted + more), ("known", fed)],
        help="give all of them, by name, with --inputs FILE.npz",
    )


def _invalid(path: Path, what: str, *facts: tuple[str, object]) -> DumpError:
    return DumpError(
        "inputs-invalid",
        f"{path.name} cannot be fed: {what}",
        facts=facts,
        help='make it with numpy.savez("inputs.npz", NAME=array, …), the arrays as the graph wants them',
    )
