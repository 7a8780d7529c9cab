"""A stand-in for torch_npu: a second, real device type named ``npu`` for a machine without an Ascend NPU.

Put this folder's parent on PYTHONPATH, and ``import torch`` loads it by its entry point as it loads the real package.
What computes is PyTorch's CPU code, so results are those of the CPU to the bit. What is kept of a real NPU is what a
program can get wrong with one:

- A tensor's data is out of the host's reach until it is copied there; operands on two devices raise.
- Work is asynchronous: what a copy with ``non_blocking=True`` brings is garbage until somebody synchronises, and a
  kernel that fails says so at the next synchronisation, not where it was launched.
- Memory is counted in blocks of 512 bytes and ends; a strided tensor is made contiguous on the device before it
  goes to the host.
- float64 cannot be computed, and ``.double()`` gives float32. An operator without a kernel runs on the host and says
  so in a warning.
- Random numbers come from the device's own generator.

All this, and the texts of errors and warnings, are as torch_npu 2.9 has them (github.com/Ascend/pytorch: its
``NPUCachingAllocator.cpp``, ``CopyKernel.cpp``, ``ToKernelNpu.cpp``, ``VariableFallbackKernel.cpp``), with one
exception: some chips compute some float64, slowly; here nothing does.

`torch_npu.chip` sets a chip's memory, kernels and faults, and tells what it did. For a process that no test can reach
into, STANDIN_FAULTS names a Python file that does so once the stand-in is there.
"""

from __future__ import annotations

import os
import runpy

import torch

from . import chip, npu, tensor
from .chip import CHIPS
from .fusion import npu_fusion_attention

__version__ = torch.__version__.split("+")[0]
__all__ = ["CHIPS", "chip", "npu", "npu_fusion_attention", "tensor"]

tensor.register(npu)
if "STANDIN_FAULTS" in os.environ:
    runpy.run_path(os.environ["STANDIN_FAULTS"])


def _autoload() -> None:
    """Entry point that ``import torch`` calls at its end; importing this module has done it all."""
