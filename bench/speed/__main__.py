"""`python -m bench.speed`: times npu-diff beside other tools and prints the tables; see README.md."""

from __future__ import annotations

import argparse
import fnmatch
import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from npu_dump import DumpError

from . import machine
from .cases import full_cases, small_cases
from .dumps import ROOT
from .failure import Failure
from .growth import growth
from .process import measure
from .report import report
from .rounds import Bench, run
from .tools import TOOLS, program

OUT = ROOT / ".cache" / "speed"


def main() -> int:
    """Read the command line, run, print."""
    options = _parser().parse_args()
    # Gigabytes would be left behind otherwise.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _run(options)
    except Failure as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except DumpError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except OSError as error:
        failure = Failure(
            "a file could not be read or written",
            facts=[("file", error.filename), ("system", error.strerror)],
            help="see whether the disk is full, and that --folder and --out may be written",
        )
        sys.stderr.write(f"error: {failure}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.speed",
        description=(__doc__ or "").splitlines()[0],
        epilog="exit codes: 0 done, 1 a tool failed or disagreed, 2 could not run, 130 interrupted",
    )
    parser.add_argument("--only", metavar="GLOB", default="*", help="cases whose id matches alone")
    parser.add_argument(
        "--tools", metavar="GLOB", default="*", help="beside npu-diff, tools whose name matches alone"
    )
    parser.add_argument("--list", action="store_true", help="print the ids and what each needs; no run")
    parser.add_argument("--rounds", type=_positive, metavar="N", help="timed runs of each tool (default 5; small: 2)")
    parser.add_argument("--small", action="store_true", help="tiny data, and nothing is installed: seconds")
    parser.add_argument("--environment", type=Path, metavar="FOLDER", help="has the other tools; no installing")
    parser.add_argument("--folder", type=Path, default=OUT, help="for the data (default: .cache/speed)")
    parser.add_argument("--out", type=Path, default=OUT / "speed.json", help="the record (default: .cache/speed/…)")
    parser.add_argument("--keep", action="store_true", help="leave the data where it is")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _run(options: argparse.Namespace) -> int:
    every = list(small_cases() if options.small else full_cases())
    cases = [case.with_tools(options.tools) for case in every if fnmatch.fnmatchcase(case.id, options.only)]
    if not cases:
        raise Failure(
            "no case has such an id",
            facts=[("--only", options.only), ("ids", " ".join(case.id for case in every))],
            help="quote the pattern, so that the shell leaves it alone",
        )
    if options.list:
        sys.stdout.writelines(f"{case.id:28} {machine.space(case, {}) / 1e9:5.1f} GB on disk\n" for case in cases)
        return 0
    machine.demand_build()
    install = not options.small and any(TOOLS[name].package for case in cases for name in case.tools)
    python = machine.interpreter(options.environment, install=install)
    have = machine.packages(python)
    jobs = machine.has_jobs()
    without = machine.left_out(have, jobs=jobs)
    for folder in (options.folder, options.out.parent):
        folder.mkdir(parents=True, exist_ok=True)
    machine.demand_space(cases, without, options.folder, keep=options.keep)
    rounds = options.rounds or (2 if options.small else 5)
    record: dict[str, Any] = {
        "machine": machine.facts(),
        "versions": machine.versions(have),
        "rounds": rounds,
        "cases": [],
        "growth": [],
    }
    folder = Path(tempfile.mkdtemp(prefix="data-", dir=options.folder))
    try:
        record["leastPeakBytes"] = measure([program("true")], folder / "output", folder / "errors").peak
        bench = Bench(folder, python, without, rounds, jobs, options.keep, _tell)
        for case in cases:
            record["cases"].append(run(case, bench))
            record["growth"] = growth(record["cases"])
            _write(record, options.out)
    finally:
        # What is done is shown, whatever ends the run.
        if record["cases"]:
            sys.stdout.write(report(record, markdown=options.markdown))
        if options.keep:
            _tell(f"the data is in {folder}")
        else:
            shutil.rmtree(folder)
    _tell(f"the record is in {options.out}")
    return 0 if all(_good(case) for case in record["cases"]) else 1


def _write(record: dict[str, Any], out: Path) -> None:
    fresh = out.with_name(f"{out.name}.partial")
    fresh.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")
    fresh.replace(out)


def _good(case: dict[str, Any]) -> bool:
    return not case["failed"] and (case["sameBytes"] is None or case["sameBytes"]["same"])


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
