"""`npu-dump reference`: all that a candidate is judged by."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import add_loading_options, add_output_options, count

if TYPE_CHECKING:
    from ..progress import Progress

EXIT_OK = 0
EXIT_INTERRUPTED = 130

HELP = "make all that a candidate is judged by: reference, floors, forced references"
DESCRIPTION = (
    "Make the reference set of a candidate on the CPU, on exactly its token ids: the reference (float32; float64 for "
    "a float32 candidate), two noise floors in the candidate's precision by different attentions, and the forced "
    "references of the candidate and of the floors. What is there already is kept: for another candidate of the "
    "same tokens, model and precision only its forced reference is made."
)
EPILOG = """\
exit codes:
  0    the set is complete; where the candidate's residual stream cannot be replayed, without forced references
  2    could not: usage, model unreadable, a set of other tokens, disk full, out of memory
  130  interrupted; the same command goes on where it was
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("candidate", type=Path, metavar="CANDIDATE", help="the dump that will be judged")
    add_loading_options(parser, "DIR|GGUF|ID", "model folder, GGUF file or hub id", device=False, precision=False)
    add = parser.add_argument
    add("-o", "--output", required=True, type=Path, metavar="DIR", help="the folder of the set")
    add("--threads", type=count, metavar="N", help="CPU threads of torch")
    add("--batch", type=count, default=1, metavar="N", help="prompts a forward (default 1)")
    add("--host-info", action="store_true", help="store host name and system in the metadata")
    add("--force", action="store_true", help="make all anew, whatever is there")
    add_output_options(parser, "print what was made as JSON instead of the path")


def check_options(_options: argparse.Namespace) -> None:
    """Any of its options go together."""


def execute(options: argparse.Namespace, progress: Progress) -> tuple[str, int]:
    """Make the set and return what goes to stdout, and the exit code; an interrupt says how to go on.

    Raises:
        DumpError: anything that the caller can act on.
    """
    from ..inputs import Request
    from ..reference import make_reference_set

    values: dict[str, Any] = dict(vars(options))
    candidate, as_json = values.pop("candidate"), values.pop("json")
    for name in ("command", "progress"):
        values.pop(name)
    try:
        made = make_reference_set(Request(**values), candidate, progress)
    except KeyboardInterrupt:
        progress.close()
        print("npu-dump: interrupted; the same command goes on where it was", file=sys.stderr)  # noqa: T201
        return "", EXIT_INTERRUPTED
    return json.dumps(made.as_json()) if as_json else str(made.folder), EXIT_OK
