"""Effective bits against theory, and against roundings that NumPy makes."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from npu_dump.doctor import precision
from npu_dump.doctor.precision import SIZE

RANDOM = np.random.default_rng(7)
A, B = (RANDOM.standard_normal((SIZE, SIZE)).astype(np.float32) for _ in range(2))


def significand(values: np.ndarray, bits: int, *, truncate: bool = False) -> np.ndarray:
    """Values with so many bits of significand, by NumPy's float64 arithmetic."""
    fraction, exponent = np.frexp(values.astype(np.float64))
    scaled = fraction * 2.0**bits
    return np.ldexp(np.trunc(scaled) if truncate else np.rint(scaled), exponent - bits)


def error(product: np.ndarray) -> float:
    """Relative error of a product of A and B, in float64 by NumPy."""
    exact = A.astype(np.float64) @ B.astype(np.float64)
    return float(np.linalg.norm(product - exact) / np.linalg.norm(exact))


def test_the_size_of_one_rounding() -> None:
    """C against a million roundings by NumPy."""
    values = RANDOM.standard_normal(1_000_000) * 16
    rounded = values.astype(np.float16).astype(np.float64)
    measured = np.linalg.norm(rounded - values) / np.linalg.norm(values)
    assert pytest.approx(measured, rel=0.005) == 2.0**-11 * precision.ROUNDING_RMS


@pytest.mark.parametrize("bits", [4, 8, 11, 16, 24])
def test_one_rounding_has_the_bits_of_its_format(bits: int) -> None:
    product = significand(A.astype(np.float64) @ B.astype(np.float64), bits)
    assert precision.effective_bits(error(product)) == pytest.approx(bits, abs=0.05)


@pytest.mark.parametrize(("name", "bits"), [("HF32", 12), ("TF32", 11), ("bfloat16", 8)])
@pytest.mark.parametrize("truncate", [False, True])
def test_rounded_operands_are_recognised(name: str, bits: int, truncate: bool) -> None:
    parts = [significand(side, bits, truncate=truncate).astype(np.float32) for side in (A, B)]
    product = torch.from_numpy(parts[0] @ parts[1])
    found = precision.effective_bits(error(product.numpy()))
    # Two roundings; cutting off is a rounding of up to a whole unit, which costs a bit more, and is biased.
    assert found == pytest.approx(bits - 0.5, abs=0.1) if not truncate else found < bits - 1
    a, b = map(torch.from_numpy, (A, B))
    assert precision.reduction(product, a, b, error(product.numpy())) == name
    np.testing.assert_array_equal(precision.rounded(a, bits - 1, truncate=truncate).numpy(), parts[0])


def test_other_errors_are_not() -> None:
    a, b = map(torch.from_numpy, (A, B))
    exact = a.double() @ b.double()
    for wrong in (exact * 1.001, exact + 0.01, significand(exact.numpy(), 11), (exact.half()).double()):
        product = torch.as_tensor(wrong).float()
        assert precision.reduction(product, a, b, error(product.double().numpy())) is None


def test_bits_of_a_wrong_product_are_few() -> None:
    exact = A.astype(np.float64) @ B.astype(np.float64)
    assert precision.effective_bits(error(exact * 1.5)) < 0
    assert precision.effective_bits(error(np.zeros_like(exact))) < 0
    assert math.isnan(precision.effective_bits(error(exact * np.nan)))
    assert precision.effective_bits(0.0) == math.inf


def test_single_elements_are_held_to_the_bound_of_any_sum() -> None:
    a, b = map(torch.from_numpy, (A, B))
    reference, magnitude = a.double() @ b.double(), a.double().abs() @ b.double().abs()
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        name = str(dtype).removeprefix("torch.")
        product = reference.to(dtype)
        assert precision.outliers(product, reference, magnitude, name) == 0
        spoilt = product.clone()
        spoilt[3, 5] *= 1.25
        assert precision.outliers(spoilt, reference, magnitude, name) == 1
    # In any order of summation, also the worst: one after another, in float32.
    total = np.zeros((SIZE, SIZE), np.float32)
    for k in range(SIZE):
        total += np.outer(A[:, k], B[k])
    assert precision.outliers(torch.from_numpy(total), reference, magnitude, "float32") == 0
    expected = precision.expected("float32")
    assert expected.summed <= precision.effective_bits(error(total)) <= expected.once


def test_sums_in_the_format_itself_lose_what_theory_says() -> None:
    """One after another in float16: K/2 roundings in the mean, of a partial sum that grows with its root."""
    a, b = A.astype(np.float16), B.astype(np.float16)
    total = np.zeros((SIZE, SIZE), np.float16)
    for k in range(SIZE):
        total += np.outer(a[:, k], b[k])
    exact = a.astype(np.float64) @ b.astype(np.float64)
    found = precision.effective_bits(float(np.linalg.norm(total - exact) / np.linalg.norm(exact)))
    expected = precision.expected("float16")
    assert found == pytest.approx(11 - 0.5 * math.log2(SIZE / 2), abs=0.75)
    assert expected.summed <= found < expected.once


def test_float64_is_held_to_exact_sums() -> None:
    a, b = (torch.from_numpy(RANDOM.standard_normal((SIZE, SIZE))) for _ in range(2))
    product = a @ b
    rows = 3
    wrong = norm = Fraction(0)
    for i in range(rows):
        for j in range(rows):
            pairs = zip(a[i].tolist(), b[:, j].tolist(), strict=True)
            exact = sum((Fraction(x) * Fraction(y) for x, y in pairs), Fraction(0))
            wrong += (Fraction(product[i, j].item()) - exact) ** 2
            norm += exact**2
    expected = math.sqrt(wrong / norm)
    assert precision.exact_error(product, a, b, rows) == pytest.approx(expected, rel=1e-9)
