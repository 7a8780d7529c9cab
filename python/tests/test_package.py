"""The wheel and the source distribution: what is in them, and that they work with NumPy and pyarrow alone."""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

import npu_dump

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / "python"
SCRIPTS = "Scripts" if os.name == "nt" else "bin"
VERSION = npu_dump.__version__
INFO = f"npu_dump-{VERSION}.dist-info"


def _build(source: Path, target: str, out: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(out)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = out.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return built


def _modules() -> set[str]:
    source = PYTHON / "src"
    return {
        path.relative_to(source).as_posix()
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build(PYTHON, "wheel", tmp_path_factory.mktemp("wheel"))


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    assert wheel.name == f"npu_dump-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    own = {f"{INFO}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    assert names == _modules() | own
    assert "npu_dump/py.typed" in names
    assert {name.rpartition(".")[2] for name in _modules()} == {"py", "typed"}


def test_what_the_wheel_says_of_itself(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        said = email.message_from_bytes(archive.read(f"{INFO}/METADATA"))
        entries = ConfigParser()
        entries.read_string(archive.read(f"{INFO}/entry_points.txt").decode())
        license_text = archive.read(f"{INFO}/licenses/LICENSE")
    assert (said["Name"], said["Version"], said["Requires-Python"]) == ("npu-dump", VERSION, ">=3.10")
    assert (said["License-Expression"], said["License-File"]) == ("Apache-2.0", "LICENSE")
    assert license_text == (ROOT / "LICENSE").read_bytes()
    needed = [one for one in said.get_all("Requires-Dist", []) if "extra ==" not in one]
    assert needed == ["numpy>=1.24", "pyarrow>=15"]
    assert said.get_all("Provides-Extra") == ["endpoint", "gguf", "onnx", "test", "transformers", "vllm"]
    assert said["Description-Content-Type"] == "text/markdown"
    described = said.get_payload(decode=True)
    assert isinstance(described, bytes)
    assert described.decode("utf-8") == (PYTHON / "README.md").read_text(encoding="utf-8")
    assert {name: dict(entries[name]) for name in entries.sections()} == {
        "console_scripts": {"npu-dump": "npu_dump.cli:main"},
        "pytest11": {"npu-diff": "npu_dump.pytest_plugin"},
    }


def test_the_source_distribution_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    sdist = _build(PYTHON, "sdist", tmp_path)
    name = f"npu_dump-{VERSION}"
    with tarfile.open(sdist) as archive:
        names = {member.name.removeprefix(f"{name}/") for member in archive if member.isfile()}
        archive.extractall(tmp_path, filter="data")
    # hatchling adds the file that says what it leaves out.
    others = {"pyproject.toml", "README.md", "LICENSE", "PKG-INFO", ".gitignore"}
    assert names == {f"src/{module}" for module in _modules()} | others
    assert _build(tmp_path / name, "wheel", tmp_path / "again").read_bytes() == wheel.read_bytes()


@pytest.fixture(scope="module")
def home(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, NumPy and pyarrow, and nothing else."""
    uv = shutil.which("uv") or str(ROOT / ".cache" / "tools" / SCRIPTS / "uv")
    folder = tmp_path_factory.mktemp("home")
    env = folder / "env"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, env], check=True, capture_output=True)
    python = env / SCRIPTS / "python"
    install = ["pip", "install", "--quiet", "--offline", "--no-deps", "--no-config", "--python", python, wheel]
    subprocess.run([uv, *install], check=True, capture_output=True)
    # The two that it needs, as they are installed here.
    needed = folder / "needed"
    needed.mkdir()
    for path in Path(sysconfig.get_path("platlib")).iterdir():
        if path.name.partition(".")[0].partition("-")[0] in {"numpy", "pyarrow"}:
            (needed / path.name).symlink_to(path)
    asked = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    (Path(packages) / "needed.pth").write_text(f"{needed}\n", encoding="utf-8")
    return env


def _run(*words: str | Path) -> tuple[int, str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    ended = subprocess.run(words, capture_output=True, text=True, env=kept, check=False)
    return ended.returncode, ended.stdout, ended.stderr


def test_the_command_is_installed(home: Path) -> None:
    command = home / SCRIPTS / "npu-dump"
    module = [home / SCRIPTS / "python", "-m", "npu_dump"]
    assert _run(command, "--version") == (0, f"npu-dump {VERSION}\n", "")
    assert _run(*module, "--version") == (0, f"npu-dump {VERSION}\n", "")
    code, shown, errors = _run(command, "--help")
    assert (code, errors) == (0, "")
    assert "npu-dump" in shown
    for name in ("run", "vllm", "endpoint", "reference", "replay", "doctor"):
        assert name in shown


def test_what_needs_more_says_so(home: Path, tmp_path: Path) -> None:
    code, _, errors = _run(home / SCRIPTS / "npu-dump", "run", "--model", tmp_path, "-o", tmp_path / "cpu.arrow")
    assert code == 2
    assert errors.startswith("error[")
    assert "Traceback" not in errors


def test_dumps_are_written_and_read_without_torch(home: Path, tmp_path: Path) -> None:
    program = """
import importlib.metadata, importlib.util, sys
import numpy as np
from npu_dump import DumpWriter, load
assert importlib.util.find_spec("torch") is None
tensor = np.arange(6, dtype="f4").reshape(2, 3)
with DumpWriter(sys.argv[1], run={"dtype": "F32"}) as writer:
    writer.write("logits", tensor, sample=0)
assert (load(sys.argv[1])["logits", 0, 0] == tensor).all()
print(importlib.metadata.version("npu-dump"))
"""
    python = home / SCRIPTS / "python"
    assert _run(python, "-c", program, tmp_path / "engine.arrow") == (0, f"{VERSION}\n", "")
