"""`npu-dump vllm`: prompts through vLLM's own engine."""

from __future__ import annotations

import argparse
import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DumpError
from . import capture, run
from .options import add_output_options, count

if TYPE_CHECKING:
    from ..progress import Progress

HELP = "the same through vLLM's own engine (vLLM-Ascend, vLLM)"
DESCRIPTION = (
    "Feed prompts to vLLM and store hidden states and logits under the same names as run does. The engine runs\n"
    "eagerly, without prefix cache and with whole prompts: hooks see nothing inside a captured graph. What it\n"
    "computes with graphs is compared by its log-probabilities and generations: --graph."
)
EPILOG = capture.EPILOG


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("--model", required=True, metavar="DIR|ID", help="model folder or hub id")
    add("--dtype", choices=("float32", "bfloat16", "float16"), help="precision (default: the checkpoint's)")
    add("--trust-remote-code", action="store_true", help="run code that the model brings")
    add("--allow-download", action="store_true", help="fetch a hub id from the network if the cache lacks it")
    source = run.add_samples_options(parser)
    source.add_argument("--replay", type=Path, metavar="DUMP", help="DUMP's ids, with its residual stream throughout")
    capture.add_storage_options(parser)
    add("--tensor-parallel", type=count, default=1, metavar="N", help="ranks that share each layer (default 1)")
    add(
        "--chunk-tokens",
        type=count,
        metavar="N",
        help="chunked prefill, at most N tokens a forward (default: prompts stay whole)",
    )
    add(
        "--graph",
        action="store_true",
        help="let the engine capture graphs; stores log-probabilities and generations alone",
    )
    add_engine_argument(parser, "gpu_memory_utilization=0.8")
    add_output_options(parser, "print what was made as JSON instead of the path")


def add_engine_argument(command: argparse.ArgumentParser, example: str) -> None:
    """Add arguments of the engine that have no option of their own."""
    command.add_argument(
        "--engine-arg",
        action="append",
        default=[],
        type=engine_argument,
        metavar="NAME=VALUE",
        help=f"a further argument of vLLM, VALUE as JSON; repeatable, e.g. {example}",
    )


def engine_argument(text: str) -> tuple[str, Any]:
    """Return name and value of ``NAME=VALUE``, VALUE as JSON or else as text."""
    name, equals, value = text.partition("=")
    name = name.removeprefix("--").replace("-", "_")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def check_options(options: argparse.Namespace) -> None:
    """Refuse options that have no meaning without another."""
    run.check_options(options)
    values = vars(options)
    if values["graph"]:
        for name in ("decode", "replay", "select", "mode", "chunk_tokens"):
            if values[name]:
                raise DumpError(
                    "usage",
                    f"--{name.replace('_', '-')} needs hooks, which see nothing inside a graph",
                    facts=[("--graph", "given"), (f"--{name.replace('_', '-')}", values[name])],
                    help="leave one of the two out",
                )
    if values["replay"] is not None and values["decode"]:
        raise DumpError(
            "usage",
            "--decode has no meaning in a replay, which repeats the dump's own decode steps",
            facts=[("--replay", values["replay"]), ("--decode", values["decode"])],
            help="leave --decode out",
        )


def execute(options: argparse.Namespace, progress: Progress) -> tuple[str, int]:
    """Run the engine and return what goes to stdout, and the exit code.

    Raises:
        DumpError: anything that the caller can act on.
    """
    load_engine(network=options.allow_download)
    from ..vllm.run import EngineRequest
    from ..vllm.run import run as run_engine

    return capture.finish(options, progress, EngineRequest, run_engine)


def load_engine(*, network: bool, hooks: bool = True) -> None:
    """Import vLLM with the environment that we need.

    Args:
        network: whether a model may be fetched.
        hooks: whether its forwards are looked into.

    Raises:
        DumpError: ``vllm-absent``, ``vllm-broken``.
    """
    from ..vllm.adapter import set_environment

    set_environment(network=network, hooks=hooks)
    try:
        import_module("vllm")
    except ImportError as error:
        raise DumpError(
            "vllm-absent",
            "vLLM is needed to run its engine",
            facts=[("missing", error.name or error)],
            help="pip install npu-dump[vllm]; on Ascend vllm-ascend, with the vllm that it names",
        ) from error
    except Exception as error:
        raise DumpError(
            "vllm-broken",
            "vLLM is installed and cannot be loaded",
            facts=[(type(error).__name__, (str(error).splitlines() or ["no reason given"])[0])],
            help="match the versions of vllm, its plugin, torch and torchvision; on Ascend source CANN's set_env.sh",
        ) from error
