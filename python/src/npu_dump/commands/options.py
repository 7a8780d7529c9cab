"""Options that several commands have, and what their values may be."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import DumpError

DTYPES = ("float64", "float32", "bfloat16", "float16")


def add_loading_options(
    command: argparse.ArgumentParser, model: str, kinds: str, *, device: bool = True, precision: bool = True
) -> None:
    """Add which model is loaded, where, and how.

    Args:
        command: the command's parser.
        model: what the model may be, for the usage.
        kinds: the same in words.
        device: whether the user chooses where it runs.
        precision: whether its precision and its attention are for the user to choose.
    """
    add = command.add_argument
    add("--model", required=True, metavar=model, help=kinds)
    if device:
        add("--device", default="cpu", metavar="DEVICE", help="cpu, npu:N, cuda:N, mps or xpu:N (default cpu)")
    if precision:
        add("--dtype", choices=DTYPES, help="precision (default: the checkpoint's)")
        add(
            "--attn",
            metavar="NAME",
            help="attention: eager, sdpa, flash_attention_2, … (default: transformers' choice)",
        )
    add("--trust-remote-code", action="store_true", help="run code that the model brings")
    add("--allow-download", action="store_true", help="fetch a hub id from the network if the cache lacks it")


def add_output_options(command: argparse.ArgumentParser, result: str) -> None:
    """Add what stdout and stderr show.

    Args:
        command: the command's parser.
        result: what ``--json`` prints.
    """
    command.add_argument("--json", action="store_true", help=result)
    command.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="draw progress bars (default: on a terminal)",
    )


def _number(text: str, convert: Callable[[str], Any], accept: Callable[[Any], bool], what: str) -> Any:
    try:
        value = convert(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or not accept(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return value


def count(text: str) -> int:
    """Return a whole number from 1."""
    return _number(text, int, lambda value: 1 <= value < 2**31, "a whole number from 1")


def repeats(text: str) -> int:
    """Return how often a run is repeated, the run itself included: the metadata says of each how it was fed."""
    return _number(text, int, lambda value: 1 <= value <= 1000, "a whole number from 1 to 1000")


def count0(text: str) -> int:
    """Return a whole number from 0."""
    return _number(text, int, lambda value: 0 <= value < 2**31, "a whole number from 0")


def seed(text: str) -> int:
    """Return a seed, a whole number below 2**63."""
    return _number(text, int, lambda value: 0 <= value < 2**63, "a whole number from 0 below 2**63")


def positive(text: str) -> float:
    """Return a number above 0."""
    return _number(text, float, lambda value: value > 0, "a number above 0")


def seconds(text: str) -> float:
    """Return a number of seconds above 0, at most a day: no clock waits for any number."""
    return _number(text, float, lambda value: 0 < value <= 86400, "a number of seconds above 0, a day at most")


def share(text: str) -> float:
    """Return a number above 0 and at most 1."""
    return _number(text, float, lambda value: 0 < value <= 1, "a number above 0 and at most 1")


def add_sample_options(command: argparse.ArgumentParser) -> Any:
    """Add where the prompts come from; return the group of sources, of which a user gives one."""
    add = command.add_argument
    source: Any = command.add_mutually_exclusive_group(required=True)
    source.add_argument("--prompts", type=Path, metavar="FILE", help="one prompt a line, or JSON lines (.jsonl)")
    source.add_argument("--text", type=Path, metavar="FILE", help="one long text, cut into chunks")
    source.add_argument("--tokens-from", type=Path, metavar="DUMP", help="exactly the token ids of another dump")
    add("--chunk", type=count, default=512, metavar="N", help="tokens a chunk of --text (default 512)")
    add("--min-chars", type=count0, default=50, metavar="N", help="drop shorter paragraphs of --text (default 50)")
    add("--limit", type=count, metavar="N", help="at most N samples")
    add("--chat", action="store_true", help="put each prompt through the tokenizer's chat template")
    return source


def add_prompt_options(command: argparse.ArgumentParser) -> Any:
    """Add where the prompts come from, and how they are continued; return the group of sources, a user gives one."""
    add = command.add_argument
    source = add_sample_options(command)
    add("--generate", type=count0, default=0, metavar="N", help="also continue each prompt by N tokens, greedily")
    add("--temperature", type=positive, metavar="T", help="sample the continuation at this temperature")
    add("--top-p", type=share, metavar="P", help="sample from the most likely tokens of total probability P")
    add("--seed", type=seed, default=0, metavar="N", help="seed of all random numbers (default 0)")
    return source


def add_repeats_option(command: argparse.ArgumentParser, otherwise: str) -> None:
    """Add how often continuations are repeated.

    Args:
        command: the command's parser.
        otherwise: how every other repetition is fed.
    """
    command.add_argument(
        "--repeats",
        type=repeats,
        default=1,
        metavar="R",
        help=f"continue the prompts R times in all: alike and, every other time, {otherwise} (default 1)",
    )


def check_repeats(values: dict[str, Any], own_tokens: int) -> None:
    """Refuse repetitions of nothing, and of draws.

    Args:
        values: all options.
        own_tokens: how many tokens the model itself goes on with.

    Raises:
        DumpError: ``usage``.
    """
    if values["repeats"] > 1 and (not own_tokens or values["temperature"] is not None):
        raise DumpError(
            "usage",
            "--repeats has no meaning without greedy continuations",
            facts=[
                ("--repeats", values["repeats"]),
                ("--generate, --temperature", f"{values['generate']}, {values['temperature'] or 'not given'}"),
            ],
            help="give --generate N, and leave --temperature out: what is drawn differs each time",
        )


def check_prompt_options(values: dict[str, Any], *, continuing: dict[str, int]) -> None:
    """Refuse options of `add_prompt_options` that have no meaning without another.

    Args:
        values: all options.
        continuing: the options that have prompts continued, and their values.

    Raises:
        DumpError: ``usage``.
    """
    if values["top_p"] is not None and values["temperature"] is None:
        raise DumpError(
            "usage",
            "--top-p has no meaning without --temperature",
            facts=[("--top-p", values["top_p"]), ("--temperature", "not given: greedy")],
            help="give both, or neither",
        )
    if values["temperature"] is not None and not any(continuing.values()):
        raise DumpError(
            "usage",
            f"--temperature has no meaning without {' or '.join(continuing)}",
            facts=[
                ("--temperature", values["temperature"]),
                (", ".join(continuing), ", ".join(map(str, continuing.values()))),
            ],
            help="say how many tokens to generate with --generate N",
        )
    check_chat(values)


def check_chat(values: dict[str, Any]) -> None:
    """Refuse a chat template without prompts.

    Raises:
        DumpError: ``usage``.
    """
    if values["chat"] and values["prompts"] is None:
        raise DumpError(
            "usage",
            "--chat has no meaning without --prompts",
            facts=[("--chat", "given"), ("--prompts", "not given")],
            help="leave --chat out, or give prompts",
        )
