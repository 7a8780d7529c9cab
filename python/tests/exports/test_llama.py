"""An exported Llama beside transformers: the same where nothing is wrong, and where not, the node that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from npu_dump import load

from .conftest import LAYERS, Exported, compared
from .graphs import node, saved, scale

Capture = Callable[..., Path]

BLOCK = "/model/layers.1"
DOWN = f"{BLOCK}/mlp/down_proj/MatMul_output_0"
CANONICAL = {
    "embed",
    *(f"layers.{layer}{block}" for layer in range(LAYERS) for block in ("", ".attn", ".mlp")),
    *("norm", "logits"),
}


def scaled(model: onnx.ModelProto, output: str) -> None:
    """A weight of one node is off by two percent."""
    scale(model, node(model, output).input[1], 1.02)


def added(model: onnx.ModelProto, output: str) -> None:
    """Someone has put a node between two others, without a name."""
    places = [place for place, found in enumerate(model.graph.node) if output in found.output]
    for found in model.graph.node:
        for place, name in enumerate(found.input):
            if name == output:
                found.input[place] = "edited"
    model.graph.initializer.append(numpy_helper.from_array(np.float32(1.01), "factor"))
    model.graph.node.insert(places[0] + 1, helper.make_node("Mul", [output, "factor"], ["edited"]))


def test_an_export_is_clean_beside_its_transformers_dump(exported: Exported, capture: Capture) -> None:
    path = capture(exported.onnx, "--tokens-from", exported.reference)
    code, result = compared(exported.reference, path)
    assert (code, result["verdict"]) == (0, "pass")
    assert {tensor["name"] for tensor in result["tensors"]} == CANONICAL
    assert {tensor["verdict"] for tensor in result["tensors"]} == {"pass"}
    assert result["missing"] == {"reference": [], "candidate": []}
    dump = load(path)
    assert (dump.run["engine"]["name"], dump.run["engine"]["optimization"]) == ("onnxruntime", "none")
    assert (dump.run["dtype"], dump.run["model"]["layers"], dump.run["model"]["residual"]) == ("F32", 3, "sequential")
    assert dump.text("prompt", 1) == load(exported.reference).text("prompt", 1)
    assert dump.module("layers.1.mlp") == DOWN


def test_every_tensor_is_what_the_model_computes(exported: Exported, capture: Capture) -> None:
    dump = load(capture(exported.onnx, "--tokens-from", exported.reference))
    seen: dict[str, torch.Tensor] = {}
    queries = exported.model.get_submodule("model.layers.1.self_attn.q_proj")
    handle = queries.register_forward_hook(lambda _m, _i, out: seen.update(queries=out[0]))
    exported.model.set_attn_implementation("eager")
    ids = torch.tensor(dump["input_ids", 1, 0])[None]
    try:
        with torch.no_grad():
            found = exported.model(input_ids=ids, output_attentions=True)
    finally:
        handle.remove()
        exported.model.set_attn_implementation("sdpa")
    own = dump[f"{BLOCK}/self_attn/q_proj/MatMul_output_0", 1, 0]
    np.testing.assert_allclose(own, seen["queries"].numpy(), rtol=1e-4, atol=1e-6)
    # Both axes of tokens come first, as one.
    weights = found.attentions[1][0].permute(1, 2, 0).flatten(0, 1).numpy()
    np.testing.assert_allclose(dump[f"{BLOCK}/self_attn/Softmax_output_0", 1, 0], weights, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(dump["logits", 1, 0], found.logits[0].numpy(), rtol=1e-4, atol=1e-5)
    # Weights that a node only passes on are no tensors of a sample.
    assert not [name for name, _, _ in dump if name.endswith(".weight")]


@pytest.mark.parametrize(
    ("fault", "output", "origin"),
    [
        (scaled, DOWN, "layers.1.mlp"),
        (added, DOWN, "layers.1.mlp"),
        (scaled, f"{BLOCK}/self_attn/q_proj/MatMul_output_0", "layers.1.attn"),
        # Between two layers. The norm before attention takes a factor away; the sum after it has it.
        (added, f"{BLOCK}/Add_1_output_0", "layers.2.mlp"),
    ],
)
def test_a_faulty_node_is_the_origin(
    exported: Exported,
    capture: Capture,
    tmp_path: Path,
    fault: Callable[[onnx.ModelProto, str], None],
    output: str,
    origin: str,
) -> None:
    model = onnx.load(exported.onnx)
    fault(model, output)
    path = capture(saved(model, tmp_path / "faulty.onnx"), "--tokens-from", exported.reference)
    code, result = compared(exported.reference, path)
    assert (code, result["origin"]["tensor"]) == (1, origin)


def test_beside_another_export_the_origin_is_the_node_itself(
    exported: Exported, capture: Capture, tmp_path: Path
) -> None:
    output = f"{BLOCK}/self_attn/v_proj/MatMul_output_0"
    model = onnx.load(exported.onnx)
    scaled(model, output)
    good = capture(exported.onnx, "--tokens-from", exported.reference)
    bad = capture(saved(model, tmp_path / "faulty.onnx"), "--tokens-from", exported.reference)
    code, result = compared(good, bad)
    assert (code, result["origin"]["tensor"], result["origin"]["layer"]) == (1, output, 1)


def test_an_optimized_graph_has_fewer_tensors_that_are_right(exported: Exported, capture: Capture) -> None:
    plain = capture(exported.onnx, "--tokens-from", exported.reference)
    path = capture(exported.onnx, "--tokens-from", exported.reference, "--optimize")
    assert {name for name, _, _ in load(path)} < {name for name, _, _ in load(plain)}
    assert load(path).run["engine"]["optimization"] == "all"
    code, result = compared(exported.reference, path)
    assert code == 0
    assert {"embed", "norm", "logits", "layers.2"} <= {tensor["name"] for tensor in result["tensors"]}


def test_a_part_of_the_tensors_at_a_time_is_the_same(exported: Exported, capture: Capture) -> None:
    whole = load(capture(exported.onnx, "--tokens-from", exported.reference))
    parts = load(capture(exported.onnx, "--tokens-from", exported.reference, "--outputs-at-once", 40))
    assert list(dict.fromkeys(name for name, _, _ in parts)) == list(dict.fromkeys(name for name, _, _ in whole))
    assert all(np.array_equal(whole[key], parts[key]) for key in whole)


def test_names_of_the_newer_exporter(exported: Exported, capture: Capture, tmp_path: Path) -> None:
    """It tells the module in the metadata of a node, and gives tensors names without one."""
    model = onnx.load(exported.onnx)
    kept = {value.name for value in [*model.graph.input, *model.graph.output, *model.graph.initializer]}
    names: dict[str, str] = {}
    for number, found in enumerate(model.graph.node):
        path = found.name.split("/")[1:-1]
        scopes = ["", *(".".join(path[: depth + 1]) for depth in range(len(path))), f"op_{number}"]
        found.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=repr(scopes))
        found.name = f"node_{number}"
        names |= {name: f"val_{number}" for name in found.output if name not in kept}
        for fields in (found.input, found.output):
            fields[:] = [names.get(name, name) for name in fields]
    path = capture(saved(model, tmp_path / "newer.onnx"), "--tokens-from", exported.reference)
    code, result = compared(exported.reference, path)
    assert (code, {tensor["name"] for tensor in result["tensors"]}) == (0, CANONICAL)


def test_prompts_with_a_tokenizer(exported: Exported, capture: Capture) -> None:
    path = capture(exported.onnx, "--prompts", exported.prompts, "--tokenizer", exported.folder, "--limit", 2)
    dump, reference = load(path), load(exported.reference)
    assert dump.samples() == [0, 1]
    assert all(np.array_equal(dump["input_ids", n, 0], reference["input_ids", n, 0]) for n in dump.samples())


def test_select(exported: Exported, capture: Capture) -> None:
    names = {
        ("layers.*", "logits"): CANONICAL - {"embed", "norm"},
        (f"{BLOCK}/mlp/*/MatMul_output_0",): {
            "layers.1.mlp",
            *(f"{BLOCK}/mlp/{part}_proj/MatMul_output_0" for part in ("gate", "up")),
        },
    }
    for globs, expected in names.items():
        options = [word for glob in globs for word in ("--select", glob)]
        dump = load(capture(exported.onnx, "--tokens-from", exported.reference, "--limit", 1, *options))
        assert {name for name, _, _ in dump} - {"input_ids", "prompt", "token_text"} == expected


def test_weights_in_a_file_beside_it(exported: Exported, capture: Capture, tmp_path: Path) -> None:
    folder = tmp_path / "external"
    folder.mkdir()
    onnx.save(onnx.load(exported.onnx), folder / "model.onnx", save_as_external_data=True, location="model.onnx.data")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(before) == {"model.onnx", "model.onnx.data"}
    inside = load(capture(exported.onnx, "--tokens-from", exported.reference))
    for options in ([], ["--optimize"]):
        dump = load(capture(folder / "model.onnx", "--tokens-from", exported.reference, *options))
        assert np.allclose(inside["logits", 0, 0], dump["logits", 0, 0], rtol=1e-5, atol=1e-6)
        assert len(dump.run["onnx"]["data_sha256"]) == 64
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
