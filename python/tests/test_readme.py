"""The README tells the truth: its option table, its exit codes and its Python."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import npu_dump
from npu_dump import cli

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def option_rows(command: str) -> list[str]:
    parser = cli.build_parser()
    commands = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    rows = []
    for action in commands.choices[command]._actions:
        if action.dest == "help":
            continue
        value = action.metavar or ("\\|".join(action.choices) if action.choices else "")
        flags = ", ".join(f"`{flag}`" for flag in action.option_strings)
        if not action.option_strings:
            rows.append(f"| `{value}` | {action.help} |")
            continue
        shown = str(value).replace("DIR|GGUF|ID", "DIR\\|GGUF\\|ID")
        rows.append(f"| {flags}{f' {shown}' if shown else ''} | {action.help} |")
    return rows


@pytest.mark.parametrize("command", ["run", "onnx", "bench"])
def test_the_option_table_is_that_of_the_parser(command: str) -> None:
    section = README.split(f"\n## `npu-dump {command}`\n")[1].split("\n## ")[0]
    table = [line for line in section.split("\n") if re.match(r"\| `(-|[A-Z])", line)]
    assert table == option_rows(command)


def test_the_workflow_asks_for_what_there_is() -> None:
    workflow = (Path(__file__).parents[2] / "docs" / "ci" / "precision.yml").read_text(encoding="utf-8")
    commands = re.findall(r"run: npu-dump (.*)", workflow)
    parsed = [cli.build_parser().parse_args(shlex.split(command)) for command in commands]
    assert [options.command for options in parsed] == ["doctor", "run", "reference"]


def test_exit_codes() -> None:
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    assert codes == {cli.EXIT_OK, cli.EXIT_COULD_NOT, cli.EXIT_INTERRUPTED}


def test_the_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, llama: Any, ids: Callable[..., torch.Tensor]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, Any] = {"model": llama, "inputs": {"input_ids": ids(1)}, "logits": torch.ones(4, 7)}
    for block in blocks:  # one after the other, as a reader would
        exec(block, names)  # noqa: S102 - the README's own code
    assert names["mlp"].shape == (9, 32)


def test_public_names() -> None:
    assert set(npu_dump.__all__) == {
        *("Dump", "DumpError", "DumpFile", "DumpWriter", "Limits", "WeightFinding"),
        *("__version__", "check_weights", "load"),
    }
    assert dir(npu_dump) == sorted(npu_dump.__all__)
    for name in npu_dump.__all__:
        assert getattr(npu_dump, name) is not None
    with pytest.raises(AttributeError):
        _ = npu_dump.absent
