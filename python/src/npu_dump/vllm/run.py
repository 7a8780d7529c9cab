"""`npu-dump vllm`: samples through vLLM's own engine, every forward captured inside its worker."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import models
from ..errors import DumpError
from ..inputs import Request, check_samples, read_samples
from ..modes import LOGITS, Modes
from ..probe import PROBE_TOKENS
from ..progress import Progress
from ..ranks import rank_paths
from ..repeats import batches, schedule
from ..run import Outcome, check_space, load_tokenizer_for, run_metadata
from ..target import check_target
from ..tokens import Sample
from .adapter import known_arguments
from .continuing import continued, repeat
from .graph import graph_dump
from .outputs import continuation_of, new_tokens, own_logprobs, texts_of
from .session import Session


@dataclass(frozen=True)
class EngineRequest(Request):
    """What `npu-dump vllm` was asked for, beside what every capture is.

    Attributes:
        tensor_parallel: how many ranks share each layer.
        chunk_tokens: most tokens a forward, which cuts longer prompts into chunks; None: prompts stay whole.
        graph: let the engine compile and capture graphs, and take log-probabilities and generations alone.
        engine_arg: ``(name, value)`` of further arguments of the engine.
    """

    tensor_parallel: int = 1
    chunk_tokens: int | None = None
    graph: bool = False
    engine_arg: tuple[tuple[str, Any], ...] = ()


def run(request: EngineRequest, progress: Progress) -> Outcome:
    """Start the engine, feed it, and return what was made.

    Raises:
        DumpError: anything that the caller can act on.
    """
    # Without hooks it is not the ranks that write.
    files = rank_paths(request.output, 1 if request.graph else request.tensor_parallel)
    for file in files:
        check_target(file, overwrite=request.force)
    source = located(
        request.model, trust_remote_code=request.trust_remote_code, allow_download=request.allow_download
    )
    config = models.load_config(source).get_text_config()
    tokenizer = load_tokenizer_for(request, source)
    samples = read_samples(request, tokenizer)
    check_samples(samples, config, request)
    # Engines fail where more are asked for than there are.
    request = replace(request, top_k=min(request.top_k, getattr(config, "vocab_size", None) or request.top_k))
    # Every rank writes what it has, and without hooks there are reduced logits alone.
    stored = replace(request, select=(LOGITS,), mode=("topk",)) if request.graph else request
    check_space(stored, Modes(stored.mode), config, samples, None, progress, files=len(files))
    metadata = run_metadata(request, source, tokenizer, samples, progress)
    metadata["batch"] = {"size": request.batch}
    arguments = known_arguments(_arguments(request, source, config, samples, tokenizer))
    with Session(arguments, progress) as session:
        if request.graph:
            return graph_dump(request, session, samples, metadata, tokenizer, progress)
        return _capture(request, session, samples, metadata, tokenizer, progress)


def located(given: str, *, trust_remote_code: bool, allow_download: bool) -> models.ModelSource:
    """Find a model as `models.locate` does, in a form that the engine loads.

    Raises:
        DumpError: there is no such model, or it is a GGUF file.
    """
    source = models.locate(given, trust_remote_code=trust_remote_code, allow_download=allow_download)
    if source.files is not None and source.files.is_file():
        raise DumpError(
            "model-unknown",
            "vLLM loads a folder or a hub id",
            facts=[("given", given), ("found", "a GGUF file")],
            help="convert it: AutoModelForCausalLM.from_pretrained(FOLDER, gguf_file=NAME).save_pretrained(OUT)",
        )
    return source


def _capture(
    request: EngineRequest,
    session: Session,
    samples: list[Sample],
    metadata: dict[str, Any],
    tokenizer: Any,
    progress: Progress,
) -> Outcome:
    session.call("npu_dump_look")
    session.generate([session.request((samples[0].ids * PROBE_TOKENS)[:PROBE_TOKENS], tokens=1)])
    options = {
        "select": list(request.select),
        "mode": list(request.mode),
        "top_k": request.top_k,
        "replay": None if request.replay is None else str(request.replay.resolve()),
        # One run, however many ranks write it.
        "run": metadata | {"id": secrets.token_hex(16)},
        "overwrite": request.force,
    }
    opened = session.call("npu_dump_open", str(request.output.resolve()), options)
    # Reduced logits come with the token's own log-probability from the worker.
    own_logprob = "token_logprob" not in opened[0]["select"]
    fed: list[int] = []
    try:
        for batch in batches(samples, request.batch):
            own = continued(request, session, batch)
            told = [
                (number, _with_steps(request, sample, free))
                for (number, sample), free in zip(batch, own, strict=True)
            ]
            outputs = session.generate([_asked(session, sample, number) for number, sample in told])
            for (number, sample), output, free in zip(told, outputs, own, strict=True):
                texts, arrays = continuation_of(free, tokenizer, request.top_k)
                if own_logprob:
                    values = own_logprobs(sample.ids, output.prompt_logprobs)
                    arrays["token_logprob"] = ("float64", [len(values)], values)
                session.store(number, (texts_of(sample) | texts, arrays))
                fed.append(sample.length)
            session.call("npu_dump_checkpoint")
            progress.step("capturing", len(fed), len(samples), "samples")
        repeat(request, session, samples, session.store, tokenizer, progress)
        closed = session.call("npu_dump_close", fed)
    except BaseException:
        session.abort()
        raise
    return Outcome(
        path=Path(opened[0]["path"]),
        id=opened[0]["id"],
        samples=len(samples),
        tokens=sum(len(sample.ids) for sample in samples),
        bytes=sum(answer["bytes"] for answer in closed),
    )


def _with_steps(request: EngineRequest, sample: Sample, free: Any) -> Sample:
    """Return the sample with its decode steps: another dump's, else the engine's own tokens, the end included."""
    if request.is_forced or free is None:
        return sample
    return sample.continued_by(([token], None) for token in new_tokens(free)[: request.decode])


def _asked(session: Session, sample: Sample, number: int) -> Any:
    """Return the request that captures a sample: its prompt, then its decode steps, forced on the sampler."""
    steps = [token for step in sample.steps for token in step.ids]
    return session.request(
        sample.ids,
        # The last token is drawn and fed to nobody.
        tokens=len(steps) + 1,
        told={"sample": number, "prompt": len(sample.ids), "steps": len(steps), "forced": steps},
        prompt_logprobs=0,
        to_the_end=True,
    )


# What a capture depends on.
_RESERVED = {
    "model",
    "dtype",
    "enforce_eager",
    "enable_prefix_caching",
    "enable_chunked_prefill",
    "worker_extension_cls",
    "logits_processors",
    "logprobs_mode",
    "async_scheduling",
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "data_parallel_size",
    "speculative_config",
    "seed",
    "trust_remote_code",
    "max_num_seqs",
    "max_num_batched_tokens",
}


def _arguments(
    request: EngineRequest, source: models.ModelSource, config: Any, samples: list[Sample], tokenizer: Any
) -> dict[str, Any]:
    """Return the arguments of the engine.

    Raises:
        DumpError: a sample cannot be fed to it, or the user gave an argument that a capture sets itself.
    """
    _check_feedable(samples)
    given = dict(request.engine_arg)
    if taken := sorted(_RESERVED & set(given)):
        raise DumpError(
            "usage",
            "a capture sets this argument of the engine itself",
            facts=[("--engine-arg", ", ".join(taken))],
            help="leave it out; see npu-dump vllm --help for the option that stands for it",
        )
    ahead = max(request.generate, 0 if request.is_forced else request.decode + 1, 1)
    longest = max(max(sample.length + 1, len(sample.ids) + ahead) for sample in samples)
    # Of the run itself: larger batches of repetitions may come in several forwards, and take no more memory.
    together = max(sum(len(sample.ids) for _, sample in batch) for batch in batches(samples, request.batch))
    tokens = request.chunk_tokens or max(together, longest, 2048)
    widest = max(plan.batch for plan in schedule(request.repeats, batch=request.batch, samples=len(samples)))
    arguments: dict[str, Any] = {
        "model": str(source.files or source.name),
        # Left to itself the engine takes half the precision for a checkpoint in float32.
        "dtype": request.dtype or own_dtype(config) or "auto",
        # Hooks see nothing inside a compiled graph.
        "enforce_eager": not request.graph,
        "enable_prefix_caching": False,
        "enable_chunked_prefill": request.chunk_tokens is not None,
        "max_num_batched_tokens": tokens,
        "max_num_seqs": min(widest, tokens),
        "max_model_len": max(longest, PROBE_TOKENS + 1),
        "max_logprobs": max(20, request.top_k),
        # Before anything that sampling, or a forced token, does to them.
        "logprobs_mode": "raw_logprobs",
        "tensor_parallel_size": request.tensor_parallel,
        # NumPy's generators take no more. Draws have seeds of their own.
        "seed": request.seed % 2**32,
        "trust_remote_code": request.trust_remote_code,
        "skip_tokenizer_init": tokenizer is None,
        "worker_extension_cls": "npu_dump.vllm.worker.NpuDumpExtension",
        # The ids of decode steps are known when the step begins, and not only on the device.
        "async_scheduling": False,
        "disable_log_stats": True,
    }
    if request.decode or any(sample.steps for sample in samples):
        arguments["logits_processors"] = ["npu_dump.vllm.forcing:ForcedTokens"]
    return arguments | given


def own_dtype(config: Any) -> str | None:
    """Return the precision of a checkpoint by its configuration, where it is one that engines compute in."""
    name = str(getattr(config, "dtype", None)).removeprefix("torch.")
    return name if name in ("float32", "bfloat16", "float16") else None


def _check_feedable(samples: list[Sample]) -> None:
    for number, sample in enumerate(samples):
        if not sample.natural:
            raise DumpError(
                "position-range",
                "an engine places tokens at 0, 1, 2, …, and the dump's are elsewhere",
                facts=[("sample", number), ("first positions", list(sample.prefill.positions[:4]))],
                help="feed a dump of single prompts without position ids of their own",
            )
        wide = next((step for step in sample.steps if len(step.ids) != 1), None)
        if wide is not None:
            raise DumpError(
                "tokens-invalid",
                "an engine decodes one token at a time, and a step of the dump has several",
                facts=[("sample", number), ("tokens of a step", len(wide.ids))],
                help="leave --decode out, or make the reference with --decode",
            )
