"""Continuations by the engine itself: those of the run, and all of them again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..inputs import Request
from ..progress import Progress
from ..repeats import schedule
from ..tokens import Sample
from .outputs import Stored, continuation_of
from .session import Session

# Stores what is known of a sample: its number, texts and arrays, and the repetition.
Store = Callable[[int, Stored, int], None]


def continued(request: Request, session: Session, batch: Sequence[tuple[int, Sample]]) -> list[Any]:
    """Return the engine's own continuation of each prompt, None where none is asked for.

    Nothing of it is captured, so that every repetition is exactly what the run itself is.

    Args:
        request: how many tokens, and how they are drawn.
        session: the engine.
        batch: samples that are run together, each with its number.
    """
    tokens = request.own_tokens
    if not tokens:
        return [None] * len(batch)
    return session.generate(
        [
            session.request(sample.ids, tokens=tokens, logprobs=request.top_k, sampling=request, number=number)
            for number, sample in batch
        ]
    )


def repeat(
    request: Request, session: Session, samples: Sequence[Sample], store: Store, tokenizer: Any, progress: Progress
) -> None:
    """Continue all prompts again, and store what comes beside the ids that it came from."""
    repetitions = schedule(request.repeats, batch=request.batch, samples=len(samples))[1:]
    done, total = 0, len(repetitions) * len(samples)
    for repetition in repetitions:
        for batch in repetition.batches(samples):
            for (number, sample), output in zip(batch, continued(request, session, batch), strict=True):
                texts, arrays = continuation_of(output, tokenizer, request.top_k)
                fed: Stored = texts, {"input_ids": ("int64", [len(sample.ids)], list(sample.ids)), **arrays}
                store(number, fed, repetition.number)
            done += len(batch)
            progress.step("repeating", done, total, "samples")
