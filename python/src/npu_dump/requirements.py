"""The libraries that only some commands need."""

from __future__ import annotations

import os

from .errors import DumpError


def require_transformers() -> None:
    """Import torch and transformers, or say how to get them.

    Raises:
        DumpError: one of them is absent, or torch cannot be loaded.
    """
    try:
        import torch  # noqa: F401
        from transformers.utils import logging
    except ImportError as error:
        raise DumpError(
            "transformers-absent",
            "torch and transformers are needed to run a model",
            facts=[("missing", error.name or error)],
            help="pip install npu-dump[transformers]",
        ) from error
    except RuntimeError as error:
        cause = error.__cause__ or error
        raise DumpError(
            "device-absent",
            "torch cannot load an extension that brings it a device",
            facts=[("torch", _first_line(error)), (type(cause).__name__, _first_line(cause))],
            help="for torch_npu: source the CANN set_env.sh, and match torch_npu to torch and to CANN; without it: "
            "TORCH_DEVICE_BACKEND_AUTOLOAD=0",
        ) from error
    logging.disable_progress_bar()


def require_httpx() -> None:
    """Import what talks to a server, or say how to get it.

    Raises:
        DumpError: it is absent.
    """
    try:
        import httpx2  # noqa: F401
    except ImportError as error:
        raise DumpError(
            "httpx-absent",
            "httpx2 is needed to talk to a server",
            facts=[("missing", error.name or error)],
            help="pip install npu-dump[endpoint]",
        ) from error


def require_onnx() -> None:
    """Import what reads and runs ONNX models, or say how to get it.

    Raises:
        DumpError: one of them is absent, or cannot be loaded.
    """
    try:
        import onnx  # noqa: F401

        # It keeps records of its use, and asks the machine for its name, unless it is told not to.
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise DumpError(
            "onnx-absent",
            "onnx and onnxruntime are needed to run an ONNX model",
            facts=[("missing", error.name or error)],
            help="pip install npu-dump[onnx]",
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or ["no reason given"])[0]
