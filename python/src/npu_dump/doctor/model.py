"""A small decoder, forward and backward, against the CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from .check import Check, reason

VOCABULARY, HIDDEN, HEADS, LAYERS, TOKENS, BATCH = 512, 128, 4, 2, 48, 2

# The CPU's own error in float32 is what a correct device may err by. Kernels differ in the order of their sums and in
# their exponentials; sixteen times is four bits, while TF32 and HF32 lose twelve.
_MARGIN = 16
# With operands of 10 bits, 2^-11 each, and some amplification.
_REDUCED = 2.0**-6


class Block(nn.Module):
    """Attention with rotary positions and a gated MLP, each behind an RMS norm, as in Llama."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ParameterList(torch.ones(HIDDEN) for _ in range(2))
        self.qkv, self.out = nn.Linear(HIDDEN, 3 * HIDDEN, bias=False), nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.gate_up, self.down = nn.Linear(HIDDEN, 8 * HIDDEN, bias=False), nn.Linear(4 * HIDDEN, HIDDEN, bias=False)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        """Return the residual stream ``[B, T, HIDDEN]`` behind the block."""
        batch, tokens, _ = x.shape
        parts = self.qkv(_rms_norm(x, self.norms[0])).view(batch, tokens, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        query, key = (part * cos + _half_turned(part) * sin for part in parts[:2])
        attended = functional.scaled_dot_product_attention(query, key, parts[2], is_causal=True)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, tokens, HIDDEN))
        gate, up = self.gate_up(_rms_norm(x, self.norms[1])).chunk(2, dim=-1)
        return x + self.down(functional.silu(gate) * up)


class Decoder(nn.Module):
    """A causal language model of two blocks with weights of one seed."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, HIDDEN)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.Parameter(torch.ones(HIDDEN))
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5, generator=generator)

    def forward(self, ids: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        """Return logits ``[B, T, VOCABULARY]`` of ids ``[B, T]``."""
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x, cos, sin)
        return functional.linear(_rms_norm(x, self.norm), self.embed.weight)


def forward(device: torch.device, *, reduced: bool) -> Check:
    """Return the check of the logits.

    Args:
        device: where they are computed in float32.
        reduced: whether float32 products are known to have fewer bits there.
    """
    with torch.no_grad():
        exact, here, there = (_logits(place, dtype)[1] for place, dtype in _runs(device))
    return _judged("model/forward", "logits", *map(_vector, ([exact], [here], [there])), reduced=reduced)


def backward(device: torch.device, *, reduced: bool) -> Check:
    """Return the check of the gradients of all weights; a device without any is a warning, as captures need none."""
    exact, here = (_gradients(*place) for place in _runs(device)[:2])
    try:
        there = _gradients(device, torch.float32)
    except RuntimeError as error:
        step = "nothing, as long as the device is not trained on: captures compute no gradients"
        return Check("model/backward", "warning", reason(error), {}, step)
    return _judged("model/backward", "gradients", exact, here, there, reduced=reduced)


def _judged(
    name: str, what: str, exact: torch.Tensor, own: torch.Tensor, found: torch.Tensor, *, reduced: bool
) -> Check:
    strange = int((~found.isfinite()).sum())
    if strange:
        text = f"{strange} of {found.numel()} {what} are not finite"
        return Check(name, "fail", text, {"non_finite": strange}, _NEXT)
    scale = float(exact.norm())
    errors = {
        "relative_error": float((found - exact).norm()) / scale,
        "cpu_float32_error": float((own - exact).norm()) / scale,
        "against_cpu_float32": float((found - own).norm()) / scale,
    }
    error, limit = errors["relative_error"], _MARGIN * errors["cpu_float32_error"]
    figures: dict[str, Any] = errors | {"limit": limit}
    text = f"{what} in float32: relative error {error:.1e} against float64, where the CPU has "
    text += f"{errors['cpu_float32_error']:.1e}; {errors['against_cpu_float32']:.1e} against the CPU in float32"
    if error <= limit:
        return Check(name, "ok", text, figures)
    if reduced and error <= _REDUCED:
        step = "this follows from matmul/float32; turn the switch named there off"
        return Check(name, "warning", text, figures, step)
    return Check(name, "fail", f"{text}; {limit:.1e} at most", figures, _NEXT)


_NEXT = "capture a model on both devices and let npu-diff compare say which module it is"


def _runs(device: torch.device) -> list[tuple[torch.device, torch.dtype]]:
    """Return where and in what the model runs: exactly, on the CPU, on the device."""
    cpu = torch.device("cpu")
    return [(cpu, torch.float64), (cpu, torch.float32), (device, torch.float32)]


def _logits(device: torch.device, dtype: torch.dtype) -> tuple[Decoder, torch.Tensor, torch.Tensor]:
    """Return a model, its logits, and the ids that it should have expected."""
    model = Decoder().to(dtype).to(device)
    ids = torch.randint(VOCABULARY, (BATCH, TOKENS), generator=torch.Generator().manual_seed(0))
    # Of the host, in float64: every device turns by the same angles.
    width = HIDDEN // HEADS
    frequencies = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.outer(torch.arange(TOKENS, dtype=torch.float64), frequencies).repeat(1, 2)
    logits = model(*(part.to(device) for part in (ids, angles.cos().to(dtype), angles.sin().to(dtype))))
    return model, logits, ids.roll(-1, 1).to(device)


def _gradients(device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Return all gradients as one float64 vector on the CPU."""
    model, logits, targets = _logits(device, dtype)
    functional.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
    return _vector([parameter.grad for parameter in model.parameters() if parameter.grad is not None])


def _vector(tensors: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([tensor.cpu().double().flatten() for tensor in tensors])


def _rms_norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * weight


def _half_turned(x: torch.Tensor) -> torch.Tensor:
    left, right = x.chunk(2, dim=-1)
    return torch.cat((-right, left), dim=-1)
