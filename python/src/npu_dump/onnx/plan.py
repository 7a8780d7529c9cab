"""Which tensors of a graph are stored, under which names, and how many of them at a time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .. import contract
from ..errors import DumpError
from ..select import Selection
from ..tokens import Sample
from .feeds import Feed, feed_tokens
from .graph import Graph
from .model import Model
from .naming import Naming
from .session import FLOATING, Session, Value

# Bytes of tensors that one forward may hand out.
_MOST_BYTES = 2 << 30
# Tokens of the forwards that tell how tensors grow.
_SHORT, _LONG = 2, 4


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph that is stored.

    Attributes:
        name: its name in the graph.
        stored: its name in the dump.
        canonical: whether that is a name that every dump has; then its shape there is ``[tokens, …]``.
        dtype: element type.
        width: length of its last axis.
        bytes: of the longest sample, about.
    """

    name: str
    stored: str
    canonical: bool
    dtype: str
    width: int
    bytes: int


@dataclass(frozen=True)
class Plan:
    """What is captured of a graph.

    Attributes:
        tensors: in execution order.
        groups: the same, cut where one forward would hand out too much.
        select: what the dump promises: exact canonical names, and the user's globs on others.
        renamed: canonical names that were not given, because the tensor has not one row a token.
    """

    tensors: list[Tensor]
    groups: list[list[Tensor]]
    select: list[str]
    renamed: list[str]

    @property
    def dtype(self) -> str:
        """The precision of the run: that of most tensors."""
        return Counter(tensor.dtype for tensor in self.tensors).most_common(1)[0][0]

    def size(self, feeds: Sequence[Feed]) -> int:
        """Return about how many bytes the dump will have, at the least where samples differ in length."""
        longest = max(feed.tokens or 1 for feed in feeds)
        share = sum((feed.tokens or longest) / longest for feed in feeds)
        # About 400 bytes of columns a tensor; what grows with the square of the tokens is less in shorter samples.
        return int(sum(tensor.bytes for tensor in self.tensors) * share) + 400 * len(self.tensors) * len(feeds)


def wanted_tensors(globs: Sequence[str], graph: Graph, naming: Naming) -> tuple[list[str], list[str]]:
    """Return which tensors are wanted, in execution order, and those of the globs that are not on canonical names.

    Raises:
        DumpError: a glob matches nothing.
    """
    made = graph.tensors()
    if not globs:
        return made, []
    names = {naming.names[name] for name in made if name in naming.names}
    canonical: set[str] = set()
    paths: set[str] = set()
    own: list[str] = []
    for glob in globs:
        selection = Selection([glob], names, made, "names of the graph's tensors")
        canonical |= selection.canonical
        paths |= selection.paths
        own += [] if selection.canonical else [glob]
    return [name for name in made if naming.names.get(name) in canonical or name in paths], own


def make_plan(
    model: Model,
    session: Session,
    wanted: Sequence[str],
    own: list[str],
    naming: Naming,
    feeds: Sequence[Feed],
    *,
    at_once: int | None,
    threads: int | None,
) -> Plan:
    """Return what to capture, by looking at what the graph gives.

    Where it takes prompts of any length, two short ones tell how large its tensors become; else the longest sample is
    run once more than needed.

    Args:
        model: the model.
        session: of all that is wanted.
        wanted: names of tensors, in execution order.
        own: globs that are not on canonical names.
        naming: canonical names.
        feeds: the samples.
        at_once: most tensors that a forward hands out.
        threads: for sessions of some of the tensors alone.

    Raises:
        DumpError: nothing of it can be stored, or the model fails.
    """
    names = [name for name in wanted if session.types[name] in FLOATING]
    if not names:
        raise DumpError(
            "graph-empty",
            "the graph has no floating point tensor to store",
            facts=[("selected", len(wanted)), ("of floating point", 0)],
            help="select other tensors, or give another model",
        )
    longest = max(feeds, key=lambda feed: feed.tokens or 0)
    looked = _short_forwards(session, names, longest)
    if looked is None:
        values: dict[str, Value] = {}
        for part in _cut(names, at_once):
            asked = session if len(part) == len(names) else Session(model, part, threads)
            # The bytes go at once, only sizes are of use.
            values |= {name: value.emptied() for name, value in asked.run(longest.values, part).items()}
        tokens = longest.tokens
        sizes = {name: value.size for name, value in values.items()}
    else:
        short, values = looked
        tokens = _LONG
        sizes = {name: _at(longest.tokens or 0, short[name].size, values[name].size) for name in names}
    tensors: list[Tensor] = []
    renamed: list[str] = []
    for name in names:
        value = values[name]
        canonical = naming.names.get(name)
        if canonical is not None and not has_row_per_token(value.shape, tokens):
            renamed.append(canonical)
            canonical = None
        width = value.shape[-1] if value.shape else 1
        stored = canonical or _own(name)
        tensors.append(Tensor(name, stored, canonical is not None, value.dtype, width, sizes[name]))
    select = [tensor.stored for tensor in tensors if tensor.canonical]
    return Plan(tensors, list(_groups(tensors, at_once)), select + own, renamed)


def has_row_per_token(shape: Sequence[int], tokens: int | None) -> bool:
    """Return whether a tensor is ``[1, tokens, …]`` or ``[tokens, …]`` with one more axis; None: any number of them."""
    batched = len(shape) == 3 and shape[0] == 1 and tokens in (None, shape[1])
    return batched or (len(shape) == 2 and tokens == shape[0])


def _short_forwards(
    session: Session, names: Sequence[str], longest: Feed
) -> tuple[dict[str, Value], dict[str, Value]] | None:
    if longest.ids is None or len(longest.ids) <= _LONG:
        return None
    try:
        feeds = [feed_tokens(session.inputs, Sample(longest.ids[:count])) for count in (_SHORT, _LONG)]
        short, long = (session.run(feed.values, names) for feed in feeds)
    except DumpError:
        # A graph of one length, by its inputs or by what its tracer has fixed.
        return None
    return short, long


def _at(tokens: int, short: int, long: int) -> int:
    """Return a size at so many tokens, as a power of them."""
    if not short or not long:
        return max(short, long)
    return math.ceil(long * (tokens / _LONG) ** max(0.0, math.log(long / short, _LONG / _SHORT)))


def _own(name: str) -> str:
    """Return the graph's name for a tensor, told apart from names that mean something else in a dump."""
    return name if contract.kind_of(name) == "other" else f"onnx.{name}"


def _cut(names: Sequence[str], count: int | None) -> Iterator[list[str]]:
    step = count or len(names)
    for start in range(0, len(names), step):
        yield list(names[start : start + step])


def _groups(tensors: Sequence[Tensor], count: int | None) -> Iterator[list[Tensor]]:
    group: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if group and (len(group) == count or size + tensor.bytes > _MOST_BYTES):
            yield group
            group, size = [], 0
        group.append(tensor)
        size += tensor.bytes
    yield group
