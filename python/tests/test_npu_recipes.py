"""The recipes as they stand, on a tiny random model of each architecture: the CPU's part, and what torch_npu does.

Only amounts are cut: of new tokens and of requests. Passages are short. What runs in vLLM or a server is tested in
``engines``.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from npu_dump import load
from npu_dump.cli import main

from .architectures import ARCHITECTURES
from .conftest import save_tokenizer
from .recipes import CPU, NPU, PASSAGES, TORCH_NPU, blocks_of, cut, tables, text_of, write_files

LEAST_TRANSFORMERS = 5  # of Qwen3.5 and gpt-oss
ROOT = Path(__file__).parents[2]
ARCHITECTURE_OF = {
    "Minitron-8B-Base": "nemotron",
    "BitCPM4-CANN-1B": "minicpm",
    "Meta-Llama-3-8B": "llama",
    "Qwen3.5-0.8B-Base": "qwen3.5",
    "Qwen3.5-0.8B-Base, conditional": "qwen3.5-conditional",
    "gpt-oss-20b": "gpt-oss",
}
LAYERS = 3
FIGURES = [
    "Perplexity (PPL) ↓",
    "Token cosine of the logits, mean",
    "Token cosine of the logits, min",
    "MSE of the logits",
    "Largest absolute error of the logits",
    "KL(reference ‖ candidate), mean",
    "Top-1 agreement",
    "First-token agreement",
]
COUNTS = {"greedy": 63, "sampled": 238, "either": 281, "items": 1319}


@dataclass
class Ran:
    """A recipe that has run.

    Attributes:
        name: the recipe's.
        folder: where its files are.
        told: what each `npu-diff` command printed, by its arguments.
    """

    name: str
    folder: Path
    told: dict[str, str] = field(default_factory=dict)

    def tables(self, file: str) -> list[list[list[str]]]:
        return tables((self.folder / file).read_text(encoding="utf-8"))


def write_task_results(folder: Path) -> None:
    """What the harness would have written of the page's counts; the CPU has two more right, greedily and drawn."""
    both = COUNTS["greedy"] + COUNTS["sampled"] - COUNTS["either"]
    greedy = range(COUNTS["greedy"])
    sampled = range(COUNTS["greedy"] - both, COUNTS["either"])
    runs = {"npu-greedy": set(greedy), "npu-sampled": set(sampled)}
    runs |= {f"cpu{name[3:]}": {*right, 500, 501} for name, right in runs.items()}
    for name, right in runs.items():
        file = folder / name / "model" / "samples_few_shot_math_2026-01-01T00-00-00.000001.jsonl"
        file.parent.mkdir(parents=True)
        common = {"filter": "strict-match", "metrics": ["exact_match"]}
        lines = [{"doc_id": item, **common, "exact_match": float(item in right)} for item in range(COUNTS["items"])]
        file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def carry_out(name: str, folder: Path) -> Ran:
    """Run the blocks of a recipe in order, in ``folder``, where its model lies."""
    ran = Ran(name, folder)
    for block in blocks_of(name):
        if block.marker in (CPU, NPU, TORCH_NPU):
            for program, *arguments in block.commands:
                if program == "npu-diff":
                    command, _, to = " ".join(arguments).partition(" > ")
                    ran.told[command] = npu_diff(folder, *command.split())
                    if to:
                        (folder / to).write_text(ran.told[command], encoding="utf-8")
                elif arguments != ["doctor"]:  # has tests of its own, also beside the stand-in
                    assert program == "npu-dump"
                    assert main(cut(arguments)) == 0
    return ran


def npu_diff(folder: Path, *arguments: str) -> str:
    """What it prints; a right engine passes, or the few tokens of these texts leave it open."""
    program = ["node", str(ROOT / "dist" / "cli" / "main.js"), *arguments]
    done = subprocess.run(program, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 3), f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module", params=ARCHITECTURE_OF)
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    name, _, _ = request.param.partition(",")
    folder = tmp_path_factory.mktemp("recipe")
    model = folder / name
    save_tokenizer(model)
    # Its prompts take more than the 64 positions of the others.
    changes = {"max_position_embeddings": 256} if name == "gpt-oss-20b" else {}
    # All five are published in bfloat16.
    ARCHITECTURES[ARCHITECTURE_OF[request.param]].model(torch.bfloat16, **changes).save_pretrained(model)
    write_files(name, folder)
    write_task_results(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return carry_out(name, folder)


def test_the_precision_table_has_every_row(ran: Ran) -> None:
    for file in ("PRECISION.md", "VERDICT.md"):
        figures, *_ = ran.tables(file)
        head, *rows = figures
        assert (head[0], head[3]) == ("Item", "Difference")
        assert re.fullmatch(r"CPU.*, (F32|F64|BF16) \(reference\)", head[1])
        assert re.fullmatch(r"NPU \(Ascend910B2\), (F32|BF16)", head[2])
        assert [row[0] for row in rows] == FIGURES
        perplexity = rows[0]
        assert all(re.fullmatch(r"\d+\.\d{4}", cell) for cell in perplexity[1:3])
        assert re.fullmatch(r"Δ = [+-]?\d+\.\d{4} \([+-]?[\d.e-]+ %\)", perplexity[3])
        assert all(re.match(r"[\d.]", row[3]) for row in rows[1:])
        limit = next(row for table in ran.tables(file) for row in table if row[0] == "limit/ppl-increase")
        by = "point value" if file == "PRECISION.md" else "95 % interval"
        assert limit[1] == f"+0.50 % ({by})"


def test_the_perplexities_are_those_of_the_dumps(ran: Ran) -> None:
    def perplexity(file: str) -> str:
        dump = load(ran.folder / file)
        losses = []
        for sample in dump.samples():
            ids, logits = (torch.as_tensor(dump[name, sample, 0]) for name in ("input_ids", "logits"))
            for row, after in zip(logits.double().tolist(), ids[1:].tolist(), strict=False):
                losses.append(math.log(math.fsum(map(math.exp, row))) - row[after])
        return f"{math.exp(math.fsum(losses) / len(losses)):.4f}"

    row = ran.tables("PRECISION.md")[0][1]
    assert row[1:3] == [perplexity("cpu.arrow"), perplexity("npu.arrow")]
    assert len(load(ran.folder / "cpu.arrow").samples()) == sum(map(len, PASSAGES.values()))


def test_every_layer_has_a_row(ran: Ran) -> None:
    layers = next(table for table in ran.tables("VERDICT.md") if table[0][0] == "Layer")
    head, *rows = layers
    figures = ["Token cosine, mean", "Token cosine, min", "MSE", "Largest absolute error", "Relative L2 error"]
    assert [head[1:6], head[7]] == [figures, "Verdict"]
    assert head[6].endswith(" noise floor")
    assert [row[0] for row in rows] == ["embed", *map(str, range(LAYERS)), "norm"]
    assert all(re.match(r"[\d.]", cell) for row in rows for cell in row[1:7])


def test_every_prompt_has_a_row_with_both_texts(ran: Ran) -> None:
    lines = (ran.folder / "prompts.jsonl").read_text(encoding="utf-8").splitlines()
    prompts = [json.loads(line) for line in lines]
    texts = next(table for table in ran.tables("TEXTS.md") if "Prompt" in table[0])
    head, *rows = texts
    expects = any("expect" in prompt for prompt in prompts)
    assert [head[i] for i in (0, 1, 4, 5)] == ["#", "Prompt", "First token agrees", "First difference"]
    assert head[6:] == (["Keywords (reference / candidate)"] if expects else [])
    assert len(rows) == len(prompts)
    cpu, npu = (load(ran.folder / f"{side}-text.arrow") for side in ("cpu", "npu"))
    for row, prompt in zip(rows, prompts, strict=True):
        sample = int(row[0])
        assert row[1].strip('"')[:20] == prompt["prompt"][:20]
        assert row[2:4] != ["", ""]
        first = [int(dump["generated_ids", sample, 0][0]) for dump in (cpu, npu)]
        assert row[4].startswith("yes" if first[0] == first[1] else "no")
        assert all(keyword in row[6] for keyword in prompt.get("expect", []))


def test_the_dump_tells_the_model(ran: Ran) -> None:
    told = ran.told["inspect cpu.arrow"]
    for name in ("architecture", "parameters", "layers", "hidden_size", "heads", "kv_heads", "vocab_size"):
        assert f"\n  model.{name} " in told
    assert re.search(rf"model\.layers +{LAYERS}\n", told)


def test_number_formats_are_explained(ran: Ran) -> None:
    told = {arguments: text for arguments, text in ran.told.items() if arguments.startswith("explain")}
    assert told
    bits = {"bf16": ("8 exponent, 7 mantissa", "0.39 %", "3.390e+38"), "f32": ("8 exponent, 23 mantissa",)}
    for arguments, text in told.items():
        assert all(part in text for part in bits[arguments.split()[1].removeprefix("dtype/")])
        layers = int(arguments.split()[-1])
        assert f"layers.{layers - 1}.mlp" in text


def test_qwen_repeats_itself_and_shows_what_it_drew(ran: Ran) -> None:
    if ran.name != "Qwen3.5-0.8B-Base":
        assert not (ran.folder / "SAMPLED.md").exists()
        return
    figures, *_ = ran.tables("TEXTS.md")
    row = next(row for row in figures if row[0] == "Determinism (self-consistency)")
    assert row[1:3] == ["100.0 % (8/8)", "100.0 % (8/8)"]
    sampled = next(table for table in ran.tables("SAMPLED.md") if "Prompt" in table[0])
    assert len(sampled) == 1 + 11
    assert "法国的首都是" in sampled[9][1]


def test_the_published_task_results_come_out(ran: Ran) -> None:
    if ran.name != "Minitron-8B-Base":
        return
    [table] = ran.tables("TASKS.md")
    assert table[1][1:5] == ["1319", "22.00 %", "21.30 %", "-0.70"]
    made = (ran.folder / "TASKS.md").read_text(encoding="utf-8")
    assert "run 1 4.78 % (63 of 1319), run 2 18.04 % (238 of 1319)" in made
    # What the recipe shows is what was made, but for the title.
    assert made.partition("\n\n")[2].strip() in text_of(ran.name)
    [paired] = ran.tables("TASKS-PAIRED.md")
    assert paired[1][6] == "2 / 0"


TIMES = ["TTFT, ms ↓", "Prefill, ms ↓", "TPOT, ms ↓", "E2E latency, ms ↓"]
LATENCY = [*TIMES, "Input tokens", "Output tokens", "Iteration, s ↓"]
THROUGHPUT = ["Output tok/s ↑", "Total tok/s ↑", "Requests/s ↑"]
LOAD = ["Load, s ↓", "Load of weights, s ↓", "Weights ↓", "KV cache tokens ↑", "KV cache ↑", "Max concurrency ↑"]
MEMORY = ["Peak memory ↓", "Peak reserved ↓"]
# Sweeps of each page: the kind, and its points.
SWEPT = {
    "Minitron-8B-Base": {},
    "BitCPM4-CANN-1B": {"batch": 4},
    "Qwen3.5-0.8B-Base": {"batch": 4, "output": 4},
    "gpt-oss-20b": {},
}


def test_performance_has_every_row_of_the_page(ran: Ran) -> None:
    if ran.name == "Meta-Llama-3-8B":
        assert not (ran.folder / "PERFORMANCE.md").exists()
        return
    latency, throughput, *sweeps, loading = ran.tables("PERFORMANCE.md")
    assert [row[0] for row in latency[1:]] == LATENCY
    assert [title.rpartition(" ")[2] for title in latency[0][1:]] == ["avg", "min", "max"]
    assert all(float(cell) > 0 for row in latency[1:] for cell in row[1:])
    assert [row[0] for row in throughput[1:]] == THROUGHPUT
    assert all(float(cell) > 0 for row in throughput[1:] for cell in row[1:])
    assert [row[0] for row in loading[1:]] == [*LOAD, *MEMORY]
    assert all(re.match(r"[\d.]+|not measured: \w+", row[1]) for row in loading[1:])
    assert [row[0] for row in loading[1:] if row[1].startswith("not")] == [LOAD[1], *LOAD[3:]]
    assert [len(sweep) - 1 for sweep in sweeps] == list(SWEPT[ran.name].values())
    for sweep in sweeps:
        assert sweep[0][:3] == ["Batch", "Input tokens", "Output tokens"]
        assert all(float(cell.removesuffix("x")) > 0 for row in sweep[1:] for cell in row)
    # One that grows by batch tells the speed-up over the smallest.
    batches = [sweep for sweep in sweeps if sweep[0][-1].endswith("speed-up")]
    assert len(batches) == ("batch" in SWEPT[ran.name])
    assert all(sweep[1][-1] == "1.0x" for sweep in batches)
    times = load(ran.folder / "npu-bench.arrow")["perf.e2e_ms", -1, 0]
    told = [float(cell) for cell in latency[4][1:]]
    assert told == pytest.approx([times.mean(), times.min(), times.max()], rel=1e-3)


def test_one_card_holds_precision_and_performance(ran: Ran) -> None:
    if ran.name in SWEPT:
        heads = [table[0][0] for table in ran.tables("CARD.md")]
        assert heads[0] == "Item"
        assert heads.count("Metric") == 3


def test_latencies_have_a_table_of_their_own(ran: Ran) -> None:
    if ran.name in ("BitCPM4-CANN-1B", "Qwen3.5-0.8B-Base"):
        assert [row[0] for row in ran.tables("LATENCY.md")[0][1:]] == LATENCY


@pytest.fixture
def chinese(ran: Ran) -> Callable[[str], str]:
    def render(arguments: str) -> str:
        return npu_diff(ran.folder, *arguments.split(), "--lang", "zh")

    return render


def test_in_chinese(ran: Ran, chinese: Callable[[str], str]) -> None:
    if ran.name != "BitCPM4-CANN-1B":
        return
    text = chinese("compare cpu.arrow npu.arrow --max-ppl-increase 0.5% --decide point --format md")
    rows = [row[0] for row in tables(text)[0]]
    assert rows[:2] == ["对比项", "困惑度 Perplexity (PPL) ↓"]
    assert rows[2].startswith("logits 逐 token 余弦相似度")
