"""In which order, and how many at a time, a server is asked about the samples."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing

from ..errors import DumpError
from ..repeats import Repetition
from .questions import Question
from .session import Answer, Session

Ask = Callable[[Question], Awaitable[Answer]]
# The number of a sample, and what the server said of it.
Answers = AsyncGenerator[tuple[int, Answer], None]


async def answers(session: Session, first: Answer, questions: Sequence[Question], concurrency: int) -> Answers:
    """Yield the answers of the run itself, of which the first is known."""
    yield 0, first
    async with aclosing(_in_turn(session.answer, questions, range(1, len(questions)), concurrency)) as others:
        async for found in others:
            yield found


async def continuations(session: Session, questions: Sequence[Question], repetition: Repetition) -> Answers:
    """Yield the continuations of a repetition: in the run's own order its first prompt is alone again."""
    order = range(len(questions))
    for part in [order[::-1]] if repetition.reverse else [order[:1], order[1:]]:
        async with aclosing(_in_turn(session.again, questions, part, repetition.batch)) as told:
            async for found in told:
                yield found


async def asked(ask: Ask, questions: Sequence[Question], number: int) -> Answer:
    """Ask about one sample.

    Raises:
        DumpError: what came instead of an answer; it names the sample.
    """
    try:
        return await ask(questions[number])
    except DumpError as error:
        error.facts.append(("prompt", str(number)))
        raise


async def _in_turn(ask: Ask, questions: Sequence[Question], order: Sequence[int], concurrency: int) -> Answers:
    """Yield answers in an order, at most ``concurrency`` being asked for at a time."""
    waiting: deque[tuple[int, asyncio.Task[Answer]]] = deque()
    try:
        for number in order:
            waiting.append((number, asyncio.ensure_future(asked(ask, questions, number))))
            if len(waiting) == concurrency:
                done, task = waiting.popleft()
                yield done, await task
        while waiting:
            done, task = waiting.popleft()
            yield done, await task
    finally:
        tasks = [task for _, task in waiting]
        for task in tasks:
            task.cancel()
        # Their errors are no news beside the one that ended the run.
        await asyncio.gather(*tasks, return_exceptions=True)
