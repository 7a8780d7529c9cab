"""An engine that is ready to be measured, and prompts for it; what cannot work is refused before anything loads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..endpoint.questions import Question, Source, load_tokenizer
from ..errors import DumpError
from ..inputs import Request, check_samples, read_samples
from ..progress import Progress
from .engine import BenchEngine
from .prompts import Given, Prompts, RandomIds, RandomWords, legal_ids
from .request import BenchRequest

if TYPE_CHECKING:
    from ..models import ModelSource


@dataclass(frozen=True)
class Ready:
    """What a measurement needs.

    Attributes:
        engine: ready to be asked.
        prompts: for it.
        ignores_end: whether it goes on behind an end token.
    """

    engine: BenchEngine
    prompts: Prompts
    ignores_end: bool = True


@contextmanager
def ready(request: BenchRequest, progress: Progress) -> Iterator[Ready]:
    """Yield an engine that has loaded its model, or a server that has answered, and prompts.

    Raises:
        DumpError: anything that the caller can act on.
    """
    if request.url is not None:
        yield from _served(request, progress)
    elif request.engine == "vllm":
        yield from _offline(request, progress)
    else:
        yield from _generation(request, progress)


def _served(request: BenchRequest, progress: Progress) -> Iterator[Ready]:
    from ..endpoint.run import key_of
    from .server import Connection, ServedModel

    connection = Connection(
        url=request.url or "",
        model=request.model,
        key=None if request.api_key_env is None else key_of(request.api_key_env),
        timeout=request.timeout or 600.0,
        connections=max(point.batch for point in request.points()),
    )
    with ServedModel(connection, dtype=request.dtype, note=progress.note) as engine:
        if request.dtype is None:
            progress.note("no server tells its precision: bfloat16 is put down; give --dtype if it is another")
        prompts: Prompts
        if request.gives_prompts:
            source = Source(
                prompts=request.prompts,
                tokens_from=request.tokens_from,
                tokenizer=request.tokenizer,
                chat=request.chat,
            )
            questions = engine.questions(source)
            prompts = Given(questions)
            # One finds out how the server can be asked.
            asked = 1 + sum(point.requests + request.warmup * point.batch for point in request.points())
            if asked > len(questions):
                progress.note(
                    f"{len(questions)} prompts for {asked} requests come again: a server that remembers their "
                    "beginnings has less to compute"
                )
        elif request.tokenizer is not None:
            prompts = RandomIds(legal_ids(load_tokenizer(request.tokenizer)), request.random_tokens, request.seed)
        else:
            prompts = RandomWords(engine.tokenize, request.random_tokens, request.seed)
        (first,) = prompts.take(1)
        if not request.gives_prompts and first.ids is None:
            progress.note(f"the server does not tell token ids: prompts are {request.random_tokens} words of text")
        engine.probe(first, request.output_tokens)
        yield Ready(engine, prompts, engine.ignores_end)


def _generation(request: BenchRequest, progress: Progress) -> Iterator[Ready]:
    import torch

    from .. import devices, models
    from .generation import Generation

    if request.threads:
        torch.set_num_threads(request.threads)
    device = devices.resolve(request.device or "cpu")
    source = models.locate(
        request.model or "", trust_remote_code=request.trust_remote_code, allow_download=request.allow_download
    )
    prompts, _ = _local_prompts(request, source, models.load_config(source).get_text_config())
    engine = Generation(
        source,
        device=device,
        dtype=getattr(torch, request.dtype or "", None),
        attention=request.attn,
        note=progress.note,
    )
    with engine:
        yield Ready(engine, prompts)


def _offline(request: BenchRequest, progress: Progress) -> Iterator[Ready]:
    from .. import models
    from ..vllm.adapter import known_arguments
    from ..vllm.run import located, own_dtype
    from .offline import EXTENSION, Offline

    source = located(
        request.model or "", trust_remote_code=request.trust_remote_code, allow_download=request.allow_download
    )
    config = models.load_config(source).get_text_config()
    prompts, longest = _local_prompts(request, source, config)
    points = request.points()
    arguments: dict[str, Any] = {
        "model": str(source.files or source.name),
        # Left to itself the engine takes half the precision for a checkpoint in float32.
        "dtype": request.dtype or own_dtype(config) or "auto",
        "enforce_eager": not request.graph,
        "tensor_parallel_size": request.tensor_parallel or 1,
        "seed": request.seed % 2**32,
        "trust_remote_code": request.trust_remote_code,
        "skip_tokenizer_init": True,
        "worker_extension_cls": EXTENSION,
    }
    given = dict(request.engine_arg)
    if taken := sorted(arguments.keys() & given):
        raise DumpError(
            "usage",
            "a measurement sets this argument of the engine itself",
            facts=[("--engine-arg", ", ".join(taken))],
            help="leave it out; see npu-dump bench --help for the option that stands for it",
        )
    chosen = {
        # A prompt that comes again must be computed again.
        "enable_prefix_caching": False,
        "max_model_len": longest + max(point.output_tokens for point in points),
        # The engine's own default; a batch must fit.
        "max_num_seqs": max(256, *(point.batch for point in points)),
        # Its statistics tell the pass over the prompt from the rest.
        "disable_log_stats": False,
    }
    with Offline(known_arguments(arguments | chosen | given), progress) as engine:
        yield Ready(engine, prompts)


def _local_prompts(request: BenchRequest, source: ModelSource, config: Any) -> tuple[Prompts, int]:
    """Return the prompts of an engine in this process, and the tokens of the longest."""
    from .. import models

    try:
        tokenizer = models.load_tokenizer(source)
    except DumpError:
        # Ids are drawn from a vocabulary of known size, or another dump has them.
        if request.prompts is not None:
            raise
        tokenizer = None
    if not request.gives_prompts:
        _check_length(request.random_tokens, request, config)
        return RandomIds(legal_ids(tokenizer, config), request.random_tokens, request.seed), request.random_tokens
    asked = Request(
        model=source.given,
        output=request.output,
        prompts=request.prompts,
        tokens_from=request.tokens_from,
        chat=request.chat,
    )
    samples = read_samples(asked, tokenizer)
    check_samples(samples, config, asked)
    longest = max(len(sample.ids) for sample in samples)
    _check_length(longest, request, config)
    return Given([Question(sample.ids) for sample in samples]), longest


def _check_length(longest: int, request: BenchRequest, config: Any) -> None:
    positions = getattr(config, "max_position_embeddings", None)
    output = max(point.output_tokens for point in request.points())
    if positions and longest + output > positions:
        raise DumpError(
            "prompt-long",
            "a prompt and its new tokens are longer than the model's positions reach",
            facts=[("tokens", f"{longest} + {output}"), ("positions", positions)],
            help="ask for fewer with --input-tokens, --output-tokens or --sweep-output",
        )
