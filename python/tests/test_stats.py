"""The statistics of a tensor, in host memory and where it lies, against exact sums."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import npu_dump.device_stats
from npu_dump.device_stats import device_stats
from npu_dump.stats import tensor_stats
from npu_dump.tensor import host_tensor

FLOATS = [torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2]
INTEGERS = [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]


def on_host(tensor: torch.Tensor) -> dict[str, Any]:
    host = host_tensor(tensor)
    return tensor_stats(host.data, host.dtype)


BOTH = pytest.mark.parametrize("stats", [on_host, device_stats])


def check(found: dict[str, Any], tensor: torch.Tensor, bound: float = 1e-12) -> None:
    """Compare with exact arithmetic on the values that torch converts to float64."""
    values = tensor.to(torch.float64).flatten().tolist()
    finite: list[Any] = [value for value in values if math.isfinite(value)]
    assert found["nan"] == sum(map(math.isnan, values))
    assert (found["posinf"], found["neginf"]) == (values.count(math.inf), values.count(-math.inf))
    if not finite:
        assert [found[name] for name in ("min", "max", "mean", "rms")] == [None] * 4
        return
    assert (found["min"], found["max"]) == (min(finite), max(finite))
    if max(map(abs, finite)) > 1e150 or len(finite) < 100:
        finite = list(map(Fraction, finite))
        total, size, squares = sum(finite), sum(map(abs, finite)), sum(value**2 for value in finite)
    else:
        # Rounded once; squares of 32 bits are exact.
        total, size, squares = (
            Fraction(math.fsum(f)) for f in (finite, map(abs, finite), (value * value for value in finite))
        )
    assert abs(Fraction(found["mean"]) * len(finite) - total) <= Fraction(bound) * size + Fraction(5e-324)
    # The exact root lies between rms (1 - bound) and rms (1 + bound), compared as squares.
    low, high = (Fraction(found["rms"]) * (1 + side * Fraction(bound)) for side in (-1, 1))
    assert low**2 <= squares / len(finite) <= high**2 or squares < Fraction(1e-300) ** 2


@BOTH
@settings(deadline=None, max_examples=40)
@given(
    dtype=st.sampled_from(FLOATS),
    codes=st.binary(min_size=8, max_size=400),
    specials=st.booleans(),
)
@example(dtype=torch.float32, codes=bytes.fromhex("00000080") * 4, specials=True)  # -0
@example(dtype=torch.float16, codes=bytes.fromhex("00fc007c") * 3, specials=True)  # -Inf, Inf
def test_any_codes(stats: Callable[[torch.Tensor], Any], dtype: torch.dtype, codes: bytes, specials: bool) -> None:
    whole = codes[: len(codes) // 8 * 8]
    tensor = torch.frombuffer(bytearray(whole), dtype=dtype)
    if not specials:
        # By their bytes: older versions of torch cannot index 8-bit floats.
        finite = tensor.to(torch.float64).isfinite()
        tensor = tensor.view(torch.uint8).reshape(len(tensor), -1)[finite].flatten().view(dtype)
    check(stats(tensor), tensor)


@BOTH
@pytest.mark.parametrize("dtype", FLOATS + INTEGERS)
@pytest.mark.parametrize("sign", ["both", "positive", "negative"])
@pytest.mark.parametrize("size", [1, 1025, 65_537])
def test_sizes_around_rows_and_blocks(
    stats: Callable[[torch.Tensor], Any], dtype: torch.dtype, sign: str, size: int
) -> None:
    generator = torch.Generator().manual_seed(size)
    values = torch.randn(size, generator=generator, dtype=torch.float64) * 9
    values = {"both": values, "positive": values.abs() + 1, "negative": -values.abs() - 1}[sign]
    if dtype in (torch.uint8, torch.bool):
        values = values.abs()
    tensor = values.to(dtype)
    check(stats(tensor), tensor)


@BOTH
def test_blocks_with_and_without_finite_values(stats: Callable[[torch.Tensor], Any]) -> None:
    tensor = torch.randn(3 << 16, generator=torch.Generator().manual_seed(0))
    tensor[1 << 16 : 2 << 16] = math.nan
    tensor[[0, -1]] = torch.tensor([math.inf, -math.inf])
    check(stats(tensor), tensor)


@BOTH
def test_rounding_does_not_pile_up(stats: Callable[[torch.Tensor], Any]) -> None:
    # Plain sums of a million equal values with a full mantissa drift; a float32 sum is off in the third digit.
    tensor = torch.full(((1 << 20) + 7,), 0.1)
    found = stats(tensor)
    value = Fraction(float(tensor[0]))
    assert abs(Fraction(found["mean"]) / value - 1) < Fraction(1, 10**12)
    assert abs(Fraction(found["rms"]) / value - 1) < Fraction(1, 10**12)


@BOTH
@pytest.mark.parametrize(
    "values", [[1e300, -3e300, 2e300], [1.7e308] * 5, [1e-300, 3e-300, -5e-308], [5e-324, 0.0], [1e200, 1e-200]]
)
def test_squares_beyond_float64(stats: Callable[[torch.Tensor], Any], values: list[float]) -> None:
    tensor = torch.tensor(values, dtype=torch.float64)
    found = stats(tensor)
    check(found, tensor)
    square = sum(Fraction(value) ** 2 for value in values) / len(values)
    # A subnormal root has few digits.
    assert abs(Fraction(found["rms"]) ** 2 - square) <= Fraction(1e-11) * square + Fraction(5e-324) ** 2


@pytest.mark.parametrize("tensor", [torch.randn(7, 6).t(), torch.randn(4, 10)[:, 2:5], torch.tensor(-2.5)])
def test_views_and_scalars(tensor: torch.Tensor) -> None:
    check(device_stats(tensor), tensor)


@pytest.mark.parametrize(
    ("values", "exact"),
    [
        (torch.randn(300, 257, generator=torch.Generator().manual_seed(1)) * 30, False),
        (torch.randn(70_001, generator=torch.Generator().manual_seed(2)).to(torch.bfloat16), False),
        (torch.tensor([3e30, -1e30]), True),  # squares leave float32: the host takes over
        (torch.tensor([3e-30, -1e-30]), True),
        (torch.tensor([1.0, math.nan, math.inf]), True),
        (torch.zeros(5), True),
        (torch.tensor([1e300]), True),
        (torch.tensor([2.0], dtype=torch.float64), True),
    ],
)
def test_devices_without_float64(monkeypatch: pytest.MonkeyPatch, values: torch.Tensor, exact: bool) -> None:
    """The bound is that of plain float32 sums over rows of 256."""
    monkeypatch.setattr(npu_dump.device_stats, "wide_dtype", lambda _device: torch.float32)
    check(device_stats(values), values, 1e-12 if exact else 1.6e-5)


def test_which_devices_lack_float64() -> None:
    wide = npu_dump.device_stats.wide_dtype
    assert [wide(torch.device(name)) for name in ("cpu", "cuda", "mps")] == [
        torch.float64,
        torch.float64,
        torch.float32,
    ]


def test_an_empty_tensor_has_no_statistics() -> None:
    assert device_stats(torch.empty(0, 4)) == on_host(torch.empty(0, 4)) == {
        "min": None, "max": None, "mean": None, "rms": None, "nan": 0, "posinf": 0, "neginf": 0,
    }  # fmt: skip


def test_the_model_s_tensor_stays_as_it_is() -> None:
    tensor = torch.tensor([1.0, -2.0, math.nan])
    before = tensor.numpy().tobytes()
    device_stats(tensor)
    assert tensor.numpy().tobytes() == before


def test_the_host_s_statistics_need_no_torch() -> None:
    data = np.array([1.0, 2.0], "<f4").view(np.uint8)
    assert tensor_stats(data, host_tensor(np.zeros(1, "<f4")).dtype)["mean"] == 1.5
