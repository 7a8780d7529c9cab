"""What a capture survives: the proof, by experiment.

    python bench/survival [--kills 200] [--interrupts 50] [--full-disks 20] [--seed 0]

Captures of a small model are ended by SIGKILL, by Ctrl-C and by disks that are too small, at random moments and
sizes, and what they leave is looked at with pyarrow and with `npu-diff repair`:

- a file that has a dump's name, or opens as complete, holds every tensor of the undisturbed dump, bit for bit;
- of any other, repair recovers exactly the record batches that pyarrow finds whole, and their bits are the same;
- a dump that was to be replaced is there, unchanged, until the new one has its name;
- after an interrupt or a full disk the process goes on: no hook, thread or open file is left, and the model computes
  the same bits.

Needs the analyzer's build (`npm run build`). Ends with 1 at the first promise that is broken.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch
from full_disk import file_limit, fill, tmpfs, tmpfs_refused
from signals import interrupt, kill
from verify import REPAIR, BrokenPromiseError, Undisturbed
from workload import Workload


def main() -> int:
    """Run it all and return the exit code."""
    parser = argparse.ArgumentParser(description="Disturb captures and look at what they leave.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--interrupts", type=int, default=50)
    parser.add_argument("--full-disks", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if not Path(REPAIR[1]).exists():
        parser.error("npu-diff is not built: npm run build")
    # One thread, so that the process can be forked.
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    workload = Workload()
    folder = Path(tempfile.mkdtemp(prefix="survival-"))
    try:
        disturb(workload, folder, options)
    except BrokenPromiseError as error:
        print(f"broken: {error}; what was left is in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


def disturb(workload: Workload, folder: Path, options: argparse.Namespace) -> None:
    """Run every kind of disturbance and print a line for each."""
    workload.capture(folder / "undisturbed.arrow")
    undisturbed = Undisturbed(folder / "undisturbed.arrow")
    tell("SIGKILL", *kill(workload, undisturbed, folder, options.kills, options.seed))
    tell("Ctrl-C", interrupt(workload, undisturbed, folder, options.interrupts, options.seed))
    tell("file limit", *fill(workload, undisturbed, folder, options.full_disks, options.seed, file_limit))
    refused = tmpfs_refused(folder)
    if refused:
        print(f"full disk   not run: this process may not mount one ({refused})")
    else:
        tell("full disk", *fill(workload, undisturbed, folder, options.full_disks, options.seed, tmpfs))


def tell(what: str, left: Counter[str], recovered: int | None = None) -> None:
    """Print how often what was left."""
    states = ", ".join(f"{count} {state}" for state, count in left.most_common())
    batches = "" if recovered is None else f"; {recovered} whole record batches, all recovered"
    print(f"{what:11} {left.total()} runs: {states}{batches}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
