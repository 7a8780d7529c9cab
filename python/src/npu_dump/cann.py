"""What the environment says of CANN, the software under torch_npu. Needs no torch."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

# Of the whole toolkit first: its parts have numbers of their own in some releases.
_FILES = (
    f"{platform.machine()}-linux/ascend_toolkit_install.info",
    "compiler/version.info",
    "runtime/version.info",
    "version.cfg",
)
# A version file is a few lines; no more is read of whatever lies there.
_MOST_BYTES = 1 << 16


def cann_home() -> str | None:
    """Return the folder that CANN's set_env.sh names, or None where nobody has sourced it."""
    return os.environ.get("ASCEND_TOOLKIT_HOME") or os.environ.get("ASCEND_HOME_PATH") or None


def cann_version() -> str | None:
    """Return the version of the CANN toolkit in use, from the version file beside its libraries, or None."""
    home = cann_home()
    for name in _FILES if home else ():
        try:
            with Path(home or "", name).open("rb") as file:
                text = file.read(_MOST_BYTES).decode("utf-8", "replace")
        except (OSError, ValueError):
            continue
        found = re.search(r"(?im)^version=\[?([\w.]{1,40})", text)
        if found:
            return found[1]
    return None
