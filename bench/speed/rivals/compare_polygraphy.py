"""Compares two saved runs with Polygraphy's comparator; prints what it found as JSON.

    python compare_polygraphy.py FOLDER simple|metrics

`simple` is its default: element by element, with the largest, mean and median absolute and relative errors. `metrics`
are those that it calls distance metrics: L2 and cosine. Its log is off but for what is critical. The runs are
streamed, one file at a time. It imports torch wherever it finds it, which takes more than a second: where all data is
NumPy's it shall find none.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def main() -> None:
    """Print the figures of all tensors."""
    folder, what = Path(sys.argv[1]), sys.argv[2]
    if "BF16" not in (folder.parent / "npy" / "tensors.json").read_text():
        modules: dict[str, Any] = sys.modules
        # How Python is told that a module is not to be had.
        modules["torch"] = None
    from polygraphy.comparator import (
        Comparator,
        CosineSimilarityCompareFunc,
        L2CompareFunc,
        RunResults,
        SimpleCompareFunc,
    )
    from polygraphy.logger import G_LOGGER

    G_LOGGER.module_severity = G_LOGGER.CRITICAL
    functions = [SimpleCompareFunc()] if what == "simple" else [L2CompareFunc(), CosineSimilarityCompareFunc()]
    runs = [RunResults.load_streaming(str(folder / side)) for side in ("reference", "candidate")]
    found = Comparator.compare_accuracy(runs, compare_func=functions)
    attributes = {"maxAbs": "max_absdiff", "l2": "l2_norm", "cosine": "cosine_similarity"}
    tensors: dict[str, dict[str, float]] = {}
    for accuracy in found:
        for iterations in accuracy.values():
            for results in iterations:
                for name, result in results.items():
                    figures = tensors.setdefault(name, {})
                    for figure, attribute in attributes.items():
                        if hasattr(result, attribute):
                            # A tensor of torch where the data is torch's.
                            figures[figure] = float(np.asarray(getattr(result, attribute)))
    print(json.dumps({"tensors": tensors}))


if __name__ == "__main__":
    main()
