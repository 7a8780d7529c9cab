"""Reads prompts: a text file with one a line, JSON lines, or one long text to be cut into chunks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from .errors import DumpError


@dataclass(frozen=True)
class Prompt:
    """One prompt as it was given.

    Attributes:
        text: its text; None where ``messages`` are given.
        messages: turns of a conversation, for the tokenizer's chat template.
        expect: keywords that a good continuation contains.
    """

    text: str | None = None
    messages: tuple[dict[str, str], ...] = ()
    expect: tuple[str, ...] = ()


def read_prompts(path: Path) -> list[Prompt]:
    """Read one prompt a line; empty lines are skipped.

    A file that ends in ``.jsonl`` holds objects ``{"prompt": text}`` or ``{"messages": [{"role", "content"}, …]}``,
    each with an optional ``"expect": [text, …]``. Any other file holds plain text.

    Raises:
        DumpError: the file cannot be read, a line is not such an object, or there is no prompt.
    """
    lines = [(number, line) for number, line in enumerate(_read(path).split("\n"), start=1) if line.strip()]
    if path.suffix == ".jsonl":
        prompts = [_parse(line, f"{path.name}:{number}") for number, line in lines]
    else:
        prompts = [Prompt(text=line.removesuffix("\r")) for _, line in lines]
    if not prompts:
        raise DumpError(
            "prompts-empty",
            "the file holds no prompt",
            facts=[("file", path.name)],
            help='write one prompt a line, or {"prompt": "…"} a line in a .jsonl file',
        )
    return prompts


def read_chunks(
    path: Path,
    encode: Callable[[str], Sequence[int]],
    *,
    chunk: int,
    min_chars: int,
    limit: int | None,
) -> list[list[int]]:
    """Cut a long text into runs of ``chunk`` token ids; the last, shorter one is kept.

    Args:
        path: a UTF-8 text file, of which `read_paragraphs` is tokenized as one.
        encode: gives the token ids of a text.
        chunk: tokens a chunk.
        min_chars: characters that a paragraph must have.
        limit: most chunks to return.

    Raises:
        DumpError: the file cannot be read, or nothing is left of it.
    """
    ids = list(encode(read_paragraphs(path, min_chars=min_chars)))
    return cut(ids, chunk)[:limit]


def read_paragraphs(path: Path, *, min_chars: int) -> str:
    """Return the paragraphs of a long text, joined by single line breaks.

    Paragraphs (separated by line breaks) of fewer than ``min_chars`` characters, such as headings, are dropped.

    Raises:
        DumpError: the file cannot be read, or nothing is left of it.
    """
    paragraphs = [line.strip() for line in _read(path).splitlines()]
    kept = [line for line in paragraphs if line and len(line) >= min_chars]
    if not kept:
        raise DumpError(
            "prompts-empty",
            "no paragraph of the text is long enough",
            facts=[("file", path.name), ("--min-chars", min_chars), ("paragraphs", sum(map(bool, paragraphs)))],
            help="lower --min-chars, or give another text",
        )
    return "\n".join(kept)


def cut(ids: Sequence[int], chunk: int) -> list[list[int]]:
    """Return token ids in runs of ``chunk``; the last may be shorter.

    Raises:
        DumpError: there are none.
    """
    if not ids:
        raise DumpError(
            "prompts-empty",
            "the text has no tokens",
            facts=[("tokens", 0), ("chunk", chunk)],
            help="give a text in a script that the tokenizer knows",
        )
    return [list(ids[start : start + chunk]) for start in range(0, len(ids), chunk)]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DumpError(
            "prompts-unreadable",
            "the file of prompts cannot be read",
            facts=[("file", path), ("system", error.strerror or error)],
            help="check the path and the file's rights",
        ) from error
    except UnicodeDecodeError as error:
        raise DumpError(
            "prompts-unreadable",
            "the file of prompts is no UTF-8",
            facts=[("file", path), ("byte", f"{error.start}: {error.reason}")],
            help="save it as UTF-8",
        ) from error


def _parse(line: str, where: str) -> Prompt:
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _bad(where, f"no JSON: {error}") from error
    if not isinstance(value, dict):
        raise _bad(where, "no object")
    fields = cast("dict[str, Any]", value)
    unknown = sorted(set(fields) - {"prompt", "messages", "expect"})
    if unknown:
        raise _bad(where, f"unknown key {', '.join(unknown)}")
    if ("prompt" in fields) == ("messages" in fields):
        raise _bad(where, "one of prompt and messages is needed, not both")
    expect = fields.get("expect", [])
    if not _is_texts(expect):
        raise _bad(where, "expect is no list of texts")
    keywords = tuple(cast("list[str]", expect))
    if "prompt" in fields:
        if not isinstance(fields["prompt"], str) or not fields["prompt"]:
            raise _bad(where, "prompt is no text, or empty")
        return Prompt(text=fields["prompt"], expect=keywords)
    return Prompt(messages=tuple(_turns(fields["messages"], where)), expect=keywords)


def _turns(value: Any, where: str) -> Iterator[dict[str, str]]:
    if not isinstance(value, list) or not value:
        raise _bad(where, "messages is no list, or empty")
    for turn in cast("list[Any]", value):
        if not isinstance(turn, dict) or not _is_texts(list(cast("dict[str, Any]", turn).values())):
            raise _bad(where, "a message is no object of texts")
        texts = cast("dict[str, str]", turn)
        if not {"role", "content"} <= set(texts):
            raise _bad(where, "a message lacks role or content")
        yield texts


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in cast("list[Any]", value))


def _bad(where: str, reason: str) -> DumpError:
    return DumpError(
        "prompts-invalid",
        "a line of the prompt file is not what is expected",
        facts=[("line", where), ("reason", reason)],
        help='write {"prompt": "…"} or {"messages": [{"role": "user", "content": "…"}]}, "expect": ["…"] if wanted',
    )
