"""Faults for vLLM's Llama, loaded into all its processes by its own plugin mechanism.

What is wrong is told by the environment: ``NPU_DUMP_TEST_FAULT`` is ``down_proj-int8@12``, ``rotary-base@7`` or the
like, the number that of the layer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

WRONG_BASE = 10_000.0


def register() -> None:
    """Put the fault in, where one is asked for; vLLM calls this in each of its processes."""
    kind, _, layer = os.environ.get("NPU_DUMP_TEST_FAULT", "").partition("@")
    if kind == "down_proj-int8":
        _quantize(int(layer))
    elif kind == "rotary-base":
        _rotate_wrongly(int(layer))
    elif kind == "noise":
        _scale(int(layer), lambda _rows: 1 + int.from_bytes(os.urandom(1)) / 256)
    elif kind == "batch-bound":
        _scale(int(layer), lambda rows: 1 + rows % 7 / 8)
    elif kind == "die-after":
        _die_after(int(layer))


def _quantize(layer: int) -> None:
    """Round one projection to 255 steps over the whole tensor, as a careless int8 checkpoint has it."""
    from vllm.model_executor.models import llama

    load = llama.LlamaForCausalLM.load_weights
    name = f"model.layers.{layer}.mlp.down_proj.weight"

    def rounded(weights: Iterable[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, torch.Tensor]]:
        for key, weight in weights:
            if key == name:
                scale = weight.float().abs().max() / 127
                weight = (torch.round(weight.float() / scale) * scale).to(weight.dtype)
            yield key, weight

    def load_weights(self: Any, weights: Iterable[tuple[str, torch.Tensor]]) -> Any:
        return load(self, rounded(weights))

    llama.LlamaForCausalLM.load_weights = load_weights


def _rotate_wrongly(layer: int) -> None:
    """Give one layer rotary embeddings of another base."""
    from vllm.model_executor.models import llama

    init = llama.LlamaDecoderLayer.__init__

    def __init__(self: Any, *args: Any, prefix: str = "", **kwargs: Any) -> None:  # noqa: N807
        init(self, *args, prefix=prefix, **kwargs)
        if prefix.endswith(f"layers.{layer}"):
            right = self.self_attn.rotary_emb
            self.self_attn.rotary_emb = type(right)(
                right.head_size,
                right.rotary_dim,
                right.max_position_embeddings,
                WRONG_BASE,
                right.is_neox_style,
                torch.get_default_dtype(),
            )

    llama.LlamaDecoderLayer.__init__ = __init__


def _scale(layer: int, factor: Callable[[int], float]) -> None:
    """Multiply what a layer's MLP returns by what is made of the rows of the whole batch."""
    from vllm.model_executor.models import llama

    init = llama.LlamaDecoderLayer.__init__

    def __init__(self: Any, *args: Any, prefix: str = "", **kwargs: Any) -> None:  # noqa: N807
        init(self, *args, prefix=prefix, **kwargs)
        if prefix.endswith(f"layers.{layer}"):
            self.mlp.register_forward_hook(lambda _module, _args, output: output * factor(len(output)))

    llama.LlamaDecoderLayer.__init__ = __init__


def _die_after(forwards: int) -> None:
    """Let the engine's process be killed in the middle of a forward pass, as by the system."""
    import signal

    from vllm.model_executor.models import llama

    forward, done = llama.LlamaForCausalLM.forward, iter(range(forwards))

    def dying(self: Any, *args: Any, **kwargs: Any) -> Any:
        if next(done, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return forward(self, *args, **kwargs)

    llama.LlamaForCausalLM.forward = dying
