"""The list of cases: a pure function of its seeds, of the catalogue and of the models' structure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from .catalogue import FAULTS, Fault, Place, pairs
from .engines import ENGINES, FUSED, Engine
from .models import MODELS, ModelSpec
from .texts import TEXTS, Text

Half = Literal["calibrate", "report"]
# A half that was looked at before a change is drawn anew to report on it: raise its number, and DRAWS of texts.py.
SEEDS = {"calibrate": 5, "report": 6, "small": 5}
HALVES: tuple[Half, ...] = ("calibrate", "report")
# A fault that fits no model of its half is put into one of the other.
_OTHER: dict[Half, Half] = {"calibrate": "report", "report": "calibrate"}
# A forward of a large model is fed so many tokens at most.
LARGE_TOKENS = 320
# And faults fewer than this.
BRIEF = 512
# Precisions of faulty candidates, drawn from as often as they stand here.
DRAWN_FROM = ("bf16",) * 8 + ("fp16",) * 3 + ("fp32",)
# How many models of a half each severity of a kind is put into.
MODELS_OF_A_FAULT = {"calibrate": 5, "report": 8}
# Engines by model and precision, drawn; in bf16 every one is used.
FEWER = {"fp16": 10, "fp32": 6}
# Cases of two faults at a time, by half, in each model.
PAIRS = {"calibrate": 4, "report": 8}
# Benign cases of each model in the tests, and one fault more.
SMALL = 3
DECODING = ("flash-backwards", "flash-decoding", "reversed", "split-4", "split-2-rounded", "fused", "padded-left")
COMPILED = ("llama", "qwen3-moe", "gemma2", "gemma3", "granite")


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        half: which half of the benchmark it belongs to.
        model: what runs.
        dtype: precision of the candidate.
        text: what is fed.
        engine: how the candidate computes.
        faults: what is wrong with it, and where; nothing: it must pass.
    """

    half: Half
    model: ModelSpec
    dtype: str
    text: Text
    engine: Engine
    faults: tuple[tuple[Fault, Place], ...] = ()

    @property
    def group(self) -> tuple[str, str, str]:
        """What the reference and the floors depend on: model, precision, text."""
        return self.model.name, self.dtype, self.text.name

    @property
    def id(self) -> str:
        """Its name in the records."""
        what = ",".join(f"{fault.kind}/{fault.severity}/{place.module}" for fault, place in self.faults)
        return "/".join([self.half, *self.group, self.engine.name, what or "benign"])

    @classmethod
    def of(cls, name: str) -> Case:
        """Return the case of this id."""
        half, model, dtype, text, engine, what = name.split("/", 5)
        spec = MODELS[model]
        faults = [] if what == "benign" else [_fault(spec, *fault.split("/")) for fault in what.split(",")]
        return cls(
            "report" if half == "report" else "calibrate", spec, dtype, TEXTS[text], ENGINES[engine], tuple(faults)
        )


def _fault(spec: ModelSpec, kind: str, severity: str, module: str) -> tuple[Fault, Place]:
    fault = next(fault for fault in FAULTS if (fault.kind, fault.severity) == (kind, severity))
    return fault, next(place for place in fault.places(structure(spec)) if place.module == module)


@cache
def all_cases() -> tuple[Case, ...]:
    """Return every case of both halves; those of one model, precision and text stand together."""
    found = [case for half in HALVES for case in (*_benign(half), *_faulty(half))]
    groups = list(dict.fromkeys(case.group for case in found))
    return tuple(sorted(found, key=lambda case: groups.index(case.group)))


def small_cases() -> tuple[Case, ...]:
    """Return a few cases, of models that take seconds to train and to run: what the tests run."""
    found: list[Case] = []
    for spec in (spec for spec in MODELS.values() if spec.half == "small"):
        chosen, text = _drawn(SEEDS["small"], spec.name), TEXTS["r-mixed"]
        engines = [engine for engine in ENGINES.values() if not engine.compiles]
        found += [Case("report", spec, "bf16", text, engine) for engine in chosen.sample(engines, SMALL)]
        fitting = [
            (fault, places)
            for fault in FAULTS
            if "bf16" in fault.dtypes
            and not (fault.silent or fault.decode)
            and (places := fault.places(structure(spec)))
        ]
        for fault, places in chosen.sample(fitting, SMALL + 1):
            found.append(Case("report", spec, "bf16", text, FUSED, ((fault, chosen.choice(places)),)))
    return tuple(found)


def models_of(half: Half) -> list[ModelSpec]:
    """Return the models of a half."""
    return [spec for spec in MODELS.values() if spec.half in (half, "both")]


def texts_of(half: Half, spec: ModelSpec, *, decode: bool = False) -> list[Text]:
    """Return the texts of a half that a model is fed."""
    texts = [text for text in TEXTS.values() if text.half == half and bool(text.steps) == decode]
    return [text for text in texts if not spec.large or text.tokens <= LARGE_TOKENS]


@cache
def structure(spec: ModelSpec) -> Any:
    """Return a model without weights, to look for places in."""
    return spec.skeleton(device="meta")


def _drawn(*words: object) -> random.Random:
    return random.Random(" ".join(map(str, words)))  # noqa: S311 - no secret


def _benign(half: Half) -> Iterator[Case]:
    for spec in models_of(half):
        for dtype in ("bf16", *FEWER):
            engines = [engine for engine in ENGINES.values() if _fits(engine, spec, dtype)]
            if dtype in FEWER:
                engines = _drawn(SEEDS[half], half, spec.name, dtype).sample(engines, FEWER[dtype])
            for engine in engines:
                chosen = _drawn(SEEDS[half], half, spec.name, dtype, engine.name)
                # Only samples of several lengths are padded.
                fitting = [text for text in texts_of(half, spec) if engine.batch == "single" or not text.even]
                count = 2 if dtype == "bf16" and not spec.large else 1
                for text in chosen.sample(fitting, min(count, len(fitting))):
                    yield Case(half, spec, dtype, text, engine)
        for text in texts_of(half, spec, decode=True):
            for name in DECODING:
                yield Case(half, spec, "bf16", text, ENGINES[name])


def _fits(engine: Engine, spec: ModelSpec, dtype: str) -> bool:
    if engine.compiles and spec.name not in COMPILED:
        return False
    return dtype in engine.dtypes and len(engine.changes(structure(spec))) > 0


def _faulty(half: Half) -> Iterator[Case]:
    for fault in FAULTS:
        fitting = _fitting(fault, fault.half)
        if half != (fault.half if fitting else _OTHER[fault.half]):
            continue
        fitting = fitting or _fitting(fault, half)
        chosen = _drawn(SEEDS[half], half, fault.kind, fault.severity)
        for spec, places in chosen.sample(fitting, min(MODELS_OF_A_FAULT[half], len(fitting))):
            text = chosen.choice(_brief(half, spec, decode=fault.decode))
            dtype = chosen.choice(
                [dtype for dtype in ("bf16", "bf16", "bf16", "fp16", "fp32") if dtype in fault.dtypes]
            )
            yield Case(half, spec, dtype, text, FUSED, ((fault, chosen.choice(places)),))
    for spec in models_of(half):
        chosen = _drawn(SEEDS[half], half, spec.name, "pairs")
        for pair in pairs(structure(spec), half, SEEDS[half], PAIRS[half]):
            text = chosen.choice(_brief(half, spec))
            yield Case(half, spec, "bf16", text, FUSED, tuple(zip(pair.faults, pair.places, strict=True)))


def _fitting(fault: Fault, half: Half) -> list[tuple[ModelSpec, list[Place]]]:
    """Return the models of a half that a fault fits, and where."""
    return [(spec, places) for spec in models_of(half) if (places := fault.places(structure(spec)))]


def _brief(half: Half, spec: ModelSpec, *, decode: bool = False) -> list[Text]:
    """Return texts on which a fault costs no more time than need be."""
    return [text for text in texts_of(half, spec, decode=decode) if len(text.lengths) > 1 and text.tokens < BRIEF]
