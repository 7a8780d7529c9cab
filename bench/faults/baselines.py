"""What the rules of other tools need to know of a candidate, tensor by tensor, from the dumps alone.

x is the reference (float32), y the candidate, d = y - x, f the first floor's error (the reference engine in the
candidate's precision), all in float64; every sample and step of a name counts. `baseline_rules.py` makes verdicts of
it. A tensor that holds a NaN or an infinity where the reference has none says so, and its figures are of the rest.

What each figure is of:

- `cosine`, `cosine_mean`, `cosine_max`: cosine *distances* 1 - <x,y>/(|x||y|) of the tensor as one vector, the mean
  and the largest of single rows (tokens). Two zero vectors have 0, one zero vector 1.
- `sample_cosine`, `l2`, `psnr`, `snr`, `elementwise`: as Polygraphy 0.53 computes them for one output of one
  iteration (a sample), the worst sample: cosine distance, |d|, peak (largest x) over root mean square of d in dB,
  signal over noise in dB, and the largest min(|d|, |d/y|) of an element, zeros of y being 2.2e-16.
- `close`: largest |d| / (atol + rtol |x|) with the tolerances that `torch.testing` has for the two number formats.
- `max_abs`: largest |d|.
- `thousandth`: msprobe's share of elements with |d/x| < 1e-3; `input_thousandth` and `input_cosine` are of the stream
  that the module reads, since msprobe compares a module's outputs with its inputs. It would see the inputs behind the
  norm, which no dump holds.
- `sigma`, `overlap`, `linf`, `l2_floor`: the three-way comparison of vLLM-Neuron's accuracy tests: root mean square
  of d over that of f, 1 - Bhattacharyya coefficient of the histograms of d and f, and, of the worst sample, largest
  |d| over largest |f| and |d| over |f|. Its documents do not say how errors are binned: 100 equal bins over the range
  of both are taken here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch.testing._comparison import default_tolerances

from .arrow_dump import ArrowDump, Key, read
from .modules import in_order, input_of, is_module, module_of

BINS = 100
EPSILON = 2.220446049250313e-16
Figures: TypeAlias = dict[str, "float | bool | None"]
FORMATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class Sample(NamedTuple):
    """One tensor of one sample and step: rows of x, y and, where there is a floor, of its values."""

    x: np.ndarray
    y: np.ndarray
    floor: np.ndarray | None


def features(
    reference: str | os.PathLike[str],
    candidate: str | os.PathLike[str],
    floors: Sequence[str | os.PathLike[str]],
) -> dict[str, Figures]:
    """Figures of every module that the reference holds, in execution order.

    A figure is None where nothing can be said: no floor, or no input. Raises ValueError where the candidate lacks a
    tensor of the reference or has another shape.
    """
    gold, mine = read(reference), read(candidate)
    floor = read(floors[0]) if floors else None
    found: dict[str, Figures] = {}
    streams: dict[str, tuple[float, float]] = {}
    for name in in_order(filter(is_module, gold.names())):
        keys = [key for key in gold.tensors if key.name == name]
        samples = [_sample(key, gold, mine, floor) for key in keys]
        formats = {FORMATS[dump.tensors[keys[0]].dtype] for dump in (gold, mine)}
        rtol, atol = default_tolerances(*[torch.empty(0, dtype=one) for one in sorted(formats, key=str)])
        likeness = _likeness(samples)
        found[name] = {
            "cosine": likeness[0],
            "thousandth": likeness[1],
            **_figures(samples, rtol, atol),
            **_three_way(samples),
        }
        read_from = input_of(name)
        if read_from is not None and read_from.endswith(".mid") and read_from not in streams:
            streams[read_from] = _likeness(list(_middle(read_from, gold, mine)))
        streams[name] = likeness
        if module_of(name).role == "layer":
            streams["last"] = likeness
        # Token ids are the embedding's input, and they are equal.
        cosine, thousandth = (0.0, 1.0) if read_from is None else streams.get(read_from, (None, None))
        found[name] |= {"input_cosine": cosine, "input_thousandth": thousandth}
    return found


def _sample(key: Key, gold: ArrowDump, mine: ArrowDump, floor: ArrowDump | None) -> Sample:
    if key not in mine.tensors or mine.tensors[key].shape != gold.tensors[key].shape:
        raise ValueError(f"the candidate does not hold {key} as the reference does")
    other = floor.tensors[key].rows() if floor is not None and key in floor.tensors else None
    return Sample(gold.tensors[key].rows(), mine.tensors[key].rows(), other)


def _middle(name: str, gold: ArrowDump, mine: ArrowDump) -> Iterator[Sample]:
    """The stream before the MLP of a layer, h + s attn; h alone where both blocks read it."""
    layer = name.removesuffix(".mid")
    stream = input_of(f"{layer}.attn")

    def middle(dump: ArrowDump, key: Key) -> np.ndarray:
        h = dump.tensors[key._replace(name=str(stream))].rows()
        model = dump.run.get("model", {})
        attn = dump.tensors.get(key._replace(name=f"{layer}.attn"))
        if model.get("residual", "sequential") != "sequential" or attn is None:
            return h
        scale = model.get("residual_scale", 1)
        return h + (scale[int(layer.split(".")[1])] if isinstance(scale, list) else scale) * attn.rows()

    for key in [key for key in gold.tensors if key.name == stream]:
        yield Sample(middle(gold, key), middle(mine, key), None)


def _cosine_distance(
    dot: np.ndarray | np.floating, xx: np.ndarray | np.floating, yy: np.ndarray | np.floating
) -> np.ndarray:
    size = np.sqrt(xx) * np.sqrt(yy)
    alike = np.where((xx == 0) & (yy == 0), 0.0, 1.0)
    return np.maximum(0.0, np.where(size > 0, 1 - dot / np.where(size > 0, size, 1), alike))


def _finite(sample: Sample) -> tuple[Sample, bool]:
    """The sample with zeros where a side is no finite number, and whether the two differ in kind anywhere."""
    held = np.isfinite(sample.x) & np.isfinite(sample.y)
    if held.all():
        return sample, False
    same = held | (sample.x == sample.y) | (np.isnan(sample.x) & np.isnan(sample.y))
    floor = None if sample.floor is None else np.where(held, sample.floor, 0.0)
    return Sample(np.where(held, sample.x, 0.0), np.where(held, sample.y, 0.0), floor), not same.all()


def _likeness(samples: list[Sample]) -> tuple[float, float]:
    """Cosine distance and share of elements within a thousandth."""
    dot, near, count = np.zeros(3), 0, 0
    for raw in samples:
        (x, y, _), _ = _finite(raw)
        dot += [np.vdot(x, y), np.vdot(x, x), np.vdot(y, y)]
        near += int(np.count_nonzero(np.abs(y - x) < 1e-3 * np.where(x == 0, EPSILON, np.abs(x))))
        count += x.size
    return float(_cosine_distance(*dot)), near / max(1, count)


def _figures(samples: list[Sample], rtol: float, atol: float) -> Figures:
    """Everything that needs no floor."""
    rows: list[np.ndarray] = []
    worst = {"sample_cosine": 0.0, "l2": 0.0, "psnr": np.inf, "snr": np.inf}
    largest = {"elementwise": 0.0, "close": 0.0, "max_abs": 0.0}
    differs = False
    for raw in samples:
        (x, y, _), unlike = _finite(raw)
        differs |= unlike
        d = y - x
        size, magnitude = np.abs(d), np.abs(x)
        products = np.stack([np.einsum("ij,ij->i", a, b) for a, b in ((x, y), (x, x), (y, y))])
        rows.append(_cosine_distance(*products))
        totals = products.sum(axis=1)
        noise = float(np.vdot(d, d))
        worst["sample_cosine"] = max(worst["sample_cosine"], float(_cosine_distance(*totals)))
        worst["l2"] = max(worst["l2"], np.sqrt(noise))
        if noise > 0:
            peak = float(x.max())
            mean = noise / d.size
            worst["psnr"] = min(worst["psnr"], 20 * np.log10(peak if peak > 0 else 1.0) - 10 * np.log10(mean))
            signal = totals[1] / d.size
            worst["snr"] = min(worst["snr"], 10 * np.log10(signal / mean) if signal > 0 else -np.inf)
        relative = size / np.where(y == 0, EPSILON, np.abs(y))
        largest["elementwise"] = max(largest["elementwise"], float(np.minimum(size, relative).max()))
        largest["close"] = max(largest["close"], float((size / (atol + rtol * magnitude)).max()))
        largest["max_abs"] = max(largest["max_abs"], float(size.max()))
    every = np.concatenate(rows)
    return {
        "nonfinite": bool(differs),
        "cosine_mean": float(every.mean()),
        "cosine_max": float(every.max()),
        **{name: float(value) for name, value in worst.items()},
        **largest,
    }


def _three_way(samples: list[Sample]) -> Figures:
    """What needs a floor; None without one, or where its own error is zero throughout."""
    nothing: Figures = {"sigma": None, "overlap": None, "linf": None, "l2_floor": None}
    mine: list[np.ndarray] = []
    theirs: list[np.ndarray] = []
    linf = l2 = 0.0
    for raw in samples:
        (x, y, floor), _ = _finite(raw)
        if floor is None or not np.isfinite(floor).all():
            return nothing
        d, f = (y - x).ravel(), (floor - x).ravel()
        linf = max(linf, _ratio(np.abs(d).max(), np.abs(f).max()))
        l2 = max(l2, _ratio(np.linalg.norm(d), np.linalg.norm(f)))
        mine.append(d.astype(np.float32))
        theirs.append(f.astype(np.float32))
    d, f = np.concatenate(mine), np.concatenate(theirs)
    sigma = _ratio(np.linalg.norm(d.astype(np.float64)), np.linalg.norm(f.astype(np.float64)))
    return {"sigma": sigma, "overlap": 1 - bhattacharyya(d, f), "linf": linf, "l2_floor": l2}


def _ratio(a: float | np.floating, b: float | np.floating) -> float:
    """a / b; 1 where both are zero."""
    return float(a) / float(b) if b > 0 else (1.0 if a == 0 else float("inf"))


def bhattacharyya(p: np.ndarray, q: np.ndarray) -> float:
    """Sum of sqrt(p_i q_i) over 100 equal bins of the range of both: 1 for equal histograms, 0 for disjoint ones."""
    low, high = float(min(p.min(), q.min())), float(max(p.max(), q.max()))
    if not high > low:
        return 1.0

    def shares(values: np.ndarray) -> np.ndarray:
        bins = ((values - low) * (BINS / (high - low))).astype(np.int64)
        return np.bincount(np.minimum(bins, BINS - 1), minlength=BINS) / values.size

    return float(np.minimum(1.0, np.sqrt(shares(p) * shares(q)).sum()))
