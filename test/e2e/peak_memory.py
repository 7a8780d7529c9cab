"""Run a program, its standard output into a file, and print how many bytes it had resident at once.

Usage: python peak_memory.py OUT PROGRAM ARGUMENT…
"""

from __future__ import annotations

import pathlib
import resource
import subprocess
import sys

with pathlib.Path(sys.argv[1]).open("wb") as output:
    ended = subprocess.run(sys.argv[2:], stdout=output)
if ended.returncode not in (0, 1, 3):
    sys.exit(ended.returncode)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
# Darwin alone counts bytes.
print(peak if sys.platform == "darwin" else peak * 1024)
