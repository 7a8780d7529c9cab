"""The model, the texts, and both programs as a user runs them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
# Half a gigabyte of keys and values is plenty for these prompts.
ENGINE = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}


@dataclass(frozen=True)
class Ran:
    """How a program ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ran]


def _run(command: list[str], env: Mapping[str, str]) -> Ran:
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | env, timeout=900)
    assert "Traceback" not in done.stderr or done.returncode == 0 or "error[" in done.stderr, done.stderr[-4000:]
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def npu_dump() -> Run:
    """``npu_dump("run", ..., env={...})``."""

    def run(*arguments: object, env: Mapping[str, str] | None = None) -> Ran:
        return _run([sys.executable, "-m", "npu_dump", *map(str, arguments)], ENGINE | dict(env or {}))

    return run


@pytest.fixture(scope="session")
def npu_diff() -> Run:
    """``npu_diff("compare", ...)``; prints JSON where it compares."""

    def run(command: str, *arguments: object) -> Ran:
        json_too = ["--json"] if command == "compare" else []
        program = str(ROOT / "dist" / "cli" / "main.js")
        return _run(["node", program, command, *map(str, arguments), *json_too], {})

    return run


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="session")
def model(work: Path) -> Path:
    """SmolLM2-135M-Instruct, in bfloat16, written so that transformers 4 reads it as transformers 5 does.

    The newer one writes the rotary base into ``rope_parameters`` alone, and older engines then take 10,000; and it
    names a class of tokenizers that the older one does not have.
    """
    source, folder = Path(os.environ["NPU_DUMP_TEST_MODEL"]), work / "SmolLM2-135M-Instruct"
    folder.mkdir()
    for file in source.iterdir():
        (folder / file.name).symlink_to(file)
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    tokenizer = json.loads((source / "tokenizer_config.json").read_text(encoding="utf-8"))
    changed = {
        "config.json": config | {"rope_theta": config["rope_parameters"]["rope_theta"]},
        "tokenizer_config.json": tokenizer | {"tokenizer_class": "PreTrainedTokenizerFast"},
    }
    for name, values in changed.items():
        (folder / name).unlink()
        (folder / name).write_text(json.dumps(values), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def passages(work: Path) -> Path:
    """The first passages of the demo, all 30 (2,562 tokens) with ``NPU_DUMP_TEST_PASSAGES=30``."""
    count = int(os.environ.get("NPU_DUMP_TEST_PASSAGES", "8"))
    lines = (ROOT / "demo" / "passages.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) >= count
    path = work / "passages.jsonl"
    path.write_text("\n".join(lines[:count]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def faulty(work: Path) -> Callable[[str], dict[str, str]]:
    """The environment that puts a fault into vLLM: a package beside it that its plugin mechanism finds."""
    folder = work / "plugin"
    facts = folder / "faulty_llama-1.0.dist-info"
    facts.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("faulty_llama.py"), folder)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty-llama\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[vllm.general_plugins]\nfaulty_llama = faulty_llama:register\n")
    folders = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return lambda fault: {"PYTHONPATH": folders, "NPU_DUMP_TEST_FAULT": fault}


@pytest.fixture(scope="session")
def prompts(work: Path) -> Path:
    """Eight prompts of 3 to 40 tokens."""
    texts = [
        "Water boils at",
        "The capital of France is",
        "Artificial intelligence is",
        "Python is a programming language that lets you work quickly and",
        "def fibonacci(n):\n    if n < 2:\n        return n\n    return",
        "1 2 3 4 5 6 7",
        "Once upon a time in a land far away there lived a small dragon who did not like fire, and every morning",
        "In 1969 the first humans landed on the Moon, the only natural satellite of the Earth. They were called",
    ]
    path = work / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts), encoding="utf-8")
    return path
