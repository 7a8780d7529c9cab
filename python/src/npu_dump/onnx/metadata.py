"""What the dump says of a model, and of how it was run. No path of this machine is part of it."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import onnxruntime

from .feeds import Feed
from .graph import Graph
from .model import Model
from .naming import Naming
from .plan import Plan
from .session import PROVIDERS

_MOST_CHARACTERS = 256


def metadata_of(
    name: str,
    model: Model,
    graph: Graph,
    naming: Naming,
    plan: Plan,
    feeds: Sequence[Feed],
    *,
    hashes: dict[str, str],
    optimized: bool,
    threads: int | None,
) -> dict[str, Any]:
    """Return the metadata of a capture.

    Args:
        name: of the model's file.
        model: as it is run.
        graph: its graph.
        naming: canonical names.
        plan: what is captured.
        feeds: the samples.
        hashes: of the files.
        optimized: whether onnxruntime has rewritten the graph.
        threads: how many compute; None: onnxruntime's choice.
    """
    proto = model.proto
    widths = {tensor.stored: tensor.width for tensor in plan.tensors if tensor.canonical}
    # An id is a checkpoint's: that of the file would be another than that of what it was exported from.
    facts: dict[str, Any] = {"residual": naming.residual}
    if naming.layers:
        facts["layers"] = naming.layers
    facts |= {key: widths[own] for key, own in (("hidden_size", "embed"), ("vocab_size", "logits")) if own in widths}
    found: dict[str, Any] = {
        "model": facts,
        "engine": {
            "name": "onnxruntime",
            "version": onnxruntime.__version__,
            "graph": False,
            "providers": list(PROVIDERS),
            "optimization": "all" if optimized else "none",
        },
        "device": {"type": "cpu"},
        "dtype": plan.dtype,
        "numerics": {} if threads is None else {"threads": threads},
        "versions": {
            "python": platform.python_version(),
            **{package: metadata.version(package) for package in ("numpy", "onnx", "pyarrow")},
            "onnxruntime": onnxruntime.__version__,
        },
        # The order of a file of ours is the order in which the graph is computed; decode steps are not run.
        "capture": {"mode": "full", "select": plan.select, "order": "execution", "decode": False},
        "onnx": {
            "file": name,
            "ir_version": proto.ir_version,
            "opsets": {item.domain[:_MOST_CHARACTERS] or "ai.onnx": item.version for item in proto.opset_import},
            "producer": f"{proto.producer_name} {proto.producer_version}".strip()[:_MOST_CHARACTERS],
            "nodes": len(graph.nodes),
            "functions": model.functions,
            "nodes_with_graphs": len(graph.with_graphs()),
            **hashes,
        },
    }
    expect = {str(number): list(feed.expect) for number, feed in enumerate(feeds) if feed.expect}
    return found | ({"expect": expect} if expect else {})
