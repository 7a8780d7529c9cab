"""Small graphs, written node by node."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
WIDTH, VOCABULARY = 4, 16

Shape = Sequence[int | str | None]


def value(name: str, kind: int = FLOAT, shape: Shape | None = None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def weight(name: str, *shape: int, seed: int = 0) -> onnx.TensorProto:
    array = np.random.default_rng(seed).standard_normal(shape).astype("<f4")
    return numpy_helper.from_array(array, name)


def model_of(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[str],
    weights: Sequence[onnx.TensorProto] = (),
    functions: Sequence[onnx.FunctionProto] = (),
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes), "graph", list(inputs), [onnx.ValueInfoProto(name=name) for name in outputs], list(weights)
    )
    opsets = [
        helper.make_opsetid(domain, version) for domain, version in (("", 17), ("com.microsoft", 1), ("own", 1))
    ]
    return helper.make_model(
        graph, functions=list(functions), opset_imports=opsets, ir_version=9, producer_name="tests"
    )


def embedding(*more: onnx.NodeProto, outputs: Sequence[str] = ("embedded",)) -> onnx.ModelProto:
    """Token ids into vectors, and what else is done with these."""
    gather = helper.make_node("Gather", ["table", "input_ids"], ["embedded"])
    return model_of([gather, *more], [ids()], outputs, [weight("table", VOCABULARY, WIDTH)])


def ids(shape: Shape = (1, "tokens")) -> onnx.ValueInfoProto:
    return value("input_ids", INT64, shape)


def saved(model: onnx.ModelProto, path: Path) -> Path:
    onnx.save(model, path)
    return path


def node(model: onnx.ModelProto, output: str) -> onnx.NodeProto:
    """The node that makes a tensor."""
    return next(node for node in model.graph.node if output in node.output)


def scale(model: onnx.ModelProto, name: str, factor: float) -> None:
    """Multiply a weight of a model."""
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    array = numpy_helper.to_array(tensor) * np.float32(factor)
    tensor.CopyFrom(numpy_helper.from_array(array, name))
