"""Makes the pair of dumps of a case: of what is made up, or of a real model."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from npu_dump import DumpWriter

from .failure import Failure
from .synthetic import Source

ROOT = Path(__file__).parents[2]
MODEL = ROOT / ".cache" / "SmolLM2-135M-Instruct"
SIDES = ("reference", "candidate")


@dataclass(frozen=True)
class Captured:
    """A real pair: SmolLM2-135M-Instruct on the demo's passages, all layers and logits, float32 against bfloat16."""

    # 92 hidden states of 576 channels and 49,152 logits, of about 2,200 tokens.
    elements: int = (92 * 576 + 49_152) * 2_200
    formats: tuple[str, str] = ("F32", "BF16")


def write(source: Source | Captured, folder: Path) -> None:
    """Write `reference.arrow` and `candidate.arrow` into the folder, always the same values.

    Raises:
        Failure: the model is not there, or the capture did not end well.
    """
    if isinstance(source, Captured):
        _capture(source, folder)
        return
    writers = [
        DumpWriter(
            folder / f"{side}.arrow",
            run={"model": source.model, "device": {"type": "cpu"}, "engine": {"name": "random"}, "dtype": dtype},
        )
        for side, dtype in zip(SIDES, source.formats, strict=True)
    ]
    with writers[0], writers[1]:
        for name, sample, *pair in source.pieces(np.random.default_rng(0)):
            for writer, values, dtype in zip(writers, pair, source.formats, strict=True):
                if values.dtype == np.uint16:
                    raw = np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
                    writer.write(name, raw, sample=sample, dtype=dtype, shape=values.shape)
                else:
                    writer.write(name, values, sample=sample)


def _capture(source: Captured, folder: Path) -> None:
    if not (MODEL / "config.json").exists():
        raise Failure(
            "the model of the real pair is not there",
            facts=[("needed", MODEL.relative_to(ROOT)), ("found", "no config.json in it")],
            help="make it with `node scripts/model.mjs`, or choose other cases with --only",
        )
    names = {"F32": "float32", "BF16": "bfloat16"}
    for side, dtype in zip(SIDES, source.formats, strict=True):
        command = [sys.executable, "-m", "npu_dump", "run", "--model", MODEL, "--dtype", names[dtype]]
        if side == "reference":
            command += ["--prompts", ROOT / "demo" / "passages.jsonl"]
        else:
            command += ["--tokens-from", folder / "reference.arrow"]
        done = subprocess.run(
            [*map(str, command), "--no-progress", "-o", str(folder / f"{side}.arrow")],
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise Failure(
                f"the {side} of the real pair could not be captured",
                facts=[("exit code", done.returncode), ("said", done.stderr.strip()[-2000:])],
                help="see what npu-dump said",
            )
