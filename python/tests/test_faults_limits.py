"""Limits from records: verdicts again from stored statistics, tails, proposals; on records that are made up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench.faults import calibrate
from bench.faults.calibrate import Choice, costs, leave_one_out, proposals, propose, reproduction
from bench.faults.records import Record, of_raw
from bench.faults.tail import growth, tail_quantile
from bench.faults.verdicts import fails, worst_strains
from scipy.stats import genpareto, norm

from .fault_records import case, fault, finding, said, tensor, write


def one(tensors: Mapping[str, Any], **parts: Any) -> Record:
    return of_raw([case("a", tensors=tensors, **parts)]).cases[0]


def energies(values: Mapping[str, float], **parts: Any) -> list[dict[str, Any]]:
    """Benign pairs by name, each with one module whose energy is so many times its limit of 1.5."""
    return [
        case(name, tensors={"layers.0.attn": tensor({"energy": (1.5 * value, 1.0, 1.5)})}, **parts)
        for name, value in values.items()
    ]


def test_a_strain_is_the_statistic_over_its_limit_or_the_excess_over_the_floor() -> None:
    statistics = {
        "energy": (1.8, 1.2, 1.8),
        "token": (3.0, 2.0, 10.0),
        "slope": (0.30, 0.10, 0.35),
        "offset": (0.4, None, 0.6),
        "channel": None,
        "gain": (1.0, 0.5, None),
    }
    record = one({"layers.0.attn": tensor(statistics, floorRatio="NaN", rows=4)})
    strains = worst_strains(record, "forced")
    assert strains["own/energy attn"] == pytest.approx(1.0)
    assert strains["own/token"] == pytest.approx(0.3)
    assert strains["own/slope"] == pytest.approx(0.8)
    assert strains["own/offset"] == pytest.approx(2 / 3)
    assert set(strains) == {"own/energy attn", "own/token", "own/slope", "own/offset"}
    strains = worst_strains(record, "plain")
    assert strains["layer/floor-ratio"] == math.inf
    # Four rows may lie twice as high.
    assert strains["layer/floor-ratio-p99"] == pytest.approx(1 / 7)
    assert strains["layer/floor-sample"] == pytest.approx(1 / 2)
    assert not any(name.startswith("own/") for name in strains)


def test_where_every_own_error_is_known_the_plain_pair_is_held_to_nothing() -> None:
    known, unknown = tensor({"energy": (1.0, 1.0, 1.5)}, floorRatio=3.0), tensor(None, floorRatio=3.0)
    assert "layer/floor-ratio" not in worst_strains(one({"norm": known}), "forced")
    assert worst_strains(one({"norm": known, "layers.0": unknown}), "forced")["layer/floor-ratio"] > 1
    # A step stands for itself.
    assert worst_strains(one({"norm": known, "decode:norm": unknown}), "forced")["layer/floor-ratio"] > 1


def test_behind_a_router_few_tokens_strain_nothing_in_a_plain_pair() -> None:
    wild = tensor(None, floorTokenRatio=100.0, floorRatioP99=50.0)
    few = {"layer/floor-token", "layer/floor-ratio-p99"}
    for name in ("layers.1.mlp", "layers.1", "layers.2.attn", "norm", "logits"):
        record = one({"layers.1.router": tensor(None), name: wild})
        assert max(worst_strains(record, "plain")[rule] for rule in few) < 1
        assert min(worst_strains(one({name: wild}), "plain")[rule] for rule in few) > 1
    for name in ("embed", "layers.0", "layers.1.attn", "layers.1.router"):
        record = one({"layers.1.router": tensor(None)} | {name: wild})
        assert min(worst_strains(record, "plain")[rule] for rule in few) > 1


def test_the_largest_strain_of_a_constant_counts_and_energy_has_one_for_each_role() -> None:
    tensors = {
        "layers.0.attn": tensor({"energy": (1.2, 1.0, 1.5), "token": (1.0, 1.0, 5.0)}),
        "decode:layers.0.attn": tensor({"energy": (1.35, 1.0, 1.5)}),
        "layers.0": tensor({"energy": (1.0, 1.0, 1.25), "token": (4.0, 1.0, 5.0)}),
        "some.module": tensor({"energy": (0.3, 1.0, 1.5)}),
    }
    strains = worst_strains(one(tensors), "forced")
    assert strains["own/energy attn"] == pytest.approx(0.9)
    assert strains["own/energy layer"] == pytest.approx(0.8)
    assert strains["own/energy other"] == pytest.approx(0.2)
    assert strains["own/token"] == pytest.approx(0.8)


def test_the_plain_pair_knows_no_own_errors() -> None:
    record = one({"norm": tensor({"energy": (9.0, 1.0, 1.5)}, floorTokenRatio=30.0)})
    assert set(worst_strains(record, "plain")) == {
        "layer/floor-ratio",
        "layer/floor-ratio-p99",
        "layer/floor-token",
        "layer/floor-sample",
    }
    assert fails(record, "plain", {})
    assert not fails(record, "plain", {"layer/floor-token": 1.21})


def test_other_limits_change_the_verdict_and_what_no_limit_decides_stays() -> None:
    record = one({"layers.0.attn": tensor({"energy": (2.1, 1.0, 1.5)})})
    assert fails(record, "forced", {})
    assert not fails(record, "forced", {"own/energy attn": 1.41})
    assert fails(record, "forced", {"own/energy attn": 1.39})
    missing = said(alarm=True, findings=[finding("structure/missing", "norm")])
    assert fails(one({"norm": tensor()}, forced=missing), "forced", {})
    warned = said(findings=[finding("quality/kl", None, level="warning")])
    assert not fails(one({"norm": tensor()}, forced=warned), "forced", {})


def test_the_products_limits_give_the_stored_verdict_again_or_the_difference_is_told() -> None:
    tensors = {"decode:norm": tensor({"energy": (2.0, 1.0, 1.5)}, floorRatio=2.6)}
    told = [finding("own/energy", "norm", step="decode"), finding("layer/floor-ratio", "norm", step="decode")]
    alike = case("a", tensors=tensors, forced=said("norm", findings=told), plain=said("norm", findings=told[1:]))
    assert reproduction(of_raw([alike])) == []
    other = case("a", tensors=tensors, forced=said("norm", findings=told[1:]), plain=said(None, findings=[]))
    assert reproduction(of_raw([other])) == [
        "report/a: forced: decode:norm breaks own/energy here alone",
        "report/a: plain: decode:norm breaks layer/floor-ratio here alone",
        "report/a: plain: the record says pass",
    ]
    extra = case("a", tensors={"norm": tensor()}, forced=said("norm", findings=[finding("own/token", "norm")]))
    assert reproduction(of_raw([extra])) == [
        "report/a: forced: norm breaks own/token in the record alone",
        "report/a: forced: the record says fail",
    ]


@pytest.mark.parametrize("shape", [0.0, 0.2, 0.5])
def test_a_tail_is_known_beyond_what_was_seen(shape: float) -> None:
    # Quantiles of the distribution itself, so that nothing is left to chance.
    shares = (np.arange(20_000) + 0.5) / 20_000
    values = 3 + genpareto.isf(shares, shape)
    assert tail_quantile(values.tolist(), 1e-5) == pytest.approx(3 + genpareto.isf(1e-5, shape), rel=0.07)


def test_a_light_tail_is_taken_as_exponential_and_no_lighter() -> None:
    values = norm.isf((np.arange(2000) + 0.5) / 2000)
    assert norm.isf(1e-5) < tail_quantile(values.tolist(), 1e-5) < 1.5 * norm.isf(1e-5)


def test_too_few_or_infinite_values_have_no_tail() -> None:
    assert tail_quantile([1.0, 3.0, 2.0], 1e-6) == 3.0
    assert tail_quantile([1.0] * 100 + [math.inf], 1e-6) == math.inf
    assert tail_quantile([2.0] * 100, 1e-6) == 2.0
    # What is more frequent than the tail was seen.
    assert tail_quantile(list(range(100)), 0.2) == 99


def test_growth_is_the_factor_for_ten_times_the_size() -> None:
    found = growth([10, 100, 1000], [1.0, 1.5, 2.25])
    assert found is not None
    assert found.factor == pytest.approx(1.5)
    assert found.error == pytest.approx(1.0)
    assert growth([10, 10, 10], [1, 2, 3]) is None


def test_a_proposal_is_the_worst_benign_pair_or_the_tail_with_a_margin() -> None:
    benign = of_raw(energies({f"b{i}": 0.5 + 0.002 * i for i in range(100)})).benign
    limits = [
        propose(benign, "forced", Choice(tail=tail, margin=margin))["own/energy attn"]
        for tail, margin in ((False, 1.0), (False, 1.25), (True, 1.0))
    ]
    assert limits[:2] == pytest.approx([0.698, 1.25 * 0.698])
    assert 0.698 < limits[2] < 1


def test_a_choice_of_limits_is_shown_with_what_it_costs() -> None:
    faults = [
        case(f"f{i}", faults=[fault("layers.0.attn", effect)], tensors={"layers.0.attn": tensor({"energy": held})})
        for i, (effect, held) in enumerate([(3.0, (1.2, 1.0, 1.5)), (9.0, (1.8, 1.0, 1.5)), (9.0, (1.35, 1.0, 1.5))])
    ]
    records = of_raw([*energies({"a": 0.5, "b": 0.75, "c": 1.1}), *faults])
    rows = {row[0]: [str(cell) for cell in row[1:]] for row in costs(records, "forced").rows}
    assert rows["as the product has it"] == ["1/3", "1/3", "0/1", "1/2"]
    assert rows["worst x 1.0"] == ["0/3", "1/3", "0/1", "1/2"]
    quiet = of_raw([*energies({"a": 0.5, "b": 0.75}), *faults])
    assert [str(cell) for cell in costs(quiet, "forced").rows[1][1:]] == ["0/2", "3/3", "1/1", "2/2"]


def test_a_kind_that_is_left_out_is_judged_by_the_others() -> None:
    calibration = of_raw(
        [
            *energies({"a": 0.5, "b": 0.6}, half="calibrate", engine_kind="fused"),
            *energies({"c": 0.9}, half="calibrate", engine_kind="split"),
        ]
    )
    tested = of_raw(
        [
            *energies({"a": 0.7, "b": 0.8}, engine_kind="fused"),
            *energies({"c": 0.55, "d": 0.7, "e": 0.95}, engine_kind="split"),
        ]
    )
    found = {
        margin: {kind: str(count) for kind, count in leave_one_out(calibration, tested, "forced", choice).items()}
        for margin in (1, 1.2)
        for choice in [Choice(tail=False, margin=margin)]
    }
    assert found == {1: {"fused": "0/2", "split": "2/3"}, 1.2: {"fused": "0/2", "split": "1/3"}}


def test_proposals_show_each_constant_with_its_figures() -> None:
    records = of_raw(energies({"a": 0.5, "b": 0.75, "c": 1.1}))
    row = next(row for row in proposals(records, "forced").rows if row[0] == "own/energy attn")
    assert [str(cell) for cell in row[1:6]] == ["3", "0.75", "1.09", "1.10", "1.10"]


def test_the_command_ends_with_1_where_a_verdict_is_not_reproduced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    benign = energies({f"b{i}": 0.3 + 0.01 * i for i in range(30)}, half="calibrate")
    assert calibrate.main([str(write(tmp_path, benign))]) == 0
    assert "30 cases, 0 differences" in capsys.readouterr().out
    assert calibrate.main([str(write(tmp_path, [*benign, case("x", forced=said("norm"))]))]) == 1
    assert "report/x: forced: the record says fail" in capsys.readouterr().out
