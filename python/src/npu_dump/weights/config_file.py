"""config.json as it lies on the disk."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

from .checkpoint import read_json


def read_text_config(folder: Path) -> dict[str, Any]:
    """Return what config.json says of the text model; empty where there is no such file.

    Models of several parts keep it under ``text_config``; what that lacks stands at the top.

    Raises:
        DumpError: the file is no JSON object.
    """
    if not (folder / "config.json").is_file():
        return {}
    config = read_json(folder / "config.json")
    text = config.get("text_config")
    return config | text if isinstance(text, dict) else config


def number(value: Any) -> float | None:
    """Return a finite JSON number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > sys.float_info.max:
        return None
    return None if math.isnan(value) else float(value)
