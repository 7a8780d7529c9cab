"""The thread between model and disk: bounded memory, errors that surface, nothing lost."""

from __future__ import annotations

import errno
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from npu_dump import Dump, DumpError, DumpWriter, Limits, load
from npu_dump.stream import BackgroundWriter
from npu_dump.tensor import host_tensor

MIB = 1 << 20


def test_what_waits_stays_below_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk slower than the model slows the model; the queue does not grow."""
    write = DumpWriter.write

    def slow(self: DumpWriter, *args: Any, **kwargs: Any) -> None:
        time.sleep(0.002)
        write(self, *args, **kwargs)

    monkeypatch.setattr(DumpWriter, "write", slow)
    limits = Limits(buffer=10_000)
    writer = BackgroundWriter(DumpWriter(tmp_path / "a.arrow", run={"dtype": "F32"}, limits=limits), limits)
    for number in range(100):
        writer.put(host_tensor(np.full(1000, number, "<f4")), name=f"x{number}")
    writer.put(host_tensor(np.zeros(5000, "<f4")), name="larger than the limit")
    writer.close()
    assert 8_000 <= writer.peak_bytes <= 20_000
    dump = load(tmp_path / "a.arrow")
    assert len(dump) == 101
    assert all((dump[f"x{number}", 0, 0] == number).all() for number in range(100))


class Wide(nn.Module):
    """Returns 16 MiB again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Identity() for _ in range(24))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for part in self.parts:
            x = part(x)
        return x


def test_host_memory_is_two_tensors_and_sixty_four_mebibytes(tmp_path: Path) -> None:
    """384 MiB pass through; NumPy reports its memory to tracemalloc, torch's copies are counted by the queue."""
    model, x = Wide(), torch.ones(4 * MIB)
    size = x.numel() * 4
    tracemalloc.start()
    try:
        with Dump(model, tmp_path / "a.arrow") as dump:
            model(x)
            stream = dump._writer  # the queue's own count is what is under test
        numpy_peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # One copy is being made while the queue is at its peak.
    assert stream.peak_bytes + size + numpy_peak <= 64 * MIB + 2 * size
    assert (tmp_path / "a.arrow").stat().st_size > 24 * size


def test_resident_memory_is_two_tensors_and_sixty_four_mebibytes(tmp_path: Path) -> None:
    """The system's own count, torch's memory included, in a process that does nothing else."""
    program = textwrap.dedent(
        """
        import re, sys
        from pathlib import Path
        import torch
        from npu_dump import Dump

        class Wide(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.parts = torch.nn.ModuleList(torch.nn.Identity() for _ in range(48))

            def forward(self, x):
                for part in self.parts:
                    x = part(x)
                return x

        def peak():
            return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

        model, x = Wide(), torch.ones(2 << 20)
        for number in range(2):
            with Dump(model, f"{sys.argv[1]}/warm{number}.arrow"):
                model(x[:200_000])
        # The peak is the system's from now on: before, importing may have needed more than a capture ever does.
        Path("/proc/self/clear_refs").write_text("5")
        before = peak()
        with Dump(model, sys.argv[1] + "/a.arrow"):
            model(x)
        print(peak() - before, x.nbytes)
        """
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    grown, size = map(int, done.stdout.split())
    assert (tmp_path / "a.arrow").stat().st_size > 48 * size
    assert size < grown <= 64 * MIB + 2 * size


def test_an_error_of_the_writer_surfaces_in_the_forward(
    tmp_path: Path, llama: Any, ids: Callable[..., torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed = DumpWriter._write_batch
    written: list[int] = []

    def full(self: DumpWriter, *args: Any) -> None:
        if len(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(1)
        flushed(self, *args)

    monkeypatch.setattr(DumpWriter, "_write_batch", full)
    forwards = 0
    with (
        torch.no_grad(),
        pytest.raises(DumpError) as caught,
        Dump(llama, tmp_path / "a.arrow", limits=Limits(gather=4096, buffer=4096)),
    ):
        for _ in range(1000):
            llama(ids())
            forwards += 1
    assert forwards < 999  # it did not wait for the end
    assert caught.value.code == "disk-full"
    assert caught.value.facts == [("file", "a.arrow.partial"), ("system", "No space left on device")]
    assert "npu-diff repair" in caught.value.help
    assert [path.name for path in tmp_path.iterdir()] == ["a.arrow.partial"]
    assert not any(thread.name == "npu-dump-writer" for thread in threading.enumerate())


def test_an_error_at_the_very_end_surfaces_too(
    tmp_path: Path, llama: Any, ids: Callable[..., torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with torch.no_grad(), pytest.raises(DumpError, match="disk-full"), Dump(llama, tmp_path / "a.arrow"):
        llama(ids())
        monkeypatch.setattr(DumpWriter, "_write_batch", full)
    assert not (tmp_path / "a.arrow").exists()
