"""What a capture has made."""

from __future__ import annotations

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

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        return {
            "path": str(self.path),
            "id": self.id,
            "samples": self.samples,
            "tokens": self.tokens,
            "bytes": self.bytes,
        }
