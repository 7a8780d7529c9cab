"""What the fault benchmark takes other tools to say: hand-derived figures, and torch itself where it can be asked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bench.faults.arrow_dump import Key, read
from bench.faults.baseline_rules import RULES
from bench.faults.baselines import bhattacharyya, features

from npu_dump import DumpWriter, load

from .fault_records import QUIET

FIXTURES = Path(__file__).parents[2] / "fixtures" / "metrics"
X = [[3.0, 4.0], [0.0, 2.0]]
Y = [[3.0, 4.5], [0.0, 2.0]]
FLOOR = [[3.0, 4.0], [0.0, 2.25]]


def dump(
    path: Path,
    tensors: Mapping[str, Any],
    dtype: torch.dtype = torch.bfloat16,
    model: Mapping[str, Any] | None = None,
) -> Path:
    """A dump of one sample a list of `tensors`."""
    with DumpWriter(path, run={"dtype": "BF16", "model": dict(model or {})}) as writer:
        for name, samples in tensors.items():
            for sample, value in enumerate(samples):
                writer.write(name, torch.tensor(value, dtype=dtype), sample=sample)
    return path


@pytest.fixture
def figures(tmp_path: Path) -> dict[str, Any]:
    files = [dump(tmp_path / f"{i}.arrow", {"norm": [value]}) for i, value in enumerate((X, Y, FLOOR))]
    return features(files[0], files[1], files[2:])["norm"]


@pytest.mark.parametrize("name", ["reference.arrow", "candidate.arrow"])
def test_the_small_reader_agrees_with_ours_on_every_number_format(name: str) -> None:
    found, ours = read(FIXTURES / name), load(FIXTURES / name)
    assert {stored.dtype for stored in found.tensors.values()} == {"F64", "F32", "F16", "BF16"}
    for key, stored in found.tensors.items():
        expected = torch.as_tensor(ours[tuple(key)]).to(torch.float64).numpy()
        assert np.array_equal(stored.rows(), expected, equal_nan=True), key


def test_a_tensor_of_several_chunks_is_put_together_in_order(tmp_path: Path) -> None:
    from npu_dump.limits import Limits

    values = np.arange(60, dtype=np.float32).reshape(20, 3)
    with DumpWriter(tmp_path / "a.arrow", run={"dtype": "F32"}, limits=Limits(chunk=60, batch=240)) as writer:
        writer.write("embed", values)
    stored = read(tmp_path / "a.arrow").tensors[Key("embed", 0, 0)]
    assert len(stored.chunks) > 1
    assert np.array_equal(stored.rows(), values)


def test_figures_of_two_rows_are_those_of_the_formulae(figures: dict[str, Any]) -> None:
    row = 1 - 27 / (5 * math.sqrt(29.25))
    assert figures["cosine_max"] == pytest.approx(row, rel=5e-6)
    assert figures["cosine_mean"] == pytest.approx(row / 2, rel=5e-6)
    assert figures["cosine"] == pytest.approx(1 - 31 / math.sqrt(29 * 33.25), rel=5e-6)
    assert figures["sample_cosine"] == figures["cosine"]
    assert figures["l2"] == 0.5
    assert figures["psnr"] == pytest.approx(20 * math.log10(4) + 10 * math.log10(16), rel=5e-6)
    assert figures["snr"] == pytest.approx(10 * math.log10(116), rel=5e-6)
    assert figures["elementwise"] == pytest.approx(0.5 / 4.5, rel=5e-6)
    assert figures["max_abs"] == 0.5
    assert figures["thousandth"] == 0.75
    assert figures["nonfinite"] is False


def test_the_three_way_figures_compare_the_errors_of_candidate_and_floor(figures: dict[str, Any]) -> None:
    # Errors 0, 0.5, 0, 0 and 0, 0, 0, 0.25: three quarters share the first bin.
    assert figures["sigma"] == figures["linf"] == figures["l2_floor"] == 2.0
    assert figures["overlap"] == pytest.approx(0.25, rel=5e-6)


def test_single_outputs_count_by_the_worst_sample(tmp_path: Path) -> None:
    two = [dump(tmp_path / f"{i}.arrow", {"norm": [X, value]}) for i, value in enumerate((X, Y))]
    found = features(two[0], two[1], [])["norm"]
    assert found["l2"] == 0.5
    assert found["snr"] == pytest.approx(10 * math.log10(116), rel=5e-6)
    assert found["cosine"] == pytest.approx(1 - 60 / math.sqrt(58 * 62.25), rel=5e-6)
    assert found["sigma"] is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_the_multiplier_of_the_tolerance_is_where_assert_close_turns(tmp_path: Path, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(9, 5, generator=generator)
    y = (x + 0.02 * torch.randn(9, 5, generator=generator)).to(dtype)
    gold = dump(tmp_path / "x.arrow", {"norm": [x.tolist()]}, torch.float32)
    mine = dump(tmp_path / "y.arrow", {"norm": [y.tolist()]}, dtype)
    multiplier = features(gold, mine, [])["norm"]["close"]
    assert isinstance(multiplier, float)
    # The tolerances of the documentation of torch.testing.assert_close.
    rtol, atol = {torch.bfloat16: (1.6e-2, 1e-5), torch.float16: (1e-3, 1e-5), torch.float32: (1.3e-6, 1e-5)}[dtype]

    def close(factor: float) -> None:
        wide = {"rtol": rtol * multiplier * factor, "atol": atol * multiplier * factor}
        torch.testing.assert_close(y.double(), x.double(), **wide)

    close(1 + 1e-5)
    with pytest.raises(AssertionError, match="not close"):
        close(1 - 1e-5)


@pytest.mark.parametrize("residual", ["sequential", "parallel"])
def test_the_input_of_the_mlp_is_the_sum_before_it(tmp_path: Path, residual: str) -> None:
    model = {"residual": residual, "residual_scale": 0.5}
    gold = dump(tmp_path / "x.arrow", {"embed": [X], "layers.0.attn": [X], "layers.0.mlp": [X]}, model=model)
    mine = dump(tmp_path / "y.arrow", {"embed": [X], "layers.0.attn": [Y], "layers.0.mlp": [X]}, model=model)
    found = features(gold, mine, [])
    assert list(found) == ["embed", "layers.0.attn", "layers.0.mlp"]
    assert found["embed"]["input_thousandth"] == found["layers.0.attn"]["input_thousandth"] == 1.0
    mlp = found["layers.0.mlp"]
    if residual == "parallel":
        assert (mlp["input_cosine"], mlp["input_thousandth"]) == (0.0, 1.0)
    else:
        # 4.5, 6, 0, 3 against 4.5, 6.25, 0, 3.
        expected = 1 - (20.25 + 37.5 + 9) / math.sqrt((20.25 + 36 + 9) * (20.25 + 6.25**2 + 9))
        assert mlp["input_cosine"] == pytest.approx(expected, rel=5e-6)
        assert mlp["input_thousandth"] == 0.75


def test_a_number_that_is_none_on_one_side_alarms_by_every_rule(tmp_path: Path) -> None:
    gold = dump(tmp_path / "x.arrow", {"norm": [X]})
    mine = dump(tmp_path / "y.arrow", {"norm": [[[3.0, math.nan], [0.0, 2.0]]]})
    found = features(gold, mine, [gold])["norm"]
    assert found["nonfinite"] is True
    assert all(rule.of(found) == math.inf for rule in RULES)


def test_a_candidate_that_lacks_a_tensor_is_refused(tmp_path: Path) -> None:
    gold = dump(tmp_path / "x.arrow", {"norm": [X], "embed": [X]})
    mine = dump(tmp_path / "y.arrow", {"norm": [X]})
    with pytest.raises(ValueError, match="does not hold"):
        features(gold, mine, [])


def test_the_overlap_of_two_normal_distributions_is_that_of_theory() -> None:
    # Of two centred normal distributions: sqrt(2 s t / (s^2 + t^2)).
    generator = np.random.default_rng(3)
    p, q = generator.normal(size=400_000), 2 * generator.normal(size=400_000)
    assert bhattacharyya(p, q) == pytest.approx(math.sqrt(4 / 5), abs=2e-3)
    assert bhattacharyya(p, p) == pytest.approx(1, abs=1e-12)
    assert bhattacharyya(np.zeros(3), np.zeros(5)) == 1


# At each figure the tool's own threshold is just kept, and one step further it is not.
EDGES = [
    ("token cosine min 0.99", {"cosine_max": 0.01}, {"cosine_max": 0.0101}),
    ("token cosine mean 0.999", {"cosine_mean": 0.001}, {"cosine_mean": 0.00101}),
    ("flattened cosine 0.99", {"cosine": 0.01}, {"cosine": 0.0101}),
    ("torch assert_close", {"close": 1.0}, {"close": 1.01}),
    ("Polygraphy simple", {"elementwise": 1e-5}, {"elementwise": 1.01e-5}),
    ("Polygraphy cosine 0.997", {"sample_cosine": 0.0029}, {"sample_cosine": 0.0031}),
    ("Polygraphy L2", {"l2": 1e-5}, {"l2": 1.01e-5}),
    ("Polygraphy PSNR 30 dB", {"psnr": 30.0}, {"psnr": 29.9}),
    ("Polygraphy SNR 20 dB", {"snr": math.inf}, {"snr": 19.9}),
    (
        "msprobe thousandth",
        {"input_thousandth": 0.95, "thousandth": 0.11},
        {"input_thousandth": 0.95, "thousandth": 0.09},
    ),
    (
        "msprobe thousandth",
        {"input_thousandth": 0.89, "thousandth": 0.0},
        {"input_thousandth": 0.91, "thousandth": 0.0},
    ),
    ("msprobe cosine drop", {"input_cosine": 0.05, "cosine": 0.14}, {"input_cosine": 0.05, "cosine": 0.16}),
    ("msprobe cosine drop", {"input_cosine": 0.2, "cosine": 1.0}, {"input_cosine": 0.09, "cosine": 1.0}),
    ("msprobe result", {"input_cosine": 0.05, "cosine": 0.14}, {"input_thousandth": 0.95, "thousandth": 0.09}),
    ("msprobe accuracy reached", {"cosine": 0.05, "max_abs": 0.001}, {"cosine": 0.05, "max_abs": 0.0011}),
    ("msprobe accuracy reached", {"cosine": 0.0, "max_abs": 1.0}, {"cosine": 0.0, "max_abs": 1.1}),
    ("msprobe accuracy reached", {"cosine": 0.0, "max_abs": 0.0}, {"cosine": 0.11, "max_abs": 0.0}),
    ("AWS gate", {"sigma": 1.5, "overlap": 0.009}, {"sigma": 1.5, "overlap": 0.011}),
    ("AWS gate", {"sigma": 0.9, "overlap": 0.9}, {"sigma": 0.9, "overlap": 0.0, "linf": 5.1}),
    ("AWS gate", {"sigma": 0.9, "linf": 4.9, "l2_floor": 2.9}, {"sigma": 0.9, "l2_floor": 3.1}),
]


@pytest.mark.parametrize(("name", "kept", "broken"), EDGES)
def test_a_rule_turns_where_its_tool_says(name: str, kept: dict[str, float], broken: dict[str, float]) -> None:
    rule = next(rule for rule in RULES if rule.name == name)
    within, beyond = rule.of({**QUIET, **kept}), rule.of({**QUIET, **broken})
    assert within is not None
    assert beyond is not None
    assert within <= 1 < beyond


def test_without_a_floor_the_three_way_rules_say_nothing() -> None:
    nothing = {**QUIET, "sigma": None, "overlap": None, "linf": None, "l2_floor": None}
    assert {rule.name for rule in RULES if rule.of(nothing) is None} == {
        rule.name for rule in RULES if rule.name.startswith("AWS")
    }
