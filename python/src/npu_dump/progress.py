"""Tells on stderr how far the work is: lines always, a bar only on a terminal."""

from __future__ import annotations

import sys
from typing import Any

from .errors import printable


class Progress:
    """Notes and bars on stderr.

    Args:
        bars: whether to draw bars; None: where stderr is a terminal.
        notes: whether to print notes.
    """

    def __init__(self, *, bars: bool | None = None, notes: bool = True) -> None:
        self._bars = sys.stderr.isatty() if bars is None else bars
        self._notes = notes
        self._bar: Any = None
        self._title = ""

    def note(self, text: str) -> None:
        """Print one line about something worth knowing."""
        if self._notes:
            self.close()
            print(f"npu-dump: {printable(text)}", file=sys.stderr)  # noqa: T201 - this is where it is printed

    def step(self, title: str, done: int, total: int, unit: str) -> None:
        """Show that ``done`` of ``total`` units of a stage are finished."""
        if not self._bars:
            return
        if title != self._title:
            from tqdm import tqdm

            self.close()
            self._bar = tqdm(total=total, desc=title, unit=f" {unit}", leave=False, file=sys.stderr)
            self._title = title
        self._bar.update(done - self._bar.n)
        if done >= total:
            self.close()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
        self._bar, self._title = None, ""
