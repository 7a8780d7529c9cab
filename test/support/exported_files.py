"""Reads files that `npu-diff convert` wrote with the tools that they are for, and prints what those found."""

import ast
import csv
import hashlib
import json
import pathlib
import sys
from typing import Any

import ml_dtypes
import numpy as np
import pyarrow as pa
from safetensors import safe_open

NAMES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2", "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8",
    "bool": "BOOL",
    # As NumPy alone loads what ml_dtypes stores.
    "|V2": "BF16", "|V1": "F8_E4M3",
}  # fmt: skip


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def numpy_file(path: pathlib.Path) -> dict[str, Any]:
    with np.load(path) as archive:
        return {name: array_facts(archive, name) for name in archive.files}


def array_facts(archive: Any, name: str) -> dict[str, Any]:
    try:
        array = archive[name]
    except ValueError:
        # NumPy writes float8_e5m2 as f1, and does not read that: the header is a literal all the same.
        with archive.zip.open(f"{name}.npy") as file:
            file.read(8)
            header = ast.literal_eval(file.read(int.from_bytes(file.read(2), "little")).decode())
            data = file.read()
        return {"dtype": {"<f1": "F8_E5M2"}[header["descr"]], "shape": list(header["shape"]), "sha256": digest(data)}
    dtype = NAMES.get(array.dtype.name) or NAMES[array.dtype.str]
    return {"dtype": dtype, "shape": list(array.shape), "sha256": digest(array.tobytes())}


def safetensors_file(path: pathlib.Path) -> dict[str, Any]:
    import torch

    with safe_open(path, framework="pt") as file:
        names = file.keys()
        tensors = {name: file.get_tensor(name) for name in names}
        run = json.loads(file.metadata()["npu_diff.run"])
    found = {
        name: {
            "dtype": NAMES[str(tensor.dtype).removeprefix("torch.")],
            "shape": list(tensor.shape),
            "sha256": digest(tensor.reshape(-1).view(torch.uint8).numpy().tobytes()),
        }
        for name, tensor in tensors.items()
    }
    return {"tensors": found, "id": run["id"]}


def arrow_file(path: pathlib.Path) -> dict[str, Any]:
    data: dict[str, bytes] = {}
    found: dict[str, Any] = {}
    for row in pa.ipc.open_file(path).read_all().to_pylist():
        if row["name"] == "run.end":
            continue
        key = f"{row['name']}@{row['sample']}.{row['step']}"
        data[key] = data.get(key, b"") + row["data"]
        found[key] = {"dtype": row["dtype"], "shape": row["shape"], "sha256": digest(data[key])}
    return found


TYPES: dict[str, Any] = {
    "BF16": ml_dtypes.bfloat16, "F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2,
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1",
    "BOOL": "?",
}  # fmt: skip


def table(path: pathlib.Path, arrow: pathlib.Path) -> dict[str, Any]:
    """The rows of the table, and the statistics that NumPy has of the same tensors in float64 and longer."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    stats = []
    for row in pa.ipc.open_file(arrow).read_all().to_pylist():
        if row["name"] == "run.end":
            continue
        values = np.frombuffer(row["data"], dtype=TYPES[row["dtype"]]).astype(np.longdouble)
        finite = values[np.isfinite(values)]
        some = finite.size > 0
        stats.append(
            {
                "min": float(finite.min()) if some else None,
                "max": float(finite.max()) if some else None,
                "mean": float(finite.mean()) if some else None,
                "rms": float(np.sqrt((finite**2).mean())) if some else None,
                "nan": int(np.isnan(values).sum()),
                "posinf": int(np.isposinf(values).sum()),
                "neginf": int(np.isneginf(values).sum()),
            }
        )
    return {"rows": rows, "stats": stats}


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    kinds = {
        "npz": numpy_file(folder / "out.npz"),
        "safetensors": safetensors_file(folder / "out.safetensors"),
        "arrow": arrow_file(folder / "out.arrow"),
        "csv": table(folder / "out.csv", folder / "out.arrow"),
    }
    print(json.dumps(kinds))
