"""What is installed, and whether its versions were made for each other. Nothing is imported here."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from ..cann import cann_home, cann_version
from . import pairs
from .check import Check
from .npu_smi import Chip

OLDEST_PYTHON = (3, 10)
UNKNOWN = "unknown"


def installed(package: str) -> str | None:
    """Return a package's version, ``unknown`` where it is there without metadata, None where it is not there."""
    try:
        return metadata.version(package) or UNKNOWN
    except metadata.PackageNotFoundError:
        pass
    try:
        spec = find_spec(package.replace("-", "_"))
        # A folder of that name in the working folder is no package.
        return UNKNOWN if spec is not None and spec.origin is not None else None
    except (ImportError, ValueError):
        return UNKNOWN


def python() -> Check:
    """Return the check of Python and the machine."""
    version = platform.python_version()
    figures = {"version": version, "system": platform.system(), "machine": platform.machine()}
    text = f"{version}, {platform.system()} {platform.machine()}"
    if tuple(map(int, platform.python_version_tuple()[:2])) < OLDEST_PYTHON:
        return Check("python", "fail", text, figures, "use Python 3.10 or newer")
    return Check("python", "ok", text, figures)


def engine(package: str) -> Check:
    """Return the check of an engine that is started in processes of its own, and not imported here."""
    version = installed(package)
    if version is None:
        return Check(package, "not-run", "not installed")
    return Check(package, "ok", f"{version}, installed; not imported here", {"version": version})


def absent_torch_npu(chips: list[Chip]) -> Check:
    """Return the check of a torch_npu that is not there: a failure where there are NPUs to use."""
    count = len(chips) or _device_nodes()
    if not count:
        return Check("torch_npu", "not-run", "not installed, and no NPU is in sight")
    torch = installed("torch")
    version = f"=={pairs.base(torch)} (or its .postN)" if torch not in (None, UNKNOWN) else ""
    return Check(
        "torch_npu",
        "fail",
        f"not installed, but this machine has {count} NPU",
        {"npus": count},
        f"pip install torch_npu{version}, and install the CANN toolkit and kernels that it names",
    )


def _device_nodes() -> int:
    try:
        return sum(1 for path in Path("/dev").glob("davinci[0-9]*"))
    except OSError:
        return 0


def cann(*, needed: bool) -> Check:
    """Return the check of CANN, without which torch_npu cannot be loaded."""
    home, version = cann_home(), cann_version()
    if home is None:
        if not needed:
            return Check("cann", "not-run", "no CANN environment, and no torch_npu that needs one")
        return Check(
            "cann",
            "fail",
            "torch_npu is installed, but no CANN environment is set (ASCEND_TOOLKIT_HOME, ASCEND_HOME_PATH)",
            {},
            "source the CANN set_env.sh, e.g. /usr/local/Ascend/ascend-toolkit/set_env.sh",
        )
    if not Path(home).is_dir():
        step = "source the set_env.sh of a CANN that is installed"
        return Check("cann", "fail", f"the CANN environment names a folder that is not there: {home}", {}, step)
    if version is None:
        step = "look at the version.info files under that folder; versions that fit are in the table of torch_npu"
        return Check("cann", "warning", f"of unknown version, no version file under {home}", {"home": home}, step)
    return Check("cann", "ok", version, {"version": version, "home": home})


def fits() -> list[Check]:
    """Return a check for each pair of what is installed that was made for each other, or not."""
    torch, torch_npu = installed("torch"), installed("torch_npu")
    ascend, vllm, found_cann = installed("vllm-ascend"), installed("vllm"), cann_version()
    checks: list[Check] = []
    if torch_npu is not None and torch is not None:
        checks += [_torch(torch_npu, torch), _python(torch)]
    if torch_npu is not None and found_cann is not None:
        checks.append(_cann(torch_npu, found_cann))
    if ascend is not None:
        checks += _vllm_ascend(ascend, vllm, torch_npu)
    return checks


def _torch(torch_npu: str, torch: str) -> Check:
    wanted, facts = pairs.base(torch_npu), {"torch_npu": torch_npu, "torch": torch}
    name = "fit/torch_npu-torch"
    if UNKNOWN in (torch_npu, torch):
        return _unknown(name, f"torch_npu {torch_npu} with torch {torch}", facts)
    if pairs.base(torch) != wanted:
        text = f"torch_npu {torch_npu} is made for torch {wanted}, not for {torch}"
        return Check(name, "fail", text, facts, f"pip install torch_npu=={pairs.base(torch)} (or its .postN)")
    if pairs.cann_of(pairs.public(torch_npu)):
        return Check(name, "ok", f"torch_npu {torch_npu} with torch {torch} ({pairs.SOURCE_TORCH_NPU})", facts)
    return _unknown(name, f"torch_npu {torch_npu} with torch {torch}: of one number, but in no table", facts)


def _python(torch: str) -> Check:
    version = platform.python_version()
    facts, name = {"torch": torch, "python": version}, "fit/torch_npu-python"
    known = pairs.PYTHON_OF_TORCH.get(pairs.base(torch))
    if known is None:
        return _unknown(name, f"Python {version} with torch {torch} on an NPU", facts)
    minor, span = int(platform.python_version_tuple()[1]), f"Python 3.{known[0]} to 3.{known[1]}"
    if known[0] <= minor <= known[1]:
        return Check(name, "ok", f"torch_npu for torch {torch} is made for {span} ({pairs.SOURCE_TORCH_NPU})", facts)
    return Check(name, "warning", f"torch_npu for torch {torch} is made for {span}", facts, f"use {span}")


def _cann(torch_npu: str, cann: str) -> Check:
    facts, name = {"torch_npu": torch_npu, "cann": cann}, "fit/torch_npu-cann"
    known = sorted(pairs.cann_of(pairs.public(torch_npu)))
    if not known:
        return _unknown(name, f"torch_npu {torch_npu} with CANN {cann}", facts)
    listed = " or ".join(known)
    if pairs.public_cann(cann) in known:
        return Check(name, "ok", f"torch_npu {torch_npu} with CANN {cann} ({pairs.SOURCE_TORCH_NPU})", facts)
    text = f"torch_npu {torch_npu} is listed with CANN {listed}, not with {cann}"
    return Check(name, "warning", text, facts, f"install CANN {listed}, or the torch_npu that is listed with {cann}")


def _vllm_ascend(ascend: str, vllm: str | None, torch_npu: str | None) -> list[Check]:
    release = pairs.VLLM_ASCEND.get(pairs.public(ascend))
    facts, name = {"vllm-ascend": ascend, "vllm": vllm}, "fit/vllm_ascend-vllm"
    if vllm is None:
        return [Check(name, "fail", f"vllm-ascend {ascend} without vllm", facts, "install the vLLM of that release")]
    if release is None:
        return [_unknown(name, f"vllm-ascend {ascend} with vLLM {vllm}", facts)]
    wanted = " or ".join(release.vllm)
    if pairs.public(vllm) in release.vllm:
        checks = [Check(name, "ok", f"vllm-ascend {ascend} with vLLM {vllm} ({pairs.SOURCE_VLLM_ASCEND})", facts)]
    else:
        text = f"vllm-ascend {ascend} is made for vLLM {wanted}, not for {vllm}"
        checks = [Check(name, "fail", text, facts, f"install vLLM {wanted}, or the vllm-ascend of {vllm}")]
    if torch_npu is None:
        return checks
    facts, name = {"vllm-ascend": ascend, "torch_npu": torch_npu}, "fit/vllm_ascend-torch_npu"
    if pairs.public(torch_npu) == release.torch_npu:
        text = f"vllm-ascend {ascend} with torch_npu {torch_npu} ({pairs.SOURCE_VLLM_ASCEND})"
        return [*checks, Check(name, "ok", text, facts)]
    text = f"vllm-ascend {ascend} is released for torch_npu {release.torch_npu}, not for {torch_npu}"
    return [*checks, Check(name, "warning", text, facts, f"pip install torch_npu=={release.torch_npu}")]


def _unknown(name: str, what: str, facts: Mapping[str, str | None]) -> Check:
    step = "look both up in the makers' tables: github.com/Ascend/pytorch (COMPATIBILITY.md), vllm-ascend's "
    return Check(name, "warning", f"unknown: {what}", facts, f"{step}versioning policy")
