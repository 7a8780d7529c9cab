"""Runs of several ranks: what the file of one says of itself, and which of its tensors are whole.

A rank writes ``NAME.rankR.arrow``. ``run.parallel`` says which rank it is (``world_size``, ``tp``, ``pp``, ``ep``,
``rank``), ``run.shards`` what its tensors are of the whole ones, by name or glob: ``{"axis": 1, "start": 0, "length":
288}``, ``{"replicated": true}`` or ``{"partial": "sum"}``. All ranks of a run have its ``id``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .select import matches

# Fed to every rank, or answered by every rank: whole in every file.
_REPLICATED = {"input_ids", "position_ids", "prompt", "token_text", "generated_ids", "generated_text"}


def rank_paths(path: Path, ranks: int) -> list[Path]:
    """Return where each rank writes: ``NAME.rank0.arrow`` and so on; the path itself where there is one."""
    return [path] if ranks == 1 else [path.with_name(f"{path.stem}.rank{rank}{path.suffix}") for rank in range(ranks)]


def rank_of(run: Mapping[str, Any]) -> int:
    """Return ``run.parallel.rank``; 0 where the run has no ranks."""
    parallel = run.get("parallel")
    rank = parallel.get("rank") if isinstance(parallel, dict) else 0
    return rank if isinstance(rank, int) else 0


def is_part(run: Mapping[str, Any]) -> bool:
    """Return whether a file with this metadata holds one rank of several."""
    parallel = run.get("parallel")
    return isinstance(parallel, dict) and parallel.get("world_size", 1) not in (1, None)


def is_whole(run: Mapping[str, Any], name: str) -> bool:
    """Return whether a tensor is the whole one in this file: always, unless it is a slice or a term of a sum."""
    if not is_part(run) or name in _REPLICATED or name.startswith("perf."):
        return True
    shards = run.get("shards")
    shards = shards if isinstance(shards, dict) else {}
    share = shards.get(name) or next((value for glob, value in shards.items() if matches(glob, name)), None)
    return isinstance(share, dict) and share.get("replicated") is True
