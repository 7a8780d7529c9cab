"""What an interrupt (Ctrl-C), which a terminal sends to a whole group of processes, does to an engine's start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="vLLM is not for this system")

_PROGRAM = """
import multiprocessing, sys, time
from npu_dump.vllm.watch import shielded_start

def started():
    child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(20,), daemon=True)
    child.start()
    return child

if __name__ == "__main__":
    {body}
"""


def ended_by(tmp_path: Path, body: str) -> tuple[str, int]:
    """Interrupt a group of processes once it tells its child; return what it says then, and the child."""
    program = tmp_path / "program.py"
    program.write_text(_PROGRAM.format(body=textwrap.indent(textwrap.dedent(body), "    ").strip()))
    run = subprocess.Popen(
        [sys.executable, str(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert run.stdout is not None
    child = int(run.stdout.readline())
    os.killpg(run.pid, signal.SIGINT)
    said, _ = run.communicate(timeout=60)
    return said.strip(), child


def test_it_reaches_no_process_that_was_started(tmp_path: Path) -> None:
    said, _ = ended_by(
        tmp_path,
        """
        with shielded_start():
            child = started()
        try:
            print(child.pid, flush=True)
            time.sleep(20)
        except KeyboardInterrupt:
            child.join(1)
            print("alive" if child.is_alive() else "dead")
            child.kill()
        """,
    )
    assert said == "alive"


def test_it_ends_a_start_that_catches_interrupts_and_what_was_started(tmp_path: Path) -> None:
    said, child = ended_by(
        tmp_path,
        """
        try:
            with shielded_start():
                print(started().pid, flush=True)
                for _ in range(200):
                    try:
                        time.sleep(0.1)
                    except KeyboardInterrupt:
                        pass
        except KeyboardInterrupt:
            print("interrupted", len(multiprocessing.active_children()))
        """,
    )
    assert said == "interrupted 0"
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
