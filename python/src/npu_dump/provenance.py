"""Where a dump comes from: model, device, engine, versions, numerics. Nothing of the user or the host's name."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import nn

from . import devices
from .configuration import as_json, constants
from .contract import BY_TORCH
from .hashing import combined_sha256
from .layer_types import layer_types
from .module_tree import text_config


def describe(model: nn.Module) -> dict[str, Any]:
    """Return the metadata of a run of this model in this process."""
    parameter = next((value for value in model.parameters() if value.is_floating_point()), None)
    dtype = BY_TORCH.get(str(parameter.dtype).removeprefix("torch.")) if parameter is not None else None
    device = device_of(model)
    return {
        "model": _model_facts(model),
        "device": devices.describe(device),
        "engine": _engine(model),
        # A module without floating point parameters computes in whatever it is fed; PyTorch's default says most.
        "dtype": dtype.name if dtype else "F32",
        "seed": torch.initial_seed() % 2**63,
        "numerics": devices.numerics(device),
        "versions": versions(),
    }


def device_of(model: nn.Module) -> torch.device:
    """Return where a model computes: where its first parameter is; the CPU where it has none.

    Of a parameter that accelerate has put aside and fetches for each call, that is where it is fetched to.
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    if device.type != "meta":
        return device
    hooks = (getattr(module, "_hf_hook", None) for module in model.modules())
    fetched_to = (getattr(hook, "execution_device", None) for hook in hooks)
    return torch.device(next((place for place in fetched_to if place is not None), "cpu"))


def _model_facts(model: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "architecture": type(model).__name__,
        "parameters": _parameter_count(model),
    }
    config = text_config(model)
    if config is None:
        return facts
    heads, hidden = getattr(config, "num_attention_heads", None), getattr(config, "hidden_size", None)
    head_dim = getattr(config, "head_dim", None) or (hidden // heads if heads and hidden else None)
    facts |= {
        "id": model_id(getattr(model.config, "_name_or_path", "")),
        "layers": getattr(config, "num_hidden_layers", None),
        "hidden_size": hidden,
        "heads": heads,
        "kv_heads": getattr(config, "num_key_value_heads", None) or heads,
        "head_dim": head_dim,
        "vocab_size": getattr(config, "vocab_size", None),
        "layer_types": layer_types(model),
        "tie_word_embeddings": tied(model),
    }
    return {name: value for name, value in as_json(facts).items() if value not in (None, "")} | constants(config)


def tied(model: Any) -> bool:
    """Return whether the head uses the embedding's very memory, whatever the configuration says.

    Only of weights that have no memory, because accelerate has put them aside, the configuration must be believed.
    """
    head, embedding = _head_weight(model), getattr(model.get_input_embeddings(), "weight", None)
    if head is None or embedding is None:
        return False
    if head.device.type == embedding.device.type == "meta":
        return head is embedding or bool(getattr(text_config(model), "tie_word_embeddings", False))
    return head.data_ptr() == embedding.data_ptr()


def _head_weight(model: Any) -> torch.Tensor | None:
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    return getattr(head, "weight", None)


def _parameter_count(model: Any) -> int:
    count = sum(parameter.numel() for parameter in model.parameters())
    head = _head_weight(model)
    # Parameters are told apart by identity, and what was put aside has lost that of the embedding.
    twice = head is not None and tied(model) and head is not model.get_input_embeddings().weight
    return count - head.numel() if head is not None and twice else count


def _engine(model: nn.Module) -> dict[str, Any]:
    config = text_config(model)
    if config is None:
        return {"name": "torch", "version": torch.__version__, "graph": False}
    attention = getattr(config, "_attn_implementation", None)
    return {"name": "transformers", "version": _version("transformers"), "attention": attention, "graph": False}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a model runs on."""
    packages = ("torch", "transformers", "torch_npu", "numpy", "pyarrow")
    found = {name: _version(name) for name in packages}
    return {"python": platform.python_version()} | {name: text for name, text in found.items() if text}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return getattr(sys.modules.get(package), "__version__", None)


def model_id(name: str) -> str:
    """Return a model's name without the folders of this machine; a hub id such as ``owner/name`` stays."""
    if os.path.isabs(name) or Path(name).exists() or name.startswith((".", "~")):  # noqa: PTH117 - text, not a path yet
        return Path(name).resolve().name
    return name


def peak_memory(model: nn.Module) -> int | None:
    """Return the most bytes in use since the process began: of the model's accelerator, else of the process."""
    return devices.peak_memory(device_of(model))


def file_hashes(model: Path, progress: Callable[[int, int], None] | None = None) -> dict[str, str]:
    """Return ``config_sha256``, ``tokenizer_sha256`` and ``weights_sha256`` of a model's files.

    A key is absent where its file is. The tokenizer's file is ``tokenizer.json``, else ``tokenizer.model``.
    ``weights_sha256`` is the SHA-256 of the weight file; of several, that of their hex digests, sorted by file name,
    joined by newlines.

    Args:
        model: a folder as transformers writes it, or one GGUF file.
        progress: called with bytes read and bytes in all.
    """
    if model.is_file():
        return {"weights_sha256": combined_sha256([model], progress)}
    hashes: dict[str, str] = {}
    for key, names in (("config_sha256", ("config.json",)), ("tokenizer_sha256", _TOKENIZERS)):
        file = next((model / name for name in names if (model / name).is_file()), None)
        if file is not None:
            hashes[key] = hashlib.sha256(file.read_bytes()).hexdigest()
    files = weight_files(model)
    if files:
        hashes["weights_sha256"] = combined_sha256(files, progress)
    return hashes


def weight_files(model: Path) -> list[Path]:
    """Return the weight files that transformers loads from a folder, sorted by name: safetensors before PyTorch's."""
    for pattern in (r"model(-\d+-of-\d+)?\.safetensors", r"pytorch_model(-\d+-of-\d+)?\.bin"):
        files = sorted(path for path in model.iterdir() if re.fullmatch(pattern, path.name))
        if files:
            return files
    return []


_TOKENIZERS = ("tokenizer.json", "tokenizer.model")
