"""Products in every precision: how many bits they have, why, and how fast they are."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

import torch

from .. import devices
from .check import Check
from .precision import (
    REDUCED,
    SIGNIFICAND,
    SIZE,
    effective_bits,
    exact_error,
    expected,
    outliers,
    reduction,
    relative_error,
)

DTYPES = tuple(SIGNIFICAND)
# A run is timed once it takes this long; sizes go up to this one; the runs of one size, of which the median counts.
_LONG_S, _LARGEST, _RUNS = 0.02, 4096, 5


def check(name: str, device: torch.device, *, supported: bool) -> Check:
    """Return the check of the products of one dtype.

    Args:
        name: e.g. ``float32``.
        device: where they are computed.
        supported: whether the device computes in that dtype at all.

    Raises:
        RuntimeError: the device could not.
    """
    title = f"matmul/{name}"
    if not supported:
        return Check(title, "not-run", f"{device.type} does not compute in {name}")
    dtype: torch.dtype = getattr(torch, name)
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(SIZE, SIZE, generator=generator, dtype=torch.float64).to(dtype) for _ in range(2))
    product = (a.to(device) @ b.to(device)).cpu()
    speed, size = _speed(dtype, device)
    return _judged(name, product, a, b, {"gflops": speed, "timed_size": size}, device)


def _judged(
    name: str, product: torch.Tensor, a: torch.Tensor, b: torch.Tensor, figures: dict[str, Any], device: torch.device
) -> Check:
    title, bits = f"matmul/{name}", SIGNIFICAND[name]
    wide = [side.double() for side in (a, b)]
    reference = wide[0] @ wide[1]
    strange = int((~product.isfinite()).sum())
    if strange or product.dtype != a.dtype:
        what = f"{strange} of {product.numel()} elements are not finite, of dtype {product.dtype}"
        return Check(title, "fail", what, figures | {"non_finite": strange}, _WRONG)
    error = exact_error(product, a, b) if name == "float64" else relative_error(product, reference)
    found, theory = effective_bits(error), expected(name)
    outside = outliers(product, reference, wide[0].abs() @ wide[1].abs(), name)
    figures |= {
        "size": SIZE,
        "relative_error": error,
        # No error at all has no finite number of bits; the format's own are as many as can be seen.
        "effective_bits": round(min(found, bits), 2),
        "significand_bits": bits,
        "expected_bits": [round(theory.summed, 2), bits],
        "outliers": outside,
        "reduced_to": None,
    }
    text = f"{figures['effective_bits']:.1f} of {bits} bits, {figures['gflops']:.4g} GFLOP/s"
    if name == "float32" and found < theory.summed:
        return _reduced(text, figures, found, reduction(product, a, b, error), device)
    if found < theory.summed:
        return Check(title, "fail", f"{text}; theory: {theory.summed:.1f} at least", figures, _WRONG)
    if name in ("float16", "bfloat16") and found < theory.once:
        text = f"{text}; {bits} where sums are kept in float32, so they are kept in less"
        return Check(title, "warning", text, figures, _SUMS)
    if outside:
        text = f"{text}; {outside} of {product.numel()} elements are beyond what any order of sums can do"
        return Check(title, "fail", text, figures, _WRONG)
    return Check(title, "ok", text, figures)


_WRONG = "compare with the CPU by hand; report it to the maker with torch_npu, CANN and driver versions"
_SUMS = "look for a switch for reduced precision sums, e.g. torch.backends.cuda.matmul.allow_fp16_reduced_precision_*"


def _reduced(text: str, figures: dict[str, Any], found: float, to: str | None, device: torch.device) -> Check:
    """Judge a float32 product that has fewer bits than float32."""
    on = [f"{name} is {value}" for name, value, reduces in switches(device) if reduces]
    figures = figures | {"reduced_to": to, "switches": on}
    if to is None and not (on and found > SIGNIFICAND["bfloat16"] - 1):
        summary = f"{text}; no number format of operands explains that"
        return Check("matmul/float32", "fail", summary, figures, _WRONG)
    why = f"operands are rounded to {to} ({REDUCED[to]} bits of mantissa)" if to else "operands are split or rounded"
    if on:
        step = f"{', '.join(on)}: turn it off for a float32 reference, or compare as {to or 'reduced precision'}"
    else:
        step = f"no switch of torch is on; look at {_ELSEWHERE.get(device.type, 'the settings of the BLAS library')}"
    return Check("matmul/float32", "warning", f"{text}; {why}", figures, step)


_ELSEWHERE = {
    "cuda": "NVIDIA_TF32_OVERRIDE and TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "npu": "torch.npu.matmul.allow_hf32, CANN's allow_hf32 and op_precision_mode",
}


def switches(device: torch.device) -> Iterator[tuple[str, object, bool]]:
    """Yield the switches that let float32 products have fewer bits: name, value, whether they do."""

    def value(read: Any) -> object:
        try:
            return read()
        except (AttributeError, RuntimeError):  # this version of torch has no such switch
            return None

    if device.type == "npu":
        npu: Any = getattr(torch, "npu", None)
        hf32 = value(lambda: npu.matmul.allow_hf32)
        yield "torch.npu.matmul.allow_hf32", hf32, bool(hf32)
    if device.type == "cuda":
        tf32 = value(lambda: torch.backends.cuda.matmul.allow_tf32)
        yield "torch.backends.cuda.matmul.allow_tf32", tf32, bool(tf32)
    precision = value(torch.get_float32_matmul_precision)
    yield "torch.get_float32_matmul_precision()", precision, precision in ("high", "medium")


def _speed(dtype: torch.dtype, device: torch.device) -> tuple[float, int]:
    """Return GFLOP/s, the median of some runs, and the size at which they were timed."""
    size = SIZE
    while True:
        a = torch.ones(size, size, dtype=dtype, device=device)
        _timed(a, device)  # the first run of a size may compile a kernel
        if size >= _LARGEST or _timed(a, device) >= _LONG_S:
            break
        size *= 2
    seconds = median(_timed(a, device) for _ in range(_RUNS))
    speed = 2 * size**3 / seconds / 1e9
    return (speed if math.isfinite(speed) else 0.0), size


def _timed(a: torch.Tensor, device: torch.device) -> float:
    devices.synchronize(device)
    start = time.perf_counter()
    torch.matmul(a, a)
    devices.synchronize(device)
    return max(time.perf_counter() - start, 1e-9)
