"""The command line of npu-dump: options, exit codes, streams. Imports torch only when a command runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from ._version import __version__
from .commands import bench, capture, doctor, endpoint, onnx, probe, reference, replay, run, vllm, weights
from .errors import DumpError, printable
from .requirements import require_transformers

EXIT_OK = 0
EXIT_COULD_NOT = 2
EXIT_INTERRUPTED = 130

_COMMANDS = {
    "run": run,
    "replay": replay,
    "reference": reference,
    "vllm": vllm,
    "endpoint": endpoint,
    "onnx": onnx,
    "bench": bench,
    "probe": probe,
    "weights": weights,
    "doctor": doctor,
}
# Those that ask for it themselves, where they need it, are among them.
_WITHOUT_TORCH = ("endpoint", "onnx", "bench", "doctor")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors are printed, never raised."""
    try:
        return _run(build_parser().parse_args(arguments))
    except DumpError as error:
        print(error.render(), file=sys.stderr)  # noqa: T201
        return EXIT_COULD_NOT
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Exception as error:
        if os.environ.get("NPU_DUMP_DEBUG"):
            raise
        internal = DumpError(
            "internal",
            "something went wrong that should not have",
            facts=[(type(error).__name__, error)],
            help="please report it with this command; NPU_DUMP_DEBUG=1 shows the stack trace",
        )
        print(internal.render(), file=sys.stderr)  # noqa: T201
        return EXIT_COULD_NOT


class _Parser(argparse.ArgumentParser):
    """argparse with our kind of error, and without abbreviations: `--d` must not become a guess."""

    def error(self, message: str) -> NoReturn:
        raise DumpError(
            "usage",
            printable(message),
            facts=[("command", self.prog)],
            help=f"{self.prog} --help lists the options",
        )


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line; the README's table is made from it."""
    parser = _Parser(
        prog="npu-dump",
        description="Collect what a language model computes, layer by layer, into one Arrow file.",
        epilog=capture.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"npu-dump {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for name, command in _COMMANDS.items():
        own = commands.add_parser(
            name,
            help=command.HELP,
            description=command.DESCRIPTION,
            epilog=command.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.add_options(own)
    return parser


def _run(options: argparse.Namespace) -> int:
    command = _COMMANDS[options.command]
    command.check_options(options)
    with _StdoutToStderr() as stdout:
        _quiet_libraries(bars=sys.stderr.isatty() if options.progress is None else options.progress)
        if options.command not in _WITHOUT_TORCH:
            require_transformers()
        from .progress import Progress

        progress = Progress(bars=options.progress)
        try:
            text, code = command.execute(options, progress)
        finally:
            progress.close()
        if text:
            _print(stdout, text)
        return code


def _print(stdout: Any, text: str) -> None:
    try:
        print(text, file=stdout, flush=True)
    except BrokenPipeError:
        # The reader is gone, but the dump is there. Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())


class _StdoutToStderr:
    """Keeps stdout for our one line: what libraries print there goes to stderr, also from C."""

    def __enter__(self) -> Any:
        sys.stdout.flush()
        self._kept = sys.stdout
        self._stream = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="backslashreplace")
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        return self._stream

    def __exit__(self, *_: object) -> None:
        sys.stdout = self._kept
        os.dup2(self._stream.fileno(), 1)
        self._stream.close()


def _quiet_libraries(*, bars: bool) -> None:
    # Before the first import, which reads the environment.
    if not bars:
        os.environ["TQDM_DISABLE"] = "1"
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
