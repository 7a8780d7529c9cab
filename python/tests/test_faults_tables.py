"""The tables of the fault benchmark, counted by hand on records that are made up."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from bench.faults import table
from bench.faults.baseline_rules import RULES
from bench.faults.counts import Count
from bench.faults.grid import WIDTH, Grid
from bench.faults.methods import FORCED, PLAIN, baseline, calibrated_thresholds
from bench.faults.modules import in_order, is_module, module_of
from bench.faults.records import load, of_raw
from bench.faults.sections import (
    alarming_pairs,
    alarming_rules,
    causes,
    detection,
    localisation,
    not_separable,
    two_at_a_time,
)

from .fault_records import case, fault, finding, said, tensor, write

COSINE = next(rule for rule in RULES if rule.name == "flattened cosine 0.99")


def found(
    origin: str | None, effect: float | str | None = 3.0, at: str = "layers.1.attn", **parts: Any
) -> dict[str, Any]:
    """A case with one fault at `at` and the module that npu-diff blames; a name that is never twice the same."""
    made = fault(at, effect, **{key: parts.pop(key) for key in ("kind", "severity", "causes") if key in parts})
    verdict = said(origin, causes=parts.pop("named", ()))
    return case(f"{made['kind']}/{at}/{effect}/{origin}/{parts}", faults=[made], forced=verdict, **parts)


def cells(grid: Grid) -> list[list[str]]:
    return [[str(cell) for cell in row] for row in grid.rows]


# Newcombe (1998), Statistics in Medicine 17, 857-872, table I, method 5.
@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [(81, 263, 0.2527, 0.3676), (15, 148, 0.0578, 0.1617), (0, 20, 0.0000, 0.1684), (1, 29, 0.0009, 0.1776)],
)
def test_intervals_are_the_published_exact_ones(hits: int, trials: int, low: float, high: float) -> None:
    assert Count(hits, trials).interval() == pytest.approx((low, high), abs=5e-5)


def test_of_no_trial_nothing_is_known() -> None:
    nothing = Count(0, 0)
    assert nothing.interval() == (0.0, 1.0)
    assert (nothing.share, nothing.percent, nothing.bounds) == (None, "-", "-")


def test_modules_stand_in_execution_order() -> None:
    order = [
        "embed",
        "layers.0.attn",
        "layers.0.router",
        "layers.0.mlp",
        "layers.0",
        "layers.2.attn",
        "layers.10",
        "norm",
    ]
    assert in_order([*reversed(order), "logits", "embed"]) == [*order, "logits"]
    assert module_of("layers.10.mlp") == (10, "mlp")
    assert not any(map(is_module, ("layers.1.attn.in", "perf.ttft_ms", "layers.x", "norm.0")))


def test_faults_are_counted_by_their_effect_and_false_alarms_with_their_interval() -> None:
    records = of_raw(
        [
            found(None, 0.5),
            found("embed", 0.99),
            found("layers.1.attn", 1.0),
            found(None, 1.5),
            found("layers.1.attn", 2.0),
            found("layers.1.attn", 5.0),
            found("layers.1.attn", "Infinity"),
            found("layers.1.attn", "NaN"),
            found("layers.1.attn", None),
            *(case(f"b{i}", forced=said("norm" if i == 3 else None)) for i in range(20)),
        ]
    )
    grid = detection("", records, [FORCED])
    assert cells(grid) == [[FORCED.name, "1/20", "0.1-24.9", "0", "1/2", "1/2", "1/1", "3/3", "7/9"]]
    assert grid.notes == ["1 faults of unknown effect are in no band."]


def test_an_undecided_pair_is_neither_a_pass_nor_an_alarm() -> None:
    undecided = {**said(), "verdict": "inconclusive"}
    records = of_raw([case("b", forced=undecided), found(None), found("layers.1.attn") | {"forced": undecided}])
    assert cells(detection("", records, [FORCED]))[0][1] == "0/1"
    assert cells(detection("", records, [FORCED]))[0][3] == "1"
    assert cells(detection("", records, [FORCED]))[0][-1] == "0/2"


def test_location_counts_the_detected_alone() -> None:
    records = of_raw(
        [
            found(None),
            found("layers.1.attn"),
            found("layers.0", 3.1),
            found("layers.1.mlp", 3.2),
            found("layers.0.attn", 3.3),
            found("embed", 3.4),
            found("embed", 3.5, at="layers.0.mlp"),
            found(None, 3.6) | {"forced": said(alarm=True)},
        ]
    )
    # Neighbours in order: layers.0 and layers.1.mlp; in layers also layers.0.attn, and embed before layer 0.
    assert cells(localisation("", records, [FORCED])) == [
        [FORCED.name, "7", "14.3", "42.9", "71.4", "1/7", "0.4-57.9"]
    ]


def test_of_two_faults_the_first_and_both_are_counted() -> None:
    two = [fault("layers.1.mlp", 1.0), fault("layers.0.attn", 9.0)]
    strong = [fault("layers.0.attn", 2.0), fault("layers.1.mlp", 3.0)]
    records = of_raw(
        [
            case("a", faults=two, forced=said("layers.0.attn", independent=["layers.1.mlp"])),
            case("b", faults=two, forced=said("layers.1.mlp", independent=["layers.1"])),
            case("c", faults=strong, forced=said("layers.0.attn")),
            case("d", faults=strong),
            found("layers.1.attn"),
        ]
    )
    assert cells(two_at_a_time(records, [FORCED])) == [[FORCED.name, "3/4", "2/4", "1/4", "1/2", "1/2", "0/2"]]
    assert cells(detection("", records, [FORCED]))[0][-1] == "1/1"


def test_causes_are_counted_of_located_faults_alone() -> None:
    def named(
        *names: str, accepted: str = "", origin: str = "layers.1.attn", probe: str | None = None
    ) -> dict[str, Any]:
        return found(origin, causes=accepted.split(), named=names, probe=probe)

    records = of_raw(
        [
            named("scale", accepted="scale head"),
            named("bias", "scale", accepted="scale"),
            named(accepted="scale"),
            named("bias", accepted="window", probe="window"),
            named("scale", accepted="scale", origin="layers.1.mlp"),
            named("bias"),
            named(),
            named(probe="window"),
        ]
    )
    rules, probed, plain = cells(causes(records))
    assert rules[1:] == ["1/4", "25.0", "2/4", "50.0", "1/3", "33.3"]
    assert probed[1:] == ["2/4", "50.0", "1/4", "25.0", "2/3", "66.7"]
    assert plain[1:] == ["0/0", "-", "0/0", "-", "0/0", "-"]


def test_a_baseline_alarms_at_the_first_tensor_beyond_its_threshold() -> None:
    record = of_raw(
        [case("a", baselines={"layers.1.mlp": {"cosine": 0.02}, "layers.0.mlp": {"cosine": 0.011}})]
    ).cases[0]
    assert baseline(COSINE).answer(record).origin == "layers.0.mlp"
    assert baseline(COSINE, {"bf16": 1.5}).answer(record).origin == "layers.1.mlp"
    assert not baseline(COSINE, {"bf16": 2.0}).answer(record).alarm


def test_a_calibrated_threshold_leaves_as_many_alarms_as_allowed() -> None:
    benign = of_raw(case(f"b{i}", baselines={"norm": {"cosine": 0.01 * i}}) for i in range(1, 201)).cases
    none, few = (calibrated_thresholds(COSINE, benign, allowed) for allowed in (0, 0.01))
    assert none == {"bf16": pytest.approx(200)}
    assert few == {"bf16": pytest.approx(198)}
    assert [sum(baseline(COSINE, limit).answer(record).alarm for record in benign) for limit in (none, few)] == [0, 2]
    with pytest.raises(ValueError, match="no benign pair"):
        calibrated_thresholds(COSINE, [], 0)


def test_each_number_format_has_a_threshold_of_its_own() -> None:
    sizes = {"bf16": 0.02, "fp32": 0.001}
    made = [case(name, baselines={"norm": {"cosine": size}}) | {"dtype": name} for name, size in sizes.items()]
    limits = calibrated_thresholds(COSINE, of_raw(made).cases, 0)
    assert limits == {"bf16": pytest.approx(2), "fp32": pytest.approx(0.1)}
    for dtype, alarms in (("bf16", False), ("fp32", True), ("fp16", False)):
        made = case("x", baselines={"norm": {"cosine": 0.015}}) | {"dtype": dtype}
        assert baseline(COSINE, limits).answer(of_raw([made]).cases[0]).alarm is alarms


def test_kinds_that_are_never_found_are_listed_with_their_effects() -> None:
    records = of_raw(
        [
            found(None, 0.5, kind="eps", severity="1e-4"),
            found(None, 0.25, kind="eps", severity="1e-4"),
            found("layers.1.attn", 0.7, kind="eps", severity="1e-3"),
            found(None, 0.6, kind="eps", severity="1e-3"),
            found(None, None, kind="rounding"),
        ]
    )
    assert cells(not_separable(records)) == [["eps 1e-4", "2", "0.25-0.50"], ["rounding 1.02", "1", "?"]]


def test_benign_pairs_that_alarm_are_named_with_their_rules() -> None:
    findings = [finding("own/energy", "norm"), finding("own/energy", "layers.0"), finding("own/token", "norm")]
    alarm = said("norm", findings=[*findings, finding("own/gain", "embed", level="warning")])
    energy = {"norm": tensor({"energy": (3.0, 1.0, 1.5), "token": (6.0, 1.0, 5.0)})}
    records = of_raw(
        [case("a", forced=alarm, tensors=energy), case("b", forced=alarm), found("norm") | {"forced": alarm}]
    )
    assert cells(alarming_rules(records)) == [["forced: own/energy", "2", "4"], ["forced: own/token", "2", "2"]]
    assert cells(alarming_pairs(records)) == [
        ["a", "forced", "norm", "own/energy 2.00"],
        ["b", "forced", "norm", "layer/floor-ratio 0.50"],
    ]


def test_what_failed_to_run_is_counted_and_shown(tmp_path: Path) -> None:
    failed = {"id": "report/tiny/x", "error": "no memory"}
    write(tmp_path, [case("a"), failed, {"id": "calibrate/tiny/y", "error": "late"}])
    shown = table.report(tmp_path)
    assert "1 cases (report): 1 benign pairs, 0 with one fault of 0 kinds, 0 with two; 1 failed to run" in shown
    assert "report/tiny/x: no memory" in shown
    assert "late" not in shown


def test_records_are_read_whole_and_the_last_of_an_id_counts(tmp_path: Path) -> None:
    write(tmp_path, [case("a"), case("b"), case("a", tokens=7), {"id": "report/c", "error": "x"}, case("c")])
    path = tmp_path / "records.jsonl"
    with path.open("a") as file:
        file.write('{"id": "report/d", "hal')
    records = load(tmp_path)
    assert {record.id: record.raw["tokens"] for record in records.cases} == {
        "report/a": 7,
        "report/b": 100,
        "report/c": 100,
    }
    assert records.errors == ()
    path.write_text(json.dumps(case("a")) + '\n{"id": "report/d", "hal\n' + json.dumps(case("b")) + "\n")
    with pytest.raises(ValueError, match="line 2"):
        load(tmp_path)


def test_the_command_prints_every_table_within_a_hundred_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [
        case(f"b{i}", half=half, engine_kind=kind, tokens=50 + i)
        for half in ("calibrate", "report")
        for i in range(12)
        for kind in ("fused", "split-k-with-a-long-name")
    ]
    records += [found("layers.1.attn", 6.0), found(None, 0.1), found("norm", math.inf)]
    write(tmp_path, [case_ | {"id": f"{case_['id']}/{i}"} for i, case_ in enumerate(records)])
    assert table.main([str(tmp_path), "--half", "both"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= WIDTH
    for title in (
        "thresholds without false alarms",
        "False alarms of a kind of kernels left out, forced",
        "Never found",
        "Causes",
    ):
        assert title in text
    assert table.main([str(tmp_path), "--markdown"]) == 0
    marked = capsys.readouterr().out
    assert f"| {FORCED.name} | 0/24 |" in marked
    assert f"| {PLAIN.name} | 0/24 |" in marked
