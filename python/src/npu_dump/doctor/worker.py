"""Runs the checks that need torch, in a process of its own, which `child` starts.

Prints JSON lines: ``{"begin": id}`` before a check, the check itself, ``{"error": …}`` instead where the command line
was wrong, ``{"end": true}``. Whatever crashes or hangs, the last line says where.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any, TextIO

from . import pairs
from .check import Check, reason
from .software import UNKNOWN, installed

OLDEST_TORCH, OLDEST_TRANSFORMERS = "2.5", "4.49"
MATMULS = ("matmul/float32", "matmul/bfloat16", "matmul/float16", "matmul/float64")
MODEL = ("model/forward", "model/backward")
CHECKS = ("torch", "transformers", "torch_npu", "device", "memory", "dtypes", *MATMULS, *MODEL)
_LOG = "run npu-smi info, then restart; the device's log says more"


def main(device: str) -> None:
    """Print the checks, one line each.

    Args:
        device: the name of the device as JSON, or ``null``.
    """
    # Results go where stdout went; what libraries print goes to stderr, also from C.
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # A backend that torch loads by itself would take torch down with it; torch_npu is imported below.
    os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
    run(json.loads(device), _Report(stream))
    print(json.dumps({"end": True}), file=stream, flush=True)


class _Report:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def tell(self, line: dict[str, Any]) -> None:
        print(json.dumps(line), file=self._stream, flush=True)

    def attempt(self, name: str, look: Callable[[], Check], step: str = _LOG) -> Check:
        """Run one check; an exception in it is a failure that it has found."""
        self.tell({"begin": name})
        try:
            found = look()
        except Exception as error:  # whatever a backend raises is what there is to report
            found = Check(name, "fail", reason(error), {}, step)
        self.tell(found.as_json())
        return found


def run(given: str | None, report: _Report) -> None:
    """Run the checks in their order; what the rest rests on ends them where it fails."""
    if report.attempt("torch", lambda: _import("torch", OLDEST_TORCH), _TORCH).status == "fail":
        return
    report.attempt("transformers", lambda: _import("transformers", OLDEST_TRANSFORMERS), _TRANSFORMERS)
    npu = installed("torch_npu") is not None
    if not npu:
        report.tell(Check("torch_npu", "not-run", "not installed").as_json())
    else:
        found = report.attempt("torch_npu", lambda: _import("torch_npu"), _TORCH_NPU)
        if found.status == "fail" and (given is None or given.startswith("npu")):
            return
    from ..errors import DumpError

    try:
        report.tell({"begin": "device"})
        device = _device(given, npu=npu)
    except DumpError as error:
        facts = "; ".join(f"{label} {text}" for label, text in error.facts)
        if error.code == "device-unknown":
            parts = {"code": error.code, "what": error.what, "facts": error.facts, "help": error.help}
            report.tell({"error": parts})
        else:
            report.tell(Check("device", "fail", f"{error.what} ({facts})", {}, error.help).as_json())
        return
    except Exception as error:  # whatever a backend raises is what there is to report
        report.tell(Check("device", "fail", reason(error), {}, _LOG).as_json())
        return
    _on_device(device, report)


def _device(given: str | None, *, npu: bool) -> Any:
    from . import hardware

    return hardware.choose(given, npu=npu)


def _on_device(device: Any, report: _Report) -> None:
    from . import hardware, matmul, model

    if report.attempt("device", lambda: hardware.describe(device)).status == "fail":
        return
    report.attempt("memory", lambda: hardware.memory(device))
    computes: set[str] = set()

    def dtypes() -> Check:
        found, works = hardware.dtypes(device)
        computes.update(works)
        return found

    if report.attempt("dtypes", dtypes).status == "fail":
        return
    reduced = False
    for name in MATMULS:
        dtype = name.partition("/")[2]
        found = report.attempt(name, _bound(matmul.check, dtype, device, supported=dtype in computes))
        reduced = reduced or bool(found.figures.get("reduced_to")) or bool(found.figures.get("switches"))
    for name, look in zip(MODEL, (model.forward, model.backward), strict=True):
        if report.attempt(name, _bound(look, device, reduced=reduced)).status == "fail":
            return


def _bound(look: Callable[..., Check], *arguments: Any, **options: Any) -> Callable[[], Check]:
    return lambda: look(*arguments, **options)


def _import(name: str, oldest: str | None = None) -> Check:
    """Import a package and return the check of it."""
    if name == "transformers" and installed(name) is None:
        return Check(name, "warning", "not installed", {}, "pip install npu-dump[transformers]")
    started = time.perf_counter()
    module: Any = __import__(name)
    seconds = time.perf_counter() - started
    version = str(getattr(module, "__version__", None) or installed(name) or UNKNOWN)
    figures = {"version": version, "import_s": round(seconds, 3)}
    text = f"{version}, imported in {seconds:.1f} s"
    if oldest is not None and _number(version) < _number(oldest):
        return Check(name, "fail", f"{text}; {oldest} or newer is needed", figures, f"pip install -U {name}")
    return Check(name, "ok", text, figures)


def _number(version: str) -> tuple[int, ...]:
    parts = pairs.base(version).split(".")
    return tuple(map(int, parts)) if all(part.isdigit() for part in parts) else ()


_TORCH = "pip install npu-dump[transformers]; where it is installed, reinstall the torch of this Python and machine"
_TRANSFORMERS = "reinstall transformers and the packages that it names: pip install -U transformers"
_TORCH_NPU = "source the CANN set_env.sh, check the driver with npu-smi info, match torch_npu to torch and to CANN"
