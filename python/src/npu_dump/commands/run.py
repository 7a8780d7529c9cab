"""`npu-dump run`: prompts through a model."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import DumpError
from . import capture
from .options import add_prompt_options, add_repeats_option, check_prompt_options, check_repeats, count0

HELP = "capture a teacher-forced forward of a transformers model"
DESCRIPTION = "Feed prompts to a transformers model and store hidden states and logits."
EPILOG = capture.EPILOG


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    capture.add_capture_options(parser)
    add_samples_options(parser)


def add_samples_options(parser: argparse.ArgumentParser) -> Any:
    """Add what is fed and how it goes on; return the group of sources, of which a user gives one."""
    source = add_prompt_options(parser)
    parser.add_argument(
        "--decode",
        type=count0,
        default=0,
        metavar="N",
        help="then feed N tokens one by one: those of --tokens-from, else the model's own continuation",
    )
    add_repeats_option(parser, "in other batches")
    return source


def check_options(options: argparse.Namespace) -> None:
    """Refuse options that have no meaning without another."""
    values = vars(options)
    check_prompt_options(values, continuing={"--generate": values["generate"], "--decode": values["decode"]})
    if values["temperature"] is not None and values["tokens_from"] is not None and not values["generate"]:
        raise DumpError(
            "usage",
            "--temperature has no meaning where all tokens come from a dump",
            facts=[("--temperature", values["temperature"]), ("--tokens-from", values["tokens_from"])],
            help="leave it out, or give --generate N to sample a continuation as well",
        )
    check_repeats(values, values["generate"] or (0 if values["tokens_from"] else values["decode"]))
    if values.get("padding_side") == "right" and values["decode"] and values["batch"] > 1:
        raise DumpError(
            "usage",
            "decode steps of a batch need padding on the left",
            facts=[("--padding-side", "right"), ("--decode, --batch", f"{values['decode']}, {values['batch']}")],
            help="leave --padding-side out, or use --batch 1",
        )


execute = capture.capture
