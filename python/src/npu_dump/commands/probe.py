"""`npu-dump probe`: named hypotheses about one module, tested on the reference."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import add_loading_options, add_output_options, count

if TYPE_CHECKING:
    from ..hypotheses import ProbeResult
    from ..progress import Progress
    from ..reader import DumpFile

EXIT_OK = 0
# As in hypotheses.DEFAULT_TOKENS, which torch would have to be imported for.
_TOKENS = 2048

HELP = "say what is wrong in one module: test named hypotheses on the CPU"
DESCRIPTION = (
    "Run one module of the float32 model on a dump's own input, once as it is and once under each of many changes: "
    "another rotary base, attention scale, mask, activation, the next layer's weights, …. The change whose effect is "
    "the error that the dump shows names the cause, and its size."
)
EPILOG = """\
exit codes:
  0    tested, whether or not a hypothesis fits
  2    could not: usage, no such module, dump or model unreadable or not of a kind, out of memory
  130  interrupted
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("candidate", type=Path, metavar="CANDIDATE", help="the dump of the engine under test")
    add_loading_options(parser, "DIR|GGUF|ID", "the reference: model folder, GGUF file or hub id", precision=False)
    add = parser.add_argument
    add(
        "--module", required=True, metavar="NAME", help="as in the dump: layers.7.attn, layers.7, norm, logits, embed"
    )
    add(
        "--floor",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="dump of a correct engine in the candidate's precision, on the same tokens; repeatable",
    )
    add("--tokens", type=count, default=_TOKENS, metavar="N", help=f"at most N tokens (default {_TOKENS})")
    add("--threads", type=count, metavar="N", help="CPU threads of torch")
    add_output_options(parser, "print all hypotheses as JSON instead of a table")


def check_options(_options: argparse.Namespace) -> None:
    """Any of its options go together."""


def execute(options: argparse.Namespace, progress: Progress) -> tuple[str, int]:
    """Load, test, and return what goes to stdout, and the exit code.

    Raises:
        DumpError: anything that the caller can act on.
    """
    from ..hypotheses import as_text
    from ..reader import load

    candidate = load(options.candidate)
    floors = [load(path) for path in options.floor]
    found = _test(options, candidate, floors, progress)
    return json.dumps(found.as_json()) if options.json else as_text(found), EXIT_OK


def _test(
    options: argparse.Namespace, candidate: DumpFile, floors: list[DumpFile], progress: Progress
) -> ProbeResult:
    import torch

    from .. import devices, hypotheses, models

    if options.threads:
        torch.set_num_threads(options.threads)
    source = models.locate(
        options.model, trust_remote_code=options.trust_remote_code, allow_download=options.allow_download
    )
    # What rounds to float32 itself is measured against what does not.
    dtype = torch.float64 if candidate.run["dtype"] == "F32" else torch.float32
    model: Any = models.load_model(
        source, device=devices.resolve(options.device), dtype=dtype, attention=None, note=progress.note
    )
    progress.note(f"testing {options.module} of {options.candidate.name}")
    try:
        return hypotheses.test(
            model,
            candidate,
            options.module,
            floors,
            tokens=options.tokens,
            progress=lambda done, total: progress.step("testing", done, total, "hypotheses"),
        )
    except Exception as error:
        if devices.is_out_of_memory(error):
            raise models.out_of_memory(error) from error
        raise
