"""The Python on the repository's front page runs as it stands."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from npu_dump import Dump

FRONT_PAGE = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_a_dump_is_read_with_pyarrow_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, llama: Any, ids: Callable[..., torch.Tensor]
) -> None:
    monkeypatch.chdir(tmp_path)
    capture, reading = re.findall(r"```python\n(.*?)```", FRONT_PAGE, re.DOTALL)
    assert "npu_dump" in capture
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
