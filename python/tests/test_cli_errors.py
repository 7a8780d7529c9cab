"""What the program says when it cannot: three parts, exit code 2, and nothing left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from npu_dump import DumpWriter, load
from npu_dump.cli import main

from .command import COMMAND, run, told_error
from .conftest import build


def refused(capfd: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The error of a command that must fail, after looking at its form."""
    assert run(*arguments) == 2
    return told_error(capfd)


def test_usage_errors(tmp_path: Path, model_folder: Path, prompts: Path, capfd: pytest.CaptureFixture[str]) -> None:
    base = ("--model", model_folder, "-o", tmp_path / "a.arrow")
    given = (*base, "--prompts", prompts)
    for arguments, text in [
        (base, "--prompts"),
        ((*given, "--text", prompts), "not allowed with"),
        ((*given, "--batch", "0"), "'0' is not a whole number from 1"),
        ((*given, "--batch", "1.5"), "'1.5' is not a whole number from 1"),
        ((*given, "--generate", "nan"), "'nan' is not"),
        ((*given, "--generate", 1, "--temperature", "NaN"), "'NaN' is not a number above 0"),
        ((*given, "--generate", 1, "--temperature", "inf"), "'inf' is not"),
        ((*given, "--generate", 1, "--temperature", 1, "--top-p", "1.1"), "'1.1' is not"),
        ((*given, "--generate", 1, "--top-p", "0.5"), "--temperature"),
        ((*given, "--temperature", 1), "--generate"),
        ((*given, "--dtype", "float8"), "float8"),
        ((*given, "--padding-side", "middle"), "middle"),
        ((*given, "--batc", "2"), "--batc"),
        ((*given, "--\x1b[31m"), "\\x1b[31m"),
        (("--model", model_folder, "--tokens-from", "x.arrow", "--chat", "-o", tmp_path / "a.arrow"), "--chat"),
    ]:
        error = refused(capfd, *arguments)
        assert error.startswith("error[usage]"), error
        assert text in error
    assert main([]) == 2
    assert main(["walk"]) == 2
    assert not (tmp_path / "a.arrow").exists()


def test_input_errors(
    tmp_path: Path, model_folder: Path, prompts: Path, dump: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = ("-o", tmp_path / "b.arrow")
    with_prompts = (*out, "--prompts", prompts)
    empty = tmp_path / "empty"
    empty.mkdir()
    long = tmp_path / "long.txt"
    long.write_text("sea " * 100, encoding="utf-8")
    small = tmp_path / "small"
    build(vocab_size=150).save_pretrained(small)
    capfd.readouterr()
    for arguments, code, text in [
        (("--model", "no/such-model", *with_prompts), "model-absent", "--allow-download"),
        (("--model", "../\x07 no", *with_prompts), "model-absent", "\\x07"),
        (("--model", empty, *with_prompts), "model-unknown", "config.json"),
        (("--model", prompts, *with_prompts), "model-unknown", "GGUF"),
        (("--model", small, *with_prompts), "model-unreadable", "tokenizer"),
        (("--model", small, *out, "--tokens-from", dump), "token-range", "150"),
        (("--model", model_folder, *out, "--prompts", tmp_path / "absent"), "prompts-unreadable", "absent"),
        (("--model", model_folder, *out, "--prompts", long), "prompt-long", "64"),
        (("--model", model_folder, *out, "--tokens-from", prompts), "dump-incomplete", "prompts.txt"),
        (("--model", model_folder, *with_prompts, "--device", "npu:0"), "device-absent", "torch_npu"),
        (("--model", model_folder, *with_prompts, "--attn", "flash_attention_9"), "model-unreadable", "--attn"),
        (("--model", model_folder, *with_prompts, "--select", "layer.1"), "select-empty", "layers.1"),
        (("--model", model_folder, "-o", tmp_path / "b.bin", "--prompts", prompts), "output-name", ".arrow"),
        (("--model", model_folder, "-o", tmp_path / "no" / "b.arrow", "--prompts", prompts), "output-folder", "no"),
        (("--model", model_folder, "-o", dump, "--prompts", prompts), "output-exists", "--force"),
    ]:
        error = refused(capfd, *arguments)
        assert error.startswith(f"error[{code}]"), error
        assert text in error
    assert not list(tmp_path.glob("b.*"))
    assert run("--model", model_folder, "-o", dump, "--prompts", prompts, "--force") == 0


@pytest.mark.parametrize(
    ("tensors", "code"),
    [
        ({}, "tokens-missing"),
        ({"logits": np.ones((2, 3), "<f4")}, "tokens-missing"),
        ({"input_ids": np.array(3)}, "tokens-invalid"),
        ({"input_ids": np.ones((2, 2), "<i8")}, "tokens-invalid"),
        ({"input_ids": np.ones(2, "<f4")}, "tokens-invalid"),
        ({"input_ids": np.ones(2, "<i8"), "position_ids": np.ones(3, "<i8")}, "tokens-invalid"),
        ({"input_ids": np.ones(0, "<i8")}, "prompt-empty"),
        ({"input_ids": np.array([-1])}, "token-range"),
    ],
)
def test_dumps_without_proper_tokens_are_refused(
    tmp_path: Path, model_folder: Path, capfd: pytest.CaptureFixture[str], tensors: dict[str, Any], code: str
) -> None:
    with DumpWriter(tmp_path / "a.arrow", run={"dtype": "F32", "expect": {"0": "no list"}}) as writer:
        for name, value in tensors.items():
            writer.write(name, value)
    arguments = ("--model", model_folder, "--tokens-from", tmp_path / "a.arrow", "-o", tmp_path / "b.arrow")
    assert refused(capfd, *arguments).startswith(f"error[{code}]")


def test_a_model_that_fails_is_an_error_with_three_parts(
    tmp_path: Path,
    model_folder: Path,
    prompts: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("operator not implemented for 'Half'\nsecond line")

    monkeypatch.setattr(torch.nn.Embedding, "forward", fails)
    error = refused(capfd, "--model", model_folder, "-o", tmp_path / "a.arrow", "--prompts", prompts)
    assert "not implemented for 'Half'" in error
    assert list(tmp_path.glob("a.*")) == []


def test_what_nobody_foresaw_is_an_error_too(
    tmp_path: Path,
    model_folder: Path,
    prompts: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: Any) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr("npu_dump.run.read_samples", fails)
    arguments = ("--model", model_folder, "-o", tmp_path / "a.arrow", "--prompts", prompts)
    assert refused(capfd, *arguments).startswith("error[internal]")
    monkeypatch.setenv("NPU_DUMP_DEBUG", "1")
    with pytest.raises(KeyError):
        run(*arguments)


def test_missing_weights_are_an_error(
    tmp_path: Path, model_folder: Path, prompts: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "incomplete"
    shutil.copytree(model_folder, folder)
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    weights["stray"] = torch.ones(1)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    error = refused(capfd, "--model", folder, "-o", tmp_path / "a.arrow", "--prompts", prompts)
    assert error.startswith("error[weights-incomplete]: 1 weights of the model")
    assert "model.layers.1.mlp.up_proj.weight" in error


def test_a_dump_that_would_not_fit_is_refused_before_the_run(
    tmp_path: Path,
    model_folder: Path,
    prompts: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    error = refused(capfd, "--model", model_folder, "-o", tmp_path / "a.arrow", "--prompts", prompts)
    assert error.startswith("error[disk-full]")
    assert not (tmp_path / "a.arrow.partial").exists()


def test_the_estimate_is_near_the_truth(
    tmp_path: Path, model_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    dump, text = tmp_path / "a.arrow", tmp_path / "t.txt"
    text.write_text("the capital of France is Paris and the sea is wide. " * 500, encoding="utf-8")
    assert run("--model", model_folder, "-o", dump, "--text", text, "--chunk", 64) == 0
    told = next(line for line in capfd.readouterr().err.split("\n") if "to write" in line)
    estimate = float(told.split("about ")[1].split(" MiB")[0]) * (1 << 20)
    assert estimate == pytest.approx(dump.stat().st_size, rel=0.1)


def test_out_of_memory_is_an_error_with_three_parts(
    tmp_path: Path,
    model_folder: Path,
    prompts: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def exhausted(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("NPU out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr("npu_dump.feed.Feeder.feed", exhausted)
    error = refused(capfd, "--model", model_folder, "-o", tmp_path / "a.arrow", "--prompts", prompts)
    assert error.startswith("error[out-of-memory]")
    assert "--batch" in error


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_ctrl_c_keeps_complete_batches_and_says_how_to_recover(tmp_path: Path, model_folder: Path) -> None:
    many = tmp_path / "many.txt"
    many.write_text("the capital of France is Paris\n" * 20_000, encoding="utf-8")
    process = subprocess.Popen(
        [*COMMAND, "run", "--model", model_folder, "-o", tmp_path / "a.arrow", "--prompts", many],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    partial = tmp_path / "a.arrow.partial"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (partial.exists() and partial.stat().st_size > 100_000):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert "npu-diff repair a.arrow.partial" in err
    assert "Traceback" not in err
    assert not (tmp_path / "a.arrow").exists()
    assert partial.exists()


def test_a_closed_pipe_ends_quietly(tmp_path: Path, model_folder: Path, prompts: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*COMMAND, "run", "--model", model_folder, "-o", tmp_path / "a.arrow", "--prompts", prompts],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
    assert load(tmp_path / "a.arrow").end["complete"] is True


def test_what_libraries_print_does_not_reach_stdout(
    tmp_path: Path,
    model_folder: Path,
    prompts: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import npu_dump.models

    load_model = npu_dump.models.load_model

    def chatty(*arguments: Any, **options: Any) -> Any:
        sys.stdout.write("printed by a library\n")
        os.write(1, b"written by a C library\n")
        return load_model(*arguments, **options)

    monkeypatch.setattr(npu_dump.models, "load_model", chatty)
    assert run("--model", model_folder, "-o", tmp_path / "a.arrow", "--prompts", prompts) == 0
    out, err = capfd.readouterr()
    assert out == f"{tmp_path / 'a.arrow'}\n"
    assert "printed by a library" in err
    assert "written by a C library" in err
