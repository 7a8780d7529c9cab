"""The command line of npu-dump: options, exit codes, streams. Imports torch only when a command runs."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ._version import __version__
from .commands import weights
from .errors import DumpError, printable

EXIT_OK = 0
EXIT_COULD_NOT = 2
EXIT_INTERRUPTED = 130

_EPILOG = """\
exit codes:
  0    the dump is written and complete
  2    could not: usage, device absent, model unreadable, disk full, out of memory
  130  interrupted; complete batches are kept in OUT.partial
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors are printed, never raised."""
    try:
        options = build_parser().parse_args(arguments)
        return _weights(options) if options.command == "weights" else _run(options)
    except DumpError as error:
        print(error.render(), file=sys.stderr)  # noqa: T201
        return EXIT_COULD_NOT
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Exception as error:
        if os.environ.get("NPU_DUMP_DEBUG"):
            raise
        internal = DumpError(
            "internal",
            "something went wrong that should not have",
            facts=[(type(error).__name__, error)],
            help="please report it with this command; NPU_DUMP_DEBUG=1 shows the stack trace",
        )
        print(internal.render(), file=sys.stderr)  # noqa: T201
        return EXIT_COULD_NOT


class _Parser(argparse.ArgumentParser):
    """argparse with our kind of error, and without abbreviations: `--d` must not become a guess."""

    def error(self, message: str) -> NoReturn:
        raise DumpError(
            "usage",
            printable(message),
            facts=[("command", self.prog)],
            help=f"{self.prog} --help lists the options",
        )


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line; the README's table is made from it."""
    parser = _Parser(
        prog="npu-dump",
        description="Collect what a language model computes, layer by layer, into one Arrow file.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"npu-dump {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    run = commands.add_parser(
        "run",
        help="capture a teacher-forced forward of a transformers model",
        description="Feed prompts to a transformers model and store hidden states and logits.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_model_options(run)
    _add_run_options(run)
    replay = commands.add_parser(
        "replay",
        help="run a model on the residual stream of a dump, block by block",
        description="Feed a dump's token ids and residual stream to a transformers model, so that every block "
        "answers to the dump's input and inherits no error. Run on the CPU, where --dtype is float32 unless given, "
        "on a device's dump, this is the forced reference: what each module should have answered.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    replay.add_argument("replay", type=Path, metavar="DUMP", help="the dump to replay")
    _add_model_options(replay)
    replay.add_argument("--limit", type=_count, metavar="N", help="at most N samples")
    checker = commands.add_parser(
        "weights",
        help="compare a checkpoint with the model that is loaded from it",
        description=weights.DESCRIPTION,
        epilog=weights.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    weights.add_options(checker)
    return parser


def _add_run_options(run: argparse.ArgumentParser) -> None:
    add = run.add_argument
    source = run.add_mutually_exclusive_group(required=True)
    source.add_argument("--prompts", type=Path, metavar="FILE", help="one prompt a line, or JSON lines (.jsonl)")
    source.add_argument("--text", type=Path, metavar="FILE", help="one long text, cut into chunks")
    source.add_argument("--tokens-from", type=Path, metavar="DUMP", help="exactly the token ids of another dump")
    add("--chunk", type=_count, default=512, metavar="N", help="tokens a chunk of --text (default 512)")
    add("--min-chars", type=_count0, default=50, metavar="N", help="drop shorter paragraphs of --text (default 50)")
    add("--limit", type=_count, metavar="N", help="at most N samples")
    add("--chat", action="store_true", help="put each prompt through the tokenizer's chat template")
    add("--generate", type=_count0, default=0, metavar="N", help="also continue each prompt by N tokens, greedily")
    add(
        "--decode",
        type=_count0,
        default=0,
        metavar="N",
        help="then feed N tokens one by one: those of --tokens-from, else the model's own continuation",
    )
    add("--temperature", type=_positive, metavar="T", help="sample the continuation at this temperature")
    add("--top-p", type=_share, metavar="P", help="sample from the most likely tokens of total probability P")
    add("--seed", type=_seed, default=0, metavar="N", help="seed of all random numbers (default 0)")


def _add_model_options(command: argparse.ArgumentParser) -> None:
    """Add what every command that runs a model takes: the model, where and how it runs, what is stored."""
    add = command.add_argument
    add("--model", required=True, metavar="DIR|GGUF|ID", help="model folder, GGUF file or hub id")
    add("-o", "--output", required=True, type=Path, metavar="OUT", help="the dump to make, OUT.arrow")
    add("--device", default="cpu", metavar="DEVICE", help="cpu, npu:N, cuda:N, mps or xpu:N (default cpu)")
    add("--dtype", choices=("float32", "bfloat16", "float16"), help="precision (default: the checkpoint's)")
    add("--attn", metavar="NAME", help="attention: eager, sdpa, flash_attention_2, … (default: transformers' choice)")
    add("--threads", type=_count, metavar="N", help="CPU threads of torch")
    add("--batch", type=_count, default=1, metavar="N", help="prompts a forward (default 1)")
    add("--padding-side", choices=("left", "right"), help="where a batch is padded (default right; left to decode)")
    add("--select", action="append", default=[], metavar="GLOB", help="tensors to store; repeatable (default: all)")
    add(
        "--mode",
        action="append",
        default=[],
        metavar="[GLOB=]MODE",
        help="how much of a tensor: full, hidden (no logits), topk (of logits), stats; repeatable (default: full)",
    )
    add("--top-k", type=_count, default=64, metavar="K", help="tokens a row of mode topk (default 64)")
    add("--trust-remote-code", action="store_true", help="run code that the model brings")
    add("--allow-download", action="store_true", help="fetch a hub id from the network if the cache lacks it")
    add("--host-info", action="store_true", help="store host name and system in the metadata")
    add("--force", action="store_true", help="replace OUT if it exists")
    add("--json", action="store_true", help="print what was made as JSON instead of the path")
    add(
        "--progress",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="draw progress bars (default: on a terminal)",
    )


def _run(options: argparse.Namespace) -> int:
    values = vars(options)
    if values.pop("command") == "run":
        _check_run_options(values)
    if values["padding_side"] == "right" and values.get("decode") and values["batch"] > 1:
        raise DumpError(
            "usage",
            "decode steps of a batch need padding on the left",
            facts=[("--padding-side", "right"), ("--decode, --batch", f"{values['decode']}, {values['batch']}")],
            help="leave --padding-side out, or use --batch 1",
        )
    as_json, bars = values.pop("json"), values.pop("progress")
    values["select"], values["mode"] = tuple(values["select"]), tuple(values["mode"])
    with _StdoutToStderr() as stdout:
        _quiet_libraries(bars=sys.stderr.isatty() if bars is None else bars)
        _require_transformers()
        from .inputs import Request
        from .progress import Progress
        from .run import run

        progress = Progress(bars=bars)
        request = Request(**values)
        try:
            outcome = run(request, progress)
        except KeyboardInterrupt:
            progress.close()
            _tell_interrupted(request.output)
            return EXIT_INTERRUPTED
        finally:
            progress.close()
        text = json.dumps(outcome.as_json()) if as_json else str(outcome.path)
        return _print(stdout, text)


def _check_run_options(values: dict[str, Any]) -> None:
    """Refuse options that have no meaning without another."""
    if values["top_p"] is not None and values["temperature"] is None:
        raise DumpError(
            "usage",
            "--top-p has no meaning without --temperature",
            facts=[("--top-p", values["top_p"]), ("--temperature", "not given: greedy")],
            help="give both, or neither",
        )
    if values["temperature"] is not None and not (values["generate"] or values["decode"]):
        raise DumpError(
            "usage",
            "--temperature has no meaning without --generate or --decode",
            facts=[("--temperature", values["temperature"]), ("--generate, --decode", "0, 0")],
            help="say how many tokens to generate with --generate N",
        )
    if values["temperature"] is not None and values["tokens_from"] is not None and not values["generate"]:
        raise DumpError(
            "usage",
            "--temperature has no meaning where all tokens come from a dump",
            facts=[("--temperature", values["temperature"]), ("--tokens-from", values["tokens_from"])],
            help="leave it out, or give --generate N to sample a continuation as well",
        )
    if values["chat"] and values["prompts"] is None:
        raise DumpError(
            "usage",
            "--chat has no meaning without --prompts",
            facts=[("--chat", "given"), ("--prompts", "not given")],
            help="leave --chat out, or give prompts",
        )


def _weights(options: argparse.Namespace) -> int:
    with _StdoutToStderr() as stdout:
        _quiet_libraries(bars=sys.stderr.isatty() if options.progress is None else options.progress)
        _require_transformers()
        from .progress import Progress

        progress = Progress(bars=options.progress)
        try:
            text, code = weights.execute(options, progress)
        finally:
            progress.close()
        _print(stdout, text)
        return code


def _tell_interrupted(output: Path) -> None:
    partial = output.with_name(output.name + ".partial")
    kept = (
        f"complete batches are in {partial.name}; npu-diff repair {partial.name} makes a dump of them"
        if partial.exists()
        else "nothing was written"
    )
    print(f"npu-dump: interrupted; {printable(kept)}", file=sys.stderr)  # noqa: T201


def _print(stdout: Any, text: str) -> int:
    try:
        print(text, file=stdout, flush=True)
    except BrokenPipeError:
        # The reader is gone, but the dump is there. Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
    return EXIT_OK


class _StdoutToStderr:
    """Keeps stdout for our one line: what libraries print there goes to stderr, also from C."""

    def __enter__(self) -> Any:
        sys.stdout.flush()
        self._kept = sys.stdout
        self._stream = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="backslashreplace")
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        return self._stream

    def __exit__(self, *_: object) -> None:
        sys.stdout = self._kept
        os.dup2(self._stream.fileno(), 1)
        self._stream.close()


def _quiet_libraries(*, bars: bool) -> None:
    # Before the first import, which reads the environment.
    if not bars:
        os.environ["TQDM_DISABLE"] = "1"
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


def _require_transformers() -> None:
    try:
        import torch  # noqa: F401
        from transformers.utils import logging
    except ImportError as error:
        raise DumpError(
            "transformers-absent",
            "torch and transformers are needed to run a model",
            facts=[("missing", error.name or error)],
            help="pip install npu-dump[transformers]",
        ) from error
    except RuntimeError as error:
        cause = error.__cause__ or error
        raise DumpError(
            "device-absent",
            "torch cannot load an extension that brings it a device",
            facts=[("torch", _first_line(error)), (type(cause).__name__, _first_line(cause))],
            help="for torch_npu: source the CANN set_env.sh, and match torch_npu to torch and to CANN; without it: "
            "TORCH_DEVICE_BACKEND_AUTOLOAD=0",
        ) from error
    logging.disable_progress_bar()


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or ["no reason given"])[0]


def _number(text: str, convert: Callable[[str], Any], accept: Callable[[Any], bool], what: str) -> Any:
    try:
        value = convert(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or not accept(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return value


def _count(text: str) -> int:
    return _number(text, int, lambda value: 1 <= value < 2**31, "a whole number from 1")


def _count0(text: str) -> int:
    return _number(text, int, lambda value: 0 <= value < 2**31, "a whole number from 0")


def _seed(text: str) -> int:
    return _number(text, int, lambda value: 0 <= value < 2**63, "a whole number from 0 below 2**63")


def _positive(text: str) -> float:
    return _number(text, float, lambda value: value > 0, "a number above 0")


def _share(text: str) -> float:
    return _number(text, float, lambda value: 0 < value <= 1, "a number above 0 and at most 1")
