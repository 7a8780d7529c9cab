"""Arithmetic of other number formats, on tensors of any floating dtype, and fixed draws."""

from __future__ import annotations

import zlib

import torch

_FP8_MAX = 448.0


def rounded(x: torch.Tensor, bits: int, *, truncate: bool = False) -> torch.Tensor:
    """Return ``x`` with ``bits`` significant binary digits: rounded half to even, or cut off."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    mantissa, exponent = torch.frexp(wide)
    scaled = mantissa * 2.0**bits
    kept = torch.ldexp((scaled.trunc() if truncate else scaled.round()) * 2.0**-bits, exponent)
    return torch.where(torch.isfinite(wide), kept, wide).to(x.dtype)


def through(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return ``x`` rounded to another dtype and back."""
    return x.to(dtype).to(x.dtype)


def integer(x: torch.Tensor, scale: torch.Tensor, top: int) -> torch.Tensor:
    """Return the integers ``x / scale``, from -top to top, as floats."""
    return (x / scale.clamp_min(torch.finfo(x.dtype).tiny)).round().clamp(-top, top)


def absmax_scale(x: torch.Tensor, axis: int | None, top: int) -> torch.Tensor:
    """Return the largest magnitude over ``top``: of the whole tensor, or along an axis, which stays with length 1."""
    largest = x.abs().amax() if axis is None else x.abs().amax(dim=axis, keepdim=True)
    return largest / top


def quantised(x: torch.Tensor, axis: int | None, top: int) -> torch.Tensor:
    """Return ``x`` through symmetric integers up to ``top``, one scale in all or one along each ``axis``."""
    scale = absmax_scale(x, axis, top)
    return integer(x, scale, top) * scale


def fp8(x: torch.Tensor) -> torch.Tensor:
    """Return ``x`` through FP8 E4M3 with one scale, its largest magnitude at the format's largest value."""
    scale = (x.abs().amax() / _FP8_MAX).clamp_min(torch.finfo(torch.float32).tiny)
    return (x / scale).to(torch.float8_e4m3fn).to(x.dtype) * scale


def work(x: torch.Tensor) -> torch.Tensor:
    """Return ``x`` in at least float32."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def rms(x: torch.Tensor) -> torch.Tensor:
    """Return the root mean square over the last axis, which stays with length 1; zeros give zero."""
    return work(x).square().mean(dim=-1, keepdim=True).sqrt()


def draw(name: str) -> torch.Generator:
    """Return a generator that is the same for the same name, on every machine."""
    return torch.Generator().manual_seed(zlib.crc32(name.encode()))


def chosen(name: str, count: int, of: int) -> torch.Tensor:
    """Return ``count`` different indices below ``of``, or as many as there are, always the same for the same name."""
    return torch.randperm(of, generator=draw(name))[:count]
