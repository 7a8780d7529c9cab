"""The device: that it can be opened, what memory it has, which dtypes it computes in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from .. import devices
from .check import Check, gib, reason

# What a model is run in; float8 is stored and converted, and multiplied on few devices.
COMPUTED = ("float32", "bfloat16", "float16", "float64")
STORED = ("float8_e4m3fn", "float8_e5m2")

# Of the device's memory: with less free, somebody else is at work there.
_LEAST_FREE = 0.1


def choose(given: str | None, *, npu: bool) -> torch.device:
    """Return the device to check: the one named, else an NPU where torch_npu is installed, else the best there is.

    Raises:
        npu_dump.DumpError: it is not there, or cannot be opened.
    """
    if given is not None:
        return devices.resolve(given)
    if npu:
        return devices.resolve("npu:0")
    return devices.resolve(next(filter(_available, ("cuda", "xpu", "mps")), "cpu"))


def _available(kind: str) -> bool:
    # Not every version of torch has every backend, or lets it be asked.
    ask = getattr(getattr(torch, kind, None), "is_available", None)
    return ask is not None and bool(ask())


def describe(device: torch.device) -> Check:
    """Return the check that names a device."""
    facts = devices.describe(device)
    count = f", 1 of {facts['count']}" if facts["count"] > 1 else ""
    return Check("device", "ok", f"{device}: {facts.get('name', 'unnamed')}{count}", {"device": str(device)} | facts)


def memory(device: torch.device) -> Check:
    """Return the check of a device's memory; unknown where nobody tells it."""
    try:
        free, total = _host_memory() if device.type == "cpu" else _device_memory(device)
    except (AttributeError, OSError, RuntimeError, TypeError, ValueError) as error:
        return Check("memory", "warning", f"unknown ({reason(error)})", {}, "check free memory by hand")
    figures = {"free_bytes": free, "total_bytes": total}
    if not 0 <= free <= total or total == 0:
        text = f"unknown: {free} bytes are said to be free, of {total}"
        return Check("memory", "warning", text, figures, "check free memory by hand")
    text = f"{gib(free)} free of {gib(total)}"
    if free < _LEAST_FREE * total:
        step = "end the processes that hold it (npu-smi info, nvidia-smi), or name another device"
        return Check("memory", "warning", text, figures, step)
    return Check("memory", "ok", text, figures)


def _device_memory(device: torch.device) -> tuple[int, int]:
    backend: Any = getattr(torch, device.type)
    free, total = backend.mem_get_info(device)
    return int(free), int(total)


def _host_memory() -> tuple[int, int]:
    try:
        lines = (line.split() for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines())
        kilobytes = {words[0]: int(words[1]) for words in lines if len(words) > 1}
        return kilobytes["MemAvailable:"] << 10, kilobytes["MemTotal:"] << 10
    except (OSError, KeyError):
        page, pages = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
        return page * os.sysconf("SC_AVPHYS_PAGES"), page * pages


def dtypes(device: torch.device) -> tuple[Check, set[str]]:
    """Return the check of what a device computes in, and these dtypes."""
    failures = {name: _failure(name, device) for name in (*COMPUTED, *STORED) if hasattr(torch, name)}
    works = {name for name, why in failures.items() if why is None}
    figures = {"supported": sorted(works), "unsupported": {name: why for name, why in failures.items() if why}}
    text = f"computes in {', '.join(name for name in COMPUTED if name in works) or 'nothing'}"
    held = [name for name in STORED if name in works]
    text += f"; stores {', '.join(held)}" if held else ""
    lacking = [name for name in COMPUTED if name not in works]
    if "float32" in lacking:
        step = "run npu-smi info, then restart; driver, firmware and CANN must match; the device's log says more"
        return Check("dtypes", "fail", f"{text}; float32: {failures['float32']}", figures, step), works
    halves = [name for name in lacking if name != "float64"]
    if halves:
        step = f"capture with another --dtype than {' or '.join(halves)}"
        return Check("dtypes", "warning", f"{text}; {halves[0]}: {failures[halves[0]]}", figures, step), works
    return Check("dtypes", "ok", text, figures), works


def _failure(name: str, device: torch.device) -> str | None:
    """Return why a device cannot compute in a dtype, or hold it; None where it can."""
    dtype: torch.dtype = getattr(torch, name)
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    # What comes of it must be right as well; every format holds these numbers.
    expected = values if name in STORED else torch.tensor([[7.0, 10.0], [15.0, 22.0]])
    try:
        there = values.to(dtype).to(device)
        if there.dtype != dtype:
            return f"gives {there.dtype} instead"
        result = there if name in STORED else there @ there
        devices.synchronize(device)
        back = result.cpu()
    except Exception as error:  # whatever a backend raises says that it cannot
        return reason(error)
    if back.dtype != dtype or not torch.equal(back.float(), expected):
        return f"a product of small whole numbers is wrong: {back.float().tolist()} instead of {expected.tolist()}"
    return None
