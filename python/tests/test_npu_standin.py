"""The stand-in NPU is as unforgiving as a real one; what computes on it is PyTorch's own CPU code."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

Chips = list[Any]


def test_it_is_a_device_type_of_its_own(chips: Chips) -> None:
    there = torch.arange(6.0).reshape(2, 3).to("npu:1")
    assert (there.device, there.is_cpu, there.get_device()) == (torch.device("npu:1"), False, 1)
    assert str(torch.empty(1, device="npu").device) == "npu:0"
    assert torch.npu.device_count() == len(chips) == 2
    assert torch.equal(there[:, 1:].cpu(), torch.tensor([[1.0, 2.0], [4.0, 5.0]]))


@pytest.mark.usefixtures("chips")
@pytest.mark.parametrize(
    "mix",
    [
        lambda here, there: there + here,
        lambda here, there: here + there,
        lambda here, there: here.add_(there),
        lambda here, there: torch.cat([there, here]),
        lambda here, there: nn.functional.linear(there, here),
        lambda here, there: nn.functional.embedding(here.long(), there),
        lambda here, there: torch.where(here > 0, there, there),
        lambda here, there: here.sum().add_(there.sum()),
        lambda here, there: torch.equal(here, there),
        lambda here, there: there + here.to("npu:1"),
    ],
)
def test_operands_on_two_devices_are_refused(mix: Callable[..., Any]) -> None:
    with pytest.raises(RuntimeError, match="to be on the same device"):
        mix(torch.ones(2, 2), torch.ones(2, 2, device="npu:0"))


def test_numbers_and_indices_may_come_from_the_host(chips: Chips) -> None:
    there = torch.arange(4.0, device="npu:0")
    chips[0].reset()
    assert (there + torch.tensor(1.0)).tolist() == [1.0, 2.0, 3.0, 4.0]
    assert chips[0].to_device == []
    assert there[torch.tensor([3, 0])].tolist() == [3.0, 0.0]
    assert chips[0].to_device == [16]


@pytest.mark.usefixtures("chips")
@pytest.mark.parametrize("look", [lambda t: t.numpy(), np.asarray, np.from_dlpack, memoryview, lambda t: bytes(t)])
def test_the_host_cannot_look_into_its_memory(look: Callable[[torch.Tensor], Any]) -> None:
    with pytest.raises((TypeError, RuntimeError, BufferError)):
        look(torch.full((3,), 7.0, device="npu:0"))


@pytest.mark.usefixtures("chips")
def test_its_storage_leads_nowhere() -> None:
    with pytest.raises(RuntimeError, match="invalid python storage"):
        torch.full((3,), 7.0, device="npu:0").untyped_storage().data_ptr()


def test_a_copy_that_nobody_waits_for_brings_garbage(chips: Chips) -> None:
    there = torch.arange(3.0).to("npu:0")
    here = there.to("cpu", non_blocking=True)
    there.add_(10)
    assert here.isnan().all()
    torch.npu.synchronize()
    assert here.tolist() == [0.0, 1.0, 2.0]
    # One that has to be converted is read before it is there.
    converted = there.to("cpu", torch.float64, non_blocking=True)
    chips[0].wait()
    assert converted.isnan().all()


def test_a_copy_that_waits_counts_as_one_transfer(chips: Chips) -> None:
    there = torch.arange(6.0).reshape(2, 3).to("npu:0")
    assert (chips[0].to_device, chips[0].to_host, chips[0].waits) == ([24], [], 1)
    there.cpu()
    assert (chips[0].to_host, chips[0].waits) == ([24], 2)
    assert there[1, 2].item() == 5.0
    assert (chips[0].to_host, chips[0].waits) == ([24, 4], 3)
    assert bool((there[0] == there[0]).all())
    assert (chips[0].to_host, chips[0].waits) == ([24, 4, 1], 4)


def test_a_kernel_that_fails_says_so_when_the_host_waits(chips: Chips) -> None:
    there = torch.ones(3, device="npu:0")
    chips[0].failing = {"aten::exp": "The Inner error is reported: aicore exception"}
    result = there.exp() + 1
    with pytest.raises(RuntimeError, match="aicore exception"):
        result.cpu()


def test_memory_is_counted_in_blocks_and_shared_by_views(chips: Chips) -> None:
    before = chips[0].allocated
    there = torch.zeros(1000, device="npu:0")  # 4000 bytes are 8 blocks
    assert chips[0].allocated - before == 4096
    views = there[10:], there.reshape(10, 100).T, there.detach()
    assert chips[0].allocated - before == 4096
    more = there + 1
    assert chips[0].allocated - before == 8192
    del more, there
    assert chips[0].allocated - before == 4096
    del views
    assert chips[0].allocated == before
    assert chips[0].peak - before == 8192


def test_a_strided_tensor_is_made_contiguous_before_it_goes(chips: Chips) -> None:
    there = torch.zeros(10, 100, device="npu:0")
    torch.npu.reset_peak_memory_stats()
    before = chips[0].allocated
    there.cpu()
    assert chips[0].peak == before
    there[:, :64].cpu()
    assert chips[0].peak - before == 2560


def test_its_memory_ends(chips: Chips) -> None:
    there = torch.zeros(1 << 20, device="npu:0")
    chips[0].capacity = chips[0].allocated + (1 << 20)
    with pytest.raises(torch.OutOfMemoryError, match=r"NPU out of memory\. Tried to allocate 4\.00 MiB \(NPU 0; "):
        there.clone()
    assert there[: 1 << 18].clone().shape == (1 << 18,)


def test_it_cannot_compute_in_float64(chips: Chips) -> None:
    there = torch.ones(3, device="npu:0")
    with pytest.warns(UserWarning, match="do not support double dtype"):
        assert there.double().dtype == torch.float32
    wide = torch.ones(3, dtype=torch.float64).to("npu:0")
    assert wide[1:].clone().cpu().dtype == torch.float64
    for compute in (
        lambda: wide.sum(),
        lambda: there.sum(dtype=torch.float64),
        lambda: wide * 2,
        lambda: wide.float(),
    ):
        with pytest.raises(RuntimeError, match="not implemented for DT_DOUBLE"):
            compute()
    # Converted on the host, as torch_npu does.
    assert there.to("cpu", torch.float64).dtype == torch.float64
    assert chips[0].without_dtypes == {torch.float64, torch.complex128}


def test_an_operator_without_a_kernel_runs_on_the_host_and_warns(chips: Chips) -> None:
    there = torch.tensor([1.0, 2.0, 3.0], device="npu:0")
    chips[0].reset()
    chips[0].without_kernel = {"aten::cumsum"}
    with pytest.warns(
        UserWarning, match="'aten::cumsum' is not currently supported on the NPU backend and will fall"
    ):
        result = there.cumsum(0)
    assert chips[0].to_host == chips[0].to_device == [12]
    assert result.tolist() == [1.0, 3.0, 6.0]
    assert result.device == there.device


@pytest.mark.usefixtures("chips")
def test_its_random_numbers_are_its_own() -> None:
    torch.manual_seed(5)
    here = torch.rand(3)
    state = torch.get_rng_state()
    there = torch.rand(3, device="npu:0")
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3, device="npu:0"), there)
    assert torch.equal(there.cpu(), here)
    with torch.random.fork_rng(devices=[torch.device("npu:0")], device_type="npu"):
        forked = torch.rand(3, device="npu:0")
    assert torch.equal(torch.rand(3, device="npu:0"), forked)
    with pytest.raises(RuntimeError, match="Expected a 'npu' device type for generator"):
        torch.empty(3, device="npu:0").normal_(generator=torch.Generator())


@pytest.mark.usefixtures("chips")
def test_a_module_moves_with_its_ties_and_trains_as_on_the_host() -> None:
    torch.manual_seed(0)
    here = nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 4))
    here[2].weight = here[0].weight
    there = copy.deepcopy(here).to("npu:0")
    assert there[2].weight is there[0].weight
    inputs = torch.randn(5, 4)
    there(inputs.to("npu:0")).square().mean().backward()
    here(inputs).square().mean().backward()
    assert torch.equal(there[0].weight.grad.cpu(), here[0].weight.grad)
    back = there.to("cpu")
    assert back[2].weight is back[0].weight
    assert torch.equal(back[0].weight, here[0].weight)


@pytest.mark.usefixtures("chips")
@pytest.mark.parametrize("options", [{"is_causal": True}, {}, {"enable_gqa": True}])
@pytest.mark.parametrize("gradient", [False, True])
def test_attention_is_that_of_the_host(gradient: bool, options: dict[str, bool]) -> None:
    torch.manual_seed(0)
    query, keys = torch.randn(1, 4, 6, 8), torch.randn(2, 1, 2 if options.get("enable_gqa") else 4, 6, 8)
    here = [query, *keys]
    there = [part.to("npu:0").requires_grad_(gradient) for part in here]
    expected = nn.functional.scaled_dot_product_attention(*here, **options)
    found = nn.functional.scaled_dot_product_attention(*there, **options)
    assert found.requires_grad is gradient
    # With a gradient other kernels run: the sums have another order.
    torch.testing.assert_close(
        found.detach().cpu(), expected, rtol=1e-5 if gradient else 0, atol=1e-6 if gradient else 0
    )


@pytest.mark.usefixtures("chips")
def test_results_that_grow_are_seen_whole() -> None:
    empty = torch.empty(0, device="npu:0")
    torch.add(torch.ones(4, device="npu:0"), 1, out=empty)
    assert (empty.shape, empty.tolist()) == ((4,), [2.0] * 4)
    assert torch.eye(2, device="npu:0").tolist() == [[1.0, 0.0], [0.0, 1.0]]
