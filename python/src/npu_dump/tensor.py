"""One tensor on its way to the file: its bytes, dtype and shape, whatever it was made of."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .contract import BY_NUMPY, BY_TORCH, DTYPES, DType
from .errors import DumpError


@dataclass(frozen=True)
class HostTensor:
    """A tensor in host memory.

    Attributes:
        data: its bytes in C order, little-endian; one-dimensional uint8. Not copied: the owner must not change them.
        dtype: element type.
        shape: its shape; ``()`` is a scalar.
        stats: its statistics where they were computed before; then ``data`` may be empty.
    """

    data: np.ndarray
    dtype: DType
    shape: tuple[int, ...]
    stats: dict[str, Any] | None = None

    @property
    def row_bytes(self) -> int:
        """Bytes of one index along axis 0; of the whole tensor if it is a scalar."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize


def host_tensor(value: Any, dtype: str | None = None, shape: Sequence[int] | None = None) -> HostTensor:
    """Return ``value`` as a `HostTensor`, without a copy where its memory allows.

    Args:
        value: a torch tensor on any device, a NumPy array or scalar, a number, raw bytes, or a `HostTensor`.
        dtype: name of the element type; needed with raw bytes only (bfloat16 and 8-bit floats without torch).
        shape: needed with raw bytes only.

    Raises:
        DumpError: the element type is none of the format's, or bytes, dtype and shape disagree.
    """
    if isinstance(value, HostTensor):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _raw(value, dtype, shape)
    if dtype is not None or shape is not None:
        raise DumpError(
            "tensor-arguments",
            "dtype and shape were given with a value that has its own",
            facts=[("value", type(value).__name__), ("dtype", dtype), ("shape", shape)],
            help="pass dtype and shape only with raw bytes",
        )
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return _from_torch(torch, value)
    array = np.asarray(value)
    known = BY_NUMPY.get(array.dtype.newbyteorder("<")) if array.dtype.kind in "biuf" else None
    if known is None or known.numpy is None:
        raise _unknown_dtype(array.dtype)
    contiguous = np.ascontiguousarray(array, dtype=known.numpy)
    return HostTensor(contiguous.reshape(-1).view(np.uint8), known, array.shape)


def _from_torch(torch: Any, value: Any) -> HostTensor:
    known = BY_TORCH.get(str(value.dtype).removeprefix("torch."))
    if known is None:
        raise _unknown_dtype(value.dtype)
    if value.is_sparse or value.is_quantized:
        raise DumpError(
            "tensor-layout",
            "only dense tensors can be stored",
            facts=[("layout", value.layout), ("quantized", value.is_quantized)],
            help="call .to_dense() or .dequantize() first",
        )
    flat = value.detach().to("cpu").resolve_conj().resolve_neg().contiguous().reshape(-1)
    # An empty tensor may have strides that forbid another view of it.
    data = flat.view(torch.uint8).numpy() if flat.numel() else np.empty(0, dtype=np.uint8)
    return HostTensor(data, known, tuple(value.shape))


def _raw(value: bytes | bytearray | memoryview, dtype: str | None, shape: Sequence[int] | None) -> HostTensor:
    data = np.frombuffer(value, dtype=np.uint8)
    known = DTYPES.get(dtype or "")
    if known is None:
        raise _unknown_dtype(dtype)
    if shape is None or any(length < 0 for length in shape) or math.prod(shape) * known.itemsize != data.size:
        raise DumpError(
            "tensor-arguments",
            "the bytes do not fill the shape",
            facts=[("bytes", data.size), ("dtype", f"{known.name}, {known.itemsize} bytes each"), ("shape", shape)],
            help="pass as many bytes as shape and dtype need",
        )
    return HostTensor(data, known, tuple(shape))


def _unknown_dtype(found: object) -> DumpError:
    return DumpError(
        "dtype-unknown",
        "the dump format has no such element type",
        facts=[("found", found), ("known", " ".join(DTYPES))],
        help="convert the tensor to one of the known types, or pass raw bytes with dtype and shape",
    )
