"""Real exhaustion: a limit on the process's address space, in the forward and in the copy that a hook makes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from npu_dump import DumpWriter

from .conftest import build
from .test_safety import recovered

VOCABULARY = 1 << 20
TOKENS = 64
LOGITS = TOKENS * VOCABULARY * 4

# The program as it is, but with so many bytes left once the model is loaded; says where the memory ran out.
PROGRAM = """
    import resource, sys
    from npu_dump import cli, dump, models

    load, copy = models.load_model, dump._on_host

    def loaded(*arguments, **options):
        model = load(*arguments, **options)
        pages = int(open("/proc/self/statm").read().split()[0])
        limit = pages * resource.getpagesize() + int(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        return model

    def copied(tensor):
        try:
            return copy(tensor)
        except RuntimeError:
            sys.stderr.write("in the hook\\n")
            raise

    models.load_model, dump._on_host = loaded, copied
    sys.exit(cli.main(sys.argv[2:]))
"""


@pytest.fixture(scope="module")
def wide_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose logits are far larger than all else."""
    folder = tmp_path_factory.mktemp("wide")
    model = build(vocab_size=VOCABULARY, hidden_size=8, num_attention_heads=2, tie_word_embeddings=True)
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("spare", "in_hook"), [(LOGITS, False), (2 * LOGITS, True)])
def test_no_memory_is_an_error_with_three_parts_and_keeps_what_was_captured(
    tmp_path: Path, wide_model: Path, spare: int, in_hook: bool
) -> None:
    """The logits fit once beside what else is there, or not at all; their copy does not."""
    with DumpWriter(tmp_path / "ids.arrow", run={"dtype": "F32"}) as writer:
        writer.write("input_ids", np.arange(4), sample=0)
        writer.write("input_ids", np.arange(TOKENS), sample=1)
    arguments = ["--model", str(wide_model), "--tokens-from", "ids.arrow", "--threads", "1", "-o", "a.arrow"]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(spare), "run", *arguments],
        cwd=tmp_path,
        # Otherwise glibc reserves 128 MiB for the writer's thread, or not, as it comes.
        env=os.environ | {"MALLOC_ARENA_MAX": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "error[out-of-memory]: memory ran out\n" in done.stderr
    assert "can't allocate memory" in done.stderr
    assert "\n  help: use a smaller --batch" in done.stderr
    assert "Traceback" not in done.stderr
    assert ("in the hook" in done.stderr) == in_hook
    assert not (tmp_path / "a.arrow").exists()
    found = recovered(tmp_path / "a.arrow.partial")
    assert {("logits", 0, 0), ("layers.2", 1, 0)} <= found
    assert ("logits", 1, 0) not in found
