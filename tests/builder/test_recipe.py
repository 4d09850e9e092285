"""The recipe's rules."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from intbert.builder.failure import RecipeError
from intbert.builder.recipe import Recipe
from intbert.builder.recipe_file import load_recipe, parse_recipe, smoke

MINIMAL = """
[model]
name = "m"
backbone = "b"
[data]
train = ["t.tsv"]
dev = ["d.tsv"]
"""


def complaint(text: str) -> str:
    """The error that a recipe gets."""
    with pytest.raises(RecipeError) as caught:
        parse_recipe(tomllib.loads(text), "here.toml")
    return str(caught.value)


def test_minimal_recipe_has_defaults() -> None:
    """Name, backbone and data suffice."""
    recipe = parse_recipe(tomllib.loads(MINIMAL), "here.toml")
    assert recipe.model.problem_type == "single_label_classification"
    assert recipe.data.quoting == "none"


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parents[2].joinpath("recipes").glob("*.toml")), ids=lambda p: p.stem
)
def test_bundled_recipes_are_valid(path: Path) -> None:
    """Every recipe of the repository parses, and names neither absolute paths nor parent folders."""
    recipe = load_recipe(path)
    assert not any(
        name.startswith(("/", "..")) for name in (*recipe.data.train, *recipe.data.dev, *recipe.report.elsewhere)
    )


def test_unknown_field_is_named() -> None:
    """A misspelt field is refused by its full name."""
    assert "finetune.epoch: unknown field" in complaint(MINIMAL + "[finetune]\nepoch = 3\n")


def test_wrong_value_is_shown() -> None:
    """A value out of range is shown with its field."""
    said = complaint(MINIMAL + "[finetune]\nlearning_rate = -1.0\n")
    assert "finetune.learning_rate" in said
    assert "got -1.0" in said


def test_missing_field_is_named() -> None:
    """A recipe without a backbone says so."""
    assert "model.backbone" in complaint(MINIMAL.replace('backbone = "b"\n', ""))


def test_task_and_format_agree() -> None:
    """Span QA needs data in SQuAD's format."""
    assert "go together" in complaint(MINIMAL.replace("[data]", 'problem_type = "span_qa"\n[data]'))


@pytest.mark.parametrize("files", ['["d.tsv"]', '["t.tsv"]', '["e.tsv", "e.tsv"]'])
def test_other_domains_are_other_files(files: str) -> None:
    """Neither trained on nor the dev data, and each once; a licence is that of one of them."""
    assert "report.elsewhere names" in complaint(MINIMAL + f"[report]\nelsewhere = {files}\n")
    unknown = MINIMAL + '[report]\nelsewhere = ["e.tsv"]\nlicences = { "f.tsv" = "MIT" }\n'
    assert "report.licences names ['f.tsv']" in complaint(unknown)


def test_hub_needs_a_name() -> None:
    """A hub source without its name is refused."""
    assert "hub_name" in complaint(MINIMAL + 'source = "hub"\n')


def test_window_must_have_room() -> None:
    """A window that the question could fill is refused."""
    assert "window_tokens must exceed" in complaint(MINIMAL + "[span]\nwindow_tokens = 100\n")


def test_overrides_win_over_the_file(tmp_path: Path) -> None:
    """What the command line gives replaces the file's top-level fields, and is checked like them."""
    path = tmp_path / "recipe.toml"
    path.write_text("seed = 4\n" + MINIMAL, encoding="utf-8")
    recipe = load_recipe(path, {"seed": 9, "variants": ["ptq", "dq"]})
    assert (recipe.seed, recipe.variants) == (9, ("ptq", "dq"))
    with pytest.raises(RecipeError, match="variants.0: .*(got 'int4')"):
        load_recipe(path, {"variants": ["int4"]})
    with pytest.raises(RecipeError, match="variants must differ"):
        load_recipe(path, {"variants": ["dq", "dq"]})


def test_unreadable_and_malformed_files(tmp_path: Path) -> None:
    """A missing file and one that is not TOML have messages of their own."""
    with pytest.raises(RecipeError, match="cannot read recipe"):
        load_recipe(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("seed = = 1", encoding="utf-8")
    with pytest.raises(RecipeError, match="not valid TOML"):
        load_recipe(tmp_path / "bad.toml")


def test_smoke_is_small() -> None:
    """A smoke recipe trains at most one epoch on few examples, each of its members too, and has no gate."""
    members = "[finetune]\nmembers = [{ seed = 1 }, { seed = 2, epochs = 3 }, { seed = 3, epochs = 0 }]\n"
    small = smoke(parse_recipe(tomllib.loads(MINIMAL + members), "here.toml"))
    assert small.finetune.epochs <= 1
    assert [member.epochs for member in small.finetune.members] == [None, 1, 0]
    assert small.data.train_examples_max is not None
    assert small.report.gate_allowed_drop == 100


def test_documentation_names_every_field() -> None:
    """The table in docs/building.md has a row for each field of the recipe, and no other."""
    document = Path(__file__).parents[2].joinpath("docs", "building.md").read_text(encoding="utf-8")
    table = document[document.index("## Recipe") :]
    listed = {line.split("`")[1] for line in table.splitlines() if line.startswith("| `")}
    assert listed == set(fields_of(Recipe, ""))


def fields_of(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """Dotted names of all fields, those of optional tables too."""
    for name, field in model.model_fields.items():
        parts = get_args(field.annotation) or (field.annotation,)
        tables = [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]
        if not tables or field.description:
            yield prefix + name
        for table in tables:
            yield from fields_of(table, f"{prefix}{name}.")


def test_bench_shapes_fit_the_model() -> None:
    """A shape that the model can't take is refused before anything is trained; the usual shapes are cut to fit."""
    short = MINIMAL.replace('backbone = "b"', 'backbone = "b"\ntokens_max = 64')
    assert parse_recipe(tomllib.loads(short), "here.toml").shapes_to_bench == ("1x32",)
    assert "1x128 is longer than model.tokens_max = 64" in complaint(short + '[report]\nbench_shapes = ["1x128"]\n')
    assert "bench_shapes" in complaint(short + '[report]\nbench_shapes = ["1by16"]\n')
