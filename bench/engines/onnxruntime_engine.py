"""A second engine: a Llama written as an ONNX graph, run by onnxruntime on the CPU, into a dump.

    python bench/engines/onnxruntime_engine.py MODEL TOKENS OUT [--stores float32|float16|bfloat16]

MODEL is a folder with config.json and safetensors, TOKENS a dump whose token ids are fed. No line of it is shared
with transformers: normalization, rotary embedding and attention are onnxruntime's own kernels. It multiplies in
float32; with ``--stores`` every tensor that an engine of that precision would store is rounded to it. Prompt and
decode steps are one causal forward, cut into rows afterwards. A correct engine must pass:

    npu-diff compare reference.arrow onnx.arrow --floor floor.arrow

It needs ``pip install onnx onnxruntime`` beside npu-dump.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import load_file

from npu_dump import DumpWriter
from npu_dump.tokens import Sample, samples_of_dump

OPSET = 23  # the first with RMSNormalization, RotaryEmbedding and Attention
IR_VERSION = 11
STORES = {
    "float32": ("F32", None),
    "float16": ("F16", TensorProto.FLOAT16),
    "bfloat16": ("BF16", TensorProto.BFLOAT16),
}
# What the graph stands for; anything else in a configuration would be ignored.
KNOWN = {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False, "rope_scaling": None}


class Graph:
    """Nodes and weights of a decoder, added one after the other."""

    def __init__(self, config: dict[str, Any], weights: dict[str, torch.Tensor], rounded: int | None) -> None:
        self.config = config
        self._weights = weights
        self._rounded = rounded
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self.outputs: dict[str, str] = {}

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        name = f"{kind}.{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def stored(self, value: str, name: str | None = None) -> str:
        """Round ``value`` as storing it does; an output of the graph where it has a name."""
        if self._rounded is not None:
            value = self.node("Cast", self.node("Cast", value, to=self._rounded), to=TensorProto.FLOAT)
        if name:
            self.outputs[name] = value
        return value

    def weight(self, name: str, *, transposed: bool = False) -> str:
        """Return a weight in float32, as ``x @ w`` wants it where transposed."""
        value = self._weights[name].float().numpy()
        return self.constant(f"{name}.T", value.T) if transposed else self.constant(name, value)

    def constant(self, name: str, value: np.ndarray) -> str:
        self._constants.setdefault(name, numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def linear(self, x: str, name: str) -> str:
        return self.stored(self.node("MatMul", x, self.weight(f"{name}.weight", transposed=True)))

    def norm(self, x: str, name: str) -> str:
        scale = self.weight(f"{name}.weight")
        return self.node("RMSNormalization", x, scale, axis=-1, epsilon=self.config["rms_norm_eps"])

    def rotated(self, x: str, heads: int) -> str:
        return self.stored(self.node("RotaryEmbedding", x, "cos", "sin", "positions", num_heads=heads, interleaved=0))

    def attention(self, x: str, prefix: str) -> str:
        heads, groups = self.config["num_attention_heads"], self.config["num_key_value_heads"]
        query, key, value = (self.linear(x, f"{prefix}.{part}_proj") for part in "qkv")
        joined = self.node(
            "Attention",
            self.rotated(query, heads),
            self.rotated(key, groups),
            value,
            q_num_heads=heads,
            kv_num_heads=groups,
            is_causal=1,
        )
        return self.linear(self.stored(joined), f"{prefix}.o_proj")

    def mlp(self, x: str, prefix: str) -> str:
        gate, up = self.linear(x, f"{prefix}.gate_proj"), self.linear(x, f"{prefix}.up_proj")
        active = self.node("Mul", gate, self.node("Sigmoid", gate))
        return self.linear(self.stored(self.node("Mul", active, up)), f"{prefix}.down_proj")

    def build(self) -> onnx.ModelProto:
        """The whole decoder: token ids ``[1, T]`` and positions in, every canonical tensor out."""
        self._rotary_tables()
        hidden = self.stored(self.node("Gather", self.weight("model.embed_tokens.weight"), "ids"), "embed")
        for layer in range(self.config["num_hidden_layers"]):
            prefix, name = f"model.layers.{layer}", f"layers.{layer}"
            normed = self.stored(self.norm(hidden, f"{prefix}.input_layernorm"))
            attention = self.outputs[f"{name}.attn"] = self.attention(normed, f"{prefix}.self_attn")
            middle = self.stored(self.node("Add", hidden, attention))
            normed = self.stored(self.norm(middle, f"{prefix}.post_attention_layernorm"))
            mlp = self.outputs[f"{name}.mlp"] = self.mlp(normed, f"{prefix}.mlp")
            hidden = self.stored(self.node("Add", middle, mlp), name)
        normed = self.stored(self.norm(hidden, "model.norm"), "norm")
        head = "model.embed_tokens" if self.config["tie_word_embeddings"] else "lm_head"
        self.outputs["logits"] = self.linear(normed, head)
        inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, [1, "T"]) for name in ("ids", "positions")]
        results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in self.outputs.values()]
        graph = helper.make_graph(self._nodes, "decoder", inputs, results, list(self._constants.values()))
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)

    def _rotary_tables(self) -> None:
        """Cosine and sine of every position, worked out in float64."""
        config = self.config
        head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        theta = config.get("rope_theta") or config["rope_parameters"]["rope_theta"]
        frequencies = float(theta) ** (-np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
        angles = np.outer(np.arange(config["max_position_embeddings"]), frequencies)
        self.constant("cos", np.cos(angles).astype(np.float32))
        self.constant("sin", np.sin(angles).astype(np.float32))


def load(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return the configuration and the weights, and refuse what the graph does not stand for."""
    config = {"tie_word_embeddings": False, **json.loads((folder / "config.json").read_text(encoding="utf-8"))}
    config.setdefault("num_key_value_heads", config["num_attention_heads"])
    unknown = {key: config[key] for key, value in KNOWN.items() if config.get(key, value) != value}
    if config.get("model_type") != "llama" or unknown:
        message = f"no plain Llama: {config.get('model_type')} {unknown}"
        raise SystemExit(message)
    weights: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        weights |= load_file(file)
    return config, weights


def rows_of(sample: Sample) -> Iterable[tuple[int, list[int], slice]]:
    """Yield step, token ids and rows of the prompt and of each decode step."""
    start = 0
    for step, ids in enumerate([sample.ids, *(tokens.ids for tokens in sample.steps)]):
        yield step, list(ids), slice(start, start + len(ids))
        start += len(ids)


def raw(value: np.ndarray, dtype: str) -> bytes:
    """Return the bytes of float32 numbers in a type that holds them exactly, as the graph has rounded them."""
    given = torch.from_numpy(value)
    stored = given.to(getattr(torch, dtype))
    if not torch.equal(stored.float(), given):
        message = f"onnxruntime left out a rounding to {dtype}"
        raise SystemExit(message)
    return stored.view(torch.uint8).numpy().tobytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("tokens", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--stores", choices=STORES, default="float32")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    dtype, rounded = STORES[options.stores]
    config, weights = load(options.model)
    samples = samples_of_dump(options.tokens, steps=None)
    graph = Graph(config, weights, rounded)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    session = onnxruntime.InferenceSession(
        graph.build().SerializeToString(), settings, providers=["CPUExecutionProvider"]
    )
    run = {
        "dtype": dtype,
        "model": {"architecture": "LlamaForCausalLM", "layers": config["num_hidden_layers"]},
        "device": {"type": "cpu"},
        "engine": {"name": "onnxruntime", "version": onnxruntime.__version__, "graph": True},
        "capture": {"mode": "full", "select": ["embed", "layers.*", "norm", "logits"], "replay_of": None},
    }
    with DumpWriter(options.out, run=run) as writer:
        for number, sample in enumerate(samples):
            parts = list(rows_of(sample))
            ids = np.array([[token for _, tokens, _ in parts for token in tokens]], dtype=np.int64)
            positions = np.arange(ids.size, dtype=np.int64)[None]
            values = session.run(list(graph.outputs.values()), {"ids": ids, "positions": positions})
            for step, tokens, rows in parts:
                writer.write("input_ids", np.array(tokens, dtype=np.int64), sample=number, step=step)
                for name, value in zip(graph.outputs, values, strict=True):
                    part = np.ascontiguousarray(value[0, rows])
                    writer.write(
                        name, raw(part, options.stores), dtype=dtype, shape=part.shape, sample=number, step=step
                    )


if __name__ == "__main__":
    main()
