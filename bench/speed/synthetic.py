"""Pairs of dumps that are made up: random values, in the shapes of a model, the candidate a little off.

A candidate differs from its reference by about the rounding of its number format, so that npu-diff's verdict is a
pass, as it is of a correct engine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from .number_formats import ROUNDOFF, STORED, decode, encode

MIB = 1 << 20


class Piece(NamedTuple):
    """One tensor of one sample on both sides, in the stored form of each side's number format."""

    name: str
    sample: int
    reference: np.ndarray
    candidate: np.ndarray


class Source(Protocol):
    """What a pair of dumps is made from."""

    @property
    def formats(self) -> tuple[str, str]:
        """Number formats of the reference and of the candidate."""
        ...

    @property
    def model(self) -> dict[str, Any]:
        """What the dumps say of the model."""
        ...

    @property
    def elements(self) -> int:
        """Elements of all float tensors of one side."""
        ...

    def pieces(self, random: np.random.Generator) -> Iterator[Piece]:
        """Every tensor, sample by sample."""
        ...


@dataclass(frozen=True)
class Hidden:
    """Hidden states: `embed`, and what each layer's attention, MLP and residual stream hand on."""

    layers: int
    width: int
    tokens: int
    formats: tuple[str, str]

    @classmethod
    def of_size(cls, size: int, layers: int, width: int, name: str) -> Hidden:
        """As many tokens as fill `size` bytes a side."""
        token = (3 * layers + 1) * width * STORED[name].itemsize
        return cls(layers, width, max(4, round(size / token)), (name, name))

    @property
    def model(self) -> dict[str, Any]:
        """A sequential residual stream, whose sums hold up to rounding."""
        return {"layers": self.layers, "hidden_size": self.width, "residual": "sequential"}

    @property
    def elements(self) -> int:
        """Of the tensors with a width."""
        return (3 * self.layers + 1) * self.width * self.tokens

    def pieces(self, random: np.random.Generator) -> Iterator[Piece]:
        """As a capture writes them: in execution order, one sample after the other."""
        for sample, tokens in enumerate(samples(self.tokens, 256)):
            ids = random.integers(0, 32_000, tokens)
            yield Piece("input_ids", sample, ids, ids)
            stream = self._near(random, random.standard_normal((tokens, self.width), dtype=np.float32))
            yield Piece("embed", sample, *self._stored(stream))
            for layer in range(self.layers):
                for block in ("attn", "mlp"):
                    handed = 0.2 * random.standard_normal((tokens, self.width), dtype=np.float32)
                    pair = self._rounded(self._near(random, handed))
                    yield Piece(f"layers.{layer}.{block}", sample, *self._stored(pair))
                    stream = stream[0] + pair[0], stream[1] + pair[1]
                stream = self._rounded(stream)
                yield Piece(f"layers.{layer}", sample, *self._stored(stream))

    def _near(self, random: np.random.Generator, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._rounded((values, near(random, values, self.formats)))

    def _rounded(self, pair: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        first, second = self._stored(pair)
        return decode(first, self.formats[0]), decode(second, self.formats[1])

    def _stored(self, pair: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        return encode(pair[0], self.formats[0]), encode(pair[1], self.formats[1])


@dataclass(frozen=True)
class Logits:
    """Logits alone, with the token ids that they are the predictions of."""

    vocabulary: int
    tokens: int
    formats: tuple[str, str]

    @classmethod
    def of_size(cls, size: int, vocabulary: int, formats: tuple[str, str]) -> Logits:
        """As many tokens as fill `size` bytes of the reference."""
        return cls(vocabulary, max(4, round(size / (vocabulary * STORED[formats[0]].itemsize))), formats)

    @property
    def model(self) -> dict[str, Any]:
        """Of the head alone."""
        return {"vocab_size": self.vocabulary}

    @property
    def elements(self) -> int:
        """Of the one tensor."""
        return self.vocabulary * self.tokens

    def pieces(self, random: np.random.Generator) -> Iterator[Piece]:
        """Rows with one peak, which half of the time is the token that follows."""
        for sample, tokens in enumerate(samples(self.tokens, 128)):
            peaks = random.integers(0, self.vocabulary, tokens)
            others = random.integers(0, self.vocabulary, tokens)
            ids = np.where(random.random(tokens) < 0.5, np.roll(peaks, 1), others)
            yield Piece("input_ids", sample, ids, ids)
            logits = 2.5 * random.standard_normal((tokens, self.vocabulary), dtype=np.float32)
            logits[np.arange(tokens), peaks] += 14
            candidate = encode(near(random, logits, self.formats), self.formats[1])
            yield Piece("logits", sample, encode(logits, self.formats[0]), candidate)


@dataclass(frozen=True)
class Many:
    """Many tensors of 4 KB, under the names of modules."""

    count: int

    @property
    def formats(self) -> tuple[str, str]:
        """Both sides float32."""
        return "F32", "F32"

    @property
    def model(self) -> dict[str, Any]:
        """Nothing is known of it."""
        return {}

    @property
    def elements(self) -> int:
        """1,024 a tensor."""
        return 1024 * self.count

    def pieces(self, random: np.random.Generator) -> Iterator[Piece]:
        """Of one sample of 4 tokens."""
        ids = random.integers(0, 32_000, 4)
        yield Piece("input_ids", 0, ids, ids)
        for number in range(self.count):
            values = random.standard_normal((4, 256), dtype=np.float32)
            yield Piece(f"model.blocks.{number}", 0, values, near(random, values, self.formats))


def samples(tokens: int, most: int) -> list[int]:
    """Lengths of samples of about the same length: four or more, of at most `most` tokens."""
    count = max(min(4, tokens), math.ceil(tokens / most))
    return [tokens // count + (number < tokens % count) for number in range(count)]


def near(random: np.random.Generator, values: np.ndarray, formats: tuple[str, str]) -> np.ndarray:
    """Values off by up to one unit in the last place of the coarser format, each."""
    noise = random.random(values.shape, dtype=np.float32)
    noise -= 0.5
    noise *= 4 * max(ROUNDOFF[name] for name in formats)
    noise += 1
    noise *= values
    return noise
