"""Writes dumps of performance figures, and prints what NumPy makes of them as JSON.

python test/support/bench_dumps.py FOLDER VLLM_BENCH_FOLDER
"""

import json
import pathlib
import sys

import numpy as np

from npu_dump import DumpWriter

folder, vllm_bench = (pathlib.Path(argument) for argument in sys.argv[1:])
SWEEP = [(1, 128, 20), (2, 128, 20), (8, 128, 20)]


def spread(values: np.ndarray, unit: float = 1.0) -> dict[str, float]:
    known = unit * values[~np.isnan(values)]
    return {
        "count": int(known.size),
        "mean": float(np.mean(known)),
        "min": float(np.min(known)),
        "max": float(np.max(known)),
        "p50": float(np.percentile(known, 50)),
        "p99": float(np.percentile(known, 99)),
    }


def bench(
    name: str, seed: int, engine: str, batches: list[tuple[int, int, int]], **said: object
) -> dict[str, object]:
    """One dump of `npu-dump bench`'s form."""
    random = np.random.default_rng(seed)
    times = {metric: random.lognormal(3, 0.2, 20) for metric in ("ttft_ms", "tpot_ms", "e2e_ms")}
    times["tpot_ms"][::5] = np.nan
    rates = {"output_tokens_per_s": float(random.uniform(10, 20)), "requests_per_s": float(random.uniform(0, 1))}
    points = [{"kind": "batch", "batch": b, "input_tokens": i, "output_tokens": o} for b, i, o in batches]
    throughput = [float(random.uniform(20, 30) * b) for b, _, _ in batches]
    performance = {
        "engine": engine,
        "point": {"batch": 1, "input_tokens": 128, "output_tokens": 128, "requests": 20, "concurrency": 1},
        "warmup": 2,
        "ignore_eos": True,
        "tokens": "random",
        "sweep": points,
        "absent": {"kv_cache_tokens": "there is no such cache"},
        **said,
    }
    with DumpWriter(folder / name, run={"dtype": "BF16", "performance": performance}) as writer:
        for metric, values in times.items():
            writer.write(f"perf.{metric}", values, sample=-1)
        for metric, value in rates.items():
            writer.write(f"perf.{metric}", np.array(value), sample=-1)
        writer.write("perf.weights_bytes", np.array(1.64e9), sample=-1)
        writer.write("perf.of_tomorrow", np.array(1.0), sample=-1)
        for k, value in enumerate(throughput):
            writer.write(f"perf.sweep.{k}.output_tokens_per_s", np.array(value), sample=-1)
            writer.write(f"perf.sweep.{k}.iteration_s", random.uniform(1, 2, 5), sample=-1)
    return {
        **{metric: spread(values) for metric, values in times.items()},
        **rates,
        "speed_up": [value / throughput[0] for value in throughput],
        "throughput": throughput,
    }


def whole(name: str, *, measured: bool) -> None:
    """A dump of hidden states, with performance beside them."""
    with DumpWriter(folder / name, run={"dtype": "F32"}) as writer:
        writer.write("input_ids", np.arange(5), sample=0)
        writer.write("embed", np.random.default_rng(3).standard_normal((5, 8), "<f4"), sample=0)
        if measured:
            writer.write("perf.ttft_ms", np.array([4.0, 6.0]), sample=-1)


def served(version: str) -> dict[str, object]:
    """What stands in the lists of `vllm bench serve --save-detailed`."""
    result = json.loads((vllm_bench / f"{version}-detailed.json").read_text())
    alive = [i for i, error in enumerate(result["errors"]) if error == ""]
    first = np.array([result["ttfts"][i] for i in alive])
    pauses = [np.array(result["itls"][i]) for i in alive]
    last = np.array([result["latencies"][i] for i in alive]) if "latencies" in result else None
    end = first + np.array([one.sum() for one in pauses]) if last is None else last
    tokens = np.array([result["output_lens"][i] for i in alive])
    return {
        "ttft_ms": spread(first, 1000),
        "e2e_ms": spread(end, 1000),
        "tpot_ms": spread((end - first) / (tokens - 1), 1000),
        "itl_ms": spread(np.concatenate(pauses), 1000),
        "output_tokens": spread(tokens.astype(float)),
        "said": result,
    }


print(
    json.dumps(
        {
            "reference": bench("cpu-bench.arrow", 1, "transformers", SWEEP),
            "candidate": bench("npu-bench.arrow", 2, "vllm", [SWEEP[0], SWEEP[2], (16, 128, 20)], failed=3),
            "0.18": served("0.18"),
            "0.32": served("0.32"),
        }
    )
)
whole("cpu.arrow", measured=False)
whole("npu.arrow", measured=True)
