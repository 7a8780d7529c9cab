"""`npu-dump run` and `npu-dump replay`: samples through a transformers model, every forward captured."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from . import devices, models, provenance
from .dump import Dump
from .errors import DumpError
from .feed import Feeder
from .generate import Continuation, Sampling, generate
from .inputs import Request, check_samples, read_samples, token_texts
from .modes import Modes
from .outcome import Outcome
from .precision import float64_throughout
from .progress import Progress
from .reader import load
from .repeats import batches, determinism, schedule
from .space import estimated_bytes, require_space
from .target import check_target
from .tokens import Sample
from .weights.checkpoint import stored_dtypes

# Samples that are run together, each with its number.
Batch = list[tuple[int, Sample]]


def run(request: Request, progress: Progress) -> Outcome:
    """Load, check, capture, and return what was made.

    Raises:
        DumpError: anything that the caller can act on.
    """
    check_target(request.output, overwrite=request.force)
    modes = Modes(request.mode)
    if request.threads:
        torch.set_num_threads(request.threads)
    device = devices.resolve(request.device)
    source = models.locate(
        request.model, trust_remote_code=request.trust_remote_code, allow_download=request.allow_download
    )
    config = models.load_config(source)
    tokenizer = load_tokenizer_for(request, source)
    samples = read_samples(request, tokenizer)
    check_samples(samples, config.get_text_config(), request)
    # A forced reference is what a finer format gives; any other precision is asked for by name.
    default = _finer_than(request.replay) if request.replay and device.type == "cpu" else None
    dtype = getattr(torch, request.dtype or default or "", None)
    check_space(request, modes, config.get_text_config(), samples, dtype, progress)
    model = models.load_model(source, device=device, dtype=dtype, attention=request.attn, note=progress.note)
    metadata = run_metadata(request, source, tokenizer, samples, progress)
    return capture_samples(request, model, samples, metadata, progress, tokenizer=tokenizer)


def _finer_than(path: Path) -> str:
    return "float64" if load(path).run["dtype"] == "F32" else "float32"


def capture_samples(
    request: Request,
    model: Any,
    samples: list[Sample],
    metadata: dict[str, Any],
    progress: Progress,
    *,
    tokenizer: Any = None,
) -> Outcome:
    """Feed samples to a loaded model, every forward captured; a model in float64 computes in nothing less.

    Args:
        request: what is stored where, and how the samples are fed.
        model: from `models.load_model`.
        samples: in the order of the dump.
        metadata: what the dump says beside what is found out, as `run_metadata` makes it.
        progress: told how many samples are done.
        tokenizer: for the text of a continuation; None: not stored.

    Raises:
        DumpError: anything that the caller can act on.
    """
    torch.manual_seed(request.seed)
    device = provenance.device_of(model)
    with (
        models.translated(forward_failed),
        float64_throughout(model),
        Dump(
            model,
            request.output,
            select=list(request.select),
            mode=request.mode,
            top_k=request.top_k,
            replay=request.replay,
            run=metadata,
            overwrite=request.force,
        ) as dump,
    ):
        feeder = Feeder(model, device, _padding_side(request, samples))
        for batch in batches(samples, request.batch):
            store_texts(dump, batch)
            feeder.feed(_continued(request, model, batch, dump, tokenizer))
            progress.step("capturing", dump.samples, len(samples), "samples")
        _repeat(request, model, samples, dump, tokenizer, progress)
    return Outcome.of(request.output, dump.run, [len(sample.ids) for sample in samples])


def forward_failed(error: Exception) -> DumpError:
    """Return the error for whatever a model has raised while it ran."""
    lines = str(error).splitlines()
    return DumpError(
        "forward-failed",
        "the model failed while it ran",
        facts=[(type(error).__name__, lines[0] if lines else "no reason given")],
        help="try another --dtype or --attn; if it runs on --device cpu, the device or its software is at fault",
    )


def load_tokenizer_for(request: Request, source: models.ModelSource) -> Any:
    """Return the tokenizer; None where the ids are given and none can be loaded."""
    try:
        return models.load_tokenizer(source)
    except DumpError:
        if request.is_forced:
            return None
        raise


def check_space(
    request: Request,
    modes: Modes,
    config: Any,
    samples: list[Sample],
    dtype: torch.dtype | None,
    progress: Progress,
    *,
    files: int = 1,
) -> None:
    """Raise a `DumpError` where the dump would not fit on the disk; say what it will take.

    Args:
        request: what is stored, and where.
        modes: how much of each tensor.
        config: the text configuration of the model.
        samples: what is fed.
        dtype: precision of the run; None: the checkpoint's.
        progress: told in words.
        files: how many of such dumps are written.
    """
    stored = dtype or getattr(config, "dtype", None) or torch.float32
    # What the model itself will generate is not known yet; it may come to its end before.
    ahead = 0 if request.is_forced else request.decode
    tokens = sum(sample.length + ahead for sample in samples)
    needed = files * estimated_bytes(
        config,
        tokens,
        sum(1 + len(sample.steps) + ahead for sample in samples),
        select=request.select,
        modes=modes,
        itemsize=stored.itemsize if isinstance(stored, torch.dtype) else 4,
        top_k=request.top_k,
    )
    space = require_space(request.output.parent, needed)
    progress.note(f"{len(samples)} samples, {tokens} tokens, {space}")


def run_metadata(
    request: Request, source: models.ModelSource, tokenizer: Any, samples: list[Sample], progress: Progress
) -> dict[str, Any]:
    """Return what a dump says of a run beside what is found out about the model: names, hashes, how it was fed."""
    facts: dict[str, Any] = {} if tokenizer is None else {"tokenizer_class": type(tokenizer).__name__}
    if source.files is not None:
        facts |= provenance.file_hashes(
            source.files, lambda done, total: progress.step("hashing weights", done >> 20, total >> 20, "MiB")
        )
        if source.files.is_dir():
            facts["weights_dtype"] = stored_dtypes(provenance.weight_files(source.files))
    metadata: dict[str, Any] = {
        "model": {"id": provenance.model_id(source.given)} | facts,
        "seed": request.seed,
        "batch": {"size": request.batch, "padding_side": _padding_side(request, samples)},
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
    if request.repeats > 1:
        repetitions = schedule(request.repeats, batch=request.batch, samples=len(samples))
        metadata["determinism"] = determinism(repetitions)
    if request.host_info:
        metadata["host"] = {"name": platform.node(), "system": platform.platform()}
    return metadata


def _padding_side(request: Request, samples: list[Sample]) -> str:
    """Return the side that was asked for; else left where decode steps follow, which padding must not part."""
    decodes = request.decode or any(sample.steps for sample in samples)
    return request.padding_side or ("left" if decodes else "right")


def _continued(request: Request, model: Any, batch: Batch, dump: Dump, tokenizer: Any) -> list[Sample]:
    """Return the batch with its decode steps; store the continuation that the model itself gives, where asked for."""
    samples = [sample for _, sample in batch]
    if not request.own_tokens:
        return samples
    continued = _continue(request, model, samples, dump)
    _store_generated(dump, batch, continued, tokenizer)
    if request.is_forced:
        return samples
    return [
        sample.continued_by(([token], None) for token in own.ids[: request.decode])
        for sample, own in zip(samples, continued, strict=True)
    ]


def _repeat(
    request: Request, model: Any, samples: list[Sample], dump: Dump, tokenizer: Any, progress: Progress
) -> None:
    """Continue all prompts again, and store what comes beside the ids that it came from.

    The generator of random numbers is not set back: whatever in the model depends on it must be seen.
    """
    if not request.own_tokens:
        return
    total = (request.repeats - 1) * len(samples)
    for repetition in schedule(request.repeats, batch=request.batch, samples=len(samples))[1:]:
        done = (repetition.number - 1) * len(samples)
        for batch in repetition.batches(samples):
            continued = _continue(request, model, [sample for _, sample in batch], dump)
            for number, sample in batch:
                ids = torch.tensor(sample.ids, dtype=torch.int64)
                dump.write("input_ids", ids, sample=number, repeat=repetition.number)
            _store_generated(dump, batch, continued, tokenizer, repetition.number)
            done += len(batch)
            progress.step("repeating", done, total, "samples")


def _continue(request: Request, model: Any, batch: list[Sample], dump: Dump) -> list[Continuation]:
    sampling = Sampling(request.temperature, request.top_p) if request.temperature else None
    with dump.paused():
        return generate(model, [sample.ids for sample in batch], request.own_tokens, sampling, request.top_k)


def store_texts(dump: Dump, batch: Batch) -> None:
    """Store the prompts of a batch and the texts of their tokens, where they are known."""
    for number, sample in batch:
        if sample.prompt is not None:
            dump.write_text("prompt", sample.prompt, sample=number)
        if sample.tokens is not None:
            dump.write_text("token_text", sample.tokens, sample=number)


def _store_generated(
    dump: Dump, batch: Batch, continued: Iterable[Continuation], tokenizer: Any, repeat: int = 0
) -> None:
    for (number, _), own in zip(batch, continued, strict=True):
        place = {"sample": number, "repeat": repeat}
        dump.write("generated_ids", torch.tensor(own.ids, dtype=torch.int64), **place)
        dump.write("generated_topk_ids", own.top_ids, **place)
        dump.write("generated_topk_logprobs", own.top_logprobs, **place)
        if tokenizer is not None:
            dump.write_text("generated_text", tokenizer.decode(own.ids, skip_special_tokens=True), **place)
            dump.write_text("generated_token_text", token_texts(tokenizer, own.ids), **place)
