"""Capture a model with one porting fault: in one layer, the rotary base fell back to its usual 10,000.

It stands for a fused rotary kernel that takes the base as an argument with a default, ported by someone who did not
pass it on: every layer but one reads the model's configuration. Nothing crashes, no value looks odd, and the text
that comes out stays fluent.

The token ids are those of another dump, so that the two can be compared.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from npu_dump import Dump, load


def rotary_embedding(positions: torch.Tensor, base: float, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cos and sin, [1, T, head_dim] in the dtype of `like`, of each position under a rotary base.

    Args:
        positions: [T] integers.
        base: of the geometric series of wavelengths.
        like: the embedding [1, T, head_dim] that this one takes the place of.
    """
    width = like.shape[-1]
    frequencies = base ** -(torch.arange(0, width, 2, device=like.device, dtype=torch.float32) / width)
    angles = torch.outer(positions.to(torch.float32), frequencies)
    both_halves = torch.cat([angles, angles], dim=-1)[None]
    return both_halves.cos().to(like.dtype), both_halves.sin().to(like.dtype)


def break_rotary_base(model: Any, layer: int, base: float) -> None:
    """Make one layer's attention use another rotary base than the model was trained with."""

    def replace(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        cos, _ = kwargs["position_embeddings"]
        positions = torch.arange(cos.shape[1], device=cos.device)
        return args, kwargs | {"position_embeddings": rotary_embedding(positions, base, cos)}

    model.model.layers[layer].self_attn.register_forward_pre_hook(replace, with_kwargs=True)


def token_ids(dump: Path) -> Iterator[torch.Tensor]:
    """Yield the token ids [1, T] of every sample of a dump."""
    tensors = load(dump)
    sample = 0
    while ("input_ids", sample, 0) in tensors:
        yield torch.tensor(tensors["input_ids", sample, 0])[None]
        sample += 1


def main() -> None:
    """Read the command line, capture, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--tokens-from", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=["bfloat16", "float16"], default="bfloat16")
    parser.add_argument("--attn", default="eager")
    parser.add_argument("--layer", type=int, default=7)
    parser.add_argument("--base", type=float, default=10_000.0)
    options = parser.parse_args()

    if options.device.startswith("npu"):
        importlib.import_module("torch_npu")
    model = AutoModelForCausalLM.from_pretrained(
        options.model, dtype=getattr(torch, options.dtype), attn_implementation=options.attn, local_files_only=True
    )
    model = model.to(options.device).eval()
    break_rotary_base(model, options.layer, options.base)
    run = {"model": {"id": options.model.name}}
    with Dump(model, options.output, run=run, overwrite=True) as dump, torch.inference_mode():
        for ids in token_ids(options.tokens_from):
            model(ids.to(dump.model.device), use_cache=False)


if __name__ == "__main__":
    main()
