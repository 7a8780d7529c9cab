"""`npu-dump replay`: a model on the residual stream of a dump."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import capture
from .options import count

HELP = "run a model on the residual stream of a dump, block by block"
DESCRIPTION = (
    "Feed a dump's token ids and residual stream to a transformers model, so that every block answers to the dump's "
    "input and inherits no error. Run on the CPU on a device's dump (--dtype is float32 there unless given, float64 "
    "for a float32 dump), this is the forced reference: what each module should have answered."
)
EPILOG = capture.EPILOG


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("replay", type=Path, metavar="DUMP", help="the dump to replay")
    capture.add_capture_options(parser)
    parser.add_argument("--limit", type=count, metavar="N", help="at most N samples")


def check_options(_options: argparse.Namespace) -> None:
    """Any of its options go together."""


execute = capture.capture
