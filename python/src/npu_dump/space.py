"""How much a capture will write, and whether the disk has room for it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import DumpError
from .modes import LOGITS, Modes
from .select import DEFAULT, matches


def estimated_bytes(
    config: Any, tokens: int, samples: int, *, select: Sequence[str], modes: Modes, itemsize: int, top_k: int
) -> int:
    """Return about how many bytes a dump will have: T * width * item size of every tensor that is stored whole.

    Args:
        config: the text configuration of the model.
        tokens: of all samples, decode steps included.
        samples: how many, each decode step counted as one.
        select: globs; empty for the default.
        modes: how much of each tensor is stored.
        itemsize: bytes of one element.
        top_k: tokens a row of reduced logits.
    """
    hidden, layers, vocabulary = (
        int(getattr(config, name, 0) or 0) for name in ("hidden_size", "num_hidden_layers", "vocab_size")
    )
    names = ["embed", "norm", LOGITS]
    names += [f"layers.{layer}{role}" for layer in range(layers) for role in ("", ".attn", ".mlp")]
    chosen = [name for name in names if any(matches(glob, name) for glob in select or DEFAULT)]
    width = 0
    for name in chosen:
        form = modes.form(name)
        if form == "dense":
            width += itemsize * (vocabulary if name == LOGITS else hidden)
        elif form == "topk":
            # An id and a log-probability each; log-sum-exp and the token's own log-probability.
            width += 8 * top_k + 16
    # 8 bytes for the id of a token, about 12 for its text; about 400 bytes of columns a tensor.
    return tokens * (width + 20) + samples * len(chosen) * 400


def require_space(folder: Path, needed: int) -> str:
    """Return what is needed and what is free, in words.

    Args:
        folder: where it will be written.
        needed: about how many bytes.

    Raises:
        DumpError: ``disk-full``: it would not fit.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DumpError(
            "disk-full",
            "the dump would not fit on the disk",
            facts=[("needed", f"about {_mib(needed)}"), ("free", _mib(free))],
            help="use --limit, --select or --mode, or write to another disk",
        )
    return f"about {_mib(needed)} to write, {_mib(free)} free"


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB" if size < 1 << 30 else f"{size / (1 << 30):.1f} GiB"
