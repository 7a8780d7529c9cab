"""A dump of what an engine tells whose graphs no hook sees into."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..inputs import Request
from ..outcome import Outcome
from ..progress import Progress
from ..repeats import batches
from ..tokens import Sample
from ..writer import DumpWriter
from .continuing import continued, repeat
from .outputs import Arrays, Stored, continuation_of, likeliest, own_logprobs, texts_of
from .session import Session


def graph_dump(
    request: Request,
    session: Session,
    samples: list[Sample],
    metadata: dict[str, Any],
    tokenizer: Any,
    progress: Progress,
) -> Outcome:
    """Write the dump: log-probabilities of the prompts, continuations, and those of the repetitions.

    Row t of the most likely tokens is the prediction of the token after ``input_ids[t]``: the engine tells it with
    that token, and that of the last row with the first new token.
    """
    run = session.call("npu_dump_describe")[0]
    run["engine"]["graph"] = True
    run["model"] |= metadata.get("model", {})
    select = ["token_logprob", "topk_ids", "topk_logprobs"]
    plan = {"mode": "topk", "select": select, "top_k": request.top_k, "replay_of": None}
    run["capture"] = plan | {"decode": False}
    run |= {key: value for key, value in metadata.items() if key != "model"}
    with DumpWriter(request.output, run=run, overwrite=request.force) as writer:

        def store(number: int, stored: Stored, repetition: int = 0) -> None:
            texts, arrays = stored
            for name, text in texts.items():
                writer.write_text(name, text, sample=number, repeat=repetition)
            for name, (dtype, shape, values) in arrays.items():
                tensor = np.array(values, dtype=dtype).reshape(shape)
                writer.write(name, tensor, sample=number, repeat=repetition)

        done = 0
        for batch in batches(samples, request.batch):
            outputs = session.generate([_asked(request, session, sample) for _, sample in batch])
            own = continued(request, session, batch)
            for (number, sample), output, free in zip(batch, outputs, own, strict=True):
                texts, arrays = continuation_of(free, tokenizer, request.top_k)
                store(number, (texts_of(sample) | texts, _prompt(request, sample, output) | arrays))
            writer.flush()
            done += len(batch)
            progress.step("capturing", done, len(samples), "samples")
        repeat(request, session, samples, store, tokenizer, progress)
    return Outcome.of(request.output, writer.run, [len(sample.ids) for sample in samples])


def _asked(request: Request, session: Session, sample: Sample) -> Any:
    return session.request(sample.ids, tokens=1, prompt_logprobs=request.top_k, logprobs=request.top_k)


def _prompt(request: Request, sample: Sample, output: Any) -> Arrays:
    own = own_logprobs(sample.ids, output.prompt_logprobs)
    following = [*output.prompt_logprobs[1:], output.outputs[0].logprobs[0]]
    return {
        "input_ids": ("int64", [len(sample.ids)], list(sample.ids)),
        "token_logprob": ("float64", [len(own)], own),
        **likeliest("topk", following, request.top_k),
    }
