"""The file while it is written: whatever the disk or its user does, nothing incomplete looks complete."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npu_dump import DumpError, DumpWriter, Limits, load
from npu_dump.stream import BackgroundWriter
from npu_dump.tensor import host_tensor

from .test_safety import recovered

RUN = {"dtype": "F32"}
SMALL = Limits(gather=4096, buffer=4096)


def test_a_writer_thread_that_is_gone_does_not_hold_up_the_model(tmp_path: Path) -> None:
    """As in a process that was forked inside the block: threads do not go with it."""
    writer = BackgroundWriter(DumpWriter(tmp_path / "a.arrow", run=RUN, limits=SMALL), SMALL)
    tensor = host_tensor(np.zeros(4096, "u1"))
    writer.put(tensor, name="before")
    with writer._lock:
        writer._closing = True
        writer._changed.notify_all()
    writer._thread.join()
    with pytest.raises(DumpError, match="dump-closed"):
        for number in range(4):
            writer.put(tensor, name=f"x{number}")
    writer.abort()
    assert recovered(tmp_path / "a.arrow.partial") == {("before", 0, 0)}


@pytest.mark.parametrize("end", ["close", "abort"])
def test_nothing_can_be_added_after_the_end(tmp_path: Path, end: str) -> None:
    for make in (DumpWriter, lambda *a, **k: BackgroundWriter(DumpWriter(*a, **k), SMALL)):
        path = tmp_path / f"{make.__name__}.arrow"
        writer: Any = make(path, run=RUN, limits=SMALL)
        add = (
            writer.write if make is DumpWriter else lambda name, value, w=writer: w.put(host_tensor(value), name=name)
        )
        add("x", np.ones(3))
        getattr(writer, end)()
        with pytest.raises(DumpError, match="dump-closed"):
            add("y", np.ones(3))
        getattr(writer, end)()  # once more is no harm
        assert path.exists() == (end == "close")
        assert recovered(path if end == "close" else path.with_name(path.name + ".partial")) >= {("x", 0, 0)}


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), MemoryError(), KeyboardInterrupt()])
def test_a_writer_that_lost_a_tensor_does_not_finish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """Also where its user goes on as if nothing had happened."""
    writer = DumpWriter(tmp_path / "a.arrow", run=RUN, limits=SMALL)
    writer.write("x", np.zeros(4096, "u1"))

    def fails(*_: Any) -> None:
        writer._target.sink.write(b"\xff\xff\xff\xff\x00\x10")  # the first bytes of a batch
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(DumpWriter, "_write_batch", fails)
        with pytest.raises((DumpError, MemoryError, KeyboardInterrupt)):
            writer.write("y", np.zeros(4096, "u1"))
    for attempt in (lambda: writer.write("z", np.zeros(4096, "u1")), writer.close):
        with pytest.raises(DumpError, match=r"disk-full|tensor-lost"):
            attempt()
    size = (tmp_path / "a.arrow.partial").stat().st_size
    writer.abort()
    # What the disk cut off is gone, so that nothing can join it.
    assert (tmp_path / "a.arrow.partial").stat().st_size == size - 6
    assert recovered(tmp_path / "a.arrow.partial") == {("x", 0, 0)}
    assert not (tmp_path / "a.arrow").exists()


@pytest.mark.parametrize("call", ["fsync", "close"])
def test_a_disk_that_says_only_at_the_end_that_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """As quotas and network file systems do: the bytes were taken, and are not there."""

    def full(*_: Any) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    writer = DumpWriter(tmp_path / "a.arrow", run=RUN)
    writer.write("x", np.ones(3))
    with monkeypatch.context() as patch, pytest.raises(DumpError, match="disk-full") as caught:
        if call == "fsync":
            patch.setattr(os, "fsync", full)
        else:
            sink = writer._target.sink

            class Sink:
                tell = sink.tell
                close = staticmethod(full)

            patch.setattr(writer._target, "sink", Sink())
        with writer:
            pass
    assert caught.value.facts[1] == ("system", "Disk quota exceeded")
    assert [path.name for path in tmp_path.iterdir()] == ["a.arrow.partial"]
    with pytest.raises(DumpError, match="dump-incomplete"):
        load(tmp_path / "a.arrow.partial")
    assert ("x", 0, 0) in recovered(tmp_path / "a.arrow.partial")


def test_all_is_on_the_disk_before_anything_says_that_it_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        content = (tmp_path / name).read_bytes() if name.startswith("a.arrow") else b""
        events.append("folder" if name == tmp_path.name else f"complete {content.endswith(b'ARROW1')}")
        fsync(descriptor)

    def renamed(self: Path, target: Path) -> Any:
        events.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    with DumpWriter(tmp_path / "a.arrow", run=RUN) as writer:
        writer.write("x", np.ones(3))
    assert events == ["complete False", "complete True", "rename", "folder"]


def test_a_folder_that_vanishes_is_an_error_with_three_parts(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    with pytest.raises(DumpError, match="write-failed") as caught, DumpWriter(folder / "a.arrow", run=RUN) as writer:
        writer.write("x", np.ones(3))
        (folder / "a.arrow.partial").unlink()
        folder.rmdir()
    assert caught.value.facts == [("file", "a.arrow.partial"), ("system", "No such file or directory")]
    assert "still there" in caught.value.help


def test_a_partial_that_was_exchanged_never_gets_the_name(tmp_path: Path) -> None:
    with pytest.raises(DumpError, match="is another file now"), DumpWriter(tmp_path / "a.arrow", run=RUN) as writer:
        writer.write("x", np.ones(3))
        (tmp_path / "a.arrow.partial").unlink()
        (tmp_path / "a.arrow.partial").write_bytes(b"half of something else")
    assert (tmp_path / "a.arrow.partial").read_bytes() == b"half of something else"
    assert not (tmp_path / "a.arrow").exists()


def test_overwriting_waits_for_no_one_and_spares_what_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    with DumpWriter(path, run=RUN, overwrite=True) as writer:
        writer.write("x", np.ones(3))
        with pytest.raises(DumpError, match=r"a\.arrow\.partial is being written"):
            DumpWriter(path, run=RUN, overwrite=True)
    assert list(load(path)) == [("x", 0, 0)]
    # What a process left that is gone may go.
    path.with_name("a.arrow.partial").write_bytes(b"left over")
    with DumpWriter(path, run=RUN, overwrite=True) as writer:
        writer.write("y", np.ones(3))
    assert list(load(path)) == [("y", 0, 0)]
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.arrow"]


def test_a_partial_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    (tmp_path / "a.arrow.partial").symlink_to(precious)
    with pytest.raises(DumpError, match="write-failed"):
        DumpWriter(tmp_path / "a.arrow", run=RUN, overwrite=True)
    assert precious.read_bytes() == b"precious"


def test_a_forked_child_does_not_touch_the_file(tmp_path: Path) -> None:
    with DumpWriter(tmp_path / "a.arrow", run=RUN, limits=SMALL) as writer:
        writer.write("x", np.ones(3))
        child = os.fork()
        if child == 0:
            # Leaves the block as an exception would, and tells how it went.
            try:
                writer.write("y", np.zeros(4096, "u1"))
                code = 1
            except DumpError as error:
                writer.abort()
                code = 0 if error.code == "dump-forked" else 2
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        writer.write("z", np.ones(3))
    assert list(load(tmp_path / "a.arrow")) == [("x", 0, 0), ("z", 0, 0)]
