"""How the repetitions of a determinism run are fed: some as the run itself, some in other batches.

An engine that differs from itself where nothing was changed is not deterministic. One that differs only where a
prompt has other neighbours runs other kernels for other batches, which round otherwise: *batch variance*, another
matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

# Prompts of a batch in the repetitions that are fed otherwise: enough for another kernel, few enough for the memory.
OTHER_BATCH = 8


@dataclass(frozen=True)
class Repetition:
    """How one repetition is fed.

    Attributes:
        number: 0 for the run itself.
        batch: prompts a forward, at most; of a server, samples that are asked about at a time.
        reverse: whether the last prompt comes first.
    """

    number: int
    batch: int
    reverse: bool

    def batches(self, samples: Sequence[T]) -> Iterator[list[tuple[int, T]]]:
        """Yield the samples in the order and the batches of this repetition, each with its number."""
        yield from batches(samples, self.batch, reverse=self.reverse)


def batches(samples: Sequence[T], size: int, *, reverse: bool = False) -> Iterator[list[tuple[int, T]]]:
    """Yield the samples in batches of at most ``size``, each sample with its number; the last first in reverse."""
    ordered = list(enumerate(samples))
    if reverse:
        ordered.reverse()
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


def schedule(repeats: int, *, batch: int, samples: int) -> list[Repetition]:
    """Return how each of the repetitions is fed, the run itself included.

    Those of odd number are fed as the run itself. Those of even number come in batches of another size, the last
    prompt first; a single prompt has no neighbours, so there is no other way to feed it.

    Args:
        repeats: how many there are, from 1.
        batch: prompts a forward of the run itself, from 1.
        samples: prompts of the run, from 1.
    """
    own = min(batch, samples)
    other = min(OTHER_BATCH, samples)
    if other == own:
        other = 1
    alike = {"batch": own, "reverse": False}
    otherwise = {"batch": other, "reverse": samples > 1}
    return [Repetition(number, **(otherwise if number and number % 2 == 0 else alike)) for number in range(repeats)]


def determinism(repetitions: Sequence[Repetition], *, batch: str = "batch") -> dict[str, Any]:
    """Return what the metadata of a dump says of its repetitions.

    Args:
        repetitions: from `schedule`.
        batch: what the size of a batch is called.
    """
    return {
        "repeats": len(repetitions),
        # Of hidden states and logits there is the first repetition alone.
        "stored": "continuations",
        "schedule": [{batch: one.batch, "order": "reverse" if one.reverse else "forward"} for one in repetitions],
    }
