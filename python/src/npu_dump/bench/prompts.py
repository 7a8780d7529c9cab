"""What is fed: random token ids, new ones for every request, or prompts that were given, over and over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import cycle, islice
from typing import Any, Protocol

import numpy as np

from ..endpoint.questions import Question
from ..errors import DumpError

# Words that most vocabularies hold whole: so many words are about as many tokens.
_TEXT = (
    "time year people way day man thing woman life child world school state family student group country problem "
    "hand part place case week company system program question work government number night point home water room "
    "mother area money story fact month lot right study book eye job word business issue side kind head house "
    "service friend father power hour game line end member law car city community name president team minute idea "
    "body information back parent face others level office door health person art war history party result change "
    "morning reason research girl guy moment air teacher force education"
)
_WORDS = _TEXT.split()


class Prompts(Protocol):
    """Where the prompts of a measurement come from."""

    kind: str
    mean_tokens: float

    def take(self, count: int) -> list[Question]:
        """Return the next ``count`` prompts."""
        ...


class RandomIds:
    """Prompts of ``tokens`` random ids each, which no prefix cache has seen before.

    Args:
        legal: ids to draw from.
        tokens: of each prompt.
        seed: of the draws.
    """

    kind = "random"

    def __init__(self, legal: np.ndarray, tokens: int, seed: int) -> None:
        self._legal = legal
        self._tokens = tokens
        self._random = np.random.default_rng(seed)
        self.mean_tokens = float(tokens)

    def take(self, count: int) -> list[Question]:  # noqa: D102 - see Prompts
        drawn = self._legal[self._random.integers(len(self._legal), size=(count, self._tokens))]
        return [Question(tuple(row), fixed=True) for row in drawn.tolist()]


class RandomWords:
    """The same where nobody here knows the vocabulary: random words, as the server's tokenizer cuts them.

    Args:
        tokenize: gives the ids of a text; None where the server does not tell them: then the text is fed, and only
            the server knows how many tokens it has.
        tokens: of each prompt, words where its tokens are not known.
        seed: of the draws.
    """

    kind = "random"

    def __init__(self, tokenize: Callable[[str], Sequence[int] | None], tokens: int, seed: int) -> None:
        self._tokenize = tokenize
        self._tokens = tokens
        self._random = np.random.default_rng(seed)
        self.mean_tokens = float(tokens)

    def take(self, count: int) -> list[Question]:  # noqa: D102 - see Prompts
        drawn = self._random.integers(len(_WORDS), size=(count, self._tokens)).tolist()
        return [self._question(" ".join(_WORDS[word] for word in row)) for row in drawn]

    def _question(self, text: str) -> Question:
        # A word is one token or more.
        ids = self._tokenize(text)
        return Question(None, text) if ids is None else Question(tuple(ids[: self._tokens]), fixed=True)


class Given:
    """Prompts that were given, in their order and from the beginning again."""

    kind = "text"

    def __init__(self, questions: Sequence[Question]) -> None:
        self._questions = cycle(questions)
        lengths = [len(question.ids) for question in questions if question.ids is not None]
        self.mean_tokens = round(sum(lengths) / len(lengths), 1) if lengths else 0.0

    def take(self, count: int) -> list[Question]:  # noqa: D102 - see Prompts
        return list(islice(self._questions, count))


def legal_ids(tokenizer: Any, config: Any = None) -> np.ndarray:
    """Return the ids of ordinary tokens.

    Args:
        tokenizer: of transformers; None where there is none.
        config: the text configuration of the model, or None; it may have more ids than the tokenizer, or fewer.

    Raises:
        DumpError: ``vocabulary-empty``: none is left.
    """
    sizes = [len(tokenizer)] if tokenizer is not None else []
    sizes += [size] if (size := getattr(config, "vocab_size", None)) else []
    special = set(_special_ids(tokenizer)) | set(_ids_of(config))
    legal = np.array([token for token in range(min(sizes, default=0)) if token not in special], dtype=np.int64)
    if not legal.size:
        raise DumpError(
            "vocabulary-empty",
            "there is no ordinary token to make prompts of",
            facts=[("vocabulary", min(sizes, default=0)), ("special", len(special))],
            help="give prompts: --prompts FILE or --tokens-from DUMP",
        )
    return legal


def _special_ids(tokenizer: Any) -> Iterable[int]:
    if tokenizer is None:
        return
    yield from tokenizer.all_special_ids
    # Markers of images, tools or turns are special to the model, not only those that have a role of their own.
    yield from getattr(tokenizer, "added_tokens_decoder", {})


def _ids_of(config: Any) -> Iterable[int]:
    """Yield the ids that a configuration names: ends, padding, places of images."""
    for name, value in (vars(config) if config is not None else {}).items():
        if name.endswith(("token_id", "token_index")):
            yield from (token for token in (value if isinstance(value, list) else [value]) if isinstance(token, int))
