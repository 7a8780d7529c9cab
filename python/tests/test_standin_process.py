"""Tests that need an NPU are run in a process with a stand-in, or named as not run; never passed over in silence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils import backend_registration

HERE = Path(__file__).parent
MECHANISM = "_setup_privateuseone_for_python_backend"


def run_pytest(*arguments: object) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=HERE.parent,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_stand_in_is_left_out_on_old_torch_alone() -> None:
    version = tuple(map(int, torch.__version__.split(".")[:2]))
    assert hasattr(backend_registration, MECHANISM) is (version >= (2, 10))


def test_what_is_left_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin that takes the mechanism away stands for a torch that lacks it."""
    (tmp_path / "old_torch.py").write_text(
        "from torch.utils import backend_registration as module\n"
        f"if hasattr(module, '{MECHANISM}'): del module.{MECHANISM}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    code, told = run_pytest("-p", "old_torch", "tests/test_npu_standin.py", "-k", "device_type or memory_ends")
    assert code == pytest.ExitCode.NO_TESTS_COLLECTED
    assert f"OMITTED 2 tests: torch {torch.__version__} has no" in told
    assert "OMITTED tests/test_npu_standin.py::test_it_is_a_device_type_of_its_own\n" in told
    assert "OMITTED tests/test_npu_standin.py::test_its_memory_ends\n" in told


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("assert 1 == 2", "assert 1 == 2"),
        ("import os; os._exit(7)", "did not get to the end of this test: exit code 7"),
    ],
)
def test_a_failure_in_the_other_process_is_a_failure_here(tmp_path: Path, body: str, told: str) -> None:
    if not hasattr(backend_registration, MECHANISM):
        body, told = "pass", "OMITTED 2 tests"
    (tmp_path / "conftest.py").write_text(
        "from tests.standin import process\n\n\n"
        "def pytest_configure(config):\n    config.pluginmanager.register(process, 'standin')\n"
    )
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {HERE.parent}\n")
    (tmp_path / "test_npu_it.py").write_text(
        "import torch\n\n\ndef test_good():\n    assert torch.empty(1, device='npu').device.type == 'npu'\n"
        f"\n\ndef test_bad():\n    {body}\n"
    )
    code, output = run_pytest("--rootdir", tmp_path, tmp_path / "test_npu_it.py")
    assert code != 0
    assert told in output
    if hasattr(backend_registration, MECHANISM):
        assert "1 failed, 1 passed" in output
