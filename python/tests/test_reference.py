"""The reference set of a candidate: what is made, what is kept, what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from npu_dump import DumpFile, DumpWriter, load, reference, reference_set
from npu_dump.cli import main
from npu_dump.tokens import samples_of_dump

from .architectures import ARCHITECTURES, build
from .conftest import differing, save_model

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def candidate(tmp_path: Path, model_folder: Path, prompts: Path) -> Path:
    return make_candidate(tmp_path / "npu.arrow", model_folder, prompts, "--decode", 3)


def make_candidate(path: Path, model: Path, prompts: Path, *options: object, dtype: str = "bfloat16") -> Path:
    given = ("--model", model, "--prompts", prompts, "--dtype", dtype, "--attn", "eager", *options, "-o", path)
    assert main(["run", *map(str, given)]) == 0
    return path


@pytest.fixture
def make(tmp_path: Path, model_folder: Path, capfd: pytest.CaptureFixture[str]) -> Make:
    """Runs the command and returns what it prints as JSON, with stderr as ``told``."""

    def run(candidate: Path, *options: object, model: Path = model_folder) -> dict[str, Any]:
        capfd.readouterr()
        given = (candidate, "--model", model, "-o", tmp_path / "ref", *options, "--json")
        assert main(["reference", *map(str, given)]) == 0
        captured = capfd.readouterr()
        return json.loads(captured.out) | {"told": captured.err}

    return run


@pytest.fixture
def refused(tmp_path: Path, model_folder: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(candidate: Path, *options: object, model: Path = model_folder) -> str:
        capfd.readouterr()
        given = (candidate, "--model", model, "-o", tmp_path / "ref", *options)
        assert main(["reference", *map(str, given)]) == 2
        captured = capfd.readouterr()
        assert captured.out == ""
        parts = re.search(r"error\[([a-z-]+)\]: .+\n(  .+\n){2,}  help: .+\n$", captured.err)
        assert parts, captured.err
        return parts[1]

    return run


def parts(made: dict[str, Any]) -> list[dict[str, Any]]:
    return [made["reference"], *made["floors"], *([made["forced"]] if made["forced"] else []), *made["forced_floors"]]


def kept(made: dict[str, Any]) -> list[bool]:
    return [part["kept"] for part in parts(made)]


def opened(part: dict[str, Any]) -> DumpFile:
    return load(part["path"])


def replayed(dump: DumpFile) -> str | None:
    of = dump.run["capture"]["replay_of"]
    return of and of["id"]


def test_the_set_is_what_run_and_replay_give_one_by_one(
    tmp_path: Path, model_folder: Path, candidate: Path, make: Make
) -> None:
    made = make(candidate)
    npu = load(candidate)
    (gold, *floors), forced = map(opened, parts(made)[:3]), opened(made["forced"])
    assert (made["samples"], made["tokens"]) == (3, sum(len(npu[key]) for key in npu if key[0] == "input_ids"))
    assert made["bytes"] == sum(file.stat().st_size for file in (tmp_path / "ref").iterdir())
    assert [dump.run["dtype"] for dump in map(opened, parts(made))] == ["F32", "BF16", "BF16", "F32", "F32", "F32"]
    assert [floor.run["engine"]["attention"] for floor in floors] == ["sdpa", "eager"]
    assert [replayed(dump) for dump in (gold, *floors)] == [None] * 3
    of_floors = [replayed(opened(part)) for part in made["forced_floors"]]
    assert (replayed(forced), of_floors) == (npu.run["id"], [floor.run["id"] for floor in floors])
    for part in parts(made):
        assert samples_of_dump(Path(part["path"]), steps=None) == samples_of_dump(candidate, steps=None)

    def by_hand(command: str, *options: object) -> DumpFile:
        out = tmp_path / "hand.arrow"
        given = (*options, "--model", model_folder, "-o", out, "--force")
        assert main([command, *map(str, given)]) == 0
        return load(out)

    fed = ("--tokens-from", candidate, "--decode", 3)
    assert differing(by_hand("run", *fed, "--dtype", "float32"), gold) == set()
    for floor in floors:
        again = by_hand("run", *fed, "--dtype", "bfloat16", "--attn", floor.run["engine"]["attention"])
        assert differing(again, floor) == set()
    assert differing(by_hand("replay", candidate), forced) == set()
    # Two attentions that rounded alike would be one floor.
    assert "layers.0.attn" in differing(*floors)


def test_a_second_candidate_costs_its_forced_reference_alone(
    tmp_path: Path, model_folder: Path, prompts: Path, candidate: Path, make: Make
) -> None:
    first = make(candidate)
    assert kept(first) == [False] * 6
    assert "6 of 6 dumps to make; 3 samples" in first["told"]
    assert re.search(r"about [\d.]+ (s|min) more for 6 passes", first["told"])
    again = make(candidate)
    assert kept(again) == [True] * 6
    assert "0 of 6 dumps to make" in again["told"]
    other = make(make_candidate(tmp_path / "other.arrow", model_folder, prompts, "--decode", 3, "--batch", 2))
    assert kept(other) == [True, True, True, False, True, True]
    assert other["forced"]["path"] != first["forced"]["path"]
    anew = make(candidate, "--force")
    assert kept(anew) == [False] * 6
    assert {part["id"] for part in parts(anew)}.isdisjoint(part["id"] for part in parts(first))


def test_what_another_version_made_is_made_anew(candidate: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    make(candidate)
    monkeypatch.setattr(reference_set, "__version__", "9.9")
    assert kept(make(candidate)) == [False] * 6


def test_a_floor_that_is_gone_takes_its_forced_reference_along(candidate: Path, make: Make) -> None:
    Path(make(candidate)["floors"][1]["path"]).unlink()
    again = make(candidate)
    assert kept(again) == [True, True, False, True, True, False]
    assert replayed(opened(again["forced_floors"][1])) == again["floors"][1]["id"]


@pytest.mark.parametrize("after", range(6))
def test_an_interrupted_run_goes_on(
    tmp_path: Path,
    model_folder: Path,
    candidate: Path,
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    after: int,
) -> None:
    """Ctrl-C comes in the middle of a pass, after its first sample."""
    steps = 0

    def step(_progress: Any, title: str, *_: object) -> None:
        nonlocal steps
        steps += title == "capturing"
        if steps == 3 * after + 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("npu_dump.progress.Progress.step", step)
        given = ("reference", candidate, "--model", model_folder, "-o", tmp_path / "ref")
        assert main([*map(str, given)]) == 130
    assert "the same command goes on where it was" in capfd.readouterr().err
    there = list((tmp_path / "ref").glob("*.arrow"))
    assert len(there) == after
    made = make(candidate)
    assert sum(kept(made)) == after
    assert not list((tmp_path / "ref").glob("*.partial"))


def test_a_set_of_something_else_is_refused(
    tmp_path: Path, model_folder: Path, prompts: Path, candidate: Path, make: Make, refused: Callable[..., str]
) -> None:
    made = make(candidate)

    def another(name: str, *options: object, **more: Any) -> Path:
        return make_candidate(tmp_path / f"{name}.arrow", model_folder, prompts, *options, **more)

    assert refused(another("fewer", "--decode", 3, "--limit", 2)) == "reference-other"
    assert refused(another("no-steps")) == "reference-other"
    assert refused(another("half", "--decode", 3, dtype="float16")) == "reference-other"
    model = build(tie_word_embeddings=True, eos_token_id=1, bos_token_id=0)
    with torch.no_grad():
        model.get_input_embeddings().weight[7] *= 2
    changed = save_model(model, tmp_path / "changed", model_folder)
    assert refused(candidate, model=changed) == "reference-other"
    assert [part["id"] for part in parts(make(candidate))] == [part["id"] for part in parts(made)]
    assert kept(make(another("fewer-2", "--limit", 2), "--force")) == [False] * 6


def test_what_cannot_be_judged_is_refused(
    tmp_path: Path, model_folder: Path, prompts: Path, candidate: Path, make: Make, refused: Callable[..., str]
) -> None:
    forced = Path(make(candidate)["forced"]["path"])
    assert refused(forced) == "reference-replay"
    assert refused(make_candidate(tmp_path / "f64.arrow", model_folder, prompts, dtype="float64")) == (
        "reference-precision"
    )
    (tmp_path / "ref" / "floor.2.arrow").write_bytes(b"no dump")
    assert refused(candidate) == "dump-incomplete"
    (tmp_path / "file").touch()
    assert refused(candidate, "-o", tmp_path / "file") == "output-folder"


@pytest.mark.parametrize(
    ("options", "mode"),
    [(("--mode", "topk", "--top-k", 5), "topk"), (("--mode", "hidden"), "hidden")],
)
def test_logits_are_stored_as_the_candidate_stores_them(
    tmp_path: Path, model_folder: Path, prompts: Path, make: Make, options: tuple[object, ...], mode: str
) -> None:
    candidate = make_candidate(tmp_path / "npu.arrow", model_folder, prompts, *options)
    made = make(candidate)
    for dump in map(opened, parts(made)):
        assert dump.run["capture"]["mode"] == mode
        assert ({key for key in dump if "top" in key[0]}) == {key for key in load(candidate) if "top" in key[0]}
    if mode == "topk":
        assert opened(made["reference"])["topk_ids", 0, 0].shape[1] == 5
    # A candidate with whole logits needs more than is there; one with less does not.
    whole = make(make_candidate(tmp_path / "whole.arrow", model_folder, prompts))
    assert kept(whole) == [False] * 6
    assert kept(make(candidate)) == [True] * 6


@pytest.mark.parametrize("options", [("--mode", "stats"), ("--select", "layers.*")])
def test_without_a_residual_stream_there_is_no_forced_reference(
    tmp_path: Path, model_folder: Path, prompts: Path, make: Make, options: tuple[object, ...]
) -> None:
    made = make(make_candidate(tmp_path / "npu.arrow", model_folder, prompts, *options))
    assert (made["forced"], made["forced_floors"], len(made["floors"])) == (None, [], 2)
    assert "warning: no forced reference, the candidate is judged as a plain pair: " in made["told"]
    assert sorted(file.name for file in (tmp_path / "ref").iterdir()) == [
        *("floor.1.arrow", "floor.2.arrow", "reference.arrow")
    ]


def test_a_float32_candidate_has_a_float64_reference(
    tmp_path: Path, model_folder: Path, prompts: Path, make: Make
) -> None:
    candidate = make_candidate(tmp_path / "npu.arrow", model_folder, prompts, dtype="float32")
    dumps = [opened(part) for part in parts(make(candidate))]
    assert [dump.run["dtype"] for dump in dumps] == ["F64", "F32", "F32", "F64", "F64", "F64"]


class TestOneAttention:
    """One floor, where a second would be the same."""

    @staticmethod
    def check(made: dict[str, Any]) -> None:
        assert kept(made) == [False] * 4
        assert "there is one floor" in made["told"]
        assert "4 passes" in made["told"]

    def test_of_a_model_that_has_eager_alone(
        self, candidate: Path, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("transformers.LlamaPreTrainedModel._supports_sdpa", False)
        self.check(make(candidate))
        again = make(candidate)
        assert kept(again) == [True] * 4
        assert "0 of 4 dumps" in again["told"]

    @pytest.mark.parametrize("name", [name for name in ("mamba",) if name in ARCHITECTURES])
    def test_of_a_model_without_attention(
        self, tmp_path: Path, model_folder: Path, prompts: Path, make: Make, name: str
    ) -> None:
        folder = save_model(build(name), tmp_path / name, model_folder)
        candidate = make_candidate(tmp_path / "npu.arrow", folder, prompts)
        self.check(make(candidate, model=folder))


def test_a_model_that_cannot_switch_is_loaded_by_each_attention(
    candidate: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As models of older versions of transformers, whose attention is a class."""
    monkeypatch.delattr("transformers.PreTrainedModel.set_attn_implementation", raising=False)
    floors = [opened(floor) for floor in make(candidate)["floors"]]
    assert [floor.run["engine"]["attention"] for floor in floors] == ["sdpa", "eager"]
    assert "layers.0.attn" in differing(*floors)


def test_the_disk_is_looked_at_before(
    candidate: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    assert refused(candidate) == "disk-full"
    assert list((tmp_path / "ref").iterdir()) == []


def test_a_hostile_id_makes_no_path(tmp_path: Path, candidate: Path, make: Make) -> None:
    npu = load(candidate)
    with DumpWriter(tmp_path / "hostile.arrow", run={**npu.run, "id": "../../../etc/passwd"}) as writer:
        for key in npu:
            writer.write(key[0], npu[key], sample=key[1], step=key[2])
    forced = Path(make(tmp_path / "hostile.arrow")["forced"]["path"])
    assert forced.parent == tmp_path / "ref"
    assert re.fullmatch(r"forced\.[0-9a-f]{12}\.arrow", forced.name)


def test_the_command_is_the_library(tmp_path: Path, model_folder: Path, candidate: Path) -> None:
    from npu_dump.inputs import Request
    from npu_dump.progress import Progress

    request = Request(model=str(model_folder), output=tmp_path / "ref")
    made = reference.make_reference_set(request, candidate, Progress(notes=False))
    assert made.forced is not None
    assert made.forced.run["capture"]["set"] == {"role": "forced", "number": 0}
