"""The hardware behind the stand-in: memory that ends, one stream of work, and what went over the bus."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

# NPUCachingAllocator.cpp: all sizes are rounded to blocks of 512 bytes.
BLOCK = 512


class Block:
    """Memory of one storage; it is free again when the last tensor that lies in it is gone."""

    def __init__(self, chip: Chip, size: int) -> None:
        self.chip = chip
        weakref.finalize(self, chip.free, size)


class Chip:
    """One NPU.

    Attributes:
        index: its number.
        capacity: its memory in bytes.
        allocated: bytes in use.
        peak: the most bytes in use since the last reset.
        to_host: size in bytes of each transfer to the host, in order.
        to_device: size in bytes of each transfer from the host, in order.
        waits: how often the host waited for the device.
        without_kernel: names of operators, e.g. ``aten::cumsum``, that have no kernel and run on the host.
        without_dtypes: element types that no kernel takes.
        failing: by an operator's name the error that its kernel ends in, which the host learns when it waits.
        closed: an error code of the driver, which then does not open the device; None: it does.
        generator: where its random numbers come from.
    """

    def __init__(self, index: int) -> None:
        self.index = index
        self.generator = torch.Generator()
        self.allocated = self.peak = 0
        # By the address of the storage, which holds for as long as a tensor, and with it the block, is there.
        self._blocks: weakref.WeakValueDictionary[int, Block] = weakref.WeakValueDictionary()
        self._transfers: list[Callable[[], object]] = []
        self.reset()

    def reset(self) -> None:
        """Forget faults, limits and counts; memory in use stays in use."""
        self.capacity = 64 << 30
        self.without_kernel: set[str] = set()
        self.without_dtypes = {torch.float64, torch.complex128}
        self.failing: dict[str, str] = {}
        self.closed: int | None = None
        self._failure: str | None = None
        self.to_host: list[int] = []
        self.to_device: list[int] = []
        self.waits = 0
        self.peak = self.allocated
        self.generator.manual_seed(0)

    def block_of(self, storage: torch.UntypedStorage) -> Block:
        """Return the memory of a storage; allocates it where it is new."""
        block = self._blocks.get(storage._cdata)
        if block is None:
            block = self._blocks[storage._cdata] = Block(self, self.allocate(storage.nbytes()))
        return block

    def allocate(self, size: int) -> int:
        """Take memory and return how much; ``free`` gives it back.

        Raises:
            torch.OutOfMemoryError: there is not that much.
        """
        size = -(-size // BLOCK) * BLOCK
        if self.allocated + size > self.capacity:
            free = self.capacity - self.allocated
            raise torch.OutOfMemoryError(
                f"NPU out of memory. Tried to allocate {_mib(size)} (NPU {self.index}; {_mib(self.capacity)} total "
                f"capacity; {_mib(self.allocated)} already allocated; {_mib(self.allocated)} current active; "
                f"{_mib(free)} free; {_mib(self.allocated)} reserved in total by PyTorch)."
                "If reserved memory is >> allocated memory try setting max_split_size_mb to avoid fragmentation."
            )
        self.allocated += size
        self.peak = max(self.peak, self.allocated)
        return size

    def free(self, size: int) -> None:
        """Give memory back."""
        self.allocated -= size

    def launch(self, operator: str) -> None:
        """Note that a kernel runs from here on."""
        self._failure = self._failure or self.failing.get(operator)

    def later(self, transfer: Callable[[], object]) -> None:
        """Put a transfer to the host into the stream; it ends when the host waits."""
        self._transfers.append(transfer)

    def wait(self) -> None:
        """Let the host wait until all work is done.

        Raises:
            RuntimeError: some of it failed.
        """
        self.waits += 1
        failure, self._failure = self._failure, None
        transfers, self._transfers = self._transfers, []
        if failure is not None:
            raise RuntimeError(failure)
        for transfer in transfers:
            transfer()

    @contextmanager
    def randomness(self) -> Iterator[None]:
        """Let the CPU code inside draw from this chip's generator."""
        kept = torch.get_rng_state()
        torch.set_rng_state(self.generator.get_state())
        try:
            yield
        finally:
            self.generator.set_state(torch.get_rng_state())
            torch.set_rng_state(kept)


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.2f} MiB"


CHIPS = [Chip(0), Chip(1)]
