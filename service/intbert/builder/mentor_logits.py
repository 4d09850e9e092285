"""What a mentor said of every training example, as a file that outlives the build."""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from intbert.builder.failure import DataError
from intbert.builder.features import Feature

LOGITS_FILE = "logits.npz"


@dataclass(frozen=True, kw_only=True)
class MentorLogits:
    """Of features in their order."""

    logits: NDArray[np.float16]  # (examples, labels), or of spans (all tokens of all windows, 2)
    found: Mapping[str, float]  # the mentor's held-out metrics
    inputs_sha256: str  # of the features' token ids

    @classmethod
    def of(cls, features: Sequence[Feature], logits: NDArray[Any], found: Mapping[str, float]) -> Self:
        """Of features, what the mentor said of them, and how good it is."""
        return cls(logits=logits.astype(np.float16), found=found, inputs_sha256=inputs_sha256(features))

    def save(self, path: Path) -> None:
        """As a compressed file of numpy."""
        names, values = list(self.found), list(self.found.values())
        np.savez_compressed(
            path, logits=self.logits, inputs_sha256=self.inputs_sha256, found_names=names, found_values=values
        )

    @classmethod
    def load(cls, path: Path, features: Sequence[Feature]) -> Self:
        """Raises DataError for a file that is none, or of other features or another order of them."""
        try:
            with np.load(path) as file:
                names, values = file["found_names"].tolist(), file["found_values"].tolist()
                loaded = cls(
                    logits=file["logits"],
                    found=dict(zip(names, values, strict=True)),
                    inputs_sha256=str(file["inputs_sha256"]),
                )
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise DataError(f"cannot read a mentor's logits from {path}: {error}") from error
        if loaded.inputs_sha256 != inputs_sha256(features):
            raise DataError(
                f"the mentor's logits in {path} are of other training examples, or of another order of them: data, its "
                "split, seed, tokenizer and mentor.variations must be those of the build that wrote them; or leave "
                "mentor.logits out, and the mentor is trained"
            )
        return loaded


def inputs_sha256(features: Sequence[Feature]) -> str:
    """Of the token ids, each sequence with its length before it."""
    digest = sha256()
    for feature in features:
        ids = feature["input_ids"]
        digest.update(np.array([len(ids), *ids], dtype="<i4").tobytes())
    return digest.hexdigest()
