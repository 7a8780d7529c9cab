"""What the engine's own outputs tell: log-probabilities of the prompt, and continuations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DumpError
from ..inputs import token_texts
from ..progress import Progress
from ..run import Outcome
from ..tokens import Sample
from ..writer import DumpWriter
from .session import Session

if TYPE_CHECKING:
    from .run import EngineRequest

# Texts and arrays of a sample by name; of an array its element type, shape and values.
Stored = tuple[dict[str, str], dict[str, tuple[str, list[int], list[Any]]]]


def stored_of(request: EngineRequest, sample: Sample, output: Any, free: Any, tokenizer: Any, *, own: bool) -> Stored:
    """Return what a dump holds of a sample beside what hooks see.

    Args:
        request: what was asked for.
        sample: the sample.
        output: the engine's output for its prompt.
        free: the engine's output that tells the model's own continuation; None: not asked for.
        tokenizer: for the text of the continuation; None: not stored.
        own: whether the engine's log-probabilities of the prompt's own tokens are stored.
    """
    texts: dict[str, str] = {}
    arrays: dict[str, tuple[str, list[int], list[Any]]] = {}
    if sample.prompt is not None:
        texts["prompt"] = sample.prompt
    if sample.tokens is not None:
        texts["token_text"] = sample.tokens
    if own:
        arrays["token_logprob"] = ("float64", [len(sample.ids)], own_logprobs(sample.ids, output.prompt_logprobs))
    if free is not None:
        completion = free.outputs[0]
        count = request.generate if request.is_forced else max(request.generate, request.decode)
        ids = list(map(int, completion.token_ids))[:count]
        arrays["generated_ids"] = ("int64", [len(ids)], ids)
        if tokenizer is not None:
            texts["generated_text"] = tokenizer.decode(ids, skip_special_tokens=True)
            texts["generated_token_text"] = token_texts(tokenizer, ids)
        best = [_best(step, request.top_k) for step in (completion.logprobs or [])[:count]]
        arrays |= _topk("generated_topk", best)
    return texts, arrays


def own_logprobs(ids: Sequence[int], told: Sequence[Mapping[int, Any] | None] | None) -> list[float]:
    """Return the log-probability of each token given those before it; NaN for the first.

    Raises:
        DumpError: ``logprobs-absent``: the engine did not tell them.
    """
    if told is None or len(told) != len(ids):
        raise DumpError(
            "logprobs-absent",
            "the engine did not tell the log-probabilities of a prompt",
            facts=[("tokens", len(ids)), ("told", "none" if told is None else len(told))],
            help="report this with the versions of vLLM and its plugins",
        )
    values = [math.nan]
    for token, step in zip(ids[1:], told[1:], strict=True):
        if step is None or token not in step:
            raise DumpError(
                "logprobs-absent",
                "the engine did not tell the log-probability of a token of the prompt",
                facts=[("token id", token), ("told", "none" if step is None else sorted(step)[:4])],
                help="report this with the versions of vLLM and its plugins",
            )
        values.append(float(step[token].logprob))
    return values


def _best(step: Mapping[int, Any], count: int) -> list[tuple[int, float]]:
    """Return the most likely tokens and their log-probabilities, the best first, of equal ones the lower id."""
    entries = [(int(token), float(told.logprob)) for token, told in step.items()]
    return sorted(entries, key=lambda entry: (-entry[1], entry[0]))[:count]


def _topk(name: str, rows: Sequence[Sequence[tuple[int, float]]]) -> dict[str, tuple[str, list[int], list[Any]]]:
    """Return ids and log-probabilities as two arrays ``[rows, k]``; nothing where rows differ in length."""
    widths = {len(row) for row in rows}
    if len(widths) != 1:
        return {}
    shape = [len(rows), widths.pop()]
    return {
        f"{name}_ids": ("int32", shape, [token for row in rows for token, _ in row]),
        f"{name}_logprobs": ("float32", shape, [value for row in rows for _, value in row]),
    }


def graph_dump(
    request: EngineRequest,
    session: Session,
    samples: list[Sample],
    metadata: dict[str, Any],
    tokenizer: Any,
    progress: Progress,
) -> Outcome:
    """Write a dump of what an engine tells whose graphs no hook sees into.

    Row t of the most likely tokens is the prediction of the token after ``input_ids[t]``: the engine tells it with
    that token, and that of the last row with the first new token.
    """
    run = session.call("npu_dump_describe")[0]
    run["engine"]["graph"] = True
    run["model"] |= metadata.get("model", {})
    select = ["token_logprob", "topk_ids", "topk_logprobs"]
    run["capture"] = {"mode": "topk", "select": select, "top_k": request.top_k, "replay_of": None}
    run |= {key: value for key, value in metadata.items() if key != "model"}
    with DumpWriter(request.output, run=run, overwrite=request.force) as writer:
        for start in range(0, len(samples), request.batch):
            batch = samples[start : start + request.batch]
            tokens = max(1, request.generate)
            outputs = session.generate(
                [
                    session.request(
                        sample.ids,
                        tokens=tokens,
                        prompt_logprobs=request.top_k,
                        logprobs=request.top_k,
                        sampling=request,
                    )
                    for sample in batch
                ]
            )
            for number, (sample, output) in enumerate(zip(batch, outputs, strict=True), start=start):
                free = output if request.generate else None
                texts, arrays = stored_of(request, sample, output, free, tokenizer, own=True)
                following = [*output.prompt_logprobs[1:], output.outputs[0].logprobs[0]]
                arrays |= _topk("topk", [_best(step, request.top_k) for step in following])
                writer.write("input_ids", np.array(sample.ids, dtype=np.int64), sample=number)
                for name, text in texts.items():
                    writer.write_text(name, text, sample=number)
                for name, (dtype, shape, values) in arrays.items():
                    writer.write(name, np.array(values, dtype=dtype).reshape(shape), sample=number)
            writer.flush()
            progress.step("capturing", min(start + request.batch, len(samples)), len(samples), "samples")
    return Outcome(
        path=request.output,
        id=writer.run["id"],
        samples=len(samples),
        tokens=sum(len(sample.ids) for sample in samples),
        bytes=request.output.stat().st_size,
    )
