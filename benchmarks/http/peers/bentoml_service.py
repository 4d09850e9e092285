"""BentoML, as its documentation batches: https://docs.bentoml.com/en/latest/get-started/adaptive-batching.html"""

import os
from typing import Any

import bentoml
from classifier import Classifier


@bentoml.service(
    workers=int(os.environ["PEER_WORKERS"]),
    traffic={"timeout": 60, "max_concurrency": 1000},
    logging={"access": {"enabled": False}},
)
class Sentiment:
    """Lists of texts; BentoML joins the lists of several requests."""

    def __init__(self) -> None:
        self.classifier = Classifier()

    @bentoml.api(
        batchable=os.environ["PEER_BATCH"] != "1",
        max_batch_size=max(2, int(os.environ["PEER_BATCH"])),  # of use with batchable only
        max_latency_ms=round(1000 * float(os.environ["PEER_WAIT_S"])),
    )
    def classify(self, inputs: list[str]) -> list[list[dict[str, Any]]]:
        return self.classifier(inputs)
