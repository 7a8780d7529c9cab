"""The samples that are asked about: as token ids where they are known, else as text or messages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from ..errors import DumpError
from ..inputs import SampleSource, read_prompt_samples
from ..prompts import Prompt, cut, read_paragraphs, read_prompts
from ..tokens import Sample


@dataclass(frozen=True)
class Question:
    """One sample before it is asked about.

    Attributes:
        ids: its token ids; None where nobody has told them yet.
        text: its prompt as text; None where it is not known, or not one.
        messages: turns of a conversation, which go to the server as they are.
        tokens: JSON array of the text of each token.
        expect: keywords that a good continuation contains.
        fixed: whether the ids must be fed as they are.
    """

    ids: tuple[int, ...] | None
    text: str | None = None
    messages: tuple[dict[str, str], ...] = ()
    tokens: str | None = None
    expect: tuple[str, ...] = ()
    fixed: bool = False


@dataclass(frozen=True)
class Source(SampleSource):
    """Where the samples come from; the fields are options of the command."""

    tokenizer: str | None = None


async def questions_of(
    source: Source, tokenize: Callable[[str], Awaitable[tuple[int, ...] | None]]
) -> list[Question]:
    """Return the samples, at most ``limit``.

    Args:
        source: where they come from.
        tokenize: gives a text's token ids by the server's tokenizer; None where it has no such service.

    Raises:
        DumpError: the source cannot be read, or cannot be tokenized where it must be.
    """
    if source.tokens_from:
        return [_fixed(number, sample) for number, sample in enumerate(read_prompt_samples(source, None))]
    if source.tokenizer:
        samples = read_prompt_samples(source, load_tokenizer(source.tokenizer))
        prompts = read_prompts(source.prompts) if source.prompts else [Prompt()] * len(samples)
        return [
            Question(
                sample.ids,
                # What the template made of messages, special tokens and all, is the text of no single prompt.
                sample.prompt if not (messages := _messages(prompt, source.chat)) else None,
                messages,
                sample.tokens,
                sample.expect,
            )
            for sample, prompt in zip(samples, prompts[: source.limit], strict=True)
        ]
    if source.text:
        ids = await tokenize(read_paragraphs(source.text, min_chars=source.min_chars))
        if ids is None:
            raise DumpError(
                "server-lacks",
                "a text cannot be cut into chunks without a tokenizer",
                facts=[("/tokenize", "the server has none"), ("--tokenizer", "not given")],
                help="give --tokenizer DIR, or --prompts instead of --text",
            )
        return [Question(tuple(chunk)) for chunk in cut(ids, source.chunk)[: source.limit]]
    if source.prompts is None:
        raise AssertionError("the command line demands one source of prompts")
    return [
        Question(
            None, None if (messages := _messages(prompt, source.chat)) else prompt.text, messages, None, prompt.expect
        )
        for prompt in read_prompts(source.prompts)[: source.limit]
    ]


def _messages(prompt: Prompt, chat: bool) -> tuple[dict[str, str], ...]:
    if prompt.messages or not chat or prompt.text is None:
        return prompt.messages
    return ({"role": "user", "content": prompt.text},)


def _fixed(number: int, sample: Sample) -> Question:
    foreign = next((token for token in sample.ids if not 0 <= token < 2**31), None)
    if foreign is not None or not sample.natural:
        raise DumpError(
            "token-range",
            "a sample of the dump cannot be sent to a server",
            facts=[
                ("sample", number),
                ("reason", f"token id {foreign}" if foreign is not None else "its positions are not 0, 1, 2, …"),
            ],
            help="give a dump of plain prompts",
        )
    return Question(sample.ids, sample.prompt, (), sample.tokens, sample.expect, fixed=True)


def load_tokenizer(given: str) -> Any:
    """Return the tokenizer of a model's folder."""
    from ..requirements import require_transformers

    require_transformers()
    from .. import models

    return models.load_tokenizer(models.locate(given, trust_remote_code=False, allow_download=False))
