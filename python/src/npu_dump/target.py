"""Where a dump goes: whether it may be made there, its file while it is made, and what the disk says meanwhile."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa

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
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise DumpError(
            "write-failed",
            "nothing may be written to the folder of the dump",
            facts=[("folder", path.parent), ("dump", path.name)],
            help="check the folder's rights, or give another path",
        )
    meanings = {path: "a dump", _partial(path): "a dump that was not finished, or is being written"}
    for existing, meaning in meanings.items():
        if existing.is_dir():
            raise DumpError(
                "output-exists",
                f"{existing.name} is a folder",
                facts=[("folder", path.parent), ("dump", path.name)],
                help="give another name",
            )
        if existing.exists() and not overwrite:
            raise DumpError(
                "output-exists",
                f"{existing.name} exists already: {meaning}",
                facts=[("folder", path.parent), ("file", existing.name)],
                help="give another name, remove the file, or overwrite it with --force (overwrite=True)",
            )


class Target:
    """The file of one dump while it is made: ``NAME.arrow.partial``, locked, until `commit` gives it its name.

    What is written goes through ``sink``. `mark` says that all up to here is whole; whatever ends the work before
    `commit`, the file is cut there.

    Args:
        path: the dump to make.
        overwrite: take the place of a dump, and of a ``.partial`` that nobody writes any more.

    Raises:
        DumpError: the file cannot be made, or another capture is writing it.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        check_target(path, overwrite=overwrite)
        self.path = path
        self.partial = _partial(path)
        self._whole = 0
        self._process = os.getpid()
        with self.errors():
            self._descriptor: int | None = _claim(self.partial, overwrite=overwrite)
            try:
                self.sink = pa.OSFile(str(self.partial), "wb")
            except BaseException:
                self._remove()
                self._release()
                raise

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what the system says about the file into a `DumpError`."""
        if self._process != os.getpid():
            raise DumpError(
                "dump-forked",
                "a dump is written by the process that started it alone",
                facts=[("file", self.partial.name), ("processes", f"{self._process}, and now {os.getpid()}")],
                help="capture in the process that runs the model",
            )
        try:
            yield
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            kept = f"; npu-diff repair {self.partial.name} keeps what was written" if self._whole else ""
            raise DumpError(
                "disk-full" if full else "write-failed",
                "the disk is full" if full else "the dump could not be written",
                facts=[("file", self.partial.name), ("system", error.strerror or error)],
                help=f"make room and run again{kept}"
                if full
                else f"check the folder's rights and that it is still there{kept}",
            ) from error

    def mark(self) -> None:
        """Say that every byte written so far belongs to something whole."""
        self._whole = self.sink.tell()

    def sync(self) -> None:
        """Wait until what was written is on the disk, not only on its way there."""
        if self._descriptor is not None:
            os.fsync(self._descriptor)

    def commit(self) -> None:
        """Give the file its name, once all of it is on the disk."""
        size = self.sink.tell()
        self.sink.close()
        self.sync()
        # Nothing is missing from here on; if the name cannot be had, the file is better whole than cut.
        self._whole = size
        if self._descriptor is not None:
            _require_same(self._descriptor, self.partial)
        if sys.platform == "win32":
            # Windows renames no open file; there is no lock to lose there.
            self._release()
        self.partial.replace(self.path)
        self._release()
        _sync_folder(self.path.parent)

    def keep(self) -> None:
        """Leave the ``.partial`` with what is whole, and let go of it; never raises what the disk says."""
        with suppress(OSError):
            self.sink.close()
        if self._descriptor is not None and self._process == os.getpid():
            with suppress(OSError):
                # A batch that a full disk cut must not be joined by later bytes. Cutting needs no room.
                os.ftruncate(self._descriptor, self._whole)
        self._release()

    def discard(self) -> None:
        """Remove the ``.partial``."""
        self._remove()
        self.keep()

    def _remove(self) -> None:
        if self._descriptor is not None and self._process == os.getpid():
            with suppress(OSError, DumpError):
                _require_same(self._descriptor, self.partial)
                self.partial.unlink()

    def _release(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)


def _partial(path: Path) -> Path:
    return path.with_name(path.name + contract.PARTIAL_SUFFIX)


def _claim(partial: Path, *, overwrite: bool) -> int:
    """Open the file and lock it, so that of two writers of one name the second fails instead of mixing in its bytes.

    The lock is the open file's: it goes with the process, however that ends. File systems without locks are left
    with the exclusive creation, and with the look at the file before it is renamed.
    """
    # Not through a symbolic link: what it points to is no dump of ours.
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | (0 if overwrite else os.O_EXCL)
    descriptor = os.open(partial, flags, 0o666)
    try:
        if sys.platform != "win32":
            import fcntl

            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise DumpError(
                    "output-exists",
                    f"{partial.name} is being written",
                    facts=[("folder", partial.parent), ("by", "another capture, which is still running")],
                    help="give another name, or wait for that capture",
                ) from error
            except OSError as error:
                if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL):
                    raise
        # Between opening and locking its writer may have finished it: then it is a dump, and not to be touched.
        _require_same(descriptor, partial)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _require_same(descriptor: int, path: Path) -> None:
    """Raise unless ``path`` is still the name of the open file."""
    if not os.path.samestat(os.fstat(descriptor), path.stat()):
        raise DumpError(
            "output-exists",
            f"{path.name} is another file now",
            facts=[("folder", path.parent), ("found", "a file that was put in the place of the one being written")],
            help="write to a name that nothing else uses",
        )


def _sync_folder(folder: Path) -> None:
    """Put the new name on the disk too; where that cannot be done, a power cut may leave the old one."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
