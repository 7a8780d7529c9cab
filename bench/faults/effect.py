"""How large a fault is at its module, in units of the error that a correct engine makes there.

Worked out with NumPy from the files themselves: nothing of either half of the project has a part in it.
"""

from __future__ import annotations

import math
import os

import numpy as np

from .arrow_dump import ArrowDump, Key, read

Path = str | os.PathLike[str]


def first_changed(module: str, clean: Path, faulty: Path) -> str:
    """Return the first tensor that a fault changes by itself: of an MLP's, its router's logits where they differ.

    A norm before a mixture of experts feeds the router before the experts. Both dumps are of the same inputs, and
    computed by the same code: what the fault does not touch is equal in every bit.

    Args:
        module: canonical name of the tensor where the fault was put.
        clean: forced reference of the candidate's inputs.
        faulty: the same with the fault put into the reference.
    """
    if not module.endswith(".mlp"):
        return module
    router = module.removesuffix("mlp") + "router"
    before, after = read(clean), read(faulty)
    keys = [key for key in before.tensors if key.name == router]
    differ = any(
        key in after.tensors
        and not np.array_equal(before.tensors[key].rows(), after.tensors[key].rows(), equal_nan=True)
        for key in keys
    )
    return router if differ else module


def effect(module: str, clean: Path, faulty: Path, floor: Path, floor_forced: Path, *, times: float = 1.0) -> float:
    """Return the size of a fault at its module over the floor's own error.

    That is the root mean square over tokens of ``|faulty - clean|_t / |clean|_t``, over the root mean square of
    ``|floor - floor_forced|_t / |floor_forced|_t``; all in float64. Prompts and decode steps are two groups: a fault
    of decode steps is not diluted by the prompts before them. The larger group counts.

    Args:
        module: canonical name of the tensor.
        clean: forced reference of the candidate's inputs.
        faulty: the same with the fault put into the reference.
        floor: dump of a correct engine in the candidate's precision.
        floor_forced: forced reference of its inputs.
        times: what the faulty tensor is multiplied by before it enters the residual sum, over what is right.

    Returns:
        From 0 to infinity, which is also what a value gives that is not finite, and any change of a tensor that the
        floor has exactly.

    Raises:
        ValueError: a dump lacks the tensor, or two differ in their samples, steps or shapes.
    """
    change = _errors(module, read(faulty), read(clean), times)
    own = _errors(module, read(floor), read(floor_forced))
    if set(change) != set(own):
        raise ValueError(f"{module}: prompts and decode steps are not in all dumps")
    return max(_ratio(_rms(change[group]), _rms(own[group])) for group in change)


def _errors(module: str, value: ArrowDump, reference: ArrowDump, times: float = 1.0) -> dict[bool, np.ndarray]:
    """Return the relative error of every token of ``times`` a value, ``[T]``: prompts (False), decode (True)."""
    keys = [key for key in reference.tensors if key.name == module]
    if not keys or set(keys) != {key for key in value.tensors if key.name == module}:
        raise ValueError(f"{module}: not in both dumps for the same samples and steps")
    groups: dict[bool, list[np.ndarray]] = {}
    for key in keys:
        groups.setdefault(key.step > 0, []).append(_relative(key, value, reference, times))
    return {decode: np.concatenate(parts) for decode, parts in groups.items()}


def _relative(key: Key, value: ArrowDump, reference: ArrowDump, times: float) -> np.ndarray:
    x, r = times * value.tensors[key].rows(), reference.tensors[key].rows()
    if x.shape != r.shape:
        raise ValueError(f"{key.name}: shapes {x.shape} and {r.shape}")
    with np.errstate(all="ignore"):
        error = np.linalg.norm(x - r, axis=1) / np.linalg.norm(r, axis=1)
    # Nothing where both are zero throughout; infinite where only the reference is, or where a value is not finite.
    return np.where((x == r).all(axis=1), 0.0, np.where(np.isnan(error), math.inf, error))


def _rms(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(errors))))


def _ratio(change: float, own: float) -> float:
    if change == 0:
        return 0.0
    return change / own if own > 0 else math.inf
