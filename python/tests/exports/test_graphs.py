"""Graphs of every other sort: caches, arrays, inner graphs, functions, number formats, fused nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from npu_dump import DumpWriter, load

from .conftest import compared
from .graphs import FLOAT, INT64, VOCABULARY, WIDTH, embedding, ids, model_of, saved, value, weight

Capture = Callable[..., Path]
IDS = [[3, 1, 4, 1, 5, 9], [2, 6, 5]]


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """A dump of two prompts, as another engine's capture has them."""
    path = tmp_path / "tokens.arrow"
    with DumpWriter(path, run={"dtype": "F32"}) as writer:
        for sample, prompt in enumerate(IDS):
            writer.write("input_ids", np.array(prompt, "<i8"), sample=sample)
    return path


def names(path: Path) -> list[str]:
    return list(dict.fromkeys(name for name, _, _ in load(path)))


def table() -> np.ndarray:
    return numpy_helper.to_array(weight("table", VOCABULARY, WIDTH))


def test_caches_masks_and_positions_are_fed_by_their_names(capture: Capture, tokens: Path, tmp_path: Path) -> None:
    inputs = [
        ids(("batch", "tokens")),
        value("attention_mask", INT64, ("batch", "all")),
        value("position_ids", TensorProto.INT32, ("batch", "tokens")),
        value("past_key_values.0.key", FLOAT, ("batch", 2, "past", 3)),
        value("use_cache_branch", TensorProto.BOOL, (1,)),
    ]
    nodes = [
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=FLOAT),
        helper.make_node("Cast", ["position_ids"], ["positions"], to=FLOAT),
        helper.make_node("Cast", ["use_cache_branch"], ["branch"], to=FLOAT),
        helper.make_node("Shape", ["past_key_values.0.key"], ["lengths"]),
        helper.make_node("Cast", ["lengths"], ["cache"], to=FLOAT),
        helper.make_node("Cast", ["input_ids"], ["fed"], to=FLOAT),
    ]
    model = model_of(nodes, inputs, ["mask", "positions", "branch", "cache", "fed"])
    dump = load(capture(saved(model, tmp_path / "m.onnx"), "--tokens-from", tokens))
    for sample, prompt in enumerate(IDS):
        assert dump["fed", sample, 0].tolist() == prompt
        assert dump["mask", sample, 0].tolist() == [1] * len(prompt)
        assert dump["positions", sample, 0].tolist() == list(range(len(prompt)))
        assert dump["cache", sample, 0].tolist() == [1, 2, 0, 3]
        assert dump["branch", sample, 0].tolist() == [0]
    # What does not depend on the prompt's length lies as in the graph, tokens come first.
    assert dump["mask", 0, 0].shape == (6,)


def test_arrays_of_a_file(capture: Capture, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"]),
        helper.make_node("Add", ["product", "y"], ["sum"]),
        # Of constants alone: no tensor of a sample.
        helper.make_node("Transpose", ["w"], ["turned"]),
    ]
    model = model_of(nodes, [value("x", FLOAT, ("n", 4)), value("y", FLOAT, (1,))], ["sum"], [weight("w", 4, 4)])
    path = saved(model, tmp_path / "m.onnx")
    random = np.random.default_rng(1)
    files: list[Path] = []
    for rows in (3, 3):
        files.append(tmp_path / f"{len(files)}.npz")
        np.savez(files[-1], x=random.standard_normal((rows, 4)).astype("f4"), y=np.ones(1, "f4"))
    options = [word for file in files for word in ("--inputs", file)]
    first, second = capture(path, *options), capture(path, *options)
    dump = load(first)
    assert names(first) == ["input.0", "product", "sum"]
    weights = numpy_helper.to_array(weight("w", 4, 4))
    with np.load(files[1]) as arrays:
        assert np.array_equal(dump["input.0", 1, 0], arrays["x"])
        np.testing.assert_allclose(dump["sum", 1, 0], arrays["x"] @ weights + 1, rtol=1e-5, atol=1e-6)
    code, result = compared(first, second)
    assert (code, len(result["tensors"])) == (0, 2)


def test_ids_of_a_file_bring_what_follows_from_them(capture: Capture, tmp_path: Path) -> None:
    path = saved(embedding(), tmp_path / "m.onnx")
    np.savez(tmp_path / "inputs.npz", input_ids=np.array(IDS[:1], "i8"))
    dump = load(capture(path, "--inputs", tmp_path / "inputs.npz"))
    assert dump["input_ids", 0, 0].tolist() == IDS[0]
    assert np.array_equal(dump["embedded", 0, 0], table()[IDS[0]])


def test_inner_graphs_are_told_of(
    capture: Capture, tokens: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def branch(factor: float) -> onnx.GraphProto:
        nodes = [
            helper.make_node("Constant", [], [f"by{factor}"], value_float=factor),
            helper.make_node("Mul", ["embedded", f"by{factor}"], [f"inside{factor}"]),
        ]
        return helper.make_graph(nodes, f"times{factor}", [], [onnx.ValueInfoProto(name=f"inside{factor}")])

    nodes = [
        helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.ones((), bool))),
        helper.make_node("If", ["yes"], ["chosen"], then_branch=branch(2.0), else_branch=branch(3.0)),
    ]
    path = capture(saved(embedding(*nodes, outputs=["chosen"]), tmp_path / "m.onnx"), "--tokens-from", tokens)
    dump = load(path)
    assert names(path) == ["input_ids", "embedded", "chosen"]
    assert np.array_equal(dump["chosen", 1, 0], 2 * table()[IDS[1]])
    assert dump.run["onnx"]["nodes_with_graphs"] == 1
    assert "1 nodes have graphs of their own (If)" in capfd.readouterr().err


def test_functions_are_looked_into(capture: Capture, tokens: Path, tmp_path: Path) -> None:
    body = [helper.make_node("Neg", ["x"], ["turned"]), helper.make_node("Exp", ["turned"], ["y"])]
    function = helper.make_function("own", "Shrink", ["x"], ["y"], body, [helper.make_opsetid("", 17)])
    model = embedding(helper.make_node("Shrink", ["embedded"], ["small"], domain="own"), outputs=["small"])
    model.functions.append(function)
    path = capture(saved(model, tmp_path / "m.onnx"), "--tokens-from", tokens)
    dump = load(path)
    inside = [name for name in names(path) if name.startswith("turned")]
    assert len(inside) == 1
    assert np.array_equal(dump[inside[0], 0, 0], -table()[IDS[0]])
    assert dump.run["onnx"]["functions"] == 1


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "float8_e4m3fn", "float8_e5m2"])
def test_number_formats_are_kept(capture: Capture, tokens: Path, tmp_path: Path, dtype: str) -> None:
    kind = getattr(TensorProto, {"float64": "DOUBLE"}.get(dtype, dtype.replace("_", "").upper()))
    model = embedding(helper.make_node("Cast", ["embedded"], ["cast"], to=kind), outputs=["cast"])
    model.opset_import[0].version = 19
    dump = load(capture(saved(model, tmp_path / "m.onnx"), "--tokens-from", tokens))
    expected = torch.from_numpy(table()[IDS[0]]).to(getattr(torch, dtype))
    stored = torch.as_tensor(dump["cast", 0, 0])
    assert stored.dtype == expected.dtype
    assert torch.equal(stored.view(torch.uint8), expected.view(torch.uint8))


def test_the_order_is_the_graphs_own_whatever_the_files(capture: Capture, tokens: Path, tmp_path: Path) -> None:
    model = embedding(
        helper.make_node("Neg", ["embedded"], ["second"]),
        helper.make_node("Exp", ["second"], ["third"]),
        outputs=["third"],
    )
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in ("third", "embedded"))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))
    path = capture(saved(model, tmp_path / "m.onnx"), "--tokens-from", tokens)
    assert names(path) == ["input_ids", "embedded", "second", "third"]


def test_names_with_a_meaning_in_a_dump_are_told_apart(capture: Capture, tokens: Path, tmp_path: Path) -> None:
    model = embedding(
        helper.make_node("Identity", ["embedded"], ["norm"]),
        helper.make_node("ReduceSum", ["norm"], ["logits"]),
        helper.make_node("Neg", ["logits"], ["run.end"]),
        outputs=["logits"],
    )
    path = capture(saved(model, tmp_path / "m.onnx"), "--tokens-from", tokens)
    # One row a token: the norm is what it is called. A single number is no logits.
    assert names(path) == ["input_ids", "embedded", "norm", "onnx.logits", "onnx.run.end"]
    assert load(path).run["capture"]["select"] == ["norm"]


def fused(layers: int) -> onnx.ModelProto:
    """The nodes of ONNX Runtime's own model builder: a norm and the sum before it are one."""
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["hidden"], "/model/embed_tokens/Gather")]
    weights = [weight("table", VOCABULARY, WIDTH), weight("gain", WIDTH, seed=1)]
    stream = normed = "hidden"

    def linear(name: str, source: str) -> str:
        weights.append(weight(f"{name}.weight", WIDTH, WIDTH, seed=len(weights)))
        nodes.append(helper.make_node("MatMul", [source, f"{name}.weight"], [f"{name}/output_0"], name))
        return f"{name}/output_0"

    def added(name: str, branch: str) -> tuple[str, str]:
        outputs = [f"{name}/output_0", "", "", f"{name}/output_3"]
        nodes.append(
            helper.make_node(
                "SkipSimplifiedLayerNormalization", [stream, branch, "gain"], outputs, name, domain="com.microsoft"
            )
        )
        return outputs[3], outputs[0]

    first = "/model/layers.0/input_layernorm/LayerNorm"
    nodes.append(helper.make_node("SimplifiedLayerNormalization", ["hidden", "gain"], ["normed"], first))
    normed = "normed"
    for layer in range(layers):
        block = f"/model/layers.{layer}"
        stream, normed = added(
            f"{block}/post_attention_layernorm/SkipLayerNorm", linear(f"{block}/attn/o_proj/MatMul", normed)
        )
        last = layer == layers - 1
        after = f"/model/layers.{layer + 1}/{'final_norm_layernorm' if last else 'input_layernorm'}/SkipLayerNorm"
        stream, normed = added(after, linear(f"{block}/mlp/down_proj/MatMul", normed))
    nodes.append(helper.make_node("MatMul", [normed, "head"], ["logits"], "/lm_head/MatMul"))
    weights.append(weight("head", WIDTH, VOCABULARY, seed=99))
    return model_of(nodes, [ids()], ["logits"], weights)


def test_fused_sums_and_norms(capture: Capture, tokens: Path, tmp_path: Path) -> None:
    dump = load(capture(saved(fused(2), tmp_path / "m.onnx"), "--tokens-from", tokens))
    assert (dump.run["model"]["layers"], dump.run["model"]["residual"]) == (2, "sequential")
    stream = dump["embed", 0, 0]
    assert np.array_equal(stream, table()[IDS[0]])
    for layer in range(2):
        stream = stream + dump[f"layers.{layer}.attn", 0, 0] + dump[f"layers.{layer}.mlp", 0, 0]
        np.testing.assert_allclose(dump[f"layers.{layer}", 0, 0], stream, rtol=1e-5, atol=1e-6)
    rms = np.sqrt(np.square(stream, dtype="f8").mean(axis=1, keepdims=True) + 1e-5)
    gain = numpy_helper.to_array(weight("gain", WIDTH, seed=1))
    np.testing.assert_allclose(dump["norm", 0, 0], stream / rms * gain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize(("parallel", "residual"), [(True, "parallel"), (False, "sequential")])
def test_how_a_layer_adds_up(
    capture: Capture, tokens: Path, tmp_path: Path, parallel: bool, residual: str, scaled: bool
) -> None:
    """Both blocks read the stream, or the MLP what attention has added to; a layer may halve and shape the sum."""
    nodes: list[onnx.NodeProto] = []

    def made(kind: str, inputs: Sequence[str], name: str) -> str:
        nodes.append(helper.make_node(kind, list(inputs), [f"{name}_output_0"], name))
        return f"{name}_output_0"

    stream = "embedded"
    for layer in range(2):
        block = f"/model/layers.{layer}"
        attention = made("Tanh", [stream], f"{block}/self_attn/Tanh")
        between = made("Add", [stream, attention], f"{block}/Add")
        mlp = made("Tanh", [stream if parallel else between], f"{block}/mlp/Tanh")
        stream = made("Add", [mlp, between], f"{block}/Add_1")
        if scaled:
            stream = made("Mul", [made("Reshape", [stream, "shape"], f"{block}/Reshape"), "half"], f"{block}/Mul")
    made("Neg", [stream], "/lm_head/Neg")
    model = embedding(*nodes, outputs=[f"{nodes[-1].output[0]}"])
    model.graph.initializer.extend(
        [numpy_helper.from_array(np.float32(0.5), "half"), numpy_helper.from_array(np.array([1, -1, WIDTH]), "shape")]
    )
    dump = load(capture(saved(model, tmp_path / "m.onnx"), "--tokens-from", tokens))
    assert dump.run["model"]["residual"] == ("other" if scaled else residual)
    expected = dump["embed", 0, 0]
    assert np.array_equal(expected, table()[IDS[0]])
    for layer in range(2):
        blocks = {"attn": np.tanh(expected)}
        blocks["mlp"] = np.tanh(expected if parallel else expected + blocks["attn"])
        for role, block in blocks.items():
            np.testing.assert_allclose(dump[f"layers.{layer}.{role}", 0, 0], block, rtol=1e-5, atol=1e-6)
        expected = (expected + blocks["attn"] + blocks["mlp"]) * (0.5 if scaled else 1)
        np.testing.assert_allclose(dump[f"layers.{layer}", 0, 0], expected, rtol=1e-5, atol=1e-6)
