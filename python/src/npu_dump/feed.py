"""Feeds samples to a model: each batch of prompts in one forward, then their decode steps one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .cache import cache_positions, first_cache
from .errors import DumpError
from .models import accepted_arguments
from .tokens import Sample, Tokens


class Feeder:
    """Feeds batches of samples, padded, each token at the position that it has in its own sample.

    Args:
        model: a transformers decoder.
        device: where its inputs go.
        padding_side: where a batch is padded. Decode steps need ``left``: padding between a prompt and its
            continuation would stay in recurrent states, and fill the windows of sliding attention.
    """

    def __init__(self, model: Any, device: torch.device, padding_side: str) -> None:
        self._model = model
        self._device = device
        self._left = padding_side == "left"
        self._accepted = accepted_arguments(model)

    @torch.no_grad()
    def feed(self, batch: Sequence[Sample]) -> None:
        """Run the prompts of a batch, then their decode steps; a sample that ends early is masked out from then on.

        Raises:
            DumpError: the model gives no cache to decode with.
        """
        if len(batch) > 1 and "cache_params" in self._accepted and any(sample.steps for sample in batch):
            # State space models know no mask when they decode.
            for sample in batch:
                self.feed([sample])
            return
        calls = _calls(batch)
        natural = all(tokens.natural for call in calls for tokens in call)
        # Without padding, nothing but the ids: the kernel is then the one that a single prompt gets.
        plain = natural and all(len({len(tokens.ids) for tokens in call}) == 1 for call in calls)
        mask = torch.zeros((len(batch), 0), dtype=torch.int64)
        cache: dict[str, Any] = {}
        for number, call in enumerate(calls):
            ids, positions, fed = self._padded(call)
            mask = torch.cat([mask, fed], dim=1)
            if number == 0 and len(calls) > 1:
                cache = first_cache(self._model, ids.to(self._device), mask.to(self._device), _width(calls))
                # Caches that are given, unlike those that models make, do not tell where a window ends.
                plain = plain and not cache
            inputs: dict[str, Any] = {"input_ids": ids.to(self._device)} | cache
            # Positions never go without a mask: transformers takes a jump in them for the start of another sequence.
            if not plain:
                inputs["attention_mask"] = mask.to(self._device)
                if "position_ids" in self._accepted:
                    inputs["position_ids"] = positions.to(self._device)
            if "use_cache" in self._accepted:
                inputs["use_cache"] = len(calls) > 1
            if cache and "cache_position" in self._accepted:
                past = mask.shape[1] - ids.shape[1]
                inputs["cache_position"] = cache_positions(self._model, past, ids.shape[1]).to(self._device)
            output = self._model(**inputs)
            if number + 1 < len(calls):
                cache = self._cache_of(output, len(calls) - 1)

    def _padded(self, rows: Sequence[Tokens]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return ids, positions and mask, ``[B, T]`` each."""
        width = max(len(tokens.ids) for tokens in rows)
        ids, positions, mask = (torch.zeros((len(rows), width), dtype=torch.int64) for _ in range(3))
        for row, tokens in enumerate(rows):
            length = len(tokens.ids)
            columns = slice(width - length, width) if self._left else slice(0, length)
            ids[row, columns] = torch.tensor(tokens.ids, dtype=torch.int64)
            positions[row, columns] = torch.tensor(tokens.positions, dtype=torch.int64)
            mask[row, columns] = 1
        return ids, positions, mask

    def _cache_of(self, output: Any, steps: int) -> dict[str, Any]:
        # State space models call theirs cache_params.
        for name in ("past_key_values", "cache_params"):
            cache = getattr(output, name, None)
            if cache is not None:
                return {name: cache}
        raise DumpError(
            "cache-absent",
            "the model gives back no cache, and cannot decode step by step",
            facts=[("model", type(self._model).__name__), ("decode steps", steps)],
            help="capture the prompts alone, without --decode",
        )


def _calls(batch: Sequence[Sample]) -> list[list[Tokens]]:
    """Return what each forward is fed: the prompts, then step by step; nothing for a sample that has ended."""
    nothing = Tokens((), ())
    steps = max(len(sample.steps) for sample in batch)
    return [[sample.prefill for sample in batch]] + [
        [sample.steps[number] if number < len(sample.steps) else nothing for sample in batch]
        for number in range(steps)
    ]


def _width(calls: Sequence[Sequence[Tokens]]) -> int:
    """Return how many columns all calls have together."""
    return sum(max(len(tokens.ids) for tokens in call) for call in calls)
