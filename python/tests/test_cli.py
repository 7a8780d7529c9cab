"""The program as it is used: exit codes, streams, and what its dumps hold."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from npu_dump import load

from .command import program, run


def test_help_and_version_need_no_torch() -> None:
    """A meta path that forbids torch, transformers and pyarrow stands for an environment without them."""
    forbid = (
        "import sys\n"
        "class Forbid:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'transformers', 'pyarrow', 'numpy'): raise ImportError(name)\n"
        "sys.meta_path.insert(0, Forbid())\n"
        "from npu_dump.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    for arguments, text in (
        (["--version"], "npu-dump 0."),
        (["--help"], "exit codes"),
        (["run", "--help"], "--model"),
    ):
        done = subprocess.run([sys.executable, "-c", forbid, *arguments], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert text in done.stdout
    done = subprocess.run(
        [sys.executable, "-c", forbid, "run", "--model", "x", "-o", "a.arrow", "--prompts", "p"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "pip install npu-dump[transformers]" in done.stderr


def test_stdout_is_the_path_alone(tmp_path: Path, model_folder: Path, prompts: Path) -> None:
    done = program("run", "--model", model_folder, "-o", tmp_path / "a.arrow", "--prompts", prompts)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'a.arrow'}\n")
    assert "3 samples" in done.stderr
    assert "MiB free" in done.stderr or "GiB free" in done.stderr
    assert "embeddings are tied" in done.stderr
    assert "\r" not in done.stderr  # no bar where stderr is no terminal
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".txt"] == ["a.arrow"]


def test_json(tmp_path: Path, model_folder: Path, prompts: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("--model", model_folder, "-o", tmp_path / "a.arrow", "--prompts", prompts, "--json") == 0
    told = json.loads(capfd.readouterr().out)
    dump = load(tmp_path / "a.arrow")
    assert told == {
        "path": str(tmp_path / "a.arrow"),
        "id": dump.run["id"],
        "samples": 3,
        "tokens": sum(len(dump["input_ids", sample, 0]) for sample in range(3)),
        "bytes": (tmp_path / "a.arrow").stat().st_size,
    }


def test_a_dump_holds_what_the_model_computes(dump: Path, model_folder: Path, prompts: Path) -> None:
    opened = load(dump)
    model = AutoModelForCausalLM.from_pretrained(model_folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    texts = [line for line in prompts.read_text(encoding="utf-8").split("\n") if line]
    assert opened.samples() == [0, 1, 2]
    for sample, text in enumerate(texts):
        ids = tokenizer(text)["input_ids"]
        assert opened.text("prompt", sample) == text
        assert opened["input_ids", sample, 0].tolist() == ids
        assert json.loads(opened.text("token_text", sample) or "") == [tokenizer.decode([token]) for token in ids]
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0]
        assert torch.equal(torch.as_tensor(opened["logits", sample, 0]), logits)


def test_provenance(dump: Path, model_folder: Path) -> None:
    opened = load(dump)
    facts, sha = opened.run, hashlib.sha256
    assert facts["model"]["id"] == model_folder.name
    assert facts["model"]["config_sha256"] == sha((model_folder / "config.json").read_bytes()).hexdigest()
    assert facts["model"]["weights_sha256"] == sha((model_folder / "model.safetensors").read_bytes()).hexdigest()
    assert facts["model"]["tie_word_embeddings"] is True
    assert facts["model"]["residual"] == "sequential"
    assert (facts["model"]["heads"], facts["model"]["kv_heads"], facts["model"]["head_dim"]) == (4, 2, 8)
    assert facts["model"]["rope_theta"] == 10000.0
    assert facts["model"]["rms_norm_eps"] == 1e-6
    assert facts["engine"]["name"] == "transformers"
    assert facts["engine"]["attention"] == "sdpa"
    assert facts["seed"] == 0
    assert opened.end["peak_memory_bytes"] > 1 << 20


def test_nothing_of_the_environment_is_stored_unasked(
    tmp_path: Path, model_folder: Path, prompts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import platform

    monkeypatch.setattr(platform, "node", lambda: "host-of-the-test")
    monkeypatch.setenv("USER", "user-of-the-test")
    arguments = ("--model", model_folder, "--prompts", prompts)
    assert run(*arguments, "-o", tmp_path / "a.arrow") == 0
    text = json.dumps(load(tmp_path / "a.arrow").run)
    for secret in ("host-of-the-test", "user-of-the-test", str(tmp_path), str(model_folder.parent), str(Path.home())):
        assert secret not in text
    assert run(*arguments, "-o", tmp_path / "b.arrow", "--host-info") == 0
    assert load(tmp_path / "b.arrow").run["host"]["name"] == "host-of-the-test"


def test_sharded_weights_are_hashed_by_their_digests(tmp_path: Path, model_folder: Path, prompts: Path) -> None:
    folder = tmp_path / "sharded"
    shutil.copytree(model_folder, folder)
    (folder / "model.safetensors").unlink()
    AutoModelForCausalLM.from_pretrained(model_folder).save_pretrained(folder, max_shard_size="20KB")
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 1
    assert run("--model", folder, "-o", tmp_path / "a.arrow", "--prompts", prompts) == 0
    digests = [hashlib.sha256(shard.read_bytes()).hexdigest() for shard in shards]
    expected = hashlib.sha256("\n".join(digests).encode()).hexdigest()
    assert load(tmp_path / "a.arrow").run["model"]["weights_sha256"] == expected


@pytest.mark.parametrize(("name", "stored"), [("bfloat16", "BF16"), ("float16", "F16"), ("float32", "F32")])
def test_dtype(tmp_path: Path, model_folder: Path, prompts: Path, name: str, stored: str) -> None:
    arguments = ("--model", model_folder, "-o", tmp_path / "a.arrow", "--prompts", prompts, "--dtype", name)
    assert run(*arguments, "--attn", "eager", "--limit", 1) == 0
    dump = load(tmp_path / "a.arrow")
    assert dump.run["dtype"] == stored
    assert dump.run["engine"]["attention"] == "eager"
    assert dump.samples() == [0]
    assert torch.as_tensor(dump["layers.2", 0, 0]).dtype == getattr(torch, name)


@pytest.mark.parametrize("side", ["left", "right"])
def test_batches_equal_single_prompts(
    dump: Path, model_folder: Path, prompts: Path, side: str, tmp_path: Path
) -> None:
    arguments = ("--model", model_folder, "-o", tmp_path / "b.arrow", "--prompts", prompts, "--batch", 2)
    assert run(*arguments, "--padding-side", side) == 0
    single, batch = load(dump), load(tmp_path / "b.arrow")
    assert set(single) == set(batch)
    assert batch.run["batch"] == {"size": 2, "padding_side": side}
    for key in single:
        assert single[key].shape == batch[key].shape
        if single[key].dtype.kind == "f":
            np.testing.assert_allclose(batch[key], single[key], rtol=2e-4, atol=2e-5)
        else:
            assert np.array_equal(single[key], batch[key])


def test_tokens_from_feeds_the_same_ids_without_a_tokenizer(dump: Path, model_folder: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(model_folder / name, bare)
    arguments = ("--model", bare, "--tokens-from", dump, "-o", tmp_path / "b.arrow", "--dtype", "bfloat16")
    assert run(*arguments, "--generate", 2) == 0
    first, second = load(dump), load(tmp_path / "b.arrow")
    texts = {"prompt", "token_text", "input_ids"}
    assert {key for key in first if key[0] in texts} == {key for key in second if key[0] in texts}
    for key in first:
        if key[0] in texts:
            assert np.array_equal(first[key], second[key])
    assert second["generated_ids", 0, 0].shape == (2,)
    assert ("generated_text", 0, 0) not in second


def test_tokens_from_feeds_stored_positions(tmp_path: Path, model_folder: Path) -> None:
    from npu_dump import Dump

    model = AutoModelForCausalLM.from_pretrained(model_folder).eval()
    ids, positions = torch.tensor([[9, 8, 7, 6]]), torch.tensor([[3, 4, 9, 10]])
    with torch.no_grad(), Dump(model, tmp_path / "a.arrow", run={"expect": {"0": ["Paris"]}}):
        logits = model(ids, position_ids=positions).logits
    assert run("--model", model_folder, "--tokens-from", tmp_path / "a.arrow", "-o", tmp_path / "b.arrow") == 0
    again = load(tmp_path / "b.arrow")
    assert again["position_ids", 0, 0].tolist() == positions[0].tolist()
    assert torch.equal(torch.as_tensor(again["logits", 0, 0]), logits[0])
    assert again.run["expect"] == {"0": ["Paris"]}


def test_text_is_cut_into_chunks(tmp_path: Path, model_folder: Path) -> None:
    text = tmp_path / "t.txt"
    text.write_text(
        "Title\n\n" + "the capital of France is Paris and the sea is wide. " * 12 + "\n", encoding="utf-8"
    )
    options = ("--chunk", 16, "--min-chars", 20, "--limit", 3)
    assert run("--model", model_folder, "-o", tmp_path / "a.arrow", "--text", text, *options) == 0
    dump = load(tmp_path / "a.arrow")
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    whole = tokenizer(text.read_text().split("\n\n")[1].strip())["input_ids"]
    assert dump.samples() == [0, 1, 2]
    for sample in range(3):
        assert dump["input_ids", sample, 0].tolist() == whole[16 * sample : 16 * sample + 16]


def test_chat_and_messages_go_through_the_template(tmp_path: Path, model_folder: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(
        '{"prompt": "hi", "expect": ["sea"]}\n{"messages": [{"role": "system", "content": "be"}]}\n', encoding="utf-8"
    )
    assert run("--model", model_folder, "-o", tmp_path / "a.arrow", "--prompts", path, "--chat") == 0
    dump = load(tmp_path / "a.arrow")
    assert [dump.text("prompt", sample) for sample in (0, 1)] == ["[user]hi[assistant]", "[system]be[assistant]"]
    assert dump.run["expect"] == {"0": ["sea"]}
    assert run("--model", model_folder, "-o", tmp_path / "b.arrow", "--prompts", path) == 0
    assert load(tmp_path / "b.arrow").text("prompt", 0) == "hi"


def test_select(tmp_path: Path, model_folder: Path, prompts: Path) -> None:
    arguments = ("--model", model_folder, "-o", tmp_path / "a.arrow", "--prompts", prompts, "--limit", 1)
    assert run(*arguments, "--select", "layers.*.attn", "--select", "norm") == 0
    dump = load(tmp_path / "a.arrow")
    assert {name for name, _, _ in dump} == {
        "prompt", "token_text", "input_ids", "norm", "layers.0.attn", "layers.1.attn", "layers.2.attn",
    }  # fmt: skip


@pytest.mark.parametrize("batch", [1, 2])
def test_generation_is_greedy_and_undisturbed(
    dump: Path, tmp_path: Path, model_folder: Path, prompts: Path, batch: int
) -> None:
    arguments = ("--model", model_folder, "-o", tmp_path / "g.arrow", "--prompts", prompts)
    assert run(*arguments, "--generate", 6, "--batch", batch) == 0
    opened, bare = load(tmp_path / "g.arrow"), load(dump)
    model = AutoModelForCausalLM.from_pretrained(model_folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    for sample in opened.samples():
        ids = torch.as_tensor(opened["input_ids", sample, 0].copy())[None]
        expected = model.generate(
            ids, attention_mask=torch.ones_like(ids),
            generation_config=GenerationConfig(max_new_tokens=6, do_sample=False, eos_token_id=1, pad_token_id=1),
        )[0, ids.shape[1] :].tolist()  # fmt: skip
        assert opened["generated_ids", sample, 0].tolist() == expected
        assert opened.text("generated_text", sample) == tokenizer.decode(expected, skip_special_tokens=True)
    assert {key for key in opened if not key[0].startswith("generated")} == set(bare)
    assert "sampling" not in opened.run
    if batch == 1:
        assert all(np.array_equal(opened[key], bare[key]) for key in bare)


@pytest.mark.parametrize("sampled", [False, True])
def test_the_likeliest_tokens_of_each_step_are_stored(
    tmp_path: Path, model_folder: Path, prompts: Path, sampled: bool
) -> None:
    """Against one forward over prompt and continuation; sampling does not bend them."""
    drawn = ("--temperature", 3.0, "--top-p", 0.5) if sampled else ()
    arguments = ("--model", model_folder, "-o", tmp_path / "g.arrow", "--prompts", prompts, *drawn)
    assert run(*arguments, "--generate", 6, "--top-k", 7, "--batch", 2, "--dtype", "float32") == 0
    opened = load(tmp_path / "g.arrow")
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    for sample in opened.samples():
        prompt, following = opened["input_ids", sample, 0], opened["generated_ids", sample, 0]
        ids, logprobs = opened["generated_topk_ids", sample, 0], opened["generated_topk_logprobs", sample, 0]
        assert ids.shape == logprobs.shape == (len(following), 7)
        assert (ids.dtype, logprobs.dtype) == (np.int32, np.float32)
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *following]])).logits[0, len(prompt) - 1 : -1]
        expected = torch.log_softmax(logits.double(), -1)
        best, places = expected.topk(7)
        np.testing.assert_allclose(logprobs, best, rtol=1e-4, atol=1e-4)
        apart = (best[:, :-1] - best[:, 1:]).min(-1).values > 1e-3
        assert apart.any()
        assert np.array_equal(ids[apart], places[apart])
        assert np.array_equal(ids[:, 0], following) or sampled
        texts = json.loads(opened.text("generated_token_text", sample))
        assert texts == [tokenizer.decode([token]) for token in following]


def test_the_models_own_generation_settings_do_not_bend_greedy_decoding(
    tmp_path: Path, model_folder: Path, prompts: Path
) -> None:
    folder = tmp_path / "bent"
    shutil.copytree(model_folder, folder)
    GenerationConfig(
        eos_token_id=1, do_sample=True, temperature=9.0, top_k=3, repetition_penalty=5.0, no_repeat_ngram_size=1
    ).save_pretrained(folder)
    for name, model in (("a", model_folder), ("b", folder)):
        arguments = ("--model", model, "-o", tmp_path / f"{name}.arrow", "--prompts", prompts, "--generate", 8)
        assert run(*arguments) == 0
    first, second = load(tmp_path / "a.arrow"), load(tmp_path / "b.arrow")
    for sample in range(3):
        assert np.array_equal(first["generated_ids", sample, 0], second["generated_ids", sample, 0])


def test_sampling_follows_the_seed_and_is_told(tmp_path: Path, model_folder: Path, prompts: Path) -> None:
    options = ("--generate", 8, "--temperature", 1.5, "--top-p", 0.9)
    drawn = []
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        path = tmp_path / f"{name}.arrow"
        assert run("--model", model_folder, "-o", path, "--prompts", prompts, *options, "--seed", seed) == 0
        dump = load(path)
        assert dump.run["sampling"] == {"temperature": 1.5, "top_p": 0.9, "seed": seed}
        drawn.append([dump["generated_ids", sample, 0].tolist() for sample in range(3)])
    assert drawn[0] == drawn[1] != drawn[2]
