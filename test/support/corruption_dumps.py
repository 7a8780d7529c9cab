"""Capture a good candidate of the tiny model with all that it can be judged by, into a folder.

    python corruption_dumps.py MODEL PROMPTS FOLDER

``reference`` is float32. ``floor.1`` and ``floor.2`` are bfloat16, with sdpa and with eager attention. ``candidate``
is bfloat16 through kernels of its own: attention in float32 that rounds once, and products that add up from the other
end. ``forced.NAME`` are the forced references of these three. Each prompt is followed by decode steps.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from transformers.utils import logging

from npu_dump.inputs import Request
from npu_dump.progress import Progress
from npu_dump.run import run

# Characters of the prompts: two samples are of one length in tokens.
LENGTHS = (20, 8, 26, 6)
STEPS = 2


def other_kernels() -> ExitStack:
    """Kernels that are as right as PyTorch's own, and round elsewhere."""
    functional = torch.nn.functional
    attention, linear = functional.scaled_dot_product_attention, functional.linear

    def in_float32(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **options: Any) -> torch.Tensor:
        return attention(query.float(), key.float(), value.float(), **options).to(query.dtype)

    def from_the_other_end(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        return linear(x.flip(-1), weight.flip(-1), bias)

    stack = ExitStack()
    stack.enter_context(mock.patch.object(functional, "scaled_dot_product_attention", in_float32))
    stack.enter_context(mock.patch.object(functional, "linear", from_the_other_end))
    return stack


def main(model: str, prompts: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    lines = prompts.read_text(encoding="utf-8").splitlines()
    texts = folder / "prompts.txt"
    texts.write_text("\n".join(line[:length] for line, length in zip(lines, LENGTHS, strict=False)), encoding="utf-8")

    def capture(name: str, **options: Any) -> None:
        request = Request(model=model, output=folder / f"{name}.arrow", **options)
        run(request, Progress(bars=False, notes=False))

    capture("reference", prompts=texts, decode=STEPS, dtype="float32", attn="eager")
    same = {"tokens_from": folder / "reference.arrow", "decode": STEPS, "dtype": "bfloat16"}
    capture("floor.1", **same, attn="sdpa")
    capture("floor.2", **same, attn="eager")
    with other_kernels():
        capture("candidate", **same, attn="sdpa")
    for name in ("candidate", "floor.1", "floor.2"):
        capture(f"forced.{name}", replay=folder / f"{name}.arrow")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
