"""Forces a request to go on with given tokens, so that decode steps are fed the same on every engine."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch

from .adapter import REQUEST_KEY

_Base: Any = import_module("vllm.v1.sample.logits_processor").AdapterLogitsProcessor
Process = Callable[[list[int], torch.Tensor], torch.Tensor]


class ForcedTokens(_Base):
    """Lets the sampler choose nothing but a request's own list of tokens, as far as it goes.

    Log-probabilities are those of before: the engine takes them from the logits that the model gave.
    """

    def is_argmax_invariant(self) -> bool:
        """Return that the most likely token becomes another one."""
        return False

    def new_req_logits_processor(self, params: Any) -> Process | None:
        """Return what forces the tokens of a request; None for a request that is free."""
        told = (params.extra_args or {}).get(REQUEST_KEY)
        forced = told.get("forced") if isinstance(told, dict) else None
        return _forcing(list(forced)) if forced else None


def _forcing(forced: list[int]) -> Process:
    def process(generated: list[int], logits: torch.Tensor) -> torch.Tensor:
        if len(generated) < len(forced):
            token = forced[len(generated)]
            logits = torch.full_like(logits, -torch.inf)
            logits[token] = 0.0
        return logits

    return process
