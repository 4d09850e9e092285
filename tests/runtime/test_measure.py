"""Evaluation, benchmark and verification, each through the engines that serve."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intbert.arithmetic.encoder import forward
from intbert.errors import InputError, KernelError, NotFoundError
from intbert.model.package import Package
from intbert.runtime.batch import RaggedBatch, TokenSequence
from intbert.runtime.bench import Shape, bench, cpu_name, parse_shapes
from intbert.runtime.engine import Engine, EngineSession
from intbert.runtime.evaluate import encode_all, evaluate, similar_lengths
from intbert.runtime.examples import LabelledText
from intbert.runtime.native import NativeEngine, supported_kernels
from intbert.runtime.verify import (
    Implementation,
    digest_all,
    random_batches,
    random_sequences,
    verify,
    verify_sequences,
)
from tests.model.packages import WORDS, make_package


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return make_package(tmp_path_factory.mktemp("store"))


def examples(package: Package) -> list[LabelledText]:
    """Forty texts, three in four labelled as the reference answers."""
    texts = [(" ".join(WORDS[i % 5].split() * (1 + i % 7)), None) for i in range(40)]
    found = []
    for index, item in enumerate(encode_all(package.tokenizer(), package.manifest, texts)):
        batch = RaggedBatch.of([item])
        label = int(forward(package.program(), batch.token_ids, batch.type_ids, batch.cumulative_lengths).argmax())
        found.append(LabelledText(text=texts[index][0], label=label if index % 4 else 1 - label))
    return found


@pytest.mark.parametrize("kernels", [None, "portable"])
def test_evaluation_counts_what_the_engine_answers(package: Package, kernels: str | None) -> None:
    """Batches sorted by length change neither order nor answers; the document is the one promised."""
    done: list[tuple[int, int]] = []
    result = evaluate(
        package, "int8", examples(package), kernels=kernels, progress=lambda now, total: done.append((now, total))
    )
    assert result.metrics["accuracy"] == 75.0
    assert result.engine == f"native:{kernels or supported_kernels()[0]}"
    assert done[-1] == (40, 40)
    document = json.loads(json.dumps(result.as_json()))
    assert set(document) == {"model", "variant", "engine", "examples", "metrics", "tokens_per_s"}
    assert document["tokens_per_s"] > 0


def test_float_variant_is_evaluated_the_same_way(package: Package) -> None:
    """Through ONNX Runtime, with the same metrics."""
    result = evaluate(package, "fp32", examples(package), threads=2)
    assert result.engine == "onnxruntime"
    assert set(result.metrics) == {"accuracy", "matthews", "f1"}


@pytest.mark.parametrize(
    ("problem", "labels", "gold", "metrics"),
    [
        ("regression", 1, [0.5, 2.0, 1.0], {"pearson", "spearman"}),
        ("multi_label_classification", 3, [(0, 2), (), (1,)], {"accuracy", "f1_micro"}),
    ],
)
def test_other_problems_have_their_own_metrics(
    tmp_path: Path, problem: str, labels: int, gold: list[float | tuple[int, ...]], metrics: set[str]
) -> None:
    """Regression and multi-label models."""
    other = make_package(tmp_path, problem_type=problem, labels=labels)
    items = [LabelledText(text=text, label=label) for text, label in zip(WORDS[:3], gold, strict=True)]
    assert set(evaluate(other, "int8", items).metrics) == metrics


def test_wrong_evaluations_are_refused(package: Package, tmp_path: Path) -> None:
    """Unknown variant or kernels, nothing to evaluate, a model of another task."""
    items = examples(package)
    with pytest.raises(NotFoundError, match="known: fp32, int8"):
        evaluate(package, "int4", items)
    with pytest.raises(KernelError, match="sse9"):
        evaluate(package, "int8", items, kernels="sse9")
    with pytest.raises(InputError, match="nothing to evaluate"):
        evaluate(package, "int8", [])
    spans = make_package(tmp_path, name="spans", task="question-answering")
    with pytest.raises(InputError, match="not text-classification"):
        evaluate(spans, "int8", items)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=50), st.integers(1, 200))
def test_batches_of_similar_lengths_cover_all(sizes: list[int], budget: int) -> None:
    """Each index once, sorted, within the budget or alone."""
    items = [TokenSequence.of([1] * size) for size in sizes]
    batches = list(similar_lengths(items, budget))
    flat = [index for batch in batches for index in batch]
    assert sorted(flat) == list(range(len(sizes)))
    assert [sizes[index] for index in flat] == sorted(sizes)
    assert all(sum(sizes[i] for i in batch) <= budget or len(batch) == 1 for batch in batches)


def test_bench_measures_every_cell(package: Package) -> None:
    """One row for each variant, shape and thread count, with plausible times; the document is the one promised."""
    result = bench(package, parse_shapes("1x16,4x48"), variants=["int8", "fp32"], threads=[1, 2], seconds=0.05)
    document = json.loads(json.dumps(result.as_json()))
    assert set(document) == {"cpu", "kernels", "rows"}
    assert document["kernels"] == supported_kernels()[0]
    cells = {(row["variant"], row["batch"], row["tokens"], row["threads"]) for row in document["rows"]}
    assert len(cells) == len(document["rows"]) == 8
    assert all(0 < row["min_ms"] <= row["median_ms"] for row in document["rows"])


def test_bench_without_an_integer_variant_names_no_kernels(package: Package) -> None:
    """FP32 alone runs none of ours."""
    assert bench(package, [Shape(batch=1, tokens=8)], variants=["fp32"], seconds=0.01).kernels is None


@pytest.mark.parametrize("text", ["", "16", "1x", "x16", "1x16,", "0x16", "1x0", "1x-3", "axb"])
def test_wrong_shapes_are_refused(text: str) -> None:
    """With an example of the right form."""
    with pytest.raises(InputError, match="for example 1x128"):
        parse_shapes(text)


def test_shape_beyond_the_model_is_refused(package: Package) -> None:
    """Before anything is measured."""
    with pytest.raises(InputError, match="49 tokens"):
        bench(package, [Shape(batch=1, tokens=49)], variants=["int8"])


def test_cpu_has_a_name(tmp_path: Path) -> None:
    """On x86 the model's name; where Linux tells nothing, "unknown"."""
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: Tiny CPU @ 1 GHz\nmodel name\t: second\n")
    assert cpu_name(info) == "Tiny CPU @ 1 GHz"
    assert cpu_name(tmp_path / "missing") == "unknown"


@pytest.mark.parametrize("task", ["text-classification", "question-answering"])
def test_all_implementations_agree(tmp_path: Path, task: str) -> None:
    """Reference, every kernel set on one and two threads, and the ONNX graph, each in its own random batches."""
    other = make_package(tmp_path, task=task)
    result = verify_sequences(other, random_sequences(other, 30))
    assert result.identical
    names = set(result.implementations)
    assert {"reference", "onnx-integer", "native:portable", "native:portable (2 threads)"} <= names
    assert {f"native:{kernels}" for kernels in supported_kernels()} <= names
    assert set(result.as_json()) == {"texts", "implementations", "identical"}


def test_texts_are_verified_too(package: Package) -> None:
    """Texts and pairs; the digest depends on the texts, not on the batches."""
    pairs = [(WORDS[0], None), (WORDS[3], WORDS[4])]
    first, second = verify(package, pairs, seed=1), verify(package, pairs, seed=2)
    assert first.identical
    assert first == second
    assert verify(package, pairs[:1]).implementations != first.implementations
    with pytest.raises(NotFoundError, match="known: int8"):
        verify(package, pairs, variant="fp32")


def _same(engine: Engine) -> Engine:
    return engine


class _OffByOne:
    """The native engine with one wrong bit in one logit of long batches."""

    name = "wrong"
    integer_only = True
    logit_scale = 1.0
    weights_bytes = 0

    def __init__(self, inner: Engine) -> None:
        self._inner = inner

    def session(self, threads: int) -> EngineSession:
        return _OffByOneSession(self._inner.session(threads))

    def arena_bytes(self) -> int:
        return 0


class _OffByOneSession:
    def __init__(self, inner: EngineSession) -> None:
        self._inner = inner

    def run(self, batch: RaggedBatch) -> np.ndarray:
        logits = self._inner.run(batch).copy()
        if batch.sequences > 3:
            logits[0, 0] ^= 1
        return logits


def test_one_wrong_bit_is_found(package: Package) -> None:
    """In one logit, and only in larger batches: what depends on the batch can't hide."""
    sequences = random_sequences(package, 40)
    digests = set()
    for wrong in (False, True):
        engine: Engine = NativeEngine(package.program(), logit_scale=1.0, kernels=None)
        chosen = _OffByOne(engine) if wrong else engine
        item = Implementation(name="x", make=partial(_same, chosen), threads=1)
        digests.add(digest_all(item, sequences, per_token=False, random=np.random.default_rng(0)))
    assert len(digests) == 2


@given(st.lists(st.integers(1, 500), min_size=1, max_size=60), st.integers(0, 100))
def test_random_batches_cover_all(sizes: list[int], seed: int) -> None:
    """Each index once; the composition differs with the seed."""
    batches = list(random_batches(sizes, np.random.default_rng(seed)))
    assert sorted(index for batch in batches for index in batch) == list(range(len(sizes)))
