"""Devices by name, and what an absent one needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from npu_dump import DumpError
from npu_dump.devices import describe, is_out_of_memory, resolve


def refusal(name: str) -> DumpError:
    with pytest.raises(DumpError) as caught:
        resolve(name)
    return caught.value


def test_the_cpu_is_always_there() -> None:
    assert resolve("cpu") == torch.device("cpu")
    assert describe(torch.device("cpu"))["type"] == "cpu"


@pytest.mark.parametrize("name", ["", "CPU", "tpu", "cuda:", "cuda:-1", "cpu:1", "npu:1:2", "cuda:99999", "npu:٣"])
def test_other_names_are_refused(name: str) -> None:
    error = refusal(name)
    assert error.code == "device-unknown"
    assert ("known", "cpu, cuda:N, npu:N, mps, xpu:N") in error.facts


@pytest.mark.parametrize(
    ("kind", "way_out"), [("cuda", "CUDA build of torch"), ("mps", "Apple silicon"), ("xpu", "XPU build of torch")]
)
def test_an_absent_device_says_what_to_install(monkeypatch: pytest.MonkeyPatch, kind: str, way_out: str) -> None:
    monkeypatch.setattr(getattr(torch, kind), "is_available", lambda: False)
    error = refusal(kind)
    assert error.code == "device-absent"
    assert way_out in error.help


def test_a_device_beyond_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    error = refusal("cuda:2")
    assert error.code == "device-absent"
    assert ("present", "2: cuda:0 to cuda:1") in error.facts


@pytest.fixture
def fake_npu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path for a torch_npu of the test's own."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch_npu", raising=False)
    monkeypatch.setattr(torch, "npu", None, raising=False)
    return tmp_path / "torch_npu.py"


def test_without_torch_npu_its_version_is_named() -> None:
    error = refusal("npu:0")
    version = torch.__version__.split("+")[0]
    assert f"pip install torch_npu=={version}" in error.help
    assert "CANN" in error.help


def test_torch_npu_that_cannot_load_points_to_cann(fake_npu: Path) -> None:
    fake_npu.write_text("raise ImportError('libhccl.so: cannot open shared object file')")
    error = refusal("npu")
    assert ("ImportError", "libhccl.so: cannot open shared object file") in error.facts
    assert "set_env.sh" in error.help


def test_torch_npu_that_torch_cannot_load_by_itself(tmp_path: Path) -> None:
    """As it is installed: with an entry point by which ``import torch`` loads it, whatever device is asked for."""
    (tmp_path / "torch_npu.py").write_text("raise ImportError('libhccl.so: cannot open shared object file')")
    installed = tmp_path / "torch_npu-9.9.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: torch_npu\nVersion: 9.9\n")
    (installed / "entry_points.txt").write_text("[torch.backends]\ntorch_npu = torch_npu:_autoload\n")
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "npu_dump",
            "run",
            "--model",
            "m",
            "-o",
            "a.arrow",
            "--prompts",
            "p",
            "--device",
            "cpu",
        ],
        env={**os.environ, "PYTHONPATH": paths, "TORCH_DEVICE_BACKEND_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error[device-absent]: torch cannot load an extension that brings it a device\n")
    assert "libhccl.so: cannot open shared object file" in done.stderr
    assert "set_env.sh" in done.stderr
    assert "TORCH_DEVICE_BACKEND_AUTOLOAD=0" in done.stderr


def test_a_device_that_is_there_but_held_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    def held(_device: torch.device) -> None:
        raise RuntimeError("CUDA error: CUDA-capable device(s) is/are busy or unavailable\nmore")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", held)
    error = refusal("cuda:0")
    assert error.code == "device-unusable"
    assert ("RuntimeError", "CUDA error: CUDA-capable device(s) is/are busy or unavailable") in error.facts


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("NPU out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("EL0004: [PID: 7] Failed to allocate memory.\nPossible Cause: ..."), True),
        (RuntimeError("error code is 207001\n[Error]: Failed to apply for memory."), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory_is_known_by_every_backend(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected
