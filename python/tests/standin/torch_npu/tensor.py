"""Tensors of the stand-in, and how an operator runs on them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from . import npu
from .chip import CHIPS, Chip

_aten = torch.ops.aten
_DT = {torch.float64: "DT_DOUBLE", torch.complex128: "DT_COMPLEX128", torch.bfloat16: "DT_BFLOAT16"}
# They move or name elements, whatever these are.
_MOVES = {"aten::clone", "aten::fill_", "aten::zero_", "aten::contiguous", "aten::_unsafe_view", "aten::set_"}
# The host needs what they find before it can go on.
_HOST_NEEDS = {"aten::_local_scalar_dense", "aten::equal", "aten::is_nonzero", "aten::nonzero", "aten::masked_select"}
# AdvancedIndex.cpp: indices in host memory are taken to the device.
_INDEXING = {"aten::index", "aten::_unsafe_index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}


class NpuTensor(torch.Tensor):
    """A tensor in a chip's memory.

    Attributes:
        cells: that memory. Only the chip's own code may look into it.
        block: how much of it is taken.
    """

    cells: torch.Tensor
    block: Any
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, cells: torch.Tensor, chip: Chip) -> NpuTensor:
        block = chip.block_of(cells.untyped_storage())
        self = torch.Tensor._make_wrapper_subclass(
            cls,
            cells.shape,
            strides=cells.stride(),
            storage_offset=cells.storage_offset(),
            dtype=cells.dtype,
            device=torch.device("npu", chip.index),
        )
        self.cells, self.block = cells, block
        return self

    @classmethod
    def __torch_dispatch__(cls, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _execute(func, *args, **(kwargs or {}))

    def data_ptr(self) -> int:
        return self.cells.data_ptr()

    def numpy(self, *, force: bool = False) -> Any:
        if force:
            return self.cpu().numpy()
        raise TypeError(
            f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host "
            "memory first."
        )

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __repr__(self) -> str:
        return f"NpuTensor({tuple(self.shape)}, {self.dtype}, {self.device})"


def register(backend: ModuleType) -> None:
    """Make ``npu`` the name of PyTorch's spare device type, and this module what runs its operators."""
    _setup_privateuseone_for_python_backend("npu", backend_module=backend)
    _FALLBACK.fallback(_execute, "PrivateUse1")
    # Where this one is called, PyTorch does not find the fallback.
    _ATEN.impl("_copy_from", partial(_execute, _aten._copy_from.default), "PrivateUse1")
    _ATEN.impl("scaled_dot_product_attention", _attention, "AutogradPrivateUse1")
    # torch_npu says that parameters of host and device may take each other's place, so that a module's move keeps
    # ties. Tensors of two Python classes have to change places instead.
    torch.__future__.set_swap_module_params_on_conversion(True)


# Registrations last as long as these.
_FALLBACK, _ATEN = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")


def _execute(func: Any, *args: Any, **kwargs: Any) -> Any:
    """Run one operator: on its operands' chip, or on the one named by ``device``."""
    name = func._schema.name
    if name == "aten::copy_":
        return _copy(*args, **kwargs)
    if name == "aten::_copy_from":
        source, target, *options = args
        return _copy(target, source, *options, **kwargs)
    if name == "aten::_to_copy":
        return _to_copy(*args, **kwargs)
    operands = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    chip = _chip(func, operands, kwargs.get("device"))
    target = chip
    if kwargs.get("device") is not None:
        target = _chip_of(torch.device(kwargs["device"]))
        kwargs["device"] = torch.device("cpu")
    _check_generator(kwargs.get("generator"))
    if name in chip.without_kernel:
        warnings.warn(
            f"CAUTION: The operator '{name}' is not currently supported on the NPU backend and will fall back to run "
            "on the CPU. This may have performance implications.",
            stacklevel=2,
        )
        chip.wait()
        chip.to_host += [leaf.cells.nbytes for leaf in operands if isinstance(leaf, NpuTensor)]
    chip.launch(name)
    if name in _HOST_NEEDS:
        chip.wait()
        chip.to_host.append(operands[0].element_size())
    wrapped = {id(leaf.cells): leaf for leaf in operands if isinstance(leaf, NpuTensor)}
    cells, named = tree_map_only(NpuTensor, lambda leaf: leaf.cells, (args, kwargs))
    seeded = torch.Tag.nondeterministic_seeded in func.tags
    with chip.randomness() if seeded else nullcontext():
        result = _KERNELS.get(name, func)(*cells, **named)

    def wrap(found: torch.Tensor) -> torch.Tensor:
        known = wrapped.get(id(found))
        if known is None:
            return found if target is None else NpuTensor(found, target)
        if (known.shape, known.stride()) != (found.shape, found.stride()):
            # It has grown, as a result that was made empty does.
            known.data = grown = NpuTensor(found, known.block.chip)
            known.block = grown.block
        return known

    made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
    if name in chip.without_kernel:
        chip.to_device += [leaf.nbytes for leaf in made]
    _check_dtypes(func, chip, [*wrapped.values(), *(made if target else ())])
    return tree_map_only(torch.Tensor, wrap, result)


def _histc(values: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """Count whole numbers too, as an NPU does and a CPU does not; exact below 2**24."""
    return torch.histc(values.float(), *args, **kwargs).to(values.dtype)


def _as_hf32(values: torch.Tensor) -> torch.Tensor:
    """Round float32 to 11 bits of mantissa where that is switched on, by arithmetic that float64 does exactly."""
    if values.dtype != torch.float32 or not npu.matmul.allow_hf32:
        return values
    significand, exponent = torch.frexp(values.double())
    return torch.ldexp((significand * 2**12).round(), exponent - 12).float()


def _mm(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return torch.mm(_as_hf32(left), _as_hf32(right))


def _bmm(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return torch.bmm(_as_hf32(left), _as_hf32(right))


# Where the device is not the CPU.
_KERNELS: dict[str, Callable[..., Any]] = {"aten::histc": _histc, "aten::mm": _mm, "aten::bmm": _bmm}


def _attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    """Run attention as one kernel, as torch_npu does; where a gradient is wanted, as PyTorch's several."""
    operands = (query, key, value)
    if torch.is_grad_enabled() and any(operand.requires_grad for operand in operands):
        return _aten._scaled_dot_product_attention_math(*operands, *args, **kwargs)[0]
    return _execute(_aten.scaled_dot_product_attention.default, *operands, *args, **kwargs)


def _chip(func: Any, operands: list[torch.Tensor], device: Any) -> Chip:
    chips = [leaf.block.chip for leaf in operands if isinstance(leaf, NpuTensor)]
    if not chips:
        chip = _chip_of(torch.device(device))
        if chip is None:
            raise NotImplementedError(f"{func} came to the stand-in without a tensor of its own")
        return chip
    if len(set(chips)) > 1:
        first, second = sorted({chip.index for chip in chips})[:2]
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, npu:{first} and "
            f"npu:{second}!"
        )
    for place, leaf in enumerate(operands):
        # A tensor without dimensions is a number to every kernel that only reads it.
        if not isinstance(leaf, NpuTensor) and (leaf.ndim or (func._schema.is_mutable and not place)):
            if func._schema.name not in _INDEXING:
                raise RuntimeError(
                    "Expected all tensors to be on the same device. Expected NPU tensor, please check whether the "
                    "input tensor device is correct.\n[ERROR] ERR01002 OPS invalid type"
                )
            chips[0].to_device.append(leaf.nbytes)
    return chips[0]


def _chip_of(device: torch.device) -> Chip | None:
    """Return the chip of a device; None for one that is no NPU."""
    if device.type != "npu":
        return None
    index = torch.npu.current_device() if device.index is None else device.index  # pyright: ignore
    if index >= len(CHIPS):
        raise RuntimeError(
            f"torch_npu/csrc/core/npu/NPUFunctions.cpp:117 NPU function error: aclrtSetDevice({index}), error code "
            "is 107001\n[ERROR] ERR00100 PTA call acl api failed\n[Error]: Invalid device ID."
        )
    return CHIPS[index]


def _check_generator(generator: torch.Generator | None) -> None:
    if generator is not None:
        raise RuntimeError(f"Expected a 'npu' device type for generator but found '{generator.device.type}'")


def _check_dtypes(func: Any, chip: Chip, tensors: list[torch.Tensor]) -> None:
    """Raise where an operator computes in what the chip cannot; views, moves and allocations are no computation."""
    name = func._schema.name
    makes = any(argument.name == "device" for argument in func._schema.arguments)
    wrong = {leaf.dtype for leaf in tensors} & chip.without_dtypes
    if func.is_view or makes or name in _MOVES or not wrong:
        return
    dtype = _DT[min(wrong, key=str)]
    kernel = "".join(word.capitalize() for word in name.removeprefix("aten::").split("_"))
    raise RuntimeError(
        f"call aclnn{kernel} failed, detail:EZ1001: Tensor self not implemented for {dtype}, should be in "
        "dtype support list [DT_FLOAT,DT_FLOAT16].\n[ERROR] ERR01100 OPS call acl api failed"
    )


def _to_copy(
    source: torch.Tensor,
    *,
    dtype: torch.dtype | None = None,
    layout: Any = None,
    device: torch.device | None = None,
    pin_memory: bool | None = None,  # noqa: ARG001 - host memory is all alike
    non_blocking: bool = False,
    memory_format: Any = None,
) -> torch.Tensor:
    if dtype == torch.float64 and device is None and layout is None and dtype != source.dtype:
        warnings.warn("Device do not support double dtype now, dtype cast replace with float.", stacklevel=2)
        dtype = torch.float32
    form = memory_format or torch.preserve_format
    like = torch.empty_like(source, dtype=dtype, device=device, memory_format=form)
    return _copy(like, source, non_blocking=non_blocking)


def _copy(target: torch.Tensor, source: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
    """Copy between host and device, or on the device, converting where the source lies."""
    if not isinstance(source, NpuTensor):
        assert isinstance(target, NpuTensor)
        target.cells.copy_(source.to(target.dtype))
        chip = target.block.chip
        chip.to_device.append(target.cells.nbytes)
        if not non_blocking:
            chip.wait()
        return target
    chip = source.block.chip
    if isinstance(target, NpuTensor):
        if target.dtype != source.dtype:
            _check_dtypes(_aten.copy_.default, chip, [target, source])
        target.cells.copy_(source.cells)
        return target
    packed = source.cells.expand(target.shape)
    if not packed.is_contiguous():
        chip.free(chip.allocate(packed.numel() * packed.element_size()))
    # What the stream brings is what was there when the copy was launched.
    bytes_then = packed.clone()
    chip.to_host.append(bytes_then.nbytes)
    if non_blocking:
        target.copy_(torch.full((target.element_size(),), 0xFF, dtype=torch.uint8).view(target.dtype))
        # What has to be converted goes through a buffer, which is read too early.
        if (target.dtype, target.stride()) == (bytes_then.dtype, bytes_then.stride()):
            chip.later(lambda: target.copy_(bytes_then))
    else:
        chip.wait()
        target.copy_(bytes_then)
    return target
