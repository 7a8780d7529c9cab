"""A decoder that vLLM runs: batches of many requests come as one list of rows, whose order the scheduler knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..engine import Remove, Take
from ..errors import DumpError
from ..module_tree import Decoder, first_tensor
from ..points import Point
from ..probe import Anatomy, anatomy_of
from ..router import expert_count_of
from ..samples import Row, Step
from .adapter import Runner
from .anatomy import Observer, called_routers, find_vllm_decoder
from .requests import Requests
from .stream import handed_tensors, returned_tensors, stream_of, with_handed_stream, with_returned_stream


class VllmEngine:
    """What `Engine` asks for, of the model of one worker."""

    has_positions = True

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.model: nn.Module = runner.model
        self._config = runner.config.model_config.hf_text_config
        self.decoder: Decoder = find_vllm_decoder(self.model, self._config)
        # The engine's own path from the final norm to logits, whatever module it goes through.
        self.head: str | None = "compute_logits"
        self._anatomy: Anatomy | None = None
        self._routers: list[Point] = []
        self._pair = True
        self._requests = Requests()
        self._last: dict[int, torch.Tensor] = {}
        self._layers = {module for _, module in self.decoder.layers}

    @property
    def samples(self) -> int:  # noqa: D102 - see Engine
        return self._requests.samples

    @property
    def fed(self) -> dict[int, int]:
        """How many tokens each sample was fed, prompt and decode steps."""
        return self._requests.fed

    def learn(self, observer: Observer) -> None:
        """Learn where tensors are from a forward that was observed.

        Raises:
            DumpError: ``layers-not-run``.
        """
        calls = observer.calls()
        self._anatomy = anatomy_of(self.decoder, calls)
        self._routers = called_routers(self.decoder, calls, expert_count_of(self._config))
        self._pair = observer.pairs()

    def anatomy(self) -> Anatomy:  # noqa: D102
        if self._anatomy is None:
            raise AssertionError("a forward is observed before a dump is opened")
        return self._anatomy

    def routers(self) -> list[Point]:  # noqa: D102
        return self._routers

    def hooks(self) -> list[Remove]:  # noqa: D102
        return [self._runner.observe(self._requests.add)]

    def watch(self, point: Point, take: Take) -> Remove:  # noqa: D102
        width, pair = self.decoder.hidden_size, self._pair and point.module in self._layers
        if point.input:

            def before(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
                instead = take(stream_of(handed_tensors(args, kwargs, width), pair=pair))
                return None if instead is None else with_handed_stream(args, kwargs, width, instead, pair=pair)

            return point.module.register_forward_pre_hook(before, with_kwargs=True).remove

        def after(_module: nn.Module, _args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
            instead = take(stream_of(returned_tensors(output, kwargs), pair=pair))
            return None if instead is None else with_returned_stream(output, kwargs, instead, pair=pair)

        return point.module.register_forward_hook(after, with_kwargs=True).remove

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Step | None:  # noqa: D102
        segments = self._runner.segments()
        if segments is None:
            return None
        # They are on the device, a vocabulary for each sample.
        self._last = {sample: last for sample, last in self._last.items() if self._requests.goes_on(sample)}
        rows = self._requests.rows(segments)
        if not rows:
            return None
        width = _rows_of_batch(args, kwargs)
        ids = torch.zeros((1, width), dtype=torch.int64)
        positions = torch.zeros((1, width), dtype=torch.int64)
        place = 0
        for segment in segments:
            end = place + len(segment.ids)
            ids[0, place:end] = torch.tensor(segment.ids)
            positions[0, place:end] = torch.arange(segment.computed, segment.computed + len(segment.ids))
            place = end
        _check_order(args, kwargs, rows, ids)
        return Step(input_ids=ids, position_ids=positions, shape=(1, width), rows=rows, last=self._last)

    def positions(self, step: Step) -> torch.Tensor:  # noqa: D102
        if step.position_ids is None:
            raise AssertionError("every step of this engine has positions")
        return step.position_ids

    def logits(self, output: Any, step: Step) -> Callable[[Row], torch.Tensor]:  # noqa: D102
        hidden = first_tensor(output)
        if hidden is None:
            raise DumpError(
                "logits-cut",
                "the model returned no hidden states",
                facts=[("model", type(self.model).__name__)],
                help="capture without logits: --mode hidden",
            )
        if hidden.shape[0] != step.shape[1]:
            raise DumpError(
                "rows-unknown",
                "the model returned hidden states of other rows than it was fed",
                facts=[("rows fed", step.shape[1]), ("rows returned", hidden.shape[0])],
                help="switch sequence parallelism off, on Ascend VLLM_ASCEND_ENABLE_FLASHCOMM1=0",
            )
        return lambda row: self._runner.logits(hidden[row.tokens])

    def end(self, output: Any) -> None:  # noqa: D102
        del output


def _rows_of_batch(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """Return how many rows the batch has, with those that only fill it up."""
    for name in ("inputs_embeds", "input_ids"):
        value = kwargs.get(name)
        if isinstance(value, torch.Tensor):
            return int(value.shape[0])
    first = first_tensor(args)
    if first is None:
        raise DumpError(
            "engine-unsupported",
            "the engine called the model without token ids and without embeddings",
            facts=[("arguments", ", ".join(kwargs) or "none")],
            help="report this with the versions of vLLM and its plugins",
        )
    return int(first.shape[0])


def _check_order(args: tuple[Any, ...], kwargs: dict[str, Any], rows: list[Row], ids: torch.Tensor) -> None:
    """Refuse a batch whose token ids are not those of the requests that the scheduler names for its rows."""
    fed = kwargs.get("input_ids", first_tensor(args))
    if not isinstance(fed, torch.Tensor) or fed.is_floating_point() or fed.ndim != 1:
        return
    told = fed.to("cpu", torch.int64)
    for row in rows:
        if not torch.equal(told[row.tokens], ids[0, row.tokens]):
            raise DumpError(
                "rows-unknown",
                "the rows of a batch are not in the order that the engine's scheduler tells",
                facts=[
                    ("sample, step", f"{row.sample}, {row.step}"),
                    ("fed", told[row.tokens][:6].tolist()),
                    ("told", ids[0, row.tokens][:6].tolist()),
                ],
                help="capture with --batch 1, and report this with the versions of vLLM and its plugins",
            )
