"""Checks Arrow files with pyarrow, down to every value, and prints their columns as JSON.

python test/support/validate_arrow.py FILE…
"""

import json
import sys

import pyarrow.ipc as ipc

columns = []
for path in sys.argv[1:]:
    table = ipc.open_file(path).read_all()
    table.validate(full=True)
    columns.append(table.schema.names)
print(json.dumps(columns))
