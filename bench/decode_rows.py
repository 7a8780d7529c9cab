"""Print how far few rows of a correct engine's decode steps may lie above the limits of many.

    python bench/decode_rows.py MODEL PROMPTS.jsonl [--prompts 24] [--steps 8]

Every prompt is decoded greedily in float32; the same tokens are then fed step by step in bfloat16, with sdpa (the
floor) and with eager attention (the candidate). For each number of rows: the largest ratio of the candidate's
geometric mean to the floor's, either way round, that of their 99th percentiles, and the largest quotient of the
candidate's mean and the prior of `src/judge/limits.ts`, over all tensors and all groups of that many rows.
"""

from __future__ import annotations

import argparse
import itertools
import json
import pathlib
import re
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

U = 2.0**-9
# c of gm = 2·c·u·(l+1)^0.37, and its exponent, as in src/judge/limits.ts.
PRIOR = {"attn": 6.0, "mlp": 5.6, "layer": 2.8, "norm": 2.0, "logits": 1.9}
DEPTH_EXPONENT = 0.37
LONGEST_PROMPT = 96

Rows = dict[str, list[list[torch.Tensor]]]


def decode(
    folder: pathlib.Path,
    dtype: torch.dtype,
    attention: str,
    prompts: list[list[int]],
    fed: list[list[int]],
    steps: int,
) -> Rows:
    """Rows of every tensor by prompt and step, float64; appends to `fed` what was fed where it is empty."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation=attention).eval()
    current: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_module: Any, _args: Any, output: Any) -> None:
            value = output[0] if isinstance(output, tuple) else output
            current[name] = value[0, -1].to(torch.float64)

        return hook

    for index, layer in enumerate(model.model.layers):
        layer.self_attn.register_forward_hook(keep(f"layers.{index}.attn"))
        layer.mlp.register_forward_hook(keep(f"layers.{index}.mlp"))
        layer.register_forward_hook(keep(f"layers.{index}"))
    model.model.norm.register_forward_hook(keep("norm"))
    rows: Rows = {}
    with torch.inference_mode():
        for prompt, tokens in zip(prompts, fed, strict=True):
            result = model(torch.tensor([prompt]), use_cache=True)
            for step in range(steps):
                if len(tokens) == step:
                    tokens.append(int(result.logits[0, -1].argmax()))
                result = model(torch.tensor([[tokens[step]]]), past_key_values=result.past_key_values, use_cache=True)
                current["logits"] = result.logits[0, -1].to(torch.float64)
                for name, value in current.items():
                    of_prompts = rows.setdefault(name, [])
                    if step == 0:
                        of_prompts.append([])
                    of_prompts[-1].append(value)
    return rows


def errors(reference: Rows, other: Rows) -> dict[str, np.ndarray]:
    """Relative error of every row, [prompt, step], raised to 0.425 u."""
    return {
        name: np.array(
            [
                [max(float((y - x).norm() / x.norm()), 0.425 * U) for x, y in zip(xs, ys, strict=True)]
                for xs, ys in zip(of_prompts, other[name], strict=True)
            ]
        )
        for name, of_prompts in reference.items()
    }


def prior(name: str, layers: int) -> float:
    found = re.fullmatch(r"layers\.(\d+)(?:\.(\w+))?", name)
    role, depth = (name, layers) if found is None else (found[2] or "layer", int(found[1]))
    return 2 * PRIOR[role] * U * (depth + 1) ** DEPTH_EXPONENT


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("texts", type=pathlib.Path)
    parser.add_argument("--prompts", type=int, default=24)
    parser.add_argument("--steps", type=int, default=8)
    options = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    texts = [json.loads(line)["prompt"] for line in options.texts.read_text(encoding="utf-8").splitlines() if line]
    prompts = [tokenizer(text).input_ids[:LONGEST_PROMPT] for text in texts[: options.prompts]]
    fed: list[list[int]] = [[] for _ in prompts]
    runs = [
        decode(options.model, dtype, attention, prompts, fed, options.steps)
        for dtype, attention in ((torch.float32, "eager"), (torch.bfloat16, "sdpa"), (torch.bfloat16, "eager"))
    ]
    floor, candidate = (errors(runs[0], run) for run in runs[1:])
    layers = sum(name.endswith(".attn") for name in floor)
    print("prompts  steps  rows  gm ratio  p99 ratio  gm / prior")
    for count in sorted({n for n in (1, 2, 3, 4, 8, 12) if n < len(prompts)} | {len(prompts)}):
        for steps in sorted({n for n in (1, 2, 4) if n < options.steps} | {options.steps}):
            worst = [0.0, 0.0, 0.0]
            for name, mine in candidate.items():
                starts = range(0, len(prompts) - count + 1, count)
                for start, step in itertools.product(starts, range(0, options.steps - steps + 1, steps)):
                    group = (slice(start, start + count), slice(step, step + steps))
                    x, y = floor[name][group].ravel(), mine[group].ravel()
                    gm = float(np.exp(np.mean(np.log(y))))
                    ratio = gm / float(np.exp(np.mean(np.log(x))))
                    p99 = float(np.quantile(y, 0.99) / np.quantile(x, 0.99))
                    found = (max(ratio, 1 / ratio), max(p99, 1 / p99), gm / prior(name, layers))
                    worst = [max(a, b) for a, b in zip(worst, found, strict=True)]
            print(f"{count:7} {steps:6} {count * steps:5}  {worst[0]:8.2f} {worst[1]:10.2f} {worst[2]:11.2f}")


if __name__ == "__main__":
    main()
