"""The integer program as an ONNX graph of standard operators, which stock ONNX Runtime runs to the same bits."""

from intbert.runtime.onnx_graph.encoder import build_integer_graph

__all__ = ["build_integer_graph"]
