"""One model in onnxruntime on the CPU, asked for any of its tensors."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from ..contract import DTYPES
from ..errors import DumpError
from .model import Model, first_line

PROVIDERS = ("CPUExecutionProvider",)

# What a dump stores of a graph, by onnxruntime's names: its floating point.
FLOATING = {
    "tensor(double)": "F64",
    "tensor(float)": "F32",
    "tensor(float16)": "F16",
    "tensor(bfloat16)": "BF16",
    "tensor(float8e4m3fn)": "F8_E4M3",
    "tensor(float8e5m2)": "F8_E5M2",
}


@dataclass(frozen=True)
class Input:
    """An input that must be fed.

    Attributes:
        name: its name.
        type: onnxruntime's name of its type, such as ``tensor(int64)``.
        shape: lengths; a text or None where the graph leaves one open.
    """

    name: str
    type: str
    shape: tuple[int | str | None, ...]


@dataclass(frozen=True)
class Value:
    """A tensor of the graph.

    Attributes:
        dtype: element type.
        shape: its shape.
        size: how many bytes it has.
        data: these bytes, in C order; they live as long as ``owner``.
        owner: what holds them.
    """

    dtype: str
    shape: tuple[int, ...]
    size: int
    data: memoryview
    owner: Any

    def emptied(self) -> Value:
        """Return the same without its bytes."""
        return replace(self, data=memoryview(b""), owner=None)


class Session:
    """A model that hands out the tensors of its graph that are named, and no others.

    Args:
        model: the model.
        outputs: names of tensors.
        threads: how many compute; None: onnxruntime's choice.

    Raises:
        DumpError: ``model-refused``: onnxruntime cannot run it.
    """

    def __init__(self, model: Model, outputs: Sequence[str], threads: int | None = None) -> None:
        options = _options(threads)
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        # The graph comes from memory, with other outputs than the file's; its weights from where they are.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(model.folder))
        graph = model.proto.graph
        declared = list(graph.output)
        types = {value.name: value for value in declared}
        del graph.output[:]
        # Types are inferred where there are none.
        graph.output.extend(types.get(name, onnx.ValueInfoProto(name=name)) for name in outputs)
        try:
            self._session = _created(model.proto.SerializeToString(), options)
        except ValueError as error:
            raise _refused(error) from error
        finally:
            del graph.output[:]
            graph.output.extend(declared)
        self.inputs = [Input(item.name, item.type, tuple(item.shape)) for item in self._session.get_inputs()]
        self.types: dict[str, str] = {item.name: item.type for item in self._session.get_outputs()}

    def run(self, feed: Mapping[str, onnxruntime.OrtValue], outputs: Sequence[str]) -> dict[str, Value]:
        """Return the named outputs, which must be `FLOATING`.

        Raises:
            DumpError: ``forward-failed``.
        """
        try:
            found = self._session.run_with_ort_values(list(outputs), dict(feed))
        except Exception as error:
            raise DumpError(
                "forward-failed",
                "the model failed while it ran",
                facts=[(type(error).__name__, first_line(error))],
                help="check that tokens or inputs are this model's, and that the machine has memory for them",
            ) from error
        return {name: _value(item) for name, item in zip(outputs, found, strict=True)}


def optimize(model: Model, folder: Path, threads: int | None) -> Model:
    """Return a model as onnxruntime rewrites it for speed.

    Args:
        model: the model.
        folder: an empty one, where it is written.
        threads: how many compute.

    Raises:
        DumpError: ``model-refused``.
    """
    options = _options(threads)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.optimized_model_filepath = str(folder / "model.onnx")
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "weights")
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(model.folder))
    _created(model.proto.SerializeToString(), options)
    return Model(onnx.load(folder / "model.onnx", load_external_data=False), folder, model.files, model.functions)


def ort_value(array: np.ndarray, onnx_type: str) -> onnxruntime.OrtValue:
    """Return an array as onnxruntime takes it; bfloat16 is given by its bits, as uint16."""
    contiguous = np.ascontiguousarray(array).reshape(array.shape)
    if onnx_type == "tensor(bfloat16)":
        return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(contiguous, onnx.TensorProto.BFLOAT16)
    return onnxruntime.OrtValue.ortvalue_from_numpy(contiguous)


def _options(threads: int | None) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    # What goes wrong is raised; below that it is advice about speed.
    options.log_severity_level = 4
    options.intra_op_num_threads = threads or 0
    return options


def _created(model: bytes, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    try:
        return onnxruntime.InferenceSession(model, options, providers=list(PROVIDERS))
    except Exception as error:
        raise _refused(error) from error


def _refused(error: Exception) -> DumpError:
    return DumpError(
        "model-refused",
        "onnxruntime cannot run the model",
        facts=[("onnxruntime", onnxruntime.__version__), (type(error).__name__, first_line(error))],
        help="export it with the standard operators, for an operator set that this onnxruntime knows",
    )


def _value(item: onnxruntime.OrtValue) -> Value:
    dtype = FLOATING[item.data_type()]
    shape = tuple(item.shape())
    size = math.prod(shape) * DTYPES[dtype].itemsize
    # NumPy has not all of these types.
    data = (ctypes.c_uint8 * size).from_address(item.data_ptr()) if size else b""
    return Value(dtype, shape, size, memoryview(data).cast("B"), item)
