"""Propose the product's limits from the benign pairs of the calibration half.

    python -m bench.faults.calibrate OUT [--rate 0.005] [--markdown]

Each constant is looked at in units of itself (see verdicts.py): of every benign comparison the largest strain of all
its modules counts, since one is enough for a false alarm. The rate is that of a whole comparison, shared among all
constants alike. What is proposed is the worst strain seen, or the value of a Pareto tail at that rate, times a margin
for kernels that nobody has looked at. Ends with 1 where the product's limits do not reproduce the stored verdicts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .counts import Count
from .grid import Grid
from .records import Record, Records, load
from .tail import growth, tail_quantile
from .verdicts import Mode, differences, fails, worst_strains

RATE = 0.005
MODES: tuple[Mode, ...] = ("forced", "plain")
SHOWN = 10


def worst_by_constant(records: Sequence[Record], mode: Mode) -> dict[str, dict[str, float]]:
    """Of every constant, the largest strain in each case that has it, by the case's id."""
    found: dict[str, dict[str, float]] = {}
    for record in records:
        for constant, value in worst_strains(record, mode).items():
            found.setdefault(constant, {})[record.id] = value
    return dict(sorted(found.items()))


@dataclass(frozen=True)
class Choice:
    """A way to set all constants: the worst benign pair's or the tail's value, and a margin for the unseen."""

    tail: bool
    margin: float

    def __str__(self) -> str:
        return f"{'tail' if self.tail else 'worst'} x {self.margin}"


CHOICES = (*(Choice(tail=False, margin=margin) for margin in (1.0, 1.1, 1.25, 1.5)), Choice(tail=True, margin=1.0))


def propose(records: Sequence[Record], mode: Mode, choice: Choice, rate: float = RATE) -> dict[str, float]:
    """Factors on the product's constants."""
    found = worst_by_constant(records, mode)
    share = rate / max(1, len(found))
    limits = {
        name: tail_quantile([*of.values()], share) if choice.tail else max(of.values()) for name, of in found.items()
    }
    return {name: choice.margin * value for name, value in limits.items()}


def proposals(records: Records, mode: Mode, rate: float = RATE) -> Grid:
    """What each constant would have to be, and the recall that each choice costs."""
    benign = records.benign
    found = worst_by_constant(benign, mode)
    share = rate / max(1, len(found))
    size = {record.id: (float(record.raw["tokens"]), float(len(record.modules))) for record in benign}
    rows = []
    for name, of in found.items():
        values = [*of.values()]
        by_tokens = growth([size[case][0] for case in of], values)
        by_modules = growth([size[case][1] for case in of], values)
        rows.append(
            [
                name,
                len(values),
                f"{np.median(values):.2f}",
                f"{np.quantile(values, 0.99):.2f}",
                f"{max(values):.2f}",
                f"{tail_quantile(values, share):.2f}",
                by_tokens or "-",
                by_modules or "-",
            ]
        )
    columns = ["constant", "n", "p50", "p99", "worst", "tail", "x10 tokens", "x10 modules"]
    notes = [
        "Largest strain of a comparison, in units of the product's constants; "
        f"the tail's value at {100 * share:.3f} % a constant; growth with ten times the tokens and modules."
    ]
    return Grid(f"Limits from benign pairs, {mode}", columns, rows, notes)


def costs(records: Records, mode: Mode, rate: float = RATE) -> Grid:
    """False alarms and recall under several choices of all constants at once."""
    benign, faulty = records.benign, records.single
    choices = {"as the product has it": {}} | {str(one): propose(benign, mode, one, rate) for one in CHOICES}
    weak = [record for record in faulty if record.faults[0].band == "2-5"]
    strong = [record for record in faulty if record.faults[0].band == ">= 5"]
    rows = [
        [name, *(Count.of(fails(record, mode, factors) for record in of) for of in (benign, faulty, weak, strong))]
        for name, factors in choices.items()
    ]
    return Grid(f"What the choices cost, {mode}", ["limits", "false alarms", "found", "2-5 x", ">= 5 x"], rows)


def leave_one_out(
    calibration: Records, tested: Records, mode: Mode, choice: Choice, rate: float = RATE
) -> dict[str, Count]:
    """Of each kind of legal kernels, its false alarms in `tested` under limits proposed without it."""
    found = {}
    for kind in sorted({record.engine_kind for record in tested.benign}):
        others = [record for record in calibration.benign if record.engine_kind != kind]
        factors = propose(others, mode, choice, rate)
        own = [record for record in tested.benign if record.engine_kind == kind]
        found[kind] = Count.of(fails(record, mode, factors) for record in own)
    return found


def reproduction(records: Records) -> list[str]:
    """Where the product's own limits do not give the stored verdicts again."""
    return [
        f"{record.id}: {difference}"
        for record in records.cases
        for mode in MODES
        for difference in differences(record, mode)
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print it all and return the exit code."""
    parser = argparse.ArgumentParser(description="Propose limits from benign pairs.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args(arguments)
    records = load(options.out)
    half = records.of("calibrate")
    for mode in MODES:
        for grid in (proposals(half, mode, options.rate), costs(half, mode, options.rate)):
            print(grid.markdown() if options.markdown else grid.text(), end="\n\n")
    differing = reproduction(records)
    print(f"verdicts reproduced from the stored statistics: {len(records.cases)} cases, {len(differing)} differences")
    for line in differing[:SHOWN]:
        print(f"  {line}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
