"""Forks a process that captures; torch is imported once, so that hundreds of captures take minutes."""

from __future__ import annotations

import faulthandler
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable

from verify import require

SECONDS_TO_END = 30.0


class Child:
    """A process that does ``work``, and tells by one byte where its capture begins and where its block ends.

    ``work`` is given a function that tells; it returns what it found wrong, an empty list at best.
    """

    def __init__(self, work: Callable[[Callable[[], object]], list[str]]) -> None:
        reading, writing = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reading)
            os._exit(_run(work, lambda: os.write(writing, b".")))
        os.close(writing)
        self._reading = reading

    def wait_for_word(self) -> None:
        """Return when the process tells where it is, or is gone."""
        require(select.select([self._reading], [], [], SECONDS_TO_END)[0], "a capture hangs")
        os.read(self._reading, 1)

    def end(self) -> int:
        """Wait for the end of the process and return its exit code, or the negative number of the signal."""
        deadline = time.monotonic() + SECONDS_TO_END
        try:
            while time.monotonic() < deadline:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    return os.waitstatus_to_exitcode(status)
                time.sleep(0.001)
            # Its stack, on stderr, says where.
            os.kill(self.pid, signal.SIGABRT)
            os.waitpid(self.pid, 0)
        finally:
            os.close(self._reading)
        require(condition=False, what="a capture hangs")
        return 0


def _run(work: Callable[[Callable[[], object]], list[str]], tell: Callable[[], object]) -> int:
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        faults = work(tell)
    except BaseException:
        traceback.print_exc()
        return 1
    for fault in faults:
        print(f"left behind: {fault}", file=sys.stderr)
    return 1 if faults else 0
