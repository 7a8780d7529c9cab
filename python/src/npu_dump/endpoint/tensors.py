"""What an answer becomes in the dump: canonical tensors of a sample, and the times of all of them."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from ..spans import covered
from ..writer import DumpWriter
from .answers import TopRow
from .continuation import Continuation
from .questions import Question
from .session import Answer


def tensors_of(question: Question, answer: Answer) -> dict[str, Any]:
    """Return the tensors and texts of a sample by name, those of one item size beside each other.

    ============================ ===== ==============================================================
    ``input_ids``                I64   ``[T]``
    ``topk_ids``                 I64   ``[T, k]``, row t: the most likely tokens after ``input_ids[t]``
    ``generated_ids``            I64   ``[N]``
    ``generated_topk_ids``       I64   ``[N, k]``
    ``token_logprob``            F64   ``[T]``, NaN at 0
    ``topk_logprobs``            F32   ``[T, k]``; servers compute in float32
    ``generated_topk_logprobs``  F32   ``[N, k]``
    ``prompt``, ``token_text``   text
    ``generated_text``           text
    ============================ ===== ==============================================================

    What is not known is not there.
    """
    scored, continuation = answer.scored, answer.continuation
    found: dict[str, Any] = {}
    if answer.ids is not None:
        found["input_ids"] = np.array(answer.ids, dtype="<i8")
    top = scored.top if scored else None
    generated = continuation.ids() if continuation else None
    generated_top = continuation.top() if continuation else None
    if top:
        found["topk_ids"] = _ids(top)
    if generated is not None:
        found["generated_ids"] = np.array(generated, dtype="<i8")
    if generated_top is not None and continuation is not None:
        found["generated_topk_ids"] = _ids(generated_top, continuation.width)
    if scored is not None:
        found["token_logprob"] = np.array(scored.logprobs, dtype="<f8")
    if top:
        found["topk_logprobs"] = _logprobs(top)
    if generated_top is not None and continuation is not None:
        found["generated_topk_logprobs"] = _logprobs(generated_top, continuation.width)
    if answer.text is not None:
        found["prompt"] = answer.text
    tokens = question.tokens
    if tokens is None and scored is not None and scored.texts is not None:
        tokens = json.dumps(scored.texts, ensure_ascii=False)
    if tokens is not None:
        found["token_text"] = tokens
    if continuation is not None:
        found["generated_text"] = continuation.text
    return found


def lacking(answer: Answer, *, generate: bool) -> list[str]:
    """Return the names of what a server might have told, and did not."""
    known = tensors_of(Question(None), answer)
    wanted = ["input_ids", "token_logprob", "topk_ids", "topk_logprobs"]
    if generate:
        wanted += ["generated_ids", "generated_topk_ids", "generated_topk_logprobs"]
    return [name for name in wanted if name not in known]


class Clock:
    """Collects the times of all continuations, in the order of the samples."""

    def __init__(self) -> None:
        self._times: list[tuple[float, float, float]] = []
        self._spans: list[tuple[float, float]] = []
        self._tokens: int | None = 0

    def add(self, continuation: Continuation | None) -> None:
        """Note one continuation, or that a sample has none."""
        if continuation is None:
            return
        self._times.append(continuation.times_ms())
        self._spans.append(continuation.span)
        tokens = continuation.tokens
        self._tokens = None if self._tokens is None or tokens is None else self._tokens + tokens

    def store(self, writer: DumpWriter) -> None:
        """Write ``perf.*``; nothing where nothing was generated.

        ``perf.output_tokens_per_s`` counts the time in which at least one continuation was under way.
        """
        if not self._times:
            return
        for name, values in zip(("ttft", "tpot", "e2e"), zip(*self._times, strict=True), strict=True):
            writer.write(f"perf.{name}_ms", np.array(values, dtype="<f8"), sample=-1)
        busy = covered(self._spans)
        rate = math.nan if self._tokens is None or not busy else self._tokens / busy
        writer.write("perf.output_tokens_per_s", np.array(rate, dtype="<f8"), sample=-1)


def _ids(rows: tuple[TopRow, ...], width: int = 0) -> np.ndarray:
    return np.array([row.ids for row in rows], dtype="<i8").reshape(len(rows), -1 if rows else width)


def _logprobs(rows: tuple[TopRow, ...], width: int = 0) -> np.ndarray:
    return np.array([row.logprobs for row in rows], dtype="<f4").reshape(len(rows), -1 if rows else width)
