"""Copy a dump without the tensors of one name, which its writer then did not mean to store.

Usage: python without_tensor.py NAME DUMP OUT
"""

from __future__ import annotations

import json
import sys

import pyarrow as pa
import pyarrow.compute as pc


def without_tensor(name: str, path: str, out: str) -> None:
    with pa.memory_map(path) as source:
        reader = pa.ipc.open_file(source)
        run = json.loads(reader.schema.metadata[b"npu_diff.run"])
        run["capture"]["select"] = [glob for glob in run["capture"]["select"] if glob != name]
        schema = reader.schema.with_metadata({**reader.schema.metadata, b"npu_diff.run": json.dumps(run).encode()})
        with pa.ipc.new_file(out, schema) as writer:
            for index in range(reader.num_record_batches):
                batch = reader.get_batch(index).filter(pc.field("name") != name)
                if batch.num_rows:
                    writer.write_batch(batch.replace_schema_metadata(schema.metadata))


if __name__ == "__main__":
    without_tensor(*sys.argv[1:])
