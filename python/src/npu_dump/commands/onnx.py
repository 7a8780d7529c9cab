"""`npu-dump onnx`: every intermediate tensor of an ONNX model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DumpError
from ..requirements import require_onnx
from . import capture
from .options import add_output_options, add_sample_options, check_chat, count

if TYPE_CHECKING:
    from ..progress import Progress

HELP = "capture every intermediate tensor of an ONNX model on the CPU"
DESCRIPTION = (
    "Feed prompts, or arrays, to an ONNX model in onnxruntime on the CPU and store every tensor of its graph."
)
EPILOG = """\
exit codes:
  0    the dump is written and complete
  2    could not: usage, model unreadable or refused, inputs that do not fit it, disk full
  130  interrupted; complete batches are kept in OUT.partial
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="the model, an .onnx file; files of its weights beside it")
    add("-o", "--output", required=True, type=Path, metavar="OUT", help="the dump to make, OUT.arrow")
    source = add_sample_options(parser)
    source.add_argument(
        "--inputs",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="arrays by the names of the graph's inputs (.npz), a sample a file; repeatable",
    )
    add("--tokenizer", metavar="DIR", help="the model's tokenizer, for --prompts and --text")
    add("--select", action="append", default=[], metavar="GLOB", help="tensors to store; repeatable (default: all)")
    add(
        "--optimize",
        action="store_true",
        help="let onnxruntime rewrite the graph first; what it removes is not stored",
    )
    add(
        "--outputs-at-once",
        type=count,
        metavar="N",
        help="at most N tensors a forward (default: as many as have 2 GiB); less memory, more forwards",
    )
    add("--threads", type=count, metavar="N", help="CPU threads of onnxruntime")
    add("--force", action="store_true", help="replace OUT if it exists")
    add_output_options(parser, "print what was made as JSON instead of the path")


def check_options(options: argparse.Namespace) -> None:
    """Refuse options that have no meaning without another, and texts without a tokenizer."""
    values = vars(options)
    check_chat(values)
    texts = values["prompts"] or values["text"]
    if texts is not None and values["tokenizer"] is None:
        raise DumpError(
            "usage",
            "an ONNX file has no tokenizer",
            facts=[("given", texts), ("--tokenizer", "not given")],
            help="give --tokenizer DIR, or --tokens-from of a dump of the same model",
        )
    if texts is None and values["tokenizer"] is not None:
        raise DumpError(
            "usage",
            "--tokenizer has no meaning without --prompts or --text",
            facts=[("--tokenizer", values["tokenizer"]), ("--prompts, --text", "not given")],
            help="leave it out: ids and arrays are fed as they are",
        )


def execute(options: argparse.Namespace, progress: Progress) -> tuple[str, int]:
    """Run the model and return what goes to stdout, and the exit code; an interrupt says what is kept.

    Raises:
        DumpError: anything that the caller can act on.
    """
    require_onnx()
    from ..onnx.run import Request, run

    return capture.finish(options, progress, Request, run)
