"""The temperature of scores, and the offset of 'no answer'."""

from pathlib import Path

import numpy as np
import pytest

from intbert.builder.score_calibration import (
    best_null_offset,
    best_temperature,
    calibrate_labels,
    calibrate_spans,
    log_sum_exp,
)
from intbert.model.package import Package
from intbert.runtime.qa import QaParameters
from intbert.runtime.squad import LabelledAnswer, LabelledQuestion


@pytest.mark.parametrize("truth", [0.4, 1.0, 2.5])
def test_temperature_is_found(truth: float) -> None:
    """Labels drawn with the probabilities of logits / T give T back, but for chance."""
    random = np.random.default_rng(3)
    logits = random.normal(0, 3, (20_000, 3))
    scaled = logits / truth
    probabilities = np.exp(scaled - log_sum_exp(scaled)[:, None])
    labels = (probabilities.cumsum(axis=1) < random.random((20_000, 1))).sum(axis=1)

    def loss(temperature: float) -> float:
        values = logits / temperature
        return float((log_sum_exp(values) - values[np.arange(len(labels)), labels]).mean())

    assert best_temperature(loss) == pytest.approx(truth, rel=0.05)


def test_log_sum_exp_of_extreme_values() -> None:
    """Nothing overflows."""
    np.testing.assert_allclose(log_sum_exp(np.array([[1e5, 1e5], [-1e5, 0.0]])), [1e5 + np.log(2), 0.0])


def test_offset_separates_mismatched_questions() -> None:
    """Where gaps can be told apart, the offset lies in the middle between them and costs nothing."""
    gaps, worths = np.array([-3.0, -1.0, 1.0, 4.0, 6.0]), np.array([-1.0, -1.0, -1.0, 0.5, 1.0])
    offset, found = best_null_offset(gaps, worths)
    assert offset == 2.5
    assert found["mismatched_recognised"] == 100
    assert found["mismatched_recognised_without_offset"] == pytest.approx(66.67)
    assert found["f1_when_no_answer_is_allowed"] == found["f1_when_it_is_not"] == 75


def test_offset_weighs_both_kinds() -> None:
    """It is the best of all by brute force, on random questions."""
    random = np.random.default_rng(5)
    for _ in range(20):
        gaps = random.normal(0, 2, 40).round(2)
        worths = np.where(random.random(40) < 0.4, -1.0, random.random(40))
        offset, found = best_null_offset(gaps, worths)

        def worth(value: float, gaps: np.ndarray = gaps, worths: np.ndarray = worths) -> float:
            told = gaps < value
            return float(told[worths < 0].mean() + np.where(told, 0.0, worths)[worths >= 0].mean())

        tried = [worth(edge + step) for edge in gaps for step in (-0.005, 0.005)]
        assert worth(offset) == pytest.approx(max(tried))
        assert found["mismatched_recognised"] == pytest.approx(100 * (gaps < offset)[worths < 0].mean(), abs=0.01)


def test_without_mismatched_questions_there_is_no_offset() -> None:
    """Nothing is known of them."""
    assert best_null_offset(np.array([1.0]), np.array([0.5])) == (0.0, {})


def test_a_package_is_calibrated_on_held_out_examples(built: tuple[Path, Package]) -> None:
    """The log loss does not grow, and a handful of examples is refused as evidence."""
    _, package = built
    tokenizer = package.tokenizer()
    features = []
    for number in range(60):
        word = "brilliant" if number % 2 else "awful"
        encoded = tokenizer.encode(f"the film was {word} " + "the plot " * (number % 7), limit_tokens=64)
        label = int(word == "brilliant") if number % 10 else 1 - int(word == "brilliant")  # one in ten is wrong
        features.append({"input_ids": encoded.token_ids, "token_type_ids": encoded.type_ids, "labels": label})
    result = calibrate_labels(package, "int8", features)
    assert result.calibration.temperature != 1.0
    assert result.found["log_loss_after"] <= result.found["log_loss_before"]
    assert result.found["holdout_examples"] == 60
    few = calibrate_labels(package, "int8", features[:10])
    assert few.calibration.temperature == 1.0
    assert few.found["holdout_examples"] == 10


def test_span_models_are_calibrated(built_spans: Package) -> None:
    """Temperature by the best answers, offset by mismatched questions; both are stated."""
    questions = []
    for number in range(60):
        context = "the film was great . " * (number % 3) + "the cat is fine . the plot was dull ."
        answer = LabelledAnswer(text="fine", start=context.index("fine"))
        asked = LabelledQuestion(id=str(number), text="where is the cat ?", context=context, answers=(answer,))
        questions.append(asked)
        away = "the film was a story and the music was dull . " * (1 + number % 3)
        questions.append(LabelledQuestion(id=f"m{number}", text="where is the cat ?", context=away, answers=()))
    result = calibrate_spans(built_spans, "int8", questions, QaParameters(max_seq_len=64, overlap=8))
    assert result.found["log_loss_after"] <= result.found["log_loss_before"]
    assert result.found["no_answer"]["mismatched"] == 60
    assert result.found["holdout_examples"] == 60
