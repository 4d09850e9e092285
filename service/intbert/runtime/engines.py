"""From a package's variant to an engine, and the known-answer self-test that it must pass."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intbert.errors import KernelError, SelfTestError
from intbert.model.package import Package
from intbert.model.tokenizer import Tokenizer
from intbert.runtime.answers import digest_of
from intbert.runtime.batch import RaggedBatch, TokenSequence
from intbert.runtime.engine import Engine
from intbert.runtime.onnx import ActivationSize, OnnxFloatEngine


def load_engine(
    package: Package,
    variant: str,
    *,
    kernels: str | None = None,
    pool_threads: int | None = None,
    spin: bool = False,
) -> Engine:
    """The engine of a variant: our kernels for integer programs, ONNX Runtime for the rest.

    `kernels` forces a kernel set (KernelError if it can't be had); for `pool_threads` and `spin` see OnnxFloatEngine.
    """
    entry = package.manifest.variants[variant]
    if entry.logit_scale is not None:
        tensors = package.program(variant).tensors()
        return _native_engine(tensors, logit_scale=entry.logit_scale, kernels=kernels)
    architecture = package.manifest.architecture
    activation = ActivationSize(
        channels=architecture.channels, intermediate=architecture.intermediate, heads=architecture.heads
    )
    # Half precision is widened at load. Of int8 this is the least: what ONNX Runtime cannot multiply it widens, too
    held_bytes = entry.bytes if entry.stored_dtype == "int8" else entry.bytes_at_fp32
    return OnnxFloatEngine(
        package.onnx(variant),
        held_bytes=held_bytes,
        activation=activation,
        pool_threads=pool_threads,
        spin=spin,
    )


def _native_engine(tensors: dict[str, NDArray[Any]], *, logit_scale: float, kernels: str | None) -> Engine:
    try:
        from intbert.runtime.native import NativeEngine
    except ImportError as error:
        raise KernelError(
            f"the compiled kernels can't be loaded ({error}); install intbert again, or run `make` in a checkout",
            code="kernels_missing",
        ) from error
    return NativeEngine(tensors, logit_scale=logit_scale, kernels=kernels)


def per_token(package: Package) -> bool:
    """True when logits are (tokens, 2)."""
    return package.manifest.task == "question-answering"


def self_test(package: Package, variant: str, engine: Engine, tokenizer: Tokenizer) -> None:
    """Compare an integer engine with the manifest's known answers; a float engine must give finite numbers.

    Raises SelfTestError.
    """
    session = engine.session(1)
    for known in package.manifest.known_answers:
        sequence = encode_known(tokenizer, known.text, known.text_pair, package.manifest.max_tokens)
        logits = session.run(RaggedBatch.of([sequence]))
        if not engine.integer_only:
            if not np.all(np.isfinite(logits)):
                raise SelfTestError(
                    f"{package.directory}: {engine.name} computes {variant} to numbers that are not finite"
                )
        elif known.variant == variant and known_digest(logits) != known.digest:
            raise SelfTestError(
                f"{package.directory}: {engine.name} computes {variant} wrongly on this machine: a known text "
                "gives other logits; try another kernel set with INTBERT_KERNELS and report this"
            )


def try_out(package: Package, *, kernels: str | None = None) -> dict[str, Engine]:
    """Load and test every variant, one after the other. Raises what `load_engine` and `self_test` raise."""
    tokenizer = package.tokenizer()
    engines = {}
    for variant in package.manifest.variants:
        engines[variant] = load_engine(package, variant, kernels=kernels)
        self_test(package, variant, engines[variant], tokenizer)
    return engines


def encode_known(tokenizer: Tokenizer, text: str, text_pair: str | None, limit_tokens: int) -> TokenSequence:
    """A known answer's text as one sequence, cut to the limit."""
    encoded = tokenizer.encode(text, text_pair, limit_tokens=limit_tokens, truncate=True)
    return TokenSequence(token_ids=encoded.token_ids, type_ids=encoded.type_ids)


def known_digest(logits: NDArray[Any]) -> str:
    """Digest of one sequence's int32 logits, (1, labels), or (tokens, 2): all starts, then all ends."""
    return digest_of(np.ascontiguousarray(logits.T))
