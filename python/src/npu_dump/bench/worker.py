"""The engine's side of a measurement: what is mixed into vLLM's worker to tell what the model takes."""

from __future__ import annotations

import functools
import time
from importlib import import_module
from typing import Any

from .. import devices, provenance
from ..vllm.describe import describe
from ..vllm.worker import Answer, answer_of
from .memory import peaks, weights_bytes

# Seconds that reading weights took, and bytes of what was read: of the model, and of one that drafts for it.
_READ: list[tuple[float, int]] = []


class BenchExtension:
    """Methods that vLLM adds to its worker; they never raise, see `NpuDumpExtension`."""

    model_runner: Any

    def npu_dump_loaded(self) -> Answer:
        """Return what the loaded model is and takes: metadata of a run, and metrics by name."""

        def loaded() -> dict[str, Any]:
            runner = self.model_runner
            model, settings = runner.get_model(), runner.vllm_config
            metrics = _cache(settings, runner)
            if _READ:
                metrics["weights_load_s"] = sum(taken for taken, _ in _READ)
                metrics["weights_bytes"] = float(sum(size for _, size in _READ))
            return {"run": describe(settings, model), "metrics": metrics}

        return answer_of(loaded)

    def npu_dump_used(self) -> Answer:
        """Return the peak of memory of this rank, and why what is absent is so."""

        def used() -> dict[str, Any]:
            found = peaks(provenance.device_of(self.model_runner.get_model()))
            return {"metrics": found.metrics, "absent": found.absent}

        return answer_of(used)


def _cache(settings: Any, runner: Any) -> dict[str, float]:
    """Return the capacity for keys and values as vLLM tells it when it starts."""
    config: Any = getattr(runner, "kv_cache_config", None)
    if config is None or not config.kv_cache_groups:
        return {}
    block = min(group.kv_cache_spec.block_size for group in config.kv_cache_groups)
    concurrency = import_module("vllm.v1.core.kv_cache_utils").get_max_concurrency_for_kv_cache_config
    return {
        # Groups of layers share the blocks.
        "kv_cache_tokens": float(config.num_blocks // len(config.kv_cache_groups) * block),
        "kv_cache_bytes": float(sum(tensor.size for tensor in config.kv_cache_tensors)),
        "max_concurrency": float(concurrency(settings, config)),
    }


def _watch_loading() -> None:
    """Time the reading of weights, and weigh them before the engine packs them for its kernels, out of our sight.

    The engine only logs the time. This module is imported before it begins to read.
    """
    loader: Any = import_module("vllm.model_executor.model_loader.default_loader").DefaultModelLoader
    original = loader.load_weights

    @functools.wraps(original)
    def load_weights(self: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        result = original(self, model, *args, **kwargs)
        devices.synchronize(provenance.device_of(model))
        _READ.append((time.perf_counter() - start, weights_bytes(model)))
        return result

    loader.load_weights = load_weights


_watch_loading()
