"""Small models with random weights, and a folder that transformers loads like any other."""

from __future__ import annotations

import gc
import os

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from npu_dump import DumpFile

from .architectures import ARCHITECTURES, VOCABULARY, Architecture, build
from .command import run
from .standin import process

# Real engines are in environments of their own, where this names the model that they run.
collect_ignore = [] if "NPU_DUMP_TEST_MODEL" in os.environ else ["engines"]

__all__ = ["ARCHITECTURES", "VOCABULARY", "Architecture", "build"]


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(process, "standin")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of what this version of transformers is too old for; the matrix of versions names them."""
    version = int(transformers.__version__.partition(".")[0])
    omitted = [item for item in items if getattr(getattr(item, "module", None), "LEAST_TRANSFORMERS", 0) > version]
    if omitted:
        items[:] = [item for item in items if item not in omitted]
        config.hook.pytest_deselected(items=omitted)


@pytest.fixture(scope="session", autouse=True)
def _code_of_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Code that models bring is copied before it runs: not into the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        folder = str(tmp_path_factory.mktemp("modules"))
        patch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", folder)
        yield


@pytest.fixture(params=ARCHITECTURES)
def architecture(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Architecture:
    """Each architecture that this version of transformers has; the matrix of versions counts by it."""
    record_property("architecture", request.param)
    return ARCHITECTURES[request.param]


def differing(x: DumpFile, y: DumpFile) -> set[str]:
    """The names of tensors whose bits differ; both must hold the same."""
    assert set(x) == set(y)
    return {key[0] for key in x if not torch.equal(torch.as_tensor(x[key]), torch.as_tensor(y[key]))}


def module_of(path: Path, name: str) -> str:
    """The module path that a dump tells of a tensor."""
    return next(row["module"] for row in pa.ipc.open_file(str(path)).read_all().to_pylist() if row["name"] == name)


@contextmanager
def disturbed(model: torch.nn.Module, path: str, factor: float = 1.5) -> Iterator[None]:
    """Let a module return its first output times a factor."""

    def scale(_module: torch.nn.Module, _args: object, output: Any) -> Any:
        return (output[0] * factor, *output[1:]) if isinstance(output, tuple) else output * factor

    handle = model.get_submodule(path).register_forward_hook(scale)
    try:
        yield
    finally:
        handle.remove()


@pytest.fixture
def llama() -> Any:
    return build()


@pytest.fixture
def ids() -> Callable[..., torch.Tensor]:
    """Random token ids ``[B, T]``."""

    def make(batch: int = 2, length: int = 9, seed: int = 0) -> torch.Tensor:
        return torch.randint(5, VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(seed))

    return make


def save_tokenizer(folder: Path) -> None:
    """A byte-level tokenizer with a chat template, as ``save_pretrained`` writes it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(["the capital of France is Paris, and the sea is wide"] * 4, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    fast.chat_template = (
        "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    fast.save_pretrained(folder)


def save_model(model: Any, folder: Path, tokenizer: Path) -> Path:
    """A model as ``save_pretrained`` writes it, with the tokenizer of another folder."""
    model.save_pretrained(folder)
    for file in tokenizer.glob("*token*"):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with its tokenizer, as ``save_pretrained`` writes them."""
    folder = tmp_path_factory.mktemp("model")
    save_tokenizer(folder)
    model = build(tie_word_embeddings=True, eos_token_id=1, bos_token_id=0)
    model.generation_config.eos_token_id = 1
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.txt"
    path.write_text("The capital of France is\n\nthe sea\nParis, größer als 巴黎\n", encoding="utf-8")
    return path


@pytest.fixture
def chips() -> Iterator[list[Any]]:
    """The chips of the stand-in NPU, without faults and with nothing counted, for tests of ``test_npu*.py``."""
    from torch_npu import CHIPS  # the stand-in is there in those tests' process only

    present = list(CHIPS)
    gc.collect()
    for chip in present:
        chip.reset()
    yield CHIPS
    CHIPS[:] = present
    for chip in present:
        chip.reset()


@pytest.fixture
def dump(tmp_path: Path, model_folder: Path, prompts: Path) -> Path:
    """What a plain run makes of the prompts."""
    assert run("--model", model_folder, "-o", tmp_path / "a.arrow", "--prompts", prompts) == 0
    return tmp_path / "a.arrow"
