"""`npu-dump endpoint`: prompts through an OpenAI-compatible server."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DumpError
from ..requirements import require_httpx
from . import capture
from .options import (
    DTYPES,
    add_output_options,
    add_prompt_options,
    add_repeats_option,
    check_prompt_options,
    check_repeats,
    count,
    count0,
    positive,
)

if TYPE_CHECKING:
    from ..progress import Progress

HELP = "capture log-probabilities, continuations and times from an OpenAI-compatible server"
DESCRIPTION = "Feed prompts to a server (vLLM and others) and store what its API tells of the model."
EPILOG = """\
exit codes:
  0    the dump is written and complete
  2    could not: usage, server absent, too slow or failing, answers that make no sense, disk full
  130  interrupted; complete samples are kept in OUT.partial
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("--url", required=True, metavar="URL", help="the server's API, e.g. http://127.0.0.1:8000/v1")
    add("-o", "--output", required=True, type=Path, metavar="OUT", help="the dump to make, OUT.arrow")
    add("--model", metavar="NAME", help="the model's name on the server (default: the only one)")
    add("--dtype", choices=DTYPES, help="the precision it runs in, which no server tells (default bfloat16)")
    add("--tokenizer", metavar="DIR", help="the model's tokenizer (default: the server's)")
    add(
        "--api",
        choices=("auto", "completions", "chat"),
        default="auto",
        help="where continuations are asked for (default auto: chat for messages, else completions)",
    )
    add_prompt_options(parser)
    add_repeats_option(parser, "the last first, another number at a time")
    add(
        "--top-k", type=count, metavar="K", help="the K most likely tokens a position (default: 20, or what there is)"
    )
    add("--concurrency", type=count, default=1, metavar="N", help="samples asked about at a time (default 1)")
    add("--timeout", type=positive, default=600.0, metavar="S", help="seconds that a request may take (default 600)")
    add("--retries", type=count0, default=3, metavar="N", help="repeat what fails in passing N times (default 3)")
    add("--api-key-env", metavar="NAME", help="the environment variable that holds the API key")
    add("--force", action="store_true", help="replace OUT if it exists")
    add_output_options(parser, "print what was made as JSON instead of the path")


def check_options(options: argparse.Namespace) -> None:
    """Refuse options that have no meaning without another."""
    values = vars(options)
    check_prompt_options(values, continuing={"--generate": values["generate"]})
    check_repeats(values, values["generate"])
    if values["api"] == "chat" and values["prompts"] is None:
        raise DumpError(
            "usage",
            "--api chat takes no token ids",
            facts=[("--api", "chat"), ("--prompts", "not given")],
            help="leave --api out, or give prompts",
        )
    if values["api"] == "chat" and not values["generate"]:
        raise DumpError(
            "usage",
            "--api chat has no meaning without --generate",
            facts=[("--api", "chat"), ("--generate", 0)],
            help="say how many tokens to generate with --generate N, or leave --api out",
        )
    if values["tokenizer"] is not None and values["tokens_from"] is not None:
        raise DumpError(
            "usage",
            "--tokenizer has no meaning with --tokens-from",
            facts=[("--tokenizer", values["tokenizer"]), ("--tokens-from", values["tokens_from"])],
            help="leave one of them out: the dump holds the token ids",
        )


def execute(options: argparse.Namespace, progress: Progress) -> tuple[str, int]:
    """Ask the server and return what goes to stdout, and the exit code; an interrupt says what is kept.

    Raises:
        DumpError: anything that the caller can act on.
    """
    require_httpx()
    from ..endpoint.run import Request, run

    return capture.finish(options, progress, Request, run)
