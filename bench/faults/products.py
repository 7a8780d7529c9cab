"""Matrix products as other libraries compute them: another order of the sum, other partial sums, another BLAS."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - as everyone calls it
from torch.overrides import TorchFunctionMode

# x [..., M, K] and w [..., K, N] in the precision of the model, to [..., M, N] in float32, or wider.
Accumulate = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Engine(TorchFunctionMode):
    """Inside this block every matrix product is computed in one way, and other functions as they are given.

    A product's sum is kept in float32, the bias added to it, and rounded once to the precision of ``x``.

    Args:
        accumulate: how a product is computed; None: as torch does.
        functions: what stands in the place of functions of torch, by the function.
    """

    def __init__(self, accumulate: Accumulate | None, functions: dict[Any, Callable[..., Any]] | None = None) -> None:
        super().__init__()
        self._accumulate = accumulate
        self._functions = functions or {}

    def __torch_function__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in self._functions:
            return self._functions[func](*args, **kwargs)
        if self._accumulate is None:
            return func(*args, **kwargs)
        if func is F.linear:
            return self._linear(*args, **kwargs)
        if func in _MATMULS and not kwargs and _is_product(*args):
            x, w = args
            return self._accumulate(x, w).to(x.dtype)
        return func(*args, **kwargs)

    def _linear(self, input: Any, weight: Any, bias: Any = None) -> torch.Tensor:  # noqa: A002 - torch's names
        assert self._accumulate is not None
        total = self._accumulate(input, weight.transpose(-1, -2))
        return (total if bias is None else total + bias).to(input.dtype)


_MATMULS = {torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.bmm, torch.Tensor.bmm}


def _is_product(x: torch.Tensor, w: torch.Tensor) -> bool:
    return x.is_floating_point() and x.ndim >= 2 and w.ndim >= 2 and x.dtype != torch.float64


def float32(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Return the product with its sum in float32, as torch orders it."""
    return x.float() @ w.float()


def reversed_order(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Return the product with the sum over K taken from its end."""
    return x.float().flip(-1) @ w.float().flip(-2)


def split(parts: int, partial: torch.dtype | None = None) -> Accumulate:
    """Return a product whose K is cut in parts that are summed one after the other.

    Args:
        parts: how many.
        partial: precision that each partial sum is rounded to, and the sum of them; None: float32.
    """

    def accumulate(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        rounded = partial or torch.float32
        pieces = zip(x.float().tensor_split(parts, -1), w.float().tensor_split(parts, -2), strict=True)
        return functools.reduce(torch.add, [(a @ b).to(rounded) for a, b in pieces]).float()

    return accumulate


def split_in_16_bits(parts: int) -> Accumulate:
    """Return a product whose partial sums are rounded to the precision of ``x``: the hardest legal kernel known."""

    def accumulate(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return split(parts, x.dtype)(x, w)

    return accumulate


def in_rows(rows: int) -> Accumulate:
    """Return a product that is computed for a few rows at a time, as a chunked prefill does."""

    def accumulate(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return torch.cat([piece @ w for piece in x.split(rows, -2)], -2)

    return accumulate


def numpy_blas(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Return the product as NumPy's BLAS computes it, in float32."""
    return torch.from_numpy(x.detach().float().numpy() @ w.detach().float().numpy())


def onnxruntime(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Return the product as the MatMul of onnxruntime computes it, in float32."""
    feed = {"x": x.detach().float().numpy(), "w": w.detach().float().contiguous().numpy()}
    return torch.from_numpy(_session().run(None, feed)[0])


@functools.cache
def _session() -> Any:
    """A model of onnxruntime that is one MatMul of any shapes."""
    import onnx
    import onnxruntime as ort

    value = functools.partial(onnx.helper.make_tensor_value_info, elem_type=onnx.TensorProto.FLOAT, shape=None)
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "product", [value("x"), value("w")], [value("y")])
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    return ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


@contextlib.contextmanager
def eager_experts(model: Any) -> Iterator[None]:
    """Let a mixture of experts compute expert by expert, so that its products are seen one by one."""
    before = getattr(model.config, "_experts_implementation", None)
    if before is None:
        yield
        return
    model.set_experts_implementation("eager")
    try:
        yield
    finally:
        model.set_experts_implementation(before)
