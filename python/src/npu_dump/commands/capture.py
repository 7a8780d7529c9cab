"""What the commands that capture have in common: a model runs, and a dump is made."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import printable
from ..ranks import rank_paths
from .options import add_loading_options, add_output_options, count

if TYPE_CHECKING:
    from ..progress import Progress

EXIT_OK = 0
EXIT_INTERRUPTED = 130

EPILOG = """\
exit codes:
  0    the dump is written and complete
  2    could not: usage, device absent, model unreadable, disk full, out of memory
  130  interrupted; complete batches are kept in OUT.partial
"""


def add_capture_options(command: argparse.ArgumentParser) -> None:
    """Add which model runs where and how, and what is stored."""
    add_loading_options(command, "DIR|GGUF|ID", "model folder, GGUF file or hub id")
    add = command.add_argument
    add("--threads", type=count, metavar="N", help="CPU threads of torch")
    add("--padding-side", choices=("left", "right"), help="where a batch is padded (default right; left to decode)")
    add_storage_options(command)
    add_output_options(command, "print what was made as JSON instead of the path")


def add_storage_options(command: argparse.ArgumentParser) -> None:
    """Add what is stored, and where."""
    add = command.add_argument
    add("-o", "--output", required=True, type=Path, metavar="OUT", help="the dump to make, OUT.arrow")
    add("--batch", type=count, default=1, metavar="N", help="prompts a forward (default 1)")
    add("--select", action="append", default=[], metavar="GLOB", help="tensors to store; repeatable (default: all)")
    add(
        "--mode",
        action="append",
        default=[],
        metavar="[GLOB=]MODE",
        help="how much of a tensor: full, hidden (no logits), topk (of logits), stats; repeatable (default: full)",
    )
    help_k = "tokens a row of mode topk, and a step of a continuation (default 64)"
    add("--top-k", type=count, default=64, metavar="K", help=help_k)
    add("--host-info", action="store_true", help="store host name and system in the metadata")
    add("--force", action="store_true", help="replace OUT if it exists")


def capture(options: argparse.Namespace, progress: Progress) -> tuple[str, int]:
    """Run the model and return what goes to stdout, and the exit code; an interrupt says what is kept.

    Raises:
        DumpError: anything that the caller can act on.
    """
    from ..inputs import Request
    from ..run import run

    return finish(options, progress, Request, run)


def finish(
    options: argparse.Namespace, progress: Progress, request_type: Callable[..., Any], run: Callable[..., Any]
) -> tuple[str, int]:
    """Run what the options ask for and return what goes to stdout, and the exit code.

    Args:
        options: the command's.
        progress: told how it goes.
        request_type: takes the options as keywords.
        run: takes the request and the progress, and returns an `Outcome`.

    Raises:
        DumpError: anything that the caller can act on.
    """
    values: dict[str, Any] = dict(vars(options))
    as_json = values.pop("json")
    for name in ("command", "progress"):
        values.pop(name)
    for name in ("select", "mode", "engine_arg", "inputs"):
        if name in values:
            values[name] = tuple(values[name])
    request = request_type(**values)
    try:
        outcome = run(request, progress)
    except KeyboardInterrupt:
        progress.close()
        ranks = rank_paths(request.output, values.get("tensor_parallel") or 1)
        _tell_interrupted(sorted({request.output, *ranks}))
        return "", EXIT_INTERRUPTED
    return json.dumps(outcome.as_json()) if as_json else str(outcome.path), EXIT_OK


def _tell_interrupted(files: Sequence[Path]) -> None:
    partials = [file.with_name(file.name + ".partial") for file in files]
    kept = [partial.name for partial in partials if partial.exists()]
    told = (
        f"complete batches are in {', '.join(kept)}; npu-diff repair {kept[0]} makes a dump of them"
        if kept
        else "nothing was written"
    )
    print(f"npu-dump: interrupted; {printable(told)}", file=sys.stderr)  # noqa: T201
