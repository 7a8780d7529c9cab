"""The number formats of the fault catalogue against torch's own, against bits, and against what is published."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from bench.faults.catalogue import FAULTS, Place
from bench.faults.catalogue.numbers import chosen, fp8, quantised, rounded

from .architectures import build

LEAST_TRANSFORMERS = 5
VALUES = torch.randn(4096, generator=torch.Generator().manual_seed(1)) * 10.0 ** torch.linspace(-6, 6, 4096)


def test_eight_and_eleven_bits_are_bf16_and_fp16() -> None:
    assert torch.equal(rounded(VALUES, 8), VALUES.bfloat16().float())
    normal = VALUES[(VALUES.abs() > 1e-4) & (VALUES.abs() < 6e4)]
    assert torch.equal(rounded(normal, 11), normal.half().float())


@pytest.mark.parametrize("bits", [7, 8, 11, 12])
def test_what_is_cut_off_are_the_last_bits(bits: int) -> None:
    masked = VALUES.numpy().view(np.int32) & np.int32(-1 << (24 - bits))
    np.testing.assert_array_equal(rounded(VALUES, bits, truncate=True).numpy(), masked.view(np.float32))


def test_rounding_is_half_to_even_keeps_the_dtype_and_what_is_not_finite() -> None:
    # With two bits between 1 and 2: 1, 1.5, 2. Halfway are 1.25 and 1.75.
    assert rounded(torch.tensor([1.25, 1.75, -1.25]), 2).tolist() == [1.0, 2.0, -1.0]
    odd = torch.tensor([torch.inf, -torch.inf, 0.0], dtype=torch.float64)
    assert torch.equal(rounded(odd, 4), odd)
    assert rounded(torch.tensor([torch.nan]), 4).isnan().all()
    assert rounded(VALUES.bfloat16(), 5).dtype == torch.bfloat16


def test_integers_have_one_scale_a_row_or_one_in_all() -> None:
    x = torch.tensor([[1.27, 0.004, -0.006], [127.0, 0.4, -50.6]])
    by_row = quantised(x, -1, 127)
    torch.testing.assert_close(by_row, torch.tensor([[1.27, 0.0, -0.01], [127.0, 0.0, -51.0]]))
    in_all = quantised(x, None, 127)
    torch.testing.assert_close(in_all, torch.tensor([[1.0, 0.0, 0.0], [127.0, 0.0, -51.0]]))
    assert not quantised(torch.zeros(2, 3), -1, 127).any()


def test_fp8_has_three_bits_of_fraction_and_its_largest_value_at_448() -> None:
    # Scaled by 1: the neighbours of 100 are 96 and 104, of 300 they are 288 and 320.
    assert fp8(torch.tensor([448.0, 100.0, 300.0, -1.0625])).tolist() == [448.0, 96.0, 288.0, -1.0]


def test_a_choice_is_of_different_indices_and_always_the_same() -> None:
    picked = chosen("a", 5, 9)
    assert len(set(picked.tolist())) == 5
    assert torch.equal(picked, chosen("a", 5, 9))
    assert chosen("a", 5, 3).numel() == 3


@pytest.mark.parametrize(("steps", "error"), [("0", 0.0344), ("1", 0.00176)])
def test_the_fast_root_is_as_wrong_as_is_known_of_it(steps: str, error: float) -> None:
    """Its largest relative error is 3.44 %, and 0.175 % after one step of Newton's method."""
    model = build("llama")
    fault = next(fault for fault in FAULTS if (fault.kind, fault.severity) == ("norm-fast-root", steps))
    rows = torch.randn(2000, 32, generator=torch.Generator().manual_seed(2)) * torch.logspace(-1, 1, 2000)[:, None]
    with torch.no_grad():
        right = model.model.norm(rows)
        with fault.apply(model, Place(None, "norm")):
            wrong = model.model.norm(rows)
    found = ((wrong - right).norm(dim=1) / right.norm(dim=1)).max().item()
    assert 0.9 * error < found < 1.01 * error
