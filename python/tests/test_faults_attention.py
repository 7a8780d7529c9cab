"""Faults of attention and rotary positions do what their names say: the faulty block in NumPy, from its weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from bench.faults.catalogue import FAULTS, Place

from .architectures import build
from .forced import Forced

LEAST_TRANSFORMERS = 5
TOKENS, HEADS, KV_HEADS, WIDTH, THETA = 24, 4, 2, 8, 10000.0
PLACE = Place(1, "layers.1.attn")
Array = np.ndarray
Turn = Callable[[Array, Array, Array], Array]


def halves(x: Array, cos: Array, sin: Array) -> Array:
    """Channels i and i + D/2 are a pair; cos and sin ``[T, D/2]``."""
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def neighbours(x: Array, cos: Array, sin: Array) -> Array:
    """Channels 2i and 2i + 1 are a pair."""
    first, second = x[..., ::2], x[..., 1::2]
    return np.stack([first * cos - second * sin, second * cos + first * sin], axis=-1).reshape(x.shape)


def attention(
    weights: dict[str, Array],
    stream: Array,
    *,
    scale: float = 1.0,
    base: float = THETA,
    turned: int = WIDTH,
    direction: int = 1,
    query_offset: int = 0,
    turn: Turn = halves,
    sees: Callable[[Array], Array] = lambda behind: behind >= 0,
    kv_head: Callable[[int], int] = lambda head: head // (HEADS // KV_HEADS),
    silent: int | None = None,
) -> Array:
    """What Llama's attention hands to the residual sum, ``[T, H]``, in float64.

    Args:
        weights: of the layer, by the ends of their names.
        stream: ``[T, H]`` that enters the layer.
        scale: of the scores, besides 1/sqrt(D).
        base: of the rotary frequencies.
        turned: channels of each head that turn with the position.
        direction: 1, or -1 to turn the other way.
        query_offset: added to the position of queries.
        turn: how pairs of channels are turned.
        sees: which keys a query sees, by how far they lie behind it, ``[T, T]``.
        kv_head: the keys that a head reads.
        silent: a head that gives nothing.
    """
    normed = stream / np.sqrt(np.mean(stream**2, axis=-1, keepdims=True) + 1e-6) * weights["input_layernorm"]
    query, key, value = (
        (normed @ weights[name].T).reshape(TOKENS, -1, WIDTH).transpose(1, 0, 2) for name in ("q", "k", "v")
    )
    frequencies = base ** -(np.arange(turned // 2) / (turned // 2))

    def rotated(x: Array, offset: int) -> Array:
        angles = (np.arange(TOKENS)[:, None] + offset) * frequencies * direction
        return np.concatenate([turn(x[..., :turned], np.cos(angles), np.sin(angles)), x[..., turned:]], axis=-1)

    query, key = rotated(query, query_offset), rotated(key, 0)
    behind = np.arange(TOKENS)[:, None] - np.arange(TOKENS)[None]
    heads = []
    for head in range(HEADS):
        scores = query[head] @ key[kv_head(head)].T * scale / np.sqrt(WIDTH)
        scores = np.where(sees(behind), scores, -np.inf)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        output = shares / shares.sum(axis=-1, keepdims=True) @ value[kv_head(head)]
        heads.append(output * (head != silent))
    return np.concatenate(heads, axis=-1) @ weights["o"].T


EXPECTED: dict[tuple[str, str], dict[str, Any]] = {
    ("attention-scale", "1.1"): {"scale": 1.1},
    ("attention-scale", "squared"): {"scale": 1 / np.sqrt(WIDTH)},
    ("mask-future", "1"): {"sees": lambda behind: behind >= -1},
    ("mask-future", "all"): {"sees": lambda behind: behind >= -TOKENS},
    # The first token sees nothing else than itself.
    ("mask-self", "-1"): {
        "sees": lambda behind: (behind > 0) | (np.add.outer(np.arange(TOKENS), np.arange(TOKENS)) == 0)
    },
    ("window-added", "16"): {"sees": lambda behind: (behind >= 0) & (behind < 16)},
    ("kv-tiled", "all"): {"kv_head": lambda head: head % KV_HEADS},
    ("kv-rolled", "both"): {"kv_head": lambda head: 1 - head // (HEADS // KV_HEADS)},
    ("head-zero", "3"): {"silent": 3},
    ("rotary-base", "0.5"): {"base": THETA / 2},
    ("rotary-base", "10"): {"base": THETA * 10},
    ("rotary-position", "+1"): {"query_offset": 1},
    ("rotary-layout", "other"): {"turn": neighbours},
    ("rotary-partial", "half"): {"turned": WIDTH // 2},
    ("rotary-missing", "all"): {"base": np.inf, "turned": 2, "direction": 0},
    ("rotary-backwards", "all"): {"direction": -1},
}


@pytest.fixture(scope="module")
def forced() -> Forced:
    ids = torch.randint(0, 300, (1, TOKENS), generator=torch.Generator().manual_seed(5))
    return Forced(build("llama", rms_norm_eps=1e-6), ids)


def weights_of(model: Any) -> dict[str, Array]:
    layer = model.model.layers[1]
    linears = {name: getattr(layer.self_attn, f"{name}_proj").weight for name in "qkvo"}
    named = linears | {"input_layernorm": layer.input_layernorm.weight}
    return {name: weight.detach().double().numpy() for name, weight in named.items()}


def expected(forced: Forced, **changes: Any) -> Array:
    return attention(weights_of(forced.model), forced.clean["layers.0"][0][0].double().numpy(), **changes)


def test_the_formula_is_the_models_own(forced: Forced) -> None:
    np.testing.assert_allclose(forced.clean[PLACE.module][0][0].numpy(), expected(forced), rtol=0, atol=2e-6)


@pytest.mark.parametrize(("kind", "severity"), EXPECTED)
def test_the_fault_gives_what_its_formula_gives(forced: Forced, kind: str, severity: str) -> None:
    fault = next(fault for fault in FAULTS if (fault.kind, fault.severity) == (kind, severity))
    with fault.apply(forced.model, PLACE):
        faulty = forced.outputs()[PLACE.module][0][0].numpy()
    by_hand = expected(forced, **EXPECTED[kind, severity])
    np.testing.assert_allclose(faulty, by_hand, rtol=0, atol=2e-6)
    # And that is another number than without the fault.
    assert np.abs(by_hand - expected(forced)).max() > 1e-4
