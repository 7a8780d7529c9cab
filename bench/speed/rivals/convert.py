"""Makes the files of one tool from the .npy files of a case.

Called as `python convert.py pt|polygraphy|msprobe FOLDER`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

SIDES = ("reference", "candidate")
# Tensors of one JSON file of Polygraphy, which is decoded as a whole.
GROUP = 64 << 20


def tensors(folder: Path, side: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor by its name."""
    described = json.loads((folder / "npy" / "tensors.json").read_text())
    for index, tensor in enumerate(described["tensors"]):
        values = np.load(folder / "npy" / side / f"{index:05}.npy")
        if tensor[side] == "BF16":
            yield tensor["name"], torch.from_numpy(values.view(np.int16)).view(torch.bfloat16)
        else:
            yield tensor["name"], torch.from_numpy(values)


def to_pt(folder: Path) -> None:
    """One .pt file a side, a dictionary of the tensors by name, as scripts save hidden states."""
    (folder / "pt").mkdir()
    described = json.loads((folder / "npy" / "tensors.json").read_text())
    ids = torch.from_numpy(np.load(folder / "npy" / "input_ids.npy"))
    torch.save({"input_ids": ids, "lengths": described["lengths"]}, folder / "pt" / "input_ids.pt")
    for side in SIDES:
        torch.save(dict(tensors(folder, side)), folder / "pt" / f"{side}.pt")


def to_polygraphy(folder: Path) -> None:
    """A folder of JSON files a side, as `polygraphy run --save-outputs FOLDER` leaves, one for a group of tensors.

    NumPy arrays, as its runners return; torch tensors where bfloat16 is among them, which NumPy lacks.
    """
    from polygraphy.comparator import RunResults

    described = json.loads((folder / "npy" / "tensors.json").read_text())
    bfloat16 = any("BF16" in (tensor[side] for side in SIDES) for tensor in described["tensors"])
    for side in SIDES:
        to = folder / "polygraphy" / side
        to.mkdir(parents=True)
        groups: list[dict[str, Any]] = [{}]
        size = 0
        for name, tensor in tensors(folder, side):
            # Of the larger side, so that both have the same groups.
            size += tensor.numel() * 4
            if groups[-1] and size > GROUP:
                groups.append({})
                size = tensor.numel() * 4
            groups[-1][name] = tensor if bfloat16 else tensor.numpy()
        for number, group in enumerate(groups):
            results = RunResults()
            results.add([group], runner_name=side)
            results.save(str(to / f"{number:010}.json"))


def to_msprobe(folder: Path) -> None:
    """What msprobe's PrecisionDebugger leaves with task `tensor` and level L0; each tensor is a module's output."""
    for side in SIDES:
        to = folder / "msprobe" / side
        data = to / "dump_tensor_data"
        data.mkdir(parents=True)
        operations: dict[str, Any] = {}
        for name, tensor in tensors(folder, side):
            operation = f"Module.{name}.Tensor.forward.0"
            file = f"{operation}.output.0.pt"
            torch.save(tensor, data / file)
            values = tensor.float()
            output = {
                "type": "torch.Tensor",
                "dtype": str(tensor.dtype),
                "shape": list(tensor.shape),
                "Max": values.max().item(),
                "Min": values.min().item(),
                "Mean": values.mean().item(),
                "Norm": values.norm().item(),
                "requires_grad": False,
                "data_name": file,
            }
            operations[operation] = {"input_args": [], "input_kwargs": {}, "output": [output]}
        described = {"task": "tensor", "level": "L0", "framework": "pytorch", "dump_data_dir": str(data)}
        (to / "dump.json").write_text(json.dumps({**described, "data": operations}))
        (to / "stack.json").write_text("{}")
        (to / "construct.json").write_text(json.dumps(dict.fromkeys(operations)))


if __name__ == "__main__":
    {"pt": to_pt, "polygraphy": to_polygraphy, "msprobe": to_msprobe}[sys.argv[1]](Path(sys.argv[2]))
