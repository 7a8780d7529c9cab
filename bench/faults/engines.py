"""Legal engines: other kernels that compute the same model in the same precision."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, Literal

from . import approximate, attention, fusion, products
from .attention import Attention

Dtype = Literal["bf16", "fp16", "fp32"]
Patch = Callable[[Any], AbstractContextManager[None]]
SIXTEEN: tuple[Dtype, ...] = ("bf16", "fp16")
ALL: tuple[Dtype, ...] = ("bf16", "fp16", "fp32")


@dataclass(frozen=True)
class Engine:
    """A legal way to compute a model.

    Attributes:
        name: its name in ids of cases.
        kind: what is left out together when limits are set without one kind.
        product: how matrix products are computed; None: as torch does.
        attention: how attention is computed; None: as the first floor does.
        patches: what else is replaced in the model.
        functions: what stands in the place of functions of torch.
        batch: samples a forward; 1, or as many as there are.
        padding: where a batch is padded.
        dtypes: precisions that it is used in.
        changes: what it changes in a model; it does not fit one where that is nothing.
        compiles: whether it takes so long to begin that only some models get it.
    """

    name: str
    kind: str
    product: products.Accumulate | None = None
    attention: Attention | None = None
    patches: tuple[Patch, ...] = ()
    functions: tuple[tuple[Any, Callable[..., Any]], ...] = ()
    batch: Literal["single", "all"] = "single"
    padding: Literal["left", "right"] = "right"
    dtypes: tuple[Dtype, ...] = SIXTEEN
    changes: Callable[[Any], Sequence[Any]] = fusion.norms
    compiles: bool = False

    @contextlib.contextmanager
    def apply(self, model: Any) -> Iterator[None]:
        """Let the model be computed in this way inside the block.

        Args:
            model: a model of `models`, whose weights it does not touch.
        """
        with ExitStack() as stack:
            if self.product is not None:
                stack.enter_context(products.eager_experts(model))
            stack.enter_context(attention.attention(model, self.attention))
            for patch in self.patches:
                stack.enter_context(patch(model))
            if self.product is not None or self.functions:
                stack.enter_context(products.Engine(self.product, dict(self.functions)))
            yield


FLASH = Attention(block=64)
BACKWARDS = Attention(block=16, backwards=True)
FUSED = Engine(
    "fused",
    "fused",
    products.reversed_order,
    Attention(block=32, backwards=True),
    (fusion.wide_norms, fusion.wide_rotary, fusion.fused_activation),
    dtypes=ALL,
)

ENGINES: dict[str, Engine] = {
    engine.name: engine
    for engine in (
        FUSED,
        Engine("flash", "flash", attention=FLASH, dtypes=ALL),
        Engine("flash-backwards", "flash", attention=BACKWARDS, dtypes=ALL),
        Engine("flash-decoding", "split-kv", attention=Attention(block=16, splits=4), dtypes=ALL),
        Engine("wide-probabilities", "probabilities", attention=Attention(block=128, wide=True)),
        Engine("folded-scale", "folded-scale", attention=Attention(folded=True)),
        Engine("reversed", "order", products.reversed_order, dtypes=ALL),
        Engine("numpy", "blas", products.numpy_blas, dtypes=ALL),
        Engine("onnxruntime", "onnxruntime", products.onnxruntime, dtypes=ALL),
        Engine("split-2", "split-k", products.split(2), dtypes=ALL),
        Engine("split-4", "split-k", products.split(4), dtypes=ALL),
        Engine("split-8", "split-k", products.split(8), dtypes=ALL),
        Engine("split-2-rounded", "split-k-rounded", products.split_in_16_bits(2)),
        Engine("split-4-rounded", "split-k-rounded", products.split_in_16_bits(4)),
        Engine("fused-norm", "fused-norm", attention=FLASH, patches=(fusion.wide_norms,)),
        Engine("fused-rotary", "fused-rotary", attention=FLASH, patches=(fusion.wide_rotary,)),
        Engine(
            "fused-activation",
            "fused-activation",
            attention=FLASH,
            patches=(fusion.fused_activation,),
            changes=fusion.gated,
        ),
        Engine("wide-blocks", "wide-blocks", products.float32, FLASH, (fusion.wide_norms, fusion.wide_blocks)),
        Engine("wide-residual", "wide-residual", attention=FLASH, patches=(fusion.wide_residual,)),
        Engine("wide-logits", "wide-logits", attention=FLASH, patches=(fusion.wide_logits,)),
        Engine("approximate", "approximate", attention=approximate.FLASH, functions=approximate.FUNCTIONS),
        Engine("chunked", "chunked", products.in_rows(16), Attention(rows=16)),
        Engine("padded-right", "padded", attention=BACKWARDS, batch="all", dtypes=ALL),
        Engine("padded-left", "padded", attention=FLASH, batch="all", padding="left", dtypes=ALL),
        Engine("compiled", "compiled", patches=(fusion.compiled,), compiles=True),
    )
}
