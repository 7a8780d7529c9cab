"""`npu-dump doctor`: whether this environment computes what it should."""

from __future__ import annotations

import argparse
import json
from importlib.util import find_spec
from typing import TYPE_CHECKING

from .options import add_output_options, seconds

if TYPE_CHECKING:
    from ..progress import Progress

EXIT_OK = 0
EXIT_FAILED = 1

HELP = "check versions, devices, precision and a small model"
DESCRIPTION = (
    "Check what a capture rests on: versions and whether they were made for each other, the driver, the device and "
    "its memory, how many bits its products really have in each precision, and a small model against the CPU."
)
EPILOG = """\
exit codes:
  0    no check failed; warnings are worth reading
  1    a check failed
  2    could not: usage
  130  interrupted
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    from ..doctor.examine import DEFAULT_LIMIT_S

    parser.add_argument(
        "--device",
        metavar="DEVICE",
        help="cpu, npu:N, cuda:N, mps or xpu:N (default: npu:0 where torch_npu is installed, else the best there is)",
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=DEFAULT_LIMIT_S,
        metavar="S",
        help=f"seconds for each check (default {DEFAULT_LIMIT_S:g})",
    )
    add_output_options(parser, "print the checks with all their figures as JSON")


def check_options(_options: argparse.Namespace) -> None:
    """Any of its options go together."""


def execute(options: argparse.Namespace, progress: Progress) -> tuple[str, int]:
    """Run the checks and return what goes to stdout, and the exit code.

    Raises:
        DumpError: ``device-unknown``.
    """
    from ..doctor import report
    from ..doctor.examine import examine
    from ..doctor.worker import CHECKS

    total = len(CHECKS) + 2
    done = 0

    def begun(_name: str) -> None:
        nonlocal done
        done += 1
        # Bars are tqdm's, which may be what is missing here.
        if find_spec("tqdm"):
            progress.step("checking", done, total, "checks")

    checks = examine(options.device, options.timeout, begun)
    text = json.dumps(report.as_json(checks)) if options.json else report.as_text(checks)
    return text, EXIT_OK if report.passed(checks) else EXIT_FAILED
