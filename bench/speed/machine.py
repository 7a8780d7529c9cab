"""What a run stands on: the machine, the versions, the space on the disk, and which tools are there."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .cases import Case
from .dumps import ROOT
from .failure import Failure
from .forms import SHARES
from .tools import MAIN, TOOLS, program

ENVIRONMENT = ROOT / ".cache" / "environments" / "bench"
SETUP = Path(__file__).with_name("environment.mjs")
_PACKAGES = {"torch": "torch", "polygraphy": "polygraphy", "msprobe": "mindstudio-probe", "numpy": "numpy"}
# What is left free beside the data, for what tools write and for everything else.
_SPARE = 500e6


def facts() -> dict[str, Any]:
    """Processor, memory and system; nothing that names the machine."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memoryBytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "loadAtStart": os.getloadavg()[0],
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def demand_build() -> None:
    """See that npu-diff is built.

    Raises:
        Failure: it is not.
    """
    if not MAIN.exists():
        raise Failure(
            "npu-diff is not built",
            facts=[("needed", MAIN.relative_to(ROOT)), ("found", "no such file")],
            help="npm run build",
        )


def has_jobs() -> bool:
    """Whether this build of npu-diff has the option `--jobs`."""
    return "--jobs" in _said([program("node"), str(MAIN), "compare", "--help"])


def interpreter(environment: Path | None, *, install: bool) -> Path | None:
    """The interpreter of the environment of the other tools.

    Args:
        environment: one that has them; None: the benchmark's own.
        install: make that, where it is missing or not what the lock says.

    Returns:
        None where there is no such interpreter.

    Raises:
        Failure: it could not be made.
    """
    if environment is None and install:
        done = subprocess.run([program("node"), SETUP], stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise Failure(
                "the environment of the other tools could not be made",
                facts=[("exit code", done.returncode), ("command", f"node {SETUP.relative_to(ROOT)}")],
                help="see what it said above; with --environment FOLDER nothing is installed",
            )
    python = (environment or ENVIRONMENT).absolute() / "bin" / "python"
    return python if python.exists() else None


def packages(python: Path | None) -> dict[str, str]:
    """Versions of the other tools' packages that an environment has, by the names they are imported by."""
    if python is None:
        return {}
    program = (
        "import importlib.metadata as m, json, sys\n"
        "have = {}\n"
        "for name, package in json.loads(sys.argv[1]).items():\n"
        "    try: have[name] = m.version(package)\n"
        "    except m.PackageNotFoundError: pass\n"
        "print(json.dumps(have))"
    )
    return json.loads(_said([str(python), "-c", program, json.dumps(_PACKAGES)]))


def left_out(have: dict[str, str], *, jobs: bool) -> dict[str, str]:
    """Tools that cannot run here, and why."""
    missing = {
        tool.name: f"{_PACKAGES[tool.package]} is not installed"
        for tool in TOOLS.values()
        if tool.package is not None and tool.package not in have
    }
    return missing if jobs else {"npu-diff --jobs 2": "this build has no --jobs", **missing}


def versions(have: dict[str, str]) -> dict[str, str]:
    """Versions of everything that is timed."""
    import numpy as np

    node = _said([program("node"), "--version"]).strip().removeprefix("v")
    ours = _said([program("node"), str(MAIN), "--version"]).split()[-1]
    others = {_PACKAGES[name]: version for name, version in have.items() if name != "numpy"}
    cat = _said([program("cat"), "--version"]).splitlines()[0].split()[-1] if platform.system() == "Linux" else "?"
    return {
        "npu-diff": ours,
        "Node": node,
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        **others,
        "cat": cat,
    }


def demand_space(cases: Sequence[Case], without: dict[str, str], folder: Path, *, keep: bool) -> None:
    """See that the disk has the space of the largest case; of all of them where their data is kept.

    Raises:
        Failure: it has less.
    """
    needs = {case.id: space(case, without) for case in cases}
    largest = max(needs, key=lambda name: needs[name])
    need = (sum(needs.values()) if keep else needs[largest]) + _SPARE
    free = shutil.disk_usage(folder).free
    if free < need:
        raise Failure(
            "the disk is too full",
            facts=[
                ("needed", f"{need / 1e9:.1f} GB for {'all cases' if keep else largest}"),
                ("free", f"{free / 1e9:.1f} GB"),
            ],
            help="free some space, choose smaller cases with --only, or another disk with --folder",
        )


def space(case: Case, without: dict[str, str]) -> float:
    """Bytes that the data of a case takes in all forms that its tools read."""
    read = {TOOLS[name].form for name in case.tools if name not in without} - {None}
    # The other forms are made from .npy files.
    read |= {"npy"} if read - {"arrow", "copy"} else set()
    return case.bytes * sum(SHARES[form] for form in read if form)


def _said(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(
            f"{Path(command[0]).name} could not be asked",
            facts=[("command", " ".join(command)), ("said", done.stderr.strip()[-500:])],
            help="see whether it is installed",
        )
    return done.stdout
