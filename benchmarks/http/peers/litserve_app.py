"""LitServe, as its documentation batches: https://lightning.ai/docs/litserve/features/batching"""

import os
from typing import Any

import litserve
from classifier import Classifier


class Sentiment(litserve.LitAPI):
    """One text a request; batches are LitServe's."""

    def setup(self, device: str) -> None:
        self.classifier = Classifier()

    def decode_request(self, request: dict[str, Any]) -> str:
        return str(request["inputs"])

    def predict(self, inputs: Any) -> Any:
        return self.classifier(inputs) if isinstance(inputs, list) else self.classifier([inputs])[0]

    def encode_response(self, output: Any) -> dict[str, Any]:
        return {"results": [output]}


if __name__ == "__main__":
    size = int(os.environ["PEER_BATCH"])
    api = Sentiment(max_batch_size=size, batch_timeout=float(os.environ["PEER_WAIT_S"]), api_path="/classify")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=int(os.environ["PEER_WORKERS"]))
    server.run(host="127.0.0.1", port=int(os.environ["PEER_PORT"]), generate_client_file=False, log_level="warning")
