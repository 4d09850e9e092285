"""The formats of OpenVINO and CTranslate2."""

from pathlib import Path

import nncf
import numpy as np
import openvino
from ctranslate2.converters import TransformersConverter

from benchmarks.models import Files, Model
from benchmarks.prepare.source import CALIBRATION_TEXTS, calibration_feeds, load_checkpoint


def write_openvino(_: Model, files: Files, target: Path) -> None:
    """OpenVINO's representation with FP32 weights; bf16 or FP32 is chosen when it is compiled."""
    openvino.save_model(openvino.convert_model(str(files.onnx)), str(target / "model.xml"), compress_to_fp16=False)


def write_openvino_int8(model: Model, files: Files, target: Path) -> None:
    """NNCF's post-training quantisation with its preset for transformers; ranges from random texts."""
    source = openvino.Core().read_model(str(files.openvino))
    dataset = nncf.Dataset(list(calibration_feeds(model)))
    quantised = nncf.quantize(
        source, dataset, model_type=nncf.ModelType.TRANSFORMER, subset_size=CALIBRATION_TEXTS, fast_bias_correction=True
    )
    openvino.save_model(quantised, str(target / "model.xml"), compress_to_fp16=False)


def write_ctranslate2(_: Model, files: Files, target: Path) -> None:
    """Weights in int8, as a user would convert them to save memory."""
    target.rmdir()  # the converter makes it
    TransformersConverter(str(files.checkpoint)).convert(str(target), quantization="int8")


def write_classifier(_: Model, files: Files, target: Path) -> None:
    """The last layer, which CTranslate2's encoder lacks."""
    classifier = load_checkpoint(files).classifier
    weight, bias = (values.detach().numpy() for values in (classifier.weight, classifier.bias))
    with target.open("wb") as file:
        np.savez(file, weight=weight, bias=bias)
