"""A second engine: vLLM on the CPU or a device, into a dump, until there is `npu-dump vllm`.

    python bench/engines/vllm_engine.py MODEL TOKENS OUT [--dtype bfloat16]

TOKENS is a dump whose prompts are fed, one request each; its decode steps are not. A worker extension puts hooks on
the modules of a Llama and writes the dump inside the worker: prompts come flattened, and a layer hands on
``(hidden, residual)``, of which the dump holds the sum in float32. Logits of all rows come from the engine's own
head.

It runs eagerly, without prefix cache and in one chunk, because hooks see nothing inside a compiled graph. Run it in
an environment that has vLLM and npu-dump.
"""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path
from typing import Any

# Requests and results stay in this process.
os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"

import numpy as np
import torch
from vllm import LLM, SamplingParams, __version__

from npu_dump import DumpWriter
from npu_dump.contract import BY_TORCH
from npu_dump.tokens import samples_of_dump


class Capture:
    """Methods that vLLM adds to its worker."""

    model_runner: Any

    def capture_begin(self, path: str, dtype: str) -> None:
        """Open the dump and put the hooks."""
        model = self.model_runner.model
        decoder = model.model
        self.captured: dict[str, torch.Tensor] = {}
        self.capture_path = path
        run = {
            "dtype": dtype,
            "model": {"architecture": type(model).__name__, "layers": len(decoder.layers), "residual": "sequential"},
            "device": {"type": next(model.parameters()).device.type},
            "engine": {"name": "vllm", "version": __version__, "graph": False},
            "capture": {"mode": "full", "select": ["embed", "layers.*", "norm", "logits"], "replay_of": None},
        }
        self.capture_writer = DumpWriter(path, run=run)
        decoder.embed_tokens.register_forward_hook(partial(self._keep, "embed"))
        for index, layer in enumerate(decoder.layers):
            layer.self_attn.register_forward_hook(partial(self._keep, f"layers.{index}.attn"))
            layer.mlp.register_forward_hook(partial(self._keep, f"layers.{index}.mlp"))
            layer.register_forward_hook(partial(self._keep, f"layers.{index}"))
        decoder.norm.register_forward_hook(partial(self._keep, "norm"))

    def _keep(self, name: str, _module: Any, _inputs: Any, output: Any) -> None:
        if name == "norm" or torch.is_tensor(output):
            value = output[0] if isinstance(output, tuple) else output
        else:
            hidden, residual = output
            value = hidden.float() + residual.float()
        # Fused kernels overwrite what they were given.
        self.captured[name] = value.detach().clone()

    def capture_sample(self, sample: int, ids: list[int]) -> None:
        """Write the one prompt that has run since the last call."""
        self.capture_writer.write("input_ids", np.array(ids, dtype=np.int64), sample=sample)
        rows = self.captured["norm"][: len(ids)]
        self.captured["logits"] = self.model_runner.model.compute_logits(rows)
        for name, value in self.captured.items():
            if value.shape[0] < len(ids):
                message = (
                    f"{name} has {value.shape[0]} rows for {len(ids)} tokens: the prompt did not run in one piece"
                )
                raise RuntimeError(message)
            self.capture_writer.write(name, value[: len(ids)].cpu(), sample=sample)
        self.captured.clear()

    def capture_end(self) -> None:
        """Give the dump its name."""
        self.capture_writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("tokens", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float16", "float32"))
    options = parser.parse_args()
    prompts = [list(sample.ids) for sample in samples_of_dump(options.tokens, steps=0)]
    longest = max(map(len, prompts)) + 1
    engine = LLM(
        str(options.model),
        dtype=options.dtype,
        enforce_eager=True,
        enable_prefix_caching=False,
        enable_chunked_prefill=False,
        max_model_len=longest,
        max_num_batched_tokens=max(longest, 2048),
        max_num_seqs=1,
        worker_extension_cls="vllm_engine.Capture",
    )
    engine.collective_rpc("capture_begin", args=(str(options.out), BY_TORCH[options.dtype].name))
    for number, ids in enumerate(prompts):
        engine.generate({"prompt_token_ids": ids}, SamplingParams(max_tokens=1, temperature=0), use_tqdm=False)
        engine.collective_rpc("capture_sample", args=(number, ids))
    engine.collective_rpc("capture_end")


if __name__ == "__main__":
    main()
