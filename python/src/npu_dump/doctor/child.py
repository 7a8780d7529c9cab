"""Runs `worker` and reads its checks, whatever becomes of it."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, cast

from ..errors import DumpError
from .check import Check, from_json, shortened

# One line of the worker's; a longer one is none of its.
_MOST_CHARACTERS = 1 << 20

# Nothing is imported before the path is that of this process; `sys` is built in.
_START = "import sys; sys.path[:] = sys.argv[2:]; from npu_dump.doctor.worker import main; main(sys.argv[1])"


def run(device: str | None, names: tuple[str, ...], limit_s: float, begun: Callable[[str], None]) -> list[Check]:
    """Return the checks of a worker, and of one that has ended too early which check ended it.

    Args:
        device: the device that the user names; None: the worker chooses.
        names: all checks that it has.
        limit_s: seconds for each of them.
        begun: called with the name of each that begins.

    Raises:
        DumpError: ``device-unknown``, or ``doctor-worker``: there is no worker at all.
    """
    # The very folders that this process imports from: `-m` would add the working folder, where anything may lie.
    arguments = [json.dumps(device), *sys.path]
    try:
        process = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-c", _START, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
    except OSError as error:
        raise DumpError(
            "doctor-worker",
            "the process for the checks cannot be started",
            facts=[("program", sys.executable), ("system", error)],
            help="free memory or processes, and try again",
        ) from error
    stdout, lines = cast("IO[bytes]", process.stdout), queue.Queue[bytes | None]()

    def read() -> None:
        while line := stdout.readline(_MOST_CHARACTERS):
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    found: dict[str, Check] = {}
    now = names[0]
    try:
        while (line := lines.get(timeout=limit_s)) is not None:
            told = _parsed(line)
            if "error" in told:
                parts = told["error"]
                facts = [(label, text) for label, text in parts["facts"]]
                raise DumpError(parts["code"], parts["what"], facts=facts, help=parts["help"])
            if told.get("begin") in names:
                now = told["begin"]
                begun(now)
            check = from_json(told)
            if check is not None and check.id in names:
                found[check.id] = check
            if "end" in told:
                break
        else:
            # Its output has ended before it said so: it has crashed, or is about to have.
            process.wait(timeout=limit_s)
            found[now] = _ended(now, process.returncode)
    except (queue.Empty, subprocess.TimeoutExpired):
        step = "if it hangs: run npu-smi info, end what holds the device, restart; --timeout gives it more seconds"
        found[now] = Check(now, "fail", f"not done after {limit_s:g} s", {"timeout_s": limit_s}, step)
    finally:
        process.kill()
        with suppress(subprocess.TimeoutExpired):  # it may hang inside the driver, where no signal reaches it
            process.wait(timeout=1)
    return _completed(found, names, now)


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:  # what a start-up file of Python's has printed, for one
        return {}
    return value if isinstance(value, dict) else {}


def _ended(name: str, code: int) -> Check:
    """Return the failure of the check in which the process has ended."""
    try:
        how = f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"
    except ValueError:
        how = f"signal {-code}"
    return Check(name, "fail", shortened(f"the process died in this check: {how}"), {"exit_code": code}, _BY_HAND)


_BY_HAND = "read what it says on stderr; driver, firmware, CANN and torch_npu must match"


def _completed(found: dict[str, Check], names: tuple[str, ...], last: str) -> list[Check]:
    """Return the checks in their order, also those not come to; nothing is passed over without a failure."""
    failed = next((name for name in reversed(names) if name in found and found[name].status == "fail"), None)
    if failed is None and set(names) - set(found):
        failed = last
        found[last] = Check(last, "fail", "the process ended before it had told of all checks", {}, _BY_HAND)
    return [found.get(name) or Check(name, "not-run", f"{failed} must work first") for name in names]
