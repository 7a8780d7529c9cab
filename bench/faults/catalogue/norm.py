"""Faults of norms: their weights, what they divide by, and norms that are left out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import numpy as np
import torch

from .fault import Kind, Place, named
from .numbers import rounded, work
from .patch import on_call, on_input, on_output, replaced, reweighted
from .structure import Block, block_at, blocks_of, blocks_where, decoder_of

_LATENT = ("kv_a_layernorm", "q_a_layernorm", "dt_layernorm", "b_layernorm", "c_layernorm")
_BF16_BITS = 8
_MAGIC = 0x5F3759DF


def _final(model: Any) -> Any:
    decoder = decoder_of(model)
    return None if decoder is None else getattr(decoder, "norm", None) or getattr(decoder, "embedding_norm", None)


def norm_at(model: Any, place: Place) -> Any:
    """Return the norm before a block, or the final one."""
    return _final(model) if place.module == "norm" else block_at(model, place).norm


def _norms(model: Any, _severity: str) -> list[Place]:
    places = [block.place for block in blocks_of(model) if block.norm is not None]
    return places + ([Place(None, "norm")] if _final(model) is not None else [])


def _norms_after_the_first(model: Any, _severity: str) -> list[Place]:
    return [block.place for block in blocks_of(model) if block.norm is not None and block.layer]


def _adds_one(norm: Any) -> bool:
    """Whether a norm multiplies by 1 + weight: tried, for its class does not tell."""
    ones = torch.ones(2, norm.weight.shape[0], dtype=norm.weight.dtype)
    with torch.no_grad():
        gain = norm.forward(ones)[0].double()
    weight = norm.weight.detach().double()
    return bool((gain - weight - 1).abs().sum() < (gain - weight).abs().sum())


def _plus_one(model: Any, place: Place, _severity: str) -> AbstractContextManager[Any]:
    norm = norm_at(model, place)
    step = -1 if _adds_one(norm) else 1
    return reweighted(norm, "weight", lambda weight: weight + step)


def _ones(model: Any, place: Place, _severity: str) -> AbstractContextManager[Any]:
    norm = norm_at(model, place)
    return reweighted(norm, "weight", lambda weight: torch.full_like(weight, 0 if _adds_one(norm) else 1))


def _previous(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
    block, share = block_at(model, place), float(severity)
    other = next(b.norm for b in blocks_of(model, block.role) if b.layer == block.layer - 1)
    return reweighted(block.norm, "weight", lambda weight: weight + share * (other.weight.detach() - weight))


def _epsilon_name(norm: Any) -> str:
    return "variance_epsilon" if hasattr(norm, "variance_epsilon") else "eps"


def _epsilon(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
    norm = norm_at(model, place)
    return replaced(norm, _epsilon_name(norm), float(severity))


def _centred(model: Any, place: Place, _severity: str) -> AbstractContextManager[Any]:
    return on_input(norm_at(model, place), lambda x: (work(x) - work(x).mean(dim=-1, keepdim=True)).to(x.dtype))


def _divided_by(root: Callable[[torch.Tensor, str], torch.Tensor]) -> Callable[..., Any]:
    """Return the ``apply`` of a norm whose 1/sqrt(mean square + eps) is worked out by ``root``."""

    def apply(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
        norm = norm_at(model, place)

        def change(args: tuple[Any, ...], _kwargs: Any, output: Any) -> Any:
            x = work(args[0])
            epsilon = getattr(norm, _epsilon_name(norm))
            weight = work(norm.weight) + (1 if adds_one else 0)
            return (x * root(x.square().mean(dim=-1, keepdim=True) + epsilon, severity) * weight).to(output.dtype)

        adds_one = _adds_one(norm)
        return on_call(norm, change)

    return apply


def _bf16_root(variance: torch.Tensor, _severity: str) -> torch.Tensor:
    return rounded(rounded(variance, _BF16_BITS).rsqrt(), _BF16_BITS)


def _fast_root(variance: torch.Tensor, severity: str) -> torch.Tensor:
    """The guess by the bits of a float32, and ``severity`` steps of Newton's method."""
    # In NumPy: a float64 reference lifts all that torch is told to do in float32.
    half = variance.detach().double().numpy().astype(np.float32)
    guess = (np.int32(_MAGIC) - (half.view(np.int32) >> 1)).view(np.float32)
    for _ in range(int(severity)):
        guess = guess * (np.float32(1.5) - np.float32(0.5) * half * guess * guess)
    return torch.from_numpy(guess).to(variance.dtype)


@contextmanager
def _left_out(modules: list[Any]) -> Any:
    """Let modules give out what they are given."""
    with ExitStack() as stack:
        for module in modules:
            stack.enter_context(on_call(module, lambda args, _kwargs, _output: args[0]))
        yield


def _no_qk_norm(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
    attention = block_at(model, place).module
    names = [name for name in _qk_norms(attention) if severity == "both" or name.startswith(severity)]
    return _left_out([getattr(attention, name) for name in names])


def _qk_norms(attention: Any) -> list[str]:
    return [name for name in ("q_norm", "k_norm", "q_layernorm", "k_layernorm") if hasattr(attention, name)]


def _no_latent_norm(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
    return _left_out([getattr(block_at(model, place).module, severity)])


def _with_latent_norm(model: Any, severity: str) -> list[Place]:
    return [block.place for block in blocks_of(model, "attn") if hasattr(block.module, severity)]


def _no_post_norm(model: Any, place: Place, _severity: str) -> AbstractContextManager[Any]:
    return _left_out([block_at(model, place).handed])


def _has_post_norm(block: Block) -> bool:
    return block.handed is not block.module


def _wide(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
    # A mean over a width that was padded: the sum is over the real one.
    factor = float(severity) ** 0.5
    return on_output(norm_at(model, place), lambda x: (work(x) * factor).to(x.dtype))


KINDS = (
    Kind("norm-plus-one", "norm", ("1",), _norms, _plus_one, named("norm-weight", "channel-gain")),
    Kind("norm-ones", "norm", ("1",), _norms, _ones, named("norm-weight", "channel-gain")),
    Kind("norm-previous", "norm", ("0.1", "1"), _norms_after_the_first, _previous, named("norm-weight")),
    Kind(
        "norm-epsilon", "norm", ("1e-4", "1e-2"), _norms, _epsilon, named("norm-weight", "configuration"), silent=True
    ),
    Kind("norm-centred", "norm", ("all",), _norms, _centred, silent=True),
    Kind("norm-bf16", "norm", ("all",), _norms, _divided_by(_bf16_root), named("precision"), silent=True),
    Kind("norm-fast-root", "norm", ("0", "1"), _norms, _divided_by(_fast_root), silent=True),
    # Over a width that is padded to w times its own the answer is √w times as large, but for epsilon: a gain.
    Kind(
        "norm-padded-width",
        "norm",
        ("1.02", "1.25"),
        _norms,
        _wide,
        named("norm-weight", "scale", "channel-gain"),
        silent=True,
    ),
    Kind(
        "qk-norm-missing",
        "norm",
        ("q", "k", "both"),
        blocks_where(lambda block: _qk_norms(block.module), "attn"),
        _no_qk_norm,
        named("qk-norm"),
    ),
    Kind("latent-norm-missing", "norm", _LATENT, _with_latent_norm, _no_latent_norm, named("norm-weight")),
    Kind(
        "post-norm-missing",
        "norm",
        ("all",),
        blocks_where(_has_post_norm),
        _no_post_norm,
        named("norm-weight", "channel-gain"),
    ),
)
