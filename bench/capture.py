"""What a full capture costs: over the bare forward, and against writing the same bytes.

    python bench/capture.py MODEL_FOLDER [--dtype bfloat16] [--tokens 512] [--prompts 8] [--threads 2] [--rounds 5]

Three things are timed in turn, round by round, so that a slow moment of the machine hits all alike; the medians and
the fastest rounds are shown:

- the bare forward of every prompt;
- the same inside ``with Dump(…)``, from entering the block to the renamed file (probe included);
- writing as many bytes to the same disk, in pieces of 8 MiB, without anything else.

On a machine that others use, elapsed time says little; with ``--threads 1`` the processor's time does (with more,
waiting threads of the forward count as busy).

The overhead is capture minus forward. It would be nothing if disk and forward overlapped perfectly, and at worst the
time of writing if they did not at all.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from npu_dump import Dump


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds that ``work`` takes, and the processor's seconds that all its threads use."""
    start, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - used


def write_bytes(path: Path, size: int) -> None:
    """Write ``size`` bytes in pieces of 8 MiB."""
    piece = bytes(8 << 20)
    with path.open("wb", buffering=0) as file:
        while size > 0:
            size -= file.write(piece[: min(size, len(piece))])


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description="Time a full capture against the bare forward.")
    parser.add_argument("model", help="a folder as save_pretrained writes it")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--tokens", type=int, default=512, help="tokens a prompt")
    parser.add_argument("--prompts", type=int, default=8, help="prompts a round, one forward each")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=None, help="where to write (default: the temporary folder)")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    model = AutoModelForCausalLM.from_pretrained(options.model).to(getattr(torch, options.dtype)).eval()
    generator = torch.Generator().manual_seed(0)
    shape = (options.prompts, 1, options.tokens)
    prompts = torch.randint(model.config.vocab_size, shape, generator=generator)

    @torch.inference_mode()
    def forward() -> None:
        for ids in prompts:
            model(ids, use_cache=False)

    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path, plain = Path(folder) / "capture.arrow", Path(folder) / "plain"

        def capture() -> None:
            with Dump(model, path, overwrite=True):
                forward()

        capture()  # warms caches and allocator
        size = path.stat().st_size
        path.unlink()
        times: dict[str, list[tuple[float, float]]] = {
            "bare forward": [],
            "forward + capture": [],
            "writing as many bytes": [],
        }
        for _ in range(options.rounds):
            for name, work in zip(times, (forward, capture, lambda: write_bytes(plain, size)), strict=True):
                times[name].append(timed(work))
                # Both writers get pages that were just freed: fresh ones of a virtual machine may be much slower.
                path.unlink(missing_ok=True)
                plain.unlink(missing_ok=True)
    tokens = options.prompts * options.tokens
    print(
        f"{options.dtype}, {options.prompts} prompts of {options.tokens} tokens, {torch.get_num_threads()} threads, "
        f"{size / 2**20:.0f} MiB ({size / tokens / 1024:.0f} KiB a token), {options.rounds} rounds"
    )
    print(f"{'':24}{'median s':>10}{'fastest s':>11}{'median CPU s':>14}")
    medians: list[tuple[float, float]] = []
    for name, values in times.items():
        elapsed, used = (list(column) for column in zip(*values, strict=True))
        medians.append((statistics.median(elapsed), statistics.median(used)))
        print(f"{name:24}{medians[-1][0]:10.3f}{min(elapsed):11.3f}{medians[-1][1]:14.3f}")
    for unit, bare, captured, written in zip(("elapsed", "CPU"), *medians, strict=True):
        extra = captured - bare
        print(
            f"overhead, {unit}: {extra:+.3f} s, {extra / bare:+.1%} of the forward, {extra / written:.1f} x writing"
        )


if __name__ == "__main__":
    main()
