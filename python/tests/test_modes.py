"""Reduced captures: statistics, and logits cut to their most likely tokens; by mode and by pattern."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from npu_dump import Dump, DumpError, DumpFile, load
from npu_dump.cli import main
from npu_dump.modes import REDUCED_LOGITS
from npu_dump.reduce import reduced_logits

from .architectures import build

Ids = Callable[..., torch.Tensor]


def capture(path: Path, model: Any, inputs: torch.Tensor, mode: Any, **options: Any) -> DumpFile:
    with torch.no_grad(), Dump(model, path, mode=mode, **options):
        model(inputs)
    return load(path)


def names(dump: DumpFile) -> set[str]:
    return {name for name, _, _ in dump}


def encodings(dump: DumpFile) -> dict[str, str | None]:
    return {key[0]: dump.encoding(key) for key in dump if key[1] == 0}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_statistics_are_those_of_the_whole_tensors(tmp_path: Path, ids: Ids, dtype: torch.dtype) -> None:
    model, inputs = build(dtype=dtype), ids()
    whole = capture(tmp_path / "whole.arrow", model, inputs, "full")
    reduced = capture(tmp_path / "reduced.arrow", model, inputs, "stats")
    assert names(whole) == names(reduced)
    for key in whole:
        if key[0] == "input_ids":
            assert np.array_equal(whole[key], reduced[key])
            continue
        assert reduced.encoding(key) == "stats"
        values = torch.as_tensor(np.array(whole[key]) if isinstance(whole[key], np.ndarray) else whole[key]).double()
        stats = reduced.stats(key)
        assert stats is not None
        assert (stats["min"], stats["max"]) == (values.min().item(), values.max().item())
        assert stats["mean"] == pytest.approx(values.mean().item(), rel=1e-6, abs=1e-7 * values.abs().max().item())
        assert stats["rms"] == pytest.approx(values.square().mean().sqrt().item(), rel=1e-6)
        assert stats["nan"] == stats["posinf"] == stats["neginf"] == 0
        with pytest.raises(DumpError, match="tensor-encoding"):
            _ = reduced[key]
    assert (tmp_path / "reduced.arrow").stat().st_size < (tmp_path / "whole.arrow").stat().st_size / 2


def test_statistics_count_what_is_not_finite(tmp_path: Path) -> None:
    values = torch.tensor([[1.0, torch.nan, torch.inf, -2.0], [-torch.inf, -torch.inf, 0.0, 4.0]])
    with Dump(nn.Sequential(nn.Identity()), tmp_path / "a.arrow", mode="stats") as dump:
        dump.model(values)
        dump.model(torch.full((2, 2), torch.nan))
        dump.model(torch.zeros(0, 3))
    stats = load(tmp_path / "a.arrow").stats
    assert stats(("0", 0, 0)) == {
        "min": -2.0, "max": 4.0, "mean": 0.75, "rms": (21 / 4) ** 0.5, "nan": 1, "posinf": 1, "neginf": 2,
    }  # fmt: skip
    nothing = {"min": None, "max": None, "mean": None, "rms": None}
    assert stats(("0", 1, 0)) == nothing | {"nan": 4, "posinf": 0, "neginf": 0}
    assert stats(("0", 2, 0)) == nothing | {"nan": 0, "posinf": 0, "neginf": 0}


def test_hidden_leaves_the_logits_out_and_promises_none(tmp_path: Path, llama: Any, ids: Ids) -> None:
    whole = capture(tmp_path / "whole.arrow", llama, ids(), "full")
    hidden = capture(tmp_path / "hidden.arrow", llama, ids(), "hidden")
    assert names(hidden) == names(whole) - {"logits"}
    for key in hidden:
        assert np.array_equal(hidden[key], whole[key])
    assert hidden.run["capture"] == {"mode": "hidden", "select": ["embed", "layers.*", "norm"], "replay_of": None}
    every = capture(tmp_path / "every.arrow", llama, ids(), "hidden", select="*")
    assert set(every.run["capture"]["select"]) == names(hidden) - {"input_ids"}


def test_reduced_logits_are_those_of_the_whole_ones(tmp_path: Path, ids: Ids) -> None:
    model, inputs = build(dtype=torch.bfloat16), ids(2, 9)
    whole = capture(tmp_path / "whole.arrow", model, inputs, "full")
    reduced = capture(tmp_path / "reduced.arrow", model, inputs, "topk", top_k=7)
    assert names(reduced) == names(whole) - {"logits"} | set(REDUCED_LOGITS)
    assert reduced.run["capture"]["select"] == ["embed", "layers.*", "norm", *REDUCED_LOGITS]
    assert reduced.run["capture"]["top_k"] == 7
    for sample in (0, 1):
        logits = whole["logits", sample, 0].double()
        logprobs = torch.log_softmax(logits, -1)
        lse, best, ids_, own = (
            reduced[name, sample, 0] for name in ("lse", "topk_logprobs", "topk_ids", "token_logprob")
        )
        assert (lse.dtype, best.dtype, ids_.dtype, own.dtype) == ("<f8", "<f4", "<i4", "<f8")
        np.testing.assert_allclose(lse, logits.logsumexp(-1), rtol=1e-14)
        # Ties, which bfloat16 has many of, by ascending id: a stable sort of all.
        order = torch.sort(logits, descending=True, stable=True).indices[:, :7]
        assert np.array_equal(ids_, order)
        np.testing.assert_allclose(best, logprobs.gather(-1, order), rtol=1e-6)
        assert np.isnan(own[0])
        np.testing.assert_allclose(own[1:], logprobs[:-1].gather(-1, inputs[sample, 1:, None])[:, 0], rtol=1e-14)


def test_ties_beyond_the_last_place_go_to_the_lower_id() -> None:
    logits = torch.tensor([[0.0, 3.0, 3.0, 3.0, 5.0], [1.0] * 5, [5.0, 4.0, 3.0, 2.0, 1.0]])
    found = reduced_logits(logits, torch.tensor([0, 1, 2]), None, 3)["topk_ids"]
    assert found.tolist() == [[4, 1, 2], [0, 1, 2], [0, 1, 2]]
    assert reduced_logits(logits, torch.tensor([0, 1, 2]), None, 99)["topk_ids"].shape == (3, 5)


def test_a_row_that_is_not_finite_says_so() -> None:
    logits = torch.tensor([[0.0, torch.nan, 1.0], [0.0, torch.inf, 1.0], [0.0, -torch.inf, 0.0]])
    found = reduced_logits(logits, torch.tensor([0, 0, 1]), None, 3)
    assert found["lse"].isnan().tolist() == [True, False, False]
    assert found["token_logprob"].isnan().tolist() == [True, True, True]
    assert found["lse"][2] == pytest.approx(np.log(2))
    assert found["topk_logprobs"][2].tolist() == pytest.approx([-np.log(2), -np.log(2), -np.inf])


def test_the_first_token_of_a_step_is_scored_by_the_step_before(tmp_path: Path, llama: Any, ids: Ids) -> None:
    inputs, following = ids(2, 9), ids(2, 3, seed=1)
    with torch.no_grad():
        with Dump(llama, tmp_path / "a.arrow", mode="topk"):
            cache = llama(inputs, use_cache=True).past_key_values
            for step in range(3):
                llama(following[:, step : step + 1], past_key_values=cache, use_cache=True)
        logits = llama(torch.cat([inputs, following], 1)).logits
    dump = load(tmp_path / "a.arrow")
    expected = torch.log_softmax(logits.double(), -1)
    for sample in (0, 1):
        for step in range(3):
            token = following[sample, step]
            own = dump["token_logprob", sample, step + 1]
            np.testing.assert_allclose(own, [expected[sample, 8 + step, token]], rtol=1e-5)


def test_patterns_mix_modes_and_the_last_counts(tmp_path: Path, llama: Any, ids: Ids) -> None:
    mode = ["stats", "layers.1*=full", "layers.1.mlp=stats", "logits=topk"]
    dump = capture(tmp_path / "a.arrow", llama, ids(), mode)
    expected = {"layers.1": "dense", "layers.1.attn": "dense", "layers.1.mlp": "stats", "layers.2": "stats"}
    found = encodings(dump)
    assert {name: found[name] for name in expected} == expected
    assert "logits" not in found
    assert found["lse"] == "dense"
    assert dump.run["capture"]["mode"] == "mixed"
    assert dump.run["capture"]["modes"] == mode


def test_a_module_of_one_s_own_by_pattern(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    dump = capture(tmp_path / "a.arrow", model, torch.ones(4, 3), ["stats", "1=full"])
    assert encodings(dump) == {"input.0": "dense", "0": "stats", "1": "dense"}


@pytest.mark.parametrize(
    ("mode", "code"),
    [("dense", "mode-unknown"), ("=stats", "mode-unknown"), ("logits=all", "mode-unknown"), ("", "mode-unknown"),
     ("layers.9=stats", "mode-empty")],
)  # fmt: skip
def test_what_is_no_mode_is_refused(tmp_path: Path, llama: Any, ids: Ids, mode: str, code: str) -> None:
    with pytest.raises(DumpError) as error:
        capture(tmp_path / "a.arrow", llama, ids(), mode)
    assert error.value.code == code
    assert list(tmp_path.iterdir()) == []


def test_embeddings_cannot_be_scored(tmp_path: Path, llama: Any) -> None:
    with pytest.raises(DumpError) as error, torch.no_grad(), Dump(llama, tmp_path / "a.arrow", mode="topk"):
        llama(inputs_embeds=torch.ones(1, 4, 32))
    assert error.value.code == "tokens-absent"


def test_the_command_line(
    tmp_path: Path, model_folder: Path, prompts: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.arrow"
    arguments = ["run", "--model", model_folder, "--prompts", prompts, "-o", out]
    assert main([*map(str, arguments), "--mode", "stats", "--mode", "logits=topk", "--top-k", "5"]) == 0
    dump = load(out)
    assert dump["topk_ids", 0, 0].shape[1] == 5
    assert dump.encoding(("layers.0", 0, 0)) == "stats"
    capfd.readouterr()
    assert main([*map(str, arguments), "--force", "--mode", "half"]) == 2
    assert capfd.readouterr().err.startswith("error[mode-unknown]")
