"""What a run is asked for, and the token ids that it feeds: from prompts, a text, or another dump."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import DumpError
from .modes import DEFAULT_TOP_K
from .prompts import Prompt, read_chunks, read_prompts
from .tokens import Sample, samples_of_dump


@dataclass(frozen=True)
class SampleSource:
    """Which samples a command takes; the fields are its options, of the first three at most one is given."""

    prompts: Path | None = None
    text: Path | None = None
    tokens_from: Path | None = None
    chunk: int = 512
    min_chars: int = 50
    limit: int | None = None
    chat: bool = False


@dataclass(frozen=True, kw_only=True)
class Request(SampleSource):
    """What a command that runs a model was asked for; the fields are its options.

    ``run`` takes its samples from ``prompts``, ``text`` or ``tokens_from``; ``replay`` from the dump ``replay``,
    whose residual stream is fed as well.
    """

    model: str
    output: Path
    device: str = "cpu"
    dtype: str | None = None
    attn: str | None = None
    replay: Path | None = None
    batch: int = 1
    padding_side: str | None = None
    select: tuple[str, ...] = ()
    mode: tuple[str, ...] = ()
    top_k: int = DEFAULT_TOP_K
    generate: int = 0
    decode: int = 0
    repeats: int = 1
    temperature: float | None = None
    top_p: float | None = None
    seed: int = 0
    threads: int | None = None
    trust_remote_code: bool = False
    allow_download: bool = False
    host_info: bool = False
    force: bool = False

    @property
    def is_forced(self) -> bool:
        """Whether another dump says what is fed."""
        return self.tokens_from is not None or self.replay is not None

    @property
    def own_tokens(self) -> int:
        """How many tokens the model itself goes on with after each prompt."""
        return self.generate if self.is_forced else max(self.generate, self.decode)


def read_samples(request: Request, tokenizer: Any) -> list[Sample]:
    """Return the samples of a run, at most ``limit``, with the decode steps that it is forced to.

    Args:
        request: where they come from.
        tokenizer: a transformers tokenizer; not needed for the ids of a dump.

    Raises:
        DumpError: the source cannot be read, or is not what it should be.
    """
    if request.replay:
        return samples_of_dump(request.replay, steps=None)[: request.limit]
    if request.tokens_from:
        return samples_of_dump(request.tokens_from, steps=request.decode)[: request.limit]
    return _tokenized_samples(request, tokenizer)


def read_prompt_samples(source: SampleSource, tokenizer: Any) -> list[Sample]:
    """Return the samples of a command that feeds prompts alone, at most ``limit``; each has tokens.

    Args:
        source: where they come from.
        tokenizer: a transformers tokenizer; not needed for the ids of a dump.

    Raises:
        DumpError: the source cannot be read, or is not what it should be.
    """
    if source.tokens_from:
        samples = samples_of_dump(source.tokens_from, steps=0)[: source.limit]
    else:
        samples = _tokenized_samples(source, tokenizer)
    _refuse_empty(samples)
    return samples


def _tokenized_samples(source: SampleSource, tokenizer: Any) -> list[Sample]:
    if source.text:
        chunks = read_chunks(
            source.text,
            lambda text: _encode(tokenizer, text),
            chunk=source.chunk,
            min_chars=source.min_chars,
            limit=source.limit,
        )
        return [_sample(tokenizer, ids, tokenizer.decode(ids), ()) for ids in chunks]
    if source.prompts is None:
        raise AssertionError("the command line demands one source of prompts")
    prompts = read_prompts(source.prompts)[: source.limit]
    return [_tokenized(tokenizer, prompt, number, source.chat) for number, prompt in enumerate(prompts)]


def _tokenized(tokenizer: Any, prompt: Prompt, number: int, chat: bool) -> Sample:
    if prompt.text is not None and not chat:
        return _sample(tokenizer, _encode(tokenizer, prompt.text), prompt.text, prompt.expect)
    messages = list(prompt.messages) or [{"role": "user", "content": prompt.text}]
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except Exception as error:
        raise DumpError(
            "chat-template",
            "the tokenizer's chat template cannot be applied",
            facts=[("prompt", number), (type(error).__name__, (str(error).splitlines() or [""])[0])],
            help="give plain prompts without --chat, or a model with a chat template",
        ) from error
    # The template writes the special tokens itself.
    return _sample(tokenizer, _encode(tokenizer, text, add_special_tokens=False), text, prompt.expect)


def _encode(tokenizer: Any, text: str, **options: Any) -> list[int]:
    # verbose: the warning about long texts is about feeding them whole, which we do not.
    return list(tokenizer(text, verbose=False, **options)["input_ids"])


def _sample(tokenizer: Any, ids: Sequence[int], prompt: str, expect: tuple[str, ...]) -> Sample:
    return Sample(tuple(ids), prompt, token_texts(tokenizer, ids), expect=expect)


def token_texts(tokenizer: Any, ids: Sequence[int]) -> str:
    """Return the text of each token, as a JSON array of as many strings.

    Decoded one by one: the vocabulary's own spelling (byte-level BPE) is unreadable outside ASCII.
    """
    return json.dumps([tokenizer.decode([token]) for token in ids], ensure_ascii=False)


def check_samples(samples: list[Sample], config: Any, request: Request) -> None:
    """Raise a `DumpError` where a sample is empty, or does not fit the model's vocabulary or positions."""
    vocabulary = getattr(config, "vocab_size", None)
    longest = getattr(config, "max_position_embeddings", None)
    _refuse_empty(samples)
    for number, sample in enumerate(samples):
        fed = [*sample.ids, *(token for step in sample.steps for token in step.ids)]
        foreign = next((token for token in fed if token < 0 or (vocabulary and token >= vocabulary)), None)
        if foreign is not None:
            raise DumpError(
                "token-range",
                "a token id is not in the model's vocabulary",
                facts=[("prompt", number), ("token id", foreign), ("vocabulary", vocabulary)],
                help="use the model that the ids were made for",
            )
        placed = [*sample.prefill.positions, *(place for step in sample.steps for place in step.positions)]
        if min(placed) < 0 or (longest and not sample.natural and max(placed) >= longest):
            raise DumpError(
                "position-range",
                "a token is at no position of the model",
                facts=[("prompt", number), ("positions", f"{min(placed)} to {max(placed)}"), ("model's", longest)],
                help="use the model that the dump was made with",
            )
        reached = len(sample.ids) + max(request.generate, request.decode, sample.length - len(sample.ids))
        if longest and reached > longest:
            raise DumpError(
                "prompt-long",
                "a prompt is longer than the model's positions reach",
                facts=[("prompt", number), ("tokens", reached), ("positions", longest)],
                help="shorten the prompt, or use --text with --chunk",
            )


def _refuse_empty(samples: Sequence[Sample]) -> None:
    empty = next((number for number, sample in enumerate(samples) if not sample.ids), None)
    if empty is not None:
        raise DumpError(
            "prompt-empty",
            "a prompt has no tokens",
            facts=[("prompt", empty), ("text", samples[empty].prompt)],
            help="remove it from the file",
        )
