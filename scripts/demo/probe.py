"""Print as JSON what a Python environment offers a capture.

Usage: python probe.py NAME>=VERSION ...

``versions`` of the packages named, ``unmet`` requirements among them, and ``device``: an NPU before a CUDA device,
null where torch sees neither. torch alone is imported, and only where it is installed.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import re
import sys


def version_of(package: str) -> str | None:
    """Return the installed version; None where the package is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def release(version: str) -> tuple[int, ...]:
    """Return the numbers that a version starts with: ``2.9.0.post1`` is 2, 9, 0."""
    return tuple(int(number) for number in re.findall(r"\d+", re.match(r"[\d.]*", version)[0]))


def device() -> tuple[str | None, str | None]:
    """Return a device's name for npu-dump and its product name; none where torch sees none."""
    if importlib.util.find_spec("torch") is None:
        return None, None
    if importlib.util.find_spec("torch_npu") is not None:
        importlib.import_module("torch_npu")
    torch = importlib.import_module("torch")
    for kind in ("npu", "cuda"):
        backend = getattr(torch, kind, None)
        if backend is not None and backend.is_available():
            return f"{kind}:0", backend.get_device_name(0)
    return None, None


def main() -> None:
    wanted = dict(requirement.split(">=") for requirement in sys.argv[1:])
    versions = {package: version_of(package) for package in wanted}
    unmet = [
        f"{package}>={least}"
        for package, least in wanted.items()
        if versions[package] is None or release(versions[package]) < release(least)
    ]
    found = {"python": sys.version.split()[0], "versions": versions, "unmet": unmet, "problem": None}
    try:
        found["device"], found["deviceName"] = device()
    except Exception as error:
        # A broken installation may raise anything; the reader decides what it means.
        found |= {"device": None, "deviceName": None, "problem": f"{type(error).__name__}: {error}"}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
