"""`npu-dump doctor` as a user runs it, in an environment that a test has put together."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .command import program


@dataclass(frozen=True)
class Told:
    """What the program has said."""

    code: int
    checks: dict[str, dict[str, Any]]
    text: str

    def status(self, name: str) -> str:
        return self.checks[name]["status"]


@dataclass
class Environment:
    """A folder of packages before all others, and a folder of programs before all others."""

    folder: Path

    def __post_init__(self) -> None:
        (self.folder / "bin").mkdir()

    def package(self, name: str, code: str) -> None:
        (self.folder / f"{name}.py").write_text(code, encoding="utf-8")

    def installed(self, name: str, version: str) -> None:
        """Metadata of a package, as pip leaves them."""
        info = self.folder / f"{name.replace('-', '_')}-0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")

    def npu_smi(self, script: str) -> None:
        path = self.folder / "bin" / "npu-smi"
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    def cann(self, version: str) -> dict[str, str]:
        """The variables of a CANN that is installed."""
        home = self.folder / "cann"
        (home / "compiler").mkdir(parents=True)
        (home / "compiler" / "version.info").write_text(f"Version={version}\n", encoding="utf-8")
        return {"ASCEND_TOOLKIT_HOME": str(home)}

    def environment(self, **variables: str) -> dict[str, str]:
        paths = [str(self.folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        cann = ("ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH")
        kept = {name: value for name, value in os.environ.items() if name not in cann}
        path = os.pathsep.join([str(self.folder / "bin"), os.environ["PATH"]])
        return {**kept, "PYTHONPATH": os.pathsep.join(paths), "PATH": path, **variables}

    def doctor(self, *arguments: object, **variables: str) -> Told:
        """Run the program and return its JSON, after looking at what holds of every run."""
        done = program("doctor", "--json", *arguments, env=self.environment(**variables))
        assert "Traceback" not in done.stderr
        told = json.loads(done.stdout)
        failed = [check for check in told["checks"] if check["status"] == "fail"]
        assert told["ok"] is (not failed)
        assert done.returncode == (1 if failed else 0)
        # What fails says what to do.
        assert all(check["next"] for check in failed)
        return Told(done.returncode, {check["id"]: check for check in told["checks"]}, done.stdout)

    def shown(self, *arguments: object, **variables: str) -> str:
        """The report as a human reads it."""
        done = program("doctor", *arguments, env=self.environment(**variables))
        assert done.returncode in (0, 1), done.stderr
        return done.stdout


# A torch that fails at once, for tests of what does not need one.
NO_TORCH = "raise ImportError('libtorch_cpu.so: cannot open shared object file')"
