"""SHA-256 of weight files, each file read once a process."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from .errors import DumpError

_digests: dict[tuple[str, int, int], str] = {}


def combined_sha256(files: Sequence[Path], progress: Callable[[int, int], None] | None = None) -> str:
    """Return the SHA-256 of a file; of several, that of their hex digests, in their order, joined by newlines.

    Args:
        files: at least one.
        progress: called with bytes read and bytes in all.

    Raises:
        DumpError: ``model-unreadable``.
    """
    total = sum(file.stat().st_size for file in files)
    done = 0
    digests: list[str] = []
    for file in files:
        status = file.stat()
        key = (str(file.resolve()), status.st_size, status.st_mtime_ns)
        if key not in _digests:
            digest = hashlib.sha256()
            try:
                with file.open("rb") as stream:
                    while block := stream.read(8 << 20):
                        digest.update(block)
                        if progress:
                            progress(done + stream.tell(), total)
            except OSError as error:
                raise DumpError(
                    "model-unreadable",
                    "a weight file cannot be read",
                    facts=[("file", file.name), ("system", error.strerror or error)],
                    help="check the file and its rights",
                ) from error
            _digests[key] = digest.hexdigest()
        done += status.st_size
        digests.append(_digests[key])
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()
