"""The Python and the commands of the repository's front page and guides run as they stand."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from npu_dump import Dump, load
from npu_dump.cli import build_parser

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "README.zh.md", "docs/recipes/README.md", "python/README.md"]


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def python_of(page: str) -> str:
    """The only block of Python of a page."""
    (block,) = re.findall(r"```python\n(.*?)```", text_of(page), re.DOTALL)
    return block


def test_a_model_is_captured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, llama: Any, ids: Callable[..., torch.Tensor]
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(python_of("README.md"), {"model": llama, "inputs": {"input_ids": ids(1)}})  # noqa: S102 - our own page
    expected = llama(input_ids=ids(1)).logits[0].detach().numpy()
    np.testing.assert_array_equal(load("npu.arrow")["logits", 0, 0], expected)


def test_a_dump_is_read_with_pyarrow_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, llama: Any, ids: Callable[..., torch.Tensor]
) -> None:
    monkeypatch.chdir(tmp_path)
    reading = python_of("docs/formats.md")
    assert "npu_dump" not in reading
    layer = len(llama.model.layers) - 1
    with Dump(llama, "cpu.arrow") as dump:
        kept: list[torch.Tensor] = []
        hook = llama.model.layers[layer].mlp.register_forward_hook(lambda _m, _a, output: kept.append(output[0]))
        dump.model(input_ids=ids(1))
        hook.remove()
    names: dict[str, Any] = {}
    exec(reading.replace("layers.3.mlp", f"layers.{layer}.mlp"), names)  # noqa: S102 - our own page
    np.testing.assert_array_equal(names["mlp"], kept[0].detach().numpy())


@pytest.mark.parametrize("page", PAGES)
def test_no_command_is_refused_for_its_options(page: str) -> None:
    blocks = re.findall(r"^ *```(?:sh)?\n(.*?)^ *```$", text_of(page), re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", "").splitlines()
    commands = [shlex.split(line, comments=True) for line in lines if line.strip().startswith("npu-dump ")]
    assert commands
    for command in commands:
        build_parser().parse_args(command[1:])
