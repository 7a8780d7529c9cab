"""Records of the fault benchmark, made up by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MODULES = ["embed", "layers.0.attn", "layers.0.mlp", "layers.0", "layers.1.attn", "layers.1.mlp", "layers.1", "norm"]
QUIET = {
    "nonfinite": False,
    "cosine": 1e-4,
    "cosine_mean": 1e-4,
    "cosine_max": 2e-3,
    "sample_cosine": 1e-4,
    "l2": 0.5,
    "psnr": 50.0,
    "snr": 40.0,
    "elementwise": 0.01,
    "close": 3.0,
    "max_abs": 0.5,
    "thousandth": 0.2,
    "sigma": 1.1,
    "overlap": 0.001,
    "linf": 1.2,
    "l2_floor": 1.1,
    "input_cosine": 1e-4,
    "input_thousandth": 0.2,
}


def fault(
    module: str,
    effect: float | str | None = 3.0,
    *,
    kind: str = "attn-scale",
    severity: str = "1.02",
    causes: Sequence[str] = (),
) -> dict[str, Any]:
    """A fault of a record."""
    order = MODULES.index(module)
    found = {"kind": kind, "severity": severity, "module": module, "causes": list(causes)}
    return {**found, "effect": effect, "order": order}


def said(
    origin: str | None = None,
    *,
    alarm: bool | None = None,
    independent: Sequence[str] = (),
    causes: Sequence[str] = (),
    findings: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """What npu-diff said of a case; it alarms where an origin is given."""
    fails = origin is not None if alarm is None else alarm
    return {
        "verdict": "fail" if fails else "pass",
        "origin": origin,
        "independent": list(independent),
        "systematic": None,
        "causes": [{"id": cause, "confidence": 0.9} for cause in causes],
        "findings": list(findings),
    }


def finding(rule: str, tensor: str | None, *, step: str = "prefill", level: str = "error") -> dict[str, Any]:
    """A finding of a verdict."""
    return {"rule": rule, "tensor": tensor, "step": step, "value": 1.0, "limit": 1.0, "level": level}


def tensor(statistics: Mapping[str, Any] | None = None, **figures: float | str | None) -> dict[str, Any]:
    """A tensor's figures; `statistics` as (value, floor, limit)."""
    own = {
        name: None if held is None else dict(zip(("value", "floor", "limit"), held, strict=True))
        for name, held in (statistics or {}).items()
    }
    plain = {"floorRatio": 1.0, "floorRatioP99": 1.0, "floorTokenRatio": 1.0, "worstSampleFloorRatio": 1.0}
    return {"step": "prefill", "rows": 100, **plain, "own": {"statistics": own or None}, **figures}


def case(
    name: str,
    *,
    half: str = "report",
    engine_kind: str = "fused",
    tokens: int = 100,
    faults: Sequence[Mapping[str, Any]] = (),
    forced: Mapping[str, Any] | None = None,
    plain: Mapping[str, Any] | None = None,
    tensors: Mapping[str, Any] | None = None,
    baselines: Mapping[str, Mapping[str, Any]] | None = None,
    probe: str | None = None,
) -> dict[str, Any]:
    """A record: benign and without an alarm but for what is given."""
    return {
        "id": f"{half}/{name}",
        "half": half,
        "model": "tiny",
        "dtype": "bf16",
        "text": "t0",
        "samples": 2,
        "tokens": tokens,
        "hidden": 8,
        "engine": engine_kind,
        "engine_kind": engine_kind,
        "faults": list(faults),
        "forced": forced or said(),
        "plain": plain or said(),
        "probe": None if probe is None else {"id": probe, "estimate": 1.0},
        "tensors": tensors or {module: tensor() for module in MODULES},
        "baselines": {module: {**QUIET, **(baselines or {}).get(module, {})} for module in MODULES},
        "quality": {},
        "seconds": 1.0,
    }


def write(folder: Path, records: Sequence[Mapping[str, Any]]) -> Path:
    """Put records into a folder as the benchmark does."""
    (folder / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder
