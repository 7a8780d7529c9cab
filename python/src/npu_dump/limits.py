"""How much is written at once and how much may wait in memory."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes; the defaults are those of the dump format.

    Host memory of a capture stays below ``gather + buffer`` and two tensors, the one being written and the one being
    copied; with what statistics need that is less than 64 MiB and two tensors.

    Attributes:
        chunk: most bytes of one row of the file; one index along axis 0 may pass it.
        batch: most bytes of one record batch.
        gather: tensors of up to a quarter of it are collected until they fill it, so that small ones share a batch.
        buffer: most bytes that may wait beside the tensor being written; a larger tensor waits for an empty queue.
    """

    chunk: int = 32 * MIB
    batch: int = 64 * MIB
    gather: int = 24 * MIB
    buffer: int = 16 * MIB
