"""Print what the benchmark found, from its records alone.

    python -m bench.faults.table OUT [--half report|calibrate|both] [--markdown]

Thresholds of other tools' rules at their best, and limits without a kind of kernels, are set on the calibration half,
whichever half is reported.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from .grid import Grid
from .methods import FORCED, PLAIN, baselines, calibrated_baselines
from .records import Records, load
from .sections import (
    PRODUCT,
    alarming_pairs,
    alarming_rules,
    causes,
    detection,
    left_out,
    localisation,
    not_separable,
    two_at_a_time,
)

HALVES = ("report", "calibrate", "both")
SHOWN = 10


def grids(records: Records, half: str) -> Iterator[Grid]:
    """Every table of one half."""
    calibration, reported = records.of("calibrate"), records.of(half)
    families = [("as they come", baselines())]
    if calibration.benign:
        families += [
            ("thresholds without false alarms", calibrated_baselines(calibration.benign, 0)),
            ("thresholds with 1 % false alarms", calibrated_baselines(calibration.benign, 0.01)),
        ]
    yield detection("Detection: npu-diff", reported, PRODUCT)
    for name, methods in families:
        yield detection(f"Detection: {name}", reported, methods)
    yield localisation("Location: npu-diff", reported, PRODUCT)
    for name, methods in families:
        yield localisation(f"Location: {name}", reported, methods)
    yield two_at_a_time(reported, PRODUCT)
    yield causes(reported)
    if calibration.benign:
        yield left_out(calibration, reported, "forced")
        yield left_out(calibration, reported, "plain")
    yield alarming_rules(reported)
    yield alarming_pairs(reported)
    yield not_separable(reported, FORCED)
    yield not_separable(reported, PLAIN)


def report(folder: Path, half: str = "report", *, markdown: bool = False) -> str:
    """The tables of `half` of the records in `folder`, as text.

    Raises ValueError where a line is no record, OSError where there are none.
    """
    records = load(folder)
    shown = records.of(half)
    first, second = shown.single, shown.double
    lines = [
        f"{len(shown.cases)} cases ({half}): {len(shown.benign)} benign pairs, {len(first)} with one fault of "
        f"{len({record.faults[0].kind for record in first})} kinds, {len(second)} with two; "
        f"{len(shown.errors)} failed to run",
        *(f"  failed: {error['id']}: {str(error['error'])[:200]}" for error in shown.errors[:SHOWN]),
    ]
    tables = [grid.markdown() if markdown else grid.text() for grid in grids(records, half)]
    return "\n\n".join(["\n".join(lines), *tables]) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="Print what the benchmark found.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--half", choices=HALVES, default="report")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args(arguments)
    sys.stdout.write(report(options.out, options.half, markdown=options.markdown))
    return 0


if __name__ == "__main__":
    sys.exit(main())
