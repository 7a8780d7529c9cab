"""All checks, in the order in which each rests on those before it."""

from __future__ import annotations

from collections.abc import Callable

from . import child, npu_smi, software
from .check import Check
from .worker import CHECKS

# The first product on a new device may compile its kernels.
DEFAULT_LIMIT_S = 120.0


def examine(device: str | None, limit_s: float, begun: Callable[[str], None]) -> list[Check]:
    """Return all checks.

    Args:
        device: the device to check; None: an NPU, else the best there is.
        limit_s: seconds for each check.
        begun: called with the name of each check that takes long, as it begins.

    Raises:
        DumpError: ``device-unknown``.
    """
    begun("npu-smi")
    driver, chips = npu_smi.check(min(limit_s, npu_smi.LIMIT_S))
    has_npu = software.installed("torch_npu") is not None
    results = {check.id: check for check in child.run(device, CHECKS, limit_s, begun)}
    if not has_npu:
        results["torch_npu"] = software.absent_torch_npu(chips)
    first = [results.pop(name) for name in ("torch", "transformers")]
    engines = [software.engine(name) for name in ("vllm", "vllm-ascend")]
    npu = [driver, software.cann(needed=has_npu), results.pop("torch_npu")]
    return [software.python(), *first, *engines, *npu, *software.fits(), *results.values()]
