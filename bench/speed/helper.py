"""Runs one command and prints its seconds, exit code, peak memory and processor's seconds.

    python -I -S helper.py STDOUT STDERR PROGRAM [ARGUMENT…]

The peak of a process is not less than that of the process it came from, even after exec. So nothing large starts
what is measured: this does, and what it imports is all that a figure can have too much. The unit of the peak is
the system's: KiB on Linux, bytes on macOS.
"""

import os
import sys
import time

output, errors, *command = sys.argv[1:]
mode = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
actions = [(os.POSIX_SPAWN_OPEN, 1, output, mode, 0o600), (os.POSIX_SPAWN_OPEN, 2, errors, mode, 0o600)]
start = time.perf_counter()
child = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
_, status, usage = os.wait4(child, 0)
seconds = time.perf_counter() - start
print(seconds, os.waitstatus_to_exitcode(status), usage.ru_maxrss, usage.ru_utime + usage.ru_stime)
