"""Layers that share modules: each call has the name of its own layer."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from npu_dump import Dump, load

from .conftest import build, differing
from .test_architectures import capture

Ids = Callable[..., torch.Tensor]


def one_layer(layers: nn.ModuleList) -> None:
    layers[1] = layers[2] = layers[0]


def two_kinds_of_layers(layers: nn.ModuleList) -> None:
    layers[2] = layers[0]


def one_mlp(layers: nn.ModuleList) -> None:
    layers[2].mlp = layers[0].mlp


def one_attention(layers: nn.ModuleList) -> None:
    layers[1].self_attn = layers[2].self_attn = layers[0].self_attn


SHARINGS = [one_layer, two_kinds_of_layers, one_mlp, one_attention]


@pytest.fixture(params=SHARINGS, ids=lambda sharing: sharing.__name__)
def shared(request: pytest.FixtureRequest) -> Any:
    model = build()
    request.param(model.model.layers)
    return model


def unshared(model: Any) -> Any:
    """The same weights in modules of their own."""
    copy = deepcopy(model)
    copy.model.layers = nn.ModuleList([deepcopy(layer) for layer in copy.model.layers])
    return copy


def test_every_call_has_the_name_of_its_layer(tmp_path: Path, shared: Any, ids: Ids) -> None:
    batches = ids(2, 7), ids(1, 4)
    mine = capture(tmp_path / "shared.arrow", shared, *batches)
    plain = capture(tmp_path / "plain.arrow", unshared(shared), *batches)
    assert differing(mine, plain) == set()
    assert mine.run["model"]["residual"] == "sequential"


def test_a_replay_puts_each_call_in_its_place(tmp_path: Path, shared: Any, ids: Ids) -> None:
    clean = capture(tmp_path / "clean.arrow", shared, ids())
    with torch.no_grad():
        shared.get_input_embeddings().weight.mul_(2)
        with Dump(shared, tmp_path / "replay.arrow", replay=tmp_path / "clean.arrow"):
            shared(ids())
    # What the model gives to layer 0 is stored before it is replaced, and nothing inherits it.
    assert differing(clean, load(tmp_path / "replay.arrow")) == {"embed"}


def test_a_pause_does_not_shift_the_next(tmp_path: Path, ids: Ids) -> None:
    model = build()
    one_layer(model.model.layers)
    expected = capture(tmp_path / "alone.arrow", model, ids())
    with torch.no_grad(), Dump(model, tmp_path / "a.arrow") as dump:
        with dump.paused():
            model(ids(1, 3))
        model(ids())
    assert differing(expected, load(tmp_path / "a.arrow")) == set()
