"""Finds what each block hands to the residual sum, by running four tokens and looking.

Names tell a block from a norm, but not whether ``post_attention_layernorm`` follows the attention (Gemma) or precedes
the MLP (Llama), nor whether a layer is sequential or parallel. The values do: a sibling whose input equals the
attention's output takes it over, and a residual sum that is claimed is checked to rounding in every layer.
"""

from __future__ import annotations

import inspect
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import torch
from torch import nn

from .devices import is_out_of_memory
from .errors import DumpError
from .module_tree import (
    Decoder,
    first_tensor,
    is_attention,
    is_mlp,
    is_norm_or_dropout,
    stream_input,
    text_config,
)
from .points import Point

Residual = Literal["sequential", "parallel", "other"]
PROBE_TOKENS = 4


@dataclass(frozen=True)
class Anatomy:
    """What the probe found.

    Attributes:
        points: where to take ``embed``, ``layers.*`` and ``norm``, in the order of a forward.
        residual: ``sequential`` or ``parallel`` where ``layers.i = layers.{i-1} + s*(attn + mlp)`` held to rounding
            in every layer, else ``other``.
        residual_scale: s; one number, or one a layer. 1 where ``residual`` is ``other``.
    """

    points: tuple[Point, ...]
    residual: Residual
    residual_scale: float | list[float]


@dataclass(frozen=True)
class Call:
    """One call of a module: copies of the stream that it was handed and that it returned, ``[T, width]`` float64."""

    name: str
    path: str
    module: nn.Module
    input: torch.Tensor
    output: torch.Tensor
    epsilon: float


def probe(model: nn.Module, decoder: Decoder) -> Anatomy:
    """Run four tokens through the model without gradients and return its anatomy.

    The random state is restored; nothing else of the model changes.

    Raises:
        DumpError: the model cannot run four tokens, for another reason than memory.
    """
    return anatomy_of(decoder, _run(model, decoder))


def anatomy_of(decoder: Decoder, calls: Mapping[str, Call]) -> Anatomy:
    """Return the anatomy of a decoder that has run some tokens.

    Args:
        decoder: where its layers are.
        calls: the last call of each module in and around the layers by its path, in the order of completion.

    Raises:
        DumpError: ``layers-not-run``.
    """
    layers = [path for path, _ in decoder.layers]
    unseen = [path for path in layers if path not in calls]
    if unseen:
        raise DumpError(
            "layers-not-run",
            "the forward pass did not call every decoder layer",
            facts=[("layers", len(layers)), ("not called", ", ".join(unseen[:4]))],
            help="capture the modules that do run by their paths, e.g. select='model.*'",
        )
    points = [Point("embed", layers[0], decoder.layers[0][1], input=True)]
    sums: list[tuple[Residual, float]] = []
    for index, path in enumerate(layers):
        layer = calls[path]
        found = _anatomy_of_layer(layer, [call for call in calls.values() if _inside(call.path, path)], len(layers))
        for role, call in found.blocks.items():
            points.append(Point(f"layers.{index}.{role}", call.path, call.module, layer=index))
        points.append(Point(f"layers.{index}", path, layer.module, layer=index))
        continuous = index == 0 or torch.equal(layer.input, calls[layers[index - 1]].output)
        sums.append((found.residual if continuous else "other", found.scale))
    order = list(calls)
    after = [calls[path] for path in order[order.index(layers[-1]) + 1 :] if path not in layers]
    norm = next((call for call in after if _child(call.path, decoder.path) and _is_norm(call)), None)
    if norm is not None:
        points.append(Point("norm", norm.path, norm.module))
    residual: Residual = sums[0][0] if len({kind for kind, _ in sums}) == 1 else "other"
    scales = [scale for _, scale in sums] if residual != "other" else [1.0]
    return Anatomy(tuple(points), residual, scales[0] if len(set(scales)) == 1 else scales)


@dataclass(frozen=True)
class _Layer:
    blocks: dict[str, Call]
    residual: Residual
    scale: float


def _anatomy_of_layer(layer: Call, inside: list[Call], layers: int) -> _Layer:
    """Find the two blocks among the calls inside one layer, and what they hand to the residual sum."""
    children = [call for call in inside if _child(call.path, layer.path)]
    attentions = [call for call in children if is_attention(call.name, call.module)]
    mlps = [call for call in children if is_mlp(call.name, call.module)]
    entry = None
    if len(attentions) == 1 and not mlps:
        # No module of its own (OPT): from the first to the last projection after the attention.
        later = children[children.index(attentions[0]) + 1 :]
        projections = [call for call in later if not is_norm_or_dropout(call.name, call.module)]
        mlps = [call for call in projections[-1:] if call.output.shape == layer.output.shape]
        entry = projections[0] if mlps else None
    candidates = {
        role: _handed_over(blocks[0], children, inside, layer)
        for role, blocks in (("attn", attentions), ("mlp", mlps))
        # Two blocks of one role (attention beside a state space model) are added up outside any module.
        if len(blocks) == 1
    }
    candidates = {role: calls for role, calls in candidates.items() if calls}
    blocks = {role: calls[0] for role, calls in candidates.items()}
    if len(blocks) < 2:
        return _Layer(blocks, "other", 1.0)
    for attn, mlp in product(candidates["attn"], candidates["mlp"]):
        scale = _scale_of_sum(layer, attn, mlp, layers)
        if scale is None:
            continue
        reads = _source(entry or mlps[0], children)
        mid = layer.input + scale * attn.output
        residual: Residual = "other"
        if torch.equal(_source(attentions[0], children), layer.input):
            if torch.equal(reads, layer.input):
                residual = "parallel"
            elif _equal_to_rounding(reads, mid, layer.input.abs() + (scale * attn.output).abs(), layer.epsilon):
                residual = "sequential"
        return _Layer({"attn": attn, "mlp": mlp}, residual, scale)
    return _Layer(blocks, "other", 1.0)


def _handed_over(block: Call, children: list[Call], inside: list[Call], layer: Call) -> list[Call]:
    """Return what may be handed to the residual sum, most likely first.

    That is the block's output, after any norm that takes exactly this output; or, where a block adds the
    residual itself (BLOOM), the output of the last module inside it.
    """
    last = block
    for sibling in children[children.index(block) + 1 :]:
        follows = is_norm_or_dropout(sibling.name, sibling.module) and torch.equal(sibling.input, last.output)
        # A dropout that lets all pass is no place of its own, and may serve both blocks (Phi).
        if follows and not torch.equal(sibling.output, last.output):
            last = sibling
    inner = [call for call in inside if _inside(call.path, block.path)]
    return [call for call in (last, *inner[-1:]) if call.output.shape == layer.output.shape]


def _source(block: Call, children: list[Call]) -> torch.Tensor:
    """Return what a block reads, before the norms in front of it."""
    tensor = block.input
    for sibling in reversed(children[: children.index(block)]):
        if is_norm_or_dropout(sibling.name, sibling.module) and torch.equal(sibling.output, tensor):
            tensor = sibling.input
    return tensor


def _scale_of_sum(layer: Call, attn: Call, mlp: Call, layers: int) -> float | None:
    """Return s of ``output = input + s*(attn + mlp)`` where that holds to rounding, else None."""
    change, blocks = layer.output - layer.input, attn.output + mlp.output
    power = float((blocks * blocks).sum())
    fitted = float((change * blocks).sum()) / power if power else 1.0

    # A stream that is kept in float32 adds blocks of a coarser format, whatever the order of cast and sum.
    epsilon = max(layer.epsilon, attn.epsilon, mlp.epsilon)

    def holds(scale: float) -> bool:
        magnitude = layer.input.abs() + (scale * attn.output).abs() + (scale * mlp.output).abs()
        return _equal_to_rounding(layer.output, layer.input + scale * blocks, magnitude, epsilon)

    # A constant that the layer itself holds is exact; the fit, blurred by rounding, only tells which one it is.
    # MiniCPM's layers hold a depth scale, which the sum divides by the root of the number of layers.
    held = [value for value in vars(layer.module).values() if type(value) is float and value]
    held += [float(value) for value in layer.module.state_dict().values() if value.numel() == 1 and value]
    exact = [scale for scale in (1.0, *held, *(value / math.sqrt(layers) for value in held)) if holds(scale)]
    if exact:
        return min(exact, key=lambda scale: abs(scale - fitted))
    rounded = float(f"{fitted:.6g}")
    # So near to 1 a factor is no fact about the model: a stream that is multiplied wrongly would look like one.
    return rounded if abs(rounded - 1) > 3 * epsilon and holds(rounded) else None


def _equal_to_rounding(x: torch.Tensor, y: torch.Tensor, magnitude: torch.Tensor, epsilon: float) -> bool:
    """Return whether x and y differ by no more than three roundings (two sums, one product) of such magnitudes.

    Three of the model's, and as many of our own in float64, which count where the model's are no larger.
    """
    allowed = 1.5 * (epsilon + torch.finfo(torch.float64).eps) * magnitude
    return x.shape == y.shape and bool(((x - y).abs() <= allowed).all())


def _run(model: nn.Module, decoder: Decoder) -> dict[str, Call]:
    """Run the probe and return the last call of each module in and around the layers, in the order of completion.

    A module that serves several layers must be called once for each of them; its calls are theirs, in their order.
    """
    paths: dict[nn.Module, list[str]] = defaultdict(list)
    for path, module in observed(decoder):
        paths[module].append(path)
    inputs: dict[nn.Module, torch.Tensor] = {}
    seen: list[tuple[nn.Module, torch.Tensor, torch.Tensor, float]] = []

    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        tensor = stream_input(args, kwargs)
        if tensor is not None and tensor.is_floating_point():
            inputs[module] = as_rows(tensor)

    def after(module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        tensor = first_tensor(output)
        if tensor is not None and module in inputs and tensor.is_floating_point():
            seen.append((module, inputs.pop(module), as_rows(tensor), torch.finfo(tensor.dtype).eps))

    with ExitStack() as hooks:
        for module in paths:
            hooks.callback(module.register_forward_pre_hook(before, with_kwargs=True).remove)
            hooks.callback(module.register_forward_hook(after).remove)
        with torch.no_grad(), _random_state(model):
            try:
                model(**_probe_inputs(model))
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                raise DumpError(
                    "probe-failed",
                    f"the model could not run {PROBE_TOKENS} tokens, which tell where its tensors are",
                    facts=[("model", type(model).__name__), (type(error).__name__, error)],
                    help="check that model(input_ids=...) works on this device and in this precision",
                ) from error
    counts = Counter(module for module, *_ in seen)
    turns: Counter[nn.Module] = Counter()
    calls: dict[str, Call] = {}
    for module, given, returned, epsilon in seen:
        mine = paths[module]
        if len(mine) in (1, counts[module]):
            path = mine[turns[module] % len(mine)]
            turns[module] += 1
            calls.pop(path, None)
            calls[path] = Call(path.rpartition(".")[2], path, module, given, returned, epsilon)
    return calls


def observed(decoder: Decoder) -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers with all inside them but experts, and the modules beside the layers."""
    for name, module in decoder.module.named_children():
        if not isinstance(module, nn.ModuleList):
            yield (f"{decoder.path}.{name}" if decoder.path else name), module
    for path, layer in decoder.layers:
        yield path, layer
        lists = [name for name, module in layer.named_modules() if isinstance(module, nn.ModuleList)]
        for name, module in layer.named_modules():
            if name and not any(name == item or _inside(name, item) for item in lists):
                yield f"{path}.{name}", module


def _probe_inputs(model: Any) -> dict[str, Any]:
    vocabulary = int(getattr(text_config(model), "vocab_size", 0)) or PROBE_TOKENS
    device = model.get_input_embeddings().weight.device
    # The middle of the vocabulary: special tokens, which may have rules of their own, are at its ends.
    ids = (torch.arange(PROBE_TOKENS) + vocabulary // 2) % vocabulary
    inputs: dict[str, Any] = {"input_ids": ids[None].to("cpu" if device.type == "meta" else device)}
    if "use_cache" in inspect.signature(model.forward).parameters:
        inputs["use_cache"] = False
    return inputs


@contextmanager
def _random_state(model: nn.Module) -> Iterator[None]:
    """Keep the random state where a forward uses it: dropout, in training mode only."""
    if not model.training:
        yield
        return
    device = next(model.parameters()).device
    with torch.random.fork_rng(
        devices=[] if device.type == "cpu" else [device],
        device_type="cuda" if device.type == "cpu" else device.type,
    ):
        yield


def as_rows(tensor: torch.Tensor) -> torch.Tensor:
    """Return a copy as ``[T, width]`` float64 on the CPU; batch and token axes become one."""
    return tensor.detach().to("cpu", torch.float64, copy=True).reshape(-1, tensor.shape[-1] if tensor.ndim else 1)


def _is_norm(call: Call) -> bool:
    return is_norm_or_dropout(call.name, call.module) and "dropout" not in type(call.module).__name__.lower()


def _inside(path: str, outer: str) -> bool:
    return path.startswith(f"{outer}.") if outer else bool(path)


def _child(path: str, parent: str) -> bool:
    return _inside(path, parent) and "." not in path[len(parent) + 1 if parent else 0 :]
