"""The engine's side: what is mixed into the worker that holds the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from ..capture import Piece
from ..dump import Dump
from ..engine import Engine
from ..errors import DumpError
from ..ranks import rank_paths
from .adapter import Runner
from .anatomy import Observer
from .describe import describe
from .engine import VllmEngine

# Plain data alone goes between the processes: of an error its parts, so that the other side can raise it again.
Answer = dict[str, Any]


class NpuDumpExtension:
    """Methods that vLLM adds to its worker; the user's process calls them by name.

    They never raise: an exception in a worker ends the engine, and tells the user's process its text alone.
    """

    model_runner: Any
    rank: int

    def npu_dump_look(self) -> Answer:
        """Observe every module from now on, until `npu_dump_open`."""
        return answer_of(self._npu_dump_look)

    def _npu_dump_look(self) -> None:
        self._npu_dump_runner = Runner(self.model_runner)
        self._npu_dump_engine = VllmEngine(self._npu_dump_runner)
        self._npu_dump_observer = Observer(self._npu_dump_engine.decoder)

    def npu_dump_open(self, path: str, options: dict[str, Any]) -> Answer:
        """Begin a dump; every request that says which sample it is goes into it.

        Args:
            path: of the dump; with several ranks each writes one of its own.
            options: keywords of `Dump`.
        """
        return answer_of(lambda: self._npu_dump_open(Path(path), options))

    def _npu_dump_open(self, path: Path, options: dict[str, Any]) -> dict[str, Any]:
        engine = self._npu_dump_engine
        self._npu_dump_observer.remove()
        engine.learn(self._npu_dump_observer)
        # It holds what every module was handed and returned.
        del self._npu_dump_observer
        rank, parallel = self._npu_dump_runner.rank()
        path = rank_paths(path, parallel["world_size"])[rank]
        run = describe(self._npu_dump_runner.config, engine.model)
        if parallel["world_size"] > 1:
            # After the sum over the ranks each holds the whole of what it hands on.
            run |= {"parallel": parallel, "shards": {"*": {"replicated": True}}}
        dump = EngineDump(engine, path, run, options)
        dump.__enter__()
        self._npu_dump = dump
        return {"path": str(path), "id": dump.run["id"], "select": dump.run["capture"]["select"]}

    def npu_dump_describe(self) -> Answer:
        """Return the metadata of a run of the model."""

        def described() -> dict[str, Any]:
            runner = Runner(self.model_runner)
            return describe(runner.config, runner.model)

        return answer_of(described)

    def npu_dump_store(self, sample: int, texts: dict[str, str], arrays: dict[str, Any], repetition: int) -> Answer:
        """Store what only the user's process knows of a sample, and say what went wrong so far.

        Args:
            sample: its number.
            texts: by name.
            arrays: by name: element type of torch, shape, values.
            repetition: 0: the run itself.
        """

        def store() -> None:
            dump = self._npu_dump
            dump.check()
            for name, text in texts.items():
                dump.write_text(name, text, sample=sample, repeat=repetition)
            for name, (dtype, shape, values) in arrays.items():
                tensor = torch.tensor(values, dtype=getattr(torch, dtype)).reshape(shape)
                dump.write(name, tensor, sample=sample, repeat=repetition)

        return answer_of(store)

    def npu_dump_checkpoint(self) -> Answer:
        """Put what is whole so far on the disk, and say what went wrong so far."""

        def checkpoint() -> None:
            self._npu_dump.check()
            self._npu_dump.checkpoint()

        return answer_of(checkpoint)

    def npu_dump_close(self, expected: list[int]) -> Answer:
        """End the dump.

        Args:
            expected: tokens that each sample was to be fed.
        """

        def close() -> dict[str, Any]:
            dump = self._npu_dump
            try:
                dump.check()
                dump.check_fed(expected)
            except DumpError as error:
                dump.__exit__(type(error), error, None)
                raise
            dump.__exit__(None, None, None)
            return {"bytes": dump.path.stat().st_size}

        return answer_of(close)

    def npu_dump_abort(self) -> Answer:
        """Leave the dump as it is, unfinished."""

        def abort() -> None:
            dump = getattr(self, "_npu_dump", None)
            if dump is not None:
                error = RuntimeError("aborted")
                with suppress(RuntimeError):
                    dump.__exit__(type(error), error, None)

        return answer_of(abort)


class EngineDump(Dump):
    """A `Dump` of an engine's model: what goes wrong in a forward is kept for later, since an engine ends by it."""

    def __init__(self, engine: VllmEngine, path: Path, run: dict[str, Any], options: dict[str, Any]) -> None:
        super().__init__(engine.model, path, **options)
        self._vllm = engine
        self._found = run
        self._failure: Exception | None = None

    def _engine(self) -> Engine:
        return self._vllm

    def _describe(self) -> dict[str, Any]:
        return self._found

    def check(self) -> None:
        """Raise what has gone wrong in a forward.

        Raises:
            DumpError: what went wrong.
        """
        if isinstance(self._failure, DumpError):
            raise self._failure
        if self._failure is not None:
            raise DumpError(
                "forward-failed",
                "what the engine's modules return could not be stored",
                facts=[(type(self._failure).__name__, (str(self._failure).splitlines() or ["no reason given"])[0])],
                help="report this with the model and the versions of vLLM and its plugins",
            ) from self._failure

    def check_fed(self, expected: list[int]) -> None:
        """Raise a `DumpError` where a sample was not fed all its tokens."""
        for sample, count in enumerate(expected):
            fed = self._vllm.fed.get(sample, 0)
            if fed != count:
                raise DumpError(
                    "rows-missing",
                    "the engine did not run all tokens of a sample",
                    facts=[("sample", sample), ("tokens", count), ("seen", fed)],
                    help="capture without prefix caching and without engine arguments that skip tokens",
                )

    def _guarded(self, action: Callable[[], torch.Tensor | None]) -> torch.Tensor | None:
        try:
            return action()
        except Exception as error:
            self._failure = self._failure or error
            return None

    def _begin(self, _model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._guarded(lambda: Dump._begin(self, _model, args, kwargs))

    def _take(self, point: Any, tensor: torch.Tensor | None) -> torch.Tensor | None:
        return self._guarded(lambda: Dump._take(self, point, tensor))

    def _end(self, _model: Any, _args: tuple[Any, ...], output: Any) -> None:
        self._guarded(lambda: Dump._end(self, _model, _args, output))

    def _put(self, pieces: Iterator[Piece]) -> None:
        """Store pieces; after a failure go on through them all the same.

        The ranks compute logits together: one whose disk is full would leave the others waiting for it for ever.
        """
        for piece in pieces:
            if self._failure is None:
                self._guarded(lambda: Dump._put(self, iter((piece,))))  # noqa: B023 - called at once


def answer_of(action: Callable[[], dict[str, Any] | None]) -> Answer:
    """Return what an action does, or the parts of the error that it ends in."""
    try:
        return action() or {}
    except DumpError as error:
        return {"error": _parts(error)}
    except Exception as error:
        lines = str(error).splitlines()
        told = DumpError(
            "engine-unsupported",
            "the engine's worker is not what a capture knows",
            facts=[(type(error).__name__, lines[0] if lines else "no reason given")],
            help="report this with the versions of vLLM and its plugins",
        )
        return {"error": _parts(told)}


def _parts(error: DumpError) -> dict[str, Any]:
    return {"code": error.code, "what": error.what, "facts": [list(fact) for fact in error.facts], "help": error.help}
