"""Where a dump goes: whether it may be made there, and what the disk says while it is."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import contract
from .errors import DumpError


def check_target(path: Path, *, overwrite: bool) -> None:
    """Raise a `DumpError` unless a dump can be made at ``path``; changes nothing."""
    if path.suffix != contract.SUFFIX:
        raise DumpError(
            "output-name",
            f"a dump's name must end in {contract.SUFFIX}",
            facts=[("given", path)],
            help=f"name it {path.name or 'dump'}{contract.SUFFIX}",
        )
    if not path.parent.is_dir():
        raise DumpError(
            "output-folder",
            "the folder of the dump does not exist",
            facts=[("folder", path.parent), ("dump", path.name)],
            help="make the folder first, or give another path",
        )
    partial = path.with_name(path.name + contract.PARTIAL_SUFFIX)
    for existing, meaning in ((path, "a dump"), (partial, "a dump that was not finished, or is being written")):
        if existing.exists() and not overwrite:
            raise DumpError(
                "output-exists",
                f"{existing.name} exists already: {meaning}",
                facts=[("folder", path.parent), ("file", existing.name)],
                help="give another name, remove the file, or overwrite it with --force (overwrite=True)",
            )


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what the system says about writing ``path`` into a `DumpError`."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise DumpError(
            "disk-full" if full else "write-failed",
            "the disk is full" if full else "the dump could not be written",
            facts=[("file", path.name), ("system", error.strerror or error)],
            help=f"make room and run again; npu-diff repair {path.name} keeps what was written"
            if full
            else "check the folder's rights and that it is still there",
        ) from error
