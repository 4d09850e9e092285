"""POST /models/{name}/versions/{version}/activate."""

import time

from pydantic import BaseModel, Field
from starlette.responses import Response
from structlog.typing import FilteringBoundLogger

from intbert.runtime.service import InferenceService


class Activated(BaseModel):
    """What serves now."""

    name: str
    version: str
    sha256: str = Field(description="Of the package's manifest, as every answer names it.")
    previous: str | None = Field(description="The version that served before; activate it to go back.")
    seconds: float = Field(description="How long loading and testing took.")


def activate(service: InferenceService, logger: FilteringBoundLogger, name: str, version: str) -> Response:
    """Blocks until the version serves. Raises NotFoundError, ActivationError."""
    started_s = time.perf_counter()
    activation = service.activate(name, version)
    seconds = time.perf_counter() - started_s
    package = activation.model.package
    logger.info("activated", model=name, version=version, previous=activation.previous, seconds=seconds)
    answer = Activated(
        name=name,
        version=version,
        sha256=package.sha256,
        previous=activation.previous,
        seconds=round(seconds, 3),
    )
    return Response(answer.model_dump_json(), media_type="application/json")
