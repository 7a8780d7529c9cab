"""Everything this package knows about devices: which exist, what they are, how they are set to compute."""

from __future__ import annotations

import importlib
import os
import re
import sys
from typing import Any

import torch

from .cann import cann_version
from .errors import DumpError

_INSTALL = {
    "cuda": "install a CUDA build of torch and NVIDIA's driver; nvidia-smi must list the device",
    "mps": "use an Apple silicon Mac with macOS 12.3 or newer and an arm64 build of torch",
    "xpu": "install an XPU build of torch and Intel's GPU driver; xpu-smi discovery must list the device",
}


def resolve(name: str) -> torch.device:
    """Return the device of a name: ``cpu``, ``mps``, or ``cuda``, ``npu``, ``xpu`` with an optional ``:N``.

    Raises:
        DumpError: no such name, no such device, or what it needs is not installed.
    """
    match = re.fullmatch(r"(cpu|mps)|(cuda|npu|xpu)(?::([0-9]{1,4}))?", name)
    if match is None:
        raise DumpError(
            "device-unknown",
            "there is no device of that name",
            facts=[("given", name), ("known", "cpu, cuda:N, npu:N, mps, xpu:N")],
            help="name one of these, N from 0",
        )
    if match[1] == "cpu":
        return torch.device("cpu")
    kind, index = match[1] or match[2], int(match[3] or 0)
    if kind == "npu":
        _import_npu(name)
    backend: Any = getattr(torch, kind, None)
    if backend is None or not backend.is_available():
        raise _absent(name, kind)
    count = backend.device_count()
    if index >= count:
        raise DumpError(
            "device-absent",
            f"there is no device {name}",
            facts=[("given", name), ("present", f"{count}: {kind}:0 to {kind}:{count - 1}")],
            help="name a device that is present; *_VISIBLE_DEVICES may hide some",
        )
    device = torch.device("mps") if kind == "mps" else torch.device(kind, index)
    if kind != "mps":
        try:
            backend.set_device(device)
        except RuntimeError as error:
            raise _unusable(name, kind, error) from error
    return device


def _import_npu(name: str) -> None:
    try:
        importlib.import_module("torch_npu")
    except ModuleNotFoundError as error:
        if error.name != "torch_npu":
            raise _npu_broken(name, error) from error
        base = torch.__version__.split("+")[0]
        raise DumpError(
            "device-absent",
            "torch_npu, which brings Ascend NPUs to torch, is not installed",
            facts=[("given", name), ("torch", torch.__version__)],
            help=f"pip install torch_npu=={base} (or its .postN), and install the CANN toolkit and kernels it names",
        ) from error
    except (ImportError, OSError, RuntimeError) as error:
        raise _npu_broken(name, error) from error


def _npu_broken(name: str, error: BaseException) -> DumpError:
    return DumpError(
        "device-absent",
        "torch_npu is installed but cannot be loaded",
        facts=[("given", name), (type(error).__name__, _first_line(error))],
        help="source the CANN set_env.sh (e.g. /usr/local/Ascend/ascend-toolkit/set_env.sh), and match torch_npu to "
        f"torch {torch.__version__.split('+')[0]} and to CANN",
    )


def _unusable(name: str, kind: str, error: BaseException) -> DumpError:
    check = (
        "npu-smi info must show it healthy, and driver, firmware and CANN must match"
        if kind == "npu"
        else _INSTALL[kind]
    )
    return DumpError(
        "device-unusable",
        f"{name} is there but cannot be opened",
        facts=[("given", name), (type(error).__name__, _first_line(error))],
        help=f"end the process that holds the device, if one does; {check}",
    )


def _absent(name: str, kind: str) -> DumpError:
    if kind == "npu":
        return DumpError(
            "device-absent",
            "torch_npu is installed but sees no NPU",
            facts=[("given", name), ("torch_npu", getattr(sys.modules["torch_npu"], "__version__", "unknown"))],
            help="check that npu-smi info lists the device, that /dev/davinci* is passed into the container, that "
            "ASCEND_RT_VISIBLE_DEVICES does not hide it, and that driver and CANN match",
        )
    return DumpError(
        "device-absent",
        f"torch sees no {kind} device",
        facts=[("given", name), ("torch", torch.__version__)],
        help=_INSTALL[kind],
    )


def describe(device: torch.device) -> dict[str, Any]:
    """Return type, name, count and memory of a device, and what software drives it."""
    facts: dict[str, Any] = {"type": device.type}
    if device.type == "cpu":
        return facts | {"name": _cpu_name(), "count": 1}
    backend: Any = getattr(torch, device.type, None)
    if device.type in ("cuda", "npu", "xpu"):
        properties = backend.get_device_properties(device)
        facts |= {
            "name": properties.name,
            "count": backend.device_count(),
            "memory_bytes": int(properties.total_memory),
        }
    if device.type == "cuda":
        facts |= {"soc": "sm_{}{}".format(*backend.get_device_capability(device)), "cuda": torch.version.cuda}
    if device.type == "npu":
        facts |= {"soc": _try(lambda: str(backend.get_soc_version())), "cann": cann_version()}
    return {name: value for name, value in facts.items() if value is not None}


def numerics(device: torch.device) -> dict[str, Any]:
    """Return the switches that change what a device computes."""
    facts: dict[str, Any] = {
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
    }
    if device.type == "cuda":
        facts["allow_tf32"] = bool(torch.backends.cuda.matmul.allow_tf32)
    if device.type == "npu":
        npu: Any = getattr(torch, device.type)
        facts |= {
            "allow_hf32": _try(lambda: bool(npu.matmul.allow_hf32)),
            "allow_hf32_conv": _try(lambda: bool(npu.conv.allow_hf32)),
            "jit_compile": _try(lambda: not npu.is_jit_compile_false()),
            "hccl_deterministic": os.environ.get("HCCL_DETERMINISTIC", "false").lower() in ("true", "strict"),
        }
    return {name: value for name, value in facts.items() if value is not None}


def peak_memory(device: torch.device) -> int | None:
    """Return the peak in bytes: of the device's allocator, else of this process; None where nobody counts."""
    if device.type in ("cuda", "npu", "xpu"):
        return int(getattr(torch, device.type).max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # Windows has none
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Kilobytes, but on macOS bytes.
    return peak if sys.platform == "darwin" else peak * 1024


def peak_reserved(device: torch.device) -> int | None:
    """Return the most bytes that a device's allocator has held, used or not; None where there is none that counts."""
    if device.type not in ("cuda", "npu", "xpu"):
        return None
    return _try(lambda: int(getattr(torch, device.type).max_memory_reserved(device)))


def synchronize(device: torch.device) -> None:
    """Wait until a device has done what it was asked for, and raise what failed meanwhile."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception says that memory ran out, on whichever device."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError)
        and re.search(
            r"out of memory|can't allocate memory|not enough memory|alloc(ation)? failed|bad_alloc"
            r"|can't start new thread"
            # What CANN says where torch_npu's own allocator was not asked: EL0004, 207001.
            r"|failed to allocate|failed to apply for memory",
            str(error),
            re.IGNORECASE,
        )
        is not None
    )


def _cpu_name() -> str | None:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            found = re.search(r"(?m)^(?:model name|Model|cpu model)\s*:\s*(.+)$", file.read())
    except OSError:
        return None
    return found[1].strip() if found else None


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), "no reason given")


def _try(read: Any) -> Any:
    """Return what a reader gives, or None where this version of torch_npu has no such switch."""
    try:
        return read()
    except (AttributeError, RuntimeError):
        return None
