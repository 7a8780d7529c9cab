"""Puts a streamed continuation together, and notes when its tokens came."""

from __future__ import annotations

import math
from typing import Any

from .answers import (
    MalformedError,
    TopRow,
    agreed_ids,
    best,
    completion_count,
    generated_rows,
    only_choice,
    prompt_count,
    token_ids,
)


class Continuation:
    """One continuation, event by event; all that is missing in one event is None in the end.

    Args:
        chat: whether the events are those of ``/chat/completions``.
        most: tokens that were asked for.
        most_prompt: tokens that the prompt may have.
        top: how many of the most likely tokens were asked for.
        sent: when the request was made, on `time.perf_counter`.

    Attributes:
        width: how many of the most likely tokens were asked for.
        prompt_ids: token ids of the prompt as the server tells them.
        prompt_tokens: how many they are.
        finished: whether the server has said why it stopped.
    """

    def __init__(self, *, chat: bool, most: int, most_prompt: int, top: int, sent: float) -> None:
        self._chat = chat
        self._most = most
        self._most_prompt = most_prompt
        self.width = top
        self._sent = sent
        self._texts: list[str] = []
        self._ids: list[int] = []
        self._told = False
        self._untold = False
        self._spelled: list[int | None] = []
        self._rows: list[TopRow | None] = []
        self._count: int | None = None
        self._first = self._last = self._end = math.nan
        self.prompt_ids: tuple[int, ...] | None = None
        self.prompt_tokens: int | None = None
        self.finished = False

    def take(self, event: dict[str, Any], at: float) -> None:
        """Take an event, and when it came.

        Raises:
            MalformedError: it is not what the API promises.
        """
        self._end = at
        count = completion_count(event)
        self._count = self._count if count is None else count
        tokens = prompt_count(event)
        self.prompt_tokens = self.prompt_tokens if tokens is None else tokens
        self._note_prompt(event)
        if event.get("choices") == []:
            return
        choice = only_choice(event)
        self._note_prompt(choice)
        text = self._text_of(choice)
        ids = token_ids(choice.get("token_ids"), "token_ids", most=self._most)
        rows = generated_rows(choice.get("logprobs"), chat=self._chat)
        if text or ids or rows:
            self._first = at if math.isnan(self._first) else self._first
            self._last = at
        self._texts.append(text)
        self._spelled += [token for token, _ in rows]
        self._rows += [best(row, self.width) for _, row in rows]
        self._ids += ids or ()
        self._told = self._told or ids is not None
        self._untold = self._untold or (ids is None and text != "")
        if max(len(self._ids), len(self._spelled), self._count or 0) > self._most:
            raise MalformedError(f"at most {self._most} generated tokens")
        reason = choice.get("finish_reason")
        if reason is not None and not isinstance(reason, str):
            raise MalformedError("finish_reason: a text")
        self.finished = self.finished or reason is not None

    @property
    def text(self) -> str:
        """What was generated."""
        return "".join(self._texts)

    def ids(self) -> tuple[int, ...] | None:
        """Return the generated token ids; None where the server does not tell every one.

        Raises:
            MalformedError: it tells two stories.
        """
        told = tuple(self._ids) if self._told and not self._untold else None
        spelled = tuple(token for token in self._spelled if token is not None)
        if not spelled or len(spelled) != len(self._spelled):
            spelled = None
        if told is not None and spelled is not None and len(told) == len(spelled) and told != spelled:
            raise MalformedError("the same tokens in token_ids and in logprobs")
        ids = spelled if told is None else told
        return ids if ids is None or self._count in (None, len(ids)) else None

    def top(self) -> tuple[TopRow, ...] | None:
        """Return the most likely tokens at each generated one; None where one is unknown."""
        ids = self.ids()
        if not self.width or ids is None or len(self._rows) != len(ids):
            return None
        rows = tuple(row for row in self._rows if row is not None)
        return rows if len(rows) == len(ids) else None

    def prompt(self, sent: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """Return the ids of the prompt; those that were sent must be those that the server tells and counts."""
        usage = {} if self.prompt_tokens is None else {"usage": {"prompt_tokens": self.prompt_tokens}}
        return agreed_ids(sent, self.prompt_ids, usage)

    @property
    def tokens(self) -> int | None:
        """How many tokens were generated."""
        ids = self.ids()
        return self._count if ids is None else len(ids)

    @property
    def span(self) -> tuple[float, float]:
        """When the request was made and when its last event came."""
        return self._sent, self._end

    @property
    def moments(self) -> tuple[float, float, float, float]:
        """When the request was made, its first and its last token came (NaN where none did), and its last event."""
        return self._sent, self._first, self._last, self._end

    def times_ms(self) -> tuple[float, float, float]:
        """Return milliseconds to the first token, per token after it, and to the end; NaN where there is none.

        The time per token is that between the first and the last, over their number less one.
        """
        first, last, end = (1e3 * (at - self._sent) for at in (self._first, self._last, self._end))
        tokens = self.tokens or 0
        return first, (last - first) / (tokens - 1) if tokens > 1 else math.nan, end

    def _note_prompt(self, place: dict[str, Any]) -> None:
        ids = token_ids(place.get("prompt_token_ids"), "prompt_token_ids", most=self._most_prompt)
        self.prompt_ids = self.prompt_ids if ids is None else ids

    def _text_of(self, choice: dict[str, Any]) -> str:
        if not self._chat:
            value = choice.get("text")
            if not isinstance(value, str):
                raise MalformedError("a choice with a text")
            return value
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            raise MalformedError("a choice with a delta")
        # What a model thinks before it answers is generated as well; servers have two names for it, some use both.
        thought = delta.get("reasoning_content") or delta.get("reasoning") or ""
        content = delta.get("content") or ""
        if not isinstance(thought, str) or not isinstance(content, str):
            raise MalformedError("a delta with texts")
        return thought + content
