"""An engine that is not deterministic: `npu-dump run`, its options too, on a model whose first MLP has dropout."""

from __future__ import annotations

import sys
from typing import Any

import torch

from npu_dump import models
from npu_dump.cli import main

load = models.load_model


def noisy(*args: Any, **kwargs: Any) -> Any:
    """Load the model as `npu-dump` does, and leave a dropout in training mode in it."""
    model = load(*args, **kwargs)
    dropout = torch.nn.Dropout(0.2).train()
    model.model.layers[0].mlp.register_forward_hook(lambda _module, _args, output: dropout(output))
    return model


if __name__ == "__main__":
    models.load_model = noisy
    sys.exit(main(["run", *sys.argv[1:]]))
