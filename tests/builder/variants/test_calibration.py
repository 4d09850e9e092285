"""What calibration sees of a model."""

from typing import Any

import numpy as np
import torch

from intbert.builder.features import Feature
from intbert.builder.recipe_file import parse_recipe
from intbert.builder.variants.calibration import TOKENS_MAX, calibration_texts, same_lengths
from intbert.builder.variants.static_plans import Calibrated

RECIPE = {"model": {"name": "m", "backbone": "b"}, "data": {"train": ["t"], "dev": ["d"]}}


def test_ranges_are_those_of_torch(model: Any, found: Calibrated, texts: list[Feature]) -> None:
    """Smallest and largest value of a layer's output, of all channels and of each, as torch computes them unpadded."""
    rows = []
    for text in texts:
        with torch.no_grad():
            inputs = {name: torch.tensor([text[name]]) for name in ("input_ids", "token_type_ids")}
            rows.append(model(**inputs, output_hidden_states=True).hidden_states[1][0].numpy())
    states, seen = np.concatenate(rows), found.seen["0.ffn_norm"]
    assert seen.channel_low is not None
    assert seen.channel_high is not None
    np.testing.assert_allclose([seen.range.low, seen.range.high], [states.min(), states.max()], atol=1e-4)
    np.testing.assert_allclose(seen.channel_low, states.min(axis=0), atol=1e-4)
    np.testing.assert_allclose(seen.channel_high, states.max(axis=0), atol=1e-4)
    assert seen.counts.sum() == states.size


def test_every_site_and_input_is_seen(found: Calibrated) -> None:
    """All named sites, and the pooler's first token where there is one."""
    assert set(found.seen) == {*found.sites, *(["first_token"] if "pooler" in found.sites else [])}
    tokens = found.seen["embedding_sum"].counts.sum() / 48
    assert found.seen["1.gelu"].counts.sum() == 64 * tokens
    assert all(seen.range.low <= 0 <= seen.range.high for seen in found.seen.values())


def test_batches_hold_one_length_each(texts: list[Feature]) -> None:
    """Nothing is padded, and no text is lost."""
    batches = list(same_lengths(texts))
    assert sum(len(batch) for batch in batches) == len(texts)
    assert all(len({len(text["input_ids"]) for text in batch}) == 1 for batch in batches)
    assert max(len(batch) for batch in batches) > 1


def test_texts_are_drawn_with_the_seed_and_bounded() -> None:
    """The same seed draws the same texts; long ones stop at a number of tokens."""
    texts: list[Feature] = [{"input_ids": [index] * 1000, "token_type_ids": [0] * 1000} for index in range(50)]
    recipes = [parse_recipe({**RECIPE, "seed": seed}, "here") for seed in (1, 1, 2)]
    first, second, other = ([text["input_ids"][0] for text in calibration_texts(recipe, texts)] for recipe in recipes)
    assert first == second != other
    assert len(first) == TOKENS_MAX // 1000
