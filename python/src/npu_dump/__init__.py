"""Collects what a language model computes, layer by layer, into one Arrow file.

::

    from npu_dump import Dump, load

    with Dump(model, "cpu.arrow") as dump:
        model(**inputs)

    load("cpu.arrow")["layers.3.mlp", 0, 0]

`Dump` captures, `DumpWriter` writes tensors of your own, `load` reads, `check_weights` compares a loaded model with
its checkpoint, `DumpError` is every error. torch and transformers are imported only when they are needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .dump import Dump
    from .errors import DumpError
    from .limits import Limits
    from .reader import DumpFile, load
    from .weights import WeightFinding, check_weights
    from .writer import DumpWriter

__all__ = [
    "Dump",
    "DumpError",
    "DumpFile",
    "DumpWriter",
    "Limits",
    "WeightFinding",
    "__version__",
    "check_weights",
    "load",
]

_HOMES = {
    "Dump": "dump",
    "DumpError": "errors",
    "DumpFile": "reader",
    "DumpWriter": "writer",
    "Limits": "limits",
    "WeightFinding": "weights",
    "check_weights": "weights",
    "load": "reader",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
