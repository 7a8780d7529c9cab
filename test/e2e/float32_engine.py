"""Capture a float32 model whose products sum in another order, as another engine's; of one layer, as TF32's.

TF32 and HF32 multiply numbers of 11 significant bits: both inputs of the layer's last MLP product are rounded to
that. The token ids are those of another dump.

    python float32_engine.py MODEL DUMP OUT [LAYER]
"""

from __future__ import annotations

import sys

import torch
from torch import nn
from transformers import AutoModelForCausalLM

from npu_dump import Dump, load


class Product(nn.Module):
    """``x @ weight.T`` with the terms in reverse order."""

    def __init__(self, weight: torch.Tensor, *, tf32: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter((rounded(weight) if tf32 else weight).flip(-1).contiguous(), requires_grad=False)
        self.tf32 = tf32

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear((rounded(x) if self.tf32 else x).flip(-1), self.weight)


def rounded(x: torch.Tensor) -> torch.Tensor:
    """Round to 10 bits after the leading one."""
    fraction, exponent = torch.frexp(x)
    return torch.ldexp((fraction * 2**11).round() / 2**11, exponent)


def main(folder: str, tokens_from: str, out: str, layer: str = "") -> None:
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", local_files_only=True
    ).eval()
    coarse = f"layers.{layer}.mlp.down_proj"
    for path, module in list(model.model.named_modules()):
        if isinstance(module, nn.Linear):
            model.model.set_submodule(path, Product(module.weight.detach(), tf32=path == coarse))
    tensors = load(tokens_from)
    with Dump(model, out), torch.inference_mode():
        for sample in tensors.samples():
            model(torch.tensor(tensors["input_ids", sample, 0])[None])


if __name__ == "__main__":
    main(*sys.argv[1:])
