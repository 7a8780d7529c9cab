"""The tools that are timed: what each reads, how it is called, and what it answers."""

from __future__ import annotations

import csv
import json
import math
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .agreement import Answer, Promise, Tolerance
from .dumps import ROOT, SIDES
from .failure import Failure
from .forms import files

RIVALS = Path(__file__).parent / "rivals"
MAIN = ROOT / "dist" / "cli" / "main.js"
OURS = "npu-diff"


@dataclass(frozen=True)
class Place:
    """Where a tool runs.

    Attributes:
        case: folder with the forms of the data.
        output: what it printed, as a file.
        scratch: an empty folder for what it writes.
        python: interpreter of the environment of the other tools.
    """

    case: Path
    output: Path
    scratch: Path
    python: Path | None


@dataclass(frozen=True)
class Tool:
    """One line of the table.

    Attributes:
        form: of the files that it reads, a key of `forms.SHARES`; None: it reads none.
        command: program and arguments.
        statuses: exit codes that say that it did its work.
        package: of the other tools' environment, that it is or needs; None: it is on every machine.
        answer: reads what it found after a run; None where it has nothing to say.
        promise: what its answer is held to, by the number formats of the two sides.
    """

    name: str
    form: str | None
    command: Callable[[Place], Sequence[str | Path]]
    statuses: frozenset[int] = frozenset({0})
    package: str | None = None
    answer: Callable[[Place], Answer] | None = None
    promise: Callable[[tuple[str, str]], Promise] = lambda _: Promise()


def program(name: str) -> str:
    """Path of a program.

    Raises:
        Failure: it is not on PATH.
    """
    path = shutil.which(name)
    if path is None:
        raise Failure(
            f"{name} is not there",
            facts=[("needed", name), ("found", "nothing of this name on PATH")],
            help="install it, or add its folder to PATH",
        )
    return path


def npu_diff(place: Place, *options: str) -> list[str | Path]:
    """The command of a comparison as JSON."""
    return [program("node"), MAIN, "compare", *files("arrow", place.case), "--json", *options]


def our_answer(place: Place) -> Answer:
    """What npu-diff printed, prefill alone: the data has nothing else."""
    result = json.loads(place.output.read_text())
    names = ("cosine", "mse", "maxAbs", "relL2")
    tensors = {
        tensor["name"]: {
            **{name: float(tensor[name]) for name in names},
            "tokenCosine": float(tensor["tokenCosine"]["mean"]),
        }
        for tensor in result["tensors"]
    }
    quality = result["quality"]
    if quality["kl"] is None:
        return Answer(tensors)
    return Answer(
        tensors,
        {
            "kl": float(quality["kl"]["mean"]),
            "agreement": float(quality["top1Agreement"]["strict"]),
            "perplexityReference": float(quality["perplexity"]["reference"]),
            "perplexityCandidate": float(quality["perplexity"]["candidate"]),
        },
    )


def _printed(place: Place) -> Answer:
    """The JSON that our scripts print; an L2 norm of the error, where it is one, as MSE."""
    lines = place.output.read_text().splitlines()
    found = json.loads(lines[-1])
    tensors = {name: dict(figures) for name, figures in found.get("tensors", {}).items()}
    sizes = _sizes(place)
    for name, figures in tensors.items():
        if "l2" in figures:
            figures["mse"] = figures["l2"] ** 2 / sizes[name]
    return Answer(tensors, found.get("logits", {}))


def _sizes(place: Place) -> dict[str, int]:
    described = json.loads((place.case / "npy" / "tensors.json").read_text())
    return {tensor["name"]: math.prod(tensor["shape"]) for tensor in described["tensors"]}


def _msprobe_answer(place: Place) -> Answer:
    """The one table that it wrote."""
    (path,) = place.scratch.glob("*.csv")
    sizes = _sizes(place)
    tensors: dict[str, Mapping[str, float]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            name = row["Bench Name"].removeprefix("Module.").removesuffix(".Tensor.forward.0.output.0")
            tensors[name] = {
                "cosine": float(row["Cosine"]),
                "mse": float(row["EucDist"]) ** 2 / sizes[name],
                "maxAbs": float(row["MaxAbsErr"]),
            }
    return Answer(tensors)


def _msprobe(place: Place) -> list[str | Path]:
    assert place.python is not None
    reference, candidate = (place.case / "msprobe" / side / "dump.json" for side in SIDES)
    program = place.python.with_name("msprobe")
    return [program, "compare", "-tp", candidate, "-gp", reference, "-o", place.scratch]


def _script(name: str, form: str, *options: str) -> Callable[[Place], list[str | Path]]:
    def command(place: Place) -> list[str | Path]:
        python = sys.executable if form == "npy" else place.python
        assert python is not None
        return [python, RIVALS / f"{name}.py", place.case / form, *options]

    return command


# float64 sums in another order; KL as far as cancellation lets it be known.
_FLOAT64 = Promise(
    {
        "cosine": Tolerance(1e-12, 0),
        "mse": Tolerance(0, 1e-9),
        "maxAbs": Tolerance(0, 1e-12),
        "relL2": Tolerance(0, 1e-9),
    },
    {
        "kl": Tolerance(1e-9, 1e-5),
        "agreement": Tolerance(1e-12, 0),
        "perplexityReference": Tolerance(0, 1e-9),
        "perplexityCandidate": Tolerance(0, 1e-9),
    },
)
# Sums in float32. Of tied logits torch takes any.
_FLOAT32 = Promise(
    {"tokenCosine": Tolerance(1e-5, 0), "mse": Tolerance(0, 1e-3), "maxAbs": Tolerance(0, 1e-5)},
    {
        "kl": Tolerance(1e-4, 1e-2),
        "agreement": Tolerance(0.05, 0),
        "perplexityReference": Tolerance(0, 1e-3),
        "perplexityCandidate": Tolerance(0, 1e-3),
    },
)
# bfloat16 tensors are subtracted, squared and added up in bfloat16.
_BFLOAT16 = {"cosine": Tolerance(0.02, 0), "mse": Tolerance(0, 0.05), "maxAbs": Tolerance(0, 2.0**-7)}
# Of NumPy's float32, whose sums are pairwise.
_PAIRWISE = {"cosine": Tolerance(1e-3, 0), "mse": Tolerance(0, 1e-3), "maxAbs": Tolerance(0, 1e-5)}
# float64, printed with 12 decimals, cosines near 1 with 6.
_PRINTED = Promise({"cosine": Tolerance(1e-6, 0), "mse": Tolerance(0, 1e-6), "maxAbs": Tolerance(1e-12, 1e-6)})


def _polygraphy_promise(*figures: str) -> Callable[[tuple[str, str]], Promise]:
    def promise(formats: tuple[str, str]) -> Promise:
        whole = _BFLOAT16 if "BF16" in formats else _PAIRWISE
        return Promise({figure: whole[figure] for figure in figures})

    return promise


COMPARED = frozenset({0, 1, 3})
TOOLS = {
    tool.name: tool
    for tool in (
        Tool(OURS, "arrow", npu_diff, COMPARED, answer=our_answer),
        Tool("npu-diff --jobs 2", "arrow", lambda place: npu_diff(place, "--jobs", "2"), COMPARED),
        Tool("npu-diff --version", None, lambda _: [program("node"), MAIN, "--version"]),
        Tool("node -e 0", None, lambda _: [program("node"), "-e", "0"]),
        Tool("python -c 'import numpy'", None, lambda _: [sys.executable, "-c", "import numpy"]),
        Tool(
            "python -c 'import torch'",
            None,
            lambda place: [str(place.python), "-c", "import torch"],
            package="torch",
        ),
        Tool("cmp", "copy", lambda place: [program("cmp"), *files("copy", place.case)]),
        Tool("cat", "arrow", lambda place: [program("cat"), *files("arrow", place.case)]),
        Tool("NumPy", "npy", _script("compare_numpy", "npy"), answer=_printed, promise=lambda _: _FLOAT64),
        Tool(
            "NumPy, in blocks",
            "npy",
            _script("compare_numpy", "npy", "--blocks"),
            answer=_printed,
            promise=lambda _: _FLOAT64,
        ),
        Tool(
            "torch",
            "pt",
            _script("compare_torch", "pt"),
            package="torch",
            answer=_printed,
            promise=lambda _: _FLOAT32,
        ),
        Tool(
            "torch, whole tensors",
            "pt",
            _script("compare_torch", "pt", "--whole"),
            package="torch",
            answer=_printed,
            promise=lambda _: _FLOAT32,
        ),
        Tool(
            "torch, softmax alone",
            "pt",
            _script("compare_torch", "pt", "--softmax"),
            package="torch",
            answer=_printed,
            promise=lambda _: Promise(logits=_FLOAT32.logits),
        ),
        Tool(
            "Polygraphy",
            "polygraphy",
            _script("compare_polygraphy", "polygraphy", "simple"),
            package="polygraphy",
            answer=_printed,
            promise=_polygraphy_promise("maxAbs"),
        ),
        Tool(
            "Polygraphy, L2 and cosine",
            "polygraphy",
            _script("compare_polygraphy", "polygraphy", "metrics"),
            package="polygraphy",
            answer=_printed,
            promise=_polygraphy_promise("cosine", "mse"),
        ),
        Tool(
            "msprobe",
            "msprobe",
            _msprobe,
            package="msprobe",
            answer=_msprobe_answer,
            promise=lambda _: _PRINTED,
        ),
    )
}


def described(tool: Tool, formats: tuple[str, str]) -> dict[str, Any]:
    """What the record says of a tool's promise, so that a reader of the figures sees what was checked."""
    promise = tool.promise(formats)
    return {"tensors": sorted(promise.tensors), "logits": sorted(promise.logits)}
