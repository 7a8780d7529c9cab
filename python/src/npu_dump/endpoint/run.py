"""`npu-dump endpoint`: samples through a server, one after the other into a dump."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import contract
from ..errors import DumpError
from ..outcome import Outcome
from ..progress import Progress
from ..repeats import OTHER_BATCH, Repetition, schedule
from ..target import check_target
from ..writer import DumpWriter
from .address import is_exposed, parse_address
from .client import Client
from .metadata import Server, identify, metadata_of
from .questions import Question, Source, questions_of
from .session import Answer, Plan, Session
from .tensors import Clock, lacking, tensors_of
from .turns import answers, asked, continuations


@dataclass(frozen=True, kw_only=True)
class Request(Source):
    """What the command was asked for; the fields are its options."""

    url: str
    output: Path
    model: str | None = None
    dtype: str | None = None
    api: str = "auto"
    generate: int = 0
    temperature: float | None = None
    top_p: float | None = None
    seed: int = 0
    repeats: int = 1
    top_k: int | None = None
    concurrency: int = 1
    timeout: float = 600.0
    retries: int = 3
    api_key_env: str | None = None
    force: bool = False


def run(request: Request, progress: Progress) -> Outcome:
    """Ask about every sample, store, and return what was made.

    Raises:
        DumpError: anything that the caller can act on; complete samples are in the ``.partial`` then.
    """
    check_target(request.output, overwrite=request.force)
    return asyncio.run(_run(request, progress))


async def _run(request: Request, progress: Progress) -> Outcome:
    address = parse_address(request.url)
    key = None if request.api_key_env is None else key_of(request.api_key_env)
    if key is not None and is_exposed(address):
        progress.note("the API key is sent without encryption: --url is no https address")
    async with Client(
        address,
        key=key,
        timeout=request.timeout,
        retries=request.retries,
        connections=max(request.concurrency, OTHER_BATCH if request.repeats > 1 else 1),
        note=progress.note,
    ) as client:
        server = await identify(client, request.model)
        session = Session(client, _plan(request, server))
        source = replace(request, chat=request.chat or request.api == "chat")
        questions = await questions_of(source, session.tokenize)
        return await _capture(request, session, server, questions, progress)


async def _capture(
    request: Request, session: Session, server: Server, questions: Sequence[Question], progress: Progress
) -> Outcome:
    # Alone: it finds out how the server can be asked, and what the dump will hold.
    first = await asked(session.answer, questions, 0)
    clock = Clock()
    repetitions = schedule(request.repeats, batch=request.concurrency, samples=len(questions))
    names = list(tensors_of(questions[0], first))
    lacks = lacking(first, generate=bool(request.generate))
    _check_useful(request, session, first, names)
    _tell(lacks, request, session, progress)
    metadata = metadata_of(
        server,
        session,
        questions,
        dtype=contract.BY_TORCH[request.dtype or "bfloat16"].name,
        stated=request.dtype is not None,
        select=[name for name in names if name not in ("prompt", "token_text", "generated_text")],
        lacks=lacks,
        concurrency=request.concurrency,
        repetitions=repetitions,
    )
    tokens = 0
    with DumpWriter(request.output, run=metadata, overwrite=request.force) as writer:
        done = 0
        try:
            async with aclosing(answers(session, first, questions, request.concurrency)) as found:
                async for number, answer in found:
                    tensors = tensors_of(questions[number], answer)
                    _store(writer, tensors, number)
                    clock.add(answer.continuation)
                    tokens += len(answer.ids or ())
                    done += 1
                    progress.step("capturing", done, len(questions), "samples")
        except BaseException:
            # What was measured until now belongs to the samples that are kept.
            with suppress(DumpError):
                clock.store(writer)
            raise
        clock.store(writer)
        await _repeat(session, questions, repetitions[1:], writer, progress)
    return Outcome(
        path=request.output,
        id=writer.run["id"],
        samples=len(questions),
        tokens=tokens,
        bytes=request.output.stat().st_size,
    )


async def _repeat(
    session: Session,
    questions: Sequence[Question],
    repetitions: Sequence[Repetition],
    writer: DumpWriter,
    progress: Progress,
) -> None:
    """Let the server continue all prompts again, and store what comes beside the ids that it came from."""
    done, total = 0, len(repetitions) * len(questions)
    for repetition in repetitions:
        async with aclosing(continuations(session, questions, repetition)) as found:
            async for number, answer in found:
                tensors = tensors_of(Question(None), answer)
                _store(writer, tensors, number, repetition.number)
                done += 1
                progress.step("repeating", done, total, "samples")


def _store(writer: DumpWriter, tensors: Mapping[str, Any], sample: int, repeat: int = 0) -> None:
    promised: list[str] = writer.run["capture"]["select"]
    # Repetitions are continued, and asked about nothing else.
    needed = [name for name in promised if not repeat or name.startswith("generated_")]
    missing = [name for name in needed if name not in tensors]
    if missing:
        raise DumpError(
            "server-changed",
            "the server gives for a later prompt less than for the first",
            facts=[("prompt", sample), ("missing", ", ".join(missing))],
            help="keep one server behind the address, and capture again",
        )
    for name, value in tensors.items():
        if isinstance(value, str):
            writer.write_text(name, value, sample=sample, repeat=repeat)
        elif name in promised:
            writer.write(name, value, sample=sample, repeat=repeat)
    writer.flush()


def _check_useful(request: Request, session: Session, first: Answer, names: Sequence[str]) -> None:
    """Raise where the server gives nothing of what was asked for, or not what was insisted on."""
    reason = session.scoring.reason
    said = [("it says", dict(reason.facts)["status"])] if reason is not None else []
    insisted = [] if request.top_k is None else ["topk_ids", *(["generated_topk_ids"] if request.generate else [])]
    if not set(insisted) <= set(names):
        raise DumpError(
            "server-lacks",
            "the server does not give that many likely tokens with their ids",
            facts=[
                ("asked for", f"--top-k {request.top_k}"),
                *(said or [("given", "log-probabilities without ids")]),
            ],
            help="leave --top-k out, or start vLLM with --max-logprobs",
        )
    if first.scored is None and first.continuation is None:
        raise DumpError(
            "server-lacks",
            "the server gives no log-probabilities of prompts, and nothing else was asked for",
            facts=[("tried", "prompt_logprobs, and echo with logprobs"), *(said or [("given", "neither")])],
            help="give --generate N for its continuations, or use a server such as vLLM that has prompt_logprobs",
        )


def _tell(lacks: Sequence[str], request: Request, session: Session, progress: Progress) -> None:
    """Say what the dump will not hold, and why that matters."""
    if "token_logprob" in lacks:
        progress.note("the server gives no log-probabilities of prompts (prompt_logprobs, or echo): no perplexity")
    if "input_ids" in lacks:
        progress.note(
            "the server does not tell the token ids of prompts: input_ids are not stored, and no other dump can be "
            "held against this one; give --tokens-from DUMP or --tokenizer DIR"
        )
    if "generated_ids" in lacks:
        progress.note("the server does not tell the ids of generated tokens: only their text is stored")
    if request.dtype is None:
        progress.note("no server tells its precision: bfloat16 is put down; give --dtype if it is another")
    if request.repeats > 1:
        progress.note(
            "repetitions tell of the server with its caches: from a prefix cache it answers without computing (vLLM: "
            "start it with --no-enable-prefix-caching)"
        )
        if request.concurrency > 1:
            progress.note(
                "which requests a server runs together is its own affair: only with --concurrency 1 do repetitions "
                "that are asked for alike come in the same batches"
            )
    way = session.scoring.way
    if way is not None and way.as_text:
        progress.note("the server takes no token ids: prompts are sent as text, and tokenized by it")


def _plan(request: Request, server: Server) -> Plan:
    return Plan(
        model=server.model,
        generate=request.generate,
        top_k=request.top_k,
        temperature=request.temperature,
        top_p=request.top_p,
        seed=request.seed,
        api=request.api,
    )


def key_of(variable: str) -> str:
    """Return the API key that an environment variable holds.

    Raises:
        DumpError: ``api-key-invalid``.
    """
    key = os.environ.get(variable, "")
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise DumpError(
            "api-key-invalid",
            "the environment variable holds no API key",
            facts=[("variable", variable), ("found", "characters that no key has" if key else "nothing")],
            help="export it before the command; the key is neither stored nor shown",
        )
    return key
