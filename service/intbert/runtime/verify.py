"""Do all implementations give the same bits? Reference, every kernel set of this machine, and the ONNX graph."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intbert.arithmetic.program import Program
from intbert.errors import NotFoundError
from intbert.model.package import Package
from intbert.runtime.batch import RaggedBatch, TokenSequence, split_logits
from intbert.runtime.engine import Engine
from intbert.runtime.engines import per_token
from intbert.runtime.evaluate import encode_all
from intbert.runtime.reference import ReferenceEngine

BATCH_SEQUENCES_MAX = 24
BATCH_TOKENS_MAX = 2048
THREADS = (1, 2)


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What `intbert verify --json` prints: a digest over all logits for each implementation."""

    texts: int
    implementations: dict[str, str]
    identical: bool

    def as_json(self) -> dict[str, Any]:
        """A plain document."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Implementation:
    """One way to compute the program. `make` is called when its turn comes, so only one is in memory at a time."""

    name: str
    make: Callable[[], Engine]
    threads: int


def verify(
    package: Package,
    texts: Sequence[tuple[str, str | None]],
    *,
    variant: str = "int8",
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Verification:
    """Compute all texts or pairs with every implementation, each in its own random batches."""
    sequences = encode_all(package.tokenizer(), package.manifest, texts)
    return verify_sequences(package, sequences, variant=variant, seed=seed, progress=progress)


def verify_sequences(
    package: Package,
    sequences: Sequence[TokenSequence],
    *,
    variant: str = "int8",
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Verification:
    """The same for sequences. The ONNX graph takes part when the package onnx is installed."""
    known = {name: entry for name, entry in package.manifest.variants.items() if entry.logit_scale is not None}
    if variant not in known:
        raise NotFoundError.of("variant", variant, sorted(known), where=package.manifest.name)
    scale = known[variant].logit_scale or 1.0
    implementations = implementations_of(package.program(variant), scale)
    digests: dict[str, str] = {}
    for index, item in enumerate(implementations):
        if progress is not None:
            progress(item.name)
        random = np.random.default_rng([seed, index])
        digests[item.name] = digest_all(item, sequences, per_token=per_token(package), random=random)
    return Verification(texts=len(sequences), implementations=digests, identical=len(set(digests.values())) == 1)


def implementations_of(program: Program, logit_scale: float) -> list[Implementation]:
    """All that this machine can run; kernel sets with one and with two threads."""
    from intbert.runtime.native import NativeEngine, supported_kernels

    found = [
        Implementation(name="reference", make=lambda: ReferenceEngine(program, logit_scale=logit_scale), threads=1)
    ]
    for kernels in supported_kernels():
        for threads in THREADS:
            name = f"native:{kernels}" + ("" if threads == 1 else f" ({threads} threads)")
            make = partial(NativeEngine, program, logit_scale=logit_scale, kernels=kernels)
            found.append(Implementation(name=name, make=make, threads=threads))
    graph = _onnx_graph(program, logit_scale)
    return [*found, *([graph] if graph is not None else [])]


def digest_all(
    item: Implementation, sequences: Sequence[TokenSequence], *, per_token: bool, random: np.random.Generator
) -> str:
    """SHA-256 over the int32 logits of all sequences in their own order, little endian."""
    session = item.make().session(item.threads)
    logits: list[NDArray[Any]] = [np.empty(0, dtype=np.int32)] * len(sequences)
    for members in random_batches([sequence.tokens for sequence in sequences], random):
        batch = RaggedBatch.of([sequences[index] for index in members])
        for index, row in zip(members, split_logits(session.run(batch), batch, per_token=per_token), strict=True):
            logits[index] = row
    total = sha256()
    for row in logits:
        total.update(np.ascontiguousarray(row).astype("<i4").tobytes())
    return total.hexdigest()


def random_batches(lengths: Sequence[int], random: np.random.Generator) -> Iterator[list[int]]:
    """Indices in random order, cut into batches of random sizes: from one alone to many."""
    members: list[int] = []
    tokens, wanted = 0, int(random.integers(1, BATCH_SEQUENCES_MAX + 1))
    for index in random.permutation(len(lengths)).tolist():
        if members and (len(members) == wanted or tokens + lengths[index] > BATCH_TOKENS_MAX):
            yield members
            members, tokens, wanted = [], 0, int(random.integers(1, BATCH_SEQUENCES_MAX + 1))
        members.append(index)
        tokens += lengths[index]
    if members:
        yield members


def random_sequences(package: Package, count: int, *, seed: int = 0) -> list[TokenSequence]:
    """Random tokens of random lengths up to the model's limit, short ones more often; for a check without texts."""
    random = np.random.default_rng(seed)
    manifest = package.manifest
    lengths = np.exp(random.uniform(0, np.log(manifest.max_tokens), count)).astype(int)
    return [
        TokenSequence.of(
            random.integers(0, manifest.architecture.vocabulary, length),
            np.sort(random.integers(0, manifest.architecture.token_types, length)),
        )
        for length in np.maximum(lengths, 1)
    ]


def _onnx_graph(program: Program, logit_scale: float) -> Implementation | None:
    from intbert.runtime.onnx import OnnxIntegerEngine
    from intbert.runtime.onnx_graph import build_integer_graph

    try:
        model = build_integer_graph(program).SerializeToString()
    except ModuleNotFoundError as error:
        if error.name != "onnx":
            raise
        return None
    return Implementation(
        name="onnx-integer",
        make=lambda: OnnxIntegerEngine(model, logit_scale=logit_scale, weights_bytes=len(model)),
        threads=1,
    )
