"""Writes a checkpoint in which one projection went through int8 and back, as weight-only quantisation leaves it.

Usage: python int8_checkpoint.py MODEL FOLDER MODULE
"""

from __future__ import annotations

import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def main(model: str, folder: str, module: str) -> None:
    """Round the weight of `module` to 255 levels a row (one scale an output channel), and save all."""
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16, local_files_only=True)
    weight = loaded.get_submodule(module).weight
    with torch.no_grad():
        scale = weight.float().abs().amax(dim=1, keepdim=True) / 127
        weight.copy_(torch.round(weight.float() / scale) * scale)
    loaded.save_pretrained(folder)
    AutoTokenizer.from_pretrained(model, local_files_only=True).save_pretrained(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
