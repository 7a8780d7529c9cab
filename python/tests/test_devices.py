"""Devices by name, and what an absent one needs."""

from __future__ import annotations

import subprocess
import sys
import textwrap
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


def test_torch_npu_without_a_device_says_what_to_check(fake_npu: Path) -> None:
    fake_npu.write_text(
        "import torch, types\n__version__ = '9.9'\n"
        "torch.npu = types.SimpleNamespace(is_available=lambda: False, device_count=lambda: 0)\n"
    )
    error = refusal("npu:0")
    assert ("torch_npu", "9.9") in error.facts
    assert "npu-smi info" in error.help
    assert "/dev/davinci" in error.help


def test_an_npu_that_is_there_is_described(tmp_path: Path) -> None:
    """In a process of its own: naming the backend of torch's spare device type cannot be taken back."""
    (tmp_path / "torch_npu.py").write_text(
        textwrap.dedent(
            """
            import types, torch
            torch.utils.rename_privateuse1_backend("npu")
            torch.npu = types.SimpleNamespace(
                is_available=lambda: True,
                device_count=lambda: 2,
                set_device=lambda device: None,
                get_device_properties=lambda device: types.SimpleNamespace(name="Ascend910B2", total_memory=64 << 30),
                get_soc_version=lambda: 222,
                matmul=types.SimpleNamespace(allow_hf32=False),
                conv=types.SimpleNamespace(allow_hf32=True),
                is_jit_compile_false=lambda: True,
            )
            """
        )
    )
    home = tmp_path / "cann"
    (home / "compiler").mkdir(parents=True)
    (home / "compiler" / "version.info").write_text("Version=8.5.1\nversion_dir=8.5\n")
    program = textwrap.dedent(
        """
        from npu_dump.devices import describe, numerics, resolve
        device = resolve("npu:1")
        assert str(device) == "npu:1", device
        assert describe(device) == {
            "type": "npu", "name": "Ascend910B2", "count": 2, "memory_bytes": 64 << 30, "soc": "222", "cann": "8.5.1",
        }, describe(device)
        found = numerics(device)
        expected = {
            "allow_hf32": False, "allow_hf32_conv": True, "jit_compile": False, "hccl_deterministic": True,
        }
        assert expected.items() <= found.items(), found
        """
    )
    environment = {
        "PYTHONPATH": str(tmp_path), "ASCEND_TOOLKIT_HOME": str(home), "HCCL_DETERMINISTIC": "true", "PATH": "",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("NPU out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory_is_known_by_every_backend(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected
