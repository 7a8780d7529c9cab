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
    """Figures of every module that the reference holds, in execution order, to six digits.

    A figure is None where nothing can be said: no floor, or no input. Raises ValueError where the candidate lacks a
    tensor of the reference or has another shape.
    """
    gold, mine = read(reference), read(candidate)
    floor = read(floors[0]) if floors else None
    found: dict[str, Figures] = {}
    # Token ids are what the embedding reads, and they are equal.
    streams: dict[str | None, tuple[float, float]] = {None: (0.0, 1.0)}
    for name in in_order(filter(is_module, gold.names())):
        keys = [key for key in gold.tensors if key.name == name]
        _check(keys, gold, mine)
        formats = {FORMATS[dump.tensors[keys[0]].dtype] for dump in (gold, mine)}
        rtol, atol = default_tolerances(*[torch.empty(0, dtype=one) for one in sorted(formats, key=str)])
        likeness, outputs, errors = Likeness(), Outputs(rtol, atol), ThreeWay()
        for key in keys:
            sample, unlike = _finite(_sample(key, gold, mine, floor))
            likeness.add(sample)
            outputs.add(sample, unlike=unlike)
            errors.add(sample)
        stream = input_of(name)
        if stream == f"layers.{module_of(name).layer}.mid" and stream not in streams:
            middle = Likeness()
            for sample in _middle(stream, gold, mine):
                middle.add(_finite(sample)[0])
            streams[stream] = middle.cosine, middle.thousandth
        streams[name] = likeness.cosine, likeness.thousandth
        if module_of(name).role == "layer":
            streams["last"] = streams[name]
        cosine, thousandth = streams.get(stream, (None, None))
        found[name] = _rounded(
            {
                "cosine": likeness.cosine,
                "thousandth": likeness.thousandth,
                **outputs.figures(),
                **errors.figures(),
                "input_cosine": cosine,
                "input_thousandth": thousandth,
            }
        )
    return found


def _rounded(figures: Figures) -> Figures:
    return {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in figures.items()}


def _check(keys: Sequence[Key], gold: ArrowDump, mine: ArrowDump) -> None:
    for key in keys:
        if key not in mine.tensors or mine.tensors[key].shape != gold.tensors[key].shape:
            raise ValueError(f"the candidate does not hold {key} as the reference does")


def _sample(key: Key, gold: ArrowDump, mine: ArrowDump, floor: ArrowDump | None) -> Sample:
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


def _finite(sample: Sample) -> tuple[Sample, bool]:
    """The sample with zeros where a side is no finite number, and whether the two differ in kind anywhere."""
    held = np.isfinite(sample.x) & np.isfinite(sample.y)
    if held.all():
        return sample, False
    same = held | (sample.x == sample.y) | (np.isnan(sample.x) & np.isnan(sample.y))
    floor = None if sample.floor is None else np.where(held, sample.floor, 0.0)
    return Sample(np.where(held, sample.x, 0.0), np.where(held, sample.y, 0.0), floor), not same.all()


def _cosine_distance(
    dot: np.ndarray | np.floating, xx: np.ndarray | np.floating, yy: np.ndarray | np.floating
) -> np.ndarray:
    size = np.sqrt(xx) * np.sqrt(yy)
    alike = np.where((xx == 0) & (yy == 0), 0.0, 1.0)
    return np.maximum(0.0, np.where(size > 0, 1 - dot / np.where(size > 0, size, 1), alike))


class Likeness:
    """Cosine distance of two tensors as vectors, and the share of elements within a thousandth."""

    def __init__(self) -> None:
        self._products = np.zeros(3)
        self._near = self._count = 0

    def add(self, sample: Sample) -> None:
        """Count a sample in."""
        x, y, _ = sample
        self._products += [np.vdot(x, y), np.vdot(x, x), np.vdot(y, y)]
        self._near += int(np.count_nonzero(np.abs(y - x) < 1e-3 * np.where(x == 0, EPSILON, np.abs(x))))
        self._count += x.size

    @property
    def cosine(self) -> float:
        """1 - <x,y>/(|x||y|)."""
        return float(_cosine_distance(*self._products))

    @property
    def thousandth(self) -> float:
        """Share of elements with |d/x| < 1e-3; 1 of nothing."""
        return self._near / self._count if self._count else 1.0


class Outputs:
    """What is looked at row by row, element by element, or in each sample by itself; no floor is needed."""

    def __init__(self, rtol: float, atol: float) -> None:
        self._tolerances = rtol, atol
        self._rows: list[np.ndarray] = []
        self._largest = dict.fromkeys(("sample_cosine", "l2", "elementwise", "close", "max_abs"), 0.0)
        self._least = dict.fromkeys(("psnr", "snr"), np.inf)
        self._unlike = False

    def add(self, sample: Sample, *, unlike: bool) -> None:
        """Count a sample in; `unlike` where it differs in kind."""
        x, y, _ = sample
        d = y - x
        rtol, atol = self._tolerances
        self._unlike |= unlike
        products = [np.einsum("ij,ij->i", a, b) for a, b in ((x, y), (x, x), (y, y))]
        self._rows.append(_cosine_distance(*products))
        totals = [np.sum(product) for product in products]
        noise = np.vdot(d, d)
        size, magnitude = np.abs(d), np.abs(y)
        relative = size / np.where(magnitude == 0, EPSILON, magnitude)
        self._raise("sample_cosine", _cosine_distance(*totals))
        self._raise("l2", np.sqrt(noise))
        self._raise("elementwise", np.minimum(size, relative).max())
        self._raise("close", (size / (atol + rtol * np.abs(x))).max())
        self._raise("max_abs", size.max())
        if noise > 0:
            peak, mean, signal = float(x.max()), noise / d.size, totals[1] / d.size
            self._lower("psnr", 20 * np.log10(peak if peak > 0 else 1.0) - 10 * np.log10(mean))
            self._lower("snr", 10 * np.log10(signal / mean) if signal > 0 else -np.inf)

    def _raise(self, name: str, value: float | np.floating | np.ndarray) -> None:
        self._largest[name] = max(self._largest[name], float(value))

    def _lower(self, name: str, value: float | np.floating) -> None:
        self._least[name] = min(self._least[name], float(value))

    def figures(self) -> Figures:
        """All figures, of the worst sample where each has its own."""
        rows = np.concatenate(self._rows)
        return {
            "nonfinite": self._unlike,
            "cosine_mean": float(rows.mean()),
            "cosine_max": float(rows.max()),
            **self._largest,
            **self._least,
        }


class ThreeWay:
    """What needs a floor: the candidate's error beside the floor's."""

    def __init__(self) -> None:
        self._errors: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        self._squares = np.zeros(2)
        self._linf = self._l2 = 0.0
        self._known = True

    def add(self, sample: Sample) -> None:
        """Count a sample in; one that the floor lacks, or where it is no finite number, leaves nothing known."""
        x, y, floor = sample
        self._known &= floor is not None and bool(np.isfinite(floor).all())
        if not self._known or floor is None:
            return
        d, f = (y - x).ravel(), (floor - x).ravel()
        squares = np.array([np.vdot(d, d), np.vdot(f, f)])
        self._linf = max(self._linf, _ratio(np.abs(d).max(), np.abs(f).max()))
        self._l2 = max(self._l2, _ratio(*np.sqrt(squares)))
        self._squares += squares
        for errors, one in zip(self._errors, (d, f), strict=True):
            errors.append(one.astype(np.float32))

    def figures(self) -> Figures:
        """All figures; None without a floor."""
        if not self._known:
            return {"sigma": None, "overlap": None, "linf": None, "l2_floor": None}
        overlap = 1 - bhattacharyya(*[np.concatenate(errors) for errors in self._errors])
        return {
            "sigma": _ratio(*np.sqrt(self._squares)),
            "overlap": overlap,
            "linf": self._linf,
            "l2_floor": self._l2,
        }


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
