"""Ranges of every site on training texts: the FP32 graph with sites as outputs, in ONNX Runtime, without padding."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel

from intbert.builder.features import Feature
from intbert.builder.fp32_graph import FloatStorage, GraphWriter, build_graph
from intbert.builder.recipe import Recipe
from intbert.builder.variants.ranges import BINS, Observed, Range
from intbert.runtime.onnx import open_session

TOKENS_MAX = 16384  # of all texts: long windows say as much with fewer of them
BATCH_TOKENS = 512
WITHOUT_CHANNELS = ("query", "key", "value", "scores", "probabilities")  # split into heads, or tokens by tokens
Tensors = dict[str, NDArray[np.float32]]


class _Exposed(FloatStorage):
    """The FP32 graph whose sites, and what matrices read, are outputs."""

    def __init__(self) -> None:
        super().__init__(half_precision=False)
        self.names: list[str] = []

    def activation(self, writer: GraphWriter, site: str, tensor: str) -> str:
        """The tensor, given out under its name."""
        if site not in self.names:
            self.names.append(site)
            writer.output(f"site/{site}", tensor)
        return tensor

    def linear_input(self, writer: GraphWriter, site: str, tensor: str) -> str:
        """The same; most were given out where they came from."""
        return self.activation(writer, site, tensor)


@dataclass(kw_only=True)
class _Observer:
    """Collects one site: extremes in the first pass, a histogram between them in the second."""

    low: float = 0.0
    high: float = 0.0
    channel_low: Any = None
    channel_high: Any = None
    counts: NDArray[np.float64] = field(default_factory=lambda: np.zeros(BINS))

    def widen(self, values: NDArray[np.float32], *, channels: bool) -> None:
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        if channels:
            rows = values.reshape(-1, values.shape[-1]).astype(np.float64)
            low, high = rows.min(axis=0), rows.max(axis=0)
            self.channel_low = low if self.channel_low is None else np.minimum(self.channel_low, low)
            self.channel_high = high if self.channel_high is None else np.maximum(self.channel_high, high)

    def count(self, values: NDArray[np.float32]) -> None:
        scale = BINS / (self.high - self.low) if self.high > self.low else 0.0
        bins = np.minimum(((values.reshape(-1) - self.low) * scale).astype(np.int32), BINS - 1)
        self.counts += np.bincount(bins, minlength=BINS)

    def observed(self) -> Observed:
        return Observed(
            range=Range(low=self.low, high=self.high),
            counts=self.counts,
            channel_low=self.channel_low,
            channel_high=self.channel_high,
        )


def observe(model: PreTrainedModel, texts: Sequence[Feature], *, threads: int = 1) -> dict[str, Observed]:
    """What every site, and every input of a matrix, takes as values over the texts."""
    exposed = _Exposed()
    session = open_session(build_graph(model, exposed).SerializeToString(), threads, spin=False)
    observers = {name: _Observer() for name in exposed.names}
    for tensors in _computed(session, exposed.names, texts):
        for name, values in tensors.items():
            channels = name.rpartition(".")[2] not in WITHOUT_CHANNELS
            observers[name].widen(values, channels=channels)
    for tensors in _computed(session, exposed.names, texts):
        for name, values in tensors.items():
            observers[name].count(values)
    return {name: observer.observed() for name, observer in observers.items()}


def calibration_texts(recipe: Recipe, train: Sequence[Feature]) -> list[Feature]:
    """Training examples drawn with the seed: `quantise.calibration_examples`, or as many as TOKENS_MAX tokens hold."""
    count = min(recipe.quantise.calibration_examples, len(train))
    chosen: list[Feature] = []
    tokens = 0
    for index in random.Random(recipe.seed).sample(range(len(train)), count):
        tokens += len(train[index]["input_ids"])
        if chosen and tokens > TOKENS_MAX:
            break
        chosen.append(train[index])
    return chosen


def _computed(session: Any, names: Sequence[str], texts: Sequence[Feature]) -> Iterator[Tensors]:
    outputs = [f"site/{name}" for name in names]
    for batch in same_lengths(texts):
        yield dict(zip(names, session.run(outputs, inputs_of(batch)), strict=True))


def same_lengths(texts: Sequence[Feature]) -> Iterator[list[Feature]]:
    """Batches in which nothing is padded."""
    for _, group in groupby(sorted(texts, key=_length), key=_length):
        members = list(group)
        size = max(1, BATCH_TOKENS // _length(members[0]))
        yield from (members[start : start + size] for start in range(0, len(members), size))


def inputs_of(batch: Sequence[Feature]) -> dict[str, NDArray[np.int64]]:
    """Texts of one length as the graph reads them: (texts, tokens)."""
    ids = np.array([text["input_ids"] for text in batch], dtype=np.int64)
    types = np.array([text["token_type_ids"] for text in batch], dtype=np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": types}


def _length(text: Feature) -> int:
    return len(text["input_ids"])
