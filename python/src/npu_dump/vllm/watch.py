"""What ends a run from outside: an engine's process that is gone, and the user's interrupt (Ctrl-C).

The engine's own front waits for ever for the answer of a process that is gone, and takes an interrupt while it starts
for nothing.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from types import TracebackType

from ..errors import DumpError

# The engine may notice by itself, and then says more.
_PATIENCE_S = 10.0
_LOOK_S = 0.5


class Watch:
    """Ends a ``with`` block whose engine dies: what blocks the main thread is interrupted.

    In another thread than the main one nothing is watched, because nothing can be interrupted there.

    Raises:
        DumpError: ``engine-died``, on leaving the block.
    """

    def __init__(self) -> None:
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._died = False

    def __enter__(self) -> Watch:
        self._over.clear()
        # Those that the engine has started; they live as long as it does.
        sentinels = [child.sentinel for child in multiprocessing.active_children()]
        if sentinels and threading.current_thread() is threading.main_thread():
            threading.Thread(target=self._look, args=(sentinels,), name="npu-dump-watch", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._over.set()
        if self._died and (kind is None or issubclass(kind, KeyboardInterrupt)):
            raise DumpError(
                "engine-died",
                "the engine's process ended while it ran",
                facts=[("noticed", f"no answer {_PATIENCE_S:.0f} s after its end")],
                help="what is complete is in OUT.partial; npu-diff repair makes a dump of it",
            ) from error

    def _look(self, sentinels: list[int]) -> None:
        while not wait(sentinels, timeout=_LOOK_S):
            if self._over.is_set():
                return
        if self._over.wait(_PATIENCE_S):
            return
        with self._lock:
            if not self._over.is_set():
                self._died = True
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


class _Interrupted(BaseException):
    """An interrupt under a name that the engine does not catch."""


@contextmanager
def shielded_start() -> Iterator[None]:
    """Start processes in this block that no interrupt reaches, and none of which outlives an interrupt of the block.

    A terminal sends an interrupt to all processes of a group. An engine that ends by it can no longer be asked to end
    its dump, so it must come to this process alone. In another thread than the main one nothing is changed.

    Raises:
        KeyboardInterrupt: the block was interrupted.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    theirs = set(multiprocessing.active_children())
    over = threading.Event()
    # Started with the first process, it would unblock interrupts for all that come after it.
    resource_tracker.ensure_running()
    # A process inherits what signals are blocked where it is started. One thread must be left that takes the signal.
    threading.Thread(target=over.wait, name="npu-dump-interrupts", daemon=True).start()
    signal.signal(signal.SIGINT, _interrupt)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    except _Interrupted:
        _end(set(multiprocessing.active_children()) - theirs)
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGINT, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        over.set()


def _interrupt(_number: int, _frame: object) -> None:
    raise _Interrupted


def _end(children: set[BaseProcess]) -> None:
    for child in children:
        child.terminate()
    for child in children:
        child.join(_PATIENCE_S)
        child.kill()
