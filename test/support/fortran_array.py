"""Writes arrays in Fortran order that take more than one pass, and prints what their bytes are in C order."""

import hashlib
import json
import pathlib
import sys

import numpy as np

folder = pathlib.Path(sys.argv[1])
found = {}
# Long columns are read one at a time, short ones many at a time.
for name, shape in (("long.npy", (4_600_000, 4)), ("short.npy", (100, 46_000, 4))):
    array = np.asfortranarray(np.arange(np.prod(shape), dtype=np.int32).reshape(shape))
    np.save(folder / name, array)
    found[name] = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
print(json.dumps(found))
