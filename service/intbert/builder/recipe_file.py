"""Reading a recipe from its file, and making a small one of it."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from intbert.builder.failure import RecipeError
from intbert.builder.recipe import Recipe

SMOKE_TRAIN_EXAMPLES = 256
SMOKE_DEV_EXAMPLES = 64


def load_recipe(path: Path, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Read and check a recipe. Raises RecipeError naming file, field, value and reason.

    overrides: top-level fields that are given instead of what the file says.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"cannot read recipe {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe {path} is not valid TOML: {error}") from error
    return parse_recipe({**tables, **(overrides or {})}, str(path))


def parse_recipe(tables: dict[str, Any], origin: str) -> Recipe:
    """Check the tables of a recipe; `origin` names it in errors."""
    try:
        return Recipe.model_validate(_lists_to_tuples(tables))
    except ValidationError as error:
        raise RecipeError(f"recipe {origin}: " + "; ".join(_complaint(item) for item in error.errors())) from error


def smoke(recipe: Recipe) -> Recipe:
    """The same recipe at the size of a test: few examples, a short epoch, no gate. Its package is of no use."""
    return recipe.model_copy(
        update={
            "data": recipe.data.model_copy(
                update={
                    "train_examples_max": min(
                        SMOKE_TRAIN_EXAMPLES, recipe.data.train_examples_max or SMOKE_TRAIN_EXAMPLES
                    ),
                    "dev_examples_max": min(SMOKE_DEV_EXAMPLES, recipe.data.dev_examples_max or SMOKE_DEV_EXAMPLES),
                    "holdout_fraction": max(0.1, recipe.data.holdout_fraction),
                }
            ),
            "mentor": recipe.mentor
            and recipe.mentor.model_copy(
                update={
                    "epochs": min(1.0, recipe.mentor.epochs),
                    "variations": min(SMOKE_TRAIN_EXAMPLES, recipe.mentor.variations),
                    "logits": None,  # they are of the whole data
                }
            ),
            "finetune": recipe.finetune.model_copy(
                update={
                    "epochs": min(1.0, recipe.finetune.epochs),
                    "members": tuple(
                        # the few examples may all be of other files than a member's
                        member.model_copy(update={"epochs": member.epochs and min(1.0, member.epochs), "files": None})
                        for member in recipe.finetune.members
                    ),
                }
            ),
            "quantise": recipe.quantise.model_copy(
                update={"epochs": min(1.0, recipe.quantise.epochs), "calibration_examples": SMOKE_DEV_EXAMPLES}
            ),
            "q8bert": recipe.q8bert.model_copy(update={"epochs": min(1.0, recipe.q8bert.epochs)}),
            "report": recipe.report.model_copy(
                update={"gate_allowed_drop": 100.0, "verify_texts": 8, "bench_shapes": ("1x16",), "error_texts": 8}
            ),
        }
    )


def _lists_to_tuples(node: Any) -> Any:
    """TOML has only lists, strict pydantic wants tuples for immutable fields."""
    if isinstance(node, dict):
        return {key: _lists_to_tuples(value) for key, value in node.items()}
    return tuple(_lists_to_tuples(value) for value in node) if isinstance(node, list) else node


def _complaint(item: Any) -> str:
    """One error of pydantic as `field: reason (got value)`."""
    field = ".".join(str(part) for part in item["loc"]) or "recipe"
    if item["type"] == "extra_forbidden":
        return f"{field}: unknown field; remove it or correct its name"
    got = "" if item["type"] == "missing" or isinstance(item["input"], dict) else f" (got {item['input']!r})"
    return f"{field}: {item['msg']}{got}"
