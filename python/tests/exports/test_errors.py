"""Whatever is wrong with a model or its inputs is an error of three parts, and no dump."""

from __future__ import annotations

import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from npu_dump import DumpWriter
from npu_dump.cli import main

from ..command import told_error
from .graphs import FLOAT, VOCABULARY, WIDTH, embedding, ids, model_of, saved, value

Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Refused:
    """Runs the command, which must fail and leave nothing, and returns what it says."""

    def run_it(model: Path, *arguments: object, prompt: tuple[int, ...] = (1, 2, 3)) -> str:
        tokens = tmp_path / "tokens.arrow"
        if not arguments:
            with DumpWriter(tokens, run={"dtype": "F32"}, overwrite=True) as writer:
                writer.write("input_ids", np.array(prompt, "<i8"))
            arguments = ("--tokens-from", tokens)
        output = tmp_path / "out" / "out.arrow"
        output.parent.mkdir(exist_ok=True)
        capfd.readouterr()
        assert main(["onnx", str(model), "-o", str(output), *map(str, arguments)]) == 2
        assert not list(output.parent.iterdir())
        return told_error(capfd)

    return run_it


def test_files_that_are_no_models(refused: Refused, tmp_path: Path) -> None:
    whole = embedding().SerializeToString()
    files = {
        "truncated.onnx": (whole[: len(whole) // 2], "model-invalid"),
        "text.onnx": (b"not a model at all\n" * 9, "model-invalid"),
        "empty.onnx": (b"", "model-invalid"),
    }
    for name, (data, code) in files.items():
        (tmp_path / name).write_bytes(data)
        assert refused(tmp_path / name).startswith(f"error[{code}]")
    assert refused(tmp_path / "absent.onnx").startswith("error[model-absent]")
    assert "is a folder" in refused(tmp_path)


def test_graphs_that_cannot_be_run(refused: Refused, tmp_path: Path) -> None:
    cycle = embedding(helper.make_node("Add", ["embedded", "b"], ["a"]), helper.make_node("Neg", ["a"], ["b"]))
    assert "wait for each other" in refused(saved(cycle, tmp_path / "cycle.onnx"))
    twice = embedding(helper.make_node("Neg", ["embedded"], ["embedded"]))
    assert "two nodes make one tensor" in refused(saved(twice, tmp_path / "twice.onnx"))
    foreign = embedding(helper.make_node("Summon", ["embedded"], ["x"], domain="own"), outputs=["x"])
    assert refused(saved(foreign, tmp_path / "foreign.onnx")).startswith("error[model-refused]")
    numbers = model_of([helper.make_node("Neg", ["input_ids"], ["x"])], [ids()], ["x"])
    assert refused(saved(numbers, tmp_path / "integers.onnx")).startswith("error[graph-empty]")


def test_functions_that_would_grow_without_end(refused: Refused, tmp_path: Path) -> None:
    def function(name: str, called: str) -> onnx.FunctionProto:
        calls = [
            helper.make_node(called, ["x"], ["between"], domain="own"),
            helper.make_node(called, ["between"], ["y"], domain="own"),
        ]
        return helper.make_function("own", name, ["x"], ["y"], calls, [helper.make_opsetid("own", 1)])

    call = helper.make_node("F0", ["embedded"], ["x"], domain="own")
    endless, doubling = embedding(call, outputs=["x"]), embedding(call, outputs=["x"])
    endless.functions.append(function("F0", "F0"))
    doubling.functions.extend(function(f"F{number}", f"F{number + 1}") for number in range(40))
    assert "deep" in refused(saved(endless, tmp_path / "endless.onnx"))
    assert "with its functions in place" in refused(saved(doubling, tmp_path / "doubling.onnx"))


def external(tmp_path: Path, location: str, **entries: str) -> Path:
    """A model in a folder of its own, whose table is in another file."""
    model = embedding()
    table = model.graph.initializer[0]
    table.ClearField("raw_data")
    table.data_location = TensorProto.EXTERNAL
    for key, text in {"location": location, **entries}.items():
        table.external_data.add(key=key, value=text)
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    return saved(model, folder / "model.onnx")


def test_weights_that_are_not_where_they_may_be(refused: Refused, tmp_path: Path) -> None:
    size = VOCABULARY * WIDTH * 4
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(size))
    outside = "from outside its folder"
    for location in ("../secret", str(secret), "sub/../../secret", "..\\secret", "C:\\secret", ""):
        assert outside in refused(external(tmp_path, location))
    (tmp_path / "model" / "link").symlink_to(secret)
    assert outside in refused(external(tmp_path, "link"))
    # What onnxruntime itself takes as an address in this process's memory.
    assert refused(external(tmp_path, "*/_ORT_MEM_ADDR_/*", offset="4096")).startswith("error[model-data]")
    for location in ("gone", ".", "nul\x01", "a" * 300):
        assert refused(external(tmp_path, location)).startswith("error[model-data]")
    (tmp_path / "model" / "data").write_bytes(bytes(size))
    for entries in ({"offset": "4"}, {"length": "9" * 30}, {"offset": "-4"}, {"length": "x"}):
        entries = {"length": str(size), **entries}
        assert "beyond the end" in refused(external(tmp_path, "data", **entries))


def test_inputs_that_nobody_knows(refused: Refused, tmp_path: Path) -> None:
    image = value("pixel_values", FLOAT, ("batch", 3, 8))
    model = model_of([helper.make_node("Neg", ["pixel_values"], ["x"])], [ids(), image], ["x"])
    said = refused(saved(model, tmp_path / "image.onnx"))
    assert said.startswith("error[input-unknown]")
    assert "pixel_values tensor(float) ['batch', 3, 8]" in said
    full = value("past_key_values.0.key", FLOAT, (1, 2, 5, 4))
    model = model_of([helper.make_node("Neg", ["past_key_values.0.key"], ["x"])], [ids(), full], ["x"])
    assert "past_key_values.0.key" in refused(saved(model, tmp_path / "cache.onnx"))
    model = model_of([helper.make_node("Neg", ["x"], ["y"])], [value("x", FLOAT, (1, 4))], ["y"])
    assert "input_ids" in refused(saved(model, tmp_path / "vision.onnx"))


def test_prompts_that_do_not_fit(refused: Refused, tmp_path: Path) -> None:
    path = saved(embedding(), tmp_path / "m.onnx")
    assert refused(path, prompt=(1, VOCABULARY)).startswith("error[forward-failed]")
    fixed = model_of(list(embedding().graph.node), [ids((1, 8))], ["embedded"], list(embedding().graph.initializer))
    said = refused(saved(fixed, tmp_path / "fixed.onnx"))
    assert said.startswith("error[input-shape]")
    assert "[1, 3]" in said
    assert "[1, 8]" in said


def test_arrays_that_do_not_fit(refused: Refused, tmp_path: Path) -> None:
    model = model_of(
        [helper.make_node("MatMul", ["x", "y"], ["z"])],
        [value("x", FLOAT, ("n", 4)), value("y", FLOAT, (4, 2))],
        ["z"],
    )
    path, file = saved(model, tmp_path / "m.onnx"), tmp_path / "inputs.npz"
    x, y = np.ones((3, 4), "f4"), np.ones((4, 2), "f4")
    for arrays, code in (
        ({"x": x}, "input-unknown"),
        ({"x": x, "y": y, "other": x}, "inputs-invalid"),
        ({"x": x.astype("f8"), "y": y}, "inputs-invalid"),
        ({"x": np.ones((3, 5), "f4"), "y": y}, "input-shape"),
        ({"x": np.ones(4, "f4"), "y": y}, "input-shape"),
        ({"x": np.array([{}], object), "y": y}, "inputs-invalid"),
    ):
        np.savez(file, **arrays)
        assert refused(path, "--inputs", file).startswith(f"error[{code}]"), code
    whole = file.read_bytes()
    for data in (b"", b"no archive", whole[: len(whole) // 2]):
        file.write_bytes(data)
        assert refused(path, "--inputs", file).startswith("error[inputs-invalid]")
    assert refused(path, "--inputs", tmp_path / "absent.npz").startswith("error[inputs-unreadable]")
    np.save(tmp_path / "plain.npy", x)
    assert refused(path, "--inputs", tmp_path / "plain.npy").startswith("error[inputs-invalid]")
    # A header that promises more than there is memory for.
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 4), }"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    assert refused(path, "--inputs", file).startswith("error[inputs-invalid]")
    several = np.ones((2, 3), "i8")
    np.savez(file, input_ids=several)
    assert "[2, 3]" in refused(saved(embedding(), tmp_path / "ids.onnx"), "--inputs", file)


def test_usage(refused: Refused, tmp_path: Path) -> None:
    path = saved(embedding(), tmp_path / "m.onnx")
    text = tmp_path / "prompts.txt"
    text.write_text("a prompt\n")
    tokens = tmp_path / "tokens.arrow"
    for arguments, code in (
        (("--prompts", text), "usage"),
        (("--tokens-from", tokens, "--tokenizer", tmp_path), "usage"),
        (("--tokens-from", tokens, "--inputs", tokens), "usage"),
        (("--limit", 1), "usage"),
        (("--tokens-from", tmp_path / "absent.arrow"), "dump-unreadable"),
    ):
        assert refused(path, *arguments).startswith(f"error[{code}]")


def test_a_glob_without_a_tensor(refused: Refused, tmp_path: Path) -> None:
    path = saved(embedding(), tmp_path / "m.onnx")
    np.savez(tmp_path / "inputs.npz", input_ids=np.ones((1, 3), "i8"))
    said = refused(path, "--inputs", tmp_path / "inputs.npz", "--select", "layers.9")
    assert said.startswith("error[select-empty]")
    assert "names of the graph's tensors" in said


def test_what_was_captured_before_a_failure_is_kept(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path, tokens, output = saved(embedding(), tmp_path / "m.onnx"), tmp_path / "t.arrow", tmp_path / "o.arrow"
    with DumpWriter(tokens, run={"dtype": "F32"}) as writer:
        writer.write("input_ids", np.arange(9, dtype="<i8"), sample=0)
        writer.write("input_ids", np.array([VOCABULARY], "<i8"), sample=1)
    assert main(["onnx", str(path), "-o", str(output), "--tokens-from", str(tokens)]) == 2
    assert told_error(capfd).startswith("error[forward-failed]")
    assert not output.exists()
    assert output.with_name("o.arrow.partial").stat().st_size > 0


def test_packages_that_are_absent(refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("onnx", "onnxruntime"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            said = refused(tmp_path / "m.onnx")
        assert said.startswith("error[onnx-absent]")
        assert "pip install npu-dump[onnx]" in said


def test_a_model_in_a_folder_that_nothing_may_be_written_to(tmp_path: Path) -> None:
    path = external(tmp_path, "data")
    (path.parent / "data").write_bytes(bytes(VOCABULARY * WIDTH * 4))
    np.savez(tmp_path / "inputs.npz", input_ids=np.ones((1, 3), "i8"))
    before = sorted(path.parent.iterdir())
    path.parent.chmod(0o555)
    try:
        arguments = ["onnx", path, "-o", tmp_path / "o.arrow", "--inputs", tmp_path / "inputs.npz"]
        assert main(list(map(str, arguments))) == 0
        assert sorted(path.parent.iterdir()) == before
    finally:
        path.parent.chmod(0o755)
