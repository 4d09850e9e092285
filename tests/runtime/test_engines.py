"""An engine that doubts itself, or a tokenizer of another model, never serves."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from intbert.errors import SelfTestError, TensorError
from intbert.model.package import write_package
from intbert.model.store import ModelStore
from intbert.runtime.catalog import Catalog
from intbert.runtime.engines import load_engine, self_test
from tests.arithmetic.programs import random_program
from tests.model.packages import dimensions, float_graph, make_files, make_manifest, make_package


def test_right_engines_pass_the_self_test(tmp_path: Path) -> None:
    """Both variants of both tasks."""
    for task in ("text-classification", "question-answering"):
        package = make_package(tmp_path, name=task, task=task)
        for variant in package.manifest.variants:
            self_test(package, variant, load_engine(package, variant), package.tokenizer())


def test_wrong_bits_fail_the_self_test(tmp_path: Path) -> None:
    """Known answers of another program."""
    package = make_package(tmp_path, known_answers=make_package(tmp_path, name="other", seed=5).manifest.known_answers)
    with pytest.raises(SelfTestError, match="computes int8 wrongly"):
        self_test(package, "int8", load_engine(package, "int8"), package.tokenizer())


def test_float_model_with_nan_fails_the_self_test(tmp_path: Path) -> None:
    """It would answer every request with nonsense."""
    size = dimensions()
    program = random_program(1, size)
    graph = onnx.load_from_string(float_graph(size))
    head = graph.graph.initializer[1]
    head.CopyFrom(numpy_helper.from_array(np.full((8, size.labels), np.nan, np.float32), head.name))
    files = {**make_files(program, size), "fp32.onnx": graph.SerializeToString()}
    package = write_package(tmp_path / "tiny" / "1", make_manifest(program, size), files)
    with pytest.raises(SelfTestError, match="not finite"):
        self_test(package, "fp32", load_engine(package, "fp32"), package.tokenizer())


def test_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    """A token id beyond the embedding table would fail only the request that has it."""
    size = dimensions()
    program = random_program(1, replace(size, vocabulary=10))
    architecture = make_manifest(random_program(1, size), size).architecture.model_copy(update={"vocabulary": 10})
    manifest = make_manifest(random_program(1, size), size, architecture=architecture)
    write_package(tmp_path / "tiny" / "1", manifest, make_files(program, size))
    catalog = Catalog(
        ModelStore(tmp_path), kernels=None, pool_threads=1, default_models={}, tokens_max=64, on_load=lambda *_: None
    )
    with pytest.raises(TensorError, match="the model only 10") as caught:
        catalog.load_all()
    assert caught.value.code == "tokenizer_mismatch"
