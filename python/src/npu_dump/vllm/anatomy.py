"""Where the tensors of the residual stream are in a model of vLLM: found by one forward pass, as in transformers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..errors import DumpError
from ..module_tree import Decoder, is_norm_or_dropout
from ..probe import Call, as_rows, observed
from .stream import handed_stream, returned_stream


def find_vllm_decoder(model: nn.Module, config: Any) -> Decoder:
    """Return the decoder: the shallowest list of as many layers as the text configuration has.

    Raises:
        DumpError: ``decoder-absent``.
    """
    count, width = int(getattr(config, "num_hidden_layers", 0)), int(getattr(config, "hidden_size", 0))
    lists = [
        (path, module)
        for path, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == count
    ]
    if not lists or not width:
        raise DumpError(
            "decoder-absent",
            "the model has no list of decoder layers",
            facts=[("model", type(model).__name__), ("layers by its configuration", count)],
            help="capture it through transformers, or as logprobs alone: --graph",
        )
    path, layers = min(lists, key=lambda found: found[0].count("."))
    owner = path.rpartition(".")[0]
    return Decoder(
        path=owner,
        module=model.get_submodule(owner),
        layers=tuple((f"{path}.{index}", layer) for index, layer in enumerate(layers)),
        hidden_size=width,
    )


class Observer:
    """Notes the last call of each module in and around the layers, until it is removed.

    Attributes:
        calls: of each module by its path, in the order of completion.
    """

    def __init__(self, decoder: Decoder) -> None:
        self.calls: dict[str, Call] = {}
        self._width = decoder.hidden_size
        self._layers = {module for _, module in decoder.layers}
        self._handed: dict[nn.Module, torch.Tensor] = {}
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

    def _before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # A sum of the pair in float64 is the stream itself, not the stream rounded once more.
        pair = module in self._layers or is_norm_or_dropout(self._paths[module][0].rpartition(".")[2], module)
        stream = handed_stream(*_widened(args, kwargs), self._width, pair=pair)
        if stream is not None:
            self._handed[module] = as_rows(stream)

    def _after(self, module: nn.Module, _args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        precision = returned_stream(output, kwargs, pair=False)
        if precision is None or not precision.is_floating_point() or module not in self._handed:
            return
        (widened,), wide = _widened((output,), kwargs)
        stream = returned_stream(widened, wide, pair=module in self._layers)
        # Modules that serve several layers are the last one's: such models are not vLLM's.
        path = self._paths[module][-1]
        self.calls.pop(path, None)
        self.calls[path] = Call(
            path.rpartition(".")[2],
            path,
            module,
            self._handed.pop(module),
            as_rows(stream if stream is not None else precision),
            torch.finfo(precision.dtype).eps,
        )


def _widened(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return copies of the floating tensors among arguments in float64 on the CPU."""

    def wide(value: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            return value.detach().to("cpu", torch.float64, copy=True)
        return tuple(map(wide, value)) if isinstance(value, tuple) else value

    return tuple(map(wide, args)), {name: wide(value) for name, value in kwargs.items()}
