"""What the engine's own outputs tell: log-probabilities of the prompt, and continuations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import DumpError
from ..inputs import token_texts
from ..tokens import Sample

# Texts and arrays of a sample by name; of an array its element type, shape and values.
Arrays = dict[str, tuple[str, list[int], list[Any]]]
Stored = tuple[dict[str, str], Arrays]


def texts_of(sample: Sample) -> dict[str, str]:
    """Return the texts of a sample that are known before it is fed."""
    return {
        name: text for name, text in (("prompt", sample.prompt), ("token_text", sample.tokens)) if text is not None
    }


def continuation_of(output: Any, tokenizer: Any, top_k: int) -> Stored:
    """Return what a dump holds of a continuation.

    Args:
        output: the engine's; None: there is none.
        tokenizer: for its text; None: not stored.
        top_k: how many of the most likely tokens are stored a step.
    """
    if output is None:
        return {}, {}
    ids = new_tokens(output)
    texts = (
        {}
        if tokenizer is None
        else {
            "generated_text": tokenizer.decode(ids, skip_special_tokens=True),
            "generated_token_text": token_texts(tokenizer, ids),
        }
    )
    arrays: Arrays = {"generated_ids": ("int64", [len(ids)], ids)}
    return texts, arrays | likeliest("generated_topk", output.outputs[0].logprobs or [], top_k)


def new_tokens(output: Any) -> list[int]:
    """Return the tokens that the engine went on with, its end token included."""
    return list(map(int, output.outputs[0].token_ids))


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


def likeliest(name: str, steps: Sequence[Mapping[int, Any]], count: int) -> Arrays:
    """Return the most likely tokens of each step, the best first, as two arrays ``[steps, k]``.

    Nothing where steps differ in how many they tell.

    Args:
        name: what the arrays' names begin with.
        steps: log-probabilities by token.
        count: k, at most.
    """
    rows = [_best(step, count) for step in steps]
    widths = {len(row) for row in rows}
    if len(widths) != 1:
        return {}
    shape = [len(rows), widths.pop()]
    return {
        f"{name}_ids": ("int32", shape, [token for row in rows for token, _ in row]),
        f"{name}_logprobs": ("float32", shape, [value for row in rows for _, value in row]),
    }


def _best(step: Mapping[int, Any], count: int) -> list[tuple[int, float]]:
    """Return the most likely tokens and their log-probabilities, the best first, of equal ones the lower id."""
    entries = [(int(token), float(told.logprob)) for token, told in step.items()]
    return sorted(entries, key=lambda entry: (-entry[1], entry[0]))[:count]
