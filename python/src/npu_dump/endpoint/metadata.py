"""Who answered, and how it was asked: what the dump's metadata says. Neither address nor key is part of it."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from ..errors import DumpError
from ..repeats import Repetition, determinism
from .client import Client, RefusedError
from .questions import Question
from .session import Session

_MOST_CHARACTERS = 256


@dataclass(frozen=True)
class Server:
    """A server by its own account.

    Attributes:
        model: the model's name there, for requests.
        engine: what runs it: ``owned_by`` of the model, else ``openai-compatible``.
        version: of the engine; None where it does not say.
    """

    model: str
    engine: str
    version: str | None


async def identify(client: Client, name: str | None) -> Server:
    """Ask which models there are, and what runs them.

    Args:
        client: of the server.
        name: the model that is wanted; None: the only one.

    Raises:
        DumpError: there is no such model, or several and none was named.
    """
    url = f"{client.address.api}/models"
    try:
        listed = (await client.get(url)).get("data")
    except RefusedError:
        if name is None:
            raise
        return Server(name, "openai-compatible", await _version(client))
    if not isinstance(listed, list) or not all(isinstance(model, dict) for model in listed):
        raise client.invalid(url, "data: a list of models")
    names = [model.get("id") for model in listed]
    if not all(isinstance(text, str) and 0 < len(text) <= _MOST_CHARACTERS for text in names):
        raise client.invalid(url, f"names of at most {_MOST_CHARACTERS} characters")
    if name is None and len(names) != 1:
        raise DumpError(
            "model-ambiguous",
            "the server has several models" if names else "the server has no model",
            facts=[("models", client.shown(", ".join(names)) or "none"), ("--model", "not given")],
            help="name one with --model" if names else "look at the server's log",
        )
    wanted = names[0] if name is None else name
    if wanted not in names:
        raise DumpError(
            "model-absent",
            "the server has no such model",
            facts=[("--model", wanted), ("models", client.shown(", ".join(names)) or "none")],
            help="give one of these names",
        )
    owner = listed[names.index(wanted)].get("owned_by")
    known = isinstance(owner, str) and owner.isidentifier() and len(owner) <= _MOST_CHARACTERS
    return Server(wanted, owner if known else "openai-compatible", await _version(client))


async def _version(client: Client) -> str | None:
    try:
        version = (await client.get(f"{client.address.root}/version")).get("version")
    except RefusedError:
        return None
    return version if isinstance(version, str) and len(version) <= _MOST_CHARACTERS else None


def metadata_of(
    server: Server,
    session: Session,
    questions: Sequence[Question],
    *,
    dtype: str,
    stated: bool,
    select: list[str],
    lacks: list[str],
    concurrency: int,
    repetitions: Sequence[Repetition],
) -> dict[str, Any]:
    """Return the metadata of a capture.

    Args:
        server: who answers.
        session: after its first sample.
        questions: all samples.
        dtype: precision of the run, a name of the format.
        stated: whether the user said so.
        select: names of what is stored, texts and times apart.
        lacks: names of what the server does not tell.
        concurrency: samples that are asked about at a time.
        repetitions: how they are asked about in the run itself and again.
    """
    plan = session.plan
    scoring, completing, chatting = (ladder.way for ladder in (session.scoring, session.completing, session.chatting))
    endpoint: dict[str, Any] = {
        "score": None if scoring is None else {"by": scoring.name, "prompt": "text" if scoring.as_text else "ids"},
        "concurrency": concurrency,
        "lacks": lacks,
    }
    if chatting is not None:
        endpoint["generate"] = {"api": "chat", "by": chatting.name, "prompt": "messages"}
    elif completing is not None:
        prompt = "text" if completing.as_text else "ids"
        endpoint["generate"] = {"api": "completions", "by": completing.name, "prompt": prompt}
    if not stated:
        endpoint["dtype"] = "assumed"
    found: dict[str, Any] = {
        "model": {"id": shown_name(server.model)},
        "engine": {"name": server.engine} | ({} if server.version is None else {"version": server.version}),
        "dtype": dtype,
        "seed": plan.seed,
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("numpy", "pyarrow", "httpx2")},
        },
        # A server cannot be told what to go on with.
        "capture": {"select": select, "decode": False},
        "endpoint": endpoint,
    }
    expect = {str(number): list(question.expect) for number, question in enumerate(questions) if question.expect}
    if expect:
        found["expect"] = expect
    if len(repetitions) > 1:
        found["determinism"] = determinism(repetitions, batch="concurrency")
    if plan.temperature is not None:
        found["sampling"] = {"temperature": plan.temperature, "top_p": plan.top_p or 1.0, "seed": plan.seed}
    return found


def shown_name(name: str) -> str:
    """Return a model's name without the folders of the server; ``owner/name`` stays."""
    path = name.replace("\\", "/").rstrip("/")
    is_folder = path.startswith(("/", ".", "~")) or path.count("/") > 1 or ":" in path.partition("/")[0]
    return path.rpartition("/")[2] if is_folder and path else name
