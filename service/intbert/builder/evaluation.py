"""Accuracy of all variants through the service's engines: what the card says of it, and how sure that is."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from intbert.builder.card import FP32, INT8
from intbert.builder.prepared import PreparedData
from intbert.builder.recipe import Recipe, SpanSection
from intbert.model.manifest import Calibration
from intbert.model.package import Package
from intbert.runtime.error_analysis import error_analysis
from intbert.runtime.evaluate import Evaluation, joined
from intbert.runtime.figures import BOOTSTRAP, figures
from intbert.runtime.labelled import Examples, evaluate_labelled
from intbert.runtime.qa import QaParameters

JsonObject = dict[str, Any]


def evaluate_variants(package: Package, recipe: Recipe, data: PreparedData) -> JsonObject:
    """Metrics, figures and speed of all variants on the dev data; int8 and FP32 on every file of other domains too."""
    found = {name: evaluate_set(package, name, data.dev, recipe) for name in package.manifest.variants}
    elsewhere = {
        file: {name: evaluate_set(package, name, item.examples, recipe) for name in (INT8, FP32)}
        for file, item in data.elsewhere.items()
    }
    return {
        "metrics": {name: result.metrics for name, result in found.items()},
        "measured": {
            "evaluated": {"examples": len(data.dev), "files": list(recipe.data.dev)},
            "throughput_tokens_per_s": {name: result.tokens_per_s for name, result in found.items()},
            "engines": {name: result.engine for name, result in found.items()},
            "bootstrap": BOOTSTRAP,
            "figures": figures_of(found),
            "calibration_error_before": calibration_error_before(package, recipe, data),
            "elsewhere": elsewhere_figures(found, elsewhere),
            "error_analysis": error_analysis(data.dev, found[INT8], found[FP32], package.manifest),
        },
    }


def evaluate_set(package: Package, variant: str, examples: Examples, recipe: Recipe, *, threads: int = 1) -> Evaluation:
    """One variant on one set, with the recipe's lengths."""
    return evaluate_labelled(package, variant, examples, lengths_of(recipe.span), threads=threads)


def calibration_error_before(package: Package, recipe: Recipe, data: PreparedData) -> float | None:
    """What int8's `calibration_error` on the dev data would be without the temperature; None where there is none."""
    if recipe.model.problem_type != "single_label_classification":
        return None
    plain = replace(package, manifest=package.manifest.model_copy(update={"calibration": Calibration()}))
    error: float = figures(evaluate_set(plain, INT8, data.dev, recipe))["calibration_error"]
    return error


def figures_of(found: Mapping[str, Evaluation]) -> JsonObject:
    """Variant -> its figures, against FP32 where it is another one."""
    return {name: figures(result, None if name == FP32 else found[FP32]) for name, result in found.items()}


def elsewhere_figures(dev: Mapping[str, Evaluation], elsewhere: Mapping[str, Mapping[str, Evaluation]]) -> JsonObject:
    """files: each file's figures; together: those of the dev data and all files as one set. Empty without files."""
    if not elsewhere:
        return {}
    together = {name: joined([dev[name], *(found[name] for found in elsewhere.values())]) for name in (INT8, FP32)}
    return {
        "files": {file: figures_of(found) for file, found in elsewhere.items()},
        "together": figures_of(together),
    }


def lengths_of(span: SpanSection) -> QaParameters:
    """The service's parameters with the recipe's lengths."""
    return QaParameters(
        max_answer_len=span.answer_tokens_max,
        overlap=span.overlap_tokens,
        max_seq_len=span.window_tokens,
        max_question_len=span.question_tokens_max,
    )
