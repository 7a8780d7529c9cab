"""Checkpoints of gpt-oss in MXFP4 by OCP Microscaling 1.0: E2M1 elements, one E8M0 scale a block of 32."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

BLOCK = 32
# Of a code's three lower bits; the fourth is the sign.
MAGNITUDES = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
# Exponent of the largest power of two among them.
LARGEST_EXPONENT = 2
SCALE_BIAS = 127


def quantize(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return blocks ``[…, K/32, 16]`` of two codes a byte, the first in the low half, and scales ``[…, K/32]``."""
    blocks = rows.reshape(*rows.shape[:-1], -1, BLOCK)
    exponents = np.floor(np.log2(np.abs(blocks).max(axis=-1))) - LARGEST_EXPONENT
    scaled = blocks / 2.0 ** exponents[..., None]
    codes = np.abs(np.abs(scaled)[..., None] - MAGNITUDES).argmin(axis=-1) + 8 * (scaled < 0)
    packed = codes[..., 0::2] | codes[..., 1::2] << 4
    return packed.astype(np.uint8), (exponents + SCALE_BIAS).astype(np.uint8)


def dequantize(blocks: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Return the rows ``[…, K]`` that blocks and scales stand for."""
    codes = np.stack([blocks & 15, blocks >> 4], axis=-1).reshape(*blocks.shape[:-1], BLOCK)
    values = np.where(codes & 8, -1.0, 1.0) * MAGNITUDES[codes & 7]
    return (values * 2.0 ** (scales.astype(np.float64) - SCALE_BIAS)[..., None]).reshape(*scales.shape[:-1], -1)


def quantize_checkpoint(folder: Path) -> dict[str, np.ndarray]:
    """Turn the experts of a saved gpt-oss into MXFP4; return what they stand for, as the model holds them."""
    weights = load_file(folder / "model.safetensors")
    exact: dict[str, np.ndarray] = {}
    for name in [name for name in weights if name.endswith(("experts.gate_up_proj", "experts.down_proj"))]:
        # The model holds [experts, in, out]; a block runs along what is summed over.
        rows = weights.pop(name).double().numpy().swapaxes(1, 2)
        blocks, scales = quantize(rows)
        exact[name] = dequantize(blocks, scales).swapaxes(1, 2)
        weights[f"{name}_blocks"], weights[f"{name}_scales"] = torch.from_numpy(blocks), torch.from_numpy(scales)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {
        "quant_method": "mxfp4",
        "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router", "lm_head"],
    }
    (folder / "config.json").write_text(json.dumps(config))
    return exact
