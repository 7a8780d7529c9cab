"""`assert_matches`: captures a model on a reference's inputs and holds it to the verdict of `npu-diff`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .analyzer import Comparison, ComparisonError, compare, find_analyzer
from .errors import DumpError

if TYPE_CHECKING:
    from torch import nn

PathLike = str | os.PathLike[str]
# The file of a reference set that holds what was fed.
_OF_SET = "reference.arrow"


@dataclass(repr=False)
class AssertMatches:
    """What the fixture ``assert_matches`` is: call it with a model and a reference.

    Attributes:
        folder: beside which relative paths are looked for: that of the test's file.
        reports: makes the folder of one call, for the candidate's dump and the reports.
        update: whether references are made anew before they are compared with.
        analyzer: where `npu-diff` may have been named, by who named it.
        tell: notes a property of the test by name, for JUnit XML.
    """

    folder: Path
    reports: Callable[[], Path]
    update: bool
    analyzer: dict[str, str | None]
    tell: Callable[[str, object], None]

    def __call__(
        self,
        model: nn.Module,
        reference: PathLike = "cpu.arrow",
        *,
        inputs: Any = None,
        floor: PathLike | Sequence[PathLike] = (),
        forced: PathLike | Sequence[PathLike] = (),
        select: str | Sequence[str] | None = None,
        mode: str | Sequence[str] | None = None,
        batch: int = 1,
        only: str | Sequence[str] = (),
        skip: str | Sequence[str] = (),
        preset: str | None = None,
        decide: str | None = None,
        max_rel_l2: float | str | None = None,
        min_cosine: float | str | None = None,
        max_abs: float | str | None = None,
        max_mse: float | str | None = None,
        max_floor_ratio: float | str | None = None,
        max_ppl_increase: float | str | None = None,
        max_kl: float | str | None = None,
        min_top1: float | str | None = None,
        min_first_token: float | str | None = None,
        allow_inconclusive: bool = False,
        npu_diff: PathLike | None = None,
    ) -> dict[str, Any]:
        """Capture ``model`` on exactly the reference's inputs, compare, and fail unless it passes.

        Args:
            model: a decoder of transformers, or any ``nn.Module``, where it is and in its own precision.
            reference: a dump, or a reference set as ``npu-dump reference`` makes it. Relative paths, here and below,
                are relative to the folder of the test's file.
            inputs: what to call the model with instead of the reference's token ids or ``input.0``: a tensor, a tuple
                of arguments, a mapping of named arguments, or a list of such, one forward each. They must be the
                reference's.
            floor: noise floors, dumps of the reference model in the candidate's precision.
            forced: forced references of the floors.
            select: globs of the tensors to capture (default: all).
            mode: how much of each: full, hidden, topk, stats.
            batch: samples a forward, where token ids are fed.
            only: judge only tensors that match these globs.
            skip: do not judge tensors that match these globs.
            preset: auto, exact, f64, f32, f16, bf16, fp8.
            decide: interval or point.
            max_rel_l2: this and the following are limits, each the option of the same name of
                ``npu-diff compare``: a finite number, or text such as ``"0.5%"``.
            min_cosine: see `max_rel_l2`.
            max_abs: see `max_rel_l2`.
            max_mse: see `max_rel_l2`.
            max_floor_ratio: see `max_rel_l2`.
            max_ppl_increase: see `max_rel_l2`.
            max_kl: see `max_rel_l2`.
            min_top1: see `max_rel_l2`.
            min_first_token: see `max_rel_l2`.
            allow_inconclusive: whether data that do not decide are good enough.
            npu_diff: the analyzer's program; default: as configured.

        Returns:
            The result as `npu-diff` writes it in JSON, for assertions of your own.

        Raises:
            AssertionError: it fails, or the data do not decide. The message is the report.
            ComparisonError: it could not be captured, or not be compared.
        """
        __tracebackhide__ = True
        options = [
            *_words(floor=self._paths(floor), forced=self._paths(forced), only=_many(only), skip=_many(skip)),
            *_words(preset=preset, decide=decide),
            *_words(max_rel_l2=max_rel_l2, min_cosine=min_cosine, max_abs=max_abs, max_mse=max_mse),
            *_words(max_floor_ratio=max_floor_ratio, max_ppl_increase=max_ppl_increase, max_kl=max_kl),
            *_words(min_top1=min_top1, min_first_token=min_first_token),
        ]
        path = self._path(reference)
        named = {"npu_diff=": None if npu_diff is None else os.fspath(npu_diff), **self.analyzer}
        try:
            found = find_analyzer(named)
            capture = {"inputs": inputs, "select": select, "mode": mode, "batch": batch}
            comparison = self._compare(found, model, path, options, capture)
        except DumpError as error:
            raise ComparisonError(str(error)) from error
        self._tell(path, comparison)
        if comparison.verdict == "pass" or (allow_inconclusive and comparison.verdict == "inconclusive"):
            return comparison.result
        raise AssertionError(f"{comparison.text}\n\nreport: {comparison.folder / 'report.html'}")

    def _compare(
        self,
        analyzer: Sequence[str],
        model: nn.Module,
        reference: Path,
        options: Sequence[str],
        capture: dict[str, Any],
    ) -> Comparison:
        from .recapture import recapture  # imports torch

        source = reference / _OF_SET if reference.is_dir() else reference
        if self.update:
            self._make(model, reference, capture)
        elif not source.is_file():
            raise DumpError(
                "reference-absent",
                "the reference is not there",
                facts=[("reference", reference.name), ("folder", reference.parent)],
                help="make it with npu-dump run or npu-dump reference; or once with the model that is to be trusted, "
                "by pytest --npu-diff-update",
            )
        folder = self.reports()
        candidate = folder / "candidate.arrow"
        recapture(model, candidate, source=source, **capture)
        return compare(analyzer, reference, candidate, folder, options)

    def _make(self, model: nn.Module, reference: Path, capture: dict[str, Any]) -> None:
        """Make the reference anew by this model, which must be of the same kind as what made it before."""
        from .recapture import recapture

        if reference.is_dir():
            raise DumpError(
                "reference-set",
                "a reference set is not made by a test",
                facts=[("reference", reference.name), ("made by", "npu-dump reference")],
                help="leave --npu-diff-update out, and make the set by npu-dump reference",
            )
        known = reference.is_file()
        if known:
            _require_same_kind(model, reference)
        elif capture["inputs"] is None:
            raise DumpError(
                "inputs-missing",
                "a first reference needs inputs to be made from",
                facts=[("reference", f"{reference.name} is not there"), ("inputs", "not given")],
                help="make it with npu-dump run, or give inputs=",
            )
        recapture(model, reference, source=reference if known else None, **capture)
        self.tell("npu_diff.updated", reference)

    def _tell(self, reference: Path, comparison: Comparison) -> None:
        self.tell("npu_diff.reference", reference.name)
        self.tell("npu_diff.verdict", comparison.verdict)
        self.tell("npu_diff.report", comparison.text)
        self.tell("npu_diff.folder", comparison.folder)

    def _path(self, given: PathLike) -> Path:
        return self.folder / given

    def _paths(self, given: PathLike | Sequence[PathLike]) -> list[Path]:
        return [self._path(one) for one in ([given] if isinstance(given, (str, os.PathLike)) else given)]


def _require_same_kind(model: nn.Module, reference: Path) -> None:
    """Refuse a candidate in the reference's place: bfloat16 from a device is not what a float32 run was."""
    from .provenance import describe
    from .reader import DumpFile

    def kind(run: dict[str, Any]) -> str:
        return f"{run.get('dtype')} on {(run.get('device') or {}).get('type')}"

    before, now = kind(DumpFile(reference).run), kind(describe(model))
    if before != now:
        raise DumpError(
            "reference-unlike",
            "the model is no model to make this reference by",
            facts=[("reference", before), ("model", now)],
            help="update references only with the model that is trusted; remove the file to begin anew with another",
        )


def _many(given: str | Sequence[str]) -> Sequence[str]:
    return [given] if isinstance(given, str) else given


def _words(**options: Any) -> list[str]:
    """Return options as words of the command line; a list is an option for each item, None none."""
    words: list[str] = []
    for name, value in options.items():
        values = value if isinstance(value, (list, tuple)) else [] if value is None else [value]
        words += [f"--{name.replace('_', '-')}={one}" for one in values]
    return words
