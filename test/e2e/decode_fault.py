"""Capture a model whose MLP of one layer is wrong in the prefill alone, or at decode alone.

It stands for a kernel that exists twice, one for many rows and one for a single row, of which one is wrong. The
token ids, those of the decode steps included, are those of another dump.

    python decode_fault.py MODEL DUMP OUT LAYER prefill|decode
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from npu_dump import Dump, load


def main(folder: str, tokens_from: str, out: str, layer: int, phase: str) -> None:
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.bfloat16, attn_implementation="eager", local_files_only=True
    ).eval()

    def spoil(_module: Any, _args: Any, output: torch.Tensor) -> torch.Tensor:
        return output * 1.25 if (output.shape[1] == 1) == (phase == "decode") else output

    model.model.layers[layer].mlp.register_forward_hook(spoil)
    tensors = load(tokens_from)
    with Dump(model, out), torch.inference_mode():
        sample = 0
        while ("input_ids", sample, 0) in tensors:
            cache, step = None, 0
            while ("input_ids", sample, step) in tensors:
                ids = torch.tensor(tensors["input_ids", sample, step])[None]
                cache = model(ids, past_key_values=cache, use_cache=True).past_key_values
                step += 1
            sample += 1


if __name__ == "__main__":
    model_folder, tokens, output_path, layer_number, when = sys.argv[1:]
    main(model_folder, tokens, output_path, int(layer_number), when)
