"""Write dumps without logits and weights of two kinds, and say with NumPy float64 what comes of them.

    python lm_head.py OUT REFERENCE CANDIDATE FLOOR MODEL

`OUT/plain` is the model as it is: tied, one file, RMSNorm. `OUT/odd` is what else occurs: shards, a head of its
own in float16 with a bias and rows of padding, a final norm stored less 1, and logits that are divided and capped.
Prints, for each, the figures that `npu-diff compare --lm-head` must give. Shares nothing with the analyzer.
"""

from __future__ import annotations

import json
import pathlib
import shutil
import sys
from collections import defaultdict

import numpy as np
import pyarrow as pa
from without_tensor import without_tensor

PADDING = 16
SCALING = 0.5
CAP = 12.0


def floats(data: bytes, dtype: str) -> np.ndarray:
    if dtype == "BF16":
        return (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return np.frombuffer(data, {"F32": np.float32, "F16": np.float16, "I64": np.int64}[dtype]).astype(np.float64)


def read(path: str) -> dict[str, dict[int, np.ndarray]]:
    """The dense tensors of a dump, by name and sample."""
    found: dict[str, dict[int, np.ndarray]] = defaultdict(dict)
    with pa.memory_map(path) as source:
        for row in pa.ipc.open_file(source).read_all().to_pylist():
            if row["dtype"] in ("F32", "F16", "BF16", "I64") and row["step"] == 0 and row["sample"] >= 0:
                assert row["start"] == 0 and row["sample"] not in found[row["name"]]
                found[row["name"]][row["sample"]] = floats(row["data"], row["dtype"]).reshape(row["shape"])
    return found


def weights(path: pathlib.Path) -> dict[str, tuple[str, list[int], bytes]]:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    return {
        name: (entry["dtype"], entry["shape"], data[8 + length :][slice(*entry["data_offsets"])])
        for name, entry in header.items()
    }


def write_weights(path: pathlib.Path, tensors: dict[str, tuple[str, list[int], bytes]]) -> None:
    header, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(data for _, _, data in tensors.values()))


def log_softmax(x: np.ndarray) -> np.ndarray:
    shifted = x - x.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def kl_rows(x: list[np.ndarray], y: list[np.ndarray]) -> np.ndarray:
    p, q = (np.concatenate([log_softmax(one) for one in side]) for side in (x, y))
    return (np.exp(p) * (p - q)).sum(-1)


def gm(kl: np.ndarray) -> float:
    return float(np.exp(np.log(np.maximum(kl, 1e-12)).mean()))


def perplexity(logits: list[np.ndarray], ids: list[np.ndarray]) -> float:
    losses = []
    for row, tokens in zip(logits, ids, strict=True):
        losses.append(-np.take_along_axis(log_softmax(row[:-1]), tokens[1:, None].astype(int), -1)[:, 0])
    return float(np.exp(np.concatenate(losses).mean()))


def figures(dumps: list[dict[str, dict[int, np.ndarray]]], head, norm, layers: int) -> dict:
    """Perplexity, KL and the lens of reference, candidate and floor through `head` and `norm`."""
    samples = sorted(dumps[0]["input_ids"])
    through = [[head(dump["norm"][sample]) for sample in samples] for dump in dumps]
    ids = [dumps[0]["input_ids"][sample] for sample in samples]
    kl = kl_rows(through[0], through[1])
    lens = []
    for name in ["embed", *(f"layers.{i}" for i in range(layers))]:
        sides = [[head(norm(dump[name][sample])) for sample in samples] for dump in dumps]
        rows = kl_rows(sides[0], sides[1])
        tops = [np.concatenate([one.argmax(-1) for one in side]) for side in sides[:2]]
        floor = gm(kl_rows(sides[0], sides[2]))
        lens.append(
            {
                "tensor": name,
                "mean": float(rows.mean()),
                "gm": gm(rows),
                "floorRatio": gm(rows) / floor,
                "top1": float((tops[0] == tops[1]).mean()),
            }
        )
    return {
        "perplexity": [perplexity(side, ids) for side in through[:2]],
        "kl": {"mean": float(kl.mean()), "max": float(kl.max()), "gm": gm(kl)},
        "lens": lens,
    }


def main(out: pathlib.Path, paths: list[str], model: pathlib.Path) -> None:
    for name, path in zip(("reference", "candidate", "floor"), paths, strict=True):
        without_tensor("logits", path, str(out / f"{name}.arrow"))
        without_tensor("norm", path, str(out / f"{name}-logits.arrow"))
    dumps = [read(path) for path in paths]
    config = json.loads((model / "config.json").read_text())
    tensors = weights(model / "model.safetensors")
    layers = config["num_hidden_layers"]

    def values(name: str) -> np.ndarray:
        dtype, shape, data = tensors[name]
        return floats(data, dtype).reshape(shape)

    embedding, gain = values("model.embed_tokens.weight"), values("model.norm.weight")

    def norm(x: np.ndarray) -> np.ndarray:
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + config["rms_norm_eps"]) * gain

    plain = out / "plain"
    plain.mkdir()
    for file in ("config.json", "model.safetensors"):
        shutil.copy(model / file, plain / file)

    odd = out / "odd"
    odd.mkdir()
    rng = np.random.default_rng(5)
    vocabulary, width = embedding.shape
    own = rng.normal(0, 0.1, (vocabulary + PADDING, width)).astype(np.float16)
    bias = rng.normal(0, 1, vocabulary + PADDING).astype(np.float32)
    offset = (gain - 1).astype(np.float32)
    head = {"lm_head.weight": ("F16", list(own.shape), own.tobytes())}
    head["lm_head.bias"] = ("F32", list(bias.shape), bias.tobytes())
    rest = {
        "model.norm.weight": ("F32", [width], offset.tobytes()),
        "model.embed_tokens.weight": tensors["model.embed_tokens.weight"],
    }
    write_weights(odd / "model-00001-of-00002.safetensors", rest)
    write_weights(odd / "model-00002-of-00002.safetensors", head)
    names = dict.fromkeys(rest, "model-00001-of-00002.safetensors")
    names |= dict.fromkeys(head, "model-00002-of-00002.safetensors")
    (odd / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))
    told = {**config, "tie_word_embeddings": False, "logits_scaling": SCALING, "final_logit_softcapping": CAP}
    (odd / "config.json").write_text(json.dumps({"text_config": told}))
    matrix, terms = own[:vocabulary].astype(np.float64), bias[:vocabulary].astype(np.float64)

    answer = {
        "plain": figures(dumps, lambda h: h @ embedding.T, norm, layers),
        "odd": figures(dumps, lambda h: CAP * np.tanh((h @ matrix.T + terms) / SCALING / CAP), norm, layers),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    target, *dump_paths, folder = sys.argv[1:]
    main(pathlib.Path(target), dump_paths, pathlib.Path(folder))
