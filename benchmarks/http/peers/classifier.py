"""What both peers serve: the same model and tokenizer as ours, in ONNX Runtime with dynamic int8."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

SKIP_LAYER_NORM = "SkipLayerNormFusion"  # its int8 graphs are faster without


class Classifier:
    """Reads PEER_MODEL (ONNX), PEER_PACKAGE (tokenizer and labels) and PEER_THREADS."""

    def __init__(self) -> None:
        package = Path(os.environ["PEER_PACKAGE"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["PEER_THREADS"])
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            os.environ["PEER_MODEL"], options, ["CPUExecutionProvider"], disabled_optimizers=[SKIP_LAYER_NORM]
        )
        self._inputs = {item.name for item in self._session.get_inputs()}
        self._tokenizer = Tokenizer.from_file(str(package / "tokenizer.json"))
        self._tokenizer.enable_padding()
        self._labels = json.loads((package / "manifest.json").read_text())["labels"]

    def __call__(self, texts: list[str]) -> list[list[dict[str, Any]]]:
        """Labels with scores for each text, best first."""
        encodings = self._tokenizer.encode_batch(texts)
        feeds = {
            "input_ids": np.array([item.ids for item in encodings], dtype=np.int64),
            "attention_mask": np.array([item.attention_mask for item in encodings], dtype=np.int64),
            "token_type_ids": np.array([item.type_ids for item in encodings], dtype=np.int64),
        }
        (logits,) = self._session.run(None, {name: feeds[name] for name in self._inputs})
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores = powers / powers.sum(axis=1, keepdims=True)
        return [
            [{"label": self._labels[i], "score": round(float(row[i]), 6)} for i in np.argsort(-row)] for row in scores
        ]
