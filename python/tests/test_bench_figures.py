"""What figures are made of times: by hand-made clocks whose answers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from transformers import AutoTokenizer, LlamaConfig

from npu_dump import DumpError
from npu_dump.bench.engine import Iteration, Timing
from npu_dump.bench.figures import metrics_of, summary_of
from npu_dump.bench.prompts import RandomIds, RandomWords, legal_ids
from npu_dump.spans import covered


def test_each_request_has_its_times_and_the_run_its_throughput() -> None:
    # Two at once from 10 s to 12 s, a pause, then one from 20 s to 24 s: 6 s in which one was under way.
    together = Iteration((Timing(10, 10.5, 12, 12, 4, 7, 0.25), Timing(10, 11, 11.5, 11.5, 2, 9, 0.75)), 2.5)
    alone = Iteration((Timing(20, 24, 24, 24, 1, 5, 3.5),), 4.5)
    found, absent = metrics_of([together, alone])
    assert absent == {}
    assert found["ttft_ms"].tolist() == [500, 1000, 4000]
    np.testing.assert_array_equal(found["tpot_ms"], [500, 500, math.nan])
    assert found["e2e_ms"].tolist() == [2000, 1500, 4000]
    assert found["prefill_ms"].tolist() == [250, 750, 3500]
    assert found["iteration_s"].tolist() == [2.5, 4.5]
    assert float(found["output_tokens_per_s"]) == 7 / 6
    assert float(found["total_tokens_per_s"]) == 28 / 6
    assert float(found["requests_per_s"]) == 3 / 6
    summary = summary_of(found)
    assert summary["tpot_ms"] == {"mean": 500, "min": 500, "max": 500}
    assert summary["requests_per_s"] == 0.5


def test_what_nobody_counted_makes_no_throughput() -> None:
    found, absent = metrics_of([Iteration((Timing(0, 1, 2, 2, None, 3), Timing(2, 3, 4, 4, 2, None)), 4.0)])
    assert set(absent) == {"prefill_ms", "input_tokens", "output_tokens_per_s", "total_tokens_per_s"}
    assert not set(absent) & set(found)
    np.testing.assert_array_equal(found["output_tokens"], [math.nan, 2])
    assert math.isnan(found["tpot_ms"][0])
    assert float(found["requests_per_s"]) == 0.5


def test_spans_that_overlap_count_once() -> None:
    assert covered([(0, 4), (1, 2), (3, 6), (10, 11)]) == 7
    assert covered([]) == 0


def test_random_ids_are_ordinary_tokens(model_folder: object) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    config = LlamaConfig(vocab_size=len(tokenizer) - 3, bos_token_id=0, eos_token_id=[1, 9], pad_token_id=None)
    legal = legal_ids(tokenizer, config)
    assert not {0, 1, 9} & set(legal.tolist())
    assert legal.max() == len(tokenizer) - 4
    first, again = (RandomIds(legal, 40, seed).take(5) for seed in (3, 3))
    assert first == again != RandomIds(legal, 40, 4).take(5)
    assert len({question.ids for question in first}) == 5
    assert all(set(question.ids or ()) <= set(legal.tolist()) for question in first)
    with pytest.raises(DumpError, match="no ordinary token"):
        legal_ids(None, LlamaConfig(vocab_size=2, bos_token_id=0, eos_token_id=1))


def test_random_words_are_cut_to_their_tokens() -> None:
    questions = RandomWords(lambda text: tuple(text.encode()), 12, 0).take(2)
    assert [len(question.ids or ()) for question in questions] == [12, 12]
    (unknown,) = RandomWords(lambda _: None, 12, 0).take(1)
    assert unknown.ids is None
    assert unknown.text is not None
    assert len(unknown.text.split()) == 12
