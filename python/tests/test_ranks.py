"""Files of the ranks of one run: what the writer puts into them, and what a reader of one may take from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from npu_dump import DumpError, DumpWriter, Limits, load

SHARDS = {
    "logits": {"axis": 1, "start": 6, "length": 4},
    "norm": {"axis": 0},
    "layers.*.mlp": {"partial": "sum"},
    "*": {"replicated": True},
}


def run_of(rank: int) -> dict[str, Any]:
    parallel = {"world_size": 2, "tp": 2, "pp": 1, "ep": 1, "rank": rank}
    return {"id": "ab", "dtype": "F32", "parallel": parallel, "shards": SHARDS}


def write_rank(path: Path, rank: int = 1, limits: Limits | None = None) -> None:
    with DumpWriter(path, run=run_of(rank), limits=limits) as writer:
        writer.write("input_ids", np.arange(5))
        writer.write("layers.0", np.ones((5, 8), "<f4"))
        writer.write("layers.0.mlp", np.full((5, 8), 2, "<f4"))
        # Two tokens of five, and four columns of which nine are all: the last is padding.
        writer.write("norm", np.arange(16, dtype="<f4").reshape(2, 8), whole=(5, 8), start=3)
        writer.write("logits", np.arange(20, dtype="<f4").reshape(5, 4), whole=(5, 9))


def test_rows_have_the_rank_the_whole_shape_and_the_slice(tmp_path: Path) -> None:
    path = tmp_path / "npu.rank1.arrow"
    write_rank(path, limits=Limits(chunk=32))
    *rows, end = pa.ipc.open_file(str(path)).read_all().to_pylist()
    assert {row["rank"] for row in rows} == {1}
    assert end["name"] == "run.end"
    norm = [row for row in rows if row["name"] == "norm"]
    assert [(row["shape"], row["start"]) for row in norm] == [([5, 8], 3), ([5, 8], 4)]
    assert b"".join(row["data"] for row in norm) == np.arange(16, dtype="<f4").tobytes()
    logits = [row for row in rows if row["name"] == "logits"]
    assert [row["shape"] for row in logits] == [[5, 9]] * len(logits)
    assert b"".join(row["data"] for row in logits) == np.arange(20, dtype="<f4").tobytes()
    # Statistics are of whole tensors; of a slice there are none.
    assert [row["stats"] for row in norm + logits] == [None] * (len(norm) + len(logits))


@pytest.mark.parametrize("rank", [0, 1])
def test_what_is_whole_in_the_file_of_a_rank_can_be_read(tmp_path: Path, rank: int) -> None:
    path = tmp_path / "npu.arrow"
    write_rank(path, rank)
    dump = load(path)
    np.testing.assert_array_equal(dump["input_ids", 0, 0], np.arange(5))
    np.testing.assert_array_equal(dump["layers.0", 0, 0], np.ones((5, 8)))


@pytest.mark.parametrize("name", ["layers.0.mlp", "norm", "logits"])
def test_a_part_is_not_read_as_a_tensor(tmp_path: Path, name: str) -> None:
    write_rank(tmp_path / "npu.arrow", 0)
    with pytest.raises(DumpError) as error:
        _ = load(tmp_path / "npu.arrow")[name, 0, 0]
    assert error.value.code == "tensor-part"


def test_a_file_of_several_ranks_is_refused(tmp_path: Path) -> None:
    with DumpWriter(tmp_path / "a.arrow", run=run_of(0)) as writer:
        writer.write("layers.0", np.ones(2), rank=1)
    with pytest.raises(DumpError) as error:
        load(tmp_path / "a.arrow")
    assert error.value.code == "dump-ranks"


@pytest.mark.parametrize(
    ("shape", "arguments"),
    [
        ((5, 4), {"whole": (5,)}),
        ((4, 4), {"whole": (5, 9)}),
        ((5, 4), {"whole": (5, 9), "start": 1}),
        ((5, 4), {"whole": (5, -9)}),
        ((2, 8), {"whole": (5, 8), "start": -1}),
        ((2, 8), {"start": 1}),
        ((2, 8), {"whole": (5, 8), "encoding": "stats"}),
    ],
)
def test_what_is_no_slice_is_refused(tmp_path: Path, shape: tuple[int, ...], arguments: dict[str, Any]) -> None:
    with DumpWriter(tmp_path / "a.arrow", run=run_of(0)) as writer:
        with pytest.raises(DumpError) as error:
            writer.write("logits", np.ones(shape, "<f4"), **arguments)
        assert error.value.code == "tensor-arguments"
