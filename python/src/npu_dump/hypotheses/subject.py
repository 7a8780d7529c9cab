"""One module of a float32 model on the inputs that a dump says it had, to be run again under changes."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import DumpError
from ..modes import LOGITS
from ..module_tree import first_tensor, is_norm_or_dropout, stream_input, with_first_tensor, with_stream_input
from ..reader import DumpFile
from ..router import RouterTap, expert_count
from .attention import AttentionCall, rewritten
from .change import NO_CHANGE, Arguments, Change, forward_of
from .feed import Anatomy, Fed, Stop, fed_samples, recorded

# Logits are wide, and each row of them depends on its own row of the norm alone.
_LOGIT_ROWS = 256
_SAME = 1e-3


class Subject:
    """A module, named as in a dump, with the dump's rows at its input.

    ``attn`` reads the dump's residual stream, ``mlp`` that plus the dump's ``attn`` (and the dump's router logits,
    where it has them), ``layers.i`` is their sum, ``norm`` reads the last layer, ``logits`` the norm, ``embed`` the
    token ids. Answers are computed sample by sample, in the model's precision.

    Args:
        anatomy: the model.
        source: a dump that a replay would take.
        name: the module.
        tokens: at most so many, of the longest samples.

    Raises:
        DumpError: there is no such module, or the dump cannot be replayed on the model.
    """

    def __init__(self, anatomy: Anatomy, source: DumpFile, name: str, *, tokens: int) -> None:
        self.anatomy = anatomy
        self.model: Any = anatomy.model
        self.name = name
        self.source = source
        self._check_name()
        self.role = name.rpartition(".")[2] if name.endswith((".attn", ".mlp")) else name.partition(".")[0]
        self.layer = int(name.split(".")[1]) if name.startswith("layers.") else None
        self.samples: list[Fed] = fed_samples(anatomy, source, min(tokens, _LOGIT_ROWS) if name == LOGITS else tokens)
        self.norms: list[str] = []
        self._calls = [self._recorded(fed) for fed in self.samples]
        self.given = torch.cat([fed.rows(name)[0] for fed in self.samples])
        self.lengths = [fed.length for fed in self.samples]
        with self._watching_norms():
            self.expected = self._run(NO_CHANGE)

    def _check_name(self) -> None:
        known = [*self.anatomy.points, *([LOGITS] if self.anatomy.head else [])]
        if self.name in known:
            return
        close = difflib.get_close_matches(self.name, known, n=1)
        raise DumpError(
            "module-unknown",
            "the model has no such module",
            facts=[("given", self.name), ("model", f"{len(known)} modules: {', '.join(known[:4])} …")],
            help=f"did you mean {close[0]}?" if close else "name it as in the dump, e.g. layers.7.attn",
        )

    @property
    def block(self) -> nn.Module:
        """The decoder layer that the module is in; else the whole model."""
        return self.model if self.layer is None else self.anatomy.decoder.layers[self.layer][1]

    def beside(self, offset: int) -> nn.Module | None:
        """Return the decoder layer so many layers after this one, or None."""
        if self.layer is None or not 0 <= self.layer + offset < len(self.anatomy.decoder.layers):
            return None
        return self.anatomy.decoder.layers[self.layer + offset][1]

    @property
    def arguments(self) -> list[Arguments]:
        """What the decoder layer is called with, one a sample; empty for what is in no layer."""
        return self._calls if self.layer is not None else []

    @property
    def has_router(self) -> bool:
        """Whether the module chooses experts."""
        return self.role == "mlp" and f"layers.{self.layer}.router" in self.anatomy.routers

    @cached_property
    def attention(self) -> AttentionCall | None:
        """The call of attention in the longest sample; None where the module's answer cannot be made from it."""
        calls: list[AttentionCall] = []

        def note(call: AttentionCall) -> AttentionCall:
            calls.append(call)
            return call

        if self.role != "attn":
            return None
        answer = self._run(Change(attention=note))
        # One call a sample: two blocks in one layer could not be told apart.
        if len(calls) != len(self.samples) or not close_to(answer, self.expected):
            return None
        return max(calls, key=lambda call: call.query.shape[2])

    def answer(self, change: Change = NO_CHANGE) -> torch.Tensor:
        """Return the module's answers under a change, ``[N, W]`` over the rows of all samples."""
        only_output = Change(output=change.output)
        if change == only_output:
            return self._with_output(change, self.expected)
        return self._with_output(change, self._run(change))

    def _with_output(self, change: Change, answers: torch.Tensor) -> torch.Tensor:
        if change.output is None:
            return answers
        return torch.cat([change.output(rows) for rows in answers.split(self.lengths)])

    @torch.no_grad()
    def _run(self, change: Change) -> torch.Tensor:
        with change.patch():
            return torch.cat(
                # Some blocks see batch and tokens as one axis.
                [
                    self._answer(fed, call, change).reshape(fed.length, self.given.shape[-1])
                    for fed, call in zip(self.samples, self._calls, strict=True)
                ]
            )

    def _answer(self, fed: Fed, call: Any, change: Change) -> torch.Tensor:
        if self.role == "embed":
            return self._embedded(fed)
        if self.role == "norm":
            return _tensor(self.anatomy.points["norm"].module(fed.rows(self.anatomy.last_layer)))
        if self.role == LOGITS:
            canned = with_first_tensor(call, fed.rows("norm"))
            with forward_of(self.anatomy.decoder.module, lambda *_args, **_keywords: canned):
                return self.model(**fed.inputs).logits
        return self._layer(fed, call, change)

    def _embedded(self, fed: Fed) -> torch.Tensor:
        args, kwargs = recorded(self.anatomy, fed, layer=0)
        embedded = stream_input(args, kwargs)
        if embedded is None:
            raise self._unanswered()
        return embedded

    def _layer(self, fed: Fed, call: Arguments, change: Change) -> torch.Tensor:
        """Run the decoder layer on the dump's stream, up to the module."""
        layer = self.layer or 0
        before = f"layers.{layer - 1}" if layer else "embed"

        def read(role: str, name: str) -> torch.Tensor:
            return fed.rows(name) if change.inputs is None else change.inputs(role, fed.rows(name))

        args, kwargs = with_stream_input(*call, read("stream", before))
        if change.arguments is not None:
            args, kwargs = change.arguments((args, kwargs))
        answer: list[torch.Tensor] = []

        def stop(output: Any) -> Any:
            answer.append(_tensor(output))
            raise Stop

        def replaced(role: str, name: str) -> Callable[[Any], Any]:
            return lambda output: with_first_tensor(output, read(role, name).reshape(_tensor(output).shape))

        with ExitStack() as hooks:
            if change.attention is not None:
                hooks.enter_context(rewritten(self.block, fed.positions, change.attention))
            for role in ("attn", "mlp"):
                name = f"layers.{layer}.{role}"
                point = self.anatomy.points.get(name)
                if point is not None:
                    act = stop if name == self.name else replaced(role, name)
                    hooks.callback(_hook(point.module, act))
            self._tap(hooks, fed, change)
            try:
                output = self.block(*args, **kwargs)
            except Stop:
                return answer[0]
            return _tensor(output)

    def _tap(self, hooks: ExitStack, fed: Fed, change: Change) -> None:
        """Put the dump's router logits in the place of the model's, and the change's in theirs."""
        name = f"layers.{self.layer}.router"
        if not self.has_router:
            return
        stored = fed.rows(name) if fed.holds(name) else None

        def logits(own: torch.Tensor) -> torch.Tensor:
            taken = own if stored is None else stored.reshape(own.shape).to(own)
            return taken if change.router is None else change.router(taken)

        router = self.anatomy.routers[name].module
        hooks.callback(RouterTap(router, expert_count(self.model), logits).remove)

    def _recorded(self, fed: Fed) -> Any:
        """Return what is needed to run the module alone: the layer's arguments, or the decoder's output."""
        if self.layer is not None:
            return recorded(self.anatomy, fed, layer=self.layer)
        if self.role != LOGITS:
            return None
        outputs: list[Any] = []
        norms: list[torch.Tensor] = []
        point = self.anatomy.points.get("norm")
        with ExitStack() as hooks, torch.no_grad():
            hooks.callback(_hook(self.anatomy.decoder.module, outputs.append))
            if point is not None:
                hooks.callback(_hook(point.module, lambda output: norms.append(_tensor(output))))
            self.model(**fed.inputs)
        if not norms or not torch.equal(_tensor(outputs[0]), norms[-1]):
            raise DumpError(
                "module-unreachable",
                "the logits of this model do not follow from the output of its final norm alone",
                facts=[("model", type(self.model).__name__), ("final norm", "none" if point is None else point.path)],
                help="probe another module",
            )
        return outputs[0]

    @contextmanager
    def _watching_norms(self) -> Iterator[None]:
        """Note the norms that work between the module's input and its output, in their order."""
        with ExitStack() as hooks:
            for path, module in self.model.named_modules():
                if is_norm_or_dropout(path.rpartition(".")[2], module) and hasattr(module, "weight"):
                    hooks.callback(_hook(module, lambda _output, path=path: self._note_norm(path)))
            # What another block handed over is the dump's: no norm before it matters.
            for role in ("attn", "mlp"):
                point = self.anatomy.points.get(f"layers.{self.layer}.{role}")
                if point is not None and point.name != self.name:
                    hooks.callback(_hook(point.module, lambda _output: self.norms.clear()))
            yield

    def _note_norm(self, path: str) -> None:
        if path not in self.norms:
            self.norms.append(path)

    def _unanswered(self) -> DumpError:
        return DumpError(
            "module-unreachable",
            "the module gave no tensor",
            facts=[("module", self.name), ("file", Path(self.source.path).name)],
            help="probe another module",
        )


def close_to(answer: torch.Tensor, expected: torch.Tensor) -> bool:
    """Return whether two answers ``[N, W]`` agree as two float32 kernels do: to 1e-3 in the median row."""
    error = torch.linalg.vector_norm(answer - expected, dim=-1)
    return bool((error / torch.linalg.vector_norm(expected, dim=-1)).nanmedian() < _SAME)


def _hook(module: nn.Module, act: Callable[[Any], Any]) -> Callable[[], None]:
    """Call ``act`` with each output of a module; return what takes the hook away."""
    return module.register_forward_hook(lambda _module, _args, output: act(output)).remove


def _tensor(output: Any) -> torch.Tensor:
    found = first_tensor(output)
    if found is None:
        raise TypeError("a module that was captured gave a tensor")
    return found
