"""Options that several commands have, and what their values may be."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

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


def count0(text: str) -> int:
    """Return a whole number from 0."""
    return _number(text, int, lambda value: 0 <= value < 2**31, "a whole number from 0")


def seed(text: str) -> int:
    """Return a seed, a whole number below 2**63."""
    return _number(text, int, lambda value: 0 <= value < 2**63, "a whole number from 0 below 2**63")


def positive(text: str) -> float:
    """Return a number above 0."""
    return _number(text, float, lambda value: value > 0, "a number above 0")


def share(text: str) -> float:
    """Return a number above 0 and at most 1."""
    return _number(text, float, lambda value: 0 < value <= 1, "a number above 0 and at most 1")
