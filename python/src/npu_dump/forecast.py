"""Says how long several passes over the same samples will take, by the first sample."""

from __future__ import annotations

import time
from collections.abc import Sequence

from .progress import Progress


class Forecast(Progress):
    """Progress of a pass that tells, once its first batch is done, how long what remains will take.

    An estimate: every token is taken to cost what those of the first batch did, and every pass as much as this one.

    Args:
        progress: where it is told.
        lengths: tokens of each sample.
        passes: how many are left, this one included.
        what: the pass that is measured, its precision.
    """

    def __init__(self, progress: Progress, lengths: Sequence[int], passes: int, what: str) -> None:
        super().__init__(bars=False, notes=False)
        self._progress = progress
        self._lengths = lengths
        self._passes = passes
        self._what = what
        self._started = time.monotonic()
        self._told = False

    def note(self, text: str) -> None:
        """Pass it on."""
        self._progress.note(text)

    def step(self, title: str, done: int, total: int, unit: str) -> None:
        """Pass it on; at the first call, say how long the rest will take."""
        if not self._told:
            self._told = True
            a_token = (time.monotonic() - self._started) / sum(self._lengths[:done])
            left = a_token * (sum(self._lengths) * self._passes - sum(self._lengths[:done]))
            self._progress.note(
                f"about {_duration(left)} more for {self._passes} {'passes' if self._passes > 1 else 'pass'}, "
                f"if all run as the first {'samples' if done > 1 else 'sample'} in {self._what}"
            )
        self._progress.step(title, done, total, unit)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
