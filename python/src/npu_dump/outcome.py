"""What a capture has made."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """What a run has made."""

    path: Path
    id: str
    samples: int
    tokens: int
    bytes: int = field(default=0)

    @classmethod
    def of(cls, path: Path, run: Mapping[str, Any], lengths: Collection[int]) -> Outcome:
        """Return what a run has made that is one file, by the tokens of each sample."""
        return cls(path, run["id"], len(lengths), sum(lengths), path.stat().st_size)

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        return {
            "path": str(self.path),
            "id": self.id,
            "samples": self.samples,
            "tokens": self.tokens,
            "bytes": self.bytes,
        }
