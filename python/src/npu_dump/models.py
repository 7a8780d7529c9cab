"""Loads a model and its tokenizer from a folder, a GGUF file or the hub's cache, and hides nothing of how it went."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from .devices import is_out_of_memory
from .errors import DumpError
from .provenance import tied

# A configuration lists thousands of missing names when it is the wrong one; a few tell as much.
_SHOWN = 8


@dataclass(frozen=True)
class ModelSource:
    """Where a model is.

    Attributes:
        given: the name as given.
        files: its folder or its GGUF file; None for a hub id that is loaded by name.
        name: what ``from_pretrained`` takes.
        keywords: and the keywords that go with it.
    """

    given: str
    files: Path | None
    name: str
    keywords: dict[str, Any]


def locate(given: str, *, trust_remote_code: bool, allow_download: bool) -> ModelSource:
    """Find a model by a folder, a ``.gguf`` file or a hub id; touches the network only with ``allow_download``.

    Raises:
        DumpError: there is no such model.
    """
    path = Path(given)
    common: dict[str, Any] = {"trust_remote_code": trust_remote_code, "local_files_only": True}
    if path.is_file():
        if path.suffix != ".gguf":
            raise DumpError(
                "model-unknown",
                "a model is a folder, a GGUF file or a hub id",
                facts=[("given", given), ("found", f"a {path.suffix or 'nameless'} file")],
                help="give the folder that holds config.json",
            )
        return ModelSource(given, path, str(path.parent), common | {"gguf_file": path.name})
    if path.is_dir():
        if not (path / "config.json").is_file():
            ggufs = sorted(file.name for file in path.glob("*.gguf"))
            raise DumpError(
                "model-unknown",
                "the folder holds no config.json",
                facts=[("folder", given), ("GGUF files", ", ".join(ggufs) or "none")],
                help=f"give the file itself: --model {path / ggufs[0]}"
                if ggufs
                else "give the folder that transformers wrote",
            )
        return ModelSource(given, path, str(path), common)
    files = _cached(given)
    if files is None and not allow_download:
        raise DumpError(
            "model-absent",
            "there is no such folder or file, and the hub's cache holds no such model",
            facts=[("given", given), ("network", "not used unless asked")],
            help="check the path, or let it be downloaded with --allow-download",
        )
    return ModelSource(given, files, given, common | {"local_files_only": not allow_download})


def _cached(name: str) -> Path | None:
    """Return the folder of a hub model in the cache, or None."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(name, "config.json")
    except HFValidationError:
        return None
    return Path(config).parent if isinstance(config, str) else None


def load_config(source: ModelSource) -> Any:
    """Return the model's configuration."""
    with _loading(source, "configuration"):
        return transformers.AutoConfig.from_pretrained(source.name, **source.keywords)


def load_tokenizer(source: ModelSource) -> Any:
    """Return the model's tokenizer."""
    with _loading(source, "tokenizer"):
        return transformers.AutoTokenizer.from_pretrained(source.name, **source.keywords)


def load_model(
    source: ModelSource,
    *,
    device: torch.device,
    dtype: torch.dtype | None,
    attention: str | None,
    note: Callable[[str], None],
    refuse: bool = True,
) -> Any:
    """Load the weights, all of them, in evaluation mode.

    Args:
        source: where the model is.
        device: where it goes.
        dtype: precision of the weights; None: the checkpoint's own.
        attention: ``eager``, ``sdpa``, …; None: transformers' choice.
        note: called with one line about each thing worth knowing.
        refuse: whether weights that are missing or do not fit are an error; else they stay random.

    Raises:
        DumpError: weights are missing or do not fit, the attention is unknown, or memory ran out.
    """
    keywords = dict(source.keywords)
    # transformers 4.56 renamed the argument; the old name still works in 4.x and warns.
    renamed = tuple(int(part) for part in transformers.__version__.split(".")[:2]) >= (4, 56)
    keywords["dtype" if renamed else "torch_dtype"] = dtype or "auto"
    if attention:
        keywords["attn_implementation"] = attention
    if not refuse:
        keywords["ignore_mismatched_sizes"] = True
    with _loading(source, "model"):
        loaded: Any = _auto_class(source).from_pretrained(source.name, output_loading_info=True, **keywords)
    model, info = loaded
    if refuse:
        _check_weights(info, note)
    with _loading(source, "model"):
        model = _in_float64(model) if dtype == torch.float64 else model
        model = model.eval().to(device)
    if tied(model):
        note("embeddings are tied: the head uses the embedding's weight")
    return model


def _in_float64(model: Any) -> Any:
    """Return a model that was loaded in float64 with what was left in float32, in code that float64 goes through."""
    # The products of all experts at once know no float64; older versions call one expert after the other.
    if hasattr(model, "set_experts_implementation"):
        model.set_experts_implementation("eager")
    # Rotary frequencies and other buffers.
    return model.to(torch.float64)


def _auto_class(source: ModelSource) -> Any:
    """Return the class of transformers that loads the model: one for text where there is one."""
    if "gguf_file" not in source.keywords:
        config = load_config(source)
        own = getattr(config, "auto_map", None) or {}
        for_text = type(config) in transformers.MODEL_FOR_CAUSAL_LM_MAPPING or "AutoModelForCausalLM" in own
        if not for_text and type(config) in transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
            return transformers.AutoModelForImageTextToText
    return transformers.AutoModelForCausalLM


def accepted_arguments(model: Any) -> Collection[str]:
    """Return the names of the arguments that a model's forward takes."""
    return inspect.signature(model.forward).parameters


def _check_weights(info: dict[str, Any], note: Callable[[str], None]) -> None:
    for key, meaning in (
        ("missing_keys", "are not in the checkpoint"),
        ("mismatched_keys", "have another shape there"),
    ):
        names = sorted(name if isinstance(name, str) else str(name[0]) for name in info.get(key) or ())
        if names:
            raise DumpError(
                "weights-incomplete",
                f"{len(names)} weights of the model {meaning}, and would be random",
                facts=[("weights", _shown(names))],
                help="give the complete checkpoint, or the configuration that belongs to it",
            )
    unexpected = sorted(map(str, info.get("unexpected_keys") or ()))
    if unexpected:
        note(f"{len(unexpected)} tensors of the checkpoint are not used: {_shown(unexpected)}")


def _shown(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _loading(source: ModelSource, what: str) -> AbstractContextManager[None]:
    """Turn what transformers raises while it loads into our error."""

    def told(error: Exception) -> DumpError:
        lines = [line for line in str(error).splitlines() if line.strip()]
        return DumpError(
            "model-unreadable",
            f"the {what} cannot be loaded",
            facts=[("given", source.given), (type(error).__name__, lines[0] if lines else "no reason given")],
            help=_way_out(error, str(error)),
        )

    return translated(told)


@contextmanager
def translated(told: Callable[[Exception], DumpError]) -> Iterator[None]:
    """Turn what a library raises in a ``with`` block into an error of ours.

    Args:
        told: makes it of an exception, unless memory ran out: that is the same error everywhere.

    Raises:
        DumpError: one that left the block, or what was made of another exception.
    """
    try:
        yield
    except DumpError:
        raise
    except Exception as error:
        raise (out_of_memory if is_out_of_memory(error) else told)(error) from error


def _way_out(error: Exception, text: str) -> str:
    if "trust_remote_code" in text:
        return "read the code that the model brings, then run with --trust-remote-code"
    if isinstance(error, ImportError) or "pip install" in text or "is required" in text:
        return "install what is missing: pip install npu-dump[transformers,gguf]"
    if "attn_implementation" in text or "attention" in text.lower():
        return "give another --attn, e.g. sdpa or eager"
    return "check that the model's files are whole and that this version of transformers knows its architecture"


def out_of_memory(error: BaseException) -> DumpError:
    """Return the error for a device or host that is out of memory."""
    lines = str(error).splitlines()
    return DumpError(
        "out-of-memory",
        "memory ran out",
        facts=[(type(error).__name__, lines[0] if lines else "no figures given")],
        help="use a smaller --batch, shorter prompts (--chunk), --dtype bfloat16, or a device with more memory",
    )
