"""The plugin of pytest, in a pytest of its own: real models, the real analyzer."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import torch

from npu_dump import Dump, load
from npu_dump.cli import main

from .command import run
from .conftest import build

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
README = (ROOT / "python" / "README.md").read_text(encoding="utf-8")
MODELS = f"""
import sys
sys.path.insert(0, {str(ROOT / "python")!r})
import pytest
import torch
from tests.conftest import build, disturbed

@pytest.fixture
def model():
    return build(dtype=torch.bfloat16)
"""


def reference(folder: Path, dtype: torch.dtype = torch.float32, name: str = "cpu.arrow", steps: int = 2) -> Path:
    """Four prompts of 12 tokens in one forward, and the decode steps after them."""
    torch.manual_seed(11)
    ids = torch.randint(5, 300, (4, 12 + steps))
    model = build(dtype=dtype)
    with torch.no_grad(), Dump(model, folder / name):
        cache = model(ids[:, :12], use_cache=True).past_key_values
        for step in range(steps):
            cache = model(ids[:, 12 + step : 13 + step], past_key_values=cache, use_cache=True).past_key_values
    return folder / name


@pytest.fixture(scope="module", autouse=True)
def _imported(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What a test imports first, pytester forgets after it; transformers looks for the modules of its classes."""
    reference(tmp_path_factory.mktemp("imported"))


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder with a reference and a floor, and a pytest with our plugin and no other."""
    for name in ("CI", "BUILD_NUMBER", "TF_BUILD", "TEAMCITY_VERSION", "NPU_DIFF", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeconftest(MODELS)
    reference(pytester.path)
    reference(pytester.path, torch.bfloat16, "floor.arrow")
    return pytester


def outcome(inner: pytest.Pytester, test: str, *options: str, **counts: int) -> str:
    inner.makepyfile(f"import pytest\nimport torch\nfrom tests.conftest import build, disturbed\n{test}")
    result = inner.runpytest("-p", "npu_dump.pytest_plugin", *options)
    result.assert_outcomes(**counts)
    return result.stdout.str()


PASSES = """
def test_port(assert_matches, model):
    result = assert_matches(model, floor="floor.arrow")
    assert result["verdict"] == "pass"
    assert {tensor["name"] for tensor in result["tensors"]} >= {"layers.1.mlp", "logits"}
"""
FAILS = """
def test_port(assert_matches, model):
    with disturbed(model, "model.layers.1.mlp"):
        assert_matches(model, floor="floor.arrow")
"""


def test_an_honest_candidate_passes_on_exactly_the_ids_of_the_reference(inner: pytest.Pytester) -> None:
    outcome(inner, PASSES, "--npu-diff-reports=kept", passed=1)
    folder = next(inner.path.glob("kept/*"))
    candidate = load(next(folder.glob("*/candidate.arrow")))
    fed = load(inner.path / "cpu.arrow")
    for sample in range(4):
        for step in range(3):
            assert candidate["input_ids", sample, step].tolist() == fed["input_ids", sample, step].tolist()
    assert candidate.run["dtype"] == "BF16"
    assert {path.name for path in folder.glob("*/*")} == {
        *("candidate.arrow", "result.json", "report.md", "report.html")
    }


def test_a_fault_fails_with_the_report(inner: pytest.Pytester) -> None:
    shown = outcome(inner, FAILS, failed=1)
    assert re.search(r"^E +AssertionError: FAIL +prefill: layer 1 mlp diverges first", shown, re.MULTILINE)
    assert re.search(r"^E +report: .*report\.html$", shown, re.MULTILINE)
    assert "matching.py" not in shown


def test_junit_has_the_report(inner: pytest.Pytester) -> None:
    outcome(inner, FAILS, "--junit-xml=junit.xml", failed=1)
    case = ET.parse(inner.path / "junit.xml").getroot().find(".//testcase")  # noqa: S314 - made by this test
    assert case is not None
    told = {one.get("name"): one.get("value") for one in case.iter("property")}
    assert told["npu_diff.verdict"] == "fail"
    assert told["npu_diff.reference"] == "cpu.arrow"
    assert "layer 1 mlp diverges first" in str(told["npu_diff.report"])


def test_what_the_data_do_not_decide_fails_unless_it_is_allowed(inner: pytest.Pytester) -> None:
    """Statistics alone never pass: they prove errors, not their absence."""
    test = """
@pytest.mark.parametrize("allowed", [False, True])
def test_port(assert_matches, model, allowed):
    result = assert_matches(model, select=["layers.*"], mode="stats", allow_inconclusive=allowed)
    assert result["verdict"] == "inconclusive"
"""
    assert "INCONCLUSIVE" in outcome(inner, test, failed=1, passed=1)


CANNOT = {
    "no reference": ('assert_matches(model, "gone.arrow")', "reference-absent"),
    "a broken reference": ('assert_matches(model, "broken.arrow")', "dump-"),
    "a broken floor": ('assert_matches(model, floor="broken.arrow")', "dump-"),
    "other ids": ("assert_matches(model, inputs=torch.arange(5, 9)[None])", "tokens-differ"),
    "a limit that is no number": ('assert_matches(model, max_kl=float("nan"))', "usage"),
    "another model": ("assert_matches(torch.nn.Linear(2, 2))", "model-foreign"),
    "inputs that are none": ('assert_matches(model, inputs="ids")', "inputs-invalid"),
    "no analyzer": ('assert_matches(model, npu_diff="none/npu-diff")', "analyzer-absent"),
    "something else by its name": ('assert_matches(model, npu_diff="true")', "analyzer-failed"),
}


def test_what_cannot_be_compared_is_an_error(inner: pytest.Pytester) -> None:
    inner.path.joinpath("broken.arrow").write_bytes(b"ARROW1\0\0")
    cases = [
        f"def test_{number}(assert_matches, model):\n    {call}\n" for number, (call, _) in enumerate(CANNOT.values())
    ]
    shown = outcome(inner, "\n".join(cases), errors=len(cases))
    for number, (_, code) in enumerate(CANNOT.values()):
        part = re.split(rf"_+ ERROR at call of test_{number} _+", shown)[1]
        assert re.search(rf"^E +npu_dump\.analyzer\.ComparisonError: error\[{code}", part, re.MULTILINE), number
        assert re.search(r"^E +help: ", part, re.MULTILINE)


def test_an_expected_failure_is_no_excuse_for_no_comparison(inner: pytest.Pytester) -> None:
    test = """
@pytest.mark.xfail
@pytest.mark.parametrize("reference", ["cpu.arrow", "gone.arrow"])
def test_port(assert_matches, model, reference):
    with disturbed(model, "model.layers.1.mlp"):
        assert_matches(model, reference, floor="floor.arrow")
"""
    outcome(inner, test, xfailed=1, errors=1)


def test_the_analyzer_is_what_was_named(inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument, then the configuration, then the environment; each is the last word."""
    main = ROOT / "dist" / "cli" / "main.js"
    monkeypatch.setenv("NPU_DIFF", "nowhere-1")
    assert "nowhere-1" in outcome(inner, PASSES, errors=1)
    assert "nowhere-2" in outcome(inner, PASSES, "-o", "npu_diff=nowhere-2", errors=1)
    monkeypatch.setenv("NPU_DIFF", str(main))
    outcome(inner, PASSES, passed=1)


def test_the_environment_changes_no_verdict(inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPU_DIFF_EXIT_ZERO", "1")
    monkeypatch.setenv("NPU_DIFF_FORMAT", "json")
    assert "FAIL" in outcome(inner, FAILS, failed=1)


def test_a_reference_set_brings_its_floors(inner: pytest.Pytester, model_folder: Path, prompts: Path) -> None:
    candidate = inner.path / "candidate.arrow"
    assert run("--model", model_folder, "-o", candidate, "--prompts", prompts, "--dtype", "bfloat16") == 0
    assert main(["reference", str(candidate), "--model", str(model_folder), "-o", str(inner.path / "ref")]) == 0
    test = f"""
from npu_dump import models

def test_port(assert_matches):
    source = models.locate({str(model_folder)!r}, trust_remote_code=False, allow_download=False)
    precision = {{"device": torch.device("cpu"), "dtype": torch.bfloat16, "attention": None}}
    model = models.load_model(source, **precision, note=print)
    result = assert_matches(model, "ref", max_floor_ratio=3)
    assert len(result["inputs"]["floors"]) == 2
"""
    outcome(inner, test, passed=1)
    assert "error[reference-set]" in outcome(inner, test, "--npu-diff-update", errors=1)


MODULE = """
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = torch.nn.Linear(16, 32), torch.nn.Linear(32, 8)

    def forward(self, x, scale=1.0):
        return self.second(torch.relu(self.first(x))) * scale

def rows(seed):
    return torch.randn(40, 16, generator=torch.Generator().manual_seed(seed))
"""


def test_any_module_is_fed_with_what_the_reference_was(inner: pytest.Pytester) -> None:
    test = f"""{MODULE}
from npu_dump import Dump

def test_module(assert_matches, tmp_path):
    reference = tmp_path / "net.arrow"
    with torch.no_grad(), Dump(Net(), reference) as dump:
        dump.model(rows(1))
        dump.model(rows(2))
    assert_matches(Net(), reference, preset="exact")
    calls = [{{"x": rows(1)}}, (rows(2),)]
    assert_matches(Net(), reference, inputs=calls, preset="exact")
    net = Net()
    with torch.no_grad():
        net.second.weight[3] *= -1
    with pytest.raises(AssertionError, match="second diverges first"):
        assert_matches(net, reference, preset="exact")
"""
    outcome(inner, test, passed=1)


def test_a_reference_is_made_anew_by_the_engine_that_made_it_and_no_other(inner: pytest.Pytester) -> None:
    """Whatever the candidate computes would be right otherwise."""
    path = inner.path / "cpu.arrow"
    before = path.read_bytes()
    assert "error[reference-unlike]" in outcome(inner, PASSES, "--npu-diff-update", errors=1)
    assert path.read_bytes() == before
    trusted = """
def test_reference(assert_matches):
    model = build()
    with torch.no_grad():
        model.model.norm.weight *= 2
    assert_matches(model, preset="exact")
"""
    outcome(inner, trusted, failed=1)
    assert re.search(r"^/.*cpu\.arrow$", outcome(inner, trusted, "--npu-diff-update", passed=1), re.MULTILINE)
    assert load(path)["input_ids", 3, 2].tolist() == load(inner.path / "floor.arrow")["input_ids", 3, 2].tolist()
    outcome(inner, trusted, passed=1)


def test_a_first_reference_needs_inputs(inner: pytest.Pytester) -> None:
    call = 'def test_first(assert_matches, model):\n    assert_matches(model, "new.arrow"{}, preset="exact")\n'
    assert "error[inputs-missing]" in outcome(inner, call.format(""), "--npu-diff-update", errors=1)
    given = call.format(", inputs=torch.arange(5, 50)[None]")
    assert "error[reference-absent]" in outcome(inner, given, errors=1)
    outcome(inner, given, "--npu-diff-update", passed=1)
    outcome(inner, call.format(""), passed=1)


def test_no_reference_is_made_in_a_ci(inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    inner.makepyfile(PASSES)
    result = inner.runpytest("-p", "npu_dump.pytest_plugin", "--npu-diff-update")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*error[[]update-in-ci[]]*", "*help:*"])


def test_nothing_random_is_used_up(inner: pytest.Pytester) -> None:
    test = """
def test_port(assert_matches, model):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    assert_matches(model, floor="floor.arrow", batch=3)
    assert torch.equal(torch.rand(3), expected)
"""
    outcome(inner, test, passed=1)


def test_it_costs_nothing_until_it_is_used() -> None:
    loaded = "import npu_dump.pytest_plugin, sys; print({'torch', 'numpy', 'pyarrow'} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert told.stdout == "set()\n"


def test_the_package_brings_the_plugin() -> None:
    project = (ROOT / "python" / "pyproject.toml").read_text(encoding="utf-8")
    assert '[project.entry-points.pytest11]\nnpu-diff = "npu_dump.pytest_plugin"\n' in project


def test_the_readmes_test_runs(inner: pytest.Pytester) -> None:
    block = next(
        block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "assert_matches" in block
    )
    outcome(inner, block, passed=1)
