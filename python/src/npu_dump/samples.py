"""Which rows of a forward's batch belong to which sample and step."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils.weak import WeakIdKeyDictionary

from .errors import DumpError
from .points import Point


@dataclass(frozen=True)
class Row:
    """The tokens of one sample in a batch.

    Attributes:
        sample: number of the sample.
        step: 0 for its prompt, k for its k-th step with a filled cache.
        batch: its row in the batch.
        tokens: its columns without padding: a slice where they are contiguous, else their indices.
        length: how many they are.
        start: the first of them in the sample's step, where an engine runs a prompt in parts.
        whole: tokens of the sample in the step; None: these.
    """

    sample: int
    step: int
    batch: int
    tokens: slice | torch.Tensor
    length: int
    start: int = 0
    whole: int | None = None

    @property
    def is_part(self) -> bool:
        """Whether other forwards have tokens of the same sample and step."""
        return self.whole not in (None, self.length)


@dataclass
class Step:
    """One forward pass.

    Attributes:
        input_ids: ``[B, T]``, or None where embeddings were fed.
        position_ids: ``[B or 1, T]`` as fed; None where the model counts by itself.
        past: tokens in the cache, padding included.
        shape: ``(B, T)``.
        rows: the samples; a row that is all padding is left out.
        last: logits of each sample's last token, which predict the first token of its next step; kept as long as the
            cache that the next step needs.
    """

    input_ids: torch.Tensor | None = None
    position_ids: torch.Tensor | None = None
    past: int = 0
    shape: tuple[int, int] = (0, 0)
    rows: list[Row] = field(default_factory=list)
    last: dict[int, torch.Tensor] = field(default_factory=dict)
    _taken: Counter[str] = field(default_factory=Counter)
    _called: Counter[str] = field(default_factory=Counter)

    def by_token(self, tensor: torch.Tensor, name: str) -> torch.Tensor:
        """Return ``tensor`` as ``[B, T, …]``; some modules, such as routers, see batch and tokens as one axis.

        Raises:
            DumpError: it has no such axes.
        """
        batch, length = self.shape
        if tensor.shape[:2] == (batch, length):
            return tensor
        if not tensor.ndim or tensor.shape[0] != batch * length:
            raise DumpError(
                "rows-unknown",
                f"{name} has no axes for batch and tokens",
                facts=[("shape", list(tensor.shape)), ("batch and tokens", [batch, length])],
                help=f"leave it out: select other tensors than {name}",
            )
        return tensor.reshape(batch, length, *tensor.shape[1:])

    def cut(self, tensor: torch.Tensor, name: str) -> Iterator[tuple[Row, torch.Tensor]]:
        """Yield the rows of each sample, ``[T, …]`` views where its tokens are contiguous."""
        whole = self.by_token(tensor, name)
        for row in self.rows:
            yield row, whole[row.batch, row.tokens]

    def name_of(self, point: Point) -> str | None:
        """Count a call of the point's module and return the tensor's name in it.

        That is the point's name, with ``#1``, ``#2``, … where it was taken in this step before; None where the call
        is another layer's that shares the module.
        """
        calls = self._called[point.name]
        self._called[point.name] += 1
        if calls % point.turns != point.turn:
            return None
        count = self._taken[point.name]
        self._taken[point.name] += 1
        return f"{point.name}#{count}" if count else point.name

    def reached(self, point: Point) -> bool:
        """Return whether the point's tensor was seen in this step."""
        return bool(self._taken[point.name])


@dataclass
class _Sequence:
    """Samples that share a cache."""

    samples: range
    steps: int = 0
    fed: int = 0
    last: dict[int, torch.Tensor] = field(default_factory=dict)


class SampleTracker:
    """Numbers samples and steps over the forward passes of one model.

    A forward with an empty cache starts as many new samples as its batch has rows; one with a filled cache is the
    next step of the samples that filled it.
    """

    def __init__(self, model: nn.Module) -> None:
        self.count = 0
        self._signature = inspect.signature(model.forward)
        self.has_positions = "position_ids" in self._signature.parameters
        kinds = {parameter.kind: name for name, parameter in self._signature.parameters.items()}
        self._rest = kinds.get(inspect.Parameter.VAR_KEYWORD, "")
        # Weak: a capture must not keep a cache, and its device memory, alive.
        self._by_cache: Any = WeakIdKeyDictionary()
        self._current: _Sequence | None = None

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Step:
        """Return the step that a forward with these arguments is.

        Raises:
            DumpError: the cache was filled by forwards that were not captured, or the mask is not ``[B, past + T]``.
        """
        bound = self._signature.bind(*args, **kwargs).arguments
        bound |= bound.pop(self._rest, {})
        ids, embeddings = bound.get("input_ids"), bound.get("inputs_embeds")
        fed = ids if ids is not None else embeddings
        if fed is None:
            raise DumpError(
                "input-absent",
                "the model was called without input_ids and without inputs_embeds",
                facts=[("arguments", ", ".join(bound) or "none")],
                help="call the model with input_ids=...",
            )
        batch, length = (1, fed.shape[0]) if fed is ids and fed.ndim == 1 else fed.shape[:2]
        # State space models call theirs cache_params.
        cache = bound.get("past_key_values", bound.get("cache_params"))
        past = self._cached_tokens(cache)
        if past == 0:
            sequence = _Sequence(range(self.count, self.count + batch))
            self.count += batch
        else:
            sequence = self._known(cache, past, batch)
            sequence.steps += 1
        sequence.fed += length
        self._current = sequence
        if cache is not None:
            self._remember(cache)
        mask = bound.get("attention_mask")
        return Step(
            input_ids=None if ids is None else ids.reshape(batch, length),
            position_ids=bound.get("position_ids"),
            past=past,
            shape=(batch, length),
            rows=_rows(sequence, mask, batch, length, past),
            last=sequence.last,
        )

    def end(self, output: Any) -> None:
        """Note the cache that the forward has filled."""
        caches = [getattr(output, name, None) for name in ("past_key_values", "cache_params")]
        if isinstance(output, tuple):
            caches += [item for item in output if hasattr(item, "get_seq_length")]
        for cache in caches:
            if cache is not None:
                self._remember(cache)

    def _remember(self, cache: Any) -> None:
        identity = _identity(cache)
        if identity is not None:
            self._by_cache[identity] = self._current

    def _cached_tokens(self, cache: Any) -> int:
        if cache is None:
            return 0
        if isinstance(cache, (tuple, list)):
            return int(cache[0][0].shape[-2]) if cache else 0
        sequence = self._by_cache.get(_identity(cache))
        fed = sequence.fed if sequence else 0
        try:
            length = int(cache.get_seq_length())
        except (AttributeError, ValueError):
            # A recurrent state does not say how many tokens it has seen.
            return fed
        if not length or _holds_nothing(cache):
            return 0
        # One that keeps a window may count only what is in it.
        return fed if fed and any(getattr(cache, "is_sliding", ())) else length

    def _known(self, cache: Any, past: int, batch: int) -> _Sequence:
        sequence = self._by_cache.get(_identity(cache))
        if sequence is None or len(sequence.samples) != batch or sequence.fed != past:
            captured = f"{sequence.fed}, batch {len(sequence.samples)}" if sequence else "none"
            raise DumpError(
                "cache-unknown",
                "the cache was filled, or cut, by something that was not captured",
                facts=[("tokens in the cache", f"{past}, batch {batch}"), ("of them captured", captured)],
                help="run the prompt inside the same `with Dump(...)` block, with the same batch",
            )
        return sequence


def _identity(cache: Any) -> Any:
    """Return what stays the same object from one step to the next: of a plain tuple of tensors the first."""
    if not isinstance(cache, (tuple, list)):
        return cache
    return cache[0][0] if cache else None


def _holds_nothing(cache: Any) -> bool:
    """Return whether all keys are empty: until they are used, caches of some hybrids count the batch as tokens."""
    keys = getattr(cache, "key_cache", None)
    return isinstance(keys, list) and all(isinstance(key, torch.Tensor) and not key.numel() for key in keys)


def _rows(sequence: _Sequence, mask: Any, batch: int, length: int, past: int) -> list[Row]:
    samples, step = sequence.samples, sequence.steps
    if not isinstance(mask, torch.Tensor):
        return [Row(sample, step, row, slice(0, length), length) for row, sample in enumerate(samples)]
    if tuple(mask.shape) not in ((batch, past + length), (batch, length)):
        raise DumpError(
            "mask-shape",
            "the attention mask does not tell which tokens are padding",
            facts=[("attention_mask", list(mask.shape)), ("expected", [batch, past + length])],
            help="pass a mask of 0 and 1 with one row a prompt and one column a token",
        )
    rows: list[Row] = []
    for row, (sample, kept) in enumerate(zip(samples, mask[:, -length:].to("cpu").bool(), strict=True)):
        columns = kept.nonzero().flatten()
        count = int(columns.numel())
        if not count:
            continue
        first, last = int(columns[0]), int(columns[-1])
        contiguous = last - first + 1 == count
        rows.append(Row(sample, step, row, slice(first, last + 1) if contiguous else columns, count))
    return rows
