"""Decode steps and replay of every architecture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from npu_dump import Dump, load
from npu_dump.cache import needs_hybrid_cache
from npu_dump.cli import main

from .architectures import Architecture
from .conftest import differing, disturbed, module_of
from .test_architectures import capture
from .test_architectures_cli import PROMPTS, ROUNDING, distance, folder, run

__all__ = ["folder"]
Ids = Callable[..., torch.Tensor]
STEPS = 3


def test_decode_steps_continue_the_prompt(tmp_path: Path, folder: Path, architecture: Architecture) -> None:
    """Step by step with a cache, in batches or not, is what one forward over all tokens gives."""
    model = architecture.model()
    # Where decoding fills a window, this cache of older transformers loses a token: begin beyond the window.
    prompts = [PROMPTS[0], PROMPTS[2], PROMPTS[2][2:]] if needs_hybrid_cache(model) else PROMPTS
    single = run(folder, "single", "--decode", STEPS, prompts=prompts)
    batch = run(folder, "batch", "--decode", STEPS, "--batch", 3, prompts=prompts)
    for sample in single.samples():
        steps = [step for step in range(1, STEPS + 1) if ("input_ids", sample, step) in single]
        assert steps
        fed = [single["input_ids", sample, step] for step in (0, *steps)]
        assert [len(ids) for ids in fed[1:]] == [1] * len(steps)
        # Fed is the most likely token of the step before.
        assert [single["logits", sample, step - 1][-1].argmax() for step in steps] == [int(ids[0]) for ids in fed[1:]]
        whole = capture(tmp_path / f"{sample}.arrow", model, torch.tensor(np.concatenate(fed))[None])
        for name, _, _ in whole:
            rows = whole[name, 0, 0]
            for step in steps:
                for decoded in (single, batch):
                    found, expected = decoded[name, sample, step], rows[len(fed[0]) + step - 1][None]
                    if name == "input_ids":
                        assert np.array_equal(found, expected)
                    else:
                        assert distance(expected, found) < ROUNDING, (name, sample, step)


def test_a_replay_of_itself_changes_no_bit(folder: Path) -> None:
    single = run(folder, "single", "--decode", STEPS)
    output = folder.parent / "replay.arrow"
    arguments = [
        folder.parent / "single.arrow",
        "--model",
        folder,
        "-o",
        output,
        "--dtype",
        "float32",
        "--trust-remote-code",
    ]
    assert main(["replay", *map(str, arguments), "--dtype", "float32"]) == 0
    replayed = load(output)
    texts = {"prompt", "token_text"}
    for key in single:
        if key[0] not in texts and not key[0].startswith("generated_"):
            assert np.array_equal(single[key], replayed[key]), key


def test_a_replay_shows_a_fault_where_it_is_alone(tmp_path: Path, architecture: Architecture, ids: Ids) -> None:
    """A block of layer 1 that is wrong shows there, and nowhere after it: no error is inherited."""
    model, inputs = architecture.model(), ids(2, 9)
    clean = capture(tmp_path / "clean.arrow", model, inputs)
    name = f"layers.1.{architecture.roles[-1]}"
    with disturbed(model, module_of(tmp_path / "clean.arrow", name)), torch.no_grad():
        plain = capture(tmp_path / "plain.arrow", model, inputs)
        with Dump(model, tmp_path / "replay.arrow", replay=tmp_path / "clean.arrow"):
            model(inputs)
    assert differing(clean, plain) > {name, "layers.1", "layers.2", "logits"}
    assert differing(clean, load(tmp_path / "replay.arrow")) == {name}
