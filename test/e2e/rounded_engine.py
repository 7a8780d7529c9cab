"""`npu-dump run`, its options too, on a model whose MLP weights were rounded to a few levels a row.

Usage: python rounded_engine.py LEVELS OPTION…
"""

from __future__ import annotations

import sys
from typing import Any

import torch

from npu_dump import models
from npu_dump.cli import main

load = models.load_model


def rounded(*args: Any, **kwargs: Any) -> Any:
    """Load the model as `npu-dump` does, and round its MLPs."""
    model = load(*args, **kwargs)
    levels = int(sys.argv[1])
    for name, parameter in model.named_parameters():
        if ".mlp." in name:
            with torch.no_grad():
                scale = parameter.abs().amax(dim=1, keepdim=True) / levels
                parameter.copy_(torch.round(parameter / scale) * scale)
    return model


if __name__ == "__main__":
    models.load_model = rounded
    sys.exit(main(["run", *sys.argv[2:]]))
