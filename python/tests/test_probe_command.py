"""`npu-dump probe`: what it prints, and what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from npu_dump import Dump, DumpError, hypotheses, load
from npu_dump.cli import main

from .conftest import build, disturbed

Ids = Callable[..., torch.Tensor]
BLOCK = "model.layers.1.self_attn"


def capture(model: Any, path: Path, ids: torch.Tensor, **options: Any) -> Path:
    with Dump(model, path, **options), torch.no_grad():
        model(ids, use_cache=False)
    return path


@pytest.fixture
def halved(tmp_path: Path, ids: Ids) -> Path:
    """A bfloat16 dump of `model_folder`'s model with one attention block that hands over half of its answer."""
    model = build(tie_word_embeddings=True, eos_token_id=1, bos_token_id=0, dtype=torch.bfloat16)
    with disturbed(model, BLOCK, 0.5):
        return capture(model, tmp_path / "npu.arrow", ids())


@pytest.fixture
def floor(tmp_path: Path, ids: Ids) -> Path:
    model = build(tie_word_embeddings=True, eos_token_id=1, bos_token_id=0, dtype=torch.bfloat16)
    return capture(model, tmp_path / "floor.arrow", ids())


def probe(folder: Path, dump: Path, *options: object, module: str = "layers.1.attn") -> int:
    given = [dump, "--model", folder, "--module", module, *options]
    return main(["probe", *map(str, given)])


def test_the_table_names_the_cause(
    capfd: pytest.CaptureFixture[str], model_folder: Path, halved: Path, floor: Path
) -> None:
    assert probe(model_folder, halved, "--floor", floor) == 0
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert lines[0] == "layers.1.attn: 18 tokens of 2 samples"
    best = re.escape("output \N{MULTIPLICATION SIGN} ") + r"(0\.(?:49|50)\d*)"
    named = next(line for line in lines if line.startswith(">"))
    assert re.search(rf"100\.0 %  +\+1\.000  +0\.0\d  {best}$", named)
    assert re.fullmatch(rf"cause/scale: {best} explains 100\.0 % of the error; next is .*, \d+\.\d %", lines[-1])
    assert "testing layers.1.attn of npu.arrow" in err


def test_json_lists_all_hypotheses(
    capfd: pytest.CaptureFixture[str], model_folder: Path, halved: Path, floor: Path
) -> None:
    assert probe(model_folder, halved, "--floor", floor, "--json") == 0
    found = json.loads(capfd.readouterr().out)
    assert found["module"] == "layers.1.attn"
    assert found["best"] == found["hypotheses"][0]
    best = found["best"]
    assert (best["id"], best["cause"]) == ("output-gain", "cause/scale")
    assert best["estimate"] == pytest.approx(0.5, abs=0.002)
    assert abs(best["rho"]) > 0.99
    assert best["explains"] == pytest.approx(best["rho"] ** 2, abs=1e-3)
    assert best["floor_rho"] < 0.5
    assert {"attention-scale", "rotary-base", "head"} <= {finding["id"] for finding in found["hypotheses"]}
    reasons = {absent["id"]: absent["reason"] for absent in found["not_applicable"]}
    assert reasons["sink"] == "the attention has no sinks"
    assert found["floor_error"] < 0.02 < found["error"]


def test_a_correct_module_has_no_cause(
    capfd: pytest.CaptureFixture[str], model_folder: Path, halved: Path, floor: Path
) -> None:
    """The fault is in the layer before, and its error goes through this one."""
    assert probe(model_folder, halved, "--floor", floor, "--json", module="layers.2.mlp") == 0
    assert json.loads(capfd.readouterr().out)["best"] is None


def test_where_nothing_is_wrong_nothing_is_tested(
    capfd: pytest.CaptureFixture[str], model_folder: Path, tmp_path: Path, ids: Ids
) -> None:
    dump = capture(build(tie_word_embeddings=True, eos_token_id=1, bos_token_id=0), tmp_path / "a.arrow", ids())
    assert probe(model_folder, dump, module="embed") == 0
    assert capfd.readouterr().out.endswith("nothing to explain: dump and reference agree to the last bit\n")


def test_tokens_are_limited(capfd: pytest.CaptureFixture[str], model_folder: Path, halved: Path) -> None:
    assert probe(model_folder, halved, "--tokens", 11, "--json") == 0
    found = json.loads(capfd.readouterr().out)
    assert (found["rows"], found["samples"]) == (11, 2)
    assert found["best"]["cause"] == "cause/scale"


def test_a_float32_dump_is_held_against_float64(
    capfd: pytest.CaptureFixture[str], model_folder: Path, tmp_path: Path, ids: Ids
) -> None:
    """An error of 1e-4, which a float32 reference shows as well, but only as large as its own."""
    model = build(tie_word_embeddings=True, eos_token_id=1, bos_token_id=0)
    with disturbed(model, BLOCK, 1.0001):
        dump = capture(model, tmp_path / "npu.arrow", ids())
    assert probe(model_folder, dump, "--json") == 0
    best = json.loads(capfd.readouterr().out)["best"]
    assert best["estimate"] == pytest.approx(1.0001, abs=2e-6)


def refused(capfd: pytest.CaptureFixture[str], code: str) -> str:
    out, err = capfd.readouterr()
    assert not out
    assert f"error[{code}]: " in err
    assert "\n  help: " in err
    return err


def test_an_unknown_module(capfd: pytest.CaptureFixture[str], model_folder: Path, halved: Path) -> None:
    assert probe(model_folder, halved, module="layers.1.atn") == 2
    assert "did you mean layers.1.attn?" in refused(capfd, "module-unknown")
    assert probe(model_folder, halved, module="\x1b[31m") == 2
    assert "\x1b" not in refused(capfd, "module-unknown")


def test_a_dump_that_is_none(capfd: pytest.CaptureFixture[str], model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.arrow").write_bytes(b"ARROW1")
    assert probe(model_folder, tmp_path / "a.arrow") == 2
    refused(capfd, "dump-incomplete")
    assert probe(model_folder, tmp_path / "absent.arrow") == 2
    refused(capfd, "dump-unreadable")


def test_a_dump_without_the_stream(
    capfd: pytest.CaptureFixture[str], model_folder: Path, tmp_path: Path, llama: Any, ids: Ids
) -> None:
    dump = capture(llama, tmp_path / "some.arrow", ids(), select=["logits"])
    assert probe(model_folder, dump) == 2
    refused(capfd, "replay-incomplete")


def test_a_dump_without_logits(
    capfd: pytest.CaptureFixture[str], model_folder: Path, tmp_path: Path, llama: Any, ids: Ids
) -> None:
    dump = capture(llama, tmp_path / "hidden.arrow", ids(), mode="hidden")
    assert probe(model_folder, dump, module="logits") == 2
    refused(capfd, "replay-incomplete")


def test_a_replay(capfd: pytest.CaptureFixture[str], model_folder: Path, tmp_path: Path, halved: Path) -> None:
    out = tmp_path / "replay.arrow"
    assert main(["replay", str(halved), "--model", str(model_folder), "-o", str(out)]) == 0
    capfd.readouterr()
    assert probe(model_folder, out) == 2
    refused(capfd, "replay-part")


def test_another_model(capfd: pytest.CaptureFixture[str], model_folder: Path, tmp_path: Path, ids: Ids) -> None:
    dump = capture(build(hidden_size=64), tmp_path / "wide.arrow", ids())
    assert probe(model_folder, dump) == 2
    refused(capfd, "replay-shape")
    dump = capture(build(num_hidden_layers=4), tmp_path / "deep.arrow", ids())
    assert probe(model_folder, dump) == 2
    refused(capfd, "replay-points")


def test_a_floor_of_other_tokens(
    capfd: pytest.CaptureFixture[str], model_folder: Path, tmp_path: Path, halved: Path, llama: Any, ids: Ids
) -> None:
    other = capture(llama, tmp_path / "other.arrow", ids(seed=1))
    assert probe(model_folder, halved, "--floor", other) == 2
    refused(capfd, "tokens-differ")


def test_no_module_is_a_wrong_usage(capfd: pytest.CaptureFixture[str], model_folder: Path, halved: Path) -> None:
    assert main(["probe", str(halved), "--model", str(model_folder)]) == 2
    assert "--module" in refused(capfd, "usage")


def test_what_is_no_decoder(halved: Path) -> None:
    with pytest.raises(DumpError) as caught:
        hypotheses.test(nn.Linear(2, 2), load(halved), "layers.1.attn")
    assert caught.value.code == "probe-decoder"


def test_rows_that_are_not_finite_do_not_count(tmp_path: Path, ids: Ids) -> None:
    def spoiled(_module: nn.Module, _args: Any, output: Any) -> Any:
        answer = output[0].clone()
        answer[:, -1] = torch.nan
        return (answer, *output[1:])

    model = build(dtype=torch.bfloat16)
    model.get_submodule(BLOCK).register_forward_hook(spoiled)
    with disturbed(model, BLOCK, 0.5):
        dump = load(capture(model, tmp_path / "npu.arrow", ids()))
    found = hypotheses.test(build(dtype=torch.bfloat16).float(), dump, "layers.1.attn")
    assert found.rows == 16
    assert found.best is not None
    assert found.best.cause == "cause/scale"


def test_where_no_row_is_finite_nothing_is_named(tmp_path: Path, ids: Ids) -> None:
    model = build(dtype=torch.bfloat16)
    with disturbed(model, "model.layers.0", torch.nan):
        dump = load(capture(model, tmp_path / "npu.arrow", ids()))
    found = hypotheses.test(build(dtype=torch.bfloat16).float(), dump, "layers.1.attn")
    assert (found.rows, found.best, found.hypotheses) == (0, None, ())
    assert hypotheses.as_text(found).endswith("none fits: no token could be compared")
