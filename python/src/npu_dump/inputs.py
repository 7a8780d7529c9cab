"""What a run is asked for, and the token ids that it feeds: from prompts, a text, or another dump."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import DumpError
from .prompts import Prompt, read_chunks, read_prompts
from .reader import DumpFile


@dataclass(frozen=True)
class Request:
    """What `npu-dump run` was asked for; the fields are its options."""

    model: str
    output: Path
    device: str = "cpu"
    dtype: str | None = None
    attn: str | None = None
    prompts: Path | None = None
    text: Path | None = None
    tokens_from: Path | None = None
    chunk: int = 512
    min_chars: int = 50
    limit: int | None = None
    batch: int = 1
    padding_side: str = "right"
    select: tuple[str, ...] = ()
    generate: int = 0
    temperature: float | None = None
    top_p: float | None = None
    seed: int = 0
    threads: int | None = None
    chat: bool = False
    trust_remote_code: bool = False
    allow_download: bool = False
    host_info: bool = False
    force: bool = False


@dataclass(frozen=True)
class Sample:
    """One prompt as token ids.

    Attributes:
        ids: token ids, at least one.
        prompt: its text; None where it is not known.
        tokens: JSON array of the text of each token; None where it is not known.
        positions: position ids where they are not 0…T-1.
        expect: keywords that a good continuation contains.
    """

    ids: tuple[int, ...]
    prompt: str | None = None
    tokens: str | None = None
    positions: tuple[int, ...] | None = None
    expect: tuple[str, ...] = ()


def read_samples(request: Request, tokenizer: Any) -> list[Sample]:
    """Return the samples of a run, at most ``limit``.

    Args:
        request: where they come from.
        tokenizer: a transformers tokenizer; not needed with ``tokens_from``.

    Raises:
        DumpError: the source cannot be read, or is not what it should be.
    """
    if request.tokens_from:
        samples = _samples_of_dump(request.tokens_from)
        return samples[: request.limit]
    if request.text:
        chunks = read_chunks(
            request.text,
            lambda text: _encode(tokenizer, text),
            chunk=request.chunk,
            min_chars=request.min_chars,
            limit=request.limit,
        )
        return [_sample(tokenizer, ids, tokenizer.decode(ids), ()) for ids in chunks]
    if request.prompts is None:
        raise AssertionError("the command line demands one source of prompts")
    prompts = read_prompts(request.prompts)[: request.limit]
    return [_tokenized(tokenizer, prompt, number, request.chat) for number, prompt in enumerate(prompts)]


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
    # Decoded one by one: the vocabulary's own spelling (byte-level BPE) is unreadable outside ASCII.
    tokens = [tokenizer.decode([token]) for token in ids]
    return Sample(tuple(ids), prompt, json.dumps(tokens, ensure_ascii=False), None, expect)


def _samples_of_dump(path: Path) -> list[Sample]:
    dump = DumpFile(path)
    expect = dump.run.get("expect")
    samples: list[Sample] = []
    for number in dump.samples():
        ids = dump.get(("input_ids", number, 0))
        if number != len(samples) or ids is None or not ids.ndim:
            raise DumpError(
                "tokens-missing",
                "the dump does not hold the token ids of every sample",
                facts=[("file", path.name), ("missing", f"input_ids of sample {min(number, len(samples))}")],
                help="give a dump of a language model that npu-dump has captured",
            )
        positions = dump.get(("position_ids", number, 0))
        for name, value in (("input_ids", ids), ("position_ids", positions)):
            if value is not None and (value.shape != (len(ids),) or value.dtype.kind not in "iu"):
                raise DumpError(
                    "tokens-invalid",
                    f"{name} is no list of one number a token",
                    facts=[("file", path.name), ("sample", number), ("found", f"{list(value.shape)} {value.dtype}")],
                    help="give a dump that npu-dump has captured",
                )
        keywords = expect.get(str(number)) if isinstance(expect, dict) else None
        samples.append(
            Sample(
                tuple(map(int, ids)),
                dump.text("prompt", number),
                dump.text("token_text", number),
                None if positions is None else tuple(map(int, positions)),
                tuple(map(str, keywords)) if isinstance(keywords, list) else (),
            )
        )
    if not samples:
        raise DumpError(
            "tokens-missing",
            "the dump holds no sample",
            facts=[("file", path.name)],
            help="give a dump with input_ids",
        )
    return samples


def check_samples(samples: list[Sample], config: Any, request: Request) -> None:
    """Raise a `DumpError` where a sample is empty, or does not fit the model's vocabulary or positions."""
    vocabulary = getattr(config, "vocab_size", None)
    longest = getattr(config, "max_position_embeddings", None)
    for number, sample in enumerate(samples):
        if not sample.ids:
            raise DumpError(
                "prompt-empty",
                "a prompt has no tokens",
                facts=[("prompt", number), ("text", sample.prompt)],
                help="remove it from the file",
            )
        worst = max(max(sample.ids), -min(sample.ids) - 1)
        if vocabulary and (max(sample.ids) >= vocabulary or min(sample.ids) < 0):
            raise DumpError(
                "token-range",
                "a token id is not in the model's vocabulary",
                facts=[("prompt", number), ("token id", worst), ("vocabulary", vocabulary)],
                help="use the model that the ids were made for",
            )
        if longest and len(sample.ids) + request.generate > longest:
            raise DumpError(
                "prompt-long",
                "a prompt is longer than the model's positions reach",
                facts=[("prompt", number), ("tokens", len(sample.ids) + request.generate), ("positions", longest)],
                help="shorten the prompt, or use --text with --chunk",
            )
