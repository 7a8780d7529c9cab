"""What ``npu-smi info`` says of the driver and the chips.

It is another program: bounded in time and size, believed in nothing but what has a known form.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, cast

from .check import Check, gib, reason, shortened

LIMIT_S = 20.0
# 64 chips take 16 KiB.
_MOST_BYTES = 1 << 18
_MIB = 1 << 20


@dataclass(frozen=True)
class Chip:
    """One row of npu-smi's table.

    Attributes:
        npu: number of the card.
        chip: number of the chip on it.
        name: e.g. ``910B2``.
        health: ``OK``, ``Warning``, ``Alarm``, ``Critical`` …
        used: bytes of its memory in use; None where the table does not say.
        total: bytes of its memory; None likewise.
    """

    npu: int
    chip: int
    name: str
    health: str
    used: int | None
    total: int | None


class NpuSmiError(Exception):
    """npu-smi is there and said nothing that could be read."""


def check(limit_s: float = LIMIT_S) -> tuple[Check, list[Chip]]:
    """Return what npu-smi says, and the chips that it lists."""
    program = shutil.which("npu-smi")
    if program is None:
        return Check("npu-smi", "not-run", "npu-smi is not on PATH", {}), []
    try:
        text = _output([program, "info"], limit_s)
        driver, chips = parse(text)
    except NpuSmiError as error:
        step = "run npu-smi info by hand; reinstall the driver, or in a container pass in /dev/davinci_manager, "
        step += "/dev/devmm_svm, /dev/hisi_hdc and the driver's folder"
        return Check("npu-smi", "fail", str(error), {}, step), []
    figures = {"driver": driver, "chips": [vars(chip) for chip in chips]}
    names = ", ".join(sorted({chip.name for chip in chips}))
    sizes = sorted({chip.total for chip in chips if chip.total})
    memory = f", {' or '.join(map(gib, sizes))} each" if sizes else ", memory unknown"
    summary = f"driver {driver or 'of unknown version'}, {len(chips)} NPU ({names}){memory}"
    ill = [f"{chip.npu}.{chip.chip} {chip.health}" for chip in chips if chip.health.upper() != "OK"]
    if ill:
        summary += f"; not healthy: {shortened(', '.join(ill))}"
        step = "npu-smi info -t health -i N says why; use another chip by ASCEND_RT_VISIBLE_DEVICES meanwhile"
        return Check("npu-smi", "warning", summary, figures, step), chips
    return Check("npu-smi", "ok", summary, figures), chips


def parse(text: str) -> tuple[str | None, list[Chip]]:
    """Return the driver's version and the chips of the table that ``npu-smi info`` prints.

    Raises:
        NpuSmiError: it is no such table, or has no chip.
    """
    header = re.search(r"(?m)^\s*\|\s*npu-smi\s+\S+\s+Version:\s*(\d[\w.\-]{0,30})", text)
    chips: list[Chip] = []
    upper: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        # A chip has two rows of three cells, told apart by what stands in the second one.
        if len(cells) != 3 or not re.match(r"\d{1,4}\b", cells[0]):
            continue
        if re.fullmatch(r"[0-9a-fA-F]{4}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.\d|NA", cells[1]) and upper:
            chips.append(_chip(upper, cells))
            upper = []
        elif not re.search(r"[:\d]", cells[1]):
            upper = cells
    if header is None and not chips:
        first = next((line.strip() for line in text.splitlines() if line.strip()), "nothing")
        raise NpuSmiError(f"npu-smi info printed no table of chips, but: {shortened(first)}")
    if not chips:
        raise NpuSmiError("npu-smi info lists no chip")
    return (header[1] if header else None), chips


def _chip(upper: list[str], lower: list[str]) -> Chip:
    number, _, name = upper[0].partition(" ")
    # Memory and HBM: a chip has one of them, and the other is 0 of 0, or less.
    pairs = [(int(used), int(total)) for used, total in re.findall(r"(\d{1,9})\s*/\s*(\d{1,9})", lower[2])]
    used, total = max(pairs, key=lambda pair: pair[1], default=(0, 0))
    known = total > 0 and used <= total
    return Chip(
        npu=int(number),
        chip=int(lower[0].split()[0]),
        name=shortened(name.strip()) or "unnamed",
        health=shortened(upper[1]),
        used=used * _MIB if known else None,
        total=total * _MIB if known else None,
    )


def _output(command: list[str], limit_s: float) -> str:
    """Return what a program prints, or raise `NpuSmiError`; it and what it has started are gone then."""
    try:
        process = subprocess.Popen(  # noqa: S603 - found on the user's own PATH
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise NpuSmiError(f"npu-smi cannot be started: {reason(error)}") from error
    stdout, kept = cast("IO[bytes]", process.stdout), list[bytes]()

    def read() -> None:
        kept.append(stdout.read(_MOST_BYTES + 1))

    # A thread, because what the program has started may hold its output open after it has ended.
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(limit_s)
    late = reader.is_alive()
    long = not late and len(kept[0]) > _MOST_BYTES
    if not late and not long:
        try:
            process.wait(limit_s)
        except subprocess.TimeoutExpired:
            late = True
    _kill(process)
    reader.join(1)
    if late:
        raise NpuSmiError(f"npu-smi info did not end within {limit_s:g} s: the driver may hang")
    if long:
        raise NpuSmiError(f"npu-smi info printed more than {_MOST_BYTES >> 10} KiB")
    text = kept[0].decode("utf-8", "replace")
    if process.returncode:
        first = next((line.strip() for line in text.splitlines() if line.strip()), "nothing")
        raise NpuSmiError(f"npu-smi info ended with {process.returncode} and said: {shortened(first)}")
    return text


def _kill(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (AttributeError, OSError):  # no process groups on Windows; or all of them have ended
        process.kill()
    with suppress(subprocess.TimeoutExpired):  # it may hang inside the driver, where no signal reaches it
        process.wait(1)
