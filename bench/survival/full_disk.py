"""Captures to disks that are too small: real ones, where this process may make them, and a limit on a file's size."""

from __future__ import annotations

import ctypes
import os
import random
import resource
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from child import Child
from verify import Undisturbed, require
from workload import Workload

from npu_dump import DumpError

PAGE = 4096
# From the kernel's sched.h and mount.h.
CLONE_NEWNS, CLONE_NEWUSER = 0x0002_0000, 0x1000_0000
MS_REC, MS_PRIVATE = 0x4000, 0x4_0000

Shrink = Callable[[Path, int], None]


def fill(
    workload: Workload, undisturbed: Undisturbed, folder: Path, runs: int, seed: int, shrink: Shrink
) -> tuple[Counter[str], int]:
    """Capture to ``runs`` disks of as many sizes, from one that holds nothing to one that holds all."""
    chance = random.Random(seed)  # noqa: S311 - sizes, not secrets
    whole = -(-undisturbed.size // PAGE) * PAGE
    edges = [PAGE, undisturbed.size - 1000, undisturbed.size - 8, whole + PAGE]
    sizes = (edges + [chance.randrange(PAGE, undisturbed.size) for _ in range(runs)])[:runs]
    left: Counter[str] = Counter()
    recovered = 0
    for number, size in enumerate(sizes):
        path = folder / f"{shrink.__name__}{number}" / "a.arrow"
        path.parent.mkdir()
        child = Child(lambda _, path=path, size=size: _capture(workload, path, size, shrink))
        code = child.end()
        require(code == 0, f"a capture to a disk of {size} bytes ended with {code}")
        found = undisturbed.check(path)
        require(size < whole or found.state == "complete", "a disk that was large enough was full")
        left[found.state] += 1
        recovered += found.batches
    return left, recovered


def _capture(workload: Workload, path: Path, size: int, shrink: Shrink) -> list[str]:
    """Capture, see that a failure is told in three parts, and bring what was written to ``path``."""
    small = path.parent / "disk"
    small.mkdir()
    shrink(small, size)
    told = ""
    try:
        workload.capture(small / path.name)
    except DumpError as error:
        told = str(error)
    faults = workload.faults()
    if bool(told) == (small / path.name).exists():
        faults.append("a dump, and an error")
    if told and not (told.startswith("error[disk-full]: the disk is full\n") and "\n  help: make room" in told):
        faults.append(told)
    for entry in small.iterdir():
        shutil.copy(entry, path.parent)
    return faults


def tmpfs(folder: Path, size: int) -> None:
    """Mount a file system of ``size`` bytes, in whole pages, where only this process sees it."""
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    _system(libc.unshare(CLONE_NEWNS | CLONE_NEWUSER))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    _system(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
    pages = max(1, size // PAGE)
    _system(libc.mount(b"tmpfs", bytes(folder), b"tmpfs", 0, f"size={pages * PAGE}".encode()))


def file_limit(_: Path, size: int) -> None:
    """Let no file of this process grow beyond ``size`` bytes; Python ignores the signal that comes with it."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def tmpfs_refused(folder: Path) -> str:
    """Why this process may not mount; nothing where it may."""

    def attempt(_: object) -> list[str]:
        try:
            tmpfs(folder, PAGE)
        except (OSError, AttributeError) as error:
            (folder / "refused").write_text(str(error) or "not permitted")
        return []

    Child(attempt).end()
    refused = folder / "refused"
    return refused.read_text() if refused.exists() else ""


def _system(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
