"""`npu-dump run`: prompts through a model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import DumpError
from . import capture
from .options import count, count0, positive, seed, share

HELP = "capture a teacher-forced forward of a transformers model"
DESCRIPTION = "Feed prompts to a transformers model and store hidden states and logits."
EPILOG = capture.EPILOG


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    capture.add_capture_options(parser)
    add_samples_options(parser)


def add_samples_options(parser: argparse.ArgumentParser) -> Any:
    """Add what is fed and how it goes on; return the group of sources, of which a user gives one."""
    add = parser.add_argument
    source: Any = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--prompts", type=Path, metavar="FILE", help="one prompt a line, or JSON lines (.jsonl)")
    source.add_argument("--text", type=Path, metavar="FILE", help="one long text, cut into chunks")
    source.add_argument("--tokens-from", type=Path, metavar="DUMP", help="exactly the token ids of another dump")
    add("--chunk", type=count, default=512, metavar="N", help="tokens a chunk of --text (default 512)")
    add("--min-chars", type=count0, default=50, metavar="N", help="drop shorter paragraphs of --text (default 50)")
    add("--limit", type=count, metavar="N", help="at most N samples")
    add("--chat", action="store_true", help="put each prompt through the tokenizer's chat template")
    add("--generate", type=count0, default=0, metavar="N", help="also continue each prompt by N tokens, greedily")
    add(
        "--decode",
        type=count0,
        default=0,
        metavar="N",
        help="then feed N tokens one by one: those of --tokens-from, else the model's own continuation",
    )
    add("--temperature", type=positive, metavar="T", help="sample the continuation at this temperature")
    add("--top-p", type=share, metavar="P", help="sample from the most likely tokens of total probability P")
    add("--seed", type=seed, default=0, metavar="N", help="seed of all random numbers (default 0)")
    return source


def check_options(options: argparse.Namespace) -> None:
    """Refuse options that have no meaning without another."""
    values = vars(options)
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
    if values.get("padding_side") == "right" and values["decode"] and values["batch"] > 1:
        raise DumpError(
            "usage",
            "decode steps of a batch need padding on the left",
            facts=[("--padding-side", "right"), ("--decode, --batch", f"{values['decode']}, {values['batch']}")],
            help="leave --padding-side out, or use --batch 1",
        )


execute = capture.capture
