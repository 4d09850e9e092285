"""What the parameters of every task say: which model answers, and how."""

from dataclasses import dataclass, replace
from typing import Self

from intbert.runtime.observer import VariantKey


@dataclass(frozen=True, kw_only=True)
class Selection:
    """None is the default: the task's model, newest version, default variant, the service's timeout."""

    model: str | None = None
    version: str | None = None
    variant: str | None = None
    return_digest: bool = False
    timeout_s: float | None = None

    def for_variant(self, key: VariantKey, *, return_digest: bool, timeout_s: float | None) -> Self:
        """The same, of one variant of one version."""
        return replace(
            self,
            model=key.model,
            version=key.version,
            variant=key.variant,
            return_digest=return_digest,
            timeout_s=timeout_s,
        )
