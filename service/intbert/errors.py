"""One error tree. Every error that a user can cause or meet carries a stable `code`, a message and optional details.

    IntbertError
    |- InputError            the request's content; code says which: empty_text, too_long, wrong_task, ...
    |- NotFoundError         model_not_found, version_not_found, variant_not_found
    |- OverloadedError       overloaded; retry_after_ms
    |- DeadlineError         deadline_exceeded
    |- CancelledError        cancelled: the client is gone
    |- UnavailableError      not_ready, draining
    |- PackageError          a model package that must not be used
    |  |- ManifestError        manifest_malformed: manifest.json is missing, no JSON, or breaks the schema
    |  |- FormatVersionError   format_version_unknown
    |  |- ArithmeticVersionError  arithmetic_version_unknown
    |  |- MissingFileError     file_missing
    |  |- ExtraFileError       file_extra
    |  |- UnsafePathError      path_unsafe: a symlink, or a path that leaves the package
    |  |- SizeMismatchError    size_mismatch
    |  |- HashMismatchError    hash_mismatch
    |  |- ExternalDataError    onnx_external_data
    |  |- TensorError          tensors_malformed: no safetensors file, or not the tensors of an integer program
    |  |- OnnxError            onnx_malformed: ONNX Runtime can't load the graph
    |  |- ProgramBoundsError   bounds_violated: the program could overflow
    |  |- GateError            gate_failed: the accuracy card breaks the package's own gate
    |  `- SelfTestError        self_test_failed: an engine's answer is not the known one
    |- ActivationError       a version that was not made the active one; the code is that of the reason
    |- ConfigError           configuration that can't work: config_invalid
    |- KernelError           kernel_unknown, kernel_unsupported, kernels_missing: the kernel set is not to be had here
    `- EngineError           engine_failed: a fault of ours during compute

`api/` holds the one table from these classes to HTTP status codes.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class IntbertError(Exception):
    """Base of all: `code` is stable and machine-readable, `message` is for people, `details` is JSON for both."""

    default_code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, code: str | None = None, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.details: dict[str, Any] = dict(details or {})


class InputError(IntbertError):
    """The request's content can't be answered."""

    default_code = "invalid_input"
    can_be_cut = False

    @classmethod
    def empty_text(cls, what: str = "text") -> "InputError":
        """`what` names the field, for example "inputs[3].text_pair"."""
        return cls(f"{what} is empty; send at least one visible character", code="empty_text", details={"field": what})

    @classmethod
    def too_long(
        cls, *, tokens: int, limit_tokens: int, field: str | None = None, advice: str | None = None
    ) -> "InputError":
        """Both figures count special tokens; `field` names the input, `advice` says what helps beside shorter texts.

        Without advice `can_be_cut` is set: each protocol has its own word for asking that the end be dropped.
        """
        error = cls(
            f"{field or 'the text'} has {tokens} tokens, more than the limit of {limit_tokens}; shorten it"
            + (f" or {advice}" if advice else ""),
            code="too_long",
            details={"tokens": tokens, "limit": limit_tokens} | ({"field": field} if field else {}),
        )
        error.can_be_cut = advice is None
        return error

    def with_advice(self, advice: str) -> "InputError":
        """The same, with one more way out."""
        return InputError(f"{self.message}, or {advice}", code=self.code, details=self.details)

    @classmethod
    def too_many(cls, *, what: str, count: int, limit: int) -> "InputError":
        """More of something than the server accepts at once."""
        return cls(
            f"{count} {what} in one request, more than the limit of {limit}; send fewer at a time",
            code="too_many",
            details={"count": count, "limit": limit},
        )

    @classmethod
    def wrong_task(cls, *, model: str, task: str, wanted: str) -> "InputError":
        """The model exists but answers another kind of question."""
        return cls(
            f"model {model!r} is for {task}, not {wanted}; choose another model",
            code="wrong_task",
            details={"model": model, "task": task},
        )

    @classmethod
    def no_digest(cls, *, model: str, variant: str) -> "InputError":
        """A digest is defined over int32 logits only."""
        return cls(
            f"variant {variant!r} of {model!r} is not integer-only, so it has no digest; leave return_digest out",
            code="digest_unavailable",
            details={"model": model, "variant": variant},
        )


class NotFoundError(IntbertError):
    """A model, version or variant that the store does not hold."""

    default_code = "not_found"

    @classmethod
    def of(cls, kind: str, name: str, known: list[str], *, where: str = "") -> "NotFoundError":
        """`kind` is model, version, variant or file; `known` are the names that would have worked."""
        have = f"; known: {', '.join(known)}" if known else "; there is none"
        return cls(
            f"no {kind} {name!r}{' in ' + where if where else ''}{have}",
            code=f"{kind}_not_found",
            details={kind: name, "known": known},
        )


class OverloadedError(IntbertError):
    """The queue is full; try again after `retry_after_ms`, computed from the measured token rate."""

    default_code = "overloaded"

    def __init__(self, message: str, *, retry_after_ms: int) -> None:
        super().__init__(message, details={"retry_after_ms": retry_after_ms})
        self.retry_after_ms = retry_after_ms


class DeadlineError(IntbertError):
    """The answer was not ready in the time that the request allowed."""

    default_code = "deadline_exceeded"


class CancelledError(IntbertError):
    """Nobody waits for the answer any more."""

    default_code = "cancelled"


class UnavailableError(IntbertError):
    """The service is loading, failed to load (the message says why), or is draining."""

    default_code = "not_ready"


class PackageError(IntbertError):
    """A model package that must not be used; the subclass says why, the message names file and values."""

    default_code = "package_invalid"


class ManifestError(PackageError):
    default_code = "manifest_malformed"


class FormatVersionError(PackageError):
    default_code = "format_version_unknown"


class ArithmeticVersionError(PackageError):
    default_code = "arithmetic_version_unknown"


class MissingFileError(PackageError):
    default_code = "file_missing"


class ExtraFileError(PackageError):
    default_code = "file_extra"


class UnsafePathError(PackageError):
    default_code = "path_unsafe"


class SizeMismatchError(PackageError):
    default_code = "size_mismatch"


class HashMismatchError(PackageError):
    default_code = "hash_mismatch"


class ExternalDataError(PackageError):
    default_code = "onnx_external_data"


class TensorError(PackageError):
    default_code = "tensors_malformed"


class OnnxError(PackageError):
    default_code = "onnx_malformed"


class ProgramBoundsError(PackageError):
    default_code = "bounds_violated"


class GateError(PackageError):
    default_code = "gate_failed"


class SelfTestError(PackageError):
    default_code = "self_test_failed"


class ActivationError(IntbertError):
    """Another version should serve and can't; what served before still does."""

    default_code = "activation_failed"

    @classmethod
    def of(cls, error: Exception, *, model: str, version: str, serving: str | None) -> "ActivationError":
        """`error` is the reason, `serving` the version that stays active."""
        stays = f"version {serving} keeps serving" if serving else "the model is not served"
        reason = error.message if isinstance(error, IntbertError) else str(error)
        return cls(
            f"version {version} of {model} was not activated: {reason}; {stays}",
            code=error.code if isinstance(error, IntbertError) else "store_unreadable",
            details={"model": model, "version": version, "active": serving},
        )


class ConfigError(IntbertError):
    """A setting, recipe or command line that can't work."""

    default_code = "config_invalid"


class KernelError(IntbertError):
    """The kernel set that was asked for does not exist, or this CPU can't run it."""

    default_code = "kernel_unsupported"


class EngineError(IntbertError):
    """A fault of ours during compute: never the client's."""

    default_code = "engine_failed"
