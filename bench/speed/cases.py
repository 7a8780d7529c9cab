"""What is run: the data of each case, and the tools that read it."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass, replace

from .dumps import Captured
from .number_formats import STORED
from .synthetic import MIB, Hidden, Logits, Many, Source
from .tools import OURS

GIB = 1 << 30
NPU_DIFF = (OURS, "npu-diff --jobs 2")
READING = ("cmp", "cat")
NUMPY = ("NumPy", "NumPy, in blocks")
POLYGRAPHY = ("Polygraphy", "Polygraphy, L2 and cosine")
TORCH = ("torch", "torch, whole tensors")
COMPARERS = (*NUMPY, *TORCH, *POLYGRAPHY, "msprobe")
START = ("npu-diff --version", "node -e 0", "python -c 'import numpy'", "python -c 'import torch'")
SOFTMAX = (*NUMPY, *TORCH, "torch, softmax alone")


@dataclass(frozen=True)
class Case:
    """One table: the first tool is what the others are held against.

    Attributes:
        id: `what/format/size`.
        source: of the dumps; None: nothing is read.
        tools: keys of `TOOLS`.
        growth: a series of cases that it belongs to, and how much of it this one has.
    """

    id: str
    source: Source | Captured | None
    tools: tuple[str, ...]
    growth: tuple[str, int] | None = None

    def with_tools(self, pattern: str) -> Case:
        """With the first tool, and of the others those whose names match."""
        first, *others = self.tools
        return replace(self, tools=(first, *(name for name in others if fnmatch.fnmatchcase(name, pattern))))

    @property
    def bytes(self) -> int:
        """Of the tensors of both sides, about: what the disk must have for each form."""
        if self.source is None:
            return 0
        return sum(self.source.elements * STORED[name].itemsize for name in self.source.formats)


def full_cases() -> Iterator[Case]:
    """Those of the table in the documentation."""
    yield Case("start", None, START)
    yield Case("hidden/F32/1MiB", Hidden.of_size(MIB, 4, 256, "F32"), (*NPU_DIFF, *READING, *COMPARERS))
    for dtype in ("F32", "BF16", "F16"):
        for label, size in (("64MiB", 64 * MIB), ("1GiB", GIB), ("4GiB", 4 * GIB)):
            # Of 4 GiB the files of all tools do not fit an ordinary disk, nor their pages the memory.
            others = COMPARERS if size <= GIB else (*NUMPY, "torch")
            if size == GIB and dtype != "F32":
                # Minutes a run.
                others = tuple(tool for tool in others if tool not in POLYGRAPHY)
            yield _hidden(f"hidden/{dtype}/{label}", size, dtype, 32, 4096, (*READING, *others))
    yield Case("real/F32-BF16/SmolLM2-135M", Captured(), (*NPU_DIFF, *READING, *COMPARERS))
    for vocabulary in (49_152, 248_044):
        for formats in (("F32", "F32"), ("F32", "BF16")):
            source = Logits.of_size(GIB, vocabulary, formats)
            yield Case(_logits_id(source), source, (*NPU_DIFF, *READING, *SOFTMAX))
    for count in (100, 1_000, 10_000):
        tools = COMPARERS if count == 10_000 else NUMPY
        growth = "tensors of 4 KB", count
        yield Case(f"many/F32/{count}", Many(count), (*NPU_DIFF, *READING, *tools), growth)
    for exponent in (10, 12, 14, 16, 18):
        yield _vocabulary(1 << exponent, 256 * MIB)


def small_cases() -> Iterator[Case]:
    """A case of every kind, of a size that the tests have time for."""
    yield Case("start", None, START)
    for label, size in (("8KiB", 8 << 10), ("16KiB", 16 << 10), ("32KiB", 32 << 10)):
        others = (*READING, *COMPARERS) if label == "8KiB" else ("cat",)
        yield _hidden(f"hidden/F32/{label}", size, "F32", 2, 32, others)
    yield _hidden("hidden/BF16/8KiB", 8 << 10, "BF16", 2, 32, COMPARERS)
    source = Logits.of_size(64 << 10, 512, ("F32", "BF16"))
    yield Case(_logits_id(source), source, (*NPU_DIFF, *SOFTMAX))
    yield Case("many/F32/20", Many(20), (*NPU_DIFF, "NumPy", "msprobe"), ("tensors of 4 KB", 20))


def _hidden(name: str, size: int, dtype: str, layers: int, width: int, others: tuple[str, ...]) -> Case:
    source = Hidden.of_size(size, layers, width, dtype)
    return Case(name, source, (*NPU_DIFF, *others), (f"bytes a side, {dtype}", size))


def _logits_id(source: Logits) -> str:
    return f"logits/{'-'.join(dict.fromkeys(source.formats))}/{source.vocabulary}"


def _vocabulary(vocabulary: int, size: int) -> Case:
    source = Logits.of_size(size, vocabulary, ("F32", "F32"))
    return Case(f"vocabulary/F32/{vocabulary}", source, (*NPU_DIFF, "cat"), ("vocabulary", vocabulary))
