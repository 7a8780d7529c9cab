"""`npu-dump run` on a folder of every architecture, prompt by prompt and in padded batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from npu_dump import DumpFile, load
from npu_dump.cli import main

from .architectures import Architecture
from .conftest import save_tokenizer

TEXTS = {"input_ids", "prompt", "token_text"}
# Relative to a token's row. Seen: 75 units of the last place of float32 (2**-24); this is 256 of them.
ROUNDING = 2.0**-16
PROMPTS = ("the capital of France is Paris", "the sea", "Paris, and the sea is wide")


@pytest.fixture
def folder(tmp_path: Path, architecture: Architecture) -> Path:
    path = tmp_path / "model"
    save_tokenizer(path)
    architecture.model().save_pretrained(path)
    return path


def run(folder: Path, name: str, *options: object, prompts: Sequence[str] = PROMPTS) -> DumpFile:
    file, output = folder.parent / "prompts.txt", folder.parent / f"{name}.arrow"
    file.write_text("\n".join(prompts), encoding="utf-8")
    arguments = ["--model", folder, "-o", output, "--prompts", file, "--trust-remote-code", *options]
    assert main(["run", *map(str, arguments)]) == 0
    return load(output)


def distance(x: np.ndarray, y: np.ndarray) -> float:
    """The largest relative distance of two rows."""
    return float((np.linalg.norm(x - y, axis=-1) / np.linalg.norm(x, axis=-1)).max())


def test_the_program_captures_what_the_model_computes(folder: Path, architecture: Architecture) -> None:
    dump = run(folder, "single")
    model = architecture.model()
    assert dump.samples() == [0, 1, 2]
    for sample in dump.samples():
        with torch.no_grad():
            logits = model(torch.tensor(dump["input_ids", sample, 0])[None]).logits[0]
        assert distance(logits.numpy(), dump["logits", sample, 0]) < ROUNDING
    assert dump.run["model"]["residual"] == architecture.residual


def test_padded_batches_give_what_single_prompts_give(folder: Path) -> None:
    """To the rounding of float32: other shapes sum up in another order, and two blocks may nearly cancel out."""
    single = run(folder, "single")
    for side in ("left", "right"):
        batch = run(folder, side, "--batch", 3, "--padding-side", side)
        assert set(batch) == set(single)
        for key in single:
            if key[0] in TEXTS:
                assert np.array_equal(single[key], batch[key]), key
            else:
                assert distance(single[key], batch[key]) < ROUNDING, (side, key)


def test_padding_that_is_not_masked_would_show(folder: Path, architecture: Architecture) -> None:
    """The other side of the bound above: one token seen too many is a thousand times beyond it."""
    ids = run(folder, "single")["input_ids", 1, 0]
    model = architecture.model()
    with torch.no_grad():
        alone, seen = (model(torch.tensor([[*more, *ids]])).logits[0, -len(ids) :].numpy() for more in ([], [0]))
    assert distance(alone, seen) > 1000 * ROUNDING
