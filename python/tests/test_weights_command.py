"""`npu-dump weights`: exit codes, streams, and what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from npu_dump.cli import main

from .conftest import build


def weights(*arguments: object) -> int:
    return main(["weights", *map(str, arguments)])


def test_the_command_on_a_clean_model(model_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert weights("--model", model_folder) == 0
    out, err = capfd.readouterr()
    assert out.splitlines()[-1] == "the model holds what the checkpoint says"
    assert "tied" in err
    assert weights("--model", model_folder, "--dtype", "bfloat16", "--json") == 0
    report = json.loads(capfd.readouterr().out)
    stored = load_file(model_folder / "model.safetensors")
    assert report["findings"] == []
    assert report["model"] == {"id": model_folder.name, "architecture": "LlamaForCausalLM"}
    assert report["compared"]["count"] == len(stored)
    assert report["compared"]["bytes"] == sum(value.nbytes for value in stored.values())


def test_the_command_names_what_is_wrong(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A tensor that is missing does not keep the model from being loaded here."""
    build().save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["model.layers.1.self_attn.q_proj.weight"]
    tensors["evil\x1b[31m.weight"] = torch.ones(2)
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert weights("--model", tmp_path) == 1
    out = capfd.readouterr().out
    assert "error[weights/missing]: model.layers.1.self_attn.q_proj.weight" in out
    assert "warning[weights/unused]: evil\\x1b[31m.weight" in out
    assert out.splitlines()[-1] == "the model does not hold what the checkpoint says: 1 error, 1 warning"
    assert weights("--model", tmp_path, "--json") == 1
    report = json.loads(capfd.readouterr().out)
    assert [finding["rule"] for finding in report["findings"]] == ["weights/missing", "weights/unused"]


def test_the_command_on_files_that_cannot_be_loaded(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    build().save_pretrained(tmp_path, max_shard_size="40KB")
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    shards[0].unlink()
    shards[1].write_bytes(shards[1].read_bytes()[:200])
    assert weights("--model", tmp_path) == 1
    out = capfd.readouterr().out
    assert f"error[weights/shard-absent]: {shards[0].name}" in out
    assert f"error[weights/shard-damaged]: {shards[1].name}" in out


def test_what_cannot_be_compared_is_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    build().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    assert weights("--model", tmp_path) == 2
    assert "error[checkpoint-unsupported]" in capfd.readouterr().err
    gguf = tmp_path / "model.gguf"
    gguf.write_bytes(b"GGUF")
    assert weights("--model", gguf) == 2
    assert "error[checkpoint-unsupported]" in capfd.readouterr().err
