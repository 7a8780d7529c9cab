"""`npu-dump onnx`: samples through an ONNX graph, every tensor of it into a dump."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import DumpError
from ..inputs import SampleSource, read_prompt_samples
from ..outcome import Outcome
from ..progress import Progress
from ..space import require_space
from ..target import check_target
from ..tokens import Sample
from ..writer import DumpWriter
from .feeds import Feed, feed_file, feed_tokens
from .graph import Graph
from .metadata import metadata_of
from .model import Model, load_model
from .naming import Naming, name_tensors
from .plan import Plan, Tensor, make_plan, wanted_tensors
from .rows import as_rows
from .session import Session, Value, optimize


@dataclass(frozen=True, kw_only=True)
class Request(SampleSource):
    """What the command was asked for; the fields are its options."""

    model: Path
    output: Path
    inputs: tuple[Path, ...] = ()
    tokenizer: str | None = None
    select: tuple[str, ...] = ()
    optimize: bool = False
    outputs_at_once: int | None = None
    threads: int | None = None
    force: bool = False


def run(request: Request, progress: Progress) -> Outcome:
    """Load, check, capture, and return what was made.

    Raises:
        DumpError: anything that the caller can act on.
    """
    check_target(request.output, overwrite=request.force)
    samples = [] if request.inputs else _samples(request)
    model = load_model(request.model)
    # Names come from the exporter's modules, which an optimizer does not keep.
    naming = name_tensors(Graph(model.proto.graph))
    if not request.optimize:
        return _capture(request, samples, model, naming, progress)
    with tempfile.TemporaryDirectory(prefix="npu-dump-onnx-") as folder:
        return _capture(request, samples, optimize(model, Path(folder), request.threads), naming, progress)


def _capture(
    request: Request, samples: Sequence[Sample], model: Model, naming: Naming, progress: Progress
) -> Outcome:
    graph = Graph(model.proto.graph)
    wanted, own = wanted_tensors(request.select, graph, naming)
    session = Session(model, wanted, request.threads)
    files = request.inputs[: request.limit]
    feeds = [feed_tokens(session.inputs, sample) for sample in samples]
    feeds += [feed_file(session.inputs, path) for path in files]
    plan = make_plan(
        model, session, wanted, own, naming, feeds, at_once=request.outputs_at_once, threads=request.threads
    )
    space = require_space(request.output.parent, plan.size(feeds))
    progress.note(f"{len(feeds)} samples, {len(plan.tensors)} tensors each, {space}")
    _tell(plan, graph, naming, progress)
    hashes = model.sha256(lambda done, size: progress.step("hashing the model", done >> 20, size >> 20, "MiB"))
    metadata = metadata_of(
        request.model.name,
        model,
        graph,
        naming,
        plan,
        feeds,
        hashes=hashes,
        optimized=request.optimize,
        threads=request.threads,
    )
    done = 0
    with DumpWriter(request.output, run=metadata, overwrite=request.force) as writer:
        for number, group in enumerate(plan.groups):
            if len(plan.groups) > 1:
                # Each group as the graph's only outputs: what is an output stays in memory to the end of a forward.
                del session
                session = Session(model, [tensor.name for tensor in group], request.threads)
            for sample, feed in enumerate(feeds):
                if not number:
                    _store_fed(writer, sample, feed)
                _store(writer, sample, feed, group, session.run(feed.values, [tensor.name for tensor in group]))
                done += 1
                progress.step("capturing", done, len(feeds) * len(plan.groups), "forwards")
    return Outcome(
        path=request.output,
        id=writer.run["id"],
        samples=len(feeds),
        tokens=sum(feed.tokens or 0 for feed in feeds),
        bytes=request.output.stat().st_size,
    )


def _samples(request: Request) -> list[Sample]:
    tokenizer = None
    if request.tokens_from is None:
        from ..endpoint.questions import load_tokenizer

        tokenizer = load_tokenizer(request.tokenizer or "")
    return read_prompt_samples(request, tokenizer)


def _tell(plan: Plan, graph: Graph, naming: Naming, progress: Progress) -> None:
    """Say what the dump will not hold."""
    if not naming.layers:
        progress.note("no decoder layers were recognized: tensors keep the names of the graph")
    if plan.renamed:
        progress.note(f"not one row a token, so stored under the graph's name: {', '.join(plan.renamed[:4])}")
    inner = graph.with_graphs()
    if inner:
        kinds = ", ".join(sorted({node.op_type for node in inner}))
        progress.note(
            f"{len(inner)} nodes have graphs of their own ({kinds}): what they give is stored, nothing inside them"
        )
    if len(plan.groups) > 1:
        progress.note(f"{len(plan.groups)} forwards a sample, each for a part of the tensors")


def _store_fed(writer: DumpWriter, sample: int, feed: Feed) -> None:
    for name, text in feed.texts.items():
        writer.write_text(name, text, sample=sample)
    for name, array in feed.stored.items():
        writer.write(name, array, sample=sample)


def _store(writer: DumpWriter, sample: int, feed: Feed, group: Sequence[Tensor], values: dict[str, Value]) -> None:
    for tensor in group:
        # Taken out, so that each is let go of once it is written.
        value = values.pop(tensor.name)
        shape, data = as_rows(value, tensor.axes)
        if tensor.canonical and feed.tokens not in (None, shape[0]):
            raise DumpError(
                "rows-unknown",
                f"{tensor.stored} has not one row a token",
                facts=[("shape", list(value.shape)), ("tokens", feed.tokens)],
                help=f"leave it out: select other tensors than {tensor.stored}",
            )
        writer.write(
            tensor.stored,
            data,
            sample=sample,
            layer=tensor.layer,
            module=tensor.name if tensor.canonical else None,
            dtype=value.dtype,
            shape=shape,
        )
