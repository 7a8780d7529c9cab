"""What npu-dump says when an NPU is not there, is closed, is full, or fails; never a traceback, never half a dump."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from npu_dump import Dump, DumpError, load
from npu_dump.cli import main
from npu_dump.devices import resolve

from .conftest import build

Chips = list[Any]
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, model_folder: Path, prompts: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """The command on npu:0; gives the exit code and stderr."""

    def command(*options: str, device: str = "npu:0") -> tuple[int, str]:
        output = tmp_path / "a.arrow"
        given = ["--model", model_folder, "--prompts", prompts, "-o", output, "--device", device, *options]
        code = main(["run", *map(str, given)])
        return code, capfd.readouterr().err

    return command


def test_no_npu_says_what_to_check(chips: Chips, run: Run, tmp_path: Path) -> None:
    chips.clear()
    code, told = run()
    assert code == 2
    assert told.startswith("error[device-absent]: torch_npu is installed but sees no NPU\n")
    version = torch.__version__.split("+")[0]
    for fact in (f"torch_npu  {version}", "npu-smi info", "/dev/davinci", "ASCEND_RT_VISIBLE_DEVICES"):
        assert fact in told
    assert not list(tmp_path.glob("*.arrow*"))


@pytest.mark.usefixtures("chips")
def test_an_npu_beyond_the_last(run: Run) -> None:
    code, told = run(device="npu:2")
    assert code == 2
    assert told.startswith("error[device-absent]: there is no device npu:2\n")
    assert "2: npu:0 to npu:1" in told


def test_an_npu_that_the_driver_does_not_open(chips: Chips, run: Run) -> None:
    chips[0].closed = 507033
    code, told = run()
    assert code == 2
    assert told.startswith("error[device-unusable]: npu:0 is there but cannot be opened\n")
    assert "error code is 507033" in told
    assert "npu-smi info" in told
    assert str(resolve("npu:1")) == "npu:1"


def test_weights_that_do_not_fit(chips: Chips, run: Run, tmp_path: Path) -> None:
    chips[0].capacity = chips[0].allocated + 20_000
    code, told = run()
    assert code == 2
    assert told.splitlines()[-3].startswith("error[out-of-memory]: memory ran out")
    assert "NPU out of memory. Tried to allocate" in told
    assert not list(tmp_path.glob("*.arrow*"))


def test_a_forward_that_does_not_fit(chips: Chips, run: Run, prompts: Path, tmp_path: Path) -> None:
    """From what the probe and a short prompt need to what a long one needs, wherever on the way memory ends."""
    gc.collect()
    before = chips[0].allocated

    def need(text: str) -> int:
        prompts.write_text(text, encoding="utf-8")
        chips[0].peak = before
        assert run()[0] == 0
        (tmp_path / "a.arrow").unlink()
        return chips[0].peak

    least, most = need("sea\n"), need("größer als 巴黎 und ganz anders\n")
    for capacity in range(least, most, (most - least) // 6):
        chips[0].capacity = capacity
        code, told = run("--force")
        assert code == 2
        assert "error[out-of-memory]: memory ran out" in told
        assert "NPU out of memory. Tried to allocate" in told
        assert "--dtype bfloat16" in told
        assert [path.name for path in tmp_path.glob("*.arrow*")] == ["a.arrow.partial"]
        gc.collect()
        assert chips[0].allocated == before
    chips[0].capacity = most
    assert run("--force")[0] == 0


def test_a_probe_that_does_not_fit_is_out_of_memory(chips: Chips, tmp_path: Path) -> None:
    model = build().to("npu:0")
    chips[0].capacity = chips[0].allocated
    with pytest.raises(torch.OutOfMemoryError), Dump(model, tmp_path / "a.arrow"):
        pytest.fail("the block was entered")
    assert not list(tmp_path.iterdir())


def test_a_kernel_that_fails_while_it_runs(chips: Chips, run: Run) -> None:
    """The error comes up at the next copy, inside one of our hooks."""
    chips[0].failing = {"aten::silu": "The Inner error is reported as above. EZ9999: aicore exception, code 507015"}
    code, told = run()
    assert code == 2
    assert "error[probe-failed]" in told
    assert "aicore exception, code 507015" in told


def test_a_kernel_that_fails_during_the_capture(chips: Chips, tmp_path: Path) -> None:
    model = build().to("npu:0")
    ids = torch.arange(5)[None].to("npu:0")
    with pytest.raises(RuntimeError, match="code 507015"), torch.no_grad(), Dump(model, tmp_path / "a.arrow"):
        chips[0].failing = {"aten::silu": "EZ9999: aicore exception, code 507015"}
        model(ids)
    assert [path.name for path in tmp_path.iterdir()] == ["a.arrow.partial"]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_precision_that_the_chip_lacks(chips: Chips, run: Run) -> None:
    chips[0].without_dtypes |= {torch.bfloat16}
    code, told = run("--dtype", "bfloat16")
    assert code == 2
    assert "not implemented for DT_BFLOAT16" in told
    assert "on this device and in this precision" in told
    assert run("--dtype", "float16")[0] == 0


def test_an_operator_without_a_kernel_runs_on_the_host_and_is_told(
    chips: Chips, run: Run, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    assert run()[0] == 0
    plain = load(tmp_path / "a.arrow")
    expected = torch.as_tensor(plain["logits", 0, 0])
    chips[0].without_kernel = {"aten::silu", "aten::_softmax"}
    assert run("--force")[0] == 0
    assert torch.equal(torch.as_tensor(load(tmp_path / "a.arrow")["logits", 0, 0]), expected)
    assert any("'aten::silu' is not currently supported on the NPU backend" in str(w.message) for w in recwarn)


@pytest.mark.usefixtures("chips")
def test_an_input_left_on_the_host_is_the_callers_error(tmp_path: Path) -> None:
    model = build().to("npu:0")
    with pytest.raises(RuntimeError, match="on the same device"), Dump(model, tmp_path / "a.arrow"):
        model(torch.arange(5)[None])


@pytest.mark.usefixtures("chips")
def test_resolving_selects_the_device() -> None:
    resolve("npu:1")
    assert torch.empty(1, device="npu").device.index == 1
    resolve("npu")
    assert torch.empty(1, device="npu").device.index == 0
    with pytest.raises(DumpError):
        resolve("npu:7")
