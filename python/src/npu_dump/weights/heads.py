"""The head and the embedding: whether they are one tensor, and whether they should be."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .config_file import read_text_config
from .difference import measure, same
from .findings import Findings, dtype_name

_HEADS = ("lm_head.weight", "embed_out.weight", "output.weight")
_EMBEDDINGS = (
    "embed_tokens.weight",
    "wte.weight",
    "word_embeddings.weight",
    "embed_in.weight",
    "tok_embeddings.weight",
)


@dataclass(frozen=True)
class Head:
    """What a model and its config.json say of its head.

    Attributes:
        head: name of the head's weight in the model; None where there is none.
        embedding: name of the embedding's.
        shared: whether they are the same memory.
        ties: whether config.json ties them; None where it does not say.
    """

    head: str | None
    embedding: str | None
    shared: bool
    ties: bool | None

    @classmethod
    def of(cls, model: Any, state: Mapping[str, torch.Tensor], folder: Path) -> Head:
        """Return the head of a model."""
        head = _weight(model, "get_output_embeddings", state, _HEADS)
        embedding = _weight(model, "get_input_embeddings", state, _EMBEDDINGS)
        shared = bool(head and embedding and shares(state[head], state[embedding]))
        ties = read_text_config(folder).get("tie_word_embeddings")
        if ties is None:
            ties = getattr(getattr(model, "config", None), "tie_word_embeddings", None)
        return cls(head, embedding, shared, ties if isinstance(ties, bool) else None)

    def replaces(self, name: str) -> bool:
        """Return whether a tensor is the head, and the embedding stands in its place."""
        return self.shared and name == self.head


def shares(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Return whether two tensors are the same memory."""
    if first.is_meta or second.is_meta:
        return False
    return first.shape == second.shape and first.data_ptr() == second.data_ptr() and first.numel() > 0


def judge_head(
    head: Head,
    state: Mapping[str, torch.Tensor],
    read: Callable[[str], torch.Tensor | None],
    findings: Findings,
) -> None:
    """Report a head that is tied, or not, against what checkpoint and config.json say.

    Args:
        head: of the model.
        state: the model's parameters by name.
        read: returns what the checkpoint holds for one of them, or None.
        findings: where to report.
    """
    if head.head is None or head.embedding is None or state[head.head].is_meta:
        return
    own, held = read(head.head), state[head.head]
    if head.shared and own is not None:
        difference = measure(own, held) if own.shape == held.shape else None
        if difference and difference.differ:
            findings.add(
                "weights/tied",
                "error",
                [head.head],
                "is the embedding's tensor, though the checkpoint holds a head of its own",
                ("model", f"shares the memory of {head.embedding}"),
                ("checkpoint", f"{difference.differ} of {difference.elements} elements differ from it"),
            )
    elif head.shared and head.ties is False:
        findings.add(
            "weights/tied",
            "warning",
            [head.head],
            "is the embedding's tensor, though config.json does not tie them",
            ("config.json", "tie_word_embeddings false"),
            ("checkpoint", "no head of its own"),
        )
    elif not head.shared and head.ties:
        stored = "no head of its own" if own is None else "a head of its own"
        copy = same(state[head.head].detach().cpu(), state[head.embedding].detach().cpu())
        findings.add(
            "weights/untied",
            "warning" if copy or own is not None else "error",
            [head.head],
            "is a tensor of its own, though config.json ties it to the embedding",
            ("model", "a copy of the embedding's values" if copy else f"other values than {head.embedding}"),
            ("config.json", f"tie_word_embeddings true; the checkpoint holds {stored}"),
        )


def judge_absent_head(head: Head, state: Mapping[str, torch.Tensor], findings: Findings) -> None:
    """Report a head that the checkpoint lacks and nothing replaces."""
    if head.head is None or head.shared or (head.ties and head.embedding):
        return
    held = state[head.head]
    findings.add(
        "weights/head-missing",
        "error",
        [head.head],
        "is not in the checkpoint, and holds what it was initialised with",
        ("model", f"{dtype_name(held.dtype)} {list(held.shape)}, not tied to the embedding"),
        ("checkpoint", "no tensor of that name"),
    )


def _weight(model: Any, getter: str, state: Mapping[str, torch.Tensor], endings: tuple[str, ...]) -> str | None:
    module = _module(model, getter)
    if module is not None:
        path = next((path for path, found in model.named_modules() if found is module), None)
        name = f"{path}.weight" if path else "weight"
        return name if path is not None and name in state else None
    # At the top or one level below it: deeper modules have outputs, too.
    return next(
        (name for ending in endings for name in state if re.fullmatch(rf"([^.]+\.)?{re.escape(ending)}", name)), None
    )


def _module(model: Any, getter: str) -> nn.Module | None:
    if not hasattr(model, getter):
        return None
    try:
        found = getattr(model, getter)()
    except (AttributeError, NotImplementedError):
        return None
    return found if isinstance(found, nn.Module) else None
