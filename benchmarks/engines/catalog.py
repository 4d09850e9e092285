"""Every engine that can be measured. The libraries are imported by `open_engine`, in the engine's own process."""

from dataclasses import dataclass
from typing import Literal

from benchmarks.engines.protocol import Engine
from benchmarks.models import Files

Kind = Literal["ours", "fp32", "bf16", "int8"]
OURS = "intbert"
OURS_ALL_TOKENS = "intbert-all-tokens"
OURS_AVX2 = "intbert-avx2"
ONNX_PLAIN = "onnx-fp32"
ONNX_FUSED = "onnx-fp32-fused"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One engine. `kind` says what it may be compared with as; `package` is where its version comes from."""

    name: str
    label: str
    kind: Kind
    package: str


CATALOG = (
    Entry(name=OURS, label="intbert int8", kind="ours", package="intbert"),
    Entry(name=OURS_ALL_TOKENS, label="intbert int8, last layer in full", kind="ours", package="intbert"),
    Entry(name=OURS_AVX2, label="intbert int8, AVX2 kernels", kind="ours", package="intbert"),
    Entry(name=ONNX_PLAIN, label="ONNX Runtime FP32, plain graph", kind="fp32", package="onnxruntime"),
    Entry(name=ONNX_FUSED, label="ONNX Runtime FP32, fused graph", kind="fp32", package="onnxruntime"),
    Entry(name="onnx-int8-dynamic", label="ONNX Runtime int8, dynamic", kind="int8", package="onnxruntime"),
    Entry(name="onnx-int8-qdq", label="ONNX Runtime int8, static QDQ", kind="int8", package="onnxruntime"),
    Entry(name="openvino-fp32", label="OpenVINO FP32", kind="fp32", package="openvino"),
    Entry(name="openvino-bf16", label="OpenVINO bf16 (its default)", kind="bf16", package="openvino"),
    Entry(name="openvino-int8", label="OpenVINO int8 (NNCF)", kind="int8", package="openvino"),
    Entry(name="ctranslate2-int8", label="CTranslate2 int8", kind="int8", package="ctranslate2"),
    Entry(name="torch-fp32", label="PyTorch FP32", kind="fp32", package="torch"),
    Entry(name="torch-int8", label="PyTorch int8, dynamic", kind="int8", package="torch"),
)


def entry_of(name: str) -> Entry:
    """By name. ValueError lists the names."""
    for entry in CATALOG:
        if entry.name == name:
            return entry
    raise ValueError(f"there is no engine {name!r}; choose from {', '.join(entry.name for entry in CATALOG)}")


def open_engine(name: str, files: Files, threads: int) -> Engine:
    """Load the model into the named engine. ValueError for an unknown name."""
    library = entry_of(name).package
    if library == "intbert":
        from benchmarks.engines.native import Native

        kernels = "avx2" if name == OURS_AVX2 else None
        return Native(files, threads, kernels=kernels, all_tokens=name == OURS_ALL_TOKENS)
    if library == "onnxruntime":
        return _open_onnx(name, files, threads)
    if library == "openvino":
        from benchmarks.engines.openvino import OpenVino

        model = files.openvino_int8 if name == "openvino-int8" else files.openvino
        return OpenVino(model, threads, precision="bf16" if name == "openvino-bf16" else "f32")
    if library == "ctranslate2":
        from benchmarks.engines.ctranslate2 import CTranslate2

        return CTranslate2(files, threads)
    from benchmarks.engines.torch import Torch

    return Torch(files, threads, int8=name == "torch-int8")


def _open_onnx(name: str, files: Files, threads: int) -> Engine:
    from benchmarks.engines.onnx import Onnx

    graphs = {
        ONNX_PLAIN: files.onnx,
        ONNX_FUSED: files.onnx_fused,
        "onnx-int8-dynamic": files.onnx_dynamic,
        "onnx-int8-qdq": files.onnx_qdq,
    }
    # The fused residual LayerNorm is slower than the plain operators on a CPU; only the offline-fused graph keeps it.
    without = () if name == ONNX_FUSED else ("SkipLayerNormFusion",)
    return Onnx(graphs[name], threads, without=without)
