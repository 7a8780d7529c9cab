"""The figures of a pair with torch, as the scripts in model cards compute them; prints them as JSON.

    python compare_torch.py FOLDER [--softmax] [--whole]

`--whole`: as they are written: `torch.load`, then whole tensors in each expression. Without it the fastest form
found: the files mapped, and a mebibyte of rows at a time, so that what lies between two steps stays in the cache.

In float32, with torch's own number of threads. Of each tensor: cosine similarity of the tokens, MSE and largest
absolute error. (The cosine similarity of a whole tensor is no figure in float32: of 268 million logits it was
1.09.) Of logits as well: log-softmax, KL divergence, argmax and perplexity; `--softmax`: these alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name

# Elements.
BLOCK = 1 << 62 if "--whole" in sys.argv else 1 << 18


def statistics(first: torch.Tensor, second: torch.Tensor) -> dict[str, float]:
    """Of a whole tensor; the cosine similarity is the mean over its rows."""
    cosine = squares = largest = 0.0
    for rows in blocks(first):
        x, y = first[rows].float(), second[rows].float()
        cosine += F.cosine_similarity(x, y, dim=-1).sum().item()
        squares += F.mse_loss(y, x, reduction="sum").item()
        largest = max(largest, (y - x).abs().max().item())
    return {"tokenCosine": cosine / len(first), "mse": squares / first.numel(), "maxAbs": largest}


def predictions(first: torch.Tensor, second: torch.Tensor, follows: torch.Tensor) -> dict[str, float]:
    """Of logits; `follows` is the id after each row, -1 where there is none."""
    divergence = agree = 0.0
    losses = [0.0, 0.0]
    for rows in blocks(first):
        logs = [F.log_softmax(side[rows].float(), dim=-1) for side in (first, second)]
        divergence += F.kl_div(logs[1], logs[0], reduction="sum", log_target=True).item()
        agree += (logs[0].argmax(dim=-1) == logs[1].argmax(dim=-1)).sum().item()
        for side in (0, 1):
            losses[side] += F.nll_loss(logs[side], follows[rows], ignore_index=-1, reduction="sum").item()
    known = int((follows >= 0).sum())
    return {
        "kl": divergence / len(first),
        "agreement": agree / len(first),
        "perplexityReference": torch.tensor(losses[0] / known).exp().item(),
        "perplexityCandidate": torch.tensor(losses[1] / known).exp().item(),
    }


def blocks(tensor: torch.Tensor) -> Iterator[slice]:
    """Its rows, a block of elements at a time; at least one row."""
    step = max(1, BLOCK // tensor[0].numel())
    for start in range(0, len(tensor), step):
        yield slice(start, start + step)


def main() -> None:
    """Print the figures of all tensors, and those of the logits where there are some."""
    folder = Path(sys.argv[1])
    first, second = (
        torch.load(folder / f"{side}.pt", weights_only=True, mmap="--whole" not in sys.argv)
        for side in ("reference", "candidate")
    )
    answer: dict[str, Any] = {}
    if "--softmax" not in sys.argv:
        answer["tensors"] = {name: statistics(tensor, second[name]) for name, tensor in first.items()}
    if "logits" in first:
        tokens = torch.load(folder / "input_ids.pt", weights_only=True)
        follows = tokens["input_ids"].roll(-1)
        follows[torch.tensor(tokens["lengths"]).cumsum(0) - 1] = -1
        answer["logits"] = predictions(first["logits"], second["logits"], follows)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
