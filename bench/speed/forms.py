"""The same tensors in the file formats of the other tools.

Samples of one name are put together, so that each tool has the tensors that npu-diff's figures are of, and few large
files. What is not NumPy's is made in the environment of the other tools; see rivals/convert.py.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from npu_dump import load

from .dumps import SIDES
from .failure import Failure

CONVERT = Path(__file__).parent / "rivals" / "convert.py"
# Bytes on the disk over those of the two dumps; base64 makes four characters of three bytes.
SHARES = {"arrow": 1.0, "copy": 0.5, "npy": 1.0, "pt": 1.0, "polygraphy": 1.36, "msprobe": 1.0}


def make(forms: Collection[str], folder: Path, python: Path | None) -> None:
    """Make the forms that are asked for, beside `reference.arrow` and `candidate.arrow`.

    Args:
        forms: keys of `SHARES`.
        folder: of the case; each form has a folder of its own in it.
        python: interpreter of the environment of the other tools.

    Raises:
        Failure: a conversion failed.
    """
    if "copy" in forms:
        shutil.copyfile(folder / "reference.arrow", folder / "copy.arrow")
    if {"npy", "pt", "polygraphy", "msprobe"} & set(forms):
        _to_npy(folder)
    for form in ("pt", "polygraphy", "msprobe"):
        if form not in forms:
            continue
        assert python is not None
        done = subprocess.run([python, CONVERT, form, folder], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failure(
                f"the files of the form {form} could not be made",
                facts=[("exit code", done.returncode), ("said", done.stderr.strip()[-1000:])],
                help="see whether the disk is full, and whether the environment is the locked one",
            )


def files(form: str, folder: Path) -> list[Path]:
    """The files of one form, which a tool reads."""
    if form == "arrow":
        return [folder / f"{side}.arrow" for side in SIDES]
    if form == "copy":
        return [folder / "reference.arrow", folder / "copy.arrow"]
    return [path for path in sorted((folder / form).rglob("*")) if path.is_file()]


def _to_npy(folder: Path) -> None:
    """Write `npy/SIDE/00000.npy`, `npy/input_ids.npy` and `npy/tensors.json`, which names them."""
    to = folder / "npy"
    tensors: list[dict[str, Any]] = []
    for side in SIDES:
        dump = load(folder / f"{side}.arrow")
        names = dict.fromkeys(name for name, _, _ in dump if name != "input_ids")
        (to / side).mkdir(parents=True)
        index = 0
        for name in names:
            values = [_stored(dump[name, sample, 0]) for sample in dump.samples() if (name, sample, 0) in dump]
            # Texts and the like, which are not compared.
            if values[0][1] is None:
                continue
            rows = sum(len(part) for part, _ in values)
            shape = (rows, *values[0][0].shape[1:])
            with (to / side / f"{index:05}.npy").open("wb") as file:
                header = {"descr": values[0][0].dtype.str, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
                for part, _ in values:
                    file.write(np.ascontiguousarray(part).data)
            if side == SIDES[0]:
                tensors.append({"name": name, "shape": shape})
            elif tensors[index]["name"] != name:
                raise ValueError(f"{side}: tensor {index} is {name}, not {tensors[index]['name']}")
            tensors[index][side] = values[0][1]
            index += 1
    dump = load(folder / "reference.arrow")
    ids = [dump["input_ids", sample, 0] for sample in dump.samples()]
    np.save(to / "input_ids.npy", np.concatenate(ids))
    described = {"lengths": [len(part) for part in ids], "tensors": tensors}
    (to / "tensors.json").write_text(json.dumps(described))


def _stored(value: Any) -> tuple[np.ndarray, str | None]:
    """Return the stored form of a tensor and the name of its number format; None where it is no float."""
    if not isinstance(value, np.ndarray):
        import torch

        return value.view(torch.int16).numpy().view(np.uint16), "BF16"
    names = {"float32": "F32", "float16": "F16"}
    return value, names.get(value.dtype.name)
