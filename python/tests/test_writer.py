"""The file itself: columns, chunks, statistics, what an interrupted one leaves, what is refused."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import textwrap
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from npu_dump import DumpError, DumpWriter, Limits, load

RUN = {"dtype": "F32"}


def rows_of(path: Path) -> list[dict[str, Any]]:
    return pa.ipc.open_file(str(path)).read_all().to_pylist()


def test_columns_are_those_of_the_format(tmp_path: Path) -> None:
    with DumpWriter(tmp_path / "a.arrow", run=RUN) as writer:
        writer.write("layers.3.mlp", np.ones((2, 3), "<f4"), sample=1, module="model.layers.3.mlp")
    schema = pa.ipc.open_file(str(tmp_path / "a.arrow")).schema
    assert [(field.name, str(field.type), field.nullable) for field in schema] == [
        ("name", "string", False),
        ("kind", "string", False),
        ("layer", "int32", True),
        ("module", "string", True),
        ("sample", "int32", False),
        ("step", "int32", False),
        ("repeat", "int32", False),
        ("rank", "int32", False),
        ("dtype", "string", False),
        ("shape", "list<item: int64>", False),
        ("start", "int64", False),
        ("encoding", "string", False),
        ("data", "large_binary", False),
        (
            "stats",
            "struct<min: double, max: double, mean: double, rms: double, nan: int64, posinf: int64, neginf: int64>",
            True,
        ),
    ]
    assert schema.metadata[b"npu_diff.version"] == b"1"
    run = json.loads(schema.metadata[b"npu_diff.run"])
    assert run["tool"]["name"] == "npu-dump"
    assert len(bytes.fromhex(run["id"])) == 16
    first, last = rows_of(tmp_path / "a.arrow")
    assert {key: first[key] for key in ("name", "kind", "layer", "module", "sample", "step", "repeat", "rank")} == {
        "name": "layers.3.mlp",
        "kind": "hidden",
        "layer": 3,
        "module": "model.layers.3.mlp",
        "sample": 1,
        "step": 0,
        "repeat": 0,
        "rank": 0,
    }
    assert (first["dtype"], first["shape"], first["start"], first["encoding"]) == ("F32", [2, 3], 0, "dense")
    assert (last["name"], last["kind"], last["sample"], last["dtype"]) == ("run.end", "meta", -1, "U8")
    end = json.loads(last["data"])
    assert end["complete"] is True
    assert end["tensors"] == 1
    assert end["seconds"] >= 0


def test_ids_are_new_for_every_dump(tmp_path: Path) -> None:
    for name in ("a.arrow", "b.arrow"):
        with DumpWriter(tmp_path / name, run=RUN):
            pass
    assert load(tmp_path / "a.arrow").run["id"] != load(tmp_path / "b.arrow").run["id"]


@pytest.mark.parametrize(
    ("name", "kind", "layer"),
    [
        ("embed", "hidden", None),
        ("layers.12", "hidden", 12),
        ("layers.0.attn", "hidden", 0),
        ("layers.7.router", "router", 7),
        ("logits", "logits", None),
        ("input_ids", "tokens", None),
        ("generated_text", "text", None),
        ("topk_ids", "topk", None),
        ("perf.ttft_ms", "perf", None),
        ("layers.0.attn.q_proj", "other", None),
        ("logits\n", "other", None),
        ("model.norm", "other", None),
    ],
)
def test_kind_and_layer_follow_from_the_name(tmp_path: Path, name: str, kind: str, layer: int | None) -> None:
    with DumpWriter(tmp_path / "a.arrow", run=RUN) as writer:
        writer.write(name, np.zeros(1))
    row = rows_of(tmp_path / "a.arrow")[0]
    assert (row["name"], row["kind"], row["layer"]) == (name, kind, layer)


@settings(deadline=None, max_examples=40)
@given(
    array=hnp.arrays(
        st.sampled_from(["<f8", "<f4", "<f2", "<i8", "<i4", "<i2", "i1", "u1", "?"]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=7),
    ),
    chunk=st.integers(1, 64),
    gather=st.integers(8, 128),
)
def test_any_tensor_comes_back(tmp_path_factory: pytest.TempPathFactory, array: Any, chunk: int, gather: int) -> None:
    path = tmp_path_factory.mktemp("t") / "a.arrow"
    limits = Limits(chunk=chunk, batch=2 * chunk, gather=gather)
    with DumpWriter(path, run=RUN, limits=limits) as writer:
        writer.write("a", array)
        writer.write("b", torch.from_numpy(array), sample=1)
    dump = load(path)
    for key in (("a", 0, 0), ("b", 1, 0)):
        assert dump[key].dtype == array.dtype
        assert dump[key].shape == array.shape
        assert dump[key].tobytes() == array.tobytes()


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        (torch.bfloat16, "BF16"),
        (torch.float8_e4m3fn, "F8_E4M3"),
        (torch.float8_e5m2, "F8_E5M2"),
    ],
)
def test_types_that_numpy_lacks(tmp_path: Path, dtype: torch.dtype, name: str) -> None:
    # Every code of one byte, in both halves of bfloat16.
    codes = torch.arange(256, dtype=torch.uint8).repeat_interleave(dtype.itemsize).reshape(16, -1)
    tensor = codes.view(dtype)
    with DumpWriter(tmp_path / "a.arrow", run={"dtype": name}) as writer:
        writer.write("t", tensor)
        writer.write("raw", codes.numpy().tobytes(), dtype=name, shape=tensor.shape)
    dump = load(tmp_path / "a.arrow")
    for key in (("t", 0, 0), ("raw", 0, 0)):
        assert dump[key].dtype == dtype
        assert torch.equal(dump[key].view(torch.uint8), codes)
    values = tensor.to(torch.float64)
    finite = values[values.isfinite()].tolist()
    stats = rows_of(tmp_path / "a.arrow")[0]["stats"]
    assert stats["min"] == min(finite)
    assert stats["max"] == max(finite)
    assert stats["nan"] == int(values.isnan().sum())
    assert (stats["posinf"], stats["neginf"]) == (int(values.isposinf().sum()), int(values.isneginf().sum()))
    assert stats["rms"] == pytest.approx(math.sqrt(math.fsum(x * x for x in finite) / len(finite)), rel=1e-12)


def test_statistics_equal_exact_sums(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = (rng.standard_normal(100_003) * 10.0 ** rng.integers(-6, 6, 100_003)).astype("<f4")
    values[[5, 70_000]] = np.nan
    values[17] = np.inf
    values[[9, 40_000, 99_999]] = -np.inf
    with DumpWriter(tmp_path / "a.arrow", run=RUN) as writer:
        writer.write("x", values)
    stats = rows_of(tmp_path / "a.arrow")[0]["stats"]
    finite = values[np.isfinite(values)].astype(float).tolist()
    scale = math.fsum(map(abs, finite)) / len(finite)
    assert (stats["nan"], stats["posinf"], stats["neginf"]) == (2, 1, 3)
    assert (stats["min"], stats["max"]) == (min(finite), max(finite))
    assert stats["mean"] == pytest.approx(math.fsum(finite) / len(finite), abs=1e-12 * scale)
    assert stats["rms"] == pytest.approx(math.sqrt(math.fsum(x * x for x in finite) / len(finite)), rel=1e-12)


@pytest.mark.parametrize("values", [[1e300, -3e300, 2e300], [1e-300, 3e-300, -5e-308]])
def test_statistics_of_values_whose_squares_leave_float64(tmp_path: Path, values: list[float]) -> None:
    with DumpWriter(tmp_path / "a.arrow", run=RUN) as writer:
        writer.write("x", np.array(values))
    stats = rows_of(tmp_path / "a.arrow")[0]["stats"]
    mean_square = sum(Fraction(x) ** 2 for x in values) / len(values)
    # rms**2 == mean square, compared as exact fractions.
    assert abs(Fraction(stats["rms"]) ** 2 / mean_square - 1) < Fraction(1, 10**12)
    assert (stats["min"], stats["max"]) == (min(values), max(values))


def test_statistics_without_a_finite_value_are_null(tmp_path: Path) -> None:
    with DumpWriter(tmp_path / "a.arrow", run=RUN) as writer:
        writer.write("x", np.array([np.nan, np.inf]))
        writer.write("empty", np.zeros((0, 4), "<f4"))
    first, second, _ = rows_of(tmp_path / "a.arrow")
    assert first["stats"] == {
        "min": None, "max": None, "mean": None, "rms": None, "nan": 1, "posinf": 1, "neginf": 0,
    }  # fmt: skip
    assert second["stats"]["mean"] is None
    assert (second["shape"], second["data"]) == ([0, 4], b"")


def test_chunks_and_batches_keep_their_limits(tmp_path: Path) -> None:
    limits = Limits(chunk=1000, batch=3000, gather=2000)
    wide = np.arange(6 * 400, dtype="<f4").reshape(6, 400)  # a row of 1600 bytes passes the limit of a chunk
    long = np.arange(997, dtype="<f8")
    with DumpWriter(tmp_path / "a.arrow", run=RUN, limits=limits) as writer:
        writer.write("small", np.ones(3, "<f4"))
        writer.write("wide", wide)
        writer.write("long", long)
        writer.write("narrow", np.ones((50, 2), "<f2"))
    file = pa.ipc.open_file(str(tmp_path / "a.arrow"))
    sizes = {"F32": 4, "F64": 8, "F16": 2, "U8": 1}
    for number in range(file.num_record_batches):
        rows = file.get_batch(number).to_pylist()
        assert len({sizes[row["dtype"]] for row in rows}) == 1
        assert len(rows) == 1 or sum(len(row["data"]) for row in rows) <= 3000
    chunks = [row for row in rows_of(tmp_path / "a.arrow") if row["name"] == "long"]
    assert [row["start"] for row in chunks] == list(range(0, 997, 125))
    assert all(len(row["data"]) <= 1000 for row in chunks)
    assert [row["stats"] is None for row in chunks] == [False] + [True] * 7
    starts = [row["start"] for row in rows_of(tmp_path / "a.arrow") if row["name"] == "wide"]
    assert starts == list(range(6))
    dump = load(tmp_path / "a.arrow")
    assert np.array_equal(dump["wide", 0, 0], wide)
    assert np.array_equal(dump["long", 0, 0], long)


def test_a_tensor_of_eighty_mebibytes_is_cut_at_thirty_two(tmp_path: Path) -> None:
    array = np.arange(20 << 20, dtype="<i4").reshape(20, 1 << 20)
    with DumpWriter(tmp_path / "a.arrow", run=RUN) as writer:
        writer.write("big", array)
    file = pa.ipc.open_file(pa.memory_map(str(tmp_path / "a.arrow")))
    batches = [file.get_batch(number) for number in range(file.num_record_batches - 1)]
    assert [batch.column("start").to_pylist() for batch in batches] == [[0, 8], [16]]
    assert np.array_equal(load(tmp_path / "a.arrow")["big", 0, 0], array)


def test_bodies_are_uncompressed(tmp_path: Path) -> None:
    data = np.zeros(1 << 16, "u1")
    data[:8] = list(b"POSITION")
    with DumpWriter(tmp_path / "a.arrow", run=RUN) as writer:
        writer.write("x", data)
    assert data.tobytes() in (tmp_path / "a.arrow").read_bytes()


def test_an_exception_leaves_complete_batches_and_no_dump(tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        DumpWriter(tmp_path / "a.arrow", run=RUN, limits=Limits(gather=64)) as writer,
    ):
        writer.write("x", np.arange(20.0))
        writer.write("y", np.arange(5.0))
        raise ZeroDivisionError
    assert not (tmp_path / "a.arrow").exists()
    partial = tmp_path / "a.arrow.partial"
    # As a repair would: what follows the file's magic is a stream of whole messages.
    stream = pa.ipc.open_stream(pa.py_buffer(partial.read_bytes()[8:]))
    names = [name for batch in stream for name in batch.column("name").to_pylist()]
    assert names == ["x", "y"]
    with pytest.raises(DumpError, match="dump-incomplete"):
        load(partial)


def test_an_exception_before_the_first_tensor_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), DumpWriter(tmp_path / "a.arrow", run=RUN):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    path.write_bytes(b"precious")
    with pytest.raises(DumpError, match="output-exists"):
        DumpWriter(path, run=RUN)
    assert path.read_bytes() == b"precious"
    with DumpWriter(path, run=RUN, overwrite=True) as writer:
        writer.write("x", np.ones(1))
        assert path.read_bytes() == b"precious"
    assert len(load(path)) == 1


def test_a_second_writer_of_one_name_is_refused(tmp_path: Path) -> None:
    with DumpWriter(tmp_path / "a.arrow", run=RUN) as writer:
        writer.write("x", np.ones(1))
        with pytest.raises(DumpError, match="is being written"):
            DumpWriter(tmp_path / "a.arrow", run=RUN)
    assert len(load(tmp_path / "a.arrow")) == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"name": "", "value": np.ones(1)}, "name-invalid"),
        ({"name": "x" * 65537, "value": np.ones(1)}, "name-invalid"),
        ({"name": "\ud800", "value": np.ones(1)}, "name-invalid"),
        ({"name": "x", "value": np.ones(1), "sample": -2}, "index-invalid"),
        ({"name": "x", "value": np.ones(1), "step": 2**31}, "index-invalid"),
        ({"name": "x", "value": np.array(["a"])}, "dtype-unknown"),
        ({"name": "x", "value": np.ones(1, complex)}, "dtype-unknown"),
        ({"name": "x", "value": torch.ones(1, dtype=torch.complex64)}, "dtype-unknown"),
        ({"name": "x", "value": torch.eye(2).to_sparse()}, "tensor-layout"),
        ({"name": "x", "value": b"abc", "dtype": "F32", "shape": [1]}, "tensor-arguments"),
        ({"name": "x", "value": b"abcd", "dtype": "F31", "shape": [1]}, "dtype-unknown"),
        ({"name": "x", "value": b"", "dtype": "U8", "shape": [-1]}, "tensor-arguments"),
        ({"name": "x", "value": np.ones(1), "dtype": "F32"}, "tensor-arguments"),
    ],
)
def test_bad_tensors_are_refused_with_three_parts(tmp_path: Path, arguments: dict[str, Any], code: str) -> None:
    with DumpWriter(tmp_path / "a.arrow", run=RUN) as writer:
        writer.write("good", np.ones(1))
        with pytest.raises(DumpError) as caught:
            writer.write(**arguments)
    assert caught.value.code == code
    assert caught.value.what
    assert caught.value.facts
    assert caught.value.help
    assert list(load(tmp_path / "a.arrow")) == [("good", 0, 0)]


def test_the_same_tensor_twice_is_refused(tmp_path: Path) -> None:
    with DumpWriter(tmp_path / "a.arrow", run=RUN) as writer:
        writer.write("x", np.ones(1))
        writer.write("x", np.ones(1), step=1)
        with pytest.raises(DumpError, match="tensor-twice"):
            writer.write("x", np.ones(1))


@pytest.mark.parametrize(
    "run", [{}, {"dtype": "float32"}, {"dtype": "F32", "x": math.nan}, {"dtype": "F32", "x": {1}}]
)
def test_bad_metadata_is_refused(tmp_path: Path, run: dict[str, Any]) -> None:
    with pytest.raises(DumpError, match="run-invalid"):
        DumpWriter(tmp_path / "a.arrow", run=run)
    assert list(tmp_path.iterdir()) == []


def test_hostile_names_are_stored_and_shown_escaped(tmp_path: Path) -> None:
    name = "evil\x1b[31m\n\u202e</script>"
    with DumpWriter(tmp_path / "a.arrow", run=RUN) as writer:
        writer.write(name, np.ones(1))
        with pytest.raises(DumpError) as caught:
            writer.write(name, np.ones(1))
    assert (name, 0, 0) in load(tmp_path / "a.arrow")
    assert "\x1b" not in str(caught.value)
    assert "\u202e" not in str(caught.value)
    assert "\\x1b[31m\\n\\u202e</script>" in str(caught.value)


def test_a_full_disk_is_an_error_with_three_parts(tmp_path: Path) -> None:
    # A limit on the size of files is a full disk that a test can have without one.
    program = textwrap.dedent(
        """
        import resource, signal, sys
        import numpy as np
        from npu_dump import DumpError, DumpWriter
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        try:
            with DumpWriter(sys.argv[1], run={"dtype": "F32"}) as writer:
                for number in range(64):
                    writer.write(f"x{number}", np.zeros(1 << 21, "u1"))
        except DumpError as error:
            print(error)
            sys.exit(2)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "a.arrow"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 or done.returncode == 2, done.stderr
    assert done.returncode == 2
    assert done.stdout.startswith("error[disk-full]: the disk is full\n")
    assert "help: make room" in done.stdout
    assert not (tmp_path / "a.arrow").exists()
