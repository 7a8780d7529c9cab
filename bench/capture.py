"""What capturing costs, mode by mode: time over the bare forward, and host memory over the model's.

    python bench/capture.py MODEL_FOLDER [--mode stats hidden topk full] [--dtype float32 bfloat16] [--tokens 512]
        [--prompts 8] [--threads 2] [--rounds 5]

For each number format these are timed in turn, round by round, so that a slow moment of the machine hits all alike:

- the bare forward of every prompt;
- for each mode, the same inside ``with Dump(…)``, from entering the block to the renamed file (probe included);
- for each mode, writing as many bytes to the same disk, in pieces of 8 MiB, without anything else, until they are
  there (fsync), as a capture does.

The overhead is capture minus forward, as a share of the forward: of the medians, of the fastest rounds, and of the
processor's time. The last says most on a machine that others use, with ``--threads 1`` (with more, waiting threads of
the forward count as busy). Two modes have a limit: ``stats`` 15 %, ``hidden`` 30 % and the time of writing its bytes.
The fastest rounds are held to it: what else the machine does only adds. Memory is the peak of the resident set beyond
that of the bare forward, held to twice the largest tensor that is stored whole and 64 MiB; Linux tells it, other
systems do not. Nothing here fails: it informs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from npu_dump import Dump, load

MIB = 1 << 20
MODES = ("stats", "hidden", "topk", "full")
# Share of the forward that a mode may cost, and whether the time of writing its bytes comes on top.
LIMITS = {"stats": (0.15, False), "hidden": (0.30, True)}
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


@dataclass
class Row:
    """One thing that is timed: its seconds in each round, the processor's, and those of writing as many bytes."""

    name: str
    work: Callable[[], object]
    bytes: int = 0
    largest: int = 0
    peak: int | None = None
    seconds: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    writing: list[float] = field(default_factory=list)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds that ``work`` takes, and the processor's seconds that all its threads use."""
    start, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - used


def peak_memory(work: Callable[[], object]) -> int | None:
    """Return the most bytes of memory that were resident while ``work`` ran; None where the system does not tell."""
    if not _CLEAR.exists():
        work()
        return None
    _CLEAR.write_text("5")
    work()
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def write_bytes(path: Path, size: int) -> None:
    """Write ``size`` bytes in pieces of 8 MiB, and wait until they are on the disk, as a capture does."""
    piece = bytes(8 * MIB)
    with path.open("wb", buffering=0) as file:
        while size > 0:
            size -= file.write(piece[: min(size, len(piece))])
        os.fsync(file.fileno())


def largest_tensor(path: Path) -> int:
    """Return the bytes of the largest tensor that was stored whole."""
    dump = load(path)
    return max(dump[key].nbytes for key in dump if dump.encoding(key) == "dense")


def measure(model: Any, prompts: torch.Tensor, options: argparse.Namespace) -> list[Row]:
    """Return the bare forward and one row a mode."""

    @torch.inference_mode()
    def forward() -> None:
        for ids in prompts:
            model(ids, use_cache=False)

    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path, plain = Path(folder) / "capture.arrow", Path(folder) / "plain"

        def capture(mode: str) -> Callable[[], None]:
            def work() -> None:
                with Dump(model, path, mode=mode):
                    forward()

            return work

        rows = [Row("bare forward", forward), *(Row(mode, capture(mode)) for mode in options.mode)]
        forward()
        for row in rows:  # warms caches and allocator, too
            row.peak = peak_memory(row.work)
            if path.exists():
                row.bytes, row.largest = path.stat().st_size, largest_tensor(path)
                path.unlink()
        for _ in range(options.rounds):
            for row in rows:
                seconds, busy = timed(row.work)
                row.seconds.append(seconds)
                row.busy.append(busy)
                # Both writers get pages that were just freed: fresh ones of a virtual machine may be much slower.
                path.unlink(missing_ok=True)
                row.writing.append(timed(lambda size=row.bytes: write_bytes(plain, size))[0])
                plain.unlink()
    return rows


def table(rows: list[Row]) -> Iterator[str]:
    """Yield the lines that are printed."""
    bare = rows[0]
    middle, best, busy = statistics.median(bare.seconds), min(bare.seconds), min(bare.busy)
    heads = f"{'MiB':>8}{'median s':>10}{'fastest s':>11}{'overhead: median':>18}{'fastest':>9}{'CPU':>9}{'limit':>8}"
    yield " " * 14 + heads
    yield f"{bare.name:14}{'':8}{middle:10.3f}{best:11.3f}"
    for row in rows[1:]:
        size, median, fastest = f"{row.bytes / MIB:8.1f}", statistics.median(row.seconds), min(row.seconds)
        line = f"{row.name:14}{size}{median:10.3f}{fastest:11.3f}"
        line += f"{median / middle - 1:+18.1%}{fastest / best - 1:+9.1%}{min(row.busy) / busy - 1:+9.1%}"
        if row.name in LIMITS:
            share, and_writing = LIMITS[row.name]
            limit = share + and_writing * min(row.writing) / best
            line += f"{limit:8.1%}  {'pass' if fastest / best - 1 <= limit else 'miss'}"
        yield line
        yield f"{'  writing':14}{size}{statistics.median(row.writing):10.3f}{min(row.writing):11.3f}"
    for row in rows[1:]:
        if row.peak is None or bare.peak is None:
            yield f"memory, {row.name}: this system does not tell"
            continue
        extra, limit = row.peak - bare.peak, 2 * row.largest + 64 * MIB
        verdict = "pass" if extra <= limit else "miss"
        yield f"memory, {row.name}: {extra / MIB:+.1f} MiB over the forward, limit {limit / MIB:.1f} MiB  {verdict}"


def main() -> None:
    """Measure and print a table for each number format."""
    parser = argparse.ArgumentParser(description="Time captures against the bare forward.")
    parser.add_argument("model", help="a folder as save_pretrained writes it")
    parser.add_argument("--mode", nargs="+", default=MODES, choices=MODES)
    formats = ("float32", "bfloat16", "float16")
    parser.add_argument("--dtype", nargs="+", default=formats[:2], choices=formats)
    parser.add_argument("--tokens", type=int, default=512, help="tokens a prompt")
    parser.add_argument("--prompts", type=int, default=8, help="prompts a round, one forward each")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=None, help="where to write (default: the temporary folder)")
    options = parser.parse_args()
    logging.disable_progress_bar()
    if options.threads:
        torch.set_num_threads(options.threads)
    for dtype in options.dtype:
        model = AutoModelForCausalLM.from_pretrained(options.model).to(getattr(torch, dtype)).eval()
        generator = torch.Generator().manual_seed(0)
        shape = (options.prompts, 1, options.tokens)
        prompts = torch.randint(model.config.get_text_config().vocab_size, shape, generator=generator)
        rows = measure(model, prompts, options)
        print(
            f"{dtype}, {options.prompts} prompts of {options.tokens} tokens, {torch.get_num_threads()} threads, "
            f"{options.rounds} rounds"
        )
        print("\n".join(table(rows)), end="\n\n")


if __name__ == "__main__":
    main()
