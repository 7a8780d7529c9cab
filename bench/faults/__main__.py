"""`python -m bench.faults`: runs the fault benchmark and prints its table; see README.md."""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
from pathlib import Path

# Before torch is imported: waiting threads sleep, and each process computes with one.
os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from .cases import HALVES, Case, all_cases, small_cases
from .run import Progress, Records, prepare, run
from .table import report

OUT = Path(__file__).parents[2] / ".cache" / "faults" / "out"


def main() -> int:
    """Read the command line, run, print."""
    options = _parser().parse_args()
    cases = _chosen(options)
    done = Records(options.out).done
    missing = sum(case.id not in done for case in cases)
    sys.stderr.write(f"{len(cases)} cases, {len(cases) - missing} of them have a record in {options.out}\n")
    for name in prepare(cases, options.jobs):
        sys.stderr.write(f"trained {name}\n")
    progress = Progress(missing)
    for record in run(cases, options.out, options.jobs):
        progress.step(record)
    sys.stdout.write(report(options.out, "report" if options.half == "both" else options.half))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the records; a run goes on where they end")
    parser.add_argument("--half", choices=[*HALVES, "both"], default="both")
    parser.add_argument("--jobs", type=int, default=2, help="processes, of one thread each (default: 2)")
    parser.add_argument("--only", metavar="GLOB", help="cases whose id matches alone")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N of these cases alone")
    parser.add_argument("--small", action="store_true", help="the few cases that the tests run")
    return parser


def _chosen(options: argparse.Namespace) -> list[Case]:
    cases = small_cases() if options.small else all_cases()
    chosen = [case for case in cases if options.half in (case.half, "both")]
    if options.only is not None:
        chosen = [case for case in chosen if fnmatch.fnmatchcase(case.id, options.only)]
    return chosen[: options.limit]


if __name__ == "__main__":
    sys.exit(main())
