"""A model and its runner that are called as vLLM calls its own: flattened batches, pairs of streams, no attention."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from npu_dump.vllm.adapter import Runner

WIDTH, EXPERTS, VOCABULARY, LAYERS = 8, 4, 16, 3
# What layers hand on: hidden states and residual, whose sum is the stream; the stream beside something else, which
# the next layer is handed and does not look at; the same, and the next layer is not handed it.
Kind = Literal["pair", "beside", "dropped"]


class Norm(nn.Module):
    """RMSNorm, which adds a residual up."""

    def forward(self, hidden: torch.Tensor, residual: torch.Tensor | None = None) -> Any:
        stream = hidden if residual is None else hidden + residual
        normed = stream * torch.rsqrt(stream.square().mean(-1, keepdim=True) + 1e-6)
        return normed if residual is None else (normed, stream)


class Gate(nn.Module):
    """A router whose weight is packed, as engines have it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(0))
        self._packed = torch.randn(WIDTH, EXPERTS)

    def forward(self, hidden: torch.Tensor) -> tuple[torch.Tensor, None]:
        return hidden @ self._packed, None


class Experts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        logits, _ = self.gate(hidden)
        return self.down(torch.relu(self.up(hidden))) * logits.softmax(-1)[:, :1]


class Layer(nn.Module):
    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self._kind = kind
        self.input_layernorm, self.post_attention_layernorm = Norm(), Norm()
        self.self_attn, self.mlp = nn.Linear(WIDTH, WIDTH), Experts()

    def forward(self, _positions: torch.Tensor, hidden: torch.Tensor, residual: torch.Tensor | None = None) -> Any:
        if self._kind != "pair":
            residual = hidden
            middle = hidden + self.self_attn(self.input_layernorm(hidden))
            return middle + self.mlp(self.post_attention_layernorm(middle)), residual
        if residual is None:
            residual, hidden = hidden, self.input_layernorm(hidden)
        else:
            hidden, residual = self.input_layernorm(hidden, residual)
        hidden, residual = self.post_attention_layernorm(self.self_attn(hidden), residual)
        return self.mlp(hidden), residual


class Decoder(nn.Module):
    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self._kind = kind
        self.embed_tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.layers = nn.ModuleList(Layer(kind) for _ in range(LAYERS))
        self.norm = Norm()

    def forward(self, input_ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        hidden, residual = self.embed_tokens(input_ids), None
        for layer in self.layers:
            handed = () if self._kind == "dropped" else (residual,)
            hidden, residual = layer(positions, hidden, *handed)
        return self.norm(hidden, residual)[0] if self._kind == "pair" else self.norm(hidden)


class Model(nn.Module):
    """``model`` and a head.

    Attributes:
        asked: rows of each call of `compute_logits`.
    """

    def __init__(self, kind: Kind = "pair") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.model = Decoder(kind)
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.asked: list[int] = []

    def forward(self, input_ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=input_ids, positions=positions)

    def compute_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        self.asked.append(len(hidden))
        return self.head(hidden)


class ModelRunner:
    """Runs what is scheduled: by request the tokens of before, and the new ones."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.input_batch = SimpleNamespace(
            req_ids=[], num_computed_tokens_cpu=[], token_ids_cpu=np.zeros((8, 64), int)
        )
        config = SimpleNamespace(num_hidden_layers=LAYERS, hidden_size=WIDTH, num_local_experts=EXPERTS)
        self.vllm_config = SimpleNamespace(model_config=SimpleNamespace(hf_text_config=config))

    def get_model(self) -> Model:
        return self.model

    @torch.no_grad()
    def execute_model(self, scheduler_output: Any) -> Any:
        batch = self.input_batch
        batch.req_ids = list(scheduler_output.tokens)
        batch.num_computed_tokens_cpu = np.array([before for before, _ in scheduler_output.tokens.values()])
        for row, (before, ids) in enumerate(scheduler_output.tokens.values()):
            batch.token_ids_cpu[row, before : before + len(ids)] = ids
        fed = [token for _, ids in scheduler_output.tokens.values() for token in ids]
        return self.model(input_ids=torch.tensor(fed), positions=torch.arange(len(fed)))

    def run(
        self, tokens: Mapping[str, tuple[int, list[int]]], new: Mapping[str, dict[str, Any]] | None = None
    ) -> None:
        """Run tokens of requests: those before them, and they; ``new`` is what new requests say."""
        self.execute_model(
            scheduler_output=SimpleNamespace(
                tokens=tokens,
                num_scheduled_tokens={name: len(ids) for name, (_, ids) in tokens.items()},
                total_num_scheduled_tokens=sum(len(ids) for _, ids in tokens.values()),
                scheduled_new_reqs=[
                    SimpleNamespace(req_id=name, sampling_params=SimpleNamespace(extra_args={"npu_dump": told}))
                    for name, told in (new or {}).items()
                ],
            )
        )


def runner_of(kind: Kind = "pair") -> tuple[ModelRunner, Runner]:
    runner = ModelRunner(Model(kind))
    return runner, Runner(runner)
