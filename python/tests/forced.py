"""A forced forward in few words: every block is fed what a clean run had there, so that only its own error shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from npu_dump.module_tree import find_decoder, first_tensor, stream_input, with_first_tensor, with_stream_input
from npu_dump.probe import probe

Values = dict[str, list[torch.Tensor]]


class Forced:
    """A model whose blocks are fed what they were fed in a clean run.

    Args:
        model: without a fault.
        ids: token ids, ``[B, T]``.
        steps: how many of the last tokens are fed one by one.
    """

    def __init__(self, model: Any, ids: torch.Tensor, steps: int = 0) -> None:
        self.model = model
        decoder = find_decoder(model)
        assert decoder is not None
        self._points = probe(model, decoder).points
        split = ids.shape[1] - steps
        self._calls = [ids[:, :split], *ids[:, split:].split(1, dim=1)] if steps else [ids]
        self.clean = self._run(None)

    def outputs(self) -> Values:
        """What every point gives by itself: one tensor for each call."""
        return self._run(self.clean)

    @torch.no_grad()
    def _run(self, fed: Values | None) -> Values:
        seen: Values = defaultdict(list)
        cache: dict[str, Any] = {}
        with self._hooks(seen, fed):
            for ids in self._calls:
                output = self.model(input_ids=ids, use_cache=len(self._calls) > 1, **cache)
                seen["logits"].append(output.logits.clone())
                cache = {name: output[name] for name in ("past_key_values", "cache_params") if name in output}
        return dict(seen)

    @contextmanager
    def _hooks(self, seen: Values, fed: Values | None) -> Iterator[None]:
        def keep(name: str, value: torch.Tensor) -> torch.Tensor | None:
            seen[name].append(value.detach().clone())
            return None if fed is None else fed[name][len(seen[name]) - 1]

        with ExitStack() as stack:
            for point in self._points:

                def before(_module: Any, args: Any, kwargs: Any, name: str = point.name) -> Any:
                    stream = stream_input(args, kwargs)
                    assert stream is not None
                    value = keep(name, stream)
                    return None if value is None else with_stream_input(args, kwargs, value)

                def after(_module: Any, _args: Any, output: Any, name: str = point.name) -> Any:
                    given = first_tensor(output)
                    assert given is not None
                    value = keep(name, given)
                    return None if value is None else with_first_tensor(output, value)

                hook = (
                    point.module.register_forward_pre_hook(before, with_kwargs=True)
                    if point.input
                    else point.module.register_forward_hook(after)
                )
                stack.callback(hook.remove)
            yield


def changed(before: Values, after: Values) -> set[str]:
    """The names of tensors of which any bit differs."""
    assert set(before) == set(after)
    return {
        name
        for name, values in before.items()
        if not all(
            torch.equal(x.contiguous().view(torch.uint8), y.contiguous().view(torch.uint8))
            for x, y in zip(values, after[name], strict=True)
        )
    }
