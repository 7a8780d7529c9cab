"""What `torch.npu` offers, as far as this project, transformers and PyTorch call it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch._utils import _get_device_index

from .chip import CHIPS

_current = 0


class _Switch:
    """Whether float32 is multiplied as HF32, which has 11 bits of mantissa."""

    def __init__(self, *, allow_hf32: bool) -> None:
        self.allow_hf32 = allow_hf32


# The real defaults: convolutions may, matrix products may not.
matmul, conv = _Switch(allow_hf32=False), _Switch(allow_hf32=True)


def is_available() -> bool:
    return device_count() > 0


def device_count() -> int:
    return len(CHIPS)


def is_initialized() -> bool:
    return True


def _is_in_bad_fork() -> bool:
    return False


def current_device() -> int:
    return _current


def set_device(device: Any) -> None:
    global _current
    index = _index(device)
    if CHIPS[index].closed is not None:
        raise RuntimeError(
            "Initialize:torch_npu/csrc/core/npu/sys_ctrl/npu_sys_ctrl.cpp:250 NPU function error: "
            f"c10_npu::SetDevice(device_id), error code is {CHIPS[index].closed}\n[ERROR] ERR00100 PTA call acl api "
            "failed\n"
        )
    _current = index


def synchronize(device: Any = None) -> None:
    CHIPS[_index(device)].wait()


def get_device_properties(device: Any = None) -> Any:
    return SimpleNamespace(name="Ascend910B2", total_memory=CHIPS[_index(device)].capacity)


def get_device_name(device: Any = None) -> str:
    return get_device_properties(device).name


def get_soc_version() -> int:
    return 222


def is_jit_compile_false() -> bool:
    return True


def is_bf16_supported() -> bool:
    return torch.bfloat16 not in CHIPS[_current].without_dtypes


def get_amp_supported_dtype() -> list[torch.dtype]:
    return [torch.float16, torch.bfloat16, torch.float32]


def memory_allocated(device: Any = None) -> int:
    return CHIPS[_index(device)].allocated


def max_memory_allocated(device: Any = None) -> int:
    return CHIPS[_index(device)].peak


def max_memory_reserved(device: Any = None) -> int:
    """Nothing is cached here: what is held is what is used."""
    return CHIPS[_index(device)].peak


def reset_peak_memory_stats(device: Any = None) -> None:
    chip = CHIPS[_index(device)]
    chip.peak = chip.allocated


def mem_get_info(device: Any = None) -> tuple[int, int]:
    chip = CHIPS[_index(device)]
    return chip.capacity - chip.allocated, chip.capacity


def empty_cache() -> None:
    """Nothing is cached here."""


def manual_seed_all(seed: int) -> None:
    for chip in CHIPS:
        chip.generator.manual_seed(seed)


def get_rng_state(device: Any = "npu") -> torch.Tensor:
    return CHIPS[_index(device)].generator.get_state()


def set_rng_state(state: torch.Tensor, device: Any = "npu") -> None:
    CHIPS[_index(device)].generator.set_state(state)


def _index(device: Any) -> int:
    if isinstance(device, str):
        device = torch.device(device)
    index = _current if device is None else _get_device_index(device, optional=True)
    if not 0 <= index < len(CHIPS):
        raise AssertionError("Invalid device id\n[ERROR] ERR00003 PTA invalid value")
    return index
