"""A tiny Llama as torch exports it, its reference dump, and the command and the analyzer as users run them."""

from __future__ import annotations

import json
import subprocess
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from npu_dump.cli import main

from ..architectures import build
from ..command import run
from ..conftest import save_tokenizer

# onnx is in the newest of the environments alone: what it does with a model does not depend on torch.
collect_ignore_glob = [] if int(transformers.__version__.partition(".")[0]) >= 5 else ["test_*.py"]

MAIN = Path(__file__).parents[3] / "dist" / "cli" / "main.js"
LAYERS = 3
PROMPTS = "The capital of France is\nthe sea is wide, and the sea is\nParis, größer als 巴黎\n"


@dataclass(frozen=True)
class Exported:
    """A model in three forms: for transformers, as an ONNX file, and what transformers computes."""

    model: Any
    folder: Path
    prompts: Path
    onnx: Path
    reference: Path


class _Decoder(torch.nn.Module):
    """Logits of token ids, without a cache: what an exporter can trace, under the model's own names."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model, self.lm_head = model.model, model.lm_head

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        found = self.model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False)
        return self.lm_head(found.last_hidden_state)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("exported")
    save_tokenizer(folder)
    model = build(num_hidden_layers=LAYERS)
    model.save_pretrained(folder)
    names = ["input_ids", "attention_mask", "position_ids"]
    ids = torch.arange(8)[None]
    with warnings.catch_warnings():
        # Of the tracer, and that torch has a newer exporter, which needs a package more.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Decoder(model),
            (ids, torch.ones_like(ids), ids),
            str(folder / "model.onnx"),
            dynamo=False,
            input_names=names,
            output_names=["logits"],
            dynamic_axes={name: {0: "batch", 1: "tokens"} for name in [*names, "logits"]},
        )
    prompts = folder / "prompts.txt"
    prompts.write_text(PROMPTS, encoding="utf-8")
    reference = folder / "reference.arrow"
    assert run("--model", folder, "--prompts", prompts, "-o", reference) == 0
    return Exported(model, folder, prompts, folder / "model.onnx", reference)


@pytest.fixture
def capture(tmp_path: Path) -> Callable[..., Path]:
    """Runs the command, which must succeed, and returns the dump."""
    made: list[Path] = []

    def run_it(model: Path, *arguments: object) -> Path:
        made.append(tmp_path / f"{len(made)}.arrow")
        assert main(["onnx", str(model), "-o", str(made[-1]), *map(str, arguments)]) == 0
        return made[-1]

    return run_it


def compared(reference: Path, candidate: Path) -> tuple[int, Any]:
    """What the analyzer says: its exit code and its result."""
    command = ["node", str(MAIN), "compare", str(reference), str(candidate), "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ran.stdout, ran.stderr
    return ran.returncode, json.loads(ran.stdout)
