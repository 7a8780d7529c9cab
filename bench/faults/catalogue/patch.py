"""Ways to change a model that leave no trace: each is undone when its context ends."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .structure import decoder_of

_ROTARY_FUNCTIONS = ("apply_rotary_pos_emb", "apply_rotary_pos_emb_interleave")
_numbers = count()


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Set an attribute, of a module, a configuration or a Python module, and set it back."""
    registered = name in getattr(owner, "_parameters", ()) or name in getattr(owner, "_buffers", ())
    own = registered or name in vars(owner)
    before = getattr(owner, name) if own else None
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, before)
        else:
            delattr(owner, name)


@contextmanager
def reweighted(owner: Any, name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """Put ``change`` of a parameter in its place; the parameter itself, and what is tied to it, is not touched."""
    weight = getattr(owner, name)
    with torch.no_grad():
        changed = change(weight.detach().clone()).to(weight.dtype).contiguous()
    with replaced(owner, name, nn.Parameter(changed, requires_grad=False)):
        yield


def on_output(module: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> AbstractContextManager[None]:
    """Put ``change`` of a module's output, or of the first item of a tuple, in its place, before any other hook."""

    def changed(_args: Any, _kwargs: Any, output: Any) -> Any:
        return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)

    return on_call(module, changed)


@contextmanager
def on_call(module: Any, change: Callable[[tuple[Any, ...], dict[str, Any], Any], Any]) -> Iterator[None]:
    """Put ``change(arguments, named arguments, output)`` in the place of a module's output, before any other hook."""
    handle = module.register_forward_hook(
        lambda _module, args, kwargs, output: change(args, kwargs, output), prepend=True, with_kwargs=True
    )
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def on_input(module: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """Put ``change`` of a module's first positional argument in its place."""
    handle = module.register_forward_pre_hook(lambda _module, args: (change(args[0]), *args[1:]), prepend=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def on_attention(attention: Any, change: Callable[..., Any]) -> Iterator[None]:
    """Put ``change`` around the kernel that one attention module calls, whichever that is.

    Args:
        attention: the module.
        change: called as ``change(kernel, query, key, value, mask, **kwargs)``, ``[B, heads, T|S, D]`` each;
            ``kernel`` takes the same and returns ``([B, T, heads, D], …)``.
    """
    shared = attention.config
    home = sys.modules[type(attention).__module__]
    interface = getattr(home, "ALL_ATTENTION_FUNCTIONS", ALL_ATTENTION_FUNCTIONS)

    def kernel(module: Any, *args: Any, **kwargs: Any) -> Any:
        function = interface.get(shared._attn_implementation, home.eager_attention_forward)
        return function(module, *args, **kwargs)

    def function(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **kwargs: Any) -> Any:
        return change(partial(kernel, module), query, key, value, attention_mask, **kwargs)

    name = f"fault-{next(_numbers)}"
    own = copy.copy(shared)
    # Not the property: its setter would reach into configurations that the copy shares.
    own._attn_implementation_internal = name
    interface[name] = function
    try:
        with replaced(attention, "config", own):
            yield
    finally:
        del interface[name]


@dataclass(frozen=True)
class Turning:
    """One call of the function that turns queries and keys by their positions.

    Attributes:
        function: takes and returns queries and keys; cos and sin come after them.
        rotary: the module that made the tables.
        call: arguments of the call that made them.
        interleaved: whether neighbours are a pair, not the two halves' dimensions.
    """

    function: Callable[..., Any]
    rotary: Any
    call: tuple[Any, Any]
    interleaved: bool

    def __call__(self, query: Any, key: Any, cos: Any, sin: Any) -> Any:
        """Turn queries and keys."""
        return self.function(query, key, cos, sin)

    def tables(self, frequencies: Any = None, positions: Any = None) -> Any:
        """Return cos and sin made anew; ``frequencies`` and ``positions`` map what they are made of to others."""
        args, kwargs = self.call
        with ExitStack() as stack:
            if frequencies is not None:
                for name in frequency_names(self.rotary):
                    stack.enter_context(replaced(self.rotary, name, frequencies(getattr(self.rotary, name))))
            if positions is not None:
                args = tuple(positions(arg) if _is_integer(arg) else arg for arg in args)
                kwargs = {key: positions(value) if _is_integer(value) else value for key, value in kwargs.items()}
            return self.rotary.forward(*args, **kwargs)

    def pairs(self, cos: torch.Tensor) -> int:
        """Return how many pairs of dimensions turn: a table holds each angle once or twice."""
        sizes = [getattr(self.rotary, name).numel() for name in frequency_names(self.rotary)]
        return next(size for size in sizes if cos.shape[-1] in (size, 2 * size))


@contextmanager
def on_rotary(model: Any, attention: Any, change: Callable[..., Any]) -> Iterator[None]:
    """Put ``change`` around the function that turns queries and keys, in one attention module alone.

    Args:
        model: the model, whose decoder makes the tables.
        attention: the module.
        change: called as ``change(turning, query, key, cos, sin)``; returns queries and keys.
    """
    home = sys.modules[type(attention).__module__]
    rotary = decoder_of(model).rotary_emb
    calls: list[tuple[Any, Any, Any]] = []
    active: list[bool] = []

    def remember(_module: Any, args: Any, kwargs: Any, output: Any) -> None:
        # One for each type of layers at most.
        calls.append((args, kwargs, output))
        del calls[:-4]

    def changed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def turned(query: Any, key: Any, cos: Any, sin: Any, *args: Any, **kwargs: Any) -> Any:
            if not active:
                return function(query, key, cos, sin, *args, **kwargs)
            given, named, _ = next(call for call in calls if call[2][0] is cos)
            plain = partial(_with_rest, function, args, kwargs)
            return change(Turning(plain, rotary, (given, named), "interleave" in name), query, key, cos, sin)

        return turned

    with ExitStack() as stack:
        for handle in (
            rotary.register_forward_hook(remember, with_kwargs=True),
            attention.register_forward_pre_hook(lambda *_: active.append(True)),
            attention.register_forward_hook(lambda *_: active.clear(), always_call=True),
        ):
            stack.callback(handle.remove)
        for name in _ROTARY_FUNCTIONS:
            if hasattr(home, name):
                stack.enter_context(replaced(home, name, changed(name, getattr(home, name))))
        yield


def _with_rest(function: Any, args: Any, kwargs: Any, query: Any, key: Any, cos: Any, sin: Any) -> Any:
    return function(query, key, cos, sin, *args, **kwargs)


def frequency_names(rotary: Any) -> list[str]:
    """Return the names of the buffers of inverse frequencies: one, or one for each type of layers."""
    return [name for name, _ in rotary.named_buffers() if name.endswith("inv_freq") and "original" not in name]


def _is_integer(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and not value.is_floating_point()
