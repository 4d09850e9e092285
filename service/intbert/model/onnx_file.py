"""Looks into an ONNX file for tensors stored elsewhere, without the onnx library (the service does not need it).

Walks the protobuf wire format along the fields of onnx.proto (IR version 13) in which a TensorProto can stand.
"""

from collections.abc import Iterator

from intbert.errors import ExternalDataError

# message -> field number -> message below it
CHILDREN: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {},
}
TENSOR_EXTERNAL_DATA = 13
TENSOR_DATA_LOCATION = 14
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def check_self_contained(model: bytes | memoryview, name: str) -> None:
    """Raise ExternalDataError when a tensor lies outside of the file, or when the file is no ONNX model."""
    try:
        external = has_external_data(memoryview(model))
    except (ValueError, IndexError) as error:
        raise ExternalDataError(f"{name} is not a readable ONNX file: {error}", code="onnx_malformed") from error
    if external:
        raise ExternalDataError(f"{name} keeps tensors in other files; export it with all data inside")


def has_external_data(data: memoryview, message: str = "Model") -> bool:
    """True when any tensor below `message` names external data. ValueError or IndexError for broken wire format."""
    for field, value in _fields(data):
        if message == "Tensor" and (field == TENSOR_EXTERNAL_DATA or (field == TENSOR_DATA_LOCATION and value == 1)):
            return True
        child = CHILDREN[message].get(field)
        if child is not None and isinstance(value, memoryview) and has_external_data(value, child):
            return True
    return False


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Field numbers with their values: an integer, or the bytes of a length-delimited field."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        kind = key & 7
        if kind == VARINT:
            value, position = _varint(data, position)
            yield key >> 3, value
            continue
        if kind == BYTES:
            size, position = _varint(data, position)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind} at byte {position}")
        if position + size > len(data):
            raise ValueError(f"field {key >> 3} runs over the end")
        yield key >> 3, data[position : position + size]
        position += size


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """(value, position after it)."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError(f"number too long at byte {position}")
