"""The graph of an ONNX model: nodes in execution order, who makes and who reads a tensor, and of which module."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator

from onnx import AttributeProto, GraphProto, NodeProto, TensorProto

from ..errors import DumpError

# The module path of a node in exports by torch.export; the last entry is the node's own.
_SCOPES = "pkg.torch.onnx.name_scopes"


class Graph:
    """A graph with its nodes in an order in which they can be computed.

    Nodes that could come next come in the order of the file. Tensors inside the graphs of If, Loop and Scan are no
    tensors of this one; what those graphs read from it counts as read by their node.

    Attributes:
        nodes: in execution order.
        producer: the node that makes a tensor, as its place in ``nodes``.
        consumers: the nodes that read a tensor, as places in ``nodes``.
        varying: tensors that depend on what is fed; the others are constants.
        outputs: names of the graph's own outputs.

    Raises:
        DumpError: ``model-invalid``: two nodes make one tensor, or nodes wait for each other.
    """

    def __init__(self, graph: GraphProto) -> None:
        constants = {tensor.name for tensor in graph.initializer} | {t.values.name for t in graph.sparse_initializer}
        self.outputs = [output.name for output in graph.output]
        self.nodes = _in_order(list(graph.node))
        self.producer: dict[str, int] = {}
        self.consumers: dict[str, list[int]] = {}
        self.varying = {value.name for value in graph.input} - constants
        for place, node in enumerate(self.nodes):
            read = _read(node)
            for name in read:
                self.consumers.setdefault(name, []).append(place)
            made = [name for name in node.output if name]
            self.producer.update(dict.fromkeys(made, place))
            # Without any input only random numbers differ from run to run.
            if not self.varying.isdisjoint(read) or node.op_type.startswith("Random"):
                self.varying.update(made)

    def made_by(self, tensor: str) -> NodeProto | None:
        """Return the node that makes a tensor; None for an input or an initializer."""
        place = self.producer.get(tensor)
        return None if place is None else self.nodes[place]

    def read_by(self, tensor: str) -> Iterator[NodeProto]:
        """Yield the nodes that read a tensor."""
        for place in self.consumers.get(tensor, ()):
            yield self.nodes[place]

    def tensors(self) -> list[str]:
        """Return what the nodes make and is no constant, in execution order."""
        return [name for node in self.nodes for name in node.output if name in self.varying]

    def with_graphs(self) -> list[NodeProto]:
        """Return the nodes that have graphs of their own."""
        return [node for node in self.nodes if any(True for _ in subgraphs(node))]


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """Yield the graphs that a node has as attributes."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == AttributeProto.GRAPHS:
            yield from attribute.graphs


def stored_tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Yield every tensor that a graph stores: initializers and attributes, those of inner graphs included."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from tensors_of_nodes(graph.node)


def tensors_of_nodes(nodes: Iterable[NodeProto]) -> Iterator[TensorProto]:
    """Yield every tensor among the attributes of nodes, inner graphs included."""
    for node in nodes:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
        for graph in subgraphs(node):
            yield from stored_tensors(graph)


def module_of(node: NodeProto) -> str:
    """Return the path of the module that a node belongs to, such as ``model.layers.0.mlp``; empty where nothing says.

    torch.export writes it into the node's metadata, the older exporter of torch (and those that follow it) into its
    name: ``/model/layers.0/mlp/Mul``.
    """
    for entry in node.metadata_props:
        if entry.key == _SCOPES:
            return ["", *re.findall(r"'([^']*)'", entry.value)[:-1]][-1]
    # Optimizers drop names of nodes, not of tensors.
    name = node.name if node.name.startswith("/") else next(iter(node.output), "")
    return ".".join(name.split("/")[1:-1]) if name.startswith("/") else ""


def _read(node: NodeProto) -> list[str]:
    names = dict.fromkeys(name for name in node.input if name)
    for graph in subgraphs(node):
        for inner in graph.node:
            names.update(dict.fromkeys(_read(inner)))
        # A branch may hand out a tensor of the graph around it as it is.
        names.update(dict.fromkeys(output.name for output in graph.output))
    return list(names)


def _in_order(nodes: list[NodeProto]) -> list[NodeProto]:
    maker: dict[str, int] = {}
    for place, node in enumerate(nodes):
        for name in node.output:
            if name and maker.setdefault(name, place) != place:
                raise _invalid("two nodes make one tensor", ("tensor", name))
    waiting = [0] * len(nodes)
    followers: list[list[int]] = [[] for _ in nodes]
    for place, node in enumerate(nodes):
        for before in {maker[name] for name in _read(node) if name in maker} - {place}:
            followers[before].append(place)
            waiting[place] += 1
    ready = [place for place, count in enumerate(waiting) if not count]
    order: list[NodeProto] = []
    while ready:
        place = heapq.heappop(ready)
        order.append(nodes[place])
        for after in followers[place]:
            waiting[after] -= 1
            if not waiting[after]:
                heapq.heappush(ready, after)
    if len(order) < len(nodes):
        stuck = next(nodes[place] for place, count in enumerate(waiting) if count)
        raise _invalid("nodes wait for each other's tensors", ("one of them", stuck.name or stuck.op_type))
    return order


def _invalid(what: str, fact: tuple[str, object]) -> DumpError:
    return DumpError(
        "model-invalid",
        f"the ONNX model is no graph that can be run: {what}",
        facts=[fact, ("expected", "a graph without cycles, each tensor made once")],
        help="export the model again",
    )
