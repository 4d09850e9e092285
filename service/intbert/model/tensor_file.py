"""Reads an int8.safetensors tensor by tensor: a model is in memory once, and each tensor can be let go by itself."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from intbert.errors import TensorError

LENGTH_BYTES = 8  # of the header's length, little-endian, before the header; the tensors follow without gaps
DTYPES: dict[str, np.dtype[Any]] = {"I8": np.dtype(np.int8), "I16": np.dtype(np.int16), "I32": np.dtype(np.int32)}


def read_tensors(path: Path, where: str) -> tuple[dict[str, NDArray[Any]], str]:
    """name -> array with memory of its own, and the SHA-256 of the bytes that were read. TensorError."""
    tensors = _allocate(path, where)
    digest = sha256()
    with path.open("rb") as file:
        start = file.read(LENGTH_BYTES)
        digest.update(start + file.read(int.from_bytes(start, "little")))
        for name, array in tensors.items():
            content = array.reshape(-1).view(np.uint8).data
            if file.readinto(content) != array.nbytes:
                raise TensorError(f"{where} ends inside of tensor {name}; copy the package again")
            digest.update(content)
        digest.update(file.read())
    return tensors, digest.hexdigest()


def _allocate(path: Path, where: str) -> dict[str, NDArray[Any]]:
    """Arrays in the order of the file, not yet filled. The library checks that the header describes the whole file."""
    tensors: dict[str, NDArray[Any]] = {}
    try:
        with safe_open(path, framework="numpy") as index:
            for name in index.offset_keys():
                entry = index.get_slice(name)
                dtype, shape = str(entry.get_dtype()), tuple(entry.get_shape())
                if dtype not in DTYPES:
                    raise TensorError(f"{where}: tensor {name} is {dtype}; allowed are {', '.join(DTYPES)}")
                tensors[name] = np.empty(shape, DTYPES[dtype])
    except (SafetensorError, OSError) as error:
        raise TensorError(f"{where} is not a readable safetensors file: {error}") from error
    return tensors
