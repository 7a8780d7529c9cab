"""Where the tensors of the residual stream are in a model of vLLM: found by one forward pass, as in transformers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from ..errors import DumpError
from ..module_tree import Decoder, decoder_of, is_norm_or_dropout
from ..points import Point
from ..probe import Call, as_rows, observed
from ..router import is_router
from .stream import handed_tensors, returned_tensors, stream_of


def find_vllm_decoder(model: nn.Module, config: Any) -> Decoder:
    """Return the decoder: the shallowest list of as many layers as the text configuration has.

    Of a model of images it is looked for inside its language model: an encoder may have as many layers.

    Raises:
        DumpError: ``decoder-absent``.
    """
    count, width = int(getattr(config, "num_hidden_layers", 0)), int(getattr(config, "hidden_size", 0))
    inside = set(_language_model(model).modules())
    lists = [
        (path, module)
        for path, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == count and module in inside
    ]
    if not lists or not width:
        raise DumpError(
            "decoder-absent",
            "the model has no list of decoder layers",
            facts=[("model", type(model).__name__), ("layers by its configuration", count)],
            help="capture it through transformers, or as logprobs alone: --graph",
        )
    return decoder_of(model, lists, width)


def _language_model(model: Any) -> nn.Module:
    # Some models of images have the method and do not know the answer.
    with suppress(Exception):
        found = model.get_language_model()
        return found if isinstance(found, nn.Module) else model
    return model


@dataclass(frozen=True)
class _Seen:
    """One call of a module: what it was handed and returned of the stream, in float64 on the CPU."""

    module: nn.Module
    handed: list[torch.Tensor]
    returned: list[torch.Tensor]
    epsilon: float


class Observer:
    """Notes the last call of each module in and around the layers, until it is removed."""

    def __init__(self, decoder: Decoder) -> None:
        self._seen: dict[str, _Seen] = {}
        self._width = decoder.hidden_size
        self._layers = {module: path for path, module in decoder.layers}
        self._handed: dict[nn.Module, list[torch.Tensor]] = {}
        self._removes: list[Callable[[], None]] = []
        self._paths: dict[nn.Module, list[str]] = defaultdict(list)
        for path, module in observed(decoder):
            self._paths[module].append(path)
        for module in self._paths:
            self._removes += [
                module.register_forward_pre_hook(self._before, with_kwargs=True).remove,
                module.register_forward_hook(self._after, with_kwargs=True).remove,
            ]

    def remove(self) -> None:
        """Take the hooks away."""
        for remove in self._removes:
            remove()

    def pairs(self) -> bool:
        """Return whether the stream is the sum of the two tensors that a layer returns, and not the first alone.

        The next layer tells, by what it is handed or by what its first norm is: both of them, their sum, or the
        first alone. Where nothing tells, the sum it is, as in most models.
        """
        alone = False
        for before, after in pairwise(self._layers.values()):
            if before not in self._seen or len(self._seen[before].returned) < 2:
                continue
            hidden, residual = self._seen[before].returned
            allowed = self._seen[before].epsilon * (hidden.abs() + residual.abs())
            for path, seen in self._seen.items():
                # A layer may be handed a tensor that it does not look at, a norm adds up.
                if not (path == after and len(seen.handed) == 1) and not path.startswith(f"{after}."):
                    continue
                read = self._stream(path, seen.handed, pair=True)
                if read.shape == hidden.shape and bool(((read - hidden - residual).abs() <= allowed).all()):
                    return True
                alone |= torch.equal(seen.handed[0], hidden)
        return not alone

    def calls(self) -> dict[str, Call]:
        """Return the last call of each module by its path, in the order of completion."""
        pair = self.pairs()
        return {
            path: Call(
                path.rpartition(".")[2],
                path,
                seen.module,
                as_rows(self._stream(path, seen.handed, pair=pair)),
                as_rows(self._stream(path, seen.returned, pair=pair and seen.module in self._layers)),
                seen.epsilon,
            )
            for path, seen in self._seen.items()
        }

    def _stream(self, path: str, tensors: list[torch.Tensor], *, pair: bool) -> torch.Tensor:
        """Return the stream among the tensors; only layers and norms are handed a residual beside hidden states."""
        module = self._seen[path].module
        adds = module in self._layers or is_norm_or_dropout(path.rpartition(".")[2], module)
        stream = stream_of(tensors, pair=pair and adds)
        return tensors[0] if stream is None else stream

    def _before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # Projections inside a block are handed tensors of other widths.
        handed = handed_tensors(args, kwargs, self._width) or _floating([*args, *kwargs.values()])[:1]
        if handed:
            self._handed[module] = _widened(handed)

    def _after(self, module: nn.Module, _args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        returned = _floating(returned_tensors(output, kwargs))
        handed = self._handed.pop(module, None)
        if not returned or handed is None:
            return
        # Modules that serve several layers are the last one's: such models are not vLLM's.
        path = self._paths[module][-1]
        self._seen.pop(path, None)
        self._seen[path] = _Seen(module, handed, _widened(returned), torch.finfo(returned[0].dtype).eps)


def called_routers(decoder: Decoder, calls: Mapping[str, Call], experts: int) -> list[Point]:
    """Return where each layer's router logits are, of the layers that have one router.

    Told by what it returns: engines pack its weights for their kernels.

    Args:
        decoder: where its layers are.
        calls: from `Observer.calls`.
        experts: how many routed experts a layer has; 0: none.
    """
    points: list[Point] = []
    for index, (path, _) in enumerate(decoder.layers if experts else ()):
        routers = [
            call
            for call in calls.values()
            if call.path.startswith(f"{path}.")
            and is_router(call.name, call.module)
            and call.output.shape[-1] == experts
        ]
        outermost = [call for call in routers if not any(call.path.startswith(f"{other.path}.") for other in routers)]
        # Of two routers in one layer neither is the layer's.
        if len(outermost) == 1:
            points.append(
                Point(f"layers.{index}.router", outermost[0].path, outermost[0].module, kind="router", layer=index)
            )
    return points


def _floating(values: Iterable[Any]) -> list[torch.Tensor]:
    return [value for value in values if isinstance(value, torch.Tensor) and value.is_floating_point()]


def _widened(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return copies in float64 on the CPU: kernels overwrite, and a sum of the pair is then not rounded once more."""
    return [tensor.detach().to("cpu", torch.float64, copy=True) for tensor in tensors]
