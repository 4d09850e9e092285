"""Every kernel set that this machine can run computes the specification bit for bit."""

import numpy as np
import pytest

from intbert import _kernels
from intbert.arithmetic.encoder import forward
from intbert.runtime.batch import RaggedBatch
from intbert.runtime.native import NativeEngine
from tests.arithmetic.programs import Dimensions, extreme_program, random_program
from tests.kernels.random_program import Case, batch_of, random_case, single

BERT_SHAPES = (
    Dimensions(channels=384, heads=12, intermediate=1536, layers=2, positions=512),
    Dimensions(channels=768, heads=12, intermediate=3072, layers=1, positions=512, pooler=False, labels=2),
    Dimensions(channels=1024, heads=16, intermediate=4096, layers=1, positions=514, position_offset=2, relu=True),
)


@pytest.fixture(params=_kernels.available())
def kernels(request: pytest.FixtureRequest) -> str:
    """Each kernel set in turn."""
    return str(request.param)


def assert_equal_to_specification(case: Case, kernels: str) -> None:
    batch = case.batch
    expected = forward(case.program, batch.token_ids, batch.type_ids, batch.cumulative_lengths)
    engine = NativeEngine(case.program, logit_scale=1.0, kernels=kernels)
    for threads in (1, 2):
        actual = engine.session(threads).run(batch)
        assert actual.dtype == np.int32
        np.testing.assert_array_equal(actual, expected, err_msg=f"{kernels}, {threads} threads")


@pytest.mark.parametrize("seed", range(24))
def test_random_programs(seed: int, kernels: str) -> None:
    """Any architecture, any constants, any composition of the batch, one thread or two."""
    assert_equal_to_specification(random_case(seed), kernels)


@pytest.mark.parametrize("dimensions", BERT_SHAPES, ids=lambda d: str(d.channels))
@pytest.mark.parametrize("make", [random_program, extreme_program])
def test_shapes_of_bert(dimensions: Dimensions, make: type, kernels: str) -> None:
    """The sizes of MiniLM, BERT-base and BERT-large, with one token, with 512 and with lengths between."""
    program = make(1, dimensions)
    lengths = [1, 40] if dimensions.channels > 384 else [1, 7, 300]
    assert_equal_to_specification(Case(program=program, batch=batch_of(program, 2, lengths)), kernels)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 6, 7, 11, 13, 31, 32, 33, 63, 64, 65, 95, 96, 97, 127, 128, 129])
def test_every_edge_of_a_tile(length: int, kernels: str) -> None:
    """Rows in tiles of six and blocks of ninety-six, keys in blocks of sixty-four."""
    program = random_program(3, Dimensions(channels=64, heads=2, positions=160, pooler=False))
    assert_equal_to_specification(Case(program=program, batch=batch_of(program, length, [length])), kernels)


@pytest.mark.parametrize("seed", range(5))
def test_composition_of_the_batch_does_not_matter(seed: int, kernels: str) -> None:
    """A sequence gets the same logits alone, in a batch, and in the batch reversed, by one session after another."""
    case = random_case(1000 + seed)
    session = NativeEngine(case.program, logit_scale=1.0, kernels=kernels).session(1)
    together = session.run(case.batch).copy()
    pooled = case.program.head.pooler is not None
    for index, tokens in enumerate(case.batch.slices()):
        rows = slice(index, index + 1) if pooled else tokens
        np.testing.assert_array_equal(session.run(single(case.batch, tokens)), together[rows])
    if pooled:
        np.testing.assert_array_equal(session.run(reversed_batch(case.batch)), together[::-1])


def reversed_batch(batch: RaggedBatch) -> RaggedBatch:
    order = np.concatenate([np.arange(s.start, s.stop) for s in reversed(list(batch.slices()))])
    ends = np.concatenate([[0], np.cumsum(batch.lengths[::-1])]).astype(np.int32)
    return RaggedBatch(token_ids=batch.token_ids[order], type_ids=batch.type_ids[order], cumulative_lengths=ends)


@pytest.mark.parametrize("pooler", [True, False])
def test_large_batches_in_parts(pooler: bool, kernels: str) -> None:
    """A batch too large for the cache passes in parts of whole sequences; a part may be one long sequence."""
    program = random_program(7, Dimensions(channels=64, heads=2, positions=400, pooler=pooler))
    lengths = [90, 90, 90, 1, 400, 3, 191, 1, 192, 193]
    assert_equal_to_specification(Case(program=program, batch=batch_of(program, 8, lengths)), kernels)


def test_last_layer_skips_only_what_nobody_reads(kernels: str) -> None:
    """With a pooler the last layer computes first tokens only; the specification computes all of them."""
    program = random_program(5, Dimensions(channels=96, heads=3, layers=1, labels=5, positions=100))
    for lengths in ([100], [9, 1, 77], [1] * 13):
        assert_equal_to_specification(Case(program=program, batch=batch_of(program, 6, lengths)), kernels)
