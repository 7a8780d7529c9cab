"""`npu-dump run`: prompts through a transformers model, every forward captured."""

from __future__ import annotations

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
from .inputs import Request, Sample, check_samples, read_samples
from .progress import Progress
from .select import DEFAULT, matches
from .target import check_target


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
    device = devices.resolve(request.device)
    source = models.locate(
        request.model, trust_remote_code=request.trust_remote_code, allow_download=request.allow_download
    )
    config = models.load_config(source)
    tokenizer = _tokenizer(request, source)
    samples = read_samples(request, tokenizer)
    check_samples(samples, config.get_text_config(), request)
    dtype = getattr(torch, request.dtype) if request.dtype else None
    _check_space(request, config.get_text_config(), samples, dtype, progress)
    model = models.load_model(source, device=device, dtype=dtype, attention=request.attn, note=progress.note)
    metadata = _metadata(request, source, samples, progress)
    sampling = Sampling(request.temperature, request.top_p) if request.temperature else None
    torch.manual_seed(request.seed)
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
    except DumpError:
        raise
    except Exception as error:
        raise _forward_failed(error) from error
    return Outcome(
        path=request.output,
        id=dump.run["id"],
        samples=len(samples),
        tokens=sum(len(sample.ids) for sample in samples),
        bytes=request.output.stat().st_size,
    )


def _forward_failed(error: Exception) -> DumpError:
    if devices.is_out_of_memory(error):
        return models.out_of_memory(error)
    lines = str(error).splitlines()
    return DumpError(
        "forward-failed",
        "the model failed while it ran",
        facts=[(type(error).__name__, lines[0] if lines else "no reason given")],
        help="try another --dtype or --attn; if it runs on --device cpu, the device or its software is at fault",
    )


def _tokenizer(request: Request, source: models.ModelSource) -> Any:
    """Return the tokenizer; None where the ids are given and none can be loaded."""
    try:
        return models.load_tokenizer(source)
    except DumpError:
        if request.tokens_from:
            return None
        raise


def estimated_bytes(config: Any, samples: list[Sample], select: Sequence[str], itemsize: int) -> int:
    """Return about how many bytes a dump will have: T * width * item size of every tensor that is selected."""
    hidden, layers, vocabulary = (
        int(getattr(config, name, 0) or 0) for name in ("hidden_size", "num_hidden_layers", "vocab_size")
    )
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
