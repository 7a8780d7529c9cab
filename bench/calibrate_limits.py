"""Measure what correct engines do, to set the limits of `src/judge/limits.ts`.

Runs SmolLM2-135M-Instruct (a converted directory) over texts that the project
does not report on (topics of Python's own `pydoc`, cut into samples of 4 to 192
tokens) through several correct paths, with plain torch hooks and NumPy float64:

    python bench/calibrate_limits.py .cache/smollm2

For each benign pair it prints, by kind of module, what the prior's constant c
would have to be (gm = c u (l + 1)^0.37), the largest token error, and, against
the bf16 sdpa floor, the floor ratios over all rows, of p99, of single tokens,
and of samples by their number of rows.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import pydoc_data.topics
from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np
import torch
import transformers

LENGTHS = (4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192) * 3
UNITS = {torch.float64: 2.0**-54, torch.float32: 2.0**-25, torch.float16: 2.0**-12, torch.bfloat16: 2.0**-9}
LEAST = 0.425  # as in src/measure/row-figures.ts
Captured = dict[str, list[np.ndarray]]


def samples(tokenizer: transformers.PreTrainedTokenizerBase) -> list[list[int]]:
    topics = sorted(pydoc_data.topics.topics.items(), key=lambda item: item[0])
    chosen: list[list[int]] = []
    for (_, text), length in zip((t for t in topics if len(t[1]) > 1500), LENGTHS, strict=False):
        chosen.append(tokenizer(text[200:])["input_ids"][:length])
    return chosen


def capture(model: torch.nn.Module, batches: list[list[int]]) -> Captured:
    """Hidden states and logits by canonical name, one array a sample."""
    out: Captured = defaultdict(list)

    def keep(name: str) -> Callable[..., None]:
        def hook(_module: object, _inputs: object, output: object) -> None:
            tensor = output[0] if isinstance(output, tuple) else output
            out[name].append(tensor.detach()[0].to(torch.float64).numpy())

        return hook

    base = model.model
    hooks = [base.embed_tokens.register_forward_hook(keep("embed")), base.norm.register_forward_hook(keep("norm"))]
    hooks.append(model.lm_head.register_forward_hook(keep("logits")))
    for index, layer in enumerate(base.layers):
        hooks.append(layer.self_attn.register_forward_hook(keep(f"layers.{index}.attn")))
        hooks.append(layer.mlp.register_forward_hook(keep(f"layers.{index}.mlp")))
        hooks.append(layer.register_forward_hook(keep(f"layers.{index}")))
    with torch.no_grad():
        for ids in batches:
            model(input_ids=torch.tensor([ids]), use_cache=False)
    for hook in hooks:
        hook.remove()
    return out


@contextlib.contextmanager
def split_k() -> Iterator[None]:
    """Linear layers whose K is cut in two, the partial sums rounded to the dtype: the hardest legal kernel known."""
    plain = torch.nn.functional.linear

    def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        half = weight.shape[1] // 2
        total = plain(x[..., :half], weight[:, :half]) + plain(x[..., half:], weight[:, half:])
        return total if bias is None else total + bias

    torch.nn.functional.linear = linear
    try:
        yield
    finally:
        torch.nn.functional.linear = plain


def row_errors(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    return np.linalg.norm(candidate - reference, axis=-1) / np.linalg.norm(reference, axis=-1)


def kind_of(name: str) -> tuple[str, int]:
    parts = name.split(".")
    if parts[0] != "layers":
        return parts[0], 30 if parts[0] in ("norm", "logits") else 0
    return (parts[2] if len(parts) == 3 else "layer"), int(parts[1])


def prior_table(label: str, reference: Captured, candidate: Captured, u: float) -> None:
    needed: dict[str, float] = defaultdict(float)
    sample_needed: dict[str, float] = defaultdict(float)
    token: dict[str, float] = defaultdict(float)
    for name, arrays in reference.items():
        kind, depth = kind_of(name)
        scale = u * (1 if kind == "embed" else (depth + 1) ** 0.37)
        rows = [np.maximum(row_errors(x, y), LEAST * u) for x, y in zip(arrays, candidate[name], strict=True)]
        whole = math.exp(np.mean(np.log(np.concatenate(rows))))
        needed[kind] = max(needed[kind], whole / scale)
        token[kind] = max(token[kind], max(float(r.max()) for r in rows))
        for r in rows:
            sample_needed[kind] = max(sample_needed[kind], math.exp(np.mean(np.log(r))) / scale)
    print(f"{label:34s}" + "".join(f"  {k} {needed[k]:.2f}|{sample_needed[k]:.2f}|{token[k]:.2g}" for k in needed))


def floor_table(label: str, reference: Captured, floor: Captured, candidate: Captured, u: float) -> None:
    worst = {"ratio": 0.0, "p99": 0.0, "token": 0.0}
    by_length: dict[int, float] = defaultdict(float)
    for name, arrays in reference.items():
        pairs = [
            (np.maximum(row_errors(x, y), LEAST * u), np.maximum(row_errors(x, f), LEAST * u))
            for x, y, f in zip(arrays, candidate[name], floor[name], strict=True)
        ]
        c = np.concatenate([p[0] for p in pairs])
        f = np.concatenate([p[1] for p in pairs])
        worst["ratio"] = max(worst["ratio"], math.exp(np.mean(np.log(c / f))))
        worst["p99"] = max(worst["p99"], np.quantile(c, 0.99) / np.quantile(f, 0.99))
        worst["token"] = max(worst["token"], float(np.max(c / np.maximum(f, np.median(f)))))
        for mine, theirs in pairs:
            n = len(mine)
            by_length[n] = max(by_length[n], math.exp(np.mean(np.log(mine / theirs))))
    lengths = " ".join(f"{n}:{r:.2f}" for n, r in sorted(by_length.items()))
    print(
        f"{label:34s}  ratio {worst['ratio']:.2f}  p99 {worst['p99']:.2f}  token {worst['token']:.1f}"
        f"  samples {lengths}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="directory of the converted model")
    directory = parser.parse_args().model
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory, local_files_only=True)
    batches = samples(tokenizer)
    print(f"{len(batches)} samples, {sum(map(len, batches))} tokens")

    def run(dtype: torch.dtype, attention: str, split: bool = False) -> Captured:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            directory, dtype=dtype, attn_implementation=attention, local_files_only=True
        ).eval()
        with split_k() if split else contextlib.nullcontext():
            return capture(model, batches)

    gold64 = run(torch.float64, "sdpa")
    gold = run(torch.float32, "sdpa")
    floor = run(torch.bfloat16, "sdpa")
    print("\nprior: c over all rows | c of the worst sample | largest token error")
    plans = [
        (torch.bfloat16, "sdpa", False),
        (torch.bfloat16, "eager", False),
        (torch.bfloat16, "sdpa", True),
        (torch.bfloat16, "eager", True),
        (torch.float16, "sdpa", False),
        (torch.float16, "eager", True),
    ]
    benign = {}
    for dtype, attention, split in plans:
        label = f"{str(dtype).removeprefix('torch.')} {attention}{' split-K' if split else ''}"
        candidate = floor if (dtype, attention, split) == plans[0] else run(dtype, attention, split)
        prior_table(f"{label} / f32", gold, candidate, UNITS[dtype])
        if dtype == torch.bfloat16:
            benign[label] = candidate
    for label, candidate in benign.items():
        if candidate is not floor:
            prior_table(f"{label} / bf16 sdpa", floor, candidate, UNITS[torch.bfloat16])
    prior_table("f32 sdpa / f64", gold64, gold, UNITS[torch.float32])
    for attention, split in (("eager", False), ("eager", True)):
        candidate = run(torch.float32, attention, split)
        prior_table(f"f32 {attention}{' split-K' if split else ''} / f64", gold64, candidate, UNITS[torch.float32])
        prior_table(f"f32 {attention}{' split-K' if split else ''} / f32 sdpa", gold, candidate, UNITS[torch.float32])
    print("\nfloor: bf16 sdpa against f32")
    for label, candidate in benign.items():
        if candidate is not floor:
            floor_table(label, gold, floor, candidate, UNITS[torch.bfloat16])


if __name__ == "__main__":
    main()
