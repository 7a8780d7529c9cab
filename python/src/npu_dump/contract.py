"""The dump format, version 1: columns, kinds, dtypes and the names of tensors.

A dump is an uncompressed Arrow IPC file. A row is one chunk of one tensor, cut along axis 0; the last row is
``run.end``. Column names, types and meanings are frozen: additions only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pyarrow as pa

VERSION: Final = "1"
VERSION_KEY: Final = b"npu_diff.version"
RUN_KEY: Final = b"npu_diff.run"
END_NAME: Final = "run.end"
SUFFIX: Final = ".arrow"
PARTIAL_SUFFIX: Final = ".partial"
MAX_NAME_BYTES: Final = 64 * 1024

Encoding = Literal["dense", "stats"]
Kind = Literal["hidden", "logits", "tokens", "text", "topk", "router", "perf", "meta", "other"]

STATS: Final = pa.struct(
    [(name, pa.float64()) for name in ("min", "max", "mean", "rms")]
    + [(name, pa.int64()) for name in ("nan", "posinf", "neginf")]
)

COLUMNS: Final = pa.schema(
    [
        pa.field("name", pa.utf8(), nullable=False),
        pa.field("kind", pa.utf8(), nullable=False),
        pa.field("layer", pa.int32()),
        pa.field("module", pa.utf8()),
        pa.field("sample", pa.int32(), nullable=False),
        pa.field("step", pa.int32(), nullable=False),
        pa.field("repeat", pa.int32(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("dtype", pa.utf8(), nullable=False),
        pa.field("shape", pa.list_(pa.int64()), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("encoding", pa.utf8(), nullable=False),
        pa.field("data", pa.large_binary(), nullable=False),
        pa.field("stats", STATS),
    ]
)


@dataclass(frozen=True)
class DType:
    """One element type of the format.

    Attributes:
        name: safetensors' name, as stored.
        itemsize: bytes of one element.
        numpy: little-endian NumPy dtype of the same values; None where NumPy has none.
        torch: name of the torch dtype, an attribute of ``torch``.
    """

    name: str
    itemsize: int
    numpy: np.dtype | None
    torch: str

    @property
    def floating(self) -> bool:
        """Whether values are floating point, hence may be NaN or infinite."""
        return self.name[0] == "F" or self.name == "BF16"


DTYPES: Final = {
    dtype.name: dtype
    for dtype in (
        DType("F64", 8, np.dtype("<f8"), "float64"),
        DType("F32", 4, np.dtype("<f4"), "float32"),
        DType("F16", 2, np.dtype("<f2"), "float16"),
        DType("BF16", 2, None, "bfloat16"),
        DType("F8_E4M3", 1, None, "float8_e4m3fn"),
        DType("F8_E5M2", 1, None, "float8_e5m2"),
        DType("I64", 8, np.dtype("<i8"), "int64"),
        DType("I32", 4, np.dtype("<i4"), "int32"),
        DType("I16", 2, np.dtype("<i2"), "int16"),
        DType("I8", 1, np.dtype("i1"), "int8"),
        DType("U8", 1, np.dtype("u1"), "uint8"),
        DType("BOOL", 1, np.dtype("?"), "bool"),
    )
}
BY_NUMPY: Final = {dtype.numpy: dtype for dtype in DTYPES.values() if dtype.numpy is not None}
BY_TORCH: Final = {dtype.torch: dtype for dtype in DTYPES.values()}

# Names with a meaning of their own, and the kind of each.
_KINDS: Final[tuple[tuple[str, Kind], ...]] = (
    (r"input_ids|position_ids|generated_ids", "tokens"),
    (r"prompt|token_text|generated_text|generated_token_text", "text"),
    (r"embed|norm|layers\.\d+(\.attn|\.mlp)?", "hidden"),
    (r"layers\.\d+\.router", "router"),
    (r"logits", "logits"),
    (r"lse|topk_ids|topk_logprobs|token_logprob|generated_topk_ids|generated_topk_logprobs", "topk"),
    (r"perf\..*", "perf"),
    (r"run\.end", "meta"),
)
_CANONICAL: Final = re.compile("|".join(f"(?P<k{n}>{names})" for n, (names, _) in enumerate(_KINDS)), re.DOTALL)
_LAYER: Final = re.compile(r"layers\.(\d+)(?:\..*)?", re.DOTALL)


def kind_of(name: str) -> Kind:
    """Return the kind of a tensor by its canonical name; ``other`` for every other name."""
    match = _CANONICAL.fullmatch(name)
    return _KINDS[int(str(match.lastgroup)[1:])][1] if match and match.lastgroup else "other"


def layer_of(name: str) -> int | None:
    """Return the decoder layer that a canonical name belongs to, or None."""
    match = _LAYER.fullmatch(name)
    return int(match[1]) if match and kind_of(name) != "other" else None
