"""`npu-dump run`: prompts through a transformers model, every forward captured."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from . import devices, models, provenance
from .dump import Dump
from .errors import DumpError
from .generate import Sampling, generate
from .progress import Progress
from .prompts import Prompt, read_chunks, read_prompts
from .reader import DumpFile
from .select import DEFAULT, matches
from .writer import check_target


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


@dataclass(frozen=True)
class Outcome:
    """What a run has made."""

    path: Path
    id: str
    samples: int
    tokens: int
    bytes: int = field(default=0)

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        return {
            "path": str(self.path),
            "id": self.id,
            "samples": self.samples,
            "tokens": self.tokens,
            "bytes": self.bytes,
        }


def run(request: Request, progress: Progress) -> Outcome:
    """Load, check, capture, and return what was made.

    Raises:
        DumpError: anything that the caller can act on.
    """
    check_target(request.output, overwrite=request.force)
    if request.threads:
        torch.set_num_threads(request.threads)
    torch.manual_seed(request.seed)
    device = devices.resolve(request.device)
    source = models.locate(
        request.model, trust_remote_code=request.trust_remote_code, allow_download=request.allow_download
    )
    config = models.load_config(source)
    tokenizer = _tokenizer(request, source)
    samples = _samples(request, tokenizer)
    _check_samples(samples, config.get_text_config(), request)
    dtype = getattr(torch, request.dtype) if request.dtype else None
    _check_space(request, config.get_text_config(), samples, dtype, progress)
    model = models.load_model(source, device=device, dtype=dtype, attention=request.attn, note=progress.note)
    metadata = _metadata(request, source, samples, progress)
    sampling = Sampling(request.temperature, request.top_p, request.seed) if request.temperature else None
    try:
        with Dump(model, request.output, select=list(request.select), run=metadata, overwrite=request.force) as dump:
            for batch in _batches(samples, request.batch):
                first = dump.samples
                _store_texts(dump, batch, first)
                _forward(model, batch, device, request.padding_side)
                if request.generate:
                    with dump.paused():
                        continued = generate(model, [s.ids for s in batch], request.generate, sampling)
                    _store_generated(dump, continued, first, tokenizer)
                progress.step("capturing", dump.samples, len(samples), "samples")
    except Exception as error:
        if devices.is_out_of_memory(error):
            raise models.out_of_memory(error) from error
        raise
    return Outcome(
        path=request.output,
        id=dump.run["id"],
        samples=len(samples),
        tokens=sum(len(sample.ids) for sample in samples),
        bytes=request.output.stat().st_size,
    )


def _tokenizer(request: Request, source: models.ModelSource) -> Any:
    """Return the tokenizer; None where the ids are given and none can be loaded."""
    try:
        return models.load_tokenizer(source)
    except DumpError:
        if request.tokens_from:
            return None
        raise


def _samples(request: Request, tokenizer: Any) -> list[Sample]:
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
        if number != len(samples) or ids is None:
            raise DumpError(
                "tokens-missing",
                "the dump does not hold the token ids of every sample",
                facts=[("file", path.name), ("missing", f"input_ids of sample {min(number, len(samples))}")],
                help="give a dump of a language model that npu-dump has captured",
            )
        positions = dump.get(("position_ids", number, 0))
        keywords = expect.get(str(number), []) if isinstance(expect, dict) else []
        samples.append(
            Sample(
                tuple(map(int, ids)),
                dump.text("prompt", number),
                dump.text("token_text", number),
                None if positions is None else tuple(map(int, positions)),
                tuple(map(str, keywords)),
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


def _check_samples(samples: list[Sample], config: Any, request: Request) -> None:
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


def estimated_bytes(config: Any, samples: list[Sample], select: Sequence[str], itemsize: int) -> int:
    """Return about how many bytes a dump will have: T * width * item size of every tensor that is selected."""
    hidden, layers, vocabulary = config.hidden_size, config.num_hidden_layers, config.vocab_size
    names = ["embed", "norm"]
    names += [f"layers.{layer}{role}" for layer in range(layers) for role in ("", ".attn", ".mlp")]
    globs = select or DEFAULT
    width = hidden * sum(any(matches(glob, name) for glob in globs) for name in names)
    width += vocabulary * any(matches(glob, "logits") for glob in globs)
    # 8 bytes for the id of a token, about 12 for its text; about 400 bytes of columns a tensor.
    tokens = sum(len(sample.ids) for sample in samples)
    return tokens * (width * itemsize + 20) + len(samples) * len(names) * 400


def _check_space(
    request: Request, config: Any, samples: list[Sample], dtype: torch.dtype | None, progress: Progress
) -> None:
    stored = dtype or getattr(config, "dtype", None) or torch.float32
    itemsize = stored.itemsize if isinstance(stored, torch.dtype) else 4
    needed = estimated_bytes(config, samples, request.select, itemsize)
    free = shutil.disk_usage(request.output.parent).free
    tokens = sum(len(sample.ids) for sample in samples)
    progress.note(f"{len(samples)} samples, {tokens} tokens, about {_mib(needed)} to write, {_mib(free)} free")
    if needed > free:
        raise DumpError(
            "disk-full",
            "the dump would not fit on the disk",
            facts=[("needed", f"about {_mib(needed)}"), ("free", _mib(free))],
            help="use --limit or --select, or write to another disk",
        )


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB" if size < 1 << 30 else f"{size / (1 << 30):.1f} GiB"


def _metadata(
    request: Request, source: models.ModelSource, samples: list[Sample], progress: Progress
) -> dict[str, Any]:
    hashes = (
        {}
        if source.files is None
        else provenance.file_hashes(
            source.files, lambda done, total: progress.step("hashing weights", done >> 20, total >> 20, "MiB")
        )
    )
    metadata: dict[str, Any] = {
        "model": {"id": provenance.model_id(source.given)} | hashes,
        "seed": request.seed,
        "batch": {"size": request.batch, "padding_side": request.padding_side},
    }
    expect = {str(number): list(sample.expect) for number, sample in enumerate(samples) if sample.expect}
    if expect:
        metadata["expect"] = expect
    if request.temperature:
        metadata["sampling"] = {
            "temperature": request.temperature,
            "top_p": request.top_p or 1.0,
            "seed": request.seed,
        }
    if request.host_info:
        metadata["host"] = {"name": platform.node(), "system": platform.platform()}
    return metadata


def _batches(samples: list[Sample], size: int) -> Iterator[list[Sample]]:
    for start in range(0, len(samples), size):
        yield samples[start : start + size]


def _forward(model: Any, batch: list[Sample], device: torch.device, side: str) -> None:
    """Feed one batch, padded, with the positions that each sample has on its own."""
    lengths = [len(sample.ids) for sample in batch]
    width = max(lengths)
    shape = (len(batch), width)
    ids, mask, positions = (
        torch.zeros(shape, dtype=torch.int64),
        torch.zeros(shape, dtype=torch.int64),
        torch.zeros(shape, dtype=torch.int64),
    )
    for row, (sample, length) in enumerate(zip(batch, lengths, strict=True)):
        columns = slice(0, length) if side == "right" else slice(width - length, width)
        ids[row, columns] = torch.tensor(sample.ids)
        mask[row, columns] = 1
        positions[row, columns] = torch.tensor(sample.positions or range(length))
    inputs: dict[str, torch.Tensor] = {"input_ids": ids.to(device)}
    accepted = models.accepted_arguments(model)
    # Without padding, nothing but the ids: the kernel is then the one that a single prompt gets. Positions never go
    # without a mask: transformers takes a jump in them for the start of another, packed sequence.
    if min(lengths) < width or any(sample.positions for sample in batch):
        inputs["attention_mask"] = mask.to(device)
        if "position_ids" in accepted:
            inputs["position_ids"] = positions.to(device)
    with torch.no_grad():
        model(**inputs, **({"use_cache": False} if "use_cache" in accepted else {}))


def _store_texts(dump: Dump, batch: list[Sample], first: int) -> None:
    for number, sample in enumerate(batch, start=first):
        if sample.prompt is not None:
            dump.write_text("prompt", sample.prompt, sample=number)
        if sample.tokens is not None:
            dump.write_text("token_text", sample.tokens, sample=number)


def _store_generated(dump: Dump, continued: list[list[int]], first: int, tokenizer: Any) -> None:
    for number, ids in enumerate(continued, start=first):
        dump.write("generated_ids", torch.tensor(ids, dtype=torch.int64), sample=number)
        if tokenizer is not None:
            dump.write_text("generated_text", tokenizer.decode(ids, skip_special_tokens=True), sample=number)
