"""`npu-dump bench`: how fast a model answers."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DumpError
from ..requirements import require_httpx, require_transformers
from . import capture
from .options import DTYPES, add_output_options, count, count0, seconds, seed
from .vllm import add_engine_argument, load_engine

if TYPE_CHECKING:
    from ..bench.request import BenchRequest
    from ..bench.run import Measured
    from ..progress import Progress

HELP = "measure latency, throughput and memory of a model or a server"
DESCRIPTION = (
    "Send requests to a model in this process, or to an OpenAI-compatible server, and store the time of each: to\n"
    "the first token, per token after it, to the end; throughput, loading and memory. stderr shows the figures."
)
EPILOG = """\
exit codes:
  0    the dump is written and complete
  2    could not: usage, device absent, model unreadable, server failing, disk full, out of memory
  130  interrupted; points that were measured are kept in OUT.partial
"""

# Options that only one of the three has a use for, and what that one is.
_OF = {
    "transformers": ("device", "attn", "threads"),
    "vllm": ("tensor_parallel", "graph", "engine_arg"),
    "a server": ("concurrency", "tokenizer", "timeout", "api_key_env"),
    "a model in this process": ("batch", "trust_remote_code", "allow_download", "engine"),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("--model", metavar="DIR|GGUF|ID", help="model folder, GGUF file or hub id; with --url its name on the server")
    add("--url", metavar="URL", help="a server's API instead, e.g. http://127.0.0.1:8000/v1")
    add("--engine", choices=("transformers", "vllm"), help="what runs the model (default transformers)")
    add("-o", "--output", required=True, type=Path, metavar="OUT", help="the dump to make, OUT.arrow")
    add("--input-tokens", type=count, metavar="N", help="random token ids a prompt (default 128)")
    add("--output-tokens", type=count, default=128, metavar="N", help="new tokens a request, no fewer (default 128)")
    add("--requests", type=count, default=20, metavar="N", help="requests, in whole batches (default 20)")
    add("--batch", type=count, metavar="N", help="requests that run together (default 1)")
    add("--concurrency", type=count, metavar="N", help="requests that a server has at a time (default 1)")
    add(
        "--warmup",
        type=count0,
        default=2,
        metavar="N",
        help="batches before each point that do not count (default 2)",
    )
    source: Any = parser.add_mutually_exclusive_group()
    source.add_argument("--prompts", type=Path, metavar="FILE", help="prompts instead, one a line or JSON lines")
    source.add_argument("--tokens-from", type=Path, metavar="DUMP", help="the token ids of a dump instead")
    add("--chat", action="store_true", help="put each prompt through the chat template")
    add(
        "--sweep-batch",
        type=_counts,
        default=(),
        metavar="N,N",
        help="also with these batches (of a server: concurrencies), the rest as above",
    )
    add("--sweep-output", type=_counts, default=(), metavar="N,N", help="also with so many new tokens")
    add("--iterations", type=count, default=3, metavar="K", help="batches a point of a sweep (default 3)")
    add("--seed", type=seed, default=0, metavar="N", help="seed of random prompts (default 0)")
    add("--device", metavar="DEVICE", help="cpu, npu:N, cuda:N, mps or xpu:N (default cpu)")
    add("--dtype", choices=DTYPES, help="precision (default: the checkpoint's)")
    add("--attn", metavar="NAME", help="attention of transformers: eager, sdpa, flash_attention_2, …")
    add("--threads", type=count, metavar="N", help="CPU threads of torch")
    add("--trust-remote-code", action="store_true", help="run code that the model brings")
    add("--allow-download", action="store_true", help="fetch a hub id from the network if the cache lacks it")
    add("--tensor-parallel", type=count, metavar="N", help="ranks of vLLM that share each layer (default 1)")
    add("--graph", action="store_true", help="let vLLM capture graphs (default: eager)")
    add_engine_argument(parser, "max_model_len=4096")
    add("--tokenizer", metavar="DIR", help="of the server's model, for random ids (default: the server's)")
    add("--timeout", type=seconds, metavar="S", help="seconds that a request to a server may take (default 600)")
    add("--api-key-env", metavar="NAME", help="the environment variable that holds the API key")
    add("--force", action="store_true", help="replace OUT if it exists")
    add_output_options(parser, "print the figures as JSON instead of the path")


def _counts(text: str) -> tuple[int, ...]:
    try:
        found = tuple(count(part) for part in text.split(","))
    except argparse.ArgumentTypeError:
        found = ()
    if not found or len(set(found)) != len(found):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of different whole numbers from 1, such as 1,2,4")
    return found


def check_options(options: argparse.Namespace) -> None:
    """Refuse options that have no meaning without another."""
    values = vars(options)
    if values["model"] is None and values["url"] is None:
        raise DumpError(
            "usage",
            "there is nothing to measure",
            facts=[("--model", "not given"), ("--url", "not given")],
            help="give --model DIR, or --url of a server",
        )
    served = values["url"] is not None
    engine = "a server" if served else values["engine"] or "transformers"
    useful = {engine} if served else {engine, "a model in this process"}
    for owner, names in _OF.items():
        for name in names:
            if owner not in useful and values[name]:
                option = f"--{name.replace('_', '-')}"
                raise DumpError(
                    "usage",
                    f"{option} is for {owner}",
                    facts=[(option, _shown(values[name])), ("measured", engine)],
                    help="use --concurrency"
                    if name == "batch"
                    else "use --batch"
                    if name == "concurrency"
                    else "leave it out",
                )
    if engine == "vllm" and values["dtype"] == "float64":
        _refuse("--dtype float64 is no precision of vLLM", ("--engine", "vllm"), "give another, or leave it out")
    given = values["prompts"] or values["tokens_from"]
    if given is not None and values["input_tokens"] is not None:
        _refuse("--input-tokens is for random prompts", ("given", given), "leave one of the two out")
    if values["chat"] and values["prompts"] is None:
        _refuse("--chat has no meaning without --prompts", ("--chat", "given"), "leave --chat out, or give prompts")
    if values["tokenizer"] is not None and values["tokens_from"] is not None:
        _refuse("--tokenizer has no meaning with --tokens-from", ("--tokens-from", given), "leave one of them out")


def _refuse(what: str, fact: tuple[str, object], way_out: str) -> None:
    raise DumpError("usage", what, facts=[fact], help=way_out)


def _shown(value: Any) -> str:
    return ", ".join(name for name, _ in value) if isinstance(value, list) else str(value)


def execute(options: argparse.Namespace, progress: Progress) -> tuple[str, int]:
    """Measure, show the figures on stderr, and return what goes to stdout, and the exit code.

    Raises:
        DumpError: anything that the caller can act on.
    """
    if options.url is None:
        require_transformers()
        if options.engine == "vllm":
            load_engine(network=options.allow_download, hooks=False)
    require_httpx()
    from ..bench.request import BenchRequest
    from ..bench.run import run

    def measured(request: BenchRequest, progress: Progress) -> Measured:
        found = run(request, progress)
        progress.close()
        print(f"\n{found.table()}\n", file=sys.stderr)  # noqa: T201
        return found

    return capture.finish(options, progress, BenchRequest, measured)
