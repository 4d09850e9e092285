"""A job's answer and what it was made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

from intbert.runtime.agreement import Opinion
from intbert.runtime.catalog import Target
from intbert.runtime.jobs import Prepared, Result_co
from intbert.runtime.queue import Output


@dataclass(frozen=True, kw_only=True)
class Answered(Generic[Prepared, Result_co]):
    """`outputs`: one a sequence of the job."""

    target: Target
    prepared: Prepared
    outputs: Sequence[Output]
    result: Result_co

    @property
    def opinion(self) -> Opinion:
        """To compare with another variant's."""
        return Opinion(
            variant=self.target.variant,
            result=self.result,
            outputs=self.outputs,
            logit_scale=self.target.logit_scale,
        )
