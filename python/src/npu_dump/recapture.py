"""Captures a model that lies in memory already, on exactly what another dump was fed with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from . import models, provenance
from .dump import Dump
from .errors import DumpError
from .feed import Feeder
from .inputs import Request, check_samples
from .module_tree import find_decoder, text_config
from .precision import float64_throughout
from .reader import DumpFile
from .repeats import batches
from .run import forward_failed, store_texts
from .tokens import Sample, samples_of_dump

# Positional and named arguments of one forward.
Call = tuple[tuple[Any, ...], dict[str, Any]]


def recapture(
    model: nn.Module,
    output: Path,
    *,
    source: Path | None,
    inputs: Any = None,
    select: str | Sequence[str] | None = None,
    mode: str | Sequence[str] | None = None,
    batch: int = 1,
) -> None:
    """Run a model on what a dump was fed with, and write what it computes; a file of that name is replaced.

    A decoder is fed with the token ids of every sample, and with those of its decode steps one by one; any other
    module with ``input.0`` of every sample, in its own precision. No gradients; the mode (train, eval) and the random
    state stay as they are.

    Args:
        model: where its parameters are is where it runs.
        output: the dump to make.
        source: the dump whose inputs are fed; None: ``inputs`` must be given.
        inputs: what to call the model with instead: a tensor, a tuple of arguments, a mapping of named arguments, or
            a list of such, one forward each.
        select: globs of tensors, see `Dump`.
        mode: how much of each, see `Dump`.
        batch: samples a forward, where token ids are fed.

    Raises:
        DumpError: anything that the caller can act on.
    """
    samples: list[Sample] = []
    calls: list[Call] = []
    if inputs is not None:
        calls = [_call(one) for one in (inputs if isinstance(inputs, list) else [inputs])]
    elif source is None:
        raise AssertionError("a dump or inputs are given")
    elif _holds_ids(source):
        samples = _samples(model, source, output)
    else:
        calls = _stored_inputs(model, source)
    side = "left" if any(sample.steps for sample in samples) else "right"
    with (
        models.translated(forward_failed),
        float64_throughout(model),
        torch.no_grad(),
        Dump(model, output, select=select, mode=mode, run=_metadata(samples, batch, side), overwrite=True) as dump,
    ):
        for args, named in calls:
            model(*args, **named)
        if samples:
            feeder = Feeder(model, provenance.device_of(model), side)
            for rows in batches(samples, batch):
                store_texts(dump, rows)
                feeder.feed([sample for _, sample in rows])


def _metadata(samples: Sequence[Sample], batch: int, side: str) -> dict[str, Any]:
    if not samples:
        return {}
    expect = {str(number): list(sample.expect) for number, sample in enumerate(samples) if sample.expect}
    return {"batch": {"size": batch, "padding_side": side}} | ({"expect": expect} if expect else {})


def _holds_ids(source: Path) -> bool:
    return any(name == "input_ids" for name, _, _ in DumpFile(source))


def _samples(model: nn.Module, source: Path, output: Path) -> list[Sample]:
    if find_decoder(model) is None:
        raise DumpError(
            "model-foreign",
            "the reference was fed with token ids, and the model is no decoder of transformers",
            facts=[("reference", source.name), ("model", type(model).__name__)],
            help="give the model that the reference was made with, or inputs= to call this one with",
        )
    samples = samples_of_dump(source, steps=None)
    check_samples(samples, text_config(model), Request(model=type(model).__name__, output=output))
    return samples


def _stored_inputs(model: nn.Module, source: Path) -> list[Call]:
    """Return a call for each stored input, copied: the file may be replaced while the model runs."""
    dump = DumpFile(source)
    keys = [("input.0", sample, 0) for sample in dump.samples()]
    if not keys or not all(key in dump for key in keys):
        raise DumpError(
            "inputs-missing",
            "the reference does not hold what it was fed with",
            facts=[("file", source.name), ("missing", "input_ids, or input.0 of every sample")],
            help="give inputs= to call the model with, the same as the reference's",
        )
    device = provenance.device_of(model)
    precision = next((value.dtype for value in model.parameters() if value.is_floating_point()), None)
    stored = [torch.as_tensor(dump[key]).clone() for key in keys]
    return [((value.to(device, precision if value.is_floating_point() else None),), {}) for value in stored]


def _call(given: Any) -> Call:
    if isinstance(given, torch.Tensor):
        return (given,), {}
    if isinstance(given, tuple):
        return given, {}
    if isinstance(given, Mapping):
        return (), dict(given)
    raise DumpError(
        "inputs-invalid",
        "a model is called with a tensor, a tuple of arguments or a mapping of named ones",
        facts=[("inputs", type(given).__name__), ("expected", "torch.Tensor, tuple, mapping, or a list of such")],
        help="pass what the model's forward takes",
    )
