"""Which tensors of a graph are those that every dump of a decoder has: the residual stream and what is added to it.

Modules give the layers, the sums give the stream: what a layer's attention and MLP hand to the residual sum is what
the graph adds there, whatever those modules are called or however they are cut into nodes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from onnx import NodeProto

from .. import contract
from .graph import Graph, module_of

_LAYER = re.compile(r"(?:^|\.)(?:layers|layer|h|blocks|block)\.(\d{1,5})(?=\.|$)")
_NORM = re.compile(r"norm|(?:^|_)ln(?:_|\d|$)", re.IGNORECASE)
_ATTENTION = re.compile(r"att|mamba|ssm|mixer|conv|recurrent", re.IGNORECASE)
_MLP = re.compile(r"mlp|feed_?forward|ff[nw]?$|moe|expert|fc_?\d|dense_", re.IGNORECASE)
_CACHE = re.compile(r"present|past", re.IGNORECASE)

# What leaves values as they are, up to the number format. Tracers put what several modules share into the first.
_PASSING = ("Cast", "Dropout", "Identity")

# Addition and normalization in one; the sum is the fourth output.
_FUSED = ("SkipLayerNormalization", "SkipSimplifiedLayerNormalization")


@dataclass
class Naming:
    """What a graph's tensors are called in the dump.

    Attributes:
        names: the canonical name of a tensor of the graph.
        residual: ``sequential`` or ``parallel`` where every layer adds up that way, else ``other``.
        layers: how many decoder layers there are.
        layer_of: the layer that makes a tensor, of those that one makes.
    """

    names: dict[str, str] = field(default_factory=dict)
    residual: str = "other"
    layers: int = 0
    layer_of: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Sum:
    """One addition to the stream: ``after = before + branch``, by a module of ``layer``.

    ``stream`` is what ``before`` was when it was last added to.
    """

    layer: int
    stream: str
    before: str
    branch: str
    after: str


def name_tensors(graph: Graph) -> Naming:
    """Return the canonical names of a decoder's tensors; of what is none, or cannot be told, no name.

    A tensor that already has a canonical name keeps it.
    """
    streams = [stream for prefix in _stacks(graph) if (stream := _Stack(graph, prefix).stream())]
    # Towers for pictures or sound come before the decoder that reads them.
    naming = max(streams, key=lambda found: found[0])[1] if streams else Naming()
    taken = set(naming.names.values())
    for name in graph.tensors():
        known = contract.kind_of(name) in ("hidden", "router", "logits")
        if known and name not in taken and name not in naming.names:
            naming.names[name] = name
            taken.add(name)
    own = [name for name in graph.outputs if not _CACHE.search(name) and name in graph.producer]
    if "logits" not in taken and naming.layers and len(own) == 1:
        naming.names.setdefault(own[0], "logits")
    return naming


def _stacks(graph: Graph) -> list[str]:
    """Return the paths of all lists of layers."""
    found = (_LAYER.search(module_of(node)) for node in graph.nodes)
    return list(dict.fromkeys(match.string[: match.start(1)] for match in found if match))


class _Stack:
    """One list of layers."""

    def __init__(self, graph: Graph, prefix: str) -> None:
        self._graph = graph
        self._prefix = prefix
        self._module = {id(node): module_of(node) for node in graph.nodes}
        self._sums: dict[str, list[tuple[str, str, str]]] = {}
        for node in graph.nodes:
            for before, branch, after in self._additions(node):
                self._sums.setdefault(self._stream(before), []).append((before, branch, after))

    def stream(self) -> tuple[int, Naming] | None:
        """Return where the stream ends, as a place in execution order, and the names along it; None without one."""
        last = max((layer for node in self._graph.nodes if (layer := self._computing(node)) is not None), default=-1)
        starts = [
            tensor
            for tensor, sums in self._sums.items()
            if self._layer(tensor) is None and any(self._layer(branch) == 0 for _, branch, _ in sums)
        ]
        chains = [chain for start in starts if (chain := self._chain(start, last))]
        if len(chains) != 1:
            return None
        (chain,) = chains
        naming = Naming({chain[0].before: "embed"}, layers=last + 1)
        made = {tensor: self._layer_of(node) for node in self._graph.nodes for tensor in node.output}
        naming.layer_of = {tensor: layer for tensor, layer in made.items() if layer is not None and layer <= last}
        shapes: set[str] = set()
        for layer in range(last + 1):
            sums = [item for item in chain if item.layer == layer]
            shape, roles = self._roles(sums, {item.stream for item in chain})
            shapes.add(shape)
            for role, tensor in roles.items():
                naming.names[tensor] = f"layers.{layer}.{role}"
            naming.names[self._handed_on(sums[-1])] = f"layers.{layer}"
        last_one = self._handed_on(chain[-1])
        # What a factor changes on its way from one sum to the next is no sum any more.
        scaled = any(self._is_scaled(tensor) for tensor in [last_one, *(item.before for item in chain[1:])])
        naming.residual = "other" if scaled or len(shapes) > 1 else shapes.pop()
        norm = self._norm(last_one)
        if norm is not None:
            naming.names[norm] = "norm"
        return self._graph.producer[chain[-1].after], naming

    def _additions(self, node: NodeProto) -> Iterator[tuple[str, str, str]]:
        """Yield a sum of two tensors that both vary, either of them as what is added to."""
        fused = node.op_type in _FUSED
        after = next(iter(node.output[3:]), "") if fused else next(iter(node.output), "")
        pair = list(node.input[:2])
        if (fused or node.op_type == "Add") and after and len(pair) == 2 and self._graph.varying.issuperset(pair):
            yield self._source(pair[0]), pair[1], after
            yield self._source(pair[1]), pair[0], after

    def _handed_on(self, last: _Sum) -> str:
        """Return what a layer hands on: the sum, as the layer itself may shape it and multiply it."""
        tensor = last.after
        while True:
            own = (
                node.output[0]
                for node in self._graph.read_by(tensor)
                if self._keeps_stream(node) and self._layer_of(node) == last.layer and not self._child(node)
            )
            following = next(own, None)
            if following is None:
                return tensor
            tensor = following

    def _chain(self, start: str, last: int) -> list[_Sum] | None:
        """Follow the stream from sum to sum; None where it forks, skips a layer or goes back."""
        chain: list[_Sum] = []
        tensor = start
        while True:
            layer = chain[-1].layer if chain else 0
            following = [
                _Sum(reached, tensor, before, branch, after)
                for before, branch, after in self._sums.get(tensor, ())
                if (reached := self._layer(branch)) is not None and layer <= reached <= layer + 1
            ]
            if not following:
                break
            if len(following) > 1 or (not chain and following[0].layer):
                return None
            chain += following
            tensor = following[0].after
        return chain if chain and chain[-1].layer == last else None

    def _roles(self, sums: list[_Sum], stream: set[str]) -> tuple[str, dict[str, str]]:
        """Return how a layer adds up, and which tensor each of its blocks hands to the sum."""
        if len(sums) == 1:
            node = self._graph.made_by(sums[0].branch)
            parts = list(node.input[:2]) if node is not None and node.op_type == "Add" else []
            roles = {self._role(part, stream)[0]: part for part in parts}
            if set(roles) == {"attn", "mlp"}:
                return "parallel", {str(role): part for role, part in roles.items()}
        found = [self._role(item.branch, stream) for item in sums]
        roles = {role: item.branch for (role, _), item in zip(found, sums, strict=True) if role is not None}
        if len(roles) != len(sums) or len(sums) > 2:
            return "other", {}
        if any(read != {item.stream} for (_, read), item in zip(found, sums, strict=True)):
            alike = all(read == {sums[0].stream} for _, read in found)
            return "parallel" if alike else "other", roles
        in_order = list(roles) in (["attn", "mlp"], ["attn"], ["mlp"])
        return "sequential" if in_order else "other", roles

    def _role(self, branch: str, stream: set[str]) -> tuple[str | None, set[str]]:
        """Return whether attention or an MLP has made a tensor, and which tensors of the stream that has read."""
        layer = self._layer(branch)
        modules: set[str] = set()
        read: set[str] = set()
        seen, waiting = {branch}, [branch]
        while waiting:
            name = waiting.pop()
            node = self._graph.made_by(name)
            # The norm of a sum that is made together with it reads that sum.
            fused = node is not None and node.op_type in _FUSED and len(node.output) > 3
            key = self._stream(node.output[3] if node is not None and fused else name)
            if key in stream:
                read.add(key)
            elif node is not None and (self._layer_of(node) == layer or not self._module[id(node)]):
                modules.add(self._child(node))
                new = [tensor for tensor in node.input if tensor and tensor not in seen]
                seen.update(new)
                waiting += new
        blocks = [module for module in modules if not _NORM.search(module)]
        roles = {"attn" for module in blocks if _ATTENTION.search(module)} | {
            "mlp" for module in blocks if _MLP.search(module)
        }
        return roles.pop() if len(roles) == 1 else None, read

    def _norm(self, last: str) -> str | None:
        """Return the output of the final norm: what its module hands on."""
        maker = self._graph.made_by(last)
        if maker is not None and maker.op_type in _FUSED:
            return maker.output[0]
        readers = [node for node in self._graph.read_by(last) if self._computing(node) is None]
        modules = {self._module[id(node)] for node in readers}
        if len(modules) != 1 or not _NORM.search((module := modules.pop()).rpartition(".")[2]):
            return None
        made = [
            name for node in self._graph.nodes if self._module[id(node)] == module for name in node.output if name
        ]
        handed_on = [
            name
            for name in made
            if name in self._graph.varying
            and (
                name in self._graph.outputs
                or any(self._module[id(node)] != module for node in self._graph.read_by(name))
            )
        ]
        return handed_on[0] if len(handed_on) == 1 else None

    def _source(self, tensor: str) -> str:
        """Return the tensor that this one is, but for its number format."""
        node = self._graph.made_by(tensor)
        while node is not None and node.op_type in _PASSING and node.input:
            tensor = node.input[0]
            node = self._graph.made_by(tensor)
        return tensor

    def _stream(self, tensor: str) -> str:
        """Return the sum, or the embedding, that a tensor of the stream is but for its shape and constant factors."""
        tensor = self._source(tensor)
        while (node := self._graph.made_by(tensor)) is not None and self._keeps_stream(node):
            tensor = self._source(next(name for name in node.input if name in self._graph.varying))
        return tensor

    def _is_scaled(self, tensor: str) -> bool:
        """Return whether a tensor of the stream is another than its last sum by a factor."""
        tensor = self._source(tensor)
        while (node := self._graph.made_by(tensor)) is not None and self._keeps_stream(node):
            if node.op_type != "Reshape":
                return True
            tensor = self._source(node.input[0])
        return False

    def _keeps_stream(self, node: NodeProto) -> bool:
        varying = [name in self._graph.varying for name in node.input]
        if node.op_type == "Reshape":
            return varying[:1] == [True]
        return node.op_type in ("Mul", "Div") and sum(varying) == 1

    def _layer(self, tensor: str) -> int | None:
        """Return the layer that makes a tensor; a node that belongs to no module is its only input's."""
        node = self._graph.made_by(self._source(tensor))
        while node is not None and not self._module[id(node)]:
            read = [name for name in node.input if name in self._graph.varying]
            node = self._graph.made_by(self._source(read[0])) if len(read) == 1 else None
        return None if node is None else self._layer_of(node)

    def _layer_of(self, node: NodeProto) -> int | None:
        module = self._module[id(node)]
        match = _LAYER.search(module)
        return int(match[1]) if match and module[: match.start(1)] == self._prefix else None

    def _computing(self, node: NodeProto) -> int | None:
        """Return the layer of a node; None for a final norm that counts itself as one layer more."""
        return None if _NORM.search(self._child(node)) and "final" in self._child(node) else self._layer_of(node)

    def _child(self, node: NodeProto) -> str:
        """Return the module of the layer that a node belongs to, such as ``mlp``; of the layer itself nothing."""
        return self._module[id(node)][len(self._prefix) :].partition(".")[2].partition(".")[0]
