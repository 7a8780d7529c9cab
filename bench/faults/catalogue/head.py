"""Faults of both ends: the embedding before layer 0, and the way from the last norm to the logits."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch

from .fault import Kind, Place, named
from .numbers import chosen, draw, quantised, work
from .patch import on_output, replaced, reweighted
from .structure import decoder_of

_INT8 = 127
_LOGITS, _EMBED = Place(None, "logits"), Place(None, "embed")


def _with_head(model: Any, _severity: str) -> list[Place]:
    return [_LOGITS] if decoder_of(model) is not None and model.get_output_embeddings() is not None else []


def _tied(model: Any, severity: str) -> list[Place]:
    return _with_head(model, severity) if model.config.get_text_config().tie_word_embeddings else []


def _with_layers(model: Any, _severity: str) -> list[Place]:
    return [_EMBED] if decoder_of(model) is not None else []


def _on_head(change: Callable[[torch.Tensor, str], torch.Tensor]) -> Callable[..., Any]:
    """Return the ``apply`` of a fault of the head's weight, ``[V, H]``; a tied embedding keeps its own."""

    def apply(model: Any, _place: Place, severity: str) -> AbstractContextManager[Any]:
        return reweighted(model.get_output_embeddings(), "weight", lambda weight: change(weight, severity))

    return apply


def _untied(weight: torch.Tensor, severity: str) -> torch.Tensor:
    """The head of another stage of training: weights that are off by a share of their own size."""
    noise = torch.randn(weight.shape, generator=draw("head"), dtype=torch.float64)
    return work(weight) + float(severity) * work(weight).square().mean().sqrt() * noise


def _shard_lost(weight: torch.Tensor, severity: str) -> torch.Tensor:
    weight[-(weight.shape[0] // int(severity)) :] = 0
    return weight


def _config_at(*names: str) -> Callable[[Any, str], list[Place]]:
    def places(model: Any, severity: str) -> list[Place]:
        config = model.config.get_text_config()
        fits = any(getattr(config, name, None) not in (None, 1.0) for name in names)
        return _with_head(model, severity) if fits else []

    return places


def _no_cap(model: Any, _place: Place, _severity: str) -> AbstractContextManager[Any]:
    return replaced(model.config.get_text_config(), "final_logit_softcapping", None)


def _no_scaling(model: Any, _place: Place, severity: str) -> AbstractContextManager[Any]:
    return replaced(model.config.get_text_config(), "logits_scaling", float(severity))


def _times(model: Any, _place: Place, severity: str) -> AbstractContextManager[Any]:
    return on_output(model.get_output_embeddings(), lambda x: (work(x) * float(severity)).to(x.dtype))


def _with_factor(model: Any, _severity: str) -> list[Place]:
    decoder = decoder_of(model)
    embedding = None if decoder is None else decoder.get_input_embeddings()
    own = hasattr(embedding, "embed_scale") or getattr(decoder, "embedding_multiplier", 1.0) != 1.0
    return [_EMBED] if own else []


def _no_factor(model: Any, _place: Place, _severity: str) -> AbstractContextManager[Any]:
    decoder = decoder_of(model)
    embedding = decoder.get_input_embeddings()
    if hasattr(embedding, "embed_scale"):
        return replaced(embedding, "embed_scale", torch.ones_like(embedding.embed_scale))
    return replaced(decoder, "embedding_multiplier", 1.0)


def _embedding_times(model: Any, _place: Place, severity: str) -> AbstractContextManager[Any]:
    embedding = decoder_of(model).get_input_embeddings()
    return on_output(embedding, lambda x: (work(x) * float(severity)).to(x.dtype))


def _off_by_one(model: Any, _place: Place, severity: str) -> AbstractContextManager[Any]:
    """The tokens of a part of the vocabulary read their neighbour's row."""
    embedding = decoder_of(model).get_input_embeddings()
    moved = chosen("tokens", max(1, embedding.num_embeddings // int(severity)), embedding.num_embeddings)

    def misread(weight: torch.Tensor) -> torch.Tensor:
        return weight.index_copy(0, moved, weight[(moved + 1) % weight.shape[0]])

    return reweighted(embedding, "weight", misread)


KINDS = (
    # A dump states whether its model is tied.
    Kind("head-untied", "head", ("0.01", "0.1"), _tied, _on_head(_untied), named("configuration")),
    Kind(
        "head-shard-lost", "head", ("8",), _with_head, _on_head(_shard_lost), named("channel", "unwritten", "sparse")
    ),
    Kind("head-rows-rolled", "head", ("1",), _with_head, _on_head(lambda w, _s: w.roll(1, 0)), named("permutation")),
    Kind(
        "head-int8",
        "head",
        ("tensor", "channel"),
        _with_head,
        _on_head(lambda w, s: quantised(work(w), None if s == "tensor" else -1, _INT8)),
        named("precision"),
    ),
    Kind("final-cap-missing", "head", ("all",), _config_at("final_logit_softcapping"), _no_cap, named("soft-cap")),
    Kind("logits-factor-missing", "head", ("1",), _config_at("logits_scaling"), _no_scaling, named("scale")),
    Kind("logits-gain", "head", ("1.01",), _with_head, _times, named("scale")),
    Kind("embedding-factor-missing", "head", ("1",), _with_factor, _no_factor, named("scale")),
    Kind("embedding-gain", "head", ("1.005", "1.05"), _with_layers, _embedding_times, named("scale")),
    Kind("embedding-rows", "head", ("16",), _with_layers, _off_by_one, named("token"), silent=True),
)
