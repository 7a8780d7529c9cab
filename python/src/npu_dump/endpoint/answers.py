"""Reads what a server answers about a prompt's log-probabilities, believing nothing.

All functions raise `MalformedError` where an answer is not what the API promises; None is what it leaves out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Ids are stored as 64-bit integers, but no vocabulary has more than 31 bits.
_ID = re.compile(r"0|[1-9][0-9]{0,9}")
_MAX_ID = 2**31
# What rounding in float32 may put on top of 0, or of a sum of 1.
_BEYOND = 1e-4
_TOKEN_ID = "token_id:"  # noqa: S105 - how vLLM spells a token as its id


class MalformedError(Exception):
    """An answer is not what the API promises; the text says what was expected instead."""


@dataclass(frozen=True)
class TopRow:
    """The most likely tokens of one position, best first, log-probabilities beside them."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]


@dataclass(frozen=True)
class Scored:
    """A prompt and what the model gave each of its tokens.

    Attributes:
        ids: token ids ``[T]``.
        logprobs: log-probability of each given those before it ``[T]``; NaN at 0, and where the server had no number.
        top: for each t the most likely tokens after ``ids[t]``, ``[T]`` rows of k; None where one of them is unknown.
        texts: text of each token; None where it is unknown.
    """

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    top: tuple[TopRow, ...] | None = None
    texts: tuple[str, ...] | None = None


def only_choice(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the one choice of an answer to one prompt."""
    choices = answer.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        found = f"{len(choices)}" if isinstance(choices, list) else "none"
        raise MalformedError(f"one choice, not {found}")
    if choices[0].get("index", 0) != 0:
        raise MalformedError("the choice of index 0")
    return choices[0]


def token_ids(value: Any, what: str, *, most: int) -> tuple[int, ...] | None:
    """Return a list of token ids, None where there is none.

    Args:
        value: from the answer.
        what: its name, for the error.
        most: how many there may be.
    """
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > most:
        raise MalformedError(f"{what}: a list of at most {most} token ids")
    for token in value:
        if not isinstance(token, int) or isinstance(token, bool) or not 0 <= token < _MAX_ID:
            raise MalformedError(f"{what}: token ids, whole numbers from 0")
    return tuple(value)


def prompt_count(answer: Mapping[str, Any]) -> int | None:
    """Return ``usage.prompt_tokens``."""
    return _usage(answer, "prompt_tokens")


def completion_count(answer: Mapping[str, Any]) -> int | None:
    """Return ``usage.completion_tokens``."""
    return _usage(answer, "completion_tokens")


def _usage(answer: Mapping[str, Any], name: str) -> int | None:
    usage = answer.get("usage")
    if usage is None:
        return None
    count = usage.get(name) if isinstance(usage, dict) else 0.5
    if count is not None and (not isinstance(count, int) or isinstance(count, bool) or not 0 <= count < _MAX_ID):
        raise MalformedError(f"usage.{name}: a whole number")
    return count


def by_prompt_logprobs(answer: Mapping[str, Any], ids: Sequence[int] | None, k: int, most: int) -> Scored | None:
    """Read ``prompt_logprobs`` of vLLM: for each token a mapping from ids to log-probabilities.

    Args:
        answer: of ``/completions`` to one prompt.
        ids: those that were sent; None: the answer must tell them.
        k: how many of the most likely tokens were asked for.
        most: tokens that the prompt may have.
    """
    choice = only_choice(answer)
    value = choice.get("prompt_logprobs")
    told = token_ids(choice.get("prompt_token_ids"), "prompt_token_ids", most=most)
    ids = agreed_ids(ids, told, answer)
    if value is None or ids is None:
        return None
    if not isinstance(value, list) or len(value) != len(ids):
        raise MalformedError(f"prompt_logprobs: a list of {len(ids)} entries, one a token")
    rows = [_by_id(entry) for entry in value[1:]]
    for row, token in zip(rows, ids[1:], strict=True):
        if token not in row:
            raise MalformedError("prompt_logprobs: the log-probability of each token of the prompt")
    logprobs = (math.nan, *(row[token] for row, token in zip(rows, ids[1:], strict=True)))
    return Scored(tuple(ids), logprobs, _top([*rows, _first_generated(choice, 0)], k))


def by_echo(answer: Mapping[str, Any], ids: Sequence[int] | None, k: int, most: int) -> Scored | None:
    """Read ``logprobs`` of an echoed prompt, which the first generated token follows.

    Args:
        answer: of ``/completions`` to one prompt, with ``echo`` and one token generated.
        ids: those that were sent; None: the answer must tell them.
        k: how many of the most likely tokens were asked for.
        most: tokens that the prompt may have.
    """
    choice = only_choice(answer)
    value = choice.get("logprobs")
    if not isinstance(value, dict) or not isinstance(value.get("token_logprobs"), list):
        return None
    texts, numbers = value.get("tokens"), value["token_logprobs"]
    if len(numbers) > most + 1:
        raise MalformedError(f"logprobs: at most {most + 1} tokens")
    if not isinstance(texts, list) or len(texts) != len(numbers) or not all(isinstance(text, str) for text in texts):
        raise MalformedError("logprobs: as many tokens as log-probabilities")
    generated = completion_count(answer)
    length = len(numbers) - (generated if generated is not None and generated <= 1 else 1)
    if length < 1 or numbers[0] is not None:
        # Not an echo: only what was generated.
        return None
    spelled = [_spelled_id(text) for text in texts[:length]]
    by_id = None not in spelled
    told = token_ids(spelled if by_id else choice.get("prompt_token_ids"), "the prompt's tokens", most=most)
    ids = agreed_ids(ids, told, answer)
    if ids is None:
        return None
    if len(ids) != length:
        raise MalformedError(f"logprobs: {len(ids)} tokens of the prompt, not {length}")
    logprobs = (math.nan, *(_logprob(number) for number in numbers[1:length]))
    rows = [_first_generated(choice, place) for place in range(1, length + 1)]
    return Scored(ids, logprobs, _top(rows, k), None if by_id else tuple(texts[:length]))


def agreed_ids(
    sent: Sequence[int] | None, told: Sequence[int] | None, answer: Mapping[str, Any]
) -> tuple[int, ...] | None:
    """Return the ids of the prompt; sent, told and counted ones must be the same."""
    if sent is not None and told is not None and tuple(sent) != tuple(told):
        raise MalformedError(f"the {len(sent)} token ids of the prompt, not {len(told)} others")
    ids = told if sent is None else sent
    count = prompt_count(answer)
    if ids is not None and count is not None and count != len(ids):
        raise MalformedError(f"a prompt of {len(ids)} tokens, not {count}")
    return None if ids is None else tuple(ids)


def best(row: Mapping[int, float], k: int) -> TopRow | None:
    """Return the k most likely tokens, None where the row has fewer; one without a number comes last."""
    if k == 0 or len(row) < k:
        return None
    ranked = sorted(row.items(), key=lambda item: (math.isnan(item[1]), -item[1]))[:k]
    if sum(math.exp(value) for _, value in ranked if not math.isnan(value)) > 1 + _BEYOND:
        raise MalformedError("probabilities with a sum of at most 1")
    return TopRow(tuple(token for token, _ in ranked), tuple(value for _, value in ranked))


def generated_rows(logprobs: Any, *, chat: bool) -> list[tuple[int | None, dict[int, float]]]:
    """Read the log-probabilities of generated tokens: the id of each, and the most likely ones by id.

    An id is None where tokens are spelled as text; so many are left out of the mappings.

    Args:
        logprobs: of a choice; None gives none.
        chat: in the form of ``/chat/completions``.
    """
    if logprobs is None:
        return []
    name = "content" if chat else "tokens"
    entries = logprobs.get(name) if isinstance(logprobs, dict) else 0
    if entries is None:
        return []
    if not isinstance(entries, list):
        raise MalformedError(f"logprobs.{name}: a list")
    if not chat:
        return [(_spelled_id(text), _completion_row(logprobs, place)) for place, text in enumerate(entries)]
    rows: list[tuple[int | None, dict[int, float]]] = []
    for entry in entries:
        top = entry.get("top_logprobs", []) if isinstance(entry, dict) else None
        if not isinstance(top, list) or not all(isinstance(item, dict) for item in top):
            raise MalformedError("logprobs.content: objects with a token and top_logprobs")
        pairs = [(_spelled_id(item.get("token")), item.get("logprob")) for item in [entry, *top]]
        rows.append((pairs[0][0], {token: _logprob(value) for token, value in pairs if token is not None}))
    return rows


def _completion_row(logprobs: Mapping[str, Any], place: int) -> dict[int, float]:
    rows = logprobs.get("top_logprobs")
    if rows is None:
        return {}
    if not isinstance(rows, list):
        raise MalformedError("logprobs.top_logprobs: a list")
    row = rows[place] if place < len(rows) else None
    if row is None:
        return {}
    if not isinstance(row, dict):
        raise MalformedError("logprobs.top_logprobs: mappings from tokens to log-probabilities")
    pairs = [(_spelled_id(token), value) for token, value in row.items()]
    return {token: _logprob(value) for token, value in pairs if token is not None}


def _first_generated(choice: Mapping[str, Any], place: int) -> dict[int, float]:
    logprobs = choice.get("logprobs")
    return _completion_row(logprobs, place) if isinstance(logprobs, dict) else {}


def _top(rows: Sequence[Mapping[int, float]], k: int) -> tuple[TopRow, ...] | None:
    """Return all rows or none: a list that lacks a position cannot be stored."""
    found = [best(row, k) for row in rows]
    return tuple(row for row in found if row is not None) if None not in found else None


def _by_id(entry: Any) -> dict[int, float]:
    if not isinstance(entry, dict):
        raise MalformedError("prompt_logprobs: a mapping from token ids for each token but the first")
    row: dict[int, float] = {}
    for key, value in entry.items():
        if not _ID.fullmatch(key) or not isinstance(value, dict) or int(key) >= _MAX_ID:
            raise MalformedError("prompt_logprobs: token ids, each with its log-probability")
        row[int(key)] = _logprob(value.get("logprob"))
    return row


def _spelled_id(text: Any) -> int | None:
    if not isinstance(text, str):
        raise MalformedError("logprobs: tokens as text")
    digits = text.removeprefix(_TOKEN_ID)
    if digits == text or not _ID.fullmatch(digits) or int(digits) >= _MAX_ID:
        return None
    return int(digits)


def _logprob(value: Any) -> float:
    """Return a log-probability; NaN where the server has none, as JSON writes NaN as null."""
    if value is None:
        return math.nan
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise MalformedError("log-probabilities as numbers")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if number > _BEYOND:
        raise MalformedError("log-probabilities of at most 0")
    return number
