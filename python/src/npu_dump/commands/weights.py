"""`npu-dump weights`: the checkpoint against what the model holds after loading."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DumpError
from .options import add_loading_options, add_output_options

if TYPE_CHECKING:
    from ..progress import Progress
    from ..weights import Report

EXIT_OK = 0
EXIT_FOUND = 1

HELP = "compare a checkpoint with the model that is loaded from it"
DESCRIPTION = "Load a transformers model and compare what it holds with its checkpoint and its config.json."
EPILOG = """\
exit codes:
  0    the model holds what the checkpoint says
  1    it does not, or a part could not be compared
  2    could not: usage, device absent, no safetensors, model unreadable, out of memory
  130  interrupted
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_loading_options(parser, "DIR|ID", "model folder or hub id, with safetensors")
    add_output_options(parser, "print the findings as JSON")


def check_options(_options: argparse.Namespace) -> None:
    """Any of its options go together."""


def execute(options: argparse.Namespace, progress: Progress) -> tuple[str, int]:
    """Load, compare, and return what goes to stdout, and the exit code.

    Raises:
        DumpError: anything that the caller can act on.
    """
    from .. import provenance
    from ..weights import report as shown

    found = _compare(options, progress)
    name = provenance.model_id(options.model)
    text = json.dumps(shown.as_json(found, name)) if options.json else shown.as_text(found, name)
    return text, EXIT_OK if found.ok else EXIT_FOUND


def _compare(options: argparse.Namespace, progress: Progress) -> Report:
    import torch

    from .. import devices, models
    from ..weights import compare
    from ..weights.check import broken

    device = devices.resolve(options.device)
    source = models.locate(
        options.model, trust_remote_code=options.trust_remote_code, allow_download=options.allow_download
    )
    dtype: torch.dtype | None = getattr(torch, options.dtype) if options.dtype else None
    to_fetch = options.allow_download and not Path(options.model).exists()
    if not to_fetch:
        report = broken(_folder(source))
        if report is not None:
            return report
    model: Any = models.load_model(
        source, device=device, dtype=dtype, attention=options.attn, note=progress.note, refuse=False
    )
    if to_fetch:  # it is in the cache now
        source = models.locate(options.model, trust_remote_code=options.trust_remote_code, allow_download=False)
    folder = _folder(source)
    try:
        return compare(
            model,
            folder,
            dtype=dtype,
            progress=lambda done, total: progress.step("comparing", done, total, "tensors"),
        )
    except Exception as error:
        if devices.is_out_of_memory(error):
            raise models.out_of_memory(error) from error
        raise


def _folder(source: Any) -> Path:
    files: Path | None = source.files
    if files is not None and files.is_dir():
        return files
    raise DumpError(
        "checkpoint-unsupported",
        "only safetensors can be compared with what a model holds",
        facts=[("given", source.given), ("found", "a GGUF file" if files else "no files in the hub's cache")],
        help="give the folder of the safetensors that the file was made from",
    )
