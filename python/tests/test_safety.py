"""Whatever goes wrong in or around a capture: hooks gone, model untouched, nothing incomplete that looks complete."""

from __future__ import annotations

import gc
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from npu_dump import Dump, DumpError, Limits, load, provenance

from .conftest import build

Ids = Callable[..., torch.Tensor]
RUN = {"dtype": "F32"}
SMALL = Limits(gather=4096, buffer=4096)


class FaultError(Exception):
    """What no one catches."""


def left_over(model: nn.Module) -> list[str]:
    """Hooks of a model, writer threads of this process, and files of dumps that it holds open."""
    hooks = [
        f"hook of {path}"
        for path, module in model.named_modules()
        if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
    ]
    threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("npu-dump")]
    return hooks + threads + [name for name in open_files() if ".arrow" in name]


def open_files() -> list[str]:
    """What each descriptor of this process is; the one that lists them is gone by then."""
    return [str(link.readlink()) for link in list(Path("/proc/self/fd").iterdir()) if link.is_symlink()]


@pytest.fixture(autouse=True)
def _nothing_of_earlier_tests() -> None:
    """Errors that earlier tests caught hold on to frames, and so to dumps, until they are collected."""
    gc.collect()


@pytest.fixture
def untouched(llama: Any, ids: Ids) -> Any:
    """Fails the test unless the model afterwards computes the same bits from the same weights and nothing is left."""
    with torch.no_grad():
        before = llama(ids()).logits
    weights = {name: value.clone() for name, value in llama.state_dict().items()}
    training = {name: module.training for name, module in llama.named_modules()}
    yield llama
    assert left_over(llama) == []
    assert training == {name: module.training for name, module in llama.named_modules()}
    assert weights.keys() == llama.state_dict().keys()
    assert all(torch.equal(value, weights[name]) for name, value in llama.state_dict().items())
    with torch.no_grad():
        assert torch.equal(llama(ids()).logits, before)


def recovered(partial: Path) -> set[tuple[str, int, int]]:
    """What pyarrow's reader of streams finds behind the magic of a file that has no footer."""
    stream = pa.ipc.open_stream(pa.py_buffer(partial.read_bytes()[8:]))
    return {
        (row["name"], row["sample"], row["step"])
        for batch in stream
        for row in batch.select(["name", "sample", "step"]).to_pylist()
    }


def raises(*_: Any, **__: Any) -> None:
    raise FaultError


def interrupted(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("place", ["forward", "hook", "pre-hook", "block", "generate", "interrupt", "exit"])
def test_an_exception_leaves_the_model_as_it_was(
    tmp_path: Path, untouched: Any, ids: Ids, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, inner = untouched, untouched.model.layers[1].mlp
    handles = []
    expected: type[BaseException] = {"interrupt": KeyboardInterrupt, "exit": SystemExit}.get(place, FaultError)
    with (
        monkeypatch.context() as patch,
        torch.no_grad(),
        pytest.raises(expected),
        Dump(model, tmp_path / "a.arrow"),
    ):
        model(ids())
        if place == "forward":
            patch.setattr(inner, "forward", raises)
        elif place == "hook":
            handles.append(inner.register_forward_hook(raises))
        elif place == "pre-hook":
            handles.append(inner.register_forward_pre_hook(raises))
        elif place == "generate":
            handles.append(model.model.norm.register_forward_hook(raises))
            model.generate(ids(), max_new_tokens=2, do_sample=False, pad_token_id=0, logits_to_keep=0)
        elif place == "interrupt":
            handles.append(inner.register_forward_hook(lambda *_: signal.raise_signal(signal.SIGINT)))
        elif place == "exit":
            sys.exit(3)
        else:
            raise FaultError
        model(ids())
    for handle in handles:
        handle.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["a.arrow.partial"]
    found = recovered(tmp_path / "a.arrow.partial")
    assert {("logits", 0, 0), ("logits", 1, 0), ("layers.2", 1, 0)} <= found
    begun = {"forward", "hook", "pre-hook", "generate", "interrupt"}
    assert (("layers.0", 2, 0) in found) == (place in begun)
    assert ("layers.2", 2, 0) not in found or place == "generate"


@pytest.mark.parametrize("number", range(9))
def test_an_exception_while_entering_leaves_nothing(
    tmp_path: Path, untouched: Any, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The ``number``-th hook cannot be put, or none can and the thread or the file is what fails."""
    count = 0

    def limited(name: str) -> Any:
        register = getattr(nn.Module, name)

        def hook(self: nn.Module, *arguments: Any, **options: Any) -> Any:
            nonlocal count
            # Those of the probe are put before the file is made.
            count += (tmp_path / "a.arrow.partial").exists()
            if count > number:
                raise FaultError
            return register(self, *arguments, **options)

        return hook

    with monkeypatch.context() as patch:
        for name in ("register_forward_hook", "register_forward_pre_hook"):
            patch.setattr(nn.Module, name, limited(name))
        with pytest.raises(FaultError), Dump(untouched, tmp_path / "a.arrow"):
            pytest.fail("entered")
    assert count == number + 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", ["thread", "file", "header", "metadata"])
def test_what_cannot_be_started_leaves_nothing(
    tmp_path: Path, untouched: Any, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    owner, name = {
        "thread": (threading.Thread, "start"),
        "file": (pa, "OSFile"),
        "header": (pa.ipc, "new_file"),
        "metadata": (provenance, "describe"),
    }[what]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, raises)
        with pytest.raises(FaultError), Dump(untouched, tmp_path / "a.arrow"):
            pytest.fail("entered")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_inside_a_router_leaves_no_mode_behind(tmp_path: Path, ids: Ids) -> None:
    model = build("mixtral")
    with torch.no_grad():
        before = model(ids()).logits
        with pytest.raises(KeyboardInterrupt), Dump(model, tmp_path / "a.arrow"):
            model(ids())
            for path, module in model.named_modules():
                if path.endswith(".gate"):
                    module.forward = interrupted
            model(ids())
        for module in model.modules():
            vars(module).pop("forward", None)
        assert torch.overrides._len_torch_function_stack() == 0
        assert left_over(model) == []
        assert torch.equal(model(ids()).logits, before)


def test_a_dump_entered_twice_is_refused(tmp_path: Path, untouched: Any, ids: Ids) -> None:
    dump = Dump(untouched, tmp_path / "a.arrow", overwrite=True)
    with torch.no_grad(), dump:
        untouched(ids())
        with pytest.raises(DumpError, match="dump-entered"), dump:
            pytest.fail("entered")
        untouched(ids())
    assert load(tmp_path / "a.arrow").samples() == [0, 1, 2, 3]
    with torch.no_grad(), dump:
        untouched(ids())
    assert load(tmp_path / "a.arrow").samples() == [0, 1]


def test_nested_dumps_of_one_model_hold_what_each_would_alone(tmp_path: Path, untouched: Any, ids: Ids) -> None:
    model = untouched
    with torch.no_grad():
        with Dump(model, tmp_path / "alone.arrow"):
            model(ids())
            model(ids())
        with Dump(model, tmp_path / "outer.arrow"):
            model(ids())
            with Dump(model, tmp_path / "inner.arrow", select="layers.*"):
                model(ids())
    alone, outer, inner = (load(tmp_path / f"{name}.arrow") for name in ("alone", "outer", "inner"))
    assert list(outer) == list(alone)
    assert all(np.array_equal(outer[key], alone[key]) for key in alone)
    assert inner.samples() == [0, 1]
    assert np.array_equal(inner["layers.2", 1, 0], alone["layers.2", 3, 0])


def test_a_forward_that_failed_inside_the_block_is_no_complete_dump(tmp_path: Path, untouched: Any, ids: Ids) -> None:
    with torch.no_grad(), pytest.raises(DumpError, match="forward-unfinished"), Dump(untouched, tmp_path / "a.arrow"):
        handle = untouched.model.layers[1].register_forward_hook(raises)
        with pytest.raises(FaultError):
            untouched(ids())
        handle.remove()
        untouched(ids())
    assert [path.name for path in tmp_path.iterdir()] == ["a.arrow.partial"]
    assert ("logits", 3, 0) in recovered(tmp_path / "a.arrow.partial")


def test_a_failed_run_does_not_touch_the_dump_it_was_to_replace(tmp_path: Path, untouched: Any, ids: Ids) -> None:
    path = tmp_path / "a.arrow"
    with torch.no_grad():
        with Dump(untouched, path):
            untouched(ids())
        good = path.read_bytes()
        with pytest.raises(FaultError), Dump(untouched, path, overwrite=True):
            untouched(ids())
            raise FaultError
    assert path.read_bytes() == good
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.arrow", "a.arrow.partial"]


def test_no_file_descriptor_is_lost(tmp_path: Path, untouched: Any, ids: Ids) -> None:
    def once(number: int) -> int:
        with torch.no_grad():
            with Dump(untouched, tmp_path / "good.arrow", overwrite=True):
                untouched(ids())
            with pytest.raises(FaultError), Dump(untouched, tmp_path / f"bad{number}.arrow"):
                untouched(ids())
                raise FaultError
        return len(open_files())

    first = once(0)
    assert [once(number) for number in (1, 2, 3)] == [first] * 3
