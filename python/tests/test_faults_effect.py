"""The size of a fault, on dumps whose errors are known by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from bench.faults.effect import effect, first_changed

from npu_dump import DumpWriter

NAME = "layers.0.attn"
# Rows of norm 5, and errors of a tenth and a fifth of it: 0.5 and 1 in one channel.
ROWS = np.array([[3.0, 4.0], [4.0, -3.0]], dtype=np.float32)
Tensors = dict[tuple[int, int], np.ndarray]


def dump(path: Path, tensors: Tensors) -> Path:
    with DumpWriter(path, run={"dtype": "F32"}, overwrite=True) as writer:
        for (sample, step), rows in tensors.items():
            writer.write(NAME, rows.astype(np.float32), sample=sample, step=step)
    return path


def effect_of(folder: Path, clean: Tensors, faulty: Tensors, floor: Tensors, forced: Tensors) -> float:
    named = {"clean": clean, "faulty": faulty, "floor": floor, "forced": forced}
    paths = [dump(folder / f"{name}.arrow", tensors) for name, tensors in named.items()]
    return effect(NAME, *paths)


def plus(rows: np.ndarray, *errors: float) -> np.ndarray:
    return rows + np.array([[error, 0.0] for error in errors])


def named_dump(path: Path, **values: np.ndarray) -> Path:
    with DumpWriter(path, run={"dtype": "F32"}) as writer:
        for role, rows in values.items():
            writer.write(f"layers.0.{role}", rows.astype(np.float32), sample=0, step=0)
    return path


def test_a_fault_of_an_mlp_is_at_its_router_where_that_changes_first(tmp_path: Path) -> None:
    clean = named_dump(tmp_path / "clean.arrow", attn=ROWS, router=ROWS, mlp=ROWS)
    routed = named_dump(tmp_path / "routed.arrow", attn=ROWS, router=plus(ROWS, 0, 1e-6), mlp=2 * ROWS)
    experts = named_dump(tmp_path / "experts.arrow", attn=ROWS, router=ROWS, mlp=2 * ROWS)
    dense = named_dump(tmp_path / "dense.arrow", attn=ROWS, mlp=ROWS)
    assert first_changed("layers.0.mlp", clean, routed) == "layers.0.router"
    assert first_changed("layers.0.mlp", clean, experts) == "layers.0.mlp"
    assert first_changed("layers.0.mlp", dense, dense) == "layers.0.mlp"
    assert first_changed("layers.0.attn", clean, routed) == "layers.0.attn"


def test_it_is_the_ratio_of_root_mean_squares_over_tokens(tmp_path: Path) -> None:
    # (0.3² + 0.4²) / 2 = 0.125 against (0.1² + 0.1²) / 2 = 0.01.
    found = effect_of(
        tmp_path, {(0, 0): ROWS}, {(0, 0): plus(ROWS, 1.5, 2)}, {(0, 0): plus(ROWS, 0.5, -0.5)}, {(0, 0): ROWS}
    )
    assert found == pytest.approx(math.sqrt(12.5), rel=1e-6)


def test_a_wrong_factor_of_the_residual_sum_counts_as_an_error_of_the_block(tmp_path: Path) -> None:
    clean, floor = (
        named_dump(tmp_path / "clean.arrow", attn=ROWS),
        named_dump(tmp_path / "floor.arrow", attn=plus(ROWS, 0.5, 0.5)),
    )
    assert effect(NAME, clean, clean, floor, clean, times=1.02) == pytest.approx(0.2, rel=1e-6)


def test_samples_count_by_their_tokens(tmp_path: Path) -> None:
    clean = {(0, 0): ROWS, (1, 0): ROWS[:1]}
    # One of three tokens is off by a fifth; the floor by a tenth everywhere.
    faulty = clean | {(1, 0): plus(ROWS[:1], 1)}
    floor = {(0, 0): plus(ROWS, 0.5, 0.5), (1, 0): plus(ROWS[:1], 0.5)}
    assert effect_of(tmp_path, clean, faulty, floor, clean) == pytest.approx(math.sqrt(0.04 / 3) / 0.1, rel=1e-6)


def test_decode_steps_are_not_diluted_by_prompts(tmp_path: Path) -> None:
    clean = {(0, 0): ROWS, (0, 1): ROWS[:1]}
    faulty = clean | {(0, 1): plus(ROWS[:1], 2)}
    floor = {(0, 0): plus(ROWS, 0.5, 0.5), (0, 1): plus(ROWS[:1], 0.25)}
    assert effect_of(tmp_path, clean, faulty, floor, clean) == pytest.approx(0.4 / 0.05, rel=1e-6)


def test_each_side_is_relative_to_its_own_reference(tmp_path: Path) -> None:
    clean, forced = {(0, 0): 4 * ROWS}, {(0, 0): ROWS}
    faulty, floor = {(0, 0): plus(4 * ROWS, 2, 2)}, {(0, 0): plus(ROWS, 0.5, 0.5)}
    assert effect_of(tmp_path, clean, faulty, floor, forced) == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_infinite(tmp_path: Path, value: float) -> None:
    clean, floor = {(0, 0): ROWS}, {(0, 0): plus(ROWS, 0.5, 0.5)}
    assert effect_of(tmp_path, clean, {(0, 0): plus(ROWS, value, 0)}, floor, clean) == math.inf


def test_no_change_is_nothing_and_any_change_of_what_is_exact_is_infinite(tmp_path: Path) -> None:
    clean = {(0, 0): ROWS}
    assert effect_of(tmp_path, clean, clean, {(0, 0): plus(ROWS, 0.5, 0)}, clean) == 0
    assert effect_of(tmp_path, clean, {(0, 0): plus(ROWS, 0.5, 0)}, clean, clean) == math.inf


def test_rows_of_zeros_are_compared_with_themselves_alone(tmp_path: Path) -> None:
    clean = {(0, 0): np.zeros((2, 2))}
    assert effect_of(tmp_path, clean, clean, clean, clean) == 0
    assert effect_of(tmp_path, clean, {(0, 0): ROWS}, clean, clean) == math.inf


def test_another_tensor_or_shape_is_refused(tmp_path: Path) -> None:
    clean = {(0, 0): ROWS}
    with pytest.raises(ValueError, match="shapes"):
        effect_of(tmp_path, clean, {(0, 0): ROWS[:1]}, clean, clean)
    with pytest.raises(ValueError, match="not in both dumps"):
        effect_of(tmp_path, clean, {(1, 0): ROWS}, clean, clean)
    with pytest.raises(ValueError, match="decode steps"):
        effect_of(tmp_path, clean, clean, {(0, 1): ROWS[:1]}, {(0, 1): ROWS[:1]})
