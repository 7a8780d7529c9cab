"""One case: its dumps, what the analyzer says of them, and the record of it."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from npu_dump import hypotheses, load

from . import baselines
from .captures import Base, capture
from .cases import Case
from .catalogue.residual import factor_over_right
from .effect import effect, first_changed
from .judge import Judge
from .modules import in_order


def run(case: Case, base: Base, judge: Judge) -> dict[str, Any]:
    """Run a case and return its record; see README.md for its keys. Its dumps are deleted.

    Args:
        case: the case.
        base: the dumps that it shares with others.
        judge: the analyzer.

    Raises:
        DumpError: a forward or a replay failed.
        RuntimeError: the dumps could not be compared.
    """
    started = time.monotonic()
    written: list[Path] = []
    try:
        candidate = _candidate(case, base)
        written.append(candidate)
        forced = base.forced(candidate)
        written.append(forced)
        found = judge.compare(base.reference, candidate, base.floors, [forced, *base.forced_floors])
        order = in_order(name for name, figures in found["tensors"].items() if figures["step"] == "prefill")
        for number, (fault, place) in enumerate(case.faults):
            written.append(base.forced(candidate, f"faulty.{number}", fault.apply(base.pair.wide, place)))
        factors = [factor_over_right(fault, base.pair.wide, place) for fault, place in case.faults]
        modules = [
            # The attention's answer is what a wrong factor of the residual sum is put to first.
            first_changed(place.module, forced, faulty) if times == 1 else f"layers.{place.layer}.attn"
            for (_, place), faulty, times in zip(case.faults, written[2:], factors, strict=True)
        ]
        effects = [
            effect(module, forced, faulty, base.floors[0], base.forced_floors[0], times=times)
            for module, faulty, times in zip(modules, written[2:], factors, strict=True)
        ]
        faults = [
            {
                "kind": fault.kind,
                "severity": fault.severity,
                "module": module,
                "causes": sorted(fault.causes),
                "effect": value,
                "order": order.index(module),
            }
            for (fault, _), module, value in zip(case.faults, modules, effects, strict=True)
        ]
        return {
            "id": case.id,
            "half": case.half,
            "model": case.model.name,
            "dtype": case.dtype,
            "text": case.text.name,
            "samples": len(base.feed.samples),
            "tokens": case.text.tokens,
            "hidden": base.pair.wide.config.hidden_size,
            "engine": case.engine.name,
            "engine_kind": case.engine.kind,
            "faults": faults,
            **found,
            "probe": _probe(found["forced"]["origin"], candidate, base) if case.faults else None,
            "baselines": baselines.features(base.reference, candidate, base.floors),
            "seconds": round(time.monotonic() - started, 2),
        }
    finally:
        for path in written:
            path.unlink()


def _candidate(case: Case, base: Base) -> Path:
    model = base.pair.narrow
    feed = base.feed
    if case.engine.batch == "all":
        feed = replace(feed, together=True, padding=case.engine.padding)
    with ExitStack() as stack:
        stack.enter_context(case.engine.apply(model))
        for fault, place in case.faults:
            stack.enter_context(fault.apply(model, place))
        return capture(model, base.folder / "candidate.arrow", feed)


def _probe(origin: str | None, candidate: Path, base: Base) -> dict[str, Any] | None:
    """Ask the probe about the module that was found, as a user would."""
    if origin is None:
        return None
    module = origin.replace(".router", ".mlp")
    found = hypotheses.test(base.pair.wide, load(candidate), module, [load(floor) for floor in base.floors])
    return None if found.best is None else {"id": found.best.cause, "estimate": found.best.estimate}
