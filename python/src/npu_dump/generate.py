"""Continues prompts: greedily, or by sampling; nothing of a model's own generation settings but its end tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from .cache import needs_hybrid_cache
from .reduce import top_logprobs


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn: from the whole vocabulary unless ``top_p`` cuts it."""

    temperature: float
    top_p: float | None


@dataclass(frozen=True)
class Continuation:
    """What a model went on with after a prompt.

    Attributes:
        ids: N new token ids, the end token included.
        top_ids: ``[N, k]`` I32, the likeliest tokens of each step, the best first, of equal ones the lowest id.
        top_logprobs: ``[N, k]`` F32, their log-probabilities before anything that sampling does to them.
    """

    ids: list[int]
    top_ids: torch.Tensor
    top_logprobs: torch.Tensor


class _TopTokens(LogitsProcessor):
    """Notes the likeliest tokens of each step and changes nothing; asked before anything is warped for sampling."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.ids: list[torch.Tensor] = []
        self.logprobs: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        ids, logprobs = top_logprobs(scores, self.k)
        self.ids.append(ids)
        self.logprobs.append(logprobs)
        return scores


def generate(
    model: Any, prompts: Sequence[Sequence[int]], count: int, sampling: Sampling | None, top_k: int
) -> list[Continuation]:
    """Return up to ``count`` new tokens a prompt, the end token included, and what else was likely at each.

    Repetition penalties, top-k and the like in the model's generation settings are not used: they would hide what
    the logits say.

    Args:
        model: a transformers model that can generate.
        prompts: token ids; padded on the left where their lengths differ.
        count: most new tokens a prompt.
        sampling: None for greedy decoding.
        top_k: how many of the most likely tokens are noted a step; all where the vocabulary is smaller.
    """
    own = getattr(model, "generation_config", None)
    ends = getattr(own, "eos_token_id", None)
    end_ids: set[int] = {ends} if isinstance(ends, int) else set(ends or ())
    # Only a filler after the end of a shorter continuation; cut off below. Any token of the vocabulary will do.
    padding = min((end for end in end_ids if end < model.get_input_embeddings().num_embeddings), default=0)
    config = GenerationConfig(
        max_new_tokens=count,
        num_beams=1,
        eos_token_id=sorted(end_ids) or None,
        pad_token_id=padding,
        cache_implementation="hybrid" if needs_hybrid_cache(model) else None,
        **(
            {"do_sample": False}
            if sampling is None
            else {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p or 1.0, "top_k": 0}
        ),
    )
    top = _TopTokens(top_k)
    output, width = run_generate(model, prompts, config, logits_processor=LogitsProcessorList([top]))
    top_ids, logprobs = torch.stack(top.ids, 1), torch.stack(top.logprobs, 1)
    continued = [_until_end(row, end_ids) for row in output[:, width:].tolist()]
    return [
        Continuation(row, top_ids[number, : len(row)], logprobs[number, : len(row)])
        for number, row in enumerate(continued)
    ]


def run_generate(
    model: Any, prompts: Sequence[Sequence[int]], config: GenerationConfig, **options: Any
) -> tuple[torch.Tensor, int]:
    """Return what ``model.generate`` makes ``[B, T + N]`` of prompts padded on the left, and their width T.

    Args:
        model: a transformers model that can generate.
        prompts: token ids.
        config: all settings of the generation; the model's own fill no gap in it.
        options: further arguments of ``generate``.
    """
    padding, width = config.pad_token_id or 0, max(map(len, prompts))
    ids = torch.tensor([[padding] * (width - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    device = model.get_input_embeddings().weight.device
    kept = model.generation_config
    # generate() fills gaps of its configuration from the model's own; an empty one has nothing to fill in.
    model.generation_config = GenerationConfig()
    try:
        with torch.no_grad():
            output = model.generate(
                input_ids=ids.to(device), attention_mask=mask.to(device), generation_config=config, **options
            )
    finally:
        model.generation_config = kept
    return output, width


def _until_end(ids: list[int], ends: set[int]) -> list[int]:
    for position, token in enumerate(ids):
        if token in ends:
            return ids[: position + 1]
    return ids
