"""What describes a tiny model, and how it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from transformers import CONFIG_MAPPING, AutoConfig

VOCABULARY = 300
LAYERS = 3
FULL = ("full_attention",) * LAYERS


@dataclass(frozen=True)
class Architecture:
    """A sort of decoder.

    Attributes:
        kind: its ``model_type``.
        config: what differs from the configuration's defaults.
        residual: what ``model.residual`` must say.
        scale: what ``model.residual_scale`` must say.
        layer_types: what ``model.layer_types`` must say.
        roles: the blocks that every layer hands to the residual sum.
        norm: whether the decoder ends in a norm.
        returns_stream: whether the hidden states that the model returns are embedding, layers and final norm.
        auto: the class of transformers that makes it from a configuration.
        make: makes a model from a configuration where no class of transformers does; it brings its own code.
    """

    kind: str
    config: Mapping[str, Any]
    residual: str = "sequential"
    scale: float = 1
    layer_types: tuple[str, ...] = FULL
    roles: tuple[str, ...] = ("attn", "mlp")
    norm: bool = True
    returns_stream: bool = True
    auto: str = "AutoModelForCausalLM"
    make: Callable[..., Any] | None = None

    @property
    def present(self) -> bool:
        """Whether this version of transformers has it."""
        return self.make is not None or self.kind in CONFIG_MAPPING

    def model(self, dtype: torch.dtype = torch.float32, **changes: Any) -> Any:
        """A model whose blocks, norms and biases all matter, with weights that are always the same.

        Args:
            dtype: precision of the weights.
            changes: to the configuration; ``attn_implementation`` is the kernel.
        """
        torch.manual_seed(0)
        attention = changes.pop("attn_implementation", None)
        options = {"attn_implementation": attention} if attention else {}
        config = {**self.config, **changes}
        if self.make is not None:
            model = self.make(**config)
        else:
            model = getattr(transformers, self.auto).from_config(AutoConfig.for_model(self.kind, **config), **options)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.05)
        return model.to(dtype).eval()
