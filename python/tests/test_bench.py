"""The bench that the front page quotes still runs and says what it should; how fast, no test can tell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .architectures import VOCABULARY

BENCH = Path(__file__).parents[2] / "bench" / "capture.py"
MODES = ["stats", "hidden", "topk", "full"]
TOKENS, PROMPTS = 700, 2


def test_the_bench_has_a_row_for_every_mode_and_number_format(model_folder: Path, tmp_path: Path) -> None:
    options = ["--tokens", TOKENS, "--prompts", PROMPTS, "--rounds", 1, "--threads", 1, "--folder", tmp_path]
    done = subprocess.run(
        [sys.executable, BENCH, model_folder, *map(str, options)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())
    tables = done.stdout.strip().split("\n\n")
    assert [table.split(",")[0] for table in tables] == ["float32", "bfloat16"]
    for table, itemsize in zip(tables, (4, 2), strict=True):
        lines = table.splitlines()
        assert lines[0].endswith(f"{PROMPTS} prompts of {TOKENS} tokens, 1 threads, 1 rounds")
        rows = [(line[:14], line[14:].split()) for line in lines[2:] if not line.startswith("memory")]
        assert [name.strip() for name, _ in rows] == ["bare forward"] + [n for m in MODES for n in (m, "writing")]
        captures, plain = dict(rows[1::2]), [values for _, values in rows[2::2]]
        size = {name.strip(): float(values[0]) for name, values in captures.items()}
        assert [values[0] for values in plain] == [values[0] for values in captures.values()]
        # What full has beyond hidden is the logits; figures are shown to a tenth.
        logits = PROMPTS * TOKENS * VOCABULARY * itemsize / (1 << 20)
        assert size["full"] - size["hidden"] == pytest.approx(logits, abs=0.15)
        assert size["stats"] < size["hidden"] < size["topk"]
        for name, values in captures.items():
            seconds, fastest, overhead, best = values[1:5]
            assert (seconds, overhead) == (fastest, best)  # of one round
            assert float(seconds) > 0
            assert (values[-1] in ("pass", "miss")) == (name.strip() in ("stats", "hidden"))
        assert [line.split(":")[0] for line in lines if line.startswith("memory")] == [f"memory, {m}" for m in MODES]
