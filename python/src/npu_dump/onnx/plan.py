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
from .rows import growing_axes, token_axis
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
        layer: the decoder layer that makes it; None outside the layers.
        axes: those that come first in the dump, as one; none: it is stored as it is.
        dtype: element type.
        width: length of its last axis.
        bytes: of the longest sample, about.
    """

    name: str
    stored: str
    canonical: bool
    layer: int | None
    axes: tuple[int, ...]
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
    short, tokens = {}, longest.tokens
    if looked is None:
        values: dict[str, Value] = {}
        for part in _cut(names, at_once):
            asked = session if len(part) == len(names) else Session(model, part, threads)
            # The bytes go at once, only sizes are of use.
            values |= {name: value.emptied() for name, value in asked.run(longest.values, part).items()}
    else:
        short, values = looked
        tokens = _LONG
    tensors: list[Tensor] = []
    renamed: list[str] = []
    for name in names:
        value = values[name]
        axes, size = token_axis(value.shape, tokens), value.size
        if looked is not None:
            axes = growing_axes(short[name].shape, value.shape)
            size = _at(longest.tokens or 0, short[name].size, size)
        canonical = naming.names.get(name)
        if canonical is not None and (not axes or axes != token_axis(value.shape, tokens)):
            renamed.append(canonical)
            canonical = None
        # Of a file's arrays nobody says which axis is of tokens.
        axes = axes if canonical is not None or looked is not None else ()
        width = value.shape[-1] if value.shape else 1
        stored, layer = canonical or _own(name), naming.layer_of.get(name)
        tensors.append(Tensor(name, stored, canonical is not None, layer, axes, value.dtype, width, size))
    select = [tensor.stored for tensor in tensors if tensor.canonical]
    return Plan(tensors, list(_groups(tensors, at_once)), select + own, renamed)


def _short_forwards(
    session: Session, names: Sequence[str], longest: Feed
) -> tuple[dict[str, Value], dict[str, Value]] | None:
    """Return what two short prompts give; None where there are no tokens, or the graph is made for one length."""
    if longest.ids is None:
        return None
    ids = longest.ids * _LONG
    try:
        feeds = [feed_tokens(session.inputs, Sample(ids[:count])) for count in (_SHORT, _LONG)]
        short, long = (session.run(feed.values, names) for feed in feeds)
    except DumpError:
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
